"""From a sheet to pixels: its pieces at one scale, with grid, numbers, padding and boxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .folding import Piece, fold
from .sheets import Cells, Sheet
from .style import PAPER, SMALLEST_CELL, WHITE, Colour, Picture, font_of, step_of, text_width

Axis: TypeAlias = Callable[[float], float]
"""From pixels of the canvas to pixels of the page."""

#: Patches smaller than this are not drawn inside tokens.
SMALLEST_PATCH: Final = 20
#: Height of the type of numbers that stand beside their token.
FLAG: Final = 12


def render(sheet: Sheet, most_width: int, most_height: int) -> Picture:
    """The sheet at the largest scale that fits."""
    pieces, width, height, gaps = fold(sheet)
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


def _render_piece(sheet: Sheet, piece: Piece, scale: float) -> Picture:
    width = max(1, round((piece.right - piece.left) * scale))
    height = max(1, round((piece.bottom - piece.top) * scale))
    how = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    bounds = (piece.left, piece.top, piece.right, piece.bottom)
    part = sheet.picture.resize((width, height), how, bounds).convert("RGBA")

    def x(at: float) -> float:
        return (at - piece.left) * scale

    def y(at: float) -> float:
        return (at - piece.top) * scale

    for left, top, right, bottom in sheet.holes:
        _hatch(part, (round(x(left)), round(y(top)), round(x(right)), round(y(bottom))))
    layer = Image.new("RGBA", part.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    if sheet.cells is not None:
        _draw_cells(pen, sheet, sheet.cells, x, y, scale, np.asarray(part.convert("L")))
    for at in sheet.borders[0]:
        pen.line([(x(at), 0), (x(at), height)], (*sheet.colour, 255), 3)
    for at in sheet.borders[1]:
        pen.line([(0, y(at)), (width, y(at))], (*sheet.colour, 255), 3)
    for box, label, colour in sheet.boxes:
        _draw_box(pen, [x(box[0]), y(box[1]), x(box[2]), y(box[3])], label, colour, part.size)
    pen.rectangle([0, 0, width - 1, height - 1], outline=(*sheet.colour, 255), width=2)
    return Image.alpha_composite(part, layer).convert("RGB")


def _hatch(part: Picture, bounds: tuple[int, int, int, int]) -> None:
    """Diagonal lines where there is only background."""
    left, top = max(0, bounds[0]), max(0, bounds[1])
    right, bottom = min(part.width, bounds[2]), min(part.height, bounds[3])
    if right <= left or bottom <= top:
        return
    patch = Image.new("RGBA", (right - left, bottom - top), (255, 255, 255, 150))
    pen = ImageDraw.Draw(patch)
    for start in range(-((left + top) % 12) - patch.height, patch.width, 12):
        pen.line([(start, patch.height), (start + patch.height, 0)], (113, 113, 122, 170), 1)
    part.alpha_composite(patch, (left, top))


def _draw_cells(
    pen: ImageDraw.ImageDraw,
    sheet: Sheet,
    cells: Cells,
    x: Axis,
    y: Axis,
    scale: float,
    grey: NDArray[np.uint8],
) -> None:
    """Lines and numbers, on what is that bright; a sheet with boxes has no numbers."""
    height, width = grey.shape
    cell, tall = (_usual(sides) * scale for sides in (cells.columns, cells.rows))
    if cell <= 0 or tall <= 0:
        return
    quiet = bool(sheet.boxes)
    every = (step_of(cell, SMALLEST_CELL), step_of(tall, SMALLEST_CELL))
    sheet.every = max(every)
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
    if quiet:
        return
    if cells.merge > 1 and min(cell, tall) / cells.merge >= SMALLEST_PATCH:
        _draw_patches(pen, cells, x, y, (width, height))
    _draw_numbers(pen, sheet, cells, x, y, (cell, tall), grey)


def _usual(sides: NDArray[np.float64]) -> float:
    """The median length of the cells that show something."""
    lengths = sides[:, 1] - sides[:, 0]
    lengths = lengths[lengths > 0]
    return float(np.median(lengths)) if len(lengths) else 0.0


def _draw_patches(
    pen: ImageDraw.ImageDraw, cells: Cells, x: Axis, y: Axis, size: tuple[int, int]
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
    sheet: Sheet,
    cells: Cells,
    x: Axis,
    y: Axis,
    cell: tuple[float, float],
    grey: NDArray[np.uint8],
) -> None:
    """The place of tokens in the sequence: of every one, or of as many as there is room for."""
    height, width = grey.shape
    digits = len(str(int(cells.numbers.max())))
    points = int(min(32, max(11, min(cell) * 0.3)))
    room = text_width("8" * digits, points) + 6
    sheet.sparse = (step_of(cell[0], room), step_of(cell[1], points * 1.5)) != (1, 1)
    if not sheet.sparse:
        inset = room / 2 - 6
        for row, (low, high) in enumerate(cells.rows):
            for column, (near, far) in enumerate(cells.columns):
                place = ((x(near) + x(far)) / 2, (y(low) + y(high)) / 2)
                # Cells that are cut, by the image's border or a fold, may have no room for theirs.
                fits = inset <= place[0] <= width - inset and 6 <= place[1] <= height - 6
                if fits and far > near and high > low:
                    text = str(int(cells.numbers[row, column]))
                    around = grey[
                        max(0, int(place[1]) - points // 2) : int(place[1]) + points // 2 + 1,
                        max(0, int(place[0]) - room // 2) : int(place[0]) + room // 2 + 1,
                    ]
                    _draw_number(pen, place, text, points, bool(around.mean() > 150))
        return
    # One for every few dozen pixels, from the corner of each tile on, each beside its cell.
    room = text_width("8" * digits, FLAG) + 8
    steps = (step_of(cell[0], cell[0] + room + 16), step_of(cell[1], 54))
    seen = [_starts(len(cells.rows), cells.tile[0], steps[1])]
    seen.append(_starts(len(cells.columns), cells.tile[1], steps[0]))
    for row in seen[0]:
        top, bottom = y(cells.rows[row, 0]), y(cells.rows[row, 1])
        middle = max((top + bottom) / 2, 10)
        if bottom - top <= 0 or not 0 < (top + bottom) / 2 < height - 8:
            continue
        for column in seen[1]:
            left, right = x(cells.columns[column, 0]), x(cells.columns[column, 1])
            if right - left <= 0 or not -1 <= left <= right <= width - room:
                continue
            bounds = [round(left), round(top), round(right), round(bottom)]
            pen.rectangle(bounds, (*sheet.colour, 110), (255, 255, 255, 255), 1)
            text = str(int(cells.numbers[row, column]))
            _draw_flag(pen, (round(max(right, left + 4)) + 1, round(middle)), text, sheet.colour)


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
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, points: int, bright: bool
) -> None:
    """Dark on what is bright, light on what is dark."""
    ink, halo = (WHITE, (0, 0, 0))[:: -1 if bright else 1]
    pen.text(
        place,
        text,
        (*ink, 255),
        font_of(points),
        "mm",
        stroke_width=2,
        stroke_fill=(*halo, 190 if bright else 170),
    )


def _draw_flag(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: Colour) -> None:
    """A number on a ground of its own, right of `place`: readable over print."""
    left, middle = place
    right = left + text_width(text, FLAG) + 5
    pen.rectangle([left, middle - 8, right, middle + 8], (*colour, 225))
    pen.text((left + 3, middle), text, (*WHITE, 255), font_of(FLAG), "lm")


def _draw_box(
    pen: ImageDraw.ImageDraw, box: list[float], label: str, colour: Colour, size: tuple[int, int]
) -> None:
    left, top, right, bottom = (round(side) for side in box)
    if right < left or bottom < top or right < 0 or bottom < 0 or left > size[0] or top > size[1]:
        return
    pen.rectangle([left - 1, top - 1, right + 1, bottom + 1], outline=(255, 255, 255, 220), width=5)
    pen.rectangle([left, top, right, bottom], outline=(*colour, 255), width=3)
    if label:
        wide = text_width(label, 16) + 12
        at = (max(0, min(left, size[0] - wide)), max(0, top - 24))
        pen.rectangle([*at, at[0] + wide, at[1] + 24], fill=(*colour, 255))
        pen.text((at[0] + 6, at[1] + 12), label, (255, 255, 255, 255), font_of(16), "lm")
