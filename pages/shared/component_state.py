"""A guard for what browsers send as a widget's state: what cannot be read is ignored, with a line in the log.

Streamlit 1.67 reads this state when a widget's value is first asked for, before any code of the app sees it;
invalid JSON, deep nesting or another type than the widget's raises in the run, and in every run after it, as
the state stays. There is no public hook for that; all readers call two functions, which the guard wraps.
"""

import functools
import json
import logging
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.state import session_state

MAX_DEPTH = 16
"""The viewer's own state has a depth of 3."""

_log = logging.getLogger(__name__)


@functools.cache
def guard() -> None:
    """Install the guard, once for the process."""
    module: Any = session_state  # not part of its public interface
    unpack, read = module.unpack_widget_state_value, module.WStates.__getitem__

    def unpack_guarded(widget_state: WidgetState) -> Any:
        field = widget_state.WhichOneof("value")
        if field in ("json_value", "json_trigger_value"):
            reason = trouble(getattr(widget_state, field), state=field == "json_value")
            if reason is not None:
                raise ValueError(reason)
        return unpack(widget_state)

    def read_guarded(states: Any, key: str) -> Any:
        sent, known = states.states.get(key), states.widget_metadata.get(key)
        if known is None or not isinstance(sent, module.Serialized):
            return read(states, key)
        try:
            field = sent.value.WhichOneof("value")
            if field not in (None, known.value_type):
                raise TypeError(f"{field} instead of {known.value_type}")
            return read(states, key)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            _log.warning("ignored the state of a widget: %s: %.100s", type(error).__name__, error)
            states.states[key] = module.Value(known.deserializer(None))
            return states.states[key].value

    module.unpack_widget_state_value = unpack_guarded
    module.WStates.__getitem__ = read_guarded


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
