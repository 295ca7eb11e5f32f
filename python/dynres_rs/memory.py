"""Memory for outputs, kept and used again: the kernel clears new memory, page by page, and that can
take longer than all of the arithmetic that fills it."""

from __future__ import annotations

import contextlib
import math
import mmap
import sys
import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ._types import U8
from .arguments import _integer

__all__ = ["OUTPUTS", "Kept", "keep_memory"]

LINE: Final = 64
DEFAULT: Final = 128 << 20
LEAST: Final = 4 << 20  # malloc mostly has memory for less at hand
PATIENCE: Final = 16  # calls until a block in use is taken for one that stays so
_COUNTED: Final = bool(getattr(sys, "_is_gil_enabled", lambda: True)())


class Kept:
    """Blocks of memory, each used again as soon as nothing outside refers to it.

    Whatever lies in a block refers to it: numpy's views, memoryviews, tensors. Where references
    cannot be counted, which is without a GIL, nothing is kept.

    Args:
        limit: the most bytes of all blocks, beside a cache line for each.
        least: bytes of an array below which it has memory of its own.
        single: one block, for anything that fits; else as many as the limit holds, each for arrays
            of at least half its size, so that a small one does not hold a large block.
    """

    __slots__ = ("_least", "_limit", "_lock", "_single", "_state")

    # Blocks, and by block the call that it was last for; the oldest first. The first block is none:
    # only the list refers to it, so it has the count of a free one, and its call is the latest.
    _state: tuple[list[U8], list[int]]

    def __init__(self, limit: int, least: int = LEAST, *, single: bool = False) -> None:
        self._lock = threading.Lock()
        self._least = least
        self._single = single
        self.keep(limit)

    @property
    def limit(self) -> int:
        """The most bytes that are kept."""
        return self._limit

    @property
    def nbytes(self) -> int:
        """The bytes that are kept, in use or not."""
        return sum(map(_room, self._state[0][1:]))

    def keep(self, limit: int) -> None:
        """Another limit; lets go of all blocks. Their users keep theirs alive."""
        self._limit = limit
        self.forget()

    def forget(self) -> None:
        """Lets go of all blocks.

        Without the lock: a thread that has it is at work on the lists of before, which end with it.
        """
        self._state = [np.empty(0, np.uint8)], [0]

    def empty(self, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
        """`numpy.empty`, in a block where that pays; there it begins at a cache line."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        # No waiting: this process may be the child of one that held the lock.
        if self._least <= size <= self._limit and _COUNTED and self._lock.acquire(blocking=False):
            try:
                block = self._block(size)
                # What the block is for must refer to it before the lock is free.
                return np.ndarray(shape, kind, block, -block.ctypes.data % LINE)
            except MemoryError:
                self.forget()
            finally:
                self._lock.release()
        return np.empty(shape, kind)

    def _block(self, size: int) -> U8:
        # In this order: lists made after a change of the limit come with the limit of after.
        (blocks, used), limit = self._state, self._limit
        used[0] = now = used[0] + 1
        rooms = list(map(_room, blocks))
        # No Python code in between, where the interpreter's own references might differ.
        counts = list(map(sys.getrefcount, blocks))
        free = [count == counts[0] for count in counts]
        fitting = [
            (room, -at)  # of equal ones the one used last, which the cache may know
            for at, room in enumerate(rooms)
            if at and free[at] and size <= room and (self._single or room <= 2 * size)
        ]
        if fitting:
            at = -min(fitting)[1]
            blocks.append(blocks.pop(at))
            del used[at]
            used.append(now)
            return blocks[-1]
        # Those in use stay, too, for they may soon be free; else a loop that holds a little more
        # than the limit would always find its blocks forgotten. Not if they are in use for good.
        others = 0 if self._single else limit - size
        kept, going = sum(rooms[1:]), []
        for at in range(1, len(blocks)):
            if kept > others and (free[at] or now - used[at] > PATIENCE):
                going.append(at)
                kept -= rooms[at]
        if kept > others:
            return _new(size + LINE)
        for at in reversed(going):  # before another comes, so that there is never more
            del blocks[at], used[at]
        blocks.append(_new(size + LINE))
        used.append(now)
        return blocks[-1]


def _room(block: U8) -> int:
    return block.size - LINE


def _new(size: int) -> U8:
    """Memory from the kernel itself, in its large pages where it has them.

    What malloc hands out was often used before, and then lies in small pages for good: storing to
    those takes a tenth more time.
    """
    if size < LEAST or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(size, np.uint8)
    try:
        # Private: a child that was forked has a copy.
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        raise MemoryError from None
    with contextlib.suppress(OSError):  # a kernel without large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


OUTPUTS: Final = Kept(DEFAULT)


def keep_memory(limit: int) -> int:
    """How much memory of outputs is kept for the outputs of later calls, in this process.

    The memory of an output of 4 MiB or more is used again as soon as nothing refers to it: neither
    the array, nor a view, a memoryview or a tensor made of it. Results that are alive never share
    memory. What is kept at first is 128 MiB at most. An array in such memory does not own it:
    `ndarray.resize`, which changes an array's own size, refuses it.

    Args:
        limit: bytes of all that is kept, used or unused; an output that is larger is never kept.
            0 switches it off. Either way all that was kept before is let go.

    Returns:
        the limit before.

    Raises:
        TypeError: no integer.
        ValueError: below 0, or of more than 64 bits.
    """
    number = _integer("limit", limit)
    if number < 0:
        raise ValueError(f"limit: must be at least 0, got {number}")
    before = OUTPUTS.limit
    OUTPUTS.keep(number)
    return before


def _empty(key: str, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    """An array to return, with a `MemoryError` that takes one string."""
    try:
        return OUTPUTS.empty(shape, kind)
    except MemoryError:
        raise MemoryError(
            f"{key}: cannot allocate {math.prod(shape) * np.dtype(kind).itemsize} bytes for"
            f" {kind} of the shape {shape}"
        ) from None
