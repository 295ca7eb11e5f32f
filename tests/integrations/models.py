"""Model folders from scratch, as far as a server's front half reads them: config files and a
tokenizer, no weights.

Each function writes one folder. Numbers are those of the released checkpoints wherever they change
an image; the language models are a layer thin, as nothing here runs one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["MODELS", "write"]

_TEXT: Final = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 65536,
}
_QWEN2: Final = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], **_TEXT}
_CLIP: Final = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_CANVASES: Final = [
    [384, 384], [384, 768], [768, 384], [384, 1152], [1152, 384], [384, 1536], [1536, 384],
    [768, 768], [384, 1920], [1920, 384], [384, 2304], [2304, 384], [768, 1152], [1152, 768],
    [384, 2688], [2688, 384], [384, 3072], [3072, 384], [768, 1536], [1536, 768], [384, 3456],
    [3456, 384], [1152, 1152],
]  # fmt: skip

#: A config class for models whose own is in their repository. Two nested configs, whatever their
#: names, and everything else as an attribute.
_REMOTE: Final = """
from transformers import AutoConfig, PretrainedConfig


class ChatConfig(PretrainedConfig):
    model_type = "{model_type}"

    def __init__(self, vision_config=None, llm_config=None, **kwargs):
        text = dict(llm_config or {{"model_type": "qwen2"}})
        self.vision_config = PretrainedConfig(**(vision_config or {{}}))
        self.llm_config = AutoConfig.for_model(text.pop("model_type"), **text)
        super().__init__(**kwargs)

    def get_text_config(self, *args, **kwargs):
        return self.llm_config
