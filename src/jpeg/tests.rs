//! Tables and blocks against a decoder that takes one bit at a time, and headers.

use super::bits::{Bits, Reader};
use super::block::{ORDERS, ZIGZAG, coefficients, moved};
use super::header::{open, scans};
use super::huffman::{AcTable, Code, DcTable, RefineTable, Then};
use super::{Decoder, Image, Pixel, Reject, Turn, decode};
use crate::parallel::Watch;
use crate::pipeline::Source;
use crate::simd::Simd;
use std::sync::Arc;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Bits as they are written.
#[derive(Default)]
struct Written {
    bits: Vec<bool>,
}

impl Written {
    fn put(&mut self, value: u32, count: usize) {
        self.bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    /// With stuffing, ones to the end of the byte, and a marker.
    fn file(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for bits in self.bits.chunks(8) {
            let byte =
                (0..8).fold(0, |byte, i| byte << 1 | u8::from(*bits.get(i).unwrap_or(&true)));
            bytes.push(byte);
            if byte == 0xff {
                bytes.push(0);
            }
        }
        bytes.extend([0xff, 0xd9]);
        bytes
    }
}

/// A code of these symbols in any order, of random lengths, with what is written for each of them.
fn code(random: &mut Random, mut symbols: Vec<u8>) -> (Code, Vec<(u8, u32, usize)>) {
    for i in (1..symbols.len()).rev() {
        symbols.swap(i, random.below(i + 1));
    }
    let (mut counts, mut written) = ([0; 16], Vec::new());
    // Codes left at this length; one stays free at the end.
    let (mut free, mut next, mut at) = (1_usize, 0_u32, 0);
    for len in 1..=16 {
        (free, next) = (free * 2, next * 2);
        let rest = symbols.len() - at;
        // What is left must fit into the longer codes.
        let least = if len == 16 { rest } else { 0 };
        let most = rest.min(free - 1);
        let roomy = |take: usize| (free - take) << (16 - len) > rest - take;
        let mut take = if most > least { least + random.below(most - least + 1) } else { least };
        if random.below(2) == 0 {
            take /= 2;
        }
        take = take.max(least);
        while take > 0 && !roomy(take) {
            take -= 1;
        }
        counts[len - 1] = take as u8;
        for &symbol in &symbols[at..at + take] {
            written.push((symbol, next, len));
            next += 1;
        }
        at += take;
        free -= take;
    }
    assert_eq!(at, symbols.len());
    (Code::new(counts, &symbols).expect("a code"), written)
}

fn put_symbol(written: &mut Written, codes: &[(u8, u32, usize)], symbol: u8) {
    let &(_, code, len) = codes.iter().find(|entry| entry.0 == symbol).expect("a symbol");
    written.put(code, len);
}

/// The extra bits of a value of `size` bits.
fn put_value(written: &mut Written, value: i32, size: usize) {
    let bits = if value < 0 { value + (1 << size) - 1 } else { value };
    written.put(bits as u32, size);
}

fn size_of_value(value: i32) -> usize {
    (32 - value.unsigned_abs().leading_zeros()) as usize
}

fn ac_symbols() -> Vec<u8> {
    (0..16_u8).flat_map(|run| (1..12).map(move |size| run << 4 | size)).chain([0, 0xf0]).collect()
}

#[test]
fn blocks_like_bit_by_bit() {
    let mut random = Random(77);
    for case in 0..400 {
        let (code, codes) = code(&mut random, ac_symbols());
        let low = case % 3;
        let last = if case % 2 == 0 { 63 } else { 1 + random.below(63) };
        let table = AcTable::new(&code, low);
        let (mut written, mut expected) = (Written::default(), Vec::new());
        for _ in 0..40 {
            let mut block = [0_i32; 64];
            let (count, bits) = (random.below(1 + last), 1 + random.below(11));
            for _ in 0..count {
                let value = (random.next() as i32) >> (32 - bits) >> 1;
                block[1 + random.below(last)] = value;
            }
            let (mut k, mut zeros) = (1, 0);
            while k <= last {
                if block[k] == 0 {
                    zeros += 1;
                } else {
                    for _ in 0..zeros / 16 {
                        put_symbol(&mut written, &codes, 0xf0);
                    }
                    let size = size_of_value(block[k]);
                    put_symbol(&mut written, &codes, ((zeros % 16) << 4 | size) as u8);
                    put_value(&mut written, block[k], size);
                    zeros = 0;
                }
                k += 1;
            }
            if zeros > 0 {
                put_symbol(&mut written, &codes, 0);
            }
            expected.push(block);
        }
        let file = written.file();
        let mut bits = Bits::new(&file, 0).expect("memory");
        bits.fill(20_000);
        let mut reader = Reader::new(bits.cursor()).expect("bits");
        for (number, block) in expected.iter().enumerate() {
            let place = number % 4;
            let (order, mut group) = (moved(place, last), [0; 256]);
            // What lies beyond the band belongs to other scans.
            let others: Vec<usize> = (last + 1..64).chain([0]).collect();
            for &k in &others {
                group[usize::from(ORDERS[place][k + 1])] = 1234;
            }
            let start = 1 + 63 - last;
            let (run, noted) =
                coefficients::<true>(&mut reader, &table, &order, &mut group, start, low)
                    .expect("a block");
            assert_eq!(run, 0);
            for (k, &value) in block.iter().enumerate().take(last + 1).skip(1) {
                let found = group[usize::from(ORDERS[place][k + 1])];
                assert_eq!(i32::from(found), value << low, "case {case}, coefficient {k}");
                assert_eq!(noted >> (63 - last) >> k & 1 == 1, value != 0, "case {case}, note {k}");
            }
            for &k in &others {
                assert_eq!(
                    group[usize::from(ORDERS[place][k + 1])],
                    1234,
                    "case {case}, other {k}"
                );
            }
            let mine = |at: usize| at % 32 / 8 == place;
            assert!((0..256).all(|at| mine(at) || group[at] == 0), "case {case}: other blocks");
        }
        let pos = reader.pos();
        assert!(bits.take(pos));
        assert_eq!(bits.end(), Some(0xd9), "case {case}: all bits are used");
    }
}

/// No encoder ends a block so; the symbol after it may be in the same entry of the table and is of the next block.
#[test]
fn sixteen_zeros_may_end_a_block() {
    let mut random = Random(1130);
    for case in 0..200 {
        let (code, codes) = code(&mut random, vec![0, 1, 0xf0]);
        let table = AcTable::new(&code, 0);
        let mut written = Written::default();
        let values: Vec<i32> = (0..40 * 15).map(|_| random.below(2) as i32 * 2 - 1).collect();
        for block in values.chunks(15) {
            for &value in block {
                put_symbol(&mut written, &codes, 1);
                put_value(&mut written, value, 1);
            }
            for _ in 0..3 {
                put_symbol(&mut written, &codes, 0xf0);
            }
        }
        let file = written.file();
        let mut bits = Bits::new(&file, 0).expect("memory");
        bits.fill(20_000);
        let mut reader = Reader::new(bits.cursor()).expect("bits");
        for block in values.chunks(15) {
            let mut group = [0; 256];
            let order = &ORDERS[0];
            coefficients::<false>(&mut reader, &table, order, &mut group, 1, 0).expect("a block");
            for k in 1..64 {
                let value = block.get(k - 1).copied().unwrap_or(0);
                let found = group[usize::from(order[k + 1])];
                assert_eq!(i32::from(found), value, "case {case}, coefficient {k}");
            }
        }
    }
}

#[test]
fn differences_like_bit_by_bit() {
    let mut random = Random(5);
    for _ in 0..300 {
        let (code, codes) = code(&mut random, (0..16).collect());
        let table = DcTable::new(&code).expect("a table");
        let mut written = Written::default();
        let values: Vec<i32> =
            (0..100).map(|_| (random.next() as i32) >> (32 - 1 - random.below(15)) >> 1).collect();
        for &value in &values {
            let size = size_of_value(value);
            put_symbol(&mut written, &codes, size as u8);
            put_value(&mut written, value, size);
        }
        let file = written.file();
        let mut bits = Bits::new(&file, 0).expect("memory");
        bits.fill(1000);
        let mut cursor = bits.cursor();
        for &value in &values {
            let (used, found) = table.next(cursor.word().expect("bits")).expect("a difference");
            assert_eq!(found, value);
            cursor.pos += used as usize;
        }
    }
}

#[test]
fn refinements_like_bit_by_bit() {
    let mut random = Random(6);
    for _ in 0..300 {
        let symbols: Vec<u8> = (0..16_u8).flat_map(|run| [run << 4, run << 4 | 1]).collect();
        let (code, codes) = code(&mut random, symbols.clone());
        let table = RefineTable::new(&code);
        for _ in 0..50 {
            let symbol = symbols[random.below(symbols.len())];
            let mut written = Written::default();
            put_symbol(&mut written, &codes, symbol);
            let positive = random.below(2) == 1;
            let (run, then) = match symbol & 15 {
                1 => (symbol >> 4, if positive { Then::Positive } else { Then::Negative }),
                _ if symbol == 0xf0 => (15, Then::Zero),
                _ => (symbol >> 4, Then::End),
            };
            if symbol & 15 == 1 {
                written.put(u32::from(positive), 1);
            }
            let len = written.bits.len();
            written.put(random.next() as u32, 32);
            let word = written.bits.iter().rev().fold(0, |word, &bit| word << 1 | u64::from(bit));
            let found = table.next(word).expect("a symbol");
            let found = (found.bits as usize, found.run, found.then);
            assert_eq!(found, (len, u32::from(run), then));
        }
        // A coefficient of two bits does not belong there.
        let (odd, codes) = self::code(&mut random, vec![2]);
        let (_, bits, len) = codes[0];
        let word = u64::from(bits).reverse_bits() >> (64 - len);
        assert!(RefineTable::new(&odd).next(word).is_none());
    }
}

#[test]
fn codes_that_are_none_are_refused() {
    let mut counts = [0; 16];
    counts[0] = 2;
    assert!(Code::new(counts, &[0, 1]).is_err(), "all ones");
    counts[0] = 1;
    assert!(Code::new(counts, &[0]).is_ok());
    (counts[1], counts[2]) = (1, 3);
    assert!(Code::new(counts, &[0, 1, 2, 3, 4]).is_err(), "too many");
    counts[2] = 0;
    let code = Code::new(counts, &[0, 16]).expect("a code");
    assert!(DcTable::new(&code).is_err(), "a difference of 16 bits");
}

#[test]
fn coefficients_go_along_the_diagonals() {
    assert_eq!(ZIGZAG[..10], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]);
    assert_eq!(ZIGZAG[60..], [47, 55, 62, 63]);
    let mut seen = ZIGZAG;
    seen.sort_unstable();
    assert!(seen.iter().enumerate().all(|(i, &place)| i == usize::from(place)));
}

