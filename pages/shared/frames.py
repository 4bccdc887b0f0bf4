"""What a websocket may send: messages that a page of the app sends, no faster than a person causes them."""

import asyncio
import logging
import time
from contextlib import suppress

from google.protobuf.message import DecodeError
from starlette.types import Message, Receive, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

MAX_BYTES = 4 << 20
"""Of one message: a widget's state, never a file. The app's own are below 100 kB."""
NOT_BINARY, NOT_THE_PROTOCOL, TOO_LARGE = 1003, 1002, 1009
"""Codes with which a websocket is closed."""
BURST, PER_SECOND = 40, 15.0
"""Messages that are taken at once, and those that are taken after that; further ones wait in the network.

A hand on a slider causes fewer. Each of them may start a run of the script in a thread of its own.
"""

USED = frozenset(
    {"rerun_script", "stop_script", "app_heartbeat", "load_git_info", "file_urls_request"}
    | {"backend_operation_request"}
)
"""The messages that pages send.

The others are for whoever develops an app; one of them empties the caches of all sessions, the engine's too.
"""
USED_OPERATIONS = frozenset({"deferred_file", "dataframe_chunk"})

log = logging.getLogger(__name__)


def checked(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """What a websocket receives and sends.

    It receives messages at a bounded pace until there is a frame that is none, at which it is closed, with a
    line in the log.
    """
    left, last = float(BURST), time.monotonic()

    async def received() -> Message:
        nonlocal left, last
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            now = time.monotonic()
            left, last = min(left + (now - last) * PER_SECOND, BURST) - 1, now
            if left < 0:
                await asyncio.sleep(-left / PER_SECOND)
            found = read(message.get("bytes"))
            if isinstance(found, BackMsg) and is_used(found):
                return message
            if isinstance(found, BackMsg):
                log.warning("ignored a message of the kind %s", found.WhichOneof("type"))
                continue
            code, reason = found
            log.warning("closed a websocket: %s", reason)
            await send({"type": "websocket.close", "code": code})
            return {"type": "websocket.disconnect", "code": code}

    async def sent(message: Message) -> None:
        # What is received says that a tab has gone; Streamlit takes an error here for another one.
        with suppress(OSError):
            await send(message)

    return received, sent


def is_used(message: BackMsg) -> bool:
    """Whether pages of this app send such messages."""
    kind = message.WhichOneof("type")
    if kind == "backend_operation_request":
        return message.backend_operation_request.WhichOneof("payload") in USED_OPERATIONS
    return kind in USED


def read(data: bytes | None) -> BackMsg | tuple[int, str]:
    """The message in a frame, or the code for it and why there is none. A text frame has no `data`."""
    if data is None:
        return NOT_BINARY, "it sent a text"
    if len(data) > MAX_BYTES:
        return TOO_LARGE, f"it sent {len(data):,} bytes at once"
    try:
        message = BackMsg()
        message.ParseFromString(data)
        return message
    except (DecodeError, RecursionError):
        return NOT_THE_PROTOCOL, f"it sent {len(data):,} bytes that are no message of Streamlit's"
