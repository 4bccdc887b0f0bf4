"""The article on Grad-CAM and the layers before the last one, told with the session's photo."""

from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import saliency_core as sc
from pages.shared import charts, theme
from pages.shared.figures import (
    AVERAGE_LOSES_NOTHING,
    COMPARED,
    Figure,
    LayerFigures,
    PointingGame,
    exact_percent,
    layer_figures,
    percent,
    pointing_games,
    rho,
)
from pages.shared.state import Scene, Session
from saliency_core.viewer.payload import DEFAULT_DEPTH

PAIR = ("grad_cam", "linear_approx")
POINTING = ("grad_cam", "linear_approx", "normgrad_selective", "normgrad", "gradient")
NETWORKS = {"vgg16": "VGG-16", "resnet50": "ResNet-50"}

_OPENING = r"""
After one forward and one backward pass, two things are known at every place $u$ of every layer: the
**activation** $x_u,$ what the channels respond to there, and the **gradient** $g_u,$ how the score of the
class would change if they responded more. Multiplied and summed over the channels, they say, to first
order, what the place adds to the score.

Grad-CAM uses the same two, but first replaces each channel’s gradient by its **mean over all places**,
$\bar g.$ One number per channel is left, where there was one per channel *and* place. Whether that does
harm depends on the layer.
"""
_WATCH = """
Both maps are of your photo, from the same pass. Move the depth to the left, from the output towards the
input, and see which of them keeps to the object.
"""
_DEFINITIONS = r"""
Energy kept: $H W \, \lVert \bar g \rVert^2 / \sum_u \lVert g_u \rVert^2$. ρ is Spearman’s rank
correlation with the linear approximation’s part above zero (Grad-CAM cuts off the rest as well), at the
layer’s own resolution: 1 is the same order of places, 0 no relation.
"""
_CAUTION = """
Where the lines are low, the methods put places in another order, and a correlation cannot say which of
them is right: NormGrad, for one, counts what speaks against the class like what speaks for it. That takes
a test whose answers are known.
"""
_GAME = """
In the *pointing game* a map scores when its highest value lies on an object of the class it was asked
for. The authors of NormGrad played it with two networks fine-tuned on PASCAL VOC, on the VOC 2007 test
images; 100 % would be a hit every time. These are their published figures: they were not computed here,
and they are not about your photo.
"""
_ADVICE = """
Use Grad-CAM at the last convolutional layer. For the sharper layers before it, take a method that leaves
the gradient where it is, and mix the layers: a product of several maps keeps what they agree on.
"""


def opening() -> None:
    """What Grad-CAM does differently, in words and in two formulas."""
    words, formulas = _columns()
    with words:
        _heading("One number per channel")
        st.markdown(_OPENING)
    with formulas, st.container(key="why-formulas"):
        for name in reversed(PAIR):
            method = sc.METHODS[name]
            with st.container(border=True):
                st.markdown(f"**{method.title}**")
                st.latex(method.formula)
    _heading("On your photo")
    st.markdown(_WATCH)


def measured(session: Session, scene: Scene) -> None:
    """The figures of the session's photo, with the layer in the viewer marked."""
    explanation = scene.explanation
    figures: tuple[LayerFigures, ...] = session.remember(
        "layer figures", explanation, lambda: layer_figures(explanation)
    )
    layers = [each.layer for each in figures]
    default = layers[round(DEFAULT_DEPTH * (len(layers) - 1))]
    here = session.view.layer if session.view.layer in layers else default
    words, chart = _columns(wide="right")
    with words:
        _heading("What the averaging keeps")
        st.markdown(_averaging_words(figures, explanation.label))
        theme.tiles(_tiles(figures[layers.index(here)]))
    with chart:
        st.plotly_chart(charts.averaging(figures, here), key="why-averaging", config=charts.CONFIG)
        theme.table("These figures as a table", *_layer_table(figures, ("grad_cam",)))
    st.caption(_DEFINITIONS)
    words, chart = _columns(wide="right")
    with words:
        _heading("Two more maps from the same pass")
        st.markdown(_other_words(figures))
        st.markdown(_CAUTION)
    with chart:
        st.plotly_chart(charts.agreement(figures, COMPARED, here), key="why-agreement", config=charts.CONFIG)
        theme.table("These figures as a table", *_layer_table(figures, COMPARED))


