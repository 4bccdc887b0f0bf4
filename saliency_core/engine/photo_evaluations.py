"""Evaluations of the maps of one photo that take many passes of the network."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from saliency_core.combine import FloatMap, combine
from saliency_core.deferred import deferred
from saliency_core.engine.evaluations import Answer, EvaluationRequest, Helpers
from saliency_core.engine.perturbation import Perturbation
from saliency_core.engine.request import ExplainRequest
from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.explanation import Explanation
from saliency_core.methods.registry import METHODS, SINGLE_PASS
from saliency_core.metrics.perturbation_curve import (
    STEPS,
)
from saliency_core.metrics.randomisation_result import RandomisationResult

if TYPE_CHECKING:
    from saliency_core.engine import perturbing
    from saliency_core.metrics import randomisation
    from saliency_core.models.classifier import Classifier
else:
    perturbing = deferred("saliency_core.engine.perturbing")
    randomisation = deferred("saliency_core.metrics.randomisation")

MAX_STEPS = 255
"""The step in which a pixel is changed takes a byte."""


@dataclass(frozen=True)
class PhotoEvaluation(EvaluationRequest[Answer]):
    """An evaluation of maps on one photo; equal ones have equal answers.

    `explanation` says of which photo, network, class, fit and layers. Meta steps are not followed: what is
    evaluated is the network as it is.

    Raises:
        ArgumentTypeError: not an :class:`ExplainRequest`, or one without its class.
        ArgumentError: a request with a meta step.
    """

    explanation: ExplainRequest

    def __post_init__(self) -> None:
        if not isinstance(self.explanation, ExplainRequest) or self.explanation.target is None:
            raise ArgumentTypeError(f"explanation is {self.explanation!r}; expected a request with its class")
        if self.explanation.variant is not None:
            raise ArgumentError(
                f"explanation has the variant {self.explanation.variant}; expected a request without a meta "
                "step, as the network itself is evaluated"
            )

    @property
    def model(self) -> str:
        """The network's name."""
        return self.explanation.model

    def compute(self, classifier: Classifier, image: Image.Image | None, helpers: Helpers[Answer]) -> Answer:
        """The answer.

        Raises:
            ArgumentError: the photo was not sent.
        """
        if image is None:
            raise ArgumentError("the photo that is evaluated was not sent with the request")
        return self.evaluate(classifier, image, helpers)

    @abstractmethod
    def evaluate(self, classifier: Classifier, image: Image.Image, helpers: Helpers[Answer]) -> Answer:
        """The answer for this photo."""


# -- insertion and deletion ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class MapChoice:
    """One map of an explanation: that of `layer`, the only one that the method has, or the layers mixed.

    `weights` are the layers that are mixed, each with its weight, and `how` says how; there are none for a
    map of one layer.
    """

    method: str
    layer: str | None = None
    weights: tuple[tuple[str, float], ...] = ()
    how: str = "product"

    def of(self, found: Explanation) -> FloatMap:
        """The map itself.

        Raises:
            ArgumentError: there is nothing to mix.
            UnknownNameError: the method has no map there.
        """
        layers = found.layers_of(self.method)
        if len(layers) == 1 and layers[0].name not in {layer.name for layer in found.layers}:
            return found.map(self.method)  # the only one, of the input
        if not self.weights:
            return found.map(self.method, self.layer)
        mixed = {
            layer: weight
            for layer, weight in self.weights
            if weight > 0 and found.has(self.method, layer) and not found.constant(self.method, layer)
        }
        if not mixed:
            raise ArgumentError(
                f"there is nothing to mix of {METHODS[self.method].title}: every layer has the weight 0, or "
                "a map with the same value everywhere. Give another layer a weight, or choose one layer."
            )
        maps = [found.map(self.method, layer) for layer in mixed]
        return combine(maps, list(mixed.values()), self.how, found.size)


@dataclass(frozen=True)
class PerturbationRequest(PhotoEvaluation["Perturbation"]):
    """Insertion and deletion for some maps, and for a random order of the pixels.

    See :func:`saliency_core.metrics.perturbation.perturbation_curves` for `baseline`, `steps` and `seed`.

    Raises:
        ArgumentError: no map, or more than 255 steps.
    """

    maps: tuple[MapChoice, ...] = ()
    baseline: str = "blur"
    steps: int = STEPS
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.maps or not 1 <= self.steps <= MAX_STEPS:
            raise ArgumentError(
                f"there are {len(self.maps)} maps and {self.steps} steps; expected at least one map, and "
                f"from 1 to {MAX_STEPS} steps"
            )

    def evaluate(
        self, classifier: Classifier, image: Image.Image, helpers: Helpers[Perturbation]
    ) -> Perturbation:
        """The curves, with the pictures that the network saw."""
        asked = self.explanation
        return perturbing.perturbation(
            classifier,
            image,
            [each.of(helpers.explain(_with(asked, each.method))) for each in self.maps],
            asked.target,
            baseline=self.baseline,
            steps=self.steps,
            seed=self.seed,
            fit=asked.fit,
            helpers=helpers,
        )


def _with(request: ExplainRequest, method: str) -> ExplainRequest:
    """The request itself if it has the method, else one for that method alone: both are likely to be kept."""
    methods = SINGLE_PASS if request.methods is None else request.methods
    return request if method in methods else replace(request, methods=(method,))


# -- randomised networks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomisationRequest(PhotoEvaluation["RandomisationResult"]):
    """The maps after the weights were drawn anew stage by stage, from the output down.

    `explanation` names the methods. See
    :func:`saliency_core.metrics.randomisation.randomisation_test` for `seed`.
    """

    seed: int = 0

    def evaluate(
        self, classifier: Classifier, image: Image.Image, helpers: Helpers[RandomisationResult]
    ) -> RandomisationResult:
        """The result for all methods and layers of the explanation."""
        asked = self.explanation
        return randomisation.randomisation_test(
            classifier,
            image,
            asked.target,
            asked.methods,
            asked.layers,
            seed=self.seed,
            fit=asked.fit,
            progress=helpers.progress,
            lock=helpers.lock,
            partial=helpers.partial,
        )
