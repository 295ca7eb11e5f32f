"""What each token of an image stands for: a rectangle on the canvas of a view, or none.

The encoder cuts what it is shown into square patches and a few neighbours become one token. How the
tokens of an image are ordered, and what stands between them, differs by family.
"""

import math
from dataclasses import dataclass

from . import families, sizing
from .families import Config, complete
from .sizing import Size

Rect = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of a canvas."""


@dataclass(frozen=True)
class Canvas:
    """What one view shows: the image scaled to `resized`, its top left corner at `offset`."""

    size: Size
    resized: Size
    offset: tuple[int, int] = (0, 0)
    parent: "Canvas | None" = None
    """The canvas that was scaled instead of the image."""


@dataclass(frozen=True)
class Token:
    kind: str
    canvas: Canvas | None = None
    rect: Rect | None = None


def _qwen(size: Size, config: Config) -> list[Token]:
    """One token a block of merge x merge patches, row by row."""
    resized = families.qwen_size(size, config)
    side = config["patch_size"] * config["merge_size"]
    canvas = Canvas(resized, resized)
    return [
        Token("image", canvas, (x, y, x + side, y + side))
        for y in range(0, resized[0], side)
        for x in range(0, resized[1], side)
    ]


def _tile_by_tile(canvas: Canvas, tile: Size, side: int) -> list[Token]:
    return [
        Token("image", canvas, (left + x, top + y, left + x + side, top + y + side))
        for top in range(0, canvas.size[0], tile[0])
        for left in range(0, canvas.size[1], tile[1])
        for y in range(0, tile[0], side)
        for x in range(0, tile[1], side)
    ]


def _internvl(
    size: Size, grid: tuple[int, int], tile: Size, thumbnail: bool, side: int
) -> list[Token]:
    """Pixel shuffle, version 2: tokens of a tile row by row, tile after tile, thumbnail last."""
    rows, columns = grid
    stretched = (rows * tile[0], columns * tile[1])
    tokens = _tile_by_tile(Canvas(stretched, stretched), tile, side)
    if thumbnail and rows * columns > 1:
        tokens += _tile_by_tile(Canvas(tile, tile), tile, side)
    return tokens


def _padded(size: Size, canvas: Size) -> Canvas:
    """As `ImageOps.pad` lays an image."""
    resized = sizing.fit_inside(*size, canvas)
    top = sizing.pad_offset_half_even(canvas[0] - resized[0])
    left = sizing.pad_offset_half_even(canvas[1] - resized[1])
    return Canvas(canvas, resized, (top, left))


def _deepseek_rows(canvas: Canvas, tile: int, patch: int, ratio: int) -> list[Token]:
    """Rows of tokens over the whole canvas, each closed by a newline.

    A tile of 384 pixels has 27 patches of 14 a side, so 6 pixels on the right and below are never
    seen. The adaptor pads 27 patches to 28 and merges two by two: the last row and column of tokens
    of a tile see one patch and padding.
    """
    patches = tile // patch
    count = math.ceil(patches / ratio)
    seen = patches * patch
    tokens = []
    for top in range(0, canvas.size[0], tile):
        for row in range(count):
            y0, y1 = row * ratio * patch, min((row + 1) * ratio * patch, seen)
            for left in range(0, canvas.size[1], tile):
                for column in range(count):
                    x0, x1 = column * ratio * patch, min((column + 1) * ratio * patch, seen)
                    tokens.append(
                        Token("image", canvas, (left + x0, top + y0, left + x1, top + y1))
                    )
            tokens.append(Token("newline", canvas, (0, top + y0, canvas.size[1], top + y1)))
    return tokens


def _deepseek_vl2(size: Size, config: Config, num_images: int) -> list[Token]:
    """Global view, separator, local tiles."""
    side = config["candidate_resolutions"][0][0]
    canvas = families.deepseek_vl2_canvas(size, config, num_images)
    patch, ratio = config["patch_size"], config["downsample_ratio"]
    return [
        *_deepseek_rows(_padded(size, (side, side)), side, patch, ratio),
        Token("separator"),
        *_deepseek_rows(_padded(size, canvas), side, patch, ratio),
    ]


def _square(size: Size, side: int, min_size: int, parent: Canvas | None = None) -> Canvas:
    resized = sizing.fit_longest_side(*size, side, min_size)
    longest = max(resized)
    offset = tuple(sizing.pad_offset_floor(longest - s) for s in resized)
    return Canvas((longest, longest), resized, (offset[0], offset[1]), parent)


def _deepseek_vl(size: Size, config: Config, hybrid: bool) -> list[Token]:
    """One padded square; in the hybrid it is scaled from the padded large one."""
    parent = None
    if hybrid:
        parent = _square(size, config["high_res_size"]["height"], config["min_size"])
        size = parent.size
    canvas = _square(size, config["size"]["height"], config["min_size"], parent)
    return _tile_by_tile(canvas, canvas.size, 16)


def tokens(family: str, size: Size, config: Config, num_images: int = 1) -> list[Token]:
    """In the order in which the language model sees them; no image is padding here yet."""
    config = complete(family, config)
    if family.startswith("qwen"):
        return _qwen(size, config)
    if family == "internvl":
        tile = (config["image_size"],) * 2
        side = round(config["patch_size"] / config["downsample_ratio"])
        grid = families.internvl_grid(size, config)
        return _internvl(size, grid, tile, config["use_thumbnail"], side)
    if family in ("internvl-hf", "got-ocr2"):
        tile = config["size"]["height"], config["size"]["width"]
        side = 28 if family == "internvl-hf" else 64
        return _internvl(size, families.internvl_hf_grid(size, config), tile, True, side)
    if family == "deepseek-vl2":
        return _deepseek_vl2(size, config, num_images)
    return _deepseek_vl(size, config, family.endswith("hybrid"))
