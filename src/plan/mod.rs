//! Everything that will happen to an image, from its size alone. Every size error is raised here.
//!
//! A plan interprets data: the layout that the strategy measured, and the recipe of the family (`crate::spec`).

mod batch;
mod facts;
mod pooling;
mod prompt;
mod times;
mod view;

use crate::coords::Kind;
use crate::error::{Error, Result, Size, collected, filled, gathered, push, reserved};
use crate::options::{Options, Value};
use crate::resample::Filter;
use crate::sizing::Grid;
use crate::spec::{Coords, CutSpec, Form, Group, Part, Prepared, Recipe, Share, ViewSpec, What};
use crate::strategy::{self, Context, Layout, Measure, Reached, Shape, Span, Strategy};

pub use batch::{Array, Batch, Samples, Slot, row_shape};
pub use facts::{FactArray, FactForm, Tree};
pub use prompt::{Asked, PatchCounts, says_times};
pub use times::Times;
pub use view::{
    Cells, Cut, Fact, First, Floats, From, Inside, Lane, Order, Output, Rect, Role, Run, View,
};

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
    /// Whether the last of them is a newline that ends the video.
    pub is_ended: bool,
    /// What each of them sees, once a step; empty where the options give tiles that no such model can take.
    pub runs: Vec<Run>,
    /// Temporal patches; 1 for an image.
    pub groups: usize,
    /// How often tokens see the frame: once a temporal patch, or once for all that they see together.
    pub steps: usize,
    /// The coordinates that the family was trained to speak.
    pub coords: Coords,
}

/// Most frames of a video: six days at 30 a second. Products of frames and patches then fit in 64 bits.
pub const MAX_FRAMES: usize = 1 << 24;

impl Plan {
    /// The plan for one image of `size` in a sample of `count` images, or for a video of `count` frames.
    ///
    /// # Errors
    /// Every error that a size can cause.
    pub fn new(spec: &Prepared, size: Size, count: usize) -> Result<Self> {
        let (layout, frames) = measured(spec, size, count)?;
        let video = spec.strategy.is_video();
        let (groups, steps) = temporal_patches(spec, frames);
        let (views, outputs) = views(spec, &layout, groups)?;
        let main = &views[layout.main];
        let (resized, grid) = (main.resized, main.grid);
        let tiles =
            |view: &View| if matches!(view.cut, Cut::Tiles { .. }) { view.count() } else { 0 };
        let first = |view: &&View| view.output == Some(0);
        let mut plan = Self {
            family: spec.family,
            source: size,
            frames,
            num_images: if video { 1 } else { count },
            resized,
            grid,
            outputs,
            facts: Vec::new(),
            num_tiles: views.iter().filter(first).map(tiles).sum(),
            num_patches: groups
                * views.iter().filter(first).map(|view| encoded(spec, view)).sum::<usize>(),
            num_tokens: steps * tokens(spec, &layout) + usize::from(spec.recipe.tokens.ended),
            is_ended: spec.recipe.tokens.ended,
            runs: Vec::new(),
            groups,
            steps,
            coords: spec.common.coords,
            views,
        };
        plan.runs = runs(spec, &layout)?;
        plan.facts = plan.facts_of(&spec.recipe, &spec.strategy, &layout)?;
        Ok(plan)
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
        let cut = Cut::Rows { pixel };
        let shape = Shape::stretched(Role::Whole, source, target, filter);
        let view = view(&shape, cut, Lane::Bytes, Some(0), 0);
        Ok(Self {
            family: "resize",
            source,
            frames: 1,
            num_images: 1,
            resized: target,
            grid: view.grid,
            views: collected([view])?,
            outputs: collected([Output { key: "image", rows: 1, cut }])?,
            facts: Vec::new(),
            num_tiles: 0,
            num_patches: 0,
            num_tokens: 0,
            is_ended: false,
            runs: Vec::new(),
            groups: 1,
            steps: 1,
            coords: Coords::Resized,
        })
    }

    /// Whether views of it are parts of the image.
    fn is_cut(&self) -> bool {
        self.views.iter().any(|view| view.role == Role::Crop)
    }

