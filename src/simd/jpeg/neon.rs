//! NEON: a block, or 32 pixels, at a time.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, and calls of functions with target features"
)]
#![expect(clippy::needless_range_loop, reason = "arrays of registers")]

use std::arch::aarch64::{
    int16x8_t, int32x4_t, uint8x8_t, uint8x16_t, uint8x16x3_t, uint16x8_t, vaddq_s16, vaddq_s32,
    vaddq_u16, vcgeq_u16, vcombine_s16, vcombine_u8, vdup_n_u8, vdupq_n_s16, vdupq_n_s32,
    vdupq_n_u8, vdupq_n_u16, veorq_u8, vget_high_s16, vget_high_u8, vget_low_s16, vget_low_u8,
    vld1q_s16, vld1q_u8, vmaxvq_u16, vmlal_n_s16, vmlal_u8, vmlaq_n_u16, vmovl_u8, vmull_n_s16,
    vmulq_s16, vorrq_u16, vqmovn_s32, vqmovun_s16, vqrdmulhq_n_s16, vqshrn_n_s16,
    vreinterpret_u8_s8, vreinterpretq_s16_s32, vreinterpretq_s16_s64, vreinterpretq_s16_u16,
    vreinterpretq_s32_s16, vreinterpretq_s64_s32, vreinterpretq_u8_u32, vreinterpretq_u16_s16,
    vreinterpretq_u16_u8, vreinterpretq_u32_u16, vrshrn_n_s32, vrshrq_n_u16, vshll_n_s16,
    vshrq_n_s32, vshrq_n_u16, vst1_u8, vst3q_u8, vsubl_u8, vsubq_s16, vsubq_s32, vsubq_u16,
    vtrn1q_s16, vtrn1q_s32, vtrn1q_s64, vtrn1q_u8, vtrn1q_u16, vtrn2q_s16, vtrn2q_s32, vtrn2q_s64,
    vtrn2q_u8, vtrn2q_u16, vuzp1q_u32, vuzp2q_s16, vuzp2q_u32, vzip1q_s16, vzip2q_s16,
};

use super::scalar::constants::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072,
};
use super::{Chroma, GROUP_WIDTH, Group, Kernels, scalar};
use crate::simd::Neon;

impl Kernels for Neon {
    fn idct(self, group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
        // SAFETY: every 64-bit Arm CPU that Rust's standard library runs on has NEON.
        unsafe { idct(group, table, out, stride) }
    }

    fn rgb(self, luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
        // SAFETY: see `idct`.
        unsafe { rgb(luma, chroma, out) }
    }

    fn grey(self, luma: &[u8], out: &mut [u8]) {
        // SAFETY: see `idct`.
        unsafe { grey(luma, out) }
    }
}

/// 16 bytes of `bytes` from `at` on.
#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8], at: usize) -> uint8x16_t {
    let bytes = &bytes[at..at + 16];
    // SAFETY: the slice is 16 bytes long.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Eight words of `words` from `at` on.
#[inline]
#[target_feature(enable = "neon")]
fn words(words: &[i16], at: usize) -> int16x8_t {
    let words = &words[at..at + 8];
    // SAFETY: the slice has eight words.
    unsafe { vld1q_s16(words.as_ptr()) }
}

/// Eight bytes to `bytes` from `at` on.
#[inline]
#[target_feature(enable = "neon")]
fn store(bytes: &mut [u8], at: usize, vector: uint8x8_t) {
    let bytes = &mut bytes[at..at + 8];
    // SAFETY: the slice is eight bytes long.
    unsafe { vst1_u8(bytes.as_mut_ptr(), vector) }
}

/// The dwords of the lower and of the upper four words.
type Halves = [int32x4_t; 2];

#[inline]
#[target_feature(enable = "neon")]
fn products(a: int16x8_t, factor: i32) -> Halves {
    let factor = factor as i16;
    [vmull_n_s16(vget_low_s16(a), factor), vmull_n_s16(vget_high_s16(a), factor)]
}

/// The same, added to sums.
#[inline]
#[target_feature(enable = "neon")]
fn more(sums: Halves, a: int16x8_t, factor: i32) -> Halves {
    let factor = factor as i16;
    [vmlal_n_s16(sums[0], vget_low_s16(a), factor), vmlal_n_s16(sums[1], vget_high_s16(a), factor)]
}

#[inline]
#[target_feature(enable = "neon")]
fn add(a: Halves, b: Halves) -> Halves {
    [vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "neon")]
fn subtract(a: Halves, b: Halves) -> Halves {
    [vsubq_s32(a[0], b[0]), vsubq_s32(a[1], b[1])]
}

