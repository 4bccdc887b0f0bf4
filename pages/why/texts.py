"""What the page on Grad-CAM says, with the figures of the session's photo."""

from collections.abc import Callable, Sequence

import saliency_core as sc
from pages.shared.figure import Figure
from pages.shared.formats import NO_VALUE, exact_percent, percent, rho
from pages.why.figures import AVERAGE_LOSES_NOTHING, LayerFigures, PointingGame

NETWORKS = {"vgg16": "VGG-16", "resnet50": "ResNet-50"}
TABLE = "These figures as a table"
LOSES_NOTHING = "averaging loses nothing"

OPENING = r"""
After one forward and one backward pass, two things are known at every location $u$ of every layer: the
**activation** $x_u,$ what the channels respond to there, and the **gradient** $g_u,$ how the score of the
class would change if they responded more. Multiplied and summed over the channels, they say, to first
order, what the location adds to the score.

Grad-CAM uses the same two, but first replaces each channel’s gradient by its **mean over all locations**,
$\bar g.$ One number per channel is left, where there was one per channel *and* location. Whether that does
harm depends on the layer.
"""
WATCH = """
Both maps are of your photo, from the same pass. Move the depth to the left, from the output towards the
input, and see which of them keeps to the object.
"""
DEFINITIONS = r"""
Energy kept: $H W \, \lVert \bar g \rVert^2 / \sum_u \lVert g_u \rVert^2$. ρ is Spearman’s rank
correlation with the linear approximation’s part above zero (Grad-CAM cuts off the rest as well), at the
layer’s own resolution: 1 is the same order of locations, 0 no relation.
"""
CAUTION = """
Where the lines are low, the methods put locations in another order, and a correlation cannot say which of
them is right: NormGrad, for example, treats evidence against the class like evidence for it. That takes
a test whose answers are known.
"""
GAME = """
In the *pointing game* a map scores when its highest value lies on an object of the class it was asked
for. The authors of NormGrad played it with two networks fine-tuned on PASCAL VOC, on the VOC 2007 test
images; 100% would be a hit every time. These are their published figures: they were not computed here,
and they are not about your photo.
"""
ADVICE = """
Use Grad-CAM at the last convolutional layer. For the sharper layers before it, take a method that leaves
the gradient where it is, and mix the layers: a product of several maps keeps what they agree on.
"""


def averaging(figures: Sequence[LayerFigures], label: str) -> str:
    """From the last layer to the one that keeps least, in this photo's numbers."""
    last = figures[-1]
    kept, agreement = last.energy.value, _in_words(last.correlations["grad_cam"])
    if kept is None:
        return f"There is no gradient of “{label}” at **{last.layer}**, so Grad-CAM has nothing to average."
    end = f"At the last layer, **{last.layer}**, "
    if kept >= AVERAGE_LOSES_NOTHING:
        end += (
            f"{LOSES_NOTHING}: the global average pooling behind it gives every location the same "
            f"gradient. **{percent(kept)}** of the gradient’s energy is left, and Grad-CAM is the linear "
            f"approximation, cut off at zero ({agreement})."
        )
    else:
        end += (
            f"**{percent(kept)}** of the gradient’s energy is left ({agreement}): this network weights every "
            "location separately, so the gradient differs from one to another even there."
        )
    shares = [(each.energy.value, each) for each in figures[:-1] if each.energy.value is not None]
    if not shares:
        return end
    least, layer = min(shares, key=lambda pair: pair[0])
    agreement = _in_words(layer.correlations["grad_cam"])
    return (
        f"{end}\n\nIn earlier layers locations disagree: what raises the score in one lowers it in another, "
        f"and the average cancels them out. At **{layer.layer}**, **{percent(least)}** is left, and "
        f"{agreement}."
    )


def others(figures: Sequence[LayerFigures]) -> str:
    """How the gradient alone and NormGrad behave at the last layer."""
    last = figures[-1]
    gradient, normgrad = last.correlations["gradient"], last.correlations["normgrad"]
    of_gradient, of_normgrad = (f"At **{last.layer}**, {_in_words(each)}." for each in (gradient, normgrad))
    if gradient.value is None:
        of_gradient = (
            f"At **{last.layer}** it has no value: {gradient.reason[0].lower()}{gradient.reason[1:]} There "
            "is nothing to rank, and its line ends."
        )
        of_normgrad = (
            f"At **{last.layer}** ({_in_words(normgrad)}) its own limit shows: with $\\lVert g_u \\rVert$ "
            "the same everywhere, the map is that of $\\lVert x_u \\rVert$, whatever the class."
        )
    return (
        f"The **gradient** alone keeps every location and leaves out the activation. {of_gradient}\n\n"
        f"**NormGrad** multiplies two lengths, ${sc.METHODS['normgrad'].formula}$, location by location: "
        f"nothing is averaged, so nothing cancels, at any layer. {of_normgrad}"
    )


def game(published: PointingGame) -> str:
    first, last = published.layers[0], published.layers[-1]

    def span(method: str) -> str:
        hits = published.accuracy[method]
        return f"from {100 * hits[last]:.1f}% at {last} to {100 * hits[first]:.1f}% at {first}"

    return (
        f"On {NETWORKS[published.network]}, Grad-CAM falls **{span('grad_cam')}**; the linear approximation, "
        f"which averages nothing, goes {span('linear_approx')}."
    )


def _in_words(figure: Figure) -> str:
    return (
        f"ρ\u00a0=\u00a0{rho(figure.value)}" if figure.value is not None else "there is no rank correlation"
    )


def tiles(figures: LayerFigures) -> list[tuple[str, str]]:
    """Values of the layer in the viewer, each with its meaning."""
    energy, agreement = figures.energy.value, figures.correlations["grad_cam"].value
    return [
        ("no gradient" if energy is None else percent(energy), f"of the energy kept at {figures.layer}"),
        (NO_VALUE if agreement is None else f"ρ = {rho(agreement)}", "with the linear approximation there"),
    ]


def layer_table(
    figures: Sequence[LayerFigures], methods: Sequence[str]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Head, rows and the reasons for missing values."""
    head = ["Layer", "Energy kept", *(f"ρ, {sc.METHODS[method].title}" for method in methods)]
    rows = [
        [each.layer, _cell(each.energy, exact_percent), *(_cell(each.correlations[m], rho) for m in methods)]
        for each in figures
    ]
    reasons = [
        f"{each.layer}, {sc.METHODS[method].title}: {each.correlations[method].reason}"
        for each in figures
        for method in methods
        if each.correlations[method].value is None
    ]
    return head, rows, reasons


def game_table(game: PointingGame) -> tuple[list[str], list[list[str]], list[str]]:
    rows = [
        [_published_title(name), *(exact_percent(hits[layer]) for layer in game.layers)]
        for name, hits in game.accuracy.items()
    ]
    return ["Method", *game.layers], rows, []


def _cell(figure: Figure, write: Callable[[float], str]) -> str:
    return NO_VALUE if figure.value is None else write(figure.value)


def _published_title(name: str) -> str:
    """The registry's title, also of the variants that were only published."""
    plain, meta = name.removesuffix("_meta"), name.endswith("_meta")
    if plain in sc.METHODS:
        title = sc.METHODS[plain].title
    else:
        title = f"{sc.METHODS[plain.removesuffix('_sum')].title}, summed"
    return f"{title}, after the meta step" if meta else title
