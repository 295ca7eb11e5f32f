//! The backend in use as a backend of its own: what is generic over kernels is compiled once, not once an instruction
//! set. Every method but those that lay out weights works on rows or patches, so that looking which one it is costs
//! nothing beside them.

use super::jpeg::{Chroma, Group, Kernels, Work};
use super::{BAND, Backend, GROUP, Scalar, Simd};
use crate::error::Result;
use crate::image::Row;
use crate::pack::{Lut, Run, Writer};
use crate::resample::Axis;
use crate::with_backend;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use super::Neon;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};

/// The weights of one backend's passes.
macro_rules! weights {
    ($(#[$meta:meta])* $name:ident, $kind:ident) => {
        $(#[$meta])*
        pub enum $name {
            /// The scalar backend's.
            Scalar(<Scalar as Backend>::$kind),
            /// AVX2's.
            #[cfg(target_arch = "x86_64")]
            Avx2(<Avx2 as Backend>::$kind),
            /// AVX-512's.
            #[cfg(target_arch = "x86_64")]
            Avx512(<Avx512 as Backend>::$kind),
            /// NEON's.
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Neon(<Neon as Backend>::$kind),
        }
    };
}

weights!(
    /// The weights of a horizontal pass.
    #[expect(clippy::large_enum_variant, reason = "a few a call, each in an `Arc`")]
    ColumnWeights, Columns
);
weights!(
    /// The weights of a vertical pass.
    RowWeights, Rows
);

/// Lays out weights with the backend in use.
macro_rules! laid_out {
    ($simd:expr, $weights:ident, $backend:ident => $body:expr) => {
        match $simd {
            Simd::Scalar($backend) => $body.map($weights::Scalar),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2($backend) => $body.map($weights::Avx2),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512($backend) => $body.map($weights::Avx512),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Simd::Neon($backend) => $body.map($weights::Neon),
        }
    };
}

/// Uses weights with the backend that they were laid out for.
macro_rules! with_weights {
    ($simd:expr, $weights:ident, $given:expr, ($backend:ident, $it:ident) => $body:expr) => {
        match ($simd, $given) {
            (Simd::Scalar($backend), $weights::Scalar($it)) => $body,
            #[cfg(target_arch = "x86_64")]
            (Simd::Avx2($backend), $weights::Avx2($it)) => $body,
            #[cfg(target_arch = "x86_64")]
            (Simd::Avx512($backend), $weights::Avx512($it)) => $body,
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            (Simd::Neon($backend), $weights::Neon($it)) => $body,
            _ => foreign(),
        }
    };
}

#[cold]
#[inline(never)]
fn foreign() -> ! {
    panic!("weights of another backend")
}

impl Kernels for Simd {
    fn idct(self, group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
        with_backend!(self, backend => backend.idct(group, table, out, stride));
    }

    fn rgb(self, luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
        with_backend!(self, backend => backend.rgb(luma, chroma, out));
    }

    fn grey(self, luma: &[u8], out: &mut [u8]) {
        with_backend!(self, backend => backend.grey(luma, out));
    }

    fn work<W: Work>(self, work: W) -> W::Out {
        with_backend!(self, backend => backend.work(work))
    }
}

impl Backend for Simd {
    type Columns = ColumnWeights;
    type Rows = RowWeights;

    fn tile_rows(self) -> usize {
        with_backend!(self, backend => backend.tile_rows())
    }

    fn columns(self, axis: &Axis, input: usize, output: usize) -> Result<ColumnWeights> {
        laid_out!(self, ColumnWeights, backend => backend.columns(axis, input, output))
    }

    fn rows(self, axis: &Axis) -> Result<RowWeights> {
        laid_out!(self, RowWeights, backend => backend.rows(axis))
    }

    fn prepare(self, weights: &ColumnWeights) -> Result<()> {
        with_weights!(self, ColumnWeights, weights, (backend, it) => backend.prepare(it))
    }

    fn release(self) {
        with_backend!(self, backend => backend.release());
    }

    fn horizontal(
        self,
        weights: &ColumnWeights,
        rows: &[Row<'_>; BAND],
        ahead: bool,
        band: &mut [u8],
    ) {
        with_weights!(self, ColumnWeights, weights, (backend, it) => {
            backend.horizontal(it, rows, ahead, band);
        });
    }

    fn interleave(self, rows: &[Row<'_>; BAND], band: &mut [u8]) {
        with_backend!(self, backend => backend.interleave(rows, band));
    }

    fn vertical(self, weights: &RowWeights, i: usize, groups: &[&[u8]], out: &mut [u8]) {
        with_weights!(self, RowWeights, weights, (backend, it) => {
            backend.vertical(it, i, groups, out);
        });
    }

    fn deinterleave(self, group: &[u8], rows: [&mut [u8]; GROUP]) {
        with_backend!(self, backend => backend.deinterleave(group, rows));
    }

    fn split(self, row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
        with_backend!(self, backend => backend.split(row, pixel, lines));
    }

    fn split_patch(self, rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]) {
        with_backend!(self, backend => backend.split_patch(rows, x, pixel, planes));
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
        with_backend!(self, backend => backend.elements(lut, planes, runs, len, writer, out));
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
        with_backend!(self, backend => backend.pixels(lut, bytes, from, len, writer, out));
    }

    fn fence(self) {
        with_backend!(self, backend => backend.fence());
    }
}
