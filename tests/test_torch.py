"""`dynres_rs.torch` against the float path and against models that never heard of it."""

import copy
import importlib
import warnings
from types import ModuleType
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.torch

NUMERICS = ["torchvision", "pillow-13"]
DTYPES = ["float32", "float16", "bfloat16"]
FAMILIES = {
    "qwen2-vl": {"max_pixels": 50_000},
    "qwen3-vl": {"min_pixels": 1024, "max_pixels": 50_000},
    "internvl": {"image_size": 56, "max_num": 4},
    "deepseek-vl2": {},
}


@pytest.fixture(scope="module")
def ours(torch: ModuleType) -> ModuleType:
    return importlib.import_module("dynres_rs.torch")


def image(height: int = 90, width: int = 131, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def bits(tensor: Any) -> Any:
    """A tensor as integers, so that equal means the same bits."""
    import torch

    kinds = {4: torch.int32, 2: torch.int16, 1: torch.uint8}
    return tensor.detach().cpu().contiguous().view(kinds[tensor.element_size()]).numpy()


def equal(got: Any, want: Any) -> None:
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(bits(got), bits(want))


def devices(torch: Any) -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


# Normalize


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("family", FAMILIES)
def test_normalize(ours: Any, torch: Any, family: str, numerics: str, dtype: str) -> None:
    p = dr.Processor(family, numerics=numerics, **FAMILIES[family])
    images = [image(), image(300, 200, 1)]
    for temporal in ("expand", "compact"):
        call = {"return_tensors": "pt", "temporal": temporal}
        want = p(images, dtype=dtype, **call)["pixel_values"]
        given = p(images, dtype="uint8", **call)["pixel_values"]
        for device in devices(torch):
            normalize = ours.Normalize(p, dtype=getattr(torch, dtype)).to(device)
            equal(normalize(given.to(device)), want)
    assert normalize.state_dict() == {}


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize(
    "options",
    [
        {"do_normalize": False},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.9, 0.8, 0.7]},
    ],
    ids=str,
)
def test_normalize_follows_the_options(ours: Any, numerics: str, options: dict[str, Any]) -> None:
    for family in ("qwen2-vl", "internvl"):
        p = dr.Processor(family, numerics=numerics, **FAMILIES[family], **options)
        # every byte in every channel
        ramp = np.arange(56 * 56 * 3, dtype=np.uint64).reshape(56, 56, 3).astype(np.uint8)
        call = {"return_tensors": "pt", "do_resize": family == "internvl"}
        given = p(ramp, dtype="uint8", **call)["pixel_values"]
        equal(ours.Normalize(p)(given), p(ramp, dtype="float32", **call)["pixel_values"])


def test_normalize_the_second_resolution(ours: Any) -> None:
    p = dr.Processor(
        "deepseek-vl-hybrid",
        image_size=56,
        high_res_image_size=84,
        high_res_image_mean=[0.1, 0.2, 0.3],
    )
    want = p(image(), return_tensors="pt")
    given = p(image(), dtype="uint8", return_tensors="pt")
    for key in ("pixel_values", "high_res_pixel_values"):
        equal(ours.Normalize(p, key=key)(given[key]), want[key])
    with pytest.raises(ValueError, match="key: family 'qwen2-vl' has no 'high_res_pixel_values'"):
        ours.Normalize(dr.Processor("qwen2-vl"), key="high_res_pixel_values")


def test_normalize_expands(ours: Any, torch: Any) -> None:
    p = dr.Processor("qwen2-vl", max_pixels=50_000)
    want = p(image(), return_tensors="pt", dtype="bfloat16")["pixel_values"]
    normalize = ours.Normalize(p, dtype=torch.bfloat16, temporal="expand")
    for temporal in ("expand", "compact"):
        call = {"return_tensors": "pt", "temporal": temporal}
        equal(normalize(p(image(), dtype="uint8", **call)["pixel_values"]), want)
    with pytest.raises(ValueError, match="temporal: family 'internvl' has no patches over time"):
        ours.Normalize(dr.Processor("internvl"), temporal="expand")


