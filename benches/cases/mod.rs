//! The stages of an image's path, each as something that can be run again and again and that has an answer.

use std::hint::black_box;

use _dynres_rs::image::{ImageRef, Row};
use _dynres_rs::memory::pays_to_stream;
use _dynres_rs::options::Value;
use _dynres_rs::pack::{Arithmetic, Element, LINE, Lut, Normalise, PAD, Run, Writer};
use _dynres_rs::parallel::Watch;
use _dynres_rs::pipeline::{Frame, Item, Part, Settings, run};
use _dynres_rs::plan::{Cut, Plan};
use _dynres_rs::resample::{Axis, Filter, FloatAxis, Numerics};
use _dynres_rs::simd::{BAND, Backend, GROUP, Simd, float, group_len};
use _dynres_rs::sizing::{Budget, smart_resize};
use _dynres_rs::{families, with_backend};

/// Height and width.
type Size = (usize, usize);

/// The sizes of images, by name.
pub(crate) const SIZES: [(&str, Size); 3] =
    [("vga", (480, 640)), ("1080p", (1080, 1920)), ("12mp", (3024, 4032))];

/// Whose numbers, by the size of their weights.
pub(crate) const NUMERICS: [(&str, Numerics); 2] =
    [("22bit", Numerics::Pillow13), ("int16", Numerics::Torchvision)];

/// The most pixels of a resized image: 1148 x 840 of 12 MP, 1316 x 728 of 1080p.
const MOST_PIXELS: usize = 1_003_520;

/// Side of a patch.
const PATCH: usize = 14;

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Both axes, and their weights laid out for both passes.
    Weights,
    /// Eight rows of pixels of so many bytes through the horizontal pass.
    Horizontal(usize),
    /// Eight rows into a band, where the vertical pass is first.
    Interleave,
    /// A row out of the vertical pass.
    Vertical,
    /// A row of patches into planes.
    SplitPatch,
    /// A row of patches, both copies, from planes into elements.
    Elements(Element),
    /// The same of pixels whose channels lie side by side, one copy.
    Pixels(Element),
    /// As many rows of a plane as the kernel takes at once, in float32 with antialiasing.
    FloatHorizontal,
    /// A row of a plane, in float32 with antialiasing.
    FloatVertical,
    /// A row of a plane in float32 without antialiasing, bilinear, both axes.
    FloatSquare,
    /// A whole image of RGB to its size.
    Resize,
    /// A whole image of RGBX through a family's plan, float32.
    Family(&'static str),
}

impl Stage {
    /// Every stage, in the order of an image's path.
    pub(crate) const ALL: [Self; 19] = [
        Self::Weights,
        Self::Horizontal(3),
        Self::Horizontal(4),
        Self::Interleave,
        Self::Vertical,
        Self::SplitPatch,
        Self::Elements(Element::Float32),
        Self::Elements(Element::Bfloat16),
        Self::Elements(Element::Uint8),
        Self::Pixels(Element::Float32),
        Self::Pixels(Element::Bfloat16),
        Self::Pixels(Element::Uint8),
        Self::FloatHorizontal,
        Self::FloatVertical,
        Self::FloatSquare,
        Self::Resize,
        Self::Family("qwen2-vl"),
        Self::Family("internvl"),
        Self::Family("deepseek-vl2"),
    ];

