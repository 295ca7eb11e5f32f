"""Every strategy's common case beside both backends of transformers, and the table from the run.

    python benches/strategies.py                     every strategy; writes docs/performance.md
    python benches/strategies.py --only fuyu         the families with that word; printed only
    python benches/strategies.py --rounds 3          fewer rounds; printed only
    python benches/strategies.py --again             writes the page from the last run's numbers

A family of each strategy of `src/strategy`, with the configuration of a released checkpoint or its
class's default, 1080p and 12 MP, from a Pillow image. One process a family, forked from one that
has imported everything; one thread, pinned to one core; everybody takes turns, round after round.
Medians of processor time. Ours must have upstream's bits, each numerics those of its backend,
before anything is timed. torchvision's backend is timed from a channels-first tensor as well, which
it likes best.

The rounds run twice, as glibc comes and with a heap that keeps what was freed, and each row has the
faster: whoever allocates in each call is faster there.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import dynres_rs as dr
import numpy as np
from peers import deepseek_vl2, kimi_vl, version
from PIL import Image
from whole import RESULTS, SIZES, cpu, photograph

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
NUMBERS = RESULTS / "strategies.json"
MARKS = ("<!-- strategies -->", "<!-- strategies end -->")
#: How many times faster than the backends of transformers a row is meant to be: than Pillow's, than
#: torchvision's, and than either where it resizes floats.
AIMS = {"pil": 10.0, "torchvision": 4.0}
FLOATS = 2.0


class Row(NamedTuple):
    """A family that stands for its strategy."""

    family: str
    #: Upstream's class; for code that models bring along, nothing.
    upstream: str = ""
    #: What the released checkpoint's file has beyond the class's default.
    config: Mapping[str, Any] = MappingProxyType({})
    #: The numerics whose images are resized in floats, if any.
    floats: tuple[str, ...] = ()


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
BOTH = ("torchvision", "pil")
ROWS = [
    Row("qwen2-vl", "Qwen2VLImageProcessor"),
    Row(
        "internvl-hf",
        "GotOcr2ImageProcessor",
        {"size": {"height": 448, "width": 448}, "crop_to_patches": True, **IMAGENET},
    ),
    Row("deepseek-vl2"),
    Row("deepseek-vl", "DeepseekVLImageProcessor"),
    Row("deepseek-vl-hybrid", "DeepseekVLHybridImageProcessor"),
    Row("clip", "CLIPImageProcessor"),
    Row("siglip", "SiglipImageProcessor"),
    Row("dinov3-vit", "DINOv3ViTImageProcessor", floats=("torchvision",)),
    Row("gemma3", "Gemma3ImageProcessor", {"size": {"height": 896, "width": 896}}),
    Row("pixtral", "PixtralImageProcessor"),
    Row(
        "llava-next",
        "LlavaNextImageProcessor",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    ),
    Row("aria", "AriaImageProcessor"),
    Row("phi4-multimodal", "Phi4MultimodalImageProcessor", floats=("torchvision",)),
    Row(
        "ovis2",
        "Ovis2ImageProcessor",
        {
            "size": {"height": 448, "width": 448},
            "crop_to_patches": True,
            "max_patches": 9,
            **HALF,
        },
    ),
    Row("perception-lm", "PerceptionLMImageProcessor"),
    Row("deepseek-ocr2", "DeepseekOcr2ImageProcessor"),
    Row("idefics3", "Idefics3ImageProcessor"),
    Row("idefics2", "Idefics2ImageProcessor"),
    Row("donut", "DonutImageProcessor"),
    Row("llama4", "Llama4ImageProcessor"),
    Row("mllama", "MllamaImageProcessor", {"size": {"height": 560, "width": 560}, **CLIP}),
    Row("fuyu", "FuyuImageProcessor"),
    Row("granite-docling", "GraniteDoclingImageProcessor"),
    Row("step3p7", "Step3p7ImageProcessor"),
    Row("minicpm-v4.6", "MiniCPMV4_6ImageProcessor"),
    Row("molmo2", "Molmo2ImageProcessor", floats=("torchvision",)),
    Row("siglip2", "Siglip2ImageProcessor"),
    Row("gemma4", "Gemma4ImageProcessor"),
    Row("kimi-k25", "Kimi_K25ImageProcessor"),
    Row("neomme", "NeoMMEImageProcessor"),
    Row("muse-glimmer", "MuseGlimmerImageProcessor"),
    Row("glm5-next", "Glm5NextImageProcessor"),
    Row("glm-image", "GlmImageImageProcessor"),
    Row("lfm2-vl", "Lfm2VlImageProcessor"),
    Row("inkling", "InklingImageProcessor", floats=("torchvision",)),
    Row(
        "nemotron-h-omni",
        "NemotronH_Omni_Reasoning_V3ImageProcessor",
        floats=("torchvision",),
    ),
    Row("pix2struct", "Pix2StructImageProcessor", floats=BOTH),
    Row("kimi-vl"),
]

#: Why a row is slower than it is meant to be.
REASONS: dict[str, str] = {
    "idefics3": "at 1080p its mask of 13.8 MB of int64 is made and copied beside its pixels.",
    "minicpm-v4.6": "at 1080p patches are packed first and joined to one strip by a copy.",
}


def keep_heap() -> bool:
    """Makes glibc keep what is freed from now on, as a process does that has run for a while."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    trim_threshold, mmap_max = -1, -4
    return bool(mallopt and mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1))


