"""JPEG files to batches in the trainer's process: the trainers' own rules, stock and patched.

    python benches/end_to_end.py            everything, ten minutes; writes docs/performance-e2e.md
    python benches/end_to_end.py --quick    in two minutes, a part of it; prints, writes nothing
    python benches/end_to_end.py --only "+ transformers"    rows with that in their names, through
                                            a worker; prints, writes nothing

Whatever stands in for a stock row must agree with it, bit for bit, before it is timed. Rows take
turns, round after round, and medians are reported. torch, torchvision, transformers and
qwen-vl-utils are taken where they are installed; without torch, batches travel as pickled arrays.
LLaMA-Factory's rule is restated below, and qwen-vl-utils' where the package is absent.
"""

from __future__ import annotations

import argparse
import importlib
import io
import itertools
import json
import math
import multiprocessing
import os
import platform
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import dynres_rs as dr
import dynres_rs.llamafactory
import dynres_rs.qwen_vl_utils
import numpy as np
from dynres_rs import _dynres_rs as _native
from peers import version
from PIL import Image
from whole import cpu, photograph

from jpeg import simplejpeg

if version("torch"):
    from dynres_rs.torch import SharedRing
else:
    from dynres_rs.ring import SharedRing  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance-e2e.md"
MAX_PIXELS = 1_003_520
BUDGET = {"min_pixels": 3136, "max_pixels": MAX_PIXELS}
FACTORY_PIXELS = 768 * 768
COCO = [(640, 480)] * 6 + [(480, 640)] * 3 + [(640, 427)] * 4 + [(500, 375)] * 2 + [(612, 612)]
MIXES = {"COCO-like": COCO, "1080p": [(1920, 1080)] * 4, "12 MP": [(4032, 3024)] * 2}
SECONDS = 0.8
SLOTS = 10
"""Of a ring: two workers, a sample being made and two ready in each; and what is read."""

Sample = dict[str, Any]


class Row(NamedTuple):
    """A way from a file, or from an image in memory, to a sample."""

    name: str
    run: Callable[[Any], Sample]
    stock: str | None
    """The row that it stands in for, whose bits it must have; None for a stock row."""


def files(folder: Path, mixes: Iterable[str]) -> dict[str, list[str]]:
    """JPEGs as cameras and the web have them: quality 90, 4:2:0."""
    made: dict[str, list[str]] = {}
    for mix in mixes:
        for index, (width, height) in enumerate(MIXES[mix]):
            path = folder / f"{mix} {index}.jpg"
            photograph(width, height).save(path, quality=90, subsampling=2)
            made.setdefault(mix, []).append(str(path))
    return made


# What people run


def fetchers() -> tuple[Callable[[Sample], Any], Callable[[Sample], Any]]:
    """`fetch_image` of qwen-vl-utils, and what `patch()` makes of it."""
    ours = dynres_rs.qwen_vl_utils
    if not version("torchvision") or not version("qwen-vl-utils"):
        return fetch_image, ours.fetch_image
    module = importlib.import_module("qwen_vl_utils.vision_process")
    stock = module.fetch_image
    ours.patch()
    patched = module.fetch_image
    ours.unpatch()
    return stock, patched


def fetch_image(ele: Sample) -> Image.Image:
    """qwen-vl-utils 0.0.14: `to_rgb(Image.open(path))`, its smart_resize, Pillow's resize."""
    image = Image.open(ele["image"]).convert("RGB")
    height, width = dynres_rs.qwen_vl_utils.smart_resize(
        image.height, image.width, 28, ele["min_pixels"], ele["max_pixels"]
    )
    return image.resize((width, height))


def preprocess_image(path: str) -> Image.Image:
    """LLaMA-Factory 0.9.5, for Qwen2-VL: into a budget, sides rounded down."""
    image = Image.open(path)
    if image.width * image.height > FACTORY_PIXELS:
        factor = math.sqrt(FACTORY_PIXELS / (image.width * image.height))
        image = image.resize((int(image.width * factor), int(image.height * factor)))
    return image.convert("RGB")