/// Eight points of every lane, before they are shifted, with `round` in them: see the plain version.
#[inline]
#[target_feature(enable = "neon")]
fn eight(v: &[int16x8_t; 8], round: i32) -> [Halves; 8] {
    let round = vdupq_n_s32(round);
    let even = |sum: int16x8_t| {
        let halves = [vshll_n_s16::<13>(vget_low_s16(sum)), vshll_n_s16::<13>(vget_high_s16(sum))];
        add(halves, [round; 2])
    };
    let tmp0 = even(vaddq_s16(v[0], v[4]));
    let tmp1 = even(vsubq_s16(v[0], v[4]));
    let tmp2 = more(products(v[2], F_0_541), v[6], F_0_541 - F_1_847);
    let tmp3 = more(products(v[2], F_0_541 + F_0_765), v[6], F_0_541);
    let (tmp10, tmp13) = (add(tmp0, tmp3), subtract(tmp0, tmp3));
    let (tmp11, tmp12) = (add(tmp1, tmp2), subtract(tmp1, tmp2));
    let (z3, z4) = (vaddq_s16(v[7], v[3]), vaddq_s16(v[5], v[1]));
    let sum3 = more(products(z3, F_1_175 - F_1_961), z4, F_1_175);
    let sum4 = more(products(z3, F_1_175), z4, F_1_175 - F_0_390);
    let odd0 = more(more(sum3, v[7], F_0_298 - F_0_899), v[1], -F_0_899);
    let odd1 = more(more(sum4, v[5], F_2_053 - F_2_562), v[3], -F_2_562);
    let odd2 = more(more(sum3, v[3], F_3_072 - F_2_562), v[5], -F_2_562);
    let odd3 = more(more(sum4, v[1], F_1_501 - F_0_899), v[7], -F_0_899);
    [
        add(tmp10, odd3),
        add(tmp11, odd2),
        add(tmp12, odd1),
        add(tmp13, odd0),
        subtract(tmp13, odd0),
        subtract(tmp12, odd1),
        subtract(tmp11, odd2),
        subtract(tmp10, odd3),
    ]
}

/// Rows of words to columns.
#[inline]
#[target_feature(enable = "neon")]
fn transpose(v: &[int16x8_t; 8]) -> [int16x8_t; 8] {
    let mut two = *v;
    for pair in 0..4 {
        let (a, b) = (v[2 * pair], v[2 * pair + 1]);
        (two[2 * pair], two[2 * pair + 1]) = (vtrn1q_s16(a, b), vtrn2q_s16(a, b));
    }
    // Columns 0 and 4 of the upper four rows, 2 and 6, 1 and 5, 3 and 7, and the same of the lower ones.
    let mut four = two;
    for half in 0..2 {
        for odd in 0..2 {
            let a = vreinterpretq_s32_s16(two[4 * half + odd]);
            let b = vreinterpretq_s32_s16(two[4 * half + 2 + odd]);
            four[4 * half + odd] = vreinterpretq_s16_s32(vtrn1q_s32(a, b));
            four[4 * half + 2 + odd] = vreinterpretq_s16_s32(vtrn2q_s32(a, b));
        }
    }
    let mut columns = four;
    for column in 0..4 {
        let upper = vreinterpretq_s64_s32(vreinterpretq_s32_s16(four[column]));
        let lower = vreinterpretq_s64_s32(vreinterpretq_s32_s16(four[4 + column]));
        columns[column] = vreinterpretq_s16_s64(vtrn1q_s64(upper, lower));
        columns[4 + column] = vreinterpretq_s16_s64(vtrn2q_s64(upper, lower));
    }
    columns
}