/// A segment.
fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() + 2) as u16;
    [&[0xff, marker], &len.to_be_bytes()[..], body].concat()
}

/// A grey file of 8 by 8, every sample 128, with these segments before its frame.
fn file(before: &[Vec<u8>]) -> Vec<u8> {
    let mut counts = [0; 17];
    counts[1] = 1;
    let dc = [&counts[..], &[0]].concat();
    counts[0] = 0x10;
    let ac = [&counts[..], &[0]].concat();
    let table = [&[0][..], &[1; 64]].concat();
    let parts = [
        vec![0xff, 0xd8],
        before.concat(),
        segment(0xdb, &table),
        segment(0xc0, &[8, 0, 8, 0, 8, 1, 1, 0x22, 0]),
        segment(0xc4, &dc),
        segment(0xc4, &ac),
        segment(0xda, &[1, 1, 0, 0, 63, 0]),
        // A difference of no bits, the end of the block, and ones.
        vec![0b0011_1111, 0xff, 0xd9],
    ];
    parts.concat()
}

fn exif(entries: &[(u16, u16, u32, u32)]) -> Vec<u8> {
    let mut body = b"Exif\0\0MM\0*\0\0\0\x08".to_vec();
    body.extend((entries.len() as u16).to_be_bytes());
    for &(tag, kind, count, value) in entries {
        body.extend(tag.to_be_bytes());
        body.extend(kind.to_be_bytes());
        body.extend(count.to_be_bytes());
        body.extend(value.to_be_bytes());
    }
    body.extend([0; 4]);
    segment(0xe1, &body)
}