def rows() -> list[Row]:
    """All rows, a stock one before those that stand in for it."""
    ours = dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS)
    tensors = "pt" if version("torch") else "np"
    made: list[Row] = []
    if version("transformers"):
        made += upstream_rows()
    stock = made[0].name if made else None
    made += [
        Row("dynres_rs float32", lambda path: ours(path, return_tensors=tensors), stock),
        Row(
            "dynres_rs bfloat16",
            lambda path: ours(path, return_tensors=tensors, dtype="bfloat16"),
            None,
        ),
        Row(
            "dynres_rs uint8 compact",
            lambda path: ours(path, return_tensors=tensors, dtype="uint8", temporal="compact"),
            None,
        ),
    ]
    return made


def upstream_rows() -> list[Row]:
    import dynres_rs.transformers
    from transformers import AutoImageProcessor

    tensors = "pt" if version("torch") else "np"
    size = {"shortest_edge": 3136, "longest_edge": MAX_PIXELS}
    config = {"image_processor_type": "Qwen2VLImageProcessor", "size": size}
    made: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "preprocessor_config.json"
        card.write_text(json.dumps({**config, "model_type": "qwen2_vl"}))
        (Path(folder) / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
        backends = ["torchvision", "pil"] if version("torchvision") else ["pil"]
        for backend in backends:
            numerics = "torchvision" if backend == "torchvision" else "pillow"
            theirs = AutoImageProcessor.from_pretrained(folder, backend=backend)
            ours = AutoImageProcessor.from_pretrained(folder, backend="dynres", numerics=numerics)

            def plain(path: str, p: Any = theirs) -> Sample:
                return dict(p(Image.open(path), return_tensors=tensors))

            def patched(path: str, p: Any = ours) -> Sample:
                return dict(p(Image.open(path), return_tensors=tensors))

            name = f"transformers, {backend}"
            made += [Row(name, plain, None), Row(f"{name}, patched", patched, name)]
            if backend != backends[0]:
                continue

            def converted(path: str, p: Any = theirs) -> Sample:
                return dict(p(Image.open(path).convert("RGB"), return_tensors=tensors))

            def converted_patched(path: str, p: Any = ours) -> Sample:
                return dict(p(Image.open(path).convert("RGB"), return_tensors=tensors))

            stock_fetch, patched_fetch = fetchers()

            def utils(path: str, p: Any = theirs, fetch: Any = stock_fetch) -> Sample:
                image = fetch({"image": path, **BUDGET})
                return dict(p(image, return_tensors=tensors, do_resize=False))

            def utils_patched(path: str, p: Any = ours, fetch: Any = patched_fetch) -> Sample:
                image = fetch({"image": path, **BUDGET})
                return dict(p(image, return_tensors=tensors, do_resize=False))

            def factory(path: str, p: Any = theirs) -> Sample:
                return dict(p(preprocess_image(path), return_tensors=tensors))

            def factory_patched(path: str, p: Any = ours) -> Sample:
                image = dynres_rs.llamafactory.preprocess_image_qwen2_vl(
                    Image.open(path), image_max_pixels=FACTORY_PIXELS, image_min_pixels=32 * 32
                )
                return dict(p(image, return_tensors=tensors))

            name = f'{name}, .convert("RGB") first'
            made += [Row(name, converted, None), Row(f"{name}, patched", converted_patched, name)]
            name = "qwen-vl-utils + transformers"
            made += [Row(name, utils, None), Row(f"{name}, patched", utils_patched, name)]
            name = "LLaMA-Factory's rule + transformers"
            made += [Row(name, factory, None), Row(f"{name}, patched", factory_patched, name)]
    return made


def floors() -> list[Row]:
    """Decoding and nothing else."""

    def pillow(path: str) -> Sample:
        Image.open(path).load()
        return {"pixel_values": np.zeros(1, np.uint8)}

    def own(path: str) -> Sample:
        data = Path(path).read_bytes()
        header = dr.jpeg.header(data)
        assert header is not None, path
        shape = (header.height, header.width, 3)
        assert _native.jpeg_decode(data, room[: math.prod(shape)].reshape(shape)), path
        return {"pixel_values": np.zeros(1, np.uint8)}

    def other(path: str) -> Sample:
        simplejpeg.decode_jpeg(Path(path).read_bytes(), "RGB", buffer=room)
        return {"pixel_values": np.zeros(1, np.uint8)}

    room = np.zeros(40 << 20, np.uint8)  # used again and again: no page is new
    made = [Row("decode alone, dynres_rs", own, None), Row("decode alone, Pillow", pillow, None)]
    if simplejpeg is not None:
        made.append(Row("decode alone, simplejpeg", other, None))
    return made


def in_memory(every: list[Row]) -> list[Row]:
    """The rows that can start from decoded pixels."""
    ours = dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS)
    tensors = "pt" if version("torch") else "np"
    made = [
        Row(
            f"dynres_rs {name}",
            lambda image, o=options: ours(image, return_tensors=tensors, **o),
            None,
        )
        for name, options in TRANSFERS.items()
    ]
    for name, options in TRANSFERS.items():
        ring = SharedRing.for_processor(ours, SLOTS, **options)

        def through(image: Any, ring: Any = ring, options: Any = options) -> Sample:
            sample: Sample = ring.put(ours, image, **options)
            return sample

        made.append(Row(f"dynres_rs {name}, ring", through, None))
    if version("transformers"):
        made.insert(0, Row(every[0].name, every[0].run.__defaults__[0], None))  # type: ignore[attr-defined]
    return made


