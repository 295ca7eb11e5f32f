//! A file of several scans: the coefficients of the whole image are kept until the last of them is in.

use std::sync::{Arc, Mutex};

use super::bits::{Cursor, Reader};
use super::block::{ORDERS, Order, coefficients, moved, whole};
use super::header::{BLOCK, Frame, Segments, marker};
use super::huffman::{AcTable, DcTable, RefineTable, Refinement, Then};
use super::planes::Planes;
use super::stream::{BLOCK_BYTES, NONSENSE, Restarts};
use super::tables::{Quantisation, Scan, Tables};
use super::{Reject, Result};
use crate::error::Error;
use crate::memory::is_short;
use crate::parallel::filled_watched;
use crate::simd::Simd;
use crate::simd::jpeg::{Deposit, Group, Kernels, Work};

/// The coefficients of a component.
struct Kept {
    groups: Vec<Group>,
    /// Groups of a row.
    across: usize,
    /// Blocks, padded to whole units and without, (down, across).
    padded: (usize, usize),
    blocks: (usize, usize),
    /// Blocks of a unit, (down, across).
    unit: (usize, usize),
    /// The coefficients of each block that are not zero, in the order of the file.
    nonzero: Vec<u64>,
    /// The lowest bit that is known of each coefficient; none before the first scan of it.
    known: [Option<u32>; 64],
    quantisation: Option<Quantisation>,
}

impl Kept {
    /// The group of a block, and its place there.
    #[inline(always)]
    fn block(&mut self, row: usize, column: usize) -> (&mut Group, usize) {
        (&mut self.groups[row * self.across + column / 4], column % 4)
    }
}

/// The coefficients of a file.
pub(super) struct Coefficients {
    components: Vec<Kept>,
    units: (usize, usize),
    progressive: bool,
    /// Rows of units that were transformed, and so are clear again; none while scans are decoded.
    clear: Option<usize>,
}

/// Memory of coefficients that are clear, and of notes, a component each.
type Spare = Vec<(Vec<Group>, Vec<u64>)>;

/// That of the last file, which the next one has: the system clears new memory page by page, which takes a seventh of the time of
/// a large file. Nobody waits for it, so that a child of a process that was forked at a bad time goes on without.
static SPARE: Mutex<Spare> = Mutex::new(Vec::new());
/// Bytes of it at most.
const SPARE_BYTES: usize = 64 << 20;

/// Takes what is spare.
fn spare() -> Spare {
    SPARE.try_lock().map(|mut spare| std::mem::take(&mut *spare)).unwrap_or_default()
}

