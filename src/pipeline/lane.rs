//! Views in floats: read whole, resized by [`super::float`], normalised value by value, and cut as any other.

use std::ops::Range;

use super::Out;
use super::float;
use super::source::Rows;
use crate::error::{Result, Size, collected, reserved, zeroed};
use crate::pack::{Element, Fill, Lut, Normalise, Standardise};
use crate::parallel::Watch;
use crate::plan::{Cut, First, Floats, Inside, Order, View};
use crate::simd::Simd;
use half::{bf16, f16};

/// Rows between two looks at the watch.
const WATCH_EVERY: usize = 64;

/// One view in floats.
pub(super) struct Lane<'a> {
    pub(super) view: &'a View,
    pub(super) floats: Floats,
    /// Bytes a pixel of what it comes from.
    pub(super) input: usize,
    pub(super) simd: Simd,
    /// Which places over time of a patch each frame fills.
    pub(super) slots: &'a [Range<usize>],
}

impl Lane<'_> {
    /// Makes all of it: its elements, and the bytes of its canvas for every frame where other views come from it.
    pub(super) fn run(
        &self,
        readers: &mut [Box<dyn Rows + '_>],
        out: Option<(&Lut, Out<'_>)>,
        keep: &mut [&mut [u8]],
        watch: &Watch<'_>,
    ) -> Result<()> {
        let steps = Steps::new(out.as_ref().map(|(lut, _)| *lut), self.floats);
        let mut canvases = reserved(readers.len())?;
        for (frame, reader) in readers.iter_mut().enumerate() {
            let planes = self.read(&mut **reader, &steps, watch)?;
            let resized = self.resized(planes, &steps, watch)?;
            watch.check()?;
            canvases.push(self.canvas(&resized, &steps, watch)?);
            if let Some(kept) = keep.get_mut(frame) {
                self.bytes(&resized, kept, watch)?;
            }
        }
        if let Some((lut, out)) = out {
            self.write(&canvases, lut.element, out, watch)?;
        }
        Ok(())
    }

    /// The part of the source that it shows, plane after plane.
    fn read(&self, rows: &mut dyn Rows, steps: &Steps, watch: &Watch<'_>) -> Result<Vec<f32>> {
        let rect = self.view.source;
        let (height, width) = rect.size;
        let area = height * width;
        let mut planes = float::room(3 * area, watch)?;
        let mut line = zeroed(width * self.input)?;
        let mut y = 0;
        while y < height {
            watch.check()?;
            let window = rows.window(rect.top + y, WATCH_EVERY)?;
            let end = (window.end() - rect.top).min(y + WATCH_EVERY).min(height);
            for y in y..end {
                let row = window.row(rect.top + y);
                row.slice(rect.left * self.input, width * self.input).copy_to(&mut line);
                for (c, table) in steps.before.iter().enumerate() {
                    let plane = &mut planes[c * area + y * width..][..width];
                    for (value, pixel) in plane.iter_mut().zip(line.chunks_exact(self.input)) {
                        *value = table[usize::from(pixel[c])];
                    }
                }
            }
            y = end;
        }
        Ok(planes)
    }

    fn resized(&self, mut planes: Vec<f32>, steps: &Steps, watch: &Watch<'_>) -> Result<Vec<f32>> {
        if let Some(standardise) = steps.standardise {
            let check = || watch.check();
            standardise.of_planes(&planes, &check)?.apply(&mut planes, &check)?;
        }
        let (size, target) = (self.view.source.size, self.view.resized);
        if size == target || target.0 == 0 || target.1 == 0 {
            return Ok(planes);
        }
        let (filter, rule) = (self.view.filter, self.floats.rule);
        float::resize(self.simd, &planes, size, target, filter, rule, watch)
    }

    /// The part of the resized rows and columns that the canvas shows along one axis, and where it begins there.
    fn shown(resized: usize, offset: isize, canvas: usize) -> (Range<usize>, usize) {
        let first = offset.min(0).unsigned_abs().min(resized);
        let at = (offset.max(0) as usize).min(canvas);
        (first..resized.min(first + canvas - at), at)
    }

    /// Places `resized` on a canvas of its own: of each channel and row, its values there.
    fn placed(
        &self,
        watch: &Watch<'_>,
        mut row: impl FnMut(usize, usize, Range<usize>, usize),
    ) -> Result<()> {
        let View { resized, offset, canvas, .. } = *self.view;
        if resized.0 == 0 || resized.1 == 0 {
            return Ok(());
        }
        let (down, top) = Self::shown(resized.0, offset.0, canvas.0);
        let (across, left) = Self::shown(resized.1, offset.1, canvas.1);
        for c in 0..3 {
            for (n, y) in down.clone().enumerate() {
                if n.is_multiple_of(WATCH_EVERY) {
                    watch.check()?;
                }
                let from = c * resized.0 * resized.1 + y * resized.1;
                row(c, top + n, from + across.start..from + across.end, left);
            }
        }
        Ok(())
    }

    /// What is written, plane after plane.
    fn canvas(&self, resized: &[f32], steps: &Steps, watch: &Watch<'_>) -> Result<Vec<f32>> {
        let (height, width) = self.view.canvas;
        let mut canvas = float::room(3 * height * width, watch)?;
        for (c, plane) in canvas.chunks_exact_mut((height * width).max(1)).enumerate() {
            watch.check()?;
            let background = steps.before[c][usize::from(self.view.background[c])];
            plane.fill(steps.after(c, self.floats.outside.map_or(background, f32::from)));
        }
        self.placed(watch, |c, y, from, left| {
            let line = &mut canvas[(c * height + y) * width + left..][..from.len()];
            for (value, of) in line.iter_mut().zip(&resized[from]) {
                *value = steps.after(c, *of);
            }
        })?;
        Ok(canvas)
    }

    /// The canvas as bytes, for views that come from it.
    fn bytes(&self, resized: &[f32], kept: &mut [u8], watch: &Watch<'_>) -> Result<()> {
        let width = self.view.canvas.1;
        for pixel in kept.chunks_exact_mut(3) {
            pixel.copy_from_slice(&self.view.background);
        }
        self.placed(watch, |c, y, from, left| {
            let line = &mut kept[(y * width + left) * 3..];
            for (pixel, of) in line.chunks_exact_mut(3).zip(&resized[from]) {
                pixel[c] = of.round_ties_even() as u8;
            }
        })
    }

    fn write(
        &self,
        canvases: &[Vec<f32>],
        element: Element,
        out: Out<'_>,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let Out { bytes, .. } = out;
        let (height, width) = self.view.canvas;
        let line = |frame: usize, c: usize, y: usize, x: usize, len: usize| {
            &canvases[frame][(c * height + y) * width + x..][..len]
        };
        let mut sink = Sink { element, out: bytes };
        match self.view.cut {
            Cut::Patches { patch, merge, inside, .. } => {
                let frames = self.frames()?;
                for (row, column) in places(self.view, merge) {
                    if column == 0 {
                        watch.check()?;
                    }
                    let (top, left) = (row * patch, column * patch);
                    let plane = |sink: &mut Sink<'_>, frame: usize, c: usize| {
                        for y in top..top + patch {
                            sink.put(line(frame, c, y, left, patch));
                        }
                    };
                    let pixels = |sink: &mut Sink<'_>, frame: usize| {
                        for y in top..top + patch {
                            sink.interleave([0, 1, 2].map(|c| line(frame, c, y, left, patch)));
                        }
                    };
                    match inside {
                        Inside::Ctpp => {
                            for c in 0..3 {
                                for &frame in &frames {
                                    plane(&mut sink, frame, c);
                                }
                            }
                        }
                        Inside::Tcpp => {
                            for &frame in &frames {
                                (0..3).for_each(|c| plane(&mut sink, frame, c));
                            }
                        }
                        Inside::Tppc => frames.iter().for_each(|&f| pixels(&mut sink, f)),
                        Inside::Numbered => {
                            sink.put(&[(row + 1) as f32, (column + 1) as f32]);
                            pixels(&mut sink, 0);
                        }
                    }
                }
            }
            Cut::Tiles { tile, step, order } => {
                for row in 0..self.view.grid.rows {
                    watch.check()?;
                    for column in 0..self.view.grid.columns {
                        let (top, left) = (row * step.0, column * step.1);
                        let rows = (top..top + tile.0).map(Some);
                        let rows = rows.chain(std::iter::repeat_n(None, out.tile.0 - tile.0));
                        let margin = out.tile.1 - tile.1;
                        match order {
                            Order::ChannelsFirst => {
                                for c in 0..3 {
                                    for y in rows.clone() {
                                        let used =
                                            y.map_or(&[][..], |y| line(0, c, y, left, tile.1));
                                        sink.put(used);
                                        let fill = margin + tile.1 - used.len();
                                        sink.fill(&out.fill, c, fill);
                                    }
                                }
                            }
                            Order::ChannelsLast => {
                                for y in rows {
                                    let used =
                                        |c| y.map_or(&[][..], |y| line(0, c, y, left, tile.1));
                                    let lines = [0, 1, 2].map(used);
                                    sink.interleave(lines);
                                    let fill = margin + tile.1 - lines[0].len();
                                    (0..3 * fill).for_each(|n| sink.fill(&out.fill, n % 3, 1));
                                }
                            }
                        }
                    }
                }
            }
            Cut::Rows { .. } => {
                for y in 0..height {
                    sink.interleave([0, 1, 2].map(|c| line(0, c, y, 0, width)));
                }
            }
        }
        Ok(())
    }

    /// The frame in every place over time of a patch.
    fn frames(&self) -> Result<Vec<usize>> {
        let of = |(frame, slots): (usize, &Range<usize>)| std::iter::repeat_n(frame, slots.len());
        collected(self.slots.iter().enumerate().flat_map(of))
    }
}