def test_normalize_in_a_model(ours: Any, torch: Any) -> None:
    """Moved, cast and copied with the model around it."""
    p = dr.Processor("qwen2-vl", max_pixels=50_000)
    model = copy.deepcopy(torch.nn.Sequential(ours.Normalize(p))).bfloat16()
    given = p(image(), dtype="uint8", return_tensors="pt")["pixel_values"]
    equal(model(given), p(image(), dtype="bfloat16", return_tensors="pt")["pixel_values"])


def test_normalize_shapes(ours: Any, torch: Any) -> None:
    normalize = ours.Normalize(dr.Processor("qwen2-vl"))
    for shape in [(0, 1176), (0, 3, 8, 8), (5, 3), (3, 8, 8), (2, 4, 3, 8, 8)]:
        assert normalize(torch.zeros(shape, dtype=torch.uint8)).shape == shape
    tiles = torch.randint(0, 256, (2, 4, 3, 8, 8), dtype=torch.uint8)
    equal(normalize(tiles[1]), normalize(tiles)[1])
    backwards = tiles.permute(0, 1, 2, 4, 3)
    equal(normalize(backwards), normalize(backwards.contiguous()))
    for shape in [(7,), (5, 7), (8, 8, 3)]:
        with pytest.raises(ValueError, match="pixels: must be patches"):
            normalize(torch.zeros(shape, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"pixels: must be uint8, got torch.float32"):
        normalize(torch.zeros(5, 1176))
    with pytest.raises(ValueError, match="dtype: must be float32"):
        ours.Normalize(dr.Processor("qwen2-vl"), dtype=torch.float64)
    with pytest.raises(TypeError, match="processor: must be a Processor, got str"):
        ours.Normalize("qwen2-vl")


# attach

VISION = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 64,
}
IMAGE_TOKEN = 60


def build(name: str, torch: Any) -> Any:
    """A tiny model of a family, with weights at random."""
    import transformers as hf

    torch.manual_seed(0)
    tokens = {"image_token_id": IMAGE_TOKEN, "video_token_id": 61, "vision_start_token_id": 62}
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10000.0}
    if name == "qwen2-vl":
        vision = {**VISION, "embed_dim": 32, "hidden_size": 32}
        config = hf.Qwen2VLConfig(
            vision_config=vision, text_config={**TEXT, "rope_parameters": rope}, **tokens
        )
        return hf.Qwen2VLForConditionalGeneration(config).eval()
    if name == "qwen2.5-vl":
        vision = {
            **VISION,
            "hidden_size": 32,
            "intermediate_size": 32,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        }
        config = hf.Qwen2_5_VLConfig(
            vision_config=vision, text_config={**TEXT, "rope_parameters": rope}, **tokens
        )
        return hf.Qwen2_5_VLForConditionalGeneration(config).eval()
    if name == "qwen3-vl":
        vision = {
            **VISION,
            "patch_size": 16,
            "hidden_size": 32,
            "intermediate_size": 32,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        }
        text = {**TEXT, "head_dim": 16, "rope_parameters": rope}
        config = hf.Qwen3VLConfig(vision_config=vision, text_config=text, **tokens)
        return hf.Qwen3VLForConditionalGeneration(config).eval()
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": [56, 56],
        "patch_size": [14, 14],
    }
    text = {**TEXT, "model_type": "qwen2"}
    config = hf.InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE_TOKEN, downsample_ratio=0.5
    )
    return hf.InternVLForConditionalGeneration(config).eval()


MODELS = {
    "qwen2-vl": ("qwen2-vl", {"max_pixels": 20_000}),
    "qwen2.5-vl": ("qwen2.5-vl", {"max_pixels": 20_000}),
    "qwen3-vl": ("qwen3-vl", {"min_pixels": 1024, "max_pixels": 20_000}),
    "internvl": ("internvl-hf", {"image_size": 56, "max_num": 4}),
}


