"""The one engine that all sessions share. Pages ask it through the protocol alone."""

import os
from collections import Counter
from functools import lru_cache

import streamlit as st

from pages.shared.logs import log_to_server
from saliency_core.engine.protocol import ExplainEngine
from saliency_core.errors import ArgumentError

SETTING = "SALIENCY_ENGINE"
LOCAL, RAY = "local", "ray"
SCHEME = "ray://"


def cluster_address() -> str | None:
    """The address of the Ray cluster whose engine is asked; None for the engine of this process.

    Raises:
        ArgumentError: the setting names neither.
    """
    text = os.environ.get(SETTING, "").strip()
    if text in ("", LOCAL):
        return None
    if text == RAY:
        return "auto"
    host, colon, port = text.removeprefix(SCHEME).rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise ArgumentError(f"{SETTING} is {text!r}; expected local, ray or an address such as 10.0.0.1:6379")
    return f"{host}:{port}"


@st.cache_resource(show_spinner=False)
def shared_engine() -> ExplainEngine:
    """The engine: models, explanations and background tasks, made on first use."""
    log_to_server()
    address = cluster_address()
    if address is None:
        from saliency_core.engine.local import Engine

        return Engine()
    from saliency_core.engine.ray.client import RayEngine

    return RayEngine(address)


@lru_cache(maxsize=16)
def distinct_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Class labels, with their index where two classes have the same name."""
    times = Counter(labels)
    return tuple(f"{label} ({index})" if times[label] > 1 else label for index, label in enumerate(labels))
