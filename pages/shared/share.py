"""What the dialog Share offers: one entry for each kind of file, made of what the viewer shows."""

import io
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import saliency_core as sc
from pages.shared import models, photos
from pages.shared.embedding import DEFAULT_ANCESTORS, SETTING, frame_ancestors
from pages.shared.own_models import OwnModel
from pages.shared.registry import entry_of
from pages.shared.session import METHOD_FIELDS, Session, Shown
from saliency_core.export import code, tables
from saliency_core.export.code import Checkpoint
from saliency_core.export.tables import Table
from saliency_core.figures.film import film
from saliency_core.progress import ProgressCallback
from saliency_core.registry import Registry
from saliency_core.viewer import html, schema
from saliency_core.viewer.payload import AVERAGING_METHODS, MODES, objects_inside

MAX_NAME_PART = 40
MAX_ADDRESS = 4000
YOUR_PHOTO = "Your photo is part of this file."
COPY = "It is a smaller copy of {width} × {height} pixels: yours has {original_width} × {original_height}."
NOT_THERE = "{title} has no maps yet. Wait until they are computed, or choose another method."
BESIDE = "Your photo is not part of this file: it must lie beside the script, under its own name."
NO_PHOTO = "Your photo is not part of this file; its name is."
PHOTO_IN_LINK = (
    "Your photo is not in the link: whoever opens it sees the photo as long as this server keeps it."
)
ONLY_HERE = (
    f"Pages of other sites cannot show the view: whoever runs this server can let them, with {SETTING}."
)
OWN_MODEL_IN_LINK = (
    "The link works in this tab only, as long as its session lasts: nobody else can use a network that you "
    "have uploaded."
)

_UNSAFE = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Choice:
    """One of an option's values; `hint` says more where the title cannot."""

    name: str
    title: str
    hint: str = ""


@dataclass(frozen=True)
class Option:
    """What can be chosen of a kind of file: one of `choices`, or a line of text.

    A text has at most `most` characters; `placeholder` says what stands in its place if it is empty. `first`
    is the name of the choice that is made at first, if it is not the first one.
    """

    name: str
    title: str
    choices: tuple[Choice, ...] = ()
    most: int = 0
    placeholder: str = ""
    first: str = ""

    def read(self, given: object) -> str:
        """The value that a request names; the default for one that cannot be used."""
        text = given if isinstance(given, str) else ""
        if not self.choices:
            return " ".join(text.split())[: self.most]
        names = [choice.name for choice in self.choices]
        return text if text in names else self.first or names[0]

    def written(self) -> dict[str, Any]:
        """The option as the dialog gets it."""
        if not self.choices:
            return {
                "name": self.name,
                "title": self.title,
                "most": self.most,
                "placeholder": self.placeholder,
            }
        choices = [{"name": each.name, "title": each.title, "hint": each.hint} for each in self.choices]
        first = self.first or self.choices[0].name
        return {"name": self.name, "title": self.title, "choices": choices, "first": first}


@dataclass(frozen=True)
class Order:
    """What a file is to be made of: what is on the screen, the view of this moment, and what was chosen.

    `address` reopens the view, and is empty where the browser's cannot be used. `own` is the network if it
    is one that the session has uploaded. `progress` is to be called
    after every unit of work; it raises `Cancelled` once the file is no longer wanted.
    """

    shown: Shown
    view: schema.View
    options: Mapping[str, str]
    address: str
    own: OwnModel | None
    progress: ProgressCallback


@dataclass(frozen=True)
class File:
    """A file: `suffix` is the end of its name, `what` a word on its content that goes into the name."""

    data: bytes
    media_type: str
    suffix: str
    what: str = ""


def _no_options(_shown: Shown) -> Sequence[Option]:
    return ()


