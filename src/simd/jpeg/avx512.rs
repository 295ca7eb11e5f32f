//! AVX-512: four blocks, or 64 pixels, at a time.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, and calls of functions with target features"
)]
#![expect(clippy::needless_range_loop, reason = "arrays of registers")]

use std::arch::x86_64::{
    __m256i, __m512i, _mm_loadu_si128, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_add_epi16,
    _mm512_add_epi32, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_castsi512_si256,
    _mm512_cmpge_epu16_mask, _mm512_cvtepu8_epi16, _mm512_extracti64x4_epi64, _mm512_loadu_si512,
    _mm512_madd_epi16, _mm512_mask_blend_epi8, _mm512_mask_blend_epi16, _mm512_max_epu16,
    _mm512_mulhrs_epi16, _mm512_mullo_epi16, _mm512_packs_epi16, _mm512_packs_epi32,
    _mm512_packus_epi16, _mm512_permutex2var_epi32, _mm512_permutexvar_epi8, _mm512_set1_epi8,
    _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512,
    _mm512_slli_epi16, _mm512_srai_epi16, _mm512_srai_epi32, _mm512_srli_epi16, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_sub_epi16, _mm512_sub_epi32, _mm512_unpackhi_epi8,
    _mm512_unpackhi_epi16, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi8,
    _mm512_unpacklo_epi16, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::scalar::constants::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072,
};
use super::{Chroma, GROUP_WIDTH, Group, Kernels, Work, scalar};
use crate::simd::Avx512;
use crate::simd::avx512::dot_words;

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
fn more(mut sums: Halves, pairs: Halves, factors: __m512i) -> Halves {
    for half in 0..2 {
        sums[half] = dot_words(sums[half], pairs[half], factors);
    }
    sums
}

/// Sum and difference of the first words and the fifth, and what rounds the end.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn ends<const SHIFT: u32>(v: &[__m512i; 8]) -> [Halves; 2] {
    // The rounding comes in with the products: `8 * ROUND / 8`.
    let first = words(1 << 13, 1 << (SHIFT - 4));
    let by = _mm512_set1_epi16(8);
    let (sum, difference) = (_mm512_add_epi16(v[0], v[4]), _mm512_sub_epi16(v[0], v[4]));
    [products(pairs(sum, by), first), products(pairs(difference, by), first)]
}

/// The same of words whose sums and differences do not wrap.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn ends_of_small<const SHIFT: u32>(v: &[__m512i; 8]) -> [Halves; 2] {
    let round = [_mm512_set1_epi32(1 << (SHIFT - 1)); 2];
    let both = pairs(v[0], v[4]);
    [more(round, both, words(1 << 13, 1 << 13)), more(round, both, words(1 << 13, -1 << 13))]
}

/// Eight points of every column of the lanes, before they are shifted: see the plain version.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn eight(v: &[__m512i; 8], [sum, difference]: [Halves; 2]) -> [Halves; 8] {
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
    let mut points = [sum; 8];
    for (number, (even, odd)) in
        [(tmp10, odd3), (tmp11, odd2), (tmp12, odd1), (tmp13, odd0)].into_iter().enumerate()
    {
        for half in 0..2 {
            points[number][half] = _mm512_add_epi32(even[half], odd[half]);
            points[7 - number][half] = _mm512_sub_epi32(even[half], odd[half]);
        }
    }
    points
}

/// The end of the first pass.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn first_end([low, high]: Halves) -> __m512i {
    _mm512_packs_epi32(_mm512_srai_epi32::<11>(low), _mm512_srai_epi32::<11>(high))
}

