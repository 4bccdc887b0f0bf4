"""One method's maps for two classes, their difference, and how alike they are."""

from __future__ import annotations

import numpy as np

from saliency_core.combine import FloatMap, normalise, resize
from saliency_core.figures import fonts
from saliency_core.figures.compose import SIDE, Scale, scale_of
from saliency_core.figures.maps import Drawn, at_input
from saliency_core.figures.panels import CAPTION, GAP, LINE, MARGIN, Painter, Panel, Stage, credit, row
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Request
from saliency_core.figures.steps import Classes
from saliency_core.methods.method import Method
from saliency_core.methods.registry import METHODS
from saliency_core.viewer import formats

WIDTH = 256
INVISIBLE = 1 / 510
"""Half a level of a colour table."""
NEITHER = "Neither of the two maps shows anything here, so there is no difference."
NO_DIFFERENCE = "No difference: the two maps are the same here."
DIFFERENCES = {"classes": "A − B", "first": "A: change", "second": "B: change"}
BANDS = (
    (0.995, "The same map for both classes."),
    (0.9, "Nearly the same map for both classes."),
    (0.7, "Largely the same map for both classes."),
    (0.4, "The maps agree in part; elsewhere the class decides."),
    (0.1, "The maps have little in common: they depend on the class."),
    (-0.1, "Unrelated maps: they depend on the class."),
    (-0.5, "Partly opposite maps: they depend on the class."),
    (-np.inf, "Opposite maps: the method points to different locations for the two classes."),
)
"""What a correlation means, from the highest down; as in the viewer (``modes/classes/correlation.js``)."""

Plane = tuple[FloatMap, str]
"""A map as it is compared, zeros where there is nothing to see, and why."""


def draw(request: Request) -> Picture:
    """The map of class A, that of class B, and what the view subtracts."""
    scene, view, sheet = request.scene, request.view, request.sheet
    classes = Classes.of(scene.explanation, request.other)
    method = METHODS[view.left]
    signed = method.signed
    difference = view.difference if classes.sweep else "classes"
    shown = Scale(-1.0, 1.0) if signed else Scale(0.0, 1.0)
    planes = [_plane(classes, i, method, view.layer, view.epsilon) for i in range(2)]
    panels = []
    for i, (each, (values, reason)) in enumerate(zip(classes.both(), planes, strict=True)):
        drawn = Drawn.empty(reason, signed) if reason else Drawn.measured(values, signed)
        text = formats.class_text(each.label, *classes.probabilities(i, view.epsilon))
        words = (text, method.title, _place(method, view.layer), _step(request, classes))
        title = f"{'AB'[i]}  {each.label}"
        panels.append(Panel(title, _given(words), drawn, shown, (method.dark, method.bright)))
    if difference == "classes":
        subtracted = _difference(planes[0], planes[1])
        what, ends = "A − B", ("more for B", "more for A")
    else:
        which = ("first", "second").index(difference)
        subtracted = _difference(planes[which], _plane(classes, which, method, view.layer, 0.0))
        label = classes.both()[which].label
        what, ends = f"{label}, after − without the step", ("less after", "more after")
    told = (what, f"both maps from {'−1' if signed else '0'} to 1")
    title = "A − B  Difference" if difference == "classes" else DIFFERENCES[difference]
    panels.append(Panel(title, told, subtracted, subtracted.own, ends))
    painter = Painter(scene, view, sheet, Stage.around(scene, WIDTH))
    bottom = row(sheet, painter, panels, MARGIN, WIDTH)
    page = 2 * MARGIN + 3 * WIDTH + 2 * GAP
    if not at_input(method):
        bottom = _verdict(request, classes, method, bottom, page)
    labels = " and ".join(each.label for each in classes.both())
    height = credit(sheet, scene, bottom, page)
    return Picture.of(sheet, page, height, f"{method.title} at {view.layer}: {labels}")


def _given(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(None, words))


def _place(method: Method, layer: str) -> str:
    return "input" if at_input(method) else layer


def _step(request: Request, classes: Classes) -> str:
    """The caption's words on the meta step."""
    if classes.sweep:
        epsilon = request.view.epsilon
        return f"ε = {formats.epsilon(epsilon)}" if epsilon > 0 else "without a step"
    return request.scene.state


def _plane(classes: Classes, which: int, method: Method, layer: str, epsilon: float) -> Plane:
    """A map from 0 to 1, or one with a sign divided by the reach of its scale, so that 0 stays 0."""
    values, reason = classes.map(which, method, layer, epsilon)
    if values is None or reason:
        return np.zeros((SIDE, SIDE), np.float32), reason
    large = resize(values, (SIDE, SIDE))
    if not method.signed:
        return normalise(large), ""
    return (large / scale_of(large, True).high).astype(np.float32), ""


def _difference(one: Plane, other: Plane) -> Drawn:
    if one[1] and other[1]:
        return Drawn.empty(NEITHER, True)
    values = one[0] - other[0]
    if max(-float(values.min()), float(values.max())) < INVISIBLE:
        return Drawn.empty(NO_DIFFERENCE, True)
    return Drawn.measured(values, True)


def _verdict(request: Request, classes: Classes, method: Method, y: int, page: int) -> int:
    """ρ and what it means, below the panels; returns the y below."""
    sheet, view = request.sheet, request.view
    found = classes.correlation(method, view.layer, view.epsilon)
    if found.value is None:
        number, words = "ρ undefined", found.reason
    else:
        number = f"ρ {'≈' if found.interpolated else '='} {formats.rho(found.value)}"
        words = next(text for least, text in BANDS if found.value >= least)
    baseline = y + 14 + CAPTION
    sheet.text(MARGIN, baseline, number, CAPTION, weight=fonts.STRONG)
    x = MARGIN + fonts.width(number, CAPTION, fonts.STRONG) + 10
    for i, line in enumerate(fonts.lines(words, page - MARGIN - x, CAPTION)):
        sheet.text(x, baseline + i * CAPTION * LINE, line, CAPTION, color=sheet.theme.muted)
        y = round(baseline + i * CAPTION * LINE + 4)
    return y
