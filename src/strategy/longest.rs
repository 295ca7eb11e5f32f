//! Scale the longer side, then up to whole tiles, as Idefics 3; or clamp both sides, as Idefics 2.

use super::grid::shuffled;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Flag, Maybe, Positive, options};
use crate::plan::{Rect, Role};
use crate::sizing;
use crate::spec::Common;

options! {
    /// Scales the longer side to `longest_edge`, stretches the result up to whole tiles, cuts those, and shows it once
    /// more at tile size, as Idefics3's and SmolVLM's processors: three resizes, each from the one before.
    pub struct LongestEdge {
        /// The longer side in pixels.
        longest_edge: Maybe<Count> = Some(1456),
        /// Height in pixels, where there is no `longest_edge`.
        height: Maybe<Count> = None,
        /// Width in pixels, likewise.
        width: Maybe<Count> = None,
        /// Side of a tile in pixels.
        tile_size: Count = 364,
        /// Off: the image becomes one tile.
        do_image_splitting: Flag = true,
        /// Fill samples up to as many tiles as the largest has; off: all must have as many.
        do_pad: Flag = true,
        /// Return rows and columns of tiles of each image as well.
        return_row_col_info: Flag = false,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
    }
}

options! {
    /// Shrinks the longer side to `longest_edge`, and then lengthens each side to `shortest_edge`, as Idefics2's
    /// processor; with `do_image_splitting` quarters of the image come before it.
    pub struct Clamped {
        /// Most pixels of a side.
        longest_edge: Maybe<Count> = Some(980),
        /// Fewest pixels of a side.
        shortest_edge: Maybe<Count> = Some(378),
        /// Height in pixels, where there are no edges.
        height: Maybe<Count> = None,
        /// Width in pixels, likewise.
        width: Maybe<Count> = None,
        /// Show the four quarters of the image as well.
        do_image_splitting: Flag = false,
        /// Fill samples up to as many images as the largest has, of the largest size; off: all must be alike.
        do_pad: Flag = true,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
    }
}

fn no_size(rule: &'static str) -> Error {
    Error::Option { name: "size", rule, given: "neither".into() }
}

impl LongestEdge {
    fn resized(&self, size: Size) -> Result<Size> {
        match (self.longest_edge, self.height, self.width) {
            (Some(edge), _, _) => Ok(sizing::longest_even(size, edge)),
            (None, Some(height), Some(width)) => Ok((height, width)),
            _ => Err(no_size("longest_edge, or height and width")),
        }
    }
}

impl Measure for LongestEdge {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        self.resized((1, 1)).map(|_| ())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let filter = context.common.resample;
        let tile = (self.tile_size, self.tile_size);
        let first = if context.common.do_resize { self.resized(size)? } else { size };
        let step = Shape::stretched(Role::Step, size, first, filter);
        let canvas =
            if self.do_image_splitting { sizing::whole_tiles(first, tile.0) } else { tile };
        if canvas == tile {
            return Ok(Layout::of([
                step,
                Shape::stretched(Role::Whole, first, tile, filter).from_shape(0),
            ]));
        }
        let tiles = Shape::stretched(Role::Tiles, first, canvas, filter).cut(tile).from_shape(0);
        let whole = Shape::stretched(Role::Thumbnail, canvas, tile, filter).from_shape(1);
        Ok(Layout { main: 1, parts: tiles.grid(), ..Layout::of([step, tiles, whole]) })
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        shuffled(shape.unit, self.patch_size, self.downsample_ratio)
    }

    fn smallest(&self) -> Size {
        (self.tile_size, self.tile_size)
    }
}

impl Clamped {
    fn resized(&self, size: Size) -> Result<Size> {
        match (self.longest_edge, self.shortest_edge, self.height, self.width) {
            (Some(longest), Some(shortest), _, _) => Ok(sizing::clamped(size, longest, shortest)),
            (_, _, Some(height), Some(width)) => Ok((height, width)),
            _ => Err(no_size("longest_edge and shortest_edge, or height and width")),
        }
    }
}

impl Measure for Clamped {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        self.resized((1, 1)).map(|_| ())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let shape = |role, source: Rect| -> Result<Shape> {
            super::not_empty("crop", source.size)?;
            let resized =
                if context.common.do_resize { self.resized(source.size)? } else { source.size };
            let shape = Shape::stretched(role, source.size, resized, context.common.resample);
            Ok(Shape { source, ..shape })
        };
        let mut layout = Layout::of([]);
        if self.do_image_splitting {
            let (tall, wide) = (size.0 / 2, size.1 / 2);
            for (top, height) in [(0, tall), (tall, size.0 - tall)] {
                for (left, width) in [(0, wide), (wide, size.1 - wide)] {
                    let source = Rect { top, left, size: (height, width) };
                    layout.push(shape(Role::Crop, source)?)?;
                }
            }
        }
        layout.main = layout.shapes.len();
        layout.push(shape(Role::Whole, Rect { top: 0, left: 0, size })?)?;
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// The model's resampler makes 64 tokens of every view, wherever they come from.
    fn cells(&self, shape: &Shape) -> Cells {
        Cells { tokens: 64, side: self.patch_size, grid: None, seen: shape.unit }
    }
}
