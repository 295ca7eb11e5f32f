//! Memory: what the system says of a piece of it, blocks of it, and what is left where the system has no more.
//!
//! Whatever grows with an image, a list or an option is allocated by [`crate::error::reserved`] and the like, which fail
//! with the number of bytes. A few small allocations have no fallible form (an `Arc`, a boxed error, what the standard
//! library and the Python bindings make for themselves), and without memory they would end the process. `Allocator`
//! serves them, and only them, from a reserve. Every call asks [`check`] first and ends with `OutOfMemory` while much of the reserve is
//! in use, so that what is left is enough for the calls that are under way.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Bytes of a block of the reserve: the most that a small allocation has.
const BLOCK: usize = 16 << 10;
/// Blocks of the reserve. Nobody touches their pages before they are needed.
const BLOCKS: usize = 128;
/// Blocks in use from which on calls fail instead of beginning.
const LOW: usize = 32;
/// Bytes of a line of the cache.
const LINE: usize = 64;

#[repr(C, align(4096))]
struct Blocks([[u8; BLOCK]; BLOCKS]);

thread_local! {
    /// Whether the allocation under way on this thread may fail, and so leaves the reserve alone.
    static FALLIBLE: Cell<bool> = const { Cell::new(false) };
}

/// Runs an allocation that may fail.
#[inline]
pub fn fallible<T>(allocation: impl FnOnce() -> T) -> T {
    let before = may_fail(true);
    let result = allocation();
    may_fail(before);
    result
}

/// Says whether the next allocations of this thread may fail, and whether those before might.
#[inline(never)]
fn may_fail(fallible: bool) -> bool {
    FALLIBLE.replace(fallible)
}

/// The system's allocator, and behind it a reserve for small requests that it refuses.
struct Allocator {
    blocks: UnsafeCell<Blocks>,
    taken: [AtomicBool; BLOCKS],
    used: AtomicUsize,
}

// SAFETY: a block belongs to whoever set its flag, until they clear it; nothing else in it is shared.
#[expect(unsafe_code, reason = "blocks have one owner each")]
unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

impl Allocator {
    #[expect(clippy::large_stack_arrays, reason = "only the static is made of it")]
    const fn new() -> Self {
        Self {
            blocks: UnsafeCell::new(Blocks([[0; BLOCK]; BLOCKS])),
            taken: [const { AtomicBool::new(false) }; BLOCKS],
            used: AtomicUsize::new(0),
        }
    }

    fn is_low(&self) -> bool {
        self.used.load(Ordering::Relaxed) > LOW
    }

