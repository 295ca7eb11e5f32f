//! The tile grid whose aspect ratio is closest to the image's, as InternVL's `dynamic_preprocess`.

use crate::error::{Error, Result, Size, collected, filled, push};
use crate::order;

/// Rows and columns of tiles or patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Tiles from top to bottom.
    pub rows: usize,
    /// Tiles from left to right.
    pub columns: usize,
}

impl Grid {
    /// No tiles.
    pub const NONE: Self = Self { rows: 0, columns: 0 };

    /// How many tiles.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.rows * self.columns
    }
}

/// The largest `max_tiles` that is accepted: the candidate list grows as n log n and is searched for each size.
pub(super) const MAX_TILES: usize = 4096;

/// The order of ratios of one product, which decides ties between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatioOrder {
    /// That of a CPython set, as in InternVL's own code.
    Set,
    /// By columns, as in transformers.
    Columns,
}

/// All `(columns, rows)` whose product lies in `min_tiles..=max_tiles`, by product.
///
/// InternVL sorts a Python set, stably, by the product, so that inside one product the set's own order decides. That
/// order is CPython's hash table: it is rebuilt here, because the published list of 35 ratios for 12 tiles shows it.
///
/// # Errors
/// `Option` when the bounds are zero, crossed or above 4096; `OutOfMemory`.
pub fn aspect_ratios(
    order: RatioOrder,
    min_tiles: usize,
    max_tiles: usize,
) -> Result<Vec<(usize, usize)>> {
    if max_tiles == 0 || max_tiles > MAX_TILES {
        let given = max_tiles.to_string();
        return Err(Error::Option { name: "max_tiles", rule: "in 1..=4096", given });
    }
    if min_tiles == 0 || min_tiles > max_tiles {
        let given = format!("{min_tiles} (max_tiles {max_tiles})");
        return Err(Error::Option { name: "min_tiles", rule: "in 1..=max_tiles", given });
    }
    let mut set = PairSet::default();
    // Upstream's comprehension runs n, then columns and rows up to n each. Only the first insertion of a pair counts: with
    // the first n, or with the larger side.
    let first = |columns: usize| min_tiles.div_ceil(columns)..=min_tiles.min(max_tiles / columns);
    for columns in 1..=min_tiles {
        for rows in first(columns) {
            set.insert((columns, rows))?;
        }
    }
    for n in min_tiles + 1..=max_tiles {
        for columns in 1..=(n - 1).min(max_tiles / n) {
            set.insert((columns, n))?;
        }
        for rows in 1..=n.min(max_tiles / n) {
            set.insert((n, rows))?;
        }
    }
    let ratios = set.into_ordered()?;
    let mut numbers = collected(0..ratios.len())?;
    order::sort_by_key(&mut numbers, &mut |number| {
        let (columns, rows) = ratios[number];
        let place = if order == RatioOrder::Set { number } else { columns };
        ((columns * rows) as u64, place as u64)
    });
    collected(numbers.into_iter().map(|number| ratios[number]))
}

/// Pairs in the order in which a CPython set made of them gives them back.
///
/// # Errors
/// `OutOfMemory`.
pub fn set_order(pairs: impl IntoIterator<Item = (usize, usize)>) -> Result<Vec<(usize, usize)>> {
    let mut set = PairSet::default();
    for pair in pairs {
        set.insert(pair)?;
    }
    set.into_ordered()
}

/// Candidates of [`closest_aspect_grid`], made once.
///
/// The simple algorithm looks at every candidate. Float subtraction is monotone, so the smallest difference is that of a
/// neighbour among the distinct ratios; unless another ratio beside it has the same difference, only the candidates of
/// that one ratio are looked at.
#[derive(Clone, Debug)]
pub struct Ratios {
    /// In upstream's order.
    all: Vec<Candidate>,
    /// Distinct ratios, ascending.
    distinct: Vec<f64>,
    /// By ratio, in upstream's order.
    by_ratio: Vec<Candidate>,
    /// The candidates of each ratio: a range of `by_ratio`.
    spans: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    grid: Grid,
    columns: f64,
    rows: f64,
    ratio: f64,
}

