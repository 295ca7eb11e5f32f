"""The command `dynres`, run as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from PIL import Image


def dynres(*words: str | Path, env: dict[str, str] | None = None) -> Any:
    code = "import sys; from dynres_rs.cli import main; sys.argv[0] = 'dynres'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = []
    for number, (height, width) in enumerate([(60, 100), (130, 40)]):
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        paths.append(tmp_path / f"image [{number}].png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_run(images: list[Path], tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"out.{kind}"
    done = dynres("run", *images, "--model", "qwen2-vl", "--out", out, "--set", "max_pixels=20000")
    assert (done.returncode, done.stderr) == (0, "")
    p = dr.Processor("qwen2-vl", max_pixels=20000)
    want = p([str(path) for path in images])
    lines = done.stdout.splitlines()
    assert lines[0] == f"{images[0]}: 60x100 -> 56x112, grid 4x8, 8 tokens"
    assert f"{out}: pixel_values float32 {list(want['pixel_values'].shape)}" in lines
    if kind == "npz":
        with np.load(out) as got:
            assert got["names"].tolist() == [str(path) for path in images]
            for key, value in want.items():
                np.testing.assert_array_equal(got[key], value)
    else:
        from safetensors import safe_open

        with safe_open(out, framework="numpy") as got:
            assert json.loads(got.metadata()["names"]) == [str(path) for path in images]
            assert set(got.keys()) == set(want)
            for key, value in want.items():
                np.testing.assert_array_equal(got.get_tensor(key), value)


def test_run_tiles(images: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    done = dynres("run", images[1], "-m", "internvl", "-o", out, "--dtype", "uint8")
    assert done.returncode == 0
    p = dr.Processor("internvl")
    plan = p.plan(130, 40)
    rows, columns = plan.grid
    assert done.stdout.splitlines()[0] == (
        f"{images[1]}: 130x40 -> {rows * 448}x{columns * 448},"
        f" {plan.num_tiles} tiles (grid {rows}x{columns}), {plan.num_tokens} tokens"
    )
    with np.load(out) as got:
        want = p(str(images[1]), dtype="uint8")["pixel_values"]
        np.testing.assert_array_equal(got["pixel_values"], want)


def test_bfloat16_is_labelled(images: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert dynres("run", images[0], "-o", out, "--dtype", "bfloat16").returncode == 0
    data = out.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert header["pixel_values"]["dtype"] == "BF16"
    start, end = header["pixel_values"]["data_offsets"]
    bits = dr.Processor("qwen2-vl")(str(images[0]), dtype="bfloat16")["pixel_values"]
    assert data[8 + length + start : 8 + length + end] == bits.tobytes()


def test_a_bad_file_is_one_line_and_the_rest_goes_on(images: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "text.png"
    bad.write_text("no image")
    cut = tmp_path / "cut.png"
    cut.write_bytes(images[0].read_bytes()[:5000])
    missing = tmp_path / "missing.png"
    out = tmp_path / "out.npz"
    done = dynres("run", bad, images[0], missing, cut, images[1], "--out", out)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"dynres: {bad}: is not an image that Pillow can read",
        f"dynres: {missing}: No such file or directory",
        f"dynres: {cut}: is truncated",
        "dynres: 3 of 5 images failed",
    ]
    with np.load(out) as got:
        assert got["names"].tolist() == [str(images[0]), str(images[1])]


def test_a_model_folder(images: list[Path], tmp_path: Path) -> None:
    config = {"image_processor_type": "Qwen2VLImageProcessor", "max_pixels": 20000}
    config["processor_class"] = "Qwen2VLProcessor"
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    done = dynres("run", images[0], "--model", tmp_path, "--numerics", "pillow-12.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 tokens" in done.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--model", "none"], "--model: 'none' is no family"),
        (["--set", "max_pixels"], "--set: must be KEY=VALUE, got 'max_pixels'"),
        (["--set", "maxpixels=3"], "unknown key 'maxpixels'"),
        (["--numerics", "cv2"], "numerics: must be"),
        (["--out", "x.pt"], "--out: must end in .npz or .safetensors, got 'x.pt'"),
    ],
)
def test_wrong_arguments(images: list[Path], words: list[str], text: str) -> None:
    done = dynres("run", images[0], *words)
    assert done.returncode == 2 and text in done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_families() -> None:
    done = dynres("families")
    assert done.returncode == 0
    assert all(name in done.stdout for name in dr.families())
    table = json.loads(dynres("families", "--json").stdout)
    assert list(table) == list(dr.families())


def test_families_by_a_word() -> None:
    found = json.loads(dynres("families", "llava_next", "--json").stdout)
    assert list(found) == ["llava-next"]
    found = json.loads(dynres("families", "GotOcr2", "--json").stdout)
    assert {"internvl-hf", "got-ocr2"} <= set(found) and "qwen2-vl" not in found
    done = dynres("families", "nothing-like-it")
    assert done.returncode == 2 and "WORD: 'nothing-like-it' is in no family's row" in done.stderr


def test_doctor() -> None:
    done = dynres("doctor")
    assert done.returncode == 0
    for word in (dr.__version__, dr.simd(), dr.Processor("internvl").numerics, "fork"):
        assert word in done.stdout


def test_without_typer() -> None:
    code = "import sys; sys.modules['typer'] = None; from dynres_rs.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "dynres: the command needs 'typer': pip install 'dynres_rs[cli]'\n"


def test_import_is_light() -> None:
    heavy = ["torch", "transformers", "PIL.Image", "typer", "rich", "safetensors", "av", "ray"]
    code = f"import sys, dynres_rs; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Names of files, and files that are not the command's own

ESCAPES = "\x1b]0;owned\x07\x1b[31m\nred\u202e"


def test_names_reach_no_terminal_as_they_are(tmp_path: Path) -> None:
    good, bad = tmp_path / f"{ESCAPES}.png", tmp_path / f"bad{ESCAPES}.png"
    Image.new("RGB", (60, 90)).save(good)
    bad.write_bytes(b"no image")
    made = tmp_path / "made"
    for words in (
        *(["run", good, bad], ["run", good, bad, "-o", made / "x.npz"], ["plan", good, bad]),
        *(["run", good, bad, "--shard-size", 1, "--workers", 1, "-o", made / "shards"],),
        *(["show", bad], ["show", good, "-o", made / f"{ESCAPES}.png"], ["show", good, "-o", bad]),
        *(["run", tmp_path / f"none{ESCAPES}.mp4"], ["plan", good, "--model", f"no{ESCAPES}"]),
        *(["plan", good, "--set", f"a{ESCAPES}=1"], ["plan", good, "--set", ESCAPES]),
        *(["plan", good, "--sweep", f"a{ESCAPES}=1"], ["show", good, "--boxes", ESCAPES]),
    ):
        made.mkdir(exist_ok=True)
        done = dynres(*words)
        assert "Traceback" not in done.stderr, done.stderr
        text = (done.stdout + done.stderr).replace("\n", "")
        assert all(c.isprintable() for c in text), (words, text)
    assert "\\x1b]0;owned\\x07" in dynres("run", good).stdout


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    names = [os.fsdecode(os.fsencode(tmp_path) + rest) for rest in (b"/a\xff.png", b"/b\xfe.png")]
    Image.new("RGB", (60, 90)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(names[0])
    Path(names[1]).write_bytes(b"no image")
    for kind in ("safetensors", "tar"):
        out = tmp_path / kind
        done = dynres("run", *names, "--shard-size", 1, "--format", kind, "-o", out)
        assert done.returncode == 1, done.stderr
        assert "1 of 2 images failed" in done.stderr
        assert sorted(path.name for path in out.glob("0*")) == sorted(
            f"0000{n}.{suffix}" for n in (0, 1) for suffix in (kind, "json")
        )
        listed = json.loads((out / "00000.json").read_text())
        assert [one["image"] for one in listed["images"]] == names[:1]
    for words in (["run", *names], ["plan", *names], ["plan", "--json", *names]):
        done = dynres(*words)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert dynres("run", *names, "-o", tmp_path / "x.npz").returncode == 1
    with np.load(tmp_path / "x.npz") as saved:
        assert saved["names"].tolist() == names[:1]
    code = "from dynres_rs.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", "-", "--csv"],
        input=os.fsencode("\n".join(names)), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert os.fsencode(names[0]) in done.stdout


def test_show_does_not_overwrite_its_image(tmp_path: Path) -> None:
    image = tmp_path / "x.jpg"
    Image.new("RGB", (60, 90)).save(image)
    before = image.read_bytes()
    (tmp_path / "link.jpg").symlink_to(image)
    (tmp_path / "hard.jpg").hardlink_to(image)
    for target in ("x.jpg", "link.jpg", "hard.jpg", "../" + tmp_path.name + "/x.jpg"):
        done = dynres("show", image, "-o", tmp_path / target)
        assert done.returncode == 2
        assert "would be overwritten" in done.stderr
    assert image.read_bytes() == before
    assert dynres("show", image, "-o", tmp_path / "y.jpg").returncode == 0


def test_shards_leave_what_is_not_theirs(tmp_path: Path) -> None:
    image = tmp_path / "x.png"
    Image.new("RGB", (60, 90)).save(image)
    out = tmp_path / "out"
    out.mkdir()
    foreign = [".movie.mp4.part", ".00000.tar.part", ".x.123.part", ".00000.zip.7.part"]
    own = [".00000.tar.123.part", ".dynres.json.9.part", ".errors.jsonl.7.part"]
    for name in foreign + own:
        (out / name).write_text(name)
    words = ("run", image, "--shard-size", 1, "--format", "tar", "-o")
    assert dynres(*words, out).returncode == 0
    left = {path.name for path in out.iterdir()}
    assert left == {*foreign, "dynres.json", "00000.tar", "00000.json", "errors.jsonl"}
    for name in ("00000.json", "00007.tar", "errors.jsonl"):
        other = tmp_path / f"other {name}"
        other.mkdir()
        (other / name).write_text("mine")
        done = dynres(*words, other)
        assert done.returncode == 2
        assert f"has '{name}', which no run has made" in done.stderr
        assert (other / name).read_text() == "mine"
    (out / "dynres.json").write_text("[" * 100_000)
    assert "that no run has written" in dynres(*words, out).stderr
