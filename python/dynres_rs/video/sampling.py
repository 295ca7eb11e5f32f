"""Which frames of a video are taken, and the times that the model is told.

The rules are the compiled core's, in upstream's own arithmetic: no torch is needed. Indices count
the video's frames from 0, rates are frames a second, times are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _dynres_rs as _native
from .._dynres_rs import finite_number, integer, side
from .._types import I64
from ..arguments import as_list
from ..files import shown

__all__ = ["format_timestamps", "sample_indices", "timestamps"]


def sample_indices(
    total_num_frames: int,
    video_fps: float | None = None,
    *,
    rule: str = "linspace",
    num_frames: int | None = None,
    fps: float | None = None,
    min_frames: int = 4,
    max_frames: int | None = None,
    temporal_patch_size: int = 2,
    video_start: float | None = None,
    video_end: float | None = None,
) -> I64:
    """The frames that upstream takes from a video.

    Args:
        total_num_frames: frames of the video.
        video_fps: its rate.
        rule: whose rule: `"arange"` is transformers' `Qwen2VLVideoProcessor.sample_frames`,
            `"linspace"` its `Qwen3VLVideoProcessor.sample_frames`, `"qwen-vl-utils"` that
            package's `smart_nframes` and `calculate_video_frame_range`.
        num_frames: how many to take, instead of `fps`.
        fps: how many to take a second.
        min_frames: fewest that `fps` may come to.
        max_frames: most that `fps` may come to; None is 768, and in `"qwen-vl-utils"` no more
            than there are.
        temporal_patch_size: frames of a temporal patch, for `"arange"`.
        video_start: where to begin, in seconds; only in `"qwen-vl-utils"`.
        video_end: where to end, in seconds; only in `"qwen-vl-utils"`.

    Returns:
        (n,) int64, ascending; `"linspace"` repeats frames where it is asked for more than there
        are.

    Raises:
        ValueError: both `num_frames` and `fps`, a rate that is needed and missing, numbers that
            leave no frame or more than there are (upstream raises `ZeroDivisionError` for some), or
            more than 2**24 frames.
    """
    return _native.sample_indices(
        *(total_num_frames, video_fps, rule, num_frames, fps, min_frames, max_frames),
        *(temporal_patch_size, video_start, video_end),
    )


def timestamps(
    frames_indices: Sequence[int] | I64, video_fps: float, temporal_patch_size: int = 2
) -> list[float]:
    """The time of each temporal patch: halfway between its first and its last frame.

    As transformers' `Qwen3VLProcessor._calculate_timestamps`; the last frame is repeated over what
    is missing in the last patch.

    Args:
        frames_indices: the frames taken.
        video_fps: the video's rate, in frames a second.
        temporal_patch_size: frames of a temporal patch.

    Returns:
        seconds, one a temporal patch.

    Raises:
        TypeError: frames that are no integers, or a rate that is no number.
        ValueError: a rate or a number of frames that is not above 0.
    """
    indices: list[Any] = as_frames("frames_indices", frames_indices)
    temporal_patch_size = side("temporal_patch_size", temporal_patch_size)
    if finite_number("video_fps", video_fps) <= 0:
        raise ValueError(f"video_fps: must be a finite number above 0, got {shown(video_fps)}")
    if missing := -len(indices) % temporal_patch_size:
        indices += indices[-1:] * missing
    times = [index / video_fps for index in indices]
    last = temporal_patch_size - 1
    return [(times[i] + times[i + last]) / 2 for i in range(0, len(times), temporal_patch_size)]


def format_timestamps(times: Sequence[float]) -> list[str]:
    """Times as Qwen3-VL's prompt has them before each temporal patch: `<1.5 seconds>`.

    Args:
        times: seconds, one a temporal patch, as `timestamps` returns them.

    Returns:
        a text for each.

    Raises:
        TypeError: no sequence of numbers.
        ValueError: a time that is not finite.
    """
    return [f"<{finite_number('times', time):.1f} seconds>" for time in as_list("times", times)]


def as_frames(name: str, given: Any) -> list[int]:
    """Numbers of frames as a list of integers."""
    return [integer(name, index) for index in as_list(name, given)]
