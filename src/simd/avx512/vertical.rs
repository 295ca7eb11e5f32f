//! The vertical pass: a dword of a group is four rows of one component, which is what `vpdpbusd` takes.
//!
//! The window of a target row begins at a group's first row, with weights of zero before its own first
//! and after its last. Eight vectors share each weight.

use super::super::GROUP;
use super::ops::{Line, Ops, load, load_part, store, store_part};
use super::sums::{DIGITS, Rounding, fits_words, reserved};
use crate::error::Result;
use crate::resample::Axis;

/// The weights of a vertical pass.
#[derive(Debug)]
pub struct Rows {
    digits: usize,
    precision: u32,
    /// Where the dwords of a target row begin; one more at the end.
    starts: Vec<u32>,
    /// For each group `digits` dwords of four signed bytes.
    dwords: Vec<i32>,
}

/// Lays out the weights of `axis`, which fit `digits` signed bytes.
pub(super) fn rows(axis: &Axis, digits: usize) -> Result<Rows> {
    let groups = |i: usize| {
        let reads = axis.reads(i);
        reads.end.div_ceil(GROUP) - reads.start / GROUP
    };
    let total: usize = (0..axis.target).map(groups).sum();
    let mut rows = Rows {
        digits,
        precision: axis.precision,
        starts: reserved(axis.target + 1)?,
        dwords: reserved(total * digits)?,
    };
    rows.starts.push(0);
    for i in 0..axis.target {
        let (first, mut taps) = axis.window(i);
        let mut lead = first % GROUP;
        for _ in 0..groups(i) {
            let mut four = [0; GROUP];
            let (now, later) = taps.split_at(taps.len().min(GROUP - lead));
            four[lead..lead + now.len()].copy_from_slice(now);
            (lead, taps) = (0, later);
            let four = four.map(|weight| weight.wrapping_add(DIGITS) ^ DIGITS);
            for digit in 0..digits {
                rows.dwords
                    .push(i32::from_le_bytes(four.map(|weight| (weight >> (8 * digit)) as u8)));
            }
        }
        rows.starts.push(rows.dwords.len() as u32);
    }
    Ok(rows)
}

/// Row `i` of the pass.
#[inline(always)]
pub(super) fn vertical<O: Ops>(ops: O, rows: &Rows, i: usize, groups: &[&[u8]], out: &mut [u8]) {
    let weights = &rows.dwords[rows.starts[i] as usize..rows.starts[i + 1] as usize];
    let precision = rows.precision;
    match (rows.digits, fits_words(rows.digits, precision)) {
        (2, false) => {
            with_digits::<O, 2, false>(ops, weights.as_chunks().0, precision, groups, out);
        }
        (2, true) => with_digits::<O, 2, true>(ops, weights.as_chunks().0, precision, groups, out),
        (_, false) => {
            with_digits::<O, 3, false>(ops, weights.as_chunks().0, precision, groups, out);
        }
        (_, true) => with_digits::<O, 3, true>(ops, weights.as_chunks().0, precision, groups, out),
    }
}

#[inline(always)]
fn with_digits<O: Ops, const D: usize, const WORDS: bool>(
    ops: O,
    weights: &[[i32; D]],
    precision: u32,
    groups: &[&[u8]],
    out: &mut [u8],
) {
    let groups = &groups[..weights.len()];
    let rounding = Rounding::new(ops, precision, D);
    let order = ORDER.load(ops);
    let len = out.len();
    let mut at = 0;
    while at + 128 <= len {
        let sums = sums::<O, D, 8, false>(ops, rounding.start(), weights, groups, at);
        store(ops, out, at, bytes::<O, D, _, WORDS>(ops, &rounding, &sums, 0, order));
        store(ops, out, at + 64, bytes::<O, D, _, WORDS>(ops, &rounding, &sums, 4, order));
        at += 128;
    }
    while at < len {
        let sums = if at + 64 <= len {
            sums::<O, D, 4, false>(ops, rounding.start(), weights, groups, at)
        } else {
            sums::<O, D, 4, true>(ops, rounding.start(), weights, groups, at)
        };
        store_part(ops, out, at, 64, bytes::<O, D, _, WORDS>(ops, &rounding, &sums, 0, order));
        at += 64;
    }
}

/// The sums by digits of `16 N` components from `at` on.
#[inline(always)]
fn sums<O: Ops, const D: usize, const N: usize, const EDGE: bool>(
    ops: O,
    start: [O::V; D],
    weights: &[[i32; D]],
    groups: &[&[u8]],
    at: usize,
) -> [[O::V; D]; N] {
    let mut sums = [start; N];
    for (weights, group) in weights.iter().zip(groups) {
        let mut splats = [ops.splat(0); D];
        for d in 0..D {
            splats[d] = ops.splat(weights[d]);
        }
        let group = if EDGE { group } else { &group[at * GROUP..(at + 16 * N) * GROUP] };
        for n in 0..N {
            let bytes = if EDGE {
                load_part(ops, group, at * GROUP + n * 64)
            } else {
                load(ops, group, n * 64)
            };
            for d in 0..D {
                sums[n][d] = ops.dot(sums[n][d], bytes, splats[d]);
            }
        }
    }
    sums
}

/// The transpose of a 4 x 4 matrix of dwords.
pub(super) const ORDER: Line = {
    let mut line = Line::ZERO;
    let mut i = 0;
    while i < 16 {
        line.0[i * 4] = (i % 4 * 4 + i / 4) as u8;
        i += 1;
    }
    line
};

/// Four vectors of sums, from `at` on, to one of bytes.
///
/// ```text
/// words        a_i b_i, c_i d_i, four words each        lane i
/// vpackuswb    a_i b_i c_i d_i, four bytes each
/// vpermd       a0 a1 a2 a3 | b0 b1 b2 b3 | c0 .. | d0 ..
/// ```
#[inline(always)]
fn bytes<O: Ops, const D: usize, const N: usize, const WORDS: bool>(
    ops: O,
    rounding: &Rounding<O::V>,
    sums: &[[O::V; D]; N],
    at: usize,
    order: O::V,
) -> O::V {
    let ab = rounding.words::<O, D, WORDS>(ops, &sums[at], &sums[at + 1]);
    let cd = rounding.words::<O, D, WORDS>(ops, &sums[at + 2], &sums[at + 3]);
    ops.permute_dwords(order, ops.pack_words(ab, cd))
}
