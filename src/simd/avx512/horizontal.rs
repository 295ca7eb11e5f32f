//! The horizontal pass: eight rows at a time, a few target pixels in the dwords of a vector.
//!
//! A weight of 22 bits is three signed bytes, `k = b0 + (b1 << 8) + (b2 << 16)`, one of int16 mostly two.
//! `vpdpbusd` multiplies four source bytes of a dword, four taps of one component, by four of them.
//! All sums are modulo 2^32, as the scalar backend's are.
//!
//! Which bytes of a source row make which lane never changes while the window of a group of pixels moves
//! on by four taps, so one index vector serves all steps of a group. For three pixels of RGB at scale 2:
//!
//! ```text
//! source      r0 g0 b0 r1 g1 b1 r2 g2 b2 r3 g3 b3 r4 g4 b4 ...            64 bytes, 128 for wide windows
//! vpermb      r0r1r2r3 g0g1g2g3 b0b1b2b3  r2r3r4r5 g2g3g4g5 b2b3b4b5  r4r5r6r7 ...
//! vpdpbusd    pixel 0: r, g, b            pixel 1: r, g, b            pixel 2: r, ...
//! next step   the same from 4 source pixels further on
//! ```
//!
//! Where the windows of few pixels are wider than 128 bytes, a vector is 16 taps of one pixel, and its
//! four lanes are added up in the end.

use super::super::{BAND, GROUP, group_len};
use super::ops::{Eight, Line, Ops, load_dwords, store, store_lane};
use crate::error::{Error, Result};
use crate::image::Row;
use crate::resample::Axis;

/// How the pixels of a source row come into the lanes of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Up to five pixels whose four taps lie within 64 bytes.
    Narrow,
    /// The same within 128 bytes.
    Wide,
    /// Sixteen taps of one pixel.
    Long,
}

/// Consecutive target pixels that are made together.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// The first source byte of the first step.
    from: u32,
    /// Its lines: for all but [`Reach::Long`] an index vector, then `digits` weights a step.
    start: u32,
    end: u32,
}

/// The weights of a horizontal pass.
#[derive(Debug)]
pub struct Columns {
    reach: Reach,
    digits: usize,
    precision: u32,
    /// Bytes of a source row and of a step.
    source: usize,
    step: usize,
    /// Bytes of a group, and those that a batch fills.
    group: usize,
    filled: usize,
    batches: Vec<Batch>,
    lines: Vec<Line>,
}

/// Signed bytes that hold every weight of an axis; none where three do not.
pub(super) fn digits(axis: &Axis) -> Option<usize> {
    let fits = |digits: u32| {
        // 127 in every place, and -128 in every place.
        let most = (0..digits).fold(0, |sum, place| sum + (127 << (8 * place)));
        let least = (0..digits).fold(0, |sum, place| sum - (128 << (8 * place)));
        let range = least..=most;
        (0..axis.target).all(|i| axis.window(i).1.iter().all(|weight| range.contains(weight)))
    };
    if axis.int16 && fits(2) {
        Some(2)
    } else if fits(3) {
        Some(3)
    } else {
        None
    }
}

/// Adding this and flipping its bits turns a weight into its signed digits, low byte first.
pub(super) const DIGITS: i32 = 0x0080_8080;

/// Lays out the weights of `axis`, which fit `digits` signed bytes.
#[inline(always)]
pub(super) fn columns<O: Ops>(
    ops: O,
    axis: &Axis,
    digits: usize,
    input: usize,
    output: usize,
) -> Result<Columns> {
    let most = if output == 3 { 5 } else { 4 };
    let candidates = [
        (most, 64, Reach::Narrow),
        (4, 64, Reach::Narrow),
        (most, 128, Reach::Wide),
        (4, 128, Reach::Wide),
    ];
    let mut pixels = 1;
    let mut reach = Reach::Long;
    for (count, bytes, candidate) in candidates {
        if (spread(axis, count) + 4) * input <= bytes {
            (pixels, reach) = (count, candidate);
            break;
        }
    }
    let taps = if reach == Reach::Long { 16 } else { 4 };
    let lead = usize::from(reach != Reach::Long);
    let mut total = 1;
    for first in (0..axis.target).step_by(pixels) {
        total += lead + digits * steps(axis, first, pixels, taps);
    }
    let batches = axis.target.div_ceil(pixels);
    let mut columns = Columns {
        reach,
        digits,
        precision: axis.precision,
        source: axis.source * input,
        step: taps * input,
        group: group_len(axis.target * output),
        filled: pixels * output * GROUP,
        batches: reserved(batches)?,
        lines: reserved(total)?,
    };
    for first in (0..axis.target).step_by(pixels) {
        let start = columns.lines.len() as u32;
        let from = axis.reads(first).start;
        if reach == Reach::Long {
            long_lines(ops, axis, first, digits, output, &mut columns.lines);
        } else {
            let count = pixels.min(axis.target - first);
            short_lines(ops, axis, first, count, digits, [input, output], &mut columns.lines);
        }
        let end = columns.lines.len() as u32;
        columns.batches.push(Batch { from: (from * input) as u32, start, end });
    }
    if reach == Reach::Long {
        columns.lines.push(long_index(input));
    }
    Ok(columns)
}