def check(all_rows: list[Row], paths: dict[str, list[str]]) -> None:
    """The proof before the figures."""
    by_name = {row.name: row for row in all_rows}
    for row in all_rows:
        if row.stock is None:
            continue
        for path in itertools.chain.from_iterable(paths.values()):
            want, got = by_name[row.stock].run(path), row.run(path)
            for key in want:
                if not np.array_equal(np.asarray(got[key]), np.asarray(want[key])):
                    raise SystemExit(f"{row.name}: {key} is not that of {row.stock}")


# Workers


class Files:
    """A dataset whose samples carry the memory that their worker has taken."""

    def __init__(self, run: Callable[[Any], Sample], inputs: Sequence[Any], count: int) -> None:
        self.run = run
        self.inputs = inputs
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        sample = self.run(self.inputs[index % len(self.inputs)])
        sample["memory"] = taken()
        return sample


_START: dict[int, int] = {}


def taken() -> int:
    """Bytes of this process beyond what it was forked with, at most so far."""
    pid = os.getpid()
    if pid not in _START:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        _START[pid] = _status("VmRSS")
    return _status("VmHWM") - _START[pid]


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return 0


def _first(samples: list[Sample]) -> Sample:
    return samples[0]


def _start_worker(_: int = 0) -> None:
    taken()


_DATASET: list[Files] = []


def _pick(index: int) -> Sample:
    return _DATASET[0][index]


def received(dataset: Files, workers: int) -> Iterator[Sample]:
    """The samples as they come out in this process."""
    if version("torch"):
        from torch.utils.data import DataLoader

        yield from DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_size=1,
            num_workers=workers,
            collate_fn=_first,
            worker_init_fn=_start_worker,
            multiprocessing_context="fork",
        )
        return
    _DATASET[:] = [dataset]
    with multiprocessing.get_context("fork").Pool(workers, _start_worker) as pool:
        yield from pool.imap(_pick, range(len(dataset)))


_ALONE: dict[tuple[str, int], float] = {}


