"""What the engine logs, in the server's log: Streamlit prepares its own loggers alone."""

import logging

import streamlit as st

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_server() -> None:
    """Write what `saliency_core` logs to the server's error stream, from Streamlit's `logger.level` on."""
    log = logging.getLogger("saliency_core")
    if any(isinstance(handler, logging.StreamHandler) for handler in log.handlers):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    log.addHandler(handler)
    log.setLevel(str(st.get_option("logger.level")).upper())
