//! The geometry that a strategy gives an image: shapes, each a resize onto a canvas of cells.

use smallvec::SmallVec;

use crate::error::{Error, Result, Size, push_few};
use crate::plan::{From, Rect, Role};
use crate::resample::{Filter, Numerics};
use crate::sizing::{Grid, Placement};
use crate::spec::Common;

/// What else than its size an image's layout depends on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Options that every family has.
    pub common: &'a Common,
    /// Whose numbers.
    pub numerics: Numerics,
    /// Images of its sample; 1 for a video.
    pub images: usize,
    /// Frames of a video; 1 for an image.
    pub frames: usize,
}

/// One resize: of which pixels, to which size, onto which canvas, cut into which cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// What it is to the model; the family says by role what becomes of it.
    pub role: Role,
    /// Where its pixels come from: the image, or an earlier shape's canvas.
    pub from: From,
    /// The part of them it shows.
    pub source: Rect,
    /// The size that part is scaled to; a side of zero leaves the canvas empty.
    pub resized: Size,
    /// The filter of that resize.
    pub filter: Filter,
    /// The canvas it is laid on.
    pub canvas: Size,
    /// Rows above and columns left of it on the canvas; negative where the canvas shows a part of it.
    pub offset: (isize, isize),
    /// The canvas's colour where the image does not reach.
    pub background: [u8; 3],
    /// Height and width of a patch or tile.
    pub unit: Size,
    /// Rows and columns from one tile to the next; the unit where tiles do not overlap.
    pub step: Size,
    /// Whether Pillow reduces it by whole factors first.
    pub reduces: bool,
}

impl Shape {
    /// The whole image of `source` pixels stretched to `resized`, one unit.
    #[must_use]
    pub const fn stretched(role: Role, source: Size, resized: Size, filter: Filter) -> Self {
        Self {
            role,
            from: From::Image,
            source: Rect { top: 0, left: 0, size: source },
            resized,
            filter,
            canvas: resized,
            offset: (0, 0),
            background: [0; 3],
            unit: resized,
            step: resized,
            reduces: false,
        }
    }

    /// The same in units of `unit`, side by side.
    #[must_use]
    pub const fn cut(self, unit: Size) -> Self {
        Self { unit, step: unit, ..self }
    }

    /// The same laid on a canvas.
    #[must_use]
    pub fn placed(self, placement: Placement, canvas: Size, background: [u8; 3]) -> Self {
        let offset = (placement.offset.0 as isize, placement.offset.1 as isize);
        Self {
            resized: placement.resized,
            canvas,
            offset,
            background,
            unit: canvas,
            step: canvas,
            ..self
        }
    }

    /// The same at the top left of a canvas, black beside it, in units of `unit`.
    #[must_use]
    pub const fn padded(self, canvas: Size, unit: Size) -> Self {
        Self { canvas, unit, step: unit, ..self }
    }

    /// The same made from the canvas of an earlier shape.
    #[must_use]
    pub const fn from_shape(self, number: usize) -> Self {
        Self { from: From::View(number), ..self }
    }

    /// Its units.
    #[must_use]
    pub fn grid(&self) -> Grid {
        let along = |canvas: usize, unit: usize, step: usize| {
            if canvas < unit || step == 0 { 0 } else { (canvas - unit) / step + 1 }
        };
        Grid {
            rows: along(self.canvas.0, self.unit.0, self.step.0),
            columns: along(self.canvas.1, self.unit.1, self.step.1),
        }
    }
}

/// Shapes that need no allocation.
const FEW: usize = 3;

/// Most shapes of an image: each is a resize of its own, and what is done for one looks at all others.
pub(super) const MOST_SHAPES: usize = 8192;

/// All shapes of an image, in the order of their execution and of their rows in an array.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The shapes.
    pub shapes: SmallVec<[Shape; FEW]>,
    /// Which of them is the main one.
    pub main: usize,
    /// The number of the candidate that was chosen, where the strategy has a list.
    pub choice: usize,
    /// Rows and columns of the parts that the image is shown in beside the whole; none where it has no parts.
    pub parts: Grid,
}