/// The end of the second pass, where nothing saturates yet: the upper words, those of both halves in turn, without the port that packs
/// and shuffles share.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn second_end([low, high]: Halves) -> __m512i {
    let upper = _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(low), high);
    _mm512_srai_epi16::<2>(upper)
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
    // Where the first row is too large, blocks without other rows take the shortcut of the plain version, which wraps. Where
    // both are small, so are their sums.
    let offset = _mm512_set1_epi16(1 << 13);
    let around = _mm512_max_epu16(_mm512_add_epi16(v[0], offset), _mm512_add_epi16(v[4], offset));
    if _mm512_cmpge_epu16_mask(around, _mm512_set1_epi16(1 << 14)) != 0 {
        return scalar::idct(group, table, out, stride);
    }
    let zero = _mm512_setzero_si512();
    for row in group.as_chunks_mut::<32>().0 {
        // SAFETY: 32 words are 64 bytes.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), zero) }
    }
    let points = eight(&v, ends_of_small::<11>(&v));
    for row in 0..8 {
        v[row] = first_end(points[row]);
    }
    let mut columns = transpose(&v);
    let points = eight(&columns, ends::<18>(&columns));
    for column in 0..8 {
        // Its rows are in the order 0 4 1 5 2 6 3 7.
        columns[column] = second_end(points[column]);
    }
    let ab = _mm512_packs_epi16(columns[0], columns[1]);
    let cd = _mm512_packs_epi16(columns[2], columns[3]);
    let ef = _mm512_packs_epi16(columns[4], columns[5]);
    let gh = _mm512_packs_epi16(columns[6], columns[7]);
    let (ac, bd) = (_mm512_unpacklo_epi8(ab, cd), _mm512_unpackhi_epi8(ab, cd));
    let (eg, fh) = (_mm512_unpacklo_epi8(ef, gh), _mm512_unpackhi_epi8(ef, gh));
    let (left0, left4) = (_mm512_unpacklo_epi8(ac, bd), _mm512_unpackhi_epi8(ac, bd));
    let (right0, right4) = (_mm512_unpacklo_epi8(eg, fh), _mm512_unpackhi_epi8(eg, fh));
    // A lane has two rows of a block: row n of all blocks goes to the lower half, row n + 4 to the upper one.
    let first = _mm512_setr_epi32(0, 16, 4, 20, 8, 24, 12, 28, 1, 17, 5, 21, 9, 25, 13, 29);
    let second = _mm512_add_epi32(first, _mm512_set1_epi32(2));
    let centre = _mm512_set1_epi8(-128);
    let lefts = [left0, left0, left4, left4];
    let rights = [right0, right0, right4, right4];
    let orders = [first, second, first, second];
    for number in 0..4 {
        let (left, order, right) = (lefts[number], orders[number], rights[number]);
        let two = _mm512_xor_si512(_mm512_permutex2var_epi32(left, order, right), centre);
        store_half(out, number * stride, _mm512_castsi512_si256(two));
        store_half(out, (number + 4) * stride, _mm512_extracti64x4_epi64::<1>(two));
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

/// Where pixel `x` of 64 is after even and odd pixels were packed to bytes.
const fn packed(x: usize) -> usize {
    x / 16 * 16 + x % 16 / 2 + x % 2 * 8
}

/// What puts the 64 bytes of a channel at their places in vectors of RGB. They lie three apart in three vectors, and no two at the same
/// place of them, since 3 and 64 have no common divisor.
static SPREAD: [Line; 3] = {
    let mut lines = [Line([0; 64]), Line([0; 64]), Line([0; 64])];
    let mut at = 0;
    while at < 192 {
        lines[at % 3].0[at % 64] = packed(at / 3) as u8;
        at += 1;
    }
    lines
};

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

/// 64 pixels of luma and twice their differences as red, green and blue, even and odd pixels packed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn colours(luma: __m512i, blue: Words, red: Words) -> [__m512i; 3] {
    let luma = [_mm512_and_si512(luma, _mm512_set1_epi16(0xff)), _mm512_srli_epi16::<8>(luma)];
    let mut channels = [luma; 3];
    for half in 0..2 {
        let (y, cb, cr) = (luma[half], blue[half], red[half]);
        // Half the factor, rounded: equal to the plain version for each of 256 values.
        let r = _mm512_mulhrs_epi16(cr, _mm512_set1_epi16(22_971));
        let b = _mm512_mulhrs_epi16(cb, _mm512_set1_epi16(29_033));
        let start = [_mm512_set1_epi32(1 << 15); 2];
        let [low, high] = more(start, pairs(cb, cr), words(-22_554 / 2, -46_802 / 2));
        let g = _mm512_packs_epi32(_mm512_srai_epi32::<16>(low), _mm512_srai_epi32::<16>(high));
        channels[0][half] = _mm512_add_epi16(y, r);
        channels[1][half] = _mm512_add_epi16(y, g);
        channels[2][half] = _mm512_add_epi16(y, b);
    }
    let mut packed = [luma[0]; 3];
    for channel in 0..3 {
        packed[channel] = _mm512_packus_epi16(channels[channel][0], channels[channel][1]);
    }
    packed
}

