//! What arguments of a call must be: numbers of any kind, checked.

use pyo3::exceptions::{PyMemoryError, PyOverflowError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use super::plain::numpy;
use super::vocabulary::{is_flag, kind_of, shown, type_error, value_error};

/// An integer of any kind, by `__index__`; not a bool.
pub(super) fn whole_number<'py>(
    name: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(value.clone());
    }
    if !is_flag(value)? {
        let index = py.import(intern!(py, "operator"))?.getattr(intern!(py, "index"))?;
        match index.call1((value,)) {
            Ok(number) => return Ok(number),
            Err(error) if error.is_instance_of::<PyMemoryError>(py) => return Err(error),
            Err(_) => {}
        }
    }
    Err(type_error(format!("{name}: must be an integer, got {}", kind_of(value)?)))
}

/// An integer of any kind that fits 64 bits.
#[pyfunction]
pub(super) fn integer(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let number = whole_number(name, value)?;
    if let Ok(number) = number.extract() {
        return Ok(number);
    }
    let bits: usize = number.call_method0("bit_length")?.extract()?;
    Err(value_error(format!("{name}: must fit 64 bits, got one of {bits} bits")))
}

/// A length or a count: an integer in 1..2**31.
#[pyfunction]
pub(super) fn side(name: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let number = integer(name, value)?;
    if (1..1 << 31).contains(&number) {
        return Ok(number as usize);
    }
    Err(value_error(format!("{name}: must be in 1..2**31, got {number}")))
}

/// An integer of any kind from `least` on and below 2**`bits`.
pub(super) fn below(name: &str, value: &Bound<'_, PyAny>, least: u64, bits: u32) -> PyResult<u64> {
    let number = whole_number(name, value)?;
    if let Some(found) = number.extract().ok().filter(|found| (least..1 << bits).contains(found)) {
        return Ok(found);
    }
    // Of an integer of very many digits Python says so instead.
    let got = number.str()?;
    Err(value_error(format!("{name}: must be in {least}..2**{bits}, got {got}")))
}

/// A finite number of any kind; not a bool.
#[pyfunction]
pub(super) fn finite_number(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let py = value.py();
    let plain = value.is_exact_instance_of::<PyFloat>() || value.is_exact_instance_of::<PyInt>();
    if !plain {
        let real = py.import(intern!(py, "numbers"))?.getattr("Real")?;
        let number = value.is_instance(&real)?
            || value.is_instance(&numpy(py)?.getattr(intern!(py, "number"))?)?;
        if !number || is_flag(value)? {
            return Err(type_error(format!("{name}: must be a number, got {}", kind_of(value)?)));
        }
    }
    let found = match py.get_type::<PyFloat>().call1((value,)) {
        Ok(number) => number.extract()?,
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => f64::INFINITY,
        Err(error) => return Err(error),
    };
    if found.is_finite() {
        return Ok(found);
    }
    let got = shown(value, 160)?;
    Err(value_error(format!("{name}: must be a finite number, got {got}")))
}

/// A number, or None.
pub(super) fn maybe<T>(
    value: Option<&Bound<'_, PyAny>>,
    read: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    value.map(read).transpose()
}

/// A number above 0, such as a rate, or None.
pub(super) fn rate(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<f64>> {
    let Some(value) = value else { return Ok(None) };
    let found = finite_number(name, value)?;
    if found > 0.0 {
        return Ok(Some(found));
    }
    let got = shown(value, 160)?;
    Err(value_error(format!("{name}: must be a finite number above 0, got {got}")))
}
