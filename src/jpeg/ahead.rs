//! Coefficients that another thread decodes meanwhile: strips of them go forth full and come back clear.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::planes::Planes;
use super::stream::{Layout, NONSENSE, Scanner};
use super::{Reject, Result};
use crate::error::{filled, reserved};
use crate::parallel::Watch;
use crate::simd::Simd;
use crate::simd::jpeg::{Deposit, Group, Kernels, Work};

/// Strips between the threads: enough that neither waits for the other to wake up.
pub(super) const STRIPS: usize = 4;
/// How long one side waits at most before it looks at the watch.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The coefficients of a row of units, chunk after chunk.
type Strip = Vec<Group>;

struct State {
    clear: Vec<Strip>,
    full: VecDeque<Strip>,
    /// What became of the file, once it is known.
    verdict: Option<Result<()>>,
    /// Nobody wants more strips.
    gone: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }
}

/// The side that decodes.
pub(super) struct Ahead<'a> {
    shared: Arc<Shared>,
    scanner: Scanner<'a>,
    /// Groups of a chunk, and rows of units.
    groups: usize,
    rows: usize,
}

/// The side that makes rows of samples.
pub(super) struct Behind<'a> {
    shared: Arc<Shared>,
    layout: Layout,
    watch: Option<&'a Watch<'a>>,
}

/// Both sides of a scan of so many rows of units.
pub(super) fn divided<'a>(
    (scanner, layout): (Scanner<'a>, Layout),
    rows: usize,
    watch: Option<&'a Watch<'a>>,
) -> Result<(Ahead<'a>, Behind<'a>)> {
    let groups = layout.groups();
    let mut clear = reserved(STRIPS)?;
    for _ in 0..STRIPS.min(rows) {
        clear.push(filled([0; 256], layout.chunks() * groups)?);
    }
    let mut full = VecDeque::new();
    full.try_reserve_exact(STRIPS)
        .map_err(|_| crate::error::Error::OutOfMemory { bytes: STRIPS * size_of::<Strip>() })?;
    let state = Mutex::new(State { clear, full, verdict: None, gone: false });
    let shared = Arc::new(Shared { state, changed: Condvar::new() });
    let ahead = Ahead { shared: Arc::clone(&shared), scanner, groups, rows };
    Ok((ahead, Behind { shared, layout, watch }))
}

impl Ahead<'_> {
    /// Decodes to the end of the file, or until nobody wants more.
    pub(super) fn run(mut self, backend: Simd) {
        let verdict = self.decode(backend);
        self.shared.change(|state| state.verdict = Some(verdict));
    }

    fn decode(&mut self, backend: Simd) -> Result<()> {
        for _ in 0..self.rows {
            let Some(mut strip) = self.clear() else { return Ok(()) };
            let work =
                Decoding { scanner: &mut self.scanner, strip: &mut strip, groups: self.groups };
            backend.work(work).ok_or(NONSENSE)?;
            self.shared.change(|state| state.full.push_back(strip));
        }
        self.scanner.end()
    }

    fn clear(&self) -> Option<Strip> {
        let mut state = self.shared.lock();
        loop {
            if state.gone {
                return None;
            }
            if let Some(strip) = state.clear.pop() {
                return Some(strip);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Ahead<'_> {
    /// Whatever happened here, the other side must not wait.
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.verdict.get_or_insert(Err(Reject::Anomaly("decoding was given up")));
        });
    }
}

impl Behind<'_> {
    /// Takes the next row of units, into `planes` where somebody wants it.
    pub(super) fn row(&mut self, backend: Simd, planes: Option<&mut Planes>) -> Result<()> {
        let mut strip = self.wait(|state| {
            // Full strips first: what is wrong with a file is found where one thread would find it.
            let strip = state.full.pop_front().map(Ok);
            strip.or_else(|| Some(Err(state.verdict.clone()?.err().unwrap_or(NONSENSE))))
        })?;
        match planes {
            Some(planes) => {
                let (layout, strip) = (&self.layout, &mut strip);
                backend.work(Transforming { backend, layout, strip, planes });
            }
            None => strip.fill([0; 256]),
        }
        self.shared.change(|state| state.clear.push(strip));
        Ok(())
    }

    /// After the last row: the end of the file must follow.
    pub(super) fn end(&mut self) -> Result<()> {
        self.wait(|state| state.verdict.clone())
    }

    /// Waits until there is an answer.
    fn wait<T>(&self, answer: impl Fn(&mut State) -> Option<Result<T>>) -> Result<T> {
        loop {
            let mut state = self.shared.lock();
            if let Some(answer) = answer(&mut state) {
                return answer;
            }
            let waited = self.shared.changed.wait_timeout(state, LOOK_EVERY);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = answer(&mut state) {
                return answer;
            }
            // Nobody holds the lock while the owner of a call is asked.
            drop(state);
            self.watch.map_or(Ok(()), Watch::check)?;
        }
    }
}

impl Drop for Behind<'_> {
    fn drop(&mut self) {
        self.shared.change(|state| state.gone = true);
    }
}

struct Decoding<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    strip: &'s mut Strip,
    groups: usize,
}

impl Work for Decoding<'_, '_> {
    type Out = Option<()>;

    #[inline(always)]
    fn run<D: Deposit>(self, _deposit: D) -> Option<()> {
        for (chunk, groups) in self.strip.chunks_exact_mut(self.groups).enumerate() {
            self.scanner.chunk(chunk, groups)?;
        }
        Some(())
    }
}

struct Transforming<'s> {
    backend: Simd,
    layout: &'s Layout,
    strip: &'s mut Strip,
    planes: &'s mut Planes,
}

impl Work for Transforming<'_> {
    type Out = ();

    #[inline(always)]
    fn run<D: Deposit>(self, _deposit: D) {
        for (chunk, groups) in self.strip.chunks_exact_mut(self.layout.groups()).enumerate() {
            self.layout.transform(self.backend, chunk, groups, self.planes);
        }
    }
}
