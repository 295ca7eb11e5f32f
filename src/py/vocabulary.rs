//! One vocabulary for options: upstream's spellings in, the canonical names of `families()` out.
//!
//! The constructor's overrides, a call's keyword arguments and a config file all pass through [`canonical`]. Values stay
//! Python's own here; the core reads them once they have the form that it takes.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyMemoryView,
    PySequence, PyString, PyTuple,
};

use super::error::{guard, to_python};
use super::plain::numpy;
use super::schema::{object, parts};
use super::value;
use crate::error::{Error, push};
use crate::families;
use crate::options::Field;
use crate::sizing::{FRAME_TOKENS, LEAST_FRAME_TOKENS};
use crate::spec::{Convert, IGNORED, Key, VIDEO_IGNORED};
use crate::strategy::Sampling;

/// Options that never reach the strategies: how images become RGB, and where their channels are.
pub(super) const FACADE: [&str; 2] = ["do_convert_rgb", "input_data_format"];
/// The most numbers, or pairs of them, that an option has: released models have 36 pairs.
const MOST: usize = 1024;
/// More characters than any text that is an option.
const LONGEST: usize = 60;
/// More keys than any family has.
const NAMED: usize = 64;
/// Filters by Pillow's numbers.
const FILTERS: [&str; 6] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];
/// Options of videos of which None is a value, and takes one that was there before away.
const RESET_BY_NONE: [&str; 5] = ["fps", "num_frames", "total_pixels", "video_start", "video_end"];

type Object<'py> = Bound<'py, PyAny>;

pub(super) fn type_error(text: String) -> PyErr {
    PyTypeError::new_err(text)
}

pub(super) fn value_error(text: String) -> PyErr {
    PyValueError::new_err(text)
}

/// The name of an object's type, as errors have it.
pub(super) fn kind_of(object: &Object<'_>) -> PyResult<String> {
    Ok(object.get_type().name()?.to_string())
}

/// A caller's text as a message may repeat it: see `dynres_rs.files.shown`.
pub(super) fn shown(object: &Object<'_>, longest: usize) -> PyResult<String> {
    let files = object.py().import(intern!(object.py(), "dynres_rs.files"))?;
    files.call_method1(intern!(object.py(), "shown"), (object, longest))?.extract()
}

/// The text of a string that has no lone surrogates.
fn text<'a>(object: &'a Object<'_>) -> Option<&'a str> {
    object.cast::<PyString>().ok()?.to_str().ok()
}

/// Whether an object is of one of numpy's classes.
fn is_numpy(object: &Object<'_>, class: &str) -> PyResult<bool> {
    object.is_instance(&numpy(object.py())?.getattr(class)?)
}

/// Whether an object is a bool, Python's or numpy's.
pub(super) fn is_flag(object: &Object<'_>) -> PyResult<bool> {
    Ok(object.is_instance_of::<PyBool>() || is_numpy(object, "bool_")?)
}

fn is_integer(object: &Object<'_>) -> PyResult<bool> {
    Ok(object.is_instance_of::<PyInt>() || is_numpy(object, "integer")?)
}

pub(super) fn is_number(object: &Object<'_>) -> PyResult<bool> {
    let own = object.is_instance_of::<PyInt>() || object.is_instance_of::<PyFloat>();
    Ok(own || is_numpy(object, "number")?)
}

fn is_sequence(object: &Object<'_>) -> bool {
    object.cast::<PySequence>().is_ok()
}

fn is_mapping(object: &Object<'_>) -> bool {
    object.cast::<PyMapping>().is_ok()
}

/// What a mapping has that is not None: a new dict.
fn not_null<'py>(mapping: &Object<'py>) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(mapping.py());
    for item in mapping.cast::<PyMapping>()?.items()? {
        let (key, value): (Object<'py>, Object<'py>) = item.extract()?;
        if !value.is_none() {
            found.set_item(key, value)?;
        }
    }
    Ok(found)
}

/// The value of an enum's member, as libraries have names of filters and layouts; any other object as it is.
fn of_enum<'py>(object: &Object<'py>) -> PyResult<Object<'py>> {
    let class = object.py().import(intern!(object.py(), "enum"))?.getattr("Enum")?;
    if object.is_instance(&class)? { object.getattr("value") } else { Ok(object.clone()) }
}

