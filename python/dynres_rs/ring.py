"""Samples from worker processes without a copy: slots of shared memory that are used again.

    ring = SharedRing.for_processor(processor, slots=8, dtype="uint8")  # before the workers start
    sample = ring.put(processor, image, dtype="uint8")  # in a worker: written into a slot
    # what the other process receives is a dict of arrays that lie in that slot

A slot is free again once the last array in it is gone, on both sides. Where no slot is free, or a
sample does not fit, it travels as any other object does: nobody ever waits for a slot.
`dynres_rs.torch.SharedRing` is the same with tensors.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import secrets
import struct
import tempfile
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from multiprocessing import context, parent_process, reduction
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ._dynres_rs import integer, side
from ._types import Batch, Temporal
from .arguments import _dtype
from .largest import ALIGNMENT, largest_bytes, up
from .processor import Processor

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Sample", "SharedRing"]

T = TypeVar("T")

# The table at the start of the memory: a row of int64 for each slot, a cache line each, and one
# more with counts. `HERE` is written by the process that puts, `THERE` from 0 by the same and to 0
# by the one that receives; a slot is free where both are 0.
HERE: Final = 0  # the process that has arrays in it since it put them there, or 0
THERE: Final = 1  # the process that received them and has some, FLYING on the way, or 0
SENDER: Final = 2
GENERATION: Final = 3  # how often it has been sent
SENT_AT: Final = 4  # nanoseconds of the monotonic clock
ROW: Final = 8
MISSED: Final = 0  # of the last row
LARGEST: Final = 1
READERS: Final = range(2, ROW)  # processes that have received; -1 where there were more than fit

FLYING: Final = -1
BFLOAT16: Final = "int16"  # as tensors' bits are seen by numpy
SMALL: Final = 1 << 16
"""Bytes of a value up to which it is sent in the message itself."""
LOST_AFTER: Final = 60_000_000_000
"""Nanoseconds until a message of a process that has ended counts as lost."""
OFD_LOCKS: Final = fcntl is not None and hasattr(fcntl, "F_OFD_SETLK")
"""Whether there are locks that go along with open files, and so with a fork: on Linux."""
_FLOCK: Final = struct.Struct("hhqqi4x")
"""Linux' `struct flock` on 64 bits: type, whence, start, length, process."""
PROCESSES: Final = 1 << 32
"""Where the file locks begin by which processes show that they live, beyond those of the slots."""


