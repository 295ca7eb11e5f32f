//! One resize: source rows through two passes to canvas rows.

use std::ops::Range;
use std::sync::Arc;

use super::source::Window;
use super::tables::{Tables, Whose};
use crate::buffer::{Aligned, row_stride};
use crate::error::{Result, collected, zeroed};
use crate::image::Row;
use crate::plan::{Cut, Lane, View};
use crate::resample::{Axis, Numerics, Passes};
use crate::simd::{BAND, Backend, ColumnWeights, GROUP, RowWeights, Simd, group_len};

/// The canvas rows of a view, made in order.
pub(super) struct Scaler<'a> {
    backend: Simd,
    view: &'a View,
    /// Rows and columns of the resized picture that the canvas shows; no rows where it shows nothing.
    rows_shown: Range<usize>,
    columns_shown: Range<usize>,
    /// Columns of the view's source that those need.
    reads: Range<usize>,
    passes: Passes,
    columns: Option<Arc<ColumnWeights>>,
    rows: Option<(Arc<Axis>, Arc<RowWeights>)>,
    /// Bytes a pixel of the source and of the finished rows.
    input: usize,
    output: usize,
    ring: Ring,
    /// Eight finished rows that a horizontal pass made at once, and the first one's number.
    lines: Lines,
    /// Rows of a first vertical pass, up to eight, and how many there are.
    tall: Aligned,
    tall_count: usize,
    band: Aligned,
    next: usize,
    /// Whether it is the first to read its source rows.
    ahead: bool,
}

/// The bands that the vertical pass may still need.
struct Ring {
    bytes: Aligned,
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

/// Groups of a window that need no allocation.
const FEW: usize = 16;

impl<'a> Scaler<'a> {
    /// Canvas rows of `view` from `first` on, from pixels of `input` bytes.
    pub(super) fn new(
        view: &'a View,
        input: usize,
        first: usize,
        numerics: Numerics,
        tables: &Tables,
    ) -> Result<Self> {
        let source = view.source.size;
        let (rows_shown, columns_shown) = (
            shown(view.offset.0, view.resized.0, view.canvas.0),
            shown(view.offset.1, view.resized.1, view.canvas.1),
        );
        let empty = rows_shown.is_empty() || columns_shown.is_empty();
        let (rows_shown, columns_shown) =
            if empty { (0..0, 0..0) } else { (rows_shown, columns_shown) };
        let target = if empty { source } else { view.resized };
        let passes = Passes::new(numerics, source, target);
        let whose = match view.lane {
            Lane::Sharp => Whose::Sharp,
            _ if numerics.int16_weights() => Whose::Torch,
            _ => Whose::Pillow,
        };
        let horizontal = !matches!(passes, Passes::Copy | Passes::Vertical);
        let vertical = !matches!(passes, Passes::Copy | Passes::Horizontal);
        let output = match (view.output, view.cut) {
            (Some(_), Cut::Rows { pixel }) => pixel,
            (None, _) if passes == Passes::Copy => 3,
            _ if horizontal => 3,
            _ => input,
        };
        let Range { start, end } = columns_shown;
        let mut reads = columns_shown.clone();
        let columns = if horizontal {
            let key = (view.filter, source.1, target.1, whose, (start, end));
            reads = 0..source.1;
            if end - start < target.1 {
                let axis = tables.axis(key)?;
                reads = axis.origin..axis.origin + axis.source;
            }
            let columns = tables.columns(key, input, output)?;
            tables.backend.prepare(&columns)?;
            Some(columns)
        } else {
            None
        };
        let key = (view.filter, source.0, target.0, whose, (0, target.0));
        let rows = if vertical { Some((tables.axis(key)?, tables.rows(key)?)) } else { None };
        let ring_components = match passes {
            Passes::HorizontalVertical => columns_shown.len() * output,
            Passes::Vertical | Passes::VerticalHorizontal => reads.len() * input,
            Passes::Copy | Passes::Horizontal => 0,
        };
        let first_target = first.saturating_sub_signed(view.offset.0);
        let ring = match &rows {
            Some((axis, _)) => {
                let bands = axis.longest().div_ceil(BAND) + 1;
                let group = group_len(ring_components);
                let next_band = axis.reads(first_target.min(target.0 - 1)).start / BAND;
                Ring { bytes: Aligned::zeroed(bands * 2 * group)?, bands, group, next_band }
            }
            None => Ring { bytes: Aligned::zeroed(0)?, bands: 1, group: 0, next_band: 0 },
        };
        let makes_lines = matches!(passes, Passes::Horizontal | Passes::VerticalHorizontal);
        let line = columns_shown.len() * output;
        let lines = zeroed(if makes_lines { BAND * line } else { 0 })?;
        let band = Aligned::zeroed(if makes_lines { 2 * group_len(line) } else { 0 })?;
        let tall = matches!(passes, Passes::VerticalHorizontal);
        let tall = Aligned::zeroed(if tall { BAND * row_stride(reads.len() * input) } else { 0 })?;
        Ok(Self {
            backend: tables.backend,
            view,
            rows_shown,
            columns_shown,
            reads,
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
            next: first,
            ahead: true,
        })
    }

