"""qwen-vl-utils' image side, with the same bits and without its Pillow resize.

    from dynres_rs.qwen_vl_utils import fetch_image, smart_resize

or, for code that calls the package itself (`process_vision_info`, ms-swift, vLLM's examples):

    dynres_rs.qwen_vl_utils.patch()

The result of `fetch_image` has its final size, so a processor that has the same budget may be
called with `do_resize=False`. This `smart_resize` is not transformers': the two disagree on small
sides (10 x 2000 becomes 28 x 1988 here, 28 x 812 there).
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import inspect
import io
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from ._dynres_rs import finite_number
from ._pil import resize, rgb
from .arguments import as_list
from .files import check_openable, shown

__all__ = [
    "IMAGE_MAX_TOKEN_NUM",
    "IMAGE_MIN_TOKEN_NUM",
    "MAX_RATIO",
    "SPATIAL_MERGE_SIZE",
    "fetch_image",
    "limit_fetching",
    "patch",
    "smart_resize",
    "unpatch",
]

MAX_RATIO = 200
SPATIAL_MERGE_SIZE = 2
IMAGE_MIN_TOKEN_NUM = 4
IMAGE_MAX_TOKEN_NUM = 16384

_PATCHED: Final = ("smart_resize", "fetch_image")
_originals: dict[str, Any] = {}
_REDIRECTS: Final = 10
_BLOCK: Final = 1 << 16


class _Limits(NamedTuple):
    hosts: frozenset[str] | None = None
    folders: tuple[str, ...] | None = None
    max_bytes: int | None = None
    timeout: float | None = None


_limits = _Limits()


def smart_resize(
    height: int,
    width: int,
    factor: int,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> tuple[int, int]:
    """The size of an image in multiples of `factor` within a budget of pixels.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        factor: what both sides become multiples of, in pixels.
        min_pixels: fewest pixels; None is 4 * factor**2.
        max_pixels: most pixels; None is 16384 * factor**2.

    Returns:
        (height, width); 0 for a side that a small budget and an extreme ratio leave nothing of.

    Raises:
        AssertionError: `max_pixels` below `min_pixels`.
        ValueError: an aspect ratio above 200.
        ZeroDivisionError: a side of 0.

    Matches `qwen_vl_utils.smart_resize` 0.0.14.
    """
    return _smart_resize(sys.modules[__name__], height, width, factor, min_pixels, max_pixels)


def fetch_image(ele: dict[str, Any], image_patch_size: int = 14) -> Any:
    """The image of a message's element, in RGB and in the size that the model will see.

    Args:
        ele: `image` or `image_url` (a Pillow image, a path, `file://`, `http(s)://`, or a
            `data:image` URL in base64), and of `min_pixels`, `max_pixels`, or `resized_height` and
            `resized_width`, what is wanted.
        image_patch_size: of the model, in pixels: 14, or 16 for Qwen3-VL.

    Returns:
        a Pillow image of mode RGB. EXIF orientation is left alone, RGBA is pasted on white, and
        other modes are converted by Pillow.

    Raises:
        OSError: a file that cannot be opened, or that is a pipe, socket or device; a download that
            fails; or what `limit_fetching` forbids (`PermissionError`, `TimeoutError`).
        ValueError: no image there, or an aspect ratio above 200.

    Nothing is limited unless `limit_fetching` is called: it fetches any URL and reads any image
    file, as the package's own does.

    Matches `qwen_vl_utils.fetch_image` 0.0.14.
    """
    return _fetch_image(sys.modules[__name__], ele, image_patch_size)


def limit_fetching(
    *,
    allowed_hosts: Iterable[str] | None = None,
    allowed_folders: Iterable[str | os.PathLike[str]] | None = None,
    max_bytes: int | None = None,
    timeout: float | None = None,
) -> None:
    """Limits what `fetch_image` opens from now on, in this process; without arguments, nothing.

    qwen-vl-utils' own function has no limit, and so `fetch_image` has none unless this is called:
    whoever writes the messages can have it open any URL that this machine reaches, and any image
    file that it can read. A server that takes messages from strangers calls this first.

    Args:
        allowed_hosts: names of hosts that may be asked for `http(s)://` URLs, each redirect
            included; an empty list is none, and None is all.
        allowed_folders: folders below which files may be opened, by path or `file://`, symbolic
            links resolved; an empty list is none, and None is all.
        max_bytes: the most of a download or of a data URL.
        timeout: seconds that a download's body may take as a whole, and each wait before it.

    Raises:
        TypeError: a single string where a list is meant.
        ValueError: `max_bytes` or `timeout` that is not above 0.
    """
    global _limits
    for name, given in (("allowed_hosts", allowed_hosts), ("allowed_folders", allowed_folders)):
        if isinstance(given, str | bytes | os.PathLike):
            raise TypeError(f"{name}: must be a list, got {type(given).__name__}")
    for name, number in (("max_bytes", max_bytes), ("timeout", timeout)):
        if number is not None and not finite_number(name, number) > 0:
            raise ValueError(f"{name}: must be above 0, got {shown(number)}")
    hosts: frozenset[str] | None = None
    if allowed_hosts is not None:
        names = as_list("allowed_hosts", allowed_hosts)
        if not all(isinstance(name, str) for name in names):
            raise TypeError("allowed_hosts: must be strings")
        hosts = frozenset(name.lower() for name in names)
    folders: tuple[str, ...] | None = None
    if allowed_folders is not None:
        paths = as_list("allowed_folders", allowed_folders)
        if not all(isinstance(path, str | os.PathLike) for path in paths):
            raise TypeError("allowed_folders: must be paths")
        try:
            folders = tuple(os.path.realpath(os.fspath(path)) for path in paths)
        except ValueError:  # a null byte, or a lone surrogate
            raise ValueError("allowed_folders: must be paths") from None
    _limits = _Limits(hosts, folders, max_bytes, timeout)


def _smart_resize(
    rules: Any,
    height: int,
    width: int,
    factor: int,
    min_pixels: int | None,
    max_pixels: int | None,
) -> tuple[int, int]:
    most = rules.IMAGE_MAX_TOKEN_NUM * factor**2 if max_pixels is None else max_pixels
    least = rules.IMAGE_MIN_TOKEN_NUM * factor**2 if min_pixels is None else min_pixels
    if most < least:
        raise AssertionError(f"max_pixels: must be at least min_pixels {least}, got {most}")
    ratio = max(height, width) / min(height, width)
    if ratio > rules.MAX_RATIO:
        raise ValueError(
            f"height, width: the aspect ratio must be at most {rules.MAX_RATIO}, got"
            f" {(height, width)}"
        )
    rows, columns = (max(factor, round(side / factor) * factor) for side in (height, width))
    if rows * columns > most:
        shrink = math.sqrt((height * width) / most)
        rows, columns = (math.floor(side / shrink / factor) * factor for side in (height, width))
    elif rows * columns < least:
        grow = math.sqrt(least / (height * width))
        rows, columns = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return rows, columns


def _fetch_image(rules: Any, ele: dict[str, Any], image_patch_size: int) -> Any:
    source = ele["image"] if "image" in ele else ele["image_url"]
    factor = int(image_patch_size * rules.SPATIAL_MERGE_SIZE)
    image = _to_rgb(_open(source))
    if "resized_height" in ele and "resized_width" in ele:
        size = _smart_resize(rules, ele["resized_height"], ele["resized_width"], factor, None, None)
    else:
        least = ele.get("min_pixels", rules.IMAGE_MIN_TOKEN_NUM * factor**2)
        most = ele.get("max_pixels", rules.IMAGE_MAX_TOKEN_NUM * factor**2)
        size = _smart_resize(rules, image.height, image.width, factor, least, most)
    return resize(image, size[::-1])


def _open(source: Any) -> Any:
    from PIL import Image

    if isinstance(source, Image.Image):
        return source
    if not hasattr(source, "startswith"):
        raise AttributeError(
            f"ele: image must be a Pillow image, a path or a URL, got {type(source).__name__}"
        )
    limits = _limits
    if source.startswith(("http://", "https://")):
        return _image(io.BytesIO(_download(source, limits)), "the download")
    if source.startswith("data:image"):
        _, separator, text = source.partition("base64,")
        if not separator:
            raise ValueError("ele: image is a data URL, and must be in base64")
        _check_length(len(text) * 3 // 4, limits)
        try:
            data = base64.b64decode(text)
        except ValueError:
            raise ValueError("ele: image is a data URL whose base64 is damaged") from None
        return _image(io.BytesIO(data), "the data URL")
    path = source.removeprefix("file://")
    _check_folder(path, limits)
    check_openable(path)
    return _image(path, shown(path))


def _image(source: Any, name: str) -> Any:
    """Opened by Pillow, whose own text holds the address of an object that is no path."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(source)
    except UnidentifiedImageError:
        raise UnidentifiedImageError(f"{name}: is not an image that Pillow can read") from None


