"""The grid pointing game: photos of several classes in one picture, and a map's share in the right cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

from PIL import Image, ImageOps

from saliency_core.combine import FloatMap, checked_size
from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.metrics.localisation import Box, energy_inside
from saliency_core.registry import listed

MOST_CELLS = 8
"""Along one side: with more, a cell of a usual input has fewer than 28 pixels."""


def compose_grid(
    images: Sequence[Image.Image], cells: int = 2, size: tuple[int, int] = (224, 224)
) -> Image.Image:
    """Photos in a grid of ``cells`` × ``cells``, row by row, as one picture of the network's input size.

    Of each photo the middle with the proportions of its cell is taken and resized (bilinear, antialiased).
    Explained with ``fit="stretch"`` the picture becomes the input without another resize.

    The authors make the picture ``cells`` times as large as the input, and let the network see all of it
    at once; here photos become smaller instead, since not every network takes other sizes.

    Source: Böhle et al., *Convolutional dynamic alignment networks for interpretable classifications*,
    CVPR 2021.

    Args:
        images: ``cells`` × ``cells`` photos, of different classes.
        cells: along one side, 2 or more.
        size: (height, width).

    Raises:
        ArgumentTypeError: not photos.
        ArgumentError: another number of photos, or cells that cannot be used.

    >>> red, blue = Image.new("RGB", (50, 40), "red"), Image.new("RGB", (30, 40), "blue")
    >>> compose_grid([red, blue, blue, red]).getpixel((10, 200))
    (0, 0, 255)
    """
    across = checked_cells(cells)
    photos = listed(images, "images", f"{across * across} photos")
    if not all(isinstance(photo, Image.Image) for photo in photos):
        raise ArgumentTypeError("images must be PIL images (see open_image)")
    if len(photos) != across * across:
        raise ArgumentError(
            f"{len(photos)} photos were given; expected {across * across} for a grid of {across} × {across}"
        )
    height, width = checked_size(size)
    if min(height, width) < across:
        raise ArgumentError(f"size is {size}; expected at least one pixel for each of {across} cells")
    columns, rows = _edges(across, width), _edges(across, height)
    grid = Image.new("RGB", (width, height))
    for index, photo in enumerate(photos):
        row, column = divmod(index, across)
        cell = (columns[column + 1] - columns[column], rows[row + 1] - rows[row])
        fitted = ImageOps.fit(photo.convert("RGB"), cell, Image.Resampling.BILINEAR)
        grid.paste(fitted, (columns[column], rows[row]))
    return grid


def cell_box(cell: int, cells: int = 2) -> Box:
    """The box of a cell, counted from 0 row by row, as fractions of the picture.

    Raises:
        ArgumentTypeError, ArgumentError: no such cell.
    """
    across = checked_cells(cells)
    if not isinstance(cell, Integral) or isinstance(cell, bool):
        raise ArgumentTypeError(f"cell is {cell!r}; expected a whole number")
    if not 0 <= int(cell) < across * across:
        raise ArgumentError(f"cell is {cell}; expected from 0 to {across * across - 1}")
    row, column = divmod(int(cell), across)
    return column / across, row / across, (column + 1) / across, (row + 1) / across


def grid_localisation(
    values: FloatMap, cell: int, cells: int = 2, size: tuple[int, int] = (224, 224)
) -> float | None:
    r"""The share of a map's positive part that lies in the cell of the class explained, in [0, 1].

    .. math:: \sum_{u \in \text{cell}} m_u^+ \Big/ \sum_u m_u^+

    1 / cells² for a map that is the same everywhere. None, for undefined, where no value is positive.

    Source: Böhle et al. 2021, as :func:`compose_grid`.

    Args:
        values: (h, w), resized to ``size`` first, bilinear.
        cell: counted from 0 row by row.
        cells: along one side.
        size: (height, width) of the network's input.

    Raises:
        ArgumentError, ArgumentTypeError: not a finite map, or no such cell.

    >>> import numpy as np
    >>> grid_localisation(np.array([[3.0, 1.0], [0.0, 0.0]]), 0, size=(2, 2))
    0.75
    """
    return energy_inside(values, [cell_box(cell, cells)], size)


def checked_cells(cells: object) -> int:
    """A number of cells along one side; raises ``ArgumentTypeError`` or ``ArgumentError``."""
    if not isinstance(cells, Integral) or isinstance(cells, bool):
        raise ArgumentTypeError(f"cells is {cells!r}; expected a whole number")
    if not 2 <= int(cells) <= MOST_CELLS:
        raise ArgumentError(f"cells is {cells}; expected from 2 to {MOST_CELLS} along one side")
    return int(cells)


def _edges(cells: int, side: int) -> list[int]:
    """Where the cells begin and end: a pixel belongs to the cell that its centre is in."""
    return [math.ceil(index * side / cells - 0.5) for index in range(cells + 1)]
