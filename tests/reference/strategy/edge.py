"""Pixtral: shrunk into a box, truncated, then stretched up to whole patches."""

import math

from . import Measured, Options, Size


def measure(size: Size, options: Options) -> Measured:
    edge, patch = options["longest_edge"], options["patch_size"]
    ratio = max(side / edge for side in size)
    if ratio > 1:
        size = math.floor(size[0] / ratio), math.floor(size[1] / ratio)
    if 0 in size:
        raise ValueError("a side vanishes")
    return Measured.stretched(*(-(-side // patch) * patch for side in size))
