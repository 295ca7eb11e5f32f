"""`Processor`: calls, options, outputs, identity."""

import copy
import json
import pickle
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from strategies import sized

U8 = NDArray[np.uint8]
NAMES = sorted(dr.families())


def pixels(height: int = 50, width: int = 70, seed: int = 0) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def qwen(**options: Any) -> dr.Processor:
    return dr.Processor("qwen2-vl", **{"numerics": "pillow-13", "max_pixels": 20_000, **options})


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
        assert one[key].dtype == other[key].dtype


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to nearest, ties to even, of finite values."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


# Identity


@pytest.mark.parametrize("family", NAMES)
def test_round_trips(family: str) -> None:
    for p in (
        dr.Processor(family),
        dr.Processor(family, numerics="pillow-12.3", image_std=[0.25, 0.5, 1], resample=1),
    ):
        copies = [
            dr.Processor.from_dict(p.to_dict()),
            dr.Processor.from_dict(json.loads(json.dumps(p.to_dict()))),
            pickle.loads(pickle.dumps(p)),
            copy.copy(p),
            copy.deepcopy(p),
            eval(repr(p), {"Processor": dr.Processor}),
        ]
        for other in copies:
            assert other == p and hash(other) == hash(p) and repr(other) == repr(p)
            assert other.to_dict() == p.to_dict() and other.numerics == p.numerics


def test_equality() -> None:
    assert qwen() == qwen() != qwen(max_pixels=30_000)
    assert qwen() != qwen(numerics="pillow-12.0") and qwen() != "qwen2-vl"
    assert len({qwen(), qwen(), qwen(do_resize=False)}) == 2


def test_repr_says_what_differs_from_the_preset() -> None:
    p = dr.Processor("qwen2-vl", numerics="torchvision", max_pixels=20_000)
    assert repr(p) == "Processor('qwen2-vl', numerics='torchvision', max_pixels=20000)"


def test_aliases_resolve() -> None:
    assert dr.Processor("qwen2_5_vl").family == "qwen2.5-vl"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("torchvision", "torchvision"),
        ("pillow-9", "pillow-12.0"),
        ("pillow-11.3", "pillow-12.0"),
        ("pillow-12.0", "pillow-12.0"),
        ("pillow-12.1.1", "pillow-12.0"),
        ("pillow-12.2", "pillow-12.2"),
        ("pillow-12.3.0", "pillow-12.2"),
        ("pillow-13", "pillow-13"),
        ("pillow-13.0.0", "pillow-13"),
    ],
)
def test_numerics(name: str, rule: str) -> None:
    p = qwen(numerics=name)
    assert p.numerics == rule == p.to_dict()["numerics"]


def test_default_numerics() -> None:
    import PIL

    installed = dr.Processor("internvl").numerics
    assert dr.Processor("qwen2-vl").numerics == "torchvision"
    assert installed == dr.Processor("deepseek-vl2", numerics="pil").numerics
    assert installed == qwen(numerics=f"pillow-{PIL.__version__}").numerics


@pytest.mark.parametrize(("major", "warns"), [("13.7.0", False), ("14.0.0", False)])
def test_a_newer_pillow_is_probed(monkeypatch: pytest.MonkeyPatch, major: str, warns: bool) -> None:
    import PIL
    from dynres_rs import numerics

    here = numerics.installed_pillow()
    if here != "pillow-13":
        pytest.skip("needs a Pillow that follows the newest rule")
    monkeypatch.setattr(PIL, "__version__", major)
    numerics.installed_pillow.cache_clear()
    try:
        assert numerics.resolve("pillow") == "pillow-13"
        numerics.installed_pillow.cache_clear()
        original = Image.Image.resize

        def in_two_passes(self: Image.Image, size: tuple[int, int], *rest: Any) -> Image.Image:
            across = original(self, (size[0], self.height), *rest)
            return original(across, size, *rest)

        if major == "14.0.0":
            monkeypatch.setattr(Image.Image, "resize", in_two_passes)
            with pytest.warns(RuntimeWarning, match=r"by the rule of pillow-12\.0"):
                assert numerics.resolve("pillow") == "pillow-12.0"
            monkeypatch.setattr(
                Image.Image, "resize", lambda self, size, *rest: original(self, size)
            )
            monkeypatch.setattr(
                Image.Image, "resize", lambda self, size, *rest: original(self, size, 0)
            )
            numerics.installed_pillow.cache_clear()
            with pytest.warns(RuntimeWarning, match="by a rule that dynres_rs does not know"):
                assert numerics.resolve("pillow") == "pillow-13"
    finally:
        monkeypatch.undo()
        numerics.installed_pillow.cache_clear()