#[test]
fn a_small_file() {
    let data = file(&[]);
    let header = open(&data).expect("a header");
    assert_eq!((header.size(), header.subsampling(), header.blocks()), ((8, 8), "grey", 1));
    assert_eq!((header.orientation(), header.is_allowed()), (Some(1), true));
    assert_eq!(scans(&data, &header), 1);
    for simd in Simd::NAMES.into_iter().filter_map(Simd::detect) {
        let mut pixels = [0; 192];
        decode(&data, &header, simd, Pixel::Rgb, &mut pixels, &|| false).expect("pixels");
        assert_eq!(pixels, [128; 192]);
        decode(&data, &header, simd, Pixel::Grey, &mut pixels[..64], &|| false).expect("pixels");
        // Whatever is cut off at the end, or put in, is found; bytes after the end are not looked at.
        for len in 0..data.len() {
            let Ok(header) = open(&data[..len]) else { continue };
            let result = decode(&data[..len], &header, simd, Pixel::Rgb, &mut pixels, &|| false);
            assert!(matches!(result, Err(Reject::Anomaly(_))), "{len} of {} bytes", data.len());
        }
        let end = data.len() - 2;
        for more in [&[0x55][..], &[0xff, 0xd0], &[0xff]] {
            let data = [&data[..end], more, &data[end..]].concat();
            let result = decode(&data, &header, simd, Pixel::Rgb, &mut pixels, &|| false);
            assert!(matches!(result, Err(Reject::Anomaly(_))), "{more:x?} before the end");
        }
        let longer = [&data[..], b"more"].concat();
        decode(&longer, &header, simd, Pixel::Rgb, &mut pixels, &|| false).expect("pixels");
        let stopped = decode(&data, &header, simd, Pixel::Rgb, &mut pixels, &|| true);
        assert_eq!(stopped, Err(Reject::Failed(crate::error::Error::Interrupted)));
    }
}

