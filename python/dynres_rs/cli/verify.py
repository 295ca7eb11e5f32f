"""The command `dynres verify`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from .common import as_line, fail, options_of

__all__ = ["verify"]


def verify(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Image files, or folders of them.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model's folder or json, or a cached hub id.")
    ],
    numerics: Annotated[
        str | None, typer.Option(help="torchvision or pillow: whose numbers to compare with.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, such as max_pixels=1003520."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each side; the fastest counts.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
) -> None:
    """Compare with upstream, bit for bit, on your own images.

    A line for each image and a sum: equal or the largest difference, both times, both token
    counts, and whether the file gives another result by path or as bytes than opened with Pillow.
    The exit status is 0 if every image is equal, 1 if one is not or cannot be read, 2 if there was
    nothing to compare.
    """
    from dynres_rs.verify import verify as run

    def show(row: Any) -> None:
        if not as_json:
            print(as_line(str(row)), flush=True)

    try:
        report = run(
            list(paths),
            model,
            numerics=numerics,
            repeats=repeats,
            progress=show,
            **options_of(settings or []),
        )
    except (ImportError, OSError, ValueError, TypeError) as error:
        raise fail(str(error)) from None
    if not report.rows:
        raise fail("no image files there")
    print(json.dumps(report.to_dict(), indent=2) if as_json else report.summary())
    raise typer.Exit(0 if report.equal else 1)
