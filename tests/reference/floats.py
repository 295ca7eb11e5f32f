"""Resizes in float32 and the statistics of one image, bit for bit as torch and numpy give them.

torch's kernels for x86 are compiled with FMA. The compiler fuses a product with the sum that takes
it wherever it can, so `fma(a, b, c)`, which rounds `a * b + c` once, is part of the rule: which
products are fused was found by comparing bits, and is the same for AVX2 and AVX-512. One ATen
thread; images of one to seven channels.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .sizing import Size

Floats = NDArray[np.float32]
Filter = Literal["bilinear", "bicubic"]
Standardise = Literal["torch-double", "torch-single", "numpy"]

F32 = np.float32


def fma(a: Floats, b: Floats, c: Floats) -> Floats:
    """`a * b + c` with one rounding to float32.

    In float64 the product is exact. Their sum is rounded to odd, which float32 can then be rounded
    from as if from the exact sum.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    addend = np.asarray(c, np.float64)
    total = np.atleast_1d(product + addend)
    part = total - product
    rest = (product - (total - part)) + (addend - part)
    even = (total.view(np.int64) & 1) == 0
    towards = np.where(rest > 0, np.inf, -np.inf)
    odd = np.where((rest != 0) & even, np.nextafter(total, towards), total)
    return odd.astype(F32).reshape(np.shape(product + addend))


# Weights


def _near(x: Floats) -> Floats:
    """The cubic with a = -0.5 up to distance 1."""
    return fma(fma(F32(1.5), x, F32(-2.5)) * x, x, F32(1.0))


def _far(x: Floats) -> Floats:
    """The cubic with a = -0.5 from distance 1 to 2."""
    return fma(fma(fma(F32(-0.5), x, F32(2.5)), x, F32(-4.0)), x, F32(2.0))


def window(source: int, target: int, i: int, resample: Filter) -> tuple[int, Floats]:
    """With antialiasing: the first source sample of target sample `i`, and the weights from there.

    As in float64, but every named value is rounded to float32.
    """
    scale = F32(source) / F32(target)
    radius = F32({"bilinear": 1.0, "bicubic": 2.0}[resample])
    support = radius * scale if scale >= 1 else radius
    shrink = F32(1.0) / scale if scale >= 1 else F32(1.0)
    centre = F32(float(scale) * (i + 0.5))
    first = max(int(float(centre - support) + 0.5), 0)
    last = min(int(float(centre + support) + 0.5), source)
    samples = np.arange(first, min(last, first + 2 * math.ceil(support) + 1))
    offsets = (samples.astype(F32) - centre).astype(np.float64) + 0.5
    x = np.abs((offsets * float(shrink)).astype(F32))
    zero = F32(0.0)
    if resample == "bilinear":
        weights = np.where(x < 1, F32(1.0) - x, zero)
    else:
        weights = np.where(x < 1, _near(x), np.where(x < 2, _far(x), zero))
    total = zero
    for weight in weights:
        total += weight
    return first, weights / total if total != 0 else weights


def _split(position: np.float32, source: int) -> tuple[int, np.float32]:
    index = min(math.floor(position), source - 1)
    return index, min(max(position - F32(index), F32(0.0)), F32(1.0))


def _position(source: int, target: int, i: int) -> np.float32:
    scale = F32(source) / F32(target)
    return F32(fma(scale, F32(i) + F32(0.5), F32(-0.5)))


def pair(source: int, target: int, i: int) -> tuple[list[int], Floats]:
    """Bilinear without antialiasing: two source samples and their weights."""
    if source == target:
        return [i, i], np.array([1, 0], F32)
    index, rest = _split(max(_position(source, target, i), F32(0.0)), source)
    return [index, min(index + 1, source - 1)], np.array([F32(1.0) - rest, rest], F32)


def cubic(source: int, target: int, i: int) -> tuple[list[int], Floats]:
    """Bicubic without antialiasing, a = -0.75: four samples; those outside repeat the edge.

    Of the steps of the cubic all but the last are fused.
    """
    index, rest = _split(_position(source, target, i), source)

    def inner(x: np.float32) -> np.float32:
        return F32(F32(fma(F32(1.25), x, F32(-2.25)) * x) * x) + F32(1.0)

    def outer(x: np.float32) -> np.float32:
        return F32(fma(fma(F32(-0.75), x, F32(3.75)), x, F32(-6.0)) * x) + F32(3.0)

    other = F32(1.0) - rest
    weights = [outer(rest + F32(1.0)), inner(rest), inner(other), outer(other + F32(1.0))]
    samples = [min(max(index + step, 0), source - 1) for step in (-1, 0, 1, 2)]
    return samples, np.array(weights, F32)


# Sums


def window_sum(samples: list[Floats], weights: Floats) -> Floats:
    """The first product; then four at a time, not fused; then the last up to three, fused."""
    total = samples[0] * weights[0]
    k = 1
    while len(weights) - k >= 4:
        for _ in range(4):
            total = total + samples[k] * weights[k]
            k += 1
    while k < len(weights):
        total = fma(samples[k], weights[k], total)
        k += 1
    return total


def cubic_sum(samples: list[Floats], weights: Floats) -> Floats:
    """The second product, then the first, the third and the fourth, fused."""
    total = samples[1] * weights[1]
    for k in (0, 2, 3):
        total = fma(samples[k], weights[k], total)
    return total


