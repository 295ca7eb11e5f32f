//! Planes of samples, of which some rows are held, and rows of pixels made of them.

use super::header::{BLOCK, Component, Frame};
use crate::buffer::Aligned;
use crate::error::Result;
use crate::simd::Simd;
use crate::simd::jpeg::{Chroma, GROUP_WIDTH, Group, Kernels, STEP};

/// Bytes before a row's first sample and after its last block, which kernels may read.
const LEAD: usize = 64;

/// How samples of a component become those of pixels, as libjpeg does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// There is one a pixel.
    None,
    /// Half as many across, interpolated.
    Wide,
    /// Half as many down, interpolated.
    Tall,
    /// Half as many both ways, interpolated.
    Both,
    /// Each is repeated so many times (down, across).
    Repeat(usize, usize),
}

/// The samples of a component: all rows, or those of two rows of units.
struct Plane {
    bytes: Aligned,
    stride: usize,
    rows: usize,
    /// Samples without padding, (down, across).
    samples: (usize, usize),
    /// Rows of blocks of a row of units.
    vertical: usize,
    /// Where the row of units under way begins.
    under_way: usize,
    growth: Growth,
}

impl Plane {
    fn start(&self, row: usize) -> usize {
        row % self.rows * self.stride + LEAD
    }

    /// Row `row`, or the nearest there is, from its first sample on, with readable bytes after it.
    fn row(&self, row: usize) -> &[u8] {
        let start = self.start(row.min(self.samples.0 - 1));
        &self.bytes[start..start + self.stride - LEAD]
    }

    /// The same with the sample before the first.
    fn edged(&self, row: usize) -> &[u8] {
        let start = self.start(row.min(self.samples.0 - 1));
        &self.bytes[start - 1..start + self.stride - LEAD]
    }

    /// The sample rows that row `y` of an image is made of: the nearest one and the next.
    fn pair(&self, y: usize) -> (&[u8], &[u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        (self.edged(near), self.edged(far))
    }
}

/// The planes of a file.
pub(super) struct Planes {
    components: Vec<Plane>,
    /// A row of each component that is not grown by a kernel.
    lines: Vec<Aligned>,
    width: usize,
    height: usize,
    /// Rows of pixels of a row of units.
    unit: usize,
    /// Rows of units that are in.
    done: usize,
    units: usize,
}

impl Planes {
    /// Of a frame. `whole`: all rows are held, and pixels are made from any column on.
    pub(super) fn new(frame: &Frame, whole: bool) -> Result<Self> {
        let (height, width) = frame.size;
        let (down, across) = frame.factors();
        let mut planes = Vec::with_capacity(frame.components.len());
        let mut lines = Vec::with_capacity(frame.components.len());
        for component in &frame.components {
            let samples = frame.samples(component);
            let growth = match (down / component.vertical, across / component.horizontal) {
                (1, 1) => Growth::None,
                (1, 2) if samples.1 > 2 => Growth::Wide,
                (2, 1) => Growth::Tall,
                (2, 2) if samples.1 > 2 => Growth::Both,
                (down, across) => Growth::Repeat(down, across),
            };
            let (rows, stride) = held(frame, component, whole);
            let bytes = Aligned::zeroed(rows * stride)?;
            let vertical = component.vertical;
            planes.push(Plane { bytes, stride, rows, samples, vertical, under_way: LEAD, growth });
            lines.push(Aligned::zeroed(if growth == Growth::None {
                0
            } else {
                width.next_multiple_of(64) + 2 * LEAD
            })?);
        }
        let units = frame.units().0;
        Ok(Self { components: planes, lines, width, height, unit: down * BLOCK, done: 0, units })
    }

    /// Puts the samples of a group of the row of units under way in its place.
    #[inline(always)]
    pub(super) fn put(
        &mut self,
        backend: Simd,
        component: usize,
        (row, column): (usize, usize),
        group: &mut Group,
        table: &[i16; 64],
    ) {
        let plane = &mut self.components[component];
        let start = plane.under_way + row * BLOCK * plane.stride + column * GROUP_WIDTH;
        backend.idct(group, table, &mut plane.bytes[start..], plane.stride);
    }

    /// The row of units under way is in.
    pub(super) fn next_row(&mut self) {
        for plane in &mut self.components {
            if matches!(plane.growth, Growth::Wide | Growth::Both) {
                for row in 0..plane.vertical * BLOCK {
                    let start = plane.under_way + row * plane.stride;
                    let end = start + plane.samples.1;
                    plane.bytes[start - 1] = plane.bytes[start];
                    plane.bytes[end] = plane.bytes[end - 1];
                }
            }
            plane.under_way = plane.start((self.done + 1) * plane.vertical * BLOCK);
        }
        self.done += 1;
    }

    /// Rows of pixels that can be made.
    pub(super) fn rows(&self) -> usize {
        if self.done == self.units {
            return self.height;
        }
        let looks_down = |plane: &Plane| matches!(plane.growth, Growth::Tall | Growth::Both);
        let late = usize::from(self.components.iter().any(looks_down));
        (self.done * self.unit).saturating_sub(late)
    }

