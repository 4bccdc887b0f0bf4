"""A connection to Ray: checked, and where there is no cluster, started on this machine."""

from __future__ import annotations

import importlib
import logging
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
LOOPBACK = "127.0.0.1"


def imported(library: str) -> Any:
    """Ray, with one of its libraries, such as ``"data"``.

    Raises:
        UnavailableError: it is not installed.
    """
    # Left alone, Ray starts itself anew when it is asked for something after it was shut down.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):  # of its own settings
            importlib.import_module(f"ray.{library}")
            for name in ("ray", f"ray.{library}"):  # what matters arrives as exceptions
                logging.getLogger(name).setLevel(logging.ERROR)
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
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS", AUTO)
    if address != AUTO:
        check_listens(address)
    if ray.is_initialized():
        return False
    _stay_on(ray, address.rpartition(":")[0])
    try:
        ray.init(address=address, **QUIET)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address != AUTO:
            raise no_cluster(address, first_line(error)) from error
        start(ray)
    return True


def start(ray: Any, host: str = LOOPBACK, port: int = 0, **options: Any) -> None:
    """Start Ray on this machine, as a cluster of its own that ends with this process.

    Args:
        ray: the module.
        host: the address at which other processes reach it, this machine only unless another is given.
        port: where it listens; any free one if 0.
        options: for ``ray.init``.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors arrive as exceptions
    if port:
        os.environ["RAY_GCS_SERVER_PORT"] = str(port)
    _stay_on(ray, host)
    ray.init(address="local", include_dashboard=False, _node_ip_address=host, **QUIET | options)


def _stay_on(ray: Any, host: str) -> None:
    """Have Ray keep to the loopback interface, and protect it with the user's token, if that is the host.

    Left alone, it takes the machine's address in the network instead, and its ports are open to all: only on
    Windows and macOS it keeps to the loopback interface, as this setting says.
    """
    if host == LOOPBACK:
        # To an address in the network Ray shows the user's token only if it is told to.
        ray._private.worker.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # it has read the setting before


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
