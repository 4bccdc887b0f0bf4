"""The authors' published accuracies in the pointing game, and one's own beside them with what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from saliency_core.errors import ArgumentError
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.summary import CellScore, Summary, method_title
from saliency_core.export.tables import Table

FIGURES = Path(__file__).with_name("pointing_game_voc07.json")
NETWORKS: Mapping[str, str] = {"vgg16": "VGG-16", "resnet50": "ResNet-50"}
TOLERANCE = 15.0
"""The authors', in pixels of the photo."""


@dataclass(frozen=True)
class PointingGame:
    """Published accuracies (fractions) for one network, by method and layer."""

    network: str
    layers: tuple[str, ...]
    accuracy: Mapping[str, Mapping[str, float]]


@cache
def pointing_games() -> tuple[tuple[PointingGame, ...], str]:
    """The authors' published figures, network by network, and their source.

    The names of the methods are those of ``METHODS``. What is only published has other ones: those that
    end in ``_meta``, after the meta step, and ``guided_backprop_sum``.
    """
    published = json.loads(FIGURES.read_text(encoding="utf-8"))
    games = []
    for network, methods in published["pointing_accuracy"].items():
        accuracy = {name.replace("norm_grad", "normgrad"): by_layer for name, by_layer in methods.items()}
        games.append(PointingGame(network, tuple(accuracy["grad_cam"]), accuracy))
    return tuple(games), published["source"]


@dataclass(frozen=True)
class ComparedCell:
    """A published accuracy and one's own."""

    method: str
    layer: str
    published: float
    here: CellScore


@dataclass(frozen=True)
class Comparison:
    """One's own accuracies beside the published ones, for the methods and layers that both have."""

    network: str
    cells: tuple[ComparedCell, ...]
    differences: tuple[str, ...]
    """What was done otherwise than by the authors, in sentences: so the figures need not be equal."""
    source: str

    def table(self) -> Table:
        """A row for each method and layer."""
        head = ("Method", "Name", "Layer", "Published", "Here", "Low", "High", "Items")
        rows = [
            (
                method_title(each.method),
                each.method,
                each.layer,
                each.published,
                each.here.mean,
                each.here.low,
                each.here.high,
                each.here.count,
            )
            for each in self.cells
        ]
        title = f"Pointing game of {NETWORKS[self.network]}: published and here"
        return Table(title, f"published_{self.network}", head, rows, (self.source, *self.differences))


def published_for(model: str) -> PointingGame | None:
    """The published figures of a network with this architecture, None if there are none.

    Random weights have none, and neither has a network of one's own.

    >>> published_for("timm:resnet50.a1_in1k").layers
    ('layer1', 'layer2', 'layer3', 'layer4')
    >>> published_for("resnet50.random-7")
    """
    architecture, _, tag = model.removeprefix("timm:").partition(".")
    if tag.startswith("random"):
        return None
    return next((game for game in pointing_games()[0] if game.network == architecture), None)


def compare_with_published(summary: Summary, plan: EvaluationPlan, set_name: str = "") -> Comparison | None:
    """One's own accuracies beside the published ones; None if nothing can be compared.

    Args:
        summary: of the pointing game, with ``average="classes"``: that is what was published.
        plan: of the evaluation.
        set_name: the name of the photo set.

    Raises:
        ArgumentError: the summary is of another metric, or not averaged over classes.
    """
    if summary.metric.name != "pointing" or summary.average != "classes":
        raise ArgumentError(
            f"the summary is of {summary.metric.title} averaged over {summary.average}; the published "
            "figures are of the pointing game averaged over classes: "
            'summarise(rows, "pointing", average="classes")'
        )
    game = published_for(plan.model)
    if game is None:
        return None
    cells = tuple(
        ComparedCell(method, layer, value, here)
        for method, by_layer in game.accuracy.items()
        for layer, value in by_layer.items()
        if (here := summary.cell(method, layer)) is not None
    )
    if not cells:
        return None
    return Comparison(game.network, cells, _differences(summary, plan, set_name), pointing_games()[1])


_FITS: Mapping[str, str] = {
    "crop": "only the part cut out of its middle",
    "stretch": "the whole photo, stretched to the size of its input",
    "pad": "the whole photo, made smaller and padded to the size of its input",
}


def _differences(summary: Summary, plan: EvaluationPlan, set_name: str) -> tuple[str, ...]:
    items, photos = summary.items(), summary.photos()
    classes = len(set(summary.scores.classes.tolist()))
    counted = (
        f"{items:,} {'pair' if items == 1 else 'pairs'} of a photo and a class, on {photos:,} "
        f"{'photo' if photos == 1 else 'photos'} with {classes} {'class' if classes == 1 else 'classes'}"
    )
    name = f" of “{set_name}”" if set_name else ""
    found = [
        f"Photos: the authors took the test images of PASCAL VOC 2007; here there are {counted}{name}.",
        "Network: the authors’ networks were fine-tuned on PASCAL VOC, and their outputs are its 20 classes. "
        "Here, where several classes of the network stand for one of the photo set, the most likely of them "
        "is explained.",
        "Input: the authors’ networks saw the whole photo, its shorter side 224 pixels long, and gave scores "
        f"at several positions; here the network sees {_FITS.get(plan.fit, 'what the transform leaves')}.",
        "Maximum: the authors resized the map to the photo and took the maximum there; here it is taken at "
        "the size of the network’s input and carried over to the photo.",
    ]
    if plan.tolerance != TOLERANCE:
        found.append(f"Tolerance: {TOLERANCE:g} pixels; here {plan.tolerance:g}.")
    return tuple(found)
