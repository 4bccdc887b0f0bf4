"""The charts of the page on class sensitivity."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

import saliency_core as sc
from pages.shared.charts import BAND, BLUE, FONT, GREY, LINE, layout, text_size
from pages.shared.figure import Figure
from pages.shared.formats import epsilon, rho, signed

# Streamlit's stand-ins for the theme's `chartDivergingColors`, ten from the lowest value to the highest.
DIVERGING = [[index / 9, f"#0000{21 + index}"] for index in range(10)]
PENDING = Figure(None, "Not computed yet.")
PENDING_TEXT = "…"
ROW_HEIGHT = 27
HEAD, FOOT = 30, 8
CURVE_HEIGHT = 300
REACH = 60  # pixels around a cell's centre within which it counts as hovered over


def grid(
    rows: Mapping[str, Sequence[Figure]],
    layers: Sequence[str],
    here: tuple[str, str],
    remarks: Mapping[tuple[str, str], str],
    *,
    change: bool = False,
) -> go.Figure:
    """Methods as rows, layers as columns: a correlation in every cell, a gap where there is none.

    `here` is the cell shown in the viewer, `remarks` what else the cells say when hovered over. Clicks on a
    heat map are not reported by Streamlit: invisible squares above it take them, with method and layer.
    """
    methods = list(rows)
    cells = [(method, layer) for method in methods for layer in layers]
    found = {
        (method, layer): each
        for method, line in rows.items()
        for layer, each in zip(layers, line, strict=True)
    }
    figure = go.Figure()
    figure.add_heatmap(
        x=list(range(len(layers))),
        y=list(range(len(methods))),
        z=[[each.value for each in line] for line in rows.values()],
        zmin=-1,
        zmax=1,
        colorscale=DIVERGING,
        showscale=False,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        text=[[_written(each, change) for each in line] for line in rows.values()],
        texttemplate="%{text}",
        textfont={"size": text_size(), "family": FONT},
    )
    figure.add_scatter(
        x=[layers.index(layer) for _, layer in cells],
        y=[methods.index(method) for method, _ in cells],
        mode="markers",
        marker={"symbol": "square", "size": ROW_HEIGHT - 3, "color": "rgba(0,0,0,0)", "opacity": 1},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        customdata=[list(cell) for cell in cells],
        text=[_hover(cell, found[cell], remarks.get(cell, ""), change) for cell in cells],
        hovertemplate="%{text}<extra></extra>",
    )
    column, row = layers.index(here[1]), methods.index(here[0]) if here[0] in methods else None
    if row is not None:
        figure.add_shape(
            type="rect", x0=column - 0.47, x1=column + 0.47, y0=row - 0.45, y1=row + 0.45,
            line={"color": GREY, "width": 2.5},
        )  # fmt: skip
    figure.update_xaxes(
        side="top", tickvals=list(range(len(layers))), ticktext=list(layers), range=[-0.5, len(layers) - 0.5],
        showgrid=False, zeroline=False, fixedrange=True, ticks="", tickangle=0,
        tickfont={"size": text_size()},
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(methods))), ticktext=[title(method) for method in methods],
        range=[len(methods) - 0.5, -0.5], showgrid=False, zeroline=False, fixedrange=True, ticks="",
        automargin=True,
    )  # fmt: skip
    return figure.update_layout(
        layout(
            height=HEAD + FOOT + ROW_HEIGHT * len(methods),
            margin={"l": 8, "r": 8, "t": HEAD, "b": FOOT},
            hoverdistance=REACH,
            clickmode="event+select",
        )
    )


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
                font={"size": text_size()}, opacity=0.75,
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


def title(method: str) -> str:
    """The method's name, short enough for the axis."""
    return sc.METHODS[method].short_title


def _written(figure: Figure, change: bool) -> str:
    if figure is PENDING:
        return PENDING_TEXT
    if figure.value is None:
        return "–"
    return signed(figure.value) if change else rho(figure.value)


def _hover(cell: tuple[str, str], figure: Figure, remark: str, change: bool) -> str:
    method, layer = cell
    value = "undefined" if figure.value is None else _written(figure, change)
    name = "Change of ρ" if change else "ρ"
    lines = [f"<b>{sc.METHODS[method].title}</b> at {layer}", f"{name}: {value}", *_wrapped(figure.reason)]
    return "<br>".join([*lines, *([remark] if remark else [])])


def _wrapped(text: str, width: int = 56) -> list[str]:
    """Lines of at most `width` characters, where words allow it."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
