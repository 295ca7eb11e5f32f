//! Config files of released models: which family they are, and their options under canonical names.
//!
//! Read are transformers' `preprocessor_config.json` and `video_preprocessor_config.json` in all their spellings, its
//! nested `processor_config.json` (v5), InternVL's own `config.json` and DeepSeek-VL2's own `processor_config.json`. A key
//! that is left out takes the default of upstream's class, not the value that released checkpoints have; null is absent;
//! keys that cannot change a pixel are ignored; any other unknown key is an error.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString, PyTuple};

use super::error::guard;
use super::schema::{defaults, object};
use super::vocabulary::{kind_of, laid, preset_of, shown, type_error, value_error};
use crate::families::{self, Family};
use crate::spec::{OwnFile, OwnForm, Sign, Spec, Upstream};

type Object<'py> = Bound<'py, PyAny>;
/// A family, its options, and the families that the file may mean as well and that speak other coordinates.
type Read<'py> = (&'static str, Bound<'py, PyDict>, Vec<&'static str>);

/// A family as a class of upstream has it.
#[derive(Clone, Copy)]
struct Row {
    spec: &'static Spec,
    upstream: &'static Upstream,
    video: bool,
}

/// All of transformers' classes: those of images first.
fn all_rows() -> impl Iterator<Item = Row> {
    let images = families::all().iter().map(|it| (&it.spec, it.upstream.as_ref(), false));
    let videos = families::videos().map(|it| (&it.spec, it.upstream.as_ref(), true));
    images.chain(videos).filter_map(|(spec, upstream, video)| {
        upstream.map(|upstream| Row { spec, upstream, video })
    })
}

/// The families that a class of transformers is.
fn rows(class: &str) -> impl Iterator<Item = Row> {
    all_rows().filter(move |row| row.upstream.class == class)
}

/// The families whose released models bring along a class.
fn remotes() -> impl Iterator<Item = (&'static Family, &'static Upstream)> {
    families::all().iter().filter_map(|family| family.remote.as_ref().map(|it| (family, it)))
}

/// The text of a string.
fn text(object: &Object<'_>) -> Option<String> {
    Some(object.cast::<PyString>().ok()?.to_string_lossy().into_owned())
}

/// Whether a key has a value that is true.
fn says<'py>(given: &Bound<'py, PyDict>, key: &str) -> PyResult<Option<Object<'py>>> {
    match given.get_item(key)? {
        Some(value) if value.is_truthy()? => Ok(Some(value)),
        _ => Ok(None),
    }
}

/// What a mapping has that is not null, by keys that are texts. A key that is none matches no name that is known.
fn present<'py>(config: &Bound<'py, PyMapping>) -> PyResult<Bound<'py, PyDict>> {
    let given = PyDict::new(config.py());
    for item in config.items()? {
        let (key, value): (Object<'py>, Object<'py>) = item.extract()?;
        if value.is_none() {
            continue;
        }
        if key.is_instance_of::<PyString>() {
            given.set_item(key, value)?;
        } else {
            given.set_item(shown(&key, 160)?, value)?;
        }
    }
    Ok(given)
}

/// The dict of a file, as a mapping of what it says.
fn opened<'py>(config: &Object<'py>) -> PyResult<Bound<'py, PyDict>> {
    let Ok(mapping) = config.cast::<PyMapping>() else {
        return Err(type_error(format!("config: must be a dict, got {}", kind_of(config)?)));
    };
    present(mapping)
}

/// The part of a nested file that is a processor's own, with the name of the processor.
fn inner<'py>(
    given: &Bound<'py, PyDict>,
    nested: Option<&Object<'py>>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(mapping) = nested.and_then(|it| it.cast::<PyMapping>().ok()) else { return Ok(None) };
    let inner = present(mapping)?;
    if !inner.contains("processor_class")?
        && let Some(name) = given.get_item("processor_class")?
    {
        inner.set_item("processor_class", name)?;
    }
    Ok(Some(inner))
}

