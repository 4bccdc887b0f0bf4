"""What the rows of an evaluation say: the mean of every method at every layer, with its interval.

Items of one photo are not independent: a photo that the network finds hard may be hard for all its classes.
So the intervals come from a bootstrap over photos: all items of a photo are drawn together. The grid pointing
game has grids in place of photos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from saliency_core.errors import ArgumentError, UnknownNameError
from saliency_core.evaluation.measures import MEASURES, Measure
from saliency_core.evaluation.rows import SIZES, arrow
from saliency_core.export.tables import Table
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.bootstrap import DRAWS, LEVEL, Interval, mean_intervals
from saliency_core.registry import unknown

if TYPE_CHECKING:
    import pyarrow

By = Literal["class", "size", "difficult"]
BY: Mapping[str, str] = {"class": "Class", "size": "Size of the objects", "difficult": "Subset"}
"""What items can be grouped by, with the title of the column."""
Average = Literal["items", "classes"]
AVERAGES = ("items", "classes")
DIFFICULT, OTHERS = "difficult", "others"

FEWEST = 6
"""Below this number of photos on which two maps score differently nothing is said about which is better: if
both were equally good, five photos would all favour the same one in 1 of 16 cases, six in 1 of 32."""

Floats = NDArray[np.float64]
Bounds = tuple[float | None, float | None, float | None]
CellName = tuple[str, str]
"""A method and a layer or mix."""


@dataclass(frozen=True)
class CellScore:
    """The mean of one method at one layer or mix, over the items of a group.

    The mean and its interval are None where no item has a value, and the interval where there are fewer than
    two photos.
    """

    method: str
    layer: str
    mean: float | None
    low: float | None
    high: float | None
    count: int
    """Items with a value: those that the mean is taken over."""
    undefined: int
    """Items whose map has no maximum or nothing positive. In the pointing game they count as misses."""


@dataclass(frozen=True)
class ItemScore:
    """One item and what a method's map at one layer scores on it."""

    item: int
    photo: str
    class_name: str
    class_index: int | None
    label: str | None
    probability: float | None
    area: float | None
    size: str | None
    difficult: bool | None
    objects: int
    grid: int | None
    cell: int | None
    value: float
    undefined: bool
    point: tuple[int, int] | None
    """Column and row of the map's maximum in the photo's pixels, where the metric has one."""


