//! Bytes to elements, sixteen at a time.
//!
//! Values come by the arithmetic that [`Lut::new`] proved, instead of a table, as in the other backends. The elements are
//! stored as they come, not by lines of the output: no store here goes past the cache, and one that lies across two lines
//! costs little.

use std::arch::aarch64::{
    float32x4_t, uint8x16_t, uint32x4_t, vaddq_u32, vcvtq_f32_u32, vdivq_f32, vdupq_n_f32,
    vdupq_n_u32, vfmaq_f32, vget_low_u8, vget_low_u16, vmovl_high_u8, vmovl_high_u16, vmovl_u8,
    vmovl_u16, vmulq_f32, vreinterpretq_u8_f32, vreinterpretq_u8_u16, vreinterpretq_u16_u8,
    vreinterpretq_u16_u32, vreinterpretq_u32_f32, vshlq_n_u32, vsraq_n_u32, vsubq_f32, vuzp2q_u16,
    vzip1q_u8, vzip2q_u8,
};

use super::lanes::{float16, floats, load, store};
use crate::pack::{Element, Lut, Recipe, Run, Scaling, Writer};
use crate::simd::{Backend, Scalar};

/// The constants of a channel in all lanes.
#[derive(Clone, Copy)]
struct Constants {
    scale: float32x4_t,
    scale_rest: float32x4_t,
    mean: float32x4_t,
    std: float32x4_t,
    reciprocal: float32x4_t,
    reciprocal_rest: float32x4_t,
}

impl Constants {
    /// For [`LINEAR`] and vectors whose lanes are of `channel`, then of the next, and so forth.
    #[target_feature(enable = "neon")]
    fn linear_turns(lines: &[[f32; 2]; 3], channel: usize) -> Self {
        Self {
            scale: in_turn(&lines.map(|[slope, _]| slope), channel),
            scale_rest: in_turn(&lines.map(|[_, start]| start), channel),
            ..Self::linear([0.0; 2])
        }
    }

    /// The same for all steps.
    #[target_feature(enable = "neon")]
    fn turns(recipe: &Recipe, channel: usize) -> Self {
        Self {
            mean: in_turn(&recipe.mean, channel),
            std: in_turn(&recipe.std, channel),
            reciprocal: in_turn(&recipe.reciprocal, channel),
            reciprocal_rest: in_turn(&recipe.reciprocal_rest, channel),
            ..Self::new(recipe, 0)
        }
    }

    /// For [`LINEAR`].
    #[target_feature(enable = "neon")]
    fn linear([slope, start]: [f32; 2]) -> Self {
        let zero = vdupq_n_f32(0.0);
        Self {
            scale: vdupq_n_f32(slope),
            scale_rest: vdupq_n_f32(start),
            mean: zero,
            std: zero,
            reciprocal: zero,
            reciprocal_rest: zero,
        }
    }

    #[target_feature(enable = "neon")]
    fn new(recipe: &Recipe, c: usize) -> Self {
        Self {
            scale: vdupq_n_f32(recipe.scale),
            scale_rest: vdupq_n_f32(recipe.scale_rest),
            mean: vdupq_n_f32(recipe.mean[c]),
            std: vdupq_n_f32(recipe.std[c]),
            reciprocal: vdupq_n_f32(recipe.reciprocal[c]),
            reciprocal_rest: vdupq_n_f32(recipe.reciprocal_rest[c]),
        }
    }
}

/// The values of the channels, lane after lane, from `channel` on.
#[target_feature(enable = "neon")]
fn in_turn(values: &[f32; 3], channel: usize) -> float32x4_t {
    floats(&std::array::from_fn(|lane| values[(channel + lane) % 3]))
}

/// [`Scaling`] as a number.
const NONE: usize = 0;
const ONCE: usize = 1;
const TWICE: usize = 2;
/// Instead of all steps the one of [`Lut::line`].
const LINEAR: usize = 3;

/// Kinds of elements.
const HALF: usize = 0;
const BRAIN: usize = 1;
const FLOAT: usize = 2;
const SIZES: [usize; 3] = [2, 2, 4];

/// Bytes of a step.
const STEP: usize = 16;
/// Bytes of steps that are whole pixels.
const TURN: usize = 3 * STEP;

