"""Which methods are defined for a network, and at which of its layers."""

from __future__ import annotations

from torch import nn

from saliency_core.backprop.attention import attention_obstacle
from saliency_core.backprop.backward_rules import obstacle
from saliency_core.methods.method import AttentionPass, Domain
from saliency_core.methods.registry import METHODS
from saliency_core.models.classifier import Classifier


def unavailable(classifier: Classifier, method: str, layer: str | None = None) -> str | None:
    """Why a method is not defined for a network (at a layer, or at all of its default layers), or None.

    Raises:
        UnknownNameError: an unknown method, with the choices.
    """
    entry = METHODS[method]
    if entry.rule is not None and (reason := obstacle(classifier, entry.rule, layer)) is not None:
        return f"{entry.needs} {reason}"
    if isinstance(entry.kind, AttentionPass) and (reason := attention_obstacle(classifier)) is not None:
        return f"{entry.needs} {reason}"
    if entry.domain is Domain.CONVOLUTIONS:
        names = classifier.default_layers if layer is None else (layer,)
        if not any(is_convolution(classifier, name) for name in names):
            others = [each.name for each in classifier.layers if is_convolution(classifier, each.name)]
            which = "None of the default layers is" if layer is None else f"Layer {layer!r} is not"
            hint = f"; {others[-1]!r} is" if others else ""
            return f"{entry.needs} {which} one{hint}."
    return None


def is_convolution(classifier: Classifier, name: str) -> bool:
    """Whether a layer is a two-dimensional convolution, or linear at every location: one of 1 × 1."""
    return isinstance(classifier.modules.get(name), nn.Conv2d | nn.Linear)
