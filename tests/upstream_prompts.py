"""Upstream's processors with tokenizers that only tell the text they are given.

`RECORDED` families have a processor in transformers; `make(family)` builds it around the class's
own image processor. `python tests/upstream_prompts.py` records what they say of `SIZES` in
`golden/prompts.json`; it needs torch.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "golden" / "prompts.json"
#: Heights and widths.
SIZES = (
    (480, 640),
    (640, 480),
    (1080, 1920),
    (2000, 300),
    (100, 100),
    (301, 1108),
    (1700, 1275),
    (64, 900),
)


@dataclass(frozen=True)
class Upstream:
    """How a family's processor is made, and what it is asked."""

    module: str
    """The folder under `transformers.models`."""
    processor: str
    image_processor: str
    tokens: dict[str, str] = field(default_factory=dict)
    """Attributes of the tokenizer."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the processor."""
    call: dict[str, Any] = field(default_factory=dict)
    """Arguments of its call."""
    config: dict[str, Any] = field(default_factory=dict)
    """Options of the image processor, as its file spells them."""
    text: str | None = None
    """The prompt for an image; None is its token."""
    around: tuple[str, str] = ("", "")
    """What the processor puts around any prompt."""
    counts: bool = True
    """Whether the processor counts tokens."""
    alone: bool = False
    """Whether its text for an image is asked of it alone: its call tokenizes part by part."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Attributes of the image processor that its class does not have."""
    video_processor: str | None = None
    """The class of its videos, where it is not that of the module's model type."""
    video_config: dict[str, Any] = field(default_factory=dict)
    """Options of the video processor, as its file spells them."""


IMAGE_PAD = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
GEMMA4 = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
GEMMA3 = {
    "image_token": "<image_soft_token>",
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
}
INTERNVL = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
MINICPM = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}
LLAVA = {
    "patch_size": 14,
    "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
}
#: A token of HunYuan's tokenizer.
HY = "<\uff5chy_place\u2581holder\u2581no\u2581{}\uff5c>"
MOLMO2 = {
    "image_token": "<|image|>",
    "video_token": "<|video|>",
    **{
        name: f"<{name}>"
        for name in ("im_patch", "im_col", "im_start", "low_res_im_start", "im_end")
    },
}
PERCEPTION = {"image_token": "<|image|>", "video_token": "<|video|>"}
IMAGE = {"image_token": "<image>"}