@pytest.fixture(params=MODELS)
def tower(request: pytest.FixtureRequest, torch: Any, transformers: Any) -> Any:
    """A tiny model, its processor, and inputs that fit both."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(request.param, torch)
        family, options = MODELS[request.param]
        p = dr.Processor(family, **options)
        images = [image(90, 60), image(40, 120, 1)]
        plans = [p.plan(*one.shape[:2]) for one in images]
        text = importlib.import_module("dynres_rs.torch").expand_placeholders(
            [1, IMAGE_TOKEN, 2, IMAGE_TOKEN, 3], plans, IMAGE_TOKEN
        )
        ids = torch.tensor([text])
        text = {"input_ids": ids}
        if "qwen" in family:
            text["mm_token_type_ids"] = (ids == IMAGE_TOKEN).int()
        yield model, p, images, text


def inputs(p: Any, images: Any, **call: Any) -> dict[str, Any]:
    batch = p(images, return_tensors="pt", **call)
    batch.pop("num_patches", None)
    return batch  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attach(ours: Any, torch: Any, tower: Any, dtype: str) -> None:
    model, p, images, text = tower
    model = model.to(getattr(torch, dtype))
    with torch.no_grad():
        want = model(**text, **inputs(p, images)).logits
        attached = ours.attach(model, p)
        equal(model(**text, **inputs(p, images)).logits, want)  # upstream's own batches pass
        for temporal in ("expand", "compact"):
            for kind in ("uint8", dtype):
                batch = inputs(p, images, dtype=kind, temporal=temporal)
                equal(model(**text, **batch).logits, want)
        # the way in that is no forward
        batch = inputs(p, images, dtype="uint8", temporal="compact")
        features = model.model.get_image_features(**batch)
        equal(*(pooled(f) for f in (features, model.model.get_image_features(**inputs(p, images)))))
        # a copy works on its own, and survives the removal
        twin = copy.deepcopy(model)
        equal(twin(**text, **batch).logits, want)
        attached.remove()
        equal(twin(**text, **batch).logits, want)
        equal(model(**text, **inputs(p, images)).logits, want)
        assert not any("dynres" in str(vars(m)) for m in model.modules())


def pooled(features: Any) -> Any:
    import torch

    value = getattr(features, "pooler_output", features)
    return torch.cat(list(value)) if isinstance(value, list | tuple) else value


def test_generate(ours: Any, torch: Any, tower: Any) -> None:
    model, p, images, text = tower
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "eos_token_id": 63}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = model.generate(**text, **inputs(p, images), **options)
        ours.attach(model, p)
        batch = inputs(p, images, dtype="uint8", temporal="compact")
        got = model.generate(**text, **batch, **options)
    assert got.tolist() == want.tolist()


def test_fold(ours: Any, torch: Any, tower: Any) -> None:
    """The same embedding up to the rounding of a sum, and the same gradient."""
    model, p, images, text = tower
    want = model(**text, **inputs(p, images)).logits
    want.sum().backward()
    (conv,) = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)]
    gradient = conv.weight.grad.clone()
    model.zero_grad()
    ours.attach(model, p, fold=True)
    got = model(**text, **inputs(p, images, dtype="uint8", temporal="compact")).logits
    got.sum().backward()
    # float32 sums of up to 1,536 terms in another order, through one or two layers
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(conv.weight.grad, gradient, rtol=1e-3, atol=1e-4)
    equal(model(**text, **inputs(p, images)).logits, want)


def test_attach_to_the_original_internvl(ours: Any, torch: Any) -> None:
    """The remote code's way: `chat` calls `extract_feature`, positionally."""

    class Embeddings(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.patch_embedding = torch.nn.Conv2d(3, 8, 14, 14)

        def forward(self, pixel_values: Any) -> Any:
            return self.patch_embedding(pixel_values.to(self.patch_embedding.weight.dtype))

    class Chat(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.vision_model = Embeddings()

        def extract_feature(self, pixel_values: Any) -> Any:
            return self.vision_model(pixel_values=pixel_values)

        def generate(self, pixel_values: Any) -> Any:
            return self.extract_feature(pixel_values)

    p = dr.Processor("internvl", image_size=56, max_num=4)
    model = Chat().bfloat16()
    float_tiles = p(image(), return_tensors="pt")["pixel_values"].bfloat16()
    want = model.generate(float_tiles)
    ours.attach(model, p)
    tiles = p(image(), dtype="uint8", return_tensors="pt")["pixel_values"]
    equal(model.generate(tiles), want)
    equal(model.vision_model(tiles), want)
    equal(model.generate(float_tiles), want)


def test_attach_refuses(ours: Any, torch: Any) -> None:
    p = dr.Processor("qwen2-vl")
    with pytest.raises(ValueError, match="model: has no patch embedding"):
        ours.attach(torch.nn.Linear(3, 3), p)
    with pytest.raises(TypeError, match=r"model: must be a torch.nn.Module, got str"):
        ours.attach("model", p)
    with pytest.raises(TypeError, match="processor: must be a Processor, got dict"):
        ours.attach(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 14, 14)), {})


