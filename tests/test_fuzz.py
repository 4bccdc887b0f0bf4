"""A part of `python -m benchmarks.fuzz`: changed files and addresses are opened, or refused in a sentence."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz

CASES = 300


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_changed_files_and_addresses_are_opened_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    first = list(fuzz.KINDS).index(kind)
    outcomes = list(fuzz.run(range(first, CASES, len(fuzz.KINDS)), 1, tmp_path))
    assert {outcome.kind for outcome in outcomes} == {kind}
    failed = [
        f"python -m benchmarks.fuzz --seed 1 --first {outcome.case} --cases 1\n{outcome.trace}"
        for outcome in outcomes
        if outcome.result not in ("opened", "refused") or outcome.megabytes > fuzz.MAX_MEGABYTES
    ]
    assert not failed, "\n".join(failed)
    assert Counter(outcome.result for outcome in outcomes)["opened"] > 0


def test_a_case_depends_on_its_number_and_the_seed_alone() -> None:
    data = bytes(range(256)) * 8

    def case(number: int) -> bytes:
        return fuzz.changed(data, np.random.default_rng([1, number]))

    assert case(7) == case(7)
    assert len({case(number) for number in range(50)}) > 45


def test_an_exception_that_is_no_sentence_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rng: np.random.Generator, folder: Path) -> None:
        raise KeyError(3)

    monkeypatch.setattr(fuzz, "KINDS", {"photo": broken})
    (outcome,) = fuzz.run([4], 0, tmp_path)
    assert outcome.failure == "KeyError: 3"
    assert "broken" in outcome.trace
