"""Tables as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def in_columns(
    head: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[str]], width: int
) -> Iterator[str]:
    """Lines of a table: a name, then its cells to the right; wider tables in several pieces.

    Args:
        head: the title of the names, and of every column.
        names: of the rows.
        cells: rows × columns.
        width: of a line, in characters; a single column may be wider.

    >>> list(in_columns(["", "layer1", "layer2"], ["gradient"], [["1.5", "22.5"]], 30))
    ['          layer1  layer2', 'gradient     1.5    22.5']
    """
    first = max(map(len, [head[0], *names]))
    sides = [
        max(len(text) for text in (title, *(row[index] for row in cells)))
        for index, title in enumerate(head[1:])
    ]
    start = 0
    while start < len(sides):
        end, taken = start, first
        while end < len(sides) and (end == start or taken + 2 + sides[end] <= width):
            taken += 2 + sides[end]
            end += 1
        if start:
            yield ""
        for name, row in [(head[0], head[1:]), *zip(names, cells, strict=True)]:
            texts = (f"  {row[index]:>{sides[index]}}" for index in range(start, end))
            yield f"{name:<{first}}{''.join(texts)}"
        start = end
