//! Plans as dicts, text and pickles, and coordinates between an image and what a model says.

use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyMapping, PyString, PyTuple};
use std::fmt::Write as _;

use super::array::OutBuffer;
use super::calls::watched;
use super::error::to_python;
use super::plain::numpy;
use super::plan::{PyPlan, PyView, TOKEN_KINDS};
use super::vocabulary::{kind_of, shown, type_error, value_error};
use crate::error::Size;
use crate::spec::Coords;

type Object<'py> = Bound<'py, PyAny>;

// Dicts and text

/// A view as values that JSON can hold.
pub(super) fn view_dict<'py>(py: Python<'py>, view: &PyView) -> PyResult<Bound<'py, PyDict>> {
    let pair = |(height, width): Size| PyList::new(py, [height, width]);
    let dict = PyDict::new(py);
    dict.set_item("role", view.role())?;
    dict.set_item("parent", view.parent())?;
    let (top, left, height, width) = view.source();
    dict.set_item("source", PyList::new(py, [top, left, height, width])?)?;
    dict.set_item("resized", pair(view.resized())?)?;
    dict.set_item("resample", view.resample())?;
    dict.set_item("canvas", pair(view.canvas())?)?;
    let (top, left, height, width) = view.target();
    let target = PyList::new(py, [top, left])?;
    target.append(height)?;
    target.append(width)?;
    dict.set_item("target", target)?;
    let (top, left, bottom, right) = view.padding();
    dict.set_item("padding", PyList::new(py, [top, left, bottom, right])?)?;
    let colour = view.pad_color().map(|(red, green, blue)| [red, green, blue].map(u32::from));
    dict.set_item("pad_color", colour.map(|colour| PyList::new(py, colour)).transpose()?)?;
    dict.set_item("grid", pair(view.grid())?)?;
    dict.set_item("output", view.output())?;
    dict.set_item("index", view.index())?;
    dict.set_item("count", view.count())?;
    Ok(dict)
}

/// A plan as values that JSON can hold.
pub(super) fn plan_dict<'py>(py: Python<'py>, plan: &PyPlan) -> PyResult<Bound<'py, PyDict>> {
    let pair = |(height, width): Size| PyList::new(py, [height, width]);
    let dict = PyDict::new(py);
    dict.set_item("family", plan.family())?;
    dict.set_item("numerics", plan.numerics())?;
    dict.set_item("source", pair(plan.source())?)?;
    if plan.is_video() {
        dict.set_item("num_frames", plan.num_frames())?;
    } else {
        dict.set_item("num_images", plan.num_images())?;
    }
    dict.set_item("resized", pair(plan.resized())?)?;
    dict.set_item("grid", pair(plan.grid())?)?;
    dict.set_item("num_tiles", plan.num_tiles())?;
    dict.set_item("num_patches", plan.num_patches())?;
    dict.set_item("num_tokens", plan.num_tokens())?;
    dict.set_item("shape", plan.shape(py)?.to_list())?;
    let shapes = PyDict::new(py);
    for (key, shape) in plan.shapes(py)? {
        shapes.set_item(key, shape.cast::<PyTuple>()?.to_list())?;
    }
    dict.set_item("shapes", shapes)?;
    dict.set_item("nbytes", plan.nbytes(None)?)?;
    dict.set_item("coords", plan.coords())?;
    dict.set_item("metadata", plan.metadata(py)?)?;
    let views = PyList::empty(py);
    for view in plan.all_views() {
        views.append(view_dict(py, &view)?)?;
    }
    dict.set_item("views", views)?;
    Ok(dict)
}

fn by((height, width): Size) -> String {
    format!("{height}x{width}")
}

/// What a view shows and where it goes, on one line.
pub(super) fn view_text(view: &PyView) -> String {
    let (_, _, height, width) = view.source();
    let mut text = format!("{}: {} -> {}", view.role(), by((height, width)), by(view.resized()));
    if view.resized() != view.canvas() {
        let _ = write!(text, ", on {} at {:?}", by(view.canvas()), view.offset());
    }
    if view.count() > 1 {
        let _ = write!(text, ", grid {}", by(view.grid()));
    }
    // A step on the way fills no array.
    if let Some(output) = view.output() {
        let (first, last) = (view.index(), (view.index() + view.count()).saturating_sub(1));
        let _ = match view.count() {
            1 => write!(text, ", {output}[{first}]"),
            _ => write!(text, ", {output}[{first}..{last}]"),
        };
    }
    text
}

