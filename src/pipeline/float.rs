//! Resizes in float32, as torch's `interpolate` gives them on a CPU with one thread.
//!
//! Images of one to seven channels are what the rules here hold for: torch sums the four samples of a bilinear resize
//! without antialiasing in another order where a vector of channels fits.

use std::ops::Range;

use crate::error::{Error, Result, Size, filled};
use crate::parallel::Watch;
use crate::resample::{Filter, Float, FloatAxis, Sum};
use crate::simd::{Simd, float};

/// Where the values of an image come from: some rows of all planes at a time, from top to bottom.
pub trait Values {
    /// The values of those rows, plane after plane; of rows that are not `needed`, anything.
    ///
    /// # Errors
    /// Those of their source.
    fn rows(
        &mut self,
        rows: Range<usize>,
        needed: &dyn Fn(usize) -> bool,
        to: &mut [f32],
    ) -> Result<()>;
}

/// Values that are in memory, plane after plane, each of that height and width.
pub struct Planes<'a>(pub &'a [f32], pub Size);

impl Values for Planes<'_> {
    fn rows(
        &mut self,
        rows: Range<usize>,
        _needed: &dyn Fn(usize) -> bool,
        to: &mut [f32],
    ) -> Result<()> {
        let Self(planes, (height, width)) = *self;
        let part = rows.start * width..rows.end * width;
        let to = to.chunks_exact_mut(part.len());
        for (plane, to) in planes.chunks_exact(height * width).zip(to) {
            to.copy_from_slice(&plane[part.clone()]);
        }
        Ok(())
    }
}

/// Takes a row of the result, its number and its values, plane after plane; they are its to change.
pub type Take<'a> = &'a mut dyn FnMut(usize, &mut [f32]) -> Result<()>;

/// A resize in floats, but for its sizes.
#[derive(Clone, Copy)]
pub struct Resize<'a> {
    /// The kernels.
    pub simd: Simd,
    /// Bilinear or bicubic.
    pub filter: Filter,
    /// What else torch is told.
    pub rule: Float,
    /// Looked at now and then.
    pub watch: &'a Watch<'a>,
}

