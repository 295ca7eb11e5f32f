//! Rows of an image that is turned as its orientation says, without a copy of it: samples are kept where rows are wanted from the last
//! on, or columns as rows, and become pixels when they are wanted.

use super::{Image, Pixel};
use crate::error::{Result, Size, zeroed};
use crate::image::ImageRef;
use crate::parallel::Watch;
use crate::pipeline::{Rows, Window};
use crate::simd::BAND;

/// How an image is turned: an EXIF orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whether its columns become rows.
    sideways: bool,
    /// Whether what comes out is upside down, after that.
    flipped: bool,
    /// Whether its rows go from right to left, after that.
    mirrored: bool,
}

impl Turn {
    /// Not at all.
    pub const NONE: Self = Self { sideways: false, flipped: false, mirrored: false };

    /// That of an EXIF orientation, 1 to 8.
    #[must_use]
    pub fn new(orientation: u8) -> Option<Self> {
        (1..=8).contains(&orientation).then_some(Self {
            sideways: orientation > 4,
            flipped: matches!(orientation, 3 | 4 | 7 | 8),
            mirrored: matches!(orientation, 2 | 3 | 6 | 7),
        })
    }

    /// The size that an image has afterwards.
    #[must_use]
    pub const fn size(self, (height, width): Size) -> Size {
        if self.sideways { (width, height) } else { (height, width) }
    }

    /// Whether all samples are kept: rows are wanted in another order than the file's.
    pub(super) const fn keeps_samples(self) -> bool {
        self.sideways || self.flipped
    }
}

/// Columns that become rows at a time.
const COLUMNS: usize = 128;
/// Rows whose pixels become columns together.
const TOGETHER: usize = 8;
/// Bytes after a row of columns that are written, too: of pixels of a last few rows that there are not, and of one store.
const PAST: usize = TOGETHER * 3 + 1;

/// The rows of an image that is turned.
pub(super) struct Turned<'a> {
    image: Image<'a>,
    turn: Turn,
    /// The rows that are held, `stride` bytes each: the first of them and how many.
    rows: Vec<u8>,
    stride: usize,
    held: (usize, usize),
    /// Pixels on their way.
    line: Vec<u8>,
    watch: Option<&'a Watch<'a>>,
}

impl<'a> Turned<'a> {
    pub(super) fn new(image: Image<'a>, turn: Turn, watch: Option<&'a Watch<'a>>) -> Result<Self> {
        let (stride, rows, line) = room(image.size(), turn);
        let (rows, line) = (zeroed(rows)?, zeroed(line)?);
        Ok(Self { image, turn, rows, stride, held: (0, 0), line, watch })
    }

    /// Decodes until the stored rows before `last` can be made.
    fn decode(&mut self, last: usize) -> Result<()> {
        while self.image.rows() < last {
            self.watch.map_or(Ok(()), Watch::check)?;
            self.image.advance()?;
        }
        Ok(())
    }

    /// Fills `rows` with rows of the turned image from `first` on.
    fn along(&mut self, first: usize, count: usize) {
        let height = self.image.size().0;
        for (y, row) in (first..first + count).zip(self.rows.chunks_exact_mut(self.stride)) {
            let y = if self.turn.flipped { height - 1 - y } else { y };
            if self.turn.mirrored {
                self.image.row(y, Pixel::Rgb, &mut self.line);
                let pixels = self.line.as_chunks::<3>().0.iter().rev();
                for (to, from) in row.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *to = *from;
                }
            } else {
                self.image.row(y, Pixel::Rgb, row);
            }
        }
    }

    /// Fills `rows` with the columns of the stored image that are rows of the turned one from about `first` on; returns which.
    fn across(&mut self, first: usize) -> (usize, usize) {
        let (height, width) = self.image.size();
        // Columns begin at an even one, as kernels want it.
        let (left, right) = if self.turn.flipped {
            let right = width - first;
            (right.saturating_sub(COLUMNS).next_multiple_of(2), right)
        } else {
            (first & !1, width.min((first & !1) + COLUMNS))
        };
        let count = right - left;
        let (stride, flipped) = (self.stride, self.turn.flipped);
        let (lines, backend) =
            (self.line.as_chunks_mut::<{ COLUMNS * 3 + 1 }>().0, self.image.backend);
        for at in (0..height).step_by(TOGETHER) {
            for (k, line) in (at..height).zip(lines.iter_mut()) {
                let y = if self.turn.mirrored { height - 1 - k } else { k };
                self.image.planes.rgb(backend, y, left, &mut line[..count * 3]);
            }
            transpose(lines, count, flipped, &mut self.rows[at * 3..], stride);
        }
        (if flipped { width - right } else { left }, count)
    }
}

