"""Whole pipelines: 8-bit RGB images and a configuration in, the arrays a model is given out.

Configurations use upstream's own key names and, for keys that are absent, upstream's own class
defaults (`DEFAULTS`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import pack, sizing
from .normalise import apply, table
from .resample import Image, Numerics, resize
from .sizing import Size
from .weights import Filter

Config = dict[str, Any]
Output = dict[str, NDArray[Any]]

CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
COMMON = {
    "do_resize": True,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
}
FILTER_OF_PIL_NUMBER: dict[int, Filter] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
GREY = 127

DEFAULTS: dict[str, Config] = {
    "qwen2-vl": {
        **COMMON,
        **CLIP,
        "size": {"shortest_edge": 3136, "longest_edge": 1_003_520},
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
    },
    "internvl": {
        **COMMON,
        **IMAGENET,
        "image_size": 448,
        "min_num": 1,
        "max_num": 12,
        "use_thumbnail": True,
        "multi_image": "full",
        "patch_size": 14,
        "downsample_ratio": 0.5,
    },
    "internvl-hf": {
        **COMMON,
        **CLIP,
        "size": {"height": 384, "width": 384},
        "crop_to_patches": False,
        "min_patches": 1,
        "max_patches": 12,
    },
    "deepseek-vl2": {
        **COMMON,
        **HALF,
        "candidate_resolutions": [[384, 384]],
        "patch_size": 14,
        "downsample_ratio": 2,
        "max_images_for_tiling": 2,
    },
    "deepseek-vl": {
        **COMMON,
        **CLIP,
        "size": {"height": 384, "width": 384},
        "min_size": 14,
        "do_pad": True,
    },
    "deepseek-vl-hybrid": {
        **COMMON,
        **CLIP,
        "size": {"height": 384, "width": 384},
        "min_size": 14,
        "do_pad": True,
        "high_res_size": {"height": 1024, "width": 1024},
        "high_res_resample": 3,
        "high_res_image_mean": CLIP["image_mean"],
        "high_res_image_std": CLIP["image_std"],
    },
}
DEFAULTS["got-ocr2"] = DEFAULTS["internvl-hf"]
DEFAULTS["qwen2.5-vl"] = DEFAULTS["qwen2-vl"]
DEFAULTS["qwen3-vl"] = DEFAULTS["qwen2-vl"] | HALF | {"patch_size": 16}


@dataclass(frozen=True)
class Counts:
    """Of one image: tiles (0 where there are none) and tokens for the language model."""

    tiles: int
    tokens: int


def complete(family: str, config: Config) -> Config:
    return DEFAULTS[family] | {key: value for key, value in config.items() if value is not None}


def _values(image: Image, config: Config, numerics: Numerics, prefix: str = "") -> NDArray[Any]:
    values = table(
        numerics,
        config[prefix + "image_mean"],
        config[prefix + "image_std"],
        config["rescale_factor"],
        config["do_rescale"],
        config["do_normalize"],
    )
    return apply(image, values)


def _filter(config: Config, key: str = "resample") -> Filter:
    return FILTER_OF_PIL_NUMBER[config[key]]


# Qwen2-VL, Qwen2.5-VL, Qwen3-VL


def qwen_size(size: Size, config: Config) -> Size:
    if not config["do_resize"]:
        return size
    return sizing.smart_resize(
        *size,
        factor=config["patch_size"] * config["merge_size"],
        min_pixels=config["size"]["shortest_edge"],
        max_pixels=config["size"]["longest_edge"],
    )


def qwen(images: Sequence[Image], config: Config, numerics: Numerics) -> Output:
    patches, grids = [], []
    for image in images:
        size = qwen_size(image.shape[:2], config)
        resized = resize(image, size, _filter(config), numerics)
        values = _values(resized, config, numerics)
        patches.append(
            pack.patchify(
                values, config["patch_size"], config["merge_size"], config["temporal_patch_size"]
            )
        )
        grids.append((1, *pack.patch_grid(size, config["patch_size"])))
    return {
        "pixel_values": np.concatenate(patches),
        "image_grid_thw": np.array(grids, np.int64),
    }


def qwen_counts(size: Size, config: Config, num_images: int = 1) -> Counts:
    rows, columns = pack.patch_grid(qwen_size(size, config), config["patch_size"])
    return Counts(0, rows * columns // config["merge_size"] ** 2)


# InternVL: its authors' own code, and the form it has in transformers (the GOT-OCR2 processor)


def _grid_tiles(
    image: Image, tile_size: Size, grid: tuple[int, int], thumbnail: bool, f: Filter, n: Numerics
) -> list[Image]:
    """The image stretched over the grid and cut; more than one tile get a thumbnail, at the end."""
    stretched = resize(image, (tile_size[0] * grid[0], tile_size[1] * grid[1]), f, n)
    tiles = [
        stretched[y : y + tile_size[0], x : x + tile_size[1]]
        for y in range(0, stretched.shape[0], tile_size[0])
        for x in range(0, stretched.shape[1], tile_size[1])
    ]
    if thumbnail and len(tiles) != 1:
        tiles.append(resize(image, tile_size, f, n))
    return tiles


def _stack(tiles: Sequence[Image], config: Config, numerics: Numerics) -> NDArray[Any]:
    return np.stack([_values(tile, config, numerics).transpose(2, 0, 1) for tile in tiles])


def internvl_grid(size: Size, config: Config, num_images: int = 1) -> tuple[int, int]:
    """Training shares the tiles out between the images of a sample (`divide`)."""
    max_tiles = config["max_num"]
    if config["multi_image"] == "divide":
        max_tiles = max(1, max_tiles // num_images)
    return sizing.closest_aspect_grid(
        *size, config["image_size"], config["min_num"], max_tiles, "internvl"
    )


def internvl(images: Sequence[Image], config: Config, numerics: Numerics) -> Output:
    side = config["image_size"]
    tiles, counts = [], []
    for image in images:
        grid = internvl_grid(image.shape[:2], config, len(images))
        new = _grid_tiles(
            image, (side, side), grid, config["use_thumbnail"], _filter(config), numerics
        )
        tiles += new
        counts.append(len(new))
    return {
        "pixel_values": _stack(tiles, config, numerics),
        "num_patches": np.array(counts, np.int64),
    }


def internvl_counts(size: Size, config: Config, num_images: int = 1) -> Counts:
    rows, columns = internvl_grid(size, config, num_images)
    tiles = rows * columns
    if config["use_thumbnail"] and tiles != 1:
        tiles += 1
    side = config["image_size"] // config["patch_size"]
    return Counts(tiles, tiles * int(side**2 * config["downsample_ratio"] ** 2))


def internvl_hf_grid(size: Size, config: Config) -> tuple[int, int]:
    if not config["crop_to_patches"]:
        return 1, 1
    tile_size = config["size"]["height"], config["size"]["width"]
    return sizing.closest_aspect_grid(
        *size, tile_size, config["min_patches"], config["max_patches"], "transformers"
    )


def internvl_hf(images: Sequence[Image], config: Config, numerics: Numerics) -> Output:
    """Cropping resizes whatever `do_resize` says; the PIL backend crops only above one patch."""
    tile_size = config["size"]["height"], config["size"]["width"]
    crop = config["crop_to_patches"]
    if numerics != "torchvision":
        crop = crop and config["max_patches"] > 1
    tiles: list[Image] = []
    counts = []
    for image in images:
        if crop:
            grid = internvl_hf_grid(image.shape[:2], config)
            new = _grid_tiles(image, tile_size, grid, True, _filter(config), numerics)
        elif config["do_resize"]:
            new = [resize(image, tile_size, _filter(config), numerics)]
        else:
            new = [image]
        tiles += new
        counts.append(len(new))
    return {
        "pixel_values": _stack(tiles, config, numerics),
        "num_patches": np.array(counts, np.int64),
    }


def internvl_hf_counts(size: Size, config: Config, num_images: int = 1) -> Counts:
    """256 tokens for each tile of 448 x 448: patches of 14, merged two by two."""
    rows, columns = internvl_hf_grid(size, config)
    tiles = rows * columns
    tiles += tiles != 1
    per_tile = (config["size"]["height"] // 28) * (config["size"]["width"] // 28)
    return Counts(tiles, tiles * per_tile)


def got_ocr2_counts(size: Size, config: Config, num_images: int = 1) -> Counts:
    """256 tokens for each tile of 1024 x 1024: patches of 16, then two convolutions of stride 2."""
    tiles = internvl_hf_counts(size, config).tiles
    return Counts(tiles, tiles * (config["size"]["height"] // 64) * (config["size"]["width"] // 64))


# DeepSeek-VL2, its authors' own code


def deepseek_vl2_canvas(size: Size, config: Config, num_images: int) -> Size:
    """(height, width) of all local tiles together; three images and more are not tiled."""
    candidates = [(height, width) for width, height in config["candidate_resolutions"]]
    side = candidates[0][1]
    if num_images > config["max_images_for_tiling"]:
        return side, side
    return sizing.best_canvas(*size, candidates)


def pad_like_pillow(
    image: Image, canvas: Size, colour: tuple[int, int, int], f: Filter, n: Numerics
) -> Image:
    """`ImageOps.pad`: scaled to fit inside the canvas and centred there.

    A side that rounds to 0 leaves nothing but background.
    """
    size = sizing.fit_inside(*image.shape[:2], canvas)
    resized = np.empty((*size, 3), np.uint8) if 0 in size else resize(image, size, f, n)
    top, left = 0, 0
    if size[1] != canvas[1]:
        left = sizing.pad_offset_half_even(canvas[1] - size[1])
    else:
        top = sizing.pad_offset_half_even(canvas[0] - size[0])
    return pack.pad(resized, canvas, (top, left), colour)


def _background(mean: Sequence[float]) -> tuple[int, int, int]:
    """The mean colour, truncated."""
    red, green, blue = (int(value * 255) for value in mean)
    return red, green, blue


def deepseek_vl2(images: Sequence[Image], config: Config, numerics: Numerics) -> Output:
    side = config["candidate_resolutions"][0][0]
    colour = _background(config["image_mean"])
    tiles: list[Image] = []
    crops, tokens = [], []
    for image in images:
        size = image.shape[:2]
        canvas = deepseek_vl2_canvas(size, config, len(images))
        tiles.append(pad_like_pillow(image, (side, side), colour, _filter(config), numerics))
        local = pad_like_pillow(image, canvas, colour, _filter(config), numerics)
        tiles += [
            local[y : y + side, x : x + side]
            for y in range(0, canvas[0], side)
            for x in range(0, canvas[1], side)
        ]
        crops.append((canvas[1] // side, canvas[0] // side))
        tokens.append(deepseek_vl2_counts(size, config, len(images)).tokens)
    return {
        "pixel_values": _stack(tiles, config, numerics),
        "images_spatial_crop": np.array(crops, np.int64),
        "num_image_tokens": np.array(tokens, np.int64),
    }


def deepseek_vl2_counts(size: Size, config: Config, num_images: int = 1) -> Counts:
    """Each row of features ends in a newline token; a separator stands between the two views."""
    side = config["candidate_resolutions"][0][0]
    height, width = deepseek_vl2_canvas(size, config, num_images)
    rows, columns = height // side, width // side
    n = math.ceil((side // config["patch_size"]) / config["downsample_ratio"])
    tokens = n * (n + 1) + 1 + (rows * n) * (columns * n + 1)
    return Counts(1 + rows * columns, tokens)


# DeepSeek-VL in transformers: one padded square, or a large one and a small one made from it


def _square(
    image: Image, config: Config, prefix: str, colour: tuple[int, int, int], n: Numerics
) -> Image:
    size = image.shape[:2]
    if config["do_resize"]:
        target = config[prefix + "size"]["height"]
        size = sizing.fit_longest_side(*size, target, config["min_size"])
        image = resize(image, size, _filter(config, prefix + "resample"), n)
    if config["do_pad"]:
        side = max(size)
        offset = sizing.pad_offset_floor(side - size[0]), sizing.pad_offset_floor(side - size[1])
        image = pack.pad(image, (side, side), offset, colour)
    return image


def deepseek_vl(images: Sequence[Image], config: Config, numerics: Numerics) -> Output:
    colour = _background(config["image_mean"])
    squares = [_square(image, config, "", colour, numerics) for image in images]
    return {"pixel_values": _stack(squares, config, numerics)}


def deepseek_vl_hybrid(images: Sequence[Image], config: Config, numerics: Numerics) -> Output:
    """The small square is scaled from the padded large one, not from the image.

    Without resizing there is no padding either, and both outputs are of the image as it is.
    """
    colour = _background(config["image_mean"])
    high_colour = _background(config["high_res_image_mean"])
    low, high = [], []
    for image in images:
        large = small = image
        if config["do_resize"]:
            large = _square(image, config, "high_res_", high_colour, numerics)
            small = _square(large, config, "", colour, numerics)
        high.append(_values(large, config, numerics, "high_res_").transpose(2, 0, 1))
        low.append(_values(small, config, numerics).transpose(2, 0, 1))
    return {"pixel_values": np.stack(low), "high_res_pixel_values": np.stack(high)}


def deepseek_vl_counts(size: Size, config: Config, num_images: int = 1) -> Counts:
    return Counts(1, (config["size"]["height"] // 16) ** 2)


Pipeline = Callable[[Sequence[Image], Config, Numerics], Output]
Counter = Callable[[Size, Config, int], Counts]

FAMILIES: dict[str, tuple[Pipeline, Counter]] = {
    "qwen2-vl": (qwen, qwen_counts),
    "qwen2.5-vl": (qwen, qwen_counts),
    "qwen3-vl": (qwen, qwen_counts),
    "internvl": (internvl, internvl_counts),
    "internvl-hf": (internvl_hf, internvl_hf_counts),
    "got-ocr2": (internvl_hf, got_ocr2_counts),
    "deepseek-vl2": (deepseek_vl2, deepseek_vl2_counts),
    "deepseek-vl": (deepseek_vl, deepseek_vl_counts),
    "deepseek-vl-hybrid": (deepseek_vl_hybrid, deepseek_vl_counts),
}


def run(family: str, images: Sequence[Image], config: Config, numerics: Numerics) -> Output:
    """All images as one request."""
    pipeline, _ = FAMILIES[family]
    return pipeline(images, complete(family, config), numerics)


def counts(family: str, size: Size, config: Config, num_images: int = 1) -> Counts:
    _, counter = FAMILIES[family]
    return counter(size, complete(family, config), num_images)
