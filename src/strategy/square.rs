//! Scale the longer side, pad to a square; at one resolution, or at two in a row.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Result, Size};
use crate::options::{Choice, Colour, Count, Deviation, Flag, Maybe, Mean, Value, options};
use crate::plan::{From, Role};
use crate::resample::Filter;
use crate::sizing::{self, Grid, Placement};
use crate::spec::{Common, MeanStd, mean_colour};

options! {
    /// Scales the longer side to `image_size` and pads the shorter one, as DeepSeek-VL's processor.
    pub struct PadSquare {
        /// Side of the square in pixels.
        image_size: Count = 384,
        /// Neither side becomes smaller than this.
        min_size: Count = 14,
        /// Off: the image must be square after resizing.
        do_pad: Flag = true,
        /// What it is padded with; None is the mean.
        background_color: Maybe<Colour> = None,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 16,
    }
}

options! {
    /// As `PadSquare`, from the padded square of a larger resolution, which is an output as well.
    pub struct HybridSquare {
        /// Side of the square in pixels.
        image_size: Count = 384,
        /// Neither side becomes smaller than this.
        min_size: Count = 14,
        /// Off: the image must be square after resizing.
        do_pad: Flag = true,
        /// What it is padded with; None is the mean.
        background_color: Maybe<Colour> = None,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 16,
        /// Side of the larger square in pixels.
        high_res_image_size: Count = 1024,
        /// Its filter.
        high_res_resample: Choice<Filter> = Filter::Bicubic,
        /// Its mean.
        high_res_image_mean: Mean = [0.5; 3],
        /// Its standard deviation.
        high_res_image_std: Deviation = [0.5; 3],
        /// What it is padded with; None is its mean.
        high_res_background_color: Maybe<Colour> = None,
    }
}

/// A square of `side` pixels.
struct Square {
    side: usize,
    min_size: usize,
    do_pad: bool,
    background: [u8; 3],
}

impl Square {
    fn shape(&self, role: Role, from: Size, filter: Filter, do_resize: bool) -> Shape {
        let resized =
            if do_resize { sizing::longest_side(from, self.side, self.min_size) } else { from };
        let side = resized.0.max(resized.1);
        let canvas = if self.do_pad { (side, side) } else { resized };
        // Upstream centres on the shorter axis only, rounding down.
        let offset = ((canvas.0 - resized.0) / 2, (canvas.1 - resized.1) / 2);
        let placement = Placement { resized, offset };
        Shape::stretched(role, from, resized, filter).placed(placement, canvas, self.background)
    }
}

impl Measure for PadSquare {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let common = context.common;
        let square = Square {
            side: self.image_size,
            min_size: self.min_size,
            do_pad: self.do_pad,
            background: self.background_color.unwrap_or_else(|| mean_colour(common.image_mean)),
        };
        Ok(Layout::of([square.shape(Role::Whole, size, common.resample, common.do_resize)]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        cells(self.image_size, self.patch_size, shape)
    }

    fn shown(&self, common: &Common, name: &str, value: Value) -> Value {
        match name {
            "background_color" => or_mean(value, common.image_mean),
            _ => value,
        }
    }

    fn smallest(&self) -> Size {
        (self.image_size, self.image_size)
    }
}

impl Measure for HybridSquare {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let common = context.common;
        let do_resize = common.do_resize;
        let square = |side, background: Option<[u8; 3]>, mean| Square {
            side,
            min_size: self.min_size,
            // Upstream pads what it has resized.
            do_pad: self.do_pad && do_resize,
            background: background.unwrap_or_else(|| mean_colour(mean)),
        };
        let high = square(
            self.high_res_image_size,
            self.high_res_background_color,
            self.high_res_image_mean,
        )
        .shape(Role::HighRes, size, self.high_res_resample, do_resize);
        let main = square(self.image_size, self.background_color, common.image_mean).shape(
            Role::Whole,
            high.canvas,
            common.resample,
            do_resize,
        );
        Ok(Layout::of([high, Shape { from: From::View(0), ..main }]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        cells(self.image_size, self.patch_size, shape)
    }

    fn values_of(&self, common: &Common) -> Vec<MeanStd> {
        vec![
            (common.image_mean, common.image_std),
            (self.high_res_image_mean, self.high_res_image_std),
        ]
    }

    fn shown(&self, common: &Common, name: &str, value: Value) -> Value {
        match name {
            "background_color" => or_mean(value, common.image_mean),
            "high_res_background_color" => or_mean(value, self.high_res_image_mean),
            _ => value,
        }
    }

    fn smallest(&self) -> Size {
        (self.image_size, self.image_size)
    }
}

/// Cells of a square of `side` pixels; they have places only where the shape is that square.
fn cells(side: usize, patch: usize, shape: &Shape) -> Cells {
    let count = side / patch;
    let grid = Grid { rows: count, columns: count };
    let seen = (count * patch, count * patch);
    let whole = shape.canvas == (side, side);
    Cells { tokens: grid.count(), side: patch, grid: whole.then_some(grid), seen }
}

fn or_mean(value: Value, mean: [f64; 3]) -> Value {
    if value == Value::Nothing { Value::Colour(mean_colour(mean)) } else { value }
}
