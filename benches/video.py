"""64 frames of 1280x720 with Qwen2.5-VL's defaults, against what else is installed.

    python benches/video.py                 every row; bench-results/video.json, docs/video.md
    python benches/video.py --rounds 3      fewer rounds; printed, not written
    python benches/video.py --only stream   the rows with that word; printed, not written

Each row is a process of its own, one after the other, pinned to one core (the row of two threads
to two), so that its peak memory is its own: what it held at most beyond the 177 MB of the video,
or beyond the sixteen frames that a stream's are copied from. A row asserts its answer's digest
before it is timed: torchvision's numbers against what transformers' video processor returned for
this video when it was recorded here (its own row is held against that too), Pillow's against
Pillow frame by frame.

Two columns are against 64 calls of one frame, made as images, in processor time and in turns, so
that neither the machine's other work nor its drift tells in them. `like for like` gives both the
same memory: a row that makes its output against 64 calls into the places of one new array, `out=`
against 64 calls into the places of that array. Before a new array is made, as much memory is
touched and freed, for a virtual machine may have given free pages back to its host. `plain` is
against 64 times one frame into memory that stays in the cache, whatever the row itself writes to.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/video.md"
FRAMES, HEIGHT, WIDTH = 64, 720, 1280
OPTIONS = {"min_pixels": 100_352, "max_pixels": 602_112}

#: Of the bytes that transformers 5.24's `Qwen2VLVideoProcessor` returns (torchvision 0.29).
RECORDED = "f69dfb53675167357f63252d6171e358efc40c9b7badc3377be238556173abd4"


class Row(NamedTuple):
    """What is timed, and what it is held against."""

    run: Callable[[], Any]
    """The whole video."""
    frames: Callable[[], Any] | None = None
    """64 calls of one frame into memory like that of `run`."""
    frame: Callable[[], Any] | None = None
    """One frame into memory that is there already."""


def frame(number: int) -> np.ndarray:
    """A gradient with a moving texture, the same everywhere."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.int64)
    c = np.arange(3)[:, None, None]
    values = (x * (3 + c) + y * 5 + x * y // 17 + 29 * number) // 4
    return np.ascontiguousarray(np.abs(values % 510 - 255).astype(np.uint8).transpose(1, 2, 0))


def video() -> np.ndarray:
    """(64, 720, 1280, 3): sixteen different frames, four times."""
    once = np.stack([frame(number) for number in range(16)])
    return np.concatenate([once] * (FRAMES // 16))


def ours(word: str) -> Row:
    """A call of ours, and the calls of single frames."""
    import dynres_rs as dr

    numerics = "pillow-13" if "pillow" in word else "torchvision"
    processor = dr.VideoProcessor("qwen2.5-vl", numerics=numerics, **OPTIONS)
    still = dr.Processor("qwen2.5-vl", numerics=numerics, **OPTIONS)
    rows = still.plan(HEIGHT, WIDTH).num_patches
    known = {"total_num_frames": FRAMES}
    if "stream" in word:
        few = [frame(number) for number in range(16)]

        def handed_out() -> Iterator[np.ndarray]:
            """Frames as a decoder hands them out: each in memory of its own."""
            for number in range(FRAMES):
                yield few[number % 16].copy()

        if "unknown" in word:
            return Row(lambda: processor(handed_out()))
        return Row(lambda: processor(handed_out(), video_metadata=known))
    given = video()
    if "channels first" in word:
        given = np.ascontiguousarray(given.transpose(0, 3, 1, 2))
    threads = 2 if "2 threads" in word else 1

    def singles(out: np.ndarray) -> None:
        for each, place in zip(given, out.reshape(FRAMES, rows, 588), strict=True):
            still(each, temporal="compact", out=place)

    shape = (FRAMES // 2 * rows, 1176)
    half = np.ones((rows, 588), np.float32)

    def once() -> None:
        still(given[0], temporal="compact", out=half)

    if "out=" in word:
        whole = np.ones(shape, np.float32)
        return Row(lambda: processor(given, out=whole), lambda: singles(whole), once)
    if threads > 1:
        return Row(lambda: processor(given, num_threads=threads))
    return Row(lambda: processor(given), lambda: singles(np.empty(shape, np.float32)), once)


def by_pillow() -> Row:
    """The rule frame by frame with Pillow and numpy, as transformers' PIL backend treats images."""
    import dynres_rs as dr
    from PIL import Image

    given = video()
    size = dr.smart_resize(HEIGHT, WIDTH, 28, **OPTIONS)
    options = dr.VideoProcessor("qwen2.5-vl").options
    mean, std = (np.array(options[f"image_{key}"], np.float32) for key in ("mean", "std"))
    rows, columns = size[0] // 28, size[1] // 28

    def run() -> dict[str, np.ndarray]:
        done = []
        for each in given:
            image = Image.fromarray(each).resize(size[::-1], Image.Resampling.BICUBIC)
            values = (np.asarray(image).astype(np.float64) * (1 / 255)).astype(np.float32)
            done.append((values - mean) / std)
        blocks = np.stack(done).reshape(FRAMES // 2, 2, rows, 2, 14, columns, 2, 14, 3)
        patches = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, 1176)
        return {"pixel_values_videos": patches}

    return Row(run)


def by_transformers() -> Row:
    import torch
    from transformers import Qwen2VLVideoProcessor

    torch.set_num_threads(1)
    upstream = Qwen2VLVideoProcessor(cap_pixels_per_frame=False, do_sample_frames=False)
    given = torch.from_numpy(video()).permute(0, 3, 1, 2).contiguous()
    return Row(lambda: upstream(given, return_tensors="np"))


OTHERS = {
    "transformers, torchvision": by_transformers,
    "Pillow and numpy, frame by frame": by_pillow,
}
OURS = (
    "dynres_rs",
    "dynres_rs, 2 threads",
    "dynres_rs, out=",
    "dynres_rs, channels first",
    "dynres_rs, stream",
    "dynres_rs, stream of unknown length",
    "dynres_rs, pillow's numbers",
)


def resident() -> int:
    """Bytes in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(name: str, rounds: int, expected: str) -> dict[str, Any]:
    """One row, in this process; `expected` is the digest of its answer, or nothing."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[: 2 if "2 threads" in name else 1])
    try:
        row = OTHERS[name]() if name in OTHERS else ours(name)
    except ImportError as error:
        return {"missing": str(error)}
    before = resident()
    result = row.run()["pixel_values_videos"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    digest = hashlib.sha256(np.ascontiguousarray(result)).hexdigest()
    assert expected in ("", digest), f"{name} has other bits than its oracle: {digest}"
    shape, size = result.shape, result.nbytes
    del result

    def cost(run: Callable[[], Any]) -> tuple[float, float]:
        """Wall and processor time in milliseconds."""
        if "out=" not in name:
            np.empty(shape, np.float32).fill(1)
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)

    times, alike, plain = [], [], []
    for _ in range(rounds):
        wall, cpu = cost(row.run)
        times.append(wall)
        if row.frames is not None:
            alike.append(cpu / cost(row.frames)[1])
        if row.frame is not None:
            single = []
            for _ in range(16):
                start = time.process_time()
                row.frame()
                single.append(1e3 * (time.process_time() - start))
            plain.append(cpu / FRAMES / statistics.median(single))
    held = size if "out=" in name else 0
    return {
        "ms": statistics.median(times),
        "best_ms": min(times),
        "like_for_like": statistics.median(alike) if alike else None,
        "plain": statistics.median(plain) if plain else None,
        "peak_mb": (peak - before + held) / 1e6,
        "output_mb": size / 1e6,
        "sha256": digest,
    }


def versions() -> dict[str, str]:
    """What ran where."""
    from importlib import metadata

    import dynres_rs as dr

    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    found = {"cpu": cpu, "simd": dr.simd(), "dynres_rs": dr.__version__}
    for name in ("numpy", "pillow", "torch", "torchvision", "transformers"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def table(rows: dict[str, dict[str, Any]]) -> str:
    """All rows in Markdown, fastest first, below what ran where."""
    lines = [
        ", ".join(f"{key} {value}" for key, value in versions().items()) + ".",
        "",
        f"| {FRAMES} frames of {WIDTH}x{HEIGHT} | ms | peak MB | of output"
        " | of 64 frames, like for like | plain |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, row in sorted(rows.items(), key=lambda item: item[1].get("ms", 1e9)):
        if "missing" in row:
            lines.append(f"| {name} | not installed | | | | |")
            continue
        shares = [row["peak_mb"] / row["output_mb"], row["like_for_like"], row["plain"]]
        told = " | ".join("" if share is None else f"{share:.2f} x" for share in shares)
        lines.append(f"| {name} | {row['ms']:.0f} | {row['peak_mb']:.0f} | {told} |")
    return "\n".join(lines)


def write(rows: dict[str, dict[str, Any]]) -> None:
    """The numbers as JSON, the table between the page's markers."""
    results = ROOT / "bench-results"
    results.mkdir(exist_ok=True)
    text = json.dumps({"versions": versions(), "rows": rows}, indent=2)
    (results / "video.json").write_text(text, encoding="utf-8")
    begin, end = "<!-- bench -->", "<!-- bench end -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(begin, 1)
    text = f"{before}{begin}\n{table(rows)}\n{end}{rest.split(end, 1)[1]}"
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """All rows and the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--expected", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    rounds = asked.rounds or 7
    if asked.measure:
        print(json.dumps(measure(asked.measure, rounds, asked.expected)))
        return
    rows: dict[str, dict[str, Any]] = {}
    pillow_digest = ""
    for name in (*OTHERS, *OURS):
        needed = name in OTHERS and "pillow" in asked.only and "Pillow" in name
        if asked.only not in name and not needed:
            continue
        pillow = "pillow" in name.lower()
        expected = pillow_digest if pillow else RECORDED
        words = ["--measure", name, "--rounds", str(rounds), "--expected", expected]
        command = [sys.executable, __file__, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        rows[name] = json.loads(done.stdout.splitlines()[-1])
        if pillow and name in OTHERS:
            pillow_digest = rows[name]["sha256"]
    print(table(rows))
    if not asked.only and asked.rounds is None:
        write(rows)


if __name__ == "__main__":
    main()
