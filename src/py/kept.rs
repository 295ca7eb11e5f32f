//! Arrays to return, in memory that is used again.

use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;

use super::array::Block;
use super::error::{guard, to_python};
use super::plain::numpy;
use crate::kept::Kept;
use crate::memory::PAGED;

/// Blocks of memory, each used again as soon as nothing refers to it.
///
/// Whatever lies in a block refers to it: numpy's views, memoryviews, tensors.
#[pyclass(name = "Kept", module = "dynres_rs._dynres_rs", frozen)]
pub(super) struct PyKept {
    kept: Arc<Kept>,
    least: usize,
}

#[pymethods]
impl PyKept {
    /// `limit`: the most bytes of all blocks. `least`: bytes of an array below which it has memory of its own. `single`:
    /// one block, for anything that fits; else as many as the limit holds, each for arrays of at least half its size.
    #[new]
    #[pyo3(signature = (limit, least=PAGED, *, single=false))]
    fn new(limit: usize, least: usize, single: bool) -> Self {
        Self { kept: Arc::new(Kept::new(limit, single)), least }
    }

    /// The most bytes that are kept.
    #[getter]
    fn limit(&self) -> usize {
        self.kept.limit()
    }

    /// The bytes that are kept, in use or not.
    #[getter]
    fn nbytes(&self) -> usize {
        self.kept.bytes()
    }

    /// Sets another limit, and lets go of all blocks. Their users keep theirs alive.
    fn keep(&self, limit: usize) {
        self.kept.keep(limit);
    }

    /// Lets go of all blocks.
    fn forget(&self) {
        self.kept.forget();
    }

    /// `numpy.empty(shape, dtype)`, in a block where that pays. `key` names the array where there is no memory for it.
    #[pyo3(signature = (shape, dtype, key="array"))]
    fn empty<'py>(
        &self,
        shape: &Bound<'py, PyTuple>,
        dtype: &str,
        key: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        guard(|| self.array(shape, dtype, key))
    }
}

impl PyKept {
    /// See `empty`.
    pub(super) fn array<'py>(
        &self,
        shape: &Bound<'py, PyTuple>,
        dtype: &str,
        key: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = shape.py();
        let numpy = numpy(py)?;
        let item = match dtype {
            "float32" => 4,
            "float16" | "uint16" => 2,
            "uint8" => 1,
            _ => return Err(PyTypeError::new_err(format!("dtype: no array has {dtype}"))),
        };
        let mut bytes: usize = item;
        for side in shape {
            bytes = bytes.saturating_mul(side.extract()?);
        }
        let kind = numpy.getattr(dtype)?;
        let made = if self.least <= bytes && bytes <= self.kept.limit() {
            let owned = self.kept.take(bytes).map_err(|error| to_python(&error));
            owned
                .and_then(|owned| Bound::new(py, Block(owned)))
                .and_then(|block| numpy.call_method1(intern!(py, "ndarray"), (shape, kind, block)))
        } else {
            numpy.call_method1(intern!(py, "empty"), (shape, kind))
        };
        // numpy's own error takes a shape and a dtype instead of one string.
        made.map_err(|error| {
            if !error.is_instance_of::<PyMemoryError>(py) {
                return error;
            }
            PyMemoryError::new_err(format!(
                "{key}: cannot allocate {bytes} bytes for {dtype} of the shape {shape}"
            ))
        })
    }
}
