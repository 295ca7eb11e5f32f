//! Pillow's reduction by whole factors, the first of the two steps that `reducing_gap` asks for.

use crate::error::{Result, Size, zeroed};

/// By how much `Image.resize(..., reducing_gap=gap)` reduces rows and columns first; (1, 1) is not at all.
///
/// The resize then takes [`reduce`]'s result for an image of [`extents`]: see [`super::Axis::within`]. Which pass goes
/// first follows from the reduced image's own size. Nearest never reduces.
#[must_use]
pub fn reduction(source: Size, target: Size, gap: f64) -> Size {
    let factor = |from: usize, to: usize| ((from as f64 / to as f64 / gap) as usize).max(1);
    (factor(source.0, target.0), factor(source.1, target.1))
}

/// Rows and columns of an image of `size` in blocks of `factors`, the last ones in part, in Pillow's float32.
#[must_use]
pub fn extents(size: Size, factors: Size) -> (f64, f64) {
    let extent = |side: usize, factor: usize| f64::from((side as f64 / factor as f64) as f32);
    (extent(size.0, factors.0), extent(size.1, factors.1))
}

/// The means of blocks of `factors` (rows, columns) of an image of `pixel` bytes a pixel, as `Image.reduce` rounds them.
/// The blocks at the right and at the bottom are as small as is left.
///
/// # Errors
/// `OutOfMemory`.
pub fn reduce(image: &[u8], size: Size, pixel: usize, factors: Size) -> Result<(Vec<u8>, Size)> {
    let reduced = (size.0.div_ceil(factors.0), size.1.div_ceil(factors.1));
    let mut out = zeroed(reduced.0 * reduced.1 * pixel)?;
    let stride = size.1 * pixel;
    for (y, line) in out.chunks_exact_mut((reduced.1 * pixel).max(1)).enumerate() {
        let rows = y * factors.0..((y + 1) * factors.0).min(size.0);
        for (x, mean) in line.chunks_exact_mut(pixel).enumerate() {
            let columns = x * factors.1..((x + 1) * factors.1).min(size.1);
            let count = (rows.len() * columns.len()) as u32;
            for (c, byte) in mean.iter_mut().enumerate() {
                let mut sum = count / 2;
                for row in rows.clone() {
                    for column in columns.clone() {
                        sum += u32::from(image[row * stride + column * pixel + c]);
                    }
                }
                *byte = (sum.wrapping_mul(reciprocal(count)) >> 24) as u8;
            }
        }
    }
    Ok((out, reduced))
}

/// 2^24 through the count, with the rounding of Pillow's float32.
fn reciprocal(count: u32) -> u32 {
    (4_294_967_296.0f32 / count.wrapping_mul(256) as f32) as u32
}