/// The columns of a few rows of pixels to rows `stride` bytes apart, the last column first where they are `flipped`.
fn transpose(
    lines: &[[u8; COLUMNS * 3 + 1]],
    count: usize,
    flipped: bool,
    rows: &mut [u8],
    stride: usize,
) {
    for x in 0..count {
        let row = if flipped { count - 1 - x } else { x };
        let Some(row) = rows[row * stride..].first_chunk_mut::<PAST>() else { return };
        for (k, line) in lines.iter().enumerate().take(TOGETHER) {
            // Four bytes at once, the last of which the next pixel overwrites.
            row[3 * k..3 * k + 4].copy_from_slice(&line[3 * x..3 * x + 4]);
        }
    }
}

/// Bytes of a held row, of all held rows, and of pixels on their way.
fn room((height, width): Size, turn: Turn) -> (usize, usize, usize) {
    if turn.sideways {
        // An odd number of lines of the cache, so that the same place of many rows has room in it at once.
        let stride = ((height * 3 + PAST).div_ceil(64) | 1) * 64;
        return (stride, stride * COLUMNS.min(width), TOGETHER * (COLUMNS * 3 + 1));
    }
    (width * 3, super::WINDOW * width * 3, if turn.mirrored { width * 3 } else { 0 })
}

impl Rows for Turned<'_> {
    fn window(&mut self, first: usize, _wanted: usize) -> Result<Window<'_>> {
        let stored = self.image.size();
        let (height, width) = self.turn.size(stored);
        if self.turn.keeps_samples() && self.image.rows() < stored.0 {
            self.decode(stored.0)?;
            // Every sample is in, so that the file can be done with.
            self.finish()?;
        }
        let last = (first.next_multiple_of(BAND) + BAND).min(height);
        if self.turn.sideways {
            if first < self.held.0 || last > self.held.0 + self.held.1 {
                self.watch.map_or(Ok(()), Watch::check)?;
                self.held = self.across(first);
            }
        } else {
            if !self.turn.flipped {
                self.decode(last)?;
            }
            self.along(first, last - first);
            self.held = (first, last - first);
        }
        let image = ImageRef::spaced(&self.rows, self.held.1, width, 3, self.stride);
        Ok(Window { first: self.held.0, image })
    }

    fn finish(&mut self) -> Result<()> {
        let stop = |watch: &Watch<'_>| watch.check().is_err();
        let stop = || self.watch.is_some_and(stop);
        Ok(self.image.finish(&stop)?)
    }
}

/// Bytes that turning allocates beside the planes.
pub(super) fn bytes(size: Size, turn: Turn) -> u64 {
    let (_, rows, line) = room(size, turn);
    rows as u64 + line as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a pixel of the turned image is stored, by the definition of the orientations.
    fn stored(orientation: u8, (height, width): Size, (y, x): Size) -> Size {
        match orientation {
            1 => (y, x),
            2 => (y, width - 1 - x),
            3 => (height - 1 - y, width - 1 - x),
            4 => (height - 1 - y, x),
            5 => (x, y),
            6 => (height - 1 - x, y),
            7 => (height - 1 - x, width - 1 - y),
            _ => (x, width - 1 - y),
        }
    }

    #[test]
    fn columns_become_rows() {
        for (count, height) in [(1, 1), (2, 8), (13, 9), (128, 20), (127, 16)] {
            for flipped in [false, true] {
                let (stride, len, _) = room((height, count), Turn::new(5).expect("a turn"));
                let mut rows = vec![0; len];
                let value = |y: usize, x: usize, c: usize| (y * 31 + x * 7 + c * 3) as u8;
                for at in (0..height).step_by(TOGETHER) {
                    let mut lines = [[9; COLUMNS * 3 + 1]; TOGETHER];
                    for (y, line) in (at..height).zip(&mut lines) {
                        for x in 0..count {
                            (0..3).for_each(|c| line[3 * x + c] = value(y, x, c));
                        }
                    }
                    transpose(&lines, count, flipped, &mut rows[at * 3..], stride);
                }
                for x in 0..count {
                    let row = if flipped { count - 1 - x } else { x };
                    for y in 0..height {
                        for c in 0..3 {
                            assert_eq!(rows[row * stride + 3 * y + c], value(y, x, c));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn orientations_are_those_of_exif() {
        let size = (5, 7);
        for orientation in 1..=8 {
            let turn = Turn::new(orientation).expect("a turn");
            let (height, width) = turn.size(size);
            for y in 0..height {
                for x in 0..width {
                    let (u, v) = (
                        if turn.flipped { height - 1 - y } else { y },
                        if turn.mirrored { width - 1 - x } else { x },
                    );
                    let at = if turn.sideways { (v, u) } else { (u, v) };
                    assert_eq!(at, stored(orientation, size, (y, x)), "orientation {orientation}");
                }
            }
        }
        assert!(Turn::new(0).is_none() && Turn::new(9).is_none());
        assert_eq!(Turn::new(1), Some(Turn::NONE));
    }
}