"""


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), "utf-8")


def _tokenizer(folder: Path, special: list[str]) -> None:
    """Bytes as tokens, and the special tokens; it encodes any text."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "</s>", "<pad>"]
    vocabulary = {letter: index for index, letter in enumerate([*names, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*names, *special])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    fast.save_pretrained(folder)


def _remote(folder: Path, model_type: str, config: dict[str, Any]) -> None:
    (folder / "configuration_chat.py").write_text(_REMOTE.format(model_type=model_type), "utf-8")
    auto_map = {"AutoConfig": "configuration_chat.ChatConfig"}
    _json(folder / "config.json", {"model_type": model_type, "auto_map": auto_map, **config})


def _internvl_chat(folder: Path) -> None:
    # Without a token for videos: with one, vLLM 0.33 hands the options of images to a video
    # processor that does not take them, and a call with `max_dynamic_patch` fails.
    _tokenizer(folder, ["<img>", "</img>", "<IMG_CONTEXT>"])
    _remote(
        folder,
        "internvl_chat",
        {
            "architectures": ["InternVLChatModel"],
            "vision_config": {"image_size": 448, "patch_size": 14},
            "llm_config": _QWEN2,
            "min_dynamic_patch": 1,
            "max_dynamic_patch": 12,
            "dynamic_image_size": True,
            "use_thumbnail": True,
            "downsample_ratio": 0.5,
            "force_image_size": 448,
        },
    )


def _h2ovl(folder: Path) -> None:
    _tokenizer(folder, ["<img>", "</img>", "<IMG_CONTEXT>"])
    _remote(
        folder,
        "h2ovl_chat",
        {
            "architectures": ["H2OVLChatModel"],
            "vision_config": {"image_size": 448, "patch_size": 14},
            "llm_config": _QWEN2,
            "min_dynamic_patch": 1,
            "max_dynamic_patch": 6,
            "dynamic_image_size": True,
            "use_thumbnail": True,
            "use_msac": True,
            "downsample_ratio": 0.5,
        },
    )


def _nemotron_embed(folder: Path) -> None:
    _tokenizer(folder, ["<img>", "</img>", "<IMG_CONTEXT>"])
    _remote(
        folder,
        "llama_nemotron_vl",
        {
            "architectures": ["LlamaNemotronVLModel"],
            "vision_config": {"image_size": 512, "patch_size": 16},
            "llm_config": _QWEN2,
            "force_image_size": 512,
            "downsample_ratio": 0.5,
        },
    )
    tiles = {"min_input_tiles": 1, "max_input_tiles": 6, "dynamic_image_size": True}
    _json(folder / "processor_config.json", tiles)


def _deepseek_vl2(folder: Path) -> None:
    _tokenizer(folder, ["<image>"])
    _json(
        folder / "config.json",
        {
            "model_type": "deepseek_vl_v2",
            "architectures": ["DeepseekVLV2ForCausalLM"],
            "candidate_resolutions": _CANVASES,
            "tile_tag": "2D",
            "global_view_pos": "head",
            "language_config": {"model_type": "deepseek_v2", **_TEXT},
        },
    )
    _json(
        folder / "processor_config.json",
        {
            "processor_class": "DeepseekVLV2Processor",
            "candidate_resolutions": _CANVASES,
            "patch_size": 14,
            "downsample_ratio": 2,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "normalize": True,
            "image_token": "<image>",
            "pad_token": "<pad>",
            "add_special_token": False,
            "sft_format": "deepseek",
            "mask_prompt": False,
            "ignore_id": -100,
        },
    )


def _deepseek_ocr(folder: Path) -> None:
    _tokenizer(folder, ["<image>"])
    _json(
        folder / "config.json",
        {
            "model_type": "deepseek_vl_v2",
            "architectures": ["DeepseekOCRForCausalLM"],
            "candidate_resolutions": [[1024, 1024]],
            "tile_tag": "2D",
            "global_view_pos": "head",
            "language_config": {"model_type": "deepseek_v2", **_TEXT},
        },
    )
    _json(
        folder / "processor_config.json",
        {
            "processor_class": "DeepseekOCRProcessor",
            "candidate_resolutions": [[1024, 1024]],
            "patch_size": 16,
            "downsample_ratio": 4,
            "image_token": "<image>",
            "pad_token": "<pad>",
        },
    )


_QWEN_TOKENS: Final = [
    "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
    "<|im_start|>", "<|im_end|>",
]  # fmt: skip


def _qwen(
    model_type: str, architecture: str, processor: str, patch: int, video: str
) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _tokenizer(folder, _QWEN_TOKENS)
        tokens = json.loads((folder / "tokenizer.json").read_text("utf-8"))["added_tokens"]
        ids = {each["content"]: each["id"] for each in tokens}
        nested = model_type == "qwen3_vl"
        text = {
            **_TEXT,
            "vocab_size": 1000,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6], "rope_type": "default"},
        }
        if nested:
            text = {"model_type": "qwen3_vl_text", "head_dim": 32, **text}
        _json(
            folder / "config.json",
            {
                "model_type": model_type,
                "architectures": [architecture],
                "image_token_id": ids["<|image_pad|>"],
                "video_token_id": ids["<|video_pad|>"],
                "vision_start_token_id": ids["<|vision_start|>"],
                "vision_end_token_id": ids["<|vision_end|>"],
                "vision_config": {
                    "patch_size": patch,
                    "spatial_merge_size": 2,
                    "temporal_patch_size": 2,
                    "depth": 1,
                },
                **({"text_config": text} if nested else text),
            },
        )
        size = {"shortest_edge": 3136, "longest_edge": 12845056}
        if nested:
            size = {"shortest_edge": 65536, "longest_edge": 16777216}
        mean = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]} if nested else _CLIP
        common = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2, **mean}
        _json(
            folder / "preprocessor_config.json",
            {
                "image_processor_type": "Qwen2VLImageProcessor",
                "processor_class": processor,
                "size": size,
                **common,
            },
        )
        _json(
            folder / "video_preprocessor_config.json",
            {"video_processor_type": video, "processor_class": processor, **common},
        )
        name = folder / "tokenizer_config.json"
        _json(name, {**json.loads(name.read_text("utf-8")), "processor_class": processor})

    return make


#: Folder -> what writes it.
MODELS: Final[dict[str, Callable[[Path], None]]] = {
    "internvl_chat": _internvl_chat,
    "h2ovl": _h2ovl,
    "nemotron_embed": _nemotron_embed,
    "deepseek_vl2": _deepseek_vl2,
    "deepseek_ocr": _deepseek_ocr,
    "qwen2_vl": _qwen(
        "qwen2_vl",
        "Qwen2VLForConditionalGeneration",
        "Qwen2VLProcessor",
        14,
        "Qwen2VLVideoProcessor",
    ),
    "qwen2_5_vl": _qwen(
        "qwen2_5_vl",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLProcessor",
        14,
        "Qwen2VLVideoProcessor",
    ),
    "qwen3_vl": _qwen(
        "qwen3_vl",
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLProcessor",
        16,
        "Qwen3VLVideoProcessor",
    ),
}


def write(root: Path, name: str) -> Path:
    """The folder of a model below `root`, written if it is not there yet."""
    folder = root / name
    if not folder.exists():
        folder.mkdir(parents=True)
        MODELS[name](folder)
    return folder
