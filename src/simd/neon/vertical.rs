//! The vertical pass: a lane holds a component of the four rows of a group, which is what [`Products`] multiplies, so
//! nothing is shuffled. Windows begin at a group, padded with zero weights.

#![expect(
    unsafe_code,
    reason = "products by instructions that not every CPU has, loads checked once a row"
)]

use std::arch::aarch64::{int32x4_t, vdupq_n_s32};

use super::Level;
use super::lanes::{block, store};
use super::products::{Products, to_bytes};
use super::weights::{Cut, with_products};
use crate::error::{Result, reserved};
use crate::resample::Axis;
use crate::simd::{Backend, GROUP, Scalar};

/// The weights of a vertical pass.
#[derive(Debug)]
pub enum Rows {
    /// Weights that no cut holds.
    Plain(<Scalar as Backend>::Rows),
    /// All others.
    Cut(Groups),
}

/// Weights a group at a time.
#[derive(Debug)]
pub struct Groups {
    precision: u32,
    cut: Cut,
    /// Where the sum of each row begins.
    starts: Vec<i32>,
    /// Where the weights of each row begin in `lanes`, and where the last ones end.
    places: Vec<usize>,
    /// For each row and group the weights as [`Cut::push`] writes them.
    lanes: Vec<i32>,
}

impl Rows {
    pub(super) fn new(level: Level, axis: &Axis) -> Result<Self> {
        let Some(cut) = Cut::of(level, axis) else {
            return Ok(Self::Plain(Scalar.rows(axis)?));
        };
        let groups = |i| {
            let reads = axis.reads(i);
            (reads.end.div_ceil(GROUP) - reads.start / GROUP).max(1)
        };
        let total: usize = (0..axis.target).map(groups).sum();
        let mut starts = reserved(axis.target)?;
        let mut places = reserved(axis.target + 1)?;
        let mut lanes = reserved(total.saturating_mul(cut.dwords()))?;
        let mut padded = reserved(axis.longest() + 2 * GROUP)?;
        places.push(0);
        for i in 0..axis.target {
            let (first, taps) = axis.window(i);
            padded.clear();
            padded.resize(first % GROUP, 0);
            padded.extend_from_slice(taps);
            padded.resize(groups(i) * GROUP, 0);
            for &k in padded.as_chunks::<GROUP>().0 {
                cut.push(k, &mut lanes);
            }
            starts.push(cut.start(axis.precision, taps));
            places.push(lanes.len());
        }
        Ok(Self::Cut(Groups { precision: axis.precision, cut, starts, places, lanes }))
    }
}

/// # Safety
/// The CPU must have the instructions that the weights were cut for.
#[target_feature(enable = "neon")]
pub(super) unsafe fn row(rows: &Rows, i: usize, groups: &[&[u8]], out: &mut [u8]) {
    let rows = match rows {
        Rows::Plain(axis) => return Scalar.vertical(axis, i, groups, out),
        Rows::Cut(rows) => rows,
    };
    let lanes = &rows.lanes[rows.places[i]..rows.places[i + 1]];
    let start = rows.starts[i];
    let shift = vdupq_n_s32(-(rows.precision as i32));
    with_products!(rows.cut, P => {
        // Two words have four sums a vector, bytes three at most.
        if P::DWORDS == 4 && rows.cut == Cut::TwoWords {
            // SAFETY: this function's contract.
            unsafe { blocks::<P, 4>(start, shift, lanes, groups, out) };
        } else {
            // SAFETY: this function's contract.
            unsafe { blocks::<P, 8>(start, shift, lanes, groups, out) };
        }
    });
}

/// Components of a vector of a group.
const LANES: usize = 4;
/// Vectors of sums that become one of bytes.
const NARROWED: usize = 4;

/// `V` vectors of a group at a time.
///
/// # Safety
/// The CPU must have the instructions of `P`.
#[target_feature(enable = "neon")]
unsafe fn blocks<P: Products, const V: usize>(
    start: i32,
    shift: int32x4_t,
    lanes: &[i32],
    groups: &[&[u8]],
    out: &mut [u8],
) {
    let groups = &groups[..lanes.len() / P::DWORDS];
    let len = out.len();
    let wide = V * LANES;
    if len < wide {
        let most = NARROWED * LANES;
        for at in (0..len).step_by(most) {
            let end = len.min(at + most);
            let fits = |group: &&[u8]| group.len() >= (at + most) * GROUP;
            assert!(groups.iter().all(fits), "short group");
            // SAFETY: this function's contract; every group has four bytes for each component of four vectors from there on.
            let sums = unsafe { sums::<P, NARROWED>(start, lanes, groups, at * GROUP) };
            let mut bytes = [0; NARROWED * LANES];
            store(&mut bytes, 0, to_bytes::<P>(shift, sums));
            out[at..end].copy_from_slice(&bytes[..end - at]);
        }
        return;
    }
    assert!(groups.iter().all(|group| group.len() >= len * GROUP), "group shorter than its row");
    let last = len - wide;
    let mut at = 0;
    loop {
        // SAFETY: this function's contract; `at` never exceeds `last`, and every group has four bytes for each of `len`.
        let sums = unsafe { sums::<P, V>(start, lanes, groups, at * GROUP) };
        for (i, &sums) in sums.as_chunks::<NARROWED>().0.iter().enumerate() {
            store(out, at + i * NARROWED * LANES, to_bytes::<P>(shift, sums));
        }
        if at == last {
            return;
        }
        at = (at + wide).min(last);
    }
}

/// The sums of `V` times four components, from byte `at` of the groups on.
///
/// # Safety
/// The CPU must have the instructions of `P`, and every group `16 * V` bytes from `at` on.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sums<P: Products, const V: usize>(
    start: i32,
    lanes: &[i32],
    groups: &[&[u8]],
    at: usize,
) -> [int32x4_t; V] {
    // SAFETY: this function's contract, as of all that follow.
    let mut sums = [unsafe { P::begin(start) }; V];
    for (group, lanes) in groups.iter().zip(lanes.chunks_exact(P::DWORDS)) {
        // SAFETY: as above.
        let weights = unsafe { P::weights(lanes) };
        // SAFETY: as above.
        let vectors = unsafe { block::<V>(group, at) };
        for (sums, bytes) in sums.iter_mut().zip(vectors) {
            // SAFETY: as above.
            let bytes = unsafe { P::prepare(bytes) };
            // SAFETY: as above.
            unsafe { P::add(sums, bytes, weights) };
        }
    }
    // SAFETY: as above.
    sums.map(|sums| unsafe { P::end(sums) })
}
