//! The horizontal pass: eight rows in eight lanes.
//!
//! ```text
//! for a block of source columns that stays in the cache
//!     transpose it: a vector for each component of each two columns, lane r = row r,
//!         a lane holding the two columns' bytes as 16-bit words     (1)
//!     for each output pixel whose window lies in the block
//!         sum its pairs of columns times its pairs of weights       (2)
//!         round, clamp, and store four rows of each component       (3)
//! ```
//!
//! 1. Four columns at a time; from one row of three bytes a pixel, and row + 4 in the high half:
//!    ```text
//!    R0 G0 B0 R1 G1 B1 R2 G2 B2 R3 G3 B3 ..   ->   R0 R2 R1 R3 | G0 G2 G1 G3 | B0 B2 B1 B3 | ..
//!    ```
//!    then four rows of such lanes transposed, which leaves a vector a component, and `& 0x00ff`, `>> 8` of its words.
//! 2. Windows begin at an even column and are all of one length, padded with zero weights.
//! 3. Saturating packs clamp; what results is the band format, the low half for group 0, the high for group 1.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_sra_epi32, _mm256_srli_epi16,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};
use std::cell::Cell;

use super::lanes::{Octet, low, settle, store16};
use super::weights::{self, Words};
use crate::error::{Error, Result, filled};
use crate::image::Row;
use crate::memory::fallible;
use crate::resample::Axis;
use crate::simd::opaque::opaque;
use crate::simd::{BAND, GROUP, group_len};

/// Source columns that are transposed at once, beyond those of one window.
const BLOCK: usize = 192;
/// Columns of a transposing step.
const QUAD: usize = 4;

/// The weights of a horizontal pass.
#[derive(Debug)]
pub struct Columns {
    input: usize,
    output: usize,
    precision: u32,
    words: Words,
    /// Pairs of columns of every window.
    pairs: usize,
    /// The first pair of each window.
    starts: Vec<u32>,
    /// For each window and pair one lane of weights, or a high and a low one.
    lanes: Vec<i32>,
    /// Steps that cover the row and every window.
    quads: usize,
}

impl Columns {
    #[target_feature(enable = "avx2")]
    pub(super) fn new(axis: &Axis, input: usize, output: usize) -> Result<Self> {
        let words = Words::of(axis);
        let span = |i| {
            let reads = axis.reads(i);
            (reads.start / 2, reads.end.div_ceil(2))
        };
        let pairs = (0..axis.target).map(|i| span(i).1 - span(i).0).max().unwrap_or(0).max(1);
        let quads = axis.source.div_ceil(QUAD).max(pairs.div_ceil(2));
        let each = if words == Words::One { 1 } else { 2 };
        let mut starts = weights::reserved(axis.target)?;
        let mut lanes = weights::reserved(axis.target.saturating_mul(pairs * each))?;
        let mut padded = filled(0, 2 * pairs)?;
        for i in 0..axis.target {
            let (first, taps) = axis.window(i);
            let start = span(i).0.min(2 * quads - pairs);
            starts.push(start as u32);
            padded.fill(0);
            padded[first - 2 * start..][..taps.len()].copy_from_slice(taps);
            let taps = padded.as_chunks::<2>().0;
            if words == Words::One {
                lanes.extend(taps.iter().map(|&[a, b]| weights::pair(a, b)));
            } else {
                lanes.extend(taps.iter().flat_map(|&[a, b]| {
                    [
                        weights::pair(weights::high(a), weights::high(b)),
                        weights::pair(weights::low(a), weights::low(b)),
                    ]
                }));
            }
        }
        let precision = axis.precision;
        Ok(Self { input, output, precision, words, pairs, starts, lanes, quads })
    }
}

impl Columns {
    /// Quads of columns that are transposed at once.
    fn capacity(&self) -> usize {
        self.quads.min(self.pairs.div_ceil(2) + 1 + BLOCK / QUAD)
    }
}

