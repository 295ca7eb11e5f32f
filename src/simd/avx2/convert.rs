//! Bytes to elements by the arithmetic that [`Lut::new`] proved, instead of a table.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_TO_NEAREST_INT, _mm_shuffle_epi8, _mm_srli_si128,
    _mm256_add_epi32, _mm256_and_si256, _mm256_castps_si256, _mm256_cvtepi32_ps,
    _mm256_cvtepu8_epi32, _mm256_cvtps_ph, _mm256_div_ps, _mm256_extracti128_si256,
    _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_mul_ps, _mm256_packus_epi32,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_ps, _mm256_srli_epi32, _mm256_sub_ps,
};

use super::lanes::{join, load16, low, store32, stream16};
use crate::pack::{Element, Lut, Recipe};
use crate::simd::{Backend, Scalar};

/// The constants of a channel in all lanes.
#[derive(Clone, Copy)]
struct Constants {
    scale: __m256,
    scale_rest: __m256,
    mean: __m256,
    std: __m256,
    reciprocal: __m256,
}

impl Constants {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new(recipe: &Recipe, c: usize) -> Self {
        Self {
            scale: _mm256_set1_ps(recipe.scale),
            scale_rest: _mm256_set1_ps(recipe.scale_rest),
            mean: _mm256_set1_ps(recipe.mean[c]),
            std: _mm256_set1_ps(recipe.std[c]),
            reciprocal: _mm256_set1_ps(recipe.reciprocal[c]),
        }
    }
}

/// Eight values. The steps are those of [`Recipe::value`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn values<const SCALED: bool, const DIVIDED: bool>(k: &Constants, bytes: __m128i) -> __m256 {
    let byte = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    let scaled = if SCALED {
        _mm256_fmadd_ps(byte, k.scale, _mm256_mul_ps(byte, k.scale_rest))
    } else {
        byte
    };
    let centred = _mm256_sub_ps(scaled, k.mean);
    if DIVIDED {
        return _mm256_div_ps(centred, k.std);
    }
    let quotient = _mm256_mul_ps(centred, k.reciprocal);
    let rest = _mm256_fnmadd_ps(quotient, k.std, centred);
    _mm256_fmadd_ps(rest, k.reciprocal, quotient)
}

/// A vector of elements, 8 of four bytes or 16 of two, from as many bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn vector<const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    bytes: __m128i,
) -> __m256i {
    let first = values::<SCALED, DIVIDED>(k, bytes);
    if element == Element::Float32 {
        return _mm256_castps_si256(first);
    }
    let second = values::<SCALED, DIVIDED>(k, _mm_srli_si128::<8>(bytes));
    if element == Element::Float16 {
        return join(float16(first), float16(second));
    }
    let packed = _mm256_packus_epi32(bfloat16(first), bfloat16(second));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
}

/// Eight values as float16.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn float16(values: __m256) -> __m128i {
    _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
}

/// Eight values as bfloat16 in 32 bits: the high halves, rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn bfloat16(values: __m256) -> __m256i {
    let bits = _mm256_castps_si256(values);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half))
}

/// Bytes of channel `c` to elements, `copies` times in a row.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn repeat(
    lut: &Lut,
    c: usize,
    bytes: &[u8],
    copies: usize,
    out: &mut [u8],
    stream: bool,
) {
    let size = lut.element.size();
    assert_eq!(out.len(), copies * bytes.len() * size, "elements");
    let recipe = match &lut.recipe {
        Some(recipe) if lut.element != Element::Uint8 && bytes.len() >= 16 => recipe,
        recipe => {
            for out in out.chunks_exact_mut((bytes.len() * size).max(1)) {
                match recipe {
                    // Short runs of bytes lie at any address: nothing to stream.
                    _ if lut.element == Element::Uint8 => out.copy_from_slice(bytes),
                    Some(recipe) => few_bytes(lut, recipe, c, bytes, out),
                    None => Scalar.convert(lut, c, bytes, out, stream),
                }
            }
            return;
        }
    };
    let k = Constants::new(recipe, c);
    match (recipe.scaled, recipe.divided) {
        (false, false) => elements::<false, false>(&k, lut.element, bytes, out, stream),
        (true, false) => elements::<true, false>(&k, lut.element, bytes, out, stream),
        (false, true) => elements::<false, true>(&k, lut.element, bytes, out, stream),
        (true, true) => elements::<true, true>(&k, lut.element, bytes, out, stream),
    }
}

