//! AVX2, with FMA and F16C for the conversion.

#![expect(unsafe_code, reason = "calls into functions that need the CPU's features")]

mod convert;
mod horizontal;
mod lanes;
mod layout;
mod vertical;
mod weights;

use std::arch::x86_64::_mm_sfence;

use super::{BAND, Backend, GROUP};
use crate::error::Result;
use crate::image::Row;
use crate::pack::{Lut, Run, Writer};
use crate::resample::Axis;

/// Proof that the CPU has AVX2, FMA, F16C and the instructions on bits that came with them.
#[derive(Clone, Copy, Debug)]
pub struct Avx2 {
    _only_by_detect: (),
}

impl Avx2 {
    /// The proof, where the CPU gives it.
    #[must_use]
    pub fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("movbe")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Self { _only_by_detect: () })
    }
}

impl Backend for Avx2 {
    type Columns = horizontal::Columns;
    type Rows = vertical::Rows;

    fn tile_rows(self) -> usize {
        4
    }

    fn columns(self, axis: &Axis, input: usize, output: usize) -> Result<Self::Columns> {
        // SAFETY: `self` exists only where the CPU has the features, as in every function here.
        unsafe { horizontal::Columns::new(axis, input, output) }
    }

    fn rows(self, axis: &Axis) -> Result<Self::Rows> {
        // SAFETY: see `columns`.
        unsafe { vertical::Rows::new(axis) }
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
        // SAFETY: see `columns`.
        unsafe { horizontal::pass(weights, rows, ahead, band) }
    }

    fn interleave(self, rows: &[Row<'_>; BAND], band: &mut [u8]) {
        // SAFETY: see `columns`.
        unsafe { layout::interleave(rows, band) }
    }

    fn vertical(self, weights: &Self::Rows, i: usize, groups: &[&[u8]], out: &mut [u8]) {
        // SAFETY: see `columns`.
        unsafe { vertical::row(weights, i, groups, out) }
    }

    fn deinterleave(self, group: &[u8], rows: [&mut [u8]; GROUP]) {
        // SAFETY: see `columns`.
        unsafe { layout::deinterleave(group, rows) }
    }

    fn split(self, row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
        // SAFETY: see `columns`.
        unsafe { layout::split(&row, pixel, lines) }
    }

    fn split_patch(self, rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]) {
        // SAFETY: see `columns`.
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
        // SAFETY: see `columns`.
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
        // SAFETY: see `columns`.
        unsafe { convert::pixels(lut, bytes, from, len, writer, out) }
    }

    fn fence(self) {
        // SAFETY: every x86-64 CPU has this instruction.
        unsafe { _mm_sfence() }
    }
}
