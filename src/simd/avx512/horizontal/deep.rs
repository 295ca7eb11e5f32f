//! Windows of many taps: eight rows in the dwords of a vector.
//!
//! ```text
//! for a block of source columns that stays in the cache
//!     turn it: eight columns of eight rows are a vector for each half of them, whose qword r is row r,
//!         a dword of four columns of one component, one of the next; of the third component a dword a half     (1)
//!     for each target pixel whose window lies in the block
//!         sum its eights of columns times their weights, which all rows share                                    (2)
//!         add up the halves of the third component, round, clamp, and store four rows of each component          (3)
//! ```
//!
//! 1. Sixteen columns at a time:
//!    ```text
//!    vpermt2b      rg0 rg0'  rg1 rg1'  rg2 rg2'  rg3 rg3'      qwords of two rows; rg1 = r4r5r6r7 g4g5g6g7
//!                  b01 b01'  b23 b23'
//!    vshufi32x4    rg0 of rows 0 .. 7, then rg1, ..            128-bit lanes transposed
//!    ```
//!    Four components make rg and bx of each four columns.
//! 2. Windows begin at a multiple of eight columns, with weights of zero before their own first and after their last.
//!    Nothing is permuted here, and no lane is idle.

use std::cell::Cell;

use super::super::super::{BAND, GROUP, group_len};
use super::super::ops::{Eight, Line, Ops, store_lane};
use super::super::sums::{DIGITS, Rounding, reserved};
use crate::error::{Error, Result};
use crate::memory::fallible;
use crate::resample::Axis;

/// Columns of a step of the sums.
const EIGHT: usize = 8;
/// Columns that are turned together.
const SIXTEEN: usize = 16;
/// Sixteens that are turned at once, beyond those of one window.
const BLOCK: usize = 16;
/// The most vectors that stay allocated between bands.
const KEPT: usize = 1 << 12;

/// The weights of a pass.
#[derive(Debug)]
pub(super) struct Columns {
    precision: u32,
    /// Bytes of sixteen columns, and how those of two rows come in the order of qwords: rg, then b or bx.
    step: usize,
    orders: [Line; 2],
    windows: Vec<Window>,
    /// For each window, eight columns and digit, the signed bytes of two times four taps.
    weights: Vec<[i32; 2]>,
    /// The same as qwords: of one memory, the compiler would make both from one load, and then no broadcast is a load.
    qwords: Vec<[i32; 2]>,
    /// The most eights of a window.
    longest: usize,
}

/// Of a target pixel.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Its first eight columns, and how many it has.
    first: u32,
    count: u32,
    /// Where its weights begin.
    weights: u32,
}

/// Lays out the weights of `axis`, which fit `digits` signed bytes.
pub(super) fn columns(axis: &Axis, digits: usize, input: usize, output: usize) -> Result<Columns> {
    let eights = |x: usize| {
        let reads = axis.reads(x);
        (reads.start / EIGHT, reads.end.div_ceil(EIGHT) - reads.start / EIGHT)
    };
    let total = digits * (0..axis.target).map(|x| eights(x).1).sum::<usize>();
    let longest = (0..axis.target).map(|x| eights(x).1).max().unwrap_or(0);
    let mut columns = Columns {
        precision: axis.precision,
        step: SIXTEEN * input,
        orders: [order(input, output, 0), order(input, output, 1)],
        windows: reserved(axis.target)?,
        weights: reserved(total)?,
        qwords: reserved(total)?,
        longest,
    };
    let mut padded = reserved(longest * EIGHT)?;
    padded.resize(longest * EIGHT, 0);
    for x in 0..axis.target {
        let (first, count) = eights(x);
        let weights = columns.weights.len() as u32;
        columns.windows.push(Window { first: first as u32, count: count as u32, weights });
        let (start, taps) = axis.window(x);
        padded.fill(0);
        padded[start % EIGHT..][..taps.len()].copy_from_slice(taps);
        for eight in &padded.as_chunks::<EIGHT>().0[..count] {
            let eight = eight.map(|weight: i32| weight.wrapping_add(DIGITS) ^ DIGITS);
            for digit in 0..digits {
                let bytes = eight.map(|weight| (weight >> (8 * digit)) as u8);
                let four = |at| i32::from_le_bytes(std::array::from_fn(|j| bytes[at + j]));
                columns.weights.push([four(0), four(4)]);
            }
        }
    }
    columns.qwords.extend_from_slice(&columns.weights);
    Ok(columns)
}

