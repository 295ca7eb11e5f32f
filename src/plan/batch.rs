//! One call: which arrays it returns, where each image's rows lie in them, and all that is no pixel.

use super::{Cut, From, Inside, Order, Plan, Rect, Role, View};
use crate::error::{Error, Result, Size, append, collected, filled, gathered, push, reserved};
use crate::options::{Options, Value};
use crate::pack::Element;
use crate::spec::{ArraySpec, FactSpec, Form, Group, Number, Per, Prepared, Rows, What};
use crate::strategy::Measure;

/// The arrays of one call.
#[derive(Debug, PartialEq)]
pub struct Batch {
    /// Arrays of pixels.
    pub arrays: Vec<Array>,
    /// All others.
    pub facts: Vec<FactArray>,
}

/// One array of pixels, or one of a list of arrays under one key.
#[derive(Debug, PartialEq)]
pub struct Array {
    /// Its key.
    pub key: &'static str,
    /// The number of the plans' output that it holds.
    pub output: usize,
    /// Whether it is one of a list.
    pub listed: bool,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type of its elements.
    pub element: Element,
    /// The size of every tile in it, where it is not each view's own.
    pub tile: Option<Size>,
    /// How many of its last axes are those of one row.
    pub row_axes: usize,
    /// Where images lie in it, one after the other.
    pub slots: Vec<Slot>,
    /// Whether its patches are to lie side by side in one strip: its rows are patches still.
    pub strip: bool,
    /// Frames that lie one after the other on the axis of channels: its rows are frames still.
    pub tubelet: usize,
}

impl Array {
    /// Its shape as the caller gets it.
    #[must_use]
    pub fn final_shape(&self) -> Vec<usize> {
        match self.shape[..] {
            [patches, channels, height, width] if self.strip => {
                vec![1, channels, height, patches * width]
            }
            [videos, frames, channels, height, width] if self.tubelet > 1 => {
                vec![videos, frames / self.tubelet, self.tubelet * channels, height, width]
            }
            _ => self.shape.clone(),
        }
    }
}

/// An image's part of an array: consecutive rows, those after its own filled with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number of the image.
    pub image: usize,
    /// Bytes of its part.
    pub bytes: usize,
    /// Rows that its views fill.
    pub rows: usize,
}

/// One array that holds no pixels.
#[derive(Debug, PartialEq)]
pub struct FactArray {
    /// Its key.
    pub key: &'static str,
    /// What it is.
    pub form: FactForm,
}

/// What a fact is in Python.
#[derive(Debug, PartialEq)]
pub enum FactForm {
    /// An array.
    Array {
        /// The type of its numbers.
        number: Number,
        /// Its shape.
        shape: Vec<usize>,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Nested lists.
    Tree(Tree),
}

/// Nested lists of numbers.
#[derive(Debug, PartialEq)]
pub enum Tree {
    /// A number of that type.
    Number(Number, f64),
    /// A list.
    List(Vec<Tree>),
}

/// How many images each sample of a call has. A call of no samples has none.
pub type Samples<'a> = &'a [usize];

impl Batch {
    /// The arrays of images of these plans, in samples of these counts. `copies`: frames of a patch at most.
    ///
    /// # Errors
    /// `Ragged` where no array can hold all images, `OutOfMemory`.
    pub fn new(
        spec: &Prepared,
        plans: &[&Plan],
        samples: Samples<'_>,
        elements: &[Element],
        copies: usize,
    ) -> Result<Self> {
        let arrays = Self::arrays(spec, plans, samples, elements, copies)?;
        let mut facts = Vec::new();
        for (number, fact) in spec.recipe.facts.iter().enumerate() {
            let empty = |plan: &&Plan| plan.facts[number].is_empty();
            let absent = fact.form == Form::ListsToMost && plans.iter().all(empty);
            if absent || fact.only_if.is_some_and(|flag| !spec.strategy.is_on(flag)) {
                continue;
            }
            let form = match fact.what {
                What::Positions(of) => positions(fact.number, of, plans, &arrays)?,
                What::Mask { of, per } => mask(spec, fact.number, (of, per), plans, &arrays)?,
                What::SampleImages => {
                    let mut bytes = reserved(samples.len() * fact.number.size())?;
                    for &count in samples {
                        fact.number.write(count as f64, &mut bytes)?;
                    }
                    let shape = collected([samples.len()])?;
                    FactForm::Array { number: fact.number, shape, bytes }
                }
                _ => join_fact(fact, number, plans, samples)?,
            };
            push(&mut facts, FactArray { key: fact.key, form })?;
        }
        Ok(Self { arrays, facts })
    }

