//! Take the grid of tokens of the closest aspect ratio, under a number of them.

use super::budget::whole_patches;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::sizing::set_order;
use crate::spec::Common;

options! {
    /// Takes, of the grids around the image's own, or around the largest of its shape, the one whose ratio is closest to
    /// it, as `MuseGlimmerImageProcessor`.
    pub struct TokenCap {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Frames of a patch.
        temporal_patch_size: Count = 2,
        /// Most tokens.
        max_image_tokens: Count = 4096,
    }
}

impl TokenCap {
    const fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn resized(&self, size: Size) -> Result<Size> {
        let factor = self.factor() as f64;
        let (mut rows, mut columns) = (size.0 as f64 / factor, size.1 as f64 / factor);
        let (ratio, most) = (columns / rows, self.max_image_tokens);
        if rows * columns > most as f64 {
            rows = (most as f64 / ratio).sqrt();
            columns = rows * ratio;
        }
        let around = |side: f64| [side.floor() as usize, side.ceil() as usize];
        let grids = around(rows).into_iter().flat_map(|r| around(columns).map(|c| (r, c)));
        let wanted = size.0 as f64 / size.1 as f64;
        let mut best: Option<(f64, Size)> = None;
        // Upstream puts the grids into a set: of two that are as close, its order decides.
        for grid in set_order(grids)? {
            if grid.0 == 0 || grid.1 == 0 || grid.0 * grid.1 > most {
                continue;
            }
            let far = (grid.0 as f64 / grid.1 as f64 - wanted).abs();
            if best.is_none_or(|(least, _)| far < least) {
                best = Some((far, grid));
            }
        }
        let nearest = |side: f64| (side.round_ties_even() as usize).max(1);
        let grid = best.map_or((nearest(rows), nearest(columns)), |(_, grid)| grid);
        Ok((grid.0 * self.factor(), grid.1 * self.factor()))
    }
}

impl Measure for TokenCap {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let resized = if context.common.do_resize {
            self.resized(size)?
        } else {
            whole_patches(size, self.patch_size)?
        };
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape.cut((self.patch_size, self.patch_size))]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn merge_size(&self) -> usize {
        self.merge_size
    }

    fn temporal_patch_size(&self) -> usize {
        self.temporal_patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.factor())
    }

    fn smallest(&self) -> Size {
        (self.patch_size, self.patch_size)
    }
}
