//! Plans as Python objects. What needs Pillow is asked of `dynres_rs.draw`.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::arguments::whole_number;
use super::error::{guard, to_python};
use super::processor::PySpec;
use super::value;
use super::vocabulary::{shown, value_error};
use super::{known, planned};
use crate::coords::Kind;
use crate::error::{Result, filled};
use crate::families;
use crate::pack::{Element, Normalise};
use crate::plan::{Array, Batch, Cut, From, Inside, Lane, Order, PatchCounts, Plan, Run, View};
use crate::spec::{Counts, Prepared, Prompt};
use crate::strategy::{Measure, Span};

/// What makes a plan again, and the arguments that it takes.
type Reduced<'py> = (
    Bound<'py, PyAny>,
    (&'static str, &'static str, Bound<'py, PyDict>, bool, (usize, usize), usize),
);

type Four = (usize, usize, usize, usize);

/// One resize of an image, or of a part of it, and where it goes.
///
/// Made by `Plan.views`. Sizes are (height, width) in pixels. Views are immutable, compare, hash and pickle.
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

    /// The same view once more.
    pub(super) fn again(&self) -> Self {
        let (plan, spec) = (Arc::clone(&self.plan), Arc::clone(&self.spec));
        Self { plan, spec, number: self.number }
    }
}

#[pymethods]
impl PyView {
    /// What the view is for: `"whole"`, `"tiles"`, `"thumbnail"`, `"global"`, `"high_res"`, `"crop"` or `"step"`.
    #[getter]
    pub(super) fn role(&self) -> &'static str {
        self.view().role.name()
    }

    /// (top, left, height, width) of the part that is taken, in pixels of the image, or of the `parent` view's canvas.
    #[getter]
    pub(super) fn source(&self) -> (usize, usize, usize, usize) {
        let rect = self.view().source;
        (rect.top, rect.left, rect.size.0, rect.size.1)
    }

    /// (height, width) in pixels that the part is scaled to.
    #[getter]
    pub(super) fn resized(&self) -> (usize, usize) {
        self.view().resized
    }

    /// (height, width) in pixels of what is cut into patches or tiles, padding included.
    #[getter]
    pub(super) fn canvas(&self) -> (usize, usize) {
        self.view().canvas
    }

    /// (top, left) in pixels of the resized part on the canvas.
    #[getter]
    pub(super) fn offset(&self) -> (isize, isize) {
        self.view().offset
    }

    /// The number of the view that this one is made from; None is the image itself.
    #[getter]
    pub(super) fn parent(&self) -> Option<usize> {
        match self.view().from {
            From::Image => None,
            From::View(number) => Some(number),
        }
    }

    /// Its place in `plan.views`, from 0.
    #[getter]
    fn number(&self) -> usize {
        self.number
    }

    /// The filter: `"bilinear"`, `"bicubic"` or `"lanczos"`.
    #[getter]
    pub(super) fn resample(&self) -> &'static str {
        self.view().filter.name()
    }

    /// (top, left, height, width) in pixels of the resized part on the canvas: `offset` and `resized`.
    #[getter]
    pub(super) fn target(&self) -> (isize, isize, usize, usize) {
        let view = self.view();
        (view.offset.0, view.offset.1, view.resized.0, view.resized.1)
    }

    /// (top, left, bottom, right) in pixels around the resized part.
    #[getter]
    pub(super) fn padding(&self) -> Four {
        let view = self.view();
        let before = |offset: isize| usize::try_from(offset).unwrap_or(0);
        let after = |canvas: usize, offset: isize, resized: usize| {
            canvas.saturating_sub(resized.saturating_add_signed(offset))
        };
        let (top, left) = view.offset;
        let bottom = after(view.canvas.0, top, view.resized.0);
        (before(top), before(left), bottom, after(view.canvas.1, left, view.resized.1))
    }

    /// The (red, green, blue) bytes of the padding; None where there is no padding.
    #[getter]
    pub(super) fn pad_color(&self) -> Option<(u8, u8, u8)> {
        let view = self.view();
        let [r, g, b] = view.background;
        (view.resized != view.canvas).then_some((r, g, b))
    }

    /// (rows, columns) of the patches or tiles that the canvas is cut into.
    #[getter]
    pub(super) fn grid(&self) -> (usize, usize) {
        (self.view().grid.rows, self.view().grid.columns)
    }

    /// The key of the array that it is written to, such as `"pixel_values"`.
    #[getter]
    pub(super) fn output(&self) -> Option<&'static str> {
        self.view().output.map(|output| self.plan.outputs[output].key)
    }

    /// The first row of that array which this view fills, for this image alone.
    #[getter]
    pub(super) fn index(&self) -> usize {
        self.view().index
    }

    /// How many rows of that array it fills.
    #[getter]
    pub(super) fn count(&self) -> usize {
        self.view().count()
    }

    /// The view as values that JSON can hold: a dict by the names of these attributes.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| planned::view_dict(slf.py(), slf.get()))
    }

    fn __repr__(&self) -> PyResult<String> {
        guard(|| Ok(format!("View({})", planned::view_text(self))))
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

    /// A view pickles with its plan.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (PyPlan, usize))> {
        let again = slf.get_type().getattr(intern!(slf.py(), "_again"))?;
        Ok((again, (slf.get().plan(), slf.get().number)))
    }

    /// The view of that number of a plan.
    #[staticmethod]
    fn _again(plan: &Bound<'_, PyPlan>, number: usize) -> PyResult<Self> {
        let found = plan.get().all_views().nth(number);
        found.ok_or_else(|| PyValueError::new_err("number: must be one of the plan's views"))
    }

    /// The `Plan` that it belongs to.
    #[getter]
    pub(super) fn plan(&self) -> PyPlan {
        PyPlan { plan: Arc::clone(&self.plan), spec: Arc::clone(&self.spec) }
    }
}

