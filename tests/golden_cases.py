"""The recorded upstream results of `golden/`: cases, their images, and the comparison."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from golden import inputs
from numpy.typing import NDArray
from PIL import Image

GOLDEN = Path(__file__).parent / "golden"

NUMERICS_OF_BACKEND = {"pil": "pillow-13", "torchvision": "torchvision"}
NUMERICS_OF_RESIZE_COLUMN = {
    "pillow": "pillow-13",
    "pillow-12.0": "pillow-12.0",
    "pillow-12.3": "pillow-12.2",
    "torchvision": "torchvision",
}
# How many cases each file must yield: a loader that loses some must not look like a pass.
EXPECTED_COUNTS = {
    "images.json": 238,
    "internvl_deepseek.json": 110,
    "modes.json": 44,
    "resize.json": 141,
    "sizes.json": 42,
}

ImageSpec = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One call of an upstream processor."""

    id: str
    family: str
    numerics: str
    config: Mapping[str, Any]
    images: tuple[ImageSpec, ...]
    outputs: Mapping[str, Mapping[str, Any]]
    mode: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id


@cache
def load(file: str) -> Any:
    return json.loads((GOLDEN / file).read_text(encoding="utf-8"))


def _describe(images: Iterable[ImageSpec]) -> str:
    return "+".join(f"{i['kind']}{i['height']}x{i['width']}" for i in images)


def image_cases() -> list[Case]:
    """transformers' Qwen2-VL and GOT-OCR2 processors."""
    data = load("images.json")
    return [
        Case(
            f"images-{n}-{c['family']}-{c['backend']}-{_describe(c['images'])}",
            c["family"],
            NUMERICS_OF_BACKEND[c["backend"]],
            data["configs"][c["family"]],
            tuple(c["images"]),
            c["outputs"],
        )
        for n, c in enumerate(data["cases"])
    ]


def mode_cases() -> list[Case]:
    """The same processors on PIL images of other modes."""
    configs = load("images.json")["configs"]
    return [
        Case(
            f"modes-{n}-{c['family']}-{c['backend']}-{c['mode']}",
            c["family"],
            NUMERICS_OF_BACKEND[c["backend"]],
            configs[c["family"]],
            (c["image"],),
            c["outputs"],
            c["mode"],
        )
        for n, c in enumerate(load("modes.json")["cases"])
    ]


def original_cases() -> list[Case]:
    """InternVL's and DeepSeek-VL2's own code."""
    return [
        Case(
            f"original-{n}-{c['family']}-{_describe(c['images'])}",
            c["family"],
            "pillow-13",
            c["config"],
            tuple(c["images"]),
            c["outputs"],
        )
        for n, c in enumerate(load("internvl_deepseek.json")["cases"])
    ]


def family_cases(families: Iterable[str]) -> list[Case]:
    """Default-configured processors of transformers, calls of one image and of several."""
    wanted = set(families)
    configs = load("families.json")["configs"]
    return [
        Case(
            f"{file.removesuffix('.json')}-{n}-{c['class']}-{_describe(c['images'])}",
            c["family"],
            NUMERICS_OF_BACKEND[c["backend"]],
            configs[c["class"]],
            tuple(c["images"]),
            c["outputs"],
            kwargs=c["kwargs"],
        )
        for file in ("families.json", "families_multi.json")
        for n, c in enumerate(load(file)["cases"])
        if c["family"] in wanted
    ]


@dataclass(frozen=True)
class ResizeCase:
    id: str
    image: ImageSpec
    size: tuple[int, int]
    resample: str
    numerics: str
    sha256: str

    def __str__(self) -> str:
        return self.id


def resize_cases() -> list[ResizeCase]:
    cases = []
    for n, c in enumerate(load("resize.json")["cases"]):
        size = (c["size"][0], c["size"][1])
        for column, numerics in NUMERICS_OF_RESIZE_COLUMN.items():
            name = f"resize-{n}-{c['resample']}-{_describe([c['image']])}-to-{size[0]}x{size[1]}"
            cases.append(
                ResizeCase(f"{name}-{column}", c["image"], size, c["resample"], numerics, c[column])
            )
    return cases


