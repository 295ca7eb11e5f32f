"""Bytes that a release gave once, it gives again: `golden/pinned.json` has digests of our outputs.

What upstream returned is in the other files of `golden/`. This one has what they do not: every
element type and every numerics of a family, with its name in the code. A byte that changes here
changes what people have trained with: that is a breaking change, for the changelog and the next
major version. `python tests/test_pinned.py` adds digests of families that have none; it never
changes one.
"""

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from golden import inputs

FILE = Path(__file__).parent / "golden" / "pinned.json"
NUMERICS = ("torchvision", "pillow-12.0", "pillow-12.2", "pillow-13")
DTYPES = ("float32", "float16", "bfloat16", "uint8")
IMAGES = (
    {"kind": "noise", "height": 61, "width": 83, "seed": 18},
    {"kind": "edges", "height": 640, "width": 29, "seed": 4},
    {"kind": "smooth", "height": 200, "width": 351, "seed": 6},
)


def _update(digest: Any, value: Any) -> None:
    if isinstance(value, list | tuple):
        for item in value:
            _update(digest, item)
        return
    array = np.ascontiguousarray(value)
    digest.update(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(array.tobytes())


def result(family: str, numerics: str, dtype: str) -> str:
    """One digest of all outputs, their keys, types and shapes."""
    processor = dr.Processor(family, numerics=numerics)
    # Some families refuse the long one: the others are pinned all the same.
    batch = processor([inputs.make(image) for image in IMAGES], dtype=dtype, errors="collect")
    del batch["errors"]
    digest = hashlib.sha256()
    for key in sorted(batch):
        digest.update(f"{key} ".encode())
        _update(digest, batch[key])
    return digest.hexdigest()[:32]


def load() -> dict[str, dict[str, str]]:
    return json.loads(FILE.read_text(encoding="utf-8"))["digests"] if FILE.exists() else {}


CASES = [(family, case) for family, cases in load().items() for case in cases]


@pytest.mark.parametrize(("family", "case"), CASES, ids=[f"{f}-{c}" for f, c in CASES])
def test_bytes_stay(family: str, case: str) -> None:
    numerics, dtype = case.split()
    assert result(family, numerics, dtype) == load()[family][case], "a breaking change"


def test_every_combination_is_pinned() -> None:
    assert len(load()) >= 8
    wanted = [f"{numerics} {dtype}" for numerics, dtype in itertools.product(NUMERICS, DTYPES)]
    for family, cases in load().items():
        assert list(cases) == wanted, family


def main() -> None:
    digests = load()
    for family in dr.families():
        if family not in digests:
            digests[family] = {
                f"{numerics} {dtype}": result(family, numerics, dtype)
                for numerics, dtype in itertools.product(NUMERICS, DTYPES)
            }
            print(family, file=sys.stderr)
    FILE.write_text(json.dumps({"digests": digests}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
