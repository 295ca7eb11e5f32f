"""SigLIP 2: the largest scale at which the image has no more patches than allowed.

It is found by halving an interval.
"""

import math

from . import Measured, Options, Size

NEAR = 1e-5
LARGEST = 100.0


def measure(size: Size, options: Options) -> Measured:
    patch, most = options["patch_size"], options["max_num_patches"]

    def patches(scale: float) -> Size:
        rows, columns = (max(1, math.ceil(side * scale / patch)) for side in size)
        return rows, columns

    fits, exceeds = NEAR / 10, LARGEST
    while exceeds - fits >= NEAR:
        middle = (fits + exceeds) / 2
        rows, columns = patches(middle)
        if rows * columns <= most:
            fits = middle
        else:
            exceeds = middle
    rows, columns = patches(fits)
    return Measured.stretched(rows * patch, columns * patch)
