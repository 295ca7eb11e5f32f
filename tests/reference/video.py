"""Videos: which frames, how large, which times, and where their values go.

Rates are frames a second, indices count from 0. `float32` is the arithmetic of a tensor library
whose default type that is; everything else is Python's own.
"""

import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import sizing
from .sizing import Size

#: The tensor library makes a range eight values at a time, two such vectors a step.
LANES = 8


def float32(value: float) -> float:
    """The nearest float32."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def arange_count(
    total: int,
    video_fps: float | None,
    num_frames: int | None,
    fps: float | None,
    min_frames: int = 4,
    max_frames: int = 768,
    temporal: int = 2,
) -> int | None:
    """How many frames Qwen2-VL asks for; None is all."""
    if num_frames is not None:
        return round(num_frames / temporal) * temporal
    if fps is None:
        return None
    if video_fps is None:
        raise ValueError("no rate")
    most = math.floor(min(max_frames, total) / temporal) * temporal
    wanted = min(max(total / video_fps * fps, min_frames), most, total)
    return math.floor(wanted / temporal) * temporal


def arange(total: int, count: int | None) -> list[int]:
    """From 0 in steps of total / count, as a float32 range that is cut to integers.

    Its length is the number of steps below `total`, in float64; that can be one more than `count`.
    The first values of whole vectors are rounded, then each lane adds its steps and is rounded
    again; what is left at the end is rounded once.
    """
    if count is None:
        return list(range(total))
    if count > total or count < 1:
        raise ValueError(f"{count} of {total} frames")
    step = total / count
    length = math.ceil(total / step)
    whole = length // (2 * LANES) * (2 * LANES)
    indices = []
    for i in range(length):
        if i < whole:
            first = float32(step * (i - i % LANES))
            indices.append(int(float32(first + step * (i % LANES))))
        else:
            indices.append(int(float32(step * i)))
    return indices


def linspace_count(
    total: int,
    video_fps: float | None,
    num_frames: int | None,
    fps: float | None,
    min_frames: int = 4,
    max_frames: int = 768,
) -> int:
    """How many frames Qwen3-VL asks for; without a rate of its own a video has 24."""
    if num_frames is not None:
        return num_frames
    if fps is None:
        return min(max(total, min_frames), max_frames)
    count = int(total / (24 if video_fps is None else video_fps) * fps)
    return min(max(count, min_frames), max_frames, total)


def linspace(total: int, count: int) -> list[int]:
    """From the first to the last in equal steps, in float64, rounded half to even."""
    if count < 1:
        raise ValueError(f"{count} frames")
    if count == 1 or total == 1:
        return [0] * count
    step = (total - 1) / (count - 1)
    return [round(i * step) for i in range(count - 1)] + [total - 1]


def frame_range(
    total: int, video_fps: float, start: float | None, end: float | None
) -> tuple[int, int]:
    """qwen-vl-utils: first and last frame between two times in seconds."""
    duration = total / video_fps
    first, last = 0, total - 1
    if start is None and end is None:
        return first, last
    if start is not None:
        first = math.ceil(max(0.0, min(start, duration)) * video_fps)
    if end is not None:
        last = min(math.floor(max(0.0, min(end, duration)) * video_fps), total - 1)
    if first >= last:
        raise ValueError(f"frames {first}..{last}")
    return first, last


def smart_nframes(
    total: int,
    video_fps: float | None,
    num_frames: int | None,
    fps: float | None,
    min_frames: int = 4,
    max_frames: int | None = None,
) -> int:
    """qwen-vl-utils: how many frames, always an even number of them."""
    if num_frames is not None:
        count = round(num_frames / 2) * 2
    else:
        if video_fps is None:
            raise ValueError("no rate")
        fewest = math.ceil(min_frames / 2) * 2
        most = math.floor((min(768, total) if max_frames is None else max_frames) / 2) * 2
        wanted = total / video_fps * (2.0 if fps is None else fps)
        wanted = min(min(max(wanted, fewest), most), total)
        count = math.floor(wanted / 2) * 2
    if not 2 <= count <= total:
        raise ValueError(f"{count} of {total} frames")
    return count


def float32_linspace(first: int, last: int, count: int) -> list[int]:
    """Equal steps in float32 from both ends towards the middle, rounded half to even.

    The step is rounded; a product and the sum it goes into are rounded once, together.
    """
    step = float32((last - first) / (count - 1))
    return [
        round(float32(first + step * i))
        if i < count // 2
        else round(float32(last - step * (count - i - 1)))
        for i in range(count)
    ]


def timestamps(indices: Sequence[int], video_fps: float, temporal: int = 2) -> list[float]:
    """Seconds of each temporal patch, halfway between its first and its last frame."""
    padded = [*indices, *[indices[-1]] * (-len(indices) % temporal)]
    return [
        (padded[i] / video_fps + padded[i + temporal - 1] / video_fps) / 2
        for i in range(0, len(padded), temporal)
    ]


def size_per_frame(
    frames: int,
    height: int,
    width: int,
    factor: int,
    min_pixels: int,
    max_pixels: int,
    cap_tokens: int | None = None,
    temporal: int = 2,
) -> Size:
    """Qwen2-VL: each frame as an image; capped, all share 90 % of `cap_tokens`."""
    if cap_tokens is not None:
        total = int(cap_tokens * factor * factor * 0.9)
        max_pixels = max(min(max_pixels, total * temporal // frames), int(min_pixels * 1.05))
    return sizing.smart_resize(height, width, factor, min_pixels, max_pixels)


def size_per_video(
    frames: int,
    height: int,
    width: int,
    factor: int,
    min_pixels: int,
    max_pixels: int,
    cap_tokens: int | None = None,
    temporal: int = 2,
) -> Size:
    """Qwen3-VL: the budget counts all frames; capped, each has at most `cap_tokens`."""
    if cap_tokens is not None:
        each = max(min(cap_tokens * factor**2, max_pixels // frames), int(min_pixels * 1.05))
        max_pixels = each * frames
    return sizing.smart_resize_video(
        frames, height, width, temporal, factor, min_pixels, max_pixels
    )


def size_qwen_vl_utils(
    frames: int,
    height: int,
    width: int,
    factor: int,
    min_pixels: int,
    max_pixels: int | None = None,
    total_pixels: float | None = None,
    model_seq_len: int = 128_000,
) -> Size:
    """qwen-vl-utils: a frame's share of the video's pixels, for every two frames once; the last of
    an odd number of frames counts twice."""
    frames += frames % 2
    if total_pixels is None:
        total_pixels = model_seq_len * factor * factor * 0.9
    most = max(min(768 * factor**2, total_pixels / frames * 2), int(min_pixels * 1.05))
    if max_pixels is not None:
        most = min(max_pixels, most)
    # Only compared and divided by: a share of pixels need not be a whole number.
    return sizing.smart_resize_qwen_vl_utils(height, width, factor, min_pixels, most)  # type: ignore[arg-type]


def patchify(
    frames: NDArray[np.float32], patch_size: int = 14, merge_size: int = 2, temporal: int = 2
) -> NDArray[np.float32]:
    """(patches, 3 * temporal * patch * patch) of (frames, height, width, 3).

    As for an image, one temporal patch after the other; a patch holds for each channel its
    frames one by one. The last frame is repeated over what is missing.
    """
    missing = -len(frames) % temporal
    frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    count, height, width = frames.shape[:3]
    p, m = patch_size, merge_size
    # axes: group, frame, block row, row in block, y, block column, column in block, x, channel
    blocks = frames.reshape(
        count // temporal, temporal, height // (p * m), m, p, width // (p * m), m, p, 3
    )
    return blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, 3 * temporal * p * p)


#: Zeros between two frames on a canvas.
LINE = 6


def between(duration: float, stack: int, most: int) -> list[float]:
    """Times between seconds, `stack` - 1 in each, thinned to `most` times as many."""
    times = [
        second + part / stack for second in range(math.ceil(duration)) for part in range(1, stack)
    ]
    times = [time for time in times if time < duration]
    count = most * (stack - 1)
    if len(times) <= count:
        return times
    return [times[place] for place in np.linspace(0, len(times) - 1, count, dtype=int)]


def units(count: int, times: Sequence[float]) -> list[list[int]]:
    """What is seen one by one of `count` frames, the last of which are those of `times`: main frame
    k, then all that lie in second k."""
    main = count - len(times)
    found: list[list[int]] = []
    for number in range(main):
        found.append([number])
        inside = [main + k for k, time in enumerate(times) if number <= time < number + 1]
        if inside:
            found.append(inside)
    return found


def arrangement(size: Size, count: int) -> Size:
    """Rows and columns of so many frames on a canvas: nearest to a square, four two by two."""
    height, width = size
    if count == 4:
        return 2, 2
    if count not in (2, 3):
        return 1, count
    row = abs((count * width + (count - 1) * LINE) / height - 1.0)
    column = abs(width / (count * height + (count - 1) * LINE) - 1.0)
    upright = count == 2 and height > width
    return (count, 1) if column < row or (column == row and upright) else (1, count)


def canvas(size: Size, count: int) -> Size:
    """Height and width of a canvas of so many frames."""
    rows, columns = arrangement(size, count)
    return rows * (size[0] + LINE) - LINE, columns * (size[1] + LINE) - LINE


def stacked(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames (count, height, width, 3) on their canvas."""
    count, height, width, _ = frames.shape
    made = np.zeros((*canvas((height, width), count), 3), np.uint8)
    _, columns = arrangement((height, width), count)
    for number, frame in enumerate(frames):
        top, left = number // columns * (height + LINE), number % columns * (width + LINE)
        made[top : top + height, left : left + width] = frame
    return made
