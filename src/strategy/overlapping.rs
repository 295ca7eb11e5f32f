//! Overlapping crops of a stretched canvas behind the whole image, whose tokens pool patches, as Molmo2.

use super::{Cells, Context, Layout, Measure, Pooling, Shape};
use crate::error::{Error, Result, Size, collected};
use crate::options::{Count, SideOrSize, SidesOrZero, options};
use crate::order;
use crate::plan::{Rect, Role};
use crate::sizing::{self, Grid, aspect_ratios};
use crate::spec::Common;

options! {
    /// Shows the image as a square, and stretched to a canvas that is cut into squares which overlap, as Molmo2's
    /// processors. A token pools a window of patches of the square, or of the canvas. Images are always resized.
    pub struct OverlappingCrops {
        /// Side of the whole image and of a crop in pixels.
        image_size: Count = 378,
        /// Most crops, the whole image not counted.
        max_crops: Count = 8,
        /// Patches at the start and at the end of a crop that belong to its neighbours.
        overlap_margins: SidesOrZero = (4, 4),
        /// Rows and columns of patches that one token pools.
        pooling_size: SideOrSize = (2, 2),
        /// Side of a patch in pixels.
        patch_size: Count = 14,
    }
    fixed {
        /// Whether there are crops beside the whole image.
        crops: bool = true,
    }
}

impl OverlappingCrops {
    const fn windows(&self) -> Pooling {
        Pooling { window: self.pooling_size, lead: self.overlap_margins.0 }
    }

    /// How many patches of a side of a crop are its own.
    fn own(&self) -> Result<usize> {
        if !self.image_size.is_multiple_of(self.patch_size) {
            let rule = "a multiple of patch_size";
            let given = format!("{} with patch_size={}", self.image_size, self.patch_size);
            return Err(Error::Option { name: "image_size", rule, given });
        }
        let all = self.image_size / self.patch_size;
        let margins = self.overlap_margins.0 + self.overlap_margins.1;
        if self.crops && margins >= all {
            let rule = "in sum less than a crop's patches a side";
            let given = format!("{:?} of {all}", self.overlap_margins);
            return Err(Error::Option { name: "overlap_margins", rule, given });
        }
        Ok(all.saturating_sub(margins))
    }
}

/// Patches a side of a crop that are its own, and the grids of crops to choose from.
pub struct Crops {
    own: usize,
    grids: Vec<Grid>,
}

impl Measure for OverlappingCrops {
    type Ready = Crops;

    fn prepare(&self, _common: &Common) -> Result<Crops> {
        let own = self.own()?;
        if !self.crops {
            return Ok(Crops { own, grids: Vec::new() });
        }
        let pairs = aspect_ratios(sizing::RatioOrder::Columns, 1, self.max_crops)?;
        // Upstream's candidates are sorted by the number of crops, then by rows.
        let mut numbers = collected(0..pairs.len())?;
        order::sort_by_key(&mut numbers, &mut |number| {
            let (rows, columns) = pairs[number];
            ((rows * columns) as u64, rows as u64)
        });
        let grid = |number: usize| Grid { rows: pairs[number].0, columns: pairs[number].1 };
        Ok(Crops { own, grids: collected(numbers.into_iter().map(grid))? })
    }

    fn measure(&self, ready: &Crops, size: Size, context: &Context<'_>) -> Result<Layout> {
        let filter = context.common.resample;
        let (crop, patch) = (self.image_size, (self.patch_size, self.patch_size));
        let square = (crop, crop);
        let whole = Shape::stretched(Role::Global, size, square, filter).cut(patch);
        let mut layout = Layout::of([whole]);
        if !self.crops {
            return Ok(layout);
        }
        let window = ready.own * self.patch_size;
        let margin = crop - window;
        let grid = sizing::covering_rest(size, margin, window, &ready.grids);
        layout.parts = grid;
        layout.main = 1;
        let canvas = (grid.rows * window + margin, grid.columns * window + margin);
        let room = grid.count() + 1;
        let bytes = room.saturating_mul(size_of::<Shape>());
        layout.shapes.try_reserve(room).map_err(|_| Error::OutOfMemory { bytes })?;
        layout.shapes.push(Shape::stretched(Role::Step, size, canvas, filter).cut(patch));
        let part = Shape::stretched(Role::Crop, square, square, filter).cut(patch).from_shape(1);
        for row in 0..grid.rows {
            for column in 0..grid.columns {
                let source = Rect { top: row * window, left: column * window, size: square };
                layout.shapes.push(Shape { source, ..part });
            }
        }
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        let pooling = self.windows();
        let patches = (shape.canvas.0 / self.patch_size, shape.canvas.1 / self.patch_size);
        let grid = pooling.grid(patches);
        // Windows that begin before the first patch, or that are no squares, are no grid of square cells.
        let square = pooling.window.0 == pooling.window.1 && pooling.before(patches) == (0, 0);
        Cells {
            tokens: grid.count(),
            side: pooling.window.0 * self.patch_size,
            grid: square.then_some(grid),
            seen: shape.canvas,
        }
    }

    fn most_rows(&self) -> usize {
        let side = self.image_size / self.patch_size;
        side * side
    }

    fn pooling(&self) -> Option<Pooling> {
        Some(self.windows())
    }
}
