//! Bytes to elements by the arithmetic that [`Lut::new`] proved, instead of a table.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_TO_NEAREST_INT, _mm_srli_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_castps_si256, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtps_ph, _mm256_div_ps,
    _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_mul_ps, _mm256_packus_epi32,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_ps, _mm256_srli_epi32, _mm256_sub_ps,
};

use super::lanes::{join, load16, store32, stream16, stream32};
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
    bytes: &[u8; 16],
) -> __m256i {
    let both = load16(bytes, 0);
    let first = values::<SCALED, DIVIDED>(k, both);
    if element == Element::Float32 {
        return _mm256_castps_si256(first);
    }
    let second = values::<SCALED, DIVIDED>(k, _mm_srli_si128::<8>(both));
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

/// Bytes of channel `c` to elements.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn plane(lut: &Lut, c: usize, bytes: &[u8], out: &mut [u8], stream: bool) {
    if lut.element == Element::Uint8 {
        copy(bytes, out, stream);
        return;
    }
    let Some(recipe) = &lut.recipe else {
        Scalar.convert(lut, c, bytes, out, stream);
        return;
    };
    let k = Constants::new(recipe, c);
    match (recipe.scaled, recipe.divided) {
        (false, false) => elements::<false, false>(&k, lut.element, bytes, out, stream),
        (true, false) => elements::<true, false>(&k, lut.element, bytes, out, stream),
        (false, true) => elements::<false, true>(&k, lut.element, bytes, out, stream),
        (true, true) => elements::<true, true>(&k, lut.element, bytes, out, stream),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn elements<const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    bytes: &[u8],
    out: &mut [u8],
    stream: bool,
) {
    let size = element.size();
    assert_eq!(out.len(), bytes.len() * size, "elements");
    let misaligned = out.as_ptr().addr().wrapping_neg() % 32;
    let stream = stream && misaligned.is_multiple_of(size);
    let head = if stream { (misaligned / size).min(bytes.len()) } else { 0 };
    let (first, bytes) = bytes.split_at(head);
    let (first_out, out) = out.split_at_mut(head * size);
    few::<SCALED, DIVIDED>(k, element, first, first_out, stream);
    let step = 32 / size;
    let mut at = 0;
    let (vectors, last) = out.as_chunks_mut::<32>();
    for out in vectors {
        let vector = if let Some(bytes) = bytes[at..].first_chunk::<16>() {
            vector::<SCALED, DIVIDED>(k, element, bytes)
        } else {
            let mut padded = [0; 16];
            padded[..step].copy_from_slice(&bytes[at..at + step]);
            vector::<SCALED, DIVIDED>(k, element, &padded)
        };
        if stream {
            stream32(out, vector);
        } else {
            store32(out, 0, vector);
        }
        at += step;
    }
    few::<SCALED, DIVIDED>(k, element, &bytes[at..], last, stream);
}

/// Fewer elements than a vector has.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn few<const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    bytes: &[u8],
    out: &mut [u8],
    stream: bool,
) {
    if bytes.is_empty() {
        return;
    }
    let mut padded = [0; 16];
    padded[..bytes.len()].copy_from_slice(bytes);
    let mut elements = [0; 32];
    store32(&mut elements, 0, vector::<SCALED, DIVIDED>(k, element, &padded));
    copy(&elements[..out.len()], out, stream);
}

/// Bytes as they are.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn copy(bytes: &[u8], out: &mut [u8], stream: bool) {
    assert_eq!(bytes.len(), out.len(), "copy");
    if !stream {
        out.copy_from_slice(bytes);
        return;
    }
    let head = (out.as_ptr().addr().wrapping_neg() % 16).min(out.len());
    out[..head].copy_from_slice(&bytes[..head]);
    let (vectors, last) = out[head..].as_chunks_mut::<16>();
    let (from, rest) = bytes[head..].as_chunks::<16>();
    for (out, bytes) in vectors.iter_mut().zip(from) {
        stream16(out, load16(bytes, 0));
    }
    last.copy_from_slice(rest);
}
