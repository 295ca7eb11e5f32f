"""The picture of a plan: the image with the model's tokens on it, and what the model sees.

Pillow only. A picture is a headline, the numbers, the image, and the views. An image that is much
longer than wide is folded like a newspaper's column, at borders of tokens, so that its tokens stay
as large as the page allows; where they are too small to be told apart, lines and numbers thin out.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from ._types import ImageInput
from .functional import resize
from .images import Policy, prepare
from .options import family_row

if TYPE_CHECKING:
    from ._dynres_rs import Plan, View

__all__ = ["compare", "draw", "parse_boxes"]

Picture: TypeAlias = Image.Image
Colour: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Final = (250, 250, 248)
INK: Final = (24, 24, 27)
GREY: Final = (113, 113, 122)
RULE: Final = (228, 228, 231)
WHITE: Final = (255, 255, 255)
BLUE: Final = (37, 99, 235)
#: Of a view by its role; boxes take them in turn.
ROLES: Final[dict[str, Colour]] = {
    "whole": BLUE,
    "tiles": BLUE,
    "thumbnail": (217, 119, 6),
    "global": (124, 58, 237),
    "high_res": (13, 148, 136),
}
BOXES: Final[tuple[Colour, ...]] = (
    (220, 38, 38),
    (5, 150, 105),
    (217, 119, 6),
    (124, 58, 237),
    (219, 39, 119),
    (8, 145, 178),
)

MARGIN: Final = 40
GAP: Final = 32
TILE_GAP: Final = 8
FOLD_GAP: Final = 22
#: Cells smaller than this are drawn as lines of several of them.
SMALLEST_CELL: Final = 7.0
MOST_FOLDS: Final = 8
MOST_PIXELS: Final = 1 << 27


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _text_width(text: str, size: int) -> int:
    return math.ceil(_font(size).getlength(text))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _bytes(count: int) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count_in_next = count / 1000
        if count_in_next < 1000 or unit == "MB":
            return f"{count_in_next:.3g} {'KB' if unit == 'B' else 'MB' if unit == 'KB' else 'GB'}"
        count = round(count_in_next)
    return f"{count} B"


@dataclass
class _Cells:
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
class _Sheet:
    """A canvas to show: its pixels, and what to draw on them."""

    picture: Picture
    colour: Colour
    caption: str
    cells: _Cells | None = None
    tiles: tuple[int, int] = (1, 1)
    """Tiles, laid apart from one another."""
    borders: tuple[list[float], list[float]] = ((), ())  # type: ignore[assignment]
    """Borders of tiles to draw as lines: x, y."""
    holes: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Left, top, right, bottom of what is no part of the image."""
    boxes: list[tuple[list[float], str, Colour]] = field(default_factory=list)
    every: int = 1
    """Tokens between two lines, once drawn."""
    folds: int = 1
    """Strips that it is laid out in, once drawn."""


def _load(plan: Plan, image: ImageInput) -> Picture:
    convert = family_row(plan.family)[1]["convert"]
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


def _canvas(plan: Plan, view: View, image: Picture) -> Picture:
    """What the view holds, to the pixel."""
    below = image if view.parent is None else _canvas(plan, plan.views[view.parent], image)
    canvas = Image.new("RGB", view.canvas[::-1], view.pad_color or (0, 0, 0))
    if 0 not in view.resized:
        top, left, height, width = view.source
        source = np.asarray(below)[top : top + height, left : left + width]
        scaled = resize(source, view.resized, view.resample, plan.numerics)
        canvas.paste(Image.fromarray(scaled), view.offset[::-1])
    return canvas


def _runs(plan: Plan) -> list[tuple[int, int, Any]]:
    """(number of the view, first token, run) of each run of cells."""
    found, start = [], 0
    for run in plan._runs:
        if run is None:
            start += 1
            continue
        view, tiles, _, _, _, cells, newline = run
        found.append((view, start, run))
        start += tiles[0] * cells[0] * (tiles[1] * cells[1] + newline)
    return found


