"""Video files through PyAV: what is in them without decoding, and frames by their number.

Needs the extra `video` (av). A file is demultiplexed once, which decodes nothing: that gives every
frame's time and the key frames. Of the frames, only those are decoded that lie between a wanted
one and the key frame before it, where the container can seek and has times; else all up to the
last wanted one.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from .. import _dynres_rs as _native
from .._types import U8
from ..files import check_openable, shown

__all__ = ["SUFFIXES", "VideoFile", "is_video_name"]

#: Names of files that the command takes for videos.
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv")

#: FFmpeg's names of the containers that are read. Others are playlists, descriptions of network
#: sessions, lists of further files, and devices: reading those opens what they name.
CONTAINERS: Final = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpeg", "mpegts"),
    *("mpegvideo", "asf", "flv", "live_flv", "ogg", "gif", "ivf", "mxf", "h264", "hevc"),
)
#: Bytes that are read to find out what a file is: FFmpeg's own default.
PROBED: Final = 5_000_000
#: Seconds that FFmpeg may take to open a file, or to read the next packet of it.
PATIENCE: Final = 20.0
DAMAGED: Final = "is damaged and cannot be decoded"
#: What FFmpeg, or a reader, takes for a URL: it would look for a protocol of that name.
URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//|[A-Za-z][A-Za-z0-9+.-]*:)")


def is_video_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file's name says that it is a video."""
    return os.fspath(name).lower().endswith(SUFFIXES)