thread_local! {
    /// Transposed columns, kept from band to band.
    static SCRATCH: Cell<Vec<__m256i>> = const { Cell::new(Vec::new()) };
}

/// The most vectors that stay allocated between images.
const KEPT: usize = 1 << 12;

/// Makes room on this thread for the columns of every band to come.
pub(super) fn prepare(columns: &Columns) -> Result<()> {
    let mut scratch = SCRATCH.take();
    let more = (columns.capacity() * 2 * columns.output).saturating_sub(scratch.len());
    let bytes = more.saturating_mul(size_of::<__m256i>());
    let room = fallible(|| scratch.try_reserve_exact(more));
    SCRATCH.set(scratch);
    room.map_err(|_| Error::OutOfMemory { bytes })
}

/// Gives back what is much.
pub(super) fn release() {
    let scratch = SCRATCH.take();
    if scratch.capacity() <= KEPT {
        SCRATCH.set(scratch);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn pass(columns: &Columns, rows: &[Row<'_>; BAND], ahead: bool, band: &mut [u8]) {
    let rows = (rows, ahead);
    match (columns.output, columns.words) {
        (3, Words::One) => sized::<3, 1>(columns, rows, band),
        (3, Words::Two) => sized::<3, 2>(columns, rows, band),
        (_, Words::One) => sized::<4, 1>(columns, rows, band),
        (_, Words::Two) => sized::<4, 2>(columns, rows, band),
    }
}

/// Eight rows, and whether the next eight are asked for.
type Rows<'a> = (&'a [Row<'a>; BAND], bool);

/// Windows of the usual lengths get a loop of their own.
#[target_feature(enable = "avx2")]
fn sized<const C: usize, const W: usize>(columns: &Columns, rows: Rows<'_>, band: &mut [u8]) {
    match columns.pairs {
        1 => blocks::<C, W, 1>(columns, rows, band),
        2 => blocks::<C, W, 2>(columns, rows, band),
        3 => blocks::<C, W, 3>(columns, rows, band),
        4 => blocks::<C, W, 4>(columns, rows, band),
        5 => blocks::<C, W, 5>(columns, rows, band),
        6 => blocks::<C, W, 6>(columns, rows, band),
        7 => blocks::<C, W, 7>(columns, rows, band),
        8 => blocks::<C, W, 8>(columns, rows, band),
        9 => blocks::<C, W, 9>(columns, rows, band),
        10 => blocks::<C, W, 10>(columns, rows, band),
        _ => blocks::<C, W, 0>(columns, rows, band),
    }
}

#[target_feature(enable = "avx2")]
fn blocks<const C: usize, const W: usize, const N: usize>(
    columns: &Columns,
    (rows, ahead): Rows<'_>,
    band: &mut [u8],
) {
    let octet = Octet::new(rows);
    let pairs = if N == 0 { columns.pairs } else { N };
    let capacity = columns.capacity();
    let mut scratch = SCRATCH.take();
    if scratch.len() < capacity * 2 * C {
        scratch.resize(capacity * 2 * C, _mm256_setzero_si256());
    }
    let pair_vectors = scratch.as_chunks_mut::<C>().0;
    let (mut base, mut filled, mut x) = (0, 0, 0);
    while x < columns.starts.len() {
        let first = columns.starts[x] as usize / 2;
        if first < filled {
            pair_vectors.copy_within((first - base) * 2..(filled - base) * 2, 0);
        } else {
            filled = first;
        }
        base = first;
        let end = columns.quads.min(base + capacity);
        transpose::<C>(
            columns.input,
            &octet,
            rows,
            filled,
            &mut pair_vectors[(filled - base) * 2..(end - base) * 2],
        );
        filled = end;
        let ready = |start: &u32| *start as usize + pairs <= 2 * filled;
        let stop = x + columns.starts[x..].partition_point(ready);
        windows::<C, W, N>(columns, x..stop, (&octet, ahead), pair_vectors, 2 * base, band);
        x = stop;
    }
    SCRATCH.set(scratch);
}

/// Columns from step `first` on into vectors of pairs, as many as there is room for.
#[target_feature(enable = "avx2")]
fn transpose<const C: usize>(
    input: usize,
    octet: &Octet,
    rows: &[Row<'_>; BAND],
    first: usize,
    pairs: &mut [[__m256i; C]],
) {
    let step = QUAD * input;
    let quads = pairs.as_chunks_mut::<2>().0;
    let order = order(input);
    let direct = octet.vectors(step).saturating_sub(first).min(quads.len());
    let (inner, outer) = quads.split_at_mut(direct);
    for (i, quad) in inner.iter_mut().enumerate() {
        let at = opaque((first + i) * step);
        // SAFETY: only steps whose 16 bytes lie within the rows are counted in `direct`.
        let vectors = unsafe { octet.load(at) };
        *quad = quad_of(vectors, order);
    }
    if outer.is_empty() {
        return;
    }
    let at = ((first + direct) * step).min(rows[0].len());
    let rest = (rows[0].len() - at).min(32);
    let mut copies = [[0; 64]; BAND];
    for (copy, row) in copies.iter_mut().zip(rows) {
        row.slice(at, rest).copy_to(&mut copy[..rest]);
    }
    let padded = Octet::new(&copies.each_ref().map(|copy| Row::from(&copy[..])));
    for (i, quad) in outer.iter_mut().enumerate() {
        // SAFETY: a multiple of 16 up to 32 in copies of 64 bytes; what follows a row is zero.
        let vectors = unsafe { padded.load((i * step).min(32)) };
        *quad = quad_of(vectors, order);
    }
}

/// Puts the bytes of four pixels' first component into the first lane, in the order 0 2 1 3, and so on.
#[inline]
#[target_feature(enable = "avx2")]
fn order(input: usize) -> __m256i {
    if input == 3 {
        _mm256_setr_epi8(
            0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11, -1, -1, -1, -1, //
            0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11, -1, -1, -1, -1,
        )
    } else {
        _mm256_setr_epi8(
            0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15, //
            0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15,
        )
    }
}

/// Four rows' lanes of components to four components' lanes of rows, then to words.
#[inline]
#[target_feature(enable = "avx2")]
fn quad_of<const C: usize>(rows: [__m256i; 4], order: __m256i) -> [[__m256i; C]; 2] {
    let a = _mm256_shuffle_epi8(rows[0], order);
    let b = _mm256_shuffle_epi8(rows[1], order);
    let c = _mm256_shuffle_epi8(rows[2], order);
    let d = _mm256_shuffle_epi8(rows[3], order);
    let ab_low = _mm256_unpacklo_epi32(a, b);
    let ab_high = _mm256_unpackhi_epi32(a, b);
    let cd_low = _mm256_unpacklo_epi32(c, d);
    let cd_high = _mm256_unpackhi_epi32(c, d);
    let components = [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ];
    let mut quad = [[_mm256_setzero_si256(); C]; 2];
    for c in 0..C {
        quad[0][c] = _mm256_and_si256(components[c], _mm256_set1_epi16(0xff));
        quad[1][c] = _mm256_srli_epi16::<8>(components[c]);
    }
    quad
}

/// Output pixels `range`, whose windows lie in `vectors`, the first of which is pair `base`.
#[target_feature(enable = "avx2")]
fn windows<const C: usize, const W: usize, const N: usize>(
    columns: &Columns,
    range: std::ops::Range<usize>,
    (octet, asks): (&Octet, bool),
    vectors: &[[__m256i; C]],
    base: usize,
    band: &mut [u8],
) {
    // So many lines of the next band are asked for with each pixel, not all of a block at once, which memory would be slow to
    // give.
    let lines = (columns.quads * QUAD * columns.input * BAND).div_ceil(64 * columns.starts.len());
    let asks = if asks { lines } else { 0 };
    let pairs = if N == 0 { columns.pairs } else { N };
    let group = group_len(columns.starts.len() * C);
    let (upper, lower) = band.split_at_mut(group);
    let step = C * GROUP;
    let rounding = _mm256_set1_epi32(weights::half(columns.precision));
    let shift = _mm_cvtsi32_si128(columns.precision as i32);
    let starts = &columns.starts[range.clone()];
    let lanes =
        columns.lanes[range.start * pairs * W..range.end * pairs * W].chunks_exact(pairs * W);
    for ((x, &start), lanes) in range.zip(starts).zip(lanes) {
        let at = start as usize - base;
        let ahead = start as usize * 2 * columns.input;
        if asks > 0 {
            octet.prefetch_next(x * asks, ahead);
        }
        if asks > 1 {
            octet.prefetch_next(x * asks + 1, ahead);
        }
        if asks > 2 {
            for r in x * asks + 2..(x + 1) * asks {
                octet.prefetch_next(r, ahead);
            }
        }
        let vectors = &vectors[at..at + pairs];
        let sums = sum::<C, W, N>(vectors, lanes, rounding);
        let bytes = to_bytes(sums, shift);
        store16(upper, x * step, low(bytes));
        store16(lower, x * step, _mm256_extracti128_si256::<1>(bytes));
    }
}

/// The rounded sums of a window.
#[inline]
#[target_feature(enable = "avx2")]
fn sum<const C: usize, const W: usize, const N: usize>(
    vectors: &[[__m256i; C]],
    lanes: &[i32],
    rounding: __m256i,
) -> [__m256i; C] {
    let pairs = if N == 0 { vectors.len() } else { N };
    let (vectors, lanes) = (&vectors[..pairs], &lanes.as_chunks::<W>().0[..pairs]);
    let mut highs = [_mm256_setzero_si256(); C];
    let mut sums = [rounding; C];
    if N > 0 {
        for j in 0..N {
            add_pair(&mut sums, &mut highs, &vectors[j], &lanes[j]);
        }
    } else {
        let (fours, others) = vectors.as_chunks::<4>();
        let (lane_fours, lane_others) = lanes.as_chunks::<4>();
        for (vectors, lanes) in fours.iter().zip(lane_fours) {
            for j in 0..4 {
                add_pair(&mut sums, &mut highs, &vectors[j], &lanes[j]);
            }
        }
        for (vectors, lanes) in others.iter().zip(lane_others) {
            add_pair(&mut sums, &mut highs, vectors, lanes);
        }
    }
    if W == 2 {
        for c in 0..C {
            sums[c] = _mm256_add_epi32(sums[c], _mm256_slli_epi32::<15>(highs[c]));
        }
    }
    sums
}

/// Adds the products of two columns.
#[inline]
#[target_feature(enable = "avx2")]
fn add_pair<const C: usize, const W: usize>(
    sums: &mut [__m256i; C],
    highs: &mut [__m256i; C],
    vectors: &[__m256i; C],
    lanes: &[i32; W],
) {
    let last = _mm256_set1_epi32(lanes[W - 1]);
    for c in 0..C {
        sums[c] = _mm256_add_epi32(sums[c], _mm256_madd_epi16(vectors[c], last));
    }
    if W == 2 {
        let first = _mm256_set1_epi32(lanes[0]);
        for c in 0..C {
            highs[c] = _mm256_add_epi32(highs[c], _mm256_madd_epi16(vectors[c], first));
        }
    }
    settle(sums, highs);
}

/// Sums of a pixel, lane r = row r, to bytes: `c0 r0..r3, c1 r0..r3, ..`, rows 4 to 7 in the high half.
#[inline]
#[target_feature(enable = "avx2")]
fn to_bytes<const C: usize>(sums: [__m256i; C], shift: __m128i) -> __m256i {
    let shifted = |c: usize| _mm256_sra_epi32(sums[c], shift);
    let first = _mm256_packs_epi32(shifted(0), shifted(1));
    let second = _mm256_packs_epi32(shifted(2), shifted(C - 1));
    _mm256_packus_epi16(first, second)
}
