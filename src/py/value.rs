//! Option values between Python and the core.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use super::error::to_python;
use crate::error::{Error, reserved};
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
        if len > MAX_PAIRS {
            let rule = format!("{name}: must have at most {MAX_PAIRS} items, got {len}");
            return Err(PyValueError::new_err(rule));
        }
        if let Some(pair) = pair(object, len) {
            return Ok(Value::Pairs(vec![pair]));
        }
        if let Some(pairs) = pairs(object, len)? {
            return Ok(Value::Pairs(pairs));
        }
        if let Some(three) = three(object, len) {
            return Ok(Value::Triple(three));
        }
        if object.get_item(0).is_ok_and(|first| first.extract::<f64>().is_ok()) {
            let rule = if name == "image_size" {
                "an integer or (height, width)"
            } else {
                "three numbers"
            };
            let text = format!("{name}: must be {rule}, got {len} items");
            return Err(PyValueError::new_err(text));
        }
    }
    if let Ok(number) = object.extract::<f64>() {
        return Ok(Value::Float(number));
    }
    let kind = object.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("{name}: a value of type {kind} is not supported")))
}

/// The most pairs of an option. Released models have 36.
const MAX_PAIRS: usize = 1024;

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

/// Pairs of sides, where every item is one.
fn pairs(object: &Bound<'_, PyAny>, len: usize) -> PyResult<Option<Vec<(usize, usize)>>> {
    let mut pairs = reserved(len).map_err(|error| to_python(&error))?;
    for number in 0..len {
        let item = object.get_item(number).ok();
        let Some(pair) = item.and_then(|item| pair(&item, item.len().ok()?)) else {
            return Ok(None);
        };
        pairs.push(pair);
    }
    Ok(Some(pairs))
}

/// Three numbers, where the object is a sequence of just them.
fn three(object: &Bound<'_, PyAny>, len: usize) -> Option<[f64; 3]> {
    let number = |number: usize| object.get_item(number).ok()?.extract().ok();
    if len == 3 { Some([number(0)?, number(1)?, number(2)?]) } else { None }
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
        Value::Float(value) | Value::Wide(value) => value.into_pyobject(py)?.into_any(),
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
