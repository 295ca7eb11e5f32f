"""Rules by which upstream's classes take frames, beside those of `sampling`.

A rule is a function of what is known of a video and of the options; the name that chooses it is the
option `sampling`.
Upstream's own arithmetic, float32 steps and truncations included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from .._types import I64

__all__ = ["EXCLUSIVE", "LANES", "RULES", "Known", "torch_arange"]

#: torch's arange works on vectors of 8 float32 on every x86 (its default, AVX2 and AVX-512 code
#: alike), two at a time; the rest one by one. It shows from about the 3,000th frame on, in 1 of 6
#: of such videos.
LANES: Final = 8
#: What upstream assumes where a rate is missing.
DEFAULT_FPS: Final = 24.0
#: Rules of which `fps` and `num_frames` exclude each other.
EXCLUSIVE: Final = frozenset(
    {"arange", "linspace", "qwen-vl-utils", "uniform", "bounded", "limited", "ends"}
)
#: Durations in seconds up to which so many frames a second are taken.
TIERS: Final = ((30, 3.0), (300, 1.0), (2400, 0.5))
#: Most frames of the rule by duration.
TIER_FRAMES: Final = 640
#: Seconds left out at both ends of a long video.
SKIPPED: Final = 1
#: Seconds between the frames that are thinned, of a video of more seconds than frames are taken.
FINE: Final = 0.1


class Known(NamedTuple):
    """What is known of a video."""

    total: int
    """Its frames."""
    fps: float | None
    """Its frames a second."""
    duration: float | None
    """In seconds."""

    def rate(self) -> float:
        """Its rate, where a rule cannot do without."""
        if self.fps is None:
            raise ValueError("fps: needs the video's own rate; pass video_metadata, or num_frames")
        return self.fps

    def seconds(self) -> float:
        """Its duration; where it is not known, from the last frame's time."""
        return self.duration or round((self.total - 1) / self.rate()) + 1


Options = Mapping[str, Any]


def torch_arange(start: float, total: int, step: float) -> I64:
    """`torch.arange(start, total, step).int()`."""
    length = math.ceil((total - start) / step)
    index = np.arange(length)
    values = (start + step * index).astype(np.float32)
    whole = length // (2 * LANES) * (2 * LANES)
    lane = index[:whole] % LANES
    first = (start + step * (index[:whole] - lane)).astype(np.float32).astype(np.float64)
    values[:whole] = first + step * lane
    return values.astype(np.int64)


def _refuse_more(count: float, total: int) -> None:
    if count > total:
        raise ValueError(f"num_frames: must be at most the video's {total} frames, got {count}")


def _uniform(known: Known, options: Options) -> I64:
    count, fps, total = options["num_frames"], options["fps"], known.total
    if count is None and fps is not None:
        count = max(1, int(total / known.rate() * fps))
    if count is None:
        return np.arange(total)
    _refuse_more(count, total)
    indices: I64 = np.arange(count) * total // count
    return indices


def _midpoints(known: Known, options: Options) -> I64:
    count, fps, total = options["num_frames"], options["fps"], known.total
    if count is None and fps is not None:
        count = int(total / known.rate() * fps)
    if not count:
        raise ValueError("num_frames: must be at least 1; set it, or an fps that leaves a frame")
    _refuse_more(count, total)
    shift = total / count / 2 if options["initial_shift"] else 0
    return torch_arange(shift, total, total / count)


def _even(indices: list[int]) -> I64:
    """Each frame once; the last of an odd number twice."""
    found = list(dict.fromkeys(indices))
    if len(found) % 2:
        found.append(found[-1])
    return np.array(found, np.int64)


def _seconds(known: Known, options: Options) -> I64:
    rate, fps, last = known.rate(), options["fps"], known.total - 1
    duration, longest = known.seconds(), options["max_duration"]
    if duration <= longest:
        count = max(math.floor(duration * fps), 1)
        return _even([min(last, math.ceil(i * rate / fps)) for i in range(count)])
    count = int(longest * fps)
    if count >= known.total:
        return _even(list(range(known.total)))
    times = np.linspace(0, duration, count)
    return _even([min(last, math.ceil(time * rate)) for time in times])


def _spread(first: int, last: int, count: int) -> list[int]:
    """At equal steps, rounded down."""
    found: list[int] = np.linspace(first, last, count, dtype=int).tolist()
    return found


def _walked(known: Known, step: float, end: float) -> list[int]:
    """The first frame after each step of time, until `end`."""
    period = 1 / known.rate()
    found: list[int] = []
    now = 0.0
    for index in range(known.total):
        if index * period >= now:
            now += step
            found.append(index)
            if now >= end:
                break
    return found


def _filled(known: Known, found: list[int], count: int) -> I64:
    """As many frames as are wanted, spread where there are fewer or more."""
    if len(found) < count:
        found = _spread(found[0], found[-1], count)
    elif len(found) > count:
        found = _spread(0, known.total - 1, count)
    return _even(found)


def _tiers(known: Known, options: Options) -> I64:
    duration = known.seconds()
    shown = min(duration, TIERS[-1][0])
    fps = next(rate for longest, rate in TIERS if shown <= longest)
    fps *= options["temporal_patch_size"]
    count = min(int(shown * fps), TIER_FRAMES)
    if known.total < count:
        return _even(_spread(0, known.total - 1, count))
    return _filled(known, _walked(known, 1 / fps, int(duration)), count)


