"""How a long canvas is laid out: in strips like a newspaper's columns, cut between tokens."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .sheets import Sheet
from .style import FOLD_GAP, TILE_GAP

MOST_FOLDS: Final = 8


@dataclass
class Piece:
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


def fold(sheet: Sheet) -> tuple[list[Piece], float, float, tuple[int, int]]:
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
                    piece = Piece(near, low, far, high, at, offset, (gap_across, gap_along))
                else:
                    piece = Piece(low, near, high, far, offset, at, (gap_along, gap_across))
                pieces.append(piece)
    longest = max(end - start for start, end in itertools.pairwise(cuts))
    parts = sheet.folds = len(cuts) - 1
    most = max(piece.gaps[1 if tall else 0] for piece in pieces)
    side = max(piece.gaps[0 if tall else 1] for piece in pieces)
    if tall:
        return pieces, parts * short, longest, (side, most)
    return pieces, longest, parts * short, (most, side)
