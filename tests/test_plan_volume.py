"""The plan of every family over many random sizes: equal to the reference and to real tensors.

How many sizes a family: `DYNRES_PLAN_SIZES`, else 250, or 600 with hypothesis' profile `ci`.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dynres_rs as dr
import numpy as np
import property_counts
import pytest
from conftest import PROFILE
from numpy.typing import NDArray
from reference import families as reference
from reference import plan as plans

COUNT = int(os.environ.get("DYNRES_PLAN_SIZES") or (600 if PROFILE == "ci" else 250))
MAX_IMAGE_PIXELS = plans.MAX_IMAGE_PIXELS
ITEMSIZE = {None: 4, "float32": 4, "float16": 2, "bfloat16": 2, "uint8": 1}

Size = tuple[int, int]
Config = dict[str, Any]

#: What released checkpoints have, in upstream's words: (width, height) in DeepSeek-VL2's file.
CANVASES = [
    *([384, 384], [384, 768], [768, 384], [384, 1152], [1152, 384], [384, 1536], [1536, 384]),
    *([768, 768], [384, 1920], [1920, 384], [384, 2304], [2304, 384], [768, 1152], [1152, 768]),
    *([384, 2688], [2688, 384], [384, 3072], [3072, 384], [768, 1536], [1536, 768]),
    *([384, 3456], [3456, 384], [1152, 1152]),
]


def square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def area(least: int, most: int) -> dict[str, int]:
    return {"shortest_edge": least, "longest_edge": most}


RELEASED: dict[str, Config] = {
    "qwen2-vl": {"size": area(3136, 12_845_056)},
    "qwen2.5-vl": {"size": area(3136, 12_845_056)},
    "qwen3-vl": {"size": area(65_536, 16_777_216)},
    "internvl": {},
    "internvl-hf": {
        "size": square(448),
        "crop_to_patches": True,
        "image_mean": reference.IMAGENET["image_mean"],
        "image_std": reference.IMAGENET["image_std"],
    },
    "got-ocr2": {"size": square(1024)},
    "deepseek-vl2": {"candidate_resolutions": CANVASES},
    "deepseek-vl": {},
    "deepseek-vl-hybrid": {},
}


def variants(family: str, generator: np.random.Generator) -> Config:
    """Another configuration, with small tiles or a small budget."""

    def one_of(*values: Any) -> Any:
        return values[generator.integers(len(values))]

    def between(low: int, high: int) -> int:
        return int(generator.integers(low, high + 1))

    mean = {"image_mean": [round(float(m), 3) for m in generator.uniform(0, 1, 3)]}
    if family.startswith("qwen"):
        patch, merge = one_of(14, 16), between(1, 3)
        least = between(1, 8) * (patch * merge) ** 2
        most = least + between(0, 80) * (patch * merge) ** 2
        sides = {"patch_size": patch, "merge_size": merge, "temporal_patch_size": between(1, 2)}
        return {**sides, "size": area(least, most)}
    if family == "internvl":
        least = between(1, 4)
        return {
            "image_size": one_of(28, 56, 84),
            "min_num": least,
            "max_num": least + between(0, 20),
            "use_thumbnail": one_of(True, False),
            "multi_image": one_of("full", "divide"),
        }
    if family in ("internvl-hf", "got-ocr2"):
        cell, least = 28 if family == "internvl-hf" else 64, between(1, 4)
        return {
            "size": {"height": cell * between(1, 3), "width": cell * between(1, 3)},
            "crop_to_patches": one_of(True, True, False),
            "min_patches": least,
            "max_patches": least + between(0, 20),
        }
    if family == "deepseek-vl2":
        side = one_of(28, 56, 70)
        pairs = [(1, 1), *((between(1, 5), between(1, 5)) for _ in range(between(0, 8)))]
        return {"candidate_resolutions": [[side * w, side * h] for w, h in pairs], **mean}
    config = {"size": square(16 * between(1, 5)), "min_size": between(1, 14), **mean}
    if family == "deepseek-vl-hybrid":
        high = [round(float(m), 3) for m in generator.uniform(0, 1, 3)]
        config |= {"high_res_size": square(16 * between(1, 9)), "high_res_image_mean": high}
    return config


def random_size(generator: np.random.Generator) -> Size:
    """Log-uniform; some a line of pixels, at the limit of the ratio, beside a tie of rounding, or
    no size at all."""

    def side(most: int = 3000) -> int:
        return int(np.exp(generator.uniform(0, np.log(most + 1))))

    kind = generator.integers(20)
    if kind < 13:
        size = side(), side()
    elif kind < 15:
        size = 1, side()
    elif kind < 17:
        short = side(14)
        size = short, 200 * short + int(generator.integers(-1, 2))
    elif kind < 19:
        unit = int(generator.choice([7, 14, 16, 24, 192, 224]))
        near = [unit * (1 + side(1200) // unit) + int(generator.integers(-1, 2)) for _ in "hw"]
        size = near[0], near[1]
    else:
        sizes = [(0, side()), (20_000, 20_000), (13_377, 13_378)]
        if generator.integers(40) == 0:
            sizes = [(13_377, 13_377)]  # still allowed, and slow
        size = sizes[generator.integers(len(sizes))]
    return size if generator.integers(2) else size[::-1]


def requests(generator: np.random.Generator, count: int) -> Iterator[list[Size]]:
    """The sizes of images that are planned together."""
    while count > 0:
        images = min(count, int(generator.choice([1, 1, 1, 2, 3, 4])))
        count -= images
        yield [random_size(generator) for _ in range(images)]


def black(size: Size) -> NDArray[np.uint8]:
    """An image of hardly any memory: one row, again and again."""
    return np.broadcast_to(np.zeros((1, size[1], 3), np.uint8), (*size, 3))


def same_plan(plan: dr.Plan, want: plans.Plan, size: Size) -> None:
    assert plan.source == size
    for name in ("resized", "grid", "num_tiles", "num_patches", "num_tokens", "shapes"):
        assert getattr(plan, name) == getattr(want, name), name
    assert plan.shape == want.shapes["pixel_values"]
    assert plan.metadata == want.metadata
    for dtype, itemsize in ITEMSIZE.items():
        assert plan.nbytes(dtype) == want.nbytes(itemsize), dtype
    assert len(plan.views) == len(want.views)
    for view, wanted in zip(plan.views, want.views, strict=True):
        assert (view.role, view.parent, view.output) == (wanted.role, wanted.parent, wanted.output)
        assert view.source == (0, 0, *wanted.source)
        assert (view.resized, view.canvas) == (wanted.resized, wanted.canvas)
        assert (view.offset, view.padding) == (wanted.offset, wanted.padding)
        assert view.target == (*wanted.offset, *wanted.resized)
        assert view.pad_color == wanted.colour
        assert (view.grid, view.index, view.count) == (wanted.grid, wanted.index, wanted.count)


def canvas_of(rows: NDArray[Any], view: plans.View) -> NDArray[Any]:
    """The tiles of a view laid out again, (height, width, 3)."""
    tiles = rows[view.index : view.index + view.count]
    grid = tiles.reshape(*view.grid, *tiles.shape[1:]).transpose(0, 3, 1, 4, 2)
    return grid.reshape(*view.canvas, 3)


def same_places(rows: dict[str, NDArray[Any]], want: plans.Plan) -> None:
    """A black image stays black where the plan says that it lies, and the rest is padding."""
    for view in want.views:
        if view.colour is None or view.parent is not None:
            continue
        canvas = canvas_of(rows[view.output], view)
        (top, left), (height, width) = view.offset, view.resized
        assert not canvas[top : top + height, left : left + width].any()
        assert (canvas == view.colour).all(2).sum() == math.prod(view.canvas) - height * width


class Volume:
    """One configuration; counts what was compared, so that a run that compares nothing fails."""

    def __init__(self, family: str, config: Config, numerics: str) -> None:
        self.family, self.config = family, config
        # Arrays of 1, 3 or 4 rows would else be read as channels-first, as upstream reads them.
        originals = family in ("internvl", "deepseek-vl2")
        layout = {} if originals else {"input_data_format": "channels_last"}
        self.processor = dr.Processor(family, numerics=numerics, **config, **layout)
        self.counted: Counter[str] = Counter()

    def run(self, sizes: list[Size], dtype: str | None) -> None:
        count = len(sizes)
        wanted: list[plans.Plan | None] = []
        for size in sizes:
            try:
                want = plans.plan(self.family, size, self.config, count)
            except ValueError:
                self._refused(size, count)
                wanted.append(None)
                continue
            wanted.append(want)
            same_plan(self.processor.plan(*size, num_images=count), want, size)
            tokens = self.processor.num_tokens([size], num_images=count)
            assert tokens.tolist() == [want.num_tokens]
            self._upstream_count(size, want, count)
        self._tensors(sizes, wanted, dtype)
        self.counted["refused"] += wanted.count(None)
        self.counted["compared"] += count - wanted.count(None)

    def _refused(self, size: Size, count: int) -> None:
        with pytest.raises(ValueError, match=r"must be|more than"):
            self.processor.plan(*size, num_images=count)
        with pytest.raises(ValueError, match=r"sizes\[0\]: "):
            self.processor.num_tokens([size], num_images=count)
        if 0 in size:
            with pytest.raises(ValueError, match="must be in"):
                self.processor.get_number_of_image_patches(*size)

    def _upstream_count(self, size: Size, want: plans.Plan, count: int) -> None:
        """transformers' number: patches where there are no tiles."""
        if count == 1:
            found = self.processor.get_number_of_image_patches(*size)
            assert found == (want.num_tiles or want.num_patches)

    def _tensors(
        self, sizes: list[Size], wanted: list[plans.Plan | None], dtype: str | None
    ) -> None:
        images = [black(size) for size in sizes]
        batch = self.processor([images], dtype=dtype, errors="collect")
        bad = [index for index, want in enumerate(wanted) if want is None]
        assert [index for index, _ in batch.pop("errors")] == bad
        good = [want for want in wanted if want is not None]
        if not good:
            return
        assert set(batch) == {*good[0].shapes, *good[0].metadata}
        for key in good[0].shapes:
            array = batch[key]
            assert array.dtype.itemsize == ITEMSIZE[dtype]
            assert array.shape[0] == sum(want.shapes[key][0] for want in good)
            assert {array.shape[1:]} == {want.shapes[key][1:] for want in good}
        for key in good[0].metadata:
            assert batch[key].dtype == np.int64
            assert batch[key].tolist() == [want.metadata[key] for want in good]
        if dtype == "uint8":
            start: Counter[str] = Counter()
            for want in good:
                ends = {key: start[key] + shape[0] for key, shape in want.shapes.items()}
                same_places({k: batch[k][start[k] : end] for k, end in ends.items()}, want)
                start.update({key: shape[0] for key, shape in want.shapes.items()})


