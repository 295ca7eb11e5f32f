"""A video, opened: the size and number of its frames, and those that are to be taken, in order.

Frames in memory are read where they lie, iterators and files as they come.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from .._dynres_rs import Plan
from ..failures import placed
from ..images import Policy, Ready, prepare
from .file import VideoFile
from .metadata import VideoMetadata

__all__ = ["Frames", "Listed", "VideosInput", "as_videos", "open_video"]

#: A video or a list of them.
VideosInput = Any


class Frames(ABC):
    """One video, opened: its frames' size and number, and the frames that are to be taken."""

    def __init__(self, metadata: VideoMetadata) -> None:
        self.metadata = metadata
        self.count: int | None = None
        """How many are taken; None where only the end of the stream will tell."""
        self.indices: list[int] | None = None
        """Which are taken; None is all. Not the metadata's: those frames may be sampled already."""
        self.floating: str | None = None
        """The dtype of floating-point frames that hold integers."""
        self.units: list[tuple[Plan, list[tuple[int, int, int]]]] | None = None
        """What the model sees one by one, where several frames lie on one canvas: see `stacked`."""
        self.layout = "channels_last"
        """Where the channels of its frames are."""

    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width of every frame."""

    @abstractmethod
    def taken(self) -> Iterator[Any]:
        """What is taken, in order; each is ready for the core."""


class Listed(Frames):
    """Frames in memory: a sequence, or the first axis of an array."""

    def __init__(
        self, frames: Sequence[Any], policy: Policy, metadata: VideoMetadata, like: str | None
    ) -> None:
        super().__init__(metadata)
        if not len(frames):
            raise ValueError("video: must have at least one frame")
        self._frames = frames
        self._policy = policy = _laid_out(frames[0], policy, like)
        self.layout = policy.layout or self.layout
        if metadata.total_num_frames is None:
            metadata.total_num_frames = len(frames)
        self._first = _frame(frames[0], policy, 0)
        self.floating = self._first.floating
        self.in_place = is_array(frames)
        if not self.in_place:
            for index, frame in enumerate(frames):
                _check_shape(frames[0], frame, index)

    def __len__(self) -> int:
        return len(self._frames)

    def size(self) -> tuple[int, int]:
        return self._first.height, self._first.width

    def taken(self) -> Iterator[Any]:
        indices = self.indices
        for index in range(len(self._frames)) if indices is None else indices:
            ready = _frame(self._frames[index], self._policy, index) if index else self._first
            _check_like(self._first, ready, index)
            yield ready.pixels


class Streamed(Frames):
    """Frames of an iterator, which is asked for no more than the last one that is taken."""

    def __init__(
        self, frames: Iterator[Any], policy: Policy, metadata: VideoMetadata, like: str | None
    ) -> None:
        super().__init__(metadata)
        self._frames = frames
        first = next(frames, None)
        if first is None:
            raise ValueError("video: must have at least one frame")
        self._policy = policy = _laid_out(first, policy, like)
        self.layout = policy.layout or self.layout
        self._first = _frame(first, policy, 0)
        self.floating = self._first.floating

    def size(self) -> tuple[int, int]:
        return self._first.height, self._first.width

    def taken(self) -> Iterator[Any]:
        indices = self.indices
        wanted: Iterator[int] | None = None if indices is None else iter(indices)
        ready: Ready | None = self._first
        number = 0
        for index in count() if wanted is None else wanted:
            while number < index or ready is None:
                frame = next(self._frames, None)
                if frame is None:
                    if wanted is None:
                        return
                    raise ValueError(
                        f"video: ended after {number + 1} frames, where frame {index} is taken"
                    )
                number += 1
                if number == index:
                    ready = _frame(frame, self._policy, index)
                    _check_like(self._first, ready, index)
            yield ready.pixels
            if wanted is None:
                ready = None


class Decoded(Frames):
    """Frames of a file."""

    def __init__(self, file: VideoFile, metadata: VideoMetadata) -> None:
        super().__init__(metadata)
        self._file = file
        total, fps = file.total_num_frames, file.fps
        if metadata.fps is None:
            metadata.fps = fps
        metadata.total_num_frames, metadata.frames_indices = total, None
        metadata.height, metadata.width = file.height, file.width
        metadata.duration = total / metadata.fps if metadata.fps else None
        metadata.video_backend = "pyav"

    def size(self) -> tuple[int, int]:
        return self._file.height, self._file.width

    def taken(self) -> Iterator[Any]:
        size = self.size()
        indices = self.indices
        everything = range(self._file.total_num_frames)
        for array in self._file.frames(everything if indices is None else indices):
            if array.shape[:2] != size:
                raise ValueError(
                    f"video: all frames must have one size, got {size} and {array.shape[:2]}"
                )
            yield array


def _laid_out(first: Any, policy: Policy, like: str | None) -> Policy:
    """The policy with the layout of a video's frames: upstream looks for one or three channels in
    the first video of a call, for four as well in an image. The others are laid out `like` it,
    where they can be."""
    shape: Sequence[int] = getattr(first, "shape", ())
    if policy.layout is not None or len(shape) != 3:
        return policy
    fits = {"channels_first": shape[0] in (1, 3), "channels_last": shape[2] in (1, 3)}
    found = like if fits.get(like or "") else next((name for name in fits if fits[name]), None)
    return policy._replace(layout=found)


def _frame(frame: Any, policy: Policy, index: int) -> Ready:
    try:
        return prepare(frame, policy)
    except Exception as error:
        raise placed(error, f"frame {index}: ") from None


def _check_shape(first: Any, frame: Any, index: int) -> None:
    """Before anything is written: frames that show their size without being read."""
    one, other = (getattr(each, "shape", getattr(each, "size", None)) for each in (first, frame))
    if type(first) is type(frame) and one != other and isinstance(one, tuple):
        raise ValueError(
            f"video: all frames must have one size, got {one} and frame {index} of {other}"
        )


def _check_like(first: Ready, ready: Ready, index: int) -> None:
    if (ready.height, ready.width) != (first.height, first.width):
        raise ValueError(
            f"video: all frames must have one size, got {(first.height, first.width)} and frame"
            f" {index} of {(ready.height, ready.width)}"
        )
    if ready.floating != first.floating:
        one, other = (each.floating or "uint8" for each in (first, ready))
        raise TypeError(
            f"video: all frames must have one dtype, got {one} and frame {index} of {other}"
        )


def is_array(value: Any) -> bool:
    return hasattr(value, "ndim") and hasattr(value, "shape")


def _is_frame(value: Any) -> bool:
    """Whether an element of a list is a frame; paths and bytes are videos there."""
    if is_array(value):
        return bool(value.ndim in (2, 3))
    return hasattr(value, "getbands") or hasattr(value, "__array_interface__")


def as_videos(videos: VideosInput) -> tuple[list[Any], bool]:
    """The videos of a call in order, and whether it was one."""
    if videos is None:
        raise TypeError("videos: must be a video or a list of videos, got None")
    if is_array(videos):
        return (list(videos), False) if videos.ndim == 5 else ([videos], True)
    if isinstance(videos, list | tuple):
        if not videos:
            raise ValueError("videos: must hold at least one video, got an empty list")
        return ([videos], True) if _is_frame(videos[0]) else (list(videos), False)
    return [videos], True


def open_video(
    video: Any,
    policy: Policy,
    metadata: VideoMetadata,
    num_threads: int,
    like: str | None = None,
) -> Frames:
    """A video of any kind, opened; nothing but its first frame has been read. `like` is the layout
    of the first video of a call."""
    if isinstance(video, str | bytes | os.PathLike):
        return Decoded(VideoFile(video, policy.max_pixels, num_threads), metadata)
    if is_array(video):
        if video.ndim != 4:
            raise ValueError(
                "video: must have the shape (frames, height, width, 3) or (frames, 3, height,"
                f" width), got {tuple(video.shape)}"
            )
        return Listed(video, policy, metadata, like)
    if isinstance(video, list | tuple):
        return Listed(video, policy, metadata, like)
    if hasattr(video, "__next__"):
        return Streamed(video, policy, metadata, like)
    if hasattr(video, "__iter__") and not isinstance(video, Mapping | set):
        if metadata.total_num_frames is None and hasattr(video, "__len__"):
            metadata.total_num_frames = len(video)
        return Streamed(iter(video), policy, metadata, like)
    raise TypeError(
        "video: must be an array, a list or an iterator of frames, a path, or bytes, got"
        f" {type(video).__name__}"
    )
