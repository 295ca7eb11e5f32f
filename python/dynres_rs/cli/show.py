"""The command `dynres show`: a picture of what models make of an image or a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dynres_rs.draw import compare as draw_compared
from dynres_rs.draw import draw, parse_boxes
from dynres_rs.images import prepare
from dynres_rs.video.file import is_video_name

from .common import as_line, describe, fail, make_processor

__all__ = ["show"]

FORMATS = (".png", ".jpg", ".jpeg", ".webp")


def show(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image or video file.")],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A family, a model's folder or json, or a cached hub id."
        ),
    ] = "qwen2-vl",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The picture: .png, .jpg or .webp; else IMAGE's name with '.plan'."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Several models side by side, instead of --model."),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="BOXES",
            help="Boxes in the model's coordinates, drawn on the image: x1,y1,x2,y2;... or JSON"
            " (lists of four, or objects with bbox_2d and label), or @FILE with them.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, such as max_pixels=1003520."),
    ] = None,
    num_images: Annotated[
        int, typer.Option(min=1, help="Images of the request, where the family plans by it.")
    ] = 1,
    width: Annotated[
        int | None, typer.Option(min=600, max=8000, help="Of the picture, in pixels.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--no-tokens", help="Without the grid of tokens and their numbers.")
    ] = False,
) -> None:
    """Draw an image with the tokens of a model on it, and what the model sees."""
    target = out if out is not None else Path(f"{Path(image).stem}.plan.png")
    if target.suffix.lower() not in FORMATS:
        raise fail(f"--out: must end in {', '.join(FORMATS)}, got '{target}'")
    if _is_same(image, target):
        raise fail(f"--out: '{target}' is IMAGE itself, which would be overwritten")
    if compare and boxes:
        raise fail("--boxes: go with one --model, not with --compare")
    if is_video_name(image):
        if compare or boxes:
            raise fail("--compare, --boxes: are for images, not for videos")
        from .video import show_video

        show_video(image, model, target, settings or [], width or 1600, not plain)
        return
    names = [name.strip() for name in compare.split(",") if name.strip()] if compare else [model]
    processors = [make_processor(name, None, settings or []) for name in names]
    try:
        found = []
        for processor in processors:
            ready = prepare(image, processor.policy)
            found.append(processor._plan_ready(ready, num_images))
        if compare:
            picture = draw_compared(found, image, width=width or 1800, tokens=not plain)
        else:
            given, labels = _given(boxes) if boxes else (None, None)
            picture = draw(
                found[0],
                image,
                width=width or 1600,
                boxes=given,
                labels=labels,
                tokens=not plain,
            )
    except (OSError, ValueError, TypeError) as error:
        raise fail(str(error), 1) from None
    try:
        picture.save(target)
    except OSError as error:
        raise fail(f"--out: cannot write '{target}': {error.strerror or error}", 1) from None
    console = Console(highlight=False, soft_wrap=True)
    for plan in found:
        console.print(f"{plan.family}: {describe(plan)}", markup=False)
    console.print(as_line(target), markup=False)


def _is_same(image: str, target: Path) -> bool:
    """Whether both names are one file, by links too."""
    try:
        return target.samefile(image)
    except (OSError, ValueError):  # one of them is not there
        return False


def _given(boxes: str) -> tuple[list[list[float]], list[str]]:
    if boxes.startswith("@"):
        boxes = Path(boxes[1:]).read_text(encoding="utf-8")
    return parse_boxes(boxes)