    fn facts_of(&self, recipe: &Recipe, strategy: &Strategy, layout: &Layout) -> Result<Vec<Fact>> {
        let filling = |output| self.views.iter().filter(move |view| view.output == Some(output));
        let fact = |what| match what {
            What::GridThw => collected([self.groups, self.grid.rows, self.grid.columns]),
            What::RowsColumns => collected([self.grid.rows, self.grid.columns]),
            What::ColumnsRows => collected([self.grid.columns, self.grid.rows]),
            What::RowCount(output) => collected([self.outputs[output].rows]),
            What::Tokens => collected([self.num_tokens]),
            What::Source => collected([self.source.0, self.source.1]),
            What::WidthHeight => collected([self.source.1, self.source.0]),
            What::Resized => collected([self.resized.0, self.resized.1]),
            What::Asked => {
                let mut values = Vec::new();
                strategy.values(&mut values);
                let side = |name| match values.iter().find(|(found, _)| *found == name) {
                    Some((_, Value::Int(side))) => *side as usize,
                    _ => 0,
                };
                collected([side("height"), side("width")])
            }
            What::Canvas => {
                let (height, width) = self.views[layout.main].canvas;
                collected([height, width])
            }
            What::LastResized => {
                let last = self.views.last();
                collected(last.into_iter().flat_map(|view| [view.resized.0, view.resized.1]))
            }
            What::Height => collected([self.resized.0]),
            What::Width => collected([self.resized.1]),
            What::Rows => collected([self.grid.rows]),
            What::Columns => collected([self.grid.columns]),
            What::TileRows => collected([if self.is_cut() { self.grid.rows } else { 1 }]),
            What::TileColumns => collected([if self.is_cut() { self.grid.columns } else { 1 }]),
            What::ViewGrids => {
                let views = self.views.iter().filter(|view| view.output == Some(0));
                collected(views.flat_map(|view| [view.grid.rows, view.grid.columns]))
            }
            What::MergeSize => collected([strategy.merge_size()]),
            What::RowsOf(role) => {
                let of = self.views.iter().filter(|view| view.role == role);
                collected([of.map(View::count).sum()])
            }
            What::Choice => collected([layout.choice + 1]),
            What::Views(output) => collected([filling(output).count()]),
            What::Parts => collected([layout.parts.rows, layout.parts.columns]),
            What::PartRows => collected([layout.parts.rows]),
            What::PartColumns => collected([layout.parts.columns]),
            What::RowEnds => {
                let Grid { rows, columns } = layout.parts;
                let ends = |part| part % columns == columns - 1 && part / columns + 1 < rows;
                collected((0..rows * columns).map(|part| usize::from(ends(part))))
            }
            What::Frames => collected([self.frames]),
            What::FrameTokens => collected([self.num_tokens / self.groups.max(1)]),
            What::ChunkGrids => self.chunk_grid(strategy.chunk().min(self.groups)),
            What::Chunks => collected([self.groups.div_ceil(strategy.chunk())]),
            What::Kept => collected([1]),
            What::PooledGrids => self.pooled_grids(strategy),
            What::PooledThw => {
                let grids = self.pooled_grids(strategy)?;
                collected([self.groups].into_iter().chain(grids))
            }
            What::Empty
            | What::Timeless(_)
            | What::Scale
            | What::SampleImages
            | What::Mask { .. }
            | What::Positions(_)
            | What::Pooled(_) => Ok(Vec::new()),
        };
        let floats = |numbers: Vec<usize>| collected(numbers.into_iter().map(|n| n as f64));
        gathered(recipe.facts.iter().map(|spec| {
            let head = match spec.what {
                What::Timeless(output) => filled(-1.0, filling(output).count()),
                What::Scale => collected([self.resized.0 as f64 / self.source.0 as f64]),
                what => floats(fact(what)?),
            };
            let (times, tail) = match spec.what {
                What::Kept => (self.num_tokens, Vec::new()),
                // Of every frame.
                What::ViewGrids | What::Views(_) | What::Parts => (self.groups, Vec::new()),
                What::ChunkGrids => match self.groups % strategy.chunk() {
                    0 => (self.groups / strategy.chunk(), Vec::new()),
                    left => (self.groups / strategy.chunk(), floats(self.chunk_grid(left)?)?),
                },
                _ => (1, Vec::new()),
            };
            Ok(Fact { key: spec.key, head: head?, times, tail, scalar: spec.form == Form::Scalar })
        }))
    }

