//! Videos: which frames are taken, and any other strategy for each of them.

use super::{Cells, Context, Layout, Measure, Pooling, Reached, Ready, Shape, Strategy};
use crate::error::{Result, Size};
use crate::names::names;
use crate::options::{
    Choice, Count, Field, Flag, Maybe, Number, Options, Positive, Value, options, wrong,
};
use crate::spec::{Common, MeanStd};

names! {
    /// Which frames of a video are taken.
    pub enum Sampling: "sampling" {
        /// From the first on at equal steps, rounded down.
        Arange = "arange",
        /// From the first to the last at equal steps, rounded to nearest, half to even.
        Linspace = "linspace",
        /// As `Linspace` in float32, with the numbers of frames of the package of that name.
        QwenVlUtils = "qwen-vl-utils",
        /// From the first on at equal steps, in integers.
        Uniform = "uniform",
        /// From half a step on, at equal steps, rounded down.
        Midpoints = "midpoints",
        /// At equal steps of time, rounded up; an even number of them.
        Seconds = "seconds",
        /// At steps of time by the video's duration; an even number of them.
        Tiers = "tiers",
        /// The first frame after each step of time, up to the last whole second; an even number of them.
        Walk = "walk",
        /// The same up to a step before the end.
        WalkShort = "walk-short",
        /// At equal steps of time, rounded down, thinned to `max_frames`.
        Capped = "capped",
        /// Between two times away from the ends, at equal steps, rounded down.
        Inner = "inner",
        /// As `Arange`, of any number of frames from `min_frames` to `max_frames`.
        Bounded = "bounded",
        /// As `Arange`, no more than `max_fps` a second.
        Limited = "limited",
        /// From the first to the last at equal steps in float32, rounded down; whole temporal patches.
        Floor = "floor",
        /// One a second, thinned to `max_num_frames`.
        WholeSeconds = "whole-seconds",
        /// From the first to the last at equal steps, rounded down.
        Ends = "ends",
    }
}

impl Sampling {
    /// Whether upstream has the frames in a tensor of torch, so that their times are float32.
    #[must_use]
    pub const fn is_single(self) -> bool {
        matches!(self, Self::Arange | Self::Midpoints | Self::Bounded | Self::Limited | Self::Floor)
    }

    /// Whether a rate and a number of frames exclude each other.
    #[must_use]
    pub const fn is_exclusive(self) -> bool {
        matches!(
            self,
            Self::Arange
                | Self::Linspace
                | Self::QwenVlUtils
                | Self::Uniform
                | Self::Bounded
                | Self::Limited
                | Self::Ends
        )
    }
}

names! {
    /// How too many frames are thinned.
    pub enum Overflow: "overflow_strategy" {
        /// At equal steps.
        Uniform = "uniform",
        /// The first ones stay.
        Truncate = "truncate",
    }
}

options! {
    /// Which frames of a video are taken: see `sampling`.
    pub struct Sampled {
        /// By which rule frames are taken.
        sampling: Choice<Sampling> = Sampling::Uniform,
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
        /// Most frames a second.
        max_fps: Maybe<Positive> = None,
        /// Begin half a step after the first frame.
        initial_shift: Flag = true,
        /// Seconds of a video above which frames become fewer a second.
        max_duration: Count = 300,
        /// How more than `max_frames` are thinned; None leaves them.
        overflow_strategy: Maybe<Choice<Overflow>> = None,
        /// Most frames of a video, one a second.
        max_num_frames: Count = 128,
        /// Frames of each second: the first is one of the video's, the others lie on one canvas after it.
        stack_frames: Count = 1,
        /// Temporal patches that the encoder sees at a time; None is all.
        chunk_frames: Maybe<Count> = None,
        /// Put its time before each frame in a prompt.
        add_timestamps: Flag = false,
        /// Write its time on each frame. Not done here: frames are refused where it is on.
        draw_on_frames: Flag = false,
    }
}

