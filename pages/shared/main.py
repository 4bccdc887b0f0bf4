"""The script of every run: the frame with its navigation first, then what the page shows."""

import streamlit as st

from pages.shared import studio, theme, unknown
from pages.shared.registry import ASSETS, HOME, PAGES, PRODUCT

st.set_page_config(
    page_title=PRODUCT, page_icon=str(ASSETS / "icon.svg"), layout="wide", initial_sidebar_state=304
)
theme.mark()

pages = {
    st.Page(each.path, title=each.tab or each.title, icon=each.icon, url_path=each.slug): each
    for each in PAGES
}
# Streamlit serves its default page at the empty path only. With a hidden one, every page keeps its address.
first = st.Page(HOME.path, title=HOME.title, url_path="home", default=True, visibility="hidden")
address = unknown.asked()
nowhere = None if address is None else unknown.page(address)
page = st.navigation([first, *pages, *([nowhere] if nowhere else [])], position="top")
entry = pages.get(page, HOME)

if nowhere and address and page == nowhere:
    st.set_page_config(page_title=theme.page_title(unknown.TITLE))
    theme.phone_navigation(pages)
    unknown.draw(address, pages)
else:
    st.set_page_config(page_title=theme.page_title(entry.title))
    theme.phone_navigation(pages)
    theme.heading(entry.title, entry.lead)
    room = theme.skeleton(page.url_path)
    studio.run(page.url_path, page.run, room)