impl Layout {
    /// Of these few shapes, the last of them the main one.
    #[must_use]
    pub fn of(shapes: impl IntoIterator<Item = Shape>) -> Self {
        let shapes: SmallVec<[Shape; FEW]> = shapes.into_iter().collect();
        Self { main: shapes.len().saturating_sub(1), shapes, choice: 0, parts: Grid::NONE }
    }

    /// Adds a shape behind the others.
    ///
    /// # Errors
    /// `Option` for more than `MOST_SHAPES`, `OutOfMemory`.
    pub fn push(&mut self, shape: Shape) -> Result<()> {
        if self.shapes.len() == MOST_SHAPES {
            let rule = "one that is cut into at most 8192 parts";
            let given = "more".into();
            return Err(Error::Option { name: "image", rule, given });
        }
        push_few(&mut self.shapes, shape)
    }

    /// The main shape.
    #[must_use]
    pub fn main(&self) -> &Shape {
        &self.shapes[self.main]
    }
}

/// Cells along one axis of a canvas that a model takes, and how many tokens it makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first cell.
    pub first: usize,
    /// How many cells.
    pub seen: usize,
    /// How many tokens they become, all as wide.
    pub tokens: usize,
}

impl Span {
    /// That many cells from the first on, a token each.
    #[must_use]
    pub const fn whole(count: usize) -> Self {
        Self { first: 0, seen: count, tokens: count }
    }
}

/// The cells of the main shape that a model takes, where it leaves some out or merges them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// Cells of one tile.
    pub cells: Cells,
    /// Tiles.
    pub tiles: Grid,
    /// Rows that are taken.
    pub rows: Span,
    /// Columns that are taken.
    pub columns: Span,
}

/// How the language model sees one unit or canvas: square cells, a token each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cells {
    /// Tokens of one unit.
    pub tokens: usize,
    /// Side of a cell in pixels.
    pub side: usize,
    /// Cells of a unit, where they are a grid of `tokens`.
    pub grid: Option<Grid>,
    /// The part of a unit that the encoder's patches cover.
    pub seen: Size,
}

impl Cells {
    /// The same patches shared by so many tokens: in a grid, where that many squares of one side fill them.
    #[must_use]
    pub fn shared(self, tokens: usize) -> Self {
        let Some(grid) = self.grid else { return Self { tokens, ..self } };
        let (height, width) = (grid.rows * self.side, grid.columns * self.side);
        let fills = |side: &usize| {
            height.is_multiple_of(*side)
                && width.is_multiple_of(*side)
                && (height / side) * (width / side) == tokens
        };
        match (self.side.max(1)..=height.min(width)).find(fills) {
            Some(side) => {
                let grid = Grid { rows: height / side, columns: width / side };
                Self { tokens, side, grid: Some(grid), seen: (height, width) }
            }
            None => Self { tokens, grid: None, ..self },
        }
    }

    /// Cells of `side` pixels that fill `unit`.
    #[must_use]
    pub const fn filling(unit: Size, side: usize) -> Self {
        let grid = Grid { rows: unit.0 / side, columns: unit.1 / side };
        Self { tokens: grid.count(), side, grid: Some(grid), seen: unit }
    }
}

/// Which patches a token pools: a window of them, row by row of windows, centred over those there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Rows and columns of a window.
    pub window: Size,
    /// Patches at the start of a crop that belong to the crop before it.
    pub lead: usize,
}

impl Pooling {
    /// Windows over so many rows and columns of patches.
    #[must_use]
    pub const fn grid(&self, patches: Size) -> Grid {
        Grid { rows: patches.0.div_ceil(self.window.0), columns: patches.1.div_ceil(self.window.1) }
    }

    /// Rows and columns of the first window that lie before the first patch: half of those that are missing, rounded
    /// down.
    #[must_use]
    pub const fn before(&self, patches: Size) -> Size {
        let grid = self.grid(patches);
        (
            (grid.rows * self.window.0 - patches.0) / 2,
            (grid.columns * self.window.1 - patches.1) / 2,
        )
    }
}