impl Ratios {
    /// All grids of `min_tiles..=max_tiles`.
    ///
    /// # Errors
    /// As [`aspect_ratios`].
    pub fn new(order: RatioOrder, min_tiles: usize, max_tiles: usize) -> Result<Self> {
        let candidate = |(columns, rows): (usize, usize)| {
            let grid = Grid { rows, columns };
            let (columns, rows) = (columns as f64, rows as f64);
            Candidate { grid, columns, rows, ratio: columns / rows }
        };
        let ratios = aspect_ratios(order, min_tiles, max_tiles)?;
        Self::of(collected(ratios.into_iter().map(candidate))?)
    }

    fn of(all: Vec<Candidate>) -> Result<Self> {
        let mut numbers = collected(0..all.len())?;
        // Positive floats are in the order of their bits.
        order::sort_by_key(&mut numbers, &mut |number| {
            (all[number].ratio.to_bits(), number as u64)
        });
        let by_ratio = collected(numbers.iter().map(|&number| all[number]))?;
        let (mut distinct, mut spans) = (Vec::new(), Vec::new());
        for (place, candidate) in by_ratio.iter().enumerate() {
            if distinct.last().is_none_or(|&last: &f64| last < candidate.ratio) {
                push(&mut distinct, candidate.ratio)?;
                push(&mut spans, (place as u32, place as u32))?;
            }
            if let Some(span) = spans.last_mut() {
                span.1 = place as u32 + 1;
            }
        }
        Ok(Self { all, distinct, by_ratio, spans })
    }

    /// The same without grids of more than `side` tiles a side.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn of_sides_up_to(self, side: usize) -> Result<Self> {
        let mut all = self.all;
        all.retain(|candidate| candidate.grid.rows.max(candidate.grid.columns) <= side);
        Self::of(all)
    }

    /// The grid for an image, with ties going to the larger grid only when the image has more than half its pixels.
    ///
    /// # Errors
    /// `ZeroSide`.
    pub fn closest(&self, size: Size, tile: Size) -> Result<Grid> {
        sides(size, tile)?;
        Ok(Self::best(self.nearest(size), size, tile))
    }

    /// The candidates that may be the closest, in upstream's order.
    fn nearest(&self, size: Size) -> &[Candidate] {
        let aspect = size.1 as f64 / size.0 as f64;
        let above = self.distinct.partition_point(|&ratio| ratio <= aspect);
        let distance = |number: usize| {
            self.distinct.get(number).map_or(f64::INFINITY, |ratio| (aspect - ratio).abs())
        };
        let (below, over) = (distance(above.wrapping_sub(1)), distance(above));
        let (nearest, unique) = if below < over {
            (above - 1, distance(above.wrapping_sub(2)) > below)
        } else {
            (above, over < below && distance(above + 1) > over)
        };
        if !unique {
            return &self.all;
        }
        let (start, end) = self.spans[nearest];
        &self.by_ratio[start as usize..end as usize]
    }

    /// The same of those grids whose sides do not divide the sides of `other`; 1 x 1 where there are none.
    ///
    /// # Errors
    /// `ZeroSide`.
    pub fn closest_beside(&self, other: Grid, size: Size, tile: Size) -> Result<Grid> {
        sides(size, tile)?;
        let apart = |candidate: &&Candidate| {
            let grid = candidate.grid;
            !other.columns.is_multiple_of(grid.columns) && !other.rows.is_multiple_of(grid.rows)
        };
        Ok(Self::best(self.all.iter().filter(apart), size, tile))
    }

    /// The grid whose aspect ratio, as a part of the image's, times its area, as a part of the image's and at most 0.6 of
    /// it, is largest: the first of those, as the processor of Llama-Nemotron-VL.
    ///
    /// # Errors
    /// `ZeroSide`.
    pub fn fullest(&self, size: Size, tile: Size) -> Result<Grid> {
        sides(size, tile)?;
        let aspect = size.1 as f64 / size.0 as f64;
        let area = size.0 as f64 * size.1 as f64;
        let tile = tile.0 as f64 * tile.1 as f64;
        let mut best = (Grid { rows: 1, columns: 1 }, f64::NEG_INFINITY);
        for candidate in &self.all {
            let filled = (candidate.columns * candidate.rows * tile / area).min(0.6);
            let close = (candidate.ratio / aspect).min(aspect / candidate.ratio);
            if filled * close > best.1 {
                best = (candidate.grid, filled * close);
            }
        }
        Ok(best.0)
    }

    /// The simple algorithm.
    fn best<'a>(
        candidates: impl IntoIterator<Item = &'a Candidate>,
        size: Size,
        tile: Size,
    ) -> Grid {
        let aspect = size.1 as f64 / size.0 as f64;
        let area = size.0 as f64 * size.1 as f64;
        let half = 0.5 * (tile.0 as f64 * tile.1 as f64);
        let mut best = Grid { rows: 1, columns: 1 };
        let mut best_difference = f64::INFINITY;
        for candidate in candidates {
            let difference = (aspect - candidate.ratio).abs();
            let closer = difference < best_difference;
            let tie = difference.total_cmp(&best_difference).is_eq();
            if closer || (tie && area > half * candidate.columns * candidate.rows) {
                best = candidate.grid;
                best_difference = difference;
            }
        }
        best
    }
}

