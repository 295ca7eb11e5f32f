"""Videos: from sampled frames and standardized arguments to a BatchFeature.

Decoding, sampling frames and converting them to RGB stay upstream's own. torchvision is the only
backend that transformers has for videos.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np

from ..options import canonical, preset
from ..video import VideoProcessor
from ._arguments import Elsewhere, vocabulary
from ._mixin import Exact, Made, named, noise

__all__ = ["ROOTS", "ExactVideos"]

#: Upstream's methods that ours stand for.
ROOTS: Final = ("_preprocess",)
#: Arguments that choose frames, which upstream has done before.
_SAMPLING: Final = frozenset(
    {
        *("num_frames", "fps", "min_frames", "max_frames", "video_start", "video_end"),
        *("do_sample_frames", "draw_on_frames", "return_metadata", "video_metadata"),
    }
)
#: (frames, height, width) that a check tries, in turn: see the images.
_SMALL: Final = (
    ((4, 60, 84), (6, 90, 48)),
    ((4, 60, 84), (4, 60, 84)),
    ((8, 60, 84),),
    ((4, 336, 672),),
)


class ExactVideos(Exact):
    """Mixed in before one of transformers' video processors, it replaces the pixel path."""

    def _preprocess(self, videos: Any, *args: Any, **kwargs: Any) -> Any:
        upstream = cast(Any, super())._preprocess

        def theirs(given: Any, arguments: Mapping[str, Any]) -> Any:
            return upstream(given, **arguments)

        return self._dynres_call(videos, named(upstream, args, kwargs), theirs)

    def _dynres_make(self, inputs: Any, arguments: Mapping[str, Any]) -> Made:
        floating = any(bool(video.dtype.is_floating_point) for video in inputs)
        arguments = {key: value for key, value in arguments.items() if key != "video_metadata"}
        key = (self._dynres_key(arguments), floating)
        return self._dynres_kept(key, lambda: self._dynres_new(arguments, floating))

    def _dynres_new(self, arguments: Mapping[str, Any], floating: bool) -> Made:
        row = self._dynres_row
        base = {**preset(row.family, True), **row.defaults}
        given = vocabulary(row).given(self, arguments, base, _SAMPLING)
        given = {key: value for key, value in given.items() if key not in _SAMPLING}
        options = canonical(given, base, "options", row.family, True)
        options |= {
            "do_convert_rgb": False,
            "input_data_format": "channels_first",
            "do_sample_frames": False,
        }
        processor = VideoProcessor.__new__(VideoProcessor)
        processor._set(row.family, self._dynres_numerics_now(), options)

        stacks = processor._variant({}).spec.stacks

        def run(videos: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
            # Frames between seconds are those that the video's duration says.
            known = given["video_metadata"] if stacks else ()
            seconds = [{"duration": video.duration} for video in known] or None
            return processor([video.numpy() for video in videos], video_metadata=seconds)

        kind = self._dynres_kind((floating, stacks), arguments, _SAMPLING)
        return Made(run, kind, options)

    def _dynres_check_inputs(self, inputs: Any, made: Made) -> None:
        torch: Any = sys.modules["torch"]
        self._dynres_check_torch({}, made.options)
        for video in inputs:
            if type(video) is not torch.Tensor or video.layout != torch.strided:
                raise Elsewhere(f"a {type(video).__name__}")
            if video.device.type != "cpu" or video.requires_grad:
                raise Elsewhere(f"a tensor on {video.device.type}")
            if video.ndim != 4 or video.shape[1] != 3:
                raise Elsewhere(f"a tensor of the shape {tuple(video.shape)}")

    def _dynres_small(self, inputs: Any, made: Made) -> Sequence[Any]:
        torch: Any = sys.modules["torch"]
        floating = any(bool(video.dtype.is_floating_point) for video in inputs)

        def video(frames: int, height: int, width: int) -> Any:
            pixels = noise(frames * height, width).reshape(frames, height, width, 3)
            moved = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
            tensor = torch.from_numpy(moved)
            return tensor.float() if floating else tensor

        return [[video(*shape) for shape in shapes] for shapes in _SMALL]
