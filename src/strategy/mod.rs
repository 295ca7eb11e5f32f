//! How sizes follow from an image's size: a strategy a file.
//!
//! A strategy is its options, `prepare` (what is made once, such as lists of candidates), `measure` (the layout of one
//! image, a pure function of its size and context) and the option that a budget of tokens may turn. All else about a
//! family is data in its entry. Nothing outside this folder matches on a strategy.

mod budget;
mod canvas;
mod closest_patches;
mod every_frame;
mod fixed;
mod frames;
mod grid;
mod layout;
mod padded_patches;
mod square;
mod squared;
mod token_budget;
mod token_limit;

pub use budget::{PixelBudget, Small, Unit};
pub use canvas::BestCanvas;
pub use closest_patches::ClosestPatches;
pub use every_frame::{EveryFrame, Overflow, Sampled, Sampling};
pub use fixed::{FixedSize, Padding};
pub use frames::{FrameBudget, Frames, Scaling};
pub use grid::{AspectGrid, MultiImage};
pub use layout::{Cells, Context, Layout, Shape};
pub use padded_patches::PaddedPatches;
pub use square::{HybridSquare, PadSquare};
pub use squared::Squared;
pub use token_budget::TokenBudget;
pub use token_limit::TokenLimit;

use crate::error::{Result, Size};
use crate::options::{Field, Options, Value};
use crate::spec::{Common, MeanStd};

/// What a budget of tokens may turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Knob {
    /// A budget of pixels, in which tokens may fall where it stops to bind; `cell` is the side of a token in pixels.
    Pixels {
        /// The option.
        name: &'static str,
        /// Its smallest and largest value.
        range: (usize, usize),
        /// Side of a token in pixels.
        cell: usize,
    },
    /// A count with which tokens never fall.
    Count {
        /// The option.
        name: &'static str,
        /// Its smallest and largest value.
        range: (usize, usize),
    },
    /// Settings, from the largest to the smallest.
    Settings {
        /// The option.
        name: &'static str,
        /// Its values.
        values: Vec<Value>,
    },
}

/// The rules of one strategy.
pub trait Measure: Options {
    /// What is made once.
    type Ready: Send + Sync;

    /// Makes it, and checks options against each other.
    ///
    /// # Errors
    /// `Option`, `OutOfMemory`.
    fn prepare(&self, common: &Common) -> Result<Self::Ready>;

    /// The layout of an image of `size`, whose sides are at least 1.
    ///
    /// # Errors
    /// Every error that a size can cause.
    fn measure(&self, ready: &Self::Ready, size: Size, context: &Context<'_>) -> Result<Layout>;

    /// Side of a vision encoder's patch in pixels.
    fn patch_size(&self) -> usize;

    /// Patches a side that one token merges, where patches are written merge block by merge block.
    fn merge_size(&self) -> usize {
        1
    }

    /// Frames of a patch.
    fn temporal_patch_size(&self) -> usize {
        1
    }

    /// How the language model sees a unit of `shape`.
    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.unit, self.patch_size())
    }

    /// Mean and standard deviation of every set of values that views may name.
    fn values_of(&self, common: &Common) -> Vec<MeanStd> {
        vec![(common.image_mean, common.image_std)]
    }

    /// The value of an option that shows more than the strategy holds, such as a colour that follows from the mean.
    fn shown(&self, _common: &Common, _name: &str, value: Value) -> Value {
        value
    }

    /// The option that a budget of tokens may turn.
    fn knob(&self) -> Option<Knob> {
        None
    }

    /// Temporal patches that an encoder sees at a time.
    fn chunk(&self) -> usize {
        usize::MAX
    }

    /// Rows that each frame of a video has in an array that is filled up.
    fn rows(&self) -> usize {
        0
    }

    /// Whether its layouts are those of every frame of a video.
    fn is_video(&self) -> bool {
        false
    }

    /// The smallest image that it takes as it is, whatever `do_resize` says.
    fn smallest(&self) -> Size {
        (1, 1)
    }
}

