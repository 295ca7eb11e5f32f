//! Stretch to one size; long images have crops of their parts beside it, as Gemma 3's pan and scan.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, Flag, Positive, SideOrSize, options};
use crate::plan::{Rect, Role};
use crate::sizing::Grid;
use crate::spec::Common;

options! {
    /// Stretches the image to `image_size`; with `do_pan_and_scan`, also equal parts of an image that is much longer
    /// than it is wide, or wider than it is long.
    pub struct PanScan {
        /// Height and width of every view in pixels.
        image_size: SideOrSize = (896, 896),
        /// Add crops of long images.
        do_pan_and_scan: Flag = false,
        /// No crop has a side below this.
        pan_and_scan_min_crop_size: Count = 256,
        /// Most crops of an image.
        pan_and_scan_max_num_crops: Count = 4,
        /// Images whose longer side is less than so many times the shorter one have no crops.
        pan_and_scan_min_ratio_to_activate: Positive = 1.2,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token pools.
        pool_size: Count = 4,
    }
}

impl PanScan {
    /// Crops of an image of `long` by `short` pixels along its longer side, and their length; none where there are none.
    fn crops(&self, long: usize, short: usize) -> Option<(usize, usize)> {
        let ratio = long as f64 / short as f64;
        if ratio < self.pan_and_scan_min_ratio_to_activate {
            return None;
        }
        // Halves round up.
        let count = ((ratio + 0.5).floor() as usize).min(long / self.pan_and_scan_min_crop_size);
        let count = count.max(2).min(self.pan_and_scan_max_num_crops);
        let length = long.div_ceil(count);
        (length.min(short) >= self.pan_and_scan_min_crop_size).then_some((count, length))
    }
}

impl Measure for PanScan {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let common = context.common;
        // Upstream's torchvision backend resizes whatever it scans.
        let resizes =
            common.do_resize || (self.do_pan_and_scan && context.numerics.int16_weights());
        let target = |part: Size| if resizes { self.image_size } else { part };
        let whole = Shape::stretched(Role::Whole, size, target(size), common.resample);
        let mut layout = Layout::of([whole]);
        if !self.do_pan_and_scan {
            return Ok(layout);
        }
        let wide = size.1 >= size.0;
        let (long, short) = (size.0.max(size.1), size.0.min(size.1));
        let Some((count, length)) = self.crops(long, short) else { return Ok(layout) };
        for number in 0..count {
            // The last crop ends with the image, and one that begins beyond it is empty.
            let start = (number * length).min(long);
            let length = length.min(long - start);
            let source = if wide {
                Rect { top: 0, left: start, size: (short, length) }
            } else {
                Rect { top: start, left: 0, size: (length, short) }
            };
            super::not_empty("crop", source.size)?;
            let resized = target(source.size);
            let shape = Shape::stretched(Role::Crop, source.size, resized, common.resample);
            layout.push(Shape { source, ..shape })?;
        }
        super::equal_units("pixel_values", &layout)?;
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// The encoder's patches are pooled to a square of tokens.
    fn cells(&self, shape: &Shape) -> Cells {
        let side = self.patch_size * self.pool_size;
        let grid = Grid { rows: shape.unit.0 / side, columns: shape.unit.1 / side };
        let seen = (grid.rows * side, grid.columns * side);
        Cells { tokens: grid.count(), side, grid: Some(grid), seen }
    }

    fn smallest(&self) -> Size {
        self.image_size
    }
}