pub(super) fn reserved<T>(len: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>());
    vec.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { bytes })?;
    Ok(vec)
}

/// The most source pixels between the first taps of the pixels of a batch.
fn spread(axis: &Axis, pixels: usize) -> usize {
    let of_batch = |first: usize| {
        let last = (first + pixels).min(axis.target) - 1;
        axis.reads(last).start - axis.reads(first).start
    };
    (0..axis.target).step_by(pixels).map(of_batch).max().unwrap_or(0)
}

/// Steps of `taps` taps that the longest window of a batch takes.
fn steps(axis: &Axis, first: usize, pixels: usize, taps: usize) -> usize {
    let last = (first + pixels).min(axis.target);
    (first..last).map(|x| axis.window(x).1.len().div_ceil(taps)).max().unwrap_or(0)
}

/// The index vector of a batch, then for each step of four taps a vector for each digit.
///
/// ```text
/// dword   0    1    2    3    4    5   ...            output 3, up to five pixels; output 4, up to four
///         x0c0 x0c1 x0c2 x1c0 x1c1 x1c2               byte j of a dword: tap 4 step + j
/// ```
#[inline(always)]
fn short_lines<O: Ops>(
    ops: O,
    axis: &Axis,
    first: usize,
    count: usize,
    digits: usize,
    [input, output]: [usize; 2],
    lines: &mut Vec<Line>,
) {
    let base = axis.reads(first).start;
    let mut index = Line::ZERO;
    // Byte of the two vectors of weights, four dwords a pixel, that a byte of the first digit comes from.
    let mut order = [Line([127; 64]); 3];
    for p in 0..count {
        let lead = axis.reads(first + p).start - base;
        for c in 0..output {
            for j in 0..4 {
                let at = (p * output + c) * 4 + j;
                index.0[at] = ((lead + j) * input + c) as u8;
                for (digit, order) in order.iter_mut().enumerate() {
                    order.0[at] = ((p * 4 + j) * 4 + digit) as u8;
                }
            }
        }
    }
    lines.push(index);
    let mut windows: [&[i32]; 5] = [&[]; 5];
    for (p, window) in windows.iter_mut().enumerate().take(count) {
        *window = axis.window(first + p).1;
    }
    let flip = ops.splat(DIGITS);
    for step in 0..steps(axis, first, count, 4) {
        let mut near = [0; 16];
        let mut far = [0; 16];
        let (near_pixels, far_pixels) = (near.as_chunks_mut::<4>().0, far.as_chunks_mut::<4>().0);
        for (pixel, window) in near_pixels.iter_mut().chain(far_pixels).zip(&windows) {
            let rest = window.get(step * 4..).unwrap_or(&[]);
            if let Some(four) = rest.first_chunk::<4>() {
                *pixel = *four;
            } else {
                pixel[..rest.len()].copy_from_slice(rest);
            }
        }
        let near = load_dwords(ops, &near);
        let far = load_dwords(ops, &far);
        let near = ops.xor(ops.add(near, flip), flip);
        let far = ops.xor(ops.add(far, flip), flip);
        for order in &order[..digits] {
            let mut line = Line::ZERO;
            line.store(ops, ops.permute2(near, order.load(ops), far));
            lines.push(line);
        }
    }
}

