//! Scale both edges into a range, by half.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Budget, Count, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales the shorter edge up to the root of `min_pixels` and the longer one down to that of `max_pixels`, then halves
    /// both and rounds them to whole tokens, as `GlmImageImageProcessor`.
    pub struct EdgeRange {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Frames of a patch.
        temporal_patch_size: Count = 2,
        /// The square of the least shorter edge.
        min_pixels: Budget = 3136,
        /// The square of the most longer edge.
        max_pixels: Budget = 1_003_520,
    }
}

/// The longer side over the shorter one, at most.
const MAX_RATIO: f64 = 4.0;

impl EdgeRange {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn resized(&self, size: Size) -> Result<Size> {
        let factor = self.factor() as f64;
        let (short, long) = (size.0.min(size.1), size.0.max(size.1));
        if short < self.factor() {
            let rule = "of sides no shorter than a token";
            return Err(Error::Option { name: "image", rule, given: format!("{size:?}") });
        }
        let (short, long) = (short as f64, long as f64);
        if long / short > MAX_RATIO {
            let rule = "of an aspect ratio of at most 4";
            return Err(Error::Option { name: "image", rule, given: (long / short).to_string() });
        }
        let edge = |pixels: usize| (pixels as f64).sqrt().round_ties_even();
        let (shortest, longest) = (edge(self.min_pixels), edge(self.max_pixels));
        let mut scale = if short < shortest { shortest / short } else { 1.0 };
        if long * scale > longest {
            scale = longest / long;
        }
        let half = |side: usize| {
            (((side / 2) as f64 * scale / factor).round_ties_even() * factor).max(factor)
        };
        let (mut height, mut width) = (half(size.0), half(size.1));
        let most = height.max(width);
        if most > longest {
            let beta = most / longest;
            let down = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
            (height, width) = (down(height), down(width));
        }
        Ok((height as usize, width as usize))
    }
}

impl Measure for EdgeRange {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let resized = if context.common.do_resize {
            self.resized(size)?
        } else {
            whole_units(size, self.factor())?
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

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
