//! Memory of outputs that is used again: the system clears new memory, page by page, and that can take longer than all
//! of the arithmetic that fills it.
//!
//! Whoever takes a block owns it; when the owner is dropped, the block returns. Nobody waits for long: a process that
//! was forked may have begun while another thread of its parent looked a block up, and then nothing is kept in it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use crate::error::{Result, push};
use crate::memory::Block;

/// Takings until a block in use is taken for one that stays so.
const PATIENCE: u64 = 16;
/// How often a thread that finds another one at work looks again. That one moves a few words and is soon done.
const LOOKS: usize = 100;

/// Blocks of memory, each used again as soon as its owner is gone.
#[derive(Debug)]
pub struct Kept {
    limit: AtomicUsize,
    /// How often all blocks were let go of.
    generation: AtomicU64,
    is_single: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    /// Blocks that were taken so far.
    now: u64,
    /// The one used last comes last.
    places: Vec<Place>,
}

/// A block that is kept.
#[derive(Debug)]
struct Place {
    number: u64,
    len: usize,
    /// When it was taken last.
    used: u64,
    /// The block, unless somebody has it.
    block: Option<Block>,
}

/// What one look at the places came to.
enum Found {
    Block(Block, u64),
    /// A place for a new block, under this number, and those that make way for it.
    Place(u64, Vec<Place>),
    /// No room.
    Nothing,
}

impl Kept {
    /// Keeps `limit` bytes at most. `is_single`: one block, for anything that fits; else as many as the limit holds,
    /// each for at least half its size, so that a small output does not hold a large block.
    #[must_use]
    pub const fn new(limit: usize, is_single: bool) -> Self {
        let state = State { generation: 0, now: 0, places: Vec::new() };
        let (limit, generation) = (AtomicUsize::new(limit), AtomicU64::new(0));
        Self { limit, generation, is_single, state: Mutex::new(state) }
    }

    /// The most bytes that are kept.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    /// The bytes that are kept, in use or not.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state().map_or(0, |state| state.bytes())
    }

    /// Sets another limit, and lets go of all blocks. Their owners keep theirs.
    pub fn keep(&self, limit: usize) {
        self.limit.store(limit, Ordering::Release);
        self.forget();
    }

    /// Lets go of all blocks.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        // Where another thread is at work, it or the next one finds the new generation.
        drop(self.state());
    }

    /// The places, or none while another thread stays at work on them.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = (0..LOOKS).find_map(|look| match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => {
                if look > 0 {
                    std::thread::yield_now();
                }
                None
            }
        })?;
        let generation = self.generation.load(Ordering::Acquire);
        if state.generation != generation {
            state.generation = generation;
            state.places.clear();
        }
        Some(state)
    }

    /// `len` bytes, in a block that was used before where there is one.
    ///
    /// # Errors
    /// `OutOfMemory`, once nothing is kept any more.
    pub fn take(self: &Arc<Self>, len: usize) -> Result<Owned> {
        let found = match self.state() {
            Some(mut state) if len <= self.limit() => state.look(len, self.limit(), self.is_single),
            _ => Found::Nothing,
        };
        let (block, number) = match found {
            Found::Block(block, number) => (block, Some(number)),
            Found::Place(number, going) => {
                drop(going); // before another comes, so that there is never more
                (self.block(len)?, Some(number))
            }
            Found::Nothing => (self.block(len)?, None),
        };
        Ok(Owned { block: Some(block), number, kept: Arc::clone(self) })
    }

    /// A new block; what is kept makes way where there is no memory for it.
    fn block(&self, len: usize) -> Result<Block> {
        Block::new(len).or_else(|_| {
            self.forget();
            Block::new(len)
        })
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.places.iter().map(|place| place.len).sum()
    }

    fn look(&mut self, len: usize, limit: usize, is_single: bool) -> Found {
        self.now += 1;
        let now = self.now;
        let fits = |place: &Place| {
            place.block.is_some() && len <= place.len && (is_single || place.len / 2 <= len)
        };
        // Of equal ones the one used last, which the cache may know.
        let best = (0..self.places.len())
            .rev()
            .filter(|&at| fits(&self.places[at]))
            .min_by_key(|&at| self.places[at].len);
        if let Some(at) = best {
            self.places[at..].rotate_left(1);
            if let Some(place) = self.places.last_mut() {
                place.used = now;
                if let Some(block) = place.block.take() {
                    return Found::Block(block, place.number);
                }
            }
        }
        // Those in use stay, too, for they may soon be free; else a loop that holds a little more than the limit would
        // always find its blocks forgotten. Not if they are in use for good.
        let others = if is_single { 0 } else { limit - len };
        let goes = |place: &Place| place.block.is_some() || now - place.used > PATIENCE;
        let mut stays = self.bytes();
        let mut going = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            if stays > others && goes(place) {
                stays -= place.len;
                if push(&mut going, at).is_err() {
                    return Found::Nothing;
                }
            }
        }
        let place = Place { number: now, len, used: now, block: None };
        let mut gone = Vec::new();
        if stays > others || push(&mut self.places, place).is_err() {
            return Found::Nothing;
        }
        for at in going.into_iter().rev() {
            let place = self.places.remove(at);
            // One that finds no room here goes at once.
            let _ = push(&mut gone, place);
        }
        Found::Place(now, gone)
    }
}

/// A block that somebody has. It returns when it is dropped.
#[derive(Debug)]
pub struct Owned {
    block: Option<Block>,
    /// Of its place, if it has one.
    number: Option<u64>,
    kept: Arc<Kept>,
}

