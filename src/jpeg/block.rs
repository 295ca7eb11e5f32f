//! The coefficients of a block.
//!
//! Four blocks that lie side by side are a *group*, whose rows lie side by side as well: coefficient `c` of row `r` of block `b`
//! is at `r * 32 + b * 8 + c`. So a kernel loads a row of four blocks as one vector.

use super::bits::{FILLED, Reader};
use super::huffman::{AcTable, DcTable, END, INDEX, LEAVE, LONGEST, Symbol};
use crate::simd::jpeg::Group;

/// Where the coefficients of a block of a group go, in the order of the file: coefficient `k` at `k + 1`. What is past the last one
/// goes to its place.
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
    let mut next = 0_usize;
    while next < 256 {
        let k = next.saturating_sub(1);
        let place = places[if k < 64 { k } else { 63 }];
        order[next] = place / 8 * 32 + block * 8 + place % 8;
        next += 1;
    }
    order
}

/// The order of a band of coefficients, moved so that its last one is the 64th.
pub(super) fn moved(block: usize, last: usize) -> Order {
    let by = 63 - last;
    std::array::from_fn(|next| ORDERS[block][next.min(64).saturating_sub(by)])
}

/// Lookups between two times that the word is filled.
const LOOKUPS: u32 = 3;
const _: () = assert!(LOOKUPS * LONGEST + INDEX <= FILLED, "an index is left after them");
/// The position is past the last one.
const PAST: u8 = LEAVE | END;

/// Reads the coefficients from position `start` on to the end of the block. The reader is filled before and after. Gives how many
/// bits say how many blocks more have ended, and with `NOTE` the positions that are not zero; none where the bits make no sense.
/// `low`: what the table's coefficients are shifted by.
#[inline(always)]
pub(super) fn coefficients<const NOTE: bool>(
    reader: &mut Reader<'_>,
    table: &AcTable,
    order: &Order,
    group: &mut Group,
    start: usize,
    low: u32,
) -> Option<(u32, u64)> {
    let mut position = start as u8;
    let (mut noted, mut before) = (0_u64, 0_u64);
    let mut index = reader.index;
    loop {
        let mut last = 0;
        for _ in 0..LOOKUPS {
            let entry = &table.fast[index];
            last = index;
            let values = entry.values(reader.word, low);
            let first = position.wrapping_add(entry.first_at);
            position = position.wrapping_add(entry.move_by);
            // The second one first: where it is none, it lies on the place of the first, or past the end.
            group[usize::from(order[usize::from(position)])] = values[1];
            group[usize::from(order[usize::from(first)])] = values[0];
            if NOTE {
                before = noted;
                noted |= u64::from(values[0] != 0).wrapping_shl(u32::from(first).wrapping_sub(1));
                noted |=
                    u64::from(values[1] != 0).wrapping_shl(u32::from(position).wrapping_sub(1));
            }
            reader.skip(u32::from(entry.used));
            index = reader.next_index();
            if position & PAST != 0 {
                break;
            }
        }
        if position & PAST == 0 {
            reader.fill();
            continue;
        }
        let last = &table.fast[last];
        if last.used == 0 {
            // Nothing was done: a symbol whose bits say more than a lookup can. What was written has no meaning.
            position -= LEAVE;
            noted = before;
            group[usize::from(order[usize::from(position) + 1])] = 0;
            reader.fill();
        } else if position == 64 || (END..END + 64).contains(&position) {
            reader.fill();
            return Some((0, noted));
        } else {
            // The first symbol may have been the last one, so that the second is of the next block.
            position = position.wrapping_sub(last.move_by);
            reader.seek(reader.pos() - usize::from(last.used));
            noted = before;
            // The second was written to the last place, which is still to come.
            group[usize::from(order[64])] = 0;
        }
        let mut now = usize::from(position);
        let (bits, symbol) = table.next(reader.word)?;
        reader.skip(bits);
        reader.fill();
        match symbol {
            Symbol::Coefficient(run, value) => {
                now += run;
                if now > 63 {
                    return None;
                }
                let value = i16::try_from(value << low).ok()?;
                group[usize::from(order[now + 1])] = value;
                if NOTE {
                    noted |= 1 << now;
                }
                now += 1;
            }
            Symbol::Zeros => now += 16,
            Symbol::End(run) => return Some((run, noted)),
        }
        match now {
            64 => return Some((0, noted)),
            65.. => return None,
            _ => {}
        }
        position = now as u8;
        index = reader.index;
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
    let (bits, difference) = dc.next_at(reader.index, reader.word)?;
    reader.skip(bits);
    // What does not fit is no prediction that libjpeg goes on from.
    let value = i16::try_from(*prediction + difference).ok()?;
    *prediction = i32::from(value);
    group[place * 8] = value;
    reader.fill();
    let (run, _) = coefficients::<false>(reader, ac, &ORDERS[place], group, 1, 0)?;
    (run == 0).then_some(())
}
