"""``serve``: the engine on a Ray cluster, for the app and its web processes."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from saliency_core.engine.ray.connection import LOOPBACK, connect, imported, start
from saliency_core.engine.ray.scale import Scale
from saliency_core.errors import ArgumentError

PORT = 6379
SETTING = "SALIENCY_ENGINE"
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.5

EXAMPLES = """\
examples:
  python -m saliency_core serve
  python -m saliency_core serve --replicas 2 8 --device cuda
  python -m saliency_core serve --address 10.0.0.1:6379
  python -m saliency_core serve --replicas 2 2 -- python -m streamlit run app.py
"""


def add(commands: Any) -> None:
    """Add the command to those of the command line."""
    command: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="the engine on a Ray cluster, for several web processes of the app",
        description=textwrap.fill(
            "Start Ray on this machine, or join a cluster, with processes (replicas) that hold networks and "
            "answer the app. It stays until Ctrl+C or until COMMAND ends, and then ends what it has started. "
            "Extra: ray.",
            100,
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--replicas",
        nargs=2,
        type=int,
        metavar=("MIN", "MAX"),
        help="as many as the load asks for (default: from 1 to what the cluster has room for)",
    )
    command.add_argument(
        "--device", default="auto", help="auto, cpu, or cuda: a GPU for each (default: %(default)s)"
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--address", metavar="HOST:PORT", help="join the cluster there instead of starting Ray"
    )
    where.add_argument(
        "--port", type=int, default=PORT, metavar="N", help="of Ray on this machine (default: %(default)s)"
    )
    command.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="IP",
        help="the address of this machine for other machines; whoever reaches it and has Ray's token can run "
        "programs here (default: %(default)s, this machine only)",
    )
    command.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND",
        help=f"run it with {SETTING} set, as soon as there is a replica",
    )
    command.set_defaults(run=run, after_interrupt=lambda _: "Nothing is left running.")


def run(options: argparse.Namespace) -> int:
    """Start the deployment and stay until a signal or the end of the command; returns the exit code.

    Raises:
        SaliencyError: something given cannot be used, or Ray cannot be started.
    """
    ray = imported("serve")
    from saliency_core.engine.ray import deployment  # imports Ray

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    address = options.address or f"{options.host}:{options.port}"
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        connected = ray.is_initialized()
        if options.address:
            connect(ray, address)
        else:
            _check_free(options.host, options.port)
            start(ray, options.host, options.port)
        if not connected:
            stack.callback(_uninterrupted, ray.shutdown)
        scale = Scale.fitting(ray, options.replicas and tuple(options.replicas), options.device)
        _say(f"Ray runs at {address}. Starting {_replicas(scale)} …")
        deployment.deploy(ray, scale)
        stack.callback(_uninterrupted, deployment.remove, ray)
        stop = stack.enter_context(_signals())
        _say(f"Ready. Start the app with {SETTING}={address}. Ctrl+C ends the replicas.")
        started = stack.enter_context(_running(command, {SETTING: address})) if command else None
        while not stop.wait(LOOK_SECONDS):
            if started is not None and started.poll() is not None:
                return started.returncode
        _say("Stopping …")
    return 0


def _replicas(scale: Scale) -> str:
    low, high = scale.min_replicas, scale.max_replicas
    count = f"{high}" if low == high else f"{low} to {high}"
    with_ = "a GPU" if scale.gpus else f"{scale.threads} thread{'s' * (scale.threads > 1)}"
    return f"{count} replica{'s' * (high > 1)}, each with {with_}"


def _check_free(host: str, port: int) -> None:
    """Raise ``ArgumentError`` if nothing can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ArgumentError(
                f"Ray cannot listen on {host}:{port}: {reason}; take another --port, or join the "
                f"cluster that runs there with --address {host}:{port}"
            ) from error


@contextlib.contextmanager
def _running(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended with the block. Ctrl+C reaches it only through this one, in the right order."""
    try:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise ArgumentError(f"{command[0]!r} cannot be run: {error.strerror}") from error
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _uninterrupted(end: Callable[..., object], *arguments: object) -> None:
    """Call what ends something, and ignore Ctrl+C from now on: another one would leave parts running."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end(*arguments)


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that Ctrl+C and SIGTERM set, instead of ending the process at once."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
