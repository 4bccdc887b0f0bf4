"""The one engine that all sessions share. Pages ask it through the protocol alone."""

from collections import Counter
from functools import lru_cache

import streamlit as st

import saliency_core as sc
from pages.shared.logs import log_to_server
from saliency_core.engine.protocol import ExplainEngine


@st.cache_resource(show_spinner=False)
def shared_engine() -> ExplainEngine:
    """The engine: models, explanations and background tasks, made on first use."""
    log_to_server()
    return sc.Engine()


@lru_cache(maxsize=16)
def distinct_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Class labels, with their index where two classes have the same name."""
    times = Counter(labels)
    return tuple(f"{label} ({index})" if times[label] > 1 else label for index, label in enumerate(labels))
