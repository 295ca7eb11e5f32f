#!/usr/bin/env python3
"""Say what has moved upstream: run transformers on every recorded case and compare.

Run it in a checkout, where transformers, torch and torchvision are installed beside this package:

    python tools/follow.py                      every case, some minutes
    python tools/follow.py --every 10           each tenth case of a class
    python tools/follow.py --only Qwen2VL       classes with that in their names

It says which recorded result, key or default is another one now, which text or count of a
processor, and which classes of image and video processors exist that the table does not know, each
with the class of the table that it resembles most. It exits with 1 where anything moved.
`CONTRIBUTING.md` says what to do then.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import golden_cases  # noqa: E402
from dynres_rs import _dynres_rs as native  # noqa: E402

IMAGES = ("families.json", "families_multi.json", "configs.json", "published.json")
#: Keys of a default that say who wrote it, not what comes out.
NAMES = {"image_processor_type", "video_processor_type", "processor_class", "_processor_class"}
#: Differences shown of one class.
SHOWN = 5


def plain(value: Any) -> Any:
    """Tensors as arrays; bfloat16 as its bits."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.dtype == torch.bfloat16:
            return value.contiguous().view(torch.uint16).numpy()
        return value.detach().cpu().contiguous().numpy()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def compared(value: Any, want: Any, where: str) -> list[str]:
    """Differences of a result from a recorded one, by the same rule as the tests."""
    if isinstance(want, list):
        if not isinstance(value, list) or len(value) != len(want):
            length = len(value) if isinstance(value, list) else type(value).__name__
            return [f"{where}: {length}, recorded a list of {len(want)}"]
        pairs = zip(value, want, strict=True)
        return [line for i, (a, b) in enumerate(pairs) for line in compared(a, b, f"{where}[{i}]")]
    if "list" in want:
        found = value.tolist() if isinstance(value, np.ndarray) else value
        return [] if found == want["list"] else [f"{where}: {found}, recorded {want['list']}"]
    if want["dtype"] == "bfloat16":
        want = {**want, "dtype": "uint16"}
    if not isinstance(value, np.ndarray):
        value = np.asarray(value)
    return golden_cases.differences({where: value}, {where: want})


