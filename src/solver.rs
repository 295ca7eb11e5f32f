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

use crate::error::{Error, Result, Size, collected, filled, push, reserved};
use crate::options::Value;
use crate::parallel::Watch;
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

/// A spec, prepared to count the tokens of many sizes.
struct Counter {
    spec: Prepared,
    num_images: usize,
}

impl Counter {
    fn new(spec: &Spec, num_images: usize) -> Result<Self> {
        Ok(Self { spec: spec.clone().prepare()?, num_images })
    }

    fn count(&self, size: Size) -> Result<usize> {
        count_tokens(&self.spec, size, self.num_images)
    }
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

/// An error that is of no size in particular.
fn of_none(error: Error) -> At {
    At { index: 0, error }
}

/// Sizes, or whatever takes as long, between two looks at the watch.
const WATCH_EVERY: usize = 1 << 12;

/// The numbers below `len` by ascending key; no two keys are equal.
fn order<K: Ord>(len: usize, key: impl Fn(usize) -> K, watch: &Watch<'_>) -> Result<Vec<usize>> {
    let (mut from, mut into) = (collected(0..len)?, filled(0, len)?);
    for run in from.chunks_mut(WATCH_EVERY) {
        watch.check()?;
        run.sort_unstable_by_key(|&index| key(index));
    }
    let mut width = WATCH_EVERY;
    while width < len {
        for (runs, merged) in from.chunks(2 * width).zip(into.chunks_mut(2 * width)) {
            let (mut left, mut right) = runs.split_at(width.min(runs.len()));
            for part in merged.chunks_mut(WATCH_EVERY) {
                watch.check()?;
                for place in part {
                    let from_left = match (left.first(), right.first()) {
                        (Some(&a), Some(&b)) => key(a) < key(b),
                        (first, _) => first.is_some(),
                    };
                    let run = if from_left { &mut left } else { &mut right };
                    if let Some((&first, rest)) = run.split_first() {
                        (*place, *run) = (first, rest);
                    }
                }
            }
        }
        std::mem::swap(&mut from, &mut into);
        width *= 2;
    }
    Ok(from)
}

impl Sizes {
    fn new(sizes: &[Size], watch: &Watch<'_>) -> Result<Self> {
        let mut distinct: Vec<(Size, u64, usize)> = Vec::new();
        for (place, index) in
            order(sizes.len(), |index| (sizes[index], index), watch)?.into_iter().enumerate()
        {
            if place.is_multiple_of(WATCH_EVERY) {
                watch.check()?;
            }
            match distinct.last_mut() {
                Some((size, count, _)) if *size == sizes[index] => *count += 1,
                _ => push(&mut distinct, (sizes[index], 1, index))?,
            }
        }
        Ok(Self(distinct))
    }

