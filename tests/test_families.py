"""Every recorded case of every image class of upstream: bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from PIL import Image

FILES = ("families.json", "families_multi.json", "configs.json", "published.json")
EXPECTED = {
    "families.json": 651,
    "families_multi.json": 178,
    "configs.json": 825,
    "published.json": 32,
}


def class_of(case: Mapping[str, Any]) -> str:
    return str(case["class"]).removesuffix("Pil").removesuffix("Fast")


def config_of(file: str, case: Mapping[str, Any]) -> dict[str, Any]:
    data = golden_cases.load(file)
    if "config" in case:
        return dict(data["configs"][case["config"]])
    return {"image_processor_type": class_of(case)}


def label(file: str, number: int, case: Mapping[str, Any]) -> str:
    sizes = "+".join(f"{i['height']}x{i['width']}" for i in case["images"])
    kwargs = "-kwargs" if case.get("kwargs") else ""
    where = case.get("config", "")
    stem = file.partition(".")[0]
    return f"{stem}-{number}-{class_of(case)}-{case['backend']}-{where}-{sizes}{kwargs}"


def cases() -> list[Any]:
    found = []
    for file in FILES:
        for number, case in enumerate(golden_cases.load(file)["cases"]):
            found.append(pytest.param(file, case, id=label(file, number, case)))
    return found


def as_recorded(value: Any, want: Any, where: str) -> list[str]:
    """The differences between a value and a recorded one: arrays, or lists of them."""
    if isinstance(want, list):
        if not isinstance(value, list) or len(value) != len(want):
            return [f"{where}: {type(value).__name__}, upstream a list of {len(want)}"]
        pairs = zip(value, want, strict=True)
        return [
            line for i, (a, b) in enumerate(pairs) for line in as_recorded(a, b, f"{where}[{i}]")
        ]
    if "list" in want:
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        return [] if plain == want["list"] else [f"{where}: {plain}, upstream {want['list']}"]
    if want["dtype"] == "bfloat16":
        want = {**want, "dtype": "uint16"}  # its bits
    return golden_cases.differences({where: value}, {where: want})


def differences(result: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    lines = []
    if set(result) != set(outputs):
        lines.append(f"keys {sorted(result)}, upstream {sorted(outputs)}")
    for key in sorted(set(result) & set(outputs)):
        lines += as_recorded(result[key], outputs[key], key)
    return lines


def picture(spec: Mapping[str, Any]) -> Any:
    image = golden_cases.make(spec)
    return Image.fromarray(image) if image.shape[0] in (1, 3, 4) else image


def test_no_case_is_lost() -> None:
    for file, count in EXPECTED.items():
        assert len(golden_cases.load(file)["cases"]) == count, file


def test_every_recorded_class_is_here() -> None:
    known = {name for name, rows in native.upstream().items() if not rows[0]["video"]}
    assert known >= {class_of(case) for file in FILES for case in golden_cases.load(file)["cases"]}


@pytest.mark.parametrize(("file", "case"), cases())
def test_recorded_case(file: str, case: Mapping[str, Any]) -> None:
    numerics = golden_cases.NUMERICS_OF_BACKEND[case["backend"]]
    outputs = case["outputs"]
    images = [picture(spec) for spec in case["images"]]
    given = images[0] if len(images) == 1 else images
    if "error" in outputs:
        with pytest.raises((ValueError, TypeError)):
            dr.Processor.from_config(config_of(file, case), numerics=numerics)(
                given, **case.get("kwargs", {})
            )
        return
    processor = dr.Processor.from_config(config_of(file, case), numerics=numerics)
    result = processor(given, **case.get("kwargs", {}))
    lines = differences(result, outputs)
    assert not lines, "\n".join([label(file, 0, case), *lines])
