"""What a user reads when something failed: the text of a ``SaliencyError``, or an id of the log entry."""

from __future__ import annotations

import logging
import secrets

from saliency_core.errors import SaliencyError

log = logging.getLogger(__name__)

UNEXPECTED = "Something went wrong. Your photos and settings are safe; try again."


def user_message(error: BaseException, context: str) -> str:
    """The user-facing sentence for an error; anything unexpected is logged with its traceback and an id.

    Args:
        error: what was raised.
        context: what was attempted, for the log.
    """
    if isinstance(error, SaliencyError):
        log.warning("%s: %s", context, error)
        return str(error)
    error_id = secrets.token_hex(4)
    log.error("%s failed, error %s", context, error_id, exc_info=error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch has its own
        return f"There was not enough memory. Try a smaller photo or model (error {error_id})."
    return f"{UNEXPECTED} If it happens again, report error {error_id}."
