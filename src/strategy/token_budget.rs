//! A canvas of whole tokens within a budget, in which the frame is fitted and filled up.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::sizing::Placement;
use crate::spec::Common;

options! {
    /// Rounds each side up to whole tokens, within a budget of tokens of all frames; the frame is fitted into that canvas
    /// and filled up with black below and to the right, as `Glm5NextVideoProcessor`.
    pub struct TokenBudget {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Frames of a patch.
        temporal_patch_size: Count = 2,
        /// Merge blocks a side that the canvas is a multiple of.
        patch_expand_factor: Count = 1,
        /// Fewest tokens of a video.
        min_image_tokens: Count = 16,
        /// Most tokens of a video.
        max_image_tokens: Count = 240_000,
    }
}

impl TokenBudget {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size * self.patch_expand_factor
    }

    const fn token(&self) -> u128 {
        (self.temporal_patch_size * self.factor() * self.factor()) as u128
    }

    fn canvas(&self, (height, width): Size, frames: usize) -> Result<Size> {
        let (factor, temporal) = (self.factor(), self.temporal_patch_size);
        let fewest = self.min_image_tokens as u128 * self.token();
        let most = self.max_image_tokens as u128 * self.token();
        let rounded = (frames as f64 / temporal as f64).round_ties_even() as usize * temporal;
        let counted = rounded.max(temporal) as u128;
        let pixels = |size: Size| counted * size.0 as u128 * size.1 as u128;
        let aligned =
            |size: Size| (size.0.next_multiple_of(factor), size.1.next_multiple_of(factor));
        let mut canvas = aligned((height, width));
        if pixels(canvas) < fewest {
            let scale = (fewest as f64 / (frames * height * width) as f64).sqrt();
            let grown = |side: usize| ((side as f64 * scale).ceil() as usize).max(1);
            canvas = aligned((grown(height), grown(width)));
        }
        if pixels(canvas) <= most {
            return Ok(canvas);
        }
        if most < pixels((factor, factor)) {
            let rule = "enough for one token of every temporal patch";
            let given = self.max_image_tokens.to_string();
            return Err(Error::Option { name: "max_image_tokens", rule, given });
        }
        let (mut low, mut high) = (1, height);
        let mut best = (factor, factor);
        while low <= high {
            let rows = usize::midpoint(low, high);
            let columns = (((width * rows) as f64 / height as f64).floor() as usize).max(1);
            let candidate = aligned((rows, columns));
            if pixels(candidate) <= most {
                best = candidate;
                low = rows + 1;
            } else {
                high = rows - 1;
            }
        }
        Ok(best)
    }

    fn fitted(&self, (height, width): Size, canvas: Size, frames: usize) -> Size {
        let along = |canvas: usize, side: usize| canvas as f64 / side as f64;
        let mut scale = along(canvas.0, height).min(along(canvas.1, width));
        let fewest = self.min_image_tokens as u128 * self.token();
        if frames as u128 * height as u128 * width as u128 >= fewest {
            scale = scale.min(1.0);
        }
        let fitted = |side: usize, canvas: usize| {
            ((side as f64 * scale).floor() as usize).min(canvas).max(1)
        };
        (fitted(height, canvas.0), fitted(width, canvas.1))
    }
}

impl Measure for TokenBudget {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let (resized, canvas) = if context.common.do_resize {
            let canvas = self.canvas(size, context.frames)?;
            (self.fitted(size, canvas, context.frames), canvas)
        } else {
            (size, whole_units(size, self.patch_size * self.merge_size)?)
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

    fn temporal_patch_size(&self) -> usize {
        self.temporal_patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size * self.merge_size)
    }

    fn is_video(&self) -> bool {
        true
    }

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
