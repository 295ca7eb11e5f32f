//! The arrays of a batch: of pixels, and all others ("facts").

use crate::error::{Result, extend, push, zeroed};
use crate::names::names;
use crate::plan::Role;
use crate::strategy::Strategy;

use super::Backends;

/// One array of pixels.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArraySpec {
    /// Its key.
    pub key: &'static str,
    /// Which axes stand before the rows (patches or tiles).
    pub group: Group,
    /// How many rows a group has.
    pub rows: Rows,
    /// Whether tiles of several sizes are laid into tiles of the largest height and width, top left; zeros fill them.
    pub pad: bool,
    /// Whether a patch is one axis; else it has an axis for each of its own.
    pub flat: bool,
    /// Whether the key is absent where no image has a row.
    pub optional: bool,
    /// The backends on which bytes that are neither rescaled nor normalised become float32 all the same.
    pub floats: Option<Backends>,
    /// The backends on which they do where zeros fill the rows of a group: there the zeros are float32.
    pub holes: Option<Backends>,
    /// The option that gives tiles their height and width, zeros below and on the right of smaller ones.
    pub sides: Option<&'static str>,
    /// Whether patches, which are of one frame and have axes, lie side by side in one strip: (1, channels, patch size,
    /// patches * patch size).
    pub strip: bool,
    /// Whether such a strip is one of a view, without the first axis: lists of them, a list a sample.
    pub split: bool,
    /// Whether the frames that one token sees lie one after the other on the axis of channels.
    pub tubelets: bool,
    /// The flag of the strategy without which nothing is filled up: groups must have as many rows, tiles one size, and
    /// bytes stay bytes.
    pub filled_if: Option<&'static str>,
}

impl ArraySpec {
    /// The rows of all images, one after the other.
    #[must_use]
    pub const fn concatenated(key: &'static str) -> Self {
        let (group, rows) = (Group::Flat, Rows::Own);
        Self {
            key,
            group,
            rows,
            pad: false,
            flat: true,
            optional: false,
            floats: None,
            holes: None,
            sides: None,
            strip: false,
            split: false,
            tubelets: false,
            filled_if: None,
        }
    }

    /// The array that most families have.
    pub const PIXEL_VALUES: Self = Self::concatenated("pixel_values");

    /// The same with groups of as many rows as the largest has.
    #[must_use]
    pub const fn stacked(self, group: Group, rows: Rows) -> Self {
        Self { group, rows, ..self }
    }

    /// The same with tiles as large as the largest.
    #[must_use]
    pub const fn padded(self) -> Self {
        Self { pad: true, ..self }
    }

    /// The same with an axis for each of a patch.
    #[must_use]
    pub const fn with_axes(self) -> Self {
        Self { flat: false, ..self }
    }

    /// The same with bytes as float32 on those backends.
    #[must_use]
    pub const fn as_floats(self, backends: Backends) -> Self {
        Self { floats: Some(backends), ..self }
    }

    /// The same with bytes as float32 on those backends where rows of a group are filled up.
    #[must_use]
    pub const fn holed_by_floats(self, backends: Backends) -> Self {
        Self { holes: Some(backends), ..self }
    }

    /// The same with tiles of the height and width that an option says.
    #[must_use]
    pub const fn padded_to(self, option: &'static str) -> Self {
        Self { sides: Some(option), ..self.padded() }
    }

    /// The same as one strip of patches.
    #[must_use]
    pub const fn in_strip(self) -> Self {
        Self { strip: true, ..self.with_axes() }
    }

    /// The same as a strip of each view, in a list a sample.
    #[must_use]
    pub const fn in_strips(self) -> Self {
        Self { split: true, ..self.in_strip() }
    }

    /// The same, filled up only where a flag is on.
    #[must_use]
    pub const fn filled_if(self, flag: &'static str) -> Self {
        Self { filled_if: Some(flag), ..self }
    }

    /// What it is with the options of a strategy.
    #[must_use]
    pub fn with(self, strategy: &Strategy) -> Self {
        if self.filled_if.is_none_or(|flag| strategy.is_on(flag)) {
            return self;
        }
        let rows = if self.rows == Rows::Most { Rows::Own } else { self.rows };
        Self { rows, pad: false, floats: None, holes: None, sides: None, ..self }
    }

    /// The same with the frames that one token sees on the axis of channels.
    #[must_use]
    pub const fn in_tubelets(self) -> Self {
        Self { tubelets: true, ..self }
    }

