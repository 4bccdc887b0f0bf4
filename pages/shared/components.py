"""The small components around the viewer: the strip of photos, the list of classes, lecture mode."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

_SOURCES = Path(__file__).with_name("components_web")


@cache
def _component(name: str, html: str) -> Callable[..., Any]:
    """A component; its files are read once."""
    css, js = ((_SOURCES / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component(f"normgrad_{name}", html=html, css=css, js=js)


def _gallery() -> Callable[..., Any]:
    return _component("gallery", '<div class="strip" role="group" aria-label="Photos"></div>')


def _class_list() -> Callable[..., Any]:
    return _component("class_list", '<div class="list" role="group" aria-label="Most likely classes"></div>')


def _sent(key: str, trigger: str) -> Any:
    state = st.session_state.get(key)
    return state.get(trigger) if isinstance(state, Mapping) else None


def gallery(
    photos: list[dict[str, Any]],
    selected: str,
    *,
    on_choose: Callable[[str], None],
    on_remove: Callable[[str], None],
    key: str = "gallery",
) -> None:
    """Thumbnails to choose from: each photo gives its `key`, `name` and `thumb` (a data URI).

    Those that are `removable` have a button that removes them.
    """

    def chosen() -> None:
        choice = _sent(key, "chosen")
        if isinstance(choice, str) and any(choice == photo["key"] for photo in photos):
            on_choose(choice)

    def removed() -> None:
        choice = _sent(key, "removed")
        if any(choice == photo["key"] and photo.get("removable") for photo in photos):
            on_remove(choice)

    _gallery()(
        data={"photos": photos, "selected": selected},
        key=key,
        on_chosen_change=chosen,
        on_removed_change=removed,
    )


def class_list(
    classes: list[dict[str, Any]], selected: int, *, on_choose: Callable[[int], None], key: str = "classes"
) -> None:
    """Classes to choose from: each gives its `index`, `label`, `probability`, and that as text, `percent`."""

    def chosen() -> None:
        choice = _sent(key, "chosen")
        if isinstance(choice, int | float) and any(choice == entry["index"] for entry in classes):
            on_choose(int(choice))

    _class_list()(data={"classes": classes, "selected": selected}, key=key, on_chosen_change=chosen)


def _lecture() -> Callable[..., Any]:
    return _component("lecture", '<div class="lecture" role="group" aria-label="Lecture"></div>')


def lecture(present: bool, *, keys: bool, on_present: Callable[[bool], None], key: str) -> None:
    """The buttons that copy the address and switch lecture mode; with `keys` also its keys, once per page."""

    def switched() -> None:
        choice = _sent(key, "present")
        if choice in ("on", "off"):
            on_present(choice == "on")

    _lecture()(data={"present": present, "keys": keys}, key=key, on_present_change=switched)
