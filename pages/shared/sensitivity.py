"""The page on class sensitivity: two classes, their maps, how alike they are, what a step changes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from types import MappingProxyType
from typing import Any

import streamlit as st

import saliency_core as sc
from pages.shared import charts, class_charts, photos, stage, theme
from pages.shared.cards import time_left
from pages.shared.class_charts import signed
from pages.shared.engine import shared_engine
from pages.shared.figures import Figure, rho
from pages.shared.jobs import Subject
from pages.shared.sidebar import class_labels, percent
from pages.shared.state import STEPS, Scene, Session, session, write_address
from pages.shared.viewer_host import Correlations, viewer
from saliency_core.backprop.variants import LEARNING_RATE
from saliency_core.engine.local import SharedCache
from saliency_core.engine.tasks import Job, JobPool
from saliency_core.metrics.class_sensitivity import MeanSensitivity, SensitivityTable
from saliency_core.progress import ProgressCallback
from saliency_core.viewer.methods import is_plain_cell
from saliency_core.viewer.payload import DEFAULT_DEPTH, ClassComparison, SweepPoint
from saliency_core.viewer.schema import Value

MODE = "classes"
KEPT_LINES = 4096
POLL_SECONDS = 0.5
AT_THE_INPUT = "Its map is of the input alone, and this page compares maps of layers."
NAMED = tuple(
    name
    for name, method in sc.METHODS.items()
    if isinstance(method.kind, sc.SharedPass)
    and method.domain is sc.Domain.LAYERS
    and not is_plain_cell(method)
)
MODIFIED = tuple(name for name, method in sc.METHODS.items() if method.rule)
CELLS = tuple(name for name, method in sc.METHODS.items() if is_plain_cell(method))

_GRID = """
Spearman’s rank correlation ρ of the two classes’ maps, for every method and layer. **Blue** is the same map
for both classes: there the method explains the photo, and the class has little say. **Pale** cells tell the
classes apart, **orange** ones contradict. Click a cell to see its maps above.
"""
_SEEN = """
- **NormGrad has ρ = 1 at the last layer before global average pooling, by construction.** The pooling hands
  every place the same gradient, so the class only scales the map and its ranks stay the same. The gradient
  alone is the same everywhere there: it has no ranks, and ρ is undefined.
- **Eigen-CAM has ρ = 1 everywhere** as long as no step is taken: it looks at the activation only and never
  asks for a class.
- **Grad-CAM often has no map for the least likely class**: its weighted sum is negative everywhere and is cut
  off at zero. An empty map has no ranks, so ρ is undefined, not zero.
- **Signed methods can contradict themselves**: what speaks for one class may speak against the other.
"""
_META = """
*Meta-saliency* asks what the network would look at **after one step of learning** this photo as the class:
one step of gradient descent on the cross-entropy, of all parameters, taken on a copy. The step differs from
class to class, and so do the maps after it: it brings class information into methods that have little.
Upwards instead of downwards, it shows what would **harm** the class.
"""


@dataclass(frozen=True)
class Pair:
    """Two classes of a scene, by their indices."""

    scene: Scene
    first: int
    second: int

    def title(self, index: int) -> str:
        """A class's name."""
        return class_labels(self.scene.model.name)[index]

    def subjects(self, meta: sc.MetaStep | None) -> tuple[Subject, Subject]:
        """What is explained for both, after a meta step or without one."""
        subject = replace(self.scene.subject, meta=meta)
        return replace(subject, target=self.first), replace(subject, target=self.second)

    def explained(
        self, meta: sc.MetaStep | None, method: str | None = None
    ) -> tuple[sc.Explanation, sc.Explanation]:
        """The explanations of both, with `method` even if the shared pass does not give it."""
        scene = self.scene
        ask = partial(
            shared_engine().explain,
            scene.model.name,
            scene.image,
            fit=scene.fit,
            digest=scene.photo.digest,
            meta=meta,
        )
        first, second = ask(target=self.first), ask(target=self.second)
        if method is None or method in first.methods:
            return first, second
        extra = [ask(target=target, methods=(method,)) for target in (self.first, self.second)]
        return first.joined(extra[0]), second.joined(extra[1])

    def correlations(self, method: str, meta: sc.MetaStep | None = None) -> tuple[Figure, ...]:
        """ρ of the method at every layer, or why there is none; kept, since ranking takes its time."""
        key = (*self.subjects(meta), method)

        def compute() -> tuple[Figure, ...]:
            both = self.explained(meta, method)
            table = sc.compare_classes(*(each.only(method) for each in both))
            cells = (table.cells[method, layer] for layer in table.layers)
            return tuple(Figure(cell.correlation, cell.undefined or "") for cell in cells)

        return _lines.get(key, compute)