# expand_placeholders


def test_expand_placeholders(ours: Any, torch: Any) -> None:
    p = dr.Processor("qwen2-vl")
    plans = [p.plan(56, 84), p.plan(56, 56)]
    assert [plan.num_tokens for plan in plans] == [6, 4]
    ids = [1, 9, 2, 9, 3]
    want = [1, *[9] * 6, 2, *[9] * 4, 3]
    assert ours.expand_placeholders(ids, plans, 9) == want
    assert ours.expand_placeholders(ids, [6, 4], 9) == want
    array = ours.expand_placeholders(np.array(ids), plans, 9)
    assert isinstance(array, np.ndarray) and array.tolist() == want
    tensor = ours.expand_placeholders(torch.tensor(ids), plans, 9)
    assert isinstance(tensor, torch.Tensor) and tensor.tolist() == want
    labels = [-100, -100, 2, -100, 3]
    longer = ours.expand_placeholders(torch.tensor(ids), plans, 9, labels, np.ones(5))
    assert longer[0].tolist() == want and len(longer) == 3
    assert longer[1] == [*[-100] * 7, 2, *[-100] * 4, 3]
    assert longer[2].tolist() == [1.0] * 13
    assert ours.expand_placeholders([1, 2], [], 9) == [1, 2]
    assert ours.expand_placeholders([], [], 9) == []
    with pytest.raises(ValueError, match="plans: must be one for each placeholder, got 1 for 2"):
        ours.expand_placeholders(ids, plans[:1], 9)
    with pytest.raises(ValueError, match="aligned: must have the length 5, got 4"):
        ours.expand_placeholders(ids, plans, 9, [0] * 4)
    with pytest.raises(ValueError, match="input_ids: must have one axis"):
        ours.expand_placeholders([ids, ids], plans, 9)


# collate