    /// The distinct sizes, with a look at the watch now and then.
    fn each<'a>(
        &'a self,
        watch: &'a Watch<'_>,
    ) -> impl Iterator<Item = std::result::Result<&'a (Size, u64, usize), At>> {
        self.0.iter().enumerate().map(|(place, size)| {
            if place.is_multiple_of(WATCH_EVERY) {
                watch.check().map_err(of_none)?;
            }
            Ok(size)
        })
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
    watch: &Watch<'_>,
) -> std::result::Result<Option<Vec<Setting>>, At> {
    let sizes = Sizes::new(sizes, watch).map_err(of_none)?;
    let total = |spec: &Spec| -> std::result::Result<u128, At> {
        let counter = Counter::new(spec, num_images).map_err(of_none)?;
        let mut sum = 0;
        for size in sizes.each(watch) {
            let &(size, count, index) = size?;
            sum += cost(target, counter.count(size), count, index)?;
        }
        Ok(sum)
    };
    if total(spec)? <= target.limit() {
        return Ok(Some(Vec::new()));
    }
    let meets = |setting: Setting| -> std::result::Result<bool, At> {
        let mut spec = spec.clone();
        spec.set(setting.0, &setting.1).map_err(|error| At { index: 0, error })?;
        Ok(total(&spec)? <= target.limit())
    };
    match spec.strategy.knob().map_err(of_none)? {
        None => Ok(None),
        Some(Knob::Pixels { name, range, cell }) => {
            let knob = (name, range, cell);
            let pixels = Pixels::new(spec, knob, &sizes, num_images, target, watch)?;
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

/// What one size costs; a resized image above the limit costs more than any budget.
fn cost(
    target: Target,
    tokens: Result<usize>,
    count: u64,
    index: usize,
) -> std::result::Result<u128, At> {
    match tokens {
        Ok(tokens) => Ok(weigh(target, tokens as u64, count)),
        Err(Error::TooLarge { what, .. }) if what != "image" => Ok(weigh(target, OVER, count)),
        Err(error) => Err(At { index, error }),
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
    watch: &'a Watch<'a>,
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
        watch: &'a Watch<'a>,
    ) -> std::result::Result<Self, At> {
        let factor = cell as f64;
        let ends = reserved(sizes.0.len()).map_err(of_none)?;
        let mut pixels = Self { spec, name, sizes, num_images, target, low, high, watch, ends };
        let unlimited = pixels.counter(usize::MAX >> 1)?;
        for size in sizes.each(watch) {
            let &((height, width), count, index) = size?;
            let after = cost(target, unlimited.count((height, width)), count, index)?;
            let round = |side: usize| ((side as f64 / factor).round_ties_even() * factor) as usize;
            let at = round(height).saturating_mul(round(width));
            let mut before = after;
            if at > low && at <= pixels.high {
                let tokens = pixels.counter(at - 1)?.count((height, width));
                before = cost(target, tokens, count, index)?;
            }
            pixels.ends.push(End { at, after, before });
        }
        Ok(pixels)
    }

    fn counter(&self, max_pixels: usize) -> std::result::Result<Counter, At> {
        let mut spec = self.spec.clone();
        spec.set(self.name, &Value::Int(max_pixels as i64)).map_err(of_none)?;
        Counter::new(&spec, self.num_images).map_err(of_none)
    }

    fn meets(&self, max_pixels: usize, bound: Bound) -> std::result::Result<bool, At> {
        let counter = self.counter(max_pixels)?;
        let mut sum = 0;
        for (size, end) in self.sizes.each(self.watch).zip(&self.ends) {
            let &(size, count, index) = size?;
            sum += if max_pixels < end.at {
                let now = cost(self.target, counter.count(size), count, index)?;
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
        let ends = self.ends.iter().filter(|end| drop(end)).map(|end| end.at);
        let mut starts = collected(ends.chain([floor])).map_err(of_none)?;
        crate::order::sort(&mut starts);
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

/// Items in bins.
#[derive(Debug, PartialEq, Eq)]
pub struct Bins {
    /// The numbers of the items, bin after bin, ascending in each.
    pub members: Vec<usize>,
    /// For each bin one past its last place in `members`.
    pub ends: Vec<usize>,
}

/// First-fit decreasing: which items each bin holds.
///
/// Items are taken from the longest to the shortest, equal ones in their order, and each goes to the first bin that has
/// room; a tree of maxima over the bins finds it. At most 11/9 of the fewest bins possible, plus 6/9.
///
/// # Errors
/// `Option` for an item that is longer than `capacity`; `OutOfMemory`; `Interrupted`.
pub fn first_fit_decreasing(lengths: &[u64], capacity: u64, watch: &Watch<'_>) -> Result<Bins> {
    if let Some(length) = lengths.iter().find(|&&length| length > capacity) {
        let given = length.to_string();
        return Err(Error::Option { name: "token_counts", rule: "at most max_len", given });
    }
    let order = order(lengths.len(), |index| (std::cmp::Reverse(lengths[index]), index), watch)?;
    let leaves = lengths.len().next_power_of_two();
    // Node n has the children 2n and 2n + 1; every bin not begun has all its room.
    let mut room = filled(capacity, 2 * leaves)?;
    let mut bin_of = filled(0, lengths.len())?;
    let mut ends: Vec<usize> = Vec::new();
    for (place, index) in order.into_iter().enumerate() {
        if place.is_multiple_of(WATCH_EVERY) {
            watch.check()?;
        }
        let length = lengths[index];
        let mut node = 1;
        while node < leaves {
            node = if room[2 * node] >= length { 2 * node } else { 2 * node + 1 };
        }
        let bin = node - leaves;
        if bin == ends.len() {
            push(&mut ends, 0)?;
        }
        bin_of[index] = bin;
        // How many it holds, at first.
        ends[bin] += 1;
        room[node] -= length;
        while node > 1 {
            node /= 2;
            room[node] = room[2 * node].max(room[2 * node + 1]);
        }
    }
    let mut start = 0;
    for end in &mut ends {
        // Where its next member goes, which is its end once all are there.
        start += std::mem::replace(end, start);
    }
    let mut members = filled(0, lengths.len())?;
    for (index, &bin) in bin_of.iter().enumerate() {
        if index.is_multiple_of(WATCH_EVERY) {
            watch.check()?;
        }
        members[ends[bin]] = index;
        ends[bin] += 1;
    }
    Ok(Bins { members, ends })
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
            let found = fit(&spec, &sizes, 1, target, &Watch::new(None)).map(|found| found.map(|setting| {
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
            let found = fit(&spec, &sizes, 1, target, &Watch::new(None)).map(|found| found.map(|setting| {
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
            let mut plain = Bins { members: Vec::new(), ends: Vec::new() };
            for (_, bin) in bins {
                plain.members.extend(bin);
                plain.ends.push(plain.members.len());
            }
            prop_assert_eq!(first_fit_decreasing(&lengths, 100, &Watch::new(None)), Ok(plain));
        }

        #[test]
        fn order_is_that_of_a_sort(keys in proptest::collection::vec(0_u64..50, 0..3 * WATCH_EVERY)) {
            let mut plain: Vec<usize> = (0..keys.len()).collect();
            plain.sort_by_key(|&index| keys[index]);
            let key = |index: usize| (keys[index], index);
            prop_assert_eq!(order(keys.len(), key, &Watch::new(None)), Ok(plain));
        }
    }
}