/// `bytes`, which are at least 16, to each of the runs of `out` that have room for them.
///
/// A vector is made once and stored to every copy. Streaming stores are of 16 bytes, to which numpy aligns: a copy of
/// a plane need not begin at a multiple of 32.
#[target_feature(enable = "avx2,fma,f16c")]
fn elements<const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    bytes: &[u8],
    out: &mut [u8],
    stream: bool,
) {
    let k = *k;
    let size = element.size();
    let step = 32 / size;
    let plane = bytes.len() * size;
    let stream = stream && out.as_ptr().addr().is_multiple_of(16) && plane.is_multiple_of(16);
    let (first, more) = out.split_at_mut(plane);
    let (second, more) = more.split_at_mut(plane.min(more.len()));
    let whole = ((bytes.len() - 16) / step + 1).min(plane / 32);
    let at = whole * step;
    let source = || bytes.windows(16).step_by(step);
    let (vectors, first_rest) = first.split_at_mut(whole * 32);
    let vectors = vectors.as_chunks_mut::<32>().0.iter_mut();
    if second.is_empty() {
        for (out, bytes) in vectors.zip(source()) {
            put(out, vector::<SCALED, DIVIDED>(&k, element, load16(bytes, 0)), stream);
        }
    } else {
        let again = second.as_chunks_mut::<32>().0.iter_mut();
        for ((out, again), bytes) in vectors.zip(again).zip(source()) {
            let vector = vector::<SCALED, DIVIDED>(&k, element, load16(bytes, 0));
            put(out, vector, stream);
            put(again, vector, stream);
        }
    }
    // The last bytes, of which a vector would read too many.
    let second_rest = second.get_mut(whole * 32..).unwrap_or_default();
    for (i, out) in first_rest.chunks_mut(32).enumerate() {
        let vector = vector::<SCALED, DIVIDED>(&k, element, tail(bytes, at + i * step));
        part(out, vector, stream);
        if let Some(again) = second_rest.get_mut(i * 32..i * 32 + out.len()) {
            part(again, vector, stream);
        }
    }
    for copy in more.chunks_exact_mut(plane) {
        copy.copy_from_slice(first);
    }
}

/// The bytes from `at` on, with fewer than 16 left: all of them were in the cache as the last 16.
#[inline]
#[target_feature(enable = "avx2")]
fn tail(bytes: &[u8], at: usize) -> __m128i {
    let start = bytes.len() - 16;
    let order = load16(&SHIFTS, at - start);
    _mm_shuffle_epi8(load16(bytes, start), order)
}

/// From byte `n` on: the order that moves a vector down by `n` bytes.
static SHIFTS: [u8; 32] = {
    let mut order = [0x80; 32];
    let mut i = 0;
    while i < 16 {
        order[i] = i as u8;
        i += 1;
    }
    order
};

#[inline]
#[target_feature(enable = "avx2")]
fn put(out: &mut [u8; 32], vector: __m256i, stream: bool) {
    if stream {
        let (halves, _) = out.as_chunks_mut::<16>();
        stream16(&mut halves[0], low(vector));
        stream16(&mut halves[1], _mm256_extracti128_si256::<1>(vector));
    } else {
        store32(out, 0, vector);
    }
}

/// The first bytes of a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn part(out: &mut [u8], vector: __m256i, stream: bool) {
    match out.as_chunks_mut::<16>() {
        ([half], []) if stream => return stream16(half, low(vector)),
        ([half, other], []) => {
            let high = _mm256_extracti128_si256::<1>(vector);
            if stream {
                stream16(half, low(vector));
                return stream16(other, high);
            }
        }
        _ => {}
    }
    let mut elements = [0; 32];
    store32(&mut elements, 0, vector);
    out.copy_from_slice(&elements[..out.len()]);
}

/// Fewer than 16 bytes.
#[target_feature(enable = "avx2,fma,f16c")]
fn few_bytes(lut: &Lut, recipe: &Recipe, c: usize, bytes: &[u8], out: &mut [u8]) {
    let mut padded = [0; 16];
    padded[..bytes.len()].copy_from_slice(bytes);
    let mut elements = [0; 64];
    let padded_out = &mut elements[..16 * lut.element.size()];
    let k = Constants::new(recipe, c);
    let element = lut.element;
    match (recipe.scaled, recipe.divided) {
        (false, false) => self::elements::<false, false>(&k, element, &padded, padded_out, false),
        (true, false) => self::elements::<true, false>(&k, element, &padded, padded_out, false),
        (false, true) => self::elements::<false, true>(&k, element, &padded, padded_out, false),
        (true, true) => self::elements::<true, true>(&k, element, &padded, padded_out, false),
    }
    out.copy_from_slice(&elements[..out.len()]);
}
