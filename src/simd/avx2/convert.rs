//! Bytes to elements, a line of 64 bytes at a time, at the output's own alignment.
//!
//! Values come by the arithmetic that [`Lut::new`] proved, instead of a table: float32 by all steps of its recipe, float16
//! and bfloat16 by one, where that is near enough to be rounded to the same elements.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32, _mm256_and_si256,
    _mm256_blend_epi16, _mm256_blendv_epi8, _mm256_castps_si256, _mm256_cvtepi32_ps,
    _mm256_cvtps_ph, _mm256_div_ps, _mm256_fmadd_ps, _mm256_mul_ps, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_ps, _mm256_setzero_ps, _mm256_shuffle_epi8,
    _mm256_srli_epi32, _mm256_sub_ps,
};

use super::lanes::{Lines, join, load_line, load32, store_line, twofold};
use crate::pack::{Element, KEPT, LINE, Lut, Recipe, Run, Scaling, Writer};
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

    /// For [`LINEAR`].
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn linear([slope, start]: [f32; 2]) -> Self {
        Self { scale: _mm256_set1_ps(slope), scale_rest: _mm256_set1_ps(start), ..Self::none() }
    }

    /// For [`LINEAR`] and vectors whose lanes are of `channel`, then of the one `step` on, and so forth.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn linear_turns(lines: &[[f32; 2]; 3], channel: usize, step: usize) -> Self {
        Self {
            scale: in_turn(&lines.map(|[slope, _]| slope), channel, step),
            scale_rest: in_turn(&lines.map(|[_, start]| start), channel, step),
            ..Self::none()
        }
    }

    /// The same for all steps.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn turns(recipe: &Recipe, channel: usize, step: usize) -> Self {
        Self {
            mean: in_turn(&recipe.mean, channel, step),
            std: in_turn(&recipe.std, channel, step),
            reciprocal: in_turn(&recipe.reciprocal, channel, step),
            reciprocal_rest: in_turn(&recipe.reciprocal_rest, channel, step),
            ..Self::new(recipe, 0)
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

/// The values of the channels, lane after lane, from `channel` on by `step`.
#[inline]
#[target_feature(enable = "avx2")]
fn in_turn(values: &[f32; 3], channel: usize, step: usize) -> __m256 {
    let lane = |i: usize| values[(channel + i * step) % 3];
    _mm256_setr_ps(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7))
}

/// [`Scaling`] as a number.
const NONE: usize = 0;
const ONCE: usize = 1;
const TWICE: usize = 2;
/// Instead of all steps the one of [`Lut::line`].
const LINEAR: usize = 3;

/// Sixteen bytes in both lanes to eight dwords each, all in order or the even and the odd ones: each byte alone, or
/// beside itself.
static IN_ORDER: [[[u8; 32]; 2]; 2] =
    [[widened(0, 1, 1), widened(8, 1, 1)], [widened(0, 1, 2), widened(8, 1, 2)]];
static IN_TURN: [[[u8; 32]; 2]; 2] =
    [[widened(0, 2, 1), widened(1, 2, 1)], [widened(0, 2, 2), widened(1, 2, 2)]];

/// From byte `first` on every byte `step` apart to a dword, `times` over from its first byte on, for `vpshufb`.
const fn widened(first: usize, step: usize, times: usize) -> [u8; 32] {
    let mut order = [128; 32];
    let mut i = 0;
    while i < 32 {
        if i % 4 < times {
            order[i] = (first + i / 4 * step) as u8;
        }
        i += 1;
    }
    order
}

/// The values of the sixteen bytes from `at` on, of each eight by constants of their own.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn values<const SCALING: usize, const DIVIDED: bool>(
    [first, second]: [&Constants; 2],
    orders: &[[u8; 32]; 2],
    bytes: &[u8],
    at: usize,
) -> [__m256; 2] {
    let bytes = twofold(bytes, at);
    [
        eight::<SCALING, DIVIDED>(first, &orders[0], bytes),
        eight::<SCALING, DIVIDED>(second, &orders[1], bytes),
    ]
}

