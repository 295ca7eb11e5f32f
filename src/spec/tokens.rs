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
    /// The cells of a shape row by row over all its units, with a newline after each row.
    Rows(Role),
    /// One token.
    Mark(Kind),
}
