"""The bare functions: strict about their inputs, with nothing between the caller and the
numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _dynres_rs as _native
from . import memory
from ._dynres_rs import Spec, integer
from ._types import U8, DType, Options
from .arguments import _dtype
from .files import shown
from .images import as_array
from .numerics import resolve
from .options import canonical, preset

__all__ = [
    "Grid",
    "best_canvas",
    "closest_aspect_grid",
    "fold_patch_embedding",
    "patchify",
    "resize",
    "smart_resize",
    "smart_resize_video",
    "tile",
]

MAX_IMAGE_PIXELS: Final = 178_956_970
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class Grid(NamedTuple):
    """A grid of tiles."""

    rows: int
    columns: int


def closest_aspect_grid(
    height: int, width: int, tile_size: int = 448, min_tiles: int = 1, max_tiles: int = 12
) -> Grid:
    """The tile grid whose aspect ratio is closest to the image's.

    Ties go to the larger grid where the image has more than half of that grid's pixels.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        tile_size: side of a tile, in pixels.
        min_tiles: fewest tiles.
        max_tiles: most tiles.

    Raises:
        TypeError: an argument that is no integer.
        ValueError: an argument below 1, or `min_tiles` above `max_tiles`.

    Matches InternVL's `find_closest_aspect_ratio` over its `dynamic_preprocess` ratios, and
    transformers' `get_optimal_tiled_canvas`, both of which return (columns, rows).
    """
    return Grid(*_native.closest_aspect_grid(height, width, tile_size, min_tiles, max_tiles))


def best_canvas(height: int, width: int, candidates: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The canvas that keeps most of the image's pixels, and of those the one that wastes least.

    Ties go to the first.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        candidates: (height, width) pairs, in pixels.

    Returns:
        (height, width) of one of them.

    Raises:
        TypeError: an argument that is no integer, or candidates that are no pairs.
        ValueError: a side below 1, or no candidates.

    Matches transformers' `select_best_resolution`, and DeepSeek-VL2's of the same name, which has
    (width, height) throughout.
    """
    return _native.best_canvas(height, width, candidates)


def smart_resize(
    height: int,
    width: int,
    factor: int = 28,
    min_pixels: int = 3136,
    max_pixels: int = 1003520,
) -> tuple[int, int]:
    """The size of an image in multiples of `factor` within a budget of pixels.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        factor: what both sides become multiples of, in pixels.
        min_pixels: fewest pixels.
        max_pixels: most pixels; a long and thin image may exceed them.

    Returns:
        (height, width).

    Raises:
        TypeError: an argument that is no integer.
        ValueError: an aspect ratio above 200, or an argument below 1.

    Matches transformers' `smart_resize` of Qwen2-VL: halves round to even, a ratio of exactly 200
    passes.
    """
    return _native.smart_resize(height, width, factor, min_pixels, max_pixels)


def smart_resize_video(
    num_frames: int,
    height: int,
    width: int,
    temporal_factor: int = 2,
    factor: int = 32,
    min_pixels: int = 131072,
    max_pixels: int = 786432,
) -> tuple[int, int]:
    """The size of a video's frames in multiples of `factor`, with the frames in the budget.

    Args:
        num_frames: of the video.
        height: of a frame, in pixels.
        width: of a frame, in pixels.
        temporal_factor: frames of a patch.
        factor: what both sides become multiples of, in pixels.
        min_pixels: fewest pixels of all frames together.
        max_pixels: most pixels of all frames together.

    Returns:
        (height, width) of a frame.

    Raises:
        TypeError: an argument that is no integer.
        ValueError: fewer frames than `temporal_factor`, an aspect ratio above 200, or an argument
            below 1.

    Matches transformers' `smart_resize` of Qwen3-VL's video processor.
    """
    return _native.smart_resize_video(
        num_frames, height, width, temporal_factor, factor, min_pixels, max_pixels
    )