def resize(
    planes: Floats,
    size: Size,
    resample: Filter,
    antialias: bool,
    round_: bool = False,
    clamp: bool = False,
) -> Floats:
    """`planes` (channels, height, width) at another size.

    With antialiasing the columns come before the rows, and an axis of unchanged length is skipped.
    Without, bicubic does the same with both axes always; bilinear takes four samples in one sum.
    torch itself repeats the first row where the result is one pixel wide and antialiased.
    """
    source = planes.shape[1:]
    if source == tuple(size):
        return planes.copy()
    if antialias:
        result = planes
        for axis in (2, 1):
            if result.shape[axis] != size[axis - 1]:
                result = _antialiased(result, axis, size[axis - 1], resample)
    elif resample == "bicubic":
        result = _cubic(_cubic(planes, 2, size[1]), 1, size[0])
    else:
        result = _bilinear(planes, size)
    if round_:
        result = np.round(result)
    if clamp:
        result = np.clip(result, F32(0.0), F32(255.0))
    # The value of a byte has no negative zero.
    return result + F32(0.0) if round_ and clamp else result


def _antialiased(planes: Floats, axis: int, target: int, resample: Filter) -> Floats:
    lines = np.moveaxis(planes, axis, 0)
    made = []
    for i in range(target):
        first, weights = window(len(lines), target, i, resample)
        made.append(window_sum([lines[first + k] for k in range(len(weights))], weights))
    return np.ascontiguousarray(np.moveaxis(np.stack(made), 0, axis))


def _cubic(planes: Floats, axis: int, target: int) -> Floats:
    lines = np.moveaxis(planes, axis, 0)
    made = []
    for i in range(target):
        samples, weights = cubic(len(lines), target, i)
        made.append(cubic_sum([lines[sample] for sample in samples], weights))
    return np.ascontiguousarray(np.moveaxis(np.stack(made), 0, axis))


def _bilinear(planes: Floats, size: Size) -> Floats:
    _, height, width = planes.shape
    columns = [pair(width, size[1], x) for x in range(size[1])]
    left, right = np.array([samples for samples, _ in columns]).T
    of_left, of_right = np.array([weights for _, weights in columns], F32).T
    result = np.empty((len(planes), *size), F32)
    for y in range(size[0]):
        (top, bottom), (of_top, of_bottom) = pair(height, size[0], y)
        above, below = planes[:, top], planes[:, bottom]
        total = above[:, right] * (of_top * of_right)
        total = fma(above[:, left], of_top * of_left, total)
        total = fma(below[:, left], of_bottom * of_left, total)
        result[:, y] = fma(below[:, right], of_bottom * of_right, total)
    return result


# Statistics


def torch_sum(values: Floats) -> np.float32:
    """torch's cascade over 8 lanes, 4 vectors at a time.

    Steps of 32 values are added to a first level; after every 2**power steps it is emptied into
    the second, that one as often into the third, the third into the fourth. In the end the levels,
    the vectors, the values left over and the lanes are added up, in this order.
    """
    values = values.ravel()
    vectors = values[: len(values) // 8 * 8].reshape(-1, 8)
    count = len(vectors) // 4
    steps = vectors[: count * 4].reshape(count, 4, 8)
    power = max(4, ((count - 1).bit_length() if count > 1 else 0) // 4)
    often = 1 << power
    levels = np.zeros((4, 4, 8), F32)
    done = 0
    while done + often <= count:
        for step in steps[done : done + often]:
            levels[0] += step
        done += often
        for level in range(1, 4):
            levels[level] += levels[level - 1]
            levels[level - 1] = 0
            if done & ((often - 1) << (level * power)):
                break
    for step in steps[done:]:
        levels[0] += step
    for level in range(1, 4):
        levels[0] += levels[level]
    lanes = levels[0, 0]
    for vector in [*vectors[count * 4 :], *levels[0, 1:]]:
        lanes = lanes + vector
    total = F32(0.0)
    for value in [*values[len(vectors) * 8 :], *lanes]:
        total += value
    return total


def numpy_sum(values: Floats) -> np.float32:
    """numpy's pairwise sum: halves down to 128 values, then eight sums."""
    count = len(values)
    if count > 128:
        half = count // 2 - count // 2 % 8
        return numpy_sum(values[:half]) + numpy_sum(values[half:])
    total = F32(0.0)
    whole = count // 8 * 8
    if whole:
        a, b, c, d, e, f, g, h = np.add.accumulate(values[:whole].reshape(-1, 8), axis=0)[-1]
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for value in values[whole:]:
        total += value
    return total


def statistics(values: Floats, rule: Standardise) -> tuple[np.float32, np.float32]:
    """The mean of an image's values, in the order of its planes, and what they are divided by.

    torch: the deviation is an estimate (n - 1), its squares are added one by one in float64.
    numpy: that of the values (n), in float32. At least `1 / sqrt(n)`, which Kosmos-2.5 on torch
    takes in float32.
    """
    values = values.ravel()
    count = len(values)
    least = F32(1.0 / math.sqrt(count))
    if rule == "numpy":
        mean = numpy_sum(values) / F32(count)
        deviation = np.sqrt(numpy_sum((values - mean) * (values - mean)) / F32(count))
    else:
        mean = torch_sum(values) / F32(count)
        squares = (values.astype(np.float64) - float(mean)) ** 2
        total = float(np.add.accumulate(squares)[-1])
        deviation = F32(math.sqrt(total / (count - 1)))
        if rule == "torch-single":
            least = F32(1.0) / np.sqrt(F32(count))
    return mean, max(deviation, least)
