//! JPEG files: their headers, their pixels, and files that stand for images in a call.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::array::OutBuffer;
use super::arrow::PilImage;
use super::calls::watched;
use super::error::{guard, to_python};
use super::processor::simd;
use crate::error::{Error, Result, Size};
use crate::jpeg::{self, Decoder, Header, Pixel, Reject, Turn};
use crate::parallel::Watch;
use crate::pipeline::{Divided, Rows, Source};

/// Height, width, components, subsampling, progressive, orientation or None, work (blocks times scans), bytes of memory, and
/// whether Pillow is known to open it.
type HeaderTuple = (usize, usize, usize, &'static str, bool, Option<u8>, u64, u64, bool);

/// What the header of a JPEG file says; None where the file is left to Pillow. The first bytes of a file will do, if they go beyond
/// the header of the first scan; then the work of a file that is progressive is too small.
#[pyfunction]
pub(super) fn jpeg_header(data: &[u8]) -> PyResult<Option<HeaderTuple>> {
    guard(|| {
        let Ok(header) = jpeg::open(data) else { return Ok(None) };
        Ok(Some(facts(data, &header)))
    })
}

/// Blocks times scans of any JPEG, as libjpeg walks it; 0 where there is no frame or scan.
#[pyfunction]
pub(super) fn jpeg_work(data: &[u8]) -> PyResult<u64> {
    guard(|| Ok(jpeg::work(data)))
}

fn facts(data: &[u8], header: &Header) -> HeaderTuple {
    let (height, width) = header.size();
    (
        height,
        width,
        header.components().len(),
        header.subsampling(),
        header.is_progressive(),
        header.orientation(),
        header.blocks().saturating_mul(jpeg::scans(data, header)),
        header.memory(Turn::NONE, false),
        header.is_allowed(),
    )
}

/// The turn of an EXIF orientation.
fn turn(orientation: u8) -> PyResult<Turn> {
    Turn::new(orientation).ok_or_else(|| {
        PyValueError::new_err(format!("orientation: must be 1 to 8, got {orientation}"))
    })
}

/// Decodes a JPEG file into `out`, uint8 (height, width, 3) of the image turned by `orientation`, or (height, width) of a grey file
/// that is not turned. False: the file is left to Pillow, and what `out` holds has no meaning.
#[pyfunction]
#[pyo3(signature = (data, out, orientation=1))]
#[expect(clippy::needless_pass_by_value, reason = "arguments arrive owned")]
pub(super) fn jpeg_decode(
    py: Python<'_>,
    data: PyBackedBytes,
    out: &Bound<'_, PyAny>,
    orientation: u8,
) -> PyResult<bool> {
    guard(|| {
        let turn = turn(orientation)?;
        let Ok(header) = jpeg::open(&data) else { return Ok(false) };
        let (height, width) = turn.size(header.size());
        let len = out.len().unwrap_or(0);
        if len != height {
            return Err(PyValueError::new_err(format!("out: must have {height} rows, got {len}")));
        }
        let grey = header.components().len() == 1 && turn == Turn::NONE;
        let pixel = match OutBuffer::get(out, "out", height * width) {
            Ok(_) if grey => Pixel::Grey,
            _ => Pixel::Rgb,
        };
        let mut buffer = OutBuffer::get(out, "out", height * width * pixel.bytes())?;
        let (simd, bytes) = (simd(), buffer.bytes());
        let result = watched(py, |watch| {
            if turn == Turn::NONE {
                let stop = || watch.check().is_err();
                return jpeg::decode(&data, &header, simd, pixel, bytes, &stop);
            }
            Decoder::new(&data, &header, simd).turned(turn).copy_to(bytes, watch)
        })?;
        match result {
            Ok(()) => Ok(true),
            Err(Reject::Failed(error)) => Err(to_python(&error)),
            Err(Reject::Unsupported(_) | Reject::Anomaly(_)) => Ok(false),
        }
    })
}

/// Why a JPEG file is left to Pillow, in a few words; None where it is decoded here. Decodes it whole.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "arguments arrive owned")]
pub(super) fn jpeg_verdict(py: Python<'_>, data: PyBackedBytes) -> PyResult<Option<&'static str>> {
    guard(|| {
        let simd = simd();
        let result = watched(py, |watch| {
            let header = jpeg::open(&data)?;
            let (height, width) = header.size();
            let mut out = crate::error::zeroed(height * width * 3)?;
            let stop = || watch.check().is_err();
            jpeg::decode(&data, &header, simd, Pixel::Rgb, &mut out, &stop)
        })?;
        match result {
            Ok(()) => Ok(None),
            Err(Reject::Failed(error)) => Err(to_python(&error)),
            Err(Reject::Unsupported(why) | Reject::Anomaly(why)) => Ok(Some(why)),
        }
    })
}

/// A JPEG file that stands for an image in a call: `Jpeg(data, fallback, orientation=1)`, `data` its bytes. Its rows are decoded while
/// they are used, turned by the EXIF orientation.
/// Where the file turns out to be Pillow's after all, `fallback()` is called, which returns a PIL image of mode RGB and of
/// `size`, and the image is written again from its first row. What `fallback` raises is the image's error.
#[pyclass(module = "dynres_rs._dynres_rs", frozen)]
pub(super) struct Jpeg {
    data: PyBackedBytes,
    header: Header,
    fallback: Py<PyAny>,
    turn: Turn,
}

#[pymethods]
impl Jpeg {
    /// `ValueError` where the header already says that the file is Pillow's.
    #[new]
    #[pyo3(signature = (data, fallback, orientation=1))]
    fn new(data: PyBackedBytes, fallback: Py<PyAny>, orientation: u8) -> PyResult<Self> {
        guard(|| {
            let turn = turn(orientation)?;
            let header = jpeg::open(&data).map_err(|_| {
                PyValueError::new_err("data: must be a JPEG file that is decoded here")
            })?;
            Ok(Self { data, header, fallback, turn })
        })
    }

    /// What `jpeg_header` says of it.
    #[getter]
    fn header(&self) -> HeaderTuple {
        facts(&self.data, &self.header)
    }

    /// Height and width, of the turned image.
    #[getter]
    fn size(&self) -> Size {
        self.turn.size(self.header.size())
    }
}

/// The pixels of a [`Jpeg`] for one call.
pub(super) struct JpegImage {
    file: Py<Jpeg>,
    instead: OnceLock<Option<PilImage>>,
    failure: Mutex<Option<PyErr>>,
}

impl JpegImage {
    pub(super) fn get(object: &Bound<'_, PyAny>) -> Option<Self> {
        let file = object.cast::<Jpeg>().ok()?.clone().unbind();
        Some(Self { file, instead: OnceLock::new(), failure: Mutex::new(None) })
    }

    /// The exception behind a failed row, once.
    pub(super) fn take_failure(&self) -> Option<PyErr> {
        let own = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        own.or_else(|| self.instead.get()?.as_ref()?.take_failure())
    }

    fn decoder(&self) -> Decoder<'_> {
        let file = self.file.get();
        Decoder::new(&file.data, &file.header, simd()).turned(file.turn)
    }

    fn fall_back(&self) -> Option<PilImage> {
        let file = self.file.get();
        let image = Python::try_attach(|py| {
            let image = file.fallback.bind(py).call0()?;
            let image = PilImage::get(&image)?;
            let (size, expected) = (Source::size(&image), file.size());
            if size != expected {
                return Err(to_python(&Error::WrongSize { size, expected }));
            }
            Ok(image)
        })?;
        match image {
            Ok(image) => Some(image),
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}

impl Source for JpegImage {
    fn size(&self) -> Size {
        self.file.get().size()
    }

    fn pixel(&self) -> usize {
        3
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        self.decoder().into_rows(None)
    }

    fn open_watched<'a>(&'a self, watch: &'a Watch<'a>) -> Result<Box<dyn Rows + 'a>> {
        self.decoder().into_rows(Some(watch))
    }

    fn open_divided<'a>(&'a self, watch: &'a Watch<'a>) -> Result<Option<Divided<'a>>> {
        self.decoder().into_divided(watch)
    }

    fn is_sequential(&self) -> bool {
        true
    }

    fn instead(&self) -> Option<&dyn Source> {
        let image = self.instead.get_or_init(|| self.fall_back()).as_ref()?;
        Some(image)
    }
}