/// What a family's options may be called.
struct Vocabulary {
    fields: Vec<Field>,
    keys: &'static [Key],
}

impl Vocabulary {
    fn of(family: &str, video: bool) -> PyResult<Self> {
        let (spec, keys, _) = parts(family, video)?;
        Ok(Self { fields: spec.schema(), keys })
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Keys beyond the options' own names.
    fn others(&self) -> impl DoubleEndedIterator<Item = Key> {
        let other = |key: &Key| !matches!(key, Key::Bare(..) | Key::Counted(..));
        self.keys.iter().copied().filter(other)
    }

    fn key(&self, name: &str) -> Option<Key> {
        self.others().rfind(|key| key.name() == name)
    }

    /// The options that a number is where a dict of that key may stand.
    fn bare(&self, name: &str) -> &'static [&'static str] {
        let found = self.keys.iter().find_map(|key| match *key {
            Key::Bare(key, options) if key == name => Some(options),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// Every name under which an option may be given.
    fn names(&self) -> Vec<&'static str> {
        let own = self.fields.iter().map(|field| field.name);
        let mut names: Vec<_> = own.chain(FACADE).chain(self.others().map(Key::name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Options under way: the result, and under which name each was changed.
struct Laid<'a, 'py> {
    options: Bound<'py, PyDict>,
    changed: Vec<(&'static str, &'static str)>,
    place: &'a str,
}

impl<'py> Laid<'_, 'py> {
    fn put(
        &mut self,
        name: &'static str,
        value: &Object<'py>,
        source: &'static str,
    ) -> PyResult<()> {
        match self.changed.iter_mut().find(|(changed, _)| *changed == name) {
            Some((_, before)) => {
                let held = self.options.get_item(name)?;
                if held.map_or(Ok(true), |held| held.ne(value))? {
                    let place = self.place;
                    return Err(value_error(format!(
                        "{place}: '{before}' and '{source}' are the same option, and differ"
                    )));
                }
                *before = source;
            }
            None => push(&mut self.changed, (name, source)).map_err(|error| to_python(&error))?,
        }
        self.options.set_item(name, value)
    }
}

/// `current` with what is `given` in upstream's or in canonical names laid over it: a new dict.
///
/// None is absent. `place` is how errors name `given`; `"config"` is a file. The core checks ranges later.
#[pyfunction]
#[pyo3(signature = (given, current, place, family, video=false))]
pub(super) fn canonical<'py>(
    given: &Bound<'py, PyDict>,
    current: &Bound<'py, PyDict>,
    place: &str,
    family: &str,
    video: bool,
) -> PyResult<Bound<'py, PyDict>> {
    guard(|| laid(given, current, place, family, video))
}

pub(super) fn laid<'py>(
    given: &Bound<'py, PyDict>,
    current: &Bound<'py, PyDict>,
    place: &str,
    family: &str,
    video: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let words = Vocabulary::of(family, video)?;
    let mut laid = Laid { options: current.copy()?, changed: Vec::new(), place };
    // Dicts first: upstream lets an option beside them go over what they say.
    for first in [true, false] {
        for item in given.items() {
            let (name, value): (Object<'py>, Object<'py>) = item.extract()?;
            let key = text(&name).and_then(|name| words.key(name));
            if key.is_some() != first || value.is_none() {
                continue;
            }
            match key {
                // In a file upstream derives it again, whatever the file says.
                Some(Key::Derived(_)) if place == "config" => {}
                Some(key) if !matches!(key, Key::Derived(_)) => {
                    by_key(&mut laid, &words, key, &value, given)?;
                }
                _ => by_name(&mut laid, &words, (family, video), &name, &value)?,
            }
        }
    }
    if video {
        settle(given, current, &laid)?;
    }
    Ok(laid.options)
}

/// A value under a key that upstream has beyond the options' own names.
fn by_key<'py>(
    laid: &mut Laid<'_, 'py>,
    words: &Vocabulary,
    key: Key,
    value: &Object<'py>,
    given: &Bound<'py, PyDict>,
) -> PyResult<()> {
    let py = value.py();
    match key {
        Key::Alias(key, option) => {
            let Some(field) = words.field(option) else { return Ok(()) };
            laid.put(option, &of_kind(key, value, field)?, key)
        }
        Key::Sides(key, option) => {
            let square = given.get_item("default_to_square")?;
            if square.is_some_and(|square| square.is(PyBool::new(py, false)))
                && value.is_instance_of::<PyInt>()
            {
                return Err(value_error(format!(
                    "{key}: must be a square of (height, width), got one edge"
                )));
            }
            laid.put(option, &sides(key, value, false)?, key)
        }
        Key::Square(key, option) => laid.put(option, &sides(key, value, true)?, key),
        Key::Dict(key, pairs) | Key::Choice(key, pairs) => {
            let whole = matches!(words.key(key), Some(Key::Dict(..)));
            let read = Parts { name: key, pairs, alone: words.bare(key), whole };
            for (option, part) in read.of(value, given)? {
                laid.put(option, &part, key)?;
            }
            Ok(())
        }
        Key::Must(key, preset) => {
            let wanted = object(py, preset)?;
            if is_the(value, &wanted)? {
                return Ok(());
            }
            let place = laid.place;
            let got = if is_plain(value)? {
                shown(value.str()?.as_any(), 40)?
            } else {
                format!("a value of type {}", kind_of(value)?)
            };
            let wanted = wanted.repr()?;
            Err(value_error(format!("{place}: {key}: must be {wanted} here, got {got}")))
        }
        Key::Ignore(_) | Key::Derived(_) | Key::Bare(..) | Key::Counted(..) => Ok(()),
    }
}

/// A value under an option's own name; false where the family has none of that name.
fn by_option<'py>(
    laid: &mut Laid<'_, 'py>,
    words: &Vocabulary,
    name: &str,
    value: &Object<'py>,
) -> PyResult<bool> {
    if name == FACADE[1] {
        laid.put(FACADE[1], &layout(value)?, FACADE[1])?;
    } else if name == FACADE[0] {
        laid.put(FACADE[0], &flag(FACADE[0], value)?, FACADE[0])?;
    } else if let Some(field) = words.field(name) {
        laid.put(field.name, &of_kind(field.name, value, field)?, field.name)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// A value under a name that is an option's own, ignored, or unknown.
fn by_name<'py>(
    laid: &mut Laid<'_, 'py>,
    words: &Vocabulary,
    (family, video): (&str, bool),
    given: &Object<'py>,
    value: &Object<'py>,
) -> PyResult<()> {
    let name = text(given).unwrap_or_default();
    if name == "device" {
        return device(laid.place, value);
    }
    if by_option(laid, words, name, value)?
        || IGNORED.contains(&name)
        || (video && VIDEO_IGNORED.contains(&name))
    {
        return Ok(());
    }
    let (place, given) = (laid.place, shown(given, LONGEST)?);
    let known = quoted(words.names());
    Err(value_error(format!("{place}: unknown key '{given}'; the keys of '{family}' are {known}")))
}

/// Options of videos that decide over each other. A number of frames goes over a rate that was there before, and the
/// other way round. With the budget of qwen-vl-utils come that package's limits of a frame, unless others are given too.
fn settle<'py>(
    given: &Bound<'py, PyDict>,
    current: &Bound<'py, PyDict>,
    laid: &Laid<'_, 'py>,
) -> PyResult<()> {
    let (options, place) = (&laid.options, laid.place);
    let says = |key: &str| Ok::<_, PyErr>(given.get_item(key)?.is_some_and(|it| !it.is_none()));
    let sampling = options.get_item("sampling")?;
    let rule = sampling.as_ref().and_then(text).and_then(|rule| Sampling::parse(rule).ok());
    if rule.is_some_and(Sampling::is_exclusive) {
        let (fps, frames) = (says("fps")?, says("num_frames")?);
        if fps && frames {
            let rule = format!("{place}: 'fps' and 'num_frames' exclude each other");
            return Err(value_error(rule));
        }
        if fps {
            options.set_item("num_frames", given.py().None())?;
        }
        if frames {
            options.set_item("fps", given.py().None())?;
        }
    }
    for key in RESET_BY_NONE {
        if given.get_item(key)?.is_some_and(|it| it.is_none()) && options.contains(key)? {
            options.set_item(key, given.py().None())?;
        }
    }
    let utils = |dict: &Bound<'py, PyDict>| {
        let budget = dict.get_item("budget")?;
        Ok::<_, PyErr>(budget.as_ref().and_then(text) == Some("qwen-vl-utils"))
    };
    if utils(given)? && !utils(current)? && !says("size")? {
        for (key, tokens) in [("min_pixels", LEAST_FRAME_TOKENS), ("max_pixels", FRAME_TOKENS)] {
            let sides = (options.get_item("patch_size")?, options.get_item("merge_size")?);
            let ((Some(patch), Some(merge)), false) = (sides, says(key)?) else { continue };
            let side = patch.mul(merge)?;
            options.set_item(key, side.mul(&side)?.mul(tokens)?)?;
        }
    }
    Ok(())
}

