//! The text that upstream's processor puts into a prompt for an image, what upstream counts, and which positions its
//! model gives the tokens.

use crate::names::names;
use crate::plan::Role;

names! {
    /// How a model of the Qwen line counts the positions of an image's or a video's tokens. The facade acts on it.
    pub enum Positions: "positions" {
        /// Time, rows and columns of the whole video.
        Grid = "grid",
        /// The same, time in positions a second.
        Seconds = "seconds",
        /// Each temporal patch of a video is a picture.
        Frames = "frames",
        /// Two temporal patches of a video are one position.
        Pairs = "pairs",
        /// Rows end in a newline, and each picture begins behind the last.
        Lines = "lines",
        /// Four axes: the text, columns, rows and images.
        Planes = "planes",
    }
}

/// What stands for an image in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The text, piece by piece; none where no text holds the images.
    pub words: &'static [Word],
    /// What upstream's `get_number_of_image_patches` counts.
    pub counts: Counts,
    /// How the model counts positions; none where they are those of a text.
    pub positions: Option<Positions>,
}

impl Prompt {
    /// Of images that no text holds.
    pub const NONE: Self = Self { words: &[], counts: Counts::Units, positions: None };

    /// That text, where upstream counts patches, or tiles of the first array.
    #[must_use]
    pub const fn of(words: &'static [Word]) -> Self {
        Self { words, counts: Counts::Units, positions: None }
    }

    /// The same with a rule for positions.
    #[must_use]
    pub const fn placed(self, positions: Positions) -> Self {
        Self { positions: Some(positions), ..self }
    }

    /// The same with another count.
    #[must_use]
    pub const fn counting(self, counts: Counts) -> Self {
        Self { counts, ..self }
    }
}

/// What upstream counts of an image as its "patches".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Tiles of the first array, or patches where there are none.
    Units,
    /// Tiles of all arrays.
    Views,
    /// Parts of the image beside the whole.
    Parts,
    /// Rows and columns of patches.
    Sides,
    /// Tiles of all arrays, their rows and columns; zeros where the image is not cut.
    Split,
    /// Tokens; the processor counts an image as one.
    Tokens,
    /// Tokens that pool windows; the processor counts views.
    Windows,
    /// Nothing: upstream's class has no such function, and its processor counts an image as one.
    One,
}

/// A text, and how many tokens upstream counts for it.
pub type Mark = (&'static str, usize);

/// No text.
pub const NOTHING: Mark = ("", 0);

/// A piece of the text for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A text.
    Text(Mark),
    /// A text for each of all tokens of the image.
    Tokens(&'static str),
    /// A text for each token of the shapes of a role.
    Cells(Role, &'static str),
    /// A text for each token of the unit at hand, inside `Each`.
    Unit(&'static str),
    /// A text for each token of the shapes of a role, row by row.
    Rows {
        /// The role.
        role: Role,
        /// The text of a token.
        token: &'static str,
        /// What follows a row that is not the last.
        end: Mark,
        /// What follows the last row.
        last: Mark,
    },
    /// A number in digits.
    Number(Digits),
    /// Words for each unit of the shapes of a role, row by row.
    Each {
        /// The role.
        role: Role,
        /// The words.
        words: &'static [Self],
        /// What stands between two units of a row.
        column: Mark,
        /// What follows a row that is not the last.
        row: Mark,
        /// What follows the last row.
        last: Mark,
    },
    /// Words where the image has shapes of a role, or where it has none.
    Either {
        /// The role.
        role: Role,
        /// With them.
        with: &'static [Self],
        /// Without.
        without: &'static [Self],
    },
    /// Words that upstream does not count.
    Silent(&'static [Self]),
}

/// A number that the text spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// Rows of tokens of the main shape, newlines not counted.
    CellRows,
    /// Columns of tokens of the main shape.
    CellColumns,
    /// The row of the unit at hand, from 1.
    Row,
    /// Its column, from 1.
    Column,
    /// Its number among all, from 1.
    Index,
    /// The number of the image in its sample, from 0.
    Image,
}
