"""JPEG decoding, and files to tensors: this package beside the decoders that people run.

    python benches/jpeg.py                  everything, some minutes
    python benches/jpeg.py --quick          fewer files and rounds
    python benches/jpeg.py --write          the tables of docs/jpeg.md as well
    python benches/jpeg.py --memory         the peak memory of a worker, a process a way

One thread on one core. The ways take turns, round after round, each twice; what counts is the
processor time of the second time, the median of the rounds, and that of the rounds' ratios. Every
answer is compared with Pillow's before it is timed. simplejpeg, torchvision and transformers take
part where they are installed.
"""

from __future__ import annotations

import argparse
import importlib
import io
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import dynres_rs as dr
import numpy as np
from dynres_rs import _dynres_rs as _native
from dynres_rs import jpeg
from peers import version
from PIL import Image, ImageFilter
from whole import cpu

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/jpeg.md"
SIZES: Final = {"12 MP": (3024, 4032), "1080p": (1080, 1920), "VGA": (480, 640)}
SUBSAMPLING: Final = {"4:2:0": 2, "4:2:2": 1, "4:4:4": 0}
MAX_PIXELS: Final = 1_003_520
LIMIT: Final = 1 << 31


class File(NamedTuple):
    """A file to decode."""

    name: str
    data: bytes
    height: int
    width: int

    @property
    def density(self) -> float:
        """Bytes a pixel."""
        return len(self.data) / (self.height * self.width)


def picture(height: int, width: int) -> Image.Image:
    """A photograph at this size: enlarged, sharpened, with noise as demosaicing leaves it.

    White noise would be what no camera writes: neighbours of a camera's pixel have part of its
    noise.
    """
    photo = Image.open(ROOT / "examples/images/rocket.jpg").convert("YCbCr")
    scale = min(photo.width / width, photo.height / height)
    box = (0, 0, width * scale, height * scale)
    planes = []
    rng = np.random.default_rng(height)
    for plane, sigma in zip(photo.split(), (3.6, 2.0, 2.0), strict=True):
        large = plane.resize((width, height), Image.Resampling.LANCZOS, box=box)
        large = large.filter(ImageFilter.UnsharpMask(2, 90, 0))
        white = rng.normal(0, sigma * 2, (height + 1, width + 1)).astype(np.float32)
        noise = (white[1:, 1:] + white[:-1, 1:] + white[1:, :-1] + white[:-1, :-1]) / 2
        pixels = np.asarray(large, np.float32) + noise / 2
        planes.append(Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)))
    return Image.merge("YCbCr", planes).convert("RGB")


def encoded(name: str, image: Image.Image, **save: Any) -> File:
    """The image as a JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", **save)
    return File(name, stream.getvalue(), image.height, image.width)


def baseline(quick: bool) -> list[File]:
    """Every size, subsampling and quality."""
    made = []
    for size, (height, width) in SIZES.items():
        image = picture(height, width)
        for kind, number in SUBSAMPLING.items():
            for quality in (85,) if quick else (75, 85, 95):
                name = f"{size} {kind} q{quality}"
                made.append(encoded(name, image, quality=quality, subsampling=number))
    return made


def progressive(quick: bool) -> list[File]:
    """Progressive files, by libjpeg's own script."""
    made = []
    for size in ("12 MP",) if quick else ("12 MP", "1080p"):
        image = picture(*SIZES[size])
        for quality in (85,) if quick else (75, 85, 95):
            name = f"{size} 4:2:0 q{quality} progressive"
            made.append(encoded(name, image, quality=quality, subsampling=2, progressive=True))
    return made


# The ways

Way = Callable[[], object]


def decoders(file: File, room: np.ndarray) -> dict[str, Way]:
    """Ways from the bytes to pixels, the first ours; each but Pillow's into memory that is kept."""
    data, height, width = file.data, file.height, file.width
    pixels = room[: height * width * 3].reshape(height, width, 3)
    want = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def ours() -> bool:
        return bool(_native.jpeg_decode(data, pixels))

    def pillow() -> Image.Image:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image

    pixels[:] = 0
    assert ours() and np.array_equal(pixels, want), file.name
    ways: dict[str, Way] = {"dynres_rs": ours, "Pillow": pillow}
    if simplejpeg is not None:

        def other() -> object:
            return simplejpeg.decode_jpeg(data, "RGB", buffer=pixels)

        pixels[:] = 0
        other()
        assert np.array_equal(pixels, want), file.name
        ways["simplejpeg"] = other
    if version("torchvision"):
        torch, io_ = importlib.import_module("torch"), importlib.import_module("torchvision.io")
        held = torch.frombuffer(bytearray(data), dtype=torch.uint8)

        def torchvision() -> object:
            return io_.decode_jpeg(held, mode=io_.ImageReadMode.RGB)

        # Its own libjpeg; whether that gives Pillow's pixels is for its maker to say.
        got = torchvision().permute(1, 2, 0).numpy()  # type: ignore[attr-defined]
        name = "torchvision" if np.array_equal(got, want) else "torchvision, other pixels"
        ways[name] = torchvision
    return ways


