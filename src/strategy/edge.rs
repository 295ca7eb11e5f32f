//! Cap the longer side, then round both sides up to whole patches.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Flag, Maybe, options};
use crate::plan::Role;
use crate::sizing;
use crate::spec::Common;

options! {
    /// Shrinks the image until it fits into `longest_edge` by `longest_edge`, or into `height` by `width`, then
    /// stretches it to whole patches, as Pixtral's processor. Images that fit keep their size but for that.
    pub struct CappedEdge {
        /// Most pixels of a side.
        longest_edge: Maybe<Count> = Some(1024),
        /// Most rows, where there is no `longest_edge`.
        height: Maybe<Count> = None,
        /// Most columns, likewise.
        width: Maybe<Count> = None,
        /// Pad images of a call to the largest; off: they must have one size.
        do_pad: Flag = true,
        /// Side of a patch in pixels, of which a token sees one.
        patch_size: Count = 16,
    }
}

impl Measure for CappedEdge {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        match (self.longest_edge, self.height, self.width) {
            (Some(_), _, _) | (None, Some(_), Some(_)) => Ok(()),
            _ => {
                let rule = "longest_edge, or height and width";
                Err(Error::Option { name: "size", rule, given: "neither".into() })
            }
        }
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let most = match (self.longest_edge, self.height, self.width) {
            (Some(edge), _, _) => (edge, edge),
            (None, height, width) => (height.unwrap_or(1), width.unwrap_or(1)),
        };
        let resized = if context.common.do_resize {
            sizing::capped(size, most, self.patch_size)
        } else {
            size
        };
        super::not_empty("resized image", resized)?;
        let filter = context.common.resample;
        Ok(Layout::of([Shape::stretched(Role::Whole, size, resized, filter)]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let side = self.patch_size;
        let seen = (shape.canvas.0 / side * side, shape.canvas.1 / side * side);
        Cells { seen, ..Cells::filling(shape.canvas, side) }
    }

    fn smallest(&self) -> Size {
        (self.patch_size, self.patch_size)
    }
}
