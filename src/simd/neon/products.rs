//! Four taps of four sums: the one step of both passes, by each kind of multiplication.
//!
//! ```text
//! bytes     a0 a1 a2 a3 | b0 b1 b2 b3 | c0 .. | d0 ..       lane = sum, byte = tap; one weight a tap, the same in all lanes
//! ```
//!
//! `sdot` and `usdot` take all sixteen at once, for each digit of the weights. Words take the even and the odd taps apart:
//!
//! ```text
//! & 0x00ff    a0  a2 | b0  b2 | c0  c2 | d0  d2             >> 8    a1  a3 | b1  b3 | ..
//! smlal       a0*k0  a2*k2  b0*k0  b2*k2                    smlal2  c0*k0  c2*k2  d0*k0  d2*k2
//! addp, at the end of the sum: neighbours of both
//! ```
//!
//! All sums are modulo 2^32 and the true sum fits, so the order of additions changes no bit.

#![expect(unsafe_code, reason = "instructions that not every CPU has")]

use std::arch::aarch64::{
    int16x8_t, int32x4_t, uint8x16_t, vandq_u8, vdupq_n_s32, vdupq_n_u8, vdupq_n_u16, veorq_u8,
    vget_low_s16, vmlal_high_s16, vmlal_s16, vmlaq_s32, vpaddq_s32, vqmovn_high_u16, vqmovn_u16,
    vqmovun_high_s32, vqmovun_s32, vqshrn_high_n_u16, vqshrn_n_u16, vqshrun_high_n_s32,
    vqshrun_n_s32, vreinterpretq_s16_s32, vreinterpretq_s16_u8, vreinterpretq_s16_u16,
    vreinterpretq_u8_u16, vreinterpretq_u16_u8, vshlq_s32, vshrq_n_u16, vtrn1q_s32,
};

use super::lanes::{dwords, mixed_dot, signed_dot, two_dwords};
use super::weights::BITS;

/// How four bytes of each of four lanes are multiplied by four weights and added up.
///
/// Weights are cut for a type only where the CPU has its instructions.
pub(super) trait Products {
    /// Dwords of four weights.
    const DWORDS: usize;
    /// Whether weights have [`BITS`] after the point.
    const FINE: bool;

    /// Four weights.
    type Weights: Copy;
    /// Four sums under way.
    type Sums: Copy;

    /// Those of the first four taps.
    ///
    /// # Safety
    /// The CPU must have the instructions, here and below.
    unsafe fn weights(lanes: &[i32]) -> Self::Weights;
    /// Bytes as they are multiplied.
    ///
    /// # Safety
    /// See `weights`.
    unsafe fn prepare(bytes: uint8x16_t) -> uint8x16_t;
    /// Four sums that begin at `start`.
    ///
    /// # Safety
    /// See `weights`.
    unsafe fn begin(start: i32) -> Self::Sums;
    /// Adds the products of four taps to each sum.
    ///
    /// # Safety
    /// See `weights`.
    unsafe fn add(sums: &mut Self::Sums, bytes: uint8x16_t, weights: Self::Weights);
    /// The four sums.
    ///
    /// # Safety
    /// See `weights`.
    unsafe fn end(sums: Self::Sums) -> int32x4_t;
}

/// `W` words a weight, `k = hi << 15 | lo`.
pub(super) struct Words<const W: usize>;

impl<const W: usize> Products for Words<W> {
    const DWORDS: usize = 2 * W;
    const FINE: bool = W == 2;

