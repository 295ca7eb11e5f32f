"""Boxes in a model's coordinates: read from text, and placed on the image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from numpy.typing import ArrayLike

from .._dynres_rs import finite_number
from .style import BOXES, Colour

if TYPE_CHECKING:
    from .._dynres_rs import Plan


class Box(NamedTuple):
    """A box on the image."""

    sides: list[float]
    """Left, top, right, bottom."""
    label: str
    colour: Colour


def boxes_of(plan: Plan, boxes: ArrayLike | None, labels: Sequence[str] | None) -> list[Box]:
    """Boxes in the model's coordinates, on the image, each in a colour of its own."""
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
        Box(box, text, BOXES[number % len(BOXES)])
        for number, (box, text) in enumerate(zip(array.tolist(), texts, strict=True))
    ]


def _side(side: object) -> float:
    if isinstance(side, str):
        try:
            side = float(side)
        except ValueError:
            raise ValueError("boxes: each must have four numbers") from None
    if isinstance(side, bool) or not isinstance(side, int | float):
        raise ValueError("boxes: each must have four numbers")
    return finite_number("boxes", side)


def parse_boxes(text: str) -> tuple[list[list[float]], list[str]]:
    """Boxes and labels from what a model says, or a person types.

    Accepts `x1,y1,x2,y2;...`, JSON lists of four numbers, and JSON objects with `bbox_2d` or `box`
    and `label`, alone or in a list, inside a code fence or not.

    Args:
        text: what the model said.

    Returns:
        the boxes, each (x1, y1, x2, y2) in the model's coordinates, and a label for each, empty
        where there is none.

    Raises:
        TypeError: no string.
        ValueError: anything else than the above.
    """
    if not isinstance(text, str):
        raise TypeError(f"text: must be a string, got {type(text).__name__}")
    body = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        try:
            parts = [part for part in body.split(";") if part.strip()]
            data = [list(part.split(",")) for part in parts]
        except ValueError:
            raise ValueError("boxes: must be x1,y1,x2,y2;... or JSON") from None
    if isinstance(data, dict) or (
        isinstance(data, list) and data and isinstance(data[0], int | float)
    ):
        data = [data]
    if not isinstance(data, list):
        raise ValueError("boxes: must be x1,y1,x2,y2;... or JSON")
    boxes, labels = [], []
    for item in data:
        box = item.get("bbox_2d", item.get("box")) if isinstance(item, dict) else item
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError("boxes: each must have four numbers")
        boxes.append([_side(side) for side in box])
        labels.append(str(item.get("label", "")) if isinstance(item, dict) else "")
    return boxes, labels