def plain(value: Any) -> Any:
    """Tensors as arrays, bfloat16 as its bits."""
    if type(value).__module__.partition(".")[0] == "torch":
        import torch

        if value.dtype == torch.bfloat16:
            value = value.view(torch.uint16)
        return value.numpy()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def same(ours: Any, theirs: Any) -> bool:
    """Whether two outputs have the same types, shapes and bits; lists member by member."""
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        alike = (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        return alike and ours.tobytes() == theirs.tobytes()
    if isinstance(ours, list) and isinstance(theirs, list):
        pairs = zip(ours, theirs, strict=False)
        return len(ours) == len(theirs) and all(same(a, b) for a, b in pairs)
    return bool(np.array_equal(ours, theirs))


def check(ours: Any, theirs: Any, where: str) -> None:
    """Asserts that two results have the same keys and bits."""
    ours, theirs = dict(ours), dict(theirs)
    assert set(ours) == set(theirs), f"{where}: {sorted(ours)}, upstream {sorted(theirs)}"
    for key, value in ours.items():
        assert same(value, plain(theirs[key])), f"{where}: {key} has other bits than upstream's"


Call = Callable[[], Any]


def upstream_call(processor: Any, image: Any, tensors: str) -> Call:
    """A call of upstream's; its arrays of several shapes do not become one of that type."""
    try:
        processor(image, return_tensors=tensors)
    except ValueError as error:
        if "convert" not in str(error):
            raise
        return lambda: processor(image)
    return lambda: processor(image, return_tensors=tensors)


def calls(row: Row, image: Image.Image) -> dict[str, Call]:
    """Every call of a row by name, after all have been compared."""
    import torch
    import transformers

    made: dict[str, Call] = {}
    if not row.upstream:
        processor = dr.Processor(row.family)
        made["ours, pil"] = lambda: processor(image)
        if row.family == "deepseek-vl2":
            sides = dr.families()["deepseek-vl2"]["candidate_resolutions"]
            candidates = [(int(width), int(height)) for width, height in sides]
            made["pil"] = lambda: {"pixel_values": deepseek_vl2(image, candidates)}
        else:
            made["pil"] = lambda: {"pixel_values": kimi_vl(image)}
        exact = made["pil"]()
        check({key: processor(image)[key] for key in exact}, exact, row.family)
        return made
    config = {"image_processor_type": row.upstream, **row.config}
    for backend, name, numerics in (
        ("torchvision", row.upstream, "torchvision"),
        ("pil", f"{row.upstream}Pil", "pillow"),
    ):
        upstream = getattr(transformers, name, None)
        if upstream is None:
            continue
        own = dr.Processor.from_config(config, numerics=numerics)  # type: ignore[arg-type]
        theirs = upstream(**row.config)
        made[f"ours, {backend}"] = lambda own=own: own(image)
        # The types are those of tensors; Pillow's backend is timed as it works, with arrays.
        check(own(image), upstream_call(theirs, image, "pt")(), f"{row.family}, {backend}")
        made[backend] = upstream_call(theirs, image, "pt" if backend == "torchvision" else "np")
        if backend == "torchvision":
            tensor = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).contiguous()
            made["tensor"] = upstream_call(theirs, tensor, "pt")
            check(own(image), made["tensor"](), f"{row.family}, from a tensor")
    return made


