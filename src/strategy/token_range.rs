//! Align to whole tokens within a range of them, and pad.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Rounds sides up to whole tokens, scales only where there are too many or too few of them, and pads with black at
    /// the bottom and the right, as `Glm5NextImageProcessor`.
    pub struct TokenRange {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Frames of a patch.
        temporal_patch_size: Count = 2,
        /// Merge blocks a side that the canvas is a multiple of.
        patch_expand_factor: Count = 1,
        /// Fewest tokens.
        min_image_tokens: Count = 16,
        /// Most tokens.
        max_image_tokens: Count = 8000,
    }
}

impl TokenRange {
    /// The content's size and that of its canvas, aligned to `factor`. Budgets count the frames of a patch on both sides
    /// and need none of them.
    fn fitted(&self, size: Size, factor: usize) -> (Size, Size) {
        let up = |side: usize| side.div_ceil(factor) * factor;
        let tokens = |canvas: Size| (canvas.0 / factor) as u128 * (canvas.1 / factor) as u128;
        let (least, most) = (self.min_image_tokens, self.max_image_tokens);
        let frames = self.temporal_patch_size as f64;
        let (height, width) = (size.0 as f64, size.1 as f64);
        let least_pixels = (least * factor * factor) as f64;
        let mut canvas = (up(size.0), up(size.1));
        if tokens(canvas) < least as u128 {
            let scale = (frames * least_pixels / (frames * height * width)).sqrt();
            let grown = |side: f64| up(((side * scale).ceil() as usize).max(1));
            canvas = (grown(height), grown(width));
        }
        if tokens(canvas) > most as u128 {
            canvas = (factor, factor);
            let (mut low, mut high) = (1, size.0);
            while low <= high {
                let content = usize::midpoint(low, high);
                let across = (size.1 as u128 * content as u128) as f64 / height;
                let found = (up(content), up((across.floor() as usize).max(1)));
                if tokens(found) <= most as u128 {
                    canvas = found;
                    low = content + 1;
                } else {
                    high = content - 1;
                }
            }
        }
        let mut scale = (canvas.0 as f64 / height).min(canvas.1 as f64 / width);
        if height * width >= least_pixels {
            scale = scale.min(1.0);
        }
        let content = |side: f64, most: usize| ((side * scale).floor() as usize).min(most).max(1);
        ((content(height, canvas.0), content(width, canvas.1)), canvas)
    }
}

impl Measure for TokenRange {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        if self.min_image_tokens <= self.max_image_tokens {
            return Ok(());
        }
        let given = format!("{} above {}", self.min_image_tokens, self.max_image_tokens);
        let rule = "at most max_image_tokens";
        Err(Error::Option { name: "min_image_tokens", rule, given })
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let (unit, filter) = ((self.patch_size, self.patch_size), context.common.resample);
        let factor = self.patch_size * self.merge_size;
        if !context.common.do_resize {
            let size = whole_units(size, factor)?;
            return Ok(Layout::of([Shape::stretched(Role::Whole, size, size, filter).cut(unit)]));
        }
        // Upstream's PIL backend leaves the factor out.
        let torchvision = context.numerics.int16_weights();
        let factor = factor * if torchvision { self.patch_expand_factor } else { 1 };
        let (resized, canvas) = self.fitted(size, factor);
        Ok(Layout::of([Shape::stretched(Role::Whole, size, resized, filter).padded(canvas, unit)]))
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
        Cells::filling(shape.canvas, self.patch_size * self.merge_size)
    }

    fn smallest(&self) -> Size {
        let side = self.patch_size * self.merge_size;
        (side, side)
    }
}
