//! Scale to as many patches as there may be, whose rows begin with their places.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
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
        /// Whether images must be normalised: upstream cuts no bytes into patches.
        must_normalise: bool = false,
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

    fn prepare(&self, common: &Common) -> Result<()> {
        if self.must_normalise && !common.do_normalize {
            let rule = "on, since upstream cuts no bytes into patches";
            return Err(Error::Option { name: "do_normalize", rule, given: "False".into() });
        }
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, _context: &Context<'_>) -> Result<Layout> {
        let unit = (self.patch_size, self.patch_size);
        let whole = Shape::stretched(Role::Whole, size, self.resized(size), Filter::Bilinear);
        Ok(Layout::of([whole.cut(unit)]))
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
