//! Views under way, of one image or of the frames of one temporal patch: rows to strips, strips to their places.

use std::ops::Range;

use super::scaler::Scaler;
use super::source::{Rows, WINDOW, Window};
use super::tables::Tables;
use super::{Out, Piece, Settings};
use crate::buffer::{Aligned, row_stride};
use crate::error::{Result, collected, gathered, reserved};
use crate::image::Row;
use crate::pack::{Emit, Place};
use crate::parallel::Watch;
use crate::plan::{Lane, Plan, View};
use crate::resample::Numerics;
use crate::simd::{BAND, Backend, Simd};

/// Makes views from readers, and makes sure that those have come to a good end.
pub(super) fn read(
    runs: &mut [ViewRun<'_>],
    readers: &mut [Box<dyn Rows + '_>],
    watch: &Watch<'_>,
) -> Result<()> {
    drive(runs, readers, watch)?;
    for reader in readers {
        reader.finish()?;
    }
    Ok(())
}

/// Advances the views of one image, or of the frames of one temporal patch, to their ends.
fn drive(
    runs: &mut [ViewRun<'_>],
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
pub(super) struct ViewRun<'a> {
    backend: Simd,
    view: &'a View,
    scalers: Vec<Scaler<'a>>,
    /// Canvas rows of the strip under way, of each frame.
    strips: Vec<Aligned>,
    /// The first row of that strip, and one past its last.
    first: usize,
    last: usize,
    end: usize,
    emit: Option<Emit<'a>>,
    keep: Option<Keep<'a>>,
}

/// Where the rows of a canvas go that later views come from.
struct Keep<'a> {
    /// The first of the rows, and one past the last.
    first: usize,
    end: usize,
    /// Their pixels, of each frame.
    canvases: Vec<&'a mut [u8]>,
}

impl Keep<'_> {
    fn row(&mut self, frame: usize, y: usize, len: usize) -> &mut [u8] {
        let at = (y - self.first) * len;
        &mut self.canvases[frame][at..at + len]
    }
}

impl<'a> ViewRun<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        input: usize,
        piece: Piece<'a>,
        canvases: Vec<&'a mut [u8]>,
        slots: &[Range<usize>],
        settings: &'a Settings<'_>,
        tables: &Tables,
    ) -> Result<Self> {
        let (Range { start, end }, own) = piece.rows(plan, !canvases.is_empty());
        let view = &plan.views[piece.view];
        let frames = slots.len();
        let emit = match (view.output, piece.out) {
            (Some(output), Some(Out { bytes, tile, fill })) => {
                let place = Place { units: piece.units, out: bytes, tile, fill };
                let lut = settings.luts[output];
                Some(Emit::new(
                    view,
                    lut,
                    slots,
                    settings.stream,
                    tables.backend.tile_rows(),
                    place,
                )?)
            }
            _ => None,
        };
        let keep = if canvases.is_empty() {
            None
        } else {
            Some(Keep { first: start, end: own, canvases })
        };
        let strip_rows = emit.as_ref().map_or(1, Emit::strip_rows);
        let mut scalers = reserved(frames)?;
        let mut strips = reserved(frames)?;
        let numerics = match view.lane {
            Lane::Torch | Lane::Sharp => Numerics::Torchvision,
            Lane::Bytes | Lane::Reduced | Lane::Floats(_) => settings.numerics,
        };
        for _ in 0..frames {
            let scaler = Scaler::new(view, input, start, numerics, tables)?;
            let stride = row_stride(scaler.row_bytes());
            strips.push(Aligned::zeroed(strip_rows * stride)?);
            scalers.push(scaler);
        }
        let mut run = Self {
            backend: tables.backend,
            view,
            scalers,
            strips,
            first: start,
            last: start,
            end,
            emit,
            keep,
        };
        run.next_strip();
        Ok(run)
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
            let (len, pixel) = (self.scalers[frame].row_bytes(), self.scalers[frame].pixel());
            let stride = row_stride(len);
            while self.scalers[frame].next() < self.last {
                let scaler = &mut self.scalers[frame];
                let y = scaler.next();
                let at = (y - self.first) * stride;
                let strip = &mut self.strips[frame][at..at + len];
                let slot = match (&mut self.emit, &mut self.keep) {
                    (Some(emit), None) => emit.direct(y, len).unwrap_or(strip),
                    (None, Some(keep)) if pixel == 3 => keep.row(frame, y, len),
                    _ => strip,
                };
                if !scaler.row(window, limit, slot)? {
                    return Ok(());
                }
            }
            if self.scalers.iter().all(|scaler| scaler.next() == self.last) {
                self.emit_strip()?;
            }
        }
        Ok(())
    }

    fn emit_strip(&mut self) -> Result<()> {
        let (pixel, len) = (self.scalers[0].pixel(), self.scalers[0].row_bytes());
        let count = self.last - self.first;
        let frames = self
            .strips
            .iter()
            .map(|strip| strip.chunks_exact(row_stride(len)).take(count).map(|row| &row[..len]));
        if let Some(keep) = &mut self.keep
            && (self.emit.is_some() || pixel != 3)
        {
            for (frame, rows) in frames.clone().enumerate() {
                for (y, row) in (self.first..keep.end).zip(rows) {
                    let kept = keep.row(frame, y, len / pixel * 3);
                    for (kept, pixel) in kept.chunks_exact_mut(3).zip(row.chunks_exact(pixel)) {
                        kept.copy_from_slice(&pixel[..3]);
                    }
                }
            }
        }
        if let Some(emit) = &mut self.emit
            && (self.keep.is_some() || emit.direct(self.first, len).is_none())
        {
            let frames: Vec<Vec<Row<'_>>> =
                gathered(frames.map(|rows| collected(rows.map(Row::from))))?;
            emit.strip(self.backend, self.first, &frames, pixel);
        }
        self.next_strip();
        Ok(())
    }

    fn next_strip(&mut self) {
        self.first = self.last;
        let end = self.emit.as_ref().map_or(self.first + 1, |emit| emit.strip_end(self.first));
        self.last = end.min(self.end);
    }
}
