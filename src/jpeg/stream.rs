//! A file of one scan: blocks are decoded and transformed a few units at a time, so that coefficients stay in the cache.

use std::sync::Arc;

use super::bits::{Bits, Reader};
use super::block::whole;
use super::header::{Frame, marker};
use super::huffman::{AcTable, DcTable};
use super::planes::Planes;
use super::tables::{Quantisation, Scan, Tables};
use super::{Reject, Result};
use crate::error::{filled, reserved};
use crate::simd::Simd;
use crate::simd::jpeg::{Deposit, Group, Kernels, Work};

/// What is said of coded data that no encoder writes.
pub(super) const NONSENSE: Reject = Reject::Anomaly("entropy-coded data that make no sense");
/// Bytes that a block takes at most: 64 coefficients of a code of 16 bits and 15 bits more.
pub(super) const BLOCK_BYTES: usize = 248;
/// Units that are decoded before they are transformed: however many blocks a unit has across, they are whole groups.
const CHUNK: usize = 4;

/// The segments between restarts.
pub(super) struct Restarts<'a> {
    pub(super) bits: Bits<'a>,
    interval: usize,
    /// Units to the next restart.
    pub(super) left: usize,
    number: u8,
}

impl<'a> Restarts<'a> {
    /// From byte `at` of a file on.
    pub(super) fn new(data: &'a [u8], at: usize, interval: usize) -> Result<Self> {
        let interval = if interval == 0 { usize::MAX } else { interval };
        Ok(Self { bits: Bits::new(data, at)?, interval, left: interval, number: 0 })
    }

    /// Goes on after the restart marker that is due here.
    pub(super) fn restart(&mut self) -> Option<()> {
        if self.bits.end() != Some(marker::RST0 + self.number) {
            return None;
        }
        self.number = (self.number + 1) % 8;
        self.bits.next_segment();
        self.left = self.interval;
        Some(())
    }
}

/// A block of a chunk.
struct Slot {
    component: usize,
    dc: Arc<DcTable>,
    ac: Arc<AcTable>,
    /// Its group among those of a chunk, and its place there.
    group: usize,
    place: usize,
}

/// Where a group of a chunk goes: component, row of blocks, column of groups from the chunk's first on.
struct Target {
    component: usize,
    row: usize,
    column: usize,
    /// Groups of a chunk across.
    across: usize,
}

/// Where the groups of a chunk go.
pub(super) struct Layout {
    targets: Vec<Target>,
    quantisation: Vec<Quantisation>,
    /// Units across.
    units: usize,
}

impl Layout {
    /// Groups of a chunk.
    pub(super) const fn groups(&self) -> usize {
        self.targets.len()
    }

    /// Chunks of a row of units.
    pub(super) const fn chunks(&self) -> usize {
        self.units.div_ceil(CHUNK)
    }

    /// Transforms the groups of a chunk, and clears them.
    #[inline(always)]
    pub(super) fn transform(
        &self,
        backend: Simd,
        chunk: usize,
        groups: &mut [Group],
        planes: &mut Planes,
    ) {
        let count = CHUNK.min(self.units - chunk * CHUNK);
        for (target, group) in self.targets.iter().zip(groups) {
            // The last chunk may have fewer groups than others.
            if target.column * 4 < count * target.across {
                let place = (target.row, chunk * target.across + target.column);
                let table = &self.quantisation[target.component];
                planes.put(backend, target.component, place, group, table);
            }
        }
    }
}

/// The scan under way: coded data to coefficients.
pub(super) struct Scanner<'a> {
    restarts: Restarts<'a>,
    /// The blocks of a unit, unit after unit of a chunk.
    slots: Vec<Slot>,
    predictions: [i32; 3],
    /// Units across.
    units: usize,
}