/// Frames taken by a rule, each measured by a strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct EveryFrame {
    /// Which are taken.
    pub sampled: Sampled,
    /// The strategy for each.
    pub of: Box<Strategy>,
    /// Whether tokens see all temporal patches of a chunk together.
    pub pools: bool,
}

impl EveryFrame {
    /// Frames measured by `strategy`.
    #[must_use]
    pub fn new(sampled: Sampled, strategy: Strategy) -> Self {
        Self { sampled, of: Box::new(strategy), pools: false }
    }

    /// The same where the model pools each chunk over time.
    #[must_use]
    pub fn pooled(self) -> Self {
        Self { pools: true, ..self }
    }
}

impl Options for EveryFrame {
    fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
        Ok(self.sampled.set(name, value)? || self.of.set(name, value)?)
    }

    fn values(&self, into: &mut Vec<(&'static str, Value)>) {
        self.of.values(into);
        self.sampled.values(into);
    }

    fn schema(&self, into: &mut Vec<Field>) {
        self.of.schema(into);
        self.sampled.schema(into);
    }
}

impl Measure for EveryFrame {
    type Ready = Box<Ready>;

    fn prepare(&self, common: &Common) -> Result<Box<Ready>> {
        let rule = self.sampled.sampling;
        let one = matches!(rule, Sampling::Arange | Sampling::Linspace | Sampling::QwenVlUtils);
        if let (true, Some(_), Some(count)) = (one, self.sampled.fps, self.sampled.num_frames) {
            return Err(wrong("num_frames", "None where fps is given", &Value::Int(count as i64)));
        }
        let span =
            [("video_start", self.sampled.video_start), ("video_end", self.sampled.video_end)];
        for (name, time) in span {
            if let Some(time) = time
                && rule != Sampling::QwenVlUtils
            {
                let rule = "None unless sampling is 'qwen-vl-utils'";
                return Err(wrong(name, rule, &Value::Float(time)));
            }
        }
        self.of.prepare(common).map(Box::new)
    }

    fn measure(&self, ready: &Box<Ready>, size: Size, context: &Context<'_>) -> Result<Layout> {
        self.of.measure(ready, size, context)
    }

    fn patch_size(&self) -> usize {
        self.of.patch_size()
    }

    fn merge_size(&self) -> usize {
        self.of.merge_size()
    }

    fn temporal_patch_size(&self) -> usize {
        self.of.temporal_patch_size()
    }

    fn tubelet(&self) -> usize {
        self.of.tubelet()
    }

    fn cells(&self, shape: &Shape) -> Cells {
        self.of.cells(shape)
    }

    fn reached(&self, layout: &Layout) -> Option<Reached> {
        self.of.reached(layout)
    }

    fn values_of(&self, common: &Common) -> Vec<MeanStd> {
        self.of.values_of(common)
    }

    fn shown(&self, common: &Common, name: &str, value: Value) -> Value {
        self.of.shown(common, name, value)
    }

    fn most_rows(&self) -> usize {
        self.of.most_rows()
    }

    fn step(&self) -> usize {
        if self.pools { self.chunk().saturating_mul(self.of.step()) } else { self.of.step() }
    }

    fn sequence(&self) -> usize {
        self.of.sequence()
    }

    fn leaves_out(&self) -> bool {
        self.of.leaves_out()
    }

    fn chunk(&self) -> usize {
        self.sampled.chunk_frames.unwrap_or(usize::MAX)
    }

    fn pooling(&self) -> Option<Pooling> {
        self.of.pooling()
    }

    fn sampled(&self) -> Option<&Sampled> {
        Some(&self.sampled)
    }

    fn is_video(&self) -> bool {
        true
    }

    fn needs_frames(&self) -> bool {
        self.of.needs_frames()
    }

    fn smallest(&self) -> Size {
        self.of.smallest()
    }
}
