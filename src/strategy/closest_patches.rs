//! The grid of patches closest to the frame's shape, of those around its own size or around the limit.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Stretches a frame to the grid of merge blocks whose ratio is closest to its own, of the four around the frame's
    /// own size, or around the largest of its ratio that has few enough, as `MuseGlimmer` has it.
    pub struct ClosestPatches {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Frames of a patch.
        temporal_patch_size: Count = 2,
        /// Most tokens of a frame.
        max_video_frame_tokens: Count = 144,
    }
}

/// Where Python puts a pair of integers in a set of at most four: the hash of a tuple.
fn hash(pair: (usize, usize)) -> u64 {
    const FIRST: u64 = 11_400_714_785_074_694_791;
    const SECOND: u64 = 14_029_467_366_897_019_727;
    const FIFTH: u64 = 2_870_177_450_012_600_261;
    let mut found = FIFTH;
    for side in [pair.0, pair.1] {
        found = found.wrapping_add((side as u64).wrapping_mul(SECOND));
        found = found.rotate_left(31).wrapping_mul(FIRST);
    }
    found.wrapping_add(2 ^ (FIFTH ^ 0x0035_d373))
}

/// Pairs in the order in which a Python set of them is read: of equally good ones upstream takes the first.
fn as_a_set(pairs: [(usize, usize); 4]) -> impl Iterator<Item = (usize, usize)> {
    let mut table: [Option<(usize, usize)>; 8] = [None; 8];
    for pair in pairs {
        let mut rest = hash(pair);
        let mut place = (rest & 7) as usize;
        while table[place].is_some_and(|held| held != pair) {
            rest >>= 5;
            place = (place as u64 * 5).wrapping_add(1).wrapping_add(rest) as usize & 7;
        }
        table[place] = Some(pair);
    }
    table.into_iter().flatten()
}

impl ClosestPatches {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn resized(&self, (height, width): Size) -> Size {
        let (side, most) = (self.factor() as f64, self.max_video_frame_tokens);
        let (mut rows, mut columns) = (height as f64 / side, width as f64 / side);
        let ratio = columns / rows;
        if rows * columns > most as f64 {
            rows = (most as f64 / ratio).sqrt();
            columns = rows * ratio;
        }
        let around = |value: f64| [value.floor() as usize, value.ceil() as usize];
        let ([top, bottom], [left, right]) = (around(rows), around(columns));
        let all = [(top, left), (top, right), (bottom, left), (bottom, right)];
        let fits = |grid: &(usize, usize)| grid.0 > 0 && grid.1 > 0 && grid.0 * grid.1 <= most;
        let wanted = height as f64 / width as f64;
        let far = |grid: (usize, usize)| (grid.0 as f64 / grid.1 as f64 - wanted).abs();
        let mut best: Option<(usize, usize)> = None;
        for grid in as_a_set(all).filter(fits) {
            if best.is_none_or(|held| far(grid) < far(held)) {
                best = Some(grid);
            }
        }
        let rounded = |value: f64| (value.round_ties_even() as usize).max(1);
        let (rows, columns) = best.unwrap_or((rounded(rows), rounded(columns)));
        (rows * self.factor(), columns * self.factor())
    }
}

impl Measure for ClosestPatches {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let resized = if context.common.do_resize {
            self.resized(size)
        } else {
            whole_units(size, self.patch_size)?
        };
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape.cut((self.patch_size, self.patch_size))]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn merge_size(&self) -> usize {
        self.merge_size
    }

    fn temporal_patch_size(&self) -> usize {
        self.temporal_patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.factor())
    }

    fn is_video(&self) -> bool {
        true
    }

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
