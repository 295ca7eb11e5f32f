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
//! | `tables` | what segments define, headers of scans |
//! | `bits`, `huffman`, `block` | entropy-coded bytes to coefficients |
//! | `stream` | files of one scan |
//! | `ahead` | the same by two threads |
//! | `kept` | files of several |
//! | `planes` | samples to pixels |
//! | `turned` | rows of an image that is turned |
//!
//! The kernels are in [`simd::jpeg`](crate::simd::jpeg). A `Work` is inlined into code for their instruction set.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled without the instruction set"
)]

mod ahead;
mod bits;
mod block;
mod header;
mod huffman;
mod kept;
mod planes;
mod stream;
mod tables;
#[cfg(test)]
mod tests;
mod turned;
mod work;

use crate::error::{Error, Size, zeroed};
use crate::image::ImageRef;
use crate::parallel::Watch;
use crate::pipeline::{Beside, Divided, Rows, Source, Window};
use crate::simd::Simd;

use ahead::{Ahead, Behind};
use header::{Segments, marker};
use kept::Coefficients;
use planes::Planes;
use stream::{Layout, Scanner, Stream};
use tables::{Scan, Tables};
use turned::Turned;

pub use header::{Component, Header, open, scans};
pub use turned::Turn;
pub use work::work;

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
    let (height, width) = header.size();
    let len = width * pixel.bytes();
    assert_eq!(out.len(), height * len, "the pixels of an image of {height} x {width}");
    assert!(pixel == Pixel::Rgb || header.components().len() == 1, "grey of a file of colours");
    let mut image = Image::new(simd, data, header, stop, false)?;
    let mut made = 0;
    while made < height {
        if stop() {
            return Err(Error::Interrupted.into());
        }
        image.advance()?;
        let ready = image.rows();
        for (y, row) in (made..ready).zip(out[made * len..].chunks_exact_mut(len)) {
            image.row(y, pixel, row);
        }
        made = ready;
    }
    image.finish(stop)
}

/// A file as a source of rows of RGB: each reader decodes it once from the top, and holds some rows at a time.
///
/// A reader fails with [`Error::Source`] where the file is rejected after all, which can be as late as after its last row: the last
/// row that anybody wants is no proof that the file is whole. [`Rows::finish`] is.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    data: &'a [u8],
    header: &'a Header,
    simd: Simd,
    turn: Turn,
}

/// Pixels below which one thread decodes as soon as two would: each must be started and waited for.
const ALONE: usize = 1 << 18;

impl<'a> Decoder<'a> {
    /// `header` must be that of `data`.
    #[must_use]
    pub const fn new(data: &'a [u8], header: &'a Header, simd: Simd) -> Self {
        Self { data, header, simd, turn: Turn::NONE }
    }

    /// The same of an image that is turned: sizes and rows are those of the turned one.
    #[must_use]
    pub const fn turned(self, turn: Turn) -> Self {
        Self { turn, ..self }
    }

    /// Decodes into `out`, row after row without gaps.
    ///
    /// # Errors
    /// `Reject`; then what `out` holds has no meaning.
    ///
    /// # Panics
    /// When `out` is shorter than height x width x 3.
    pub fn copy_to(self, out: &mut [u8], watch: &'a Watch<'a>) -> Result<()> {
        let (height, width) = Source::size(&self);
        let rejected = |error| match error {
            Error::Source => Reject::Anomaly("found while rows were read"),
            error => Reject::Failed(error),
        };
        let mut rows = self.into_rows(Some(watch)).map_err(rejected)?;
        let mut made = 0;
        while made < height {
            let window = rows.window(made, height - made).map_err(rejected)?;
            let end = window.first + window.image.size().0;
            for y in made..end {
                let row = &mut out[y * width * 3..(y + 1) * width * 3];
                window.image.row(y - window.first).copy_to(row);
            }
            made = end;
        }
        rows.finish().map_err(rejected)
    }

