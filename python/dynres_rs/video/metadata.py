"""What is known of a video: `VideoMetadata`, and how a call's `video_metadata` is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np

from .._dynres_rs import DEFAULT_FPS, finite_number, side
from ..files import shown
from .sampling import as_frames, format_timestamps, timestamps

__all__ = ["VideoMetadata", "read_metadata"]


@dataclass
class VideoMetadata:
    """What is known of a video, under transformers' names (`transformers.video_utils`)."""

    total_num_frames: int | None = None
    """Frames of the whole video."""
    fps: float | None = None
    """Its frames a second."""
    width: int | None = None
    """In pixels."""
    height: int | None = None
    """In pixels."""
    duration: float | None = None
    """In seconds."""
    video_backend: str | None = None
    """What decoded it: `"pyav"`, or None."""
    frames_indices: list[int] | None = None
    """The frames taken."""
    temporal_patch_size: int = 2
    """Frames of a temporal patch."""

    @property
    def timestamps(self) -> list[float]:
        """The time of each temporal patch in seconds, as Qwen3-VL's processor has it; a video of
        unknown rate counts as one of 24 frames a second."""
        if self.frames_indices is None:
            raise ValueError("frames_indices: are not known")
        return timestamps(self.frames_indices, self.fps or DEFAULT_FPS, self.temporal_patch_size)

    @property
    def timestamp_texts(self) -> list[str]:
        """The same as Qwen3-VL's prompt has them: `<1.5 seconds>`."""
        return format_timestamps(self.timestamps)

    @property
    def sampled_fps(self) -> float:
        """Frames taken a second, as transformers' `VideoMetadata.sampled_fps`."""
        if self.fps is not None and not finite_number("fps", self.fps) > 0:
            raise ValueError(f"fps: must be above 0, got {shown(self.fps)}")
        if self.total_num_frames is not None:
            side("total_num_frames", self.total_num_frames)
        if self.frames_indices is None or not self.total_num_frames or self.fps is None:
            return self.fps or DEFAULT_FPS
        return len(self.frames_indices) / self.total_num_frames * self.fps

    @property
    def second_per_grid_t(self) -> float:
        """Seconds between temporal patches, as Qwen2.5-VL's processor computes them."""
        side("temporal_patch_size", self.temporal_patch_size)
        if self.frames_indices is not None and not len(self.frames_indices):
            raise ValueError("frames_indices: must hold at least one frame")
        return self.temporal_patch_size / self.sampled_fps


def read_metadata(given: Any, count: int, temporal: int) -> list[VideoMetadata]:
    if given is None:
        return [VideoMetadata(temporal_patch_size=temporal) for _ in range(count)]
    items = list(given) if isinstance(given, list | tuple) else [given]
    if len(items) != count:
        raise ValueError(
            f"video_metadata: must have one entry for each of {count} videos, got {len(items)}"
        )
    return [_one(item, temporal) for item in items]


def _one(item: Any, temporal: int) -> VideoMetadata:
    made = VideoMetadata(temporal_patch_size=temporal)
    if item is None:
        return made
    names = [field.name for field in fields(VideoMetadata) if field.name != "temporal_patch_size"]
    if isinstance(item, Mapping):
        given = {name: item.get(name) for name in names}
    elif any(hasattr(item, name) for name in names):
        given = {name: getattr(item, name, None) for name in names}
    else:
        raise TypeError(
            "video_metadata: must be a dict or an object with total_num_frames, fps or"
            f" frames_indices, got {type(item).__name__}"
        )
    for name, value in given.items():
        if value is not None:
            setattr(made, name, _value(name, value))
    return made


def _value(name: str, value: Any) -> Any:
    if name in ("total_num_frames", "fps"):
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction | np.number):
            raise TypeError(f"{name}: must be a number, got {type(value).__name__}")
        if name == "fps":
            rate = finite_number(name, value)
            if rate <= 0:
                raise ValueError(f"{name}: must be above 0, got {shown(rate)}")
            return rate
        if not 1 <= value < 2**31:
            raise ValueError(f"{name}: must be in 1..2**31, got {shown(value)}")
        return int(value)
    if name == "frames_indices":
        return as_frames(name, value)
    return value
