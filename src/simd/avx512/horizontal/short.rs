//! Windows of few taps: some target pixels in the dwords of a vector.
//!
//! Which bytes of a source row make which lane never changes while the window of a group of pixels moves
//! on by four taps, so one index vector serves all steps of a group. For three pixels of RGB at scale 2:
//!
//! ```text
//! source      r0 g0 b0 r1 g1 b1 r2 g2 b2 r3 g3 b3 r4 g4 b4 ...            64 bytes, 128 for wide windows
//! vpermb      r0r2r1r3 g0g2g1g3 b0b2b1b3  r2r4r3r5 g2g4g3g5 b2b4b3b5  r4r6r5r7 ...
//! vpdpbusd    pixel 0: r, g, b            pixel 1: r, g, b            pixel 2: r, ...
//! next step   the same from 4 source pixels further on
//! ```
//!
//! Where at most two taps of any window are left for the last step, it is *narrow*: the second and the fourth byte are
//! zeroed, what remains are words, and one product of words stands for those of two digits. So 22 bits take two products
//! instead of three, int16 one instead of two:
//!
//! ```text
//! vpermb {z}  r0 0 r1 0  g0 0 g1 0  b0 0 b1 0 ...
//! vpdpbusd    the lowest of three digits
//! vpdpwssd    (weight - lowest digit) >> 8, of two digits the weight itself
//! ```

use std::ops::Range;

use super::super::super::{GROUP, group_len};
use super::super::ops::{Eight, Line, Ops, Span, load_dwords, store};
use super::super::sums::{DIGITS, Rounding, below, reserved};
use crate::error::{Result, push};
use crate::resample::Axis;

/// Consecutive target pixels that are made together.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// The first source byte of the first step.
    from: u32,
    /// Its lines: an index vector, then `digits` weights a step.
    start: u32,
    end: u32,
}

/// The weights of a pass.
#[derive(Debug)]
pub(super) struct Columns {
    /// Whether the bytes of a step lie within 128, not 64.
    pub(super) wide: bool,
    /// Whether the digits below the last may be shifted out, for [`Unrolled`].
    apart: bool,
    precision: u32,
    /// Bytes of a source row and of a step.
    source: usize,
    step: usize,
    /// Bytes of a group, and those that a batch fills.
    group: usize,
    filled: usize,
    batches: Vec<Batch>,
    runs: Vec<Run>,
    lines: Vec<Line>,
    /// Whether batches are so far apart that the hardware, which foresees even steps only, comes too late.
    hurried: bool,
}

/// Bytes between batches from which on they are `hurried`, and how far ahead to ask then.
const HURRIED: usize = 50;
const AHEAD: usize = 192;

/// Batches one after the other that take the same number of steps, all of them within the row or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    count: usize,
    steps: usize,
    inside: bool,
    narrow: bool,
    /// Whether the bytes of all its steps lie within 64.
    near: bool,
}

/// Which tap of a step a byte of a dword holds: the first two are the low bytes of words, for narrow steps.
const TAPS: [usize; 4] = [0, 2, 1, 3];
/// Those bytes.
const FIRST_TWO: u64 = 0x5555_5555_5555_5555;

