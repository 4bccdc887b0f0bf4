"""The viewer as one HTML file: photo, maps and scripts are in it, and it asks nothing of anybody.

The page's Content-Security-Policy lets the browser run this script and use this style sheet, and load
nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.explanation import Explanation
from saliency_core.files import file_path, write_file
from saliency_core.inputs.images import file_name, open_image
from saliency_core.methods.registry import METHODS
from saliency_core.registry import unknown
from saliency_core.render import display_jpeg
from saliency_core.texts import one_line
from saliency_core.version import SOFTWARE
from saliency_core.viewer import correlations as rank_correlations
from saliency_core.viewer import formats, schema
from saliency_core.viewer import methods as method_facts
from saliency_core.viewer import payload as payloads
from saliency_core.viewer.bundle import bundle, font_face
from saliency_core.viewer.complete import complete
from saliency_core.viewer.correlations import Correlations
from saliency_core.viewer.payload import AVERAGING_METHODS, MODES, ClassComparison, DisplayPhoto
from saliency_core.viewer.quantised import Bits, Quantised, quantise

TABS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "compare": ("Compare", "Two methods at one layer"),
        "mix": ("Mix layers", "The maps of all layers, mixed into one"),
        "framework": ("Framework", "Every way to extract and aggregate, as a table of maps"),
        "classes": ("Classes", "The maps of two classes, and their difference"),
        "why": ("Why Grad-CAM fails", "What averaging over locations loses"),
        "point": ("Point", "Whether each map points at the boxes on the photo"),
    }
)
"""Mode -> what its tab is called, and what it shows."""

NO_SCRIPT = "The maps are drawn by a script in this file, and scripts are switched off."
PHOTO_NAME = "photo"
"""What a photo is called that has no name."""

FINE_BYTES = 2_400_000
"""Maps that take up to this many bytes of the page are kept with 16 bits, others with 8.

