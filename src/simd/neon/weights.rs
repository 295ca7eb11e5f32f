//! Weights four taps at a time, cut for the products that the CPU has.

use super::Level;
use super::products::{Mixed, Products, Signed, Words};
use crate::resample::Axis;

/// How weights are cut and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Words, of weights that fit in them.
    Word,
    /// `k = hi << 15 | lo`, both words.
    TwoWords,
    /// Signed bytes, `k = b0 + (b1 << 8)`, with pixels less 128.
    SignedTwo,
    /// `k = b0 + (b1 << 8) + (b2 << 16)`.
    SignedThree,
    /// Two signed bytes, with pixels as they are.
    MixedTwo,
    /// Three.
    MixedThree,
}

/// Runs generic code with the [`Products`] of a [`Cut`].
macro_rules! with_products {
    ($cut:expr, $products:ident => $body:expr) => {{
        use $crate::simd::neon::products::{Mixed, Signed, Words};
        match $cut {
            $crate::simd::neon::weights::Cut::Word => {
                type $products = Words<1>;
                $body
            }
            $crate::simd::neon::weights::Cut::TwoWords => {
                type $products = Words<2>;
                $body
            }
            $crate::simd::neon::weights::Cut::SignedTwo => {
                type $products = Signed<2>;
                $body
            }
            $crate::simd::neon::weights::Cut::SignedThree => {
                type $products = Signed<3>;
                $body
            }
            $crate::simd::neon::weights::Cut::MixedTwo => {
                type $products = Mixed<2>;
                $body
            }
            $crate::simd::neon::weights::Cut::MixedThree => {
                type $products = Mixed<3>;
                $body
            }
        }
    }};
}
pub(super) use with_products;

/// Bits after the point of weights that are cut into two words or three bytes.
pub(super) const BITS: u32 = 22;

/// Adding this and flipping its bits turns a weight into its signed bytes, the lowest first.
const DIGITS: i32 = 0x0080_8080;

impl Cut {
    /// The cheapest cut that holds every weight, if there is one.
    pub(super) fn of(level: Level, axis: &Axis) -> Option<Self> {
        let holds = |range: std::ops::RangeInclusive<i32>| {
            (0..axis.target).all(|i| axis.window(i).1.iter().all(|k| range.contains(k)))
        };
        if axis.int16 {
            // 127 in both places is the largest.
            return match level {
                Level::Mixed if holds(-0x8000..=0x7f7f) => Some(Self::MixedTwo),
                Level::Signed if holds(-0x8000..=0x7f7f) => Some(Self::SignedTwo),
                _ if holds(-0x8000..=0x7fff) => Some(Self::Word),
                _ => None,
            };
        }
        if axis.precision != BITS {
            return None;
        }
        match level {
            Level::Mixed if holds(-0x7f_7f7f..=0x7f_7f7f) => Some(Self::MixedThree),
            Level::Signed if holds(-0x7f_7f7f..=0x7f_7f7f) => Some(Self::SignedThree),
            _ if holds(-0x3fff_ffff..=0x3fff_ffff) => Some(Self::TwoWords),
            _ => None,
        }
    }

    /// Dwords of four weights.
    pub(super) const fn dwords(self) -> usize {
        match self {
            Self::Word => Words::<1>::DWORDS,
            Self::TwoWords => Words::<2>::DWORDS,
            Self::SignedTwo => Signed::<2>::DWORDS,
            Self::SignedThree => Signed::<3>::DWORDS,
            Self::MixedTwo => Mixed::<2>::DWORDS,
            Self::MixedThree => Mixed::<3>::DWORDS,
        }
    }

    /// Appends four weights.
    pub(super) fn push(self, k: [i32; 4], lanes: &mut Vec<i32>) {
        let pairs = |k: [i32; 4]| [pair(k[0], k[2]), pair(k[1], k[3])];
        let digit = |place: usize| {
            i32::from_le_bytes(k.map(|k| (k.wrapping_add(DIGITS) ^ DIGITS).to_le_bytes()[place]))
        };
        match self {
            Self::Word => lanes.extend(pairs(k)),
            Self::TwoWords => {
                lanes.extend(pairs(k.map(|k| k >> 15)));
                lanes.extend(pairs(k.map(|k| k & 0x7fff)));
            }
            Self::SignedTwo | Self::MixedTwo => lanes.extend([0, 1].map(digit)),
            Self::SignedThree | Self::MixedThree => {
                lanes.extend([0, 1, 2].map(digit));
                lanes.push(0);
            }
        }
    }

    /// Where the sum of a window begins: at what rounds it, and at what pixels less 128 take away.
    pub(super) fn start(self, precision: u32, taps: &[i32]) -> i32 {
        let half = if precision == 0 { 0 } else { 1 << (precision - 1) };
        match self {
            Self::SignedTwo | Self::SignedThree => {
                taps.iter().fold(half, |sum: i32, k| sum.wrapping_add(k.wrapping_mul(128)))
            }
            _ => half,
        }
    }
}

/// Two words in a dword.
const fn pair(first: i32, second: i32) -> i32 {
    (first & 0xffff) | (second << 16)
}
