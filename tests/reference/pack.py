"""Where each value goes: padding, tiles, patches. Works on values of any type."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .sizing import Size

Scalar = TypeVar("Scalar", bound=np.generic)


def pad(
    image: NDArray[Scalar], canvas: Size, offset: tuple[int, int], colour: tuple[int, int, int]
) -> NDArray[Scalar]:
    """`image` on a canvas of one colour, its upper left corner at `offset` = (top, left)."""
    height, width = image.shape[:2]
    top, left = offset
    result = np.empty((*canvas, 3), image.dtype)
    result[:] = colour
    result[top : top + height, left : left + width] = image
    return result


def tile(image: NDArray[Scalar], tile_size: Size) -> NDArray[Scalar]:
    """(tiles, 3, tile height, tile width), row by row."""
    height, width = image.shape[:2]
    tile_height, tile_width = tile_size
    tiles = [
        image[y : y + tile_height, x : x + tile_width].transpose(2, 0, 1)
        for y in range(0, height, tile_height)
        for x in range(0, width, tile_width)
    ]
    return np.stack(tiles)


def patchify(
    image: NDArray[Scalar], patch_size: int = 14, merge_size: int = 2, temporal_patch_size: int = 2
) -> NDArray[Scalar]:
    """(patches, 3 * temporal * patch * patch), the Qwen order.

    Patches come in blocks of merge x merge: blocks row by row over the image, patches row by row
    inside a block. A patch holds its channels one after the other, each once for every frame it
    stands for, each copy row by row.
    """
    height, width = image.shape[:2]
    p, m = patch_size, merge_size
    rows, columns = height // (p * m), width // (p * m)
    # axes: block row, row in block, y, block column, column in block, x, channel
    blocks = image.reshape(rows, m, p, columns, m, p, 3)
    patches = blocks.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, 3, 1, p, p)
    return np.repeat(patches, temporal_patch_size, axis=2).reshape(len(patches), -1)


def patch_grid(size: Size, patch_size: int) -> Size:
    return size[0] // patch_size, size[1] // patch_size
