//! Bytes from one order to another: rows and groups, pixels and planes.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si64, _mm256_blendv_epi8, _mm256_extracti128_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_permutevar8x32_epi32, _mm256_setr_epi8, _mm256_setr_epi32,
    _mm256_shuffle_epi8, _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64,
};

use super::lanes::{join, load32, low, row16, row32, store16, store32};
use crate::image::Row;
use crate::pack::PAD;
use crate::simd::{BAND, GROUP, group_len};

/// Eight rows into two groups.
#[target_feature(enable = "avx2")]
pub(super) fn interleave(rows: &[Row<'_>; BAND], band: &mut [u8]) {
    let len = rows[0].len();
    let (upper, lower) = band.split_at_mut(group_len(len));
    for (rows, group) in rows.as_chunks::<GROUP>().0.iter().zip([upper, lower]) {
        let mut at = 0;
        while at + 32 <= len {
            let vectors = [
                row32(&rows[0], at),
                row32(&rows[1], at),
                row32(&rows[2], at),
                row32(&rows[3], at),
            ];
            let lanes = bytes_to_lanes(vectors);
            for (v, lane) in lanes.into_iter().enumerate() {
                store32(group, at * GROUP + v * 32, lane);
            }
            at += 32;
        }
        for i in at..len {
            for (r, row) in rows.iter().enumerate() {
                group[i * GROUP + r] = row.get(i);
            }
        }
    }
}

/// ```text
/// unpack bytes   a0 b0 a1 b1 .. a7 b7 | a16 b16 ..       c0 d0 ..
/// unpack words   a0 b0 c0 d0 .. a3 b3 c3 d3 | a16 ..     a4 .. | a20 ..    a8 .. | a24 ..    a12 .. | a28 ..
/// halves         a0 .. a7      a8 .. a15      a16 .. a23      a24 .. a31
/// ```
#[inline]
#[target_feature(enable = "avx2")]
fn bytes_to_lanes([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (ab_low, ab_high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
    let first = _mm256_unpacklo_epi16(ab_low, cd_low);
    let second = _mm256_unpackhi_epi16(ab_low, cd_low);
    let third = _mm256_unpacklo_epi16(ab_high, cd_high);
    let fourth = _mm256_unpackhi_epi16(ab_high, cd_high);
    [
        _mm256_permute2x128_si256::<0x20>(first, second),
        _mm256_permute2x128_si256::<0x20>(third, fourth),
        _mm256_permute2x128_si256::<0x31>(first, second),
        _mm256_permute2x128_si256::<0x31>(third, fourth),
    ]
}

/// A group into four rows.
#[target_feature(enable = "avx2")]
pub(super) fn deinterleave(group: &[u8], rows: [&mut [u8]; GROUP]) {
    let [a, b, c, d] = rows;
    let len = a.len().min(b.len()).min(c.len()).min(d.len());
    let mut rows = [a, b, c, d];
    let mut at = 0;
    while at + 32 <= len {
        let from = at * GROUP;
        let vectors = [
            load32(group, from),
            load32(group, from + 32),
            load32(group, from + 64),
            load32(group, from + 96),
        ];
        for (row, bytes) in rows.iter_mut().zip(lanes_to_bytes(vectors)) {
            store32(row, at, bytes);
        }
        at += 32;
    }
    for (r, row) in rows.into_iter().enumerate() {
        for (i, byte) in row.iter_mut().enumerate().skip(at) {
            *byte = group[i * GROUP + r];
        }
    }
}

/// ```text
/// shuffle        a0-3 b0-3 c0-3 d0-3 | a4-7 ..           a row's bytes of four components in a lane
/// unpack twice   a0-3 a8-11 a16-19 a24-27 | a4-7 ..      lanes 0 4 1 5 2 6 3 7 are in order
/// ```
#[inline]
#[target_feature(enable = "avx2")]
fn lanes_to_bytes(vectors: [__m256i; 4]) -> [__m256i; 4] {
    let transpose = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, //
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    );
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let a = _mm256_shuffle_epi8(vectors[0], transpose);
    let b = _mm256_shuffle_epi8(vectors[1], transpose);
    let c = _mm256_shuffle_epi8(vectors[2], transpose);
    let d = _mm256_shuffle_epi8(vectors[3], transpose);
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_permutevar8x32_epi32(_mm256_unpacklo_epi64(ab_low, cd_low), order),
        _mm256_permutevar8x32_epi32(_mm256_unpackhi_epi64(ab_low, cd_low), order),
        _mm256_permutevar8x32_epi32(_mm256_unpacklo_epi64(ab_high, cd_high), order),
        _mm256_permutevar8x32_epi32(_mm256_unpackhi_epi64(ab_high, cd_high), order),
    ]
}

/// The shortest line that `wide` loads without leaving it.
const WIDE: usize = 12;
/// Pixels of `wide`.
const MOST: usize = 16;
/// Pixels of [`narrow`].
const NARROW: usize = 8;

/// The places of the bytes of up to 16 pixels, whose last vector ends where they do.
type Order = [[i8; 16]; 3];

/// For RGB and each number of pixels, where each channel's bytes lie in the blend of three vectors: those from byte 0,
/// from byte 16, and the last 16. They start at columns that differ modulo 3, so that no two bytes of a channel collide.
static RGB: [Order; MOST + 1] = {
    let mut orders = [[[-1; 16]; 3]; MOST + 1];
    let mut pixels = WIDE;
    while pixels <= MOST {
        let mut i = 0;
        while i < pixels * 3 {
            let place = if i < 16 {
                i
            } else if i < 32 {
                i - 16
            } else {
                i + 16 - pixels * 3
            };
            orders[pixels][i % 3][i / 3] = place as i8;
            i += 1;
        }
        pixels += 1;
    }
    orders
};

/// For RGBX and each number of pixels, the fourth vector: the last 16 bytes.
static RGBX: [[i8; 16]; MOST + 1] = {
    let mut orders = [[-1; 16]; MOST + 1];
    let mut pixels = WIDE;
    while pixels <= MOST {
        let mut i = 12;
        while i < pixels {
            let mut c = 0;
            while c < 3 {
                orders[pixels][c * 4 + i - 12] = ((i + 4 - pixels) * 4 + c) as i8;
                c += 1;
            }
            i += 1;
        }
        pixels += 1;
    }
    orders
};

#[inline]
#[target_feature(enable = "avx2")]
fn twice(order: &[i8; 16]) -> __m256i {
    let bytes = order.map(i8::cast_unsigned);
    let half = super::lanes::load16(&bytes, 0);
    join(half, half)
}

/// How up to 16 pixels of `P` bytes are taken apart.
#[derive(Clone, Copy)]
struct Wide<const P: usize> {
    last: usize,
    orders: [__m256i; 3],
}

impl<const P: usize> Wide<P> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(pixels: usize) -> Self {
        let orders = if P == 3 {
            let order = &RGB[pixels];
            [twice(&order[0]), twice(&order[1]), twice(&order[2])]
        } else {
            let first = twice(&[0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, -1, -1, -1, -1]);
            [first, twice(&RGBX[pixels]), first]
        };
        Self { last: P * pixels - 16, orders }
    }

    /// The channels of two lines of pixels, from byte `a` of one row and `b` of another, one in each half.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn split(self, (first, a): (&Row<'_>, usize), (second, b): (&Row<'_>, usize)) -> [__m256i; 3] {
        let (first, second) = (first.slice(a, self.last + 16), second.slice(b, self.last + 16));
        let load = |at: usize| join(row16(&first, at), row16(&second, at));
        let last = load(self.last);
        let [red, green, blue] = self.orders;
        if P == 3 {
            let (start, middle) = (load(0), load(16));
            let second = _mm256_setr_epi8(
                0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, //
                0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0,
            );
            let third = _mm256_setr_epi8(
                0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, //
                0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0,
            );
            let blend = |a, b, c| _mm256_blendv_epi8(_mm256_blendv_epi8(a, b, second), c, third);
            return [
                _mm256_shuffle_epi8(blend(start, last, middle), red),
                _mm256_shuffle_epi8(blend(middle, start, last), green),
                _mm256_shuffle_epi8(blend(last, middle, start), blue),
            ];
        }
        let a = _mm256_shuffle_epi8(load(0), red);
        let b = _mm256_shuffle_epi8(load(16), red);
        let c = _mm256_shuffle_epi8(load(32), red);
        let d = _mm256_shuffle_epi8(last, green);
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let blue = _mm256_unpacklo_epi64(_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        [_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd), blue]
    }
}

