//! Scale into a range of patches.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, CountOrZero, Positive, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales the image's own grid of patches into a range and makes its sides even, as
    /// `NemotronH_Omni_Reasoning_V3ImageProcessor`.
    pub struct PatchRange {
        /// Side of a patch in pixels.
        patch_size: Count = 16,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
        /// Fewest patches.
        min_num_patches: Count = 1024,
        /// Most patches; 0 for as many as the context takes.
        max_num_patches: CountOrZero = 13_312,
        /// Tokens of the language model's context.
        max_model_len: Count = 16_384,
    }
}

/// Tokens that the context needs for text.
const TEXT: i64 = 4;

impl PatchRange {
    fn merge(&self) -> usize {
        ((1.0 / self.downsample_ratio).round_ties_even() as usize).max(1)
    }

    /// Most patches of each image of a call.
    fn most(&self, images: usize) -> usize {
        let merge = self.merge() as i64;
        let context = (self.max_model_len as i64 - TEXT).saturating_mul(merge * merge);
        let most = context.max((self.min_num_patches * images) as i64) as usize;
        let most = if self.max_num_patches == 0 { most } else { most.min(self.max_num_patches) };
        most.max(self.min_num_patches)
    }

    fn grid(&self, size: Size, most: usize) -> Result<Size> {
        let (merge, least) = (self.merge(), self.min_num_patches);
        let side = |side: usize| (side as f64 / self.patch_size as f64 + 0.5).round_ties_even();
        let (rows, columns) = (side(size.0), side(size.1));
        let factor = (most as f64 / (rows * columns)).sqrt().min(1.0);
        let (mut rows, mut columns) = ((factor * rows).floor(), (factor * columns).floor());
        if most > least && rows * columns < least as f64 {
            let factor = (least as f64 / (rows * columns)).sqrt();
            (rows, columns) = ((factor * rows).ceil(), (factor * columns).ceil());
        }
        if !(rows >= 1.0 && columns >= 1.0) {
            let size = (rows as usize, columns as usize);
            return Err(Error::ZeroSide { what: "resized image", size });
        }
        let even = |side: usize, other: usize| match side % merge {
            0 => side,
            rest if (side + merge - rest) * other <= most => side + merge - rest,
            rest => (side - rest).max(merge),
        };
        let rows = even(rows as usize, columns as usize);
        Ok((rows, even(columns as usize, rows)))
    }
}

impl Measure for PatchRange {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let patch = self.patch_size;
        let (rows, columns) = self.grid(size, self.most(context.images))?;
        let resized = (rows * patch, columns * patch);
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape.cut((patch, patch))]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn merge_size(&self) -> usize {
        self.merge()
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size * self.merge())
    }
}