/// Lays out the weights of `axis`, which fit `digits` signed bytes; none where its windows are too far apart.
#[inline(always)]
pub(super) fn columns<O: Ops>(
    ops: O,
    axis: &Axis,
    digits: usize,
    input: usize,
    output: usize,
) -> Result<Option<Columns>> {
    let most = if output == 3 { 5 } else { 4 };
    let candidates = [(most, 64), (4, 64), (most, 128)];
    let mut found = None;
    for (count, bytes) in candidates {
        if (spread(axis, count) + 4) * input <= bytes {
            found = Some((count, bytes > 64));
            break;
        }
    }
    let Some((pixels, wide)) = found else { return Ok(None) };
    let widest = spread(axis, pixels);
    let mut total = 0;
    for first in (0..axis.target).step_by(pixels) {
        total += 1 + digits * steps(axis, first, pixels);
    }
    let apart = !wide && axis.precision >= below(digits);
    // One number of steps only: were it each batch's own affair, runs would be short.
    let longest = axis.longest();
    let narrow_steps = if apart && longest <= UNROLLED * 4 && (longest + 3) % 4 < 2 {
        longest.div_ceil(4)
    } else {
        0
    };
    let mut columns = Columns {
        wide,
        apart,
        precision: axis.precision,
        source: axis.source * input,
        step: 4 * input,
        group: group_len(axis.target * output),
        filled: pixels * output * GROUP,
        batches: reserved(axis.target.div_ceil(pixels))?,
        runs: Vec::new(),
        hurried: axis.source * input / axis.target.div_ceil(pixels) >= HURRIED,
        lines: reserved(total)?,
    };
    for first in (0..axis.target).step_by(pixels) {
        let start = columns.lines.len() as u32;
        let from = (axis.reads(first).start * input) as u32;
        let count = pixels.min(axis.target - first);
        let steps = steps(axis, first, pixels);
        let end =
            from as usize + steps.saturating_sub(1) * columns.step + if wide { 128 } else { 64 };
        let inside = end <= columns.source;
        let narrow = inside && steps == narrow_steps;
        let taps = 4 * steps - if narrow { 2 } else { 0 };
        let near = (widest + taps) * input <= 64;
        match columns.runs.last_mut() {
            Some(run) if (run.steps, run.inside) == (steps, inside) => run.count += 1,
            _ => push(&mut columns.runs, Run { count: 1, steps, inside, narrow, near })?,
        }
        let pixels = first..first + count;
        batch_lines(ops, axis, pixels, digits, [input, output], narrow, &mut columns.lines);
        columns.batches.push(Batch { from, start, end: columns.lines.len() as u32 });
    }
    Ok(Some(columns))
}

/// The most source pixels between the first taps of the pixels of a batch.
fn spread(axis: &Axis, pixels: usize) -> usize {
    let of_batch = |first: usize| {
        let last = (first + pixels).min(axis.target) - 1;
        axis.reads(last).start - axis.reads(first).start
    };
    (0..axis.target).step_by(pixels).map(of_batch).max().unwrap_or(0)
}

/// Steps of four taps that the longest window of a batch takes.
fn steps(axis: &Axis, first: usize, pixels: usize) -> usize {
    let last = (first + pixels).min(axis.target);
    (first..last).map(|x| axis.window(x).1.len().div_ceil(4)).max().unwrap_or(0)
}

/// The index vector of a batch, then for each step of four taps a vector for each digit.
///
/// ```text
/// dword   0    1    2    3    4    5   ...            output 3, up to five pixels; output 4, up to four
///         x0c0 x0c1 x0c2 x1c0 x1c1 x1c2               byte j of a dword: tap 4 step + TAPS[j]
/// ```
///
/// For a narrow last step, the last vector has the two highest digits in words.
#[inline(always)]
fn batch_lines<O: Ops>(
    ops: O,
    axis: &Axis,
    pixels: Range<usize>,
    digits: usize,
    [input, output]: [usize; 2],
    narrow: bool,
    lines: &mut Vec<Line>,
) {
    let (first, count) = (pixels.start, pixels.len());
    let base = axis.reads(first).start;
    let mut index = Line::ZERO;
    // Byte of the two vectors of weights, four dwords a pixel, that a byte of the first digit comes from.
    let mut order = [Line([127; 64]); 3];
    let mut word_order = Line([127; 64]);
    for p in 0..count {
        let lead = axis.reads(first + p).start - base;
        for c in 0..output {
            for (j, tap) in TAPS.into_iter().enumerate() {
                let at = (p * output + c) * 4 + j;
                index.0[at] = ((lead + tap) * input + c) as u8;
                for (digit, order) in order.iter_mut().enumerate() {
                    order.0[at] = ((p * 4 + tap) * 4 + digit) as u8;
                }
                word_order.0[at] = ((p * 4 + j / 2) * 4 + digits - 2 + j % 2) as u8;
            }
        }
    }
    lines.push(index);
    let mut windows: [&[i32]; 5] = [&[]; 5];
    for (p, window) in windows.iter_mut().enumerate().take(count) {
        *window = axis.window(first + p).1;
    }
    let flip = ops.splat(DIGITS);
    // What the lowest of three digits, as it is signed, takes from the word above it.
    let carry = ops.splat(if digits == 2 { 0 } else { 128 });
    let steps = steps(axis, first, count);
    for step in 0..steps {
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
        let whole_near = load_dwords(ops, &near);
        let whole_far = load_dwords(ops, &far);
        let near = ops.xor(ops.add(whole_near, flip), flip);
        let far = ops.xor(ops.add(whole_far, flip), flip);
        let narrow = narrow && step + 1 == steps;
        for order in &order[..if narrow { digits - 2 } else { digits }] {
            let mut line = Line::ZERO;
            line.store(ops, ops.permute2(near, order.load(ops), far));
            lines.push(line);
        }
        if narrow {
            let [near, far] = [ops.add(whole_near, carry), ops.add(whole_far, carry)];
            let mut line = Line::ZERO;
            line.store(ops, ops.permute2(near, word_order.load(ops), far));
            lines.push(line);
        }
    }
}