/// For each step of sixteen taps of a pixel a vector for each digit.
///
/// ```text
/// lane    0               1               2               3
///         c0 c1 c2 c3     c0 c1 c2 c3     c0 c1 c2 c3     c0 c1 c2 c3      a dword each
/// taps    0..4            4..8            8..12           12..16
/// ```
#[inline(always)]
fn long_lines<O: Ops>(
    ops: O,
    axis: &Axis,
    x: usize,
    digits: usize,
    output: usize,
    lines: &mut Vec<Line>,
) {
    // A byte past the weights, which is zero as there are only sixteen.
    let mut order = [Line([127; 64]); 3];
    for at in 0..64 {
        let (q, c, j) = (at / 16, at / 4 % 4, at % 4);
        for (digit, order) in order.iter_mut().enumerate() {
            if c < output {
                order.0[at] = ((q * 4 + j) * 4 + digit) as u8;
            }
        }
    }
    let flip = ops.splat(DIGITS);
    for taps in axis.window(x).1.chunks(16) {
        let mut dwords = [0; 16];
        dwords[..taps.len()].copy_from_slice(taps);
        let weights = load_dwords(ops, &dwords);
        let weights = ops.xor(ops.add(weights, flip), flip);
        for order in &order[..digits] {
            let mut line = Line::ZERO;
            line.store(ops, ops.permute2(weights, order.load(ops), ops.splat(0)));
            lines.push(line);
        }
    }
}

/// The index vector of [`long_lines`].
fn long_index(input: usize) -> Line {
    let mut index = Line::ZERO;
    for (at, byte) in index.0.iter_mut().enumerate() {
        let (q, c, j) = (at / 16, at / 4 % 4, at % 4);
        *byte = ((q * 4 + j) * input + c.min(input - 1)) as u8;
    }
    index
}