fn sides(size: Size, tile: Size) -> Result<()> {
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    if tile.0 == 0 || tile.1 == 0 {
        return Err(Error::ZeroSide { what: "tile_size", size: tile });
    }
    Ok(())
}

/// The grid for an image, of all of `min_tiles..=max_tiles`: see [`Ratios::closest`].
///
/// # Errors
/// `ZeroSide`, or `Option` as [`aspect_ratios`].
pub fn closest_aspect_grid(
    order: RatioOrder,
    size: Size,
    tile: Size,
    min_tiles: usize,
    max_tiles: usize,
) -> Result<Grid> {
    Ratios::new(order, min_tiles, max_tiles)?.closest(size, tile)
}

/// A CPython set of pairs of small positive integers: open addressing with 9 linear probes, then
/// perturbation, growing fourfold at three fifths full.
#[derive(Default)]
struct PairSet {
    table: Vec<Option<(u64, (usize, usize))>>,
    used: usize,
}

const LINEAR_PROBES: usize = 9;
const PERTURB_SHIFT: u32 = 5;

impl PairSet {
    fn insert(&mut self, pair: (usize, usize)) -> Result<()> {
        if self.table.is_empty() {
            self.table = filled(None, 8)?;
        }
        let hash = tuple_hash(pair);
        let slot = Self::slot(&self.table, hash, Some(pair));
        if self.table[slot].is_some() {
            return Ok(());
        }
        self.table[slot] = Some((hash, pair));
        self.used += 1;
        let mask = self.table.len() - 1;
        if self.used * 5 >= mask * 3 { self.grow() } else { Ok(()) }
    }

    fn grow(&mut self) -> Result<()> {
        let wanted = if self.used > 50_000 { self.used * 2 } else { self.used * 4 };
        let mut size = 8;
        while size <= wanted {
            size *= 2;
        }
        let old = std::mem::replace(&mut self.table, filled(None, size)?);
        for entry in old.into_iter().flatten() {
            let slot = Self::slot(&self.table, entry.0, None);
            self.table[slot] = Some(entry);
        }
        Ok(())
    }