/// Reads the dict of a config file of images.
///
/// `overrides` go over it, in upstream's or in canonical names. `model_type` is the model's where it is known from beside
/// the file; it only picks among families that share a class.
#[pyfunction]
#[pyo3(signature = (config, overrides, model_type=None))]
pub(super) fn read_config<'py>(
    config: &Bound<'py, PyAny>,
    overrides: &Bound<'py, PyDict>,
    model_type: Option<&str>,
) -> PyResult<Read<'py>> {
    guard(|| {
        let given = opened(config)?;
        if let Some(inner) = inner(&given, given.get_item("image_processor")?.as_ref())? {
            return of_class(&inner, overrides, model_type);
        }
        if is_deepseek_vl2(&given)? {
            let (family, file) = own_file(OwnForm::DeepseekVlV2)?;
            return of_own_file(&given, &PyDict::new(given.py()), overrides, family, file);
        }
        if is_internvl_chat(&given)? {
            let (family, file) = own_file(OwnForm::InternVlChat)?;
            return internvl_chat(&given, overrides, family, file);
        }
        of_class(&given, overrides, model_type)
    })
}

/// The family whose released models have a file of that form.
fn own_file(form: OwnForm) -> PyResult<(&'static str, OwnFile)> {
    let mut files = families::all().iter().filter_map(|it| Some((it.name, it.own_file?)));
    files.find(|(_, file)| file.form == form).ok_or_else(|| {
        value_error(
            "config: must have 'image_processor_type', or be a file of a known model".into(),
        )
    })
}

/// The options of a family, from what a file says and from what goes over it.
fn options<'py>(
    family: &'static str,
    base: &Bound<'py, PyDict>,
    given: &Bound<'py, PyDict>,
    overrides: &Bound<'py, PyDict>,
    video: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let options = laid(given, base, "config", family, video)?;
    laid(overrides, &options, "overrides", family, video)
}

/// The defaults of a class.
fn base_of(py: Python<'_>, row: Row) -> PyResult<Bound<'_, PyDict>> {
    let base = preset_of(py, row.spec.family, row.video)?;
    base.update(defaults(py, row.spec, row.upstream)?.as_mapping())?;
    Ok(base)
}

fn of_class<'py>(
    given: &Bound<'py, PyDict>,
    overrides: &Bound<'py, PyDict>,
    model_type: Option<&str>,
) -> PyResult<Read<'py>> {
    let py = given.py();
    let own = own_code(given)?;
    let kind = match (given.get_item("image_processor_type")?, &own) {
        (Some(kind), _) => Some(kind),
        (None, Some(own)) => Some(PyString::new(py, own).into_any()),
        (None, None) => given.get_item("feature_extractor_type")?,
    };
    let Some(kind) = kind else {
        let video = given.contains("video_processor_type")?;
        return Err(value_error(if video {
            "config: video processors are not supported, only image processors".into()
        } else {
            "config: must have 'image_processor_type', or be a file of a known model".into()
        }));
    };
    let Some(name) = text(&kind) else {
        let kind = kind_of(&kind)?;
        return Err(type_error(format!("image_processor_type: must be a string, got {kind}")));
    };
    let name = plain_name(&name);
    let found = match remote_row(own.as_deref().unwrap_or(&name), model_type) {
        Some(row) => Some(row),
        None => class_row(&name, given, model_type, false)?,
    };
    let Some(row) = found else {
        return Err(value_error(if let Some(own) = own {
            let near = nearest_families(py, &own)?;
            let own = shown(PyString::new(py, &own).as_any(), 80)?;
            format!(
                "auto_map: '{own}' is the model's own code, which is not here; of the families that are, the nearest by name are {near}"
            )
        } else {
            let near = nearest(py, &name, &classes(false))?.join(", ");
            let kind = shown(&kind, 80)?;
            format!(
                "image_processor_type: must be a class that `dynres families` lists, or one with 'Fast' or 'Pil' at the end; got '{kind}', and the nearest are {near}"
            )
        }));
    };
    let family = row.spec.family;
    let options = options(family, &base_of(py, row)?, given, overrides, false)?;
    let options = super::vocabulary::with_backgrounds(family, options, overrides)?;
    let said = overrides.get_item("coords")?.is_some_and(|it| !it.is_none());
    let open = !said && !is_hinted(row, given, model_type)?;
    let others = if open { others(&name, given, row)? } else { Vec::new() };
    Ok((family, options, others))
}

