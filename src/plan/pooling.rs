//! Which patches each token pools, of models that are told.

use super::facts::FactForm;
use super::{From, Plan, View};
use crate::error::{Result, collected, push, reserved};
use crate::spec::{Number, Prepared};
use crate::strategy::{Measure, Pooling, Strategy};

impl Plan {
    /// Rows and columns of tokens of every view that comes from the image itself.
    pub(super) fn pooled_grids(&self, strategy: &Strategy) -> Result<Vec<usize>> {
        let Some(pooling) = strategy.pooling() else { return Ok(Vec::new()) };
        let views = self.views.iter().filter(|view| view.from == From::Image);
        let grids = views.map(|view| pooling.grid((view.grid.rows, view.grid.columns)));
        collected(grids.flat_map(|grid| [grid.rows, grid.columns]))
    }
}

/// The number of every patch of a view, row by row, among those of its image or frame: its own where it fills the array,
/// else those of the crops that it is cut into. Of the crops that show a patch, it belongs to the one that has it between
/// its margins.
fn patches(plan: &Plan, number: usize, lead: usize) -> Result<Vec<usize>> {
    let view = &plan.views[number];
    let mut all = reserved(view.grid.count())?;
    if view.output.is_some() {
        all.extend(view.index..view.index + view.grid.count());
        return Ok(all);
    }
    let side = view.canvas.0 / view.grid.rows.max(1);
    let crops: Vec<&View> =
        collected(plan.views.iter().filter(|crop| crop.from == From::View(number)))?;
    let Some(first) = crops.first() else { return Ok(Vec::new()) };
    let columns = crops.iter().filter(|crop| crop.source.top == 0).count();
    let step = |next: Option<&&View>, along: fn(&View) -> usize| {
        next.map_or(usize::MAX, |crop| along(crop) / side)
    };
    let down = step(crops.get(columns), |crop| crop.source.top);
    let across = step(crops.get(1).filter(|_| columns > 1), |crop| crop.source.left);
    let owner = |place: usize, step: usize, crops: usize| {
        (place.saturating_sub(lead) / step).min(crops - 1)
    };
    for row in 0..view.grid.rows {
        let tall = owner(row, down, crops.len() / columns);
        for column in 0..view.grid.columns {
            let wide = owner(column, across, columns);
            let crop = crops[tall * columns + wide];
            let (top, left) = (crop.source.top / side, crop.source.left / side);
            all.push(crop.index + (row - top) * first.grid.columns + column - left);
        }
    }
    Ok(all)
}

/// The patches that each token of all images pools, of which the array of that number has a row each.
pub(super) fn pooled(
    spec: &Prepared,
    number: Number,
    of: usize,
    plans: &[&Plan],
) -> Result<FactForm> {
    let Some(pooling) = spec.strategy.pooling() else {
        let shape = collected([0, 0])?;
        return Ok(FactForm::Array { number, shape, bytes: Vec::new() });
    };
    let Pooling { window, lead } = pooling;
    let width = window.0 * window.1;
    let tokens: usize = plans.iter().map(|plan| plan.num_tokens).sum();
    let mut bytes = reserved(tokens.saturating_mul(width).saturating_mul(number.size()))?;
    let (mut start, mut rows) = (0, 0);
    for plan in plans {
        let mut views = Vec::new();
        for (number, view) in plan.views.iter().enumerate() {
            if view.from == From::Image {
                push(&mut views, (view.grid, patches(plan, number, lead)?))?;
            }
        }
        let each = plan.outputs[of].rows / plan.groups.max(1);
        for group in 0..plan.groups {
            let first = start + group * each;
            for (grid, patches) in &views {
                let size = (grid.rows, grid.columns);
                let (above, left) = pooling.before(size);
                let windows = pooling.grid(size);
                let place = |of: usize, before: usize, end: usize| {
                    of.checked_sub(before).filter(|&place| place < end)
                };
                for n in 0..windows.count() * width {
                    let (token, inside) = (n / width, n % width);
                    let (tall, wide) = (token / windows.columns, token % windows.columns);
                    let row = place(tall * window.0 + inside / window.1, above, size.0);
                    let column = place(wide * window.1 + inside % window.1, left, size.1);
                    let patch = row.zip(column).map_or(-1.0, |(row, column)| {
                        (first + patches[row * size.1 + column]) as f64
                    });
                    number.write(patch, &mut bytes)?;
                }
                rows += windows.count();
            }
        }
        start += plan.outputs[of].rows;
    }
    Ok(FactForm::Array { number, shape: collected([rows, width])?, bytes })
}
