//! What the language model sees of an image: views and marks, in order.

use crate::coords::Kind;
use crate::plan::Role;

/// A linear grammar of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// Its parts, in order.
    pub parts: &'static [Part],
}

/// A part of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The cells of every shape of one role, unit after unit.
    Units(Role),
    /// The same with a newline after each row of units but the last.
    UnitRows(Role),
    /// The same with one newline at the end, where there is a shape.
    Ended(Role),
    /// The cells of a shape row by row over all its units, with a newline after each row.
    Rows(Role),
    /// The same of those cells of the main shape that the strategy says the model takes.
    Reached,
    /// Tokens that each see a whole unit of the shapes of a role: as many as the strategy has cells.
    Pooled(Role),
    /// So many tokens that each see the whole image.
    Image(usize),
    /// One token.
    Mark(Kind),
}
