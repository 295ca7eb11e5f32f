//! A square of the whole image, and windows of large or long images beside it, as Step 3.7.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, options};
use crate::plan::{From, Rect, Role};
use crate::sizing::{Grid, Placement};
use crate::spec::Common;

options! {
    /// Scales the image below `max_image_size`, and from there to a square of `image_size`; cuts windows from the image
    /// where it is large or long, and scales each to a square of `patch_size`.
    pub struct Windows {
        /// Side of the whole view in pixels.
        image_size: Count = 728,
        /// Side of a window's view in pixels.
        patch_size: Count = 504,
        /// Most pixels of a side before windows are cut.
        max_image_size: Count = 3024,
        /// Side of a vision encoder's patch in pixels.
        vision_patch_size: Count = 14,
        /// Patches a side that one token merges.
        downsampler_stride: Count = 4,
    }
}

/// What the windows of an image are.
struct Windowed {
    /// The size that the whole view comes from.
    whole: Size,
    /// The size that windows are cut from, and the side of a window.
    windows: Option<(Size, usize)>,
}

impl Windows {
    fn windowed(&self, mut size: Size) -> Result<Windowed> {
        let longest = size.0.max(size.1);
        if longest > self.max_image_size {
            let scale = self.max_image_size as f64 / longest as f64;
            size = ((size.0 as f64 * scale) as usize, (size.1 as f64 * scale) as usize);
        }
        super::not_empty("resized image", size)?;
        let (short, long) = (size.0.min(size.1), size.0.max(size.1));
        let ratio = long as f64 / short as f64;
        let side = if long <= self.image_size {
            if ratio > 1.5 { short } else { 0 }
        } else if ratio > 4.0 {
            short.min(self.patch_size)
        } else {
            self.patch_size
        };
        if side == 0 {
            return Ok(Windowed { whole: size, windows: None });
        }
        // A last window is added for more than a fifth of one; what is less is squeezed in.
        let snapped = |length: usize| {
            if length < side {
                return length;
            }
            let more = (length % side) as f64 > 0.2 * side as f64;
            side * (length / side + usize::from(more))
        };
        Ok(Windowed { whole: size, windows: Some(((snapped(size.0), snapped(size.1)), side)) })
    }
}

impl Measure for Windows {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let filter = context.common.resample;
        let (short, long) = (size.0.min(size.1), size.0.max(size.1));
        let mut layout = Layout::of([]);
        let (mut from, mut source) = (From::Image, size);
        if short < 32 && long as f64 / short as f64 > 4.0 {
            let placement = Placement { resized: size, offset: (0, 0) };
            let square = Shape::stretched(Role::Step, size, size, filter);
            layout.push(square.placed(placement, (long, long), [0; 3]))?;
            (from, source) = (From::View(0), (long, long));
        }
        let Windowed { whole, windows } = self.windowed(source)?;
        let square = (self.image_size, self.image_size);
        if whole == source {
            let shape = Shape::stretched(Role::Global, source, square, filter);
            layout.push(Shape { from, ..shape })?;
        } else {
            let step = Shape::stretched(Role::Step, source, whole, filter);
            layout.push(Shape { from, ..step })?;
            let last = layout.shapes.len() - 1;
            let shape = Shape::stretched(Role::Global, whole, square, filter);
            layout.push(shape.from_shape(last))?;
        }
        layout.main = layout.shapes.len() - 1;
        let Some((canvas, side)) = windows else { return Ok(layout) };
        let view = (self.patch_size, self.patch_size);
        layout.parts = Grid { rows: (canvas.0 / side).max(1), columns: (canvas.1 / side).max(1) };
        let step = layout.shapes.len();
        let shape = Shape::stretched(Role::Tiles, source, canvas, filter);
        if side == self.patch_size && canvas.0 >= side && canvas.1 >= side {
            layout.push(Shape { from, ..shape.cut(view) })?;
            return Ok(layout);
        }
        layout.push(Shape { from, role: Role::Step, ..shape })?;
        for row in 0..layout.parts.rows {
            for column in 0..layout.parts.columns {
                let (top, left) = (row * side, column * side);
                let size = (side.min(canvas.0 - top), side.min(canvas.1 - left));
                let source = Rect { top, left, size };
                let shape = Shape::stretched(Role::Crop, size, view, filter);
                layout.push(Shape { source, ..shape }.from_shape(step))?;
            }
        }
        Ok(layout)
    }

    #[expect(
        clippy::misnamed_getters,
        reason = "upstream's `patch_size` is the side of a window here"
    )]
    fn patch_size(&self) -> usize {
        self.vision_patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let side = self.vision_patch_size * self.downsampler_stride;
        let grid = Grid { rows: shape.unit.0 / side, columns: shape.unit.1 / side };
        let seen = (grid.rows * side, grid.columns * side);
        Cells { tokens: grid.count(), side, grid: Some(grid), seen }
    }

    fn smallest(&self) -> Size {
        (self.image_size, self.image_size)
    }
}
