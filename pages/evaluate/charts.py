"""The charts of the page Evaluate."""

import html
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from pages.shared.charts import BLUE, GREEN, GREY, LINE, ORANGE, PURPLE, layout, text_size

HEIGHT = 300
TOP, BOTTOM, LEFT, RIGHT = 8, 62, 40, 20
MARKED = (BLUE, ORANGE, GREEN, PURPLE)
"""The colours of the methods that stand out, in their order."""


def fall(
    stages: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    marked: Sequence[str],
) -> go.Figure:
    """A figure of likeness for every method, from the trained network to one with all weights drawn anew.

    Args:
        stages: from the output down.
        lines: method's title -> the figure after each stage, None where it is undefined.
        marked: the titles that stand out, four at most.
    """
    figure = go.Figure()
    across = list(range(len(stages) + 1))
    others = [name for name in lines if name not in marked]
    for name in (*others, *marked):  # what stands out is drawn last
        color = MARKED[marked.index(name)] if name in marked else GREY
        figure.add_scatter(
            x=across,
            y=[1.0, *lines[name]],
            name=name,
            mode="lines",
            connectgaps=False,
            line={"color": color, "width": 2.5 if name in marked else 1},
            opacity=1 if name in marked else 0.55,
            customdata=["trained", *stages],
            hovertemplate=f"{name}, %{{customdata}}: %{{y:.2f}}<extra></extra>",
        )
    values = [value for line in lines.values() for value in line if value is not None]
    low = -1.05 if min(values, default=0.0) < -0.25 else -0.3
    ticks = {"size": text_size()}
    figure.update_xaxes(
        range=[-0.2, len(stages) + 0.2], tickvals=across, ticktext=["trained", *stages], tickfont=ticks,
        tickangle=-45, showgrid=False, zeroline=False, fixedrange=True, ticks="",
    )  # fmt: skip
    figure.update_yaxes(
        range=[low, 1.05], tickvals=[-1, -0.5, 0, 0.5, 1], tickfont=ticks, tickformat=".1~f", gridcolor=LINE,
        zeroline=True, zerolinecolor=LINE, fixedrange=True, ticks="",
    )  # fmt: skip
    margin = {"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM}
    return figure.update_layout(layout(height=HEIGHT, margin=margin))


def key_to_lines(marked: Sequence[str]) -> str:
    """The line under the title that says which colour is which method, as HTML."""
    named = "".join(
        f'<span><i class="ng-line-{index}"></i>{html.escape(name)}</span>'
        for index, name in enumerate(marked)
    )
    return f'<p class="ng-lines">{named}<span><i class="ng-line-other"></i>other methods</span></p>'