    /// A block for a request that the system refused; null where the request is too large or no block is left.
    #[cold]
    fn take(&self, size: usize, align: usize) -> *mut u8 {
        if FALLIBLE.get() || size > BLOCK || align > align_of::<Blocks>() {
            return std::ptr::null_mut();
        }
        let free = |taken: &AtomicBool| {
            taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let Some(number) = self.taken.iter().position(free) else { return std::ptr::null_mut() };
        self.used.fetch_add(1, Ordering::Relaxed);
        self.blocks.get().cast::<u8>().wrapping_add(number * BLOCK)
    }

    /// The number of the block that begins at `pointer`, if it is one.
    fn number(&self, pointer: *mut u8) -> Option<usize> {
        let offset = pointer.addr().wrapping_sub(self.blocks.get().addr());
        (offset < BLOCKS * BLOCK).then_some(offset / BLOCK)
    }

    fn give_back(&self, number: usize) {
        self.used.fetch_sub(1, Ordering::Relaxed);
        self.taken[number].store(false, Ordering::Release);
    }
}

// None is inlined: they stand behind every vector and text of the library, which would be a sixth larger.
// SAFETY: what it returns is the system's, or a block that is free, large enough, aligned, and of nobody else until it
// comes back; the system never sees a block.
#[expect(unsafe_code, reason = "passes requests on to the system")]
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system asks for.
        let pointer = unsafe { System.alloc(layout) };
        if pointer.is_null() { self.take(layout.size(), layout.align()) } else { pointer }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if !pointer.is_null() {
            return pointer;
        }
        let pointer = self.take(layout.size(), layout.align());
        if !pointer.is_null() {
            // SAFETY: the block is ours and at least so large.
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        pointer
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.number(pointer) {
            Some(number) => self.give_back(number),
            // SAFETY: it is no block, so the system gave it.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let number = self.number(pointer);
        let new = match number {
            Some(_) if size <= BLOCK => return pointer,
            Some(_) => match Layout::from_size_align(size, layout.align()) {
                // SAFETY: `size` is not zero.
                Ok(layout) => unsafe { System.alloc(layout) },
                Err(_) => std::ptr::null_mut(),
            },
            None => {
                // SAFETY: it is no block, so the system gave it; the rest is the caller's promise.
                let new = unsafe { System.realloc(pointer, layout, size) };
                if !new.is_null() {
                    return new;
                }
                self.take(size, layout.align())
            }
        };
        if new.is_null() {
            return new;
        }
        // SAFETY: both are at least so large, and one of them is new.
        unsafe { std::ptr::copy_nonoverlapping(pointer, new, layout.size().min(size)) };
        // SAFETY: the caller gave it up, since we return another.
        unsafe { self.dealloc(pointer, layout) };
        new
    }
}

/// Whether any of the reserve is in use: what is made now should not be kept.
#[must_use]
pub fn is_short() -> bool {
    ALLOCATOR.used.load(Ordering::Relaxed) > 0
}

/// Fails while much of the reserve is in use: the system has no memory, so that nothing new should begin.
///
/// # Errors
/// `OutOfMemory`.
pub fn check() -> Result<()> {
    if ALLOCATOR.is_low() { Err(Error::OutOfMemory { bytes: BLOCK }) } else { Ok(()) }
}

/// Bytes from which on a block is made of pages of its own. For less, malloc mostly has memory at hand.
pub const PAGED: usize = 4 << 20;

/// Bytes whose values nobody has decided yet, for whoever asks for their address. They begin a line of the cache.
///
/// Large ones come from the system itself, in its large pages where it has them. What malloc hands out was often used
/// before and then lies in small pages for good: storing to those takes a tenth more time.
#[derive(Debug)]
pub struct Block {
    pointer: NonNull<u8>,
    len: usize,
    is_paged: bool,
}

// SAFETY: a block is the only owner of its bytes, and gives out nothing but their address.
#[expect(unsafe_code, reason = "owns its bytes alone")]
unsafe impl Send for Block {}
// SAFETY: as above; no method reads or writes them.
#[expect(unsafe_code, reason = "gives out an address alone")]
unsafe impl Sync for Block {}

impl Block {
    /// A block of `len` bytes.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(len: usize) -> Result<Self> {
        let is_paged = cfg!(target_os = "linux") && len >= PAGED;
        let pointer = if is_paged { map(len) } else { Self::allocated(len) };
        pointer
            .map(|pointer| Self { pointer, len, is_paged })
            .ok_or(Error::OutOfMemory { bytes: len })
    }

    /// How an allocated block of `len` bytes lies.
    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len.max(1), LINE).ok()
    }

    #[expect(unsafe_code, reason = "asks for memory as the standard library does")]
    fn allocated(len: usize) -> Option<NonNull<u8>> {
        let layout = Self::layout(len)?;
        // SAFETY: the layout has at least one byte.
        NonNull::new(fallible(|| unsafe { std::alloc::alloc(layout) }))
    }

    /// Its bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it begins.
    #[must_use]
    pub const fn pointer(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }
}

impl Drop for Block {
    #[expect(unsafe_code, reason = "gives back what it was given")]
    fn drop(&mut self) {
        if self.is_paged {
            #[cfg(target_os = "linux")]
            // SAFETY: mapped by `map` with this length, and nobody else's.
            unsafe {
                libc::munmap(self.pointer.as_ptr().cast(), self.len)
            };
        } else if let Some(layout) = Self::layout(self.len) {
            // SAFETY: allocated by `allocated` with this layout.
            unsafe { std::alloc::dealloc(self.pointer.as_ptr(), layout) };
        }
    }
}

/// Pages of the system's. Private: a child that was forked has a copy.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "asks the system for pages")]
fn map(len: usize) -> Option<NonNull<u8>> {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new pages, wherever the system puts them.
    let pointer = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if pointer == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the pages are ours. A system without large ones refuses, which changes nothing.
    unsafe { libc::madvise(pointer, len, libc::MADV_HUGEPAGE) };
    NonNull::new(pointer.cast())
}

#[cfg(not(target_os = "linux"))]
const fn map(_len: usize) -> Option<NonNull<u8>> {
    None
}

