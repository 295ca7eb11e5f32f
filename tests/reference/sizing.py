"""Sizes from sizes: integers and float64, no pixels.

Python's `round` goes half to even, `int` truncates, and every `/` is a float64 division. The
order of the float operations is part of each rule.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

Size = tuple[int, int]

MAX_RATIO = 200
RatioOrder = Literal["internvl", "transformers"]


def _check_ratio(height: int, width: int) -> None:
    """A long side of exactly 200 times the short one is still allowed."""
    ratio = max(height, width) / min(height, width)
    if ratio > MAX_RATIO:
        raise ValueError(f"aspect ratio {ratio} is above {MAX_RATIO}")


def _shrink(side: int, beta: float, factor: int) -> int:
    """The largest multiple of `factor` in `side / beta`: two divisions, not one by a product."""
    return math.floor(side / beta / factor) * factor


def _grow(side: int, beta: float, factor: int) -> int:
    return math.ceil(side * beta / factor) * factor


def smart_resize(
    height: int, width: int, factor: int = 28, min_pixels: int = 3136, max_pixels: int = 1_003_520
) -> Size:
    """transformers' rule of the Qwen family: multiples of `factor` inside a budget of pixels.

    A side below half a factor rounds to 0; the product is then under any budget and grows again.
    """
    _check_ratio(height, width)
    new_height = round(height / factor) * factor
    new_width = round(width / factor) * factor
    if new_height * new_width > max_pixels:
        beta = math.sqrt((height * width) / max_pixels)
        new_height = max(factor, _shrink(height, beta, factor))
        new_width = max(factor, _shrink(width, beta, factor))
    elif new_height * new_width < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        new_height = _grow(height, beta, factor)
        new_width = _grow(width, beta, factor)
    return new_height, new_width


def smart_resize_qwen_vl_utils(
    height: int,
    width: int,
    factor: int = 28,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> Size:
    """qwen-vl-utils' rule: sides are at least one factor before the test, and may vanish after it.

    The budget defaults to 4 and 16384 factors squared.
    """
    min_pixels = 4 * factor**2 if min_pixels is None else min_pixels
    max_pixels = 16384 * factor**2 if max_pixels is None else max_pixels
    if max_pixels < min_pixels:
        raise ValueError(f"max_pixels {max_pixels} is below min_pixels {min_pixels}")
    _check_ratio(height, width)
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > max_pixels:
        beta = math.sqrt((height * width) / max_pixels)
        new_height = _shrink(height, beta, factor)
        new_width = _shrink(width, beta, factor)
    elif new_height * new_width < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        new_height = _grow(height, beta, factor)
        new_width = _grow(width, beta, factor)
    return new_height, new_width


def smart_resize_video(
    num_frames: int,
    height: int,
    width: int,
    temporal_factor: int = 2,
    factor: int = 32,
    min_pixels: int = 131_072,
    max_pixels: int = 786_432,
) -> Size:
    """Qwen3-VL's rule for videos: the budget counts the pixels of all frames.

    A side below one factor is scaled up first (truncating), before the ratio is looked at. The
    test counts frames rounded to the temporal factor, the scale counts them as they are.
    """
    if num_frames < temporal_factor:
        raise ValueError(f"{num_frames} frames are fewer than temporal_factor {temporal_factor}")
    if height < factor or width < factor:
        scale = max(factor / height, factor / width)
        height, width = int(height * scale), int(width * scale)
    _check_ratio(height, width)
    new_height = round(height / factor) * factor
    new_width = round(width / factor) * factor
    frames = round(num_frames / temporal_factor) * temporal_factor
    if frames * new_height * new_width > max_pixels:
        beta = math.sqrt((num_frames * height * width) / max_pixels)
        new_height = max(factor, _shrink(height, beta, factor))
        new_width = max(factor, _shrink(width, beta, factor))
    elif frames * new_height * new_width < min_pixels:
        beta = math.sqrt(min_pixels / (num_frames * height * width))
        new_height = _grow(height, beta, factor)
        new_width = _grow(width, beta, factor)
    return new_height, new_width


def _grids(min_tiles: int, max_tiles: int) -> Iterator[tuple[int, int]]:
    """Every (columns, rows) with an allowed number of tiles, columns outermost."""
    for columns in range(1, max_tiles + 1):
        for rows in range(1, max_tiles + 1):
            if min_tiles <= columns * rows <= max_tiles:
                yield columns, rows


@cache
def aspect_ratios(
    min_tiles: int = 1, max_tiles: int = 12, order: RatioOrder = "internvl"
) -> tuple[tuple[int, int], ...]:
    """The candidate grids as (columns, rows), fewest tiles first.

    Among grids of as many tiles, transformers keeps columns ascending. InternVL's own code sorts a
    Python set, filled by growing squares of n x n, so that CPython's hash table decides; tuples of
    small integers hash alike in every CPython since 3.8.
    """
    if order == "transformers":
        grids = list(_grids(min_tiles, max_tiles))
    else:
        unordered: set[tuple[int, int]] = set()
        for n in range(min_tiles, max_tiles + 1):
            for columns in range(1, n + 1):
                for rows in range(1, n + 1):
                    if min_tiles <= columns * rows <= max_tiles:
                        unordered.add((columns, rows))
        grids = list(unordered)
    return tuple(sorted(grids, key=lambda grid: grid[0] * grid[1]))


def closest_aspect_grid(
    height: int,
    width: int,
    tile_size: int | Size = 448,
    min_tiles: int = 1,
    max_tiles: int = 12,
    order: RatioOrder = "internvl",
) -> tuple[int, int]:
    """The (rows, columns) whose aspect ratio is closest to the image's.

    Among equally close grids a later one (with more tiles) wins when the image has more than half
    the pixels of that grid. Without any candidate the grid is 1 x 1.
    """
    tile_height, tile_width = (tile_size, tile_size) if isinstance(tile_size, int) else tile_size
    best, best_difference = (1, 1), math.inf
    for columns, rows in aspect_ratios(min_tiles, max_tiles, order):
        difference = abs(width / height - columns / rows)
        grid_area = tile_height * tile_width * columns * rows
        if difference < best_difference:
            best, best_difference = (rows, columns), difference
        elif difference == best_difference and width * height > 0.5 * grid_area:
            best = rows, columns
    return best


def best_canvas(height: int, width: int, candidates: Sequence[Size]) -> Size:
    """DeepSeek-VL2's and LLaVA's rule: most of the image kept, then least of the canvas wasted.

    Candidates are (height, width); on a full tie the earliest wins.
    """
    if not candidates:
        raise ValueError("no candidates")
    best, best_kept, best_wasted = candidates[0], 0, math.inf
    for canvas_height, canvas_width in candidates:
        scale = min(canvas_width / width, canvas_height / height)
        scaled = int(width * scale) * int(height * scale)
        kept = min(scaled, width * height)
        wasted = canvas_height * canvas_width - kept
        if kept > best_kept or (kept == best_kept and wasted < best_wasted):
            best, best_kept, best_wasted = (canvas_height, canvas_width), kept, wasted
    return best


def fit_inside(height: int, width: int, canvas: Size) -> Size:
    """Pillow's `ImageOps.contain`: the largest size of the same shape inside the canvas.

    The shapes are compared as floats, the free side is rounded half to even and may be 0.
    """
    canvas_height, canvas_width = canvas
    shape, canvas_shape = width / height, canvas_width / canvas_height
    if shape > canvas_shape:
        return round(height / width * canvas_width), canvas_width
    if shape < canvas_shape:
        return canvas_height, round(width / height * canvas_height)
    return canvas


def fit_longest_side(height: int, width: int, target: int, min_size: int) -> Size:
    """DeepSeek-VL in transformers: the longest side becomes `target`, no side below `min_size`."""
    scale = target / max(height, width)
    return max(round(height * scale), min_size), max(round(width * scale), min_size)


def pad_offset_half_even(free: int) -> int:
    """Pillow's `ImageOps.pad`: half of the free pixels, rounded half to even."""
    return round(free * 0.5)


def pad_offset_floor(free: int) -> int:
    """transformers' padding to a square: half of the free pixels, rounded down."""
    return free // 2
