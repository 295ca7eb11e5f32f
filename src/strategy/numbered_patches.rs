//! Scale to as many patches as there may be, whose rows begin with their places.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::resample::Filter;
use crate::spec::Common;

options! {
    /// Scales up or down to at most so many patches, each side down to whole ones, as `Pix2StructImageProcessor`.
    pub struct NumberedPatches {
        /// Side of a patch in pixels.
        patch_size: Count = 16,
        /// Most patches; rows of zeros follow up to as many.
        max_patches: Count = 2048,
    }
    fixed {
        /// Whether bytes are resized where nothing is normalised, as Kosmos-2.5 has it.
        raw_bytes: bool = false,
    }
}

impl NumberedPatches {
    fn resized(&self, size: Size) -> Size {
        let (patch, most) = (self.patch_size as f64, self.max_patches);
        let (height, width) = (size.0 as f64, size.1 as f64);
        let scale = (most as f64 * (patch / height) * (patch / width)).sqrt();
        let side = |side: f64| ((scale * side / patch) as usize).min(most).max(1) * self.patch_size;
        (side(height), side(width))
    }
}

impl Measure for NumberedPatches {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let unit = (self.patch_size, self.patch_size);
        let resized = self.resized(size);
        let whole = |size| Shape::stretched(Role::Whole, size, resized, Filter::Bilinear).cut(unit);
        Ok(if self.raw_bytes && !context.common.do_normalize {
            let step = Shape::stretched(Role::Step, size, resized, Filter::Bilinear);
            Layout::of([step, whole(resized).from_shape(0)])
        } else {
            Layout::of([whole(size)])
        })
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size)
    }

    fn most_rows(&self) -> usize {
        self.max_patches
    }
}
