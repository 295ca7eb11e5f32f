"""Colours, type and measures of every picture."""

from __future__ import annotations

import math
from functools import cache
from typing import Final, TypeAlias

from PIL import Image, ImageFont

Picture: TypeAlias = Image.Image
Colour: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Final = (250, 250, 248)
INK: Final = (24, 24, 27)
GREY: Final = (113, 113, 122)
RULE: Final = (228, 228, 231)
WHITE: Final = (255, 255, 255)
BLUE: Final = (37, 99, 235)
#: Of a view by its role, for every role that a model sees; boxes take them in turn.
ROLES: Final[dict[str, Colour]] = {
    "whole": BLUE,
    "tiles": BLUE,
    "thumbnail": (217, 119, 6),
    "global": (124, 58, 237),
    "high_res": (13, 148, 136),
    "crop": (190, 24, 93),
    "step": BLUE,
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


@cache
def font_of(size: int) -> Font:
    """Pillow's own face: no file is needed."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    return math.ceil(font_of(size).getlength(text))


def by(size: tuple[int, int]) -> str:
    """Height x width, or rows x columns."""
    return f"{size[0]} x {size[1]}"


def bytes_of(count: int) -> str:
    amount, units = float(count), ["B", "KB", "MB", "GB"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g} {units[0]}"


def step_of(cell: float, needed: float) -> int:
    """How many cells make a length, as a round number."""
    for step in (1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 50, 64, 80, 100, 128, 160, 200):
        if cell * step >= needed:
            return step
    return max(1, math.ceil(needed / max(cell, 1e-6)))
