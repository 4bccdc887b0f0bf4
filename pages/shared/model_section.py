"""The sidebar's model: a card of the one on the screen, the dialog behind it, the loading of the next."""

from functools import partial
from typing import Any

import saliency_core as sc
from pages.shared import components, models, theme
from pages.shared.engine import shared_engine
from pages.shared.session import Session, model_task
from saliency_core.engine.request import ModelInfo
from saliency_core.engine.tasks import Task

LOADING = "Loading…"


def draw(session: Session) -> None:
    """Draw the section, and follow the model that is being loaded."""
    theme.section("Model")
    _follow(session)
    components.model_picker(
        card=_card(session),
        own=[models.describe(models.look_up(each.name)) for each in session.own],
        session=session.own,
        on_choose=session.choose_model,
        on_remove=session.remove_model,
    )


def _card(session: Session) -> dict[str, Any]:
    name = session.latest.model
    found = models.listing(name, session.tasks)
    card = {"name": name, "title": _title(session, name), "facts": "", "state": models.HERE, "kind": "local"}
    if found is not None:
        card = models.card(found)
    if name != session.choice.model:
        card |= {"state": LOADING, "kind": "download"}
    return card


def _title(session: Session, name: str) -> str:
    return session.own.title(name) or models.title(name)


def loading(model: str) -> Task[ModelInfo]:
    """The task that loads a model; if it went since it was chosen, one that says so."""
    try:
        return shared_engine().load(model)
    except sc.SaliencyError as error:
        return Task.refused(model_task(model), error)


def _follow(session: Session) -> None:
    """Load the next model, while the page goes on showing the current one."""
    coming = session.selection.coming
    if coming is None:
        return
    loaded = session.tasks.result(
        model_task(coming.model),
        partial(loading, coming.model),
        title=_title(session, coming.model),
        long=True,
        on_drop=session.selection.give_up,
        remark=f"You’re still seeing {_title(session, session.choice.model)}.",
    )
    if loaded is not None:
        session.arrive()