Products of layers need the 16: with 8, many small values of a map become its minimum.
"""

Value = TypeVar("Value")

_SAME_FOR_ALL = ("schema", "methods", "table", "colormaps", "revision", "key", "allLayers", "leftOut")


@dataclass(frozen=True)
class Entry:
    """One explanation of a page.

    Args:
        explanation: whose maps are shown.
        photo: what they lie on.
        comparison: a second class, and meta steps of several sizes for both.
        correlations: of the two classes' maps; computed if there is a second class and these are None.
        unavailable: method -> why it does not exist for this network, one sentence.
    """

    explanation: Explanation
    photo: DisplayPhoto
    comparison: ClassComparison | None = None
    correlations: Correlations | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)


def save_html(
    path: str | os.PathLike[str],
    *explanations: Explanation,
    mode: str = "compare",
    title: str | None = None,
    caption: str = "",
    address: str = "",
    photo: Image.Image | str | os.PathLike[str] | None = None,
    **view: Any,
) -> None:
    """Save explanations as a web page that needs no server and no network.

    The page has the photo (at most 1280 pixels wide or high), all maps and the whole viewer. Two explanations
    of one photo can also be compared as two classes. The maps are rounded to 16 bits, or to 8 if they would
    take too much room; the page says by how much that changes them at most.

    Args:
        path: the file's name; it must end in ``.html``.
        explanations: what :func:`explain` returned.
        mode: what is shown first: ``"compare"``, ``"mix"``, ``"framework"``, ``"classes"``, ``"why"`` or
            ``"point"``.
        title: the page's heading; by default it names the photo; empty for none.
        caption: a text below it.
        address: where the page was made, a link that begins with ``http://`` or ``https://``.
        photo: the photo or its file, for explanations that do not have it.
        view: what is chosen at first, by the names of the view's fields: ``left``, ``right``, ``layer``,
            ``weights``, ``how``, ``opacity``, ``colormap``, …

    Raises:
        ArgumentError: an explanation of a function, one without a photo, a mode that these explanations do
            not have, a value of the view that cannot be used, or a file that cannot be written.
        ArgumentTypeError: not explanations.
    """
    target = file_path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"the page was to be saved as {target.name!r}; the name must end in .html")
    shown = page(
        entries(explanations, mode, photo),
        mode=mode,
        view=checked_view(view, explanations),
        title=title,
        caption=caption,
        address=address,
    )
    write_file(target, shown.encode())


def entries(
    explanations: Sequence[Explanation],
    mode: str = "compare",
    photo: Image.Image | str | os.PathLike[str] | None = None,
) -> tuple[Entry, ...]:
    """The explanations as a page takes them: each with its photo, and with the other class if they are two.

    Raises:
        ArgumentError, ArgumentTypeError: as for :func:`save_html`.
    """
    if not isinstance(mode, str) or mode not in MODES:
        raise ArgumentError(unknown("mode", mode, MODES))
    if not explanations:
        raise ArgumentError("there is no explanation to show; pass what sc.explain(...) returned")
    for each in explanations:
        if not isinstance(each, Explanation):
            raise ArgumentTypeError(f"{each!r} was to be shown; expected an Explanation")
    given = None if photo is None else _display(*_photo_of(photo))
    found = [Entry(each, _shown_photo(each, given)) for each in explanations]
    obstacle = _no_pair(explanations)
    if mode == "classes":
        if obstacle is not None:
            raise ArgumentError(obstacle)
        found = found[:1]
    if obstacle is None:
        found = [
            replace(entry, comparison=ClassComparison(other, _compared_method(entry.explanation), ()))
            for entry, other in zip(found, explanations[::-1], strict=False)
        ]
    return tuple(found)


def checked_view(view: Mapping[str, Any], explanations: Sequence[Explanation]) -> dict[str, schema.Value]:
    """The fields of a view that a person gave, as the viewer takes them.

    Weights may be given as layer -> weight, or in the order of the layers.

    Raises:
        UnknownNameError, ArgumentError, ArgumentTypeError: as for :func:`complete`.
    """
    completed = complete(view, explanations[0])
    return {name: completed[name] for name, value in view.items() if value is not None}


def page(
    shown: Sequence[Entry],
    *,
    mode: str = "compare",
    view: schema.View = schema.DEFAULTS,
    title: str | None = None,
    caption: str = "",
    address: str = "",
    tabs: Collection[str] | None = None,
    fine_bytes: int = FINE_BYTES,
    framed: bool = False,
) -> str:
    """The HTML of a page with these explanations.

    Args:
        shown: at least one.
        mode: which tab is open at first.
        view: what is chosen at first.
        title, caption, address: as for :func:`save_html`.
        tabs: the modes that are offered beside the first one; None: all that the explanations have maps for.
        fine_bytes: maps that take up to this many bytes are kept with 16 bits, others with 8.
        framed: whether it stands in a frame of a notebook, where there is less room.

    Raises:
        ArgumentTypeError: a title, caption or address that is no text.
        ArgumentError: an unknown mode, or one that these explanations do not have; an address that is none;
            an explanation that the viewer cannot show (see :func:`payload.content`).
    """
    for name, given in (
        ("title", "" if title is None else title),
        ("caption", caption),
        ("address", address),
    ):
        if not isinstance(given, str):
            raise ArgumentTypeError(f"{name} is {given!r}; expected a text")
    made = _contents(shown, mode, view, tabs, fine_bytes)
    text = json.dumps(_seen(made.contents), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = bundle("hosts/page.js")
    style = parts.style + font_face()
    heading = one_line(title or default_title(entry.photo.name for entry in shown))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(parts.script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data: blob:",
            "font-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    above = "" if title == "" else f"<h1>{html.escape(heading)}</h1>"
    below = f"<p>{html.escape(one_line(caption))}</p>" if caption else ""
    link = _link(address)
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta name="generator" content="{html.escape(SOFTWARE)}">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{html.escape(heading)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>{style}</style>",
            "</head>",
            f'<body class="page{" framed" if framed else ""}">',
            f'<header class="page-head">{above}{below}',
            '<p class="page-facts"><span id="facts" data-testid="facts"></span>'
            f" · {html.escape(SOFTWARE)}{link}</p>",
            "</header>",
            '<div class="page-bar" id="bar"></div>',
            '<main class="viewer" id="viewer" data-testid="normgrad-viewer"></main>',
            f"<noscript><p>{NO_SCRIPT}</p></noscript>",
            '<footer class="page-foot"><p id="remark" data-testid="remark"></p>'
            f"<p>{html.escape(rounding(made.quantised))}</p></footer>",
            f'<script type="application/json" id="contents">{text}</script>',
            f'<script type="module">{parts.script}</script>',
            "</body>",
            "</html>",
            "",
        )
    )


def rounding(quantised: Quantised) -> str:
    """What the page says of the values of its maps; the percentage is rounded up."""
    words = f"Values are rounded to {quantised.bits} bits"
    if quantised.error == 0:
        return f"{words}."
    share = 100 * quantised.error
    unit = 10.0 ** math.floor(math.log10(share))
    return f"{words}, by at most {math.ceil(share / unit) * unit:.1g}% of a map’s range."


def quantised_maps(shown: Sequence[Entry], mode: str = "compare") -> Quantised:
    """The maps of a page with these explanations, as they are in it."""
    return _contents(shown, mode, schema.DEFAULTS, None, FINE_BYTES).quantised


# -- what a page contains ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Contents:
    contents: Mapping[str, Any]
    """JSON: what web/hosts/page.js reads."""
    quantised: Quantised


class _Pool(Generic[Value]):
    """Values in the order in which they came, those with the same bytes once."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._known: dict[bytes, int] = {}

    def put(self, value: Value, data: bytes) -> int:
        """The position of a value that has these bytes."""
        key = hashlib.sha256(data).digest()
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]


