"""What upstream's processors put into a prompt for a video.

`python tests/upstream_videos.py` records the texts of `CASES` in `golden/video_prompts.json`; it
needs torch, and num2words for SmolVLM. Each is the whole call of the processor around the video
processor of its model type, with a tokenizer that only tells the text it is given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from upstream_prompts import GEMMA4, INTERNVL, RECORDED, Said, Upstream, build, packed

FILE = Path(__file__).parent / "golden" / "video_prompts.json"

#: Families whose images have another processor, or that are made another way for videos.
OWN: dict[str, Upstream] = {
    "glmga": Upstream(
        "glm46v", "Glm46VProcessor", "Glm46VImageProcessor", video_processor="GlmgaVideoProcessor"
    ),
    "internvl-video": Upstream("internvl", "InternVLProcessor", "GotOcr2ImageProcessor", INTERNVL),
    "llava-next-video": Upstream(
        "llava_next_video",
        "LlavaNextVideoProcessor",
        "LlavaNextImageProcessor",
        options={"patch_size": 14},
    ),
    "embedding-gemma2": Upstream(
        "embedding_gemma2", "EmbeddingGemma2Processor", "Gemma4ImageProcessor", GEMMA4
    ),
    "embedding-gemma2, times": Upstream(
        "embedding_gemma2",
        "EmbeddingGemma2Processor",
        "Gemma4ImageProcessor",
        GEMMA4,
        video_config={"add_timestamps": True},
    ),
    "smolvlm": replace(
        RECORDED["smolvlm"],
        options={},
        call={"return_tensors": "pt"},
        video_config={"num_frames": 64, "fps": 1},
    ),
    "video-llama-3": replace(
        RECORDED["video-llama-3"], video_config={"use_token_compression": False}
    ),
    # Its processor takes frames that are resized already.
    "minimax-m3-vl": replace(RECORDED["minimax-m3-vl"], call={"do_resize": True}),
    "ernie4.5-vl-moe": replace(RECORDED["ernie4.5-vl-moe"], video_config={"draw_on_frames": False}),
    "nemotron-h-omni": replace(
        RECORDED["nemotron-h-omni"],
        video_config={"norm_mean": [0.5] * 3, "norm_std": [0.5] * 3},
    ),
}
SHARED = (
    "qwen2-vl", "qwen2.5-vl", "qwen3-vl", "cohere-compass", "cosmos3-edge", "hy-v4-vl", "glm4v",
    "glm46v", "glm5-next", "llava-onevision", "perception-lm", "video-llava",
    "gemma4", "gemma4-unified", "kimi-k25", "muse-glimmer", "minicpm-v4.6", "minicpm-ocr", "molmo2",
)  # fmt: skip
#: By family, with what is special about it behind a comma.
VIDEOS: dict[str, Upstream] = {**{family: RECORDED[family] for family in SHARED}, **OWN}

#: `sampled` is `do_sample_frames`, `options` are others of the video processor.
CASES: tuple[dict[str, Any], ...] = (
    {"frames": 5, "size": (64, 96)},
    {
        "frames": 8,
        "size": (130, 70),
        "metadata": {"fps": 29.97, "frames_indices": [0, 15, 31, 47, 62, 80, 100, 131]},
    },
    {"frames": 1, "size": (64, 64), "metadata": {"fps": 30.0, "frames_indices": [77]}},
    # Halves of a tenth: 0.05, 0.15, 0.35.
    {
        "frames": 3,
        "size": (200, 310),
        "metadata": {"fps": 20.0, "frames_indices": [1, 3, 7], "duration": 100000.5},
    },
    {
        "frames": 6,
        "size": (96, 64),
        "metadata": {
            "fps": 24.5,
            "frames_indices": [0, 100_000, 2117, 3_000_000, 90_000_000, 5],
            "duration": 176_461.0,
        },
    },
    {"frames": 4, "size": (64, 96), "metadata": {"frames_indices": [10, 20, 30, 41]}},
    {"frames": 2, "size": (64, 96), "metadata": {"fps": 2.0, "frames_indices": [-3, 1]}},
    # Frames of unknown numbers.
    {"frames": 4, "size": (64, 96), "metadata": {"fps": 23.976}},
    # Of these a processor takes some.
    {"frames": 43, "size": (64, 96), "metadata": {"fps": 20.0}, "sampled": True},
    {
        "frames": 47,
        "size": (64, 64),
        "metadata": {"fps": 7.5, "duration": 47 / 7.5},
        "sampled": True,
    },
    {
        "frames": 37,
        "size": (64, 64),
        "metadata": {"fps": 10.0, "duration": 3.7},
        "sampled": True,
        "options": {"fps": 4.0},
    },
)

#: Frames, heights and widths that are counted.
SIZES = ((2, 64, 96), (9, 480, 640), (16, 130, 70))


def metadata_of(case: dict[str, Any]) -> dict[str, Any] | None:
    """A case's `video_metadata`."""
    known = case.get("metadata")
    return None if known is None else {"total_num_frames": case["frames"], **known}


