"""What is to be evaluated: model, methods, layers, mixes and metrics, checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING

from saliency_core.combine import HOW, layer_weights
from saliency_core.deferred import deferred
from saliency_core.errors import ArgumentError, ArgumentTypeError, UnavailableError, UnknownNameError
from saliency_core.evaluation.measures import GROUPS, MEASURES, Measure
from saliency_core.inputs.preprocess import FITS
from saliency_core.methods.method import Domain
from saliency_core.methods.registry import METHODS, SINGLE_PASS
from saliency_core.metrics.mixes import mix_named
from saliency_core.metrics.perturbation_curve import BASELINES, MOST_STEPS
from saliency_core.metrics.pointing import checked_tolerance
from saliency_core.models.layers import choose_layers
from saliency_core.registry import name_tuple, unknown

if TYPE_CHECKING:
    from saliency_core.methods import availability
    from saliency_core.models.classifier import Classifier
else:
    availability = deferred("saliency_core.methods.availability")

FORMAT = 1
"""Raised when the same plan gives other numbers than before: older results are then not continued."""


@dataclass(frozen=True)
class EvaluationPlan:
    """What is evaluated, and how. Two plans with the same digest give the same rows for the same photos.

    Args:
        model: the name of the network in the catalogue, or what one's own is called.
        methods: names; if None, every single-pass method that the network has.
        layers: names; the network's default layers if None.
        mixes: mixed maps of the layers, such as ``"uniform product"``: a preset of weights and how the layers
            are combined; if None, the uniform ones and those with the weights published for the network.
        metrics: names of :data:`MEASURES`; ``"insertion_deletion"`` stands for both. If None, the pointing
            game and the energy inside for photos with boxes, else the grid pointing game of 2 × 2.
        fit: how a photo is fitted to the network's input: ``"crop"``, ``"stretch"`` or ``"pad"``.
        batch: how many maps' photos go through the network together. Results are rounded differently with
            another number.
        tolerance: of the pointing game, in pixels of the photo.
        baseline: what deleted pixels are replaced with: ``"blur"``, ``"mean"`` or ``"black"``.
        steps: of insertion and deletion.
        confidence: the probability from which on a photo may become a cell of a grid.
        seed: of the order in which photos are put into grids, and of the random order of pixels.
        limit: only the first photos of the set; all if None.

    Raises:
        UnknownNameError: a method, metric, fit or baseline that does not exist, with the choices.
        ArgumentError, ArgumentTypeError: a number that cannot be used.
        ArgumentError: insertion and deletion without named methods, as each map takes many passes.
    """

    model: str = ""
    methods: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    mixes: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    fit: str = "crop"
    batch: int = 16
    tolerance: float = 15.0
    baseline: str = "blur"
    steps: int = 32
    confidence: float = 0.5
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        for field, kind in (("methods", "method"), ("layers", "layer"), ("mixes", "mix")):
            given = getattr(self, field)
            if given is not None:
                object.__setattr__(self, field, name_tuple(given, kind))
        if self.metrics is not None:
            object.__setattr__(self, "metrics", _measure_names(self.metrics))
        for name in self.methods or ():
            METHODS[name]
        FITS[self.fit]
        BASELINES[self.baseline]
        for field, low, high in (
            ("batch", 1, 1024),
            ("steps", 1, MOST_STEPS),
            ("seed", 0, 2**32 - 1),
            ("limit", 1, 2**31),
        ):
            number = getattr(self, field)
            if number is None and field == "limit":
                continue
            if not isinstance(number, Integral) or isinstance(number, bool):
                raise ArgumentTypeError(f"{field} is {number!r}; expected a whole number")
            if not low <= int(number) <= high:
                raise ArgumentError(f"{field} is {number}; expected a number from {low} to {high}")
            object.__setattr__(self, field, int(number))
        for field, top in (("tolerance", 1e6), ("confidence", 1.0)):
            number = getattr(self, field)
            if not isinstance(number, Real) or isinstance(number, bool):
                raise ArgumentTypeError(f"{field} is {number!r}; expected a number")
            if not 0 <= float(number) <= top:  # NaN fails, too
                raise ArgumentError(f"{field} is {number}; expected a number from 0 to {top:g}")
            object.__setattr__(self, field, float(number))
        checked_tolerance(self.tolerance)
        if self.methods == ():
            raise ArgumentError("no method was named; name at least one, or leave methods out for all")
        if self.layers == () and not self.mixes:
            raise ArgumentError("neither a layer nor a mix was named; name one")
        if self.methods is None and (dear := [each.name for each in self.measures if each.perturbs]):
            raise ArgumentError(
                f"{' and '.join(dear)} {'take' if len(dear) > 1 else 'takes'} about "
                f"{self.steps * len(dear)} passes for every single map; name the methods to measure, and if "
                "you like the layers and mixes"
            )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The metrics themselves; none while the plan leaves them open."""
        return tuple(MEASURES[name] for name in self.metrics or ())

    def resolved(self, classifier: Classifier, *, boxes: bool) -> EvaluationPlan:
        """The plan with everything named that it left open, for this network.

        Args:
            classifier: whose layers and presets; a plan without a model takes its name.
            boxes: whether the photos have objects with boxes or masks.

        Raises:
            LayerError, UnknownNameError: a layer or preset that the network does not have.
            UnavailableError: a named method that is defined at none of the layers.
            ArgumentError: a metric that needs boxes, where there are none.
        """
        layers = classifier.default_layers
        if self.layers is not None:
            layers = choose_layers(classifier.survey, self.layers)
        mixes = tuple(mixes_of(classifier.presets, layers)) if self.mixes is None else self.mixes
        for mix in mixes:
            layer_weights(layers, mix_named(mix, classifier.presets).preset)
        if self.methods is None:
            methods = tuple(
                name for name in SINGLE_PASS if availability.unavailable(classifier, name) is None
            )
        else:
            methods = self.methods
            for name in methods:
                places = [None] if METHODS[name].domain is Domain.INPUT else list(layers)
                reasons = [availability.unavailable(classifier, name, layer) for layer in places]
                if reasons and None not in reasons:
                    raise UnavailableError(f"{METHODS[name].title} is not available: {reasons[0]}")
        default = ("pointing", "energy") if boxes else ("grid2",)
        plan = replace(
            self,
            model=self.model or classifier.name or classifier.title,
            methods=methods,
            layers=layers,
            mixes=mixes,
            metrics=default if self.metrics is None else self.metrics,
        )
        if not boxes and (needing := [each.title for each in plan.measures if each.needs_boxes]):
            raise ArgumentError(
                f"{needing[0]} needs photos with boxes or masks of objects, and this set has none of a class "
                "that the network knows; choose the metrics grid2, grid3 or insertion_deletion"
            )
        return plan

    @property
    def digest(self) -> str:
        """A text that differs for plans that may give different rows."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def as_json(self) -> str:
        """All fields as JSON, see :meth:`from_json`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EvaluationPlan:
        """A plan from what :meth:`as_json` gave; unknown fields are left out."""
        known = {field.name for field in fields(cls)}
        given: Mapping[str, object] = json.loads(text)
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if name in known
        }
        return cls(**values)  # type: ignore[arg-type]

    def differences(self, other: EvaluationPlan) -> list[str]:
        """What this plan has otherwise than another one, in words: ``"seed 0 instead of 1"``."""
        found = []
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                found.append(f"{field.name} {_shown(mine)} instead of {_shown(theirs)}")
        return found


def mixes_of(presets: Mapping[str, Mapping[str, float]], layers: Sequence[str]) -> list[str]:
    """The mixes that are measured when none is named: uniform ones, and those with published weights."""
    if len(layers) < 2:
        return []
    published = [title for title, weights in presets.items() if set(weights) <= set(layers)]
    return [f"{preset} {how}" for preset in ("uniform", *published) for how in reversed(HOW)]


def _measure_names(given: Iterable[str]) -> tuple[str, ...]:
    names = [each for name in name_tuple(given, "metric") for each in GROUPS.get(name, (name,))]
    for name in names:
        if name not in MEASURES:
            raise UnknownNameError(unknown("metric", name, (*MEASURES, *GROUPS)))
    if not names:
        raise ArgumentError("no metric was named; name at least one, or leave metrics out")
    return tuple(dict.fromkeys(names))


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(str, value))})"
    return "open" if value is None else str(value)
