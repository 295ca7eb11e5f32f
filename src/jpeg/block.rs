//! The coefficients of a block.
//!
//! Four blocks that lie side by side are a *group*, whose rows lie side by side as well: coefficient `c` of row `r` of block `b`
//! is at `r * 32 + b * 8 + c`. So a kernel loads a row of four blocks as one vector.

use super::bits::{FILLED, Reader};
use super::huffman::{AcTable, DcTable, INDEX, LONGEST, Symbol};
use crate::simd::jpeg::Group;

/// Where the coefficients of a block of a group go, in the order of the file. What is past the last one goes to its place.
pub(super) type Order = [u8; 256];

/// The [`Order`] of each block of a group.
pub(super) static ORDERS: [Order; 4] = [order(0), order(1), order(2), order(3)];

/// Rows and columns in the order of the file, as `row * 8 + column`.
pub(super) static ZIGZAG: [u8; 64] = zigzag();

const fn zigzag() -> [u8; 64] {
    let mut places = [0; 64];
    let (mut row, mut column) = (0_u8, 0_u8);
    let mut k = 0;
    while k < 64 {
        places[k] = row * 8 + column;
        // Up to the right on even diagonals, down to the left on odd ones.
        if (row + column) % 2 == 0 {
            if column == 7 {
                row += 1;
            } else if row == 0 {
                column += 1;
            } else {
                row -= 1;
                column += 1;
            }
        } else if row == 7 {
            column += 1;
        } else if column == 0 {
            row += 1;
        } else {
            row += 1;
            column -= 1;
        }
        k += 1;
    }
    places
}

const fn order(block: u8) -> Order {
    let places = zigzag();
    let mut order = [0; 256];
    let mut k = 0;
    while k < 256 {
        let place = places[if k < 64 { k } else { 63 }];
        order[k] = place / 8 * 32 + block * 8 + place % 8;
        k += 1;
    }
    order
}

/// The order of a band of coefficients, moved so that its last one is the 64th.
pub(super) fn moved(block: usize, last: usize) -> Order {
    let by = 63 - last;
    std::array::from_fn(|k| ORDERS[block][k.min(63).saturating_sub(by)])
}

/// Lookups between two times that the word is filled.
const LOOKUPS: u32 = 3;
/// Bits of a filled word that may be used up before coefficients are read.
pub(super) const BEFORE: u32 = FILLED - LOOKUPS * LONGEST;
/// The bits used.
const USED: u64 = 0xff;
/// The position is past the last one.
const PAST: u64 = 0xc000;

/// Reads the coefficients from position `start` on to the end of the block. Of the reader's word, when it was filled last, at
/// most [`BEFORE`] bits are used up; it is filled at the end. Gives how many bits say how many blocks more have ended, and with
/// `NOTE` the positions that are not zero; none where the bits make no sense. `low`: what the table's coefficients are shifted by.
#[inline(always)]
pub(super) fn coefficients<const NOTE: bool>(
    reader: &mut Reader<'_>,
    table: &AcTable,
    order: &Order,
    group: &mut Group,
    start: usize,
    low: u32,
) -> Option<(u32, u64)> {
    let mut state = (start as u64) << 8;
    let (mut noted, mut before) = (0_u64, 0_u64);
    loop {
        let mut last = 0;
        for _ in 0..LOOKUPS {
            let entry = table.fast[(reader.word >> (64 - INDEX)) as usize];
            let position = (state >> 8) as u8;
            let second = position.wrapping_add((entry >> 24) as u8);
            let first = position.wrapping_add((entry >> 16) as u8);
            // What an entry uses beyond the bits that index the table are the lowest bits of its coefficient.
            let beyond =
                (reader.word & (u64::MAX >> INDEX)) >> ((entry as u32).wrapping_neg() & 63);
            let value = ((entry >> 32) as i16).wrapping_add((beyond << low) as i16);
            let values = [value, (entry >> 48) as i16];
            // The second one first: where it is none, it may lie on the place of the first.
            group[usize::from(order[usize::from(second)])] = values[1];
            group[usize::from(order[usize::from(first)])] = values[0];
            if NOTE {
                before = noted;
                noted |= u64::from(values[0] != 0).wrapping_shl(u32::from(first));
                noted |= u64::from(values[1] != 0).wrapping_shl(u32::from(second));
            }
            reader.word = reader.word.wrapping_shl(entry as u32);
            state += entry & 0xffff;
            last = entry;
            if state & PAST != 0 {
                break;
            }
        }
        reader.used((state & USED) as usize);
        state &= !USED;
        if state & PAST == 0 {
            reader.fill()?;
            continue;
        }
        let position = state >> 8;
        if last & USED == 0 {
            // Nothing was done: a symbol whose bits say more than a lookup can. What was written has no meaning.
            state -= 64 << 8;
            noted = before;
            group[usize::from(order[(state >> 8) as usize])] = 0;
            reader.fill()?;
        } else if position == 64 || (128..192).contains(&position) {
            reader.fill()?;
            return Some((0, noted));
        } else {
            // The first symbol may have been the last one, so that the second is of the next block.
            state -= last & 0xff00;
            reader.seek(reader.pos() - (last & USED) as usize)?;
            noted = before;
        }
        let mut position = (state >> 8) as usize;
        let (bits, symbol) = table.next(reader.word)?;
        reader.skip(bits);
        reader.fill()?;
        match symbol {
            Symbol::Coefficient(run, value) => {
                position += run;
                if position > 63 {
                    return None;
                }
                let value = i16::try_from(value << low).ok()?;
                group[usize::from(order[position])] = value;
                if NOTE {
                    noted |= 1 << position;
                }
                position += 1;
            }
            Symbol::Zeros => position += 16,
            Symbol::End(run) => return Some((run, noted)),
        }
        match position {
            64 => return Some((0, noted)),
            65.. => return None,
            _ => {}
        }
        state = (position as u64) << 8;
    }
}

/// Reads all coefficients of a block. The reader is filled before and after.
#[inline(always)]
pub(super) fn whole(
    reader: &mut Reader<'_>,
    dc: &DcTable,
    ac: &AcTable,
    prediction: &mut i32,
    group: &mut Group,
    place: usize,
) -> Option<()> {
    let (bits, difference) = dc.next(reader.word)?;
    reader.skip(bits);
    // What does not fit is no prediction that libjpeg goes on from.
    let value = i16::try_from(*prediction + difference).ok()?;
    *prediction = i32::from(value);
    group[place * 8] = value;
    if bits > BEFORE {
        reader.fill()?;
    }
    let (run, _) = coefficients::<false>(reader, ac, &ORDERS[place], group, 1, 0)?;
    (run == 0).then_some(())
}
