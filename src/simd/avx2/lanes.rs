//! The only loads and stores of this backend: each checks its bounds, or says who did.

#![expect(unsafe_code, reason = "vector loads and stores")]

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm_storeu_si128,
    _mm256_broadcastsi128_si256, _mm256_castsi128_si256, _mm256_castsi256_si128,
    _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_setzero_si256, _mm256_storeu_si256,
    _mm256_stream_si256,
};
use std::marker::PhantomData;

use crate::image::Row;
use crate::pack::{LINE, Line};
use crate::simd::BAND;

/// 16 bytes of `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load16(bytes: &[u8], at: usize) -> __m128i {
    let chunk = &bytes[at..at + 16];
    // SAFETY: the slice is 16 bytes long.
    unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) }
}

/// 16 bytes of `bytes` from `at` on, in both lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn twofold(bytes: &[u8], at: usize) -> __m256i {
    _mm256_broadcastsi128_si256(load16(bytes, at))
}

/// 32 bytes of `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load32(bytes: &[u8], at: usize) -> __m256i {
    let chunk = &bytes[at..at + 32];
    // SAFETY: the slice is 32 bytes long.
    unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) }
}

/// 16 bytes to `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store16(bytes: &mut [u8], at: usize, vector: __m128i) {
    let chunk = &mut bytes[at..at + 16];
    // SAFETY: the slice is 16 bytes long.
    unsafe { _mm_storeu_si128(chunk.as_mut_ptr().cast(), vector) }
}

/// 32 bytes to `bytes` from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store32(bytes: &mut [u8], at: usize, vector: __m256i) {
    let chunk = &mut bytes[at..at + 32];
    // SAFETY: the slice is 32 bytes long.
    unsafe { _mm256_storeu_si256(chunk.as_mut_ptr().cast(), vector) }
}

/// The halves of a line.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_line(line: &Line) -> [__m256i; 2] {
    [load32(&line.0, 0), load32(&line.0, 32)]
}

/// A line of these halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_line(line: &mut Line, [low, high]: [__m256i; 2]) {
    store32(&mut line.0, 0, low);
    store32(&mut line.0, 32, high);
}

/// Lines of an output, one after the other, checked once for all of them.
pub(super) struct Lines<'a> {
    pointer: *mut u8,
    count: usize,
    stream: bool,
    alive: PhantomData<&'a mut [u8]>,
}

impl<'a> Lines<'a> {
    /// Those from byte `at` of `out` on; `stream` wants an address that is a multiple of 64.
    #[inline]
    pub(super) fn new(out: &'a mut [u8], at: usize, count: usize, stream: bool) -> Self {
        let pointer = out[at..at + count * LINE].as_mut_ptr();
        assert!(!stream || pointer.addr().is_multiple_of(LINE), "streaming stores");
        Self { pointer, count, stream, alive: PhantomData }
    }

    /// Writes line `i`, past the cache if they stream; the backend's `fence` orders those.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn put(&mut self, i: usize, halves: [__m256i; 2]) {
        assert!(i < self.count, "line of an output");
        for (half, vector) in halves.into_iter().enumerate() {
            // SAFETY: half a line within the slice that these lines were made of.
            let to = unsafe { self.pointer.add(i * LINE + half * 32) }.cast();
            if self.stream {
                // SAFETY: as above, and every line begins at a multiple of 64, as the first one does.
                unsafe { _mm256_stream_si256(to, vector) }
            } else {
                // SAFETY: as above.
                unsafe { _mm256_storeu_si256(to, vector) }
            }
        }
    }
}

/// 16 bytes of a row from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn row16(row: &Row<'_>, at: usize) -> __m128i {
    assert!(row.len() >= 16 && at <= row.len() - 16, "row vector {at} of {}", row.len());
    // SAFETY: `at` is within the row.
    let from = unsafe { row.as_ptr().add(at) };
    // SAFETY: 16 bytes from there on are within the row.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// 32 bytes of a row from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn row32(row: &Row<'_>, at: usize) -> __m256i {
    assert!(row.len() >= 32 && at <= row.len() - 32, "row vector {at} of {}", row.len());
    // SAFETY: `at` is within the row.
    let from = unsafe { row.as_ptr().add(at) };
    // SAFETY: 32 bytes from there on are within the row.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// Two vectors side by side.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn join(low: __m128i, high: __m128i) -> __m256i {
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
}

