//! Round to multiples of a factor within a budget of pixels.

use super::{Cells, Context, Knob, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Budget, Count, options};
use crate::plan::Role;
use crate::sizing;
use crate::spec::Common;

options! {
    /// Rounds each side to a multiple of `patch_size * merge_size`, then scales into the budget, as transformers'
    /// `smart_resize`.
    pub struct PixelBudget {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Frames of a patch.
        temporal_patch_size: Count = 2,
        /// Fewest pixels.
        min_pixels: Budget = 3136,
        /// Most pixels.
        max_pixels: Budget = 12_845_056,
    }
}

impl PixelBudget {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }
}

/// Checks that an image that is not resized is made of whole units.
pub(super) fn whole_units(size: Size, factor: usize) -> Result<Size> {
    if size.0.is_multiple_of(factor) && size.1.is_multiple_of(factor) {
        return Ok(size);
    }
    let unit_name = "patch_size * merge_size";
    Err(Error::NotMultiple { size, unit: (factor, factor), unit_name })
}

impl Measure for PixelBudget {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let factor = self.factor();
        let resized = if context.common.do_resize {
            let (min_pixels, max_pixels) = (self.min_pixels, self.max_pixels);
            sizing::smart_resize(size, sizing::Budget { factor, min_pixels, max_pixels })?
        } else {
            whole_units(size, factor)?
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

    fn knob(&self) -> Option<Knob> {
        let range = (self.min_pixels.min(self.max_pixels), self.max_pixels);
        Some(Knob::Pixels { name: "max_pixels", range, cell: self.factor() })
    }

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
