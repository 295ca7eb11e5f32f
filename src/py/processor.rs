//! A family with its options, and the call that fills arrays.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList};
use std::sync::{Arc, OnceLock};

use super::arguments::side;
use super::array::{Claim, ImageBuffer, OutBuffer, claim, disjoint};
use super::arrow::PilImage;
use super::batch::PyBatch;
use super::calls::watched;
use super::error::{guard, to_python};
use super::jpeg::JpegImage;
use super::kept::PyKept;
use super::plain;
use super::plan::PyPlan;
use super::sampling;
use super::value;
use crate::error::{Error, Size, collected, push, reserved};
use crate::families;
use crate::image::ImageRef;
use crate::memory::{self, pays_to_stream};
use crate::options::Value;
use crate::pack::{Element, Lut, Normalise};
use crate::pipeline::{self, Frame, Item, Part, Settings, Source};
use crate::plan::{Batch, Plan, row_shape};
use crate::resample::Numerics;
use crate::simd::Simd;
use crate::sizing::{Grid, LINE, stacked_canvas, stacked_grid};
use crate::spec::{Group, Prepared, Spec};
use crate::strategy::Measure;

/// A plan, and the number, row and column of each frame on its canvas.
type Unit = (Py<PyPlan>, Vec<(usize, usize, usize)>);

/// The backend chosen at import.
pub(super) static SIMD: OnceLock<Simd> = OnceLock::new();

pub(super) fn simd() -> Simd {
    *SIMD.get_or_init(|| Simd::Scalar(crate::simd::Scalar))
}

/// Pixels of one image, held for a call.
pub(super) enum Pixels {
    Buffer(ImageBuffer),
    Pil(PilImage),
    Jpeg(JpegImage),
}

impl Pixels {
    /// A PIL image is what has `getbands` and `crop`; everything else must offer a buffer.
    pub(super) fn get(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        memory::check().map_err(no_memory)?;
        if let Some(file) = JpegImage::get(object) {
            return Ok(Self::Jpeg(file));
        }
        if object.hasattr(pyo3::intern!(py, "getbands"))? {
            Ok(Self::Pil(PilImage::get(object)?))
        } else {
            Ok(Self::Buffer(ImageBuffer::get(object)?))
        }
    }

    fn extent(&self) -> Option<(usize, usize)> {
        match self {
            Self::Buffer(buffer) => Some(buffer.extent()),
            Self::Pil(image) => image.extent(),
            Self::Jpeg(_) => None,
        }
    }

    pub(super) fn pixel(&self) -> usize {
        match self {
            Self::Buffer(buffer) => buffer.pixel(),
            Self::Pil(image) => Source::pixel(image),
            Self::Jpeg(file) => Source::pixel(file),
        }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Buffer(buffer) => buffer.size(),
            Self::Pil(image) => Source::size(image),
            Self::Jpeg(file) => Source::size(file),
        }
    }

    fn failure(&self) -> Option<PyErr> {
        match self {
            Self::Buffer(_) => None,
            Self::Pil(image) => image.take_failure(),
            Self::Jpeg(file) => file.take_failure(),
        }
    }

    fn view(&self) -> Option<ImageRef<'_>> {
        match self {
            Self::Buffer(buffer) => Some(buffer.view()),
            Self::Pil(_) | Self::Jpeg(_) => None,
        }
    }
}

/// The exception for a refusal of the allocator.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(super) fn no_memory(error: Error) -> PyErr {
    to_python(&error)
}

/// What ended a call, and the number of the item it was about, where it was about one.
pub(super) struct Failed {
    pub(super) item: Option<usize>,
    pub(super) error: PyErr,
}

impl From<PyErr> for Failed {
    fn from(error: PyErr) -> Self {
        Self { item: None, error }
    }
}

