"""Every recorded case of every image class of upstream: bit for bit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from numpy.typing import NDArray
from PIL import Image

FILES = ("families.json", "families_multi.json", "configs.json", "published.json")
EXPECTED = {
    "families.json": 651,
    "families_multi.json": 178,
    "configs.json": 825,
    "published.json": 32,
}


def class_of(case: Mapping[str, Any]) -> str:
    return str(case["class"]).removesuffix("Pil").removesuffix("Fast")


def config_of(file: str, case: Mapping[str, Any]) -> dict[str, Any]:
    data = golden_cases.load(file)
    if "config" in case:
        return dict(data["configs"][case["config"]])
    return {"image_processor_type": class_of(case)}


def label(file: str, number: int, case: Mapping[str, Any]) -> str:
    sizes = "+".join(f"{i['height']}x{i['width']}" for i in case["images"])
    kwargs = "-kwargs" if case.get("kwargs") else ""
    where = case.get("config", "")
    stem = file.partition(".")[0]
    return f"{stem}-{number}-{class_of(case)}-{case['backend']}-{where}-{sizes}{kwargs}"


def cases() -> list[Any]:
    found = []
    for file in FILES:
        for number, case in enumerate(golden_cases.load(file)["cases"]):
            found.append(pytest.param(file, case, id=label(file, number, case)))
    return found


def as_recorded(value: Any, want: Any, where: str) -> list[str]:
    """The differences between a value and a recorded one: arrays, or lists of them."""
    if isinstance(want, list):
        if not isinstance(value, list) or len(value) != len(want):
            return [f"{where}: {type(value).__name__}, upstream a list of {len(want)}"]
        pairs = zip(value, want, strict=True)
        return [
            line for i, (a, b) in enumerate(pairs) for line in as_recorded(a, b, f"{where}[{i}]")
        ]
    if "list" in want:
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        return [] if plain == want["list"] else [f"{where}: {plain}, upstream {want['list']}"]
    if want["dtype"] == "bfloat16":
        want = {**want, "dtype": "uint16"}  # its bits
    return golden_cases.differences({where: value}, {where: want})


def differences(result: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    lines = []
    if set(result) != set(outputs):
        lines.append(f"keys {sorted(result)}, upstream {sorted(outputs)}")
    for key in sorted(set(result) & set(outputs)):
        lines += as_recorded(result[key], outputs[key], key)
    return lines


def picture(spec: Mapping[str, Any]) -> Any:
    image = golden_cases.make(spec)
    return Image.fromarray(image) if image.shape[0] in (1, 3, 4) else image


def test_no_case_is_lost() -> None:
    for file, count in EXPECTED.items():
        assert len(golden_cases.load(file)["cases"]) == count, file


def test_every_recorded_class_is_here() -> None:
    known = {name for name, rows in native.upstream().items() if not rows[0]["video"]}
    assert known >= {class_of(case) for file in FILES for case in golden_cases.load(file)["cases"]}


@pytest.mark.parametrize(("file", "case"), cases())
def test_recorded_case(file: str, case: Mapping[str, Any]) -> None:
    numerics = golden_cases.NUMERICS_OF_BACKEND[case["backend"]]
    outputs = case["outputs"]
    images = [picture(spec) for spec in case["images"]]
    given = images[0] if len(images) == 1 else images
    if "error" in outputs:
        with pytest.raises((ValueError, TypeError)):
            dr.Processor.from_config(config_of(file, case), numerics=numerics)(
                given, **case.get("kwargs", {})
            )
        return
    processor = dr.Processor.from_config(config_of(file, case), numerics=numerics)
    result = processor(given, **case.get("kwargs", {}))
    lines = differences(result, outputs)
    assert not lines, "\n".join([label(file, 0, case), *lines])


@pytest.mark.parametrize("family", ["idefics2", "idefics3", "smolvlm"])
def test_bytes_beside_zeros_are_floats(family: str) -> None:
    """Upstream lays the views of samples over zeros of float32; its PIL backend keeps those that
    a sample with fewer views leaves, and the array is as they are."""
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    off = {"do_image_splitting": False, "do_rescale": False, "do_normalize": False}
    results = {}
    for numerics in ("pillow", "torchvision"):
        processor = dr.Processor(family, numerics=numerics)
        for samples in ([[image], [image]], [[image], [image, image]]):
            found = processor(samples, **off)["pixel_values"]
            results[numerics, len(samples[1])] = found.dtype.name
            assert (found[0, 0] == found[1, 0]).all() and found.max() > 200
    assert results == {
        ("pillow", 1): "uint8",
        ("pillow", 2): "float32",
        ("torchvision", 1): "float32",
        ("torchvision", 2): "float32",
    }


@pytest.mark.parametrize(
    ("family", "options", "unit"),
    [
        ("siglip2", {"max_num_patches": 20}, 16),
        ("gemma4", {"max_soft_tokens": 70}, 48),
        ("gemma4-unified", {"max_soft_tokens": 70}, 48),
    ],
)
def test_patches_beyond_the_limit(family: str, options: dict[str, Any], unit: int) -> None:
    """Where nothing is resized. `tests/test_grids.py` asks upstream itself."""
    processor = dr.Processor(family, **options)
    limit = processor.plan(500, 500).shape[1]
    large, small = (np.full((side * unit, 9 * unit, 3), 255, np.uint8) for side in (9, 1))
    batch = processor([large, large], do_resize=False)
    rows = 81 * (unit // processor.to_dict()["patch_size"]) ** 2
    rows //= 9 if family == "gemma4-unified" else 1
    assert rows > limit
    assert batch["pixel_values"].shape[:2] == (2, rows)
    assert (batch["pixel_values"] == batch["pixel_values"][0, 0, 0]).all()
    assert processor.plan(9 * unit, 9 * unit, do_resize=False).shape == (
        1,
        *batch["pixel_values"].shape[1:],
    )
    if family == "siglip2":
        assert batch["pixel_attention_mask"].shape == (2, limit)
        assert batch["pixel_attention_mask"].all()
    else:
        assert batch["image_position_ids"].shape == (2, rows, 2)
        assert batch["image_position_ids"].min() == 0
        assert batch["num_soft_tokens_per_image"].tolist() == [81, 81]
    with pytest.raises(ValueError, match="pixel_values: images or videos of one call"):
        processor([large, small], do_resize=False)


#: Of one call: from one tile to many, beside one another.
UNLIKE = ((30, 400), (300, 250), (600, 1300))


@pytest.mark.parametrize("family", dr.families())
def test_unlike_images_of_one_call(family: str) -> None:
    """Each has what it has alone, wherever a family's arrays can hold all of them."""
    # Its plan would need the pixels.
    options = {"do_crop_margin": False} if family == "nougat" else {}
    processor = dr.Processor(family, **options)
    noise = np.random.default_rng(6)
    images = [noise.integers(0, 256, (*size, 3), np.uint8) for size in UNLIKE]
    alone: dict[int, Any] = {}
    for number, image in enumerate(images):
        try:
            alone[number] = processor(image)
        except ValueError:
            continue  # a shape that upstream refuses
    sizes = [UNLIKE[number] for number in alone]
    plans = [
        [processor.plan(*size, num_images=n).shapes for size in sizes] for n in (1, len(sizes))
    ]
    if plans[0] != plans[1]:
        pytest.skip("an image is cut otherwise where it is not alone")
    try:
        together = processor([images[number] for number in alone])
    except ValueError as error:
        # Arrays of one size for all, where sizes are the images' own.
        assert re.search("images( or videos)? of one call must give", str(error))
        assert len({np.shape(batch["pixel_values"])[1:] for batch in alone.values()}) > 1
        return
    pixels = sum(map(np.count_nonzero, leaves(together)))
    assert pixels == sum(np.count_nonzero(v) for batch in alone.values() for v in leaves(batch))