# Options


CALLS: list[dict[str, Any]] = [
    {"max_pixels": 10_000},
    {"min_pixels": 30_000, "max_pixels": 40_000},
    {"size": {"shortest_edge": 3136, "longest_edge": 8_000}},
    {"do_rescale": False},
    {"do_normalize": False},
    {"do_rescale": False, "do_normalize": False},
    {"rescale_factor": 1 / 127},
    {"image_mean": [0.1, 0.2, 0.3], "image_std": (0.5, 0.6, 0.7)},
    {"image_mean": np.array([0.1, 0.2, 0.3])},
    {"resample": 2},
    {"resample": "lanczos"},
    {"resample": Image.Resampling.BILINEAR},
    {"patch_size": 16},
    {"merge_size": 1},
    {"temporal_patch_size": 1},
    {"disable_grouping": True, "device": "cpu", "data_format": "channels_first"},
]


@pytest.mark.parametrize("options", CALLS, ids=str)
def test_options_of_a_call_equal_those_of_the_constructor(options: dict[str, Any]) -> None:
    image = pixels()
    p = qwen()
    made = qwen(**options)
    for _ in range(2):
        same(p(image, **options), made(image))
    assert p.plan(50, 70, **options).num_tokens == made.plan(50, 70).num_tokens
    assert p == qwen()


def test_do_resize_off() -> None:
    image = pixels(56, 84)
    same(qwen()(image, do_resize=False), qwen(min_pixels=1)(image))
    with pytest.raises(ValueError, match="multiples of"):
        qwen()(pixels(), do_resize=False)


def test_none_is_absent() -> None:
    same(qwen()(pixels(), max_pixels=None, do_resize=None), qwen()(pixels()))


def test_internvl_hf_speaks_upstreams_names() -> None:
    p = dr.Processor("internvl-hf", numerics="pillow-13", size={"height": 56, "width": 56})
    image = pixels(50, 150)
    assert p(image)["num_patches"].tolist() == [4]
    assert p(image, max_patches=1)["num_patches"].tolist() == [1]
    assert p(image, crop_to_patches=False)["num_patches"].tolist() == [1]
    assert p(image, max_patches=1)["pixel_values"].shape == (1, 3, 56, 56)


def test_tiles_that_are_no_squares() -> None:
    p = dr.Processor("internvl-hf", numerics="pillow-13", size={"height": 56, "width": 84})
    image = pixels(50, 150)
    made = dr.Processor.from_dict(json.loads(json.dumps(p.to_dict())))
    assert made == p
    same(made(image), p(image))
    want = dr.Processor("internvl-hf", numerics="pillow-13", size=[56, 84], max_num=1)
    same(p(image, max_patches=1), want(image))
    assert want(image)["pixel_values"].shape == (1, 3, 56, 84)


def test_many_options_do_not_pile_up() -> None:
    p = qwen()
    for budget in range(4000, 4200):
        p(pixels(20, 20), max_pixels=budget)
    assert len(p._variants) <= 64


# Requests


