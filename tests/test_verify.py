"""`dynres_rs.verify` and `dynres verify`: what they say of equal, different and bad images."""

import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import golden_cases
import numpy as np
import pytest
from dynres_rs.numerics import installed_pillow
from dynres_rs.verify import Report, Row, image_files, verify
from PIL import Image
from strategies import noise

QWEN = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "size": {"shortest_edge": 3136, "longest_edge": 50176},
}
INTERNVL = {
    "model_type": "internvl_chat",
    "force_image_size": 56,
    "vision_config": {"image_size": 56, "patch_size": 14},
    "max_dynamic_patch": 6,
    "use_thumbnail": True,
    "dynamic_image_size": True,
    "ps_version": "v2",
}
DEEPSEEK = {
    "processor_class": "DeepseekVLV2Processor",
    "candidate_resolutions": [[56, 56], [56, 112], [112, 56], [112, 112], [168, 56]],
    "patch_size": 14,
    "downsample_ratio": 2,
}
OTHERS = {
    "got": {
        "image_processor_type": "GotOcr2ImageProcessor",
        "size": {"height": 56, "width": 56},
        "crop_to_patches": True,
    },
    "deepseek-vl": {"image_processor_type": "DeepseekVLImageProcessor"},
    "hybrid": {"image_processor_type": "DeepseekVLHybridImageProcessor"},
}


def model(folder: Path, config: dict[str, Any]) -> str:
    folder.mkdir(exist_ok=True)
    file = "preprocessor_config.json"
    if config.get("model_type"):
        file = "config.json"
    elif config.get("processor_class"):
        file = "processor_config.json"
    (folder / file).write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for n, (height, width) in enumerate([(200, 300), (90, 400), (333, 97)]):
        Image.fromarray(noise(n, height, width)).save(folder / f"{n}.png")
    Image.fromarray(noise(7, 60, 90)).save(folder / "more" / "x.jpg")
    (folder / "notes.txt").write_text("not an image", encoding="utf-8")
    return folder


def test_image_files(photos: Path) -> None:
    names = [Path(name).name for name in image_files(photos)]
    assert names == ["0.png", "1.png", "2.png", "x.jpg"]
    assert image_files("no-such-file.png") == ["no-such-file.png"]


# The original code needs nothing but Pillow