/// Everything that will happen to an image or a video of one size, known without its pixels.
///
/// Made by `Processor.plan`. Sizes are (height, width) in pixels; coordinates are xy, float64, continuous, with the
/// origin at the top left corner of the top left pixel. Plans are immutable, compare, hash and pickle.
#[pyclass(name = "Plan", module = "dynres_rs", frozen)]
pub(super) struct PyPlan {
    pub(super) plan: Arc<Plan>,
    pub(super) spec: Arc<Prepared>,
}

impl PyPlan {
    /// The family's words for an image or a video; none where no text holds them.
    fn prompt(&self) -> Option<&'static Prompt> {
        let prompt = if self.spec.strategy.is_video() {
            &families::find_video(self.plan.family).ok()?.prompt
        } else {
            &families::find(self.plan.family).ok()?.prompt
        };
        (!prompt.words.is_empty()).then_some(prompt)
    }

    /// Its views.
    pub(super) fn all_views(&self) -> impl ExactSizeIterator<Item = PyView> {
        (0..self.plan.views.len()).map(|number| {
            let (plan, spec) = (Arc::clone(&self.plan), Arc::clone(&self.spec));
            PyView { plan, spec, number }
        })
    }

    /// The arrays of this image alone.
    fn alone(&self) -> Result<Vec<Array>> {
        let elements = filled(Element::Float32, self.plan.outputs.len())?;
        Batch::arrays(&self.spec, &[&*self.plan], &[1], &elements, usize::MAX)
    }

    /// What upstream's `get_number_of_image_patches` returns, and the number of it that its processor counts.
    pub(super) fn patch_counts<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, usize)> {
        let counts = families::find(self.plan.family).map_or(Counts::Units, |it| it.prompt.counts);
        let found = self.plan.patch_counts(&self.spec, counts);
        let (object, count) = match found.map_err(|error| to_python(&error))? {
            PatchCounts::Number(count) => (count.into_pyobject(py)?.into_any(), count),
            PatchCounts::Sides(rows, columns) => {
                ((rows, columns).into_pyobject(py)?.into_any(), rows * columns)
            }
            PatchCounts::Split(count, rows, columns) => {
                ((count, rows, columns).into_pyobject(py)?.into_any(), count)
            }
        };
        let count = match counts {
            Counts::One | Counts::Tokens => 1,
            Counts::Windows => self.plan.views.iter().filter(|view| view.output == Some(0)).count(),
            _ => count,
        };
        Ok((object, count))
    }
}

