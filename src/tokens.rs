//! Tokens of many sizes, fast: what [`Plan::new`] would say, without the plan.
//!
//! [`Counter::count`] is by definition `Plan::new(..).num_tokens`, and asks the plan itself wherever a size is out of
//! the ordinary: every error, and every tie of the aspect grid between two ratios. What is left needs no allocation:
//!
//! 1. Rounding needs no call to `rint` or `floor`, which the x86-64 baseline lacks as instructions: adding and
//!    subtracting 2^52 rounds to nearest, ties to even. Numbers stay floats, since casts to integers are slow as well.
//! 2. The closest ratio is found by bisection over the distinct ratios. Float subtraction is monotone, so the smallest
//!    difference is that of a neighbour, and any other ratio that ties with it in floats is next to it.
//! 3. All canvases are tried without a branch.

use crate::error::{Error, Result, Size, collected, push, reserved};
use crate::plan::{Plan, crops, tile_budget, tokens_of_canvas, tokens_of_tile};
use crate::sizing::{self, Grid};
use crate::spec::{AspectGrid, BestCanvas, Rule, SmartResize, Spec};

/// Sides from here on go to the plan, which refuses most of them.
const MAX_SIDE: usize = 1 << 31;

/// Counts the tokens of any image of one spec.
pub struct Counter {
    spec: Spec,
    num_images: usize,
    fast: Fast,
}

enum Fast {
    SmartResize(Multiples),
    AspectGrid(Ratios),
    BestCanvas(Canvases),
    /// Every image has as many.
    Constant(usize),
    /// There is no short way.
    Plan,
}

impl Counter {
    /// For images in samples of `num_images`.
    ///
    /// # Errors
    /// `Option` where the options contradict each other.
    pub fn new(spec: &Spec, num_images: usize) -> Result<Self> {
        let fast = match &spec.rule {
            Rule::SmartResize(rule) if spec.do_resize => {
                Fast::SmartResize(Multiples::new(rule, spec.max_image_pixels))
            }
            Rule::AspectGrid(rule) if crops(spec, rule) => {
                Fast::AspectGrid(Ratios::new(spec, rule, num_images)?)
            }
            Rule::AspectGrid(rule) if spec.do_resize => {
                Fast::Constant(tokens_of_tile(rule, rule.image_size))
            }
            Rule::BestCanvas(rule) if num_images <= rule.max_images_tiled => {
                Canvases::new(spec, rule).map_or(Fast::Plan, Fast::BestCanvas)
            }
            Rule::BestCanvas(rule) => {
                Fast::Constant(tokens_of_canvas(rule, Grid { rows: 1, columns: 1 }))
            }
            Rule::PadSquare(rule) if spec.do_resize && rule.do_pad => {
                let side = rule.image_size / rule.patch_size;
                Fast::Constant(side * side)
            }
            Rule::SmartResize(_) | Rule::AspectGrid(_) | Rule::PadSquare(_) | Rule::Video(_) => {
                Fast::Plan
            }
        };
        let mut counter = Self { spec: spec.clone(), num_images, fast };
        // Where every canvas is the same, so is whether it is too large.
        if matches!(counter.fast, Fast::Constant(_)) && counter.plan((1, 1)).is_err() {
            counter.fast = Fast::Plan;
        }
        Ok(counter)
    }

    fn plan(&self, size: Size) -> Result<usize> {
        Plan::new(&self.spec, size, self.num_images).map(|plan| plan.num_tokens)
    }

    /// `Plan::new(spec, size, num_images).num_tokens`.
    ///
    /// # Errors
    /// As [`Plan::new`].
    #[inline]
    pub fn count(&self, size: Size) -> Result<usize> {
        match self.shortcut(size) {
            Some(tokens) => Ok(tokens),
            None => self.plan(size),
        }
    }

