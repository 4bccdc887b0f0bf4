"""The second step of a batch: its photos are explained together, and every map is scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from saliency_core.errors import NonFiniteError
from saliency_core.evaluation.curves import curve_rows
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.reading import Subject
from saliency_core.evaluation.rows import Row
from saliency_core.evaluation.workload import Item
from saliency_core.explain import explain_many
from saliency_core.explanation import Explanation
from saliency_core.metrics.scores import MapScore, score_explanation
from saliency_core.models.classifier import Classifier
from saliency_core.models.targets import Goal, MostLikelyOf
from saliency_core.progress import Lock


def pair_rows(
    classifier: Classifier, plan: EvaluationPlan, subjects: Sequence[Subject], lock: Lock
) -> Iterator[Row]:
    """The rows of pairs of a photo and a class."""
    inputs = [subject.photo.x for subject in subjects]
    goals = [goal(classifier, subject.item) for subject in subjects]
    for subject, found in zip(subjects, explained(classifier, plan, inputs, goals, lock), strict=True):
        if isinstance(found, str):
            yield subject.left_out(found)
            continue
        row = of_class(subject.row, found)
        if subject.objects is not None:
            seen = replace(found, box=subject.photo.region)
            for score in score_explanation(
                seen,
                subject.objects,
                mixes=plan.mixes or (),
                photo_size=subject.photo.size,
                tolerance=plan.tolerance,
            ):
                yield from _score_rows(row, score, plan)
        if any(measure.perturbs for measure in plan.measures):
            yield from curve_rows(classifier, plan, subject, row, found, lock)


def goal(classifier: Classifier, item: Item) -> Goal:
    """The class that is explained: the most likely one of those that the item's class stands for."""
    if len(item.indices) == 1:
        return item.indices[0]
    return MostLikelyOf(item.indices or tuple(range(len(classifier.labels))))


def of_class(row: Row, explanation: Explanation) -> Row:
    """A row that says which class was explained."""
    return row._replace(
        class_index=explanation.target, label=explanation.label, probability=explanation.probability
    )


def explained(
    classifier: Classifier,
    plan: EvaluationPlan,
    inputs: Sequence[Tensor],
    goals: Sequence[Goal],
    lock: Lock,
) -> list[Explanation | str]:
    """The explanations of prepared photos, together; or why there is none for one of them."""
    if not inputs:
        return []
    try:
        return list(explain_many(classifier, list(inputs), list(goals), plan.layers, plan.methods, lock=lock))
    except NonFiniteError as error:
        if len(inputs) == 1:
            return [str(error)]
    pairs = zip(inputs, goals, strict=True)
    return [found for x, each in pairs for found in explained(classifier, plan, [x], [each], lock)]


def _score_rows(row: Row, score: MapScore, plan: EvaluationPlan) -> Iterator[Row]:
    row = row._replace(method=score.method, layer=score.layer)
    for name in plan.metrics or ():
        if name == "pointing":
            u, v = score.point or (None, None)
            yield row._replace(
                metric=name, value=float(bool(score.hit)), undefined=score.hit is None, u=u, v=v
            )
        elif name == "energy":
            yield row._replace(metric=name, value=score.energy, undefined=score.energy is None)
