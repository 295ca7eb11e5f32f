//! The float32 weights of one axis, as torch's `interpolate` makes them on a CPU.
//!
//! Everything is float32 and every rounding shows. Torch's kernels for x86 are compiled with FMA, and the compiler
//! fuses a product with the sum that takes it wherever it can; which ones it fuses was found by comparing bits, and
//! is the same for AVX2 and AVX-512. With `a * b + c` rounded once written `fma(a, b, c)`:
//!
//! - weights with antialiasing: the window and the argument of the filter as in float64 with a rounding to float32
//!   after each named value, the filter with all its steps fused, a plain sum, a division each;
//! - weights without: the source position is `fma(scale, i + 0.5, -0.5)`; of the cubic's steps all but the last are
//!   fused.

use super::filter::Filter;
use crate::error::{Error, Result};

/// How torch resizes in float32, and what the caller does to the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Float {
    /// Stretch the filter by the scale when shrinking; bicubic has a = -0.5 then, and -0.75 otherwise.
    pub antialias: bool,
    /// Round the result to integers, ties to even.
    pub round: bool,
    /// Keep the result in 0..=255.
    pub clamp: bool,
}

impl Float {
    /// Applies the steps after the resize. Both together make the value of a byte, which is never the negative zero.
    #[must_use]
    #[inline]
    pub fn finish(self, value: f32) -> f32 {
        let value = if self.round { rounded(value) } else { value };
        let value = if self.clamp { value.clamp(0.0, 255.0) } else { value };
        if self.round && self.clamp { value + 0.0 } else { value }
    }
}

/// `value.round_ties_even()`, in steps that become vectors on every CPU.
#[must_use]
#[inline]
pub fn rounded(value: f32) -> f32 {
    /// From here on every number is whole.
    const WHOLE: f32 = 8_388_608.0;
    let size = value.abs();
    if size < WHOLE { ((size + WHOLE) - WHOLE).copysign(value) } else { value }
}

/// In which order the products of a window are summed, and which of them are fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sum {
    /// The first product alone; then four at a time, each product rounded before its sum; the last up to three fused.
    Window,
    /// Two samples along each axis, in one sum of four products: see [`bilinear`].
    Square,
    /// Four products: the second rounded, then the first, third and fourth fused.
    Cubic,
}

/// One axis of a resize in float32: for each target sample its source samples and their weights.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatAxis {
    /// Source samples.
    pub source: usize,
    /// Target samples.
    pub target: usize,
    /// How the products are summed.
    pub sum: Sum,
    starts: Vec<u32>,
    taps: Vec<u32>,
    weights: Vec<f32>,
}

impl FloatAxis {
    /// The weights from `source` to `target` samples, each at least 1.
    ///
    /// # Errors
    /// `Option` for a filter that this has no rule for, `OutOfMemory`.
    pub fn new(filter: Filter, source: usize, target: usize, antialias: bool) -> Result<Self> {
        let sum = match (filter, antialias) {
            (Filter::Bilinear | Filter::Bicubic, true) => Sum::Window,
            (Filter::Bilinear, false) => Sum::Square,
            (Filter::Bicubic, false) => Sum::Cubic,
            _ => {
                let rule = "'bilinear' or 'bicubic' for a resize in float32";
                let given = format!("'{}'", filter.name());
                return Err(Error::Option { name: "resample", rule, given });
            }
        };
        let scale = source as f32 / target as f32;
        let mut axis =
            Self { source, target, sum, starts: Vec::new(), taps: Vec::new(), weights: Vec::new() };
        let most = if antialias {
            (2.0 * filter.radius() * f64::from(scale.max(1.0))) as usize + 2
        } else {
            4
        };
        axis.reserve(target.saturating_mul(most.min(source.max(4))))?;
        for i in 0..target {
            match sum {
                Sum::Window => axis.window_of(filter, scale, i),
                Sum::Square => axis.pair(scale, i),
                Sum::Cubic => axis.cubic(scale, i),
            }
            axis.starts.push(axis.taps.len() as u32);
        }
        Ok(axis)
    }

    fn reserve(&mut self, taps: usize) -> Result<()> {
        let memory = |_| Error::OutOfMemory { bytes: taps.saturating_mul(8) };
        self.starts.try_reserve_exact(self.target.saturating_add(1)).map_err(memory)?;
        self.taps.try_reserve_exact(taps).map_err(memory)?;
        self.weights.try_reserve_exact(taps).map_err(memory)?;
        self.starts.push(0);
        Ok(())
    }

