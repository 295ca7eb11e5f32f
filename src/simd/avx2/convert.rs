//! Bytes to elements by the arithmetic that [`Lut::new`] proved, instead of a table.

use std::arch::x86_64::{
    __m128i, __m256, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32, _mm256_and_si256,
    _mm256_castps_si256, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtps_ph, _mm256_div_ps,
    _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_mul_ps, _mm256_packus_epi32,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_ps, _mm256_srli_epi32, _mm256_sub_ps,
};

use super::lanes::{load8, low, store16, store32, stream16, stream32};
use crate::pack::{Element, Lut, Recipe};
use crate::simd::{Backend, Scalar};

/// Elements of a vector.
const LANES: usize = 8;

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

/// Eight values as float16.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn float16(values: __m256) -> __m128i {
    _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
}

/// Eight values as bfloat16: the high halves, rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn bfloat16(values: __m256) -> __m128i {
    let bits = _mm256_castps_si256(values);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half));
    let packed = _mm256_packus_epi32(rounded, rounded);
    low(_mm256_permute4x64_epi64::<0b10_00>(packed))
}

/// Bytes of channel `c` to elements.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn plane(lut: &Lut, c: usize, bytes: &[u8], out: &mut [u8], stream: bool) {
    if lut.element == Element::Uint8 {
        out.copy_from_slice(bytes);
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
    let rest = if size == 4 {
        let (bytes, rest) = bytes.as_chunks::<LANES>();
        let (out, _) = out.as_chunks_mut::<32>();
        for (bytes, out) in bytes.iter().zip(out) {
            let bits = _mm256_castps_si256(values::<SCALED, DIVIDED>(k, load8(bytes)));
            if stream { stream32(out, bits) } else { store32(out, 0, bits) }
        }
        rest
    } else {
        let (bytes, rest) = bytes.as_chunks::<LANES>();
        let (out, _) = out.as_chunks_mut::<16>();
        for (bytes, out) in bytes.iter().zip(out) {
            let values = values::<SCALED, DIVIDED>(k, load8(bytes));
            let halves =
                if element == Element::Float16 { float16(values) } else { bfloat16(values) };
            if stream { stream16(out, halves) } else { store16(out, 0, halves) }
        }
        rest
    };
    let start = out.len() - rest.len() * size;
    few::<SCALED, DIVIDED>(k, element, rest, &mut out[start..], stream);
}

/// Fewer elements than a run of 32 bytes holds.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn few<const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    bytes: &[u8],
    out: &mut [u8],
    stream: bool,
) {
    let size = element.size();
    let mut bytes = bytes;
    let mut out = out;
    while !bytes.is_empty() {
        let count = bytes.len().min(16 / size);
        let mut padded = [0; LANES];
        padded[..count].copy_from_slice(&bytes[..count]);
        let values = values::<SCALED, DIVIDED>(k, load8(&padded));
        let vector = match element {
            Element::Float16 => float16(values),
            Element::Bfloat16 => bfloat16(values),
            Element::Float32 | Element::Uint8 => low(_mm256_castps_si256(values)),
        };
        let (now, later) = std::mem::take(&mut out).split_at_mut(count * size);
        match now.as_chunks_mut::<16>().0 {
            [now] if stream && now.as_ptr().addr().is_multiple_of(16) => stream16(now, vector),
            _ => {
                let mut copy = [0; 16];
                store16(&mut copy, 0, vector);
                now.copy_from_slice(&copy[..count * size]);
            }
        }
        bytes = &bytes[count..];
        out = later;
    }
}
