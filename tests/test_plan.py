"""The plan: its numbers are those of the tensors produced, of upstream, and of the reference."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import dynres_rs as dr
import golden_cases as golden
import numpy as np
import pytest
from dynres_rs.planning import MultiModalTokens
from hypothesis import strategies as st
from PIL import Image
from property_counts import property_test
from reference import families as reference
from strategies import Setup, image_sizes, noise, numerics_names, seeds, setups

ALL = sorted(reference.FAMILIES)
every_family = pytest.mark.parametrize("family", ALL)


# Against the tensors


@property_test(
    setup=setups(),
    seed=seeds,
    size=image_sizes,
    numerics=numerics_names,
    dtype=st.sampled_from([None, "float16", "bfloat16", "uint8"]),
)
def test_numbers_are_those_of_the_tensors(
    setup: Setup, seed: int, size: tuple[int, int], numerics: str, dtype: str | None
) -> None:
    p = setup.processor(numerics)
    plan = p.plan(*size)
    batch = p(Image.fromarray(noise(seed, *size)), dtype=dtype)
    pixels = {key: value for key, value in batch.items() if key in plan.shapes}
    assert {key: value.shape for key, value in pixels.items()} == plan.shapes
    assert plan.nbytes(dtype) == sum(value.nbytes for value in pixels.values())
    assert plan.shape == batch["pixel_values"].shape
    for key, value in plan.metadata.items():
        assert np.array_equal(np.atleast_1d(batch[key][0]), np.atleast_1d(value)), key
    rows = {key: np.zeros(shape[0], int) for key, shape in plan.shapes.items()}
    for view in plan.views:
        rows[view.output][view.index : view.index + view.count] += 1
        top, left, bottom, right = view.padding
        assert view.target == (*view.offset, *view.resized)
        assert view.canvas == (top + view.resized[0] + bottom, left + view.resized[1] + right)
    assert all((filled == 1).all() for filled in rows.values()), "every row belongs to one view"


@property_test(setup=setups(), size=image_sizes, num_images=st.integers(1, 3))
def test_counts_are_those_of_the_reference(
    setup: Setup, size: tuple[int, int], num_images: int
) -> None:
    plan = setup.processor("torchvision").plan(*size, num_images=num_images)
    want = reference.counts(setup.family, size, setup.config, num_images)
    assert (plan.num_tiles, plan.num_tokens) == (want.tiles, want.tokens)


@pytest.mark.parametrize("family", ["qwen2-vl", "qwen3-vl", "internvl", "deepseek-vl2"])
def test_ten_thousand_sizes(family: str) -> None:
    """`num_tokens` is the plan's number, and the reference's."""
    generator = np.random.Generator(np.random.PCG64(4))
    sizes = np.exp(generator.uniform(0, np.log(5000), (10_000, 2))).astype(int)
    sizes = sizes[sizes.max(1) <= 200 * sizes.min(1)]
    p = dr.Processor(family)
    got = p.num_tokens(sizes)
    row = dr.families()[family]
    config = {key: value for key, value in row.items() if key in reference.DEFAULTS[family]}
    config["resample"] = 3
    if "min_pixels" in row:
        config["size"] = {"shortest_edge": row["min_pixels"], "longest_edge": row["max_pixels"]}
    for (height, width), tokens in zip(sizes.tolist(), got.tolist(), strict=True):
        assert tokens == p.plan(height, width).num_tokens
        assert tokens == reference.counts(family, (height, width), config).tokens


@every_family
def test_num_tokens_takes_any_integers(family: str) -> None:
    p = dr.Processor(family)
    sizes = [[37, 61], [200, 100], [640, 480]]
    want = [p.plan(*size).num_tokens for size in sizes]
    for dtype in ("int64", "int32", "uint16", "uint64", ">i4"):
        assert p.num_tokens(np.array(sizes, dtype)).tolist() == want
    assert p.num_tokens(np.array(sizes)[::-1]).tolist() == want[::-1]
    assert p.num_tokens(np.asfortranarray(sizes)).tolist() == want
    assert p.num_tokens([]).shape == (0,) and p.num_tokens([]).dtype == np.int64


def test_num_tokens_by_number_of_images() -> None:
    p = dr.Processor("deepseek-vl2")
    assert p.num_tokens([[1080, 1920]]).tolist() == [1807]
    assert p.num_tokens([[1080, 1920]], num_images=3).tolist() == [421]
    p = dr.Processor("internvl", multi_image="divide")
    assert p.num_tokens([[1080, 1920]], num_images=12).tolist() == [256]


def test_a_share_of_tiles_below_the_fewest() -> None:
    """InternVL's training leaves no candidate then, and takes one tile."""
    p = dr.Processor("internvl", min_num=4, multi_image="divide")
    assert [p.plan(400, 1600, num_images=n).num_tiles for n in (1, 3, 4, 13)] == [5, 5, 1, 1]
    assert p.num_tokens([[400, 1600]], num_images=4).tolist() == [256]


