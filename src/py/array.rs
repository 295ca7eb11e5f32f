//! The only door for buffers: memory of Python objects becomes checked views here.
//!
//! Safety, in full. A buffer is requested with its shape and strides, which are copied and checked once: the
//! element is one byte, the rank is three, and the exporter vouches for every address that shape and strides
//! reach. The `Py_buffer` is held until the view is dropped, so the memory cannot be freed or resized by anyone who
//! respects the protocol. Inputs may be written by others meanwhile: they are read through [`crate::image::Row`] only.
//! Outputs are writeable and C-contiguous and become `&mut [u8]`; [`disjoint`] refuses an output that shares an
//! address with an input or with another output, and [`claim`] one that another call is writing to, so no two of these
//! slices alias.
//!
//! Outputs that we make lie in blocks of our own ([`Block`]): what refers to one keeps the object alive, and the object
//! owns the memory.

#![expect(unsafe_code, reason = "turns checked Python buffers into slices and views")]

use half::f16;
use pyo3::buffer::{Element, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::error::to_python;
use crate::error::{Error, Result, reserved};
use crate::image::ImageRef;
use crate::kept::Owned;
use crate::memory::fallible;
use crate::parallel::Watch;

/// An image in a Python buffer of uint8 (height, width, 3 or 4).
pub(super) struct ImageBuffer {
    buffer: PyUntypedBuffer,
    shape: [usize; 3],
    strides: [isize; 3],
    address: usize,
}

impl ImageBuffer {
    pub(super) fn get(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if !matches!(buffer.format().to_bytes(), b"B" | b"=B" | b"<B" | b">B" | b"@B") {
            return Err(PyTypeError::new_err("image: dtype must be uint8"));
        }
        let (&[height, width, pixel], &[row, column, channel]) = (buffer.shape(), buffer.strides())
        else {
            let rank = buffer.dimensions();
            return Err(PyValueError::new_err(format!(
                "image: shape must be (height, width, 3 or 4), got {rank} dimensions"
            )));
        };
        if pixel != 3 && pixel != 4 {
            return Err(PyValueError::new_err(format!(
                "image: shape must be (height, width, 3 or 4), got ({height}, {width}, {pixel})"
            )));
        }
        if buffer.suboffsets().is_some() {
            return Err(PyValueError::new_err("image: buffers with suboffsets are not supported"));
        }
        let address = buffer.buf_ptr() as usize;
        let strides = [row, column, channel];
        Ok(Self { buffer, shape: [height, width, pixel], strides, address })
    }

    pub(super) const fn size(&self) -> (usize, usize) {
        (self.shape[0], self.shape[1])
    }

    pub(super) const fn pixel(&self) -> usize {
        self.shape[2]
    }

    pub(super) fn view(&self) -> ImageRef<'_> {
        let [height, width, pixel] = self.shape;
        // SAFETY: the exporter vouches for the shape and strides it gave, and `self.buffer` holds it for as long as
        // the view lives.
        unsafe { ImageRef::new(self.buffer.buf_ptr().cast(), height, width, pixel, self.strides) }
    }

    /// First address and one past the last.
    pub(super) fn extent(&self) -> (usize, usize) {
        let (mut low, mut high) = (self.address, self.address + 1);
        for (&len, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = (len.max(1) - 1) * stride.unsigned_abs();
            if stride < 0 { low -= reach } else { high += reach }
        }
        (low, high)
    }
}

/// Numbers of a floating-point buffer of two or three axes.
pub(super) struct FloatBuffer {
    buffer: PyUntypedBuffer,
    kind: u8,
    shape: [usize; 3],
    strides: [isize; 3],
}