def sample(p: Any, length: int, sizes: list[tuple[int, int]], **call: Any) -> dict[str, Any]:
    made = {"input_ids": np.arange(1, length + 1), "labels": np.full(length, 7), "name": length}
    if sizes:
        made |= p([image(*size) for size in sizes], **call)
    return made


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", ["qwen2-vl", "internvl", "deepseek-vl2"])
def test_collate(ours: Any, torch: Any, family: str, side: str) -> None:
    p = dr.Processor(family, **FAMILIES[family])
    sizes: list[list[tuple[int, int]]] = [[(60, 90)], [], [(90, 60), (30, 200)]]
    samples = [sample(p, 3 + i, some, dtype="uint8") for i, some in enumerate(sizes)]
    batch = ours.collate(samples, pad_token_id=99, padding_side=side)
    want = p([[image(*size) for size in some] for some in sizes if some], dtype="uint8")
    for key, value in want.items():
        np.testing.assert_array_equal(batch[key].numpy(), value)
    rows = [([1, 2, 3], 2), ([1, 2, 3, 4], 1), ([1, 2, 3, 4, 5], 0)]

    def padded(row: list[int], fill: int, count: int) -> list[int]:
        return row + [fill] * count if side == "right" else [fill] * count + row

    assert batch["input_ids"].tolist() == [padded(row, 99, n) for row, n in rows]
    assert batch["labels"].tolist() == [padded([7] * len(row), -100, n) for row, n in rows]
    assert batch["attention_mask"].tolist() == [padded([1] * len(row), 0, n) for row, n in rows]
    assert batch["name"] == [3, 4, 5]


def test_collate_bfloat16(ours: Any, torch: Any) -> None:
    p = dr.Processor("qwen2-vl", max_pixels=50_000)
    both = [
        sample(p, 2, [(60, 90)], dtype="bfloat16", return_tensors=kind) for kind in ["np", "pt"]
    ]
    batch = ours.collate(both)
    assert batch["pixel_values"].dtype == torch.bfloat16
    first, second = batch["pixel_values"].chunk(2)
    equal(first, second)


def test_collate_refuses(ours: Any) -> None:
    with pytest.raises(ValueError, match="samples: must hold at least one"):
        ours.collate([])
    with pytest.raises(ValueError, match="padding_side: must be one of right, left"):
        ours.collate([{}], padding_side="both")


@pytest.mark.parametrize("family", [*FAMILIES, "deepseek-vl"])
def test_dummy_image(ours: Any, torch: Any, family: str) -> None:
    p = dr.Processor(family, **FAMILIES.get(family, {}))
    dummy = ours.dummy_image(p, token_id=IMAGE_TOKEN, dtype="uint8", temporal="compact")
    count = len(dummy["input_ids"])
    assert count >= 1 and set(dummy["input_ids"].tolist()) == {IMAGE_TOKEN}
    assert dummy["pixel_values"].dtype == torch.uint8
    text = [sample(p, 3, []), sample(p, 5, [])]
    batch = ours.collate(text, dummy=dummy)
    assert batch["input_ids"].shape == (2, max(3 + count, 5))
    assert batch["attention_mask"].sum() == 8
    assert (batch["labels"] == 7).sum() == 8
    for key in dummy.keys() - {"input_ids", "labels", "attention_mask"}:
        np.testing.assert_array_equal(batch[key].numpy(), dummy[key].numpy())
    # not where there are pixels already, and samples are left as they were
    call = {"dtype": "uint8", "temporal": "compact"}
    mixed = [sample(p, 3, []), sample(p, 5, [(60, 90)], **call)]
    assert ours.collate(mixed, dummy=dummy)["input_ids"].shape == (2, 5)
    assert len(text[0]["input_ids"]) == 3


def test_a_model_takes_the_dummy(ours: Any, torch: Any, tower: Any) -> None:
    """Text with the dummy at its end has the logits of the text, and the tower has a gradient."""
    model, p, _, _ = tower
    ours.attach(model, p)
    text = {"input_ids": np.arange(1, 6)}
    alone = model(input_ids=torch.arange(1, 6)[None]).logits
    dummy = ours.dummy_image(p, token_id=IMAGE_TOKEN, dtype="uint8", temporal="compact")
    batch = ours.collate([text], dummy=dummy)
    for key in ("labels", "num_patches"):
        batch.pop(key, None)
    if "image_grid_thw" in batch:
        batch["mm_token_type_ids"] = (batch["input_ids"] == IMAGE_TOKEN).int()
    logits = model(**batch).logits[:, :5]
    # attention over a longer, masked row sums in another order
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)
    logits.sum().backward()
    (conv,) = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)]
    assert conv.weight.grad is not None
