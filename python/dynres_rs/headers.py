"""Sizes of image files from their headers: nothing is decoded."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from . import jpeg
from .files import check_openable, shown
from .images import _builtin
from .nested import icon_size, refused

if TYPE_CHECKING:
    from PIL import Image as PillowImage

__all__ = ["image_size"]

ORIENTATION: Final = 0x0112
#: EXIF orientations that swap height and width.
SIDEWAYS: Final = (5, 6, 7, 8)
PNG: Final = b"\x89PNG\r\n\x1a\n"
#: Bytes that hold the header of nearly every JPEG, a thumbnail of its Exif included.
HEAD: Final = 1 << 16


def image_size(path: str | os.PathLike[str], upright: bool = True) -> tuple[int, int]:
    """(height, width) in pixels that a processor would find, from the file's header alone.

    JPEGs that are well-formed are read here, ten thousand in about a second; Pillow opens the rest.

    Args:
        path: of a file that Pillow can open.
        upright: whether the family's own loader turns images as their EXIF or XMP orientation
            says: transformers' does, the original InternVL and DeepSeek-VL2 code does not.

    Returns:
        (height, width).

    Raises:
        OSError: no such file, or nothing that Pillow knows.
    """
    from PIL import Image, UnidentifiedImageError

    path = os.fspath(path)
    check_openable(path)
    name = shown(path)
    size = _jpeg_size(path, upright)
    if size is not None:
        return size
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (as Pillow opens it)
            inside = icon_size(file)
        if inside is not None:
            return inside
        with warnings.catch_warnings():
            # A size alone is no bomb; processors have their own limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                why = refused(opened.format)
                width, height = opened.size
                tags = getattr(opened, "tag_v2", None)
                if opened.format == "TIFF" and tags is not None:
                    # Pillow turns these while it loads them; some of its versions say so before.
                    width, height = int(tags[256]), int(tags[257])
                    sideways = tags.get(ORIENTATION, 1) in SIDEWAYS
                else:
                    sideways = upright and _orientation(opened) in SIDEWAYS
    except Image.DecompressionBombError:
        raise OSError(f"{name}: Pillow refuses so many pixels (Image.MAX_IMAGE_PIXELS)") from None
    except UnidentifiedImageError:
        raise OSError(f"{name}: is not an image that Pillow can read") from None
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{name}: cannot be read") from None
        raise _builtin(type(error))(f"{name}: {os.strerror(error.errno)}") from None
    except Exception:
        raise OSError(f"{name}: cannot be read") from None
    if why is not None:
        raise OSError(f"{name}: {why}")
    return (width, height) if sideways else (height, width)


def _jpeg_size(name: str, upright: bool) -> tuple[int, int] | None:
    """The size of a JPEG that Pillow is known to open, without asking it; None for any other
    file."""
    data = jpeg.head(name, HEAD)
    header = None if data is None else jpeg.header(data)
    if header is None or not header.is_opened_here:
        return None
    turn = header.orientation if upright else 1
    if turn is None:
        return None
    height, width = header.height, header.width
    return (width, height) if turn in SIDEWAYS else (height, width)


def _orientation(opened: PillowImage.Image) -> int:
    """The orientation that `ImageOps.exif_transpose` would find."""
    info: dict[Any, Any] = opened.info
    if opened.format == "PNG" and "exif" not in info and "Raw profile type exif" not in info:
        # Pillow would decode the image to look behind it.
        file = getattr(opened, "fp", None)
        late = None if file is None else _late_exif(file)
        if late is None:
            return _from_xmp(opened)
        info["exif"] = late
    return int(opened.getexif().get(ORIENTATION, 1))


def _from_xmp(opened: PillowImage.Image) -> int:
    """As `Image.getexif` reads it where there is no EXIF, without the decoding."""
    from PIL import Image

    bare = Image.new("1", (1, 1))
    for key in ("XML:com.adobe.xmp", "xmp"):
        if key in opened.info:
            bare.info[key] = opened.info[key]
    return int(bare.getexif().get(ORIENTATION, 1))


def _late_exif(file: Any) -> bytes | None:
    """The eXIf chunk of a PNG wherever it stands, found from chunk to chunk."""
    stream: BinaryIO = file
    here = stream.tell()
    try:
        stream.seek(0)
        if stream.read(8) != PNG:
            return None
        while len(head := stream.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind == b"eXIf":
                return b"Exif\x00\x00" + stream.read(length)
            if kind == b"IEND":
                return None
            stream.seek(length + 4, 1)
        return None
    finally:
        stream.seek(here)
