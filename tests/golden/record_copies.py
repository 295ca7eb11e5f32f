"""Records what vLLM's copies of the code that models bring along return.

`python tests/golden/record_copies.py`, where vLLM is installed. Only digests and small numbers go
into `copies.json`, none of the code.
"""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import inputs
import PIL
import torch
import vllm
from PIL import Image
from record_remote import described
from vllm.transformers_utils.processors import deepseek_ocr, h2ovl, nemotron_vl

HERE = Path(__file__).parent
#: Sizes (height, width) of a call's images.
CALLS: list[list[tuple[int, int]]] = [
    [(480, 640)],
    [(1080, 1920)],
    [(61, 83)],
    [(29, 640)],
    [(900, 300)],
    [(448, 448)],
    [(640, 641)],
    [(1500, 900)],
    [(641, 1282)],
    [(33, 34), (700, 701), (1200, 90)],
]
#: Sizes of which only the number of views is recorded.
SIZES = [(60 + 37 * n % 1500, 60 + 101 * n % 1900) for n in range(400)]
#: Options beside the released values.
MORE: dict[str, list[dict[str, Any]]] = {
    "h2ovl": [{"use_msac": False}, {"max_num": 2}, {"max_num": 12}],
    "llama-nemotron-vl": [{"max_num": 12}, {"use_thumbnail": False}],
    "llama-nemotron-nano-vl": [{"max_num": 3}],
    "deepseek-ocr": [{"max_num": 9}, {"image_size": 1280, "tile_size": 512}],
}
TILED = {
    "h2ovl": (h2ovl.H2OVLImageProcessor, 448, 6),
    "llama-nemotron-vl": (nemotron_vl.LlamaNemotronVLEmbedImageProcessor, 512, 6),
    "llama-nemotron-nano-vl": (nemotron_vl.LlamaNemotronNanoVLImageProcessor, 512, 12),
}


def tiles(family: str, options: dict[str, Any], images: list[Image.Image]) -> list[torch.Tensor]:
    kind, side, most = TILED[family]
    more = {"use_msac": options.get("use_msac", True)} if family == "h2ovl" else {}
    processor: Any = kind(
        image_size=side,
        min_dynamic_patch=1,
        max_dynamic_patch=options.get("max_num", most),
        dynamic_image_size=True,
        use_thumbnail=options.get("use_thumbnail", True),
        **more,
    )
    found: list[torch.Tensor] = processor._images_to_pixel_values_lst(images)
    return found


def ocr(options: dict[str, Any], images: list[Image.Image]) -> dict[str, torch.Tensor]:
    """`DeepseekOCRProcessor` with a tokenizer of one token a letter."""
    processor = types.SimpleNamespace(
        image_token="<image>", image_token_id=4, ignore_id=-100, bos_id=2, eos_id=3, pad_id=0,
        image_size=options.get("tile_size", 640), base_size=options.get("image_size", 1024),
        max_crops=options.get("max_num", 6), patch_size=16, downsample_ratio=4, strategy="v1",
        image_transform=deepseek_ocr.ImageTransform(),
        encode=lambda text, bos, eos: [1] * len(text),
    )  # fmt: skip
    run: Any = deepseek_ocr.DeepseekOCRProcessor.tokenize_with_images
    _, pixels, crops, _, grids, counts, _ = run(processor, "<image>" * len(images), images)
    found = {"pixel_values": pixels}
    # Without tiles the copy returns one of zeros.
    if any(int(columns) * int(rows) > 1 for columns, rows in grids):
        found["images_crop"] = crops
    return {**found, "images_spatial_crop": grids, "num_image_tokens": torch.tensor(counts)}


def outputs(family: str, options: dict[str, Any], images: list[Image.Image]) -> dict[str, Any]:
    if family == "deepseek-ocr":
        return ocr(options, images)
    found = tiles(family, options, images)
    numbers = torch.tensor([len(each) for each in found])
    return {"pixel_values": torch.cat(found), "num_patches": numbers}


def main() -> None:
    torch.set_num_threads(1)
    cases = []
    for family, more in MORE.items():
        for options in ({}, *more):
            for number, sizes in enumerate(CALLS):
                kinds = ("noise", "smooth", "edges")
                specs = [
                    {"kind": kinds[(number + n) % 3], "height": h, "width": w, "seed": number + n}
                    for n, (h, w) in enumerate(sizes)
                ]
                images = [Image.fromarray(inputs.make(spec)) for spec in specs]
                cases.append(
                    {
                        "family": family,
                        "backend": "pil",
                        "options": options,
                        "images": specs,
                        "outputs": {
                            key: described(value)
                            for key, value in outputs(family, options, images).items()
                        },
                    }
                )
    views = {
        family: [len(tiles(family, {}, [Image.new("RGB", (w, h))])[0]) for h, w in SIZES]
        for family in TILED
    }
    made_with = {
        "vllm": vllm.__version__,
        "torch": torch.__version__.split("+")[0],
        "pillow": PIL.__version__,
    }
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = (
        f'{{"made_with": {json.dumps(made_with)},\n"sizes": {json.dumps(SIZES)},\n'
        f'"views": {json.dumps(views)},\n"cases": [\n{lines}\n]}}\n'
    )
    (HERE / "copies.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