/// Whether a file, or the model beside it, names a family that shares its class.
fn is_hinted(row: Row, given: &Bound<'_, PyDict>, model_type: Option<&str>) -> PyResult<bool> {
    let class = given.get_item("processor_class")?.as_ref().and_then(text);
    let mut hints = class.as_deref().into_iter().chain(model_type);
    let upstream = row.upstream;
    Ok(hints.any(|it| upstream.processors.contains(&it) || upstream.model_types.contains(&it)))
}

/// Families that a file may mean as well, and that speak other coordinates.
fn others(name: &str, given: &Bound<'_, PyDict>, row: Row) -> PyResult<Vec<&'static str>> {
    let mut found = Vec::new();
    for other in rows(name) {
        let sign = other.upstream.sign;
        let may = sign == Sign::None || has(given, sign)?;
        if may
            && (row.upstream.sign == Sign::None || sign != Sign::None)
            && other.spec.common.coords != row.spec.common.coords
        {
            found.push(other.spec.family);
        }
    }
    Ok(found)
}

/// The class of an image processor that a model brings along.
fn own_code(given: &Bound<'_, PyDict>) -> PyResult<Option<String>> {
    let Some(classes) = given.get_item("auto_map")? else { return Ok(None) };
    let Ok(classes) = classes.cast_into::<PyMapping>() else { return Ok(None) };
    let key = intern!(given.py(), "AutoImageProcessor");
    if !classes.contains(key)? {
        return Ok(None);
    }
    let found = classes.get_item(key)?;
    let named = |object: &Object<'_>| {
        let name = text(object)?;
        (!name.is_empty()).then(|| name.rsplit('.').next().unwrap_or(&name).to_owned())
    };
    // The slow class and the fast one.
    if found.is_instance_of::<PyList>() || found.is_instance_of::<PyTuple>() {
        for name in found.try_iter()? {
            if let Some(name) = named(&name?) {
                return Ok(Some(name));
            }
        }
        return Ok(None);
    }
    Ok(named(&found))
}

/// A class's name without its backend, and as it is called today.
fn plain_name(kind: &str) -> String {
    let name = kind.strip_suffix("Fast").unwrap_or(kind);
    let name = name.strip_suffix("Pil").unwrap_or(name);
    match name.strip_suffix("FeatureExtractor") {
        Some(name) => format!("{name}ImageProcessor"),
        None => name.to_owned(),
    }
}

/// The names that are nearest to one, for an error.
pub(super) fn nearest(py: Python<'_>, name: &str, known: &[&str]) -> PyResult<Vec<String>> {
    let difflib = py.import(intern!(py, "difflib"))?;
    let near =
        difflib.call_method1("get_close_matches", (name, PyList::new(py, known)?, 3, 0.0))?;
    near.extract()
}

/// Upstream's classes of images, or of videos.
fn classes(video: bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    for row in all_rows().filter(|row| row.video == video) {
        if !names.contains(&row.upstream.class) {
            names.push(row.upstream.class);
        }
    }
    names
}

/// The families whose classes have the nearest names, for an error.
fn nearest_families(py: Python<'_>, name: &str) -> PyResult<String> {
    let remote = remotes().map(|(family, it)| (it.class, family.name));
    let own = all_rows().filter(|row| !row.video).map(|it| (it.upstream.class, it.spec.family));
    let known: Vec<_> = remote.chain(own).collect();
    let mut names: Vec<_> = known.iter().map(|(class, _)| *class).collect();
    names.dedup();
    let near = nearest(py, name, &names)?;
    let of = |class: &String| known.iter().find(|(name, _)| name == class).map(|it| it.1);
    let told = near.iter().map(|class| format!("'{}' ({class})", of(class).unwrap_or_default()));
    Ok(told.collect::<Vec<_>>().join(", "))
}

