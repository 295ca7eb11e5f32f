"""The command `dynres run`: images to tensors, in one file or in many."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import dynres_rs as dr
from dynres_rs.arguments import _dtype
from dynres_rs.images import prepare
from dynres_rs.video.file import is_video_name

from .common import as_line, describe, fail, make_processor, progress, why
from .save import FORMATS, save
from .shards import KINDS, Job, failures, find_images, make_shards, start

__all__ = ["run"]


def run(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Image files, or folders of them; or video files."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A family, a model's folder or json, or a cached hub id."
        ),
    ] = "qwen2-vl",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Where to write: .npz or .safetensors; a folder of shards."
        ),
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
    shard_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images a shard: --out is a folder, and a killed run goes on."),
    ] = None,
    kind: Annotated[
        str, typer.Option("--format", help="Of the shards: safetensors, or tar (a WebDataset).")
    ] = "safetensors",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that make shards; 0 is one a core.")
    ] = 0,
) -> None:
    """Preprocess images or videos, and write the tensors to one file, or of images to shards.

    Each image is a request of its own. A file that cannot be read is reported on one line of
    stderr and left out; the exit status is then 1.
    """
    if any(is_video_name(name) for name in images):
        if not all(is_video_name(name) for name in images):
            raise fail("give images or videos, not both")
        if shard_size is not None:
            raise fail("--shard-size: is for images, not for videos")
        from .video import run_videos

        run_videos(images, model, out, numerics, dtype, settings or [], threads)
        return
    processor = make_processor(model, numerics, settings or [])
    files = find_images(images)
    if not files:
        raise fail("no images in what was given")
    if shard_size is not None:
        _run_shards(processor, files, out, dtype, temporal, shard_size, kind, workers)
        return
    if out is not None and out.suffix not in FORMATS:
        raise fail(f"--out: must end in {' or '.join(FORMATS)}, got '{out}'")
    console = Console(highlight=False, soft_wrap=True)
    batches: list[dict[str, Any]] = []
    names: list[str] = []
    failed = 0
    with progress("images", len(files)) as advance:
        for name in files:
            try:
                ready = prepare(name, processor.policy)
                plan = processor._plan_ready(ready)
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
                print(f"dynres: {as_line(name)}: {why(error, name)}", file=sys.stderr)
                failed += 1
            else:
                names.append(name)
                console.print(f"{as_line(name)}: {describe(plan)}", markup=False)
            advance(1)
    if out is not None and batches:
        try:
            written = save(out, batches, names, bfloat16=dtype == "bfloat16")
        except (OSError, ValueError, ImportError) as error:
            raise fail(f"--out: {error}") from None
        for key, text in written.items():
            console.print(f"{as_line(out)}: {key} {text}", markup=False)
    if failed:
        raise fail(f"{failed} of {len(files)} images failed", 1)


def _run_shards(
    processor: dr.Processor,
    files: Sequence[str],
    out: Path | None,
    dtype: str | None,
    temporal: str,
    shard_size: int,
    kind: str,
    workers: int,
) -> None:
    if out is None:
        raise fail("--out: must be a folder with --shard-size")
    if kind not in KINDS:
        raise fail(f"--format: must be one of {', '.join(KINDS)}; got '{kind}'")
    if temporal not in ("expand", "compact"):
        raise fail(f"--temporal: must be one of expand, compact; got '{temporal}'")
    try:
        name = None if dtype is None else _dtype(dtype)
        job = Job(processor, name, temporal, kind, out)  # type: ignore[arg-type]
        missing = start(job, files, shard_size)
        count = -(-len(files) // shard_size)
        with progress("images", len(files)) as advance:
            left = sum(len(files[n * shard_size : (n + 1) * shard_size]) for n in missing)
            advance(len(files) - left)
            made = make_shards(job, files, shard_size, missing, workers or _cores())
            with contextlib.closing(made):
                for done in made:
                    advance(done)
        failed = failures(job, count)
    except ChildProcessError as error:
        raise fail(f"{error}; the same command goes on from here") from None
    except (OSError, ValueError) as error:
        raise fail(f"--out: {error}") from None
    except KeyboardInterrupt:
        raise fail("interrupted; the same command goes on from here", 130) from None
    for one in failed:
        print(f"dynres: {as_line(one['image'])}: {as_line(one['text'])}", file=sys.stderr)
    kept = count - len(missing)
    images = len(files) - len(failed)
    print(f"{as_line(out)}: {images} images in {count} shards, {kept} of them from before")
    if failed:
        raise fail(f"{len(failed)} of {len(files)} images failed", 1)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
