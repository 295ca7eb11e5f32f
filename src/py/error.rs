//! The only mapping from the crate's errors to Python's.

use pyo3::create_exception;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;

create_exception!(
    dynres_rs,
    ImageTooLargeError,
    PyValueError,
    "More pixels than `max_image_pixels`, going in or coming out."
);
create_exception!(
    dynres_rs,
    InternalError,
    PyRuntimeError,
    "A panic was caught in the compiled core: always a bug, please report it."
);

/// The Python exception for an error of the core.
pub(super) fn to_python(error: &Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::TooLarge { .. } => ImageTooLargeError::new_err(text),
        Error::OutOfMemory { .. } => PyMemoryError::new_err(text),
        Error::Source => PyOSError::new_err(text),
        Error::Unprepared => InternalError::new_err(text),
        Error::Interrupted
        | Error::ZeroSide { .. }
        | Error::AspectRatio { .. }
        | Error::NotMultiple { .. }
        | Error::WrongSize { .. }
        | Error::TooFewFrames { .. }
        | Error::Option { .. }
        | Error::Unknown { .. }
        | Error::Ragged { .. } => PyValueError::new_err(text),
    }
}

/// Runs an entry point; a panic becomes [`InternalError`], which a worker process can catch and pickle.
pub(super) fn guard<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic".to_owned());
        Err(InternalError::new_err(format!("please report this bug: {text}")))
    })
}
