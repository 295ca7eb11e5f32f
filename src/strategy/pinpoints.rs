//! Pad into the best of a list of canvases, cut it into tiles, and show the whole image stretched before them; or split by
//! such a canvas and pad every part to a square.

use super::fixed::center_cropped;
use super::{Cells, Context, Layout, Measure, Reached, Shape, Span};
use crate::error::{Error, Result, Size};
use crate::options::{Count, Flag, Maybe, Pairs, SideOrSize, options};
use crate::plan::{Rect, Role};
use crate::sizing::{self, Canvases, Grid, Placement};
use crate::spec::{Common, mean_colour};

options! {
    /// Takes the canvas that keeps the most pixels, pads the image into it and cuts it into tiles, as LLaVA-NeXT's
    /// processor. Tiles that are not of the encoder's size are resized and cropped to it.
    pub struct Pinpoints {
        /// Canvases as (height, width).
        image_grid_pinpoints: Pairs = Vec::new(),
        /// Height of the whole image and of tiles in pixels.
        height: Maybe<Count> = None,
        /// Width, likewise.
        width: Maybe<Count> = None,
        /// The shorter side of both, where there is no height and width; the whole image becomes a square of it.
        shortest_edge: Maybe<Count> = None,
        /// Crop the centre of every view to `crop_size`.
        do_center_crop: Flag = false,
        /// Height and width of the crop; its height is also the side of a tile.
        crop_size: Maybe<SideOrSize> = None,
        /// Fill images up to as many views as the largest has; off: all must have as many.
        do_pad: Flag = true,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
    }
    fixed {
        /// Above so many images in a sample nothing is tiled: each is padded to a square.
        most_tiled: Option<usize> = None,
        /// The model shrinks features of more cells than so many tiles have.
        most_tiles_seen: Option<usize> = None,
    }
}

options! {
    /// Splits the image by the canvas that keeps the most pixels, or not at all, then scales every part and pads it to
    /// a square, right and below, as Aria's processor.
    pub struct SplitPad {
        /// Side of the square in pixels: 490 or 980.
        max_image_size: Count = 980,
        /// Neither side of a part becomes smaller than this.
        min_image_size: Count = 336,
        /// Split the image.
        split_image: Flag = false,
        /// Canvases as (height, width).
        split_resolutions: Pairs = Vec::new(),
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
    }
}

/// Checks a list of canvases.
fn canvases(name: &'static str, pairs: &[(usize, usize)]) -> Result<Canvases> {
    if pairs.is_empty() || pairs.iter().any(|pair| pair.0.max(pair.1) >= 1 << 31) {
        let rule = "at least one (height, width)";
        return Err(Error::Option { name, rule, given: format!("{} pairs", pairs.len()) });
    }
    Canvases::new(pairs.iter().copied())
}

/// The image on a canvas of its own, scaled to it rounding up and centred rounding down, as upstream pads for tiles.
fn padded(role: Role, size: Size, canvas: Size, context: &Context<'_>) -> Shape {
    let resized = sizing::contain_up(size, canvas);
    let offset = ((canvas.0 - resized.0) / 2, (canvas.1 - resized.1) / 2);
    Shape::stretched(role, size, resized, context.common.resample).placed(
        Placement { resized, offset },
        canvas,
        [0; 3],
    )
}

/// Parts of a canvas of `side` pixels, row by row; the last of a row or column are what is left.
fn parts(canvas: Size, side: usize) -> impl Iterator<Item = Rect> {
    (0..canvas.0).step_by(side).flat_map(move |top| {
        (0..canvas.1).step_by(side).map(move |left| Rect {
            top,
            left,
            size: (side.min(canvas.0 - top), side.min(canvas.1 - left)),
        })
    })
}

impl Pinpoints {
    /// Height and width of the whole image.
    fn base(&self) -> Result<Size> {
        match (self.height, self.width, self.shortest_edge) {
            (Some(height), Some(width), _) => Ok((height, width)),
            (_, _, Some(edge)) => Ok((edge, edge)),
            _ => {
                let rule = "height and width, or shortest_edge";
                Err(Error::Option { name: "size", rule, given: "neither".into() })
            }
        }
    }