impl Resize<'_> {
    /// `count` planes of `size`, one after the other, each at `target` size.
    ///
    /// # Errors
    /// Those of [`Self::rows`].
    pub fn planes(
        &self,
        (values, count): (&mut dyn Values, usize),
        size: Size,
        target: Size,
    ) -> Result<Vec<f32>> {
        let len = target.0.checked_mul(target.1).and_then(|area| area.checked_mul(count));
        let mut out = self.watch.filled(0.0, len.unwrap_or(usize::MAX))?;
        self.rows((values, count), size, target, &mut |y, row| {
            let planes = out.chunks_exact_mut(target.0 * target.1);
            for (plane, row) in planes.zip(row.chunks_exact(target.1)) {
                plane[y * target.1..][..target.1].copy_from_slice(row);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The same row by row, from the top. No more of the image is held than a window of the filter needs.
    ///
    /// Same size is a copy, and only then nothing is done to the values: torchvision returns such an image untouched.
    ///
    /// # Errors
    /// `ZeroSide`, `Option` for a filter that is neither bilinear nor bicubic, `OutOfMemory`, `Interrupted`, and those of
    /// `values` and `take`.
    pub fn rows(
        &self,
        (values, count): (&mut dyn Values, usize),
        size: Size,
        target: Size,
        take: Take<'_>,
    ) -> Result<()> {
        for (what, size) in [("image", size), ("resized image", target)] {
            if size.0 == 0 || size.1 == 0 {
                return Err(Error::ZeroSide { what, size });
            }
        }
        let Self { simd, filter, rule, watch } = *self;
        let axis = |source, target| FloatAxis::new(filter, source, target, rule.antialias);
        let axes = if size == target {
            None
        } else {
            Some((axis(size.0, target.0)?, axis(size.1, target.1)?))
        };
        if count == 0 {
            return Ok(());
        }
        let mut band = filled(0.0, count * float::ROWS.min(size.0) * size.1)?;
        let mut row = filled(0.0, count.saturating_mul(target.1))?;
        let mut steps: Box<dyn Steps> = match &axes {
            None => Box::new(Copied(count)),
            Some((rows, columns)) if rows.sum == Sum::Square => {
                Box::new(Square::new(rows, columns, count)?)
            }
            Some((rows, columns)) => Box::new(Separable::new(rows, columns, count, watch)?),
        };
        let needed = match &axes {
            None => filled(true, size.0)?,
            Some((rows, _)) => needed(rows)?,
        };
        let finishes = axes.is_some() && (rule.round || rule.clamp);
        let mut finished = |y: usize, row: &mut [f32]| {
            if finishes {
                for value in row.iter_mut() {
                    *value = rule.finish(*value);
                }
            }
            take(y, row)
        };
        for first in (0..size.0).step_by(float::ROWS) {
            watch.check()?;
            let part = first..(first + float::ROWS).min(size.0);
            let band = &mut band[..count * part.len() * size.1];
            values.rows(part.clone(), &|y| needed[y], band)?;
            steps.band(simd, (part, band), &needed, &mut row, &mut finished)?;
        }
        Ok(())
    }
}

/// Which rows of the source any row of the target has a weight for.
fn needed(rows: &FloatAxis) -> Result<Vec<bool>> {
    let mut needed = filled(false, rows.source)?;
    for i in 0..rows.target {
        for &tap in rows.window(i).0 {
            needed[tap as usize] = true;
        }
    }
    Ok(needed)
}

/// A resize under way.
trait Steps {
    /// Takes the rows of a band of every plane, and gives the rows that are possible now, made in `row`.
    fn band(
        &mut self,
        simd: Simd,
        band: (Range<usize>, &[f32]),
        needed: &[bool],
        row: &mut [f32],
        take: Take<'_>,
    ) -> Result<()>;
}

/// The same size, of so many planes.
struct Copied(usize);

impl Steps for Copied {
    fn band(
        &mut self,
        _simd: Simd,
        (rows, band): (Range<usize>, &[f32]),
        _needed: &[bool],
        row: &mut [f32],
        take: Take<'_>,
    ) -> Result<()> {
        // A band has as many values as its rows together, those of each plane in one piece.
        let width = row.len() / self.0;
        for (n, y) in rows.clone().enumerate() {
            let planes = band.chunks_exact(rows.len() * width);
            for (to, plane) in row.chunks_exact_mut(width).zip(planes) {
                to.copy_from_slice(&plane[n * width..][..width]);
            }
            take(y, row)?;
        }
        Ok(())
    }
}

/// The columns, then the rows. With antialiasing an axis of unchanged length is skipped.
struct Separable<'a> {
    rows: &'a FloatAxis,
    columns: &'a FloatAxis,
    /// The columns of a band of rows, and their sums.
    turned: Vec<f32>,
    sums: Vec<f32>,
    /// Rows between the passes, `room` of them of every plane: the first is row `base`, the last the one before `ready`.
    between: Vec<f32>,
    room: usize,
    base: usize,
    ready: usize,
    /// The next row of the target.
    next: usize,
}

impl<'a> Separable<'a> {
    fn new(
        rows: &'a FloatAxis,
        columns: &'a FloatAxis,
        planes: usize,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let span = |i| match rows.window(i).0 {
            [first, .., last] => (last - first) as usize + 1,
            _ => 1,
        };
        let most = (0..rows.target).map(span).max().unwrap_or(1);
        // Twice a window, so that rows are seldom moved.
        let kept = (2 * most + float::ROWS).min(rows.source.max(float::ROWS));
        let (turned, sums) =
            if Self::skips(columns) { (0, 0) } else { (columns.source, columns.target) };
        Ok(Self {
            rows,
            columns,
            turned: filled(0.0, float::ROWS * turned)?,
            sums: filled(0.0, float::ROWS * sums)?,
            between: watch.filled(0.0, planes * kept * columns.target)?,
            room: kept,
            base: 0,
            ready: 0,
            next: 0,
        })
    }

    fn skips(axis: &FloatAxis) -> bool {
        axis.sum == Sum::Window && axis.source == axis.target
    }

    /// Frees room for `count` more rows.
    fn make_room(&mut self, count: usize) {
        if self.ready - self.base + count <= self.room {
            return;
        }
        let first =
            if self.next < self.rows.target { self.rows.window(self.next).0.first() } else { None };
        let first = first.map_or(self.ready, |&tap| (tap as usize).min(self.ready));
        let width = self.columns.target;
        let kept = (first - self.base) * width..(self.ready - self.base) * width;
        for plane in self.between.chunks_exact_mut(self.room * width) {
            plane.copy_within(kept.clone(), 0);
        }
        self.base = first;
    }
}

impl Steps for Separable<'_> {
    fn band(
        &mut self,
        simd: Simd,
        (rows, band): (Range<usize>, &[f32]),
        _needed: &[bool],
        row: &mut [f32],
        take: Take<'_>,
    ) -> Result<()> {
        let width = self.columns.target;
        self.make_room(rows.len());
        for (c, band) in band.chunks_exact(rows.len() * self.columns.source).enumerate() {
            let at = (c * self.room + rows.start - self.base) * width;
            let to = &mut self.between[at..][..rows.len() * width];
            if Self::skips(self.columns) {
                to.copy_from_slice(band);
            } else {
                let held = (&mut self.turned[..], &mut self.sums[..]);
                float::horizontal(simd, self.columns, band, held, to);
            }
        }
        self.ready = rows.end;
        while self.next < self.rows.target {
            let i = self.next;
            let last = self.rows.window(i).0.last();
            if last.is_some_and(|&tap| tap as usize >= self.ready) {
                break;
            }
            for (from, to) in
                self.between.chunks_exact(self.room * width).zip(row.chunks_exact_mut(width))
            {
                if Self::skips(self.rows) {
                    to.copy_from_slice(&from[(i - self.base) * width..][..width]);
                } else {
                    float::vertical(simd, self.rows, i, (from, self.base), to);
                }
            }
            self.next += 1;
            take(i, row)?;
        }
        Ok(())
    }
}

/// Both axes at once, two samples each.
struct Square<'a> {
    rows: &'a FloatAxis,
    columns: &'a FloatAxis,
    /// Of each plane the samples to the left and to the right of each result, of an even row and of an odd one: two rows
    /// that follow each other have both.
    samples: Vec<f32>,
    /// The columns of those samples, and their weights.
    taps: Vec<[u32; 2]>,
    weights: [Vec<f32>; 2],
    /// The next row of the target.
    next: usize,
}