def resize(
    image: Any,
    size: tuple[int, int],
    resample: str = "bicubic",
    numerics: str = "pillow",
    out: NDArray[np.uint8] | None = None,
    num_threads: int = 1,
) -> U8:
    """Resizes an image of bytes, antialiased.

    Args:
        image: (H, W, 3) or (H, W, 4) uint8 with any strides; the channels are independent.
        size: (height, width) of the result, in pixels.
        resample: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos"`, and with Pillow's numerics
            `"box"` or `"hamming"`.
        numerics: whose bits: `"pillow"`, `"pillow-<version>"` or `"torchvision"`.
        out: where to write: (height, width, C) uint8, C-contiguous, apart from `image`.
        num_threads: 1 unless asked; 0 is every core that this process may use.

    Returns:
        (height, width, C) uint8; a view of `out` where that is given.

    Raises:
        TypeError: an argument of the wrong type or dtype.
        ValueError: a shape, size or name that is not accepted; `ImageTooLargeError` above
            178,956,970 pixels.

    Matches `PIL.Image.resize` (for four channels: as if each were an image of its own, no alpha
    premultiplied), or torchvision's `resize(antialias=True)` of a uint8 tensor on the CPU.
    """
    rule = resolve(numerics)
    if isinstance(resample, str):
        resample = shown(resample, 40)  # as errors may repeat it
    if out is not None and _native.resize_plain(
        image, size, resample, rule, out, num_threads, MAX_IMAGE_PIXELS
    ):
        return out.view()
    array = _strict(image, (3, 4))
    return _native.resize_careful(
        array, size, resample, rule, out, num_threads, MAX_IMAGE_PIXELS, memory.OUTPUTS
    )


def patchify(
    image: Any,
    patch_size: int = 14,
    merge_size: int = 2,
    temporal_patch_size: int = 2,
    image_mean: Sequence[float] | float | None = CLIP_MEAN,
    image_std: Sequence[float] | float | None = CLIP_STD,
    rescale_factor: float | None = 1 / 255,
    numerics: str = "torchvision",
    dtype: Any = None,
) -> NDArray[Any]:
    """Normalises an image of bytes and cuts it into patches, without resizing.

    Args:
        image: (H, W, 3) uint8 with any strides; both sides multiples of `patch_size * merge_size`.
        patch_size: side of a patch, in pixels.
        merge_size: patches a side that are neighbours in the output (they become one token).
        temporal_patch_size: how often a still image is repeated in a patch.
        image_mean: of each channel; None with `image_std=None` leaves normalising out.
        image_std: of each channel.
        rescale_factor: what bytes are multiplied by before; None leaves rescaling out.
        numerics: whose bits: `"torchvision"`, `"pillow"` or `"pillow-<version>"`.
        dtype: as in `Processor.__call__`.

    Returns:
        (H / patch_size * W / patch_size, 3 * temporal_patch_size * patch_size * patch_size), merge
        blocks row by row, patches row by row within one, columns ordered (channel, time, row,
        column).

    Raises:
        TypeError: an argument of the wrong type or dtype.
        ValueError: a shape, size or value that is not accepted.

    Matches `rescale_and_normalize` and `patchify` of transformers' `Qwen2VLImageProcessor`.
    """
    options = {
        "do_resize": False,
        "patch_size": patch_size,
        "merge_size": merge_size,
        "temporal_patch_size": temporal_patch_size,
        **_normalise(image_mean, image_std, rescale_factor),
    }
    return _pack("qwen2-vl", _strict(image, (3,)), options, numerics, dtype)


def tile(
    image: Any,
    tile_size: int = 448,
    image_mean: Sequence[float] | float | None = IMAGENET_MEAN,
    image_std: Sequence[float] | float | None = IMAGENET_STD,
    rescale_factor: float | None = 1 / 255,
    numerics: str = "pillow",
    dtype: Any = None,
) -> NDArray[Any]:
    """Normalises an image of bytes and cuts it into square tiles, without resizing.

    Args:
        image: (H, W, 3) uint8 with any strides; both sides multiples of `tile_size`.
        tile_size: side of a tile, in pixels.
        image_mean: of each channel; None with `image_std=None` leaves normalising out.
        image_std: of each channel.
        rescale_factor: what bytes are multiplied by before; None leaves rescaling out.
        numerics: whose bits: `"pillow"`, `"pillow-<version>"` or `"torchvision"`.
        dtype: as in `Processor.__call__`.

    Returns:
        (rows * columns, 3, tile_size, tile_size), row by row.

    Raises:
        TypeError: an argument of the wrong type or dtype.
        ValueError: a shape, size or value that is not accepted.

    Matches the crops of InternVL's `dynamic_preprocess` with its `build_transform`.
    """
    array = _strict(image, (3,))
    side = integer("tile_size", tile_size)
    height, width = array.shape[:2]
    if side < 1:
        raise ValueError(f"tile_size: must be at least 1, got {side}")
    if height % side or width % side or not height or not width:
        raise ValueError(
            f"image: height and width must be multiples of tile_size {side}, got {(height, width)}"
        )
    # A tile is a patch of one frame, and without merge blocks patches run row by row.
    options = {
        "do_resize": False,
        "patch_size": side,
        "merge_size": 1,
        "temporal_patch_size": 1,
        **_normalise(image_mean, image_std, rescale_factor),
    }
    tiles = _pack("qwen2-vl", array, options, numerics, dtype)
    return tiles.reshape(-1, 3, side, side)


