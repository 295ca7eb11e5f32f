//! AVX-512: four blocks, or 64 pixels, at a time.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, and calls of functions with target features"
)]
#![expect(clippy::needless_range_loop, reason = "arrays of registers")]

use std::arch::x86_64::{
    __m256i, __m512i, _mm_loadu_si128, _mm256_storeu_si256, _mm512_add_epi16, _mm512_add_epi32,
    _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_castsi512_si256, _mm512_cmpge_epu16_mask,
    _mm512_dpwssd_epi32, _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_madd_epi16,
    _mm512_maddubs_epi16, _mm512_mask_permutexvar_epi8, _mm512_mulhrs_epi16, _mm512_mullo_epi16,
    _mm512_packs_epi16, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_permutexvar_epi8,
    _mm512_permutexvar_epi64, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_setr_epi64, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_srai_epi16,
    _mm512_srai_epi32, _mm512_srli_epi16, _mm512_storeu_si512, _mm512_sub_epi16, _mm512_sub_epi32,
    _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi8, _mm512_unpacklo_epi16, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};

use super::scalar::constants::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072,
};
use super::{Chroma, GROUP_WIDTH, Group, Kernels, Work, scalar};
use crate::simd::Avx512;

impl Kernels for Avx512 {
    fn idct(self, group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
        // SAFETY: `self` exists only where the processor has the features, as in every function here.
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
        unsafe { super::avx2::featured(work) }
    }
}

type Halves = [__m512i; 2];

/// 64 bytes of `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8], at: usize) -> __m512i {
    let bytes = &bytes[at..at + 64];
    // SAFETY: the slice is 64 bytes long.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// 64 bytes to `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(bytes: &mut [u8], at: usize, vector: __m512i) {
    let bytes = &mut bytes[at..at + 64];
    // SAFETY: the slice is 64 bytes long.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) }
}

/// 32 bytes to `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_half(bytes: &mut [u8], at: usize, vector: __m256i) {
    let bytes = &mut bytes[at..at + 32];
    // SAFETY: the slice is 32 bytes long.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

/// Row `row` of a group.
#[inline]
#[target_feature(enable = "avx512f")]
fn coefficients(group: &Group, row: usize) -> __m512i {
    let words = &group[row * 32..row * 32 + 32];
    // SAFETY: the slice is 64 bytes long.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// Row `row` of a table, in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn factors(table: &[i16; 64], row: usize) -> __m512i {
    let words = &table[row * 8..row * 8 + 8];
    // SAFETY: the slice is 16 bytes long.
    let words = unsafe { _mm_loadu_si128(words.as_ptr().cast()) };
    _mm512_broadcast_i32x4(words)
}

/// Two words, the first one low, in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn words(low: i32, high: i32) -> __m512i {
    _mm512_set1_epi32(high << 16 | (low & 0xffff))
}

