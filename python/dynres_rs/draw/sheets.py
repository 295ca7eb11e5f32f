"""What there is to show of a plan: the image and each view, with their tokens.

A sheet is a canvas and what to draw on it, in the canvas' own pixels; how large it comes out and
how it is laid out is decided later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .._types import ImageInput
from ..functional import resize
from ..images import Policy, prepare
from ..options import family
from .boxes import Box
from .style import ROLES, Colour, Picture, by

if TYPE_CHECKING:
    from .._dynres_rs import Plan, View


@dataclass
class Cells:
    """The tokens of one view, on a canvas: where each column and row of them begins and ends."""

    columns: NDArray[np.float64]
    """(n, 2) in pixels of the canvas."""
    rows: NDArray[np.float64]
    numbers: NDArray[np.int64]
    """(rows, columns): the place of each in the sequence."""
    merge: int = 1
    """Patches a side of a token."""
    tile: tuple[int, int] = (1, 1)
    """Rows and columns of a tile."""


@dataclass
class Sheet:
    """A canvas to show: its pixels, and what to draw on them."""

    picture: Picture
    colour: Colour
    caption: str
    cells: Cells | None = None
    tiles: tuple[int, int] = (1, 1)
    """Tiles, laid apart from one another."""
    borders: tuple[list[float], list[float]] = ((), ())  # type: ignore[assignment]
    """Borders of tiles to draw as lines: x, y."""
    holes: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Left, top, right, bottom of what is no part of the image."""
    boxes: list[Box] = field(default_factory=list)
    main: bool = False
    """Whether the tokens on the image are this one's."""
    every: int = 1
    """Tokens between two lines, once drawn."""
    sparse: bool = False
    """Whether only some tokens have their number, once drawn."""
    folds: int = 1
    """Strips that it is laid out in, once drawn."""


def load(plan: Plan, image: ImageInput) -> Picture:
    convert = family(plan.family)[2]
    convert = "original" if convert == "original" else "transformers"
    ready = prepare(image, Policy(convert, False, None, int(plan.options["max_image_pixels"])))
    if (ready.height, ready.width) != plan.source:
        raise ValueError(
            f"image: must have the plan's size {plan.source}, got {(ready.height, ready.width)}"
        )
    if isinstance(ready.pixels, np.ndarray):
        return Image.fromarray(np.ascontiguousarray(ready.pixels))
    picture: Picture = ready.pixels.convert("RGB")
    return picture


def canvas_of(plan: Plan, view: View, image: Picture) -> Picture:
    """What the view holds: to the pixel, but for views that are resized in floats. A plan does not
    tell those from others; theirs is the same by the bytes' rule, on average within half a byte."""
    below = image if view.parent is None else canvas_of(plan, plan.views[view.parent], image)
    canvas = Image.new("RGB", view.canvas[::-1], view.pad_color or (0, 0, 0))
    if 0 not in view.resized:
        top, left, height, width = view.source
        source = np.asarray(below)[top : top + height, left : left + width]
        scaled = resize(source, view.resized, view.resample, plan.numerics)
        canvas.paste(Image.fromarray(scaled), view.offset[::-1])
    return canvas


def runs_of(plan: Plan) -> list[tuple[int, list[tuple[int, Any]]]]:
    """(number of the view, (first token, run) of each run of its cells), in the order of tokens:
    runs of one view that follow one another, such as rows of its tiles, belong together."""
    found: list[tuple[int, list[tuple[int, Any]]]] = []
    start = 0
    for run in plan._runs:
        if run is None:
            start += 1
            continue
        if found and found[-1][0] == run[0]:
            found[-1][1].append((start, run))
        else:
            found.append((run[0], [(start, run)]))
        start += run_length(run)
    return found