/// The row of the family whose released models bring along the class of that name. A class that transformers has as well
/// needs the model's type.
fn remote_row(name: &str, model_type: Option<&str>) -> Option<Row> {
    let row = |(family, upstream): (&'static Family, _)| Row {
        spec: &family.spec,
        upstream,
        video: false,
    };
    let found = || remotes().filter(|(_, upstream)| upstream.class == name);
    let typed =
        |it: &(_, &Upstream)| model_type.is_some_and(|kind| it.1.model_types.contains(&kind));
    let known = rows(name).next().is_some();
    found().find(typed).or_else(|| found().next().filter(|_| !known)).map(row)
}

/// The row of the family that is meant by a class and what else its file says. Several families may share a class.
fn class_row(
    name: &str,
    given: &Bound<'_, PyDict>,
    model_type: Option<&str>,
    video: bool,
) -> PyResult<Option<Row>> {
    if rows(name).next().is_none_or(|row| row.video != video) {
        return Ok(None);
    }
    let class = given.get_item("processor_class")?.as_ref().and_then(text);
    for hint in class.as_deref().into_iter().chain(model_type) {
        let hinted = |it: &Row| {
            it.upstream.processors.contains(&hint) || it.upstream.model_types.contains(&hint)
        };
        if let Some(row) = rows(name).find(hinted) {
            return Ok(Some(row));
        }
    }
    for row in rows(name).filter(|row| row.upstream.sign != Sign::None) {
        if has(given, row.upstream.sign)? {
            return Ok(Some(row));
        }
    }
    Ok(rows(name).find(|row| row.upstream.sign == Sign::None).or_else(|| rows(name).next()))
}

