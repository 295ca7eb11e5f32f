//! Huffman tables: what the next bits say, as many symbols at once as they hold.

use std::sync::{Arc, Mutex};

use super::{Reject, Result};
use crate::error::push;
use crate::memory::is_short;

/// Bits that index a table.
pub(super) const INDEX: u32 = 10;
const ENTRIES: usize = 1 << INDEX;
/// Bits that an entry of [`AcTable`] uses at most.
pub(super) const LONGEST: u32 = 15;
/// Positions after the last of a block: such an entry ends the loop over symbols.
pub(super) const LEAVE: u8 = 64;
/// A block has ended.
pub(super) const END: u8 = 128;

/// The code of one table, as a file gives it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Code {
    counts: [u8; 16],
    symbols: [u8; 256],
}

impl Code {
    /// `counts` codes of each length and their symbols.
    pub(super) fn new(counts: [u8; 16], given: &[u8]) -> Result<Self> {
        let mut symbols = [0; 256];
        symbols
            .get_mut(..given.len())
            .ok_or(Reject::Anomaly("a Huffman table of more than 256 codes"))?
            .copy_from_slice(given);
        let mut code = 0_usize;
        for (len, &count) in (1..).zip(&counts) {
            code += usize::from(count);
            // No code is all ones.
            if count > 0 && code >= 1 << len {
                return Err(Reject::Anomaly("a Huffman table of too many codes"));
            }
            code <<= 1;
        }
        Ok(Self { counts, symbols })
    }
}

/// Tables that a [`Made`] holds.
const MADE: usize = 8;

/// The tables made last, by their codes: most files have the codes that the standard proposes, and making a table takes as long as
/// decoding some thousand pixels.
struct Made<T>(Mutex<Vec<(Code, Arc<T>)>>);

impl<T> Made<T> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The table of a code, which `make` makes where there is none. Never waits: a child of a process that was forked while
    /// another thread was here makes its own.
    fn get(&self, code: &Code, make: impl FnOnce() -> Result<Box<T>>) -> Result<Arc<T>> {
        if let Ok(mut made) = self.0.try_lock()
            && let Some(at) = made.iter().position(|(other, _)| other == code)
        {
            let table = Arc::clone(&made[at].1);
            // The one used last is the last to go.
            made[at..].rotate_left(1);
            return Ok(table);
        }
        let table: Arc<T> = Arc::from(make()?);
        if !is_short()
            && let Ok(mut made) = self.0.try_lock()
        {
            if made.len() == MADE {
                made.remove(0);
            }
            // Without memory it is not kept.
            let _ = push(&mut made, (code.clone(), Arc::clone(&table)));
        }
        Ok(table)
    }
}

static DC: Made<DcTable> = Made::new();
static AC: Made<AcTable> = Made::new();

/// Looks one symbol up.
struct Lookup {
    /// Of each length: one past its codes, as the upper of 16 bits, and what makes a code an index of `symbols`.
    limits: [(u32, i32); 17],
    symbols: [u8; 256],
    /// Length and symbol by the first bits; length 0 where the code is longer.
    short: [(u8, u8); ENTRIES],
}

impl Lookup {
    fn new(code: &Code) -> Self {
        let mut lookup =
            Self { limits: [(0, 0); 17], symbols: code.symbols, short: [(0, 0); ENTRIES] };
        let (mut next, mut index) = (0_u32, 0_i32);
        for (len, &count) in (1_u32..).zip(&code.counts) {
            let offset = index - next as i32;
            if len <= INDEX {
                for number in 0..u32::from(count) {
                    let span = 1 << (INDEX - len);
                    let first = ((next + number) << (INDEX - len)) as usize;
                    let symbol = code.symbols[(index + number as i32) as usize & 255];
                    lookup.short[first..first + span].fill((len as u8, symbol));
                }
            }
            next += u32::from(count);
            index += i32::from(count);
            lookup.limits[len as usize] = (next << (16 - len), offset);
            next <<= 1;
        }
        lookup
    }

