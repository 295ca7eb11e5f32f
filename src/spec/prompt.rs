//! The text that upstream's processor puts into a prompt for an image or a video, what upstream counts, and which
//! positions its model gives the tokens.

use crate::names::names;
use crate::plan::{Role, Times};

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

/// What stands for an image or a video in a prompt.
#[derive(Clone, Copy, Debug)]
pub struct Prompt {
    /// The text, piece by piece; none where no text holds the images.
    pub words: &'static [Word],
    /// What upstream's `get_number_of_image_patches` counts.
    pub counts: Counts,
    /// How the model counts positions; none where they are those of a text.
    pub positions: Option<Positions>,
    /// The rate that a video of unknown rate has in the text.
    pub rate: Rate,
}

impl Prompt {
    /// Of images that no text holds.
    pub const NONE: Self = Self::of(&[]);

    /// That text, where upstream counts patches, or tiles of the first array.
    #[must_use]
    pub const fn of(words: &'static [Word]) -> Self {
        Self { words, counts: Counts::Units, positions: None, rate: Rate::Of(24) }
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

    /// The same with another rate for videos of unknown rate.
    #[must_use]
    pub const fn at(self, rate: Rate) -> Self {
        Self { rate, ..self }
    }
}

/// The rate that a video of unknown rate has in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many frames a second.
    Of(u8),
    /// The most frames a second that are taken of a video.
    Most,
    /// None: the text has no times then.
    Unknown,
    /// None, and a text with times cannot be made.
    Needed,
}

/// A text about a video, or about the step of that number, given piece by piece.
pub type Phrase = fn(&Times<'_>, usize, &mut dyn FnMut(&str));

/// Which time of a step a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// That of its first frame.
    First,
    /// Halfway between its first and its last frame; the video's last frame is repeated until its steps are whole.
    Middle,
    /// That of every second frame of the video, whatever a step is, and the last of them for all steps beyond.
    EverySecond,
}

/// How a text spells a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Seconds with one decimal place.
    Tenths,
    /// Whole seconds, rounded towards zero.
    Seconds,
    /// Minutes and seconds, rounded down.
    Minutes,
    /// Minutes and seconds, rounded to nearest, half to even.
    NearestMinutes,
    /// The time of a day with milliseconds, rounded down.
    Day,
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

/// A piece of the text for an image or a video.
///
/// The shapes of a video are those of one frame. A step is what tokens see together: a temporal patch, or a chunk of
/// them where the model pools it.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// A text.
    Text(Mark),
    /// A text for each of all tokens of the image or the video.
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
    /// Words for each step of a video, with a text between two of them.
    Steps(&'static [Self], Mark),
    /// Words where an option asks for times of frames, or where it does not.
    Stamped {
        /// With times.
        with: &'static [Self],
        /// Without.
        without: &'static [Self],
    },
    /// A time of the step at hand.
    Time(Moment, Clock),
    /// Words where a video's rate and frames are known.
    Timed(&'static [Self]),
    /// A text for each token of the step at hand, none of which is left out for the pixels it shows.
    Kept(&'static str),
    /// A text that a function of one family makes.
    Phrase(Phrase),
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
    /// Its number among all, or that of the step at hand, from 1.
    Index,
    /// The number of the image or the video in its sample, from 0.
    Image,
}
