//! Every backend that this CPU has returns what the plain version returns.
//!
//! `DYNRES_CASES` sets how many random cases a test runs; it prints how many it ran (`--nocapture`).

use super::{BAND, Backend, GROUP, Scalar, Simd, group_len};
use crate::error::Size;
use crate::image::{ImageRef, Row};
use crate::pack::{
    Arithmetic, Element, Fill, LINE, Lut, Normalise, PAD, Recipe, Run, Scaling, Standardise, Writer,
};
use crate::parallel::Watch;
use crate::pipeline::{Frame, Item, Part, Settings, run};
use crate::plan::{Cut, First, Floats, From, Inside, Lane, Order, Plan, Rect, View};
use crate::resample::{Axis, Filter, Float, Numerics, Passes};
use crate::sizing::Grid;
use crate::{families, with_backend};

/// The three planes of one run of bytes.
pub(super) fn thirds(planes: &mut [u8]) -> [&mut [u8]; 3] {
    let third = planes.len() / 3;
    let (first, rest) = planes.split_at_mut(third);
    let (second, third) = rest.split_at_mut(third);
    [first, second, third]
}

/// Xorshift, and what the tests ask of it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// Noise of all values, or of the two extremes, which drive sums as far as they go.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let extremes = self.below(3) == 0;
        (0..len)
            .map(|_| {
                let byte = self.next() as u8;
                if extremes { if byte < 128 { 0 } else { 255 } } else { byte }
            })
            .collect()
    }

    /// A length whose logarithm is even, so that small ones are as frequent as large ones.
    fn length(&mut self, most: usize) -> usize {
        let bits = self.below(most.ilog2() as usize + 1);
        1 + self.below((2 << bits).min(most))
    }
}

fn cases(default: usize) -> usize {
    std::env::var("DYNRES_CASES").ok().map_or(default, |count| count.parse().expect("DYNRES_CASES"))
}

/// The backends of this CPU, the plain one among them.
fn backends() -> impl Iterator<Item = Simd> {
    Simd::NAMES.into_iter().filter_map(Simd::detect).chain(slower())
}

/// Of a backend that multiplies by what the CPU has: the ways of lesser CPUs.
fn slower() -> Vec<Simd> {
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    {
        let mut levels: Vec<Simd> = super::Neon::levels().map(Simd::Neon).collect();
        levels.pop();
        levels
    }
    #[cfg(not(all(target_arch = "aarch64", target_endian = "little")))]
    Vec::new()
}

fn lengths() -> impl Iterator<Item = usize> {
    let near = |n: usize| n - 2..=n + 2;
    (0..=130).chain([160, 192, 256, 448, 512, 1024].into_iter().flat_map(near))
}

/// Copies of rows that end where their allocation ends.
fn rows_of(random: &mut Random, count: usize, len: usize) -> Vec<Box<[u8]>> {
    (0..count).map(|_| random.bytes(len).into_boxed_slice()).collect()
}

fn octet(rows: &[Box<[u8]>]) -> [Row<'_>; BAND] {
    std::array::from_fn(|r| Row::from(&rows[r][..]))
}

/// The components of both groups, without the room after them.
fn components(band: &[u8], len: usize) -> [&[u8]; 2] {
    let group = group_len(len);
    [&band[..len * GROUP], &band[group..group + len * GROUP]]
}

