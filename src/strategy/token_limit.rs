//! Scale down into a number of patches, then pad or crop to whole ones, as Kimi-VL.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Flag, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales down by one factor where an image has too many patches, cuts off fractions, and pads with black to whole
    /// tokens at the bottom and the right, or crops the centre to whole patches, as Kimi-VL's `KimiVLImageProcessor`.
    pub struct TokenLimit {
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Patches a side that one token merges.
        merge_size: Count = 2,
        /// Most patches of an image before it is padded.
        in_token_limit: Count = 4096,
        /// Off: the centre is cropped to whole patches.
        pad_input: Flag = false,
    }
}

/// Rows and columns of patches that the encoder has no places for.
const TOO_MANY: usize = 512;

impl TokenLimit {
    fn resized(&self, size: Size) -> Size {
        let patches = (size.0 / self.patch_size) * (size.1 / self.patch_size);
        if patches <= self.in_token_limit {
            return size;
        }
        let scale = (self.in_token_limit as f64 / patches as f64).sqrt();
        let scaled = |side: usize| (side as f64 * scale) as usize;
        (scaled(size.0), scaled(size.1))
    }
}

impl Measure for TokenLimit {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let resized = if context.common.do_resize { self.resized(size) } else { size };
        let whole = |side: usize, unit: usize| side / unit * unit;
        let token = self.patch_size * self.merge_size;
        let canvas = if self.pad_input {
            (resized.0.next_multiple_of(token), resized.1.next_multiple_of(token))
        } else {
            (whole(resized.0, self.patch_size), whole(resized.1, self.patch_size))
        };
        if resized.0 == 0 || resized.1 == 0 || canvas.0 == 0 || canvas.1 == 0 {
            return Err(Error::ZeroSide { what: "resized image", size: canvas });
        }
        let patches = (canvas.0 / self.patch_size, canvas.1 / self.patch_size);
        if patches.0.max(patches.1) >= TOO_MANY {
            let rule = "one that gives less than 512 patches a side";
            return Err(Error::Option { name: "image", rule, given: format!("{patches:?}") });
        }
        let unit = (self.patch_size, self.patch_size);
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        let shape = shape.padded(canvas, unit);
        if self.pad_input {
            return Ok(Layout::of([shape]));
        }
        // torchvision's crop of the centre halves what is left, half to even.
        let half = |left: usize| -((left as f64 / 2.0).round_ties_even() as isize);
        let offset = (half(resized.0 - canvas.0), half(resized.1 - canvas.1));
        Ok(Layout::of([Shape { offset, ..shape }]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn merge_size(&self) -> usize {
        self.merge_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size * self.merge_size)
    }

    fn smallest(&self) -> Size {
        (self.patch_size, self.patch_size)
    }
}
