"""Image formats that hold a picture of another format, whose own size their header does not bind.

An icon says 16 x 16 and holds a PNG of 13,000 x 13,000. Pillow decodes the picture of an ICO while
it opens the file, and that of an ICNS or IPTC when the pixels are asked for, so the size that it
shows before says nothing. Here the inner header is read instead, with Pillow's own readers, and
nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

__all__ = ["REFUSED", "icon_size", "inner_sizes", "refused"]

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG_2000: Final = (b"\xff\x4f\xff\x51", b"\x0d\x0a\x87\x0a", b"\x00\x00\x00\x0cjP  \r\n\x87\n")
ICO: Final = b"\x00\x00\x01\x00"

#: Formats of files that are not read, and why: Pillow would hand the file to another program, or
#: to a reader of whatever format it finds inside.
REFUSED: Final = {
    "EPS": "is EPS, a program, and programs are not run",
    "WMF": "is WMF, drawing commands for another program",
    "EMF": "is EMF, drawing commands for another program",
    "IPTC": "is IPTC, a wrapper around a file of any format",
}


def refused(format: str | None) -> str | None:
    """Why files of a format are not read; None where they are."""
    return REFUSED.get(format or "")


def icon_size(file: BinaryIO) -> tuple[int, int] | None:
    """The size of the picture that Pillow decodes while it opens an ICO.

    Args:
        file: any file, from its beginning; it is left there.

    Returns:
        (height, width) in pixels; None where it is no ICO, or one that Pillow will refuse.
    """
    try:
        if file.read(4) != ICO:
            return None
        from PIL import BmpImagePlugin, IcoImagePlugin, PngImagePlugin

        file.seek(0)
        entry: Any = IcoImagePlugin.IcoFile(file).entry[0]
        at = entry["offset"] if isinstance(entry, dict) else entry.offset
        file.seek(at)
        is_png = file.read(8) == PNG
        file.seek(at)
        if is_png:
            width, height = PngImagePlugin.PngImageFile(file).size
        else:
            width, height = BmpImagePlugin.DibImageFile(file).size
            height //= 2  # the picture, and below it the mask
    except Exception:  # a damaged icon, of which Pillow will say so
        return None
    finally:
        file.seek(0)
    return height, width


def inner_sizes(opened: Any) -> Iterator[tuple[int, int]]:
    """The sizes of the pictures in an ICNS that Pillow has opened and not decoded.

    Args:
        opened: a Pillow image of any format.

    Returns:
        (height, width) of each, in pixels; nothing for other formats.
    """
    if opened.format != "ICNS" or getattr(opened, "icns", None) is None:
        return
    from PIL import Jpeg2KImagePlugin, PngImagePlugin

    icns = opened.icns
    known = {code for readers in icns.SIZES.values() for code, _ in readers}
    for code, (start, _) in icns.dct.items():
        if code not in known:
            continue
        try:
            icns.fobj.seek(start)
            head = icns.fobj.read(12)
            icns.fobj.seek(start)
            if head.startswith(PNG):
                width, height = PngImagePlugin.PngImageFile(icns.fobj).size
            elif head.startswith(JPEG_2000):
                width, height = Jpeg2KImagePlugin.Jpeg2KImageFile(icns.fobj).size
            else:
                continue  # bare pixels, of the size that the code stands for
        except Exception:  # damaged, of which Pillow will say so
            continue
        yield height, width