/// Bytes of output from which on whole lines may go past the cache: what is smaller is better found there by whoever
/// reads it next.
pub const LARGE: usize = 16 << 20;

/// Pages that are asked for.
#[cfg(target_os = "linux")]
const SAMPLES: usize = 16;

/// Whether stores to `bytes` pay when they go past the cache: there are many, and the pages exist.
///
/// A page that nobody has touched yet is zeroed by the system at the first store, which leaves it in the cache, where
/// ordinary stores find it. A few pages stand for all of them: a wrong guess costs time and nothing else.
#[must_use]
pub fn pays_to_stream(bytes: &[u8]) -> bool {
    bytes.len() >= LARGE && is_resident(bytes)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "asks the system about pages")]
fn is_resident(bytes: &[u8]) -> bool {
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page) = usize::try_from(page) else { return false };
    if !page.is_power_of_two() || bytes.len() < SAMPLES * page {
        return false;
    }
    (0..SAMPLES).all(|sample| {
        let at = (bytes.len() - 1) / (SAMPLES - 1) * sample;
        let address = bytes.as_ptr().wrapping_add(at).addr() & !(page - 1);
        let mut state = 0;
        // SAFETY: the system looks the address up, which lies in a page of `bytes`, and writes a byte for the one page.
        let failed = unsafe {
            libc::mincore(std::ptr::without_provenance_mut(address), page, &raw mut state)
        };
        failed == 0 && state & 1 == 1
    })
}

#[cfg(not(target_os = "linux"))]
fn is_resident(_bytes: &[u8]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "asks for memory as the standard library does")]
    fn the_reserve_serves_small_requests_and_takes_them_back()
    -> std::result::Result<(), std::alloc::LayoutError> {
        static ALLOCATOR: Allocator = Allocator::new();
        let blocks: Vec<*mut u8> = (0..=LOW).map(|_| ALLOCATOR.take(BLOCK, 64)).collect();
        assert!(blocks.iter().all(|block| !block.is_null() && block.addr().is_multiple_of(64)));
        assert!(ALLOCATOR.is_low());
        assert!(ALLOCATOR.take(BLOCK + 1, 1).is_null() && ALLOCATOR.take(1, 8192).is_null());
        assert!(fallible(|| ALLOCATOR.take(1, 1)).is_null());
        let layout = Layout::from_size_align(BLOCK, 64)?;
        for (number, &block) in blocks.iter().enumerate() {
            // SAFETY: the block is ours.
            unsafe { block.write_bytes(number as u8, BLOCK) };
            // SAFETY: of the layout that it was asked for with.
            let grown = unsafe { ALLOCATOR.realloc(block, layout, 2 * BLOCK) };
            assert!(ALLOCATOR.number(grown).is_none());
            // SAFETY: the first half is what was there.
            let bytes = unsafe { std::slice::from_raw_parts(grown, BLOCK) };
            assert!(bytes.iter().all(|&byte| byte == number as u8));
            // SAFETY: as grown above.
            unsafe { ALLOCATOR.dealloc(grown, Layout::from_size_align(2 * BLOCK, 64)?) };
        }
        assert_eq!(ALLOCATOR.used.load(Ordering::Relaxed), 0);
        Ok(())
    }

    #[test]
    fn blocks_begin_a_line_and_say_when_there_is_no_memory() -> Result<()> {
        for len in [0, 1, 65, PAGED - 1, PAGED, PAGED + 1] {
            let block = Block::new(len)?;
            assert_eq!((block.len(), block.is_empty()), (len, len == 0));
            assert!(block.pointer().addr().is_multiple_of(LINE));
            assert_eq!(block.is_paged, cfg!(target_os = "linux") && len >= PAGED);
        }
        for bytes in [1 << 62, usize::MAX] {
            assert_eq!(Block::new(bytes).err(), Some(Error::OutOfMemory { bytes }));
        }
        Ok(())
    }

    #[test]
    fn fresh_pages_and_small_outputs_are_not_streamed() {
        assert!(!pays_to_stream(&vec![1; LARGE - 1]));
        let zeroed: Vec<u8> = vec![0; 4 * LARGE];
        assert!(!pays_to_stream(&zeroed));
        #[cfg(target_os = "linux")]
        assert!(pays_to_stream(&vec![1; LARGE]));
    }
}
