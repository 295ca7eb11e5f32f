//! The arrays of a call: the caller's own, all checked before anything is written, or new ones.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PySlice, PyString, PyTuple};

use super::array::OutBuffer;
use super::calls::watched;
use super::error::{guard, to_python};
use super::plain::numpy;
use super::vocabulary::{kind_of, shown, type_error, value_error};
use crate::pack::side_by_side;

type Object<'py> = Bound<'py, PyAny>;

/// An array that a call returns, as a caller may bring it.
pub(super) struct Wanted {
    pub(super) key: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: &'static str,
    /// Whether it is one of a list under its key: each of those is its own memory.
    pub(super) listed: bool,
}

/// Views by key of the arrays that a caller brings: `out` is one array, a dict of them, or a function that is called for
/// each array of pixels. `images` are the numbers and the pixels of the call's images.
pub(super) fn given<'py>(
    out: &Object<'py>,
    arrays: &[Wanted],
    facts: &[Wanted],
    images: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = out.py();
    let (given, named) = if out.is_callable() {
        (made(out, arrays)?.into_any(), true)
    } else if out.cast::<PyMapping>().is_ok() {
        (out.clone(), true)
    } else {
        let alone = PyDict::new(py);
        alone.set_item(arrays.first().map(|array| array.key), out)?;
        (alone.into_any(), false)
    };
    let called = |key: &str| if named { format!("out['{key}']") } else { "out".to_owned() };
    let views = PyDict::new(py);
    for item in given.cast::<PyMapping>()?.items()? {
        let (key, value): (Object<'py>, Object<'py>) = item.extract()?;
        let name = called(&shown(&key, 60)?);
        let key = key.cast::<PyString>().ok().and_then(|key| key.to_str().ok());
        if let Some(key) = key
            && arrays.iter().any(|array| array.listed && array.key == key)
        {
            let rule = format!("{name}: '{key}' is a list of arrays of several shapes here");
            return Err(value_error(rule));
        }
        let wanted = arrays.iter().filter(|array| !array.listed).chain(facts);
        let Some(array) = wanted.clone().find(|array| Some(array.key) == key) else {
            let known = wanted.map(|array| array.key).collect::<Vec<_>>().join(", ");
            return Err(value_error(format!("{name}: is no key of the result; those are {known}")));
        };
        views.set_item(array.key, view(&name, &value, &array.shape, array.dtype)?)?;
    }
    apart(&views, called, images)?;
    Ok(views)
}

/// What a caller's function gives for the arrays of pixels, but for those of a list.
fn made<'py>(function: &Object<'py>, arrays: &[Wanted]) -> PyResult<Bound<'py, PyDict>> {
    let py = function.py();
    let made = PyDict::new(py);
    for array in arrays.iter().filter(|array| !array.listed) {
        let dtype = numpy(py)?.call_method1(intern!(py, "dtype"), (array.dtype,))?;
        let memory = function.call1((array.key, PyTuple::new(py, &array.shape)?, dtype))?;
        if !memory.is_none() {
            made.set_item(array.key, memory)?;
        }
    }
    Ok(made)
}

/// Refuses arrays that share memory with one another or with an image.
fn apart<'py>(
    views: &Bound<'py, PyDict>,
    called: impl Fn(&str) -> String,
    images: &Bound<'py, PyList>,
) -> PyResult<()> {
    let ndarray = numpy(views.py())?.getattr(intern!(views.py(), "ndarray"))?;
    for (position, (key, view)) in views.iter().enumerate() {
        let name = || Ok::<_, PyErr>(called(key.extract()?));
        for (other, before) in views.iter().take(position) {
            if may_share(&view, &before)? {
                return Err(value_error(format!("{}: overlaps out['{other}']", name()?)));
            }
        }
        for item in images {
            let (index, image): (usize, Object<'py>) = item.extract()?;
            if image.is_instance(&ndarray)? && may_share(&view, &image)? {
                let rule = format!("{}: overlaps images[{index}] in memory", name()?);
                return Err(value_error(rule));
            }
        }
    }
    Ok(())
}

/// Whether the memory of two arrays may overlap, by their bounds.
pub(super) fn may_share(one: &Object<'_>, other: &Object<'_>) -> PyResult<bool> {
    let py = one.py();
    numpy(py)?.call_method1(intern!(py, "may_share_memory"), (one, other))?.extract()
}

/// A view of a caller's array, or of the memory of a tensor, that is as it must be.
pub(super) fn view<'py>(
    name: &str,
    value: &Object<'py>,
    shape: &[usize],
    dtype: &str,
) -> PyResult<Object<'py>> {
    let py = value.py();
    let numpy = numpy(py)?;
    let array = if is_tensor(value)? { memory_of(name, value)? } else { value.clone() };
    let ndarray = numpy.getattr(intern!(py, "ndarray"))?;
    if !array.is_instance(&ndarray)? {
        let kind = kind_of(value)?;
        return Err(type_error(format!("{name}: must be a numpy array, got {kind}")));
    }
    let own = array.getattr(intern!(py, "dtype"))?;
    if own.ne(numpy.call_method1(intern!(py, "dtype"), (dtype,))?)? {
        let bits = if dtype == "uint16" { " (the bits of bfloat16)" } else { "" };
        let own = own.getattr(intern!(py, "str"))?;
        return Err(type_error(format!("{name}: must have the dtype {dtype}{bits}, got {own}")));
    }
    let (own, wanted) = (array.getattr(intern!(py, "shape"))?, PyTuple::new(py, shape)?);
    if own.ne(&wanted)? {
        return Err(value_error(format!("{name}: must have the shape {wanted}, got {own}")));
    }
    let flags = array.getattr(intern!(py, "flags"))?;
    let rules = [
        (intern!(py, "c_contiguous"), "C-contiguous"),
        (intern!(py, "writeable"), "writeable"),
        (intern!(py, "aligned"), "aligned to its dtype"),
    ];
    for (flag, rule) in rules {
        if !flags.getattr(flag)?.extract::<bool>()? {
            return Err(value_error(format!("{name}: must be {rule}")));
        }
    }
    array.call_method1(intern!(py, "view"), (ndarray,))
}

