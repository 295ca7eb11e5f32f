"""JPEG files: who opens them, who decodes them, and what is refused before either.

The compiled core decodes the files that it knows, byte for byte as Pillow does, and leaves every
other file to Pillow, so that the verdict on a file is Pillow's. The core says which files those are
(`src/jpeg/header.rs`); this module adds what only Python knows: Pillow's own settings, images that
were opened with Pillow, the choice of the caller, and whether the two decoders agree at all.

Training saw Pillow's bundled libjpeg-turbo. Another libjpeg may give other pixels, so a few small
files of every kind are decoded by both, once a process, before the core is trusted.
"""

from __future__ import annotations

import base64
import functools
import io
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from . import _dynres_rs as _native
from ._types import U8

if TYPE_CHECKING:
    from PIL import Image as PillowImage

__all__ = [
    "CHOICES",
    "DECODED",
    "MAX_WORK",
    "Decoding",
    "File",
    "Header",
    "check_work",
    "decode",
    "decode_pending",
    "disagreement",
    "head",
    "header",
    "is_own",
    "opened",
    "pending",
    "read",
    "status",
    "take",
]

CHOICES: Final = ("own", "pillow")
#: Blocks of 8 x 8 samples times scans of the largest file that is decoded unless asked otherwise:
#: any image of at most `max_image_pixels` by its default, at any subsampling, in 16 scans.
MAX_WORK: Final = 1 << 27

START: Final = b"\xff\xd8\xff"
ORIENTATION: Final = 0x0112
SEEN: Final = "_dynres_decoded"
#: The memory of one image, which the next one has: clearing new memory takes a tenth as long as
#: decoding.
DECODED: Final = _native.Kept(64 << 20, 0, single=True)


def _environment() -> str:
    name = os.environ.get("DYNRES_JPEG", "")
    if name not in ("", *CHOICES):
        raise ImportError(f"DYNRES_JPEG: must be one of {', '.join(CHOICES)}; got '{name[:40]}'")
    return name or "own"


#: Who decodes where a processor does not say.
DEFAULT: Final = _environment()


class Decoding(NamedTuple):
    """Who decodes JPEGs, and how much of it."""

    decoder: str = DEFAULT
    """`"own"`, where that gives Pillow's pixels, or `"pillow"`."""
    max_work: int = MAX_WORK
    """The most blocks times scans, whoever decodes."""


def take(options: dict[str, Any]) -> Decoding:
    """Takes `jpeg` and `max_jpeg_work` out of a constructor's options.

    Raises:
        TypeError: no string, no integer.
        ValueError: an unknown decoder, or work below 1.
    """
    decoder, work = options.pop("jpeg", None), options.pop("max_jpeg_work", None)
    if decoder is None:
        decoder = DEFAULT
    elif not isinstance(decoder, str):
        raise TypeError(f"jpeg: must be a string, got {type(decoder).__name__}")
    elif decoder not in CHOICES:
        raise ValueError(f"jpeg: must be 'own' or 'pillow', got '{decoder[:40]}'")
    if work is None:
        work = MAX_WORK
    elif isinstance(work, bool | np.bool_) or not isinstance(work, int | np.integer):
        raise TypeError(f"max_jpeg_work: must be an integer, got {type(work).__name__}")
    elif work < 1:
        raise ValueError(f"max_jpeg_work: must be at least 1, got {work}")
    return Decoding(decoder, int(work))


class Header(NamedTuple):
    """What the header of a file says that the core decodes."""

    height: int
    width: int
    components: int
    """1 for grey, 3 for colour."""
    subsampling: str
    progressive: bool
    orientation: int | None
    """1 to 8 as EXIF has it, or None where only Pillow's own reading of the file tells."""
    work: int
    """Blocks times scans."""
    memory: int
    """Bytes that decoding takes beside the pixels."""
    allowed: bool
    """Whether Pillow is known to open the file, all of whose segments are well-formed."""

    @property
    def is_opened_here(self) -> bool:
        """Whether Pillow would open the file, by its own plugin and without a word on its size."""
        from PIL import Image, JpegImagePlugin

        limit = Image.MAX_IMAGE_PIXELS
        opener = Image.OPEN.get("JPEG", (None,))[0]
        return (
            self.allowed
            and opener is JpegImagePlugin.jpeg_factory
            and (limit is None or self.height * self.width <= limit)
        )


