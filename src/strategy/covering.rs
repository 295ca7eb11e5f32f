//! Stretch to the grid of tiles that covers the image.

use super::grid::shuffled;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, Flag, Positive, SideOrSize, options};
use crate::plan::Role;
use crate::sizing::{self, RatioOrder, Ratios, aspect_ratios};
use crate::spec::Common;

options! {
    /// Stretches the image to a grid of at most `max_num` tiles and shows it at tile size beside them, as
    /// Cohere2-Vision's and Ovis2's processors.
    pub struct CoveringGrid {
        /// Height and width of a tile in pixels.
        image_size: SideOrSize = (448, 448),
        /// Fewest tiles, where the grid of the closest aspect ratio is taken.
        min_num: Count = 1,
        /// Most tiles, the whole image not counted.
        max_num: Count = 12,
        /// Off: every image becomes one tile.
        crop_to_patches: Flag = true,
        /// Off: the grid of the closest aspect ratio is taken.
        use_covering_area_grid: Flag = true,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 16,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
    }
    fixed {
        /// Which grid covers an image.
        rule: CoveringRule = CoveringRule::Scale,
        /// Whether the whole image comes before its tiles.
        whole_first: bool = false,
    }
}

/// Which grid covers an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoveringRule {
    /// The one that enlarges it least, else the one that shrinks it least.
    Scale,
    /// The smallest one whose tiles keep nine tenths of its area when each part is shrunk into a tile, else the one that
    /// keeps most.
    Area,
}

/// Grids, as (columns, rows), and those of which the closest is taken.
pub struct Grids {
    all: Vec<(usize, usize)>,
    closest: Option<Ratios>,
}

impl Measure for CoveringGrid {
    type Ready = Grids;

    fn prepare(&self, _common: &Common) -> Result<Grids> {
        let all = aspect_ratios(RatioOrder::Columns, 1, self.max_num)?;
        let closest = (!self.use_covering_area_grid)
            .then(|| Ratios::new(RatioOrder::Columns, self.min_num, self.max_num));
        Ok(Grids { all, closest: closest.transpose()? })
    }

    fn measure(&self, ready: &Grids, size: Size, context: &Context<'_>) -> Result<Layout> {
        let tile = self.image_size;
        let filter = context.common.resample;
        // Upstream's Ovis2 cuts only above one tile, which shows where nothing is resized.
        let crops = self.crop_to_patches && (self.rule == CoveringRule::Scale || self.max_num > 1);
        if !crops {
            let resized = if context.common.do_resize { tile } else { size };
            return Ok(Layout::of([Shape::stretched(Role::Whole, size, resized, filter)]));
        }
        let grid = match (&ready.closest, self.rule) {
            (Some(ratios), _) => ratios.closest(size, tile)?,
            (None, CoveringRule::Scale) => sizing::covering_scale(size, tile.0, &ready.all),
            (None, CoveringRule::Area) => sizing::covering_area(size, tile.0, &ready.all),
        };
        let canvas = (tile.0 * grid.rows, tile.1 * grid.columns);
        let several = grid.count() > 1;
        let role = if several { Role::Tiles } else { Role::Whole };
        let tiles = Shape::stretched(role, size, canvas, filter).cut(tile);
        let whole = several.then(|| Shape::stretched(Role::Thumbnail, size, tile, filter));
        let (before, after) = if self.whole_first { (whole, None) } else { (None, whole) };
        let mut layout = Layout::of(before.into_iter().chain([tiles]).chain(after));
        layout.main = usize::from(before.is_some());
        Ok(layout)
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
