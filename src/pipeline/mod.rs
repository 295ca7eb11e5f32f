//! The straight path of an image: source rows through two passes and a table to their final place.
//!
//! ```text
//! for each strip of canvas rows of a view
//!     for each of its rows
//!         take the source rows its window needs that are not in the ring yet, eight at a time,
//!             through the horizontal pass                   (or as they are, where the vertical pass is first)
//!         make the row by the vertical pass over the ring   (and collect eight for the horizontal pass, likewise)
//!     emit the strip
//! ```
//!
//! There is no image between the passes and none after them: a ring of bands, a strip of rows. Views of one
//! image advance together, window by window, so that its rows are fetched once; the frames of a temporal patch
//! advance strip by strip, so that its output is written in one go.
//!
//! Where a view comes from another view, the canvas of that one is made whole, in bytes, and is then an image like any
//! other. So a plan's views are a tree: those of one parent are a *family* of siblings and advance together, and one
//! *level* after the other is made. One thread makes an item, level by level; or all threads share the views of a level,
//! units of each, and meet before the next.
//!
//! | module | holds |
//! |---|---|
//! | `source` | where rows come from |
//! | `tables` | weights, made once and kept |
//! | `scaler` | one resize: rows to canvas rows |
//! | `view` | views under way: rows to strips, strips to their places |
//! | [`float`] | resizes in float32, a plane at a time |
//! | `lane` | views in floats: whole, apart from all this, into the same memory |
//! | `reduced` | views that Pillow reduces first, likewise |

pub mod float;
mod lane;
mod reduced;
mod scaler;
mod source;
mod tables;
mod view;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

pub use self::source::{Beside, Divided, Rows, Source, Window};

use self::tables::Tables;
use self::view::{ViewRun, read};
use crate::error::{Error, Result, Size, append, collected, filled, gathered, push, reserved};
use crate::image::ImageRef;
use crate::order;
use crate::pack::{Element, Fill, Lut, Place, Units, row_bytes};
use crate::parallel::{self, Watch};
use crate::plan::{Cut, From, Lane, Plan, View};
use crate::resample::Numerics;
use crate::simd::{Backend, Simd};

/// Pixels that fill some of the places over time of an item's patches.
#[derive(Clone)]
pub struct Frame<'a> {
    /// The pixels.
    pub source: &'a dyn Source,
    /// The places: all of them for a still image, one for a frame of a video, more for its last.
    pub slots: Range<usize>,
}

/// An item's part of an output: patches or tiles, one after the other, as many as the bytes hold.
///
/// Views fill those that their indices name, from each tile's first row and column on; all else becomes `fill`.
pub struct Part<'a> {
    /// The bytes.
    pub bytes: &'a mut [u8],
    /// The size that every tile has there, where it is not each view's own: no view has a larger one.
    pub tile: Option<Size>,
    /// What stands where no view reaches.
    pub fill: Fill,
}

impl<'a> Part<'a> {
    /// Of exactly what the views fill, or with zeros after them.
    #[must_use]
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, tile: None, fill: Fill::ZERO }
    }
}

/// One image of a call, or the frames of one temporal patch of a video.
pub struct Item<'a> {
    /// What will happen to each frame.
    pub plan: &'a Plan,
    /// Their pixels, all of the plan's size.
    pub frames: Vec<Frame<'a>>,
    /// Its part of every output of the plan.
    pub outs: Vec<Part<'a>>,
}

/// What the images of a call have in common.
pub struct Settings<'a> {
    /// The backend.
    pub simd: Simd,
    /// Whose numbers.
    pub numerics: Numerics,
    /// The table of every output.
    pub luts: &'a [&'a Lut],
    /// Places over time of a patch.
    pub copies: usize,
    /// Streaming stores.
    pub stream: bool,
    /// Threads, this one counted.
    pub threads: usize,
}

/// Executes the plans.
///
/// # Errors
/// The first error met, with the number of its item.
pub fn run(
    settings: &Settings<'_>,
    items: Vec<Item<'_>>,
    watch: &Watch<'_>,
) -> std::result::Result<(), (usize, Error)> {
    run_with(settings, items, watch, None)
}

