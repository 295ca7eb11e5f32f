//! Whose numbers a resize gives: its weights, and which axis goes first, which changed between releases.

use super::filter::Filter;
use super::float::Float;
use crate::error::{Error, Result, Size};
use crate::names::names;

names! {
    /// Whose numbers to reproduce.
    pub enum Numerics: "numerics" {
        /// torchvision's resize of uint8 with antialias, and transformers' fused normalisation.
        Torchvision = "torchvision",
        /// Pillow up to 12.1.
        Pillow120 = "pillow-12.0",
        /// Pillow 12.2 and 12.3.
        Pillow122 = "pillow-12.2",
        /// Pillow 13.
        Pillow13 = "pillow-13",
    }
}

impl Numerics {
    /// The rule that a name stands for: torchvision's, or that of a release of Pillow, `pillow-<version>`. None for a
    /// release that is newer than any known here, and for one of 12 that leaves the minor version open.
    #[must_use]
    pub fn of_release(name: &str) -> Option<Self> {
        let Some(version) = name.strip_prefix("pillow-") else {
            return (name == Self::Torchvision.name()).then_some(Self::Torchvision);
        };
        let mut numbers = [None; 2];
        for (place, part) in version.split('.').enumerate() {
            if part.is_empty() || part.len() > 4 || !part.bytes().all(|byte| byte.is_ascii_digit())
            {
                return None;
            }
            if let Some(number) = numbers.get_mut(place) {
                *number = part.parse::<u32>().ok();
            }
        }
        match numbers {
            [Some(1..=11), _] | [Some(12), Some(0 | 1)] => Some(Self::Pillow120),
            [Some(12), Some(_)] => Some(Self::Pillow122),
            [Some(13), _] => Some(Self::Pillow13),
            _ => None,
        }
    }

    /// How it keeps the weights of a resize of bytes.
    #[must_use]
    pub const fn weights(self) -> Weights {
        match self {
            Self::Torchvision => Weights::Int16,
            Self::Pillow120 | Self::Pillow122 | Self::Pillow13 => Weights::Pillow22,
        }
    }

    /// Whether weights are torchvision's int16 rather than Pillow's 22 bits.
    #[must_use]
    pub const fn int16_weights(self) -> bool {
        matches!(self.weights(), Weights::Int16)
    }

    /// Checks that the library has a filter: torch interpolates tensors neither by box nor by Hamming.
    ///
    /// # Errors
    /// `Option`, for the option `name`.
    pub fn check_filter(self, name: &'static str, filter: Filter) -> Result<()> {
        if self.int16_weights() && matches!(filter, Filter::Box | Filter::Hamming) {
            let rule = "'nearest', 'bilinear', 'bicubic' or 'lanczos' with numerics='torchvision'";
            return Err(Error::Option { name, rule, given: format!("'{}'", filter.name()) });
        }
        Ok(())
    }

    /// Whether the vertical pass comes first where both axes change.
    #[must_use]
    pub fn vertical_first(self, source: Size, target: Size) -> bool {
        let shrinks = target.0 < source.0;
        match self {
            Self::Torchvision | Self::Pillow120 => false,
            Self::Pillow122 => shrinks && source.0 > 100 * source.1,
            Self::Pillow13 => {
                shrinks && (source.0 - target.0) as i128 > 2 * (source.1 as i128 - target.1 as i128)
            }
        }
    }
}

/// How the weights of a resize are kept, and hence what its sums are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weights {
    /// Integers of 22 bits after the point: Pillow on bytes.
    Pillow22,
    /// Integers of as many bits as fit in 16: torch on bytes.
    Int16,
    /// float32: torch on floats, or on bytes that became floats first.
    Float(Float),
}

/// The passes a resize takes. An axis whose length stays is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// Same size.
    Copy,
    /// Only the width changes.
    Horizontal,
    /// Only the height changes.
    Vertical,
    /// Both, the width first.
    HorizontalVertical,
    /// Both, the height first.
    VerticalHorizontal,
}

impl Passes {
    /// The passes from `source` to `target`.
    #[must_use]
    pub fn new(numerics: Numerics, source: Size, target: Size) -> Self {
        match (source.0 == target.0, source.1 == target.1) {
            (true, true) => Self::Copy,
            (true, false) => Self::Horizontal,
            (false, true) => Self::Vertical,
            (false, false) if numerics.vertical_first(source, target) => Self::VerticalHorizontal,
            (false, false) => Self::HorizontalVertical,
        }
    }
}
