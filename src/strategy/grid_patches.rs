//! Scale by a factor, or not at all, and pad to whole patches.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Maybe, Positive, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales the longer edge by a factor and cuts patches, the last of which reach beyond the image, as
    /// `InklingImageProcessor` and `Inkling2ImageProcessor`.
    pub struct GridPatches {
        /// Side of a patch in pixels.
        patch_size: Count = 40,
        /// What the longer edge is multiplied by.
        rescale_image_frac: Maybe<Positive> = None,
        /// Most pixels that it grows to.
        rescale_image_max_upscaled_long_edge: Maybe<Count> = Some(2048),
    }
    fixed {
        /// Whether a column of patches follows where the image's width is made of whole ones.
        extra_column: bool = true,
        /// Frames of a patch.
        frames: usize = 2,
    }
}

impl GridPatches {
    fn resized(&self, size: Size) -> Result<Size> {
        let Some(factor) = self.rescale_image_frac else { return Ok(size) };
        let long = size.0.max(size.1) as f64;
        let mut target = long * factor;
        if let Some(most) = self.rescale_image_max_upscaled_long_edge {
            target = target.min((most as f64).max(long));
        }
        let ratio = target / long;
        let side = |side: usize| (side as f64 * ratio + 0.5).floor() as usize;
        let resized = (side(size.0), side(size.1));
        if resized.0 == 0 || resized.1 == 0 {
            return Err(Error::ZeroSide { what: "resized image", size: resized });
        }
        Ok(resized)
    }
}

impl Measure for GridPatches {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        if !context.common.do_resize {
            let (rule, given) = ("True", "False".into());
            return Err(Error::Option { name: "do_resize", rule, given });
        }
        let (patch, filter) = (self.patch_size, context.common.resample);
        let resized = self.resized(size)?;
        let columns =
            if self.extra_column { resized.1 / patch + 1 } else { resized.1.div_ceil(patch) };
        let canvas = (resized.0.div_ceil(patch) * patch, columns * patch);
        let step = Shape::stretched(Role::Step, size, resized, filter);
        let whole = |size| Shape::stretched(Role::Whole, size, resized, filter);
        let padded = |shape: Shape| shape.padded(canvas, (patch, patch));
        // Bytes are resized, floats are padded.
        Ok(if resized == size {
            Layout::of([padded(whole(size))])
        } else {
            Layout::of([step, padded(whole(resized)).from_shape(0)])
        })
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn temporal_patch_size(&self) -> usize {
        self.frames
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size)
    }
}
