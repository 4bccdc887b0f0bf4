"""Two classes of one photo: what is asked for them, and how alike their maps are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import saliency_core as sc
from pages.shared.engine import distinct_labels, shared_engine
from pages.shared.figure import Figure
from pages.shared.session import Scene, Session
from pages.shared.tasks import results
from saliency_core.engine.request import ExplainRequest
from saliency_core.progress import ProgressCallback
from saliency_core.viewer import correlations

Explanations = tuple[sc.Explanation, sc.Explanation]
Line = tuple[Figure, ...]
"""A method's correlation at every layer."""

COMPARING = "Comparing the maps of both classes"


@dataclass(frozen=True)
class Pair:
    """Two classes of a scene, by their indices."""

    scene: Scene
    first: int
    second: int

    def title(self, index: int) -> str:
        """A class's name."""
        return distinct_labels(self.scene.model.labels)[index]

    def requests(
        self, variant: sc.MetaStep | None = None, method: str | None = None
    ) -> tuple[ExplainRequest, ExplainRequest]:
        """The requests for both: all methods of the shared pass, or another method alone."""
        methods = self.scene.request.methods if method is None else (method,)
        request = replace(self.scene.request, variant=variant, methods=methods)
        return replace(request, target=self.first), replace(request, target=self.second)

    def ask(self, current: Session, method: str | None = None) -> Explanations | None:
        """The explanations of both without a meta step, as soon as they are there."""
        found = []
        for request, index in zip(self.requests(None, method), (self.first, self.second), strict=True):
            title = f"Explaining {self.scene.photo.name}, {self.title(index)}"
            start = partial(
                shared_engine().submit,
                request,
                self.scene.image,
                title=title,
                session=current.tasks.session,
            )
            found.append(current.tasks.result(request, start, title=title))
        first, second = found
        return None if first is None or second is None else (first, second)

    def explained(self, variant: sc.MetaStep | None, method: str) -> Explanations:
        """The explanations of both with this method. Slow: call it in a task."""
        explain = partial(shared_engine().explain, image=self.scene.image)
        first, second = (explain(request) for request in self.requests(variant))
        if method in first.methods:
            return first, second
        extra = [explain(request) for request in self.requests(variant, method)]
        return first.joined(extra[0]), second.joined(extra[1])

    def line(self, variant: sc.MetaStep | None, method: str) -> Line:
        """ρ of the method at every layer, or why there is none. Slow: call it in a task."""
        return correlations_of(self.explained(variant, method), method)

    def known_line(self, variant: sc.MetaStep | None, method: str) -> Line | None:
        """The line of a method if it has been computed."""
        found: Line | None = results().peek(self._line_key(variant, method))
        return found

    def lines(
        self, current: Session, variant: sc.MetaStep | None, methods: Iterable[str]
    ) -> Mapping[str, Line | None]:
        """Method -> its line, None while it is being computed."""
        known = {method: self.known_line(variant, method) for method in methods}
        missing = tuple(method for method, line in known.items() if line is None)
        if not missing:
            return known

        def compute(progress: ProgressCallback) -> Mapping[str, Line]:
            found = {}
            for done, method in enumerate(missing, 1):
                found[method] = self.line(variant, method)
                results().put(self._line_key(variant, method), found[method])
                progress(done, len(missing))
            return found

        key = ("lines", *self.requests(variant), missing)
        computed = current.tasks.computed(key, compute, title=COMPARING, total=len(missing), unit="methods")
        return {**known, **(computed or {})}

    def _line_key(self, variant: sc.MetaStep | None, method: str) -> tuple[object, ...]:
        return ("line", *self.requests(variant), method)


def correlations_of(both: Explanations, method: str) -> Line:
    """ρ of the method at every layer, or why there is none."""
    return tuple(Figure(each.value, each.reason) for each in correlations.line(*both, method))