def _walk(known: Known, options: Options) -> I64:
    duration, fps = known.seconds(), options["fps"]
    count = min(int(duration * fps), options["max_frames"])
    if known.total < count:
        return _even(_spread(0, known.total - 1, count))
    return _filled(known, _walked(known, 1 / fps, int(duration)), count)


def _walk_short(known: Known, options: Options) -> I64:
    duration, fps, total = known.seconds(), options["fps"], known.total
    count = min(int(duration * fps), options["max_frames"])
    if total < count:
        return _filled(known, [math.floor(i * total / count) for i in range(count)], count)
    return _filled(known, _walked(known, 1 / fps, duration - 1 / fps), count)


def _capped(known: Known, options: Options) -> I64:
    fps, total = options["fps"], known.total
    if options["num_frames"] is not None:
        raise ValueError("num_frames: must be None here; fps and max_frames say how many")
    if fps is None or known.fps is None or known.duration is None:
        indices = np.arange(total)
    else:
        step = known.fps / fps
        count = max(1, int(known.duration * fps))
        indices = np.array([min(total - 1, int(i * step)) for i in range(count)], np.int64)
    thinned, most = options["overflow_strategy"], options["max_frames"]
    if thinned is None or len(indices) <= most:
        return indices
    if thinned == "truncate":
        return indices[:most]
    return indices[_spread(0, len(indices) - 1, most)]


def _inner(known: Known, options: Options) -> I64:
    rate, duration = known.rate(), known.duration
    count, fps, total = options["num_frames"], options["fps"], known.total
    if count is None or fps is None or duration is None:
        raise ValueError("fps: needs num_frames beside it, and the video's duration")
    wanted = max(min(round(fps * duration), count), 1)
    first, last = 0, total - 1
    if duration - 2 * SKIPPED > count * fps:
        first = max(0, int(SKIPPED * rate))
        last = min(int(total - SKIPPED * rate), total - 1)
    if first >= last:
        first, last = 0, total - 1
    return np.unique(_spread(first, last, wanted))


def _bounded(known: Known, options: Options) -> I64:
    fps, total = options["fps"], known.total
    fewest, most = options["min_frames"], options["max_frames"]
    if options["num_frames"] is not None:
        count = float(options["num_frames"])
        if not fewest <= count <= most:
            raise ValueError(f"num_frames: must be in {fewest}..={most}, got {count:g}")
    else:
        wanted = float(total) if fps is None else total / known.rate() * fps
        count = min(max(wanted, fewest), most, total)
    _refuse_more(count, total)
    return torch_arange(0, total, total / count)


def _limited(known: Known, options: Options) -> I64:
    fps, most, total = options["fps"], options["max_fps"], known.total
    rate = known.fps or fps or most or DEFAULT_FPS
    duration = total / rate if known.duration is None else known.duration
    if fps is not None:
        count = int(duration * fps)
    else:
        count = total if options["num_frames"] is None else options["num_frames"]
        if most is not None and rate > most:
            count = min(count, int(duration * most))
    count = max(min(count, total), 1)
    return torch_arange(0, total, total / count)


def _floor(known: Known, options: Options) -> I64:
    total, whole = known.total, options["temporal_patch_size"]
    most = total if options["num_frames"] is None else options["num_frames"]
    fps = options["fps"]
    wanted = total if fps is None else int(total * fps / (known.fps or DEFAULT_FPS))
    count = min(wanted, most, total)
    count = min(max(whole, count // whole * whole), total)
    first, last = np.float32(0), np.float32(total - 1)
    if count == 1:
        return np.zeros(1, np.int64)
    step = float((last - first) / np.float32(count - 1))
    index = np.arange(count)
    values = np.where(index < count // 2, step * index, float(last) - step * (count - index - 1))
    return values.astype(np.float32).astype(np.int64)


def _whole_seconds(known: Known, options: Options) -> I64:
    rate, duration, most = known.rate(), known.duration, options["max_num_frames"]
    if duration is None:
        raise ValueError("duration: must be known; pass video_metadata")
    if duration > most:
        times = [round(i * FINE, 1) for i in range(int(duration / FINE))]
        found = [min(int(time * rate), known.total - 1) for time in times]
        if len(found) > most:
            found = [found[i] for i in _spread(0, len(found) - 1, most)]
    else:
        found = [int(i * rate) for i in range(math.ceil(duration))]
    if found and found[-1] >= known.total:
        raise ValueError(
            f"duration: says {duration} seconds at {rate} frames a second, where the video has"
            f" {known.total} frames"
        )
    return np.array(found, np.int64)


def _ends(known: Known, options: Options) -> I64:
    count = options["num_frames"]
    if not count:
        return _uniform(known, options)
    if count == 1:
        raise ValueError("num_frames: must be at least 2, got 1")
    return np.array([int(i * (known.total - 1) / (count - 1)) for i in range(count)], np.int64)


RULES: Final[dict[str, Callable[[Known, Options], I64]]] = {
    "uniform": _uniform,
    "midpoints": _midpoints,
    "seconds": _seconds,
    "tiers": _tiers,
    "walk": _walk,
    "walk-short": _walk_short,
    "capped": _capped,
    "inner": _inner,
    "bounded": _bounded,
    "limited": _limited,
    "floor": _floor,
    "whole-seconds": _whole_seconds,
    "ends": _ends,
}
