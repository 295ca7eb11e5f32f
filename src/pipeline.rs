//! The straight path of an image: source rows through two passes and a table to their final place.
//!
//! ```text
//! for each row of a view's canvas
//!     take the source rows its window needs that are not in the ring yet, eight at a time,
//!         through the horizontal pass                       (or as they are, where the vertical pass is first)
//!     make the row by the vertical pass over the ring       (and collect eight for the horizontal pass, likewise)
//!     when a strip of rows is full, emit it
//! ```
//!
//! There is no image between the passes and none after them: a ring of bands, a strip of rows. Views of one
//! image advance together, window by window, so that its rows are fetched once.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::error::{Error, Result, Size, zeroed};
use crate::image::{ImageRef, Row};
use crate::pack::{Emit, Lut};
use crate::parallel::{self, Watch};
use crate::plan::{Cut, From, Plan, View};
use crate::resample::{Axis, Filter, Numerics, Passes};
use crate::simd::{BAND, Backend, GROUP, Simd, group_len};
use crate::with_backend;

/// Some consecutive rows of an image.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The first row.
    pub first: usize,
    /// The rows, dense.
    pub image: ImageRef<'a>,
}

impl<'a> Window<'a> {
    fn end(&self) -> usize {
        self.first + self.image.size().0
    }

    fn row(&self, y: usize) -> Row<'a> {
        self.image.row(y - self.first)
    }
}

/// Reads an image's rows from top to bottom.
pub trait Rows {
    /// Rows from `first` on: at least eight or all that are left, at most `wanted`, which is eight or more.
    ///
    /// # Errors
    /// `Source`, `OutOfMemory`.
    fn window(&mut self, first: usize, wanted: usize) -> Result<Window<'_>>;
}

/// An image whose rows can be read more than once, by several threads.
pub trait Source: Sync {
    /// Height and width.
    fn size(&self) -> Size;
    /// Bytes a pixel, 3 or 4.
    fn pixel(&self) -> usize;
    /// A reader from the top.
    ///
    /// # Errors
    /// `OutOfMemory`.
    fn open(&self) -> Result<Box<dyn Rows + '_>>;
}

impl Source for ImageRef<'_> {
    fn size(&self) -> Size {
        ImageRef::size(self)
    }

    fn pixel(&self) -> usize {
        ImageRef::pixel(self)
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        Ok(if self.rows_are_dense() {
            Box::new(*self)
        } else {
            Box::new(Gathered { image: *self, rows: Vec::new() })
        })
    }
}

impl Rows for ImageRef<'_> {
    fn window(&mut self, _first: usize, _wanted: usize) -> Result<Window<'_>> {
        Ok(Window { first: 0, image: *self })
    }
}

/// An image with strides inside its rows, gathered some rows at a time.
struct Gathered<'a> {
    image: ImageRef<'a>,
    rows: Vec<u8>,
}

impl Rows for Gathered<'_> {
    fn window(&mut self, first: usize, wanted: usize) -> Result<Window<'_>> {
        let ((height, width), pixel) = (self.image.size(), self.image.pixel());
        let count = wanted.min(WINDOW).min(height - first);
        let len = width * pixel;
        if self.rows.len() < count * len {
            self.rows = zeroed(count * len)?;
        }
        for (r, row) in self.rows.chunks_exact_mut(len).take(count).enumerate() {
            self.image.gather_row(first + r, row);
        }
        let image = ImageRef::packed(&self.rows, count, width, pixel);
        Ok(Window { first, image })
    }
}

/// Rows that views of one image share before any of them goes on: they stay in the cache.
const WINDOW: usize = 64;

/// Pixels that fill some of the places over time of an item's patches.
#[derive(Clone)]
pub struct Frame<'a> {
    /// The pixels.
    pub source: &'a dyn Source,
    /// The places: all of them for a still image, one for a frame of a video, more for its last.
    pub slots: Range<usize>,
}