/// The numbers of a plan on one line, and a line each for its views where there are several.
pub(super) fn plan_text(py: Python<'_>, plan: &PyPlan) -> PyResult<String> {
    let frames =
        if plan.is_video() { format!("{} frames of ", plan.num_frames()) } else { String::new() };
    let (source, resized) = (by(plan.source()), by(plan.resized()));
    let mut text = format!("Plan({}: {frames}{source} -> {resized}", plan.family());
    let _ = match plan.num_tiles() {
        0 => write!(text, ", grid {}", by(plan.grid())),
        1 => write!(text, ", 1 tile"),
        tiles => write!(text, ", {tiles} tiles"),
    };
    let _ = write!(text, ", {} patches, {} tokens", plan.num_patches(), plan.num_tokens());
    for (key, shape) in plan.shapes(py)? {
        let _ = write!(text, ", {key} {}", shape.repr()?);
    }
    let views = plan.all_views();
    if views.len() > 1 {
        for view in views {
            let line = view_text(&view);
            text.try_reserve(line.len() + 3)
                .map_err(|_| PyMemoryError::new_err("views: no room for their text"))?;
            text.push_str("\n  ");
            text.push_str(&line);
        }
    }
    text.push(')');
    Ok(text)
}

// Coordinates

/// Numbers that a caller gave as points (n, 2) or boxes (n, 4), or one of them: a new float64 array. An empty list is
/// (0, 4).
fn points<'py>(name: &str, given: &Object<'py>) -> PyResult<Object<'py>> {
    let py = given.py();
    let numpy = numpy(py)?;
    let array = match numpy.call_method1(intern!(py, "asarray"), (given,)) {
        Ok(array) => array,
        Err(error)
            if error.is_instance_of::<PyMemoryError>(py)
                || !error.is_instance_of::<PyException>(py) =>
        {
            return Err(error);
        }
        Err(_) => {
            let kind = kind_of(given)?;
            return Err(type_error(format!(
                "{name}: must be numbers in an array or in lists of one length, got {kind}"
            )));
        }
    };
    let axes: usize = array.getattr("ndim")?.extract()?;
    if axes == 1 && array.len()? == 0 {
        return numpy.call_method1(intern!(py, "empty"), ((0, 4),));
    }
    let dtype = array.getattr("dtype")?;
    let kind: String = dtype.getattr("kind")?.extract()?;
    if !matches!(kind.as_str(), "i" | "u" | "f") {
        let dtype: String = dtype.getattr("name")?.extract()?;
        return Err(type_error(format!("{name}: must be numbers, got {dtype}")));
    }
    let shape = array.getattr("shape")?;
    let last = shape.cast::<PyTuple>()?.iter().next_back().map(|side| side.extract::<usize>());
    if !matches!(axes, 1 | 2) || !matches!(last.transpose()?, Some(2 | 4)) {
        let shape = shape.repr()?;
        return Err(value_error(format!(
            "{name}: must have the shape (n, 2) of points or (n, 4) of boxes, got {shape}"
        )));
    }
    array.call_method1(intern!(py, "astype"), ("float64", "C"))
}

/// Changes every x and every y of an array of float64, in place.
fn mapped(array: &Object<'_>, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> PyResult<()> {
    let bytes: usize = array.getattr("nbytes")?.extract()?;
    let mut numbers = OutBuffer::get(array, "boxes", bytes)?;
    for pair in numbers.bytes().as_chunks_mut::<16>().0 {
        let (places, _) = pair.as_chunks_mut::<8>();
        places[0] = x(f64::from_ne_bytes(places[0])).to_ne_bytes();
        places[1] = y(f64::from_ne_bytes(places[1])).to_ne_bytes();
    }
    Ok(())
}