RECORDED: dict[str, Upstream] = {
    "qwen2-vl": Upstream("qwen2_vl", "Qwen2VLProcessor", "Qwen2VLImageProcessor", IMAGE_PAD),
    "qwen2.5-vl": Upstream("qwen2_5_vl", "Qwen2_5_VLProcessor", "Qwen2VLImageProcessor", IMAGE_PAD),
    "qwen3-vl": Upstream(
        "qwen3_vl",
        "Qwen3VLProcessor",
        "Qwen2VLImageProcessor",
        IMAGE_PAD,
        config={
            "patch_size": 16,
            "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
        },
    ),
    "internvl-hf": Upstream(
        "internvl",
        "InternVLProcessor",
        "GotOcr2ImageProcessor",
        INTERNVL,
        {"image_seq_length": 256},
        config={"size": {"height": 448, "width": 448}, "crop_to_patches": True},
    ),
    "got-ocr2": Upstream(
        "got_ocr2",
        "GotOcr2Processor",
        "GotOcr2ImageProcessor",
        text="<imgpad>",
        config={"size": {"height": 1024, "width": 1024}},
        counts=False,
    ),
    "deepseek-vl": Upstream(
        "deepseek_vl",
        "DeepseekVLProcessor",
        "DeepseekVLImageProcessor",
        {"image_token": "<image_placeholder>"},
        counts=False,
    ),
    "deepseek-vl-hybrid": Upstream(
        "deepseek_vl_hybrid",
        "DeepseekVLHybridProcessor",
        "DeepseekVLHybridImageProcessor",
        {"image_token": "<image_placeholder>"},
        counts=False,
    ),
    "glm4v": Upstream("glm4v", "Glm4vProcessor", "Glm4vImageProcessor"),
    "glm46v": Upstream("glm46v", "Glm46VProcessor", "Glm46VImageProcessor"),
    "cosmos3-edge": Upstream("cosmos3_edge", "Cosmos3EdgeProcessor", "Cosmos3EdgeImageProcessor"),
    "paddleocr-vl": Upstream(
        "paddleocr_vl",
        "PaddleOCRVLProcessor",
        "PaddleOCRVLImageProcessor",
        {"image_token": "<|IMAGE_PLACEHOLDER|>"},
        counts=False,
    ),
    "ernie4.5-vl-moe": Upstream(
        "ernie4_5_vl_moe",
        "Ernie4_5_VLMoeProcessor",
        "Ernie4_5_VLMoeImageProcessor",
        {
            "image_token": "<|IMAGE_PLACEHOLDER|>",
            "image_start_token": "<|IMAGE_START|>",
            "image_end_token": "<|IMAGE_END|>",
            "video_token": "<|VIDEO_PLACEHOLDER|>",
            "video_start_token": "<|VIDEO_START|>",
            "video_end_token": "<|VIDEO_END|>",
        },
    ),
    "hunyuan-vl": Upstream(
        "hunyuan_vl",
        "HunYuanVLProcessor",
        "HunYuanVLImageProcessor",
        {
            "image_token": HY.format(102),
            "image_start_token": HY.format(100),
            "image_end_token": HY.format(101),
        },
        text=HY.format(100) + HY.format(102) + HY.format(101),
        around=(HY.format(100), HY.format(101)),
    ),
    "hy-v4-vl": Upstream("hy_v4_vl", "HYV4VLProcessor", "HYV4VLImageProcessor", IMAGE_PAD),
    "video-llama-3": Upstream(
        "video_llama_3", "VideoLlama3Processor", "VideoLlama3ImageProcessor", IMAGE_PAD
    ),
    "minimax-m3-vl": Upstream("minimax_m3_vl", "MiniMaxM3VLProcessor", "MiniMaxM3VLImageProcessor"),
    "cohere-compass": Upstream(
        "cohere_compass", "CohereCompassProcessor", "CohereCompassImageProcessor"
    ),
    "emu3": Upstream(
        "emu3",
        "Emu3Processor",
        "Emu3ImageProcessor",
        {
            "image_token": "<image>",
            "boi_token": "<|image start|>",
            "eoi_token": "<|image end|>",
            "image_wrapper_token": "<|image token|>",
            "eof_token": "<|extra_201|>",
        },
        around=("<s>", ""),
    ),
    "apertus1p5": Upstream(
        "apertus1p5",
        "Apertus1p5Processor",
        "Apertus1p5ImageProcessor",
        {
            "image_token": "<|image|>",
            "audio_token": "<|audio|>",
            "boi_token": "<|img_start|>",
            "eoi_token": "<|img_end|>",
            "image_wrapper_token": "<|img_token_start|>",
            "eol_token": "<|img_end_of_row|>",
            "boa_token": "<|audio_start|>",
            "eoa_token": "<|audio_end|>",
        },
    ),
    "chameleon": Upstream(
        "chameleon", "ChameleonProcessor", "ChameleonImageProcessor", around=("", "</s>")
    ),
    "llava": Upstream("llava", "LlavaProcessor", "LlavaImageProcessor", options=LLAVA),
    "video-llava": Upstream(
        "video_llava", "VideoLlavaProcessor", "VideoLlavaImageProcessor", counts=False
    ),
    "gemma3": Upstream(
        "gemma3",
        "Gemma3Processor",
        "Gemma3ImageProcessor",
        GEMMA3,
        config={"size": {"height": 896, "width": 896}},
    ),
    "janus": Upstream(
        "janus",
        "JanusProcessor",
        "JanusImageProcessor",
        {
            "image_token": "<image_placeholder>",
            "boi_token": "<begin_of_image>",
            "eoi_token": "<end_of_image>",
        },
        counts=False,
    ),
    "pixtral": Upstream("pixtral", "PixtralProcessor", "PixtralImageProcessor"),
    "llava-next": Upstream(
        "llava_next",
        "LlavaNextProcessor",
        "LlavaNextImageProcessor",
        options=LLAVA,
        config={
            "size": {"shortest_edge": 336},
            "crop_size": {"height": 336, "width": 336},
        },
    ),
    "llava-onevision": Upstream(
        "llava_onevision",
        "LlavaOnevisionProcessor",
        "LlavaOnevisionImageProcessor",
        options={"num_image_tokens": 729, "vision_feature_select_strategy": "full"},
    ),
    "aria": Upstream("aria", "AriaProcessor", "AriaImageProcessor", {"image_token": "<|img|>"}),
    "cohere2-vision": Upstream(
        "cohere2_vision",
        "Cohere2VisionProcessor",
        "Cohere2VisionImageProcessor",
        {
            "image_token": "<|IMG_PATCH|>",
            "boi_token": "<|START_OF_IMG|>",
            "eoi_token": "<|END_OF_IMG|>",
            "img_line_break_token": "<|IMG_LINE_BREAK|>",
        },
    ),
    "ovis2": Upstream(
        "ovis2",
        "Ovis2Processor",
        "Ovis2ImageProcessor",
        call={"return_tensors": "pt"},
        config={"size": {"height": 448, "width": 448}, "crop_to_patches": True},
        counts=False,
    ),
    "perception-lm": Upstream(
        "perception_lm",
        "PerceptionLMProcessor",
        "PerceptionLMImageProcessor",
        PERCEPTION,
        {"patch_size": 14, "pooling_ratio": 2},
    ),
    "deepseek-ocr2": Upstream(
        "deepseek_ocr2", "DeepseekOcr2Processor", "DeepseekOcr2ImageProcessor", counts=False
    ),
    "unlimited-ocr": Upstream(
        "unlimited_ocr", "UnlimitedOcrProcessor", "UnlimitedOcrImageProcessor", counts=False
    ),
    "idefics3": Upstream(
        "idefics3", "Idefics3Processor", "Idefics3ImageProcessor", options={"image_seq_len": 169}
    ),
    "smolvlm": Upstream(
        "smolvlm",
        "SmolVLMProcessor",
        "SmolVLMImageProcessor",
        options={"image_seq_len": 64},
        config={
            "size": {"longest_edge": 2048},
            "max_image_size": {"longest_edge": 512},
        },
        counts=False,
    ),
    "idefics2": Upstream("idefics2", "Idefics2Processor", "Idefics2ImageProcessor", counts=False),
    "llama4": Upstream("llama4", "Llama4Processor", "Llama4ImageProcessor", counts=False),
    "mllama": Upstream(
        "mllama", "MllamaProcessor", "MllamaImageProcessor", around=("", "<s>"), counts=False
    ),
    "fuyu": Upstream("fuyu", "FuyuProcessor", "FuyuImageProcessor", alone=True),
    "granite-docling": Upstream(
        "granite_docling",
        "GraniteDoclingProcessor",
        "GraniteDoclingImageProcessor",
        options={"image_seq_len": 64},
    ),
    "step3p7": Upstream("step3p7", "Step3p7Processor", "Step3p7ImageProcessor", counts=False),
    "minicpm-v4.6": Upstream(
        "minicpmv4_6", "MiniCPMV4_6Processor", "MiniCPMV4_6ImageProcessor", MINICPM, counts=False
    ),
    "minicpm-ocr": Upstream(
        "minicpm_ocr", "MiniCPMOcrProcessor", "MiniCPMOcrImageProcessor", MINICPM, counts=False
    ),
    "gemma4": Upstream("gemma4", "Gemma4Processor", "Gemma4ImageProcessor", GEMMA4),
    "gemma4-unified": Upstream(
        "gemma4_unified", "Gemma4UnifiedProcessor", "Gemma4UnifiedImageProcessor", GEMMA4
    ),
    "kimi-k25": Upstream("kimi_k25", "Kimi_K25Processor", "Kimi_K25ImageProcessor"),
    "neomme": Upstream(
        "neomme",
        "NeoMMEProcessor",
        "NeoMMEImageProcessor",
        {"image_token": "<img>", "row_token": "<row>", "document_token": "<doc>"},
        counts=False,
    ),
    "muse-glimmer": Upstream("muse_glimmer", "MuseGlimmerProcessor", "MuseGlimmerImageProcessor"),
    "glm5-next": Upstream("glm5_next", "Glm5NextProcessor", "Glm5NextImageProcessor"),
    "lfm2-vl": Upstream("lfm2_vl", "Lfm2VlProcessor", "Lfm2VlImageProcessor", IMAGE, counts=False),
    "inkling": Upstream("inkling", "InklingProcessor", "InklingImageProcessor", counts=False),
    "inkling2": Upstream("inkling2", "Inkling2Processor", "Inkling2ImageProcessor", counts=False),
    "nemotron-h-omni": Upstream(
        "nemotron_h_omni",
        "NemotronH_Omni_Reasoning_V3Processor",
        "NemotronH_Omni_Reasoning_V3ImageProcessor",
        counts=False,
    ),
    "kosmos2-5": Upstream(
        "kosmos2_5",
        "Kosmos2_5Processor",
        "Kosmos2_5ImageProcessor",
        {"image_token": "<s>", "boi_token": "<image>", "eoi_token": "</image>"},
        {"num_image_tokens": 2048},
        text="",
        counts=False,
    ),
    "molmo2": Upstream(
        "molmo2", "Molmo2Processor", "Molmo2ImageProcessor", MOLMO2, around=("<s>", "")
    ),
    "phi4-multimodal": Upstream(
        "phi4_multimodal",
        "Phi4MultimodalProcessor",
        "Phi4MultimodalImageProcessor",
        {"image_token": "<|endoftext10|>", "audio_token": "<|endoftext11|>"},
        counts=False,
    ),
    "pi0": Upstream(
        "pi0",
        "PI0Processor",
        "PI0ImageProcessor",
        text="",
        around=("", "<s>\n"),
        counts=False,
        numbers={"image_seq_length": 256},
    ),
}