/// Rows and columns of patches, merge block by merge block.
fn places(view: &View, merge: usize) -> impl Iterator<Item = Size> {
    let (rows, columns) = (view.grid.rows / merge, view.grid.columns / merge);
    let blocks = (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)));
    blocks.flat_map(move |(row, column)| {
        (0..merge * merge).map(move |n| (row * merge + n / merge, column * merge + n % merge))
    })
}

/// The arithmetic around the resize.
struct Steps {
    /// The values of bytes before it.
    before: Box<[[f32; 256]; 3]>,
    standardise: Option<Standardise>,
    /// What is left to do after it; nothing for bytes.
    after: Option<Normalise>,
}

impl Steps {
    fn new(lut: Option<&Lut>, floats: Floats) -> Self {
        // Bytes are resized and neither rescaled nor normalised; so are those that only other views come from.
        let own = lut.filter(|lut| lut.element != Element::Uint8);
        let all = own.map_or(Normalise::NONE, |lut| lut.normalise);
        let rescale = Normalise { mean_std: None, ..all };
        let rest = Normalise { rescale: None, ..all };
        let (before, standardise, after) = match floats.first {
            _ if own.is_none() => (Normalise::NONE, None, Normalise::NONE),
            First::Nothing => (Normalise::NONE, None, all),
            First::Rescale => (rescale, None, rest),
            First::Normalise => (all, None, Normalise::NONE),
            First::Standardise(rule) => (Normalise::NONE, Some(rule), Normalise::NONE),
        };
        let table = |c: usize| std::array::from_fn(|byte| before.value(c, byte as u8));
        Self {
            before: Box::new([table(0), table(1), table(2)]),
            standardise,
            after: own.map(|_| after),
        }
    }

