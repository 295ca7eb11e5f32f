"""Where a token lies in the image, and the coordinates that models speak.

Coordinates are x and y, continuous, from the top left corner of the top left pixel.
"""

from .families import Config
from .sizing import Size
from .tokens import Canvas, tokens

Box = tuple[float, float, float, float]

SPOKEN = {
    "qwen2-vl": "norm1000",
    "qwen2.5-vl": "resized",
    "qwen3-vl": "norm1000",
    "internvl": "norm1000",
    "internvl-hf": "norm1000",
    "got-ocr2": "norm1000",
    "deepseek-vl2": "norm999",
}


def to_image(canvas: Canvas, size: Size, x: float, y: float) -> tuple[float, float]:
    """A point on a canvas in the image that it shows; background lies outside the image."""
    top, left = canvas.offset
    height, width = canvas.resized
    below = canvas.parent.size if canvas.parent else size
    x, y = (x - left) * below[1] / width, (y - top) * below[0] / height
    return to_image(canvas.parent, size, x, y) if canvas.parent else (x, y)


def to_canvas(canvas: Canvas, size: Size, x: float, y: float) -> tuple[float, float]:
    below = size
    if canvas.parent:
        x, y = to_canvas(canvas.parent, size, x, y)
        below = canvas.parent.size
    top, left = canvas.offset
    height, width = canvas.resized
    return left + x * width / below[1], top + y * height / below[0]


def token_boxes(
    family: str, size: Size, config: Config, num_images: int = 1
) -> list[tuple[str, Box]]:
    """Kind and box of each token; a token that sees nothing of the image has a box without area."""
    height, width = size
    result: list[tuple[str, Box]] = []
    for token in tokens(family, size, config, num_images):
        canvas, rect = token.canvas, token.rect
        if canvas is None or rect is None or 0 in canvas.resized:
            result.append((token.kind if token.kind != "image" else "padding", (0, 0, 0, 0)))
            continue
        left, top = to_image(canvas, size, rect[0], rect[1])
        right, bottom = to_image(canvas, size, rect[2], rect[3])
        left, right = (min(max(x, 0), width) for x in (left, right))
        top, bottom = (min(max(y, 0), height) for y in (top, bottom))
        kind = token.kind
        if kind == "image" and (left >= right or top >= bottom):
            kind = "padding"
        result.append((kind, (left, top, right, bottom)))
    return result


def scale(coords: str, resized: Size) -> tuple[float, float]:
    """What the width and the height of the image are called."""
    ranges = {"norm1000": 1000, "norm999": 999, "norm1": 1}
    if coords == "resized":
        return resized[1], resized[0]
    return ranges[coords], ranges[coords]
