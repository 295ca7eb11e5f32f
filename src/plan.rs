//! Everything that will happen to an image, from its size alone. Every size error is raised here.

mod video;

use crate::error::{Error, Result, Size};
use crate::resample::{Filter, Numerics};
use crate::sizing::{self, Budget, Grid, Placement};
use crate::spec::{
    AspectGrid, BestCanvas, Coords, MultiImage, PadSquare, Rule, SmartResize, Spec, mean_colour,
};

/// What a view is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The whole image, once.
    Whole,
    /// The whole image over a grid of tiles.
    Tiles,
    /// The whole image at tile size beside its tiles.
    Thumbnail,
    /// The whole image, padded, before its tiles.
    Global,
    /// The larger of two resolutions.
    HighRes,
}

impl Role {
    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Tiles => "tiles",
            Self::Thumbnail => "thumbnail",
            Self::Global => "global",
            Self::HighRes => "high_res",
        }
    }
}

/// Where a view's pixels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The image.
    Image,
    /// The canvas of an earlier view.
    View(usize),
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows and columns.
    pub size: Size,
}

/// How a canvas is cut into the rows of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Square patches, merge block by merge block, each as (channel, frame, row, column).
    Patches {
        /// Side of a patch in pixels.
        patch: usize,
        /// Patches a side of a merge block.
        merge: usize,
        /// Frames of a patch.
        temporal: usize,
    },
    /// Tiles row by row, each as (channel, row, column).
    Tiles {
        /// Height and width of a tile.
        tile: Size,
    },
    /// The canvas itself as (row, column, channel) of bytes.
    Rows {
        /// Bytes of a pixel.
        pixel: usize,
    },
}

/// One resize of the image, or of an earlier view, and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// What it is to the model.
    pub role: Role,
    /// Where its pixels come from.
    pub from: From,
    /// The part of them it shows.
    pub source: Rect,
    /// The size that part is scaled to; a side of zero leaves the canvas empty.
    pub resized: Size,
    /// The filter of that resize.
    pub filter: Filter,
    /// The canvas it is laid on.
    pub canvas: Size,
    /// Rows above and columns left of it on the canvas.
    pub offset: (usize, usize),
    /// The canvas's colour where the image does not reach.
    pub background: [u8; 3],
    /// How the canvas is cut.
    pub cut: Cut,
    /// Patches or tiles of the canvas.
    pub grid: Grid,
    /// Which of the plan's outputs it fills, and with which normalisation of the spec.
    pub output: usize,
    /// The first row of this image's part of that output that it fills.
    pub index: usize,
}

impl View {
    /// How many rows of its output it fills.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.grid.count()
    }
}

/// This image's part of one array.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The array's key.
    pub key: &'static str,
    /// Patches or tiles.
    pub rows: usize,
    /// How one of them is cut.
    pub cut: Cut,
}

/// One number, or one row of numbers, about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The array's key.
    pub key: &'static str,
    /// The numbers.
    pub values: Vec<i64>,
    /// Whether the array has one number an image instead of one row.
    pub scalar: bool,
}

/// A run of tokens, in the order in which the language model sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The cells of a view.
    Cells(Cells),
    /// One token between two views.
    Separator,
}

/// How the canvas of a view becomes tokens: each tile is a grid of square cells, a token each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// The view.
    pub view: usize,
    /// Tiles of its canvas; one where the encoder sees it whole.
    pub tiles: Grid,
    /// Height and width of a tile in pixels.
    pub tile: Size,
    /// The part of a tile that the encoder's patches cover: the rest of it no token sees.
    pub seen: Size,
    /// Side of a cell in pixels; the last ones may reach beyond what is seen.
    pub cell: usize,
    /// Cells of a tile.
    pub grid: Grid,
    /// Rows of cells run over all tiles and end in a newline token each; else tile after tile.
    pub newline: bool,
}

