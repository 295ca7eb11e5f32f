//! Where things are: between the image, the views, and the tokens of the language model.
//!
//! Coordinates are x and y, continuous, with the origin at the top left corner of the top left pixel. A view maps
//! to the image linearly on each axis: `x = source.left + (x' - offset.left) * source.width / resized.width`.

use crate::error::{Error, Result, Size, collected, filled};
use crate::names::names;
use crate::parallel::Watch;
use crate::plan::{Cells, From, Plan, Run, View};
use crate::strategy::Span;

names! {
    /// What a token stands for.
    pub enum Kind: "kind" {
        /// A part of the image.
        Image = "image",
        /// The end of a row of tokens.
        Newline = "newline",
        /// The border between two views.
        Separator = "separator",
        /// A part of a canvas where there is nothing but background.
        Padding = "padding",
    }
}

/// Left, top, right, bottom in the image.
pub type Bounds = [f64; 4];

#[derive(Clone, Copy)]
enum Axis {
    X,
    Y,
}

impl Plan {
    /// A coordinate on the canvas of `view` in the image, not clipped to it.
    fn in_image(&self, view: &View, axis: Axis, at: f64) -> f64 {
        let (start, length, offset, resized) = match axis {
            Axis::X => (view.source.left, view.source.size.1, view.offset.1, view.resized.1),
            Axis::Y => (view.source.top, view.source.size.0, view.offset.0, view.resized.0),
        };
        let at = start as f64 + (at - offset as f64) * length as f64 / resized as f64;
        match view.from {
            From::Image => at,
            From::View(number) => self.in_image(&self.views[number], axis, at),
        }
    }

    /// Whether nothing of the image is left on the canvas.
    fn vanished(&self, view: &View) -> bool {
        let from = match view.from {
            From::Image => false,
            From::View(number) => self.vanished(&self.views[number]),
        };
        from || view.resized.0 == 0 || view.resized.1 == 0
    }

    /// The part of the image that a rectangle on the canvas of `view` shows, clipped to it.
    fn region(&self, view: &View, corner: Size, size: Size) -> Bounds {
        if self.vanished(view) {
            return [0.0; 4];
        }
        let place = |axis, at: usize, end: usize| {
            self.in_image(view, axis, at as f64).clamp(0.0, end as f64)
        };
        let (height, width) = self.source;
        [
            place(Axis::X, corner.1, width),
            place(Axis::Y, corner.0, height),
            place(Axis::X, corner.1 + size.1, width),
            place(Axis::Y, corner.0 + size.0, height),
        ]
    }

    /// The first and last coordinate in the image of every row or column of cells, clipped to the image.
    fn edges(&self, cells: &Cells, axis: Axis) -> Result<Vec<(f64, f64)>> {
        let view = &self.views[cells.view];
        let (tiles, grid) = (cells.tiles, cells.grid);
        let (tiles, tile, seen, count, end, span) = match axis {
            Axis::X => {
                let end = self.source.1;
                (tiles.columns, cells.tile.1, cells.seen.1, grid.columns, end, cells.columns)
            }
            Axis::Y => {
                (tiles.rows, cells.tile.0, cells.seen.0, grid.rows, self.source.0, cells.rows)
            }
        };
        // A tile smaller than a patch has no cells.
        if self.vanished(view) || count == 0 {
            return filled((0.0, 0.0), span.tokens);
        }
        let place = |at: f64| self.in_image(view, axis, at).clamp(0.0, end as f64);
        let edge = |tile_number: usize, cell: usize| {
            place((tile_number * tile + (cell * cells.cell).min(seen)) as f64)
        };
        if span == Span::whole(tiles * count) {
            return collected((0..tiles).flat_map(|tile| {
                (0..count).map(move |cell| (edge(tile, cell), edge(tile, cell + 1)))
            }));
        }
        // Tokens that share the cells of a span evenly, over all tiles; they may begin inside a cell.
        let along = |token: usize| {
            let at = span.first as f64 + token as f64 * span.seen as f64 / span.tokens as f64;
            let (tile_number, cell) = (at as usize / count, at % count as f64);
            place((tile_number * tile) as f64 + (cell * cells.cell as f64).min(seen as f64))
        };
        collected((0..span.tokens).map(|token| (along(token), along(token + 1))))
    }

