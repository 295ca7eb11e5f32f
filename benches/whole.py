"""Whole calls against every competitor that is installed, and the tables from the same run.

    python benches/whole.py                 every case, every backend; writes tables and plot
    python benches/whole.py --only resize   the cases with that word; prints, writes nothing
    python benches/whole.py --rounds 5      fewer rounds

One process a case and backend, as in a program that does nothing else: what other cases leave of
a heap changes how often the kernel must clear pages for anybody, by a tenth of the time. One
thread, pinned to one core. In a case everybody takes turns, round after round, so that the
machine's drift hits all alike; medians are reported, and ratios within one process only. An own row
asserts its answer against its oracle before it is timed; a competitor's row says how far it is
off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import Peer, deepseek_vl2, internvl, qwen_processors, resizers, version
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench-results"
SIZES = {"1080p": (1920, 1080), "12 MP": (4032, 3024)}
MAX_PIXELS = 1_003_520
OURS = "dynres_rs"


def photograph(width: int, height: int) -> Image.Image:
    """The shipped photograph, enlarged and grained so that it is as busy as a camera's."""
    with Image.open(ROOT / "examples/images/rocket.jpg") as source:
        image = source.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).integers(-12, 13, (height, width, 1), dtype=np.int16)
    pixels = np.clip(np.asarray(image).astype(np.int16) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def difference(answer: Any, exact: np.ndarray) -> str:
    """How far an answer is from the exact one."""
    got = np.asarray(answer)
    if got.shape != exact.shape:
        return f"shape {got.shape}"
    off = got.astype(np.float64) - exact
    count = np.count_nonzero(off)
    if not count:
        return "exact"
    return f"{100 * count / off.size:.2g} % differ, most {np.abs(off).max():.2g}"


def time_all(peers: list[Peer], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, taking turns."""
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for peer in peers:
        peer.run()
    for _ in range(rounds):
        for peer in peers:
            start = time.perf_counter()
            peer.run()
            times[peer.name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


Case = Callable[[], tuple[list[Peer], np.ndarray]]


def cases() -> dict[str, Case]:
    """Every case: our call first, then the competitors, and the exact answer."""
    import dynres_rs as dr

    dr.enable_zero_copy()

    def resize(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], np.ndarray]:
            image = photograph(width, height)
            array = np.asarray(image)
            target = dr.smart_resize(height, width, max_pixels=MAX_PIXELS)
            out = np.empty((*target, 3), np.uint8)
            ours = Peer(OURS, lambda: dr.resize(array, target, numerics="pillow", out=out))
            aten = Peer(
                f"{OURS} (torchvision's numbers)",
                lambda: dr.resize(array, target, numerics="torchvision", out=out),
                "other numbers",
            )
            exact = np.asarray(image.resize(target[::-1], Image.Resampling.BICUBIC))
            return [ours, aten, *resizers(image, target[::-1])], exact

        return make

    def qwen(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], np.ndarray]:
            image = photograph(width, height)
            processor = dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS, numerics="pillow")
            peers = qwen_processors(image, MAX_PIXELS)
            exact = np.asarray(peers[0].run()) if peers else processor(image)["pixel_values"]
            aten = dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS, numerics="torchvision")
            own = [
                Peer(OURS, lambda: processor(image)["pixel_values"]),
                Peer(
                    f"{OURS} (torchvision's numbers)",
                    lambda: aten(image)["pixel_values"],
                    "other numbers",
                ),
                Peer(
                    f"{OURS} uint8 compact",
                    lambda: processor(image, dtype="uint8", temporal="compact")["pixel_values"],
                    "before normalising",
                ),
            ]
            return [*own, *peers], exact

        return make

    def tiles(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], np.ndarray]:
            image = photograph(width, height)
            processor = dr.Processor("internvl", max_num=12)
            ours = Peer(OURS, lambda: processor(image)["pixel_values"])
            return [ours, Peer("the original's steps", lambda: internvl(image))], internvl(image)

        return make

    def canvas(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], np.ndarray]:
            image = photograph(width, height)
            candidates = [
                (int(w), int(h)) for w, h in dr.families()["deepseek-vl2"]["candidate_resolutions"]
            ]
            processor = dr.Processor("deepseek-vl2")
            ours = Peer(OURS, lambda: processor(image)["pixel_values"])
            original = Peer("the original's steps", lambda: deepseek_vl2(image, candidates))
            return [ours, original], deepseek_vl2(image, candidates)

        return make

    def identity() -> tuple[list[Peer], np.ndarray]:
        image = photograph(*SIZES["12 MP"])
        array = np.asarray(image)
        processor = dr.Processor("qwen2-vl", numerics="pillow")
        exact = processor(array)["pixel_values"]
        out = np.empty_like(exact)
        ours = Peer(f"{OURS} into a reused out", lambda: processor(array, out=out)["pixel_values"])
        return [ours, Peer("filling that out", lambda: out.fill(1.0), "a constant")], exact

    table: dict[str, Case] = {}
    for name, (width, height) in SIZES.items():
        table[f"resize {name}"] = resize(width, height)
        table[f"Qwen2-VL patches {name}"] = qwen(width, height)
        table[f"InternVL tiles {name}"] = tiles(width, height)
        table[f"DeepSeek-VL2 tiles {name}"] = canvas(width, height)
    table["12 MP without resizing"] = identity
    return table


def measure(rounds: int, case: str) -> list[dict[str, Any]]:
    """The rows of one case, in this process, under the backend it was started with."""
    import dynres_rs as dr

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    assert dr.simd() == os.environ["DYNRES_SIMD"]
    peers, exact = cases()[case]()
    answers = {peer.name: peer.other or difference(peer.run(), exact) for peer in peers}
    ours = peers[0].name
    assert answers[ours] == "exact", f"{case}: {ours} {answers[ours]}"
    times = time_all(peers, rounds)
    rows = [
        {"name": peer.name, "ms": times[peer.name], "answer": answers[peer.name]} for peer in peers
    ]
    for row in rows:
        ratio = row["ms"] / rows[0]["ms"]
        print(
            f"{case:28} {row['name']:48} {row['ms']:9.2f} ms {ratio:7.2f}x  {row['answer']}",
            file=sys.stderr,
        )
    return rows


def cpu() -> str:
    """The processor's name as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def table(results: list[dict[str, Any]]) -> str:
    """The README's table: a row a competitor, our time under the fastest backend beside it."""
    packages = ["pillow", "numpy", "transformers", "torch"]
    versions = ", ".join(f"{name} {version(name)}" for name in packages if version(name))
    best = results[-1]
    lines = [
        f"{cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions};",
        "one thread, pinned, one process a case, medians of interleaved rounds;",
        f"dynres_rs {version('dynres_rs')} with the `{best['backend']}` backend.",
        "",
        "| case | | ms | times ours | answer |",
        "|---|---|---:|---:|---|",
    ]
    for name, rows in best["cases"].items():
        for i, row in enumerate(rows):
            ratio = row["ms"] / rows[0]["ms"]
            label = f"**{row['name']}**" if i == 0 else row["name"]
            case = name if i == 0 else ""
            lines.append(f"| {case} | {label} | {row['ms']:.2f} | {ratio:.2f} | {row['answer']} |")
    lines += ["", "Our own time by backend, in milliseconds:", ""]
    names = [result["backend"] for result in results]
    lines.append("| case | " + " | ".join(names) + " |")
    lines.append("|---|" + "---:|" * len(names))
    for name in best["cases"]:
        own = [f"{result['cases'][name][0]['ms']:.2f}" for result in results]
        lines.append(f"| {name} | " + " | ".join(own) + " |")
    return "\n".join(lines)


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Bars of times relative to ours, on no background, in a grey that reads on light and dark."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    grey, accent, other = "#808080", "#d9772b", "#5b8fb9"
    best = results[-1]
    names = [name for name in best["cases"] if "12 MP" in name and "without" not in name]
    figure, axes = plt.subplots(len(names), 1, figsize=(9, 7.5), constrained_layout=True)
    for axis, name in zip(np.atleast_1d(axes), names, strict=True):
        rows = best["cases"][name]
        ratios = [row["ms"] / rows[0]["ms"] for row in rows]
        labels = [
            row["name"] + ("" if row["answer"] == "exact" else " (not exact)") for row in rows
        ]
        colours = [accent if label.startswith(OURS) else other for label in labels]
        bars = axis.barh(labels, ratios, color=colours)
        axis.bar_label(
            bars, [f"{row['ms']:.1f} ms" for row in rows], padding=3, color=grey, fontsize=8
        )
        axis.invert_yaxis()
        axis.set_title(f"{name}, time relative to dynres_rs", color=grey, fontsize=10, loc="left")
        axis.tick_params(colors=grey, labelsize=8)
        axis.margins(x=0.12)
        for side, spine in axis.spines.items():
            spine.set_visible(side == "left")
            spine.set_color(grey)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, transparent=True, metadata={"Date": None})


def write(results: list[dict[str, Any]]) -> None:
    """The table between the README's markers, the plot beside it, the numbers as JSON."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "whole.json").write_text(json.dumps(results, indent=1))
    plot(results, ROOT / "docs/images/bench.svg")
    begin, end = "<!-- bench -->", "<!-- bench end -->"
    for page, picture in (
        (ROOT / "README.md", "docs/images/bench.svg"),
        (ROOT / "docs/performance.md", "images/bench.svg"),
    ):
        head, rest = page.read_text().split(begin, 1)
        tail = rest.split(end, 1)[1]
        block = f"![Times relative to dynres_rs]({picture})\n\n{table(results)}"
        page.write_text(f"{head}{begin}\n{block}\n{end}{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        json.dump(measure(arguments.rounds, arguments.case), sys.stdout)
        return
    from dynres_rs import _dynres_rs

    results = []
    for backend in _dynres_rs.backends():
        print(
            f"backend {backend}, Pillow {version('pillow')}, numpy {np.__version__}",
            file=sys.stderr,
        )
        result: dict[str, Any] = {"backend": backend, "cases": {}}
        for case in cases():
            if arguments.only and arguments.only not in case:
                continue
            command = [sys.executable, __file__, "--case", case, "--rounds", str(arguments.rounds)]
            environment = {**os.environ, "DYNRES_SIMD": backend}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            result["cases"][case] = json.loads(done.stdout)
        results.append(result)
    if not arguments.only:
        write(results)


if __name__ == "__main__":
    main()
