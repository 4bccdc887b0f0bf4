"""Turns a session's choice into the scene that its page draws, in background tasks."""

from dataclasses import replace
from functools import partial

from pages.shared import method_lists, photos
from pages.shared.address import Choice
from pages.shared.engine import shared_engine
from pages.shared.photos import Photo, PhotoFile
from pages.shared.session import Scene, Session, model_task
from saliency_core.engine.request import ExplainRequest, ModelInfo
from saliency_core.methods.registry import SINGLE_PASS

MAX_DECODING = 4
"""Photos of one session that are decoded at once; others wait."""


def request_of(
    choice: Choice, digest: str, info: ModelInfo | None = None, *, steps: bool = True
) -> ExplainRequest:
    """The request for a choice, on the photo with this digest.

    With the model's `info` it has the extra layers, and where one of the layers is a convolution or linear,
    also the methods that are defined there alone. `steps`: also the meta step.
    """
    request = ExplainRequest(
        photo=digest,
        model=choice.model,
        target=choice.target,
        fit=choice.fit,
        variant=choice.variant if steps else None,
    )
    if info is None:
        return request
    layers = info.chosen(choice.extra_layers) if choice.extra_layers else None
    if info.convolutions.isdisjoint(layers or info.default_layers):
        return replace(request, layers=layers)
    return replace(request, layers=layers, methods=(*SINGLE_PASS, *method_lists.AT_CONVOLUTIONS))


def take_uploads(session: Session) -> None:
    """Add the files decoded by now to the strip, and say what is wrong with the others."""
    waiting = 0
    for file in tuple(session.arriving):
        photo = _decoded(session, file) if waiting < MAX_DECODING else None
        error = session.tasks.error(("decode", file.digest))
        if photo is None and error is None:
            waiting += 1
            continue
        session.arriving.remove(file)  # one by one: a run may be stopped anywhere
        if photo is not None:
            session.add_upload(replace(photo.file, name=file.name))
        else:
            session.refusals.append(f"{file.name}: {error}")
            session.uploads.forget([file])


def update(session: Session, *, steps: bool) -> None:
    """Show the choice once it is explained; until then the old scene stays, or `session.failure` is set."""
    session.failure = None
    engine, tasks, model = shared_engine(), session.tasks, session.choice.model
    loading = model_task(model)
    info = tasks.result(loading, partial(engine.load, model), title="Loading the model", inline=True)
    photo = _photo(session)
    if info is None or photo is None:
        _fail(session, loading)
        return
    session.restrict(info)
    request = request_of(session.choice, photo.file.digest, info, steps=steps)
    title = f"Explaining {photo.shown.name}"
    explanation = tasks.result(
        request,
        partial(engine.submit, request, photo.image, title=title, session=tasks.session),
        title=title,
        inline=True,
        slot="scene",
    )
    if explanation is None:
        _fail(session, request)
        return
    answered = replace(request, target=explanation.target)
    shown = photos.with_objects_of(photo.shown, info.labels)
    session.show(Scene(session.choice.photo, answered, info, shown, photo.image, explanation))


def _fail(session: Session, key: object) -> None:
    """Note why the task of this key failed, if it has."""
    error = session.tasks.error(key)
    if error is not None:
        session.fail(error, key)


def _photo(session: Session) -> Photo | None:
    """The photo that is chosen; None while it is being decoded."""
    file = session.photo_file()
    if file is None:
        return photos.sample(session.choice.photo)
    photo = _decoded(session, file)
    if photo is None:
        _fail(session, ("decode", file.digest))
        return None
    return replace(photo, file=file, shown=replace(photo.shown, name=file.name))


def _decoded(session: Session, file: PhotoFile) -> Photo | None:
    """The photo in a file, from the store or decoded in a task; None while it is not there."""
    known = photos.photo_store().peek(file.digest)
    if known is not None:
        return known
    key, title = ("decode", file.digest), f"Reading {file.name}"
    start = partial(
        shared_engine().run,
        key,
        lambda _: photos.open_upload(file),
        title=title,
        total=0,
        short=True,
        session=session.tasks.session,
    )
    return session.tasks.result(key, start, title=title, inline=True)
