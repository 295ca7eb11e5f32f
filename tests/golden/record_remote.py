"""Records what the code that models bring along returns.

`python tests/golden/record_remote.py FOLDER`: the folder holds that code, or copies of it, as the
models' pages have it: `image_processing_minicpmv.py` of MiniCPM-V 2.6 (`minicpmv26/`) and 4.5
(`minicpmv45/`), `image_processing_kimi_vl.py` of Kimi-VL, and `ovis2_5.py`, vLLM's copy of
Ovis2.5's processor. It needs torch, torchvision, transformers and the Pillow of the numerics. Only
digests and small numbers go into `remote.json`, none of the code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import inputs
import numpy as np
import PIL
import torch
import transformers
from PIL import Image

HERE = Path(__file__).parent
#: Options beside the released values, and the sizes (height, width) of a call's images.
CALLS: list[tuple[dict[str, Any], list[tuple[int, int]]]] = [
    ({}, [(480, 640)]),
    ({}, [(1080, 1920)]),
    ({}, [(61, 83)]),
    ({}, [(29, 640)]),
    ({}, [(900, 300)]),
    ({}, [(448, 448)]),
    ({}, [(449, 449)]),
    ({}, [(33, 34), (700, 701), (1200, 90)]),
]
MINICPM: list[tuple[dict[str, Any], list[tuple[int, int]]]] = [
    ({"max_slice_nums": 4}, [(1000, 1300)]),
    ({"max_slice_nums": 1}, [(1000, 1300)]),
    ({"scale_resolution": 224, "max_slice_nums": 12}, [(600, 900), (31, 17)]),
    ({"slice_mode": False}, [(300, 400)]),
    ({"norm_mean": [0.4, 0.5, 0.6], "norm_std": [0.2, 0.3, 0.4]}, [(100, 200)]),
]
KIMI: list[tuple[dict[str, Any], list[tuple[int, int]]]] = [
    ({"pad_input": False}, [(480, 640)]),
    ({"pad_input": False}, [(97, 45), (1071, 1905)]),
    ({"in_token_limit": 256}, [(480, 640), (300, 1000)]),
    ({"in_token_limit": 256, "pad_input": False}, [(481, 643)]),
    ({"image_mean": [0.48145466, 0.4578275, 0.40821073]}, [(100, 200)]),
]
OVIS: list[tuple[dict[str, Any], list[tuple[int, int]]]] = [
    ({"max_pixels": 200_000}, [(480, 640)]),
    ({"min_pixels": 3136}, [(20, 30), (25, 5000), (33, 7000)]),
    ({"max_pixels": 896 * 896}, [(1500, 1100)]),
]
RELEASED_KIMI = {
    "in_token_limit": 4096,
    "patch_size": 14,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "pad_input": True,
    "merge_kernel_size": [2, 2],
}


def loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem + path.parent.name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(value: Any) -> Any:
    """Arrays by shape, type and digest; lists of them as lists; small numbers as they are."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        found = {"shape": list(value.shape), "dtype": value.dtype.name}
        if value.size <= 64 and value.dtype.kind in "iu":
            return {**found, "values": value.tolist()}
        data = np.ascontiguousarray(value)
        return {**found, "sha256": hashlib.sha256(data.tobytes()).hexdigest()}
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    return value


def ovis(module: Any, options: dict[str, Any], images: list[Image.Image], backend: str) -> Any:
    """What the model's own code joins of the results of each image."""
    made = (
        transformers.SiglipImageProcessorPil
        if backend == "pil"
        else transformers.SiglipImageProcessor
    )
    processor = module.Ovis2_5Processor.__new__(module.Ovis2_5Processor)
    processor.image_processor = made(image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3)
    processor.patch_size, processor.hidden_stride, processor.temporal_patch_size = 16, 2, 1
    processor.construct_visual_placeholders = lambda *_: None
    found = [processor.preprocess_multidata(images=image, **options) for image in images]
    return {
        "pixel_values": torch.cat([pixels for pixels, _, _ in found]),
        "grid_thws": torch.cat([grid for _, _, grid in found]),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    cases = []
    kimi = loaded(folder / "image_processing_kimi_vl.py")
    minicpm = {
        "minicpm-v2.6": loaded(folder / "minicpmv26" / "image_processing_minicpmv.py"),
        "minicpm-v4.5": loaded(folder / "minicpmv45" / "image_processing_minicpmv.py"),
    }
    vllm = loaded(folder / "ovis2_5.py")
    for family in ("minicpm-v2.6", "minicpm-v4.5", "kimi-vl", "ovis2.5"):
        extra = {"kimi-vl": KIMI, "ovis2.5": OVIS}.get(family, MINICPM)
        for number, (options, sizes) in enumerate(CALLS + extra):
            kinds = ("noise", "smooth", "edges")
            specs = [
                {"kind": kinds[(number + n) % 3], "height": h, "width": w, "seed": 100 * number + n}
                for n, (h, w) in enumerate(sizes)
            ]
            images = [Image.fromarray(inputs.make(spec)) for spec in specs]
            for backend in ("pil", "torchvision") if family == "ovis2.5" else ("pil",):
                try:
                    if family == "kimi-vl":
                        made = kimi.KimiVLImageProcessor(**{**RELEASED_KIMI, **options})
                        outputs = dict(made.preprocess(images, return_tensors="pt"))
                    elif family == "ovis2.5":
                        outputs = ovis(vllm, options, images, backend)
                    else:
                        made = minicpm[family].MiniCPMVImageProcessor(**options)
                        outputs = dict(made.preprocess(images, return_tensors=None))
                    found = {key: described(value) for key, value in outputs.items()}
                except ValueError as error:
                    found = {"error": type(error).__name__}
                cases.append(
                    {
                        "family": family,
                        "backend": backend,
                        "options": options,
                        "images": specs,
                        "outputs": found,
                    }
                )
    made_with = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
        "pillow": PIL.__version__,
    }
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = f'{{"made_with": {json.dumps(made_with)},\n"cases": [\n{lines}\n]}}\n'
    (HERE / "remote.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