/// The channels of eight pixels from byte `at` of a row.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(row: &Row<'_>, at: usize, pixel: usize) -> [[u8; NARROW]; 3] {
    let first = row16(row, at);
    if pixel == 3 {
        let second = row16(row, at + 8);
        let both = join(first, second);
        let order = |low: [i8; 8], high: [i8; 8]| {
            let mut order = [-1; 32];
            order[..8].copy_from_slice(&low.map(i8::cast_unsigned).map(u8::cast_signed));
            order[16..24].copy_from_slice(&high);
            order
        };
        let pick = |order: [i8; 32]| {
            let order = load32(&order.map(i8::cast_unsigned), 0);
            let picked = _mm256_shuffle_epi8(both, order);
            let other = _mm256_extracti128_si256::<1>(picked);
            bits(_mm256_or_si256(picked, join(other, other)))
        };
        return [
            pick(order([0, 3, 6, 9, 12, 15, -1, -1], [-1, -1, -1, -1, -1, -1, 10, 13])),
            pick(order([1, 4, 7, 10, 13, -1, -1, -1], [-1, -1, -1, -1, -1, 8, 11, 14])),
            pick(order([2, 5, 8, 11, 14, -1, -1, -1], [-1, -1, -1, -1, -1, 9, 12, 15])),
        ];
    }
    let second = row16(row, at + 16);
    let order = twice(&[0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, -1, -1, -1, -1]);
    let both = _mm256_shuffle_epi8(join(first, second), order);
    let other = _mm256_extracti128_si256::<1>(both);
    let other = join(other, other);
    let start = _mm256_unpacklo_epi32(both, other);
    let end = _mm256_unpackhi_epi32(both, other);
    [bits(start), bits(_mm256_unpackhi_epi64(start, start)), bits(end)]
}

