//! Option values between Python and the core.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::error::to_python;
use super::vocabulary::FACADE;
use crate::error::{Error, reserved};
use crate::options::Value;
use crate::spec::Spec;

/// The value of option `name`, by its Python type alone; the option's kind says whether it fits.
pub(super) fn from_python(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Nothing);
    }
    if object.is_instance_of::<PyBool>() {
        return Ok(Value::Bool(object.extract()?));
    }
    if object.is_instance_of::<PyString>() {
        let len = object.len()?;
        if len > MOST_ITEMS {
            let rule = format!("{name}: must have at most {MOST_ITEMS} characters, got {len}");
            return Err(PyValueError::new_err(rule));
        }
        return Ok(Value::Text(object.extract()?));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(integer(object));
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(object.extract()?));
    }
    if let Ok(index) = object.call_method0(pyo3::intern!(object.py(), "__index__")) {
        return Ok(integer(&index));
    }
    // A sequence's own length decides how much is read of it: a range may have more items than memory holds.
    if !object.is_instance_of::<PyDict>()
        && let Ok(len) = object.len()
    {
        if len > MOST_ITEMS {
            let rule = format!("{name}: must have at most {MOST_ITEMS} items, got {len}");
            return Err(PyValueError::new_err(rule));
        }
        if let Some(size) = pair(object, len) {
            return Ok(Value::Size(size));
        }
        if let Some(pairs) = items(object, len, |item| pair(item, item.len().ok()?))? {
            return Ok(Value::Pairs(pairs));
        }
        if let Some(numbers) = items(object, len, |item| item.extract().ok())? {
            return Ok(Value::Numbers(numbers));
        }
    }
    if let Ok(number) = object.extract::<f64>() {
        return Ok(Value::Float(number));
    }
    let kind = object.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("{name}: a value of type {kind} is not supported")))
}

/// The most items of an option. Released models have 36.
const MOST_ITEMS: usize = 1024;

/// A Python integer of any size.
fn integer(object: &Bound<'_, PyAny>) -> Value {
    // Python refuses to make a float of an integer of more than 1024 bits.
    let wide = || {
        let negative = object.lt(0).unwrap_or(false);
        let infinite = if negative { f64::NEG_INFINITY } else { f64::INFINITY };
        Value::Wide(object.extract().unwrap_or(infinite))
    };
    object.extract().map_or_else(|_| wide(), Value::Int)
}

/// Two sides, where the object is a sequence of just them.
fn pair(object: &Bound<'_, PyAny>, len: usize) -> Option<(usize, usize)> {
    let side = |number: usize| object.get_item(number).ok()?.extract().ok();
    if len == 2 { Some((side(0)?, side(1)?)) } else { None }
}

/// All items of a sequence, where each can be read.
fn items<'py, T>(
    object: &Bound<'py, PyAny>,
    len: usize,
    read: impl Fn(&Bound<'py, PyAny>) -> Option<T>,
) -> PyResult<Option<Vec<T>>> {
    let mut all = reserved(len).map_err(|error: Error| to_python(&error))?;
    for number in 0..len {
        let item = object.get_item(number).ok();
        let Some(item) = item.as_ref().and_then(&read) else { return Ok(None) };
        all.push(item);
    }
    Ok(Some(all))
}

/// The Python object for a value.
pub(super) fn to_object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Nothing => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) | Value::Wide(value) => value.into_pyobject(py)?.into_any(),
        Value::Text(value) => value.into_pyobject(py)?.into_any(),
        Value::Numbers(value) => PyList::new(py, value)?.into_any(),
        Value::Colour(value) => PyList::new(py, value.map(i64::from))?.into_any(),
        Value::Size((height, width)) => PyTuple::new(py, [height, width])?.into_any(),
        Value::Pairs(pairs) => PyList::new(py, pairs)?.into_any(),
    })
}

/// Sets every option of a dict, but for those of the facade alone.
pub(super) fn apply(spec: &mut Spec, options: &Bound<'_, PyDict>) -> PyResult<()> {
    for (name, object) in options {
        let name: String = name.extract()?;
        if FACADE.contains(&&*name) {
            continue;
        }
        let value = from_python(&name, &object)?;
        spec.set(&name, &value).map_err(|error| to_python(&error))?;
    }
    Ok(())
}

/// Every option of a spec.
pub(super) fn options<'py>(py: Python<'py>, spec: &Spec) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in spec.options() {
        dict.set_item(name, to_object(py, &value)?)?;
    }
    Ok(dict)
}
