//! Rules that no bare function of the package shows by itself, for tests against what is installed.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::error::{guard, to_python};
use super::processor::simd;
use crate::error::{Result, Size};
use crate::pack::{Arithmetic, Normalise};
use crate::pipeline::float;
use crate::resample::{Filter, Float};
use crate::simd::Simd;

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<4>();
    values.iter().map(|value| f32::from_ne_bytes(*value)).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// Planes of float32 at another size, with the backend of that name or the one in use.
#[pyfunction]
#[pyo3(signature = (planes, size, target, resample, antialias, round=false, clamp=false, backend=None))]
#[expect(clippy::too_many_arguments, reason = "the whole of a rule")]
pub(super) fn resize_float<'py>(
    py: Python<'py>,
    planes: &[u8],
    size: Size,
    target: Size,
    resample: &str,
    antialias: bool,
    round: bool,
    clamp: bool,
    backend: Option<&str>,
) -> PyResult<Bound<'py, PyBytes>> {
    guard(|| {
        let resized = || -> Result<Vec<f32>> {
            let filter = Filter::parse(resample)?;
            let simd = backend.map_or(Ok(simd()), |name| Simd::choose(Some(name)))?;
            let rule = Float { antialias, round, clamp };
            float::resize(simd, &floats(planes), size, target, filter, rule)
        };
        let resized = resized().map_err(|error| to_python(&error))?;
        Ok(PyBytes::new(py, &bytes(&resized)))
    })
}

/// The values of the three channels for every byte, as float32.
#[pyfunction]
pub(super) fn normalised<'py>(
    py: Python<'py>,
    arithmetic: &str,
    rescale: Option<f64>,
    mean_std: Option<([f64; 3], [f64; 3])>,
) -> PyResult<(Bound<'py, PyBytes>, &'static str)> {
    guard(|| {
        let arithmetic = Arithmetic::parse(arithmetic).map_err(|error| to_python(&error))?;
        let normalise = Normalise { rescale, mean_std, arithmetic };
        let value = |(byte, c)| normalise.value(c, byte);
        let all = (0..=255).flat_map(|byte| (0..3).map(move |c| (byte, c)));
        let values: Vec<f32> = all.map(value).collect();
        Ok((PyBytes::new(py, &bytes(&values)), normalise.element().name()))
    })
}
