"""The command `dynres plan`: what will become of image files, from their headers alone."""

from __future__ import annotations

import csv
import glob
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import dynres_rs as dr
from dynres_rs._dynres_rs import Plan
from dynres_rs.headers import image_size

from .common import as_line, fail, make_processor, why

__all__ = ["plan"]

#: Files of a folder that are looked at.
SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"),
    *(".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm"),
)
#: More rows than this are left to --json, --csv or --all.
ROWS: Final = 30
BARS: Final = 12
BLOCKS: Final = " ▏▎▍▌▋▊▉█"
TILES: Final = (1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 40)


class _Row(NamedTuple):
    path: str
    plan: Plan


def plan(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Image files, folders, quoted patterns, or - for a list of files on stdin.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A family, a model's folder or json, or a cached hub id."
        ),
    ] = "qwen2-vl",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, such as max_pixels=1003520."),
    ] = None,
    num_images: Annotated[
        int, typer.Option(min=1, help="Images of a request, where the family plans by it.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A row an image as CSV.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help=f"A row an image, even above {ROWS} of them.")
    ] = False,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="KEY[=V,V,...]",
            help="Tokens for a ladder of budgets: max_pixels, max_num, or the values given.",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many images fit a sequence of N tokens."),
    ] = None,
) -> None:
    """Say what will become of images: sizes, tiles, tokens, bytes.

    Only headers are read, nothing is decoded: ten thousand files take seconds. Orientations in EXIF
    are respected where the model's own loader does. A file that cannot be read is reported on one
    line of stderr and left out; the exit status is then 1.
    """
    if as_json and as_csv:
        raise fail("--json, --csv: only one of them")
    processor = make_processor(model, None, settings or [])
    upright = processor.policy.convert != "original"
    rows, failed = [], 0
    for path in _files(paths):
        try:
            size = image_size(path, upright)
            rows.append(_Row(path, processor.plan(*size, num_images=num_images)))
        except (OSError, ValueError) as error:
            print(f"dynres: {as_line(path)}: {why(error, path)}", file=sys.stderr)
            failed += 1
    if not rows and not failed:
        raise fail("PATH: no images there")
    if rows:
        sizes = np.array([row.plan.source for row in rows], np.int64)
        swept = _sweep(processor, sizes, sweep, num_images) if sweep else []
        if as_csv:
            _print_csv(rows)
        else:
            summary = _summary(rows, budget)
            if as_json:
                _print_json(processor, rows, summary, swept, failed)
            else:
                _print_text(processor, rows, summary, swept, every)
    if failed:
        print(f"dynres: {failed} of {failed + len(rows)} files failed", file=sys.stderr)
        raise typer.Exit(1)


def _files(paths: Iterable[str]) -> Iterator[str]:
    """The files meant: a file itself, those of a folder, a pattern's, or a line of stdin each."""
    for path in paths:
        if path == "-":
            # As bytes: the names of files need not be UTF-8.
            for given in sys.stdin.buffer:
                if given.strip():
                    yield os.fsdecode(given.rstrip(b"\r\n"))
        elif Path(path).is_dir():
            below = (p for p in Path(path).rglob("*") if p.suffix.lower() in SUFFIXES)
            yield from sorted(str(p) for p in below if p.is_file())
        elif Path(path).exists() or not glob.has_magic(path):
            yield path
        else:
            found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (absolute patterns)
            yield from (name for name in found if Path(name).is_file())


def _record(row: _Row) -> dict[str, Any]:
    made = row.plan
    return {
        "path": row.path,
        "height": made.source[0],
        "width": made.source[1],
        "resized_height": made.resized[0],
        "resized_width": made.resized[1],
        "rows": made.grid[0],
        "columns": made.grid[1],
        "tiles": made.num_tiles,
        "patches": made.num_patches,
        "tokens": made.num_tokens,
        "bytes": made.nbytes(),
    }


def _rank(tokens: NDArray[np.int64], share: float) -> int:
    """The smallest count that this share of the images does not exceed."""
    return int(np.sort(tokens)[max(0, math.ceil(share * len(tokens)) - 1)])


def _numbers(tokens: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "total": int(tokens.sum()),
        "mean": round(float(tokens.mean()), 2),
        "p50": _rank(tokens, 0.5),
        "p95": _rank(tokens, 0.95),
        "max": int(tokens.max()),
    }


