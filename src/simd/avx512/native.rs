//! The operations as the processor's instructions.

#![expect(unsafe_code, reason = "instructions whose presence a value of Avx512 proves")]

use std::arch::asm;
use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm_sfence, _mm_storeu_si128, _mm512_add_epi32, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_div_ps,
    _mm512_dpbusd_epi32, _mm512_extracti32x4_epi32, _mm512_fmadd_ps, _mm512_loadu_si512,
    _mm512_mask_blend_epi8, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_movepi8_mask,
    _mm512_mul_ps, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_permutex2var_epi8,
    _mm512_permutex2var_epi32, _mm512_permutexvar_epi8, _mm512_permutexvar_epi32,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_shuffle_epi8, _mm512_shuffle_i32x4,
    _mm512_slli_epi32, _mm512_srai_epi32, _mm512_srav_epi16, _mm512_srav_epi32, _mm512_srli_epi64,
    _mm512_storeu_si512, _mm512_stream_si512, _mm512_sub_epi32, _mm512_sub_ps,
    _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
    _mm512_xor_si512,
};

use super::Avx512;
use super::ops::Ops;

/// Methods that are one instruction on registers.
macro_rules! instructions {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident),*) = $body:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($arg: __m512i),*) -> __m512i {
                // SAFETY: a value of Avx512 exists only where the processor has the instruction.
                unsafe { $body }
            }
        )*
    };
}

/// The same on vectors of float32.
macro_rules! floats {
    ($(fn $name:ident($($arg:ident),*) = $body:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($arg: __m512i),*) -> __m512i {
                // SAFETY: a value of Avx512 exists only where the processor has the instruction; the
                // casts are none.
                $(let $arg = unsafe { _mm512_castsi512_ps($arg) };)*
                // SAFETY: as above.
                let result = unsafe { $body };
                // SAFETY: as above.
                unsafe { _mm512_castps_si512(result) }
            }
        )*
    };
}

