"""Python source as a formatter would leave it: texts, calls and lists on one line or one entry per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 88
"""The usual length of a line, beyond which an expression is spread over several."""
INDENT = "    "


def text(value: str) -> str:
    r"""A string literal: in double quotes, unless single ones need fewer escapes.

    >>> print(text('say "cheese"'), text("it's"), text("C:\\new"))
    'say "cheese"' "it's" "C:\\new"
    """
    quote = "'" if value.count('"') > value.count("'") else '"'
    inside = "".join("'" if each == "'" else repr(each)[1:-1] for each in value)
    return quote + inside.replace(quote, f"\\{quote}") + quote


def number(value: float) -> str:
    """A number literal; whole ones without a point.

    >>> number(1.0), number(0.0025)
    ('1', '0.0025')
    """
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


@dataclass(frozen=True)
class Code:
    """An expression that is not spread: a name, a literal, or what is short enough."""

    source: str


@dataclass(frozen=True)
class Group:
    """Entries between brackets, which can be spread: a call, a list, a dict."""

    opening: str
    entries: tuple[tuple[str, Expression], ...]
    """What stands before each entry (a keyword, a key, or nothing), and the entry."""
    closing: str


Expression = Code | Group


def call(function: str, *arguments: Expression | str, **named: Expression | str | None) -> Group:
    """A call; arguments that are None are left out."""
    given = [("", _expression(each)) for each in arguments]
    given += [(f"{name}=", _expression(each)) for name, each in named.items() if each is not None]
    return Group(f"{function}(", tuple(given), ")")


def sequence(values: Sequence[str]) -> Group:
    """A list of expressions."""
    return Group("[", tuple(("", Code(each)) for each in values), "]")


def mapping(values: Mapping[str, str]) -> Group:
    """A dict of expressions."""
    return Group("{", tuple((f"{key}: ", Code(each)) for key, each in values.items()), "}")


def statement(target: str, value: Expression | str, *, sign: str = " = ", indent: str = "") -> str:
    """``target = value``, or with another sign between them."""
    return _written(f"{target}{sign}", _expression(value), "", indent)


def _expression(given: Expression | str) -> Expression:
    return Code(given) if isinstance(given, str) else given


def _flat(value: Expression) -> str:
    if isinstance(value, Code):
        return value.source
    return value.opening + ", ".join(before + _flat(each) for before, each in value.entries) + value.closing


def _written(before: str, value: Expression, after: str, indent: str) -> str:
    """On one line where it fits, else every entry on a line of its own with a comma behind the last."""
    line = f"{indent}{before}{_flat(value)}{after}"
    if isinstance(value, Code) or not value.entries or _width(line) <= WIDTH:
        return line
    deeper = indent + INDENT
    entries = [_written(start, each, ",", deeper) for start, each in value.entries]
    return "\n".join((f"{indent}{before}{value.opening}", *entries, f"{indent}{value.closing}{after}"))


def _width(line: str) -> int:
    """Columns of a line, at most: letters of some scripts take two."""
    return sum(1 if each.isascii() else 2 for each in line)