class File(NamedTuple):
    """A JPEG file in memory."""

    data: bytes
    header: Header | None
    """None where the core does not decode it."""

    def turn(self, upright: bool) -> int | None:
        """The orientation to apply where the file need not be opened with Pillow, else None.

        Pillow rewrites the whole Exif of an image that it turns, and fails where that cannot be
        done: those are for it to open.
        """
        head = self.header
        if head is None or not head.is_opened_here:
            return None
        return 1 if not upright or head.orientation == 1 else None


def read(source: str | bytes) -> File | None:
    """The file, read whole; None for anything that is no JPEG, and for what cannot be read.

    Args:
        source: a path or the bytes.
    """
    if isinstance(source, bytes):
        data = source if source.startswith(START) else None
    else:
        data = head(source)
    return None if data is None else File(data, header(data))


def header(data: bytes) -> Header | None:
    """What the header says, from a file's bytes, or from those up to its first scan at least.

    The work of a progressive file is right for the whole file only.
    """
    found = _native.jpeg_header(data)
    return None if found is None else Header(*found)


def head(path: str, most: int = -1) -> bytes | None:
    """The first bytes of a JPEG, `most` of them or all; None for anything else."""
    try:
        # A pipe can be read once, and that is for Pillow.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return None
        with Path(path).open("rb", buffering=0) as file:
            if file.read(len(START)) != START:
                return None
            file.seek(0)
            return file.read(most)
    except (OSError, ValueError):  # Pillow will meet it again, and has the words
        return None


def check_work(file: File, limit: int, name: str) -> None:
    """Refuses a file whose scans would be decoded for too long.

    Raises:
        ImageTooLargeError: more blocks times scans than `limit`.
    """
    work = _native.jpeg_work(file.data) if file.header is None else file.header.work
    if work > limit:
        raise _native.ImageTooLargeError(
            f"{name}: more than max_jpeg_work={limit} blocks times scans to decode, got {work}"
        )


def decode(file: File, turn: int, fallback: Callable[[], Any] | None = None) -> Any:
    """The pixels of a file, or what stands for them, or None: then Pillow must decode it.

    Args:
        file: with a header.
        turn: the EXIF orientation to apply, 1 to 8.
        fallback: what to call for Pillow's image, of mode RGB and turned, should the file turn out
            not to be the core's after all. Without it the file is decoded at once.

    Returns:
        (H, W, 3) uint8, equal to Pillow's `convert("RGB")` after its `exif_transpose`; or an object
        for `Spec.run`, which decodes rows while it uses them.
    """
    head = file.header
    if head is None:
        return None
    if fallback is not None:
        return _native.Jpeg(file.data, fallback, turn)
    sides = (head.width, head.height) if turn > 4 else (head.height, head.width)
    pixels: U8 = DECODED.empty((*sides, 3), "uint8")
    return pixels if _native.jpeg_decode(file.data, pixels, turn) else None


def opened(
    image: PillowImage.Image, file: File, upright: bool, fallback: Callable[[], Any] | None = None
) -> Any:
    """The same for a file that Pillow has opened, whose pixels nobody has asked for.

    Args:
        image: by `Image.open`, nothing loaded yet.
        file: what it was opened from.
        upright: whether to turn the image as its EXIF or XMP orientation says.
        fallback: as in `decode`.
    """
    head = file.header
    if head is None or not _is_plain(image):
        return None
    if (head.height, head.width) != (image.height, image.width):
        return None
    if image.mode != ("L" if head.components == 1 else "RGB"):
        return None
    try:
        turn = _orientation(image) if upright else 1
    except Exception:  # whatever it is, Pillow meets it again when it turns the image
        return None
    return decode(file, turn, fallback)