@dataclass(frozen=True)
class ChainCase:
    """qwen-vl-utils resizes on Pillow 13, then transformers' processor takes the size as it is."""

    id: str
    image: ImageSpec
    factor: int
    patch_size: int
    min_pixels: int
    max_pixels: int
    fetched: Mapping[str, Any]
    outputs: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def __str__(self) -> str:
        return self.id


def chain_cases() -> list[ChainCase]:
    return [
        ChainCase(
            f"chains-{n}-{_describe([c['image']])}",
            c["image"],
            2 * c["patch_size"],
            c["patch_size"],
            c["min_pixels"],
            c["max_pixels"],
            c["fetched"],
            {NUMERICS_OF_BACKEND[backend]: outputs for backend, outputs in c["outputs"].items()},
        )
        for n, c in enumerate(load("chains.json")["cases"])
    ]


def size_rows(row: str) -> list[tuple[int, int, Any]]:
    """(height, width, what upstream said) of one function of `sizes.json`."""
    rows = []
    for size, results in load("sizes.json").items():
        height, width = map(int, size.split("x"))
        rows.append((height, width, results[row]))
    return rows


def make(spec: ImageSpec) -> NDArray[np.uint8]:
    """(height, width, channels)."""
    return inputs.make(spec)


def make_mode(spec: ImageSpec, mode: str) -> Image.Image:
    """A PIL image of a mode of `modes.json`, from the bytes of the formula."""
    values = make(spec)
    size = (spec["width"], spec["height"])
    raw = values.tobytes()
    if mode == "1":
        return Image.frombytes("L", size, raw).convert("1")
    if mode in ("P", "P+transparency"):
        image = Image.frombytes("RGB", size, raw).quantize(64)
        if mode == "P+transparency":
            image.info["transparency"] = 3
        return image
    if mode == "I;16":
        return Image.fromarray(values[:, :, 0].astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(values[:, :, 0].astype(np.float32))
    return Image.frombytes(mode, size, raw)


def digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def differences(
    result: Mapping[str, Any],
    expected: Mapping[str, Mapping[str, Any]],
    *,
    extra_keys: bool = False,
) -> list[str]:
    """What is not as recorded, a line each; `extra_keys` allows keys that upstream lacks."""
    lines = []
    if missing := expected.keys() - result.keys():
        lines.append(f"missing keys: {sorted(missing)}")
    if not extra_keys and (extra := result.keys() - expected.keys()):
        lines.append(f"keys that upstream does not return: {sorted(extra)}")
    for key in sorted(expected.keys() & result.keys()):
        values, want = np.asarray(result[key]), expected[key]
        if list(values.shape) != want["shape"]:
            lines.append(f"{key}: shape {list(values.shape)}, upstream {want['shape']}")
        elif str(values.dtype) != want["dtype"]:
            lines.append(f"{key}: dtype {values.dtype}, upstream {want['dtype']}")
        elif "values" in want:
            if values.tolist() != want["values"]:
                lines.append(f"{key}: {values.tolist()}, upstream {want['values']}")
        elif digest(values) != want["sha256"]:
            lines.append(f"{key}: digest differs; first values {values.ravel()[:4].tolist()}")
    return lines


def check(
    case: Case,
    result: Mapping[str, Any],
    *,
    extra_keys: bool = False,
    reference: Mapping[str, Any] | None = None,
) -> None:
    """Fail, with everything that is needed to see why, unless `result` is as recorded.

    `reference`, the same result from the plain algorithms, turns a wrong digest into positions.
    """
    lines = differences(result, case.outputs, extra_keys=extra_keys)
    if not lines:
        return
    for key, want in (reference or {}).items():
        got = np.asarray(result.get(key))
        if got.shape == want.shape and got.dtype == want.dtype and (got != want).any():
            wrong = np.argwhere(got != want)
            first = tuple(int(i) for i in wrong[0])
            lines.append(
                f"{key}: {len(wrong)} of {want.size} values differ from the reference, first at "
                f"{first}: {got[first]!r} instead of {want[first]!r}"
            )
    raise AssertionError("\n".join([case.id, f"{case.numerics}, {dict(case.config)}", *lines]))