def leaves(batch: Mapping[str, Any]) -> list[NDArray[Any]]:
    """The arrays of pixels of a batch, lists apart."""
    found: list[NDArray[Any]] = []

    def look(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                look(item)
        else:
            found.append(value)

    for key, value in batch.items():
        if key.startswith("pixel_values"):
            look(value)
    return found


def test_two_resolutions_without_a_resize() -> None:
    """Both are the image then, without a pad; where it is resized, `do_pad` alone goes without."""
    image = np.random.default_rng(4).integers(0, 256, (40, 30, 3), np.uint8)
    plain = {"do_rescale": False, "do_normalize": False}
    batch = dr.Processor("deepseek-vl-hybrid", numerics="pillow")(image, do_resize=False, **plain)
    for key in ("pixel_values", "high_res_pixel_values"):
        assert np.array_equal(batch[key][0], image.transpose(2, 0, 1))
    shapes = dr.Processor("deepseek-vl-hybrid").plan(40, 30, do_pad=False).shapes
    assert shapes["high_res_pixel_values"] == (1, 3, 1024, 768)
    assert shapes["pixel_values"] == (1, 3, 384, 288)


def test_views_beyond_the_limit() -> None:
    """An image that is not cut may be scaled to more patches than a view is filled up to."""
    processor = dr.Processor("lfm2-vl", max_image_tokens=64, tile_size=128)
    image = np.random.default_rng(8).integers(0, 256, (64, 33, 3), np.uint8)
    batch = processor(image)
    assert batch["pixel_values"].shape[:2] == (1, 288)
    assert batch["pixel_attention_mask"].tolist() == [[1] * 256]
    assert batch["spatial_shapes"].tolist() == [[24, 12]]
    assert processor([image, image])["pixel_values"].shape[:2] == (2, 288)
    with pytest.raises(ValueError, match="pixel_values: images or videos of one call"):
        processor([image, np.zeros((128, 128, 3), np.uint8)])
