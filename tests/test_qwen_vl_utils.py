"""`dynres_rs.qwen_vl_utils`: its functions against recorded results, `patch()` against a stand-in
with the package's names, and against the package itself where that is installed."""

import base64
import contextlib
import http.server
import importlib
import io
import math
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from dynres_rs import qwen_vl_utils
from dynres_rs.numerics import installed_pillow
from PIL import Image
from strategies import noise

SIZE_ROWS: dict[str, dict[str, int]] = {
    "qwen_vl_utils f28 default": {},
    "qwen_vl_utils f28 [3136,1003520]": {"min_pixels": 3136, "max_pixels": 1003520},
}


def plain_smart_resize(
    height: int,
    width: int,
    factor: int,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> tuple[int, int]:
    """The rule again, for the stand-in."""
    module = sys.modules["qwen_vl_utils.vision_process"]
    unit = factor * factor
    top = module.IMAGE_MAX_TOKEN_NUM * unit if max_pixels is None else max_pixels
    bottom = module.IMAGE_MIN_TOKEN_NUM * unit if min_pixels is None else min_pixels
    assert top >= bottom
    if max(height, width) > 200 * min(height, width):
        raise ValueError("ratio")
    h, w = max(1, round(height / factor)), max(1, round(width / factor))
    if h * w * unit > top:
        beta = math.sqrt((height * width) / top)
        h, w = math.floor(height / beta / factor), math.floor(width / beta / factor)
    elif h * w * unit < bottom:
        beta = math.sqrt(bottom / (height * width))
        h, w = math.ceil(height * beta / factor), math.ceil(width * beta / factor)
    return h * factor, w * factor


def plain_fetch_image(ele: dict[str, Any], image_patch_size: int = 14) -> Any:
    """What the package does to a picture, in Pillow's own calls."""
    module: Any = sys.modules["qwen_vl_utils.vision_process"]
    image = ele["image"]
    factor = image_patch_size * 2
    if image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.split()[3])
        image = white
    image = image.convert("RGB")
    if "resized_height" in ele:
        size = module.smart_resize(ele["resized_height"], ele["resized_width"], factor=factor)
    else:
        unit = factor**2
        size = module.smart_resize(
            image.height,
            image.width,
            factor=factor,
            min_pixels=ele.get("min_pixels", module.IMAGE_MIN_TOKEN_NUM * unit),
            max_pixels=ele.get("max_pixels", module.IMAGE_MAX_TOKEN_NUM * unit),
        )
    return image.resize(size[::-1])


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stand-in for the installed package, with its names."""
    top: Any = types.ModuleType("qwen_vl_utils")
    module: Any = types.ModuleType("qwen_vl_utils.vision_process")
    constants = ("MAX_RATIO", "SPATIAL_MERGE_SIZE", "IMAGE_MIN_TOKEN_NUM", "IMAGE_MAX_TOKEN_NUM")
    for name in constants:
        setattr(module, name, getattr(qwen_vl_utils, name))
    module.smart_resize = top.smart_resize = plain_smart_resize
    module.fetch_image = top.fetch_image = plain_fetch_image
    top.vision_process = module
    monkeypatch.setitem(sys.modules, "qwen_vl_utils", top)
    monkeypatch.setitem(sys.modules, "qwen_vl_utils.vision_process", module)
    yield top
    qwen_vl_utils.unpatch()


def same_image(got: Any, want: Any) -> None:
    assert (got.mode, got.size, got.info) == (want.mode, want.size, want.info)
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("row", SIZE_ROWS)
def test_sizes(row: str) -> None:
    wrong = []
    for height, width, expected in golden_cases.size_rows(row):
        try:
            got: Any = list(qwen_vl_utils.smart_resize(height, width, 28, **SIZE_ROWS[row]))
        except ValueError:
            got = "ERR ValueError"
        if isinstance(expected, str):
            expected = expected.partition(":")[0]
        if got != expected:
            wrong.append(f"{height} x {width}: {got}, upstream {expected}")
    assert not wrong, "\n".join(wrong)


def test_it_is_not_the_rule_of_transformers() -> None:
    assert qwen_vl_utils.smart_resize(10, 2000, 28) == (28, 1988)
    assert dr.smart_resize(10, 2000, 28, 3136, 12845056) == (28, 812)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at most 200"):
        qwen_vl_utils.smart_resize(1, 201, 28)
    with pytest.raises(AssertionError, match="max_pixels: must be at least"):
        qwen_vl_utils.smart_resize(10, 10, 28, 9000, 8000)
    with pytest.raises(ZeroDivisionError):
        qwen_vl_utils.smart_resize(0, 10, 28)
    for bad, error in ((3, AttributeError), ("no-such-file.png", FileNotFoundError)):
        with pytest.raises(error):
            qwen_vl_utils.fetch_image({"image": bad})
    with pytest.raises(ValueError, match="base64"):
        qwen_vl_utils.fetch_image({"image": "data:image/png,abc"})


@pytest.mark.skipif(installed_pillow() != "pillow-13", reason="recorded on Pillow 13")
@pytest.mark.parametrize("case", golden_cases.chain_cases(), ids=str)
def test_chains(case: golden_cases.ChainCase) -> None:
    """Both steps bit for bit: the fetch, and the processor without a resize of its own."""
    ele = {
        "image": Image.fromarray(golden_cases.make(case.image)),
        "min_pixels": case.min_pixels,
        "max_pixels": case.max_pixels,
    }
    fetched = qwen_vl_utils.fetch_image(ele, image_patch_size=case.patch_size)
    array = np.asarray(fetched)
    assert list(array.shape) == case.fetched["shape"]
    assert golden_cases.digest(array) == case.fetched["sha256"]
    config = {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": case.patch_size}
    for numerics, outputs in case.outputs.items():
        processor = dr.Processor.from_config(config, numerics=numerics)
        lines = golden_cases.differences(processor(fetched, do_resize=False), outputs)
        assert not lines, [numerics, *lines]


def test_there_are_18_chains() -> None:
    assert len(golden_cases.chain_cases()) == 18


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.skipif(installed_pillow() != "pillow-13", reason="recorded on Pillow 13")
def test_chains_through_the_registered_class(transformers: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = importlib.import_module("dynres_rs.transformers")
    for case in golden_cases.chain_cases():
        ele = {
            "image": Image.fromarray(golden_cases.make(case.image)),
            "min_pixels": case.min_pixels,
            "max_pixels": case.max_pixels,
        }
        fetched = qwen_vl_utils.fetch_image(ele, case.patch_size)
        for numerics, outputs in case.outputs.items():
            cls = adapter.Qwen2VLImageProcessor
            processor = cls(patch_size=case.patch_size, numerics=numerics)
            result = processor(fetched, do_resize=False, return_tensors="np")
            assert not golden_cases.differences(result, outputs)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "I;16"])
@pytest.mark.parametrize(
    "extra",
    [{}, {"max_pixels": 9000}, {"min_pixels": 90000}, {"resized_height": 70, "resized_width": 9}],
)
def test_fetch_image_is_the_plain_one(package: Any, mode: str, extra: dict[str, int]) -> None:
    if mode == "P":
        image = Image.fromarray(noise(1, 61, 80)).quantize(30)
    elif mode == "I;16":
        image = Image.frombytes(mode, (80, 61), noise(1, 61, 80, 2).tobytes())
    elif mode == "1":
        image = Image.fromarray(noise(1, 61, 80)).convert("1")
    else:
        channels = len(Image.new(mode, (1, 1)).getbands())
        image = Image.frombytes(mode, (80, 61), noise(1, 61, 80, channels).tobytes())
    image.info["note"] = "kept"
    for patch_size in (14, 16):
        want = plain_fetch_image({"image": image, **extra}, patch_size)
        got = qwen_vl_utils.fetch_image({"image": image, **extra}, patch_size)
        same_image(got, want)
        assert type(got) is type(want)


def test_pillow_does_not_resize(monkeypatch: pytest.MonkeyPatch) -> None:
    """RGB never falls back in silence."""
    image = Image.fromarray(noise(1, 300, 500))
    want = image.resize((140, 84))

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("Pillow was asked to resize")

    monkeypatch.setattr(Image.Image, "resize", never)
    ele = {"image": image, "resized_height": 84, "resized_width": 140}
    got = qwen_vl_utils.fetch_image(ele)
    same_image(got, want)
    got.putpixel((1, 1), (1, 2, 3))  # a memory of its own, and writeable
    assert got.getpixel((1, 1)) == (1, 2, 3)


def test_an_image_of_the_right_size_is_a_copy() -> None:
    image = Image.fromarray(noise(1, 56, 84))
    got = qwen_vl_utils.fetch_image({"image": image})
    assert got is not image
    got.putpixel((0, 0), (1, 2, 3))
    assert np.array_equal(np.asarray(image), noise(1, 56, 84))


def test_sources(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(1, 60, 90)).save(path, exif=exif)
    with Image.open(path) as opened:
        want = qwen_vl_utils.fetch_image({"image": opened.convert("RGB")})
    assert want.size == (84, 56)
    encoded = base64.b64encode(path.read_bytes()).decode()
    for source in (str(path), f"file://{path}", f"data:image/jpeg;base64,{encoded}"):
        for key in ("image", "image_url"):
            assert qwen_vl_utils.fetch_image({key: source}).tobytes() == want.tobytes()


def test_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(1, 60, 90)).save(buffer, "PNG")

    class Answer:
        content = buffer.getvalue()

        def __enter__(self) -> "Answer":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def raise_for_status(self) -> None:
            asked.append("status")

    asked: list[str] = []
    requests: Any = types.ModuleType("requests")
    requests.get = lambda url, stream: asked.append(url) or Answer()
    monkeypatch.setitem(sys.modules, "requests", requests)
    got = qwen_vl_utils.fetch_image({"image": "https://example.org/a.png"})
    same_image(got, qwen_vl_utils.fetch_image({"image": Image.fromarray(noise(1, 60, 90))}))
    assert asked == ["https://example.org/a.png", "status"]


class Server(http.server.BaseHTTPRequestHandler):
    """A picture, one that is elsewhere, one that never ends, and one that comes slowly."""

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{port}/picture")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        buffer = io.BytesIO()
        Image.fromarray(noise(1, 60, 90)).save(buffer, "PNG")
        with contextlib.suppress(OSError):
            self.wfile.write(buffer.getvalue())
            for _ in range(0 if self.path == "/picture" else 200):
                if self.path == "/slow":
                    time.sleep(0.05)
                self.wfile.write(bytes(1 << (16 if self.path == "/endless" else 4)))

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture(params=["requests", "urllib"])
def server(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "urllib":
        monkeypatch.setitem(sys.modules, "requests", None)
    else:
        pytest.importorskip("requests", reason="fetching takes it where it is installed")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        qwen_vl_utils.limit_fetching()


def test_limits_of_downloads(server: str) -> None:
    def fetch(path: str) -> Any:
        return qwen_vl_utils.fetch_image({"image": server + path})

    want = qwen_vl_utils.fetch_image({"image": Image.fromarray(noise(1, 60, 90))})
    for path in ("/picture", "/moved", "/endless"):
        same_image(fetch(path), want)
    qwen_vl_utils.limit_fetching(allowed_hosts=["127.0.0.1"], max_bytes=10**6, timeout=5)
    same_image(fetch("/picture"), want)
    with pytest.raises(PermissionError, match=r"localhost.*allowed_hosts"):
        fetch("/moved")
    with pytest.raises(OSError, match="max_bytes=1000000"):
        fetch("/endless")
    qwen_vl_utils.limit_fetching(allowed_hosts=["localhost", "127.0.0.1"], timeout=0.5)
    same_image(fetch("/moved"), want)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"timeout=0\.5"):
        fetch("/slow")
    assert time.monotonic() - begun < 4
    for forbidden in ([], ["example.org"]):
        qwen_vl_utils.limit_fetching(allowed_hosts=forbidden)
        with pytest.raises(PermissionError, match="allowed_hosts"):
            fetch("/picture")


def test_limits_of_files(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        Image.fromarray(noise(1, 60, 90)).save(folder / "a.png")
    (inside / "link.png").symlink_to(outside / "a.png")
    (tmp_path / "inside2").symlink_to(outside)
    try:
        qwen_vl_utils.limit_fetching(allowed_folders=[inside], max_bytes=100)
        for given in (str(inside / "a.png"), f"file://{inside}/a.png"):
            assert qwen_vl_utils.fetch_image({"image": given}).size == (84, 56)
        for bad in ("outside/a.png", "inside/link.png", "inside/../outside/a.png", "inside2/a.png"):
            for given in (f"{tmp_path}/{bad}", f"file://{tmp_path}/{bad}"):
                with pytest.raises(PermissionError, match="allowed_folders"):
                    qwen_vl_utils.fetch_image({"image": given})
        with pytest.raises(OSError, match="max_bytes=100"):
            qwen_vl_utils.fetch_image({"image": "data:image/png;base64," + "A" * 400})
        qwen_vl_utils.limit_fetching(allowed_folders=[])
        with pytest.raises(PermissionError, match="allowed_folders"):
            qwen_vl_utils.fetch_image({"image": str(inside / "a.png")})
    finally:
        qwen_vl_utils.limit_fetching()
    for name in ("allowed_hosts", "allowed_folders"):
        with pytest.raises(TypeError, match=f"^{name}: must be a list, got str$"):
            qwen_vl_utils.limit_fetching(**{name: "example.org"})
    for name in ("max_bytes", "timeout"):
        with pytest.raises(ValueError, match=f"^{name}: must be above 0, got 0$"):
            qwen_vl_utils.limit_fetching(**{name: 0})


def test_messages_hold_no_address() -> None:
    for text in ("", "AAAA", "*" * 9, "A", base64.b64encode(b"x" * 3_000_000).decode()):
        with pytest.raises((OSError, ValueError)) as caught:
            qwen_vl_utils.fetch_image({"image": f"data:image/png;base64,{text}"})
        assert "0x" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_patch(package: Any) -> None:
    module = package.vision_process
    image = Image.fromarray(noise(1, 300, 500))
    want = plain_fetch_image({"image": image})
    qwen_vl_utils.patch()
    qwen_vl_utils.patch()
    assert module.fetch_image is package.fetch_image is not plain_fetch_image
    assert module.smart_resize is package.smart_resize is not plain_smart_resize
    same_image(package.fetch_image({"image": image}), want)
    module.IMAGE_MAX_TOKEN_NUM = 20  # as ms-swift sets it
    small = package.fetch_image({"image": image})
    assert small.size == (140, 84)
    same_image(small, plain_fetch_image({"image": image}))
    qwen_vl_utils.unpatch()
    qwen_vl_utils.unpatch()
    assert module.fetch_image is package.fetch_image is plain_fetch_image
    assert module.smart_resize is package.smart_resize is plain_smart_resize


def _other_size(height: int, width: int, *rest: Any, **options: Any) -> tuple[int, int]:
    return plain_smart_resize(height, width, *rest, **options)[::-1]


def _other_signature(ele: dict[str, Any], size_factor: int = 28) -> Any:
    return plain_fetch_image(ele, size_factor // 2)


def _other_filter(ele: dict[str, Any], image_patch_size: int = 14) -> Any:
    right = plain_fetch_image(ele, image_patch_size)
    return ele["image"].convert("RGB").resize(right.size, Image.Resampling.LANCZOS)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("smart_resize", _other_size),
        ("fetch_image", _other_signature),
        ("fetch_image", _other_filter),
        ("fetch_image", None),
    ],
)
def test_another_version_is_not_patched(package: Any, name: str, other: Any) -> None:
    setattr(package.vision_process, name, other)
    with pytest.raises(ImportError, match="knows the rules"):
        qwen_vl_utils.patch()
    assert getattr(package.vision_process, name) is other


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qwen_vl_utils", None)
    monkeypatch.setitem(sys.modules, "qwen_vl_utils.vision_process", None)
    with pytest.raises(ImportError, match="needs qwen-vl-utils"):
        qwen_vl_utils.patch()


@pytest.mark.torch
def test_the_package_itself() -> None:
    """`process_vision_info` of the installed package, before and after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            package: Any = importlib.import_module("qwen_vl_utils")
        except ImportError as error:
            pytest.skip(f"qwen-vl-utils is not installed ({error})")
    image = Image.fromarray(noise(1, 300, 500))
    content = [{"type": "image", "image": image, "max_pixels": 50176}, {"type": "text", "text": ""}]
    messages = [{"role": "user", "content": content}]
    want = package.process_vision_info(messages)[0]
    qwen_vl_utils.patch()
    try:
        assert package.fetch_image.__module__ == "dynres_rs.qwen_vl_utils"
        got = package.process_vision_info(messages)[0]
    finally:
        qwen_vl_utils.unpatch()
    assert package.fetch_image.__module__ == "qwen_vl_utils.vision_process"
    assert len(got) == len(want) == 1
    same_image(got[0], want[0])
