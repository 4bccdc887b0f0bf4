"""What the page on Grad-CAM says, with the figures of the session's photo."""

from collections.abc import Sequence

import saliency_core as sc
from pages.shared.formats import percent
from pages.why.figures import (
    AVERAGE_LOSES_LITTLE,
    AVERAGE_LOSES_NOTHING,
    LayerFigures,
    PhotoFigures,
)
from saliency_core.evaluation.published import NETWORKS, PointingGame
from saliency_core.export.tables import Table, line_table
from saliency_core.viewer.payload import AVERAGING_METHODS, PhotoObject

TABLE = "These figures as a table"
LOSES_NOTHING = "averaging loses nothing"
LOSES_LITTLE = "Averaging loses little here"
FILLS_THE_PICTURE = 0.9
"""A box of this share of the area or more has nearly all of any map inside."""

DIFFERENCE = r"""
All three maps come from the same activations $x_u$ and gradients $g_u$ at every location $u.$ Only Grad-CAM
first replaces each channel’s gradient by its **mean over all locations**, $\bar g,$ so one number per channel
is left.
"""
DEFINITIONS = r"""
Energy kept: $H W \, \lVert \bar g \rVert^2 / \sum_u \lVert g_u \rVert^2$, the share of the gradient’s squared
length that is left after averaging over all locations. Energy inside the box:
$\sum_{u \in B} m_u^+ / \sum_u m_u^+$, the share of a map’s positive part that lies inside the box, with the
map resized to 224 × 224 (the energy-based pointing game of Wang et al., *Score-CAM*, 2020).
"""
OWN_PHOTO = "The samples have a known box around the object; your own photo has none."
NO_BOX = "No box around an object is known on this photo."
GAME = """
In the *pointing game* a map scores when its highest value lies on an object of the class it was asked
for. The authors of NormGrad played it with two networks fine-tuned on PASCAL VOC, on the VOC 2007 test
images; 100% would be a hit every time. These are their published figures: they were not computed here,
and they are not about your photo.
"""
ADVICE = """
In networks like these, use Grad-CAM at the last convolutional layer. For the sharper layers before it, take
a method that leaves the gradient where it is, and mix the layers: a product of several maps keeps what they
agree on.
"""


def formulas() -> str:
    """The three methods side by side."""
    lines = (
        f"**{method.title}** $\\displaystyle {method.formula}$"
        for method in map(sc.METHODS.__getitem__, AVERAGING_METHODS)
    )
    return "\n\n".join(lines)


def averaging(figures: PhotoFigures, label: str) -> str:
    """What averaging keeps of the gradient: at the layer that keeps least, and at the last one shown."""
    known = [(each.energy.value, each) for each in figures.layers if each.energy.value is not None]
    if not known:
        return f"“{label}” has no gradient at these layers, so Grad-CAM has nothing to average."
    least, where = min(known, key=lambda pair: pair[0])
    last = figures.last
    kept = last.energy.value
    if kept is None:
        end = f"At the last layer shown, **{last.layer}**, “{label}” has no gradient."
    elif last.locations == 1:
        end = (
            f"The last layer shown, **{last.layer}**, has a single location, so there is nothing to average."
        )
    elif kept >= AVERAGE_LOSES_NOTHING:
        end = (
            f"At the last layer shown, **{last.layer}**, {LOSES_NOTHING}: the gradient is the same at every "
            "location, as it is before a global average pooling."
        )
    else:
        spread = "is much the same at every location" if kept >= AVERAGE_LOSES_LITTLE else "differs even"
        end = (
            f"At the last layer shown, **{last.layer}**, **{percent(kept)}** of the gradient’s energy is "
            f"left: the gradient {spread} there."
        )
    if least >= AVERAGE_LOSES_NOTHING:
        return end
    if least >= AVERAGE_LOSES_LITTLE:
        found = (
            f"{LOSES_LITTLE}: at **{where.layer}**, where it loses most, **{percent(least)}** of the "
            "gradient’s energy is left, because the gradient is much the same at all locations."
        )
        return found if where is last else f"{found} {end}"
    if where is last:
        return end
    return (
        f"At **{where.layer}** averaging leaves **{percent(least)}** of the gradient’s energy: the gradient "
        f"differs from location to location, and the mean keeps only what all of them share. {end}"
    )


