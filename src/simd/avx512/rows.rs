//! Moving bytes: rows to groups and back, rows to planes.

use super::super::{BAND, GROUP, group_len};
use super::ops::{
    Eight, Line, Ops, load, load_part, load_row, load_row_part, load_row_upto, store, store_lane,
    store_part,
};
use crate::image::Row;
use crate::pack::PAD;

/// A line whose byte `i` is `$body`, made when the crate is compiled.
macro_rules! line {
    (|$i:ident| $body:expr) => {{
        let mut line = Line::ZERO;
        let mut $i = 0;
        while $i < 64 {
            line.0[$i] = ($body) as u8;
            $i += 1;
        }
        line
    }};
}

/// Lanes 0 and 1, or 2 and 3, of each of two vectors.
const LOW: i32 = 0b01_00_01_00;
const HIGH: i32 = 0b11_10_11_10;

/// Two rows to the words of 32 components, those of vectors 0 and 1 side by side in each lane.
///
/// ```text
/// lane i      c(4i)r0 c(4i)r1 .. c(4i+3)r0 c(4i+3)r1   c(16+4i)r0 c(16+4i)r1 .. c(16+4i+3)r1
/// ```
const PAIRS: [Line; 2] = [
    line!(|i| i % 2 * 64 + i / 16 * 4 + i / 2 % 4 + i / 8 % 2 * 16),
    line!(|i| i % 2 * 64 + i / 16 * 4 + i / 2 % 4 + i / 8 % 2 * 16 + 32),
];

