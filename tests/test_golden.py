"""The public API returns, bit for bit, what upstream returned (`golden/`)."""

from typing import Any

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from golden_cases import Case, ResizeCase
from PIL import Image
from reference import families

UPSTREAM_CLASS = {
    "qwen2-vl": "Qwen2VLImageProcessor",
    "qwen2-vl-1m": "Qwen2VLImageProcessor",
    "qwen2-vl-200k": "Qwen2VLImageProcessor",
    "qwen3-vl": "Qwen2VLImageProcessor",
    "internvl-hf": "GotOcr2ImageProcessor",
}
REFERENCE_FAMILY = {
    "qwen2-vl": "qwen2-vl",
    "qwen2-vl-1m": "qwen2-vl",
    "qwen2-vl-200k": "qwen2-vl",
    "qwen3-vl": "qwen3-vl",
    "internvl-hf": "internvl-hf",
    "deepseek_vl": "deepseek-vl",
    "deepseek_vl_hybrid": "deepseek-vl-hybrid",
    "internvl": "internvl",
    "deepseek-vl2": "deepseek-vl2",
}

IMAGE_CASES = golden_cases.image_cases()
MODE_CASES = golden_cases.mode_cases()
ORIGINAL_CASES = golden_cases.original_cases()
DEEPSEEK_CASES = golden_cases.family_cases(["deepseek_vl", "deepseek_vl_hybrid"])
RESIZE_CASES = golden_cases.resize_cases()
PRESETS = ("qwen2-vl", "qwen3-vl")


def upstream_config(case: Case) -> dict[str, Any]:
    return {"image_processor_type": UPSTREAM_CLASS[case.family], **case.config}


def check(case: Case, result: dict[str, Any], *, extra_keys: bool = False) -> None:
    """As recorded; the reference is computed only to explain a difference."""
    if golden_cases.differences(result, case.outputs, extra_keys=extra_keys) and case.mode is None:
        images = [golden_cases.make(spec) for spec in case.images]
        family = REFERENCE_FAMILY[case.family]
        reference = families.run(family, images, dict(case.config), case.numerics)
        golden_cases.check(case, result, extra_keys=extra_keys, reference=reference)
    golden_cases.check(case, result, extra_keys=extra_keys)


def picture(spec: golden_cases.ImageSpec) -> Any:
    """An array; a PIL image where an array's rows would be taken for channels, as upstream does."""
    image = golden_cases.make(spec)
    return Image.fromarray(image) if image.shape[0] in (1, 3, 4) else image


def run(processor: dr.Processor, case: Case) -> dict[str, Any]:
    images = [picture(spec) for spec in case.images]
    return processor(images[0] if len(images) == 1 else images)


def check_plan(processor: dr.Processor, case: Case) -> None:
    """What is promised without pixels is what upstream's pixels had."""
    plans = [
        processor.plan(spec["height"], spec["width"], num_images=len(case.images))
        for spec in case.images
    ]
    shape = case.outputs["pixel_values"]["shape"]
    assert sum(plan.shape[0] for plan in plans) == shape[0]
    assert all(list(plan.shape[1:]) == shape[1:] for plan in plans)
    tokens = case.outputs.get("num_image_tokens")
    if tokens is not None:
        assert [plan.num_tokens for plan in plans] == tokens["values"]


def test_no_case_is_lost() -> None:
    counts = golden_cases.EXPECTED_COUNTS
    assert len(IMAGE_CASES) == counts["images.json"]
    assert len(MODE_CASES) == counts["modes.json"]
    assert len(ORIGINAL_CASES) == counts["internvl_deepseek.json"]
    assert len(RESIZE_CASES) == 4 * counts["resize.json"]
    assert len(golden_cases.load("sizes.json")) == counts["sizes.json"]
    assert len(DEEPSEEK_CASES) == 28 + 8


@pytest.mark.parametrize("case", IMAGE_CASES, ids=str)
def test_transformers_images(case: Case) -> None:
    processor = dr.Processor.from_config(upstream_config(case), numerics=case.numerics)
    check(case, run(processor, case))
    check_plan(processor, case)


@pytest.mark.parametrize("case", [c for c in IMAGE_CASES if c.family in PRESETS], ids=str)
def test_presets(case: Case) -> None:
    """The presets carry the checkpoints' values, which are these cases' configurations."""
    check(case, run(dr.Processor(case.family, numerics=case.numerics), case))


@pytest.mark.parametrize("case", MODE_CASES, ids=str)
def test_modes(case: Case) -> None:
    assert case.mode is not None
    processor = dr.Processor.from_config(upstream_config(case), numerics=case.numerics)
    check(case, processor(golden_cases.make_mode(case.images[0], case.mode)))


