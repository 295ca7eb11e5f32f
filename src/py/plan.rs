//! Plans as Python objects. What needs numpy or Pillow is asked of `dynres_rs.planning` and `dynres_rs.draw`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::array::OutBuffer;
use super::calls::watched;
use super::error::{guard, to_python};
use super::value;
use crate::coords::Kind;
use crate::pack::{Element, Normalise};
use crate::plan::{Cut, From, Order, Plan, Run, View};
use crate::spec::Prepared;
use crate::strategy::Measure;

/// Calls a function of the facade with the object first.
fn facade<'py>(
    object: &Bound<'py, PyAny>,
    module: &str,
    name: &str,
    arguments: impl IntoIterator<Item = Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let all: Vec<_> = std::iter::once(object.clone()).chain(arguments).collect();
    guard(|| object.py().import(module)?.call_method1(name, PyTuple::new(object.py(), all)?))
}

const PLANNING: &str = "dynres_rs.planning";

type Four = (usize, usize, usize, usize);

/// One resize of an image and where it goes.
#[pyclass(name = "View", module = "dynres_rs", frozen)]
pub(super) struct PyView {
    plan: Arc<Plan>,
    spec: Arc<Prepared>,
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
    fn offset(&self) -> (isize, isize) {
        self.view().offset
    }

    #[getter]
    fn parent(&self) -> Option<usize> {
        match self.view().from {
            From::Image => None,
            From::View(number) => Some(number),
        }
    }

    #[getter]
    fn number(&self) -> usize {
        self.number
    }

    #[getter]
    fn resample(&self) -> &'static str {
        self.view().filter.name()
    }

    #[getter]
    fn target(&self) -> (isize, isize, usize, usize) {
        let view = self.view();
        (view.offset.0, view.offset.1, view.resized.0, view.resized.1)
    }

    #[getter]
    fn padding(&self) -> Four {
        let view = self.view();
        let before = |offset: isize| usize::try_from(offset).unwrap_or(0);
        let after = |canvas: usize, offset: isize, resized: usize| {
            canvas.saturating_sub(resized.saturating_add_signed(offset))
        };
        let (top, left) = view.offset;
        let bottom = after(view.canvas.0, top, view.resized.0);
        (before(top), before(left), bottom, after(view.canvas.1, left, view.resized.1))
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
    fn output(&self) -> Option<&'static str> {
        self.view().output.map(|output| self.plan.outputs[output].key)
    }

    #[getter]
    fn index(&self) -> usize {
        self.view().index
    }

    #[getter]
    fn count(&self) -> usize {
        self.view().count()
    }

    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "view_to_dict", [])
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "view_repr", [])
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().view() == self.view())
    }

    fn __hash__(&self) -> u64 {
        let view = self.view();
        let mut hasher = DefaultHasher::new();
        (view.resized, view.canvas, view.offset, view.index, view.output).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "reduce_view", [slf.getattr("plan")?])
    }

    #[getter]
    fn plan(&self) -> PyPlan {
        PyPlan { plan: Arc::clone(&self.plan), spec: Arc::clone(&self.spec) }
    }
}

/// Everything that will happen to an image of one size.
#[pyclass(name = "Plan", module = "dynres_rs", frozen)]
pub(super) struct PyPlan {
    pub(super) plan: Arc<Plan>,
    pub(super) spec: Arc<Prepared>,
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
    fn num_images(&self) -> usize {
        self.plan.num_images
    }

    #[getter]
    fn num_frames(&self) -> usize {
        self.plan.frames
    }

    #[getter]
    fn is_video(&self) -> bool {
        self.spec.strategy.is_video()
    }

