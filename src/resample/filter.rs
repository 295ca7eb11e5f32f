//! The filters, in f64, as both libraries evaluate them.

use crate::error::{Error, Result, Size};
use crate::names::Named;

/// A resampling filter; all but the first are stretched by the scale when shrinking, which keeps aliases out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// One source sample for each target sample.
    Nearest,
    /// The same in torch's kernel for small results: see [`Filter::of_result`].
    NearestSmall,
    /// The mean, radius 0.5. Pillow alone has it.
    Box,
    /// Windowed sinc, radius 1. Pillow alone has it.
    Hamming,
    /// Triangle, radius 1.
    Bilinear,
    /// Cubic with a = -0.5, radius 2.
    Bicubic,
    /// Windowed sinc, radius 3.
    Lanczos,
}

impl Named for Filter {
    const NAMES: &'static [&'static str] =
        &["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"];

    fn name(self) -> &'static str {
        Self::name(self)
    }

    fn parse(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

impl Filter {
    /// Every filter that has a name of its own.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nearest | Self::NearestSmall => "nearest",
            Self::Box => "box",
            Self::Hamming => "hamming",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// The filter of that name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name).ok_or_else(|| Error::Unknown {
            what: "resample",
            given: name.into(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }

    /// The filter for a result of that size.
    ///
    /// torch has another kernel of nearest for results whose height and width together are at most 128. One axis in
    /// 20,000 differs, in one sample. Pillow knows no difference, and no other filter does.
    #[must_use]
    pub const fn of_result(self, size: Size) -> Self {
        match self {
            Self::Nearest if size.0.saturating_add(size.1) <= 128 => Self::NearestSmall,
            _ => self,
        }
    }

    /// Half the width of the window at scale 1.
    #[must_use]
    pub const fn radius(self) -> f64 {
        match self {
            Self::Nearest | Self::NearestSmall | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }
}

/// The weight at distance `x`: of two samples at the same distance, the one to the right.
#[inline]
pub(super) fn boxed(x: f64) -> f64 {
    if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }
}

/// The weight at distance `x`.
#[inline]
pub(super) fn hamming(x: f64) -> f64 {
    let x = x.abs();
    if x == 0.0 {
        return 1.0;
    }
    if x >= 1.0 {
        return 0.0;
    }
    let x = x * std::f64::consts::PI;
    // Pillow has these two in float32.
    let (start, swing) = (f64::from(0.54f32), f64::from(0.46f32));
    x.sin() / x * (start + swing * x.cos())
}

/// The weight at distance `x`.
#[inline]
pub(super) fn bilinear(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

/// The weight at distance `x`. Both pieces are computed, so that the compiler can take several distances at once.
#[inline]
pub(super) fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    let near = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = (((x - 5.0) * x + 8.0) * x - 4.0) * A;
    let far = if x < 2.0 { far } else { 0.0 };
    if x < 1.0 { near } else { far }
}

/// The cubic with a = -0.75 at distance `x`, of at least 0, which torch takes without antialiasing.
pub(super) fn sharp_bicubic(x: f64) -> f64 {
    if x < 1.0 {
        (1.25f64.mul_add(x, -2.25) * x).mul_add(x, 1.0)
    } else if x < 2.0 {
        (-0.75f64).mul_add(x, 3.75).mul_add(x, -6.0).mul_add(x, 3.0)
    } else {
        0.0
    }
}

/// The weight at distance `x`.
#[inline]
pub(super) fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}