/// The values of eight of sixteen bytes, which lie in both lanes. The steps are those of [`Recipe::value`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn eight<const SCALING: usize, const DIVIDED: bool>(
    k: &Constants,
    order: &[u8; 32],
    bytes: __m256i,
) -> __m256 {
    let byte = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, load32(order, 0)));
    if SCALING == LINEAR {
        return _mm256_fmadd_ps(byte, k.scale, k.scale_rest);
    }
    let scaled = match SCALING {
        NONE => byte,
        ONCE => _mm256_fmadd_ps(byte, k.scale, k.scale_rest),
        _ => _mm256_fmadd_ps(byte, k.scale, _mm256_mul_ps(byte, k.scale_rest)),
    };
    let centred = _mm256_sub_ps(scaled, k.mean);
    if DIVIDED {
        _mm256_div_ps(centred, k.std)
    } else {
        _mm256_fmadd_ps(centred, k.reciprocal, _mm256_mul_ps(centred, k.reciprocal_rest))
    }
}

/// Eight values as float16.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn float16(values: __m256) -> __m128i {
    _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
}

/// Eight values to bfloat16, in the high half of each dword: rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn bfloat16(values: __m256) -> __m256i {
    let bits = _mm256_castps_si256(values);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    _mm256_add_epi32(bits, half)
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
    if lut.element == Element::Uint8 {
        let none = Constants::none();
        for run in runs {
            let bytes = Bytes { planes, from: run.from, len, count: 1 };
            copies::<SAME, NONE, false>(&none, bytes, writer, out);
        }
        return;
    }
    for runs in runs.chunk_by(|a, b| (a.channel, a.from) == (b.channel, b.from)) {
        let (c, bytes) =
            (runs[0].channel, Bytes { planes, from: runs[0].from, len, count: runs.len() });
        if let Some(line) = &lut.line {
            let k = Constants::linear(line[c]);
            of::<LINEAR, false>(&k, lut.element, bytes, writer, out);
            continue;
        }
        let Some(recipe) = &lut.recipe else {
            Scalar.elements(lut, planes, runs, len, writer, out);
            continue;
        };
        let (k, element) = (Constants::new(recipe, c), lut.element);
        match (recipe.scaling, recipe.divided) {
            (Scaling::None, false) => of::<NONE, false>(&k, element, bytes, writer, out),
            (Scaling::Once, false) => of::<ONCE, false>(&k, element, bytes, writer, out),
            (Scaling::Twice, false) => of::<TWICE, false>(&k, element, bytes, writer, out),
            (Scaling::None, true) => of::<NONE, true>(&k, element, bytes, writer, out),
            (Scaling::Once, true) => of::<ONCE, true>(&k, element, bytes, writer, out),
            (Scaling::Twice, true) => of::<TWICE, true>(&k, element, bytes, writer, out),
        }
    }
}

/// `len` bytes of pixels to elements.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn pixels(
    lut: &Lut,
    bytes: &[u8],
    from: usize,
    len: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let run = Bytes { planes: bytes, from, len, count: 1 };
    if lut.element == Element::Uint8 {
        return copies::<SAME, NONE, false>(&Constants::none(), run, writer, out);
    }
    // Even and odd elements of a line of bfloat16 are made apart.
    let step = if lut.element == Element::Bfloat16 { 2 } else { 1 };
    if let Some(line) = &lut.line {
        let k = [0, 1, 2].map(|channel| Constants::linear_turns(line, channel, step));
        return of_pixels::<LINEAR, false>(&k, lut.element, run, writer, out);
    }
    let Some(recipe) = &lut.recipe else {
        return Scalar.pixels(lut, bytes, from, len, writer, out);
    };
    let k = [0, 1, 2].map(|channel| Constants::turns(recipe, channel, step));
    let element = lut.element;
    match (recipe.scaling, recipe.divided) {
        (Scaling::None, false) => of_pixels::<NONE, false>(&k, element, run, writer, out),
        (Scaling::Once, false) => of_pixels::<ONCE, false>(&k, element, run, writer, out),
        (Scaling::Twice, false) => of_pixels::<TWICE, false>(&k, element, run, writer, out),
        (Scaling::None, true) => of_pixels::<NONE, true>(&k, element, run, writer, out),
        (Scaling::Once, true) => of_pixels::<ONCE, true>(&k, element, run, writer, out),
        (Scaling::Twice, true) => of_pixels::<TWICE, true>(&k, element, run, writer, out),
    }
}

