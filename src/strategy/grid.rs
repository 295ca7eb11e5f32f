//! Stretch to the tile grid of the closest aspect ratio.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Cells, Context, Knob, Layout, Measure, Shape};
use crate::error::{Result, Size, push};
use crate::names::names;
use crate::options::{Choice, Count, Flag, Positive, SideOrSize, options};
use crate::plan::Role;
use crate::sizing::{Grid, RatioOrder, Ratios};
use crate::spec::Common;

names! {
    /// What a tile budget means for a sample of several images.
    pub enum MultiImage: "multi_image" {
        /// Each image has the whole budget.
        Full = "full",
        /// The images share it: `max(1, max_num // n)` each.
        Divide = "divide",
    }
}

options! {
    /// Takes, of all grids of `min_num` to `max_num` tiles, the one whose aspect ratio is closest to the image's, as
    /// InternVL's `dynamic_preprocess`.
    pub struct AspectGrid {
        /// Height and width of a tile in pixels.
        image_size: SideOrSize = (448, 448),
        /// Fewest tiles, the thumbnail not counted.
        min_num: Count = 1,
        /// Most tiles, the thumbnail not counted.
        max_num: Count = 12,
        /// Append the whole image at tile size when there is more than one tile.
        use_thumbnail: Flag = true,
        /// Off: every image becomes one tile.
        crop_to_patches: Flag = true,
        /// What a tile budget means for a sample of several images.
        multi_image: Choice<MultiImage> = MultiImage::Full,
        /// Side of a vision encoder's patch in pixels.
        patch_size: Count = 14,
        /// Side of the token grid over side of the patch grid.
        downsample_ratio: Positive = 0.5,
    }
    fixed {
        /// Which of two grids of as many tiles is looked at first, and so wins a tie.
        tie_order: RatioOrder = RatioOrder::Columns,
        /// What makes a grid the best one.
        best: BestGrid = BestGrid::Closest,
    }
}

/// What makes a grid the best one for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BestGrid {
    /// Its aspect ratio is closest to the image's: [`Ratios::closest`].
    Closest,
    /// Its aspect ratio and its area, up to 0.6 of the image's, come closest to the image's: [`Ratios::fullest`].
    Fullest,
}

/// The candidates of the whole budget, and those of shares of it as they are asked for.
pub struct Candidates {
    whole: Ratios,
    shares: Mutex<Vec<(usize, Arc<Ratios>)>>,
}

impl AspectGrid {
    /// Whether images are cut into tiles: upstream's PIL backend cuts only above one, which shows where nothing is
    /// resized.
    fn crops(&self, context: &Context<'_>) -> bool {
        let several =
            self.max_num > 1 || context.common.do_resize || context.numerics.int16_weights();
        self.crop_to_patches && several
    }

    fn of(&self, ratios: &Ratios, size: Size, tile: Size) -> Result<Grid> {
        match self.best {
            BestGrid::Closest => ratios.closest(size, tile),
            BestGrid::Fullest => ratios.fullest(size, tile),
        }
    }

    fn grid(&self, ready: &Candidates, size: Size, tile: Size, images: usize) -> Result<Grid> {
        if self.multi_image == MultiImage::Full || images <= 1 {
            return self.of(&ready.whole, size, tile);
        }
        let share = (self.max_num / images).max(1);
        // A share below `min_num` leaves upstream without any candidate, and its grid is then 1 x 1.
        if self.min_num > share {
            return Ok(Grid { rows: 1, columns: 1 });
        }
        let mut shares = ready.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shares.iter().find(|(most, _)| *most == share);
        let ratios = if let Some((_, ratios)) = found {
            Arc::clone(ratios)
        } else {
            let ratios = Arc::new(Ratios::new(self.tie_order, self.min_num, share)?);
            push(&mut shares, (share, Arc::clone(&ratios)))?;
            ratios
        };
        drop(shares);
        self.of(&ratios, size, tile)
    }
}

/// Tokens of a tile after pixel shuffle, in upstream's own arithmetic: `int((side // patch) ** 2 * downsample_ratio ** 2)`.
pub(super) fn shuffled(unit: Size, patch_size: usize, ratio: f64) -> Cells {
    let (rows, columns) = (unit.0 / patch_size, unit.1 / patch_size);
    let tokens = ((rows * columns) as f64 * (ratio * ratio)) as usize;
    // Pixel shuffle merges whole squares of patches or nothing.
    let merge = (1.0 / ratio).round_ties_even() as usize;
    let side = |patches: usize| patches.checked_div(merge).unwrap_or(0);
    let grid = Grid { rows: side(rows), columns: side(columns) };
    let whole = grid.rows * merge == rows && grid.columns * merge == columns;
    Cells {
        tokens,
        side: merge * patch_size,
        grid: (whole && grid.count() == tokens).then_some(grid),
        seen: (rows * patch_size, columns * patch_size),
    }
}

impl Measure for AspectGrid {
    type Ready = Candidates;

    fn prepare(&self, _common: &Common) -> Result<Candidates> {
        let whole = Ratios::new(self.tie_order, self.min_num, self.max_num)?;
        Ok(Candidates { whole, shares: Mutex::default() })
    }

    fn measure(&self, ready: &Candidates, size: Size, context: &Context<'_>) -> Result<Layout> {
        // An image that is neither cropped nor resized is one tile of its own size, as upstream has it.
        let crops = self.crops(context);
        let tile = if crops || context.common.do_resize { self.image_size } else { size };
        let grid = if crops {
            self.grid(ready, size, tile, context.images)?
        } else {
            Grid { rows: 1, columns: 1 }
        };
        let filter = context.common.resample;
        let canvas = (tile.0 * grid.rows, tile.1 * grid.columns);
        let several = grid.count() > 1;
        let role = if several { Role::Tiles } else { Role::Whole };
        let tiles = Shape::stretched(role, size, canvas, filter).cut(tile);
        let thumbnail = (self.use_thumbnail && several)
            .then(|| Shape::stretched(Role::Thumbnail, size, tile, filter));
        let mut layout = Layout::of([tiles].into_iter().chain(thumbnail));
        layout.main = 0;
        Ok(layout)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn cells(&self, shape: &Shape) -> Cells {
        shuffled(shape.unit, self.patch_size, self.downsample_ratio)
    }

    fn knob(&self) -> Result<Option<Knob>> {
        Ok(Some(Knob::Count { name: "max_num", range: (self.min_num, self.max_num) }))
    }

    fn smallest(&self) -> Size {
        self.image_size
    }
}
