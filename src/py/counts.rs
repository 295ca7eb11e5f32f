//! Many numbers at once: token counts, budgets, packing, and tensors back to bytes.
//!
//! Numbers are copied out of Python's buffers, so that the work runs on memory of our own without the interpreter.
//! Signals are answered on the way.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};

use super::array::{OutBuffer, copied};
use super::calls::watched;
use super::error::to_python;
use super::plan::PyPlan;
use super::processor::PySpec;
use super::value;
use crate::error::{Error, Result, Size, filled, reserved};
use crate::pack::{Element, Lut, Normalise};
use crate::parallel::Watch;
use crate::plan::{count_tokens, row_shape};
use crate::solver::{self, At, Target};

/// The error of one of the sizes, by its number.
fn at(py: Python<'_>, failure: &At) -> PyErr {
    let error = to_python(&failure.error);
    let text = failure.error.to_string();
    let text = text.strip_prefix("image: ").unwrap_or(&text);
    let index = failure.index;
    PyErr::from_type(error.get_type(py), format!("sizes[{index}]: {text}"))
}

/// A side of an image; those that no image has become 0, which is refused with what was given.
fn side(given: i64) -> usize {
    usize::try_from(given).ok().filter(|&side| side < 1 << 31).unwrap_or(0)
}

fn out_of_range(index: usize, height: i64, width: i64) -> PyErr {
    PyValueError::new_err(format!(
        "sizes[{index}]: height and width must be in 1..2**31, got ({height}, {width})"
    ))
}

/// C-contiguous int64.
fn integers(name: &str, object: &Bound<'_, PyAny>) -> PyResult<PyBuffer<i64>> {
    let buffer = PyBuffer::<i64>::get(object)
        .map_err(|_| PyTypeError::new_err(format!("{name}: must be an array of int64")))?;
    if buffer.is_c_contiguous() {
        Ok(buffer)
    } else {
        Err(PyValueError::new_err(format!("{name}: must be C-contiguous")))
    }
}

/// Sizes looked at between two looks at signals.
const CHUNK: usize = 1 << 18;

/// Pairs of sides, checked; `first` is the number of the first of them in errors.
fn sizes_of(py: Python<'_>, sizes: &Bound<'_, PyAny>, first: usize) -> PyResult<Vec<Size>> {
    let numbers = copied(py, "sizes", &integers("sizes", sizes)?)?;
    let pairs = numbers.as_chunks::<2>().0;
    let mut sizes: Vec<Size> = reserved(pairs.len()).map_err(|error| to_python(&error))?;
    for (number, chunk) in pairs.chunks(CHUNK).enumerate() {
        for (place, &[height, width]) in chunk.iter().enumerate() {
            let size = (side(height), side(width));
            if size.0 == 0 || size.1 == 0 {
                return Err(out_of_range(first + number * CHUNK + place, height, width));
            }
            sizes.push(size);
        }
        py.check_signals()?;
    }
    Ok(sizes)
}

/// The bits of an int64 a size; `first` is the number of the first size in errors.
#[pyfunction]
#[pyo3(signature = (spec, sizes, num_images=1, first=0))]
pub(super) fn num_tokens<'py>(
    py: Python<'py>,
    spec: &Bound<'py, PySpec>,
    sizes: &Bound<'py, PyAny>,
    num_images: usize,
    first: usize,
) -> PyResult<Bound<'py, PyByteArray>> {
    super::error::guard(|| {
        let numbers = copied(py, "sizes", &integers("sizes", sizes)?)?;
        let pairs = numbers.as_chunks::<2>().0;
        let spec = &spec.get().spec;
        let counts = watched(py, |watch| {
            let mut counts: Vec<[u8; 8]> =
                reserved(pairs.len()).map_err(|error| At { index: 0, error })?;
            for (index, &[height, width]) in pairs.iter().enumerate() {
                if index.is_multiple_of(WATCH_EVERY) {
                    watch.check().map_err(|error| At { index, error })?;
                }
                match count_tokens(spec, (side(height), side(width)), num_images) {
                    Ok(tokens) => counts.push((tokens as i64).to_ne_bytes()),
                    Err(error) => return Err(At { index, error }),
                }
            }
            Ok(counts)
        })?;
        match counts {
            Ok(counts) => PyByteArray::new_with(py, counts.len() * 8, |bytes| {
                bytes.copy_from_slice(counts.as_flattened());
                Ok(())
            }),
            Err(At { index, error }) => {
                let [height, width] = pairs[index];
                if side(height) == 0 || side(width) == 0 {
                    return Err(out_of_range(first + index, height, width));
                }
                Err(at(py, &At { index: first + index, error }))
            }
        }
    })
}

