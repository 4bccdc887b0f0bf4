"""Runs that the server begins, and those that come while another is being delivered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from pages.shared import reruns


class _Loop:
    """An event loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def call_later(self, _seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def step(self) -> None:
        coming, self.later = self.later, []
        for callback in coming:
            callback()


class _Ended:
    """A runner that has ended, whose messages are not delivered yet."""

    def request_rerun(self, _asked: object) -> bool:
        return False


class _Session(AppSession):
    """A session with nothing but what a new runner depends on."""

    def __init__(self, loop: _Loop, runner: _Ended) -> None:
        self._event_loop = loop  # type: ignore[assignment]
        self._scriptrunner = runner  # type: ignore[assignment]
        self._state = AppSessionState.APP_IS_RUNNING

    def shutdown(self) -> None:
        """There is nothing to end."""


@pytest.fixture(autouse=True)
def guarded() -> None:
    reruns.guard()


def test_a_fragment_gets_no_new_runner_before_the_run_that_has_ended_is_delivered() -> None:
    loop, ended = _Loop(), _Ended()
    session = _Session(loop, ended)
    session._create_scriptrunner("fragment")  # type: ignore[arg-type]
    loop.step()
    assert session._scriptrunner is ended
    assert len(loop.later) == 1
    # A session that ends in the meantime asks no more.
    session._state = AppSessionState.SHUTDOWN_REQUESTED
    loop.step()
    assert loop.later == []


def test_a_run_that_begins_keeps_the_answers_for_which_a_browser_waits() -> None:
    queue = ForwardMsgQueue()
    answer, page = ForwardMsg(), ForwardMsg()
    answer.file_urls_response.response_id = "upload"
    page.page_profile.SetInParent()
    for message in (answer, page):
        queue.enqueue(message)
    queue.clear(retain_lifecycle_msgs=True)
    assert [message.WhichOneof("type") for message in queue.flush()] == ["file_urls_response"]


def test_outside_a_server_nobody_is_run_again() -> None:
    reruns.waker(lambda: True)()
    assert reruns.waiting() == 0