/// A number of a fact: whole ones are integers.
fn number(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    if value.fract() == 0.0 {
        return Ok((value as i64).into_pyobject(py)?.into_any());
    }
    Ok(value.into_pyobject(py)?.into_any())
}

#[pymethods]
impl PyPlan {
    /// The family's name, a key of `dynres_rs.families()`.
    #[getter]
    pub(super) fn family(&self) -> &'static str {
        self.plan.family
    }

    /// (height, width) of the image in pixels, or of a video's frames.
    #[getter]
    pub(super) fn source(&self) -> (usize, usize) {
        self.plan.source
    }

    /// Images in the request, for the families that plan by it.
    #[getter]
    pub(super) fn num_images(&self) -> usize {
        self.plan.num_images
    }

    /// Frames that are taken of a video; 1 for an image.
    #[getter]
    pub(super) fn num_frames(&self) -> usize {
        self.plan.frames
    }

    /// Whether it is of a video.
    #[getter]
    pub(super) fn is_video(&self) -> bool {
        self.spec.strategy.is_video()
    }

    /// The coordinates that the family was trained to speak: `"resized"`, `"norm1000"`, `"norm999"` or `"norm1"`.
    #[getter]
    pub(super) fn coords(&self) -> &'static str {
        self.plan.coords.name()
    }

    /// The rule in use: `"torchvision"`, `"pillow-12.0"`, `"pillow-12.2"` or `"pillow-13"`.
    #[getter]
    pub(super) fn numerics(&self) -> &'static str {
        self.spec.numerics.name()
    }

    /// All options of the compiled core under the names of `dynres_rs.families()`; a new dict.
    #[getter]
    pub(super) fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| value::options(py, &self.spec))
    }

    /// (height, width) in pixels that the image is scaled to, padding not counted.
    #[getter]
    pub(super) fn resized(&self) -> (usize, usize) {
        self.plan.resized
    }

    /// (rows, columns) of tiles, or of patches where there are no tiles.
    #[getter]
    pub(super) fn grid(&self) -> (usize, usize) {
        (self.plan.grid.rows, self.plan.grid.columns)
    }

    /// A new list of `View`, each one resize of the image and where it goes, in the order of the output.
    #[getter]
    fn views<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guard(|| {
            let views = PyList::empty(py);
            for view in self.all_views() {
                views.append(view)?;
            }
            Ok(views)
        })
    }

    /// Tiles, the thumbnail or global view among them; 0 for families without tiles.
    #[getter]
    pub(super) fn num_tiles(&self) -> usize {
        self.plan.num_tiles
    }

    /// Patches that the vision encoder sees.
    #[getter]
    pub(super) fn num_patches(&self) -> usize {
        self.plan.num_patches
    }

    /// Tokens that the language model sees; markers of the chat template are not counted.
    #[getter]
    pub(super) fn num_tokens(&self) -> usize {
        self.plan.num_tokens
    }

    /// Tokens that transformers' processor counts for the image or the video in a prompt (`_get_num_multimodal_tokens`), as
    /// far as it has such a function; else the words of `placeholder()`, each special one a token, of a video its own
    /// tokens alone. None where no text holds images or videos.
    #[getter]
    pub(super) fn num_prompt_tokens(&self) -> PyResult<Option<usize>> {
        guard(|| {
            let Some(prompt) = self.prompt() else { return Ok(None) };
            let found = self.plan.prompt_tokens(&self.spec, prompt);
            found.map(Some).map_err(|error| to_python(&error))
        })
    }

    /// The text that transformers' processor puts into a prompt for the image or the video.
    ///
    /// Args:
    ///     image: the number of the image or the video in its sample, from 0, which some families spell out.
    ///     tokens: other texts for some of its words, by the family's own, for a tokenizer that spells them another way.
    ///     video_metadata: what is known of the video, as a call takes and returns it: a dict or an object with `fps`,
    ///         `frames_indices`, `total_num_frames` and `duration`. Texts with times need it. Frames of unknown numbers
    ///         are sampled from `total_num_frames` where the options say so, else they are all. A video of unknown rate
    ///         has upstream's: 24 frames a second, 1 in `VideoLLaMA3`, `max_fps` in Molmo2; the texts of MiniMax-M3 and
    ///         Nemotron have no times then.
    ///
    /// Returns:
    ///     the text as upstream's processor has it before the tokenizer: markers, an image token for each embedding, and
    ///     the tokens and numbers between rows, columns and tiles; of a video the times of its temporal patches as well,
    ///     float32 where upstream has sampled frames in a tensor. Empty where no text holds images or videos.
    ///
    /// Raises:
    ///     TypeError: an argument of the wrong type.
    ///     ValueError: a negative number; a text with times without `video_metadata`, or with one that has other frames
    ///         than the plan; `VideoLLaMA3` with `use_token_compression`, whose text follows from pixels.
    ///     MemoryError: no room for it.
    ///
    /// Matches `replace_image_token` and `replace_video_token` of transformers' processors, videos without their sound.
    #[expect(clippy::doc_markdown, reason = "names of arguments stand bare in docstrings")]
    #[pyo3(signature = (image=None, tokens=None, video_metadata=None))]
    fn placeholder<'py>(
        &self,
        py: Python<'py>,
        image: Option<&Bound<'py, PyAny>>,
        tokens: Option<&Bound<'py, PyAny>>,
        video_metadata: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<String> {
        guard(|| {
            let image = match image {
                None => 0,
                Some(image) => {
                    let number = whole_number("image", image)?;
                    let found = number.extract::<usize>().ok().filter(|it| *it < 1 << 31);
                    found.ok_or_else(|| {
                        let given = shown(&number, 40).unwrap_or_default();
                        value_error(format!("image: must be in 0..2**31, got {given}"))
                    })?
                }
            };
            let known = match video_metadata {
                Some(_) if !self.is_video() => {
                    return Err(PyValueError::new_err(
                        "video_metadata: must be None for the plan of an image",
                    ));
                }
                Some(given) => Some(known::read(given)?),
                None => None,
            };
            let text = match self.prompt() {
                None => String::new(),
                Some(prompt) => known::said(py, self, prompt, image, known.as_ref())?,
            };
            planned::placeholder(&text, tokens)
        })
    }

    /// The shape of the first array of pixels for this one image, a still image repeated over time as upstream does.
    #[getter]
    pub(super) fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        guard(|| {
            let arrays = self.alone().map_err(|error| to_python(&error))?;
            PyTuple::new(py, arrays.first().map_or_else(Vec::new, Array::final_shape))
        })
    }

    /// The shape of every array of pixels for this image alone, by key.
    #[getter]
    pub(super) fn shapes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| {
            let arrays = self.alone().map_err(|error| to_python(&error))?;
            let shapes = PyDict::new(py);
            for array in &arrays {
                shapes.set_item(array.key, PyTuple::new(py, array.final_shape())?)?;
            }
            Ok(shapes)
        })
    }

    /// How an array is cut, where its bytes can be put back: (side of a patch, patches a side that merge, frames) of
    /// patches in (channel, frame, row, column), zeros for tiles with the channels first; None for all else.
    fn _packing(&self, key: &str) -> PyResult<Option<(usize, usize, usize)>> {
        guard(|| {
            let arrays = self.alone().map_err(|error| to_python(&error))?;
            let Some(array) = arrays.iter().find(|array| array.key == key) else {
                return Ok(None);
            };
            let mut views = self.plan.views.iter().filter(|v| v.output == Some(array.output));
            let own_cut = views.clone().next().is_some_and(|view| {
                self.plan
                    .views
                    .iter()
                    .filter(|v| v.output == Some(array.output))
                    .all(|v| v.cut == view.cut)
            });
            let rows: usize = views.clone().map(View::count).sum();
            if array.strip
                || array.tile.is_some()
                || !own_cut
                || array.shape.len() != array.row_axes + 1
                || array.shape[0] != rows
                || views.any(|view| view.lane != Lane::Bytes)
            {
                return Ok(None);
            }
            Ok(match self.plan.outputs[array.output].cut {
                Cut::Patches { patch, merge, temporal, inside: Inside::Ctpp, .. } => {
                    Some((patch, merge, temporal))
                }
                Cut::Tiles { order: Order::ChannelsFirst, .. } => Some((0, 0, 0)),
                _ => None,
            })
        })
    }

    /// This image's row in every other array, by key.
    #[getter]
    pub(super) fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| {
            let metadata = PyDict::new(py);
            for fact in &self.plan.facts {
                let mut values = fact.values();
                if fact.scalar && fact.len() == 1 {
                    if let Some(value) = values.next() {
                        metadata.set_item(fact.key, number(py, value)?)?;
                    }
                    continue;
                }
                let list = PyList::empty(py);
                for value in values {
                    list.append(number(py, value)?)?;
                }
                metadata.set_item(fact.key, list)?;
            }
            Ok(metadata)
        })
    }

    /// How views become tokens: (view, rows and columns of tiles, height and width of a tile, of its part that is
    /// seen, side of a cell, rows and columns of cells of a tile, newlines, (first, cells, tokens) of the rows and of the
    /// columns that are taken); None is a token that is no cell.
    #[getter]
    fn _runs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guard(|| {
            let span = |span: Span| (span.first, span.seen, span.tokens);
            let runs = PyList::empty(py);
            for run in &self.plan.runs {
                let others = match run {
                    Run::Mark(_) => 1,
                    Run::Image(count) => *count,
                    Run::Pooled { tiles, tokens, .. } => tiles.count() * tokens,
                    Run::Cells(cells) => {
                        runs.append((
                            cells.view,
                            (cells.tiles.rows, cells.tiles.columns),
                            cells.tile,
                            cells.seen,
                            cells.cell,
                            (cells.grid.rows, cells.grid.columns),
                            cells.newline,
                            span(cells.rows),
                            span(cells.columns),
                        ))?;
                        0
                    }
                };
                for _ in 0..others {
                    runs.append(py.None())?;
                }
            }
            Ok(runs)
        })
    }

    /// Bytes of all arrays of pixels for this image.
    ///
    /// Args:
    ///     dtype: `"float32"`, `"float16"`, `"bfloat16"` or `"uint8"`; None is upstream's own.
    ///
    /// Raises:
    ///     ValueError: another name.
    #[pyo3(signature = (dtype=None))]
    pub(super) fn nbytes(&self, dtype: Option<&str>) -> PyResult<usize> {
        let element = match dtype {
            Some(name) => Element::parse(name).map_err(|error| to_python(&error))?,
            None => Normalise::of(&self.spec)[0].element(),
        };
        let arrays = self.alone().map_err(|error| to_python(&error))?;
        let count = |array: &Array| array.shape.iter().product::<usize>();
        Ok(arrays.iter().map(count).sum::<usize>() * element.size())
    }

    /// Points or boxes of the image in the model's coordinates: `x * W' / W`, not rounded.
    ///
    /// Args:
    ///     boxes: (n, 4) boxes xyxy or (n, 2) points xy, or one of them, in pixels of the image; numbers of any dtype.
    ///     coords: the model's coordinates; None is `plan.coords`.
    ///
    /// Returns:
    ///     float64 of the same shape.
    ///
    /// Raises:
    ///     TypeError: no numbers.
    ///     ValueError: another shape, or unknown coordinates.
    #[pyo3(signature = (boxes, coords=None))]
    fn to_model<'py>(
        &self,
        boxes: &Bound<'py, PyAny>,
        coords: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guard(|| planned::scaled(self, boxes, coords, true))
    }

    /// Points or boxes of the model's coordinates in the image: `x * W / W'`, not rounded.
    ///
    /// Args:
    ///     boxes: (n, 4) boxes xyxy or (n, 2) points xy, or one of them, in the model's coordinates; numbers of any dtype.
    ///     coords: the model's coordinates; None is `plan.coords`.
    ///
    /// Returns:
    ///     float64 of the same shape, in pixels of the image.
    ///
    /// Raises:
    ///     TypeError: no numbers.
    ///     ValueError: another shape, or unknown coordinates.
    #[pyo3(signature = (boxes, coords=None))]
    fn to_image<'py>(
        &self,
        boxes: &Bound<'py, PyAny>,
        coords: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guard(|| planned::scaled(self, boxes, coords, false))
    }

    /// Points or boxes of the image on the canvas of a view, in its pixels.
    ///
    /// Args:
    ///     points: (n, 2) points xy or (n, 4) boxes xyxy, or one of them, in pixels of the image.
    ///     view: a `View` of this plan, or its number.
    ///
    /// Returns:
    ///     float64 of the same shape.
    ///
    /// Raises:
    ///     TypeError: no numbers, or no view.
    ///     ValueError: another shape, or a number out of range.
    fn to_view<'py>(
        &self,
        points: &Bound<'py, PyAny>,
        view: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guard(|| planned::in_view(self, points, view))
    }

    /// Where each token lies in the image.
    ///
    /// Returns:
    ///     `(num_tokens, 4)` float64, xyxy in pixels of the image, clipped to it, in token order. Tokens that see no
    ///     pixel (newline, separator, padding) have a box without area inside the image.
    ///
    /// Raises:
    ///     MemoryError: no room for them.
    fn token_boxes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        guard(|| planned::token_boxes(py, self))
    }

    /// What each token stands for.
    ///
    /// Returns:
    ///     `(num_tokens,)` of `"image"`, `"newline"`, `"separator"`, `"padding"`, in token order.
    ///
    /// Raises:
    ///     MemoryError: no room for them.
    fn token_kinds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        guard(|| planned::token_kinds(py, self))
    }

    /// A picture of what becomes of an image: `dynres_rs.draw.draw(plan, image, **options)`.
    ///
    /// Args:
    ///     image: anything that a processor takes, of the plan's size.
    ///     **options: `width` in pixels, `boxes`, `labels`, `tokens` and `title`.
    ///
    /// Returns:
    ///     a Pillow image of mode RGB.
    ///
    /// Raises:
    ///     TypeError: an image or boxes of the wrong type.
    ///     ValueError: an image of another size, or a plan of a video.
    #[pyo3(signature = (image, **options))]
    fn draw<'py>(
        slf: &Bound<'py, Self>,
        image: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = (slf, image);
        guard(|| slf.py().import("dynres_rs.draw")?.getattr("draw")?.call(arguments, options))
    }

    /// The plan as values that JSON can hold: a dict by the names of these attributes, its views as dicts.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        guard(|| planned::plan_dict(slf.py(), slf.get()))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        guard(|| planned::plan_text(py, self))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            let other = other.get();
            let same = |a: &Prepared, b: &Prepared| {
                a.family == b.family && a.numerics == b.numerics && a.options() == b.options()
            };
            other.plan == self.plan && same(&other.spec, &self.spec)
        })
    }

    fn __hash__(&self) -> u64 {
        let plan = &self.plan;
        let mut hasher = DefaultHasher::new();
        (plan.family, plan.source, plan.num_images, plan.frames, plan.resized).hash(&mut hasher);
        hasher.finish()
    }

    /// A plan pickles as the call that makes it again.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let plan = slf.get();
        let again = slf.get_type().getattr(intern!(slf.py(), "_again"))?;
        let count = if plan.is_video() { plan.plan.frames } else { plan.plan.num_images };
        let spec = (plan.family(), plan.numerics(), plan.options(slf.py())?, plan.is_video());
        Ok((again, (spec.0, spec.1, spec.2, spec.3, plan.source(), count)))
    }

    /// The plan of a family with these options, of an image of that size or of a video of that many frames.
    #[staticmethod]
    fn _again(
        family: &str,
        numerics: &str,
        options: &Bound<'_, PyDict>,
        video: bool,
        size: (usize, usize),
        count: usize,
    ) -> PyResult<Self> {
        guard(|| PySpec::new(family, numerics, options, video)?.plan(size.0, size.1, count))
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
