//! Calls under way: counted, answering signals, and over before the interpreter is.
//!
//! While the interpreter ends, a thread that asks for it is ended by `pthread_exit` wherever it stands (before Python
//! 3.14). That unwinds its stack, and unwinding through Rust aborts the process. So no thread may have Rust on its stack
//! by then:
//!
//! 1. Every entry point counts itself as a [`Call`] while it runs.
//! 2. At exit, [`end`] stops the work of other threads, and waits until their calls are over. Those that work without
//!    the interpreter are [parked](park) where they are instead of taking it back.
//! 3. From then on the calls of other threads are parked where they begin, without the interpreter, for ever.
//!
//! Python runs the hook when all threads but daemons are done. The thread that runs it goes on as ever: what others
//! registered for the exit may still call us.

use pyo3::intern;
use pyo3::prelude::*;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use super::error::to_python;
use crate::memory;
use crate::parallel::{self, Watch};

/// Threads with a call under way.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// The thread that ends the process.
static LAST: OnceLock<ThreadId> = OnceLock::new();
/// How long the exit waits for calls. Work stops within milliseconds, and only code that a call runs in Python, as an
/// image's own methods, could take longer.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// How many calls this thread has under way, one within the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// One call under way.
pub(super) struct Call(());

impl Call {
    /// Begins a call on this thread, which has the interpreter; at exit it may never return.
    #[inline(never)]
    pub(super) fn begin() -> PyResult<Self> {
        let depth = DEPTH.get();
        if depth == 0 {
            memory::check().map_err(|error| to_python(&error))?;
            UNDER_WAY.fetch_add(1, Ordering::SeqCst);
            if parallel::is_ending() && !is_last() {
                Python::attach(|py| py.detach(park));
            }
        }
        DEPTH.set(depth + 1);
        Ok(Self(()))
    }
}

impl Drop for Call {
    #[inline(never)]
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn is_last() -> bool {
    LAST.get().is_some_and(|last| *last == std::thread::current().id())
}

/// Stays here for ever, without the interpreter: the call no longer counts.
fn park() {
    UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
    loop {
        std::thread::park();
    }
}

/// Stays here for ever if the process ends on another thread.
fn park_at_exit() {
    if parallel::is_ending() && !is_last() {
        park();
    }
}

/// Called once all threads but daemons are done, and before the interpreter ends.
#[pyfunction]
pub(super) fn end(py: Python<'_>) {
    if LAST.set(std::thread::current().id()).is_err() {
        return;
    }
    parallel::end();
    let own = usize::from(DEPTH.get() > 0);
    py.detach(|| {
        let until = Instant::now() + PATIENCE;
        while UNDER_WAY.load(Ordering::SeqCst) > own && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Called in a forked child: the calls of the parent's other threads do not go on here.
#[pyfunction]
pub(super) fn forked() {
    UNDER_WAY.store(usize::from(DEPTH.get() > 0), Ordering::SeqCst);
    super::array::forget_claims();
}

/// Has Python call [`end`] and [`forked`].
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(end, module)?,))?;
    let os = py.import("os")?;
    if os.hasattr("register_at_fork")? {
        let hooks = [("after_in_child", wrap_pyfunction!(forked, module)?)];
        let hooks = pyo3::types::IntoPyDict::into_py_dict(hooks, py)?;
        os.call_method("register_at_fork", (), Some(&hooks))?;
    }
    Ok(())
}

/// Whether this is the thread that Python delivers signals to.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    // The process's first thread nearly always is, and otherwise asks in vain.
    if parallel::is_first_thread() {
        return Ok(true);
    }
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?;
    main.getattr(intern!(py, "ident"))?.eq(threading.call_method0(intern!(py, "get_ident"))?)
}

/// Runs work without the interpreter; a signal handler's exception stops it and is what comes out.
pub(super) fn watched<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&Watch<'_>) -> T + Send,
) -> PyResult<T> {
    let interrupt: Mutex<Option<PyErr>> = Mutex::new(None);
    let poll = || {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is not general enough"
        )]
        let checked = Python::try_attach(|py| py.check_signals());
        let Some(Err(error)) = checked else { return false };
        *interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        true
    };
    // Only the main thread answers signals.
    let polls = is_main_thread(py)?;
    let result = py.detach(|| {
        park_at_exit();
        let result = work(&Watch::new(if polls { Some(&poll) } else { None }));
        park_at_exit();
        result
    });
    let interrupted = interrupt.into_inner().unwrap_or_else(PoisonError::into_inner);
    interrupted.map_or(Ok(result), Err)
}