class Sample(Batch):
    """What `SharedRing.put` returns: a dict of arrays, or tensors, that may lie in a slot.

    On its way to another process, through a `DataLoader` or `multiprocessing`, what lies in the
    slot is sent as a place and the rest as it is; a plain dict arrives. Keys may be added, replaced
    and deleted before. A new dict with its values, such as `{**sample, ...}`, is sent as any other,
    and so is what `pickle` and `copy.deepcopy` make of it.
    """

    __slots__ = ("_place",)

    _place: _Place | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place = None

    def __copy__(self) -> Sample:
        """A new dict of the same arrays, sent as this one is."""
        made = Sample(self)
        made._place = self._place
        return made

    copy = __copy__

    def __deepcopy__(self, memo: dict[int, Any]) -> Batch:
        return deepcopy(dict(self), memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


class _Place(NamedTuple):
    """The slot of a sample, alive as long as this is."""

    ring: SharedRing
    slot: int
    memory: Any


class _Memory:
    """Memory that processes share through a file without a name, and locks on that file.

    The locks are POSIX record locks: they belong to a process and end with it, however it ends.

    Forked children have the arrays that their parent had, which the table does not count. They hold
    locks of the other kind, which go along with open files, on a file of their own: a process that
    closes any descriptor of a file loses all its record locks on that file.
    """

    def __init__(self, fd: int, forks: int, slots: int, slot_bytes: int) -> None:
        self.fd = fd
        self.forks = forks
        self.last = ROW * slots
        self.live: set[int] = set()
        """Places in the table that this process has set, whose arrays are alive."""
        self.held: dict[int, int] = {}
        """For a forked child: the open files that hold what its parent's arrays lie in."""
        self.going: dict[int, int] = {}
        """The same while this process forks."""
        self.reads = 0
        """The process that is listed as a reader."""
        self.first = up((slots + 1) * ROW * 8, mmap.PAGESIZE)
        self.map = mmap.mmap(fd, self.first + slots * slot_bytes)
        with contextlib.suppress(AttributeError, OSError):  # where the system has them for this
            self.map.madvise(mmap.MADV_HUGEPAGE)
        self.table = memoryview(self.map)[: (slots + 1) * ROW * 8].cast("q")
        self.mutex = threading.Lock()
        """Locks on files do not tell the threads of a process apart."""
        self.alive = 0
        """The process that has shown that it lives."""

    def __del__(self) -> None:
        os.close(self.fd)
        os.close(self.forks)

    def before_fork(self) -> None:
        """Holds for the child what this process has arrays in; the child keeps the open files."""
        if not OFD_LOCKS:
            return
        for at in list(self.live):
            try:
                held = os.open(f"/proc/self/fd/{self.forks}", os.O_RDWR | os.O_CLOEXEC)
            except OSError:  # no /proc, or no descriptor left: as if there were no such locks
                continue
            self.going[at] = held
            with contextlib.suppress(OSError):
                fcntl.fcntl(held, fcntl.F_OFD_SETLK, _flock(fcntl.F_RDLCK, at // ROW))

    def after_fork_in_parent(self) -> None:
        for held in self.going.values():
            os.close(held)
        self.going.clear()

    def after_fork_in_child(self) -> None:
        for at, held in self.going.items():
            if at in self.live:
                self.held[at] = held
            else:  # let go of by another thread of the parent meanwhile
                os.close(held)
        self.going.clear()
        self.live.clear()

    def is_held(self, slot: int) -> bool:
        """Whether a forked child has its parent's arrays in a slot."""
        if not OFD_LOCKS:
            return False
        asked = fcntl.fcntl(self.forks, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, slot))
        return bool(_FLOCK.unpack(asked)[0] != fcntl.F_UNLCK)

    def has_read(self) -> None:
        """Lists this process as one that receives; the last row of the table is locked."""
        pid = self.show()
        if self.reads == pid:
            return
        fields = [self.last + field for field in READERS]
        for at in fields:
            if self.table[at] == 0 or (self.table[at] > 0 and not self.lives(self.table[at])):
                self.table[at] = pid
                break
        else:
            self.table[fields[0]] = -1
        self.reads = pid

    def readers_ended(self) -> bool:
        """Whether there were processes that received, and none of them lives."""
        readers = [pid for field in READERS if (pid := self.table[self.last + field])]
        return bool(readers) and not any(pid < 0 or self.lives(pid) for pid in readers)

    def lock(self, at: int, wait: bool) -> bool:
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, at)
        except OSError:
            return False
        return True

    def unlock(self, at: int) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, at)

    def show(self) -> int:
        """Keeps a lock that says that this process lives; returns its number."""
        pid = os.getpid()
        if self.alive != pid and self.lock(PROCESSES + pid, True):
            self.alive = pid
        return pid

    def lives(self, pid: int) -> bool:
        if pid == os.getpid():
            return True
        ended = self.lock(PROCESSES + pid, False)
        if ended:
            self.unlock(PROCESSES + pid)
        return not ended

    def is_free(self, slot: int, lost_after: int | None) -> bool:
        """Whether nobody has arrays in a slot; `lost_after` counts those who have ended out.

        `HERE` is read before `THERE`: whoever sends sets `THERE` first, then clears `HERE`.
        """
        row = ROW * slot
        here = self.table[row + HERE]
        there = self.table[row + THERE]
        if here == there == 0:
            return not self.is_held(slot)
        if lost_after is None or (here and self.lives(here)):
            return False
        if self.is_held(slot):
            return False
        if there != FLYING:
            return not there or not self.lives(there)
        age = time.monotonic_ns() - self.table[row + SENT_AT]
        return age >= lost_after and (
            not self.lives(self.table[row + SENDER]) or self.readers_ended()
        )


_RINGS: weakref.WeakValueDictionary[str, SharedRing] = weakref.WeakValueDictionary()
_KEPT: list[Any] = []
"""In workers: their locks would end with the ring's file."""


def _before_fork() -> None:
    for ring in list(_RINGS.values()):
        ring._memory.before_fork()


def _after_fork_in_parent() -> None:
    for ring in list(_RINGS.values()):
        ring._memory.after_fork_in_parent()


def _after_fork() -> None:
    for ring in list(_RINGS.values()):
        ring._memory.after_fork_in_child()
        ring._memory.mutex = threading.Lock()  # a thread of the parent may have held it
        ring._warm = []
        ring._is_workers_own = False
        _KEPT.append(ring)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
    )