_lines: SharedCache[tuple[object, ...], tuple[Figure, ...]] = SharedCache(KEPT_LINES, lambda _: 1)


@st.fragment
def show() -> None:
    """Draw the page. What is done on it reruns this alone, but for the meta step, which the sidebar shows."""
    current = session()
    scene = current.scene
    if scene is None:
        return
    if scene.meta != current.choice.meta:
        st.rerun(scope="app")
    unavailable = _unavailable(scene.model.name)
    stage.avoid(current, unavailable)
    if current.remarks:
        theme.note(current.remarks)
    pair = _pair(current, scene)
    _pickers(current, pair)
    _maps(current, pair, unavailable)
    _grids(current, pair)
    _meta(current, pair)
    _photo_set(current, pair)


@cache
def _unavailable(model: str) -> Mapping[str, str]:
    """Why there is no such map of layers, for every method of which that is so."""
    inputs = {name: AT_THE_INPUT for name, method in sc.METHODS.items() if method.domain is sc.Domain.INPUT}
    return MappingProxyType({**stage.unavailable_methods(model), **inputs})


# -- the two classes -----------------------------------------------------------------------------------------


def _pair(current: Session, scene: Scene) -> Pair:
    """The classes chosen: by default the one explained and the least likely one."""
    choice, order = current.choice, scene.explanation.probabilities.argsort()
    first = scene.explanation.target if choice.a is None else choice.a
    second = int(order[0]) if choice.b is None else choice.b
    if second == first:
        second = int(order[0]) if int(order[0]) != first else int(order[-1])
    return Pair(scene, first, second)


@cache
def _parts() -> Mapping[str, tuple[int, ...]]:
    """Sample -> the classes of the objects it is composed of."""
    composed = json.loads((photos.SAMPLES_FOLDER / "parts.json").read_text(encoding="utf-8"))
    return {
        file.rpartition(".")[0]: tuple(part["index"] for part in parts) for file, parts in composed.items()
    }