def inside(figures: PhotoFigures) -> str:
    """What the shares inside the box say of the three methods; needs a box."""
    grad_cam = [
        (value, each) for each in figures.layers if (value := each.inside["grad_cam"].value) is not None
    ]
    if figures.area is None or not grad_cam:
        return "Grad-CAM has no positive value at any of these layers."
    if figures.area >= FILLS_THE_PICTURE:
        return f"The box is {percent(figures.area)} of the area, so the shares inside it say little here."
    least, where = min(grad_cam, key=lambda pair: pair[0])
    below = {method: _below(figures, method) for method in AVERAGING_METHODS}
    without = len(figures.layers) - len(grad_cam)
    found = (
        f"The box is **{percent(figures.area)}** of the area, the share that chance would give. Grad-CAM "
        "puts less than that share of its energy into it at "
        f"**{below['grad_cam'] or 'none'} of {_layers(len(grad_cam))}**; "
        f"least at **{where.layer}**, **{percent(least)}**."
    )
    if without:
        found += f" At {_layers(without)} it has no positive value at all."
    found += (
        " The linear approximation, from the same gradient without averaging, does so at "
        f"{_count(below['linear_approx'])}, NormGrad at {_count(below['normgrad'])}."
    )
    return f"{found}{_at_the_end(figures.last)}"


def _below(figures: PhotoFigures, method: str) -> int:
    """The number of layers where a map has less inside the box than a map that is the same everywhere."""
    values = [each.inside[method].value for each in figures.layers]
    return sum(value is not None and figures.area is not None and value < figures.area for value in values)


def _count(number: int) -> str:
    return _layers(number) if number else "none"


def _layers(number: int) -> str:
    return f"{number} layer{'' if number == 1 else 's'}"


def _at_the_end(last: LayerFigures) -> str:
    """The shares at the last layer shown, and NormGrad's own limit there."""
    grad_cam, normgrad = last.inside["grad_cam"].value, last.inside["normgrad"].value
    if grad_cam is None or normgrad is None:
        return ""
    shares = (
        f"\n\nAt **{last.layer}**, the last layer shown, **{percent(grad_cam)}** of Grad-CAM’s energy lies "
        f"inside the box and **{percent(normgrad)}** of NormGrad’s"
    )
    kept = last.energy.value
    if kept is None or kept < AVERAGE_LOSES_NOTHING:
        return f"{shares}."
    return (
        f"{shares}: where the gradient is the same at every location, NormGrad shows only how strong the "
        "activation is, whatever the class."
    )


def no_box(label: str, objects: Sequence[PhotoObject], *, own: bool) -> str:
    """Why there is no chart of the shares inside the box; `own`: the photo is not a sample."""
    if own:
        return OWN_PHOTO
    others = list(dict.fromkeys(f"“{each.label}”" for each in objects))
    if not others:
        return NO_BOX
    names = others[0] if len(others) == 1 else f"{', '.join(others[:-1])} or {others[-1]}"
    return (
        f"No box is known around “{label}” on this photo. Choose {names} to see how much of each map lies "
        "inside the object’s box."
    )


def game(published: PointingGame) -> str:
    """How two methods do from the last layer to the first one."""
    first, last = published.layers[0], published.layers[-1]

    def span(method: str) -> str:
        hits = published.accuracy[method]
        return f"from {100 * hits[last]:.1f}% at {last} to {100 * hits[first]:.1f}% at {first}"

    return (
        f"On {NETWORKS[published.network]}, Grad-CAM falls **{span('grad_cam')}**; the linear approximation, "
        f"which averages nothing, goes {span('linear_approx')}."
    )


def layer_table(figures: PhotoFigures) -> Table:
    """The figures of every layer, with the reasons for missing values."""
    methods = list(figures.layers[0].inside)
    head = ["Layer", "Energy kept", *(f"Inside the box, {sc.METHODS[method].title}" for method in methods)]
    rows = [
        [each.layer, each.energy.value, *(each.inside[method].value for method in methods)]
        for each in figures.layers
    ]
    reasons = [
        f"{each.layer}, {sc.METHODS[method].title}: {each.inside[method].reason}"
        for each in figures.layers
        for method in methods
        if each.inside[method].value is None
    ]
    reasons += [f"{each.layer}: {each.energy.reason}" for each in figures.layers if each.energy.value is None]
    return Table(TABLE, "averaging", head, rows, reasons)


def game_table(game: PointingGame) -> Table:
    """All published figures for one network."""
    lines = (
        (_published_title(name), [hits[layer] for layer in game.layers])
        for name, hits in game.accuracy.items()
    )
    title = f"All published figures for {NETWORKS[game.network]}"
    return line_table(title, f"pointing-{game.network}", game.layers, lines)


def _published_title(name: str) -> str:
    """The registry's title, also of the variants that were only published."""
    plain, meta = name.removesuffix("_meta"), name.endswith("_meta")
    if plain in sc.METHODS:
        title = sc.METHODS[plain].title
    else:
        title = f"{sc.METHODS[plain.removesuffix('_sum')].title}, summed"
    return f"{title}, after the meta step" if meta else title
