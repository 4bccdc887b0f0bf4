"""A connection to Ray: checked, and where there is no cluster, started on this machine."""

from __future__ import annotations

import importlib
import os
import socket
import warnings
from typing import Any

from saliency_core.errors import UnavailableError, first_line

AUTO = "auto"
"""The cluster that this machine belongs to; Ray is started on this machine alone if there is none."""
EXTRA = "ray"
CONNECT_SECONDS = 10
QUIET = {"log_to_driver": False, "logging_level": "error"}
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # errors arrive as exceptions
}
"""For processes that start Ray."""


def imported(library: str) -> Any:
    """Ray, with one of its libraries, such as ``"data"``.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):  # of its own settings
            importlib.import_module(f"ray.{library}")
            return importlib.import_module("ray")
    except ImportError as error:
        raise UnavailableError(
            f"Ray is not installed; install it with: pip install normgrad-studio[{EXTRA}]"
        ) from error


def connect(ray: Any, address: str) -> bool:
    """Connect to the cluster at an address; whether this process was not connected before.

    Raises:
        UnavailableError: there is none.
    """
    if ray.is_initialized():
        return False
    if address != AUTO:
        check_listens(address)
    try:
        ray.init(address=address, **QUIET)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address != AUTO:
            raise no_cluster(address, first_line(error)) from error
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **QUIET)
    return True


def check_listens(address: str) -> None:
    """Raise ``UnavailableError`` if nobody listens there: Ray itself would wait for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise no_cluster(address, error.strerror or "no answer") from error
    except (ValueError, OverflowError) as error:
        raise no_cluster(address, "this is no address") from error


def no_cluster(address: str, reason: str) -> UnavailableError:
    """The error of an address without a cluster."""
    return UnavailableError(
        f"there is no Ray cluster at {address!r}: {reason}; give HOST:PORT as `ray start --head` names it, "
        "or auto"
    )