#[test]
fn orientation_of_plain_exif_alone() {
    let orientation = |before: &[Vec<u8>]| {
        let header = open(&file(before)).expect("a header");
        (header.orientation(), header.is_allowed())
    };
    let turned = exif(&[(0x0112, 3, 1, 6 << 16)]);
    assert_eq!(orientation(std::slice::from_ref(&turned)), (Some(6), true));
    assert_eq!(orientation(&[exif(&[(0x010f, 2, 4, 0)])]), (Some(1), true));
    let xmp = segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x/>");
    assert_eq!(orientation(&[turned.clone(), xmp]), (None, true));
    for odd in [
        exif(&[(0x0112, 3, 1, 9 << 16)]),
        exif(&[(0x0112, 4, 1, 6)]),
        exif(&[(0x0112, 3, 2, 6 << 16)]),
        exif(&[(0x011a, 5, 1, 4000), (0x0112, 3, 1, 6 << 16)]),
        exif(&[(0x0110, 77, 1, 0)]),
        segment(0xe1, b"Exif\0\0MM\0*\0\0\0\x08\0\x05"),
        [turned.clone(), turned].concat(),
    ] {
        assert_eq!(orientation(&[odd]), (None, false));
    }
}

#[test]
fn segments_that_pillow_refuses_or_reads_otherwise() {
    let allowed = |before: &[Vec<u8>]| open(&file(before)).map(|header| header.is_allowed());
    let jfif = segment(0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0");
    assert_eq!(allowed(std::slice::from_ref(&jfif)), Ok(true));
    assert_eq!(allowed(&[segment(0xe2, b"ICC_PROFILE\0\x01\x01abc")]), Ok(true));
    assert_eq!(allowed(&[segment(0xe2, b"ICC_PROFILE\0\x01")]), Ok(false));
    assert_eq!(allowed(&[segment(0xe2, b"MPF\0MM\0*")]), Ok(false));
    let photoshop = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x02ab";
    assert_eq!(allowed(&[segment(0xed, photoshop)]), Ok(true));
    assert_eq!(allowed(&[segment(0xed, &photoshop[..20])]), Ok(false));
    assert!(allowed(&[segment(0xe0, b"JFIF\0\x01")]).is_err(), "a short one");
    assert!(allowed(&[segment(0xee, b"Adobe\0d")]).is_err(), "a short one");
    assert!(allowed(&[segment(0xc0, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0])]).is_err(), "two frames");
    assert!(allowed(&[segment(0xdc, &[0, 8])]).is_err(), "lines defined later");
    assert!(allowed(&[vec![0]]).is_err(), "bytes between segments");
    assert_eq!(allowed(&[vec![0xff, 0xff]]), Ok(true), "a segment may be padded");
}

