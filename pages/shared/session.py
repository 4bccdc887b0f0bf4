"""The state of one session: its selection, its uploads, its tasks, and what its viewer shows.

The selection is the single source of truth. Widgets are set from it before they are drawn and write to it in
their callbacks; the address is read when a session begins (or the browser goes back) and written after every
run.
"""

import secrets
import threading
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import streamlit as st
from PIL import Image
from streamlit.runtime.scriptrunner import get_script_run_ctx

import saliency_core as sc
from pages.shared import address, models, own_models, photos
from pages.shared.address import LEARN, Choice
from pages.shared.engine import shared_engine
from pages.shared.own_models import OwnModels
from pages.shared.photos import PhotoFile
from pages.shared.registry import PageEntry
from pages.shared.selection import Selection
from pages.shared.tasks import Tasks
from pages.shared.uploads import Uploads, listed, made_room, remembered
from saliency_core.engine.request import ExplainRequest, ModelInfo
from saliency_core.models.catalogue.default import DEFAULT_TITLE
from saliency_core.viewer import schema
from saliency_core.viewer.correlations import Correlations
from saliency_core.viewer.payload import ClassComparison, DisplayPhoto

Methods = tuple[str, str]
METHOD_FIELDS = ("left", "right")
"""The fields of the view that name the two methods."""

STEPS = (0.0, 0.0003, 0.001, 0.0025, 0.006, 0.015, 0.04, 0.1)
"""The sizes of a meta step that are offered, about equally far apart on a log scale; 0 is no change."""
GONE = "The photo in this link is no longer on the server. Upload it again."
NO_PHOTO = "The photo in this link does not exist here. The first sample is shown instead."
NO_MODEL = f"There is no model of the name in this link. {DEFAULT_TITLE} is shown instead."
NOT_YOURS = (
    "The model in this link was uploaded in another session, and only that one can use it; a reload of the "
    "page starts a new one. If the model is yours, upload it again. "
    f"{DEFAULT_TITLE} is shown instead."
)
UNUSABLE = "Some of this link could not be used and was left out: {names}."
TOO_MANY_LAYERS = (
    f"At most {schema.MAX_EXTRA_LAYERS} layers can be added, so {{rest}} of this link’s were left out."
)

_SESSION = "studio"
_sessions: "WeakValueDictionary[str, Session]" = WeakValueDictionary()
_lock = threading.Lock()  # of _sessions: requests come in several threads


@dataclass(frozen=True)
class Scene:
    """What a page draws: the answer to a request, with the photo for the network and for the browser.

    `key` is the photo's name in the address. `request` has the class that was explained; variations of it are
    made with `dataclasses.replace`.
    """

    key: str
    request: ExplainRequest
    model: ModelInfo
    photo: DisplayPhoto
    image: Image.Image
    explanation: sc.Explanation

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, input to output."""
        return tuple(layer.name for layer in self.explanation.layers)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the viewer on the screen shows, for files that are made of it.

    `page` is the page's slug and `mode` the viewer's. `explanation` is the scene's with the methods that were
    added to it, and `unavailable` says of methods why they do not exist for this network. `view` is the view
    that the page was drawn with: what the browser shows in the meantime, it says itself. `comparison` and
    `correlations` are there in the mode "classes" alone.
    """

    page: str
    mode: str
    scene: Scene
    explanation: sc.Explanation
    view: schema.View
    unavailable: Mapping[str, str]
    comparison: ClassComparison | None = None
    correlations: Correlations | None = None


class ViewerState:
    """What Python and the browser agree on about the viewer of a page.

    `revision` rises whenever the browser must take over the session's view, and never falls. `pair` and
    `layer` are the methods and the layer of a page that has its own; those of the other pages stay as they
    are. `start` is what the page began with for the photo and the model in `started`; `given`: the address
    had a method. `settled` are the last two methods of the other pages that had their maps. `shown` is what
    is on the screen.
    """

    def __init__(self) -> None:
        self.revision = 1
        self.page: str | None = None
        self.pair: Methods | None = None
        self.layer: str | None = None
        self.start: tuple[Methods, str] | None = None
        self.started: Hashable = None
        self.given = False
        self.settled: Methods = schema.DEFAULT_METHODS
        self.shown: Shown | None = None

    def raise_revision(self) -> None:
        """Make the browser take over the view."""
        self.revision += 1

    def enter(self, entry: PageEntry) -> None:
        """A page's viewer is new on the screen."""
        self.page = entry.slug
        self.pair = self.layer = self.start = self.started = self.shown = None
        self.raise_revision()

    def change_part(self) -> None:
        """Another part of the page comes on the screen, whose viewer, if it has one, is new."""
        self.shown = None
        self.raise_revision()

    def leave(self) -> None:
        """There is no viewer on the screen: the next one is new."""
        self.page = self.shown = None


