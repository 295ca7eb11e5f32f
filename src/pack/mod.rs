//! Where each value of a resized row goes in the output, and what value it becomes. No family names.

mod emit;
mod lut;

pub use emit::{Emit, patch_position};
pub use lut::{Element, Lut, Normalise, Recipe};