def published() -> None:
    """The authors' own figures for two networks, and what follows."""
    games, source = pointing_games()
    _heading("Not only on this photo")
    with st.container(key="why-game"):
        st.markdown(_GAME)
        st.markdown("\n".join(f"- {_game_words(game)}" for game in games))
    for column, game in zip(st.columns(len(games), gap="medium"), games, strict=True):
        title = f"{NETWORKS[game.network]}: hits in the pointing game"
        with column:
            figure = charts.published(game, title, POINTING)
            st.plotly_chart(figure, key=f"why-{game.network}", config=charts.CONFIG)
            theme.table(f"All published figures for {NETWORKS[game.network]}", *_game_table(game))
    st.caption(f"Source: {source}")
    _heading("What follows")
    st.markdown(_ADVICE)


def _columns(wide: str = "left") -> list[DeltaGenerator]:
    return st.columns([1.45, 1] if wide == "left" else [1, 1.45], gap="medium")


def _heading(text: str) -> None:
    st.header(text, anchor=False)


def _averaging_words(figures: Sequence[LayerFigures], label: str) -> str:
    """What happens from the last layer to the one that keeps least, in this photo's numbers."""
    last = figures[-1]
    kept, agreement = last.energy.value, _in_words(last.correlations["grad_cam"])
    if kept is None:
        return f"There is no gradient of “{label}” at **{last.layer}**, so Grad-CAM has nothing to average."
    end = f"At the last layer, **{last.layer}**, "
    if kept >= AVERAGE_LOSES_NOTHING:
        end += (
            "averaging loses nothing: the global average pooling behind it hands every place the same "
            f"gradient. **{percent(kept)}** of the gradient’s energy survives, and Grad-CAM is the linear "
            f"approximation, cut off at zero ({agreement})."
        )
    else:
        end += (
            f"**{percent(kept)}** of the gradient’s energy survives ({agreement}): this network weighs every "
            "place of it separately, so the gradient differs from place to place even there."
        )
    shares = [(each.energy.value, each) for each in figures[:-1] if each.energy.value is not None]
    if not shares:
        return end
    least, layer = min(shares, key=lambda pair: pair[0])
    agreement = _in_words(layer.correlations["grad_cam"])
    return (
        f"{end}\n\nEarlier, places disagree: what raises the score here lowers it there, and in the mean the "
        f"two cancel. At **{layer.layer}**, **{percent(least)}** is left, and {agreement}."
    )


def _other_words(figures: Sequence[LayerFigures]) -> str:
    """What the gradient alone and NormGrad make of the last layer."""
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
        f"The **gradient** alone keeps every place and leaves out the activation. {of_gradient}\n\n"
        f"**NormGrad** multiplies two lengths, ${sc.METHODS['normgrad'].formula}$, place by place: "
        f"nothing is averaged, so nothing cancels, at any layer. {of_normgrad}"
    )


def _game_words(game: PointingGame) -> str:
    first, last = game.layers[0], game.layers[-1]

    def span(method: str) -> str:
        hits = game.accuracy[method]
        return f"from {100 * hits[last]:.1f}\u00a0% at {last} to {100 * hits[first]:.1f}\u00a0% at {first}"

    return (
        f"On {NETWORKS[game.network]}, Grad-CAM falls **{span('grad_cam')}**; the linear approximation, "
        f"which averages nothing, goes {span('linear_approx')}."
    )


def _in_words(figure: Figure) -> str:
    return (
        f"ρ\u00a0=\u00a0{rho(figure.value)}" if figure.value is not None else "there is no rank correlation"
    )


def _tiles(figures: LayerFigures) -> list[tuple[str, str]]:
    """What the layer in the viewer has: value and meaning."""
    energy, agreement = figures.energy.value, figures.correlations["grad_cam"].value
    return [
        ("no gradient" if energy is None else percent(energy), f"of the energy kept at {figures.layer}"),
        ("no value" if agreement is None else f"ρ = {rho(agreement)}", "with the linear approximation there"),
    ]


def _layer_table(
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


def _game_table(game: PointingGame) -> tuple[list[str], list[list[str]], list[str]]:
    rows = [
        [_published_title(name), *(exact_percent(hits[layer]) for layer in game.layers)]
        for name, hits in game.accuracy.items()
    ]
    return ["Method", *game.layers], rows, []


def _cell(figure: Figure, write: Callable[[float], str]) -> str:
    return "no value" if figure.value is None else write(figure.value)


def _published_title(name: str) -> str:
    """The registry's title, also of the variants that were only published."""
    plain, meta = name.removesuffix("_meta"), name.endswith("_meta")
    if plain in sc.METHODS:
        title = sc.METHODS[plain].title
    else:
        title = f"{sc.METHODS[plain.removesuffix('_sum')].title}, summed"
    return f"{title}, after the meta step" if meta else title