/// The segment of a Huffman table, from codes in the order that [`code`] gives them in.
fn code_segment(kind: u8, codes: &[(u8, u32, usize)]) -> Vec<u8> {
    let mut body = vec![0; 17];
    body[0] = kind;
    for &(symbol, _, len) in codes {
        body[len] += 1;
        body.push(symbol);
    }
    segment(0xc4, &body)
}

/// A file of luma of these factors (horizontal, vertical) and two more components of one block a unit, of random coefficients.
fn coloured(
    random: &mut Random,
    (height, width): (usize, usize),
    (across, down): (usize, usize),
    restart: usize,
) -> Vec<u8> {
    let (_, dc) = code(random, (0..9).collect());
    let (_, ac) = code(random, ac_symbols());
    let table = [&[0][..], &[3; 64]].concat();
    let sides = [height as u16, width as u16].map(u16::to_be_bytes).concat();
    let factors = (across << 4 | down) as u8;
    let frame = [&[8][..], &sides, &[3, 1, factors, 0, 2, 0x11, 0, 3, 0x11, 0]].concat();
    let mut data = [
        vec![0xff, 0xd8],
        segment(0xdb, &table),
        segment(0xc0, &frame),
        code_segment(0, &dc),
        code_segment(0x10, &ac),
        segment(0xdd, &(restart as u16).to_be_bytes()),
        segment(0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]),
    ]
    .concat();
    let units = height.div_ceil(8 * down) * width.div_ceil(8 * across);
    let mut written = Written::default();
    for unit in 0..units {
        if restart > 0 && unit > 0 && unit.is_multiple_of(restart) {
            let coded = written.file();
            data.extend(&coded[..coded.len() - 2]);
            data.extend([0xff, 0xd0 + (unit / restart - 1) as u8 % 8]);
            written = Written::default();
        }
        for _ in 0..across * down + 2 {
            let difference = random.below(15) as i32 - 7;
            let size = size_of_value(difference);
            put_symbol(&mut written, &dc, size as u8);
            put_value(&mut written, difference, size);
            for _ in 0..random.below(5) {
                let value = 1 + random.below(30) as i32;
                let size = size_of_value(value);
                put_symbol(&mut written, &ac, (random.below(4) << 4 | size) as u8);
                put_value(&mut written, value, size);
            }
            put_symbol(&mut written, &ac, 0);
        }
    }
    data.extend(written.file());
    data
}

/// Size, factors (horizontal, vertical) and units between restarts.
type Kind = ((usize, usize), (usize, usize), usize);

const KINDS: [Kind; 8] = [
    ((70, 300), (2, 2), 0),
    ((33, 140), (1, 1), 3),
    ((17, 131), (2, 1), 0),
    ((260, 9), (2, 2), 1),
    ((40, 280), (1, 2), 7),
    ((21, 290), (4, 1), 0),
    ((30, 401), (3, 1), 0),
    ((1, 1), (2, 2), 0),
];

fn backends() -> impl Iterator<Item = Simd> {
    Simd::NAMES.into_iter().filter_map(Simd::detect)
}

fn whole(data: &[u8], simd: Simd) -> Option<Vec<u8>> {
    let header = open(data).ok()?;
    let (height, width) = header.size();
    let mut pixels = vec![0; height * width * 3];
    decode(data, &header, simd, Pixel::Rgb, &mut pixels, &|| false).ok()?;
    Some(pixels)
}

/// Rows of a file that another thread decodes, as far as `rows`; whether all is well with it.
fn by_two(data: &[u8], simd: Simd, rows: usize) -> Option<Vec<u8>> {
    let header = open(data).ok()?;
    let (height, width) = header.size();
    let mut pixels = vec![0; height * width * 3];
    let (mut image, ahead) = Image::divided(simd, data, &header, false, None).ok()?;
    let read = || {
        let mut made = 0;
        while made < rows.min(height) {
            image.advance().ok()?;
            let ready = image.rows();
            let left = pixels[made * width * 3..].chunks_exact_mut(width * 3);
            for (y, row) in (made..ready).zip(left) {
                image.row(y, Pixel::Rgb, row);
            }
            made = ready;
        }
        if rows < height {
            // Nobody wants the rest, and the other thread ends.
            drop(image);
            return None;
        }
        image.finish(&|| false).ok()
    };
    crate::parallel::beside(move || ahead.run(simd), read).expect("a thread")?;
    Some(pixels)
}

