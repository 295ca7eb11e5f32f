//! Laid-out weights, made once and kept.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::error::{Error, Result, push};
use crate::memory;
use crate::resample::{Axis, Filter};
use crate::simd::{Backend, ColumnWeights, RowWeights, Simd};

/// The laid-out weights of a call, each made once, or taken from calls before it.
pub(super) struct Tables {
    pub(super) backend: Simd,
    axes: Mutex<HashMap<AxisKey, Arc<Axis>>>,
    columns: Mutex<HashMap<ColumnsKey, Arc<ColumnWeights>>>,
    rows: Mutex<HashMap<AxisKey, Arc<RowWeights>>>,
}

/// Whose weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// Pillow's, of 22 bits.
    Pillow,
    /// torchvision's, of 16 bits.
    Torch,
    /// The same without antialiasing.
    Sharp,
}

/// Filter, source and target samples, whose weights, and which target samples are made.
pub(super) type AxisKey = (Filter, usize, usize, Whose, (usize, usize));
/// An axis, and bytes a pixel on both sides.
type ColumnsKey = (AxisKey, usize, usize);

impl Tables {
    pub(super) fn new(backend: Simd) -> Self {
        Self {
            backend,
            axes: Mutex::default(),
            columns: Mutex::new(HashMap::new()),
            rows: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn axis(&self, key: AxisKey) -> Result<Arc<Axis>> {
        let (filter, source, target, whose, (start, end)) = key;
        cached(&self.axes, key, || {
            kept("", (key, 0, 0), || {
                let whole = match whose {
                    Whose::Pillow => Axis::new(filter, source, target, false)?,
                    Whose::Torch => Axis::new(filter, source, target, true)?,
                    Whose::Sharp => Axis::sharp(filter, source, target)?,
                };
                if (start, end) == (0, target) { Ok(whole) } else { whole.part(start..end) }
            })
        })
    }

    pub(super) fn columns(
        &self,
        key: AxisKey,
        input: usize,
        output: usize,
    ) -> Result<Arc<ColumnWeights>> {
        cached(&self.columns, (key, input, output), || {
            kept(self.backend.name(), (key, input, output), || {
                self.backend.columns(&*self.axis(key)?, input, output)
            })
        })
    }

    pub(super) fn rows(&self, key: AxisKey) -> Result<Arc<RowWeights>> {
        cached(&self.rows, key, || {
            kept(self.backend.name(), (key, 0, 0), || self.backend.rows(&*self.axis(key)?))
        })
    }
}

fn cached<K: std::hash::Hash + Eq, V>(
    table: &Mutex<HashMap<K, Arc<V>>>,
    key: K,
    make: impl FnOnce() -> Result<Arc<V>>,
) -> Result<Arc<V>> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = table.get(&key) {
        return Ok(Arc::clone(found));
    }
    let bytes = (table.len() + 1).saturating_mul(size_of::<(K, Arc<V>)>());
    memory::fallible(|| table.try_reserve(1)).map_err(|_| Error::OutOfMemory { bytes })?;
    let made = make()?;
    table.insert(key, Arc::clone(&made));
    Ok(made)
}

/// Weights of one kind and backend for one axis, as its number of taps bounds their size.
type Kept = ((TypeId, &'static str), (AxisKey, usize, usize), Arc<dyn Any + Send + Sync>);

/// How many weights are kept from call to call, and for up to how many samples of source and target each: 64 KiB or so.
const KEPT: usize = 32;
const KEPT_SAMPLES: usize = 1 << 13;

/// The weights used last, latest at the end. Nobody waits for them: who finds them taken makes their own, so that a
/// fork at any moment leaves no child stuck.
static LAST: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

fn last() -> Option<MutexGuard<'static, Vec<Kept>>> {
    match LAST.try_lock() {
        Ok(last) => Some(last),
        Err(TryLockError::Poisoned(last)) => Some(last.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn kept<V: Send + Sync + 'static>(
    backend: &'static str,
    key: (AxisKey, usize, usize),
    make: impl FnOnce() -> Result<V>,
) -> Result<Arc<V>> {
    let kind = (TypeId::of::<V>(), backend);
    if let Some(mut last) = last()
        && let Some(at) = last.iter().position(|(k, other, _)| *k == kind && *other == key)
    {
        last[at..].rotate_left(1);
        let found = last.last().map(|(_, _, value)| Arc::clone(value));
        if let Some(Ok(found)) = found.map(Arc::downcast) {
            return Ok(found);
        }
    }
    memory::check()?;
    let made = Arc::new(make()?);
    let (source, target) = (key.0.1, key.0.2);
    if source.saturating_add(target) <= KEPT_SAMPLES
        && !memory::is_short()
        && let Some(mut last) = last()
    {
        if last.len() >= KEPT {
            last.remove(0);
        }
        // Without room the weights are made again next time.
        let _ = push(&mut last, (kind, key, Arc::clone(&made) as Arc<dyn Any + Send + Sync>));
    }
    Ok(made)
}
