"""Pictures of plans. Whether they are beautiful people must say; this says that they are right."""

from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs.draw import compare, parse_boxes
from dynres_rs.draw.folding import fold
from dynres_rs.draw.page import facts_of
from dynres_rs.draw.rendering import render
from dynres_rs.draw.sheets import canvas_of, load, sheets_of
from dynres_rs.draw.style import PAPER
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import noise

FAMILIES = sorted(dr.families())
SHAPES = {
    "photo": (427, 640),
    "panorama": (120, 1200),
    "receipt": (1300, 130),
    "icon": (16, 16),
    "pixel": (1, 1),
    "line": (2, 390),
}


def photo(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(noise(1, *size))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_shape(family: str, shape: str) -> None:
    image = photo(SHAPES[shape])
    plan = dr.Processor(family).plan(*SHAPES[shape])
    picture = plan.draw(image, width=900)
    assert picture.mode == "RGB" and picture.width == 900
    assert 200 < picture.height < 2500, "one page, whatever the image's shape"
    assert picture.getpixel((0, 0)) == PAPER
    # Nothing runs over the right or lower margin.
    pixels = np.asarray(picture)
    assert (pixels[:, -20:] == PAPER).all() and (pixels[-20:] == PAPER).all()


@settings(max_examples=40, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    height=st.integers(1, 1500),
    width=st.integers(1, 1500),
)
def test_folding_loses_nothing(family: str, height: int, width: int) -> None:
    """The pieces of a sheet cover it, do not overlap on the page, and cut no token."""
    if max(height, width) > 200 * min(height, width):
        return
    plan = dr.Processor(family).plan(height, width)
    first, sheets = sheets_of(plan, photo((height, width)), [], True)
    for sheet in (first, *sheets):
        pieces, wide, tall, gaps = fold(sheet)
        area = sum((p.right - p.left) * (p.bottom - p.top) for p in pieces)
        assert area == pytest.approx(sheet.picture.width * sheet.picture.height)
        for piece in pieces:
            assert piece.x + piece.right - piece.left <= wide + 1e-6
            assert piece.y + piece.bottom - piece.top <= tall + 1e-6
            assert 0 <= piece.gaps[0] <= gaps[0] and 0 <= piece.gaps[1] <= gaps[1]
        if sheet.cells is not None:
            edges = {0.0, *sheet.cells.rows.ravel(), float(sheet.picture.height)}
            along_rows = sheet.picture.height >= sheet.picture.width
            if not along_rows:
                edges = {0.0, *sheet.cells.columns.ravel(), float(sheet.picture.width)}
            tiles = sheet.tiles[0 if along_rows else 1]
            length = sheet.picture.height if along_rows else sheet.picture.width
            edges |= {length / tiles * number for number in range(tiles)}
            for piece in pieces:
                start = piece.top if along_rows else piece.left
                assert min(abs(start - edge) for edge in edges) < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_model_sees_is_what_it_sees(family: str) -> None:
    """The canvases that are drawn are the pixels of the tensors."""
    size = (60, 150)
    p = dr.Processor(family)
    image, plan = photo(size), p.plan(*size)
    for view in plan.views:
        batch = p(image, dtype="uint8")
        seen = dr.unpack(batch[view.output], plan, key=view.output)
        canvas = np.asarray(canvas_of(plan, view, image))
        if isinstance(seen, list):
            rows, columns = view.grid
            part = seen[view.index : view.index + view.count]
            strips = [np.concatenate(part[r * columns : (r + 1) * columns], 1) for r in range(rows)]
            seen = np.concatenate(strips)
        assert np.array_equal(canvas, seen)


def test_numbers_of_cells_are_places_of_tokens() -> None:
    for family in ("qwen2-vl", "internvl", "deepseek-vl2", "deepseek-vl"):
        plan = dr.Processor(family).plan(300, 700)
        first, sheets = sheets_of(plan, photo((300, 700)), [], True)
        boxes, kinds = plan.token_boxes(), plan.token_kinds()
        cells = first.cells
        assert cells is not None
        for row in (0, len(cells.rows) - 1):
            for column in (0, len(cells.columns) - 1):
                box = boxes[cells.numbers[row, column]]
                want = [*cells.columns[column], *cells.rows[row]]
                assert box[[0, 2, 1, 3]].tolist() == want
        shown = np.concatenate([s.cells.numbers.ravel() for s in sheets if s.cells is not None])
        assert sorted(shown) == np.flatnonzero((kinds == "image") | (kinds == "padding")).tolist()


def test_boxes_are_the_models() -> None:
    plan = dr.Processor("qwen3-vl").plan(400, 800)
    image = Image.new("RGB", (800, 400), (40, 40, 40))
    plain = np.asarray(plan.draw(image, tokens=False))
    drawn = np.asarray(plan.draw(image, boxes=[[250, 250, 750, 750]], labels=["it"], tokens=False))
    assert plain.shape == drawn.shape and (plain != drawn).any()
    columns = np.flatnonzero((plain != drawn).any(2).any(0))
    # The image's panel begins at the margin; the box takes half of its width and height.
    scale = ((1600 - 80 - 32) // 2) / 800
    assert columns.min() == pytest.approx(40 + 200 * scale, abs=6)
    assert columns.max() == pytest.approx(40 + 600 * scale, abs=6)
    with pytest.raises(ValueError, match=r"boxes: must have the shape \(n, 4\)"):
        plan.draw(image, boxes=[[1, 2]])
    with pytest.raises(ValueError, match="labels: must be one a box"):
        plan.draw(image, boxes=[[1, 2, 3, 4]], labels=["a", "b"])


def test_images_of_any_kind(tmp_path: Path) -> None:
    image = photo((50, 70))
    image.save(tmp_path / "image.png")
    plan = dr.Processor("qwen2-vl").plan(50, 70)
    want = np.asarray(plan.draw(image))
    for other in (np.asarray(image), tmp_path / "image.png", str(tmp_path / "image.png")):
        assert np.array_equal(np.asarray(plan.draw(other)), want)
    assert load(plan, image.convert("RGBA")).mode == "RGB"
    with pytest.raises(ValueError, match=r"image: must have the plan's size \(50, 70\)"):
        plan.draw(photo((70, 50)))
    with pytest.raises(ValueError, match="width: must be in"):
        plan.draw(image, width=5)
    with pytest.raises(TypeError, match="width: must be an integer"):
        plan.draw(image, width=900.0)
    video = dr.Processor("qwen2-vl").video.plan(50, 70, num_frames=4)
    with pytest.raises(ValueError, match="plan: must be of an image"):
        video.draw(image)


def test_sixteen_thousand_patches() -> None:
    plan = dr.Processor("qwen2-vl").plan(2000, 1600)
    assert plan.num_patches > 16_000
    picture = plan.draw(Image.new("RGB", (1600, 2000), (90, 120, 160)))
    assert picture.size[0] == 1600 and picture.size[1] < 2000


def test_compare() -> None:
    image = photo((100, 140))
    plans = [dr.Processor(f).plan(100, 140) for f in ("qwen2-vl", "internvl", "deepseek-vl2")]
    picture = compare(plans, image)
    assert picture.width == 1800
    with pytest.raises(ValueError, match="plans: must hold at least one"):
        compare([], image)
    with pytest.raises(ValueError, match="width: must be at least"):
        compare(plans, image, width=700)


@pytest.mark.parametrize(
    ("text", "boxes", "labels"),
    [
        ("1,2,3,4", [[1, 2, 3, 4]], [""]),
        ("1,2,3,4; 5,6,7,8.5;", [[1, 2, 3, 4], [5, 6, 7, 8.5]], ["", ""]),
        ("[1, 2, 3, 4]", [[1, 2, 3, 4]], [""]),
        ("[[1, 2, 3, 4]]", [[1, 2, 3, 4]], [""]),
        ('{"bbox_2d": [1, 2, 3, 4], "label": "cat"}', [[1, 2, 3, 4]], ["cat"]),
        ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}]\n```', [[1, 2, 3, 4]], ["cat"]),
        ("[]", [], []),
    ],
)
def test_boxes_as_models_write_them(text: str, boxes: Any, labels: list[str]) -> None:
    assert parse_boxes(text) == (boxes, labels)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "[[1, 2]]", '{"label": "cat"}', "[1]"])
def test_boxes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="boxes: "):
        parse_boxes(text)


@pytest.mark.parametrize(("ground", "ink"), [(255, 0), (0, 255)])
def test_numbers_are_readable_on_any_ground(ground: int, ink: int) -> None:
    """Dense ones are dark on white and white on black; sparse ones have a ground of their own."""
    image = Image.new("RGB", (448, 448), (ground,) * 3)
    plan = dr.Processor("internvl").plan(448, 448)
    first, _ = sheets_of(plan, image, [], True)
    dense = np.asarray(render(first, 700, 700))
    assert not first.sparse
    assert (abs(dense.astype(int) - ink).max(2) < 40).sum() > 256 * 10
    sparse = np.asarray(render(first, 160, 160))[4:-4, 4:-4]  # without its frame
    assert first.sparse
    flags = abs(sparse.astype(int) - np.array(first.colour)).max(2) < 40
    assert flags.sum() > 6 * 16 * 10


def test_every_view_is_shown() -> None:
    plan = dr.Processor("deepseek-vl-hybrid").plan(300, 100)
    _, sheets = sheets_of(plan, photo((300, 100)), [], True)
    assert [sheet.main for sheet in sheets] == [True, False]
    assert sheets[0].caption == "what the model sees: 384 x 384, tokens 0-575"
    assert sheets[1].caption == "high resolution: 1024 x 341 on 1024 x 1024"
    assert sheets[1].cells is None
    plan = dr.Processor("deepseek-vl2").plan(100, 100)
    first, sheets = sheets_of(plan, photo((100, 100)), [], True)
    assert [sheet.main for sheet in sheets] == [False, True]
    assert first.cells is not None and first.cells.numbers[0, 0] == 211


def test_the_numbers_of_the_headline() -> None:
    facts = dict(facts_of(dr.Processor("qwen2-vl").plan(427, 640)))
    assert (facts["image, h x w"], facts["resized"]) == ("427 x 640", "420 x 644")
    assert (facts["grid of patches"], facts["patches"]) == ("30 x 46", "1,380")
    assert (facts["tokens"], facts["pixel_values"]) == ("345", "1,380 x 1,176, 6.49 MB")
    facts = dict(facts_of(dr.Processor("deepseek-vl-hybrid").plan(427, 640)))
    assert facts["pixel_values"] == "1 x 3 x 384 x 384, 1.77 MB"
    assert facts["high_res_pixel_values"] == "1 x 3 x 1,024 x 1,024, 12.6 MB"
    facts = dict(facts_of(dr.Processor("internvl").plan(427, 640)))
    assert (facts["grid of tiles"], facts["tiles"]) == ("2 x 3", "7")
