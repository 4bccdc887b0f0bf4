"""Ways to mix the maps of a network's layers, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from saliency_core.combine import HOW, PRESETS
from saliency_core.errors import UnknownNameError
from saliency_core.registry import unknown


@dataclass(frozen=True)
class Mix:
    """A way to mix the layers' maps; see :func:`saliency_core.combine`."""

    name: str
    how: str
    """``"product"`` or ``"sum"``."""
    preset: str | Mapping[str, float]
    """As for :func:`saliency_core.layer_weights`."""


def mix_named(name: str, presets: Mapping[str, Mapping[str, float]] | None = None) -> Mix:
    """A mix by its name: a preset of weights, then how to mix.

    Raises:
        UnknownNameError: another name, with the choices.

    >>> mix_named("uniform product").how
    'product'
    """
    known: dict[str, str | Mapping[str, float]] = {each: each for each in PRESETS} | dict(presets or {})
    mixes = {
        f"{title} {how}": Mix(f"{title} {how}", how, preset) for title, preset in known.items() for how in HOW
    }
    if name not in mixes:
        raise UnknownNameError(unknown("mix", name, tuple(mixes)))
    return mixes[name]
