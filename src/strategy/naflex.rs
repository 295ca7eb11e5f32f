//! Scale up or down to as many patches as there may be.

use super::budget::whole_patches;
use super::{Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Count, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Takes the largest scale, of at most 100, with which the sides, rounded up to patches, give at most so many, as
    /// `Siglip2ImageProcessor`.
    pub struct NaFlex {
        /// Side of a patch in pixels.
        patch_size: Count = 16,
        /// Most patches of an image; rows of zeros follow up to as many.
        max_num_patches: Count = 256,
    }
}

/// Where the search for the scale begins and how near it comes.
const LARGEST: f64 = 100.0;
const NEAR: f64 = 1e-5;

impl NaFlex {
    fn resized(&self, size: Size) -> Size {
        let patch = self.patch_size as f64;
        let side =
            |side: usize, scale: f64| ((side as f64 * scale / patch).ceil() * patch).max(patch);
        let (mut least, mut most) = (NEAR / 10.0, LARGEST);
        while most - least >= NEAR {
            let scale = f64::midpoint(least, most);
            let patches = (side(size.0, scale) / patch) * (side(size.1, scale) / patch);
            if patches <= self.max_num_patches as f64 {
                least = scale;
            } else {
                most = scale;
            }
        }
        (side(size.0, least) as usize, side(size.1, least) as usize)
    }
}

impl Measure for NaFlex {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let patch = self.patch_size;
        let resized =
            if context.common.do_resize { self.resized(size) } else { whole_patches(size, patch)? };
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape.cut((patch, patch))]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> super::Cells {
        super::Cells::filling(shape.canvas, self.patch_size)
    }

    fn smallest(&self) -> Size {
        (self.patch_size, self.patch_size)
    }

    fn most_rows(&self) -> usize {
        self.max_num_patches
    }
}