/// Words of both in turn.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn pairs(a: __m512i, b: __m512i) -> Halves {
    [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn products(pairs: Halves, factors: __m512i) -> Halves {
    [_mm512_madd_epi16(pairs[0], factors), _mm512_madd_epi16(pairs[1], factors)]
}

/// The same, added to sums.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn more(sums: Halves, pairs: Halves, factors: __m512i) -> Halves {
    [
        _mm512_dpwssd_epi32(sums[0], pairs[0], factors),
        _mm512_dpwssd_epi32(sums[1], pairs[1], factors),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn end<const SHIFT: u32, const MINUS: bool>(a: Halves, b: Halves) -> __m512i {
    let mut sums = a;
    for half in 0..2 {
        let sum = if MINUS {
            _mm512_sub_epi32(a[half], b[half])
        } else {
            _mm512_add_epi32(a[half], b[half])
        };
        sums[half] = _mm512_srai_epi32::<SHIFT>(sum);
    }
    _mm512_packs_epi32(sums[0], sums[1])
}

/// Eight points of every column of the lanes: see the plain version.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn eight<const SHIFT: u32>(v: &[__m512i; 8]) -> [__m512i; 8] {
    // What rounds the end comes in with the first products: `8 * ROUND / 8`.
    let first = words(1 << 13, 1 << (SHIFT - 4));
    let by = _mm512_set1_epi16(8);
    let sum = products(pairs(_mm512_add_epi16(v[0], v[4]), by), first);
    let difference = products(pairs(_mm512_sub_epi16(v[0], v[4]), by), first);
    let even = pairs(v[2], v[6]);
    let tmp10 = more(sum, even, words(F_0_541 + F_0_765, F_0_541));
    let tmp13 = more(sum, even, words(-F_0_541 - F_0_765, -F_0_541));
    let tmp11 = more(difference, even, words(F_0_541, F_0_541 - F_1_847));
    let tmp12 = more(difference, even, words(-F_0_541, F_1_847 - F_0_541));
    let sums = pairs(_mm512_add_epi16(v[7], v[3]), _mm512_add_epi16(v[5], v[1]));
    let sum3 = products(sums, words(F_1_175 - F_1_961, F_1_175));
    let sum4 = products(sums, words(F_1_175, F_1_175 - F_0_390));
    let outer = pairs(v[7], v[1]);
    let odd0 = more(sum3, outer, words(F_0_298 - F_0_899, -F_0_899));
    let odd3 = more(sum4, outer, words(-F_0_899, F_1_501 - F_0_899));
    let inner = pairs(v[5], v[3]);
    let odd1 = more(sum4, inner, words(F_2_053 - F_2_562, -F_2_562));
    let odd2 = more(sum3, inner, words(-F_2_562, F_3_072 - F_2_562));
    [
        end::<SHIFT, false>(tmp10, odd3),
        end::<SHIFT, false>(tmp11, odd2),
        end::<SHIFT, false>(tmp12, odd1),
        end::<SHIFT, false>(tmp13, odd0),
        end::<SHIFT, true>(tmp13, odd0),
        end::<SHIFT, true>(tmp12, odd1),
        end::<SHIFT, true>(tmp11, odd2),
        end::<SHIFT, true>(tmp10, odd3),
    ]
}

/// Rows of words to columns, in each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(v: &[__m512i; 8]) -> [__m512i; 8] {
    let two = [pairs(v[0], v[1]), pairs(v[2], v[3]), pairs(v[4], v[5]), pairs(v[6], v[7])];
    let mut columns = *v;
    for half in 0..2 {
        let (upper, lower) = ([two[0][half], two[1][half]], [two[2][half], two[3][half]]);
        let upper =
            [_mm512_unpacklo_epi32(upper[0], upper[1]), _mm512_unpackhi_epi32(upper[0], upper[1])];
        let lower =
            [_mm512_unpacklo_epi32(lower[0], lower[1]), _mm512_unpackhi_epi32(lower[0], lower[1])];
        for pair in 0..2 {
            columns[4 * half + 2 * pair] = _mm512_unpacklo_epi64(upper[pair], lower[pair]);
            columns[4 * half + 2 * pair + 1] = _mm512_unpackhi_epi64(upper[pair], lower[pair]);
        }
    }
    columns
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn idct(group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
    assert!(stride >= GROUP_WIDTH && out.len() >= 7 * stride + GROUP_WIDTH, "rows of samples");
    let mut v = [_mm512_setzero_si512(); 8];
    for row in 0..8 {
        v[row] = _mm512_mullo_epi16(coefficients(group, row), factors(table, row));
    }
    // Where these are too large, blocks without other rows take the shortcut of the plain version, which wraps.
    let around = _mm512_add_epi16(v[0], _mm512_set1_epi16(1 << 13));
    if _mm512_cmpge_epu16_mask(around, _mm512_set1_epi16(1 << 14)) != 0 {
        return scalar::idct(group, table, out, stride);
    }
    let zero = _mm512_setzero_si512();
    for row in group.as_chunks_mut::<32>().0 {
        // SAFETY: 32 words are 64 bytes.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), zero) }
    }
    let columns = eight::<18>(&transpose(&eight::<11>(&v)));
    let ab = _mm512_packs_epi16(columns[0], columns[1]);
    let cd = _mm512_packs_epi16(columns[2], columns[3]);
    let ef = _mm512_packs_epi16(columns[4], columns[5]);
    let gh = _mm512_packs_epi16(columns[6], columns[7]);
    let (ac, bd) = (_mm512_unpacklo_epi8(ab, cd), _mm512_unpackhi_epi8(ab, cd));
    let (eg, fh) = (_mm512_unpacklo_epi8(ef, gh), _mm512_unpackhi_epi8(ef, gh));
    let (left0, left4) = (_mm512_unpacklo_epi8(ac, bd), _mm512_unpackhi_epi8(ac, bd));
    let (right0, right4) = (_mm512_unpacklo_epi8(eg, fh), _mm512_unpackhi_epi8(eg, fh));
    let rows = [
        _mm512_unpacklo_epi32(left0, right0),
        _mm512_unpackhi_epi32(left0, right0),
        _mm512_unpacklo_epi32(left4, right4),
        _mm512_unpackhi_epi32(left4, right4),
    ];
    // A lane has two rows of a block: the first rows of all blocks go to the lower half.
    let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    let centre = _mm512_set1_epi8(-128);
    for (number, two) in rows.into_iter().enumerate() {
        let two = _mm512_xor_si512(_mm512_permutexvar_epi64(order, two), centre);
        store_half(out, 2 * number * stride, _mm512_castsi512_si256(two));
        store_half(out, (2 * number + 1) * stride, _mm512_extracti64x4_epi64::<1>(two));
    }
}

/// 64 bytes that are made when the crate is compiled.
#[repr(align(64))]
struct Line([u8; 64]);

impl Line {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn get(&self) -> __m512i {
        load(&self.0, 0)
    }
}

/// Where pixel `x` of 64 is after even and odd pixels were packed to bytes, with quarters in order or the inner two swapped.
const fn packed(x: usize, swapped: bool) -> usize {
    let quarter = x / 16;
    let quarter = if swapped && (quarter == 1 || quarter == 2) { 3 - quarter } else { quarter };
    quarter * 16 + x % 16 / 2 + x % 2 * 8
}

/// For the bytes of 64 pixels of RGB, where they are in a channel.
const fn places(swapped: bool) -> [Line; 3] {
    let mut lines = [Line([0; 64]), Line([0; 64]), Line([0; 64])];
    let mut at = 0;
    while at < 192 {
        lines[at / 64].0[at % 64] = packed(at / 3, swapped) as u8;
        at += 1;
    }
    lines
}

/// The same with quarters in order, and with the inner two swapped.
static IN_ORDER: [Line; 3] = places(false);
static SWAPPED: [Line; 3] = places(true);

/// The bytes that are of a channel.
const fn of_channel(channel: usize) -> [u64; 3] {
    let mut masks = [0; 3];
    let mut at = channel;
    while at < 192 {
        masks[at / 64] |= 1 << (at % 64);
        at += 3;
    }
    masks
}

const GREEN: [u64; 3] = of_channel(1);
const BLUE: [u64; 3] = of_channel(2);

/// The words of even and of odd pixels.
type Words = [__m512i; 2];

/// 64 pixels of luma and differences as red, green and blue, even and odd pixels packed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn colours(luma: __m512i, blue: Words, red: Words) -> [__m512i; 3] {
    let luma = [_mm512_and_si512(luma, _mm512_set1_epi16(0xff)), _mm512_srli_epi16::<8>(luma)];
    let mut channels = [luma; 3];
    for half in 0..2 {
        let (y, cb, cr) = (luma[half], blue[half], red[half]);
        // Twice the difference times half the factor, rounded: equal to the plain version for each of 256 values.
        let r = _mm512_mulhrs_epi16(_mm512_add_epi16(cr, cr), _mm512_set1_epi16(22_971));
        let b = _mm512_mulhrs_epi16(_mm512_add_epi16(cb, cb), _mm512_set1_epi16(29_033));
        // The factor of red is one too large for a word.
        let both = pairs(cb, cr);
        let start = [_mm512_set1_epi32(1 << 15); 2];
        let [low, high] = more(start, both, words(-22_554, 65_536 - 46_802));
        let g = _mm512_packs_epi32(_mm512_srai_epi32::<16>(low), _mm512_srai_epi32::<16>(high));
        channels[0][half] = _mm512_add_epi16(y, r);
        channels[1][half] = _mm512_sub_epi16(_mm512_add_epi16(y, g), cr);
        channels[2][half] = _mm512_add_epi16(y, b);
    }
    let mut packed = [luma[0]; 3];
    for channel in 0..3 {
        packed[channel] = _mm512_packus_epi16(channels[channel][0], channels[channel][1]);
    }
    packed
}

