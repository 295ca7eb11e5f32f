//! How sizes follow from an image's size: a strategy a file.
//!
//! A strategy is its options, `prepare` (what is made once, such as lists of candidates), `measure` (the layout of one
//! image, a pure function of its size and context) and the option that a budget of tokens may turn. All else about a
//! family is data in its entry. Nothing outside this folder matches on a strategy.

mod arrangement;
mod boxed;
mod budget;
mod canvas;
mod covering;
mod edge;
mod edge_range;
mod every_frame;
mod fit;
mod fixed;
mod frames;
mod grid;
mod grid_patches;
mod layout;
mod local;
mod longest;
mod naflex;
mod numbered_patches;
mod overlapping;
mod padded_grid;
mod pages;
mod patch_limit;
mod patch_range;
mod patch_target;
mod pinpoints;
mod pixel_range;
mod scan;
mod slices;
mod soft_tokens;
mod square;
mod squared;
mod tiled_patches;
mod token_cap;
mod token_limit;
mod token_range;
mod two_grids;
mod windows;

pub use arrangement::{Arrangement, VisionInput};
pub use boxed::{BoxPad, Page};
pub use budget::{PixelBudget, Small, Unit};
pub use canvas::BestCanvas;
pub use covering::{CoveringGrid, CoveringRule};
pub use edge::CappedEdge;
pub use edge_range::EdgeRange;
pub use every_frame::{EveryFrame, Overflow, Sampled, Sampling};
pub use fit::FitCanvas;
pub use fixed::{FixedSize, Padding};
pub use frames::{FrameBudget, Frames, Scaling};
pub use grid::{AspectGrid, BestGrid, MultiImage};
pub use grid_patches::GridPatches;
pub use layout::{Cells, Context, Layout, Pooling, Reached, Shape, Span};
pub use local::LocalGlobal;
pub use longest::{Clamped, LongestEdge};
pub use naflex::NaFlex;
pub use numbered_patches::NumberedPatches;
pub use overlapping::OverlappingCrops;
pub use padded_grid::PaddedGrid;
pub use pages::PageGrid;
pub use patch_limit::PatchLimit;
pub use patch_range::PatchRange;
pub use patch_target::PatchTarget;
pub use pinpoints::{Pinpoints, SplitPad};
pub use pixel_range::PixelRange;
pub use scan::PanScan;
pub use slices::{Downsample, Slices, SmallImages};
pub use soft_tokens::SoftTokens;
pub use square::{HybridSquare, PadSquare};
pub use squared::Squared;
pub use tiled_patches::TiledPatches;
pub use token_cap::TokenCap;
pub use token_limit::TokenLimit;
pub use token_range::TokenRange;
pub use two_grids::TwoGrids;
pub use windows::Windows;

use crate::error::{Error, Result, Size};
use crate::options::{Field, Options, Value};
use crate::plan::Role;
use crate::spec::{Common, MeanStd};

/// Checks that a size holds pixels.
fn not_empty(what: &'static str, size: Size) -> Result<()> {
    if size.0 == 0 || size.1 == 0 { Err(Error::ZeroSide { what, size }) } else { Ok(()) }
}

