"""From tensors back to the picture that a model saw."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from . import _dynres_rs as _native
from ._types import U8, DType
from .files import shown

if TYPE_CHECKING:
    from ._dynres_rs import Plan

__all__ = ["unpack"]

#: Values that are turned at once.
PART: Final = 1 << 20
#: numpy's dtype of an array of pixels, and the element that it holds.
ELEMENTS: dict[str, DType] = {
    "float32": "float32",
    "float16": "float16",
    "uint16": "bfloat16",
    "uint8": "uint8",
}


def unpack(pixel_values: Any, plan: Plan, *, key: str = "pixel_values") -> U8 | list[U8]:
    """The bytes that became these patches or tiles: packing and normalising undone, exactly.

    Args:
        pixel_values: one image's part of the array, as `plan.shape` says (a temporal axis of one
            copy is accepted too): float32, float16, bfloat16 (uint16 in numpy) or uint8; a numpy
            array or a torch tensor.
        plan: the plan of that image, of the processor that made the array.
        key: which of the plan's arrays of pixels it is, for families that have two.

    Returns:
        patches: (H, W, 3) uint8, the resized image. Tiles: a list of (S, S, 3) uint8, in order.

    Raises:
        TypeError: another dtype, or no plan.
        ValueError: another shape; a value that no byte becomes with this plan's mean and deviation;
            a dtype in which two bytes become the same value, so that there is no inverse; or an
            array that is resized in floats, padded with rows, or of another order of patches.

    float32, float16 and uint8 have an inverse for every preset. bfloat16 has one where mean and
    deviation are 0.5 (Qwen3-VL, DeepSeek-VL2) or ImageNet's (InternVL); CLIP's (Qwen2-VL,
    Qwen2.5-VL, GOT-OCR2, DeepSeek-VL) put the blue bytes 253 and 254 on one value, and are refused.
    """
    if not isinstance(plan, _native.Plan):
        raise TypeError(f"plan: must be a Plan, got {type(plan).__name__}")
    shapes = plan.shapes
    if key not in shapes:
        raise ValueError(f"key: must be one of {', '.join(shapes)}; got '{shown(key, 40)}'")
    array = _array(pixel_values)
    element = ELEMENTS.get(array.dtype.name)
    if element is None or not array.dtype.isnative:
        raise TypeError(
            f"pixel_values: must be float32, float16, bfloat16 or uint8, got {array.dtype.str}"
        )
    shape = shapes[key]
    packing = plan._packing(key)
    if packing is None:
        raise ValueError(f"key: what '{key}' holds for this plan cannot be put back")
    patch, merge, times = packing
    compact = (shape[0], shape[1] // times) if len(shape) == 2 else shape
    if array.shape not in (shape, compact):
        raise ValueError(f"pixel_values: must have the shape {shape}, got {array.shape}")
    copies = times if array.shape == shape else 1
    flat = np.empty(array.shape, np.uint8)
    # Part by part, so that signals are answered and little is held beside the input and the result.
    step = max(PART // max(math.prod(array.shape[1:]), 1), 1)
    for start in range(0, len(array), step):
        rows = slice(start, start + step)
        values = np.ascontiguousarray(array[rows])
        if element in ("float16", "bfloat16"):
            values = values.view(np.uint16)
        first = start * math.prod(array.shape[1:])
        _native.unpack(plan, key, values, element, copies, first, flat[rows])
    if not patch:
        return [_assembled(tile, (1, 1), 1, tile.shape[1:], 1) for tile in flat]
    return _assembled(flat, plan.grid, merge, (patch, patch), copies)


def _assembled(
    patches: U8, grid: tuple[int, int], merge: int, patch: tuple[int, ...], copies: int
) -> U8:
    """(H, W, 3) from patches in merge blocks, each (channel, time, row, column)."""
    image = np.empty((grid[0] * patch[0], grid[1] * patch[1], 3), np.uint8)
    _native.assemble(patches, image, grid, merge, patch, copies)
    return image


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    if type(values).__module__ == "torch" and hasattr(values, "detach"):
        tensor = values.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            import torch  # type: ignore[import-not-found, unused-ignore]

            tensor = tensor.contiguous().view(torch.int16)
            return np.asarray(tensor.numpy().view(np.uint16))
        return np.asarray(tensor.numpy())
    raise TypeError(f"pixel_values: must be an array or a tensor, got {type(values).__name__}")