/// Red, green and blue as three vectors of RGB. A lookup in one vector costs a third of one in two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn interleave([r, g, b]: [__m512i; 3], places: &[Line; 3]) -> [__m512i; 3] {
    let mut out = [r; 3];
    for number in 0..3 {
        let index = places[number].get();
        let one = _mm512_permutexvar_epi8(index, r);
        let two = _mm512_mask_permutexvar_epi8(one, GREEN[number], index, g);
        out[number] = _mm512_mask_permutexvar_epi8(two, BLUE[number], index, b);
    }
    out
}

/// 64 pixels to those of `out` from `x` on, or as many as there are.
#[inline]
#[target_feature(enable = "avx512f")]
fn emit(out: &mut [u8], x: usize, pixels: [__m512i; 3]) {
    if out.len() >= 3 * (x + 64) {
        for (number, vector) in pixels.into_iter().enumerate() {
            store(out, 3 * x + 64 * number, vector);
        }
    } else if out.len() > 3 * x {
        let mut last = [0; 192];
        for (number, vector) in pixels.into_iter().enumerate() {
            store(&mut last, 64 * number, vector);
        }
        let rest = &mut out[3 * x..];
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// Bytes of two vectors in turn: of the first eight of each lane, and of the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn turns(a: __m512i, b: __m512i) -> Halves {
    [_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)]
}