def token_numbers(start: int, run: Any) -> NDArray[np.int64]:
    _, tiles, _, _, _, cells, newline, (_, _, rows), (_, _, columns) = run
    if newline:
        return start + np.arange(rows * (columns + 1)).reshape(rows, columns + 1)[:, :-1]
    numbers = np.arange(rows * columns).reshape(rows // max(1, cells[0]), tiles[1], *cells)
    return start + numbers.transpose(0, 2, 1, 3).reshape(rows, columns)


def _edges(run: Any, axis: int) -> NDArray[np.float64]:
    """Where each row or column of tokens begins and ends on the canvas."""
    _, tiles, tile, seen, cell, cells, _, *spans = run
    first, taken, tokens = spans[axis]
    if tokens == taken:
        inner = np.minimum(np.arange(cells[axis] + 1) * cell, seen[axis])
        pairs = np.stack([inner[:-1], inner[1:]], 1)
        every = np.concatenate([pairs + t * tile[axis] for t in range(tiles[axis])])
        return every[first : first + taken].astype(float)
    at = first + np.arange(tokens + 1) * taken / tokens
    number, inside = np.divmod(at, cells[axis])
    ends = number * tile[axis] + np.minimum(inside * cell, seen[axis])
    return np.stack([ends[:-1], ends[1:]], 1)


def _on_canvas(plan: Plan, parts: list[tuple[int, Any]]) -> Cells:
    rows = np.concatenate([_edges(run, 0) for _, run in parts])
    numbers = np.concatenate([token_numbers(start, run) for start, run in parts])
    run = parts[0][1]
    return Cells(_edges(run, 1), rows, numbers, run[4] // patch_side(plan), _tile(run))


def _tile(run: Any) -> tuple[int, int]:
    """Rows and columns of tokens of a tile; all of them where only some of its cells are taken."""
    _, _, _, _, _, cells, _, *spans = run
    pairs = list(zip(spans, cells, strict=True))
    sides = [count if count and a == b and not a % count else b for (_, a, b), count in pairs]
    return sides[0], sides[1]


def _on_image(plan: Plan, parts: list[tuple[int, Any]]) -> Cells:
    numbers = np.concatenate([token_numbers(start, run) for start, run in parts])
    boxes = plan.token_boxes()[numbers]
    run = parts[0][1]
    merge = run[4] // patch_side(plan)
    return Cells(boxes[0][:, 0::2], boxes[:, 0][:, 1::2], numbers, merge, _tile(run))


def patch_side(plan: Plan) -> int:
    """The side of a patch in pixels of a canvas: from the patches that the plan counts in a view,
    and the cells over them. Patches that fill a cell only in part count as if they filled it."""
    filled = (found for _, parts in runs_of(plan) for found in parts if run_length(found[1]))
    _, run = next(filled)
    view, tiles, _, _, cell, cells, *_ = run
    count = plan.views[view].count
    patches = count * plan.num_patches / plan.num_tiles if plan.num_tiles else count
    across = round(math.sqrt(patches / (math.prod(tiles) * math.prod(cells))))
    return int(cell) // max(1, across)


def _main(plan: Plan, runs: list[tuple[int, Any]]) -> int:
    """The number of the view whose tokens are drawn on the image: of those that show all of it
    the one with most tiles; of two with as many the later one, for a local view is more than the
    global one."""
    views = plan.views
    found = [view for view, _ in runs] or list(range(len(views)))
    seen = [number for number in found if views[number].role != "step"]
    whole = [number for number in seen if views[number].role != "crop"] or seen
    return max(
        reversed(whole),
        key=lambda number: math.prod(views[number].grid if plan.num_tiles else (1, 1)),
    )


def sheets_of(
    plan: Plan, image: Picture, boxes: list[Box], tokens: bool
) -> tuple[Sheet, list[Sheet]]:
    """The image, and the views: in the order of their tokens, then those without any."""
    runs, views = runs_of(plan), plan.views
    on = _main(plan, runs)
    shown = [view for view, _ in runs] or [on]
    # What later views are made from is on their canvases: no model sees it itself. Where tokens lie
    # over it, they say so.
    others = (number for number, view in enumerate(views) if view.role != "step")
    shown += [number for number in others if number not in shown]
    first = Sheet(image, ROLES["whole"], f"the image: {by(plan.source)}", boxes=boxes)
    if 0 not in views[on].resized:
        run_on = next((parts for view, parts in runs if view == on and _length(parts)), None)
        if tokens and run_on is not None:
            first.cells = _on_image(plan, run_on)
        first.borders = _borders(plan, views[on])
    crops = [number for number in shown if views[number].role == "crop"]
    sheets = []
    for place, number in enumerate(shown):
        view = views[number]
        caption = _caption(plan, view)
        if number in crops and len(crops) > 1:
            caption = f"{crops.index(number) + 1} of {len(crops)}, {caption}"
        sheet = Sheet(canvas_of(plan, view, image), ROLES[view.role], caption)
        sheet.main = number == on
        if plan.num_tiles:
            sheet.tiles = view.grid
        if place < len(runs) and _length(runs[place][1]):
            _, parts = runs[place]
            sheet.cells = _on_canvas(plan, parts) if tokens else None
            start, last = parts[0][0], parts[-1][0] + run_length(parts[-1][1]) - 1
            sheet.caption += f", tokens {start:,}-{last:,}"
        top, left, bottom, right = view.padding
        height, width = view.canvas
        if view.parent is not None:
            box = _through(plan, view)
            left, top, right, bottom = (
                max(0, math.ceil(box[0] - 1e-6)),
                max(0, math.ceil(box[1] - 1e-6)),
                max(0, width - math.floor(box[2] + 1e-6)),
                max(0, height - math.floor(box[3] + 1e-6)),
            )
        sheet.holes = [
            hole
            for hole in (
                (0, 0, width, top),
                (0, height - bottom, width, height),
                (0, top, left, height - bottom),
                (width - right, top, width, height - bottom),
            )
            if hole[2] > hole[0] and hole[3] > hole[1]
        ]
        sheets.append(sheet)
    return first, sheets


def _through(plan: Plan, view: View) -> list[float]:
    """The image on the canvas of a view, beyond it where the view shows a part."""
    height, width = plan.source
    found: list[float] = plan.to_view([0.0, 0.0, float(width), float(height)], view).tolist()
    return found


def run_length(run: Any) -> int:
    _, _, _, _, _, _, newline, (_, _, rows), (_, _, columns) = run
    return int(rows * (columns + newline))


def _length(parts: list[tuple[int, Any]]) -> int:
    return sum(run_length(run) for _, run in parts)


def _borders(plan: Plan, main: View) -> tuple[list[float], list[float]]:
    """The borders in the image between the tiles of the main view, and of the parts that views
    show of it."""
    height, width = plan.source
    x: set[float] = set()
    y: set[float] = set()
    if plan.num_tiles:
        rows, columns = main.grid
        left, top, right, bottom = _through(plan, main)
        tall, wide = main.canvas
        x |= {(wide / columns * c - left) / (right - left) for c in range(1, columns)}
        y |= {(tall / rows * r - top) / (bottom - top) for r in range(1, rows)}
    for view in plan.views:
        if view.role != "crop" or 0 in view.resized:
            continue
        left, top, right, bottom = _through(plan, view)
        x |= {(at - left) / (right - left) for at in (0, view.canvas[1])}
        y |= {(at - top) / (bottom - top) for at in (0, view.canvas[0])}
    inside = (1e-9, 1 - 1e-9)
    return (
        sorted(at * width for at in x if inside[0] < at < inside[1]),
        sorted(at * height for at in y if inside[0] < at < inside[1]),
    )


def _caption(plan: Plan, view: View) -> str:
    name = {
        "whole": "what the model sees",
        "global": "global view",
        "high_res": "high resolution",
        "crop": "part of the image",
        "step": "canvas of the parts",
    }
    text = name.get(view.role, view.role)
    if view.count > 1 and plan.num_tiles:
        tile = (view.canvas[0] // view.grid[0], view.canvas[1] // view.grid[1])
        side = f"{tile[0]} px" if tile[0] == tile[1] else by(tile)
        text = f"{by(view.grid)} {text} of {side}"
    elif view.role == "tiles":
        text = "tile"
    text += f": {by(view.resized)}"
    if view.resized != view.canvas:
        text += f" on {by(view.canvas)}"
    if view.output is None:
        return text
    # Some arrays are larger than the canvas in them: what is around it is not the view's.
    (height, width) = view.canvas
    sides = plan.shapes[view.output][-2:] if view.role != "step" else ()
    if plan.num_tiles and sides and sides != (height // view.grid[0], width // view.grid[1]):
        text += f", padded to {by((sides[0], sides[1]))}"
    return text
