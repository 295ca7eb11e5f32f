//! Separable resampling: filter, weights, the order of the two passes.

mod filter;
mod passes;
mod weights;

pub use filter::Filter;
pub use passes::{Numerics, Passes};
pub use weights::Axis;