fn check_horizontal<B: Backend>(
    backend: B,
    axis: &Axis,
    (input, output): (usize, usize),
    rows: &[Row<'_>; BAND],
) {
    let len = axis.target * output;
    let mut bands = [vec![0xa5; 2 * group_len(len)], vec![0xa5; 2 * group_len(len)]];
    let plain = Scalar.columns(axis, input, output).expect("columns");
    Scalar.horizontal(&plain, rows, true, &mut bands[0]);
    let columns = backend.columns(axis, input, output).expect("columns");
    backend.horizontal(&columns, rows, true, &mut bands[1]);
    let what = (axis.source, axis.target, axis.int16, input, output);
    assert!(components(&bands[0], len) == components(&bands[1], len), "horizontal {what:?}");
}

fn check_vertical<B: Backend>(backend: B, random: &mut Random, axis: &Axis, len: usize) {
    let groups: Vec<Vec<u8>> =
        (0..axis.source.div_ceil(GROUP)).map(|_| random.bytes(group_len(len))).collect();
    let plain = Scalar.rows(axis).expect("rows");
    let rows = backend.rows(axis).expect("rows");
    for i in 0..axis.target {
        let reads = axis.reads(i);
        let groups: Vec<&[u8]> =
            groups[reads.start / GROUP..=(reads.end - 1) / GROUP].iter().map(|g| &g[..]).collect();
        let mut outs = [vec![0; len], vec![1; len]];
        Scalar.vertical(&plain, i, &groups, &mut outs[0]);
        backend.vertical(&rows, i, &groups, &mut outs[1]);
        assert!(outs[0] == outs[1], "vertical {} -> {} row {i} of {len}", axis.source, axis.target);
    }
}

fn check_interleave<B: Backend>(backend: B, random: &mut Random, rows: &[Row<'_>; BAND]) {
    let len = rows[0].len();
    let mut bands = [vec![0; 2 * group_len(len)], vec![0; 2 * group_len(len)]];
    Scalar.interleave(rows, &mut bands[0]);
    backend.interleave(rows, &mut bands[1]);
    assert!(components(&bands[0], len) == components(&bands[1], len), "interleave {len}");
    let group = random.bytes(group_len(len));
    let mut lines = [vec![0; GROUP * len], vec![1; GROUP * len]];
    for (lines, plain) in lines.iter_mut().zip([true, false]) {
        let (a, rest) = lines.split_at_mut(len);
        let (b, rest) = rest.split_at_mut(len);
        let (c, d) = rest.split_at_mut(len);
        if plain {
            Scalar.deinterleave(&group, [a, b, c, d]);
        } else {
            backend.deinterleave(&group, [a, b, c, d]);
        }
    }
    assert!(lines[0] == lines[1], "deinterleave {len}");
}

fn check_split<B: Backend>(backend: B, row: Row<'_>, pixel: usize) {
    let width = row.len() / pixel;
    if width == 0 {
        return;
    }
    let mut planes = [vec![0; 3 * width], vec![1; 3 * width]];
    Scalar.split(row, pixel, thirds(&mut planes[0]));
    backend.split(row, pixel, thirds(&mut planes[1]));
    assert!(planes[0] == planes[1], "split {width} of {pixel}");
}

fn check_patch<B: Backend>(backend: B, rows: &[Row<'_>], x: usize, pixel: usize) {
    let area = rows.len() * rows.len();
    let len = 3 * (area + PAD) + PAD;
    let mut planes = [vec![0; len], vec![1; len]];
    Scalar.split_patch(rows, x, pixel, &mut planes[0]);
    backend.split_patch(rows, x, pixel, &mut planes[1]);
    for c in 0..3 {
        let plane = PAD + c * (area + PAD)..(c + 1) * (area + PAD);
        let [plain, other] = planes.each_ref().map(|planes| &planes[plane.clone()]);
        assert!(plain == other, "patch of {} at {x}, {pixel} bytes a pixel", rows.len());
    }
}

/// Some runs of one length, one after the other, to an output that begins anywhere.
fn check_elements<B: Backend>(
    backend: B,
    random: &mut Random,
    lut: &Lut,
    len: usize,
    offset: usize,
    stream: bool,
) {
    let planes = random.bytes(3 * (len + PAD) + PAD);
    let runs: Vec<Run> = (0..=random.below(7))
        .map(|_| Run { channel: random.below(3), from: PAD + random.below(3) * (len + PAD) })
        .collect();
    check_runs(backend, lut, &planes, &runs, len, offset, stream);
}

fn check_runs<B: Backend>(
    backend: B,
    lut: &Lut,
    planes: &[u8],
    runs: &[Run],
    len: usize,
    offset: usize,
    stream: bool,
) {
    let total = 2 * runs.len() * len * lut.element.size();
    let mut outs = [vec![0; offset + total + 2 * LINE], vec![0; offset + total + 2 * LINE]];
    let at = outs.each_ref().map(|out| LINE - out.as_ptr().addr() % LINE + offset);
    let mut written = [0; 2];
    for (i, written) in written.iter_mut().enumerate() {
        let out = &mut outs[i][at[i]..at[i] + total];
        let mut writer = Writer::new();
        writer.begin(out, 0, lut.element, stream && i == 1);
        for _ in 0..2 {
            if i == 0 {
                Scalar.elements(lut, planes, runs, len, &mut writer, out);
            } else {
                backend.elements(lut, planes, runs, len, &mut writer, out);
            }
        }
        writer.finish(out);
        *written = writer.at;
    }
    backend.fence();
    assert_eq!(written, [total; 2], "bytes written");
    let [plain, other] = [0, 1].map(|i| &outs[i][at[i]..at[i] + total]);
    let what = (lut.element, len, offset, runs.len());
    assert!(plain == other, "elements {what:?}");
    assert!(outs[1][..at[1]].iter().all(|&byte| byte == 0), "written before {what:?}");
    assert!(outs[1][at[1] + total..].iter().all(|&byte| byte == 0), "written after {what:?}");
}

/// Runs of pixels, one after the other.
fn check_pixels<B: Backend>(
    backend: B,
    random: &mut Random,
    lut: &Lut,
    pixels: usize,
    offset: usize,
    stream: bool,
) {
    let (len, size) = (3 * pixels, lut.element.size());
    let bytes = random.bytes(len + 2 * PAD);
    let count = 1 + random.below(3);
    let one: Vec<u8> =
        (0..len).flat_map(|i| lut.bytes(i % 3, bytes[PAD + i])[..size].to_vec()).collect();
    let expected = one.repeat(count);
    let total = expected.len();
    let mut out = vec![0; offset + total + 2 * LINE];
    let at = LINE - out.as_ptr().addr() % LINE + offset;
    let mut writer = Writer::new();
    writer.begin(&out[at..at + total], 0, lut.element, stream);
    for _ in 0..count {
        backend.pixels(lut, &bytes, PAD, len, &mut writer, &mut out[at..at + total]);
    }
    writer.finish(&mut out[at..at + total]);
    backend.fence();
    let what = (lut.element, pixels, offset, count);
    assert_eq!(writer.at, total, "bytes written {what:?}");
    assert!(out[at..at + total] == expected, "pixels {what:?}");
    assert!(out[..at].iter().all(|&byte| byte == 0), "written before {what:?}");
    assert!(out[at + total..].iter().all(|&byte| byte == 0), "written after {what:?}");
}

/// The plain version, against the table itself.
#[test]
fn elements_are_those_of_the_table() {
    let mut random = Random(3);
    for element in Element::ALL {
        let lut = Lut::new(&normalisations()[1], element);
        let size = element.size();
        let planes = random.bytes(40 + 2 * PAD);
        let runs = [2, 0].map(|channel| Run { channel, from: PAD });
        let mut out = vec![0; 80 * size + 4];
        for at in 0..4 {
            let mut writer = Writer::new();
            writer.begin(&out, at, element, false);
            Scalar.elements(&lut, &planes, &runs, 40, &mut writer, &mut out);
            writer.finish(&mut out);
            let expected: Vec<u8> = runs
                .iter()
                .flat_map(|run| planes[PAD..PAD + 40].iter().map(|&byte| (run.channel, byte)))
                .flat_map(|(c, byte)| lut.bytes(c, byte)[..size].to_vec())
                .collect();
            assert!(out[at..at + 80 * size] == expected, "{element:?}");
        }
    }
}

fn axis(filter: Filter, source: usize, target: usize, int16: bool) -> Axis {
    Axis::new(filter, source, target, int16).expect("axis")
}

/// Rescaling and normalising as the libraries and as no one does it.
fn normalisations() -> Vec<Normalise> {
    let clip =
        ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]);
    let imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let half = ([0.5; 3], [0.5; 3]);
    let odd = ([0.0, 1e-30, 300.0], [1e-38, 0.0, 7.7e30]);
    let mut all = Vec::new();
    for arithmetic in Arithmetic::ALL {
        for rescale in [None, Some(1.0 / 255.0), Some(1.0 / 127.5), Some(0.003_921_57)] {
            for mean_std in [None, Some(clip), Some(imagenet), Some(half), Some(odd)] {
                all.push(Normalise { rescale, mean_std, arithmetic });
            }
        }
    }
    all
}

#[test]
fn rows_of_every_length() {
    for simd in backends() {
        let mut random = Random(88_172_645_463_325_252);
        with_backend!(simd, backend => for len in lengths() {
            let rows = rows_of(&mut random, BAND, len);
            check_interleave(backend, &mut random, &octet(&rows));
            for pixel in [3, 4] {
                let rows = rows_of(&mut random, BAND, len * pixel);
                check_split(backend, Row::from(&rows[0][..]), pixel);
                for (target, int16) in [(len / 3, false), (len * 2, true), (len + 1, false)] {
                    if target > 0 && len > 0 {
                        let axis = axis(Filter::Bicubic, len, target, int16);
                        check_horizontal(backend, &axis, (pixel, 3), &octet(&rows));
                        if pixel == 4 {
                            check_horizontal(backend, &axis, (4, 4), &octet(&rows));
                        }
                    }
                }
            }
            check_vertical(backend, &mut random, &axis(Filter::Lanczos, 37, 11, false), len);
            check_vertical(backend, &mut random, &axis(Filter::Bicubic, 9, 14, true), len);
        });
    }
}

#[test]
fn patches_of_every_side() {
    for simd in backends() {
        let mut random = Random(7);
        with_backend!(simd, backend => for side in (1..=33).chain([48, 64]) {
            for pixel in [3, 4] {
                for x in [0, 1, side] {
                    let rows = rows_of(&mut random, side, (x + side) * pixel);
                    let rows: Vec<Row<'_>> = rows.iter().map(|row| Row::from(&row[..])).collect();
                    check_patch(backend, &rows, x, pixel);
                }
            }
        });
    }
}

#[test]
fn elements_of_every_byte() {
    let every: Vec<u8> = [0; PAD].into_iter().chain(0..=255).chain([0; PAD]).collect();
    let runs = [0, 1, 2].map(|channel| Run { channel, from: PAD });
    for simd in backends() {
        let mut random = Random(99);
        with_backend!(simd, backend => for normalise in normalisations() {
            for element in Element::ALL {
                let lut = Lut::new(&normalise, element);
                for (offset, stream) in [(0, false), (16, true)] {
                    check_runs(backend, &lut, &every, &runs, 256, offset, stream);
                }
                let (len, offset) = (random.below(100), random.below(64));
                check_elements(backend, &mut random, &lut, len, offset, offset % 3 == 0);
                check_pixels(backend, &mut random, &lut, len, offset, offset % 3 == 0);
                check_pixels(backend, &mut random, &lut, 256, 16, true);
            }
        });
        let lut = |element| Lut::new(&normalisations()[1], element);
        with_backend!(simd, backend => for element in Element::ALL {
            let lut = lut(element);
            for len in lengths().chain([196, 256]) {
                for offset in [0, 4, 8, 16, 60, 1] {
                    check_elements(backend, &mut random, &lut, len, offset, offset != 8);
                    check_pixels(backend, &mut random, &lut, len, offset, offset != 8);
                }
            }
        });
    }
}

/// One table by every arithmetic that gives it, and by none.
pub(super) fn ways(normalise: &Normalise, element: Element) -> Vec<Lut> {
    let lut = Lut::new(normalise, element);
    let mut ways = vec![lut.clone(), Lut { line: None, recipe: None, ..lut.clone() }];
    let recipe = lut.recipe.expect("arithmetic");
    let scale = normalise.rescale.expect("scale");
    let twice = Recipe {
        scaling: Scaling::Twice,
        scale: scale as f32,
        scale_rest: (scale - f64::from(scale as f32)) as f32,
        ..recipe
    };
    let recipes = [Some(recipe), (recipe.scaling != Scaling::None).then_some(twice)];
    for recipe in recipes.into_iter().flatten() {
        for divided in [false, true] {
            let recipe = Some(Recipe { divided, ..recipe });
            ways.push(Lut { line: None, recipe, ..lut.clone() });
        }
    }
    ways
}

/// Copies of the channels of a patch, from every place of a line on.
#[test]
fn copies_of_patches() {
    let copies = |count: usize, len: usize| {
        let run = move |i: usize| (i / count, PAD + i / count * (len + PAD));
        (0..3 * count).map(run).map(|(channel, from)| Run { channel, from }).collect::<Vec<_>>()
    };
    let mut scalings = Vec::new();
    for simd in backends() {
        let mut random = Random(196);
        for (normalise, element) in [7, 27]
            .into_iter()
            .flat_map(|i| Element::ALL.map(|element| (normalisations()[i], element)))
            .filter(|&(_, element)| element != Element::Uint8)
        {
            for lut in ways(&normalise, element) {
                scalings.extend(lut.recipe.map(|recipe| recipe.scaling));
                with_backend!(simd, backend => for len in [196, 256] {
                    let planes = random.bytes(3 * (len + PAD) + PAD);
                    for offset in (0..LINE).step_by(element.size()).chain([1, 31]) {
                        for stream in [false, true] {
                            for count in 1..=4 {
                                let runs = copies(count, len);
                                check_runs(backend, &lut, &planes, &runs, len, offset, stream);
                            }
                        }
                    }
                    // Neither the same bytes for another channel nor other bytes for the same one are copies.
                    let runs = [(0, 0), (1, 0), (1, 1), (1, 1), (1, 2), (2, 2)]
                        .map(|(channel, i)| Run { channel, from: PAD + i * (len + PAD) });
                    check_runs(backend, &lut, &planes, &runs, len, 20, true);
                });
            }
        }
    }
    for scaling in [Scaling::None, Scaling::Once, Scaling::Twice] {
        assert!(scalings.contains(&scaling), "{scaling:?}");
    }
}

/// What upstream's classes normalise with is computed, not looked up.
#[test]
fn usual_normalisations_have_a_recipe() {
    for family in families::all() {
        for arithmetic in [Arithmetic::Fused, Arithmetic::TwoStep] {
            let spec = &family.spec.common;
            let normalise = Normalise {
                rescale: Some(spec.rescale_factor),
                mean_std: Some((spec.image_mean, spec.image_std)),
                arithmetic,
            };
            let lut = Lut::new(&normalise, Element::Float32);
            assert!(lut.recipe.is_some_and(|recipe| !recipe.divided), "{normalise:?}");
            // One multiplication gives a 255th of which a mean is taken; all else takes two.
            let twice = lut.recipe.is_some_and(|recipe| recipe.scaling == Scaling::Twice);
            let usual = (spec.rescale_factor * 255.0 - 1.0).abs() < 1e-3
                && spec.image_mean.iter().any(|&mean| mean > 0.0);
            assert!(!twice || !usual, "{normalise:?}");
            for element in [Element::Float16, Element::Bfloat16] {
                assert!(Lut::new(&normalise, element).line.is_some(), "{normalise:?} {element:?}");
            }
        }
    }
}

#[test]
fn extremes_at_every_ratio() {
    for simd in backends() {
        let mut random = Random(4711);
        with_backend!(simd, backend => for filter in Filter::ALL {
            for (source, target) in [
                (1, 1), (1, 300), (2, 300), (3, 1000), (300, 1), (301, 2), (600, 3), (1000, 10),
                (4000, 40), (4000, 1), (127, 128), (128, 127), (200, 150), (150, 200), (640, 644),
                (997, 333), (10, 1000), (1031, 515), (5, 4), (4, 5),
            ] {
                for int16 in [false, true] {
                    let axis = axis(filter, source, target, int16);
                    for (input, output) in [(3, 3), (4, 3), (4, 4)] {
                        // The bytes that drive the sums of one pixel up or down, then noise.
                        let (first, taps) = axis.window(target / 2);
                        for flip in [false, true] {
                            let mut row = vec![0; source * input];
                            for (j, &k) in taps.iter().enumerate() {
                                if (k > 0) != flip {
                                    row[(first + j) * input..][..input].fill(255);
                                }
                            }
                            let rows = [Row::from(&row[..]); BAND];
                            check_horizontal(backend, &axis, (input, output), &rows);
                        }
                        let rows = rows_of(&mut random, BAND, source * input);
                        check_horizontal(backend, &axis, (input, output), &octet(&rows));
                    }
                    check_vertical(backend, &mut random, &axis, 41);
                }
            }
        });
    }
}

#[test]
fn random_passes() {
    let count = cases(600);
    let mut random = Random(0x0123_4567_89ab_cdef);
    for case in 0..count {
        let (source, target) = (random.length(1500), random.length(1500));
        let axis = axis(random.pick(&Filter::ALL), source, target, random.below(2) == 0);
        let (input, output) = random.pick(&[(3, 3), (4, 3), (4, 4)]);
        let rows = rows_of(&mut random, BAND, source * input);
        let len = random.length(400);
        for simd in backends() {
            with_backend!(simd, backend => {
                check_horizontal(backend, &axis, (input, output), &octet(&rows));
                if case % 4 == 0 {
                    check_vertical(backend, &mut random, &axis, len);
                }
            });
        }
    }
    println!("random_passes: {count} cases");
}

/// One image through the whole pipeline, with each backend.
fn check_plan(random: &mut Random, plan: &Plan, pixel: usize, numerics: Numerics, what: &str) {
    let (height, width) = plan.source;
    let element = random.pick(&Element::ALL);
    let copies = random.pick(&[1, 2, 3]);
    // A still image, or a frame for each place over time.
    let count = random.pick(&[1, copies]);
    let images: Vec<Vec<u8>> = (0..count).map(|_| random.bytes(height * width * pixel)).collect();
    let normalise = random.pick(&normalisations());
    let luts = [Lut::new(&normalise, element), Lut::new(&normalise, element)];
    let stream = random.below(2) == 0;
    let threads = random.pick(&[1, 1, 2]);
    let sizes: Vec<usize> = plan
        .outputs
        .iter()
        .map(|output| {
            output.rows
                * match output.cut {
                    Cut::Patches { patch, inside, .. } => {
                        (inside.numbers() + copies * 3 * patch * patch) * element.size()
                    }
                    Cut::Tiles { tile, .. } => 3 * tile.0 * tile.1 * element.size(),
                    Cut::Rows { pixel } => plan.resized.0 * plan.resized.1 * pixel,
                }
        })
        .collect();
    let offset = 16 * random.below(4) + random.pick(&[0, 0, 4]);
    let results: Vec<Vec<Vec<u8>>> = backends()
        .map(|simd| {
            let mut outs: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![0; size + offset]).collect();
            let sources: Vec<ImageRef<'_>> =
                images.iter().map(|image| ImageRef::packed(image, height, width, pixel)).collect();
            let parts = outs.iter_mut().map(|out| Part::new(&mut out[offset..])).collect();
            let each = copies / count;
            let frames = sources
                .iter()
                .enumerate()
                .map(|(i, source)| Frame { source, slots: i * each..(i + 1) * each });
            let frames = frames.collect();
            let item = Item { plan, frames, outs: parts };
            let settings =
                Settings { simd, numerics, luts: &luts.each_ref(), copies, stream, threads };
            run(&settings, vec![item], &Watch::new(None)).expect("run");
            outs
        })
        .collect();
    for (result, simd) in results.iter().zip(backends()) {
        assert!(*result == results[0], "{} differs: {what}", simd.name());
    }
}

