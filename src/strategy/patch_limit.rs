//! Scale down into a number of patches, of the image and of each side, and pad to whole tokens.

use super::budget::whole_patches;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales down by one factor until both limits hold, cuts off fractions, and pads with black at the bottom and the
    /// right, as `Kimi_K25ImageProcessor`.
    pub struct PatchLimit {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Most patches of an image before it is padded.
        max_patches: Count = 16_384,
        /// Most rows of patches; the same as `max_width`.
        max_height: Count = 512,
        /// Most columns of patches.
        max_width: Count = 512,
    }
}

impl PatchLimit {
    fn resized(&self, size: Size) -> Size {
        let side = self.max_height * self.patch_size;
        let patches = |side: usize| (side / self.patch_size).max(1) as f64;
        let all = self.max_patches as f64 / (patches(size.0) * patches(size.1));
        let scale = 1.0f64
            .min(all.sqrt())
            .min(side as f64 / size.0 as f64)
            .min(side as f64 / size.1 as f64);
        let scaled = |of: usize| ((of as f64 * scale) as usize).max(1).min(side);
        (scaled(size.0), scaled(size.1))
    }
}

impl Measure for PatchLimit {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        if self.max_height == self.max_width {
            return Ok(());
        }
        let given = format!("{} beside max_width {}", self.max_height, self.max_width);
        Err(Error::Option { name: "max_height", rule: "the same as max_width", given })
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let unit = (self.patch_size, self.patch_size);
        let filter = context.common.resample;
        if !context.common.do_resize {
            let size = whole_patches(size, self.patch_size)?;
            return Ok(Layout::of([Shape::stretched(Role::Whole, size, size, filter).cut(unit)]));
        }
        let resized = self.resized(size);
        let factor = self.patch_size * self.merge_size;
        let up = |side: usize| side.div_ceil(factor) * factor;
        let shape = Shape::stretched(Role::Whole, size, resized, filter);
        Ok(Layout::of([shape.padded((up(resized.0), up(resized.1)), unit)]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn merge_size(&self) -> usize {
        self.merge_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size * self.merge_size)
    }

    fn smallest(&self) -> Size {
        (self.patch_size, self.patch_size)
    }
}
