//! The plain version, which defines the answer.

use super::{Chroma, GROUP_HEIGHT, GROUP_WIDTH, Group};

/// Bits of the fixed-point constants, and those that the first pass leaves in.
const BITS: u32 = 13;
const LEFT: u32 = 2;

/// `x * 2^13`, rounded.
const fn fixed(thousandths: f64) -> i32 {
    (thousandths * 8192.0 + 0.5) as i32
}

/// The constants of the transform, as libjpeg's method of accurate integers has them.
pub(super) mod constants {
    use super::fixed;
    pub(in super::super) const F_0_298: i32 = fixed(0.298_631_336);
    pub(in super::super) const F_0_390: i32 = fixed(0.390_180_644);
    pub(in super::super) const F_0_541: i32 = fixed(0.541_196_100);
    pub(in super::super) const F_0_765: i32 = fixed(0.765_366_865);
    pub(in super::super) const F_0_899: i32 = fixed(0.899_976_223);
    pub(in super::super) const F_1_175: i32 = fixed(1.175_875_602);
    pub(in super::super) const F_1_501: i32 = fixed(1.501_321_110);
    pub(in super::super) const F_1_847: i32 = fixed(1.847_759_065);
    pub(in super::super) const F_1_961: i32 = fixed(1.961_570_560);
    pub(in super::super) const F_2_053: i32 = fixed(2.053_119_869);
    pub(in super::super) const F_2_562: i32 = fixed(2.562_915_447);
    pub(in super::super) const F_3_072: i32 = fixed(3.072_711_026);
}
use constants::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072,
};

fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Eight points. Words wrap where vector code has words, and saturate where it packs.
fn eight(v: [i16; 8], shift: u32) -> [i16; 8] {
    let product = |value: i16, factor: i32| i32::from(value) * factor;
    let even = |sum: i16| i32::from(sum) << BITS;
    let tmp0 = even(v[0].wrapping_add(v[4]));
    let tmp1 = even(v[0].wrapping_sub(v[4]));
    let tmp2 = product(v[2], F_0_541) + product(v[6], F_0_541 - F_1_847);
    let tmp3 = product(v[2], F_0_541 + F_0_765) + product(v[6], F_0_541);
    let (tmp10, tmp13) = (tmp0 + tmp3, tmp0 - tmp3);
    let (tmp11, tmp12) = (tmp1 + tmp2, tmp1 - tmp2);
    let (z3, z4) = (v[7].wrapping_add(v[3]), v[5].wrapping_add(v[1]));
    let sum3 = product(z3, F_1_175 - F_1_961) + product(z4, F_1_175);
    let sum4 = product(z3, F_1_175) + product(z4, F_1_175 - F_0_390);
    let odd0 = product(v[7], F_0_298 - F_0_899) - product(v[1], F_0_899) + sum3;
    let odd1 = product(v[5], F_2_053 - F_2_562) - product(v[3], F_2_562) + sum4;
    let odd2 = product(v[3], F_3_072 - F_2_562) - product(v[5], F_2_562) + sum3;
    let odd3 = product(v[1], F_1_501 - F_0_899) - product(v[7], F_0_899) + sum4;
    let end = |sum: i32| saturate(sum.wrapping_add(1 << (shift - 1)) >> shift);
    [
        end(tmp10.wrapping_add(odd3)),
        end(tmp11.wrapping_add(odd2)),
        end(tmp12.wrapping_add(odd1)),
        end(tmp13.wrapping_add(odd0)),
        end(tmp13.wrapping_sub(odd0)),
        end(tmp12.wrapping_sub(odd1)),
        end(tmp11.wrapping_sub(odd2)),
        end(tmp10.wrapping_sub(odd3)),
    ]
}

/// See [`Kernels::idct`](super::Kernels::idct).
pub(super) fn idct(group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
    assert!(stride >= GROUP_WIDTH && out.len() >= 7 * stride + GROUP_WIDTH, "rows of samples");
    for block in 0..4 {
        let coefficient = |row: usize, column: usize| group[row * 32 + block * 8 + column];
        let value = |row, column| coefficient(row, column).wrapping_mul(table[row * 8 + column]);
        let mut columns = [[0; 8]; 8];
        let flat = (1..8).all(|row| (0..8).all(|column| coefficient(row, column) == 0));
        for (x, column) in columns.iter_mut().enumerate() {
            *column = if flat {
                // A shortcut, which wraps where the long way saturates.
                [value(0, x) << LEFT; 8]
            } else {
                eight(std::array::from_fn(|row| value(row, x)), BITS - LEFT)
            };
        }
        for y in 0..GROUP_HEIGHT {
            let row = eight(columns.map(|column| column[y]), BITS + LEFT + 3);
            let start = y * stride + block * 8;
            for (byte, value) in out[start..start + 8].iter_mut().zip(row) {
                *byte = (value.clamp(-128, 127) + 128) as u8;
            }
        }
    }
    group.fill(0);
}

/// 16 bits of a fraction, rounded.
const fn sixteenth(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

/// A pixel of luma and differences.
fn pixel(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(luma), i32::from(blue) - 128, i32::from(red) - 128);
    let r = y + ((sixteenth(1.402) * cr + HALF) >> 16);
    let g = y + ((-sixteenth(0.344_14) * cb - sixteenth(0.714_14) * cr + HALF) >> 16);
    let b = y + ((sixteenth(1.772) * cb + HALF) >> 16);
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}

/// The sample of pixel `x`, whose own is at `x / 2 + 1` of `sums`, which are `scale` times too large.
fn between(sums: impl Fn(usize) -> u16, x: usize, [left, right]: [u16; 2], shift: u32) -> u8 {
    let this = 3 * sums(x / 2 + 1);
    let sum = if x.is_multiple_of(2) {
        this + sums(x / 2) + left
    } else {
        this + sums(x / 2 + 2) + right
    };
    (sum >> shift) as u8
}

/// See [`Kernels::rgb`](super::Kernels::rgb).
pub(super) fn rgb(luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
    for (x, bytes) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let [blue, red] = match chroma {
            Chroma::Full(rows) => rows.map(|row| row[x]),
            Chroma::Wide(rows) => rows.map(|row| between(|i| u16::from(row[i]), x, [1, 2], 2)),
            Chroma::Both(rows) => rows.map(|(near, far)| {
                between(|i| 3 * u16::from(near[i]) + u16::from(far[i]), x, [8, 7], 4)
            }),
        };
        *bytes = pixel(luma[x], blue, red);
    }
}

/// See [`Kernels::grey`](super::Kernels::grey).
pub(super) fn grey(luma: &[u8], out: &mut [u8]) {
    let pixels = out.as_chunks_mut::<3>().0;
    for (pixel, &byte) in pixels.iter_mut().zip(luma) {
        *pixel = [byte; 3];
    }
}
