"""The kinds of figures, by name. A new kind is a function that draws it, and one more entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from PIL import Image

from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.explanation import Explanation
from saliency_core.figures import classes, framework, heat_map, layers, pair, strip
from saliency_core.figures.maps import Other, Scene, View
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Kind, Request
from saliency_core.figures.sheet import DARK, LIGHT, Sheet
from saliency_core.registry import Registry, chosen_names
from saliency_core.viewer.complete import method_name
from saliency_core.viewer.payload import ClassComparison, DisplayPhoto


def _kinds(*kinds: Kind) -> Registry[Kind]:
    registry = Registry[Kind]("kind of figure")
    for kind in kinds:
        registry.add(kind.name, kind)
    return registry


KINDS: Final = _kinds(
    Kind("panel", "One map", "The method on the left, at one layer or mixed over the layers.", pair.panel),
    Kind(
        "pair",
        "Side by side",
        "The methods side by side, at one layer or mixed.",
        pair.pair,
        any_methods=True,
    ),
    Kind(
        "strip",
        "Strip of layers",
        "The methods at every layer, from input to output.",
        strip.draw,
        any_methods=True,
    ),
    Kind(
        "framework", "Framework", "Every cell of extract × aggregate, at one layer or mixed.", framework.draw
    ),
    Kind("layers", "All methods by layer", "Every named method at every layer.", layers.draw),
    Kind("classes", "Two classes", "One method for two classes, and the difference.", classes.draw, True),
    Kind(
        "heat_map",
        "Class sensitivity",
        "How alike the maps of two classes are: rank correlation for every method and layer.",
        heat_map.draw,
        True,
    ),
)


def figure(
    explanation: Explanation,
    kind: str = "pair",
    *,
    other: Other = None,
    methods: str | Iterable[str] | None = None,
    photo: Image.Image | DisplayPhoto | None = None,
    dark: bool = False,
    **view: Any,
) -> Picture:
    """A figure for a paper or a slide: what the viewer shows for a view, with captions and colour bars.

    Args:
        explanation: of a photo.
        kind: one of ``sc.FIGURES``: "panel" (the method on the left), "pair" (both methods), "strip" (both at
            every layer), "framework" (extract × aggregate), "layers" (every named method at every layer),
            "classes" (one method for two classes, and the difference), "heat_map" (rank correlation of two
            classes' maps).
        other: the explanation of the second class; needed for "classes" and "heat_map".
        methods: for "pair" and "strip": any number of methods to be shown; those of the view if None.
        photo: the photo, where the explanation does not hold it.
        dark: on dark paper.
        view: fields of the view, by their names in ``saliency_core.viewer.schema``: ``left``, ``right``,
            ``layer``, ``mixed``, ``weights``, ``how``, ``opacity``, ``fade``, ``colormap``, ``scale``, …;
            those not given have the viewer's defaults.

    Returns:
        A :class:`Picture` with ``save(path)``, ``to_bytes(format, scale)`` and ``image(scale)``.

    Raises:
        UnknownNameError: an unknown kind, method, layer, colour map or field, with the choices.
        ArgumentError, ArgumentTypeError: a value that cannot be used, `methods` for another kind, no photo,
            or no second explanation.

    >>> import saliency_core as sc
    >>> clf = sc.load_classifier()  # doctest: +SKIP
    >>> e = sc.explain(clf, sc.open_image("cat.jpg"))  # doctest: +SKIP
    >>> sc.figure(e, "strip", right="grad_cam").save("strip.pdf")  # doctest: +SKIP
    """
    entry = KINDS[kind]
    if not isinstance(dark, bool | np.bool_):
        raise ArgumentTypeError(f"dark is {dark!r}; expected True or False")
    scene = Scene.of(explanation, photo)
    _check_other(explanation, other)
    sheet = Sheet(DARK if dark else LIGHT)
    return entry.draw(
        Request(scene, View.of(view, explanation), sheet, other, _rows(entry, methods, explanation))
    )


def _rows(entry: Kind, methods: str | Iterable[str] | None, explanation: Explanation) -> tuple[str, ...]:
    if methods is None:
        return ()
    if not entry.any_methods:
        able = ", ".join(repr(kind.name) for kind in KINDS.values() if kind.any_methods)
        raise ArgumentError(
            f"methods= is for {able}; a figure of the kind {entry.name!r} has the methods of its view, "
            "left= and right=, or methods of its own"
        )
    return tuple(method_name(name, explanation) for name in chosen_names(methods, "method"))


def _check_other(explanation: Explanation, other: Other) -> None:
    if other is None:
        return
    if not isinstance(other, Explanation | ClassComparison):
        raise ArgumentTypeError(f"other is {other!r}; expected the Explanation of a second class")
    second = other.other if isinstance(other, ClassComparison) else other
    if (second.layers, second.box, second.size) != (explanation.layers, explanation.box, explanation.size):
        raise ArgumentError(
            "the two classes were explained at different layers or on different photos; explain both with "
            "the same arguments"
        )
