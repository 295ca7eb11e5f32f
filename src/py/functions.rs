//! The bare functions.

use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString, PyTuple};
use std::sync::Arc;

use super::arguments::{integer, side};
use super::array::{ImageBuffer, OutBuffer};
use super::error::{guard, to_python};
use super::kept::PyKept;
use super::numbers::goes_on;
use super::outs;
use super::plain;
use super::processor::{Pixels, execute, simd};
use super::value;
use super::vocabulary::{kind_of, type_error, value_error};
use crate::error::{Error, Size, push};
use crate::families::{all as all_families, videos as all_videos};
use crate::pack::{Element, Lut, Normalise};
use crate::pipeline::Settings;
use crate::plan::{Array, Batch, Plan, Slot};
use crate::resample::{Filter, Numerics};
use crate::simd::Simd;
use crate::sizing::{self, Budget, RatioOrder};

/// The instruction set that this process uses.
///
/// Returns:
///     `"scalar"`, `"avx2"` or `"avx512"` (F, BW, VL, VNNI and VBMI): the widest that this CPU has, unless the
///     environment variable `DYNRES_SIMD` named another when the package was imported. Results never depend on it.
#[pyfunction]
#[pyo3(name = "simd")]
pub(super) fn simd_name() -> &'static str {
    simd().name()
}

#[pyfunction]
pub(super) fn backends() -> Vec<&'static str> {
    Simd::NAMES.into_iter().filter(|name| Simd::detect(name).is_some()).collect()
}

#[pyfunction]
pub(super) fn is_forked() -> bool {
    crate::parallel::is_forked()
}

/// The rule of numbers that a name stands for, torchvision or a release of Pillow; None where there is none.
#[pyfunction]
pub(super) fn numerics_rule(name: &Bound<'_, PyString>) -> Option<&'static str> {
    name.to_str().ok().and_then(Numerics::of_release).map(Numerics::name)
}

/// The families and the values of their released checkpoints.
///
/// Returns:
///     a new dict by family name, of dicts by option: what `Processor(family)` starts from. Three keys are no
///     options: `numerics` (upstream's default backend), `convert` (how images become RGB) and `aliases` (other
///     names of the family).
///
/// Raises:
///     MemoryError: no room for it.
#[pyfunction]
pub(super) fn families(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    guard(|| {
        let table = PyDict::new(py);
        for family in all_families() {
            let row = value::options(py, &family.spec)?;
            let torchvision = family.spec.numerics == Numerics::Torchvision;
            row.set_item("numerics", if torchvision { "torchvision" } else { "pillow" })?;
            row.set_item("convert", family.convert.name())?;
            row.set_item("aliases", family.aliases)?;
            table.set_item(family.name, row)?;
        }
        Ok(table)
    })
}

/// The options of videos by family, of those that take any.
#[pyfunction]
pub(super) fn video_families(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    guard(|| {
        let table = PyDict::new(py);
        for video in all_videos() {
            table.set_item(video.spec.family, value::options(py, &video.spec)?)?;
        }
        Ok(table)
    })
}

/// qwen-vl-utils' own rule.
#[pyfunction]
#[pyo3(signature = (height, width, factor, min_pixels, max_pixels))]
pub(super) fn smart_resize_qwen_vl_utils(
    height: usize,
    width: usize,
    factor: usize,
    min_pixels: usize,
    max_pixels: f64,
) -> PyResult<Size> {
    guard(|| {
        sizing::smart_resize_qwen_vl_utils((height, width), factor, min_pixels, max_pixels)
            .map_err(|error| to_python(&error))
    })
}

/// A budget of pixels.
fn budget(name: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    match integer(name, value)? {
        number @ 1.. => Ok(number as usize),
        number => Err(value_error(format!("{name}: must be at least 1, got {number}"))),
    }
}

#[pyfunction]
pub(super) fn smart_resize(
    height: &Bound<'_, PyAny>,
    width: &Bound<'_, PyAny>,
    factor: &Bound<'_, PyAny>,
    min_pixels: &Bound<'_, PyAny>,
    max_pixels: &Bound<'_, PyAny>,
) -> PyResult<Size> {
    guard(|| {
        let size = (side("height", height)?, side("width", width)?);
        let budget = Budget {
            factor: side("factor", factor)?,
            min_pixels: budget("min_pixels", min_pixels)?,
            max_pixels: budget("max_pixels", max_pixels)?,
        };
        sizing::smart_resize(size, budget).map_err(|error| to_python(&error))
    })
}

#[pyfunction]
pub(super) fn smart_resize_video(
    num_frames: &Bound<'_, PyAny>,
    height: &Bound<'_, PyAny>,
    width: &Bound<'_, PyAny>,
    temporal_factor: &Bound<'_, PyAny>,
    factor: &Bound<'_, PyAny>,
    min_pixels: &Bound<'_, PyAny>,
    max_pixels: &Bound<'_, PyAny>,
) -> PyResult<Size> {
    guard(|| {
        let frames = side("num_frames", num_frames)?;
        let size = (side("height", height)?, side("width", width)?);
        let temporal = side("temporal_factor", temporal_factor)?;
        let budget = Budget {
            factor: side("factor", factor)?,
            min_pixels: budget("min_pixels", min_pixels)?,
            max_pixels: budget("max_pixels", max_pixels)?,
        };
        sizing::smart_resize_video(frames, size, temporal, budget)
            .map_err(|error| to_python(&error))
    })
}

#[pyfunction]
pub(super) fn closest_aspect_grid(
    height: &Bound<'_, PyAny>,
    width: &Bound<'_, PyAny>,
    tile_size: &Bound<'_, PyAny>,
    min_tiles: &Bound<'_, PyAny>,
    max_tiles: &Bound<'_, PyAny>,
) -> PyResult<(usize, usize)> {
    guard(|| {
        let size = (side("height", height)?, side("width", width)?);
        let tile = side("tile_size", tile_size)?;
        let (least, most) = (side("min_tiles", min_tiles)?, side("max_tiles", max_tiles)?);
        sizing::closest_aspect_grid(RatioOrder::Set, size, (tile, tile), least, most)
            .map(|grid| (grid.rows, grid.columns))
            .map_err(|error| to_python(&error))
    })
}

/// The two items of a pair of sides.
fn pair<'py>(
    name: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = value.py();
    let failed = |error: PyErr| {
        if goes_on(py, &error) {
            return error;
        }
        match kind_of(value) {
            Ok(kind) => type_error(format!("{name}: must be (height, width), got {kind}")),
            Err(error) => error,
        }
    };
    let text = value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>();
    if text || value.cast::<PyMapping>().is_ok() {
        return Err(failed(PyTypeError::new_err("")));
    }
    let len = value.len().map_err(failed)?;
    if len != 2 {
        return Err(value_error(format!("{name}: must be (height, width), got {len} numbers")));
    }
    Ok((value.get_item(0).map_err(failed)?, value.get_item(1).map_err(failed)?))
}