def test_every_family_is_here() -> None:
    assert set(RELEASED) == set(plans.FAMILIES) == set(reference.FAMILIES) <= set(dr.families())


@pytest.mark.parametrize("family", RELEASED)
def test_many_sizes(family: str) -> None:
    """Numbers, views and refusals of plans; keys, shapes, types and rows of the arrays."""
    generator = np.random.Generator(np.random.PCG64(sorted(RELEASED).index(family)))
    counted: Counter[str] = Counter()
    for number, sizes in enumerate(requests(generator, COUNT)):
        if number % 8 == 0:
            numerics = str(generator.choice(["torchvision", "pillow-12.0", "pillow-13"]))
            released = number % 16 == 0
            config = RELEASED[family] if released else variants(family, generator)
            volume = Volume(family, config, numerics)
        dtype = str(generator.choice(list(ITEMSIZE)[1:])) if number % 5 == 0 else "uint8"
        volume.run(sizes, dtype)
        counted.update(volume.counted)
        volume.counted.clear()
    assert counted.total() == COUNT
    assert counted["compared"] > 0.7 * COUNT and counted["refused"] > 0.01 * COUNT
    for outcome, count in counted.items():
        property_counts.COMPLETED[f"{__name__}::{family}, sizes {outcome}"] += count


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["Qwen2VLImageProcessor", "GotOcr2ImageProcessor"])
def test_patches_of_upstream(name: str, transformers: Any, upstream_warnings_allowed: None) -> None:
    """`get_number_of_image_patches`, live, with options of the call; errors at the same sizes."""
    generator = np.random.Generator(np.random.PCG64(len(RELEASED)))
    theirs = getattr(transformers, f"{name}Pil")()
    ours = dr.Processor.from_config({"image_processor_type": name})
    calls: list[Config] = [{"crop_to_patches": True}, {"crop_to_patches": True, "max_patches": 7}]
    if name.startswith("Qwen"):
        calls = [{"max_pixels": 100_352}, {"patch_size": 16, "merge_size": 1}]
    counted: Counter[str] = Counter()
    for number in range(COUNT):
        size, kwargs = random_size(generator), [{}, *calls][number % 3]
        try:
            want = theirs.get_number_of_image_patches(*size, kwargs)
        except (ValueError, ZeroDivisionError):
            with pytest.raises(ValueError, match=r"aspect ratio|must be in 1"):
                ours.get_number_of_image_patches(*size, kwargs)
            counted["refused"] += 1
            continue
        if 0 not in size:
            assert ours.get_number_of_image_patches(*size, kwargs) == want, (size, kwargs)
            counted["compared"] += 1
    assert counted["compared"] > 0.7 * COUNT and counted["refused"]
    for outcome, count in counted.items():
        property_counts.COMPLETED[f"{__name__}::{name}, patches {outcome}"] += count
