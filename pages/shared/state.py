"""What one session looks at, and the address that reopens it.

`Choice` is the single source of truth. Widgets are set from it before they are drawn and write to it in their
callbacks; the address is read when a session begins (or the browser goes back) and written after every run.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st
from PIL import Image
from streamlit.runtime.scriptrunner import get_script_run_ctx

import saliency_core as sc
from pages.shared import photos
from pages.shared.jobs import Errands, Subject
from pages.shared.photos import Photo
from saliency_core.viewer import schema
from saliency_core.viewer.payload import DisplayPhoto
from saliency_core.viewer.schema import DEFAULT_METHODS

DEFAULT_MODEL = next(iter(sc.MODELS))
CLASSES = 1000  # every model of the registry is trained on ImageNet's 1,000 classes
DEFAULT_FIT = next(iter(sc.FITS))
MOST_UPLOADS = 12
MOST_UPLOAD_BYTES = 160 * 2**20
STEPS = (0.0, 0.0003, 0.001, 0.0025, 0.006, 0.015, 0.04, 0.1)
"""The sizes of a meta step that are offered, about equally far apart on a log scale; 0 is no change."""
MOST_STEP = schema.MAX_EPSILON

_SESSION = "studio"
_UPLOAD = re.compile(f"{photos.UPLOAD_MARK}[0-9a-f]{{{photos.DIGEST_IN_ADDRESS}}}")


@dataclass(frozen=True)
class View:
    """What the viewer shows; None leaves the choice to it.

    `weights` are in the order of the layers; `mixed`: the framework's cells mix the layers by them.
    """

    left: str | None = None
    right: str | None = None
    layer: str | None = None
    weights: tuple[float, ...] | None = None
    how: str | None = None
    opacity: float | None = None
    colormap: str | None = None
    scale: str | None = None
    tab: str | None = None
    mixed: bool | None = None
    difference: str | None = None
    cells: bool | None = None
    modified: bool | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class Choice:
    """What is explained (`target` None: the most likely class) and how it is shown.

    `a` and `b` are two classes to compare (None: the one explained, and the least likely one); `meta` is a
    step of learning before every explanation.
    """

    model: str = DEFAULT_MODEL
    photo: str = field(default_factory=photos.default_sample)
    target: int | None = None
    fit: str = DEFAULT_FIT
    a: int | None = None
    b: int | None = None
    meta: sc.MetaStep | None = None
    view: View = View()


# -- the address ---------------------------------------------------------------------------------------------


def _one_of(choices: Any) -> Callable[[str], str | None]:
    return lambda text: text if text in choices else None


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 and int(text) < CLASSES else None


def _number(text: str, highest: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= highest else None


def _meta(text: str) -> sc.MetaStep | None:
    """A step's size, negative for one that ascends."""
    size = _number(text.removeprefix("-"), highest=MOST_STEP)
    return None if size is None else sc.MetaStep(size, ascend=text.startswith("-"))


def _photo(text: str) -> str | None:
    return text if text in photos.sample_files() or _UPLOAD.fullmatch(text) else None


_FRAME_READERS: dict[str, Callable[[str], Any]] = {
    "model": _one_of(sc.MODELS),
    "photo": _photo,
    "class": _index,
    "fit": _one_of(sc.FITS),
    "a": _index,
    "b": _index,
    "meta": _meta,
}


def from_address(query: Mapping[str, str]) -> Choice:
    """The choice that an address describes. A missing or unusable value counts as its default."""
    frame = {key: read(query[key]) for key, read in _FRAME_READERS.items() if key in query}
    view: dict[str, Any] = {
        key: value for key, value in schema.read(query).items() if value != schema.DEFAULTS[key]
    }
    default = Choice()
    return Choice(
        model=frame.get("model") or default.model,
        photo=frame.get("photo") or default.photo,
        target=frame.get("class"),
        fit=frame.get("fit") or default.fit,
        a=frame.get("a"),
        b=frame.get("b"),
        meta=frame.get("meta"),
        view=View(**view),
    )


def to_address(choice: Choice) -> dict[str, str]:
    """The query that reopens `choice`: defaults are left out, but for the photo.

    With the photo always there, an empty query can only be an address that nobody has written yet.
    """
    query = {"photo": choice.photo}
    if choice.model != DEFAULT_MODEL:
        query["model"] = choice.model
    if choice.target is not None:
        query["class"] = str(choice.target)
    if choice.fit != DEFAULT_FIT:
        query["fit"] = choice.fit
    for key, index in (("a", choice.a), ("b", choice.b)):
        if index is not None:
            query[key] = str(index)
    if choice.meta is not None:
        query["meta"] = f"{'-' if choice.meta.ascend else ''}{choice.meta.lr:g}"
    return query | schema.write(vars(choice.view))


# -- the viewer's view ---------------------------------------------------------------------------------------


def seen(view: View, reported: Mapping[str, Any]) -> View:
    """`view` with the fields that the browser has reported."""
    return replace(view, **reported)


