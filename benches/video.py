"""64 frames of 1280x720 with Qwen2.5-VL's defaults, against what else is installed.

    python benches/video.py                 every row; a table, and bench-results/video.json
    python benches/video.py --rounds 3      fewer rounds
    python benches/video.py --only stream   the rows with that word

Each row is a process of its own, one after the other, pinned to one core (the row of two threads
to two), so that its peak memory is its own: what it held at most beyond the 177 MB of the video,
or beyond nothing for a stream. A row asserts its answer's digest against its oracle's before it is
timed: transformers' video processor for torchvision's numbers, Pillow frame by frame for Pillow's.
The last column is against 64 times one frame, made as an image into memory that is there already:
medians of processor time, taken in turns, so that neither the machine's other work nor its drift
tells in it.
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
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FRAMES, HEIGHT, WIDTH = 64, 720, 1280
OPTIONS = {"min_pixels": 100_352, "max_pixels": 602_112}

Row = Callable[[], Any]


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


def stream(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Frames as a decoder hands them out: each in memory of its own."""
    for each in frames:
        yield each.copy()


def ours(word: str) -> tuple[Row, Row | None]:
    """A call, and one of a single frame."""
    import dynres_rs as dr

    numerics = "pillow-13" if "pillow" in word else "torchvision"
    processor = dr.VideoProcessor("qwen2.5-vl", numerics=numerics, **OPTIONS)
    still = dr.Processor("qwen2.5-vl", numerics=numerics, **OPTIONS)
    if "stream" in word:
        few = np.stack([frame(number) for number in range(4)])
        known = {"total_num_frames": FRAMES}

        def frames() -> Iterator[np.ndarray]:
            for number in range(FRAMES):
                yield few[number % 4].copy()

        return lambda: processor(frames(), video_metadata=known), None
    given = video()
    if "channels first" in word:
        given = np.ascontiguousarray(given.transpose(0, 3, 1, 2))
    rows = still.plan(HEIGHT, WIDTH).num_patches
    threads = 2 if "2 threads" in word else 1
    half = np.ones((rows, 588), np.float32)
    once = None if threads > 1 else lambda: still(given[0], temporal="compact", out=half)
    if "out=" in word:
        whole = np.ones((FRAMES // 2 * rows, 1176), np.float32)
        return lambda: processor(given, out=whole), once
    return lambda: processor(given, num_threads=threads), once


def by_pillow() -> tuple[Row, Row | None]:
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

    return run, None


def by_transformers() -> tuple[Row, Row | None]:
    import torch
    from transformers import Qwen2VLVideoProcessor

    torch.set_num_threads(1)
    upstream = Qwen2VLVideoProcessor(cap_pixels_per_frame=False)
    given = torch.from_numpy(video()).permute(0, 3, 1, 2).contiguous()
    return lambda: upstream(given, return_tensors="np"), None


OURS = (
    "dynres_rs",
    "dynres_rs, 2 threads",
    "dynres_rs, out=",
    "dynres_rs, channels first",
    "dynres_rs, stream",
    "dynres_rs, pillow's numbers",
)
#: Rows that must have the same digest.
ORACLES = {
    "dynres_rs": "transformers, torchvision",
    "dynres_rs, 2 threads": "dynres_rs",
    "dynres_rs, out=": "dynres_rs",
    "dynres_rs, channels first": "dynres_rs",
    "dynres_rs, pillow's numbers": "Pillow and numpy, frame by frame",
}
OTHERS = {
    "Pillow and numpy, frame by frame": by_pillow,
    "transformers, torchvision": by_transformers,
}


def resident() -> int:
    """Bytes in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(name: str, rounds: int) -> dict[str, Any]:
    """One row, in this process."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[: 2 if "2 threads" in name else 1])
    try:
        run, once = OTHERS[name]() if name in OTHERS else ours(name)
    except ImportError as error:
        return {"missing": str(error)}
    before = resident()
    result = run()["pixel_values_videos"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    digest = hashlib.sha256(np.ascontiguousarray(result)).hexdigest()
    size = result.nbytes
    del result
    times, ratios = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        times.append(1e3 * (time.perf_counter() - wall))
        cpu = time.process_time() - cpu
        if once is not None:
            single = []
            for _ in range(16):
                start = time.process_time()
                once()
                single.append(time.process_time() - start)
            ratios.append(cpu / FRAMES / statistics.median(single))
    held = size if "out=" in name else 0
    return {
        "ms": statistics.median(times),
        "best_ms": min(times),
        "of_frames": statistics.median(ratios) if ratios else None,
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


def main() -> None:
    """All rows and the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.rounds)))
        return
    rows: dict[str, dict[str, Any]] = {}
    for name in (*OURS, *OTHERS):
        if asked.only not in name:
            continue
        words = [sys.executable, __file__, "--measure", name, "--rounds", str(asked.rounds)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        rows[name] = json.loads(done.stdout.splitlines()[-1])
    for name, oracle in ORACLES.items():
        if name in rows and "sha256" in rows.get(oracle, {}):
            same = rows[name]["sha256"] == rows[oracle]["sha256"]
            assert same, f"{name} has other bits than {oracle}"
            rows[name]["equals"] = oracle
    print(", ".join(f"{key} {value}" for key, value in versions().items()))
    print(f"| {FRAMES} frames of {WIDTH}x{HEIGHT} | ms | peak MB | of output | of 64 frames |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        if "missing" in row:
            print(f"| {name} | not installed | | | |")
            continue
        share = "" if row["of_frames"] is None else f"{row['of_frames']:.2f}"
        held = row["peak_mb"] / row["output_mb"]
        print(f"| {name} | {row['ms']:.0f} | {row['peak_mb']:.0f} | {held:.2f} x | {share} |")
    if not asked.only:
        results = ROOT / "bench-results"
        results.mkdir(exist_ok=True)
        text = json.dumps({"versions": versions(), "rows": rows}, indent=2)
        (results / "video.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
