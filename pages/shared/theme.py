"""HTML fragments in the product's style. Every text from outside is escaped here."""

import html
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import Page

from pages.shared.formats import NO_VALUE
from pages.shared.registry import ASSETS, PRODUCT, THEME_FILE, PageEntry
from saliency_core.export.tables import Cell, Table

EXPLAINING = "Explaining the photo"
FIRST_TIME = "The first time, the network has to be loaded, which takes some seconds."
_DRAWN = "page drawn"
WAY_OUT = "Choose another photo or class, or try again."


@cache
def _read(name: str) -> str:
    """A file of the assets, read once."""
    return (ASSETS / name).read_text(encoding="utf-8")


# The style sheet's name for a colour -> its name in Streamlit's theme.
_THEME_COLORS = {
    "--ng-accent": "primaryColor",
    "--ng-text": "textColor",
    "--ng-border": "borderColor",
    "--ng-surface": "secondaryBackgroundColor",
}


@cache
def palette(selector: str = '[data-testid="stApp"]') -> str:
    """The colours of the theme in `.streamlit/config.toml` as CSS variables, for light and dark."""
    theme = tomllib.loads(THEME_FILE.read_text(encoding="utf-8"))["theme"]
    lines = (
        f"{name}: light-dark({theme['light'][option]}, {theme['dark'][option]});"
        for name, option in _THEME_COLORS.items()
    )
    return f"{selector} {{ {' '.join(lines)} }}"


def style_sheet() -> str:
    """The style sheet of the app. The server puts it into the page itself: nothing is drawn without it."""
    return f"{palette()}\n{_read('app.css')}"


def plain_style_sheet() -> str:
    """The style sheet of the pages that are plain HTML, for the operator and for those who have to wait."""
    return f"{palette(':root')}\n{_read('plain.css')}"


def icon() -> str:
    """The product's mark, to be put into a page."""
    return _read("icon.svg")


def mark() -> None:
    """Put the product's mark on the page."""
    st.logo(_read("icon.svg"), size="large")


def phone_navigation(pages: Mapping[Page, PageEntry]) -> None:
    """The pages as a row of links: a narrow window has no room for the tabs in the header."""
    with st.container(key="phone-navigation", horizontal=True):
        for page, entry in pages.items():
            st.page_link(page, label=entry.phone_tab or page.title)


def page_title(title: str) -> str:
    """What the browser's tab says."""
    return f"{title} · {PRODUCT}"


def section(title: str) -> None:
    """The heading of a part of the sidebar."""
    st.html(f'<h2 class="ng-section">{html.escape(title)}</h2>')


def hint(text: str) -> None:
    """A quiet line under a control."""
    st.html(f'<p class="ng-hint">{html.escape(text)}</p>')


def heading(title: str, lead: str) -> None:
    """A page's title and the sentence that says what to do there."""
    with st.container(key="heading"):
        st.html(
            f'<header class="ng-heading"><h1>{html.escape(title)}</h1><p>{html.escape(lead)}</p></header>'
        )


def note(sentences: Sequence[str], *, error: bool = False) -> None:
    """A quiet panel with a few sentences."""
    lines = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    role, kind = ("alert", "ng-error") if error else ("status", "ng-info")
    st.html(f'<div class="ng-note {kind}" role="{role}" data-testid="note">{lines}</div>')


def lines(sentences: Sequence[str]) -> None:
    """A list of sentences, one under the other."""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    st.html(f'<ul class="ng-sentences">{items}</ul>')


def progress(title: str, fraction: float, words: str) -> None:
    """The progress of a computation: its title, a bar, and the same in words."""
    percent = f"{100 * fraction:.0f}"
    st.html(
        f'<div class="ng-progress" data-testid="progress"><p><b>{html.escape(title)}</b>'
        f"<span>{html.escape(words)}</span></p>"
        f'<div class="ng-track" role="progressbar" aria-label="{html.escape(title)}" aria-valuemin="0"'
        f' aria-valuemax="100" aria-valuenow="{percent}">'
        f'<i style="width: {100 * fraction:.1f}%"></i></div></div>'
    )


