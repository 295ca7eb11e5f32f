//! The arrays of one call: asked for, then filled.

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList, PyTuple};
use std::sync::Arc;

use super::array::OutBuffer;
use super::error::{guard, to_python};
use super::kept::PyKept;
use super::outs::{self, Wanted};
use super::plain::numpy;
use super::processor::{Failed, Pixels, PySpec, execute, no_memory, simd};
use crate::error::{Error, collected, push, reserved};
use crate::pack::Element;
use crate::pipeline::Settings;
use crate::plan::{Array, Batch, FactArray, FactForm, Plan, Tree};
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

    /// The arrays of pixels as a caller may bring them.
    fn wanted_arrays(&self) -> PyResult<Vec<Wanted>> {
        let wanted = |array: &Array| Wanted {
            key: array.key,
            shape: array.final_shape(),
            dtype: dtype(array.element),
            listed: array.listed || array.split.is_some(),
        };
        collected(self.batch.arrays.iter().map(wanted)).map_err(no_memory)
    }

    /// The other arrays as a caller may bring them.
    fn wanted_facts(&self) -> PyResult<Vec<Wanted>> {
        let wanted = |fact: &FactArray| match &fact.form {
            FactForm::Array { number, shape, .. } => Some(Wanted {
                key: fact.key,
                shape: shape.clone(),
                dtype: number.name(),
                listed: false,
            }),
            FactForm::Tree(_) | FactForm::List(_) => None,
        };
        collected(self.batch.facts.iter().filter_map(wanted)).map_err(no_memory)
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

/// The shape of an array while it is filled: patches of a strip one after the other.
fn filled_shape(array: &Array) -> Vec<usize> {
    if array.strip { array.shape.clone() } else { array.final_shape() }
}

/// The dtype of an array of elements: numpy has no bfloat16, and takes its bits.
pub(super) fn dtype(element: Element) -> &'static str {
    if element == Element::Bfloat16 { "uint16" } else { element.name() }
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

    /// Shape and dtype of the first array as `run` fills it: patches of a strip one after the other.
    #[getter]
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, &'static str)> {
        guard(|| {
            let array = &self.batch.arrays[0];
            Ok((PyTuple::new(py, filled_shape(array))?, dtype(array.element)))
        })
    }

    /// Whether the patches of the first array are to lie side by side in one strip.
    #[getter]
    fn strip(&self) -> bool {
        self.batch.arrays.first().is_some_and(|array| array.strip)
    }

    /// Every other array by key: numpy arrays, or nested lists.
    fn facts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| {
            let facts = PyDict::new(py);
            self.add_facts(&facts)?;
            Ok(facts)
        })
    }

    /// The arrays for `run`, in the order of `arrays`, and by key those of the call that are the caller's: `out`, as it was
    /// given, all checked. `kept` has the memory for others; `images` are the numbers and the pixels of the call's images.
    fn allocate<'py>(
        &self,
        py: Python<'py>,
        out: &Bound<'py, PyAny>,
        kept: &Bound<'py, PyKept>,
        images: &Bound<'py, PyList>,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
        guard(|| {
            let given = if out.is_none() {
                PyDict::new(py)
            } else {
                outs::given(out, &self.wanted_arrays()?, &self.wanted_facts()?, images)?
            };
            let arrays = PyList::empty(py);
            for array in &self.batch.arrays {
                let own =
                    if array.strip || array.listed { None } else { given.get_item(array.key)? };
                let shape = PyTuple::new(py, filled_shape(array))?;
                arrays.append(match own {
                    Some(own) => own,
                    None => kept.get().array(&shape, dtype(array.element), array.key)?,
                })?;
            }
            Ok((arrays, given))
        })
    }

    /// What a call returns, in numpy's arrays: those that `run` filled, and all facts, in the caller's arrays where `given`.
    fn finish<'py>(
        &self,
        py: Python<'py>,
        outs: &Bound<'py, PyList>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        guard(|| {
            let made = PyDict::new(py);
            for (array, out) in self.batch.arrays.iter().zip(outs) {
                let value = if let Some(samples) = &array.split {
                    let (lists, mut start) = (PyList::empty(py), 0);
                    for views in samples {
                        lists.append(outs::strips(&out, views, &mut start)?)?;
                    }
                    lists.into_any()
                } else if array.strip {
                    outs::in_strip(&out, given.get_item(array.key)?)?
                } else {
                    out
                };
                if !array.listed {
                    made.set_item(array.key, value)?;
                } else if let Some(list) = made.get_item(array.key)? {
                    list.cast::<PyList>()?.append(value)?;
                } else {
                    made.set_item(array.key, [value])?;
                }
            }
            self.add_facts(&made)?;
            for fact in &self.batch.facts {
                let (FactForm::Array { .. }, Some(own), Some(value)) =
                    (&fact.form, given.get_item(fact.key)?, made.get_item(fact.key)?)
                else {
                    continue;
                };
                own.set_item(py.Ellipsis(), value)?;
                made.set_item(fact.key, own)?;
            }
            Ok(made)
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