/// Checks that all shapes that fill an array have units of one size.
fn equal_units(key: &'static str, layout: &Layout) -> Result<()> {
    let mut units =
        layout.shapes.iter().filter(|shape| shape.role != Role::Step).map(|shape| shape.unit);
    let Some(first) = units.next() else { return Ok(()) };
    match units.find(|unit| *unit != first) {
        Some(other) => Err(Error::Ragged { key, first, other }),
        None => Ok(()),
    }
}

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

    /// Temporal patches, each in rows of its own, that one token sees together: the last frame of a video is repeated
    /// until they are whole.
    fn tubelet(&self) -> usize {
        1
    }

    /// Frames that tokens see together.
    fn step(&self) -> usize {
        self.temporal_patch_size() * self.tubelet()
    }

    /// Tokens of a frame in a text, where an option says how many.
    fn sequence(&self) -> usize {
        0
    }

    /// Whether tokens are left out for the pixels that they show.
    fn leaves_out(&self) -> bool {
        false
    }

    /// How the language model sees a unit of `shape`.
    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.unit, self.patch_size())
    }

    /// The cells of the main shape that the model takes, where it leaves some out or merges them.
    fn reached(&self, _layout: &Layout) -> Option<Reached> {
        None
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
    ///
    /// # Errors
    /// `OutOfMemory`.
    fn knob(&self) -> Result<Option<Knob>> {
        Ok(None)
    }

    /// Temporal patches that an encoder sees at a time.
    fn chunk(&self) -> usize {
        usize::MAX
    }

    /// Which patches each token pools, where a model is told.
    fn pooling(&self) -> Option<Pooling> {
        None
    }

    /// Whether its layouts are those of every frame of a video.
    fn is_video(&self) -> bool {
        false
    }

    /// Which frames of a video are taken.
    fn sampled(&self) -> Option<&Sampled> {
        None
    }

    /// Whether the size of a frame depends on how many there are.
    fn needs_frames(&self) -> bool {
        false
    }

    /// The smallest image that it takes as it is, whatever `do_resize` says.
    fn smallest(&self) -> Size {
        (1, 1)
    }

    /// Rows that an array has for every image, view or frame, where that is a limit of the strategy; else 0.
    fn most_rows(&self) -> usize {
        0
    }
}

