//! The usual call, without detours: one image that the core reads as it is, and arguments that mean what they say.
//!
//! Between two calls of a training loop the caches become others'. What Python's way through arguments and images then
//! costs is the memory of its functions, a tenth of a millisecond and more. So this looks at what is there, takes it if
//! nothing about it is unusual, and else declines: the careful way does it all again, and has the words for what is wrong.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple, PyType};
use std::sync::Arc;

use super::array::{ImageBuffer, OutBuffer, disjoint};
use super::arrow::PilImage;
use super::batch::{self, PyBatch};
use super::kept::PyKept;
use super::processor::{Pixels, PySpec};
use crate::error::Size;
use crate::pack::Element;
use crate::plan::Plan;

/// An image whose pixels are read as they are: a numpy array (H, W, 3) of uint8 that cannot be taken for one with the
/// channels first, or a loaded Pillow image of mode RGB without a transparent colour.
fn pixels(image: &Bound<'_, PyAny>) -> PyResult<Option<Pixels>> {
    if is_array(image) {
        let Ok(buffer) = ImageBuffer::get(image) else { return Ok(None) };
        let ((height, width), pixel) = (buffer.size(), buffer.pixel());
        let plain = height > 4 && width > 0 && pixel == 3;
        return Ok(plain.then_some(Pixels::Buffer(buffer)));
    }
    Ok(declined(image.py(), PilImage::plain(image))?.flatten().map(Pixels::Pil))
}

/// None for an exception; what is none, as `KeyboardInterrupt`, goes on.
fn declined<T>(py: Python<'_>, result: PyResult<T>) -> PyResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the object is of numpy's own class of arrays, not of one made of it.
pub(super) fn is_array(object: &Bound<'_, PyAny>) -> bool {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    let class = CLASS.get_or_try_init(py, || {
        Ok::<_, PyErr>(numpy(py)?.getattr("ndarray")?.cast_into::<PyType>()?.unbind())
    });
    class.is_ok_and(|class| object.get_type().is(class.bind(py)))
}

pub(super) fn numpy(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static MODULE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let module =
        MODULE.get_or_try_init(py, || Ok::<_, PyErr>(py.import("numpy")?.into_any().unbind()))?;
    Ok(module.bind(py))
}

/// A whole number that is an `int` and no bool.
pub(super) fn integer(object: &Bound<'_, PyAny>) -> Option<usize> {
    object.is_exact_instance_of::<PyInt>().then(|| object.extract().ok()).flatten()
}

/// A number of threads.
pub(super) fn threads(object: &Bound<'_, PyAny>) -> Option<usize> {
    integer(object).filter(|&count| count < 1 << 31)
}

/// A pair of sides, both at least 1.
pub(super) fn sides(object: &Bound<'_, PyAny>) -> Option<Size> {
    let pair = object.cast_exact::<PyTuple>().ok()?;
    if pair.len() != 2 {
        return None;
    }
    let (height, width) = (integer(&pair.get_item(0).ok()?)?, integer(&pair.get_item(1).ok()?)?);
    (height > 0 && width > 0).then_some((height, width))
}

/// The text of a `str`.
pub(super) fn text<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    object.cast_exact::<PyString>().ok()?.to_str().ok()
}

/// The arguments of a call that its output depends on, as Python got them.
pub(super) struct Arguments<'a, 'py> {
    pub(super) dtype: &'a Bound<'py, PyAny>,
    pub(super) temporal: &'a Bound<'py, PyAny>,
    pub(super) errors: &'a Bound<'py, PyAny>,
    pub(super) num_threads: &'a Bound<'py, PyAny>,
}

/// The batch of one image, or none where anything is not as usual. `kept` has the memory for outputs.
pub(super) fn batch<'py>(
    spec: &Bound<'py, PySpec>,
    image: &Bound<'py, PyAny>,
    arguments: &Arguments<'_, 'py>,
    kept: &Bound<'py, PyKept>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = spec.py();
    let Some((dtype, copies, threads)) = understood(spec.get(), arguments) else { return Ok(None) };
    let Some(pixels) = pixels(image)? else { return Ok(None) };
    let Ok(plan) = Plan::new(&spec.get().spec, pixels.size(), 1) else { return Ok(None) };
    let asked = PyBatch::new(spec, vec![Arc::new(plan)], &[1], dtype, copies)?;
    if asked.shapes().arrays.iter().any(|array| array.strip) {
        return Ok(None);
    }
    let made = PyDict::new(py);
    let mut buffers = Vec::with_capacity(asked.shapes().arrays.len());
    for array in &asked.shapes().arrays {
        let bytes = array.shape.iter().product::<usize>() * array.element.size();
        let dtype = batch::dtype(array.element);
        // Without memory the careful way fails as well, and says at what.
        let memory = kept.get().array(&PyTuple::new(py, &array.shape)?, dtype, array.key);
        let Some(memory) = declined(py, memory)? else { return Ok(None) };
        buffers.push(OutBuffer::get(&memory, "out", bytes)?);
        made.set_item(array.key, memory)?;
    }
    asked.fill(py, &[pixels], buffers, threads)?;
    asked.add_facts(&made)?;
    Ok(Some(made))
}

fn understood(
    spec: &PySpec,
    arguments: &Arguments<'_, '_>,
) -> Option<(Option<Element>, usize, usize)> {
    let dtype = if arguments.dtype.is_none() {
        None
    } else {
        Some(Element::parse(text(arguments.dtype)?).ok()?)
    };
    let copies = match text(arguments.temporal)? {
        "expand" => spec.temporal(),
        "compact" => 1,
        _ => return None,
    };
    let raises = text(arguments.errors)? == "raise";
    raises.then_some((dtype, copies, threads(arguments.num_threads)?))
}

/// The array to resize into, where it is one of bytes and of the right shape that lies apart from the image, and neither
/// has more than `limit` pixels.
pub(super) fn resized(
    image: &ImageBuffer,
    out: &Bound<'_, PyAny>,
    size: Size,
    limit: u64,
) -> Option<OutBuffer> {
    let within = |(height, width): Size| {
        (height as u64).checked_mul(width as u64).is_some_and(|pixels| pixels <= limit)
    };
    if !(is_array(out) && within(image.size()) && within(size)) {
        return None;
    }
    let out = OutBuffer::shaped(out, [size.0, size.1, image.pixel()])?;
    disjoint(&mut [out.extent()], &[image.extent()]).ok()?;
    Some(out)
}