    /// The arrays of pixels alone: the others may be as long as a video.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn arrays(
        spec: &Prepared,
        plans: &[&Plan],
        samples: Samples<'_>,
        elements: &[Element],
        copies: usize,
    ) -> Result<Vec<Array>> {
        let mut arrays = Vec::new();
        for (output, array) in spec.recipe.arrays.iter().enumerate() {
            let joined = Joined { spec, array: array.with(&spec.strategy), output, plans, samples };
            for made in joined.arrays(elements[output], copies)? {
                push(&mut arrays, made)?;
            }
        }
        Ok(arrays)
    }
}

/// The shape of one patch or tile with at most `copies` frames.
#[must_use]
pub fn row_shape(cut: Cut, copies: usize, flat: bool) -> Vec<usize> {
    match cut {
        Cut::Patches { patch, temporal, inside, .. } => {
            let frames = temporal.min(copies);
            match inside {
                _ if flat => vec![inside.numbers() + 3 * frames * patch * patch],
                Inside::Ctpp if frames == 1 => vec![3, patch, patch],
                Inside::Ctpp => vec![3, frames, patch, patch],
                Inside::Tcpp => vec![frames, 3, patch, patch],
                Inside::Numbered => vec![inside.numbers() + 3 * patch * patch],
                Inside::Tppc if frames == 1 => vec![patch, patch, 3],
                Inside::Tppc => vec![frames, patch, patch, 3],
            }
        }
        Cut::Tiles { tile, order: Order::ChannelsFirst, .. } => vec![3, tile.0, tile.1],
        Cut::Tiles { tile, order: Order::ChannelsLast, .. } => vec![tile.0, tile.1, 3],
        Cut::Rows { pixel } => vec![pixel],
    }
}

/// One output of all plans, to be joined.
struct Joined<'a> {
    spec: &'a Prepared,
    array: ArraySpec,
    output: usize,
    plans: &'a [&'a Plan],
    samples: Samples<'a>,
}