def tensors(path: str) -> dict[str, Way]:
    """Ways from a file to Qwen2-VL's tensors, the first ours."""
    own, pillow = (
        dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS, jpeg=name) for name in ("own", "pillow")
    )
    want = pillow(path)
    ways: dict[str, Way] = {
        "dynres_rs": lambda: own(path),
        "dynres_rs, Pillow decodes": lambda: pillow(path),
    }
    if simplejpeg is not None:
        room = np.zeros(40 << 20, np.uint8)

        def before() -> object:
            # What this package did before it had a decoder: Pillow opens, simplejpeg decodes.
            image = Image.open(path)
            shape = (image.height, image.width, 3)
            image.close()
            pixels = room[: math.prod(shape)].reshape(shape)
            simplejpeg.decode_jpeg(Path(path).read_bytes(), "RGB", buffer=pixels)
            return own(pixels)

        ways["dynres_rs, simplejpeg decodes"] = before
    if version("transformers") and version("torchvision"):
        transformers = importlib.import_module("transformers")
        theirs = transformers.Qwen2VLImageProcessor(max_pixels=MAX_PIXELS, min_pixels=3136)
        # Upstream reads the size from `size` alone.
        theirs.size = {"shortest_edge": 3136, "longest_edge": MAX_PIXELS}
        ways["transformers"] = lambda: theirs(Image.open(path), return_tensors="pt")
    for name, way in ways.items():
        got: Any = way()
        assert np.array_equal(np.asarray(got["pixel_values"]), want["pixel_values"]), name
    return ways


# Timing


class Timed(NamedTuple):
    """Medians of the rounds."""

    seconds: dict[str, float]
    ratios: dict[str, float]
    """How many times as long as the first way."""


def timed(ways: dict[str, Way], rounds: int) -> Timed:
    """Each way twice a round, in an order that turns; the second time counts.

    Otherwise a way would pay for what the one before it left in the caches, always the same one: a
    worker does one thing again and again.
    """
    names = list(ways)
    times: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(rounds + 1):
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
            ways[name]()
            began = time.thread_time()
            ways[name]()
            ended = time.thread_time()
            if round_:
                times[name].append(ended - began)
    first = times[names[0]]
    ratios = {
        name: statistics.median([b / a for a, b in zip(first, times[name], strict=True)])
        for name in names
    }
    return Timed({name: statistics.median(times[name]) for name in names}, ratios)