impl FloatBuffer {
    pub(super) fn get(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        let (&[kind @ (b'e' | b'f' | b'd')] | &[b'@' | b'=' | b'^', kind @ (b'e' | b'f' | b'd')]) =
            buffer.format().to_bytes()
        else {
            return Err(PyTypeError::new_err("image: dtype must be a float of 16, 32 or 64 bits"));
        };
        let (shape, strides) = match (buffer.shape(), buffer.strides()) {
            (&[height, width], &[row, column]) => ([1, height, width], [0, row, column]),
            (shape, strides) => match (shape.try_into(), strides.try_into()) {
                (Ok(shape), Ok(strides)) => (shape, strides),
                _ => return Err(PyValueError::new_err("image: must have 2 or 3 axes")),
            },
        };
        if buffer.suboffsets().is_some() {
            return Err(PyValueError::new_err("image: buffers with suboffsets are not supported"));
        }
        Ok(Self { buffer, kind, shape, strides })
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Fills `out`, of as many bytes, with the numbers; false where one is no integer in 0..=255.
    pub(super) fn to_bytes(&self, out: &mut [u8], watch: &Watch<'_>) -> Result<bool> {
        match self.kind {
            b'e' => self.fill(out, watch, |bits: u16| whole(f16::from_bits(bits).to_f64())),
            b'f' => self.fill(out, watch, |number: f32| whole(number.into())),
            _ => self.fill(out, watch, whole),
        }
    }

    /// `T` is of the buffer's kind.
    fn fill<T: Copy>(
        &self,
        out: &mut [u8],
        watch: &Watch<'_>,
        byte: impl Fn(T) -> Option<u8>,
    ) -> Result<bool> {
        let start: *const u8 = self.buffer.buf_ptr().cast();
        let [_, rows, columns] = self.shape;
        let lines = out.chunks_exact_mut(columns.max(1));
        for (line, out) in lines.enumerate() {
            let (plane, row) = (line / rows, line % rows);
            let line = plane as isize * self.strides[0] + row as isize * self.strides[1];
            for (x, target) in out.iter_mut().enumerate() {
                if x.is_multiple_of(CHUNK) {
                    watch.check()?;
                }
                // SAFETY: the place is within the shape that the exporter vouches for, whose numbers are of this kind.
                let place = unsafe { start.offset(line + x as isize * self.strides[2]) };
                // SAFETY: as above; every pattern of bits is a number.
                let number = unsafe { place.cast::<T>().read_unaligned() };
                let Some(byte) = byte(number) else { return Ok(false) };
                *target = byte;
            }
        }
        Ok(true)
    }
}

/// The byte that a number is.
#[expect(clippy::float_cmp, reason = "no other number is meant")]
fn whole(number: f64) -> Option<u8> {
    let byte = number as u8;
    (f64::from(byte) == number).then_some(byte)
}

/// A writeable, C-contiguous Python buffer, as bytes.
pub(super) struct OutBuffer {
    buffer: PyUntypedBuffer,
    address: usize,
}

impl OutBuffer {
    /// `name` is the argument it came in; `bytes` its expected length.
    pub(super) fn get(object: &Bound<'_, PyAny>, name: &str, bytes: usize) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if buffer.readonly() {
            return Err(PyValueError::new_err(format!("{name}: must be writeable")));
        }
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err(format!("{name}: must be C-contiguous")));
        }
        let len = buffer.len_bytes();
        if len != bytes {
            return Err(PyValueError::new_err(format!(
                "{name}: must have {bytes} bytes, got {len}"
            )));
        }
        let address = buffer.buf_ptr() as usize;
        Ok(Self { buffer, address })
    }

    /// A buffer of bytes in this shape, if it is one.
    pub(super) fn shaped(object: &Bound<'_, PyAny>, shape: [usize; 3]) -> Option<Self> {
        let out = Self::get(object, "out", shape.iter().product()).ok()?;
        let bytes = matches!(out.buffer.format().to_bytes(), b"B");
        (bytes && out.buffer.shape() == shape).then_some(out)
    }

    pub(super) fn extent(&self) -> (usize, usize) {
        (self.address, self.address + self.buffer.len_bytes())
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        let len = self.buffer.len_bytes();
        if len == 0 {
            return &mut [];
        }
        // SAFETY: writeable, contiguous, `len` bytes long, held by `self.buffer`, and checked by `disjoint` to share
        // no byte with any other view of this call.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.buf_ptr().cast(), len) }
    }
}

/// A block of memory as a Python object: writeable bytes. Arrays in it refer to it, and with the last of them it goes.
#[pyclass(name = "Block", module = "dynres_rs._dynres_rs", frozen)]
pub(super) struct Block(pub(super) Owned);