def pending(image: Any) -> File | None:
    """The file of a JPEG that was opened with Pillow and not decoded yet; else None.

    Args:
        image: a Pillow image of any kind; left as it is.
    """
    plugin = sys.modules.get("PIL.JpegImagePlugin")
    if plugin is None or not isinstance(image, plugin.JpegImageFile) or not image.tile:
        return None
    try:
        stream: Any = image.fp
        at = stream.tell()
        # Without a size a buffered file is read in two copies, at 12 MP for 2 ms more.
        size = stream.seek(0, io.SEEK_END) if isinstance(stream, io.BufferedReader) else None
        stream.seek(0)
        data = stream.read() if size is None else stream.read(size)
        stream.seek(at)
    except (OSError, ValueError, AttributeError):
        return None
    if not isinstance(data, bytes) or not data.startswith(START):
        return None
    return File(data, header(data))


def decode_pending(image: Any, file: File, fallback: Callable[[], Any] | None = None) -> Any:
    """The pixels of a `pending` image, or what stands for them, or None: then Pillow decodes it.

    The image stays as it is: it decodes itself when its pixels are asked for. What it has open it
    keeps in memory instead where Pillow's decoding would have closed it. An image that comes a
    second time is one whose pixels somebody keeps, so that time Pillow decodes it, for good.

    Returns:
        as `decode`; orientation is left alone.
    """
    if SEEN in image.__dict__ or not _is_plain(image):
        return None
    image.__dict__[SEEN] = True
    pixels = opened(image, file, False, fallback)
    closes = image._exclusive_fp and getattr(image, "_close_exclusive_fp_after_loading", False)
    if pixels is not None and closes:
        stream, image.fp = image.fp, io.BytesIO(file.data)
        stream.close()
    return pixels


def _is_plain(image: Any) -> bool:
    """Whether Pillow's own code would decode the image, whole and from the file's start."""
    from PIL import ImageFile, JpegImagePlugin

    kind: Any = type(image)
    return bool(
        isinstance(image, JpegImagePlugin.JpegImageFile)
        and kind.load is ImageFile.ImageFile.load
        and kind.load_read is JpegImagePlugin.JpegImageFile.load_read
        and image.tile == [("jpeg", (0, 0, *image.size), 0, (image.mode, ""))]
        and not image.decoderconfig
    )


def _orientation(image: PillowImage.Image) -> int:
    """The orientation, 1 to 8, as `ImageOps.exif_transpose` finds it; raises where that would."""
    exif = image.getexif()
    turn = exif.get(ORIENTATION, 1)
    if turn not in range(2, 9):
        return 1
    exif.tobytes()
    return int(turn)


# Whether the decoders agree


def is_own(decoding: Decoding) -> bool:
    """Whether the core decodes what it can: it is asked to, and agrees with Pillow."""
    return decoding.decoder == "own" and disagreement() is None


@functools.cache
def disagreement() -> str | None:
    """The kind of JPEG that the core and the installed Pillow decode differently; None is well.

    A few small files are decoded by both, the first time in a process.
    """
    from PIL import Image

    from ._jpeg_samples import SAMPLES

    for name, text in SAMPLES.items():
        data = base64.b85decode(text)
        try:
            with Image.open(io.BytesIO(data)) as image:
                theirs = np.asarray(image.convert("RGB"))
        except Exception:  # a Pillow without JPEGs, or one that decodes otherwise
            return name
        ours = np.empty_like(theirs)
        if not _native.jpeg_decode(data, ours) or not np.array_equal(ours, theirs):
            return name
    return None


def status() -> str:
    """Who decodes JPEGs in this process, and why, for `dynres doctor`."""
    from PIL import features

    theirs = f"Pillow's libjpeg {features.version_codec('jpg')}"
    turbo = features.version_feature("libjpeg_turbo") if features.check("libjpeg_turbo") else None
    if turbo is not None:
        theirs = f"Pillow's libjpeg-turbo {turbo}"
    if DEFAULT == "pillow":
        return f"{theirs} decodes, as DYNRES_JPEG asks"
    differs = disagreement()
    if differs is not None:
        return f"{theirs} decodes: it gives other pixels than dynres_rs would ({differs})"
    return f"dynres_rs decodes, with the pixels of {theirs}; unusual files are Pillow's"
