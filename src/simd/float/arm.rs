//! The vectors of NEON, which every 64-bit Arm CPU has: the compiler may use them anywhere, and no function needs a feature
//! of its own.

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vmulq_f32, vreinterpretq_f32_f64,
    vreinterpretq_f64_f32, vst1q_f32, vtrn1q_f32, vtrn2q_f32, vzip1q_f64, vzip2q_f64,
};

use super::{BLOCK, Lanes};
use crate::simd::Neon;

/// Floats of a vector.
pub(super) const COUNT: usize = 4;

impl Lanes for Neon {
    const COUNT: usize = COUNT;
    type Vector = float32x4_t;

    #[inline(always)]
    fn load(self, from: &[f32]) -> float32x4_t {
        let from = &from[..COUNT];
        // SAFETY: every such CPU has the instruction, and the slice holds a vector.
        unsafe { vld1q_f32(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: float32x4_t, to: &mut [f32]) {
        let to = &mut to[..COUNT];
        // SAFETY: see `load`.
        unsafe { vst1q_f32(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: every such CPU has the instruction, as in all that follow.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    fn times(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn plus(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn fused(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`. The instruction takes what is added first.
        unsafe { vfmaq_f32(c, a, b) }
    }

    /// Four quarters of a block, each by two exchanges.
    #[inline(always)]
    fn transpose(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        for (y, x) in [(0, 0), (0, COUNT), (COUNT, 0), (COUNT, COUNT)] {
            let rows = [0, 1, 2, 3].map(|row| self.load(&from[(y + row) * from_stride + x..]));
            // SAFETY: see `splat`.
            let columns = unsafe { quarter(rows) };
            for (column, values) in columns.into_iter().enumerate() {
                self.store(values, &mut to[(x + column) * to_stride + y..]);
            }
        }
    }
}

const _: () = assert!(BLOCK == 2 * COUNT);

/// ```text
/// trn of floats    a0 b0 a2 b2     a1 b1 a3 b3     c0 d0 c2 d2     c1 d1 c3 d3
/// zip of pairs     a0 b0 c0 d0     a1 b1 c1 d1     a2 b2 c2 d2     a3 b3 c3 d3
/// ```
#[inline]
#[target_feature(enable = "neon")]
fn quarter([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let pairs = [vtrn1q_f32(a, b), vtrn2q_f32(a, b), vtrn1q_f32(c, d), vtrn2q_f32(c, d)];
    let [ab_even, ab_odd, cd_even, cd_odd] = pairs.map(|v| vreinterpretq_f64_f32(v));
    [
        vzip1q_f64(ab_even, cd_even),
        vzip1q_f64(ab_odd, cd_odd),
        vzip2q_f64(ab_even, cd_even),
        vzip2q_f64(ab_odd, cd_odd),
    ]
    .map(|v| vreinterpretq_f32_f64(v))
}
