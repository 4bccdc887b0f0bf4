"""What a user interface needs to know of a model, read off its loaded network."""

from __future__ import annotations

from torch import nn

from saliency_core.engine.request import ModelInfo
from saliency_core.methods.availability import is_convolution, unavailable
from saliency_core.methods.registry import METHODS
from saliency_core.models.catalogue.labels import are_features
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.classifier import Classifier


def info_of(spec: ModelSpec, classifier: Classifier) -> ModelInfo:
    """Labels, layers, unavailable methods and whatever else a user interface needs of a loaded model."""
    reasons = {name: unavailable(classifier, name) for name in METHODS}
    convolutions = frozenset(
        layer.name for layer in classifier.layers if is_convolution(classifier, layer.name)
    )
    return ModelInfo(
        name=spec.name,
        title=spec.title,
        labels=classifier.labels,
        layers=classifier.layers,
        default_layers=classifier.default_layers,
        presets=spec.presets,
        unavailable={name: reason for name, reason in reasons.items() if reason is not None},
        notice=getattr(classifier, "notice", None),
        convolutions=convolutions,
        linear=frozenset(name for name in convolutions if isinstance(classifier.modules[name], nn.Linear)),
        random=spec.random,
        library=spec.library,
        features=are_features(classifier.labels),
        left_out=_left_out(classifier),
    )


def _left_out(classifier: Classifier) -> dict[str, str]:
    """The blocks without maps beside default layers of the same kind, with the reasons."""
    modules, refused = classifier.modules, classifier.survey.refused
    rows = {
        (name.rpartition(".")[0], type(modules[name]))
        for name in classifier.default_layers
        if name in modules and any(modules[name].children())
    }
    return {
        name: refused[name]
        for name, module in modules.items()
        if name in refused and (name.rpartition(".")[0], type(module)) in rows
    }
