//! Weights as 16-bit words, so that `vpmaddwd` multiplies two taps at once.

use crate::error::{Error, Result};
use crate::resample::Axis;

/// How the weights of an axis are cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// `k`, where all fit.
    One,
    /// `k = hi << 15 | lo`.
    Two,
}

impl Words {
    /// The cheapest cut that holds every weight.
    pub(super) fn of(axis: &Axis) -> Self {
        let fits = |i| axis.window(i).1.iter().all(|&k| i16::try_from(k).is_ok());
        if axis.int16 && (0..axis.target).all(fits) { Self::One } else { Self::Two }
    }
}

/// Two words in a 32-bit lane.
pub(super) const fn pair(first: i32, second: i32) -> i32 {
    (first & 0xffff) | (second << 16)
}

/// The high word of a weight.
pub(super) const fn high(k: i32) -> i32 {
    k >> 15
}

/// The low word of a weight, never negative.
pub(super) const fn low(k: i32) -> i32 {
    k & 0x7fff
}

/// What is added to a sum before it is shifted by `precision`.
pub(super) const fn half(precision: u32) -> i32 {
    if precision == 0 { 0 } else { 1 << (precision - 1) }
}

/// An empty vector with room for `len`.
pub(super) fn reserved<T>(len: usize) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>());
    vector.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { bytes })?;
    Ok(vector)
}
