//! Planes of samples, of which some rows are held, and rows of pixels made of them.

use super::header::{BLOCK, Frame};
use crate::buffer::Aligned;
use crate::error::Result;
use crate::simd::jpeg::{Chroma, GROUP_WIDTH, Group, Kernels};

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

/// The samples of a component: the rows of two rows of units.
struct Plane {
    bytes: Aligned,
    stride: usize,
    rows: usize,
    /// Samples without padding, (down, across).
    samples: (usize, usize),
    /// Rows of blocks of a row of units.
    vertical: usize,
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
    pub(super) fn new(frame: &Frame) -> Result<Self> {
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
            let blocks = frame.blocks(component).1;
            let stride =
                LEAD + (blocks * BLOCK).next_multiple_of(GROUP_WIDTH).next_multiple_of(64) + LEAD;
            let rows = 2 * BLOCK * component.vertical;
            let bytes = Aligned::zeroed(rows * stride)?;
            let vertical = component.vertical;
            planes.push(Plane { bytes, stride, rows, samples, vertical, growth });
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
    pub(super) fn put<B: Kernels>(
        &mut self,
        backend: B,
        component: usize,
        (row, column): (usize, usize),
        group: &mut Group,
        table: &[i16; 64],
    ) {
        let plane = &mut self.components[component];
        let first = (self.done * plane.vertical + row) * BLOCK;
        let start = plane.start(first) + column * GROUP_WIDTH;
        backend.idct(group, table, &mut plane.bytes[start..], plane.stride);
    }

    /// The row of units under way is in.
    pub(super) fn next_row(&mut self) {
        for plane in &mut self.components {
            if matches!(plane.growth, Growth::Wide | Growth::Both) {
                for row in 0..plane.vertical * BLOCK {
                    let start = plane.start(self.done * plane.vertical * BLOCK + row);
                    let end = start + plane.samples.1;
                    plane.bytes[start - 1] = plane.bytes[start];
                    plane.bytes[end] = plane.bytes[end - 1];
                }
            }
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

    /// Row `y` as RGB.
    #[inline(always)]
    pub(super) fn rgb<B: Kernels>(&mut self, backend: B, y: usize, out: &mut [u8]) {
        assert_eq!(out.len(), self.width * 3, "a row of pixels");
        if let [luma] = &self.components[..] {
            return backend.grey(luma.row(y), out);
        }
        let [luma, blue, red] = &self.components[..] else { return };
        if luma.growth == Growth::None && blue.growth == red.growth {
            let chroma = match blue.growth {
                Growth::None => Some(Chroma::Full([blue.row(y), red.row(y)])),
                Growth::Wide => Some(Chroma::Wide([blue.edged(y), red.edged(y)])),
                Growth::Both => Some(Chroma::Both([blue.pair(y), red.pair(y)])),
                Growth::Tall | Growth::Repeat(..) => None,
            };
            if let Some(chroma) = chroma {
                return backend.rgb(luma.row(y), chroma, out);
            }
        }
        for (plane, line) in self.components.iter().zip(&mut self.lines) {
            grow(plane, y, self.width, line);
        }
        let row = |number: usize| -> &[u8] {
            let plane = &self.components[number];
            if plane.growth == Growth::None { plane.row(y) } else { &self.lines[number] }
        };
        backend.rgb(row(0), Chroma::Full([row(1), row(2)]), out);
    }
}

/// Row `y` of a component into `line`, a sample a pixel.
fn grow(plane: &Plane, y: usize, width: usize, line: &mut [u8]) {
    match plane.growth {
        Growth::None => {}
        Growth::Wide => {
            for (pair, near) in line[..width].chunks_mut(2).zip(plane.edged(y).windows(3)) {
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
            for ((byte, &near), &far) in line[..width].iter_mut().zip(&near[1..]).zip(&far[1..]) {
                *byte = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
            }
        }
        Growth::Both => {
            let (near, far) = plane.pair(y);
            let windows = near.windows(3).zip(far.windows(3));
            for (pair, (near, far)) in line[..width].chunks_mut(2).zip(windows) {
                let [before, this, after] =
                    [0, 1, 2].map(|i| 3 * u16::from(near[i]) + u16::from(far[i]));
                pair[0] = ((3 * this + before + 8) >> 4) as u8;
                if let Some(second) = pair.get_mut(1) {
                    *second = ((3 * this + after + 7) >> 4) as u8;
                }
            }
        }
        Growth::Repeat(down, across) => {
            for (many, &sample) in line[..width].chunks_mut(across).zip(plane.row(y / down)) {
                many.fill(sample);
            }
        }
    }
}
