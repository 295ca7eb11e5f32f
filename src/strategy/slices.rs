//! Slices of a large image of the area of one view each, as MiniCPM-V.

use super::{Cells, Context, Layout, Measure, Shape};
use crate::error::{Error, Result, Size};
use crate::names::names;
use crate::options::{Choice, Count, Flag, options};
use crate::plan::{Rect, Role};
use crate::sizing;
use crate::spec::Common;

names! {
    /// How many patches one token merges.
    pub enum Downsample: "downsample_mode" {
        /// Two by two.
        Four = "4x",
        /// Four by four.
        Sixteen = "16x",
    }
}

names! {
    /// Which images that have no slices are enlarged to the area of a view.
    pub enum SmallImages: "small_image_upsize" {
        /// All.
        Always = "always",
        /// None.
        Never = "never",
    }
}

options! {
    /// Scales the image to about `scale_resolution` squared pixels, and cuts a large one into slices of as many each,
    /// all in whole tokens, as MiniCPM-V 4.6's processor.
    pub struct Slices {
        /// Most slices.
        max_slice_nums: Count = 9,
        /// Side of a square with as many pixels as a view has.
        scale_resolution: Count = 448,
        /// Side of a patch in pixels.
        patch_size: Count = 14,
        /// Off: no image is cut.
        slice_mode: Flag = true,
        /// How many patches one token merges.
        downsample_mode: Choice<Downsample> = Downsample::Sixteen,
        /// Which images that have no slices are enlarged.
        small_image_upsize: Choice<SmallImages> = SmallImages::Always,
    }
}

impl Slices {
    const fn token_side(&self) -> usize {
        self.patch_size
            * match self.downsample_mode {
                Downsample::Four => 2,
                Downsample::Sixteen => 4,
            }
    }

    /// The size of a view of an image, or of a part of it, of that height and width.
    fn view(&self, height: f64, width: f64, enlarges: bool) -> Size {
        let side = self.scale_resolution as f64;
        let (mut height, mut width) = (height, width);
        if enlarges || height * width > side * side {
            let aspect = width / height;
            height = (side / aspect.sqrt()).trunc();
            width = (height * aspect).trunc();
        }
        let unit = self.token_side();
        (sizing::nearest_multiple(height, unit), sizing::nearest_multiple(width, unit))
    }
}

/// Most slices that are accepted: divisors of about as many are looked for with every image.
const MOST: usize = 4096;

impl Measure for Slices {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        if self.max_slice_nums > MOST {
            let given = self.max_slice_nums.to_string();
            return Err(Error::Option { name: "max_slice_nums", rule: "in 1..=4096", given });
        }
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        if !context.common.do_resize {
            let rule = "True: every view is resized to whole tokens";
            return Err(Error::Option { name: "do_resize", rule, given: "False".into() });
        }
        let filter = context.common.resample;
        let patch = (self.patch_size, self.patch_size);
        let grid = self
            .slice_mode
            .then(|| sizing::slice_grid(size, self.max_slice_nums, self.scale_resolution))
            .flatten();
        let enlarges = grid.is_none() && self.small_image_upsize == SmallImages::Always;
        let whole = self.view(size.0 as f64, size.1 as f64, enlarges);
        let mut layout =
            Layout::of([Shape::stretched(Role::Whole, size, whole, filter).cut(patch)]);
        let Some(grid) = grid else { return Ok(layout) };
        layout.parts = grid;
        let part = |side: usize, parts: usize| {
            sizing::nearest_multiple(side as f64, parts) as f64 / parts as f64
        };
        let slice = self.view(part(size.0, grid.rows), part(size.1, grid.columns), true);
        let canvas = (slice.0 * grid.rows, slice.1 * grid.columns);
        layout.push(Shape::stretched(Role::Step, size, canvas, filter))?;
        for row in 0..grid.rows {
            for column in 0..grid.columns {
                let (top, left) = (row * slice.0, column * slice.1);
                let source = Rect { top, left, size: slice };
                let shape = Shape::stretched(Role::Crop, slice, slice, filter).cut(patch);
                layout.push(Shape { source, ..shape }.from_shape(1))?;
            }
        }
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        Cells::filling(shape.canvas, self.token_side())
    }

    fn smallest(&self) -> Size {
        (self.scale_resolution, self.scale_resolution)
    }
}
