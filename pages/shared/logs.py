"""What the engine and the pages log, in the server's log: Streamlit prepares its own loggers alone."""

import logging

import streamlit as st

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_server() -> None:
    """Write what this project logs to the server's error stream, from Streamlit's `logger.level` on."""
    for name in ("saliency_core", "pages"):
        log = logging.getLogger(name)
        if any(isinstance(handler, logging.StreamHandler) for handler in log.handlers):
            continue
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(FORMAT))
        log.addHandler(handler)
        log.setLevel(str(st.get_option("logger.level")).upper())
