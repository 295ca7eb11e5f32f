//! The largest size of a frame's ratio that has no more tokens than a limit.

use super::budget::whole_units;
use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Value, options, wrong};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales a frame to the most pixels that `max_soft_tokens` allow, then each side down to whole tokens, as Gemma 4's
    /// `get_aspect_ratio_preserving_size`.
    pub struct TokenLimit {
        /// Side of a patch in pixels.
        patch_size: Count = 16,
        /// Patches a side that one token merges.
        pooling_kernel_size: Count = 3,
        /// Most tokens of a frame: 70, 140, 280, 560 or 1120.
        max_soft_tokens: Count = 70,
    }
    fixed {
        /// Whether rows are tokens instead of patches.
        merged: bool = false,
    }
}

/// The limits that upstream takes.
const LIMITS: [usize; 5] = [70, 140, 280, 560, 1120];

impl TokenLimit {
    const fn factor(&self) -> usize {
        self.patch_size * self.pooling_kernel_size
    }

    /// Side of what is one row.
    const fn unit(&self) -> usize {
        if self.merged { self.factor() } else { self.patch_size }
    }

    fn resized(&self, size: Size) -> Result<Size> {
        let (height, width) = (size.0 as f64, size.1 as f64);
        let pool = self.pooling_kernel_size * self.pooling_kernel_size;
        let most = self.max_soft_tokens * pool * self.patch_size * self.patch_size;
        let scale = (most as f64 / (height * width)).sqrt();
        let factor = self.factor();
        let down = |side: f64| (scale * side / factor as f64).floor() as usize * factor;
        let longest = self.max_soft_tokens * factor;
        let along = |long: f64, short: f64| ((long / short).floor() as usize * factor).min(longest);
        let resized = match (down(height), down(width)) {
            (0, 0) => return Err(Error::ZeroSide { what: "resized image", size: (0, 0) }),
            (0, _) => (factor, along(width, height)),
            (_, 0) => (along(height, width), factor),
            resized => resized,
        };
        if resized.0 * resized.1 > most {
            let rule = "enough for one token a side";
            let given = Value::Int(self.max_soft_tokens as i64);
            return Err(wrong("max_soft_tokens", rule, &given));
        }
        Ok(resized)
    }
}

impl Measure for TokenLimit {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        if LIMITS.contains(&self.max_soft_tokens) {
            return Ok(());
        }
        let given = Value::Int(self.max_soft_tokens as i64);
        Err(wrong("max_soft_tokens", "70, 140, 280, 560 or 1120", &given))
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let resized = if context.common.do_resize {
            self.resized(size)?
        } else {
            whole_units(size, self.unit())?
        };
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        Ok(Layout::of([shape.cut((self.unit(), self.unit()))]))
    }

    fn patch_size(&self) -> usize {
        self.unit()
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.factor())
    }

    fn most_rows(&self) -> usize {
        let pool = self.pooling_kernel_size * self.pooling_kernel_size;
        self.max_soft_tokens * if self.merged { 1 } else { pool }
    }

    fn is_video(&self) -> bool {
        true
    }

    fn smallest(&self) -> Size {
        (self.factor(), self.factor())
    }
}