    /// Side of a tile.
    fn tile(&self, base: Size) -> usize {
        self.crop_size.map_or(base.0, |crop| crop.0)
    }

    /// What upstream does with every view: resize it, and crop its centre.
    fn finished(&self, role: Role, source: Size, context: &Context<'_>) -> Result<Shape> {
        let resized = match (context.common.do_resize, self.height, self.width, self.shortest_edge)
        {
            (true, Some(height), Some(width), _) => (height, width),
            (true, _, _, Some(edge)) => sizing::shortest_edge(source, edge),
            _ => source,
        };
        super::not_empty("resized image", resized)?;
        let shape = Shape::stretched(role, source, resized, context.common.resample);
        match (self.do_center_crop, self.crop_size) {
            (true, Some(crop)) => Ok(center_cropped(context, shape, crop)),
            (true, None) => {
                let rule = "a size where do_center_crop is on";
                Err(Error::Option { name: "crop_size", rule, given: "None".into() })
            }
            (false, _) => Ok(shape),
        }
    }

    /// The image alone, padded to a square in the mean's colour.
    fn alone(&self, size: Size, context: &Context<'_>) -> Result<Layout> {
        let side = size.0.max(size.1);
        if size.0 == size.1 {
            return Ok(Layout::of([self.finished(Role::Whole, size, context)?]));
        }
        let offset = ((side - size.0) / 2, (side - size.1) / 2);
        let colour = mean_colour(context.common.image_mean);
        let square = Shape::stretched(Role::Step, size, size, context.common.resample).placed(
            Placement { resized: size, offset },
            (side, side),
            colour,
        );
        let whole = self.finished(Role::Whole, (side, side), context)?.from_shape(0);
        Ok(Layout::of([square, whole]))
    }
}

impl Measure for Pinpoints {
    type Ready = Canvases;

    fn prepare(&self, _common: &Common) -> Result<Canvases> {
        self.base()?;
        canvases("image_grid_pinpoints", &self.image_grid_pinpoints)
    }

