//! The vectors of AVX2 and AVX-512, and the functions with the target features.

use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps,
    _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
    _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mul_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::{BLOCK, Lanes};
use crate::simd::{Avx2, Avx512};

macro_rules! lanes {
    ($proof:ty, $count:literal, $vector:ty, $load:ident, $store:ident, $splat:ident, $times:ident, $plus:ident, $fused:ident) => {
        impl Lanes for $proof {
            const COUNT: usize = $count;
            type Vector = $vector;

            #[inline(always)]
            fn load(self, from: &[f32]) -> $vector {
                let from = &from[..$count];
                // SAFETY: `self` exists only where the CPU has the instruction, and the slice holds a vector.
                unsafe { $load(from.as_ptr()) }
            }

            #[inline(always)]
            fn store(self, vector: $vector, to: &mut [f32]) {
                let to = &mut to[..$count];
                // SAFETY: see `load`.
                unsafe { $store(to.as_mut_ptr(), vector) }
            }

            #[inline(always)]
            fn splat(self, value: f32) -> $vector {
                // SAFETY: `self` exists only where the CPU has the instruction.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            fn times(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see `splat`.
                unsafe { $times(a, b) }
            }

            #[inline(always)]
            fn plus(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see `splat`.
                unsafe { $plus(a, b) }
            }

            #[inline(always)]
            fn fused(self, a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: see `splat`.
                unsafe { $fused(a, b, c) }
            }

            #[inline(always)]
            fn transpose(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
                // SAFETY: `self` exists only where the CPU has AVX2, which AVX-512 includes.
                unsafe { transpose_avx2(from, from_stride, to, to_stride) }
            }
        }
    };
}

lanes!(
    Avx2,
    8,
    __m256,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_mul_ps,
    _mm256_add_ps,
    _mm256_fmadd_ps
);
lanes!(
    Avx512,
    16,
    __m512,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_mul_ps,
    _mm512_add_ps,
    _mm512_fmadd_ps
);

/// A block of eight rows of eight floats to its transpose.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose_avx2(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    let mut rows = [_mm256_set1_ps(0.0); BLOCK];
    for (y, row) in rows.iter_mut().enumerate() {
        let line = &from[y * from_stride..][..BLOCK];
        // SAFETY: the slice holds a vector.
        *row = unsafe { _mm256_loadu_ps(line.as_ptr()) };
    }
    let mut pairs = rows;
    for k in 0..4 {
        pairs[2 * k] = _mm256_unpacklo_ps(rows[2 * k], rows[2 * k + 1]);
        pairs[2 * k + 1] = _mm256_unpackhi_ps(rows[2 * k], rows[2 * k + 1]);
    }
    let mut fours = pairs;
    for half in [0, 4] {
        fours[half] = _mm256_shuffle_ps::<0x44>(pairs[half], pairs[half + 2]);
        fours[half + 1] = _mm256_shuffle_ps::<0xEE>(pairs[half], pairs[half + 2]);
        fours[half + 2] = _mm256_shuffle_ps::<0x44>(pairs[half + 1], pairs[half + 3]);
        fours[half + 3] = _mm256_shuffle_ps::<0xEE>(pairs[half + 1], pairs[half + 3]);
    }
    for k in 0..4 {
        let low = _mm256_permute2f128_ps::<0x20>(fours[k], fours[k + 4]);
        let high = _mm256_permute2f128_ps::<0x31>(fours[k], fours[k + 4]);
        for (x, column) in [(k, low), (k + 4, high)] {
            let line = &mut to[x * to_stride..][..BLOCK];
            // SAFETY: the slice holds a vector.
            unsafe { _mm256_storeu_ps(line.as_mut_ptr(), column) };
        }
    }
}

macro_rules! entries {
    ($module:ident, $proof:ty, $features:literal, $count:literal) => {
        /// The kernels with the target features.
        pub(in crate::simd::float) mod $module {
            use super::super::{ROWS, WIDE, horizontal_of, square_of, vertical_of};
            use super::*;
            use crate::resample::FloatAxis;

            #[target_feature(enable = $features)]
            fn vertical_with(
                p: $proof,
                axis: &FloatAxis,
                i: usize,
                plane: (&[f32], usize),
                out: &mut [f32],
            ) {
                vertical_of::<_, { WIDE / $count }>(p, axis, i, plane, out);
            }

            #[target_feature(enable = $features)]
            fn horizontal_with(
                p: $proof,
                axis: &FloatAxis,
                rows: &[f32],
                columns: &mut [f32],
                sums: &mut [f32],
                out: &mut [f32],
            ) {
                horizontal_of::<_, { ROWS / $count }>(p, axis, rows, columns, sums, out);
            }

            #[target_feature(enable = $features)]
            fn square_with(
                p: $proof,
                samples: [&[f32]; 4],
                rows: [f32; 2],
                columns: [&[f32]; 2],
                out: &mut [f32],
            ) {
                square_of(p, samples, rows, columns, out);
            }

            pub(in crate::simd::float) fn vertical(
                p: $proof,
                axis: &FloatAxis,
                i: usize,
                plane: (&[f32], usize),
                out: &mut [f32],
            ) {
                // SAFETY: the proof exists only where the CPU has the features, as in every function here.
                unsafe { vertical_with(p, axis, i, plane, out) }
            }

            pub(in crate::simd::float) fn horizontal(
                p: $proof,
                axis: &FloatAxis,
                rows: &[f32],
                columns: &mut [f32],
                sums: &mut [f32],
                out: &mut [f32],
            ) {
                // SAFETY: see `vertical`.
                unsafe { horizontal_with(p, axis, rows, columns, sums, out) }
            }

            pub(in crate::simd::float) fn square(
                p: $proof,
                samples: [&[f32]; 4],
                rows: [f32; 2],
                columns: [&[f32]; 2],
                out: &mut [f32],
            ) {
                // SAFETY: see `vertical`.
                unsafe { square_with(p, samples, rows, columns, out) }
            }
        }
    };
}

entries!(avx2, Avx2, "avx2,fma", 8);
entries!(avx512, Avx512, "avx512f,avx512vl,avx2,fma", 16);