class Said(Exception):
    """The text that a tokenizer was given."""

    def __init__(self, text: str) -> None:
        super().__init__("said")
        self.text = text


SPECIAL = re.compile(r"<[^<>\s]+>|\]<\][^\]]+\[>\[|\[IMG[A-Z_]*\]|\|[A-Z]+\||\n+|\S")


def _tokenizer(tokens: dict[str, str]) -> Any:
    """A tokenizer of transformers that knows these tokens and stops where it is called."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    class Teller(PreTrainedTokenizerFast):
        counting = False

        def __call__(self, text: Any, *args: Any, **kwargs: Any) -> Any:
            if self.counting:
                return {"input_ids": SPECIAL.findall(text)}
            raise Said(text if isinstance(text, str) else text[0])

        def encode(self, text: Any, *args: Any, **kwargs: Any) -> list[int]:
            return [self.convert_tokens_to_ids(text)]

        def tokenize(self, text: Any, *args: Any, **kwargs: Any) -> list[str]:
            return SPECIAL.findall(text)

    words = ["<unk>", "<pad>", "<s>", "</s>", "|SPEAKER|", "|NEWLINE|", *tokens.values()]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return Teller(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")),
        extra_special_tokens=tokens,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
    )


class Part:
    """Stands for a part that a processor keeps and does not ask for images."""


def make(family: str) -> Any:
    """Upstream's processor of a family."""
    return build(RECORDED[family])