#[test]
fn random_resizes() {
    let count = cases(1500);
    let mut random = Random(0xfeed_beef_cafe);
    for _ in 0..count {
        let most = random.pick(&[24, 100, 300, 700]);
        let mut size = || (random.length(most), random.length(most));
        let (source, mut target) = (size(), size());
        match random.below(6) {
            0 => target.0 = source.0,
            1 => target.1 = source.1,
            _ => {}
        }
        let filter = random.pick(&Filter::ALL);
        let numerics = random.pick(&Numerics::ALL);
        let pixel = random.pick(&[3, 4]);
        let plan = Plan::resize(source, target, pixel, filter, u64::MAX).expect("plan");
        let what = format!("{source:?} -> {target:?} {filter:?} {numerics:?} {pixel}");
        check_plan(&mut random, &plan, pixel, numerics, &what);
    }
    println!("random_resizes: {count} cases");
}

#[test]
fn random_plans() {
    let count = cases(300);
    let mut random = Random(0x5eed);
    let all = families::all();
    let mut ran = 0;
    while ran < count {
        let family = &all[random.below(all.len())];
        let mut spec = family.spec.clone();
        spec.numerics = random.pick(&Numerics::ALL);
        spec.common.resample = random.pick(&Filter::ALL);
        let most = random.pick(&[60, 400, 900]);
        let size = (random.length(most), random.length(most));
        let Ok(spec) = spec.prepare() else { continue };
        let Ok(plan) = Plan::new(&spec, size, 1 + random.below(3)) else { continue };
        if plan.views.iter().map(|view| view.canvas.0 * view.canvas.1).sum::<usize>() > 4_000_000 {
            continue;
        }
        let pixel = random.pick(&[3, 4]);
        let what = format!("{} {size:?} {:?} {pixel}", plan.family, spec.numerics);
        check_plan(&mut random, &plan, pixel, spec.numerics, &what);
        ran += 1;
    }
    println!("random_plans: {count} cases");
}