class SharedRing:
    """Slots of shared memory through which workers hand over what they have preprocessed.

    Made before the workers are started, and given to them with the dataset, as an argument of
    `Process` or `Pool`, or by `fork`. Threads and processes may use it at once, and it does not
    matter which of them puts and which receives. The memory has no name in the file system, is
    taken page by page as samples need it, and is gone with the last process that has it.

    Args:
        slots: how many samples may be in use at once: those that the workers have ready, and those
            that the receiver has not let go of. For a `DataLoader` that is
            `num_workers * (prefetch_factor + 1) + 2` for each sample of a batch, and those that
            are kept.
        slot_bytes: room for the arrays of pixels of one sample.

    Raises:
        TypeError: arguments that are no integers.
        ValueError: an argument below 1, 2**31 slots or 2**62 bytes.
        OSError: no such memory on this system.
    """

    tensors: ClassVar[str] = "np"

    def __init__(self, slots: int, slot_bytes: int) -> None:
        slots = side("slots", slots)
        size = _bytes("slot_bytes", slot_bytes)
        if fcntl is None:
            raise OSError("SharedRing: this system has no locks on files")
        self._set(secrets.token_hex(8), _unnamed(slots, size), _unnamed(slots, 0), slots, size)
        self._is_workers_own = parent_process() is not None

    @classmethod
    def for_processor(
        cls,
        processor: Processor,
        slots: int,
        *,
        images: int = 1,
        dtype: Any = None,
        temporal: Temporal = "expand",
    ) -> Self:
        """A ring whose slots hold the largest sample that a processor makes of ordinary images.

        Args:
            processor: whose options limit the pixels or tiles of an image.
            slots: as in the constructor.
            images: the most of a sample.
            dtype: as in the call.
            temporal: as in the call.

        Raises:
            TypeError: no processor.
            ValueError: there is no largest sample: nothing is resized, or larger images make larger
                samples without end. Give the constructor `slot_bytes` then.

        For Qwen that is `max_pixels`. Others are sized by planning images of many sizes, up to 20
        times as long as wide: exact where few sizes can come out, as of tiles, and close elsewhere.
        Thinner images can need more, and so can any where `max_pixels` is hardly above
        `min_pixels`. What has no room goes the ordinary way, and `missed` and `largest` say so.
        """
        if not isinstance(processor, Processor):
            raise TypeError(f"processor: must be a Processor, got {type(processor).__name__}")
        one = largest_bytes(processor, None if dtype is None else _dtype(dtype), temporal)
        return cls(slots, one * side("images", images))

    def _set(self, name: str, fd: int, forks: int, slots: int, slot_bytes: int) -> None:
        self._name = name
        self._slots = slots
        self._slot_bytes = slot_bytes
        self._memory = _Memory(fd, forks, slots, slot_bytes)
        self._is_workers_own = False
        """Made in a worker: whoever receives its samples will not have it."""
        self._warm: list[int] = []
        """Slots that this process has put into, the last one last: their pages are at hand."""
        _RINGS[name] = self

    @property
    def slots(self) -> int:
        """How many there are."""
        return self._slots

    @property
    def slot_bytes(self) -> int:
        """Bytes of each, whole pages."""
        return self._slot_bytes

    @property
    def free(self) -> int:
        """Slots without an array in them, anywhere."""
        return sum(self._memory.is_free(slot, None) for slot in range(self._slots))

    @property
    def missed(self) -> int:
        """Samples that went the ordinary way, wholly or in part, in all processes."""
        return self._memory.table[ROW * self._slots + MISSED]

    @property
    def largest(self) -> int:
        """Bytes of the largest sample so far, in all processes: what `slot_bytes` should be."""
        return self._memory.table[ROW * self._slots + LARGEST]

    def put(self, processor: Callable[..., Batch], *args: Any, **call: Any) -> Sample:
        """Calls `processor(*args, **call)` with arrays of pixels that lie in a free slot.

        Args:
            processor: a `Processor` or a `VideoProcessor`.
            *args: of its call.
            **call: of its call, without `out` and `return_tensors`.

        Returns:
            what the processor returned. Where there was no slot or no room, it has its own memory;
            `missed` then is one more.

        Raises:
            Exception: what the processor raised; the slot is free again.
        """
        room = _Room(self)
        sample = Sample(processor(*args, out=room, return_tensors=self.tensors, **call))
        if room.place is not None:
            sample._place = room.place
        if room.missed or room.asked > self.largest:
            self._count(int(room.missed), room.asked)
        return sample

    def batches(self, loader: Iterable[T]) -> Iterator[T]:
        """What `loader` yields, with `reclaim()` before and after, also where the loop is left.

        Not more than that: a plain `for batch in loader` receives the same. A `DataLoader` whose
        loop is left early ends its workers with samples on the way, whose slots would be free only
        a minute later.
        """
        self.reclaim()
        iterator = iter(loader)
        try:
            yield from iterator
        finally:
            del iterator  # and with it the workers, if nobody else has it
            self.reclaim()

    def reclaim(self) -> int:
        """Frees the slots of samples that were lost on the way; returns how many.

        Lost are those that have not arrived though the process that sent them has ended, or every
        process that ever received from this ring. This happens by itself after a minute, when a
        slot is needed. Call it only while no reader that has not received yet is about to.
        """
        found = 0
        memory = self._memory
        for slot in range(self._slots):
            if memory.is_free(slot, None) or not memory.is_free(slot, 0):
                continue
            with self._locked(slot):
                if memory.is_free(slot, 0):
                    memory.table[ROW * slot + HERE] = memory.table[ROW * slot + THERE] = 0
                    found += 1
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        fd = reduction.DupFd(self._memory.fd)
        forks = reduction.DupFd(self._memory.forks)
        return _again, (type(self), self._name, fd, forks, self._slots, self._slot_bytes)

    def __repr__(self) -> str:
        return (
            f"SharedRing(slots={self._slots}, slot_bytes={self._slot_bytes}): {self.free} free,"
            f" {self.missed} missed"
        )

    @contextlib.contextmanager
    def _locked(self, at: int) -> Iterator[None]:
        with self._memory.mutex:
            self._memory.lock(at, True)
            try:
                yield
            finally:
                self._memory.unlock(at)

    def _count(self, missed: int, largest: int) -> None:
        row = ROW * self._slots
        table = self._memory.table
        with self._locked(self._slots):
            table[row + MISSED] += missed
            table[row + LARGEST] = max(table[row + LARGEST], largest)

    def _claim(self) -> _Place | None:
        """A free slot for this process, warm ones first; None where there is none."""
        memory = self._memory
        with memory.mutex:
            pid = memory.show()
            warm = self._warm[::-1]
            order = warm + [slot for slot in range(self._slots) if slot not in warm]
            for lost_after in (None, LOST_AFTER):
                for slot in order:
                    if not memory.is_free(slot, lost_after) or not memory.lock(slot, False):
                        continue
                    try:
                        if not memory.is_free(slot, lost_after):
                            continue
                        memory.table[ROW * slot + THERE] = 0
                        memory.table[ROW * slot + HERE] = pid
                    finally:
                        memory.unlock(slot)
                    if slot in warm:
                        self._warm.remove(slot)
                    self._warm.append(slot)
                    return _Place(self, slot, self._view(slot, HERE))
        return None

    def _view(self, slot: int, field: int) -> Any:
        """The bytes of a slot as the base of arrays; with the last of them goes the claim."""
        memory = self._memory
        kind = ctypes.c_ubyte * self._slot_bytes
        view = kind.from_buffer(memory.map, memory.first + slot * self._slot_bytes)
        memory.live.add(ROW * slot + field)
        end = weakref.finalize(view, _release, memory, ROW * slot + field, os.getpid())
        end.atexit = False
        return view

    def _send(self, slot: int) -> int | None:
        """The generation under which a slot is sent; None while it is still out from before."""
        table = self._memory.table
        row = ROW * slot
        with self._memory.mutex:
            if table[row + THERE] != 0 or table[row + HERE] != os.getpid():
                return None
            table[row + GENERATION] += 1
            table[row + SENDER] = os.getpid()
            table[row + SENT_AT] = time.monotonic_ns()
            table[row + THERE] = FLYING
            return table[row + GENERATION]

    def _receive(self, slot: int, generation: int) -> Any:
        table = self._memory.table
        row = ROW * slot
        with self._locked(slot):
            if (table[row + THERE], table[row + GENERATION]) != (FLYING, generation):
                raise RuntimeError(
                    "SharedRing: a sample arrived twice, or after its slot was reclaimed because"
                    " the process that sent it had ended"
                )
            table[row + THERE] = self._memory.show()
        if self._memory.reads != os.getpid():
            with self._locked(self._slots):
                self._memory.has_read()
        return self._view(slot, THERE)

    # What a sample's values are; `dynres_rs.torch` has tensors.

    def _as_array(self, value: Any) -> tuple[NDArray[Any], str] | None:
        """A value as an array over its memory, and the name of its type; None for others."""
        if type(value) is np.ndarray and value.dtype.kind in "biufc" and value.dtype.isnative:
            return value, value.dtype.str
        return None

    def _from_array(self, array: NDArray[Any], kind: str) -> Any:
        """The value again."""
        return array


