//! PIL images in place: through their Arrow export where their memory is one block, else strip by strip.
//!
//! Pillow exports an RGB image as a list of four bytes a pixel, the fourth without meaning. Only the public Arrow C
//! data interface is read, never Pillow's own structs. The capsules are held for as long as the pixels are read.

#![expect(unsafe_code, reason = "reads the two structs of the Arrow C data interface")]

use pyo3::exceptions::{PyException, PyMemoryError, PySystemError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCapsule, PyDict, PyTuple};
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, PoisonError};

use super::error::to_python;
use crate::error::{Error, Result, Size};
use crate::image::ImageRef;
use crate::pipeline::{Rows, Source, Window};

/// `struct ArrowSchema`, up to the fields that are read.
#[repr(C)]
struct ArrowSchema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut ArrowSchema,
    dictionary: *mut ArrowSchema,
    /// Null once the struct is released, and its pointers with it.
    release: *const c_void,
}

/// `struct ArrowArray`, up to the fields that are read.
#[repr(C)]
struct ArrowArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut ArrowArray,
    dictionary: *mut ArrowArray,
    /// Null once the struct is released, and its pointers with it.
    release: *const c_void,
}

/// Pixels of four bytes that an exporter keeps alive.
struct Export {
    /// Both capsules; dropping the array's releases the memory.
    _capsules: Py<PyAny>,
    pixels: *const u8,
}

// SAFETY: the pixels are only read, and the capsules are only dropped, for which pyo3 takes the interpreter.
unsafe impl Send for Export {}
// SAFETY: as above.
unsafe impl Sync for Export {}

impl Export {
    /// The pixels of a PIL image of `size`, or none when it cannot be exported as one block of four bytes a pixel.
    fn get(image: &Bound<'_, PyAny>, size: Size) -> PyResult<Option<Self>> {
        let py = image.py();
        let exported = match image.call_method0(intern!(py, "__arrow_c_array__")) {
            Ok(exported) => exported,
            Err(error) if error.is_instance_of::<PyValueError>(py) => return Ok(None),
            // What Python says, with an address, where Pillow returns nothing for want of memory.
            Err(error) if error.is_instance_of::<PySystemError>(py) => {
                return Err(PyMemoryError::new_err("image: cannot allocate its Arrow export"));
            }
            Err(error) => return Err(error),
        };
        Self::of(exported.cast::<PyTuple>().map_err(PyErr::from)?, size)
    }

    /// The pixels behind the capsules of a schema and of an array.
    fn of(capsules: &Bound<'_, PyTuple>, size: Size) -> PyResult<Option<Self>> {
        let schema = capsules.get_item(0)?.cast_into::<PyCapsule>().map_err(PyErr::from)?;
        let array = capsules.get_item(1)?.cast_into::<PyCapsule>().map_err(PyErr::from)?;
        let schema = schema.pointer_checked(Some(c"arrow_schema"))?.cast::<ArrowSchema>();
        let array = array.pointer_checked(Some(c"arrow_array"))?.cast::<ArrowArray>();
        // SAFETY: the capsule's name says what it points to, and the tuple keeps it alive.
        let schema = unsafe { schema.as_ref() };
        // SAFETY: as above.
        let array = unsafe { array.as_ref() };
        // SAFETY: both are live structs of the interface.
        let pixels = unsafe { pixels(schema, array, size) };
        Ok(pixels.map(|pixels| Self { _capsules: capsules.clone().into_any().unbind(), pixels }))
    }

    fn view(&self, rows: usize, width: usize) -> ImageRef<'_> {
        let strides = [(width * 4) as isize, 4, 1];
        // SAFETY: `pixels` checked that there are four bytes for each of them, and `self._capsules` keeps them.
        unsafe { ImageRef::new(self.pixels, rows, width, 4, strides) }
    }
}

