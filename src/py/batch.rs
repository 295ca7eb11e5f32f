//! The arrays of one call: asked for, then filled.

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList, PyTuple};
use std::sync::Arc;

use super::array::OutBuffer;
use super::error::{guard, to_python};
use super::plain::numpy;
use super::processor::{Failed, Pixels, PySpec, execute, no_memory, simd};
use crate::error::{Error, collected, push, reserved};
use crate::pack::Element;
use crate::pipeline::Settings;
use crate::plan::{Batch, FactForm, Plan, Tree};
use crate::spec::Number;

/// The arrays of one call.
#[pyclass(name = "Batch", module = "dynres_rs._dynres_rs", frozen)]
pub(super) struct PyBatch {
    spec: Py<PySpec>,
    plans: Vec<Arc<Plan>>,
    batch: Batch,
    elements: Vec<Element>,
    copies: usize,
}

impl PyBatch {
    pub(super) fn new(
        spec: &Bound<'_, PySpec>,
        plans: Vec<Arc<Plan>>,
        samples: &[usize],
        dtype: Option<Element>,
        copies: usize,
    ) -> PyResult<Self> {
        let mut elements = spec.get().elements(dtype);
        let views = collected(plans.iter().map(|plan| &**plan)).map_err(no_memory)?;
        for (output, element) in elements.iter_mut().enumerate() {
            let holes = || Batch::has_holes(&spec.get().spec, output, &views, samples);
            if dtype.is_none() && *element == Element::Uint8 && holes() {
                *element = Element::Float32;
            }
        }
        let batch = Batch::new(&spec.get().spec, &views, samples, &elements, copies)
            .map_err(|error| to_python(&error))?;
        Ok(Self { spec: spec.clone().unbind(), plans, batch, elements, copies })
    }

    /// The shapes of its arrays of pixels.
    pub(super) fn shapes(&self) -> &Batch {
        &self.batch
    }

    /// Adds every array that holds no pixels.
    pub(super) fn add_facts(&self, made: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = made.py();
        for fact in &self.batch.facts {
            let value = form(py, &fact.form)?;
            made.set_item(fact.key, value)?;
        }
        Ok(())
    }

    /// Fills arrays that were made as `shapes` says.
    pub(super) fn fill(
        &self,
        py: Python<'_>,
        pixels: &[Pixels],
        mut buffers: Vec<OutBuffer>,
        threads: usize,
    ) -> Result<(), Failed> {
        let spec = self.spec.bind(py).get();
        let luts = spec.luts(&self.elements);
        let mut settings = Settings {
            simd: simd(),
            numerics: spec.spec.numerics,
            luts: &luts,
            copies: self.copies,
            stream: false,
            threads,
        };
        execute(py, &mut settings, &self.batch, &self.plans, pixels, &mut buffers)
    }
}

/// The Python object of a fact.
fn form<'py>(py: Python<'py>, form: &FactForm) -> PyResult<Bound<'py, PyAny>> {
    match form {
        FactForm::Tree(lists) => tree(py, lists),
        FactForm::List(forms) => {
            let list = PyList::empty(py);
            for form in forms {
                list.append(self::form(py, form)?)?;
            }
            Ok(list.into_any())
        }
        FactForm::Array { number, shape, bytes } => {
            let numpy = numpy(py)?;
            let dtype = numpy.call_method1(intern!(py, "dtype"), (number.name(),))?;
            let shape = PyTuple::new(py, shape)?;
            let arguments = (shape, dtype, PyByteArray::new(py, bytes));
            numpy.call_method1(intern!(py, "ndarray"), arguments)
        }
    }
}

/// The Python object of nested lists.
fn tree<'py>(py: Python<'py>, tree: &Tree) -> PyResult<Bound<'py, PyAny>> {
    Ok(match tree {
        Tree::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(self::tree(py, item)?)?;
            }
            list.into_any()
        }
        Tree::Number(Number::Bool, value) => {
            pyo3::types::PyBool::new(py, *value != 0.0).to_owned().into_any()
        }
        Tree::Number(Number::Float32, value) => value.into_pyobject(py)?.into_any(),
        Tree::Number(_, value) => (*value as i64).into_pyobject(py)?.into_any(),
    })
}

#[pymethods]
impl PyBatch {
    /// Key, shape and dtype of every array of pixels, and whether it is one of a list under that key.
    #[getter]
    fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guard(|| {
            let arrays = PyList::empty(py);
            for array in &self.batch.arrays {
                let shape = PyTuple::new(py, array.final_shape())?;
                let listed = array.listed || array.split.is_some();
                arrays.append((array.key, shape, array.element.name(), listed))?;
            }
            Ok(arrays)
        })
    }

    /// Keys of arrays whose patches lie side by side in one strip: `run` fills them patch after patch.
    #[getter]
    fn strips<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guard(|| {
            let strips = PyList::empty(py);
            for array in self.batch.arrays.iter().filter(|array| array.strip) {
                strips.append(array.key)?;
            }
            Ok(strips)
        })
    }

    /// Patches of each view, a list a sample, by key of arrays of which each view is a strip of its own.
    #[getter]
    fn splits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| {
            let splits = PyDict::new(py);
            for array in &self.batch.arrays {
                let Some(samples) = &array.split else { continue };
                let lists = PyList::empty(py);
                for views in samples {
                    lists.append(PyList::new(py, views)?)?;
                }
                splits.set_item(array.key, lists)?;
            }
            Ok(splits)
        })
    }

    /// Every other array by key: numpy arrays, or nested lists.
    fn facts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| {
            let facts = PyDict::new(py);
            self.add_facts(&facts)?;
            Ok(facts)
        })
    }

    /// Fills `outs`, in the order of `arrays`; None, or the number of the image that failed and its exception.
    #[pyo3(signature = (images, outs, num_threads))]
    fn run(
        &self,
        py: Python<'_>,
        images: &Bound<'_, PyList>,
        outs: &Bound<'_, PyList>,
        num_threads: usize,
    ) -> PyResult<Option<(usize, Py<PyAny>)>> {
        guard(|| {
            let mut pixels = reserved(images.len()).map_err(no_memory)?;
            for image in images {
                push(&mut pixels, Pixels::get(&image)?).map_err(no_memory)?;
            }
            if pixels.len() != self.plans.len() || outs.len() != self.batch.arrays.len() {
                return Err(PyValueError::new_err("images, outs: must be those of the plans"));
            }
            for (plan, pixels) in self.plans.iter().zip(&pixels) {
                if plan.source != pixels.size() {
                    let (size, expected) = (pixels.size(), plan.source);
                    return Err(to_python(&Error::WrongSize { size, expected }));
                }
            }
            let mut buffers = reserved(outs.len()).map_err(no_memory)?;
            for (array, out) in self.batch.arrays.iter().zip(outs) {
                let bytes = array.shape.iter().product::<usize>() * array.element.size();
                buffers.push(OutBuffer::get(&out, "out", bytes)?);
            }
            if pixels.is_empty() {
                return Ok(None);
            }
            match self.fill(py, &pixels, buffers, num_threads) {
                Ok(()) => Ok(None),
                Err(Failed { item: Some(number), error })
                    if error.is_instance_of::<PyException>(py) =>
                {
                    Ok(Some((number, error.into_value(py).into_any())))
                }
                Err(failed) => Err(failed.into()),
            }
        })
    }
}
