//! The only place that makes threads: scoped ones, gone with the call.
//!
//! A process that was forked runs serially: a scoped thread in a forked child can meet a lock of the
//! standard library that a thread of the parent held at the moment of the fork.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, reserved};

static IMPORTED_IN: AtomicU32 = AtomicU32::new(0);

/// Remembers the process that loaded the library.
pub fn remember_process() {
    IMPORTED_IN.store(std::process::id(), Ordering::Relaxed);
}

/// Whether this process was forked from the one that loaded the library.
#[must_use]
pub fn is_forked() -> bool {
    let imported = IMPORTED_IN.load(Ordering::Relaxed);
    imported != 0 && imported != std::process::id()
}

/// Whether this is the thread that the process began with.
#[cfg(target_os = "linux")]
#[must_use]
#[expect(unsafe_code, reason = "asks the system for a number")]
pub fn is_first_thread() -> bool {
    // SAFETY: takes nothing and gives a number.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    thread == i64::from(std::process::id())
}

/// Whether this is the thread that the process began with: unknown here.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub const fn is_first_thread() -> bool {
    false
}

/// How many threads a request for `asked` gets: 0 asks for all that this process may use.
#[must_use]
pub fn threads(asked: usize) -> usize {
    if is_forked() {
        return 1;
    }
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    if asked == 0 { available() } else { asked }
}

static ENDING: AtomicBool = AtomicBool::new(false);

/// Ends all work that is watched, as soon as it looks: the process is about to exit.
pub fn end() {
    ENDING.store(true, Ordering::SeqCst);
}

/// Whether the process is about to exit.
#[must_use]
pub fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// How often the owner of a call is asked whether to go on.
const POLL_EVERY: Duration = Duration::from_millis(40);

/// Stops the work of a call when its owner says so.
pub struct Watch<'a> {
    stop: AtomicBool,
    /// Whether [`end`] stops it, too. What begins after that is the exit's own work.
    ends: bool,
    owner: std::thread::ThreadId,
    last: Mutex<Instant>,
    poll: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl<'a> Watch<'a> {
    /// `poll` is called now and then on the thread that makes the watch; `true` stops the work.
    #[must_use]
    pub fn new(poll: Option<&'a (dyn Fn() -> bool + Sync)>) -> Self {
        Self {
            stop: AtomicBool::new(false),
            ends: !is_ending(),
            owner: std::thread::current().id(),
            last: Mutex::new(Instant::now()),
            poll,
        }
    }

    /// Fails with `Interrupted` once the owner has said so.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn check(&self) -> Result<()> {
        if let Some(poll) = self.poll
            && std::thread::current().id() == self.owner
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= POLL_EVERY {
                *last = Instant::now();
                if poll() {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
        let ended = self.ends && ENDING.load(Ordering::Relaxed);
        if ended || self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// `len` copies of an item, with a look every few megabytes: the system clears memory as it is touched.
    ///
    /// # Errors
    /// `OutOfMemory`, `Interrupted`.
    pub fn filled<T: Clone>(&self, item: T, len: usize) -> Result<Vec<T>> {
        filled_watched(item, len, || self.check())
    }

    /// Stops the other threads after an error on one of them.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// `len` copies of an item, with a `check` every few megabytes.
///
/// # Errors
/// `OutOfMemory`, and that of `check`.
pub fn filled_watched<T: Clone>(
    item: T,
    len: usize,
    check: impl Fn() -> Result<()>,
) -> Result<Vec<T>> {
    let step = ((4 << 20) / size_of::<T>().max(1)).max(1);
    let mut items = reserved(len)?;
    while items.len() < len {
        check()?;
        items.resize(len.min(items.len() + step), item.clone());
    }
    Ok(items)
}

/// Runs `beside` on a thread of its own while `work` runs on this one. None, and neither has run, where no thread can be had.
pub fn beside<R>(beside: impl FnOnce() + Send, work: impl FnOnce() -> R) -> Option<R> {
    crate::memory::check().ok()?;
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, beside).ok()?;
        let result = work();
        // The scope waits for its work only; the caller counts on the thread itself being gone.
        if let Err(panic) = other.join() {
            std::panic::resume_unwind(panic);
        }
        Some(result)
    })
}

/// Runs every task, on this thread and `threads - 1` more.
///
/// # Errors
/// The first error met, with the number of its task.
pub fn for_each<T: Send>(
    tasks: Vec<T>,
    threads: usize,
    watch: &Watch<'_>,
    run: impl Fn(T) -> Result<()> + Sync,
) -> std::result::Result<(), (usize, Error)> {
    if threads <= 1 || tasks.len() <= 1 {
        for (number, task) in tasks.into_iter().enumerate() {
            run(task).map_err(|error| (number, error))?;
        }
        return Ok(());
    }
    let threads = threads.min(tasks.len());
    let queue = Mutex::new(tasks.into_iter().enumerate());
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, task)) = next else { return };
            let Err(error) = watch.check().and_then(|()| run(task)) else { continue };
            watch.stop();
            let mut first = failed.lock().unwrap_or_else(PoisonError::into_inner);
            // An interrupted task tells nothing when the reason of the interruption is known.
            if first.is_none() || first.as_ref().is_some_and(|(_, e)| *e == Error::Interrupted) {
                *first = Some((number, error));
            }
            return;
        }
    };
    std::thread::scope(|scope| {
        // A thread that cannot be had is work left for the others.
        let mut others = Vec::new();
        for _ in 1..threads {
            if crate::memory::fallible(|| others.try_reserve(1)).is_err()
                || crate::memory::check().is_err()
            {
                break;
            }
            match std::thread::Builder::new().spawn_scoped(scope, work) {
                Ok(other) => others.push(other),
                Err(_) => break,
            }
        }
        work();
        // The scope waits for their work only; the caller counts on the threads themselves being gone.
        for other in others {
            if let Err(panic) = other.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
