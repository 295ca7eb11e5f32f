//! Entropy-coded bytes to bits: stuffing is taken out first, a window at a time.

use super::huffman::INDEX;

/// Zeros after the last byte, so that a word can be read at any bit of it.
const PAD: usize = 16;
/// Bytes of a window with them.
const SIZE: usize = 32 << 10;
/// Bytes of the segment that a window holds.
const WINDOW: usize = SIZE - PAD;
/// The bytes that a word can be read from at each of [`SIZE`] places.
const READABLE: usize = SIZE + size_of::<u64>();

/// The bytes of one segment of a scan (up to a marker), without stuffing, of which a window is held.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte of the file.
    at: usize,
    window: Vec<u8>,
    /// Bytes of the window that are the segment's.
    len: usize,
    /// Bits of the window that are used up.
    pos: usize,
    /// Whether the segment ends with the window: at `at` there is a marker, or nothing.
    ended: bool,
}

impl<'a> Bits<'a> {
    /// From byte `at` of a file on.
    pub(super) fn new(data: &'a [u8], at: usize) -> crate::error::Result<Self> {
        let window = crate::error::zeroed(READABLE)?;
        Ok(Self { data, at, window, len: 0, pos: 0, ended: false })
    }

    /// Makes sure that the window holds the next `need` bytes, or all that are left, and zeros after them.
    #[inline(always)]
    pub(super) fn fill(&mut self, need: usize) {
        if !self.ended && self.len.saturating_sub(self.pos / 8) < need {
            self.refill();
        }
    }

    #[inline(never)]
    fn refill(&mut self) {
        let used = self.pos / 8;
        self.window.copy_within(used.min(self.len)..self.len, 0);
        self.len -= used.min(self.len);
        self.pos -= used * 8;
        let (read, written, ended) =
            destuff(&self.data[self.at..], &mut self.window[self.len..WINDOW]);
        self.at += read;
        self.len += written;
        self.ended = ended;
        self.window[self.len..self.len + PAD].fill(0);
    }

    /// A place to read from, until `take` says how far.
    #[inline(always)]
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { bytes: &self.window, pos: self.pos }
    }

    /// Goes on to where a cursor came; false where that is past the end of the segment.
    #[inline(always)]
    pub(super) fn take(&mut self, pos: usize) -> bool {
        self.pos = pos;
        pos <= self.len * 8
    }

    /// Ends the segment: its marker, where less than a byte was left before it.
    pub(super) fn end(&mut self) -> Option<u8> {
        self.fill(1);
        let whole = self.ended && self.pos <= self.len * 8 && self.len * 8 - self.pos < 8;
        if !whole || self.data.get(self.at) != Some(&0xff) {
            return None;
        }
        self.data.get(self.at + 1).copied()
    }

    /// Goes on after the marker that `end` returned.
    pub(super) fn next_segment(&mut self) {
        self.at += 2;
        (self.len, self.pos, self.ended) = (0, 0, false);
    }

    /// Where the marker is that ended the segment.
    pub(super) const fn at(&self) -> usize {
        self.at
    }
}

/// Copies bytes up to a marker, the zero after each 0xff left out, until either side is full: how many were read and
/// written, and whether the end was met.
fn destuff(from: &[u8], to: &mut [u8]) -> (usize, usize, bool) {
    const RUN: usize = 32;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (mut read, mut written) = (0, 0);
    loop {
        // Most bytes lie in runs without one that is 0xff, which are copied as vectors.
        while let Some(bytes) = from[read..].first_chunk::<RUN>()
            && let Some(room) = to[written..].first_chunk_mut::<RUN>()
        {
            *room = *bytes;
            let found = bytes.iter().fold(0, |found, &byte| found | u8::from(byte == 0xff));
            if found == 0 {
                read += RUN;
                written += RUN;
                continue;
            }
            // Where the first one is, without a branch, which would be mispredicted. A set bit is the top one of a byte.
            let mut clean = RUN;
            for (number, word) in bytes.as_chunks::<8>().0.iter().enumerate().rev() {
                let zero = !u64::from_le_bytes(*word);
                let found = zero.wrapping_sub(ONES) & !zero & (ONES << 7);
                let at = number * 8 + found.trailing_zeros() as usize / 8;
                clean = std::hint::select_unpredictable(found == 0, clean, at);
            }
            let (at, end) = (read + clean, written + clean);
            if from.get(at + 1) != Some(&0) {
                return (at, end, true);
            }
            read = at + 2;
            written = end + 1;
        }
        // Eight at a time; the lowest set bit is that of the first 0xff.
        let found = loop {
            let Some(bytes) = from[read..].first_chunk::<8>() else { break 0 };
            let Some(room) = to[written..].first_chunk_mut::<8>() else { break 0 };
            *room = *bytes;
            let zero = !u64::from_le_bytes(*bytes);
            let found = zero.wrapping_sub(ONES) & !zero & (ONES << 7);
            if found != 0 {
                let clean = found.trailing_zeros() as usize / 8;
                read += clean;
                written += clean;
                break found;
            }
            read += 8;
            written += 8;
        };
        if written == to.len() {
            return (read, written, false);
        }
        let Some(&byte) = from.get(read) else { return (read, written, true) };
        if byte != 0xff {
            debug_assert_eq!(found, 0, "a word with 0xff stops there");
            to[written] = byte;
            read += 1;
        } else if from.get(read + 1) == Some(&0) {
            to[written] = byte;
            read += 2;
        } else {
            return (read, written, true);
        }
        written += 1;
    }
}

