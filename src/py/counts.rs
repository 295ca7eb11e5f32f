//! Many numbers at once: token counts, budgets, packing, and tensors back to bytes.
//!
//! Numbers are copied out of Python's buffers, so that the work runs on memory of our own without the interpreter.
//! Signals are answered on the way.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyDict, PyList, PyTuple};

use super::arguments::below;
use super::array::{OutBuffer, append, copied};
use super::calls::watched;
use super::error::to_python;
use super::numbers;
use super::plan::PyPlan;
use super::processor::PySpec;
use super::value;
use super::vocabulary::{is_number, kind_of, type_error};
use crate::error::{Error, Result, Size, filled, reserved};
use crate::pack::{Element, Lut, Normalise};
use crate::parallel::Watch;
use crate::plan::{count_tokens, row_shape};
use crate::sizing::is_across;
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

/// Sizes looked at between two looks at signals.
const CHUNK: usize = 1 << 18;

/// Pairs of sides, checked.
fn sizes_of(py: Python<'_>, sizes: &PyBuffer<i64>) -> PyResult<Vec<Size>> {
    let numbers = copied(py, "sizes", sizes)?;
    let pairs = numbers.as_chunks::<2>().0;
    let mut sizes: Vec<Size> = reserved(pairs.len()).map_err(|error| to_python(&error))?;
    for (number, chunk) in pairs.chunks(CHUNK).enumerate() {
        for (place, &[height, width]) in chunk.iter().enumerate() {
            let size = (side(height), side(width));
            if size.0 == 0 || size.1 == 0 {
                return Err(out_of_range(number * CHUNK + place, height, width));
            }
            sizes.push(size);
        }
        py.check_signals()?;
    }
    Ok(sizes)
}

/// Tokens of each size, an array of int64. `sizes`: (n, 2) integers of any kind.
#[pyfunction]
#[pyo3(signature = (spec, sizes, num_images=1))]
pub(super) fn num_tokens<'py>(
    py: Python<'py>,
    spec: &Bound<'py, PySpec>,
    sizes: &Bound<'py, PyAny>,
    num_images: usize,
) -> PyResult<Bound<'py, PyAny>> {
    super::error::guard(|| {
        let sizes = numbers::sizes(sizes)?;
        let len = sizes.item_count() / 2;
        let bytes = PyByteArray::new_with(py, len * 8, |bytes| {
            counted(py, spec.get(), &sizes, num_images, bytes)
        })?;
        numbers::of_bytes(len, "int64", bytes)
    })
}

/// Fills `out` with the bits of an int64 a size, each turned to the page that the family's images are turned to.
fn counted(
    py: Python<'_>,
    spec: &PySpec,
    sizes: &PyBuffer<i64>,
    num_images: usize,
    out: &mut [u8],
) -> PyResult<()> {
    let (spec, page) = (&*spec.spec, spec.page());
    let mut numbers = Vec::new();
    for (number, out) in out.chunks_mut(numbers::CHUNK * 8).enumerate() {
        let (first, count) = (number * numbers::CHUNK, out.len() / 8);
        numbers.clear();
        append("sizes", sizes, first * 2..(first + count) * 2, &mut numbers)?;
        let pairs = numbers.as_chunks_mut::<2>().0;
        if let Some(page) = page {
            let across = pairs.iter_mut().filter(|pair| is_across((pair[0], pair[1]), page));
            across.for_each(|pair| pair.swap(0, 1));
        }
        let failed = watched(py, |watch| {
            let counts = out.as_chunks_mut::<8>().0;
            for (index, (&[height, width], count)) in pairs.iter().zip(counts).enumerate() {
                if index.is_multiple_of(SIZES) {
                    watch.check().map_err(|error| At { index, error })?;
                }
                match count_tokens(spec, (side(height), side(width)), num_images) {
                    Ok(tokens) => *count = (tokens as i64).to_ne_bytes(),
                    Err(error) => return Err(At { index, error }),
                }
            }
            Ok(())
        })?;
        if let Err(At { index, error }) = failed {
            let [height, width] = pairs[index];
            let index = first + index;
            if side(height) == 0 || side(width) == 0 {
                return Err(out_of_range(index, height, width));
            }
            return Err(at(py, &At { index, error }));
        }
        py.check_signals()?;
    }
    Ok(())
}

/// Sizes of a chunk between two looks at the watch.
const SIZES: usize = 1 << 12;

/// The options to change so that the images meet the one budget that is given: see `Processor.fit`.
#[pyfunction]
pub(super) fn fit<'py>(
    py: Python<'py>,
    spec: &Bound<'py, PySpec>,
    sizes: &Bound<'py, PyAny>,
    tokens_per_image: Option<&Bound<'py, PyAny>>,
    total_tokens: Option<&Bound<'py, PyAny>>,
    quantile: Option<&Bound<'py, PyAny>>,
    num_images: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    super::error::guard(|| {
        let sizes = numbers::sizes(sizes)?;
        let count = sizes.item_count() / 2;
        let (name, target) = budget(py, count, tokens_per_image, total_tokens, quantile)?;
        let num_images = below("num_images", num_images, 1, 31)? as usize;
        let sizes = sizes_of(py, &sizes)?;
        let spec = &spec.get().spec;
        let found = watched(py, |watch| solver::fit(spec, &sizes, num_images, target, watch))?;
        let Some(settings) = found.map_err(|failure| at(py, &failure))? else {
            let (Target::Total(tokens) | Target::Each { tokens, .. }) = target;
            return Err(PyValueError::new_err(format!(
                "{name}: must be more, no setting of this processor meets {tokens}"
            )));
        };
        let options = PyDict::new(py);
        for (name, setting) in settings {
            options.set_item(name, value::to_object(py, &setting)?)?;
        }
        Ok(options)
    })
}

