"""The numbers of the page on Grad-CAM: what averaging keeps, and how much of each map lies on the object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import saliency_core as sc
from pages.shared.figure import Figure
from saliency_core.viewer.payload import AVERAGING_METHODS

Box = tuple[float, float, float, float]

AVERAGE_LOSES_NOTHING = 0.999
AVERAGE_LOSES_LITTLE = 0.8
"""From this share of the energy on, the gradient is much the same at all locations."""

NO_GRADIENT = "The gradient is zero at every location of this layer."
NOTHING_POSITIVE = "No value of this map is positive."


@dataclass(frozen=True)
class LayerFigures:
    """One layer: the share of gradient energy left after averaging, and of each map's energy inside the box.

    `inside` has a figure for each of the page's methods, or none if no box is known.
    """

    layer: str
    locations: int
    energy: Figure
    inside: Mapping[str, Figure]


@dataclass(frozen=True)
class PhotoFigures:
    """All layers, input to output. `area` is the box's share of the input region, None if no box is known."""

    layers: tuple[LayerFigures, ...]
    area: float | None

    @property
    def last(self) -> LayerFigures:
        """The last layer shown, the one nearest to the output."""
        return self.layers[-1]


def photo_figures(explanation: sc.Explanation, boxes: Sequence[Box]) -> PhotoFigures:
    """The figures of an explanation; `boxes` are those of the explained class, as fractions of the input."""
    layers = tuple(
        LayerFigures(
            layer.name,
            layer.height * layer.width,
            _figure(explanation.energy(layer.name), NO_GRADIENT),
            {name: _inside(explanation, name, layer.name, boxes) for name in AVERAGING_METHODS if boxes},
        )
        for layer in explanation.layers
    )
    return PhotoFigures(layers, sc.energy_inside(np.ones((1, 1), np.float32), boxes) if boxes else None)


def _inside(explanation: sc.Explanation, method: str, layer: str, boxes: Sequence[Box]) -> Figure:
    if not explanation.has(method, layer):
        return Figure(None, "There is no map of this method here.")
    return _figure(sc.energy_inside(explanation.map(method, layer), boxes), NOTHING_POSITIVE)


def _figure(value: float | None, reason: str) -> Figure:
    return Figure(value, reason if value is None else "")