def _numbers(start: int, run: Any) -> NDArray[np.int64]:
    _, tiles, _, _, _, cells, newline = run
    rows, columns = tiles[0] * cells[0], tiles[1] * cells[1]
    if newline:
        return start + np.arange(rows * (columns + 1)).reshape(rows, columns + 1)[:, :-1]
    numbers = np.arange(rows * columns).reshape(tiles[0], tiles[1], *cells)
    return start + numbers.transpose(0, 2, 1, 3).reshape(rows, columns)


def _on_canvas(plan: Plan, start: int, run: Any) -> _Cells:
    _, tiles, tile, seen, cell, cells, _ = run

    def edges(axis: int) -> NDArray[np.float64]:
        inner = np.minimum(np.arange(cells[axis] + 1) * cell, seen[axis])
        pairs = np.stack([inner[:-1], inner[1:]], 1)
        return np.concatenate([pairs + t * tile[axis] for t in range(tiles[axis])]).astype(float)

    merge = cell // plan.options["patch_size"]
    return _Cells(edges(1), edges(0), _numbers(start, run), merge, cells)


def _on_image(plan: Plan, start: int, run: Any) -> _Cells:
    numbers = _numbers(start, run)
    boxes = plan.token_boxes()[numbers]
    merge = run[4] // plan.options["patch_size"]
    return _Cells(boxes[0][:, 0::2], boxes[:, 0][:, 1::2], numbers, merge, run[5])