    fn after(&self, c: usize, value: f32) -> f32 {
        match &self.after {
            Some(normalise) => normalise.of_float(c, value),
            None => value.round_ties_even().clamp(0.0, 255.0),
        }
    }
}

/// Elements, one after the other.
struct Sink<'a> {
    element: Element,
    out: &'a mut [u8],
}

impl<'a> Sink<'a> {
    fn take(&mut self, count: usize) -> &'a mut [u8] {
        let (taken, rest) = std::mem::take(&mut self.out).split_at_mut(count * self.element.size());
        self.out = rest;
        taken
    }

    fn put(&mut self, values: &[f32]) {
        let (element, out) = (self.element, self.take(values.len()));
        store(element, values.iter().copied(), out);
    }

    fn interleave(&mut self, [a, b, c]: [&[f32]; 3]) {
        let (element, out) = (self.element, self.take(3 * a.len()));
        store(element, a.iter().zip(b).zip(c).flat_map(|((&a, &b), &c)| [a, b, c]), out);
    }

    fn fill(&mut self, fill: &Fill, channel: usize, count: usize) {
        let element = self.element;
        fill.plane(channel, element, self.take(count));
    }
}

fn store(element: Element, values: impl Iterator<Item = f32>, out: &mut [u8]) {
    match element {
        Element::Float32 => {
            for (value, out) in values.zip(out.as_chunks_mut().0) {
                *out = value.to_ne_bytes();
            }
        }
        Element::Float16 => {
            for (value, out) in values.zip(out.as_chunks_mut().0) {
                *out = f16::from_f32(value).to_bits().to_ne_bytes();
            }
        }
        Element::Bfloat16 => {
            for (value, out) in values.zip(out.as_chunks_mut().0) {
                *out = bf16::from_f32(value).to_bits().to_ne_bytes();
            }
        }
        Element::Uint8 => {
            for (value, out) in values.zip(out) {
                *out = value as u8;
            }
        }
    }
}
