//! The few vector operations that the kernels are written in, and safe ways to memory.
//!
//! [`Ops`] has two implementations: the processor's instructions, and in tests plain Rust, so that the
//! kernels' logic can be proved equal to the scalar backend on any machine.

#![expect(unsafe_code, reason = "vector loads and stores behind bounds checks")]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::marker::PhantomData;

use super::super::BAND;
use super::super::opaque::opaque;
use crate::image::Row;

/// Operations on vectors of 64 bytes, each one instruction. A value proves that the processor has them.
pub(super) trait Ops: Copy {
    /// 64 bytes.
    type V: Copy;

    /// # Safety
    /// 64 bytes from `from` on must be readable.
    unsafe fn load(self, from: *const u8) -> Self::V;
    /// `vpmovzxbd`: 16 bytes, each to the first of a dword.
    ///
    /// # Safety
    /// 16 bytes from `from` on must be readable.
    unsafe fn load_widened(self, from: *const u8) -> Self::V;
    /// Zeros where `mask` has no bit; those bytes are not touched.
    ///
    /// # Safety
    /// The bytes at `from` that `mask` has a bit for must be readable.
    unsafe fn load_masked(self, mask: u64, from: *const u8) -> Self::V;
    /// # Safety
    /// 64 bytes from `to` on must be writable.
    unsafe fn store(self, v: Self::V, to: *mut u8);
    /// # Safety
    /// The bytes at `to` that `mask` has a bit for must be writable; no other is touched.
    unsafe fn store_masked(self, mask: u64, v: Self::V, to: *mut u8);
    /// `vextracti32x4`: the 16 bytes of lane `LANE`.
    ///
    /// # Safety
    /// 16 bytes from `to` on must be writable.
    unsafe fn store_lane<const LANE: i32>(self, v: Self::V, to: *mut u8);
    /// Past the cache.
    ///
    /// # Safety
    /// 64 bytes from `to` on must be writable, and `to` a multiple of 64.
    unsafe fn stream(self, v: Self::V, to: *mut u8);

