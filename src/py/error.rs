//! The only mapping from the crate's errors to Python's.

use pyo3::create_exception;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::calls::Call;
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
#[cold]
#[inline(never)]
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
        | Error::Ragged { .. }
        | Error::Uneven { .. } => PyValueError::new_err(text),
    }
}

/// What the bindings panic with where Python could not make an object, which is for want of memory.
const NO_OBJECT: &str = "PyObject pointer is null";

/// Runs an entry point as a call; a panic becomes [`InternalError`], which a worker process can catch and pickle.
pub(super) fn guard<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let _call = Call::begin()?;
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(of_panic(&*panic)))
}

/// The exception for a panic.
#[cold]
#[inline(never)]
fn of_panic(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned());
    if text == NO_OBJECT {
        return PyMemoryError::new_err("cannot allocate a Python object");
    }
    InternalError::new_err(format!("please report this bug: {text}"))
}
