//! The integer weights of one axis: f64 windows, then quantised once.

use std::ops::Range;

use super::filter::{Filter, bicubic, bilinear, boxed, hamming, lanczos, sharp_bicubic};
use crate::error::{Error, Result, collected};

/// Bits after the point of Pillow's weights, and the most that torchvision's have.
const MOST_BITS: u32 = 22;

/// One axis of a resize: for each target sample the first source sample and the weights from there on.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Source samples.
    pub source: usize,
    /// The first of them, where they are part of a longer axis.
    pub origin: usize,
    /// Target samples.
    pub target: usize,
    /// Bits after the point of every weight.
    pub precision: u32,
    /// Whether all weights fit in 16 bits.
    pub int16: bool,
    windows: Vec<Window>,
    weights: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    first: u32,
    start: u32,
    len: u32,
}

impl Axis {
    /// The weights from `source` to `target` samples: 22 bits, or with `int16` as many as fit in 16 bits.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(filter: Filter, source: usize, target: usize, int16: bool) -> Result<Self> {
        Self::within(filter, source, source as f64, target, int16)
    }

    /// The weights of `target` samples of the first `extent` of `source` samples.
    ///
    /// The last sample may lie in the extent with a part of its width, as it does after [`super::reduce`].
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn within(
        filter: Filter,
        source: usize,
        extent: f64,
        target: usize,
        int16: bool,
    ) -> Result<Self> {
        let scale = extent / target as f64;
        let stretch = scale.max(1.0);
        let support = filter.radius() * stretch;
        let shrink = 1.0 / stretch;
        let nearest = matches!(filter, Filter::Nearest | Filter::NearestSmall);
        let most = if nearest { 1 } else { ((2.0 * support) as usize + 2).min(source) };
        let total = target.saturating_mul(most);
        let mut exact: Vec<f64> = Vec::new();
        let mut windows: Vec<Window> = Vec::new();
        let reserve = || Error::OutOfMemory { bytes: total.saturating_mul(8) };
        exact.try_reserve_exact(total).map_err(|_| reserve())?;
        windows.try_reserve_exact(target).map_err(|_| reserve())?;
        if nearest {
            let mut nearest = Nearest::new(filter, source, scale, target, int16);
            for start in 0..target as u32 {
                windows.push(Window { first: nearest.next(), start, len: 1 });
                exact.push(1.0);
            }
        }
        for i in windows.len()..target {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(source);
            let start = exact.len();
            // Source samples count in u32, as the windows do; their conversion is a vector's.
            let distances =
                (first as u32..last as u32).map(|x| (f64::from(x) - centre + 0.5) * shrink);
            match filter {
                Filter::Nearest | Filter::NearestSmall => {}
                Filter::Box => exact.extend(distances.map(boxed)),
                Filter::Hamming => exact.extend(distances.map(hamming)),
                Filter::Bilinear => exact.extend(distances.map(bilinear)),
                Filter::Bicubic => exact.extend(distances.map(bicubic)),
                Filter::Lanczos => exact.extend(distances.map(lanczos)),
            }
            let weights = &mut exact[start..];
            let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
            if sum != 0.0 {
                for weight in weights {
                    *weight /= sum;
                }
            }
            let len = (last - first) as u32;
            windows.push(Window { first: first as u32, start: start as u32, len });
        }
        let largest = exact.iter().copied().fold(0.0, f64::max);
        let precision = if int16 { int16_precision(largest) } else { MOST_BITS };
        let weights = quantise(&exact, precision)?;
        Ok(Self { source, origin: 0, target, precision, int16, windows, weights })
    }

    /// The part of the axis that makes the target samples `shown`, from the source samples alone that they need.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn part(&self, shown: Range<usize>) -> Result<Self> {
        let windows = &self.windows[shown.clone()];
        let first = windows.iter().map(|window| window.first).min().unwrap_or(0);
        let last = windows.iter().map(|window| window.first + window.len).max().unwrap_or(first);
        let from_first = |window: &Window| Window { first: window.first - first, ..*window };
        Ok(Self {
            source: (last - first) as usize,
            origin: self.origin + first as usize,
            target: shown.len(),
            precision: self.precision,
            int16: self.int16,
            windows: collected(windows.iter().map(from_first))?,
            weights: collected(self.weights.iter().copied())?,
        })
    }

    /// The same again.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn copied(&self) -> Result<Self> {
        let windows = collected(self.windows.iter().copied())?;
        let weights = collected(self.weights.iter().copied())?;
        Ok(Self { windows, weights, ..*self })
    }

    /// The int16 weights of torch's resize of bytes without antialiasing, bilinear or bicubic with a = -0.75: two or four
    /// samples whatever the scale, the weights of samples outside added to the edge's.
    ///
    /// # Errors
    /// `Option` for another filter, `OutOfMemory`.
    pub fn sharp(filter: Filter, source: usize, target: usize) -> Result<Self> {
        let (taps, cubic) = match filter {
            Filter::Bilinear => (2, false),
            Filter::Bicubic => (4, true),
            _ => {
                let rule = "'bilinear' or 'bicubic' for a resize without antialiasing";
                let given = format!("'{}'", filter.name());
                return Err(Error::Option { name: "resample", rule, given });
            }
        };
        let mut exact: Vec<f64> = Vec::new();
        let mut windows: Vec<Window> = Vec::new();
        let total = target.saturating_mul(taps);
        let memory = |_| Error::OutOfMemory { bytes: total.saturating_mul(8) };
        exact.try_reserve_exact(total).map_err(memory)?;
        windows.try_reserve_exact(target).map_err(memory)?;
        let (scale, end) = (source as f64 / target as f64, source as isize);
        let mut largest = 0.0f64;
        for i in 0..target {
            let position = scale.mul_add(i as f64 + 0.5, -0.5);
            let position = if cubic { position } else { position.max(0.0) };
            let index = ((position as f32).floor() as isize).min(end - 1);
            let rest = (position - index as f64).clamp(0.0, 1.0);
            let reach = taps as isize / 2;
            let (before, after) = (index - reach + 1, index + reach + 1);
            let first = before.max(0);
            let len = (after.min(end) - first) as usize;
            let start = exact.len();
            exact.resize(start + len, 0.0);
            let mut to = 0;
            for tap in 0..taps as isize {
                let x = ((tap + 1 - reach) as f64 - rest).abs();
                let weight = if cubic { sharp_bicubic(x) } else { bilinear(x) };
                if before + tap <= 0 {
                    to = 0;
                } else if before + tap >= end - 1 {
                    to = len - 1;
                }
                exact[start + to] += weight;
                largest = largest.max(exact[start + to]);
                to += 1;
            }
            windows.push(Window { first: first as u32, start: start as u32, len: len as u32 });
        }
        let precision = int16_precision(largest);
        let weights = quantise(&exact, precision)?;
        Ok(Self { source, origin: 0, target, precision, int16: true, windows, weights })
    }

    /// The first source sample of target sample `i`, and its weights.
    #[must_use]
    pub fn window(&self, i: usize) -> (usize, &[i32]) {
        let window = self.windows[i];
        let start = window.start as usize;
        (window.first as usize, &self.weights[start..start + window.len as usize])
    }

    /// The source samples that target sample `i` reads.
    #[must_use]
    pub fn reads(&self, i: usize) -> std::ops::Range<usize> {
        let window = self.windows[i];
        window.first as usize..(window.first + window.len) as usize
    }

    /// The most weights of any window.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.windows.iter().map(|window| window.len as usize).max().unwrap_or(0)
    }
}