#[pyfunction]
#[pyo3(signature = (min_tiles=1, max_tiles=12))]
pub(super) fn aspect_ratios(
    py: Python<'_>,
    min_tiles: usize,
    max_tiles: usize,
) -> PyResult<Bound<'_, PyList>> {
    guard(|| {
        let ratios = sizing::aspect_ratios(RatioOrder::Set, min_tiles, max_tiles)
            .map_err(|error| to_python(&error))?;
        PyList::new(py, ratios)
    })
}

#[pyfunction]
pub(super) fn best_canvas(
    height: &Bound<'_, PyAny>,
    width: &Bound<'_, PyAny>,
    candidates: &Bound<'_, PyAny>,
) -> PyResult<Size> {
    guard(|| {
        let py = candidates.py();
        let text =
            candidates.is_instance_of::<PyString>() || candidates.is_instance_of::<PyBytes>();
        let listed = match candidates.try_iter() {
            Ok(items) if !text && candidates.cast::<PyMapping>().is_err() => items,
            Err(error) if error.is_instance_of::<PyMemoryError>(py) => return Err(error),
            _ => {
                let kind = kind_of(candidates)?;
                return Err(type_error(format!(
                    "candidates: must be (height, width) pairs, got {kind}"
                )));
            }
        };
        let mut sizes: Vec<Size> = Vec::new();
        for candidate in listed {
            let (tall, wide) = pair("candidates", &candidate?)?;
            let size = (side("candidates", &tall)?, side("candidates", &wide)?);
            push(&mut sizes, size).map_err(|error| to_python(&error))?;
        }
        if sizes.is_empty() {
            return Err(value_error(
                "candidates: must hold at least one (height, width), got none".into(),
            ));
        }
        let size = (side("height", height)?, side("width", width)?);
        sizing::best_canvas(size, &sizes).map_err(|error| to_python(&error))
    })
}

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the whole of one call of the facade")]
pub(super) fn resize(
    py: Python<'_>,
    image: &Bound<'_, PyAny>,
    size: Size,
    resample: &str,
    numerics: &str,
    out: &Bound<'_, PyAny>,
    num_threads: usize,
    limit: u64,
) -> PyResult<()> {
    guard(|| {
        let filter = Filter::parse(resample).map_err(|error| to_python(&error))?;
        let numerics = Numerics::parse(numerics).map_err(|error| to_python(&error))?;
        let pixels = Pixels::get(image)?;
        let bytes = size.0 * size.1 * pixels.pixel();
        let out = OutBuffer::get(out, "out", bytes)?;
        resize_into(py, pixels, size, (filter, numerics), out, num_threads, limit)
    })
}

