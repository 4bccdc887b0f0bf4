"""The charts of the page on Grad-CAM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages.shared.charts import BAND, BLUE, GREEN, GREY, LINE, ORANGE, PURPLE, layout, text_size
from pages.shared.figure import Figure
from pages.shared.formats import NO_VALUE, percent, rho
from pages.why.figures import LayerFigures, PointingGame

TOP, BOTTOM, LEFT = 34, 30, 46
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


def averaging(figures: Sequence[LayerFigures], here: str) -> go.Figure:
    """By layer: the share of gradient energy that survives averaging, and Grad-CAM's rank correlation."""
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.2)
    energies = [each.energy for each in figures]
    figure.add_bar(
        row=1,
        col=1,
        x=list(range(len(figures))),
        y=[None if share.value is None else 100 * share.value for share in energies],
        width=0.56,
        marker={"color": [BLUE if each.layer == here else GREY for each in figures], "cornerradius": 3},
        text=["" if share.value is None else percent(share.value) for share in energies],
        textposition="outside",
        textfont={"size": text_size()},
        textangle=0,
        constraintext="none",
        cliponaxis=False,
        customdata=[each.layer for each in figures],
        hovertemplate="%{customdata}: %{y:.3~f}% kept<extra></extra>",
    )
    _gaps(figure, energies, row=1, at=8)
    _title(figure, "Gradient energy left after averaging over all locations", row=1)
    figure.update_yaxes(row=1, range=[0, 120], **_percent_ticks(0, 50, 100))
    _correlations(figure, figures, ("grad_cam",), row=2)
    _title(figure, "Rank correlation ρ, Grad-CAM and linear approximation", row=2)
    return _finished(figure, [each.layer for each in figures], here, height=430, right=14)


def agreement(figures: Sequence[LayerFigures], methods: Sequence[str], here: str) -> go.Figure:
    """By layer: the methods' rank correlations with the linear approximation."""
    figure = make_subplots(rows=1)
    height = 330
    low, high = _correlations(figure, figures, methods, row=1)
    ends = {method: [each.correlations[method].value for each in figures] for method in methods}
    _labels(figure, ends, (high - low) / (height - TOP - BOTTOM))
    _title(figure, "Rank correlation ρ with the linear approximation", row=1)
    return _finished(figure, [each.layer for each in figures], here, height=height, right=100)


def published(game: PointingGame, title: str, methods: Sequence[str]) -> go.Figure:
    """By layer: accuracies in the pointing game."""
    figure = make_subplots(rows=1)
    height = 360
    lines: dict[str, Sequence[float | None]] = {
        method: [100 * game.accuracy[method][layer] for layer in game.layers] for method in methods
    }
    for method, values in lines.items():
        _line(figure, LOOKS[method], game.layers, values, row=1, form="%{y:.1f}%")
    _labels(figure, lines, 100 / (height - TOP - BOTTOM))
    _title(figure, title, row=1)
    figure.update_yaxes(range=[0, 100], **_percent_ticks(0, 25, 50, 75, 100))
    return _finished(figure, game.layers, None, height=height, right=124)


def _correlations(
    figure: go.Figure, figures: Sequence[LayerFigures], methods: Sequence[str], row: int
) -> tuple[float, float]:
    """Add lines of rank correlations, with gaps; returns the range of the axis."""
    layers = [each.layer for each in figures]
    shown: list[float] = []
    for method in methods:
        found = [each.correlations[method] for each in figures]
        values = [each.value for each in found]
        shown += [value for value in values if value is not None]
        _line(figure, LOOKS[method], layers, values, row=row, form="ρ = %{y:.3f}")
        if len(methods) == 1:
            figure.data[-1].update(
                mode="lines+markers+text",
                text=["" if value is None else rho(value) for value in values],
                textposition="top center",
                textfont={"size": text_size()},
                cliponaxis=False,
            )
            _gaps(figure, found, row=row, at=0.0)
    lowest = min(shown, default=0.0)
    low = next(end for end in (-0.12, -0.58, -1.08) if end <= lowest or end == -1.08)
    high = 1.24 if len(methods) == 1 else 1.08
    figure.update_yaxes(row=row, range=[low, high], tickvals=[-1, -0.5, 0, 0.5, 1], tickformat=".1~f")
    return low, high


def _percent_ticks(*values: int) -> dict[str, Any]:
    return {"tickvals": list(values), "ticktext": [f"{value}%" if value else "0" for value in values]}


def _line(
    figure: go.Figure,
    look: Look,
    layers: Sequence[str],
    values: Sequence[float | None],
    *,
    row: int,
    form: str,
) -> None:
    figure.add_scatter(
        row=row,
        col=1,
        x=list(range(len(values))),
        y=list(values),
        name=look.label,
        mode="lines+markers",
        connectgaps=False,
        line={"color": look.color, "width": look.width, "dash": look.dash},
        marker={"color": look.color, "symbol": look.symbol, "size": 8 if look.width < 3 else 9},
        customdata=list(layers),
        hovertemplate=f"{look.label} at %{{customdata}}: {form}<extra></extra>",
    )


def _gaps(figure: go.Figure, found: Sequence[Figure], *, row: int, at: float) -> None:
    """Write a word where there is no value."""
    for index, each in enumerate(found):
        if each.value is None:
            figure.add_annotation(
                row=row, col=1, x=index, y=at, text=NO_VALUE, hovertext=each.reason, showarrow=False,
                font={"size": text_size()}, opacity=0.75,
            )  # fmt: skip


def _labels(figure: go.Figure, lines: Mapping[str, Sequence[float | None]], pixel: float) -> None:
    """Name every line at its end, in its colour; labels that would touch move apart.

    `pixel` is the height of a pixel in the axis's unit.
    """
    ends: list[tuple[float, str, int]] = []
    for method, values in lines.items():
        known = [value for value in values if value is not None]
        if known:
            ends.append((known[-1], method, len(values) - 1))
    ends.sort()
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


def _title(figure: go.Figure, text: str, *, row: int) -> None:
    axis = "" if row == 1 else str(row)
    figure.add_annotation(
        x=0, y=1, xref="paper", yref=f"y{axis} domain", xshift=2 - LEFT, yshift=8, text=text, showarrow=False,
        xanchor="left", yanchor="bottom", font={"size": text_size()},
    )  # fmt: skip


def _finished(
    figure: go.Figure, layers: Sequence[str], here: str | None, *, height: int, right: int
) -> go.Figure:
    """The frame of every chart: layers from input to output, a band on the one in the viewer."""
    figure.update_xaxes(
        range=[-0.5, len(layers) - 0.5], tickvals=list(range(len(layers))), ticktext=list(layers),
        showgrid=False, zeroline=False, fixedrange=True, ticks="", automargin=True,
    )  # fmt: skip
    figure.update_yaxes(
        gridcolor=LINE, zeroline=True, zerolinecolor=LINE, zerolinewidth=1, fixedrange=True, ticks="",
        showline=False,
    )  # fmt: skip
    if here is not None:
        column = list(layers).index(here)
        figure.add_shape(
            type="rect", xref="x", yref="paper", x0=column - 0.5, x1=column + 0.5, y0=0, y1=1,
            fillcolor=BAND, line={"width": 0}, layer="below",
        )  # fmt: skip
    return figure.update_layout(layout(height=height, margin={"l": LEFT, "r": right, "t": TOP, "b": BOTTOM}))