def _quick_pairs(current: Session, scene: Scene, labels: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Title -> classes."""
    order = [int(index) for index in scene.explanation.probabilities.argsort()[::-1]]
    pairs = {"Most and least likely": (order[0], order[-1]), "First and second": (order[0], order[1])}
    objects = _parts().get(current.choice.photo, ())
    return pairs | {f"{labels[a]} and {labels[b]}": (a, b) for a, b in combinations(objects, 2)}


def _pickers(current: Session, pair: Pair) -> None:
    labels = class_labels(pair.scene.model.name)
    quick = _quick_pairs(current, pair.scene, labels)
    chosen = (pair.first, pair.second)

    def choose_quick() -> None:
        title = st.session_state["class-pairs"]
        if title is not None:
            current.choose_classes(*quick[title])

    def choose(place: int) -> None:
        index = st.session_state[f"class-{'ab'[place]}"]
        if index == chosen[1 - place]:
            current.choose_classes(chosen[1], chosen[0])
        else:
            current.choose_classes(*((index, chosen[1]) if place == 0 else (chosen[0], index)))

    probabilities = pair.scene.explanation.probabilities

    def titled(index: int) -> str:
        return f"{labels[index]} · {percent(float(probabilities[index]))}"

    with st.container(key="class-pickers"):
        st.session_state["class-pairs"] = next((name for name, both in quick.items() if both == chosen), None)
        st.pills(
            "Pairs", tuple(quick), key="class-pairs", on_change=choose_quick, label_visibility="collapsed"
        )
        for place, column in enumerate(st.columns(2, gap="small")):
            key = f"class-{'ab'[place]}"
            st.session_state[key] = chosen[place]
            column.selectbox(
                f"Class {'AB'[place]}",
                range(len(labels)),
                format_func=titled,
                key=key,
                on_change=choose,
                args=(place,),
            )


# -- the maps ------------------------------------------------------------------------------------------------


def _method(current: Session) -> str:
    return current.methods[0]


def _layer(current: Session, layers: Sequence[str]) -> str:
    """The layer in the viewer."""
    here = current.view.layer
    return here if here is not None and here in layers else layers[round(DEFAULT_DEPTH * (len(layers) - 1))]


def _maps(current: Session, pair: Pair, unavailable: Mapping[str, str]) -> None:
    scene, method, meta = pair.scene, _method(current), pair.scene.meta
    first, second = pair.explained(None, method)
    sizes, complete = _sizes(pair)
    sweep = tuple(SweepPoint(size, *pair.explained(_step(size, meta), method)) for size in sizes)

    def correlations() -> Correlations:
        known = {
            name: pair.correlations(name) for name in (method, *NAMED) if name == method or _known(pair, name)
        }
        return Correlations(known, [pair.correlations(method, _step(size, meta)) for size in sizes])

    report = viewer(
        mode=MODE,
        explanation=first,
        photo=scene.photo,
        model=scene.model,
        view={**vars(current.view), "epsilon": meta.lr if meta else 0.0},
        revision=current.revision,
        on_view=partial(_note, current, current.revision),
        key=f"viewer-{current.page}",
        unavailable=unavailable,
        comparison=ClassComparison(second, method, sweep, bool(meta and meta.ascend), complete),
        correlations=correlations,
    )
    _note(current, current.revision, report.view)
    write_address(current)


def _known(pair: Pair, method: str) -> bool:
    return _lines.peek((*pair.subjects(None), method)) is not None


def _note(current: Session, revision: int, reported: Mapping[str, Value] | None) -> None:
    """Take over what the browser shows, the size of the meta step included."""
    stage.note(current, revision, reported)
    size = (reported or {}).get("epsilon")
    if revision == current.revision and isinstance(size, float) and (meta := current.choice.meta) is not None:
        current.choose_meta(sc.MetaStep(size, ascend=meta.ascend), told=False)


# -- meta steps ----------------------------------------------------------------------------------------------


def _step(size: float, meta: sc.MetaStep | None) -> sc.MetaStep | None:
    """A step of this size in the chosen direction; none at all for 0, which is the same."""
    return sc.MetaStep(size, ascend=bool(meta and meta.ascend)) if size else None


@st.cache_resource(show_spinner=False)
def _pool() -> JobPool[Any]:
    """What this page computes beside itself, for all sessions."""
    return JobPool()


def _sizes(pair: Pair) -> tuple[tuple[float, ...], bool]:
    """The sizes of the step whose maps are here, and whether these are all."""
    meta = pair.scene.meta
    if meta is None:
        return (), True
    job = _ladder(pair)
    complete = job.done and job.error is None and not job.cancelled
    return tuple(sorted({0.0, LEARNING_RATE, meta.lr, *(STEPS if complete else ())})), complete


def _ladder(pair: Pair) -> Job[Any]:
    """The computation of both classes' explanations after a step of every size."""
    return _pool().find(_ladder_key(pair)) or _start_ladder(pair)


def _ladder_key(pair: Pair) -> tuple[object, ...]:
    return ("ladder", *pair.subjects(_step(LEARNING_RATE, pair.scene.meta)))


def _start_ladder(pair: Pair) -> Job[Any]:
    steps = [_step(size, pair.scene.meta) for size in STEPS]

    def run(progress: ProgressCallback) -> bool:
        for done, each in enumerate(steps, 1):
            pair.explained(each)
            progress(done, len(steps))
        return True

    return _pool().start(_ladder_key(pair), len(steps), run)


@st.fragment(run_every=POLL_SECONDS)
def _follow(job: Job[Any], title: str, key: str) -> None:
    """Follow a computation, and draw the page anew when it has ended."""
    if job.done:
        st.rerun(scope="app")
    with st.container(key=f"job-{key}", horizontal=True, vertical_alignment="center"):
        left = "waiting for its turn" if job.waiting else time_left(job.seconds_left)
        theme.progress(title, job.fraction, left)
        st.button("Cancel", key=f"cancel-{key}", on_click=job.cancel)


# -- every method at every layer -----------------------------------------------------------------------------


def _heading(text: str) -> None:
    st.header(text, anchor=False)


def _grids(current: Session, pair: Pair) -> None:
    meta = pair.scene.meta
    layers = [layer.name for layer in pair.scene.explanation.layers]
    _heading("Every method at every layer")
    st.markdown(_GRID)
    modified = [name for name in MODIFIED if name not in stage.unavailable_methods(pair.scene.model.name)]
    with st.container(key="class-more", horizontal=True):
        cells = st.toggle("Also the other cells of the framework", key="class-cells")
        rules = st.toggle(
            "Also modified backpropagation",
            key="class-rules",
            disabled=not modified,
            help=None if modified else stage.unavailable_methods(pair.scene.model.name)[MODIFIED[0]],
        )
        beside = st.empty()  # beside the switches, so that nothing below moves when it goes
    methods = (*NAMED, *(modified if rules else ()), *(CELLS if cells else ()))
    if _method(current) not in methods:
        methods = (_method(current), *methods)
    with beside, st.spinner("Comparing the maps of both classes"):
        before = {method: pair.correlations(method) for method in methods}
        after = before if meta is None else {m: pair.correlations(m, _step(meta.lr, meta)) for m in methods}
    here = (_method(current), _layer(current, layers))
    remarks, changes = _set_remarks(current, pair)
    if meta is None:
        _grid(current, "class-grid", before, layers, here, remarks)
        _table(before, layers, "These correlations as a table")
    else:
        change = {method: tuple(map(_change, before[method], after[method])) for method in methods}
        left, right = st.columns(2, gap="medium")
        with left:
            st.markdown(f"**ρ after the step, ε = {meta.lr:.2g}**")
            _grid(current, "class-grid", after, layers, here, remarks)
            _table(after, layers, "These correlations as a table")
        with right:
            st.markdown("**Change: after − before**")
            _grid(current, "class-change", change, layers, here, changes, change=True)
            _table(before, layers, "The correlations before the step as a table")
    st.markdown(_SEEN)


def _change(before: Figure, after: Figure) -> Figure:
    if before.value is None or after.value is None:
        when = "before" if before.value is None else "after"
        return Figure(None, f"Undefined {when} the step. {before.reason or after.reason}")
    return Figure(after.value - before.value)


def _grid(
    current: Session,
    key: str,
    rows: Mapping[str, Sequence[Figure]],
    layers: Sequence[str],
    here: tuple[str, str],
    remarks: Mapping[tuple[str, str], str],
    *,
    change: bool = False,
) -> None:
    def picked() -> None:
        points = st.session_state[key].selection.points
        if points:
            method, layer = points[0]["customdata"]
            if method in rows and layer in layers:
                current.show_methods(method, current.methods[1], layer)

    figure = class_charts.grid(rows, layers, here, remarks, change=change)
    st.plotly_chart(figure, key=key, config=charts.CONFIG, on_select=picked, selection_mode="points")


def _table(rows: Mapping[str, Sequence[Figure]], layers: Sequence[str], title: str) -> None:
    lines = [
        [sc.METHODS[method].title, *("undefined" if each.value is None else rho(each.value) for each in line)]
        for method, line in rows.items()
    ]
    reasons = [
        f"{sc.METHODS[method].title}, {layer}: {each.reason}"
        for method, line in rows.items()
        for layer, each in zip(layers, line, strict=True)
        if each.value is None
    ]
    theme.table(title, ["Method", *layers], lines, reasons)


# -- meta-saliency -------------------------------------------------------------------------------------------


def _meta(current: Session, pair: Pair) -> None:
    meta = pair.scene.meta
    _heading("Meta-saliency")
    words, chart = st.columns([1, 1.45], gap="medium")
    with words:
        st.markdown(_META)

        def switch() -> None:
            current.choose_meta(sc.MetaStep() if st.session_state["class-meta"] else None)

        st.session_state["class-meta"] = meta is not None
        st.toggle("Explain after one step of learning", key="class-meta", on_change=switch)
    if meta is None:
        return
    layers = [layer.name for layer in pair.scene.explanation.layers]
    layer, method = _layer(current, layers), _method(current)
    sizes, complete = _sizes(pair)
    found = [pair.correlations(method, _step(size, meta))[layers.index(layer)] for size in sizes]
    with chart:
        st.markdown(f"**ρ against ε: {sc.METHODS[method].title} at {layer}**")
        figure = class_charts.curve(sizes, found, meta.lr)
        st.plotly_chart(figure, key="class-curve", config=charts.CONFIG)
        rows = [
            [f"{size:.2g}", "undefined" if each.value is None else rho(each.value)]
            for size, each in zip(sizes, found, strict=True)
        ]
        theme.table("This curve as a table", ["ε", "ρ"], rows)
        job = _ladder(pair)
        if not job.done:
            _follow(job, "Meta steps of every size, for both classes", "ladder")
        elif not complete:
            theme.note([job.error or "The other sizes of the step were not computed."])
            if st.button("Compute them", key="class-ladder"):
                _start_ladder(pair)
                st.rerun(scope="fragment")


# -- the uploaded photos -------------------------------------------------------------------------------------

Means = Mapping[tuple[str, str], MeanSensitivity | None]
Remarks = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class SetMeans:
    """Over the uploaded photos: the mean correlations and, after a meta step, the mean of their change."""

    means: Means
    changes: Means


def _own_classes(current: Session) -> bool:
    """Whether every photo of the set is asked for its own most and least likely class."""
    choice = current.choice
    return choice.target is None and choice.a is None and choice.b is None


def _set_key(current: Session, pair: Pair) -> tuple[object, ...]:
    scene = pair.scene
    classes = None if _own_classes(current) else (pair.first, pair.second)
    digests = tuple(upload.digest for upload in current.uploads)
    return ("set", scene.model.name, scene.fit, digests, classes, scene.meta)


def _set_remarks(current: Session, pair: Pair) -> tuple[Remarks, Remarks]:
    """What the cells say of the uploaded photos: those of the correlations, and those of their change."""
    job = _pool().find(_set_key(current, pair)) if len(current.uploads) > 1 else None
    if job is None or job.result is None:
        return {}, {}
    over: SetMeans = job.result
    start = f"Over your {len(current.uploads)} photos"
    return (
        {key: f"{start}: {_interval(mean)}" for key, mean in over.means.items() if mean is not None},
        {
            key: f"{start}: {_interval(mean, signed)}"
            for key, mean in over.changes.items()
            if mean is not None
        },
    )


def _interval(mean: MeanSensitivity | None, written: Callable[[float], str] = rho) -> str:
    if mean is None:
        return "undefined"
    if mean.count == 1:
        return f"{written(mean.mean)} (one photo)"
    least = -1.0 if written is rho else -2.0
    return f"{written(mean.mean)} [{written(max(mean.low, least))}, {written(min(mean.high, -least))}]"


def _photo_set(current: Session, pair: Pair) -> None:
    """Mean and interval over the uploaded photos, from two on."""
    count, key = len(current.uploads), _set_key(current, pair)
    if count < 2:
        return
    _heading("Over your photos")
    asked = (
        "each photo’s own most and least likely class"
        if _own_classes(current)
        else f"“{pair.title(pair.first)}” and “{pair.title(pair.second)}” on every photo"
    )
    st.markdown(f"The mean of ρ with its 95 % confidence interval, for {asked}.")
    job = _pool().find(key)
    if job is not None and not job.done:
        _follow(job, f"Class sensitivity over {count} photos", "set")
    elif job is None or job.result is None:
        if job is not None and job.error is not None:
            theme.note([job.error], error=True)
        st.button(f"Over my {count} photos", key="class-set", on_click=_start_set, args=(current, pair, key))
    else:
        means = job.result.means
        layers = [layer.name for layer in pair.scene.explanation.layers]
        rows = [
            [sc.METHODS[method].title, *(_interval(means[method, layer]) for layer in layers)]
            for method in NAMED
        ]
        left_out = [
            f"{sc.METHODS[method].title}, {layer}: defined for {found.count} of {count} photos."
            for (method, layer), found in means.items()
            if found is not None and found.count < count
        ]
        theme.table(f"Mean and 95 % interval over {count} photos", ["Method", *layers], rows, left_out)
        theme.hint("The cells of the heat maps tell the same when pointed at.")


def _start_set(current: Session, pair: Pair, key: tuple[object, ...]) -> None:
    scene, uploads = pair.scene, tuple(current.uploads)
    classes = None if _own_classes(current) else (pair.first, pair.second)

    def run(progress: ProgressCallback) -> SetMeans:
        steps = (scene.meta,) if scene.meta is None else (scene.meta, None)
        tables: dict[sc.MetaStep | None, list[SensitivityTable]] = {meta: [] for meta in steps}
        for done, upload in enumerate(uploads, 1):
            photo = photos.photo_store().get(upload.digest, upload.name, upload.data)
            ask = partial(
                shared_engine().explain, scene.model.name, photo.image, fit=scene.fit, digest=photo.digest
            )
            order = ask().probabilities.argsort()
            both = classes or (int(order[-1]), int(order[0]))
            for meta in steps:
                first, second = (replace(ask(target=target, meta=meta), methods=NAMED) for target in both)
                tables[meta].append(sc.compare_classes(first, second))
            progress(done, len(uploads))
        after = tables[scene.meta]
        changes = {} if scene.meta is None else sc.mean_sensitivity(after, before=tables[None])
        return SetMeans(sc.mean_sensitivity(after), changes)

    _pool().start(key, len(uploads), run)
