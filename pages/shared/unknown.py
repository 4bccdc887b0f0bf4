"""An address at which there is no page: the app says so in its frame, and shows the way to its pages."""

from collections.abc import Mapping

import streamlit as st
from streamlit.navigation.page import Page
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.shared import theme
from pages.shared.registry import PageEntry, entry_at
from pages.shared.uploads import printable

TITLE = "There is no page here"
_ADDRESS = "unknown address"


def asked() -> str | None:
    """The address without a page at which this browser tab has arrived, or None.

    Only the first run knows it by name. Streamlit itself would show the default page, below a dialog about a
    folder of the server.
    """
    context = get_script_run_ctx(suppress_warning=True)
    name = context.pages_manager.intended_page_name if context is not None else None
    if name and entry_at(name) is None:
        st.session_state[_ADDRESS] = name
    return st.session_state.get(_ADDRESS)


def page(address: str) -> Page:
    """A hidden page at this address."""
    found = st.Page(lambda: None, title=TITLE, url_path="unknown", visibility="hidden")
    # The constructor refuses nested paths, for which the server's shell is ready here.
    found._url_path = address
    return found


def draw(address: str, pages: Mapping[Page, PageEntry]) -> None:
    """The page's text, and links to the app's pages."""
    theme.heading(f"There is no page at /{printable(address)}", "")
    theme.hint("The address may be misspelt or out of date. These are the pages:")
    with st.container(key="unknown-address"):
        for each, entry in pages.items():
            st.page_link(each, label=f"**{entry.title}**  \n{entry.lead}", width="stretch")
