"""The small components around the viewer: photos, models, the list of classes, lecture mode, Share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared import class_search, own_models
from pages.shared.own_models import OwnModels
from pages.shared.uploads import MAX_UPLOADS
from saliency_core.viewer.bundle import join

_SOURCES = Path(__file__).with_name("components_web")


@cache
def _component(name: str, html: str, module: str = "") -> Callable[..., Any]:
    """A component of a module with those that it imports, and their style sheets; its files are read once."""
    modules = join(_SOURCES, f"{module or name}.js")
    sheets = (_SOURCES / f"{each.removesuffix('.js')}.css" for each in modules if not each.startswith(".."))
    css = "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets if sheet.is_file())
    return st.components.v2.component(f"normgrad_{name}", html=html, css=css, js="\n".join(modules.values()))


def _gallery() -> Callable[..., Any]:
    return _component("gallery", '<div class="strip"></div>')


def _class_list() -> Callable[..., Any]:
    html = '<div class="list" role="group" aria-label="Most likely classes"></div><div class="all"></div>'
    return _component("class_list", html)


def _sent(key: str, trigger: str) -> Any:
    state = st.session_state.get(key)
    return state.get(trigger) if isinstance(state, Mapping) else None


@dataclass(frozen=True)
class TabSession:
    """The session that a browser tab talks to: its token, and whether it knows the photos the tab had."""

    token: str
    restored: bool


def gallery(
    *,
    samples: list[dict[str, Any]],
    uploads: list[dict[str, Any]],
    selected: str,
    session: TabSession,
    on_choose: Callable[[str], None],
    on_remove: Callable[[str], None],
    on_restore: Callable[[object], None],
    key: str = "gallery",
) -> None:
    """Thumbnails to choose from: each photo gives its `key`, `name` and `thumb` (a data URI).

    Uploads have a button that removes them. The tab remembers them; `on_restore` is called with what it
    remembers, unchecked, when it meets a session that does not know them.
    """

    def chosen() -> None:
        choice = _sent(key, "chosen")
        if isinstance(choice, str) and any(choice == photo["key"] for photo in (*samples, *uploads)):
            on_choose(choice)

    def removed() -> None:
        choice = _sent(key, "removed")
        if any(choice == photo["key"] for photo in uploads):
            on_remove(choice)

    _gallery()(
        data={
            "samples": samples,
            "uploads": uploads,
            "limit": MAX_UPLOADS,
            "selected": selected,
            "session": session.token,
            "restored": session.restored,
        },
        key=key,
        on_chosen_change=chosen,
        on_removed_change=removed,
        on_restored_change=lambda: on_restore(_sent(key, "restored")),
    )


def _models() -> Callable[..., Any]:
    return _component("models", '<div class="root"></div>', "models/models")


def model_picker(
    *,
    card: dict[str, Any],
    own: list[dict[str, Any]],
    session: OwnModels,
    on_choose: Callable[[str], None],
    on_remove: Callable[[str], None],
    key: str = "models",
) -> None:
    """The model on the screen as a card, with the dialog in which another one is chosen.

    `card` and `own`, the session's own networks, are as `models.card` and `models.describe` give them.
    """

    def chosen() -> None:
        choice = _sent(key, "chosen")
        if isinstance(choice, str):
            on_choose(choice)

    def removed() -> None:
        choice = _sent(key, "removed")
        if isinstance(choice, str) and choice in session:
            on_remove(choice)

    _models()(
        data={
            "card": card,
            "own": own,
            "token": session.token,
            "limit": own_models.MAX_FILE_BYTES,
            "labels": own_models.MAX_LABEL_BYTES,
            "full": own_models.FULL if session.full else "",
        },
        key=key,
        on_chosen_change=chosen,
        on_removed_change=removed,
    )


def class_list(
    classes: list[dict[str, Any]],
    *,
    model: str,
    labels: tuple[str, ...],
    kind: str,
    session: OwnModels,
    on_choose: Callable[[int], None],
    key: str = "classes",
) -> None:
    """Classes to choose from: each has its `index`, `label` and `probability`, and as `share` a text on that.

    `selected` says whether it is the one explained; a class with a `letter` is marked with it. Where these
    are not all `labels` of the model, which are of this `kind`, all can be searched; they stay on the server,
    as there may be tens of thousands.
    """
    class_search.offer(model, labels)

    def chosen() -> None:
        choice = _sent(key, "chosen")
        if isinstance(choice, int | float) and choice in range(len(labels)):
            on_choose(int(choice))

    data = {
        "classes": classes,
        "model": model,
        "token": session.token,
        "placeholder": f"Search all {len(labels):,} {kind}" if len(labels) > len(classes) else "",
    }
    _class_list()(data=data, key=key, on_chosen_change=chosen)


def _lecture() -> Callable[..., Any]:
    return _component("lecture", '<div class="lecture" role="group" aria-label="Lecture"></div>')


def lecture(present: bool, *, keys: bool, on_present: Callable[[bool], None], key: str) -> None:
    """The button that switches lecture mode; with `keys` also its keys, once per page."""

    def switched() -> None:
        choice = _sent(key, "present")
        if choice in ("on", "off"):
            on_present(choice == "on")

    _lecture()(data={"present": present, "keys": keys}, key=key, on_present_change=switched)


def _share() -> Callable[..., Any]:
    return _component("share", '<div class="root"></div>', "share/share")


def share(token: str, *, dialog: bool, key: str) -> None:
    """The button that opens the dialog Share, which is part of it where `dialog` says so, once per page."""
    _share()(data={"token": token, "dialog": dialog}, key=key)


def _score_table() -> Callable[..., Any]:
    return _component("score_table", '<div class="scores" tabindex="-1"></div>')


def score_table(
    label: str,
    rows: list[dict[str, str]],
    columns: list[dict[str, str]],
    scores: list[list[dict[str, Any] | None]],
    *,
    chosen: tuple[str, str] | None,
    on_choose: Callable[[str, str], None],
    key: str,
) -> None:
    """A table of scores that is sorted in the browser, and whose cells can be chosen.

    Rows and columns have a `name` and a `title`; a score has a `text`, an `interval`, the `rank` by which
    rows are sorted (higher is better), a `shade` from 0 to 1, a `note`, and whether it is the `best`.
    """

    def choose() -> None:
        cell = _sent(key, "chosen")
        names = {each["name"] for each in rows}, {each["name"] for each in columns}
        if isinstance(cell, list | tuple) and len(cell) == 2 and cell[0] in names[0] and cell[1] in names[1]:
            on_choose(cell[0], cell[1])

    _score_table()(
        data={"label": label, "rows": rows, "columns": columns, "scores": scores, "chosen": chosen},
        key=key,
        on_chosen_change=choose,
    )
