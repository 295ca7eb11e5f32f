"""The picture of a plan: the image with the model's tokens on it, and what the model sees.

Pillow only. A picture is a headline, the numbers, the image, and the views. An image that is much
longer than wide is folded like a newspaper's column, at borders of tokens, so that its tokens stay
as large as the page allows; where they are too small to be told apart, lines and numbers thin out.

| module | what it does |
|---|---|
| `style` | colours, type, measures |
| `boxes` | boxes in a model's coordinates |
| `sheets` | what there is to show: canvases and tokens |
| `folding` | how a long canvas is laid out |
| `rendering` | a sheet's pixels |
| `page` | the whole picture |
"""

from .boxes import parse_boxes
from .page import compare, draw

__all__ = ["compare", "draw", "parse_boxes"]