/// The height and width of the image in the model's coordinates.
fn scales(plan: &PyPlan, coords: Option<&Object<'_>>) -> PyResult<(f64, f64)> {
    let coords = match coords.filter(|coords| !coords.is_none()) {
        None => plan.plan.coords,
        Some(given) => {
            let Ok(text) = given.cast::<PyString>() else {
                return Err(type_error(format!(
                    "coords: must be a string, got {}",
                    kind_of(given)?
                )));
            };
            let Some(found) = text.to_str().ok().and_then(|text| Coords::parse(text).ok()) else {
                let (known, given) = (Coords::NAMES.join(", "), shown(given, 40)?);
                return Err(value_error(format!("coords: must be one of {known}; got '{given}'")));
            };
            found
        }
    };
    let range = match coords {
        Coords::Norm1000 => 1000.0,
        Coords::Norm999 => 999.0,
        Coords::Norm1 => 1.0,
        Coords::Resized => {
            let (height, width) = plan.resized();
            if height == 0 || width == 0 {
                return Err(value_error(
                    "coords: nothing is left of the image in its resized pixels".into(),
                ));
            }
            return Ok((height as f64, width as f64));
        }
    };
    Ok((range, range))
}

/// Points or boxes of the image in the model's coordinates, or the other way round.
pub(super) fn scaled<'py>(
    plan: &PyPlan,
    boxes: &Object<'py>,
    coords: Option<&Object<'py>>,
    to_model: bool,
) -> PyResult<Object<'py>> {
    let array = points("boxes", boxes)?;
    let (theirs, source) = (scales(plan, coords)?, plan.source());
    let own = (source.0 as f64, source.1 as f64);
    let (to, from) = if to_model { (theirs, own) } else { (own, theirs) };
    mapped(&array, |x| x * to.1 / from.1, |y| y * to.0 / from.0)?;
    Ok(array)
}

/// Points or boxes of the image on the canvas of a view, in its pixels.
pub(super) fn in_view<'py>(
    plan: &PyPlan,
    given: &Object<'py>,
    view: &Object<'py>,
) -> PyResult<Object<'py>> {
    let mut views = plan.all_views();
    let integer = numpy(given.py())?.getattr(intern!(given.py(), "integer"))?;
    let mut chain = Vec::new();
    if let Ok(view) = view.cast::<PyView>() {
        chain.push(view.get().again());
    } else if (view.is_instance_of::<PyInt>() && !view.is_instance_of::<PyBool>())
        || view.is_instance(&integer)?
    {
        let number = view.extract::<usize>().ok().filter(|number| *number < views.len());
        let Some(number) = number else {
            let (count, got) = (views.len(), shown(&view.call_method0("__int__")?, 40)?);
            return Err(value_error(format!("view: must be in 0..{count}, got {got}")));
        };
        chain.extend(views.nth(number));
    } else {
        let kind = kind_of(view)?;
        return Err(type_error(format!("view: must be a View or its number, got {kind}")));
    }
    let array = points("points", given)?;
    while let Some(parent) = chain.last().and_then(PyView::parent) {
        let Some(parent) = chain[0].plan().all_views().nth(parent) else { break };
        chain.push(parent);
    }
    for view in chain.iter().rev() {
        let (source, target) = (view.source(), view.target());
        let along = |at: f64, start: usize, side: usize, to: isize, length: usize| {
            to as f64 + (at - start as f64) * length as f64 / side as f64
        };
        let x = |at| along(at, source.1, source.3, target.1, target.3);
        let y = |at| along(at, source.0, source.2, target.0, target.2);
        mapped(&array, x, y)?;
    }
    Ok(array)
}

// Tokens

