"""The numbers of the page on Grad-CAM: what averaging keeps, and how maps agree, layer by layer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

import saliency_core as sc
from pages.shared.figure import Figure
from pages.shared.registry import ASSETS

REFERENCE = "linear_approx"
"""What the others are compared with: its part above zero is Grad-CAM without the averaging."""
COMPARED = ("grad_cam", "gradient", "normgrad")
AVERAGE_LOSES_NOTHING = 0.999
POINTING_GAME = ASSETS / "data" / "pointing_game_voc07.json"


@dataclass(frozen=True)
class LayerFigures:
    """One layer: the share of gradient energy left after averaging, and the methods' rank correlations."""

    layer: str
    energy: Figure
    correlations: Mapping[str, Figure]


def layer_figures(explanation: sc.Explanation) -> tuple[LayerFigures, ...]:
    """The figures of every layer, input to output."""
    return tuple(
        LayerFigures(
            layer.name,
            _energy(explanation, layer.name),
            {method: _correlation(explanation, method, layer.name) for method in COMPARED},
        )
        for layer in explanation.layers
    )


def _energy(explanation: sc.Explanation, layer: str) -> Figure:
    share = explanation.energy(layer)
    return Figure(share, "" if share is not None else "The gradient is zero at every location of this layer.")


def _correlation(explanation: sc.Explanation, method: str, layer: str) -> Figure:
    """Spearman's rank correlation with the positive part of the linear approximation, at the layer's size."""
    reference = np.maximum(explanation.map(REFERENCE, layer), 0)
    value = sc.rank_correlation(explanation.map(method, layer), reference)
    if value is not None:
        return Figure(value)
    if explanation.constant(method, layer):
        return Figure(None, sc.METHODS[method].empty)
    return Figure(None, "No location of this layer adds to the score, so there is nothing to compare with.")


@dataclass(frozen=True)
class PointingGame:
    """Published accuracies (fractions) for one network, by method and layer."""

    network: str
    layers: tuple[str, ...]
    accuracy: Mapping[str, Mapping[str, float]]


@cache
def pointing_games() -> tuple[tuple[PointingGame, ...], str]:
    """The authors' published figures, network by network, and their source."""
    published = json.loads(POINTING_GAME.read_text(encoding="utf-8"))
    games = []
    for network, methods in published["pointing_accuracy"].items():
        accuracy = {name.replace("norm_grad", "normgrad"): by_layer for name, by_layer in methods.items()}
        games.append(PointingGame(network, tuple(accuracy["grad_cam"]), accuracy))
    return tuple(games), published["source"]
