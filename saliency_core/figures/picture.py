"""A figure and the files that are made of it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, PngImagePlugin

from saliency_core.errors import ArgumentError, UnknownNameError
from saliency_core.figures import fonts
from saliency_core.figures.sheet import LIGHT, POINTS_PER_INCH, Item, Sheet, Theme
from saliency_core.files import file_path, write_file
from saliency_core.registry import unknown
from saliency_core.version import SOFTWARE
from saliency_core.viewer.bundle import font_face

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: Final = ("png", "svg", "pdf")
SCALES: Final = (1, 2, 4)


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A figure, ready to be saved as PNG, SVG or PDF.

    In a notebook it shows itself. `width` and `height` are in points, which are the pixels of a PNG at
    ``scale=1``; `title` says what is shown, in one line.
    """

    width: int
    height: int
    items: tuple[Item, ...] = field(repr=False)
    title: str
    theme: Theme = field(default=LIGHT, repr=False)

    @classmethod
    def of(cls, sheet: Sheet, width: int, height: int, title: str) -> Picture:
        """A finished page."""
        return cls(width, height, tuple(sheet.items), fonts.clean(title), sheet.theme)

    def __repr__(self) -> str:
        return f"<Picture: {self.title}, {self.width} × {self.height} pt>"

    def save(self, path: str | os.PathLike[str], scale: int = 2) -> Path:
        """Write a PNG, SVG or PDF file, as the suffix says; returns its path.

        Args:
            path: ends in .png, .svg or .pdf.
            scale: pixels per point of a PNG: 1, 2 or 4.

        Raises:
            UnknownNameError: another suffix.
            ArgumentError: another scale, or a file that cannot be written.
        """
        file = file_path(path)
        data = self.to_bytes(file.suffix.removeprefix(".").lower(), scale)
        write_file(file, data)
        return file

    def to_bytes(self, format: str = "png", scale: int = 2) -> bytes:
        """The content of the file; the same figure gives the same bytes.

        Args:
            format: "png", "svg" or "pdf".
            scale: pixels per point of a PNG: 1, 2 or 4.

        Raises:
            UnknownNameError: another format.
            ArgumentError: another scale.
        """
        if not isinstance(format, str) or format not in FORMATS:
            raise UnknownNameError(unknown("format", format, FORMATS))
        if format == "png":
            return _png(self.image(scale), self.title)
        buffer = io.BytesIO()
        with _drawing():
            _print(self.figure, format, buffer, self.title)
        return _with_font(buffer.getvalue()) if format == "svg" else buffer.getvalue()

    def image(self, scale: int = 2) -> Image.Image:
        """The figure in pixels, RGB; `scale` of them (1, 2 or 4) per point.

        Raises:
            ArgumentError: another scale.
        """
        if type(scale) is not int or scale not in SCALES:
            raise ArgumentError(f"scale is {scale!r}; expected 1, 2 or 4 pixels per point")
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        with _drawing():
            figure = self.figure
            figure.set_dpi(POINTS_PER_INCH * scale)
            canvas: Any = FigureCanvasAgg(figure)
            canvas.draw()
            pixels = canvas.buffer_rgba()
            return Image.frombuffer("RGBA", canvas.get_width_height(), pixels, "raw", "RGBA", 0, 1).convert(
                "RGB"
            )

    @property
    def figure(self) -> Figure:
        """A new Matplotlib figure of it."""
        from saliency_core.figures.drawing import figure_of

        with _drawing():
            return figure_of(self.items, self.width, self.height, self.theme)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """For notebooks: the picture at twice the size at which it is shown."""
        return self.to_bytes("png", 2), {"width": self.width, "height": self.height}


def _png(image: Image.Image, title: str) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Title", title)
    texts.add_text("Software", SOFTWARE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=texts, compress_level=4)
    return buffer.getvalue()


def _print(figure: Figure, format: str, buffer: io.BytesIO, title: str) -> None:
    """Write SVG or PDF."""
    about: dict[str, str | None] = {"Title": title, "Creator": SOFTWARE}
    canvas: Any
    if format == "svg":
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={**about, "Date": None})
    else:
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        canvas = FigureCanvasPdf(figure)
        canvas.print_pdf(buffer, metadata={**about, "Producer": None, "CreationDate": None})


def _with_font(svg: bytes) -> bytes:
    """An SVG with the font in it: most machines do not have it, and lines of another one would overlap."""
    style = b'<style type="text/css">'
    return svg.replace(style, style + font_face().encode(), 1)


@contextmanager
def _drawing() -> Iterator[None]:
    """One figure at a time, by these settings: text stays text, and the same figure gives the same bytes."""
    import matplotlib

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": SOFTWARE,
        "pdf.fonttype": 42,
        "text.usetex": False,
        "text.hinting": "none",
        "path.effects": [],
        "path.sketch": None,
    }
    with fonts.LOCK, matplotlib.rc_context(settings):
        yield
