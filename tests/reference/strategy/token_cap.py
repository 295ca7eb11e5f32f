"""Muse: of the four grids around the ideal one, the one whose shape is nearest to the image's."""

import itertools
import math

from . import Measured, Options, Size


def measure(size: Size, options: Options) -> Measured:
    height, width = size
    side, most = options["patch_size"] * options["merge_size"], options["max_image_tokens"]
    rows, columns = height / side, width / side
    shape = columns / rows
    if rows * columns > most:
        rows = (most / shape) ** 0.5
        columns = rows * shape
    around = itertools.product(*[(math.floor(n), math.ceil(n)) for n in (rows, columns)])
    # A set's order decides between grids of one distance, as upstream's does.
    grids = [grid for grid in list(set(around)) if min(grid) >= 1 and grid[0] * grid[1] <= most]
    grids = grids or [(max(1, round(rows)), max(1, round(columns)))]
    best = min(grids, key=lambda grid: abs(grid[0] / grid[1] - height / width))
    return Measured.stretched(best[0] * side, best[1] * side)
