//! All of a call that is no pixel: numbers of its images joined, masks, positions.

use super::batch::{Array, Samples};
use super::pooling::pooled;
use super::{Cut, From, Plan, Rect, Role, View};
use crate::error::{Result, Size, append, collected, filled, gathered, push, reserved};
use crate::spec::{FactSpec, Form, Number, Per, Prepared, Rows, What};
use crate::strategy::Measure;

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
    /// A list of such.
    List(Vec<FactForm>),
}

/// Nested lists of numbers.
#[derive(Debug, PartialEq)]
pub enum Tree {
    /// A number of that type.
    Number(Number, f64),
    /// A list.
    List(Vec<Tree>),
}

/// The arrays and lists of a call that hold no pixels.
///
/// # Errors
/// `OutOfMemory`.
pub(super) fn joined(
    spec: &Prepared,
    plans: &[&Plan],
    samples: Samples<'_>,
    arrays: &[Array],
) -> Result<Vec<FactArray>> {
    let mut facts = Vec::new();
    for (number, fact) in spec.recipe.facts.iter().enumerate() {
        let empty = |plan: &&Plan| plan.facts[number].is_empty();
        let absent = match fact.form {
            Form::ListsToMost => plans.iter().all(empty),
            Form::RowIfFilled => !is_filled(fact, arrays),
            _ => false,
        };
        if absent || fact.only_if.is_some_and(|flag| !spec.strategy.is_on(flag)) {
            continue;
        }
        let form = match fact.what {
            What::Positions(of) => positions(fact.number, of, plans, arrays)?,
            What::Pooled(of) => pooled(spec, fact.number, of, plans)?,
            What::Mask { of, per } => mask(spec, fact.number, (of, per), plans, arrays)?,
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
    Ok(facts)
}

/// Whether zeros fill a part of the array that a mask of rows is over.
fn is_filled(fact: &FactSpec, arrays: &[Array]) -> bool {
    let What::Mask { of, .. } = fact.what else { return false };
    arrays.iter().filter(|array| array.output == of).any(|array| {
        let axes = array.shape.len() - array.row_axes;
        let rows: usize = array.shape[..axes].iter().product();
        array.slots.iter().map(|slot| slot.rows).sum::<usize>() < rows
    })
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
    let limit = spec.strategy.most_rows();
    if let ([images, most], Rows::Limit) = (&mut shape[..], spec.recipe.arrays[of].rows)
        && limit > 0
        && *most > limit
    {
        // Upstream's mask is as long as the limit, even of images or views that have more.
        *most = limit;
        let bytes = number.flags(filled(1, *images * limit)?)?;
        return Ok(FactForm::Array { number, shape, bytes });
    }
    let (height, width) = match per {
        Per::Row | Per::RowOrFirst => (1, 1),
        Per::Pixel | Per::PixelThroughout => {
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
        let all = slot.bytes.checked_div(row_bytes).unwrap_or(0);
        start += all;
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
                (Per::Pixel | Per::PixelThroughout, Cut::Tiles { tile, .. })
                    if view.grid.count() > 1 =>
                {
                    tile
                }
                (Per::Pixel | Per::PixelThroughout, _) => (
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
        if per == Per::PixelThroughout {
            for row in slot.rows.max(1)..all {
                part.copy_within(..area, row * area);
            }
        }
    }
    if let (Per::RowOrFirst, Some(&group)) = (per, shape.last()) {
        seen.iter_mut().step_by(group.max(1)).for_each(|first| *first = 1);
    }
    Ok(FactForm::Array { number, shape, bytes: number.flags(seen)? })
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

/// The numbers of all images in rows, by samples.
fn by_samples(
    spec: &FactSpec,
    number: usize,
    plans: &[&Plan],
    samples: Samples<'_>,
) -> Result<FactForm> {
    let mut first = 0;
    let (mut trees, mut arrays) = (Vec::new(), Vec::new());
    for &count in samples {
        let plans = &plans[first..first + count];
        first += count;
        let of = plans.iter().map(|plan| &plan.facts[number]);
        match spec.form {
            Form::SampleArrays(columns) => {
                let mut bytes = Vec::new();
                let mut rows = 0;
                for fact in of {
                    for value in fact.values() {
                        spec.number.write(value, &mut bytes)?;
                    }
                    rows += fact.len() / columns;
                }
                let shape = collected([rows, columns])?;
                push(&mut arrays, FactForm::Array { number: spec.number, shape, bytes })?;
            }
            Form::SampleRows(columns) => {
                let mut rows = Vec::new();
                for fact in of {
                    let numbers = collected(fact.values())?;
                    for row in numbers.chunks(columns) {
                        let row = row.iter().map(|&value| Tree::Number(spec.number, value));
                        push(&mut rows, Tree::List(collected(row)?))?;
                    }
                }
                push(&mut trees, Tree::List(rows))?;
            }
            _ => {}
        }
    }
    Ok(match spec.form {
        Form::SampleArrays(_) => FactForm::List(arrays),
        _ => FactForm::Tree(Tree::List(trees)),
    })
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
        Form::Sums => {
            let mut first = 0;
            let mut sums = reserved(samples.len())?;
            for &count in samples {
                sums.push((first..first + count).flat_map(of).sum());
                first += count;
            }
            return Ok(FactForm::Tree(list(&mut sums.into_iter())?));
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
        Form::SampleRows(_) | Form::SampleArrays(_) => {
            return by_samples(spec, number, plans, samples);
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
        Form::Row | Form::RowIfFilled => {
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