/// Names as errors list them, in their order; of very many the first.
fn quoted(mut names: Vec<&str>) -> String {
    let more = if names.len() > NAMED { ", ..." } else { "" };
    names.sort_unstable();
    names.truncate(NAMED);
    let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
    names.join(", ") + more
}

/// The keys of a caller's dict as errors list them.
fn quoted_keys(mapping: &Object<'_>) -> PyResult<String> {
    let mut names = Vec::new();
    for key in mapping.try_iter()?.take(NAMED + 1) {
        names.push(shown(&key?, LONGEST)?);
    }
    Ok(quoted(names.iter().map(String::as_str).collect()))
}

/// Whether a value of any type is the one of a table.
fn is_the(value: &Object<'_>, wanted: &Object<'_>) -> PyResult<bool> {
    let known = value.is_instance_of::<PyString>() || is_number(value)? || is_flag(value)?;
    Ok(known && value.eq(wanted)?)
}

/// Whether a value's own text can stand in a message: of an integer of any length Python refuses to write the digits.
fn is_plain(value: &Object<'_>) -> PyResult<bool> {
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyFloat>() {
        return Ok(true);
    }
    let most = 1_i128 << 64;
    Ok(is_integer(value)? && value.extract::<i128>().is_ok_and(|it| (-most..=most).contains(&it)))
}

