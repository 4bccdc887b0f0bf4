"""The rows of results: one per item × method × layer or mix × metric, as an Arrow table.

An item is what is explained once: one class of one photo, or one cell of a grid of photos. Every item has
rows, or one row that says why it was left out: the numbers of items tell whether one is missing or was
counted twice.

========== =================== ============================================================================
column     type                content
========== =================== ============================================================================
item       int32               the item's number, from 0, in the order of the photo set
photo      text                the photo's name in its set
class_name text                the class in the set's own words; empty where it has none
class_index int32, null        the index of the class explained; null where the item was left out
label      text, null          the network's label of this class
probability float64, null      of this class on this photo (of a grid: on the grid)
method     text, null          the method's name; ``"random"`` for a random order of pixels
layer      text, null          the layer or mix, ``"input"`` for a method with one map of the input
metric     text, null          the name of an entry of ``MEASURES``
value      float64, null       null where it is undefined; a miss of the pointing game has 0
undefined  bool                whether the map has no maximum (pointing game) or nothing positive (shares)
area       float64, null       the share of the photo that the objects' boxes cover
size       text, null          ``"small"``, ``"medium"`` or ``"large"`` by ``area``
difficult  bool, null          whether the item is in the paper's difficult subset
objects    int32               how many objects of the class there are
u, v       int32, null         column and row of the map's maximum, in the photo's pixels (pointing game)
grid       int32, null         the number of the grid
cell       int32, null         the cell in the grid, row by row from 0
left_out   text, null          why the item was left out; null in all other rows
========== =================== ============================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from saliency_core.errors import UnavailableError

if TYPE_CHECKING:
    import pyarrow

SMALL, MEDIUM = 1 / 4, 1 / 2
"""The shares of the photo below which objects are small and medium; the first one is the paper's."""
SIZES = ("small", "medium", "large")
EXTRA = "evaluate"


class Row(NamedTuple):
    """A row; its fields are the columns."""

    item: int
    photo: str
    class_name: str
    class_index: int | None = None
    label: str | None = None
    probability: float | None = None
    method: str | None = None
    layer: str | None = None
    metric: str | None = None
    value: float | None = None
    undefined: bool = False
    area: float | None = None
    size: str | None = None
    difficult: bool | None = None
    objects: int = 0
    u: int | None = None
    v: int | None = None
    grid: int | None = None
    cell: int | None = None
    left_out: str | None = None


COLUMNS: dict[str, str] = dict.fromkeys(Row._fields, "int32") | {
    **dict.fromkeys(
        ("photo", "class_name", "label", "method", "layer", "metric", "size", "left_out"), "text"
    ),
    **dict.fromkeys(("probability", "value", "area"), "float64"),
    **dict.fromkeys(("undefined", "difficult"), "bool"),
}


def arrow() -> Any:
    """The module ``pyarrow``, with its parts for Parquet and for computing loaded.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise UnavailableError(
            "the evaluation of photo sets needs pyarrow, which is not installed; install it with: "
            f"pip install normgrad-studio[{EXTRA}]"
        ) from error
    return pyarrow


def schema() -> pyarrow.Schema:
    """The columns with their types. Texts are stored once each, the rows hold numbers for them."""
    pa = arrow()
    types = {
        "int32": pa.int32(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "text": pa.dictionary(pa.int32(), pa.string()),
    }
    return pa.schema([pa.field(name, types[kind]) for name, kind in COLUMNS.items()])


def table(rows: Iterable[Row]) -> pyarrow.Table:
    """Rows as an Arrow table with :func:`schema`."""
    pa, found = arrow(), list(rows)
    columns = list(zip(*found, strict=True)) or [()] * len(COLUMNS)
    fields = schema()
    arrays = [
        pa.array(list(column), type=field.type.value_type).dictionary_encode()
        if COLUMNS[field.name] == "text"
        else pa.array(list(column), type=field.type)
        for field, column in zip(fields, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=fields)


def size_class(area: float) -> str:
    """``"small"`` below a quarter of the photo, ``"medium"`` below a half, else ``"large"``.

    >>> size_class(0.1), size_class(0.25), size_class(0.5)
    ('small', 'medium', 'large')
    """
    return SIZES[(area >= SMALL) + (area >= MEDIUM)]
