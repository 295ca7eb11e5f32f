"""The way of the usual call through the core alone: that it takes what is usual, leaves everything
else to the careful way, and gives what that gives."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from dynres_rs import memory
from PIL import Image
from strategies import sized

LIMIT = 178_956_970


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, channels), dtype=np.uint8)


class Own(np.ndarray):
    """An array of somebody's own class."""


class Picture(Image.Image):
    """An image of somebody's own class."""


def plain(processor: dr.Processor, image: Any, **changes: Any) -> Any:
    """What the core makes of a call, without the careful way behind it."""
    given = {"dtype": None, "temporal": "expand", "errors": "raise", "num_threads": 1, **changes}
    return processor._base.spec.plain(image, *given.values(), memory.OUTPUTS)


@pytest.mark.parametrize("family", list(dr.families()))
@pytest.mark.parametrize("dtype", [None, "float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("temporal", ["expand", "compact"])
def test_gives_what_the_careful_way_gives(family: str, dtype: str | None, temporal: str) -> None:
    processor = sized(dr.Processor(family))
    array = noise(150, 231)
    backwards = noise(231, 150).transpose(1, 0, 2)[::-1]
    for image in (array, backwards, Image.fromarray(array)):
        usual = plain(processor, image, dtype=dtype, temporal=temporal)
        careful = processor([image], dtype=dtype, temporal=temporal)
        if usual is None:
            # The careful way lays patches side by side.
            plans = [processor.plan(150, 231)]
            assert processor._base.spec.batch(plans, [1], dtype, temporal).strip
            continue
        assert list(usual) == list(careful)
        for key, expected in careful.items():
            if isinstance(expected, list):
                assert usual[key] == expected
                continue
            assert usual[key].dtype == expected.dtype
            assert usual[key].shape == expected.shape
            assert usual[key].tobytes() == expected.tobytes()


def test_images_that_are_left_to_the_careful_way() -> None:
    processor = dr.Processor("qwen2-vl")
    array = noise(60, 84)
    image = Image.fromarray(array)
    assert plain(processor, array) is not None and plain(processor, image) is not None
    keyed = image.copy()
    keyed.info["transparency"] = (1, 2, 3)
    own = Picture()
    own._size, own._mode, own.im = image.size, image.mode, image.im
    closed = image.copy()
    closed.close()
    unusual = [
        [array], [image], (image,), None, array[None], array[:, :, 0], noise(60, 84, 4),
        array.transpose(2, 0, 1), noise(3, 84), array.astype(np.float32), array.astype(np.int8),
        array.astype(bool), array.view(Own), np.ma.masked_array(array), memoryview(array),
        keyed, own, closed, image.convert("L"), image.convert("RGBA"), image.convert("P"),
        Image.new("RGBX", (84, 60)), Image.new("RGB", (0, 5)), noise(5, 1200), noise(0, 84),
        b"", "path.png", object(),
    ]  # fmt: skip
    for case in unusual:
        assert plain(processor, case) is None, type(case)


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float64"}, {"dtype": np.float32}, {"dtype": 3}, {"temporal": "repeat"},
        {"temporal": None}, {"errors": "collect"}, {"errors": None}, {"num_threads": -1},
        {"num_threads": True}, {"num_threads": 1.0}, {"num_threads": 2**40},
        {"num_threads": 2**70}, {"num_threads": np.int64(1)},
    ],
)  # fmt: skip
def test_arguments_that_are_left_to_the_careful_way(changes: dict[str, Any]) -> None:
    assert plain(dr.Processor("qwen2-vl"), noise(60, 84), **changes) is None


def test_a_said_layout_is_left_to_the_careful_way() -> None:
    image = noise(60, 84)
    said = dr.Processor("qwen2-vl", input_data_format="channels_last")
    assert said._base.policy.layout is not None
    np.testing.assert_array_equal(
        said(image)["pixel_values"], dr.Processor("qwen2-vl")(image)["pixel_values"]
    )