    /// Gives for each token, in their order, the box in the image that it sees, without area for one that sees none of
    /// it, and what it stands for.
    ///
    /// # Errors
    /// `Option` where the options of the family give tiles that no such model can take; `OutOfMemory`; `Interrupted`.
    pub fn tokens(&self, watch: &Watch<'_>, mut emit: impl FnMut(Bounds, Kind)) -> Result<()> {
        if self.runs.is_empty() && self.num_tokens > 0 {
            return Err(Error::Option {
                name: "token_boxes",
                rule: "asked of options whose patches fill the model's grid of tokens",
                given: format!("{} tokens for {:?}", self.num_tokens, self.resized),
            });
        }
        for _ in 0..self.steps {
            for run in &self.runs {
                match run {
                    Run::Mark(kind) => emit([0.0; 4], *kind),
                    Run::Cells(cells) => self.walk_cells(cells, watch, &mut emit)?,
                    Run::Pooled { view, tiles, tile, tokens } => {
                        let view = &self.views[*view];
                        for row in 0..tiles.rows {
                            for column in 0..tiles.columns {
                                watch.check()?;
                                let corner = (row * tile.0, column * tile.1);
                                let bounds = self.region(view, corner, *tile);
                                for _ in 0..*tokens {
                                    emit(bounds, Kind::Image);
                                }
                            }
                        }
                    }
                    Run::Image(count) => {
                        let (height, width) = self.source;
                        for _ in 0..*count {
                            emit([0.0, 0.0, width as f64, height as f64], Kind::Image);
                        }
                    }
                }
            }
        }
        if self.is_ended {
            emit([0.0; 4], Kind::Newline);
        }
        Ok(())
    }

    fn walk_cells(
        &self,
        cells: &Cells,
        watch: &Watch<'_>,
        emit: &mut impl FnMut(Bounds, Kind),
    ) -> Result<()> {
        let (columns, rows) = (self.edges(cells, Axis::X)?, self.edges(cells, Axis::Y)?);
        let cell = |&(top, bottom): &(f64, f64), &(left, right): &(f64, f64)| {
            let kind = if right > left && bottom > top { Kind::Image } else { Kind::Padding };
            ([left, top, right, bottom], kind)
        };
        if !cells.newline {
            for tile_rows in rows.chunks(cells.grid.rows.max(1)) {
                for tile_columns in columns.chunks(cells.grid.columns.max(1)) {
                    for row in tile_rows {
                        watch.check()?;
                        for column in tile_columns {
                            let (bounds, kind) = cell(row, column);
                            emit(bounds, kind);
                        }
                    }
                }
            }
            return Ok(());
        }
        let right = columns.iter().fold(0.0, |right: f64, column| right.max(column.1));
        for row in &rows {
            watch.check()?;
            for column in &columns {
                let (bounds, kind) = cell(row, column);
                emit(bounds, kind);
            }
            emit([right, row.0, right, row.1], Kind::Newline);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;

    #[test]
    fn every_token_has_a_box() {
        let mut with_boxes = 0;
        for family in families::all() {
            for size in [(1, 1), (1080, 1920), (2000, 300), (37, 411)] {
                let Ok(spec) = family.spec.clone().prepare() else { panic!("{}", family.name) };
                // Some families refuse the extremes.
                let Ok(plan) = Plan::new(&spec, size, 1) else { continue };
                let mut boxes = Vec::new();
                let walked = plan.tokens(&Watch::new(None), |bounds, _| boxes.push(bounds));
                if matches!(walked, Err(Error::Option { name: "token_boxes", .. })) {
                    continue; // tokens that are pooled or cut over views lie nowhere
                }
                with_boxes += 1;
                assert_eq!(walked, Ok(()), "{}: {size:?}: tokens without boxes", family.name);
                assert_eq!(boxes.len(), plan.num_tokens, "{}", family.name);
                let limit = [size.1 as f64, size.0 as f64];
                for [left, top, right, bottom] in boxes {
                    assert!(0.0 <= left && left <= right && right <= limit[0]);
                    assert!(0.0 <= top && top <= bottom && bottom <= limit[1]);
                }
            }
        }
        assert!(with_boxes > 240, "{with_boxes} plans have boxes");
    }
}
