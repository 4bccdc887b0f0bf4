"""A guard for what browsers send as a component's state: invalid JSON and deep nesting are ignored.

Streamlit 1.67 parses this text when a widget's value is first read, before any code of the app sees it, and a
text that cannot be parsed raises in the run or in the server. There is no public hook for that; all readers
call one function, which the guard wraps.
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
    read = module.unpack_widget_state_value

    def guarded(widget_state: WidgetState) -> Any:
        field = widget_state.WhichOneof("value")
        if field in ("json_value", "json_trigger_value"):
            reason = trouble(getattr(widget_state, field))
            if reason is not None:
                _log.warning("ignored the state of a component: %s", reason)
                return None
        return read(widget_state)

    module.unpack_widget_state_value = guarded


def trouble(text: str) -> str | None:
    """Why a text cannot be used as a state, or None if it can."""
    try:
        level = [json.loads(text)] if text else []
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
