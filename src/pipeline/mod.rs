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
//! | module | holds |
//! |---|---|
//! | `source` | where rows come from |
//! | `tables` | weights, made once and kept |
//! | `scaler` | one resize: rows to canvas rows |

mod scaler;
mod source;
mod tables;

use std::collections::HashMap;
use std::ops::Range;

pub use self::source::{Rows, Source, Window};

use self::scaler::Scaler;
use self::source::WINDOW;
use self::tables::Tables;
use crate::buffer::{Aligned, row_stride};
use crate::error::{Error, Result};
use crate::image::{ImageRef, Row};
use crate::pack::{Emit, Lut};
use crate::parallel::{self, Watch};
use crate::plan::{From, Plan, View};
use crate::resample::Numerics;
use crate::simd::{BAND, Backend, Simd};
use crate::with_backend;

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

impl Part<'_> {
    /// The same part once more.
    fn again(&mut self) -> Part<'_> {
        Part { view: self.view, rows: self.rows.clone(), out: self.out }
    }
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
    let sequential = frames.iter().any(|frame| frame.source.is_sequential());
    if shares == 1 || chained || sequential {
        return vec![Task { plan, frames, parts }];
    }
    let task = |part| Task { plan, frames: frames.clone(), parts: vec![part] };
    parts.into_iter().map(task).collect()
}

impl Task<'_> {
    /// The work, and again from the first row where a source is not what it seemed to be.
    fn run<B: Backend>(
        mut self,
        settings: &Settings<'_>,
        tables: &Tables<B>,
        watch: &Watch<'_>,
    ) -> Result<()> {
        loop {
            let result = self.attempt(settings, tables, watch);
            if result != Err(Error::Source) {
                return result;
            }
            let mut replaced = false;
            for frame in &mut self.frames {
                if let Some(source) = frame.source.instead() {
                    frame.source = source;
                    replaced = true;
                }
            }
            if !replaced {
                return result;
            }
        }
    }

    fn attempt<B: Backend>(
        &mut self,
        settings: &Settings<'_>,
        tables: &Tables<B>,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let Self { plan, frames, parts } = self;
        let parts: Vec<Part<'_>> = parts.iter_mut().map(Part::again).collect();
        let pixel = frames.first().map_or(3, |frame| frame.source.pixel());
        let (first, later): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| plan.views[part.view].from == From::Image);
        let slots: Vec<Range<usize>> = frames.iter().map(|frame| frame.slots.clone()).collect();
        let mut runs = Vec::with_capacity(first.len());
        for part in first {
            let keep = plan.views.iter().any(|view| view.from == From::View(part.view));
            runs.push(ViewRun::new(plan, pixel, part, &slots, settings, tables, keep)?);
        }
        let mut readers = Vec::with_capacity(frames.len());
        for frame in frames.iter() {
            readers.push(frame.source.open_watched(watch)?);
        }
        drive(&mut runs, &mut readers, watch)?;
        for reader in &mut readers {
            reader.finish()?;
        }
        let mut kept: HashMap<usize, Vec<Vec<u8>>> = HashMap::new();
        for run in runs {
            if let Some(canvases) = run.kept {
                kept.insert(run.number, canvases);
            }
        }
        for part in later {
            let From::View(parent) = plan.views[part.view].from else { continue };
            let (height, width) = plan.views[parent].canvas;
            let canvases = kept.get(&parent).ok_or(Error::Source)?;
            let mut readers: Vec<Box<dyn Rows + '_>> = Vec::with_capacity(canvases.len());
            for canvas in canvases {
                readers.push(Box::new(ImageRef::packed(canvas, height, width, 3)));
            }
            let run = ViewRun::new(plan, 3, part, &slots, settings, tables, false)?;
            drive(&mut [run], &mut readers, watch)?;
        }
        tables.backend.fence();
        Ok(())
    }
}

