"""Config files: spellings, upstream's class defaults, null, unknown keys, where files lie."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
QWEN = {"image_processor_type": "Qwen2VLImageProcessor"}
GOT = {"image_processor_type": "GotOcr2ImageProcessor"}
INTERNVL = {
    "architectures": ["InternVLChatModel"],
    "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
    "downsample_ratio": 0.5,
    "dynamic_image_size": True,
    "force_image_size": 448,
    "hidden_size": 4096,
    "llm_config": {"model_type": "internlm2", "vocab_size": 92553},
    "max_dynamic_patch": 12,
    "min_dynamic_patch": 1,
    "model_type": "internvl_chat",
    "pad2square": False,
    "ps_version": "v2",
    "select_layer": -1,
    "template": "internvl2_5",
    "torch_dtype": "bfloat16",
    "transformers_version": None,
    "use_backbone_lora": 0,
    "use_llm_lora": 0,
    "use_thumbnail": True,
    "vision_config": {"image_size": 448, "patch_size": 14, "model_type": "intern_vit_6b"},
}
DEEPSEEK_VL2 = {
    "add_special_token": False,
    "candidate_resolutions": [[384, 384], [384, 768], [768, 384], [768, 768]],
    "downsample_ratio": 2,
    "ignore_id": -100,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "image_token": "<image>",
    "mask_prompt": False,
    "normalize": True,
    "pad_token": "<|pad|>",
    "patch_size": 14,
    "processor_class": "DeepseekVLV2Processor",
    "sft_format": "deepseek",
}


def options(config: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    return dr.Processor.from_config(config, **overrides).to_dict()


@pytest.mark.parametrize("suffix", ["", "Fast", "Pil"])
@pytest.mark.parametrize(
    "size",
    [
        {"min_pixels": 4096, "max_pixels": 200704},
        {"size": {"shortest_edge": 4096, "longest_edge": 200704}},
        {"size": {"min_pixels": 4096, "max_pixels": 200704}},
        # written by 4.5x: the old keys and the new one
        {
            "min_pixels": 4096,
            "max_pixels": 200704,
            "size": {"shortest_edge": 3136, "longest_edge": 12845056},
        },
        {"min_pixels": 4096, "size": {"shortest_edge": 1, "longest_edge": 200704}},
        {"min_pixels": 4096, "size": {"longest_edge": 200704}},
        {
            "min_pixels": None,
            "size": {"shortest_edge": 4096, "longest_edge": 200704, "height": None},
        },
    ],
)
def test_qwen_spellings(suffix: str, size: dict[str, Any]) -> None:
    found = options({"image_processor_type": "Qwen2VLImageProcessor" + suffix, **size})
    assert (found["min_pixels"], found["max_pixels"]) == (4096, 200704)
    assert found["family"] == "qwen2-vl" and found["numerics"] == "torchvision"


def test_qwen_class_defaults_are_not_the_preset() -> None:
    found = options(QWEN)
    assert found["max_pixels"] == 1_003_520 and found["min_pixels"] == 3136
    assert dr.families()["qwen2-vl"]["max_pixels"] == 12_845_056
    assert found["image_mean"] == CLIP_MEAN and found["image_std"] == CLIP_STD
    assert (found["patch_size"], found["merge_size"], found["temporal_patch_size"]) == (14, 2, 2)
    assert found["resample"] == "bicubic" and found["rescale_factor"] == 1 / 255
    assert found["do_convert_rgb"] is True


@pytest.mark.parametrize(
    ("hint", "family"),
    [
        ({"processor_class": "Qwen2VLProcessor"}, "qwen2-vl"),
        ({"processor_class": "Qwen2_5_VLProcessor"}, "qwen2.5-vl"),
        ({"processor_class": "Qwen3VLProcessor"}, "qwen3-vl"),
        ({"patch_size": 16}, "qwen3-vl"),
        ({}, "qwen2-vl"),
    ],
)
def test_qwen_families(hint: dict[str, Any], family: str) -> None:
    found = options({**QWEN, **hint})
    assert found["family"] == family
    # only a class default may fill what is absent, whatever the family's preset has
    assert found["max_pixels"] == 1_003_520 and found["image_mean"] == CLIP_MEAN


def test_null_is_absent_and_bookkeeping_is_ignored() -> None:
    plain = options(QWEN)
    noisy = {
        **QWEN,
        "crop_size": None,
        "data_format": "channels_first",
        "default_to_square": True,
        "device": None,
        "disable_grouping": None,
        "do_center_crop": None,
        "do_pad": None,
        "input_data_format": None,
        "max_pixels": None,
        "pad_size": None,
        "resample": 3,
        "return_tensors": None,
        "rescale_factor": 0.00392156862745098,
        "use_fast": True,
        "_processor_that_is_unknown": None,
    }
    assert options(noisy) == plain


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "lanczos"), (2, "bilinear"), (3, "bicubic"), ("BICUBIC", "bicubic")],
)
def test_filters(number: Any, name: str) -> None:
    assert options({**QWEN, "resample": number})["resample"] == name


def test_one_number_stands_for_three_channels() -> None:
    assert options({**QWEN, "image_mean": 0.5})["image_mean"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("suffix", ["", "Fast", "Pil"])
def test_got_ocr2(suffix: str) -> None:
    found = options({"image_processor_type": "GotOcr2ImageProcessor" + suffix})
    assert found["family"] == "got-ocr2" and found["numerics"] == "torchvision"
    assert found["image_size"] == 384 and found["crop_to_patches"] is False
    assert (found["min_num"], found["max_num"]) == (1, 12)
    assert found["image_mean"] == CLIP_MEAN


@pytest.mark.parametrize(
    ("size", "family", "tokens"),
    [(448, "internvl-hf", 256), (364, "internvl-hf", 169), (1024, "got-ocr2", 256)],
)
def test_the_size_of_tiles_tells_the_encoder(size: int, family: str, tokens: int) -> None:
    """Where nothing else does: InternVL's and Aya's tokens are 28 pixels wide, GOT-OCR2's 64."""
    for given in (size, [size, size], {"height": size, "width": size}):
        plan = dr.Processor.from_config({**GOT, "size": given}).plan(300, 400)
        assert (plan.family, plan.num_tokens) == (family, tokens)
        assert len(plan.token_boxes()) == tokens
    for hint in ("GotOcr2Processor", "InternVLProcessor"):
        found = options({**GOT, "size": size, "processor_class": hint})
        assert found["patch_size"] == (16 if hint == "GotOcr2Processor" else 14)


