"""Randomisation of the weights from the scores down: whether a map notices that the network is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saliency_core.combine import resize
from saliency_core.errors import UnknownNameError
from saliency_core.explain import explain
from saliency_core.explanation import Explanation
from saliency_core.metrics.randomisation_result import RandomisationResult, Stage
from saliency_core.metrics.randomised_network import randomisation_stages, randomised
from saliency_core.metrics.ranks import pearson, ranks
from saliency_core.metrics.similarity import WINDOW, WindowedMap
from saliency_core.models.classifier import Classifier
from saliency_core.models.layers import Layer
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import name_tuple, unknown


def randomisation_test(
    classifier: Classifier,
    image: Image.Image | Tensor,
    target: int | str | None = None,
    methods: Iterable[str] | None = None,
    layers: Iterable[str | Layer] | None = None,
    *,
    stages: Iterable[str] | None = None,
    seed: int = 0,
    fit: str = "crop",
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    partial: Callable[[RandomisationResult], None] | None = None,
) -> RandomisationResult:
    """Explain a photo while the network's weights are drawn anew, from the scores down, stage after stage.

    Every map is compared to that of the trained network, both resized to the input, by Spearman's ρ and by
    the structural similarity. A method that barely changes does not depend on what the network has learnt.
    See :func:`randomised` for how weights are drawn; the given classifier is not changed.

    Source: Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018.

    Args:
        target: the class explained throughout; the most likely one of the trained network if None.
        image, methods, layers, fit, lock: as for :func:`saliency_core.explain`, which also lists the errors.
        stages: names of :func:`randomisation_stages` down to which weights are drawn; all if None.
        seed: of the new weights.
        progress: called with (explanations done, explanations in all).
        partial: called with the result so far after every stage.

    Raises:
        UnknownNameError: an unknown stage, with the choices.
        NetworkError, NonFiniteError: the network fails with the new weights.
    """
    found = randomisation_stages(classifier)
    known = tuple(stage.name for stage in found)
    chosen = known if stages is None else name_tuple(stages, "stage")
    for name in chosen:
        if name not in known:
            raise UnknownNameError(unknown("stage", name, known))
    trained = explain(classifier, image, target, layers, methods, fit=fit, lock=lock)
    total = 1 + len(chosen)
    progress(1, total)
    keys = [(method, layer.name) for method in trained.methods for layer in trained.layers_of(method)]
    compared = {key: _Reference.of(trained, key) for key in keys}
    explanations: list[Explanation] = []
    likeness: dict[tuple[str, str], list[tuple[float | None, float | None]]] = {key: [] for key in keys}
    done: list[Stage] = []
    result = RandomisationResult((), trained, (), {}, {})
    for stage in (each for each in found if each.name in chosen):
        network = randomised(classifier, stage.name, seed)
        after = explain(network, image, trained.target, layers, trained.methods, fit=fit, lock=lock)
        explanations.append(after)
        done.append(stage)
        for key in keys:
            likeness[key].append(compared[key].likeness(after))
        result = RandomisationResult(
            tuple(done),
            trained,
            tuple(explanations),
            {key: tuple(rho for rho, _ in each) for key, each in likeness.items()},
            {key: tuple(alike for _, alike in each) for key, each in likeness.items()},
        )
        progress(1 + len(done), total)
        if partial is not None:
            partial(result)
    return result


@dataclass(frozen=True)
class _Reference:
    """A map of the trained network, to be compared with others; None for a constant one."""

    key: tuple[str, str]
    size: tuple[int, int]
    ranked: NDArray[np.float64] | None
    windowed: WindowedMap | None

    @classmethod
    def of(cls, trained: Explanation, key: tuple[str, str]) -> _Reference:
        if trained.constant(*key):
            return cls(key, trained.size, None, None)
        large = resize(trained.map(*key), trained.size)
        windowed = WindowedMap.of(large) if min(trained.size) >= WINDOW else None
        return cls(key, trained.size, ranks(large), windowed)

    def likeness(self, after: Explanation) -> tuple[float | None, float | None]:
        """ρ and structural similarity."""
        if self.ranked is None or after.constant(*self.key):
            return None, None
        large = resize(after.map(*self.key), self.size)
        alike = None if self.windowed is None else self.windowed.similarity(WindowedMap.of(large))
        return pearson(self.ranked, ranks(large)), alike
