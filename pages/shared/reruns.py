"""Runs of a session's script: those that the server begins, and those that a browser asks for too early.

Streamlit 1.67 has no public way to run a session's script from the server, so that pages would have to ask
again and again whether something has ended; with a hundred sessions that wait, asking costs more than
computing. It also loses messages: while a run that has ended is still being delivered to the browser, a
fragment that is asked for gets a new runner, and what the old one has left to deliver is thrown away; and a
run that begins throws away answers that are not sent yet, as that on where to upload a file. With few
sessions that takes microseconds; in a server under load, pages are left half drawn and uploads never begin.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

from streamlit import runtime
from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner import get_script_run_ctx

LATER = 0.02
"""Seconds after which is looked again whether a session's run has ended."""

ANSWERS = frozenset({"file_urls_response", "heartbeat_ack", "backend_operation_response"})
"""Messages for which a browser waits, whatever runs."""

_waiting: set[str] = set()
_lock = threading.Lock()  # of _waiting


@functools.cache
def guard() -> None:
    """Let fragments wait for what is being delivered, and keep answers; installed once for the process."""
    session_class: Any = AppSession  # these are not part of its public interface
    create = session_class._create_scriptrunner

    def create_later(session: Any, asked: Any) -> None:
        # For a run of the whole script, Streamlit has forgotten the runner; one that is here ended by itself.
        if session._scriptrunner is None or session._state is AppSessionState.SHUTDOWN_REQUESTED:
            create(session, asked)
            return

        def again() -> None:
            runner = session._scriptrunner
            if session._state is AppSessionState.SHUTDOWN_REQUESTED:
                return
            if runner is None or not runner.request_rerun(asked):
                session._create_scriptrunner(asked)

        session._event_loop.call_later(LATER, again)

    session_class._create_scriptrunner = create_later

    queue_class: Any = ForwardMsgQueue
    clear = queue_class.clear

    def clear_but_answers(queue: Any, *given: Any, **options: Any) -> None:
        answers = [message for message in queue._queue if message.WhichOneof("type") in ANSWERS]
        clear(queue, *given, **options)
        kept = {id(message) for message in queue._queue}
        queue._queue += [message for message in answers if id(message) not in kept]

    queue_class.clear = clear_but_answers


def waker(wanted: Callable[[], bool]) -> Callable[[], None]:
    """A function that runs this session's script, to be called from any thread.

    It waits until no run is under way, since a run of the whole script would cut that short with what was
    clicked; then it asks `wanted` whether there is still something to show. Outside a server it does nothing.
    """
    context = get_script_run_ctx(suppress_warning=True)
    if context is None or not runtime.exists():
        return lambda: None
    session_id: str = context.session_id
    manager: Any = getattr(runtime.get_instance(), "_session_mgr", None)
    if manager is None:  # Streamlit's own test runner has sessions without a server
        return lambda: None
    found = manager.get_active_session_info(session_id)
    if found is None:
        return lambda: None
    loop = found.session._event_loop
    with _lock:
        _waiting.add(session_id)

    def look() -> None:
        info = manager.get_active_session_info(session_id)
        if info is not None and info.session._scriptrunner is not None:
            loop.call_later(LATER, look)
            return
        with _lock:
            _waiting.discard(session_id)
        if info is not None and wanted():
            info.session.request_rerun(info.session._client_state)

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(look)

    return wake


def waiting() -> int:
    """How many sessions wait to be run again."""
    with _lock:
        return len(_waiting)
