//! Views in floats: read row by row, resized by [`super::float`], normalised, and cut as any other.

use std::ops::Range;

use super::Out;
use super::float::{Resize, Take, Values};
use super::source::Rows;
use crate::error::{Result, Size, collected, reserved, zeroed};
use crate::pack::{Element, Fill, Lut, Normalise, Standardise};
use crate::parallel::Watch;
use crate::plan::{Cut, First, Floats, Inside, Order, Rect, View};
use crate::resample::rounded;
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
        let out = out
            .map(|(lut, out)| (Sink { element: lut.element, out: out.bytes }, out.tile, out.fill));
        let mut kept = keep.iter_mut();
        let mut read = |reader: &mut dyn Rows, page: &mut Page, done: Done<'_>| {
            let mut kept = kept.next();
            if let Some(kept) = &mut kept {
                for pixel in kept.chunks_exact_mut(3) {
                    pixel.copy_from_slice(&self.view.background);
                }
            }
            self.rows(reader, &steps, watch, &mut |y, row| {
                if let Some(kept) = &mut kept {
                    self.keep(y, row, kept);
                }
                page.row(self, &steps, y, row, done)
            })?;
            page.fill_to(self.view.canvas.0, done)
        };
        match (out, self.view.cut, readers) {
            // A still image is cut strip by strip; the patches of a video take all its frames together.
            (Some((mut sink, ..)), Cut::Patches { patch, merge, inside, .. }, [reader]) => {
                let frames = self.frames()?;
                let mut row = 0;
                read(
                    &mut **reader,
                    &mut Page::new(self, &steps, patch * merge, watch)?,
                    &mut |strip| {
                        watch.check()?;
                        if row < self.view.grid.rows / merge {
                            let from = Strip { canvases: &[strip], tall: patch * merge, top: 0 };
                            self.block((patch, merge, inside), from, row, &frames, &mut sink);
                        }
                        row += 1;
                        Ok(())
                    },
                )
            }
            (out, _, readers) => {
                let mut canvases = reserved(readers.len())?;
                for reader in readers {
                    let mut page = Page::new(self, &steps, self.view.canvas.0, watch)?;
                    read(&mut **reader, &mut page, &mut |_| Ok(()))?;
                    canvases.push(page.values);
                }
                match out {
                    Some((sink, tile, fill)) => self.write(&canvases, sink, tile, &fill, watch),
                    None => Ok(()),
                }
            }
        }
    }

    /// The part of the source that it shows at its new size, row by row; nothing where that is empty.
    fn rows(
        &self,
        rows: &mut dyn Rows,
        steps: &Steps,
        watch: &Watch<'_>,
        take: Take<'_>,
    ) -> Result<()> {
        let (size, target) = (self.view.source.size, self.view.resized);
        if target.0 == 0 || target.1 == 0 {
            return Ok(());
        }
        let line = zeroed(size.1 * self.input)?;
        let (from, tables) = (self.view.source, &*steps.before);
        let mut bytes = Bytes { rows, from, input: self.input, tables, line, watch };
        let (simd, filter, rule) = (self.simd, self.view.filter, self.floats.rule);
        let resize = Resize { simd, filter, rule, watch };
        match steps.standardise {
            None => resize.rows((&mut bytes, 3), size, target, take),
            Some(rule) => resize.rows((&mut bytes.held(rule)?, 3), size, target, take),
        }
    }

    /// The part of the resized rows and columns that the canvas shows along one axis, and where it begins there.
    fn shown(resized: usize, offset: isize, canvas: usize) -> (Range<usize>, usize) {
        let first = offset.min(0).unsigned_abs().min(resized);
        let at = (offset.max(0) as usize).min(canvas);
        (first..resized.min(first + canvas - at), at)
    }

    /// Where a resized row lies on the canvas, and which of its columns are shown from which on.
    fn place(&self, y: usize) -> Option<(usize, Range<usize>, usize)> {
        let View { resized, offset, canvas, .. } = *self.view;
        let (down, top) = Self::shown(resized.0, offset.0, canvas.0);
        let (across, left) = Self::shown(resized.1, offset.1, canvas.1);
        down.contains(&y).then(|| (top + y - down.start, across, left))
    }

    /// Rounds a resized row to bytes, for views that come from the canvas.
    fn keep(&self, y: usize, row: &[f32], kept: &mut [u8]) {
        let Some((y, across, left)) = self.place(y) else { return };
        let (wide, width) = (self.view.resized.1, self.view.canvas.1);
        let [a, b, c] = [0, 1, 2].map(|c| &row[c * wide..][across.clone()]);
        let line = kept[(y * width + left) * 3..].as_chunks_mut::<3>().0;
        for (((pixel, a), b), c) in line.iter_mut().zip(a).zip(b).zip(c) {
            *pixel = [a, b, c].map(|value| rounded(*value) as u8);
        }
    }

    /// Writes a row of merge blocks.
    fn block(
        &self,
        (patch, merge, inside): (usize, usize, Inside),
        from: Strip<'_>,
        row: usize,
        frames: &[usize],
        sink: &mut Sink<'_>,
    ) {
        let width = self.view.canvas.1;
        let line = |frame: usize, c: usize, y: usize, x: usize| {
            &from.canvases[frame][(c * from.tall + from.top + y) * width + x..][..patch]
        };
        for (down, column) in places(self.view.grid.columns, merge) {
            let (top, left) = (down * patch, column * patch);
            let plane = |sink: &mut Sink<'_>, frame: usize, c: usize| {
                for y in top..top + patch {
                    sink.put(line(frame, c, y, left));
                }
            };
            let pixels = |sink: &mut Sink<'_>, frame: usize| {
                for y in top..top + patch {
                    sink.interleave([0, 1, 2].map(|c| line(frame, c, y, left)));
                }
            };
            match inside {
                Inside::Ctpp => {
                    for c in 0..3 {
                        for &frame in frames {
                            plane(sink, frame, c);
                        }
                    }
                }
                Inside::Tcpp => {
                    for &frame in frames {
                        (0..3).for_each(|c| plane(sink, frame, c));
                    }
                }
                Inside::Tppc => frames.iter().for_each(|&frame| pixels(sink, frame)),
                Inside::Numbered => {
                    sink.put(&[(row * merge + down + 1) as f32, (column + 1) as f32]);
                    pixels(sink, 0);
                }
            }
        }
    }

    fn write(
        &self,
        canvases: &[Vec<f32>],
        mut sink: Sink<'_>,
        allocated: Size,
        fill: &Fill,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let (height, width) = self.view.canvas;
        let line = |c: usize, y: usize, x: usize, len: usize| {
            &canvases[0][(c * height + y) * width + x..][..len]
        };
        match self.view.cut {
            Cut::Patches { patch, merge, inside, .. } => {
                let frames = self.frames()?;
                let canvases = collected(canvases.iter().map(|canvas| &canvas[..]))?;
                for row in 0..self.view.grid.rows / merge {
                    watch.check()?;
                    let from =
                        Strip { canvases: &canvases, tall: height, top: row * patch * merge };
                    self.block((patch, merge, inside), from, row, &frames, &mut sink);
                }
            }
            Cut::Tiles { tile, step, order } => {
                for row in 0..self.view.grid.rows {
                    watch.check()?;
                    for column in 0..self.view.grid.columns {
                        let (top, left) = (row * step.0, column * step.1);
                        let rows = (top..top + tile.0).map(Some);
                        let rows = rows.chain(std::iter::repeat_n(None, allocated.0 - tile.0));
                        let margin = allocated.1 - tile.1;
                        match order {
                            Order::ChannelsFirst => {
                                for c in 0..3 {
                                    for y in rows.clone() {
                                        let used = y.map_or(&[][..], |y| line(c, y, left, tile.1));
                                        sink.put(used);
                                        let rest = margin + tile.1 - used.len();
                                        sink.fill(fill, c, rest);
                                    }
                                }
                            }
                            Order::ChannelsLast => {
                                for y in rows {
                                    let used = |c| y.map_or(&[][..], |y| line(c, y, left, tile.1));
                                    let lines = [0, 1, 2].map(used);
                                    sink.interleave(lines);
                                    let rest = margin + tile.1 - lines[0].len();
                                    (0..3 * rest).for_each(|n| sink.fill(fill, n % 3, 1));
                                }
                            }
                        }
                    }
                }
            }
            Cut::Rows { .. } => {
                for y in 0..height {
                    sink.interleave([0, 1, 2].map(|c| line(c, y, 0, width)));
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

/// Rows within a row of merge blocks, and columns, of its patches in order.
fn places(columns: usize, merge: usize) -> impl Iterator<Item = Size> {
    let block = move |column: usize| {
        (0..merge * merge).map(move |n| (n / merge, column * merge + n % merge))
    };
    (0..columns / merge).flat_map(block)
}

/// Canvases of `tall` rows, plane after plane, of every frame, from row `top` on.
#[derive(Clone, Copy)]
struct Strip<'a> {
    canvases: &'a [&'a [f32]],
    tall: usize,
    top: usize,
}

/// Takes what a page holds when it is full.
type Done<'a> = &'a mut dyn FnMut(&[f32]) -> Result<()>;

/// Some rows of the canvas under way, plane after plane: normalised values.
struct Page {
    values: Vec<f32>,
    tall: usize,
    width: usize,
    /// The next row of the canvas.
    next: usize,
    background: [f32; 3],
}

impl Page {
    fn new(lane: &Lane<'_>, steps: &Steps, tall: usize, watch: &Watch<'_>) -> Result<Self> {
        let width = lane.view.canvas.1;
        let background = std::array::from_fn(|c| {
            let byte = steps.before[c][usize::from(lane.view.background[c])];
            let mut value = [lane.floats.outside.map_or(byte, f32::from)];
            steps.after(c, &mut value);
            value[0]
        });
        let values = watch.filled(0.0, 3 * tall * width)?;
        Ok(Self { values, tall, width, next: 0, background })
    }

    /// The next row of a plane.
    fn line(&mut self, c: usize) -> &mut [f32] {
        let y = self.next % self.tall;
        &mut self.values[(c * self.tall + y) * self.width..][..self.width]
    }

    fn advance(&mut self, done: Done<'_>) -> Result<()> {
        self.next += 1;
        if self.next.is_multiple_of(self.tall) { done(&self.values) } else { Ok(()) }
    }

    /// Rows of background up to row `end`.
    fn fill_to(&mut self, end: usize, done: Done<'_>) -> Result<()> {
        while self.next < end {
            for c in 0..3 {
                let background = self.background[c];
                self.line(c).fill(background);
            }
            self.advance(done)?;
        }
        Ok(())
    }

    /// A resized row, normalised.
    fn row(
        &mut self,
        lane: &Lane<'_>,
        steps: &Steps,
        y: usize,
        row: &[f32],
        done: Done<'_>,
    ) -> Result<()> {
        let Some((y, across, left)) = lane.place(y) else { return Ok(()) };
        self.fill_to(y, done)?;
        for (c, row) in row.chunks_exact(lane.view.resized.1).enumerate() {
            let background = self.background[c];
            let (before, line) = self.line(c).split_at_mut(left);
            let (line, after) = line.split_at_mut(across.len());
            before.fill(background);
            line.copy_from_slice(&row[across.clone()]);
            steps.after(c, line);
            after.fill(background);
        }
        self.advance(done)
    }
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

    fn after(&self, c: usize, values: &mut [f32]) {
        match &self.after {
            Some(normalise) => normalise.of_floats(c, values),
            None => {
                for value in values {
                    *value = rounded(*value).clamp(0.0, 255.0);
                }
            }
        }
    }
}

/// Rows of bytes as the values that they stand for.
struct Bytes<'a> {
    rows: &'a mut dyn Rows,
    /// The part of the image that is shown.
    from: Rect,
    /// Bytes a pixel.
    input: usize,
    /// The value of every byte, by channel.
    tables: &'a [[f32; 256]; 3],
    /// Room for a row's bytes: they belong to somebody else, and are read once.
    line: Vec<u8>,
    watch: &'a Watch<'a>,
}

impl Bytes<'_> {
    /// Those rows that are needed, each with its number and the bytes of a pixel.
    fn lines(
        &mut self,
        rows: Range<usize>,
        needed: &dyn Fn(usize) -> bool,
        mut each: impl FnMut(usize, &[u8], usize),
    ) -> Result<()> {
        let Rect { top, left, size: (_, width) } = self.from;
        let mut y = rows.start;
        while y < rows.end {
            self.watch.check()?;
            let window = self.rows.window(top + y, WATCH_EVERY)?;
            let end = (window.end() - top).min(y + WATCH_EVERY).min(rows.end);
            for y in (y..end).filter(|&y| needed(y)) {
                let row = window.row(top + y).slice(left * self.input, width * self.input);
                row.copy_to(&mut self.line);
                each(y, &self.line, self.input);
            }
            y = end;
        }
        Ok(())
    }
}

