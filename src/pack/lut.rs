//! From bytes to elements: 256 entries a channel reproduce either library's arithmetic exactly.

use crate::names::names;
use crate::resample::Numerics;
use crate::spec::Spec;
use crate::strategy::Measure;
use half::{bf16, f16};

names! {
    /// The type of an output's elements.
    pub enum Element: "dtype" {
        /// As upstream returns.
        Float32 = "float32",
        /// Rounded to nearest, ties to even.
        Float16 = "float16",
        /// Rounded to nearest, ties to even; numpy has no such type, so an array of uint16 holds it.
        Bfloat16 = "bfloat16",
        /// Resized bytes, neither rescaled nor normalised.
        Uint8 = "uint8",
    }
}

impl Element {
    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::Bfloat16 => 2,
            Self::Uint8 => 1,
        }
    }
}

names! {
    /// In which steps values are rescaled and normalised, and what each step rounds to.
    pub enum Arithmetic: "arithmetic" {
        /// transformers on torchvision: the mean and the deviation take the factor in, all in float32.
        Fused = "fused",
        /// transformers on Pillow, and torchvision's `ToTensor` and `Normalize`: the factor in float64, the rest in
        /// float32.
        TwoStep = "two-step",
        /// `Llama4ImageProcessor`: first the factor, then the mean, then the deviation, each step rounded to bfloat16.
        ///
        /// Only where both steps are on, as upstream. Rescaling alone gives float32 as [`Self::Fused`] does. Upstream
        /// refuses to normalise alone; the rule of this crate for that is again [`Self::Fused`]'s.
        Bfloat16 = "bfloat16",
        /// `VivitVideoProcessor`: the factor and one less, then the mean and the deviation, all in float32.
        Offset = "offset",
        /// `NemotronH_Omni_Reasoning_V3VideoProcessor`: divided by the inverse of the factor, then the mean and the
        /// deviation, all in float32.
        Divided = "divided",
    }
}

impl Arithmetic {
    /// The arithmetic that goes with a bundle of numerics unless a family has its own.
    #[must_use]
    pub const fn of(numerics: Numerics) -> Self {
        match numerics {
            Numerics::Torchvision => Self::Fused,
            Numerics::Pillow120 | Numerics::Pillow122 | Numerics::Pillow13 => Self::TwoStep,
        }
    }
}

/// Rescaling and normalising, each on or off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalise {
    /// The factor of every value.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel.
    pub mean_std: Option<([f64; 3], [f64; 3])>,
    /// The steps and their roundings.
    pub arithmetic: Arithmetic,
}

impl Normalise {
    /// Neither: bytes stay bytes.
    pub const NONE: Self = Self { rescale: None, mean_std: None, arithmetic: Arithmetic::TwoStep };

    /// The arithmetic of each array of pixels of a family.
    #[must_use]
    pub fn of(spec: &Spec) -> Vec<Self> {
        let values = spec.strategy.values_of(&spec.common);
        let one = |array: usize| {
            let view = spec.recipe.views.iter().find(|view| view.array == Some(array));
            let mean_std = values[view.map_or(0, |view| view.values)];
            Self {
                rescale: spec.common.do_rescale.then_some(spec.common.rescale_factor),
                mean_std: spec.common.do_normalize.then_some(mean_std),
                arithmetic: spec.recipe.arithmetic.unwrap_or(Arithmetic::of(spec.numerics)),
            }
        };
        (0..spec.recipe.arrays.len()).map(one).collect()
    }

    /// The value of byte `x` in channel `c`.
    #[must_use]
    pub fn value(&self, c: usize, x: u8) -> f32 {
        self.of_float(c, f32::from(x))
    }

    /// The value of `x` in channel `c`, in upstream's order of operations.
    ///
    /// Resizes in float32 ask for values between and beyond those of bytes.
    #[must_use]
    pub fn of_float(&self, c: usize, x: f32) -> f32 {
        use Arithmetic::{Bfloat16, Divided, Fused, Offset, TwoStep};
        if let Some((mean, std)) = self.centre(c) {
            return (x - mean) / std;
        }
        match (self.rescale, self.mean_std, self.arithmetic) {
            // With a mean these two are centred, above.
            (None, _, _) | (Some(_), Some(_), Fused) => x,
            (Some(scale), None, Fused | Bfloat16) => x * scale as f32,
            (Some(scale), None, TwoStep) => (f64::from(x) * scale) as f32,
            (Some(scale), None, Offset) => x * scale as f32 - 1.0,
            (Some(scale), Some((mean, std)), Offset) => {
                (x * scale as f32 - 1.0 - mean[c] as f32) / std[c] as f32
            }
            (Some(scale), None, Divided) => x / (1.0 / scale) as f32,
            (Some(scale), Some((mean, std)), Divided) => {
                (x / (1.0 / scale) as f32 - mean[c] as f32) / std[c] as f32
            }
            (Some(scale), Some((mean, std)), TwoStep) => {
                ((f64::from(x) * scale) as f32 - mean[c] as f32) / std[c] as f32
            }
            (Some(scale), Some((mean, std)), Bfloat16) => {
                let scaled = bf16::from_f32(x).to_f32() * scale as f32;
                let [scaled, mean, std] =
                    [scaled, mean[c] as f32, std[c] as f32].map(|v| bf16::from_f32(v).to_f32());
                let centred = bf16::from_f32(scaled - mean).to_f32();
                bf16::from_f32(centred / std).to_f32()
            }
        }
    }