impl From<Failed> for PyErr {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Runs plans over pixels into the arrays of a batch, an image a plan.
pub(super) fn execute(
    py: Python<'_>,
    settings: &mut Settings<'_>,
    batch: &Batch,
    plans: &[Arc<Plan>],
    pixels: &[Pixels],
    outs: &mut [OutBuffer],
) -> Result<(), Failed> {
    let _claim = claimed(pixels, outs)?;
    let views: Vec<Option<ImageRef<'_>>> =
        collected(pixels.iter().map(Pixels::view)).map_err(no_memory)?;
    let mut rests: Vec<&mut [u8]> =
        collected(outs.iter_mut().map(OutBuffer::bytes)).map_err(no_memory)?;
    settings.stream = rests.iter().all(|out| pays_to_stream(out));
    let mut items: Vec<Item<'_>> = reserved(plans.len()).map_err(no_memory)?;
    for ((plan, pixels), view) in plans.iter().zip(pixels).zip(&views) {
        let frame = Frame { source: source(pixels, view.as_ref())?, slots: 0..settings.copies };
        let mut outs = reserved(plan.outputs.len()).map_err(no_memory)?;
        outs.resize_with(plan.outputs.len(), || Part::new(&mut []));
        let frames = collected([frame]).map_err(no_memory)?;
        items.push(Item { plan, frames, outs });
    }
    for (array, rest) in batch.arrays.iter().zip(&mut rests) {
        for slot in &array.slots {
            let (part, others) = std::mem::take(rest).split_at_mut(slot.bytes);
            *rest = others;
            items[slot.image].outs[array.output] = Part { tile: array.tile, ..Part::new(part) };
        }
    }
    detached(py, settings, items, pixels, 1)
}

/// Runs one plan over consecutive frames of a video into the buffer of their temporal patches, of `bytes` each.
fn execute_frames(
    py: Python<'_>,
    settings: &mut Settings<'_>,
    plan: &Plan,
    pixels: &[Pixels],
    out: OutBuffer,
    bytes: usize,
) -> PyResult<()> {
    let temporal = settings.copies;
    let mut outs = [out];
    let _claim = claimed(pixels, &outs)?;
    let views: Vec<Option<ImageRef<'_>>> =
        collected(pixels.iter().map(Pixels::view)).map_err(no_memory)?;
    settings.stream = pays_to_stream(outs[0].bytes());
    let groups = pixels.chunks(temporal).zip(views.chunks(temporal));
    let mut items = reserved(groups.len()).map_err(no_memory)?;
    for ((pixels, views), out) in groups.zip(outs[0].bytes().chunks_exact_mut(bytes)) {
        let mut frames = reserved(pixels.len()).map_err(no_memory)?;
        for (slot, (pixels, view)) in pixels.iter().zip(views).enumerate() {
            frames.push(Frame { source: source(pixels, view.as_ref())?, slots: slot..slot + 1 });
        }
        // Upstream repeats the last frame over what is missing.
        if let Some(last) = frames.last_mut() {
            last.slots.end = temporal;
        }
        items.push(Item { plan, frames, outs: collected([Part::new(out)]).map_err(no_memory)? });
    }
    Ok(detached(py, settings, items, pixels, temporal)?)
}

/// Checks that outputs lie apart from images and from each other, and are no other call's.
fn claimed(pixels: &[Pixels], outs: &[OutBuffer]) -> PyResult<Claim> {
    let extents = collected(pixels.iter().filter_map(Pixels::extent)).map_err(no_memory)?;
    let mut out_extents = collected(outs.iter().map(OutBuffer::extent)).map_err(no_memory)?;
    disjoint(&mut out_extents, &extents)?;
    claim(out_extents)
}

fn source<'a>(pixels: &'a Pixels, view: Option<&'a ImageRef<'_>>) -> PyResult<&'a dyn Source> {
    match (pixels, view) {
        (Pixels::Buffer(_), Some(view)) => Ok(view),
        (Pixels::Pil(image), _) => Ok(image),
        (Pixels::Jpeg(file), _) => Ok(file),
        (Pixels::Buffer(_), None) => Err(to_python(&Error::Source)),
    }
}

/// Runs items without the interpreter, answering signals. Each item has `share` of the pixels, the last what is left.
fn detached(
    py: Python<'_>,
    settings: &Settings<'_>,
    items: Vec<Item<'_>>,
    pixels: &[Pixels],
    share: usize,
) -> Result<(), Failed> {
    let result = watched(py, |watch| pipeline::run(settings, items, watch))?;
    result.map_err(|(number, error)| {
        let mut owned = pixels.iter().skip(number * share).take(share);
        let error = owned.find_map(Pixels::failure).unwrap_or_else(|| to_python(&error));
        Failed { item: Some(number), error }
    })
}

/// A family with its options, frozen.
#[pyclass(name = "Spec", module = "dynres_rs._dynres_rs", frozen)]
pub(super) struct PySpec {
    pub(super) spec: Arc<Prepared>,
    luts: [OnceLock<Vec<Lut>>; Element::ALL.len()],
}

