//! The largest setting of a processor that meets a budget of tokens, and packing token counts into sequences.
//!
//! The simple algorithm: try every setting from the processor's own downwards, count, take the first that meets the
//! budget. Departures from it:
//!
//! 1. Tile budgets (`max_num`): a larger budget adds only grids of more tiles than all before, so an image's tokens
//!    never fall as it grows, and bisection finds the answer.
//! 2. Pixel budgets (`max_pixels` = m): let `r` be the area of an image rounded to whole cells. Below `r` it is shrunk
//!    into m, and its tokens never fall as m grows. From `r` on it is as it is, and they no longer change. But at `r`
//!    itself they may fall: a side thinner than a cell is held at one cell, so that the "shrunk" image is longer than
//!    the unshrunk one (15 x 2000 with cells of 28 has 97 tokens at m = 55,663, and 71 at 55,664). So the sum over a
//!    data set rises, except at such areas. The sum of the running maxima bounds it from above, that of the coming
//!    minima from below; both only rise. Bisecting them leaves a window, and in it the sum rises between one drop and
//!    the next: look at each such stretch from the top.
//! 3. A budget is a bound on a sum of costs: tokens, or 1 for each image that has too many of them.

use crate::error::{Error, Result, Size};
use crate::options::Value;
use crate::plan::count_tokens;
use crate::spec::{Prepared, Spec};
use crate::strategy::{Knob, Measure};

/// What went wrong, and with which size.
#[derive(Debug, PartialEq)]
pub struct At {
    /// The number of the size.
    pub index: usize,
    /// What it raises.
    pub error: Error,
}

/// What a setting must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All images together have at most so many tokens.
    Total(u64),
    /// All images but `except` have at most `tokens`.
    Each {
        /// Tokens of an image.
        tokens: u64,
        /// How many images may have more.
        except: u64,
    },
}

/// More than any budget.
const OVER: u64 = u64::MAX;

impl Target {
    const fn limit(self) -> u128 {
        match self {
            Self::Total(tokens) => tokens as u128,
            Self::Each { except, .. } => except as u128,
        }
    }

    fn cost(self, tokens: u64) -> u64 {
        match self {
            Self::Total(_) => tokens,
            Self::Each { tokens: most, .. } => u64::from(tokens > most),
        }
    }
}