/// A plan in all words of the pipeline, and the memory of its outputs.
struct Made {
    plan: Plan,
    /// Tiles in memory, and how many bytes an output has.
    memory: Vec<(Option<Size>, usize)>,
    copies: usize,
}

/// Some pixels of each frame.
struct Picture {
    size: Size,
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn new(size: Size, pixel: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let pixels = (0..size.0).flat_map(|y| (0..size.1).map(move |x| (y, x)));
        Self { size, pixels: pixels.map(|(y, x)| pixel(y, x)).collect() }
    }

    fn at(&self, y: usize, x: usize) -> [u8; 3] {
        self.pixels[y * self.size.1 + x]
    }

    fn pass(&self, axis: &Axis, vertical: bool) -> Self {
        let (height, width) = self.size;
        let size = if vertical { (axis.target, width) } else { (height, axis.target) };
        Self::new(size, |y, x| {
            let (first, taps) = axis.window(if vertical { y } else { x });
            std::array::from_fn(|c| {
                let half = if axis.precision == 0 { 0 } else { 1 << (axis.precision - 1) };
                let sum = taps.iter().enumerate().fold(half, |sum: i32, (j, weight)| {
                    let (y, x) = if vertical { (first + j, x) } else { (y, first + j) };
                    sum.wrapping_add(weight * i32::from(self.at(y, x)[c]))
                });
                (sum >> axis.precision).clamp(0, 255) as u8
            })
        })
    }

