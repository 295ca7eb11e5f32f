//! JPEG files to rows of pixels, byte for byte as libjpeg-turbo decodes them for Pillow.
//!
//! Decoded are files of 8 bits, Huffman-coded, baseline, extended sequential or progressive, grey or YCbCr of any sampling
//! that libjpeg decodes. Everything else, and whatever is odd about a file, is a [`Reject`]: then Pillow decodes, decides
//! and words the error. So the verdict on a file is always Pillow's.
//!
//! ```
//! # use _dynres_rs::jpeg;
//! # use _dynres_rs::simd::Simd;
//! # fn decode(data: &[u8]) -> jpeg::Result<Vec<u8>> {
//! let header = jpeg::open(data)?;
//! let (height, width) = header.size();
//! let mut pixels = vec![0; height * width * 3];
//! jpeg::decode(data, &header, Simd::choose(None)?, jpeg::Pixel::Rgb, &mut pixels, &|| false)?;
//! # Ok(pixels)
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `header` | the segments before the first scan |

mod header;

use crate::error::{Error, Size};
use crate::parallel::Watch;
use crate::pipeline::{Rows, Source};
use crate::simd::Simd;

pub use header::{Component, Header, open, scans};

/// Why a file was not decoded here.
#[derive(Clone, Debug, PartialEq)]
pub enum Reject {
    /// It is of a kind that is left to Pillow; says which.
    Unsupported(&'static str),
    /// Something about it is odd, so that Pillow must decide; says what.
    Anomaly(&'static str),
    /// The allocator refused, or the caller asked to stop: no verdict on the file.
    Failed(Error),
}

impl From<Error> for Reject {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What decoding returns.
pub type Result<T> = std::result::Result<T, Reject>;

/// Bytes of a decoded pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixel {
    /// One: what Pillow calls `L`. Grey files only.
    Grey,
    /// Three; those of a grey file are equal, as Pillow's `convert("RGB")` makes them.
    Rgb,
}

impl Pixel {
    /// How many.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Decodes a whole file into `out`, row after row without gaps. `header` must be that of `data`. `stop` is asked about once a
/// row of blocks.
///
/// # Errors
/// `Reject`; then what `out` holds has no meaning.
///
/// # Panics
/// When `out` has another length than height x width x bytes of a pixel, or a file of colours is asked for as grey.
pub fn decode(
    data: &[u8],
    header: &Header,
    simd: Simd,
    pixel: Pixel,
    out: &mut [u8],
    stop: &dyn Fn() -> bool,
) -> Result<()> {
    let _ = (data, header, simd, pixel, out, stop);
    Err(Reject::Unsupported("not yet"))
}

/// A file as a source of rows of RGB: each reader decodes it once from the top, and holds some rows at a time.
///
/// A reader fails with [`Error::Source`] where the file is rejected after all, which can be as late as after its last row: the last
/// row that anybody wants is no proof that the file is whole. [`Rows::finish`] is.
#[derive(Debug)]
pub struct Decoder<'a> {
    data: &'a [u8],
    header: &'a Header,
    simd: Simd,
}

impl<'a> Decoder<'a> {
    /// `header` must be that of `data`.
    #[must_use]
    pub const fn new(data: &'a [u8], header: &'a Header, simd: Simd) -> Self {
        Self { data, header, simd }
    }
}

impl<'a> Decoder<'a> {
    /// A reader that may outlive the decoder, looking at `watch` once a row of blocks.
    ///
    /// # Errors
    /// `OutOfMemory`, `Source`, `Interrupted`.
    pub fn into_rows(
        self,
        watch: Option<&'a Watch<'a>>,
    ) -> crate::error::Result<Box<dyn Rows + 'a>> {
        let _ = (self.data, self.simd, watch);
        Err(Error::Source)
    }
}

impl Source for Decoder<'_> {
    fn size(&self) -> Size {
        self.header.size()
    }

    fn pixel(&self) -> usize {
        3
    }

    fn open(&self) -> crate::error::Result<Box<dyn Rows + '_>> {
        Decoder { ..*self }.into_rows(None)
    }

    fn open_watched<'b>(
        &'b self,
        watch: &'b Watch<'b>,
    ) -> crate::error::Result<Box<dyn Rows + 'b>> {
        Decoder { ..*self }.into_rows(Some(watch))
    }

    fn is_sequential(&self) -> bool {
        true
    }
}
