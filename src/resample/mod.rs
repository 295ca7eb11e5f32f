//! Separable resampling: filter, weights, the order of the two passes.

mod filter;
mod float;
mod passes;
mod reduce;
mod weights;

pub use filter::Filter;
pub use float::{Float, FloatAxis, Sum, bilinear, rounded};
pub use passes::{Numerics, Passes, Weights};
pub use reduce::{extents, reduce, reduction, resize_with_gap};
pub use weights::Axis;
