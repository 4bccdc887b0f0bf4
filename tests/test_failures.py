import logging

import pytest
import torch

import saliency_core as sc
from saliency_core.engine.failures import user_message


def test_a_user_facing_error_is_shown_as_it_reads(caplog: pytest.LogCaptureFixture) -> None:
    assert user_message(sc.WeightsError("no connection"), "Loading") == "no connection"
    assert user_message(sc.UnknownNameError("unknown fit 'x'"), "Explaining") == "unknown fit 'x'"
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert caplog.records[0].getMessage() == "Loading: no connection"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("/home/someone"), "Something went wrong. Your photos and settings are safe; try again."),
        (MemoryError("/home/someone"), "There was not enough memory. Try a smaller photo or model"),
        (torch.OutOfMemoryError("/home/someone"), "There was not enough memory."),
    ],
)
def test_any_other_error_is_an_id_that_the_log_explains(
    error: Exception, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    shown = [user_message(error, "Explaining") for _ in range(2)]
    assert all(each.startswith(sentence) for each in shown)
    assert not any("someone" in each for each in shown)
    for message, record in zip(shown, caplog.records, strict=True):
        assert (record.levelno, record.exc_info[1]) == (logging.ERROR, error)
        assert record.getMessage().rpartition(" ")[2] in message
    assert shown[0] != shown[1]  # every failure has its own id
