"""What all charts have in common. Their colours are those of the theme, which the browser fills in."""

from typing import Any

from pages.shared.session import session

# Streamlit's stand-ins for the theme's `chartCategoricalColors`: the browser puts in those of light or dark.
ORANGE, BLUE, GREEN, PURPLE, GREY = (f"#00000{number}" for number in range(1, 6))
BAND = "rgba(128, 140, 170, 0.15)"
LINE = "rgba(128, 140, 170, 0.25)"
FONT = "Inter, 'Inter fallback', system-ui, sans-serif"
CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False, "showTips": False}


TEXT_SIZE, LECTURE_TEXT_SIZE = 13, 18
"""Of all text in a chart, in pixels."""


def text_size() -> int:
    """The size of a chart's text: larger in lecture mode."""
    return LECTURE_TEXT_SIZE if session().view["present"] else TEXT_SIZE


def layout(**own: Any) -> dict[str, Any]:
    """What all charts have in common, with what is specific to one."""
    size = text_size()
    return {
        "showlegend": False,
        "dragmode": False,
        "hovermode": "closest",
        "font": {"family": FONT, "size": size},
        "xaxis": {"tickfont": {"size": size}},
        "yaxis": {"tickfont": {"size": size}},
        "hoverlabel": {"font": {"family": FONT, "size": size}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "uirevision": "kept",
        **own,
    }
