"""Pixels for the servers' copies: squares of an image, and padded squares, as torch tensors.

The copy's own code chooses the grid or the canvas, so its rules, ties and settings stay its own;
the pixels are made here, once, in the dtype that the server wants, and in their final place.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._pil import resize
from .functional import resize as resize_array
from .functional import tile
from .patching import Aside
from .processor import Processor

__all__ = [
    "Cut",
    "Norm",
    "cut",
    "joined",
    "limited_processor",
    "padded",
    "padded_patches",
    "patch_processor",
    "patches",
    "rgb_only",
    "small_image",
    "squares",
    "views",
]

#: More tiles than any model has; it only turns DeepSeek-VL2's rule on the number of images off.
_ALWAYS: Final = 2**31 - 1
_HALVES: Final = (0.5, 0.5, 0.5)


class Norm(NamedTuple):
    """Mean and deviation of each channel; None scales to 0..1 and no more."""

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


class Cut(NamedTuple):
    """An image, and the grids (columns, rows) that it is cut into, one after the other.

    The grid (1, 1) is the whole image in one square: a thumbnail.
    """

    image: Any
    grids: tuple[tuple[int, int], ...]


def cut(image: Any, grid: tuple[int, int], thumbnail: bool) -> Cut:
    """One grid, and the whole image after it where that says more."""
    return Cut(image, (grid, (1, 1)) if thumbnail and grid != (1, 1) else (grid,))


def rgb_only(images: Sequence[Any]) -> None:
    """Leaves all but RGB images of Pillow to the copy, which converts others in its own way."""
    from PIL import Image

    for image in images:
        if not isinstance(image, Image.Image):
            raise Aside(f"an image that is a {type(image).__name__}")
        if image.mode != "RGB":
            raise Aside(f"an image of mode {image.mode}")
        if type(image).resize is not Image.Image.resize:
            raise Aside("a class of images with its own resize")


def small_image(width: int = 83, height: int = 47) -> Any:
    """A small RGB image in which every byte counts."""
    from PIL import Image

    values = np.arange(width * height * 3, dtype=np.uint32)
    noise = (values * 2654435761 >> 13).astype(np.uint8)
    return Image.fromarray(noise.reshape(height, width, 3))


def squares(cuts: Sequence[Cut], side: int, norm: Norm, dtype: str) -> list[Any]:
    """Each image's squares, row by row within a grid, as torchvision makes them from Pillow's.

    Args:
        cuts: RGB images of Pillow, or (H, W, 3) uint8 arrays, with their grids.
        side: of a square, in pixels.
        norm: how bytes become floats.
        dtype: `"float32"`, `"float16"`, `"bfloat16"`, or `"uint8"` for the bytes themselves.

    Returns:
        (squares, 3, side, side) tensors, one an image: views of one tensor, one after the other.
    """
    counts = [sum(columns * rows for columns, rows in each.grids) for each in cuts]
    kind = "uint16" if dtype == "bfloat16" else dtype
    out = np.empty((sum(counts), 3, side, side), np.dtype(kind))
    start = 0
    for image, grids in cuts:
        for grid, thumbnail in _calls(grids):
            columns, rows = grid
            end = start + columns * rows + thumbnail
            _fill(image, grid, thumbnail, side, norm, dtype, out[start:end])
            start = end
    return list(_tensor(out, dtype).split(counts))


def _calls(grids: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], bool]]:
    """The grids, each with whether the thumbnail comes right after it and is done with it."""
    calls: list[tuple[tuple[int, int], bool]] = []
    for grid in grids:
        if grid == (1, 1) and calls and calls[-1][0] != (1, 1) and not calls[-1][1]:
            calls[-1] = (calls[-1][0], True)
        else:
            calls.append((grid, False))
    return calls


def _fill(
    image: Any,
    grid: tuple[int, int],
    thumbnail: bool,
    side: int,
    norm: Norm,
    dtype: str,
    out: NDArray[Any],
) -> None:
    columns, rows = grid
    count = columns * rows
    whole = _grid_processor(side, count, thumbnail, norm)
    height, width = (
        image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
    )
    if tuple(whole.plan(height, width).grid) == (rows, columns):
        whole(image, dtype=dtype, out=out)
        return
    # A rule of the copy's own chose another grid than ours would for so many tiles. An image
    # of the grid's own shape has no other choice, and is not resized again.
    if isinstance(image, np.ndarray):
        from PIL import Image

        image = Image.fromarray(image)
    large = resize(image, (columns * side, rows * side))
    _grid_processor(side, count, False, norm)(large, dtype=dtype, out=out[:count])
    if thumbnail:
        _grid_processor(side, 1, False, norm)(image, dtype=dtype, out=out[count:])


@functools.lru_cache(maxsize=256)
def _grid_processor(side: int, count: int, thumbnail: bool, norm: Norm) -> Processor:
    return Processor(
        "internvl",
        numerics="pillow",
        image_size=side,
        min_num=count,
        max_num=count,
        use_thumbnail=thumbnail,
        **_normalising(norm),
    )


def views(
    images: Sequence[Any],
    candidates: Sequence[Sequence[int]],
    norm: Norm,
    dtype: str,
) -> tuple[Any, list[list[int]]]:
    """DeepSeek-VL2's views of some images.

    Args:
        images: RGB images of Pillow.
        candidates: (width, height) of the canvases; the side of a tile is the first's width.
        norm: how bytes become floats; padding has the mean's colour.
        dtype: as in `squares`.

    Returns:
        a (views, 3, S, S) tensor, the padded image first for each, and [columns, rows] of each.
    """
    pairs = tuple((int(width), int(height)) for width, height in candidates)
    batch = _canvas_processor(pairs, norm)(list(images), dtype=dtype)
    return _tensor(batch["pixel_values"], dtype), batch["images_spatial_crop"].tolist()


@functools.lru_cache(maxsize=32)
def _canvas_processor(candidates: tuple[tuple[int, int], ...], norm: Norm) -> Processor:
    return Processor(
        "deepseek-vl2",
        numerics="pillow",
        candidate_resolutions=candidates,
        max_images_tiled=_ALWAYS,
        **_normalising(norm),
    )


def padded(image: Any, side: int, color: Sequence[int], norm: Norm, dtype: str) -> Any:
    """What `ImageOps.pad` gives for a square, normalised: a (1, 3, side, side) tensor.

    Args:
        image: an RGB image of Pillow.
        side: in pixels.
        color: of the padding, three numbers in 0..255.
        norm, dtype: as in `squares`.
    """
    width, height = image.size
    # The longer side fills the square; the other is rounded, halves to even.
    if width > height:
        size = (side, round(height / width * side))
    elif width < height:
        size = (round(width / height * side), side)
    else:
        size = (side, side)
    small = np.asarray(resize(image, size))
    if size != (side, side):
        canvas = np.empty((side, side, 3), np.uint8)
        canvas[...] = np.asarray(color, np.uint8)
        left = round((side - size[0]) * 0.5)
        top = round((side - size[1]) * 0.5)
        canvas[top : top + size[1], left : left + size[0]] = small
        small = canvas
    return _tensor(tile(small, side, norm.mean, norm.std, dtype=dtype), dtype)


def patches(
    images: Sequence[NDArray[np.uint8]],
    size_of: Callable[[int, int], tuple[int, int]],
    processor: Processor,
    dtype: str,
) -> tuple[Any, list[list[int]]]:
    """Qwen-like patches of images that are resized to sizes of the copy's own rule.

    Args:
        images: (H, W, 3) uint8 arrays with any strides.
        size_of: (height, width) of an image -> of what it is resized to.
        processor: of the family `qwen2-vl`; its own rule on sizes counts only where it agrees.
        dtype: as in `squares`.

    Returns:
        (patches, C * T * p * p) tensor, and [1, rows, columns] of each image.
    """
    side = processor.to_dict()["patch_size"]
    sizes = [size_of(*image.shape[:2]) for image in images]
    grids = [[1, height // side, width // side] for height, width in sizes]
    counts = [rows * columns for _, rows, columns in grids]
    columns = processor.plan(*sizes[0]).shape[1]
    kind = "uint16" if dtype == "bfloat16" else dtype
    out = np.empty((sum(counts), columns), np.dtype(kind))
    start = 0
    for image, size, count in zip(images, sizes, counts, strict=True):
        part = out[start : start + count]
        start += count
        if tuple(processor.plan(*image.shape[:2]).resized) == tuple(size):
            processor(image, dtype=dtype, out=part)
        else:
            large = resize_array(image, size, numerics="torchvision")
            processor(large, dtype=dtype, out=part, do_resize=False)
    return _tensor(out, dtype), grids


@functools.lru_cache(maxsize=32)
def patch_processor(
    max_pixels: int,
    patch_size: int,
    merge_size: int,
    temporal_patch_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    rescale_factor: float,
) -> Processor:
    """A processor for `patches`, with torchvision's numbers."""
    return Processor(
        "qwen2-vl",
        numerics="torchvision",
        max_pixels=max_pixels,
        patch_size=patch_size,
        merge_size=merge_size,
        temporal_patch_size=temporal_patch_size,
        image_mean=mean,
        image_std=std,
        rescale_factor=rescale_factor,
    )


