"""Arrays that follow from the pixels of a call, by their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .._dynres_rs import Plan

__all__ = ["DERIVED"]

#: Grey levels, of normalised values times 255, above which a token is kept.
THRESHOLD: Final = 0.1


def _kept(
    options: Mapping[str, Any], pixels: NDArray[Any], plans: list[Plan], every: NDArray[Any]
) -> NDArray[Any]:
    """Tokens that differ from those of the frame before, by the mean of their values; of each
    frame at least the first.

    As transformers' `VideoLlama3VideoProcessor._get_compression_mask`.
    """
    if not options["use_token_compression"]:
        return every
    masks = []
    start = 0
    for plan in plans:
        rows = plan.num_patches
        frames = pixels[start : start + rows].reshape(plan.num_frames, -1)
        start += rows
        tokens = plan.num_tokens // plan.num_frames
        cells = frames.reshape(plan.num_frames, tokens, -1)
        mask = np.ones((plan.num_frames, tokens), bool)
        for number in range(1, plan.num_frames):
            change = np.abs(cells[number] - cells[number - 1]).mean(axis=-1) * np.float32(255)
            mask[number] = change > np.float32(THRESHOLD)
            if not mask[number].any():
                mask[number, 0] = True
        masks.append(mask.ravel())
    return np.concatenate(masks) if masks else every


Derive = Callable[[Mapping[str, Any], NDArray[Any], list[Plan], NDArray[Any]], NDArray[Any]]

DERIVED: Final[dict[str, Derive]] = {"video_compression_mask": _kept}
