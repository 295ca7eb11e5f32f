//! Pad into a grid of tiles, as Phi-4-multimodal.

use super::{Cells, Context, Layout, Measure, Reached, Shape, Span};
use crate::error::{Error, Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::resample::Filter;
use crate::sizing::{Grid, Placement, RatioOrder, Ratios};
use crate::spec::Common;

options! {
    /// Scales the image into the grid of tiles that it fills, or of the closest aspect ratio where that has more than
    /// `dynamic_hd` tiles, pads it with white below and on the right, and shows the whole canvas at tile size before
    /// its tiles, as `Phi4MultimodalImageProcessor`.
    pub struct PaddedGrid {
        /// Side of a tile in pixels.
        image_size: Count = 448,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Most tiles, the whole canvas not counted.
        dynamic_hd: Count = 36,
    }
}

/// Fewest pixels of a side that an image is scaled to.
const FEWEST: usize = 10;

impl PaddedGrid {
    fn grid(&self, ready: &Ratios, size: Size) -> Result<Grid> {
        let tile = self.image_size;
        let grid = Grid { rows: size.0.div_ceil(tile), columns: size.1.div_ceil(tile) };
        if grid.count() <= self.dynamic_hd { Ok(grid) } else { ready.closest(size, (tile, tile)) }
    }

    /// Patches a side that hold something of the image, of each second one in every tile.
    fn seen(&self, side: usize, canvas: usize) -> usize {
        let patches = self.image_size / self.patch_size;
        let tiles = canvas / self.image_size;
        let kept = (tiles * patches).saturating_sub((canvas - side) / self.patch_size);
        match (kept.checked_div(patches), kept.checked_rem(patches)) {
            (Some(whole), Some(rest)) => whole * patches.div_ceil(2) + rest.div_ceil(2),
            _ => 0,
        }
    }
}

impl Measure for PaddedGrid {
    type Ready = Ratios;

    fn prepare(&self, _common: &Common) -> Result<Ratios> {
        Ratios::new(RatioOrder::Set, 1, self.dynamic_hd)
    }

    fn measure(&self, ready: &Ratios, size: Size, context: &Context<'_>) -> Result<Layout> {
        let tile = (self.image_size, self.image_size);
        let grid = self.grid(ready, size)?;
        let canvas = (tile.0 * grid.rows, tile.1 * grid.columns);
        let scales = (canvas.0 as f64 / size.0 as f64, canvas.1 as f64 / size.1 as f64);
        let resized = if scales.1 < scales.0 {
            ((size.0 as f64 * scales.1) as usize, canvas.1)
        } else {
            (canvas.0, (size.1 as f64 * scales.0) as usize)
        };
        if resized.0.min(resized.1) < FEWEST {
            let (name, rule) =
                ("image", "of an aspect ratio that leaves sides of at least 10 pixels");
            return Err(Error::Option { name, rule, given: format!("{resized:?} of {size:?}") });
        }
        let placement = Placement { resized, offset: (0, 0) };
        let step = Shape::stretched(Role::Step, size, resized, Filter::Bilinear)
            .placed(placement, canvas, [255; 3])
            .cut(tile);
        let filter = context.common.resample;
        let whole = Shape::stretched(Role::Global, canvas, tile, filter).from_shape(0);
        let tiles = Shape::stretched(Role::Tiles, canvas, canvas, filter).cut(tile).from_shape(0);
        Ok(Layout { main: 0, ..Layout::of([step, whole, tiles]) })
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// Each second patch of a side is a token.
    fn cells(&self, shape: &Shape) -> Cells {
        let along = |side: usize| (side / self.patch_size).div_ceil(2);
        let grid = Grid { rows: along(shape.unit.0), columns: along(shape.unit.1) };
        let seen = |side: usize| side / self.patch_size * self.patch_size;
        Cells {
            tokens: grid.count(),
            side: 2 * self.patch_size,
            grid: Some(grid),
            seen: (seen(shape.unit.0), seen(shape.unit.1)),
        }
    }

    /// The tokens of the tiles that hold something of the image.
    fn reached(&self, layout: &Layout) -> Option<Reached> {
        let main = layout.main();
        Some(Reached {
            cells: self.cells(main),
            tiles: main.grid(),
            rows: Span::whole(self.seen(main.resized.0, main.canvas.0)),
            columns: Span::whole(self.seen(main.resized.1, main.canvas.1)),
        })
    }

    fn smallest(&self) -> Size {
        (self.image_size, self.image_size)
    }
}
