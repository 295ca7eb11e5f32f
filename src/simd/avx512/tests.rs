//! The kernels over emulated operations against the scalar backend; where the processor has the
//! instructions, these too, and each of them against its emulation.

use std::fmt::Debug;

use super::super::scalar::Scalar;
use super::super::tests::{thirds, ways};
use super::super::{BAND, Backend, GROUP, group_len};
use super::emulated::Emulated;
use super::ops::{Line, Ops, load_widened};
use super::{Avx512, Weights, sums};
use crate::image::Row;
use crate::pack::{Arithmetic, Element, Lut, Normalise, PAD, Run, Scaling, Writer};
use crate::resample::{Axis, Filter};

/// A 64-bit xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Noise, or only the two ends, where sums leave the range of a byte.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let ends = self.below(3) == 0;
        (0..len).map(|_| if ends { [0, 255][self.below(2)] } else { self.next() as u8 }).collect()
    }
}

/// Runs a check with the emulated operations and with the processor's, if it has them.
macro_rules! both {
    ($check:ident($($arg:expr),*)) => {
        $check(Emulated, $($arg),*);
        if let Some(native) = Avx512::detect() {
            $check(native, $($arg),*);
        }
    };
}

/// How many random cases: `DYNRES_CASES` in a long run.
fn cases(few: usize) -> usize {
    std::env::var("DYNRES_CASES").ok().map_or(few, |count| count.parse().expect("DYNRES_CASES"))
}

const LENGTHS: [usize; 16] =
    [131, 159, 160, 161, 191, 192, 193, 255, 256, 257, 319, 320, 321, 511, 512, 577];

fn lengths() -> impl Iterator<Item = usize> {
    (0..=130).chain(LENGTHS)
}

/// What must stay as it was, around what a kernel writes.
const CANARY: u8 = 0xA5;

struct Guarded(Vec<u8>, usize);

impl Guarded {
    fn new(len: usize, before: usize) -> Self {
        Self(vec![CANARY; before + len + 200], before)
    }

    fn inner(&mut self, len: usize) -> &mut [u8] {
        let start = self.1;
        &mut self.0[start..start + len]
    }

    fn check(&mut self, expected: &[u8], what: impl Debug) {
        let end = self.1 + expected.len();
        assert!(self.0[self.1..end] == *expected, "{what:?}: bytes differ");
        let untouched = self.0[..self.1].iter().chain(&self.0[end..]).all(|&byte| byte == CANARY);
        assert!(untouched, "{what:?}: wrote outside");
    }
}

fn axis(random: &mut Random, filter: Filter, source: usize, target: usize) -> Axis {
    Axis::new(filter, source, target, random.below(2) == 0).expect("memory")
}

/// Sizes that reach every layout: up, down, by a little, by a lot, to and from one.
fn sizes(random: &mut Random) -> (usize, usize) {
    let small = 1 + random.below(90);
    match random.below(8) {
        0 => (small, 1 + random.below(90)),
        1 => (small, small + 1 + random.below(4)),
        2 => (small * (1 + random.below(4)) + random.below(9), small),
        3 => (small.div_ceil(3) * (1 + random.below(14)) + random.below(20), small.div_ceil(3)),
        4 => (200 + random.below(2000), 1 + random.below(9)),
        5 => (1 + random.below(6), 1 + random.below(300)),
        6 => (1 + random.below(3), 1 + random.below(3)),
        _ => (120 + random.below(250), 20 + random.below(80)),
    }
}

fn one_horizontal<B: Backend>(
    backend: B,
    axis: &Axis,
    input: usize,
    output: usize,
    random: &mut Random,
) {
    let image = std::array::from_fn(|_| random.bytes(axis.source * input));
    horizontal_of(backend, axis, input, output, &image);
}