/// The pass over eight rows into the two groups of `band`.
#[inline(always)]
pub(super) fn horizontal<O: Ops>(
    ops: O,
    columns: &Columns,
    rows: &[Row<'_>; BAND],
    band: &mut [u8],
) {
    let rows = Eight::new(rows, columns.source);
    let top = only_tops(columns.digits, columns.precision);
    match (columns.reach, columns.digits) {
        (Reach::Narrow, 2) => short::<O, 2, false, false>(ops, columns, &rows, band),
        (Reach::Narrow, _) if top => short::<O, 3, false, true>(ops, columns, &rows, band),
        (Reach::Narrow, _) => short::<O, 3, false, false>(ops, columns, &rows, band),
        (Reach::Wide, 2) => short::<O, 2, true, false>(ops, columns, &rows, band),
        (Reach::Wide, _) if top => short::<O, 3, true, true>(ops, columns, &rows, band),
        (Reach::Wide, _) => short::<O, 3, true, false>(ops, columns, &rows, band),
        (Reach::Long, 2) => long::<O, 2>(ops, columns, &rows, band),
        (Reach::Long, _) => long::<O, 3>(ops, columns, &rows, band),
    }
}

/// What the end of a sum takes.
pub(super) struct Rounding<V> {
    /// What the sums of the first digits begin with.
    pub(super) half: V,
    zero: V,
    precision: V,
    /// What is left of it above 16, for words.
    above: V,
}

impl<V: Copy> Rounding<V> {
    #[inline(always)]
    pub(super) fn new<O: Ops<V = V>>(ops: O, precision: u32) -> Self {
        let half = if precision == 0 { 0 } else { 1 << (precision - 1) };
        let above = precision.saturating_sub(16) as i32;
        Self {
            half: ops.splat(half),
            zero: ops.splat(0),
            precision: ops.splat(precision as i32),
            above: ops.splat(above << 16 | above),
        }
    }

    /// Where the sums of all digits begin.
    #[inline(always)]
    pub(super) fn start<const D: usize>(&self) -> [V; D] {
        let mut sums = [self.zero; D];
        sums[0] = self.half;
        sums
    }

    /// Two vectors of sums by digits, shifted, as words `a0 a1 a2 a3 b0 b1 b2 b3` in each lane, which
    /// saturate to bytes as the sums do.
    ///
    /// `TOP` is for three digits of at least 16 bits, whose sums shifted by 16 are taken as words: what saturates there
    /// is out of a byte's range.
    #[inline(always)]
    pub(super) fn words<O: Ops<V = V>, const D: usize, const TOP: bool>(
        &self,
        ops: O,
        a: &[V; D],
        b: &[V; D],
    ) -> V {
        if TOP {
            return ops.shift_right_words(ops.pack_dwords(top(ops, a), top(ops, b)), self.above);
        }
        let a = ops.shift_right(total(ops, a), self.precision);
        let b = ops.shift_right(total(ops, b), self.precision);
        ops.pack_dwords(a, b)
    }
}

/// Whether [`Rounding::words`] can take the short way.
pub(super) const fn only_tops(digits: usize, precision: u32) -> bool {
    digits == 3 && precision >= 16
}

/// `d0 + (d1 << 8) + (d2 << 16)`, shifted right by 16, rounded down: so are both steps.
#[inline(always)]
fn top<O: Ops, const D: usize>(ops: O, sums: &[O::V; D]) -> O::V {
    let mut sum = sums[0];
    for d in 1..D {
        sum = ops.add(ops.shift_right_by::<8>(sum), sums[d]);
    }
    sum
}

/// One sum of the sums by digits.
#[inline(always)]
fn total<O: Ops, const D: usize>(ops: O, sums: &[O::V; D]) -> O::V {
    let mut sum = sums[D - 1];
    for d in (0..D - 1).rev() {
        sum = ops.add(ops.shift_left::<8>(sum), sums[d]);
    }
    sum
}

#[inline(always)]
fn short<O: Ops, const D: usize, const WIDE: bool, const TOP: bool>(
    ops: O,
    columns: &Columns,
    rows: &Eight<'_>,
    band: &mut [u8],
) {
    let (first, second) = band.split_at_mut(columns.group);
    let mut groups = [first, second];
    let rounding = Rounding::new(ops, columns.precision);
    let quads = INTERLEAVE.load(ops);
    let vector = if WIDE { 128 } else { 64 };
    for (number, batch) in columns.batches.iter().enumerate() {
        let lines = &columns.lines[batch.start as usize..batch.end as usize];
        let from = batch.from as usize;
        let last = from + (lines.len() / D).saturating_sub(1) * columns.step;
        rows.prefetch_next(from);
        let inside = last + vector <= columns.source;
        for (half, group) in groups.iter_mut().enumerate() {
            let r = half * GROUP;
            let start = rounding.start();
            let sums = if inside {
                short_sums::<O, D, WIDE, false>(ops, start, lines, from, columns.step, rows, r)
            } else {
                short_sums::<O, D, WIDE, true>(ops, start, lines, from, columns.step, rows, r)
            };
            let ab = rounding.words::<O, D, TOP>(ops, &sums[0], &sums[1]);
            let cd = rounding.words::<O, D, TOP>(ops, &sums[2], &sums[3]);
            let bytes = ops.shuffle(ops.pack_words(ab, cd), quads);
            store(ops, group, number * columns.filled, bytes);
        }
    }
}

/// The sums by digits of the four rows from `r` on: as many as stay in registers.
#[inline(always)]
fn short_sums<O: Ops, const D: usize, const WIDE: bool, const EDGE: bool>(
    ops: O,
    start: [O::V; D],
    lines: &[Line],
    from: usize,
    step: usize,
    rows: &Eight<'_>,
    r: usize,
) -> [[O::V; D]; GROUP] {
    let mut sums = [start; GROUP];
    let Some((index, weights)) = lines.split_first() else { return sums };
    let index = index.load(ops);
    let mut at = from;
    for lines in weights.as_chunks::<D>().0 {
        let mut weights = [index; D];
        for d in 0..D {
            weights[d] = lines[d].load(ops);
        }
        for i in 0..GROUP {
            let near = vector::<O, EDGE>(ops, rows, r + i, at);
            let bytes = if WIDE {
                ops.permute2(near, index, vector::<O, EDGE>(ops, rows, r + i, at + 64))
            } else {
                ops.permute(index, near)
            };
            for d in 0..D {
                sums[i][d] = ops.dot(sums[i][d], bytes, weights[d]);
            }
        }
        at += step;
    }
    sums
}

#[inline(always)]
fn vector<O: Ops, const EDGE: bool>(ops: O, rows: &Eight<'_>, r: usize, at: usize) -> O::V {
    if EDGE { rows.load_part(ops, r, at) } else { rows.load(ops, r, at) }
}

/// From words of four rows to the format of a group.
///
/// ```text
/// words        a0 a1 a2 a3 b0 b1 b2 b3, c0 c1 c2 c3 d0 d1 d2 d3        of each lane
/// vpackuswb    a0 a1 a2 a3 b0 b1 b2 b3 c0 c1 c2 c3 d0 d1 d2 d3
/// vpshufb      a0 b0 c0 d0 a1 b1 c1 d1 a2 b2 c2 d2 a3 b3 c3 d3
/// ```
const INTERLEAVE: Line = {
    let mut line = Line::ZERO;
    let mut i = 0;
    while i < 64 {
        line.0[i] = (i % 4 * 4 + i / 4 % 4) as u8;
        i += 1;
    }
    line
};

#[inline(always)]
fn long<O: Ops, const D: usize>(ops: O, columns: &Columns, rows: &Eight<'_>, band: &mut [u8]) {
    let (first, second) = band.split_at_mut(columns.group);
    let mut groups = [first, second];
    let rounding = Rounding::new(ops, columns.precision);
    let index = columns.lines[columns.lines.len() - 1].load(ops);
    let transpose = TRANSPOSE.load(ops);
    for (number, batch) in columns.batches.iter().enumerate() {
        let lines = &columns.lines[batch.start as usize..batch.end as usize];
        let from = batch.from as usize;
        let last = from + (lines.len() / D).saturating_sub(1) * columns.step;
        let sums = if last + 64 <= columns.source {
            long_sums::<O, D, false>(ops, lines, index, from, columns.step, rows)
        } else {
            long_sums::<O, D, true>(ops, lines, index, from, columns.step, rows)
        };
        for (half, group) in groups.iter_mut().enumerate() {
            let mut quad = [index; GROUP];
            for r in 0..GROUP {
                quad[r] = total(ops, &sums[half * GROUP + r]);
            }
            let sum = ops.add(added_lanes(ops, quad), rounding.half);
            let sum = ops.shift_right(sum, rounding.precision);
            let words = ops.pack_dwords(sum, sum);
            let bytes = ops.permute(transpose, ops.pack_words(words, words));
            store_lane::<O, 0>(ops, group, number * columns.filled, bytes);
        }
    }
}

#[inline(always)]
fn long_sums<O: Ops, const D: usize, const EDGE: bool>(
    ops: O,
    lines: &[Line],
    index: O::V,
    from: usize,
    step: usize,
    rows: &Eight<'_>,
) -> [[O::V; D]; BAND] {
    let mut sums = [[ops.splat(0); D]; BAND];
    let mut at = from;
    for lines in lines.as_chunks::<D>().0 {
        let mut weights = [index; D];
        for d in 0..D {
            weights[d] = lines[d].load(ops);
        }
        for r in 0..BAND {
            let bytes = ops.permute(index, vector::<O, EDGE>(ops, rows, r, at));
            for d in 0..D {
                sums[r][d] = ops.dot(sums[r][d], bytes, weights[d]);
            }
        }
        at += step;
    }
    sums
}

/// The sum of the four lanes of each of four rows, as the four lanes of one vector.
///
/// ```text
/// a, b     (a0 a1 b0 b1) + (a2 a3 b2 b3) = p0 p1 q0 q1          c, d likewise r0 r1 s0 s1
///          (p0 q0 r0 s0) + (p1 q1 r1 s1) = a  b  c  d
/// ```
#[inline(always)]
fn added_lanes<O: Ops>(ops: O, [a, b, c, d]: [O::V; GROUP]) -> O::V {
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let ab = ops.add(ops.lanes::<LOW>(a, b), ops.lanes::<HIGH>(a, b));
    let cd = ops.add(ops.lanes::<LOW>(c, d), ops.lanes::<HIGH>(c, d));
    ops.add(ops.lanes::<EVEN>(ab, cd), ops.lanes::<ODD>(ab, cd))
}

/// Component `i / 4` of row `i % 4`, from lanes of one row each.
const TRANSPOSE: Line = {
    let mut line = Line::ZERO;
    let mut i = 0;
    while i < 16 {
        line.0[i] = (i % 4 * 16 + i / 4) as u8;
        i += 1;
    }
    line
};