    /// Says whether others have read, and will read, the source rows before it.
    pub(super) const fn follow(&mut self, others: bool) {
        self.ahead = !others;
    }

    /// The canvas row that is made next.
    pub(super) const fn next(&self) -> usize {
        self.next
    }

    /// Bytes a pixel of the rows it makes.
    pub(super) const fn pixel(&self) -> usize {
        self.output
    }

    /// Bytes of a row it makes.
    pub(super) const fn row_bytes(&self) -> usize {
        self.view.canvas.1 * self.output
    }

    /// The first source row that is still to be read, of the whole image.
    pub(super) fn next_source(&self) -> usize {
        let row = match self.passes {
            Passes::Copy => self.next.saturating_sub_signed(self.view.offset.0),
            Passes::Horizontal => {
                let target = self.next.saturating_sub_signed(self.view.offset.0);
                if self.has_line(target) { self.lines.first + self.lines.count } else { target }
            }
            _ => self.ring.next_band * BAND,
        };
        self.view.source.top + row.min(self.view.source.size.0 - 1)
    }

    fn has_line(&self, target: usize) -> bool {
        (self.lines.first..self.lines.first + self.lines.count).contains(&target)
    }

    fn source_row<'w>(&self, window: &Window<'w>, y: usize) -> Row<'w> {
        let rect = self.view.source;
        let row = window.row(rect.top + y);
        row.slice((rect.left + self.reads.start) * self.input, self.reads.len() * self.input)
    }

    /// Whether source rows `first .. last` are at hand; those past the image's end are never asked for.
    fn at_hand(&self, window: &Window<'_>, limit: usize, first: usize, last: usize) -> bool {
        let top = self.view.source.top;
        window.first <= top + first && top + last <= limit
    }

    /// Makes the next canvas row in `slot`, unless source rows are missing.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn row(
        &mut self,
        window: &Window<'_>,
        limit: usize,
        slot: &mut [u8],
    ) -> Result<bool> {
        let (top, left) = self.view.offset;
        let target = self.next.wrapping_sub(top.cast_unsigned());
        let inside = self.rows_shown.contains(&target);
        if inside && !self.ready(window, limit, target)? {
            return Ok(false);
        }
        self.next += 1;
        let left = usize::try_from(left).unwrap_or(0) * self.output;
        let (start, end) =
            if inside { (left, left + self.columns_shown.len() * self.output) } else { (0, 0) };
        for margin in [0..start, end..slot.len()] {
            for pixel in slot[margin].chunks_exact_mut(self.output) {
                pixel[..3].copy_from_slice(&self.view.background);
            }
        }
        if !inside {
            return Ok(true);
        }
        let slot = &mut slot[start..end];
        match self.passes {
            Passes::Copy => {
                copy_pixels(self.source_row(window, target), self.input, slot, self.output);
            }
            Passes::Horizontal | Passes::VerticalHorizontal => {
                let at = (target - self.lines.first) * slot.len();
                slot.copy_from_slice(&self.lines.bytes[at..at + slot.len()]);
            }
            Passes::Vertical | Passes::HorizontalVertical => {
                vertical(self.backend, self.rows.as_ref(), &self.ring, target, slot)?;
            }
        }
        Ok(true)
    }

    /// Makes everything that target row `target` needs, as far as the source rows are at hand.
    fn ready(&mut self, window: &Window<'_>, limit: usize, target: usize) -> Result<bool> {
        Ok(match self.passes {
            Passes::Copy => self.at_hand(window, limit, target, target + 1),
            Passes::Vertical | Passes::HorizontalVertical => self.feed(window, limit, target),
            Passes::Horizontal => {
                if self.has_line(target) {
                    return Ok(true);
                }
                let count = BAND.min(self.view.resized.0 - target);
                if !self.at_hand(window, limit, target, target + count) {
                    return Ok(false);
                }
                let last = target + count - 1;
                let rows: [Row<'_>; BAND] =
                    std::array::from_fn(|r| self.source_row(window, (target + r).min(last)));
                let line = (self.columns_shown.len() * self.output, self.ahead);
                let made = (&self.columns, &mut self.band, &mut self.lines);
                lines(self.backend, made, &rows, line, target, count);
                true
            }
            Passes::VerticalHorizontal => {
                if self.has_line(target) {
                    return Ok(true);
                }
                let count = BAND.min(self.view.resized.0 - target);
                let len = self.reads.len() * self.input;
                let stride = row_stride(len);
                while self.tall_count < count {
                    let row = target + self.tall_count;
                    if !self.feed(window, limit, row) {
                        return Ok(false);
                    }
                    let at = self.tall_count * stride;
                    let out = &mut self.tall[at..at + len];
                    vertical(self.backend, self.rows.as_ref(), &self.ring, row, out)?;
                    self.tall_count += 1;
                }
                let rows: [Row<'_>; BAND] = std::array::from_fn(|r| {
                    let at = r.min(count - 1) * stride;
                    Row::from(&self.tall[at..at + len])
                });
                let line = (self.columns_shown.len() * self.output, false);
                let made = (&self.columns, &mut self.band, &mut self.lines);
                lines(self.backend, made, &rows, line, target, count);
                self.tall_count = 0;
                true
            }
        })
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
                    self.backend.horizontal(columns, &rows, self.ahead, slot);
                }
                _ => self.backend.interleave(&rows, slot),
            }
            self.ring.next_band += 1;
        }
        true
    }
}