/// Executes the plans and goes on after an item that fails: whose part of the outputs then has any values. Returns the
/// numbers of such items, ascending, each with its error.
///
/// # Errors
/// `Interrupted`.
pub fn run_all(
    settings: &Settings<'_>,
    items: Vec<Item<'_>>,
    watch: &Watch<'_>,
) -> Result<Vec<(usize, Error)>> {
    let failures = Failures(Mutex::new(filled(None, items.len())?));
    let ran = run_with(settings, items, watch, Some(&failures));
    ran.map_err(|(_, error)| error)?;
    let failures = failures.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let numbered = failures.into_iter().enumerate();
    collected(numbered.filter_map(|(item, error)| error.map(|error| (item, error))))
}

/// The first error of every item that failed, by number.
struct Failures(Mutex<Vec<Option<Error>>>);

impl Failures {
    fn has(&self, item: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[item].is_some()
    }

    fn add(&self, item: usize, error: Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[item].get_or_insert(error);
    }
}

/// An error that is of no item in particular.
fn of_none(error: Error) -> (usize, Error) {
    (0, error)
}

fn run_with(
    settings: &Settings<'_>,
    items: Vec<Item<'_>>,
    watch: &Watch<'_>,
    failures: Option<&Failures>,
) -> std::result::Result<(), (usize, Error)> {
    let threads = parallel::threads(settings.threads);
    let shares = if threads == 1 || items.len() >= 2 * threads { 1 } else { 2 * threads };
    let tables = Tables::new(settings.simd);
    // A source that only reads from the top is one task's.
    let (mut alone, mut works) = (Vec::new(), Vec::new());
    for (number, item) in items.into_iter().enumerate() {
        let sequential = item.frames.iter().any(|frame| frame.source.is_sequential());
        let whole = shares == 1 || sequential;
        let made = Work::new(item, settings, if whole { 1 } else { shares }).and_then(|work| {
            if whole { push(&mut alone, (number, work)) } else { push(&mut works, (number, work)) }
        });
        match (made, failures) {
            (Err(error), Some(failures)) => failures.add(number, error),
            (made, _) => made.map_err(|error| (number, error))?,
        }
    }
    if 2 * alone.len() <= threads {
        for (_, work) in &mut alone {
            work.divided = true;
        }
    }
    let alone = alone.into_iter().map(|(number, work)| (number, Task::Whole(work)));
    let alone = collected(alone).map_err(of_none)?;
    let run = |tasks: Vec<(usize, Task<'_, '_>)>| {
        let owners = collected(tasks.iter().map(|&(item, _)| item)).map_err(of_none)?;
        parallel::for_each(tasks, threads, watch, |(item, task)| {
            let Some(failures) = failures else { return task.run(settings, &tables, watch) };
            if failures.has(item) {
                return Ok(());
            }
            match task.run(settings, &tables, watch) {
                Ok(()) => Ok(()),
                Err(Error::Interrupted) => Err(Error::Interrupted),
                Err(error) => {
                    failures.add(item, error);
                    Ok(())
                }
            }
        })
        .map_err(|(task, error)| (owners[task], error))
    };
    run(alone)?;
    let levels = works.iter().map(|(_, work)| work.plan.levels()).max().unwrap_or(0);
    for level in 0..levels {
        let mut made = reserved(works.len()).map_err(of_none)?;
        let mut taken = reserved(works.len()).map_err(of_none)?;
        for &mut (item, ref mut work) in &mut works {
            let level =
                work.take(level).and_then(|taken| Ok((taken, work.canvases_of(level, watch)?)));
            let (pieces, canvases) = match (level, failures) {
                (Ok(level), _) => level,
                (Err(error), None) => return Err((item, error)),
                (Err(error), Some(failures)) => {
                    failures.add(item, error);
                    Default::default()
                }
            };
            taken.push(pieces);
            made.push(canvases);
        }
        let mut tasks = Vec::new();
        for (((item, work), (pieces, blanks)), made) in works.iter().zip(taken).zip(&mut made) {
            let item = *item;
            if failures.is_some_and(|failures| failures.has(item)) {
                continue;
            }
            let divided = blanks
                .into_iter()
                .try_for_each(|blank| push(&mut tasks, (item, Task::Blank(blank))))
                .and_then(|()| work.divided(item, pieces, made, &mut tasks));
            match (divided, failures) {
                // Pieces that have their task already are left out when it comes to them.
                (Err(error), Some(failures)) => failures.add(item, error),
                (divided, _) => divided.map_err(|error| (item, error))?,
            }
        }
        run(tasks)?;
        for (&mut (item, ref mut work), made) in works.iter_mut().zip(made) {
            append(&mut work.canvases, made).map_err(|error| (item, error))?;
        }
    }
    Ok(())
}

