"""Phi-4-multimodal: scaled into the grid of tiles that the image fills, and padded.

Where that has too many tiles, the grid of the closest shape.
"""

import math

from .. import sizing
from . import Measured, Options, Size

#: Fewest pixels of a side.
FEWEST = 10
#: Tokens of the whole canvas, of the ends of its rows, and a separator.
ALWAYS = 256 + 16 + 1


def measure(size: Size, options: Options) -> Measured:
    tile, most = options["image_size"], options["dynamic_hd"]
    rows, columns = (math.ceil(side / tile) for side in size)
    if rows * columns > most:
        rows, columns = sizing.closest_aspect_grid(*size, tile, 1, most)
    canvas = rows * tile, columns * tile
    tall, wide = (whole / side for whole, side in zip(canvas, size, strict=True))
    scale = min(tall, wide)
    resized = int(size[0] * scale), int(size[1] * scale)
    # The side that decides is not computed again.
    resized = (resized[0], canvas[1]) if wide < tall else (canvas[0], resized[1])
    if min(resized) < FEWEST:
        raise ValueError("too long")
    return Measured(resized, canvas)


def tokens(size: Size, options: Options) -> int:
    """Each second patch of a tile that holds something of the image, with a newline a row."""
    tile, patch = options["image_size"], options["patch_size"]
    resized, canvas = measure(size, options)
    seen = []
    for side, whole in zip(resized, canvas, strict=True):
        mask = [1] * (tile // patch * (whole // tile))
        hidden = (whole - side) // patch
        if hidden:
            mask[-hidden:] = [0] * min(hidden, len(mask))
        each = tile // patch
        tiles = [mask[i : i + each] for i in range(0, len(mask), each)]
        seen.append(sum(sum(part[::2]) for part in tiles))
    return ALWAYS + seen[0] * seen[1] + seen[0]
