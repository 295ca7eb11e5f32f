//! From bytes to elements: 256 entries a channel reproduce either library's arithmetic exactly.

use crate::error::{Error, Result};
use crate::resample::Numerics;
use half::{bf16, f16};

/// The type of an output's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// As upstream returns.
    Float32,
    /// Rounded to nearest, ties to even.
    Float16,
    /// Rounded to nearest, ties to even; numpy has no such type, so an array of uint16 holds it.
    Bfloat16,
    /// Resized bytes, neither rescaled nor normalised.
    Uint8,
}

impl Element {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Float32, Self::Float16, Self::Bfloat16, Self::Uint8];

    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Uint8 => "uint8",
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::Bfloat16 => 2,
            Self::Uint8 => 1,
        }
    }

    /// The type of that name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|element| element.name() == name).ok_or_else(|| Error::Unknown {
            what: "dtype",
            given: name.into(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

/// Rescaling and normalising, each on or off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalise {
    /// What bytes are multiplied by.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel.
    pub mean_std: Option<([f64; 3], [f64; 3])>,
    /// Whose arithmetic.
    pub numerics: Numerics,
}

impl Normalise {
    /// The value of byte `x` in channel `c`, in the order of operations of the library in question.
    #[must_use]
    pub fn value(&self, c: usize, x: u8) -> f32 {
        let byte = f32::from(x);
        match (self.rescale, self.mean_std) {
            (None, None) => byte,
            (Some(scale), None) if self.numerics.int16_weights() => byte * scale as f32,
            (Some(scale), None) => (f64::from(x) * scale) as f32,
            (None, Some((mean, std))) => (byte - mean[c] as f32) / std[c] as f32,
            (Some(scale), Some((mean, std))) if self.numerics.int16_weights() => {
                let inverse = (1.0 / scale) as f32;
                (byte - mean[c] as f32 * inverse) / (std[c] as f32 * inverse)
            }
            (Some(scale), Some((mean, std))) => {
                ((f64::from(x) * scale) as f32 - mean[c] as f32) / std[c] as f32
            }
        }
    }

    /// The element type upstream returns.
    #[must_use]
    pub const fn element(&self) -> Element {
        if self.rescale.is_none() && self.mean_std.is_none() {
            Element::Uint8
        } else {
            Element::Float32
        }
    }
}

/// The elements of every byte in every channel.
#[derive(Clone, Debug)]
pub struct Lut {
    /// Their type.
    pub element: Element,
    /// As float32.
    pub float32: [[f32; 256]; 3],
    /// As the bits of float16 or bfloat16, when that is the type.
    pub half: [[u16; 256]; 3],
}

impl Lut {
    /// The table.
    #[must_use]
    pub fn new(normalise: &Normalise, element: Element) -> Self {
        let mut lut = Self { element, float32: [[0.0; 256]; 3], half: [[0; 256]; 3] };
        for c in 0..3 {
            for x in 0..=255u8 {
                let value = normalise.value(c, x);
                lut.float32[c][usize::from(x)] = value;
                lut.half[c][usize::from(x)] = match element {
                    Element::Float16 => f16::from_f32(value).to_bits(),
                    Element::Bfloat16 => bf16::from_f32(value).to_bits(),
                    Element::Float32 | Element::Uint8 => 0,
                };
            }
        }
        lut
    }
}