    /// Length and symbol of the code on top of `word`.
    #[inline(always)]
    fn get(&self, word: u64) -> Option<(u32, u8)> {
        let (len, symbol) = self.short[(word >> (64 - INDEX)) as usize];
        if len > 0 {
            return Some((u32::from(len), symbol));
        }
        self.get_long(word)
    }

    #[cold]
    fn get_long(&self, word: u64) -> Option<(u32, u8)> {
        let top = (word >> 48) as u32;
        for len in INDEX + 1..=16 {
            let (limit, offset) = self.limits[len as usize];
            if top < limit {
                let index = (top >> (16 - len)) as i32 + offset;
                return Some((len, *self.symbols.get(usize::try_from(index).ok()?)?));
            }
        }
        None
    }
}

/// The value of `size` more bits, which are on top of `word`.
#[inline(always)]
pub(super) const fn extend(word: u64, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    let bits = (word >> (64 - size)) as i32;
    // A first bit of 0 is a negative number, less by all ones.
    let negative = (word as i64 >> 63) as i32 + 1;
    bits - negative * ((1 << size) - 1)
}

/// Differences of first coefficients.
pub(super) struct DcTable {
    /// Bits in the low half, the difference in the high half; 0 where they are more than `INDEX`.
    fast: [i32; ENTRIES],
    lookup: Lookup,
}

impl DcTable {
    /// The table of a code, made now or before.
    pub(super) fn get(code: &Code) -> Result<Arc<Self>> {
        DC.get(code, || Self::new(code))
    }

    pub(super) fn new(code: &Code) -> Result<Box<Self>> {
        let lookup = Lookup::new(code);
        let count = code.counts.iter().map(|&count| usize::from(count)).sum::<usize>();
        if code.symbols[..count].iter().any(|&symbol| symbol > 15) {
            return Err(Reject::Anomaly("a Huffman table of differences of more than 15 bits"));
        }
        let mut fast = [0; ENTRIES];
        for (index, entry) in fast.iter_mut().enumerate() {
            let (len, size) = lookup.short[index];
            let (len, size) = (u32::from(len), u32::from(size));
            if len > 0 && len + size <= INDEX {
                let word = (index as u64) << (64 - INDEX);
                *entry = extend(word << len, size) << 16 | (len + size) as i32;
            }
        }
        Ok(Box::new(Self { fast, lookup }))
    }

    /// How many bits the next difference takes, and what it is. `word` has at least 31 bits.
    #[inline(always)]
    pub(super) fn next(&self, word: u64) -> Option<(u32, i32)> {
        self.next_at((word >> (64 - INDEX)) as usize, word)
    }

    /// The same where the bits that index the table are known.
    #[inline(always)]
    pub(super) fn next_at(&self, index: usize, word: u64) -> Option<(u32, i32)> {
        let entry = self.fast[index];
        if entry != 0 {
            return Some((entry as u32 & 0xff, entry >> 16));
        }
        let (len, size) = self.lookup.get(word)?;
        let size = u32::from(size);
        Some((len + size, extend(word << len, size)))
    }
}

/// Runs of zeros and the coefficients after them.
pub(super) struct AcTable {
    pub(super) fast: [Entry; ENTRIES],
    lookup: Lookup,
}

/// What the bits that index a table say. Each field is loaded by itself: that is fewer instructions than to take a word apart.
///
/// The second coefficient goes to the last place that the position moves over. Where there is but one, or the block ends, the second is
/// a zero, written before the first to its place or to where a zero is.
#[derive(Clone, Copy, PartialEq)]
#[repr(C, align(8))]
pub(super) struct Entry {
    /// The first coefficient, to which the bits that the entry uses are added as a number: those that index it were subtracted, and an
    /// entry may use more, which are the lowest bits of the coefficient.
    first: u16,
    second: i16,
    /// Bits that it uses; 0 where it says nothing.
    pub(super) used: u8,
    /// 64 less them, which a lookup need not subtract.
    rest: u8,
    /// Where the first coefficient goes: one more than how far it is from the position.
    pub(super) first_at: u8,
    /// How far the position moves. 64 more: nothing was done, the entry is for [`AcTable::next`]. 128 more: the block has ended.
    pub(super) move_by: u8,
}

