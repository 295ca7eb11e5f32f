//! Views of pixels that belong to somebody else.
//!
//! The memory behind a [`Row`] may be changed by another thread of the caller while we read it. So no
//! `&[u8]` is ever made of it: bytes are copied out one by one or by a kernel's vector loads, and no byte
//! ever becomes an index or a length. A racing writer makes the result a mix of old and new pixels, nothing worse.

#![expect(unsafe_code, reason = "reads foreign memory through pointers that were checked once")]

use std::marker::PhantomData;

/// Consecutive bytes that can be read for `'a` and may change meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pointer: *const u8,
    len: usize,
    alive: PhantomData<&'a [u8]>,
}

// SAFETY: a row only reads, and its memory outlives 'a whichever thread looks.
unsafe impl Send for Row<'_> {}
// SAFETY: as above.
unsafe impl Sync for Row<'_> {}

impl Row<'_> {
    /// A row over foreign memory.
    ///
    /// # Safety
    /// `pointer .. pointer + len` must be readable for `'a`.
    #[must_use]
    pub const unsafe fn new(pointer: *const u8, len: usize) -> Self {
        Self { pointer, len, alive: PhantomData }
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte's address, for kernels that load vectors within `len`.
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.pointer
    }

    /// Byte `i`.
    ///
    /// # Panics
    /// When `i` is out of range.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> u8 {
        assert!(i < self.len, "row index {i} of {}", self.len);
        // SAFETY: i is within the row.
        let at = unsafe { self.pointer.add(i) };
        // SAFETY: within the row, which is readable by the constructor's contract.
        unsafe { at.read() }
    }

    /// `len` bytes from `start` on.
    ///
    /// # Panics
    /// When they are out of range.
    #[must_use]
    pub fn slice(&self, start: usize, len: usize) -> Self {
        assert!(start <= self.len && len <= self.len - start, "row slice");
        Self {
            // SAFETY: start is within the row or one past its end.
            pointer: unsafe { self.pointer.add(start) },
            len,
            alive: PhantomData,
        }
    }

    /// Copies the whole row into `target`, which must be as long.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn copy_to(&self, target: &mut [u8]) {
        assert_eq!(self.len, target.len(), "row copy");
        // SAFETY: both are `len` bytes long, and `target` is borrowed mutably, so they cannot overlap
        // unless the caller broke the overlap check of `py::array`.
        unsafe { std::ptr::copy_nonoverlapping(self.pointer, target.as_mut_ptr(), self.len) }
    }
}

impl<'a> From<&'a [u8]> for Row<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { pointer: bytes.as_ptr(), len: bytes.len(), alive: PhantomData }
    }
}

/// A checked view of an image of 3 or 4 bytes a pixel with any strides.
#[derive(Clone, Copy, Debug)]
pub struct ImageRef<'a> {
    pointer: *const u8,
    height: usize,
    width: usize,
    pixel: usize,
    strides: [isize; 3],
    alive: PhantomData<&'a [u8]>,
}

// SAFETY: reads only, as `Row`.
unsafe impl Send for ImageRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for ImageRef<'_> {}

impl<'a> ImageRef<'a> {
    /// An image over foreign memory; `strides` are of rows, pixels and channels, in bytes.
    ///
    /// # Safety
    /// Every byte that the shape and the strides reach from `pointer` must be readable for `'a`.
    #[must_use]
    pub const unsafe fn new(
        pointer: *const u8,
        height: usize,
        width: usize,
        pixel: usize,
        strides: [isize; 3],
    ) -> Self {
        Self { pointer, height, width, pixel, strides, alive: PhantomData }
    }

    /// An image of packed rows in a slice.
    ///
    /// # Panics
    /// When the slice is shorter than the image.
    #[must_use]
    pub fn packed(bytes: &'a [u8], height: usize, width: usize, pixel: usize) -> Self {
        Self::spaced(bytes, height, width, pixel, width * pixel)
    }

