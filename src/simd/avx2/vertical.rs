//! The vertical pass: a lane holds a component of the four rows of a group, so nothing is shuffled.
//!
//! ```text
//! c r0 r1 r2 r3   & 0x00ff00ff -> r0 r2      >> 8 -> r1 r3     each pair times its pair of weights
//! ```
//!
//! Windows begin at a group, padded with zero weights. Where the low bits of a row's weights fit in bytes that cannot
//! overflow 16 bits, they are multiplied four at a time, straight from the group.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_sll_epi32, _mm256_sra_epi32, _mm256_srli_epi16,
};

use super::lanes::{block, store32};
use super::weights::{self, Words};
use crate::error::Result;
use crate::resample::Axis;
use crate::simd::GROUP;

/// How the weights of a row are cut into words.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Two lanes a group: all weights fit in 16 bits.
    One,
    /// Four lanes a group: `k = hi << 15 | lo`.
    Two,
    /// Three lanes a group: `k = hi << bits + lo`, and the low bytes' products are added up in 16 bits.
    Fine { bits: u32 },
}

/// The weights of a vertical pass.
#[derive(Debug)]
pub struct Rows {
    precision: u32,
    cuts: Vec<Cut>,
    /// Where the groups of each row begin in `lanes`, and where the last one ends.
    starts: Vec<usize>,
    /// For each group the high words of rows 0 and 2, then of rows 1 and 3, then the low words or bytes.
    lanes: Vec<i32>,
}