    /// The canvas of a view of it: cropped, resized whole, pasted.
    fn view(&self, view: &View, numerics: Numerics) -> Self {
        let Rect { top, left, size } = view.source;
        let mut picture = Self::new(size, |y, x| self.at(top + y, left + x));
        let (height, width) = view.resized;
        if height > 0 && width > 0 {
            let numerics = if view.lane == Lane::Torch { Numerics::Torchvision } else { numerics };
            let int16 = numerics.int16_weights();
            let order: &[bool] = match Passes::new(numerics, size, view.resized) {
                Passes::Copy => &[],
                Passes::Horizontal => &[false],
                Passes::Vertical => &[true],
                Passes::HorizontalVertical => &[false, true],
                Passes::VerticalHorizontal => &[true, false],
            };
            for &vertical in order {
                let (source, target) = if vertical { (size.0, height) } else { (size.1, width) };
                picture = picture.pass(&axis(view.filter, source, target, int16), vertical);
            }
        }
        Self::new(view.canvas, |y, x| {
            let (y, x) = (y as isize - view.offset.0, x as isize - view.offset.1);
            let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
            if inside { picture.at(y as usize, x as usize) } else { view.background }
        })
    }
}

fn cut_of(random: &mut Random, copies: usize, floats: bool) -> Cut {
    if random.below(2) == 0 {
        let mut inside = random.pick(&[Inside::Ctpp, Inside::Tcpp, Inside::Tppc]);
        if floats && copies == 1 && random.below(2) == 0 {
            inside = Inside::Numbered;
        }
        let patch = random.pick(&[1, 3, 4, 14, 14, 16, 16]);
        Cut::Patches { patch, merge: 1 + random.below(3), temporal: copies, inside }
    } else {
        let tile = (1 + random.below(40), 1 + random.below(40));
        let order = random.pick(&[Order::ChannelsFirst, Order::ChannelsLast]);
        Cut::Tiles { tile, step: tile, order }
    }
}

/// Bytes of one row of an output.
fn row_of(cut: Cut, allocated: Option<Size>, copies: usize, size: usize) -> usize {
    let values = match cut {
        Cut::Patches { patch, inside, .. } => inside.numbers() + copies * patch * patch * 3,
        Cut::Tiles { tile, .. } => allocated.map_or(tile.0 * tile.1, |(h, w)| h * w) * 3,
        Cut::Rows { pixel } => pixel,
    };
    values * size
}

/// Any steps of a view in floats.
fn floats_of(random: &mut Random) -> Floats {
    let standardise = First::Standardise(random.pick(&Standardise::ALL));
    let mut flag = || random.below(2) == 0;
    let rule = Float { antialias: flag(), round: flag(), clamp: flag() };
    Floats {
        first: random.pick(&[First::Nothing, First::Rescale, First::Normalise, standardise]),
        rule,
        outside: random.pick(&[None, Some(0), Some(-1), Some(300)]),
    }
}