def build(upstream: Upstream) -> Any:
    """Upstream's processor as it is said to be made."""
    import transformers
    from transformers.processing_utils import ProcessorMixin

    module = importlib.import_module(
        f"transformers.models.{upstream.module}.processing_{upstream.module}"
    )
    made = getattr(module, upstream.processor)
    config = {**upstream.config}
    image_processor = getattr(transformers, upstream.image_processor).from_dict(config)
    for name, number in upstream.numbers.items():
        setattr(image_processor, name, number)
    parts: dict[str, Any] = {
        "image_processor": image_processor,
        "tokenizer": _tokenizer(upstream.tokens),
    }
    import inspect

    names = list(inspect.signature(made.__init__).parameters)
    if "video_processor" in names:
        parts["video_processor"] = _video_processor(upstream)
    for absent in ("feature_extractor", "audio_processor"):
        if absent in names:
            parts[absent] = None
    if hasattr(module, "num2words"):
        module.num2words = module.num2words or Part()  # it spells times of videos
    check = ProcessorMixin.check_argument_for_proper_class
    ProcessorMixin.check_argument_for_proper_class = lambda *_: None
    try:
        return made(**parts, **upstream.options)
    finally:
        ProcessorMixin.check_argument_for_proper_class = check


def _video_processor(upstream: Upstream) -> Any:
    import transformers
    from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES

    name: Any = upstream.video_processor or VIDEO_PROCESSOR_MAPPING_NAMES.get(upstream.module)
    if isinstance(name, dict):
        name = name.get("torchvision")
    if name is None:
        return Part()
    return getattr(transformers, name).from_dict(upstream.video_config)