# -- the session ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Upload:
    """One photo of this session: the file as it was sent, and its thumbnail as a data URI."""

    digest: str
    name: str
    data: bytes
    thumb: str

    @property
    def key(self) -> str:
        """Its name in the address."""
        return photos.upload_key(self.digest)


@dataclass(frozen=True)
class Scene:
    """What a page draws: the explanation of the session's choice, with the photo as the browser shows it.

    `explanation` has the methods of the one shared pass; `image` is the photo itself, for all others.
    """

    model: sc.ModelSpec
    photo: DisplayPhoto
    image: Image.Image
    fit: str
    explanation: sc.Explanation
    meta: sc.MetaStep | None = None

    @property
    def subject(self) -> Subject:
        """What is explained."""
        return Subject(self.model.name, self.photo.digest, self.fit, self.explanation.target, self.meta)


@dataclass
class Session:
    """What one browser tab has on the server.

    `choice` is what the page shows; `coming` is the choice it changes to once its model has been loaded,
    and `asked` the model that the engine has been asked to load for that. `revision` rises whenever the
    browser must take over `view`; `page` is the page of the last run. `pair` are the methods of a page that
    has two of its own, whatever the others compare, and `own` those it begins with; `settled` are the last
    methods of the other pages that had their maps. `remarks` stand above the viewer until something else is
    chosen.
    """

    choice: Choice
    coming: Choice | None = None
    asked: str | None = None
    revision: int = 1
    page: str | None = None
    uploads: list[Upload] = field(default_factory=list)
    upload_round: int = 0
    notices: list[str] = field(default_factory=list)
    scene: Scene | None = None
    own: tuple[str, str] | None = None
    pair: tuple[str, str] | None = None
    settled: tuple[str, str] = DEFAULT_METHODS
    remarks: list[str] = field(default_factory=list)
    errands: Errands = field(default_factory=Errands)
    memory: dict[str, tuple[object, Any]] = field(default_factory=dict)

    @property
    def view(self) -> View:
        """What the viewer of this page shows."""
        if self.pair is None:
            return self.choice.view
        return replace(self.choice.view, left=self.pair[0], right=self.pair[1])

    @property
    def methods(self) -> tuple[str, str]:
        """The two methods compared on this page."""
        view = self.view
        return view.left or DEFAULT_METHODS[0], view.right or DEFAULT_METHODS[1]

    def remember(self, name: str, subject: object, make: Callable[[], Any]) -> Any:
        """What `make` gives, made anew only when the subject is another object than the last time."""
        kept = self.memory.get(name)
        if kept is None or kept[0] is not subject:
            kept = self.memory[name] = (subject, make())
        return kept[1]

    def _change(self, **changes: Any) -> None:
        self.remarks.clear()
        self.choice = replace(self.choice, **changes)
        if self.coming is not None:
            self.coming = replace(self.coming, **changes)

    def choose_photo(self, key: str) -> None:
        """Look at another photo, and there at its most likely class."""
        if key != self.choice.photo:
            self._change(photo=key, target=None, a=None, b=None)
        self.notices.clear()

    def choose_class(self, target: int | None) -> None:
        """Explain the class with this index; None: the most likely one. It is the first of two to compare."""
        self._change(target=target, a=None)

    def choose_classes(self, first: int | None, second: int | None) -> None:
        """Compare these two classes."""
        self._change(a=first, b=second)

    def choose_meta(self, meta: sc.MetaStep | None, *, told: bool = True) -> None:
        """Explain after this step; `told`: the browser does not know it yet."""
        if meta != self.choice.meta:
            self._change(meta=meta)
            self.revision += told

    def choose_fit(self, fit: str) -> None:
        """Fit the photo to the network's input in this way."""
        self._change(fit=fit)

    def choose_model(self, model: str) -> None:
        """Change to this model once it is loaded. Its layers are others: layer and weights start anew."""
        if model == self.choice.model:
            self.coming = None
        else:
            view = replace(self.choice.view, layer=None, weights=None)
            self.coming = replace(self.choice, model=model, view=view)
        self.asked = None

    def arrive(self) -> None:
        """The model that was coming is here: show it."""
        if self.coming is not None:
            self.choice, self.coming = self.coming, None
            self.remarks.clear()
            self.revision += 1

    def give_up(self) -> None:
        """The model that was coming will not come: stay with the one on the screen."""
        self.coming = None

    def see_view(self, view: View) -> None:
        """Note what the browser shows now."""
        before = self.view
        if self.pair is not None:
            self.pair = (view.left or self.pair[0], view.right or self.pair[1])
            view = replace(view, left=self.choice.view.left, right=self.choice.view.right)
        self.choice = replace(self.choice, view=view)
        if self.coming is not None:
            own = self.coming.view
            self.coming = replace(self.coming, view=replace(view, layer=own.layer, weights=own.weights))
        if before != self.view:
            self.remarks.clear()

    def use_pair(self, own: tuple[str, str] | None) -> None:
        """Begin with the page's own methods, if it has any and is new on the screen."""
        self.own = own
        self.pair = self.pair or own

    def settle(self, available: Collection[str]) -> None:
        """Note the methods that have their maps: what a side goes back to when another one does not come."""
        if self.pair is None:
            left, right = (
                name if name in available else old
                for name, old in zip(self.methods, self.settled, strict=True)
            )
            self.settled = (left, right)

    def show_methods(self, left: str, right: str, layer: str | None = None) -> None:
        """Make the browser compare these two methods, at this layer if one is given."""
        view = replace(self.view, left=left, right=right)
        self.see_view(view if layer is None else replace(view, layer=layer))
        self.revision += 1

    def replace_method(self, method: str, reason: str | None = None) -> None:
        """Go back, on each side that shows `method`, to what was there before; `reason` becomes a remark."""
        if method not in self.methods:
            return
        defaults = self.own or DEFAULT_METHODS
        before = self.own or self.settled
        kept = [
            name if name != method else (old if old != method else default)
            for name, old, default in zip(self.methods, before, defaults, strict=True)
        ]
        self.show_methods(*kept)
        if reason is not None:
            self.remarks.append(reason)

    def enter(self, page: str) -> None:
        """Note the page of this run; a viewer that is new on the screen starts from the session's view."""
        if page != self.page:
            self.page = page
            self.own = self.pair = None
            self.remarks.clear()
            self.revision += 1

    def leave(self) -> None:
        """Note that there is no viewer on the screen: the next one is new."""
        self.page = None

    def open(self, choice: Choice) -> None:
        """Show what an address describes; a model that is not on the screen comes when it is loaded."""
        self.revision += 1
        if choice.model == self.choice.model:
            self.choice, self.coming = choice, None
        else:
            view = replace(choice.view, layer=None, weights=None)
            self.choice = replace(choice, model=self.choice.model, view=view)
            self.coming = choice
        self.asked = None

    def address(self) -> dict[str, str]:
        """The query that reopens this session's view."""
        return to_address(self.coming or self.choice)

    def add_upload(self, name: str, photo: Photo) -> None:
        """Take a photo into the strip and look at it; the oldest ones leave when there are too many."""
        upload = Upload(photo.digest, name, photo.data, photo.thumb)
        self.uploads = [each for each in self.uploads if each.digest != upload.digest] + [upload]
        gone: list[str] = []
        while len(self.uploads) > 1 and (
            len(self.uploads) > MOST_UPLOADS or self._held() > MOST_UPLOAD_BYTES
        ):
            gone.append(self.uploads.pop(0).name)
        self._change(photo=upload.key, target=None, a=None, b=None)
        if gone:
            self.notices.append(f"To make room, the oldest photos left the strip: {', '.join(gone)}.")

    def remove_upload(self, key: str) -> None:
        """Take a photo out of the strip and forget it; its neighbour takes its place on the page."""
        place = next((place for place, each in enumerate(self.uploads) if each.key == key), None)
        if place is None:
            return
        photos.photo_store().drop(self.uploads.pop(place).digest)
        self.notices.clear()
        if self.choice.photo == key:
            near = self.uploads[min(place, len(self.uploads) - 1)].key if self.uploads else None
            self.choose_photo(near or photos.default_sample())

    def _held(self) -> int:
        return sum(len(upload.data) for upload in self.uploads)

    def photo(self) -> tuple[str, Photo]:
        """The photo's name and the photo. One that is no longer here gives way to a sample, with a word."""
        key = self.choice.photo
        if key in photos.sample_files():
            return photos.sample_title(key), photos.sample(key)
        upload = next((each for each in self.uploads if each.key == key), None) or self._readopt(key)
        if upload is not None:
            return upload.name, photos.photo_store().get(upload.digest, upload.name, upload.data)
        self.choose_photo(photos.default_sample())
        self.notices.append(
            "The photo of this link is no longer on the server: add it again to see it explained."
        )
        return self.photo()

    def _readopt(self, key: str) -> Upload | None:
        """A photo uploaded before the page was reloaded, while the shared store still has it."""
        photo = photos.photo_store().find(key)
        if photo is None:
            return None
        upload = Upload(photo.digest, photo.name, photo.data, photo.thumb)
        self.uploads.append(upload)
        return upload


def session() -> Session:
    """The session of this run, begun from the address."""
    found = st.session_state.get(_SESSION)
    if not isinstance(found, Session):
        found = Session(choice=Choice())
        found.open(from_address(st.query_params))
        st.session_state[_SESSION] = found
    return found


def follow_history(current: Session) -> None:
    """Open the address to which the browser's back or forward button has gone.

    An empty query is one that no run has written: Streamlit puts it into the history when the page changes.
    At any other time the address may lag behind what a person has just chosen, and the session is right.
    """
    context = get_script_run_ctx(suppress_warning=True)
    if getattr(context, "is_history_navigation", False) and "photo" in st.query_params:
        current.open(from_address(st.query_params))


def write_address(current: Session) -> None:
    """Put the session's view into the address."""
    query = current.address()
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
