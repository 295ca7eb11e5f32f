//! Pillow's reduction by whole factors, the first of the two steps that `reducing_gap` asks for.

use super::filter::Filter;
use super::passes::{Numerics, Weights};
use super::weights::Axis;
use crate::error::{Error, Result, Size, filled, zeroed};

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

/// An image of `pixel` bytes a pixel at another size, as Pillow's `Image.resize(..., reducing_gap=gap)` gives it.
///
/// The plain way: images so large that the gap matters are rare, and the reduction does most of the work.
///
/// # Errors
/// `ZeroSide`, `Option` for a gap below 1 or numerics that are not Pillow's, `OutOfMemory`.
pub fn resize_with_gap(
    image: &[u8],
    (size, pixel): (Size, usize),
    target: Size,
    filter: Filter,
    numerics: Numerics,
    gap: f64,
) -> Result<Vec<u8>> {
    for (what, size) in [("image", size), ("resized image", target)] {
        if size.0 == 0 || size.1 == 0 {
            return Err(Error::ZeroSide { what, size });
        }
    }
    if gap < 1.0 || gap.is_nan() {
        let given = gap.to_string();
        return Err(Error::Option { name: "reducing_gap", rule: "at least 1", given });
    }
    if numerics.weights() != Weights::Pillow22 {
        let given = format!("'{}'", numerics.name());
        let rule = "one of Pillow's with reducing_gap";
        return Err(Error::Option { name: "numerics", rule, given });
    }
    let nearest = matches!(filter, Filter::Nearest | Filter::NearestSmall);
    let factors = if nearest { (1, 1) } else { reduction(size, target, gap) };
    let whole = extents(size, factors);
    let (mut bytes, mut size) = reduce(image, size, pixel, factors)?;
    let rows = Axis::within(filter, size.0, whole.0, target.0, false)?;
    let columns = Axis::within(filter, size.1, whole.1, target.1, false)?;
    // An axis is skipped where its samples are those of the target, each whole.
    let skips = |from: usize, extent: f64, to: usize| {
        from == to && extent.to_bits() == (to as f64).to_bits()
    };
    let skips = [skips(size.0, whole.0, target.0), skips(size.1, whole.1, target.1)];
    let vertical_first = numerics.vertical_first(size, target);
    for vertical in [vertical_first, !vertical_first] {
        if skips[usize::from(!vertical)] {
            continue;
        }
        if vertical {
            bytes = pass(&rows, &bytes, (1, size.1 * pixel))?;
            size.0 = target.0;
        } else {
            bytes = pass(&columns, &bytes, (size.0, pixel))?;
            size.1 = target.1;
        }
    }
    Ok(bytes)
}

/// One pass over the middle one of three axes: as many lines before it, and bytes after it.
fn pass(axis: &Axis, from: &[u8], (lines, bytes): (usize, usize)) -> Result<Vec<u8>> {
    let mut out = zeroed(lines * axis.target * bytes)?;
    let half = 1i32 << (axis.precision - 1);
    let mut sums: Vec<i32> = filled(0, bytes)?;
    for (from, to) in
        from.chunks_exact(axis.source * bytes).zip(out.chunks_exact_mut(axis.target * bytes))
    {
        for (i, to) in to.chunks_exact_mut(bytes).enumerate() {
            let (first, weights) = axis.window(i);
            sums.fill(half);
            for (line, weight) in from[first * bytes..].chunks_exact(bytes).zip(weights) {
                for (sum, byte) in sums.iter_mut().zip(line) {
                    *sum += weight * i32::from(*byte);
                }
            }
            for (byte, sum) in to.iter_mut().zip(&sums) {
                *byte = (sum >> axis.precision).clamp(0, 255) as u8;
            }
        }
    }
    Ok(out)
}