impl Cells {
    /// How many tokens.
    #[must_use]
    pub const fn count(&self) -> usize {
        let rows = self.tiles.rows * self.grid.rows;
        rows * (self.tiles.columns * self.grid.columns + if self.newline { 1 } else { 0 })
    }
}

/// Everything that will happen to an image of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The family.
    pub family: &'static str,
    /// The image.
    pub source: Size,
    /// Frames of a video; 1 for an image.
    pub frames: usize,
    /// Images of its sample.
    pub num_images: usize,
    /// The size the image is scaled to for its main view, padding not counted.
    pub resized: Size,
    /// Patches or tiles of the main view.
    pub grid: Grid,
    /// Every resize, in order of execution.
    pub views: Vec<View>,
    /// This image's part of every array of pixels.
    pub outputs: Vec<Output>,
    /// This image's row in every other array.
    pub facts: Vec<Fact>,
    /// Tiles, thumbnails and global views counted; 0 where there are none.
    pub num_tiles: usize,
    /// Patches of the vision encoder.
    pub num_patches: usize,
    /// Tokens as the language model sees them.
    pub num_tokens: usize,
    /// What each of them sees; empty where the options give tiles that no such model can take.
    pub runs: Vec<Run>,
    /// How often the runs follow one another: once for each temporal patch of a video, else once.
    pub repeats: usize,
    /// The coordinates that the family was trained to speak.
    pub coords: Coords,
}

const PIXEL_VALUES: &str = "pixel_values";
const ONE: Grid = Grid { rows: 1, columns: 1 };

impl Plan {
    /// The plan for one image of `size` in a sample of `count` images, or for a video of `count` frames.
    ///
    /// # Errors
    /// Every error that a size can cause.
    pub fn new(spec: &Spec, size: Size, count: usize) -> Result<Self> {
        if size.0 == 0 || size.1 == 0 {
            return Err(Error::ZeroSide { what: "image", size });
        }
        check_area(spec, "image", size)?;
        let plan = match &spec.rule {
            Rule::SmartResize(rule) => smart_resize(spec, rule, size)?,
            Rule::AspectGrid(rule) => aspect_grid(spec, rule, size, count)?,
            Rule::BestCanvas(rule) => best_canvas(spec, rule, size, count)?,
            Rule::PadSquare(rule) => pad_square(spec, rule, size)?,
            Rule::Video(rule) => video::plan(spec, rule, size, count)?,
        };
        let num_images = if matches!(spec.rule, Rule::Video(_)) { 1 } else { count };
        Ok(Self { num_images, coords: spec.coords, ..plan })
    }

    /// A plan that resizes to `target` and does nothing else.
    ///
    /// # Errors
    /// `ZeroSide`, `TooLarge`.
    pub fn resize(
        source: Size,
        target: Size,
        pixel: usize,
        filter: Filter,
        limit: u64,
    ) -> Result<Self> {
        for (what, size) in [("image", source), ("size", target)] {
            if size.0 == 0 || size.1 == 0 {
                return Err(Error::ZeroSide { what, size });
            }
            if size.0 as u128 * size.1 as u128 > u128::from(limit) {
                return Err(Error::TooLarge { what, size, limit });
            }
        }
        let placement = Placement { resized: target, offset: (0, 0) };
        let cut = Cut::Rows { pixel };
        let view = whole(source, placement, target, cut, ONE, filter);
        let mut plan = Self::of("resize", source, vec![view]);
        plan.outputs = vec![Output { key: "image", rows: 1, cut }];
        Ok(plan)
    }

    fn of(family: &'static str, source: Size, views: Vec<View>) -> Self {
        let main = views.len() - 1;
        Self {
            family,
            source,
            frames: 1,
            num_images: 1,
            resized: views[main].resized,
            grid: views[main].grid,
            views,
            outputs: Vec::new(),
            facts: Vec::new(),
            num_tiles: 0,
            num_patches: 0,
            num_tokens: 0,
            runs: Vec::new(),
            repeats: 1,
            coords: Coords::Resized,
        }
    }
}