def _summary(rows: Sequence[_Row], budget: int | None) -> dict[str, Any]:
    tokens = np.array([row.plan.num_tokens for row in rows], np.int64)
    summary: dict[str, Any] = {
        "images": len(rows),
        "tokens": _numbers(tokens),
        "patches": sum(row.plan.num_patches for row in rows),
        "bytes": sum(row.plan.nbytes() for row in rows),
    }
    if budget is not None:
        fitting = tokens[tokens <= budget]
        bins = len(dr.pack(fitting, budget).bins)
        summary["budget"] = {
            "tokens": budget,
            "too_long": int((tokens > budget).sum()),
            "of_median": budget // max(1, _rank(tokens, 0.5)),
            "of_largest": budget // max(1, int(tokens.max())),
            "sequences": bins,
            "filled": round(float(fitting.sum()) / (bins * budget), 4) if bins else 0.0,
        }
    return summary


def _ladder(processor: dr.Processor, sweep: str) -> tuple[str, list[int]]:
    """The option and its values, ascending."""
    key, equals, text = sweep.partition("=")
    key = key.replace("-", "_")
    options = processor.to_dict()
    if key not in options:
        raise fail(f"--sweep: '{key}' is no option of '{processor.family}'")
    if equals:
        try:
            return key, sorted({int(value.replace("_", "")) for value in text.split(",")})
        except ValueError:
            raise fail(f"--sweep: must be {key}=N,N,..., got '{text}'") from None
    if key == "max_pixels":
        cell = (options["patch_size"] * options["merge_size"]) ** 2
        values = [cell << power for power in range(6, 20)]
        values = [v for v in values if options["min_pixels"] <= v < options[key]]
        return key, [*values, options[key]]
    if key in ("max_num", "max_patches"):
        values = [v for v in TILES if options["min_num"] <= v < options["max_num"]]
        return "max_num", [*values, options["max_num"]]
    raise fail(f"--sweep: give values: {key}=N,N,...")


def _sweep(
    processor: dr.Processor, sizes: NDArray[np.int64], sweep: str, num_images: int
) -> list[dict[str, Any]]:
    key, values = _ladder(processor, sweep)
    area = sizes[:, 0] * sizes[:, 1]
    distinct, which = np.unique(sizes, axis=0, return_inverse=True)

    def numbers(**options: int) -> NDArray[np.int64]:
        """Tokens, resized pixels and bytes of every image."""
        try:
            other = dr.Processor.from_dict({**processor.to_dict(), **options})
            made = [other.plan(*size, num_images=num_images) for size in distinct.tolist()]
        except (ValueError, TypeError) as error:
            raise fail(f"--sweep: {error}") from None
        columns = [(p.num_tokens, p.resized[0] * p.resized[1], p.nbytes()) for p in made]
        found: NDArray[np.int64] = np.array(columns, np.int64)[which.ravel()].T
        return found

    # Rounding to whole cells is no downscaling: without a budget there is that much as well.
    natural = area
    if key == "max_pixels":
        natural = numbers(max_pixels=2**62, max_image_pixels=2**62)[1]
    found = []
    for value in values:
        tokens, resized, nbytes = numbers(**{key: value})
        found.append(
            {
                key: value,
                "tokens": _numbers(tokens),
                "downscaled": round(float((resized < natural).mean()), 4),
                "mean_scale": round(float(np.sqrt(resized / area).mean()), 4),
                "bytes": int(nbytes.sum()),
            }
        )
    return found


# Printing


def _print_csv(rows: Sequence[_Row]) -> None:
    records = [_record(row) for row in rows]
    if sys.stdout.isatty():
        records = [{**record, "path": as_line(record["path"])} for record in records]
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names that are no UTF-8, as they are
    writer = csv.DictWriter(sys.stdout, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)


def _print_json(
    processor: dr.Processor,
    rows: Sequence[_Row],
    summary: dict[str, Any],
    swept: list[dict[str, Any]],
    failed: int,
) -> None:
    everything: dict[str, Any] = {
        "processor": processor.to_dict(),
        "summary": {**summary, "failed": failed},
        "images": [_record(row) for row in rows],
    }
    if swept:
        everything["sweep"] = swept
    print(json.dumps(everything, indent=1))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 0) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        justify: Any = "left" if place < left else "right"
        grid.add_column(head, justify=justify, overflow="fold", no_wrap=place >= left)
    for row in rows:
        grid.add_row(*row)
    return grid


