"""Class sensitivity over the uploaded photos: means with their intervals."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

import saliency_core as sc
from pages.classes.pair import Pair
from pages.shared import photos, theme
from pages.shared.engine import shared_engine
from pages.shared.formats import rho, signed
from pages.shared.method_lists import NAMED
from pages.shared.session import Session
from pages.shared.tasks import results
from saliency_core.export.tables import Cell, Table, line_table
from saliency_core.metrics.class_comparison import MeanSensitivity, SensitivityTable
from saliency_core.progress import ProgressCallback

Means = Mapping[tuple[str, str], MeanSensitivity | None]

MEANS = "Mean of ρ and its 95% interval over {count} photos"
CHANGES = "Mean change of ρ by the step, and its 95% interval, over {count} photos"
FILE_HEAD = ("Method", "Layer", "Mean", "Low", "High", "Photos")
_ASKED = "photo set asked"


@dataclass(frozen=True)
class SetMeans:
    """Over the uploaded photos: the mean correlations and, after a meta step, the mean of their change."""

    means: Means
    changes: Means


def _own_classes(current: Session) -> bool:
    """Whether every photo of the set is explained for its own most and least likely class."""
    return current.choice.target is None and current.choice.other is None


def _key(current: Session, pair: Pair) -> Hashable:
    request = pair.scene.request
    classes = None if _own_classes(current) else (pair.first, pair.second)
    digests = tuple(file.digest for file in current.uploads)
    asked = (request.model, request.fit, request.layers)
    return ("photo set", *asked, digests, classes, current.choice.variant)


def _interval(mean: MeanSensitivity | None, written: Callable[[float], str] = rho) -> str:
    if mean is None:
        return "undefined"
    if mean.count == 1:
        return f"{written(mean.mean)} (one photo)"
    least = -1.0 if written is rho else -2.0
    return f"{written(mean.mean)} [{written(max(mean.low, least))}, {written(min(mean.high, -least))}]"


def draw(current: Session, pair: Pair) -> None:
    """Mean and interval over the uploaded photos, from two on."""
    count, key = len(current.uploads), _key(current, pair)
    if count < 2:
        return
    st.header("Over your photos", anchor=False)
    classes = (
        "each photo’s own most and least likely class"
        if _own_classes(current)
        else f"“{pair.title(pair.first)}” and “{pair.title(pair.second)}” on every photo"
    )
    st.markdown(f"The mean of ρ with its 95% confidence interval, for {classes}.")
    found: SetMeans | None = results().peek(key)
    if found is None and st.session_state.get(_ASKED) == key:
        found = current.tasks.computed(
            key,
            _computation(current, pair),
            title=f"Class sensitivity over {count} photos",
            total=count,
            unit="photos",
            long=True,
            on_drop=_withdraw,
        )
    if found is not None:
        layers = pair.scene.layers
        _table(found.means, "photo-set", MEANS, count, layers)
        if found.changes:
            _table(found.changes, "photo-set-changes", CHANGES, count, layers, signed)
        return

    def ask() -> None:
        st.session_state[_ASKED] = key

    running = current.tasks.running(key)
    st.button(f"Over my {count} photos", key="class-set", on_click=ask, disabled=running)


def _withdraw() -> None:
    st.session_state.pop(_ASKED, None)


def _table(
    means: Means,
    name: str,
    title: str,
    count: int,
    layers: tuple[str, ...],
    written: Callable[[float], str] = rho,
) -> None:
    title = title.format(count=count)
    lines = (
        (sc.METHODS[method].title, [_interval(means[method, layer], written) for layer in layers])
        for method in NAMED
    )
    left_out = [
        f"{sc.METHODS[method].title}, {layer}: defined for {found.count} of {count} photos."
        for (method, layer), found in means.items()
        if found is not None and found.count < count
    ]
    shown = line_table(title, name, layers, lines, left_out)
    theme.table(shown, unfolded=True, download=Table(title, name, FILE_HEAD, _file_rows(means, layers)))


def _file_rows(means: Means, layers: tuple[str, ...]) -> list[tuple[Cell, ...]]:
    """The numbers one by one: an interval in one cell could not be read by a program."""
    rows: list[tuple[Cell, ...]] = []
    for method in NAMED:
        for layer in layers:
            found = means[method, layer]
            numbers = (
                (None, None, None, 0) if found is None else (found.mean, found.low, found.high, found.count)
            )
            rows.append((sc.METHODS[method].title, layer, *numbers))
    return rows


def _computation(current: Session, pair: Pair) -> Callable[[ProgressCallback], SetMeans]:
    """The computation for a task, which must not read the session."""
    files, request, variant = tuple(current.uploads), pair.scene.request, current.choice.variant
    classes = None if _own_classes(current) else (pair.first, pair.second)

    def run(progress: ProgressCallback) -> SetMeans:
        variants = (variant,) if variant is None else (variant, None)
        tables: dict[sc.MetaStep | None, list[SensitivityTable]] = {each: [] for each in variants}
        for done, file in enumerate(files, 1):
            image = photos.open_upload(file).image
            question = replace(request, photo=file.digest, target=None, variant=None)
            explain = partial(shared_engine().explain, image=image)
            order = explain(question).probabilities.argsort()
            both = classes or (int(order[-1]), int(order[0]))
            for each in variants:
                first, second = (
                    explain(replace(question, target=target, variant=each)).only(NAMED) for target in both
                )
                tables[each].append(sc.compare_classes(first, second))
            progress(done, len(files))
        changes = {} if variant is None else sc.mean_sensitivity(tables[variant], before=tables[None])
        return SetMeans(sc.mean_sensitivity(tables[variant]), changes)

    return run