def frames_of(case: dict[str, Any]) -> Any:
    import numpy as np

    noise = np.random.default_rng(case["frames"])
    return noise.integers(0, 256, (case["frames"], *case["size"], 3), np.uint8)


def said(family: str, processor: Any, case: dict[str, Any]) -> tuple[str, int]:
    """The text of a prompt that holds nothing but a case's video, and the frames that it takes."""
    upstream = VIDEOS[family]
    known = metadata_of(case)
    options: dict[str, Any] = {**case.get("options", {})}
    if known is not None:
        options["video_metadata"] = [known]
    taken: list[int] = []
    prepare = processor.video_processor._prepare_input_videos

    def counted(videos: Any, **kwargs: Any) -> Any:
        taken.append(len(videos[0]))
        return prepare(videos=videos, **kwargs)

    processor.video_processor._prepare_input_videos = counted
    try:
        processor(
            text=processor.video_token,
            videos=[frames_of(case)],
            do_sample_frames=case.get("sampled", False),
            return_metadata=True,
            **options,
            **upstream.call,
        )
    except Said as found:
        before, after = upstream.around
        assert found.text.startswith(before) and found.text.endswith(after), found.text[-80:]
        return found.text[len(before) : len(found.text) - len(after)], taken[0]
    finally:
        del processor.video_processor._prepare_input_videos
    raise AssertionError(f"{family}: no text was tokenized")


def counted(processor: Any, sizes: Sequence[tuple[int, int, int]]) -> list[int] | None:
    """What `_get_num_multimodal_tokens` says of videos; None where it says nothing."""
    try:
        found = processor._get_num_multimodal_tokens(video_sizes=[list(size) for size in sizes])
        tokens = found.num_video_tokens
    except (AttributeError, NotImplementedError, TypeError):
        return None
    return None if tokens is None else [int(count) for count in tokens]


#: Numbers of frames in words.
NUMBERS = (
    *range(1, 32), 40, 64, 77, 99, 100, 101, 110, 119, 120, 342, 999, 1000, 1001, 1010, 1100, 2345,
    10_000, 12_012, 13_900, 20_001, 20_100,
)  # fmt: skip


def record() -> dict[str, Any]:
    import num2words
    import torch
    import transformers

    found: dict[str, Any] = {
        "made_with": {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "num2words": version("num2words"),
        },
        "cases": CASES,
        "sizes": SIZES,
        "words": {number: num2words.num2words(number) for number in NUMBERS},
        "families": {},
    }
    for family, upstream in VIDEOS.items():
        processor = build(upstream)
        row: dict[str, Any] = {"texts": [], "frames": []}
        for number, case in enumerate(CASES):
            try:
                text, taken = said(family, processor, case)
            except Exception as error:
                print(family, number, type(error).__name__, str(error)[:120], file=sys.stderr)
                row["texts"].append(None)
                row["frames"].append(None)
                continue
            row["texts"].append(packed(text))
            row["frames"].append(taken)
        assert any(row["texts"]), f"{family} said nothing"
        numbers = counted(processor, SIZES)
        if numbers is not None:
            row["tokens"] = numbers
        found["families"][family] = row
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(record(), ensure_ascii=False) + "\n", encoding="utf-8")
