"""A view given in Python, checked and completed with the defaults that the browser takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saliency_core.combine import numbers
from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from saliency_core.explanation import Explanation
from saliency_core.methods.registry import METHODS
from saliency_core.models.layers import layer_name
from saliency_core.registry import listed, unknown
from saliency_core.viewer.payload import default_layer
from saliency_core.viewer.schema import (
    DEFAULT_METHODS,
    OBJECTS,
    VIEW,
    Boxes,
    Choice,
    Column,
    Flag,
    LayerName,
    MethodName,
    Number,
    Value,
    View,
    Weights,
)


def complete(view: View | Mapping[str, Any], explanation: Explanation) -> dict[str, Value]:
    """Every field of the view: what is given, checked, and the defaults for the rest.

    The defaults are those of the schema and, for the methods and the layer, those of the explanation, as
    ``completeView`` in ``web/core/view.js`` has them; a field that is None counts as not given. Weights may
    be given in the order of the layers or by their names, as one number per layer or as none for equal ones;
    here they are one number from 0 to 1 for every layer.

    Raises:
        UnknownNameError: a field that no view has, or a method, layer or choice that does not exist, with the
            choices.
        ArgumentTypeError, ArgumentError: a value that the field cannot have.
    """
    found: dict[str, Value] = {name: field.default for name, field in VIEW.items()}
    found.update(_defaults(explanation))
    for name, value in view.items():
        if name not in VIEW:
            raise UnknownNameError(unknown("field of the view", name, tuple(VIEW)))
        if value is not None:
            found[name] = _checked(name, value, explanation)
    found["weights"] = _weights(found["weights"], [layer.name for layer in explanation.layers])
    return found


def _defaults(explanation: Explanation) -> dict[str, Value]:
    names, stages = explanation.methods, explanation.subject.default_layers
    left, right = (name if name in names else names[0] for name in DEFAULT_METHODS)
    here = [layer.name for layer in explanation.layers]
    layer = default_layer([name for name in here if name in stages] or here)
    return {"left": left, "right": right, "layer": layer}


def _checked(name: str, value: Any, explanation: Explanation) -> Value:
    kind = VIEW[name].kind
    if isinstance(kind, MethodName):
        return method_name(value, explanation)
    if isinstance(kind, Column) and isinstance(value, str) and value in kind.others:
        return value
    if isinstance(kind, LayerName):
        layers = tuple(layer.name for layer in explanation.layers)
        layer = layer_name(value)
        if not isinstance(layer, str) or layer not in layers:
            raise UnknownNameError(unknown("layer", layer, layers))
        return layer
    if isinstance(kind, Choice):
        if not isinstance(value, str) or value not in kind.choices:
            raise UnknownNameError(unknown(name, value, kind.choices))
        return value
    if isinstance(kind, Flag):
        if not isinstance(value, bool | np.bool_):
            raise ArgumentTypeError(f"{name} is {value!r}; expected True or False")
        return bool(value)
    if isinstance(kind, Number):
        given = numbers(value, name)
        if given.ndim != 0 or not kind.low <= float(given) <= kind.high:
            raise ArgumentError(f"{name} is {value!r}; expected a number from {kind.low:g} to {kind.high:g}")
        return float(given)
    if isinstance(kind, Weights):
        return _given_weights(value, [layer.name for layer in explanation.layers])
    if isinstance(kind, Boxes):
        return _boxes(value, kind)
    usable = kind.from_browser(value, [layer.name for layer in explanation.layers])
    if usable is None:
        raise ArgumentTypeError(f"{name} is {value!r}; expected names of layers")
    return usable


def _boxes(value: Any, kind: Boxes) -> Value:
    given: object = value
    if not isinstance(value, str):
        given = [numbers(box, "a box").tolist() for box in listed(value, "boxes", "a list of boxes")]
    boxes = kind.from_browser(given, ())
    if boxes is None:
        raise ArgumentError(
            f"boxes is {value!r}; expected {OBJECTS!r}, or at most {kind.most} boxes (left, top, right, "
            "bottom) in the photo's pixels, with left < right and top < bottom"
        )
    return boxes


def method_name(value: Any, explanation: Explanation) -> str:
    """The name of one of the explanation's methods, checked.

    Raises:
        UnknownNameError: a method that does not exist, or that was not computed.
    """
    if isinstance(value, str) and value in METHODS and value not in explanation.methods:
        raise UnknownNameError(
            f"{value!r} was not computed; name it when you explain: methods=[..., {value!r}]"
        )
    if not isinstance(value, str) or value not in explanation.methods:
        raise UnknownNameError(unknown("method", value, explanation.methods))
    return value


def _given_weights(value: Any, layers: Sequence[str]) -> tuple[float, ...]:
    if isinstance(value, Mapping):
        names = {layer_name(name): weight for name, weight in value.items()}
        for name in names:
            if name not in layers:
                raise UnknownNameError(unknown("layer", name, tuple(layers)))
        value = [names.get(layer, 0.0) for layer in layers]
    given = numbers(value, "weights")
    if given.size == 0:
        return ()
    if given.shape != (len(layers),):
        raise ArgumentError(f"{given.size} weights were given for {len(layers)} layers; expected one each")
    if not np.isfinite(given).all() or (given < 0).any():
        raise ArgumentError(f"weights are {given.tolist()}; expected finite numbers >= 0")
    return tuple(given.tolist())


def _weights(given: Value, layers: Sequence[str]) -> tuple[float, ...]:
    """One weight per layer, scaled down if one exceeds 1, the end of the sliders."""
    values = [float(each) for each in given] if isinstance(given, tuple) and given else [1.0] * len(layers)
    highest = max(1.0, *values)
    return tuple(value / highest for value in values)