def _contents(
    shown: Sequence[Entry], mode: str, view: schema.View, tabs: Collection[str] | None, fine_bytes: int
) -> _Contents:
    if mode not in MODES:
        raise ArgumentError(unknown("mode", mode, MODES))
    maps: _Pool[NDArray[np.float32]] = _Pool()
    photos: _Pool[bytes] = _Pool()
    common: dict[str, Any] = {}
    written: list[dict[str, Any]] = []
    for entry, title in zip(shown, _titles(shown), strict=True):
        modes = _modes(entry, mode, tabs)
        if not written:
            _check_mode(entry, modes, mode)
        sent = _sent(entry, mode, modes, view)
        meta = dict(sent.payload.meta)
        common = {name: meta.pop(name) for name in _SAME_FOR_ALL}
        # Every mode may be shown in turn.
        common["table"] = method_facts.table()
        del meta["mode"]
        written.append(
            {
                "title": title,
                "meta": meta,
                "photo": photos.put(sent.payload.photo, sent.payload.photo),
                "maps": [maps.put(plane, plane.tobytes()) for plane in sent.planes],
                "remark": _remark(entry.photo),
                "updates": _updates(entry, meta, view),
                "tabs": [{"name": each, "title": TABS[each][0], "hint": TABS[each][1]} for each in modes],
            }
        )
    # Where values are rounded coarsely, several places can come to be the greatest of a map.
    fine = mode == "point" or sum(plane.size for plane in maps.values) * 2 * 4 / 3 <= fine_bytes
    bits: Bits = 16 if fine else 8
    quantised = quantise(maps.values, bits)
    contents = {
        "mode": mode,
        "meta": common,
        "entries": written,
        "photos": [_base64(photo) for photo in photos.values],
        "luts": _base64(payloads.lookup_tables().tobytes()),
        "maps": {
            "bits": bits,
            "data": _base64(quantised.data),
            "planes": [
                {"size": plane.size, "low": plane.low, "step": plane.step} for plane in quantised.planes
            ],
        },
    }
    return _Contents(contents, quantised)


@dataclass(frozen=True)
class _Sent:
    payload: payloads.Payload
    planes: list[NDArray[np.float32]]


def _sent(entry: Entry, mode: str, modes: Sequence[str], view: schema.View) -> _Sent:
    """The payload of an explanation with the maps of all its tabs."""
    explanation, subject = entry.explanation, entry.explanation.subject
    needed = {name for each in modes for name in payloads.needed_methods(each, explanation, view)}
    methods = [name for name in explanation.methods if name in needed]
    comparison = entry.comparison if "classes" in modes else None
    if comparison is not None:
        comparison = replace(comparison, labels=(), presets=())
    content = payloads.content(
        entry.photo,
        explanation,
        subject,
        methods,
        comparison,
        stages=subject.default_layers,
        features=subject.features,
    )
    absent = {
        name: f"{method.title} is not in this file."
        for name, method in METHODS.items()
        if name not in methods
    }
    sent = payloads.payload(
        content,
        mode=mode,
        view=view,
        unavailable={
            **absent,
            **{name: entry.unavailable[name] for name in absent if name in entry.unavailable},
        },
        state=formats.after_step(explanation.meta),
    )
    return _Sent(sent, np.split(content.maps, np.cumsum(content.sizes)[:-1]))


