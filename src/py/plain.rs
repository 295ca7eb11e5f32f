//! The usual call, without detours: one image that the core reads as it is, and arguments that mean what they say.
//!
//! Between two calls of a training loop the caches become others'. What Python's way through arguments and images then
//! costs is the memory of its functions, a tenth of a millisecond and more. So this looks at what is there, takes it if
//! nothing about it is unusual, and else declines: the careful way does it all again, and has the words for what is wrong.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple, PyType};
use std::sync::Arc;

use super::array::{ImageBuffer, OutBuffer, disjoint};
use super::arrow::PilImage;
use super::batch::PyBatch;
use super::processor::{Pixels, PySpec};
use crate::error::Size;
use crate::pack::{Element, LINE};
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
    kept: &Bound<'py, PyAny>,
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
        // Without memory the careful way fails as well, and says at what.
        let memory = memory(kept, PyTuple::new(py, &array.shape)?, array.element, bytes);
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

/// A new array: small ones are numpy's, others lie in the block of `kept` that was used last, where that is free and
/// fits, else where `Kept.empty` puts them.
fn memory<'py>(
    kept: &Bound<'py, PyAny>,
    shape: Bound<'py, PyTuple>,
    element: Element,
    bytes: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = kept.py();
    // numpy has no bfloat16: its bits.
    let name = if element == Element::Bfloat16 { "uint16" } else { element.name() };
    if bytes < kept.getattr(intern!(py, "_least"))?.extract()? {
        let arguments = (shape, numpy(py)?.getattr(name)?);
        return numpy(py)?.call_method1(intern!(py, "empty"), arguments);
    }
    let lock = kept.getattr(intern!(py, "_lock"))?;
    if lock.call_method1(intern!(py, "acquire"), (false,))?.is_truthy()? {
        let array = in_last_block(kept, &shape, name, bytes);
        lock.call_method0(intern!(py, "release"))?;
        if let Some(array) = array? {
            return Ok(array);
        }
    }
    kept.call_method1(intern!(py, "empty"), (shape, name))
}

/// Bytes before an array in a block at most, so that it can begin at a line of the cache.
const LEAD: usize = LINE;

fn in_last_block<'py>(
    kept: &Bound<'py, PyAny>,
    shape: &Bound<'py, PyTuple>,
    name: &str,
    bytes: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = kept.py();
    let state = kept.getattr(intern!(py, "_state"))?.cast_into::<PyTuple>()?;
    let (blocks, used) = (state.get_item(0)?, state.get_item(1)?);
    let (blocks, used) = (blocks.cast::<PyList>()?, used.cast::<PyList>()?);
    // The first block is none.
    let Some(last @ 1..) = blocks.len().checked_sub(1) else { return Ok(None) };
    let block = blocks.get_item(last)?;
    let room = block.len()?.saturating_sub(LEAD);
    // The list refers to it, and so do we.
    if references(&block) > 2 || bytes > room || room / 2 > bytes {
        return Ok(None);
    }
    let now = used.get_item(0)?.extract::<u64>()? + 1;
    used.set_item(0, now)?;
    used.set_item(last, now)?;
    let start = PyUntypedBuffer::get(&block)?.buf_ptr().addr().wrapping_neg() % LEAD;
    let arguments = (shape, numpy(py)?.getattr(name)?, block, start);
    numpy(py)?.call_method1(intern!(py, "ndarray"), arguments).map(Some)
}

#[expect(unsafe_code, reason = "asks for a count")]
fn references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: the object is alive, and the interpreter is ours.
    unsafe { pyo3::ffi::Py_REFCNT(object.as_ptr()) }
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
