//! Many numbers at once: token counts, budgets, packing, and tensors back to bytes.
//!
//! Numbers are copied out of Python's buffers, so that the work runs on memory of our own without the interpreter; the
//! facade passes long arrays in chunks and answers signals between them.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList};

use super::error::to_python;
use super::plan::{PyPlan, row_shape};
use super::processor::PySpec;
use super::value;
use crate::error::Size;
use crate::pack::{Element, Lut, Normalise};
use crate::plan::count_tokens;
use crate::solver::{self, At, Target};

/// The error of one of the sizes, by its number.
fn at(py: Python<'_>, failure: &At) -> PyErr {
    let error = to_python(&failure.error);
    let text = error.value(py).to_string();
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

/// Pairs of sides, checked; `first` is the number of the first of them in errors.
fn sizes_of(py: Python<'_>, sizes: &Bound<'_, PyAny>, first: usize) -> PyResult<Vec<Size>> {
    let numbers = integers("sizes", sizes)?.to_vec(py)?;
    let pairs = numbers.as_chunks::<2>().0;
    let sizes: Vec<Size> =
        pairs.iter().map(|&[height, width]| (side(height), side(width))).collect();
    match sizes.iter().position(|size| size.0 == 0 || size.1 == 0) {
        Some(index) => Err(out_of_range(first + index, pairs[index][0], pairs[index][1])),
        None => Ok(sizes),
    }
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
        let numbers = integers("sizes", sizes)?.to_vec(py)?;
        let pairs = numbers.as_chunks::<2>().0;
        let spec = &spec.get().spec;
        let counts = py.detach(|| {
            let mut counts: Vec<[u8; 8]> = Vec::with_capacity(pairs.len());
            for (index, &[height, width]) in pairs.iter().enumerate() {
                match count_tokens(spec, (side(height), side(width)), num_images) {
                    Ok(tokens) => counts.push((tokens as i64).to_ne_bytes()),
                    Err(error) => return Err(At { index, error }),
                }
            }
            Ok(counts)
        });
        match counts {
            Ok(counts) => Ok(PyByteArray::new(py, counts.as_flattened())),
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
        let found = py.detach(|| solver::fit(spec, &sizes, num_images, target));
        let Some(settings) = found.map_err(|failure| at(py, &failure))? else { return Ok(None) };
        let options = PyDict::new(py);
        for (name, setting) in settings {
            options.set_item(name, value::to_object(py, &setting)?)?;
        }
        Ok(Some(options))
    })
}

/// First-fit decreasing: the numbers of the items of each bin.
#[pyfunction]
pub(super) fn pack<'py>(
    py: Python<'py>,
    token_counts: &Bound<'py, PyAny>,
    max_len: u64,
) -> PyResult<Bound<'py, PyList>> {
    super::error::guard(|| {
        let counts = integers("token_counts", token_counts)?.to_vec(py)?;
        let mut lengths = Vec::with_capacity(counts.len());
        for (index, &count) in counts.iter().enumerate() {
            lengths.push(u64::try_from(count).map_err(|_| {
                PyValueError::new_err(format!(
                    "token_counts[{index}]: must not be negative, got {count}"
                ))
            })?);
        }
        let bins =
            py.detach(|| solver::first_fit_decreasing(&lengths, max_len)).map_err(|index| {
                let length = lengths[index];
                PyValueError::new_err(format!(
                    "token_counts[{index}]: must be at most max_len={max_len}, got {length}"
                ))
            })?;
        PyList::new(py, bins)
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
                    inverse[channel] = vec![NOTHING; 1 << 16];
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

/// Turns values into bytes; the number of the first value that no byte becomes otherwise.
fn bytes<T: Copy + Sync>(
    values: &[T],
    run: usize,
    byte: impl Fn(usize, T) -> Option<u8>,
) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(values.len());
    for (number, chunk) in values.chunks(run.max(1)).enumerate() {
        for &value in chunk {
            match byte(number % 3, value) {
                Some(byte) => out.push(byte),
                None => return Err(out.len()),
            }
        }
    }
    Ok(out)
}

/// The bytes of an output's elements, in their order.
#[pyfunction]
pub(super) fn unpack<'py>(
    py: Python<'py>,
    plan: &Bound<'py, PyPlan>,
    key: &str,
    values: &Bound<'py, PyAny>,
    dtype: &str,
    copies: usize,
) -> PyResult<Bound<'py, PyByteArray>> {
    super::error::guard(|| {
        let plan = plan.get();
        let Some(number) = plan.plan.outputs.iter().position(|output| output.key == key) else {
            return Err(PyValueError::new_err("key: is no array of pixels of this plan"));
        };
        let element = Element::parse(dtype).map_err(|error| to_python(&error))?;
        let lut = Lut::new(&Normalise::of(&plan.spec)[number], element);
        let row = row_shape(plan.plan.outputs[number].cut, copies);
        let run = row.iter().product::<usize>() / 3;
        let found = match Inverse::new(&lut)? {
            Inverse::Bytes => Ok(PyBuffer::<u8>::get(values)?.to_vec(py)?),
            Inverse::Float32(tables) => {
                let values = PyBuffer::<f32>::get(values)?.to_vec(py)?;
                py.detach(|| bytes(&values, run, |channel, value| byte_of(&tables[channel], value)))
            }
            Inverse::Half(tables) => {
                let values = PyBuffer::<u16>::get(values)?.to_vec(py)?;
                py.detach(|| {
                    bytes(&values, run, |channel, value| {
                        u8::try_from(tables[channel][usize::from(value)]).ok()
                    })
                })
            }
        };
        match found {
            Ok(found) => Ok(PyByteArray::new(py, &found)),
            Err(index) => Err(PyValueError::new_err(format!(
                "{key}: value {index} is none that a byte becomes with the plan's mean and deviation"
            ))),
        }
    })
}
