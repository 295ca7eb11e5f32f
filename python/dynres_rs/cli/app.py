"""The commands themselves: `run`, `families`, `doctor`."""

from __future__ import annotations

import json
import os
import platform
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import dynres_rs as dr
from dynres_rs import _dynres_rs as native
from dynres_rs import jpeg
from dynres_rs._dynres_rs import backends
from dynres_rs.numerics import installed_pillow
from dynres_rs.zero_copy import zero_copy

from .common import fail
from .plan import plan
from .run import run
from .show import show
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
app.command()(run)
app.command()(plan)
app.command()(show)
app.command()(verify)


def _out() -> Console:
    # Made when needed, so that a redirected stdout is the one in use; wide, so that pipes get
    # whole lines.
    return Console(highlight=False, soft_wrap=True)


@app.command()
def families(
    word: Annotated[
        str, typer.Argument(help="Only rows that have it: in a name, class, model type or option.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="All defaults as JSON.")] = False,
) -> None:
    """List the families with their classes, model types and defaults."""
    names = _names()
    table = {
        name: row
        for name, row in dr.families().items()
        if word.lower() in f"{names[name]} {row['aliases']} {' '.join(row)}".lower()
    }
    if not table:
        raise fail(f"WORD: '{word}' is in no family's row")
    console = _out()
    if as_json:
        print(json.dumps(table, indent=2))
        return
    grid = Table(box=None, pad_edge=False)
    for head in ("family", "class and model types", "numerics", "options"):
        grid.add_column(head, overflow="fold", no_wrap=head == "family")
    skip = {"numerics", "convert", "aliases", "candidate_resolutions", "image_mean", "image_std"}
    for name, row in table.items():
        options = ", ".join(
            f"{key}={value}"
            for key, value in row.items()
            if key not in skip
            and not key.startswith(("do_", "rescale", "max_image", "high_res_image_"))
        )
        grid.add_row(name, names[name].partition(" ")[2], str(row["numerics"]), options)
    console.print(grid, soft_wrap=False)


def _names() -> dict[str, str]:
    """Each family's name with upstream's class and its model types."""
    names = {name: [name] for name in dr.families()}
    for upstream, entries in native.upstream().items():
        for entry in entries:
            if not entry["video"] and entry["family"] in names:
                names[entry["family"]] += [upstream, *entry["model_types"]]
    return {name: " ".join(words) for name, words in names.items()}


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
        "jpeg": jpeg.status(),
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
