//! A family with its options, and the call that fills arrays.

use pyo3::exceptions::{PyException, PyIndexError, PyKeyError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::array::{ImageBuffer, OutBuffer, disjoint};
use super::arrow::PilImage;
use super::error::{guard, to_python};
use super::jpeg::JpegImage;
use super::plain;
use super::plan::{PyPlan, row_shape};
use super::value;
use crate::error::Error;
use crate::families;
use crate::image::ImageRef;
use crate::memory::pays_to_stream;
use crate::pack::{Element, Lut, Normalise};
use crate::parallel::Watch;
use crate::pipeline::{self, Frame, Item, Settings, Source};
use crate::plan::{Cut, Plan};
use crate::resample::Numerics;
use crate::simd::Simd;
use crate::spec::{Rule, Spec};

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

/// What ended a call, and the number of the item it was about, where it was about one.
pub(super) struct Failed {
    item: Option<usize>,
    error: PyErr,
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

/// Runs plans over pixels into buffers, an image a plan.
pub(super) fn execute(
    py: Python<'_>,
    settings: &mut Settings<'_>,
    plans: &[Arc<Plan>],
    pixels: &[Pixels],
    outs: &mut [OutBuffer],
    row_bytes: &[usize],
) -> Result<(), Failed> {
    check_disjoint(pixels, outs)?;
    let views: Vec<Option<ImageRef<'_>>> = pixels.iter().map(Pixels::view).collect();
    let mut rests: Vec<&mut [u8]> = outs.iter_mut().map(OutBuffer::bytes).collect();
    settings.stream = rests.iter().all(|out| pays_to_stream(out));
    let mut items = Vec::with_capacity(plans.len());
    for ((plan, pixels), view) in plans.iter().zip(pixels).zip(&views) {
        let mut parts = Vec::with_capacity(rests.len());
        for ((output, rest), bytes) in plan.outputs.iter().zip(&mut rests).zip(row_bytes) {
            let (part, others) = std::mem::take(rest).split_at_mut(output.rows * bytes);
            *rest = others;
            parts.push(part);
        }
        let frame = Frame { source: source(pixels, view.as_ref())?, slots: 0..settings.copies };
        items.push(Item { plan, frames: vec![frame], outs: parts });
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
    check_disjoint(pixels, &outs)?;
    let views: Vec<Option<ImageRef<'_>>> = pixels.iter().map(Pixels::view).collect();
    settings.stream = pays_to_stream(outs[0].bytes());
    let groups = pixels.chunks(temporal).zip(views.chunks(temporal));
    let mut items = Vec::with_capacity(groups.len());
    for ((pixels, views), out) in groups.zip(outs[0].bytes().chunks_exact_mut(bytes)) {
        let mut frames = Vec::with_capacity(temporal);
        for (slot, (pixels, view)) in pixels.iter().zip(views).enumerate() {
            frames.push(Frame { source: source(pixels, view.as_ref())?, slots: slot..slot + 1 });
        }
        // Upstream repeats the last frame over what is missing.
        if let Some(last) = frames.last_mut() {
            last.slots.end = temporal;
        }
        items.push(Item { plan, frames, outs: vec![out] });
    }
    Ok(detached(py, settings, items, pixels, temporal)?)
}

fn check_disjoint(pixels: &[Pixels], outs: &[OutBuffer]) -> PyResult<()> {
    let extents: Vec<_> = pixels.iter().filter_map(Pixels::extent).collect();
    let out_extents: Vec<_> = outs.iter().map(OutBuffer::extent).collect();
    disjoint(&out_extents, &extents)
}

fn source<'a>(pixels: &'a Pixels, view: Option<&'a ImageRef<'_>>) -> PyResult<&'a dyn Source> {
    match (pixels, view) {
        (Pixels::Buffer(_), Some(view)) => Ok(view),
        (Pixels::Pil(image), _) => Ok(image),
        (Pixels::Jpeg(file), _) => Ok(file),
        (Pixels::Buffer(_), None) => Err(to_python(&Error::Source)),
    }
}

/// Whether this is the thread that Python delivers signals to.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    // The process's first thread nearly always is, and otherwise asks in vain.
    if crate::parallel::is_first_thread() {
        return Ok(true);
    }
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?;
    main.getattr(intern!(py, "ident"))?.eq(threading.call_method0(intern!(py, "get_ident"))?)
}

/// Runs items without the interpreter, answering signals. Each item has `share` of the pixels, the last what is left.
fn detached(
    py: Python<'_>,
    settings: &Settings<'_>,
    items: Vec<Item<'_>>,
    pixels: &[Pixels],
    share: usize,
) -> Result<(), Failed> {
    let interrupt: Mutex<Option<PyErr>> = Mutex::new(None);
    let poll = || {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is not general enough"
        )]
        let checked = Python::try_attach(|py| py.check_signals());
        let Some(Err(error)) = checked else { return false };
        *interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        true
    };
    // Only the main thread answers signals; a daemon thread may outlive the interpreter.
    let polls = is_main_thread(py)?;
    let result = py.detach(|| {
        let watch = Watch::new(if polls { Some(&poll) } else { None });
        pipeline::run(settings, items, &watch)
    });
    let interrupted = interrupt.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(interrupted) = interrupted {
        return Err(interrupted.into());
    }
    result.map_err(|(number, error)| {
        let mut owned = pixels.iter().skip(number * share).take(share);
        let error = owned.find_map(Pixels::failure).unwrap_or_else(|| to_python(&error));
        Failed { item: Some(number), error }
    })
}

