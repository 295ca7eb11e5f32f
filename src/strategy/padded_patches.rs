//! Scale a frame down into limits of patches, then fill its canvas up to whole merge blocks.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::sizing::Placement;
use crate::spec::Common;

options! {
    /// Scales a frame down until it has no more than `max_patches` patches and no side above `max_side` of them, then
    /// pads below and to the right with black, as Kimi-VL's `navit_resize`.
    pub struct PaddedPatches {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Most patches of a frame before the padding.
        max_patches: Count = 4096,
        /// Most patches of a side.
        max_side: Count = 512,
        /// Frames that the encoder sees at a time.
        chunk_frames: Count = 4,
    }
}

impl PaddedPatches {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn resized(&self, (height, width): Size) -> Size {
        let patch = self.patch_size;
        let patches = (height / patch).max(1) * (width / patch).max(1);
        let longest = self.max_side * patch;
        let total = (self.max_patches as f64 / patches as f64).sqrt();
        let side = |side: usize| longest as f64 / side as f64;
        let scale = total.min(side(height)).min(side(width)).min(1.0);
        let scaled = |side: usize| ((side as f64 * scale) as usize).max(1).min(longest);
        (scaled(height), scaled(width))
    }
}

impl Measure for PaddedPatches {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let (resized, canvas) = if context.common.do_resize {
            let resized = self.resized(size);
            let factor = self.factor();
            (resized, (resized.0.next_multiple_of(factor), resized.1.next_multiple_of(factor)))
        } else {
            (size, whole_units(size, self.patch_size)?)
        };
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        let placement = Placement { resized, offset: (0, 0) };
        let unit = (self.patch_size, self.patch_size);
        Ok(Layout::of([shape.placed(placement, canvas, [0; 3]).cut(unit)]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn merge_size(&self) -> usize {
        self.merge_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.factor())
    }

    fn chunk(&self) -> usize {
        self.chunk_frames
    }

    fn is_video(&self) -> bool {
        true
    }

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
