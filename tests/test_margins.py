"""Margins that are cut off and pages that are turned, before anything is planned."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from dynres_rs.images import prepare
from PIL import Image
from strategies import noise


def page(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """White paper with a dark part: rows top to bottom, columns left to right."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[top:bottom, left:right] = 7
    return pixels


def without_margins(pixels: np.ndarray, numerics: str) -> np.ndarray:
    found: np.ndarray = prepare(pixels, dr.Processor("nougat", numerics=numerics).policy).pixels
    return found


@pytest.mark.parametrize("numerics", ["pillow", "torchvision"])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (3, 5, 40, 31), (59, 79, 60, 80), (0, 0, 60, 80)])
def test_the_dark_part_is_left(box: tuple[int, int, int, int], numerics: str) -> None:
    top, left, bottom, right = box
    pixels = page(60, 80, *box)
    found = without_margins(pixels, numerics)
    assert found.shape == (bottom - top, right - left, 3)
    assert np.shares_memory(found, pixels)
    assert np.array_equal(found, pixels[top:bottom, left:right])


@pytest.mark.parametrize("numerics", ["pillow", "torchvision"])
def test_one_colour_has_no_margins(numerics: str) -> None:
    pixels = np.full((9, 11, 3), 200, np.uint8)
    assert without_margins(pixels, numerics).shape == (9, 11, 3)


@pytest.mark.parametrize(
    ("size", "paper", "turned"),
    [
        ((10, 20), (30, 20), True),
        ((20, 10), (30, 20), False),
        ((20, 10), (20, 30), True),
        ((10, 20), (20, 20), False),
        ((15, 15), (30, 20), False),
    ],
)
def test_which_images_lie_across(
    size: tuple[int, int], paper: tuple[int, int], turned: bool
) -> None:
    assert native.is_across(size, paper) is turned


def test_a_call_is_the_call_of_what_is_left() -> None:
    pixels = page(300, 200, 20, 30, 290, 150)
    pixels[20:290, 30:150] = noise(4, 270, 120) // 4
    whole = dr.Processor("nougat")(pixels)
    rest = dr.Processor("nougat", do_crop_margin=False)(pixels[20:290, 30:150])
    assert whole["pixel_values"].tobytes() == rest["pixel_values"].tobytes()


def test_there_is_no_plan_without_pixels(tmp_path: Path) -> None:
    p = dr.Processor("nougat")
    for size in ((300, 200), ((300, 200),)):
        with pytest.raises(ValueError, match=r"^do_crop_margin: must be off for a plan"):
            p.plan(*size)
    assert p.plan(270, 120, do_crop_margin=False).source == (270, 120)
    pixels = page(300, 200, 20, 30, 290, 150)
    Image.fromarray(pixels).save(tmp_path / "page.png")
    assert p.plan(tmp_path / "page.png").source == (270, 120)
    # The page has its tokens whatever is cut off.
    assert p.num_tokens([(300, 200), (20, 900)]).tolist() == [588, 588]


def test_a_turned_page() -> None:
    pixels = noise(8, 40, 90)
    p = dr.Processor("donut", height=128, width=64, do_align_long_axis=True, numerics="pillow")
    plain = dr.Processor("donut", height=128, width=64, numerics="pillow")
    turned = np.rot90(pixels, 3)
    assert p(pixels)["pixel_values"].tobytes() == plain(turned)["pixel_values"].tobytes()
    assert p.plan(40, 90).source == (90, 40) == p.plan(90, 40).source
    assert p.num_tokens([(40, 90), (90, 40)]).tolist() == [p.plan(40, 90).num_tokens] * 2
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png")
    assert p(data.getvalue())["pixel_values"].tobytes() == p(pixels)["pixel_values"].tobytes()


def test_torchvision_turns_other_axes_of_pages_with_margins() -> None:
    p = dr.Processor("nougat", numerics="torchvision", do_align_long_axis=True)
    with pytest.raises(ValueError, match=r"^do_align_long_axis: must be False for such an image"):
        p(page(50, 90, 0, 0, 50, 90))
    assert p(page(90, 50, 0, 0, 90, 50))["pixel_values"].shape == (1, 3, 896, 672)


def colours(red: int) -> np.ndarray:
    """Every colour of this red, (256, 256, 3) uint8."""
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    return np.stack([np.full_like(green, red), green, blue], axis=2).astype(np.uint8)


@pytest.mark.torch
def test_every_grey_of_torchvision(torch: ModuleType) -> None:
    from torchvision.transforms.v2 import functional

    for red in range(0, 256, 5):
        tensor = torch.from_numpy(colours(red)).permute(2, 0, 1)
        want = functional.rgb_to_grayscale(tensor, num_output_channels=1)[0].numpy()
        assert native.greys(colours(red).tobytes(), True) == want.tobytes(), red


def test_every_grey_of_pillow() -> None:
    for red in range(0, 256, 5):
        want = Image.fromarray(colours(red)).convert("L").tobytes()
        assert native.greys(colours(red).tobytes(), False) == want, red
