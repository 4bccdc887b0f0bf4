"""From a photo's file to RGB pixels: one function, one error.

Files are untrusted: everything that can be wrong with one is found here and reported in one sentence;
the rest of the package only ever sees an 8-bit RGB image of a sane size.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from saliency_core.errors import ArgumentTypeError, ImageError
from saliency_core.inputs import containers

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_RATIO",
    "MIN_SIDE",
    "ImageError",
    "file_name",
    "image_size",
    "open_image",
]

FORMATS: Final = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")
MAX_PIXELS: Final = 40_000_000
MAX_BYTES: Final = 64 * 2**20
MIN_SIDE: Final = 8
MAX_RATIO: Final = 50
_FILE_NAME: Final = "file name"

_ACCEPTED: Final = ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]

# EXIF orientation -> what brings the picture upright (EXIF 2.32, tag 0x0112).
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    *,
    max_pixels: int = MAX_PIXELS,
    upright: bool = True,
    name: str = "",
) -> Image.Image:
    """Read a photo into an upright 8-bit RGB image.

    JPEG, PNG, WebP, GIF, BMP and TIFF are read, of animations and documents the first frame or page.
    The result carries no metadata but the name of its file (see `file_name`), and no open file. How other
    pixels become RGB:

    - EXIF orientation is applied; an EXIF block that cannot be read counts as upright.
    - Transparent pixels are blended with white.
    - 16 bits per channel: grey is divided by 257 and rounded (65535 to 255); colour keeps the high byte.
    - 32-bit integers and floats: floats within 0..1 are multiplied by 255, values within 0..255 are rounded,
      any other range is stretched from its own minimum..maximum to 0..255. NaN counts as the minimum,
      an infinity as the end it lies at.
    - CMYK, YCbCr and CIELAB are converted by their textbook formulas. Embedded colour profiles are not
      applied: the networks were trained on raw RGB values.

    The file is checked before any pixel is decoded: at most `max_pixels` pixels, 64 MiB of file, at least
    8 pixels a side, at most 50:1, and no more segments, scans, strips or runs than a photo of its size may
    have (see `saliency_core.inputs.containers`); its metadata are not given to the decoder. Pillow's own
    limit on pixels (`PIL.Image.MAX_IMAGE_PIXELS`) is left as it is; twice that limit still holds for a
    `max_pixels` above it. Safe to call from many threads.

    Args:
        source: a path, the file's bytes, or a binary file (read from its start where it can seek).
        max_pixels: the largest width x height accepted.
        upright: whether EXIF orientation is applied; False gives the pixels as they are stored (except those
            of a TIFF, which is turned while it is decoded).
        name: the name of the file, where `source` is not its path.

    Raises:
        ImageError: whatever is wrong with the file.
        TypeError: `source` is none of the above.

    Example:
        >>> open_image("assets/samples/chelsea.png").size
        (451, 300)
    """
    data = _read(source)
    if not data:
        raise ImageError("The file is empty (0 bytes); save or download it again.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than {MAX_BYTES // 2**20} MB; save it smaller and try again.")
    try:
        found = containers.pixels(data)
        _check_size(found.size, max_pixels)
        with Image.open(io.BytesIO(found.file()), formats=FORMATS) as image:
            _check_size(image.size, max_pixels)
            image.load()
            turn = _UPRIGHT.get(found.orientation) if upright else None
            rgb = _to_rgb(image if turn is None else image.transpose(turn))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"The image has too many pixels; at most {max_pixels / 1e6:g} megapixels can be read: "
            "make it smaller and try again."
        ) from error
    except MemoryError as error:
        raise ImageError(
            "The image needs more memory than there is; make it smaller and try again."
        ) from error
    except Exception as error:
        # Pillow's decoders raise whatever error their parsing runs into (OSError, SyntaxError, ValueError,
        # TypeError, IndexError, KeyError, struct.error, NotImplementedError, OverflowError, ...): to the
        # person with the file they all mean the same.
        raise ImageError(_unreadable(data, error)) from error
    rgb.info.clear()
    if isinstance(source, str | os.PathLike):
        name = str(source)
    if name:
        rgb.info[_FILE_NAME] = Path(name).name
    return rgb


def image_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the photo that `open_image` makes of these bytes, from the header alone.

    The bytes may end after the header, of a JPEG at the first scan. A PNG or WebP whose EXIF block stands
    behind its pixels counts as upright where the bytes end before it.

    Raises:
        ImageError: not a photo, or one of a size that is refused.
    """
    try:
        found = containers.pixels(data)
    except ImageError:
        raise
    except Exception as error:  # as in open_image
        raise ImageError(_unreadable(data, error)) from error
    _check_size(found.size, MAX_PIXELS)
    return found.size[::-1] if found.orientation >= 5 else found.size


