//! Round to multiples of a factor within a budget of pixels.

use super::{Cells, Context, Knob, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Budget, Count, options};
use crate::plan::Role;
use crate::resample::Filter;
use crate::sizing;
use crate::spec::Common;

/// What happens to a side below one factor before it is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Small {
    /// It is rounded like any other, as Qwen2-VL has it.
    Round,
    /// It becomes the factor, and the other side grows with it, rounded half to even, as PaddleOCR-VL has it.
    Grow,
}

/// What one unit of the canvas is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A patch.
    Patch,
    /// The whole canvas.
    Canvas,
}

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
        /// Merge blocks a side that the resized image is a multiple of.
        patch_expand_factor: Count = 1,
    }
    fixed {
        /// What happens to small sides.
        small: Small = Small::Round,
        /// Whether the budget counts the frames of a patch, by the rule for videos, as GLM has it.
        counts_frames: bool = false,
        /// What the canvas is cut into.
        unit: Unit = Unit::Patch,
        /// The filter, where upstream has it whatever the option says.
        filter: Option<Filter> = None,
    }
}

impl PixelBudget {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn resized(&self, size: Size, context: &Context<'_>) -> Result<Size> {
        // Upstream's PIL backend leaves the factor out.
        let torchvision = context.numerics.int16_weights();
        let factor = self.factor() * if torchvision { self.patch_expand_factor } else { 1 };
        let (min_pixels, max_pixels) = (self.min_pixels, self.max_pixels);
        let budget = sizing::Budget { factor, min_pixels, max_pixels };
        if self.counts_frames {
            let frames = self.temporal_patch_size;
            return sizing::smart_resize_video(frames, size, frames, budget);
        }
        let size = match self.small {
            Small::Round => size,
            Small::Grow => sizing::grown(size, factor),
        };
        sizing::smart_resize(size, budget)
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

/// The same of whole patches.
pub(super) fn whole_patches(size: Size, patch: usize) -> Result<Size> {
    let unit_name = "patch_size";
    whole_units(size, patch).map_err(|_| Error::NotMultiple {
        size,
        unit: (patch, patch),
        unit_name,
    })
}

impl Measure for PixelBudget {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let resized = match (context.common.do_resize, self.unit) {
            (true, _) => self.resized(size, context)?,
            (false, Unit::Patch) => whole_units(size, self.factor())?,
            (false, Unit::Canvas) => size,
        };
        let filter = self.filter.unwrap_or(context.common.resample);
        let shape = Shape::stretched(Role::Whole, size, resized, filter);
        Ok(Layout::of([match self.unit {
            Unit::Patch => shape.cut((self.patch_size, self.patch_size)),
            Unit::Canvas => shape,
        }]))
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

    fn knob(&self) -> Result<Option<Knob>> {
        let range = (self.min_pixels.min(self.max_pixels), self.max_pixels);
        let plain =
            !self.counts_frames && self.small == Small::Round && self.patch_expand_factor == 1;
        let cell = self.factor();
        Ok(plain.then_some(Knob::Pixels { name: "max_pixels", range, cell }))
    }

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