class VideoFile:
    """A video file, or one in memory.

    Args:
        source: a path, or the file's bytes.
        max_pixels: of a frame; a larger one is refused before anything is decoded.
        threads: of the decoder; 0 is its own choice.

    Raises:
        ImportError: PyAV is not installed.
        OSError: no such file, no regular file, nothing that FFmpeg can read, a container that is
            not among `CONTAINERS`, or an MP4 or MOV that ends early; `TimeoutError` where reading
            takes longer than `PATIENCE`.
        ValueError: no video in it, or a URL.
        ImageTooLargeError: frames above `max_pixels`.
    """

    def __init__(
        self, source: str | os.PathLike[str] | bytes, max_pixels: int, threads: int = 1
    ) -> None:
        self._source = source
        self._threads = threads
        self._max_pixels = max_pixels
        self._limits = {"max_pixels": str(min(max_pixels, 2**31 - 1))}
        name = f"{len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)
        if not isinstance(name, str):
            raise TypeError("videos: a path must be str or os.PathLike of str")
        if not isinstance(source, bytes) and URL.match(name):
            raise ValueError("videos: URLs are not fetched; pass a path or the bytes")
        self._path = name
        self.name = shown(name)
        self.decoded = 0
        """Frames that the decoder has returned so far."""
        with self._open() as container:
            stream = self._stream(container)
            self.height: int = stream.height
            self.width: int = stream.width
            if not self.height or not self.width:
                # FFmpeg finds the size of some codings by decoding a frame, within the limit.
                raise _native.ImageTooLargeError(
                    f"{self.name}: has frames of more than max_image_pixels={max_pixels} pixels, or"
                    " of no size"
                )
            if self.height * self.width > max_pixels:
                raise _native.ImageTooLargeError(
                    f"{self.name}: more than max_image_pixels={max_pixels} pixels, got"
                    f" {(self.height, self.width)}"
                )
            rate = stream.average_rate or stream.guessed_rate
            self.fps: float | None = float(rate) if rate else None
            self._scan(container, stream)
            if not self.total_num_frames:
                raise ValueError(f"{self.name}: has no frames")

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        """The container, of which FFmpeg opens nothing but the file itself: no address, no other
        file, and no format that would ask for one."""
        av = _av()
        in_memory = isinstance(self._source, bytes)
        source: Any
        if isinstance(self._source, bytes):
            source = io.BytesIO(self._source)
        else:
            check_openable(self._path)
            # With its protocol before it, a path is no URL, whatever it looks like.
            source = f"file:{self._path}"
        options = {
            "format_whitelist": ",".join(CONTAINERS),
            "protocol_whitelist": "none" if in_memory else "file",
            "probesize": str(PROBED),
        }
        with self._translated("is no video that FFmpeg can read"):
            container = av.open(
                source,
                mode="r",
                options=self._limits,
                container_options=options,
                timeout=(PATIENCE, PATIENCE),
            )
        with container:
            yield container

    @contextlib.contextmanager
    def _translated(self, otherwise: str) -> Iterator[None]:
        """PyAV's own classes as the built-in ones, with our own text: theirs repeats the source,
        which for bytes is an object with its address."""
        av = _av()
        try:
            yield
        except MemoryError:
            raise MemoryError(f"{self.name}: no memory to decode it") from None
        except _native.ImageTooLargeError:
            raise
        except av.error.ExitError:
            raise TimeoutError(f"{self.name}: takes longer than {PATIENCE:g} s to read") from None
        except OSError as error:
            kind = next(k for k in type(error).__mro__ if k.__module__ == "builtins")
            known = error.errno is not None and 0 < error.errno < 200
            reason = os.strerror(error.errno) if known and error.errno else otherwise
            raise kind(f"{self.name}: {reason}") from None
        except (
            *(av.error.FFmpegError, AttributeError, LookupError, EOFError, ArithmeticError),
            *(ValueError, RuntimeError, AssertionError, TypeError),
        ):
            raise OSError(f"{self.name}: {otherwise}") from None

    def _stream(self, container: Any) -> Any:
        if not container.streams.video:
            raise ValueError(f"{self.name}: has no video stream")
        stream = container.streams.video[0]
        with self._translated("has video in a coding that FFmpeg cannot decode"):
            # What the container says of the size binds no decoder: it has the limit as well.
            stream.codec_context.options = self._limits
            stream.codec_context.thread_count = self._threads
            if self._threads != 1:
                stream.thread_type = "AUTO"
        return stream

    def _scan(self, container: Any, stream: Any) -> None:
        """Times of all frames in the order they are shown in, and of the key frames."""
        times: list[int] = []
        keys: list[int] = []
        untimed = packets = 0
        for packet in self._guarded(container.demux(stream)):
            packets += packet.size > 0
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None:
                untimed += 1
                continue
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
        # Only there does the header's number of frames hold for certain.
        if "mp4" in container.format.name and packets < stream.frames:
            raise OSError(f"{self.name}: ends after {packets} of {stream.frames} frames")
        self.total_num_frames = len(times) + untimed
        times.sort()
        keys.sort()
        # Frames can be told by their times where each has one of its own.
        exact = not untimed and len(set(times)) == len(times) and bool(keys)
        self._times = times if exact and keys[0] == times[0] else []
        self._keys = keys

    def frames(self, indices: Sequence[int]) -> Iterator[U8]:
        """The frames of these numbers, (H, W, 3) uint8 RGB, each decoded when it is asked for.

        Args:
            indices: ascending; a number given twice comes twice.

        Raises:
            OSError: the file is damaged, or has fewer frames than its packets promised.
        """
        if self._times:
            yield from self._seeking([int(index) for index in indices])
        else:
            yield from self._counting([int(index) for index in indices])

    def _seeking(self, indices: list[int]) -> Iterator[U8]:
        with self._open() as container:
            stream = self._stream(container)
            frames = self._decoded(container, stream)
            key = 0  # the key frame that decoding last began at
            last: tuple[int, U8] | None = None
            for index in indices:
                if last is not None and last[0] == index:
                    yield last[1]
                    continue
                time = self._times[index]
                wanted = bisect_right(self._keys, time) - 1
                # What is between here and there is not decoded.
                if wanted > key and self._worth(wanted, last):
                    with self._translated(DAMAGED):
                        container.seek(self._keys[wanted], stream=stream, backward=True)
                    frames = self._decoded(container, stream)
                    key = wanted
                for frame in frames:
                    if frame.pts is not None and frame.pts >= time:
                        break
                else:
                    frame = None
                if frame is None or frame.pts != time:
                    # The decoder shows other times than the packets said: count instead.
                    position = indices.index(index)
                    yield from self._counting(indices[position:])
                    return
                last = (index, self._array(frame))
                yield last[1]

    def _worth(self, wanted: int, last: tuple[int, U8] | None) -> bool:
        """Whether the key frame is not the one that decoding comes to next anyway."""
        position = 0 if last is None else last[0] + 1
        return position < len(self._times) and self._times[position] < self._keys[wanted]

    def _counting(self, indices: list[int]) -> Iterator[U8]:
        wanted = iter(indices)
        index = next(wanted, None)
        with self._open() as container:
            for number, frame in enumerate(self._decoded(container, self._stream(container))):
                if index is None:
                    return
                if number != index:
                    continue
                array = self._array(frame)
                while index == number:
                    yield array
                    index = next(wanted, None)
        if index is not None:
            raise OSError(f"{self.name}: frame {index} cannot be decoded; the file is damaged")

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        for frame in self._guarded(container.decode(stream)):
            self.decoded += 1
            yield frame

    def _guarded(self, steps: Iterator[Any]) -> Iterator[Any]:
        """FFmpeg's errors as `OSError` with our own text."""
        while True:
            with self._translated(DAMAGED):
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step

    def _array(self, frame: Any) -> U8:
        if frame.height * frame.width > self._max_pixels:
            raise _native.ImageTooLargeError(
                f"{self.name}: more than max_image_pixels={self._max_pixels} pixels, got"
                f" {(frame.height, frame.width)}"
            )
        with self._translated(DAMAGED):
            array: U8 = np.asarray(frame.to_ndarray(format="rgb24"))
        return array


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise ImportError("video files need PyAV: pip install 'dynres_rs[video]'") from None
    return av
