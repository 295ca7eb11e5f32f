//! The arrays of a batch: of pixels, and all others.

/// One array of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArraySpec {
    /// Its key.
    pub key: &'static str,
    /// How the rows of all images join.
    pub join: Join,
}

/// How the rows (patches or tiles) of images become one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Which axes stand before the rows.
    pub group: Group,
    /// How many rows a group has.
    pub rows: Rows,
    /// Whether tiles of several sizes are laid into tiles of the largest height and width, top left.
    pub pad: bool,
}

/// Which axes stand before the rows of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// None: the rows of all images follow one another.
    Flat,
    /// Images.
    Image,
    /// Samples: the rows of a sample's images follow one another.
    Sample,
    /// Samples, and images of a sample.
    SampleImage,
}

/// How many rows a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// As many as there are.
    Own,
    /// As many as the largest group of the call; zeros fill the others.
    Most,
    /// As many as an option says; zeros fill.
    Option(&'static str),
    /// As many as there are where all groups have as many, else the array is a list of arrays.
    List,
}

impl Join {
    /// Rows follow one another.
    pub const CONCAT: Self = Self { group: Group::Flat, rows: Rows::Own, pad: false };
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
}

/// The numbers of one fact of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Temporal patches, rows and columns of patches of the main view.
    GridThw,
    /// Columns and rows of tiles of the main view.
    ColumnsRows,
    /// Rows (tiles or patches) of the first array.
    RowCount,
    /// Tokens.
    Tokens,
}

/// The type of a fact's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// 64 bits, signed.
    Int64,
}

/// How the numbers of all images join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A row an image: (images, numbers).
    Row,
    /// A number an image: (images,).
    Scalar,
}

impl ArraySpec {
    /// The array that most families have, its rows one after the other.
    pub const PIXEL_VALUES: Self = Self { key: "pixel_values", join: Join::CONCAT };
}
