//! The horizontal pass: four rows in four lanes, and four more.
//!
//! ```text
//! for a block of source columns that stays in the cache
//!     transpose it: a vector for each component of four columns and four rows, lane = row, byte = column    (1)
//!     for each output pixel whose window lies in the block
//!         sum its vectors times its weights, four taps at a time
//!         round, clamp, and store four rows of each component                                               (2)
//! ```
//!
//! 1. `ld3` takes sixteen pixels of a row apart into components, so that a dword is four columns of one; then 4 x 4 dwords:
//!    ```text
//!    row a   a0-3 a4-7 a8-11 a12-15        zip .4s   a0-3 b0-3 a4-7 b4-7         zip .2d   a0-3 b0-3 c0-3 d0-3
//!    row b   b0-3 b4-7 b8-11 b12-15                  c0-3 d0-3 c4-7 d4-7                   a4-7 b4-7 c4-7 d4-7
//!    ```
//! 2. Lane = row is the band format: `c0 r0..r3, c1 r0..r3, ..` once the sums of the components are narrowed.
//!
//! Windows begin at a multiple of four columns and are all of one length, padded with zero weights.

#![expect(unsafe_code, reason = "products by instructions that not every CPU has")]

use std::arch::aarch64::{
    uint8x16_t, uint32x4_t, vdupq_n_s32, vdupq_n_u8, vreinterpretq_u8_u64, vreinterpretq_u32_u8,
    vreinterpretq_u64_u32, vzip1q_u32, vzip1q_u64, vzip2q_u32, vzip2q_u64,
};
use std::cell::Cell;

use super::Level;
use super::lanes::{components16, store};
use super::products::{Products, to_bytes};
use super::weights::{Cut, with_products};
use crate::error::{Error, Result, filled, reserved};
use crate::image::Row;
use crate::memory::fallible;
use crate::resample::Axis;
use crate::simd::{BAND, Backend, GROUP, Scalar, group_len};

/// Columns whose weights are multiplied together.
const QUAD: usize = 4;
/// Columns that are transposed together.
const STEP: usize = 16;
/// Quads of a step.
const QUADS: usize = STEP / QUAD;
/// Steps of a block, beyond those of one window.
const BLOCK: usize = 12;

/// The weights of a horizontal pass.
#[derive(Debug)]
pub enum Columns {
    /// Weights that no cut holds.
    Plain(<Scalar as Backend>::Columns),
    /// All others.
    Cut(Quads),
}

/// Weights four taps at a time.
#[derive(Debug)]
pub struct Quads {
    input: usize,
    output: usize,
    precision: u32,
    cut: Cut,
    /// Quads of every window.
    quads: usize,
    /// The first quad of each window.
    firsts: Vec<u32>,
    /// Where the sum of each window begins.
    starts: Vec<i32>,
    /// For each window and quad the weights as [`Cut::push`] writes them.
    lanes: Vec<i32>,
    /// Steps that cover the row and every window.
    steps: usize,
}

impl Columns {
    pub(super) fn new(level: Level, axis: &Axis, input: usize, output: usize) -> Result<Self> {
        let Some(cut) = Cut::of(level, axis) else {
            return Ok(Self::Plain(Scalar.columns(axis, input, output)?));
        };
        let span = |i| {
            let reads = axis.reads(i);
            (reads.start / QUAD, reads.end.div_ceil(QUAD))
        };
        let quads = (0..axis.target).map(|i| span(i).1 - span(i).0).max().unwrap_or(0).max(1);
        let total = axis.source.div_ceil(QUAD).max(quads);
        let mut firsts = reserved(axis.target)?;
        let mut starts = reserved(axis.target)?;
        let mut lanes = reserved(axis.target.saturating_mul(quads * cut.dwords()))?;
        let mut padded = filled(0, quads * QUAD)?;
        for i in 0..axis.target {
            let (begin, taps) = axis.window(i);
            let first = span(i).0.min(total - quads);
            firsts.push(first as u32);
            starts.push(cut.start(axis.precision, taps));
            padded.fill(0);
            padded[begin - QUAD * first..][..taps.len()].copy_from_slice(taps);
            for &k in padded.as_chunks::<QUAD>().0 {
                cut.push(k, &mut lanes);
            }
        }
        let (precision, steps) = (axis.precision, total.div_ceil(QUADS));
        Ok(Self::Cut(Quads { input, output, precision, cut, quads, firsts, starts, lanes, steps }))
    }
}

