//! Where rows come from.

use crate::error::{Result, Size, zeroed};
use crate::image::{ImageRef, Row};
use crate::parallel::Watch;

/// Some consecutive rows of an image.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The first row.
    pub first: usize,
    /// The rows, dense.
    pub image: ImageRef<'a>,
}

impl<'a> Window<'a> {
    pub(super) fn end(&self) -> usize {
        self.first + self.image.size().0
    }

    pub(super) fn row(&self, y: usize) -> Row<'a> {
        self.image.row(y - self.first)
    }
}

/// Reads an image's rows from top to bottom.
pub trait Rows {
    /// Rows from `first` on: at least eight or all that are left, at most `wanted`, which is eight or more.
    ///
    /// # Errors
    /// `Source`, `OutOfMemory`.
    fn window(&mut self, first: usize, wanted: usize) -> Result<Window<'_>>;

    /// Called after the last window: fails where what was not asked for shows that the rows should not have been used.
    ///
    /// # Errors
    /// `Source`, `Interrupted`.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Work that is done on another thread while rows are read.
pub type Beside<'a> = Box<dyn FnOnce() + Send + 'a>;

/// A reader, and the work that it waits for. Without the reader that work ends.
pub type Divided<'a> = (Box<dyn Rows + 'a>, Beside<'a>);

/// An image whose rows can be read more than once, by several threads.
pub trait Source: Sync {
    /// Height and width.
    fn size(&self) -> Size;
    /// Bytes a pixel, 3 or 4.
    fn pixel(&self) -> usize;
    /// A reader from the top.
    ///
    /// # Errors
    /// `OutOfMemory`.
    fn open(&self) -> Result<Box<dyn Rows + '_>>;

    /// The same where opening may take long: the reader looks at `watch`.
    ///
    /// # Errors
    /// `OutOfMemory`, `Source`, `Interrupted`.
    fn open_watched<'a>(&'a self, watch: &'a Watch<'a>) -> Result<Box<dyn Rows + 'a>> {
        let _ = watch;
        self.open()
    }

    /// The same where two threads share the work of a reader; none where that would not pay.
    ///
    /// # Errors
    /// `OutOfMemory`, `Source`, `Interrupted`.
    fn open_divided<'a>(&'a self, watch: &'a Watch<'a>) -> Result<Option<Divided<'a>>> {
        let _ = watch;
        Ok(None)
    }

    /// Whether rows can only be had from the top, so that several readers would do the same work.
    fn is_sequential(&self) -> bool {
        false
    }

    /// What to read from the first row on where a reader failed with `Source`; none where that is the end of it.
    fn instead(&self) -> Option<&dyn Source> {
        None
    }
}

impl Source for ImageRef<'_> {
    fn size(&self) -> Size {
        ImageRef::size(self)
    }

    fn pixel(&self) -> usize {
        ImageRef::pixel(self)
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        Ok(if self.rows_are_dense() {
            Box::new(*self)
        } else {
            Box::new(Gathered { image: *self, rows: Vec::new() })
        })
    }
}

impl Rows for ImageRef<'_> {
    fn window(&mut self, _first: usize, _wanted: usize) -> Result<Window<'_>> {
        Ok(Window { first: 0, image: *self })
    }
}

/// An image with strides inside its rows, gathered some rows at a time.
struct Gathered<'a> {
    image: ImageRef<'a>,
    rows: Vec<u8>,
}

impl Rows for Gathered<'_> {
    fn window(&mut self, first: usize, wanted: usize) -> Result<Window<'_>> {
        let ((height, width), pixel) = (self.image.size(), self.image.pixel());
        let count = wanted.min(WINDOW).min(height - first);
        let len = width * pixel;
        if self.rows.len() < count * len {
            self.rows = zeroed(count * len)?;
        }
        for (r, row) in self.rows.chunks_exact_mut(len).take(count).enumerate() {
            self.image.gather_row(first + r, row);
        }
        let image = ImageRef::packed(&self.rows, count, width, pixel);
        Ok(Window { first, image })
    }
}

/// Rows that views of one image share before any of them goes on: they stay in the cache.
pub(super) const WINDOW: usize = 32;
