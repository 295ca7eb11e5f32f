//! One resize and its place in the outputs: the words in which a plan speaks to the pipeline.

use crate::error::Size;
use crate::resample::Filter;
use crate::sizing::Grid;

/// What a view is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The whole image, once.
    Whole,
    /// The whole image over a grid of tiles.
    Tiles,
    /// The whole image at tile size beside its tiles.
    Thumbnail,
    /// The whole image, padded, before its tiles.
    Global,
    /// The larger of two resolutions.
    HighRes,
}

impl Role {
    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Tiles => "tiles",
            Self::Thumbnail => "thumbnail",
            Self::Global => "global",
            Self::HighRes => "high_res",
        }
    }
}

/// Where a view's pixels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The image.
    Image,
    /// The canvas of an earlier view.
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

/// How a canvas is cut into the rows of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Square patches, merge block by merge block, each as (channel, frame, row, column).
    Patches {
        /// Side of a patch in pixels.
        patch: usize,
        /// Patches a side of a merge block.
        merge: usize,
        /// Frames of a patch.
        temporal: usize,
    },
    /// Tiles row by row, each as (channel, row, column).
    Tiles {
        /// Height and width of a tile.
        tile: Size,
    },
    /// The canvas itself as (row, column, channel) of bytes.
    Rows {
        /// Bytes of a pixel.
        pixel: usize,
    },
}

/// One resize of the image, or of an earlier view, and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// What it is to the model.
    pub role: Role,
    /// Where its pixels come from.
    pub from: From,
    /// The part of them it shows.
    pub source: Rect,
    /// The size that part is scaled to; a side of zero leaves the canvas empty.
    pub resized: Size,
    /// The filter of that resize.
    pub filter: Filter,
    /// The canvas it is laid on.
    pub canvas: Size,
    /// Rows above and columns left of it on the canvas.
    pub offset: (usize, usize),
    /// The canvas's colour where the image does not reach.
    pub background: [u8; 3],
    /// How the canvas is cut.
    pub cut: Cut,
    /// Patches or tiles of the canvas.
    pub grid: Grid,
    /// Which of the plan's outputs it fills, and with which normalisation of the spec.
    pub output: usize,
    /// The first row of this image's part of that output that it fills.
    pub index: usize,
}

impl View {
    /// How many rows of its output it fills.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.grid.count()
    }
}

/// This image's part of one array.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The array's key.
    pub key: &'static str,
    /// Patches or tiles.
    pub rows: usize,
    /// How one of them is cut.
    pub cut: Cut,
}

/// One number, or one row of numbers, about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The array's key.
    pub key: &'static str,
    /// The numbers.
    pub values: Vec<i64>,
    /// Whether the array has one number an image instead of one row.
    pub scalar: bool,
}

/// A run of tokens, in the order in which the language model sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The cells of a view.
    Cells(Cells),
    /// One token between two views.
    Separator,
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
}

impl Cells {
    /// How many tokens.
    #[must_use]
    pub const fn count(&self) -> usize {
        let rows = self.tiles.rows * self.grid.rows;
        rows * (self.tiles.columns * self.grid.columns + if self.newline { 1 } else { 0 })
    }
}
