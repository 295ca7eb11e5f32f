//! The horizontal pass: eight rows at a time.
//!
//! | module | holds |
//! |---|---|
//! | `short` | some target pixels in the dwords of a vector, for windows of few taps |
//! | `deep` | the eight rows in the dwords of a vector, for windows of many |

mod deep;
mod short;

use super::super::BAND;
use super::ops::{Eight, Ops};
use super::sums::fits_words;
use crate::error::Result;
use crate::image::Row;
use crate::resample::Axis;

/// The weights of a horizontal pass.
#[derive(Debug)]
pub struct Columns {
    digits: usize,
    words: bool,
    /// Bytes of a source row.
    source: usize,
    output: usize,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Short(short::Columns),
    Deep(deep::Columns),
}

/// Lays out the weights of `axis`, which fit `digits` signed bytes.
#[inline(always)]
pub(super) fn columns<O: Ops>(
    ops: O,
    axis: &Axis,
    digits: usize,
    input: usize,
    output: usize,
) -> Result<Columns> {
    let way = match short::columns(ops, axis, digits, input, output)? {
        Some(columns) => Way::Short(columns),
        None => Way::Deep(deep::columns(axis, digits, input, output)?),
    };
    let words = fits_words(digits, axis.precision);
    Ok(Columns { digits, words, source: axis.source * input, output, way })
}

/// Makes room on this thread for every pass to come.
pub(super) fn prepare(columns: &Columns) -> Result<()> {
    match &columns.way {
        Way::Short(_) => Ok(()),
        Way::Deep(way) => way.prepare(columns.output),
    }
}

/// Gives back what [`prepare`] made, where it is much.
pub(super) fn release() {
    deep::release();
}

/// The pass over eight rows into the two groups of `band`.
#[inline(always)]
pub(super) fn horizontal<O: Ops>(
    ops: O,
    columns: &Columns,
    rows: &[Row<'_>; BAND],
    ahead: bool,
    band: &mut [u8],
) {
    match (columns.digits, columns.words) {
        (2, false) => with_digits::<O, 2, false>(ops, columns, rows, ahead, band),
        (2, true) => with_digits::<O, 2, true>(ops, columns, rows, ahead, band),
        (_, false) => with_digits::<O, 3, false>(ops, columns, rows, ahead, band),
        (_, true) => with_digits::<O, 3, true>(ops, columns, rows, ahead, band),
    }
}

#[inline(always)]
fn with_digits<O: Ops, const D: usize, const WORDS: bool>(
    ops: O,
    columns: &Columns,
    rows: &[Row<'_>; BAND],
    ahead: bool,
    band: &mut [u8],
) {
    let rows = Eight::new(rows, columns.source, ahead);
    match (&columns.way, columns.output) {
        (Way::Short(way), _) if way.wide => short::pass::<O, D, true, WORDS>(ops, way, &rows, band),
        (Way::Short(way), _) => short::pass::<O, D, false, WORDS>(ops, way, &rows, band),
        (Way::Deep(way), 3) => deep::pass::<O, D, 3, WORDS>(ops, way, &rows, band),
        (Way::Deep(way), _) => deep::pass::<O, D, 4, WORDS>(ops, way, &rows, band),
    }
}