#[target_feature(enable = "neon")]
fn idct(group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
    assert!(stride >= GROUP_WIDTH && out.len() >= 7 * stride + GROUP_WIDTH, "rows of samples");
    let mut factors = [vdupq_n_s16(0); 8];
    for row in 0..8 {
        factors[row] = words(table, row * 8);
    }
    // Where these are too large, blocks without other rows take the shortcut of the plain version, which wraps.
    let mut large = vdupq_n_u16(0);
    for block in 0..4 {
        let first = vmulq_s16(words(group, block * 8), factors[0]);
        let around = vaddq_u16(vreinterpretq_u16_s16(first), vdupq_n_u16(1 << 13));
        large = vorrq_u16(large, vcgeq_u16(around, vdupq_n_u16(1 << 14)));
    }
    if vmaxvq_u16(large) != 0 {
        return scalar::idct(group, table, out, stride);
    }
    for block in 0..4 {
        let mut v = factors;
        for row in 0..8 {
            v[row] = vmulq_s16(words(group, row * 32 + block * 8), factors[row]);
        }
        let sums = eight(&v, 1 << 10);
        for row in 0..8 {
            let [low, high] = sums[row];
            let (low, high) = (vshrq_n_s32::<11>(low), vshrq_n_s32::<11>(high));
            v[row] = vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
        }
        let sums = eight(&transpose(&v), 1 << 17);
        let mut columns = [vdup_n_u8(0); 8];
        for x in 0..8 {
            // Shifted by 16, which leaves the upper words, and by two more.
            let [low, high] = sums[x].map(|half| vreinterpretq_s16_s32(half));
            columns[x] = vreinterpret_u8_s8(vqshrn_n_s16::<2>(vuzp2q_s16(low, high)));
        }
        let rows = bytes_transposed(columns);
        for (number, rows) in rows.into_iter().enumerate() {
            let rows = veorq_u8(rows, vdupq_n_u8(0x80));
            // Rows 0 and 2, 1 and 3, and so on.
            let at = (number / 2 * 4 + number % 2) * stride + block * 8;
            store(out, at, vget_low_u8(rows));
            store(out, at + 2 * stride, vget_high_u8(rows));
        }
    }
    group.fill(0);
}

/// Columns of bytes to rows: 0 and 2, 1 and 3, 4 and 6, 5 and 7.
#[inline]
#[target_feature(enable = "neon")]
fn bytes_transposed(c: [uint8x8_t; 8]) -> [uint8x16_t; 4] {
    let q = [
        vcombine_u8(c[0], c[4]),
        vcombine_u8(c[1], c[5]),
        vcombine_u8(c[2], c[6]),
        vcombine_u8(c[3], c[7]),
    ];
    let words = |v: uint8x16_t| vreinterpretq_u16_u8(v);
    let (even01, odd01) = (words(vtrn1q_u8(q[0], q[1])), words(vtrn2q_u8(q[0], q[1])));
    let (even23, odd23) = (words(vtrn1q_u8(q[2], q[3])), words(vtrn2q_u8(q[2], q[3])));
    let dwords = |v: uint16x8_t| vreinterpretq_u32_u16(v);
    let (rows04, rows26) = (dwords(vtrn1q_u16(even01, even23)), dwords(vtrn2q_u16(even01, even23)));
    let (rows15, rows37) = (dwords(vtrn1q_u16(odd01, odd23)), dwords(vtrn2q_u16(odd01, odd23)));
    [
        vreinterpretq_u8_u32(vuzp1q_u32(rows04, rows26)),
        vreinterpretq_u8_u32(vuzp1q_u32(rows15, rows37)),
        vreinterpretq_u8_u32(vuzp2q_u32(rows04, rows26)),
        vreinterpretq_u8_u32(vuzp2q_u32(rows15, rows37)),
    ]
}

/// The differences of 32 pixels, eight a vector.
type Words = [int16x8_t; 4];

/// Eight pixels of luma and differences as red, green and blue.
#[inline]
#[target_feature(enable = "neon")]
fn colours(luma: uint8x8_t, cb: int16x8_t, cr: int16x8_t) -> [uint8x8_t; 3] {
    let y = vreinterpretq_s16_u16(vmovl_u8(luma));
    // Twice the difference times half the factor, rounded: equal to the plain version for each of 256 values.
    let r = vqrdmulhq_n_s16(vaddq_s16(cr, cr), 22_971);
    let b = vqrdmulhq_n_s16(vaddq_s16(cb, cb), 29_033);
    // The factor of red is one too large for a word.
    let sums = more(products(cb, -22_554), cr, 65_536 - 46_802);
    let g = vcombine_s16(vrshrn_n_s32::<16>(sums[0]), vrshrn_n_s32::<16>(sums[1]));
    let g = vsubq_s16(vaddq_s16(y, g), cr);
    [vqmovun_s16(vaddq_s16(y, r)), vqmovun_s16(g), vqmovun_s16(vaddq_s16(y, b))]
}

