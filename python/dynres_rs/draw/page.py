"""The page: a headline, the numbers, the image, the views, and what the drawing means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from .._dynres_rs import Plan
from .._types import ImageInput
from .boxes import boxes_of
from .folding import fold
from .rendering import render
from .sheets import Sheet, load, patch_side, run_length, runs_of, sheets_of
from .style import GAP, GREY, INK, MARGIN, PAPER, Colour, Picture, by, bytes_of, font_of, text_width

#: Views beside the main one that are shown one by one; more are laid in a grid.
MOST_ALONE: Final = 2
#: A view in a grid is at least so wide: its caption has room.
SMALLEST_SHEET: Final = 200


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
    check_width(width)
    check_plan(plan)
    picture = load(plan, image)
    first, sheets = sheets_of(plan, picture, boxes_of(plan, boxes, labels), tokens)
    inner = width - 2 * MARGIN
    head = _head(plan, title, inner, (13, 24), 34)
    main = _largest(sheets)
    others = [sheet for sheet in sheets if sheet is not main]
    if max(_shape(first), _shape(main)) > 2.2:
        most = round(inner * 0.5)
        blocks = [_captioned(first, inner, most), _captioned(main, inner, most)]
        if others:
            blocks.append(_small(others, inner, inner // 2, 260))
        body = stack(blocks, GAP)
    else:
        half = (inner - GAP) // 2
        most = min(round(half * 1.4), 1500)
        right = _captioned(main, half, most)
        small = max(220, min(300, right.height // 3))
        left = _captioned(first, half, most if not others else max(240, most - small - 60))
        if others:
            left = stack([left, _small(others, half, half, small)], 20)
        wide = Image.new("RGB", (half, left.height), PAPER)
        wide.paste(left, (0, 0))
        body = stack([wide, right], GAP, across=True)
    return page_of([head, body, foot(_legend(plan, sheets), inner)], width)


def compare(
    plans: Sequence[Plan], image: ImageInput, *, width: int = 1800, tokens: bool = True
) -> Picture:
    """What several models see of one image, side by side.

    Args:
        plans: of an image of this size, one a column.
        image: anything that a processor takes.
        width: of the picture, in pixels; at least 300 a plan.
        tokens: off: no grid and no numbers.

    Returns:
        a Pillow image of mode RGB.

    Raises:
        TypeError: no list of plans, or an image of the wrong type.
        ValueError: no plan, one of a video or of another size, or a width out of range.
    """
    if not isinstance(plans, list | tuple):
        raise TypeError(f"plans: must be a list of plans, got {type(plans).__name__}")
    if not plans:
        raise ValueError("plans: must hold at least one plan, got none")
    for plan in plans:
        check_plan(plan)
    check_width(width)
    column = (width - 2 * MARGIN - GAP * (len(plans) - 1)) // len(plans)
    if column < 240:
        raise ValueError(f"width: must be at least {300 * len(plans)} for {len(plans)} plans")
    columns = []
    for plan in plans:
        _, sheets = sheets_of(plan, load(plan, image), [], tokens)
        seen = _seen(sheets, column, round(column * 1.6))
        block = stack([_head(plan, None, column, (11, 18), 26), seen], 20)
        fixed = Image.new("RGB", (column, block.height), PAPER)
        fixed.paste(block, (0, 0))
        columns.append(fixed)
    return page_of([stack(columns, GAP, across=True)], width)


def check_plan(plan: object) -> None:
    """Whether it is a plan, and of an image."""
    if not isinstance(plan, Plan):
        raise TypeError(f"plan: must be a Plan, got {type(plan).__name__}")
    if plan.is_video:
        raise ValueError("plan: must be of an image, got one of a video")


def check_width(width: object) -> None:
    if not isinstance(width, int) or isinstance(width, bool):
        raise TypeError(f"width: must be an integer, got {type(width).__name__}")
    if not 600 <= width <= 8000:
        raise ValueError(f"width: must be in 600..8000, got {width}")


def facts_of(plan: Plan) -> list[tuple[str, str]]:
    facts = [("image, h x w", by(plan.source)), ("resized", by(plan.resized))]
    facts.append(("grid of tiles" if plan.num_tiles else "grid of patches", by(plan.grid)))
    if plan.num_tiles > 1:
        facts.append(("tiles", f"{plan.num_tiles:,}"))
    facts.append(("patches", f"{plan.num_patches:,}"))
    facts.append(("tokens", f"{plan.num_tokens:,}"))
    values = {key: math.prod(shape) for key, shape in plan.shapes.items()}
    for key, shape in plan.shapes.items():
        share = plan.nbytes() * values[key] // sum(values.values())
        facts.append((key, f"{' x '.join(f'{side:,}' for side in shape)}, {bytes_of(share)}"))
    return facts


def _legend(plan: Plan, sheets: Sequence[Sheet]) -> str:
    runs = runs_of(plan)
    if not runs:
        return ""
    if not any(run_length(run) for _, parts in runs for _, run in parts):
        return ""
    patch = patch_side(plan)
    _, run = runs[-1][1][-1]
    merge = run[4] // patch
    what = f"{merge} x {merge} patches" if merge > 1 else "a patch"
    text = f"A square is a token: {what} of {patch} px. Numbers are places in the sequence"
    text += ", each of the square left of it." if any(s.sparse for s in sheets) else "."
    newlines, parted = run[6], "separator" in plan.token_kinds()
    if newlines and parted:
        text += " Each row of tokens ends in a newline, and a separator parts the views."
    elif newlines:
        text += " Each row of tokens ends in a newline."
    elif parted:
        text += " A separator ends a view."
    if max(sheet.every for sheet in sheets) > 1:
        text += " Tokens too small to draw: lines stand for several."
    if any(sheet.holes for sheet in sheets):
        text += " Hatched: padding."
    return text


def flow(items: Sequence[tuple[str, str]], width: int, sizes: tuple[int, int]) -> Picture:
    """Labels over values, in as many rows as they need."""
    small, large = sizes
    line = small + large + 20
    places, x, y = [], 0, 0
    for label, value in items:
        wide = max(text_width(label.upper(), small), text_width(value, large))
        if x and x + wide > width:
            x, y = 0, y + line
        places.append((x, y))
        x += wide + 36
    page = Image.new("RGB", (width, y + line - 8), PAPER)
    pen = ImageDraw.Draw(page)
    for (label, value), at in zip(items, places, strict=True):
        pen.text(at, label.upper(), GREY, font_of(small))
        pen.text((at[0], at[1] + small + 6), value, INK, font_of(large))
    return page


def _titled(title: str, colour: Colour, body: Picture, width: int) -> Picture:
    """A picture below its caption, which breaks into lines."""
    words, lines = title.split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, 16) > max(width, 200):
            lines.append(word)
        else:
            lines[-1] = longer
    top = 22 * len(lines) + 8
    wide = max(body.width, *(text_width(line, 16) for line in lines))
    page = Image.new("RGB", (wide, top + body.height), PAPER)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((0, 22 * number), line, colour, font_of(16))
    page.paste(body, (0, top))
    return page


def stack(blocks: Sequence[Picture], gap: int, across: bool = False) -> Picture:
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


def _captioned(sheet: Sheet, width: int, height: int) -> Picture:
    """One sheet below its caption."""
    body, caption = render(sheet, width, height), sheet.caption
    if sheet.folds > 1:
        caption += f" (folded into {sheet.folds} strips)"
    return _titled(caption, sheet.colour, body, width)


def _largest(sheets: Sequence[Sheet]) -> Sheet:
    return next(sheet for sheet in sheets if sheet.main)


def _seen(sheets: Sequence[Sheet], width: int, height: int) -> Picture:
    """All views below each other: the one with most tiles large, the others small."""
    largest = _largest(sheets)
    small = 0 if len(sheets) == 1 else min(280, width // 2, height // 3)
    room = height - (small + 60 if small else 0)
    if len(sheets) <= MOST_ALONE + 1:
        return stack([_captioned(s, width, room if s is largest else small) for s in sheets], 20)
    others = [sheet for sheet in sheets if sheet is not largest]
    return stack([_captioned(largest, width, room), _small(others, width, width, small)], 20)


def _small(sheets: Sequence[Sheet], width: int, each: int, height: int) -> Picture:
    """The views beside the main one. Up to two have a row each, or one together where there is
    room; more are laid in a grid that is about as high as two of them would be."""
    if len(sheets) <= MOST_ALONE:
        across = each < width
        return stack([_captioned(s, each, height) for s in sheets], GAP if across else 20, across)
    columns = max(2, math.ceil(math.sqrt(len(sheets) * width / (3 * height))))
    columns = min(columns, len(sheets), max(1, width // SMALLEST_SHEET))
    rows = math.ceil(len(sheets) / columns)
    cell = (width - 16 * (columns - 1)) // columns
    tall = max(48, 2 * height // rows - 60)
    lines = []
    for row in range(rows):
        some = sheets[row * columns : (row + 1) * columns]
        blocks = []
        for sheet in some:
            block = _captioned(sheet, cell, tall)
            fixed = Image.new("RGB", (cell, block.height), PAPER)
            fixed.paste(block, (0, 0))
            blocks.append(fixed)
        lines.append(stack(blocks, 16, across=True))
    return stack(lines, 16)


def _shape(sheet: Sheet) -> float:
    """Width over height of what `render` makes."""
    _, width, height, _ = fold(sheet)
    return width / height


def _head(
    plan: Plan, title: str | None, width: int, sizes: tuple[int, int], points: int
) -> Picture:
    name = Image.new("RGB", (width, points + 14), PAPER)
    ImageDraw.Draw(name).text((0, 0), title or plan.family, INK, font_of(points))
    return stack([name, flow(facts_of(plan), width, sizes)], 6)


def foot(text: str, width: int) -> Picture:
    page = Image.new("RGB", (width, 24 if text else 1), PAPER)
    if text:
        ImageDraw.Draw(page).text((0, 4), text, GREY, font_of(15))
    return page


def page_of(blocks: Sequence[Picture], width: int) -> Picture:
    body = stack(blocks, 24)
    page = Image.new("RGB", (width, body.height + 2 * MARGIN), PAPER)
    page.paste(body, (MARGIN, MARGIN))
    return page
