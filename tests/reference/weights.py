"""Resampling weights of one axis: in float64, then as fixed-point integers.

A convolution with the filter stretched by the scale when shrinking (antialiasing), cut off at the
image's borders and normalised to a sum of one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Quantisation = Literal["pillow", "torchvision"]

PILLOW_BITS = 22


# Pillow has these two in float32.
HAMMING = (float(np.float32(0.54)), float(np.float32(0.46)))


def box(x: float) -> float:
    """Open on the left, closed on the right."""
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def hamming(x: float) -> float:
    x = abs(x)
    if x == 0.0:
        return 1.0
    if x >= 1.0:
        return 0.0
    x *= math.pi
    return math.sin(x) / x * (HAMMING[0] + HAMMING[1] * math.cos(x))


def bilinear(x: float) -> float:
    x = abs(x)
    return 1.0 - x if x < 1.0 else 0.0


def bicubic(x: float) -> float:
    a = -0.5
    x = abs(x)
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    if x < 2.0:
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return 0.0


def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(math.pi * x) / (math.pi * x)


def lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3.0) if -3.0 <= x < 3.0 else 0.0


FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "box": (box, 0.5),
    "hamming": (hamming, 1.0),
    "bilinear": (bilinear, 1.0),
    "bicubic": (bicubic, 2.0),
    "lanczos": (lanczos, 3.0),
}


@dataclass(frozen=True)
class Taps:
    """Output `i` is the weighted sum of the inputs `starts[i]`, `starts[i] + 1`, ..."""

    starts: list[int]
    weights: list[list[float]]


@dataclass(frozen=True)
class FixedTaps:
    """The same, with integer weights that stand for `weight / 2**bits`."""

    starts: list[int]
    weights: list[list[int]]
    bits: int


def float_taps(source: int, target: int, resample: Filter, extent: float | None = None) -> Taps:
    """`extent`: how much of the source the target covers, from its start; all of it by default."""
    function, radius = FILTERS[resample]
    scale = (source if extent is None else extent) / target
    filter_scale = max(scale, 1.0)
    support = radius * filter_scale
    starts, weights = [], []
    for i in range(target):
        centre = (i + 0.5) * scale
        start = max(int(centre - support + 0.5), 0)
        stop = min(int(centre + support + 0.5), source)
        row = [function((x - centre + 0.5) / filter_scale) for x in range(start, stop)]
        total = 0.0
        for weight in row:
            total += weight
        starts.append(start)
        weights.append([weight / total for weight in row] if total != 0.0 else row)
    return Taps(starts, weights)


def nearest(source: int, target: int, quantisation: Quantisation, small: bool = False) -> list[int]:
    """The source sample of each target sample.

    Pillow starts at half the scale and adds the scale in float64, roundings and all. torch's
    `nearest-exact`, which transformers asks for, goes half a sample back and forth in float32, but
    not in its kernel for `small` results, of at most 128 pixels of height and width together.
    """
    if quantisation == "torchvision":
        scale = np.float32(source) / np.float32(target)
        half = np.float32(0.5)
        centres = np.arange(target, dtype=np.float32) + half
        if small:
            positions = centres * scale
        else:
            # One rounding, as of a product fused with the difference.
            exact = centres.astype(np.float64) * float(scale) - 0.5
            positions = np.maximum(exact.astype(np.float32), np.float32(0.0)) + half
        return [min(int(position), source - 1) for position in positions]
    scale = source / target
    centre = scale * 0.5
    samples = []
    for _ in range(target):
        samples.append(int(centre))
        centre += scale
    return samples


def quantise(weight: float, bits: int) -> int:
    """Rounded half away from zero."""
    scaled = weight * (1 << bits)
    return int(scaled - 0.5) if weight < 0 else int(scaled + 0.5)


def torchvision_bits(largest: float) -> int:
    """ATen's precision: as many bits as keep the largest weight of the axis inside an int16."""
    for bits in range(22):
        if int(0.5 + largest * (1 << (bits + 1))) >= 1 << 15:
            return bits
    return 22


@lru_cache(maxsize=256)
def fixed_taps(
    source: int,
    target: int,
    resample: Filter,
    quantisation: Quantisation,
    extent: float | None = None,
) -> FixedTaps:
    if resample == "nearest":
        taps = Taps(nearest(source, target, quantisation), [[1.0]] * target)
    else:
        taps = float_taps(source, target, resample, extent)
    if quantisation == "pillow":
        bits = PILLOW_BITS
    else:
        bits = torchvision_bits(max(max(row) for row in taps.weights))
    weights = [[quantise(weight, bits) for weight in row] for row in taps.weights]
    return FixedTaps(taps.starts, weights, bits)


def sharp_taps(source: int, target: int, resample: Filter) -> FixedTaps:
    """torch's resize of bytes without antialiasing: two or four samples whatever the scale.

    Bicubic has a = -0.75. The weights of samples outside the image are added to the edge's, one by
    one, and the largest weight counts what the sums are on the way.
    """
    taps = {"bilinear": 2, "bicubic": 4}[resample]
    reach = taps // 2
    scale = source / target
    starts, weights = [], []
    largest = 0.0
    for i in range(target):
        position = scale * (i + 0.5) - 0.5
        if resample == "bilinear":
            position = max(position, 0.0)
        index = min(math.floor(np.float32(position)), source - 1)
        rest = min(max(position - index, 0.0), 1.0)
        before = index - reach + 1
        first = max(before, 0)
        row = [0.0] * (min(index + reach + 1, source) - first)
        to = 0
        for tap in range(taps):
            x = abs(tap + 1 - reach - rest)
            if before + tap <= 0:
                to = 0
            elif before + tap >= source - 1:
                to = len(row) - 1
            row[to] += bilinear(x) if resample == "bilinear" else sharp_bicubic(x)
            largest = max(largest, row[to])
            to += 1
        starts.append(first)
        weights.append(row)
    bits = torchvision_bits(largest)
    return FixedTaps(starts, [[quantise(weight, bits) for weight in row] for row in weights], bits)


def sharp_bicubic(x: float) -> float:
    if x < 1.0:
        return (1.25 * x - 2.25) * x * x + 1.0
    if x < 2.0:
        return ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0
    return 0.0
