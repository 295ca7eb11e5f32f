//! Grids of tiles that cover an image: by scale, by area, or by the room that they leave.

use crate::error::{Result, Size, collected, push};

use super::Grid;

/// Of `grids`, as (columns, rows), the first one that enlarges the image least, else the first one that shrinks it least,
/// as Cohere2-Vision's `get_optimal_tiled_canvas`. Tiles are squares of `tile` pixels.
#[must_use]
pub fn covering_scale(size: Size, tile: usize, grids: &[(usize, usize)]) -> Grid {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let mut enlarging: Option<(f64, Grid)> = None;
    let mut shrinking: Option<(f64, Grid)> = None;
    for &(columns, rows) in grids {
        let along = |tiles: usize, side: f64| (tiles * tile) as f64 / side;
        let scale = along(columns, width).min(along(rows, height));
        let grid = Grid { rows, columns };
        if scale < 1.0 {
            if shrinking.is_none_or(|(best, _)| scale > best) {
                shrinking = Some((scale, grid));
            }
        } else if enlarging.is_none_or(|(best, _)| scale < best) {
            enlarging = Some((scale, grid));
        }
    }
    enlarging.or(shrinking).map_or(Grid { rows: 1, columns: 1 }, |(_, grid)| grid)
}

/// How much of the image has to be kept.
const KEPT: f64 = 0.9;

/// Of `grids`, as (columns, rows), the smallest one that keeps nine tenths of the image's area when each part is shrunk
/// into a tile of `side` pixels, else the one that keeps most, as Ovis2's `get_min_tile_covering_grid`.
///
/// Upstream splits the image into `columns` rows and `rows` columns to find out, and then tiles it the other way round.
#[must_use]
pub fn covering_area(size: Size, side: usize, grids: &[(usize, usize)]) -> Grid {
    let (height, width) = size;
    let area = (height * width) as f64;
    let limit = side as f64;
    let mut enough: Option<(usize, f64, Grid)> = None;
    let mut most: Option<(f64, usize, Grid)> = None;
    for &(down, across) in grids {
        let (row, column) = (height / down, width / across);
        let length = |whole: usize, part: usize, parts: usize, number: usize| {
            if number + 1 == parts { whole - part * number } else { part }
        };
        let mut kept = 0.0;
        for y in 0..down {
            let tall = length(height, row, down, y);
            for x in 0..across {
                let wide = length(width, column, across, x);
                let (long, short) = (wide.max(tall) as f64, wide.min(tall) as f64);
                kept += if long > limit { limit * (short / long * limit) } else { long * short };
            }
        }
        let ratio = kept / area;
        let count = down * across;
        let grid = Grid { rows: across, columns: down };
        if ratio > KEPT && enough.is_none_or(|(fewest, best, _)| (count, -ratio) < (fewest, -best))
        {
            enough = Some((count, ratio, grid));
        }
        if most.is_none_or(|(best, fewest, _)| (-ratio, count) < (-best, fewest)) {
            most = Some((ratio, count, grid));
        }
    }
    enough
        .map(|(_, _, grid)| grid)
        .or(most.map(|(_, _, grid)| grid))
        .unwrap_or(Grid { rows: 1, columns: 1 })
}

/// Arrangements of tiles by aspect ratio, in the order in which PerceptionLM's `_find_supported_aspect_ratios` finds them.
#[derive(Clone, Debug)]
pub struct Arrangements(Vec<(f64, Vec<Grid>)>);