impl<'a> Square<'a> {
    fn new(rows: &'a FloatAxis, columns: &'a FloatAxis, planes: usize) -> Result<Self> {
        let width = columns.target;
        let samples = filled(0.0, 4 * planes * width)?;
        let mut weights = [filled(0.0, width)?, filled(0.0, width)?];
        let mut taps = filled([0; 2], width)?;
        for x in 0..width {
            let (at, of) = columns.window(x);
            taps[x] = [at[0], at[1]];
            weights[0][x] = of[0];
            weights[1][x] = of[1];
        }
        Ok(Self { rows, columns, samples, taps, weights, next: 0 })
    }

    /// Takes the samples of row `y` of a plane.
    fn sample(&mut self, y: usize, plane: usize, source: &[f32]) {
        let width = self.columns.target;
        let samples = &mut self.samples[(4 * plane + 2 * (y % 2)) * width..][..2 * width];
        let (left, right) = samples.split_at_mut(width);
        for ((left, right), taps) in left.iter_mut().zip(right).zip(&self.taps) {
            *left = source[taps[0] as usize];
            *right = source[taps[1] as usize];
        }
    }
}

impl Steps for Square<'_> {
    fn band(
        &mut self,
        simd: Simd,
        (rows, band): (Range<usize>, &[f32]),
        needed: &[bool],
        row: &mut [f32],
        take: Take<'_>,
    ) -> Result<()> {
        let width = self.columns.target;
        for y in rows.clone().filter(|&y| needed[y]) {
            for (c, band) in band.chunks_exact(rows.len() * self.columns.source).enumerate() {
                let source = &band[(y - rows.start) * self.columns.source..];
                self.sample(y, c, &source[..self.columns.source]);
            }
            while self.next < self.rows.target {
                let number = self.next;
                let (taps, weights) = self.rows.window(number);
                if taps[1] as usize > y {
                    break;
                }
                for (samples, to) in
                    self.samples.chunks_exact(4 * width).zip(row.chunks_exact_mut(width))
                {
                    let line = |tap: u32| &samples[2 * (tap as usize % 2) * width..][..2 * width];
                    let (a, b) = line(taps[0]).split_at(width);
                    let (c, d) = line(taps[1]).split_at(width);
                    let sides = [&self.weights[0][..], &self.weights[1][..]];
                    float::square(simd, [a, b, c, d], [weights[0], weights[1]], sides, to);
                }
                self.next += 1;
                take(number, row)?;
            }
        }
        Ok(())
    }
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

    fn resize(
        simd: Simd,
        values: &[f32],
        size: Size,
        target: Size,
        filter: Filter,
        antialias: bool,
    ) -> Result<Vec<f32>> {
        let rule = Float { antialias, round: false, clamp: false };
        let resize = Resize { simd, filter, rule, watch: &Watch::new(None) };
        let count = values.len() / (size.0 * size.1);
        resize.planes((&mut Planes(values, size), count), size, target)
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
                        resize(simd, &planes, size, target, filter, antialias)
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
            let out = resize(simd, &flat, (37, 23), (11, 50), filter, antialias);
            for value in out.expect("resized") {
                assert!((value - 200.0).abs() < 1e-3, "{filter:?} {antialias}: {value}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let simd = Simd::detect("scalar").expect("scalar");
        let refused = |size, target, filter| {
            resize(simd, &[0.0; 4], size, target, filter, true).expect_err("refused")
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