impl Values for Bytes<'_> {
    fn rows(
        &mut self,
        rows: Range<usize>,
        needed: &dyn Fn(usize) -> bool,
        to: &mut [f32],
    ) -> Result<()> {
        let (start, width, tables) = (rows.start, self.from.size.1, self.tables);
        self.lines(rows, needed, |y, line, input| {
            let planes = thirds(to).map(|plane| &mut plane[(y - start) * width..][..width]);
            match input {
                3 => spread::<3>(line, tables, planes),
                _ => spread::<4>(line, tables, planes),
            }
        })
    }
}

/// Three planes, one after the other.
fn thirds<T>(planes: &mut [T]) -> [&mut [T]; 3] {
    let len = planes.len() / 3;
    let (first, rest) = planes.split_at_mut(len);
    let (second, third) = rest.split_at_mut(len);
    [first, second, third]
}

/// The values of pixels of `N` bytes, channel by channel.
fn spread<const N: usize>(line: &[u8], tables: &[[f32; 256]; 3], [a, b, c]: [&mut [f32]; 3]) {
    let pixels = line.as_chunks::<N>().0;
    for (((pixel, a), b), c) in pixels.iter().zip(a).zip(b).zip(c) {
        *a = tables[0][usize::from(pixel[0])];
        *b = tables[1][usize::from(pixel[1])];
        *c = tables[2][usize::from(pixel[2])];
    }
}

