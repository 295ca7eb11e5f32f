"""`dynres_rs.deepseek_vl2`: DeepSeek-VL2's own functions against their recorded results."""

import types
from collections.abc import Iterator
from typing import Any

import golden_cases
import numpy as np
import pytest
from dynres_rs import deepseek_vl2
from dynres_rs.numerics import installed_pillow
from PIL import Image
from strategies import noise

CASES = [case for case in golden_cases.original_cases() if case.family == "deepseek-vl2"]
CANDIDATES = CASES[0].config["candidate_resolutions"]
SMALL = [[28 * width // 384, 28 * height // 384] for width, height in CANDIDATES]
on_pillow_13 = pytest.mark.skipif(installed_pillow() != "pillow-13", reason="recorded on Pillow 13")


class Speaker:
    """What `tokenize_with_images` reads of a `DeepseekVLV2Processor`."""

    image_token, image_token_id = "<image>", 99
    bos_id, eos_id = 0, 1
    patch_size, downsample_ratio = 14, 2

    def __init__(self, candidates: Any, normalize: bool = True) -> None:
        self.candidate_resolutions = candidates
        self.image_size = candidates[0][0]
        self.image_transform = types.SimpleNamespace(
            mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), normalize=normalize
        )

    def encode(self, text: str, bos: bool = True, eos: bool = False) -> list[int]:
        assert not bos
        assert not eos
        return [ord(letter) for letter in text]


def test_select_best_resolution() -> None:
    for height, width, expected in golden_cases.size_rows("deepseek_vl2"):
        got = deepseek_vl2.select_best_resolution((width, height), CANDIDATES)
        assert [side // 384 for side in got] == expected["tiles_wh"], (height, width)
        tokens = deepseek_vl2.image_tokens(*expected["tiles_wh"])
        assert tokens == expected["tokens"], (height, width)
    assert deepseek_vl2.select_best_resolution((1920, 1080), CANDIDATES) == (1536, 768)
    with pytest.raises(ValueError, match="candidates"):
        deepseek_vl2.select_best_resolution((3, 4), [])


@on_pillow_13
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preprocess_images(case: golden_cases.Case) -> None:
    images = [Image.fromarray(golden_cases.make(image)) for image in case.images]
    values, crops, views = deepseek_vl2.preprocess_images(
        images, len(images) <= 2, candidate_resolutions=CANDIDATES
    )
    tokens = [deepseek_vl2.image_tokens(*crop) for crop in crops]
    assert sum(views) == len(values)
    golden_cases.check(
        case,
        {
            "pixel_values": values,
            "images_spatial_crop": np.array(crops),
            "num_image_tokens": np.array(tokens),
        },
    )


def test_there_are_22_cases() -> None:
    assert len(CASES) == 22


def test_cropping_is_the_callers_word() -> None:
    """Not the number of images here: the original looks at the whole conversation."""
    images = [Image.fromarray(noise(n, 60, 200)) for n in range(4)]
    options: dict[str, Any] = {"candidate_resolutions": SMALL}
    cut, crops, views = deepseek_vl2.preprocess_images(images, True, **options)
    assert crops[0] != [1, 1]
    whole, ones, twos = deepseek_vl2.preprocess_images(images[:1], False, **options)
    assert (ones, twos) == ([[1, 1]], [2])
    assert np.array_equal(whole[0], whole[1])
    assert np.array_equal(cut[0], whole[0])
    assert len(cut) == sum(views)


def test_other_modes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images\[1\]: must be RGB, got L"):
        deepseek_vl2.preprocess_images(
            [Image.new("RGB", (9, 9)), Image.new("L", (9, 9))], candidate_resolutions=SMALL
        )


# With torch


@pytest.mark.torch
def test_tokenize_with_images(torch: Any) -> None:
    speaker = Speaker(SMALL)
    images = [Image.fromarray(noise(1, 60, 200)), Image.fromarray(noise(2, 31, 28))]
    tokens, views, mask, crops, counts = deepseek_vl2.tokenize_with_images(
        speaker, "ab<image><image>c", images, bos=True, eos=True
    )
    assert counts == [deepseek_vl2.image_tokens(*crop, 28) for crop in crops]
    assert tokens == [0, 97, 98, *[99] * sum(counts), 99, 1]
    assert mask == [False] * 3 + [True] * sum(counts) + [False] * 2
    assert len(views) == sum(1 + columns * rows for columns, rows in crops)
    values, *_ = deepseek_vl2.preprocess_images(images, candidate_resolutions=SMALL)
    assert all(view.dtype == torch.float32 and view.shape == (3, 28, 28) for view in views)
    assert np.array_equal(torch.stack(views).numpy(), values)
    assert all(type(mark) is bool for mark in mask)


@pytest.mark.torch
def test_text_alone(torch: Any) -> None:
    found = deepseek_vl2.tokenize_with_images(Speaker(SMALL), "ab", [], bos=False, eos=False)
    assert found == ([97, 98], [], [False, False], [], [])
    with pytest.raises(AssertionError, match="must be one for each '<image>', 1, got 0"):
        deepseek_vl2.tokenize_with_images(Speaker(SMALL), "ab<image>", [])


@pytest.mark.torch
def test_without_normalising(torch: Any) -> None:
    image = Image.fromarray(noise(1, 28, 28))
    speaker = Speaker(SMALL, normalize=False)
    _, views, *_ = deepseek_vl2.tokenize_with_images(speaker, "<image>", [image], cropping=False)
    want = (np.asarray(image).astype(np.float64) / 255).astype(np.float32).transpose(2, 0, 1)
    assert np.ascontiguousarray(want).tobytes() == views[0].numpy().tobytes()


def _sample(torch: Any, length: int, views: int, images: int) -> dict[str, Any]:
    ids = torch.arange(3, 3 + length)
    return {
        "sft_format": f"of {length}",
        "input_ids": ids,
        "target_ids": ids + 100,
        "images": torch.full((views, 3, 4, 4), float(length)),
        "images_seq_mask": ids % 2 == 0,
        "images_spatial_crop": torch.full((images, 2), length),
    }


@pytest.mark.torch
def test_batchify(torch: Any) -> None:
    samples = [_sample(torch, 5, 2, 1), _sample(torch, 3, 3, 2)]
    batch = deepseek_vl2.batchify(samples, pad_id=2)
    assert batch.seq_lens == [5, 3]
    assert batch["sft_format"] == ["of 5", "of 3"]
    assert batch.input_ids.tolist() == [[3, 4, 5, 6, 7], [2, 2, 3, 4, 5]]
    assert batch.labels.tolist()[1] == [-100, -100, 103, 104, 105]
    assert batch.attention_mask.tolist()[1] == [False, False, True, True, True]
    assert batch.images_seq_mask.tolist()[1] == [0, 0, 0, 1, 0]
    assert batch.images_seq_mask.dtype == torch.int64  # as tokenizer.pad makes it
    assert batch.images.shape == (2, 3, 3, 4, 4)
    assert batch.images[0, 2].abs().sum() == 0
    assert batch.images_spatial_crop.tolist() == [[[5, 5], [0, 0]], [[3, 3], [3, 3]]]
    right = deepseek_vl2.batchify(samples, padding="right", pad_id=2)
    assert right.input_ids.tolist()[1] == [3, 4, 5, 2, 2]
    assert right.images_seq_mask.dtype == torch.bool
    assert right.attention_mask.tolist()[1] == [True, True, True, False, False]
    even = deepseek_vl2.batchify(samples[:1], pad_id=2)
    assert even.images_seq_mask.dtype == torch.bool
    moved = batch.to("cpu")
    assert moved.images.dtype == torch.bfloat16
    assert moved.input_ids.dtype == torch.int64


# The installed package


@pytest.fixture
def module() -> Iterator[Any]:
    def original(*_: Any) -> None:
        return None

    package: Any = types.ModuleType("processing_deepseek_vl_v2")
    package.DeepseekVLV2Processor = type("P", (Speaker,), {"tokenize_with_images": original})
    package.select_best_resolution = original
    yield package
    deepseek_vl2.unpatch()


def test_patch(module: Any) -> None:
    original = module.select_best_resolution
    deepseek_vl2.patch(module)
    deepseek_vl2.patch(module)
    assert module.select_best_resolution is deepseek_vl2.select_best_resolution
    method = module.DeepseekVLV2Processor.tokenize_with_images
    assert method is deepseek_vl2.tokenize_with_images
    deepseek_vl2.unpatch()
    assert module.select_best_resolution is original
    assert module.DeepseekVLV2Processor.tokenize_with_images is original


def test_other_packages_are_not_patched() -> None:
    with pytest.raises(ImportError, match="has other names"):
        deepseek_vl2.patch(types.ModuleType("other"))
    with pytest.raises(ImportError, match="needs deepseek_vl2"):
        deepseek_vl2.patch()
