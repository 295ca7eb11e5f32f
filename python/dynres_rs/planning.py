"""What is known about images before their pixels: token counts, budgets, positions.

The numbers come from the compiled core, plans from its `Spec.plan`. `Planner` is the part of
`Processor` that needs sizes only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _dynres_rs as _native
from ._types import I64
from .positions import Positions, position_ids

if TYPE_CHECKING:
    from ._dynres_rs import Plan, Spec

__all__ = [
    "MultiModalTokens",
    "Packing",
    "Planner",
    "pack",
]

#: What upstream reads of a call's options to count the tokens of a video.
VIDEO_KEYS: Final = (
    "size",
    "patch_size",
    "merge_size",
    "temporal_patch_size",
    "cap_pixels_per_frame",
)


@dataclass(frozen=True)
class MultiModalTokens:
    """The numbers that serving engines ask for, as transformers' `MultiModalData` has them."""

    num_image_tokens: list[int] | None = None
    num_video_tokens: list[int] | None = None
    num_audio_tokens: list[int] | None = None
    num_image_patches: list[int] | None = None

    def __contains__(self, key: str) -> bool:
        return getattr(self, key, None) is not None

    def __getitem__(self, key: str) -> list[int] | None:
        if key not in self.__dataclass_fields__:
            raise KeyError(key)
        found: list[int] | None = getattr(self, key)
        return found


class Packing(NamedTuple):
    """Sequences packed into bins of at most `max_len` tokens."""

    bins: list[I64]
    """The numbers of the sequences of each bin, ascending."""
    cu_seqlens: list[NDArray[np.int32]]
    """For each bin the offsets of its sequences, from 0 to its length, as FlashAttention's
    variable-length kernels take them."""


def pack(token_counts: ArrayLike, max_len: int) -> Packing:
    """Packs sequences into as few bins as first-fit decreasing finds, deterministically.

    Never more than 11/9 of the fewest possible, plus one.

    Args:
        token_counts: (n,) integers, the lengths of the sequences in tokens.
        max_len: the most tokens of a bin.

    Returns:
        the bins in the order they were begun, and their `cu_seqlens` (int32).

    Raises:
        TypeError: lengths that are no integers.
        ValueError: a length that is negative or above `max_len`, or another shape.
    """
    return Packing(*_native.pack(token_counts, max_len))


