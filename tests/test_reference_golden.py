"""The plain-Python reference returns, bit for bit, what upstream returned (`golden/`)."""

from typing import Any

import golden_cases
import pytest
from golden_cases import Case, ResizeCase
from reference import families, sizing
from reference.resample import resize

FAMILY_OF_CONFIG = {
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
ORIGINAL_CASES = golden_cases.original_cases()
DEEPSEEK_CASES = golden_cases.family_cases(["deepseek_vl", "deepseek_vl_hybrid"])
RESIZE_CASES = golden_cases.resize_cases()


def run(case: Case) -> families.Output:
    images = [golden_cases.make(spec) for spec in case.images]
    config = {**case.config, **case.kwargs}
    return families.run(FAMILY_OF_CONFIG[case.family], images, config, case.numerics)


def test_no_case_is_lost() -> None:
    counts = golden_cases.EXPECTED_COUNTS
    assert len(IMAGE_CASES) == counts["images.json"]
    assert len(ORIGINAL_CASES) == counts["internvl_deepseek.json"]
    assert len(RESIZE_CASES) == 4 * counts["resize.json"]
    assert len(golden_cases.load("sizes.json")) == counts["sizes.json"]
    assert len(DEEPSEEK_CASES) == 28 + 8


@pytest.mark.parametrize("case", IMAGE_CASES, ids=str)
def test_transformers_images(case: Case) -> None:
    golden_cases.check(case, run(case))


@pytest.mark.parametrize("case", ORIGINAL_CASES, ids=str)
def test_original_internvl_and_deepseek_vl2(case: Case) -> None:
    golden_cases.check(case, run(case), extra_keys=case.family == "internvl")


@pytest.mark.parametrize("case", DEEPSEEK_CASES, ids=str)
def test_transformers_deepseek_vl(case: Case) -> None:
    golden_cases.check(case, run(case))


@pytest.mark.parametrize("case", RESIZE_CASES, ids=str)
def test_resize(case: ResizeCase) -> None:
    result = resize(golden_cases.make(case.image), case.size, case.resample, case.numerics)
    assert golden_cases.digest(result) == case.sha256


@pytest.mark.parametrize("case", golden_cases.chain_cases(), ids=str)
def test_qwen_vl_utils_before_transformers(case: golden_cases.ChainCase) -> None:
    image = golden_cases.make(case.image)
    budget = (case.factor, case.min_pixels, case.max_pixels)
    size = sizing.smart_resize_qwen_vl_utils(*image.shape[:2], *budget)
    fetched = resize(image, size, "bicubic", "pillow-13")
    assert not golden_cases.differences({"fetched": fetched}, {"fetched": case.fetched})
    for numerics, outputs in case.outputs.items():
        config = {"patch_size": case.patch_size, "do_resize": False}
        result = families.run("qwen2-vl", [fetched], config, numerics)
        lines = golden_cases.differences(result, outputs)
        assert not lines, [numerics, *lines]


SIZE_FUNCTIONS = {
    "qwen2vl_hf f28 [3136,12845056]": lambda h, w: sizing.smart_resize(h, w, 28, 3136, 12845056),
    "qwen2vl_hf f28 [3136,1003520]": lambda h, w: sizing.smart_resize(h, w, 28, 3136, 1003520),
    "qwen3vl_hf f32 [65536,16777216]": lambda h, w: sizing.smart_resize(h, w, 32, 65536, 16777216),
    "qwen_vl_utils f28 default": lambda h, w: sizing.smart_resize_qwen_vl_utils(h, w, 28),
    "qwen_vl_utils f28 [3136,1003520]": lambda h, w: sizing.smart_resize_qwen_vl_utils(
        h, w, 28, 3136, 1003520
    ),
    # Upstream names these grids (columns, rows).
    "internvl_got grid(cols,rows) 448 1..12": lambda h, w: sizing.closest_aspect_grid(
        h, w, 448, 1, 12, "transformers"
    )[::-1],
    "internvl_got grid 448 1..6": lambda h, w: sizing.closest_aspect_grid(
        h, w, 448, 1, 6, "transformers"
    )[::-1],
    # The temporal rule of Qwen3-VL's videos, for a still image of two frames.
    "glm4v_image f28 [12544,11760000] t2": lambda h, w: sizing.smart_resize_video(
        2, h, w, 2, 28, 12544, 11760000
    ),
}


@pytest.mark.parametrize("row", SIZE_FUNCTIONS)
def test_sizes(row: str) -> None:
    wrong = []
    for height, width, expected in golden_cases.size_rows(row):
        try:
            got: Any = list(SIZE_FUNCTIONS[row](height, width))
        except ValueError:
            got = "ERR ValueError"
        if isinstance(expected, str):
            expected = expected.partition(":")[0]
        if got != expected:
            wrong.append(f"{height} x {width}: {got}, upstream {expected}")
    assert not wrong, "\n".join(wrong)


def test_deepseek_vl2_tiles_and_tokens() -> None:
    config = ORIGINAL_CASES[-1].config
    assert ORIGINAL_CASES[-1].family == "deepseek-vl2"
    complete = families.complete("deepseek-vl2", dict(config))
    for height, width, expected in golden_cases.size_rows("deepseek_vl2"):
        canvas = families.deepseek_vl2_canvas((height, width), complete, 1)
        tokens = families.counts("deepseek-vl2", (height, width), complete).tokens
        got = {"tiles_wh": [canvas[1] // 384, canvas[0] // 384], "tokens": tokens}
        assert got == expected, (height, width)


def test_internvl_candidates_come_in_upstream_order() -> None:
    order = (
        "(1,1) (1,2) (2,1) (3,1) (1,3) (2,2) (4,1) (1,4) (5,1) (1,5) (1,6) (6,1) (3,2) (2,3) (7,1)"
        " (1,7) (4,2) (2,4) (1,8) (8,1) (1,9) (3,3) (9,1) (2,5) (5,2) (10,1) (1,10) (11,1) (1,11)"
        " (12,1) (3,4) (4,3) (1,12) (6,2) (2,6)"
    )
    assert " ".join(f"({c},{r})" for c, r in sizing.aspect_ratios(1, 12)) == order