class _Room:
    """A function for a processor's `out`: one array after the other in a slot."""

    def __init__(self, ring: SharedRing) -> None:
        self.ring = ring
        self.place: _Place | None = None
        self.missed = False
        self.asked = 0

    def __call__(
        self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any] | None:
        size = math.prod(shape) * dtype.itemsize
        if size == 0:
            return None
        start = up(self.asked, ALIGNMENT)
        self.asked = start + size
        if self.asked <= self.ring.slot_bytes and self.place is None and not self.missed:
            self.place = self.ring._claim()
        if self.asked > self.ring.slot_bytes or self.place is None:
            self.missed = True
            return None
        return np.ndarray(shape, dtype, self.place.memory, start)


# On the way


class _Placed(NamedTuple):
    offset: int
    shape: tuple[int, ...]
    kind: str


class _Small(NamedTuple):
    array: NDArray[Any]
    kind: str


def _pickled(sample: Sample) -> tuple[Any, ...]:
    """How `multiprocessing` sends a sample."""
    place = sample._place
    if place is None or context.get_spawning_popen() is not None:
        return dict, (dict(sample),)
    if place.ring._is_workers_own:
        warnings.warn(
            "SharedRing: made in a worker, so its samples are sent as others are; make it before"
            " the workers start and hand it to them, as an attribute of the dataset",
            RuntimeWarning,
            stacklevel=2,
        )
        return dict, (dict(sample),)
    generation = place.ring._send(place.slot)
    if generation is None:
        return dict, (dict(sample),)
    return _arrived, (place.ring._name, place.slot, generation, _parts(sample, place))


