//! Stretch to two tile grids, one after the other.

use super::grid::shuffled;
use super::{Cells, Context, Knob, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, Flag, Positive, SideOrSize, options};
use crate::plan::Role;
use crate::sizing::{Grid, RatioOrder, Ratios};
use crate::spec::Common;

options! {
    /// Stretches the image to the tile grid of the closest aspect ratio, and before that to one of at least three tiles
    /// whose sides do not divide those of the other, as H2OVL's multi-scale cropping.
    pub struct TwoGrids {
        /// Height and width of a tile in pixels.
        image_size: SideOrSize = (448, 448),
        /// Fewest tiles of a grid, the thumbnail not counted; not used where there are two grids.
        min_num: Count = 1,
        /// Most tiles of a grid, the thumbnail not counted.
        max_num: Count = 6,
        /// Append the whole image at tile size when there is more than one tile; always so where there are two grids.
        use_thumbnail: Flag = true,
        /// Two grids, for a sample of one image; off, or for a sample of several: one.
        use_msac: Flag = true,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
    }
}

/// The fewest tiles of the finer grid.
const FINER: usize = 3;

/// Candidates of the grids.
pub struct Candidates {
    /// From `min_num` tiles on.
    alone: Ratios,
    /// From one tile on.
    usual: Ratios,
    /// None where `max_num` does not allow one.
    finer: Option<Ratios>,
}

impl Measure for TwoGrids {
    type Ready = Candidates;

    fn prepare(&self, _common: &Common) -> Result<Candidates> {
        let ratios = |least| Ratios::new(RatioOrder::Set, least, self.max_num);
        let finer = (self.max_num >= FINER).then(|| ratios(FINER));
        Ok(Candidates {
            alone: ratios(self.min_num)?,
            usual: ratios(1)?,
            finer: finer.transpose()?,
        })
    }

    fn measure(&self, ready: &Candidates, size: Size, context: &Context<'_>) -> Result<Layout> {
        let tile = self.image_size;
        let two = self.use_msac && context.images <= 1;
        let one = Grid { rows: 1, columns: 1 };
        let grids = if two {
            let usual = ready.usual.closest(size, tile)?;
            let finer = ready.finer.as_ref().map(|ratios| ratios.closest_beside(usual, size, tile));
            [finer.transpose()?.unwrap_or(one), usual]
        } else {
            [one, ready.alone.closest(size, tile)?]
        };
        let filter = context.common.resample;
        let stretched = |role, grid: Grid| {
            let canvas = (tile.0 * grid.rows, tile.1 * grid.columns);
            Shape::stretched(role, size, canvas, filter).cut(tile)
        };
        let several = grids.into_iter().filter(|grid| grid.count() > 1);
        let mut layout = Layout::of(several.map(|grid| stretched(Role::Tiles, grid)));
        if layout.shapes.is_empty() {
            layout.push(stretched(Role::Whole, one))?;
        } else if two || self.use_thumbnail {
            layout.push(stretched(Role::Thumbnail, one))?;
        }
        layout.main = 0;
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        shuffled(shape.unit, self.patch_size, self.downsample_ratio)
    }

    /// With two grids a larger budget may mean fewer tiles, since the finer grid depends on the other.
    fn knob(&self) -> Result<Option<Knob>> {
        let range = (self.min_num, self.max_num);
        Ok((!self.use_msac).then_some(Knob::Count { name: "max_num", range }))
    }

    fn smallest(&self) -> Size {
        self.image_size
    }
}
