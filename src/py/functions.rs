//! The bare functions.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::Arc;

use super::array::{ImageBuffer, OutBuffer};
use super::error::{guard, to_python};
use super::plain;
use super::processor::{Pixels, execute, simd};
use super::value;
use crate::error::{Size, push};
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

#[pyfunction]
#[pyo3(signature = (height, width, factor=28, min_pixels=3136, max_pixels=1_003_520))]
pub(super) fn smart_resize(
    height: usize,
    width: usize,
    factor: usize,
    min_pixels: usize,
    max_pixels: usize,
) -> PyResult<Size> {
    guard(|| {
        let budget = Budget { factor, min_pixels, max_pixels };
        sizing::smart_resize((height, width), budget).map_err(|error| to_python(&error))
    })
}

#[pyfunction]
#[pyo3(signature = (num_frames, height, width, temporal_factor=2, factor=32, min_pixels=131_072, max_pixels=786_432))]
pub(super) fn smart_resize_video(
    num_frames: usize,
    height: usize,
    width: usize,
    temporal_factor: usize,
    factor: usize,
    min_pixels: usize,
    max_pixels: usize,
) -> PyResult<Size> {
    guard(|| {
        let budget = Budget { factor, min_pixels, max_pixels };
        sizing::smart_resize_video(num_frames, (height, width), temporal_factor, budget)
            .map_err(|error| to_python(&error))
    })
}

#[pyfunction]
#[pyo3(signature = (height, width, tile_size=448, min_tiles=1, max_tiles=12))]
pub(super) fn closest_aspect_grid(
    height: usize,
    width: usize,
    tile_size: usize,
    min_tiles: usize,
    max_tiles: usize,
) -> PyResult<(usize, usize)> {
    guard(|| {
        sizing::closest_aspect_grid(
            RatioOrder::Set,
            (height, width),
            (tile_size, tile_size),
            min_tiles,
            max_tiles,
        )
        .map(|grid| (grid.rows, grid.columns))
        .map_err(|error| to_python(&error))
    })
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
    height: usize,
    width: usize,
    candidates: &Bound<'_, PyList>,
) -> PyResult<Size> {
    guard(|| {
        let mut sizes: Vec<Size> = Vec::new();
        for candidate in candidates {
            push(&mut sizes, candidate.extract()?).map_err(|error| to_python(&error))?;
        }
        sizing::best_canvas((height, width), &sizes).map_err(|error| to_python(&error))
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
