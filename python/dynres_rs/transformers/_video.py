"""The one override for videos: from sampled frames and standardized arguments to a BatchFeature.

Decoding, sampling frames and converting them to RGB stay upstream's own. torchvision is the only
backend that transformers has for videos.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from ..video import VideoProcessor
from ._families import Elsewhere, hashable
from ._mixin import Exact, batch_feature, check_steps, check_torch, from_numpy

__all__ = ["VIDEO_ROWS", "ExactVideos"]

#: (folder under `transformers.models`, class, family)
VIDEO_ROWS: Final = (
    ("qwen2_vl", "Qwen2VLVideoProcessor", "qwen2-vl"),
    ("qwen3_vl", "Qwen3VLVideoProcessor", "qwen3-vl"),
)
STEPS: Final = frozenset({"normalize", "patchify", "rescale", "rescale_and_normalize", "resize"})
_KEYS: Final = (
    "resample",
    "rescale_factor",
    "image_mean",
    "image_std",
    "patch_size",
    "temporal_patch_size",
    "merge_size",
)


class ExactVideos(Exact):
    """Mixed in before one of transformers' video processors, it replaces the pixel path."""

    _dynres_family: ClassVar[str]

    def _preprocess(self, videos: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        upstream = cast(Any, super())

        def ours() -> Any:
            if args:
                raise Elsewhere("positional arguments after the videos")
            return self._dynres_run(videos, kwargs)

        return self._dynres_or_upstream(ours, lambda: upstream._preprocess(videos, *args, **kwargs))

    def _dynres_run(self, videos: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        check_steps(self, STEPS)
        options = self._dynres_options(kwargs)
        check_torch(options, None)
        torch: Any = sys.modules["torch"]
        for video in videos:
            if type(video) is not torch.Tensor or video.layout != torch.strided:
                raise Elsewhere(f"a {type(video).__name__}")
            if video.device.type != "cpu" or video.requires_grad:
                raise Elsewhere(f"a tensor on {video.device.type}")
            if video.ndim != 4 or video.shape[1] != 3:
                raise Elsewhere(f"a tensor of the shape {tuple(video.shape)}")
        processor = _processor(self._dynres_family, self._dynres_numerics_now(), options)
        batch = processor([video.numpy() for video in videos])
        data = {key: from_numpy(batch[key]) for key in ("pixel_values_videos", "video_grid_thw")}
        return batch_feature()(data=data, tensor_type=kwargs.get("return_tensors"))

    def _dynres_options(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        size = kwargs["size"]
        if not size.shortest_edge or not size.longest_edge:
            raise Elsewhere("size without shortest_edge and longest_edge")
        if any(kwargs.get(key) is None for key in _KEYS):
            raise Elsewhere("an argument is None")
        return {
            **{key: kwargs[key] for key in _KEYS},
            **{key: bool(kwargs.get(key)) for key in ("do_resize", "do_rescale", "do_normalize")},
            "min_pixels": size.shortest_edge,
            "max_pixels": size.longest_edge,
            "cap_pixels_per_frame": bool(kwargs.get("cap_pixels_per_frame")),
            "max_video_tokens": cast(Any, self).max_video_tokens,
            "do_sample_frames": False,
            "do_convert_rgb": False,
            "input_data_format": "channels_first",
        }


def _processor(family: str, numerics: str, options: Mapping[str, Any]) -> VideoProcessor:
    items = tuple((key, hashable(value)) for key, value in options.items())
    return _cached(family, numerics, items)


@functools.lru_cache(maxsize=64)
def _cached(family: str, numerics: str, items: tuple[tuple[str, Any], ...]) -> VideoProcessor:
    options = {key: value for key, (_, value) in items}
    return VideoProcessor(family, numerics=numerics, **options)
