"""`dynres plan` and `dynres show`, run as a user runs them; sizes from headers."""

import csv
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs.headers import image_size
from dynres_rs.images import prepare
from PIL import Image
from test_cli import dynres


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    Image.new("RGB", (120, 60), (9, 9, 9)).save(tmp_path / "a [1].jpg")
    Image.new("RGB", (40, 300)).save(tmp_path / "deep" / "b.png")
    Image.new("L", (200, 100)).save(tmp_path / "deep" / "er" / "c.webp")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def rotated(path: Path, orientation: int, size: tuple[int, int] = (90, 30)) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, (1, 2, 3)).save(path, exif=exif)
    return path


def read(done: Any) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


# Headers


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_the_loaders_see_it(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = rotated(tmp_path / f"image.{suffix}", orientation)
    for family in ("qwen2-vl", "internvl"):
        policy = dr.Processor(family).policy
        ready = prepare(str(path), policy)
        found = image_size(path, policy.convert != "original")
        assert found == (ready.height, ready.width)
    assert image_size(path) == ((90, 30) if orientation >= 5 else (30, 90))


def test_exif_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    """Pillow decodes the image to find it there; chunks tell as well."""
    path = rotated(tmp_path / "image.png", 6)
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    length = struct.unpack(">I", data[start : start + 4])[0] + 12
    chunk, rest = data[start : start + length], data[:start] + data[start + length :]
    end = rest.index(b"IEND") - 4
    path.write_bytes(rest[:end] + chunk + rest[end:])
    ready = prepare(str(path), dr.Processor("qwen2-vl").policy)
    assert image_size(path) == (ready.height, ready.width) == (90, 30)


def test_orientation_in_xmp(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
    for suffix in ("jpg", "png"):
        path = tmp_path / f"image.{suffix}"
        image = Image.new("RGB", (90, 30))
        if suffix == "jpg":
            image.save(path, xmp=xmp)
        else:
            from PIL.PngImagePlugin import PngInfo

            info = PngInfo()
            info.add_itxt("XML:com.adobe.xmp", xmp.decode())
            image.save(path, pnginfo=info)
        ready = prepare(str(path), dr.Processor("qwen2-vl").policy)
        assert image_size(path) == (ready.height, ready.width)


def test_nothing_is_decoded(tmp_path: Path) -> None:
    """A file that ends after its header has a size, and no pixels."""
    for suffix in ("jpg", "png"):
        whole = rotated(tmp_path / f"whole.{suffix}", 6, (3000, 2000))
        cut = tmp_path / f"cut.{suffix}"
        data = whole.read_bytes()
        cut.write_bytes(data[: data.index(b"IDAT" if suffix == "png" else b"\xff\xda") + 20])
        assert image_size(cut) == (3000, 2000)
        with pytest.raises(OSError, match=r"cut\."):
            prepare(str(cut), dr.Processor("qwen2-vl").policy)


def test_headers_of_what_is_no_image(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    with pytest.raises(OSError, match=r"bad\.jpg: is not an image that Pillow can read"):
        image_size(bad)
    with pytest.raises(OSError, match=r"gone\.jpg: No such file"):
        image_size(tmp_path / "gone.jpg")
    ihdr = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + ihdr
    crc = struct.pack(">I", zlib.crc32(chunk))
    bomb = tmp_path / "bomb.png"
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc
    bomb.write_bytes(head + struct.pack(">I", 100) + b"IDAT")
    with pytest.raises(OSError, match="Pillow refuses so many pixels"):
        image_size(bomb)


# dynres plan


def test_plan_of_a_folder(folder: Path) -> None:
    found = read(dynres("plan", folder, "--json", "--model", "deepseek-vl2"))
    names = [Path(image["path"]).name for image in found["images"]]
    assert sorted(names) == ["a [1].jpg", "b.png", "c.webp"]
    p = dr.Processor("deepseek-vl2")
    for image in found["images"]:
        plan = p.plan(image["height"], image["width"])
        assert image["tokens"] == plan.num_tokens and image["tiles"] == plan.num_tiles
        assert (image["resized_height"], image["resized_width"]) == plan.resized
        assert image["bytes"] == plan.nbytes()
    tokens = [image["tokens"] for image in found["images"]]
    assert found["summary"]["tokens"]["total"] == sum(tokens)
    assert found["summary"]["images"] == 3 and found["summary"]["failed"] == 0
    assert dr.Processor.from_dict(found["processor"]) == p


def test_plan_of_patterns_files_and_stdin(folder: Path) -> None:
    import subprocess
    import sys

    found = read(dynres("plan", f"{folder}/**/*.png", folder / "a [1].jpg", "--json"))
    assert [Path(i["path"]).name for i in found["images"]] == ["b.png", "a [1].jpg"]
    code = "import sys; from dynres_rs.cli import main; sys.argv[0] = 'dynres'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", "-", "--json"],
        input=f"{folder / 'deep' / 'b.png'}\n\n{folder / 'a [1].jpg'}\r\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout)["images"] == found["images"]


def test_plan_as_csv(folder: Path) -> None:
    done = dynres("plan", folder, "--csv", "--model", "internvl", "--set", "max_num=4")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    p = dr.Processor("internvl", max_num=4)
    for row in rows:
        assert int(row["tokens"]) == p.plan(int(row["height"]), int(row["width"])).num_tokens
    assert len(rows) == 3


def test_plan_as_text(folder: Path) -> None:
    done = dynres("plan", folder, "--budget", "100", "--sweep", "max_pixels")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["image", "size", "resized", "grid", "patches", "tokens"]
    assert any("a [1].jpg" in line and "60x120" in line for line in lines)
    text = done.stdout
    assert "qwen2-vl: 3 images, " in text and "p50" in text and "█" in text
    assert "100 tokens hold" in text and "downscaled" in text and "mean scale" in text


def test_plan_respects_orientation(tmp_path: Path) -> None:
    path = rotated(tmp_path / "image.jpg", 6)
    (image,) = read(dynres("plan", path, "--json"))["images"]
    assert (image["height"], image["width"]) == (90, 30)
    (image,) = read(dynres("plan", path, "--json", "--model", "internvl"))["images"]
    assert (image["height"], image["width"]) == (30, 90)


def test_sweeps(tmp_path: Path) -> None:
    sizes = [(60, 120), (1000, 900), (2000, 500), (28, 28)]
    for number, (height, width) in enumerate(sizes):
        Image.new("L", (width, height)).save(tmp_path / f"{number}.png")
    found = read(dynres("plan", tmp_path, "--json", "--sweep", "max-pixels=100_000,400000"))
    for step in found["sweep"]:
        p = dr.Processor("qwen2-vl", max_pixels=step["max_pixels"])
        assert step["tokens"]["total"] == int(p.num_tokens(sizes).sum())
        assert step["bytes"] == sum(p.plan(*size).nbytes() for size in sizes)
        assert step["downscaled"] == 0.5
        scales = [np.sqrt(np.prod(p.plan(*s).resized) / np.prod(s)) for s in sizes]
        assert step["mean_scale"] == pytest.approx(np.mean(scales), abs=1e-4)
    assert [step["max_pixels"] for step in found["sweep"]] == [100_000, 400_000]
    found = read(dynres("plan", tmp_path, "--json", "--sweep", "max_num", "-m", "internvl"))
    assert [step["max_num"] for step in found["sweep"]] == [1, 2, 3, 4, 6, 8, 9, 12]
    assert found["sweep"][-1]["tokens"] == found["summary"]["tokens"]
    for wrong in ("colour", "max_pixels=few", "max_pixels=0"):
        done = dynres("plan", tmp_path, "--sweep", wrong)
        assert done.returncode == 2 and done.stderr.startswith("dynres: --sweep: ")


def test_budget(tmp_path: Path) -> None:
    for number in range(6):
        Image.new("L", (280, 280)).save(tmp_path / f"{number}.png")
    Image.new("L", (2800, 2800)).save(tmp_path / "large.png")
    found = read(dynres("plan", tmp_path, "--json", "--budget", "250"))["summary"]["budget"]
    assert found == {
        "tokens": 250,
        "too_long": 1,
        "of_median": 2,
        "of_largest": 0,
        "sequences": 3,
        "filled": 0.8,
    }


def test_files_that_cannot_be_read(folder: Path) -> None:
    Image.new("L", (1, 900)).save(folder / "thin.png")
    done = dynres("plan", folder, folder / "notes.txt", folder / "gone.jpg")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 4 and lines[-1] == "dynres: 3 of 6 files failed"
    assert "thin.png: absolute aspect ratio must be smaller than 200" in done.stderr
    assert "notes.txt: is not an image" in done.stderr and "gone.jpg: No such file" in done.stderr
    assert "qwen2-vl: 3 images" in done.stdout
    empty = dynres("plan", folder / "*.bmp")
    assert (empty.returncode, empty.stderr) == (2, "dynres: PATH: no images there\n")
    both = dynres("plan", folder, "--json", "--csv")
    assert both.returncode == 2 and "only one of them" in both.stderr


# dynres show


def test_show(folder: Path) -> None:
    image, out = folder / "a [1].jpg", folder / "picture.png"
    done = dynres("show", image, "--model", "qwen2.5-vl", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "qwen2.5-vl: 60x120 -> 56x112, grid 4x8, 8 tokens",
        str(out),
    ]
    with Image.open(out) as picture:
        shown = np.asarray(picture.convert("RGB"))
    want = dr.Processor("qwen2.5-vl").plan(60, 120).draw(image)
    assert np.array_equal(shown, np.asarray(want))
    file = folder / "boxes.json"
    file.write_text('[{"bbox_2d": [10, 10, 50, 40], "label": "it"}]')
    for boxes in ("10,10,50,40", f"@{file}"):
        done = dynres("show", image, "--boxes", boxes, "--out", folder / "boxes.webp")
        assert (done.returncode, done.stderr) == (0, "")
    done = dynres(
        "show", image, "--compare", "qwen2-vl,internvl,deepseek-vl2", "--out", folder / "c.jpg"
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 4


def test_show_refuses(folder: Path) -> None:
    image = folder / "a [1].jpg"
    for words, code, text in (
        ([folder / "gone.jpg"], 1, "gone.jpg: No such file or directory"),
        ([image, "--out", folder / "picture.gif"], 2, "--out: must end in"),
        ([image, "--out", folder / "no" / "picture.png"], 1, "--out: cannot write"),
        ([image, "--boxes", "1,2", "--out", folder / "p.png"], 1, "boxes: each must have four"),
        ([image, "--boxes", "@gone", "--out", folder / "p.png"], 1, "No such file"),
        ([image, "--compare", "internvl", "--boxes", "1,2,3,4"], 2, "--boxes: go with one"),
    ):
        done = dynres("show", *words)
        assert done.returncode == code and text in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