def test_num_tokens_names_the_size_that_is_wrong() -> None:
    p = dr.Processor("qwen2-vl")
    good = [[50, 50]] * 70_000
    with pytest.raises(ValueError, match=r"sizes\[70000\]: absolute aspect ratio.*\(1, 201\)"):
        p.num_tokens([*good, [1, 201]])
    with pytest.raises(ValueError, match=r"sizes\[70001\]: height and width must be in .*\(0, 5\)"):
        p.num_tokens([*good, [1, 200], [0, 5]])
    with pytest.raises(ValueError, match=r"sizes\[0\]: height and width must be in .*\(-1, 5\)"):
        p.num_tokens([[-1, 5]])
    with pytest.raises(dr.ImageTooLargeError, match=r"sizes\[1\]: more than max_image_pixels"):
        p.num_tokens([[5, 5], [20_000, 20_000]])
    with pytest.raises(TypeError, match="sizes: must be integers"):
        p.num_tokens([[5.0, 5.0]])


# Against upstream


def test_known_numbers() -> None:
    assert dr.Processor("qwen2-vl").plan(1080, 1920).num_patches == 10_764
    assert dr.Processor("internvl").plan(1080, 1920).num_tokens == 9 * 256
    plan = dr.Processor("deepseek-vl2").plan(1080, 1920)
    assert (plan.num_tokens, plan.num_patches, plan.num_tiles) == (1807, 9 * 27 * 27, 9)
    assert dr.Processor("deepseek-vl2").plan(100, 100).num_tokens == 421
    assert dr.Processor("deepseek-vl").plan(100, 100).num_tokens == 576
    plan = dr.Processor("got-ocr2").plan(100, 100)
    assert (plan.num_tokens, plan.num_patches, plan.shape) == (256, 64 * 64, (1, 3, 1024, 1024))
    assert dr.Processor("got-ocr2", crop_to_patches=True).plan(1000, 3000).num_tokens == 4 * 256


def upstream_counts() -> list[Any]:
    rows = golden.load("patch_counts.json")["cases"]
    classes = ("Qwen2VLImageProcessor", "GotOcr2ImageProcessor")
    return [row for row in rows if row["class"] in classes]


def test_all_rows_of_upstream_are_here() -> None:
    assert len(upstream_counts()) == 8


@pytest.mark.parametrize(
    "row", upstream_counts(), ids=lambda row: f"{row['family']}-{len(row['kwargs'])}"
)
def test_number_of_image_patches(row: dict[str, Any]) -> None:
    p = dr.Processor.from_config({"image_processor_type": row["class"]})
    sizes = golden.load("patch_counts.json")["sizes"]
    for (height, width), want in zip(sizes, row["counts"], strict=True):
        if isinstance(want, str):
            assert want == "ERR ValueError"
            with pytest.raises(ValueError, match="absolute aspect ratio must be smaller than 200"):
                p.get_number_of_image_patches(height, width, row["kwargs"])
        else:
            assert p.get_number_of_image_patches(height, width, row["kwargs"]) == want