def timed(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Median milliseconds of processor time of each, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if number:
                times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def measure(task: tuple[str, int]) -> dict[str, dict[str, float]]:
    """The times of a family's row for each size of image, each the faster of both heaps."""
    family, rounds = task
    (row,) = (row for row in ROWS if row.family == family)
    made = {name: calls(row, photograph(*size)) for name, size in SIZES.items()}
    found = {name: timed(each, rounds) for name, each in made.items()}
    if keep_heap():
        for name, each in made.items():
            kept = timed(each, rounds)
            found[name] = {call: min(time, kept[call]) for call, time in found[name].items()}
    for name, times in found.items():
        line = ", ".join(f"{call} {time:.2f}" for call, time in times.items())
        print(f"{row.family:20} {name:6} {line}", file=sys.stderr)
    return found


def aim(row: Row, backend: str) -> float:
    """How many times faster than that backend it is meant to be."""
    return FLOATS if backend in row.floats else AIMS[backend]


def ratio(times: dict[str, float], backend: str, call: str = "") -> float | None:
    """How many times our time a call of that backend takes."""
    ours, theirs = times.get(f"ours, {backend}"), times.get(call or backend)
    return None if ours is None or theirs is None else theirs / ours


def short(row: Row, found: dict[str, dict[str, float]]) -> list[str]:
    """What of a row is slower than it is meant to be."""
    return [
        f"{name} {backend} {least:.1f}"
        for name, times in found.items()
        for backend in BOTH
        if (least := ratio(times, backend)) is not None and least < aim(row, backend)
    ]


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The page's table."""
    from dynres_rs import _dynres_rs as native

    packages = ["pillow", "numpy", "transformers", "torch", "torchvision"]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    lines = [
        f"{cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions};",
        f"dynres_rs {dr.__version__} with the `{dr.simd()}` backend; milliseconds of",
        "processor time, medians of interleaved rounds.",
        "",
        "| strategy | family | image | torchvision's numbers | torchvision backend | from a tensor"
        " | Pillow's numbers | PIL backend |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    ratios: dict[str, list[float]] = {}
    for row in ROWS:
        marked = "*" if row.floats else ""
        for i, (name, times) in enumerate(results[row.family].items()):
            cells = [f"`{native.strategy(row.family)[0]}`", f"`{row.family}`{marked}"]
            cells = [*(cells if i == 0 else ["", ""]), name]
            for backend, theirs in (("torchvision", (*BOTH[:1], "tensor")), ("pil", BOTH[1:])):
                own = times.get(f"ours, {backend}")
                cells.append("" if own is None else f"{own:.2f}")
                for call in theirs:
                    found = ratio(times, backend, call)
                    if found is None:
                        cells.append("")
                        continue
                    if backend not in row.floats:
                        ratios.setdefault(call, []).append(found)
                    slow = call != "tensor" and found < aim(row, backend)
                    cells.append(f"**{found:.1f}**" if slow else f"{found:.1f}")
            lines.append(f"| {' | '.join(cells)} |")
    means = {call: math.exp(statistics.fmean(map(math.log, all))) for call, all in ratios.items()}
    lines += [
        "",
        f"Geometric means, without rows that resize floats (\\*): {means['torchvision']:.1f} times"
        f" faster than the torchvision backend, {means['tensor']:.1f} from a tensor,"
        f" {means['pil']:.1f} than the PIL backend.",
    ]
    slow = {row.family: short(row, results[row.family]) for row in ROWS}
    if any(slow.values()):
        lines += ["", "Those in bold fall short, because:", ""]
        lines += [f"- `{name}`: {REASONS[name]}" for name, found in slow.items() if found]
    return "\n".join(lines)


def write(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """The table between the page's markers."""
    unexplained = {
        row.family: found
        for row in ROWS
        if (found := short(row, results[row.family])) and row.family not in REASONS
    }
    assert not unexplained, f"slower than meant, for no reason that `REASONS` names: {unexplained}"
    head, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0], 1)
    tail = rest.split(MARKS[1], 1)[1]
    text = f"{head}{MARKS[0]}\n{table(results)}\n{MARKS[1]}{tail}"
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--only", default="")
    again = "writes the page from the numbers of the last whole run"
    parser.add_argument("--again", action="store_true", help=again)
    arguments = parser.parse_args()
    if arguments.again:
        write(json.loads(NUMBERS.read_text(encoding="utf-8")))
        return

    import torch
    import torchvision.transforms.v2  # noqa: F401
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    dr.enable_zero_copy()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = [row for row in ROWS if arguments.only in row.family]
    results = {}
    fork = multiprocessing.get_context("fork")
    with fork.Pool(1, maxtasksperchild=1) as pool:
        tasks = [(row.family, arguments.rounds or 7) for row in rows]
        for row, found in zip(rows, pool.imap(measure, tasks), strict=True):
            results[row.family] = found
            for line in short(row, found):
                print(f"{row.family:20} falls short: {line}", file=sys.stderr)
    if not arguments.only and not arguments.rounds:
        NUMBERS.parent.mkdir(exist_ok=True)
        NUMBERS.write_text(json.dumps(results, indent=1), encoding="utf-8")
        write(results)


if __name__ == "__main__":
    main()
