//! Scale frames to a number of patches near a target.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, Flag, MOST, Positive, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales frames to the grid of patches of their aspect ratio that is nearest to a number of patches, with even
    /// sides, as `NemotronH_Omni_Reasoning_V3VideoProcessor`.
    pub struct PatchTarget {
        /// Side of a patch in pixels.
        patch_size: Count = 16,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
        /// Patches of a frame.
        video_target_num_patches: Count = 1024,
        /// Off: frames become squares.
        video_maintain_aspect_ratio: Flag = true,
        /// Frames that one token sees.
        temporal_patch_size: Count = 2,
    }
}

impl PatchTarget {
    fn merge(&self) -> usize {
        ((1.0 / self.downsample_ratio).round_ties_even() as usize).min(MOST as usize)
    }

    /// Rows and columns of patches.
    fn grid(&self, size: Size) -> Size {
        let (target, merge) = (self.video_target_num_patches, self.merge());
        if !self.video_maintain_aspect_ratio {
            let side = (target as f64).sqrt() as usize;
            let side = (side - side.checked_rem(merge).unwrap_or(0)).max(merge);
            return (side, side);
        }
        let aspect = size.1 as f64 / size.0 as f64;
        let side = |exact: f64| (exact.sqrt().round_ties_even() as usize).max(1);
        let grid = (side(target as f64 / aspect), side(target as f64 * aspect));
        if merge <= 1 {
            return grid;
        }
        let up = (grid.0.next_multiple_of(merge), grid.1.next_multiple_of(merge));
        if up.0.saturating_mul(up.1) <= target {
            return up;
        }
        let down = |side: usize| (side - side % merge).max(merge);
        (down(grid.0), down(grid.1))
    }
}

impl Measure for PatchTarget {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let (rows, columns) = self.grid(size);
        let resized = (rows * self.patch_size, columns * self.patch_size);
        super::not_empty("resized frame", resized)?;
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn merge_size(&self) -> usize {
        self.merge()
    }

    fn tubelet(&self) -> usize {
        self.temporal_patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size * self.merge().max(1))
    }

    fn is_video(&self) -> bool {
        true
    }
}