/// Eight rows into the groups of a band.
#[inline(always)]
pub(super) fn interleave<O: Ops>(ops: O, rows: &[Row<'_>; BAND], band: &mut [u8]) {
    let len = rows[0].len();
    let rows = Eight::new(rows, len, false);
    let (first, second) = band.split_at_mut(group_len(len));
    for (half, group) in [first, second].into_iter().enumerate() {
        let mut at = 0;
        while at < len {
            let mut four = [ops.splat(0); GROUP];
            for r in 0..GROUP {
                four[r] = if len - at >= 64 {
                    rows.load(ops, half * GROUP + r, at)
                } else {
                    rows.load_part(ops, half * GROUP + r, at)
                };
            }
            let vectors = grouped(ops, four);
            for v in 0..4 {
                if at + v * 16 < len {
                    store(ops, group, at * GROUP + v * 64, vectors[v]);
                }
            }
            at += 64;
        }
    }
}

/// 64 components of four rows as the four vectors of a group: [`PAIRS`] of two rows each, then
///
/// ```text
/// vpunpcklwd  c(4i)r0 c(4i)r1 c(4i)r2 c(4i)r3 .. c(4i+3)r3         lane i of vector 0
/// vpunpckhwd  the same from c(16+4i) on                            lane i of vector 1
/// ```
#[inline(always)]
fn grouped<O: Ops>(ops: O, [a, b, c, d]: [O::V; GROUP]) -> [O::V; 4] {
    let (near, far) = (PAIRS[0].load(ops), PAIRS[1].load(ops));
    let (ab, cd) = (ops.permute2(a, near, b), ops.permute2(c, near, d));
    let (ef, gh) = (ops.permute2(a, far, b), ops.permute2(c, far, d));
    [
        ops.unpack_words::<false>(ab, cd),
        ops.unpack_words::<true>(ab, cd),
        ops.unpack_words::<false>(ef, gh),
        ops.unpack_words::<true>(ef, gh),
    ]
}

/// Two vectors of a group to 32 bytes of one row, then 32 of the next.
const ROWS: [Line; 2] = [line!(|i| i % 32 * 4 + i / 32), line!(|i| i % 32 * 4 + i / 32 + 2)];

/// The four vectors of a group as 64 components of four rows, or four dwords' bytes each to its own plane.
///
/// ```text
/// vpermt2b    c0r0 c1r0 .. c31r0 c0r1 .. c31r1,  the same of rows 2 and 3; then of c32 .. c63
/// vshufi32x4  c0r0 .. c63r0,  c0r1 .. c63r1, ..
/// ```
#[inline(always)]
pub(super) fn ungrouped<O: Ops>(ops: O, [a, b, c, d]: [O::V; 4]) -> [O::V; GROUP] {
    let (first, second) = (ROWS[0].load(ops), ROWS[1].load(ops));
    let (near, far) = (ops.permute2(a, first, b), ops.permute2(c, first, d));
    let (near_later, far_later) = (ops.permute2(a, second, b), ops.permute2(c, second, d));
    [
        ops.lanes::<LOW>(near, far),
        ops.lanes::<HIGH>(near, far),
        ops.lanes::<LOW>(near_later, far_later),
        ops.lanes::<HIGH>(near_later, far_later),
    ]
}

/// The rows of a group, each as long as it is.
#[inline(always)]
#[expect(clippy::needless_pass_by_value, reason = "the trait hands over the borrows")]
pub(super) fn deinterleave<O: Ops>(ops: O, group: &[u8], rows: [&mut [u8]; GROUP]) {
    let mut longest = 0;
    for row in &rows {
        longest = longest.max(row.len());
        assert!(row.len() <= group.len() / GROUP, "group shorter than its rows");
    }
    let mut at = 0;
    while at < longest {
        let mut four = [ops.splat(0); 4];
        for v in 0..4 {
            let from = at * GROUP + v * 64;
            four[v] = if from + 64 <= group.len() {
                load(ops, group, from)
            } else {
                load_part(ops, group, from)
            };
        }
        let lines = ungrouped(ops, four);
        for r in 0..GROUP {
            if at + 64 <= rows[r].len() {
                store(ops, rows[r], at, lines[r]);
            } else {
                store_part(ops, rows[r], at, 64, lines[r]);
            }
        }
        at += 64;
    }
}

/// Channel `c` of 64 pixels of three bytes: from the first two vectors, then the rest from the third.
const CHANNELS: [[Line; 2]; 3] = [channel(0), channel(1), channel(2)];

const fn channel(c: usize) -> [Line; 2] {
    [
        line!(|i| if 3 * i + c < 128 { 3 * i + c } else { 0 }),
        line!(|i| if 3 * i + c < 128 { i } else { 3 * i + c - 64 }),
    ]
}

/// Of 32 pixels of four bytes: channel 0 and channel 1; channel 2 twice.
const WIDE_CHANNELS: [Line; 2] = [line!(|i| i % 32 * 4 + i / 32), line!(|i| i % 32 * 4 + 2)];

/// The first three channels of `row` into lines.
#[inline(always)]
pub(super) fn split<O: Ops>(ops: O, row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
    split_line(ops, row, 0, pixel, lines);
}

/// The pixels of `row` from byte `from` on into three lines of one length.
#[inline(always)]
fn split_line<O: Ops>(ops: O, row: Row<'_>, from: usize, pixel: usize, lines: [&mut [u8]; 3]) {
    let [first, second, third] = lines;
    let len = first.len();
    assert!(row.len() >= from && row.len() - from >= len * pixel, "row shorter than its planes");
    let mut x = 0;
    while x < len {
        let at = from + x * pixel;
        let channels = if pixel == 3 {
            let vectors = [
                load_row_upto(ops, row, at),
                load_row_upto(ops, row, at + 64),
                load_row_upto(ops, row, at + 128),
            ];
            three(ops, vectors)
        } else {
            let vectors = [
                load_row_upto(ops, row, at),
                load_row_upto(ops, row, at + 64),
                load_row_upto(ops, row, at + 128),
                load_row_upto(ops, row, at + 192),
            ];
            four(ops, vectors)
        };
        if len - x >= 64 {
            store(ops, first, x, channels[0]);
            store(ops, second, x, channels[1]);
            store(ops, third, x, channels[2]);
        } else {
            store_part(ops, first, x, 64, channels[0]);
            store_part(ops, second, x, 64, channels[1]);
            store_part(ops, third, x, 64, channels[2]);
        }
        x += 64;
    }
}

/// The channels of 64 pixels of three bytes. Of the red ones, for instance:
///
/// ```text
/// vpermt2b a, b    x0 .. x42, not yet the rest
/// vpermt2b .., c   x0 .. x42 x43 .. x63
/// ```
#[inline(always)]
fn three<O: Ops>(ops: O, [a, b, c]: [O::V; 3]) -> [O::V; 3] {
    let mut channels = [a; 3];
    for i in 0..3 {
        let near = ops.permute2(a, CHANNELS[i][0].load(ops), b);
        channels[i] = ops.permute2(near, CHANNELS[i][1].load(ops), c);
    }
    channels
}

/// The channels of 64 pixels of four bytes.
///
/// ```text
/// vpermt2b a, b    32 red, 32 green; 32 blue twice       c, d likewise
/// vshufi32x4       64 red; 64 green; 64 blue
/// ```
#[inline(always)]
fn four<O: Ops>(ops: O, [a, b, c, d]: [O::V; 4]) -> [O::V; 3] {
    let (first, second) = (WIDE_CHANNELS[0].load(ops), WIDE_CHANNELS[1].load(ops));
    let (near, far) = (ops.permute2(a, first, b), ops.permute2(c, first, d));
    let (near_blue, far_blue) = (ops.permute2(a, second, b), ops.permute2(c, second, d));
    [
        ops.lanes::<LOW>(near, far),
        ops.lanes::<HIGH>(near, far),
        ops.lanes::<LOW>(near_blue, far_blue),
    ]
}

/// How four rows of a patch of `side` pixels of `pixel` bytes come apart.
///
/// ```text
/// vpermt2b    rows 0 and 1: red of both, green of both        rows 2 and 3 likewise
///             and blue of both
/// vpermt2b    red of all four; green; blue
/// ```
struct Fours {
    red_green: Line,
    blue: Line,
    first: Line,
    second: Line,
}

impl Fours {
    const fn new(side: usize, pixel: usize) -> Self {
        let two = 2 * side;
        Self {
            red_green: line!(|i| i % two / side * 64
                + i % side * pixel
                + if i < two { 0 } else { 1 }),
            blue: line!(|i| i % two / side * 64 + i % side * pixel + 2),
            first: line!(|i| i / two * 64 + i % two),
            second: line!(|i| i / two * 64 + i % two + two),
        }
    }
}

/// Those of patches of 14 and of 16, of three and of four bytes a pixel.
const FOURS: [[Fours; 2]; 2] =
    [[Fours::new(14, 3), Fours::new(14, 4)], [Fours::new(16, 3), Fours::new(16, 4)]];

/// A patch of as many rows as `rows`, split into planes. What is written too much lies in the next row, which is written
/// later, and at last in the pad.
#[inline(always)]
pub(super) fn split_patch<O: Ops>(
    ops: O,
    rows: &[Row<'_>],
    x: usize,
    pixel: usize,
    planes: &mut [u8],
) {
    let side = rows.len();
    let area = side * side;
    assert!(planes.len() >= 3 * (area + PAD) + PAD, "planes of a patch");
    let mut shortest = usize::MAX;
    for row in rows {
        shortest = shortest.min(row.len());
    }
    assert!((x + side) * pixel <= shortest, "row shorter than its patch");
    match side {
        14 => split_fours::<O, 14>(ops, rows, x, pixel, shortest, planes),
        16 => split_fours::<O, 16>(ops, rows, x, pixel, shortest, planes),
        _ => split_lanes(ops, rows, x, pixel, shortest, planes),
    }
}

/// Four rows at a time.
#[inline(always)]
#[expect(clippy::many_single_char_names, reason = "four rows")]
fn split_fours<O: Ops, const SIDE: usize>(
    ops: O,
    rows: &[Row<'_>],
    x: usize,
    pixel: usize,
    shortest: usize,
    planes: &mut [u8],
) {
    let fours = &FOURS[(SIDE - 14) / 2][pixel - 3];
    let (red_green, blue) = (fours.red_green.load(ops), fours.blue.load(ops));
    let (first, second) = (fours.first.load(ops), fours.second.load(ops));
    let (at, plane) = (x * pixel, SIDE * SIDE + PAD);
    for y in (0..SIDE).step_by(4) {
        let mut four = [red_green; 4];
        for r in 0..4 {
            let row = rows[(y + r).min(SIDE - 1)];
            four[r] = if at + 64 <= shortest {
                load_row(ops, row, at)
            } else {
                load_row_part(ops, row, at, SIDE * pixel)
            };
        }
        let [a, b, c, d] = four;
        let (near, far) = (ops.permute2(a, red_green, b), ops.permute2(c, red_green, d));
        let (near_blue, far_blue) = (ops.permute2(a, blue, b), ops.permute2(c, blue, d));
        let to = PAD + y * SIDE;
        store(ops, planes, to, ops.permute2(near, first, far));
        store(ops, planes, to + plane, ops.permute2(near, second, far));
        store(ops, planes, to + 2 * plane, ops.permute2(near_blue, first, far_blue));
    }
}

/// Sixteen pixels: red, green and blue in a lane each.
const SIXTEEN: [Line; 2] = [line!(|i| i % 16 * 3 + i / 16 % 3), line!(|i| i % 16 * 4 + i / 16 % 3)];

/// Sixteen pixels of a row at a time.
#[inline(always)]
fn split_lanes<O: Ops>(
    ops: O,
    rows: &[Row<'_>],
    x: usize,
    pixel: usize,
    shortest: usize,
    planes: &mut [u8],
) {
    let side = rows.len();
    let area = side * side;
    let index = SIXTEEN[pixel - 3].load(ops);
    let right = (x + side) * pixel;
    for (y, row) in rows.iter().enumerate() {
        let mut left = 0;
        while left < side {
            let at = (x + left) * pixel;
            let bytes = if at + 64 <= shortest {
                load_row(ops, *row, at)
            } else {
                load_row_part(ops, *row, at, (right - at).min(64))
            };
            let channels = ops.permute(index, bytes);
            let to = PAD + y * side + left;
            store_lane::<O, 0>(ops, planes, to, channels);
            store_lane::<O, 1>(ops, planes, to + area + PAD, channels);
            store_lane::<O, 2>(ops, planes, to + 2 * (area + PAD), channels);
            left += 16;
        }
    }
}