/// The samples of `resized` ones that lie on a canvas of `canvas`, the first of them at `offset`.
fn shown(offset: isize, resized: usize, canvas: usize) -> Range<usize> {
    let start = usize::try_from(offset.saturating_neg()).unwrap_or(0);
    let end = canvas.saturating_add_signed(offset.saturating_neg()).min(resized);
    start..end.max(start)
}

/// Weights of a horizontal pass, the band it makes, and the lines it becomes.
type Made<'a> = (&'a Option<Arc<ColumnWeights>>, &'a mut Aligned, &'a mut Lines);

/// Eight rows through the horizontal pass into lines of `len` bytes.
fn lines(
    backend: Simd,
    (columns, band, lines): Made<'_>,
    rows: &[Row<'_>; BAND],
    (len, ahead): (usize, bool),
    first: usize,
    count: usize,
) {
    let Some(columns) = columns else { return };
    backend.horizontal(columns, rows, ahead, band);
    let groups = band.chunks_exact(group_len(len));
    for (group, lines) in groups.zip(lines.bytes.chunks_exact_mut(GROUP * len)) {
        let (a, rest) = lines.split_at_mut(len);
        let (b, rest) = rest.split_at_mut(len);
        let (c, d) = rest.split_at_mut(len);
        backend.deinterleave(group, [a, b, c, d]);
    }
    (lines.first, lines.count) = (first, count);
}

fn vertical(
    backend: Simd,
    rows: Option<&(Arc<Axis>, Arc<RowWeights>)>,
    ring: &Ring,
    target: usize,
    out: &mut [u8],
) -> Result<()> {
    let Some((axis, rows)) = rows else { return Ok(()) };
    let reads = axis.reads(target);
    let Range { start, end } = reads.start / GROUP..(reads.end - 1) / GROUP + 1;
    if end - start <= FEW {
        let mut groups: [&[u8]; FEW] = [&[]; FEW];
        for (slot, group) in groups.iter_mut().zip(start..end) {
            *slot = ring.group(group);
        }
        backend.vertical(rows, target, &groups[..end - start], out);
    } else {
        let groups: Vec<&[u8]> = collected((start..end).map(|group| ring.group(group)))?;
        backend.vertical(rows, target, &groups, out);
    }
    Ok(())
}

/// A row into one of another pixel width, channel by channel.
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
