"""What has been chosen in a widget, read without trusting what the browser sent."""

from collections.abc import Collection
from typing import TypeVar

import streamlit as st

Option = TypeVar("Option")


def chosen(key: str, options: Collection[Option]) -> Option | None:
    """The option chosen in the widget `key`; None if there is none, or the widget is gone.

    A browser names an option by its title. Where the title has changed in the meantime (it may contain a
    probability), Streamlit returns that text itself, which is none of the options.
    """
    found = st.session_state.get(key)
    return found if found in options else None