/// # Safety
/// Both must be live structs of the Arrow C data interface.
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one walk through one foreign struct")]
unsafe fn pixels(schema: &ArrowSchema, array: &ArrowArray, size: Size) -> Option<*const u8> {
    let count = i64::try_from(size.0.checked_mul(size.1)?).ok()?;
    if array.release.is_null() || schema.release.is_null() {
        return None;
    }
    if array.n_children != 1 || schema.n_children != 1 || array.length != count || array.offset != 0
    {
        return None;
    }
    // SAFETY: formats are terminated strings, and with one child the first pointer of each list is valid;
    // a child of primitive bytes has two buffers, of which the second holds them.
    unsafe {
        let child = (*array.children).as_ref()?;
        let child_schema = (*schema.children).as_ref()?;
        let is_four = CStr::from_ptr(schema.format) == c"+w:4";
        let is_bytes = CStr::from_ptr(child_schema.format) == c"C";
        let enough = child.offset == 0 && child.length >= count * 4 && child.n_buffers == 2;
        if !(is_four && is_bytes && enough) {
            return None;
        }
        let pixels = (*child.buffers.add(1)).cast::<u8>();
        (!pixels.is_null()).then_some(pixels)
    }
}

/// A PIL image of mode RGB (or RGBX) with its pixels loaded.
pub(super) struct PilImage {
    image: Py<PyAny>,
    size: Size,
    export: Option<Export>,
    /// Whether this Pillow's Arrow export can be trusted (13 and later; some before it crash).
    arrow: bool,
    failure: Mutex<Option<PyErr>>,
}

impl PilImage {
    pub(super) fn get(image: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = image.py();
        let (width, height): (usize, usize) = image.getattr(intern!(py, "size"))?.extract()?;
        let size = (height, width);
        let arrow = trusts_arrow(py)?;
        let export = if arrow { Export::get(image, size)? } else { None };
        Ok(Self { image: image.clone().unbind(), size, export, arrow, failure: Mutex::new(None) })
    }

    /// An image of Pillow's own class, loaded as those are, whose RGB pixels are in one block and have no transparent
    /// colour; none for anything else. Asks the image's core, so that none of Pillow's Python runs.
    pub(super) fn plain(image: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = image.py();
        if !is_image(image)? || !trusts_arrow(py)? {
            return Ok(None);
        }
        let info = image.getattr(intern!(py, "info"))?;
        let core = image.getattr(intern!(py, "im"))?;
        let is_rgb = core.getattr(intern!(py, "mode"))?.eq(intern!(py, "RGB"))?;
        let keyed = info.cast::<PyDict>()?.contains(intern!(py, "transparency"))?;
        if !is_rgb || keyed {
            return Ok(None);
        }
        let (width, height): (usize, usize) = core.getattr(intern!(py, "size"))?.extract()?;
        let size = (height, width);
        let schema = core.call_method0(intern!(py, "__arrow_c_schema__"))?;
        let array = core.call_method0(intern!(py, "__arrow_c_array__"))?;
        let Some(export) = Export::of(&PyTuple::new(py, [schema, array])?, size)? else {
            return Ok(None);
        };
        let (image, failure) = (image.clone().unbind(), Mutex::new(None));
        Ok(Some(Self { image, size, export: Some(export), arrow: true, failure }))
    }

    /// The exception behind a failed window, once.
    pub(super) fn take_failure(&self) -> Option<PyErr> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The addresses of the pixels, where they are one block.
    pub(super) fn extent(&self) -> Option<(usize, usize)> {
        let start = self.export.as_ref()?.pixels as usize;
        Some((start, start + self.size.0 * self.size.1 * 4))
    }

    /// Rows `first .. first + count`: a strip that is exported in place, or as bytes.
    fn strip(&self, py: Python<'_>, first: usize, count: usize) -> PyResult<Strip> {
        let width = self.size.1;
        let cropped = self
            .image
            .bind(py)
            .call_method1(intern!(py, "crop"), ((0, first, width, first + count),))?;
        if self.arrow
            && let Some(export) = Export::get(&cropped, (count, width))?
        {
            return Ok(Strip::Export(export));
        }
        let mode = cropped.getattr(intern!(py, "mode"))?.extract::<String>()?;
        let bytes = cropped.call_method0(intern!(py, "tobytes"))?;
        let bytes = bytes.cast_into::<PyBytes>().map_err(PyErr::from)?;
        Ok(Strip::Bytes(bytes.unbind(), mode.len()))
    }
}

