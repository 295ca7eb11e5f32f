//! Scale by the longer side, then stretch to a square.

use super::{Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Maybe, options};
use crate::plan::Role;
use crate::spec::Common;

options! {
    /// Scales a frame so that its longer side is `longest_edge`, or to `height` and `width`, then once more to a square,
    /// as `SmolVLMVideoProcessor`.
    pub struct Squared {
        /// The longer side after the first resize.
        longest_edge: Maybe<Count> = Some(1456),
        /// Height after the first resize, where there is no `longest_edge`.
        height: Maybe<Count> = None,
        /// Width after the first resize, likewise.
        width: Maybe<Count> = None,
        /// Side of the square.
        frame_side: Count = 364,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Image tokens of a frame in a prompt, as the file of upstream's processor has it.
        image_seq_len: Count = 169,
    }
}

/// Upstream's longest side.
const LONGEST: usize = 4096;

impl Squared {
    /// The other side follows, rounded down to an integer and up to an even one.
    fn first(&self, (height, width): Size) -> Result<Size> {
        let ratio = width as f64 / height as f64;
        let even = |side: f64| {
            let side = side as usize;
            (side + side % 2).max(1)
        };
        match (self.longest_edge, self.height, self.width) {
            (Some(edge), _, _) => {
                let edge = edge.min(LONGEST);
                Ok(if width >= height {
                    (even(edge as f64 / ratio), edge)
                } else {
                    (edge, even(edge as f64 * ratio))
                })
            }
            (None, Some(height), Some(width)) => Ok((height, width)),
            _ => {
                let rule = "longest_edge, or height and width";
                Err(Error::Option { name: "size", rule, given: "neither".into() })
            }
        }
    }
}

impl Measure for Squared {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let filter = context.common.resample;
        if !context.common.do_resize {
            return Ok(Layout::of([Shape::stretched(Role::Whole, size, size, filter)]));
        }
        let first = self.first(size)?;
        let square = (self.frame_side, self.frame_side);
        Ok(Layout::of([
            Shape::stretched(Role::Step, size, first, filter),
            Shape::stretched(Role::Whole, first, square, filter).from_shape(0),
        ]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn sequence(&self) -> usize {
        self.image_seq_len
    }

    fn is_video(&self) -> bool {
        true
    }
}
