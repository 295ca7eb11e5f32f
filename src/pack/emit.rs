//! Strips of canvas rows into patches or tiles.

use std::ops::Range;

use crate::error::{Result, push, zeroed};
use crate::image::Row;
use crate::plan::{Cut, View};
use crate::simd::Backend;

use super::lut::{Element, Lut};
use super::writer::{PAD, Run, Writer};

/// Writes a run of strips of one view into its part of an output.
///
/// A strip is as many canvas rows as one call of [`Emit::strip`] takes: a row of merge blocks, or some rows of a row of
/// tiles. Of patches it is one run of memory, of tiles a few rather long ones: memory takes those best.
pub struct Emit<'a> {
    cut: Cut,
    columns: usize,
    lut: &'a Lut,
    /// The first canvas row of the part.
    first: usize,
    out: &'a mut [u8],
    /// Planes of bytes, each between pads: the channels of a patch of each frame, or of some rows of a tile.
    planes: Vec<u8>,
    /// In which order a patch takes them.
    runs: Vec<Run>,
    writer: Writer,
    stream: bool,
    /// The most rows of a strip of tiles.
    tile_rows: usize,
}

impl<'a> Emit<'a> {
    /// `slots` says for each frame which places over time of a patch it fills: all of them, together. `out` begins at
    /// canvas row `first`. `stream` bypasses the cache. A strip of tiles has up to `tile_rows` rows.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(
        view: &View,
        lut: &'a Lut,
        slots: &[Range<usize>],
        stream: bool,
        first: usize,
        tile_rows: usize,
        out: &'a mut [u8],
    ) -> Result<Self> {
        let area = match view.cut {
            Cut::Patches { patch, .. } => patch * patch,
            Cut::Tiles { tile, .. } => tile.1 * tile_rows,
            Cut::Rows { .. } => 0,
        };
        let planes = zeroed(3 * slots.len() * (area + PAD) + PAD)?;
        let mut runs = Vec::new();
        for channel in 0..3 {
            for (frame, slots) in slots.iter().enumerate() {
                let from = PAD + (3 * frame + channel) * (area + PAD);
                for _ in slots.clone() {
                    push(&mut runs, Run { channel, from })?;
                }
            }
        }
        let (cut, columns) = (view.cut, view.grid.columns);
        let writer = Writer::new();
        Ok(Self { cut, columns, lut, first, out, planes, runs, writer, stream, tile_rows })
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

    /// One past the last row of the strip that begins at canvas row `y`.
    #[must_use]
    pub fn strip_end(&self, y: usize) -> usize {
        match self.cut {
            Cut::Patches { patch, merge, .. } => y + patch * merge,
            Cut::Tiles { tile, .. } => (y + self.tile_rows).min((y / tile.0 + 1) * tile.0),
            Cut::Rows { .. } => y + 1,
        }
    }

    /// Canvas rows whose output is one run of memory, so that threads can share a view between them.
    #[must_use]
    pub const fn part_rows(cut: Cut) -> usize {
        match cut {
            Cut::Patches { patch, merge, .. } => patch * merge,
            Cut::Tiles { tile, .. } => tile.0,
            Cut::Rows { .. } => 1,
        }
    }

    /// Bytes of output for every [`Emit::part_rows`] rows of the canvas.
    #[must_use]
    pub const fn part_bytes(view: &View, element: Element, copies: usize) -> usize {
        let values = match view.cut {
            Cut::Patches { patch, merge, .. } => {
                merge * view.grid.columns * copies * patch * patch * 3
            }
            Cut::Tiles { tile, .. } => view.grid.columns * tile.0 * tile.1 * 3,
            Cut::Rows { pixel } => return view.canvas.1 * pixel,
        };
        values * element.size()
    }

    /// The bytes of canvas row `y`, when rows go out as they are.
    pub fn direct(&mut self, y: usize, len: usize) -> Option<&mut [u8]> {
        let start = (y - self.first) * len;
        match self.cut {
            Cut::Rows { .. } => Some(&mut self.out[start..start + len]),
            Cut::Patches { .. } | Cut::Tiles { .. } => None,
        }
    }

    /// Writes the strip that begins at canvas row `y`, of each frame its rows.
    pub fn strip<B: Backend>(
        &mut self,
        backend: B,
        y: usize,
        frames: &[Vec<Row<'_>>],
        pixel: usize,
    ) {
        match self.cut {
            Cut::Patches { patch, merge, .. } => {
                self.patches(backend, (y - self.first) / patch, patch, merge, frames, pixel);
            }
            Cut::Tiles { tile, .. } => self.tiles(backend, y - self.first, tile, &frames[0], pixel),
            Cut::Rows { .. } => {
                let row = &frames[0][0];
                let start = (y - self.first) * row.len();
                row.copy_to(&mut self.out[start..start + row.len()]);
            }
        }
    }

    /// A row of merge blocks, from patch row `row` on.
    fn patches<B: Backend>(
        &mut self,
        backend: B,
        row: usize,
        patch: usize,
        merge: usize,
        frames: &[Vec<Row<'_>>],
        pixel: usize,
    ) {
        let Self { lut, out, planes, runs, writer, .. } = self;
        let area = patch * patch;
        let at = row * self.columns * runs.len() * area * lut.element.size();
        writer.begin(out, at, lut.element, self.stream);
        for block in 0..self.columns / merge {
            for (y, x) in (0..merge).flat_map(|y| (0..merge).map(move |x| (y, x))) {
                let left = (block * merge + x) * patch;
                for (frame, rows) in frames.iter().enumerate() {
                    let rows = &rows[y * patch..(y + 1) * patch];
                    let start = 3 * frame * (area + PAD);
                    let planes = &mut planes[start..start + 3 * (area + PAD) + PAD];
                    backend.split_patch(rows, left, pixel, planes);
                }
                backend.elements(lut, planes, runs, area, writer, out);
            }
        }
        writer.finish(out);
    }

    /// Some rows of a row of tiles, from row `y` of the part on.
    fn tiles<B: Backend>(
        &mut self,
        backend: B,
        y: usize,
        (height, width): (usize, usize),
        rows: &[Row<'_>],
        pixel: usize,
    ) {
        let Self { lut, out, planes, runs, writer, tile_rows, .. } = self;
        let line = width * lut.element.size();
        let area = rows.len() * width;
        for column in 0..self.columns {
            for (r, row) in rows.iter().enumerate() {
                let row = row.slice(column * width * pixel, width * pixel);
                let (_, planes) = planes.split_at_mut(PAD + r * width);
                let mut planes = planes.chunks_mut(width * *tile_rows + PAD);
                let lines = std::array::from_fn(|_| match planes.next() {
                    Some(plane) => &mut plane[..width],
                    None => &mut [],
                });
                backend.split(row, pixel, lines);
            }
            for run in &*runs {
                let tile = (y / height) * self.columns + column;
                let at = (tile * 3 + run.channel) * height * line + (y % height) * line;
                writer.begin(out, at, lut.element, self.stream);
                backend.elements(lut, planes, &[*run], area, writer, out);
                writer.finish(out);
            }
        }
    }
}