/// So many items, all of them `value` already where `spare` has them.
fn at_least<T: Clone>(
    mut spare: Vec<T>,
    count: usize,
    value: T,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<T>> {
    if spare.capacity() < count {
        drop(spare);
        let check = || if stop() { Err(Error::Interrupted) } else { Ok(()) };
        return Ok(filled_watched(value, count, check)?);
    }
    if spare.len() < count {
        spare.resize(count, value);
    }
    Ok(spare)
}

impl Coefficients {
    /// Decodes every scan. `segments` is after the first scan's header, `body`.
    pub(super) fn read(
        backend: Simd,
        segments: &mut Segments<'_>,
        frame: &Frame,
        tables: &mut Tables,
        body: &[u8],
        stop: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let mut components = Vec::with_capacity(frame.components.len());
        let mut spare = spare().into_iter();
        for component in &frame.components {
            let padded = frame.blocks(component);
            let samples = frame.samples(component);
            let across = padded.1.div_ceil(4);
            let notes = if frame.progressive { padded.0 * padded.1 } else { 0 };
            let (groups, mut nonzero) = spare.next().unwrap_or_default();
            nonzero.clear();
            components.push(Kept {
                groups: at_least(groups, padded.0 * across, [0; 256], stop)?,
                across,
                padded,
                blocks: (samples.0.div_ceil(BLOCK), samples.1.div_ceil(BLOCK)),
                unit: (component.vertical, component.horizontal),
                nonzero: at_least(nonzero, notes, 0, stop)?,
                known: [None; 64],
                quantisation: None,
            });
        }
        let (units, progressive) = (frame.units(), frame.progressive);
        let mut kept = Self { components, units, progressive, clear: None };
        let mut body = body;
        loop {
            let scan = Scan::new(frame, body)?;
            for &(index, ..) in &scan.components {
                let component = &mut kept.components[index];
                if component.quantisation.is_none() {
                    let table = tables.quantisation[frame.components[index].table];
                    let table = table.ok_or(Reject::Anomaly("a table is missing"))?;
                    component.quantisation = Some(table);
                }
            }
            kept.announce(&scan)?;
            let mut restarts = Restarts::new(segments.data, segments.at, tables.restart)?;
            kept.scan(backend, &scan, tables, &mut restarts, stop)?;
            // A marker must follow, which is looked at as any other.
            restarts.bits.end().ok_or(Reject::Anomaly("bytes after a scan"))?;
            segments.at = restarts.bits.at();
            loop {
                let (marker, next) = segments.next()?;
                if marker == marker::EOI {
                    kept.complete()?;
                    kept.clear = Some(0);
                    return Ok(kept);
                }
                if marker == marker::SOS {
                    body = next;
                    break;
                }
                if !tables.read(marker, next)? {
                    return Err(Reject::Anomaly("a segment between scans of an unknown kind"));
                }
            }
        }
    }

    /// Checks that a scan may come now.
    fn announce(&mut self, scan: &Scan) -> Result<()> {
        const ODD: Reject = Reject::Anomaly("a scan out of order");
        let ((first, last), (before, low)) = (scan.band, scan.bits);
        let legal = if self.progressive {
            let band = if first == 0 {
                last == 0
            } else {
                first <= last && last < 64 && scan.components.len() == 1
            };
            band && low <= 13 && (before == 0 || low + 1 == before)
        } else {
            scan.is_sequential()
        };
        if !legal {
            return Err(ODD);
        }
        for &(index, ..) in &scan.components {
            let known = &mut self.components[index].known;
            if first > 0 && known[0].is_none() {
                return Err(ODD);
            }
            for bit in &mut known[first..=last] {
                if *bit != (before > 0).then_some(before) {
                    return Err(ODD);
                }
                *bit = Some(low);
            }
        }
        Ok(())
    }

    /// All bits of all coefficients are in.
    fn complete(&self) -> Result<()> {
        let whole = |kept: &Kept| kept.known.iter().all(|&bit| bit == Some(0));
        if self.components.iter().all(whole) {
            Ok(())
        } else {
            Err(Reject::Anomaly("scans are missing"))
        }
    }

    fn scan(
        &mut self,
        backend: Simd,
        scan: &Scan,
        tables: &Tables,
        restarts: &mut Restarts<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut dc: [Option<Arc<DcTable>>; 3] = [None, None, None];
        let mut ac: [Option<Arc<AcTable>>; 3] = [None, None, None];
        let mut refine = None;
        let (before, low) = scan.bits;
        let (first, last) = scan.band;
        for (number, &(_, dc_number, ac_number)) in scan.components.iter().enumerate() {
            const MISSING: Reject = Reject::Anomaly("a table is missing");
            if first == 0 && before == 0 {
                dc[number] = Some(tables.dc[dc_number].clone().ok_or(MISSING)?);
            }
            if last > 0 {
                let code = tables.ac[ac_number].as_ref().ok_or(MISSING)?;
                if before > 0 {
                    refine = Some(RefineTable::new(code));
                } else {
                    ac[number] = Some(match low {
                        0 => AcTable::get(code)?,
                        _ => Arc::from(AcTable::new(code, low)),
                    });
                }
            }
        }
        let alone = scan.components.len() == 1;
        let rows =
            if alone { self.components[scan.components[0].0].blocks.0 } else { self.units.0 };
        let mut run = Run { predictions: [0; 3], ended: 0 };
        let orders = std::array::from_fn(|block| moved(block, last));
        for row in 0..rows {
            if stop() {
                return Err(Error::Interrupted.into());
            }
            let (run, orders) = (&mut run, &orders);
            let (dc, ac, refine) = (&dc, &ac, refine.as_deref());
            backend
                .work(RowOfScan { kept: self, scan, dc, ac, refine, orders, restarts, run, row })
                .ok_or(NONSENSE)?;
        }
        // Blocks that have ended and do not exist.
        if run.ended > 0 { Err(NONSENSE) } else { Ok(()) }
    }

    /// Transforms the next row of units into `planes`.
    pub(super) fn row(&mut self, backend: Simd, planes: &mut Planes) {
        backend.work(RowOfUnits { backend, kept: self, planes });
        if let Some(rows) = &mut self.clear {
            *rows += 1;
        }
    }
}

impl Drop for Coefficients {
    /// Leaves its memory to the next file.
    fn drop(&mut self) {
        let Some(clear) = self.clear else { return };
        let bytes = |kept: &Kept| kept.groups.len() * size_of::<Group>() + kept.nonzero.len() * 8;
        if self.components.iter().map(bytes).sum::<usize>() > SPARE_BYTES || is_short() {
            return;
        }
        let Ok(mut spare) = SPARE.try_lock() else { return };
        spare.clear();
        for kept in self.components.drain(..) {
            let mut groups = kept.groups;
            let done = clear * kept.unit.0 * kept.across;
            if let Some(rest) = groups.get_mut(done..kept.padded.0 * kept.across) {
                rest.fill([0; 256]);
            }
            spare.push((groups, kept.nonzero));
        }
    }
}

struct RowOfUnits<'s> {
    backend: Simd,
    kept: &'s mut Coefficients,
    planes: &'s mut Planes,
}

