"""Random images, configurations of every family, and the comparison: shared by several tests."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from reference.resample import NUMERICS

Array = NDArray[Any]

FILTERS = ("bilinear", "bicubic", "lanczos")
numerics_names = st.sampled_from(NUMERICS)
filters = st.sampled_from(FILTERS)
seeds = st.integers(0, 2**32 - 1)
# Small sides often, long ones sometimes: the rules change where an axis grows, shrinks or stays.
sides = st.one_of(st.integers(1, 12), st.integers(1, 90), st.integers(1, 90), st.integers(91, 420))


def one_quick(values: Iterable[Any]) -> list[Any]:
    """Values of a test's parameter, of which the first alone is not `slow`."""
    first, *others = values
    return [first, *(pytest.param(value, marks=pytest.mark.slow) for value in others)]


def sized(processor: dr.Processor) -> dr.Processor:
    """The same without what needs pixels to be planned."""
    return (
        processor._changed({"do_crop_margin": False}) if processor.policy.crop_margin else processor
    )


def noise(seed: int, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Random bytes; a third of the images have only the extremes, where clamping shows."""
    generator = np.random.Generator(np.random.PCG64(seed))
    values = generator.integers(0, 256, (height, width, channels), np.uint8)
    return values // 128 * 255 if seed % 3 == 0 else values


def same(got: Any, want: Array, what: str = "") -> None:
    """Equal shape, dtype and bits."""
    got = np.asarray(got)
    assert got.shape == want.shape, f"{what}: shape {got.shape} instead of {want.shape}"
    assert got.dtype == want.dtype, f"{what}: dtype {got.dtype} instead of {want.dtype}"
    bits = f"u{want.dtype.itemsize}"
    wrong = np.argwhere(
        np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(want).view(bits)
    )
    if len(wrong):
        first = tuple(int(i) for i in wrong[0])
        raise AssertionError(
            f"{what}: {len(wrong)} of {want.size} values differ, first at {first}:"
            f" {got[first]!r} instead of {want[first]!r}"
        )


def same_output(got: dict[str, Any], want: dict[str, Array]) -> None:
    assert set(got) == set(want)
    for key in want:
        same(got[key], want[key], key)


means = st.tuples(*[st.floats(0, 1, width=32)] * 3).map(list)
deviations = st.tuples(*[st.floats(0.0625, 2)] * 3).map(list)
factors = st.one_of(st.just(1 / 255), st.sampled_from([1 / 127.5, 1 / 256, 0.00392156862745098]))
dtypes = st.sampled_from(["float32", "float16", "bfloat16", "uint8"])


@dataclass(frozen=True)
class Setup:
    """A family, its configuration in upstream's words, and how to ask `dynres_rs` for it."""

    family: str
    config: dict[str, Any]
    upstream_class: str | None
    """None: the constructor takes the configuration as overrides."""

    def processor(self, numerics: str) -> dr.Processor:
        if self.upstream_class is None:
            return dr.Processor(self.family, numerics=numerics, **self.config)
        config = {"image_processor_type": self.upstream_class, **self.config}
        return dr.Processor.from_config(config, numerics=numerics)


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    family = draw(
        st.sampled_from(
            [
                "qwen2-vl",
                "qwen3-vl",
                "internvl",
                "internvl-hf",
                "deepseek-vl2",
                "deepseek-vl",
                "deepseek-vl-hybrid",
            ]
        )
    )
    resample = draw(st.sampled_from([1, 2, 3]))
    mean, std = draw(means), draw(deviations)
    common: dict[str, Any] = {"resample": resample, "image_mean": mean, "image_std": std}
    if family in ("qwen2-vl", "qwen3-vl"):
        patch = 14 if family == "qwen2-vl" else 16
        merge = draw(st.integers(1, 3))
        cell = (patch * merge) ** 2
        smallest = draw(st.integers(1, 8)) * cell
        config = common | {
            "patch_size": patch,
            "merge_size": merge,
            "temporal_patch_size": draw(st.integers(1, 2)),
            "size": {
                "shortest_edge": smallest,
                "longest_edge": smallest + draw(st.integers(0, 60)) * cell,
            },
        }
        return Setup(family, config, "Qwen2VLImageProcessor")
    if family == "internvl":
        smallest = draw(st.integers(1, 4))
        config = common | {
            "image_size": draw(st.sampled_from([28, 56])),
            "min_num": smallest,
            "max_num": smallest + draw(st.integers(0, 12)),
            "use_thumbnail": draw(st.booleans()),
        }
        return Setup(family, config, None)
    if family == "internvl-hf":
        side = draw(st.sampled_from([28, 56]))
        smallest = draw(st.integers(1, 4))
        config = common | {
            "size": {"height": side, "width": side},
            "crop_to_patches": draw(st.booleans()),
            "min_patches": smallest,
            "max_patches": smallest + draw(st.integers(0, 12)),
        }
        return Setup(family, config, "GotOcr2ImageProcessor")
    if family == "deepseek-vl2":
        side = 56
        pairs = draw(
            st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6)
        )
        candidates = [[side, side]] + [[side * columns, side * rows] for columns, rows in pairs]
        return Setup(family, common | {"candidate_resolutions": candidates}, None)
    config = common | {"size": {"height": 48, "width": 48}, "min_size": draw(st.integers(1, 20))}
    if family == "deepseek-vl":
        return Setup(family, config, "DeepseekVLImageProcessor")
    config |= {
        "high_res_size": {"height": 96, "width": 96},
        "high_res_resample": draw(st.sampled_from([1, 2, 3])),
        "high_res_image_mean": draw(means),
        "high_res_image_std": draw(deviations),
    }
    return Setup(family, config, "DeepseekVLHybridImageProcessor")


# Arrays of 1, 3 or 4 rows read as channels-first, as upstream reads them; a PIL image never does.
image_sizes = st.tuples(sides, sides).filter(lambda s: max(s) <= 200 * min(s))


def as_input(image: NDArray[np.uint8], form: str) -> Any:
    """The same picture in one of the forms that a processor takes."""
    if form == "pil" or image.shape[0] in (1, 3, 4):
        return Image.fromarray(image)
    if form == "channels first":
        return np.ascontiguousarray(image.transpose(2, 0, 1))
    if form == "every other pixel":
        spread = np.zeros((2 * image.shape[0], 2 * image.shape[1], 3), np.uint8)
        spread[::2, ::2] = image
        return spread[::2, ::2]
    if form == "mirrored":
        return np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]
    if form == "transposed":
        return np.ascontiguousarray(image.transpose(1, 0, 2)).transpose(1, 0, 2)
    return image


FORMS = ("array", "pil", "channels first", "every other pixel", "mirrored", "transposed")
pictures = st.lists(st.tuples(seeds, image_sizes, st.sampled_from(FORMS)), min_size=1, max_size=3)


def draw_images(
    setup: Setup, given: list[tuple[int, tuple[int, int], str]]
) -> tuple[list[NDArray[np.uint8]], list[Any]]:
    images = [noise(seed, *size) for seed, size, _ in given]
    # Channels first is transformers' idea: the original code knows nothing of it.
    originals = setup.upstream_class is None
    forms = ["array" if originals and f == "channels first" else f for *_, f in given]
    return images, [as_input(i, form) for i, form in zip(images, forms, strict=True)]