@pytest.mark.parametrize("size", [448, [448, 448], {"height": 448, "width": 448}])
def test_internvl_hf(size: Any) -> None:
    found = options(
        {
            **GOT,
            "processor_class": "InternVLProcessor",
            "size": size,
            "crop_to_patches": True,
            "min_patches": 2,
            "max_patches": 6,
        }
    )
    assert found["family"] == "internvl-hf" and found["numerics"] == "torchvision"
    assert found["image_size"] == 448 and found["crop_to_patches"] is True
    assert (found["min_num"], found["max_num"]) == (2, 6)
    assert found["image_mean"] == CLIP_MEAN


@pytest.mark.parametrize("suffix", ["", "Fast", "Pil"])
def test_deepseek_vl(suffix: str) -> None:
    found = options(
        {
            "image_processor_type": "DeepseekVLImageProcessor" + suffix,
            "background_color": [122, 116, 104],
        }
    )
    assert found["family"] == "deepseek-vl"
    assert (found["image_size"], found["min_size"], found["do_pad"]) == (384, 14, True)
    assert found["image_mean"] == CLIP_MEAN and found["do_convert_rgb"] is False


def test_deepseek_vl_hybrid() -> None:
    config = {
        "image_processor_type": "DeepseekVLHybridImageProcessor",
        "size": {"height": 256, "width": 256},
        "high_res_size": {"height": 768, "width": 768},
        "high_res_resample": 2,
        "high_res_image_mean": [0.5, 0.25, 0.75],
        "background_color": [122, 116, 104],
        "high_res_background_color": [127, 63, 191],
    }
    found = options(config)
    assert found["family"] == "deepseek-vl-hybrid"
    assert (found["image_size"], found["high_res_image_size"]) == (256, 768)
    assert found["high_res_resample"] == "bilinear" and found["resample"] == "bicubic"
    assert found["high_res_image_mean"] == [0.5, 0.25, 0.75] and found["image_mean"] == CLIP_MEAN


