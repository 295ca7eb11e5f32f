"""Nemotron-H Omni's frames: the grid of the frame's shape with about as many patches as wanted.

Its sides are whole merge blocks: up where that stays within the target, else down.
"""

import math

from . import Measured, Options, Size


def measure(size: Size, options: Options) -> Measured:
    height, width = size
    patch, target = options["patch_size"], options["video_target_num_patches"]
    merge = round(1 / options["downsample_ratio"])
    if not options["video_maintain_aspect_ratio"]:
        side = max(merge, int(math.sqrt(target)) // merge * merge)
        return Measured.stretched(side * patch, side * patch)
    shape = width / height
    grid = [max(1, round(math.sqrt(target / shape))), max(1, round(math.sqrt(target * shape)))]
    if merge > 1:
        up = [-(-side // merge) * merge for side in grid]
        down = [max(merge, side // merge * merge) for side in grid]
        grid = up if up[0] * up[1] <= target else down
    return Measured.stretched(grid[0] * patch, grid[1] * patch)
