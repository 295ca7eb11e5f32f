"""Idefics 3: the longer side to a length, then up to whole tiles.

An odd shorter side grows by one; no side is above 4096 before tiles are counted.
"""

import math

from . import Measured, Options, Size

MOST = 4096


def first(size: Size, edge: int) -> Size:
    """The first of the resizes."""
    height, width = size
    ratio = width / height
    if width >= height:
        width, height = edge, int(edge / ratio)
        height += height % 2
    else:
        height, width = edge, int(edge * ratio)
        width += width % 2
    height, width = max(1, height), max(1, width)
    ratio = width / height
    if width >= height and width > MOST:
        width, height = MOST, int(MOST / ratio)
    elif height > width and height > MOST:
        height, width = MOST, int(MOST * ratio)
    return max(1, height), max(1, width)


def measure(size: Size, options: Options) -> Measured:
    tile = options["tile_size"]
    height, width = first(size, options["longest_edge"])
    ratio = width / height

    def up(side: int) -> int:
        return math.ceil(side / tile) * tile

    if width >= height:
        width = up(width)
        height = up(int(width / ratio))
    else:
        height = up(height)
        width = up(int(height * ratio))
    return Measured.stretched(height, width)