/// The one budget of tokens that is given for `count` images, and the name of its argument.
fn budget<'py>(
    py: Python<'py>,
    count: usize,
    tokens_per_image: Option<&Bound<'py, PyAny>>,
    total_tokens: Option<&Bound<'py, PyAny>>,
    quantile: Option<&Bound<'py, PyAny>>,
) -> PyResult<(&'static str, Target)> {
    let is_pair =
        |it: &&Bound<'_, PyAny>| it.is_instance_of::<PyTuple>() || it.is_instance_of::<PyList>();
    let (name, given, share) = match (tokens_per_image, total_tokens, quantile) {
        (None, Some(total), None) => ("total_tokens", total.clone(), None),
        (Some(each), None, share) if !share.as_ref().is_some_and(is_pair) => {
            ("tokens_per_image", each.clone(), share.cloned())
        }
        (None, None, Some(pair)) if is_pair(&pair) => {
            if pair.len()? != 2 {
                return Err(PyValueError::new_err("quantile: must be (q, tokens)"));
            }
            ("quantile", pair.get_item(1)?, Some(pair.get_item(0)?))
        }
        _ => {
            return Err(PyValueError::new_err(
                "tokens_per_image, total_tokens, quantile: exactly one budget must be given",
            ));
        }
    };
    let tokens = below(name, &given, 0, 63)?;
    if total_tokens.is_some() {
        return Ok((name, Target::Total(tokens)));
    }
    let needed = match share {
        None => count as u64,
        Some(share) => needed(py, count, &share)?,
    };
    Ok((name, Target::Each { tokens, except: count as u64 - needed }))
}

/// The least number of `count` images that is this share of them. The share is the decimal that it prints as.
fn needed(py: Python<'_>, count: usize, share: &Bound<'_, PyAny>) -> PyResult<u64> {
    if share.is_instance_of::<PyBool>() || !is_number(share)? {
        return Err(type_error(format!("quantile: must be a number, got {}", kind_of(share)?)));
    }
    if !(share.gt(0)? && share.le(1)?) {
        return Err(PyValueError::new_err(format!(
            "quantile: must be above 0 and at most 1, got {}",
            share.str()?
        )));
    }
    let fraction = py.import(intern!(py, "fractions"))?.getattr("Fraction")?;
    let needed = fraction.call1((share.str()?,))?.mul(count)?;
    py.import(intern!(py, "math"))?.call_method1(intern!(py, "ceil"), (needed,))?.extract()
}

/// First-fit decreasing: of every bin the numbers of its sequences, int64, and their offsets in it, int32. `token_counts`:
/// (n,) integers of any kind.
#[pyfunction]
pub(super) fn pack<'py>(
    py: Python<'py>,
    token_counts: &Bound<'py, PyAny>,
    max_len: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    super::error::guard(|| {
        let (members, offsets) = (PyList::empty(py), PyList::empty(py));
        let Some(counts) = numbers::lengths("token_counts", token_counts)? else {
            return Ok((members, offsets));
        };
        let most = below("max_len", max_len, 1, 31)?;
        let lengths = lengths_of(&copied(py, "token_counts", &counts)?, most)?;
        let bins = watched(py, |watch| solver::first_fit_decreasing(&lengths, most, watch))?;
        let bins = bins.map_err(|error| to_python(&error))?;
        let mut start = 0;
        for (number, &end) in bins.ends.iter().enumerate() {
            if number.is_multiple_of(BINS) {
                py.check_signals()?;
            }
            let bin = &bins.members[start..end];
            let places = bin.iter().map(|&member| (member as i64).to_ne_bytes());
            members.append(numbers::array(py, "int64", places)?)?;
            let mut sums: Vec<[u8; 4]> =
                reserved(bin.len() + 1).map_err(|error| to_python(&error))?;
            let mut sum = 0_u64;
            sums.push((sum as i32).to_ne_bytes());
            for &member in bin {
                sum += lengths[member];
                sums.push((sum as i32).to_ne_bytes());
            }
            offsets.append(numbers::array(py, "int32", sums.into_iter())?)?;
            start = end;
        }
        Ok((members, offsets))
    })
}

/// Bins between two looks at signals.
const BINS: usize = 1 << 10;

/// Lengths of sequences, of which none is longer than a bin.
fn lengths_of(counts: &[i64], max_len: u64) -> PyResult<Vec<u64>> {
    let mut lengths = reserved(counts.len()).map_err(|error| to_python(&error))?;
    for (index, &count) in counts.iter().enumerate() {
        let Ok(length) = u64::try_from(count) else {
            let rule = format!("token_counts[{index}]: must not be negative, got {count}");
            return Err(PyValueError::new_err(rule));
        };
        if length > max_len {
            return Err(PyValueError::new_err(format!(
                "token_counts[{index}]: must be at most max_len={max_len}, got {length}"
            )));
        }
        lengths.push(length);
    }
    Ok(lengths)
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