/// `floats`: some views are resized in floats.
#[expect(clippy::too_many_lines, reason = "every part of a plan is drawn")]
fn make_plan(random: &mut Random, element: Element, floats: bool) -> Made {
    let copies = random.pick(&[1, 1, 2, 3]);
    let source = (random.length(70), random.length(70));
    let mut plan = Plan::resize(source, source, 3, Filter::Bicubic, u64::MAX).expect("plan");
    let template = plan.views.remove(0);
    let cuts = [cut_of(random, copies, floats), cut_of(random, copies, floats)];
    let sizes_differ = random.below(2) == 0;
    for number in 0..=random.below(5) {
        let parent = random.below(number + 2).checked_sub(2);
        let (from, parent) = match parent {
            None => (From::Image, source),
            Some(parent) => (From::View(parent), plan.views[parent].canvas),
        };
        let output = random.pick(&[None, Some(0), Some(0), Some(1)]);
        let mut rect = Rect { top: 0, left: 0, size: parent };
        if random.below(3) == 0 {
            let (top, left) = (random.below(parent.0), random.below(parent.1));
            let size = (1 + random.below(parent.0 - top), 1 + random.below(parent.1 - left));
            rect = Rect { top, left, size };
        }
        let mut resized = (random.length(90), random.length(90));
        match random.below(8) {
            0 => resized = rect.size,
            1 => resized.0 = rect.size.0,
            2 => resized.1 = rect.size.1,
            3 if random.below(4) == 0 => resized.0 = 0,
            _ => {}
        }
        let mut canvas = (1 + random.below(90), 1 + random.below(90));
        let (mut cut, mut grid) = (Cut::Rows { pixel: 3 }, Grid { rows: 1, columns: 1 });
        if let Some(output) = output {
            cut = cuts[output];
            let more = if random.below(3) == 0 { random.below(9) } else { 0 };
            match &mut cut {
                Cut::Patches { patch, merge, .. } => {
                    let side = *merge * (1 + random.below(3));
                    grid = Grid { rows: side, columns: *merge * (1 + random.below(3)) };
                    canvas = (grid.rows * *patch + more, grid.columns * *patch + more / 2);
                }
                Cut::Tiles { tile, step, .. } => {
                    if sizes_differ {
                        *tile = (1 + random.below(40), 1 + random.below(40));
                    }
                    *step = match random.below(3) {
                        0 => *tile,
                        1 => (1 + random.below(tile.0), 1 + random.below(tile.1)),
                        _ => (tile.0 + random.below(3), tile.1 + random.below(3)),
                    };
                    grid = Grid { rows: 1 + random.below(3), columns: 1 + random.below(3) };
                    let side = |count: usize, step, tile| (count - 1) * step + tile;
                    canvas.0 = side(grid.rows, step.0, tile.0) + more;
                    canvas.1 = side(grid.columns, step.1, tile.1) + more / 2;
                }
                Cut::Rows { .. } => {}
            }
        }
        let mut offset = |canvas: usize, resized: usize| match random.below(4) {
            0 => 0,
            1 => (canvas as isize - resized as isize) / 2,
            _ => random.below(canvas + resized + 2) as isize - resized as isize - 1,
        };
        let offset = (offset(canvas.0, resized.0), offset(canvas.1, resized.1));
        // Where nothing is resized, floats must give what bytes give.
        let same = resized == rect.size || resized.0 == 0;
        let mut lane =
            if same && random.below(2) == 0 { Lane::Floats(Floats::KEPT) } else { Lane::Bytes };
        let mut filter = random.pick(&Filter::ALL);
        if lane == Lane::Bytes && random.below(4) == 0 {
            lane = Lane::Torch;
        }
        let numbered = matches!(cut, Cut::Patches { inside: Inside::Numbered, .. });
        if numbered || (floats && random.below(2) == 0) {
            lane = Lane::Floats(floats_of(random));
            filter = random.pick(&[Filter::Bilinear, Filter::Bicubic]);
        }
        plan.views.push(View {
            from,
            source: rect,
            resized,
            lane,
            filter,
            canvas,
            offset,
            background: [random.below(256) as u8, random.below(256) as u8, 7],
            cut,
            grid,
            output,
            ..template.clone()
        });
    }
    let mut memory = Vec::new();
    plan.outputs.clear();
    for (output, &cut) in cuts.iter().enumerate() {
        let mut views: Vec<usize> =
            (0..plan.views.len()).filter(|&view| plan.views[view].output == Some(output)).collect();
        if random.below(2) == 0 {
            views.reverse();
        }
        let tiles = views.iter().filter_map(|&view| match plan.views[view].cut {
            Cut::Tiles { tile, .. } => Some(tile),
            Cut::Patches { .. } | Cut::Rows { .. } => None,
        });
        let (high, wide) =
            tiles.fold((0, 0), |most, tile| (most.0.max(tile.0), most.1.max(tile.1)));
        let own = sizes_differ && random.below(3) == 0;
        let allocated = if high == 0 || own || (!sizes_differ && random.below(2) == 0) {
            None
        } else {
            Some((high + random.below(3), wide + random.below(3)))
        };
        let gaps = !(own && high > 0);
        let (mut rows, mut bytes) = (0, 0);
        for view in views {
            let gap = if gaps { random.below(3) } else { 0 };
            let view = &mut plan.views[view];
            let row = row_of(view.cut, allocated, copies, element.size());
            view.index = rows + gap;
            rows += gap + view.count();
            bytes += (gap + view.count()) * row;
        }
        let more = if gaps { random.below(3) } else { 0 };
        bytes += more * row_of(cut, allocated, copies, element.size());
        plan.outputs.push(crate::plan::Output { key: "pixel_values", rows: rows + more, cut });
        memory.push((allocated, bytes));
    }
    Made { plan, memory, copies }
}

/// The channel, and the place over time, the row and the column, of a value of a patch or tile.
fn place_of(cut: Cut, tile: Size, copies: usize, value: usize) -> (usize, usize, usize, usize) {
    let ((height, width), last) = match cut {
        Cut::Patches { patch, inside, .. } => ((patch, patch), inside == Inside::Tppc),
        Cut::Tiles { order, .. } => (tile, order == Order::ChannelsLast),
        Cut::Rows { .. } => ((1, 1), true),
    };
    let area = height * width;
    let split = |pixel: usize| (pixel / width, pixel % width);
    if last {
        let (y, x) = split(value / 3 % area);
        return (value % 3, value / (3 * area), y, x);
    }
    let (y, x) = split(value % area);
    if matches!(cut, Cut::Patches { inside: Inside::Ctpp, .. }) {
        return (value / (area * copies), value / area % copies, y, x);
    }
    (value / area % 3, value / (3 * area), y, x)
}

/// What the outputs of a plan must be, by whole pictures and arithmetic on indices alone.
fn expected(
    made: &Made,
    frames: &[Picture],
    slots: &[std::ops::Range<usize>],
    luts: &[Lut],
    numerics: Numerics,
    fill: Fill,
) -> Vec<Vec<u8>> {
    let Made { plan, memory, copies } = made;
    let size = luts[0].element.size();
    let mut canvases: Vec<Vec<Picture>> = Vec::new();
    for view in &plan.views {
        let parents = match view.from {
            From::Image => frames,
            From::View(parent) => &canvases[parent],
        };
        let canvas = parents.iter().map(|parent| parent.view(view, numerics)).collect();
        canvases.push(canvas);
    }
    let mut all = Vec::new();
    for (output, &(allocated, bytes)) in memory.iter().enumerate() {
        // All is blank, then views are laid on it.
        let cut = plan.outputs[output].cut;
        let own = |cut| match cut {
            Cut::Tiles { tile, .. } => allocated.unwrap_or(tile),
            Cut::Patches { .. } | Cut::Rows { .. } => (0, 0),
        };
        let row = row_of(cut, allocated, *copies, size);
        let mut out = Vec::with_capacity(bytes);
        for value in 0..bytes / size {
            let (channel, ..) = place_of(cut, own(cut), *copies, value % (row / size));
            out.extend_from_slice(&fill.0[channel][..size]);
        }
        let mut views: Vec<usize> =
            (0..plan.views.len()).filter(|&view| plan.views[view].output == Some(output)).collect();
        views.sort_by_key(|&view| plan.views[view].index);
        let (mut at, mut rows) = (0, 0);
        for number in views {
            let view = &plan.views[number];
            let row = row_of(view.cut, allocated, *copies, size);
            at += (view.index - rows) * row;
            rows = view.index + view.count();
            for place in 0..view.count() {
                let (top, left, seen) = match view.cut {
                    Cut::Patches { patch, merge, .. } => {
                        let (block, within) = (place / (merge * merge), place % (merge * merge));
                        let across = view.grid.columns / merge;
                        let y = block / across * merge + within / merge;
                        let x = block % across * merge + within % merge;
                        (y * patch, x * patch, (patch, patch))
                    }
                    Cut::Tiles { tile, step, .. } => {
                        let (y, x) = (place / view.grid.columns, place % view.grid.columns);
                        (y * step.0, x * step.1, tile)
                    }
                    Cut::Rows { .. } => unreachable!("rows"),
                };
                for value in 0..row / size {
                    let (c, time, y, x) = place_of(view.cut, own(view.cut), *copies, value);
                    let bytes = if y < seen.0 && x < seen.1 {
                        let frame = slots.iter().position(|slots| slots.contains(&time));
                        let canvas = &canvases[number][frame.expect("a frame")];
                        luts[output].bytes(c, canvas.at(top + y, left + x)[c])
                    } else {
                        fill.0[c]
                    };
                    let to = at + value * size;
                    out[to..to + size].copy_from_slice(&bytes[..size]);
                }
                at += row;
            }
        }
        all.push(out);
    }
    all
}