    /// The slot that holds `pair`, or the free one where it would go.
    fn slot(
        table: &[Option<(u64, (usize, usize))>],
        hash: u64,
        pair: Option<(usize, usize)>,
    ) -> usize {
        let mask = table.len() - 1;
        let mut perturb = hash;
        let mut i = hash as usize & mask;
        loop {
            let probes = if i + LINEAR_PROBES <= mask { LINEAR_PROBES } else { 0 };
            let free_or_same = |entry: &Option<(u64, (usize, usize))>| {
                entry.is_none_or(|(_, found)| Some(found) == pair)
            };
            if let Some(probe) = table[i..=i + probes].iter().position(free_or_same) {
                return i + probe;
            }
            perturb >>= PERTURB_SHIFT;
            i = i.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb as usize) & mask;
        }
    }

    fn into_ordered(self) -> Result<Vec<(usize, usize)>> {
        collected(self.table.into_iter().flatten().map(|(_, pair)| pair))
    }
}

/// CPython's tuple hash (xxHash's rounds) of two small integers, which hash to themselves.
fn tuple_hash((a, b): (usize, usize)) -> u64 {
    const PRIME_1: u64 = 11_400_714_785_074_694_791;
    const PRIME_2: u64 = 14_029_467_366_897_019_727;
    const PRIME_5: u64 = 2_870_177_450_012_600_261;
    let round = |sum: u64, lane: usize| {
        sum.wrapping_add((lane as u64).wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
    };
    let sum = round(round(PRIME_5, a), b);
    sum.wrapping_add(2 ^ (PRIME_5 ^ 0x0035_d373))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_list_of_twelve_tiles() {
        let published = [
            (1, 1),
            (1, 2),
            (2, 1),
            (3, 1),
            (1, 3),
            (2, 2),
            (4, 1),
            (1, 4),
            (5, 1),
            (1, 5),
            (1, 6),
            (6, 1),
            (3, 2),
            (2, 3),
            (7, 1),
            (1, 7),
            (4, 2),
            (2, 4),
            (1, 8),
            (8, 1),
            (1, 9),
            (3, 3),
            (9, 1),
            (2, 5),
            (5, 2),
            (10, 1),
            (1, 10),
            (11, 1),
            (1, 11),
            (12, 1),
            (3, 4),
            (4, 3),
            (1, 12),
            (6, 2),
            (2, 6),
        ];
        assert_eq!(aspect_ratios(RatioOrder::Set, 1, 12), Ok(published.to_vec()));
    }

    #[test]
    fn the_order_without_small_grids() {
        let from_three = [
            (3, 1),
            (1, 3),
            (4, 1),
            (1, 4),
            (2, 2),
            (1, 5),
            (5, 1),
            (6, 1),
            (2, 3),
            (1, 6),
            (3, 2),
        ];
        assert_eq!(aspect_ratios(RatioOrder::Set, 3, 6), Ok(from_three.to_vec()));
    }

    #[test]
    fn the_neighbours_of_a_ratio_are_enough() {
        for (order, most) in [(RatioOrder::Set, 12), (RatioOrder::Columns, 37)] {
            let ratios = Ratios::new(order, 1, most).expect("ratios");
            for height in 1..90 {
                for width in 1..300 {
                    for tile in [(3, 3), (20, 31), (448, 448)] {
                        let size = (height, width);
                        let plain = Ratios::best(&ratios.all, size, tile);
                        assert_eq!(ratios.closest(size, tile), Ok(plain), "{size:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn ties_look_at_the_area() {
        let grid = |h, w| {
            closest_aspect_grid(RatioOrder::Set, (h, w), (448, 448), 1, 12)
                .map(|g| (g.rows, g.columns))
        };
        assert_eq!(grid(633, 633), Ok((1, 1)));
        assert_eq!(grid(634, 634), Ok((2, 2)));
        assert_eq!(grid(951, 951), Ok((3, 3)));
        assert_eq!(grid(1080, 1920), Ok((2, 4)));
    }
}
