//! Every way a call can fail, with the numbers that say why.
//!
//! The mapping to Python exceptions is in `py::error`, nowhere else.

use std::fmt;

use smallvec::{Array, SmallVec};

use crate::memory::fallible;

/// A height and a width in pixels, in that order everywhere.
pub type Size = (usize, usize);

/// Every way a call can fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A side of zero pixels; `what` names the argument.
    ZeroSide {
        /// The argument.
        what: &'static str,
        /// What was given.
        size: Size,
    },
    /// The longer side is more than 200 times the shorter one.
    AspectRatio {
        /// The image.
        size: Size,
        /// Longer side over shorter side.
        ratio: f64,
    },
    /// More pixels than `max_image_pixels`, going in or coming out.
    TooLarge {
        /// `image` or `resized image`.
        what: &'static str,
        /// What was given.
        size: Size,
        /// The limit in pixels.
        limit: u64,
    },
    /// A size that its unit does not divide.
    NotMultiple {
        /// The size.
        size: Size,
        /// The unit of both sides, in pixels.
        unit: Size,
        /// What the unit is made of.
        unit_name: &'static str,
    },
    /// An image that must have one given size because resizing is off.
    WrongSize {
        /// The image.
        size: Size,
        /// What it must be.
        expected: Size,
    },
    /// Fewer frames than one temporal patch.
    TooFewFrames {
        /// Frames given.
        frames: usize,
        /// Frames of a temporal patch.
        temporal: usize,
    },
    /// An option outside its range.
    Option {
        /// Its name.
        name: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What was given, as text.
        given: String,
    },
    /// A name that no list has.
    Unknown {
        /// What kind of name.
        what: &'static str,
        /// The name given.
        given: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// Images of one call whose tiles differ in size, so that no array can hold them.
    Ragged {
        /// The output.
        key: &'static str,
        /// The first size met.
        first: Size,
        /// The one that differs.
        other: Size,
    },
    /// Images or videos of one call that give unlike numbers of patches, tiles or frames, so that no array can hold them.
    Uneven {
        /// The output.
        key: &'static str,
        /// The first number met.
        first: usize,
        /// The one that differs.
        other: usize,
    },
    /// The allocator refused.
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A strategy met what another strategy prepared: which is always a bug.
    Unprepared,
    /// A row source broke off; the owner of the source knows why.
    Source,
    /// The caller asked to stop.
    Interrupted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroSide { what, size } => {
                write!(f, "{what}: height and width must be at least 1, got {size:?}")
            }
            Self::AspectRatio { size, ratio } => write!(
                f,
                "image: absolute aspect ratio must be smaller than 200, got {ratio} for {size:?}"
            ),
            Self::TooLarge { what, size, limit } => {
                write!(f, "{what}: more than max_image_pixels={limit} pixels, got {size:?}")
            }
            Self::NotMultiple { size, unit, unit_name } => write!(
                f,
                "image: height and width must be multiples of {unit_name} {unit:?} when do_resize is off, got {size:?}"
            ),
            Self::WrongSize { size, expected } => {
                write!(f, "image: must be {expected:?} when do_resize is off, got {size:?}")
            }
            Self::TooFewFrames { frames, temporal } => {
                write!(f, "num_frames: must be at least temporal_factor={temporal}, got {frames}")
            }
            Self::Option { name, rule, given } => write!(f, "{name}: must be {rule}, got {given}"),
            Self::Unknown { what, given, known } => {
                write!(f, "{what}: must be one of {}, got {given:?}", known.join(", "))
            }
            Self::Ragged { key, first, other } => write!(
                f,
                "{key}: images of one call must give tiles of one size, got {first:?} and {other:?}"
            ),
            Self::Uneven { key, first, other } => write!(
                f,
                "{key}: images or videos of one call must give as many patches, tiles or frames, got {first} and {other}"
            ),
            Self::OutOfMemory { bytes } => write!(f, "cannot allocate {bytes} bytes"),
            Self::Unprepared => write!(f, "the spec was prepared for another strategy"),
            Self::Source => write!(f, "image: its rows could not be read"),
            Self::Interrupted => write!(f, "interrupted"),
        }
    }
}

impl std::error::Error for Error {}

/// What every fallible function of the core returns.
pub type Result<T> = std::result::Result<T, Error>;

/// An empty vector with room for `len` items.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn reserved<T>(len: usize) -> Result<Vec<T>> {
    let mut items = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>());
    let room = fallible(|| items.try_reserve_exact(len));
    room.map_err(|_| Error::OutOfMemory { bytes })?;
    Ok(items)
}

/// Appends an item.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn push<T>(items: &mut Vec<T>, item: T) -> Result<()> {
    if items.len() == items.capacity() {
        grow(items, 1)?;
    }
    items.push(item);
    Ok(())
}

/// Makes room for so many items more.
#[cold]
#[inline(never)]
fn grow<T>(items: &mut Vec<T>, more: usize) -> Result<()> {
    let bytes = items.len().saturating_add(more).saturating_mul(2 * size_of::<T>());
    fallible(|| items.try_reserve(more)).map_err(|_| Error::OutOfMemory { bytes })
}

/// The items of an iterator as a vector.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn collected<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let items = items.into_iter();
    let mut all = reserved(items.size_hint().0)?;
    for item in items {
        push(&mut all, item)?;
    }
    Ok(all)
}

/// The items of an iterator as a vector, up to the first error.
///
/// # Errors
/// That error; `OutOfMemory` where the allocator refuses.
pub fn gathered<T>(items: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let items = items.into_iter();
    let mut all = reserved(items.size_hint().0)?;
    for item in items {
        push(&mut all, item?)?;
    }
    Ok(all)
}

/// Appends all items of an iterator.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn append<T>(all: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> Result<()> {
    items.into_iter().try_for_each(|item| push(all, item))
}

/// Appends bytes.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn extend(all: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if all.capacity() - all.len() < bytes.len() {
        grow(all, bytes.len())?;
    }
    all.extend_from_slice(bytes);
    Ok(())
}

/// Appends an item to a vector whose first ones need no allocation.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn push_few<A: Array>(items: &mut SmallVec<A>, item: A::Item) -> Result<()> {
    if items.len() == items.capacity() {
        let bytes = (items.len() + 1).saturating_mul(2 * size_of::<A::Item>());
        fallible(|| items.try_reserve(1)).map_err(|_| Error::OutOfMemory { bytes })?;
    }
    items.push(item);
    Ok(())
}

/// `len` copies of an item.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn filled<T: Clone>(item: T, len: usize) -> Result<Vec<T>> {
    let mut items = reserved(len)?;
    items.resize(len, item);
    Ok(items)
}

/// A zeroed buffer of `len` bytes, or `Error::OutOfMemory`.
///
/// # Errors
/// `OutOfMemory` where the allocator refuses.
pub fn zeroed(len: usize) -> Result<Vec<u8>> {
    filled(0, len)
}