/// Whether the object is of Pillow's own class of images, which is asked only where somebody has imported it.
fn is_image(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    if CLASS.get(py).is_none() {
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        if !modules.contains(intern!(py, "PIL.Image"))? {
            return Ok(false);
        }
    }
    let class = CLASS.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("PIL.Image")?.getattr("Image")?.unbind())
    })?;
    Ok(object.get_type().is(class.bind(py)))
}

fn trusts_arrow(py: Python<'_>) -> PyResult<bool> {
    static MAJOR: PyOnceLock<usize> = PyOnceLock::new();
    let major = MAJOR.get_or_try_init(py, || {
        let version: String = py.import("PIL")?.getattr("__version__")?.extract()?;
        let major = version.split('.').next().and_then(|major| major.parse().ok());
        Ok::<usize, PyErr>(major.unwrap_or(0))
    })?;
    Ok(*major >= 13)
}

impl Source for PilImage {
    fn size(&self) -> Size {
        self.size
    }

    fn pixel(&self) -> usize {
        // Strips and whole exports have four bytes a pixel; only without Arrow are there three.
        if self.arrow { 4 } else { 3 }
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        Ok(match &self.export {
            Some(export) => Box::new(export.view(self.size.0, self.size.1)),
            None => Box::new(Strips { image: self, strip: None, packed: Vec::new() }),
        })
    }
}

enum Strip {
    Export(Export),
    Bytes(Py<PyBytes>, usize),
}

/// A reader that crops a strip at a time. The interpreter is only held for the crop.
struct Strips<'a> {
    image: &'a PilImage,
    strip: Option<Strip>,
    packed: Vec<u8>,
}

/// Rows of a strip: 64 to 128 cost least.
const STRIP_ROWS: usize = 128;
/// Pillow's arena blocks, within which a strip stays exportable.
const BLOCK: usize = 16 << 20;

impl Rows for Strips<'_> {
    fn window(&mut self, first: usize, wanted: usize) -> Result<Window<'_>> {
        let (height, width) = self.image.size;
        let within_block = (BLOCK / (width * 4)).max(8);
        let count = wanted.min(STRIP_ROWS).min(within_block).min(height - first);
        // None where the interpreter has ended, which a daemon thread may see.
        let strip = Python::try_attach(|py| {
            self.strip = None;
            self.image.strip(py, first, count).map_err(|error| {
                // Pillow's own text may hold an address; what is no error of the image's passes.
                let own = error.is_instance_of::<PyException>(py)
                    && !error.is_instance_of::<PyMemoryError>(py);
                let error = if own { to_python(&Error::Source) } else { error };
                *self.image.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Error::Source
            })
        });
        let strip = self.strip.insert(strip.ok_or(Error::Source)??);
        let image = match strip {
            Strip::Export(export) => export.view(count, width),
            Strip::Bytes(bytes, from) => {
                let pixel = self.image.pixel();
                let done = Python::try_attach(|py| {
                    repack(bytes.bind(py).as_bytes(), *from, pixel, &mut self.packed)
                });
                done.ok_or(Error::Source)??;
                ImageRef::packed(&self.packed, count, width, pixel)
            }
        };
        Ok(Window { first, image })
    }
}

/// Pixels of `from` bytes into pixels of `to` bytes.
fn repack(bytes: &[u8], from: usize, to: usize, packed: &mut Vec<u8>) -> Result<()> {
    let len = bytes.len() / from * to;
    if packed.len() < len {
        *packed = crate::error::zeroed(len)?;
    }
    for (source, target) in bytes.chunks_exact(from).zip(packed.chunks_exact_mut(to)) {
        let both = from.min(to);
        target[..both].copy_from_slice(&source[..both]);
    }
    Ok(())
}