def test_internvl_chat() -> None:
    found = options(INTERNVL)
    assert found["family"] == "internvl" and found["numerics"].startswith("pillow-")
    assert (found["image_size"], found["min_num"], found["max_num"]) == (448, 1, 12)
    assert found["use_thumbnail"] is True and found["crop_to_patches"] is True
    assert found["patch_size"] == 14 and found["downsample_ratio"] == 0.5
    assert found["image_mean"] == [0.485, 0.456, 0.406]


def test_internvl_chat_class_defaults() -> None:
    """`InternVLChatConfig()` and `InternVisionConfig()`."""
    found = options({"model_type": "internvl_chat", "ps_version": "v2"})
    assert (found["image_size"], found["min_num"], found["max_num"]) == (224, 1, 6)
    assert found["use_thumbnail"] is False and found["crop_to_patches"] is False
    assert found["downsample_ratio"] == 0.5


def test_internvl_chat_falls_back_on_the_vision_config() -> None:
    config = {**INTERNVL, "force_image_size": None, "vision_config": {"image_size": 336}}
    assert options(config)["image_size"] == 336


def test_internvl_chat_v1_is_an_error_that_can_be_overridden() -> None:
    config = {**INTERNVL, "ps_version": "v1"}
    with pytest.raises(ValueError, match=r"^ps_version: must be 'v2', got 'v1'"):
        options(config)
    assert options(config, ps_version="v2")["family"] == "internvl"


def test_internvl_chat_without_ps_version_is_taken_for_v2() -> None:
    """It moves tokens, not pixels."""
    assert options({"model_type": "internvl_chat"})["family"] == "internvl"


def test_the_colour_of_padding_is_that_of_the_mean_it_was_made_with() -> None:
    config = {"image_processor_type": "DeepseekVLImageProcessor", "background_color": [1, 2, 3]}
    assert options(config)["background_color"] == [122, 116, 104]
    found = options({**config, "image_mean": [0.5, 0.25, 0.75]})
    assert found["background_color"] == [127, 63, 191]
    assert options(config, image_mean=[0.5] * 3)["background_color"] == [127] * 3
    assert options(config, background_color=[9, 8, 7])["background_color"] == [9, 8, 7]
    processor = dr.Processor.from_config(config)
    wide = np.zeros((10, 20, 3), np.uint8)
    black = processor(wide, image_mean=[0.0] * 3, do_rescale=False, image_std=[1.0] * 3)
    assert black["pixel_values"][0, :, 0, 0].tolist() == [122.0, 116.0, 104.0]


