"""What torch's number of threads changes in upstream's own results.

Ours are those of one thread. For three classes upstream's change with the number; for all others
they must not, or "exact" would mean nothing on a machine with more cores.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from golden import inputs

pytestmark = pytest.mark.torch

THREADS = (2, 3, 4)
#: The largest difference to one thread of the classes that have any, beside numbers of about 1.
#: Molmo2: one grey level of 255, normalised by 0.5; of videos as bytes. The others: a mean and a
#: deviation that are summed in parts.
MOVED = {
    "Molmo2ImageProcessor": 2 / 255 + 1e-7,
    "Molmo2VideoProcessor": 1.0,
    "Pix2StructImageProcessor": 5e-7,
    "Kosmos2_5ImageProcessor": 5e-7,
}
#: A megapixel: torch divides work from 32,768 elements on.
IMAGE = {"kind": "noise", "height": 963, "width": 1281, "seed": 5}
VIDEO = {"kind": "noise", "height": 363, "width": 481}
#: Arguments without which a class refuses the call.
NEEDED: dict[str, dict[str, Any]] = {
    "Ernie4_5_VLMoeVideoProcessor": {"draw_on_frames": False},
    "NemotronH_Omni_Reasoning_V3VideoProcessor": {
        "norm_mean": [0.5, 0.5, 0.5],
        "norm_std": [0.5, 0.5, 0.5],
    },
}


def classes(video: bool) -> list[str]:
    """Classes of the table that have a torchvision backend."""
    rows = native.upstream()
    return [
        name
        for name, (row, *_) in rows.items()
        if row["video"] is video and row["backends"] != "pillow"
    ]


def flat(value: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(value, Mapping):
        return [array for key in sorted(value) for array in flat(value[key])]
    if isinstance(value, list | tuple):
        return [array for item in value for array in flat(item)]
    if hasattr(value, "view") and str(value.dtype) == "torch.bfloat16":
        # numpy has no bfloat16; each is a float32 as well.
        value = value.float()
    return [np.asarray(value)]


def results(torch: ModuleType, call: Any) -> dict[int, list[np.ndarray[Any, Any]]]:
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for threads in (1, *THREADS):
            torch.set_num_threads(threads)
            found[threads] = flat(dict(call()))
    return found


def difference(name: str, found: dict[int, list[np.ndarray[Any, Any]]]) -> float:
    largest = 0.0
    for threads in THREADS:
        for one, other in zip(found[1], found[threads], strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype), name
            if one.tobytes() != other.tobytes():
                apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
                largest = max(largest, float(apart.max()))
    return largest


@pytest.mark.parametrize("name", classes(video=False))
def test_images(transformers: ModuleType, one_thread: ModuleType, name: str) -> None:
    made = getattr(transformers, name, None)
    if made is None:
        pytest.skip("this transformers does not have it")
    processor = made(**NEEDED.get(name, {}))
    image = one_thread.from_numpy(inputs.make(IMAGE)).permute(2, 0, 1)
    found = results(one_thread, lambda: processor(image, input_data_format="channels_first"))
    assert difference(name, found) <= MOVED.get(name, 0.0)


@pytest.mark.parametrize("name", classes(video=True))
def test_videos(transformers: ModuleType, one_thread: ModuleType, name: str) -> None:
    made = getattr(transformers, name, None)
    if made is None:
        pytest.skip("this transformers does not have it")
    processor = made(**NEEDED.get(name, {}))
    frames = [inputs.make({**VIDEO, "seed": seed}) for seed in range(4)]
    clip = one_thread.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    found = results(
        one_thread, lambda: processor([clip], do_sample_frames=False, return_tensors="pt")
    )
    assert difference(name, found) <= MOVED.get(name, 0.0)
