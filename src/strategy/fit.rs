//! Pad into the canvas of tiles that enlarges the image least, as Llama 3.2 Vision and Llama 4.

use super::grid::shuffled;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size, collected};
use crate::options::{Count, Flag, Positive, options};
use crate::plan::Role;
use crate::sizing::{self, Arrangements, Grid, Placement};
use crate::spec::Common;

options! {
    /// Takes the canvas of at most `max_num` tiles that enlarges the image least, else the one that shrinks it least, and
    /// lays the image into it, top left on black.
    pub struct FitCanvas {
        /// Side of a tile in pixels.
        image_size: Count = 336,
        /// Most tiles, the whole image not counted.
        max_num: Count = 16,
        /// Take the canvas that enlarges the image most, and fill it.
        resize_to_max_canvas: Flag = false,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
    }
    fixed {
        /// Whether scales are compared in float32, canvases tried from many tiles to few, and the whole image follows
        /// its tiles, as Llama 4 has it.
        llama4: bool = true,
    }
}

/// Most tiles that are accepted: canvases are looked at one by one for every image.
const MOST: usize = 4096;

impl Measure for FitCanvas {
    type Ready = Vec<Grid>;

    fn prepare(&self, _common: &Common) -> Result<Vec<Grid>> {
        if self.max_num > MOST {
            let given = self.max_num.to_string();
            return Err(Error::Option { name: "max_num", rule: "in 1..=4096", given });
        }
        if self.llama4 {
            let turned = |grid: Grid| Grid { rows: grid.columns, columns: grid.rows };
            return collected(Arrangements::new(self.max_num)?.grids().map(turned));
        }
        let rows = 1..=self.max_num;
        let grid = |rows| (1..=self.max_num / rows).map(move |columns| Grid { rows, columns });
        collected(rows.flat_map(grid))
    }

    fn measure(&self, ready: &Vec<Grid>, size: Size, context: &Context<'_>) -> Result<Layout> {
        if !context.common.do_resize {
            let rule = "True: every image is resized to a canvas of tiles";
            return Err(Error::Option { name: "do_resize", rule, given: "False".into() });
        }
        let side = self.image_size;
        let tile = (side, side);
        let choice =
            sizing::least_enlarged(size, side, ready, self.llama4, self.resize_to_max_canvas);
        let grid = ready[choice];
        let canvas = (grid.rows * side, grid.columns * side);
        let limit = if self.resize_to_max_canvas {
            canvas
        } else {
            (size.0.max(side).min(canvas.0), size.1.max(side).min(canvas.1))
        };
        let resized = sizing::contain_down(size, limit);
        let filter = context.common.resample;
        let tiles = Shape::stretched(Role::Tiles, size, resized, filter)
            .placed(Placement { resized, offset: (0, 0) }, canvas, [0; 3])
            .cut(tile);
        let whole = (self.llama4 && grid.count() > 1)
            .then(|| Shape::stretched(Role::Thumbnail, size, tile, filter));
        Ok(Layout { main: 0, choice, ..Layout::of([tiles].into_iter().chain(whole)) })
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        shuffled(shape.unit, self.patch_size, self.downsample_ratio)
    }

    fn smallest(&self) -> Size {
        (self.image_size, self.image_size)
    }
}
