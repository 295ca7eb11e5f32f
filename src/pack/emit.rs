//! Strips of canvas rows into patches or tiles.

use std::ops::Range;

use crate::error::{Result, zeroed};
use crate::image::Row;
use crate::plan::{Cut, View};
use crate::simd::Backend;

use super::lut::{Element, Lut};

/// Writes a run of strips of one view into its part of an output.
///
/// A strip is as many canvas rows as one call of [`Emit::strip`] takes: a row of patches, or a single row.
pub struct Emit<'a> {
    cut: Cut,
    columns: usize,
    lut: &'a Lut,
    copies: usize,
    slots: Range<usize>,
    stream: bool,
    /// The first canvas row of the part.
    first: usize,
    out: &'a mut [u8],
    /// Planes of bytes.
    planes: Vec<u8>,
}

/// Where patch (row, column) lies in the order of merge blocks.
#[must_use]
pub const fn patch_position(row: usize, column: usize, columns: usize, merge: usize) -> usize {
    let block = (row / merge) * (columns / merge) + column / merge;
    block * merge * merge + (row % merge) * merge + column % merge
}

impl<'a> Emit<'a> {
    /// `copies` is how many frames a patch has over time, `slots` which of them this view is; `out` begins at canvas
    /// row `first`.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(
        view: &View,
        lut: &'a Lut,
        copies: usize,
        slots: Range<usize>,
        stream: bool,
        first: usize,
        out: &'a mut [u8],
    ) -> Result<Self> {
        let planes = match view.cut {
            Cut::Patches { patch, .. } => patch * patch * 3,
            Cut::Tiles { tile } => tile.1 * 3,
            Cut::Rows { .. } => 0,
        };
        let planes = zeroed(planes)?;
        let (cut, columns) = (view.cut, view.grid.columns);
        Ok(Self { cut, columns, lut, copies, slots, stream, first, out, planes })
    }

    /// Canvas rows of a strip.
    #[must_use]
    pub const fn strip_rows(cut: Cut) -> usize {
        match cut {
            Cut::Patches { patch, .. } => patch,
            Cut::Tiles { .. } | Cut::Rows { .. } => 1,
        }
    }

    /// Canvas rows whose output is one run of memory, so that threads can share a view between them.
    #[must_use]
    pub const fn part_rows(cut: Cut) -> usize {
        match cut {
            Cut::Patches { patch, merge, .. } => patch * merge,
            Cut::Tiles { tile } => tile.0,
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
            Cut::Tiles { tile } => view.grid.columns * tile.0 * tile.1 * 3,
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

    /// Writes the strip that begins at canvas row `y`.
    pub fn strip<B: Backend>(&mut self, backend: B, y: usize, rows: &[Row<'_>], pixel: usize) {
        match self.cut {
            Cut::Patches { patch, merge, .. } => {
                self.patches(backend, (y - self.first) / patch, patch, merge, rows, pixel);
            }
            Cut::Tiles { tile } => self.tiles(backend, y - self.first, tile, rows[0], pixel),
            Cut::Rows { .. } => {
                let len = rows[0].len();
                let start = (y - self.first) * len;
                rows[0].copy_to(&mut self.out[start..start + len]);
            }
        }
    }

    fn patches<B: Backend>(
        &mut self,
        backend: B,
        row: usize,
        patch: usize,
        merge: usize,
        rows: &[Row<'_>],
        pixel: usize,
    ) {
        let area = patch * patch;
        let plane = area * self.lut.element.size();
        let bytes = 3 * self.copies * plane;
        let slots = self.slots.start * plane..self.slots.end * plane;
        for column in 0..self.columns {
            backend.split_patch(rows, column * patch, pixel, &mut self.planes);
            let start = patch_position(row, column, self.columns, merge) * bytes;
            let out = self.out[start..start + bytes].chunks_exact_mut(self.copies * plane);
            for (c, (bytes, out)) in self.planes.chunks_exact(area).zip(out).enumerate() {
                let out = &mut out[slots.clone()];
                backend.repeat(self.lut, c, bytes, self.slots.len(), out, self.stream);
            }
        }
    }

    fn tiles<B: Backend>(
        &mut self,
        backend: B,
        y: usize,
        (height, width): (usize, usize),
        row: Row<'_>,
        pixel: usize,
    ) {
        let line = width * self.lut.element.size();
        let plane = height * line;
        for column in 0..self.columns {
            let tile = row.slice(column * width * pixel, width * pixel);
            backend.split(tile, pixel, &mut self.planes);
            let index = (y / height) * self.columns + column;
            for c in 0..3 {
                let start = (index * 3 + c) * plane + (y % height) * line;
                let bytes = &self.planes[c * width..(c + 1) * width];
                backend.convert(
                    self.lut,
                    c,
                    bytes,
                    &mut self.out[start..start + line],
                    self.stream,
                );
            }
        }
    }
}
