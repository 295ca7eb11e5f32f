"""The recipe of the PyTorch page: `Image.open` kept, and what a path changes."""

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from PIL import Image

KINDS = ("rotated.jpg", "transparent.png", "keyed.png", "grey.jpg", "grey.png", "plain.jpg")
PAGE = Path(__file__).parent.parent / "docs" / "integrations" / "dataloader.md"


def picture(folder: Path, kind: str) -> Path:
    rng = np.random.default_rng(3)
    low = rng.integers(0, 256, (30, 40, 3), np.uint8)
    image = Image.fromarray(low).resize((1200, 812), Image.Resampling.BICUBIC)
    path = folder / kind
    options: dict[str, Any] = {}
    if kind == "rotated.jpg":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    elif kind == "transparent.png":
        image.putalpha(image.getchannel(0))
    elif kind == "keyed.png":
        image = image.quantize(16)
        options["transparency"] = 3
    elif kind.startswith("grey"):
        image = image.convert("L")
    image.save(path, **options)
    return path


def equal(one: Any, other: Any) -> bool:
    return all(np.array_equal(np.asarray(one[key]), np.asarray(other[key])) for key in one)


def compare(theirs: Any, ours: dr.Processor, folder: Path) -> dict[str, bool]:
    """Whether a path gives what an opened image gives, by kind; opened images must be upstream's,
    and so must paths."""
    same = {}
    for kind in KINDS:
        path = picture(folder, kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = theirs(images=Image.open(path), return_tensors="np")
            by_path = theirs(images=str(path), return_tensors="np")
        assert equal(ours(Image.open(path)), want), kind
        for source in (path, path.read_bytes()):
            assert equal(ours(source), by_path), kind
        same[kind] = equal(ours(path), want)
    return same


@pytest.mark.oracle
def test_the_pages_recipe_keeps_the_bits(transformers: ModuleType, tmp_path: Path) -> None:
    theirs = transformers.Qwen2VLImageProcessorPil()
    config = {"image_processor_type": "Qwen2VLImageProcessor"}
    ours = dr.Processor.from_config(config, numerics="pillow")
    same = compare(theirs, ours, tmp_path)
    assert [kind for kind in KINDS if not same[kind]] == ["rotated.jpg", "transparent.png"]
    path = tmp_path / "rotated.jpg"
    assert ours(Image.open(path))["image_grid_thw"].tolist() == [[1, 58, 86]]
    assert ours(path)["image_grid_thw"].tolist() == [[1, 86, 58]]
    if not PAGE.exists():
        pytest.skip("the pages are in a checkout only")
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("Image.open(self.paths[index])") == 2
    assert "58x86 patches opened, and 86x58 by path" in " ".join(text.split())


@pytest.mark.torch
def test_the_pages_recipe_with_torchvision(
    torch: ModuleType, transformers: ModuleType, tmp_path: Path
) -> None:
    theirs = transformers.Qwen2VLImageProcessor()
    config = {"image_processor_type": "Qwen2VLImageProcessor"}
    same = compare(theirs, dr.Processor.from_config(config), tmp_path)
    assert not same["rotated.jpg"]
    assert not same["transparent.png"]
