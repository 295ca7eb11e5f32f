//! Option values between Python and the core.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use super::error::to_python;
use crate::error::Error;
use crate::spec::{Spec, Value};

/// The value of option `name`.
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
        // Beyond 64 bits is beyond every range: the nearest end fails the same check.
        return Ok(Value::Int(object.extract().unwrap_or(i64::MAX)));
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(object.extract()?));
    }
    if let Ok(integer) = object.call_method0(pyo3::intern!(object.py(), "__index__")) {
        return Ok(Value::Int(integer.extract().unwrap_or(i64::MAX)));
    }
    if let Ok(pair) = object.extract::<Vec<usize>>()
        && pair.len() == 2
    {
        return Ok(Value::Pairs(vec![(pair[0], pair[1])]));
    }
    if let Ok(lists) = object.extract::<Vec<Vec<usize>>>()
        && lists.iter().all(|pair| pair.len() == 2)
    {
        return Ok(Value::Pairs(lists.iter().map(|pair| (pair[0], pair[1])).collect()));
    }
    if let Ok(three) = object.extract::<Vec<f64>>() {
        let given = format!("{three:?}");
        return three.try_into().map(Value::Triple).map_err(|_| {
            let rule = if name == "image_size" {
                "an integer or (height, width)"
            } else {
                "three numbers"
            };
            pyo3::exceptions::PyValueError::new_err(format!("{name}: must be {rule}, got {given}"))
        });
    }
    if let Ok(number) = object.extract::<f64>() {
        return Ok(Value::Float(number));
    }
    let kind = object.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("{name}: a value of type {kind} is not supported")))
}

/// The Python object for a value; pairs of one become a tuple, since only sizes have them.
pub(super) fn to_object<'py>(
    py: Python<'py>,
    name: &str,
    value: &Value,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Nothing => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::Text(value) => value.into_pyobject(py)?.into_any(),
        Value::Triple(value) if name.ends_with("background_color") => {
            value.map(|byte| i64::from(byte as u8)).to_vec().into_pyobject(py)?.into_any()
        }
        Value::Triple(value) => value.to_vec().into_pyobject(py)?.into_any(),
        Value::Pairs(pairs) if name == "image_size" => pairs[0].into_pyobject(py)?.into_any(),
        Value::Pairs(pairs) => pairs.clone().into_pyobject(py)?.into_any(),
    })
}

/// Sets every option of a dict.
pub(super) fn apply(spec: &mut Spec, options: &Bound<'_, PyDict>) -> PyResult<()> {
    for (name, object) in options {
        let name: String = name.extract()?;
        let value = from_python(&name, &object)?;
        spec.set(&name, &value).map_err(|error| to_python(&error))?;
    }
    spec.check().map_err(|error: Error| to_python(&error))
}

/// Every option of a spec.
pub(super) fn options<'py>(py: Python<'py>, spec: &Spec) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in spec.options() {
        dict.set_item(name, to_object(py, name, &value)?)?;
    }
    Ok(dict)
}