fn resize_into(
    py: Python<'_>,
    pixels: Pixels,
    size: Size,
    (filter, numerics): (Filter, Numerics),
    out: OutBuffer,
    threads: usize,
    limit: u64,
) -> PyResult<()> {
    let pixel = pixels.pixel();
    numerics.check_filter("resample", filter).map_err(|error| to_python(&error))?;
    let plan = Plan::resize(pixels.size(), size, pixel, filter.of_result(size), limit)
        .map_err(|error| to_python(&error))?;
    let lut = Lut::new(&Normalise::NONE, Element::Uint8);
    let luts = [&lut];
    let (simd, copies, stream) = (simd(), 1, false);
    let mut settings = Settings { simd, numerics, luts: &luts, copies, stream, threads };
    let bytes = size.0 * size.1 * pixel;
    let array = Array {
        key: "image",
        output: 0,
        listed: false,
        shape: vec![size.0, size.1, pixel],
        element: Element::Uint8,
        tile: None,
        row_axes: 3,
        strip: false,
        split: None,
        tubelet: 1,
        slots: vec![Slot { image: 0, bytes, rows: 1 }],
    };
    let batch = Batch { arrays: vec![array], facts: Vec::new() };
    Ok(execute(py, &mut settings, &batch, &[Arc::new(plan)], &[pixels], &mut [out])?)
}

/// The same with arguments as the caller gave them; False, with nothing done, where one of them is unusual.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the whole of one call of the facade")]
pub(super) fn resize_plain(
    py: Python<'_>,
    image: &Bound<'_, PyAny>,
    size: &Bound<'_, PyAny>,
    resample: &Bound<'_, PyAny>,
    numerics: &str,
    out: &Bound<'_, PyAny>,
    num_threads: &Bound<'_, PyAny>,
    limit: u64,
) -> PyResult<bool> {
    guard(|| {
        let understood = || {
            let filter = Filter::parse(plain::text(resample)?).ok()?;
            let numerics = Numerics::parse(numerics).ok()?;
            let (size, threads) = (plain::sides(size)?, plain::threads(num_threads)?);
            let image = plain::is_array(image).then(|| ImageBuffer::get(image).ok())??;
            let out = plain::resized(&image, out, size, limit)?;
            let exists = image.size().0 > 0 && image.size().1 > 0;
            exists.then_some((image, size, filter, numerics, out, threads))
        };
        let Some((image, size, filter, numerics, out, threads)) = understood() else {
            return Ok(false);
        };
        let pixels = Pixels::Buffer(image);
        resize_into(py, pixels, size, (filter, numerics), out, threads, limit)?;
        Ok(true)
    })
}

/// The same for an array of bytes (height, width, 3 or 4), with words for all that is wrong with the other arguments:
/// the array that was resized into, new where `out` is None.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the whole of one call of the facade")]
pub(super) fn resize_careful<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    resample: &Bound<'py, PyAny>,
    numerics: &str,
    out: Option<&Bound<'py, PyAny>>,
    num_threads: &Bound<'py, PyAny>,
    limit: u64,
    kept: &Bound<'py, PyKept>,
) -> PyResult<Bound<'py, PyAny>> {
    guard(|| {
        let source = ImageBuffer::get(image)?;
        let (tall, wide) = pair("size", size)?;
        let (height, width) = (integer("size", &tall)?, integer("size", &wide)?);
        let threads = integer("num_threads", num_threads)?;
        if !(0..1 << 31).contains(&threads) {
            let rule = format!("num_threads: must be in 0..2**31, got {threads}");
            return Err(value_error(rule));
        }
        let Ok(resample) = resample.cast::<PyString>() else {
            let kind = kind_of(resample)?;
            return Err(type_error(format!("resample: must be a string, got {kind}")));
        };
        if height < 1 || width < 1 {
            let rule = "size: height and width must be at least 1";
            return Err(value_error(format!("{rule}, got ({height}, {width})")));
        }
        let size = (height as usize, width as usize);
        if size.0.checked_mul(size.1).is_none_or(|pixels| pixels as u64 > limit) {
            return Err(to_python(&Error::TooLarge { what: "size", size, limit }));
        }
        let shape = [size.0, size.1, source.pixel()];
        let target = if let Some(out) = out {
            let target = outs::view("out", out, &shape, "uint8")?;
            if outs::may_share(&target, image)? {
                return Err(value_error("out: overlaps image in memory".into()));
            }
            target
        } else {
            kept.get().array(&PyTuple::new(py, shape)?, "uint8", "size")?
        };
        let filter = Filter::parse(resample.to_str()?).map_err(|error| to_python(&error))?;
        let numerics = Numerics::parse(numerics).map_err(|error| to_python(&error))?;
        let out = OutBuffer::get(&target, "out", shape.iter().product())?;
        let (pixels, rule) = (Pixels::Buffer(source), (filter, numerics));
        resize_into(py, pixels, size, rule, out, threads as usize, limit)?;
        Ok(target)
    })
}
