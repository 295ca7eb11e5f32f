"""Resizes in float32, filters, arithmetic and statistics against torch, Pillow and numpy as they
are installed, and against the plain reference."""

import math
from typing import Any, get_args

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from property_counts import property_test
from reference import floats, normalise, resample, weights
from strategies import means, noise, same, seeds, sides

BACKENDS = native.backends()
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

kinds = st.sampled_from(["bytes", "floats", "normal"])
# torch repeats the first row where an antialiased result is one pixel wide.
widths = sides.map(lambda side: max(side, 2))


def planes_of(seed: int, kind: str, height: int, width: int) -> floats.Floats:
    generator = np.random.Generator(np.random.PCG64(seed))
    shape = (3, height, width)
    if kind == "bytes":
        return generator.integers(0, 256, shape).astype(np.float32)
    if kind == "floats":
        return generator.random(shape, np.float32) * np.float32(255)
    return generator.standard_normal(shape, np.float32)


def from_bytes(data: bytes, *shape: int) -> NDArray[np.float32]:
    return np.frombuffer(data, np.float32).reshape(shape)


def ours(
    planes: floats.Floats, size: tuple[int, int], resample: str, antialias: bool, **kwargs: Any
) -> NDArray[np.float32]:
    data = native.resize_float(planes.tobytes(), planes.shape, size, resample, antialias, **kwargs)
    return from_bytes(data, planes.shape[0], *size)


# Resizes in float32


@pytest.mark.torch
@property_test(
    seed=seeds,
    kind=kinds,
    source=st.tuples(sides, sides),
    target=st.tuples(sides, widths),
    resample=st.sampled_from(["bilinear", "bicubic"]),
    antialias=st.booleans(),
)
def test_resize_is_torchs(
    one_thread: Any,
    seed: int,
    kind: str,
    source: tuple[int, int],
    target: tuple[int, int],
    resample: str,
    antialias: bool,
) -> None:
    planes = planes_of(seed, kind, *source)
    want = one_thread.nn.functional.interpolate(
        one_thread.from_numpy(planes)[None],
        size=target,
        mode=resample,
        antialias=antialias,
        align_corners=False,
    )[0].numpy()
    for backend in BACKENDS:
        same(ours(planes, target, resample, antialias, backend=backend), want, backend)
    if max(*source, *target) <= 90:
        same(floats.resize(planes, target, resample, antialias), want, "reference")  # type: ignore[arg-type]


