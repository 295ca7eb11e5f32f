//! Kernels of resizes in float32. What is added to what, and what is fused, is [`Sum`]'s; they differ in how many
//! results they make at once, never in the steps to one of them.

#![cfg_attr(
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")),
    expect(unsafe_code, reason = "calls into functions that need the CPU's features")
)]
#![expect(clippy::inline_always, reason = "a function that is not inlined has no vector registers")]

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Scalar, Simd};
use crate::resample::{FloatAxis, Sum};

/// Rows that a horizontal pass takes at once.
pub const ROWS: usize = 32;
/// Results that a vertical pass makes at once.
const WIDE: usize = 32;
/// Side of a transposed block.
const BLOCK: usize = 8;

/// The vectors of an instruction set, whose value proves that the CPU has it.
trait Lanes: Copy {
    /// Floats of a vector; a divisor of [`ROWS`] and [`WIDE`].
    const COUNT: usize;
    type Vector: Copy;

    /// The first floats of a slice.
    fn load(self, from: &[f32]) -> Self::Vector;
    fn store(self, vector: Self::Vector, to: &mut [f32]);
    fn splat(self, value: f32) -> Self::Vector;
    fn times(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn plus(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once.
    fn fused(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// A block of [`BLOCK`] rows of as many floats, each row `from_stride` after the one before, to its transpose.
    #[inline(always)]
    fn transpose(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        for y in 0..BLOCK {
            for x in 0..BLOCK {
                to[x * to_stride + y] = from[y * from_stride + x];
            }
        }
    }
}

impl Lanes for Scalar {
    const COUNT: usize = 1;
    type Vector = f32;

    #[inline(always)]
    fn load(self, from: &[f32]) -> f32 {
        from[0]
    }

    #[inline(always)]
    fn store(self, vector: f32, to: &mut [f32]) {
        to[0] = vector;
    }

    #[inline(always)]
    fn splat(self, value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn times(self, a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)]
    fn plus(self, a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn fused(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// The samples of one tap for a run of results, and the tap's weight.
type Tap<'a> = (&'a [f32], f32);

/// `N` vectors of sums of products; `tap` gives the samples and the weight of each tap in turn.
#[inline(always)]
fn sums<'a, L: Lanes, const N: usize>(
    lanes: L,
    sum: Sum,
    count: usize,
    tap: impl Fn(usize) -> Tap<'a>,
) -> [L::Vector; N] {
    let mut total = [lanes.splat(0.0); N];
    if count == 0 {
        return total;
    }
    // The second product of a cubic comes before the first.
    let lead = usize::from(sum == Sum::Cubic);
    let (samples, weight) = tap(lead);
    let weight = lanes.splat(weight);
    for (n, total) in total.iter_mut().enumerate() {
        *total = lanes.times(lanes.load(&samples[n * L::COUNT..]), weight);
    }
    let mut k = 1 - lead;
    if sum != Sum::Cubic {
        while count - k >= 4 {
            for _ in 0..4 {
                let (samples, weight) = tap(k);
                let weight = lanes.splat(weight);
                for (n, total) in total.iter_mut().enumerate() {
                    let product = lanes.times(lanes.load(&samples[n * L::COUNT..]), weight);
                    *total = lanes.plus(*total, product);
                }
                k += 1;
            }
        }
    }
    while k < count {
        if k != lead || lead == 0 {
            let (samples, weight) = tap(k);
            let weight = lanes.splat(weight);
            for (n, total) in total.iter_mut().enumerate() {
                *total = lanes.fused(lanes.load(&samples[n * L::COUNT..]), weight, *total);
            }
        }
        k += 1;
    }
    total
}

#[inline(always)]
fn put<L: Lanes, const N: usize>(lanes: L, sums: [L::Vector; N], to: &mut [f32]) {
    for (n, sum) in sums.into_iter().enumerate() {
        lanes.store(sum, &mut to[n * L::COUNT..]);
    }
}

#[inline(always)]
fn vertical_of<L: Lanes, const N: usize>(
    lanes: L,
    axis: &FloatAxis,
    i: usize,
    (plane, base): (&[f32], usize),
    out: &mut [f32],
) {
    let width = out.len();
    let (taps, weights) = axis.window(i);
    let mut x = 0;
    while x + WIDE <= width {
        let wide = sums::<L, N>(lanes, axis.sum, taps.len(), |k| {
            (&plane[(taps[k] as usize - base) * width + x..][..WIDE], weights[k])
        });
        put(lanes, wide, &mut out[x..x + WIDE]);
        x += WIDE;
    }
    for x in x..width {
        let [one] = sums::<Scalar, 1>(Scalar, axis.sum, taps.len(), |k| {
            (&plane[(taps[k] as usize - base) * width + x..][..1], weights[k])
        });
        out[x] = one;
    }
}

#[inline(always)]
fn horizontal_of<L: Lanes, const N: usize>(
    lanes: L,
    axis: &FloatAxis,
    rows: &[f32],
    columns: &mut [f32],
    sums_of: &mut [f32],
    out: &mut [f32],
) {
    let count = rows.len() / axis.source;
    across(lanes, rows, axis.source, columns, ROWS, count, axis.source);
    for (i, to) in sums_of.chunks_exact_mut(ROWS).take(axis.target).enumerate() {
        let (taps, weights) = axis.window(i);
        let made = sums::<L, N>(lanes, axis.sum, taps.len(), |k| {
            (&columns[taps[k] as usize * ROWS..][..ROWS], weights[k])
        });
        put(lanes, made, to);
    }
    across(lanes, sums_of, ROWS, out, axis.target, axis.target, count);
}

/// `rows` rows of `columns` floats to as many columns.
#[inline(always)]
fn across<L: Lanes>(
    lanes: L,
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
    rows: usize,
    columns: usize,
) {
    let (whole_rows, whole_columns) = (rows / BLOCK * BLOCK, columns / BLOCK * BLOCK);
    for x in (0..whole_columns).step_by(BLOCK) {
        for y in (0..whole_rows).step_by(BLOCK) {
            let from = &from[y * from_stride + x..];
            lanes.transpose(from, from_stride, &mut to[x * to_stride + y..], to_stride);
        }
    }
    for y in 0..rows {
        let first = if y < whole_rows { whole_columns } else { 0 };
        for x in first..columns {
            to[x * to_stride + y] = from[y * from_stride + x];
        }
    }
}

#[inline(always)]
fn square_of<L: Lanes>(
    lanes: L,
    samples: [&[f32]; 4],
    rows: [f32; 2],
    columns: [&[f32]; 2],
    out: &mut [f32],
) {
    let width = out.len();
    let [nw, ne, sw, se] = samples.map(|line| &line[..width]);
    let [left, right] = columns.map(|line| &line[..width]);
    let [above, below] = rows.map(|weight| lanes.splat(weight));
    let mut x = 0;
    while x + L::COUNT <= width {
        let (west, east) = (lanes.load(&left[x..]), lanes.load(&right[x..]));
        let sum = lanes.times(lanes.load(&ne[x..]), lanes.times(above, east));
        let sum = lanes.fused(lanes.load(&nw[x..]), lanes.times(above, west), sum);
        let sum = lanes.fused(lanes.load(&sw[x..]), lanes.times(below, west), sum);
        let sum = lanes.fused(lanes.load(&se[x..]), lanes.times(below, east), sum);
        lanes.store(sum, &mut out[x..]);
        x += L::COUNT;
    }
    for x in x..width {
        let samples = [nw[x], ne[x], sw[x], se[x]];
        out[x] = crate::resample::bilinear(samples, rows, [left[x], right[x]]);
    }
}

/// Row `i` of a vertical pass over a plane with rows as long as `out`, of which there are those from `plane.1` on.
pub fn vertical(simd: Simd, axis: &FloatAxis, i: usize, plane: (&[f32], usize), out: &mut [f32]) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2(lanes) => x86::avx2::vertical(lanes, axis, i, plane, out),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512(lanes) => x86::avx512::vertical(lanes, axis, i, plane, out),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Simd::Neon(lanes) => vertical_of::<_, { WIDE / arm::COUNT }>(lanes, axis, i, plane, out),
        _ => vertical_of::<_, WIDE>(Scalar, axis, i, plane, out),
    }
}

/// One horizontal pass over up to [`ROWS`] rows, one after the other, to as many. `columns` and `sums` are room for
/// [`ROWS`] floats a sample of the source and of the target.
pub fn horizontal(
    simd: Simd,
    axis: &FloatAxis,
    rows: &[f32],
    (columns, sums): (&mut [f32], &mut [f32]),
    out: &mut [f32],
) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2(lanes) => x86::avx2::horizontal(lanes, axis, rows, columns, sums, out),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512(lanes) => x86::avx512::horizontal(lanes, axis, rows, columns, sums, out),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Simd::Neon(lanes) => {
            horizontal_of::<_, { ROWS / arm::COUNT }>(lanes, axis, rows, columns, sums, out);
        }
        _ => horizontal_of::<_, ROWS>(Scalar, axis, rows, columns, sums, out),
    }
}

/// One row of [`crate::resample::bilinear`]: `samples` and `columns` give a float for each result.
pub fn square(
    simd: Simd,
    samples: [&[f32]; 4],
    rows: [f32; 2],
    columns: [&[f32]; 2],
    out: &mut [f32],
) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2(lanes) => x86::avx2::square(lanes, samples, rows, columns, out),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512(lanes) => x86::avx512::square(lanes, samples, rows, columns, out),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Simd::Neon(lanes) => square_of(lanes, samples, rows, columns, out),
        _ => square_of(Scalar, samples, rows, columns, out),
    }
}