/// Where each token lies: float64 (tokens, 4).
pub(super) fn token_boxes<'py>(py: Python<'py>, plan: &PyPlan) -> PyResult<Object<'py>> {
    let count = plan.num_tokens();
    let boxes = numpy(py)?.call_method1(intern!(py, "empty"), ((count, 4),))?;
    let mut out = OutBuffer::get(&boxes, "out", count * 32)?;
    let mut places = out.bytes().as_chunks_mut::<32>().0.iter_mut();
    watched(py, |watch| {
        plan.plan.tokens(watch, |bounds, _| {
            let Some(place) = places.next() else { return };
            for (bytes, value) in place.as_chunks_mut::<8>().0.iter_mut().zip(bounds) {
                *bytes = value.to_ne_bytes();
            }
        })
    })?
    .map_err(|error| to_python(&error))?;
    Ok(boxes)
}

/// Characters of the longest name of a kind of token.
const LONGEST: usize = {
    let (mut longest, mut number) = (0, 0);
    while number < TOKEN_KINDS.len() {
        if TOKEN_KINDS[number].len() > longest {
            longest = TOKEN_KINDS[number].len();
        }
        number += 1;
    }
    longest
};

/// What each token stands for: texts (tokens,).
pub(super) fn token_kinds<'py>(py: Python<'py>, plan: &PyPlan) -> PyResult<Object<'py>> {
    let count = plan.num_tokens();
    // numpy's texts are code points of four bytes each, with zeros after them.
    let arguments = ((count, LONGEST), "uint32");
    let letters = numpy(py)?.call_method1(intern!(py, "empty"), arguments)?;
    let mut out = OutBuffer::get(&letters, "out", count * LONGEST * 4)?;
    let mut places = out.bytes().as_chunks_mut::<{ LONGEST * 4 }>().0.iter_mut();
    watched(py, |watch| {
        plan.plan.tokens(watch, |_, kind| {
            let Some(place) = places.next() else { return };
            let name = TOKEN_KINDS[kind as usize].chars().map(u32::from);
            let padded = name.chain(std::iter::repeat(0));
            for (bytes, letter) in place.as_chunks_mut::<4>().0.iter_mut().zip(padded) {
                *bytes = letter.to_ne_bytes();
            }
        })
    })?
    .map_err(|error| to_python(&error))?;
    letters.call_method1("view", (format!("U{LONGEST}"),))?.call_method1("reshape", (count,))
}

// Prompts

/// Other texts for some words of a placeholder.
fn words(tokens: Option<&Object<'_>>) -> PyResult<Vec<(String, String)>> {
    let Some(tokens) = tokens.filter(|tokens| !tokens.is_none()) else { return Ok(Vec::new()) };
    let Ok(mapping) = tokens.cast::<PyMapping>() else {
        return Err(type_error(format!("tokens: must be a dict, got {}", kind_of(tokens)?)));
    };
    let mut words: Vec<(String, String)> = Vec::new();
    for pair in mapping.items()? {
        let (word, other): (Object<'_>, Object<'_>) = pair.extract()?;
        let (Ok(word), Ok(other)) = (word.cast::<PyString>(), other.cast::<PyString>()) else {
            return Err(type_error("tokens: must map strings to strings".into()));
        };
        // A word with lone surrogates is none of a placeholder's.
        if let Ok(word) = word.to_str() {
            words.push((word.to_owned(), other.to_string_lossy().into_owned()));
        }
    }
    words.retain(|(word, _)| !word.is_empty());
    Ok(words)
}

/// A text with words in the place of others, of several that begin alike the longest.
pub(super) fn placeholder(text: &str, tokens: Option<&Object<'_>>) -> PyResult<String> {
    let words = words(tokens)?;
    if words.is_empty() {
        return Ok(text.to_owned());
    }
    let mut changed = String::new();
    let mut left = text;
    while let Some(letter) = left.chars().next() {
        let begin = words.iter().filter(|(word, _)| left.starts_with(word.as_str()));
        let found = begin.max_by_key(|(word, _)| word.len());
        let (read, written) = match found {
            Some((word, other)) => (word.len(), other.as_str()),
            None => (letter.len_utf8(), &left[..letter.len_utf8()]),
        };
        changed
            .try_reserve(written.len())
            .map_err(|_| PyMemoryError::new_err("placeholder: no room for the text"))?;
        changed.push_str(written);
        left = &left[read..];
    }
    Ok(changed)
}
