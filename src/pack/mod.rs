//! Where each value of a resized row goes in the output, and what value it becomes. No family names.

mod emit;
mod fill;
mod lut;
mod statistics;
mod strip;
mod writer;

pub use emit::{Emit, Place, Units, row_bytes};
pub use fill::Fill;
pub use lut::{Arithmetic, Element, Lut, Normalise, Recipe, Scaling};
pub use statistics::{Check, Standardise, Statistics};
pub use strip::side_by_side;
pub use writer::{KEPT, LINE, Line, PAD, Run, Writer};