impl Entry {
    /// The coefficients: `word` begins with the bits that index the entry, and `low` is the table's.
    #[inline(always)]
    pub(super) const fn values(self, word: u64, low: u32) -> [i16; 2] {
        [self.first.wrapping_add(self.bits(word, low)).cast_signed(), self.second]
    }

    /// The bits of `word` that it uses, as a number.
    #[inline(always)]
    const fn bits(self, word: u64, low: u32) -> u16 {
        ((word >> (self.rest & 63)) << low) as u16
    }

    /// An entry whose first coefficient is at offset `first.0`, without what the bits say.
    const fn new(used: u32, move_by: u8, first: (u8, i16), second: i16) -> Self {
        let (used, first_at) = (used as u8, first.0 + 1);
        let rest = 64 - used;
        Self { first: first.1.cast_unsigned(), second, used, rest, first_at, move_by }
    }
}

/// What one symbol says.
pub(super) enum Symbol {
    /// So many zeros, then this coefficient.
    Coefficient(usize, i32),
    /// Sixteen zeros.
    Zeros,
    /// The block ends, and `2^n` blocks from it on, and as many more as the next `n` bits say.
    End(u32),
}

impl AcTable {
    /// The table of a code for coefficients as they are, made now or before.
    pub(super) fn get(code: &Code) -> Result<Arc<Self>> {
        AC.get(code, || Ok(Self::new(code, 0)))
    }

    /// Coefficients are shifted left by `low` bits.
    pub(super) fn new(code: &Code, low: u32) -> Box<Self> {
        let nothing = Entry::new(0, LEAVE, (0, 0), 0);
        let mut table = Box::new(Self { fast: [nothing; ENTRIES], lookup: Lookup::new(code) });
        for index in 0..ENTRIES {
            let (len, symbol) = table.lookup.short[index];
            let word = (index as u64) << (64 - INDEX);
            let mut entry = match one(word, INDEX, u32::from(len), symbol, low) {
                None => beyond(word, u32::from(len), symbol, low).unwrap_or(nothing),
                // One more, so that what is written as the second goes to no coefficient that was read.
                Some((bits, END, ..)) => Entry::new(bits, END + 1, (0, 0), 0),
                Some((bits, move_by, offset, value)) => {
                    let rest = word << bits;
                    let (len, symbol) = table.lookup.short[(rest >> (64 - INDEX)) as usize];
                    let second = one(rest, INDEX - bits, u32::from(len), symbol, low);
                    // After 16 zeros, the first coefficient is a zero where one is already.
                    match second {
                        Some((more, further, other_offset, other)) => {
                            debug_assert!(
                                further == END || other == 0 || further == other_offset + 1
                            );
                            Entry::new(bits + more, move_by + further, (offset, value), other)
                        }
                        None => Entry::new(bits, move_by, (offset, value), 0),
                    }
                }
            };
            // What it uses beyond the bits that index it is zero here.
            entry.first = entry.first.wrapping_sub(entry.bits(word, low));
            table.fast[index] = entry;
        }
        table
    }

    /// How many bits the next symbol takes with its coefficient, and what it says. `word` has at least 31 bits.
    #[inline(always)]
    pub(super) fn next(&self, word: u64) -> Option<(u32, Symbol)> {
        let (len, symbol) = self.lookup.get(word)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        Some(if size > 0 {
            (len + size, Symbol::Coefficient(run as usize, extend(word << len, size)))
        } else if run == 15 {
            (len, Symbol::Zeros)
        } else {
            (len, Symbol::End(run))
        })
    }
}

