"""The app inside another page: `?embed=true` shows the viewer alone; a setting says who may frame it."""

import os
import re

import streamlit as st

from saliency_core.errors import ArgumentError

SETTING = "SALIENCY_FRAME_ANCESTORS"
DEFAULT_ANCESTORS = "'self'"

_ANYWHERE = re.compile(r"'self'|\*|https?:", re.IGNORECASE)
_HOST = re.compile(r"(https?://)?(\*\.)?([a-z0-9-]+\.)*[a-z0-9-]+(:([0-9]{1,5}|\*))?", re.IGNORECASE)


def embedded() -> bool:
    """Whether the page of this run is shown inside another one, by its address."""
    return bool(st.context.is_embedded)


def frame_ancestors() -> str:
    """The pages that may frame the app, as the policy's directive `frame-ancestors` takes them.

    `SALIENCY_FRAME_ANCESTORS` has them, separated by spaces: 'self' (the default) for pages of the app's own
    server, origins such as `https://lectures.example.org` or `https://*.example.org`, `*` for all, or 'none'.

    Raises:
        ArgumentError: the setting has something else.
    """
    given = os.environ.get(SETTING, "").strip() or DEFAULT_ANCESTORS
    sources = given.split()
    for source in sources:
        if source.lower() == "'none'" and len(sources) == 1:
            continue
        if _ANYWHERE.fullmatch(source) or (_HOST.fullmatch(source) and source not in ("self", "none")):
            continue
        raise ArgumentError(
            f"{SETTING} is “{given}”, and “{source}” is no site that can be allowed to embed the app. "
            "Expected 'self' or 'none' (with their quotes), *, or origins without a path, such as "
            "https://lectures.example.org, separated by spaces."
        )
    return " ".join(sources)