impl Joined<'_> {
    fn rows(&self, image: usize) -> usize {
        self.plans[image].outputs[self.output].rows
    }

    /// How all rows are cut, with the largest tile.
    fn cut(&self) -> Result<(Cut, bool)> {
        let mut found: Option<Cut> = None;
        let mut several = false;
        for plan in self.plans {
            let output = &plan.outputs[self.output];
            if output.rows == 0 {
                continue;
            }
            // Tiles of several sizes in one image have the largest as the output's.
            let own = |cut| matches!(cut, Cut::Tiles { .. }) && cut != output.cut;
            let mut views = plan.views.iter().filter(|view| view.output == Some(self.output));
            let smaller = views.find(|view| own(view.cut)).map(|view| view.cut);
            if let (Some(Cut::Tiles { tile: first, .. }), Cut::Tiles { tile: other, .. }) =
                (smaller, output.cut)
                && self.array.filled_if.is_some()
                && !self.array.pad
            {
                return Err(Error::Ragged { key: self.array.key, first, other });
            }
            several |= smaller.is_some();
            found = Some(match (found, output.cut) {
                (Some(Cut::Tiles { tile: first, step, order }), Cut::Tiles { tile: other, .. }) => {
                    if first != other {
                        if !self.array.pad {
                            return Err(Error::Ragged { key: self.array.key, first, other });
                        }
                        several = true;
                    }
                    let tile = (first.0.max(other.0), first.1.max(other.1));
                    Cut::Tiles { tile, step, order }
                }
                (_, cut) => cut,
            });
        }
        // No image has a row: the first one's, or that of the smallest image there is.
        let cut = match (found, self.plans.first()) {
            (Some(cut), _) => cut,
            (None, Some(plan)) => plan.outputs[self.output].cut,
            (None, None) => {
                let frames = self.spec.strategy.temporal_patch_size();
                let count = if self.spec.strategy.is_video() { frames } else { 1 };
                let plan = Plan::new(self.spec, self.spec.strategy.smallest(), count)?;
                plan.outputs[self.output].cut
            }
        };
        if let (Some(name), Cut::Tiles { tile, step, order }) = (self.array.sides, cut)
            && let Some(sides) = self.sides(name)
        {
            if tile.0 > sides.0 || tile.1 > sides.1 {
                let rule = "at least as large as every image";
                let given = format!("{sides:?} for {tile:?}");
                return Err(Error::Option { name, rule, given });
            }
            return Ok((Cut::Tiles { tile: sides, step, order }, true));
        }
        Ok((cut, several))
    }

    /// The size that an option says.
    fn sides(&self, name: &str) -> Option<Size> {
        let mut values = Vec::new();
        self.spec.strategy.values(&mut values);
        match values.iter().find(|(found, _)| *found == name) {
            Some((_, Value::Int(side))) => Some((*side as usize, *side as usize)),
            Some((_, Value::Size(size))) => Some(*size),
            _ => None,
        }
    }

    fn arrays(&self, element: Element, copies: usize) -> Result<Vec<Array>> {
        let images = self.plans.len();
        let total: usize = (0..images).map(|image| self.rows(image)).sum();
        if total == 0 && self.array.optional {
            return Ok(Vec::new());
        }
        let (cut, several) = self.cut()?;
        let row = row_shape(cut, copies, self.array.flat);
        let row_bytes = row.iter().product::<usize>() * element.size();
        let tile = match cut {
            Cut::Tiles { tile, .. } if several => Some(tile),
            _ => None,
        };
        let groups = self.groups()?;
        let counts = collected(
            groups.iter().map(|group| group.iter().map(|&i| self.rows(i)).sum::<usize>()),
        )?;
        let most = counts.iter().copied().max().unwrap_or(0);
        let equal = counts.iter().all(|&count| count == most);
        let rows = match self.array.rows {
            Rows::Option(name) => self.option(name).max(most),
            Rows::Limit => self.spec.strategy.most_rows().max(most),
            Rows::Own | Rows::Most | Rows::List => most,
        };
        let made = |shape: Vec<usize>, slots: Vec<Slot>, listed| Array {
            key: self.array.key,
            output: self.output,
            listed,
            shape,
            element,
            tile,
            row_axes: row.len(),
            slots,
            strip: self.array.strip,
            tubelet: if self.array.tubelets { self.spec.strategy.tubelet() } else { 1 },
        };
        if self.array.rows == Rows::List && !equal {
            let mut all = Vec::new();
            for (group, &count) in groups.iter().zip(&counts) {
                let mut shape = collected([count])?;
                append(&mut shape, row.iter().copied())?;
                push(&mut all, made(shape, self.slots(group, count, row_bytes)?, true))?;
            }
            return Ok(all);
        }
        if matches!(self.array.group, Group::Flat | Group::View) {
            let mut shape = if self.array.group == Group::View {
                let rows = self.view_rows()?;
                collected([total / rows, rows])?
            } else {
                collected([total])?
            };
            append(&mut shape, row.iter().copied())?;
            let mut slots = Vec::new();
            for image in 0..images {
                let rows = self.rows(image);
                push(&mut slots, Slot { image, bytes: rows * row_bytes, rows })?;
            }
            return collected([made(shape, slots, false)]);
        }
        if self.array.group == Group::Frame {
            return self.of_frames(row, element, tile);
        }
        if self.array.rows == Rows::Own && !equal {
            let (first, other) = ((counts[0], 1), (most, 1));
            return Err(Error::Ragged { key: self.array.key, first, other });
        }
        let mut shape = match self.array.group {
            Group::SampleImage => {
                let most = self.samples.iter().copied().max().unwrap_or(0);
                collected([self.samples.len(), most, rows])?
            }
            _ => collected([groups.len(), rows])?,
        };
        append(&mut shape, row.iter().copied())?;
        let mut slots = Vec::new();
        for group in &groups {
            for slot in self.slots(group, rows, row_bytes)? {
                push(&mut slots, slot)?;
            }
        }
        if self.array.group == Group::SampleImage {
            self.fill_samples(&mut slots, rows * row_bytes);
        }
        collected([made(shape, slots, false)])
    }

    /// One array of all frames of all videos, each of as many rows as the strategy says.
    fn of_frames(
        &self,
        row: Vec<usize>,
        element: Element,
        tile: Option<Size>,
    ) -> Result<Vec<Array>> {
        let row_bytes = row.iter().product::<usize>() * element.size();
        let own = |image: usize| self.rows(image) / self.plans[image].frames.max(1);
        let most = (0..self.plans.len()).map(own).max().unwrap_or(0);
        let rows = self.spec.strategy.most_rows().max(most);
        let mut slots = Vec::new();
        let mut frames = 0;
        for (image, plan) in self.plans.iter().enumerate() {
            frames += plan.frames;
            let bytes = plan.frames * rows * row_bytes;
            push(&mut slots, Slot { image, bytes, rows: self.rows(image) })?;
        }
        let row_axes = row.len();
        let mut shape = collected([frames, rows])?;
        append(&mut shape, row)?;
        let (key, output, strip) = (self.array.key, self.output, self.array.strip);
        let (listed, tubelet) = (false, 1);
        collected([Array {
            key,
            output,
            listed,
            shape,
            element,
            tile,
            row_axes,
            slots,
            strip,
            tubelet,
        }])
    }

    fn option(&self, name: &str) -> usize {
        let mut values = Vec::new();
        self.spec.strategy.values(&mut values);
        match values.iter().find(|(found, _)| *found == name) {
            Some((_, Value::Int(count))) => *count as usize,
            _ => 0,
        }
    }

    /// The rows of every view, at least one.
    fn view_rows(&self) -> Result<usize> {
        let most = self.spec.strategy.most_rows();
        if most > 0 {
            return Ok(most);
        }
        let views = self.plans.iter().flat_map(|plan| &plan.views);
        let mut counts =
            views.filter(|view| view.output == Some(self.output)).map(super::view::View::count);
        let first = counts.next().unwrap_or(1).max(1);
        match counts.find(|&count| count != first) {
            Some(other) => {
                let (first, other) = ((first, 1), (other, 1));
                Err(Error::Ragged { key: self.array.key, first, other })
            }
            None => Ok(first),
        }
    }

    /// The images of every group, in order.
    fn groups(&self) -> Result<Vec<Vec<usize>>> {
        let mut groups = Vec::new();
        match self.array.group {
            Group::Flat | Group::View | Group::Image | Group::Frame | Group::SampleImage => {
                for image in 0..self.plans.len() {
                    push(&mut groups, collected([image])?)?;
                }
            }
            Group::Sample => {
                let mut first = 0;
                for &count in self.samples {
                    push(&mut groups, collected(first..first + count)?)?;
                    first += count;
                }
            }
        }
        Ok(groups)
    }

    /// Slots of a group's images in `rows` rows: the last image has those that are left.
    fn slots(&self, group: &[usize], rows: usize, row_bytes: usize) -> Result<Vec<Slot>> {
        let mut left = rows;
        let mut slots = Vec::new();
        for (place, &image) in group.iter().enumerate() {
            let own = self.rows(image);
            let part = if place + 1 == group.len() { left } else { own };
            left -= own;
            push(&mut slots, Slot { image, bytes: part * row_bytes, rows: own })?;
        }
        Ok(slots)
    }

    /// The last image of a sample has the places of the images that it lacks.
    fn fill_samples(&self, slots: &mut [Slot], bytes: usize) {
        let most = self.samples.iter().copied().max().unwrap_or(0);
        let mut end = 0;
        for &count in self.samples {
            end += count;
            if count > 0 {
                slots[end - 1].bytes += (most - count) * bytes;
            }
        }
    }
}

