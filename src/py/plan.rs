//! Plans as Python objects.

use pyo3::prelude::*;
use std::sync::Arc;

use crate::plan::{Cut, Plan, View};

/// One resize of an image and where it goes.
#[pyclass(name = "View", module = "dynres_rs", frozen)]
pub(super) struct PyView {
    plan: Arc<Plan>,
    number: usize,
}

impl PyView {
    fn view(&self) -> &View {
        &self.plan.views[self.number]
    }
}

#[pymethods]
impl PyView {
    #[getter]
    fn role(&self) -> &'static str {
        self.view().role.name()
    }

    #[getter]
    fn source(&self) -> (usize, usize, usize, usize) {
        let rect = self.view().source;
        (rect.top, rect.left, rect.size.0, rect.size.1)
    }

    #[getter]
    fn resized(&self) -> (usize, usize) {
        self.view().resized
    }

    #[getter]
    fn canvas(&self) -> (usize, usize) {
        self.view().canvas
    }

    #[getter]
    fn offset(&self) -> (usize, usize) {
        self.view().offset
    }

    #[getter]
    fn pad_color(&self) -> Option<(u8, u8, u8)> {
        let view = self.view();
        let [r, g, b] = view.background;
        (view.resized != view.canvas).then_some((r, g, b))
    }

    #[getter]
    fn grid(&self) -> (usize, usize) {
        (self.view().grid.rows, self.view().grid.columns)
    }

    #[getter]
    fn output(&self) -> &'static str {
        self.plan.outputs[self.view().output].key
    }

    #[getter]
    fn index(&self) -> usize {
        self.view().index
    }

    #[getter]
    fn count(&self) -> usize {
        self.view().count()
    }
}

/// Everything that will happen to an image of one size.
#[pyclass(name = "Plan", module = "dynres_rs", frozen)]
pub(super) struct PyPlan {
    pub(super) plan: Arc<Plan>,
}

#[pymethods]
impl PyPlan {
    #[getter]
    fn family(&self) -> &'static str {
        self.plan.family
    }

    #[getter]
    fn source(&self) -> (usize, usize) {
        self.plan.source
    }

    #[getter]
    fn resized(&self) -> (usize, usize) {
        self.plan.resized
    }

    #[getter]
    fn grid(&self) -> (usize, usize) {
        (self.plan.grid.rows, self.plan.grid.columns)
    }

    #[getter]
    fn views(&self) -> Vec<PyView> {
        (0..self.plan.views.len())
            .map(|number| PyView { plan: Arc::clone(&self.plan), number })
            .collect()
    }

    #[getter]
    fn num_tiles(&self) -> usize {
        self.plan.num_tiles
    }

    #[getter]
    fn num_patches(&self) -> usize {
        self.plan.num_patches
    }

    #[getter]
    fn num_tokens(&self) -> usize {
        self.plan.num_tokens
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
        let output = &self.plan.outputs[0];
        let mut shape = vec![output.rows];
        shape.extend(row_shape(output.cut, usize::MAX));
        pyo3::types::PyTuple::new(py, shape)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().plan == self.plan)
    }
}

/// The shape of one patch or tile with at most `copies` frames.
pub(super) fn row_shape(cut: Cut, copies: usize) -> Vec<usize> {
    match cut {
        Cut::Patches { patch, temporal, .. } => vec![3 * temporal.min(copies) * patch * patch],
        Cut::Tiles { tile } => vec![3, tile.0, tile.1],
        Cut::Rows { pixel } => vec![pixel],
    }
}
