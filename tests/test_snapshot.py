"""What families say of themselves and of images is what it was when this was recorded.

`DYNRES_RECORD_SNAPSHOT=1 pytest tests/test_snapshot.py` records it anew: every difference is a
change that users see.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import dynres_rs as dr
import pytest

FILE = Path(__file__).parent / "golden" / "snapshot.json"
SIZES = 200


def sizes() -> list[tuple[int, int, int]]:
    chosen = random.Random(20261129)
    side = lambda: int(2 ** chosen.uniform(0, 12.5))  # noqa: E731
    return [(side(), side(), chosen.choice((1, 1, 2, 3))) for _ in range(SIZES)]


def digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_of(processor: dr.Processor, height: int, width: int, images: int) -> Any:
    try:
        return processor.plan(height, width, num_images=images).to_dict()
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


def taken(name: str) -> dict[str, Any]:
    processor = dr.Processor(name, numerics="pillow-13")
    data = processor.to_dict()
    data.pop("video", None)
    return {
        "options": {key: value for key, value in dr.families()[name].items() if key != "aliases"},
        "to_dict": data,
        "plans": [digest(plan_of(processor, *size)) for size in sizes()],
    }


def recorded() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


@pytest.mark.skipif("DYNRES_RECORD_SNAPSHOT" not in os.environ, reason="only when asked")
def test_record() -> None:
    FILE.write_text(json.dumps({name: taken(name) for name in dr.families()}, indent=1) + "\n")


@pytest.mark.parametrize("name", list(recorded()))
def test_nothing_moved(name: str) -> None:
    before = recorded()[name]
    now = json.loads(json.dumps(taken(name), default=list))
    assert now["options"] == before["options"]
    assert now["to_dict"] == before["to_dict"]
    different = [
        size for size, a, b in zip(sizes(), now["plans"], before["plans"], strict=True) if a != b
    ]
    assert not different, f"plans of (height, width, images) {different[:5]} moved"
