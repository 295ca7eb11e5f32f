//! Counts that servers ask for: tiles, patches and tokens of images of given sizes, with options of a call.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyMapping, PyTuple};

use super::arguments::whole_number;
use super::error::{guard, to_python};
use super::plan::PyPlan;
use super::processor::{PySpec, no_memory};
use super::vocabulary::{shown, value_error};
use crate::error::{Size, push};
use crate::families::{self, Family};
use crate::options::Value;
use crate::spec::Key;

/// The options of a call that counts read.
const READ: [&str; 7] = [
    "min_pixels",
    "max_pixels",
    "patch_size",
    "merge_size",
    "min_patches",
    "max_patches",
    "crop_to_patches",
];

/// Tiles of an image of this size, or patches where a family has no tiles: see `Processor.get_number_of_image_patches`.
#[pyfunction]
pub(super) fn patch_counts<'py>(
    py: Python<'py>,
    spec: &Bound<'py, PySpec>,
    height: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    given: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    guard(|| {
        let counting = counting(spec.get(), given.cast::<PyMapping>()?)?;
        Ok(plan(&counting, height, width)?.patch_counts(py)?.0)
    })
}

/// Tokens and patches, or tiles, of images of these pairs of sides: see `Processor.get_num_multimodal_tokens`.
#[pyfunction]
pub(super) fn multimodal_tokens<'py>(
    py: Python<'py>,
    spec: &Bound<'py, PySpec>,
    sizes: &Bound<'py, PyAny>,
    given: &Bound<'py, PyDict>,
) -> PyResult<(Vec<usize>, Vec<usize>)> {
    guard(|| {
        let spec = spec.get();
        let family = families::find(spec.spec.family).map_err(|error| to_python(&error))?;
        let given = given.copy()?;
        if family.markers > 0 && !given.contains(CROPS)? {
            given.set_item(CROPS, true)?;
        }
        let counting = counting(spec, given.cast::<PyMapping>()?)?;
        // Upstream counts each tile, whatever a call says of its size, as the processor's own.
        let tile = if family.keys.iter().any(|key| matches!(key, Key::Counted(..))) {
            let plan = spec.plan(1, 1, 1)?;
            Some(plan.num_tokens() / plan.num_tiles().max(1))
        } else {
            None
        };
        let (mut tokens, mut patches) = (Vec::new(), Vec::new());
        for size in sizes.try_iter()? {
            let (height, width): (Bound<'_, PyAny>, Bound<'_, PyAny>) = size?.extract()?;
            let plan = plan(&counting, &height, &width)?;
            let count = match tile {
                Some(tile) => family.markers + tile * plan.num_tiles(),
                None => plan.num_prompt_tokens()?.unwrap_or_else(|| plan.num_tokens()),
            };
            push(&mut tokens, count).map_err(no_memory)?;
            push(&mut patches, plan.patch_counts(py)?.1).map_err(no_memory)?;
            py.check_signals()?;
        }
        Ok((tokens, patches))
    })
}

const CROPS: &str = "crop_to_patches";

/// What counts: the processor's own options but for those of a call that counts read, always with the resize and without
/// a limit on pixels.
fn counting(spec: &PySpec, given: &Bound<'_, PyMapping>) -> PyResult<PySpec> {
    let family = families::find(spec.spec.family).map_err(|error| to_python(&error))?;
    let mut changed = spec.spec.spec.clone();
    let known = changed.options();
    let mut values = [const { None }; READ.len()];
    for (key, read) in READ.into_iter().zip(&mut values) {
        let value = given.call_method1("get", (key,))?;
        let (option, is_size) = option_of(family, key);
        if value.is_none() || !known.iter().any(|(name, _)| *name == option) {
            continue;
        }
        let value = if is_size {
            Value::Size(sides(key, &value)?)
        } else if value.is_instance_of::<PyBool>() {
            Value::Bool(value.extract()?)
        } else {
            Value::Int(positive(key, &value)?)
        };
        *read = Some((option, value));
    }
    for (name, _) in known {
        for (option, value) in values.iter().flatten().filter(|(option, _)| *option == name) {
            changed.set(option, value).map_err(|error| to_python(&error))?;
        }
    }
    PySpec::without_limits(changed)
}

/// The option that a key of counts is, and whether its value there is a size.
fn option_of(family: &Family, key: &'static str) -> (&'static str, bool) {
    let other = family.keys.iter().rev().find_map(|other| match *other {
        Key::Alias(name, option) if name == key => Some((option, false)),
        Key::Counted(name, option) if name == key => Some((option, true)),
        _ => None,
    });
    other.unwrap_or((key, false))
}

fn plan(spec: &PySpec, height: &Bound<'_, PyAny>, width: &Bound<'_, PyAny>) -> PyResult<PyPlan> {
    let (height, width) = (whole_number("height", height)?, whole_number("width", width)?);
    let side = |number: &Bound<'_, PyAny>| {
        number.extract().ok().filter(|side| (1..1 << 31).contains(side))
    };
    if let (Some(height), Some(width)) = (side(&height), side(&width)) {
        return spec.plan(height, width, 1);
    }
    let size = PyTuple::new(height.py(), [height, width])?.repr()?;
    Err(value_error(format!("image: height and width must be in 1..2**31, got {size}")))
}

/// Height and width of transformers' size dict or `SizeDict`, or one side of both.
fn sides(name: &str, size: &Bound<'_, PyAny>) -> PyResult<Size> {
    let side = |key: &str| {
        if size.cast::<PyMapping>().is_ok() {
            size.call_method1("get", (key,))
        } else if size.is_instance_of::<PyInt>() {
            Ok(size.clone())
        } else {
            Ok(size.getattr_opt(key)?.unwrap_or_else(|| size.py().None().into_bound(size.py())))
        }
    };
    let (height, width) = (side("height")?, side("width")?);
    Ok((positive(name, &height)? as usize, positive(name, &width)? as usize))
}

fn positive(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let number = whole_number(name, value)?;
    if let Some(number) = number.extract().ok().filter(|&number: &i64| number > 0) {
        return Ok(number);
    }
    let got = shown(&number, 160)?;
    Err(value_error(format!("{name}: must be in 1..2**63, got {got}")))
}
