"""Videos in the commands `dynres run` and `dynres show`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import dynres_rs as dr
from dynres_rs.draw.videos import contact_sheet
from dynres_rs.video import Taken

from .common import as_line, fail, make_processor, progress, why
from .save import FORMATS, save

__all__ = ["describe_video", "run_videos", "show_video"]

#: Options that say which frames: one that is set is acted on.
_SAMPLED_BY = frozenset({"fps", "num_frames", "sampling", "video_start", "video_end"})
_ERRORS = (OSError, ValueError, TypeError, MemoryError, ImportError)


def describe_video(taken: Taken) -> str:
    """Length, frames taken, sizes and tokens of one video, on one line."""
    plan, metadata = taken.plan, taken.metadata
    height, width = plan.source
    rows, columns = plan.grid
    groups = plan.num_patches // (rows * columns)
    stacked = "" if len(taken.plans) == 1 else f" as {len(taken.plans)} frames and canvases"
    tokens = sum(each.num_tokens for each in taken.plans)
    rate = "" if metadata.fps is None else f" at {metadata.fps:.5g} a second"
    sizes = f"{height}x{width} -> {plan.resized[0]}x{plan.resized[1]}"
    return (
        f"{metadata.total_num_frames} frames{rate}, {len(metadata.frames_indices or ())} taken"
        f"{stacked}, {sizes}, grid {groups}x{rows}x{columns}, {tokens} tokens"
    )


def _videos(
    model: str, numerics: str | None, settings: list[str]
) -> tuple[dr.VideoProcessor, dict[str, Any]]:
    """The processor, and the options of each call: a rate or number that is set is acted on."""
    try:
        processor = make_processor(model, numerics, settings, video=True).video
    except ValueError as error:
        raise fail(str(error)) from None
    named = {setting.partition("=")[0].replace("-", "_") for setting in settings}
    sampled = bool(named & _SAMPLED_BY) and "do_sample_frames" not in named
    return processor, {"do_sample_frames": True} if sampled else {}


def run_videos(
    names: Sequence[str],
    model: str,
    out: Path | None,
    numerics: str | None,
    dtype: str | None,
    settings: list[str],
    threads: int,
) -> None:
    """`dynres run` with videos: a line for each, and one file of tensors."""
    if out is not None and out.suffix not in FORMATS:
        raise fail(f"--out: must end in {' or '.join(FORMATS)}, got '{out}'")
    processor, options = _videos(model, numerics, settings)
    console = Console(highlight=False, soft_wrap=True)
    batches: list[dict[str, Any]] = []
    done: list[str] = []
    failed = 0
    with progress("videos", len(names)) as advance:
        for name in names:
            try:
                taken = processor.take(name, **options)
                if out is not None:
                    batch = processor(name, dtype=dtype, num_threads=threads, **options)
                    batches.append(batch)
            except _ERRORS as error:
                print(f"dynres: {as_line(name)}: {why(error, name)}", file=sys.stderr)
                failed += 1
            else:
                done.append(name)
                console.print(f"{as_line(name)}: {describe_video(taken)}", markup=False)
            advance(1)
    if out is not None and batches:
        try:
            written = save(out, batches, done, bfloat16=dtype == "bfloat16")
        except (OSError, ValueError, ImportError) as error:
            raise fail(f"--out: {error}") from None
        for key, text in written.items():
            console.print(f"{as_line(out)}: {key} {text}", markup=False)
    if failed:
        raise fail(f"{failed} of {len(names)} videos failed", 1)


def show_video(
    name: str, model: str, target: Path, settings: list[str], width: int, tokens: bool
) -> None:
    """`dynres show` of a video: its contact sheet."""
    processor, options = _videos(model, None, settings)
    try:
        taken = processor.take(name, **options)
        picture = contact_sheet(taken, width=width, tokens=tokens)
    except _ERRORS as error:
        raise fail(str(error), 1) from None
    try:
        picture.save(target)
    except OSError as error:
        raise fail(f"--out: cannot write '{target}': {error.strerror or error}", 1) from None
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{taken.plan.family}: {describe_video(taken)}", markup=False)
    console.print(as_line(target), markup=False)
