//! Resizes in float32, as torch's `interpolate` gives them on a CPU with one thread.
//!
//! Images of one to seven channels are what the rules here hold for: torch sums the four samples of a bilinear resize
//! without antialiasing in another order where a vector of channels fits.

use crate::error::{Error, Result, Size, filled, reserved};
use crate::parallel::Watch;
use crate::resample::{Filter, Float, FloatAxis, Sum};
use crate::simd::{Simd, float};

/// Planes of `size`, one after the other, each at `target` size.
///
/// Same size is a copy, and only then nothing is done to the values: torchvision returns such an image untouched.
///
/// # Errors
/// `ZeroSide`, `Option` for a filter that is neither bilinear nor bicubic, `OutOfMemory`, `Interrupted`.
pub fn resize(
    simd: Simd,
    planes: &[f32],
    size: Size,
    target: Size,
    filter: Filter,
    rule: Float,
    watch: &Watch<'_>,
) -> Result<Vec<f32>> {
    for (what, size) in [("image", size), ("resized image", target)] {
        if size.0 == 0 || size.1 == 0 {
            return Err(Error::ZeroSide { what, size });
        }
    }
    let rows = FloatAxis::new(filter, size.0, target.0, rule.antialias)?;
    let columns = FloatAxis::new(filter, size.1, target.1, rule.antialias)?;
    let count = planes.len() / (size.0 * size.1);
    let len = target.0.checked_mul(target.1).and_then(|area| area.checked_mul(count));
    let mut out = room(len.unwrap_or(usize::MAX), watch)?;
    if size == target {
        out.copy_from_slice(&planes[..count * size.0 * size.1]);
        return Ok(out);
    }
    let mut held = Room::new(&rows, &columns, watch)?;
    let planes = planes.chunks_exact(size.0 * size.1);
    for (plane, out) in planes.zip(out.chunks_exact_mut(target.0 * target.1)) {
        match rows.sum {
            Sum::Square => square(simd, plane, (&rows, &columns), &mut held, out, watch)?,
            Sum::Window | Sum::Cubic => {
                separable(simd, plane, (&rows, &columns), &mut held, out, watch)?;
            }
        }
    }
    if rule.round || rule.clamp {
        for part in out.chunks_mut(WATCH_EVERY * target.1) {
            watch.check()?;
            for value in part {
                *value = rule.finish(*value);
            }
        }
    }
    Ok(out)
}

/// Zeros, with a look at the watch now and then: the system clears memory as it is touched.
pub(super) fn room(len: usize, watch: &Watch<'_>) -> Result<Vec<f32>> {
    const STEP: usize = 1 << 20;
    let mut room = reserved(len)?;
    while room.len() < len {
        watch.check()?;
        room.resize(len.min(room.len() + STEP), 0.0);
    }
    Ok(room)
}

/// Rows between two looks at the watch.
const WATCH_EVERY: usize = 64;

/// Memory of one plane's resize.
struct Room {
    /// The columns of a band of rows, and their sums.
    columns: Vec<f32>,
    sums: Vec<f32>,
    /// The plane between the passes; or samples to the left and right of each result, for two rows.
    between: Vec<f32>,
    /// The weights of those samples.
    weights: [Vec<f32>; 2],
}

impl Room {
    fn new(rows: &FloatAxis, columns: &FloatAxis, watch: &Watch<'_>) -> Result<Self> {
        let mut held = Self {
            columns: Vec::new(),
            sums: Vec::new(),
            between: Vec::new(),
            weights: [Vec::new(), Vec::new()],
        };
        if rows.sum == Sum::Square {
            held.between = filled(0.0, 4 * columns.target)?;
            held.weights = [filled(0.0, columns.target)?, filled(0.0, columns.target)?];
            for x in 0..columns.target {
                let (_, weights) = columns.window(x);
                held.weights[0][x] = weights[0];
                held.weights[1][x] = weights[1];
            }
        } else {
            held.columns = filled(0.0, float::ROWS * columns.source)?;
            held.sums = filled(0.0, float::ROWS * columns.target)?;
            held.between = room(rows.source * columns.target, watch)?;
        }
        Ok(held)
    }
}

/// The columns, then the rows. With antialiasing an axis of unchanged length is skipped.
fn separable(
    simd: Simd,
    plane: &[f32],
    (rows, columns): (&FloatAxis, &FloatAxis),
    room: &mut Room,
    out: &mut [f32],
    watch: &Watch<'_>,
) -> Result<()> {
    let skips = |axis: &FloatAxis| axis.sum == Sum::Window && axis.source == axis.target;
    if skips(columns) {
        return vertical(simd, rows, columns.target, plane, out, watch);
    }
    let only = skips(rows);
    let between = if only { &mut *out } else { &mut room.between[..] };
    let bands = plane.chunks(float::ROWS * columns.source);
    for (number, (band, to)) in
        bands.zip(between.chunks_mut(float::ROWS * columns.target)).enumerate()
    {
        if (number * float::ROWS).is_multiple_of(WATCH_EVERY) {
            watch.check()?;
        }
        float::horizontal(simd, columns, band, (&mut room.columns, &mut room.sums), to);
    }
    if only {
        return Ok(());
    }
    vertical(simd, rows, columns.target, &room.between, out, watch)
}

