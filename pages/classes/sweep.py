"""The sweep over the size of the meta step: both classes' maps after a step of every size."""

from collections.abc import Hashable
from dataclasses import dataclass

import streamlit as st

from pages.classes.pair import Line, Pair, correlations_of
from pages.shared.session import STEPS, Session
from pages.shared.tasks import results
from saliency_core.backprop.meta_step import LEARNING_RATE
from saliency_core.progress import ProgressCallback
from saliency_core.viewer.payload import SweepPoint

TITLE = "Meta steps of every size, for both classes"
FIRST_TITLE = "Computing the meta steps"
_DECLINED = "declined sweep"


@dataclass(frozen=True)
class Sweep:
    """The points computed so far, in order of size, and ρ of the method at each of them."""

    points: tuple[SweepPoint, ...] = ()
    lines: tuple[Line, ...] = ()
    complete: bool = True
    """Whether all points are computed."""

    @property
    def sizes(self) -> tuple[float, ...]:
        """The sizes of the steps."""
        return tuple(point.epsilon for point in self.points)

    @property
    def nbytes(self) -> int:
        """Memory held by the maps, in bytes."""
        return sum(point.first.nbytes + point.second.nbytes for point in self.points)


@dataclass(frozen=True)
class Question:
    """A sweep for a pair, a method, and the chosen size and direction of the step."""

    pair: Pair
    method: str
    step: float
    direction: str

    @property
    def all_sizes(self) -> tuple[float, ...]:
        """Every size on the slider."""
        return tuple(sorted({*STEPS, self.step}))

    @property
    def first_sizes(self) -> tuple[float, ...]:
        """What is shown first: no step, the paper's and the chosen one."""
        return tuple(sorted({0.0, LEARNING_RATE, self.step}))

    def key(self, sizes: tuple[float, ...]) -> Hashable:
        """What the sweep over these sizes depends on."""
        return ("sweep", *self.pair.requests(), self.method, self.direction, sizes)

    def compute(self, current: Session, sizes: tuple[float, ...], title: str, *, long: bool) -> Sweep | None:
        """The sweep over these sizes, as soon as it is there."""
        variant_of = current.choice.variant_of

        def run(progress: ProgressCallback) -> Sweep:
            points, lines = [], []
            for done, size in enumerate(sizes, 1):
                both = self.pair.explained(variant_of(size), self.method)
                points.append(SweepPoint(size, *both))
                lines.append(correlations_of(both, self.method))
                progress(done, len(sizes))
            return Sweep(tuple(points), tuple(lines), complete=long)

        def declined() -> None:
            st.session_state[_DECLINED] = self.key(sizes)

        return current.tasks.computed(
            self.key(sizes),
            run,
            title=title,
            total=len(sizes),
            unit="sizes",
            long=long,
            on_drop=declined if long else None,
        )


def asked(current: Session, pair: Pair, method: str) -> Sweep:
    """The points computed so far; the rest is computed in the background unless it was cancelled."""
    choice = current.choice
    if choice.step is None:
        return Sweep()
    question = Question(pair, method, choice.step, choice.direction)
    known: Sweep | None = results().peek(question.key(question.all_sizes))
    if known is not None:
        return known
    first = question.compute(current, question.first_sizes, FIRST_TITLE, long=False)
    if first is None:
        return Sweep(complete=False)
    if was_declined(current, pair, method):
        return first
    return question.compute(current, question.all_sizes, TITLE, long=True) or first


def was_declined(current: Session, pair: Pair, method: str) -> bool:
    """Whether the rest of the sweep was cancelled."""
    choice = current.choice
    if choice.step is None:
        return False
    question = Question(pair, method, choice.step, choice.direction)
    return bool(st.session_state.get(_DECLINED) == question.key(question.all_sizes))


def ask_again() -> None:
    """Compute the rest of the sweep that was cancelled."""
    st.session_state.pop(_DECLINED, None)