impl Arrangements {
    /// Of at most `tiles` tiles.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(tiles: usize) -> Result<Self> {
        let mut all: Vec<(f64, Vec<Grid>)> = Vec::new();
        for count in (1..=tiles).rev() {
            for columns in (1..=count).filter(|columns| count.is_multiple_of(*columns)) {
                let grid = Grid { rows: count / columns, columns };
                let ratio = columns as f64 / grid.rows as f64;
                match all.iter_mut().find(|(found, _)| found.total_cmp(&ratio).is_eq()) {
                    Some((_, grids)) => push(grids, grid)?,
                    None => push(&mut all, (ratio, collected([grid])?))?,
                }
            }
        }
        Ok(Self(all))
    }

    /// All of them.
    pub fn grids(&self) -> impl Iterator<Item = Grid> {
        self.0.iter().flat_map(|(_, grids)| grids).copied()
    }

    /// The arrangement for an image, of tiles of `tile` pixels a side.
    #[must_use]
    pub fn best(&self, size: Size, tile: usize) -> Grid {
        self.fitting(size, tile).unwrap_or_else(|| self.closest(size))
    }

    /// Of those that hold the image at its size, the last one that it fills with the longest shorter side.
    fn fitting(&self, size: Size, tile: usize) -> Option<Grid> {
        let (height, width) = (size.0 as f64, size.1 as f64);
        let ratio = width / height;
        let filled = |grid: &Grid| {
            let (tall, wide) = ((grid.rows * tile) as f64, (grid.columns * tile) as f64);
            let scale = (wide / width).min(tall / height);
            if ratio > 1.0 {
                let wide = scale * width;
                ((wide / ratio).floor(), wide)
            } else {
                let tall = scale * height;
                (tall, (tall * ratio).floor())
            }
        };
        let mut best: Option<(Grid, (f64, f64))> = None;
        for grid in self.0.iter().flat_map(|(_, grids)| grids) {
            if grid.columns * tile < size.1 || grid.rows * tile < size.0 {
                continue;
            }
            let (tall, wide) = filled(grid);
            let better = best.is_none_or(
                |(_, (height, width))| {
                    if ratio < 1.0 { wide >= width } else { tall >= height }
                },
            );
            if better {
                best = Some((*grid, (tall, wide)));
            }
        }
        best.map(|(grid, _)| grid)
    }

    /// The longest arrangement of the aspect ratio that is closest from inside.
    fn closest(&self, size: Size) -> Grid {
        let ratio = size.1 as f64 / size.0 as f64;
        let mut best: Option<(f64, &[Grid])> = None;
        for (found, grids) in &self.0 {
            let (fits, difference) = if ratio >= 1.0 {
                (*found <= ratio, (found - ratio).abs())
            } else {
                (*found > ratio, (1.0 / found - 1.0 / ratio).abs())
            };
            if fits && best.is_none_or(|(least, _)| difference < least) {
                best = Some((difference, grids));
            }
        }
        let grids = best.map_or(&[] as &[Grid], |(_, grids)| grids);
        let longest = |grid: &Grid| if ratio >= 1.0 { grid.columns } else { grid.rows };
        let mut chosen = Grid { rows: 1, columns: 1 };
        for (number, grid) in grids.iter().enumerate() {
            if number == 0 || longest(grid) > longest(&chosen) {
                chosen = *grid;
            }
        }
        chosen
    }
}

/// The number of the canvas, of `grids` of tiles of `tile` pixels, that enlarges the image least, or `most`; where none
/// enlarges it, of the one that shrinks it least. Of equals, that of the fewest pixels, the first of those.
#[must_use]
pub fn least_enlarged(size: Size, tile: usize, grids: &[Grid], single: bool, most: bool) -> usize {
    let along = |tiles: usize, side: usize| {
        let target = tiles * tile;
        if single { f64::from(target as f32 / side as f32) } else { target as f64 / side as f64 }
    };
    let scale = |grid: &Grid| along(grid.rows, size.0).min(along(grid.columns, size.1));
    // What is preferred comes out larger: any canvas that enlarges the image goes before any that shrinks it.
    let value = |grid: &Grid| {
        let scale = scale(grid);
        match (scale >= 1.0, most) {
            (true, true) => (1, scale),
            (true, false) => (1, -scale),
            (false, _) => (0, scale),
        }
    };
    let mut best: Option<(usize, (i32, f64), usize)> = None;
    for (number, grid) in grids.iter().enumerate() {
        let (value, area) = (value(grid), grid.count());
        let better =
            best.is_none_or(|(_, held, fewest)| value > held || (value == held && area < fewest));
        if better {
            best = Some((number, value, area));
        }
    }
    best.map_or(0, |(number, _, _)| number)
}

/// Of `grids` of windows of `window` pixels, the first one that enlarges what an image has beside a margin of `margin`
/// pixels least, else the first one that shrinks it least, in float32: Molmo2's `select_tiling`. An image smaller than
/// the margin has a negative rest, which counts as shrunk, by the side that is shrunk most.
#[must_use]
pub fn covering_rest(size: Size, margin: usize, window: usize, grids: &[Grid]) -> Grid {
    let rest = |side: usize| (side as i64 - margin as i64) as f32;
    let (height, width) = (rest(size.0), rest(size.1));
    let along = |windows: usize, side: f32| (windows * window) as f32 / side;
    let scale = |grid: &Grid| along(grid.rows, height).min(along(grid.columns, width));
    let mut enlarging: Option<(f32, Grid)> = None;
    let mut shrinking: Option<(f32, Grid)> = None;
    for grid in grids {
        let scale = scale(grid);
        if scale < 1.0 {
            if shrinking.is_none_or(|(best, _)| scale > best) {
                shrinking = Some((scale, *grid));
            }
        } else if enlarging.is_none_or(|(best, _)| scale < best) {
            enlarging = Some((scale, *grid));
        }
    }
    enlarging.or(shrinking).map_or(Grid { rows: 1, columns: 1 }, |(_, grid)| grid)
}
