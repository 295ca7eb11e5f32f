//! AVX2: two blocks, or 32 pixels, at a time.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, and calls of functions with target features"
)]
#![expect(clippy::needless_range_loop, reason = "arrays of registers")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_cmpgt_epi16,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_movemask_epi8, _mm256_mulhrs_epi16, _mm256_mullo_epi16, _mm256_or_si256,
    _mm256_packs_epi16, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permute2x128_si256,
    _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srai_epi16, _mm256_srai_epi32,
    _mm256_srli_epi16, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32,
    _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi8, _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_xor_si256, _pdep_u64,
};

use super::scalar::constants::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072,
};
use super::{Chroma, Deposit, GROUP_WIDTH, Group, Kernels, Work, scalar};
use crate::simd::Avx2;

impl Kernels for Avx2 {
    fn idct(self, group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
        // SAFETY: `self` exists only where the CPU has the features, as in every function here.
        unsafe { idct(group, table, out, stride) }
    }

    fn rgb(self, luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
        // SAFETY: see `idct`.
        unsafe { rgb(luma, chroma, out) }
    }

    fn grey(self, luma: &[u8], out: &mut [u8]) {
        // SAFETY: see `idct`.
        unsafe { grey(luma, out) }
    }

    fn work<W: Work>(self, work: W) -> W::Out {
        // SAFETY: see `idct`.
        unsafe { featured(work) }
    }
}

/// Proof that the CPU has BMI2.
#[derive(Clone, Copy)]
struct Bmi2(());

impl Deposit for Bmi2 {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "one instruction")]
    fn deposit(self, bits: u64, mask: u64) -> u64 {
        // SAFETY: `self` exists only where the CPU has the instruction.
        unsafe { _pdep_u64(bits, mask) }
    }
}

/// Does work with shifts by any register, which decoding of bits wants most.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,movbe,popcnt")]
pub(super) fn featured<W: Work>(work: W) -> W::Out {
    work.run(Bmi2(()))
}

type Halves = [__m256i; 2];

/// 32 bytes of `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8], at: usize) -> __m256i {
    let bytes = &bytes[at..at + 32];
    // SAFETY: the slice is 32 bytes long.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// 16 bytes to `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8], at: usize, vector: __m128i) {
    let bytes = &mut bytes[at..at + 16];
    // SAFETY: the slice is 16 bytes long.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), vector) }
}

