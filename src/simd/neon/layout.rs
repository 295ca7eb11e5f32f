//! Bytes from one order to another: rows and groups, pixels and planes.

use std::arch::aarch64::{
    uint8x16_t, uint8x16x4_t, vreinterpretq_u8_u16, vreinterpretq_u16_u8, vzip1q_u8, vzip1q_u16,
    vzip2q_u8, vzip2q_u16,
};

use super::lanes::{load_fourths, pixels8, pixels16, row16, store};
use crate::image::Row;
use crate::pack::PAD;
use crate::simd::{BAND, GROUP, group_len};

/// Eight rows into two groups.
#[target_feature(enable = "neon")]
pub(super) fn interleave(rows: &[Row<'_>; BAND], band: &mut [u8]) {
    let len = rows[0].len();
    let (upper, lower) = band.split_at_mut(group_len(len));
    for (rows, group) in rows.as_chunks::<GROUP>().0.iter().zip([upper, lower]) {
        let mut at = 0;
        while at + 16 <= len {
            let lanes = bytes_to_lanes(rows.each_ref().map(|row| row16(row, at)));
            for (v, lane) in lanes.into_iter().enumerate() {
                store(group, at * GROUP + v * 16, lane);
            }
            at += 16;
        }
        for i in at..len {
            for (r, row) in rows.iter().enumerate() {
                group[i * GROUP + r] = row.get(i);
            }
        }
    }
}

/// ```text
/// zip bytes   a0 b0 a1 b1 .. a7 b7       a8 b8 ..        c0 d0 ..
/// zip words   a0 b0 c0 d0 .. a3 b3 c3 d3     a4 ..       a8 ..       a12 ..
/// ```
#[inline]
#[target_feature(enable = "neon")]
fn bytes_to_lanes([a, b, c, d]: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
    let [ab_low, ab_high, cd_low, cd_high] =
        [vzip1q_u8(a, b), vzip2q_u8(a, b), vzip1q_u8(c, d), vzip2q_u8(c, d)]
            .map(|v| vreinterpretq_u16_u8(v));
    [
        vzip1q_u16(ab_low, cd_low),
        vzip2q_u16(ab_low, cd_low),
        vzip1q_u16(ab_high, cd_high),
        vzip2q_u16(ab_high, cd_high),
    ]
    .map(|v| vreinterpretq_u8_u16(v))
}

/// A group into four rows: `ld4` takes every fourth byte to the same vector.
#[target_feature(enable = "neon")]
pub(super) fn deinterleave(group: &[u8], rows: [&mut [u8]; GROUP]) {
    let [a, b, c, d] = rows;
    let len = a.len().min(b.len()).min(c.len()).min(d.len());
    let mut rows = [a, b, c, d];
    let mut at = 0;
    while at + 16 <= len {
        let uint8x16x4_t(a, b, c, d) = load_fourths(group, at * GROUP);
        for (row, bytes) in rows.iter_mut().zip([a, b, c, d]) {
            store(row, at, bytes);
        }
        at += 16;
    }
    for (r, row) in rows.into_iter().enumerate() {
        for (i, byte) in row.iter_mut().enumerate().skip(at) {
            *byte = group[i * GROUP + r];
        }
    }
}

/// Pixels that `ld3` and `ld4` take apart at once, of whole vectors and of halves.
const WIDE: usize = 16;
const NARROW: usize = 8;

/// Copies the channels of a run of pixels from byte `at` of a row on to three lines, whatever their number.
#[inline]
#[target_feature(enable = "neon")]
fn line<const P: usize>(row: &Row<'_>, at: usize, [r, g, b]: [&mut [u8]; 3]) {
    let count = r.len();
    let mut lines = [r, g, b];
    if count >= WIDE {
        let mut x = 0;
        while x < count {
            // The last ones overlap those before them.
            let start = x.min(count - WIDE);
            for (line, channel) in lines.iter_mut().zip(pixels16::<P>(row, at + start * P)) {
                store(line, start, channel);
            }
            x += WIDE;
        }
    } else if count >= NARROW {
        for start in [0, count - NARROW] {
            for (line, channel) in lines.iter_mut().zip(pixels8::<P>(row, at + start * P)) {
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
#[target_feature(enable = "neon")]
pub(super) fn split(row: &Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
    if pixel == 3 { line::<3>(row, 0, lines) } else { line::<4>(row, 0, lines) }
}

/// A square of pixels into three planes.
#[target_feature(enable = "neon")]
pub(super) fn split_patch(rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]) {
    if pixel == 3 { patch::<3>(rows, x, planes) } else { patch::<4>(rows, x, planes) }
}

/// Lines of 8 to 16 pixels are written as whole vectors where the row goes on so far, each overhanging into the next, which
/// is written later, and at last into the pad.
#[target_feature(enable = "neon")]
fn patch<const P: usize>(rows: &[Row<'_>], x: usize, planes: &mut [u8]) {
    let side = rows.len();
    let plane = side * side + PAD;
    let wide = (NARROW..=WIDE).contains(&side);
    for (r, row) in rows.iter().enumerate() {
        if wide && (x + WIDE) * P <= row.len() {
            for (c, channel) in pixels16::<P>(row, x * P).into_iter().enumerate() {
                store(planes, PAD + c * plane + r * side, channel);
            }
            continue;
        }
        let (_, planes) = planes.split_at_mut(PAD);
        let (red, rest) = planes.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let of = r * side..(r + 1) * side;
        line::<P>(row, x * P, [&mut red[of.clone()], &mut green[of.clone()], &mut blue[of]]);
    }
}
