//! A padded square of the whole image, and tiles of a large one beside it.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Colour, Count, Flag, SideOrSize, options};
use crate::plan::Role;
use crate::sizing::{self, Grid, Placement, RatioOrder, Ratios};
use crate::spec::Common;

options! {
    /// Scales the longer side to `image_size` and pads to a square; an image with a side above `tile_size` also has the
    /// tile grid of the closest aspect ratio, as DeepSeek-OCR-2's and UnlimitedOCR's processors.
    pub struct LocalGlobal {
        /// Height and width of the square in pixels.
        image_size: SideOrSize = (1024, 1024),
        /// Side of a tile in pixels.
        tile_size: Count = 768,
        /// Fewest tiles of an image that has any.
        min_num: Count = 2,
        /// Most tiles.
        max_num: Count = 6,
        /// Off: no image has tiles.
        crop_to_patches: Flag = true,
        /// What the square is padded with.
        background_color: Colour = [127; 3],
        /// Without tiles, a square of at most so many pixels a side is stretched, not padded.
        maximum_pad_value: Count = 640,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 16,
        /// Patches a side that one token merges.
        downsample_ratio: Count = 4,
    }
    fixed {
        /// Whether small squares are stretched; else the square is as large as a tile where no image has tiles.
        stretches: bool = false,
        /// Whether sizes and ties are those of the models' own code: the square is `ImageOps.pad`'s, and grids of as many
        /// tiles stand in the order of a CPython set.
        original: bool = false,
    }
}

impl LocalGlobal {
    fn global(&self, size: Size, context: &Context<'_>) -> Result<Shape> {
        let filter = context.common.resample;
        let side = match (self.stretches, self.crop_to_patches) {
            (true, _) => self.image_size.0.max(self.image_size.1),
            (false, true) => self.image_size.0,
            (false, false) => self.tile_size,
        };
        if self.stretches && !self.crop_to_patches && side <= self.maximum_pad_value {
            return Ok(Shape::stretched(Role::Global, size, (side, side), filter));
        }
        if self.original {
            let canvas = (side, side);
            let placement = sizing::contain(size, canvas);
            return Ok(Shape::stretched(Role::Global, size, placement.resized, filter).placed(
                placement,
                canvas,
                self.background_color,
            ));
        }
        let scale = side as f64 / size.0.max(size.1) as f64;
        let scaled = |side: usize| (side as f64 * scale).round_ties_even() as usize;
        let resized = (scaled(size.0), scaled(size.1));
        super::not_empty("resized image", resized)?;
        let canvas = resized.0.max(resized.1);
        let offset = ((canvas - resized.0) / 2, (canvas - resized.1) / 2);
        Ok(Shape::stretched(Role::Global, size, resized, filter).placed(
            Placement { resized, offset },
            (canvas, canvas),
            self.background_color,
        ))
    }
}

impl Measure for LocalGlobal {
    type Ready = Ratios;

    fn prepare(&self, _common: &Common) -> Result<Ratios> {
        let order = if self.original { RatioOrder::Set } else { RatioOrder::Columns };
        Ratios::new(order, self.min_num, self.max_num)
    }

    fn measure(&self, ready: &Ratios, size: Size, context: &Context<'_>) -> Result<Layout> {
        let mut layout = Layout::of([self.global(size, context)?]);
        if self.crop_to_patches && size.0.max(size.1) > self.tile_size {
            let tile = (self.tile_size, self.tile_size);
            let grid = ready.closest(size, tile)?;
            let canvas = (grid.rows * tile.0, grid.columns * tile.1);
            let tiles = Shape::stretched(Role::Tiles, size, canvas, context.common.resample);
            layout.push(tiles.cut(tile))?;
            layout.main = 1;
        }
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let side = self.patch_size * self.downsample_ratio;
        let grid = Grid { rows: shape.unit.0 / side, columns: shape.unit.1 / side };
        let seen = (grid.rows * side, grid.columns * side);
        Cells { tokens: grid.count(), side, grid: Some(grid), seen }
    }

    fn smallest(&self) -> Size {
        self.image_size
    }
}