    /// The same of every value of a slice.
    pub fn of_floats(&self, c: usize, values: &mut [f32]) {
        if let Some((mean, std)) = self.centre(c) {
            // One step for all of them, which the compiler makes vectors of.
            for x in values {
                *x = (*x - mean) / std;
            }
        } else if self.rescale.is_some() {
            for x in values {
                *x = self.of_float(c, *x);
            }
        }
    }

    /// What is taken from a value, and what it is divided by then, where no other step is left.
    fn centre(&self, c: usize) -> Option<(f32, f32)> {
        match (self.rescale, self.mean_std, self.arithmetic) {
            (None, Some((mean, std)), _) => Some((mean[c] as f32, std[c] as f32)),
            (Some(scale), Some((mean, std)), Arithmetic::Fused) => {
                let inverse = (1.0 / scale) as f32;
                Some((mean[c] as f32 * inverse, std[c] as f32 * inverse))
            }
            _ => None,
        }
    }

    /// The element type upstream returns.
    #[must_use]
    pub const fn element(&self) -> Element {
        match (self.rescale, self.mean_std, self.arithmetic) {
            (None, None, _) => Element::Uint8,
            (Some(_), Some(_), Arithmetic::Bfloat16) => Element::Bfloat16,
            _ => Element::Float32,
        }
    }
}

/// How a recipe multiplies a byte by a factor that float32 cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// `fma(257 * byte, scale, scale_rest)`: the byte beside itself makes 257 of them, and 1 / (255 * 257) is nearly a
    /// number of float32's: it lacks 2^-32 of itself. The rest is next to nothing and decides what lies in the middle.
    Once,
    /// `fma(byte, scale, byte * scale_rest)`.
    Twice,
}

/// Arithmetic in float32 alone that gives every value of a table, bit for bit.
///
/// ```text
/// scaled   = byte, by `scaling`
/// centred  = scaled - mean
/// value    = fma(centred, reciprocal, centred * reciprocal_rest)      or centred / std where `divided`
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// How bytes are scaled.
    pub scaling: Scaling,
    /// Whether the quotient comes from a division.
    pub divided: bool,
    /// The factor of a byte, or of 257 of them, rounded.
    pub scale: f32,
    /// What that rounding left, or what decides the middle.
    pub scale_rest: f32,
    /// The mean of each channel.
    pub mean: [f32; 3],
    /// The standard deviation of each channel.
    pub std: [f32; 3],
    /// One through it, rounded.
    pub reciprocal: [f32; 3],
    /// What that rounding left.
    pub reciprocal_rest: [f32; 3],
}

/// Of a factor: less than any of its multiples differs from a middle that it does not lie in.
const LITTLE: f64 = 1.0 / (1u64 << 40) as f64;

impl Recipe {
    /// How many times itself a byte beside itself is.
    pub const TIMES: f32 = 257.0;

    /// The cheapest recipe that gives exactly the values of `table`.
    fn proven(normalise: &Normalise, table: &[[f32; 256]; 3]) -> Option<Self> {
        let exact = normalise.arithmetic == Arithmetic::TwoStep;
        let scale = normalise.rescale.unwrap_or(1.0);
        let fused = normalise.rescale.is_some() && normalise.mean_std.is_some() && !exact;
        let unit = if fused { (1.0 / scale) as f32 } else { 1.0 };
        let (mean, std) = normalise.mean_std.unwrap_or(([0.0; 3], [1.0; 3]));
        let (mean, std) = (mean.map(|m| m as f32 * unit), std.map(|s| s as f32 * unit));
        let high = scale as f32;
        let rest = if exact { (scale - f64::from(high)) as f32 } else { 0.0 };
        let scaled = normalise.rescale.is_some() && !fused;
        let recipe = Self {
            scaling: if scaled { Scaling::Twice } else { Scaling::None },
            divided: false,
            scale: high,
            scale_rest: rest,
            mean,
            std,
            reciprocal: std.map(|s| 1.0 / s),
            reciprocal_rest: std.map(|s| {
                let exact = 1.0 / f64::from(s);
                (exact - f64::from(1.0 / s)) as f32
            }),
        };
        let once = Self {
            scaling: Scaling::Once,
            scale: (scale / f64::from(Self::TIMES)) as f32,
            scale_rest: (scale * LITTLE) as f32,
            ..recipe
        };
        let divided = Self { divided: true, ..recipe };
        let candidates = [scaled.then_some(once), Some(recipe), Some(divided)];
        candidates.into_iter().flatten().find(|recipe| recipe.gives(table))
    }