/// Eight rows at once: 16 bytes of row `r` and of row `r + 4` in vector `r`.
#[derive(Clone, Copy)]
pub(super) struct Octet {
    rows: [*const u8; BAND],
    /// Where the next eight rows begin, if they lie as these do.
    next: [*const u8; BAND],
    len: usize,
}

impl Octet {
    /// Of eight rows of equal length.
    pub(super) fn new(rows: &[Row<'_>; BAND]) -> Self {
        let len = rows[0].len();
        assert!(rows.iter().all(|row| row.len() == len), "rows of a band differ in length");
        let rows = rows.each_ref().map(Row::as_ptr);
        let stride = rows[1].addr().wrapping_sub(rows[0].addr());
        let next = rows.map(|row| row.wrapping_add(stride.wrapping_mul(BAND)));
        Self { rows, next, len }
    }

    /// How many vectors of 16 bytes, `step` apart, lie within the rows.
    pub(super) const fn vectors(&self, step: usize) -> usize {
        if self.len < 16 { 0 } else { (self.len - 16) / step + 1 }
    }

    /// Asks for byte `at` of row `r % 8` of the next eight rows, if they lie in memory as these do: what the hardware
    /// foresees ends with a row.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn prefetch_next(&self, r: usize, at: usize) {
        _mm_prefetch::<_MM_HINT_T0>(self.next[r % BAND].wrapping_add(at).cast());
    }

    /// The vectors from `at` on.
    ///
    /// # Safety
    /// `at + 16` must not exceed the rows' length, and the rows must still be alive.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn load(&self, at: usize) -> [__m256i; 4] {
        let half = |r: usize| {
            // SAFETY: the caller keeps `at + 16` within the rows.
            let pointer = unsafe { self.rows[r].add(at) };
            // SAFETY: as above.
            unsafe { _mm_loadu_si128(pointer.cast()) }
        };
        [
            join(half(0), half(4)),
            join(half(1), half(5)),
            join(half(2), half(6)),
            join(half(3), half(7)),
        ]
    }
}

/// `V` vectors side by side in a group from `at` on.
///
/// # Safety
/// `at + 32 * V` must not exceed the group's length.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn block<const V: usize>(group: &[u8], at: usize) -> [__m256i; V] {
    let mut vectors = [_mm256_setzero_si256(); V];
    for (v, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller keeps all V vectors within the group.
        let pointer = unsafe { group.as_ptr().add(at + v * 32) };
        // SAFETY: as above.
        *vector = unsafe { _mm256_loadu_si256(pointer.cast()) };
    }
    vectors
}

/// The low and the high half.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn low(vector: __m256i) -> __m128i {
    _mm256_castsi256_si128(vector)
}

/// Keeps the compiler from reordering sums across this point. Left alone it takes one component's chain after the
/// other, and spills the vectors or the weights that all chains share.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn settle<const N: usize>(a: &mut [__m256i; N], b: &mut [__m256i; N]) {
    let last = N - 1;
    if N == 3 {
        // SAFETY: no instruction at all.
        unsafe {
            asm!(
                "/* {0} {1} {2} {3} {4} {5} */",
                inout(ymm_reg) a[0], inout(ymm_reg) a[1], inout(ymm_reg) a[2],
                inout(ymm_reg) b[0], inout(ymm_reg) b[1], inout(ymm_reg) b[2],
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    } else {
        // SAFETY: as above.
        unsafe {
            asm!(
                "/* {0} {1} {2} {3} {4} {5} {6} {7} */",
                inout(ymm_reg) a[0], inout(ymm_reg) a[1], inout(ymm_reg) a[2], inout(ymm_reg) a[last],
                inout(ymm_reg) b[0], inout(ymm_reg) b[1], inout(ymm_reg) b[2], inout(ymm_reg) b[last],
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}