def _bytes(count: int) -> str:
    amount, units = float(count), ["B", "KB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g} {units[0]}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _print_text(
    processor: dr.Processor,
    rows: Sequence[_Row],
    summary: dict[str, Any],
    swept: list[dict[str, Any]],
    every: bool,
) -> None:
    from rich.markup import escape

    console = Console(highlight=False)
    if not sys.stdout.isatty():
        console = Console(
            highlight=False, width=max(100, 60 + max(len(as_line(r.path)) for r in rows))
        )
    if every or len(rows) <= ROWS:
        lines = []
        for path, made in rows:
            tiles = f"{made.num_tiles} ({_by(made.grid)})" if made.num_tiles else _by(made.grid)
            lines.append(
                (
                    escape(as_line(path)),
                    _by(made.source),
                    _by(made.resized),
                    tiles,
                    f"{made.num_patches:,}",
                    f"{made.num_tokens:,}",
                )
            )
        cut = "tiles" if rows[0].plan.num_tiles else "grid"
        heads = ("image", "size", "resized", cut, "patches", "tokens")
        console.print(_table(heads, lines, left=1))
        console.print()
    tokens = summary["tokens"]
    console.print(
        f"{processor.family}: {summary['images']:,} images, {tokens['total']:,} tokens,"
        f" {summary['patches']:,} patches, {_bytes(summary['bytes'])}"
    )
    console.print(
        f"tokens of an image: mean {tokens['mean']:,.0f}, p50 {tokens['p50']:,},"
        f" p95 {tokens['p95']:,}, max {tokens['max']:,}"
    )
    if len(rows) > 1:
        console.print()
        for line in _histogram([row.plan.num_tokens for row in rows]):
            console.print(line)
    if "budget" in summary:
        console.print()
        console.print(_budget_text(summary["budget"], summary["images"]), soft_wrap=True)
    if swept:
        console.print()
        console.print(_sweep_table(swept))


def _budget_text(found: dict[str, Any], images: int) -> str:
    text = (
        f"{found['tokens']:,} tokens hold {found['of_median']:,} images of the median size,"
        f" {found['of_largest']:,} of the largest; "
    )
    fitting = images - found["too_long"]
    if fitting:
        many = "sequence" if found["sequences"] == 1 else "sequences"
        text += (
            f"{fitting:,} images pack into {found['sequences']:,} {many},"
            f" {found['filled']:.1%} full"
        )
    if found["too_long"]:
        text += f"{'; ' if fitting else ''}{found['too_long']:,} are longer than that"
    return text


def _sweep_table(swept: Sequence[dict[str, Any]]) -> Table:
    key = next(iter(swept[0]))
    heads = (key, "tokens", "mean", "p95", "max", "downscaled", "mean scale", "bytes")
    lines = []
    for step in swept:
        tokens = step["tokens"]
        lines.append(
            (
                f"{step[key]:,}",
                f"{tokens['total']:,}",
                f"{tokens['mean']:,.0f}",
                f"{tokens['p95']:,}",
                f"{tokens['max']:,}",
                f"{step['downscaled']:.0%}",
                f"{step['mean_scale']:.2f}",
                _bytes(step["bytes"]),
            )
        )
    return _table(heads, lines)


def _histogram(tokens: Sequence[int]) -> list[str]:
    """A line a range of token counts: the range, a bar, how many images."""
    values = np.array(tokens, np.int64)
    low, high = int(values.min()), int(values.max())
    width = max(1, -(-(high - low + 1) // BARS))
    bins = np.bincount((values - low) // width)
    longest = int(bins.max())
    labels = [
        f"{low + n * width:,}-{low + (n + 1) * width - 1:,}" if width > 1 else f"{low + n:,}"
        for n in range(len(bins))
    ]
    wide = max(map(len, labels))
    lines = []
    for label, count in zip(labels, bins.tolist(), strict=True):
        eighths = math.ceil(count * 40 * 8 / longest)
        bar = BLOCKS[8] * (eighths // 8) + BLOCKS[eighths % 8].strip()
        lines.append(f"{label:>{wide}} {bar:<40} {count:,}".rstrip())
    return lines
