"""Every number of a plan: which resizes an image goes through, where they go, how many tokens."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import families, pack, sizing
from .families import Config, complete
from .sizing import Size

MAX_IMAGE_PIXELS = 178_956_970
"""Where Pillow refuses a file; no image and no resized image may have more."""

MAIN = "pixel_values"


@dataclass(frozen=True)
class View:
    """One resize: of the whole image, or of the canvas of an earlier view (`parent`)."""

    role: str
    source: Size
    resized: Size
    canvas: Size
    offset: tuple[int, int] = (0, 0)
    """Rows above and columns left of the scaled image on its canvas."""
    colour: tuple[int, int, int] | None = None
    """Of the padding, where there is any."""
    grid: tuple[int, int] = (1, 1)
    output: str = MAIN
    index: int = 0
    count: int = 1
    """It fills the rows index..index + count of its output."""
    parent: int | None = None

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Rows and columns: top, left, bottom, right."""
        top, left = self.offset
        bottom = self.canvas[0] - self.resized[0] - top
        return top, left, bottom, self.canvas[1] - self.resized[1] - left


@dataclass(frozen=True)
class Plan:
    resized: Size
    grid: tuple[int, int]
    num_tiles: int
    num_patches: int
    num_tokens: int
    shapes: dict[str, tuple[int, ...]]
    """Of each array of pixels, of this image alone."""
    views: list[View]
    metadata: dict[str, Any] = field(default_factory=dict)
    """This image's row of each other array."""

    def nbytes(self, itemsize: int) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values()) * itemsize


def _check_area(size: Size) -> None:
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise ValueError(f"{size} has more than {MAX_IMAGE_PIXELS} pixels")


def _qwen(size: Size, config: Config, num_images: int) -> Plan:
    """One view, cut into patches: a row of the output each, both copies over time in it."""
    resized = families.qwen_size(size, config)
    patch = config["patch_size"]
    grid = pack.patch_grid(resized, patch)
    rows = grid[0] * grid[1]
    width = 3 * config["temporal_patch_size"] * patch**2
    return Plan(
        resized=resized,
        grid=grid,
        num_tiles=0,
        num_patches=rows,
        num_tokens=families.qwen_counts(size, config).tokens,
        shapes={MAIN: (rows, width)},
        views=[View("whole", size, resized, resized, grid=grid, count=rows)],
        metadata={"image_grid_thw": [1, *grid]},
    )


def _stretched(size: Size, tile: Size, grid: tuple[int, int], thumbnail: bool) -> list[View]:
    """InternVL's views: the grid of tiles and, where it has more than one, the image once more."""
    canvas = tile[0] * grid[0], tile[1] * grid[1]
    count = grid[0] * grid[1]
    if count == 1:
        return [View("whole", size, tile, tile)]
    views = [View("tiles", size, canvas, canvas, grid=grid, count=count)]
    if thumbnail:
        views.append(View("thumbnail", size, tile, tile, index=count))
    return views


def _tiled(views: list[View], main: View, tile: Size, patches: int, tokens: int) -> Plan:
    tiles = sum(view.count for view in views)
    return Plan(
        resized=main.resized,
        grid=main.grid,
        num_tiles=tiles,
        num_patches=tiles * patches,
        num_tokens=tokens,
        shapes={MAIN: (tiles, 3, *tile)},
        views=views,
        metadata={"num_patches": tiles},
    )


