//! The filters, in f64, as both libraries evaluate them.

use crate::names::names;

names! {
    /// A resampling filter; all but the first are stretched by the scale when shrinking, which keeps aliases out.
    pub enum Filter: "resample" {
        /// One source sample for each target sample.
        Nearest = "nearest",
        /// The mean, radius 0.5. Pillow alone has it.
        Box = "box",
        /// Triangle, radius 1.
        Bilinear = "bilinear",
        /// Windowed sinc, radius 1. Pillow alone has it.
        Hamming = "hamming",
        /// Cubic with a = -0.5, radius 2.
        Bicubic = "bicubic",
        /// Windowed sinc, radius 3.
        Lanczos = "lanczos",
    }
}

impl Filter {
    /// Half the width of the window at scale 1.
    #[must_use]
    pub const fn radius(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
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
