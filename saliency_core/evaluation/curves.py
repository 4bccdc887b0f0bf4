"""Insertion and deletion as metrics of a photo set: the areas under the curves of every map."""

from __future__ import annotations

from collections.abc import Iterator

from saliency_core.combine import FloatMap, combine, is_constant, layer_weights
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.reading import Subject
from saliency_core.evaluation.rows import Row
from saliency_core.explanation import Explanation
from saliency_core.metrics.mixes import mix_named
from saliency_core.metrics.perturbation import perturbation_curves
from saliency_core.metrics.perturbation_curve import RANDOM
from saliency_core.models.classifier import Classifier
from saliency_core.progress import Lock


def curve_rows(
    classifier: Classifier,
    plan: EvaluationPlan,
    subject: Subject,
    row: Row,
    explanation: Explanation,
    lock: Lock,
) -> Iterator[Row]:
    """The areas under the curves of insertion and deletion of every map and mix, and of a random order."""
    maps = dict(_maps(plan, explanation))
    names = {f"{number}": key for number, key in enumerate(maps)}
    curves = perturbation_curves(
        classifier,
        subject.photo.x,
        {name: maps[key] for name, key in names.items()},
        explanation.target,
        baseline=plan.baseline,
        steps=plan.steps,
        seed=plan.seed,
        batch=plan.batch,
        lock=lock,
    )
    for name, curve in curves.items():
        method, layer = (RANDOM, "input") if name == RANDOM else names[name]
        constant = name != RANDOM and is_constant(maps[names[name]])
        for metric, area in (("insertion", curve.insertion_area), ("deletion", curve.deletion_area)):
            if metric in (plan.metrics or ()):
                value = None if constant else area
                yield row._replace(method=method, layer=layer, metric=metric, value=value, undefined=constant)


def _maps(plan: EvaluationPlan, explanation: Explanation) -> Iterator[tuple[tuple[str, str], FloatMap]]:
    """Every map, then the mixes of a method's layers: (method, layer or mix) -> (h, w)."""
    every = [layer.name for layer in explanation.layers]
    mixes = [mix_named(name, explanation.subject.presets) for name in plan.mixes or ()]
    weights = [dict(zip(every, layer_weights(every, mix.preset), strict=True)) for mix in mixes]
    for method in explanation.methods:
        maps = {layer.name: explanation.map(method, layer) for layer in explanation.layers_of(method)}
        for layer, values in maps.items():
            yield (method, layer), values
        for mix, by_layer in zip(mixes, weights, strict=True):
            own = [by_layer.get(layer, 0.0) for layer in maps]
            if sum(weight > 0 for weight in own) > 1:
                yield (method, mix.name), combine(list(maps.values()), own, mix.how, explanation.size)