impl PySpec {
    /// The element type of every array of pixels: the one asked for, or upstream's own.
    pub(super) fn elements(&self, dtype: Option<Element>) -> Vec<Element> {
        let own = |(array, normalise): (usize, &Normalise)| match dtype {
            Some(element) => element,
            None if self.spec.is_of_floats(array) && normalise.element() == Element::Uint8 => {
                Element::Float32
            }
            None => normalise.element(),
        };
        Normalise::of(&self.spec).iter().enumerate().map(own).collect()
    }

    /// The table of every array of pixels.
    pub(super) fn luts(&self, elements: &[Element]) -> Vec<&Lut> {
        let table = |(array, &element): (usize, &Element)| {
            let luts = self.luts[element as usize].get_or_init(|| {
                let all = Normalise::of(&self.spec);
                all.iter().map(|normalise| Lut::new(normalise, element)).collect()
            });
            &luts[array]
        };
        elements.iter().enumerate().map(table).collect()
    }

    pub(super) fn temporal(&self) -> usize {
        self.spec.strategy.temporal_patch_size()
    }

    /// The value of an option that the family has.
    fn option(&self, name: &str) -> Option<Value> {
        self.spec.options().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The same for images of any size, which are always resized.
    pub(super) fn without_limits(mut spec: Spec) -> PyResult<Self> {
        spec.common.max_image_pixels = usize::MAX >> 1;
        spec.common.do_resize = true;
        let spec = spec.prepare().map_err(|error| to_python(&error))?;
        Ok(Self { spec: Arc::new(spec), luts: Default::default() })
    }

    pub(super) fn copies(&self, temporal: &str) -> PyResult<usize> {
        match temporal {
            "expand" => Ok(self.temporal()),
            "compact" => Ok(1),
            _ => Err(to_python(&Error::Unknown {
                what: "temporal",
                given: temporal.into(),
                known: vec!["expand", "compact"],
            })),
        }
    }
}

fn plans_of(plans: &Bound<'_, PyList>) -> PyResult<Vec<Arc<Plan>>> {
    let mut found = reserved(plans.len()).map_err(no_memory)?;
    for plan in plans {
        let plan = Arc::clone(&plan.cast::<PyPlan>().map_err(PyErr::from)?.get().plan);
        push(&mut found, plan).map_err(no_memory)?;
    }
    Ok(found)
}

#[pymethods]
impl PySpec {
    #[new]
    #[pyo3(signature = (family, numerics, options, video=false))]
    pub(super) fn new(
        family: &str,
        numerics: &str,
        options: &Bound<'_, PyDict>,
        video: bool,
    ) -> PyResult<Self> {
        guard(|| {
            let found = if video {
                families::find_video(family).map(|video| &video.spec)
            } else {
                families::find(family).map(|family| &family.spec)
            };
            let mut spec = found.cloned().map_err(|error| to_python(&error))?;
            spec.numerics = Numerics::parse(numerics).map_err(|error| to_python(&error))?;
            value::apply(&mut spec, options)?;
            let spec = spec.prepare().map_err(|error| to_python(&error))?;
            Ok(Self { spec: Arc::new(spec), luts: Default::default() })
        })
    }