def _modes(entry: Entry, mode: str, tabs: Collection[str] | None) -> list[str]:
    """The tabs of an explanation, in their order."""
    methods = set(entry.explanation.methods)
    cells = {name for row in method_facts.table()["cells"] for name in row}
    there = {
        "compare": True,
        "mix": True,
        "framework": methods >= cells or mode == "framework",
        "classes": entry.comparison is not None,
        "why": mode == "why" and methods >= set(AVERAGING_METHODS),
        "point": mode == "point",
    }
    return [each for each in TABS if there[each] and (tabs is None or each in tabs or each == mode)]


def _check_mode(entry: Entry, modes: Collection[str], mode: str) -> None:
    """Refuse a mode that the explanation shown first does not have."""
    if mode in modes:
        return
    if mode == "classes":
        raise ArgumentError("the mode 'classes' shows two classes, and there is no second one")
    missing = [name for name in AVERAGING_METHODS if name not in entry.explanation.methods]
    raise ArgumentError(
        f"the mode 'why' shows {', '.join(AVERAGING_METHODS)}, and the explanation does not have "
        f"{', '.join(missing)}; explain without methods=, or with these"
    )


def _updates(entry: Entry, meta: Mapping[str, Any], view: schema.View) -> dict[str, Any]:
    """The figures of the mode "classes"; nothing is ever pending."""
    comparison = meta["comparison"]
    if comparison is None or entry.comparison is None:
        return {"pending": {}, "correlations": None, "asked": None}
    found = _complete(entry.correlations, entry, meta)
    step = view.get("epsilon") if comparison["sweep"] else None
    return {
        "pending": {},
        "correlations": {"maps": meta["keys"]["maps"], **rank_correlations.written(found)},
        "asked": {
            "classes": [meta["target"], comparison["target"]],
            "step": step,
            "ascend": entry.comparison.ascend,
        },
    }


def _complete(given: Correlations | None, entry: Entry, meta: Mapping[str, Any]) -> Correlations:
    """The figures with those that are missing: nothing is computed any more once the page is saved."""
    assert entry.comparison is not None
    first, comparison = entry.explanation, entry.comparison
    named = [name for name in meta["maps"] if not method_facts.is_plain_cell(METHODS[name])]
    known = dict.fromkeys(named) if given is None else given.before
    before = {
        name: rank_correlations.line(first, comparison.other, name) if figures is None else figures
        for name, figures in known.items()
        if figures is not None or name in meta["maps"]
    }
    after = None if given is None else given.after
    if after is not None and (list(after) != list(before) or None in after.values()):
        after = None
    sweep = () if given is None else given.sweep
    if len(sweep) != len(comparison.sweep):
        points = comparison.sweep
        sweep = [rank_correlations.line(each.first, each.second, comparison.method) for each in points]
    return Correlations(before, after, sweep, "" if given is None else given.remark)


# -- photos --------------------------------------------------------------------------------------------------


def _photo_of(given: Image.Image | str | os.PathLike[str]) -> tuple[Image.Image, str]:
    """A photo and its name."""
    if isinstance(given, Image.Image):
        return given, file_name(given) or PHOTO_NAME
    if isinstance(given, str | os.PathLike):
        return _photo_of(open_image(given))
    raise ArgumentTypeError(f"photo is {given!r}; expected an image, the name of its file, or None")


def _display(image: Image.Image, name: str) -> DisplayPhoto:
    jpeg, (width, height) = display_jpeg(image)
    return DisplayPhoto(hashlib.sha256(jpeg).hexdigest(), jpeg, width, height, image.size, name)