    #[getter]
    fn coords(&self) -> &'static str {
        self.plan.coords.name()
    }

    #[getter]
    fn numerics(&self) -> &'static str {
        self.spec.numerics.name()
    }

    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| value::options(py, &self.spec))
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
            .map(|number| PyView {
                plan: Arc::clone(&self.plan),
                spec: Arc::clone(&self.spec),
                number,
            })
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
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let output = &self.plan.outputs[0];
        let mut shape = vec![output.rows];
        shape.extend(row_shape(output.cut, usize::MAX));
        PyTuple::new(py, shape)
    }

    /// The shape of every array of pixels, by key.
    #[getter]
    fn shapes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let shapes = PyDict::new(py);
        for output in &self.plan.outputs {
            let mut shape = vec![output.rows];
            shape.extend(row_shape(output.cut, usize::MAX));
            shapes.set_item(output.key, PyTuple::new(py, shape)?)?;
        }
        Ok(shapes)
    }

    /// This image's row in every other array, by key.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metadata = PyDict::new(py);
        for fact in &self.plan.facts {
            match fact.values[..] {
                [value] if fact.scalar => metadata.set_item(fact.key, value)?,
                _ => metadata.set_item(fact.key, &fact.values)?,
            }
        }
        Ok(metadata)
    }

    /// How views become tokens: (view, rows and columns of tiles, height and width of a tile, of its part that is
    /// seen, side of a cell, rows and columns of cells of a tile, newlines); None is a separator.
    #[getter]
    #[expect(clippy::type_complexity, reason = "private to the facade")]
    fn _runs(
        &self,
    ) -> Vec<
        Option<(
            usize,
            (usize, usize),
            (usize, usize),
            (usize, usize),
            usize,
            (usize, usize),
            bool,
        )>,
    > {
        let runs = self.plan.runs.iter();
        runs.map(|run| match run {
            Run::Mark(_) => None,
            Run::Cells(cells) => Some((
                cells.view,
                (cells.tiles.rows, cells.tiles.columns),
                cells.tile,
                cells.seen,
                cells.cell,
                (cells.grid.rows, cells.grid.columns),
                cells.newline,
            )),
        })
        .collect()
    }

    /// Fills float64 `(num_tokens, 4)`.
    fn _token_boxes(&self, py: Python<'_>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        guard(|| {
            let mut out = OutBuffer::get(out, "out", self.plan.num_tokens * 32)?;
            let mut places = out.bytes().as_chunks_mut::<32>().0.iter_mut();
            watched(py, |watch| {
                self.plan.tokens(watch, |bounds, _| {
                    let Some(place) = places.next() else { return };
                    for (bytes, value) in place.as_chunks_mut::<8>().0.iter_mut().zip(bounds) {
                        *bytes = value.to_ne_bytes();
                    }
                })
            })?
            .map_err(|error| to_python(&error))
        })
    }

    /// Fills a byte a token: a number of `TOKEN_KINDS`.
    fn _token_kinds(&self, py: Python<'_>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        guard(|| {
            let mut out = OutBuffer::get(out, "out", self.plan.num_tokens)?;
            let mut places = out.bytes().iter_mut();
            watched(py, |watch| {
                self.plan.tokens(watch, |_, kind| {
                    if let Some(place) = places.next() {
                        *place = kind as u8;
                    }
                })
            })?
            .map_err(|error| to_python(&error))
        })
    }

    #[pyo3(signature = (dtype=None))]
    fn nbytes(&self, dtype: Option<&str>) -> PyResult<usize> {
        let element = match dtype {
            Some(name) => Element::parse(name).map_err(|error| to_python(&error))?,
            None => Normalise::of(&self.spec)[0].element(),
        };
        let bytes = |output: &crate::plan::Output| {
            output.rows * row_shape(output.cut, usize::MAX).iter().product::<usize>()
        };
        Ok(self.plan.outputs.iter().map(bytes).sum::<usize>() * element.size())
    }

    #[pyo3(signature = (boxes, coords=None))]
    fn to_model<'py>(
        slf: &Bound<'py, Self>,
        boxes: Bound<'py, PyAny>,
        coords: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "to_model", std::iter::once(boxes).chain(coords))
    }

    #[pyo3(signature = (boxes, coords=None))]
    fn to_image<'py>(
        slf: &Bound<'py, Self>,
        boxes: Bound<'py, PyAny>,
        coords: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "to_image", std::iter::once(boxes).chain(coords))
    }

    fn to_view<'py>(
        slf: &Bound<'py, Self>,
        points: Bound<'py, PyAny>,
        view: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "to_view", [points, view])
    }

    fn token_boxes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "token_boxes", [])
    }

    fn token_kinds<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "token_kinds", [])
    }

    #[pyo3(signature = (image, **options))]
    fn draw<'py>(
        slf: &Bound<'py, Self>,
        image: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = (slf, image);
        slf.py().import("dynres_rs.draw")?.getattr("draw")?.call(arguments, options)
    }

    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "plan_to_dict", [])
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "plan_repr", [])
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            let other = other.get();
            other.plan == self.plan && other.spec.spec == self.spec.spec
        })
    }

    fn __hash__(&self) -> u64 {
        let plan = &self.plan;
        let mut hasher = DefaultHasher::new();
        (plan.family, plan.source, plan.num_images, plan.frames, plan.resized).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        facade(slf, PLANNING, "reduce_plan", [])
    }
}

/// What a token can stand for, in the order of `Plan._token_kinds`' codes.
pub(super) const TOKEN_KINDS: [&str; Kind::ALL.len()] = {
    let mut names = [""; Kind::ALL.len()];
    let mut number = 0;
    while number < names.len() {
        names[number] = Kind::ALL[number].name();
        number += 1;
    }
    names
};

/// The shape of one patch or tile with at most `copies` frames.
pub(super) fn row_shape(cut: Cut, copies: usize) -> Vec<usize> {
    match cut {
        Cut::Patches { patch, temporal, .. } => vec![3 * temporal.min(copies) * patch * patch],
        Cut::Tiles { tile, order: Order::ChannelsFirst, .. } => vec![3, tile.0, tile.1],
        Cut::Tiles { tile, order: Order::ChannelsLast, .. } => vec![tile.0, tile.1, 3],
        Cut::Rows { pixel } => vec![pixel],
    }
}
