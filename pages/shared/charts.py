"""What all charts have in common. Their colours are those of the theme, which the browser fills in."""

from typing import Any

# Streamlit's stand-ins for the theme's `chartCategoricalColors`: the browser puts in those of light or dark.
ORANGE, BLUE, GREEN, PURPLE, GREY = (f"#00000{number}" for number in range(1, 6))
BAND = "rgba(128, 140, 170, 0.15)"
LINE = "rgba(128, 140, 170, 0.25)"
FONT = "Inter, system-ui, sans-serif"
CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False, "showTips": False}


def layout(**own: Any) -> dict[str, Any]:
    """What all charts have in common, with what is specific to one."""
    return {
        "showlegend": False,
        "dragmode": False,
        "hovermode": "closest",
        "font": {"family": FONT, "size": 12},
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "uirevision": "kept",
        **own,
    }