/// The option to change and its value.
pub type Setting = (&'static str, Value);

/// Distinct sizes, each with how often it occurs and where first.
struct Sizes(Vec<(Size, u64, usize)>);

impl Sizes {
    fn new(sizes: &[Size]) -> Self {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_unstable_by_key(|&index| (sizes[index], index));
        let mut distinct: Vec<(Size, u64, usize)> = Vec::new();
        for index in order {
            match distinct.last_mut() {
                Some((size, count, _)) if *size == sizes[index] => *count += 1,
                _ => distinct.push((sizes[index], 1, index)),
            }
        }
        Self(distinct)
    }

    /// Tokens of each distinct size; a resized image above the limit costs more than any budget.
    fn tokens(&self, spec: &Spec, num_images: usize) -> std::result::Result<Vec<u64>, At> {
        let spec = spec.clone().prepare().map_err(|error| At { index: 0, error })?;
        let one =
            |&(size, _, index): &(Size, u64, usize)| match count_tokens(&spec, size, num_images) {
                Ok(tokens) => Ok(tokens as u64),
                Err(Error::TooLarge { what, .. }) if what != "image" => Ok(OVER),
                Err(error) => Err(At { index, error }),
            };
        self.0.iter().map(one).collect()
    }
}

/// The largest setting up to the spec's own that meets the target, if there is one, as the option it changes. The
/// empty list is the spec as it is.
///
/// `max_pixels` is searched down to `min_pixels`, `max_num` to `min_num`; of a list of canvases those of most tiles
/// are left out first. Families without such an option are as they are.
///
/// # Errors
/// What a size raises, with the number of the first such size.
pub fn fit(
    spec: &Spec,
    sizes: &[Size],
    num_images: usize,
    target: Target,
) -> std::result::Result<Option<Vec<Setting>>, At> {
    let sizes = Sizes::new(sizes);
    let total = |spec: &Spec| -> std::result::Result<u128, At> {
        let tokens = sizes.tokens(spec, num_images)?;
        let costs = tokens.iter().zip(&sizes.0);
        Ok(costs.map(|(&tokens, &(_, count, _))| weigh(target, tokens, count)).sum())
    };
    if total(spec)? <= target.limit() {
        return Ok(Some(Vec::new()));
    }
    let meets = |setting: Setting| -> std::result::Result<bool, At> {
        let mut spec = spec.clone();
        spec.set(setting.0, &setting.1).map_err(|error| At { index: 0, error })?;
        Ok(total(&spec)? <= target.limit())
    };
    match spec.strategy.knob() {
        None => Ok(None),
        Some(Knob::Pixels { name, range, cell }) => {
            let pixels = Pixels::new(spec, (name, range, cell), &sizes, num_images, target)?;
            let found = pixels.solve()?;
            Ok(found.map(|most| vec![(name, Value::Int(most as i64))]))
        }
        Some(Knob::Count { name, range: (least, most) }) => {
            let setting = |count: usize| (name, Value::Int(count as i64));
            let found = last(least, most - 1, |count| meets(setting(count)))?;
            Ok(found.map(|count| vec![setting(count)]))
        }
        Some(Knob::Settings { name, values }) => {
            for value in values {
                if meets((name, value.clone()))? {
                    return Ok(Some(vec![(name, value)]));
                }
            }
            Ok(None)
        }
    }
}

fn weigh(target: Target, tokens: u64, count: u64) -> u128 {
    if tokens == OVER {
        u128::from(u64::MAX) + 1
    } else {
        u128::from(target.cost(tokens)) * u128::from(count)
    }
}

/// The last of `low..=high` that holds, of a test that holds up to some number and fails from there on.
fn last<E>(
    low: usize,
    high: usize,
    mut holds: impl FnMut(usize) -> std::result::Result<bool, E>,
) -> std::result::Result<Option<usize>, E> {
    if low > high || !holds(low)? {
        return Ok(None);
    }
    let (mut good, mut bad) = (low, high + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle)? { good = middle } else { bad = middle }
    }
    Ok(Some(good))
}

/// The search for `max_pixels`.
struct Pixels<'a> {
    spec: &'a Spec,
    /// The option that is searched.
    name: &'static str,
    sizes: &'a Sizes,
    num_images: usize,
    target: Target,
    low: usize,
    high: usize,
    /// For each size: where it is no longer shrunk, what it costs from there on, and just before.
    ends: Vec<End>,
}

struct End {
    at: usize,
    after: u128,
    before: u128,
}

/// A sum, by what counts for one size: its cost now, and its end.
#[derive(Clone, Copy)]
enum Bound {
    Exact,
    /// The largest cost up to here.
    Upper,
    /// The smallest cost from here on.
    Lower,
}