fn device(place: &str, value: &Object<'_>) -> PyResult<()> {
    let module = value.get_type().getattr("__module__")?;
    if !value.is_instance_of::<PyString>() && text(&module) != Some("torch") {
        let kind = kind_of(value)?;
        return Err(type_error(format!("{place}: device: must be 'cpu', got {kind}")));
    }
    let name = value.str()?;
    if name.to_str().is_ok_and(|name| name == "cpu") {
        return Ok(());
    }
    let name = shown(name.as_any(), 40)?;
    Err(value_error(format!("{place}: device: must be 'cpu' here, got '{name}'")))
}

fn flag<'py>(key: &str, value: &Object<'py>) -> PyResult<Object<'py>> {
    if !is_flag(value)? {
        return Err(type_error(format!("{key}: must be True or False, got {}", kind_of(value)?)));
    }
    Ok(PyBool::new(value.py(), value.is_truthy()?).to_owned().into_any())
}

/// One value in the form that the core takes, by its option's kind.
fn of_kind<'py>(key: &str, value: &Object<'py>, field: &Field) -> PyResult<Object<'py>> {
    match field.kind {
        "flag" => return flag(key, value),
        "three" => return three(key, value),
        "name" if field.choices.contains(&"bicubic") => return filter(key, value),
        "pairs" => return pairs(key, value),
        "size" if !is_integer(value)? => return sides(key, value, false),
        _ => {}
    }
    if is_numpy(value, "generic")? {
        return value.call_method0("item");
    }
    if value.is_instance_of::<PyString>() {
        // Longer than any that is known, or with characters that none has: the core refuses it, and repeats it.
        return Ok(PyString::new(value.py(), &shown(value, LONGEST)?).into_any());
    }
    let bytes = value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>();
    if bytes || value.is_instance_of::<PyMemoryView>() || is_mapping(value) {
        let kind = kind_of(value)?;
        return Err(type_error(format!("{key}: must be a number or a string, got {kind}")));
    }
    if is_sequence(value) || is_numpy(value, "ndarray")? {
        let len = value.len()?;
        if len > MOST {
            return Err(value_error(format!("{key}: must be one value, got {len}")));
        }
    }
    Ok(value.clone())
}