    /// The family's name.
    #[getter]
    fn family(&self) -> &'static str {
        self.spec.family
    }

    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| value::options(py, &self.spec))
    }

    /// The key of the array of pixels.
    #[getter]
    fn key(&self) -> Option<&'static str> {
        self.spec.recipe.arrays.first().map(|array| array.key)
    }

    /// Whether each image or video has a place of its own on the first axis of the array of pixels.
    #[getter]
    fn stacked(&self) -> bool {
        self.spec.recipe.arrays.first().is_some_and(|array| array.group == Group::Image)
    }

    /// Frames of a patch.
    #[getter]
    fn temporal_patch_size(&self) -> usize {
        self.temporal()
    }

    /// Side of a vision encoder's patch in pixels.
    #[getter]
    fn patch_size(&self) -> usize {
        self.spec.strategy.patch_size()
    }

    /// Whether images are resized.
    #[getter]
    fn resizes(&self) -> bool {
        self.spec.common.do_resize
    }

    /// Whether values are rescaled and normalised, by the same numbers for every image.
    #[getter]
    fn scales(&self) -> bool {
        let common = &self.spec.common;
        common.do_rescale && common.do_normalize && !self.spec.recipe.hides("do_rescale")
    }

    /// Whether the size of a video's frame depends on how many there are.
    #[getter]
    fn needs_frames(&self) -> bool {
        self.spec.common.do_resize && self.spec.strategy.needs_frames()
    }

    /// The same for images of any size, which are always resized.
    fn unlimited(&self) -> PyResult<Self> {
        guard(|| Self::without_limits(self.spec.spec.clone()))
    }

    /// Height and width of the page that images are turned to, None where they are not turned. Upstream's torchvision
    /// class that also cuts margins turns other axes: a call refuses it.
    #[getter]
    pub(super) fn page(&self) -> Option<Size> {
        let refused =
            self.spec.numerics == Numerics::Torchvision && self.option("do_crop_margin").is_some();
        if refused || self.option("do_align_long_axis") != Some(Value::Bool(true)) {
            return None;
        }
        match (self.option("height"), self.option("width")) {
            (Some(Value::Int(height)), Some(Value::Int(width))) => {
                Some((height as usize, width as usize))
            }
            _ => None,
        }
    }

    /// Whether margins are cut off images.
    #[getter]
    fn crops_margins(&self) -> bool {
        self.option("do_crop_margin") == Some(Value::Bool(true))
    }

    /// The bits of what each byte becomes in each channel of an array of pixels, (3, 256) of float32; None for no such
    /// array.
    fn table<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyByteArray>>> {
        guard(|| {
            let arrays = self.spec.recipe.arrays;
            let Some(array) = arrays.iter().position(|array| array.key == key) else {
                return Ok(None);
            };
            let lut = self.luts(&vec![Element::Float32; arrays.len()])[array];
            let bytes = lut.float32.as_flattened().iter().flat_map(|value| value.to_ne_bytes());
            let bytes = collected(bytes).map_err(no_memory)?;
            Ok(Some(PyByteArray::new(py, &bytes)))
        })
    }

    /// Whether upstream writes times on the frames of a video.
    #[getter]
    fn draws(&self) -> bool {
        let sampled = self.spec.strategy.sampled();
        sampled.is_some_and(|it| it.draw_on_frames) && !self.spec.recipe.hides("draw_on_frames")
    }

    /// Whether frames between seconds are put on canvases of their own: see `units`.
    #[getter]
    fn stacks(&self) -> bool {
        self.spec.strategy.sampled().is_some_and(|it| it.stack_frames > 1)
            && !self.spec.recipe.hides("stack_frames")
    }

    /// What the model sees one by one of `num_frames` frames that were taken of a video of that many seconds: the plan of
    /// each, and of each frame on it the number, the row above and the column left of it.
    #[pyo3(signature = (height, width, num_frames, duration=None))]
    fn units(
        &self,
        py: Python<'_>,
        height: usize,
        width: usize,
        num_frames: usize,
        duration: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Unit>> {
        guard(|| {
            let asked = sampling::asked(&self.spec)?;
            let duration = sampling::video(num_frames, None, duration)?.duration;
            let ranges = asked.units(num_frames, duration).map_err(sampling::refused)?;
            let mut plans: Vec<(usize, Grid, Arc<Plan>)> = Vec::new();
            let mut units = reserved(ranges.len()).map_err(no_memory)?;
            for range in ranges {
                let count = range.len();
                let known = plans.iter().position(|(frames, ..)| *frames == count);
                let (_, grid, plan) = if let Some(known) = known {
                    &plans[known]
                } else {
                    let grid = stacked_grid((height, width), count);
                    let canvas = stacked_canvas((height, width), grid);
                    let plan =
                        Plan::new(&self.spec, canvas, 1).map_err(|error| to_python(&error))?;
                    push(&mut plans, (count, grid, Arc::new(plan))).map_err(no_memory)?;
                    &plans[plans.len() - 1]
                };
                let place = |(number, frame): (usize, usize)| {
                    let (row, column) = (number / grid.columns, number % grid.columns);
                    (frame, row * (height + LINE), column * (width + LINE))
                };
                let places = collected(range.enumerate().map(place)).map_err(no_memory)?;
                let plan = PyPlan { plan: Arc::clone(plan), spec: Arc::clone(&self.spec) };
                units.push((Py::new(py, plan)?, places));
            }
            Ok(units)
        })
    }

    /// The frames that are taken of a video, int64, whatever `do_sample_frames` says.
    #[pyo3(signature = (total_num_frames, video_fps=None, duration=None))]
    fn sample<'py>(
        &self,
        py: Python<'py>,
        total_num_frames: &Bound<'py, PyAny>,
        video_fps: Option<&Bound<'py, PyAny>>,
        duration: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guard(|| {
            let asked = sampling::asked(&self.spec)?;
            let total = side("total_num_frames", total_num_frames)?;
            let video = sampling::video(total, video_fps, duration)?;
            sampling::frames(py, &asked, video)
        })
    }

    /// The option `temporal_patch_size`, and 1 where the family has none.
    #[getter]
    fn temporal_option(&self) -> usize {
        sampling::temporal_option(&self.spec)
    }

    /// Temporal patches, each in rows of its own, that one token sees together.
    #[getter]
    fn tubelet(&self) -> usize {
        self.spec.strategy.tubelet()
    }

    /// Frames of that many temporal patches: a video is filled up to whole ones.
    #[getter]
    fn whole_frames(&self) -> usize {
        self.temporal() * self.spec.strategy.tubelet()
    }

    /// Whether each image of a flat list is a sample of its own.
    #[getter]
    fn apart(&self) -> bool {
        families::find(self.spec.family).is_ok_and(|family| family.apart)
    }

    #[pyo3(signature = (height, width, num_images=1))]
    pub(super) fn plan(&self, height: usize, width: usize, num_images: usize) -> PyResult<PyPlan> {
        guard(|| {
            let plan = Plan::new(&self.spec, (height, width), num_images)
                .map_err(|error| to_python(&error))?;
            Ok(PyPlan { plan: Arc::new(plan), spec: Arc::clone(&self.spec) })
        })
    }

    /// The arrays of images of these plans, in samples of these counts.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 makes it of a list")]
    fn batch(
        slf: &Bound<'_, Self>,
        plans: &Bound<'_, PyList>,
        samples: Vec<usize>,
        dtype: Option<&str>,
        temporal: &str,
    ) -> PyResult<PyBatch> {
        guard(|| {
            let spec = slf.get();
            let dtype = dtype.map(Element::parse).transpose().map_err(|error| to_python(&error))?;
            PyBatch::new(slf, plans_of(plans)?, &samples, dtype, spec.copies(temporal)?)
        })
    }

    /// Fills `out`: consecutive temporal patches of a video, each of `share` bytes at least.
    #[pyo3(signature = (plan, frames, out, dtype, num_threads, share=0))]
    #[expect(clippy::too_many_arguments, reason = "the whole of a call")]
    fn run_frames(
        &self,
        py: Python<'_>,
        plan: &Bound<'_, PyPlan>,
        frames: &Bound<'_, PyList>,
        out: &Bound<'_, PyAny>,
        dtype: Option<&str>,
        num_threads: usize,
        share: usize,
    ) -> PyResult<()> {
        guard(|| {
            let dtype = dtype.map(Element::parse).transpose().map_err(|error| to_python(&error))?;
            let elements = self.elements(dtype);
            let (element, luts) = (elements[0], self.luts(&elements));
            let copies = self.temporal();
            let plan = &plan.get().plan;
            let mut pixels = reserved(frames.len()).map_err(no_memory)?;
            for frame in frames {
                let frame = Pixels::get(&frame)?;
                if frame.size() != plan.source {
                    let (size, expected) = (frame.size(), plan.source);
                    return Err(to_python(&Error::WrongSize { size, expected }));
                }
                push(&mut pixels, frame).map_err(no_memory)?;
            }
            let row = row_shape(plan.outputs[0].cut, copies, true).iter().product::<usize>();
            let groups = pixels.len().div_ceil(copies);
            let own = row * element.size() * (plan.outputs[0].rows / plan.groups.max(1));
            // Of each temporal patch: what stands after its own rows is filled with zeros.
            let bytes = own.max(share);
            let out = OutBuffer::get(out, "out", groups * bytes)?;
            let mut settings = Settings {
                simd: simd(),
                numerics: self.spec.numerics,
                luts: &luts,
                copies,
                stream: false,
                threads: num_threads,
            };
            execute_frames(py, &mut settings, plan, &pixels, out, bytes)
        })
    }

    /// The batch of one image from a call's arguments as the caller gave them; None, with nothing done, where anything
    /// about them or the image is unusual.
    #[pyo3(signature = (image, dtype, temporal, errors, num_threads, kept))]
    fn plain<'py>(
        slf: &Bound<'py, Self>,
        image: &Bound<'py, PyAny>,
        dtype: &Bound<'py, PyAny>,
        temporal: &Bound<'py, PyAny>,
        errors: &Bound<'py, PyAny>,
        num_threads: &Bound<'py, PyAny>,
        kept: &Bound<'py, PyKept>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        guard(|| {
            let arguments = plain::Arguments { dtype, temporal, errors, num_threads };
            plain::batch(slf, image, &arguments, kept)
        })
    }
}
