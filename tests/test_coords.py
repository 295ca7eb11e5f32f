"""Coordinates and tokens: the plan against the plain-Python reference, and invariants."""

from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from property_counts import property_test
from reference import coords as reference
from reference import tokens as reference_tokens

SMALL_GRID = {"image_size": 56, "max_num": 6}
# By family: options in our names, and the same in the reference's.
SETUPS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "qwen2-vl": (
        "qwen2-vl",
        {"max_pixels": 40_000},
        {"size": {"shortest_edge": 3136, "longest_edge": 40_000}},
    ),
    "qwen2.5-vl": (
        "qwen2.5-vl",
        {"max_pixels": 90_000},
        {"size": {"shortest_edge": 3136, "longest_edge": 90_000}},
    ),
    "qwen3-vl": (
        "qwen3-vl",
        {"min_pixels": 4096, "max_pixels": 60_000},
        {"size": {"shortest_edge": 4096, "longest_edge": 60_000}},
    ),
    "internvl": ("internvl", {}, {}),
    "internvl, small": ("internvl", SMALL_GRID, SMALL_GRID),
    "internvl-hf": (
        "internvl-hf",
        {"image_size": (56, 84)},
        {"size": {"height": 56, "width": 84}, "crop_to_patches": True},
    ),
    "got-ocr2": ("got-ocr2", {}, {"size": {"height": 1024, "width": 1024}}),
    "got-ocr2, tiles": (
        "got-ocr2",
        {"image_size": (64, 128), "crop_to_patches": True},
        {"size": {"height": 64, "width": 128}, "crop_to_patches": True},
    ),
    "deepseek-vl2": (
        "deepseek-vl2",
        {},
        {"candidate_resolutions": dr.families()["deepseek-vl2"]["candidate_resolutions"]},
    ),
    "deepseek-vl": ("deepseek-vl", {}, {}),
    "deepseek-vl-hybrid": ("deepseek-vl-hybrid", {}, {}),
}
setups = st.sampled_from(sorted(SETUPS))
side = st.one_of(st.integers(1, 60), st.integers(1, 900), st.integers(900, 4000))
sizes = st.tuples(side, side).filter(lambda s: max(s) <= 200 * min(s))
families = pytest.mark.parametrize("name", sorted(SETUPS))


def plan_of(name: str, size: tuple[int, int], num_images: int = 1) -> dr.Plan:
    family, options, _ = SETUPS[name]
    return dr.Processor(family, **options).plan(*size, num_images=num_images)


@property_test(name=setups, size=sizes, num_images=st.integers(1, 4))
def test_boxes_and_kinds_are_those_of_the_rules(
    name: str, size: tuple[int, int], num_images: int
) -> None:
    family, _, config = SETUPS[name]
    plan = plan_of(name, size, num_images)
    want = reference.token_boxes(family, size, config, num_images)
    kinds, boxes = plan.token_kinds().tolist(), plan.token_boxes()
    assert len(want) == plan.num_tokens == len(boxes)
    assert kinds == [kind for kind, _ in want]
    for kind, box, (_, wanted) in zip(kinds, boxes, want, strict=True):
        if kind in ("image", "newline"):
            assert box[1::2] == pytest.approx(wanted[1::2], abs=1e-6)
        if kind == "image":
            assert box == pytest.approx(wanted, abs=1e-6)
        else:
            assert (box[2] - box[0]) * (box[3] - box[1]) == 0
    assert (boxes >= 0).all() and (boxes <= np.array([*size[::-1]] * 2)).all()


