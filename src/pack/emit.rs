//! Strips of canvas rows into patches or tiles.

use std::ops::Range;

use crate::error::{Error, Result, Size, append, zeroed};
use crate::image::Row;
use crate::plan::{Cut, Inside, Order, View};
use crate::simd::{Backend, Simd};

use super::fill::Fill;
use super::lut::{Element, Lut};
use super::writer::{PAD, Run, Writer};

/// How a view's canvas is divided into units, each of which fills memory of its own: rows of merge blocks, rows of tiles,
/// rows of pixels. Threads share a view unit by unit.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// How many.
    pub count: usize,
    /// Canvas rows from one to the next.
    pub step: usize,
    /// Canvas rows of one.
    pub span: usize,
}

impl Units {
    /// The units of `view`; those of what fills no output are its canvas rows.
    #[must_use]
    pub const fn new(view: &View) -> Self {
        match (view.output, view.cut) {
            (Some(_), Cut::Patches { patch, merge, .. }) => {
                let rows = patch * merge;
                Self { count: view.grid.rows / merge, step: rows, span: rows }
            }
            (Some(_), Cut::Tiles { tile, step, .. }) => {
                Self { count: view.grid.rows, step: step.0, span: tile.0 }
            }
            (Some(_), Cut::Rows { .. }) | (None, _) => {
                Self { count: view.canvas.0, step: 1, span: 1 }
            }
        }
    }

    /// One past the last canvas row of the first `count` units.
    #[must_use]
    pub const fn end(&self, count: usize) -> usize {
        if count == 0 { 0 } else { (count - 1) * self.step + self.span }
    }
}

/// The memory of some units of a view.
pub struct Place<'a> {
    /// The units.
    pub units: Range<usize>,
    /// Their elements, from the first one's on.
    pub out: &'a mut [u8],
    /// The size that every tile has in memory; at least that of the view's tiles.
    pub tile: Size,
    /// What stands in a tile where the view's tiles do not reach.
    pub fill: Fill,
}

impl Place<'_> {
    /// Bytes of one unit of `view`, where patches have `copies` places over time.
    #[must_use]
    pub const fn unit_bytes(view: &View, tile: Size, element: Element, copies: usize) -> usize {
        let rows = match view.cut {
            Cut::Patches { merge, .. } => merge * view.grid.columns,
            Cut::Tiles { .. } => view.grid.columns,
            Cut::Rows { pixel } => return view.canvas.1 * pixel,
        };
        rows * row_bytes(view.cut, tile, element, copies)
    }
}

/// Bytes of one patch with `copies` places over time, or of one tile of the size `tile`.
#[must_use]
pub const fn row_bytes(cut: Cut, tile: Size, element: Element, copies: usize) -> usize {
    match cut {
        Cut::Patches { patch, inside, .. } => {
            (inside.numbers() + copies * patch * patch * 3) * element.size()
        }
        Cut::Tiles { .. } => tile.0 * tile.1 * 3 * element.size(),
        Cut::Rows { pixel } => pixel,
    }
}

/// Writes a run of strips of one view into its part of an output.
///
/// A strip is as many canvas rows as one call of [`Emit::strip`] takes: a row of merge blocks, or some rows of a row of
/// tiles. Of patches it is one run of memory, of tiles a few rather long ones: memory takes those best.
pub struct Emit<'a> {
    cut: Cut,
    columns: usize,
    lut: &'a Lut,
    place: Place<'a>,
    /// Bytes, each run of them between pads: the channels or the pixels of a patch of each frame, or of some rows of a
    /// tile.
    planes: Vec<u8>,
    /// In which order a patch takes them.
    runs: Vec<Run>,
    writer: Writer,
    stream: bool,
    /// The most rows of a strip of tiles.
    tile_rows: usize,
}