/// A mask over the array of one output: 1 where a view put something.
fn mask(
    spec: &Prepared,
    number: Number,
    (of, per): (usize, Per),
    plans: &[&Plan],
    arrays: &[Array],
) -> Result<FactForm> {
    let Some(array) = arrays.iter().find(|array| array.output == of) else {
        return Ok(FactForm::Tree(Tree::List(Vec::new())));
    };
    let rows = array.shape.len() - array.row_axes;
    let mut shape = collected(array.shape[..rows].iter().copied())?;
    let (height, width) = match per {
        Per::Row | Per::RowOrFirst => (1, 1),
        Per::Pixel => {
            let sides = &array.shape[array.shape.len() - 2..];
            append(&mut shape, sides.iter().copied())?;
            (sides[0], sides[1])
        }
        Per::Patch => {
            let sides = &array.shape[array.shape.len() - 2..];
            let patch = spec.strategy.patch_size();
            append(&mut shape, sides.iter().map(|side| side / patch))?;
            (sides[0] / patch, sides[1] / patch)
        }
    };
    let count: usize = shape.iter().product();
    let mut seen = filled(u8::from(per == Per::Patch), count)?;
    let row_bytes = array.shape[rows..].iter().product::<usize>() * array.element.size();
    let mut start = 0;
    for slot in &array.slots {
        let area = height * width;
        let part = &mut seen[start * area..];
        start += slot.bytes.checked_div(row_bytes).unwrap_or(0);
        for view in plans[slot.image].views.iter().filter(|view| view.output == Some(of)) {
            // The whole canvas counts as seen, whatever lies beside the image on it.
            if per == Per::Patch && view.role == Role::Global {
                continue;
            }
            if per == Per::Patch {
                let views = &plans[slot.image].views;
                let tiles = &mut part[view.index * area..][..view.count() * area];
                mask_patches(views, view, spec.strategy.patch_size(), (height, width), tiles);
                continue;
            }
            let (tall, wide) = match (per, view.cut) {
                (Per::Pixel, Cut::Tiles { tile, .. }) if view.grid.count() > 1 => tile,
                (Per::Pixel, _) => (
                    view.resized.0.saturating_add_signed(view.offset.0).min(view.canvas.0),
                    view.resized.1.saturating_add_signed(view.offset.1).min(view.canvas.1),
                ),
                (Per::Row | Per::RowOrFirst | Per::Patch, _) => (1, 1),
            };
            // Every temporal patch of a video has the same views.
            let plan = plans[slot.image];
            let each = plan.outputs[of].rows / plan.groups.max(1);
            let own = view.index..view.index + view.count();
            let rows =
                (0..plan.groups).flat_map(|group| own.clone().map(move |row| group * each + row));
            for row in rows {
                let tile = &mut part[row * area..(row + 1) * area];
                for line in tile.chunks_mut(width).take(tall) {
                    line[..wide.min(width)].fill(1);
                }
            }
        }
    }
    if let (Per::RowOrFirst, Some(&group)) = (per, shape.last()) {
        seen.iter_mut().step_by(group.max(1)).for_each(|first| *first = 1);
    }
    let mut bytes = reserved(count * number.size())?;
    for one in seen {
        number.write(f64::from(one), &mut bytes)?;
    }
    Ok(FactForm::Array { number, shape, bytes })
}

