//! Frames of a video: sizes as for images, within a budget of a frame or of the video.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::names::names;
use crate::options::{Budget, Choice, Count, Flag, Maybe, Number, Positive, Value, options, wrong};
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

names! {
    /// Which frames of a video are taken.
    pub enum Sampling: "sampling" {
        /// From the first on at equal steps, rounded down.
        Arange = "arange",
        /// From the first to the last at equal steps, rounded to nearest, half to even.
        Linspace = "linspace",
        /// As `Linspace` in float32, with the numbers of frames of the package of that name.
        QwenVlUtils = "qwen-vl-utils",
    }
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
        /// Which frames are taken. The facade acts on it and on all below.
        sampling: Choice<Sampling> = Sampling::Arange,
        /// Off: every frame is taken.
        do_sample_frames: Flag = false,
        /// Frames to take a second.
        fps: Maybe<Positive> = None,
        /// Frames to take in all.
        num_frames: Maybe<Count> = None,
        /// Fewest frames that `fps` may ask for.
        min_frames: Count = 4,
        /// Most frames that `fps` may ask for.
        max_frames: Count = 768,
        /// Where frames begin to be taken, in seconds, in the sampling `qwen-vl-utils`.
        video_start: Maybe<Number> = None,
        /// Where they end, likewise.
        video_end: Maybe<Number> = None,
    }
}

impl Frames {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn resized(&self, size: Size, frames: usize) -> Result<Size> {
        let temporal = self.temporal_patch_size;
        let (factor, min_pixels, max_pixels) = (self.factor(), self.min_pixels, self.max_pixels);
        let budget = sizing::Budget { factor, min_pixels, max_pixels };
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
        if let (Some(_), Some(count)) = (self.fps, self.num_frames) {
            return Err(wrong("num_frames", "None where fps is given", &Value::Int(count as i64)));
        }
        for (name, time) in [("video_start", self.video_start), ("video_end", self.video_end)] {
            if let Some(time) = time
                && self.sampling != Sampling::QwenVlUtils
            {
                let rule = "None unless sampling is 'qwen-vl-utils'";
                return Err(wrong(name, rule, &Value::Float(time)));
            }
        }
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
