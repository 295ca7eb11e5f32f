//! Option values between Python and the core.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::error::to_python;
use crate::options::Value;
use crate::spec::Spec;

/// Entries of a list that is read as an option: beyond it no option has any.
const MOST: usize = 1 << 20;

/// The value of option `name`, by its Python type alone; the option's kind says whether it fits.
pub(super) fn from_python(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Nothing);
    }
    if object.is_instance_of::<PyBool>() {
        return Ok(Value::Bool(object.extract()?));
    }
    if object.is_instance_of::<PyString>() {
        return Ok(Value::Text(object.extract()?));
    }
    if object.is_instance_of::<PyInt>() {
        return integer(object);
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(object.extract()?));
    }
    if let Ok(integral) = object.call_method0(pyo3::intern!(object.py(), "__index__")) {
        return integer(&integral);
    }
    if object.len().is_ok_and(|length| length <= MOST) {
        if let Ok(pair) = object.extract::<Vec<usize>>()
            && pair.len() == 2
        {
            return Ok(Value::Size((pair[0], pair[1])));
        }
        if let Ok(lists) = object.extract::<Vec<Vec<usize>>>()
            && lists.iter().all(|pair| pair.len() == 2)
        {
            return Ok(Value::Pairs(lists.iter().map(|pair| (pair[0], pair[1])).collect()));
        }
        if let Ok(numbers) = object.extract::<Vec<f64>>() {
            return Ok(Value::Numbers(numbers));
        }
    }
    if let Ok(number) = object.extract::<f64>() {
        return Ok(Value::Float(number));
    }
    let kind = object.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("{name}: a value of type {kind} is not supported")))
}

/// Beyond 64 bits is beyond every range: the end on the same side fails the same check.
fn integer(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(value) = object.extract() {
        return Ok(Value::Int(value));
    }
    Ok(Value::Int(if object.lt(0)? { i64::MIN } else { i64::MAX }))
}

/// The Python object for a value.
pub(super) fn to_object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Nothing => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::Text(value) => value.into_pyobject(py)?.into_any(),
        Value::Numbers(value) => PyList::new(py, value)?.into_any(),
        Value::Colour(value) => PyList::new(py, value.map(i64::from))?.into_any(),
        Value::Size((height, width)) => PyTuple::new(py, [height, width])?.into_any(),
        Value::Pairs(pairs) => PyList::new(py, pairs)?.into_any(),
    })
}

/// Sets every option of a dict.
pub(super) fn apply(spec: &mut Spec, options: &Bound<'_, PyDict>) -> PyResult<()> {
    for (name, object) in options {
        let name: String = name.extract()?;
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