def _nothing(_shown: Shown) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Args:
        name, title: in requests, and in the dialog.
        lead: what it is for.
        make: makes it, in a thread of its own.
        photo: what is to be said of the photo in it, as far as it is the visitor's own.
        holds: sentences on what will be in it.
        options: what can be chosen.
        modes: the viewer's modes that have it.
        action: the words on the button that begins to make it; empty if it is made without being asked, as
            it does not take long.
        copy: "picture" or "text" where its content can be copied.
        preview: the options, other than those chosen, with which it can be looked at, if not as it is.
        draws: whether it shows the maps of the methods on the screen, which must be there then.
    """

    name: str
    title: str
    lead: str
    make: Callable[[Order], File]
    photo: Callable[[Shown], str]
    holds: Callable[[Shown], Sequence[str]] = _nothing
    options: Callable[[Shown], Sequence[Option]] = _no_options
    modes: tuple[str, ...] = MODES
    action: str = ""
    copy: str = ""
    preview: Mapping[str, str] = field(default_factory=dict)
    draws: bool = True

    def written(self, shown: Shown) -> dict[str, Any]:
        """The kind as the dialog gets it."""
        return {
            "name": self.name,
            "title": self.title,
            "lead": self.lead,
            "holds": list(self.holds(shown)),
            "photo": self.photo(shown),
            "options": [option.written() for option in self.options(shown)],
            "action": self.action,
            "copy": self.copy,
            "preview": dict(self.preview) or None,
        }


_METHODS_OF: Mapping[str, tuple[str, ...]] = {
    "compare": ("left", "right"),
    "mix": ("left", "right"),
    "classes": ("left",),
    "point": ("left",),
}
"""Mode -> the fields of the view whose methods it shows; the others have methods of their own."""


def known_view(shown: Shown, view: schema.View) -> schema.View:
    """The view with methods that have maps.

    Raises:
        sc.UnavailableError: a method on the screen has none, or not yet.
    """
    missing = {field for field in METHOD_FIELDS if view.get(field) not in shown.explanation.methods}
    for name in _METHODS_OF.get(shown.mode, ()):
        if name in missing:
            raise sc.UnavailableError(NOT_THERE.format(title=sc.METHODS[str(view[name])].title))
    return {name: value for name, value in view.items() if name not in missing}


# -- what is said -------------------------------------------------------------------------------------------


def subject(shown: Shown) -> str:
    """What is on the screen, in words."""
    explanation = shown.explanation
    parts = [shown.scene.photo.name, explanation.label]
    if shown.comparison is not None:
        parts[-1] += f" and {shown.comparison.other.label}"
    return " · ".join([*parts, entry_of(shown.page).title])


def link_remarks(session: Session) -> list[str]:
    """What is to be said of the addresses of what a session shows."""
    choice = session.choice
    found = [PHOTO_IN_LINK] if choice.photo not in photos.sample_files() else []
    if models.is_own(choice.model):
        found.append(OWN_MODEL_IN_LINK)
    return [*found, ONLY_HERE] if frame_ancestors() == DEFAULT_ANCESTORS else found


def _is_own(shown: Shown) -> bool:
    return shown.scene.key not in photos.sample_files()


def _photo_inside(shown: Shown) -> str:
    return YOUR_PHOTO if _is_own(shown) else ""


def _photo_left_out(shown: Shown) -> str:
    return NO_PHOTO if _is_own(shown) else ""


def _photo_copy(shown: Shown) -> str:
    """For files that have the photo as the browser shows it."""
    photo = shown.scene.photo
    if not _is_own(shown):
        return ""
    if (photo.width, photo.height) == photo.original_size:
        return YOUR_PHOTO
    width, height = photo.original_size
    smaller = COPY.format(
        width=photo.width, height=photo.height, original_width=width, original_height=height
    )
    return f"{YOUR_PHOTO} {smaller}"


def file_name(shown: Shown, file: File) -> str:
    """The name of a file, of photo, class and page: every file system takes it, whatever these are called."""
    parts = (PurePath(shown.scene.photo.name).stem, shown.explanation.label, shown.page, file.what)
    names = [found for part in dict.fromkeys(parts) if (found := _safe(part))]
    return "-".join(["normgrad", *names]) + file.suffix


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", unicodedata.normalize("NFKC", text)).strip("-")[:MAX_NAME_PART].strip("-").lower()


# -- the kinds of files -------------------------------------------------------------------------------------

KINDS: Registry[Kind] = Registry("kind of file")


def _kind(kind: Kind) -> None:
    KINDS.add(kind.name, kind)


# One web page


def _page(order: Order) -> File:
    shown = order.shown
    entry = html.Entry(
        shown.explanation, shown.scene.photo, shown.comparison, shown.correlations, shown.unavailable
    )
    text = html.page(
        [entry],
        mode=shown.mode,
        view=order.view,
        title=order.options["title"] or None,
        caption=order.options["caption"],
        address=order.address,
    )
    return File(text.encode(), "text/html", ".html")


def _page_holds(shown: Shown) -> Sequence[str]:
    title = entry_of(shown.page).title
    return (
        f"The viewer as it is here: it opens on {title}, and methods, layers and weights can be changed.",
        "Photo and maps are inside. The file asks no server and no network for anything.",
        "Model, class, software version and the address that made it stand below the title.",
    )


_kind(
    Kind(
        name="page",
        title="Web page",
        lead="One HTML file with the whole viewer: for handouts, for a lecture without a network.",
        make=_page,
        photo=_photo_copy,
        holds=_page_holds,
        options=lambda shown: (
            Option("title", "Title", most=120, placeholder=html.default_title([shown.scene.photo.name])),
            Option("caption", "Caption", most=600, placeholder="None"),
        ),
    )
)

# One picture

_FIGURES: Mapping[str, tuple[str, ...]] = {
    "compare": ("pair", "panel", "strip", "layers"),
    "mix": ("pair", "panel", "strip"),
    "framework": ("framework", "layers"),
    "classes": ("classes", "heat_map"),
    "why": ("strip", "pair", "layers"),
    "point": ("panel", "layers"),
}
"""Mode -> the figures that it has, that of its whole viewer first."""
_FORMATS = (
    Choice("png1", "PNG 1×", "For the web"),
    Choice("png2", "PNG 2×", "For slides and sharp screens"),
    Choice("png4", "PNG 4×", "For print"),
    Choice("svg", "SVG", "Text stays text"),
    Choice("pdf", "PDF", "Text stays text; for LaTeX"),
)
_FORMAT = Option("format", "Format", _FORMATS, first="png2")
_PAPER = Option("paper", "Background", (Choice("light", "Light"), Choice("dark", "Dark")))
_MEDIA = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}


def _figure_option(shown: Shown) -> Option:
    names = [name for name in _FIGURES[shown.mode] if name in sc.FIGURES]
    choices = tuple(Choice(name, sc.FIGURES[name].title, sc.FIGURES[name].summary) for name in names)
    return Option("figure", "Figure", choices, first="layers" if _is_layers_tab(shown) else "")


def _is_layers_tab(shown: Shown) -> bool:
    return shown.mode == "framework" and shown.view.get("tab") == "layers"


def _figure_view(order: Order) -> dict[str, Any]:
    """The view as figures take it: what a page always shows is a field there."""
    view = dict(order.view)
    if order.shown.mode not in ("framework", "point"):
        view["mixed"] = order.shown.mode == "mix"
    return view


def _picture(order: Order) -> File:
    shown, kind = order.shown, order.options["figure"]
    figure = sc.figure(
        shown.explanation,
        kind,
        other=shown.comparison,
        photo=shown.scene.photo,
        dark=order.options["paper"] == "dark",
        methods=AVERAGING_METHODS if shown.mode == "why" and sc.FIGURES[kind].any_methods else None,
        **_figure_view(order),
    )
    wanted = order.options["format"]
    name, scale = (wanted[:3], int(wanted[3:])) if wanted.startswith("png") else (wanted, 2)
    return File(figure.to_bytes(name, scale), _MEDIA[name], f".{name}", kind)


_kind(
    Kind(
        name="picture",
        title="Picture",
        lead="A figure of this view with its captions, for papers and slides.",
        make=_picture,
        photo=_photo_inside,
        options=lambda shown: (_figure_option(shown), _FORMAT, _PAPER),
        copy="picture",
        preview={"format": "png2"},
    )
)

# One film

_FILMS: Mapping[str, tuple[str, ...]] = {
    "compare": ("depth", "weights"),
    "mix": ("weights", "depth"),
    "framework": ("depth", "weights"),
    "classes": ("depth", "epsilon"),
    "why": ("depth",),
    "point": ("depth", "weights"),
}
"""Mode -> what can change in its films."""
_FILM_FIGURE = {"framework": "framework", "classes": "classes", "point": "panel"}
_FILM_CHOICES: Mapping[str, Choice] = {
    "depth": Choice("depth", "Depth", "Layer by layer, from input to output"),
    "weights": Choice(
        "weights", "Weights", "The layers are mixed, and the weight moves from one to the next"
    ),
    "epsilon": Choice("epsilon", "Meta step", "One size of the step after the other"),
}
_FILM_FORMAT = Option(
    "format",
    "Format",
    (
        Choice("gif1", "GIF", "Plays everywhere, in 256 colours"),
        Choice("webp1", "WebP", "All colours, in a smaller file"),
        Choice("webp2", "WebP 2×", "For slides and sharp screens"),
    ),
)


def _film(order: Order) -> File:
    shown, over = order.shown, order.options["over"]
    view = _figure_view(order) | {"mixed": over == "weights"}
    made = film(
        shown.explanation,
        over,
        kind=_FILM_FIGURE.get(shown.mode, "pair"),
        other=shown.comparison,
        photo=shown.scene.photo,
        dark=order.options["paper"] == "dark",
        methods=AVERAGING_METHODS if shown.mode == "why" else None,
        **view,
    )
    wanted = order.options["format"]
    name, scale = wanted[:-1], int(wanted[-1])
    data = made.to_bytes(name, scale, progress=order.progress)
    return File(data, f"image/{name}", f".{name}", over)


def _film_options(shown: Shown) -> Sequence[Option]:
    steps = shown.comparison is not None and len(shown.comparison.sweep) > 1
    names = [name for name in _FILMS[shown.mode] if name != "epsilon" or steps]
    over = Option("over", "What changes", tuple(_FILM_CHOICES[name] for name in names))
    return (over, _FILM_FORMAT, _PAPER)


_kind(
    Kind(
        name="film",
        title="Film",
        lead="The same figure, frame by frame, while one thing changes: for slides and web pages.",
        make=_film,
        photo=_photo_inside,
        holds=lambda _: (
            "Every frame has its captions, its colour bars and a line that says where the film is.",
            "It plays by itself and begins again at its end.",
        ),
        options=_film_options,
        action="Make the film",
    )
)

# Data


def _maps(order: Order) -> File:
    other = None if order.shown.comparison is None else order.shown.comparison.other
    buffer = io.BytesIO()
    sc.save_maps(buffer, order.shown.explanation, other, photo=order.shown.scene.photo.name)
    return File(buffer.getvalue(), "application/octet-stream", ".npz", "maps")


def _boxes(shown: Shown) -> list[tuple[float, float, float, float]]:
    """Those around the objects of the class explained."""
    explanation = shown.explanation
    objects = objects_inside(shown.scene.photo, explanation.box)
    return [each.box for each in objects if each.index == explanation.target]


def _correlations(shown: Shown) -> Table:
    assert shown.comparison is not None
    return tables.correlations_table(sc.compare_classes(shown.explanation, shown.comparison.other))


_TABLES: Mapping[str, tuple[Choice, Callable[[Shown], Table]]] = {
    choice.name: (choice, table)
    for choice, table in (
        (
            Choice("values", "Maps (CSV)", "Least, greatest and mean value of every map"),
            lambda shown: tables.maps_table(shown.explanation, _boxes(shown)),
        ),
        (
            Choice("layers", "Layers (CSV)", "Their sizes, and how much energy averaging leaves"),
            lambda shown: tables.layers_table(shown.explanation),
        ),
        (
            Choice("classes", "Classes (CSV)", "The probabilities of all classes"),
            lambda shown: tables.classes_table(shown.explanation),
        ),
        (
            Choice("correlations", "Correlations (CSV)", "How alike the maps of both classes are"),
            _correlations,
        ),
    )
}
_ARRAYS = Choice("arrays", "Arrays (NPZ)", "Every map, with all that is known of it")


def _data(order: Order) -> File:
    what = order.options["what"]
    if what == _ARRAYS.name:
        return _maps(order)
    table = _TABLES[what][1](order.shown)
    return File(table.csv(), "text/csv", ".csv", table.name)


def _data_options(shown: Shown) -> Sequence[Option]:
    found = [choice for choice, _ in _TABLES.values() if choice.name != "correlations" or shown.comparison]
    return (Option("what", "File", (_ARRAYS, *found)),)


def _data_holds(shown: Shown) -> Sequence[str]:
    explanation = shown.explanation
    classes = "both classes" if shown.comparison else "the class"
    return (
        f"The raw maps of {len(explanation.methods)} methods for {classes}, at {len(explanation.layers)} "
        "layers, as 32-bit floats in the size of each layer.",
        "Names and sizes of the layers, the probabilities of all classes, and the part of the photo that the "
        "network saw.",
        "numpy.load reads it; saliency_core.load_maps gives the explanation back.",
    )


_kind(
    Kind(
        name="data",
        title="Data",
        lead="The numbers behind the pictures, for analyses of your own.",
        make=_data,
        photo=_photo_left_out,
        holds=_data_holds,
        options=_data_options,
        draws=False,
    )
)

# Python


def _code(order: Order) -> File:
    shown, own = order.shown, order.own
    sample = photos.sample_files().get(shown.scene.key)
    text = code.code(
        shown.mode,
        shown.explanation,
        order.view,
        photo=shown.scene.photo.name if sample is None else sample.name,
        sample=sample is not None,
        other=None if shown.comparison is None else shown.comparison.other,
        ascend=shown.comparison is not None and shown.comparison.ascend,
        checkpoint=None if own is None else Checkpoint(own.title, own.architecture, own.labels),
    )
    return File(text.encode("utf-8", "replace"), "text/x-python", ".py")


_kind(
    Kind(
        name="code",
        title="Python",
        lead="The lines that give this view once more, with the package saliency_core and nothing else.",
        make=_code,
        photo=lambda shown: BESIDE if _is_own(shown) else "",
        copy="text",
        draws=False,
    )
)


def offered(shown: Shown) -> list[Kind]:
    """The kinds of files that can be made of what is on the screen."""
    return [kind for kind in KINDS.values() if shown.mode in kind.modes]