/// Row `row` of two blocks of a group.
#[inline]
#[target_feature(enable = "avx2")]
fn coefficients(group: &Group, row: usize, half: usize) -> __m256i {
    let at = row * 32 + half * 16;
    let words = &group[at..at + 16];
    // SAFETY: the slice is 32 bytes long.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

/// Row `row` of a table, in both lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn factors(table: &[i16; 64], row: usize) -> __m256i {
    let words = &table[row * 8..row * 8 + 8];
    // SAFETY: the slice is 16 bytes long.
    let words = unsafe { _mm_loadu_si128(words.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(words)
}

/// Two words, the first one low, in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn words(low: i32, high: i32) -> __m256i {
    _mm256_set1_epi32(high << 16 | (low & 0xffff))
}

/// Words of both in turn.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(a: __m256i, b: __m256i) -> Halves {
    [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn products(pairs: Halves, factors: __m256i) -> Halves {
    [_mm256_madd_epi16(pairs[0], factors), _mm256_madd_epi16(pairs[1], factors)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: Halves, b: Halves) -> Halves {
    [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn subtract(a: Halves, b: Halves) -> Halves {
    [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn end<const SHIFT: i32>(sums: Halves) -> __m256i {
    let low = _mm256_srai_epi32::<SHIFT>(sums[0]);
    _mm256_packs_epi32(low, _mm256_srai_epi32::<SHIFT>(sums[1]))
}

/// Eight points of every column of the lanes: see the plain version.
#[inline]
#[target_feature(enable = "avx2")]
fn eight<const SHIFT: i32>(v: &[__m256i; 8]) -> [__m256i; 8] {
    // What rounds the end comes in with the first products: `8 * ROUND / 8`.
    let first = words(1 << 13, 1 << (SHIFT - 4));
    let by = _mm256_set1_epi16(8);
    let sum = products(pairs(_mm256_add_epi16(v[0], v[4]), by), first);
    let difference = products(pairs(_mm256_sub_epi16(v[0], v[4]), by), first);
    let even = pairs(v[2], v[6]);
    let tmp3 = products(even, words(F_0_541 + F_0_765, F_0_541));
    let tmp2 = products(even, words(F_0_541, F_0_541 - F_1_847));
    let (tmp10, tmp13) = (add(sum, tmp3), subtract(sum, tmp3));
    let (tmp11, tmp12) = (add(difference, tmp2), subtract(difference, tmp2));
    let sums = pairs(_mm256_add_epi16(v[7], v[3]), _mm256_add_epi16(v[5], v[1]));
    let sum3 = products(sums, words(F_1_175 - F_1_961, F_1_175));
    let sum4 = products(sums, words(F_1_175, F_1_175 - F_0_390));
    let outer = pairs(v[7], v[1]);
    let odd0 = add(sum3, products(outer, words(F_0_298 - F_0_899, -F_0_899)));
    let odd3 = add(sum4, products(outer, words(-F_0_899, F_1_501 - F_0_899)));
    let inner = pairs(v[5], v[3]);
    let odd1 = add(sum4, products(inner, words(F_2_053 - F_2_562, -F_2_562)));
    let odd2 = add(sum3, products(inner, words(-F_2_562, F_3_072 - F_2_562)));
    [
        end::<SHIFT>(add(tmp10, odd3)),
        end::<SHIFT>(add(tmp11, odd2)),
        end::<SHIFT>(add(tmp12, odd1)),
        end::<SHIFT>(add(tmp13, odd0)),
        end::<SHIFT>(subtract(tmp13, odd0)),
        end::<SHIFT>(subtract(tmp12, odd1)),
        end::<SHIFT>(subtract(tmp11, odd2)),
        end::<SHIFT>(subtract(tmp10, odd3)),
    ]
}

/// Rows of words to columns, in each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(v: &[__m256i; 8]) -> [__m256i; 8] {
    let two = [pairs(v[0], v[1]), pairs(v[2], v[3]), pairs(v[4], v[5]), pairs(v[6], v[7])];
    let mut columns = *v;
    for half in 0..2 {
        let (upper, lower) = ([two[0][half], two[1][half]], [two[2][half], two[3][half]]);
        let upper =
            [_mm256_unpacklo_epi32(upper[0], upper[1]), _mm256_unpackhi_epi32(upper[0], upper[1])];
        let lower =
            [_mm256_unpacklo_epi32(lower[0], lower[1]), _mm256_unpackhi_epi32(lower[0], lower[1])];
        for pair in 0..2 {
            columns[4 * half + 2 * pair] = _mm256_unpacklo_epi64(upper[pair], lower[pair]);
            columns[4 * half + 2 * pair + 1] = _mm256_unpackhi_epi64(upper[pair], lower[pair]);
        }
    }
    columns
}

#[target_feature(enable = "avx2")]
fn idct(group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
    assert!(stride >= GROUP_WIDTH && out.len() >= 7 * stride + GROUP_WIDTH, "rows of samples");
    // Where these are too large, blocks without other rows take the shortcut of the plain version, which wraps.
    let mut large = _mm256_setzero_si256();
    for half in 0..2 {
        let first = _mm256_mullo_epi16(coefficients(group, 0, half), factors(table, 0));
        // 2^13 too many, so that all that are in range are negative.
        let around = _mm256_add_epi16(first, _mm256_set1_epi16(-0x6000));
        large = _mm256_or_si256(large, _mm256_cmpgt_epi16(around, _mm256_set1_epi16(-0x4001)));
    }
    if _mm256_movemask_epi8(large) != 0 {
        return scalar::idct(group, table, out, stride);
    }
    for half in 0..2 {
        let mut v = [_mm256_setzero_si256(); 8];
        for row in 0..8 {
            let coefficients = coefficients(group, row, half);
            v[row] = _mm256_mullo_epi16(coefficients, factors(table, row));
        }
        let columns = eight::<18>(&transpose(&eight::<11>(&v)));
        let ab = _mm256_packs_epi16(columns[0], columns[1]);
        let cd = _mm256_packs_epi16(columns[2], columns[3]);
        let ef = _mm256_packs_epi16(columns[4], columns[5]);
        let gh = _mm256_packs_epi16(columns[6], columns[7]);
        let (ac, bd) = (_mm256_unpacklo_epi8(ab, cd), _mm256_unpackhi_epi8(ab, cd));
        let (eg, fh) = (_mm256_unpacklo_epi8(ef, gh), _mm256_unpackhi_epi8(ef, gh));
        let (left0, left4) = (_mm256_unpacklo_epi8(ac, bd), _mm256_unpackhi_epi8(ac, bd));
        let (right0, right4) = (_mm256_unpacklo_epi8(eg, fh), _mm256_unpackhi_epi8(eg, fh));
        let rows = [
            _mm256_unpacklo_epi32(left0, right0),
            _mm256_unpackhi_epi32(left0, right0),
            _mm256_unpacklo_epi32(left4, right4),
            _mm256_unpackhi_epi32(left4, right4),
        ];
        // A lane has two rows of a block: the first rows of both blocks go to the lower one.
        let centre = _mm256_set1_epi8(-128);
        for (number, two) in rows.into_iter().enumerate() {
            let two = _mm256_xor_si256(_mm256_permute4x64_epi64::<0b11_01_10_00>(two), centre);
            let at = 2 * number * stride + half * 16;
            store(out, at, _mm256_castsi256_si128(two));
            store(out, at + stride, _mm256_extracti128_si256::<1>(two));
        }
    }
    let zero = _mm256_setzero_si256();
    for words in group.as_chunks_mut::<16>().0 {
        // SAFETY: 16 words are 32 bytes.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), zero) }
    }
}

/// For byte `i` of 16 of the 48 of 16 pixels, from `16 * part` on: where it is in a channel of packed even and odd pixels.
const fn places(part: usize, channel: usize) -> [u8; 32] {
    let mut bytes = [0x80; 32];
    let mut i = 0;
    while i < 32 {
        let at = part * 16 + i % 16;
        if at % 3 == channel {
            let x = at / 3;
            bytes[i] = (x / 2 + x % 2 * 8) as u8;
        }
        i += 1;
    }
    bytes
}

static INTERLEAVE: [[[u8; 32]; 3]; 3] = [
    [places(0, 0), places(0, 1), places(0, 2)],
    [places(1, 0), places(1, 1), places(1, 2)],
    [places(2, 0), places(2, 1), places(2, 2)],
];

/// The words of even and of odd pixels.
type Words = [__m256i; 2];

/// Two times 16 pixels of luma and differences as RGB: 16 bytes of each a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn colours(luma: __m256i, blue: Words, red: Words) -> [__m256i; 3] {
    let luma = [_mm256_and_si256(luma, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(luma)];
    let mut channels = [luma; 3];
    for half in 0..2 {
        let (y, cb, cr) = (luma[half], blue[half], red[half]);
        // Twice the difference times half the factor, rounded: equal to the plain version for each of 256 values.
        let r = _mm256_mulhrs_epi16(_mm256_add_epi16(cr, cr), _mm256_set1_epi16(22_971));
        let b = _mm256_mulhrs_epi16(_mm256_add_epi16(cb, cb), _mm256_set1_epi16(29_033));
        // The factor of red is one too large for a word.
        let [low, high] = products(pairs(cb, cr), words(-22_554, 65_536 - 46_802));
        let start = _mm256_set1_epi32(1 << 15);
        let low = _mm256_srai_epi32::<16>(_mm256_add_epi32(low, start));
        let high = _mm256_srai_epi32::<16>(_mm256_add_epi32(high, start));
        let g = _mm256_packs_epi32(low, high);
        channels[0][half] = _mm256_add_epi16(y, r);
        channels[1][half] = _mm256_sub_epi16(_mm256_add_epi16(y, g), cr);
        channels[2][half] = _mm256_add_epi16(y, b);
    }
    let [r, g, b] = channels;
    let r = _mm256_packus_epi16(r[0], r[1]);
    let g = _mm256_packus_epi16(g[0], g[1]);
    let b = _mm256_packus_epi16(b[0], b[1]);
    interleave(r, g, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn interleave(r: __m256i, g: __m256i, b: __m256i) -> [__m256i; 3] {
    let mut out = [r; 3];
    for number in 0..3 {
        let [red, green, blue] = &INTERLEAVE[number];
        let r = _mm256_shuffle_epi8(r, load(red, 0));
        let g = _mm256_shuffle_epi8(g, load(green, 0));
        let b = _mm256_shuffle_epi8(b, load(blue, 0));
        out[number] = _mm256_or_si256(_mm256_or_si256(r, g), b);
    }
    out
}

/// 16 pixels from `first` on and 16 from `second` on, or as many as there are.
#[inline]
#[target_feature(enable = "avx2")]
fn emit(out: &mut [u8], [first, second]: [usize; 2], pixels: [__m256i; 3]) {
    for (half, x) in [first, second].into_iter().enumerate() {
        let part = |vector| match half {
            0 => _mm256_castsi256_si128(vector),
            _ => _mm256_extracti128_si256::<1>(vector),
        };
        if out.len() >= 3 * (x + 16) {
            store(out, 3 * x, part(pixels[0]));
            store(out, 3 * x + 16, part(pixels[1]));
            store(out, 3 * x + 32, part(pixels[2]));
        } else if out.len() > 3 * x {
            let mut last = [0; 48];
            store(&mut last, 0, part(pixels[0]));
            store(&mut last, 16, part(pixels[1]));
            store(&mut last, 32, part(pixels[2]));
            let rest = &mut out[3 * x..];
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// Bytes of two vectors in turn: of the first eight of each lane, and of the last.
#[inline]
#[target_feature(enable = "avx2")]
fn turns(a: __m256i, b: __m256i) -> Halves {
    [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)]
}

/// 64 pixels' differences from 32 samples of a row from `x` on: the words of the first and third 16, and of the others.
#[inline]
#[target_feature(enable = "avx2")]
fn wide(row: &[u8], x: usize) -> [Words; 2] {
    let this = load(row, x + 1);
    let left = turns(this, load(row, x));
    let right = turns(this, load(row, x + 2));
    let weights = _mm256_set1_epi16(0x0103);
    let mut result = [left; 2];
    for half in 0..2 {
        let even = _mm256_maddubs_epi16(left[half], weights);
        let odd = _mm256_maddubs_epi16(right[half], weights);
        let even = _mm256_add_epi16(even, _mm256_set1_epi16(1 - 128 * 4));
        let odd = _mm256_add_epi16(odd, _mm256_set1_epi16(2 - 128 * 4));
        result[half] = [_mm256_srai_epi16::<2>(even), _mm256_srai_epi16::<2>(odd)];
    }
    result
}

/// The same from two rows.
#[inline]
#[target_feature(enable = "avx2")]
fn both((near, far): (&[u8], &[u8]), x: usize) -> [Words; 2] {
    let left = turns(load(near, x), load(far, x));
    let this = turns(load(near, x + 1), load(far, x + 1));
    let right = turns(load(near, x + 2), load(far, x + 2));
    let (once, thrice) = (_mm256_set1_epi16(0x0103), _mm256_set1_epi16(0x0309));
    let mut result = [left; 2];
    for half in 0..2 {
        let own = _mm256_maddubs_epi16(this[half], thrice);
        let own = _mm256_add_epi16(own, _mm256_set1_epi16(7 - 128 * 16));
        let before = _mm256_maddubs_epi16(left[half], once);
        let after = _mm256_maddubs_epi16(right[half], once);
        let before = _mm256_add_epi16(before, _mm256_set1_epi16(1));
        result[half] = [
            _mm256_srai_epi16::<4>(_mm256_add_epi16(own, before)),
            _mm256_srai_epi16::<4>(_mm256_add_epi16(own, after)),
        ];
    }
    result
}

/// The differences of 64 pixels: of the first 32, and of the others.
#[inline]
#[target_feature(enable = "avx2")]
fn full(row: &[u8], x: usize) -> [Words; 2] {
    let centre = _mm256_set1_epi16(128);
    let mut result = [[centre; 2]; 2];
    for half in 0..2 {
        let bytes = load(row, x + 32 * half);
        result[half] = [
            _mm256_sub_epi16(_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), centre),
            _mm256_sub_epi16(_mm256_srli_epi16::<8>(bytes), centre),
        ];
    }
    result
}

#[target_feature(enable = "avx2")]
fn rgb(luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
    // Each function is called in one place, so that it is inlined and vectors stay in registers.
    for x in (0..out.len() / 3).step_by(64) {
        let zero = [_mm256_setzero_si256(); 2];
        let mut differences = [[zero; 2]; 2];
        for component in 0..2 {
            differences[component] = match chroma {
                Chroma::Full(rows) => full(rows[component], x),
                Chroma::Wide(rows) => wide(rows[component], x / 2),
                Chroma::Both(rows) => both(rows[component], x / 2),
            };
        }
        let (first, second) = (load(luma, x), load(luma, x + 32));
        // What was grown has every second 16 pixels in a vector.
        let (luma, step) = if let Chroma::Full(_) = chroma {
            ([first, second], [16, 32])
        } else {
            let low = _mm256_permute2x128_si256::<0x20>(first, second);
            ([low, _mm256_permute2x128_si256::<0x31>(first, second)], [32, 16])
        };
        let [blue, red] = differences;
        for half in 0..2 {
            let x = x + step[1] * half;
            emit(out, [x, x + step[0]], colours(luma[half], blue[half], red[half]));
        }
    }
}

#[target_feature(enable = "avx2")]
fn grey(luma: &[u8], out: &mut [u8]) {
    let centre = [_mm256_setzero_si256(); 2];
    for x in (0..out.len() / 3).step_by(32) {
        emit(out, [x, x + 16], colours(load(luma, x), centre, centre));
    }
}