/// Advances the views of one image, or of the frames of one temporal patch, to their ends.
fn drive<B: Backend>(
    runs: &mut [ViewRun<'_, B>],
    readers: &mut [Box<dyn Rows + '_>],
    watch: &Watch<'_>,
) -> Result<()> {
    loop {
        let mut busy = false;
        for (frame, rows) in readers.iter_mut().enumerate() {
            // A still image never waits for another frame, so its views are done here.
            loop {
                let pending = || runs.iter().filter(|run| run.is_pending(frame));
                let Some(first) = pending().map(|run| run.next_source(frame)).min() else { break };
                let wanted = if pending().count() > 1 { WINDOW } else { usize::MAX };
                let window = rows.window(first, wanted)?;
                let limit = if wanted == usize::MAX {
                    window.end()
                } else {
                    window.end().min(first + wanted)
                };
                for number in 0..runs.len() {
                    let (before, rest) = runs.split_at_mut(number);
                    let Some(run) = rest.first_mut() else { break };
                    let source = &run.view.source;
                    run.scalers[frame].follow(before.iter().any(|run| run.view.source == *source));
                    run.advance(frame, &window, limit, watch)?;
                }
                busy = true;
            }
        }
        if !busy {
            return Ok(());
        }
    }
}

/// Rows between two looks at the watch where strips are shorter.
const WATCH_EVERY: usize = BAND;

/// A view under way, of one image or of the frames of one temporal patch.
struct ViewRun<'a, B: Backend> {
    backend: B,
    number: usize,
    view: &'a View,
    scalers: Vec<Scaler<'a, B>>,
    /// Canvas rows of the strip under way, of each frame.
    strips: Vec<Aligned>,
    /// The first row of that strip, and one past its last.
    first: usize,
    last: usize,
    end: usize,
    emit: Emit<'a>,
    /// The canvases of the frames, where a later view wants them.
    kept: Option<Vec<Vec<u8>>>,
}

impl<'a, B: Backend> ViewRun<'a, B> {
    fn new(
        plan: &'a Plan,
        input: usize,
        part: Part<'a>,
        slots: &[Range<usize>],
        settings: &'a Settings<'_>,
        tables: &Tables<B>,
        keep: bool,
    ) -> Result<Self> {
        let Part { view: number, rows: Range { start, end }, out } = part;
        let view = &plan.views[number];
        let frames = slots.len();
        let lut = &settings.luts[view.output];
        let emit = Emit::new(view, lut, slots, settings.stream, start, B::TILE_ROWS, out)?;
        let mut scalers = Vec::with_capacity(frames);
        let mut strips = Vec::with_capacity(frames);
        for _ in 0..frames {
            let scaler = Scaler::new(view, input, start, settings.numerics, tables)?;
            let stride = row_stride(scaler.row_bytes());
            strips.push(Aligned::zeroed(emit.strip_rows() * stride)?);
            scalers.push(scaler);
        }
        let kept = if keep {
            let mut canvases = Vec::with_capacity(frames);
            for _ in 0..frames {
                let mut canvas = Vec::new();
                let bytes = view.canvas.0 * view.canvas.1 * 3;
                canvas.try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory { bytes })?;
                canvases.push(canvas);
            }
            Some(canvases)
        } else {
            None
        };
        Ok(Self {
            backend: tables.backend,
            number,
            view,
            scalers,
            strips,
            first: start,
            last: emit.strip_end(start).min(end),
            end,
            emit,
            kept,
        })
    }

    /// Whether `frame` has rows to make before the others must catch up.
    fn is_pending(&self, frame: usize) -> bool {
        self.first < self.end && self.scalers[frame].next() < self.last
    }

    fn next_source(&self, frame: usize) -> usize {
        self.scalers[frame].next_source()
    }

    /// Goes as far as rows of `frame` below `limit` and the strips of the other frames allow.
    fn advance(
        &mut self,
        frame: usize,
        window: &Window<'_>,
        limit: usize,
        watch: &Watch<'_>,
    ) -> Result<()> {
        while self.is_pending(frame) {
            if self.first.is_multiple_of(WATCH_EVERY) || self.last - self.first > 1 {
                watch.check()?;
            }
            let len = self.scalers[frame].row_bytes();
            let stride = row_stride(len);
            while self.scalers[frame].next() < self.last {
                let scaler = &mut self.scalers[frame];
                let at = (scaler.next() - self.first) * stride;
                let slot = match self.emit.direct(scaler.next(), len) {
                    Some(slot) => slot,
                    None => &mut self.strips[frame][at..at + len],
                };
                if !scaler.row(window, limit, slot) {
                    return Ok(());
                }
            }
            if self.scalers.iter().all(|scaler| scaler.next() == self.last) {
                self.emit_strip();
            }
        }
        Ok(())
    }

    fn emit_strip(&mut self) {
        let (pixel, len) = (self.scalers[0].pixel(), self.scalers[0].row_bytes());
        let count = self.last - self.first;
        let frames = self
            .strips
            .iter()
            .map(|strip| strip.chunks_exact(row_stride(len)).take(count).map(|row| &row[..len]));
        if let Some(kept) = &mut self.kept {
            for (canvas, rows) in kept.iter_mut().zip(frames.clone()) {
                for row in rows {
                    canvas.extend(row.chunks_exact(pixel).flat_map(|pixel| &pixel[..3]));
                }
            }
        }
        if self.emit.direct(self.first, len).is_none() {
            let frames: Vec<Vec<Row<'_>>> =
                frames.map(|rows| rows.map(Row::from).collect()).collect();
            self.emit.strip(self.backend, self.first, &frames, pixel);
        }
        self.next_strip();
    }

    fn next_strip(&mut self) {
        self.first = self.last;
        self.last = self.emit.strip_end(self.first).min(self.end);
    }
}
