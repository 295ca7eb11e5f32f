"""The contact sheet of a video: the frames that are taken, their times, and the tokens on them.

A temporal patch is a box around its frames, with its time and the places of its tokens in the
sequence. A long video shows patches at equal steps and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from ..video.processor import Taken
from ..video.sampling import format_timestamps
from .page import check_width, flow, foot, page_of, stack
from .style import (
    BLUE,
    GAP,
    GREY,
    INK,
    MARGIN,
    PAPER,
    RULE,
    SMALLEST_CELL,
    WHITE,
    Picture,
    by,
    bytes_of,
    font_of,
    step_of,
)

__all__ = ["contact_sheet"]

#: Patches over time that one sheet shows.
MOST_GROUPS: Final = 48
SMALLEST_FRAME: Final = 100
SMALLEST_BOX: Final = 250
TALLEST_FRAME: Final = 720
#: Height over width of the sheet that is aimed at.
ASPECT: Final = 0.7
CAPTION: Final = 26
NUMBER: Final = 20


def contact_sheet(taken: Taken, *, width: int = 1600, tokens: bool = True) -> Picture:
    """A picture of what a model takes of a video.

    Args:
        taken: of `VideoProcessor.take`; its frames are used up.
        width: of the picture, in pixels, from 600 to 8000; the height follows.
        tokens: off: no grid.

    Returns:
        a Pillow image of mode RGB.

    Raises:
        ValueError: a width out of range, `stack_frames` above 1, or what decoding raises.
    """
    check_width(width)
    if len(taken.plans) > 1:
        raise ValueError("stack_frames: must be 1 for a contact sheet, whose frames have one size")
    plan, metadata = taken.plan, taken.metadata
    temporal = metadata.temporal_patch_size
    indices = list(metadata.frames_indices or ())
    groups = -(-len(indices) // temporal)
    shown = sorted({round(g) for g in np.linspace(0, groups - 1, min(groups, MOST_GROUPS))})
    inner = width - 2 * MARGIN
    frame, across = _fit(inner, plan.resized, temporal, len(shown))
    times = _times(taken)
    each = plan.num_tokens // groups
    cell = plan.options["patch_size"] * plan.options["merge_size"]
    blocks = []
    for number, pictures in _groups(taken.frames, temporal, shown):
        first = number * temporal
        names = indices[first : first + temporal]
        names += names[-1:] * (temporal - len(names))
        pictures += pictures[-1:] * (temporal - len(pictures))
        said = f"{times[number]}   " if times else ""
        said += f"tokens {number * each:,} to {(number + 1) * each - 1:,}"
        drawn = [
            _frame(picture, frame, plan.resized, cell if tokens else 0, f"frame {name:,}")
            for picture, name in zip(pictures, names, strict=True)
        ]
        blocks.append(_group(drawn, said))
    rows = [
        stack(blocks[start : start + across], GAP // 2, across=True)
        for start in range(0, len(blocks), across)
    ]
    head = _head(taken, inner)
    note = f"A box is a temporal patch of {temporal} frames; a square is one token of them all."
    if tokens and step_of(cell * frame[0] / plan.resized[1], SMALLEST_CELL) > 1:
        note += " Tokens too small to draw: lines stand for several."
    if len(shown) < groups:
        note += f" Shown are {len(shown)} of {groups} temporal patches, at equal steps."
    return page_of([head, stack(rows, GAP // 2), foot(note, inner)], width)


def _times(taken: Taken) -> list[str]:
    """The time of each temporal patch: as Qwen3-VL's prompt has it, which no other model's has;
    none where the rate is not known."""
    if taken.metadata.fps is None:
        return []
    times = taken.metadata.timestamps
    told = taken.plan.options["budget"] == "video"
    return format_timestamps(times) if told else [f"{time:.1f} s" for time in times]


def _head(taken: Taken, width: int) -> Picture:
    plan, metadata = taken.plan, taken.metadata
    total = metadata.total_num_frames or 0
    rows, columns = plan.grid
    groups = plan.num_patches // (rows * columns)
    facts = [("frames", f"{total:,}")]
    if metadata.fps is not None:
        facts.append(("frames a second", f"{metadata.fps:.5g}"))
        facts.append(("seconds", f"{total / metadata.fps:.1f}"))
    shape = " x ".join(f"{side:,}" for side in plan.shape)
    facts += [
        ("taken", f"{len(metadata.frames_indices or ()):,}"),
        ("frame, h x w", by(plan.source)),
        ("resized", by(plan.resized)),
        ("grid, t x h x w", f"{groups} x {rows} x {columns}"),
        ("tokens", f"{plan.num_tokens:,}"),
        ("pixel_values_videos", f"{shape}, {bytes_of(plan.nbytes())}"),
    ]
    name = Image.new("RGB", (width, 48), PAPER)
    ImageDraw.Draw(name).text((0, 0), plan.family, INK, font_of(34))
    return stack([name, flow(facts, width, (13, 24))], 6)


def _fit(
    width: int, size: tuple[int, int], temporal: int, count: int
) -> tuple[tuple[int, int], int]:
    """Width and height of a frame on the page, and boxes in a row: near the aspect that is aimed
    at, with few places left empty in the last row."""
    best: tuple[float, tuple[int, int], int] | None = None
    least = max(SMALLEST_BOX, min(SMALLEST_FRAME, _wide(TALLEST_FRAME, size)) * temporal)
    most = max(1, width // (least + GAP // 2))
    for across in range(1, min(count, most) + 1):
        room = (width - (across - 1) * (GAP // 2)) // across - 16
        wide = min((room - (temporal - 1) * 4) // temporal, _wide(TALLEST_FRAME, size))
        tall = max(1, round(wide * size[0] / size[1]))
        rows = -(-count // across)
        height = rows * (tall + CAPTION + NUMBER + GAP)
        score = abs(math.log(height / width / ASPECT)) + 1 - count / (rows * across)
        if best is None or score < best[0]:
            best = (score, (max(wide, 1), tall), across)
    assert best is not None
    return best[1], best[2]


def _wide(tall: int, size: tuple[int, int]) -> int:
    """The width of a frame of this height."""
    return max(1, round(tall * size[1] / size[0]))


def _groups(
    frames: Iterator[Any], temporal: int, shown: list[int]
) -> Iterator[tuple[int, list[Any]]]:
    """The frames of the patches that are shown."""
    wanted = set(shown)
    number, group = 0, []
    for frame in frames:
        group.append(frame)
        if len(group) == temporal:
            if number in wanted:
                yield number, group
            number, group = number + 1, []
    if group and number in wanted:
        yield number, group


def _frame(
    frame: Any, size: tuple[int, int], resized: tuple[int, int], cell: int, name: str
) -> Picture:
    """One frame at its size on the page, with the grid of tokens, its number below."""
    picture = frame if isinstance(frame, Image.Image) else Image.fromarray(np.asarray(frame))
    picture = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    if cell:
        step = step_of(cell * size[0] / resized[1], SMALLEST_CELL) * cell
        layer = Image.new("RGBA", size, (0, 0, 0, 0))
        pen = ImageDraw.Draw(layer)
        for side, length, along in ((resized[1], size[0], 0), (resized[0], size[1], 1)):
            for at in range(step, side, step):
                place = round(at * length / side)
                ends = (place, 0, place, size[1]) if along == 0 else (0, place, size[0], place)
                pen.line(ends, (*WHITE, 110))
        picture = Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")
    page = Image.new("RGB", (size[0], size[1] + NUMBER), WHITE)
    page.paste(picture, (0, 0))
    ImageDraw.Draw(page).text((0, size[1] + 4), name, GREY, font_of(13))
    return page


def _group(frames: list[Picture], caption: str) -> Picture:
    """The frames of one temporal patch in a box, below its time."""
    body = stack(frames, 4, across=True)
    wide = max(body.width, SMALLEST_BOX - 16)
    page = Image.new("RGB", (wide + 16, body.height + CAPTION + 8), PAPER)
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, page.width - 1, page.height - 1), WHITE, RULE)
    pen.text((8, 6), caption, BLUE, font_of(14))
    page.paste(body, (8, CAPTION + 4))
    return page
