"""A guard for what browsers send as the state of widgets and components: what cannot be used is ignored.

Streamlit 1.67 reads a state when its value is first asked for, before any code of the app sees it. What is no
JSON, is nested too deep or is of another kind than the widget's raises there, in the run or in the server.
There is no public hook for that; all readers ask one mapping, which the guard wraps.
"""

import functools
import json
import logging
from collections.abc import Iterator
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.state import session_state

MAX_DEPTH = 16
"""The viewer's own state has a depth of 3."""

_log = logging.getLogger(__name__)


@functools.cache
def guard() -> None:
    """Install the guard, once for the process."""
    mapping: Any = session_state.WStates  # not part of its public interface
    read = mapping.__getitem__

    def guarded(self: session_state.WStates, key: str) -> Any:
        kept, metadata = self.states.get(key), self.widget_metadata.get(key)
        if not isinstance(kept, session_state.Serialized) or metadata is None:
            return read(self, key)
        reason = _trouble_of(kept.value, metadata.value_type)
        if reason is None:
            try:
                return read(self, key)
            except Exception as error:  # of the widget's own reader
                reason = type(error).__name__
        _log.warning("ignored the state of a component: %s", reason)
        value = metadata.deserializer(None)
        self.states[key] = session_state.Value(value)
        return value

    def names(self: session_state.WStates) -> Iterator[str]:
        return iter(tuple(self.states))

    mapping.__getitem__ = guarded
    mapping.__iter__ = names  # the callbacks that run meanwhile may add to it


def _trouble_of(state: WidgetState, expected: str) -> str | None:
    """Why a state cannot be that of a widget whose values are sent as `expected`; None if it can."""
    field = state.WhichOneof("value")
    if field is not None and field != expected:
        return f"{field} instead of {expected}"
    if field in ("json_value", "json_trigger_value"):
        return trouble(getattr(state, field), state=field == "json_value")
    return None


def trouble(text: str, *, state: bool = False) -> str | None:
    """Why a text cannot be used as a component's triggers or, an object, as its `state`; None if it can."""
    try:
        level = [json.loads(text)]
        if state and not isinstance(level[0], dict | type(None)):
            return "no object"
    except (ValueError, RecursionError) as error:
        return type(error).__name__
    for _ in range(MAX_DEPTH):
        level = [part for value in level for part in _parts(value)]
        if not level:
            return None
    return f"nested deeper than {MAX_DEPTH}"


def _parts(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