@dataclass(frozen=True)
class Difference:
    """The mean of the differences, first minus second, over the items where both have a value."""

    metric: str
    first: CellName
    second: CellName
    mean: float | None
    low: float | None
    high: float | None
    count: int
    """Items where both have a value."""
    photos: int
    differing: int
    """Photos (or grids) on which the two score differently."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is above or below zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def better(self) -> CellName | None:
        """The one that scores better, or None if these photos do not tell: see :data:`FEWEST`."""
        if not self.excludes_zero or self.differing < FEWEST or self.mean is None:
            return None
        return self.first if (self.mean > 0) == MEASURES[self.metric].higher_is_better else self.second

    @property
    def sentence(self) -> str:
        """The result in words."""
        first, second, metric = title_of(self.first), title_of(self.second), MEASURES[self.metric].title
        unit = "grid" if MEASURES[self.metric].cells else "photo"
        if self.mean is None:
            return f"No {unit} has a value of both {first} and {second}."
        number = f"{self.photos} {unit}{'' if self.photos == 1 else 's'}"
        text = f"{metric}, {first} minus {second}: {_points(self.mean)} percentage points"
        if self.low is None or self.high is None:
            return f"{text} on a single {unit}, which does not tell which is better."
        text += f" (95 % interval {_points(self.low)} to {_points(self.high)}, {number})"
        if self.better is not None:
            return f"{text}: {title_of(self.better)} scores better."
        if self.differing < FEWEST:
            return (
                f"{text}. They differ on {self.differing} {unit}{'' if self.differing == 1 else 's'} only: "
                "too few to tell which is better."
            )
        return f"{text}. The interval contains zero: these {unit}s do not tell which is better."


@dataclass(frozen=True, eq=False)
class Scores:
    """All values of one metric as an array, items × cells, with what is known of the items.

    An item need not have a value for every cell: the map may be undefined, or not available at a layer.
    """

    metric: str
    cells: tuple[CellName, ...]
    values: Floats
    """(items, cells), NaN for none."""
    undefined: NDArray[np.bool_]
    """(items, cells)"""
    present: NDArray[np.int64]
    """(items, cells), the number of the row in the table, -1 for none."""
    first: NDArray[np.int64]
    """(items,), a row of each item."""
    clusters: NDArray[np.int64]
    """(items,), the number of the photo or grid."""
    classes: NDArray[np.int64]
    """(items,), the number of the class."""
    table: pyarrow.Table
    left_out: int
    """Items of the evaluation that were left out."""


@dataclass(frozen=True, eq=False)
class Summary:
    """The means of one metric; made by :func:`summarise`."""

    scores: Scores
    by: str | None
    average: str
    level: float
    draws: int
    seed: int
    members: Mapping[str, NDArray[np.int64]]
    """The items of each group, as rows of the arrays in `scores`; all of them under the empty name."""
    _computed: dict[str, tuple[CellScore, ...]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups with items, in order; if not grouped one of all items, with an empty name."""
        return tuple(name for name in self.members if name) if self.by else ("",)

    @property
    def metric(self) -> Measure:
        """The metric."""
        return MEASURES[self.scores.metric]

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, in the order of the evaluation."""
        return tuple(dict.fromkeys(method for method, _ in self.scores.cells))

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers and mixes, in the order of the evaluation."""
        return tuple(dict.fromkeys(layer for _, layer in self.scores.cells))

    @property
    def left_out(self) -> int:
        """How many items were left out; their rows say why."""
        return self.scores.left_out

    def items(self, group: str = "") -> int:
        """How many items a group has, all if none is named."""
        return len(self._members(group))

    def photos(self, group: str = "") -> int:
        """How many photos (in the grid pointing game: grids) the items of a group are from."""
        return len(np.unique(self.scores.clusters[self._members(group)]))

    def cell(self, method: str, layer: str, group: str = "") -> CellScore | None:
        """A method at a layer or mix, None if it was not evaluated there."""
        if (method, layer) not in self._column:
            return None
        return self.cells(group)[self._column[method, layer]]

    def cells(self, group: str = "") -> tuple[CellScore, ...]:
        """All methods at all layers and mixes, in the order of the evaluation."""
        if group not in self._computed:
            self._computed[group] = self._summarised(self._members(group))
        return self._computed[group]

    def difference(self, first: CellName, second: CellName, group: str = "") -> Difference:
        """The mean difference of two cells, paired: each item's values are subtracted, then averaged.

        Raises:
            UnknownNameError: a method or layer that was not evaluated.
        """
        members = self._members(group)
        one, other = (self.scores.values[members, self._number(cell)] for cell in (first, second))
        delta = (one - other)[:, None]
        clusters = self.scores.clusters[members]
        (mean, low, high), *_ = self._intervals(delta, members)
        valid = ~np.isnan(delta[:, 0])
        differing = np.unique(clusters[valid & (delta[:, 0] != 0)])
        return Difference(
            self.scores.metric,
            first,
            second,
            mean,
            low,
            high,
            int(valid.sum()),
            len(np.unique(clusters[valid])),
            len(differing),
        )

    def best(self, method: str, layer: str, count: int = 12, group: str = "") -> list[ItemScore]:
        """The items on which a cell scores best; among equals those the network is surest of come first."""
        return self._ranked((method, layer), count, group, best=True)

    def worst(self, method: str, layer: str, count: int = 12, group: str = "") -> list[ItemScore]:
        """The items on which a cell scores worst; among equals those the network is surest of come first."""
        return self._ranked((method, layer), count, group, best=False)

    def table(self) -> Table:
        """A row for every group, method and layer: mean, interval, items and undefined maps."""
        head = ["Method", "Name", "Layer", self.metric.title, "Low", "High", "Items", "Undefined"]
        rows: list[list[str | int | float | None]] = []
        for group in self.groups:
            for each in self.cells(group):
                row: list[str | int | float | None] = [method_title(each.method), each.method, each.layer]
                row += [each.mean, each.low, each.high, each.count, each.undefined]
                rows.append([group, *row] if self.by else row)
        if self.by:
            head.insert(0, BY[self.by])
        title = self.metric.title + (f" by {BY[self.by].lower()}" if self.by else "")
        name = "_".join(filter(None, (self.metric.name, self.by)))
        return Table(title, name, head, rows, self.remarks())

    def remarks(self) -> list[str]:
        """How the means and intervals were computed, and what is not in them."""
        unit = "grids" if self.metric.cells else "photos"
        mean = {
            "items": "mean over all items",
            "classes": "mean over the classes of each class's own mean",
        }[self.average]
        remarks = [
            f"{mean[0].upper()}{mean[1:]}; {100 * self.level:g} % bootstrap intervals over {unit}, "
            f"{self.draws:,} draws, seed {self.seed}.",
        ]
        if self.left_out:
            remarks.append(f"Items left out of the evaluation, of all metrics together: {self.left_out:,}.")
        return remarks

    @cached_property
    def _column(self) -> dict[CellName, int]:
        return {cell: number for number, cell in enumerate(self.scores.cells)}

    def _summarised(self, members: NDArray[np.int64]) -> tuple[CellScore, ...]:
        values = self.scores.values[members]
        counts = (~np.isnan(values)).sum(axis=0).tolist()
        undefined = self.scores.undefined[members].sum(axis=0).tolist()
        return tuple(
            CellScore(*cell, *interval, count, none)
            for cell, interval, count, none in zip(
                self.scores.cells, self._intervals(values, members), counts, undefined, strict=True
            )
        )

    def _intervals(self, values: Floats, members: NDArray[np.int64]) -> list[Bounds]:
        """Mean, low and high of columns (items, columns)."""
        clusters = self.scores.clusters[members]
        found = mean_intervals(
            values,
            clusters=clusters,
            classes=self.scores.classes[members] if self.average == "classes" else None,
            level=self.level,
            draws=self.draws,
            seed=self.seed,
        )
        return [
            _bounds(interval, clusters[~np.isnan(column)])
            for interval, column in zip(found, values.T, strict=True)
        ]

    def _ranked(self, cell: CellName, count: int, group: str, *, best: bool) -> list[ItemScore]:
        members = self._members(group)
        column = self._number(cell)
        members = members[~np.isnan(self.scores.values[members, column])]
        rows = self.scores.present[members, column]
        value = self.scores.values[members, column]
        sure = self.scores.table["probability"].take(rows).to_numpy(zero_copy_only=False)
        upwards = best == self.metric.higher_is_better
        order = np.lexsort((members, -np.nan_to_num(sure, nan=-1.0), -value if upwards else value))[:count]
        found = self.scores.table.take(rows[order]).to_pylist()
        return [_item_score(row) for row in found]

    def _members(self, group: str) -> NDArray[np.int64]:
        if group not in self.members:
            raise UnknownNameError(unknown("group", group, self.groups))
        return self.members[group]

    def _number(self, cell: CellName) -> int:
        if cell not in self._column:
            choices = tuple(" at ".join(each) for each in self.scores.cells)
            raise UnknownNameError(unknown("method and layer", " at ".join(cell), choices))
        return self._column[cell]