fn pairs<'py>(key: &str, value: &Object<'py>) -> PyResult<Object<'py>> {
    let listed = is_sequence(value) || is_numpy(value, "ndarray")?;
    if value.is_instance_of::<PyString>() || !listed {
        return Err(type_error(format!(
            "{key}: must be pairs of integers, got {}",
            kind_of(value)?
        )));
    }
    let len = value.len()?;
    if len > MOST {
        return Err(value_error(format!("{key}: must be at most {MOST} pairs, got {len}")));
    }
    let read = PyList::empty(value.py());
    let mut even = true;
    for pair in value.try_iter()? {
        let mut sides = items(key, &pair?)?;
        for side in &mut sides {
            *side = whole(key, side)?;
        }
        even &= sides.len() == 2;
        read.append(PyTuple::new(value.py(), sides)?)?;
    }
    if even {
        Ok(read.into_any())
    } else {
        Err(value_error(format!("{key}: must be pairs of integers")))
    }
}

/// The items of a sequence.
fn items<'py>(name: &str, value: &Object<'py>) -> PyResult<Vec<Object<'py>>> {
    let array = is_numpy(value, "ndarray")?;
    let small = array
        && value.getattr("ndim")?.is_truthy()?
        && value.getattr("size")?.extract::<usize>()? <= MOST;
    let text = value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>();
    if !small && (text || array || !is_sequence(value)) {
        return Err(type_error(format!("{name}: must be a sequence, got {}", kind_of(value)?)));
    }
    let mut found = Vec::new();
    for item in value.try_iter()? {
        push(&mut found, item?).map_err(|error: Error| to_python(&error))?;
    }
    Ok(found)
}

/// An integer as Python's own.
fn whole<'py>(name: &str, value: &Object<'py>) -> PyResult<Object<'py>> {
    if is_flag(value)? || !is_integer(value)? {
        return Err(type_error(format!("{name}: must be an integer, got {}", kind_of(value)?)));
    }
    value.py().get_type::<PyInt>().call1((value,))
}

/// The name of a filter, from its name, Pillow's number or enum, or torchvision's `InterpolationMode`.
fn filter<'py>(name: &str, value: &Object<'py>) -> PyResult<Object<'py>> {
    if is_flag(value)? {
        return Err(type_error(format!("{name}: must be a filter's name or number, got bool")));
    }
    let (found, got) = if is_integer(value)? {
        let number = whole(name, value)?;
        let found = number.extract::<usize>().ok().and_then(|number| FILTERS.get(number));
        (found, shown(&number, 40)?)
    } else {
        let given = of_enum(value)?;
        if !given.is_instance_of::<PyString>() {
            let kind = kind_of(value)?;
            return Err(type_error(format!(
                "{name}: must be a filter's name or number, got {kind}"
            )));
        }
        let lower = text(&given).map(str::to_lowercase).unwrap_or_default();
        (FILTERS.iter().find(|name| **name == lower), format!("'{}'", shown(&given, 40)?))
    };
    if let Some(found) = found {
        return Ok(PyString::new(value.py(), found).into_any());
    }
    let known = FILTERS.map(|name| format!("'{name}'")).join(", ");
    Err(value_error(format!("{name}: must be one of {known}, got {got}")))
}