/// Chains, crops, overlaps, all orders and slots with fill: every backend against the plain model.
#[test]
fn random_words() {
    words(&mut Random(0x00de_cade), cases(600), false);
}

/// The same with views in floats, whose resizes the goldens hold: every backend against the plain one on one thread.
#[test]
fn random_floats() {
    words(&mut Random(0x00f1_0a75), cases(300), true);
}

fn words(random: &mut Random, count: usize, floats: bool) {
    let mut bytes = 0;
    for case in 0..count {
        let element = random.pick(&Element::ALL);
        let made = make_plan(random, element, floats);
        let (plan, copies) = (&made.plan, made.copies);
        let tiles = plan.views.iter().any(|view| matches!(view.cut, Cut::Tiles { .. }));
        let frames = if tiles { 1 } else { random.pick(&[1, copies]) };
        let pixel = random.pick(&[3, 4]);
        let (height, width) = plan.source;
        let images: Vec<Vec<u8>> =
            (0..frames).map(|_| random.bytes(height * width * pixel)).collect();
        let each = copies / frames;
        let slots: Vec<_> = (0..frames).map(|i| i * each..(i + 1) * each).collect();
        let pictures: Vec<Picture> = images
            .iter()
            .map(|image| {
                Picture::new(plan.source, |y, x| {
                    let at = (y * width + x) * pixel;
                    [image[at], image[at + 1], image[at + 2]]
                })
            })
            .collect();
        let numerics = random.pick(&Numerics::ALL);
        let luts = [0, 1].map(|_| Lut::new(&random.pick(&normalisations()), element));
        let fill = match random.below(3) {
            0 => Fill::ZERO,
            1 => Fill::value(1.25, element),
            _ => Fill::colour(&luts[0], [1, 2, 200]),
        };
        let mut expected = if floats {
            Vec::new()
        } else {
            expected(&made, &pictures, &slots, &luts, numerics, fill)
        };
        let stream = random.below(2) == 0;
        let offset = 16 * random.below(4) + random.pick(&[0, 0, 4]);
        for simd in backends() {
            for threads in [1, 2] {
                let sizes = made.memory.iter().map(|&(_, bytes)| offset + bytes + LINE);
                let mut outs: Vec<Vec<u8>> = sizes.map(|size| vec![0xa5; size]).collect();
                let parts = outs.iter_mut().zip(&made.memory).map(|(out, &(tile, bytes))| Part {
                    bytes: &mut out[offset..offset + bytes],
                    tile,
                    fill,
                });
                let parts = parts.collect();
                let sources: Vec<ImageRef<'_>> = images
                    .iter()
                    .map(|image| ImageRef::packed(image, height, width, pixel))
                    .collect();
                let frames = sources.iter().zip(&slots);
                let frames =
                    frames.map(|(source, slots)| Frame { source, slots: slots.clone() }).collect();
                let item = Item { plan, frames, outs: parts };
                let settings =
                    Settings { simd, numerics, luts: &luts.each_ref(), copies, stream, threads };
                run(&settings, vec![item], &Watch::new(None)).expect("run");
                if expected.is_empty() {
                    let ends = outs.iter().zip(&made.memory);
                    let made = ends.map(|(out, &(_, len))| out[offset..offset + len].to_vec());
                    expected = made.collect();
                }
                for (number, (out, expected)) in outs.iter().zip(&expected).enumerate() {
                    let end = offset + expected.len();
                    let what = (case, simd.name(), threads, number, element, pixel);
                    assert!(out[..offset].iter().all(|&byte| byte == 0xa5), "before {what:?}");
                    assert!(out[end..].iter().all(|&byte| byte == 0xa5), "after {what:?}");
                    let differs = out[offset..end].iter().zip(expected).position(|(a, b)| a != b);
                    assert!(
                        differs.is_none(),
                        "{what:?} at {differs:?} of {expected:?}: {plan:#?}",
                        expected = expected.len()
                    );
                    bytes += expected.len();
                }
            }
        }
    }
    let name = if floats { "random_floats" } else { "random_words" };
    println!("{name}: {count} cases, {bytes} bytes");
}