    #[inline]
    fn shortcut(&self, size: Size) -> Option<usize> {
        let limit = self.spec.max_image_pixels;
        if size.0.wrapping_sub(1) >= MAX_SIDE - 1 || size.1.wrapping_sub(1) >= MAX_SIDE - 1 {
            return None;
        }
        if size.0 as u64 * size.1 as u64 > limit {
            return None;
        }
        match &self.fast {
            Fast::SmartResize(multiples) => multiples.count(size),
            Fast::AspectGrid(ratios) => ratios.count(size),
            Fast::BestCanvas(canvases) => canvases.count(size),
            Fast::Constant(tokens) => Some(*tokens),
            Fast::Plan => None,
        }
    }
}

/// 2^52, where floats are integers.
const INTEGERS: f64 = 4_503_599_627_370_496.0;

/// Half to even; for numbers in `0.0..2^51`.
#[inline]
fn round_ties_even(x: f64) -> f64 {
    (x + INTEGERS) - INTEGERS
}

/// For numbers in `0.0..2^51`.
#[inline]
fn floor(x: f64) -> f64 {
    let near = round_ties_even(x);
    if near > x { near - 1.0 } else { near }
}

/// [`sizing::smart_resize`] for sizes that pass its checks.
struct Multiples {
    factor: f64,
    min: f64,
    max: f64,
    /// Most cells of a resized image.
    limit: f64,
}

impl Multiples {
    fn new(rule: &SmartResize, limit: u64) -> Self {
        let factor = rule.patch_size * rule.merge_size;
        Self {
            factor: factor as f64,
            min: rule.min_pixels as f64,
            max: rule.max_pixels as f64,
            limit: (u128::from(limit) / (factor as u128 * factor as u128)) as f64,
        }
    }

    #[inline]
    fn count(&self, size: Size) -> Option<usize> {
        let (long, short) = (size.0.max(size.1), size.0.min(size.1));
        if long > 200 * short {
            return None;
        }
        let (height, width) = (size.0 as f64, size.1 as f64);
        let mut rows = round_ties_even(height / self.factor);
        let mut columns = round_ties_even(width / self.factor);
        let pixels = (rows * self.factor) * (columns * self.factor);
        if pixels > self.max {
            let beta = (height * width / self.max).sqrt();
            let down = |side: f64| floor(side / beta / self.factor).max(1.0);
            (rows, columns) = (down(height), down(width));
        } else if pixels < self.min {
            let beta = (self.min / (height * width)).sqrt();
            let up = |side: f64| -floor_any(-(side * beta / self.factor));
            (rows, columns) = (up(height), up(width));
        }
        let tokens = rows * columns;
        (tokens <= self.limit && tokens < INTEGERS).then_some(tokens as usize)
    }
}

/// For numbers in `-2^51..=0.0`.
#[inline]
fn floor_any(x: f64) -> f64 {
    let near = (x - INTEGERS) + INTEGERS;
    if near > x { near - 1.0 } else { near }
}

/// The aspect grid's candidates, by ratio.
struct Ratios {
    tile: Size,
    /// `(columns, rows)` in the order of the plain rule.
    list: Vec<(usize, usize)>,
    /// Distinct ratios, ascending.
    distinct: Vec<f64>,
    /// The candidates of each ratio: a range of `candidates`.
    spans: Vec<(usize, usize)>,
    /// By ratio, in the order of the plain rule: an image with more pixels than the first number may take the
    /// candidate; tokens, if its canvas is not too large.
    candidates: Vec<(f64, Option<usize>)>,
    tokens_of_tile: usize,
    use_thumbnail: bool,
    limit: u64,
}

