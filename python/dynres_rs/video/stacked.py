"""Frames between the seconds of a video, on canvases: what the model sees with `stack_frames`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._dynres_rs import Plan
from .frames import Frames, Listed

__all__ = ["Units", "stacked"]

#: A plan of each unit, and of each frame on it its number among those taken, and its row and column
#: on the unit's canvas.
Units = list[tuple[Plan, list[tuple[int, int, int]]]]


def stacked(frames: Frames, units: Units) -> Iterator[Any]:
    """The pixels of each unit: a frame, or several on a canvas of zeros."""
    numbers = [number for _, places in units for number, _, _ in places]
    indices = frames.indices or range(frames.count or 0)
    if not isinstance(frames, Listed):
        # A stream shows its frames in their order: those that come early wait for their unit.
        numbers.sort(key=indices.__getitem__)
    frames.indices = [indices[number] for number in numbers]
    coming = zip(numbers, frames.taken(), strict=True)
    waiting: dict[int, Any] = {}
    for plan, places in units:
        while any(number not in waiting for number, _, _ in places):
            number, pixels = next(coming)
            waiting[number] = pixels
        if len(places) == 1:
            yield waiting.pop(places[0][0])
            continue
        canvas = np.zeros((*plan.source, 3), np.uint8)
        height, width = frames.size()
        for number, row, column in places:
            pixels = np.asarray(waiting.pop(number))
            canvas[row : row + height, column : column + width] = pixels[:, :, :3]
        yield canvas