@pytest.mark.parametrize("case", ORIGINAL_CASES, ids=str)
def test_original_internvl_and_deepseek_vl2(case: Case) -> None:
    processor = dr.Processor(case.family, numerics=case.numerics, **case.config)
    # InternVL's own function returns the tiles alone.
    check(case, run(processor, case), extra_keys=case.family == "internvl")
    check_plan(processor, case)


@pytest.mark.parametrize("case", DEEPSEEK_CASES, ids=str)
def test_transformers_deepseek_vl(case: Case) -> None:
    processor = dr.Processor.from_config(dict(case.config), numerics=case.numerics)
    check(case, run(processor, case))


@pytest.mark.parametrize("case", RESIZE_CASES, ids=str)
def test_resize(case: ResizeCase) -> None:
    image = golden_cases.make(case.image)
    result = dr.resize(image, case.size, resample=case.resample, numerics=case.numerics)
    assert result.shape == (*case.size, 3) and result.dtype == np.uint8
    assert golden_cases.digest(result) == case.sha256


@pytest.mark.parametrize("case", golden_cases.chain_cases(), ids=str)
def test_transformers_after_qwen_vl_utils(case: golden_cases.ChainCase) -> None:
    """An image that has its size already: nothing is resized."""
    height, width, _ = case.fetched["shape"]
    image = golden_cases.make(case.image)
    fetched = dr.resize(image, (height, width), resample="bicubic", numerics="pillow-13")
    assert golden_cases.digest(fetched) == case.fetched["sha256"]
    config = {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": case.patch_size}
    for numerics, outputs in case.outputs.items():
        processor = dr.Processor.from_config(config, numerics=numerics)
        lines = golden_cases.differences(processor(fetched, do_resize=False), outputs)
        assert not lines, [numerics, *lines]


def _grid_columns_rows(height: int, width: int, max_tiles: int) -> list[int]:
    grid = dr.closest_aspect_grid(height, width, tile_size=448, min_tiles=1, max_tiles=max_tiles)
    return [grid.columns, grid.rows]


SIZE_FUNCTIONS = {
    "qwen2vl_hf f28 [3136,12845056]": lambda h, w: list(dr.smart_resize(h, w, 28, 3136, 12845056)),
    "qwen2vl_hf f28 [3136,1003520]": lambda h, w: list(dr.smart_resize(h, w)),
    "qwen3vl_hf f32 [65536,16777216]": lambda h, w: list(
        dr.smart_resize(h, w, factor=32, min_pixels=65536, max_pixels=16777216)
    ),
    "internvl_got grid(cols,rows) 448 1..12": lambda h, w: _grid_columns_rows(h, w, 12),
    "internvl_got grid 448 1..6": lambda h, w: _grid_columns_rows(h, w, 6),
    # The temporal rule of Qwen3-VL's videos, for a still image of two frames.
    "glm4v_image f28 [12544,11760000] t2": lambda h, w: list(
        dr.smart_resize_video(2, h, w, 2, 28, 12544, 11760000)
    ),
}


@pytest.mark.parametrize("row", SIZE_FUNCTIONS)
def test_sizes(row: str) -> None:
    wrong = []
    for height, width, expected in golden_cases.size_rows(row):
        try:
            got: Any = SIZE_FUNCTIONS[row](height, width)
        except ValueError:
            got = "ERR ValueError"
        if isinstance(expected, str):
            expected = expected.partition(":")[0]
        if got != expected:
            wrong.append(f"{height} x {width}: {got}, upstream {expected}")
    assert not wrong, "\n".join(wrong)


def test_deepseek_vl2_sizes() -> None:
    processor = dr.Processor("deepseek-vl2")
    candidates = [(h, w) for w, h in ORIGINAL_CASES[-1].config["candidate_resolutions"]]
    assert ORIGINAL_CASES[-1].family == "deepseek-vl2"
    rows = golden_cases.size_rows("deepseek_vl2")
    for height, width, expected in rows:
        columns, tile_rows = expected["tiles_wh"]
        canvas = dr.best_canvas(height, width, candidates)
        assert tuple(canvas) == (tile_rows * 384, columns * 384), (height, width)
        plan = processor.plan(height, width)
        assert plan.num_tokens == expected["tokens"], (height, width)
        assert plan.num_tiles == 1 + columns * tile_rows, (height, width)
    sizes = np.array([(height, width) for height, width, _ in rows])
    assert processor.num_tokens(sizes).tolist() == [expected["tokens"] for *_, expected in rows]