/// Three floats, one a channel; a single number stands for all three, as upstream has it.
fn three<'py>(name: &str, value: &Object<'py>) -> PyResult<Object<'py>> {
    let items = if is_number(value)? { vec![value.clone(); 3] } else { items(name, value)? };
    for item in &items {
        if is_flag(item)? || !is_number(item)? {
            let kind = kind_of(item)?;
            return Err(type_error(format!("{name}: must be three numbers, got {kind}")));
        }
    }
    if items.len() != 3 {
        return Err(value_error(format!("{name}: must be three numbers, got {}", items.len())));
    }
    let read = PyList::empty(value.py());
    for item in &items {
        let number: f64 = item.extract().map_err(|error: PyErr| {
            if error.is_instance_of::<PyOverflowError>(value.py()) {
                let rule = "must be finite numbers, got an integer above 2**1023";
                return value_error(format!("{name}: {rule}"));
            }
            error
        })?;
        read.append(number)?;
    }
    Ok(read.into_any())
}

fn layout<'py>(value: &Object<'py>) -> PyResult<Object<'py>> {
    let given = of_enum(value)?;
    if !given.is_instance_of::<PyString>() {
        let kind = kind_of(value)?;
        return Err(type_error(format!("input_data_format: must be a string, got {kind}")));
    }
    let name = match text(&given).map(str::to_lowercase).as_deref() {
        Some("channels_first" | "first") => "channels_first",
        Some("channels_last" | "last") => "channels_last",
        _ => {
            let got = shown(&given, 40)?;
            return Err(value_error(format!(
                "input_data_format: must be 'channels_first' or 'channels_last', got '{got}'"
            )));
        }
    };
    Ok(PyString::new(value.py(), name).into_any())
}

/// The options that the keys of a dict are, or a number alone in its place.
struct Parts {
    name: &'static str,
    pairs: &'static [(&'static str, &'static str)],
    alone: &'static [&'static str],
    /// Whether each option must be there, or stand beside the dict; otherwise those that are not there become None.
    whole: bool,
}

impl Parts {
    /// Every option once, in their order.
    fn wanted(&self) -> Vec<&'static str> {
        let mut wanted = Vec::new();
        for (_, option) in self.pairs {
            if !wanted.contains(option) {
                wanted.push(*option);
            }
        }
        wanted
    }

    fn of<'py>(
        &self,
        value: &Object<'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Vec<(&'static str, Object<'py>)>> {
        let none = || value.py().None().into_bound(value.py());
        let all = |found: Vec<(&'static str, Object<'py>)>| {
            let of =
                |option| found.iter().rfind(|(name, _)| *name == option).map(|it| it.1.clone());
            self.wanted()
                .into_iter()
                .map(|option| (option, of(option).unwrap_or_else(none)))
                .collect()
        };
        if is_mapping(value) {
            let (left, found) = self.split(value)?;
            if self.whole {
                // Upstream: an option beside the dict goes over it.
                let beside = |option: &str| {
                    Ok::<_, PyErr>(given.get_item(option)?.is_some_and(|it| !it.is_none()))
                };
                let mut kept = Vec::new();
                for (option, item) in found {
                    if !beside(option)? {
                        kept.push((option, item));
                    }
                }
                let mut missing = false;
                for option in self.wanted() {
                    missing |= !kept.iter().any(|(name, _)| *name == option) && !beside(option)?;
                }
                if !left && !missing {
                    return Ok(kept);
                }
            } else if !left && !found.is_empty() {
                return Ok(all(found));
            }
        } else if !self.alone.is_empty() {
            let given = if is_integer(value)? {
                vec![value.clone(); self.alone.len()]
            } else {
                items(self.name, value)?
            };
            let both: &[&str] = &["height", "width"];
            let alone = if given.len() == 2 && self.alone.len() == 1 { both } else { self.alone };
            if given.len() == alone.len() {
                let mut found = Vec::new();
                for (option, side) in alone.iter().zip(&given) {
                    found.push((*option, whole(self.name, side)?));
                }
                return Ok(all(found));
            }
        }
        let got = if is_mapping(value) { quoted_keys(value)? } else { kind_of(value)? };
        let (name, keys) = (self.name, self.spelled());
        Err(value_error(format!("{name}: must have the keys '{keys}', got {got}")))
    }

    /// Whether a dict has keys that are none of these, and the options that the others are.
    fn split<'py>(
        &self,
        value: &Object<'py>,
    ) -> PyResult<(bool, Vec<(&'static str, Object<'py>)>)> {
        let left = not_null(value)?;
        let mut found: Vec<(&'static str, Object<'py>)> = Vec::new();
        for (key, option) in self.pairs {
            let Some(item) = left.get_item(key)? else { continue };
            left.del_item(key)?;
            match found.iter_mut().find(|(name, _)| name == option) {
                Some(place) => place.1 = item,
                None => found.push((*option, item)),
            }
        }
        Ok((!left.is_empty(), found))
    }

    /// The keys as errors list them: of those that are one option the first.
    fn spelled(&self) -> String {
        let wanted = self.wanted();
        let first = |option: &str| self.pairs.iter().find(|part| part.1 == option).map(|it| it.0);
        // Each option where it stands last.
        let last = self.pairs.iter().enumerate().filter(|(place, part)| {
            let again = self.pairs[place + 1..].iter().any(|other| other.1 == part.1);
            wanted.contains(&part.1) && !again
        });
        last.filter_map(|(_, part)| first(part.1)).collect::<Vec<_>>().join("', '")
    }
}