impl Work for RowOfUnits<'_> {
    type Out = ();

    #[inline(always)]
    fn run<D: Deposit>(self, _deposit: D) {
        let (unit, _) = self.planes.progress();
        for (index, kept) in self.kept.components.iter_mut().enumerate() {
            let Some(table) = kept.quantisation else { return };
            for y in 0..kept.unit.0 {
                let start = (unit * kept.unit.0 + y) * kept.across;
                for (x, group) in kept.groups[start..start + kept.across].iter_mut().enumerate() {
                    self.planes.put(self.backend, index, (y, x), group, &table);
                }
            }
        }
    }
}

/// What goes on from block to block.
struct Run {
    predictions: [i32; 3],
    /// Blocks that have ended.
    ended: usize,
}

/// A row of blocks of a scan of one component, or of units of several.
struct RowOfScan<'s, 'a> {
    kept: &'s mut Coefficients,
    scan: &'s Scan,
    dc: &'s [Option<Arc<DcTable>>; 3],
    ac: &'s [Option<Arc<AcTable>>; 3],
    refine: Option<&'s RefineTable>,
    orders: &'s [Order; 4],
    restarts: &'s mut Restarts<'a>,
    run: &'s mut Run,
    row: usize,
}

impl Work for RowOfScan<'_, '_> {
    type Out = Option<()>;

    #[inline(always)]
    fn run<D: Deposit>(mut self, deposit: D) -> Option<()> {
        match (self.kept.progressive, self.scan.band.0, self.scan.bits.0) {
            (false, ..) => self.each_block(Sequential),
            (true, 0, 0) => self.each_block(FirstDc),
            (true, 0, _) => self.each_block(MoreDc),
            (true, _, 0) => self.first_ac(),
            (true, ..) => self.more_ac(deposit),
        }
    }
}

/// What a scan does with each block.
trait Visit {
    fn block(
        row: &mut RowOfScan<'_, '_>,
        number: usize,
        index: usize,
        at: (usize, usize),
    ) -> Option<()>;
}

struct Sequential;
struct FirstDc;
struct MoreDc;

impl RowOfScan<'_, '_> {
    /// Before each unit.
    #[inline(always)]
    fn unit(&mut self) -> Option<()> {
        if self.restarts.left == 0 {
            if self.run.ended > 0 {
                return None;
            }
            self.restarts.restart()?;
            self.run.predictions = [0; 3];
        }
        self.restarts.left -= 1;
        Some(())
    }

    #[inline(always)]
    fn each_block<V: Visit>(&mut self, _visit: V) -> Option<()> {
        if let &[(index, ..)] = &self.scan.components[..] {
            for column in 0..self.kept.components[index].blocks.1 {
                self.unit()?;
                V::block(self, 0, index, (self.row, column))?;
            }
            return Some(());
        }
        for unit in 0..self.kept.units.1 {
            self.unit()?;
            for number in 0..self.scan.components.len() {
                let index = self.scan.components[number].0;
                let (down, across) = self.kept.components[index].unit;
                for y in 0..down {
                    for x in 0..across {
                        V::block(self, number, index, (self.row * down + y, unit * across + x))?;
                    }
                }
            }
        }
        Some(())
    }

