"""Which frames of a video are taken, and the times that the model is told.

Upstream's own arithmetic, float32 steps and all, in numpy: no torch is needed. Indices count the
video's frames from 0, rates are frames a second, times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .._types import I64
from ..arguments import _integer, _side, as_list, finite_number
from ..files import shown
from .rules import DEFAULT_FPS, torch_arange

__all__ = ["format_timestamps", "frame_range", "sample_indices", "timestamps"]

#: The most frames of a video, as the compiled core has it: six days at 30 a second.
MAX_FRAMES: Final = 1 << 24
#: qwen-vl-utils: frames of a temporal patch, and the rate and limits where nothing is said.
FRAME_FACTOR: Final = 2


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
    total_num_frames = _side("total_num_frames", total_num_frames)
    temporal_patch_size = _side("temporal_patch_size", temporal_patch_size)
    video_fps = _rate("video_fps", video_fps)
    fps = None if fps is None else finite_number("fps", fps)
    num_frames = None if num_frames is None else _integer("num_frames", num_frames)
    min_frames = _integer("min_frames", min_frames)
    max_frames = None if max_frames is None else _integer("max_frames", max_frames)
    video_start = None if video_start is None else finite_number("video_start", video_start)
    video_end = None if video_end is None else finite_number("video_end", video_end)
    limited = {"total_num_frames": total_num_frames, "num_frames": num_frames}
    for name, frames in {**limited, "min_frames": min_frames}.items():
        if frames is not None and frames > MAX_FRAMES:
            raise ValueError(f"{name}: must be at most 2**24, got {frames}")
    if fps is not None and num_frames is not None:
        raise ValueError("num_frames: must be None where fps is given; they exclude each other")
    if rule == "qwen-vl-utils":
        limits = (min_frames, max_frames)
        span = (video_start, video_end)
        return _qwen_vl_utils(total_num_frames, video_fps, num_frames, fps, limits, span)
    if video_start is not None or video_end is not None:
        raise ValueError("video_start: is only known where sampling is 'qwen-vl-utils'")
    most = 768 if max_frames is None else max_frames
    if rule == "arange":
        limits = (min_frames, most)
        return _arange(total_num_frames, video_fps, num_frames, fps, limits, temporal_patch_size)
    if rule == "linspace":
        return _linspace(total_num_frames, video_fps, num_frames, fps, (min_frames, most))
    raise ValueError(
        f"sampling: must be one of arange, linspace, qwen-vl-utils; got '{shown(rule, 40)}'"
    )


def _rate(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    found = finite_number(name, value)
    if found <= 0:
        raise ValueError(f"{name}: must be a finite number above 0, got {shown(value)}")
    return found


def _arange(
    total: int,
    video_fps: float | None,
    num_frames: int | None,
    fps: float | None,
    limits: tuple[int, int],
    temporal: int,
) -> I64:
    """`torch.arange(0, total, total / n).int()`, which has one element more than n where the
    division rounds down."""
    if num_frames is None and fps is None:
        return np.arange(total, dtype=np.int64)
    if num_frames is not None:
        count = round(num_frames / temporal) * temporal
    else:
        if video_fps is None:
            raise ValueError("fps: needs the video's own rate; pass video_metadata, or num_frames")
        most = math.floor(min(limits[1], total) / temporal) * temporal
        wanted = min(max(total / video_fps * float(fps or 0), limits[0]), most, total)
        count = math.floor(wanted / temporal) * temporal
    if count > total:
        raise ValueError(f"num_frames: must be at most the video's {total} frames, got {count}")
    if count < 1:
        raise ValueError(
            f"num_frames: a video of {total} frames leaves no whole temporal patch of {temporal}"
        )
    return torch_arange(0, total, total / count)


def _linspace(
    total: int,
    video_fps: float | None,
    num_frames: int | None,
    fps: float | None,
    limits: tuple[int, int],
) -> I64:
    if num_frames is None and fps is not None:
        count = int(min(total / (video_fps or DEFAULT_FPS) * fps, 2.0**62))
        count = min(max(count, limits[0]), limits[1], total)
    elif num_frames is None:
        count = min(max(total, limits[0]), limits[1])
    else:
        count = num_frames
    if count < 1:
        raise ValueError(f"num_frames: must be at least 1, got {count}")
    return np.linspace(0, total - 1, count).round().astype(np.int64)


def frame_range(
    total_num_frames: int,
    video_fps: float,
    video_start: float | None = None,
    video_end: float | None = None,
) -> tuple[int, int]:
    """The first and last frame between two times, as qwen-vl-utils' `calculate_video_frame_range`.

    Raises:
        ValueError: the first is not before the last.
    """
    if video_start is None and video_end is None:
        return 0, total_num_frames - 1
    duration = total_num_frames / video_fps
    start, end = 0, total_num_frames - 1
    if video_start is not None:
        start = math.ceil(max(0.0, min(video_start, duration)) * video_fps)
    if video_end is not None:
        end = min(math.floor(max(0.0, min(video_end, duration)) * video_fps), end)
    if start >= end:
        raise ValueError(
            f"video_start: frame {start} must come before frame {end} of video_end, in a video of"
            f" {total_num_frames} frames, {duration:.2f} seconds"
        )
    return start, end


def _qwen_vl_utils(
    total: int,
    video_fps: float | None,
    num_frames: int | None,
    fps: float | None,
    limits: tuple[int, int | None],
    span: tuple[float | None, float | None],
) -> I64:
    if video_fps is None and (num_frames is None or span != (None, None)):
        raise ValueError("fps: needs the video's own rate; pass video_metadata, or num_frames")
    start, end = frame_range(total, video_fps or DEFAULT_FPS, *span)
    total = end - start + 1
    if num_frames is not None:
        count = round(num_frames / FRAME_FACTOR) * FRAME_FACTOR
    else:
        fewest = math.ceil(limits[0] / FRAME_FACTOR) * FRAME_FACTOR
        most = min(768, total) if limits[1] is None else limits[1]
        most = math.floor(most / FRAME_FACTOR) * FRAME_FACTOR
        wanted = total / (video_fps or DEFAULT_FPS) * (2.0 if fps is None else fps)
        wanted = min(min(max(wanted, fewest), most), total)
        count = math.floor(wanted / FRAME_FACTOR) * FRAME_FACTOR
    if not FRAME_FACTOR <= count <= total:
        raise ValueError(f"num_frames: must be in {FRAME_FACTOR}..{total}, got {count}")
    return _torch_linspace(start, end, count)


def _torch_linspace(start: int, end: int, count: int) -> I64:
    """`torch.linspace(start, end, count).round().long()`: float32, from both ends to the middle,
    multiplication and addition fused, as on every processor with AVX2."""
    first, last = np.float32(start), np.float32(end)
    step = float((last - first) / np.float32(count - 1))
    index = np.arange(count)
    up = float(first) + step * index
    down = float(last) - step * (count - index - 1)
    values = np.where(index < count // 2, up, down).astype(np.float32)
    return np.rint(values).astype(np.int64)


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
    temporal_patch_size = _side("temporal_patch_size", temporal_patch_size)
    video_fps = _rate("video_fps", finite_number("video_fps", video_fps)) or DEFAULT_FPS
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
    return [_integer(name, index) for index in as_list(name, given)]