def test_deepseek_vl2() -> None:
    found = options(DEEPSEEK_VL2)
    assert found["family"] == "deepseek-vl2" and found["numerics"].startswith("pillow-")
    assert found["candidate_resolutions"] == [[384, 384], [384, 768], [768, 384], [768, 768]]
    assert (found["patch_size"], found["downsample_ratio"]) == (14, 2)
    assert found["do_normalize"] is True
    assert options({**DEEPSEEK_VL2, "normalize": False})["do_normalize"] is False
    means = {key: DEEPSEEK_VL2[key] for key in DEEPSEEK_VL2 if not key.startswith("image_")}
    assert options({**means, "image_mean": None})["image_mean"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("key", ["candidate_resolutions", "patch_size", "downsample_ratio"])
def test_deepseek_vl2_needs_what_upstream_needs(key: str) -> None:
    config = {**DEEPSEEK_VL2, key: None}
    with pytest.raises(ValueError, match=f"must have '{key}'"):
        options(config)
    assert options(config, **{key: DEEPSEEK_VL2[key]})["family"] == "deepseek-vl2"


def test_nested_v5() -> None:
    nested = {
        "image_processor": {
            "image_processor_type": "Qwen2VLImageProcessor",
            "size": {"shortest_edge": 4096, "longest_edge": 200704},
        },
        "processor_class": "Qwen2_5_VLProcessor",
        "video_processor": {"video_processor_type": "Qwen2VLVideoProcessor"},
        "anything": 1,
    }
    found = options(nested)
    assert found["family"] == "qwen2.5-vl" and found["max_pixels"] == 200704


def test_overrides_go_over_the_file() -> None:
    config = {**QWEN, "max_pixels": 200704, "do_normalize": True}
    found = options(config, numerics="pillow-12.3", max_pixels=400000, do_normalize=False)
    assert found["max_pixels"] == 400000 and found["do_normalize"] is False
    assert found["numerics"] == "pillow-12.2"
    assert options(config, size={"shortest_edge": 1, "longest_edge": 9999})["max_pixels"] == 9999
    assert options(config, max_pixels=None)["max_pixels"] == 200704


@pytest.mark.parametrize(
    "config",
    [
        {**QWEN, "patch_sizes": 14},
        {**GOT, "max_pixels": 1},
        {**INTERNVL, "patch_sizes": 14},
        {**DEEPSEEK_VL2, "patch_sizes": 14},
        {"image_processor": {**QWEN, "patch_sizes": 14}},
        {**QWEN, "do_pan_and_scan": True},
    ],
)
def test_unknown_key_is_named(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown key '(patch_sizes|max_pixels|do_pan_and_scan)'"):
        options(config)


def test_config_is_not_changed() -> None:
    config = {**QWEN, "size": {"shortest_edge": 4096, "longest_edge": 200704}}
    before = json.dumps(config)
    dr.Processor.from_config(config, max_pixels=5000)
    assert json.dumps(config) == before


# from_pretrained


def from_pretrained(path: Path | str, **options: Any) -> dr.Processor:
    """Of a file that does not say which model it is of."""
    return dr.Processor.from_pretrained(path, coords="norm1000", **options)


def write(folder: Path, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_folder(tmp_path: Path) -> None:
    write(tmp_path, preprocessor_config={**QWEN, "max_pixels": 200704})
    for path in (tmp_path, str(tmp_path), tmp_path / "preprocessor_config.json"):
        found = from_pretrained(path, numerics="pillow-13", min_pixels=1)
        assert found.to_dict()["max_pixels"] == 200704 and found.to_dict()["min_pixels"] == 1
        assert found.numerics == "pillow-13"


@pytest.mark.parametrize("model", ["vjepa2", "qwen2-vl"])
def test_a_folder_or_file_of_a_video_processor_alone(tmp_path: Path, model: str) -> None:
    """Taken wherever `from_config` takes it; its keys are read at once, and refused at once."""
    kinds = {"vjepa2": "VJEPA2VideoProcessor", "qwen2-vl": "Qwen2VLVideoProcessor"}
    config: dict[str, Any] = {"video_processor_type": kinds[model], "do_normalize": False}
    write(tmp_path, video_preprocessor_config=config)
    file = tmp_path / "video_preprocessor_config.json"
    for path in (tmp_path, str(tmp_path), file):
        assert dr.VideoProcessor.from_pretrained(path) == dr.VideoProcessor.from_config(config)
    if model not in dr.families():
        for call in (lambda: dr.Processor.from_config(config), lambda: from_pretrained(tmp_path)):
            with pytest.raises(ValueError, match=r"takes videos alone: VideoProcessor"):
                call()
        return
    for path in (tmp_path, str(tmp_path), file):
        found = dr.Processor.from_pretrained(path, max_pixels=200704)
        assert found == dr.Processor.from_config(config, max_pixels=200704)
        assert found.video.options["do_normalize"] is False
        assert found.to_dict()["do_normalize"] is True
    write(tmp_path, video_preprocessor_config={**config, "frobnicate": 1})
    with pytest.raises(ValueError, match="unknown key 'frobnicate'"):
        dr.Processor.from_pretrained(tmp_path)


def test_the_type_of_the_model_tells_the_family_of_a_video_processor(tmp_path: Path) -> None:
    video = {"video_processor_type": "Qwen2VLVideoProcessor"}
    write(tmp_path, video_preprocessor_config=video, config={"model_type": "qwen2_5_vl"})
    assert dr.Processor.from_pretrained(tmp_path).family == "qwen2.5-vl"


def test_coordinates_that_a_folder_leaves_open_are_warned_about(tmp_path: Path) -> None:
    """As `Qwen2VLImageProcessor.save_pretrained` leaves it: no `processor_class`, no `config.json`
    beside it."""
    write(tmp_path, preprocessor_config=QWEN)
    text = r"qwen2-vl or qwen2\.5-vl; .* qwen2-vl \(norm1000\), .* qwen2\.5-vl \(resized\)"
    with pytest.warns(UserWarning, match=text):
        assert dr.Processor.from_pretrained(tmp_path).family == "qwen2-vl"
    with pytest.warns(UserWarning, match=text):
        dr.Processor.from_pretrained(tmp_path / "preprocessor_config.json")
    # Said by the caller, by the file's own words, or by the model beside it.
    found = dr.Processor.from_pretrained(tmp_path, coords="resized")
    assert found.plan(100, 100).coords == "resized"
    for hint in ({"processor_class": "Qwen2VLProcessor"}, {"patch_size": 16}):
        dr.Processor.from_pretrained(write(tmp_path, preprocessor_config={**QWEN, **hint}))
    write(tmp_path, preprocessor_config=QWEN, config={"model_type": "qwen2_vl"})
    dr.Processor.from_pretrained(tmp_path)


@pytest.mark.torch
def test_a_folder_that_transformers_saved_leaves_coordinates_open(
    transformers: ModuleType, tmp_path: Path
) -> None:
    transformers.Qwen2VLImageProcessor().save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"does not say whether its model is qwen2-vl or"):
        dr.Processor.from_pretrained(tmp_path)


def test_the_model_beside_the_file_tells_the_family(tmp_path: Path) -> None:
    write(tmp_path, preprocessor_config=QWEN, config={"model_type": "qwen2_5_vl"})
    assert dr.Processor.from_pretrained(tmp_path).family == "qwen2.5-vl"


def test_nested_goes_before_flat(tmp_path: Path) -> None:
    nested = {"image_processor": {**QWEN, "max_pixels": 200704}}
    write(tmp_path, preprocessor_config={**QWEN, "max_pixels": 4000}, processor_config=nested)
    assert from_pretrained(tmp_path).to_dict()["max_pixels"] == 200704
    write(tmp_path, processor_config={"processor_class": "Qwen2VLProcessor"})
    assert from_pretrained(tmp_path).to_dict()["max_pixels"] == 4000


def test_internvl_folder_with_its_clip_stub(tmp_path: Path) -> None:
    stub = {"feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 448, "size": 448}
    write(tmp_path, config=INTERNVL, preprocessor_config=stub)
    assert dr.Processor.from_pretrained(tmp_path).family == "internvl"
    assert dr.Processor.from_pretrained(tmp_path / "config.json").family == "internvl"


def test_deepseek_vl2_folder(tmp_path: Path) -> None:
    write(tmp_path, processor_config=DEEPSEEK_VL2, config={"model_type": "deepseek_vl_v2"})
    assert dr.Processor.from_pretrained(tmp_path).family == "deepseek-vl2"


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    hub = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}[variable]
    model = tmp_path / hub / "models--Qwen--Qwen2-VL-7B-Instruct"
    write(model / "snapshots" / "abc123", preprocessor_config={**QWEN, "max_pixels": 200704})
    write(model / "snapshots" / "def456", preprocessor_config={**QWEN, "max_pixels": 300000})
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc123")
    (model / "refs" / "v2").write_text("def456\n")

    def budget(revision: str | None) -> int:
        p = from_pretrained("Qwen/Qwen2-VL-7B-Instruct", revision=revision)
        return int(p.to_dict()["max_pixels"])

    assert budget(None) == budget("main") == budget("abc123") == 200704
    assert budget("v2") == budget("def456") == 300000
    with pytest.raises(FileNotFoundError):
        budget("v3")
    with pytest.raises(FileNotFoundError):
        from_pretrained("Qwen/none")
    with pytest.raises(FileNotFoundError):
        from_pretrained("../etc")