/// Red, green and blue as three vectors of RGB.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn interleave(channels: [__m512i; 3]) -> [__m512i; 3] {
    let mut spread = channels;
    for number in 0..3 {
        spread[number] = _mm512_permutexvar_epi8(SPREAD[number].get(), channels[number]);
    }
    let [r, g, b] = spread;
    let mut out = spread;
    for number in 0..3 {
        let two = _mm512_mask_blend_epi8(GREEN[number], r, g);
        out[number] = _mm512_mask_blend_epi8(BLUE[number], two, b);
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

/// Twice the differences of 64 pixels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn full(row: &[u8], x: usize) -> Words {
    let differences = _mm512_xor_si512(load(row, x), _mm512_set1_epi8(-128));
    [_mm512_srai_epi16::<7>(_mm512_slli_epi16::<8>(differences)), twice::<8>(differences)]
}

/// Twice the words that are `SHIFT` bits up.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn twice<const SHIFT: u32>(words: __m512i) -> __m512i {
    let words = match SHIFT {
        2 => _mm512_srai_epi16::<1>(words),
        4 => _mm512_srai_epi16::<3>(words),
        _ => _mm512_srai_epi16::<7>(words),
    };
    _mm512_and_si512(words, _mm512_set1_epi16(-2))
}

/// Pixels whose sums of samples are held at a time.
const RUN: usize = 1024;

/// Words of samples: one for two pixels of a run, one before them and one after. Those of [`Chroma::Both`] are three times the nearest
/// and once the next.
type Sums = [i16; RUN / 2 + 32];

/// 32 bytes of `bytes` from `at` on as words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn widened(bytes: &[u8], at: usize) -> __m512i {
    let bytes = &bytes[at..at + 32];
    // SAFETY: the slice is 32 bytes long.
    _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
}

/// Makes `count` sums, more than 32, of the samples from `from` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn sum((near, far): (&[u8], Option<&[u8]>), from: usize, count: usize, sums: &mut Sums) {
    let mut x = 0;
    while x < count {
        // The last ones are made again rather than samples past the end.
        x = x.min(count - 32);
        let mut words = widened(near, from + x);
        if let Some(far) = far {
            let thrice = _mm512_mullo_epi16(words, _mm512_set1_epi16(3));
            words = _mm512_add_epi16(thrice, widened(far, from + x));
        }
        let sums = &mut sums[x..x + 32];
        // SAFETY: the slice is 64 bytes long.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), words) }
        x += 32;
    }
}

/// 32 sums from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums_at(sums: &Sums, at: usize) -> __m512i {
    let sums = &sums[at..at + 32];
    // SAFETY: the slice is 64 bytes long.
    unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) }
}

/// Twice the differences of 64 pixels between sums from `x` on: each is three quarters of the nearest one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn between<const SHIFT: u32>(sums: &Sums, x: usize) -> Words {
    let (even, odd) = if SHIFT == 4 { (8, 7) } else { (1, 2) };
    let centre = 128 << SHIFT;
    let this = _mm512_mullo_epi16(sums_at(sums, x + 1), _mm512_set1_epi16(3));
    let left = _mm512_add_epi16(sums_at(sums, x), _mm512_set1_epi16(even - centre));
    let right = _mm512_add_epi16(sums_at(sums, x + 2), _mm512_set1_epi16(odd - centre));
    [twice::<SHIFT>(_mm512_add_epi16(this, left)), twice::<SHIFT>(_mm512_add_epi16(this, right))]
}

/// A row whose differences are between samples, `SHIFT` bits up in their sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn grown<const SHIFT: u32>(luma: &[u8], rows: [(&[u8], Option<&[u8]>); 2], out: &mut [u8]) {
    let mut sums: [Sums; 2] = [[0; RUN / 2 + 32]; 2];
    let width = out.len() / 3;
    for first in (0..width).step_by(RUN) {
        let count = (width - first).min(RUN);
        for (row, sums) in rows.into_iter().zip(&mut sums) {
            sum(row, first / 2, count.next_multiple_of(64) / 2 + 2, sums);
        }
        for x in (0..count).step_by(64) {
            let (blue, red) =
                (between::<SHIFT>(&sums[0], x / 2), between::<SHIFT>(&sums[1], x / 2));
            let channels = colours(load(luma, first + x), blue, red);
            emit(out, first + x, interleave(channels));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn rgb(luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
    match chroma {
        Chroma::Full([blue, red]) => {
            for x in (0..out.len() / 3).step_by(64) {
                let channels = colours(load(luma, x), full(blue, x), full(red, x));
                emit(out, x, interleave(channels));
            }
        }
        Chroma::Wide(rows) => grown::<2>(luma, rows.map(|row| (row, None)), out),
        Chroma::Both(rows) => {
            grown::<4>(luma, rows.map(|(near, far)| (near, Some(far))), out);
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
