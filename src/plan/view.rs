//! One resize and its place in the outputs: the words in which a plan speaks to the pipeline.

use crate::coords::Kind;
use crate::error::Size;
use crate::names::names;
use crate::pack::Standardise;
use crate::resample::{Filter, Float};
use crate::sizing::Grid;
use crate::strategy::Span;

names! {
    /// What a view is to the model.
    pub enum Role: "role" {
        /// The whole image, once.
        Whole = "whole",
        /// The whole image over a grid of tiles.
        Tiles = "tiles",
        /// The whole image at tile size beside its tiles.
        Thumbnail = "thumbnail",
        /// The whole image, padded or scaled, before or after its tiles.
        Global = "global",
        /// The larger of two resolutions.
        HighRes = "high_res",
        /// A part of the image.
        Crop = "crop",
        /// What later views are made from; no model sees it.
        Step = "step",
    }
}

/// Where a view's pixels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The image.
    Image,
    /// The canvas of an earlier view of the plan, as bytes: a chain may have any number of views, and several views may
    /// come from one.
    View(usize),
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows and columns.
    pub size: Size,
}

/// The order of the elements of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// (channel, frame, row, column).
    Ctpp,
    /// (frame, channel, row, column).
    Tcpp,
    /// (frame, row, column, channel); of one frame (row, column, channel).
    Tppc,
    /// The numbers of the patch's row and column, from 1 on, then (row, column, channel): of views in floats alone.
    Numbered,
}

impl Inside {
    /// Elements before those of pixels.
    #[must_use]
    pub const fn numbers(self) -> usize {
        match self {
            Self::Numbered => 2,
            Self::Ctpp | Self::Tcpp | Self::Tppc => 0,
        }
    }
}

/// The order of the elements of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// (channel, row, column).
    ChannelsFirst,
    /// (row, column, channel).
    ChannelsLast,
}

/// How a canvas is cut into the rows of an output. What the view's grid does not reach of it fills nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Square patches, merge block by merge block, rows of blocks from top to bottom.
    Patches {
        /// Side of a patch in pixels.
        patch: usize,
        /// Patches a side of a merge block: the grid is made of whole blocks. 1 for patches row by row.
        merge: usize,
        /// Frames of a patch.
        temporal: usize,
        /// The order inside a patch.
        inside: Inside,
    },
    /// Tiles row by row.
    Tiles {
        /// Height and width of a tile.
        tile: Size,
        /// Rows and columns from one tile to the next: tiles overlap where it is less than the tile.
        step: Size,
        /// The order inside a tile.
        order: Order,
    },
    /// The canvas itself as (row, column, channel) of bytes.
    Rows {
        /// Bytes of a pixel.
        pixel: usize,
    },
}

impl Cut {
    /// Tiles side by side, channels first.
    #[must_use]
    pub const fn tiles(tile: Size) -> Self {
        Self::Tiles { tile, step: tile, order: Order::ChannelsFirst }
    }
}

/// In which numbers a view is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Bytes, which a table turns into elements.
    Bytes,
    /// The same by torchvision's rule, whatever the numerics.
    Torch,
    /// Bytes by torchvision's rule without antialiasing.
    Sharp,
    /// Bytes that Pillow reduces by whole factors before it resizes them: of views that fill nothing themselves, whose
    /// canvas is what they are scaled to.
    Reduced,
    /// Floats, of the whole view at once.
    Floats(Floats),
}

/// The steps of a view in floats: one before the resize, the resize itself, and of normalising what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floats {
    /// What is done before the resize.
    pub first: First,
    /// The resize, and what is done to its values.
    pub rule: Float,
    /// The value around the image before normalising, on the scale of bytes; none is the view's background.
    pub outside: Option<i16>,
}

impl Floats {
    /// A resize that keeps what a filter gives beyond 0 and 255, before values are normalised.
    pub const KEPT: Self = Self {
        first: First::Nothing,
        rule: Float { antialias: true, round: false, clamp: false },
        outside: None,
    };

    /// A resize without antialiasing whose values become bytes again before they are normalised.
    pub const ROUNDED: Self = Self {
        first: First::Nothing,
        rule: Float { antialias: false, round: true, clamp: true },
        outside: None,
    };