/// One image of a call, or the frames of one temporal patch of a video.
pub struct Item<'a> {
    /// What will happen to each frame.
    pub plan: &'a Plan,
    /// Their pixels, all of the plan's size.
    pub frames: Vec<Frame<'a>>,
    /// Its part of every output of the plan.
    pub outs: Vec<&'a mut [u8]>,
}

/// What the images of a call have in common.
pub struct Settings<'a> {
    /// The backend.
    pub simd: Simd,
    /// Whose numbers.
    pub numerics: Numerics,
    /// The table of every output.
    pub luts: &'a [Lut],
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
/// The first error met, with the number of its image.
pub fn run(
    settings: &Settings<'_>,
    items: Vec<Item<'_>>,
    watch: &Watch<'_>,
) -> std::result::Result<(), (usize, Error)> {
    with_backend!(settings.simd, backend => run_with(backend, settings, items, watch))
}

fn run_with<B: Backend>(
    backend: B,
    settings: &Settings<'_>,
    items: Vec<Item<'_>>,
    watch: &Watch<'_>,
) -> std::result::Result<(), (usize, Error)> {
    let threads = parallel::threads(settings.threads);
    let shares = if threads == 1 || items.len() >= 2 * threads { 1 } else { 2 * threads };
    let mut tasks = Vec::new();
    let mut owners = Vec::new();
    for (number, item) in items.into_iter().enumerate() {
        for task in split(item, settings, shares) {
            tasks.push(task);
            owners.push(number);
        }
    }
    let tables = Tables::<B>::new(backend);
    parallel::for_each(tasks, threads, watch, |task| task.run(settings, &tables, watch))
        .map_err(|(task, error)| (owners[task], error))
}

/// Some canvas rows of some views of one item.
struct Task<'a> {
    plan: &'a Plan,
    frames: Vec<Frame<'a>>,
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    view: usize,
    rows: Range<usize>,
    out: &'a mut [u8],
}

/// One task for the whole image, or one for each of about `shares` runs of rows of each view.
fn split<'a>(item: Item<'a>, settings: &Settings<'_>, shares: usize) -> Vec<Task<'a>> {
    let Item { plan, frames, outs } = item;
    let mut parts: Vec<Part<'a>> = Vec::new();
    for (output, mut rest) in outs.into_iter().enumerate() {
        let element = settings.luts[output].element;
        let mut views: Vec<usize> =
            (0..plan.views.len()).filter(|&view| plan.views[view].output == output).collect();
        views.sort_by_key(|&view| plan.views[view].index);
        for number in views {
            let view = &plan.views[number];
            let unit = Emit::part_rows(view.cut);
            let bytes = Emit::part_bytes(view, element, settings.copies);
            let units = view.canvas.0 / unit;
            let step = units.div_ceil(shares).max(1);
            for first in (0..units).step_by(step) {
                let count = step.min(units - first);
                let (out, others) = rest.split_at_mut(count * bytes);
                rest = others;
                let rows = first * unit..(first + count) * unit;
                parts.push(Part { view: number, rows, out });
            }
        }
    }
    parts.sort_by_key(|part| part.view);
    let chained = plan.views.iter().any(|view| view.from != From::Image);
    if shares == 1 || chained {
        return vec![Task { plan, frames, parts }];
    }
    let task = |part| Task { plan, frames: frames.clone(), parts: vec![part] };
    parts.into_iter().map(task).collect()
}

impl Task<'_> {
    fn run<B: Backend>(
        self,
        settings: &Settings<'_>,
        tables: &Tables<B>,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let Self { plan, frames, mut parts } = self;
        for frame in &frames {
            let parts = parts.iter_mut().map(Part::again).collect();
            run_frame(plan, frame, parts, settings, tables, watch)?;
        }
        tables.backend.fence();
        Ok(())
    }
}

impl Part<'_> {
    fn again(&mut self) -> Part<'_> {
        Part { view: self.view, rows: self.rows.clone(), out: &mut *self.out }
    }
}