    /// The same, absent where no image has a row.
    #[must_use]
    pub const fn if_any(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// Which axes stand before the rows of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// None: the rows of all images follow one another.
    Flat,
    /// Images.
    Image,
    /// Frames of all videos, one after the other.
    Frame,
    /// Samples: the rows of a sample's images follow one another.
    Sample,
    /// Samples, and images of a sample: as many as the largest sample has.
    SampleImage,
    /// Views: those of all images follow one another, each with the rows that the strategy's limit says, or with as many
    /// as every other.
    View,
}

/// How many rows a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// As many as there are; groups must agree.
    Own,
    /// As many as the largest group of the call; zeros fill the others.
    Most,
    /// As many as an option says; zeros fill.
    Option(&'static str),
    /// As many as the strategy's limit says; zeros fill. Groups that have more must agree.
    Limit,
    /// As many as there are where all groups have as many, else the array is a list of arrays, one a group.
    List,
}

/// One array that holds no pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactSpec {
    /// Its key.
    pub key: &'static str,
    /// Its numbers.
    pub what: What,
    /// Their type.
    pub number: Number,
    /// How those of all images join.
    pub form: Form,
    /// The flag without which the key is absent.
    pub only_if: Option<&'static str>,
}

impl FactSpec {
    /// A row of int64 an image.
    #[must_use]
    pub const fn row(key: &'static str, what: What) -> Self {
        Self { key, what, number: Number::Int64, form: Form::Row, only_if: None }
    }

    /// An int64 an image.
    #[must_use]
    pub const fn scalar(key: &'static str, what: What) -> Self {
        Self { form: Form::Scalar, ..Self::row(key, what) }
    }

    /// The same, absent where a flag is off.
    #[must_use]
    pub const fn only_if(self, flag: &'static str) -> Self {
        Self { only_if: Some(flag), ..self }
    }

    /// The same in another form.
    #[must_use]
    pub const fn in_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// The same as numbers of another type.
    #[must_use]
    pub const fn of(self, number: Number) -> Self {
        Self { number, ..self }
    }
}

/// The numbers of one fact of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Temporal patches, rows and columns of patches of the main view.
    GridThw,
    /// Rows and columns of tiles or patches of the main view.
    RowsColumns,
    /// Columns and rows of tiles of the main view.
    ColumnsRows,
    /// Rows (tiles or patches) of the array of that number.
    RowCount(usize),
    /// Tokens.
    Tokens,
    /// Height and width of the image.
    Source,
    /// Width and height of the image.
    WidthHeight,
    /// -1 for every view in the array of that number: it is of no time.
    Timeless(usize),
    /// Nothing.
    Empty,
    /// Height and width that the image is scaled to.
    Resized,
    /// Height and width that options ask for, whether the image is scaled to them or not.
    Asked,
    /// Height and width of the canvas that the image is laid on.
    Canvas,
    /// Height and width that the last view is scaled to.
    LastResized,
    /// Height that the image is scaled to.
    Height,
    /// Width that the image is scaled to.
    Width,
    /// Rows of tiles or patches of the main view.
    Rows,
    /// Columns of tiles or patches of the main view.
    Columns,
    /// Rows of tiles that the image is cut into; one where it is not.
    TileRows,
    /// Columns of tiles that the image is cut into; one where it is not.
    TileColumns,
    /// Rows and columns of patches of every view in the first array.
    ViewGrids,
    /// Rows and columns of tokens that pool patches, of every view of the image.
    PooledGrids,
    /// The same after the number of temporal patches.
    PooledThw,
    /// The patches that each token pools, as rows of the array of that number over all views; -1 where there is none.
    Pooled(usize),
    /// Column and row of every patch in the array of that number; -1 where there is none.
    Positions(usize),
    /// Patches a side that one token merges.
    MergeSize,
    /// Frames that are taken.
    Frames,
    /// Tokens of one frame.
    FrameTokens,
    /// Temporal patches, rows and columns of patches of each chunk that the encoder sees at a time.
    ChunkGrids,
    /// Those chunks.
    Chunks,
    /// True for every token: which are left out follows from the pixels, and the facade acts on it.
    Kept,
    /// Views that fill the array of that number.
    Views(usize),
    /// Rows and columns of the parts that an image is shown in; zeros where it is shown whole.
    Parts,
    /// Rows of those parts.
    PartRows,
    /// Columns of those parts.
    PartColumns,
    /// 1 for each part that ends a row of them and is not the last.
    RowEnds,
    /// Height that the image is scaled to over its own.
    Scale,
    /// Rows of views of that role.
    RowsOf(Role),
    /// The number of the chosen candidate, counted from 1.
    Choice,
    /// Images of each sample: a number a sample.
    SampleImages,
    /// True where the array of that number holds something of an image; `per` says of which axes.
    Mask {
        /// The array.
        of: usize,
        /// The last axis.
        per: Per,
    },
}

