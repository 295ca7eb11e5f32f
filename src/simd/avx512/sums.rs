//! Sums by digits, and their end: rounded, shifted, clamped.
//!
//! A weight of 22 bits is three signed bytes, `k = b0 + (b1 << 8) + (b2 << 16)`, one of int16 mostly two.
//! `vpdpbusd` multiplies four source bytes of a dword, four taps of one component, by four of them.
//! All sums are modulo 2^32, as the scalar backend's are.

use super::ops::Ops;
use crate::resample::Axis;

/// Signed bytes that hold every weight of an axis; none where three do not.
pub(super) fn digits(axis: &Axis) -> Option<usize> {
    let fits = |digits: u32| {
        // 127 in every place. -128 in every place is a little less than what two of them hold as one word.
        let most = (0..digits).fold(0, |sum, place| sum + (127 << (8 * place)));
        let range = -(1 << (8 * digits - 1))..=most;
        (0..axis.target).all(|i| axis.window(i).1.iter().all(|weight| range.contains(weight)))
    };
    if axis.int16 && fits(2) {
        Some(2)
    } else if fits(3) {
        Some(3)
    } else {
        None
    }
}

/// Adding this and flipping its bits turns a weight into its signed digits, low byte first.
pub(super) const DIGITS: i32 = 0x0080_8080;

pub(super) use crate::error::reserved;

/// What the end of a sum takes.
pub(super) struct Rounding<V> {
    /// What the sums of the first digits begin with.
    pub(super) half: V,
    pub(super) zero: V,
    precision: V,
    /// What is left of it above the digits below the last, for dwords and for words.
    left: V,
    left_words: V,
}

impl<V: Copy> Rounding<V> {
    #[inline(always)]
    pub(super) fn new<O: Ops<V = V>>(ops: O, precision: u32, digits: usize) -> Self {
        let half = if precision == 0 { 0 } else { 1 << (precision - 1) };
        let left = precision.saturating_sub(below(digits)) as i32;
        Self {
            half: ops.splat(half),
            zero: ops.splat(0),
            precision: ops.splat(precision as i32),
            left: ops.splat(left),
            left_words: ops.splat(left << 16 | left),
        }
    }

    /// [`Rounding::words`] of sums without the digits below the last.
    #[inline(always)]
    pub(super) fn last_words<O: Ops<V = V>, const WORDS: bool>(
        &self,
        ops: O,
        sums: [V; 4],
    ) -> [V; 2] {
        let [a, b, c, d] = sums;
        if WORDS {
            let ab = ops.shift_right_words(ops.pack_dwords(a, b), self.left_words);
            return [ab, ops.shift_right_words(ops.pack_dwords(c, d), self.left_words)];
        }
        let [a, b] = [ops.shift_right(a, self.left), ops.shift_right(b, self.left)];
        let [c, d] = [ops.shift_right(c, self.left), ops.shift_right(d, self.left)];
        [ops.pack_dwords(a, b), ops.pack_dwords(c, d)]
    }

    /// Where the sums of all digits begin.
    #[inline(always)]
    pub(super) fn start<const D: usize>(&self) -> [V; D] {
        let mut sums = [self.zero; D];
        sums[0] = self.half;
        sums
    }

    /// Two vectors of sums by digits, shifted, as words `a0 a1 a2 a3 b0 b1 b2 b3` in each lane, which
    /// saturate to bytes as the sums do.
    ///
    /// `WORDS` is for [`fits_words`].
    #[inline(always)]
    pub(super) fn words<O: Ops<V = V>, const D: usize, const WORDS: bool>(
        &self,
        ops: O,
        a: &[V; D],
        b: &[V; D],
    ) -> V {
        if WORDS {
            let [a, b] = [top(ops, a), top(ops, b)];
            return ops.shift_right_words(ops.pack_dwords(a, b), self.left_words);
        }
        let a = ops.shift_right(total(ops, a), self.precision);
        let b = ops.shift_right(total(ops, b), self.precision);
        ops.pack_dwords(a, b)
    }
}

/// Bits of the digits below the last.
pub(super) const fn below(digits: usize) -> u32 {
    8 * (digits as u32 - 1)
}

/// Whether the sums without the digits below the last may be packed to words before the rest of the shift: what saturates
/// there is out of a byte's range after it.
pub(super) const fn fits_words(digits: usize, precision: u32) -> bool {
    let below = below(digits);
    precision >= below && precision - below <= 7
}

/// The sums without the digits below the last, rounded down: so is each of the shifts.
#[inline(always)]
pub(super) fn top<O: Ops, const D: usize>(ops: O, sums: &[O::V; D]) -> O::V {
    let mut sum = sums[0];
    for d in 1..D {
        sum = ops.add(ops.shift_right_by::<8>(sum), sums[d]);
    }
    sum
}

/// One sum of the sums by digits.
#[inline(always)]
fn total<O: Ops, const D: usize>(ops: O, sums: &[O::V; D]) -> O::V {
    let mut sum = sums[D - 1];
    for d in (0..D - 1).rev() {
        sum = ops.add(ops.shift_left::<8>(sum), sums[d]);
    }
    sum
}