/// A task, and the number of the item that it is of.
type Numbered<'w, 'a> = (usize, Task<'w, 'a>);

/// The canvases of a view that others come from, of every frame: packed pixels of three bytes.
type Canvases = Vec<Vec<u8>>;

/// An item, in pieces.
struct Work<'a> {
    plan: &'a Plan,
    frames: Vec<Frame<'a>>,
    pieces: Vec<Piece<'a>>,
    blanks: Vec<Blank<'a>>,
    /// What has been made, and of which view.
    canvases: Vec<(usize, Canvases)>,
    /// Whether another thread is free, so that a source may divide its work.
    divided: bool,
}

/// Some units of a view.
struct Piece<'a> {
    view: usize,
    units: Range<usize>,
    /// Whether they are the last ones.
    last: bool,
    out: Option<Out<'a>>,
}

/// Memory of theirs.
struct Out<'a> {
    bytes: &'a mut [u8],
    tile: Size,
    fill: Fill,
}

/// Patches or tiles that no view fills.
struct Blank<'a> {
    bytes: &'a mut [u8],
    cut: Cut,
    tile: Size,
    fill: Fill,
    element: Element,
}

/// The tile that memory is made of, for a view cut so.
const fn tile_in_memory(allocated: Option<Size>, cut: Cut) -> Size {
    match (allocated, cut) {
        (Some(tile), _) | (None, Cut::Tiles { tile, .. }) => tile,
        (None, Cut::Patches { .. } | Cut::Rows { .. }) => (0, 0),
    }
}