    /// Its name.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Weights => "weights".into(),
            Self::Horizontal(3) => "horizontal RGB".into(),
            Self::Horizontal(_) => "horizontal RGBX".into(),
            Self::Interleave => "interleave".into(),
            Self::Vertical => "vertical".into(),
            Self::SplitPatch => "split_patch".into(),
            Self::Elements(element) => format!("elements {}", element.name()),
            Self::Pixels(element) => format!("pixels {}", element.name()),
            Self::FloatHorizontal => "float horizontal".into(),
            Self::FloatVertical => "float vertical".into(),
            Self::FloatSquare => "float square".into(),
            Self::Resize => "resize".into(),
            Self::Family(family) => family.into(),
        }
    }

    /// Whether weights have a part in it.
    pub(crate) const fn has_numerics(self) -> bool {
        !matches!(
            self,
            Self::Interleave
                | Self::SplitPatch
                | Self::Elements(Element::Uint8)
                | Self::Pixels(Element::Uint8)
                | Self::FloatHorizontal
                | Self::FloatVertical
                | Self::FloatSquare
        )
    }

    /// Pixels that a run makes for an image of `size`; of weights, samples of both axes.
    pub(crate) fn unit(self, size: Size, numerics: Numerics) -> usize {
        let target = target(size);
        let columns = target.1 / PATCH;
        match self {
            Self::Weights => target.0 + target.1,
            Self::Horizontal(_) | Self::Interleave => BAND * target.1,
            Self::Vertical | Self::FloatVertical | Self::FloatSquare => target.1,
            Self::FloatHorizontal => float::ROWS * target.1,
            Self::SplitPatch | Self::Elements(_) | Self::Pixels(_) => columns * PATCH * PATCH,
            Self::Resize => target.0 * target.1,
            Self::Family(name) => {
                let (plan, _) = plan(name, size, numerics);
                plan.views.iter().map(|view| view.canvas.0 * view.canvas.1).sum()
            }
        }
    }

    /// The stage for images of `size`.
    pub(crate) fn work(self, simd: Simd, size: Size, numerics: Numerics) -> Box<dyn Work> {
        match self {
            Self::Resize => {
                let target = target(size);
                let plan = Plan::resize(size, target, 3, Filter::Bicubic, u64::MAX).expect("plan");
                Box::new(Whole::new(simd, plan, None, numerics))
            }
            Self::Family(name) => {
                let (plan, normalise) = plan(name, size, numerics);
                Box::new(Whole::new(simd, plan, Some(&normalise), numerics))
            }
            Self::FloatHorizontal | Self::FloatVertical | Self::FloatSquare => {
                let (filter, antialias) = match self {
                    Self::FloatSquare => (Filter::Bilinear, false),
                    _ => (Filter::Bicubic, true),
                };
                let axis = |source, target| {
                    FloatAxis::new(filter, source, target, antialias).expect("axis")
                };
                let target = target(size);
                Box::new(Floats {
                    simd,
                    pass: self,
                    plane: match self {
                        Self::FloatHorizontal => noise(float::ROWS * size.1),
                        _ => noise(size.0 * target.1),
                    }
                    .into_iter()
                    .map(f32::from)
                    .collect(),
                    columns: axis(size.1, target.1),
                    rows: axis(size.0, target.0),
                    room: vec![0.0; float::ROWS * size.1],
                    // Of a square's, the first two rows are the weights of its columns.
                    sums: (0..float::ROWS * target.1).map(|i| (i % 7) as f32 / 7.0).collect(),
                    out: match self {
                        Self::FloatHorizontal => vec![0.0; float::ROWS * target.1],
                        _ => vec![0.0; target.1],
                    },
                })
            }
            _ => with_backend!(simd, backend => self.kernel(backend, size, numerics)),
        }
    }

    fn kernel<B: Backend>(self, backend: B, size: Size, numerics: Numerics) -> Box<dyn Work> {
        let target = target(size);
        let int16 = numerics.int16_weights();
        let axis = |source, target| {
            Axis::new(Filter::Bicubic, source, target, int16).expect("axis of moderate size")
        };
        let wide = target.1 * 3;
        match self {
            Self::Horizontal(pixel) => {
                let columns = backend.columns(&axis(size.1, target.1), pixel, 3).expect("columns");
                let rows = noise(BAND * size.1 * pixel);
                let band = vec![0; 2 * group_len(wide)];
                Box::new(Horizontal { backend, columns, rows, band, wide })
            }
            Self::Interleave => {
                let rows = noise(BAND * wide);
                let band = vec![0; 2 * group_len(wide)];
                Box::new(Interleave { backend, rows, band, wide })
            }
            Self::Vertical => {
                let axis = axis(size.0, target.0);
                let row = target.0 / 2;
                let reads = axis.reads(row);
                let count = (reads.end - 1) / GROUP - reads.start / GROUP + 1;
                let weights = backend.rows(&axis).expect("rows");
                let groups = (0..count).map(|_| noise(group_len(wide))).collect();
                Box::new(Vertical { backend, weights, row, groups, out: vec![0; wide] })
            }
            Self::SplitPatch => {
                let rows = noise(PATCH * wide);
                let planes = vec![0; 3 * (PATCH * PATCH + PAD) + PAD];
                Box::new(SplitPatch { backend, rows, planes, columns: target.1 / PATCH })
            }
            Self::Elements(element) | Self::Pixels(element) => {
                let spec = &families::find("qwen2-vl").expect("family").spec.common;
                let mean_std = Some((spec.image_mean, spec.image_std));
                let rescale = Some(spec.rescale_factor);
                let columns = target.1 / PATCH;
                let interleaved = matches!(self, Self::Pixels(_));
                let values = if interleaved { 3 } else { 6 };
                let len = columns * values * PATCH * PATCH * element.size();
                Box::new(Elements {
                    backend,
                    interleaved,
                    lut: Lut::new(
                        &Normalise { rescale, mean_std, arithmetic: Arithmetic::of(numerics) },
                        element,
                    ),
                    planes: noise(3 * (PATCH * PATCH + PAD) + PAD),
                    writer: Writer::new(),
                    out: vec![0; len + LINE],
                    columns,
                })
            }
            _ => Box::new(Weights { backend, size, target, int16, made: None }),
        }
    }
}

