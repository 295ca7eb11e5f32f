//! Numbers in arrays: whatever callers give for them, and numpy's arrays of our own.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyInt, PyList, PySlice, PyTuple};

use super::plain::numpy;
use super::vocabulary::{kind_of, type_error, value_error};

/// Sizes that are read, or worked on, between two looks at signals.
pub(super) const CHUNK: usize = 1 << 15;

/// Whether an exception goes on whatever a value was to become: a lack of memory, or what is no `Exception`.
pub(super) fn goes_on(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyMemoryError>(py) || !error.is_instance_of::<PyException>(py)
}

/// An array of what the caller gave, whatever goes wrong in making it.
#[pyfunction]
pub(super) fn as_numbers<'py>(
    name: &str,
    given: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = given.py();
    numpy(py)?.call_method1(intern!(py, "asarray"), (given,)).or_else(|error| {
        if goes_on(py, &error) {
            return Err(error);
        }
        let kind = kind_of(given)?;
        let rule = "must be numbers in an array or in lists of one length";
        Err(type_error(format!("{name}: {rule}, got {kind}")))
    })
}

/// Sizes (n, 2), of integers of any kind, as C-contiguous int64.
pub(super) fn sizes(given: &Bound<'_, PyAny>) -> PyResult<PyBuffer<i64>> {
    let py = given.py();
    let array = match in_parts("sizes", given)? {
        Some(array) => array,
        None => as_numbers("sizes", given)?,
    };
    let (shape, kind) = (shape(&array)?, kind(&array)?);
    if shape == [0] {
        let empty =
            numpy(py)?.call_method1(intern!(py, "empty"), ((0, 2), intern!(py, "int64")))?;
        return PyBuffer::get(&empty);
    }
    let limit = || value_error("sizes: must be below 2**63".into());
    if kind == 'O' && all_integers(&array)? {
        return Err(limit());
    }
    integral("sizes", &array, kind)?;
    if !matches!(shape[..], [_, 2]) {
        let shape = array.getattr(intern!(py, "shape"))?;
        return Err(value_error(format!("sizes: must have the shape (n, 2), got {shape}")));
    }
    if kind == 'u' && shape[0] > 0 {
        let most: u64 = array.call_method0(intern!(py, "max"))?.extract()?;
        if i64::try_from(most).is_err() {
            return Err(limit());
        }
    }
    int64(&array)
}

/// Lengths (n,) of integers of any kind, as C-contiguous int64; `name` is the argument they came in.
pub(super) fn lengths(name: &str, given: &Bound<'_, PyAny>) -> PyResult<Option<PyBuffer<i64>>> {
    let py = given.py();
    let array = as_numbers(name, given)?;
    let shape = shape(&array)?;
    if shape.contains(&0) {
        return Ok(None);
    }
    integral(name, &array, kind(&array)?)?;
    if shape.len() != 1 {
        let shape = array.getattr(intern!(py, "shape"))?;
        return Err(value_error(format!("{name}: must have the shape (n,), got {shape}")));
    }
    int64(&array).map(Some)
}

/// A long list of pairs as an array. numpy reads a list in one go: part by part, signals are answered in between.
fn in_parts<'py>(name: &str, given: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = given.py();
    let listed = given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>();
    if !listed || given.len()? <= CHUNK {
        return Ok(None);
    }
    let parts = PyList::empty(py);
    for start in (0..given.len()?).step_by(CHUNK) {
        let slice = PySlice::new(py, start as isize, (start + CHUNK) as isize, 1);
        let part = as_numbers(name, &given.get_item(slice)?)?;
        if !matches!(shape(&part)?[..], [_, 2]) {
            return Ok(None);
        }
        parts.append(part)?;
        py.check_signals()?;
    }
    numpy(py)?.call_method1(intern!(py, "concatenate"), (parts,)).map(Some)
}

fn shape(array: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    array.getattr(intern!(array.py(), "shape"))?.extract()
}

/// numpy's letter for the kind of an array's elements.
fn kind(array: &Bound<'_, PyAny>) -> PyResult<char> {
    let py = array.py();
    array.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?.extract()
}

fn all_integers(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    for item in array.getattr(intern!(array.py(), "flat"))?.try_iter()? {
        if !item?.is_instance_of::<PyInt>() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn integral(name: &str, array: &Bound<'_, PyAny>, kind: char) -> PyResult<()> {
    if matches!(kind, 'i' | 'u') {
        return Ok(());
    }
    let py = array.py();
    let dtype = array.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "name"))?;
    Err(type_error(format!("{name}: must be integers, got {dtype}")))
}

fn int64(array: &Bound<'_, PyAny>) -> PyResult<PyBuffer<i64>> {
    let py = array.py();
    let arguments = (array, intern!(py, "int64"));
    PyBuffer::get(&numpy(py)?.call_method1(intern!(py, "ascontiguousarray"), arguments)?)
}

/// A numpy array of one axis, of numbers as their bytes.
pub(super) fn array<'py, const N: usize>(
    py: Python<'py>,
    dtype: &str,
    numbers: impl ExactSizeIterator<Item = [u8; N]>,
) -> PyResult<Bound<'py, PyAny>> {
    let len = numbers.len();
    let bytes = PyByteArray::new_with(py, len * N, |bytes| {
        for (place, number) in bytes.as_chunks_mut::<N>().0.iter_mut().zip(numbers) {
            *place = number;
        }
        Ok(())
    })?;
    of_bytes(len, dtype, bytes)
}

/// The numpy array of one axis that lies in the bytes of a new object.
pub(super) fn of_bytes<'py>(
    len: usize,
    dtype: &str,
    bytes: Bound<'py, PyByteArray>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = bytes.py();
    numpy(py)?.call_method1(intern!(py, "ndarray"), ((len,), dtype, bytes))
}