/// The rows alone, of `width` values each.
fn vertical(
    simd: Simd,
    rows: &FloatAxis,
    width: usize,
    from: &[f32],
    out: &mut [f32],
    watch: &Watch<'_>,
) -> Result<()> {
    for (i, row) in out.chunks_exact_mut(width).enumerate() {
        if i.is_multiple_of(WATCH_EVERY) {
            watch.check()?;
        }
        float::vertical(simd, rows, i, from, row);
    }
    Ok(())
}

/// Both axes at once, two samples each.
fn square(
    simd: Simd,
    plane: &[f32],
    (rows, columns): (&FloatAxis, &FloatAxis),
    room: &mut Room,
    out: &mut [f32],
    watch: &Watch<'_>,
) -> Result<()> {
    let width = columns.target;
    let (even, odd) = room.between.split_at_mut(2 * width);
    // The samples of an even row and of an odd one; two rows that follow each other have both.
    let mut held = [(even, usize::MAX), (odd, usize::MAX)];
    for (i, row) in out.chunks_exact_mut(width).enumerate() {
        if i.is_multiple_of(WATCH_EVERY) {
            watch.check()?;
        }
        let (taps, weights) = rows.window(i);
        for &tap in taps {
            let y = tap as usize;
            let (samples, holds) = &mut held[y % 2];
            if *holds != y {
                let source = &plane[y * columns.source..][..columns.source];
                let (left, right) = samples.split_at_mut(width);
                for (x, (left, right)) in left.iter_mut().zip(right).enumerate() {
                    let (taps, _) = columns.window(x);
                    *left = source[taps[0] as usize];
                    *right = source[taps[1] as usize];
                }
                *holds = y;
            }
        }
        let [above, below] = [taps[0], taps[1]].map(|tap| &held[tap as usize % 2].0);
        let (a, b) = above.split_at(width);
        let (c, d) = below.split_at(width);
        let sides = [&room.weights[0][..], &room.weights[1][..]];
        float::square(simd, [a, b, c, d], [weights[0], weights[1]], sides, row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [(Filter, bool); 4] = [
        (Filter::Bilinear, true),
        (Filter::Bilinear, false),
        (Filter::Bicubic, true),
        (Filter::Bicubic, false),
    ];
    const SIDES: [usize; 9] = [1, 2, 3, 7, 8, 31, 33, 64, 101];

    fn rule(antialias: bool) -> Float {
        Float { antialias, round: false, clamp: false }
    }

    /// Values with all their bits.
    fn planes(size: Size) -> Vec<f32> {
        let mut state = 0x9E37_79B9_u32 ^ (size.0 * 1009 + size.1) as u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / 16_777_216.0 - 90.0
        };
        (0..2 * size.0 * size.1).map(|_| next()).collect()
    }

    #[test]
    fn every_backend_gives_the_same() {
        let backends: Vec<Simd> = Simd::NAMES.into_iter().filter_map(Simd::detect).collect();
        for (n, height) in SIDES.into_iter().enumerate() {
            for width in SIDES {
                let size = (height, width);
                let planes = planes(size);
                let target = (SIDES[(n + width) % SIDES.len()], SIDES[(n * width) % SIDES.len()]);
                for (filter, antialias) in RULES {
                    let made = |simd| {
                        resize(
                            simd,
                            &planes,
                            size,
                            target,
                            filter,
                            rule(antialias),
                            &Watch::new(None),
                        )
                        .expect("resized")
                        .iter()
                        .map(|value| value.to_bits())
                        .collect::<Vec<u32>>()
                    };
                    let plain = made(backends[0]);
                    for simd in &backends[1..] {
                        assert!(made(*simd) == plain, "{simd:?} {size:?} {target:?} {filter:?}");
                    }
                }
            }
        }
    }

    /// Weights sum to one, but for roundings: what is flat stays so.
    #[test]
    fn a_flat_image_stays_flat() {
        let simd = Simd::detect("scalar").expect("scalar");
        for (filter, antialias) in RULES {
            let flat = vec![200.0; 37 * 23];
            let out =
                resize(simd, &flat, (37, 23), (11, 50), filter, rule(antialias), &Watch::new(None));
            for value in out.expect("resized") {
                assert!((value - 200.0).abs() < 1e-3, "{filter:?} {antialias}: {value}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let simd = Simd::detect("scalar").expect("scalar");
        let refused = |size, target, filter| {
            resize(simd, &[0.0; 4], size, target, filter, rule(true), &Watch::new(None))
                .expect_err("refused")
        };
        assert!(matches!(
            refused((2, 2), (0, 3), Filter::Bilinear),
            Error::ZeroSide { what: "resized image", size: (0, 3) }
        ));
        assert!(matches!(
            refused((2, 2), (3, 3), Filter::Lanczos),
            Error::Option { name: "resample", .. }
        ));
        assert!(matches!(
            refused((2, 2), (usize::MAX, 1 << 40), Filter::Bilinear),
            Error::OutOfMemory { .. }
        ));
    }
}