impl<'a> Work<'a> {
    /// One piece a view, or about `shares` of them.
    fn new(item: Item<'a>, settings: &Settings<'_>, shares: usize) -> Result<Self> {
        let Item { plan, frames, outs } = item;
        let (mut pieces, mut blanks) = (Vec::new(), Vec::new());
        // A view in floats is one piece, and one that is reduced: it is resized whole.
        let deal = |view: &View, units: usize| {
            let shares =
                if matches!(view.lane, Lane::Floats(_) | Lane::Reduced) { 1 } else { shares };
            let step = units.div_ceil(shares).max(1);
            (0..units.max(1)).step_by(step).map(move |first| first..(first + step).min(units))
        };
        for (output, part) in outs.into_iter().enumerate() {
            let element = settings.luts[output].element;
            let (mut rest, mut row) = (part.bytes, 0);
            let mut blank = |bytes: &'a mut [u8], cut| {
                let (tile, fill) = (tile_in_memory(part.tile, cut), part.fill);
                if bytes.is_empty() {
                    return Ok(());
                }
                push(&mut blanks, Blank { bytes, cut, tile, fill, element })
            };
            let mut views = collected(
                (0..plan.views.len()).filter(|&view| plan.views[view].output == Some(output)),
            )?;
            // No two have one index.
            order::sort_by_key(&mut views, &mut |view| (plan.views[view].index as u64, 0));
            for number in views {
                let view = &plan.views[number];
                let tile = tile_in_memory(part.tile, view.cut);
                let gap = view.index.saturating_sub(row);
                let bytes = gap * row_bytes(view.cut, tile, element, settings.copies);
                let (before, others) = rest.split_at_mut(bytes);
                blank(before, view.cut)?;
                (rest, row) = (others, row + gap + view.count());
                let bytes = Place::unit_bytes(view, tile, element, settings.copies);
                let count = Units::new(view).count;
                for units in deal(view, count) {
                    let (out, others) = rest.split_at_mut(units.len() * bytes);
                    rest = others;
                    let out = Some(Out { bytes: out, tile, fill: part.fill });
                    let last = units.end == count;
                    push(&mut pieces, Piece { view: number, units, last, out })?;
                }
            }
            blank(rest, plan.outputs[output].cut)?;
        }
        for (number, view) in plan.views.iter().enumerate() {
            if view.output.is_none() && plan.has_children(number) {
                let count = Units::new(view).count;
                let piece = |units: Range<usize>| {
                    let last = units.end == count;
                    Piece { view: number, units, last, out: None }
                };
                append(&mut pieces, deal(view, count).map(piece))?;
            }
        }
        // A stable sort would ask for memory.
        pieces.sort_unstable_by_key(|piece| (piece.view, piece.units.start));
        Ok(Self { plan, frames, pieces, blanks, canvases: Vec::new(), divided: false })
    }

    /// Takes the pieces of one level, and with the first one all blanks.
    fn take(&mut self, level: usize) -> Result<(Vec<Piece<'a>>, Vec<Blank<'a>>)> {
        let plan = self.plan;
        let taken = self.taken(|piece| plan.level(piece.view) == level)?;
        Ok((taken, std::mem::take(&mut self.blanks)))
    }

    /// Takes the pieces for which that holds.
    fn taken(&mut self, holds: impl Fn(&Piece<'a>) -> bool) -> Result<Vec<Piece<'a>>> {
        let count = self.pieces.iter().filter(|piece| holds(piece)).count();
        let (mut taken, mut left) = (reserved(count)?, reserved(self.pieces.len() - count)?);
        for piece in self.pieces.drain(..) {
            if holds(&piece) { taken.push(piece) } else { left.push(piece) }
        }
        self.pieces = left;
        Ok(taken)
    }

    /// Makes tasks of pieces, each with its rows of the canvases that it hands on.
    fn divided<'w>(
        &'w self,
        item: usize,
        pieces: Vec<Piece<'a>>,
        made: &'w mut [(usize, Canvases)],
        tasks: &mut Vec<Numbered<'w, 'a>>,
    ) -> Result<()> {
        let mut keeps = reserved(made.len())?;
        for (view, canvases) in made {
            keeps.push((*view, collected(canvases.iter_mut().map(|canvas| &mut canvas[..]))?));
        }
        for piece in pieces {
            let keep = match keeps.iter_mut().find(|(view, _)| *view == piece.view) {
                Some((_, rests)) => piece.keep(self.plan, rests)?,
                None => Vec::new(),
            };
            push(tasks, (item, Task::Piece(self, piece, keep)))?;
        }
        Ok(())
    }

    /// Memory for the canvases that views of a level hand on.
    fn canvases_of(&self, level: usize, watch: &Watch<'_>) -> Result<Vec<(usize, Canvases)>> {
        let parents = (0..self.plan.views.len())
            .filter(|&view| self.plan.level(view) == level && self.plan.has_children(view));
        gathered(parents.map(|view| Ok((view, self.canvases_for(view, watch)?))))
    }

    fn canvases_for(&self, view: usize, watch: &Watch<'_>) -> Result<Canvases> {
        let (height, width) = self.plan.views[view].canvas;
        gathered(self.frames.iter().map(|_| watch.filled(0, height * width * 3)))
    }

    /// Readers of what views of that origin come from, one a frame.
    fn readers<'r>(&'r self, from: From, watch: &'r Watch<'r>) -> Result<Vec<Box<dyn Rows + 'r>>> {
        match from {
            From::Image => {
                gathered(self.frames.iter().map(|frame| frame.source.open_watched(watch)))
            }
            From::View(parent) => {
                let (height, width) = self.plan.views[parent].canvas;
                let found = self.canvases.iter().find(|(view, _)| *view == parent);
                let (_, canvases) = found.ok_or(Error::Source)?;
                let mut readers: Vec<Box<dyn Rows + 'r>> = reserved(canvases.len())?;
                for canvas in canvases {
                    readers.push(Box::new(ImageRef::packed(canvas, height, width, 3)));
                }
                Ok(readers)
            }
        }
    }

    /// Takes what sources offer in their place; false where none does.
    fn replaces(&mut self) -> bool {
        let mut replaced = false;
        for frame in &mut self.frames {
            if let Some(source) = frame.source.instead() {
                frame.source = source;
                replaced = true;
            }
        }
        replaced
    }

    /// Makes pieces of views that come from one parent.
    fn family(
        &self,
        from: From,
        pieces: Vec<(Piece<'_>, Vec<&mut [u8]>)>,
        settings: &Settings<'_>,
        tables: &Tables,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let input = match from {
            From::Image => self.frames.first().map_or(3, |frame| frame.source.pixel()),
            From::View(_) => 3,
        };
        let slots: Vec<Range<usize>> =
            collected(self.frames.iter().map(|frame| frame.slots.clone()))?;
        let mut runs = Vec::new();
        for (piece, mut keep) in pieces {
            // Hundreds of views clear room for their rows before the first is read.
            watch.check()?;
            let view = &self.plan.views[piece.view];
            if let Lane::Floats(floats) = view.lane {
                let mut readers = self.readers(from, watch)?;
                let lut = view.output.map(|output| settings.luts[output]);
                let lane = lane::Lane { view, floats, input, simd: settings.simd, slots: &slots };
                lane.run(&mut readers, lut.zip(piece.out), &mut keep, watch)?;
                for reader in &mut readers {
                    reader.finish()?;
                }
                continue;
            }
            if view.lane == Lane::Reduced {
                let mut readers = self.readers(from, watch)?;
                reduced::run(view, input, settings.numerics, &mut readers, &mut keep, watch)?;
                for reader in &mut readers {
                    reader.finish()?;
                }
                continue;
            }
            let run = ViewRun::new(self.plan, input, piece, keep, &slots, settings, tables)?;
            push(&mut runs, run)?;
        }
        if runs.is_empty() {
            return Ok(());
        }
        if !self.divided_family(from, &mut runs, watch)? {
            let mut readers = self.readers(from, watch)?;
            read(&mut runs, &mut readers, watch)?;
        }
        tables.backend.fence();
        Ok(())
    }

    /// Makes a family whose source divides its work with another thread; false where it does not, and nothing was made.
    fn divided_family(
        &self,
        from: From,
        runs: &mut [ViewRun<'_>],
        watch: &Watch<'_>,
    ) -> Result<bool> {
        if !self.divided || from != From::Image {
            return Ok(false);
        }
        let [frame] = &self.frames[..] else { return Ok(false) };
        let Some((reader, beside)) = frame.source.open_divided(watch)? else { return Ok(false) };
        // Without the reader the work beside it ends.
        let made = parallel::beside(beside, move || read(runs, &mut [reader], watch));
        made.map_or(Ok(false), |made| made.map(|()| true))
    }

    /// Makes all of it, one family after the other.
    fn whole(mut self, settings: &Settings<'_>, tables: &Tables, watch: &Watch<'_>) -> Result<()> {
        let plan = self.plan;
        for blank in std::mem::take(&mut self.blanks) {
            blank.fill(settings.copies);
        }
        let views = 0..plan.views.len();
        for from in std::iter::once(From::Image).chain(views.map(From::View)) {
            let siblings = self.taken(|piece| plan.views[piece.view].from == from)?;
            if siblings.is_empty() {
                continue;
            }
            let mut made = Vec::new();
            for piece in &siblings {
                if plan.has_children(piece.view) {
                    push(&mut made, (piece.view, self.canvases_for(piece.view, watch)?))?;
                }
            }
            let mut keeps = made.iter_mut();
            let mut with_keeps = reserved(siblings.len())?;
            for piece in siblings {
                let keep = if plan.has_children(piece.view) { keeps.next() } else { None };
                let canvases = keep.into_iter().flat_map(|(_, canvases)| canvases);
                with_keeps.push((piece, collected(canvases.map(|canvas| &mut canvas[..]))?));
            }
            loop {
                let mut again = reserved(with_keeps.len())?;
                for (piece, keep) in &mut with_keeps {
                    let keep: &mut Vec<&mut [u8]> = keep;
                    let keep = collected(keep.iter_mut().map(|canvas| &mut **canvas))?;
                    again.push((piece.again(), keep));
                }
                match self.family(from, again, settings, tables, watch) {
                    // From the first row on, where a source is not what it seemed to be.
                    Err(Error::Source) if self.replaces() => {}
                    result => {
                        result?;
                        break;
                    }
                }
            }
            append(&mut self.canvases, made)?;
        }
        Ok(())
    }
}

/// Gives back what the kernels keep on a thread, at the end of a task.
struct Release(Simd);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Plan {
    /// Whether later views come from that one.
    fn has_children(&self, view: usize) -> bool {
        self.views.iter().any(|other| other.from == From::View(view))
    }

    /// How many views a view comes from.
    fn level(&self, view: usize) -> usize {
        match self.views[view].from {
            From::Image => 0,
            From::View(parent) => self.level(parent) + 1,
        }
    }

    fn levels(&self) -> usize {
        (0..self.views.len()).map(|view| self.level(view) + 1).max().unwrap_or(1)
    }
}

impl Piece<'_> {
    /// The same once more.
    fn again(&mut self) -> Piece<'_> {
        let out =
            self.out.as_mut().map(|out| Out { bytes: out.bytes, tile: out.tile, fill: out.fill });
        Piece { view: self.view, units: self.units.clone(), last: self.last, out }
    }

    /// The canvas rows that it makes, and one past the last of those that no other piece makes.
    fn rows(&self, plan: &Plan, kept: bool) -> (Range<usize>, usize) {
        let view = &plan.views[self.view];
        let (units, height) = (Units::new(view), view.canvas.0);
        let start = (self.units.start * units.step).min(height);
        let made = units.end(self.units.end).clamp(start, height);
        let own = if self.last { height } else { (self.units.end * units.step).min(height) };
        (start..if kept { made.max(own) } else { made }, own)
    }

    /// Its own rows of the canvas of every frame, from what other pieces have left.
    fn keep<'k>(&self, plan: &Plan, rests: &mut [&'k mut [u8]]) -> Result<Vec<&'k mut [u8]>> {
        let (rows, own) = self.rows(plan, true);
        let bytes = (own - rows.start) * plan.views[self.view].canvas.1 * 3;
        let mut kept = reserved(rests.len())?;
        for rest in rests {
            let (mine, others): (&'k mut [u8], _) = std::mem::take(rest).split_at_mut(bytes);
            *rest = others;
            kept.push(mine);
        }
        Ok(kept)
    }
}

impl Blank<'_> {
    fn fill(self, copies: usize) {
        self.fill.rows(self.cut, self.tile, copies, self.element, self.bytes);
    }
}

/// What one thread does in one go.
enum Task<'w, 'a> {
    /// A whole item.
    Whole(Work<'a>),
    /// A piece, and its rows of the canvases of the frames where later views come from it.
    Piece(&'w Work<'a>, Piece<'a>, Vec<&'w mut [u8]>),
    /// Patches or tiles that no view fills.
    Blank(Blank<'a>),
}

impl Task<'_, '_> {
    fn run(self, settings: &Settings<'_>, tables: &Tables, watch: &Watch<'_>) -> Result<()> {
        let _release = Release(tables.backend);
        match self {
            Self::Whole(work) => work.whole(settings, tables, watch),
            Self::Piece(work, piece, keep) => {
                let from = work.plan.views[piece.view].from;
                work.family(from, collected([(piece, keep)])?, settings, tables, watch)
            }
            Self::Blank(blank) => {
                blank.fill(settings.copies);
                Ok(())
            }
        }
    }
}