impl Ratios {
    fn new(spec: &Spec, rule: &AspectGrid, num_images: usize) -> Result<Self> {
        let (min_num, max_num) = tile_budget(rule, num_images);
        let list = sizing::aspect_ratios(rule.order, min_num, max_num)?;
        let mut places: Vec<usize> = collected(0..list.len())?;
        let ratio = |place: usize| list[place].0 as f64 / list[place].1 as f64;
        // By ratio, and of one ratio in the order of the plain rule.
        places.sort_unstable_by(|&a, &b| ratio(a).total_cmp(&ratio(b)).then(a.cmp(&b)));
        let mut made = Self {
            tile: rule.image_size,
            distinct: Vec::new(),
            spans: Vec::new(),
            candidates: reserved(list.len())?,
            list,
            tokens_of_tile: tokens_of_tile(rule, rule.image_size),
            use_thumbnail: rule.use_thumbnail,
            limit: spec.max_image_pixels,
        };
        let tile_area = made.tile.0 as f64 * made.tile.1 as f64;
        for place in places {
            let (columns, rows) = made.list[place];
            let ratio = columns as f64 / rows as f64;
            let number = made.candidates.len();
            if made.distinct.last().is_some_and(|last| last.total_cmp(&ratio).is_eq()) {
                if let Some(span) = made.spans.last_mut() {
                    span.1 = number + 1;
                }
            } else {
                push(&mut made.distinct, ratio)?;
                push(&mut made.spans, (number, number + 1))?;
            }
            // The product in the order of the plain rule.
            let threshold = 0.5 * tile_area * columns as f64 * rows as f64;
            let tokens = made.tokens(Grid { rows, columns });
            made.candidates.push((threshold, tokens));
        }
        Ok(made)
    }

    fn tokens(&self, grid: Grid) -> Option<usize> {
        let area = self.tile.0 as u128 * self.tile.1 as u128 * grid.count() as u128;
        let thumbnail = usize::from(self.use_thumbnail && grid.count() > 1);
        (area <= u128::from(self.limit)).then_some((grid.count() + thumbnail) * self.tokens_of_tile)
    }

    #[inline]
    fn count(&self, size: Size) -> Option<usize> {
        let (height, width) = (size.0 as f64, size.1 as f64);
        let aspect = width / height;
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
            let grid = sizing::closest_in(size, self.tile, &self.list).ok()?;
            return self.tokens(grid);
        }
        let area = height * width;
        let (start, end) = self.spans[nearest];
        let mut best = self.candidates[start].1;
        for &(threshold, tokens) in &self.candidates[start + 1..end] {
            if area > threshold {
                best = tokens;
            }
        }
        best
    }
}

/// [`sizing::best_canvas`], four canvases at a time.
///
/// The rule takes the most pixels kept, then the least waste, which for equal pixels is the smallest canvas, then
/// the first. So each canvas has a rank by area and place, and the largest of `kept * ranks + rank` says which it is;
/// all of these are integers that floats hold exactly.
struct Canvases {
    groups: Vec<Group>,
    ranks: f64,
    /// By rank.
    tokens: Vec<Option<usize>>,
}

const LANES: usize = 4;

struct Group {
    heights: [f64; LANES],
    widths: [f64; LANES],
    ranks: [f64; LANES],
}

impl Canvases {
    /// None where a product would not be exact.
    fn new(spec: &Spec, rule: &BestCanvas) -> Option<Self> {
        let mut order: Vec<(u64, usize)> = rule
            .candidate_resolutions
            .iter()
            .enumerate()
            .map(|(place, &(width, height))| (height as u64 * width as u64, place))
            .collect();
        // From the largest and last to the smallest and first, which ranks highest.
        order.sort_unstable_by(|a, b| b.cmp(a));
        let ranks = order.len().next_power_of_two() as f64;
        let largest = order.first().map_or(0, |&(area, _)| area);
        if largest as f64 * ranks >= INTEGERS {
            return None;
        }
        let side = rule.tile();
        let mut tokens = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        for (rank, &(area, place)) in order.iter().enumerate() {
            let (width, height) = rule.candidate_resolutions[place];
            let grid = Grid { rows: height / side, columns: width / side };
            let fits = area <= spec.max_image_pixels;
            tokens.push(fits.then(|| tokens_of_canvas(rule, grid)));
            if rank % LANES == 0 {
                // A canvas of no size keeps nothing, and never wins with this rank.
                let zeros = [0.0; LANES];
                groups.push(Group { heights: zeros, widths: zeros, ranks: [-1.0; LANES] });
            }
            if let Some(group) = groups.last_mut() {
                group.heights[rank % LANES] = height as f64;
                group.widths[rank % LANES] = width as f64;
                group.ranks[rank % LANES] = rank as f64;
            }
        }
        Some(Self { groups, ranks, tokens })
    }

