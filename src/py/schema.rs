//! The table of families as Python reads it: options, keys of files, upstream's classes.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::error::{guard, to_python};
use super::value;
use crate::families::{self, Family, Video};
use crate::options::{Options, Value};
use crate::spec::{Key, Positions, Preset, Sign, Spec, Upstream};

/// The options of a family, or of its videos, by name: a dict of kind, whether None is a value, rule, choices and doc.
#[pyfunction]
#[pyo3(signature = (family, video=false))]
pub(super) fn schema<'py>(
    py: Python<'py>,
    family: &str,
    video: bool,
) -> PyResult<Bound<'py, PyDict>> {
    guard(|| {
        let (spec, _, _) = parts(family, video)?;
        let fields = PyDict::new(py);
        for field in spec.schema() {
            let row = PyDict::new(py);
            row.set_item("kind", field.kind)?;
            row.set_item("optional", field.optional)?;
            row.set_item("rule", field.rule)?;
            row.set_item("choices", field.choices)?;
            row.set_item("doc", field.doc)?;
            fields.set_item(field.name, row)?;
        }
        Ok(fields)
    })
}

pub(super) type Parts = (&'static Spec, &'static [Key], Option<&'static Upstream>);

pub(super) fn parts(family: &str, video: bool) -> PyResult<Parts> {
    let found = if video {
        families::find_video(family).map(of_videos)
    } else {
        families::find(family).map(of_images)
    };
    found.map_err(|error| to_python(&error))
}

fn of_images(family: &'static Family) -> Parts {
    (&family.spec, family.keys, family.upstream.as_ref())
}

fn of_videos(video: &'static Video) -> Parts {
    (&video.spec, video.keys, video.upstream.as_ref())
}

/// The keys of a family's files and arguments beyond its options: (form, key, what it becomes).
#[pyfunction]
#[pyo3(signature = (family, video=false))]
pub(super) fn keys<'py>(
    py: Python<'py>,
    family: &str,
    video: bool,
) -> PyResult<Bound<'py, PyList>> {
    guard(|| {
        let (_, keys, _) = parts(family, video)?;
        let list = PyList::empty(py);
        for key in keys {
            let row = match *key {
                Key::Alias(key, option) => ("alias", key, text(py, option)?),
                Key::Dict(key, parts) => ("dict", key, PyList::new(py, parts)?.into_any()),
                Key::Choice(key, parts) => ("choice", key, PyList::new(py, parts)?.into_any()),
                Key::Bare(key, options) => ("bare", key, PyTuple::new(py, options)?.into_any()),
                Key::Sides(key, option) => ("sides", key, text(py, option)?),
                Key::Square(key, option) => ("square", key, text(py, option)?),
                Key::Counted(key, option) => ("counted", key, text(py, option)?),
                Key::Derived(key) => ("derived", key, text(py, key)?),
                Key::Ignore(key) => ("ignore", key, py.None().into_bound(py)),
                Key::Must(key, preset) => ("must", key, object(py, preset)?),
            };
            list.append(row)?;
        }
        Ok(list)
    })
}

fn text<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    Ok(text.into_pyobject(py)?.into_any())
}

pub(super) fn object(py: Python<'_>, preset: Preset) -> PyResult<Bound<'_, PyAny>> {
    value::to_object(py, &Value::from(preset))
}

/// The strategy of a family, or of its videos' frames: its name, and what it does in a sentence.
#[pyfunction]
#[pyo3(signature = (family, video=false))]
pub(super) fn strategy(family: &str, video: bool) -> PyResult<(&'static str, &'static str)> {
    guard(|| Ok(parts(family, video)?.0.strategy.told()))
}

/// How the model of a family counts the positions of tokens; None where they are those of a text.
#[pyfunction]
pub(super) fn positions(family: &str) -> PyResult<Option<&'static str>> {
    guard(|| {
        let found = families::find(family).map_err(|error| to_python(&error))?;
        Ok(found.prompt.positions.map(Positions::name))
    })
}

/// Upstream's classes, each with the families that it is: a dict a family.
#[pyfunction]
pub(super) fn upstream(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    guard(|| {
        let classes = PyDict::new(py);
        let images = families::all().iter().map(|family| (of_images(family), false));
        let videos = families::videos().map(|video| (of_videos(video), true));
        for ((spec, _, upstream), video) in images.chain(videos) {
            if let Some(upstream) = upstream {
                add_class(&classes, spec, upstream, video)?;
            }
        }
        Ok(classes)
    })
}

/// The classes of code that released models bring along, each with the families that it is: a dict a family.
#[pyfunction]
pub(super) fn remote(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    guard(|| {
        let classes = PyDict::new(py);
        for family in families::all() {
            if let Some(remote) = &family.remote {
                add_class(&classes, &family.spec, remote, false)?;
            }
        }
        Ok(classes)
    })
}

fn add_class(
    classes: &Bound<'_, PyDict>,
    spec: &Spec,
    upstream: &Upstream,
    video: bool,
) -> PyResult<()> {
    let py = classes.py();
    let row = PyDict::new(py);
    row.set_item("family", spec.family)?;
    row.set_item("video", video)?;
    row.set_item("backends", upstream.backends.name())?;
    row.set_item("model_types", PyTuple::new(py, upstream.model_types)?)?;
    row.set_item("processors", PyTuple::new(py, upstream.processors)?)?;
    let sign = match upstream.sign {
        Sign::None => py.None().into_bound(py),
        Sign::Equals(key, number) => ("equals", key, number).into_pyobject(py)?.into_any(),
        Sign::Multiple(key, number) => ("multiple", key, number).into_pyobject(py)?.into_any(),
    };
    row.set_item("sign", sign)?;
    row.set_item("serial", upstream.serial)?;
    row.set_item("defaults", defaults(py, spec, upstream)?)?;
    let rows = if let Some(rows) = classes.get_item(upstream.class)? {
        rows.cast_into::<PyList>()?
    } else {
        let rows = PyList::empty(py);
        classes.set_item(upstream.class, &rows)?;
        rows
    };
    rows.append(row)
}

/// The class's defaults of the options that its row names and the family has.
pub(super) fn defaults<'py>(
    py: Python<'py>,
    spec: &Spec,
    upstream: &Upstream,
) -> PyResult<Bound<'py, PyDict>> {
    let mut values = Vec::new();
    spec.common.values(&mut values);
    spec.strategy.values(&mut values);
    let dict = PyDict::new(py);
    for &(name, preset) in upstream.defaults {
        let facade = name == "do_convert_rgb";
        if !facade && !values.iter().any(|(known, _)| *known == name) {
            return Err(to_python(&crate::error::Error::Unknown {
                what: "default",
                given: name.into(),
                known: values.iter().map(|(known, _)| *known).collect(),
            }));
        }
        dict.set_item(name, object(py, preset)?)?;
    }
    Ok(dict)
}