fn check_area(spec: &Spec, what: &'static str, size: Size) -> Result<()> {
    let limit = spec.max_image_pixels;
    let area = size.0 as u128 * size.1 as u128;
    if area > u128::from(limit) { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

fn whole(
    source: Size,
    placement: Placement,
    canvas: Size,
    cut: Cut,
    grid: Grid,
    filter: Filter,
) -> View {
    View {
        role: Role::Whole,
        from: From::Image,
        source: Rect { top: 0, left: 0, size: source },
        resized: placement.resized,
        filter,
        canvas,
        offset: placement.offset,
        background: [0; 3],
        cut,
        grid,
        output: 0,
        index: 0,
    }
}

const fn stretched(size: Size) -> Placement {
    Placement { resized: size, offset: (0, 0) }
}

fn smart_resize(spec: &Spec, rule: &SmartResize, size: Size) -> Result<Plan> {
    let factor = rule.patch_size * rule.merge_size;
    let budget = Budget { factor, min_pixels: rule.min_pixels, max_pixels: rule.max_pixels };
    let resized = if spec.do_resize {
        sizing::smart_resize(size, budget)?
    } else if size.0.is_multiple_of(factor) && size.1.is_multiple_of(factor) {
        size
    } else {
        let unit_name = "patch_size * merge_size";
        return Err(Error::NotMultiple { size, unit: (factor, factor), unit_name });
    };
    check_area(spec, "resized image", resized)?;
    let grid = Grid { rows: resized.0 / rule.patch_size, columns: resized.1 / rule.patch_size };
    let cut = Cut::Patches {
        patch: rule.patch_size,
        merge: rule.merge_size,
        temporal: rule.temporal_patch_size,
    };
    let view = whole(size, stretched(resized), resized, cut, grid, spec.resample);
    let mut plan = Plan::of(spec.family, size, vec![view]);
    plan.outputs = vec![Output { key: PIXEL_VALUES, rows: grid.count(), cut }];
    plan.facts = vec![Fact {
        key: "image_grid_thw",
        values: vec![1, grid.rows as i64, grid.columns as i64],
        scalar: false,
    }];
    plan.num_patches = grid.count();
    plan.num_tokens = grid.count() / (rule.merge_size * rule.merge_size);
    plan.runs = vec![Run::Cells(Cells {
        view: 0,
        tiles: ONE,
        tile: resized,
        seen: resized,
        cell: factor,
        grid: Grid { rows: resized.0 / factor, columns: resized.1 / factor },
        newline: false,
    })];
    Ok(plan)
}

fn aspect_grid(spec: &Spec, rule: &AspectGrid, size: Size, num_images: usize) -> Result<Plan> {
    // An image that is neither cropped nor resized is one tile of its own size, as upstream has it.
    let crops = crops(spec, rule);
    let tile = if crops || spec.do_resize { rule.image_size } else { size };
    let grid = if crops {
        let (min_num, max_num) = tile_budget(rule, num_images);
        sizing::closest_aspect_grid(rule.order, size, tile, min_num, max_num)?
    } else {
        ONE
    };
    let canvas = (tile.0 * grid.rows, tile.1 * grid.columns);
    check_area(spec, "resized image", canvas)?;
    let cut = Cut::Tiles { tile };
    let tiles = View {
        role: if grid.count() == 1 { Role::Whole } else { Role::Tiles },
        ..whole(size, stretched(canvas), canvas, cut, grid, spec.resample)
    };
    let mut plan = Plan::of(spec.family, size, vec![tiles]);
    if rule.use_thumbnail && grid.count() > 1 {
        plan.views.push(View {
            role: Role::Thumbnail,
            index: grid.count(),
            ..whole(size, stretched(tile), tile, cut, ONE, spec.resample)
        });
    }
    plan.num_tiles = plan.views.iter().map(View::count).sum();
    plan.outputs = vec![Output { key: PIXEL_VALUES, rows: plan.num_tiles, cut }];
    plan.facts =
        vec![Fact { key: "num_patches", values: vec![plan.num_tiles as i64], scalar: true }];
    let encoder = Grid { rows: tile.0 / rule.patch_size, columns: tile.1 / rule.patch_size };
    let tokens = tokens_of_tile(rule, tile);
    plan.num_patches = plan.num_tiles * encoder.count();
    plan.num_tokens = plan.num_tiles * tokens;
    // Pixel shuffle merges whole squares of patches or nothing.
    let merge = (1.0 / rule.downsample_ratio).round_ties_even() as usize;
    let side = |patches: usize| patches.checked_div(merge).unwrap_or(0);
    let cells = Grid { rows: side(encoder.rows), columns: side(encoder.columns) };
    if cells.rows * merge == encoder.rows
        && cells.columns * merge == encoder.columns
        && cells.count() == tokens
    {
        plan.runs = (0..plan.views.len())
            .map(|view| {
                Run::Cells(Cells {
                    view,
                    tiles: plan.views[view].grid,
                    tile,
                    seen: (encoder.rows * rule.patch_size, encoder.columns * rule.patch_size),
                    cell: merge * rule.patch_size,
                    grid: cells,
                    newline: false,
                })
            })
            .collect();
    }
    Ok(plan)
}

/// Whether images are cut into tiles: upstream's PIL backend cuts only above one, which shows where nothing is resized.
pub(crate) fn crops(spec: &Spec, rule: &AspectGrid) -> bool {
    let several = rule.max_num > 1 || spec.do_resize || spec.numerics == Numerics::Torchvision;
    rule.crop_to_patches && several
}

/// Fewest and most tiles of an image in a sample of `num_images`.
pub(crate) fn tile_budget(rule: &AspectGrid, num_images: usize) -> (usize, usize) {
    let max_num = match rule.multi_image {
        MultiImage::Full => rule.max_num,
        MultiImage::Divide => (rule.max_num / num_images.max(1)).max(1),
    };
    // A share below `min_num` leaves upstream without any candidate, and its grid is then 1 x 1.
    if rule.min_num > max_num { (1, 1) } else { (rule.min_num, max_num) }
}

/// Upstream's own arithmetic: `int((side // patch) ** 2 * downsample_ratio ** 2)`.
pub(crate) fn tokens_of_tile(rule: &AspectGrid, (height, width): Size) -> usize {
    let patches = (height / rule.patch_size) * (width / rule.patch_size);
    (patches as f64 * (rule.downsample_ratio * rule.downsample_ratio)) as usize
}

fn best_canvas(spec: &Spec, rule: &BestCanvas, size: Size, num_images: usize) -> Result<Plan> {
    let side = rule.tile();
    let tile = (side, side);
    let canvas = if num_images <= rule.max_images_tiled {
        let candidates: Vec<Size> =
            rule.candidate_resolutions.iter().map(|&(width, height)| (height, width)).collect();
        sizing::best_canvas(size, &candidates)?
    } else {
        tile
    };
    check_area(spec, "resized image", canvas)?;
    let cut = Cut::Tiles { tile };
    let background = mean_colour(spec.image_mean);
    let padded = |role, canvas: Size, grid, index| View {
        role,
        background,
        index,
        ..whole(size, sizing::contain(size, canvas), canvas, cut, grid, spec.resample)
    };
    let grid = Grid { rows: canvas.0 / side, columns: canvas.1 / side };
    let views = vec![padded(Role::Global, tile, ONE, 0), padded(Role::Tiles, canvas, grid, 1)];
    let mut plan = Plan::of(spec.family, size, views);
    plan.num_tiles = 1 + grid.count();
    plan.outputs = vec![Output { key: PIXEL_VALUES, rows: plan.num_tiles, cut }];
    let encoder = side / rule.patch_size;
    let tokens = encoder.div_ceil(rule.downsample_ratio);
    plan.num_patches = plan.num_tiles * encoder * encoder;
    plan.num_tokens = tokens_of_canvas(rule, grid);
    let cells = |view, tiles| {
        Run::Cells(Cells {
            view,
            tiles,
            tile,
            seen: (encoder * rule.patch_size, encoder * rule.patch_size),
            cell: rule.patch_size * rule.downsample_ratio,
            grid: Grid { rows: tokens, columns: tokens },
            newline: true,
        })
    };
    plan.runs = vec![cells(0, ONE), Run::Separator, cells(1, grid)];
    plan.facts = vec![
        Fact {
            key: "images_spatial_crop",
            values: vec![grid.columns as i64, grid.rows as i64],
            scalar: false,
        },
        Fact { key: "num_image_tokens", values: vec![plan.num_tokens as i64], scalar: true },
    ];
    Ok(plan)
}

/// Global view, separator, local tiles; each row of tokens ends in a newline.
pub(crate) fn tokens_of_canvas(rule: &BestCanvas, grid: Grid) -> usize {
    let side = (rule.tile() / rule.patch_size).div_ceil(rule.downsample_ratio);
    side * (side + 1) + 1 + (grid.rows * side) * (grid.columns * side + 1)
}

fn pad_square(spec: &Spec, rule: &PadSquare, size: Size) -> Result<Plan> {
    let square = |side: usize, from: Size, filter: Filter, background: [u8; 3]| {
        let resized =
            if spec.do_resize { sizing::longest_side(from, side, rule.min_size) } else { from };
        let side = resized.0.max(resized.1);
        let canvas = if rule.do_pad { (side, side) } else { resized };
        // Upstream centres on the shorter axis only, rounding down.
        let offset = ((canvas.0 - resized.0) / 2, (canvas.1 - resized.1) / 2);
        let placement = Placement { resized, offset };
        let cut = Cut::Tiles { tile: canvas };
        let view = whole(from, placement, canvas, cut, ONE, filter);
        View { background, ..view }
    };
    let mut views = Vec::new();
    if let Some(high) = &rule.high_res {
        for (name, on) in [("do_resize", spec.do_resize), ("do_pad", rule.do_pad)] {
            if !on {
                let rule = "True in a family of two resolutions";
                return Err(Error::Option { name, rule, given: "False".into() });
            }
        }
        let view = square(
            high.image_size,
            size,
            high.resample,
            high.background_color.unwrap_or_else(|| mean_colour(high.image_mean)),
        );
        views.push(View { role: Role::HighRes, output: 1, ..view });
    }
    let from = views.first().map_or(size, |view: &View| view.canvas);
    let background = rule.background_color.unwrap_or_else(|| mean_colour(spec.image_mean));
    let main = square(rule.image_size, from, spec.resample, background);
    let source = if views.is_empty() { From::Image } else { From::View(0) };
    views.push(View { from: source, ..main });
    for view in &views {
        check_area(spec, "resized image", view.canvas)?;
    }
    let mut plan = Plan::of(spec.family, size, views);
    let keys = [PIXEL_VALUES, "high_res_pixel_values"];
    plan.outputs = (0..plan.views.len())
        .map(|output| {
            let view = plan.views.iter().find(|view| view.output == output);
            let cut = view.map_or(Cut::Rows { pixel: 3 }, |view| view.cut);
            Output { key: keys[output], rows: 1, cut }
        })
        .collect();
    let patches = (rule.image_size / rule.patch_size) * (rule.image_size / rule.patch_size);
    plan.num_tiles = 1;
    plan.num_patches = patches;
    plan.num_tokens = patches;
    let view = plan.views.len() - 1;
    let tile = (rule.image_size, rule.image_size);
    if plan.views[view].canvas == tile {
        let side = rule.image_size / rule.patch_size;
        let seen = side * rule.patch_size;
        plan.runs = vec![Run::Cells(Cells {
            view,
            tiles: ONE,
            tile,
            seen: (seen, seen),
            cell: rule.patch_size,
            grid: Grid { rows: side, columns: side },
            newline: false,
        })];
    }
    Ok(plan)
}
