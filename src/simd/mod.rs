//! The kernels: one trait of band and row functions, one implementation an instruction set.
//!
//! A backend is a value that exists only where the CPU has its instructions. Whatever they do, all return
//! the bytes that `scalar` returns.
//!
//! The format between the passes is the *band*: eight consecutive rows as two *groups* of four, and in a
//! group the four rows of each component side by side, so that a component's taps lie in one 32-bit lane:
//!
//! ```text
//! group 0: c0r0 c0r1 c0r2 c0r3  c1r0 c1r1 c1r2 c1r3  ...      group 1: c0r4 c0r5 c0r6 c0r7  ...
//! ```

mod any;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod float;
pub mod jpeg;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
#[cfg(target_arch = "x86_64")]
mod opaque;
mod scalar;
#[cfg(test)]
mod tests;

pub use any::{ColumnWeights, RowWeights};
#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub use neon::Neon;
pub use scalar::Scalar;

use crate::error::{Error, Result};
use crate::image::Row;
use crate::pack::{Lut, Run, Writer};
use crate::resample::Axis;

/// Rows of a group.
pub const GROUP: usize = 4;
/// Rows of a band.
pub const BAND: usize = 8;

/// Bytes of a group of rows of `components` bytes: four a component, and room for a kernel's last vector.
#[must_use]
pub const fn group_len(components: usize) -> usize {
    (components * GROUP).next_multiple_of(64) + 64
}

/// The kernels of one instruction set.
pub trait Backend: Copy + Send + Sync + 'static {
    /// The weights of a horizontal pass, laid out for its kernel.
    type Columns: Send + Sync + 'static;
    /// The weights of a vertical pass, laid out for its kernel.
    type Rows: Send + Sync + 'static;

    /// Rows of tiles that are best written together: short runs of memory cost some instruction sets more than waiting
    /// for memory does.
    fn tile_rows(self) -> usize;

    /// Lays out the weights of a horizontal pass from `input` to `output` bytes a pixel (3 to 3, 4 to 4, 4 to 3).
    ///
    /// # Errors
    /// `OutOfMemory`.
    fn columns(self, axis: &Axis, input: usize, output: usize) -> Result<Self::Columns>;

    /// Lays out the weights of a vertical pass.
    ///
    /// # Errors
    /// `OutOfMemory`.
    fn rows(self, axis: &Axis) -> Result<Self::Rows>;

    /// Makes room on this thread for horizontal passes with these weights, so that they need no memory.
    ///
    /// # Errors
    /// `OutOfMemory`.
    fn prepare(self, _weights: &Self::Columns) -> Result<()> {
        Ok(())
    }

    /// Gives back what [`Backend::prepare`] made, where it is much.
    fn release(self) {}

    /// One horizontal pass over eight rows of equal length into the two groups of `band`. `ahead`: the next eight, if
    /// they lie in memory as these do, are soon needed and not yet in the cache.
    fn horizontal(
        self,
        weights: &Self::Columns,
        rows: &[Row<'_>; BAND],
        ahead: bool,
        band: &mut [u8],
    );

    /// Eight rows of `components` bytes into the two groups of `band`.
    fn interleave(self, rows: &[Row<'_>; BAND], band: &mut [u8]);

    /// Row `i` of a vertical pass. `groups` are those that hold the window of `i`, from the group of its
    /// first row on; `out` is one byte a component.
    fn vertical(self, weights: &Self::Rows, i: usize, groups: &[&[u8]], out: &mut [u8]);

    /// The four rows of a group back into rows of bytes, each as long as it is.
    fn deinterleave(self, group: &[u8], rows: [&mut [u8]; GROUP]);

    /// The first three channels of `row`, which has `pixel` bytes a pixel, to a line each.
    fn split(self, row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]);

    /// The pixels `x .. x + rows.len()` of as many rows, split into three planes of row after row. Before, between and
    /// after them lie [`PAD`](crate::pack::PAD) bytes that may be overwritten.
    fn split_patch(self, rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]);

    /// Runs of `len` bytes of `planes` through the table into elements, one after the other.
    fn elements(
        self,
        lut: &Lut,
        planes: &[u8],
        runs: &[Run],
        len: usize,
        writer: &mut Writer,
        out: &mut [u8],
    );

    /// `len` bytes of `bytes` from `from` on, the three channels of a pixel side by side, through the table into elements
    /// in the same order. [`PAD`](crate::pack::PAD) bytes lie before and behind them.
    fn pixels(
        self,
        lut: &Lut,
        bytes: &[u8],
        from: usize,
        len: usize,
        writer: &mut Writer,
        out: &mut [u8],
    ) {
        scalar::pixels(lut, bytes, from, len, writer, out);
    }

    /// Ends a run of streaming stores.
    fn fence(self);
}

/// The backend in use.
#[derive(Clone, Copy, Debug)]
pub enum Simd {
    /// Plain Rust.
    Scalar(Scalar),
    /// AVX2, FMA, F16C and instructions on bits, of CPUs since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 with VBMI and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// NEON, with the dot products of bytes that the CPU has.
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon(Neon),
}

impl Simd {
    /// The name of every backend, slowest first.
    pub const NAMES: [&'static str; 4] = ["scalar", "avx2", "avx512", "neon"];

    /// The backend of that name, where this CPU has it.
    #[must_use]
    pub fn detect(name: &str) -> Option<Self> {
        match name {
            "scalar" => Some(Self::Scalar(Scalar)),
            #[cfg(target_arch = "x86_64")]
            "avx2" => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            "avx512" => Avx512::detect().map(Self::Avx512),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            "neon" => Neon::detect().map(Self::Neon),
            _ => None,
        }
    }

    /// The fastest backend of this CPU, or the one asked for.
    ///
    /// # Errors
    /// `Unknown` for a name that is none or that this CPU lacks.
    pub fn choose(forced: Option<&str>) -> Result<Self> {
        let known: Vec<&'static str> =
            Self::NAMES.into_iter().filter(|name| Self::detect(name).is_some()).collect();
        match forced {
            None => {
                Ok(known.last().and_then(|name| Self::detect(name)).unwrap_or(Self::Scalar(Scalar)))
            }
            Some(name) => Self::detect(name).ok_or_else(|| Error::Unknown {
                what: "DYNRES_SIMD",
                given: name.into(),
                known,
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon(_) => "neon",
        }
    }
}

/// Runs generic code with the backend in use.
#[macro_export]
macro_rules! with_backend {
    ($simd:expr, $backend:ident => $body:expr) => {
        match $simd {
            $crate::simd::Simd::Scalar($backend) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Simd::Avx2($backend) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Simd::Avx512($backend) => $body,
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            $crate::simd::Simd::Neon($backend) => $body,
        }
    };
}