@pytest.mark.parametrize("family", ["qwen2-vl", "internvl", "internvl-hf", "deepseek-vl"])
def test_a_batch_is_its_singles(family: str) -> None:
    p = dr.Processor(family, numerics="pillow-13", **SMALL.get(family, {}))
    images = [pixels(40, 90), pixels(90, 40, 1), pixels(50, 50, 2)]
    singles = [p(image) for image in images]
    for batch in (
        p(images),
        p(tuple(images)),
        p([[images[0]], images[1:]]),
        p(images, num_threads=2),
    ):
        for key, value in batch.items():
            np.testing.assert_array_equal(value, np.concatenate([one[key] for one in singles]))


SMALL: dict[str, dict[str, Any]] = {
    "qwen2-vl": {"max_pixels": 20_000},
    "internvl": {"image_size": 56, "max_num": 4},
    "internvl-hf": {"image_size": 56, "max_num": 4},
    "deepseek-vl": {"size": 96},
}


def test_an_array_of_four_axes_is_a_list() -> None:
    stack = np.stack([pixels(), pixels(seed=1)])
    same(qwen()(stack), qwen()(list(stack)))
    same(qwen()([stack, stack[:1]]), qwen()([*stack, stack[0]]))


def test_samples_matter_where_a_family_counts_images() -> None:
    p = dr.Processor("deepseek-vl2", numerics="pillow-13")
    image = pixels(400, 800)
    crops = "images_spatial_crop"
    tiled = p(image)[crops].tolist()[0]
    assert tiled != [1, 1]
    assert p([image] * 2)[crops].tolist() == [tiled] * 2
    assert p([image] * 3)[crops].tolist() == [[1, 1]] * 3
    assert p([[image], [image] * 2])[crops].tolist() == [tiled] * 3
    assert p([[image] * 3, [], [image]])[crops].tolist() == [[1, 1]] * 3 + [tiled]
    divide = dr.Processor("internvl", image_size=56, multi_image="divide", use_thumbnail=False)
    assert divide(pixels(40, 240))["num_patches"].tolist() == [6]
    assert divide([[pixels(40, 240)] * 4])["num_patches"].tolist() == [3] * 4


# Outputs


@pytest.mark.parametrize("family", NAMES)
def test_outputs_are_what_the_plan_says(family: str) -> None:
    p = sized(dr.Processor(family, numerics="pillow-13"))
    batch = p(pixels(60, 100))
    half = p(pixels(60, 100), dtype="float16")
    plan = p.plan(60, 100)
    first = next(iter(batch))
    assert batch[first].shape == plan.shape
    assert half[first].dtype == np.float16
    assert list(half) == list(batch)
    for key, value in batch.items():
        if isinstance(value, list):
            assert value == half[key]
            assert np.ravel(value).dtype.kind in "ib"
            continue
        assert value.flags.c_contiguous and value.flags.writeable
        if half[key].dtype == np.float16:
            assert value.dtype in (np.float32, np.uint16)  # the latter are bfloat16's bits
            assert value.shape == half[key].shape
        else:
            np.testing.assert_array_equal(value, half[key])
            assert value.dtype.kind in "ibf"
    assert p.num_tokens([[60, 100]]).tolist() == [plan.num_tokens]


def test_dtypes() -> None:
    image = pixels()
    p = qwen()
    full = p(image)["pixel_values"]
    half = p(image, dtype="float16")["pixel_values"]
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, full.astype(np.float16))
    brain = p(image, dtype="bfloat16")["pixel_values"]
    assert brain.dtype == np.uint16
    np.testing.assert_array_equal(brain, bfloat16(full))
    raw = p(image, dtype="uint8")["pixel_values"]
    assert raw.dtype == np.uint8
    np.testing.assert_array_equal(
        raw, p(image, do_rescale=False, do_normalize=False)["pixel_values"]
    )
    for name in ("float32", np.float32, np.dtype("float32"), np.dtype("<f4")):
        np.testing.assert_array_equal(p(image, dtype=name)["pixel_values"], full)