def _shown_photo(explanation: Explanation, given: DisplayPhoto | None) -> DisplayPhoto:
    image, box = explanation.subject.image, explanation.box
    if given is None and image is None:
        raise ArgumentError(
            f"the explanation of {explanation.label!r} does not have its photo; pass it: photo=..."
        )
    if given is None:
        assert image is not None
        return _display(*_photo_of(image))
    width, height = given.original_size
    if box is not None and (box[2] > width + 1 or box[3] > height + 1):
        raise ArgumentError(
            f"the photo has {width} × {height} pixels, and the network saw what lies between {box[0]:g}, "
            f"{box[1]:g} and {box[2]:g}, {box[3]:g}; pass the photo that was explained"
        )
    return given


def _remark(photo: DisplayPhoto) -> str:
    """What the page says of the size of its photo."""
    width, height = photo.original_size
    if (photo.width, photo.height) == (width, height):
        return ""
    return f"The photo is a smaller copy, {photo.width} × {photo.height} of {width} × {height} pixels."


# -- two classes ---------------------------------------------------------------------------------------------


def _no_pair(explanations: Sequence[Explanation]) -> str | None:
    """Why explanations are no two classes of one photo, as a sentence; None if they are."""
    wanted = "the mode 'classes' shows two explanations of one photo, for two classes"
    if len(explanations) != 2:
        return f"{wanted}; {len(explanations)} {'was' if len(explanations) == 1 else 'were'} given"
    first, second = explanations
    if first.probabilities.shape != second.probabilities.shape or not np.allclose(
        first.probabilities, second.probabilities, atol=1e-4
    ):
        return f"{wanted}; these are of different photos or networks"
    if first.target is not None and first.target == second.target:
        return f"{wanted}; both of these are for {first.label!r}"
    if any(getattr(first, name) != getattr(second, name) for name in ("layers", "methods", "box", "meta")):
        return f"{wanted}; explain both with the same layers, methods, fit and meta step"
    return None


def _compared_method(explanation: Explanation) -> str:
    first = schema.DEFAULT_METHODS[0]
    return first if first in explanation.methods else explanation.methods[0]


# -- texts ---------------------------------------------------------------------------------------------------


def default_title(photos: Iterable[str]) -> str:
    """The heading of a page with these photos; the network is named in the line below it."""
    names = set(photos)
    if names == {PHOTO_NAME}:
        return "Saliency maps of a photo"
    return f"Saliency maps of {names.pop() if len(names) == 1 else f'{len(names)} photos'}"


def _titles(shown: Sequence[Entry]) -> list[str]:
    """What tells each explanation from the others: its class, and whatever else is not the same for all."""

    def facts(entry: Entry) -> tuple[str, str, str]:
        step = formats.after_step(entry.explanation.meta)
        return entry.photo.name, entry.explanation.subject.title, step

    every = [facts(entry) for entry in shown]
    varies = [len({each[column] for each in every}) > 1 for column in range(3)]
    return [
        " · ".join(
            part
            for part in (
                name if varies[0] else "",
                model if varies[1] else "",
                entry.explanation.label,
                step if varies[2] else "",
            )
            if part
        )
        for entry, (name, model, step) in zip(shown, every, strict=True)
    ]


def is_link(address: str) -> bool:
    """Whether an address leads to a page of the web."""
    try:
        parts = urlsplit(_writable(address))
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # such as half of an IPv6 address
        return False


def _link(address: str) -> str:
    if not address:
        return ""
    if not is_link(address):
        raise ArgumentError(f"address is {address!r}; expected a link that begins with http:// or https://")
    target, host = html.escape(_writable(address)), html.escape(one_line(urlsplit(address).netloc))
    return f' · <a href="{target}" rel="noopener noreferrer" target="_blank">made at {host}</a>'


def _writable(text: str) -> str:
    """A text without what UTF-8 cannot write: names of files may have it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _seen(value: Any) -> Any:
    """JSON whose texts have no characters that cannot be seen: some turn the rest of a line round."""
    if isinstance(value, str):
        return value if value.isprintable() else one_line(value)
    if isinstance(value, Mapping):
        return {_seen(name): _seen(each) for name, each in value.items()}
    return [_seen(each) for each in value] if isinstance(value, list | tuple) else value


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
