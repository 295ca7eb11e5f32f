//! NEON, for 64-bit Arm, with the dot products of bytes that a CPU has.
//!
//! Every such CPU has NEON itself, so nothing of it is detected; how weights are multiplied depends on what else there is:
//!
//! | level | instruction | products | CPUs |
//! |---|---|---|---|
//! | `Words` | `smlal` | 4, of words | all |
//! | `Signed` | `sdot` | 16, of signed bytes | dot product: Neoverse N1, Cortex-A76, Apple M1 and later |
//! | `Mixed` | `usdot` | 16, of unsigned and signed bytes | I8MM: Neoverse V1 and N2, Apple M2 and later |

#![expect(unsafe_code, reason = "calls into functions that need the CPU's features")]

mod convert;
mod horizontal;
mod lanes;
mod layout;
mod products;
mod vertical;
mod weights;

use std::arch::is_aarch64_feature_detected;

use super::{BAND, Backend, GROUP};
use crate::error::Result;
use crate::image::Row;
use crate::pack::{Lut, Run, Writer};
use crate::resample::Axis;

/// By which instructions weights are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Words,
    Signed,
    Mixed,
}

/// Proof that the CPU has NEON and the instructions of the level in it.
#[derive(Clone, Copy, Debug)]
pub struct Neon {
    level: Level,
}

impl Neon {
    /// The proof for the fastest level of this CPU.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Self::levels().last()
    }

    /// The proof for each level of this CPU, slowest first.
    pub(super) fn levels() -> impl Iterator<Item = Self> {
        let signed = is_aarch64_feature_detected!("dotprod");
        let mixed = signed && is_aarch64_feature_detected!("i8mm");
        let levels = [(Level::Words, true), (Level::Signed, signed), (Level::Mixed, mixed)];
        levels.into_iter().filter(|&(_, has)| has).map(|(level, _)| Self { level })
    }
}

impl Backend for Neon {
    type Columns = horizontal::Columns;
    type Rows = vertical::Rows;

    fn tile_rows(self) -> usize {
        8
    }

    fn columns(self, axis: &Axis, input: usize, output: usize) -> Result<Self::Columns> {
        horizontal::Columns::new(self.level, axis, input, output)
    }

    fn rows(self, axis: &Axis) -> Result<Self::Rows> {
        vertical::Rows::new(self.level, axis)
    }

    fn prepare(self, weights: &Self::Columns) -> Result<()> {
        horizontal::prepare(weights)
    }

    fn release(self) {
        horizontal::release();
    }

    fn horizontal(
        self,
        weights: &Self::Columns,
        rows: &[Row<'_>; BAND],
        ahead: bool,
        band: &mut [u8],
    ) {
        // SAFETY: the weights were cut by a value like `self`, which exists only where the CPU has the instructions.
        unsafe { horizontal::pass(weights, rows, ahead, band) }
    }

    fn interleave(self, rows: &[Row<'_>; BAND], band: &mut [u8]) {
        // SAFETY: every 64-bit Arm CPU that Rust's standard library runs on has NEON.
        unsafe { layout::interleave(rows, band) }
    }

    fn vertical(self, weights: &Self::Rows, i: usize, groups: &[&[u8]], out: &mut [u8]) {
        // SAFETY: see `horizontal`.
        unsafe { vertical::row(weights, i, groups, out) }
    }

    fn deinterleave(self, group: &[u8], rows: [&mut [u8]; GROUP]) {
        // SAFETY: every 64-bit Arm CPU that Rust's standard library runs on has NEON.
        unsafe { layout::deinterleave(group, rows) }
    }

    fn split(self, row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
        // SAFETY: every 64-bit Arm CPU that Rust's standard library runs on has NEON.
        unsafe { layout::split(&row, pixel, lines) }
    }

    fn split_patch(self, rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]) {
        // SAFETY: every 64-bit Arm CPU that Rust's standard library runs on has NEON.
        unsafe { layout::split_patch(rows, x, pixel, planes) }
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
        // SAFETY: every 64-bit Arm CPU that Rust's standard library runs on has NEON.
        unsafe { convert::elements(lut, planes, runs, len, writer, out) }
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
        // SAFETY: every 64-bit Arm CPU that Rust's standard library runs on has NEON.
        unsafe { convert::pixels(lut, bytes, from, len, writer, out) }
    }

    /// No store goes past the cache.
    fn fence(self) {}
}