/// What can be run again and again.
pub(crate) trait Work {
    fn run(&mut self);

    /// What the last run made: the same bytes from every backend.
    fn answer(&mut self) -> Vec<u8>;
}

/// The size to which an image of `size` is resized.
fn target(size: Size) -> Size {
    let budget = Budget { factor: 2 * PATCH, min_pixels: 3136, max_pixels: MOST_PIXELS };
    smart_resize(size, budget).expect("size")
}

/// A family's plan and normalisation, with patches within the same budget.
fn plan(family: &str, size: Size, numerics: Numerics) -> (Plan, Normalise) {
    let mut spec = families::find(family).expect("family").spec.clone();
    spec.numerics = numerics;
    if family == "qwen2-vl" {
        spec.set("max_pixels", &Value::Int(MOST_PIXELS as i64)).expect("max_pixels");
    }
    let normalise = Normalise {
        rescale: Some(spec.common.rescale_factor),
        mean_std: Some((spec.common.image_mean, spec.common.image_std)),
        arithmetic: Arithmetic::of(numerics),
    };
    let spec = spec.prepare().expect("options");
    (Plan::new(&spec, size, 1).expect("plan"), normalise)
}

/// Bytes as busy as a camera's.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 12345u32;
    (0..len)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i / 16 % 200) as u8 + (state >> 27) as u8
        })
        .collect()
}

fn octet(rows: &[u8]) -> [Row<'_>; BAND] {
    let len = rows.len() / BAND;
    std::array::from_fn(|r| Row::from(&rows[r * len..(r + 1) * len]))
}

/// The two groups of a band without the room behind them.
fn components(band: &[u8], wide: usize) -> Vec<u8> {
    band.chunks_exact(group_len(wide)).flat_map(|group| &group[..wide * GROUP]).copied().collect()
}

struct Weights<B: Backend> {
    backend: B,
    size: Size,
    target: Size,
    int16: bool,
    made: Option<(B::Columns, B::Rows)>,
}

impl<B: Backend> Weights<B> {
    fn axis(&self, source: usize, target: usize) -> Axis {
        Axis::new(Filter::Bicubic, source, target, self.int16).expect("axis")
    }
}

impl<B: Backend> Work for Weights<B> {
    fn run(&mut self) {
        let columns = self.axis(self.size.1, self.target.1);
        let rows = self.axis(self.size.0, self.target.0);
        let columns = self.backend.columns(&columns, 3, 3).expect("columns");
        let rows = self.backend.rows(&rows).expect("rows");
        self.made = Some((columns, rows));
    }

    /// Weights look different in every backend; what they do to pixels does not.
    fn answer(&mut self) -> Vec<u8> {
        let (columns, rows) = self.made.as_ref().expect("a run");
        let wide = self.target.1 * 3;
        let mut band = vec![0; 2 * group_len(wide)];
        self.backend.horizontal(columns, &octet(&noise(BAND * self.size.1 * 3)), true, &mut band);
        let mut answer = components(&band, wide);
        let axis = self.axis(self.size.0, self.target.0);
        for i in 0..self.target.0 {
            let reads = axis.reads(i);
            let count = (reads.end - 1) / GROUP - reads.start / GROUP + 1;
            let group = noise(group_len(wide));
            let mut row = vec![0; wide];
            self.backend.vertical(rows, i, &vec![&group[..]; count], &mut row);
            answer.extend(row);
        }
        answer
    }
}