/// 16 pixels to those of `out` from `x` on, or as many as there are.
#[inline]
#[target_feature(enable = "neon")]
fn emit(out: &mut [u8], x: usize, [r, g, b]: [uint8x16_t; 3]) {
    if out.len() >= 3 * (x + 16) {
        let bytes = &mut out[3 * x..3 * x + 48];
        // SAFETY: the slice is 48 bytes long.
        unsafe { vst3q_u8(bytes.as_mut_ptr(), uint8x16x3_t(r, g, b)) }
    } else if out.len() > 3 * x {
        let mut last = [0; 48];
        // SAFETY: the array is 48 bytes long.
        unsafe { vst3q_u8(last.as_mut_ptr(), uint8x16x3_t(r, g, b)) }
        let rest = &mut out[3 * x..];
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// Bytes of a vector as words.
#[inline]
#[target_feature(enable = "neon")]
fn widened(bytes: uint8x16_t) -> [uint16x8_t; 2] {
    [vmovl_u8(vget_low_u8(bytes)), vmovl_u8(vget_high_u8(bytes))]
}

/// Three times a vector's bytes and once those of another.
#[inline]
#[target_feature(enable = "neon")]
fn weighted(thrice: uint8x16_t, once: uint8x16_t) -> [uint16x8_t; 2] {
    let [low, high] = widened(once);
    let three = vdup_n_u8(3);
    [vmlal_u8(low, vget_low_u8(thrice), three), vmlal_u8(high, vget_high_u8(thrice), three)]
}

/// Even and odd pixels' samples as differences, in their order.
#[inline]
#[target_feature(enable = "neon")]
fn zipped(even: [uint16x8_t; 2], odd: [uint16x8_t; 2]) -> Words {
    let centred = |v: uint16x8_t| vreinterpretq_s16_u16(vsubq_u16(v, vdupq_n_u16(128)));
    let (even, odd) = (even.map(centred), odd.map(centred));
    [
        vzip1q_s16(even[0], odd[0]),
        vzip2q_s16(even[0], odd[0]),
        vzip1q_s16(even[1], odd[1]),
        vzip2q_s16(even[1], odd[1]),
    ]
}

/// 32 pixels' differences from 16 samples of a row from `x` on.
#[inline]
#[target_feature(enable = "neon")]
fn wide(row: &[u8], x: usize) -> Words {
    let this = load(row, x + 1);
    let even = weighted(this, load(row, x));
    let odd = weighted(this, load(row, x + 2));
    let one = vdupq_n_u16(1);
    let (mut left, mut right) = (even, odd);
    for half in 0..2 {
        left[half] = vshrq_n_u16::<2>(vaddq_u16(even[half], one));
        right[half] = vrshrq_n_u16::<2>(odd[half]);
    }
    zipped(left, right)
}

/// The same from two rows.
#[inline]
#[target_feature(enable = "neon")]
fn both((near, far): (&[u8], &[u8]), x: usize) -> Words {
    let left = weighted(load(near, x), load(far, x));
    let this = weighted(load(near, x + 1), load(far, x + 1));
    let right = weighted(load(near, x + 2), load(far, x + 2));
    let seven = vdupq_n_u16(7);
    let (mut even, mut odd) = (left, right);
    for half in 0..2 {
        even[half] = vrshrq_n_u16::<4>(vmlaq_n_u16(left[half], this[half], 3));
        let sum = vmlaq_n_u16(right[half], this[half], 3);
        odd[half] = vshrq_n_u16::<4>(vaddq_u16(sum, seven));
    }
    zipped(even, odd)
}

/// The differences of 32 pixels.
#[inline]
#[target_feature(enable = "neon")]
fn full(row: &[u8], x: usize) -> Words {
    let centre = vdup_n_u8(128);
    let (first, second) = (load(row, x), load(row, x + 16));
    [vget_low_u8(first), vget_high_u8(first), vget_low_u8(second), vget_high_u8(second)]
        .map(|bytes| vreinterpretq_s16_u16(vsubl_u8(bytes, centre)))
}

#[target_feature(enable = "neon")]
fn rgb(luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
    for x in (0..out.len() / 3).step_by(32) {
        let mut differences = [[vdupq_n_s16(0); 4]; 2];
        for component in 0..2 {
            differences[component] = match chroma {
                Chroma::Full(rows) => full(rows[component], x),
                Chroma::Wide(rows) => wide(rows[component], x / 2),
                Chroma::Both(rows) => both(rows[component], x / 2),
            };
        }
        let [blue, red] = differences;
        for half in 0..2 {
            let x = x + 16 * half;
            let luma = load(luma, x);
            let first = colours(vget_low_u8(luma), blue[2 * half], red[2 * half]);
            let second = colours(vget_high_u8(luma), blue[2 * half + 1], red[2 * half + 1]);
            let mut pixels = [luma; 3];
            for channel in 0..3 {
                pixels[channel] = vcombine_u8(first[channel], second[channel]);
            }
            emit(out, x, pixels);
        }
    }
}

#[target_feature(enable = "neon")]
fn grey(luma: &[u8], out: &mut [u8]) {
    for x in (0..out.len() / 3).step_by(16) {
        emit(out, x, [load(luma, x); 3]);
    }
}