    /// Temporal patches, rows and columns of patches of a chunk of so many temporal patches.
    fn chunk_grid(&self, length: usize) -> Result<Vec<usize>> {
        collected([length, self.grid.rows, self.grid.columns])
    }
}

/// Tokens of one image of `size` in a sample of `count` images: [`Plan::num_tokens`], without the plan.
///
/// # Errors
/// As [`Plan::new`].
pub fn count_tokens(spec: &Prepared, size: Size, count: usize) -> Result<usize> {
    let (layout, frames) = measured(spec, size, count)?;
    for shape in &layout.shapes {
        spec.check_resized(what_is_resized(spec), shape.resized, shape.canvas)?;
    }
    let (_, steps) = temporal_patches(spec, frames);
    Ok(steps * tokens(spec, &layout) + usize::from(spec.recipe.tokens.ended))
}

/// Temporal patches of a video, and how often tokens see one or several of them; (1, 1) for an image.
fn temporal_patches(spec: &Prepared, frames: usize) -> Size {
    if !spec.strategy.is_video() {
        return (1, 1);
    }
    let tubelet = spec.strategy.tubelet();
    let groups = frames.div_ceil(spec.strategy.temporal_patch_size() * tubelet) * tubelet;
    (groups, frames.div_ceil(spec.strategy.step()))
}

fn what_is_resized(spec: &Prepared) -> &'static str {
    if spec.strategy.is_video() { "resized frame" } else { "resized image" }
}

/// The layout, and the number of frames.
fn measured(spec: &Prepared, size: Size, count: usize) -> Result<(Layout, usize)> {
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    spec.check_area("image", size)?;
    let video = spec.strategy.is_video();
    let (images, frames) = if video { (1, count) } else { (count, 1) };
    if frames > MAX_FRAMES {
        let rule = "at most 2**24";
        return Err(Error::Option { name: "num_frames", rule, given: frames.to_string() });
    }
    let context = Context { common: &spec.common, numerics: spec.numerics, images, frames };
    Ok((spec.strategy.measure(&spec.ready, size, &context)?, frames))
}

fn view(shape: &Shape, cut: Cut, lane: Lane, output: Option<usize>, index: usize) -> View {
    View {
        role: shape.role,
        from: shape.from,
        source: shape.source,
        resized: shape.resized,
        filter: shape.filter,
        lane,
        canvas: shape.canvas,
        offset: shape.offset,
        background: shape.background,
        cut,
        grid: shape.grid(),
        output,
        index,
    }
}

/// What the recipe makes of shapes of that role.
fn view_spec(recipe: &Recipe, role: Role) -> Option<&'static ViewSpec> {
    recipe.views.iter().find(|spec| spec.role == role)
}

/// Views in the order of the shapes, and what they fill. `groups`: how often each is made.
fn views(spec: &Prepared, layout: &Layout, groups: usize) -> Result<(Vec<View>, Vec<Output>)> {
    let mut outputs: Vec<Option<Output>> = filled(None, spec.recipe.arrays.len())?;
    let mut views = reserved(layout.shapes.len())?;
    for shape in &layout.shapes {
        spec.check_resized(what_is_resized(spec), shape.resized, shape.canvas)?;
        let found = view_spec(&spec.recipe, shape.role);
        let cut = cut(spec, shape, found.map_or(CutSpec::TILES, |found| found.cut));
        let array = found.and_then(|found| found.array);
        let mut index = 0;
        if let Some(array) = array {
            let key = spec.recipe.arrays[array].key;
            let output = outputs[array].get_or_insert(Output { key, rows: 0, cut });
            // Within one temporal patch.
            index = output.rows / groups.max(1);
            output.rows += match spec.recipe.arrays[array].group {
                Group::View => shape.grid().count().max(spec.strategy.most_rows()),
                _ => shape.grid().count() * groups,
            };
            if let (Cut::Tiles { tile: held, .. }, Cut::Tiles { tile, .. }) = (output.cut, cut) {
                let tile = (held.0.max(tile.0), held.1.max(tile.1));
                if let Cut::Tiles { step, order, .. } = output.cut {
                    output.cut = Cut::Tiles { tile, step, order };
                }
            }
        }
        let lane = if shape.reduces {
            Lane::Reduced
        } else {
            found.map_or(Lane::Bytes, |found| found.lane(spec))
        };
        check_filter(lane, shape)?;
        push(&mut views, view(shape, cut, lane, array, index))?;
    }
    let none = |(number, output): (usize, Option<Output>)| {
        let key = spec.recipe.arrays[number].key;
        output.unwrap_or(Output { key, rows: 0, cut: Cut::tiles((0, 0)) })
    };
    Ok((views, collected(outputs.into_iter().enumerate().map(none))?))
}

