"""`dynres_rs.internvl`: the functions of InternVL's README against their recorded results."""

import copy
import io
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import golden_cases
import numpy as np
import pytest
from dynres_rs import internvl
from dynres_rs.numerics import installed_pillow
from numpy.typing import NDArray
from PIL import Image
from reference import sizing
from strategies import noise

CASES = [case for case in golden_cases.original_cases() if case.family == "internvl"]
on_pillow_13 = pytest.mark.skipif(installed_pillow() != "pillow-13", reason="recorded on Pillow 13")


def normalise(tile: Any) -> NDArray[np.float32]:
    """ToTensor and Normalize, in numpy."""
    values = (np.asarray(tile).astype(np.float64) / 255).astype(np.float32)
    mean = np.array(internvl.IMAGENET_MEAN, np.float32)
    std = np.array(internvl.IMAGENET_STD, np.float32)
    return ((values - mean) / std).transpose(2, 0, 1)


def picture(case: golden_cases.Case) -> Any:
    (image,) = case.images
    return Image.fromarray(golden_cases.make(image))


@on_pillow_13
@pytest.mark.parametrize("case", CASES, ids=str)
def test_dynamic_preprocess(case: golden_cases.Case) -> None:
    """The tiles of every recorded configuration; the recorder's thumbnail is on unless said."""
    config = {"use_thumbnail": True, **case.config}
    tiles = internvl.dynamic_preprocess(picture(case), **config)
    values = np.stack([normalise(tile) for tile in tiles])
    golden_cases.check(case, {"pixel_values": values})


