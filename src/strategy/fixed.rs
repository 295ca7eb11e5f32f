//! Scale to a fixed size, or by an edge; then crop the centre, or pad to a square before.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Flag, Maybe, Positive, SideOrSize, options};
use crate::plan::Role;
use crate::sizing::{self, Grid, Placement};
use crate::spec::{Common, mean_colour};

options! {
    /// Scales to `height` and `width`, to `shortest_edge`, or into `max_height` and `max_width`, as the image
    /// processors of transformers do that have no rule of their own.
    pub struct FixedSize {
        /// Height in pixels.
        height: Maybe<Count> = None,
        /// Width in pixels.
        width: Maybe<Count> = None,
        /// The shorter side in pixels; the other follows.
        shortest_edge: Maybe<Count> = None,
        /// Most pixels of the longer side, beside `shortest_edge`.
        longest_edge: Maybe<Count> = None,
        /// Most rows, where the image is scaled into a box.
        max_height: Maybe<Count> = None,
        /// Most columns, likewise.
        max_width: Maybe<Count> = None,
        /// Crop the centre to `crop_size` after the resize; what is missing is black.
        do_center_crop: Flag = false,
        /// Height and width of the crop.
        crop_size: SideOrSize = (224, 224),
        /// Pad to `pad_size`, or to a square before the resize, as the family has it.
        do_pad: Flag = false,
        /// Height and width that images are padded to; None is the largest of the call.
        pad_size: Maybe<SideOrSize> = None,
        /// The share of the shorter side that is kept where it is below 384 pixels, as ConvNeXT has it.
        crop_pct: Positive = 0.875,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
    }
    fixed {
        /// What `do_pad` does.
        padding: Padding = Padding::None,
        /// Whether the shorter edge is warped or cropped as ConvNeXT has it.
        convnext: bool = false,
    }
}

/// What `do_pad` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Nothing here; zeros after normalising are the batch's business.
    None,
    /// The image becomes a square in the mean's colour before it is resized.
    Square,
}

/// ConvNeXT warps from this side on.
const WARPED_FROM: usize = 384;

impl FixedSize {
    /// A square of `side` pixels.
    #[must_use]
    pub fn square(side: usize) -> Self {
        Self { height: Some(side), width: Some(side), ..Self::default() }
    }

    /// The shorter side at `side` pixels, and a square of as many cropped from it.
    #[must_use]
    pub fn cropped(side: usize) -> Self {
        Self {
            shortest_edge: Some(side),
            do_center_crop: true,
            crop_size: (side, side),
            ..Self::default()
        }
    }

    fn resized(&self, size: Size) -> Result<Size> {
        let resized = match (self.shortest_edge, self.longest_edge) {
            (Some(edge), Some(most)) => sizing::between_edges(size, edge, most),
            (Some(edge), None) => sizing::shortest_edge(size, edge),
            _ => match (self.max_height, self.max_width, self.height, self.width) {
                (Some(height), Some(width), _, _) => sizing::within(size, (height, width)),
                (_, _, Some(height), Some(width)) => (height, width),
                _ => {
                    let rule = "height and width, shortest_edge, or max_height and max_width";
                    return Err(Error::Option { name: "size", rule, given: "neither".into() });
                }
            },
        };
        if resized.0 == 0 || resized.1 == 0 {
            return Err(Error::ZeroSide { what: "resized image", size: resized });
        }
        Ok(resized)
    }
}

/// The centre of a resized image: what is missing is halved, and an odd row or column goes to the end under torchvision,
/// to the start under Pillow.
pub(super) fn center_cropped(context: &Context<'_>, shape: Shape, crop: Size) -> Shape {
    let odd = isize::from(!context.numerics.int16_weights());
    let along = |side: usize, crop: usize| {
        if side >= crop {
            -(((side - crop) / 2) as isize)
        } else {
            ((crop - side) as isize).midpoint(odd)
        }
    };
    let offset = (along(shape.resized.0, crop.0), along(shape.resized.1, crop.1));
    Shape { canvas: crop, offset, unit: crop, step: crop, ..shape }
}

impl Measure for FixedSize {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let common = context.common;
        let filter = common.resample;
        let mut steps = Vec::new();
        let mut source = size;
        if self.do_pad && self.padding == Padding::Square && size.0 != size.1 {
            let side = size.0.max(size.1);
            let offset = ((side - size.0) / 2, (side - size.1) / 2);
            let placement = Placement { resized: size, offset };
            let colour = mean_colour(common.image_mean);
            let shape = Shape::stretched(Role::Step, size, size, filter);
            steps.push(shape.placed(placement, (side, side), colour));
            source = (side, side);
        }
        let mut crop = self.do_center_crop.then_some(self.crop_size);
        let resized = if !common.do_resize {
            source
        } else if self.convnext {
            let Some(edge) = self.shortest_edge else {
                let rule = "a dict with 'shortest_edge'";
                return Err(Error::Option { name: "size", rule, given: "another".into() });
            };
            if edge < WARPED_FROM {
                crop = Some((edge, edge));
                sizing::shortest_edge(source, (edge as f64 / self.crop_pct) as usize)
            } else {
                (edge, edge)
            }
        } else {
            self.resized(source)?
        };
        let mut shape = Shape::stretched(Role::Whole, source, resized, filter);
        if let Some(crop) = crop {
            shape = center_cropped(context, shape, crop);
        }
        if !steps.is_empty() {
            shape = shape.from_shape(0);
        }
        steps.push(shape);
        Ok(Layout::of(steps))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let side = self.patch_size;
        // The model sees what is padded, whoever pads it.
        let (height, width) = self.pad_size.unwrap_or(shape.unit);
        let grid = Grid { rows: height / side, columns: width / side };
        let seen = (grid.rows * side, grid.columns * side);
        Cells { tokens: grid.count(), side, grid: Some(grid), seen }
    }
}