    fn measure(&self, ready: &Canvases, size: Size, context: &Context<'_>) -> Result<Layout> {
        if self.most_tiled.is_some_and(|most| context.images > most) {
            return self.alone(size, context);
        }
        let base = self.base()?;
        let side = self.tile(base);
        let canvas = ready.best(size)?;
        // Upstream stretches the image to the base's size before it resizes and crops, whatever `do_resize` says.
        let finished = self.finished(Role::Global, base, context)?;
        let filter = context.common.resample;
        let mut layout = if finished.resized == base {
            let source = Rect { top: 0, left: 0, size };
            Layout::of([Shape { source, ..finished }])
        } else {
            let step = Shape::stretched(Role::Step, size, base, filter);
            Layout::of([step, finished.from_shape(0)])
        };
        let tile = (side, side);
        let whole = canvas.0.is_multiple_of(side) && canvas.1.is_multiple_of(side);
        let as_it_is = self.finished(Role::Tiles, tile, context)?;
        if whole && as_it_is.resized == tile && as_it_is.canvas == tile {
            layout.push(padded(Role::Tiles, size, canvas, context).cut(tile))?;
            layout.main = layout.shapes.len() - 1;
        } else {
            let step = layout.shapes.len();
            layout.push(padded(Role::Step, size, canvas, context))?;
            layout.main = step;
            for source in parts(canvas, side) {
                let shape = self.finished(Role::Crop, source.size, context)?;
                layout.push(Shape { source, ..shape }.from_shape(step))?;
            }
        }
        super::equal_units("pixel_values", &layout)?;
        Ok(layout)
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

    /// The cells of the tiles that the image reaches: the model cuts off whole rows or columns of padding, and merges
    /// what is left where it is more than so many tiles.
    fn reached(&self, layout: &Layout) -> Option<Reached> {
        let base = self.base().ok()?;
        let side = base.0 / self.patch_size;
        let main = layout.main();
        if main.role == Role::Whole {
            return None;
        }
        let tile = self.tile(base);
        let tiles = Grid { rows: main.canvas.0 / tile, columns: main.canvas.1 / tile };
        let all = (side * tiles.rows, side * tiles.columns);
        let (mut rows, mut columns) = all;
        let (height, width) = main.source.size;
        let rounded = |side: f64| ((side * 1e7).round_ties_even() / 1e7) as usize;
        if width as f64 / height as f64 > columns as f64 / rows as f64 {
            let reached = rounded(height as f64 * (columns as f64 / width as f64));
            rows -= rows.saturating_sub(reached) / 2 * 2;
        } else {
            let reached = rounded(width as f64 * (rows as f64 / height as f64));
            columns -= columns.saturating_sub(reached) / 2 * 2;
        }
        let (seen_rows, seen_columns) = (rows, columns);
        if let Some(most) = self.most_tiles_seen {
            let ratio = ((rows * columns) as f64 / (most * side * side) as f64).sqrt();
            if ratio > 1.1 {
                let shrunk = |side: usize| (side as f64 / ratio).floor() as usize;
                (rows, columns) = (shrunk(rows), shrunk(columns));
            }
        }
        let span = |all: usize, seen: usize, tokens| Span { first: (all - seen) / 2, seen, tokens };
        let cells = self.cells(&Shape { unit: (tile, tile), ..*main });
        Some(Reached {
            cells,
            tiles,
            rows: span(all.0, seen_rows, rows),
            columns: span(all.1, seen_columns, columns),
        })
    }

    fn smallest(&self) -> Size {
        self.base().unwrap_or((1, 1))
    }
}

impl SplitPad {
    fn part(&self, role: Role, source: Rect, context: &Context<'_>) -> Shape {
        let (height, width) = source.size;
        let side = self.max_image_size;
        let scale = side as f64 / height.max(width) as f64;
        let shorter = |length: usize| ((length as f64 * scale) as usize).max(self.min_image_size);
        let resized =
            if width >= height { (shorter(height), side) } else { (side, shorter(width)) };
        let shape = Shape::stretched(role, source.size, resized, context.common.resample);
        Shape { source, ..shape }.placed(
            Placement { resized, offset: (0, 0) },
            (side, side),
            [0; 3],
        )
    }
}

impl Measure for SplitPad {
    type Ready = Canvases;

    fn prepare(&self, _common: &Common) -> Result<Canvases> {
        if ![490, 980].contains(&self.max_image_size) {
            let given = self.max_image_size.to_string();
            return Err(Error::Option { name: "max_image_size", rule: "490 or 980", given });
        }
        if self.min_image_size > self.max_image_size {
            let given = self.min_image_size.to_string();
            let rule = "at most max_image_size";
            return Err(Error::Option { name: "min_image_size", rule, given });
        }
        canvases("split_resolutions", &self.split_resolutions)
    }

    fn measure(&self, ready: &Canvases, size: Size, context: &Context<'_>) -> Result<Layout> {
        if !self.split_image {
            let source = Rect { top: 0, left: 0, size };
            return Ok(Layout::of([self.part(Role::Whole, source, context)]));
        }
        let canvas = ready.best(size)?;
        let mut layout = Layout::of([padded(Role::Step, size, canvas, context)]);
        for source in parts(canvas, self.max_image_size) {
            layout.push(self.part(Role::Crop, source, context).from_shape(0))?;
        }
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// The model's projector makes 128 tokens of the smaller square and 256 of the larger, wherever they come from.
    fn cells(&self, shape: &Shape) -> Cells {
        let tokens = if self.max_image_size == 490 { 128 } else { 256 };
        Cells { tokens, side: self.patch_size, grid: None, seen: shape.unit }
    }

    fn smallest(&self) -> Size {
        (self.max_image_size, self.max_image_size)
    }
}