class Planner(ABC):
    """What a `Processor` knows from sizes alone, beside `plan` and `num_tokens`."""

    __slots__ = ()

    @abstractmethod
    def _spec(self) -> Spec:
        """What plans are made from."""

    @abstractmethod
    def _video_plan(
        self, num_frames: int, height: int, width: int, options: dict[str, Any]
    ) -> Plan:
        """What will happen to a video."""

    @abstractmethod
    def _changed(self, options: dict[str, Any]) -> Self:
        """The same processor with other values of some options."""

    def fit(
        self,
        sizes: ArrayLike,
        *,
        tokens_per_image: int | None = None,
        total_tokens: int | None = None,
        quantile: float | tuple[float, int] | None = None,
        num_images: int = 1,
    ) -> Self:
        """The processor with the largest budget of pixels or tiles that these images can afford.

        It is found exactly, in integers: the answer meets the budget, and one pixel (one tile) more
        does not. What is searched: `max_pixels` from the processor's own down to `min_pixels`;
        `max_num` down to `min_num`; of `candidate_resolutions` those of most tiles are left out
        first. A processor that meets the budget already is returned as it is: pass a larger
        `max_pixels` to the constructor to look further.

        Args:
            sizes: (n, 2) integers, each (height, width) in pixels.
            tokens_per_image: the most tokens that an image may have.
            total_tokens: the most tokens that all images may have together.
            quantile: `(q, tokens)`: at least `ceil(q * n)` of the images have at most `tokens`; or
                q alone beside `tokens_per_image`. q is taken as the decimal that it prints as.
            num_images: images in each request, for the families that plan by it.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: not exactly one budget; one that no setting meets; or a size that upstream
                refuses.
        """
        changes = _native.fit(
            self._spec(), sizes, tokens_per_image, total_tokens, quantile, num_images
        )
        return self._changed(changes) if changes else self

    def get_number_of_image_patches(
        self, height: int, width: int, images_kwargs: Mapping[str, Any] | None = None
    ) -> int | tuple[int, ...]:
        """Tiles of an image of this size, or patches where a family has no tiles.

        As upstream has it, HunYuan's are (rows, columns) of patches and Idefics 3's and SmolVLM's
        (tiles, rows, columns), zeros where the image is not cut.

        Args:
            height: of the image, in pixels.
            width: of the image, in pixels.
            images_kwargs: options of the call. As in transformers only those that this number
                reads are looked at: `min_pixels`, `max_pixels`, `patch_size` and `merge_size`, or
                `min_patches`, `max_patches`, `patch_size` (the size of a tile) and
                `crop_to_patches`.

        Raises:
            TypeError: a size that is no integer.
            ValueError: a size below 1, or an aspect ratio above 200 (Qwen).

        Matches `get_number_of_image_patches` of transformers' classes that return such a number,
        such as `Qwen2VLImageProcessor` and `GotOcr2ImageProcessor`; as there, `max_image_pixels`
        and `do_resize` do not matter.
        """
        if not isinstance(images_kwargs, Mapping | None):
            kind = type(images_kwargs).__name__
            raise TypeError(f"images_kwargs: must be a dict, got {kind}")
        return _native.patch_counts(self._spec(), height, width, images_kwargs or {})

    def get_num_multimodal_tokens(
        self,
        image_sizes: Iterable[Iterable[int]] | None = None,
        video_sizes: Iterable[Iterable[int]] | None = None,
        **kwargs: Any,
    ) -> MultiModalTokens:
        """Placeholder tokens of images and videos, as a model's processor counts them.

        Args:
            image_sizes: (height, width) of each image.
            video_sizes: (num_frames, height, width) of each video, frames as they are taken.
            **kwargs: options, as in `get_number_of_image_patches`, or `images_kwargs=` with them.
                For videos `size`, `patch_size`, `merge_size`, `temporal_patch_size` and
                `cap_pixels_per_frame` are looked at, or `videos_kwargs=` with them.

        Returns:
            `num_image_tokens` and `num_image_patches`, a number each an image, and
            `num_video_tokens`; None for what was not asked.

        Raises:
            ValueError: a size that upstream refuses, or videos of a family that has none.

        Matches `_get_num_multimodal_tokens` of transformers' processors: what they count beside the
        image's own tokens differs (InternVL's two markers, Idefics 3's places and line breaks), and
        InternVL's crops to patches unless told otherwise. Where upstream's class has no such
        function, the words of `plan.placeholder()` are counted, each special one a token, of a
        video its own tokens alone.
        """
        alone, of_videos = kwargs.pop("images_kwargs", {}), kwargs.pop("videos_kwargs", {})
        for name, given in (("images_kwargs", alone), ("videos_kwargs", of_videos)):
            if not isinstance(given, Mapping):
                raise TypeError(f"{name}: must be a dict, got {type(given).__name__}")
        tokens, patches, video_tokens = None, None, None
        if image_sizes is not None:
            sizes = ((height, width) for height, width in image_sizes)
            read = {**alone, **kwargs}
            tokens, patches = _native.multimodal_tokens(self._spec(), sizes, read)
        if video_sizes is not None:
            read = {**of_videos, **kwargs}
            options = {key: read[key] for key in VIDEO_KEYS if read.get(key) is not None}
            plans = [
                self._video_plan(frames, height, width, options)
                for frames, height, width in video_sizes
            ]
            counts = [(plan.num_prompt_tokens, plan.num_tokens) for plan in plans]
            video_tokens = [seen if said is None else said for said, seen in counts]
        return MultiModalTokens(tokens, video_tokens, None, patches)

    def mrope_position_ids(
        self,
        mm_token_type_ids: ArrayLike,
        *,
        image_grid_thw: ArrayLike | None = None,
        video_grid_thw: ArrayLike | None = None,
        second_per_grid_ts: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
    ) -> Positions:
        """Positions of tokens for multimodal rotary embeddings, as the family's model makes them.

        Args:
            mm_token_type_ids: (samples, length) integers: 0 for a word, 1 for a token of an image,
                2 for one of a video, as transformers' processors return them.
            image_grid_thw: (images, 3) of all samples, in the order of the text.
            video_grid_thw: (videos, 3), likewise.
            second_per_grid_ts: (videos,) seconds of a temporal patch, which Qwen2.5-VL reads; None
                is one each.
            attention_mask: (samples, length); zeros are padding, whose positions are 0.

        Returns:
            `position_ids`, int64 (3, samples, length) of time, row and column, and
            `mrope_position_deltas`, int64 (samples, 1). HunYuan-VL's have four axes: the text's
            place, column, row and the number of the image.

        Raises:
            TypeError: no integers.
            ValueError: another shape, grids that are not those of the tokens, or a family whose
                model places tokens as a text's.

        Matches `get_rope_index` of transformers' models: of Qwen2-VL, Qwen2.5-VL, Qwen3-VL (each
        temporal patch is a picture, its time stands in the text), GLM-4V, ERNIE 4.5 VL and others.
        """
        spec = self._spec()
        rule = _native.positions(spec.family)
        if rule is None:
            known = ", ".join(name for name in _native.families() if _native.positions(name))
            raise ValueError(f"family: must be one whose model places tokens by grids: {known}")
        merge = int(spec.options["merge_size"])
        return position_ids(
            rule,
            merge,
            mm_token_type_ids,
            image_grid_thw,
            video_grid_thw,
            second_per_grid_ts,
            attention_mask,
        )