/// The lowest eight bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn bits(vector: __m256i) -> [u8; NARROW] {
    _mm_cvtsi128_si64(low(vector)).to_ne_bytes()
}

/// Copies the channels of a run of pixels to three lines, whatever their number.
#[target_feature(enable = "avx2")]
fn line<const P: usize>(row: &Row<'_>, at: usize, [r, g, b]: [&mut [u8]; 3]) {
    let count = r.len();
    let mut lines = [r, g, b];
    if count >= MOST {
        let wide = Wide::<P>::new(MOST);
        let mut x = 0;
        while count - x >= 2 * MOST {
            let from = at + x * P;
            let channels = wide.split((row, from), (row, from + MOST * P));
            for (line, channel) in lines.iter_mut().zip(channels) {
                store32(line, x, channel);
            }
            x += 2 * MOST;
        }
        while x < count {
            let start = x.min(count - MOST);
            let from = (row, at + start * P);
            for (line, channel) in lines.iter_mut().zip(wide.split(from, from)) {
                store16(line, start, low(channel));
            }
            x += MOST;
        }
    } else if count >= NARROW {
        for start in [0, count - NARROW] {
            let channels = narrow(row, at + start * P, P);
            for (line, channel) in lines.iter_mut().zip(channels) {
                line[start..start + NARROW].copy_from_slice(&channel);
            }
        }
    } else {
        for (c, line) in lines.into_iter().enumerate() {
            for (x, byte) in line.iter_mut().enumerate() {
                *byte = row.get(at + x * P + c);
            }
        }
    }
}

/// A row into a line a channel.
#[target_feature(enable = "avx2")]
pub(super) fn split(row: &Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
    if pixel == 3 { line::<3>(row, 0, lines) } else { line::<4>(row, 0, lines) }
}

/// A square of pixels into three planes.
#[target_feature(enable = "avx2")]
pub(super) fn split_patch(rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]) {
    let wide = (WIDE..=MOST).contains(&rows.len());
    match (pixel, wide) {
        (3, true) => patch::<3>(rows, x, planes),
        (3, false) => lines::<3>(rows, x, planes),
        (_, true) => patch::<4>(rows, x, planes),
        (_, false) => lines::<4>(rows, x, planes),
    }
}

#[target_feature(enable = "avx2")]
fn lines<const P: usize>(rows: &[Row<'_>], x: usize, planes: &mut [u8]) {
    let side = rows.len();
    let (_, planes) = planes.split_at_mut(PAD);
    let (red, rest) = planes.split_at_mut(side * side + PAD);
    let (green, blue) = rest.split_at_mut(side * side + PAD);
    for (r, row) in rows.iter().enumerate() {
        let line_of = r * side..(r + 1) * side;
        let channels = [&mut red[line_of.clone()], &mut green[line_of.clone()], &mut blue[line_of]];
        line::<P>(row, x * P, channels);
    }
}

/// Lines that are written as whole vectors, each overhanging into the next, which is written later, and at last into the
/// pad.
#[target_feature(enable = "avx2")]
fn patch<const P: usize>(rows: &[Row<'_>], x: usize, planes: &mut [u8]) {
    let side = rows.len();
    let plane = side * side + PAD;
    let at = x * P;
    let wide = Wide::<P>::new(side);
    for r in (0..side).step_by(2) {
        let next = (r + 1).min(side - 1);
        let channels = wide.split((&rows[r], at), (&rows[next], at));
        for (c, channel) in channels.into_iter().enumerate() {
            let start = PAD + c * plane;
            store16(planes, start + r * side, low(channel));
            store16(planes, start + next * side, _mm256_extracti128_si256::<1>(channel));
        }
    }
}