#[inline(always)]
pub(super) fn pass<O: Ops, const D: usize, const WIDE: bool, const WORDS: bool>(
    ops: O,
    columns: &Columns,
    rows: &Eight<'_>,
    band: &mut [u8],
) {
    let (first, second) = band.split_at_mut(columns.group);
    let mut groups = [first, second];
    let rounding = Rounding::new(ops, columns.precision, D);
    let quads = INTERLEAVE.load(ops);
    let mut first = 0;
    for run in &columns.runs {
        let batches = &columns.batches[first..first + run.count];
        let place = first * columns.filled;
        first += run.count;
        if !WIDE && columns.apart && run.inside {
            let (narrow, near) = (run.narrow, run.near);
            let way = Unrolled { rounding: &rounding, columns, rows, batches, place, narrow, near };
            let made = match (columns.step, run.steps) {
                (12, 1) => way.make::<O, D, WORDS, 12, 1>(ops, &mut groups),
                (12, 2) => way.make::<O, D, WORDS, 12, 2>(ops, &mut groups),
                (12, 3) => way.make::<O, D, WORDS, 12, 3>(ops, &mut groups),
                (12, 4) => way.make::<O, D, WORDS, 12, 4>(ops, &mut groups),
                (16, 1) => way.make::<O, D, WORDS, 16, 1>(ops, &mut groups),
                (16, 2) => way.make::<O, D, WORDS, 16, 2>(ops, &mut groups),
                (16, 3) => way.make::<O, D, WORDS, 16, 3>(ops, &mut groups),
                (16, 4) => way.make::<O, D, WORDS, 16, 4>(ops, &mut groups),
                _ => false,
            };
            if made {
                continue;
            }
            assert!(!narrow, "a narrow run is unrolled");
        }
        for (number, batch) in batches.iter().enumerate() {
            let lines = &columns.lines[batch.start as usize..batch.end as usize];
            let from = batch.from as usize;
            rows.prefetch_next(from);
            for (half, group) in groups.iter_mut().enumerate() {
                let r = half * GROUP;
                let start = rounding.start();
                let sums = if run.inside {
                    sums_of::<O, D, WIDE, false>(ops, start, lines, from, columns.step, rows, r)
                } else {
                    sums_of::<O, D, WIDE, true>(ops, start, lines, from, columns.step, rows, r)
                };
                let ab = rounding.words::<O, D, WORDS>(ops, &sums[0], &sums[1]);
                let cd = rounding.words::<O, D, WORDS>(ops, &sums[2], &sums[3]);
                let bytes = ops.shuffle(ops.pack_words(ab, cd), quads);
                store(ops, group, place + number * columns.filled, bytes);
            }
        }
    }
}

