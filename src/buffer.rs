//! Zeroed bytes that begin where a line of the cache does.

use std::ops::{Deref, DerefMut};

use crate::error::{Result, zeroed};

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Zeroed bytes; the first lies at a multiple of 64, so that vectors of whole rows of lines never lie across two.
#[derive(Debug)]
pub struct Aligned {
    bytes: Vec<u8>,
    lead: usize,
    len: usize,
}

impl Aligned {
    /// `len` of them.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn zeroed(len: usize) -> Result<Self> {
        let bytes = zeroed(if len == 0 { 0 } else { len.saturating_add(LINE) })?;
        let lead = if len == 0 { 0 } else { bytes.as_ptr().addr().wrapping_neg() % LINE };
        Ok(Self { bytes, lead, len })
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.lead..self.lead + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.lead..self.lead + self.len]
    }
}

/// The length of a row of `len` bytes when rows follow each other and each begins a line.
#[must_use]
pub const fn row_stride(len: usize) -> usize {
    len.next_multiple_of(LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_a_line() {
        for len in [0, 1, 63, 64, 65, 1 << 20] {
            let mut bytes = Aligned::zeroed(len).expect("memory");
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(1);
            assert!(len == 0 || bytes.as_ptr().addr().is_multiple_of(LINE));
        }
        assert_eq!([1, 64, 65].map(row_stride), [64, 64, 128]);
    }
}
