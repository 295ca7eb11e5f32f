//! Frames of a video: sizes as for images, within a budget of a frame or of the video.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::names::names;
use crate::options::{Budget, Choice, Count, Flag, Maybe, options};
use crate::plan::Role;
use crate::sizing;
use crate::spec::Common;

names! {
    /// What a budget of pixels counts.
    pub enum FrameBudget: "budget" {
        /// The pixels of one frame.
        Frame = "frame",
        /// The pixels of all frames.
        Video = "video",
        /// The pixels of one frame, below its share of the video's, by the rule of the package of that name.
        QwenVlUtils = "qwen-vl-utils",
    }
}

/// By which rule frames are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// As images, within a budget of the frame or of the video.
    Budget,
    /// The same within the frame's share of the budget, as `VideoLLaMA3` has it.
    Share,
    /// Never up: the most rows and columns that fit the frame, its own limit and its share of the budget, a newline
    /// after each row counted, as HY-V4 has it.
    Shrink,
}

options! {
    /// Rounds each side of a frame to a multiple of `patch_size * merge_size`, then scales into the budget.
    pub struct Frames {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Frames of a patch.
        temporal_patch_size: Count = 2,
        /// Fewest pixels, of a frame or of a video, as `budget` says.
        min_pixels: Budget = 100_352,
        /// Most pixels, likewise.
        max_pixels: Budget = 602_112,
        /// What the budget of pixels counts.
        budget: Choice<FrameBudget> = FrameBudget::Frame,
        /// Bound each frame by its share of a budget of tokens as well.
        cap_pixels_per_frame: Flag = false,
        /// That budget: of a video where frames are counted one by one, else of a frame.
        max_video_tokens: Count = 128_000,
        /// Most pixels of a video's frames together, in the budget `qwen-vl-utils`.
        total_pixels: Maybe<Budget> = None,
        /// What `total_pixels` follows from where it is not given, in the budget `qwen-vl-utils`.
        model_seq_len: Count = 128_000,
        /// Merge blocks a side that the resized frame is a multiple of.
        patch_expand_factor: Count = 1,
        /// Most pixels of a frame, beside its share of the budget of a video.
        frame_pixels: Budget = 1_048_576,
        /// Leave out tokens of a frame that differ little from those of the frame before.
        use_token_compression: Flag = true,
    }
    fixed {
        /// By which rule frames are scaled.
        scaling: Scaling = Scaling::Budget,
        /// Temporal patches that one token sees together.
        tubelet: usize = 1,
    }
}

impl Frames {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn resized(&self, size: Size, frames: usize) -> Result<Size> {
        let temporal = self.temporal_patch_size;
        let factor = self.factor() * self.patch_expand_factor;
        let (min_pixels, max_pixels) = (self.min_pixels, self.max_pixels);
        let budget = sizing::Budget { factor, min_pixels, max_pixels };
        match self.scaling {
            Scaling::Budget => {}
            Scaling::Share => {
                let max_pixels = max_pixels / frames.max(1);
                return sizing::smart_resize(size, sizing::Budget { max_pixels, ..budget });
            }
            Scaling::Shrink => {
                return sizing::shrink_to_share(size, frames, budget, self.frame_pixels);
            }
        }
        let (cap, tokens) = (self.cap_pixels_per_frame, self.max_video_tokens);
        match self.budget {
            FrameBudget::Frame if cap => {
                sizing::smart_resize(size, sizing::cap_of_context(budget, tokens, temporal, frames))
            }
            FrameBudget::Frame => sizing::smart_resize(size, budget),
            FrameBudget::Video if cap => {
                let budget = sizing::cap_of_frame(budget, tokens, frames);
                sizing::smart_resize_video(frames, size, temporal, budget)
            }
            FrameBudget::Video => sizing::smart_resize_video(frames, size, temporal, budget),
            FrameBudget::QwenVlUtils => {
                let (total, context) = (self.total_pixels, self.model_seq_len);
                let most = sizing::qwen_vl_utils_max_pixels(budget, total, context, frames);
                sizing::smart_resize_qwen_vl_utils(size, factor, min_pixels, most)
            }
        }
    }
}

impl Measure for Frames {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let resized = if context.common.do_resize {
            self.resized(size, context.frames)?
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

    fn tubelet(&self) -> usize {
        self.tubelet
    }

    fn leaves_out(&self) -> bool {
        self.use_token_compression
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.factor())
    }

    fn is_video(&self) -> bool {
        true
    }

    fn needs_frames(&self) -> bool {
        let is_of_frame = self.budget == FrameBudget::Frame && !self.cap_pixels_per_frame;
        !(is_of_frame && self.scaling == Scaling::Budget)
    }

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
