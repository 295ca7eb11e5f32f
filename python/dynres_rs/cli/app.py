"""The commands themselves: `run`, `families`, `doctor`."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import dynres_rs as dr
from dynres_rs._dynres_rs import Plan, backends
from dynres_rs.images import prepare
from dynres_rs.numerics import installed_pillow
from dynres_rs.zero_copy import zero_copy

from .save import FORMATS, save
from .verify import verify

__all__ = ["app"]

app = typer.Typer(
    name="dynres",
    help="Bit-exact image preprocessing for vision-language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(verify)


def _out() -> Console:
    # Made when needed, so that a redirected stdout is the one in use; wide, so that pipes get
    # whole lines.
    return Console(highlight=False, soft_wrap=True)


def _fail(text: str, code: int = 2) -> typer.Exit:
    print(f"dynres: {text}", file=sys.stderr)
    return typer.Exit(code)


def _processor(model: str, numerics: str | None, settings: list[str]) -> dr.Processor:
    """The processor of a family's name, or of a path or hub id."""
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise _fail(f"--set: must be KEY=VALUE, got '{setting}'")
        try:
            options[key.replace("-", "_")] = json.loads(text)
        except ValueError:
            lowered = {"True": True, "False": False, "None": None}
            options[key.replace("-", "_")] = lowered.get(text, text)
    known = {
        name for family, row in dr.families().items() for name in (family, *row.get("aliases", ()))
    }
    try:
        if model in known:
            return dr.Processor(model, numerics=numerics, **options)
        return dr.Processor.from_pretrained(model, numerics=numerics, **options)
    except FileNotFoundError as error:
        names = ", ".join(dr.families())
        raise _fail(f"--model: '{model}' is no family ({names}), and {error}") from None
    except (ValueError, TypeError, OSError) as error:
        raise _fail(str(error)) from None


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


@app.command()
def run(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Image files.")],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A family, a model's folder or json, or a cached hub id."
        ),
    ] = "qwen2-vl",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write: .npz or .safetensors.")
    ] = None,
    numerics: Annotated[
        str | None, typer.Option(help="torchvision, pillow or pillow-<version>.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16, bfloat16 or uint8.")] = None,
    temporal: Annotated[str, typer.Option(help="expand or compact.")] = "expand",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, such as max_pixels=1003520."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads an image; 0 is all cores.")] = 1,
) -> None:
    """Preprocess images, print what became of each, and write the tensors to one file.

    Each image is a request of its own. A file that cannot be read is reported on one line of
    stderr and left out; the exit status is then 1.
    """
    if out is not None and out.suffix not in FORMATS:
        raise _fail(f"--out: must end in {' or '.join(FORMATS)}, got '{out}'")
    processor = _processor(model, numerics, settings or [])
    console = _out()
    batches: list[dict[str, Any]] = []
    names: list[str] = []
    failed = 0
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=len(images) < 2 or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task("images", total=len(images))
        for name in images:
            try:
                ready = prepare(name, processor.policy)
                plan = processor.plan(ready.height, ready.width)
                if out is not None:
                    batches.append(
                        processor(
                            ready.pixels,
                            dtype=dtype,
                            temporal=temporal,  # type: ignore[arg-type]
                            num_threads=threads,
                        )
                    )
            except (OSError, ValueError, TypeError, MemoryError) as error:
                text = str(error).removeprefix(f"{name}: ").removeprefix("image: ")
                print(f"dynres: {name}: {text or type(error).__name__}", file=sys.stderr)
                failed += 1
            else:
                names.append(name)
                console.print(f"{name}: {describe(plan)}", markup=False)
            progress.advance(task)
    if out is not None and batches:
        try:
            written = save(out, batches, names, bfloat16=dtype == "bfloat16")
        except (OSError, ValueError, ImportError) as error:
            raise _fail(f"--out: {error}") from None
        for key, text in written.items():
            console.print(f"{out}: {key} {text}", markup=False)
    if failed:
        print(f"dynres: {failed} of {len(images)} images failed", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def families(
    as_json: Annotated[bool, typer.Option("--json", help="All defaults as JSON.")] = False,
) -> None:
    """List the families with their defaults."""
    table = dr.families()
    console = _out()
    if as_json:
        print(json.dumps(table, indent=2))
        return
    grid = Table(box=None, pad_edge=False)
    for head in ("family", "numerics", "options"):
        grid.add_column(head, overflow="fold")
    skip = {"numerics", "convert", "aliases", "candidate_resolutions", "image_mean", "image_std"}
    for name, row in table.items():
        options = ", ".join(
            f"{key}={value}"
            for key, value in row.items()
            if key not in skip
            and not key.startswith(("do_", "rescale", "max_image", "high_res_image_"))
        )
        grid.add_row(name, str(row["numerics"]), options)
    console.print(grid, soft_wrap=False)


@app.command()
def doctor() -> None:
    """Say what is installed and in use: versions, SIMD, numerics, zero copy, threads."""
    import PIL

    import dynres_rs.numerics as rules

    facts = {
        "dynres_rs": dr.__version__,
        "python": f"{platform.python_version()} on {platform.machine()}",
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "simd": f"{dr.simd()} (of {', '.join(backends())})",
        "numerics": f"'pillow' is '{installed_pillow()}' here; all: {', '.join(rules.RULES)}",
        "zero copy": (
            "Pillow images up to 16 MiB are read in place; enable_zero_copy() for larger ones"
            if zero_copy()
            else "needs Pillow 13; images are read strip by strip"
        ),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "fork": "a forked process (DataLoader's fork, gunicorn --preload) runs serially, whatever"
        " num_threads says; spawned ones do not",
    }
    for module in ("torch", "transformers", "safetensors"):
        facts[module] = _version(module)
    width = max(map(len, facts))
    for name, text in facts.items():
        print(f"{name:<{width}}  {text}")


def _version(module: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        return "not installed"