/// Clears the patches of a view's tiles, `grid` patches each, that lie in whole patches of padding below the image or on
/// its right.
fn mask_patches(views: &[View], view: &View, patch: usize, grid: Size, tiles: &mut [u8]) {
    let source = Rect { top: 0, left: 0, size: view.resized };
    // A view that only cuts the canvas of another one has its padding from there.
    let laid = match view.from {
        From::View(number) if view.source == source => &views[number],
        _ => view,
    };
    let kept = |side: usize, offset: isize, canvas: usize, patches: usize| {
        let beyond = canvas.saturating_sub(side.saturating_add_signed(offset));
        patches.saturating_sub(beyond / patch)
    };
    let (rows, columns) = (view.grid.rows, view.grid.columns);
    let tall = kept(laid.resized.0, laid.offset.0, laid.canvas.0, rows * grid.0);
    let wide = kept(laid.resized.1, laid.offset.1, laid.canvas.1, columns * grid.1);
    for (n, tile) in tiles.chunks_mut((grid.0 * grid.1).max(1)).enumerate() {
        let (top, left) = (n / columns * grid.0, n % columns * grid.1);
        for (y, line) in tile.chunks_mut(grid.1.max(1)).enumerate() {
            for (x, one) in line.iter_mut().enumerate() {
                *one = u8::from(top + y < tall && left + x < wide);
            }
        }
    }
}