def _sheets(
    plan: Plan, image: Picture, boxes: list[tuple[list[float], str, Colour]], tokens: bool
) -> tuple[_Sheet, list[_Sheet]]:
    """The image, and the views in the order of their tokens."""
    runs = _runs(plan)
    main = max(runs, key=lambda found: len(found[2][1]) and math.prod(found[2][1]), default=None)
    views = plan.views
    shown = [view for view, _, _ in runs] or [len(views) - 1]
    first = _Sheet(image, ROLES["whole"], f"the image: {_by(plan.source)}", boxes=boxes)
    if main is not None and 0 not in views[main[0]].resized:
        on, start, run = main
        if tokens:
            first.cells = _on_image(plan, start, run)
        first.borders = _tile_borders(plan, views[on])
    sheets = []
    for place, number in enumerate(dict.fromkeys(shown)):
        view = views[number]
        sheet = _Sheet(_canvas(plan, view, image), ROLES[view.role], _caption(plan, view))
        if view.output == next(iter(plan.shapes)) and len(plan.shapes[view.output]) == 4:
            sheet.tiles = view.grid
        if runs:
            _, start, run = runs[place]
            sheet.cells = _on_canvas(plan, start, run) if tokens else None
            last = start + _length(run) - 1
            sheet.caption += f", tokens {start:,}-{last:,}"
        top, left, bottom, right = view.padding
        height, width = view.canvas
        if view.parent is not None:
            box = _through(plan, view)
            left, top, right, bottom = (
                math.ceil(box[0]),
                math.ceil(box[1]),
                width - int(box[2]),
                height - int(box[3]),
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
    """The image on the canvas of a view that shows another view's."""
    height, width = plan.source
    found: list[float] = plan.to_view([0.0, 0.0, float(width), float(height)], view).tolist()
    return found


def _length(run: Any) -> int:
    _, tiles, _, _, _, cells, newline = run
    return int(tiles[0] * cells[0] * (tiles[1] * cells[1] + newline))


def _tile_borders(plan: Plan, view: View) -> tuple[list[float], list[float]]:
    """The borders between tiles, in the image."""
    rows, columns = view.grid
    if len(plan.shapes[view.output]) != 4:
        return [], []
    height, width = view.canvas
    target_top, target_left, target_height, target_width = view.target
    x = [(width / columns * c - target_left) / target_width for c in range(1, columns)]
    y = [(height / rows * r - target_top) / target_height for r in range(1, rows)]
    return (
        [at * plan.source[1] for at in x if 0 < at < 1],
        [at * plan.source[0] for at in y if 0 < at < 1],
    )


def _caption(plan: Plan, view: View) -> str:
    name = {"whole": "what the model sees", "global": "global view", "high_res": "high resolution"}
    text = name.get(view.role, view.role)
    if view.count > 1 and len(plan.shapes[view.output]) == 4:
        tile = (view.canvas[0] // view.grid[0], view.canvas[1] // view.grid[1])
        side = f"{tile[0]} px" if tile[0] == tile[1] else _by(tile)
        text = f"{_by(view.grid)} {text} of {side}"
    text += f": {_by(view.resized)}"
    if view.resized != view.canvas:
        text += f" on {_by(view.canvas)}"
    return text


# From a canvas to a picture


@dataclass
class _Piece:
    """A part of a canvas and where it goes on the page, both in pixels of the canvas (the gaps are
    the page's own)."""

    left: float
    top: float
    right: float
    bottom: float
    x: float = 0
    y: float = 0
    gaps: tuple[int, int] = (0, 0)


def _cuts(length: int, parts: int, allowed: Sequence[float]) -> list[float]:
    """`parts` pieces of about one length, cut at allowed places only."""
    cuts = [0.0]
    inner = [at for at in allowed if 0 < at < length]
    for part in range(1, parts):
        wanted = length * part / parts
        near = min((at for at in inner if at >= wanted - 1e-6), default=0.0)
        if near > cuts[-1]:
            cuts.append(near)
    return [*cuts, float(length)]


def _fold(sheet: _Sheet) -> tuple[list[_Piece], float, float, tuple[int, int]]:
    """Pieces, and the width and height of them all: lengths of the canvas, and pixels of gaps."""
    width, height = sheet.picture.size
    tall = height >= width
    long, short = (height, width) if tall else (width, height)
    folds = (
        min(MOST_FOLDS, max(1, round(math.sqrt(0.8 * long / short)))) if long > 2.6 * short else 1
    )
    rows, columns = sheet.tiles
    along, across = (rows, columns) if tall else (columns, rows)
    tile = long / along
    borders = [tile * number for number in range(1, along)]
    if along > 1:
        folds = min(folds, along)
        allowed: Sequence[float] = borders
    elif sheet.cells is not None:
        edges = sheet.cells.rows if tall else sheet.cells.columns
        allowed = [float(edge) for edge in edges[1:, 0]]
    else:
        allowed = [float(at) for at in range(1, long)]
    cuts = _cuts(long, folds, allowed)
    pieces = []
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        inner = sorted({start, end, *(b for b in borders if start < b < end)})
        for place, (low, high) in enumerate(itertools.pairwise(inner)):
            for lane in range(across):
                near, far = short / across * lane, short / across * (lane + 1)
                gap_along = place * TILE_GAP
                gap_across = number * (FOLD_GAP + (across - 1) * TILE_GAP) + lane * TILE_GAP
                at, offset = number * short + near, low - start
                if tall:
                    piece = _Piece(near, low, far, high, at, offset, (gap_across, gap_along))
                else:
                    piece = _Piece(low, near, high, far, offset, at, (gap_along, gap_across))
                pieces.append(piece)
    longest = max(end - start for start, end in itertools.pairwise(cuts))
    parts = sheet.folds = len(cuts) - 1
    most = max(piece.gaps[1 if tall else 0] for piece in pieces)
    side = max(piece.gaps[0 if tall else 1] for piece in pieces)
    if tall:
        return pieces, parts * short, longest, (side, most)
    return pieces, longest, parts * short, (most, side)


def _render(sheet: _Sheet, most_width: int, most_height: int) -> Picture:
    """The sheet at the largest scale that fits."""
    pieces, width, height, gaps = _fold(sheet)
    scale = min((most_width - gaps[0]) / width, (most_height - gaps[1]) / height)
    scale = max(scale, 1e-3)
    size = (math.ceil(width * scale) + gaps[0], math.ceil(height * scale) + gaps[1])
    page = Image.new("RGB", (max(1, size[0]), max(1, size[1])), PAPER)
    for piece in pieces:
        part = _render_piece(sheet, piece, scale)
        page.paste(
            part, (round(piece.x * scale) + piece.gaps[0], round(piece.y * scale) + piece.gaps[1])
        )
    return page


def _render_piece(sheet: _Sheet, piece: _Piece, scale: float) -> Picture:
    width = max(1, round((piece.right - piece.left) * scale))
    height = max(1, round((piece.bottom - piece.top) * scale))
    how = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    bounds = (piece.left, piece.top, piece.right, piece.bottom)
    part = sheet.picture.resize((width, height), how, bounds).convert("RGBA")
    layer = Image.new("RGBA", part.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)

    def x(at: float) -> float:
        return (at - piece.left) * scale

    def y(at: float) -> float:
        return (at - piece.top) * scale

    for left, top, right, bottom in sheet.holes:
        _hatch(layer, (round(x(left)), round(y(top)), round(x(right)), round(y(bottom))))
    if sheet.cells is not None:
        sheet.every = _draw_cells(
            pen, sheet.cells, sheet.colour, x, y, scale, part.size, bool(sheet.boxes)
        )
    for at in sheet.borders[0]:
        pen.line([(x(at), 0), (x(at), height)], (*sheet.colour, 255), 3)
    for at in sheet.borders[1]:
        pen.line([(0, y(at)), (width, y(at))], (*sheet.colour, 255), 3)
    for box, label, colour in sheet.boxes:
        _draw_box(pen, [x(box[0]), y(box[1]), x(box[2]), y(box[3])], label, colour, part.size)
    pen.rectangle([0, 0, width - 1, height - 1], outline=(*sheet.colour, 255), width=2)
    return Image.alpha_composite(part, layer).convert("RGB")


def _hatch(layer: Picture, bounds: tuple[int, int, int, int]) -> None:
    """Diagonal lines where there is only background."""
    left, top = max(0, bounds[0]), max(0, bounds[1])
    right, bottom = min(layer.width, bounds[2]), min(layer.height, bounds[3])
    if right <= left or bottom <= top:
        return
    patch = Image.new("RGBA", (right - left, bottom - top), (255, 255, 255, 150))
    pen = ImageDraw.Draw(patch)
    for start in range(-((left + top) % 12) - patch.height, patch.width, 12):
        pen.line([(start, patch.height), (start + patch.height, 0)], (113, 113, 122, 170), 1)
    layer.paste(patch, (left, top))


def _step(cell: float, needed: float) -> int:
    """How many cells make a length, as a round number."""
    for step in (1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 50, 64, 80, 100, 128, 160, 200):
        if cell * step >= needed:
            return step
    return max(1, math.ceil(needed / max(cell, 1e-6)))


def _draw_cells(
    pen: ImageDraw.ImageDraw,
    cells: _Cells,
    colour: Colour,
    x: Any,
    y: Any,
    scale: float,
    size: tuple[int, int],
    quiet: bool,
) -> int:
    """Lines and numbers; how many tokens a line stands for."""
    width, height = size
    cell = float(np.median(cells.columns[:, 1] - cells.columns[:, 0])) * scale
    tall = float(np.median(cells.rows[:, 1] - cells.rows[:, 0])) * scale
    if cell <= 0 or tall <= 0:
        return 1
    every = (_step(cell, SMALLEST_CELL), _step(tall, SMALLEST_CELL))
    alpha, thick = 70 if quiet else 120, 2 if min(cell, tall) > 90 else 1
    left, right = max(0.0, x(cells.columns[0, 0])), min(float(width), x(cells.columns[-1, 1]))
    top, bottom = max(0.0, y(cells.rows[0, 0])), min(float(height), y(cells.rows[-1, 1]))
    lines = [("x", at) for at in {*cells.columns[:: every[0], 0], cells.columns[-1, 1]}]
    lines += [("y", at) for at in {*cells.rows[:: every[1], 0], cells.rows[-1, 1]}]
    for axis, at in lines:
        where = round(x(at) if axis == "x" else y(at))
        ends = [(where, top), (where, bottom)] if axis == "x" else [(left, where), (right, where)]
        shade = [(a + 1, b) if axis == "x" else (a, b + 1) for a, b in ends]
        pen.line(shade, (0, 0, 0, alpha // 2), thick)
        pen.line(ends, (255, 255, 255, alpha), thick)
    if cells.merge > 1 and min(cell, tall) / cells.merge >= 12 and not quiet:
        _draw_patches(pen, cells, x, y, size)
    if not quiet:
        _draw_numbers(pen, cells, colour, x, y, (cell, tall), size)
    return max(every)


def _draw_patches(
    pen: ImageDraw.ImageDraw, cells: _Cells, x: Any, y: Any, size: tuple[int, int]
) -> None:
    """Dotted borders of the patches inside tokens."""
    width, height = size
    for part in range(1, cells.merge):
        for low, high in cells.columns:
            at = round(x(low + (high - low) * part / cells.merge))
            for dot in range(0, height, 6):
                pen.point((at, dot), (255, 255, 255, 130))
        for low, high in cells.rows:
            at = round(y(low + (high - low) * part / cells.merge))
            for dot in range(0, width, 6):
                pen.point((dot, at), (255, 255, 255, 130))


def _draw_numbers(
    pen: ImageDraw.ImageDraw,
    cells: _Cells,
    colour: Colour,
    x: Any,
    y: Any,
    cell: tuple[float, float],
    size: tuple[int, int],
) -> None:
    """The place of tokens in the sequence: of every one, or of as many as there is room for."""
    digits = len(str(int(cells.numbers.max())))
    points = int(min(32, max(11, min(cell) * 0.3)))
    room = _text_width("8" * digits, points) + 6
    steps = (_step(cell[0], room), _step(cell[1], points * 1.5))
    if steps == (1, 1):
        font = _font(points)
        for row, (low, high) in enumerate(cells.rows):
            for column, (near, far) in enumerate(cells.columns):
                place = ((x(near) + x(far)) / 2, (y(low) + y(high)) / 2)
                if 0 < place[0] < size[0] and 0 < place[1] < size[1] and far > near and high > low:
                    text = str(int(cells.numbers[row, column]))
                    _draw_number(pen, place, text, font, "mm", 2)
        return
    # Sparse numbers: one for every few dozen pixels, from the corner of each tile on, each beside
    # the cell that it counts.
    points, font = 13, _font(13)
    room = _text_width("8" * digits, points) + 8
    steps = (_step(cell[0], cell[0] + room + 16), _step(cell[1], 54))
    seen = [_starts(len(cells.rows), cells.tile[0], steps[1])]
    seen.append(_starts(len(cells.columns), cells.tile[1], steps[0]))
    for row in seen[0]:
        top, bottom = y(cells.rows[row, 0]), y(cells.rows[row, 1])
        middle = max((top + bottom) / 2, 9)
        if bottom - top <= 0 or not 0 < (top + bottom) / 2 < size[1] - 8:
            continue
        for column in seen[1]:
            left, right = x(cells.columns[column, 0]), x(cells.columns[column, 1])
            if right - left <= 0 or not -1 <= left <= right <= size[0] - room:
                continue
            bounds = [round(left), round(top), round(right), round(bottom)]
            pen.rectangle(bounds, (*colour, 110), (255, 255, 255, 255), 1)
            text = str(int(cells.numbers[row, column]))
            _draw_number(pen, (max(right, left + 4) + 4, middle), text, font, "lm", 2)


def _starts(count: int, tile: int, step: int) -> list[int]:
    """Every `step`th cell of each tile, or of every few tiles where a tile has not so many."""
    if step >= tile:
        whole = -(-step // tile) * tile
        return list(range(0, count, whole))
    most = max(1, tile // step) * step
    return [
        start + at for start in range(0, count, tile) for at in range(0, most, step) if at < tile
    ]


def _draw_number(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    font: Font,
    anchor: str,
    stroke: int,
) -> None:
    pen.text(
        place,
        text,
        (255, 255, 255, 255),
        font,
        anchor,
        stroke_width=stroke,
        stroke_fill=(0, 0, 0, 170),
    )


def _draw_box(
    pen: ImageDraw.ImageDraw, box: list[float], label: str, colour: Colour, size: tuple[int, int]
) -> None:
    left, top, right, bottom = (round(side) for side in box)
    if right < left or bottom < top or right < 0 or bottom < 0 or left > size[0] or top > size[1]:
        return
    pen.rectangle([left - 1, top - 1, right + 1, bottom + 1], outline=(255, 255, 255, 220), width=5)
    pen.rectangle([left, top, right, bottom], outline=(*colour, 255), width=3)
    if label:
        wide = _text_width(label, 16) + 12
        at = (max(0, min(left, size[0] - wide)), max(0, top - 24))
        pen.rectangle([*at, at[0] + wide, at[1] + 24], fill=(*colour, 255))
        pen.text((at[0] + 6, at[1] + 12), label, (255, 255, 255, 255), _font(16), "lm")


# The page


def _facts(plan: Plan) -> list[tuple[str, str]]:
    facts = [("image, h x w", _by(plan.source)), ("resized", _by(plan.resized))]
    if plan.num_tiles > 1:
        facts.append(("tiles", f"{plan.num_tiles:,}"))
    facts.append(("patches", f"{plan.num_patches:,}"))
    facts.append(("tokens", f"{plan.num_tokens:,}"))
    shape = " x ".join(f"{side:,}" for side in plan.shape)
    facts.append(("pixel_values", f"{shape}, {_bytes(plan.nbytes())}"))
    return facts


def _legend(plan: Plan, sheets: Sequence[_Sheet]) -> str:
    runs = _runs(plan)
    if not runs:
        return ""
    _, _, run = runs[-1]
    patch = plan.options["patch_size"]
    merge = run[4] // patch
    what = f"{merge} x {merge} patches" if merge > 1 else "a patch"
    text = f"A square is a token: {what} of {patch} px. Numbers are places in the sequence."
    if run[6]:
        text += " Each row of tokens ends in a newline, and a separator parts the views."
    if max(sheet.every for sheet in sheets) > 1:
        text += " Tokens too small to draw: lines stand for several."
    if any(view.resized != view.canvas for view in plan.views):
        text += " Hatched: padding."
    return text


def _flow(items: Sequence[tuple[str, str]], width: int, sizes: tuple[int, int]) -> Picture:
    """Labels over values, in as many rows as they need."""
    small, large = sizes
    line = small + large + 20
    places, x, y = [], 0, 0
    for label, value in items:
        wide = max(_text_width(label.upper(), small), _text_width(value, large))
        if x and x + wide > width:
            x, y = 0, y + line
        places.append((x, y))
        x += wide + 36
    page = Image.new("RGB", (width, y + line - 8), PAPER)
    pen = ImageDraw.Draw(page)
    for (label, value), at in zip(items, places, strict=True):
        pen.text(at, label.upper(), GREY, _font(small))
        pen.text((at[0], at[1] + small + 6), value, INK, _font(large))
    return page


def _titled(title: str, colour: Colour, body: Picture, width: int) -> Picture:
    """A picture below its caption, which breaks into lines."""
    words, lines = title.split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _text_width(longer, 16) > max(width, 200):
            lines.append(word)
        else:
            lines[-1] = longer
    top = 22 * len(lines) + 8
    wide = max(body.width, *(_text_width(line, 16) for line in lines))
    page = Image.new("RGB", (wide, top + body.height), PAPER)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((0, 22 * number), line, colour, _font(16))
    page.paste(body, (0, top))
    return page


def _stack(blocks: Sequence[Picture], gap: int, across: bool = False) -> Picture:
    if across:
        width = sum(block.width for block in blocks) + gap * (len(blocks) - 1)
        page = Image.new("RGB", (width, max(block.height for block in blocks)), PAPER)
    else:
        height = sum(block.height for block in blocks) + gap * (len(blocks) - 1)
        page = Image.new("RGB", (max(block.width for block in blocks), height), PAPER)
    at = 0
    for block in blocks:
        page.paste(block, (at, 0) if across else (0, at))
        at += (block.width if across else block.height) + gap
    return page


def _view(sheet: _Sheet, width: int, height: int) -> Picture:
    """One sheet below its caption."""
    body, caption = _render(sheet, width, height), sheet.caption
    if sheet.folds > 1:
        caption += f" (folded into {sheet.folds} strips)"
    return _titled(caption, sheet.colour, body, width)


def _largest(sheets: Sequence[_Sheet]) -> _Sheet:
    return max(sheets, key=lambda sheet: sheet.tiles[0] * sheet.tiles[1])


def _seen(sheets: Sequence[_Sheet], width: int, height: int) -> Picture:
    """All views below each other: the one with most tiles large, the others small."""
    largest = _largest(sheets)
    small = 0 if len(sheets) == 1 else min(280, width // 2, height // 3)
    room = height - (small + 60 if small else 0)
    return _stack([_view(s, width, room if s is largest else small) for s in sheets], 20)


def _shape(sheet: _Sheet) -> float:
    """Width over height of what `_render` makes."""
    _, width, height, _ = _fold(sheet)
    return width / height


def draw(
    plan: Plan,
    image: ImageInput,
    *,
    width: int = 1600,
    boxes: ArrayLike | None = None,
    labels: Sequence[str] | None = None,
    tokens: bool = True,
    title: str | None = None,
) -> Picture:
    """A picture of what becomes of an image: its tokens on the original, and what the model sees.

    Args:
        plan: of an image of this size.
        image: anything that a processor takes, of the plan's size.
        width: of the picture, in pixels, from 600 to 8000; the height follows.
        boxes: (n, 4) xyxy in the model's coordinates (`plan.coords`), drawn on the original.
        labels: a text for each box.
        tokens: off: no grid and no numbers.
        title: instead of the family's name.

    Returns:
        a Pillow image of mode RGB.

    Raises:
        TypeError: an image or boxes of the wrong type.
        ValueError: an image of another size, or a width out of range.
    """
    _check_width(width)
    if plan.is_video:
        raise ValueError("plan: must be of an image, got one of a video")
    picture = _load(plan, image)
    first, sheets = _sheets(plan, picture, _boxes(plan, boxes, labels), tokens)
    inner = width - 2 * MARGIN
    head = _head(plan, title, inner, (13, 24), 34)
    main = _largest(sheets)
    others = [sheet for sheet in sheets if sheet is not main]
    if max(_shape(first), _shape(main)) > 2.2:
        most = round(inner * 0.5)
        blocks = [_view(first, inner, most), _view(main, inner, most)]
        if others:
            blocks.append(_stack([_view(s, inner // 2, 260) for s in others], GAP, across=True))
        body = _stack(blocks, GAP)
    else:
        half = (inner - GAP) // 2
        most = min(round(half * 1.4), 1500)
        right = _view(main, half, most)
        small = max(160, min(300, right.height // 3))
        left = _view(first, half, most if not others else max(240, most - small - 60))
        left = _stack([left, *(_view(sheet, half, small) for sheet in others)], 20)
        wide = Image.new("RGB", (half, left.height), PAPER)
        wide.paste(left, (0, 0))
        body = _stack([wide, right], GAP, across=True)
    return _page([head, body, _foot(_legend(plan, sheets), inner)], width)


def compare(
    plans: Sequence[Plan], image: ImageInput, *, width: int = 1800, tokens: bool = True
) -> Picture:
    """What several models see of one image, side by side.

    Args:
        plans: of an image of this size, one a column.
        image: anything that a processor takes.
        width: of the picture, in pixels; at least 300 a plan.
        tokens: off: no grid and no numbers.
    """
    if not plans:
        raise ValueError("plans: must hold at least one plan, got none")
    _check_width(width)
    column = (width - 2 * MARGIN - GAP * (len(plans) - 1)) // len(plans)
    if column < 240:
        raise ValueError(f"width: must be at least {300 * len(plans)} for {len(plans)} plans")
    columns = []
    for plan in plans:
        _, sheets = _sheets(plan, _load(plan, image), [], tokens)
        seen = _seen(sheets, column, round(column * 1.6))
        block = _stack([_head(plan, None, column, (11, 18), 26), seen], 20)
        fixed = Image.new("RGB", (column, block.height), PAPER)
        fixed.paste(block, (0, 0))
        columns.append(fixed)
    return _page([_stack(columns, GAP, across=True)], width)


def _check_width(width: object) -> None:
    if not isinstance(width, int) or isinstance(width, bool):
        raise TypeError(f"width: must be an integer, got {type(width).__name__}")
    if not 600 <= width <= 8000:
        raise ValueError(f"width: must be in 600..8000, got {width}")


def _head(
    plan: Plan, title: str | None, width: int, sizes: tuple[int, int], points: int
) -> Picture:
    name = Image.new("RGB", (width, points + 14), PAPER)
    ImageDraw.Draw(name).text((0, 0), title or plan.family, INK, _font(points))
    return _stack([name, _flow(_facts(plan), width, sizes)], 6)


def _foot(text: str, width: int) -> Picture:
    page = Image.new("RGB", (width, 24 if text else 1), PAPER)
    if text:
        ImageDraw.Draw(page).text((0, 4), text, GREY, _font(15))
    return page


def _page(blocks: Sequence[Picture], width: int) -> Picture:
    body = _stack(blocks, 24)
    page = Image.new("RGB", (width, body.height + 2 * MARGIN), PAPER)
    page.paste(body, (MARGIN, MARGIN))
    return page


def _boxes(
    plan: Plan, boxes: ArrayLike | None, labels: Sequence[str] | None
) -> list[tuple[list[float], str, Colour]]:
    if boxes is None:
        return []
    array = plan.to_image(boxes)
    if array.ndim == 1:
        array = array[None]
    if array.shape[1] != 4:
        raise ValueError(f"boxes: must have the shape (n, 4), got {array.shape}")
    texts = [""] * len(array) if labels is None else [str(label) for label in labels]
    if len(texts) != len(array):
        raise ValueError(f"labels: must be one a box, got {len(texts)} for {len(array)} boxes")
    return [
        (box, text, BOXES[number % len(BOXES)])
        for number, (box, text) in enumerate(zip(array.tolist(), texts, strict=True))
    ]


def parse_boxes(text: str) -> tuple[list[list[float]], list[str]]:
    """Boxes and labels from what a model says, or a person types.

    Accepts `x1,y1,x2,y2;...`, JSON lists of four numbers, and JSON objects with `bbox_2d` or `box`
    and `label`, alone or in a list, inside a code fence or not.

    Raises:
        ValueError: anything else.
    """
    body = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        data = json.loads(body)
    except ValueError:
        try:
            parts = [part for part in body.split(";") if part.strip()]
            data = [[float(side) for side in part.split(",")] for part in parts]
        except ValueError:
            raise ValueError("boxes: must be x1,y1,x2,y2;... or JSON") from None
    if isinstance(data, dict) or (data and isinstance(data[0], int | float)):
        data = [data]
    boxes, labels = [], []
    for item in data:
        box = item.get("bbox_2d", item.get("box")) if isinstance(item, dict) else item
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError("boxes: each must have four numbers")
        boxes.append([float(side) for side in box])
        labels.append(str(item.get("label", "")) if isinstance(item, dict) else "")
    return boxes, labels