/// Reads bits of a window.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// In bits.
    pub(super) pos: usize,
}

impl Cursor<'_> {
    /// At least 57 bits from `pos` on, the first one on top; none past the window.
    #[inline(always)]
    pub(super) fn word(&self) -> Option<u64> {
        let bytes = self.bytes.get(self.pos >> 3..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*bytes) << (self.pos & 7))
    }

    /// The next bit.
    #[inline(always)]
    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.pos >> 3)?;
        let bit = byte >> (7 - (self.pos & 7)) & 1;
        self.pos += 1;
        Some(bit == 1)
    }
}

/// Reads bits of a window from a word that is filled up, not loaded anew: then nobody waits for the load.
pub(super) struct Reader<'a> {
    bytes: &'a [u8; READABLE],
    /// The first byte that is not wholly in the word.
    at: usize,
    /// The next bits, from the top on; zeros after them.
    pub(super) word: u64,
    /// How many they are, in the lowest six bits.
    count: usize,
    /// The bits that index a table next, known before the word was filled: nobody waits for that either.
    pub(super) index: usize,
}

/// Bits that a word has at least after it was filled.
pub(super) const FILLED: u32 = 56;

impl<'a> Reader<'a> {
    /// From a cursor on, filled.
    #[inline(always)]
    pub(super) fn new(cursor: Cursor<'a>) -> Option<Self> {
        let bytes = cursor.bytes.first_chunk()?;
        let mut reader = Self { bytes, at: 0, word: 0, count: 0, index: 0 };
        reader.seek(cursor.pos);
        Some(reader)
    }

    /// Goes to a bit, and fills the word.
    #[inline(always)]
    pub(super) fn seek(&mut self, pos: usize) {
        (self.at, self.word, self.count) = (pos / 8, 0, 0);
        self.fill();
        self.skip(pos as u32 % 8);
        self.fill();
    }

    /// Makes the word, which must have the bits of an index, have 56 bits or more. Past the window they have no meaning, which shows at
    /// the end: [`Bits::take`].
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        self.index = self.next_index();
        let at = self.at % SIZE;
        let mut bytes = [0; size_of::<u64>()];
        bytes.copy_from_slice(&self.bytes[at..at + size_of::<u64>()]);
        self.word |= u64::from_be_bytes(bytes) >> (self.count & 63);
        self.at += (63 - (self.count & 63)) >> 3;
        self.count |= FILLED as usize;
    }

    /// The bits that index a table.
    #[inline(always)]
    pub(super) const fn next_index(&self) -> usize {
        (self.word >> (64 - INDEX)) as usize
    }

    /// Uses bits up, fewer than 64 and no more than there are.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.word = self.word.wrapping_shl(bits);
        self.count = self.count.wrapping_sub(bits as usize);
    }

    /// The bit of the window that is next.
    #[inline(always)]
    pub(super) fn pos(&self) -> usize {
        self.at * 8 - (self.count & 63)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, byte by byte.
    fn plain(from: &[u8], room: usize) -> (usize, Vec<u8>, bool) {
        let (mut at, mut out) = (0, Vec::new());
        while out.len() < room {
            match from[at..] {
                [0xff, 0, ..] => at += 1,
                [0xff, ..] | [] => return (at, out, true),
                _ => {}
            }
            out.push(if at > 0 && from[at] == 0 && from[at - 1] == 0xff { 0xff } else { from[at] });
            at += 1;
        }
        (at, out, false)
    }

    #[test]
    fn takes_stuffing_out() {
        let mut state = 1_u64;
        for case in 0..20_000 {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state >> 20
            };
            let bytes: Vec<u8> = (0..next() % 70)
                .flat_map(|_| match next() % 12 {
                    0 => vec![0xff, 0],
                    1 if case % 4 == 0 => vec![0xff, next() as u8],
                    2 => vec![0],
                    3 => vec![0xfe, 0x01],
                    _ => vec![(next() % 255) as u8],
                })
                .collect();
            let room = (next() % 80) as usize;
            let mut out = vec![0x55; room];
            let (read, written, ended) = destuff(&bytes, &mut out);
            let (at, expected, end) = plain(&bytes, room);
            assert_eq!((read, &out[..written], ended), (at, &expected[..], end), "{bytes:x?}");
        }
    }

    #[test]
    fn reads_through_windows() {
        let data: Vec<u8> =
            (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7f).collect();
        let mut file = data.clone();
        file.extend([0xff, 0xd9]);
        let mut bits = Bits::new(&file, 0).expect("memory");
        for chunk in data.chunks(100) {
            bits.fill(100);
            let mut cursor = bits.cursor();
            let mut reader = Reader::new(cursor).expect("a window");
            for &byte in chunk {
                assert_eq!(cursor.word().expect("a word") >> 56, u64::from(byte));
                cursor.pos += 8;
                assert_eq!(reader.word >> 56, u64::from(byte));
                reader.skip(8);
                assert_eq!(reader.pos(), cursor.pos);
                if byte % 5 < 3 {
                    reader.fill();
                    assert_eq!(reader.index, reader.next_index());
                }
                if reader.pos() + 48 > reader.at * 8 {
                    reader.seek(cursor.pos);
                }
            }
            assert!(bits.take(cursor.pos));
        }
        assert_eq!((bits.end(), bits.at()), (Some(0xd9), data.len()));
    }
}