def test_pillow_stays_unimported() -> None:
    code = (
        "import sys, numpy as np, dynres_rs as dr; p = dr.Processor('qwen2-vl');"
        "image = np.zeros((60, 84, 3), np.uint8); p(image); p([image]);"
        "assert 'PIL.Image' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("error, goes_on", [(MemoryError, False), (KeyboardInterrupt, True)])
def test_exceptions_decline_and_interrupts_go_on(
    error: type[BaseException], goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, image = dr.Processor("qwen2-vl"), noise(60, 84)

    def empty(*args: Any) -> Any:
        raise error

    monkeypatch.setattr(np, "empty", empty)
    if goes_on:
        with pytest.raises(error):
            plain(processor, image)
    else:
        assert plain(processor, image) is None


def test_the_careful_way_has_the_words() -> None:
    processor = dr.Processor("qwen2-vl", max_image_pixels=5000)
    with pytest.raises(dr.ImageTooLargeError, match="max_image_pixels"):
        processor(noise(60, 84))
    with pytest.raises(ValueError, match="ratio"):
        dr.Processor("qwen2-vl")(noise(5, 1200))


def resized(*changes: tuple[str, Any], **more: Any) -> bool:
    given: dict[str, Any] = {
        "image": noise(40, 60), "size": (20, 30), "resample": "bicubic", "numerics": "pillow-13",
        "out": np.zeros((20, 30, 3), np.uint8), "num_threads": 1, "limit": LIMIT,
    }  # fmt: skip
    return native.resize_plain(**{**given, **dict(changes), **more})


@pytest.mark.parametrize("channels", [3, 4])
def test_resize_gives_what_the_careful_way_gives(channels: int) -> None:
    image = noise(47, 61, channels)
    for numerics in ("pillow-12.0", "pillow-12.2", "pillow-13", "torchvision"):
        for resample in ("bilinear", "bicubic", "lanczos"):
            for threads in (0, 1, 2):
                out = np.zeros((20, 33, channels), np.uint8)
                usual = dr.resize(image, (20, 33), resample, numerics, out, threads)
                assert usual is not out and np.shares_memory(usual, out)
                # A list is a pair as well, but not the usual one.
                careful = dr.resize(image, [20, 33], resample, numerics)  # type: ignore[arg-type]
                np.testing.assert_array_equal(usual, careful)
                assert resized(
                    image=image, size=(20, 33), resample=resample, numerics=numerics, out=out
                )


def test_resizes_that_are_left_to_the_careful_way() -> None:
    assert resized()
    image, out = noise(40, 60), np.zeros((20, 30, 3), np.uint8)
    locked = out.copy()
    locked.flags.writeable = False
    both = np.zeros((60, 60, 3), np.uint8)
    unusual: list[dict[str, Any]] = [
        {"image": Image.fromarray(image)}, {"image": image.view(Own)}, {"image": image[:, :, :2]},
        {"image": image.astype(np.int8)}, {"image": image[:0]}, {"image": image[:, :0]},
        {"size": [20, 30]}, {"size": (20, 30, 3)}, {"size": (20,)}, {"size": (20, 30.0)},
        {"size": (20, True)}, {"size": (0, 30)}, {"size": (-20, 30)}, {"size": (2**70, 30)},
        {"size": (20, np.int64(30))}, {"resample": "area"}, {"resample": 3},
        {"numerics": "pillow-99"}, {"out": None}, {"out": out.view(Own)}, {"out": out[:, :-1]},
        {"out": out.astype(np.int8)}, {"out": locked}, {"out": bytearray(1800)},
        {"out": out.reshape(30, 20, 3)}, {"out": out.transpose(1, 0, 2)},
        {"out": np.zeros((20, 60, 3), np.uint8)[:, ::2]}, {"num_threads": -1},
        {"num_threads": 2**31}, {"num_threads": False}, {"limit": 599}, {"limit": 2399},
        {"image": both[:40], "out": both[30:50, :30]},
        {"image": both[:40], "out": both.reshape(-1)[7000:8800].reshape(20, 30, 3)},
    ]  # fmt: skip
    for changes in unusual:
        assert not resized(**changes), changes
    assert not out.any() and not both.any()