/// A run, and how many copies of it come one after the other.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    planes: &'a [u8],
    from: usize,
    len: usize,
    count: usize,
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn of<const SCALING: usize, const DIVIDED: bool>(
    k: &Constants,
    element: Element,
    bytes: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    match element {
        // Taken care of before.
        Element::Uint8 => {}
        Element::Float16 => copies::<HALF, SCALING, DIVIDED>(k, bytes, writer, out),
        Element::Bfloat16 => copies::<BRAIN, SCALING, DIVIDED>(k, bytes, writer, out),
        Element::Float32 => copies::<FLOAT, SCALING, DIVIDED>(k, bytes, writer, out),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn of_pixels<const SCALING: usize, const DIVIDED: bool>(
    k: &[Constants; 3],
    element: Element,
    bytes: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    match element {
        // Taken care of before.
        Element::Uint8 => {}
        Element::Float16 => turns::<HALF, SCALING, DIVIDED>(k, bytes, writer, out),
        Element::Bfloat16 => turns::<BRAIN, SCALING, DIVIDED>(k, bytes, writer, out),
        Element::Float32 => turns::<FLOAT, SCALING, DIVIDED>(k, bytes, writer, out),
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
fn line<const KIND: usize, const SCALING: usize, const DIVIDED: bool>(
    k: &Constants,
    planes: &[u8],
    at: usize,
) -> [__m256i; 2] {
    if KIND == SAME {
        return [load32(planes, at), load32(planes, at + 32)];
    }
    let orders = if KIND == BRAIN { &IN_TURN } else { &IN_ORDER };
    let orders = &orders[usize::from(SCALING == ONCE)];
    let sixteen = |at| values::<SCALING, DIVIDED>([k; 2], orders, planes, at);
    if KIND == FLOAT {
        let [first, second] = sixteen(at);
        return [_mm256_castps_si256(first), _mm256_castps_si256(second)];
    }
    [sixteen(at), sixteen(at + 16)].map(|values| halves::<KIND>(values))
}

/// Sixteen values, in order or in turn, as elements of two bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves<const KIND: usize>([first, second]: [__m256; 2]) -> __m256i {
    if KIND == HALF {
        return join(float16(first), float16(second));
    }
    let even = _mm256_srli_epi32::<16>(bfloat16(first));
    _mm256_blend_epi16::<0b1010_1010>(even, bfloat16(second))
}

/// The copies of a run.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn copies<const KIND: usize, const SCALING: usize, const DIVIDED: bool>(
    k: &Constants,
    bytes: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let mut count = bytes.count;
    if KIND == FLOAT && !DIVIDED && writer.head == 0 {
        while count >= 2 {
            match (bytes.len, writer.stream) {
                (196, false) => pair::<SCALING, false, 12, 16>(k, bytes, writer, out),
                (196, true) => pair::<SCALING, true, 12, 16>(k, bytes, writer, out),
                (256, false) => pair::<SCALING, false, 16, 0>(k, bytes, writer, out),
                (256, true) => pair::<SCALING, true, 16, 0>(k, bytes, writer, out),
                _ => break,
            }
            count -= 2;
        }
    }
    for _ in 0..count {
        one::<KIND, SCALING, DIVIDED>(k, bytes, writer, out);
    }
}

/// Two copies of the float32 of a patch, which are `WHOLE` lines and `SHIFT` bytes, 0 or half a vector.
///
/// The lines of the first copy are kept, and those of the second one are put together from halves of their vectors.
/// Both at once would be cheaper still, but where the output is not in the cache memory takes lines in order only.
///
/// ```text
/// lines of the first copy     ....aaaabbbbcccc|ddddeeeeffffgggg|hhhhiiiijjjjkkkk|lllltttt
/// of the second one, SHIFT 16     ....    aaaa|bbbbccccddddeeee|ffffgggghhhhiiii|jjjjkkkkllll
/// ```
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn pair<const SCALING: usize, const STREAM: bool, const WHOLE: usize, const SHIFT: usize>(
    k: &Constants,
    bytes: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    const { assert!(WHOLE <= KEPT && (SHIFT == 0 || SHIFT == 16), "size of a patch") }
    let k = *k;
    let fill = writer.fill;
    let first = bytes.from - fill / 4;
    let bytes = &bytes.planes[first..first + (WHOLE + 2) * 16];
    let line = |i| line::<FLOAT, SCALING, false>(&k, bytes, i * 16);
    // Where the copies end in their last lines, which may be one farther.
    let ends = [fill + SHIFT, fill + 2 * SHIFT];
    let count = 2 * WHOLE + ends[1] / LINE;
    let mut lines = Lines::new(out, writer.at, count, STREAM);

    let mut before = line(0);
    lines.put(0, blend(fill, load_line(&writer.held), before));
    let mut begin = [shifted::<SHIFT>(before, before); 2];
    for i in 1..WHOLE {
        let line = line(i);
        lines.put(i, line);
        store_line(&mut writer.kept[i], line);
        if i == 1 {
            begin[1] = shifted::<SHIFT>(before, line);
        }
        before = line;
    }
    let last = line(WHOLE);
    let mut held = shifted::<SHIFT>(before, last);
    let after = if ends[1] < LINE { last } else { line(WHOLE + 1) };
    lines.put(WHOLE, blend(ends[0].min(LINE), last, begin[0]));
    lines.put(WHOLE + 1, blend(ends[0].saturating_sub(LINE), after, begin[1]));
    let mut before = load_line(&writer.kept[1]);
    for i in 2..WHOLE {
        let line = load_line(&writer.kept[i]);
        lines.put(WHOLE + i, shifted::<SHIFT>(before, line));
        before = line;
    }
    if ends[1] >= LINE {
        lines.put(2 * WHOLE, held);
        held = shifted::<SHIFT>(last, after);
    }
    store_line(&mut writer.held, held);
    writer.fill = ends[1] % LINE;
    writer.at += count * LINE;
}

/// The line that begins `SHIFT` bytes before `line` does, where `before` ends.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn shifted<const SHIFT: usize>(before: [__m256i; 2], line: [__m256i; 2]) -> [__m256i; 2] {
    if SHIFT == 0 {
        return line;
    }
    [
        _mm256_permute2x128_si256::<0x21>(before[1], line[0]),
        _mm256_permute2x128_si256::<0x21>(line[0], line[1]),
    ]
}

/// The first `fill` bytes of one line, then the other.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn blend(fill: usize, first: [__m256i; 2], then: [__m256i; 2]) -> [__m256i; 2] {
    let ours = &OURS[LINE - fill..];
    [
        _mm256_blendv_epi8(first[0], then[0], load32(ours, 0)),
        _mm256_blendv_epi8(first[1], then[1], load32(ours, 32)),
    ]
}