fn is_tensor(value: &Object<'_>) -> PyResult<bool> {
    let py = value.py();
    let module = value.get_type().getattr(intern!(py, "__module__"))?;
    Ok(module.eq(intern!(py, "torch"))? && value.hasattr(intern!(py, "detach"))?)
}

/// The memory of a tensor as an array.
fn memory_of<'py>(name: &str, tensor: &Object<'py>) -> PyResult<Object<'py>> {
    let py = tensor.py();
    let device = tensor.getattr(intern!(py, "device"))?;
    if device.getattr(intern!(py, "type"))?.ne(intern!(py, "cpu"))? {
        return Err(type_error(format!("{name}: must be on the CPU, got device '{device}'")));
    }
    let plain = tensor.call_method0(intern!(py, "detach"))?;
    let numpy = intern!(py, "numpy");
    if tensor.getattr(intern!(py, "dtype"))?.str()?.to_str()? != "torch.bfloat16" {
        return plain.call_method0(numpy);
    }
    let view = intern!(py, "view");
    let bits = plain.call_method1(view, (py.import(intern!(py, "torch"))?.getattr("int16")?,))?;
    bits.call_method0(numpy)?.call_method1(view, (intern!(py, "uint16"),))
}

/// Patches (patches, channels, side, side) side by side, (1, channels, side, patches * side): in `out` where that is given.
#[pyfunction]
#[pyo3(signature = (patches, out=None))]
pub(super) fn in_strip<'py>(
    patches: &Object<'py>,
    out: Option<Object<'py>>,
) -> PyResult<Object<'py>> {
    guard(|| {
        let py = patches.py();
        let [count, channels, side, _]: [usize; 4] =
            patches.getattr(intern!(py, "shape"))?.extract()?;
        let dtype = patches.getattr(intern!(py, "dtype"))?;
        let line = side * dtype.getattr(intern!(py, "itemsize"))?.extract::<usize>()?;
        let shape = (1, channels, side, count * side);
        let strip = match out {
            Some(out) => out,
            None => numpy(py)?.call_method1(intern!(py, "empty"), (shape, dtype))?,
        };
        let bytes = count * channels * side * line;
        let mut source = OutBuffer::get(patches, "patches", bytes)?;
        let mut target = OutBuffer::get(&strip, "out", bytes)?;
        let (source, target) = (&*source.bytes(), target.bytes());
        watched(py, |watch| side_by_side(source, (channels, side, line), target, watch))?
            .map_err(|error| to_python(&error))?;
        Ok(strip)
    })
}

/// The strip (channels, side, patches * side) of each view; `views`: how many of `patches` each has, from `start` on.
pub(super) fn strips<'py>(
    patches: &Object<'py>,
    views: &[usize],
    start: &mut usize,
) -> PyResult<Bound<'py, PyList>> {
    let py = patches.py();
    let strips = PyList::empty(py);
    for &count in views {
        let part = PySlice::new(py, *start as isize, (*start + count) as isize, 1);
        strips.append(in_strip(&patches.get_item(part)?, None)?.get_item(0)?)?;
        *start += count;
    }
    Ok(strips)
}