/// Runs of `len` bytes of `planes` to elements.
#[target_feature(enable = "neon")]
pub(super) fn elements(
    lut: &Lut,
    planes: &[u8],
    runs: &[Run],
    len: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    if lut.element == Element::Uint8 || len < STEP {
        return Scalar.elements(lut, planes, runs, len, writer, out);
    }
    writer.finish(out);
    for runs in runs.chunk_by(|a, b| (a.channel, a.from) == (b.channel, b.from)) {
        let (c, from) = (runs[0].channel, runs[0].from);
        let total = runs.len() * len * lut.element.size();
        let copies = Copies {
            bytes: &planes[from..from + len],
            out: &mut out[writer.at..writer.at + total],
        };
        if let Some(line) = &lut.line {
            of::<LINEAR, false>(&Constants::linear(line[c]), lut.element, copies);
        } else if let Some(recipe) = &lut.recipe {
            let (k, element) = (Constants::new(recipe, c), lut.element);
            match (recipe.scaling, recipe.divided) {
                (Scaling::None, false) => of::<NONE, false>(&k, element, copies),
                (Scaling::Once, false) => of::<ONCE, false>(&k, element, copies),
                (Scaling::Twice, false) => of::<TWICE, false>(&k, element, copies),
                (Scaling::None, true) => of::<NONE, true>(&k, element, copies),
                (Scaling::Once, true) => of::<ONCE, true>(&k, element, copies),
                (Scaling::Twice, true) => of::<TWICE, true>(&k, element, copies),
            }
        } else {
            Scalar.elements(lut, planes, runs, len, writer, out);
            continue;
        }
        writer.at += total;
    }
}

/// `len` bytes of pixels to elements.
#[target_feature(enable = "neon")]
pub(super) fn pixels(
    lut: &Lut,
    bytes: &[u8],
    from: usize,
    len: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    if lut.element == Element::Uint8 || len < TURN {
        return Scalar.pixels(lut, bytes, from, len, writer, out);
    }
    writer.finish(out);
    let total = len * lut.element.size();
    let element = lut.element;
    let pixels =
        Pixels { bytes: &bytes[from..from + len], out: &mut out[writer.at..writer.at + total] };
    if let Some(line) = &lut.line {
        let k = [0, 1, 2].map(|channel| Constants::linear_turns(line, channel));
        of_pixels::<LINEAR, false>(&k, element, pixels);
    } else if let Some(recipe) = &lut.recipe {
        let k = [0, 1, 2].map(|channel| Constants::turns(recipe, channel));
        match (recipe.scaling, recipe.divided) {
            (Scaling::None, false) => of_pixels::<NONE, false>(&k, element, pixels),
            (Scaling::Once, false) => of_pixels::<ONCE, false>(&k, element, pixels),
            (Scaling::Twice, false) => of_pixels::<TWICE, false>(&k, element, pixels),
            (Scaling::None, true) => of_pixels::<NONE, true>(&k, element, pixels),
            (Scaling::Once, true) => of_pixels::<ONCE, true>(&k, element, pixels),
            (Scaling::Twice, true) => of_pixels::<TWICE, true>(&k, element, pixels),
        }
    } else {
        return Scalar.pixels(lut, bytes, from, len, writer, out);
    }
    writer.at += total;
}

/// A run of pixels, and the place of its elements.
struct Pixels<'a> {
    bytes: &'a [u8],
    out: &'a mut [u8],
}

#[target_feature(enable = "neon")]
fn of_pixels<const SCALING: usize, const DIVIDED: bool>(
    k: &[Constants; 3],
    element: Element,
    pixels: Pixels<'_>,
) {
    match element {
        // Taken care of before.
        Element::Uint8 => {}
        Element::Float16 => turns::<HALF, SCALING, DIVIDED>(k, pixels),
        Element::Bfloat16 => turns::<BRAIN, SCALING, DIVIDED>(k, pixels),
        Element::Float32 => turns::<FLOAT, SCALING, DIVIDED>(k, pixels),
    }
}

/// Four lanes are one more than a pixel, and so are sixteen: each vector begins with the channel after that of the one
/// before it, whether in the same step or in the next. Three steps are whole pixels.
#[target_feature(enable = "neon")]
fn turns<const KIND: usize, const SCALING: usize, const DIVIDED: bool>(
    k: &[Constants; 3],
    Pixels { bytes, out }: Pixels<'_>,
) {
    let k = *k;
    let size = SIZES[KIND];
    let last = bytes.len() - TURN;
    let mut at = 0;
    loop {
        let steps = &bytes[at..at + TURN];
        let out = &mut out[at * size..(at + TURN) * size];
        // One place that makes values: the compiler inlines it and then writes the three steps out.
        for step in 0..3 {
            let k = [0, 1, 2, 0].map(|vector| &k[(step + vector) % 3]);
            let values = values::<SCALING, DIVIDED>(k, load(steps, step * STEP));
            put::<KIND>(values, &mut out[step * STEP * size..(step + 1) * STEP * size]);
        }
        if at == last {
            return;
        }
        // The last ones overlap those before them, by whole pixels.
        at = (at + TURN).min(last);
    }
}

