"""Pictures of plans. Whether they are beautiful people must say; this says that they are right."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from dynres_rs.draw import compare, parse_boxes
from dynres_rs.draw.folding import fold
from dynres_rs.draw.page import facts_of
from dynres_rs.draw.rendering import render
from dynres_rs.draw.sheets import canvas_of, load, runs_of, sheets_of
from dynres_rs.draw.style import PAPER, ROLES
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import noise, sized

FAMILIES = sorted(dr.families())
SHAPES = {
    "photo": (427, 640),
    "panorama": (120, 1200),
    "receipt": (1300, 130),
    "icon": (16, 16),
    "pixel": (1, 1),
    "line": (2, 390),
}


#: What upstreams say of sizes that they do not take.
REFUSED = "aspect ratio|sides no shorter than a token|more than max_image_pixels"


def photo(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(noise(1, *size))


def plan_of(family: str, height: int, width: int) -> Any:
    """The plan, or none of a size that the upstream refuses: only long or tiny images may be
    refused, and those that would become larger than any may be."""
    try:
        return sized(dr.Processor(family)).plan(height, width)
    except ValueError as refusal:
        assert re.search(REFUSED, str(refusal)), refusal
        return None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_shape(family: str, shape: str) -> None:
    image = photo(SHAPES[shape])
    plan = plan_of(family, *SHAPES[shape])
    if plan is None:
        assert shape != "photo"
        pytest.skip("the upstream refuses it")
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
    plan = plan_of(family, height, width)
    if plan is None:
        reject()
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


def tiled(array: Any, view: Any) -> Any:
    """The canvas of a view from the tiles that it fills, side by side, channels first."""
    part = array.reshape(-1, *array.shape[-3:])[view.index : view.index + view.count]
    rows, columns = view.grid
    tiles = part.reshape(rows, columns, *part.shape[1:])
    return tiles.transpose(0, 3, 1, 4, 2).reshape(rows * part.shape[2], columns * part.shape[3], 3)


def patched(array: Any, view: Any) -> Iterator[tuple[str, Any]]:
    """The canvas of a view from its patches, by every order in which patches may lie.

    A plan says which rows are a view's and what its grid is, but not in which order its patches
    lie nor the order inside one, so all that there are are tried: of noise at most one of them
    gives the canvas. Rows above the view's own are padding of the batch.
    """
    rows, columns = view.grid
    side = view.canvas[0] // rows
    assert (rows * side, columns * side) == view.canvas
    if array.shape[:3] == (1, 3, side):  # one strip of patches side by side, channels first
        strip = array[0].reshape(3, side, -1, side).transpose(2, 0, 1, 3)
        flat = strip.reshape(len(strip), -1)
    else:
        flat = array.reshape(-1, array.shape[-1] if array.ndim < 4 else array[0].size)
    flat = flat[view.index : view.index + view.count]
    pixels = 3 * side * side
    numbers, flat = flat[:, : flat.shape[1] % pixels], flat[:, flat.shape[1] % pixels :]
    if numbers.shape[1]:
        # In front of its pixels a patch has its row and column, from 1 on, here as bytes.
        places = np.stack(np.indices((rows, columns)) + 1, -1).reshape(-1, 2)
        assert np.array_equal(numbers, places.clip(0, 255))
    frames = flat.shape[1] // pixels
    inner = {
        "channel, frame, row, column": ((3, frames, side, side), (1, 2, 3, 0)),
        "frame, channel, row, column": ((frames, 3, side, side), (0, 2, 3, 1)),
        "frame, row, column, channel": ((frames, side, side, 3), (0, 1, 2, 3)),
    }
    merges = [merge for merge in range(1, 5) if rows % merge == 0 == columns % merge]
    for merge, (name, (shape, order)) in itertools.product(merges, inner.items()):
        each = flat.reshape(len(flat), *shape).transpose(0, *(axis + 1 for axis in order))
        if not (each == each[:, :1]).all():  # a still image is the same in each frame
            continue
        blocks = each[:, 0].reshape(rows // merge, columns // merge, merge, merge, side, side, 3)
        yield (
            f"blocks of {merge}, {name}",
            blocks.transpose(0, 2, 4, 1, 3, 5, 6).reshape(rows * side, columns * side, 3),
        )


def in_floats(plan: Any, view: Any, image: Image.Image, antialias: bool) -> Any:
    """The canvas of a view resized in floats and then rounded, or its part of another view's."""
    assert view.resized == view.canvas
    if view.parent is not None:
        top, left, bottom, right = view.source
        assert (bottom - top, right - left) == view.resized
        whole = in_floats(plan, plan.views[view.parent], image, antialias)
        return whole[top:bottom, left:right]
    planes = np.asarray(image, np.float32).transpose(2, 0, 1)
    shape = (3, image.height, image.width)
    data = native.resize_float(
        planes.tobytes(), shape, view.resized, view.resample, antialias, True, True
    )
    return np.frombuffer(data, np.float32).reshape(3, *view.resized).transpose(1, 2, 0)


