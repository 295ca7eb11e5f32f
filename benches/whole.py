"""Whole calls against every competitor that is installed, and the tables from the same run.

    python benches/whole.py                 every case, every backend; writes tables and plot
    python benches/whole.py --only resize   the cases with that word; prints, writes nothing
    python benches/whole.py --rounds 5      fewer rounds

One process a case and backend, as in a program that does nothing else: what other cases leave of
a heap changes how often the kernel must clear pages for anybody, by a tenth of the time. One
thread, pinned to one core. In a case everybody takes turns, round after round, so that the
machine's drift hits all alike; medians are reported. An own row asserts its answer against its
oracle before it is timed; a competitor's row says how far it is off the oracle whose numbers it is
meant to give: transformers' default backend, which is torchvision, or Pillow.

Every case runs twice, as a program starts and with a heap that keeps what was freed, as in a
process that has run other things for a while: whoever allocates in each call is up to three times
as fast there. Each row, ours too, has the faster of the two, and says which.
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

import dynres_rs
import numpy as np
from peers import Peer, deepseek_vl2, internvl, qwen_processors, resizers, version
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench-results"
SIZES = {"1080p": (1920, 1080), "12 MP": (4032, 3024)}
MAX_PIXELS = 1_003_520
OURS = "dynres_rs"
#: glibc gives freed memory back to the system, and clears it page by page for the next call, unless
#: it is told to keep it.
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


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


#: The peers, ours first, and the exact answers by whose numbers they are.
Case = Callable[[], tuple[list[Peer], dict[str, np.ndarray]]]


def cases() -> dict[str, Case]:
    """Every case: our call first, then the competitors, and the exact answer."""
    import dynres_rs as dr

    dr.enable_zero_copy()

    def resize(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], dict[str, np.ndarray]]:
            image = photograph(width, height)
            array = np.asarray(image)
            target = dr.smart_resize(height, width, max_pixels=MAX_PIXELS)
            out = np.empty((*target, 3), np.uint8)
            ours = Peer(OURS, lambda: dr.resize(array, target, numerics="pillow", out=out))
            aten = Peer(
                f"{OURS} (torchvision's numbers)",
                lambda: dr.resize(array, target, numerics="torchvision", out=out),
                numbers="torchvision",
            )
            rivals = resizers(image, target[::-1])
            exact = {"pillow": np.asarray(image.resize(target[::-1], Image.Resampling.BICUBIC))}
            for peer in rivals:
                if peer.name.startswith("torchvision"):
                    exact["torchvision"] = np.array(peer.run())
            return [ours, aten, *rivals], exact

        return make

    def qwen(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], dict[str, np.ndarray]]:
            image = photograph(width, height)
            peers = qwen_processors(image, MAX_PIXELS)
            exact: dict[str, np.ndarray] = {}
            for peer in peers:
                if peer.name.startswith("transformers"):
                    exact[peer.numbers] = np.array(peer.run())
            usual = dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS)  # torchvision's, as theirs
            pillow = dr.Processor("qwen2-vl", max_pixels=MAX_PIXELS, numerics="pillow")
            own = [
                Peer(OURS, lambda: usual(image)["pixel_values"], numbers="torchvision"),
                Peer(f"{OURS} (Pillow's numbers)", lambda: pillow(image)["pixel_values"]),
                Peer(
                    f"{OURS} uint8 compact",
                    lambda: usual(image, dtype="uint8", temporal="compact")["pixel_values"],
                    "before normalising",
                ),
            ]
            first = [peer for peer in peers if "its default" in peer.name]
            rest = [peer for peer in peers if peer not in first]
            return [own[0], *first, *own[1:], *rest], exact

        return make

    def tiles(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], dict[str, np.ndarray]]:
            image = photograph(width, height)
            processor = dr.Processor("internvl", max_num=12)
            ours = Peer(OURS, lambda: processor(image)["pixel_values"])
            original = Peer("the original's steps", lambda: internvl(image))
            return [ours, original], {"pillow": internvl(image)}

        return make

    def canvas(width: int, height: int) -> Case:
        def make() -> tuple[list[Peer], dict[str, np.ndarray]]:
            image = photograph(width, height)
            candidates = [
                (int(w), int(h)) for w, h in dr.families()["deepseek-vl2"]["candidate_resolutions"]
            ]
            processor = dr.Processor("deepseek-vl2")
            ours = Peer(OURS, lambda: processor(image)["pixel_values"])
            original = Peer("the original's steps", lambda: deepseek_vl2(image, candidates))
            return [ours, original], {"pillow": deepseek_vl2(image, candidates)}

        return make

    def identity() -> tuple[list[Peer], dict[str, np.ndarray]]:
        image = photograph(*SIZES["12 MP"])
        array = np.asarray(image)
        processor = dr.Processor("qwen2-vl", numerics="pillow")
        exact = processor(array)["pixel_values"]
        out = np.empty_like(exact)
        ours = Peer(f"{OURS} into a reused out", lambda: processor(array, out=out)["pixel_values"])
        filling = Peer("filling that out", lambda: out.fill(1.0), "a constant")
        return [ours, filling], {"pillow": exact}

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
    answers = {}
    for peer in peers:
        oracle = exact.get(peer.numbers)
        answer = "not compared" if oracle is None else difference(peer.run(), oracle)
        answers[peer.name] = peer.other or answer
        if peer.name.startswith(OURS) and not peer.other and oracle is not None:
            assert answer == "exact", f"{case}: {peer.name} {answer}"
    times = time_all(peers, rounds)
    rows = [
        {
            "name": peer.name,
            "ms": times[peer.name],
            "answer": answers[peer.name],
            "numbers": peer.numbers,
            "setting": peer.setting,
        }
        for peer in peers
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
        "one thread, pinned, one process a case, medians of interleaved rounds, each row in the",
        "faster of two processes: as it starts, or with a heap that keeps what was freed (kept",
        "heap);",
        f"dynres_rs {dynres_rs.__version__} with the `{best['backend']}` backend. Exact is to",
        "transformers' default where a row has torchvision's numbers, else to Pillow.",
        "",
        "| case | | ms | times ours | answer | setting |",
        "|---|---|---:|---:|---|---|",
    ]
    for name, rows in best["cases"].items():
        for i, row in enumerate(rows):
            ratio = row["ms"] / rows[0]["ms"]
            label = f"**{row['name']}**" if i == 0 else row["name"]
            case = name if i == 0 else ""
            cells = [case, label, f"{row['ms']:.2f}", f"{ratio:.2f}", row["answer"], row["setting"]]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Our own time by backend, in milliseconds:", ""]
    names = [result["backend"] for result in results]
    lines.append("| case | " + " | ".join(names) + " |")
    lines.append("|---|" + "---:|" * len(names))
    for name in best["cases"]:
        own = [f"{result['cases'][name][0]['ms']:.2f}" for result in results]
        lines.append(f"| {name} | " + " | ".join(own) + " |")
    return "\n".join([*lines, "", *beside_decoding()])


#: Which rows of the page of whole programs stand beside the kernels: sections, and what they mean.
PROGRAMS = {
    "from a file to tensors": "one process",
    "samples a second a core": "a `DataLoader`'s worker, batches sent",
}


def beside_decoding() -> list[str]:
    """What is left of the ratios where files are decoded and batches sent: the rows of
    transformers' default in `docs/performance-e2e.md`, which `make bench-e2e` writes."""
    lines = [
        "From JPEG files, against transformers' default backend in the same program: decoding is",
        "part of both sides, and the decode floor is the ratio if preprocessing took no time.",
        "",
        "| files | program | times faster | the decode floor allows |",
        "|---|---|---:|---:|",
    ]
    mix = kind = ""
    for line in (ROOT / "docs/performance-e2e.md").read_text().splitlines():
        if line.startswith("**"):
            mix, _, said = line.strip("*").partition("**, ")
            kind = PROGRAMS.get(said, "")
        elif kind and line.startswith("| transformers, torchvision, patched |"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            ratio, floor = cells[2:4] if kind == "one process" else cells[3:5]
            lines.append(f"| {mix} | {kind} | {ratio} | {floor} |")
    lines += ["", "All of them are in [From files to batches](docs/performance-e2e.md)."]
    return lines


def faster(usual: list[dict[str, Any]], kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row of the process in which it took less time, and which that was."""
    rows = []
    for one, other in zip(usual, kept, strict=True):
        best = one if one["ms"] <= other["ms"] else other
        said = [best["setting"]] if best["setting"] else []
        rows.append({**best, "setting": ", ".join(said + ["kept heap"] * (best is other))})
    return rows


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
        if page.parent.name == "docs":
            block = block.replace("(docs/", "(")
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
            found = []
            for heap in ({}, KEPT):
                environment = {**os.environ, **heap, "DYNRES_SIMD": backend}
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
                found.append(json.loads(done.stdout))
            result["cases"][case] = faster(*found)
        results.append(result)
    if not arguments.only:
        write(results)


if __name__ == "__main__":
    main()
