"""What an evaluation of a photo set has found: a table, one cell beside another, and the photos behind it."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePath

import streamlit as st
from PIL import Image, ImageDraw

import saliency_core as sc
from pages.evaluate.sets import OpenSet
from pages.shared import components, theme
from pages.shared.chosen import chosen
from pages.shared.formats import NO_VALUE, percent
from pages.shared.session import Session
from saliency_core.evaluation.measures import MEASURES
from saliency_core.evaluation.published import compare_with_published, published_for
from saliency_core.evaluation.result import EvaluationResult
from saliency_core.evaluation.summary import (
    BY,
    CellName,
    CellScore,
    ItemScore,
    Summary,
    method_title,
    summarise,
    title_of,
)
from saliency_core.export.tables import Table

FEW = 20
"""Photos below which bootstrap intervals are clearly too narrow."""
BEHIND = 4
"""Best and worst photos that are shown."""
THUMB = 300
"""The longer side of a photo behind a cell, in pixels."""
ALL = ""
GROUPINGS = {
    ALL: "All photos",
    "class": "By class",
    "size": "By object size",
    "difficult": "Difficult subset",
}
SIZE_TITLES = {
    "small": "Small objects (below 25 % of the photo)",
    "medium": "Medium objects (25 to 50 %)",
    "large": "Large objects (50 % or more)",
    "difficult": "Difficult: small objects with others beside them",
    "others": "All others",
}
TOLERANCE_NOTE = "A ring marks the maximum of the map, a frame the objects."
NONE_DIFFICULT = (
    "None of these photos is in the difficult subset: small objects beside objects of other classes."
)
NOT_PUBLISHED = (
    "The authors published the pointing game for VGG-16 and ResNet-50 at some of their layers; evaluate one "
    "of these to see their figures beside your own. The page Why Grad-CAM fails shows all of them."
)
AVERAGES = {"items": "Mean over photos", "classes": "Mean over classes"}


def draw(current: Session, opened: OpenSet, result: EvaluationResult, *, done: bool) -> None:
    """Draw the results; `done`: nothing more will come."""
    metrics = [name for name in result.plan.metrics or () if _measured(result, name)]
    if not metrics:
        if done:
            theme.note(["No photo of this set could be evaluated.", *_reasons(result)], error=True)
        return
    metric, by, group, average = _choose_view(result, metrics)
    summary: Summary = current.remember(
        f"set summary {metric} {by} {average}",
        result,
        partial(summarise, result.rows, metric, by=by or None, average=average),  # type: ignore[arg-type]
    )
    _lead(summary, group, result, done=done)
    cell = _chosen_cell(summary, group) if done else None
    _table(summary, group, metric, cell)
    if not done:
        return
    if cell is not None:
        _beside(summary, group, cell)
        _behind(opened, summary, group, cell)
    if metric == "pointing":
        _published(current, result)
    _saved(result, summary)


def _measured(result: EvaluationResult, metric: str) -> bool:
    return metric in result.rows["metric"].unique().to_pylist()


def _reasons(result: EvaluationResult) -> list[str]:
    return [f"{photo}: {reason}" for photo, _, reason in result.left_out[:5]]


# -- what is shown -------------------------------------------------------------------------------------------


def _control(label: str, titles: dict[str, str], key: str, default: str) -> str:
    """One of a few as buttons; kept while the part of the page is left."""
    kept = st.session_state.get(f"kept {key}", default)
    kept = kept if kept in titles else default

    def take() -> None:
        found = chosen(key, titles)
        if found is not None:
            st.session_state[f"kept {key}"] = found

    st.session_state[key] = kept
    if len(titles) > 4:
        st.selectbox(label, tuple(titles), format_func=titles.__getitem__, key=key, on_change=take)
    else:
        st.segmented_control(
            label, tuple(titles), format_func=titles.__getitem__, required=True, key=key, on_change=take
        )
    return kept


def _choose_view(result: EvaluationResult, metrics: Sequence[str]) -> tuple[str, str, str, str]:
    """Metric, grouping, group and kind of mean."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="set-view"):
        metric = _control(
            "Metric", {name: MEASURES[name].title for name in metrics}, "set-metric", metrics[0]
        )
        grid = MEASURES[metric].cells is not None
        groupings = {name: title for name, title in GROUPINGS.items() if not grid or name in (ALL, "class")}
        by = _control("Photos", groupings, "set-by", ALL)
        group = ALL
        if by:
            groups = summarise(result.rows, metric, by=by, draws=1).groups  # type: ignore[arg-type]
            if groups:
                titles = {name: SIZE_TITLES.get(name, name) for name in groups}
                group = _control(BY[by], titles, "set-group", groups[0])
        average = "items"
        if MEASURES[metric].binary and by != "class":
            average = _control("Average", AVERAGES, "set-average", "items")
    return metric, by, group, average


