//! Scale up or down into a number of tokens, rounded down.

use super::budget::{whole_patches, whole_units};
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::sizing::Grid;
use crate::spec::Common;

options! {
    /// Scales the image to the area of `max_soft_tokens` tokens of `pooling_kernel_size` patches a side, and each side
    /// down to whole tokens, as `Gemma4ImageProcessor`.
    pub struct SoftTokens {
        /// Side of a patch in pixels.
        patch_size: Count = 16,
        /// Most tokens of an image: 70, 140, 280, 560 or 1120.
        max_soft_tokens: Count = 280,
        /// Patches a side that one token pools.
        pooling_kernel_size: Count = 3,
    }
    fixed {
        /// Whether rows are whole tokens rather than patches.
        merged: bool = false,
    }
}

/// The numbers of tokens that upstream takes.
const BUDGETS: [usize; 5] = [70, 140, 280, 560, 1120];

impl SoftTokens {
    const fn token(&self) -> usize {
        self.patch_size * self.pooling_kernel_size
    }

    fn resized(&self, size: Size) -> Result<Size> {
        let (token, most) = (self.token(), self.max_soft_tokens);
        let pixels = (most * token * token) as f64;
        let factor = (pixels / (size.0 as f64 * size.1 as f64)).sqrt();
        let down = |side: usize| (factor * side as f64 / token as f64).floor() as usize * token;
        // A side of less than one token becomes one, and the other the ratio of the sides.
        let other = |long: usize, short: usize| (long / short).min(most) * token;
        let resized = match (down(size.0), down(size.1)) {
            (0, 0) => return Err(Error::ZeroSide { what: "resized image", size: (0, 0) }),
            (0, _) => (token, other(size.1, size.0)),
            (_, 0) => (other(size.0, size.1), token),
            sides => sides,
        };
        if resized.0 as f64 * resized.1 as f64 > pixels {
            let rule = "enough for the resized image";
            let given = format!("{most} for {resized:?}");
            return Err(Error::Option { name: "max_soft_tokens", rule, given });
        }
        Ok(resized)
    }
}

impl Measure for SoftTokens {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        if BUDGETS.contains(&self.max_soft_tokens) {
            return Ok(());
        }
        let given = self.max_soft_tokens.to_string();
        let rule = "70, 140, 280, 560 or 1120";
        Err(Error::Option { name: "max_soft_tokens", rule, given })
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let unit = if self.merged { self.token() } else { self.patch_size };
        let resized = match (context.common.do_resize, self.merged) {
            (true, _) => self.resized(size)?,
            (false, true) => whole_units(size, unit)?,
            (false, false) => whole_patches(size, unit)?,
        };
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape.cut((unit, unit))]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let (patch, pool) = (self.patch_size, self.pooling_kernel_size);
        let (rows, columns) = (shape.canvas.0 / patch, shape.canvas.1 / patch);
        let grid = Grid { rows: rows / pool, columns: columns / pool };
        let tokens = rows * columns / (pool * pool);
        let grid = (grid.count() == tokens).then_some(grid);
        Cells { tokens, side: self.token(), grid, seen: shape.canvas }
    }

    fn smallest(&self) -> Size {
        (self.token(), self.token())
    }

    fn most_rows(&self) -> usize {
        let pool = self.pooling_kernel_size;
        self.max_soft_tokens * if self.merged { 1 } else { pool * pool }
    }
}