/// 128 pixels' differences from 64 samples of a row from `x` on: the words of every second 16 of them, and of the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn wide(row: &[u8], x: usize) -> [Words; 2] {
    let this = load(row, x + 1);
    let left = turns(this, load(row, x));
    let right = turns(this, load(row, x + 2));
    let weights = _mm512_set1_epi16(0x0103);
    let mut result = [left; 2];
    for half in 0..2 {
        let even = _mm512_maddubs_epi16(left[half], weights);
        let odd = _mm512_maddubs_epi16(right[half], weights);
        let even = _mm512_add_epi16(even, _mm512_set1_epi16(1 - 128 * 4));
        let odd = _mm512_add_epi16(odd, _mm512_set1_epi16(2 - 128 * 4));
        result[half] = [_mm512_srai_epi16::<2>(even), _mm512_srai_epi16::<2>(odd)];
    }
    result
}

/// The same from two rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn both((near, far): (&[u8], &[u8]), x: usize) -> [Words; 2] {
    let left = turns(load(near, x), load(far, x));
    let this = turns(load(near, x + 1), load(far, x + 1));
    let right = turns(load(near, x + 2), load(far, x + 2));
    let (once, thrice) = (_mm512_set1_epi16(0x0103), _mm512_set1_epi16(0x0309));
    let mut result = [left; 2];
    for half in 0..2 {
        let own = _mm512_maddubs_epi16(this[half], thrice);
        let own = _mm512_add_epi16(own, _mm512_set1_epi16(7 - 128 * 16));
        let before = _mm512_maddubs_epi16(left[half], once);
        let after = _mm512_maddubs_epi16(right[half], once);
        let before = _mm512_add_epi16(before, _mm512_set1_epi16(1));
        result[half] = [
            _mm512_srai_epi16::<4>(_mm512_add_epi16(own, before)),
            _mm512_srai_epi16::<4>(_mm512_add_epi16(own, after)),
        ];
    }
    result
}

/// The differences of 128 pixels: of the first 64, and of the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn full(row: &[u8], x: usize) -> [Words; 2] {
    let centre = _mm512_set1_epi16(128);
    let mut result = [[centre; 2]; 2];
    for half in 0..2 {
        let bytes = load(row, x + 64 * half);
        result[half] = [
            _mm512_sub_epi16(_mm512_and_si512(bytes, _mm512_set1_epi16(0xff)), centre),
            _mm512_sub_epi16(_mm512_srli_epi16::<8>(bytes), centre),
        ];
    }
    result
}

/// The even and the odd lanes of two vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn every_second([a, b]: Halves) -> Halves {
    [_mm512_shuffle_i32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b)]
}

/// The first two and the last two lanes of two vectors: lanes 0, 2, 1 and 3 of what they were before [`every_second`].
#[inline]
#[target_feature(enable = "avx512f")]
fn side_by_side([a, b]: Halves) -> Halves {
    [_mm512_shuffle_i32x4::<0b01_00_01_00>(a, b), _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b)]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn rgb(luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
    // Each function is called in one place, so that it is inlined and vectors stay in registers.
    for x in (0..out.len() / 3).step_by(128) {
        let zero = [_mm512_setzero_si512(); 2];
        let mut differences = [[zero; 2]; 2];
        for component in 0..2 {
            differences[component] = match chroma {
                Chroma::Full(rows) => full(rows[component], x),
                Chroma::Wide(rows) => wide(rows[component], x / 2),
                Chroma::Both(rows) => both(rows[component], x / 2),
            };
        }
        let [blue, red] = differences;
        // What was grown has every second 16 pixels in a vector: luma comes so, and pixels go back.
        let grown = !matches!(chroma, Chroma::Full(_));
        let mut luma = [load(luma, x), load(luma, x + 64)];
        if grown {
            luma = every_second(luma);
        }
        let mut halves = [luma; 3];
        for half in 0..2 {
            let channels = colours(luma[half], blue[half], red[half]);
            for channel in 0..3 {
                halves[channel][half] = channels[channel];
            }
        }
        if grown {
            for channel in 0..3 {
                halves[channel] = side_by_side(halves[channel]);
            }
        }
        let places = if grown { &SWAPPED } else { &IN_ORDER };
        for half in 0..2 {
            let [r, g, b] = halves;
            emit(out, x + 64 * half, interleave([r[half], g[half], b[half]], places));
        }
    }
}

/// Three of each byte.
static THREEFOLD: [Line; 3] = {
    let mut lines = [Line([0; 64]), Line([0; 64]), Line([0; 64])];
    let mut at = 0;
    while at < 192 {
        lines[at / 64].0[at % 64] = (at / 3) as u8;
        at += 1;
    }
    lines
};

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn grey(luma: &[u8], out: &mut [u8]) {
    for x in (0..out.len() / 3).step_by(64) {
        let bytes = load(luma, x);
        let mut pixels = [bytes; 3];
        for number in 0..3 {
            pixels[number] = _mm512_permutexvar_epi8(THREEFOLD[number].get(), bytes);
        }
        emit(out, x, pixels);
    }
}
