//! Kernels of the JPEG decoder: coefficients to samples, samples to pixels.
//!
//! Every method has the plain version for a body, which defines the answer: libjpeg-turbo's bytes, for all coefficients and
//! tables whatsoever, as its vector code makes them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

/// The coefficients of four blocks side by side: `row * 32 + block * 8 + column`.
pub type Group = [i16; 256];
/// Samples across a group.
pub const GROUP_WIDTH: usize = 32;
/// Samples down a group.
pub const GROUP_HEIGHT: usize = 8;

/// Pixels that a kernel makes at a time: planes have as many readable samples after their last, up to the next multiple.
pub const STEP: usize = 64;

/// Blue and red differences of a row of pixels.
#[derive(Clone, Copy, Debug)]
pub enum Chroma<'a> {
    /// One sample a pixel.
    Full([&'a [u8]; 2]),
    /// One for two pixels side by side, and one more before the first and after the last.
    Wide([&'a [u8]; 2]),
    /// The nearest row and the next, each as `Wide`.
    Both([(&'a [u8], &'a [u8]); 2]),
}

/// Work of other modules that wants an instruction set.
pub trait Work {
    /// What it returns.
    type Out;
    /// Does it. Must be inlined.
    fn run<D: Deposit>(self, deposit: D) -> Self::Out;
}

/// An instruction that work may want.
pub trait Deposit: Copy {
    /// The lowest bits, as many as `mask` has, in the places that it has them.
    fn deposit(self, bits: u64, mask: u64) -> u64;
}

/// The same for every CPU.
#[derive(Clone, Copy, Debug)]
pub struct PlainDeposit;

impl Deposit for PlainDeposit {
    fn deposit(self, mut bits: u64, mut mask: u64) -> u64 {
        let mut result = 0;
        while mask != 0 && bits != 0 {
            let lowest = mask & mask.wrapping_neg();
            if bits & 1 == 1 {
                result |= lowest;
            }
            mask ^= lowest;
            bits >>= 1;
        }
        result
    }
}

/// The kernels of one instruction set.
pub trait Kernels: Copy + Send + Sync + 'static {
    /// Multiplies a group by a quantisation table, transforms it to samples, writes them to eight rows of `out`, `stride` apart, and
    /// clears the group.
    ///
    /// # Panics
    /// When `out` is shorter than eight rows.
    fn idct(self, group: &mut Group, table: &[i16; 64], out: &mut [u8], stride: usize) {
        scalar::idct(group, table, out, stride);
    }

    /// A row of pixels, three bytes each, as many as `out` holds.
    ///
    /// # Panics
    /// When a row is too short.
    fn rgb(self, luma: &[u8], chroma: Chroma<'_>, out: &mut [u8]) {
        scalar::rgb(luma, chroma, out);
    }

    /// The same from luma alone.
    ///
    /// # Panics
    /// When the row is too short.
    fn grey(self, luma: &[u8], out: &mut [u8]) {
        scalar::grey(luma, out);
    }

    /// Does work in code that is compiled for the instruction set.
    fn work<W: Work>(self, work: W) -> W::Out {
        work.run(PlainDeposit)
    }
}

impl Kernels for super::Scalar {}
