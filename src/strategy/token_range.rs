//! Align to whole tokens within a range of them, and pad.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Rounds sides up to whole tokens, scales only where there are too many or too few of them, and pads with black at
    /// the bottom and the right, as `Glm5NextImageProcessor` and `Glm5NextVideoProcessor`.
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
    fixed {
        /// Whether the tokens are those of all frames of a video, rather than of the frames of one patch.
        of_videos: bool = false,
    }
}

impl TokenRange {
    /// The content's size and that of its canvas, aligned to `factor`. Budgets count frames on both sides.
    fn fitted(&self, size: Size, factor: usize, frames: usize) -> Result<(Size, Size)> {
        let temporal = self.temporal_patch_size;
        let token = (temporal * factor * factor) as u128;
        let fewest = self.min_image_tokens as u128 * token;
        let most = self.max_image_tokens as u128 * token;
        let whole = (frames as f64 / temporal as f64).round_ties_even() as usize * temporal;
        let counted = whole.max(temporal) as u128;
        let pixels = |canvas: Size| counted * canvas.0 as u128 * canvas.1 as u128;
        let up = |side: usize| side.div_ceil(factor) * factor;
        let area = frames as u128 * size.0 as u128 * size.1 as u128;
        let mut canvas = (up(size.0), up(size.1));
        if pixels(canvas) < fewest {
            let scale = (fewest as f64 / area as f64).sqrt();
            let grown = |side: usize| up(((side as f64 * scale).ceil() as usize).max(1));
            canvas = (grown(size.0), grown(size.1));
        }
        if pixels(canvas) > most {
            canvas = (factor, factor);
            if pixels(canvas) > most {
                let rule = "enough for one token of every temporal patch";
                let given = self.max_image_tokens.to_string();
                return Err(Error::Option { name: "max_image_tokens", rule, given });
            }
            let (mut low, mut high) = (1, size.0);
            while low <= high {
                let content = usize::midpoint(low, high);
                let across = (size.1 as u128 * content as u128) as f64 / size.0 as f64;
                let found = (up(content), up((across.floor() as usize).max(1)));
                if pixels(found) <= most {
                    canvas = found;
                    low = content + 1;
                } else {
                    high = content - 1;
                }
            }
        }
        let along = |canvas: usize, side: usize| canvas as f64 / side as f64;
        let mut scale = along(canvas.0, size.0).min(along(canvas.1, size.1));
        if area >= fewest {
            scale = scale.min(1.0);
        }
        let content =
            |side: usize, most: usize| ((side as f64 * scale).floor() as usize).min(most).max(1);
        Ok(((content(size.0, canvas.0), content(size.1, canvas.1)), canvas))
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
        // Upstream's PIL backend, which has images alone, leaves the factor out.
        let expands = self.of_videos || context.numerics.int16_weights();
        let factor = factor * if expands { self.patch_expand_factor } else { 1 };
        let frames = if self.of_videos { context.frames } else { self.temporal_patch_size };
        let (resized, canvas) = self.fitted(size, factor, frames)?;
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

    fn needs_frames(&self) -> bool {
        self.of_videos
    }
}