def test_compact_is_one_of_two_copies() -> None:
    p = qwen()
    full = p(pixels())["pixel_values"]
    compact = p(pixels(), temporal="compact")["pixel_values"]
    frames = full.reshape(len(full), 3, 2, 14 * 14)
    np.testing.assert_array_equal(frames[:, :, 0], frames[:, :, 1])
    np.testing.assert_array_equal(compact, frames[:, :, 0].reshape(len(full), -1))
    weight = np.random.default_rng(1).normal(size=(4, 3, 2, 14, 14)).astype(np.float32)
    folded = dr.fold_patch_embedding(weight)
    assert folded.shape == (4, 3, 1, 14, 14) and folded.dtype == np.float32
    np.testing.assert_allclose(
        compact @ folded.reshape(4, -1).T, full @ weight.reshape(4, -1).T, rtol=0, atol=1e-3
    )
    flat = dr.fold_patch_embedding(weight.reshape(4, -1))
    np.testing.assert_array_equal(flat, folded.reshape(4, -1))


@pytest.mark.parametrize("dtype", [None, "bfloat16", "uint8"])
def test_out(dtype: str | None) -> None:
    p = qwen()
    want = p(pixels(), dtype=dtype)
    buffer = np.full_like(want["pixel_values"], 77)
    got = p(pixels(), dtype=dtype, out=buffer)
    assert np.shares_memory(got["pixel_values"], buffer)
    same(got, want)
    np.testing.assert_array_equal(buffer, want["pixel_values"])
    outs = {key: np.zeros_like(value) for key, value in want.items()}
    got = p([pixels()], dtype=dtype, out=outs)
    for key, value in outs.items():
        assert np.shares_memory(got[key], value)
    same(outs, want)
    same(p(pixels(), dtype=dtype, out={}), want)


def test_out_as_a_function() -> None:
    p = dr.Processor("deepseek-vl-hybrid")
    want = p([pixels()])
    room = np.zeros(1 << 24, np.uint8)
    asked: list[str] = []

    def make(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        asked.append(key)
        assert (shape, dtype) == (want[key].shape, want[key].dtype)
        return np.ndarray(shape, dtype, room) if key == "pixel_values" else None

    got = p([pixels()], out=make)
    assert asked == ["pixel_values", "high_res_pixel_values"]
    assert np.shares_memory(got["pixel_values"], room)
    assert not np.shares_memory(got["high_res_pixel_values"], room)
    same(got, want)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda key, shape, dtype: np.zeros(3, dtype), ValueError, "must have the shape"),
        (lambda key, shape, dtype: np.zeros(shape, np.int8), TypeError, "must have the dtype"),
        (lambda key, shape, dtype: "x", TypeError, "must be a numpy array"),
        (lambda key, shape, dtype: np.ndarray(shape, dtype, room), ValueError, "overlaps"),
    ]
    for function, error, text in wrong:
        with pytest.raises(error, match=text):
            p([pixels()], out=function)
    clip = np.zeros((4, 60, 80, 3), np.uint8)
    p = dr.Processor("qwen2-vl")
    keys: list[str] = []
    p(pixels(), videos=[clip], out=lambda key, shape, dtype: keys.append(key))
    assert keys == ["pixel_values", "pixel_values_videos"]


def test_out_of_two_images_and_two_keys() -> None:
    p = dr.Processor("deepseek-vl-hybrid", size=64, high_res_size=128)
    want = p([pixels(), pixels(seed=1)])
    outs = {"high_res_pixel_values": np.empty_like(want["high_res_pixel_values"])}
    got = p([pixels(), pixels(seed=1)], out=outs)
    same(got, want)
    np.testing.assert_array_equal(outs["high_res_pixel_values"], want["high_res_pixel_values"])


