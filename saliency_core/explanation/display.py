"""How notebooks show an explanation. The viewer stands after this package: it says here how it draws one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_renderers: list[Callable[[Any], str | None]] = []


def register(renderer: Callable[[Any], str | None]) -> None:
    """Draw explanations in notebooks with a function that returns HTML, or None to show their text alone."""
    _renderers[:] = [renderer]


def notebook_html(explanation: object) -> str | None:
    """The explanation as HTML; None where nothing draws it."""
    return _renderers[0](explanation) if _renderers else None
