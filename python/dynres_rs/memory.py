"""Memory for outputs, kept and used again: see `keep_memory`."""

from __future__ import annotations

from typing import Final

from ._dynres_rs import Kept, integer

__all__ = ["OUTPUTS", "keep_memory"]

DEFAULT: Final = 128 << 20

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
    number = integer("limit", limit)
    if number < 0:
        raise ValueError(f"limit: must be at least 0, got {number}")
    before = OUTPUTS.limit
    OUTPUTS.keep(number)
    return before