@pytest.mark.parametrize("most", [*range(1, 41), 97, 300])
def test_candidates_stand_in_the_order_of_a_set(most: int) -> None:
    """Whatever the fewest tiles: grids of as many tiles tie where an image lies between them."""
    from dynres_rs import _dynres_rs as native

    for least in {*range(1, min(most, 40) + 1), most // 2 or 1, most}:
        want = sizing.aspect_ratios(least, most, "internvl")
        assert native.aspect_ratios(least, most) == list(want), (least, most)


def test_there_are_88_cases() -> None:
    assert len(CASES) == 88


@on_pillow_13
def test_the_pass_behind_load_image() -> None:
    count = 0
    for case in CASES:
        if case.config.get("min_num", 1) == 1 and case.config.get("use_thumbnail", True):
            size, most = case.config.get("image_size", 448), case.config["max_num"]
            golden_cases.check(
                case, {"pixel_values": internvl._tiles([picture(case)], size, most)["pixel_values"]}
            )
            count += 1
    assert count == 44


def test_ratios() -> None:
    """The grids of `sizes.json`, by the function that chooses among them."""
    for row, most in (
        ("internvl_got grid(cols,rows) 448 1..12", 12),
        ("internvl_got grid 448 1..6", 6),
    ):
        grids = internvl._grids(1, most)
        for height, width, expected in golden_cases.size_rows(row):
            got = internvl.find_closest_aspect_ratio(width / height, grids, width, height, 448)
            assert list(got) == expected, (height, width)
    assert internvl.find_closest_aspect_ratio(1.0, [], 9, 9, 448) == (1, 1)
    # a tie goes to the later one only if the image has more than half of its pixels
    both = [(1, 1), (2, 2)]
    assert internvl.find_closest_aspect_ratio(1.0, both, 633, 633, 448) == (1, 1)
    assert internvl.find_closest_aspect_ratio(1.0, both, 634, 634, 448) == (2, 2)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_other_modes_keep_their_mode(mode: str) -> None:
    image = Image.fromarray(noise(1, 60, 130))
    image = image.quantize(9) if mode == "P" else image.convert(mode)
    tiles = internvl.dynamic_preprocess(image, image_size=28, use_thumbnail=True)
    large = image.resize((28 * 4, 28 * 2))
    assert len(tiles) == 9
    assert [tile.mode for tile in tiles] == [mode] * 9
    assert tiles[5].tobytes() == large.crop((28, 28, 56, 56)).tobytes()
    assert tiles[-1].tobytes() == image.resize((28, 28)).tobytes()


def test_get_index() -> None:
    """By hand: parts of 12.5 frames, middles at 6.25, then halves to even."""
    index = internvl.get_index(None, 25.0, 100, num_segments=8)
    assert index.dtype == np.int64
    assert index.tolist() == [6, 18, 31, 44, 56, 68, 81, 94]
    assert internvl.get_index((1, 3), 10.0, 100, num_segments=4).tolist() == [12, 17, 22, 27]
    assert internvl.get_index((2, 2), 10.0, 100, num_segments=2).tolist() == [20, 20]
    assert internvl.get_index((8, 99), 10.0, 100, 90, 2).tolist() == [92, 97]


def test_the_transform_pickles() -> None:
    transform = internvl.build_transform(56)
    for twin in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert twin.input_size == 56
    assert repr(transform) == "Transform(input_size=56)"


# With torch


@on_pillow_13
@pytest.mark.torch
def test_load_image(torch: Any, tmp_path: Path) -> None:
    for case in CASES[::5]:
        if case.config.get("min_num", 1) != 1 or not case.config.get("use_thumbnail", True):
            continue
        path = tmp_path / "image.png"
        picture(case).save(path)
        size, most = case.config.get("image_size", 448), case.config["max_num"]
        tensor = internvl.load_image(path, input_size=size, max_num=most)
        assert isinstance(tensor, torch.Tensor)
        golden_cases.check(case, {"pixel_values": tensor.numpy()})


@pytest.mark.torch
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA"])
def test_files_are_converted(torch: Any, mode: str) -> None:
    image = Image.fromarray(noise(1, 60, 130))
    image = image.quantize(9) if mode == "P" else image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    got = internvl.load_image(io.BytesIO(buffer.getvalue()), 28, 6)
    plain = io.BytesIO()
    image.convert("RGB").save(plain, "PNG")
    assert torch.equal(got, internvl.load_image(plain, 28, 6))


@pytest.mark.torch
def test_build_transform(torch: Any) -> None:
    transform = internvl.build_transform(56)
    for image in (
        Image.fromarray(noise(1, 56, 56)),
        Image.fromarray(noise(1, 90, 31)),
        Image.fromarray(noise(1, 90, 31)).convert("L"),
        Image.frombytes("RGBA", (31, 90), noise(1, 90, 31, 4).tobytes()),
    ):
        tensor = transform(image)
        assert tensor.dtype == torch.float32
        want = normalise(image.convert("RGB").resize((56, 56)))
        assert np.ascontiguousarray(want).tobytes() == tensor.numpy().tobytes()


@pytest.mark.torch
def test_load_video(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [noise(n, 90, 160) for n in range(30)]
    asked: list[Any] = []

    class VideoReader:
        def __init__(self, path: str, ctx: Any, num_threads: int) -> None:
            asked.append((path, ctx, num_threads))

        def __len__(self) -> int:
            return len(frames)

        def get_avg_fps(self) -> float:
            return 10.0

        def __getitem__(self, index: int) -> Any:
            return types.SimpleNamespace(asnumpy=lambda: frames[int(index)])

    decord: Any = types.ModuleType("decord")
    decord.VideoReader, decord.cpu = VideoReader, lambda n: ("cpu", n)
    monkeypatch.setitem(sys.modules, "decord", decord)
    tensor, counts = internvl.load_video(
        "a.mp4", bound=(0, 2), input_size=28, max_num=4, num_segments=5
    )
    assert asked == [("a.mp4", ("cpu", 0), 1)]
    want = []
    for index in internvl.get_index((0, 2), 10.0, 29, num_segments=5):
        image = Image.fromarray(frames[index])
        tiles = internvl.dynamic_preprocess(image, max_num=4, image_size=28, use_thumbnail=True)
        want += [normalise(tile) for tile in tiles]
        assert counts[len(want) // len(tiles) - 1] == len(tiles)
    assert type(counts[0]) is int
    assert np.ascontiguousarray(np.stack(want)).tobytes() == tensor.numpy().tobytes()


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="needs torch"):
        internvl.load_image("any.png")
    with pytest.raises(ImportError, match="needs torch"):
        internvl.build_transform(28)(Image.new("RGB", (28, 28)))
    with pytest.raises(ImportError, match="needs torch"):
        internvl.load_video("any.mp4")