/// Bytes in memory, and the value of each: less the mean of all, divided by their deviation.
struct Held {
    /// Pixels side by side, or plane after plane, as their statistics want them.
    bytes: Vec<u8>,
    side_by_side: bool,
    size: Size,
    tables: Box<[[f32; 256]; 3]>,
}

impl Bytes<'_> {
    /// All of it, standardised.
    fn held(&mut self, standardise: Standardise) -> Result<Held> {
        let size = self.from.size;
        let (width, area) = (size.1, size.0 * size.1);
        let side_by_side = standardise.is_of_pixels();
        let mut bytes = self.watch.filled(0, 3 * area)?;
        self.lines(0..size.0, &|_| true, |y, line, input| {
            let pixels = line.chunks_exact(input);
            if side_by_side {
                let row = &mut bytes[3 * y * width..][..3 * width];
                for (to, pixel) in row.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    to.copy_from_slice(&pixel[..3]);
                }
                return;
            }
            let [a, b, c] = thirds(&mut bytes).map(|plane| &mut plane[y * width..][..width]);
            for (((pixel, a), b), c) in pixels.zip(a).zip(b).zip(c) {
                (*a, *b, *c) = (pixel[0], pixel[1], pixel[2]);
            }
        })?;
        let of = standardise.of_bytes(&bytes, &|| self.watch.check())?;
        let mut table = std::array::from_fn(|byte| byte as f32);
        of.apply(&mut table, &|| Ok(()))?;
        Ok(Held { bytes, side_by_side, size, tables: Box::new([table; 3]) })
    }
}

