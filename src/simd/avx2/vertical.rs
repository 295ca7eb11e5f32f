//! The vertical pass: a lane holds a component of the four rows of a group, so nothing is shuffled.
//!
//! ```text
//! c r0 r1 r2 r3   & 0x00ff00ff -> r0 r2      >> 8 -> r1 r3     each pair times its pair of weights
//! ```
//!
//! Windows begin at a group, padded with zero weights.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_and_si256, _mm256_madd_epi16,
    _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permutevar8x32_epi32, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_slli_epi32,
    _mm256_sra_epi32, _mm256_srli_epi16,
};

use super::lanes::{block, store32};
use super::weights::{self, Words};
use crate::error::Result;
use crate::resample::Axis;
use crate::simd::GROUP;

/// The weights of a vertical pass.
#[derive(Debug)]
pub struct Rows {
    precision: u32,
    words: Words,
    /// Where the groups of each row begin in `lanes`, and where the last one ends.
    starts: Vec<usize>,
    /// For each group the weights of rows 0 and 2, then of rows 1 and 3; high words before low ones.
    lanes: Vec<i32>,
}

impl Rows {
    pub(super) fn new(axis: &Axis) -> Result<Self> {
        let words = Words::of(axis);
        let each = if words == Words::One { 2 } else { 4 };
        let groups = |i| {
            let reads = axis.reads(i);
            reads.start / GROUP..reads.end.div_ceil(GROUP).max(reads.start / GROUP + 1)
        };
        let mut starts = weights::reserved(axis.target + 1)?;
        let total: usize = (0..axis.target).map(|i| groups(i).len()).sum();
        let mut lanes = weights::reserved(total * each)?;
        starts.push(0);
        for i in 0..axis.target {
            let (first, taps) = axis.window(i);
            for group in groups(i) {
                let mut k = [0; GROUP];
                for (r, k) in k.iter_mut().enumerate() {
                    let tap = (group * GROUP + r).checked_sub(first).and_then(|j| taps.get(j));
                    *k = tap.copied().unwrap_or(0);
                }
                if words == Words::Two {
                    let h = k.map(weights::high);
                    lanes.extend([weights::pair(h[0], h[2]), weights::pair(h[1], h[3])]);
                    k = k.map(weights::low);
                }
                lanes.extend([weights::pair(k[0], k[2]), weights::pair(k[1], k[3])]);
            }
            starts.push(lanes.len());
        }
        Ok(Self { precision: axis.precision, words, starts, lanes })
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn row(rows: &Rows, i: usize, groups: &[&[u8]], out: &mut [u8]) {
    let lanes = &rows.lanes[rows.starts[i]..rows.starts[i + 1]];
    match rows.words {
        Words::One => blocks::<2>(rows.precision, lanes, groups, out),
        Words::Two => blocks::<4>(rows.precision, lanes, groups, out),
    }
}

/// Components of a block.
const BLOCK: usize = 32;

#[target_feature(enable = "avx2")]
fn blocks<const W: usize>(precision: u32, lanes: &[i32], groups: &[&[u8]], out: &mut [u8]) {
    let lanes = lanes.as_chunks::<W>().0;
    let groups = &groups[..lanes.len()];
    let len = out.len();
    if len < BLOCK {
        let mut copies = [0; BLOCK];
        for start in (0..len).step_by(8) {
            let end = len.min(start + 8);
            assert!(groups.iter().all(|group| group.len() >= start * GROUP + 32), "short group");
            // SAFETY: every group has 32 bytes from there on.
            let vectors = unsafe { sums::<1, W>(precision, lanes, groups, start * GROUP) };
            let zero = _mm256_setzero_si256();
            store32(&mut copies, 0, to_bytes(precision, [vectors[0], zero, zero, zero]));
            out[start..end].copy_from_slice(&copies[..end - start]);
        }
        return;
    }
    assert!(groups.iter().all(|group| group.len() >= len * GROUP), "group shorter than its row");
    let last = len - BLOCK;
    let mut at = 0;
    loop {
        // SAFETY: `at` never exceeds `last`, and every group has four bytes for each of `len`.
        let vectors = unsafe { sums::<4, W>(precision, lanes, groups, at * GROUP) };
        store32(out, at, to_bytes(precision, vectors));
        if at == last {
            return;
        }
        at = (at + BLOCK).min(last);
    }
}

/// The rounded sums of `V` times eight components, from byte `at` of the groups on.
///
/// # Safety
/// Every group must have `32 * V` bytes from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums<const V: usize, const W: usize>(
    precision: u32,
    lanes: &[[i32; W]],
    groups: &[&[u8]],
    at: usize,
) -> [__m256i; V] {
    let mask = _mm256_set1_epi16(0xff);
    let mut highs = [_mm256_setzero_si256(); V];
    let mut sums = [_mm256_set1_epi32(weights::half(precision)); V];
    for (group, lanes) in groups.iter().zip(lanes) {
        // SAFETY: this function's contract.
        let vectors = unsafe { block::<V>(group, at) };
        let even = _mm256_set1_epi32(lanes[W - 2]);
        let odd = _mm256_set1_epi32(lanes[W - 1]);
        let even_high = _mm256_set1_epi32(lanes[0]);
        let odd_high = _mm256_set1_epi32(lanes[1]);
        for v in 0..V {
            let evens = _mm256_and_si256(vectors[v], mask);
            let odds = _mm256_srli_epi16::<8>(vectors[v]);
            sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(evens, even));
            sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(odds, odd));
            if W == 4 {
                highs[v] = _mm256_add_epi32(highs[v], _mm256_madd_epi16(evens, even_high));
                highs[v] = _mm256_add_epi32(highs[v], _mm256_madd_epi16(odds, odd_high));
            }
        }
    }
    if W == 4 {
        for v in 0..V {
            sums[v] = _mm256_add_epi32(sums[v], _mm256_slli_epi32::<15>(highs[v]));
        }
    }
    sums
}

/// Sums of 32 components to bytes in order.
///
/// ```text
/// packs   a0-3 b0-3 | a4-7 b4-7      c0-3 d0-3 | c4-7 d4-7
/// packus  a0-3 b0-3 c0-3 d0-3 | a4-7 b4-7 c4-7 d4-7      lanes 0 4 1 5 2 6 3 7 are in order
/// ```
#[inline]
#[target_feature(enable = "avx2")]
fn to_bytes(precision: u32, [a, b, c, d]: [__m256i; 4]) -> __m256i {
    let shift = _mm_cvtsi32_si128(precision as i32);
    let ab = _mm256_packs_epi32(_mm256_sra_epi32(a, shift), _mm256_sra_epi32(b, shift));
    let cd = _mm256_packs_epi32(_mm256_sra_epi32(c, shift), _mm256_sra_epi32(d, shift));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order)
}