    /// The first bits of coefficients after the first.
    #[inline(always)]
    fn first_ac(&mut self) -> Option<()> {
        let (first, last) = self.scan.band;
        let low = self.scan.bits.1;
        let by = 63 - last;
        let table = self.ac[0].as_deref()?;
        let kept = &mut self.kept.components[self.scan.components[0].0];
        let columns = kept.blocks.1;
        let mut column = 0;
        while column < columns {
            if self.restarts.left == 0 {
                if self.run.ended > 0 {
                    return None;
                }
                self.restarts.restart()?;
            }
            if self.run.ended > 0 {
                let skip = self.run.ended.min(columns - column).min(self.restarts.left);
                self.run.ended -= skip;
                self.restarts.left -= skip;
                column += skip;
                continue;
            }
            self.restarts.left -= 1;
            self.restarts.bits.fill(BLOCK_BYTES);
            let mut reader = Reader::new(self.restarts.bits.cursor())?;
            let (group, place) = kept.block(self.row, column);
            let order = &self.orders[place];
            let start = first + by;
            let (run, noted) = coefficients::<true>(&mut reader, table, order, group, start, low)?;
            kept.nonzero[self.row * kept.padded.1 + column] |= noted >> by;
            if run > 0 {
                let more = (reader.word >> (64 - run)) as usize;
                reader.skip(run);
                self.run.ended = (1 << run) + more - 1;
            }
            let pos = reader.pos();
            if !self.restarts.bits.take(pos) {
                return None;
            }
            column += 1;
        }
        Some(())
    }

    /// One more bit of coefficients after the first.
    #[inline(always)]
    fn more_ac<D: Deposit>(&mut self, deposit: D) -> Option<()> {
        let (first, last) = self.scan.band;
        let unit = 1_i16.checked_shl(self.scan.bits.1)?;
        let table = self.refine?;
        let kept = &mut self.kept.components[self.scan.components[0].0];
        let band = (u64::MAX >> (63 - last)) & (u64::MAX << first);
        for column in 0..kept.blocks.1 {
            if self.restarts.left == 0 {
                if self.run.ended > 0 {
                    return None;
                }
                self.restarts.restart()?;
            }
            self.restarts.left -= 1;
            let note = self.row * kept.padded.1 + column;
            let nonzero = kept.nonzero[note];
            if self.run.ended > 0 && nonzero & band == 0 {
                self.run.ended -= 1;
                continue;
            }
            self.restarts.bits.fill(2 * BLOCK_BYTES);
            let mut lows = Lows::new(self.restarts.bits.cursor())?;
            // Positions of the band that are still to come; those whose coefficient grows; those that are no longer zero, and of
            // these the negative ones.
            let (mut rest, mut grown, mut new, mut negative) = (band, 0, 0, 0);
            while self.run.ended == 0 && rest != 0 {
                let Refinement { bits, run, then } = table.next(lows.at_least(17)?)?;
                lows.skip(bits);
                if then == Then::End {
                    let more = lows.number(run)?;
                    self.run.ended = (1 << run) + more as usize;
                    break;
                }
                let target = deposit.deposit(1 << run, rest & !nonzero);
                if target == 0 {
                    return None;
                }
                let before = nonzero & rest & (target - 1);
                grown |= lows.deposit(deposit, before)?;
                new |= if then == Then::Zero { 0 } else { target };
                negative |= if then == Then::Negative { target } else { 0 };
                // What comes after the target.
                rest &= !(target | (target - 1));
            }
            if self.run.ended > 0 {
                grown |= lows.deposit(deposit, nonzero & rest)?;
                self.run.ended -= 1;
            }
            let pos = lows.pos();
            if !self.restarts.bits.take(pos) {
                return None;
            }
            if grown | new == 0 {
                continue;
            }
            kept.nonzero[note] = nonzero | new;
            let (group, place) = kept.block(self.row, column);
            let order = &ORDERS[place];
            while grown != 0 {
                let coefficient =
                    &mut group[usize::from(order[grown.trailing_zeros() as usize + 1])];
                *coefficient =
                    coefficient.wrapping_add((*coefficient >> 15 | 1).wrapping_mul(unit));
                grown &= grown - 1;
            }
            while new != 0 {
                let position = new.trailing_zeros();
                let sign = (negative >> position & 1) as i16;
                group[usize::from(order[position as usize + 1])] = (unit ^ -sign) + sign;
                new &= new - 1;
            }
        }
        Some(())
    }
}