struct Horizontal<B: Backend> {
    backend: B,
    columns: B::Columns,
    rows: Vec<u8>,
    band: Vec<u8>,
    wide: usize,
}

impl<B: Backend> Work for Horizontal<B> {
    fn run(&mut self) {
        let rows = octet(&self.rows);
        self.backend.horizontal(black_box(&self.columns), &rows, true, &mut self.band);
    }

    fn answer(&mut self) -> Vec<u8> {
        components(&self.band, self.wide)
    }
}

struct Interleave<B: Backend> {
    backend: B,
    rows: Vec<u8>,
    band: Vec<u8>,
    wide: usize,
}

impl<B: Backend> Work for Interleave<B> {
    fn run(&mut self) {
        let rows = octet(&self.rows);
        self.backend.interleave(black_box(&rows), &mut self.band);
    }

    fn answer(&mut self) -> Vec<u8> {
        components(&self.band, self.wide)
    }
}

struct Vertical<B: Backend> {
    backend: B,
    weights: B::Rows,
    row: usize,
    groups: Vec<Vec<u8>>,
    out: Vec<u8>,
}

impl<B: Backend> Work for Vertical<B> {
    fn run(&mut self) {
        let mut groups: [&[u8]; 16] = [&[]; 16];
        for (slot, group) in groups.iter_mut().zip(&self.groups) {
            *slot = group;
        }
        let groups = &groups[..self.groups.len()];
        self.backend.vertical(black_box(&self.weights), self.row, groups, &mut self.out);
    }

    fn answer(&mut self) -> Vec<u8> {
        self.out.clone()
    }
}

struct SplitPatch<B: Backend> {
    backend: B,
    rows: Vec<u8>,
    planes: Vec<u8>,
    columns: usize,
}

impl<B: Backend> SplitPatch<B> {
    fn patch(&mut self, column: usize) {
        let len = self.rows.len() / PATCH;
        let rows: [Row<'_>; PATCH] =
            std::array::from_fn(|r| Row::from(&self.rows[r * len..(r + 1) * len]));
        self.backend.split_patch(black_box(&rows), column * PATCH, 3, &mut self.planes);
    }
}

impl<B: Backend> Work for SplitPatch<B> {
    fn run(&mut self) {
        for column in 0..self.columns {
            self.patch(column);
        }
    }

    fn answer(&mut self) -> Vec<u8> {
        let area = PATCH * PATCH;
        let mut answer = Vec::new();
        for column in 0..self.columns {
            self.patch(column);
            for c in 0..3 {
                let from = PAD + c * (area + PAD);
                answer.extend_from_slice(&self.planes[from..from + area]);
            }
        }
        answer
    }
}

struct Elements<B: Backend> {
    backend: B,
    interleaved: bool,
    lut: Lut,
    planes: Vec<u8>,
    writer: Writer,
    out: Vec<u8>,
    columns: usize,
}

impl<B: Backend> Work for Elements<B> {
    fn run(&mut self) {
        let area = PATCH * PATCH;
        let runs: [Run; 6] =
            std::array::from_fn(|i| Run { channel: i / 2, from: PAD + i / 2 * (area + PAD) });
        let Self { backend, interleaved, lut, planes, writer, out, columns } = self;
        let start = out.as_ptr().align_offset(LINE);
        let end = start + out.len() - LINE;
        let out = &mut out[start..end];
        writer.begin(out, 0, lut.element, false);
        for _ in 0..*columns {
            if *interleaved {
                backend.pixels(black_box(lut), planes, PAD, 3 * area, writer, out);
            } else {
                backend.elements(black_box(lut), planes, &runs, area, writer, out);
            }
        }
        writer.finish(out);
    }

