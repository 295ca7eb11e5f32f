//! Bytes to elements, a line of 64 bytes at a time, at the output's own alignment.
//!
//! Values come by the arithmetic that [`Lut::new`] proved, instead of a table.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_TO_NEAREST_INT, _mm_srli_si128, _mm256_add_epi32,
    _mm256_and_si256, _mm256_blendv_epi8, _mm256_castps_si256, _mm256_cvtepi32_ps,
    _mm256_cvtepu8_epi32, _mm256_cvtps_ph, _mm256_div_ps, _mm256_fmadd_ps, _mm256_mul_ps,
    _mm256_packus_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_srli_epi32, _mm256_sub_ps,
};

use super::lanes::{join, load16, load32, store32, stream32};
use crate::pack::{Element, LINE, Lut, Recipe, Run, Writer};
use crate::simd::{Backend, Scalar};

/// The constants of a channel in all lanes.
#[derive(Clone, Copy)]
struct Constants {
    scale: __m256,
    scale_rest: __m256,
    mean: __m256,
    std: __m256,
    reciprocal: __m256,
    reciprocal_rest: __m256,
}

impl Constants {
    /// For elements that need none.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn none() -> Self {
        let zero = _mm256_setzero_ps();
        Self {
            scale: zero,
            scale_rest: zero,
            mean: zero,
            std: zero,
            reciprocal: zero,
            reciprocal_rest: zero,
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new(recipe: &Recipe, c: usize) -> Self {
        Self {
            scale: _mm256_set1_ps(recipe.scale),
            scale_rest: _mm256_set1_ps(recipe.scale_rest),
            mean: _mm256_set1_ps(recipe.mean[c]),
            std: _mm256_set1_ps(recipe.std[c]),
            reciprocal: _mm256_set1_ps(recipe.reciprocal[c]),
            reciprocal_rest: _mm256_set1_ps(recipe.reciprocal_rest[c]),
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
    _mm256_fmadd_ps(centred, k.reciprocal, _mm256_mul_ps(centred, k.reciprocal_rest))
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

/// Runs of `len` bytes of `planes` to elements.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn elements(
    lut: &Lut,
    planes: &[u8],
    runs: &[Run],
    len: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    for run in runs {
        let bytes = (planes, run.from, len);
        match (lut.element, &lut.recipe) {
            (Element::Uint8, _) => {
                line_by_line::<SAME, false, false>(&Constants::none(), bytes, writer, out);
            }
            (_, None) => Scalar.elements(lut, planes, &[*run], len, writer, out),
            (element, Some(recipe)) => {
                let k = Constants::new(recipe, run.channel);
                match (recipe.scaled, recipe.divided) {
                    (false, false) => of::<false, false>(&k, element, bytes, writer, out),
                    (true, false) => of::<true, false>(&k, element, bytes, writer, out),
                    (false, true) => of::<false, true>(&k, element, bytes, writer, out),
                    (true, true) => of::<true, true>(&k, element, bytes, writer, out),
                }
            }
        }
    }
}

/// Planes, and a run's first byte and length in them.
type Bytes<'a> = (&'a [u8], usize, usize);

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn of<const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    bytes: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    match element {
        Element::Uint8 => line_by_line::<SAME, SCALED, DIVIDED>(k, bytes, writer, out),
        Element::Float16 => line_by_line::<HALF, SCALED, DIVIDED>(k, bytes, writer, out),
        Element::Bfloat16 => line_by_line::<BRAIN, SCALED, DIVIDED>(k, bytes, writer, out),
        Element::Float32 => line_by_line::<FLOAT, SCALED, DIVIDED>(k, bytes, writer, out),
    }
}

/// Kinds of elements, and their sizes.
const SAME: usize = 0;
const HALF: usize = 1;
const BRAIN: usize = 2;
const FLOAT: usize = 3;
const SIZES: [usize; 4] = [1, 2, 2, 4];

/// The line of the bytes from `at` on, as its two halves.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn line<const KIND: usize, const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    planes: &[u8],
    at: usize,
) -> [__m256i; 2] {
    if KIND == SAME {
        return [load32(planes, at), load32(planes, at + 32)];
    }
    let eight = |bytes| values::<SCALED, DIVIDED>(k, bytes);
    let bytes = load16(planes, at);
    let (first, second) = (eight(bytes), eight(_mm_srli_si128::<8>(bytes)));
    if KIND == FLOAT {
        return [_mm256_castps_si256(first), _mm256_castps_si256(second)];
    }
    let bytes = load16(planes, at + 16);
    let (third, fourth) = (eight(bytes), eight(_mm_srli_si128::<8>(bytes)));
    if KIND == HALF {
        return [join(float16(first), float16(second)), join(float16(third), float16(fourth))];
    }
    let brain = |first, second| {
        let packed = _mm256_packus_epi32(bfloat16(first), bfloat16(second));
        _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
    };
    [brain(first, second), brain(third, fourth)]
}

/// One run. A line that it shares with the run before it takes a whole vector and a blend; pads make that vector
/// readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn line_by_line<const KIND: usize, const SCALED: bool, const DIVIDED: bool>(
    k: &Constants,
    (planes, from, len): Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let size = SIZES[KIND];
    let k = *k;
    let line = |at| line::<KIND, SCALED, DIVIDED>(&k, planes, at);
    let step = LINE / size;
    let mut done = 0;
    if writer.fill > 0 {
        let fill = writer.fill / size;
        let halves = line(from - fill);
        for (half, vector) in [0, 32].into_iter().zip(halves) {
            let ours = load32(&OURS, LINE - writer.fill + half);
            let held = load32(&writer.held.0, half);
            store32(&mut writer.held.0, half, _mm256_blendv_epi8(held, vector, ours));
        }
        if fill + len < step {
            writer.fill += len * size;
            return;
        }
        if writer.head == 0 {
            // Among lines that go past the cache, one that does not would wait for memory.
            let held = [load32(&writer.held.0, 0), load32(&writer.held.0, 32)];
            put(out, writer.at, held, writer.stream);
            writer.at += LINE;
            writer.fill = 0;
        } else {
            writer.put_held(out);
        }
        done = step - fill;
    }
    let mut at = writer.at;
    while done + step <= len {
        put(out, at, line(from + done), writer.stream);
        (done, at) = (done + step, at + LINE);
    }
    if done < len {
        for (half, vector) in [0, 32].into_iter().zip(line(from + done)) {
            store32(&mut writer.held.0, half, vector);
        }
        writer.fill = (len - done) * size;
    }
    writer.at = at;
}

#[inline]
#[target_feature(enable = "avx2")]
fn put(out: &mut [u8], at: usize, [low, high]: [__m256i; 2], stream: bool) {
    let out = &mut out[at..at + LINE];
    if stream {
        stream32(out, 0, low);
        stream32(out, 32, high);
    } else {
        store32(out, 0, low);
        store32(out, 32, high);
    }
}

/// From byte `LINE - n` on: zeros for the first `n` bytes of a line, then ones.
static OURS: [u8; 2 * LINE] = {
    let mut bytes = [0; 2 * LINE];
    let mut i = LINE;
    while i < 2 * LINE {
        bytes[i] = 0xff;
        i += 1;
    }
    bytes
};