def test_number_of_image_patches_reads_what_upstream_reads() -> None:
    p = dr.Processor("qwen2-vl", do_resize=False)
    count = p.get_number_of_image_patches
    assert count(1080, 1920) == 10_764
    assert count(1080, 1920, {"max_pixels": 200_704, "size": {"anything": 1}}) == 1008
    assert count(1080, 1920, {"patch_size": 16, "max_pixels": None}) == 8160
    assert count(9_999_999, 9_999_999) > 0, "what vLLM asks for the largest image"
    p = dr.Processor("internvl-hf")
    assert p.get_number_of_image_patches(1080, 1920, {"max_patches": 1}) == 1
    assert p.get_number_of_image_patches(1080, 1920, {"max_patches": 4}) == 3
    tile = {"height": 4480, "width": 4480}
    assert p.get_number_of_image_patches(600, 600, {"patch_size": tile}) == 1


def test_multimodal_tokens() -> None:
    sizes = [(1080, 1920), (100, 100)]
    found = dr.Processor("qwen2-vl").get_num_multimodal_tokens(image_sizes=sizes)
    assert found == MultiModalTokens([2691, 16], None, None, [10_764, 64])
    assert "num_image_tokens" in found and "num_video_tokens" not in found
    assert found["num_image_patches"] == [10_764, 64]
    hf = dr.Processor("internvl-hf", crop_to_patches=False)
    found = hf.get_num_multimodal_tokens(image_sizes=sizes)
    assert found.num_image_tokens == [2 + 9 * 256, 2 + 256]
    found = hf.get_num_multimodal_tokens(image_sizes=sizes, crop_to_patches=False)
    assert found.num_image_patches == [1, 1]
    found = dr.Processor("deepseek-vl2").get_num_multimodal_tokens(image_sizes=sizes)
    assert found.num_image_tokens == [1807, 421]
    assert dr.Processor("qwen2-vl").get_num_multimodal_tokens() == MultiModalTokens()
    videos = [(8, 1080, 1920), (3, 100, 100)]
    p = dr.Processor("qwen2-vl")
    found = p.get_num_multimodal_tokens(image_sizes=[(100, 100)], video_sizes=videos)
    assert (found.num_image_tokens, found.num_image_patches) == ([16], [64])
    assert found.num_video_tokens == p.video.num_tokens(videos).tolist()
    few = p.get_num_multimodal_tokens(None, videos, videos_kwargs={"merge_size": 4})
    assert few.num_video_tokens == p.video.num_tokens(videos, merge_size=4).tolist()
    with pytest.raises(ValueError, match="family: must be one that takes videos"):
        dr.Processor("internvl").get_num_multimodal_tokens(video_sizes=videos)


@pytest.mark.slow
@pytest.mark.oracle
def test_multimodal_tokens_of_upstream(transformers: Any, upstream_warnings_allowed: None) -> None:
    """The counting functions of both model processors, on a stand-in for the rest of them."""
    generator = np.random.Generator(np.random.PCG64(5))
    sizes = generator.integers(30, 3000, (60, 2)).tolist()
    for name, image_class in (("Qwen2VL", "Qwen2VL"), ("InternVL", "GotOcr2")):
        image_processor = getattr(transformers, f"{image_class}ImageProcessorPil")()
        model = type("Model", (), {})()
        model.image_processor = image_processor
        model.image_seq_length = 256
        defaults = {"crop_to_patches": True} if name == "InternVL" else {}
        model._merge_kwargs = lambda d=defaults, **kwargs: {"images_kwargs": {**d, **kwargs}}
        count = getattr(transformers, f"{name}Processor")._get_num_multimodal_tokens
        config = {"image_processor_type": f"{image_class}ImageProcessor"}
        if name == "InternVL":
            size = {"height": 448, "width": 448}
            image_processor = getattr(transformers, f"{image_class}ImageProcessorPil")(size=size)
            model.image_processor = image_processor
            config |= {"size": size}
        p = dr.Processor.from_config(config)
        for kwargs in ({}, {"max_pixels": 500_000}, {"max_patches": 5}):
            want = count(model, image_sizes=sizes, **kwargs)
            found = p.get_num_multimodal_tokens(image_sizes=sizes, **kwargs)
            assert found.num_image_tokens == want.num_image_tokens
            assert found.num_image_patches == want.num_image_patches