def table(
    shown: Table,
    written: Callable[[float], str] = str,
    *,
    missing: str = NO_VALUE,
    unfolded: bool = False,
    download: Table | None = None,
) -> None:
    """A table that can be folded: what a chart shows, in numbers that can be read aloud, copied and saved.

    `written` writes its numbers, `missing` stands where there is none. The file beside it has the numbers
    with all their digits; `download` is what it has instead.
    """

    def cell(value: Cell) -> str:
        text = missing if value is None else value if isinstance(value, str) else written(value)
        return html.escape(text)

    def row(name: Cell, *cells: Cell) -> str:
        values = "".join(f"<td>{cell(each)}</td>" for each in cells)
        return f'<tr><th scope="row">{cell(name)}</th>{values}</tr>'

    title = html.escape(shown.title)
    header = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in shown.head)
    body = "".join(row(*cells) for cells in shown.rows)
    notes = "".join(f"<p>{html.escape(remark)}</p>" for remark in shown.remarks)
    state = " open" if unfolded else ""
    with st.container(key=f"table-{shown.name}"):
        st.html(
            f'<details class="ng-table" data-testid="table"{state}><summary>{title}</summary>'
            f'<div tabindex="0" role="region" aria-label="{title}"><table>'
            f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>{notes}</details>"
        )
        csv_button(download or shown)


def csv_button(saved: Table, label: str = "CSV") -> None:
    """A small button that saves a table."""
    st.download_button(
        label,
        saved.csv(),
        f"normgrad-{saved.name}.csv",
        "text/csv",
        key=f"csv-{saved.name}",
        help=f"Save as CSV: {saved.title}",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
    )


def failure(sentence: str, retry: Callable[[], None] | None = None) -> None:
    """The panel shown instead of a scene that failed: why, and what to do."""
    note([sentence, WAY_OUT], error=True)
    st.button("Try again", key="try-again", on_click=retry)


def skeleton(path: str) -> DeltaGenerator:
    """A container for the skeleton, filled until the page is first drawn; later the old content stays."""
    room = st.empty()
    if st.session_state.get(_DRAWN) != path:
        room.html(_page_skeleton(path))
    return room


def note_drawn(path: str) -> None:
    """Note that the page has been drawn: it no longer needs a skeleton."""
    st.session_state[_DRAWN] = path


_TOOLS = '<i class="ng-bone ng-tools"></i>'
_PANEL = (
    '<div><i class="ng-bone ng-title"></i><i class="ng-bone ng-map"></i>'
    '<i class="ng-bone ng-scale"></i></div>'
)
_STRIP = '<i class="ng-bone ng-strip"></i>'
_TWO = f'{_TOOLS}<div class="ng-panels ng-two">{2 * _PANEL}</div>{_STRIP}'
_THREE = f'{_TOOLS}<div class="ng-panels ng-three">{3 * _PANEL}</div>{_STRIP}'
_CELL = 25 * '<i class="ng-bone ng-cell"></i>'
_CELLS = f'{_TOOLS}<div class="ng-cells">{_CELL}</div>'
_BESIDE = f'<div class="ng-beside"><div>{_TOOLS}{_STRIP}</div><i class="ng-bone ng-words"></i></div>'
_BODIES = {"framework": _CELLS, "why": _BESIDE, "classes": _THREE}


def _page_skeleton(path: str) -> str:
    """The outline of a page, and in words what one waits for; the second sentence appears after a moment."""
    return (
        f'<div class="ng-skeleton ng-page" data-testid="skeleton">{_BODIES.get(path, _TWO)}'
        f'<p class="ng-waiting" role="status">{EXPLAINING}<small>{FIRST_TIME}</small></p></div>'
    )


MAPS_SKELETON = (
    f'<div class="ng-skeleton" data-testid="skeleton" role="status" aria-label="{EXPLAINING}">{_THREE}</div>'
)
_ROWS = "".join(f'<i class="ng-bone ng-row" style="width: {width}%"></i>' for width in (100, 86, 72, 64, 58))
LIST_SKELETON = f'<div class="ng-list" aria-hidden="true">{_ROWS}<i class="ng-bone ng-box"></i></div>'