def padded_patches(
    frames: Sequence[Any],
    sizes: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    processors: Sequence[Processor],
    side: int,
    dtype: str,
) -> Any:
    """Patches of images that are resized, then padded at the bottom and the right.

    Args:
        frames: RGB images of Pillow.
        sizes: for each, (height, width) after the resize and of the canvas, by the copy's rule.
        processors: for each, one of `limited_processor`; its own rule counts only where it agrees.
        side: of a patch, in pixels.
        dtype: as in `squares`.

    Returns:
        (patches, 3, side, side) tensor, row by row within a frame.
    """
    counts = [(canvas[0] // side) * (canvas[1] // side) for _, canvas in sizes]
    kind = "uint16" if dtype == "bfloat16" else dtype
    out = np.empty((sum(counts), 3, side, side), np.dtype(kind))
    start = 0
    for frame, wanted, processor, count in zip(frames, sizes, processors, counts, strict=True):
        part = out[start : start + count]
        start += count
        if not _plans(processor, frame, wanted):
            frame = resize(frame, wanted[0][::-1])
            if not _plans(processor, frame, wanted):
                raise Aside("a size that is limited in another way")
        processor(frame, dtype=dtype, out=part)
    return _tensor(out, dtype)


def _plans(
    processor: Processor, frame: Any, wanted: tuple[tuple[int, int], tuple[int, int]]
) -> bool:
    (view,) = processor.plan(frame.height, frame.width).views
    return (tuple(view.resized), tuple(view.canvas)) == wanted


@functools.lru_cache(maxsize=32)
def limited_processor(
    patch_size: int, merge_size: int, max_patches: int, most_a_side: int, norm: Norm
) -> Processor:
    """A processor for `padded_patches`, with Pillow's numbers."""
    return Processor(
        "kimi-k25",
        numerics="pillow",
        patch_size=patch_size,
        merge_size=merge_size,
        max_patches=max_patches,
        max_height=most_a_side,
        max_width=most_a_side,
        do_rescale=norm.mean is not None,
        **_normalising(norm),
    )


def joined(tensors: Sequence[Any]) -> Any:
    """`torch.cat`, without a copy where the tensors lie in memory one after the other."""
    torch = _torch()
    first = tensors[0]
    storage = first.untyped_storage().data_ptr()
    end = first.storage_offset()
    for tensor in tensors:
        if (
            not tensor.is_contiguous()
            or tensor.dtype != first.dtype
            or tensor.shape[1:] != first.shape[1:]
            or tensor.untyped_storage().data_ptr() != storage
            or tensor.storage_offset() != end
        ):
            return torch.cat(list(tensors))
        end += tensor.numel()
    count = sum(len(tensor) for tensor in tensors)
    return first.as_strided((count, *first.shape[1:]), first.stride(), first.storage_offset())


def _normalising(norm: Norm) -> dict[str, Any]:
    if norm.mean is None:
        return {"do_normalize": False}
    return {"image_mean": norm.mean, "image_std": norm.std}


def _tensor(array: NDArray[Any], dtype: str) -> Any:
    torch = _torch()
    if dtype == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _torch() -> Any:
    return importlib.import_module("torch")
