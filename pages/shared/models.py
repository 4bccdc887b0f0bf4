"""Models in words: what the sidebar, the dialog of models and the notes say of them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import saliency_core as sc
from pages.shared import formats
from pages.shared.engine import shared_engine
from pages.shared.tasks import Tasks
from pages.shared.uploads import listed
from saliency_core.engine.request import ModelListing
from saliency_core.models.catalogue.details import ModelDetails
from saliency_core.models.catalogue.names import ModelName, parse_name

OWN_PREFIX, FOLDER_PREFIX = "own:", "folder:"
LIBRARIES = ("", "timm")
"""The prefixes of names in the catalogue."""
CONVOLUTIONAL = "Convolutional"
FAMILIES = {
    "Transformers": re.compile(r"(vit|deit|swin|beit|cait|eva)"),
    "Multilayer perceptrons": re.compile(r"(mixer|resmlp|gmlp)"),
}
"""Title of a group of the list -> the architectures that stand in it; the others are convolutional."""
HERE = "On this machine"
NON_COMMERCIAL = "The licence does not allow commercial use."
NOT_STATED = "not stated"
_NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial|research", re.IGNORECASE)
_looked_up: set[str] = set()
"""The models whose details the engine has at hand."""


def parts(name: str) -> ModelName | None:
    """The parts of a model's name; None if it is none."""
    try:
        return parse_name(name)
    except sc.SaliencyError:
        return None


def is_own(name: str) -> bool:
    """Whether a name is that of a network which a session has uploaded."""
    return name.startswith(OWN_PREFIX)


def is_of_folder(name: str) -> bool:
    """Whether a name is one of the server's folder of models, whether or not there is a model."""
    return name.startswith(FOLDER_PREFIX)


def exists(name: str) -> bool:
    """Whether there is such a model, for this or another session."""
    found = parts(name)
    if found is None:
        return False
    if is_own(name):
        return True
    try:
        shared_engine().title(name)
    except sc.SaliencyError:
        return False
    return True


def family(found: ModelListing) -> str:
    """The group of the list in which a model stands."""
    name = parts(found.name)
    architecture = "" if name is None else name.architecture
    return next((title for title, pattern in FAMILIES.items() if pattern.match(architecture)), CONVOLUTIONAL)


def recognise(file: Path) -> dict[str, Any]:
    """What a checkpoint looks like: its size, and the architectures of the first list that it fits."""
    found = shared_engine().describe_checkpoint(file)
    note = f"{found.tensors} tensor{'s' if found.tensors != 1 else ''}, {formats.size(file.stat().st_size)}"
    fits = fitting(found.fitting)
    return {"note": note, "fits": fits, "titles": listed([each["title"] for each in fits]) if fits else ""}


def fitting(names: Iterable[str]) -> list[dict[str, str]]:
    """The names and titles of architectures that a checkpoint fits."""
    return [{"name": name, "title": title(name)} for name in names]


def title(name: str) -> str:
    """The title of a model of the catalogue; of a sub-folder that gives no model, its own name."""
    try:
        return shared_engine().title(name)
    except sc.SaliencyError:
        if not is_of_folder(name):
            raise
        return name.removeprefix(FOLDER_PREFIX)


# -- looking up ----------------------------------------------------------------------------------------------


def look_up(name: str) -> ModelListing:
    """What is known of a model; the first time, its network may be laid out, which takes a moment."""
    found = shared_engine().listing(name)
    _looked_up.add(name)
    return found


def listing(name: str, tasks: Tasks) -> ModelListing | None:
    """What is known of a model, looked up in the background the first time; None meanwhile."""
    if name in _looked_up:
        return look_up(name)
    key = ("details", name)
    return tasks.result(
        key,
        lambda: shared_engine().run(
            key,
            lambda _: look_up(name),
            title="Looking up the model",
            total=0,
            short=True,
            session=tasks.session,
        ),
        title="Looking up the model",
        inline=True,
    )


# -- words ---------------------------------------------------------------------------------------------------


def state(found: ModelListing) -> tuple[str, str]:
    """Where a model's weights are: a kind, and the same in words."""
    name = parts(found.name)
    if name is not None and name.seed is not None:
        return "random", f"Random weights, seed {name.seed}"
    if is_own(found.name):
        return "local", "Yours, for this session"
    if found.state == "download":
        return "download", f"{_download(found)} download" if _download(found) else "To be downloaded"
    return "local", HERE


def _download(found: ModelListing) -> str:
    """The size of what has to be fetched, or nothing where nobody has said it."""
    published = None if found.details is None else found.details.download_bytes
    size = published if found.download_bytes is None else found.download_bytes
    return "" if size is None else formats.size(size)


def facts_line(details: ModelDetails | None) -> str:
    """Parameters, accuracy, input size and licence in one line, without what is not known."""
    if details is None:
        return ""
    facts = (
        None if details.parameters is None else f"{formats.count(details.parameters)} parameters",
        None if details.top1 is None else f"{details.top1:.1f}% top-1",
        formats.input_size(details.input_size),
        details.licence,
    )
    return " · ".join(filter(None, facts))


def card(found: ModelListing) -> dict[str, str]:
    """A model as the sidebar shows it."""
    kind, words = state(found)
    return {
        "name": found.name,
        "title": _untrained(found.title),
        "facts": facts_line(found.details),
        "state": words,
        "kind": kind,
    }


