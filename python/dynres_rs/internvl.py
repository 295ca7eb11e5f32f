"""InternVL's own image functions, as its model cards print them, with the same bits.

    from dynres_rs.internvl import load_image, build_transform, dynamic_preprocess, load_video

Signatures, defaults and numbers are those of the code in OpenGVLab's README. `load_image` goes
from the decoded picture to the normalised tiles in one pass; torch is imported where the original
returns tensors.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._pil import resize, rgb
from .processor import Processor

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Transform",
    "build_transform",
    "dynamic_preprocess",
    "find_closest_aspect_ratio",
    "get_index",
    "load_image",
    "load_video",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Transform:
    """What `build_transform` returns: a picture in, its normalised square out. It pickles."""

    def __init__(self, input_size: int) -> None:
        self.input_size = input_size

    def __call__(self, image: Any) -> Any:
        """(3, input_size, input_size) float32 tensor of a Pillow image of any mode."""
        tiles = _processor(self.input_size, 1, False)(rgb(image))["pixel_values"]
        return _torch().from_numpy(tiles[0])

    def __repr__(self) -> str:
        return f"Transform(input_size={self.input_size})"


def build_transform(input_size: int) -> Transform:
    """A callable from a Pillow image to its normalised square.

    Converts to RGB (alpha is dropped), resizes to (input_size, input_size) where the image is not
    of that size yet, and normalises with ImageNet's mean and deviation.

    Matches `build_transform`: torchvision's `Resize` (bicubic), `ToTensor` and `Normalize`.
    """
    return Transform(input_size)


def find_closest_aspect_ratio(
    aspect_ratio: float,
    target_ratios: Sequence[tuple[int, int]],
    width: int,
    height: int,
    image_size: int,
) -> tuple[int, int]:
    """The grid whose aspect ratio is closest to the image's.

    Args:
        aspect_ratio: width / height of the image.
        target_ratios: (columns, rows) pairs. Of equally close ones the first wins, unless the
            image has more than half the pixels of a later one.
        width: of the image, in pixels.
        height: of the image, in pixels.
        image_size: side of a tile, in pixels.

    Returns:
        (columns, rows), one of `target_ratios`; (1, 1) if there are none.

    Matches the function of the same name.
    """
    best, least = (1, 1), float("inf")
    for grid in target_ratios:
        columns, rows = grid
        distance = abs(aspect_ratio - columns / rows)
        half = 0.5 * image_size * image_size * columns * rows
        if distance < least or (distance == least and width * height > half):
            best, least = grid, distance
    return best


def dynamic_preprocess(
    image: Any,
    min_num: int = 1,
    max_num: int = 12,
    image_size: int = 448,
    use_thumbnail: bool = False,
) -> list[Any]:
    """An image cut into square tiles, a grid of about its aspect ratio.

    Args:
        image: a Pillow image.
        min_num: fewest tiles.
        max_num: most tiles.
        image_size: side of a tile, in pixels.
        use_thumbnail: whether the whole image comes last, as one more tile, if there are several.

    Returns:
        Pillow images of (image_size, image_size), row by row, of the mode of `image`.

    Matches the function of the same name.
    """
    width, height = image.size
    grid = find_closest_aspect_ratio(
        width / height, _grids(min_num, max_num), width, height, image_size
    )
    columns, rows = grid
    image.load()  # once, for both
    large = resize(image, (image_size * columns, image_size * rows))
    tiles = [
        large.crop((x, y, x + image_size, y + image_size))
        for y in range(0, image_size * rows, image_size)
        for x in range(0, image_size * columns, image_size)
    ]
    if use_thumbnail and len(tiles) != 1:
        tiles.append(resize(image, (image_size, image_size)))
    return tiles


def load_image(image_file: Any, input_size: int = 448, max_num: int = 12) -> Any:
    """The normalised tiles of an image file, the thumbnail last.

    Args:
        image_file: a path or an open file. EXIF orientation is left alone, alpha is dropped.
        input_size: side of a tile, in pixels.
        max_num: most tiles, the thumbnail not counted.

    Returns:
        (tiles, 3, input_size, input_size) float32 tensor.

    Raises:
        OSError: a file that Pillow cannot read.
        ImportError: torch is not installed.

    Matches the function of the same name.
    """
    from PIL import Image

    torch = _torch()
    with Image.open(image_file) as image:
        return torch.from_numpy(_tiles([rgb(image)], input_size, max_num)["pixel_values"])


def get_index(
    bound: Sequence[float] | None,
    fps: float,
    max_frame: int,
    first_idx: int = 0,
    num_segments: int = 32,
) -> NDArray[np.int64]:
    """The frame in the middle of each of `num_segments` equal parts of a video.

    Args:
        bound: start and end in seconds; None is the whole video.
        fps: frames a second.
        max_frame: the last frame.
        first_idx: the first frame.
        num_segments: how many.

    Returns:
        (num_segments,) int64.

    Matches the function of the same name: halves round to even.
    """
    start, end = (bound[0], bound[1]) if bound else (-100000, 100000)
    first = max(first_idx, round(start * fps))
    last = min(round(end * fps), max_frame)
    part = float(last - first) / num_segments
    middles = first + (part / 2) + np.round(part * np.arange(num_segments))
    return middles.astype(np.int64)


def load_video(
    video_path: Any,
    bound: Sequence[float] | None = None,
    input_size: int = 448,
    max_num: int = 1,
    num_segments: int = 32,
) -> tuple[Any, list[int]]:
    """The normalised tiles of some frames of a video, and how many each frame has.

    Args:
        video_path: a path; decord decodes it, as in the original.
        bound: start and end in seconds; None is the whole video.
        input_size: side of a tile, in pixels.
        max_num: most tiles of a frame, the thumbnail not counted.
        num_segments: how many frames.

    Returns:
        (tiles of all frames, 3, input_size, input_size) float32 tensor, and the tiles of each.

    Raises:
        ImportError: torch or decord is not installed.

    Matches the function of the same name.
    """
    torch = _torch()
    decord: Any = importlib.import_module("decord")
    video = decord.VideoReader(video_path, ctx=decord.cpu(0), num_threads=1)
    indices = get_index(
        bound, float(video.get_avg_fps()), len(video) - 1, num_segments=num_segments
    )
    frames = [video[index].asnumpy() for index in indices]
    batch = _tiles(frames, input_size, max_num)
    return torch.from_numpy(batch["pixel_values"]), batch["num_patches"].tolist()


def _tiles(images: list[Any], input_size: int, max_num: int) -> dict[str, Any]:
    return _processor(input_size, max_num, True)(images)


@functools.lru_cache(maxsize=32)
def _processor(input_size: int, max_num: int, use_thumbnail: bool) -> Processor:
    return Processor(
        "internvl",
        numerics="pillow",
        image_size=input_size,
        min_num=1,
        max_num=max_num,
        use_thumbnail=use_thumbnail,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )


@functools.lru_cache(maxsize=64)
def _grids(least: int, most: int) -> list[tuple[int, int]]:
    """(columns, rows) by the number of tiles.

    Within one number the original leaves the order to a set of pairs, and with `min_num` above 1
    the order can decide. So a set it is, filled in the original's order.
    """
    found = set()
    for side in range(least, most + 1):
        for columns in range(1, side + 1):
            for rows in range(1, side + 1):
                if least <= columns * rows <= most:
                    found.add((columns, rows))
    return sorted(found, key=lambda grid: grid[0] * grid[1])


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise ImportError("dynres_rs.internvl returns tensors here, and needs torch") from None