    fn answer(&mut self) -> Vec<u8> {
        let start = self.out.as_ptr().align_offset(LINE);
        self.out[start..start + self.out.len() - LINE].to_vec()
    }
}

struct Whole {
    simd: Simd,
    plan: Plan,
    numerics: Numerics,
    luts: Vec<Lut>,
    copies: usize,
    pixel: usize,
    image: Vec<u8>,
    out: Vec<u8>,
    len: usize,
}

impl Whole {
    /// Normalised to float32, or as bytes without.
    fn new(simd: Simd, plan: Plan, normalise: Option<&Normalise>, numerics: Numerics) -> Self {
        let [output] = &plan.outputs[..] else { panic!("one output") };
        let (element, copies, each) = match output.cut {
            Cut::Patches { patch, temporal, .. } => {
                (Element::Float32, temporal, temporal * 3 * patch * patch)
            }
            Cut::Tiles { tile, .. } => (Element::Float32, 1, 3 * tile.0 * tile.1),
            Cut::Rows { pixel } => (Element::Uint8, 1, plan.resized.0 * plan.resized.1 * pixel),
        };
        let len = output.rows * each * element.size();
        let nothing = Normalise::NONE;
        let pixel = if normalise.is_some() { 4 } else { 3 };
        Self {
            simd,
            numerics,
            luts: vec![Lut::new(normalise.unwrap_or(&nothing), element)],
            copies,
            pixel,
            image: noise(plan.source.0 * plan.source.1 * pixel),
            out: vec![1; len + LINE],
            len,
            plan,
        }
    }
}

impl Work for Whole {
    fn run(&mut self) {
        let (height, width) = self.plan.source;
        let source = ImageRef::packed(&self.image, height, width, self.pixel);
        let start = self.out.as_ptr().align_offset(LINE);
        let out = &mut self.out[start..start + self.len];
        let settings = Settings {
            simd: self.simd,
            numerics: self.numerics,
            luts: &self.luts.iter().collect::<Vec<_>>(),
            copies: self.copies,
            stream: pays_to_stream(out),
            threads: 1,
        };
        let frames = vec![Frame { source: &source, slots: 0..self.copies }];
        let item = Item { plan: &self.plan, frames, outs: vec![Part::new(out)] };
        run(&settings, vec![item], &Watch::new(None)).expect("run");
    }

    fn answer(&mut self) -> Vec<u8> {
        let start = self.out.as_ptr().align_offset(LINE);
        self.out[start..start + self.len].to_vec()
    }
}

/// A pass in float32.
struct Floats {
    simd: Simd,
    pass: Stage,
    plane: Vec<f32>,
    columns: FloatAxis,
    rows: FloatAxis,
    room: Vec<f32>,
    sums: Vec<f32>,
    out: Vec<f32>,
}

impl Work for Floats {
    fn run(&mut self) {
        let Self { simd, pass, plane, columns, rows, room, sums, out } = self;
        let (plane, middle) = (black_box(&plane[..]), rows.target / 2);
        match pass {
            Stage::FloatHorizontal => float::horizontal(*simd, columns, plane, (room, sums), out),
            Stage::FloatVertical => float::vertical(*simd, rows, middle, plane, out),
            _ => {
                let (width, (taps, weights)) = (out.len(), rows.window(middle));
                let line = |k: usize, x: usize| &plane[taps[k] as usize * width + x..][..width - 1];
                let samples = [line(0, 0), line(0, 1), line(1, 0), line(1, 1)];
                let sides = [&sums[..width - 1], &sums[width..][..width - 1]];
                float::square(*simd, samples, [weights[0], weights[1]], sides, &mut out[1..]);
            }
        }
    }

    fn answer(&mut self) -> Vec<u8> {
        self.out.iter().flat_map(|value| value.to_ne_bytes()).collect()
    }
}

/// The backends of this CPU.
pub(crate) fn backends() -> impl Iterator<Item = Simd> {
    Simd::NAMES.into_iter().filter_map(Simd::detect)
}

/// Keeps the process on the core where it is.
pub(crate) fn stay() {
    #[cfg(target_os = "linux")]
    {
        #![expect(unsafe_code, reason = "asks the system")]
        // SAFETY: all zeros are an empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: asks for a number.
        let core = unsafe { libc::sched_getcpu() };
        if let Ok(core) = usize::try_from(core) {
            // SAFETY: sets a bit of a set that has room for every core.
            unsafe { libc::CPU_SET(core, &mut set) };
            // SAFETY: hands over a set and its size. Where it fails, times are less steady and nothing else.
            unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
        }
    }
}
