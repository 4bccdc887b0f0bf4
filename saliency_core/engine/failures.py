"""What a user reads when something failed: the text of a ``SaliencyError``, or an id of the log entry."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque

from saliency_core.engine.status import LoggedError
from saliency_core.errors import SaliencyError

log = logging.getLogger(__name__)

UNEXPECTED = "Something went wrong. Your photos and settings are safe; try again."
MAX_ERRORS = 50
_errors: deque[LoggedError] = deque(maxlen=MAX_ERRORS)


def user_message(error: BaseException, context: str) -> str:
    """The user-facing sentence for an error; anything unexpected is logged with its traceback and an id.

    Args:
        error: what was raised.
        context: what was attempted, for the log and the operator: no file name, nothing of a photo.
    """
    if isinstance(error, SaliencyError):
        log.warning("%s: %s", context, error)
        return str(error)
    error_id = secrets.token_hex(4)
    _errors.append(LoggedError(error_id, time.time(), context, type(error).__name__))
    log.error("%s failed, error %s", context, error_id, exc_info=error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch has its own
        return f"There was not enough memory. Try a smaller photo or model (error {error_id})."
    return f"{UNEXPECTED} If it happens again, report error {error_id}."


def last_errors() -> tuple[LoggedError, ...]:
    """The newest unexpected errors of this process, the newest last."""
    return tuple(_errors)