    /// A reader that may outlive the decoder, looking at `watch` once a row of blocks.
    ///
    /// # Errors
    /// `OutOfMemory`, `Source`, `Interrupted`.
    pub fn into_rows(
        self,
        watch: Option<&'a Watch<'a>>,
    ) -> crate::error::Result<Box<dyn Rows + 'a>> {
        let stop = |watch: &Watch<'_>| watch.check().is_err();
        let stop = || watch.is_some_and(stop);
        let whole = self.turn.keeps_samples();
        self.rows(Image::new(self.simd, self.data, self.header, &stop, whole)?, watch)
    }

    /// The same, and apart from it what another thread can do meanwhile: decoding coefficients. None where that would not pay.
    ///
    /// # Errors
    /// `OutOfMemory`, `Source`.
    pub fn into_divided(self, watch: &'a Watch<'a>) -> crate::error::Result<Option<Divided<'a>>> {
        let (height, width) = self.header.size();
        if self.header.keeps_coefficients() || height * width < ALONE {
            return Ok(None);
        }
        let (simd, whole) = (self.simd, self.turn.keeps_samples());
        let (image, ahead) = Image::divided(simd, self.data, self.header, whole, Some(watch))?;
        let beside: Beside<'a> = Box::new(move || ahead.run(simd));
        Ok(Some((self.rows(image, Some(watch))?, beside)))
    }

    fn rows(
        self,
        image: Image<'a>,
        watch: Option<&'a Watch<'a>>,
    ) -> crate::error::Result<Box<dyn Rows + 'a>> {
        if self.turn != Turn::NONE {
            return Ok(Box::new(Turned::new(image, self.turn, watch)?));
        }
        let rows = zeroed(WINDOW * self.header.size().1 * 3)?;
        Ok(Box::new(Reader { image, rows, watch }))
    }
}

impl Source for Decoder<'_> {
    fn size(&self) -> Size {
        self.turn.size(self.header.size())
    }

    fn pixel(&self) -> usize {
        3
    }

    fn open(&self) -> crate::error::Result<Box<dyn Rows + '_>> {
        self.into_rows(None)
    }

    fn open_watched<'b>(
        &'b self,
        watch: &'b Watch<'b>,
    ) -> crate::error::Result<Box<dyn Rows + 'b>> {
        self.into_rows(Some(watch))
    }

    fn open_divided<'b>(
        &'b self,
        watch: &'b Watch<'b>,
    ) -> crate::error::Result<Option<Divided<'b>>> {
        self.into_divided(watch)
    }

    fn is_sequential(&self) -> bool {
        true
    }
}

impl From<Reject> for Error {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::Unsupported(_) | Reject::Anomaly(_) => Self::Source,
            Reject::Failed(error) => error,
        }
    }
}

/// Rows that a window ends with a multiple of, and one less than twice as many are the most it has.
const BAND: usize = crate::simd::BAND;
/// Rows that a reader holds.
const WINDOW: usize = 2 * BAND;

/// Rows of RGB, some at a time.
struct Reader<'a> {
    image: Image<'a>,
    rows: Vec<u8>,
    watch: Option<&'a Watch<'a>>,
}

impl Rows for Reader<'_> {
    fn window(&mut self, first: usize, _wanted: usize) -> crate::error::Result<Window<'_>> {
        let (height, width) = self.image.header.size();
        // Bands begin at multiples of eight, so that nearly always these are eight rows.
        let last = (first.next_multiple_of(BAND) + BAND).min(height);
        while self.image.rows() < last {
            self.watch.map_or(Ok(()), Watch::check)?;
            self.image.advance().map_err(Error::from)?;
        }
        let len = width * 3;
        for (y, row) in (first..last).zip(self.rows.chunks_exact_mut(len)) {
            self.image.row(y, Pixel::Rgb, row);
        }
        let count = last - first;
        let image = ImageRef::packed(&self.rows[..count * len], count, width, 3);
        Ok(Window { first, image })
    }

    fn finish(&mut self) -> crate::error::Result<()> {
        let stop = |watch: &Watch<'_>| watch.check().is_err();
        let stop = || self.watch.is_some_and(stop);
        self.image.finish(&stop).map_err(Error::from)
    }
}