def differences(result: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    lines = []
    if set(result) != set(outputs):
        lines.append(f"keys: {sorted(result)}, recorded {sorted(outputs)}")
    for key in sorted(set(result) & set(outputs)):
        lines += compared(plain(result[key]), outputs[key], key)
    return lines


def found(name: str) -> Any:
    """A class of transformers by its name, or None."""
    import transformers

    return getattr(transformers, name, None)


def image_case(file: str, case: Mapping[str, Any]) -> list[str] | None:
    """What is another one now, of one recorded case of images; None: there is no such class."""
    from PIL import Image

    data = golden_cases.load(file)
    upstream = found(case["class"])
    if upstream is None:
        return None
    config = data["configs"][case["config"]] if "config" in case else {}
    arrays = [golden_cases.make(spec) for spec in case["images"]]
    images = [Image.fromarray(a) if a.shape[0] in (1, 3, 4) else a for a in arrays]
    fails = "error" in case["outputs"]
    try:
        processor = upstream.from_dict(dict(config)) if config else upstream()
        given = images[0] if len(images) == 1 else images
        try:
            result = processor(given, return_tensors="pt", **case.get("kwargs", {}))
        except ValueError as error:
            if "Unable to convert output" not in str(error):
                raise
            # Arrays of several lengths were recorded as a list.
            result = processor(given, **case.get("kwargs", {}))
    except Exception as error:
        # What it raised was recorded as a failure, whatever its class.
        return [] if fails else [f"raises {type(error).__name__}: {str(error)[:120]}"]
    if fails:
        return ["works now, recorded an error"]
    return differences(dict(result), case["outputs"])


def video_case(file: str, case: Mapping[str, Any]) -> list[str] | None:
    """The same of one case of videos."""
    upstream = found(case["class"])
    if upstream is None:
        return None
    data = golden_cases.load(file)
    spec = case["video"]
    frames = [golden_cases.make({**spec, "seed": spec["seed"] + k}) for k in range(spec["frames"])]
    fails = "error" in case["outputs"]
    kwargs: dict[str, Any] = dict(case.get("kwargs", {}))
    config = None
    if file == "video_sampled.json":
        config = data["configs"][case["config"]]
        known = {"total_num_frames": spec["frames"], "fps": spec["fps"]}
        known |= {"duration": spec["frames"] / spec["fps"]}
        known |= {"height": spec["height"], "width": spec["width"]}
        kwargs |= {"video_metadata": [known], "do_sample_frames": True, "return_metadata": True}
    else:
        kwargs["do_sample_frames"] = False
    try:
        processor = upstream.from_dict(dict(config)) if config else upstream()
        result = dict(processor(videos=[np.stack(frames)], return_tensors="pt", **kwargs))
    except Exception as error:
        return [] if fails else [f"raises {type(error).__name__}: {str(error)[:120]}"]
    if fails:
        return ["works now, recorded an error"]
    metadata = result.pop("video_metadata", None)
    lines = differences(result, case["outputs"])
    if metadata and "frames_indices" in case:
        indices = [int(index) for index in metadata[0].frames_indices]
        if indices != case["frames_indices"]:
            lines.append(f"frames: {indices}, recorded {case['frames_indices']}")
    return lines


def cases(only: str, every: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    counts: Counter[tuple[str, str]] = Counter()
    for file in (*IMAGES, "video_families.json", "video_sampled.json"):
        for case in golden_cases.load(file)["cases"]:
            if only not in case["class"]:
                continue
            place = (file, case["class"])
            counts[place] += 1
            if (counts[place] - 1) % every == 0:
                yield file, case


def moved_results(only: str, every: int) -> tuple[int, dict[str, list[str]], set[str]]:
    """How many cases ran, the differences by class, and classes that are gone."""
    ran, moved, gone = 0, {}, set()
    for file, case in cases(only, every):
        run = video_case if "video" in file else image_case
        lines = run(file, case)
        if lines is None:
            gone.add(case["class"])
            continue
        ran += 1
        if lines:
            moved.setdefault(case["class"], []).append(f"{file}: {'; '.join(lines)[:300]}")
    return ran, moved, gone


def moved_defaults(only: str) -> dict[str, list[str]]:
    """Defaults of recorded classes that are others now."""
    recorded = {**golden_cases.load("families.json")["configs"]}
    for case in golden_cases.load("video_families.json")["cases"]:
        if case.get("config"):
            recorded.setdefault(case["class"], case["config"])
    moved = {}
    for name, config in recorded.items():
        upstream = found(name)
        if only not in name or upstream is None:
            continue
        try:
            now = json.loads(json.dumps(upstream().to_dict(), default=dict))
        except Exception as error:
            # ERNIE's videos need a font that no default has.
            if type(error) is not ValueError or "font" not in str(error):
                moved[name] = [f"raises {type(error).__name__}: {str(error)[:120]}"]
            continue
        lines = [
            f"{key}: {now.get(key)!r}, recorded {config.get(key)!r}"
            for key in sorted((set(now) | set(config)) - NAMES)
            if now.get(key) != config.get(key)
        ]
        if lines:
            moved[name] = lines
    return moved


def moved_texts(only: str) -> dict[str, list[str]]:
    """Texts and counts of processors that are others now."""
    import upstream_prompts as prompts

    recorded = json.loads(prompts.FILE.read_text(encoding="utf-8"))
    moved: dict[str, list[str]] = {}
    for family, row in recorded["families"].items():
        upstream = prompts.RECORDED[family]
        if only not in upstream.processor:
            continue
        lines = []
        try:
            processor = prompts.make(family)
            sizes = [tuple(size) for size in recorded["sizes"]]
            for size, text in zip(sizes, row["texts"], strict=True):
                if text is None:
                    continue
                now = prompts.packed(prompts.said(family, processor, [prompts.image(size)]))
                if now != text:
                    lines.append(f"{size}: the text is {str(now)[:80]}, recorded {str(text)[:80]}")
            usable = [s for s, text in zip(sizes, row["texts"], strict=True) if text is not None]
            numbers = prompts.counted(family, processor, usable)
            if numbers is not None and numbers != [row["tokens"], row["patches"]]:
                lines.append(f"counts: {numbers}, recorded {[row['tokens'], row['patches']]}")
        except Exception as error:
            lines.append(f"raises {type(error).__name__}: {str(error)[:120]}")
        if lines:
            moved[upstream.processor] = lines
    return moved


# Classes that the table does not know


def classes() -> dict[str, tuple[str, bool]]:
    """Every class of image and video processors: its folder, and whether it is of videos."""
    import transformers

    folder = Path(inspect.getfile(transformers)).parent / "models"
    names: dict[str, tuple[str, bool]] = {}
    for file in sorted(folder.glob("*/*_processing_*.py")):
        video = file.name.startswith("video_processing")
        if not (video or file.name.startswith("image_processing")) or "_pil_" in file.name:
            continue
        model = file.parent.name
        if model == "auto":
            continue
        module = importlib.import_module(f"transformers.models.{model}.{file.stem}")
        ends = "VideoProcessor" if video else "ImageProcessor"
        for name, made in vars(module).items():
            own = inspect.isclass(made) and made.__module__ == module.__name__
            if own and name.endswith(ends):
                names[name] = (model, video)
    return names


def source_of(name: str) -> list[str]:
    """A class's own code, without comments and docs."""
    lines = [line.strip() for line in inspect.getsource(found(name)).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def keys_of(name: str) -> set[str]:
    return {key for key in found(name)().to_dict() if key not in NAMES}


def unknown(only: str) -> list[str]:
    """Classes that the table does not know, each with the one that it resembles most."""
    table = native.upstream()
    every = classes()
    known = {name for name in every if name in table and found(name) is not None}
    keys: dict[str, set[str]] = {}
    sources: dict[str, list[str]] = {}
    for name in every:
        if found(name) is None:
            continue
        try:
            keys[name], sources[name] = keys_of(name), source_of(name)
        except Exception:  # some need a package that is not there
            continue
    lines = []
    for name, (model, video) in sorted(every.items()):
        if name in table or only not in name:
            continue
        if name not in keys:
            lines.append(f"{name} ({model}): cannot be made here")
            continue

        def alike(other: str, name: str = name) -> float:
            both, either = keys[name] & keys[other], keys[name] | keys[other]
            code = difflib.SequenceMatcher(None, sources[name], sources[other], autojunk=False)
            bound = len(both) / max(1, len(either))
            return bound + (code.ratio() if code.real_quick_ratio() > 0.3 else 0.0)

        of_kind = [k for k in known if every[k][1] == video and k in keys]
        near = sorted(of_kind, key=lambda k: len(keys[name] & keys[k]) / len(keys[name] | keys[k]))[
            -6:
        ]
        best = max(near, key=alike, default=None)
        if best is None:
            lines.append(f"{name} ({model})")
            continue
        new = sorted(keys[name] - keys[best])
        lines.append(
            f"{name} ({model}): most like {best} ({alike(best) / 2:.0%})"
            + (f", with {', '.join(new)}" if new else "")
        )
    return lines


def report(title: str, moved: Mapping[str, list[str]]) -> None:
    print(f"\n## {title}: {len(moved) or 'nothing'}")
    for name, lines in sorted(moved.items()):
        print(f"- {name}")
        for line in lines[:SHOWN]:
            print(f"    {line}")
        if len(lines) > SHOWN:
            print(f"    and {len(lines) - SHOWN} more")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="classes with that in their names")
    parser.add_argument("--every", type=int, default=1, help="each so many-th case of a class")
    given = parser.parse_args(arguments)
    import torch
    import torchvision
    import transformers

    torch.set_num_threads(1)  # as recorded
    versions = (transformers.__version__, torch.__version__, torchvision.__version__)
    print("transformers {}, torch {}, torchvision {}".format(*versions))
    ran, moved, gone = moved_results(given.only, given.every)
    defaults, texts = moved_defaults(given.only), moved_texts(given.only)
    print(f"{ran} recorded cases ran")
    report("Results that moved", moved)
    report("Defaults that moved", defaults)
    report("Prompts and counts that moved", texts)
    report("Classes that are gone", {name: [] for name in gone})
    new = unknown(given.only)
    print(f"\n## Classes that the table does not know: {len(new)}")
    for line in new:
        print(f"- {line}")
    return 1 if moved or defaults or texts or gone else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