/// The side of a square, or (height, width), from an int, a pair, or a dict of both.
fn sides<'py>(name: &str, size: &Object<'py>, square: bool) -> PyResult<Object<'py>> {
    let (height, width) = if is_mapping(size) {
        let given = not_null(size)?;
        match (given.get_item("height")?, given.get_item("width")?) {
            (Some(height), Some(width)) if given.len() == 2 => (height, width),
            _ => {
                let got = quoted_keys(given.as_any())?;
                return Err(value_error(format!(
                    "{name}: must have the keys 'height' and 'width', got {got}"
                )));
            }
        }
    } else if size.is_instance_of::<PyList>() || size.is_instance_of::<PyTuple>() {
        let len = size.len()?;
        if len != 2 {
            let rule = format!("{name}: must be (height, width), got {len} numbers");
            return Err(value_error(rule));
        }
        (size.get_item(0)?, size.get_item(1)?)
    } else {
        (size.clone(), size.clone())
    };
    let (height, width) = (whole(name, &height)?, whole(name, &width)?);
    if height.eq(&width)? {
        return Ok(height);
    }
    let pair = PyTuple::new(size.py(), [height, width])?;
    if square {
        return Err(value_error(format!("{name}: must be a square, got {}", pair.repr()?)));
    }
    Ok(pair.into_any())
}

/// The options of a family's preset, or of its videos, the facade's two included.
#[pyfunction]
#[pyo3(signature = (family, video=false))]
pub(super) fn preset<'py>(
    py: Python<'py>,
    family: &str,
    video: bool,
) -> PyResult<Bound<'py, PyDict>> {
    guard(|| preset_of(py, family, video))
}

pub(super) fn preset_of<'py>(
    py: Python<'py>,
    family: &str,
    video: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let (spec, _, _) = parts(family, video)?;
    let options = value::options(py, spec)?;
    let converts =
        video || families::find(family).is_ok_and(|found| found.convert != Convert::Never);
    options.set_item(FACADE[0], converts)?;
    options.set_item(FACADE[1], py.None())?;
    Ok(options)
}

/// Padding colours as upstream's constructors derive them, in place: the core makes them of the means.
///
/// A colour that is `given` stays. Calls do not come through here: a mean of one call pads with the colour of the mean
/// that the processor was made with, as upstream's does.
#[pyfunction]
pub(super) fn with_backgrounds<'py>(
    family: &str,
    options: Bound<'py, PyDict>,
    given: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    guard(|| {
        for field in parts(family, false)?.0.schema() {
            let said = given.get_item(field.name)?.is_some_and(|it| !it.is_none());
            if field.kind == "colour" && field.optional && !said {
                options.set_item(field.name, options.py().None())?;
            }
        }
        Ok(options)
    })
}

/// Every name under which an option of a family may be given.
#[pyfunction]
#[pyo3(signature = (family, video=false))]
pub(super) fn option_names(family: &str, video: bool) -> PyResult<Vec<&'static str>> {
    guard(|| Ok(Vocabulary::of(family, video)?.names()))
}