/// One run. A line that it shares with the run before it takes a whole vector and a blend; pads make that vector
/// readable, and the one after the last.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn one<const KIND: usize, const SCALING: usize, const DIVIDED: bool>(
    k: &Constants,
    Bytes { planes, mut from, mut len, .. }: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let k = *k;
    let size = SIZES[KIND];
    let step = LINE / size;
    if writer.head > 0 {
        let fill = writer.fill / size;
        let line = line::<KIND, SCALING, DIVIDED>(&k, planes, from - fill);
        let line = blend(writer.fill, load_line(&writer.held), line);
        store_line(&mut writer.held, line);
        if fill + len < step {
            writer.fill += len * size;
            return;
        }
        writer.put_held(out);
        (from, len) = (from + step - fill, len + fill - step);
    }
    let fill = writer.fill / size;
    let count = (fill + len) / step;
    let bytes = &planes[from - fill..from - fill + (count + 1) * step];
    let mut lines = Lines::new(out, writer.at, count, writer.stream);
    let mut next = line::<KIND, SCALING, DIVIDED>(&k, bytes, 0);
    next = blend(writer.fill, load_line(&writer.held), next);
    for (i, bytes) in bytes[step..].chunks_exact(step).enumerate() {
        lines.put(i, next);
        next = line::<KIND, SCALING, DIVIDED>(&k, bytes, 0);
    }
    store_line(&mut writer.held, next);
    writer.fill = (fill + len) % step * size;
    writer.at += count * LINE;
}

