"""Resizing of 8-bit images, bit for bit as Pillow and as torchvision on the CPU.

Two passes, one for each axis whose length changes, with a rounding to 8 bits after each. The order
of the passes shows in the result, and it depends on the library and its release.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .sizing import Size
from .weights import Filter, FixedTaps, Quantisation, fixed_taps

Image = NDArray[np.uint8]
Numerics = Literal["torchvision", "pillow-12.0", "pillow-12.2", "pillow-13"]
NUMERICS: tuple[Numerics, ...] = ("torchvision", "pillow-12.0", "pillow-12.2", "pillow-13")


def vertical_first(source: Size, target: Size, numerics: Numerics) -> bool:
    """Whether the rows are combined before the columns.

    - `torchvision` and Pillow up to 12.1: never.
    - Pillow 12.2 and 12.3: when the source is more than 100 times as high as wide and shrinks.
    - Pillow 13: when the height shrinks by more than twice what the width shrinks, in pixels (a
      width that grows counts as negative).
    """
    (height, width), (new_height, new_width) = source, target
    if numerics == "pillow-12.2":
        return height > 100 * width and new_height < height
    if numerics == "pillow-13":
        return new_height < height and height - new_height > 2 * (width - new_width)
    return False


def one_pass(image: Image, axis: int, taps: FixedTaps) -> Image:
    """One axis: integer sums that start at a half, shifted back and clamped to 0..255."""
    lines = np.ascontiguousarray(np.moveaxis(image, axis, 0)).astype(np.int32)
    last = len(lines) - 1
    starts = np.array(taps.starts)
    longest = max(len(row) for row in taps.weights)
    weights = np.zeros((len(starts), longest), np.int32)
    for i, row in enumerate(taps.weights):
        weights[i, : len(row)] = row
    sums = np.full((len(starts), *lines.shape[1:]), 1 << (taps.bits - 1), np.int32)
    for k in range(longest):
        sums += weights[:, k, None, None] * lines[np.minimum(starts + k, last)]
    result = np.clip(sums >> taps.bits, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def resize(image: Image, size: Size, resample: Filter, numerics: Numerics) -> Image:
    """`image` (height, width, 3 or 4) at another size; the channels do not mix."""
    source = image.shape[:2]
    quantisation: Quantisation = "torchvision" if numerics == "torchvision" else "pillow"
    axes = (0, 1) if vertical_first(source, size, numerics) else (1, 0)
    result = image.copy()
    for axis in axes:
        if source[axis] != size[axis]:
            taps = fixed_taps(source[axis], size[axis], resample, quantisation)
            result = one_pass(result, axis, taps)
    return result


def reduce(image: Image, factors: tuple[int, int]) -> Image:
    """Pillow's `reduce`: means of blocks of (rows, columns), smaller at the right and the bottom.

    The sum of a block and half its count, times 2**24 through the count; that factor is a float32
    quotient, truncated.
    """
    rows, columns = factors
    height, width = -(-image.shape[0] // rows), -(-image.shape[1] // columns)
    result = np.empty((height, width, image.shape[2]), np.uint8)
    for y in range(height):
        for x in range(width):
            block = image[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns]
            count = block.shape[0] * block.shape[1]
            factor = int(np.float32(2.0**32) / np.float32(256 * count))
            sums = block.sum((0, 1), dtype=np.int64) + count // 2
            result[y, x] = (sums * factor % 2**32) >> 24
    return result


def resize_with_gap(
    image: Image, size: Size, resample: Filter, numerics: Numerics, gap: float
) -> Image:
    """Pillow's `resize(reducing_gap=gap)`: a reduction by whole factors first, where there is room.

    The reduced image may have a last row or column that lies in the original only in part; the
    resize then takes that part. Which pass is first follows from the reduced image's size.
    """
    height, width = image.shape[:2]
    if resample == "nearest":
        return resize(image, size, resample, numerics)
    rows = int(height / size[0] / gap) or 1
    columns = int(width / size[1] / gap) or 1
    if (rows, columns) == (1, 1):
        return resize(image, size, resample, numerics)
    image = reduce(image, (rows, columns))
    extents = (float(np.float32(height / rows)), float(np.float32(width / columns)))
    source = image.shape[:2]
    for axis in (0, 1) if vertical_first(source, size, numerics) else (1, 0):
        if source[axis] != size[axis] or extents[axis] != size[axis]:
            taps = fixed_taps(source[axis], size[axis], resample, "pillow", extents[axis])
            image = one_pass(image, axis, taps)
    return image
