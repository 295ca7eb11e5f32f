"""The largest sample that a processor makes, found by planning images of many sizes."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from . import _dynres_rs as _native
from ._dynres_rs import Spec
from ._types import Temporal
from .processor import Processor

__all__ = ["ALIGNMENT", "largest_bytes", "up"]

ALIGNMENT: Final = 64
"""Bytes that an array in shared memory begins at a multiple of."""
ORDINARY: Final = 20.0
"""The longer side of an ordinary image over the shorter one, at most."""
SQUARES: Final = [round(2 ** (step / 2)) for step in range(6, 35)]
"""Sides of the squares whose areas are tried for the largest sample."""
THIN_AREA: Final = 1 << 30
THIN: Final = (40.0, 100.0, 1000.0, 2.0**14)
THINNEST: Final = (2.0**14, 2.0**16)


def up(number: int, multiple: int) -> int:
    """The next multiple, or the number itself."""
    return -(-number // multiple) * multiple


def largest_bytes(processor: Processor, dtype: Any, temporal: Temporal) -> int:
    """Bytes of the pixels of the largest sample of one image that a search finds.

    The core says what comes of a size, and no more: so sizes are tried, small and large, up to
    `SQUARES[-1]` a side and in all shapes up to `ORDINARY`, then more around the largest. Thinner
    ones count where they come to an end, as they do where an image is cut into so many tiles at
    most. That finds the largest exactly where few sizes can come out. Elsewhere a budget of pixels
    is taken as used up, or else an eighth is added, which is a margin and no proof.
    """
    planned = processor._spec()
    if not planned.resizes:
        raise ValueError("processor: has no largest sample, as it does not resize")
    spec = planned.unlimited()

    def size(height: int, width: int) -> int:
        """Pixels that come of an image, 0 where such images are refused."""
        try:
            return sum(math.prod(view.canvas) for view in spec.plan(height, width, 1).views)
        except (ValueError, OverflowError, MemoryError):
            return 0

    # Twice the side is four times the pixels where nothing ends them; rounding is far less.
    if size(SQUARES[-1], SQUARES[-1]) > 2 * size(SQUARES[-3], SQUARES[-3]):
        raise ValueError(
            "processor: has no largest sample, as larger images make larger ones; limit the size"
            " in its options, or say slot_bytes: SharedRing(slots, slot_bytes)"
        )
    shapes = [1.0, *(ORDINARY ** (step / 12) for step in range(1, 13))]
    thin = [size(*_sides(THIN_AREA, shape)) for shape in THINNEST]
    if 0 < thin[1] <= 1.25 * thin[0]:
        shapes += THIN
    shapes = sorted({*shapes, *(1 / shape for shape in shapes)})
    found = [
        (size(*sides), *sides)
        for side in SQUARES
        for sides in dict.fromkeys(_sides(side * side, shape) for shape in shapes)
    ]
    most, height, width = max(found)
    if not most:
        raise ValueError("processor: has no largest sample, as it refuses images of all sizes")
    for part in (8, 32, 128, 512):
        around = [
            (max(1, height + rows * height // part), max(1, width + columns * width // part))
            for rows in (-2, -1, 0, 1, 2)
            for columns in (-2, -1, 0, 1, 2)
        ]
        most, height, width = max(
            [(most, height, width)]
            + [(size(*sides), *sides) for sides in around if _is_ordinary(*sides)]
        )

    def longest(axis: int) -> tuple[int, int]:
        """The size that makes the tallest view (axis 0), or the widest (axis 1)."""
        return max(
            (max(view.canvas[axis] for view in spec.plan(rows, columns, 1).views), (rows, columns))
            for pixels, rows, columns in found
            if pixels
        )[1]

    # Where images are padded to the largest of a batch, a tall one and a wide one make each other
    # larger than any is alone.
    together = [(height, width), longest(0), longest(1)]
    alone = _arrays_bytes(spec, together[:1], dtype, temporal)
    room = max(alone, -(-_arrays_bytes(spec, together, dtype, temporal) // len(together)))
    used = math.prod(spec.plan(height, width, 1).resized)
    rules = _native.schema(processor.family)
    budgets = [
        int(value)
        for key, value in planned.options.items()
        if key != "max_image_pixels" and rules[key]["kind"] == "budget" and value is not None
    ]
    budget = max(budgets, default=0)
    if used < budget <= 4 * used:
        room = -(-room * budget // used)
    elif len({pixels for pixels, _, _ in found}) > 32:
        room += room // 8  # what the search can have missed
    return up(room, ALIGNMENT)


def _arrays_bytes(spec: Spec, sizes: list[tuple[int, int]], dtype: Any, temporal: Temporal) -> int:
    """Bytes that the arrays of a batch of images of these sizes take."""
    plans = [spec.plan(*sides, 1) for sides in sizes]
    arrays = spec.batch(plans, [1] * len(plans), dtype, temporal).arrays
    return sum(
        up(
            math.prod(shape) * np.dtype("uint16" if kind == "bfloat16" else kind).itemsize,
            ALIGNMENT,
        )
        for _, shape, kind, _ in arrays
    )


def _sides(area: int, shape: float) -> tuple[int, int]:
    """Height and width of about an area; `shape` is the one over the other."""
    side = math.sqrt(area)
    return max(1, round(side * math.sqrt(shape))), max(1, round(side / math.sqrt(shape)))


def _is_ordinary(height: int, width: int) -> bool:
    return max(height, width) <= ORDINARY * min(height, width)