fn run_frame<B: Backend>(
    plan: &Plan,
    frame: &Frame<'_>,
    parts: Vec<Part<'_>>,
    settings: &Settings<'_>,
    tables: &Tables<B>,
    watch: &Watch<'_>,
) -> Result<()> {
    let source = frame.source;
    let slots = &frame.slots;
    let mut kept: HashMap<usize, Vec<u8>> = HashMap::new();
    let (first, later): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|part| plan.views[part.view].from == From::Image);
    let mut runs = Vec::with_capacity(first.len());
    for part in first {
        let number = part.view;
        let keep = plan.views.iter().any(|view| view.from == From::View(number));
        let view = &plan.views[number];
        let run = ViewRun::new(view, source.pixel(), part, slots, settings, tables, keep)?;
        runs.push((number, run));
    }
    drive(&mut runs, &mut *source.open()?, watch)?;
    for (number, run) in runs {
        run.finish(&mut kept, number);
    }
    for part in later {
        let number = part.view;
        let view = &plan.views[number];
        let From::View(parent) = view.from else { continue };
        let (height, width) = plan.views[parent].canvas;
        let canvas = kept.get(&parent).ok_or(Error::Source)?;
        let mut rows = ImageRef::packed(canvas, height, width, 3);
        let run = ViewRun::new(view, 3, part, slots, settings, tables, false)?;
        drive(&mut [(number, run)], &mut rows, watch)?;
    }
    Ok(())
}

