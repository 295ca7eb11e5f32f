//! Where each value of a resized row goes in the output, and what value it becomes. No family names.

mod emit;
mod lut;
mod writer;

pub use emit::Emit;
pub use lut::{Element, Lut, Normalise, Recipe};
pub use writer::{LINE, Line, PAD, Run, Writer};
