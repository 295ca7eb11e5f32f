//! The three filters, in f64, as both libraries evaluate them.

use crate::names::names;

names! {
    /// An antialiased filter.
    pub enum Filter: "resample" {
        /// Triangle, radius 1.
        Bilinear = "bilinear",
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
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }
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