fn drive<B: Backend>(
    runs: &mut [(usize, ViewRun<'_, B>)],
    rows: &mut dyn Rows,
    watch: &Watch<'_>,
) -> Result<()> {
    loop {
        let pending = || runs.iter().filter(|(_, run)| !run.is_done());
        let wanted = if pending().count() > 1 { WINDOW } else { usize::MAX };
        let Some(first) = pending().map(|(_, run)| run.next_source()).min() else { return Ok(()) };
        let window = rows.window(first, wanted)?;
        let limit =
            if wanted == usize::MAX { window.end() } else { window.end().min(first + wanted) };
        for (_, run) in &mut *runs {
            run.advance(&window, limit, watch)?;
        }
    }
}

/// The laid-out weights of a call, each made once, or taken from calls before it.
struct Tables<B: Backend> {
    backend: B,
    axes: Mutex<HashMap<AxisKey, Arc<Axis>>>,
    columns: Mutex<HashMap<ColumnsKey, Arc<B::Columns>>>,
    rows: Mutex<HashMap<AxisKey, Arc<B::Rows>>>,
}

type AxisKey = (Filter, usize, usize, bool);
/// An axis, and bytes a pixel on both sides.
type ColumnsKey = (AxisKey, usize, usize);

impl<B: Backend> Tables<B> {
    fn new(backend: B) -> Self {
        Self {
            backend,
            axes: Mutex::default(),
            columns: Mutex::new(HashMap::new()),
            rows: Mutex::new(HashMap::new()),
        }
    }

    fn axis(&self, key: AxisKey) -> Result<Arc<Axis>> {
        cached(&self.axes, key, || kept((key, 0, 0), || Axis::new(key.0, key.1, key.2, key.3)))
    }

    fn columns(&self, key: AxisKey, input: usize, output: usize) -> Result<Arc<B::Columns>> {
        cached(&self.columns, (key, input, output), || {
            kept((key, input, output), || self.backend.columns(&*self.axis(key)?, input, output))
        })
    }

    fn rows(&self, key: AxisKey) -> Result<Arc<B::Rows>> {
        cached(&self.rows, key, || kept((key, 0, 0), || self.backend.rows(&*self.axis(key)?)))
    }
}

fn cached<K: std::hash::Hash + Eq, V>(
    table: &Mutex<HashMap<K, Arc<V>>>,
    key: K,
    make: impl FnOnce() -> Result<Arc<V>>,
) -> Result<Arc<V>> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = table.get(&key) {
        return Ok(Arc::clone(found));
    }
    let made = make()?;
    table.insert(key, Arc::clone(&made));
    Ok(made)
}

/// Weights of one kind for one axis, as its number of taps bounds their size.
type Kept = (TypeId, (AxisKey, usize, usize), Arc<dyn Any + Send + Sync>);

/// How many weights are kept from call to call, and for up to how many samples of source and target each: 64 KiB or so.
const KEPT: usize = 32;
const KEPT_SAMPLES: usize = 1 << 13;

/// The weights used last, latest at the end. Nobody waits for them: who finds them taken makes their own, so that a
/// fork at any moment leaves no child stuck.
static LAST: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

fn last() -> Option<MutexGuard<'static, Vec<Kept>>> {
    match LAST.try_lock() {
        Ok(last) => Some(last),
        Err(TryLockError::Poisoned(last)) => Some(last.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn kept<V: Send + Sync + 'static>(
    key: (AxisKey, usize, usize),
    make: impl FnOnce() -> Result<V>,
) -> Result<Arc<V>> {
    let kind = TypeId::of::<V>();
    if let Some(mut last) = last()
        && let Some(at) = last.iter().position(|(k, other, _)| *k == kind && *other == key)
    {
        last[at..].rotate_left(1);
        let found = last.last().map(|(_, _, value)| Arc::clone(value));
        if let Some(Ok(found)) = found.map(Arc::downcast) {
            return Ok(found);
        }
    }
    let made = Arc::new(make()?);
    let (source, target) = (key.0.1, key.0.2);
    if source.saturating_add(target) <= KEPT_SAMPLES
        && let Some(mut last) = last()
    {
        if last.len() >= KEPT {
            last.remove(0);
        }
        last.push((kind, key, Arc::clone(&made) as Arc<dyn Any + Send + Sync>));
    }
    Ok(made)
}

/// A view under way.
struct ViewRun<'a, B: Backend> {
    backend: B,
    view: &'a View,
    passes: Passes,
    columns: Option<Arc<B::Columns>>,
    rows: Option<(Arc<Axis>, Arc<B::Rows>)>,
    /// Bytes a pixel of the source and of the finished rows.
    input: usize,
    output: usize,
    ring: Ring,
    /// Eight finished rows that a horizontal pass made at once, and the first one's number.
    lines: Lines,
    /// Rows of a first vertical pass, up to eight, and how many there are.
    tall: Vec<u8>,
    tall_count: usize,
    band: Vec<u8>,
    /// Canvas rows of the strip under way.
    strip: Vec<u8>,
    strip_rows: usize,
    next: usize,
    end: usize,
    emit: Emit<'a>,
    kept: Option<Vec<u8>>,
}

/// The bands that the vertical pass may still need.
struct Ring {
    bytes: Vec<u8>,
    bands: usize,
    group: usize,
    next_band: usize,
}

impl Ring {
    fn slot(&mut self, band: usize) -> &mut [u8] {
        let len = 2 * self.group;
        let start = (band % self.bands) * len;
        &mut self.bytes[start..start + len]
    }

    fn group(&self, number: usize) -> &[u8] {
        let half = BAND / GROUP;
        let start = ((number / half) % self.bands * half + number % half) * self.group;
        &self.bytes[start..start + self.group]
    }
}

struct Lines {
    bytes: Vec<u8>,
    first: usize,
    count: usize,
}

impl<'a, B: Backend> ViewRun<'a, B> {
    fn new(
        view: &'a View,
        input: usize,
        part: Part<'a>,
        slots: &Range<usize>,
        settings: &'a Settings<'_>,
        tables: &Tables<B>,
        keep: bool,
    ) -> Result<Self> {
        let source = view.source.size;
        let empty = view.resized.0 == 0 || view.resized.1 == 0;
        let target = if empty { source } else { view.resized };
        let passes = Passes::new(settings.numerics, source, target);
        let int16 = settings.numerics.int16_weights();
        let horizontal = !matches!(passes, Passes::Copy | Passes::Vertical);
        let vertical = !matches!(passes, Passes::Copy | Passes::Horizontal);
        let output = match view.cut {
            Cut::Rows { pixel } => pixel,
            _ if horizontal => 3,
            _ => input,
        };
        let columns = if horizontal {
            Some(tables.columns((view.filter, source.1, target.1, int16), input, output)?)
        } else {
            None
        };
        let key = (view.filter, source.0, target.0, int16);
        let rows = if vertical { Some((tables.axis(key)?, tables.rows(key)?)) } else { None };
        let ring_components = match passes {
            Passes::HorizontalVertical => target.1 * output,
            Passes::Vertical | Passes::VerticalHorizontal => source.1 * input,
            Passes::Copy | Passes::Horizontal => 0,
        };
        let first_target = part.rows.start.saturating_sub(view.offset.0);
        let ring = match &rows {
            Some((axis, _)) => {
                let bands = axis.longest().div_ceil(BAND) + 1;
                let group = group_len(ring_components);
                let next_band = axis.reads(first_target.min(target.0 - 1)).start / BAND;
                Ring { bytes: zeroed(bands * 2 * group)?, bands, group, next_band }
            }
            None => Ring { bytes: Vec::new(), bands: 1, group: 0, next_band: 0 },
        };
        let makes_lines = matches!(passes, Passes::Horizontal | Passes::VerticalHorizontal);
        let line = target.1 * output;
        let lines = zeroed(if makes_lines { BAND * line } else { 0 })?;
        let band = zeroed(if makes_lines { 2 * group_len(line) } else { 0 })?;
        let tall = matches!(passes, Passes::VerticalHorizontal);
        let tall = zeroed(if tall { BAND * source.1 * input } else { 0 })?;
        let strip_rows = Emit::strip_rows(view.cut);
        let strip = zeroed(strip_rows * view.canvas.1 * output)?;
        let Part { rows: Range { start, end }, out, .. } = part;
        let lut = &settings.luts[view.output];
        let slots = slots.clone();
        let emit = Emit::new(view, lut, settings.copies, slots, settings.stream, start, out)?;
        let kept = if keep {
            let mut kept = Vec::new();
            let bytes = view.canvas.0 * view.canvas.1 * 3;
            kept.try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory { bytes })?;
            Some(kept)
        } else {
            None
        };
        Ok(Self {
            backend: tables.backend,
            view,
            passes,
            columns,
            rows,
            input,
            output,
            ring,
            lines: Lines { bytes: lines, first: 0, count: 0 },
            tall,
            tall_count: 0,
            band,
            strip,
            strip_rows,
            next: start,
            end,
            emit,
            kept,
        })
    }

    fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// The first source row that is still to be read, of the whole image.
    fn next_source(&self) -> usize {
        let row = match self.passes {
            Passes::Copy => self.next.saturating_sub(self.view.offset.0),
            Passes::Horizontal => {
                let target = self.next.saturating_sub(self.view.offset.0);
                if self.has_line(target) { self.lines.first + self.lines.count } else { target }
            }
            _ => self.ring.next_band * BAND,
        };
        self.view.source.top + row.min(self.view.source.size.0 - 1)
    }

    fn has_line(&self, target: usize) -> bool {
        (self.lines.first..self.lines.first + self.lines.count).contains(&target)
    }

    /// Goes as far as rows below `limit` allow.
    fn advance(&mut self, window: &Window<'_>, limit: usize, watch: &Watch<'_>) -> Result<()> {
        while self.next < self.end {
            watch.check()?;
            if self.copies_strip(window, limit) {
                continue;
            }
            if !self.row(window, limit) {
                return Ok(());
            }
            self.next += 1;
            if self.next.is_multiple_of(self.strip_rows) {
                self.emit_strip();
            }
        }
        Ok(())
    }

    fn source_row<'w>(&self, window: &Window<'w>, y: usize) -> Row<'w> {
        let rect = self.view.source;
        let row = window.row(rect.top + y);
        row.slice(rect.left * self.input, rect.size.1 * self.input)
    }

    /// Whether source rows `first .. last` are at hand; those past the image's end are never asked for.
    fn at_hand(&self, window: &Window<'_>, limit: usize, first: usize, last: usize) -> bool {
        let top = self.view.source.top;
        window.first <= top + first && top + last <= limit
    }

    /// A strip that needs no resampling and no padding goes out from where it lies.
    fn copies_strip(&mut self, window: &Window<'_>, limit: usize) -> bool {
        let strip = self.next..self.next + self.strip_rows;
        let plain = matches!(self.passes, Passes::Copy)
            && self.view.resized == self.view.canvas
            && self.kept.is_none()
            && self.next.is_multiple_of(self.strip_rows)
            && self.input == self.output;
        if !plain || !self.at_hand(window, limit, strip.start, strip.end) {
            return false;
        }
        let rows: Vec<Row<'_>> = strip.clone().map(|y| self.source_row(window, y)).collect();
        self.emit.strip(self.backend, strip.start, &rows, self.output);
        self.next = strip.end;
        true
    }

    fn emit_strip(&mut self) {
        let first = self.next - self.strip_rows;
        let len = self.view.canvas.1 * self.output;
        if let Some(kept) = &mut self.kept {
            for row in self.strip.chunks_exact(len) {
                kept.extend(row.chunks_exact(self.output).flat_map(|pixel| &pixel[..3]));
            }
        }
        if self.emit.direct(first, len).is_some() {
            return;
        }
        let rows: Vec<Row<'_>> = self.strip.chunks_exact(len).map(Row::from).collect();
        self.emit.strip(self.backend, first, &rows, self.output);
    }

    /// Makes canvas row `self.next`, unless source rows are missing.
    fn row(&mut self, window: &Window<'_>, limit: usize) -> bool {
        let (top, left) = self.view.offset;
        let target = self.next.wrapping_sub(top);
        let inside = target < self.view.resized.0 && self.view.resized.1 > 0;
        if inside && !self.ready(window, limit, target) {
            return false;
        }
        let len = self.view.canvas.1 * self.output;
        let at = (self.next % self.strip_rows) * len;
        let slot = match self.emit.direct(self.next, len) {
            Some(slot) => slot,
            None => &mut self.strip[at..at + len],
        };
        let (start, end) = (left * self.output, (left + self.view.resized.1) * self.output);
        let (start, end) = if inside { (start, end) } else { (0, 0) };
        for margin in [0..start, end..len] {
            for pixel in slot[margin].chunks_exact_mut(self.output) {
                pixel[..3].copy_from_slice(&self.view.background);
            }
        }
        if !inside {
            return true;
        }
        let slot = &mut slot[start..end];
        match self.passes {
            Passes::Copy => {
                let rect = self.view.source;
                let row = window.row(rect.top + target);
                copy_pixels(
                    row.slice(rect.left * self.input, rect.size.1 * self.input),
                    self.input,
                    slot,
                    self.output,
                );
            }
            Passes::Horizontal | Passes::VerticalHorizontal => {
                let at = (target - self.lines.first) * slot.len();
                slot.copy_from_slice(&self.lines.bytes[at..at + slot.len()]);
            }
            Passes::Vertical | Passes::HorizontalVertical => {
                vertical(self.backend, self.rows.as_ref(), &self.ring, target, slot);
            }
        }
        true
    }

    /// Makes everything that target row `target` needs, as far as the source rows are at hand.
    fn ready(&mut self, window: &Window<'_>, limit: usize, target: usize) -> bool {
        match self.passes {
            Passes::Copy => self.at_hand(window, limit, target, target + 1),
            Passes::Vertical | Passes::HorizontalVertical => self.feed(window, limit, target),
            Passes::Horizontal => {
                if self.has_line(target) {
                    return true;
                }
                let count = BAND.min(self.view.resized.0 - target);
                if !self.at_hand(window, limit, target, target + count) {
                    return false;
                }
                let last = target + count - 1;
                let rows: [Row<'_>; BAND] =
                    std::array::from_fn(|r| self.source_row(window, (target + r).min(last)));
                self.lines(&rows, target, count);
                true
            }
            Passes::VerticalHorizontal => {
                if self.has_line(target) {
                    return true;
                }
                let count = BAND.min(self.view.resized.0 - target);
                let len = self.view.source.size.1 * self.input;
                while self.tall_count < count {
                    let row = target + self.tall_count;
                    if !self.feed(window, limit, row) {
                        return false;
                    }
                    let at = self.tall_count * len;
                    let out = &mut self.tall[at..at + len];
                    vertical(self.backend, self.rows.as_ref(), &self.ring, row, out);
                    self.tall_count += 1;
                }
                let tall = std::mem::take(&mut self.tall);
                let rows: [Row<'_>; BAND] = std::array::from_fn(|r| {
                    let at = r.min(count - 1) * len;
                    Row::from(&tall[at..at + len])
                });
                self.lines(&rows, target, count);
                self.tall = tall;
                self.tall_count = 0;
                true
            }
        }
    }

    /// Eight rows through the horizontal pass into `self.lines`.
    fn lines(&mut self, rows: &[Row<'_>; BAND], first: usize, count: usize) {
        let Some(columns) = &self.columns else { return };
        self.backend.horizontal(columns, rows, &mut self.band);
        let len = self.view.resized.1 * self.output;
        let group = group_len(len);
        for (group, lines) in
            self.band.chunks_exact(group).zip(self.lines.bytes.chunks_exact_mut(GROUP * len))
        {
            let (a, rest) = lines.split_at_mut(len);
            let (b, rest) = rest.split_at_mut(len);
            let (c, d) = rest.split_at_mut(len);
            self.backend.deinterleave(group, [a, b, c, d]);
        }
        self.lines.first = first;
        self.lines.count = count;
    }

    /// Fills the ring up to the window of target row `target`.
    fn feed(&mut self, window: &Window<'_>, limit: usize, target: usize) -> bool {
        let Some((axis, _)) = &self.rows else { return true };
        let end = axis.reads(target).end;
        let height = self.view.source.size.0;
        while self.ring.next_band * BAND < end {
            let first = self.ring.next_band * BAND;
            let last = (first + BAND).min(height);
            if !self.at_hand(window, limit, first, last) {
                return false;
            }
            let rows: [Row<'_>; BAND] =
                std::array::from_fn(|r| self.source_row(window, (first + r).min(last - 1)));
            let slot = self.ring.slot(first / BAND);
            match (&self.passes, &self.columns) {
                (Passes::HorizontalVertical, Some(columns)) => {
                    self.backend.horizontal(columns, &rows, slot);
                }
                _ => self.backend.interleave(&rows, slot),
            }
            self.ring.next_band += 1;
        }
        true
    }

    fn finish(self, kept: &mut HashMap<usize, Vec<u8>>, number: usize) {
        if let Some(canvas) = self.kept {
            kept.insert(number, canvas);
        }
    }
}

fn vertical<B: Backend>(
    backend: B,
    rows: Option<&(Arc<Axis>, Arc<B::Rows>)>,
    ring: &Ring,
    target: usize,
    out: &mut [u8],
) {
    let Some((axis, rows)) = rows else { return };
    let reads = axis.reads(target);
    let groups: Vec<&[u8]> =
        (reads.start / GROUP..=(reads.end - 1) / GROUP).map(|group| ring.group(group)).collect();
    backend.vertical(rows, target, &groups, out);
}

/// A row of one pixel width into a row of another, channel by channel.
fn copy_pixels(row: Row<'_>, input: usize, slot: &mut [u8], output: usize) {
    if input == output {
        row.copy_to(slot);
        return;
    }
    for (x, pixel) in slot.chunks_exact_mut(output).enumerate() {
        for (c, byte) in pixel.iter_mut().enumerate() {
            *byte = row.get(x * input + c);
        }
    }
}