#[test]
fn two_threads_like_one() {
    let mut random = Random(0x5eed);
    for (size, factors, restart) in KINDS {
        let data = coloured(&mut random, size, factors, restart);
        for simd in backends() {
            let expected = whole(&data, simd).expect("pixels");
            assert_eq!(by_two(&data, simd, usize::MAX).as_ref(), Some(&expected));
            for rows in [0, 1, size.0 / 2] {
                assert_eq!(by_two(&data, simd, rows.min(size.0 - 1)), None);
            }
            for _ in 0..40 {
                let mut damaged = data.clone();
                let at = damaged.len() / 3 + random.below(damaged.len() * 2 / 3);
                match random.below(3) {
                    0 => damaged[at] ^= 1 << random.below(8),
                    1 => damaged.truncate(at),
                    _ => damaged.insert(at, random.below(256) as u8),
                }
                let (one, two) = (whole(&damaged, simd), by_two(&damaged, simd, usize::MAX));
                assert!(one == two, "{size:?} {factors:?} under {}", simd.name());
            }
        }
    }
}

#[test]
fn turned_is_stored_in_another_order() {
    let mut random = Random(0x7e57);
    let watch = Watch::new(None);
    for ((height, width), factors, restart) in KINDS {
        let data = coloured(&mut random, (height, width), factors, restart);
        let header = open(&data).expect("a header");
        for simd in backends() {
            let pixels = whole(&data, simd).expect("pixels");
            for orientation in 1..=8 {
                let turn = Turn::new(orientation).expect("a turn");
                let mut out = vec![0; pixels.len()];
                let decoder = Decoder::new(&data, &header, simd).turned(turn);
                decoder.copy_to(&mut out, &watch).expect("pixels");
                let sideways = orientation > 4;
                let columns = if sideways { height } else { width };
                for (at, pixel) in out.as_chunks::<3>().0.iter().enumerate() {
                    let (y, x) = (at / columns, at % columns);
                    let (row, column) = if sideways { (x, y) } else { (y, x) };
                    let row =
                        if matches!(orientation, 3 | 4 | 6 | 7) { height - 1 - row } else { row };
                    let column = if matches!(orientation, 2 | 3 | 7 | 8) {
                        width - 1 - column
                    } else {
                        column
                    };
                    let start = (row * width + column) * 3;
                    assert!(
                        pixel[..] == pixels[start..start + 3],
                        "({y}, {x}) of {height} x {width}, {factors:?}, orientation {orientation}, {}",
                        simd.name()
                    );
                }
            }
        }
    }
}

/// Rows from any one on, as views ask for that show a part of an image.
#[test]
fn turned_rows_from_any_on() {
    let mut random = Random(0xa11);
    let data = coloured(&mut random, (150, 411), (2, 2), 0);
    let header = open(&data).expect("a header");
    let simd = Simd::choose(None).expect("a backend");
    for orientation in 1..=8 {
        let decoder =
            Decoder::new(&data, &header, simd).turned(Turn::new(orientation).expect("a turn"));
        let (height, width) = Source::size(&decoder);
        let mut all = vec![0; height * width * 3];
        decoder.copy_to(&mut all, &Watch::new(None)).expect("pixels");
        for _ in 0..10 {
            let mut rows = decoder.open().expect("rows");
            let mut first = random.below(height);
            loop {
                let window = rows.window(first, 8).expect("rows");
                let end = window.first + window.image.size().0;
                assert!(
                    window.first <= first && end >= height.min(first + 8),
                    "orientation {orientation}"
                );
                for y in first..end {
                    let mut row = vec![0; width * 3];
                    window.image.row(y - window.first).copy_to(&mut row);
                    assert!(
                        row == all[y * width * 3..][..width * 3],
                        "row {y}, orientation {orientation}"
                    );
                }
                if end == height {
                    break;
                }
                first = (end - random.below(3)).max(first + 1);
            }
        }
    }
}

#[test]
fn tables_are_made_once() {
    let mut random = Random(0xcafe);
    let (one, _) = code(&mut random, ac_symbols());
    let first = AcTable::get(&one).expect("a table");
    assert!(Arc::ptr_eq(&first, &AcTable::get(&one).expect("a table")));
    for _ in 0..20 {
        let (other, _) = code(&mut random, ac_symbols());
        let table = AcTable::get(&other).expect("a table");
        assert!(table.fast == AcTable::new(&other, 0).fast);
    }
    assert!(AcTable::get(&one).expect("a table").fast == first.fast);
}
