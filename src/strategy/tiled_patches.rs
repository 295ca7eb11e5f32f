//! Cut large images into tiles, beside a thumbnail, and all into patches.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, Flag, Positive, options};
use crate::plan::{Rect, Role};
use crate::sizing::{Grid, RatioOrder, Ratios};
use crate::spec::Common;

options! {
    /// Scales into a range of tokens; an image far above it also becomes the tiles of the closest grid, as
    /// `Lfm2VlImageProcessor`.
    pub struct TiledPatches {
        /// Side of a patch in pixels.
        encoder_patch_size: Count = 16,
        /// Patches a side that one token merges.
        downsample_factor: Count = 2,
        /// Cut large images into tiles.
        do_image_splitting: Flag = true,
        /// Fewest tiles.
        min_tiles: Count = 2,
        /// Most tiles.
        max_tiles: Count = 10,
        /// Append the whole image where there is more than one tile.
        use_thumbnail: Flag = true,
        /// Fewest tokens of the whole image.
        min_image_tokens: Count = 64,
        /// Most tokens of the whole image.
        max_image_tokens: Count = 256,
        /// Side of a tile in pixels.
        tile_size: Count = 512,
        /// How many times `max_image_tokens` an image has that is cut into tiles.
        max_pixels_tolerance: Positive = 2.0,
        /// Add rows of zeros up to the most patches that a view can have.
        do_pad: Flag = true,
        /// Return the grid of tiles and the size of the whole image.
        return_row_col_info: Flag = false,
    }
}

impl TiledPatches {
    const fn factor(&self) -> usize {
        self.encoder_patch_size * self.downsample_factor
    }

    /// Pixels of so many tokens.
    const fn pixels(&self, tokens: usize) -> f64 {
        (tokens * self.factor() * self.factor()) as f64
    }

    /// Rounded to whole tokens, half to even, at least `least`.
    fn rounded(&self, size: Size, least: usize) -> Size {
        let factor = self.factor();
        let side = |side: usize| {
            ((side as f64 / factor as f64).round_ties_even() as usize * factor).max(least)
        };
        (side(size.0), side(size.1))
    }

    fn resized(&self, size: Size) -> Size {
        let factor = self.factor() as f64;
        let rounded = self.rounded(size, self.factor());
        let pixels = rounded.0 as f64 * rounded.1 as f64;
        let area = size.0 as f64 * size.1 as f64;
        let (least, most) =
            (self.pixels(self.min_image_tokens), self.pixels(self.max_image_tokens));
        let sides = |of: &dyn Fn(f64) -> f64| {
            ((of(size.0 as f64) * factor) as usize, (of(size.1 as f64) * factor) as usize)
        };
        if pixels > most {
            let beta = (area / most).sqrt();
            return sides(&|side| (side / beta / factor).floor().max(1.0));
        }
        if pixels < least {
            let beta = (least / area).sqrt();
            return sides(&|side| (side * beta / factor).ceil());
        }
        rounded
    }

    fn is_large(&self, size: Size) -> bool {
        let rounded = self.rounded(size, self.encoder_patch_size);
        let most = self.pixels(self.max_image_tokens) * self.max_pixels_tolerance;
        rounded.0 as f64 * rounded.1 as f64 > most
    }
}

impl Measure for TiledPatches {
    type Ready = Option<Ratios>;

    fn prepare(&self, _common: &Common) -> Result<Option<Ratios>> {
        if !self.do_image_splitting {
            return Ok(None);
        }
        let ratios = Ratios::new(RatioOrder::Set, self.min_tiles, self.max_tiles)?;
        Ok((self.max_tiles > 1).then_some(ratios))
    }

    fn measure(&self, ready: &Option<Ratios>, size: Size, context: &Context<'_>) -> Result<Layout> {
        let (tile, filter) = ((self.tile_size, self.tile_size), context.common.resample);
        let unit = (self.encoder_patch_size, self.encoder_patch_size);
        let whole = |role| Shape::stretched(role, size, self.resized(size), filter).cut(unit);
        let ratios = match ready {
            Some(ratios) if self.is_large(size) => ratios,
            _ => return Ok(Layout::of([whole(Role::Whole)])),
        };
        let grid = ratios.closest(size, tile)?;
        let canvas = (tile.0 * grid.rows, tile.1 * grid.columns);
        let all = Shape::stretched(Role::Step, size, canvas, filter).cut(tile);
        let crop = |n: usize| {
            let (top, left) = ((n / grid.columns) * tile.0, (n % grid.columns) * tile.1);
            let crop = Shape::stretched(Role::Crop, tile, tile, filter).cut(unit).from_shape(0);
            Shape { source: Rect { top, left, size: tile }, ..crop }
        };
        // Upstream returns the thumbnail's size even where there is none.
        let shown = self.use_thumbnail && grid.count() > 1;
        let last = whole(if shown { Role::Thumbnail } else { Role::Step });
        let mut layout = Layout { parts: grid, ..Layout::of([all]) };
        for shape in (0..grid.count()).map(crop).chain([last]) {
            layout.push(shape)?;
        }
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.encoder_patch_size
    }

    fn merge_size(&self) -> usize {
        self.downsample_factor
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let factor = self.factor();
        let grid = Grid {
            rows: shape.canvas.0.div_ceil(factor),
            columns: shape.canvas.1.div_ceil(factor),
        };
        Cells { tokens: grid.count(), side: factor, grid: Some(grid), seen: shape.canvas }
    }

    fn most_rows(&self) -> usize {
        if !self.do_pad {
            return 0;
        }
        let whole = self.max_image_tokens * self.downsample_factor * self.downsample_factor;
        let side = self.tile_size / self.encoder_patch_size;
        whole.max(if self.do_image_splitting { side * side } else { 0 })
    }
}
