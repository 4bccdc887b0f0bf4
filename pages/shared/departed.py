"""Ends the sessions of tabs that were closed, so that their photos, maps and open files do not stay.

Streamlit 1.67 keeps the session of a tab that has gone for `server.disconnectedSessionTTL` seconds, in case
that it comes back; after that it is inaccessible, but ends only when another tab is closed. Each one holds
three open files and what it has shown.
"""

import asyncio
import gc
import logging
from typing import Any

from streamlit import runtime

from saliency_core.memory import trim

SECONDS = 10.0
"""Between two looks at the sessions of tabs that have gone."""

log = logging.getLogger(__name__)


async def forget_from_time_to_time() -> None:
    """End them as long as the server runs; a task for its event loop."""
    while True:
        await asyncio.sleep(SECONDS)
        try:
            gone = forget()
        except Exception:  # not part of Streamlit's public interface
            log.exception("The sessions of closed tabs could not be ended.")
            return
        if gone:
            await asyncio.to_thread(give_back_memory)


def forget() -> int:
    """End the sessions of tabs that have gone for too long; returns how many there were."""
    if not runtime.exists():
        return 0
    manager: Any = runtime.get_instance()._session_mgr
    with manager._storage_lock:
        gone = manager._session_storage._cache.expire()
    for _, info in gone:
        info.session.shutdown()
    return len(gone)


def give_back_memory() -> None:
    """Collect what refers to itself, and return freed memory to the system."""
    gc.collect()
    trim()
