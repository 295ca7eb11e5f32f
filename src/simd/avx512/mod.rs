//! AVX-512 with byte permutes and byte dot products (Ice Lake, Zen 4 and later).
//!
//! | module | holds |
//! |---|---|
//! | `ops` | the vector operations the kernels use, safe loads and stores |
//! | `native` | the operations as instructions |
//! | `emulated` | the operations in plain Rust, for tests |
//! | `sums` | sums by digits and their end |
//! | `horizontal`, `vertical` | the passes |
//! | `rows` | rows to groups, rows to planes |
//! | `convert` | bytes to elements |
//!
//! The kernels are generic over the operations and inlined whole into the functions with the target
//! features, at the end of this file. They have no closures: a closure is a function without the features.

// Indices of fixed arrays that live in registers read better than zipped iterators.
#![expect(clippy::needless_range_loop, reason = "arrays of registers")]
#![expect(clippy::inline_always, reason = "a function that is not inlined has no vector registers")]

mod convert;
#[cfg(test)]
mod emulated;
mod horizontal;
mod native;
mod ops;
mod rows;
mod sums;
#[cfg(test)]
mod tests;
mod vertical;

use super::scalar::{self, Scalar};
use super::{Avx2, BAND, Backend, GROUP};
use crate::error::Result;
use crate::image::Row;
use crate::pack::{Lut, Run, Writer};
use crate::resample::Axis;
pub(super) use native::dot_words;
use ops::Ops;

/// Proof that this processor has AVX-512 F, BW, VL, VBMI and VNNI, and all that AVX2's kernels want.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// The proof, if it is true.
    #[must_use]
    pub fn detect() -> Option<Self> {
        let has = Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }
}

/// Weights as signed bytes, or as they are where three bytes do not hold them.
#[derive(Debug)]
pub enum Weights<Digits, Plain> {
    /// For the kernels.
    Digits(Digits),
    /// For the scalar backend.
    Plain(Plain),
}

/// The weights of a horizontal pass.
pub(super) type Columns = Weights<horizontal::Columns, scalar::Columns>;
/// The weights of a vertical pass.
pub(super) type Rows = Weights<vertical::Rows, Axis>;

/// What is the same for every implementation of the operations; `$call` calls a kernel.
macro_rules! backend {
    ($backend:ty, $call:ident) => {
        impl Backend for $backend {
            type Columns = Columns;
            type Rows = Rows;

            fn tile_rows(self) -> usize {
                1
            }

            fn columns(self, axis: &Axis, input: usize, output: usize) -> Result<Columns> {
                match sums::digits(axis) {
                    Some(digits) => {
                        Ok(Weights::Digits($call!(columns(self, axis, digits, input, output))?))
                    }
                    None => Ok(Weights::Plain(Scalar.columns(axis, input, output)?)),
                }
            }

            fn rows(self, axis: &Axis) -> Result<Rows> {
                match sums::digits(axis) {
                    Some(digits) => Ok(Weights::Digits(vertical::rows(axis, digits)?)),
                    None => Ok(Weights::Plain(Scalar.rows(axis)?)),
                }
            }

            fn prepare(self, weights: &Columns) -> Result<()> {
                match weights {
                    Weights::Digits(weights) => horizontal::prepare(weights),
                    Weights::Plain(_) => Ok(()),
                }
            }

            fn release(self) {
                horizontal::release();
            }

            fn horizontal(
                self,
                weights: &Columns,
                rows: &[Row<'_>; BAND],
                ahead: bool,
                band: &mut [u8],
            ) {
                match weights {
                    Weights::Digits(weights) => {
                        $call!(horizontal(self, weights, rows, ahead, band))
                    }
                    Weights::Plain(weights) => Scalar.horizontal(weights, rows, ahead, band),
                }
            }

            fn interleave(self, rows: &[Row<'_>; BAND], band: &mut [u8]) {
                $call!(interleave(self, rows, band));
            }

            fn vertical(self, weights: &Rows, i: usize, groups: &[&[u8]], out: &mut [u8]) {
                match weights {
                    Weights::Digits(weights) => $call!(vertical(self, weights, i, groups, out)),
                    Weights::Plain(weights) => Scalar.vertical(weights, i, groups, out),
                }
            }

            fn deinterleave(self, group: &[u8], rows: [&mut [u8]; GROUP]) {
                $call!(deinterleave(self, group, rows));
            }

            fn split(self, row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
                $call!(split(self, row, pixel, lines));
            }

            fn split_patch(self, rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]) {
                $call!(split_patch(self, rows, x, pixel, planes));
            }

            fn elements(
                self,
                lut: &Lut,
                planes: &[u8],
                runs: &[Run],
                len: usize,
                writer: &mut Writer,
                out: &mut [u8],
            ) {
                $call!(elements(self, lut, planes, runs, len, writer, out));
            }

            fn pixels(
                self,
                lut: &Lut,
                bytes: &[u8],
                from: usize,
                len: usize,
                writer: &mut Writer,
                out: &mut [u8],
            ) {
                $call!(pixels(self, lut, bytes, from, len, writer, out));
            }

            fn fence(self) {
                Ops::fence(self);
            }
        }
    };
}

/// Calls a function of [`featured`].
macro_rules! call_featured {
    ($name:ident($($arg:expr),*)) => {{
        #[expect(unsafe_code, reason = "a function with target features")]
        // SAFETY: a value of Avx512 exists only where the processor has the features.
        let result = unsafe { featured::$name($($arg),*) };
        result
    }};
}

backend!(Avx512, call_featured);

#[cfg(test)]
macro_rules! call_plain {
    ($name:ident($($arg:expr),*)) => {
        plain::$name($($arg),*)
    };
}

#[cfg(test)]
backend!(emulated::Emulated, call_plain);

/// The kernels by the names of the trait's methods.
mod plain {
    pub(super) use super::convert::{elements, pixels};
    pub(super) use super::horizontal::{columns, horizontal};
    pub(super) use super::rows::{deinterleave, interleave, split, split_patch};
    pub(super) use super::vertical::vertical;
}

/// The kernels, compiled for the features that [`Avx512`] proves.
mod featured {
    use super::{
        Avx512, Axis, BAND, GROUP, Lut, Result, Row, Run, Writer, horizontal, plain, vertical,
    };

    macro_rules! featured {
        ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
            $(
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")]
                pub(super) fn $name(ops: Avx512, $($arg: $type),*) $(-> $result)? {
                    plain::$name(ops, $($arg),*)
                }
            )*
        };
    }

    featured! {
        fn columns(axis: &Axis, digits: usize, input: usize, output: usize) -> Result<horizontal::Columns>;
        fn horizontal(weights: &horizontal::Columns, rows: &[Row<'_>; BAND], ahead: bool, band: &mut [u8]);
        fn interleave(rows: &[Row<'_>; BAND], band: &mut [u8]);
        fn vertical(weights: &vertical::Rows, i: usize, groups: &[&[u8]], out: &mut [u8]);
        fn deinterleave(group: &[u8], rows: [&mut [u8]; GROUP]);
        fn split(row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]);
        fn split_patch(rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]);
        fn pixels(lut: &Lut, bytes: &[u8], from: usize, len: usize, writer: &mut Writer, out: &mut [u8]);
        fn elements(lut: &Lut, planes: &[u8], runs: &[Run], len: usize, writer: &mut Writer, out: &mut [u8]);
    }
}