#[pymethods]
impl Block {
    #[expect(clippy::needless_pass_by_value, reason = "the protocol has it so")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let owned = &slf.get().0;
        let len = isize::try_from(owned.len()).unwrap_or(isize::MAX);
        // SAFETY: the interpreter passes a `Py_buffer` to fill in. The block has so many bytes, at this address for as
        // long as the object lives, to which the view refers.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), owned.pointer().cast(), len, 0, flags)
        };
        if failed == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    /// Its bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.0.len()
    }
}

/// Numbers copied between two looks at signals.
const CHUNK: usize = 1 << 18;

/// The numbers of a C-contiguous buffer; `name` is the argument it came in.
pub(super) fn copied<T: Element>(
    py: Python<'_>,
    name: &str,
    buffer: &PyBuffer<T>,
) -> PyResult<Vec<T>> {
    let len = buffer.item_count();
    let mut numbers: Vec<T> = reserved(len).map_err(|error| to_python(&error))?;
    for start in (0..len).step_by(CHUNK) {
        append(name, buffer, start..len.min(start + CHUNK), &mut numbers)?;
        py.check_signals()?;
    }
    Ok(numbers)
}

/// Appends a part of the numbers of a C-contiguous buffer; `name` is the argument it came in.
pub(super) fn append<T: Element>(
    name: &str,
    buffer: &PyBuffer<T>,
    part: Range<usize>,
    numbers: &mut Vec<T>,
) -> PyResult<()> {
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err(format!("{name}: must be C-contiguous")));
    }
    let (start, end) = (part.start.min(buffer.item_count()), part.end.min(buffer.item_count()));
    let (len, count) = (numbers.len(), end.saturating_sub(start));
    let bytes = count.saturating_mul(size_of::<T>());
    let room = fallible(|| numbers.try_reserve(count));
    room.map_err(|_| to_python(&Error::OutOfMemory { bytes }))?;
    let source = buffer.buf_ptr().cast::<T>();
    // SAFETY: `source` is `item_count` numbers of `T`, held by `buffer`, of which the part is within, and `numbers` has room
    // for as many of its own. Whatever another thread stores there meanwhile, every pattern of bits is a number of `T`.
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one copy")]
    unsafe {
        std::ptr::copy_nonoverlapping(source.add(start), numbers.as_mut_ptr().add(len), count);
        numbers.set_len(len + count);
    }
    Ok(())
}

/// The memory that calls are writing to, as first addresses and ones past the last. Only who has the interpreter looks,
/// so that no fork finds it locked.
static CLAIMED: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Outputs that one call writes to.
pub(super) struct Claim(Vec<(usize, usize)>);

/// Claims the outputs of a call, unless another call is writing to one of them.
pub(super) fn claim(outs: Vec<(usize, usize)>) -> PyResult<Claim> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let overlaps = |a: &(usize, usize)| claimed.iter().any(|b| a.0 < b.1 && b.0 < a.1);
    if outs.iter().any(overlaps) {
        return Err(PyValueError::new_err("out: another call is writing to it"));
    }
    let bytes = outs.len() * size_of::<(usize, usize)>();
    let room = fallible(|| claimed.try_reserve(outs.len()));
    room.map_err(|_| to_python(&Error::OutOfMemory { bytes }))?;
    claimed.extend(&outs);
    Ok(Claim(outs))
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        for out in &self.0 {
            if let Some(place) = claimed.iter().position(|other| other == out) {
                claimed.swap_remove(place);
            }
        }
    }
}

/// In a forked child: the parent's other threads write nothing here.
pub(super) fn forget_claims() {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Refuses outputs that overlap an image or one another. Sorts them.
pub(super) fn disjoint(outs: &mut [(usize, usize)], images: &[(usize, usize)]) -> PyResult<()> {
    outs.sort_unstable();
    if outs.windows(2).any(|pair| pair[1].0 < pair[0].1) {
        return Err(PyValueError::new_err("out: arrays must not overlap each other"));
    }
    for image in images {
        // Of the outputs that begin before the image ends, the last one ends last.
        let before = outs.partition_point(|out| out.0 < image.1);
        if outs[..before].last().is_some_and(|out| image.0 < out.1) {
            return Err(PyValueError::new_err("out: must not overlap an image"));
        }
    }
    Ok(())
}