    fn gives(&self, table: &[[f32; 256]; 3]) -> bool {
        table.iter().enumerate().all(|(c, values)| {
            (0..=255).zip(values).all(|(byte, value)| {
                value.is_finite() && self.value(c, byte).to_bits() == value.to_bits()
            })
        })
    }

    /// The value of byte `x` in channel `c`. Kernels take the same steps, each of which has one result.
    #[must_use]
    pub fn value(&self, c: usize, x: u8) -> f32 {
        let byte = f32::from(x);
        let scaled = match self.scaling {
            Scaling::None => byte,
            Scaling::Once => (byte * Self::TIMES).mul_add(self.scale, self.scale_rest),
            Scaling::Twice => byte.mul_add(self.scale, byte * self.scale_rest),
        };
        let centred = scaled - self.mean[c];
        if self.divided {
            return centred / self.std[c];
        }
        centred.mul_add(self.reciprocal[c], centred * self.reciprocal_rest[c])
    }
}

/// The elements of every byte in every channel.
#[derive(Clone, Debug)]
pub struct Lut {
    /// Their type.
    pub element: Element,
    /// The arithmetic, for values that are no bytes.
    pub normalise: Normalise,
    /// As float32; zeros for bytes, which stay as they are.
    pub float32: [[f32; 256]; 3],
    /// As the bits of float16 or bfloat16, when that is the type.
    pub half: [[u16; 256]; 3],
    /// The low and the high bytes of those bits.
    pub half_bytes: [[[u8; 256]; 2]; 3],
    /// The arithmetic that gives the same float32 values, where there is one.
    pub recipe: Option<Recipe>,
    /// For float16 and bfloat16: slope and start of a line through the float32 values of each channel, so near to them
    /// that `fma(byte, slope, start)`, rounded, is every element.
    pub line: Option<[[f32; 2]; 3]>,
}

impl Lut {
    /// The table.
    #[must_use]
    pub fn new(normalise: &Normalise, element: Element) -> Self {
        let (float32, half, half_bytes) = ([[0.0; 256]; 3], [[0; 256]; 3], [[[0; 256]; 2]; 3]);
        let normalise = *normalise;
        let mut lut =
            Self { element, normalise, float32, half, half_bytes, recipe: None, line: None };
        if element == Element::Uint8 {
            return lut;
        }
        for c in 0..3 {
            for x in 0..=255u8 {
                let value = normalise.value(c, x);
                lut.float32[c][usize::from(x)] = value;
                lut.half[c][usize::from(x)] = lut.rounded(value);
                let bytes = lut.half[c][usize::from(x)].to_le_bytes();
                for (table, byte) in lut.half_bytes[c].iter_mut().zip(bytes) {
                    table[usize::from(x)] = byte;
                }
            }
        }
        lut.recipe = Recipe::proven(&normalise, &lut.float32);
        if matches!(element, Element::Float16 | Element::Bfloat16) {
            lut.line = lut.proven_line();
        }
        lut
    }

    /// The line through the first and the last value, if all elements lie on it.
    fn proven_line(&self) -> Option<[[f32; 2]; 3]> {
        let line = self.float32.each_ref().map(|values| {
            let [first, last] = [values[0], values[255]].map(f64::from);
            [((last - first) / 255.0) as f32, values[0]]
        });
        let gives = |c: usize, x: u8| {
            let value = f32::from(x).mul_add(line[c][0], line[c][1]);
            value.is_finite() && self.rounded(value) == self.half[c][usize::from(x)]
        };
        let proven = (0..3).all(|c| (0..=255).all(|x| gives(c, x)));
        proven.then_some(line)
    }

    /// The bits of a value as float16 or bfloat16.
    fn rounded(&self, value: f32) -> u16 {
        match self.element {
            Element::Float16 => f16::from_f32(value).to_bits(),
            Element::Bfloat16 => bf16::from_f32(value).to_bits(),
            Element::Float32 | Element::Uint8 => 0,
        }
    }

    /// The element of byte `x` in channel `c`: as many bytes as it has, from the first on.
    #[must_use]
    pub fn bytes(&self, c: usize, x: u8) -> [u8; 4] {
        match self.element {
            Element::Uint8 => [x, 0, 0, 0],
            Element::Float32 => self.float32[c][usize::from(x)].to_ne_bytes(),
            Element::Float16 | Element::Bfloat16 => {
                let [low, high] = self.half[c][usize::from(x)].to_ne_bytes();
                [low, high, 0, 0]
            }
        }
    }
}