def _check_folder(path: str, limits: _Limits) -> None:
    if limits.folders is None:
        return
    real = os.path.realpath(path)
    for folder in limits.folders:
        with contextlib.suppress(ValueError):  # another drive
            if os.path.commonpath([real, folder]) == folder:
                return
    raise PermissionError(f"{shown(path)}: is in no folder of limit_fetching(allowed_folders=)")


def _check_length(count: int, limits: _Limits) -> None:
    if limits.max_bytes is not None and count > limits.max_bytes:
        raise OSError(f"ele: image has more than limit_fetching(max_bytes={limits.max_bytes})")


def _check_host(url: str, limits: _Limits) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise PermissionError(f"{shown(url)}: is a redirect to no http(s) URL")
    if limits.hosts is not None and (parts.hostname or "").lower() not in limits.hosts:
        raise PermissionError(f"{shown(url)}: is on no host of limit_fetching(allowed_hosts=)")


def _download(url: str, limits: _Limits) -> bytes:
    """With requests, as the package does; without it, with the standard library."""
    if limits.hosts is not None:
        _check_host(url, limits)
    ends = math.inf if limits.timeout is None else time.monotonic() + limits.timeout
    try:
        requests: Any = importlib.import_module("requests")
    except ImportError:
        return _with_urllib(url, limits, ends)
    options = {} if limits.timeout is None else {"timeout": limits.timeout}
    if limits.hosts is None:
        with requests.get(url, stream=True, **options) as response:
            response.raise_for_status()
            return _body(response, limits, ends)
    for _ in range(_REDIRECTS):
        with requests.get(url, stream=True, allow_redirects=False, **options) as response:
            if not response.is_redirect:
                response.raise_for_status()
                return _body(response, limits, ends)
            url = urljoin(url, response.headers["location"])
        _check_host(url, limits)
    raise OSError(f"{shown(url)}: redirects more than {_REDIRECTS} times")