@pytest.mark.parametrize("size", [(60, 150), (500, 700)], ids=["small", "large"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_model_sees_is_what_it_sees(family: str, size: tuple[int, int]) -> None:
    """The canvases that are drawn are the pixels of the tensors, for every view that is in one."""
    p = sized(dr.Processor(family))
    image, plan = photo(size), p.plan(*size)
    batch = p(image, dtype="uint8")
    views = [view for view in plan.views if view.role != "step"]
    assert {view.output for view in views} == set(plan.shapes)
    for view in views:
        array = batch[view.output]
        if isinstance(array, list):  # a strip a view
            (strips,) = array
            array = np.concatenate(strips, -1)[None]
        assert array.dtype == np.uint8
        canvas = np.asarray(canvas_of(plan, view, image))
        if plan.num_tiles:
            seen = tiled(array, view)
            if view.count == 1:
                # An array may be larger than the one canvas in it: padded on the right and below.
                height, width = view.canvas
                for rest in (seen[height:], seen[:, width:]):
                    assert len(np.unique(rest.reshape(-1, 3), axis=0)) <= 1
                seen = seen[:height, :width]
            candidates = [("tiles", seen)]
        else:
            candidates = list(patched(array, view))
        if any(np.array_equal(seen, canvas) for _, seen in candidates):
            continue
        # Left are the views that are resized in floats: no bytes give their values, which `unpack`
        # says too. A plan does not tell them, so their canvas is resized in bytes, which are
        # rounded and clamped between the two passes and not only after them: of noise, where the
        # filter overshoots, that is much at a few places, and less than half a byte on average.
        with pytest.raises(ValueError, match=r"none that a byte becomes|cannot be put back"):
            dr.unpack(p(image)[view.output], plan, key=view.output)
        if view.parent is not None:
            continue  # of another view's canvas, without the antialiasing that it is drawn with
        both = {on: in_floats(plan, view, image, on) for on in (True, False)}
        off = {
            (name, on): np.abs(seen - floats).max()
            for name, seen in candidates
            for on, floats in both.items()
        }
        (_, antialias), least = min(off.items(), key=lambda item: item[1])
        assert least <= 1, off
        # A picture is antialiased, whatever the model's is.
        assert not antialias or np.abs(both[True] - canvas).mean() < 0.5


#: Families that count tokens of the whole image as a number, not as a grid.
NO_CELL = {"phi4-multimodal"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_role_has_a_place(family: str) -> None:
    """What a model sees is shown, each view once and in its colour; what it does not see is not."""
    for size in ((60, 150), (427, 640), (900, 1300)):
        plan = sized(dr.Processor(family)).plan(*size)
        image = photo(size)
        first, sheets = sheets_of(plan, image, [], True)
        seen = {number for number, _ in runs_of(plan)}
        views = [v for n, v in enumerate(plan.views) if v.role != "step" or n in seen]
        assert len(sheets) == len(views)
        assert sorted(s.colour for s in sheets) == sorted(ROLES[view.role] for view in views)
        assert sorted(s.picture.size for s in sheets) == sorted(v.canvas[::-1] for v in views)
        assert sum(sheet.main for sheet in sheets) == 1
        # Every cell of every view has its token, and each token one cell.
        places = [s.cells.numbers.ravel() for s in sheets if s.cells is not None]
        if places:
            kinds = plan.token_kinds()
            want = np.flatnonzero((kinds == "image") | (kinds == "padding"))
            placed = np.concatenate(places)
            assert len(set(placed.tolist())) == len(placed) and set(placed) <= set(want.tolist())
            # The others see all of the image, and have no cell.
            others = plan.token_boxes()[sorted(set(want.tolist()) - set(placed.tolist()))]
            assert (others == (0, 0, *size[::-1])).all()
            assert family in NO_CELL or not len(others)
        # Where parts of the image are shown, the image has their borders, inside it.
        crops = [view for view in views if view.role == "crop"]
        for lines, length in zip(first.borders, size[::-1], strict=True):
            assert all(0 < at < length for at in lines) and lines == sorted(set(lines))
        assert len(crops) < 2 or any(first.borders)


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