@pytest.mark.parametrize("config", [INTERNVL, DEEPSEEK], ids=["internvl", "deepseek-vl2"])
def test_originals(photos: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    report = verify(photos, model(tmp_path / "model", config))
    assert report.equal
    assert report.largest == 0
    assert len(report.rows) == 4
    assert report.upstream == "the original code's calls to Pillow"
    for row in report.rows:
        assert row.equal
        assert row.error is None
        assert row.differing == 0
        assert row.seconds > 0
        assert row.upstream_seconds > 0
        assert row.tokens == row.upstream_tokens
        assert row.tokens is not None
        assert row.tokens > 3
        assert f"tokens {row.tokens} and {row.tokens}" in str(row)
        assert "equal; upstream" in str(row)
    assert report.seconds == sum(row.seconds for row in report.rows)
    assert str(report).splitlines()[-1].startswith("4 of 4 images equal to the original code's")
    assert report.rows[0].size == (200, 300)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.skipif(installed_pillow() != "pillow-13", reason="recorded on Pillow 13")
def test_the_original_codes_calls_are_the_original_code(tmp_path: Path) -> None:
    """The sequences spelled out here give what upstream's own functions gave."""
    from dynres_rs import Processor
    from dynres_rs.verify import _deepseek_vl2, _internvl

    count = 0
    for case in golden_cases.original_cases():
        if len(case.images) != 1:
            continue
        options = Processor(case.family, **case.config).to_dict()
        steps = _internvl if case.family == "internvl" else _deepseek_vl2
        result = dict(steps(Image.fromarray(golden_cases.make(case.images[0])), options))
        golden_cases.check(case, result, extra_keys=True)
        count += 1
    assert count > 90


def test_other_inputs(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", INTERNVL)
    image = Image.fromarray(noise(1, 90, 200))
    report = verify([image, image.convert("RGBA")], folder, repeats=1)
    assert [row.name for row in report.rows] == ["images[0]", "images[1]"]
    assert report.equal
    assert not verify([], folder).equal
    fewer = verify(image, folder, max_num=1)
    assert fewer.equal
    assert (fewer.rows[0].tokens or 0) < (report.rows[0].tokens or 0)


def test_files_that_are_no_images(photos: Path, tmp_path: Path) -> None:
    (photos / "3.png").write_bytes(b"not a picture")
    seen: list[Row] = []
    paths = [str(photos), "no-such-file.png"]
    report = verify(paths, model(tmp_path / "model", INTERNVL), progress=seen.append)
    assert seen == report.rows
    assert not report.equal
    bad = [row for row in report.rows if not row.equal]
    assert [Path(row.name).name for row in bad] == ["3.png", "no-such-file.png"]
    assert "cannot be read (UnidentifiedImageError)" in str(bad[0])
    assert "cannot be read (FileNotFoundError)" in str(bad[1])
    assert "4 of 6 images equal" in report.summary()
    json.dumps(report.to_dict(), allow_nan=False)


def test_arguments(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 60))
    folder = model(tmp_path / "model", INTERNVL)
    with pytest.raises(ValueError, match="repeats"):
        verify(image, folder, repeats=0)
    with pytest.raises(FileNotFoundError):
        verify(image, "no-such-model")
    other = "pillow-12.0" if installed_pillow() != "pillow-12.0" else "pillow-13"
    with pytest.raises(ValueError, match="numerics: must be those of the installed Pillow"):
        verify(image, folder, numerics=other)


def test_what_a_difference_looks_like() -> None:
    far = Row("a.png", (2, 3), False, 5, 0.25, 2e-3, 1e-3, 9, 9)
    shape = Row("b.png", (2, 3), False, 5, math.inf, 2e-3, 1e-3, 9, 9)
    tokens = Row("c.png", (2, 3), False, 0, 0.0, 2e-3, 1e-3, 8, 9)
    report = Report("upstream", "torchvision", [far, shape, tokens])
    assert "a.png: 2x3 DIFFERS in 5 values, by at most 0.25; upstream 2.00 ms, here 1.00 ms" in str(
        far
    )
    assert "by at most inf" in str(shape)
    assert "DIFFERS in tokens" in str(tokens)
    assert "tokens 8 and 9" in str(tokens)
    assert not report.equal
    assert report.largest == math.inf
    assert report.to_dict()["largest"] is None
    assert "0 of 3 images equal to upstream, numerics torchvision, largest difference inf" in str(
        report
    )


# transformers


@pytest.fixture
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.oracle
@pytest.mark.usefixtures("quiet", "transformers")
@pytest.mark.parametrize("name", ["qwen", *OTHERS])
def test_transformers(photos: Path, tmp_path: Path, name: str) -> None:
    config = QWEN if name == "qwen" else OTHERS[name]
    report = verify(photos, model(tmp_path / "model", config), numerics="pillow", repeats=1)
    assert report.equal, str(report)
    assert report.numerics == installed_pillow()
    assert report.upstream.endswith("ImageProcessorPil")
    if name in ("qwen", "got"):
        assert all(row.tokens == row.upstream_tokens for row in report.rows)
    else:
        assert all(row.upstream_tokens is None for row in report.rows)
        assert "tokens - and" in str(report)


@pytest.mark.torch
@pytest.mark.usefixtures("quiet", "transformers", "torch")
@pytest.mark.parametrize("name", ["qwen", *OTHERS])
def test_torchvision(photos: Path, tmp_path: Path, name: str) -> None:
    config = QWEN if name == "qwen" else OTHERS[name]
    report = verify(photos, model(tmp_path / "model", config), repeats=1)
    assert report.equal, str(report)
    assert report.numerics == "torchvision"
    assert report.upstream.endswith("ImageProcessor")


@pytest.mark.oracle
@pytest.mark.usefixtures("quiet")
def test_it_never_compares_with_itself(
    photos: Path, tmp_path: Path, transformers: ModuleType
) -> None:
    import dynres_rs.transformers as adapter

    folder = model(tmp_path / "model", QWEN)
    adapter.enable()
    try:
        from dynres_rs.verify import _upstream_processor

        made = _upstream_processor(transformers, folder, "pil", {})
        assert type(made).__module__.startswith("transformers.")
        assert verify(photos, folder, numerics="pillow", repeats=1).equal
    finally:
        adapter.disable()


@pytest.mark.oracle
@pytest.mark.usefixtures("quiet", "transformers")
def test_differences_are_found(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream that is off by a bit, in one value of one image."""
    module = sys.modules[verify.__module__]

    honest = module._upstream_processor

    def off_by_a_bit(*args: Any) -> Any:
        made = honest(*args)

        class Off:
            merge_size = made.merge_size

            def __call__(self, image: Any) -> Any:
                result = made(image, return_tensors="np")
                if getattr(image, "size", None) == (400, 90):  # a path is loaded by upstream
                    values = result["pixel_values"]
                    values[3, 4] = np.nextafter(values[3, 4], np.float32(9))
                return result

        return Off()

    monkeypatch.setattr(module, "_upstream_processor", off_by_a_bit)
    report = verify(photos, model(tmp_path / "model", QWEN), numerics="pillow", repeats=1)
    assert [row.equal for row in report.rows] == [True, False, True, True]
    assert report.rows[1].differing == 1
    assert 0 < report.largest < 1e-6
    assert "DIFFERS in 1 values" in str(report)


@pytest.mark.oracle
@pytest.mark.usefixtures("quiet", "transformers")
def test_images_that_both_refuse(tmp_path: Path) -> None:
    image = Image.new("RGB", (1000, 2))
    report = verify([image], model(tmp_path / "model", QWEN), numerics="pillow")
    assert report.equal
    assert "upstream refuses it (ValueError" in str(report.rows[0])
    assert "dynres_rs refuses it (ValueError" in str(report.rows[0])


def test_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="verify compares with transformers 5"):
        verify(Image.new("RGB", (60, 60)), model(tmp_path / "model", QWEN))


# The command


def dynres(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from dynres_rs.cli import main; main()", "verify", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_command(photos: Path, tmp_path: Path) -> None:
    folder = model(tmp_path / "model", INTERNVL)
    done = dynres(str(photos), "--model", folder, "--repeats", "1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"{photos / '0.png'}: 200x300 equal; upstream")
    assert lines[-1].startswith("4 of 4 images equal")


def test_command_with_a_bad_file(photos: Path, tmp_path: Path) -> None:
    folder = model(tmp_path / "model", DEEPSEEK)
    (photos / "3.png").write_bytes(b"not a picture")
    done = dynres(str(photos), "--model", folder, "--json", "--repeats", "1")
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    assert report["equal"] is False
    assert [image["equal"] for image in report["images"]] == [True, True, True, False, True]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--model", "{model}", "--set", "max_num"], "must be KEY=VALUE"),
        (["--model", "{model}", "--set", "nonsense=3"], "nonsense"),
        (["--model", "{model}", "--numerics", "opencv"], "numerics"),
        ([], "--model"),
    ],
)
def test_command_with_nothing_to_compare(
    photos: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    folder = model(tmp_path / "model", INTERNVL)
    done = dynres(str(photos), *[part.format(model=folder) for part in arguments])
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_command_on_an_empty_folder(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", INTERNVL)
    (tmp_path / "empty").mkdir()
    done = dynres(str(tmp_path / "empty"), "--model", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no image files" in done.stderr


@pytest.mark.oracle
def test_ways_of_loading(transformers: ModuleType, tmp_path: Path) -> None:
    """A turned JPEG gives another result by path than opened, here and upstream."""
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.fromarray(noise(5, 90, 140))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "plain.jpg")
    picture.save(folder / "turned.jpg", exif=exif)
    picture.putalpha(77)
    picture.save(folder / "glass.png")
    report = verify(folder, model(tmp_path / "qwen", QWEN), numerics="pillow", repeats=1)
    assert report.equal, str(report)
    rows = {Path(row.name).name: row for row in report.rows}
    assert rows["plain.jpg"].loading is None
    assert rows["turned.jpg"].loading is not None
    assert "140x90 pixels, 90x140 opened" in rows["turned.jpg"].loading
    assert rows["glass.png"].loading is not None
    assert "other pixels than opened" in rows["glass.png"].loading
    assert "2 load otherwise by path or as bytes than opened" in report.summary()
    assert rows["turned.jpg"].loading in str(report)


@pytest.mark.oracle
def test_a_way_of_loading_that_is_wrong_is_found(
    transformers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dynres_rs import jpeg

    Image.fromarray(noise(5, 90, 140)).save(tmp_path / "x.jpg")
    wrong = np.zeros((90, 140, 3), np.uint8)
    monkeypatch.setattr(jpeg, "decode_pending", lambda *_: wrong)
    report = verify(
        tmp_path / "x.jpg", model(tmp_path / "qwen", QWEN), numerics="pillow", repeats=1
    )
    assert not report.equal
    assert "opened and not decoded: DIFFERS" in str(report)