impl<'a> Scanner<'a> {
    /// The scan whose coded data begin at byte `at` of a file.
    pub(super) fn new(
        data: &'a [u8],
        at: usize,
        frame: &Frame,
        tables: &Tables,
        scan: &Scan,
    ) -> Result<(Self, Layout)> {
        if !scan.is_sequential() || scan.components.len() != frame.components.len() {
            return Err(Reject::Anomaly(
                "a scan of some coefficients in a file that is not progressive",
            ));
        }
        let (mut targets, mut quantisation) = (Vec::new(), Vec::new());
        let mut coded = Vec::new();
        for &(index, dc, ac) in &scan.components {
            const MISSING: Reject = Reject::Anomaly("a table is missing");
            let component = frame.components[index];
            quantisation.push(tables.quantisation[component.table].ok_or(MISSING)?);
            let dc = tables.dc[dc].as_ref().ok_or(MISSING)?;
            let ac = AcTable::get(tables.ac[ac].as_ref().ok_or(MISSING)?)?;
            let across = component.horizontal;
            for row in 0..component.vertical {
                for column in 0..across {
                    coded.push((dc, Arc::clone(&ac)));
                    targets.push(Target { component: index, row, column, across });
                }
            }
        }
        let mut slots = reserved(CHUNK * targets.len())?;
        for unit in 0..CHUNK {
            for (number, (target, (dc, ac))) in targets.iter().zip(&coded).enumerate() {
                let column = unit * target.across + target.column;
                let (group, place) = (number - target.column + column / 4, column % 4);
                let (dc, ac) = (Arc::clone(dc), Arc::clone(ac));
                slots.push(Slot { component: target.component, dc, ac, group, place });
            }
        }
        let restarts = Restarts::new(data, at, tables.restart)?;
        let units = frame.units().1;
        let layout = Layout { targets, quantisation, units };
        Ok((Self { restarts, slots, predictions: [0; 3], units }, layout))
    }

    /// Decodes the units of a chunk of the row under way into its groups, which are clear.
    #[inline(always)]
    pub(super) fn chunk(&mut self, chunk: usize, groups: &mut [Group]) -> Option<()> {
        let blocks = self.slots.len() / CHUNK;
        let need = self.slots.len() * BLOCK_BYTES;
        self.restarts.bits.fill(need);
        let count = CHUNK.min(self.units - chunk * CHUNK);
        let mut unit = 0;
        while unit < count {
            if self.restarts.left == 0 {
                self.restarts.restart()?;
                self.restarts.bits.fill(need);
                self.predictions = [0; 3];
            }
            let end = count.min(unit.saturating_add(self.restarts.left));
            self.restarts.left -= end - unit;
            let mut reader = Reader::new(self.restarts.bits.cursor())?;
            for slot in &self.slots[unit * blocks..end * blocks] {
                let group = &mut groups[slot.group];
                let prediction = &mut self.predictions[slot.component];
                whole(&mut reader, &slot.dc, &slot.ac, prediction, group, slot.place)?;
            }
            let pos = reader.pos();
            if !self.restarts.bits.take(pos) {
                return None;
            }
            unit = end;
        }
        Some(())
    }

    /// After the last row: the end of the file must follow.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.restarts.bits.end() {
            Some(marker::EOI) => Ok(()),
            _ => Err(Reject::Anomaly("no end after the last unit")),
        }
    }
}

/// Coefficients decoded and transformed by turns, a chunk at a time.
pub(super) struct Stream<'a> {
    scanner: Scanner<'a>,
    layout: Layout,
    groups: Vec<Group>,
}

impl<'a> Stream<'a> {
    pub(super) fn new((scanner, layout): (Scanner<'a>, Layout)) -> Result<Self> {
        let groups = filled([0; 256], layout.groups())?;
        Ok(Self { scanner, layout, groups })
    }

    /// Decodes a row of units, into `planes` where somebody wants it.
    pub(super) fn row(&mut self, backend: Simd, planes: Option<&mut Planes>) -> Result<()> {
        backend.work(RowOfUnits { backend, stream: self, planes }).ok_or(NONSENSE)
    }

    /// After the last row: the end of the file must follow.
    pub(super) fn end(&mut self) -> Result<()> {
        self.scanner.end()
    }

    #[inline(always)]
    fn decode(&mut self, backend: Simd, mut planes: Option<&mut Planes>) -> Option<()> {
        for chunk in 0..self.layout.chunks() {
            self.scanner.chunk(chunk, &mut self.groups)?;
            match planes.as_deref_mut() {
                Some(planes) => self.layout.transform(backend, chunk, &mut self.groups, planes),
                None => self.groups.fill([0; 256]),
            }
        }
        Some(())
    }
}

struct RowOfUnits<'s, 'a> {
    backend: Simd,
    stream: &'s mut Stream<'a>,
    planes: Option<&'s mut Planes>,
}

impl Work for RowOfUnits<'_, '_> {
    type Out = Option<()>;

    #[inline(always)]
    fn run<D: Deposit>(self, _deposit: D) -> Option<()> {
        self.stream.decode(self.backend, self.planes)
    }
}