@pytest.mark.parametrize("threads", [0, 1, 2, 5, np.int64(3)])
def test_threads_never_change_the_result(threads: Any) -> None:
    images = [pixels(), pixels(100, 30, 1)]
    same(qwen()(images, num_threads=threads), qwen()(images))


# Errors of single images


def test_collect() -> None:
    p = qwen()
    images = [pixels(), Image.fromarray(pixels(1, 500)), b"no image", pixels(seed=1), 5]
    batch = p(images, errors="collect")
    failures = batch.pop("errors")
    same(batch, p([images[0], images[3]]))
    assert [index for index, _ in failures] == [1, 2, 4]
    assert [type(error) for _, error in failures] == [ValueError, OSError, TypeError]
    assert all(str(error).startswith(f"images[{index}]: ") for index, error in failures)
    assert p(images[0], errors="collect")["errors"] == []


@pytest.mark.parametrize("family", NAMES)
def test_collect_of_nothing_good(family: str) -> None:
    p = dr.Processor(family)
    good = p(pixels(), dtype="bfloat16")
    batch = p([b"", 7], errors="collect", dtype="bfloat16")
    assert [index for index, _ in batch.pop("errors")] == [0, 1]
    others = [p(pixels(*size), dtype="bfloat16") for size in [(70, 70), (90, 200)]]
    assert [key for key in good if key in batch] == list(batch)
    # An array that only some images have rows of is not there.
    kept = [set(result) for result in [good, *others]]
    assert set(batch) <= set.union(*kept)
    assert next(iter(good)) in batch
    for key, value in batch.items():
        if isinstance(value, list):
            assert not np.ravel(value).size
            continue
        assert value.dtype == good[key].dtype
        assert value.ndim == good[key].ndim
        # Samples without an image may still count as such.
        assert 0 in value.shape or not value.any()
        if len({result[key].shape[1:] for result in [good, *others]}) == 1:
            pairs = zip(value.shape[1:], good[key].shape[1:], strict=True)
            assert all(here in (0, there) for here, there in pairs)


def test_collect_plans_the_rest_as_if_all_were_there() -> None:
    p = dr.Processor("deepseek-vl2", numerics="pillow-13")
    image = pixels(400, 800)
    batch = p([image, b"", image], errors="collect")
    assert batch["images_spatial_crop"].tolist() == [[1, 1], [1, 1]]


def test_num_tokens() -> None:
    p = qwen()
    sizes = np.random.default_rng(0).integers(28, 2000, (200, 2))
    want = [p.plan(int(h), int(w)).num_tokens for h, w in sizes]
    for given in (sizes, sizes.tolist(), sizes.astype(np.uint16), np.asfortranarray(sizes)):
        got = p.num_tokens(given)
        assert got.dtype == np.int64 and got.tolist() == want
    assert p.num_tokens([]).shape == (0,)


@pytest.mark.torch
def test_tensors(torch: Any) -> None:
    p = qwen()
    for dtype, kind in [
        (None, torch.float32),
        ("bfloat16", torch.bfloat16),
        ("uint8", torch.uint8),
    ]:
        arrays = p(pixels(), dtype=dtype)
        tensors = p(pixels(), dtype=dtype, return_tensors="pt")
        assert tensors["pixel_values"].dtype == kind
        assert tensors["image_grid_thw"].dtype == torch.int64
        if dtype == "bfloat16":
            want = torch.from_numpy(p(pixels())["pixel_values"]).to(torch.bfloat16)
        else:
            want = torch.from_numpy(arrays["pixel_values"])
        assert torch.equal(tensors["pixel_values"], want)
        buffer = torch.zeros_like(want)
        p(pixels(), dtype=dtype, out=buffer)
        assert torch.equal(buffer, want)
    weight = torch.randn(4, 3, 2, 14, 14).to(torch.bfloat16)
    assert dr.fold_patch_embedding(weight).dtype == torch.bfloat16
