//! Every backend that this CPU has returns what the plain version returns.

use super::{Chroma, Group, Kernels, STEP, scalar};
use crate::simd::Simd;
use crate::with_backend;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A word of so many bits, with its sign.
    fn word(&mut self, bits: u64) -> i16 {
        (self.next() as i16) >> (16 - bits.clamp(1, 16))
    }
}

fn cases(default: usize) -> usize {
    std::env::var("DYNRES_CASES").ok().map_or(default, |count| count.parse().expect("DYNRES_CASES"))
}

/// Coefficients as encoders make them, and as none does.
fn group(random: &mut Random) -> Group {
    let mut group = [0; 256];
    for block in 0..4 {
        let (count, bits) = (random.below(66), 1 + random.below(16));
        let rows = if random.below(3) == 0 { 1 } else { 1 + random.below(8) };
        for _ in 0..count {
            let at = random.below(rows) * 32 + block * 8 + random.below(8);
            group[at as usize] = random.word(bits);
        }
        if random.below(8) == 0 {
            group[block as usize * 8] =
                [i16::MIN, i16::MAX, 8191, 8192, -8192, -8193][random.below(6) as usize];
        }
    }
    group
}

fn table(random: &mut Random) -> [i16; 64] {
    let (bits, fixed) = (random.below(17), random.below(4) == 0);
    std::array::from_fn(|_| match bits {
        0 => 1,
        _ if fixed => (1_i32 << (bits - 1)) as i16,
        _ => (random.next() as i32 & ((1 << bits) - 1)) as i16,
    })
}

#[test]
fn transforms_like_the_plain_version() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for case in 0..cases(20_000) {
        let (coefficients, table) = (group(&mut random), table(&mut random));
        let stride = 32 + random.below(3) as usize * 7;
        let len = 7 * stride + 32 + random.below(2) as usize;
        let mut expected = vec![0xa5; len];
        scalar::idct(&mut coefficients.clone(), &table, &mut expected, stride);
        for simd in Simd::NAMES.into_iter().filter_map(Simd::detect) {
            let (mut coefficients, mut out) = (coefficients, vec![0xa5; len]);
            with_backend!(simd, backend => {
                backend.idct(&mut coefficients, &table, &mut out, stride);
            });
            assert!(out == expected, "case {case} under {}", simd.name());
            assert!(coefficients == [0; 256], "case {case} under {}: not cleared", simd.name());
        }
    }
}

/// Exhaustive over the differences of a pixel, and over luma at both ends and in the middle.
#[test]
fn colours_like_the_plain_version() {
    let reds: Vec<u8> = (0..=255).collect();
    for luma in [0, 1, 77, 128, 254, 255] {
        for blue in 0..=255 {
            let (luma, blue) = (vec![luma; 256 + STEP], vec![blue; 256 + STEP]);
            let mut red = reds.clone();
            red.resize(256 + STEP, 9);
            let chroma = Chroma::Full([&blue, &red]);
            let mut expected = vec![0; 256 * 3];
            scalar::rgb(&luma, chroma, &mut expected);
            for simd in Simd::NAMES.into_iter().filter_map(Simd::detect) {
                let mut out = vec![0xa5; 256 * 3];
                with_backend!(simd, backend => backend.rgb(&luma, chroma, &mut out));
                assert!(out == expected, "blue {} under {}", blue[0], simd.name());
            }
        }
    }
}

#[test]
fn grows_like_the_plain_version() {
    let mut random = Random(99);
    for case in 0..cases(3_000) {
        let width = match case % 3 {
            0 => 1 + random.below(20),
            1 => 1 + random.below(300),
            _ => 64 * (1 + random.below(5)) + random.below(5) - 2,
        } as usize;
        let extreme = random.below(3) == 0;
        let mut row = || -> Vec<u8> {
            let mut byte = || random.next() as u8;
            let limit = |byte: u8| if extreme { if byte < 128 { 0 } else { 255 } } else { byte };
            (0..width.next_multiple_of(STEP) + 64).map(|_| limit(byte())).collect()
        };
        let (luma, rows) = (row(), [row(), row(), row(), row()]);
        let [a, b, c, d] = rows.each_ref().map(Vec::as_slice);
        let chromas = [Chroma::Full([a, b]), Chroma::Wide([a, b]), Chroma::Both([(a, b), (c, d)])];
        for chroma in chromas {
            let mut expected = vec![0; width * 3];
            scalar::rgb(&luma, chroma, &mut expected);
            for simd in Simd::NAMES.into_iter().filter_map(Simd::detect) {
                let mut out = vec![0xa5; width * 3];
                with_backend!(simd, backend => backend.rgb(&luma, chroma, &mut out));
                assert!(out == expected, "width {width} under {} of {chroma:?}", simd.name());
            }
        }
        let mut expected = vec![0; width * 3];
        scalar::grey(&luma, &mut expected);
        for simd in Simd::NAMES.into_iter().filter_map(Simd::detect) {
            let mut out = vec![0xa5; width * 3];
            with_backend!(simd, backend => backend.grey(&luma, &mut out));
            assert!(out == expected, "grey of {width} under {}", simd.name());
        }
    }
}