/// Checks that a resize in floats, or without antialiasing, has a filter with a rule for it.
fn check_filter(lane: Lane, shape: &Shape) -> Result<()> {
    let ruled = matches!(lane, Lane::Floats(_) | Lane::Sharp);
    let resizes = ruled && shape.source.size != shape.resized;
    if !resizes || matches!(shape.filter, Filter::Bilinear | Filter::Bicubic) {
        return Ok(());
    }
    let rule = "'bilinear' or 'bicubic' where images are resized in floats";
    let given = format!("'{}'", shape.filter.name());
    Err(Error::Option { name: "resample", rule, given })
}

fn cut(spec: &Prepared, shape: &Shape, cut: CutSpec) -> Cut {
    match cut {
        CutSpec::Tiles { order } => Cut::Tiles { tile: shape.unit, step: shape.step, order },
        CutSpec::Patches { inside } => Cut::Patches {
            patch: shape.unit.0,
            merge: spec.strategy.merge_size(),
            temporal: spec.strategy.temporal_patch_size(),
            inside,
        },
        CutSpec::RasterPatches { inside } => Cut::Patches {
            patch: shape.unit.0,
            merge: 1,
            temporal: spec.strategy.temporal_patch_size(),
            inside,
        },
    }
}

/// Patches of the vision encoder in one view.
fn encoded(spec: &Prepared, view: &View) -> usize {
    match view.cut {
        Cut::Patches { .. } => view.count(),
        Cut::Tiles { tile, .. } => {
            let side = spec.strategy.patch_size();
            view.count() * (tile.0 / side) * (tile.1 / side)
        }
        Cut::Rows { .. } => 0,
    }
}

/// What the language model sees of each unit of a shape, and how many units it has: patches are seen on their canvas.
fn seen(spec: &Prepared, shape: &Shape) -> (strategy::Cells, Grid) {
    let mut cells = spec.strategy.cells(shape);
    if let (Some(share), Some(grid)) = (spec.recipe.tokens.share, cells.grid) {
        cells = cells.shared(match share {
            Share::Of(count) => count((grid.rows, grid.columns)),
            Share::Sequence => spec.strategy.sequence(),
        });
    }
    let tiles = match view_spec(&spec.recipe, shape.role) {
        Some(ViewSpec { cut: CutSpec::Tiles { .. }, .. }) => shape.grid(),
        _ => Grid { rows: 1, columns: 1 },
    };
    (cells, tiles)
}

/// Tokens of an image, or of a temporal patch of a video.
fn tokens(spec: &Prepared, layout: &Layout) -> usize {
    let of = |role: Role| layout.shapes.iter().filter(move |shape| shape.role == role);
    let units = |role: Role| {
        let count = |shape| {
            let (cells, tiles) = seen(spec, shape);
            tiles.count() * cells.tokens
        };
        of(role).map(count).sum::<usize>()
    };
    let part = |part: &Part| match *part {
        Part::Mark(_) => 1,
        Part::Image(count) => count,
        Part::Units(role) | Part::Pooled(role) => units(role),
        Part::Ended(role) => units(role) + usize::from(of(role).next().is_some()),
        Part::UnitRows(role) => units(role) + unit_rows(spec, layout, role).saturating_sub(1),
        Part::Rows(role) => of(role)
            .map(|shape| {
                let (cells, tiles) = seen(spec, shape);
                let rows = cells.grid.map_or(0, |grid| grid.rows);
                tiles.count() * cells.tokens + tiles.rows * rows
            })
            .sum(),
        Part::Reached => spec
            .strategy
            .reached(layout)
            .map_or(0, |reached| reached.rows.tokens * (reached.columns.tokens + 1)),
    };
    spec.recipe.tokens.parts.iter().map(part).sum()
}

