//! Elements on their way to the output, line by line.
//!
//! Memory takes whole lines of 64 bytes, in order, twice as fast as it takes anything else. So what a kernel makes is
//! cut at the output's lines, not at patches or channels: a vector that lies across the end of one run of bytes and the
//! start of the next is put together of both.
//!
//! ```text
//! output    ..|.......aaaa|aaaaaaaaaaaa|aaabbbbbbbbb|bbbbbb......|..        | 64 bytes; runs a and b
//!             | head      | whole      | a held, then b added  | held, then the tail
//! ```

use super::lut::Element;

/// Bytes of a line.
pub const LINE: usize = 64;

/// Room before and after the bytes of every run, which kernels read and do not use.
pub const PAD: usize = LINE;

/// Consecutive bytes of one channel in a buffer of planes.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The channel.
    pub channel: usize,
    /// The place of the first byte; at least [`PAD`] bytes lie before it, and behind the last one.
    pub from: usize,
}

/// A line at its own alignment.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Line(pub [u8; LINE]);

/// Lines of a patch that a kernel can keep, for its next copy.
pub const KEPT: usize = 16;

/// Where a run of output has come to.
#[derive(Debug)]
pub struct Writer {
    /// The line under way.
    pub held: Line,
    /// How many bytes of it there are, those that are not ours included.
    pub fill: usize,
    /// How many of its first bytes are not ours.
    pub head: usize,
    /// The place in the output of the next byte of ours that is stored.
    pub at: usize,
    /// Whether whole lines go past the cache.
    pub stream: bool,
    /// Lines that a kernel wants again soon; made once, since zeros for every patch would cost what they save.
    pub kept: [Line; KEPT],
}

impl Writer {
    /// Before the first run.
    #[must_use]
    pub const fn new() -> Self {
        let none = Line([0; LINE]);
        Self { held: none, fill: 0, head: 0, at: 0, stream: false, kept: [none; KEPT] }
    }

    /// Begins at byte `at` of `out`.
    pub fn begin(&mut self, out: &[u8], at: usize, element: Element, stream: bool) {
        let address = out[at..].as_ptr().addr();
        // Elements that lie across lines anyway are stored as they come.
        let aligned = address.is_multiple_of(element.size());
        self.head = if aligned { address % LINE } else { 0 };
        self.fill = self.head;
        self.stream = stream && aligned;
        self.at = at;
    }

    /// Stores the held line, which is full but for its head.
    pub fn put_held(&mut self, out: &mut [u8]) {
        let ours = &self.held.0[self.head..];
        out[self.at..self.at + ours.len()].copy_from_slice(ours);
        self.at += ours.len();
        (self.head, self.fill) = (0, 0);
    }

    /// Ends: stores what is held.
    pub fn finish(&mut self, out: &mut [u8]) {
        let ours = &self.held.0[self.head..self.fill];
        out[self.at..self.at + ours.len()].copy_from_slice(ours);
        self.at += ours.len();
        (self.head, self.fill) = (0, 0);
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}
