"""The charts of the page on Grad-CAM: the authors' published figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from pages.shared.charts import BLUE, GREEN, LINE, ORANGE, PURPLE, layout, text_size
from saliency_core.evaluation.published import PointingGame

TOP, BOTTOM, LEFT = 34, 30, 46
HEIGHT = 360
LABEL_GAP = 16  # pixels from one label to the next
SPREADING_ROUNDS = 30


@dataclass(frozen=True)
class Look:
    """How a method is drawn: colour, mark and stroke each identify it."""

    label: str
    color: str
    symbol: str
    mark: str
    dash: str = "solid"
    width: float = 2.25


LOOKS = {
    "grad_cam": Look("Grad-CAM", ORANGE, "circle", "●", width=3.5),
    "linear_approx": Look("Linear approx.", BLUE, "square", "■"),
    "normgrad": Look("NormGrad", GREEN, "diamond", "◆"),
    "normgrad_selective": Look("Selective", GREEN, "diamond-open", "◇", dash="dot"),
    "gradient": Look("Gradient", PURPLE, "triangle-up", "▲"),
}


def published(game: PointingGame, title: str, methods: Sequence[str]) -> go.Figure:
    """By layer: accuracies in the pointing game."""
    figure = go.Figure()
    lines = {method: [100 * game.accuracy[method][layer] for layer in game.layers] for method in methods}
    for method, values in lines.items():
        _line(figure, LOOKS[method], game.layers, values)
    _labels(figure, lines, 100 / (HEIGHT - TOP - BOTTOM))
    figure.add_annotation(
        x=0, y=1, xref="paper", yref="paper", xshift=2 - LEFT, yshift=8, text=title, showarrow=False,
        xanchor="left", yanchor="bottom", font={"size": text_size()},
    )  # fmt: skip
    ticks = {"size": text_size()}
    figure.update_xaxes(
        range=[-0.5, len(game.layers) - 0.5], tickvals=list(range(len(game.layers))),
        ticktext=_short(game.layers), tickfont=ticks, tickangle=0, showgrid=False, zeroline=False,
        fixedrange=True, ticks="",
    )  # fmt: skip
    figure.update_yaxes(
        range=[0, 100], tickvals=[0, 25, 50, 75, 100], ticktext=["0", "25%", "50%", "75%", "100%"],
        tickfont=ticks, gridcolor=LINE, zeroline=True, zerolinecolor=LINE, zerolinewidth=1, fixedrange=True,
        ticks="", showline=False,
    )  # fmt: skip
    return figure.update_layout(layout(height=HEIGHT, margin={"l": LEFT, "r": 124, "t": TOP, "b": BOTTOM}))


def _short(layers: Sequence[str]) -> list[str]:
    """The first layer's name, then only what follows the last dot of each: `features.3`, `.8`, `.15`."""
    return [layers[0], *(name[max(name.rfind("."), 0) :] for name in layers[1:])]


def _line(figure: go.Figure, look: Look, layers: Sequence[str], values: Sequence[float]) -> None:
    figure.add_scatter(
        x=list(range(len(values))),
        y=list(values),
        name=look.label,
        mode="lines+markers",
        line={"color": look.color, "width": look.width, "dash": look.dash},
        marker={"color": look.color, "symbol": look.symbol, "size": 8 if look.width < 3 else 9},
        customdata=list(layers),
        hovertemplate=f"{look.label} at %{{customdata}}: %{{y:.1f}}%<extra></extra>",
    )


def _labels(figure: go.Figure, lines: Mapping[str, Sequence[float]], pixel: float) -> None:
    """Name every line at its end, in its colour; labels that would touch move apart.

    `pixel` is the height of a pixel in the axis's unit.
    """
    ends = sorted((values[-1], method, len(values) - 1) for method, values in lines.items())
    heights = [height for height, _, _ in ends]
    for _ in range(SPREADING_ROUNDS):
        for i in range(1, len(heights)):
            overlap = max(LABEL_GAP * pixel - (heights[i] - heights[i - 1]), 0.0)
            heights[i - 1] -= overlap / 2
            heights[i] += overlap / 2
    for height, (value, method, end) in zip(heights, ends, strict=True):
        look = LOOKS[method]
        figure.add_annotation(
            x=end, y=value, yshift=(height - value) / pixel, xshift=12, text=f"{look.mark} {look.label}",
            xanchor="left", showarrow=False, font={"color": look.color, "size": text_size()},
        )  # fmt: skip