/// A run of batches of few steps, within 64 bytes each.
struct Unrolled<'a, V> {
    rounding: &'a Rounding<V>,
    columns: &'a Columns,
    rows: &'a Eight<'a>,
    batches: &'a [Batch],
    /// The first one's place in a group.
    place: usize,
    /// Whether the last step is narrow.
    narrow: bool,
    /// Whether one load has the bytes of all steps.
    near: bool,
}

/// The sums of four rows: of the digits below the last, before the last shift, and of the last.
#[derive(Clone, Copy)]
struct Rest<V> {
    sums: [V; GROUP],
    last: [V; GROUP],
}

/// Steps that are unrolled at most.
const UNROLLED: usize = 4;

impl<V: Copy> Unrolled<'_, V> {
    /// The batches in `STEPS` steps of `STEP` bytes; whether they were made.
    #[inline(always)]
    fn make<
        O: Ops<V = V>,
        const D: usize,
        const WORDS: bool,
        const STEP: usize,
        const STEPS: usize,
    >(
        &self,
        ops: O,
        groups: &mut [&mut [u8]; 2],
    ) -> bool {
        // Of three steps, one load of all leaves too few registers.
        match (self.narrow, self.near && STEPS == 2) {
            (true, true) => self.each::<O, D, WORDS, STEP, STEPS, true, true>(ops, groups),
            (true, false) => self.each::<O, D, WORDS, STEP, STEPS, true, false>(ops, groups),
            (false, true) => self.each::<O, D, WORDS, STEP, STEPS, false, true>(ops, groups),
            (false, false) => self.each::<O, D, WORDS, STEP, STEPS, false, false>(ops, groups),
        }
    }

    #[inline(always)]
    fn each<
        O: Ops<V = V>,
        const D: usize,
        const WORDS: bool,
        const STEP: usize,
        const STEPS: usize,
        const NARROW: bool,
        const NEAR: bool,
    >(
        &self,
        ops: O,
        groups: &mut [&mut [u8]; 2],
    ) -> bool {
        let Some(first) = self.batches.first() else { return true };
        let count = 1 + STEPS * D - usize::from(NARROW);
        let lines = self.columns.lines[first.start as usize..].chunks_exact(count);
        let [upper, lower] = groups;
        let zeros = [self.rounding.zero; GROUP];
        let mut rest = Rest { sums: zeros, last: zeros };
        // What the first one writes of no rows at all is written again.
        let mut before = self.place;
        let mut place = self.place;
        for (batch, lines) in self.batches.iter().zip(lines) {
            let from = batch.from as usize;
            self.rows.prefetch_next(from);
            if self.columns.hurried {
                self.rows.prefetch(from + AHEAD);
            }
            let Some(span) = self.rows.span(from, (STEPS - 1) * STEP + 64) else { return false };
            let [a, b] = [span.some(0), span.some(GROUP)];
            let out = &mut lower[before..];
            rest = self.quad::<O, D, WORDS, STEP, STEPS, NARROW, NEAR>(ops, lines, a, rest, out);
            let out = &mut upper[place..];
            rest = self.quad::<O, D, WORDS, STEP, STEPS, NARROW, NEAR>(ops, lines, b, rest, out);
            before = place;
            place += self.columns.filled;
        }
        store(ops, lower, before, self.finish::<O, WORDS>(ops, rest));
        true
    }

    /// Four rows of a batch, but for their end; the end of the four before them, to `out`.
    ///
    /// The permuted bytes stay in registers, so that the digits can be taken one after the other: a sum of the first ones
    /// is shifted and goes on as that of the second ones, which saves additions. The last ones have sums of their own, for
    /// a chain of all of them would be waited for. So would the end be, if products that need not wait did not come first.
    ///
    /// A narrow step has words for its two highest digits, which go where the lower of them would: the shifts above that
    /// place lose nothing of them.
    #[inline(always)]
    fn quad<
        O: Ops<V = V>,
        const D: usize,
        const WORDS: bool,
        const STEP: usize,
        const STEPS: usize,
        const NARROW: bool,
        const NEAR: bool,
    >(
        &self,
        ops: O,
        lines: &[Line],
        rows: Span<'_, GROUP>,
        mut before: Rest<V>,
        out: &mut [u8],
    ) -> Rest<V> {
        let (lines, _) = lines.split_at(1 + STEPS * D - usize::from(NARROW));
        let full = STEPS - usize::from(NARROW);
        let mut index = lines[0].load(ops);
        let mut bytes = [[index; GROUP]; STEPS];
        let mut near = [index; GROUP];
        // In each byte.
        let next = ops.splat(i32::from_ne_bytes([STEP as u8; 4]));
        let mut sums = [self.rounding.half; GROUP];
        let mut last = [self.rounding.zero; GROUP];
        for step in 0..STEPS {
            let weights = lines[1 + step * D].load(ops);
            if NEAR && step > 0 {
                index = ops.add(index, next);
            }
            if step < full {
                let last_weights = lines[step * D + D].load(ops);
                for r in 0..GROUP {
                    if !NEAR || step == 0 {
                        near[r] = rows.load(ops, r, step * STEP);
                    }
                    bytes[step][r] = ops.permute(index, near[r]);
                    sums[r] = ops.dot(sums[r], bytes[step][r], weights);
                    last[r] = ops.dot(last[r], bytes[step][r], last_weights);
                }
            } else {
                for r in 0..GROUP {
                    if !NEAR || step == 0 {
                        near[r] = rows.load(ops, r, step * STEP);
                    }
                    bytes[step][r] = ops.permute_masked(FIRST_TWO, index, near[r]);
                    sums[r] = if D == 2 {
                        ops.dot_words(sums[r], bytes[step][r], weights)
                    } else {
                        ops.dot(sums[r], bytes[step][r], weights)
                    };
                }
            }
            ops.settle(&mut sums, &mut last);
            if step == (STEPS - 1).min(1) {
                // The store keeps its place among the loads, and with it what it takes.
                ops.settle(&mut before.sums, &mut before.last);
                store(ops, out, 0, self.finish::<O, WORDS>(ops, before));
            }
        }
        for d in 1..D - 1 {
            for r in 0..GROUP {
                sums[r] = ops.shift_right_by::<8>(sums[r]);
            }
            ops.settle(&mut sums, &mut last);
            for step in 0..STEPS {
                let weights = lines[1 + step * D + d].load(ops);
                for r in 0..GROUP {
                    sums[r] = if step < full {
                        ops.dot(sums[r], bytes[step][r], weights)
                    } else {
                        ops.dot_words(sums[r], bytes[step][r], weights)
                    };
                }
                ops.settle(&mut sums, &mut last);
            }
        }
        Rest { sums, last }
    }

    /// The end of four rows.
    #[inline(always)]
    fn finish<O: Ops<V = V>, const WORDS: bool>(&self, ops: O, rest: Rest<V>) -> V {
        let Rest { mut sums, last } = rest;
        for r in 0..GROUP {
            sums[r] = ops.add(ops.shift_right_by::<8>(sums[r]), last[r]);
        }
        let [ab, cd] = self.rounding.last_words::<O, WORDS>(ops, sums);
        ops.shuffle(ops.pack_words(ab, cd), INTERLEAVE.load(ops))
    }
}

/// The sums by digits of the four rows from `r` on: as many as stay in registers.
#[inline(always)]
fn sums_of<O: Ops, const D: usize, const WIDE: bool, const EDGE: bool>(
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
            let near = bytes_at::<O, EDGE>(ops, rows, r + i, at);
            let bytes = if WIDE {
                ops.permute2(near, index, bytes_at::<O, EDGE>(ops, rows, r + i, at + 64))
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
fn bytes_at<O: Ops, const EDGE: bool>(ops: O, rows: &Eight<'_>, r: usize, at: usize) -> O::V {
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
