"""The viewer in a notebook: a page in a frame, which needs no kernel and is saved with the notebook."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from typing import Any

from PIL import Image

from saliency_core.errors import ArgumentError, SaliencyError
from saliency_core.explanation import Explanation
from saliency_core.texts import one_line
from saliency_core.viewer.html import checked_view, entries, page

TABS = {
    "compare": ("compare", "mix"),
    "mix": ("compare", "mix"),
    "framework": ("compare", "framework"),
    "classes": ("compare", "classes"),
    "why": ("compare", "why"),
    "point": ("compare", "point"),
}
"""Mode -> what can be shown beside it: a notebook keeps no maps that these do not need."""

HEIGHTS = {"compare": 960, "mix": 960, "framework": 1000, "classes": 960, "why": 960, "point": 960}
"""The height of the frame by mode, in CSS pixels: maps and their controls are in sight at once."""

MIN_HEIGHT = 200

FINE_BYTES = 900_000
"""Maps that take up to this many bytes are kept with 16 bits, others with 8: a notebook has many outputs."""


@dataclass(frozen=True)
class NotebookView:
    """The viewer as a notebook shows it: the last value of a cell, or given to ``display``."""

    page: str
    """The HTML of the page in the frame."""
    height: int
    """Of the frame, in CSS pixels."""
    summary: str
    """What is shown, in words."""

    def _repr_html_(self) -> str:
        """A frame whose page can run its own script and nothing else: no cookies, no network, no notebook."""
        page, title = html.escape(self.page), html.escape(one_line(self.summary))
        return (
            f'<iframe srcdoc="{page}" title="{title}" width="100%" height="{self.height}" frameborder="0" '
            'sandbox="allow-scripts allow-downloads"></iframe>'
        )

    def __repr__(self) -> str:
        return f"NotebookView({self.summary})"


def show(
    *explanations: Explanation,
    mode: str = "compare",
    height: int | None = None,
    title: str = "",
    caption: str = "",
    photo: Image.Image | str | os.PathLike[str] | None = None,
    **view: Any,
) -> NotebookView:
    """Show explanations in a notebook, with the whole viewer.

    The view is the value of the last line of a cell, or is given to IPython's ``display``. What is seen needs
    neither the kernel nor a network, and is saved with the notebook. It has the methods that `mode` needs;
    :func:`save_html` saves a page with all.

    Args:
        explanations: what :func:`explain` returned.
        mode: ``"compare"``, ``"mix"``, ``"framework"``, ``"why"``, ``"point"``,
            or ``"classes"`` for two explanations of
            one photo.
        height: of the frame, in pixels; None for one that fits the mode.
        title, caption: texts above the viewer.
        photo, view: as for :func:`save_html`.

    Raises:
        ArgumentError, ArgumentTypeError: as for :func:`save_html`; or not a height.
    """
    if height is not None and (type(height) is not int or height < MIN_HEIGHT):
        raise ArgumentError(f"height is {height!r}; expected a number of pixels of at least {MIN_HEIGHT}")
    shown = entries(explanations, mode, photo)
    drawn = page(
        shown,
        mode=mode,
        view=checked_view(view, explanations),
        title=title,
        caption=caption,
        tabs=TABS[mode],
        fine_bytes=FINE_BYTES,
        framed=True,
    )
    summary = ", ".join(repr(each) for each in explanations)
    return NotebookView(drawn, HEIGHTS[mode] if height is None else height, summary)


def explanation_html(explanation: Explanation) -> str | None:
    """The viewer for an explanation by itself; None if there is nothing to draw it on."""
    try:
        return show(explanation)._repr_html_()
    except SaliencyError:
        return None