/// What fails late fails alone, where that is asked for.
#[test]
fn an_item_that_fails_leaves_the_others() {
    use crate::error::{Error, Result};
    use crate::pipeline::{Rows, Source, run_all};

    struct Broken;

    impl Source for Broken {
        fn size(&self) -> Size {
            (40, 30)
        }

        fn pixel(&self) -> usize {
            3
        }

        fn open(&self) -> Result<Box<dyn Rows + '_>> {
            Err(Error::Source)
        }
    }

    let mut random = Random(404);
    let image = random.bytes(40 * 30 * 3);
    let good = ImageRef::packed(&image, 40, 30, 3);
    let spec = families::find("deepseek-vl-hybrid")
        .expect("family")
        .spec
        .clone()
        .prepare()
        .expect("options");
    let plan = Plan::new(&spec, (40, 30), 1).expect("plan");
    let lut = Lut::new(&normalisations()[6], Element::Uint8);
    let luts = [lut.clone(), lut];
    let bytes: Vec<usize> =
        plan.outputs.iter().map(|output| output.rows * row_of(output.cut, None, 1, 1)).collect();
    for simd in backends() {
        for (threads, count) in [(1, 3), (2, 3), (4, 2), (2, 9)] {
            let mut outs: Vec<Vec<Vec<u8>>> =
                (0..count).map(|_| bytes.iter().map(|&bytes| vec![0; bytes]).collect()).collect();
            let bad = [1, 7];
            let items = outs.iter_mut().enumerate().map(|(number, outs)| {
                let source: &dyn Source = if bad.contains(&number) { &Broken } else { &good };
                let frames = vec![Frame { source, slots: 0..1 }];
                Item {
                    plan: &plan,
                    frames,
                    outs: outs.iter_mut().map(|out| Part::new(out)).collect(),
                }
            });
            let items = items.collect();
            let numerics = Numerics::Torchvision;
            let settings = Settings {
                simd,
                numerics,
                luts: &luts.each_ref(),
                copies: 1,
                stream: false,
                threads,
            };
            let failed = run_all(&settings, items, &Watch::new(None)).expect("not interrupted");
            let numbers: Vec<usize> = failed.iter().map(|&(number, _)| number).collect();
            assert_eq!(numbers, bad.into_iter().filter(|&bad| bad < count).collect::<Vec<_>>());
            assert!(failed.iter().all(|(_, error)| *error == Error::Source));
            for (number, other) in outs.iter().enumerate() {
                assert!(bad.contains(&number) || *other == outs[0], "{number} of {count}");
            }
            assert!(outs[0][0].iter().any(|&byte| byte != 0));
        }
    }
}

/// Rows whose first byte follows, or whose last byte precedes, memory that must not be touched.
#[cfg(unix)]
mod guarded {
    #![expect(unsafe_code, reason = "maps pages without access")]

    use super::*;

    /// Pages with one that cannot be read or written on either side.
    struct Pages {
        start: *mut u8,
        page: usize,
        len: usize,
    }

    impl Pages {
        fn new(len: usize) -> Self {
            // SAFETY: asks for a number.
            let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            let len = len.next_multiple_of(page);
            let total = len + 2 * page;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a fresh mapping at an address of the system's choice.
            let map =
                unsafe { libc::mmap(std::ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0) };
            assert!(map != libc::MAP_FAILED, "mmap");
            // SAFETY: one page into a mapping that is longer.
            let start = unsafe { map.cast::<u8>().add(page) };
            // SAFETY: the inner pages of our own mapping.
            let code =
                unsafe { libc::mprotect(start.cast(), len, libc::PROT_READ | libc::PROT_WRITE) };
            assert!(code == 0, "mprotect");
            Self { start, page, len }
        }

        /// The first or the last `len` bytes.
        fn edge(&mut self, len: usize, last: bool) -> &mut [u8] {
            let at = if last { self.len - len } else { 0 };
            // SAFETY: within the readable and writable pages.
            let start = unsafe { self.start.add(at) };
            // SAFETY: as above, zeroed by the system, borrowed as long as `self`.
            unsafe { std::slice::from_raw_parts_mut(start, len) }
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: the address that `new` got.
            let map = unsafe { self.start.sub(self.page) };
            // SAFETY: the mapping that `new` made, of that length.
            unsafe { libc::munmap(map.cast(), self.len + 2 * self.page) };
        }
    }

    fn check<B: Backend>(backend: B, random: &mut Random, width: usize, last: bool) {
        let mut sources: Vec<Pages> = (0..BAND).map(|_| Pages::new(4 * width)).collect();
        let mut target = Pages::new(16 * width + 64);
        for (input, output) in [(3, 3), (4, 3), (4, 4)] {
            let len = width * input;
            for source in &mut sources {
                let bytes = random.bytes(len);
                source.edge(len, last).copy_from_slice(&bytes);
            }
            let rows: [Row<'_>; BAND] = {
                let mut edges = sources.iter_mut().map(|source| &*source.edge(len, last));
                std::array::from_fn(|_| Row::from(edges.next().expect("eight")))
            };
            for (columns, int16) in [(width.div_ceil(3), false), (width + 5, true), (1, false)] {
                let axis = axis(Filter::Bicubic, width, columns, int16);
                check_horizontal(backend, &axis, (input, output), &rows);
            }
            check_interleave(backend, random, &rows);
            check_split(backend, rows[0], input);
            for side in [1, 2, 7, 8] {
                if side <= width {
                    check_patch(backend, &rows[..side], 0, input);
                    check_patch(backend, &rows[..side], width - side, input);
                }
            }
            for side in [14, 16, 28] {
                if side <= width {
                    let rows = vec![rows[0]; side];
                    check_patch(backend, &rows, 0, input);
                    check_patch(backend, &rows, width - side, input);
                }
            }
        }
        let group = random.bytes(group_len(width));
        let weights = axis(Filter::Bicubic, 3, 5, false);
        let rows = backend.rows(&weights).expect("rows");
        backend.vertical(&rows, 2, &[&group], target.edge(width, last));
        for element in Element::ALL {
            let lut = Lut::new(&normalisations()[6], element);
            let bytes = random.bytes(width);
            let planes: Vec<u8> = [0; PAD].into_iter().chain(bytes).chain([0; PAD]).collect();
            let run = Run { channel: 1, from: PAD };
            for stream in [false, true] {
                let out = target.edge(width * element.size(), last);
                let mut writer = Writer::new();
                writer.begin(out, 0, element, stream);
                backend.elements(&lut, &planes, &[run], width, &mut writer, out);
                writer.finish(out);
                if width.is_multiple_of(3) {
                    writer.begin(out, 0, element, stream);
                    backend.pixels(&lut, &planes, PAD, width, &mut writer, out);
                    writer.finish(out);
                }
            }
        }
        backend.fence();
        for r in 0..GROUP {
            let mut others = [vec![0; width], vec![0; width], vec![0; width]];
            let mut edge = target.edge(width, last);
            let mut others = others.iter_mut();
            let rows = std::array::from_fn(|i| {
                if i == r {
                    std::mem::take(&mut edge)
                } else {
                    &mut others.next().expect("three")[..]
                }
            });
            backend.deinterleave(&group, rows);
        }
    }

    #[test]
    fn nothing_outside_is_touched() {
        for simd in backends() {
            let mut random = Random(31337);
            with_backend!(simd, backend => for width in 1..=257 {
                for last in [false, true] {
                    check(backend, &mut random, width, last);
                }
            });
        }
    }
}
