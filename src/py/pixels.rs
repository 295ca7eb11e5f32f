//! Pixels before anything is planned: alpha composited, margins found, numbers as bytes.

use pyo3::intern;
use pyo3::prelude::*;

use super::array::{FloatBuffer, ImageBuffer, OutBuffer};
use super::calls::watched;
use super::error::{guard, to_python};
use super::plain::numpy;
use crate::error::{Error, Size, zeroed};
use crate::margins::{self, Grey};
use crate::sizing;

/// Every pixel (height, width, 4) of an image as the three bytes of another, (height, width, 3) of uint8.
fn composited<'py>(
    image: &Bound<'py, PyAny>,
    pixel: impl Fn((usize, usize), [u8; 4]) -> [u8; 3] + Sync,
) -> PyResult<Bound<'py, PyAny>> {
    let py = image.py();
    let source = ImageBuffer::get(image)?;
    let (height, width) = source.size();
    let made = numpy(py)?
        .call_method1(intern!(py, "empty"), ((height, width, 3), intern!(py, "uint8")))?;
    if height == 0 || width == 0 {
        return Ok(made);
    }
    let mut out = OutBuffer::get(&made, "image", height * width * 3)?;
    let mut row = zeroed(width * 4).map_err(|error| to_python(&error))?;
    let (view, out) = (source.view(), out.bytes());
    watched(py, |watch| {
        for (y, target) in out.chunks_exact_mut(width * 3).enumerate() {
            if y.is_multiple_of(16) {
                watch.check()?;
            }
            view.gather_row(y, &mut row);
            let pixels = row.as_chunks::<4>().0.iter().zip(target.as_chunks_mut::<3>().0);
            for (x, (from, to)) in pixels.enumerate() {
                *to = pixel((y, x), *from);
            }
        }
        Ok(())
    })?
    .map_err(|error: Error| to_python(&error))?;
    Ok(made)
}

/// Four channels composited on white as transformers does for arrays: each backend in its own arithmetic.
///
/// Matches `TorchvisionBackend.convert_to_rgb` (float32, truncated after `* 255.999`) and
/// `image_transforms.convert_to_rgb` (float64, rounded half to even).
#[pyfunction]
pub(super) fn on_white<'py>(
    image: &Bound<'py, PyAny>,
    torchvision: bool,
) -> PyResult<Bound<'py, PyAny>> {
    guard(|| {
        if torchvision {
            let unit = |byte: u8| f32::from(byte) * (1.0_f64 / 255.0) as f32;
            return composited(image, |_, [red, green, blue, alpha]| {
                let alpha = unit(alpha);
                let mixed = |byte| ((unit(byte) * alpha + (1.0 - alpha)) * 255.999) as u8;
                [red, green, blue].map(mixed)
            });
        }
        composited(image, |_, [red, green, blue, alpha]| {
            let share = f64::from(alpha) / 255.0;
            let mixed = |byte| (share * f64::from(byte) + (1.0 - share) * 255.0).round_ties_even();
            [red, green, blue].map(|byte| mixed(byte) as u8)
        })
    })
}

/// Four channels composited on squares of 8 pixels, light and dark by turns, in integers.
///
/// Matches `Inkling2ImageProcessor.convert_to_rgb`.
#[pyfunction]
pub(super) fn on_checkerboard<'py>(image: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    guard(|| {
        composited(image, |(y, x), [red, green, blue, alpha]| {
            let square = if (y / 8 + x / 8) % 2 == 0 { 204 } else { 153 };
            let alpha = u32::from(alpha);
            let mixed = |byte| (u32::from(byte) * alpha + square * (255 - alpha) + 127) / 255;
            [red, green, blue].map(|byte| mixed(byte) as u8)
        })
    })
}

/// The smallest part of an image that holds its dark pixels: its first row and the one past its last, and likewise its
/// columns. `torchvision`: whether greys are torchvision's, else Pillow's.
#[pyfunction]
pub(super) fn without_margins(
    py: Python<'_>,
    image: &Bound<'_, PyAny>,
    torchvision: bool,
) -> PyResult<(Size, Size)> {
    guard(|| {
        let image = ImageBuffer::get(image)?;
        let grey = if torchvision { Grey::Torchvision } else { Grey::Pillow };
        let view = image.view();
        let found = watched(py, |watch| margins::inside(&view, grey, watch))?;
        found.map_err(|error| to_python(&error))
    })
}

/// Whether the longer side of an image of (height, width) is the page's shorter one.
#[pyfunction]
pub(super) fn is_across(size: (i64, i64), page: Size) -> bool {
    sizing::is_across(size, page)
}

/// A floating-point array of any layout as bytes of the same shape; None where a number is no integer in 0..=255.
#[pyfunction]
pub(super) fn whole_bytes<'py>(array: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    guard(|| {
        let py = array.py();
        let source = FloatBuffer::get(array)?;
        let shape = array.getattr(intern!(py, "shape"))?;
        let made = numpy(py)?.call_method1(intern!(py, "empty"), (shape, intern!(py, "uint8")))?;
        let mut out = OutBuffer::get(&made, "image", source.len())?;
        let out = out.bytes();
        let whole = watched(py, |watch| source.to_bytes(out, watch))?;
        Ok(whole.map_err(|error| to_python(&error))?.then_some(made))
    })
}
