"""The page's own parts of the browser: components made of modules here and of the viewer's."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from saliency_core.viewer.bundle import THEME, WEB, join

FOLDER = Path(__file__).with_name("web")


@functools.cache
def component(name: str) -> Callable[..., Any]:
    """The component of the module `name`, in the viewer's look; its files are read once."""
    modules = join(FOLDER, f"{name}.js")
    sheets = [WEB / THEME, *(FOLDER / f"{each.removesuffix('.js')}.css" for each in modules)]
    css = "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets if sheet.is_file())
    html = f'<div class="viewer"><div class="{name}"></div></div>'
    return st.components.v2.component(f"normgrad_{name}", html=html, css=css, js="\n".join(modules.values()))


@functools.cache
def updates(name: str) -> Callable[..., Any]:
    """The invisible component of the module `name`, which passes on what changes often."""
    js = "\n".join(join(FOLDER, f"{name}.js").values())
    return st.components.v2.component(f"normgrad_{name}", html="", js=js)
