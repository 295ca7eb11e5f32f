//! What the language model sees of an image: views and marks, in order.

use crate::coords::Kind;
use crate::error::Size;
use crate::plan::Role;

/// A linear grammar of tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenSpec {
    /// Its parts, in order.
    pub parts: &'static [Part],
    /// How many tokens a model makes of the patches of a unit, where it is not one of each.
    pub share: Option<Share>,
    /// Whether one newline ends a video.
    pub ended: bool,
}

impl TokenSpec {
    /// Those parts, with a token of each patch.
    #[must_use]
    pub const fn of(parts: &'static [Part]) -> Self {
        Self { parts, share: None, ended: false }
    }

    /// The same with tokens that share the patches.
    #[must_use]
    pub const fn shared(self, share: Share) -> Self {
        Self { share: Some(share), ..self }
    }

    /// The same with a newline after the last frame of a video.
    #[must_use]
    pub const fn ended(self) -> Self {
        Self { ended: true, ..self }
    }
}

/// How many tokens share the patches of a unit.
#[derive(Clone, Copy, Debug)]
pub enum Share {
    /// So many of rows and columns of patches.
    Of(fn(Size) -> usize),
    /// As many as an option says.
    Sequence,
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