impl<'a> Pixels<'a> {
    fn new(
        spec: &'a Spec,
        (name, (low, high), cell): (&'static str, (usize, usize), usize),
        sizes: &'a Sizes,
        num_images: usize,
        target: Target,
    ) -> std::result::Result<Self, At> {
        let factor = cell as f64;
        let ends = Vec::new();
        let mut pixels = Self { spec, name, sizes, num_images, target, low, high, ends };
        let unlimited = pixels.costs(usize::MAX >> 1)?;
        for (&((height, width), count, index), after) in sizes.0.iter().zip(unlimited) {
            let round = |side: usize| ((side as f64 / factor).round_ties_even() * factor) as usize;
            let at = round(height).saturating_mul(round(width));
            let mut before = after;
            if at > low && at <= pixels.high {
                let tokens = pixels.count(&pixels.with(at - 1)?, (height, width));
                before = pixels.cost(tokens, count, index)?;
            }
            pixels.ends.push(End { at, after, before });
        }
        Ok(pixels)
    }

    fn with(&self, max_pixels: usize) -> std::result::Result<Prepared, At> {
        let mut spec = self.spec.clone();
        spec.set(self.name, &Value::Int(max_pixels as i64))
            .and_then(|()| spec.prepare())
            .map_err(|error| At { index: 0, error })
    }

    fn count(&self, spec: &Prepared, size: Size) -> Result<usize> {
        count_tokens(spec, size, self.num_images)
    }

    fn cost(
        &self,
        tokens: Result<usize>,
        count: u64,
        index: usize,
    ) -> std::result::Result<u128, At> {
        match tokens {
            Ok(tokens) => Ok(weigh(self.target, tokens as u64, count)),
            Err(Error::TooLarge { what, .. }) if what != "image" => {
                Ok(weigh(self.target, OVER, count))
            }
            Err(error) => Err(At { index, error }),
        }
    }

    fn costs(&self, max_pixels: usize) -> std::result::Result<Vec<u128>, At> {
        let spec = self.with(max_pixels)?;
        let all = self.sizes.0.iter();
        all.map(|&(size, count, index)| self.cost(self.count(&spec, size), count, index)).collect()
    }

    fn meets(&self, max_pixels: usize, bound: Bound) -> std::result::Result<bool, At> {
        let spec = self.with(max_pixels)?;
        let mut sum = 0;
        for (&(size, count, index), end) in self.sizes.0.iter().zip(&self.ends) {
            sum += if max_pixels < end.at {
                let now = self.cost(self.count(&spec, size), count, index)?;
                if matches!(bound, Bound::Lower) { now.min(end.after) } else { now }
            } else if matches!(bound, Bound::Upper) {
                end.before.max(end.after)
            } else {
                end.after
            };
            if sum > self.target.limit() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn solve(&self) -> std::result::Result<Option<usize>, At> {
        let at_most = |bound| last(self.low, self.high, |max_pixels| self.meets(max_pixels, bound));
        let Some(mut top) = at_most(Bound::Lower)? else { return Ok(None) };
        let bottom = at_most(Bound::Upper)?;
        let floor = bottom.unwrap_or(self.low);
        let drop = |end: &End| end.before > end.after && end.at > floor && end.at <= top;
        let mut starts: Vec<usize> =
            self.ends.iter().filter(|end| drop(end)).map(|end| end.at).collect();
        starts.push(floor);
        starts.sort_unstable();
        starts.dedup();
        for start in starts.into_iter().rev() {
            let found = last(start, top, |max_pixels| self.meets(max_pixels, Bound::Exact))?;
            if found.is_some() {
                return Ok(found);
            }
            top = start.saturating_sub(1);
        }
        Ok(None)
    }
}

/// First-fit decreasing: the numbers of the items of each bin, ascending.
///
/// Items are taken from the longest to the shortest, equal ones in their order, and each goes to the first bin that has
/// room; a tree of maxima over the bins finds it. At most 11/9 of the fewest bins possible, plus 6/9.
///
/// # Errors
/// The number of an item that is longer than `capacity`.
pub fn first_fit_decreasing(
    lengths: &[u64],
    capacity: u64,
) -> std::result::Result<Vec<Vec<usize>>, usize> {
    if let Some(index) = lengths.iter().position(|&length| length > capacity) {
        return Err(index);
    }
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let leaves = lengths.len().next_power_of_two();
    // Node n has the children 2n and 2n + 1; every bin not begun has all its room.
    let mut room = vec![capacity; 2 * leaves];
    let mut bins: Vec<Vec<usize>> = Vec::new();
    for index in order {
        let length = lengths[index];
        let mut node = 1;
        while node < leaves {
            node = if room[2 * node] >= length { 2 * node } else { 2 * node + 1 };
        }
        let bin = node - leaves;
        if bin == bins.len() {
            bins.push(Vec::new());
        }
        bins[bin].push(index);
        room[node] -= length;
        while node > 1 {
            node /= 2;
            room[node] = room[2 * node].max(room[2 * node + 1]);
        }
    }
    for bin in &mut bins {
        bin.sort_unstable();
    }
    Ok(bins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;
    use crate::plan::Plan;
    use proptest::prelude::*;

    fn small() -> impl Strategy<Value = Size> {
        // Thin images often: their tokens fall where they are no longer shrunk.
        prop_oneof![
            (1_usize..60, 1_usize..400),
            (1_usize..400, 1_usize..60),
            (1_usize..300, 1_usize..300)
        ]
        .prop_filter("ratio", |s| s.0.max(s.1) <= 200 * s.0.min(s.1))
    }

    fn met(spec: &Spec, sizes: &[Size], target: Target) -> bool {
        let Ok(spec) = spec.clone().prepare() else { panic!("options contradict each other") };
        let tokens = |size: &Size| match Plan::new(&spec, *size, 1) {
            Ok(plan) => plan.num_tokens as u64,
            Err(_) => OVER,
        };
        match target {
            Target::Total(most) => sizes.iter().map(tokens).sum::<u64>() <= most,
            Target::Each { tokens: most, except } => {
                sizes.iter().filter(|size| tokens(size) > most).count() as u64 <= except
            }
        }
    }

    fn targets() -> impl Strategy<Value = Target> {
        prop_oneof![
            (1_u64..2000).prop_map(Target::Total),
            (1_u64..150, 0_u64..4).prop_map(|(tokens, except)| Target::Each { tokens, except }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn max_pixels_is_what_trying_all_finds(
            sizes in proptest::collection::vec(small(), 1..8),
            target in targets(),
            high in 100_usize..20_000,
        ) {
            let Ok(family) = families::find("qwen2-vl") else { panic!("no qwen2-vl") };
            let mut spec = family.spec.clone();
            for (name, value) in [("patch_size", 3), ("min_pixels", 40), ("max_pixels", high as i64)] {
                prop_assert_eq!(spec.set(name, &Value::Int(value)), Ok(()));
            }
            let mut plain = None;
            for max_pixels in (40..=high.max(40)).rev() {
                let mut other = spec.clone();
                prop_assert_eq!(other.set("max_pixels", &Value::Int(max_pixels.min(high) as i64)), Ok(()));
                if met(&other, &sizes, target) {
                    plain = Some(max_pixels.min(high));
                    break;
                }
            }
            let found = fit(&spec, &sizes, 1, target).map(|found| found.map(|setting| {
                match setting.first() {
                    Some((_, Value::Int(value))) => *value as usize,
                    _ => high,
                }
            }));
            prop_assert_eq!(found, Ok(plain));
        }

        #[test]
        fn max_num_is_what_trying_all_finds(
            sizes in proptest::collection::vec((1_usize..2000, 1_usize..2000), 1..8),
            target in targets(),
            high in 1_usize..30,
        ) {
            let Ok(family) = families::find("internvl") else { panic!("no internvl") };
            let mut spec = family.spec.clone();
            prop_assert_eq!(spec.set("image_size", &Value::Int(56)), Ok(()));
            prop_assert_eq!(spec.set("max_num", &Value::Int(high as i64)), Ok(()));
            let plain = (1..=high).rev().find(|&max_num| {
                let mut other = spec.clone();
                other.set("max_num", &Value::Int(max_num as i64)).is_ok() && met(&other, &sizes, target)
            });
            let found = fit(&spec, &sizes, 1, target).map(|found| found.map(|setting| {
                match setting.first() {
                    Some((_, Value::Int(value))) => *value as usize,
                    _ => high,
                }
            }));
            prop_assert_eq!(found, Ok(plain));
        }

        #[test]
        fn first_fit_is_what_looking_at_all_bins_finds(lengths in proptest::collection::vec(0_u64..100, 0..60)) {
            let mut order: Vec<usize> = (0..lengths.len()).collect();
            order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
            let mut bins: Vec<(u64, Vec<usize>)> = Vec::new();
            for index in order {
                match bins.iter_mut().find(|bin| bin.0 + lengths[index] <= 100) {
                    Some(bin) => {
                        bin.0 += lengths[index];
                        bin.1.push(index);
                    }
                    None => bins.push((lengths[index], vec![index])),
                }
            }
            for bin in &mut bins {
                bin.1.sort_unstable();
            }
            let plain: Vec<Vec<usize>> = bins.into_iter().map(|bin| bin.1).collect();
            prop_assert_eq!(first_fit_decreasing(&lengths, 100), Ok(plain));
        }
    }
}
