//! Pad into the best of a list of canvases.

use super::{Cells, Context, Knob, Layout, Measure, Shape};
use crate::error::{Result, Size, collected, push};
use crate::options::{Count, Pairs, Value, options, wrong};
use crate::order;
use crate::plan::Role;
use crate::sizing::{self, Canvases, Grid};
use crate::spec::{Common, mean_colour};

options! {
    /// Takes the canvas that keeps the most pixels, as DeepSeek-VL2's `select_best_resolution`, and pads the image into
    /// it; a padded global view comes first.
    pub struct BestCanvas {
        /// Canvases as (width, height), as the family's own file has them; the first one's width is the tile.
        candidate_resolutions: Pairs = Vec::new(),
        /// Above this many images in a sample nothing is tiled.
        max_images_tiled: Count = 2,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        downsample_ratio: Count = 2,
    }
}

impl BestCanvas {
    /// Side of a tile in pixels.
    #[must_use]
    fn tile(&self) -> usize {
        self.candidate_resolutions.first().map_or(0, |canvas| canvas.0)
    }

    const fn tiles(tile: usize, &(width, height): &(usize, usize)) -> usize {
        (width / tile) * (height / tile)
    }
}

impl Measure for BestCanvas {
    type Ready = Canvases;

    fn prepare(&self, _common: &Common) -> Result<Canvases> {
        let tile = self.tile();
        let fits = |side: usize| side > 0 && side < 1 << 31 && side.is_multiple_of(tile);
        let good = tile > 0 && self.candidate_resolutions.iter().all(|&(w, h)| fits(w) && fits(h));
        if !good {
            let given = Value::Pairs(self.candidate_resolutions.clone());
            let rule = "a list of (width, height), all multiples of the first width";
            return Err(wrong("candidate_resolutions", rule, &given));
        }
        Canvases::new(self.candidate_resolutions.iter().map(|&(width, height)| (height, width)))
    }

    fn measure(&self, ready: &Canvases, size: Size, context: &Context<'_>) -> Result<Layout> {
        let side = self.tile();
        let tile = (side, side);
        let canvas = if context.images <= self.max_images_tiled { ready.best(size)? } else { tile };
        let background = mean_colour(context.common.image_mean);
        let padded = |role, canvas: Size| {
            Shape::stretched(role, size, canvas, context.common.resample)
                .placed(sizing::contain(size, canvas), canvas, background)
                .cut(tile)
        };
        Ok(Layout::of([padded(Role::Global, tile), padded(Role::Tiles, canvas)]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let encoder = shape.unit.0 / self.patch_size;
        let side = encoder.div_ceil(self.downsample_ratio);
        let grid = Grid { rows: side, columns: side };
        let seen = encoder * self.patch_size;
        Cells {
            tokens: grid.count(),
            side: self.patch_size * self.downsample_ratio,
            grid: Some(grid),
            seen: (seen, seen),
        }
    }

    /// Leaves out the canvases of most tiles first.
    fn knob(&self) -> Result<Option<Knob>> {
        let tile = self.tile();
        let areas = self.candidate_resolutions.iter().map(|canvas| Self::tiles(tile, canvas));
        let mut areas: Vec<usize> = collected(areas)?;
        order::sort(&mut areas);
        areas.dedup();
        areas.pop();
        let fewer = |most: usize| {
            let all = self.candidate_resolutions.iter().copied();
            collected(all.filter(|canvas| Self::tiles(tile, canvas) <= most))
        };
        let mut values = Vec::new();
        for most in areas.into_iter().rev() {
            let canvases = fewer(most)?;
            // The first canvas says what a tile is.
            if canvases.first().map(|canvas| canvas.0) != Some(tile) {
                break;
            }
            push(&mut values, Value::Pairs(canvases))?;
        }
        Ok(Some(Knob::Settings { name: "candidate_resolutions", values }))
    }
}