    /// Whether what is normalised are whole numbers from 0 to 255.
    #[must_use]
    pub const fn are_bytes(&self) -> bool {
        matches!(self.first, First::Nothing) && self.rule.round && self.rule.clamp
    }
}

/// What is done to values before they are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Nothing: they are normalised afterwards.
    Nothing,
    /// They are multiplied by the factor; mean and deviation follow afterwards.
    Rescale,
    /// They are normalised; nothing follows.
    Normalise,
    /// Their own mean and deviation are taken out; nothing follows.
    Standardise(Standardise),
}

/// One resize of the image, or of an earlier view, and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// What it is to the model.
    pub role: Role,
    /// Where its pixels come from.
    pub from: From,
    /// The part of them it shows. A crop before the resize: no pixel outside counts.
    pub source: Rect,
    /// The size that part is scaled to; a side of zero leaves the canvas empty.
    pub resized: Size,
    /// The filter of that resize.
    pub filter: Filter,
    /// In which numbers it is resized.
    pub lane: Lane,
    /// The canvas it is laid on.
    pub canvas: Size,
    /// Rows above and columns left of it on the canvas. Negative ones cut that much off, as does what lies beyond the
    /// canvas's end: a crop after the resize.
    pub offset: (isize, isize),
    /// The canvas's colour where the image does not reach.
    pub background: [u8; 3],
    /// How the canvas is cut; without meaning where it fills no output.
    pub cut: Cut,
    /// Patches or tiles of the canvas.
    pub grid: Grid,
    /// Which of the plan's outputs it fills, and with which normalisation of the spec; none for what only later views
    /// come from.
    pub output: Option<usize>,
    /// The first row of this image's part of that output that it fills. Views fill no row twice.
    pub index: usize,
}

impl View {
    /// How many rows of its output it fills.
    #[must_use]
    pub const fn count(&self) -> usize {
        if self.output.is_some() { self.grid.count() } else { 0 }
    }
}

/// This image's part of one array.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The array's key.
    pub key: &'static str,
    /// Patches or tiles.
    pub rows: usize,
    /// How one of them is cut. Where views have tiles of several sizes: the tile that holds each of them.
    pub cut: Cut,
}

/// One number, or one row of numbers, about an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The array's key.
    pub key: &'static str,
    /// The first numbers, and how often they come.
    pub head: Vec<f64>,
    /// See `head`: a plan does not grow with a video.
    pub times: usize,
    /// Those after them.
    pub tail: Vec<f64>,
    /// Whether the array has one number an image instead of one row.
    pub scalar: bool,
}

impl Fact {
    /// All numbers.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        let repeated = (0..self.times).flat_map(|_| &self.head);
        repeated.chain(&self.tail).copied()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.head.len() * self.times + self.tail.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A run of tokens, in the order in which the language model sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The cells of a view.
    Cells(Cells),
    /// So many tokens for each tile of a view, row by row, that see all of it.
    Pooled {
        /// The view.
        view: usize,
        /// Tiles.
        tiles: Grid,
        /// Height and width of a tile in pixels.
        tile: Size,
        /// Tokens of a tile.
        tokens: usize,
    },
    /// So many tokens that see all of the image.
    Image(usize),
    /// One token that sees no pixel.
    Mark(Kind),
}

/// How the canvas of a view becomes tokens: each tile is a grid of square cells, a token each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// The view.
    pub view: usize,
    /// Tiles of its canvas; one where the encoder sees it whole.
    pub tiles: Grid,
    /// Height and width of a tile in pixels.
    pub tile: Size,
    /// The part of a tile that the encoder's patches cover: the rest of it no token sees.
    pub seen: Size,
    /// Side of a cell in pixels; the last ones may reach beyond what is seen.
    pub cell: usize,
    /// Cells of a tile.
    pub grid: Grid,
    /// Rows of cells run over all tiles and end in a newline token each; else tile after tile.
    pub newline: bool,
    /// The rows that become tokens; all of them where there are no newlines.
    pub rows: Span,
    /// The columns that become tokens, likewise.
    pub columns: Span,
}

impl Cells {
    /// How many tokens.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.rows.tokens * (self.columns.tokens + if self.newline { 1 } else { 0 })
    }
}