class Session:
    """What one browser tab has on the server.

    `scene` is what the page shows: it follows the selection as soon as its explanation is there. `refusals`
    say which uploads cannot be used, `notices` what else happened to the photos; `remarks` stand above the
    viewer until something else is chosen; `failure` says why there is no scene for the selection.
    """

    def __init__(self, choice: Choice, own: OwnModels | None = None) -> None:
        self.token = secrets.token_hex(16)
        """Tells a browser tab whether it still talks to the session that knows its photos, and the server's
        other routes which session asks."""
        self.restored = False
        """Whether the tab has said which photos it had before."""
        self.selection = Selection(choice)
        self.viewer = ViewerState()
        self.uploads = Uploads()
        self.own = OwnModels() if own is None else own
        self.tasks = Tasks()
        self.scene: Scene | None = None
        self.failure: str | None = None
        self.failed_task: Hashable = None
        self.arriving: list[PhotoFile] = []
        """Files from the uploader that are not decoded yet, without thumbnails."""
        self.refusals: list[str] = []
        self.notices: list[str] = []
        self.remarks: list[str] = []
        self.full_run = False
        """Whether the run under way is one of the whole script, not of the page's part alone."""
        self._opened = False
        """Whether the address that was opened last had a method, until a page is entered."""
        self._link: Mapping[str, str] | None = None
        """The address that was opened last, until it was said what of it cannot be used."""
        self._made_room: list[str] = []
        """The names of the uploads removed to make room, of which the notices tell."""
        self._frame_drawn: tuple[tuple[object, ...], int | None] | None = None
        self.last_drawn: dict[str, Any] = {}
        """What pages have drawn last, kept until the next is there."""
        self._memory: dict[str, tuple[object, Any]] = {}
        with _lock:
            _sessions[self.token] = self

    @property
    def choice(self) -> Choice:
        """What the page is to show."""
        return self.selection.shown

    @property
    def latest(self) -> Choice:
        """What the page is to show once the next model is loaded; one that could not be loaded is not it."""
        coming = self.selection.coming
        failed = coming is not None and self.tasks.error(model_task(coming.model)) is not None
        return self.choice if failed else self.selection.latest

    @property
    def view(self) -> schema.View:
        """What the viewer of this page shows."""
        own: dict[str, schema.Value] = dict(zip(METHOD_FIELDS, self.viewer.pair or (), strict=False))
        if self.viewer.layer is not None:
            own["layer"] = self.viewer.layer
        return {**self.choice.view, **own}

    @property
    def methods(self) -> Methods:
        """The two methods compared."""
        return str(self.view["left"]), str(self.view["right"])

    def remember(self, name: str, subject: object, make: Callable[[], Any]) -> Any:
        """What `make` gives, made again only when the subject is another object than the last time."""
        kept = self._memory.get(name)
        if kept is None or kept[0] is not subject:
            kept = self._memory[name] = (subject, make())
        return kept[1]

    def _change(self, **changes: Any) -> None:
        self.remarks.clear()
        self.selection.change(**changes)

    # -- what is explained -----------------------------------------------------------------------------------

    def choose_photo(self, key: str) -> None:
        """Show another photo, explained for its most likely class."""
        if key != self.choice.photo:
            self._change(photo=key, target=None, other=None)
        self.clear_notices()

    def choose_class(self, target: int | None) -> None:
        """Explain this class (None: the most likely one). It is the first of two to compare."""
        self._change(target=target)

    def choose_classes(self, first: int, second: int) -> None:
        """Explain the first of these two classes and compare it with the second."""
        self._change(target=first, other=second)

    def choose_fit(self, fit: str) -> None:
        """Fit the photo to the network's input in this way."""
        self._change(fit=fit)

    def choose_step(self, size: float | None, direction: str = LEARN, *, from_browser: bool = False) -> None:
        """Explain after a meta step of this size (None: without); the browser may know it already."""
        direction = LEARN if size is None else direction
        if (size, direction) != (self.choice.step, self.choice.direction):
            self._change(step=size, direction=direction)
            if not from_browser:
                self.viewer.raise_revision()

    def restrict(self, info: ModelInfo) -> None:
        """Drop classes and layers that the model on the screen does not have; remark on what a link had."""
        choice, before = self.choice, self.choice.view["layers"]
        gone = self.selection.restrict(info)
        if self._link is not None and self.latest is self.choice:
            self._say_unused(self._link, choice)
            self._link = None
        if gone:
            names = ", ".join(f"“{name}”" for name in gone)
            self.remarks.append(f"{info.title} has no layer {names} with maps, so it is left out.")
        if before != self.choice.view["layers"] and self._frame_drawn is not None:
            self.note_frame()  # the sidebar does not show them

    def _say_unused(self, link: Mapping[str, str], before: Choice) -> None:
        """Say what of a link was not understood, or does not fit the model; `before`: what was understood."""
        misfits = address.write(before).keys() - address.write(self.choice).keys() - {"layers"}
        unused = [*address.unusable(link), *sorted(misfits)]
        if "model" in unused:
            near = shared_engine().near(link["model"])
            self.remarks.append(f"{NO_MODEL} Similar names: {listed(near)}." if near else NO_MODEL)
        elif link.get("model", "") != before.model and models.is_own(link.get("model", "")):
            self.remarks.append(NOT_YOURS)
        # These two have sentences of their own.
        names = ", ".join(name for name in unused if name not in ("photo", "model"))
        if names:
            self.remarks.append(UNUSABLE.format(names=names))
        rest = schema.EXTRA_LAYERS.surplus(link.get("layers", ""))
        if rest:
            self.remarks.append(TOO_MANY_LAYERS.format(rest=rest))

    def choose_model(self, model: str) -> None:
        """Change to this model, if there is one, once it is loaded; try again if that has failed.

        One of the server's folder may have gone since it was listed: loading it says why.
        """
        if not self._has_model(model) and not models.is_of_folder(model):
            return
        self.selection.choose_model(model)
        self.tasks.retry(model_task(model))

    def _has_model(self, model: str) -> bool:
        """Whether there is such a model for this session."""
        return model in self.own if models.is_own(model) else models.exists(model)

    def remove_model(self, model: str) -> None:
        """Remove one of the session's own networks; the page shows the default model in its place."""
        if model not in self.own:
            return
        self.remarks.clear()
        self.selection.forget_model(model, sc.DEFAULT_MODEL)
        self.own.remove(model)

    def arrive(self) -> None:
        """The next model is loaded: show it."""
        if self.selection.arrive():
            self.remarks.clear()

    def show(self, scene: Scene) -> None:
        """Show the answer to the selection.

        Another model has other layers, and another photo other boxes, so the browser needs the view.
        """
        before = self.scene
        if before is not None and (
            before.model.name != scene.model.name
            or (before.key != scene.key and self.selection.has_drawn_boxes)
        ):
            self.viewer.raise_revision()
        self.scene = scene

    def fail(self, sentence: str, task: Hashable = None) -> None:
        """There is no scene for the selection, since this task failed; the viewer leaves the screen."""
        self.failure, self.failed_task = sentence, task
        self.viewer.leave()

    @property
    def explained(self) -> Scene | None:
        """The scene if it is of the photo and the model that are chosen, whatever the class."""
        scene = self.scene
        if scene is None or scene.model.name != self.choice.model or scene.key != self.choice.photo:
            return None
        return scene

    def note_frame(self) -> None:
        """The sidebar has been drawn for what is chosen now."""
        self._frame_drawn = self._frame()

    @property
    def frame_outdated(self) -> bool:
        """Whether what is chosen needs a run of the whole script, of which there was none since.

        A change in the sidebar asks for one, but when it reaches Streamlit 1.67's browser side at the same
        moment as one in a fragment, the two are sent as one message and only the fragment is run.
        """
        drawn, (frame, target) = self._frame_drawn, self._frame()
        if drawn is None or frame != drawn[0]:
            return True
        if drawn[1] is None and self.scene is not None:
            return target not in (None, self.scene.request.target)
        return target != drawn[1]

    def _frame(self) -> tuple[tuple[object, ...], int | None]:
        """What the sidebar shows and the scene depends on, and the class."""
        choice, model = self.choice, self.latest.model
        uploads = (self.uploads.round, len(self.uploads), len(list(self.own)))
        parts = (choice.photo, choice.fit, choice.step, choice.direction, choice.other, choice.view["layers"])
        return (model, *parts, *uploads), choice.target

    # -- how it is shown -------------------------------------------------------------------------------------

    def see_view(self, changes: Mapping[str, Any]) -> None:
        """Note what the browser shows now."""
        self._see(changes, self.selection.change_view)

    def _see(self, changes: Mapping[str, Any], change: Callable[[Mapping[str, Any]], None]) -> None:
        before = dict(self.view)
        if self.viewer.pair is not None:
            left, right = (
                str(changes.get(side) or old)
                for side, old in zip(METHOD_FIELDS, self.viewer.pair, strict=True)
            )
            self.viewer.pair = (left, right)
            changes = {name: value for name, value in changes.items() if name not in METHOD_FIELDS}
        if self.viewer.layer is not None and "layer" in changes:
            self.viewer.layer = str(changes["layer"])
            changes = {name: value for name, value in changes.items() if name != "layer"}
        change(changes)
        if before != self.view:
            self.remarks.clear()

    def start_with(self, subject: Hashable, left: str, layer: str) -> None:
        """Show, for this photo and model, a method and a layer that are this page's own until it is left.

        The address leaves them out as long as nothing else is chosen.
        """
        self.end_start()
        viewer = self.viewer
        viewer.start = ((left, self.methods[1]), layer)
        viewer.pair, viewer.layer = viewer.start
        viewer.started = subject
        viewer.raise_revision()

    def end_start(self, subject: Hashable = None) -> None:
        """Show the methods and the layer of the other pages again, if `start_with` had replaced them."""
        viewer = self.viewer
        if viewer.start is not None:
            viewer.pair = viewer.layer = viewer.start = None
            viewer.raise_revision()
        viewer.started = subject

    def settle(self, available: Collection[str]) -> None:
        """Note the methods that have their maps: a panel goes back to them if another method fails."""
        if self.viewer.pair is None:
            left, right = (
                name if name in available else old
                for name, old in zip(self.methods, self.viewer.settled, strict=True)
            )
            self.viewer.settled = (left, right)

    def show_methods(self, left: str, right: str, layer: str | None = None) -> None:
        """Make the browser compare these two methods, at this layer if one is given."""
        self.see_view({"left": left, "right": right} | ({} if layer is None else {"layer": layer}))
        self.viewer.raise_revision()

    def replace_method(self, method: str, reason: str, *, of_model: bool = False) -> None:
        """Go back, on each side that shows `method`, to what was there before; `reason` becomes a remark.

        `of_model`: the reason is the model on the screen. If another one is coming, which may have the
        method, it is replaced without a word and only until then.
        """
        if method not in self.methods:
            return
        left, right = (
            name if name != method else (old if old != method else default)
            for name, old, default in zip(
                self.methods, self.viewer.settled, schema.DEFAULT_METHODS, strict=True
            )
        )
        until_then = of_model and self.latest is not self.choice
        change = self.selection.change_shown_view if until_then else self.selection.change_view
        self._see({"left": left, "right": right}, change)
        self.viewer.raise_revision()
        if not until_then:
            self.remarks.append(reason)

    def enter(self, entry: PageEntry) -> None:
        """Note the page of this run; a viewer that is new on the screen starts from the session's view."""
        if entry.slug == self.viewer.page:
            return
        self.viewer.given, self._opened = self._opened, False
        self.remarks.clear()
        self.viewer.enter(entry)

    # -- the address -----------------------------------------------------------------------------------------

    def open(self, query: Mapping[str, str]) -> None:
        """Show what an address describes."""
        self._opened = any(name in query for name in METHOD_FIELDS)
        self._link = dict(query)
        self.notices = [sentence for sentence in self.notices if sentence not in (GONE, NO_PHOTO)]
        if "photo" in address.unusable(query):
            upload = query["photo"].startswith(photos.UPLOAD_PREFIX)
            self.notices.append(GONE if upload else NO_PHOTO)
        choice = address.read(query)
        if not self._has_model(choice.model):
            choice = replace(choice, model=sc.DEFAULT_MODEL)  # it is another session's
        self.selection.open(choice)
        self.viewer.leave()
        self.viewer.raise_revision()

    def address(self) -> dict[str, str]:
        """The query that reopens this session's view."""
        viewer, choice = self.viewer, self.latest
        if viewer.start == (viewer.pair, viewer.layer) and choice.target is choice.other is None:
            return address.write(choice)  # as any photo of this kind begins on this page
        own = dict(zip(METHOD_FIELDS, viewer.pair or (), strict=False))
        if viewer.layer is not None:
            own["layer"] = viewer.layer
        return address.write(replace(choice, view={**choice.view, **own}))

    # -- photos ----------------------------------------------------------------------------------------------

    def clear_notices(self) -> None:
        """Take away what was said about the photos."""
        self.notices.clear()
        self.refusals.clear()
        self._made_room.clear()

    def add_upload(self, file: PhotoFile) -> None:
        """Add a photo to the strip and show it; one with the same content is replaced."""
        same = self.uploads.find(file.key)
        gone = self.uploads.add(file)
        self._change(photo=file.key, target=None, other=None)
        # One without a thumbnail has come back from an address, under the name that the store knows.
        if same is not None and same.thumb and same.name != file.name:
            self.notices.append(f"“{file.name}” is the same photo as “{same.name}” and replaces it.")
        if gone:
            if self._made_room:
                self.notices.remove(made_room(self._made_room))
            self._made_room += [each.name for each in gone]
            self.notices.append(made_room(self._made_room))

    def remove_upload(self, key: str) -> None:
        """Remove a photo from the strip and forget it; the page shows its neighbour instead."""
        found = self.uploads.remove(key)
        if found is None:
            return
        _, neighbour = found
        self.clear_notices()
        if self.choice.photo == key:
            self.choose_photo(neighbour.key if neighbour else photos.default_sample())

    def restore_uploads(self, sent: object) -> None:
        """Take back the photos that the tab had before it was reloaded, and say which are gone.

        `sent` is what the browser says: whoever names a photo's 128-bit key has uploaded it or was given a
        link to it.
        """
        if self.restored:
            return
        self.restored = True
        found = {key: (name, photos.find_upload(key)) for key, name in remembered(sent).items()}
        files = [replace(file, name=name) for name, file in found.values() if file is not None]
        self.uploads.put_first(file for file in files if file.thumb)
        self.arriving += [file for file in files if not file.thumb]
        gone = [name for name, file in found.values() if file is None]
        if gone:
            self.notices = [sentence for sentence in self.notices if sentence != GONE]
            self._say_gone(gone)

    def check_uploads(self) -> None:
        """Drop the photos whose bytes had to leave the server, and say which."""
        missing = self.uploads.drop_missing()
        if not missing:
            return
        if self.choice.photo in {file.key for file in missing}:
            self.choose_photo(photos.default_sample())
        self._say_gone([file.name for file in missing])

    def _say_gone(self, names: Sequence[str]) -> None:
        ending = "is no longer on the server. Upload it again."
        if len(names) > 1:
            ending = "are no longer on the server. Upload them again."
        self.notices.append(f"{listed(names)} {ending}")

    def photo_file(self) -> PhotoFile | None:
        """The upload that is chosen; None for a sample. One that is gone is replaced by a sample."""
        key = self.choice.photo
        if key in photos.sample_files():
            return None
        file = self.uploads.find(key) or self._readopt(key)
        if file is None:
            self.choose_photo(photos.default_sample())
            self.notices.append(GONE)
        return file

    def _readopt(self, key: str) -> PhotoFile | None:
        """A photo uploaded before the page was reloaded, while the shared store still has it."""
        file = photos.find_upload(key)
        if file is not None:
            self.uploads.add(file)
        return file


def of_token(token: str) -> Session | None:
    """The session whose tab has this token."""
    with _lock:
        return _sessions.get(token)


def model_task(model: str) -> Hashable:
    """The key of the task that loads a model."""
    return "model", model


def session() -> Session:
    """The session of this run, begun from the address."""
    found = st.session_state.get(_SESSION)
    if not isinstance(found, Session):
        found = Session(Choice(), own_models.of_session())
        found.open(st.query_params)
        st.session_state[_SESSION] = found
    return found


def follow_history(current: Session) -> None:
    """Open the address to which the browser's back or forward button has gone.

    An empty query is one that no run has written: Streamlit puts it into the history when the page changes.
    At any other time the address may lag behind the latest choice, and the session is right.
    """
    context = get_script_run_ctx(suppress_warning=True)
    if getattr(context, "is_history_navigation", False) and "photo" in st.query_params:
        current.open(st.query_params)


def write_address(current: Session) -> None:
    """Put the session's view into the address."""
    query = current.address()
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