def throughput(
    row: Row, inputs: Sequence[Any], workers: int, seconds: float
) -> tuple[float, float]:
    """Samples a second once all workers run, each copied as pinning would; and a worker's MiB."""
    key = (row.name, id(inputs))
    if key not in _ALONE:
        _ALONE[key] = timed(lambda: row.run(inputs[0]), 2)
    count = max(4 * workers, len(inputs), int(seconds * workers / _ALONE[key])) + 2 * workers
    buffer = np.empty(64 << 20, np.uint8)
    memory, began, seen = 0, 0.0, 0
    for number, sample in enumerate(received(Files(row.run, inputs, count), workers)):
        if number == 2 * workers - 1:
            began = time.perf_counter()
        pixels = sample["pixel_values"]
        flat = pixels if isinstance(pixels, np.ndarray) else pixels.view(dtype=_bytes()).numpy()
        flat = flat.reshape(-1).view(np.uint8)
        buffer[: flat.size] = flat
        memory = max(memory, sample["memory"])
        seen = number - 2 * workers + 1
    return seen / (time.perf_counter() - began), memory / (1 << 20)


def _bytes() -> Any:
    import torch

    return torch.uint8


def timed(run: Callable[[], object], times: int) -> float:
    """Seconds, the median of some."""
    values = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        values.append(time.perf_counter() - began)
    return statistics.median(values)


# Stages and latency


def stages(paths: list[str], times: int) -> dict[str, float]:
    """Milliseconds of each step of a sample, in one process."""
    path = paths[0]
    data = Path(path).read_bytes()
    image = Image.open(path).convert("RGB")
    pixels = np.asarray(image)
    room = np.empty_like(pixels)
    assert _native.jpeg_decode(data, room) and np.array_equal(room, pixels)
    p = dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS)
    target = p.plan(image.height, image.width).resized
    small = dr.resize(pixels, target, numerics="torchvision")
    turns: dict[str, Callable[[], object]] = {
        "decode, dynres_rs": lambda: _native.jpeg_decode(data, room),
        "decode, Pillow": lambda: Image.open(io.BytesIO(data)).load(),
        "resize, Pillow": lambda: image.resize(target[::-1], Image.Resampling.BICUBIC),
        "resize, dynres_rs": lambda: dr.resize(pixels, target, numerics="torchvision"),
        "pack float32": lambda: dr.patchify(small),
        "pack uint8": lambda: dr.patchify(small, dtype="uint8"),
        "resize and pack in one, float32": lambda: p(pixels),
        "resize and pack in one, uint8 compact": lambda: p(
            pixels, dtype="uint8", temporal="compact"
        ),
    }
    if simplejpeg is not None:
        turns["decode, simplejpeg"] = lambda: simplejpeg.decode_jpeg(data, "RGB")
    values: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(times + 1):
        for name, turn in turns.items():
            values[name].append(timed(turn, 1))
    found = {name: 1e3 * statistics.median(some[1:]) for name, some in values.items()}
    for name, options in TRANSFERS.items():
        ready = p(pixels, **options)["pixel_values"]
        found[f"transfer {name}"] = 1e3 * transfer(ready, times)
        found[f"transfer {name}, ring"] = 1e3 * transfer(ready, times, ring=True)
    return found


TRANSFERS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"dtype": "bfloat16"},
    "uint8 compact": {"dtype": "uint8", "temporal": "compact"},
}


def transfer(pixels: np.ndarray, times: int, ring: bool = False) -> float:
    """Seconds of a ready sample from a worker, which copies it, into a buffer of this process."""

    def made(
        _: str, out: Callable[..., Any] = np.empty, return_tensors: str | None = None
    ) -> Sample:
        copy = out("pixel_values", pixels.shape, pixels.dtype) if ring else np.empty_like(pixels)
        copy[...] = pixels
        if not version("torch"):
            return {"pixel_values": copy}
        import torch

        return {"pixel_values": torch.from_numpy(copy)}

    row = Row(f"{pixels.nbytes} {ring}", made, None)
    if ring:
        slots = SharedRing(SLOTS, pixels.nbytes)
        row = row._replace(run=lambda path: slots.put(made, path))
    rate, _ = throughput(row, [""], 1, 0.03 * times)
    return 1 / rate