impl Ops for Avx512 {
    type V = __m512i;

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m512i {
        // SAFETY: readable by this method's contract.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_widened(self, from: *const u8) -> __m512i {
        // SAFETY: readable by this method's contract.
        let bytes = unsafe { _mm_loadu_si128(from.cast()) };
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { _mm512_cvtepu8_epi32(bytes) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, mask: u64, from: *const u8) -> __m512i {
        // SAFETY: readable where masked by this method's contract.
        unsafe { _mm512_maskz_loadu_epi8(mask, from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, v: __m512i, to: *mut u8) {
        // SAFETY: writable by this method's contract.
        unsafe { _mm512_storeu_si512(to.cast(), v) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, mask: u64, v: __m512i, to: *mut u8) {
        // SAFETY: writable where masked by this method's contract.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), mask, v) }
    }

    #[inline(always)]
    unsafe fn store_lane<const LANE: i32>(self, v: __m512i, to: *mut u8) {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        let lane = unsafe { _mm512_extracti32x4_epi32::<LANE>(v) };
        // SAFETY: writable by this method's contract.
        unsafe { _mm_storeu_si128(to.cast(), lane) }
    }

    #[inline(always)]
    unsafe fn stream(self, v: __m512i, to: *mut u8) {
        // SAFETY: writable and aligned by this method's contract.
        unsafe { _mm512_stream_si512(to.cast(), v) }
    }

    #[inline(always)]
    fn splat(self, dword: i32) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { _mm512_set1_epi32(dword) }
    }

    #[inline(always)]
    fn splat_qword(self, [low, high]: [i32; 2]) -> __m512i {
        let qword = i64::from(high) << 32 | i64::from(low.cast_unsigned());
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { _mm512_set1_epi64(qword) }
    }

    instructions! {
        fn dot(sum, bytes, weights) = _mm512_dpbusd_epi32(sum, bytes, weights);
        fn dot_words(sum, words, weights) = dot_words(sum, words, weights);
        fn add(a, b) = _mm512_add_epi32(a, b);
        fn subtract_dwords(a, b) = _mm512_sub_epi32(a, b);
        fn high_dwords(v) = _mm512_srli_epi64::<32>(v);
        fn xor(a, b) = _mm512_xor_si512(a, b);
        fn shift_right(v, counts) = _mm512_srav_epi32(v, counts);
        fn shift_right_words(v, counts) = _mm512_srav_epi16(v, counts);
        fn permute(index, v) = _mm512_permutexvar_epi8(index, v);
        fn permute2(a, index, b) = _mm512_permutex2var_epi8(a, index, b);
        fn permute_dwords(index, v) = _mm512_permutexvar_epi32(index, v);
        fn permute2_dwords(a, index, b) = _mm512_permutex2var_epi32(a, index, b);
        fn shuffle(v, index) = _mm512_shuffle_epi8(v, index);
        fn pack_dwords(a, b) = _mm512_packs_epi32(a, b);
        fn pack_words(a, b) = _mm512_packus_epi16(a, b);
    }

    floats! {
        fn subtract(a, b) = _mm512_sub_ps(a, b);
        fn divide(a, b) = _mm512_div_ps(a, b);
        fn multiply(a, b) = _mm512_mul_ps(a, b);
        fn fused(a, b, c) = _mm512_fmadd_ps(a, b, c);
    }

    #[inline(always)]
    fn to_floats(self, v: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        let floats = unsafe { _mm512_cvtepi32_ps(v) };
        // SAFETY: as above; no instruction at all.
        unsafe { _mm512_castps_si512(floats) }
    }

    #[inline(always)]
    fn select(self, by: __m512i, low: __m512i, high: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        let mask = unsafe { _mm512_movepi8_mask(by) };
        // SAFETY: as above.
        unsafe { _mm512_mask_blend_epi8(mask, low, high) }
    }

    #[inline(always)]
    fn blend(self, mask: u64, low: __m512i, high: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { _mm512_mask_blend_epi8(mask, low, high) }
    }

    #[inline(always)]
    fn permute_masked(self, mask: u64, index: __m512i, v: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { permute_masked(mask, index, v) }
    }

    #[inline(always)]
    fn shift_left<const N: u32>(self, v: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { _mm512_slli_epi32::<N>(v) }
    }

    #[inline(always)]
    fn shift_right_by<const N: u32>(self, v: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { _mm512_srai_epi32::<N>(v) }
    }

    #[inline(always)]
    fn lanes<const PICK: i32>(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists only where the processor has the instruction.
        unsafe { _mm512_shuffle_i32x4::<PICK>(a, b) }
    }

    #[inline(always)]
    fn unpack_bytes<const HIGH: bool>(self, a: __m512i, b: __m512i) -> __m512i {
        if HIGH {
            // SAFETY: a value of Avx512 exists only where the processor has the instruction.
            unsafe { _mm512_unpackhi_epi8(a, b) }
        } else {
            // SAFETY: as above.
            unsafe { _mm512_unpacklo_epi8(a, b) }
        }
    }

    #[inline(always)]
    fn unpack_words<const HIGH: bool>(self, a: __m512i, b: __m512i) -> __m512i {
        if HIGH {
            // SAFETY: a value of Avx512 exists only where the processor has the instruction.
            unsafe { _mm512_unpackhi_epi16(a, b) }
        } else {
            // SAFETY: as above.
            unsafe { _mm512_unpacklo_epi16(a, b) }
        }
    }

    #[inline(always)]
    fn settle(self, four: &mut [__m512i; 4], others: &mut [__m512i; 4]) {
        // SAFETY: a value of Avx512 exists only where the processor has the registers.
        unsafe { settle(four, others) }
    }

    #[inline(always)]
    fn fence(self) {
        // SAFETY: every x86-64 processor has it.
        unsafe { _mm_sfence() }
    }
}

/// Products of words, two added to each sum: of the intrinsic the compiler makes a multiplication and an addition.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(in crate::simd) fn dot_words(mut sum: __m512i, words: __m512i, weights: __m512i) -> __m512i {
    // SAFETY: the function has the feature, and the instruction touches nothing but its registers.
    unsafe {
        asm!(
            "vpdpwssd {0}, {1}, {2}",
            inout(zmm_reg) sum,
            in(zmm_reg) words,
            in(zmm_reg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// [`Ops::permute_masked`]: of the intrinsic the compiler makes a permute and a conjunction.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn permute_masked(mask: u64, index: __m512i, v: __m512i) -> __m512i {
    let bytes;
    // SAFETY: the function has the feature, and the instruction touches nothing but its registers.
    unsafe {
        asm!(
            "vpermb {0} {{{1}}} {{z}}, {2}, {3}",
            lateout(zmm_reg) bytes,
            in(kreg) mask,
            in(zmm_reg) index,
            in(zmm_reg) v,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    bytes
}

/// [`Ops::settle`], in a function that may name the registers.
#[inline]
#[target_feature(enable = "avx512f")]
#[expect(clippy::many_single_char_names, reason = "eight registers")]
fn settle([a, b, c, d]: &mut [__m512i; 4], [e, f, g, h]: &mut [__m512i; 4]) {
    // SAFETY: no instruction at all.
    unsafe {
        asm!(
            "/* {0} {1} {2} {3} {4} {5} {6} {7} */",
            inout(zmm_reg) * a,
            inout(zmm_reg) * b,
            inout(zmm_reg) * c,
            inout(zmm_reg) * d,
            inout(zmm_reg) * e,
            inout(zmm_reg) * f,
            inout(zmm_reg) * g,
            inout(zmm_reg) * h,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
}
