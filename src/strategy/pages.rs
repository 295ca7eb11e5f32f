//! Stretch to the tile grid of the closest aspect ratio, with another budget for pages of some shapes.

use super::grid::shuffled;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, CountOrZero, Flag, Number, Positive, SideOrSize, options};
use crate::plan::Role;
use crate::sizing::{Grid, RatioOrder, Ratios};
use crate::spec::Common;

options! {
    /// Takes the grid of the closest aspect ratio, of at most 16 tiles a side, as Granite Docling's processor. Pages of
    /// the aspect and scale that the `dense` options name have `dense_max_patches` tiles at most.
    pub struct PageGrid {
        /// Height and width of a tile in pixels.
        image_size: SideOrSize = (512, 512),
        /// Fewest tiles, the whole image not counted.
        min_num: Count = 1,
        /// Most tiles, likewise.
        max_num: Count = 32,
        /// Off: every image becomes one tile.
        crop_to_patches: Flag = true,
        /// Most tiles of dense pages; 0: none is dense.
        dense_max_patches: CountOrZero = 0,
        /// Dense pages are enlarged by less than this; 0: by any factor.
        dense_max_scale: Number = 0.0,
        /// Dense pages are wider than so many times their height; 0: of any shape.
        dense_min_aspect: Number = 0.0,
        /// Dense pages are at most so many times as wide as high; 0: of any shape.
        dense_max_aspect: Number = 0.0,
        /// Return a flag a sample as well, by which the model routes its tiles.
        fine_route: Flag = false,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 16,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.25,
    }
}

/// Most tiles a side.
const SIDE: usize = 16;

/// Grids of either budget.
pub struct Budgets {
    all: Ratios,
    dense: Option<Ratios>,
}

impl PageGrid {
    fn is_dense(&self, size: Size, ready: &Budgets) -> Result<bool> {
        let aspect = size.1 as f64 / size.0 as f64;
        let named = self.dense_max_scale > 0.0 || self.dense_min_aspect > 0.0;
        let wide = self.dense_min_aspect <= 0.0 || aspect > self.dense_min_aspect;
        let narrow = self.dense_max_aspect <= 0.0 || aspect <= self.dense_max_aspect;
        if !named || !wide || !narrow {
            return Ok(false);
        }
        if self.dense_max_scale <= 0.0 {
            return Ok(true);
        }
        let columns = ready.all.closest(size, self.image_size)?.columns;
        let scale = (columns * self.image_size.1) as f64 / size.1 as f64;
        Ok(scale < self.dense_max_scale)
    }
}

impl Measure for PageGrid {
    type Ready = Budgets;

    fn prepare(&self, _common: &Common) -> Result<Budgets> {
        let of = |most| -> Result<Ratios> {
            let ratios = Ratios::new(RatioOrder::Columns, self.min_num, most)?;
            ratios.of_sides_up_to(SIDE)
        };
        let dense = self.dense_max_patches;
        if dense > 0 && dense < self.min_num {
            let rule = "0, or at least min_num";
            return Err(Error::Option {
                name: "dense_max_patches",
                rule,
                given: dense.to_string(),
            });
        }
        let dense = (dense > 0).then(|| of(dense)).transpose()?;
        Ok(Budgets { all: of(self.max_num)?, dense })
    }

    fn measure(&self, ready: &Budgets, size: Size, context: &Context<'_>) -> Result<Layout> {
        let tile = self.image_size;
        let grid = if !self.crop_to_patches || self.max_num <= 1 {
            Grid { rows: 1, columns: 1 }
        } else {
            match &ready.dense {
                Some(dense) if self.is_dense(size, ready)? => dense.closest(size, tile)?,
                _ => ready.all.closest(size, tile)?,
            }
        };
        let filter = context.common.resample;
        let canvas = (tile.0 * grid.rows, tile.1 * grid.columns);
        let several = grid.count() > 1;
        let role = if several { Role::Tiles } else { Role::Whole };
        let tiles = Shape::stretched(role, size, canvas, filter).cut(tile);
        let whole = several.then(|| Shape::stretched(Role::Thumbnail, size, tile, filter));
        Ok(Layout { main: 0, ..Layout::of([tiles].into_iter().chain(whole)) })
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        shuffled(shape.unit, self.patch_size, self.downsample_ratio)
    }

    fn smallest(&self) -> Size {
        self.image_size
    }
}