    type Weights = [[int16x8_t; 2]; W];
    type Sums = [[int32x4_t; 2]; W];

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn weights(lanes: &[i32]) -> Self::Weights {
        let lanes = &lanes[..2 * W];
        let pairs = |i: usize| vreinterpretq_s16_s32(vdupq_n_s32(lanes[i]));
        std::array::from_fn(|w| [pairs(2 * w), pairs(2 * w + 1)])
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn prepare(bytes: uint8x16_t) -> uint8x16_t {
        bytes
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn begin(start: i32) -> Self::Sums {
        // Neighbours are added up, so that one of them has the start.
        let zero = vdupq_n_s32(0);
        let mut sums = [[zero; 2]; W];
        sums[W - 1] = [vtrn1q_s32(vdupq_n_s32(start), zero); 2];
        sums
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add(sums: &mut Self::Sums, bytes: uint8x16_t, weights: Self::Weights) {
        let mask = vreinterpretq_u8_u16(vdupq_n_u16(0xff));
        let even = vreinterpretq_s16_u8(vandq_u8(bytes, mask));
        let odd = vreinterpretq_s16_u16(vshrq_n_u16::<8>(vreinterpretq_u16_u8(bytes)));
        for (sums, weights) in sums.iter_mut().zip(weights) {
            for (taps, weights) in [even, odd].into_iter().zip(weights) {
                sums[0] = vmlal_s16(sums[0], vget_low_s16(taps), vget_low_s16(weights));
                sums[1] = vmlal_high_s16(sums[1], taps, weights);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn end(sums: Self::Sums) -> int32x4_t {
        let [mut low, mut high] = sums[W - 1];
        if W == 2 {
            let unit = vdupq_n_s32(1 << 15);
            low = vmlaq_s32(low, sums[0][0], unit);
            high = vmlaq_s32(high, sums[0][1], unit);
        }
        vpaddq_s32(low, high)
    }
}

/// `W` sums by digits as one.
#[inline]
#[target_feature(enable = "neon")]
fn of_digits<const W: usize>(sums: [int32x4_t; W]) -> int32x4_t {
    let mut sum = sums[0];
    for (place, &digit) in sums.iter().enumerate().skip(1) {
        sum = vmlaq_s32(sum, digit, vdupq_n_s32(1 << (8 * place)));
    }
    sum
}

#[inline]
#[target_feature(enable = "neon")]
fn digits<const W: usize>(lanes: &[i32]) -> int32x4_t {
    if W == 2 { two_dwords(lanes) } else { dwords(lanes) }
}

#[inline]
#[target_feature(enable = "neon")]
fn from<const W: usize>(start: i32) -> [int32x4_t; W] {
    let mut sums = [vdupq_n_s32(0); W];
    sums[0] = vdupq_n_s32(start);
    sums
}

/// `W` signed bytes a weight, and pixels less 128.
pub(super) struct Signed<const W: usize>;

impl<const W: usize> Products for Signed<W> {
    const DWORDS: usize = if W == 2 { 2 } else { 4 };
    const FINE: bool = W == 3;

    type Weights = int32x4_t;
    type Sums = [int32x4_t; W];

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn weights(lanes: &[i32]) -> int32x4_t {
        digits::<W>(lanes)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn prepare(bytes: uint8x16_t) -> uint8x16_t {
        veorq_u8(bytes, vdupq_n_u8(0x80))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn begin(start: i32) -> [int32x4_t; W] {
        from(start)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add(sums: &mut [int32x4_t; W], bytes: uint8x16_t, weights: int32x4_t) {
        // SAFETY: this function's contract.
        sums[0] = unsafe { signed_dot::<0>(sums[0], bytes, weights) };
        // SAFETY: as above.
        sums[1] = unsafe { signed_dot::<1>(sums[1], bytes, weights) };
        if W == 3 {
            // SAFETY: as above.
            sums[W - 1] = unsafe { signed_dot::<2>(sums[W - 1], bytes, weights) };
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn end(sums: [int32x4_t; W]) -> int32x4_t {
        of_digits(sums)
    }
}

/// `W` signed bytes a weight, and pixels as they are.
pub(super) struct Mixed<const W: usize>;

impl<const W: usize> Products for Mixed<W> {
    const DWORDS: usize = Signed::<W>::DWORDS;
    const FINE: bool = Signed::<W>::FINE;

    type Weights = int32x4_t;
    type Sums = [int32x4_t; W];

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn weights(lanes: &[i32]) -> int32x4_t {
        digits::<W>(lanes)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn prepare(bytes: uint8x16_t) -> uint8x16_t {
        bytes
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn begin(start: i32) -> [int32x4_t; W] {
        from(start)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add(sums: &mut [int32x4_t; W], bytes: uint8x16_t, weights: int32x4_t) {
        // SAFETY: this function's contract.
        sums[0] = unsafe { mixed_dot::<0>(sums[0], bytes, weights) };
        // SAFETY: as above.
        sums[1] = unsafe { mixed_dot::<1>(sums[1], bytes, weights) };
        if W == 3 {
            // SAFETY: as above.
            sums[W - 1] = unsafe { mixed_dot::<2>(sums[W - 1], bytes, weights) };
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn end(sums: [int32x4_t; W]) -> int32x4_t {
        of_digits(sums)
    }
}

/// Sixteen sums, shifted and clamped, to bytes in order. `shift` is the precision below zero, in all lanes.
///
/// Of [`BITS`], sixteen go with the first saturating narrowing and six with the second.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn to_bytes<P: Products>(shift: int32x4_t, [a, b, c, d]: [int32x4_t; 4]) -> uint8x16_t {
    const REST: i32 = BITS as i32 - 16;
    if P::FINE {
        let ab = vqshrun_high_n_s32::<16>(vqshrun_n_s32::<16>(a), b);
        let cd = vqshrun_high_n_s32::<16>(vqshrun_n_s32::<16>(c), d);
        return vqshrn_high_n_u16::<REST>(vqshrn_n_u16::<REST>(ab), cd);
    }
    let shifted = |sum| vshlq_s32(sum, shift);
    let ab = vqmovun_high_s32(vqmovun_s32(shifted(a)), shifted(b));
    let cd = vqmovun_high_s32(vqmovun_s32(shifted(c)), shifted(d));
    vqmovn_high_u16(vqmovn_u16(ab), cd)
}