/// The options to change so that the budget is met, None if nothing does. `tokens` of all images together, or with
/// `except_for` of each but so many.
#[pyfunction]
#[pyo3(signature = (spec, sizes, num_images, tokens, except_for=None))]
pub(super) fn fit<'py>(
    py: Python<'py>,
    spec: &Bound<'py, PySpec>,
    sizes: &Bound<'py, PyAny>,
    num_images: usize,
    tokens: u64,
    except_for: Option<u64>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    super::error::guard(|| {
        let sizes = sizes_of(py, sizes, 0)?;
        let target = match except_for {
            None => Target::Total(tokens),
            Some(except) => Target::Each { tokens, except },
        };
        let spec = &spec.get().spec;
        let found = watched(py, |watch| solver::fit(spec, &sizes, num_images, target, watch))?;
        let Some(settings) = found.map_err(|failure| at(py, &failure))? else { return Ok(None) };
        let options = PyDict::new(py);
        for (name, setting) in settings {
            options.set_item(name, value::to_object(py, &setting)?)?;
        }
        Ok(Some(options))
    })
}

/// First-fit decreasing: fills `members` with the numbers of the items, bin after bin, and gives the bits of an int64 a
/// bin, one past its last place.
#[pyfunction]
pub(super) fn pack<'py>(
    py: Python<'py>,
    token_counts: &Bound<'py, PyAny>,
    max_len: u64,
    members: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyByteArray>> {
    super::error::guard(|| {
        let counts = copied(py, "token_counts", &integers("token_counts", token_counts)?)?;
        let mut out = OutBuffer::get(members, "members", counts.len() * 8)?;
        let out = out.bytes().as_chunks_mut::<8>().0;
        let mut lengths = reserved(counts.len()).map_err(|error| to_python(&error))?;
        for (index, &count) in counts.iter().enumerate() {
            let length = u64::try_from(count).map_err(|_| {
                PyValueError::new_err(format!(
                    "token_counts[{index}]: must not be negative, got {count}"
                ))
            })?;
            if length > max_len {
                return Err(PyValueError::new_err(format!(
                    "token_counts[{index}]: must be at most max_len={max_len}, got {length}"
                )));
            }
            lengths.push(length);
        }
        let bins = watched(py, |watch| {
            let bins = solver::first_fit_decreasing(&lengths, max_len, watch)?;
            for (place, &member) in out.iter_mut().zip(&bins.members) {
                *place = (member as i64).to_ne_bytes();
            }
            Ok::<_, Error>(bins)
        })?;
        let ends = bins.map_err(|error| to_python(&error))?.ends;
        PyByteArray::new_with(py, ends.len() * 8, |bytes| {
            for (place, &end) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&ends) {
                *place = (end as i64).to_ne_bytes();
            }
            Ok(())
        })
    })
}

/// From elements back to bytes.
enum Inverse {
    /// Ascending values of a channel.
    Float32(std::boxed::Box<[[f32; 256]; 3]>),
    /// For each pattern of 16 bits the byte, or one above 255.
    Half([Vec<u16>; 3]),
    Bytes,
}

const NOTHING: u16 = 256;

impl Inverse {
    fn new(lut: &Lut) -> PyResult<Self> {
        let same = |channel: usize, byte: usize| {
            let name = lut.element.name();
            PyValueError::new_err(format!(
                "pixel_values: in {name} the bytes {byte} and {} of channel {channel} become the same value",
                byte + 1
            ))
        };
        match lut.element {
            Element::Uint8 => Ok(Self::Bytes),
            Element::Float32 => {
                for (channel, table) in lut.float32.iter().enumerate() {
                    if let Some(byte) = (0..255).find(|&byte| table[byte] >= table[byte + 1]) {
                        return Err(same(channel, byte));
                    }
                }
                Ok(Self::Float32(std::boxed::Box::new(lut.float32)))
            }
            Element::Float16 | Element::Bfloat16 => {
                let mut inverse = [const { Vec::new() }; 3];
                for (channel, table) in lut.half.iter().enumerate() {
                    inverse[channel] =
                        filled(NOTHING, 1 << 16).map_err(|error| to_python(&error))?;
                    for (byte, &bits) in table.iter().enumerate() {
                        let place = &mut inverse[channel][usize::from(bits)];
                        if *place != NOTHING {
                            return Err(same(channel, byte - 1));
                        }
                        *place = byte as u16;
                    }
                }
                Ok(Self::Half(inverse))
            }
        }
    }
}

/// The byte of a value in an ascending table: nearly linear, so that a guess is at most one off.
fn byte_of(table: &[f32; 256], value: f32) -> Option<u8> {
    let step = (table[255] - table[0]) / 255.0;
    let guess = ((value - table[0]) / step + 0.5).clamp(0.0, 255.0) as usize;
    let near = guess.saturating_sub(1)..=(guess + 1).min(255);
    near.into_iter().find(|&byte| table[byte].to_bits() == value.to_bits()).map(|byte| byte as u8)
}

/// Values between two looks at the watch.
const WATCH_EVERY: usize = 1 << 16;