def summarise(
    rows: pyarrow.Table,
    metric: str,
    *,
    by: By | None = None,
    average: Average = "items",
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Summary:
    """The mean of every method at every layer or mix, with a bootstrap interval over photos.

    Args:
        rows: of an evaluation, also of one that is not finished; see :mod:`saliency_core.evaluation.rows`.
        metric: name of an entry of ``MEASURES``.
        by: also split the items: by class, by the size of the objects, or into the difficult subset and the
            others.
        average: ``"items"``, every item counts the same, or ``"classes"``, every class does: the mean of the
            classes' own means, as the pointing game's accuracy is published.
        level: of the intervals, which reach from the percentile (1 − level) / 2 of the draws to its mirror.
        draws: how often the photos are drawn again, with replacement.
        seed: of the draws; the same one gives the same intervals.

    With few photos the percentile interval is too narrow, and it has no width where all values are equal.

    Raises:
        UnknownNameError: no such metric, grouping or average.
        ArgumentError: no row has this metric, or an item was counted twice.
    """
    if by is not None and by not in BY:
        raise UnknownNameError(unknown("grouping", by, tuple(BY)))
    if average not in AVERAGES:
        raise UnknownNameError(unknown("average", average, AVERAGES))
    if not 0 < level < 1:
        raise ArgumentError(f"level is {level}; expected a number between 0 and 1, such as 0.95")
    if draws < 1:
        raise ArgumentError(f"draws is {draws}; expected a positive number")
    scores = collect(rows, metric)
    members = {"": np.arange(len(scores.values))} | (_grouped(scores, by) if by else {})
    return Summary(scores, by, average, level, draws, seed, members)


def collect(rows: pyarrow.Table, metric: str) -> Scores:
    """The values of one metric as an array, items × cells.

    Raises:
        UnknownNameError: no such metric.
        ArgumentError: no row has this metric, or an item has two rows for the same method and layer.
    """
    name, compute = MEASURES[metric].name, arrow().compute
    left_out = rows.filter(compute.is_valid(rows["left_out"])).num_rows
    table = rows.filter(compute.equal(_texts(rows["metric"]), name)).combine_chunks()
    if not table.num_rows:
        found = [each for each in rows["metric"].unique().to_pylist() if each is not None]
        has = f"the rows have {', '.join(found)}" if found else "there is no row with a value"
        raise ArgumentError(f"nothing was measured with the metric {name!r}; {has}")
    method_codes, methods = _codes(table["method"])
    layer_codes, layers = _codes(table["layer"])
    items, first, item_codes = np.unique(table["item"].to_numpy(), return_index=True, return_inverse=True)
    keys = method_codes * len(layers) + layer_codes
    unique, appeared, columns = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(appeared, kind="stable")
    columns = np.argsort(order)[columns]
    cells = tuple((methods[key // len(layers)], layers[key % len(layers)]) for key in unique[order].tolist())

    present = np.full((len(items), len(cells)), -1, np.int64)
    present[item_codes, columns] = np.arange(table.num_rows)
    if (present >= 0).sum() != table.num_rows:
        twice = np.flatnonzero(present[item_codes, columns] != np.arange(table.num_rows))
        raise ArgumentError(
            f"item {items[item_codes[twice[0]]]} was counted twice: two rows have the metric {name!r} of "
            f"{' at '.join(cells[columns[twice[0]]])}"
        )
    values = np.full(present.shape, np.nan)
    values[item_codes, columns] = table["value"].to_numpy(zero_copy_only=False)
    undefined = np.zeros(present.shape, bool)
    undefined[item_codes, columns] = compute.fill_null(table["undefined"], False).to_numpy(
        zero_copy_only=False
    )

    photos, _ = _codes(table["photo"].take(first))
    grids = compute.fill_null(table["grid"].take(first), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    classes, _ = _codes(table["class_name"].take(first))
    clusters = np.where(grids >= 0, grids + len(photos), photos)
    return Scores(name, cells, values, undefined, present, first, clusters, classes, table, left_out)


def method_title(name: str) -> str:
    """The title of a method as it is shown; of what is no method, such as a random order, its name.

    >>> method_title("grad_cam"), method_title("random")
    ('Grad-CAM', 'Random')
    """
    return METHODS[name].title if name in METHODS else name[:1].upper() + name[1:]


def title_of(cell: CellName) -> str:
    """A method at a layer in words: ``"Grad-CAM at blocks.4"``."""
    return f"{method_title(cell[0])} at {cell[1]}" if cell[1] else method_title(cell[0])


def _grouped(scores: Scores, by: str) -> dict[str, NDArray[np.int64]]:
    column = {"class": "class_name", "size": "size", "difficult": "difficult"}[by]
    known = scores.table[column].take(scores.first).to_pylist()
    if by == "difficult":
        known = [None if each is None else DIFFICULT if each else OTHERS for each in known]
    names = {"size": list(SIZES), "difficult": [DIFFICULT, OTHERS]}.get(by)
    if names is None:
        names = sorted({each for each in known if each}, key=str.casefold)
    found = {
        name: np.array([at for at, each in enumerate(known) if each == name], np.int64) for name in names
    }
    return {name: members for name, members in found.items() if len(members)}


def _texts(column: Any) -> Any:
    """A column of texts, whether or not it has a dictionary."""
    pa = arrow()
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _codes(column: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Texts as numbers, and what each number stands for, in the order of appearance; null as an empty one."""
    pa = arrow()
    encoded = pa.compute.fill_null(_texts(column), "").combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _item_score(row: Mapping[str, Any]) -> ItemScore:
    same = ("item", "photo", "class_name", "class_index", "label", "probability", "area", "size", "difficult")
    point = None if row["u"] is None else (row["u"], row["v"])
    return ItemScore(
        **{name: row[name] for name in same},
        objects=row["objects"] or 0,
        grid=row["grid"],
        cell=row["cell"],
        value=row["value"],
        undefined=bool(row["undefined"]),
        point=point,
    )


def _bounds(interval: Interval | None, clusters: NDArray[np.int64]) -> Bounds:
    """Mean, low and high; no interval from the values of one photo only."""
    if interval is None:
        return None, None, None
    if (clusters == clusters[0]).all():
        return interval.mean, None, None
    return interval.mean, interval.low, interval.high


def _points(value: float) -> str:
    """A difference of shares in percentage points, with its sign; zero has none."""
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