def latency(run: Callable[[str], Sample], path: str, clients: int, seconds: float) -> list[float]:
    """Milliseconds of each request while `clients` threads of one process make one after the
    other."""
    end = time.perf_counter() + seconds
    times: list[float] = []
    start = threading.Barrier(clients)

    def client() -> None:
        start.wait()
        while True:
            began = time.perf_counter()
            run(path)
            times.append(1e3 * (time.perf_counter() - began))
            if time.perf_counter() > end:
                return

    with ThreadPoolExecutor(clients) as pool:
        for job in [pool.submit(client) for _ in range(clients)]:
            job.result()
    return times


# The page


def head(quick: bool) -> str:
    packages = ["pillow", "simplejpeg", "numpy", "torch", "torchvision", "transformers"]
    packages.append("qwen-vl-utils")
    versions = ", ".join(f"{name} {version(name)}" for name in packages if version(name))
    return (
        f"{cpu()}, {os.cpu_count()} virtual cores, Python {platform.python_version()}, {versions};"
        f" dynres_rs {dr.__version__} with the `{dr.simd()}` backend;"
        f" {time.strftime('%Y-%m-%d')}{', quick run' if quick else ''}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one worker, fewer mixes and rounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", metavar="WORD", help="rows with it, through a worker")
    quick = (arguments := parser.parse_args()).quick
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if version("torch"):
        import torch

        torch.set_num_threads(1)
    mixes = ["COCO-like", "1080p"] if quick else list(MIXES)
    counts = [1] if quick else [1, 2]
    rounds = 1 if quick else arguments.rounds
    seconds = 0.4 if quick else SECONDS
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        paths = files(Path(folder), mixes)
        every = rows()
        if arguments.only:
            every = [row for row in every if arguments.only in row.name]
        check(every, paths)
        if arguments.only:
            print(head(quick))
            for mix in mixes:
                print("\n" + section(mix, paths[mix], every, [1], rounds, seconds))
            return
        text = "\n\n".join(
            [
                head(quick),
                "## One process, one thread",
                *(alone(mix, paths[mix], every, 5 if quick else 15) for mix in mixes),
                "## Through the workers of a data loader",
                *(section(mix, paths[mix], every, counts, rounds, seconds) for mix in mixes),
                without_decoding(paths["1080p"], every, counts, rounds, seconds),
                "## Where the time goes",
                stage_table({mix: stages(paths[mix], 5 if quick else 21) for mix in mixes}),
                "## Under load",
                latency_table(every, paths["1080p"][0], (1, 8) if quick else (1, 8, 32), seconds),
            ]
        )
    print(text)
    print(f"\n{time.monotonic() - began:.0f} seconds")
    if not quick:
        begin, end = "<!-- bench-e2e -->", "<!-- bench-e2e end -->"
        before, rest = PAGE.read_text().split(begin, 1)
        PAGE.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")


def alone(mix: str, paths: list[str], every: list[Row], times: int) -> str:
    """Milliseconds from a file to tensors, no worker and no transfer."""
    decoding = floors()
    found: dict[str, list[float]] = {row.name: [] for row in [*decoding, *every]}
    for number in range(times + 1):
        path = paths[number % len(paths)]
        for row in [*decoding, *every]:
            found[row.name].append(1e3 * timed(lambda row=row, path=path: row.run(path), 1))
    ms = {name: statistics.median(some[1:]) for name, some in found.items()}
    floor = min(ms[row.name] for row in decoding)
    lines = [
        f"**{mix}**, from a file to tensors",
        "",
        "| | ms | times its stock row | the decode floor allows |",
        "|---|---:|---:|---:|",
    ]
    for row in [*decoding, *every]:
        stock = ms[row.stock] if row.stock else 0.0
        ratios = f"{stock / ms[row.name]:.2f} | {stock / floor:.2f}" if stock else " | "
        lines.append(f"| {row.name} | {ms[row.name]:.1f} | {ratios} |")
    return "\n".join(lines)