/// Bits, how far the position moves, where the coefficient goes and what it is, of a symbol of a code of `len` bits on top of
/// `word`, where `room` bits hold all of it.
fn one(word: u64, room: u32, len: u32, symbol: u8, low: u32) -> Option<(u32, u8, u8, i16)> {
    let (run, size) = (symbol >> 4, u32::from(symbol & 15));
    if len == 0 || len + size > room {
        return None;
    }
    match (run, size) {
        (0, 0) => Some((len, END, 0, 0)),
        (15, 0) => Some((len, 16, 0, 0)),
        (_, 0) => None,
        _ => {
            let value = i16::try_from(extend(word << len, size) << low).ok()?;
            Some((len + size, run + 1, run, value))
        }
    }
}

/// The entry of a coefficient whose sign is among the bits that index the table, and whose lowest bits are not.
fn beyond(word: u64, len: u32, symbol: u8, low: u32) -> Option<Entry> {
    let (run, size) = (symbol >> 4, u32::from(symbol & 15));
    if len == 0 || len >= INDEX || size == 0 || len + size > LONGEST {
        return None;
    }
    let value = i16::try_from(extend(word << len, size) << low).ok()?;
    // It fits, whatever its lowest bits are.
    i16::try_from(i32::from(value) + (((1 << size) - 1) << low)).ok()?;
    Some(Entry::new(len + size, run + 1, (run, value), 0))
}

/// Symbols of a scan that adds a bit to coefficients. It is read from the lowest bit on, so that bits can be taken as many as
/// needed without counting from the top.
pub(super) struct RefineTable {
    fast: [u32; ENTRIES],
    lookup: Lookup,
}

/// What a symbol of [`RefineTable`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refinement {
    /// Bits it takes.
    pub(super) bits: u32,
    /// Zeros to pass over; of an end, how many bits say how many blocks more have ended.
    pub(super) run: u32,
    pub(super) then: Then,
}

/// What comes after the zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// One more zero.
    Zero = 0,
    /// A coefficient that was zero and is positive.
    Positive = 1,
    /// A coefficient that was zero and is negative.
    Negative = 2,
    /// The end of the block.
    End = 3,
}

impl RefineTable {
    pub(super) fn new(code: &Code) -> Box<Self> {
        let mut table = Box::new(Self { fast: [0; ENTRIES], lookup: Lookup::new(code) });
        for index in 0..ENTRIES {
            let word = (index as u64).reverse_bits();
            let (len, symbol) = table.lookup.short[(word >> (64 - INDEX)) as usize];
            let refinement = refinement(word, u32::from(len), symbol);
            if let Some(Refinement { bits, run, then }) = refinement
                && len > 0
                && bits <= INDEX
            {
                table.fast[index] = bits | run << 8 | (then as u32) << 16;
            }
        }
        table
    }

    /// The symbol of the lowest bits of `word`, at least 17 of them.
    #[inline(always)]
    pub(super) fn next(&self, word: u64) -> Option<Refinement> {
        let entry = self.fast[word as usize % ENTRIES];
        if entry == 0 {
            return self.next_long(word);
        }
        let then = match entry >> 16 {
            0 => Then::Zero,
            1 => Then::Positive,
            2 => Then::Negative,
            _ => Then::End,
        };
        Some(Refinement { bits: entry & 0xff, run: entry >> 8 & 0xff, then })
    }

    #[cold]
    fn next_long(&self, word: u64) -> Option<Refinement> {
        let word = word.reverse_bits();
        let (len, symbol) = self.lookup.get(word)?;
        refinement(word, len, symbol)
    }
}

/// What a symbol says, whose code of `len` bits is on top of `word`; none where it does not belong to such a scan.
const fn refinement(word: u64, len: u32, symbol: u8) -> Option<Refinement> {
    let run = (symbol >> 4) as u32;
    Some(match (symbol & 15, run) {
        (1, _) => {
            let positive = word << len >> 63 == 1;
            let then = if positive { Then::Positive } else { Then::Negative };
            Refinement { bits: len + 1, run, then }
        }
        (0, 15) => Refinement { bits: len, run, then: Then::Zero },
        (0, _) => Refinement { bits: len, run, then: Then::End },
        _ => return None,
    })
}