@property_test(name=setups, size=sizes)
def test_boxes_of_a_view_tile_what_it_shows(name: str, size: tuple[int, int]) -> None:
    """No gap, no overlap: every edge is an edge of its neighbour, to the bit."""
    assume(not name.startswith("deepseek-vl2"))
    plan = plan_of(name, size)
    boxes, start = plan.token_boxes(), 0
    for run in plan._runs:
        assert run is not None
        view, tiles, tile, seen, cell, cells, newline = run[:7]
        assert not newline and tile == seen and cells == (tile[0] // cell, tile[1] // cell)
        count = tiles[0] * tiles[1] * cells[0] * cells[1]
        part = boxes[start : start + count].reshape(*tiles, *cells, 4)
        start += count
        whole = part.transpose(0, 2, 1, 3, 4).reshape(tiles[0] * cells[0], -1, 4)
        assert (whole[:, :-1, 2] == whole[:, 1:, 0]).all()
        assert (whole[:-1, :, 3] == whole[1:, :, 1]).all()
        assert (whole[0, :, 1] == 0).all() and (whole[:, 0, 0] == 0).all()
        assert (whole[-1, :, 3] == size[0]).all() and (whole[:, -1, 2] == size[1]).all()
        area = (whole[..., 2] - whole[..., 0]) * (whole[..., 3] - whole[..., 1])
        assert area.sum() == pytest.approx(size[0] * size[1])
        assert plan.views[view].canvas == (tiles[0] * tile[0], tiles[1] * tile[1])
    assert start == plan.num_tokens


@property_test(name=setups, size=sizes, x=st.floats(0, 1), y=st.floats(0, 1))
def test_a_point_lies_in_the_box_of_its_token(
    name: str, size: tuple[int, int], x: float, y: float
) -> None:
    plan = plan_of(name, size)
    boxes, kinds, start = plan.token_boxes(), plan.token_kinds(), 0
    point = np.array([x * size[1], y * size[0]])
    for run in plan._runs:
        if run is None:
            start += 1
            continue
        view, tiles, tile, seen, cell, cells, newline = run[:7]
        count = tiles[0] * cells[0] * (tiles[1] * cells[1] + newline)
        if newline:
            count = tiles[0] * cells[0] * (tiles[1] * cells[1] + 1)
        first, start = start, start + count
        if 0 in plan.views[view].resized:
            continue
        at = plan.to_view([point], view)[0]
        tile_at = np.minimum(at // np.array(tile[::-1]), np.array(tiles[::-1]) - 1).astype(int)
        inside = at - tile_at * np.array(tile[::-1])
        if (inside > np.array(seen[::-1])).any():
            continue  # no token sees it
        cell_at = np.minimum(inside // cell, np.array(cells[::-1]) - 1).astype(int)
        if newline:
            row, column = tile_at[::-1] * cells + cell_at[::-1]
            token = first + row * (tiles[1] * cells[1] + 1) + column
        else:
            number = tile_at[1] * tiles[1] + tile_at[0]
            token = first + (number * cells[0] + cell_at[1]) * cells[1] + cell_at[0]
        box, near = boxes[token], 1e-6 * max(size)
        assert (box[:2] <= point + near).all() and (point - near <= box[2:]).all()
        assert kinds[token] in ("image", "padding")


numbers = st.floats(-10, 5000)


@property_test(name=setups, size=sizes, values=st.lists(numbers, min_size=4, max_size=4))
def test_there_and_back(name: str, size: tuple[int, int], values: list[float]) -> None:
    plan = plan_of(name, size)
    for coords in ("resized", "norm1000", "norm999", "norm1", None):
        if coords == "resized" and 0 in plan.resized:
            continue
        back = plan.to_image(plan.to_model([values], coords), coords)
        assert back[0] == pytest.approx(values, rel=1e-12, abs=1e-9)
    width, height = reference.scale("norm999", plan.resized)
    x, y = values[0] * width / size[1], values[1] * height / size[0]
    assert plan.to_model([values[:2]], "norm999").tolist() == [[x, y]]


@families
def test_each_family_speaks_its_own_coordinates(name: str) -> None:
    family, _, _ = SETUPS[name]
    plan = plan_of(name, (300, 500))
    wanted = reference.SPOKEN.get(family, "norm1000")
    assert plan.coords == wanted
    width, height = reference.scale(wanted, plan.resized)
    assert plan.to_model([0, 0, 500, 300]).tolist() == [0, 0, width, height]
    assert plan.to_image([width, height]).tolist() == [500, 300]


def test_upstream_examples() -> None:
    """QwenLM/Qwen3-VL, qwen-vl-finetune/tools/process_bbox.ipynb: a box and what becomes of it."""
    box = [146, 137, 615, 415]
    qwen2 = dr.Processor("qwen2-vl").plan(428, 640)
    assert np.rint(qwen2.to_model(box)).tolist() == [228, 320, 961, 970]
    qwen25 = dr.Processor("qwen2.5-vl", max_pixels=14 * 14 * 4 * 1280).plan(428, 640)
    assert qwen25.resized == (420, 644)
    assert np.rint(qwen25.to_model(box)).tolist() == [147, 134, 619, 407]


def test_quirks_of_deepseek_vl2() -> None:
    """Three of them: 378 of 384 pixels, half cells at the end of a tile, raster over all tiles."""
    plan = dr.Processor("deepseek-vl2").plan(768, 1152)
    assert plan.views[1].resized == plan.views[1].canvas == (768, 1152)
    kinds, boxes = plan.token_kinds(), plan.token_boxes()
    # Global view 14 x (14 + 1), separator, then 28 rows of 3 x 14 + 1.
    assert kinds[14] == "newline" and kinds[209] == "newline" and kinds[210] == "separator"
    local = boxes[211:].reshape(28, 43, 4)
    assert (kinds[211:].reshape(28, 43)[:, 42] == "newline").all()
    assert local[0, 0].tolist() == [0, 0, 28, 28]
    assert local[0, 13].tolist() == [364, 0, 378, 28], "one patch and padding"
    assert local[0, 14].tolist() == [384, 0, 412, 28], "the next tile goes on in the same row"
    assert local[13, 0].tolist() == [0, 364, 28, 378]
    assert local[14, 0].tolist() == [0, 384, 28, 412]
    seen = (local[:, :42, 2] - local[:, :42, 0]) * (local[:, :42, 3] - local[:, :42, 1])
    assert seen.sum() == 6 * 378 * 378


def test_padding_of_a_tall_image() -> None:
    plan = dr.Processor("deepseek-vl2").plan(2000, 100)
    kinds = plan.token_kinds()
    assert (kinds == "padding").sum() > (kinds == "image").sum() > 0
    boxes = plan.token_boxes()[kinds == "image"]
    assert boxes[:, 0].min() == 0 and boxes[:, 2].max() == 100


def test_views_chain_in_the_hybrid() -> None:
    plan = dr.Processor("deepseek-vl-hybrid").plan(100, 200)
    assert [view.parent for view in plan.views] == [None, 0]
    assert plan.to_view([[0, 0], [200, 100]], 0).tolist() == [[0, 256], [1024, 768]]
    assert plan.to_view([[0, 0, 200, 100]], plan.views[1]).tolist() == [[0, 96, 384, 288]]


def test_shapes_and_types_of_points() -> None:
    plan = dr.Processor("qwen2-vl").plan(100, 200)
    assert plan.to_model([]).shape == (0, 4)
    assert plan.to_model(np.empty((0, 2))).shape == (0, 2)
    given = np.array([[1, 2]], np.int32)
    assert plan.to_model(given).dtype == np.float64 and given.dtype == np.int32
    with pytest.raises(ValueError, match="boxes: must have the shape"):
        plan.to_model([[1, 2, 3]])
    with pytest.raises(TypeError, match="boxes: must be numbers"):
        plan.to_model([["a", "b"]])
    with pytest.raises(ValueError, match="coords: must be one of"):
        plan.to_model([[1, 2]], "pixels")
    with pytest.raises(TypeError, match="coords: must be a string"):
        plan.to_model([[1, 2]], 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"view: must be in 0\.\.1"):
        plan.to_view([[1, 2]], 1)
    with pytest.raises(TypeError, match="view: must be"):
        plan.to_view([[1, 2]], "whole")  # type: ignore[arg-type]


def test_tokens_without_a_place() -> None:
    """27 x 27 patches cannot be merged two by two: upstream's model cannot run either."""
    plan = dr.Processor("internvl-hf", image_size=384).plan(100, 100)
    with pytest.raises(ValueError, match="token_boxes: "):
        plan.token_boxes()


def test_the_image_can_vanish() -> None:
    plan = dr.Processor("deepseek-vl2").plan(1, 2000)
    assert plan.views[0].resized[0] == 0
    assert (plan.token_kinds()[:14] == "padding").all()
    assert (plan.token_boxes()[:14] == 0).all()


def test_the_reference_counts_too() -> None:
    config = SETUPS["deepseek-vl2"][2]
    assert len(reference_tokens.tokens("deepseek-vl2", (1080, 1920), config)) == 1807


def test_tiles_without_a_cell_have_no_area() -> None:
    """A tile of half a patch: no token sees anything."""
    plan = dr.Processor("llava-next", crop_size=7).plan(60, 80)
    boxes = plan.token_boxes()
    assert len(boxes) == plan.num_tokens > 0
    assert not (boxes[:, 2:] - boxes[:, :2]).any()
