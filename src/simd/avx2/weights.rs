//! Weights as 16-bit words, so that `vpmaddwd` multiplies two taps at once.

use crate::resample::Axis;
use crate::simd::GROUP;

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

/// The most that the low bytes of one sign may add up to in 16 bits: `128 * 255 < 1 << 15`.
const MOST: i32 = 128;

/// Cuts weights into `k = high << bits + low`: a word, and a byte so small that all products of pixels with the bytes of
/// rows 0 and 1 of each group, and of rows 2 and 3, add up in 16 bits. Gives `bits`, or none where they could overflow.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn fine(weights: &[i32], lows: &mut Vec<i32>) -> Option<u32> {
    let largest = weights.iter().fold(0, |largest, k| k.abs().max(largest));
    let bits = (largest + 256).ilog2().saturating_sub(14);
    if bits > 7 {
        return None;
    }
    let (unit, half) = (1 << bits, (1 << bits) >> 1);
    lows.clear();
    lows.extend(weights.iter().map(|k| ((k + half) & (unit - 1)) - half));
    let fits = |lows: &[i32]| {
        let (mut positive, mut negative) = ([0; GROUP], [0; GROUP]);
        for quad in lows.as_chunks::<GROUP>().0 {
            for r in 0..GROUP {
                positive[r] += quad[r].max(0);
                negative[r] += quad[r].min(0);
            }
        }
        let most = |sums: [i32; GROUP]| (sums[0] + sums[1]).max(sums[2] + sums[3]);
        (most(positive), most(negative.map(i32::wrapping_neg)))
    };
    loop {
        let (positive, negative) = fits(lows);
        if negative > MOST {
            return None;
        }
        if positive <= MOST {
            return Some(bits);
        }
        // The largest crosses to the other sign, where it takes the least room.
        let largest = lows.iter_mut().max()?;
        if *largest <= 0 {
            return None;
        }
        *largest -= unit;
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

pub(super) use crate::error::reserved;
