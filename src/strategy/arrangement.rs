//! Stretch to an arrangement of tiles that the image fits into, else to the closest aspect ratio.

use super::grid::shuffled;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::names::names;
use crate::options::{Choice, Count, Positive, options};
use crate::plan::Role;
use crate::sizing::{Arrangements, Grid};
use crate::spec::Common;

names! {
    /// What the model sees of an image.
    pub enum VisionInput: "vision_input_type" {
        /// The whole image at tile size, then its tiles.
        ThumbTile = "thumb+tile",
        /// The whole image at tile size.
        Vanilla = "vanilla",
    }
}

options! {
    /// Takes, of all arrangements of at most `max_num_tiles` tiles that hold the image at its size, the one that it
    /// fills with the longest shorter side, else one of the closest aspect ratio, as PerceptionLM's processor.
    pub struct Arrangement {
        /// What the model sees of an image.
        vision_input_type: Choice<VisionInput> = VisionInput::ThumbTile,
        /// Side of a tile in pixels.
        tile_size: Count = 448,
        /// Most tiles, the whole image not counted.
        max_num_tiles: Count = 36,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
    }
}

/// Most tiles that are accepted: arrangements are looked at one by one for every image.
const MOST: usize = 4096;

impl Measure for Arrangement {
    type Ready = Arrangements;

    fn prepare(&self, _common: &Common) -> Result<Arrangements> {
        if self.max_num_tiles > MOST {
            let given = self.max_num_tiles.to_string();
            return Err(Error::Option { name: "max_num_tiles", rule: "in 1..=4096", given });
        }
        Arrangements::new(self.max_num_tiles)
    }

    fn measure(&self, ready: &Arrangements, size: Size, context: &Context<'_>) -> Result<Layout> {
        let filter = context.common.resample;
        let tile = (self.tile_size, self.tile_size);
        if !context.common.do_resize {
            return Ok(Layout::of([Shape::stretched(Role::Whole, size, size, filter)]));
        }
        if self.vision_input_type == VisionInput::Vanilla {
            return Ok(Layout::of([Shape::stretched(Role::Whole, size, tile, filter)]));
        }
        let grid = if self.max_num_tiles > 1 {
            ready.best(size, self.tile_size)
        } else {
            Grid { rows: 1, columns: 1 }
        };
        let canvas = (grid.rows * tile.0, grid.columns * tile.1);
        let thumbnail = Shape::stretched(Role::Thumbnail, size, tile, filter);
        Ok(Layout::of([thumbnail, Shape::stretched(Role::Tiles, size, canvas, filter).cut(tile)]))
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
