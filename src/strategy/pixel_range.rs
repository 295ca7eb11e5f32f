//! Scale into a range of pixels, or leave the size alone, and pad to whole patches.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Budget, Count, Maybe, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Keeps images as they are as far as limits allow, and pads with black at the bottom and the right, as
    /// `NeoMMEImageProcessor`.
    pub struct PixelRange {
        /// Side of a patch in pixels.
        patch_size: Count = 32,
        /// Most pixels of the longer side.
        max_side: Maybe<Count> = None,
        /// Fewest pixels.
        min_pixels: Maybe<Budget> = None,
        /// Most pixels.
        max_pixels: Maybe<Budget> = None,
    }
}

impl PixelRange {
    fn exceeds(&self, size: Size) -> bool {
        self.max_side.is_some_and(|most| size.0.max(size.1) > most)
            || self.max_pixels.is_some_and(|most| size.0 * size.1 > most)
    }

    fn resized(&self, size: Size) -> Size {
        let area = size.0 * size.1;
        let few = self.min_pixels.filter(|least| area < *least);
        let mut scale = few.map_or(1.0, |least| (least as f64 / area as f64).sqrt());
        if let Some(most) = self.max_side {
            scale = scale.min(most as f64 / size.0.max(size.1) as f64);
        }
        if let Some(most) = self.max_pixels {
            scale = scale.min((most as f64 / area as f64).sqrt());
        }
        if scale.total_cmp(&1.0).is_eq() {
            return size;
        }
        let scaled = |round: fn(f64) -> f64| {
            let side = |side: usize| (round(side as f64 * scale) as usize).max(1);
            (side(size.0), side(size.1))
        };
        let rounded = scaled(f64::round_ties_even);
        if self.exceeds(rounded) {
            let (height, width) = scaled(f64::floor);
            return match self.max_pixels {
                Some(most) if height * width > most && height >= width => {
                    ((most / width).max(1), width)
                }
                Some(most) if height * width > most => (height, (most / height).max(1)),
                _ => (height, width),
            };
        }
        if few.is_some_and(|least| rounded.0 * rounded.1 < least) {
            let up = scaled(f64::ceil);
            if !self.exceeds(up) {
                return up;
            }
        }
        rounded
    }
}

impl Measure for PixelRange {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let patch = self.patch_size;
        let resized = if context.common.do_resize { self.resized(size) } else { size };
        let up = |side: usize| side.div_ceil(patch) * patch;
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape.padded((up(resized.0), up(resized.1)), (patch, patch))]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.patch_size)
    }
}