/// Turns values into bytes; the number of the first value that no byte becomes otherwise.
fn bytes<T: Copy>(
    values: &[T],
    run: usize,
    byte: impl Fn(usize, T) -> Option<u8>,
    out: &mut [u8],
    watch: &Watch<'_>,
) -> Result<Option<usize>> {
    let run = run.max(1);
    let runs = values.chunks(run).zip(out.chunks_mut(run)).enumerate();
    for (number, (values, out)) in runs {
        let parts = values.chunks(WATCH_EVERY).zip(out.chunks_mut(WATCH_EVERY));
        for (part, (values, out)) in parts.enumerate() {
            if number.is_multiple_of(1 << 8) || part > 0 {
                watch.check()?;
            }
            for (place, (&value, out)) in values.iter().zip(out).enumerate() {
                match byte(number % 3, value) {
                    Some(byte) => *out = byte,
                    None => return Ok(Some(number * run + part * WATCH_EVERY + place)),
                }
            }
        }
    }
    Ok(None)
}

/// Fills `out` with the bytes of an output's elements, in their order; `first` is the number of the first of them in
/// errors, at which a row of the output begins.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the whole of one part of a call of the facade")]
pub(super) fn unpack(
    py: Python<'_>,
    plan: &Bound<'_, PyPlan>,
    key: &str,
    values: &Bound<'_, PyAny>,
    dtype: &str,
    copies: usize,
    first: usize,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    super::error::guard(|| {
        let plan = plan.get();
        let Some(number) = plan.plan.outputs.iter().position(|output| output.key == key) else {
            return Err(PyValueError::new_err("key: is no array of pixels of this plan"));
        };
        let element = Element::parse(dtype).map_err(|error| to_python(&error))?;
        let lut = Lut::new(&Normalise::of(&plan.spec)[number], element);
        let row = row_shape(plan.plan.outputs[number].cut, copies, true);
        let run = row.iter().product::<usize>() / 3;
        let target = |len: usize| OutBuffer::get(out, "out", len);
        let found = match Inverse::new(&lut)? {
            Inverse::Bytes => {
                let values = copied(py, "pixel_values", &PyBuffer::<u8>::get(values)?)?;
                target(values.len())?.bytes().copy_from_slice(&values);
                Ok(None)
            }
            Inverse::Float32(tables) => {
                let values = copied(py, "pixel_values", &PyBuffer::<f32>::get(values)?)?;
                let mut out = target(values.len())?;
                let out = out.bytes();
                let byte = |channel: usize, value| byte_of(&tables[channel], value);
                watched(py, |watch| bytes(&values, run, byte, out, watch))?
            }
            Inverse::Half(tables) => {
                let values = copied(py, "pixel_values", &PyBuffer::<u16>::get(values)?)?;
                let mut out = target(values.len())?;
                let out = out.bytes();
                let byte = |channel: usize, value: u16| {
                    u8::try_from(tables[channel][usize::from(value)]).ok()
                };
                watched(py, |watch| bytes(&values, run, byte, out, watch))?
            }
        };
        match found.map_err(|error| to_python(&error))? {
            None => Ok(()),
            Some(index) => Err(PyValueError::new_err(format!(
                "{key}: value {} is none that a byte becomes with the plan's mean and deviation",
                first + index
            ))),
        }
    })
}

/// Fills a picture (height, width, 3) with the bytes of patches in blocks of `merge` x `merge`, each patch (channel, time,
/// row, column) with `copies` equal times.
#[pyfunction]
pub(super) fn assemble(
    py: Python<'_>,
    patches: &Bound<'_, PyAny>,
    image: &Bound<'_, PyAny>,
    grid: Size,
    merge: usize,
    patch: Size,
    copies: usize,
) -> PyResult<()> {
    super::error::guard(|| {
        let plane = patch.0 * patch.1;
        let len = grid.0 * grid.1 * 3 * plane;
        let mut patches = OutBuffer::get(patches, "pixel_values", len * copies)?;
        let mut image = OutBuffer::get(image, "image", len)?;
        if len == 0 {
            return Ok(());
        }
        let (patches, image) = (&*patches.bytes(), image.bytes());
        let columns = grid.1 / merge;
        let same = watched(py, |watch| {
            for (number, values) in patches.chunks_exact(3 * copies * plane).enumerate() {
                if number.is_multiple_of(64) {
                    watch.check()?;
                }
                let (block, place) = (number / (merge * merge), number % (merge * merge));
                let row = block / columns * merge + place / merge;
                let column = block % columns * merge + place % merge;
                for (channel, times) in values.chunks_exact(copies * plane).enumerate() {
                    let (one, others) = times.split_at(plane);
                    if others.chunks_exact(plane).any(|other| other != one) {
                        return Ok(false);
                    }
                    for (y, line) in one.chunks_exact(patch.1).enumerate() {
                        let start = (row * patch.0 + y) * grid.1 + column;
                        let target = image[start * patch.1 * 3..].chunks_exact_mut(3);
                        for (pixel, &byte) in target.zip(line) {
                            pixel[channel] = byte;
                        }
                    }
                }
            }
            Ok(true)
        })?;
        if same.map_err(|error: Error| to_python(&error))? {
            return Ok(());
        }
        let rule = "pixel_values: a patch of a still image must hold equal copies over time";
        Err(PyValueError::new_err(rule))
    })
}