/// The last axes of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Rows: patches or tiles.
    Row,
    /// The same; the first row of a group always counts as filled.
    RowOrFirst,
    /// Pixels of tiles.
    Pixel,
    /// The same; tiles that nothing fills count as filled as far as the first one of their group is.
    PixelThroughout,
    /// Patches of tiles, as far as their whole area is no padding beside the image; tiles that nothing fills count as
    /// filled.
    Patch,
}

names! {
    /// The type of a fact's numbers.
    pub enum Number: "number" {
        /// 64 bits, signed.
        Int64 = "int64",
        /// 32 bits, signed.
        Int32 = "int32",
        /// A float of 32 bits.
        Float32 = "float32",
        /// True or false.
        Bool = "bool",
    }
}

impl Number {
    /// Bytes of one.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Int64 => 8,
            Self::Int32 | Self::Float32 => 4,
            Self::Bool => 1,
        }
    }

    /// Adds the bytes of a number.
    ///
    /// # Errors
    /// `OutOfMemory`.
    #[inline(never)]
    pub fn write(self, value: f64, into: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Int64 => extend(into, &(value as i64).to_ne_bytes()),
            Self::Int32 => extend(into, &(value as i32).to_ne_bytes()),
            Self::Float32 => extend(into, &(value as f32).to_ne_bytes()),
            Self::Bool => push(into, u8::from(value != 0.0)),
        }
    }

    /// The bytes of as many zeros and ones.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn flags(self, flags: Vec<u8>) -> Result<Vec<u8>> {
        fn wide<const N: usize>(flags: &[u8], one: [u8; N]) -> Result<Vec<u8>> {
            let mut bytes = zeroed(flags.len().saturating_mul(N))?;
            for (number, &flag) in bytes.as_chunks_mut::<N>().0.iter_mut().zip(flags) {
                if flag != 0 {
                    *number = one;
                }
            }
            Ok(bytes)
        }
        match self {
            Self::Int64 => wide(&flags, 1i64.to_ne_bytes()),
            Self::Int32 => wide(&flags, 1i32.to_ne_bytes()),
            Self::Float32 => wide(&flags, 1f32.to_ne_bytes()),
            Self::Bool => Ok(flags),
        }
    }
}

/// How the numbers of all images join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A row an image: (images, numbers). Of a mask: the axes of the array that it is of.
    Row,
    /// A number an image: (images,).
    Scalar,
    /// Several rows of so many numbers an image, one after the other: (rows, numbers).
    Rows(usize),
    /// A row a sample, of a number an image; as long as the largest, zeros fill it.
    Sample,
    /// A list of numbers an image: a list of lists.
    Lists,
    /// A list of a number an image.
    List,
    /// A list of a number a sample: the sum of its images' numbers.
    Sums,
    /// A list of lists: a number an image, by samples.
    SampleLists,
    /// A list a sample of lists of so many numbers.
    SampleRows(usize),
    /// A list of arrays, one a sample, of rows of so many numbers each.
    SampleArrays(usize),
    /// A row for the first image of each sample: (samples, numbers).
    Firsts,
    /// A list an image, all as long as the longest, zeros at the end; absent where all are empty.
    ListsToMost,
    /// As [`Form::Row`], of a mask; absent where it holds no zero.
    RowIfFilled,
    /// The largest of the numbers of all images: ().
    Largest,
}

impl What {
    /// How many numbers an image has, where that is the same for all.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::PooledGrids => 4,
            Self::GridThw | Self::ChunkGrids | Self::PooledThw => 3,
            Self::RowsColumns
            | Self::ColumnsRows
            | Self::Source
            | Self::WidthHeight
            | Self::Resized
            | Self::Asked
            | Self::Canvas
            | Self::LastResized
            | Self::ViewGrids
            | Self::Parts
            | Self::Positions(_) => 2,
            Self::RowCount(_)
            | Self::Tokens
            | Self::Height
            | Self::Width
            | Self::Rows
            | Self::Columns
            | Self::TileRows
            | Self::TileColumns
            | Self::MergeSize
            | Self::RowsOf(_)
            | Self::Views(_)
            | Self::PartRows
            | Self::PartColumns
            | Self::RowEnds
            | Self::Scale
            | Self::Choice
            | Self::SampleImages
            | Self::Frames
            | Self::FrameTokens
            | Self::Chunks
            | Self::Kept
            | Self::Timeless(_)
            | Self::Empty
            | Self::Pooled(_)
            | Self::Mask { .. } => 1,
        }
    }

    /// Never: every fact has a number.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}