/// The source samples that [`Filter::Nearest`] takes, in order.
struct Nearest {
    rule: NearestRule,
    i: u32,
    last: u32,
}

enum NearestRule {
    /// Pillow adds the scale to the centre of the last sample in float64, roundings and all.
    Pillow { centre: f64, scale: f64 },
    /// torch's `nearest-exact`, which transformers asks of torchvision, in float32: half a sample back and forth.
    Exact { scale: f32 },
    /// Its kernel for small results, which leaves the half where it is.
    ExactSmall { scale: f32 },
}

impl Nearest {
    fn new(filter: Filter, source: usize, scale: f64, target: usize, int16: bool) -> Self {
        let single = source as f32 / target as f32;
        let rule = match (int16, filter) {
            (false, _) => NearestRule::Pillow { centre: scale * 0.5, scale },
            (true, Filter::NearestSmall) => NearestRule::ExactSmall { scale: single },
            (true, _) => NearestRule::Exact { scale: single },
        };
        Self { rule, i: 0, last: source.saturating_sub(1) as u32 }
    }

    fn next(&mut self) -> u32 {
        let middle = self.i as f32 + 0.5;
        self.i += 1;
        let found = match &mut self.rule {
            NearestRule::Pillow { centre, scale } => {
                let found = *centre as u32;
                *centre += *scale;
                found
            }
            NearestRule::Exact { scale } => (scale.mul_add(middle, -0.5).max(0.0) + 0.5) as u32,
            NearestRule::ExactSmall { scale } => (middle * *scale) as u32,
        };
        found.min(self.last)
    }
}

/// Weights as integers of `precision` bits after the point, halves away from zero.
fn quantise(exact: &[f64], precision: u32) -> Result<Vec<i32>> {
    let unit = f64::from(1u32 << precision);
    let mut weights: Vec<i32> = Vec::new();
    let memory = |_| Error::OutOfMemory { bytes: exact.len().saturating_mul(4) };
    weights.try_reserve_exact(exact.len()).map_err(memory)?;
    weights.extend(exact.iter().map(|&weight| {
        let scaled = weight * unit;
        (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
    }));
    Ok(weights)
}

/// The first precision at which the next bit would push the largest weight out of 16 bits.
fn int16_precision(largest: f64) -> u32 {
    (0..MOST_BITS)
        .find(|&bits| (0.5 + largest * f64::from(1u32 << (bits + 1))) as i64 >= 1 << 15)
        .unwrap_or(MOST_BITS)
}
