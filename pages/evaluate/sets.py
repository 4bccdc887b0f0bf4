"""The photo sets that a session can evaluate: the samples, those of the server's folder, and its own."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

import saliency_core as sc
from pages.evaluate.own_sets import OwnSets, of_session
from pages.shared import photos, theme
from pages.shared.chosen import chosen
from pages.shared.session import Session
from pages.shared.uploads import listed
from saliency_core.photo_sets.class_names import ClassMatch, match_classes
from saliency_core.photo_sets.folders import (
    ServerPhotoSet,
    data_folder,
    server_photo_set,
    server_photo_sets,
)
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.photo_sets.reading import READERS, read_photo_set

SAMPLES = "samples"
SERVER = "server "
SAMPLES_TITLE = "The samples of this app"
SHOWN_PROBLEMS = 50
_CHOSEN = "photo set"
_REFUSED = "photo set refused"
_KEY = "photo-set-choice"


@dataclass(frozen=True)
class OpenSet:
    """A photo set that can be evaluated; equal ones have equal photos and annotations."""

    key: str
    title: str
    photo_set: PhotoSet


def choose(current: Session) -> OpenSet | None:
    """The controls in which a set is chosen or uploaded; the set once it has been read."""
    own = of_session()
    titles = _titles(own)
    key = st.session_state.get(_CHOSEN, SAMPLES)
    if key not in titles:
        key = SAMPLES
    st.session_state[_KEY] = key

    def take() -> None:
        found = chosen(_KEY, titles)
        if found is not None:
            st.session_state[_CHOSEN] = found
            st.session_state.pop(_REFUSED, None)

    choice, upload = st.columns([1, 1.2], gap="medium", vertical_alignment="bottom")
    with choice:
        st.selectbox("Photo set", tuple(titles), format_func=titles.__getitem__, key=_KEY, on_change=take)
    with upload:
        name = f"photo-set-zip-{own.round}"
        st.file_uploader(
            "Or upload one as a zip file: Pascal VOC, COCO, YOLO, a CSV of boxes, or a folder for each class",
            key=name,
            on_change=_take_file,
            args=(own, name),
        )
    if refused := st.session_state.get(_REFUSED):
        theme.note([refused], error=True)
    if unusable := [found for found in _on_server() if found.problem]:
        with st.expander(f"{_number(len(unusable), 'photo set')} on the server can’t be used"):
            theme.lines([f"{found.name}: {found.problem}" for found in unusable])
    return _opened(current, own, key, titles[key])


@st.cache_data(ttl=60, max_entries=1, show_spinner=False)
def _on_server() -> tuple[ServerPhotoSet, ...]:
    """The sets of the server's folder; looking at them lists all of their files."""
    return server_photo_sets()


def _titles(own: OwnSets) -> dict[str, str]:
    """What can be chosen: key -> title."""
    server = {
        f"{SERVER}{found.name}": f"{found.name} (on the server, {_number(found.photos, 'photo')})"
        for found in _on_server()
        if not found.problem
    }
    return {SAMPLES: SAMPLES_TITLE} | server | {each.key: each.title for each in own}


def _take_file(own: OwnSets, name: str) -> None:
    file = st.session_state.get(name)
    if not isinstance(file, UploadedFile):
        return
    st.session_state.pop(_REFUSED, None)
    own.round += 1
    try:
        st.session_state[_CHOSEN] = own.add(file.name, file.getvalue()).key
    except sc.SaliencyError as error:
        st.session_state[_REFUSED] = str(error)


def _opened(current: Session, own: OwnSets, key: str, title: str) -> OpenSet | None:
    if key == SAMPLES:
        return OpenSet(SAMPLES, title, sample_set())
    found = own.get(key)
    if found is not None:
        name, place, read = found.name, found.path, found.read
    else:
        name = key.removeprefix(SERVER)
        place, read = (data_folder() or Path()) / name, partial(server_photo_set, name)
    task = ("photo set", str(place), _changed(place))
    opened: PhotoSet | None = current.tasks.computed(
        task, lambda _: read(), title=f"Reading {name}", total=0, inline=True
    )
    if opened is not None:
        return OpenSet(key, title, opened)
    if (reason := current.tasks.error(task)) is not None:
        theme.note([reason], error=True)
    else:
        theme.hint(f"Reading {name} …")
    return None


def _changed(place: Path) -> int:
    """When a set was last changed, as its file or folder says; 0 where it is gone, which reading it says."""
    try:
        return place.stat().st_mtime_ns
    except OSError:
        return 0


@cache
def sample_set() -> PhotoSet:
    """The samples with the boxes that are known of them."""
    return read_photo_set(photos.SAMPLES_FOLDER, "csv")


# -- what was found ------------------------------------------------------------------------------------------


def facts(opened: OpenSet, labels: tuple[str, ...]) -> ClassMatch:
    """Say what is in a set, and what of it cannot be used; returns what its classes are to the network."""
    found = opened.photo_set
    match = match_classes(found.class_names, labels)
    shown = Counter(each.class_name for record in found.records for each in record.annotations)
    shown.update(record.folder_class for record in found.records if record.folder_class is not None)
    title = READERS[found.kind].title
    kind = "" if opened.key == SAMPLES else f"{title[0].upper()}{title[1:]}: "
    parts = [_number(len(found.records), "photo")]
    if found.object_count:
        parts.append(_number(found.object_count, "object"))
    if found.class_names:
        parts.append(_number(len(found.class_names), "class", "classes"))
    known = sum(name in match.indices for name in found.class_names)
    lead = f"{kind}{', '.join(parts)}."
    if found.class_names and known < len(found.class_names):
        lead += f" The network knows {known} of the {_number(len(found.class_names), 'class', 'classes')}."
    theme.hint(lead)
    if match.unmatched or found.problems:
        _details(found, match, shown)
    return match


def _details(found: PhotoSet, match: ClassMatch, shown: Mapping[str, int]) -> None:
    """What is left out, in a folded list."""
    count = found.problem_count or len(found.problems)
    names = [
        *([_number(len(match.unmatched), "class", "classes")] if match.unmatched else []),
        *([_number(count, "problem")] if count else []),
    ]
    with st.expander(f"What is left out: {' and '.join(names)}"):
        lines = [
            f"{listed([name])} ({_number(shown.get(name, 0), 'object')}): {reason}"
            for name, reason in match.unmatched.items()
        ]
        lines += [
            f"{each.file}: {each.sentence}" if each.file else each.sentence
            for each in found.problems[:SHOWN_PROBLEMS]
        ]
        if len(found.problems) > SHOWN_PROBLEMS:
            lines.append(f"And {len(found.problems) - SHOWN_PROBLEMS:,} more.")
        theme.lines(lines)


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
