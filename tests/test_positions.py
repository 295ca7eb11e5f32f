"""Positions of tokens: a plain loop over samples, and what the models of transformers make."""

from __future__ import annotations

import random
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native

#: The model of transformers whose function each family's rule is, by folder and class.
MODELS = {
    "qwen2-vl": ("qwen2_vl", "Qwen2VLModel"),
    "qwen2.5-vl": ("qwen2_5_vl", "Qwen2_5_VLModel"),
    "qwen3-vl": ("qwen3_vl", "Qwen3VLModel"),
    "glm4v": ("glm4v", "Glm4vModel"),
    "glm46v": ("glm46v", "Glm46VModel"),
    "cosmos3-edge": ("cosmos3_edge", "Cosmos3EdgeModel"),
    "paddleocr-vl": ("paddleocr_vl", "PaddleOCRVLModel"),
    "ernie4.5-vl-moe": ("ernie4_5_vl_moe", "Ernie4_5_VLMoeModel"),
    "hunyuan-vl": ("hunyuan_vl", "HunYuanVLModel"),
    "hy-v4-vl": ("hy_v4_vl", "HYV4VLModel"),
    "cohere-compass": ("cohere_compass", "CohereCompassModel"),
}


def test_every_rule_has_its_model() -> None:
    assert {name for name in dr.families() if native.positions(name)} == set(MODELS)


def test_qwen2_vl() -> None:
    """Two words, a picture of 2 x 3 tokens, one word: the word behind it is at 2 + 3."""
    types = [[0, 0, 1, 1, 1, 1, 1, 1, 0]]
    found = dr.Processor("qwen2-vl").mrope_position_ids(types, image_grid_thw=[[1, 4, 6]])
    assert found.position_ids[:, 0].tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5],
        [0, 1, 2, 2, 2, 3, 3, 3, 5],
        [0, 1, 2, 3, 4, 2, 3, 4, 5],
    ]
    assert found.mrope_position_deltas.tolist() == [[6 - 9]]


def test_time_of_videos() -> None:
    types, grid = [[2] * 4 + [0]], [[2, 2, 4]]
    whole = dr.Processor("qwen2-vl").mrope_position_ids(types, video_grid_thw=grid)
    assert whole.position_ids[0, 0].tolist() == [0, 0, 1, 1, 2]
    timed = dr.Processor("qwen2.5-vl").mrope_position_ids(
        types, video_grid_thw=grid, second_per_grid_ts=[1.75]
    )
    assert timed.position_ids[0, 0].tolist() == [0, 0, 3, 3, 2]
    parted = [[2, 2, 0, 2, 2]]
    frames = dr.Processor("qwen3-vl").mrope_position_ids(parted, video_grid_thw=grid)
    assert frames.position_ids[0, 0].tolist() == [0, 0, 2, 3, 3]


def test_padding_is_zero_and_not_counted() -> None:
    types, mask = [[0, 0, 0], [0, 0, 0]], [[0, 1, 1], [1, 1, 1]]
    found = dr.Processor("qwen2-vl").mrope_position_ids(types, attention_mask=mask)
    assert found.position_ids[0].tolist() == [[0, 0, 1], [0, 1, 2]]
    assert found.mrope_position_deltas.tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"image_grid_thw": [[1, 4, 4]]}, "a group of 3 tokens is none of its grids"),
        ({}, "image_grid_thw: must have a row for each group"),
        ({"image_grid_thw": [1, 4, 4]}, "image_grid_thw: must have the shape"),
        ({"image_grid_thw": [[1, 0, 4]]}, "image_grid_thw: must be above 0"),
        ({"image_grid_thw": [[1, 2, 6]], "attention_mask": [[1]]}, "attention_mask: must have"),
    ],
)
def test_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dr.Processor("qwen2-vl").mrope_position_ids([[1, 1, 1]], **kwargs)


def test_families_without() -> None:
    with pytest.raises(ValueError, match="family: must be one whose model places tokens"):
        dr.Processor("internvl").mrope_position_ids([[0]])


def _call(family: str, draw: random.Random) -> tuple[list[list[int]], dict[str, Any]]:
    """Samples of one length, padded on the left, with pictures and clips between words."""
    rule = native.positions(family)
    images, videos, seconds, rows = [], [], [], []
    for _ in range(3):
        row = [0] * draw.randint(1, 5)
        for _ in range(draw.randint(0, 3)):
            h, w = 2 * draw.randint(1, 6), 2 * draw.randint(1, 6)
            columns = w // 2 + (rule in ("lines", "planes"))
            if draw.random() < 0.5 or rule == "planes" or family == "paddleocr-vl":
                images.append([1, h, w])
                row += [1] * (h // 2 * columns + (2 if rule == "planes" else 0))
            else:
                frames = 2 * draw.randint(1, 3)
                videos.append([frames, h, w])
                seconds.append(draw.choice([0.5, 1.0, 1.3, 2.0]))
                tokens = [2] * (h // 2 * columns)
                if rule == "frames":
                    row += [*tokens, 0, 0] * frames
                else:
                    row += tokens * (frames // 2 if rule == "pairs" else frames)
            row += [0] * draw.randint(1, 4)
        rows.append(row)
    longest = max(map(len, rows))
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    types = [[0] * (longest - len(row)) + row for row in rows]
    found: dict[str, Any] = {"attention_mask": mask}
    if images:
        found["image_grid_thw"] = images
    if videos:
        found["video_grid_thw"] = videos
        if rule == "seconds":
            found["second_per_grid_ts"] = seconds
    return types, found


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", sorted(MODELS))
def test_positions_of_upstream(family: str) -> None:
    import importlib
    from types import SimpleNamespace

    import torch

    folder, name = MODELS[family]
    module = importlib.import_module(f"transformers.models.{folder}.modeling_{folder}")
    made = getattr(module, name)
    vision = SimpleNamespace(spatial_merge_size=2, temporal_merge_size=2, tokens_per_second=2)
    text = SimpleNamespace(rope_parameters={"mrope_section": [16, 16, 16, 16]})
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision, text_config=text))
    model.get_vision_position_ids = lambda *args, **kwargs: made.get_vision_position_ids(
        model, *args, **kwargs
    )
    draw = random.Random(family)
    processor = dr.Processor(family)
    for _ in range(30):
        types, kwargs = _call(family, draw)
        given = {
            key: torch.tensor(value, dtype=torch.float32 if key.startswith("second") else None)
            for key, value in kwargs.items()
        }
        token_types = torch.tensor(types)
        want, deltas = made.get_rope_index(model, token_types, token_types, **given)
        found = processor.mrope_position_ids(types, **kwargs)
        assert np.array_equal(found.position_ids, want.numpy())
        assert np.array_equal(found.mrope_position_deltas, deltas.numpy())