impl Quads {
    /// Steps of columns that are transposed at once.
    fn capacity(&self) -> usize {
        self.steps.min(self.quads.div_ceil(QUADS) + 1 + BLOCK)
    }
}

/// Both halves of the rows, of each component.
type Vectors<const C: usize> = [[uint8x16_t; 2]; C];

thread_local! {
    /// Transposed columns, kept from band to band.
    static SCRATCH: Cell<Vec<uint8x16_t>> = const { Cell::new(Vec::new()) };
}

/// The most vectors that stay allocated between images.
const KEPT: usize = 1 << 12;

/// Makes room on this thread for the columns of every band to come.
pub(super) fn prepare(columns: &Columns) -> Result<()> {
    let Columns::Cut(columns) = columns else { return Ok(()) };
    let mut scratch = SCRATCH.take();
    let more = (columns.capacity() * QUADS * 2 * columns.output).saturating_sub(scratch.len());
    let bytes = more.saturating_mul(size_of::<uint8x16_t>());
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

/// # Safety
/// The CPU must have the instructions that the weights were cut for.
#[target_feature(enable = "neon")]
pub(super) unsafe fn pass(columns: &Columns, rows: &[Row<'_>; BAND], ahead: bool, band: &mut [u8]) {
    let columns = match columns {
        Columns::Plain(columns) => return Scalar.horizontal(columns, rows, ahead, band),
        Columns::Cut(columns) => columns,
    };
    with_products!(columns.cut, P => match (columns.input, columns.output) {
        // SAFETY: this function's contract, in all three.
        (3, _) => unsafe { blocks::<P, 3, 3>(columns, rows, band) },
        // SAFETY: as above.
        (_, 3) => unsafe { blocks::<P, 4, 3>(columns, rows, band) },
        // SAFETY: as above.
        _ => unsafe { blocks::<P, 4, 4>(columns, rows, band) },
    });
}

/// # Safety
/// The CPU must have the instructions of `P`.
#[target_feature(enable = "neon")]
unsafe fn blocks<P: Products, const I: usize, const C: usize>(
    columns: &Quads,
    rows: &[Row<'_>; BAND],
    band: &mut [u8],
) {
    let len = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == len), "rows of a band differ in length");
    let capacity = columns.capacity();
    let mut scratch = SCRATCH.take();
    if scratch.len() < capacity * QUADS * C * 2 {
        scratch.resize(capacity * QUADS * C * 2, vdupq_n_u8(0));
    }
    let quads: &mut [Vectors<C>] = scratch.as_chunks_mut::<2>().0.as_chunks_mut::<C>().0;
    let (mut base, mut filled, mut x) = (0, 0, 0);
    while x < columns.firsts.len() {
        let first = columns.firsts[x] as usize / QUADS;
        if first < filled {
            quads.copy_within((first - base) * QUADS..(filled - base) * QUADS, 0);
        } else {
            filled = first;
        }
        base = first;
        let end = columns.steps.min(base + capacity);
        let room = &mut quads[(filled - base) * QUADS..(end - base) * QUADS];
        for (i, quads) in room.as_chunks_mut::<QUADS>().0.iter_mut().enumerate() {
            // SAFETY: this function's contract.
            unsafe { step::<P, I, C>(rows, (filled + i) * STEP * I, quads) };
        }
        filled = end;
        let ready = |first: &u32| *first as usize + columns.quads <= QUADS * filled;
        let stop = x + columns.firsts[x..].partition_point(ready);
        // SAFETY: this function's contract.
        unsafe { windows::<P, C>(columns, x..stop, quads, QUADS * base, band) };
        x = stop;
    }
    SCRATCH.set(scratch);
}

/// Sixteen columns of eight rows from byte `at` on; what follows a row is zero.
///
/// # Safety
/// The CPU must have the instructions of `P`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn step<P: Products, const I: usize, const C: usize>(
    rows: &[Row<'_>; BAND],
    at: usize,
    quads: &mut [Vectors<C>; QUADS],
) {
    let len = rows[0].len();
    if at + STEP * I <= len {
        // SAFETY: this function's contract.
        return unsafe { transpose::<P, I, C>(rows, at, quads) };
    }
    let at = at.min(len);
    let mut copies = [[0; 64]; BAND];
    for (copy, row) in copies.iter_mut().zip(rows) {
        row.slice(at, len - at).copy_to(&mut copy[..len - at]);
    }
    let copies = copies.each_ref().map(|copy| Row::from(&copy[..]));
    // SAFETY: this function's contract.
    unsafe { transpose::<P, I, C>(&copies, 0, quads) };
}

/// # Safety
/// The CPU must have the instructions of `P`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn transpose<P: Products, const I: usize, const C: usize>(
    rows: &[Row<'_>; BAND],
    at: usize,
    quads: &mut [Vectors<C>; QUADS],
) {
    for (half, rows) in rows.as_chunks::<GROUP>().0.iter().enumerate() {
        let rows = rows.each_ref().map(|row| components16::<I>(row, at));
        for c in 0..C {
            // SAFETY: this function's contract.
            let dwords = rows.map(|row| vreinterpretq_u32_u8(unsafe { P::prepare(row[c]) }));
            for (quad, vector) in quads.iter_mut().zip(square(dwords)) {
                quad[c][half] = vector;
            }
        }
    }
}

/// 4 x 4 dwords transposed.
#[inline]
#[target_feature(enable = "neon")]
fn square([a, b, c, d]: [uint32x4_t; 4]) -> [uint8x16_t; 4] {
    let (ab_low, ab_high) = (vzip1q_u32(a, b), vzip2q_u32(a, b));
    let (cd_low, cd_high) = (vzip1q_u32(c, d), vzip2q_u32(c, d));
    let qwords = [ab_low, cd_low, ab_high, cd_high].map(|v| vreinterpretq_u64_u32(v));
    let [ab_low, cd_low, ab_high, cd_high] = qwords;
    [
        vzip1q_u64(ab_low, cd_low),
        vzip2q_u64(ab_low, cd_low),
        vzip1q_u64(ab_high, cd_high),
        vzip2q_u64(ab_high, cd_high),
    ]
    .map(|v| vreinterpretq_u8_u64(v))
}

/// Output pixels `range`, whose windows lie in `vectors`, the first of which is quad `base`.
///
/// # Safety
/// The CPU must have the instructions of `P`.
#[target_feature(enable = "neon")]
unsafe fn windows<P: Products, const C: usize>(
    columns: &Quads,
    range: std::ops::Range<usize>,
    vectors: &[Vectors<C>],
    base: usize,
    band: &mut [u8],
) {
    let (upper, lower) = band.split_at_mut(group_len(columns.firsts.len() * C));
    let shift = vdupq_n_s32(-(columns.precision as i32));
    let each = columns.quads * P::DWORDS;
    let lanes = columns.lanes[range.start * each..range.end * each].chunks_exact(each);
    let (firsts, starts) = (&columns.firsts[range.clone()], &columns.starts[range.clone()]);
    for (((x, &first), &start), lanes) in range.zip(firsts).zip(starts).zip(lanes) {
        let at = first as usize - base;
        // SAFETY: this function's contract, as of all that follow.
        let mut sums = [[unsafe { P::begin(start) }; 2]; C];
        for (quad, lanes) in
            vectors[at..at + columns.quads].iter().zip(lanes.chunks_exact(P::DWORDS))
        {
            // SAFETY: as above.
            let weights = unsafe { P::weights(lanes) };
            for (sums, &bytes) in sums.iter_mut().zip(quad) {
                for (sums, bytes) in sums.iter_mut().zip(bytes) {
                    // SAFETY: as above.
                    unsafe { P::add(sums, bytes, weights) };
                }
            }
        }
        // SAFETY: as above.
        let sums = sums.map(|halves| halves.map(|sums| unsafe { P::end(sums) }));
        for (half, group) in [&mut *upper, &mut *lower].into_iter().enumerate() {
            let sums = [0, 1, 2, C - 1].map(|c| sums[c][half]);
            store(group, x * C * GROUP, to_bytes::<P>(shift, sums));
        }
    }
}
