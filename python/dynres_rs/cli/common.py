"""What the commands share: processors by name, errors, one line about an image, a bar."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import dynres_rs as dr
from dynres_rs._dynres_rs import Plan
from dynres_rs.files import shown

__all__ = ["as_line", "describe", "fail", "make_processor", "options_of", "progress", "why"]


#: Characters of a path on a line at most.
LONGEST_PATH: Final = 4096


def as_line(name: str | os.PathLike[str]) -> str:
    """A path as a line of output may have it: what is not printable is escaped, since the names
    of files can be strangers' and a terminal acts on what it is sent."""
    return shown(name, LONGEST_PATH)


def why(error: BaseException, name: str | os.PathLike[str]) -> str:
    """An error's text for a line that begins with the name already."""
    text = str(error).removeprefix(f"{shown(name)}: ")
    text = text.removeprefix("image: ").removeprefix("video: ")
    return shown(text, LONGEST_PATH) or type(error).__name__


def fail(text: str, code: int = 2) -> typer.Exit:
    """Says on stderr what is wrong; the caller raises what this returns."""
    print(f"dynres: {shown(text, LONGEST_PATH)}", file=sys.stderr)
    return typer.Exit(code)


def options_of(settings: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs; a value is JSON, or True, False, None as in Python, else a string."""
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ValueError(f"--set: must be KEY=VALUE, got '{setting}'")
        try:
            options[key.replace("-", "_")] = json.loads(text)
        except (ValueError, RecursionError):
            lowered = {"True": True, "False": False, "None": None}
            options[key.replace("-", "_")] = lowered.get(text, text)
    return options


def make_processor(
    model: str, numerics: str | None, settings: list[str], video: bool = False
) -> dr.Processor:
    """The processor of a family's name, or of a path or hub id; settings may be for videos."""
    try:
        options = options_of(settings)
    except ValueError as error:
        raise fail(str(error)) from None
    if video:
        options = {"video": options}
    known = {
        name for family, row in dr.families().items() for name in (family, *row.get("aliases", ()))
    }
    try:
        if model in known:
            return dr.Processor(model, numerics=numerics, **options)
        return dr.Processor.from_pretrained(model, numerics=numerics, **options)
    except FileNotFoundError as error:
        names = ", ".join(dr.families())
        raise fail(f"--model: '{model}' is no family ({names}), and {error}") from None
    except (ValueError, TypeError, OSError) as error:
        raise fail(str(error)) from None


def describe(plan: Plan) -> str:
    """Size, resized size, grid or tiles, and tokens of one image, on one line."""
    height, width = plan.source
    resized_height, resized_width = plan.resized
    rows, columns = plan.grid
    if plan.num_tiles:
        many = "tile" if plan.num_tiles == 1 else "tiles"
        cut = f"{plan.num_tiles} {many} (grid {rows}x{columns})"
    else:
        cut = f"grid {rows}x{columns}"
    return f"{height}x{width} -> {resized_height}x{resized_width}, {cut}, {plan.num_tokens} tokens"


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=total < 2 or not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