def _lead(summary: Summary, group: str, result: EvaluationResult, *, done: bool) -> None:
    """What the numbers are, and of how many photos."""
    metric = summary.metric
    unit = "grid" if metric.cells else "photo"
    photos, items = summary.photos(group), summary.items(group)
    sentences = [
        f"{metric.summary}",
        "Higher is better." if metric.higher_is_better else "Lower is better.",
        f"Mean and 95 % bootstrap interval over {_number(photos, unit)}"
        + (f" ({items:,} pairs of a photo and a class)." if items != photos and not metric.cells else "."),
    ]
    if photos < FEW:
        sentences.append(f"With so few {unit}s the intervals are narrower than they should be.")
    if summary.by == "difficult" and "difficult" not in summary.groups:
        sentences.append(NONE_DIFFICULT)
    if not done:
        sentences.append(f"{result.counts['items']:,} are to be evaluated; the numbers change until then.")
    st.caption(" ".join(sentences))


def _table(summary: Summary, group: str, metric: str, chosen_cell: CellName | None) -> None:
    rows, columns = summary.methods, summary.layers
    grid = [[summary.cell(row, column, group) for column in columns] for row in rows]
    means = [cell.mean for line in grid for cell in line if cell is not None and cell.mean is not None]
    low, high = (min(means), max(means)) if means else (0.0, 1.0)
    best = None if not means else (high if summary.metric.higher_is_better else low)
    components.score_table(
        f"{summary.metric.title}: methods and layers",
        [{"name": name, "title": method_title(name)} for name in rows],
        [{"name": name, "title": _column_title(name)} for name in columns],
        [[_score(summary, cell, low, high, best) for cell in line] for line in grid],
        chosen=chosen_cell,
        on_choose=partial(_choose_cell, metric),
        key=f"set-table-{metric}",
    )


def _column_title(name: str) -> str:
    return name or "Input"


def _score(
    summary: Summary, cell: CellScore | None, low: float, high: float, best: float | None
) -> dict[str, object] | None:
    if cell is None or cell.mean is None:
        return None
    better = cell.mean if summary.metric.higher_is_better else -cell.mean
    span = high - low
    place = (cell.mean - low) / span if span > 0 else 0.5
    interval = "" if cell.low is None or cell.high is None else f"{_short(cell.low)}–{_short(cell.high)}"
    note = f"{_number(cell.count, 'value')}"
    if cell.undefined:
        note += f", {cell.undefined:,} of maps that are the same everywhere or nowhere positive"
    return {
        "text": percent(cell.mean),
        "interval": interval,
        "rank": better,
        "shade": round(place if summary.metric.higher_is_better else 1 - place, 3),
        "note": note,
        "best": best is not None and cell.mean == best,
    }


def _short(share: float) -> str:
    return f"{100 * share:.0f}"


# -- one cell beside another ---------------------------------------------------------------------------------


def _cell_key(metric: str) -> str:
    return f"set cell {metric}"


def _choose_cell(metric: str, method: str, layer: str) -> None:
    st.session_state[_cell_key(metric)] = (method, layer)


def _chosen_cell(summary: Summary, group: str) -> CellName | None:
    """The cell that was chosen, else the best one."""
    metric = summary.metric
    found = st.session_state.get(_cell_key(metric.name))
    if found is not None and summary.cell(found[0], found[1], group) is not None:
        return (found[0], found[1])
    cells = [each for each in summary.cells(group) if each.mean is not None]
    if not cells:
        return None
    sign = 1 if metric.higher_is_better else -1
    best = max(cells, key=lambda each: sign * (each.mean or 0.0))
    return best.method, best.layer


def _beside(summary: Summary, group: str, cell: CellName) -> None:
    """The chosen cell and its difference from another one, paired by photo."""
    others = [
        (each.method, each.layer)
        for each in summary.cells(group)
        if (each.method, each.layer) != cell and each.mean is not None
    ]
    if not others:
        return
    st.subheader(title_of(cell), anchor=False)
    same_layer = [other for other in others if other == ("grad_cam", cell[1])]
    default = next(iter(same_layer or [each for each in others if each[0] == "grad_cam"] or others))
    key, kept = "set-other", st.session_state.get("kept set-other")
    other = kept if kept in others else default

    def take() -> None:
        found = chosen(key, others)
        if found is not None:
            st.session_state["kept set-other"] = found

    st.session_state[key] = other
    st.selectbox("Compared with", others, format_func=title_of, key=key, on_change=take)
    st.markdown(html.escape(summary.difference(cell, other, group).sentence))


# -- the photos behind a cell --------------------------------------------------------------------------------


def behind(summary: Summary, group: str, cell: CellName) -> tuple[list[ItemScore], list[ItemScore]]:
    """The best and the worst items of a cell, none in both; of a metric with hits, hits and misses."""
    best, worst = summary.best(*cell, BEHIND, group), summary.worst(*cell, BEHIND, group)
    if summary.metric.binary:
        return [item for item in best if item.value > 0], [item for item in worst if item.value == 0]
    known = {item.item for item in best}
    return best, [item for item in worst if item.item not in known]


