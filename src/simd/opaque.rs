//! A number whose origin the compiler does not see.

#![expect(unsafe_code, reason = "an empty piece of assembly")]

/// The same number. An address made of it stays a sum of a row's pointer and this: left alone, the compiler counts a pointer of
/// its own up for each row, more than there are registers.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would cost more than it saves")]
pub(super) fn opaque(mut number: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
    }
    number
}