impl Owned {
    /// Its bytes; the block may have a few more than were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.block.as_ref().map_or(0, Block::len)
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it begins.
    #[must_use]
    pub fn pointer(&self) -> *mut u8 {
        self.block.as_ref().map_or(std::ptr::null_mut(), Block::pointer)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let block = self.block.take();
        let Some(mut state) = self.number.and_then(|_| self.kept.state()) else { return };
        let own = |place: &&mut Place| Some(place.number) == self.number;
        if let Some(place) = state.places.iter_mut().find(own) {
            place.block = block;
        } else {
            // The system takes a large block back slowly; nobody needs to wait for that.
            drop(state);
            drop(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(limit: usize) -> Arc<Kept> {
        Arc::new(Kept::new(limit, false))
    }

    fn place(kept: &Arc<Kept>, len: usize) -> usize {
        kept.take(len).expect("memory").pointer().addr()
    }

    #[test]
    fn a_block_returns_with_its_owner_in_any_order() -> Result<()> {
        let kept = kept(10_000);
        let (a, b, c) = (kept.take(2500)?, kept.take(3000)?, kept.take(4000)?);
        let places = [&a, &b, &c].map(|owned| owned.pointer().addr());
        assert_eq!(kept.bytes(), 9500);
        drop(b);
        drop(c);
        drop(a);
        // The smallest that fits.
        let again = [kept.take(2500)?, kept.take(2500)?, kept.take(2500)?];
        assert_eq!(again.each_ref().map(|owned| owned.pointer().addr()), places);
        Ok(())
    }

    #[test]
    fn a_small_one_does_not_hold_a_large_block() {
        let kept = kept(10_000);
        let first = place(&kept, 4000);
        assert_eq!(place(&kept, 2000), first);
        let small = kept.take(1999).expect("memory");
        assert_eq!((small.len(), kept.bytes()), (1999, 5999));
    }

    #[test]
    fn one_block_serves_all_sizes() -> Result<()> {
        let kept = Arc::new(Kept::new(10_000, true));
        let first = place(&kept, 9000);
        assert_eq!(place(&kept, 10), first);
        let larger = kept.take(9001)?;
        let apart = kept.take(10)?;
        assert_eq!((larger.len(), apart.len(), kept.bytes()), (9001, 10, 9001));
        Ok(())
    }

    #[test]
    fn the_oldest_go_first_and_those_in_use_only_after_a_while() -> Result<()> {
        let kept = kept(10_000);
        drop([kept.take(3000)?, kept.take(3100)?, kept.take(3200)?]);
        let big = kept.take(6500)?;
        assert_eq!(kept.bytes(), 6500 + 3200);
        for _ in 0..PATIENCE - 1 {
            assert_eq!(kept.take(6000)?.len(), 6000);
            assert_eq!(kept.bytes(), 6500 + 3200, "a block in use stays");
        }
        drop([kept.take(6000)?, kept.take(6000)?]);
        assert_eq!(kept.bytes(), 6000);
        // Its place is gone, so it goes as well.
        drop(big);
        assert_eq!(kept.bytes(), 6000);
        Ok(())
    }

    #[test]
    fn owners_outlive_the_limit_and_what_kept_them() -> Result<()> {
        let kept = kept(10_000);
        let owned = kept.take(5000)?;
        kept.keep(0);
        assert_eq!((kept.bytes(), kept.limit()), (0, 0));
        assert_eq!(kept.take(5000)?.number, None);
        kept.keep(20_000);
        drop(owned);
        assert_eq!(kept.bytes(), 0, "a block of before does not return");
        let last = kept.take(1)?;
        drop(kept);
        assert_eq!(last.len(), 1);
        Ok(())
    }

    #[test]
    fn what_is_kept_makes_way_where_there_is_no_memory() -> Result<()> {
        let kept = kept(usize::MAX);
        drop(kept.take(3000)?);
        assert!(kept.take(1 << 62).is_err());
        assert_eq!(kept.bytes(), 0);
        Ok(())
    }

    #[test]
    fn nobody_waits_for_a_thread_that_never_comes_back() -> Result<()> {
        let kept = kept(10_000);
        let (before, free) = (kept.take(100)?, kept.take(200)?);
        drop(free);
        let state = kept.state.lock().expect("no panic so far");
        assert_eq!(kept.take(200)?.number, None);
        kept.keep(5000);
        drop(before);
        assert_eq!((kept.limit(), kept.bytes()), (5000, 0));
        drop(state);
        assert_eq!(kept.bytes(), 0);
        assert!(kept.take(200)?.number.is_some());
        Ok(())
    }

    #[test]
    fn threads_never_have_the_same_block() {
        let kept = kept(64 << 10);
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let kept = &kept;
                scope.spawn(move || {
                    let mut held: Vec<Owned> = Vec::new();
                    for round in 0..2000_usize {
                        let len = 512 + (round * 37 + thread * 911) % 4096;
                        held.push(kept.take(len).expect("memory"));
                        if held.len() > 3 {
                            held.swap_remove(round % 3);
                        }
                        if thread == 0 && round % 500 == 499 {
                            kept.keep((32 + round % 64) << 10);
                        }
                    }
                    let mut ranges: Vec<_> =
                        held.iter().map(|owned| (owned.pointer().addr(), owned.len())).collect();
                    ranges.sort_unstable();
                    assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
                });
            }
        });
        assert!(kept.bytes() <= kept.limit());
    }
}