impl Rows {
    #[target_feature(enable = "avx2")]
    pub(super) fn new(axis: &Axis) -> Result<Self> {
        let words = Words::of(axis);
        let groups = |i| {
            let reads = axis.reads(i);
            reads.start / GROUP..reads.end.div_ceil(GROUP).max(reads.start / GROUP + 1)
        };
        let mut starts = weights::reserved(axis.target + 1)?;
        let mut cuts = weights::reserved(axis.target)?;
        let total: usize = (0..axis.target).map(|i| groups(i).len()).sum();
        let mut lanes = weights::reserved(total.saturating_mul(GROUP))?;
        let mut padded = weights::reserved(axis.longest() + 2 * GROUP)?;
        let mut lows = weights::reserved(axis.longest() + 2 * GROUP)?;
        starts.push(0);
        for i in 0..axis.target {
            let (first, taps) = axis.window(i);
            padded.clear();
            padded.resize(first % GROUP, 0);
            padded.extend_from_slice(taps);
            padded.resize(groups(i).len() * GROUP, 0);
            let pairs = |k: [i32; GROUP]| [weights::pair(k[0], k[2]), weights::pair(k[1], k[3])];
            let quads = padded.as_chunks::<GROUP>().0;
            let fine = if words == Words::Two { weights::fine(&padded, &mut lows) } else { None };
            cuts.push(match (words, fine) {
                (Words::One, _) => {
                    lanes.extend(quads.iter().flat_map(|&k| pairs(k)));
                    Cut::One
                }
                (Words::Two, Some(bits)) => {
                    for (k, low) in quads.iter().zip(lows.as_chunks::<GROUP>().0) {
                        let high = std::array::from_fn(|r| (k[r] - low[r]) >> bits);
                        lanes.extend(pairs(high));
                        lanes.push(i32::from_le_bytes(low.map(|byte| byte as u8)));
                    }
                    Cut::Fine { bits }
                }
                (Words::Two, None) => {
                    for k in quads {
                        lanes.extend(pairs(k.map(weights::high)));
                        lanes.extend(pairs(k.map(weights::low)));
                    }
                    Cut::Two
                }
            });
            starts.push(lanes.len());
        }
        Ok(Self { precision: axis.precision, cuts, starts, lanes })
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn row(rows: &Rows, i: usize, groups: &[&[u8]], out: &mut [u8]) {
    let lanes = &rows.lanes[rows.starts[i]..rows.starts[i + 1]];
    let precision = rows.precision;
    match rows.cuts[i] {
        Cut::One => blocks::<2>(precision, 0, lanes, groups, out),
        Cut::Two => blocks::<4>(precision, 15, lanes, groups, out),
        Cut::Fine { bits } => blocks::<3>(precision, bits, lanes, groups, out),
    }
}

/// Components of a block.
const BLOCK: usize = 32;

#[target_feature(enable = "avx2")]
fn blocks<const W: usize>(
    precision: u32,
    bits: u32,
    lanes: &[i32],
    groups: &[&[u8]],
    out: &mut [u8],
) {
    let lanes = lanes.as_chunks::<W>().0;
    let groups = &groups[..lanes.len()];
    let len = out.len();
    let rounding = _mm256_set1_epi32(weights::half(precision));
    let high_shift = _mm_cvtsi32_si128(bits as i32);
    let shift = _mm_cvtsi32_si128(precision as i32);
    if len < BLOCK {
        let mut copies = [0; BLOCK];
        for start in (0..len).step_by(8) {
            let end = len.min(start + 8);
            assert!(groups.iter().all(|group| group.len() >= start * GROUP + 32), "short group");
            // SAFETY: every group has 32 bytes from there on.
            let [sum] = unsafe { sums::<1, W>(rounding, high_shift, lanes, groups, start * GROUP) };
            store32(&mut copies, 0, to_bytes(shift, [sum; 4]));
            out[start..end].copy_from_slice(&copies[..end - start]);
        }
        return;
    }
    assert!(groups.iter().all(|group| group.len() >= len * GROUP), "group shorter than its row");
    let last = len - BLOCK;
    let mut at = 0;
    loop {
        // SAFETY: `at` never exceeds `last`, and every group has four bytes for each of `len`.
        let vectors = unsafe { sums::<4, W>(rounding, high_shift, lanes, groups, at * GROUP) };
        store32(out, at, to_bytes(shift, vectors));
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
    rounding: __m256i,
    high_shift: __m128i,
    lanes: &[[i32; W]],
    groups: &[&[u8]],
    at: usize,
) -> [__m256i; V] {
    let mask = _mm256_set1_epi16(0xff);
    let mut highs = [_mm256_setzero_si256(); V];
    let mut lows = [if W == 4 { rounding } else { _mm256_setzero_si256() }; V];
    for (group, lanes) in groups.iter().zip(lanes) {
        // SAFETY: this function's contract.
        let vectors = unsafe { block::<V>(group, at) };
        let even = _mm256_set1_epi32(lanes[0]);
        let odd = _mm256_set1_epi32(lanes[1]);
        let low_even = _mm256_set1_epi32(lanes[2 % W]);
        let low_odd = _mm256_set1_epi32(lanes[3 % W]);
        for v in 0..V {
            let evens = _mm256_and_si256(vectors[v], mask);
            let odds = _mm256_srli_epi16::<8>(vectors[v]);
            highs[v] = _mm256_add_epi32(highs[v], _mm256_madd_epi16(evens, even));
            highs[v] = _mm256_add_epi32(highs[v], _mm256_madd_epi16(odds, odd));
            if W == 3 {
                let products = _mm256_maddubs_epi16(vectors[v], low_even);
                lows[v] = _mm256_add_epi16(lows[v], products);
            }
            if W == 4 {
                lows[v] = _mm256_add_epi32(lows[v], _mm256_madd_epi16(evens, low_even));
                lows[v] = _mm256_add_epi32(lows[v], _mm256_madd_epi16(odds, low_odd));
            }
        }
    }
    for v in 0..V {
        highs[v] = match W {
            2 => _mm256_add_epi32(highs[v], rounding),
            3 => {
                let low = _mm256_madd_epi16(lows[v], _mm256_set1_epi16(1));
                let high = _mm256_sll_epi32(highs[v], high_shift);
                _mm256_add_epi32(high, _mm256_add_epi32(low, rounding))
            }
            _ => _mm256_add_epi32(_mm256_sll_epi32(highs[v], high_shift), lows[v]),
        };
    }
    highs
}

/// Sums of 32 components to bytes in order.
///
/// ```text
/// packs   a0-3 b0-3 | a4-7 b4-7      c0-3 d0-3 | c4-7 d4-7
/// packus  a0-3 b0-3 c0-3 d0-3 | a4-7 b4-7 c4-7 d4-7      lanes 0 4 1 5 2 6 3 7 are in order
/// ```
#[inline]
#[target_feature(enable = "avx2")]
fn to_bytes(shift: __m128i, [a, b, c, d]: [__m256i; 4]) -> __m256i {
    let ab = _mm256_packs_epi32(_mm256_sra_epi32(a, shift), _mm256_sra_epi32(b, shift));
    let cd = _mm256_packs_epi32(_mm256_sra_epi32(c, shift), _mm256_sra_epi32(d, shift));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order)
}