/// The column and the row of every patch of an array; -1 for those that no view fills.
fn positions(number: Number, of: usize, plans: &[&Plan], arrays: &[Array]) -> Result<FactForm> {
    let Some(array) = arrays.iter().find(|array| array.output == of) else {
        return Ok(FactForm::Tree(Tree::List(Vec::new())));
    };
    let rows = array.shape.len() - array.row_axes;
    let mut shape = collected(array.shape[..rows].iter().copied())?;
    let count: usize = shape.iter().product();
    push(&mut shape, 2)?;
    let mut places = filled([-1.0; 2], count)?;
    let row_bytes = array.shape[rows..].iter().product::<usize>() * array.element.size();
    let mut start = 0;
    for slot in &array.slots {
        let plan = plans[slot.image];
        let all = slot.bytes.checked_div(row_bytes).unwrap_or(0);
        // Every temporal patch of a video has the same views.
        for group in 0..plan.groups {
            let first = start + group * (all / plan.groups);
            for view in plan.views.iter().filter(|view| view.output == Some(of)) {
                let own = &mut places[first + view.index..][..view.count()];
                for (n, place) in own.iter_mut().enumerate() {
                    *place = [(n % view.grid.columns) as f64, (n / view.grid.columns) as f64];
                }
            }
        }
        start += all;
    }
    let mut bytes = reserved(2 * count * number.size())?;
    places.iter().flatten().try_for_each(|&place| number.write(place, &mut bytes))?;
    Ok(FactForm::Array { number, shape, bytes })
}

/// The numbers of all images, joined.
fn join_fact(
    spec: &FactSpec,
    number: usize,
    plans: &[&Plan],
    samples: Samples<'_>,
) -> Result<FactForm> {
    let fact = |image: usize| &plans[image].facts[number];
    let of = |image: usize| fact(image).values();
    let images = plans.len();
    let mut bytes = Vec::new();
    let mut write = |value: f64| spec.number.write(value, &mut bytes);
    let leaf = |value: f64| Tree::Number(spec.number, value);
    let list = |values: &mut dyn Iterator<Item = f64>| -> Result<Tree> {
        Ok(Tree::List(collected(values.map(leaf))?))
    };
    let total = || (0..images).map(|image| fact(image).len()).sum::<usize>();
    let columns = || if images == 0 { spec.what.len() } else { fact(0).len() };
    let shape = match spec.form {
        Form::Lists => {
            let lists = gathered((0..images).map(|image| list(&mut of(image))))?;
            return Ok(FactForm::Tree(Tree::List(lists)));
        }
        Form::List => {
            return Ok(FactForm::Tree(list(&mut (0..images).flat_map(of))?));
        }
        Form::SampleLists => {
            let mut first = 0;
            let mut tree = Vec::new();
            for &count in samples {
                push(&mut tree, list(&mut (first..first + count).flat_map(of))?)?;
                first += count;
            }
            return Ok(FactForm::Tree(Tree::List(tree)));
        }
        Form::ListsToMost => {
            let most = (0..images).map(|image| fact(image).len()).max().unwrap_or(0);
            let padded = |image: usize| {
                let zeros = std::iter::repeat_n(0.0, most - fact(image).len());
                list(&mut of(image).chain(zeros))
            };
            return Ok(FactForm::Tree(Tree::List(gathered((0..images).map(padded))?)));
        }
        Form::Firsts => {
            let mut first = 0;
            let mut rows = 0;
            for &count in samples.iter().filter(|&&count| count > 0) {
                of(first).try_for_each(&mut write)?;
                first += count;
                rows += 1;
            }
            collected([rows, spec.what.len()])?
        }
        Form::Row => {
            (0..images).flat_map(of).try_for_each(&mut write)?;
            collected([images, columns()])?
        }
        Form::Scalar => {
            (0..images).flat_map(of).try_for_each(&mut write)?;
            collected([total()])?
        }
        Form::Rows(columns) => {
            (0..images).flat_map(of).try_for_each(&mut write)?;
            collected([total() / columns, columns])?
        }
        Form::Sample => {
            let most = samples.iter().copied().max().unwrap_or(0);
            let columns = columns();
            let mut first = 0;
            for &count in samples {
                (first..first + count).flat_map(of).try_for_each(&mut write)?;
                (0..(most - count) * columns).try_for_each(|_| write(0.0))?;
                first += count;
            }
            let shape = [samples.len(), most, columns];
            collected(shape[..if columns == 1 { 2 } else { 3 }].iter().copied())?
        }
        Form::Largest => {
            write((0..images).flat_map(of).fold(0.0, f64::max))?;
            Vec::new()
        }
    };
    Ok(FactForm::Array { number: spec.number, shape, bytes })
}