@pytest.mark.torch
def test_video_tokens_of_upstream(
    torch: Any, transformers: Any, upstream_warnings_allowed: None
) -> None:
    generator = np.random.Generator(np.random.PCG64(6))
    sizes = np.exp(generator.uniform(0, np.log(2000), (200, 3))).astype(int) + 1
    for family, name in (("qwen2-vl", "Qwen2VL"), ("qwen3-vl", "Qwen3VL")):
        config = {"video_processor_type": f"{name}VideoProcessor"}
        upstream = getattr(transformers, f"{name}VideoProcessor")()
        p = dr.Processor.from_config(config)
        assert p.family == family
        for kwargs in ({}, {"size": {"shortest_edge": 50_000, "longest_edge": 300_000}}):
            for size in sizes.tolist():
                try:
                    want = upstream.get_num_of_video_patches(*size, kwargs)
                except ValueError:
                    with pytest.raises(ValueError, match=r"absolute aspect|frames"):
                        p.get_num_multimodal_tokens(video_sizes=[size], **kwargs)
                    continue
                found = p.get_num_multimodal_tokens(video_sizes=[size], **kwargs)
                assert found.num_video_tokens == [want // 4] and found.num_image_tokens is None


# As an object


@every_family
def test_a_plan_is_a_value(family: str) -> None:
    p = dr.Processor(family)
    plan = p.plan(120, 300)
    for other in (p.plan(120, 300), pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
        assert other == plan and hash(other) == hash(plan) and other is not plan
        assert other.views == plan.views and hash(other.views[0]) == hash(plan.views[0])
    assert pickle.loads(pickle.dumps(plan.views[-1])) == plan.views[-1]
    assert plan != p.plan(300, 120) and plan != "a plan"
    assert dr.Processor(family, image_mean=[0.1, 0.2, 0.3]).plan(120, 300) != plan
    described = plan.to_dict()
    assert json.loads(json.dumps(described)) == described
    assert described["num_tokens"] == plan.num_tokens
    assert described["shapes"] == {key: list(shape) for key, shape in plan.shapes.items()}
    assert [view["role"] for view in described["views"]] == [view.role for view in plan.views]
    for text in (repr(plan), *map(repr, plan.views)):
        assert " object at " not in text
    assert f"{plan.num_tokens} tokens" in repr(plan)


def test_repr() -> None:
    assert repr(dr.Processor("deepseek-vl2").plan(1080, 1920)) == (
        "Plan(deepseek-vl2: 1080x1920 -> 768x1365, 9 tiles, 6561 patches, 1807 tokens,"
        " pixel_values (9, 3, 384, 384)\n"
        "  global: 1080x1920 -> 216x384, on 384x384 at (84, 0), pixel_values[0]\n"
        "  tiles: 1080x1920 -> 768x1365, on 768x1536 at (0, 86), grid 2x4, pixel_values[1..8])"
    )


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_plans_of_videos(frames: int) -> None:
    plan = dr.Processor("qwen2.5-vl").video.plan(100, 200, num_frames=frames)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert len(plan.token_boxes()) == plan.num_tokens == len(plan.token_kinds())
    assert f"{frames} frames of 100x200" in repr(plan)
    assert plan.to_dict()["num_frames"] == frames


# unpack

UNPACKED = st.sampled_from(["float32", "float16", "uint8"])


def composed(tiles: list[Any], view: dr.View) -> Any:
    """The tiles of a view put together, without its padding."""
    rows, columns = view.grid
    part = tiles[view.index : view.index + view.count]
    canvas = np.concatenate(
        [np.concatenate(part[row * columns : (row + 1) * columns], 1) for row in range(rows)]
    )
    top, left, height, width = view.target
    return canvas[top : top + height, left : left + width]


@property_test(
    family=st.sampled_from(ALL),
    seed=seeds,
    size=image_sizes,
    numerics=numerics_names,
    dtype=UNPACKED,
    temporal=st.sampled_from(["expand", "compact"]),
)
def test_unpack_is_the_inverse(
    family: str, seed: int, size: tuple[int, int], numerics: str, dtype: Any, temporal: Any
) -> None:
    options = {"max_pixels": 90_000} if family.startswith("qwen") else {}
    if family.startswith("qwen3"):
        options["min_pixels"] = 4096
    p = dr.Processor(family, numerics=numerics, **options)
    image = noise(seed, *size)
    plan = p.plan(*size)
    values = p(Image.fromarray(image), dtype=dtype, temporal=temporal)["pixel_values"]
    found = dr.unpack(values, plan)
    main = plan.views[-1] if family == "deepseek-vl2" else plan.views[0]
    if family == "deepseek-vl-hybrid":
        assert [tile.shape for tile in found] == [(384, 384, 3)]
        return
    shown = found if isinstance(found, np.ndarray) else composed(found, main)
    if 0 in plan.resized:
        assert shown.size == 0
        return
    want = dr.resize(image, plan.resized, numerics=numerics)
    assert shown.dtype == np.uint8 and np.array_equal(shown, want)


def test_unpack_of_two_arrays() -> None:
    p = dr.Processor("deepseek-vl-hybrid")
    image = noise(1, 60, 100)
    batch, plan = p(image), p.plan(60, 100)
    (large,) = dr.unpack(batch["high_res_pixel_values"], plan, key="high_res_pixel_values")
    assert np.array_equal(
        composed([large], plan.views[0]),
        dr.resize(image, plan.views[0].resized, numerics=p.numerics),
    )
    (small,) = dr.unpack(batch["pixel_values"], plan)
    assert np.array_equal(small, dr.resize(large, (384, 384), numerics=p.numerics))
    with pytest.raises(ValueError, match="key: must be one of pixel_values, high_res"):
        dr.unpack(batch["pixel_values"], plan, key="pixels")


@pytest.mark.parametrize(
    ("family", "exact"),
    [("qwen3-vl", True), ("deepseek-vl2", True), ("internvl", True), ("qwen2-vl", False)],
)
def test_unpack_of_bfloat16(family: str, exact: bool) -> None:
    """8 bits of precision tell 256 bytes apart, but not above 2, where CLIP's blue ends."""
    p = dr.Processor(family, numerics="pillow-13")
    image = noise(2, 90, 120)
    plan = p.plan(90, 120)
    values = p(image, dtype="bfloat16")["pixel_values"]
    if exact:
        want = dr.unpack(p(image)["pixel_values"], plan)
        assert np.array_equal(np.array(dr.unpack(values, plan)), np.array(want))
    else:
        with pytest.raises(ValueError, match=r"in bfloat16 the bytes .* become the same value"):
            dr.unpack(values, plan)


OWN_SIZE = {"qwen2-vl": 56, "qwen2.5-vl": 56, "qwen3-vl": 256, "internvl": 448, "internvl-hf": 448}
OWN_SIZE |= {"deepseek-vl2": 384, "deepseek-vl": 384, "deepseek-vl-hybrid": 1024, "got-ocr2": 1024}
CLIP = ("qwen2-vl", "qwen2.5-vl", "got-ocr2", "deepseek-vl", "deepseek-vl-hybrid")


@pytest.mark.parametrize("numerics", ["torchvision", "pillow-12.0", "pillow-12.2", "pillow-13"])
@every_family
def test_unpack_of_every_byte(family: str, numerics: str) -> None:
    """All 256 bytes of each channel, unscaled: no inverse where the docstring says so alone."""
    side = OWN_SIZE[family]
    image = np.arange(side * side * 3).reshape(side, side, 3) // 3 % 256
    image = image.astype(np.uint8)
    p = dr.Processor(family, numerics=numerics)
    plan = p.plan(side, side)
    key = [*plan.shapes][-1]
    for dtype in (None, "float32", "float16", "bfloat16", "uint8"):
        values = p(image, dtype=dtype)[key]
        if dtype == "bfloat16" and family in CLIP:
            with pytest.raises(ValueError, match="253 and 254 of channel 2 become the same value"):
                dr.unpack(values, plan, key=key)
            continue
        found = dr.unpack(values, plan, key=key)
        shown = found if isinstance(found, np.ndarray) else found[-1]
        assert np.array_equal(shown, image), dtype


def test_unpack_refuses() -> None:
    p = dr.Processor("qwen2-vl")
    plan = p.plan(56, 56)
    values = p(noise(3, 56, 56))["pixel_values"]
    with pytest.raises(ValueError, match=r"pixel_values: must have the shape \(16, 1176\)"):
        dr.unpack(values[:4], plan)
    with pytest.raises(TypeError, match="pixel_values: must be float32"):
        dr.unpack(values.astype(np.float64), plan)
    with pytest.raises(TypeError, match="pixel_values: must be an array"):
        dr.unpack(values.tolist(), plan)
    with pytest.raises(TypeError, match="plan: must be a Plan"):
        dr.unpack(values, "plan")  # type: ignore[arg-type]
    for wrong in (0.123, np.nan, np.inf, -np.inf, 1e30):
        bad = values.copy()
        bad[3, 5] = wrong
        with pytest.raises(ValueError, match=f"pixel_values: value {3 * 1176 + 5} is none that"):
            dr.unpack(bad, plan)
    bad = values.copy()
    bad[:, 196:392] = np.roll(bad[:, 196:392], 1, 1)
    with pytest.raises(ValueError, match="equal copies over time"):
        dr.unpack(bad, plan)


@pytest.mark.torch
def test_unpack_of_tensors(torch: Any) -> None:
    p = dr.Processor("qwen3-vl")
    image = noise(4, 80, 64)
    plan = p.plan(80, 64)
    want = dr.unpack(p(image)["pixel_values"], plan)
    for dtype in ("float32", "float16", "bfloat16", "uint8"):
        tensor = p(image, dtype=dtype, return_tensors="pt")["pixel_values"]
        assert np.array_equal(dr.unpack(tensor, plan), want)


def test_plans_of_files_and_pairs(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("image.jpg", "image.png"):
        path = tmp_path / name
        Image.new("RGB", (640, 300)).save(path, exif=exif)
        for family, size in (("qwen2-vl", (640, 300)), ("internvl", (300, 640))):
            p = dr.Processor(family)
            assert p.plan(path) == p.plan(str(path)) == p.plan(*size) == p.plan(size)
            assert p.plan(path).source == size
    assert dr.image_size(path) == (640, 300)
    assert dr.image_size(path, upright=False) == (300, 640)
    p = dr.Processor("qwen2-vl")
    with pytest.raises(FileNotFoundError, match=r"none\.jpg: No such file"):
        p.plan(tmp_path / "none.jpg")
    for wrong in (640, None, (1, 2, 3), b"image.jpg"):
        with pytest.raises(TypeError, match="height: without a width must be"):
            p.plan(wrong)