def said(family: str, processor: Any, images: list[Any], count: int = 1) -> str:
    """The text of a prompt that holds nothing but these images: so many, or lists of them."""
    upstream = RECORDED[family]
    if upstream.alone:
        return "".join(processor._process_images(images, return_tensors="pt")[1])
    token = processor.image_token if upstream.text is None else upstream.text
    try:
        processor(text=token * count, images=images, **upstream.call)
    except Said as found:
        before, after = upstream.around
        assert found.text.startswith(before) and found.text.endswith(after), found.text[-80:]
        return found.text[len(before) : len(found.text) - len(after)]
    raise AssertionError(f"{family}: no text was tokenized")


def counted(family: str, processor: Any, sizes: list[tuple[int, int]]) -> Any:
    """What `_get_num_multimodal_tokens` says: tokens and patches."""
    if not RECORDED[family].counts:
        return None
    type(processor.tokenizer).counting = True
    try:
        found = processor._get_num_multimodal_tokens(image_sizes=[list(size) for size in sizes])
    finally:
        type(processor.tokenizer).counting = False
    return [list(map(int, found.num_image_tokens)), list(map(int, found.num_image_patches))]


def image(size: tuple[int, int]) -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.full((*size, 3), 77, np.uint8))


def packed(text: str) -> list[Any]:
    """A text by its pieces, each with how often it is repeated."""
    pieces: list[Any] = []
    for word in re.findall(
        r"<[^<>]*>|\]<\].*?\[>\[|\[[A-Z_]*\]|\|[A-Z]+\||[^<\[|\]]+|.", text, re.S
    ):
        if pieces and pieces[-1][0] == word:
            pieces[-1][1] += 1
        else:
            pieces.append([word, 1])
    return [word if count == 1 else [word, count] for word, count in pieces]


def unpacked(pieces: list[Any]) -> str:
    return "".join(piece if isinstance(piece, str) else piece[0] * piece[1] for piece in pieces)


def record() -> dict[str, Any]:
    import torch
    import transformers

    found: dict[str, Any] = {
        "made_with": {"transformers": transformers.__version__, "torch": torch.__version__},
        "sizes": [list(size) for size in SIZES],
        "families": {},
    }
    for family in RECORDED:
        processor = make(family)
        texts: list[Any] = []
        for size in SIZES:
            try:
                texts.append(packed(said(family, processor, [image(size)])))
            except ValueError as error:
                texts.append(None)
                print(family, size, error, file=sys.stderr)
        assert any(texts), f"{family} said nothing"
        row: dict[str, Any] = {"texts": texts}
        usable = [size for size, text in zip(SIZES, texts, strict=True) if text is not None]
        numbers = counted(family, processor, usable)
        if numbers is not None:
            row["tokens"], row["patches"] = numbers
        found["families"][family] = row
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(record(), ensure_ascii=False) + "\n", encoding="utf-8")
