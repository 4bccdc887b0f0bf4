"""What the page on class sensitivity says below its viewer."""

from collections.abc import Mapping, Sequence

import saliency_core as sc
from pages.shared.figure import Figure
from pages.shared.formats import rho

AT_THE_INPUT = "It has a single map, of the input; this page compares maps of layers."
SINGLE_CLASS = "This network has a single class, so there is no other one to compare it with."
COMPUTING = "Computing the maps of both classes…"
MOST_AND_LEAST = "Most and least likely"
HIGHEST_AND_LOWEST = "Highest and lowest"
FIRST_AND_SECOND = "First and second"
META = """
*Meta-saliency* asks what the network would look at **after one training step** on this photo with this class:
one step of gradient descent on the cross-entropy, of all parameters, taken on a copy. The step differs from
class to class, and so it brings class information into methods that have little. In the opposite direction,
the step **unlearns** the class.
"""
STEP_OFF = "Choose **Learn** or **Unlearn** under the maps to see how ρ changes with the size ε of the step."
DECLINED = "The other sizes of the step were not computed."
COMPUTE = "Compute them"
CURVE_TABLE = "This curve as a table"
UNDEFINED = "undefined"
CORRELATIONS = "Rank correlation of the maps of “{}” and “{}”"
SAVE = "Table as CSV"

SAME = 0.995
"""From here on a correlation is written as 1.00."""
OPPOSITE = -0.1
"""Below this, locations are opposite rather than unrelated."""
_NOTHING_LOST = 0.999


def remarks(
    lines: Mapping[str, Sequence[Figure]], layers: Sequence[str], surviving: float | None
) -> list[str]:
    """What the correlations without a meta step say, one sentence for each fact, all taken from the numbers.

    Args:
        lines: method -> its correlation at every layer, of the methods computed so far.
        layers: the layers' names, input to output.
        surviving: share of the gradient energy left after averaging at the last layer; 1 behind a global
            average pooling.
    """
    found = [
        _normgrad(lines.get("normgrad"), layers[-1], surviving),
        _eigen_cam(lines.get("eigen_cam")),
        _most_opposite(lines, layers),
        _undefined(lines, layers),
    ]
    return [each for each in found if each]


def _normgrad(line: Sequence[Figure] | None, layer: str, surviving: float | None) -> str:
    value = line[-1].value if line else None
    if value is None:
        return ""
    text = f"**Without a step, NormGrad has ρ = {rho(value)} at {layer}.**"
    if value >= SAME and surviving is not None and surviving >= _NOTHING_LOST:
        text += (
            " The global average pooling behind it gives every location the same gradient, so the class only"
            " scales the map. A meta step changes that."
        )
    return text


def _eigen_cam(line: Sequence[Figure] | None) -> str:
    if not line or any(each.value is None or each.value < SAME for each in line):
        return ""
    return (
        "**Without a step, Eigen-CAM has ρ = 1.00 at every layer**: it looks at the activation only and"
        " ignores the class."
    )


def _most_opposite(lines: Mapping[str, Sequence[Figure]], layers: Sequence[str]) -> str:
    values = [
        (each.value, sc.METHODS[method].title, layer)
        for method, line in lines.items()
        for layer, each in zip(layers, line, strict=True)
        if each.value is not None
    ]
    value, title, layer = min(values, default=(1.0, "", ""))
    if value > OPPOSITE:
        return ""
    return (
        f"**The most opposite maps are those of {title} at {layer}, ρ = {rho(value)}** without a step: it"
        " points to different locations for the two classes."
    )


def _undefined(lines: Mapping[str, Sequence[Figure]], layers: Sequence[str]) -> str:
    places = [
        f"{sc.METHODS[method].title} ({', '.join(missing)})"
        for method, line in lines.items()
        if (missing := [layer for layer, each in zip(layers, line, strict=True) if each.value is None])
    ]
    if not places:
        return ""
    return (
        "**ρ is undefined where a map has the same value everywhere**, since it has no ranks then. Without a"
        f" step that concerns {'; '.join(places)}."
    )