def _body(response: Any, limits: _Limits, ends: float) -> bytes:
    if limits.max_bytes is None and ends == math.inf:
        return bytes(response.content)
    if not hasattr(response.raw, "read1"):  # urllib3 1: a larger block waits until it is full
        return _bounded(response.iter_content(1), limits, ends)

    def read() -> bytes:
        return bytes(response.raw.read1(_BLOCK, decode_content=True))

    return _bounded(iter(read, b""), limits, ends)


def _with_urllib(url: str, limits: _Limits, ends: float) -> bytes:
    from urllib.request import HTTPRedirectHandler, build_opener

    class Redirects(HTTPRedirectHandler):
        def redirect_request(self, *args: Any) -> Any:
            if limits.hosts is not None:
                _check_host(args[-1], limits)
            return super().redirect_request(*args)

    options: dict[str, Any] = {} if limits.timeout is None else {"timeout": limits.timeout}
    with build_opener(Redirects).open(url, **options) as answer:
        return _bounded(iter(lambda: answer.read1(_BLOCK), b""), limits, ends)


def _bounded(blocks: Iterator[bytes], limits: _Limits, ends: float) -> bytes:
    parts: list[bytes] = []
    count = 0
    for block in blocks:
        count += len(block)
        _check_length(count, limits)
        if time.monotonic() > ends:
            raise TimeoutError(
                f"ele: image takes longer than limit_fetching(timeout={limits.timeout:g})"
            )
        parts.append(block)
    return b"".join(parts)