/// Whether a file has a family's sign.
fn has(given: &Bound<'_, PyDict>, sign: Sign) -> PyResult<bool> {
    let (key, number) = match sign {
        Sign::None => return Ok(false),
        Sign::Equals(key, number) => {
            return given.get_item(key)?.map_or(Ok(false), |value| value.eq(number));
        }
        Sign::Multiple(key, number) => (key, number),
    };
    let Some(value) = given.get_item(key)? else { return Ok(false) };
    let is_multiple = |side: &Object<'_>| {
        side.is_instance_of::<pyo3::types::PyInt>()
            && side.extract::<i64>().is_ok_and(|side| side > 0 && side % number == 0)
    };
    if let Ok(sides) = value.cast::<PyMapping>() {
        for key in ["height", "width"] {
            if !sides.contains(key)? || !is_multiple(&sides.get_item(key)?) {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        for side in value.try_iter()? {
            if !is_multiple(&side?) {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(is_multiple(&value))
}

fn is_internvl_chat(given: &Bound<'_, PyDict>) -> PyResult<bool> {
    if given.get_item("model_type")?.as_ref().and_then(text).as_deref() == Some("internvl_chat") {
        return Ok(true);
    }
    let mut signs = false;
    for key in ["force_image_size", "max_dynamic_patch", "ps_version"] {
        signs |= given.contains(key)?;
    }
    Ok(signs && !given.contains("image_processor_type")?)
}

fn is_deepseek_vl2(given: &Bound<'_, PyDict>) -> PyResult<bool> {
    let class = given.get_item("processor_class")?;
    Ok(class.as_ref().and_then(text).as_deref() == Some("DeepseekVLV2Processor"))
}

/// `InternVLChatConfig`, with what no table says: sizes of its encoder, and what is refused.
///
/// `ps_version` moves no pixel, only tokens: a file that does not say is taken for v2, as every release that tiles is.
fn internvl_chat<'py>(
    given: &Bound<'py, PyDict>,
    overrides: &Bound<'py, PyDict>,
    family: &'static str,
    file: OwnFile,
) -> PyResult<Read<'py>> {
    let py = given.py();
    let overrides = overrides.copy()?;
    let version = match says(&overrides, "ps_version")? {
        Some(version) => Some(version),
        None => given.get_item("ps_version")?,
    };
    if overrides.contains("ps_version")? {
        overrides.del_item("ps_version")?;
    }
    if let Some(version) = version.filter(|it| !it.eq("v2").unwrap_or(false)) {
        let version = shown(&version, 40)?;
        return Err(value_error(format!(
            "ps_version: must be 'v2', got '{version}'; v1 orders tokens otherwise"
        )));
    }
    if says(given, "pad2square")?.is_some() {
        return Err(value_error(
            "pad2square: must be false; images padded to squares are not supported".into(),
        ));
    }
    let vision = match given.get_item("vision_config")? {
        None => PyDict::new(py),
        Some(vision) => {
            let Ok(mapping) = vision.cast::<PyMapping>() else {
                let kind = kind_of(&vision)?;
                return Err(type_error(format!("vision_config: must be a dict, got {kind}")));
            };
            present(mapping)?
        }
    };
    let read = PyDict::new(py);
    let own = match says(given, "force_image_size")? {
        Some(size) => Some(size),
        None => says(&vision, "image_size")?,
    };
    if let Some(size) = own {
        read.set_item("image_size", size)?;
    }
    if let Some(size) = says(&vision, "patch_size")? {
        read.set_item("patch_size", size)?;
    }
    of_own_file(given, &read, &overrides, family, file)
}

/// The options that a model's own file says, over those that are `read` of it already.
fn of_own_file<'py>(
    given: &Bound<'py, PyDict>,
    read: &Bound<'py, PyDict>,
    overrides: &Bound<'py, PyDict>,
    family: &'static str,
    file: OwnFile,
) -> PyResult<Read<'py>> {
    let py = given.py();
    refuse_unknown(given, file)?;
    for key in file.needs {
        let over = overrides.get_item(key)?.is_some_and(|it| !it.is_none());
        if !over && !given.contains(key)? {
            return Err(value_error(format!(
                "config: must have '{key}', which has no default upstream"
            )));
        }
    }
    let base = preset_of(py, family, false)?;
    for (option, preset) in file.defaults {
        base.set_item(option, object(py, *preset)?)?;
    }
    for (key, option) in file.options {
        if let Some(value) = given.get_item(key)? {
            read.set_item(option, value)?;
        }
    }
    Ok((family, options(family, &base, read, overrides, false)?, Vec::new()))
}

fn refuse_unknown(given: &Bound<'_, PyDict>, file: OwnFile) -> PyResult<()> {
    for key in given.keys() {
        let name = text(&key).unwrap_or_default();
        if !file.known.contains(&&*name) && !file.ignored.contains(&&*name) {
            let (key, known) = (shown(&key, 60)?, file.known.join(", "));
            return Err(value_error(format!(
                "config: unknown key '{key}'; the keys that matter are {known}"
            )));
        }
    }
    Ok(())
}

/// Reads the dict of a config file as one of videos: `(family, options)`.
///
/// Read are a `video_preprocessor_config.json`, the `video_processor` of a nested file, and, as upstream falls back to, a
/// `preprocessor_config.json`, whose keys then count for videos too.
#[pyfunction]
#[pyo3(signature = (config, overrides, model_type=None))]
pub(super) fn read_video_config<'py>(
    config: &Bound<'py, PyAny>,
    overrides: &Bound<'py, PyDict>,
    model_type: Option<&str>,
) -> PyResult<(&'static str, Bound<'py, PyDict>)> {
    guard(|| {
        let mut given = opened(config)?;
        let nested = match says(&given, "video_processor")? {
            Some(nested) => Some(nested),
            None => says(&given, "image_processor")?,
        };
        if let Some(inner) = inner(&given, nested.as_ref())? {
            given = inner;
        }
        let row = match given.get_item("video_processor_type")? {
            None => of_images(&given, model_type)?,
            Some(kind) => {
                let Some(name) = text(&kind) else {
                    let kind = kind_of(&kind)?;
                    let rule = format!("video_processor_type: must be a string, got {kind}");
                    return Err(type_error(rule));
                };
                let name = name.strip_suffix("Fast").unwrap_or(&name);
                class_row(name, &given, model_type, true)?.ok_or(kind).or_else(|kind| {
                    let (known, kind) = (classes(true).join(", "), shown(&kind, 80)?);
                    Err(value_error(format!(
                        "video_processor_type: must be one of {known}; got '{kind}'"
                    )))
                })?
            }
        };
        let (family, base) = (row.spec.family, base_of(config.py(), row)?);
        Ok((family, options(family, &base, &given, overrides, true)?))
    })
}