fn horizontal_of<B: Backend>(
    backend: B,
    axis: &Axis,
    input: usize,
    output: usize,
    image: &[Vec<u8>; BAND],
) {
    let rows: [Row<'_>; BAND] = std::array::from_fn(|r| Row::from(image[r].as_slice()));
    let group = group_len(axis.target * output);
    let (mut expected, mut band) = (vec![0; 2 * group], vec![CANARY; 2 * group]);
    Scalar.horizontal(
        &Scalar.columns(axis, input, output).expect("memory"),
        &rows,
        true,
        &mut expected,
    );
    backend.horizontal(
        &backend.columns(axis, input, output).expect("memory"),
        &rows,
        true,
        &mut band,
    );
    let len = axis.target * output * GROUP;
    for half in [0, group] {
        let at = (0..len).find(|i| expected[half + i] != band[half + i]);
        assert_eq!(
            at, None,
            "{} to {} px, {input} to {output} bytes, half {half}",
            axis.source, axis.target
        );
    }
}

fn one_vertical<B: Backend>(backend: B, axis: &Axis, components: usize, random: &mut Random) {
    let count = axis.source.div_ceil(GROUP);
    let groups: Vec<Vec<u8>> = (0..count).map(|_| random.bytes(group_len(components))).collect();
    let (plain, laid) = (Scalar.rows(axis).expect("memory"), backend.rows(axis).expect("memory"));
    let mut expected = vec![0; components];
    for i in 0..axis.target {
        let reads = axis.reads(i);
        let window: Vec<&[u8]> = groups[reads.start / GROUP..=(reads.end - 1) / GROUP]
            .iter()
            .map(Vec::as_slice)
            .collect();
        Scalar.vertical(&plain, i, &window, &mut expected);
        let mut out = Guarded::new(components, random.below(70));
        backend.vertical(&laid, i, &window, out.inner(components));
        out.check(&expected, (axis.source, axis.target, i, components));
    }
}

fn random_passes<B: Backend>(backend: B, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..cases(120) {
        let (source, target) = sizes(&mut random);
        let filter = random.pick(&Filter::ALL);
        let axis = axis(&mut random, filter, source, target);
        let (input, output) = random.pick(&[(3, 3), (4, 4), (4, 3)]);
        one_horizontal(backend, &axis, input, output, &mut random);
    }
    for _ in 0..cases(40) {
        let (source, target) = sizes(&mut random);
        let filter = random.pick(&Filter::ALL);
        let axis = axis(&mut random, filter, source, target.min(40));
        let components = 1 + random.below(300);
        one_vertical(backend, &axis, components, &mut random);
    }
}

#[test]
fn passes_of_random_sizes() {
    both!(random_passes(0x9E37_79B9_7F4A_7C15));
}

/// Windows of one and two taps more than whole steps, on rows that drive sums up and down as far as they go.
fn narrow_steps<B: Backend>(backend: B) {
    let mut random = Random(29);
    let mut found = Vec::new();
    for filter in Filter::ALL {
        for source in 20..260 {
            for int16 in [false, true] {
                let axis = Axis::new(filter, source, 60, int16).expect("memory");
                let taps = axis.longest();
                if !matches!(taps, 1 | 2 | 5 | 6 | 9 | 10 | 13 | 14) {
                    continue;
                }
                let what = (taps, int16);
                if found.iter().filter(|&&other| other == what).count() == 4 {
                    continue;
                }
                found.push(what);
                for (input, output) in [(3, 3), (4, 4), (4, 3)] {
                    one_horizontal(backend, &axis, input, output, &mut random);
                    // White where the weights of one target pixel in the middle are positive, or negative, or anywhere.
                    let image = std::array::from_fn(|r| {
                        let mut row = vec![if r == 0 { 255 } else { 0 }; source * input];
                        let (first, weights) = axis.window(26 + r);
                        for (pixel, &weight) in row[first * input..].chunks_mut(input).zip(weights)
                        {
                            if (weight > 0) == (r % 2 == 0) {
                                pixel.fill(255);
                            }
                        }
                        row
                    });
                    horizontal_of(backend, &axis, input, output, &image);
                }
            }
        }
    }
    for taps in [2, 5, 6, 9, 10, 13, 14] {
        for int16 in [false, true] {
            assert!(found.contains(&(taps, int16)), "an axis of {taps} taps, int16 {int16}");
        }
    }
}

#[test]
fn windows_that_end_in_a_narrow_step() {
    both!(narrow_steps());
}

fn passes_at_every_length<B: Backend>(backend: B) {
    let mut random = Random(7);
    let up = Axis::new(Filter::Bicubic, 5, 2, true).expect("memory");
    let down = Axis::new(Filter::Lanczos, 2, 3, false).expect("memory");
    for len in lengths() {
        one_vertical(backend, &up, len, &mut random);
        one_vertical(backend, &down, len, &mut random);
    }
    for len in 1..=70 {
        for (input, output) in [(3, 3), (4, 4), (4, 3)] {
            let widen = axis(&mut random, Filter::Bicubic, len, len + 1);
            one_horizontal(backend, &widen, input, output, &mut random);
            let narrow = axis(&mut random, Filter::Bilinear, len, len.div_ceil(2));
            one_horizontal(backend, &narrow, input, output, &mut random);
        }
    }
}

#[test]
fn passes_of_every_length() {
    both!(passes_at_every_length());
}

fn passes_of_three_digit_int16<B: Backend>(backend: B) {
    let mut random = Random(11);
    let mut found = 0;
    for source in 2..400 {
        let axis = Axis::new(Filter::Lanczos, source, 24, true).expect("memory");
        if sums::digits(&axis) == Some(3) {
            found += 1;
            one_horizontal(backend, &axis, 3, 3, &mut random);
            one_vertical(backend, &axis, 70, &mut random);
        }
    }
    assert!(found > 0, "an axis with an int16 weight above 32639");
}

#[test]
fn int16_weights_of_three_digits() {
    both!(passes_of_three_digit_int16());
}

fn plain_weights<B: Backend<Columns = super::Columns, Rows = super::Rows>>(backend: B) {
    let axis = Axis::new(Filter::Bicubic, 9, 4, false).expect("memory");
    let row: Vec<u8> = (0..27).map(|i| i * 9).collect();
    let rows = [Row::from(row.as_slice()); BAND];
    let (mut expected, mut band) = (vec![0; 2 * group_len(12)], vec![0; 2 * group_len(12)]);
    let columns = Scalar.columns(&axis, 3, 3).expect("memory");
    Scalar.horizontal(&columns, &rows, true, &mut expected);
    backend.horizontal(&Weights::Plain(columns), &rows, true, &mut band);
    assert_eq!(expected, band);
    let groups = [band.as_slice(); 3];
    let (mut expected, mut out) = ([0; 12], [0; 12]);
    Scalar.vertical(&axis, 1, &groups, &mut expected);
    backend.vertical(&Weights::Plain(axis), 1, &groups, &mut out);
    assert_eq!(expected, out);
}

#[test]
fn weights_too_large_for_digits() {
    both!(plain_weights());
}

fn moves<B: Backend>(backend: B) {
    let mut random = Random(13);
    for len in lengths() {
        let image: Vec<Vec<u8>> = (0..BAND).map(|_| random.bytes(len)).collect();
        let rows: [Row<'_>; BAND] = std::array::from_fn(|r| Row::from(image[r].as_slice()));
        let group = group_len(len);
        let (mut expected, mut band) = (vec![0; 2 * group], vec![CANARY; 2 * group]);
        Scalar.interleave(&rows, &mut expected);
        backend.interleave(&rows, &mut band);
        for half in [0, group] {
            assert!(
                expected[half..half + 4 * len] == band[half..half + 4 * len],
                "interleave {len}"
            );
        }
        let mut outs: [Guarded; GROUP] = std::array::from_fn(|r| Guarded::new(len, r * 3));
        backend.deinterleave(&band[..group], outs.each_mut().map(|out| out.inner(len)));
        for (out, row) in outs.iter_mut().zip(&image) {
            out.check(row, ("deinterleave", len));
        }
        for pixel in [3, 4] {
            let row = random.bytes(len * pixel);
            let mut expected = vec![0; 3 * len];
            let mut planes = Guarded::new(3 * len, random.below(70));
            if len > 0 {
                Scalar.split(Row::from(row.as_slice()), pixel, thirds(&mut expected));
            }
            backend.split(Row::from(row.as_slice()), pixel, thirds(planes.inner(3 * len)));
            planes.check(&expected, ("split", len, pixel));
        }
    }
}

#[test]
fn moves_of_every_length() {
    both!(moves());
}

fn patches<B: Backend>(backend: B) {
    let mut random = Random(17);
    for side in (1..=34).chain([64, 70]) {
        for pixel in [3, 4] {
            for (width, x) in
                [(side, 0), (2 * side, side), (3 * side + 1, side), (4 * side + 30, 7)]
            {
                let image: Vec<Vec<u8>> = (0..side).map(|_| random.bytes(width * pixel)).collect();
                let rows: Vec<Row<'_>> =
                    image.iter().map(|row| Row::from(row.as_slice())).collect();
                let len = 3 * (side * side + PAD) + PAD;
                let mut expected = vec![0; len];
                let mut planes = Guarded::new(len, random.below(70));
                Scalar.split_patch(&rows, x, pixel, &mut expected);
                backend.split_patch(&rows, x, pixel, planes.inner(len));
                // What lies in the pads means nothing.
                for pad in 0..4 {
                    let start = pad * (side * side + PAD);
                    planes.inner(len)[start..start + PAD].fill(0);
                }
                planes.check(&expected, ("patch", side, pixel, x));
            }
        }
    }
}

#[test]
fn patches_of_every_size() {
    both!(patches());
}

/// Every element type through every path: arithmetic of each kind, and the table.
fn luts() -> Vec<Lut> {
    let mean_std = Some(([0.48, 0.45, 0.40], [0.26, 0.26, 0.27]));
    let mut luts = vec![Lut::new(&Normalise::NONE, Element::Uint8)];
    for arithmetic in [Arithmetic::Fused, Arithmetic::TwoStep] {
        let normalise = Normalise { rescale: Some(1.0 / 255.0), mean_std, arithmetic };
        luts.extend(ways(&normalise, Element::Float32));
        for element in [Element::Float16, Element::Bfloat16] {
            luts.push(Lut::new(&normalise, element));
        }
    }
    let recipes = luts.iter().filter_map(|lut| lut.recipe.as_ref());
    for scaling in [Scaling::None, Scaling::Once, Scaling::Twice] {
        assert!(recipes.clone().any(|recipe| !recipe.divided && recipe.scaling == scaling));
    }
    luts
}

fn conversions<B: Backend>(backend: B) {
    let mut random = Random(19);
    for lut in luts() {
        for (i, len) in lengths().chain([196; 12]).chain([256; 12]).chain([448]).enumerate() {
            let size = lut.element.size();
            let planes = random.bytes(3 * (len + PAD) + PAD);
            let runs: Vec<Run> =
                (0..6).map(|k| Run { channel: k / 2, from: PAD + (k / 2) * (len + PAD) }).collect();
            let mut expected = vec![0; 6 * len * size];
            let mut writer = Writer::new();
            writer.begin(&expected, 0, lut.element, false);
            Scalar.elements(&lut, &planes, &runs, len, &mut writer, &mut expected);
            writer.finish(&mut expected);
            for stream in [false, true] {
                let before = if i % 2 == 0 { random.below(17) * size } else { random.below(64) };
                let mut out = Guarded::new(expected.len(), before);
                let inner = out.inner(expected.len());
                writer.begin(inner, 0, lut.element, stream);
                // One by one, the copies of a channel together, and all at once.
                for runs in runs.chunks([1, 2, 6][i % 3]) {
                    backend.elements(&lut, &planes, runs, len, &mut writer, inner);
                }
                writer.finish(inner);
                backend.fence();
                out.check(&expected, (lut.element, len, stream, before));
            }
        }
    }
}

#[test]
fn conversions_of_every_length_and_place() {
    both!(conversions());
}

/// Pass after pass to a plane of elements, as the pipeline calls them.
fn whole<B: Backend>(backend: B, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let filter = random.pick(&Filter::ALL);
    let (width, height) = (1 + random.below(150), 1 + random.below(60));
    let (to_width, to_height) = (1 + random.below(120), 1 + random.below(12));
    let input = random.pick(&[3, 4]);
    let int16 = random.below(2) == 0;
    let image: Vec<Vec<u8>> = (0..height).map(|_| random.bytes(width * input)).collect();
    let across = Axis::new(filter, width, to_width, int16).expect("memory");
    let down = Axis::new(filter, height, to_height, int16).expect("memory");
    let columns = backend.columns(&across, input, 3).expect("memory");
    let weights = backend.rows(&down).expect("memory");
    let group = group_len(to_width * 3);
    let mut groups: Vec<Vec<u8>> = Vec::new();
    for first in (0..height).step_by(BAND) {
        let rows: [Row<'_>; BAND] =
            std::array::from_fn(|r| Row::from(image[(first + r).min(height - 1)].as_slice()));
        let mut band = vec![0; 2 * group];
        backend.horizontal(&columns, &rows, false, &mut band);
        groups.extend(band.chunks_exact(group).map(<[u8]>::to_vec));
    }
    let mean_std = Some(([0.5; 3], [0.5; 3]));
    let arithmetic = Arithmetic::Fused;
    let element = random.pick(&Element::ALL);
    let lut = Lut::new(&Normalise { rescale: Some(1.0 / 255.0), mean_std, arithmetic }, element);
    let mut result = Vec::new();
    for i in 0..to_height {
        let reads = down.reads(i);
        let window: Vec<&[u8]> = groups[reads.start / GROUP..=(reads.end - 1) / GROUP]
            .iter()
            .map(Vec::as_slice)
            .collect();
        let mut line = vec![0; to_width * 3];
        backend.vertical(&weights, i, &window, &mut line);
        let mut planes = vec![0; to_width * 3];
        backend.split(Row::from(line.as_slice()), 3, thirds(&mut planes));
        for (c, plane) in planes.chunks_exact(to_width).enumerate() {
            let mut out = vec![0; to_width * element.size()];
            let plane = [&[0; PAD], plane, &[0; PAD]].concat();
            let run = Run { channel: c, from: PAD };
            let mut writer = Writer::new();
            writer.begin(&out, 0, element, random.below(2) == 0);
            backend.elements(&lut, &plane, &[run], to_width, &mut writer, &mut out);
            writer.finish(&mut out);
            backend.fence();
            result.extend(out);
        }
    }
    result
}

fn images<B: Backend>(backend: B) {
    for seed in 1..=cases(60) as u64 {
        let seed = seed.wrapping_mul(0x2545_F491_4F6C_DD1D);
        assert!(whole(backend, seed) == whole(Scalar, seed), "image of seed {seed}");
    }
}

#[test]
fn whole_images() {
    both!(images());
}

fn line_of_dwords(dwords: &[i32; 16]) -> Line {
    Line(std::array::from_fn(|i| dwords[i / 4].to_le_bytes()[i % 4]))
}

/// Every operation against its emulation.
#[expect(clippy::many_single_char_names, reason = "operands of one instruction")]
#[test]
fn instructions_do_what_their_emulation_does() {
    let Some(native) = Avx512::detect() else { return };
    let mut random = Random(23);
    for _ in 0..cases(200) {
        let line = |random: &mut Random| Line(random.bytes(64).try_into().expect("64 bytes"));
        let [a, b, c] = [(); 3].map(|()| line(&mut random));
        let indices = Line(c.0.map(|byte| byte & 127));
        let counts = line_of_dwords(&std::array::from_fn(|i| i32::from(c.0[i] & 31)));
        let word_counts = Line(std::array::from_fn(|i| if i % 2 == 0 { c.0[i] & 15 } else { 0 }));
        // Floats of moderate size: what a NaN's bits become is nobody's business.
        let floats = |random: &mut Random| {
            let float = |random: &mut Random| (random.next() as i32 as f32) * 1e-7;
            line_of_dwords(&std::array::from_fn(|_| float(random).to_bits().cast_signed()))
        };
        let [x, y, z] = [(); 3].map(|()| floats(&mut random));
        let number = random.next() as i32;
        macro_rules! same {
            ($($name:ident $(::<$generic:tt>)? ($($arg:ident),*);)*) => {$(
                let mut out = Line::ZERO;
                out.store(native, native.$name$(::<$generic>)?($($arg.load(native)),*));
                let expected = Emulated.$name$(::<$generic>)?($($arg.load(Emulated)),*);
                assert_eq!(out.0, expected, stringify!($name $($generic)? $($arg)*));
            )*};
        }
        same! {
            dot(a, b, c);
            dot_words(a, b, c);
            add(a, b);
            shift_right_words(a, word_counts);
            to_floats(a);
            subtract(x, y);
            multiply(x, y);
            fused(x, y, z);
            divide(x, y);
            xor(a, b);
            shift_left::<8>(a);
            shift_right_by::<8>(a);
            shift_right(a, counts);
            permute(c, a);
            permute2(a, c, b);
            permute_dwords(c, a);
            shuffle(a, indices);
            lanes::<0b01_00_01_00>(a, b);
            lanes::<0b11_10_11_10>(a, b);
            lanes::<0b10_00_10_00>(a, b);
            lanes::<0b11_01_11_01>(a, b);
            pack_dwords(a, b);
            pack_words(a, b);
            unpack_bytes::<false>(a, b);
            unpack_bytes::<true>(a, b);
            unpack_words::<false>(a, b);
            unpack_words::<true>(a, b);
            select(a, b, c);
        }
        let mask = random.next();
        let mut masked = Line::ZERO;
        masked.store(native, native.permute_masked(mask, c.load(native), a.load(native)));
        assert_eq!(masked.0, Emulated.permute_masked(mask, c.0, a.0));
        let mut widened = Line::ZERO;
        widened.store(native, load_widened(native, &a.0, 7));
        assert_eq!(widened.0, load_widened(Emulated, &a.0, 7));
        let mut splat = Line::ZERO;
        splat.store(native, native.splat(number));
        assert_eq!(splat.0, Emulated.splat(number));
    }
}
