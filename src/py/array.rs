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

use pyo3::buffer::{Element, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

use super::error::to_python;
use crate::error::{Error, reserved};
use crate::image::ImageRef;
use crate::kept::Owned;
use crate::memory::fallible;

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
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err(format!("{name}: must be C-contiguous")));
    }
    let len = buffer.item_count();
    let mut numbers: Vec<T> = reserved(len).map_err(|error| to_python(&error))?;
    let source = buffer.buf_ptr().cast::<T>();
    for start in (0..len).step_by(CHUNK) {
        let count = CHUNK.min(len - start);
        // SAFETY: `source` is `len` numbers of `T`, held by `buffer`, and `numbers` has room for as many of its own.
        // Whatever another thread stores there meanwhile, every pattern of bits is a number of `T`.
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one copy")]
        unsafe {
            std::ptr::copy_nonoverlapping(
                source.add(start),
                numbers.as_mut_ptr().add(start),
                count,
            );
            numbers.set_len(start + count);
        }
        py.check_signals()?;
    }
    Ok(numbers)
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