    #[inline]
    fn count(&self, size: Size) -> Option<usize> {
        let (height, width) = (size.0 as f64, size.1 as f64);
        let area = height * width;
        let mut best = [-1.0; LANES];
        for group in &self.groups {
            for (lane, best) in best.iter_mut().enumerate() {
                let (by_width, by_height) =
                    (group.widths[lane] / width, group.heights[lane] / height);
                let scale = if by_width < by_height { by_width } else { by_height };
                let scaled = floor(width * scale) * floor(height * scale);
                let kept = if scaled < area { scaled } else { area };
                let key = kept * self.ranks + group.ranks[lane];
                *best = if key > *best { key } else { *best };
            }
        }
        let key = best.into_iter().fold(-1.0, f64::max) as usize;
        self.tokens[key & (self.ranks as usize - 1)]
    }
}

/// What went wrong, and with which size.
#[derive(Debug, PartialEq)]
pub struct At {
    /// The number of the size.
    pub index: usize,
    /// What it raises.
    pub error: Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;
    use crate::spec::{MultiImage, Value};
    use proptest::prelude::*;

    fn sides() -> impl Strategy<Value = usize> {
        prop_oneof![1_usize..40, 1_usize..3000, 1_usize..20_000, Just(1 << 31), Just(0)]
    }

    proptest! {
        #[test]
        fn equals_the_plan(
            family in 0_usize..9,
            size in (sides(), sides()),
            num_images in 1_usize..5,
            budget in 1_i64..2_000_000,
            tiles in (1_i64..9, 0_i64..40),
            limit in prop_oneof![Just(178_956_970_i64), 1_i64..3_000_000],
            divide in any::<bool>(),
        ) {
            let mut spec = families::all()[family].spec.clone();
            spec.max_image_pixels = limit as u64;
            match &mut spec.rule {
                Rule::SmartResize(rule) => rule.max_pixels = budget as usize,
                Rule::AspectGrid(rule) => {
                    (rule.min_num, rule.max_num) = (tiles.0 as usize, (tiles.0 + tiles.1) as usize);
                    rule.crop_to_patches = true;
                    if divide {
                        rule.multi_image = MultiImage::Divide;
                    }
                }
                Rule::BestCanvas(_) | Rule::PadSquare(_) | Rule::Video(_) => {}
            }
            let plan = Plan::new(&spec, size, num_images).map(|plan| plan.num_tokens);
            let counter = Counter::new(&spec, num_images);
            prop_assert_eq!(counter.and_then(|counter| counter.count(size)), plan);
        }

        #[test]
        fn squares_and_ties(side in 1_usize..3000, numerator in 1_usize..14, tiles in (1_i64..9, 0_i64..40)) {
            let Ok(family) = families::find("internvl") else { panic!("no internvl") };
            let mut spec = family.spec;
            prop_assert_eq!(spec.set("max_num", &Value::Int(tiles.0 + tiles.1)), Ok(()));
            prop_assert_eq!(spec.set("min_num", &Value::Int(tiles.0)), Ok(()));
            for size in [(side, side * numerator), (2 * side, side * numerator), (side * numerator, side)] {
                let plan = Plan::new(&spec, size, 1).map(|plan| plan.num_tokens);
                let counter = Counter::new(&spec, 1);
                prop_assert_eq!(counter.and_then(|counter| counter.count(size)), plan);
            }
        }
    }
}