/// A run of bytes, and the places of its elements, as often as there is room for.
struct Copies<'a> {
    bytes: &'a [u8],
    out: &'a mut [u8],
}

#[target_feature(enable = "neon")]
fn of<const SCALING: usize, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    copies: Copies<'_>,
) {
    match element {
        // Taken care of before.
        Element::Uint8 => {}
        Element::Float16 => run::<HALF, SCALING, DIVIDED>(k, copies),
        Element::Bfloat16 => run::<BRAIN, SCALING, DIVIDED>(k, copies),
        Element::Float32 => run::<FLOAT, SCALING, DIVIDED>(k, copies),
    }
}

#[target_feature(enable = "neon")]
fn run<const KIND: usize, const SCALING: usize, const DIVIDED: bool>(
    k: &Constants,
    Copies { bytes, out }: Copies<'_>,
) {
    let size = SIZES[KIND];
    let last = bytes.len() - STEP;
    let mut at = 0;
    loop {
        let values = values::<SCALING, DIVIDED>([k; 4], load(bytes, at));
        for copy in out.chunks_exact_mut(bytes.len() * size) {
            put::<KIND>(values, &mut copy[at * size..(at + STEP) * size]);
        }
        if at == last {
            return;
        }
        // The last ones overlap those before them.
        at = (at + STEP).min(last);
    }
}

/// Sixteen values as elements.
#[inline]
#[target_feature(enable = "neon")]
fn put<const KIND: usize>(values: [float32x4_t; 4], out: &mut [u8]) {
    if KIND == FLOAT {
        for (i, value) in values.into_iter().enumerate() {
            store(out, i * 16, vreinterpretq_u8_f32(value));
        }
    } else {
        for (i, &values) in values.as_chunks::<2>().0.iter().enumerate() {
            let eight = if KIND == HALF { float16(values) } else { bfloat16(values) };
            store(out, i * 16, eight);
        }
    }
}

/// The values of sixteen bytes, of each four by constants of their own. The steps are those of [`Recipe::value`].
#[inline]
#[target_feature(enable = "neon")]
fn values<const SCALING: usize, const DIVIDED: bool>(
    constants: [&Constants; 4],
    bytes: uint8x16_t,
) -> [float32x4_t; 4] {
    let [low, high] = if SCALING == ONCE {
        // A byte beside itself is 257 of it.
        [vzip1q_u8(bytes, bytes), vzip2q_u8(bytes, bytes)].map(|v| vreinterpretq_u16_u8(v))
    } else {
        [vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes)]
    };
    let dwords = [
        vmovl_u16(vget_low_u16(low)),
        vmovl_high_u16(low),
        vmovl_u16(vget_low_u16(high)),
        vmovl_high_u16(high),
    ];
    let value = |k: &Constants, dwords: uint32x4_t| {
        let byte = vcvtq_f32_u32(dwords);
        let scaled = match SCALING {
            NONE => byte,
            ONCE | LINEAR => vfmaq_f32(k.scale_rest, byte, k.scale),
            _ => vfmaq_f32(vmulq_f32(byte, k.scale_rest), byte, k.scale),
        };
        if SCALING == LINEAR {
            return scaled;
        }
        let centred = vsubq_f32(scaled, k.mean);
        if DIVIDED {
            vdivq_f32(centred, k.std)
        } else {
            vfmaq_f32(vmulq_f32(centred, k.reciprocal_rest), centred, k.reciprocal)
        }
    };
    let [a, b, c, d] = constants;
    let [first, second, third, fourth] = dwords;
    [value(a, first), value(b, second), value(c, third), value(d, fourth)]
}

/// Eight values as bfloat16, rounded to nearest, ties to even: the high words of their bits, with 0x7fff and the lowest bit
/// of the high word added.
#[inline]
#[target_feature(enable = "neon")]
fn bfloat16(values: [float32x4_t; 2]) -> uint8x16_t {
    let [low, high] = values.map(|value| {
        let bits = vreinterpretq_u32_f32(value);
        let half = vaddq_u32(bits, vdupq_n_u32(0x7fff));
        vreinterpretq_u16_u32(vsraq_n_u32::<31>(half, vshlq_n_u32::<15>(bits)))
    });
    vreinterpretq_u8_u16(vuzp2q_u16(low, high))
}
