"""Families whose released models bring their own code: what copies of it returned, bit for bit.

`golden/record_remote.py` and `golden/record_copies.py` recorded it. Nothing of that code is here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from golden import inputs

COPIES = golden_cases.load("copies.json")
CASES = golden_cases.load("remote.json")["cases"] + COPIES["cases"]
NUMERICS = {"pil": "pillow-13", "torchvision": "torchvision"}
MINICPM = {
    "image_processor_type": "MiniCPMVImageProcessor",
    "auto_map": {
        "AutoProcessor": "processing_minicpmv.MiniCPMVProcessor",
        "AutoImageProcessor": "image_processing_minicpmv.MiniCPMVImageProcessor",
    },
    "processor_class": "MiniCPMVProcessor",
    "max_slice_nums": 9,
    "scale_resolution": 448,
    "patch_size": 14,
    "use_image_id": True,
    "image_feature_size": 64,
    "im_start": "<image>",
    "im_end": "</image>",
    "slice_start": "<slice>",
    "slice_end": "</slice>",
    "unk": "<unk>",
    "im_id_start": "<image_id>",
    "im_id_end": "</image_id>",
    "slice_mode": True,
    "norm_mean": [0.5, 0.5, 0.5],
    "norm_std": [0.5, 0.5, 0.5],
    "version": 2.6,
}
KIMI = {
    "auto_map": {
        "AutoProcessor": "processing_kimi_vl.KimiVLProcessor",
        "AutoImageProcessor": "image_processing_kimi_vl.KimiVLImageProcessor",
    },
    "in_token_limit": 4096,
    "patch_size": 14,
    "num_pooled_tokens": 1024,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "pad_input": True,
    "merge_kernel_size": [2, 2],
}


def described(value: Any) -> Any:
    """As the recorder describes results."""
    if isinstance(value, np.ndarray):
        found = {"shape": list(value.shape), "dtype": value.dtype.name}
        if value.size <= 64 and value.dtype.kind in "iu":
            return {**found, "values": value.tolist()}
        return {**found, "sha256": hashlib.sha256(np.ascontiguousarray(value)).hexdigest()}
    if isinstance(value, list):
        return [described(item) for item in value]
    return value


def test_no_case_is_lost() -> None:
    assert len(CASES) == 61 + 120


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{n}-{case['family']}-{case['backend']}" for n, case in enumerate(CASES)]
)
def test_recorded_case(case: Mapping[str, Any]) -> None:
    numerics: Any = NUMERICS[case["backend"]]
    processor = dr.Processor(case["family"], numerics=numerics, **case["options"])
    images = [inputs.make(spec) for spec in case["images"]]
    if "error" in case["outputs"]:
        with pytest.raises(ValueError):
            processor(images)
        return
    # A flat list is one sample to MiniCPM's code; the others have no samples.
    batch = processor([images])
    assert {key: described(value) for key, value in batch.items()} == case["outputs"]


@pytest.mark.parametrize("family", COPIES["views"])
def test_recorded_numbers_of_views(family: str) -> None:
    processor = dr.Processor(family)
    plans = [processor.plan(*size) for size in COPIES["sizes"]]
    assert [plan.shape[0] for plan in plans] == COPIES["views"][family]
    tokens = {plan.shape[0]: plan.num_tokens for plan in plans}
    assert set(tokens.values()) == {256 * views for views in tokens}, "tokens a view"


def test_files_as_published() -> None:
    assert dr.Processor.from_config(MINICPM) == dr.Processor("minicpm-v2.6")
    assert dr.Processor.from_config(KIMI) == dr.Processor("kimi-vl")
    own = dr.Processor.from_config({"auto_map": KIMI["auto_map"]})
    assert not own.to_dict()["pad_input"], "the class's default"


def test_the_models_config_tells_which_it_is(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(MINICPM), encoding="utf-8")
    for version, family in ((2.6, "minicpm-v2.6"), (4.5, "minicpm-v4.5")):
        config = {"model_type": "minicpmv", "version": version}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        assert dr.Processor.from_pretrained(tmp_path).family == family
    encoder = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 512, "width": 512},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(encoder), encoding="utf-8")
    for model_type, family in (("ovis2_5", "ovis2.5"), ("siglip", "siglip")):
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": model_type}), encoding="utf-8"
        )
        assert dr.Processor.from_pretrained(tmp_path).family == family


def test_other_code_of_models_is_named() -> None:
    auto_map = {"AutoImageProcessor": "repository--image_processing_kimi.KimiXImageProcessor"}
    for given in ({"auto_map": auto_map}, {"auto_map": {"AutoImageProcessor": ["a.KimiX", None]}}):
        with pytest.raises(ValueError, match=r"KimiX.*is not here.*'kimi-vl'"):
            dr.Processor.from_config(given)


def test_strips_as_tensors_and_tokens() -> None:
    processor = dr.Processor("minicpm-v4.5")
    images = [
        inputs.make({"kind": "noise", "height": h, "width": 700, "seed": h}) for h in (90, 600)
    ]
    batch = processor([[images[0]], [images[1], images[0]]], dtype="bfloat16")
    assert [len(views) for views in batch["pixel_values"]] == [1, 1 + 4 + 1]
    assert batch["pixel_values"][0][0].dtype == np.uint16
    assert batch["temporal_ids"] == [[[-1]], [[-1]] * 6]
    assert batch["skip_image_idx"] == [[], []]
    assert processor.num_tokens([(90, 700), (600, 700)]).tolist() == [64, 64 * 5]
    with pytest.raises(ValueError, match="list of arrays"):
        processor(images, out=np.empty((1, 3, 14, 14), np.float32))
