"""The rules of `reference/strategy` on random sizes: no pixels, no upstream."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import dynres_rs as dr
import pytest
from reference.strategy import (
    Measured,
    clamped,
    edge,
    edge_range,
    longest,
    naflex,
    padded_grid,
    page,
    patch_limit,
    patch_range,
    patch_target,
    scan,
    soft_tokens,
    token_cap,
    token_range,
)

Measure = Callable[[tuple[int, int], dict[str, Any]], Measured]
#: Sizes a setting.
SIZES = 400

#: Family, its rule, and settings beside the preset.
RULES: list[tuple[str, Measure, dict[str, Any]]] = [
    ("siglip2", naflex.measure, {}),
    ("siglip2", naflex.measure, {"max_num_patches": 37, "patch_size": 14}),
    ("gemma4", soft_tokens.measure, {}),
    ("gemma4", soft_tokens.measure, {"max_soft_tokens": 70, "pooling_kernel_size": 2}),
    ("kimi-k25", patch_limit.measure, {}),
    ("kimi-k25", patch_limit.measure, {"max_patches": 90, "max_height": 12, "max_width": 12}),
    ("muse-glimmer", token_cap.measure, {}),
    ("muse-glimmer", token_cap.measure, {"max_image_tokens": 23}),
    ("glm-image", edge_range.measure, {}),
    ("glm-image", edge_range.measure, {"min_pixels": 90_000, "max_pixels": 250_000}),
    ("nemotron-h-omni", patch_range.measure, {}),
    ("nemotron-h-omni", patch_range.measure, {"min_num_patches": 9, "max_num_patches": 50}),
    ("nemotron-h-omni", patch_range.measure, {"max_num_patches": 0, "max_model_len": 700}),
    ("glm5-next", token_range.measure, {}),
    ("glm5-next", token_range.measure, {"max_image_tokens": 60, "patch_expand_factor": 2}),
    ("pixtral", edge.measure, {}),
    ("pixtral", edge.measure, {"longest_edge": 77, "patch_size": 14}),
    ("idefics3", longest.measure, {}),
    ("smolvlm", longest.measure, {}),
    ("idefics2", clamped.measure, {}),
    ("idefics2", clamped.measure, {"longest_edge": 200, "shortest_edge": 150}),
    ("donut", page.measure, {}),
    ("nougat", page.measure, {"do_crop_margin": False}),
    ("donut", page.measure, {"height": 100, "width": 300}),
    ("phi4-multimodal", padded_grid.measure, {}),
    ("phi4-multimodal", padded_grid.measure, {"dynamic_hd": 5, "image_size": 112}),
]
#: Rules whose canvas alone is compared: what the image is scaled to within it is another's.
CANVAS_ALONE = frozenset({"glm5-next"})


def sizes(seed: str, count: int, most: float = 12.5) -> list[tuple[int, int]]:
    rng = random.Random(seed)
    return [(int(2 ** rng.uniform(0, most)), int(2 ** rng.uniform(0, most))) for _ in range(count)]


@pytest.mark.parametrize(
    ("family", "rule", "changes"),
    RULES,
    ids=[f"{family}-{n}" for n, (family, _, _) in enumerate(RULES)],
)
def test_sizes_by_the_rule(family: str, rule: Measure, changes: dict[str, Any]) -> None:
    processor = dr.Processor(family, **changes)
    options = processor.to_dict()
    compared = 0
    for size in sizes(family, SIZES):
        try:
            want = rule(size, options)
        except ValueError:
            with pytest.raises(ValueError):
                processor.plan(*size)
            continue
        try:
            plan = processor.plan(*size)
        except dr.ImageTooLargeError:  # the image, or one that is made on the way
            continue
        compared += 1
        main = plan.views[-1] if len(plan.views) == 1 else None
        canvas = main.canvas if main is not None else None
        if family not in CANVAS_ALONE:
            assert tuple(plan.resized) == want.resized, size
        assert canvas is None or tuple(canvas) == want.canvas, size
    assert compared > SIZES // 10, "most sizes are refused: the rule is not looked at"


def test_frames_by_the_rule() -> None:
    for changes in ({}, {"video_target_num_patches": 57}, {"video_maintain_aspect_ratio": False}):
        processor = dr.VideoProcessor("nemotron-h-omni", **changes)
        for size in sizes("frames", SIZES):
            want = patch_target.measure(size, processor.options)
            assert processor.plan(*size, num_frames=2).resized == want.resized, size


def test_tokens_of_a_padded_grid() -> None:
    for changes in ({}, {"dynamic_hd": 5, "image_size": 100, "patch_size": 12}):
        processor = dr.Processor("phi4-multimodal", **changes)
        options = processor.to_dict()
        for size in sizes("tokens", SIZES):
            try:
                want = padded_grid.tokens(size, options)
            except ValueError:
                continue
            assert processor.plan(*size).num_tokens == want, size


def test_crops_of_long_images() -> None:
    processor = dr.Processor("gemma3", do_pan_and_scan=True)
    options = processor.to_dict()
    found = 0
    for size in sizes("crops", SIZES, 11):
        want = scan.crops(size, options)
        plan = processor.plan(*size)
        crops = [view.source for view in plan.views if view.role == "crop"]
        assert [tuple(crop) for crop in crops] == want, size
        found += bool(crops)
    assert found > SIZES // 20
