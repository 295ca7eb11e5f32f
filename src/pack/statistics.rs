//! Mean and standard deviation of one image's values, as `Pix2Struct` and Kosmos-2.5 take them.
//!
//! Both libraries add float32 numbers in an order of their own, which shows in the last bits. The order is that of
//! memory: upstream's torchvision backend holds plane after plane, its PIL backend an image as it came. torch's sums are
//! those of one thread.

use std::ops::Range;

use crate::error::{Error, Result};

/// The mean and what values are divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// The mean.
    pub mean: f32,
    /// The standard deviation, or the least that a family divides by where that is more.
    pub deviation: f32,
}

/// Whose sums, and the least to divide by for `n` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standardise {
    /// `Pix2StructImageProcessor`: torch's sums; at least `1 / sqrt(n)`, rounded to float32 at the end.
    TorchDouble,
    /// `Kosmos2_5ImageProcessor`: torch's sums; at least `1 / sqrt(n)`, with the root and the quotient in float32.
    TorchSingle,
    /// The same classes on Pillow: numpy's sums, the deviation of the values themselves rather than an estimate.
    Numpy,
}

impl Standardise {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::TorchDouble, Self::TorchSingle, Self::Numpy];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TorchDouble => "torch-double",
            Self::TorchSingle => "torch-single",
            Self::Numpy => "numpy",
        }
    }

    /// The rule of that name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| Error::Unknown {
            what: "standardise",
            given: name.into(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }

    /// The mean and the divisor of `values`, of which there are at least two. `check` is asked now and then.
    ///
    /// # Errors
    /// Those of `check`.
    pub fn statistics(self, values: &[f32], check: Check<'_>) -> Result<Statistics> {
        self.of(values, &|mean| in_lanes(values, mean, check), check)
    }

    /// Whether it adds the values of an image in the order of its pixels, as numpy does, whose sums follow memory; else
    /// plane after plane.
    #[must_use]
    pub const fn is_of_pixels(self) -> bool {
        matches!(self, Self::Numpy)
    }

    /// The same of an image's bytes, in the order of [`Self::is_of_pixels`].
    ///
    /// # Errors
    /// Those of `check`.
    pub fn of_bytes(self, bytes: &[u8], check: Check<'_>) -> Result<Statistics> {
        self.of(bytes, &|mean| counted(bytes, mean, check), check)
    }

    fn of<T: Copy + Into<f32>>(
        self,
        values: &[T],
        near: &dyn Fn(f64) -> Result<f64>,
        check: Check<'_>,
    ) -> Result<Statistics> {
        let n = values.len() as f64;
        let (mean, least) = match self {
            Self::TorchDouble => (torch_mean(values, check)?, (1.0 / n.sqrt()) as f32),
            Self::TorchSingle => (torch_mean(values, check)?, 1.0 / (n as f32).sqrt()),
            Self::Numpy => {
                let read = |at: usize, to: &mut [f32]| {
                    for (to, &value) in to.iter_mut().zip(&values[at..]) {
                        *to = value.into();
                    }
                };
                return numpy(values.len(), &read, check);
            }
        };
        let deviation = torch_deviation(values, mean, near, check)?;
        Ok(Statistics { mean, deviation: if deviation >= least { deviation } else { least } })
    }
}

impl Statistics {
    /// Subtracts the mean from each value, and divides by the divisor.
    ///
    /// # Errors
    /// Those of `check`.
    pub fn apply(self, values: &mut [f32], check: Check<'_>) -> Result<()> {
        for part in values.chunks_mut(CHECK_EVERY) {
            check()?;
            for value in part {
                *value = (*value - self.mean) / self.deviation;
            }
        }
        Ok(())
    }
}

/// Asks whether to go on.
pub type Check<'a> = &'a dyn Fn() -> Result<()>;

/// Values between two looks at it.
const CHECK_EVERY: usize = 1 << 18;

/// Lanes of the vectors in which torch adds, and how many of them it keeps at once.
const LANES: usize = 8;
const VECTORS: usize = 4;
/// Floats of one step.
const STEP: usize = LANES * VECTORS;
/// Levels of partial sums.
const LEVELS: usize = 4;

type Lanes = [[f32; LANES]; VECTORS];

fn add(to: &mut Lanes, from: &Lanes) {
    for (to, from) in to.iter_mut().flatten().zip(from.iter().flatten()) {
        *to += from;
    }
}

fn add_step<T: Copy + Into<f32>>(to: &mut Lanes, step: &[T; STEP]) {
    for (to, &value) in to.iter_mut().flatten().zip(step) {
        *to += value.into();
    }
}

/// The mean as `torch.mean` gives it.
fn torch_mean<T: Copy + Into<f32>>(values: &[T], check: Check<'_>) -> Result<f32> {
    Ok(torch_sum(values, check)? / values.len() as f32)
}