def rounds_of(pixels: int, quick: bool) -> int:
    """So many that small images, too, are timed for long enough."""
    many = 11 if pixels > 10**7 else 25 if pixels > 10**6 else 75
    return max(5, many // 3) if quick else many


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def table(title: str, files: list[File], quick: bool) -> str:
    """A row a file: nanoseconds a pixel, and ratios to ours."""
    room = np.zeros(max(f.height * f.width for f in files) * 3, np.uint8)
    results = []
    for file in files:
        found = timed(decoders(file, room), rounds_of(file.height * file.width, quick))
        results.append((file, found))
        print(f"{file.name}: {found.ratios}", file=sys.stderr, flush=True)
    names = list(results[0][1].seconds)
    others = names[1:]
    lines = [
        f"| {title} | bytes a pixel | {' | '.join(f'{name}, ns/px' for name in names)} |"
        f" {' | '.join(f'{name} / ours' for name in others)} |",
        f"|---|{'---:|' * (1 + len(names) + len(others))}",
    ]
    for file, found in results:
        each = 1e9 / (file.height * file.width)
        cells = [f"{file.density:.2f}", *(f"{found.seconds[n] * each:.2f}" for n in names)]
        cells += [f"{found.ratios[n]:.2f}" for n in others]
        lines.append(f"| {file.name} | {' | '.join(cells)} |")
    means = [mean([found.ratios[n] for _, found in results]) for n in others]
    least = [min(found.ratios[n] for _, found in results) for n in others]
    blank = "| " * len(names)
    lines.append(f"| geometric mean | {blank}| {' | '.join(f'{m:.2f}' for m in means)} |")
    lines.append(f"| least | {blank}| {' | '.join(f'{m:.2f}' for m in least)} |")
    return "\n".join(lines)


def whole_table(quick: bool) -> str:
    """Files to Qwen2-VL tensors."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            file = encoded(size, picture(*SIZES[size]), quality=90, subsampling=2)
            path = Path(folder) / "image.jpg"
            path.write_bytes(file.data)
            found = timed(tensors(str(path)), rounds_of(file.height * file.width, quick))
            names = list(found.seconds)
            print(f"tensors {size}: {found.ratios}", file=sys.stderr, flush=True)
            if not lines:
                lines.append(
                    f"| file to Qwen2-VL tensors | {' | '.join(f'{n}, ms' for n in names)} |"
                    f" {' | '.join(f'{n} / ours' for n in names[1:])} |"
                )
                lines.append(f"|---|{'---:|' * (2 * len(names) - 1)}")
            cells = [f"{found.seconds[n] * 1e3:.2f}" for n in names]
            cells += [f"{found.ratios[n]:.2f}" for n in names[1:]]
            lines.append(f"| {size} 4:2:0 q90 | {' | '.join(cells)} |")
    return "\n".join(lines)


# Memory


def memory_of(way: str, path: str) -> None:
    """In a process of its own: prints the peak of memory in MiB, without and with the work."""
    own, pillow = (
        dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS, jpeg=name) for name in ("own", "pillow")
    )
    small = io.BytesIO()
    Image.new("RGB", (64, 64)).save(small, "JPEG")
    for processor in (own, pillow):
        processor(small.getvalue())
    if way == "simplejpeg":
        simplejpeg.decode_jpeg(small.getvalue(), "RGB")
    before = peak()
    for _ in range(3):
        if way == "simplejpeg":
            own(simplejpeg.decode_jpeg(Path(path).read_bytes(), "RGB"))
        else:
            (own if way == "own" else pillow)(path)
    print(f"{before:.0f} {peak():.0f}")


def peak() -> float:
    """MiB that this program has had at most. `ru_maxrss` would count those of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory_table() -> str:
    """The peak memory of a process that makes tensors of 12 MP files."""
    lines = [
        "| a worker's peak memory, 12 MP | file | before the first, MiB | at most, MiB | more |",
        "|---|---|---:|---:|---:|",
    ]
    image = picture(*SIZES["12 MP"])
    ways = {"own": "dynres_rs", "pillow": "dynres_rs, Pillow decodes"}
    if simplejpeg is not None:
        ways["simplejpeg"] = "dynres_rs, simplejpeg decodes"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.jpg"
        for kind, save in {"baseline": {}, "progressive": {"progressive": True}}.items():
            path.write_bytes(encoded(kind, image, quality=90, subsampling=2, **save).data)
            for way, name in ways.items():
                command = [sys.executable, __file__, "--memory-of", way, str(path)]
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                before, after = (int(number) for number in said.split())
                lines.append(f"| {name} | {kind} | {before} | {after} | {after - before} |")
    return "\n".join(lines)


# The page


def head(quick: bool) -> str:
    """The machine and the versions."""
    packages = ["pillow", "simplejpeg", "torchvision", "transformers", "numpy"]
    versions = ", ".join(f"{name} {version(name)}" for name in packages if version(name))
    return (
        f"{cpu()}, one core, Python {platform.python_version()}, {versions}; dynres_rs"
        f" {dr.__version__} with the `{dr.simd()}` backend; {time.strftime('%Y-%m-%d')}"
        f"{', quick run' if quick else ''}. Processor time of the thread, medians of interleaved"
        " rounds."
    )


def main() -> None:
    """The tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="write docs/jpeg.md's tables")
    parser.add_argument("--memory", action="store_true", help="only the table of memory")
    parser.add_argument("--memory-of", nargs=2, metavar=("WAY", "PATH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    if given.memory_of:
        memory_of(*given.memory_of)
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if version("torch"):
        importlib.import_module("torch").set_num_threads(1)
    differs = jpeg.disagreement()
    assert differs is None, f"the core and Pillow decode {differs} differently here"
    parts = [head(given.quick)]
    if not given.memory:
        parts.append(table("decode into memory", baseline(given.quick), given.quick))
        parts.append(table("progressive", progressive(given.quick), given.quick))
        parts.append(whole_table(given.quick))
    parts.append(memory_table())
    text = "\n\n".join(parts)
    print(text)
    if given.write:
        page = PAGE.read_text()
        name = f"bench {dr.simd()}"
        start, end = f"<!-- {name} -->", f"<!-- {name} end -->"
        before, rest = page.split(start, 1)
        PAGE.write_text(before + start + "\n" + text + "\n" + end + rest.split(end, 1)[1])


if __name__ == "__main__":
    main()