/// Bits of a cursor, the next one lowest.
struct Lows<'a> {
    cursor: Cursor<'a>,
    word: u64,
    /// Bits that the word still has.
    left: u32,
}

/// Bits that a word has at first.
const WORD: u32 = 57;

impl<'a> Lows<'a> {
    #[inline(always)]
    fn new(cursor: Cursor<'a>) -> Option<Self> {
        Some(Self { word: cursor.word()?.reverse_bits(), cursor, left: WORD })
    }

    /// The bit of the window that is next.
    #[inline(always)]
    fn pos(&self) -> usize {
        self.cursor.pos + (WORD - self.left) as usize
    }

    /// The next bits, `count` at least, which must be at most 57.
    #[inline(always)]
    fn at_least(&mut self, count: u32) -> Option<u64> {
        if self.left < count {
            self.cursor.pos = self.pos();
            self.word = self.cursor.word()?.reverse_bits();
            self.left = WORD;
        }
        Some(self.word)
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.word >>= count;
        self.left -= count;
    }

    /// The next `count` bits, at most 15, as a number.
    #[inline(always)]
    fn number(&mut self, count: u32) -> Option<u64> {
        let bits = self.at_least(count)?;
        self.skip(count);
        Some(if count > 0 { bits.reverse_bits() >> (64 - count) } else { 0 })
    }

    /// A bit for each of `mask`, in its place.
    #[inline(always)]
    fn deposit<D: Deposit>(&mut self, deposit: D, mask: u64) -> Option<u64> {
        let count = mask.count_ones();
        if count > WORD {
            // Six bits at most are left for a second time.
            let high = mask & !(u64::MAX >> 7);
            let low = mask ^ high;
            let bits = deposit.deposit(self.at_least(low.count_ones())?, low);
            self.skip(low.count_ones());
            return Some(bits | self.deposit_few(deposit, high)?);
        }
        self.deposit_few(deposit, mask)
    }

    #[inline(always)]
    fn deposit_few<D: Deposit>(&mut self, deposit: D, mask: u64) -> Option<u64> {
        let count = mask.count_ones();
        let bits = deposit.deposit(self.at_least(count)?, mask);
        self.skip(count);
        Some(bits)
    }
}

impl Visit for Sequential {
    #[inline(always)]
    fn block(
        row: &mut RowOfScan<'_, '_>,
        number: usize,
        index: usize,
        at: (usize, usize),
    ) -> Option<()> {
        row.restarts.bits.fill(BLOCK_BYTES);
        let mut reader = Reader::new(row.restarts.bits.cursor())?;
        let (group, place) = row.kept.components[index].block(at.0, at.1);
        let (dc, ac) = (row.dc[number].as_ref()?, row.ac[number].as_deref()?);
        whole(&mut reader, dc, ac, &mut row.run.predictions[number], group, place)?;
        let pos = reader.pos();
        row.restarts.bits.take(pos).then_some(())
    }
}

impl Visit for FirstDc {
    #[inline(always)]
    fn block(
        row: &mut RowOfScan<'_, '_>,
        number: usize,
        index: usize,
        at: (usize, usize),
    ) -> Option<()> {
        row.restarts.bits.fill(8);
        let cursor = row.restarts.bits.cursor();
        let (bits, difference) = row.dc[number].as_ref()?.next(cursor.word()?)?;
        let pos = cursor.pos + bits as usize;
        let prediction = &mut row.run.predictions[number];
        *prediction += difference;
        let value = i16::try_from(prediction.checked_shl(row.scan.bits.1)?).ok()?;
        // Of one that is too large, bits were lost on the left.
        if i32::from(value) >> row.scan.bits.1 != *prediction {
            return None;
        }
        let (group, place) = row.kept.components[index].block(at.0, at.1);
        group[place * 8] = value;
        row.restarts.bits.take(pos).then_some(())
    }
}

impl Visit for MoreDc {
    #[inline(always)]
    fn block(
        row: &mut RowOfScan<'_, '_>,
        _number: usize,
        index: usize,
        at: (usize, usize),
    ) -> Option<()> {
        row.restarts.bits.fill(8);
        let mut cursor = row.restarts.bits.cursor();
        let bit = cursor.bit()?;
        let pos = cursor.pos;
        let (group, place) = row.kept.components[index].block(at.0, at.1);
        group[place * 8] |= i16::from(bit) << row.scan.bits.1;
        row.restarts.bits.take(pos).then_some(())
    }
}