    /// Rows of units that are in, and all of them.
    pub(super) const fn progress(&self) -> (usize, usize) {
        (self.done, self.units)
    }

    /// Row `y` as grey.
    pub(super) fn grey(&self, y: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.components[0].row(y)[..self.width]);
    }

    /// Row `y` as RGB, as many pixels as `out` holds, from column `x` on: an even one, and the first unless all rows are held.
    #[inline(always)]
    pub(super) fn rgb(&mut self, backend: Simd, y: usize, x: usize, out: &mut [u8]) {
        let count = out.len() / 3;
        assert!(x.is_multiple_of(2) && x + count <= self.width, "columns of pixels");
        if let [luma] = &self.components[..] {
            return backend.grey(&luma.row(y)[x..], out);
        }
        let [luma, blue, red] = &self.components[..] else { return };
        if luma.growth == Growth::None && blue.growth == red.growth {
            let chroma = match blue.growth {
                Growth::None => Some(Chroma::Full([blue, red].map(|plane| &plane.row(y)[x..]))),
                Growth::Wide => {
                    Some(Chroma::Wide([blue, red].map(|plane| &plane.edged(y)[x / 2..])))
                }
                Growth::Both => Some(Chroma::Both([blue, red].map(|plane| {
                    let (near, far) = plane.pair(y);
                    (&near[x / 2..], &far[x / 2..])
                }))),
                Growth::Tall | Growth::Repeat(..) => None,
            };
            if let Some(chroma) = chroma {
                return backend.rgb(&luma.row(y)[x..], chroma, out);
            }
        }
        for (plane, line) in self.components.iter().zip(&mut self.lines) {
            if plane.growth != Growth::None {
                grow(plane, y, x, &mut line[..count]);
            }
        }
        let row = |number: usize| -> &[u8] {
            let plane = &self.components[number];
            if plane.growth == Growth::None { &plane.row(y)[x..] } else { &self.lines[number] }
        };
        backend.rgb(row(0), Chroma::Full([row(1), row(2)]), out);
    }
}

/// Rows that are held of a component, and the bytes of each.
fn held(frame: &Frame, component: &Component, whole: bool) -> (usize, usize) {
    let (down, across) = frame.blocks(component);
    let samples = (across * BLOCK).next_multiple_of(GROUP_WIDTH).next_multiple_of(64);
    // A kernel that begins at any column reads a step from there on.
    let (rows, end) = if whole { (down, LEAD + STEP) } else { (2 * component.vertical, LEAD) };
    (rows * BLOCK, LEAD + samples + end)
}

/// Bytes of the planes of a frame.
pub(super) fn bytes(frame: &Frame, whole: bool) -> u64 {
    let each = frame.components.iter().map(|component| held(frame, component, whole));
    each.map(|(rows, stride)| rows as u64 * stride as u64).sum()
}

/// Row `y` of a component into `line`, a sample a pixel, from column `x` on, which is even.
fn grow(plane: &Plane, y: usize, x: usize, line: &mut [u8]) {
    match plane.growth {
        Growth::None => {}
        Growth::Wide => {
            for (pair, near) in line.chunks_mut(2).zip(plane.edged(y)[x / 2..].windows(3)) {
                let [before, this, after] = [0, 1, 2].map(|i| u16::from(near[i]));
                pair[0] = ((3 * this + before + 1) >> 2) as u8;
                if let Some(second) = pair.get_mut(1) {
                    *second = ((3 * this + after + 2) >> 2) as u8;
                }
            }
        }
        Growth::Tall => {
            let (near, far) = plane.pair(y);
            let bias = if y.is_multiple_of(2) { 1 } else { 2 };
            for ((byte, &near), &far) in line.iter_mut().zip(&near[1 + x..]).zip(&far[1 + x..]) {
                *byte = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
            }
        }
        Growth::Both => {
            let (near, far) = plane.pair(y);
            let windows = near[x / 2..].windows(3).zip(far[x / 2..].windows(3));
            for (pair, (near, far)) in line.chunks_mut(2).zip(windows) {
                let [before, this, after] =
                    [0, 1, 2].map(|i| 3 * u16::from(near[i]) + u16::from(far[i]));
                pair[0] = ((3 * this + before + 8) >> 4) as u8;
                if let Some(second) = pair.get_mut(1) {
                    *second = ((3 * this + after + 7) >> 4) as u8;
                }
            }
        }
        Growth::Repeat(down, across) => {
            let samples = &plane.row(y / down)[x / across..];
            // The first one may have pixels before the line.
            let (first, rest) = line.split_at_mut((across - x % across).min(line.len()));
            let many = std::iter::once(first).chain(rest.chunks_mut(across));
            for (many, &sample) in many.zip(samples) {
                many.fill(sample);
            }
        }
    }
}