    /// `vpbroadcastd`.
    fn splat(self, dword: i32) -> Self::V;
    /// `vpbroadcastq`.
    fn splat_qword(self, dwords: [i32; 2]) -> Self::V;
    /// `vpdpbusd`: to each dword of `sum` four products of an unsigned with a signed byte, modulo 2^32.
    fn dot(self, sum: Self::V, bytes: Self::V, weights: Self::V) -> Self::V;
    /// `vpdpwssd`: to each dword of `sum` two products of signed words, modulo 2^32.
    fn dot_words(self, sum: Self::V, words: Self::V, weights: Self::V) -> Self::V;
    /// `vpaddd`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpsubd`.
    fn subtract_dwords(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpsrlq`: the high dword of each qword in place of the low one, and zero in its own.
    fn high_dwords(self, v: Self::V) -> Self::V;
    /// `vpxord`.
    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpslld`.
    fn shift_left<const N: u32>(self, v: Self::V) -> Self::V;
    /// `vpsrad`.
    fn shift_right_by<const N: u32>(self, v: Self::V) -> Self::V;
    /// `vpsravd`: arithmetic, by the dwords of `counts`.
    fn shift_right(self, v: Self::V, counts: Self::V) -> Self::V;
    /// `vpsravw`: arithmetic, by the words of `counts`.
    fn shift_right_words(self, v: Self::V, counts: Self::V) -> Self::V;
    /// `vpermb`: byte `index[i] % 64` of `v`.
    fn permute(self, index: Self::V, v: Self::V) -> Self::V;
    /// `vpermb` with zeroing: the same where `mask` has a bit, else zero.
    fn permute_masked(self, mask: u64, index: Self::V, v: Self::V) -> Self::V;
    /// `vpermt2b`: byte `index[i] % 128` of `a` followed by `b`.
    fn permute2(self, a: Self::V, index: Self::V, b: Self::V) -> Self::V;
    /// `vpermd`: dword `index[i] % 16` of `v`.
    fn permute_dwords(self, index: Self::V, v: Self::V) -> Self::V;
    /// `vpermt2d`: dword `index[i] % 32` of `a` followed by `b`.
    fn permute2_dwords(self, a: Self::V, index: Self::V, b: Self::V) -> Self::V;
    /// `vpshufb`: byte `index[i] % 16` of the same 128-bit lane; no index has its top bit set.
    fn shuffle(self, v: Self::V, index: Self::V) -> Self::V;
    /// `vshufi32x4`: two lanes of `a`, then two of `b`, two bits of `PICK` each.
    fn lanes<const PICK: i32>(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpackssdw`: in each lane the dwords of `a`, then those of `b`, to words with signed saturation.
    fn pack_dwords(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpackuswb`: in each lane the words of `a`, then those of `b`, to bytes with unsigned saturation.
    fn pack_words(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpunpcklbw`, `vpunpckhbw`: in each lane bytes of `a` and `b` in turn.
    fn unpack_bytes<const HIGH: bool>(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpunpcklwd`, `vpunpckhwd`: in each lane words of `a` and `b` in turn.
    fn unpack_words<const HIGH: bool>(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vpmovb2m`, `vpblendmb`: bytes of `high` where the byte of `by` has its top bit, else of `low`.
    fn select(self, by: Self::V, low: Self::V, high: Self::V) -> Self::V;
    /// `vpblendmb`: bytes of `high` where `mask` has a bit, else of `low`.
    fn blend(self, mask: u64, low: Self::V, high: Self::V) -> Self::V;
    /// `vcvtdq2ps`.
    fn to_floats(self, v: Self::V) -> Self::V;
    /// `vsubps`.
    fn subtract(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vdivps`.
    fn divide(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vmulps`.
    fn multiply(self, a: Self::V, b: Self::V) -> Self::V;
    /// `vfmadd213ps`: `a * b + c`, rounded once.
    fn fused(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Keeps the compiler from moving what makes these past what takes them: left alone it takes one row's chain of sums
    /// after the other, and the processor waits for each.
    fn settle(self, four: &mut [Self::V; 4], others: &mut [Self::V; 4]);
    /// `sfence`.
    fn fence(self);
}

pub(super) use crate::pack::Line;

impl Line {
    pub(super) const ZERO: Self = Self([0; 64]);

    #[inline(always)]
    pub(super) fn load<O: Ops>(&self, ops: O) -> O::V {
        // SAFETY: a line is 64 bytes.
        unsafe { ops.load(self.0.as_ptr()) }
    }

    #[inline(always)]
    pub(super) fn store<O: Ops>(&mut self, ops: O, v: O::V) {
        // SAFETY: a line is 64 bytes.
        unsafe { ops.store(v, self.0.as_mut_ptr()) }
    }
}

/// The bits of the first `count` bytes of a vector.
#[inline(always)]
pub(super) const fn mask(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The 64 bytes of `bytes` from `at` on.
#[inline(always)]
pub(super) fn load<O: Ops>(ops: O, bytes: &[u8], at: usize) -> O::V {
    let bytes = &bytes[at..at + 64];
    // SAFETY: 64 bytes long.
    unsafe { ops.load(bytes.as_ptr()) }
}

/// The 16 bytes of `bytes` from `at` on, each to the first of a dword.
#[inline(always)]
pub(super) fn load_widened<O: Ops>(ops: O, bytes: &[u8], at: usize) -> O::V {
    let bytes = &bytes[at..at + 16];
    // SAFETY: 16 bytes long.
    unsafe { ops.load_widened(bytes.as_ptr()) }
}

/// Those of the 64 bytes from `at` on that `bytes` has; zeros else.
#[inline(always)]
pub(super) fn load_part<O: Ops>(ops: O, bytes: &[u8], at: usize) -> O::V {
    let rest = &bytes[at.min(bytes.len())..];
    // SAFETY: the mask has no bit past the slice's end.
    unsafe { ops.load_masked(mask(rest.len()), rest.as_ptr()) }
}

/// The 64 bytes of `row` from `at` on.
#[inline(always)]
pub(super) fn load_row<O: Ops>(ops: O, row: Row<'_>, at: usize) -> O::V {
    assert!(at <= row.len() && row.len() - at >= 64, "row vector");
    // SAFETY: at is within the row, as just checked.
    let from = unsafe { row.as_ptr().add(at) };
    // SAFETY: 64 bytes from there on are, too.
    unsafe { ops.load(from) }
}

/// The `count` bytes of `row` from `at` on; zeros else.
#[inline(always)]
pub(super) fn load_row_part<O: Ops>(ops: O, row: Row<'_>, at: usize, count: usize) -> O::V {
    assert!(at <= row.len() && row.len() - at >= count, "part of a row vector");
    // SAFETY: at is within the row, as just checked.
    let from = unsafe { row.as_ptr().add(at) };
    // SAFETY: the bytes that the mask has a bit for are, too.
    unsafe { ops.load_masked(mask(count), from) }
}

/// Those of the 64 bytes of `row` from `at` on that are within it; zeros else.
#[inline(always)]
pub(super) fn load_row_upto<O: Ops>(ops: O, row: Row<'_>, at: usize) -> O::V {
    let at = at.min(row.len());
    // SAFETY: at is within the row or one past its end.
    let from = unsafe { row.as_ptr().add(at) };
    let rest = row.len() - at;
    if rest >= 64 {
        // SAFETY: 64 bytes of the row are left.
        unsafe { ops.load(from) }
    } else {
        // SAFETY: the mask has no bit past the row's end.
        unsafe { ops.load_masked(mask(rest), from) }
    }
}

/// Sixteen dwords.
#[inline(always)]
pub(super) fn load_dwords<O: Ops>(ops: O, dwords: &[i32; 16]) -> O::V {
    // SAFETY: 64 bytes long, none of them padding.
    unsafe { ops.load(dwords.as_ptr().cast()) }
}

/// Vector `v` of a table of bytes.
#[inline(always)]
pub(super) fn load_table<O: Ops>(ops: O, table: &[u8; 256], v: usize) -> O::V {
    load(ops, table, v * 64)
}

/// All 64 bytes of `v` into `out` from `at` on.
#[inline(always)]
pub(super) fn store<O: Ops>(ops: O, out: &mut [u8], at: usize, v: O::V) {
    let out = &mut out[at..at + 64];
    // SAFETY: 64 bytes long.
    unsafe { ops.store(v, out.as_mut_ptr()) }
}

/// Lane `LANE` of `v` into `out` from `at` on.
#[inline(always)]
pub(super) fn store_lane<O: Ops, const LANE: i32>(ops: O, out: &mut [u8], at: usize, v: O::V) {
    let out = &mut out[at..at + 16];
    // SAFETY: 16 bytes long.
    unsafe { ops.store_lane::<LANE>(v, out.as_mut_ptr()) }
}

/// As many of the first `count` bytes of `v` as `out` has room for from `at` on.
#[inline(always)]
pub(super) fn store_part<O: Ops>(ops: O, out: &mut [u8], at: usize, count: usize, v: O::V) {
    let start = at.min(out.len());
    let out = &mut out[start..];
    let count = count.min(out.len());
    // SAFETY: the mask has no bit past the slice's end.
    unsafe { ops.store_masked(mask(count), v, out.as_mut_ptr()) }
}

/// All 64 bytes of `v` into `out` from `at` on, past the cache; the address must be a multiple of 64.
#[inline(always)]
pub(super) fn stream<O: Ops>(ops: O, out: &mut [u8], at: usize, v: O::V) {
    let out = &mut out[at..at + 64];
    assert!(out.as_ptr().addr().is_multiple_of(64), "streaming store");
    // SAFETY: 64 bytes long, and aligned as just checked.
    unsafe { ops.stream(v, out.as_mut_ptr()) }
}

/// `N` lines of an output, one after the other, checked once for all of them.
pub(super) struct Place<'a, const STREAM: bool, const N: usize> {
    pointer: *mut u8,
    alive: PhantomData<&'a mut [u8]>,
}

impl<'a, const STREAM: bool, const N: usize> Place<'a, STREAM, N> {
    /// Those from byte `at` of `out` on; `STREAM` wants an address that is a multiple of 64.
    #[inline(always)]
    pub(super) fn new(out: &'a mut [u8], at: usize) -> Self {
        let pointer = out[at..at + N * 64].as_mut_ptr();
        assert!(!STREAM || pointer.addr().is_multiple_of(64), "streaming stores");
        Self { pointer, alive: PhantomData }
    }

    /// Writes line `i`, past the cache if `STREAM`.
    #[inline(always)]
    pub(super) fn put<O: Ops>(&mut self, ops: O, i: usize, v: O::V) {
        assert!(i < N, "line of a place");
        // SAFETY: line i is within the place, which lies in the slice it was made of.
        let to = unsafe { self.pointer.add(i * 64) };
        if STREAM {
            // SAFETY: as above, and every line begins at a multiple of 64, as the first one does.
            unsafe { ops.stream(v, to) }
        } else {
            // SAFETY: as above.
            unsafe { ops.store(v, to) }
        }
    }
}

/// `N` rows of one length in foreign memory.
pub(super) struct Lanes<'a, const N: usize> {
    pointers: [*const u8; N],
    len: usize,
    ahead: bool,
    alive: PhantomData<Row<'a>>,
}

impl<'a, const N: usize> Lanes<'a, N> {
    /// `ahead` is whether [`Lanes::prefetch_next`] asks.
    ///
    /// # Panics
    /// When there are fewer than `N` rows or one is shorter than `len`.
    #[inline(always)]
    pub(super) fn new(rows: &[Row<'a>], len: usize, ahead: bool) -> Self {
        let mut pointers = [std::ptr::null(); N];
        for (pointer, row) in pointers.iter_mut().zip(&rows[..N]) {
            assert!(row.len() >= len, "row of {} bytes, not {len}", row.len());
            *pointer = row.as_ptr();
        }
        Self { pointers, len, ahead, alive: PhantomData }
    }

    /// Bytes of a row.
    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// What the rows hold from byte `from` on, if that is `len` bytes.
    #[inline(always)]
    pub(super) fn span(&self, from: usize, len: usize) -> Option<Span<'_, N>> {
        if from > self.len || self.len - from < len {
            return None;
        }
        let mut pointers = self.pointers;
        for pointer in &mut pointers {
            *pointer = pointer.wrapping_add(from);
        }
        Some(Span { pointers, len, alive: PhantomData })
    }

    /// Asks for byte `at` of the rows.
    #[inline(always)]
    pub(super) fn prefetch(&self, at: usize) {
        let at = opaque(at);
        for pointer in self.pointers {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.wrapping_add(at).cast()) }
        }
    }

    /// Asks for byte `at` of the next `N` rows, if they lie in memory as these do: what the hardware foresees ends with
    /// a row.
    #[inline(always)]
    pub(super) fn prefetch_next(&self, at: usize) {
        if !self.ahead {
            return;
        }
        let stride = self.pointers[1].addr().wrapping_sub(self.pointers[0].addr());
        let next = opaque(stride.wrapping_mul(N).wrapping_add(at));
        for pointer in self.pointers {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.wrapping_add(next).cast()) }
        }
    }

    /// The 64 bytes of row `r` from `at` on.
    #[inline(always)]
    pub(super) fn load<O: Ops>(&self, ops: O, r: usize, at: usize) -> O::V {
        assert!(at < self.len && self.len - at >= 64, "row vector");
        // SAFETY: at is within the row, as just checked.
        let from = unsafe { self.pointers[r].add(at) };
        // SAFETY: 64 bytes from there on are, too.
        unsafe { ops.load(from) }
    }

    /// Those of the 64 bytes of row `r` from `at` on that are within it; zeros else.
    #[inline(always)]
    pub(super) fn load_part<O: Ops>(&self, ops: O, r: usize, at: usize) -> O::V {
        let at = at.min(self.len);
        // SAFETY: at is within the row or one past its end.
        let from = unsafe { self.pointers[r].add(at) };
        // SAFETY: the mask has no bit past the row's end.
        unsafe { ops.load_masked(mask(self.len - at), from) }
    }
}

/// Eight rows of one length.
pub(super) type Eight<'a> = Lanes<'a, BAND>;

/// Some columns of rows, all of them there: loads within them need no check of the row.
#[derive(Clone, Copy)]
pub(super) struct Span<'a, const N: usize> {
    pointers: [*const u8; N],
    len: usize,
    alive: PhantomData<&'a u8>,
}

impl<'a, const N: usize> Span<'a, N> {
    /// `M` of the rows, from row `first` on.
    #[inline(always)]
    pub(super) fn some<const M: usize>(&self, first: usize) -> Span<'a, M> {
        let mut pointers = [std::ptr::null(); M];
        pointers.copy_from_slice(&self.pointers[first..first + M]);
        Span { pointers, len: self.len, alive: PhantomData }
    }

    /// The 64 bytes of row `r` from byte `at` of the span on.
    #[inline(always)]
    pub(super) fn load<O: Ops>(&self, ops: O, r: usize, at: usize) -> O::V {
        assert!(at <= self.len && self.len - at >= 64, "vector of a span");
        // SAFETY: at is within the span, which is within the row.
        let from = unsafe { self.pointers[r].add(at) };
        // SAFETY: 64 bytes from there on are, too.
        unsafe { ops.load(from) }
    }
}
