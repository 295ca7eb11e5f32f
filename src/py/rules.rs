//! Rules that no function of the package shows by itself, for tests against the libraries that are installed. Arrays
//! come and go as the bytes of contiguous ones.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::error::{guard, to_python};
use super::processor::simd;
use crate::error::{Error, Result, Size};
use crate::margins::Grey;
use crate::pack::{Arithmetic, Normalise, Standardise};
use crate::parallel::Watch;
use crate::pipeline::float;
use crate::resample::{self, Axis, Filter, Float, Numerics};
use crate::simd::Simd;

pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(resize_float, module)?)?;
    module.add_function(wrap_pyfunction!(resize_with_gap, module)?)?;
    module.add_function(wrap_pyfunction!(fixed_taps, module)?)?;
    module.add_function(wrap_pyfunction!(normalised, module)?)?;
    module.add_function(wrap_pyfunction!(standardised, module)?)?;
    module.add_function(wrap_pyfunction!(greys, module)?)?;
    Ok(())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<4>();
    values.iter().map(|value| f32::from_ne_bytes(*value)).collect()
}

fn bytes<'py>(py: Python<'py>, values: &[f32]) -> Bound<'py, PyBytes> {
    let all: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    PyBytes::new(py, &all)
}

/// Runs a rule of the core, with its errors as Python's.
fn rule<T>(run: impl FnOnce() -> Result<T>) -> PyResult<T> {
    guard(|| run().map_err(|error| to_python(&error)))
}

/// Refuses an array that does not have the shape it is said to have.
fn check(given: usize, expected: Option<usize>) -> Result<()> {
    if Some(given) == expected {
        return Ok(());
    }
    let rule = "as many values as its shape says";
    Err(Error::Option { name: "array", rule, given: given.to_string() })
}

fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1usize, |product, factor| product.checked_mul(*factor))
}

/// Planes (channels, height, width) of float32 at another size, by the backend of that name or the one in use.
#[pyfunction]
#[pyo3(signature = (planes, shape, size, resample, antialias, round=false, clamp=false, backend=None))]
#[expect(clippy::too_many_arguments, reason = "the whole of a rule")]
fn resize_float<'py>(
    py: Python<'py>,
    planes: &[u8],
    shape: [usize; 3],
    size: Size,
    resample: &str,
    antialias: bool,
    round: bool,
    clamp: bool,
    backend: Option<&str>,
) -> PyResult<Bound<'py, PyBytes>> {
    let resized = rule(|| {
        let planes = floats(planes);
        check(planes.len(), product(&shape))?;
        let filter = Filter::parse(resample)?;
        let simd = backend.map_or(Ok(simd()), |name| Simd::choose(Some(name)))?;
        let rule = Float { antialias, round, clamp };
        let watch = Watch::new(None);
        let from = (shape[1], shape[2]);
        let mut values = float::Planes(&planes, from);
        let resize = float::Resize { simd, filter, rule, watch: &watch };
        resize.planes((&mut values, shape[0]), from, size)
    })?;
    Ok(bytes(py, &resized))
}

/// An image (height, width, channels) of uint8 at another size, with Pillow's `reducing_gap`.
#[pyfunction]
fn resize_with_gap<'py>(
    py: Python<'py>,
    image: &[u8],
    shape: [usize; 3],
    size: Size,
    resample: &str,
    numerics: &str,
    gap: f64,
) -> PyResult<Bound<'py, PyBytes>> {
    let [height, width, pixel] = shape;
    let resized = rule(|| {
        check(image.len(), product(&shape))?;
        let (filter, numerics) = (Filter::parse(resample)?, Numerics::parse(numerics)?);
        resample::resize_with_gap(image, ((height, width), pixel), size, filter, numerics, gap)
    })?;
    Ok(PyBytes::new(py, &resized))
}

/// Bits after the point, first samples and integer weights of an axis: `pillow`, `torchvision`, `torchvision-small` (of
/// nearest) or `torchvision-sharp` (without antialiasing).
#[pyfunction]
fn fixed_taps(
    source: usize,
    target: usize,
    resample: &str,
    kind: &str,
) -> PyResult<(u32, Vec<usize>, Vec<Vec<i32>>)> {
    rule(|| {
        let filter = Filter::parse(resample)?;
        let axis = match kind {
            "pillow" => Axis::new(filter, source, target, false)?,
            "torchvision" => Axis::new(filter, source, target, true)?,
            "torchvision-small" => Axis::new(filter.of_result((1, 1)), source, target, true)?,
            _ => Axis::sharp(filter, source, target)?,
        };
        let (starts, weights) =
            (0..target).map(|i| axis.window(i)).map(|(first, all)| (first, all.to_vec())).unzip();
        Ok((axis.precision, starts, weights))
    })
}

/// The values of the three channels for every byte (256, 3) as float32, and the name of upstream's dtype.
#[pyfunction]
#[pyo3(signature = (arithmetic, rescale=None, mean_std=None))]
fn normalised<'py>(
    py: Python<'py>,
    arithmetic: &str,
    rescale: Option<f64>,
    mean_std: Option<([f64; 3], [f64; 3])>,
) -> PyResult<(Bound<'py, PyBytes>, &'static str)> {
    let arithmetic = rule(|| Arithmetic::parse(arithmetic))?;
    let normalise = Normalise { rescale, mean_std, arithmetic };
    let values: Vec<f32> =
        (0..=255).flat_map(|byte| [0, 1, 2].map(|c| normalise.value(c, byte))).collect();
    Ok((bytes(py, &values), normalise.element().name()))
}

/// The values of one image less their mean and through their deviation, and these two.
#[pyfunction]
fn standardised<'py>(
    py: Python<'py>,
    values: &[u8],
    standardise: &str,
) -> PyResult<(Bound<'py, PyBytes>, f32, f32)> {
    let (values, found) = rule(|| {
        let standardise = Standardise::parse(standardise)?;
        let mut values = floats(values);
        let found = standardise.statistics(&values, &|| Ok(()))?;
        found.apply(&mut values, &|| Ok(()))?;
        Ok((values, found))
    })?;
    Ok((bytes(py, &values), found.mean, found.deviation))
}

/// The greys of pixels of three bytes, by which margins are found.
#[pyfunction]
fn greys<'py>(py: Python<'py>, pixels: &[u8], torchvision: bool) -> Bound<'py, PyBytes> {
    let grey = if torchvision { Grey::Torchvision } else { Grey::Pillow };
    let greys: Vec<u8> = pixels.as_chunks::<3>().0.iter().map(|pixel| grey.of(*pixel)).collect();
    PyBytes::new(py, &greys)
}
