"""The one engine that all sessions share."""

import streamlit as st

import saliency_core as sc


@st.cache_resource(show_spinner=False)
def shared_engine() -> sc.Engine:
    """The engine: models, explanations and their locks, made on first use."""
    return sc.Engine()