    /// The source samples of target sample `i`, and their weights.
    #[must_use]
    pub fn window(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        (&self.taps[range.clone()], &self.weights[range])
    }

    /// A window of antialiasing.
    fn window_of(&mut self, filter: Filter, scale: f32, i: usize) {
        let radius = filter.radius() as f32;
        let support = if scale >= 1.0 { radius * scale } else { radius };
        let shrink = if scale >= 1.0 { 1.0 / scale } else { 1.0 };
        let most = support.ceil() as usize * 2 + 1;
        let centre = (f64::from(scale) * (i as f64 + 0.5)) as f32;
        let first = (f64::from(centre - support) + 0.5).max(0.0) as usize;
        let last = ((f64::from(centre + support) + 0.5) as usize).min(self.source);
        let len = last.saturating_sub(first).min(most);
        let start = self.weights.len();
        let mut total = 0.0;
        for x in first..first + len {
            let distance = (f64::from(x as f32 - centre) + 0.5) * f64::from(shrink);
            let distance = (distance as f32).abs();
            let weight = match filter {
                Filter::Bilinear if distance < 1.0 => 1.0 - distance,
                Filter::Bicubic if distance < 1.0 => {
                    (1.5f32.mul_add(distance, -2.5) * distance).mul_add(distance, 1.0)
                }
                Filter::Bicubic if distance < 2.0 => {
                    let far = (-0.5f32).mul_add(distance, 2.5);
                    far.mul_add(distance, -4.0).mul_add(distance, 2.0)
                }
                _ => 0.0,
            };
            total += weight;
            self.taps.push(x as u32);
            self.weights.push(weight);
        }
        if total != 0.0 {
            for weight in &mut self.weights[start..] {
                *weight /= total;
            }
        }
    }

    /// The position of target sample `i` in the source, before it is kept inside.
    fn position(scale: f32, i: usize) -> f32 {
        scale.mul_add(i as f32 + 0.5, -0.5)
    }

    /// The sample at or before a position, and how far it is to there.
    fn split(&self, position: f32) -> (isize, f32) {
        let index = (position.floor() as isize).min(self.source as isize - 1);
        (index, (position - index as f32).clamp(0.0, 1.0))
    }

    /// The two samples around a position.
    fn pair(&mut self, scale: f32, i: usize) {
        if self.source == self.target {
            self.taps.extend([i as u32; 2]);
            self.weights.extend([1.0, 0.0]);
            return;
        }
        let (index, rest) = self.split(Self::position(scale, i).max(0.0));
        let next = (index as usize + 1).min(self.source - 1);
        self.taps.extend([index as u32, next as u32]);
        self.weights.extend([1.0 - rest, rest]);
    }

    /// The four samples around a position; those outside repeat the edge.
    fn cubic(&mut self, scale: f32, i: usize) {
        let (index, rest) = self.split(Self::position(scale, i));
        let edge = self.source as isize - 1;
        self.taps.extend([-1, 0, 1, 2].map(|step| (index + step).clamp(0, edge) as u32));
        let other = 1.0 - rest;
        self.weights.extend([outer(rest + 1.0), inner(rest), inner(other), outer(other + 1.0)]);
    }
}

/// The cubic with a = -0.75 up to distance 1.
fn inner(x: f32) -> f32 {
    1.25f32.mul_add(x, -2.25) * x * x + 1.0
}

/// The cubic with a = -0.75 from distance 1 to 2.
fn outer(x: f32) -> f32 {
    (-0.75f32).mul_add(x, 3.75).mul_add(x, -6.0) * x + 3.0
}

/// The sum of [`Sum::Square`]: the samples at the top left, top right, bottom left and bottom right, and the weights of
/// the two rows and of the two columns.
#[must_use]
#[inline]
pub fn bilinear(samples: [f32; 4], rows: [f32; 2], columns: [f32; 2]) -> f32 {
    let [a, b, c, d] = samples;
    let first = a.mul_add(rows[0] * columns[0], b * (rows[0] * columns[1]));
    d.mul_add(rows[1] * columns[1], c.mul_add(rows[1] * columns[0], first))
}