def _internvl(size: Size, config: Config, num_images: int) -> Plan:
    side, patch = config["image_size"], config["patch_size"]
    grid = families.internvl_grid(size, config, num_images)
    views = _stretched(size, (side, side), grid, config["use_thumbnail"])
    tokens = families.internvl_counts(size, config, num_images).tokens
    return _tiled(views, views[0], (side, side), (side // patch) ** 2, tokens)


def _internvl_hf(patch: int, counts: families.Counter) -> Callable[..., Plan]:
    """The PIL backend crops only where more than one tile is allowed, which changes nothing."""

    def plan(size: Size, config: Config, num_images: int) -> Plan:
        tile = config["size"]["height"], config["size"]["width"]
        views = _stretched(size, tile, families.internvl_hf_grid(size, config), True)
        patches = (tile[0] // patch) * (tile[1] // patch)
        return _tiled(views, views[0], tile, patches, counts(size, config, num_images).tokens)

    return plan


def _padded(role: str, size: Size, canvas: Size, config: Config, **more: Any) -> View:
    """As `ImageOps.pad` lays an image: on one axis at most there is room."""
    resized = sizing.fit_inside(*size, canvas)
    room = canvas[0] - resized[0], canvas[1] - resized[1]
    offset = sizing.pad_offset_half_even(room[0]), sizing.pad_offset_half_even(room[1])
    colour = families._background(config["image_mean"]) if any(room) else None
    return View(role, size, resized, canvas, offset, colour, **more)


def _deepseek_vl2(size: Size, config: Config, num_images: int) -> Plan:
    side = config["candidate_resolutions"][0][0]
    canvas = families.deepseek_vl2_canvas(size, config, num_images)
    grid = canvas[0] // side, canvas[1] // side
    main = _padded("tiles", size, canvas, config, grid=grid, index=1, count=grid[0] * grid[1])
    views = [_padded("global", size, (side, side), config), main]
    tokens = families.deepseek_vl2_counts(size, config, num_images).tokens
    made = _tiled(views, main, (side, side), (side // config["patch_size"]) ** 2, tokens)
    made.metadata.clear()
    made.metadata.update(images_spatial_crop=[grid[1], grid[0]], num_image_tokens=tokens)
    return made


def _square(
    role: str, size: Size, side: int, mean: list[float], config: Config, **more: Any
) -> View:
    resized = sizing.fit_longest_side(*size, side, config["min_size"])
    longest = max(resized)
    room = longest - resized[0], longest - resized[1]
    offset = sizing.pad_offset_floor(room[0]), sizing.pad_offset_floor(room[1])
    colour = families._background(mean) if any(room) else None
    return View(role, size, resized, (longest, longest), offset, colour, **more)


def _deepseek_vl(size: Size, config: Config, num_images: int) -> Plan:
    """One padded square; in the hybrid it is scaled from a larger one, an output of its own."""
    views, shapes, parent = [], {}, None
    if "high_res_size" in config:
        key, high = "high_res_pixel_values", config["high_res_size"]["height"]
        mean = config["high_res_image_mean"]
        views.append(_square("high_res", size, high, mean, config, output=key))
        shapes[key] = (1, 3, *views[0].canvas)
        size, parent = views[0].canvas, 0
    main = _square(
        "whole", size, config["size"]["height"], config["image_mean"], config, parent=parent
    )
    views.append(main)
    patches = families.deepseek_vl_counts(size, config).tokens
    made = _tiled([main], main, main.canvas, patches, patches)
    made.metadata.clear()
    made.shapes.update(shapes)
    return Plan(**{**vars(made), "views": views})


FAMILIES: dict[str, Callable[[Size, Config, int], Plan]] = {
    "qwen2-vl": _qwen,
    "qwen2.5-vl": _qwen,
    "qwen3-vl": _qwen,
    "internvl": _internvl,
    "internvl-hf": _internvl_hf(14, families.internvl_hf_counts),
    "got-ocr2": _internvl_hf(16, families.got_ocr2_counts),
    "deepseek-vl2": _deepseek_vl2,
    "deepseek-vl": _deepseek_vl,
    "deepseek-vl-hybrid": _deepseek_vl,
}


def plan(family: str, size: Size, config: Config, num_images: int = 1) -> Plan:
    """Of one image in a request of so many; ValueError for a size that the rule refuses."""
    if min(size) < 1:
        raise ValueError(f"{size} has no pixels")
    _check_area(size)
    made = FAMILIES[family](size, complete(family, config), num_images)
    for view in made.views:
        _check_area(view.canvas)
    return made