/// The line of the bytes of pixels from `at` on, the first of which is of `channel`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn line_of_pixels<const KIND: usize, const SCALING: usize, const DIVIDED: bool>(
    k: &[Constants; 3],
    bytes: &[u8],
    at: usize,
    channel: usize,
) -> [__m256i; 2] {
    let orders = if KIND == BRAIN { &IN_TURN } else { &IN_ORDER };
    let orders = &orders[usize::from(SCALING == ONCE)];
    // A second vector goes on eight bytes later, or begins with the next byte.
    let second = if KIND == BRAIN { 1 } else { 8 };
    let sixteen = |at, channel: usize| {
        let k = [&k[channel % 3], &k[(channel + second) % 3]];
        values::<SCALING, DIVIDED>(k, orders, bytes, at)
    };
    if KIND == FLOAT {
        return sixteen(at, channel).map(|values| _mm256_castps_si256(values));
    }
    [halves::<KIND>(sixteen(at, channel)), halves::<KIND>(sixteen(at + 16, channel + 16))]
}

/// A run of pixels, as [`one`] takes one of a channel.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn turns<const KIND: usize, const SCALING: usize, const DIVIDED: bool>(
    k: &[Constants; 3],
    Bytes { planes, mut from, mut len, .. }: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let (size, mut channel) = (SIZES[KIND], 0);
    let step = LINE / size;
    // The channel of the byte `back` before one of `channel`.
    let before = |channel: usize, back: usize| (channel + 66 - back) % 3;
    if writer.head > 0 {
        let fill = writer.fill / size;
        let line =
            line_of_pixels::<KIND, SCALING, DIVIDED>(k, planes, from - fill, before(0, fill));
        let line = blend(writer.fill, load_line(&writer.held), line);
        store_line(&mut writer.held, line);
        if fill + len < step {
            writer.fill += len * size;
            return;
        }
        writer.put_held(out);
        channel = (step - fill) % 3;
        (from, len) = (from + step - fill, len + fill - step);
    }
    let fill = writer.fill / size;
    let count = (fill + len) / step;
    let bytes = &planes[from - fill..from - fill + (count + 1) * step];
    let mut lines = Lines::new(out, writer.at, count, writer.stream);
    channel = before(channel, fill);
    let mut next = line_of_pixels::<KIND, SCALING, DIVIDED>(k, bytes, 0, channel);
    next = blend(writer.fill, load_line(&writer.held), next);
    for (i, bytes) in bytes[step..].chunks_exact(step).enumerate() {
        lines.put(i, next);
        channel = (channel + step) % 3;
        next = line_of_pixels::<KIND, SCALING, DIVIDED>(k, bytes, 0, channel);
    }
    store_line(&mut writer.held, next);
    writer.fill = (fill + len) % step * size;
    writer.at += count * LINE;
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