macro_rules! strategies {
    ($( #[doc = $doc:literal] $strategy:ident ),+ $(,)?) => {
        /// A strategy with its options.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Strategy {
            $( #[doc = $doc] $strategy($strategy), )+
        }

        /// What a strategy made once.
        pub enum Ready {
            $( #[doc = $doc] $strategy(<$strategy as Measure>::Ready), )+
        }

        impl Strategy {
            /// Its name, and what it does in a sentence.
            #[must_use]
            pub const fn told(&self) -> (&'static str, &'static str) {
                match self { $(Self::$strategy(_) => (stringify!($strategy), const { $doc.trim_ascii() }),)+ }
            }
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

            fn tubelet(&self) -> usize {
                match self { $(Self::$strategy(it) => it.tubelet(),)+ }
            }

            fn cells(&self, shape: &Shape) -> Cells {
                match self { $(Self::$strategy(it) => it.cells(shape),)+ }
            }

            fn reached(&self, layout: &Layout) -> Option<Reached> {
                match self { $(Self::$strategy(it) => it.reached(layout),)+ }
            }

            fn values_of(&self, common: &Common) -> Vec<MeanStd> {
                match self { $(Self::$strategy(it) => it.values_of(common),)+ }
            }

            fn shown(&self, common: &Common, name: &str, value: Value) -> Value {
                match self { $(Self::$strategy(it) => it.shown(common, name, value),)+ }
            }

            fn knob(&self) -> Result<Option<Knob>> {
                match self { $(Self::$strategy(it) => it.knob(),)+ }
            }

            fn step(&self) -> usize {
                match self { $(Self::$strategy(it) => it.step(),)+ }
            }

            fn sequence(&self) -> usize {
                match self { $(Self::$strategy(it) => it.sequence(),)+ }
            }

            fn leaves_out(&self) -> bool {
                match self { $(Self::$strategy(it) => it.leaves_out(),)+ }
            }

            fn chunk(&self) -> usize {
                match self { $(Self::$strategy(it) => it.chunk(),)+ }
            }

            fn pooling(&self) -> Option<Pooling> {
                match self { $(Self::$strategy(it) => it.pooling(),)+ }
            }

            fn sampled(&self) -> Option<&Sampled> {
                match self { $(Self::$strategy(it) => it.sampled(),)+ }
            }

            fn is_video(&self) -> bool {
                match self { $(Self::$strategy(it) => it.is_video(),)+ }
            }

            fn needs_frames(&self) -> bool {
                match self { $(Self::$strategy(it) => it.needs_frames(),)+ }
            }

            fn smallest(&self) -> Size {
                match self { $(Self::$strategy(it) => it.smallest(),)+ }
            }

            fn most_rows(&self) -> usize {
                match self { $(Self::$strategy(it) => it.most_rows(),)+ }
            }
        }
    };
}

impl Strategy {
    /// Whether a flag of it is on.
    #[must_use]
    pub fn is_on(&self, flag: &str) -> bool {
        let mut values = Vec::new();
        self.values(&mut values);
        values.iter().any(|(name, value)| *name == flag && *value == Value::Bool(true))
    }
}

strategies! {
    /// Rounds to multiples within a budget of pixels.
    PixelBudget,
    /// Stretches to the tile grid of the closest aspect ratio.
    AspectGrid,
    /// Stretches to two such grids, one after the other.
    TwoGrids,
    /// Pads into the best of a list of canvases, with a padded global view before it.
    BestCanvas,
    /// Scales the longer side, pads to a square.
    PadSquare,
    /// The same at two resolutions, the smaller one from the larger.
    HybridSquare,
    /// Scales to a fixed size, or by an edge, and crops.
    FixedSize,
    /// Scales up or down to as many patches as there may be.
    NaFlex,
    /// Scales up or down into a number of tokens, rounded down.
    SoftTokens,
    /// Scales down into a number of patches and pads.
    PatchLimit,
    /// Scales into a range of pixels and pads.
    PixelRange,
    /// Takes the grid of the closest aspect ratio under a number of tokens.
    TokenCap,
    /// Aligns within a range of tokens and pads.
    TokenRange,
    /// Scales both edges into a range, by half.
    EdgeRange,
    /// Cuts large images into tiles and all into patches.
    TiledPatches,
    /// Scales by a factor and pads to whole patches.
    GridPatches,
    /// Scales into a range of patches.
    PatchRange,
    /// Scales to as many patches as there may be, whose rows begin with their places.
    NumberedPatches,
    /// Rounds frames to multiples within a budget of pixels.
    Frames,
    /// Scales frames by the longer side, then to a square.
    Squared,
    /// Takes frames of a video by a rule, each by another strategy.
    EveryFrame,
    /// Stretches to a square, with crops of long images beside it.
    PanScan,
    /// Caps the longer side and rounds up to whole patches.
    CappedEdge,
    /// Pads into the best of a list of canvases, with a stretched view before it.
    Pinpoints,
    /// Splits by a list of canvases, and pads every part to a square.
    SplitPad,
    /// Stretches to the grid of tiles that covers the image best.
    CoveringGrid,
    /// Stretches to an arrangement of tiles that does not shrink the image, where there is one.
    Arrangement,
    /// A padded square, and tiles of large images beside it.
    LocalGlobal,
    /// Scales the longer side, then up to whole tiles, with the whole image behind them.
    LongestEdge,
    /// Clamps both sides, with quarters of the image before it.
    Clamped,
    /// Pads into the canvas of tiles that enlarges the image least.
    FitCanvas,
    /// A square of the whole image, and windows of large or long ones beside it.
    Windows,
    /// Shrinks into a box and pads to it.
    BoxPad,
    /// Scales by the shorter side, shrinks into a page and centres on it.
    Page,
    /// Stretches to the tile grid of the closest aspect ratio, with a budget for dense pages.
    PageGrid,
    /// Slices of the area of a view, behind the whole image.
    Slices,
    /// Crops of a canvas that overlap, behind the whole image.
    OverlappingCrops,
    /// Scales down into a number of patches, then pads or crops.
    TokenLimit,
    /// Scales frames to the number of patches nearest to a target.
    PatchTarget,
    /// Pads into a grid of tiles, with the whole canvas at tile size before it.
    PaddedGrid,
}
