//! Shrink into a box and pad to it, as Fuyu; or scale by the shorter side, shrink into a page and centre it, as Donut.

use super::{Cells, Context, Layout, Measure, Reached, Shape, Span};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Flag, Number, SideOrSize, options};
use crate::plan::Role;
use crate::resample::{Filter, reduction};
use crate::sizing::{self, Grid, Placement};
use crate::spec::Common;

options! {
    /// Shrinks the image into `image_size` and pads it below and on the right, as Fuyu's processor.
    pub struct BoxPad {
        /// Height and width of the box in pixels.
        image_size: SideOrSize = (1080, 1920),
        /// Off: images of one call must have one size.
        do_pad: Flag = true,
        /// The byte that every channel is padded with, before it is rescaled.
        padding_value: Number = 1.0,
        /// Side of a patch in pixels.
        patch_size: Count = 30,
    }
}

options! {
    /// Scales the shorter side to that of the page, shrinks the result into the page and centres it on black, as Donut's
    /// processor.
    pub struct Page {
        /// Height of the page in pixels.
        height: Count = 2560,
        /// Width of the page in pixels.
        width: Count = 1920,
        /// Shrink what is larger than the page.
        do_thumbnail: Flag = true,
        /// Turn images a quarter clockwise where their longer side is the page's shorter one. The facade acts on it:
        /// sizes and coordinates are those of the turned image.
        do_align_long_axis: Flag = false,
        /// Cut off the margins of light pixels. The facade acts on it: there is no plan without pixels.
        do_crop_margin: Flag = false,
        /// Centre on a page; off: images of one call must have one size.
        do_pad: Flag = true,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 4,
    }
    fixed {
        /// Whether the image is shrunk into the page by the bicubic filter, under Pillow after a reduction by whole
        /// factors, as Nougat has it.
        reducing: bool = false,
    }
}

/// How many times as many pixels as the page has Pillow leaves a side when it reduces.
const GAP: f64 = 2.0;

impl Page {
    /// The filter by which the image is shrunk into the page.
    fn thumbnail_filter(&self, filter: Filter, torchvision: bool) -> Filter {
        // Upstream's Pillow class takes the nearest, which is number 0, for one that is not given.
        let not_given = !torchvision && filter == Filter::Nearest;
        if self.reducing || not_given { Filter::Bicubic } else { filter }
    }
}

impl BoxPad {
    fn byte(&self) -> Result<u8> {
        let value = self.padding_value;
        if value.fract() == 0.0 && (0.0..=255.0).contains(&value) {
            return Ok(value as u8);
        }
        let rule = "a whole number in 0..=255";
        Err(Error::Option { name: "padding_value", rule, given: value.to_string() })
    }
}

fn beyond(size: Size) -> Error {
    let rule = "at least as large as the resized image";
    Error::Option { name: "size", rule, given: format!("less than {size:?}") }
}

impl Measure for BoxPad {
    type Ready = u8;

    fn prepare(&self, _common: &Common) -> Result<u8> {
        self.byte()
    }

    fn measure(&self, ready: &u8, size: Size, context: &Context<'_>) -> Result<Layout> {
        let canvas = self.image_size;
        let larger = size.0 > canvas.0 || size.1 > canvas.1;
        let resized =
            if context.common.do_resize && larger { sizing::within(size, canvas) } else { size };
        super::not_empty("resized image", resized)?;
        let shape = Shape::stretched(Role::Whole, size, resized, context.common.resample);
        if !self.do_pad {
            return Ok(Layout::of([shape]));
        }
        if resized.0 > canvas.0 || resized.1 > canvas.1 {
            return Err(beyond(resized));
        }
        let placement = Placement { resized, offset: (0, 0) };
        Ok(Layout::of([shape.placed(placement, canvas, [*ready; 3])]))
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let side = self.patch_size;
        let grid = Grid { rows: shape.unit.0 / side, columns: shape.unit.1 / side };
        let seen = (grid.rows * side, grid.columns * side);
        Cells { tokens: grid.count(), side, grid: Some(grid), seen }
    }

    /// Patches that the image reaches.
    fn reached(&self, layout: &Layout) -> Option<Reached> {
        let main = layout.main();
        let along = |side: usize, canvas: usize| {
            Span::whole(side.div_ceil(self.patch_size).min(canvas / self.patch_size))
        };
        Some(Reached {
            cells: self.cells(main),
            tiles: Grid { rows: 1, columns: 1 },
            rows: along(main.resized.0, main.canvas.0),
            columns: along(main.resized.1, main.canvas.1),
        })
    }

    fn smallest(&self) -> Size {
        self.image_size
    }
}

impl Measure for Page {
    type Ready = ();

    fn prepare(&self, _common: &Common) -> Result<()> {
        Ok(())
    }

    fn measure(&self, (): &(), size: Size, context: &Context<'_>) -> Result<Layout> {
        let filter = context.common.resample;
        let page = (self.height, self.width);
        let torchvision = context.numerics.int16_weights();
        let across = if page.1 < page.0 { size.1 > size.0 } else { size.1 < size.0 };
        if self.reducing && self.do_align_long_axis && torchvision && across && page.0 != page.1 {
            let rule =
                "False for such an image with torchvision's numbers: upstream turns other axes";
            let (name, given) = ("do_align_long_axis", format!("True for {size:?}"));
            return Err(Error::Option { name, rule, given });
        }
        let scaled = if context.common.do_resize {
            sizing::shortest_edge(size, page.0.min(page.1))
        } else {
            size
        };
        let small = if self.do_thumbnail { sizing::thumbnail(scaled, page) } else { scaled };
        super::not_empty("resized image", small)?;
        let mut layout = Layout::of([]);
        let mut shape = Shape::stretched(Role::Whole, size, small, filter);
        if small != scaled {
            let shrunk = |role| {
                let filter = self.thumbnail_filter(filter, torchvision);
                let shape = Shape::stretched(role, scaled, small, filter);
                if scaled == size { shape } else { shape.from_shape(0) }
            };
            if scaled != size {
                layout.push(Shape::stretched(Role::Step, size, scaled, filter))?;
            }
            shape = shrunk(Role::Whole);
            if self.reducing && !torchvision && reduction(scaled, small, GAP) != (1, 1) {
                let number = layout.shapes.len();
                layout.push(Shape { reduces: true, ..shrunk(Role::Step) })?;
                shape = Shape::stretched(Role::Whole, small, small, filter).from_shape(number);
            }
        }
        if self.do_pad {
            let room = |page: usize, side: usize| (page as isize - side as isize).div_euclid(2);
            let offset = (room(page.0, small.0), room(page.1, small.1));
            // Upstream's torchvision backend crops what is larger than the page; Pillow's cannot.
            if (offset.0 < 0 || offset.1 < 0) && !torchvision {
                return Err(beyond(small));
            }
            shape = Shape { canvas: page, offset, unit: page, step: page, ..shape };
        }
        layout.main = layout.shapes.len();
        layout.push(shape)?;
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// The encoder merges its patches three times by two.
    fn cells(&self, shape: &Shape) -> Cells {
        let side = self.patch_size * 8;
        let grid = Grid { rows: shape.unit.0 / side, columns: shape.unit.1 / side };
        let seen = (grid.rows * side, grid.columns * side);
        Cells { tokens: grid.count(), side, grid: Some(grid), seen }
    }

    fn smallest(&self) -> Size {
        (self.height, self.width)
    }
}