thread_local! {
    /// Turned columns, kept from band to band.
    static SCRATCH: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

impl Columns {
    /// Eights of columns that are turned at once.
    const fn capacity(&self) -> usize {
        self.longest / 2 + 1 + BLOCK
    }

    /// Makes room on this thread for the columns of every band to come, of `components` bytes.
    pub(super) fn prepare(&self, components: usize) -> Result<()> {
        let mut scratch = SCRATCH.take();
        let more = (self.capacity() * 2 * components).saturating_sub(scratch.len());
        let bytes = more.saturating_mul(size_of::<Line>());
        let room = fallible(|| scratch.try_reserve_exact(more));
        SCRATCH.set(scratch);
        room.map_err(|_| Error::OutOfMemory { bytes })
    }
}

/// Gives back what is much.
pub(super) fn release() {
    let scratch = SCRATCH.take();
    if scratch.capacity() <= KEPT {
        SCRATCH.set(scratch);
    }
}

/// The pass for `C` components. Eight columns are `C` vectors.
#[inline(always)]
pub(super) fn pass<O: Ops, const D: usize, const C: usize, const WORDS: bool>(
    ops: O,
    columns: &Columns,
    rows: &Eight<'_>,
    band: &mut [u8],
) {
    let (first, second) = band.split_at_mut(group_len(columns.windows.len() * C));
    let mut groups = [first, second];
    let orders = [columns.orders[0].load(ops), columns.orders[1].load(ops)];
    let capacity = columns.capacity();
    let mut scratch = SCRATCH.take();
    if scratch.len() < capacity * 2 * C {
        scratch.resize(capacity * 2 * C, Line::ZERO);
    }
    let eights = scratch.as_chunks_mut::<C>().0;
    let sixteens = rows.len().div_ceil(columns.step);
    // Sixteens from `base` up to `filled` are turned.
    let (mut base, mut filled) = (0, 0);
    for (x, &window) in columns.windows.iter().enumerate() {
        let (first, count) = (window.first as usize, window.count as usize);
        if first + count > 2 * filled {
            let kept = first / 2;
            if kept < filled {
                eights.copy_within((kept - base) * 2..(filled - base) * 2, 0);
            }
            filled = filled.max(kept);
            base = kept;
            let end = sixteens.min(base + capacity);
            for pair in eights[(filled - base) * 2..(end - base) * 2].chunks_exact_mut(2) {
                turn::<O, C>(ops, orders, rows, filled * columns.step, pair);
                filled += 1;
            }
        }
        let eights = &eights[first - 2 * base..][..count];
        pixel::<O, D, C, WORDS>(ops, columns, window, eights, &mut groups, x);
    }
    SCRATCH.set(scratch);
}

/// Sixteen columns from byte `at` of the rows on, into two times eight.
#[inline(always)]
fn turn<O: Ops, const C: usize>(
    ops: O,
    orders: [O::V; 2],
    rows: &Eight<'_>,
    at: usize,
    eights: &mut [[Line; C]],
) {
    rows.prefetch_next(at);
    let mut columns = [orders[0]; BAND];
    if let Some(span) = rows.span(at, 64) {
        for r in 0..BAND {
            columns[r] = span.load(ops, r, 0);
        }
    } else {
        for r in 0..BAND {
            columns[r] = rows.load_part(ops, r, at);
        }
    }
    let (mut first, mut second) = ([orders[0]; 4], [orders[0]; 4]);
    for p in 0..4 {
        first[p] = ops.permute2(columns[2 * p], orders[0], columns[2 * p + 1]);
        second[p] = ops.permute2(columns[2 * p], orders[1], columns[2 * p + 1]);
    }
    let (first, second) = (transposed(ops, first), transposed(ops, second));
    for half in 0..2 {
        let eight = &mut eights[half];
        for four in 0..2 {
            eight[four].store(ops, first[2 * half + four]);
        }
        if C == 3 {
            eight[2].store(ops, second[half]);
        } else {
            for four in 0..2 {
                eight[2 + four].store(ops, second[2 * half + four]);
            }
        }
    }
}

/// The qwords of sixteen pixels of two rows, of each in turn: of the first two components, or of the others.
fn order(input: usize, output: usize, others: usize) -> Line {
    let mut line = Line::ZERO;
    for (at, byte) in line.0.iter_mut().enumerate() {
        let (row, qword, dword, j) = (at / 8 % 2, at / 16, at / 4 % 2, at % 4);
        let (four, c) = if others == 1 && output == 3 {
            (qword % 2 * 2 + dword, 2)
        } else {
            (qword, 2 * others + dword)
        };
        *byte = (row * 64 + (four * 4 + j) * input + c) as u8;
    }
    line
}

/// The transpose of a matrix of 4 x 4 lanes.
///
/// ```text
/// vshufi32x4    a0 a1 b0 b1,    c0 c1 d0 d1,    a2 a3 b2 b3, ..
/// vshufi32x4    a0 b0 c0 d0,    a1 b1 c1 d1, ..
/// ```
#[inline(always)]
fn transposed<O: Ops>(ops: O, [a, b, c, d]: [O::V; 4]) -> [O::V; 4] {
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let (near, far) = (ops.lanes::<LOW>(a, b), ops.lanes::<LOW>(c, d));
    let (near_high, far_high) = (ops.lanes::<HIGH>(a, b), ops.lanes::<HIGH>(c, d));
    [
        ops.lanes::<EVEN>(near, far),
        ops.lanes::<ODD>(near, far),
        ops.lanes::<EVEN>(near_high, far_high),
        ops.lanes::<ODD>(near_high, far_high),
    ]
}

/// Target pixel `x` of eight rows.
#[inline(always)]
fn pixel<O: Ops, const D: usize, const C: usize, const WORDS: bool>(
    ops: O,
    columns: &Columns,
    window: Window,
    eights: &[[Line; C]],
    groups: &mut [&mut [u8]; 2],
    x: usize,
) {
    let rounding = Rounding::new(ops, columns.precision, D);
    let from = window.weights as usize;
    let weights = columns.weights[from..][..eights.len() * D].as_chunks::<D>().0;
    let qwords = columns.qwords[from..][..eights.len() * D].as_chunks::<D>().0;
    let mut first = rounding.start::<D>();
    let mut second = rounding.start::<D>();
    let mut firsts = [rounding.zero; D];
    for i in 0..eights.len() {
        let (eight, weights, qwords) = (&eights[i], &weights[i], &qwords[i]);
        let mut vectors = [rounding.half; C];
        for c in 0..C {
            vectors[c] = eight[c].load(ops);
        }
        for d in 0..D {
            let [near, far] = weights[d];
            first[d] = ops.dot(first[d], vectors[0], ops.splat(near));
            firsts[d] = ops.dot(firsts[d], vectors[1], ops.splat(far));
            if C == 3 {
                second[d] = ops.dot(second[d], vectors[2], ops.splat_qword(qwords[d]));
            } else {
                second[d] = ops.dot(second[d], vectors[2], ops.splat(near));
                second[d] = ops.dot(second[d], vectors[C - 1], ops.splat(far));
            }
        }
    }
    for d in 0..D {
        first[d] = ops.add(first[d], firsts[d]);
    }
    if C == 3 {
        for d in 0..D {
            // The half that rounds is in both dwords.
            let start = if d == 0 { rounding.half } else { rounding.zero };
            let other = ops.subtract_dwords(ops.high_dwords(second[d]), start);
            second[d] = ops.add(second[d], other);
        }
    }
    let words = rounding.words::<O, D, WORDS>(ops, &first, &second);
    let bytes = ops.permute(INTERLEAVE.load(ops), ops.pack_words(words, words));
    store_lane::<O, 0>(ops, groups[0], x * C * GROUP, bytes);
    store_lane::<O, 1>(ops, groups[1], x * C * GROUP, bytes);
}

/// From the bytes of two rows a lane, `c0 c1 c0' c1' c2 c3 c2' c3'`, to the two groups.
const INTERLEAVE: Line = {
    let mut line = Line::ZERO;
    let mut at = 0;
    while at < 32 {
        let (row, c) = (at / 16 * GROUP + at % 4, at / 4 % 4);
        line.0[at] = (row / 2 * 16 + c / 2 * 4 + row % 2 * 2 + c % 2) as u8;
        at += 1;
    }
    line
};
