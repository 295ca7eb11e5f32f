//! The only loads and stores of this backend, each of which checks its bounds or says who did, and the dot products.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, and instructions that have no stable intrinsic"
)]

use std::arch::aarch64::{
    float32x4_t, int32x4_t, uint8x8x3_t, uint8x8x4_t, uint8x16_t, uint8x16x3_t, uint8x16x4_t,
    vcombine_s32, vdup_n_s32, vld1_s32, vld1q_f32, vld1q_s32, vld1q_u8, vld3_u8, vld3q_u8, vld4_u8,
    vld4q_u8, vst1q_u8,
};
use std::arch::asm;

use crate::image::Row;

/// 16 bytes of `bytes` from `at` on.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load(bytes: &[u8], at: usize) -> uint8x16_t {
    let chunk = &bytes[at..at + 16];
    // SAFETY: the slice is 16 bytes long.
    unsafe { vld1q_u8(chunk.as_ptr()) }
}

/// 64 bytes of `bytes` from `at` on, every fourth one to the same vector.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_fourths(bytes: &[u8], at: usize) -> uint8x16x4_t {
    let chunk = &bytes[at..at + 64];
    // SAFETY: the slice is 64 bytes long.
    unsafe { vld4q_u8(chunk.as_ptr()) }
}

/// 16 bytes to `bytes` from `at` on.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store(bytes: &mut [u8], at: usize, vector: uint8x16_t) {
    let chunk = &mut bytes[at..at + 16];
    // SAFETY: the slice is 16 bytes long.
    unsafe { vst1q_u8(chunk.as_mut_ptr(), vector) }
}

/// Four floats.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn floats(lanes: &[f32; 4]) -> float32x4_t {
    // SAFETY: the array has four floats.
    unsafe { vld1q_f32(lanes.as_ptr()) }
}

/// Four dwords.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn dwords(lanes: &[i32]) -> int32x4_t {
    let lanes = &lanes[..4];
    // SAFETY: the slice has four dwords.
    unsafe { vld1q_s32(lanes.as_ptr()) }
}

/// Two dwords, and zeros.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn two_dwords(lanes: &[i32]) -> int32x4_t {
    let lanes = &lanes[..2];
    // SAFETY: the slice has two dwords.
    let low = unsafe { vld1_s32(lanes.as_ptr()) };
    vcombine_s32(low, vdup_n_s32(0))
}

/// `V` vectors side by side in a group from `at` on.
///
/// # Safety
/// `at + 16 * V` must not exceed the group's length.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn block<const V: usize>(group: &[u8], at: usize) -> [uint8x16_t; V] {
    std::array::from_fn(|v| {
        // SAFETY: the caller keeps all V vectors within the group.
        let from = unsafe { group.as_ptr().add(at + v * 16) };
        // SAFETY: as above.
        unsafe { vld1q_u8(from) }
    })
}

/// The address of `len` bytes of a row from `at` on.
#[inline]
fn within(row: &Row<'_>, at: usize, len: usize) -> *const u8 {
    assert!(row.len() >= len && at <= row.len() - len, "row vector {at} of {}", row.len());
    // SAFETY: `at` is within the row.
    unsafe { row.as_ptr().add(at) }
}

/// 16 bytes of a row from `at` on.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn row16(row: &Row<'_>, at: usize) -> uint8x16_t {
    // SAFETY: `within` checked that so many bytes are there.
    unsafe { vld1q_u8(within(row, at, 16)) }
}

/// The first three components of 16 pixels of `P` bytes from byte `at` of a row on.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn pixels16<const P: usize>(row: &Row<'_>, at: usize) -> [uint8x16_t; 3] {
    let [a, b, c, _] = components16::<P>(row, at);
    [a, b, c]
}

/// The components of 16 pixels of `P` bytes from byte `at` of a row on; the third one again where there is no fourth.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn components16<const P: usize>(row: &Row<'_>, at: usize) -> [uint8x16_t; 4] {
    let from = within(row, at, 16 * P);
    if P == 3 {
        // SAFETY: `within` checked 48 bytes.
        let uint8x16x3_t(a, b, c) = unsafe { vld3q_u8(from) };
        [a, b, c, c]
    } else {
        // SAFETY: `within` checked 64 bytes.
        let uint8x16x4_t(a, b, c, d) = unsafe { vld4q_u8(from) };
        [a, b, c, d]
    }
}

/// The first three components of eight pixels of `P` bytes from byte `at` of a row on.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn pixels8<const P: usize>(row: &Row<'_>, at: usize) -> [[u8; 8]; 3] {
    use std::arch::aarch64::{uint8x8_t, vget_lane_u64, vreinterpret_u64_u8};
    let bytes = |v: uint8x8_t| vget_lane_u64::<0>(vreinterpret_u64_u8(v)).to_le_bytes();
    let from = within(row, at, 8 * P);
    if P == 3 {
        // SAFETY: `within` checked 24 bytes.
        let uint8x8x3_t(a, b, c) = unsafe { vld3_u8(from) };
        [bytes(a), bytes(b), bytes(c)]
    } else {
        // SAFETY: `within` checked 32 bytes.
        let uint8x8x4_t(a, b, c, _) = unsafe { vld4_u8(from) };
        [bytes(a), bytes(b), bytes(c)]
    }
}

/// `sdot`: to each dword of `sum` four products of signed bytes with those of dword `I` of `weights`, modulo 2^32.
///
/// # Safety
/// The CPU must have the dot product instructions.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn signed_dot<const I: i32>(
    mut sum: int32x4_t,
    bytes: uint8x16_t,
    weights: int32x4_t,
) -> int32x4_t {
    // SAFETY: registers only; the instruction exists by the contract.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {bytes:v}.16b, {weights:v}.4b[{i}]",
            sum = inout(vreg) sum,
            bytes = in(vreg) bytes,
            weights = in(vreg) weights,
            i = const I,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// `usdot`: the same of unsigned bytes with signed ones.
///
/// # Safety
/// The CPU must have the I8MM instructions.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn mixed_dot<const I: i32>(
    mut sum: int32x4_t,
    bytes: uint8x16_t,
    weights: int32x4_t,
) -> int32x4_t {
    // SAFETY: registers only; the instruction exists by the contract.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usdot {sum:v}.4s, {bytes:v}.16b, {weights:v}.4b[{i}]",
            sum = inout(vreg) sum,
            bytes = in(vreg) bytes,
            weights = in(vreg) weights,
            i = const I,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// `fcvtn`: eight values as float16, rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn float16([low, high]: [float32x4_t; 2]) -> uint8x16_t {
    let both: uint8x16_t;
    // SAFETY: registers only; every 64-bit Arm CPU has both instructions.
    unsafe {
        asm!(
            "fcvtn {both:v}.4h, {low:v}.4s",
            "fcvtn2 {both:v}.8h, {high:v}.4s",
            both = out(vreg) both,
            low = in(vreg) low,
            high = in(vreg) high,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    both
}