impl Values for Held {
    fn rows(
        &mut self,
        rows: Range<usize>,
        needed: &dyn Fn(usize) -> bool,
        to: &mut [f32],
    ) -> Result<()> {
        let (height, width) = self.size;
        if !self.side_by_side {
            let planes = to.chunks_exact_mut((rows.len() * width).max(1));
            for (c, plane) in planes.enumerate() {
                let from = &self.bytes[(c * height + rows.start) * width..][..plane.len()];
                for (value, byte) in plane.iter_mut().zip(from) {
                    *value = self.tables[c][usize::from(*byte)];
                }
            }
            return Ok(());
        }
        for (n, y) in rows.enumerate().filter(|&(_, y)| needed(y)) {
            let line = &self.bytes[3 * y * width..][..3 * width];
            let planes = thirds(to).map(|plane| &mut plane[n * width..][..width]);
            spread::<3>(line, &self.tables, planes);
        }
        Ok(())
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
        if element == Element::Float32 {
            let pixels = out.as_chunks_mut::<4>().0.as_chunks_mut::<3>().0;
            for (((pixel, a), b), c) in pixels.iter_mut().zip(a).zip(b).zip(c) {
                pixel[0] = a.to_ne_bytes();
                pixel[1] = b.to_ne_bytes();
                pixel[2] = c.to_ne_bytes();
            }
            return;
        }
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
