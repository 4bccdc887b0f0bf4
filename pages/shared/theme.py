"""Pieces of HTML with the product's look. Every text that comes from outside is escaped here."""

import html
from collections.abc import Iterable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import Page

from pages.shared.registry import ASSETS, PRODUCT


def apply() -> None:
    """Put the style sheet and the product's mark on the page."""
    st.html(ASSETS / "app.css")
    st.logo((ASSETS / "icon.svg").read_text(encoding="utf-8"), size="large")


def phone_navigation(pages: Iterable[Page]) -> None:
    """The pages as a row of links: a narrow window has no room for the tabs in the header."""
    with st.container(key="phone-navigation", horizontal=True):
        for page in pages:
            st.page_link(page)


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
    st.html(f'<header class="ng-heading"><h1>{html.escape(title)}</h1><p>{html.escape(lead)}</p></header>')


def note(sentences: Sequence[str], *, error: bool = False) -> None:
    """A quiet panel with a few sentences."""
    lines = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    role, kind = ("alert", "ng-error") if error else ("status", "ng-info")
    st.html(f'<div class="ng-note {kind}" role="{role}" data-testid="note">{lines}</div>')


def progress(title: str, fraction: float, left: str) -> None:
    """How far a computation is: what it is, a bar, the share that is done, and the time it will take."""
    percent = f"{100 * fraction:.0f}"
    st.html(
        f'<div class="ng-progress" data-testid="progress"><p><b>{html.escape(title)}</b>'
        f"<span>{percent} % · {html.escape(left)}</span></p>"
        f'<div class="ng-track" role="progressbar" aria-label="{html.escape(title)}" aria-valuemin="0"'
        f' aria-valuemax="100" aria-valuenow="{percent}">'
        f'<i style="width: {100 * fraction:.1f}%"></i></div></div>'
    )


def tiles(entries: Iterable[tuple[str, str]]) -> None:
    """A few numbers that stand out, each with its meaning."""
    items = "".join(
        f"<div><dd>{html.escape(value)}</dd><dt>{html.escape(meaning)}</dt></div>"
        for value, meaning in entries
    )
    st.html(f'<dl class="ng-tiles" data-testid="tiles">{items}</dl>')


def table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], remarks: Sequence[str] = ()
) -> None:
    """A table to unfold: what a chart shows, in numbers that can be read aloud and copied."""

    def row(name: str, *cells: str) -> str:
        values = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        return f'<tr><th scope="row">{html.escape(name)}</th>{values}</tr>'

    header = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(row(*cells) for cells in rows)
    notes = "".join(f"<p>{html.escape(remark)}</p>" for remark in remarks)
    st.html(
        f'<details class="ng-table" data-testid="table"><summary>{html.escape(title)}</summary>'
        f'<div tabindex="0" role="region" aria-label="{html.escape(title)}"><table>'
        f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>{notes}</details>"
    )


def failure(sentence: str = "Something went wrong here, and nothing was lost.") -> None:
    """The panel in the place of what cannot be shown: why, what to do, and no traceback."""
    note([sentence, "Choose another photo or class, or try once more."], error=True)
    st.button("Try again", key="retry")


def skeleton(path: str) -> DeltaGenerator:
    """The place of the skeleton, filled when the page is new on the screen; later the old picture stays."""
    place = st.empty()
    if st.session_state.get("skeleton") != path:
        st.session_state["skeleton"] = path
        place.html(_SKELETON)
    return place


_PANEL = "".join(f'<i class="ng-bone ng-{part}"></i>' for part in ("title", "map", "scale"))
_SKELETON = (
    '<div class="ng-skeleton" data-testid="skeleton" role="status" aria-label="The photo is being explained">'
    '<i class="ng-bone ng-tools"></i>'
    f'<div class="ng-panels"><div class="ng-panel">{_PANEL}</div><div class="ng-panel">{_PANEL}</div></div>'
    '<i class="ng-bone ng-strip"></i></div>'
)
_ROWS = "".join(f'<i class="ng-bone ng-row" style="width: {width}%"></i>' for width in (100, 86, 72, 64, 58))
LIST_SKELETON = f'<div class="ng-list" aria-hidden="true">{_ROWS}<i class="ng-bone ng-box"></i></div>'