def _parts(sample: Sample, place: _Place) -> Batch:
    """The values of a sample: those in its slot by their place, and small ones in the message."""
    parts: Batch = {}
    first = ctypes.addressof(place.memory)
    for key, value in sample.items():
        parts[key] = value
        if (found := place.ring._as_array(value)) is None:
            continue
        array, kind = found
        offset = array.__array_interface__["data"][0] - first
        inside = 0 <= offset <= place.ring.slot_bytes - array.nbytes
        if array.nbytes and inside and array.flags.c_contiguous:
            parts[key] = _Placed(offset, array.shape, kind)
        elif array.nbytes <= SMALL:
            parts[key] = _Small(array, kind)
    return parts


def _arrived(name: str, slot: int, generation: int, parts: Batch) -> Batch:
    """A sample as the other process has it."""
    ring = _RINGS.get(name)
    if ring is None:
        raise RuntimeError("SharedRing: a sample arrived in a process that does not have its ring")
    view = ring._receive(slot, generation)
    for key, part in parts.items():
        if isinstance(part, _Placed):
            dtype = np.dtype(BFLOAT16 if part.kind == "bfloat16" else part.kind)
            array: NDArray[Any] = np.ndarray(part.shape, dtype, view, part.offset)
            parts[key] = ring._from_array(array, part.kind)
        elif isinstance(part, _Small):
            parts[key] = ring._from_array(part.array, part.kind)
    return parts


reduction.ForkingPickler.register(Sample, _pickled)


def _again(
    cls: type[SharedRing], name: str, fd: Any, forks: Any, slots: int, slot_bytes: int
) -> SharedRing:
    """The ring in a process that was started with it."""
    there = _RINGS.get(name)
    if there is not None:
        return there
    ring = cls.__new__(cls)
    ring._set(name, fd.detach(), forks.detach(), slots, slot_bytes)
    _KEPT.append(ring)
    return ring


def _flock(kind: int, at: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, at, 1, 0)


def _release(memory: _Memory, at: int, pid: int) -> None:
    """The last array in a slot is gone: the claim ends, or what a forked child held of it."""
    if os.getpid() == pid:
        memory.live.discard(at)
        memory.table[at] = 0
    elif (held := memory.held.pop(at, None)) is not None:
        os.close(held)


# Sizes


def _bytes(name: str, value: object) -> int:
    number = integer(name, value)
    if not 0 < number < 1 << 62:
        raise ValueError(f"{name}: must be in 1..2**62, got {number}")
    return up(number, mmap.PAGESIZE)


def _unnamed(slots: int, slot_bytes: int) -> int:
    """A descriptor of memory without a name: it needs no room in /dev/shm, and leaves nothing."""
    size = up((slots + 1) * ROW * 8, mmap.PAGESIZE) + slots * slot_bytes
    if size >= 1 << 62:
        raise ValueError(f"slots * slot_bytes: must be below 2**62, got {size}")
    try:
        fd = os.memfd_create("dynres_rs ring", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # another system, or it is forbidden
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd
