"""Nemotron-H Omni's images: the image's own grid of patches scaled into a range.

Its sides are made whole merge blocks.
"""

import math

from . import Measured, Options, Size

#: Tokens of the context that stay free for text.
TEXT = 4


def measure(size: Size, options: Options) -> Measured:
    patch, least = options["patch_size"], options["min_num_patches"]
    merge = round(1 / options["downsample_ratio"])
    most = max((options["max_model_len"] - TEXT) * merge**2, least)
    if options["max_num_patches"]:
        most = min(most, options["max_num_patches"])
    most = max(most, least)
    # Half is added before rounding, and half to even is rounded: whole numbers may grow by one.
    rows, columns = (round(side / patch + 0.5) for side in size)
    scale = min(1.0, math.sqrt(most / (rows * columns)))
    rows, columns = math.floor(scale * rows), math.floor(scale * columns)
    if rows * columns == 0:
        raise ValueError("no patch is left")
    if most > least and rows * columns < least:
        scale = math.sqrt(least / (rows * columns))
        rows, columns = math.ceil(scale * rows), math.ceil(scale * columns)

    def whole(side: int, other: int) -> int:
        up = -(-side // merge) * merge
        return up if up * other <= most else max(merge, side // merge * merge)

    rows = rows if rows % merge == 0 else whole(rows, columns)
    columns = columns if columns % merge == 0 else whole(columns, rows)
    return Measured.stretched(rows * patch, columns * patch)