@property_test(
    seed=seeds,
    kind=kinds,
    source=st.tuples(sides, sides),
    target=st.tuples(sides, sides),
    resample=st.sampled_from(["bilinear", "bicubic"]),
    antialias=st.booleans(),
    round_=st.booleans(),
    clamp=st.booleans(),
)
def test_resize_is_the_references(
    seed: int,
    kind: str,
    source: tuple[int, int],
    target: tuple[int, int],
    resample: str,
    antialias: bool,
    round_: bool,
    clamp: bool,
) -> None:
    """One pixel wide as well: by the rule, where torch's result is that of another row."""
    source = (min(source[0], 60), min(source[1], 60))
    target = (min(target[0], 60), min(target[1], 60))
    planes = planes_of(seed, kind, *source)
    want = floats.resize(planes, target, resample, antialias, round_, clamp)  # type: ignore[arg-type]
    for backend in BACKENDS:
        got = ours(planes, target, resample, antialias, round=round_, clamp=clamp, backend=backend)
        same(got, want, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_of_bytes_have_no_negative_zero(backend: str) -> None:
    """torchvision casts them to uint8, which has none."""
    planes = -np.abs(planes_of(3, "normal", 9, 11)) / np.float32(1000)
    kept = ours(planes, (5, 7), "bicubic", False, round=True, backend=backend)
    cast = ours(planes, (5, 7), "bicubic", False, round=True, clamp=True, backend=backend)
    assert np.signbit(kept[kept == 0]).any()
    assert not cast.any() and not np.signbit(cast).any()


def test_same_size_is_a_copy() -> None:
    planes = planes_of(1, "normal", 5, 7) * np.float32(1000)
    same(ours(planes, (5, 7), "bicubic", False, round=True, clamp=True), planes)


@pytest.mark.parametrize("resample", ["nearest", "box", "hamming", "lanczos"])
@pytest.mark.parametrize("antialias", [True, False])
def test_other_filters_are_refused(resample: str, antialias: bool) -> None:
    with pytest.raises(
        ValueError, match=r"^resample: must be 'bilinear' or 'bicubic' for a resize"
    ):
        ours(planes_of(1, "bytes", 5, 7), (3, 3), resample, antialias)


# Filters


@pytest.mark.torch
@property_test(seed=seeds, source=st.tuples(sides, sides), target=st.tuples(sides, sides))
def test_nearest_is_torchs_nearest_exact(
    one_thread: Any, seed: int, source: tuple[int, int], target: tuple[int, int]
) -> None:
    image = noise(seed, *source)
    tensor = one_thread.from_numpy(image).permute(2, 0, 1)[None].contiguous()
    resized = one_thread.nn.functional.interpolate(tensor, size=target, mode="nearest-exact")
    want = resized[0].permute(1, 2, 0).numpy()
    small = sum(target) <= 128
    kind = "torchvision-small" if small else "torchvision"
    result = image
    for axis in (0, 1):
        length = result.shape[axis]
        bits, starts, taps = native.fixed_taps(length, target[axis], "nearest", kind)
        assert taps == [[1 << bits]] * target[axis]
        assert starts == weights.nearest(length, target[axis], "torchvision", small)
        result = result.take(starts, axis)
    same(result, want)


def test_nearest_has_two_kernels_in_torch() -> None:
    """Where a position is a whole number, one rounds it down and the other does not."""
    large = native.fixed_taps(4, 166, "nearest", "torchvision")[1]
    small = native.fixed_taps(4, 166, "nearest", "torchvision-small")[1]
    assert [i for i in range(166) if large[i] != small[i]] == [41]


@pytest.mark.torch
@property_test(
    seed=seeds,
    source=st.tuples(sides, sides),
    target=st.tuples(sides, widths),
    resample=st.sampled_from(["bilinear", "bicubic"]),
)
def test_bytes_without_antialiasing_are_torchs(
    one_thread: Any, seed: int, source: tuple[int, int], target: tuple[int, int], resample: str
) -> None:
    from reference.resample import one_pass

    image = noise(seed, *source)
    tensor = one_thread.from_numpy(image).permute(2, 0, 1)[None].contiguous()
    want = one_thread.nn.functional.interpolate(
        tensor, size=target, mode=resample, antialias=False, align_corners=False
    )
    result = image
    for axis in (1, 0):
        length = result.shape[axis]
        if length != target[axis]:
            bits, starts, taps = native.fixed_taps(
                length, target[axis], resample, "torchvision-sharp"
            )
            assert weights.FixedTaps(starts, taps, bits) == weights.sharp_taps(
                length,
                target[axis],
                resample,  # type: ignore[arg-type]
            )
            result = one_pass(result, axis, weights.FixedTaps(starts, taps, bits))
    same(result, want[0].permute(1, 2, 0).numpy())


@pytest.mark.oracle
@property_test(
    seed=seeds,
    source=st.tuples(sides, sides),
    target=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    name=st.sampled_from(sorted(FILTERS)),
    gap=st.sampled_from([1.0, 1.3, 2.0, 3.0]),
)
def test_reducing_gap_is_pillows(
    seed: int, source: tuple[int, int], target: tuple[int, int], name: str, gap: float
) -> None:
    image = noise(seed, *source)
    picture = Image.fromarray(image)
    want = np.asarray(picture.resize(target[::-1], FILTERS[name], reducing_gap=gap))
    numerics: Any = dr.Processor("internvl", numerics="pillow").numerics
    data = native.resize_with_gap(image.tobytes(), image.shape, target, name, numerics, gap)
    same(np.frombuffer(data, np.uint8).reshape(want.shape), want)
    if max(source) <= 90:
        same(resample.resize_with_gap(image, target, name, numerics, gap), want)  # type: ignore[arg-type]


@pytest.mark.parametrize("gap", [0.5, 0.0, -1.0, math.nan])
def test_gaps_below_one_are_refused(gap: float) -> None:
    with pytest.raises(ValueError, match=r"^reducing_gap: must be at least 1, got"):
        native.resize_with_gap(bytes(12), (2, 2, 3), (1, 1), "box", "pillow-13", gap)


@pytest.mark.parametrize("name", ["box", "hamming"])
def test_torchvision_has_no_box_and_no_hamming(name: str) -> None:
    with pytest.raises(ValueError, match=f"^resample: must be .* got '{name}'$"):
        dr.resize(noise(0, 4, 4), (2, 2), resample=name, numerics="torchvision")


# Arithmetic


SWITCHES = [(rescale, normalize) for rescale in (True, False) for normalize in (True, False)]


def table_of(
    arithmetic: str, factor: float, mean: Any, std: Any, rescale: bool, normalize: bool
) -> tuple[NDArray[np.float32], str]:
    mean_std = (list(mean), list(std)) if normalize else None
    data, dtype = native.normalised(arithmetic, factor if rescale else None, mean_std)
    return from_bytes(data, 256, 3), dtype


@pytest.mark.parametrize(("rescale", "normalize"), SWITCHES)
@pytest.mark.parametrize("arithmetic", get_args(normalise.Arithmetic))
@property_test(
    mean=means,
    std=st.tuples(*[st.floats(0.0625, 2)] * 3),
    factor=st.sampled_from([1 / 255, 1 / 127.5, 0.00392157]),
)
def test_arithmetic_is_the_references(
    arithmetic: Any, rescale: bool, normalize: bool, mean: Any, std: Any, factor: float
) -> None:
    got, dtype = table_of(arithmetic, factor, mean, std, rescale, normalize)
    want = normalise.table(arithmetic, mean, std, factor, rescale, normalize)
    same(got, want.astype(np.float32))
    half = arithmetic == "bfloat16" and rescale and normalize
    assert dtype == ("bfloat16" if half else want.dtype.name)


@pytest.mark.torch
@property_test(
    mean=means,
    std=st.tuples(*[st.floats(0.0625, 2)] * 3),
    factor=st.sampled_from([1 / 255, 1 / 127.5, 0.00392157]),
)
def test_bfloat16_steps_are_torchs(torch: Any, mean: Any, std: Any, factor: float) -> None:
    """The steps of Llama 4, as torch takes them."""
    byte = torch.arange(256, dtype=torch.uint8)[:, None].expand(256, 3)
    mean16, std16 = (torch.tensor(list(values), dtype=torch.bfloat16) for values in (mean, std))
    want = (byte.to(torch.bfloat16) * factor).sub(mean16).div_(std16)
    got, dtype = table_of("bfloat16", factor, mean, std, True, True)
    same(got, want.float().numpy())
    assert dtype == "bfloat16"
    got, dtype = table_of("bfloat16", factor, mean, std, True, False)
    same(got, (byte * factor).numpy())
    assert dtype == "float32"


# Statistics


@pytest.mark.torch
@property_test(
    seed=seeds,
    kind=st.sampled_from(["bytes", "floats", "flat"]),
    size=st.tuples(sides, sides),
    rule=st.sampled_from(get_args(floats.Standardise)),
)
def test_statistics_are_upstreams(
    one_thread: Any, seed: int, kind: str, size: tuple[int, int], rule: Any
) -> None:
    torch = one_thread
    planes = planes_of(seed, kind, *size)
    if kind == "flat":
        planes = np.full((3, *size), seed % 256, np.float32)
    count = planes.size
    tensor = torch.from_numpy(planes)[None]
    if rule == "numpy":
        mean: Any = np.mean(planes)
        deviation = np.float32(max(np.std(planes), 1.0 / math.sqrt(count)))
        want = (planes - mean) / deviation
    else:
        mean = tensor.mean(dim=(1, 2, 3))
        least = torch.tensor(1.0 / count**0.5)
        if rule == "torch-single":
            least = 1.0 / torch.sqrt(torch.tensor(count))
        deviation = torch.maximum(tensor.std(dim=(1, 2, 3)), least)
        want = ((tensor - mean) / deviation)[0].numpy()
    data, got_mean, got_deviation = native.standardised(planes.tobytes(), rule)
    assert (got_mean, got_deviation) == (float(mean), float(deviation))
    same(from_bytes(data, *planes.shape), want)
    assert floats.statistics(planes, rule) == (np.float32(got_mean), np.float32(got_deviation))