def section(
    mix: str, paths: list[str], every: list[Row], counts: list[int], rounds: int, seconds: float
) -> str:
    """Samples a second a core of every row, and the decode floor beside each ratio."""
    decoding = floors()
    rate, memory = rates([*decoding, *every], paths, counts, rounds, seconds)
    lines = [
        f"**{mix}**, samples a second a core",
        "",
        *_headings(counts, ["times its stock row", "the decode floor allows", "MiB a worker"]),
    ]
    n = counts[0]
    floor = max(rate[row.name, n] for row in decoding)
    for row in [*decoding, *every]:
        stock = rate[row.stock, n] if row.stock else 0.0
        ratios = [f"{rate[row.name, n] / stock:.2f}", f"{floor / stock:.2f}"] if stock else ["", ""]
        lines.append(_line(row.name, rate, counts, [*ratios, f"{memory[row.name]:.0f}"]))
    return "\n".join(lines)


def without_decoding(
    paths: list[str], every: list[Row], counts: list[int], rounds: int, seconds: float
) -> str:
    """The same of pixels in memory: what resizing, packing and the transfer come to."""
    images = [Image.open(path).convert("RGB") for path in paths]
    some = in_memory(every)
    rate, memory = rates(some, images, counts, rounds, seconds)
    n = counts[0]
    bases = dict.fromkeys([some[0].name, "dynres_rs float32"])
    lines = [
        "**1080p, decoded before**, samples a second a core",
        "",
        *_headings(counts, [*(f"times {name}" for name in bases), "MiB a worker"]),
    ]
    for row in some:
        times = [f"{rate[row.name, n] / rate[name, n]:.2f}" for name in bases]
        lines.append(_line(row.name, rate, counts, [*times, f"{memory[row.name]:.0f}"]))
    return "\n".join(lines)


def rates(
    some: list[Row], inputs: Sequence[Any], counts: list[int], rounds: int, seconds: float
) -> tuple[dict[tuple[str, int], float], dict[str, float]]:
    """Median samples a second by row and number of workers; and the most MiB of a single worker."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _, row, workers in itertools.product(range(rounds), some, counts):
        result = throughput(row, inputs, workers, seconds)
        found.setdefault((row.name, workers), []).append(result)
    rate = {key: statistics.median(one for one, _ in many) for key, many in found.items()}
    memory = {row.name: max(one for _, one in found[row.name, counts[0]]) for row in some}
    return rate, memory


def _headings(counts: list[int], others: list[str]) -> list[str]:
    names = [f"{n} worker{'s'[: n > 1]}" for n in counts] + others
    return ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]


def _line(
    name: str, rate: dict[tuple[str, int], float], counts: list[int], others: list[str]
) -> str:
    cells = [f"{rate[name, n] / n:.1f}" for n in counts] + others
    return f"| {name} | " + " | ".join(cells) + " |"


def stage_table(found: dict[str, dict[str, float]]) -> str:
    lines = ["**Stages**, milliseconds of one image", "", "| | " + " | ".join(found) + " |"]
    lines.append("|---|" + "---:|" * len(found))
    for name in next(iter(found.values())):
        lines.append(
            f"| {name} | " + " | ".join(f"{some[name]:.2f}" for some in found.values()) + " |"
        )
    return "\n".join(lines)


def latency_table(every: list[Row], path: str, many: tuple[int, ...], seconds: float) -> str:
    """A server's process: threads with requests of one 1080p file each."""
    names = [
        every[0].name,
        f"{every[0].name}, patched",
        "dynres_rs float32",
        "dynres_rs uint8 compact",
    ]
    lines = [
        "**Latency** of one process under concurrent requests, a 1080p JPEG each, ms (p50 / p99)",
        "",
        "| | " + " | ".join(map(str, many)) + " |",
        "|---|" + "---:|" * len(many),
    ]
    for row in every:
        if row.name in names:
            cells = []
            for clients in many:
                times = latency(row.run, path, clients, 5 * seconds)
                p50, p99 = np.percentile(times, [50, 99])
                cells.append(f"{p50:.0f} / {p99:.0f}")
            lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
