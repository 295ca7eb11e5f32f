"""Records the text that the code models bring along puts into a prompt for an image.

`python tests/golden/record_remote_prompts.py FOLDER`, with the folder of `record_remote.py` and in
it `processing_kimi_vl.py` of Kimi-VL. Only the texts go into `remote_prompts.json`, packed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from record_remote import RELEASED_KIMI, loaded  # noqa: E402
from upstream_prompts import SIZES, packed  # noqa: E402


def kimi(folder: Path, size: tuple[int, int]) -> str:
    """The image's token, as often as the processor counts; it repeats it as often."""
    processor = loaded(folder / "processing_kimi_vl.py").KimiVLProcessor
    stand_in = SimpleNamespace(image_processor=SimpleNamespace(**RELEASED_KIMI))
    return "<|media_pad|>" * int(processor.get_image_tokens(stand_in, size[1], size[0]))


def minicpm(folder: Path, size: tuple[int, int]) -> str:
    module = loaded(folder / "image_processing_minicpmv.py")
    made = module.MiniCPMVImageProcessor(use_image_id=True)
    return str(made.get_slice_image_placeholder(size[::-1], 3))


def ovis(folder: Path, size: tuple[int, int]) -> str:
    module = loaded(folder / "ovis2_5.py")
    processor = module.Ovis2_5Processor.__new__(module.Ovis2_5Processor)
    processor.patch_size, processor.hidden_stride, processor.temporal_patch_size = 16, 2, 1
    names = ("image_start", "image_end", "visual_atom", "image_pad")
    processor.extra_special_tokens = {name: f"<{name}>" for name in names}
    processor.extra_special_tokens["image_pad"] = "<|image_pad|>"
    height, width = processor.smart_resize(
        *size, factor=32, min_pixels=module.MIN_PIXELS, max_pixels=module.MAX_PIXELS
    )
    grid = np.array([1, height // 16, width // 16])
    return "".join(processor.construct_visual_placeholders(grid))


def main(folder: Path) -> None:
    texts = {
        "minicpm-v2.6": [minicpm(folder / "minicpmv26", size) for size in SIZES],
        "minicpm-v4.5": [minicpm(folder / "minicpmv45", size) for size in SIZES],
        "kimi-vl": [kimi(folder, size) for size in SIZES],
        "ovis2.5": [ovis(folder, size) for size in SIZES],
    }
    found = {
        "sizes": SIZES,
        "number": 3,
        "families": {family: [packed(text) for text in each] for family, each in texts.items()},
    }
    text = json.dumps(found, ensure_ascii=False) + "\n"
    (HERE / "remote_prompts.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
