//! One call: which arrays it returns, where each image's rows lie in them, and all that is no pixel.

use super::facts::{self, FactArray};
use super::{Cut, Inside, Order, Plan};
use crate::error::{Error, Result, Size, append, collected, push, reserved};
use crate::options::{Options, Value};
use crate::pack::Element;
use crate::spec::{ArraySpec, Group, Prepared, Rows};
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
    /// Patches of each view, a list a sample, where each view is to be a strip of its own.
    pub split: Option<Vec<Vec<usize>>>,
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

/// How many images each sample of a call has. A call of no samples has none.
pub type Samples<'a> = &'a [usize];

impl Batch {
    /// The arrays of images of these plans, in samples of these counts. `copies`: frames of a patch at most.
    ///
    /// # Errors
    /// `Ragged`, `Uneven` where no array can hold all images, `OutOfMemory`.
    pub fn new(
        spec: &Prepared,
        plans: &[&Plan],
        samples: Samples<'_>,
        elements: &[Element],
        copies: usize,
    ) -> Result<Self> {
        let arrays = Self::arrays(spec, plans, samples, elements, copies)?;
        let facts = facts::joined(spec, plans, samples, &arrays)?;
        Ok(Self { arrays, facts })
    }

    /// Whether upstream's array of that number is of floats since zeros fill the rows of a sample.
    #[must_use]
    pub fn has_holes(
        spec: &Prepared,
        output: usize,
        plans: &[&Plan],
        samples: Samples<'_>,
    ) -> bool {
        let array = spec.recipe.arrays[output].with(&spec.strategy);
        if array.holes.is_none_or(|on| !on.has(spec.numerics)) || array.group != Group::Sample {
            return false;
        }
        let mut plans = plans.iter();
        let mut counts = samples.iter().map(|&count| {
            plans.by_ref().take(count).map(|plan| plan.outputs[output].rows).sum::<usize>()
        });
        let first = counts.next();
        counts.any(|count| Some(count) != first)
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
        let limit = self.spec.strategy.most_rows();
        let joins = !matches!(self.array.group, Group::Flat | Group::View);
        if self.array.rows == Rows::Limit && joins && most > limit && !equal {
            return Err(self.unequal(&counts));
        }
        let rows = match self.array.rows {
            Rows::Option(name) => self.option(name).max(most),
            Rows::Limit => limit.max(most),
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
            split: None,
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
            let mut array = made(shape, slots, false);
            if self.array.split {
                array.split = Some(self.split()?);
            }
            return collected([array]);
        }
        if self.array.group == Group::Frame {
            return self.of_frames(row, element, tile);
        }
        if self.array.rows == Rows::Own && !equal {
            return Err(self.unequal(&counts));
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

    /// The error of groups that have not as many rows each.
    fn unequal(&self, counts: &[usize]) -> Error {
        let first = counts.first().copied().unwrap_or(0);
        let other = counts.iter().copied().find(|&count| count != first).unwrap_or(first);
        Error::Uneven { key: self.array.key, first, other }
    }

    /// Patches of each view, by samples.
    fn split(&self) -> Result<Vec<Vec<usize>>> {
        let mut samples = reserved(self.samples.len())?;
        let mut first = 0;
        for &count in self.samples {
            let mut views = Vec::new();
            for plan in &self.plans[first..first + count] {
                for view in plan.views.iter().filter(|view| view.output == Some(self.output)) {
                    push(&mut views, view.count())?;
                }
            }
            samples.push(views);
            first += count;
        }
        Ok(samples)
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
        let counts = collected((0..self.plans.len()).map(own))?;
        let most = counts.iter().copied().max().unwrap_or(0);
        let limit = self.spec.strategy.most_rows();
        if most > limit && counts.iter().any(|&count| count != most) {
            return Err(self.unequal(&counts));
        }
        let rows = limit.max(most);
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
        let (listed, tubelet, split) = (false, 1, None);
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
            split,
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
        let views = self.plans.iter().flat_map(|plan| &plan.views);
        let mut counts = views
            .filter(|view| view.output == Some(self.output))
            .map(|view| view.count().max(most));
        let first = counts.next().unwrap_or(most).max(1);
        match counts.find(|&count| count != first) {
            Some(other) => Err(Error::Uneven { key: self.array.key, first, other }),
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