def fold_patch_embedding(weight: Any, temporal_patch_size: int = 2, in_channels: int = 3) -> Any:
    """A patch embedding's weight summed over time, for patches made with `temporal="compact"`.

    A still image's patch holds the same pixels at each time, so the sum gives the same embedding
    from one copy, up to the rounding of a float sum.

    Args:
        weight: (D, C, T, p, p) as of a `Conv3d`, or (D, C * T * p * p) as of a `Linear`: a numpy
            array of floats or a torch tensor.
        temporal_patch_size: T, where `weight` has two axes; five axes say it themselves.
        in_channels: C, where `weight` has two axes.

    Returns:
        (D, C, 1, p, p) or (D, C * p * p), of the same library, dtype and device; half precision is
        summed in float32.

    Raises:
        TypeError: neither a float array nor a tensor.
        ValueError: another number of axes, or a second axis that C * T does not divide.
    """
    shape = getattr(weight, "shape", None)
    is_array = isinstance(weight, np.ndarray)
    floating = weight.dtype.kind == "f" if is_array else hasattr(weight, "is_floating_point")
    if shape is None or not floating:
        raise TypeError(f"weight: must be a float array or tensor, got {type(weight).__name__}")
    shape = tuple(int(side) for side in shape)
    result: tuple[int, ...]
    times = integer("temporal_patch_size", temporal_patch_size)
    channels = integer("in_channels", in_channels)
    if len(shape) == 5:
        view, result = weight, (*shape[:2], 1, *shape[3:])
    elif len(shape) == 2:
        if times < 1 or channels < 1 or shape[1] % (channels * times):
            raise ValueError(
                f"weight: its second axis must be a multiple of in_channels * temporal_patch_size ="
                f" {channels * times}, got the shape {shape}"
            )
        area = shape[1] // (channels * times)
        view, result = weight.reshape(shape[0], channels, times, area), (shape[0], channels * area)
    else:
        raise ValueError(f"weight: must have 2 or 5 axes, got the shape {shape}")
    half = weight.dtype.itemsize < 4
    if is_array:
        wide = np.float32 if half else weight.dtype
        return view.sum(axis=2, dtype=wide).astype(weight.dtype).reshape(result)
    return (view.float() if half else view).sum(dim=2).to(weight.dtype).reshape(result)


def _pack(family: str, image: U8, options: Options, numerics: str, dtype: Any) -> NDArray[Any]:
    """Runs a family's packing on an image that has its size already."""
    name: DType | None = None if dtype is None else _dtype(dtype)
    full = canonical(options, preset(family), "options", family)
    spec = Spec(family, resolve(numerics), full)
    plans = [spec.plan(image.shape[0], image.shape[1], 1)]
    batch = spec.batch(plans, [1], name, "expand")
    outs, _ = batch.allocate(None, memory.OUTPUTS, [])
    failed = batch.run([image], outs, 1)
    if failed is not None:
        raise failed[1]
    return outs[0]


def _normalise(
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    factor: float | None,
) -> Options:
    if (mean is None) != (std is None):
        raise ValueError("image_mean, image_std: must be given both, or both None")
    return {
        "do_rescale": factor is not None,
        "rescale_factor": factor,
        "do_normalize": mean is not None,
        "image_mean": mean,
        "image_std": std,
    }


def _strict(image: Any, channels: tuple[int, ...]) -> U8:
    """An array of bytes with the channels last, as it is."""
    # Another thread may be halfway through importing Pillow.
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if isinstance(image, bytes | str) or (kind is not None and isinstance(image, kind)):
        raise TypeError(f"image: must be an array, got {type(image).__name__}")
    array = image if type(image) is np.ndarray else as_array(image)
    if array.dtype != np.uint8:
        raise TypeError(f"image: must be uint8, got {array.dtype.str}")
    if array.ndim != 3 or array.shape[2] not in channels:
        allowed = " or ".join(f"(H, W, {count})" for count in channels)
        raise ValueError(f"image: must have the shape {allowed}, got {array.shape}")
    height, width = array.shape[:2]
    if height < 1 or width < 1:
        raise ValueError(f"image: height and width must be at least 1, got {(height, width)}")
    if height * width > MAX_IMAGE_PIXELS:
        raise _native.ImageTooLargeError(
            f"image: more than max_image_pixels={MAX_IMAGE_PIXELS} pixels, got {(height, width)}"
        )
    return array
