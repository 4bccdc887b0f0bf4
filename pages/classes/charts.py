"""The chart of the page on class sensitivity."""

from collections.abc import Sequence

import plotly.graph_objects as go

from pages.shared.charts import BAND, BLUE, LINE, layout
from pages.shared.figure import Figure
from pages.shared.formats import epsilon

CURVE_HEIGHT = 300


def curve(sizes: Sequence[float], found: Sequence[Figure], here: float) -> go.Figure:
    """ρ against the size of the meta step: the computed sizes, as far apart as on the viewer's slider."""
    positions = list(range(len(sizes)))
    figure = go.Figure()
    figure.add_scatter(
        x=positions,
        y=[each.value for each in found],
        mode="lines+markers",
        connectgaps=False,
        line={"color": BLUE, "width": 2.25},
        marker={"color": BLUE, "size": 9},
        customdata=[epsilon(size) for size in sizes],
        hovertemplate="ε = %{customdata}: ρ = %{y:.3f}<extra></extra>",
    )
    for position, each in zip(positions, found, strict=True):
        if each.value is None:
            figure.add_annotation(
                x=position, y=0, text="undefined", hovertext=each.reason, showarrow=False, textangle=-90,
                opacity=0.75,
            )  # fmt: skip
    if positions:
        position = min(positions, key=lambda each: abs(sizes[each] - here))
        figure.add_shape(
            type="rect", xref="x", yref="paper", x0=position - 0.4, x1=position + 0.4, y0=0, y1=1,
            fillcolor=BAND, line={"width": 0}, layer="below",
        )  # fmt: skip
    lowest = min((each.value for each in found if each.value is not None), default=0.0)
    figure.update_xaxes(
        tickvals=positions, ticktext=[epsilon(size) for size in sizes], range=[-0.5, len(sizes) - 0.5],
        showgrid=False, zeroline=False, fixedrange=True, ticks="", title={"text": "ε", "standoff": 6},
    )  # fmt: skip
    figure.update_yaxes(
        range=[-1.08 if lowest < -0.5 else -0.58 if lowest < 0 else -0.06, 1.08],
        tickvals=[-1, -0.5, 0, 0.5, 1], tickformat=".1~f", gridcolor=LINE, zeroline=True, zerolinecolor=LINE,
        zerolinewidth=1, fixedrange=True, ticks="",
    )  # fmt: skip
    return figure.update_layout(layout(height=CURVE_HEIGHT, margin={"l": 46, "r": 14, "t": 12, "b": 48}))