def file_name(image: Image.Image) -> str:
    """The name of the file that a photo was opened from, without its folder; empty if it is not known."""
    name = image.info.get(_FILE_NAME) or getattr(image, "filename", "")
    return Path(str(name)).name


def _read(source: Any) -> bytes:
    """The file's bytes, never more than one over the limit."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        if isinstance(source, str | os.PathLike):
            with Path(source).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        if not hasattr(source, "read"):
            raise ArgumentTypeError(
                f"expected a path, bytes or a binary file to read a photo from, got {type(source).__name__}"
            )
        if hasattr(source, "seek") and source.seekable():
            source.seek(0)
        data: object = source.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ImageError("There is no such file; check its name and folder.") from error
    except (OSError, ValueError) as error:
        raise ImageError("The file could not be read; check that it is a file and may be opened.") from error
    if not isinstance(data, bytes):
        raise ArgumentTypeError(
            f"expected a file opened in binary mode ('rb'), reading gave {type(data).__name__}"
        )
    return data


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"The image has {width} × {height} pixels, {width * height / 1e6:.1f} megapixels; "
            f"at most {max_pixels / 1e6:g} can be read: make it smaller and try again."
        )
    if min(size) < MIN_SIDE:
        raise ImageError(
            f"The image has {width} × {height} pixels; each side needs at least {MIN_SIDE}: "
            "choose a larger image."
        )
    if max(size) > MAX_RATIO * min(size):
        raise ImageError(
            f"The image has {width} × {height} pixels, a strip longer than {MAX_RATIO}:1; "
            "crop it closer to a square."
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _wide_grey_to_rgb(image)
    if image.mode == "LAB":
        transform = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        converted = ImageCms.applyTransform(image, transform)
        if converted is None:
            raise ValueError("the CIELAB conversion gave no image")
        return converted
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(rgba, mask=rgba.getchannel("A"))
        return canvas
    return image.convert("RGB")


def _wide_grey_to_rgb(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey: (H, W) numbers -> RGB."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        # (v + 128) // 257 is v / 257 rounded: 257 is odd, so no value lies half-way.
        grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if isinstance(transparent := image.info.get("transparency"), int):
            grey[values == transparent] = 255
    else:
        grey = _stretched(values, is_float=image.mode == "F")
    return Image.fromarray(grey).convert("RGB")


def _stretched(values: NDArray[Any], *, is_float: bool) -> NDArray[np.uint8]:
    """(H, W) 32-bit integers or floats -> uint8, by the rule in `open_image`."""
    finite = np.isfinite(values)
    if not finite.any():
        raise ImageError("The image holds no numbers, only NaN or infinity; save it again from its source.")
    start = values.flat[finite.argmax()]
    low = float(values.min(where=finite, initial=start))
    high = float(values.max(where=finite, initial=start))
    offset, factor = 0.0, 1.0
    if is_float and low >= 0 and high <= 1:
        factor = 255.0
    elif low < 0 or high > 255:
        offset, factor = low, 255.0 / (high - low) if high > low else 0.0
    grey = np.empty(values.shape, np.uint8)
    for row, line in enumerate(values):  # row by row: a float64 copy of 40 megapixels is 320 MB
        clean = np.clip(np.nan_to_num(line.astype(np.float64), nan=low, posinf=high, neginf=low), low, high)
        grey[row] = np.floor((clean - offset) * factor + 0.5)
    return grey


def _unreadable(data: bytes, error: Exception) -> str:
    name = containers.file_format(data)
    if name is None:
        return f"The file is not a photo that can be read here; choose a {_ACCEPTED} file."
    if isinstance(error, NotImplementedError):
        return f"The {name} file is of a rare kind that cannot be read here; save it again as JPEG or PNG."
    return (
        f"The {name} file is damaged or incomplete; save or download it again, or convert it to JPEG or PNG."
    )