def _to_rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode != "RGBA":
        return rgb(image)
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


def patch() -> None:
    """Puts `fetch_image` and `smart_resize` in the place of the installed qwen-vl-utils' own.

    `process_vision_info` and whoever else looks them up in `qwen_vl_utils` or in
    `qwen_vl_utils.vision_process` gets them, in threads as well; the module's constants
    (`IMAGE_MAX_TOKEN_NUM`, ...) are read at each call. Calling it twice changes nothing. Modules
    that imported the functions by name before keep what they have.

    Raises:
        ImportError: qwen-vl-utils is not installed, or is a version with other rules: both are run
            side by side on a few tiny images first.
    """
    if _originals:
        return
    try:
        module: Any = importlib.import_module("qwen_vl_utils.vision_process")
    except ImportError as error:
        raise ImportError(
            f"dynres_rs.qwen_vl_utils.patch() needs qwen-vl-utils ({error})"
        ) from None

    def patched_smart_resize(
        height: int,
        width: int,
        factor: int,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> tuple[int, int]:
        return _smart_resize(module, height, width, factor, min_pixels, max_pixels)

    def patched_fetch_image(ele: dict[str, Any], image_patch_size: int = 14) -> Any:
        return _fetch_image(module, ele, image_patch_size)

    patched_smart_resize.__doc__ = smart_resize.__doc__
    patched_fetch_image.__doc__ = fetch_image.__doc__
    ours = {"smart_resize": patched_smart_resize, "fetch_image": patched_fetch_image}
    theirs = {name: getattr(module, name, None) for name in _PATCHED}
    _compare(theirs, ours)
    package = sys.modules["qwen_vl_utils"]
    for name in _PATCHED:
        for place in (module, package):
            if getattr(place, name, None) is theirs[name]:
                _originals[f"{place.__name__}.{name}"] = theirs[name]
                setattr(place, name, ours[name])


def unpatch() -> None:
    """Puts the package's own functions back."""
    for path, original in _originals.items():
        place, _, name = path.rpartition(".")
        setattr(sys.modules[place], name, original)
    _originals.clear()


def _compare(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raises unless the installed functions take the same arguments and give the same numbers."""
    from PIL import Image

    refusal = ImportError(
        "dynres_rs.qwen_vl_utils.patch() knows the rules of qwen-vl-utils 0.0.14, and the installed"
        " version has others"
    )
    for name in _PATCHED:
        if theirs[name] is None:
            raise refusal
        names = [list(inspect.signature(f[name]).parameters) for f in (theirs, ours)]
        if names[0] != names[1]:
            raise refusal
    sizes = [(10, 2000), (70, 98), (480, 640), (3000, 4000), (33, 47)]
    budgets = [(None, None), (3136, 50176), (65536, 1003520)]
    for height, width in sizes:
        for least, most in budgets:
            for factor in (28, 32):
                arguments = (height, width, factor, least, most)
                if theirs["smart_resize"](*arguments) != ours["smart_resize"](*arguments):
                    raise refusal
    image = Image.linear_gradient("L").resize((60, 47)).convert("RGB")
    alpha = Image.merge("RGBA", (*image.split(), image.getchannel(0).rotate(180)))
    for picture in (image, alpha, alpha.convert("LA")):
        for extra in ({}, {"max_pixels": 3136}, {"resized_height": 50, "resized_width": 90}):
            found = [f["fetch_image"]({"image": picture, **extra}, 14) for f in (theirs, ours)]
            if found[0].size != found[1].size or found[0].tobytes() != found[1].tobytes():
                raise refusal