impl<'a> Emit<'a> {
    /// `slots` says for each frame which places over time of a patch it fills: all of them, together. `stream` bypasses
    /// the cache. A strip of tiles has up to `tile_rows` rows.
    ///
    /// # Errors
    /// `OutOfMemory`; `Unprepared` for patches that only views in floats can be cut into.
    pub fn new(
        view: &View,
        lut: &'a Lut,
        slots: &[Range<usize>],
        stream: bool,
        tile_rows: usize,
        place: Place<'a>,
    ) -> Result<Self> {
        let area = match view.cut {
            Cut::Patches { patch, .. } => patch * patch,
            Cut::Tiles { tile, .. } => tile.1 * tile_rows,
            Cut::Rows { .. } => 0,
        };
        let planes = zeroed(3 * slots.len() * (area + PAD) + PAD)?;
        let from = |frame: usize, channel: usize| PAD + (3 * frame + channel) * (area + PAD);
        let frames = || slots.iter().cloned().enumerate();
        let run = |(frame, channel)| Run { channel, from: from(frame, channel) };
        let mut runs = Vec::new();
        match view.cut {
            Cut::Patches { inside: Inside::Tcpp, .. } => {
                for (frame, slots) in frames() {
                    let copy = |_| (0..3).map(|channel| (frame, channel));
                    append(&mut runs, slots.flat_map(copy).map(run))?;
                }
            }
            Cut::Patches { inside: Inside::Numbered, .. } => return Err(Error::Unprepared),
            Cut::Patches { inside: Inside::Tppc, .. } => {
                for (frame, slots) in frames() {
                    append(&mut runs, slots.map(|_| run((frame, 0))))?;
                }
            }
            Cut::Tiles { .. } | Cut::Rows { .. } => {
                append(&mut runs, [(0, 0), (0, 1), (0, 2)].map(run))?;
            }
            Cut::Patches { inside: Inside::Ctpp, .. } => {
                for channel in 0..3 {
                    for (frame, slots) in frames() {
                        append(&mut runs, slots.map(|_| run((frame, channel))))?;
                    }
                }
            }
        }
        let (cut, columns) = (view.cut, view.grid.columns);
        let writer = Writer::new();
        Ok(Self { cut, columns, lut, place, planes, runs, writer, stream, tile_rows })
    }

    /// The most canvas rows of a strip.
    #[must_use]
    pub const fn strip_rows(&self) -> usize {
        match self.cut {
            Cut::Patches { patch, merge, .. } => patch * merge,
            Cut::Tiles { .. } => self.tile_rows,
            Cut::Rows { .. } => 1,
        }
    }

    /// One past the last row of the strip that begins at canvas row `y`: no tile begins or ends within one.
    #[must_use]
    pub fn strip_end(&self, y: usize) -> usize {
        match self.cut {
            Cut::Patches { patch, merge, .. } => y + patch * merge,
            Cut::Tiles { tile, step, .. } => {
                let begin = (y / step.0 + 1) * step.0;
                let end = (y + 1).saturating_sub(tile.0).div_ceil(step.0) * step.0 + tile.0;
                (y + self.tile_rows).min(begin).min(end)
            }
            Cut::Rows { .. } => y + 1,
        }
    }

    /// The bytes of canvas row `y`, when rows go out as they are.
    pub fn direct(&mut self, y: usize, len: usize) -> Option<&mut [u8]> {
        match self.cut {
            Cut::Rows { .. } => {
                let start = (y - self.place.units.start) * len;
                Some(&mut self.place.out[start..start + len])
            }
            Cut::Patches { .. } | Cut::Tiles { .. } => None,
        }
    }