/// The row of videos that upstream's auto classes pick for the image processor's class alone.
fn of_images(given: &Bound<'_, PyDict>, model_type: Option<&str>) -> PyResult<Row> {
    let image = match says(given, "image_processor_type")? {
        Some(image) => Some(image),
        None => says(given, "feature_extractor_type")?,
    };
    let name = match &image {
        None => "None".to_owned(),
        Some(image) => text(image).map_or_else(|| shown(image, 80), Ok)?,
    };
    let name = name.strip_suffix("Fast").unwrap_or(&name);
    let name = name.strip_suffix("Pil").unwrap_or(name);
    let hints = PyDict::new(given.py());
    hints.set_item("image_processor_type", name)?;
    if let Some(class) = given.get_item("processor_class")? {
        hints.set_item("processor_class", class)?;
    }
    let (family, _, _) = of_class(&hints, &PyDict::new(given.py()), model_type)?;
    all_rows().find(|row| row.video && row.spec.family == family).ok_or_else(|| {
        value_error("config: must have 'video_processor_type', or be of a model with videos".into())
    })
}

/// The model's type with its version, where families differ by that; else as it is.
#[pyfunction]
pub(super) fn versioned_type(model_type: &str, version: &str) -> String {
    let versioned = format!("{model_type}-{version}");
    let known = remotes().any(|(_, upstream)| upstream.model_types.contains(&versioned.as_str()));
    if known { versioned } else { model_type.to_owned() }
}

/// A family's own name, by name or alias: with its default numerics and its conversion to RGB.
#[pyfunction]
pub(super) fn family(
    py: Python<'_>,
    name: &Bound<'_, PyAny>,
) -> PyResult<(&'static str, &'static str, &'static str)> {
    guard(|| {
        let Some(wanted) = text(name) else {
            return Err(type_error(format!("family: must be a string, got {}", kind_of(name)?)));
        };
        let Ok(found) = families::find(&wanted) else {
            let known: Vec<_> = families::all().iter().map(|family| family.name).collect();
            return Err(unknown(py, name, &wanted, "that `dynres families` lists", &known)?);
        };
        let numerics = if found.spec.numerics.int16_weights() { "torchvision" } else { "pillow" };
        Ok((found.name, numerics, found.convert.name()))
    })
}

/// The own name of a family of videos, by name, alias or model type.
#[pyfunction]
pub(super) fn video_family(py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<&'static str> {
    guard(|| {
        let Some(wanted) = text(name) else {
            return Err(type_error(format!("family: must be a string, got {}", kind_of(name)?)));
        };
        let Ok(found) = families::find_video(&wanted) else {
            let known: Vec<_> = families::videos().map(|video| video.spec.family).collect();
            return Err(unknown(py, name, &wanted, "that takes videos", &known)?);
        };
        Ok(found.spec.family)
    })
}

fn unknown(
    py: Python<'_>,
    given: &Bound<'_, PyAny>,
    wanted: &str,
    rule: &str,
    known: &[&str],
) -> PyResult<PyErr> {
    let near = nearest(py, wanted, known)?;
    let near = near.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let given = shown(given, 60)?;
    Ok(value_error(format!(
        "family: must be one {rule}; got '{given}', and the nearest are {near}"
    )))
}
