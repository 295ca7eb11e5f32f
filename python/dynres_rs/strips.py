"""Patches side by side in one strip, as MiniCPM-V's models take them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_strip", "in_strips", "stripped", "unstripped"]

#: Values that are copied at a time.
_PART: Final = 1 << 21


def unstripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the patches of a strip (1, channels, patch size, patches * patch size)."""
    _, channels, side, length = shape
    return length // side, channels, side, side


def stripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the strip of patches (patches, channels, patch size, patch size)."""
    count, channels, side, _ = shape
    return 1, channels, side, count * side


def in_strip(patches: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    """Patches (patches, channels, side, side) side by side: (1, channels, side, patches * side)."""
    count, channels, side, _ = patches.shape
    strip = np.empty(stripped(patches.shape), patches.dtype) if out is None else out
    rows = strip.reshape(channels, side, count, side)
    step = max(1, _PART // (channels * side * side))
    for start in range(0, count, step):  # signals are answered in between
        rows[:, :, start : start + step] = patches[start : start + step].transpose(1, 2, 0, 3)
    return strip


def in_strips(patches: NDArray[Any], samples: list[list[int]]) -> list[list[NDArray[Any]]]:
    """The strip (channels, side, patches * side) of each view, a list a sample; `samples`: how many
    patches each has."""
    end = 0
    strips: list[list[NDArray[Any]]] = []
    for views in samples:
        strips.append([])
        for count in views:
            end += count
            strips[-1].append(in_strip(patches[end - count : end], None)[0])
    return strips