/// Rows of units of the shapes of a role: those of a shape that has several, else of the layout's parts.
fn unit_rows(spec: &Prepared, layout: &Layout, role: Role) -> usize {
    let mut shapes = layout.shapes.iter().filter(|shape| shape.role == role);
    match (shapes.next(), shapes.next()) {
        (None, _) => 0,
        (Some(only), None) => seen(spec, only).1.rows.max(layout.parts.rows),
        _ => layout.parts.rows,
    }
}

/// What each token of an image sees; nothing where its units are no grid of cells.
fn runs(spec: &Prepared, layout: &Layout) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for part in spec.recipe.tokens.parts {
        let (role, newline, row_ends) = match *part {
            Part::Mark(kind) => {
                push(&mut runs, Run::Mark(kind))?;
                continue;
            }
            Part::Image(count) => {
                push(&mut runs, Run::Image(count))?;
                continue;
            }
            Part::Reached => {
                if let Some(run) = spec.strategy.reached(layout).and_then(|it| taken(layout, &it)) {
                    push(&mut runs, run)?;
                }
                continue;
            }
            Part::Units(role) | Part::Ended(role) | Part::Pooled(role) => (role, false, false),
            Part::UnitRows(role) => (role, false, true),
            Part::Rows(role) => (role, true, false),
        };
        let mut number = 0;
        for (view, shape) in layout.shapes.iter().enumerate() {
            if shape.role != role {
                continue;
            }
            // Units that are shapes of their own: a row of them ends before this one.
            let columns = layout.parts.columns.max(1);
            if row_ends && number > 0 && number % columns == 0 {
                push(&mut runs, Run::Mark(Kind::Newline))?;
            }
            number += 1;
            let (cells, tiles) = seen(spec, shape);
            let tile = if tiles.count() == 1 { shape.canvas } else { shape.unit };
            if matches!(part, Part::Pooled(_)) {
                push(&mut runs, Run::Pooled { view, tiles, tile, tokens: cells.tokens })?;
                continue;
            }
            let Some(grid) = cells.grid else {
                if spec.recipe.tokens.share.is_some() {
                    push(&mut runs, Run::Pooled { view, tiles, tile, tokens: cells.tokens })?;
                    continue;
                }
                return Ok(Vec::new());
            };
            let whole = Cells {
                view,
                tiles,
                tile,
                seen: cells.seen,
                cell: cells.side,
                grid,
                newline,
                rows: Span::whole(tiles.rows * grid.rows),
                columns: Span::whole(tiles.columns * grid.columns),
            };
            if row_ends {
                for row in 0..tiles.rows {
                    if row > 0 {
                        push(&mut runs, Run::Mark(Kind::Newline))?;
                    }
                    let rows = Span { first: row * grid.rows, ..Span::whole(grid.rows) };
                    push(&mut runs, Run::Cells(Cells { rows, ..whole }))?;
                }
            } else {
                push(&mut runs, Run::Cells(whole))?;
            }
            if matches!(part, Part::Ended(_)) {
                push(&mut runs, Run::Mark(Kind::Newline))?;
            }
        }
    }
    Ok(runs)
}

/// The cells of the main shape that the model takes.
fn taken(layout: &Layout, reached: &Reached) -> Option<Run> {
    let Reached { cells, tiles, rows, columns } = *reached;
    let canvas = layout.main().canvas;
    // Tiles of the main shape's own canvas, where it fills no array itself.
    let tiled = |shape: &Shape| {
        let whole = Rect { top: 0, left: 0, size: canvas };
        let from = From::View(layout.main);
        shape.role == Role::Tiles
            && shape.from == from
            && (shape.source, shape.canvas) == (whole, canvas)
    };
    let view = layout.shapes.iter().position(tiled).unwrap_or(layout.main);
    let tile = (canvas.0 / tiles.rows.max(1), canvas.1 / tiles.columns.max(1));
    let grid = cells.grid?;
    Some(Run::Cells(Cells {
        view,
        tiles,
        tile,
        seen: cells.seen,
        cell: cells.side,
        grid,
        newline: true,
        rows,
        columns,
    }))
}