    /// Writes the strip that begins at canvas row `y`, of each frame its rows. What no unit of the place has of it is
    /// left.
    pub fn strip(&mut self, backend: Simd, y: usize, frames: &[Vec<Row<'_>>], pixel: usize) {
        match self.cut {
            Cut::Patches { patch, merge, inside, .. } => {
                let unit = y / (patch * merge);
                if self.place.units.contains(&unit) {
                    let unit = unit - self.place.units.start;
                    self.patches(backend, unit, (patch, merge, inside), frames, pixel);
                }
            }
            Cut::Tiles { tile, step, order } => {
                let first = (y + 1).saturating_sub(tile.0).div_ceil(step.0);
                let Range { start, end } = self.place.units;
                for unit in first.max(start)..(y / step.0 + 1).min(end) {
                    let at = (unit - start, y - unit * step.0);
                    self.tiles(backend, at, (tile, step.1, order), &frames[0], pixel);
                }
            }
            Cut::Rows { .. } => {
                let row = &frames[0][0];
                let start = (y - self.place.units.start) * row.len();
                row.copy_to(&mut self.place.out[start..start + row.len()]);
            }
        }
    }

    /// A row of merge blocks.
    fn patches(
        &mut self,
        backend: Simd,
        unit: usize,
        (patch, merge, inside): (usize, usize, Inside),
        frames: &[Vec<Row<'_>>],
        pixel: usize,
    ) {
        let Self { lut, place, planes, runs, writer, .. } = self;
        let area = patch * patch;
        let of_pixels = matches!(inside, Inside::Tppc);
        let values = runs.len() * area * if of_pixels { 3 } else { 1 };
        let at = unit * merge * self.columns * values * lut.element.size();
        let out = &mut *place.out;
        writer.begin(out, at, lut.element, self.stream);
        for block in 0..self.columns / merge {
            for (y, x) in (0..merge).flat_map(|y| (0..merge).map(move |x| (y, x))) {
                let left = (block * merge + x) * patch;
                for (frame, rows) in frames.iter().enumerate() {
                    let rows = &rows[y * patch..(y + 1) * patch];
                    let start = 3 * frame * (area + PAD);
                    let planes = &mut planes[start..start + 3 * (area + PAD) + PAD];
                    if of_pixels {
                        let pixels = &mut planes[PAD..PAD + 3 * area];
                        gather(rows, left..left + patch, pixel, pixels);
                    } else {
                        backend.split_patch(rows, left, pixel, planes);
                    }
                }
                if of_pixels {
                    for run in &*runs {
                        backend.pixels(lut, planes, run.from, 3 * area, writer, out);
                    }
                } else {
                    backend.elements(lut, planes, runs, area, writer, out);
                }
            }
        }
        writer.finish(out);
    }

    /// Some rows of a row of tiles, from row `y` of the tiles of `unit` on.
    fn tiles(
        &mut self,
        backend: Simd,
        (unit, y): (usize, usize),
        ((height, width), step, order): (Size, usize, Order),
        rows: &[Row<'_>],
        pixel: usize,
    ) {
        let Self { lut, place, planes, runs, writer, tile_rows, .. } = self;
        let (of_pixels, runs) = match order {
            Order::ChannelsFirst => (false, &runs[..]),
            Order::ChannelsLast => (true, &runs[..1]),
        };
        let values = if of_pixels { 3 } else { 1 };
        let (element, fill, out) = (lut.element, place.fill, &mut *place.out);
        let margin = |channel: usize, out: &mut [u8]| {
            if of_pixels {
                fill.pixels(element, out);
            } else {
                fill.plane(channel, element, out);
            }
        };
        // Lines in memory, and how many of the rows make one run.
        let used = width * values * element.size();
        let line = place.tile.1 * values * element.size();
        let together = if used == line { rows.len() } else { 1 };
        let bottom = y + rows.len() == height && place.tile.0 > height;
        for column in 0..self.columns {
            let left = column * step;
            if of_pixels {
                let pixels = &mut planes[PAD..PAD + 3 * rows.len() * width];
                gather(rows, left..left + width, pixel, pixels);
            } else {
                for (r, row) in rows.iter().enumerate() {
                    let row = row.slice(left * pixel, width * pixel);
                    let (_, planes) = planes.split_at_mut(PAD + r * width);
                    let mut planes = planes.chunks_mut(width * *tile_rows + PAD);
                    let lines = std::array::from_fn(|_| match planes.next() {
                        Some(plane) => &mut plane[..width],
                        None => &mut [],
                    });
                    backend.split(row, pixel, lines);
                }
            }
            for run in runs {
                let plane = ((unit * self.columns + column) * (3 / values) + run.channel)
                    * place.tile.0
                    * line;
                for r in (0..rows.len()).step_by(together) {
                    let (at, len) = (plane + (y + r) * line, together * width * values);
                    let from = run.from + r * width * values;
                    writer.begin(out, at, element, self.stream);
                    if of_pixels {
                        backend.pixels(lut, planes, from, len, writer, out);
                    } else {
                        backend.elements(lut, planes, &[Run { from, ..*run }], len, writer, out);
                    }
                    writer.finish(out);
                    if used < line {
                        margin(run.channel, &mut out[at + used..at + line]);
                    }
                }
                if bottom {
                    let at = plane + height * line..plane + place.tile.0 * line;
                    margin(run.channel, &mut out[at]);
                }
            }
        }
    }
}

/// The first three channels of some columns of `rows`, row after row.
fn gather(rows: &[Row<'_>], columns: Range<usize>, pixel: usize, pixels: &mut [u8]) {
    let len = 3 * columns.len();
    for (row, out) in rows.iter().zip(pixels.chunks_exact_mut(len.max(1))) {
        let row = row.slice(columns.start * pixel, columns.len() * pixel);
        if pixel == 3 {
            row.copy_to(out);
            continue;
        }
        for (x, out) in out.chunks_exact_mut(3).enumerate() {
            for (c, byte) in out.iter_mut().enumerate() {
                *byte = row.get(x * pixel + c);
            }
        }
    }
}