/// A family with its options, frozen.
#[pyclass(name = "Spec", module = "dynres_rs._dynres_rs", frozen)]
pub(super) struct PySpec {
    pub(super) spec: Arc<Spec>,
    luts: [OnceLock<Vec<Lut>>; Element::ALL.len()],
}

impl PySpec {
    fn normalise(&self) -> Vec<Normalise> {
        Normalise::of(&self.spec)
    }

    fn element(&self, dtype: Option<&str>) -> PyResult<Element> {
        match dtype {
            Some(name) => Element::parse(name).map_err(|error| to_python(&error)),
            None => Ok(self.normalise()[0].element()),
        }
    }

    fn luts(&self, element: Element) -> &[Lut] {
        self.luts[element as usize].get_or_init(|| {
            self.normalise().iter().map(|normalise| Lut::new(normalise, element)).collect()
        })
    }

    fn temporal(&self) -> usize {
        match &self.spec.rule {
            Rule::SmartResize(rule) => rule.temporal_patch_size,
            Rule::Video(rule) => rule.patches.temporal_patch_size,
            Rule::AspectGrid(_) | Rule::BestCanvas(_) | Rule::PadSquare(_) => 1,
        }
    }

    fn copies(&self, temporal: &str) -> PyResult<usize> {
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

fn plans_of(plans: &[Bound<'_, PyPlan>]) -> Vec<Arc<Plan>> {
    plans.iter().map(|plan| Arc::clone(&plan.get().plan)).collect()
}

/// Key, shape and dtype of an array to be filled.
type ArrayShape<'py> = (&'static str, Bound<'py, PyTuple>, &'static str);
/// Key, shape and values of an array of integers.
type Facts<'py> = (&'static str, Bound<'py, PyTuple>, Vec<i64>);

#[expect(clippy::needless_pass_by_value, reason = "arguments arrive owned")]
#[expect(clippy::unused_self, reason = "what a plan says about itself is asked of its spec")]
#[pymethods]
impl PySpec {
    #[new]
    #[pyo3(signature = (family, numerics, options, video=false))]
    fn new(
        family: &str,
        numerics: &str,
        options: &Bound<'_, PyDict>,
        video: bool,
    ) -> PyResult<Self> {
        guard(|| {
            let family = families::find(family).map_err(|error| to_python(&error))?;
            let spec = if video { family.video } else { Some(family.spec) };
            let mut spec = spec.ok_or_else(|| {
                PyValueError::new_err(format!("family: '{}' takes no videos", family.name))
            })?;
            spec.numerics = Numerics::parse(numerics).map_err(|error| to_python(&error))?;
            value::apply(&mut spec, options)?;
            Ok(Self { spec: Arc::new(spec), luts: Default::default() })
        })
    }

    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        value::options(py, &self.spec)
    }

    #[pyo3(signature = (height, width, num_images=1))]
    fn plan(&self, height: usize, width: usize, num_images: usize) -> PyResult<PyPlan> {
        guard(|| {
            let plan = Plan::new(&self.spec, (height, width), num_images)
                .map_err(|error| to_python(&error))?;
            Ok(PyPlan { plan: Arc::new(plan), spec: Arc::clone(&self.spec) })
        })
    }

    fn arrays<'py>(
        &self,
        py: Python<'py>,
        plans: Vec<Bound<'py, PyPlan>>,
        dtype: Option<&str>,
        temporal: &str,
    ) -> PyResult<Vec<ArrayShape<'py>>> {
        guard(|| {
            let element = self.element(dtype)?;
            let copies = self.copies(temporal)?;
            let plans = plans_of(&plans);
            let Some(first) = plans.first() else {
                return Err(PyIndexError::new_err("plans: must not be empty"));
            };
            let mut arrays = Vec::new();
            for (number, output) in first.outputs.iter().enumerate() {
                let mut rows = 0;
                for plan in &plans {
                    let other = &plan.outputs[number];
                    if let (Cut::Tiles { tile: first }, Cut::Tiles { tile: other }) =
                        (output.cut, other.cut)
                        && first != other
                    {
                        let key = output.key;
                        return Err(to_python(&Error::Ragged { key, first, other }));
                    }
                    rows += other.rows;
                }
                let mut shape = vec![rows];
                shape.extend(row_shape(output.cut, copies));
                let shape = PyTuple::new(py, shape)?;
                arrays.push((output.key, shape, element.name()));
            }
            Ok(arrays)
        })
    }

    fn metadata<'py>(
        &self,
        py: Python<'py>,
        plans: Vec<Bound<'py, PyPlan>>,
    ) -> PyResult<Vec<Facts<'py>>> {
        guard(|| {
            let plans = plans_of(&plans);
            let facts = plans.first().map_or(&[][..], |plan| &plan.facts);
            let mut all = Vec::new();
            for (number, fact) in facts.iter().enumerate() {
                let values =
                    plans.iter().flat_map(|plan| plan.facts[number].values.clone()).collect();
                let mut shape = vec![plans.len()];
                if !fact.scalar {
                    shape.push(fact.values.len());
                }
                all.push((fact.key, PyTuple::new(py, shape)?, values));
            }
            Ok(all)
        })
    }

    #[pyo3(signature = (plan, frames, out, dtype, num_threads))]
    fn run_frames(
        &self,
        py: Python<'_>,
        plan: &Bound<'_, PyPlan>,
        frames: &Bound<'_, PyList>,
        out: &Bound<'_, PyAny>,
        dtype: Option<&str>,
        num_threads: usize,
    ) -> PyResult<()> {
        guard(|| {
            let element = self.element(dtype)?;
            let copies = self.temporal();
            let plan = &plan.get().plan;
            let mut pixels = Vec::with_capacity(frames.len());
            for frame in frames {
                let frame = Pixels::get(&frame)?;
                if frame.size() != plan.source {
                    let (size, expected) = (frame.size(), plan.source);
                    return Err(to_python(&Error::WrongSize { size, expected }));
                }
                pixels.push(frame);
            }
            let row = row_shape(plan.outputs[0].cut, copies).iter().product::<usize>();
            let bytes = row * element.size() * plan.grid.count();
            let out = OutBuffer::get(out, "out", pixels.len().div_ceil(copies) * bytes)?;
            let mut settings = Settings {
                simd: simd(),
                numerics: self.spec.numerics,
                luts: self.luts(element),
                copies,
                stream: false,
                threads: num_threads,
            };
            execute_frames(py, &mut settings, plan, &pixels, out, bytes)
        })
    }

    /// The batch of one image from a call's arguments as the caller gave them; None, with nothing done, where anything
    /// about them or the image is unusual.
    #[expect(clippy::too_many_arguments, reason = "the whole of one call of the facade")]
    #[pyo3(signature = (image, dtype, temporal, errors, num_threads, kept))]
    fn plain<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        dtype: &Bound<'py, PyAny>,
        temporal: &Bound<'py, PyAny>,
        errors: &Bound<'py, PyAny>,
        num_threads: &Bound<'py, PyAny>,
        kept: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        guard(|| {
            let family = plain::Family {
                spec: &self.spec,
                element: self.element(None)?,
                temporal: self.temporal(),
                luts: &|element| self.luts(element),
            };
            let arguments = plain::Arguments { dtype, temporal, errors, num_threads };
            plain::batch(py, &family, image, &arguments, kept)
        })
    }

    /// None, or the number of the image that failed and its exception.
    #[expect(clippy::too_many_arguments, reason = "the whole of one call of the facade")]
    #[pyo3(signature = (plans, images, outs, dtype, temporal, num_threads))]
    fn run(
        &self,
        py: Python<'_>,
        plans: Vec<Bound<'_, PyPlan>>,
        images: &Bound<'_, PyList>,
        outs: &Bound<'_, PyDict>,
        dtype: Option<&str>,
        temporal: &str,
        num_threads: usize,
    ) -> PyResult<Option<(usize, Py<PyAny>)>> {
        guard(|| {
            let element = self.element(dtype)?;
            let copies = self.copies(temporal)?;
            let plans = plans_of(&plans);
            let pixels: Vec<Pixels> =
                images.iter().map(|image| Pixels::get(&image)).collect::<PyResult<_>>()?;
            for (plan, pixels) in plans.iter().zip(&pixels) {
                if plan.source != pixels.size() {
                    let (size, expected) = (pixels.size(), plan.source);
                    return Err(to_python(&Error::WrongSize { size, expected }));
                }
            }
            let Some(first) = plans.first() else { return Ok(None) };
            let mut buffers = Vec::new();
            let mut row_bytes = Vec::new();
            for (number, output) in first.outputs.iter().enumerate() {
                let row = row_shape(output.cut, copies).iter().product::<usize>() * element.size();
                let rows: usize = plans.iter().map(|plan| plan.outputs[number].rows).sum();
                let array = outs.get_item(output.key)?.ok_or_else(|| {
                    PyKeyError::new_err(format!("out: {} is missing", output.key))
                })?;
                buffers.push(OutBuffer::get(&array, "out", rows * row)?);
                row_bytes.push(row);
            }
            let mut settings = Settings {
                simd: simd(),
                numerics: self.spec.numerics,
                luts: self.luts(element),
                copies,
                stream: false,
                threads: num_threads,
            };
            match execute(py, &mut settings, &plans, &pixels, &mut buffers, &row_bytes) {
                Ok(()) => Ok(None),
                Err(Failed { item: Some(number), error })
                    if error.is_instance_of::<PyException>(py) =>
                {
                    Ok(Some((number, error.into_value(py).into_any())))
                }
                Err(failed) => Err(failed.into()),
            }
        })
    }
}