def _untrained(title: str) -> str:
    """A title without the words on random weights, where another line says that."""
    return title.removesuffix(", random weights")


def _facts(found: ModelListing) -> dict[str, str]:
    """The columns of the list."""
    details = found.details
    kind, why = state(found)[0], _no_top1(found)
    weights = {"download": _download(found), "random": "random"}.get(kind, "here")
    return {
        "parameters": ""
        if details is None or details.parameters is None
        else formats.count(details.parameters),
        "top1": f"{details.top1:.1f}%" if details and details.top1 is not None else "–" if why else "",
        "no_top1": why,
        "weights": weights,
    }


def _no_top1(found: ModelListing) -> str:
    """Why no accuracy is said of a model; empty where there is one, or where it is not known yet."""
    name, details = parts(found.name), found.details
    if details is None or details.top1 is not None or not found.library:
        return ""
    untrained = name is not None and name.seed is not None
    return "random weights" if untrained else f"not published by {found.library}"


def from_folder(query: str) -> list[dict[str, Any]]:
    """The rows of the server's folder of models that a query finds, those with a problem too."""
    words = query.lower().split()
    return [
        {
            "name": each.name,
            "title": each.title,
            "sub": "not a model" if each.problem else "from this server's folder",
            "facts": {
                "parameters": "",
                "top1": "",
                "no_top1": "",
                "weights": "" if each.problem else "here",
            },
            "problem": bool(each.problem),
        }
        for each in shared_engine().folder()
        if all(word in f"{each.name} {each.title}".lower() for word in words)
    ]


def row(found: ModelListing) -> dict[str, Any]:
    """A model as a row of the list."""
    name = parts(found.name)
    title, sub = found.title, [found.library]
    if name is not None and name.prefix in LIBRARIES:
        title = _untrained(found.title).removesuffix(f" ({name.tag})")
        own_title = title != name.architecture
        sub += [
            name.architecture if own_title else "",
            name.tag or ("" if name.seed is not None else found.tag or ""),
            "untrained" if name.seed is not None else "",
        ]
    return {
        "name": found.name,
        "title": title,
        "sub": " · ".join(filter(None, sub)),
        "facts": _facts(found),
    }


def describe(found: ModelListing) -> dict[str, Any]:
    """All that the dialog says of a model."""
    name, details = parts(found.name), found.details
    kind, _ = state(found)
    own, folder = is_own(found.name), is_of_folder(found.name)
    return {
        "name": found.name,
        "base": "" if name is None or own or folder else name.trained,
        "title": found.title,
        "summary": found.summary,
        "kind": "own" if own else "folder" if folder else "catalogue",
        "rows": _rows(found),
        "variants": [] if name is None or own or folder else _variants(name, found),
        "seed": None if name is None else name.seed,
        "action": "Use this model"
        if kind != "download"
        else f"Download {_download(found)} and use".replace("  ", " "),
        "warning": NON_COMMERCIAL if details and _NON_COMMERCIAL.search(details.licence or "") else "",
        "problem": "",
        "facts": _facts(found),
    }


def _rows(found: ModelListing) -> list[dict[str, str]]:
    details = found.details
    rows: list[tuple[str, str | None, str]] = [("Library", found.library or None, "")]
    if details is not None:
        trained = parts(found.name)
        own = is_own(found.name) or is_of_folder(found.name)
        rows += [
            ("Parameters", None if details.parameters is None else formats.count(details.parameters), ""),
            ("Top-1 accuracy", _top1(found), ""),
            ("Input", formats.input_size(details.input_size), ""),
            _classes(details),
            ("Licence", details.licence or (None if own else NOT_STATED), ""),
            ("Page", _site(details.url), details.url or ""),
        ]
        if trained is not None and trained.seed is not None:
            rows = [each for each in rows if each[0] not in ("Top-1 accuracy", "Licence")]
    rows.append(("Weights", state(found)[1], ""))
    return [{"term": term, "text": text, "link": link} for term, text, link in rows if text]


def _classes(details: ModelDetails) -> tuple[str, str, str]:
    """How many classes there are and where they are from; of a network without classes, its features."""
    if details.features:
        return "Features", f"{details.classes:,}", ""
    return "Classes", " · ".join(filter(None, (f"{details.classes:,}", details.dataset))), ""


def _top1(found: ModelListing) -> str:
    """The accuracy that the library publishes, or that it publishes none."""
    top1 = None if found.details is None else found.details.top1
    if top1 is not None:
        return f"{top1:.1f}%, as published"
    return f"{found.library} publishes none with its weights" if found.library else ""


def _site(url: str | None) -> str | None:
    """The host of an address of the web, to show instead of the whole."""
    match = re.match(r"https?://(?:www\.)?([^/]+)", url or "")
    return match[1] if match else None


def _variants(name: ModelName, listing: ModelListing) -> list[dict[str, str]]:
    """The weights of an architecture to choose from."""
    tags = () if listing.details is None else listing.details.tags
    if not tags and name.seed is not None:
        return []  # nobody has published any
    found: dict[str, str] = {}
    for tag in tags:
        if tag == listing.default_tag:
            found[name.base] = f"{tag} (default)"
        else:
            found[f"{name.base}.{tag}"] = tag
    chosen = {} if name.trained in found else {name.trained: name.tag or "Default"}
    return [{"name": each, "title": words} for each, words in (chosen | found).items()]