macro_rules! strategies {
    ($( $(#[$doc:meta])* $strategy:ident ),+ $(,)?) => {
        /// A strategy with its options.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Strategy {
            $( $(#[$doc])* $strategy($strategy), )+
        }

        /// What a strategy made once.
        pub enum Ready {
            $( $(#[$doc])* $strategy(<$strategy as Measure>::Ready), )+
        }

        impl Options for Strategy {
            fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
                match self { $(Self::$strategy(it) => it.set(name, value),)+ }
            }

            fn values(&self, into: &mut Vec<(&'static str, Value)>) {
                match self { $(Self::$strategy(it) => it.values(into),)+ }
            }

            fn schema(&self, into: &mut Vec<Field>) {
                match self { $(Self::$strategy(it) => it.schema(into),)+ }
            }
        }

        impl Measure for Strategy {
            type Ready = Ready;

            fn prepare(&self, common: &Common) -> Result<Ready> {
                match self { $(Self::$strategy(it) => it.prepare(common).map(Ready::$strategy),)+ }
            }

            #[inline]
            fn measure(&self, ready: &Ready, size: Size, context: &Context<'_>) -> Result<Layout> {
                match (self, ready) {
                    $((Self::$strategy(it), Ready::$strategy(ready)) => it.measure(ready, size, context),)+
                    _ => Err(crate::error::Error::Unprepared),
                }
            }

            fn patch_size(&self) -> usize {
                match self { $(Self::$strategy(it) => it.patch_size(),)+ }
            }

            fn merge_size(&self) -> usize {
                match self { $(Self::$strategy(it) => it.merge_size(),)+ }
            }

            fn temporal_patch_size(&self) -> usize {
                match self { $(Self::$strategy(it) => it.temporal_patch_size(),)+ }
            }

            fn cells(&self, shape: &Shape) -> Cells {
                match self { $(Self::$strategy(it) => it.cells(shape),)+ }
            }

            fn values_of(&self, common: &Common) -> Vec<MeanStd> {
                match self { $(Self::$strategy(it) => it.values_of(common),)+ }
            }

            fn shown(&self, common: &Common, name: &str, value: Value) -> Value {
                match self { $(Self::$strategy(it) => it.shown(common, name, value),)+ }
            }

            fn knob(&self) -> Option<Knob> {
                match self { $(Self::$strategy(it) => it.knob(),)+ }
            }

            fn rows(&self) -> usize {
                match self { $(Self::$strategy(it) => it.rows(),)+ }
            }

            fn chunk(&self) -> usize {
                match self { $(Self::$strategy(it) => it.chunk(),)+ }
            }

            fn is_video(&self) -> bool {
                match self { $(Self::$strategy(it) => it.is_video(),)+ }
            }

            fn smallest(&self) -> Size {
                match self { $(Self::$strategy(it) => it.smallest(),)+ }
            }
        }
    };
}

strategies! {
    /// Rounds to multiples within a budget of pixels.
    PixelBudget,
    /// Stretches to the tile grid of the closest aspect ratio.
    AspectGrid,
    /// Pads into the best of a list of canvases, with a padded global view before it.
    BestCanvas,
    /// Scales the longer side, pads to a square.
    PadSquare,
    /// The same at two resolutions, the smaller one from the larger.
    HybridSquare,
    /// Scales to a fixed size, or by an edge, and crops.
    FixedSize,
    /// Rounds frames to multiples within a budget of pixels.
    Frames,
    /// Stretches frames to the closest grid of patches.
    ClosestPatches,
    /// Scales frames down into limits of patches, and fills them up.
    PaddedPatches,
    /// Scales frames into a limit of tokens.
    TokenLimit,
    /// Fits frames into a canvas of whole tokens.
    TokenBudget,
    /// Scales frames by the longer side, then to a square.
    Squared,
    /// Takes frames of a video by a rule, each by another strategy.
    EveryFrame,
}