    /// The same of rows that begin `stride` bytes apart.
    ///
    /// # Panics
    /// When rows overlap or the slice is shorter than the image.
    #[must_use]
    pub fn spaced(
        bytes: &'a [u8],
        height: usize,
        width: usize,
        pixel: usize,
        stride: usize,
    ) -> Self {
        let len = width * pixel;
        let whole = height.checked_sub(1).map_or(0, |rows| rows * stride + len);
        assert!(stride >= len && bytes.len() >= whole, "image shorter than its size");
        let strides = [stride as isize, pixel as isize, 1];
        Self { pointer: bytes.as_ptr(), height, width, pixel, strides, alive: PhantomData }
    }

    /// Height and width in pixels.
    #[must_use]
    pub const fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Bytes a pixel, 3 or 4.
    #[must_use]
    pub const fn pixel(&self) -> usize {
        self.pixel
    }

    /// Whether every row is one run of bytes, so that [`ImageRef::row`] works.
    #[must_use]
    pub const fn rows_are_dense(&self) -> bool {
        (self.strides[1] == self.pixel as isize || self.width == 1) && self.strides[2] == 1
    }

    /// Row `y`, in place.
    ///
    /// # Panics
    /// When `y` is out of range or rows are not dense.
    #[must_use]
    pub fn row(&self, y: usize) -> Row<'a> {
        assert!(y < self.height && self.rows_are_dense(), "row {y} of {}", self.height);
        // SAFETY: y is in range, so the row is within the memory the constructor was promised.
        let start = unsafe { self.pointer.offset(y as isize * self.strides[0]) };
        Row { pointer: start, len: self.width * self.pixel, alive: PhantomData }
    }

    /// Copies row `y` into `target`, pixel by pixel, whatever the strides are.
    ///
    /// # Panics
    /// When `y` is out of range or `target` has another length.
    pub fn gather_row(&self, y: usize, target: &mut [u8]) {
        assert!(y < self.height && target.len() == self.width * self.pixel, "row {y}");
        let [row, pixel, channel] = self.strides;
        if pixel == 1 && self.pixel == 3 {
            return self.interleave_row(y, target);
        }
        for (x, bytes) in target.chunks_exact_mut(self.pixel).enumerate() {
            for (c, byte) in bytes.iter_mut().enumerate() {
                let at = y as isize * row + x as isize * pixel + c as isize * channel;
                // SAFETY: y, x and c are within the shape the constructor was promised.
                let at = unsafe { self.pointer.offset(at) };
                // SAFETY: as above, and so readable.
                *byte = unsafe { at.read() };
            }
        }
    }

    /// The same where each channel's pixels are one run of bytes: channels-first images and frames.
    fn interleave_row(&self, y: usize, target: &mut [u8]) {
        const BLOCK: usize = 64;
        let planes: [Row<'_>; 3] = std::array::from_fn(|c| {
            let at = y as isize * self.strides[0] + c as isize * self.strides[2];
            // SAFETY: y and c are within the shape the constructor was promised.
            let start = unsafe { self.pointer.offset(at) };
            Row { pointer: start, len: self.width, alive: PhantomData }
        });
        let mut blocks = [[0; BLOCK]; 3];
        for (number, pixels) in target.chunks_mut(3 * BLOCK).enumerate() {
            let count = pixels.len() / 3;
            for (block, plane) in blocks.iter_mut().zip(&planes) {
                plane.slice(number * BLOCK, count).copy_to(&mut block[..count]);
            }
            if let Ok(pixels) = <&mut [u8; 3 * BLOCK]>::try_from(&mut *pixels) {
                for x in 0..BLOCK {
                    pixels[3 * x] = blocks[0][x];
                    pixels[3 * x + 1] = blocks[1][x];
                    pixels[3 * x + 2] = blocks[2][x];
                }
            } else {
                for (x, pixel) in pixels.chunks_exact_mut(3).enumerate() {
                    pixel.copy_from_slice(&blocks.map(|block| block[x]));
                }
            }
        }
    }
}