/// torch's cascade: steps of 32 floats are added to a first level of sums, which every so many steps empties into the
/// second, that one as often into the third, and so on; then the vectors, then what is left over, then the lanes.
fn torch_sum<T: Copy + Into<f32>>(values: &[T], check: Check<'_>) -> Result<f32> {
    let (steps, rest) = values.as_chunks::<STEP>();
    // A level takes 16 times as many steps as the one before, or more where four levels would not do.
    let bits = usize::BITS - steps.len().saturating_sub(1).leading_zeros();
    let power = (bits / LEVELS as u32).max(4);
    let often = 1usize << power;
    let mut levels: [Lanes; LEVELS] = Default::default();
    let (mut whole, left) = (0, steps.chunks_exact(often));
    let last = left.remainder();
    for group in left {
        if (whole * STEP).is_multiple_of(CHECK_EVERY) {
            check()?;
        }
        for step in group {
            add_step(&mut levels[0], step);
        }
        whole += often;
        for level in 1..LEVELS {
            let full = std::mem::take(&mut levels[level - 1]);
            add(&mut levels[level], &full);
            if whole & ((often - 1) << (level as u32 * power)) != 0 {
                break;
            }
        }
    }
    for step in last {
        add_step(&mut levels[0], step);
    }
    let [mut sums, others @ ..] = levels;
    for level in &others {
        add(&mut sums, level);
    }
    let (vectors, rest) = rest.as_chunks::<LANES>();
    let [mut sum, others @ ..] = sums;
    for vector in vectors {
        for (to, &from) in sum.iter_mut().zip(vector) {
            *to += from.into();
        }
    }
    for vector in &others {
        for (to, from) in sum.iter_mut().zip(vector) {
            *to += from;
        }
    }
    let rest = rest.iter().fold(0.0, |total, &value| total + value.into());
    Ok(sum.iter().fold(rest, |total, value| total + value))
}

/// The standard deviation as `torch.std` gives it: squares of differences to the mean, added one by one in float64.
///
/// A sum one by one is slow. It lies within `n` roundings of the exact sum, and so does `near` within a sixteenth of that
/// and a little; where both ends of that range give one float32, that is the answer.
fn torch_deviation<T: Copy + Into<f32>>(
    values: &[T],
    mean: f32,
    near: &dyn Fn(f64) -> Result<f64>,
    check: Check<'_>,
) -> Result<f32> {
    let mean = f64::from(mean);
    let n = values.len() as f64;
    let root = |sum: f64| (sum / (n - 1.0).max(0.0)).sqrt() as f32;
    let near = near(mean)?;
    // A rounding is half of `EPSILON`.
    let doubt = 0.55 * (n + 64.0) * f64::EPSILON;
    let (low, high) = (root(near * (1.0 - doubt)), root(near * (1.0 + doubt)));
    if low.to_bits() == high.to_bits() {
        return Ok(low);
    }
    let mut sum = 0.0;
    for part in values.chunks(CHECK_EVERY) {
        check()?;
        sum = part.iter().fold(sum, |sum, &value| sum + square(value.into(), mean));
    }
    Ok(root(sum))
}

fn square(value: f32, mean: f64) -> f64 {
    let difference = f64::from(value) - mean;
    difference * difference
}

/// The squares added in sixteen lanes.
fn in_lanes(values: &[f32], mean: f64, check: Check<'_>) -> Result<f64> {
    let mut lanes = [0.0; 16];
    let (groups, rest) = values.as_chunks::<16>();
    for part in groups.chunks(CHECK_EVERY / 16) {
        check()?;
        for group in part {
            for (lane, value) in lanes.iter_mut().zip(group) {
                *lane += square(*value, mean);
            }
        }
    }
    Ok(lanes.iter().sum::<f64>() + rest.iter().map(|value| square(*value, mean)).sum::<f64>())
}

/// The squares of bytes, each value's times how often it is there.
fn counted(bytes: &[u8], mean: f64, check: Check<'_>) -> Result<f64> {
    // Four counters each: equal bytes that follow each other do not wait for one.
    let mut counts = [[0u64; 256]; 4];
    for part in bytes.chunks(CHECK_EVERY) {
        check()?;
        for (n, &byte) in part.iter().enumerate() {
            counts[n % 4][usize::from(byte)] += 1;
        }
    }
    let count = |byte: usize| counts.iter().map(|counts| counts[byte]).sum::<u64>() as f64;
    Ok((0..256).map(|byte| count(byte) * square(byte as f32, mean)).sum())
}

/// Mean and standard deviation of `n` values as `numpy.mean` and `numpy.std` give them; `read` copies those from a place on.
fn numpy(n: usize, read: &impl Fn(usize, &mut [f32]), check: Check<'_>) -> Result<Statistics> {
    let count = n as f32;
    let mean = pairwise(0..n, read, &|value| value, check)? / count;
    let square = |value: f32| (value - mean) * (value - mean);
    let deviation = (pairwise(0..n, read, &square, check)? / count).sqrt();
    let least = (1.0 / (n as f64).sqrt()) as f32;
    Ok(Statistics { mean, deviation: if deviation >= least { deviation } else { least } })
}

/// Values that numpy does not halve again.
const BLOCK: usize = 128;

/// numpy's sum: halves of a multiple of eight down to a block, which eight sums share.
fn pairwise(
    part: Range<usize>,
    read: &impl Fn(usize, &mut [f32]),
    of: &impl Fn(f32) -> f32,
    check: Check<'_>,
) -> Result<f32> {
    let len = part.len();
    if len > CHECK_EVERY {
        check()?;
    }
    if len > BLOCK {
        let half = len / 2;
        let middle = part.start + half - half % 8;
        let left = pairwise(part.start..middle, read, of, check)?;
        return Ok(left + pairwise(middle..part.end, read, of, check)?);
    }
    let mut block = [0.0; BLOCK];
    let values = &mut block[..len];
    read(part.start, values);
    let (groups, rest) = values.as_chunks::<8>();
    let Some((first, groups)) = groups.split_first() else {
        return Ok(rest.iter().fold(-0.0, |sum, value| sum + of(*value)));
    };
    let mut sums = first.map(of);
    for group in groups {
        for (sum, value) in sums.iter_mut().zip(group) {
            *sum += of(*value);
        }
    }
    let pair = |k: usize| sums[k] + sums[k + 1];
    let sum = (pair(0) + pair(2)) + (pair(4) + pair(6));
    Ok(rest.iter().fold(sum, |sum, value| sum + of(*value)))
}
