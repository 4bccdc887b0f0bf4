"""How notebooks show an explanation. The viewer stands after this package: it says here how it draws one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saliency_core.explain.explanation import Explanation

Renderer = Callable[["Explanation"], "str | None"]

_renderers: list[Renderer] = []


def register(renderer: Renderer) -> None:
    """Draw explanations in notebooks with a function that returns HTML, or None to show their text alone."""
    _renderers[:] = [renderer]


def html(explanation: Explanation) -> str | None:
    """The explanation as HTML; None where nothing draws it."""
    return _renderers[0](explanation) if _renderers else None