/// Where coefficients come from.
enum Way<'a> {
    Stream(Stream<'a>),
    Behind(Behind<'a>),
    Kept(Coefficients),
    /// Nowhere: the file has ended.
    Done,
}

/// A file under way.
struct Image<'a> {
    backend: Simd,
    header: &'a Header,
    planes: Planes,
    way: Way<'a>,
}

impl<'a> Image<'a> {
    fn new(
        backend: Simd,
        data: &'a [u8],
        header: &'a Header,
        stop: &dyn Fn() -> bool,
        whole: bool,
    ) -> Result<Self> {
        let frame = &header.frame;
        let (mut segments, mut tables, body) = begin(data)?;
        let way = if header.keeps_coefficients() {
            Way::Kept(Coefficients::read(backend, &mut segments, frame, &mut tables, body, stop)?)
        } else {
            let scan = Scan::new(frame, body)?;
            Way::Stream(Stream::new(Scanner::new(data, segments.at, frame, &tables, &scan)?)?)
        };
        Ok(Self { backend, header, planes: Planes::new(frame, whole)?, way })
    }

    /// The same of a file whose coefficients are not kept, which something else decodes: it must run on another thread.
    fn divided(
        backend: Simd,
        data: &'a [u8],
        header: &'a Header,
        whole: bool,
        watch: Option<&'a Watch<'a>>,
    ) -> Result<(Self, Ahead<'a>)> {
        let frame = &header.frame;
        let (segments, tables, body) = begin(data)?;
        let scan = Scan::new(frame, body)?;
        let scanner: (Scanner<'a>, Layout) =
            Scanner::new(data, segments.at, frame, &tables, &scan)?;
        let (ahead, behind) = ahead::divided(scanner, frame.units().0, watch)?;
        let way = Way::Behind(behind);
        Ok((Self { backend, header, planes: Planes::new(frame, whole)?, way }, ahead))
    }

    /// Height and width in pixels, as stored.
    const fn size(&self) -> Size {
        self.header.size()
    }

    /// Decodes the next row of units.
    fn advance(&mut self) -> Result<()> {
        match &mut self.way {
            Way::Stream(stream) => stream.row(self.backend, Some(&mut self.planes))?,
            Way::Behind(behind) => behind.row(self.backend, Some(&mut self.planes))?,
            Way::Kept(kept) => kept.row(self.backend, &mut self.planes),
            Way::Done => {}
        }
        self.planes.next_row();
        Ok(())
    }

    /// Rows of pixels that can be made.
    fn rows(&self) -> usize {
        self.planes.rows()
    }

    fn row(&mut self, y: usize, pixel: Pixel, out: &mut [u8]) {
        match pixel {
            Pixel::Grey => self.planes.grey(y, out),
            Pixel::Rgb => self.planes.rgb(self.backend, y, 0, out),
        }
    }

    /// Decodes what is left, and finds the end of the file.
    fn finish(&mut self, stop: &dyn Fn() -> bool) -> Result<()> {
        let (done, all) = self.planes.progress();
        for _ in done..all {
            if stop() {
                return Err(Error::Interrupted.into());
            }
            match &mut self.way {
                Way::Stream(stream) => stream.row(self.backend, None)?,
                Way::Behind(behind) => behind.row(self.backend, None)?,
                Way::Kept(_) | Way::Done => break,
            }
        }
        match &mut self.way {
            Way::Stream(stream) => stream.end()?,
            Way::Behind(behind) => behind.end()?,
            Way::Kept(_) | Way::Done => {}
        }
        self.way = Way::Done;
        Ok(())
    }
}

/// The segments after the header of the first scan, the tables before it, and that header.
fn begin(data: &[u8]) -> Result<(Segments<'_>, Tables, &[u8])> {
    let mut segments = Segments::new(data)?;
    let mut tables = Tables::default();
    loop {
        let (marker, body) = segments.next()?;
        if marker == marker::SOS {
            return Ok((segments, tables, body));
        }
        // The header has found every segment to be of a known kind; what is no table is the frame.
        tables.read(marker, body)?;
    }
}