def _behind(opened: OpenSet, summary: Summary, group: str, cell: CellName) -> None:
    """The photos on which a cell scores best and worst."""
    best, worst = behind(summary, group, cell)
    titles = ("Hits", "Misses") if summary.metric.binary else ("Best", "Worst")
    for title, items in zip(titles, (best, worst), strict=True):
        if items:
            st.markdown(f"**{title}**")
            st.html(
                f'<div class="ng-behind">{"".join(_figure(opened, summary, item) for item in items)}</div>'
            )
    if any(item.point is not None for item in (*best, *worst)):
        st.caption(TOLERANCE_NOTE)


def _figure(opened: OpenSet, summary: Summary, item: ItemScore) -> str:
    """A photo with the objects asked for, the maximum of the map, and its score."""
    name = html.escape(PurePath(item.photo).name)
    label = html.escape(item.class_name or item.label or "")
    score = ("hit" if item.value > 0 else "miss") if summary.metric.binary else percent(item.value)
    sure = "" if item.probability is None else f" · {percent(item.probability)} sure"
    picture = _picture(opened, item)
    shown = f'<img src="{picture}" alt="">' if picture else '<span class="ng-bone"></span>'
    return (
        f"<figure>{shown}<figcaption><b>{score}</b> {label}{sure}<br>"
        f"<small>{name}</small></figcaption></figure>"
    )


def _picture(opened: OpenSet, item: ItemScore) -> str:
    """The photo as a data URI; empty where it cannot be opened any more."""
    record = next((each for each in opened.photo_set.records if each.name == item.photo), None)
    if record is None:
        return ""
    return _drawn(opened, record.name, item.class_name, item.point)


@st.cache_data(show_spinner=False, max_entries=256, hash_funcs={OpenSet: lambda opened: opened.key})
def _drawn(opened: OpenSet, name: str, class_name: str, point: tuple[int, int] | None) -> str:
    record = next(each for each in opened.photo_set.records if each.name == name)
    try:
        image = opened.photo_set.open(record)
    except sc.SaliencyError:
        return ""
    scale = THUMB / max(image.size)
    size = tuple(max(round(side * scale), 1) for side in image.size)
    small = image.convert("RGB").resize((size[0], size[1]), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(small)
    for each in record.annotations:
        if each.class_name == class_name:
            corners = [edge * scale for edge in each.box]
            pen.rectangle(corners, outline="black", width=4)
            pen.rectangle(corners, outline="white", width=2)
    if point is not None:
        x, y = ((at + 0.5) * scale for at in point)
        for radius, color, width in ((8, "black", 5), (7, "#ffd43b", 3)):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color, width=width)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


# -- the authors' figures ------------------------------------------------------------------------------------


def _published(current: Session, result: EvaluationResult) -> None:
    """The published accuracies beside one's own, with what differs; or for which networks there are any."""
    if published_for(result.plan.model) is None:
        st.caption(NOT_PUBLISHED)
        return
    over_classes = current.remember(
        "set summary for the published figures",
        result,
        partial(summarise, result.rows, "pointing", average="classes"),
    )
    found = compare_with_published(over_classes, result.plan, result.identity.set_name)
    if found is None:
        st.caption(NOT_PUBLISHED)
        return
    rows = [
        (method_title(each.method), each.layer, percent(each.published), _with_interval(each.here))
        for each in found.cells
    ]
    table = found.table()
    shown = Table(table.title, table.name, ("Method", "Layer", "Published", "Here"), rows, table.remarks)
    theme.table(shown, download=table)


def _with_interval(cell: CellScore) -> str:
    if cell.mean is None:
        return NO_VALUE
    if cell.low is None or cell.high is None:
        return percent(cell.mean)
    return f"{percent(cell.mean)} [{_short(cell.low)}–{_short(cell.high)}]"


# -- what can be taken along ---------------------------------------------------------------------------------


def _saved(result: EvaluationResult, summary: Summary) -> None:
    """What was left out, and the tables as files."""
    if result.left_out:
        with st.expander(f"{_number(len(result.left_out), 'pair')} of a photo and a class left out"):
            theme.lines([f"{photo}, {name}: {reason}" for photo, name, reason in result.left_out[:100]])
    table = summary.table()
    with st.container(horizontal=True, gap="small"):
        theme.csv_button(replace(table, name=f"photo-set-{table.name}"), "This table as CSV")
        st.download_button(
            "All values as Parquet",
            partial(_parquet, result),
            f"normgrad-evaluation-{_safe(result.identity.set_name)}.parquet",
            "application/vnd.apache.parquet",
            key="set-parquet",
            help="One row for every photo, class, method, layer and metric; for pandas, Polars, DuckDB or R.",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )


def _parquet(result: EvaluationResult) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    buffer = pa.BufferOutputStream()
    parquet.write_table(result.rows, buffer, compression="zstd")
    return bytes(buffer.getvalue())


def _safe(name: str) -> str:
    kept = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)
    return kept.strip("-")[:60] or "set"


def _number(count: int, one: str) -> str:
    return f"{count:,} {one if count == 1 else f'{one}s'}"
