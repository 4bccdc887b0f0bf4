"""Python for a view: the lines that give what is shown once more, with this package alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from saliency_core.backprop.meta_step import LEARNING_RATE, MetaStep
from saliency_core.errors import ArgumentError
from saliency_core.explanation import Explanation
from saliency_core.export.source import (
    INDENT,
    Expression,
    Group,
    call,
    mapping,
    number,
    sequence,
    statement,
    text,
)
from saliency_core.inputs.preprocess import FITS
from saliency_core.methods.method import Domain
from saliency_core.methods.registry import METHODS, SINGLE_PASS
from saliency_core.models.catalogue.names import LIBRARIES, parse_name
from saliency_core.registry import unknown
from saliency_core.viewer import schema
from saliency_core.viewer.payload import AVERAGING_METHODS, MODES, default_layer

PANEL = "(448, 448)"
"""(height, width) of the viewer's panels, in which layers are mixed and classes subtracted."""


@dataclass(frozen=True)
class Checkpoint:
    """A network from a file of one's own, as :func:`saliency_core.load_checkpoint` takes it."""

    file: str
    architecture: str
    labels: str = ""
    """The name of the file with the classes' names; empty if there is none."""


def code(
    mode: str,
    explanation: Explanation,
    view: schema.View,
    *,
    photo: str,
    sample: bool = False,
    other: Explanation | None = None,
    ascend: bool = False,
    checkpoint: Checkpoint | None = None,
) -> str:
    """The lines of Python that reproduce what is shown; ``ruff format`` would leave them as they are.

    Args:
        mode: what is shown, one of ``"compare"``, ``"mix"``, ``"framework"``, ``"classes"``, ``"why"``,
            ``"point"``.
        explanation: what is shown, in the mode ``"classes"`` that of the first class without a meta step.
        view: its fields; those that are missing or None have their defaults. Methods that were not computed
            yet may be among them.
        photo: the name of the photo's file.
        sample: whether it is one of the samples of the repository.
        other: the explanation of the second class, in the mode ``"classes"``.
        ascend: whether the meta step of the mode ``"classes"``, of size ``view["epsilon"]``, unlearns.
        checkpoint: where the network is from, if it was loaded from a file of one's own.

    Raises:
        ArgumentError: an unknown mode; a mode "classes" without a second class; an explanation of a function;
            an uploaded network without its checkpoint.
    """
    if mode not in MODES:
        raise ArgumentError(unknown("mode", mode, MODES))
    for each in (explanation, other):
        if each is not None and each.target is None:
            raise ArgumentError(
                f"{each.label!r} is a function of the class scores, whose code is not known; explain a class"
            )
    shown = _Shown(explanation, view, other, ascend)
    lines = [*_start(explanation, photo, sample, checkpoint), *_MODES[mode](shown)]
    # A function has two empty lines before and behind it, whatever stands there.
    return re.sub("\n{4,}", "\n\n\n", "\n".join((*_imports(lines), "", *lines, "")))


def _imports(lines: Iterable[str]) -> Iterator[str]:
    """The imports that the lines need."""
    body = "\n".join(lines)
    if "np." in body:
        yield "import numpy as np\n"
    yield "import saliency_core as sc"
    if "resize(" in body:
        yield "from saliency_core.combine import resize"
    if "SINGLE_PASS" in body:
        yield "from saliency_core.explain import SINGLE_PASS"


def _start(
    explanation: Explanation, photo: str, sample: bool, checkpoint: Checkpoint | None
) -> Iterator[str]:
    """Photo and network."""
    name = explanation.subject.name
    files = ["photo"] if checkpoint is None else ["photo", "checkpoint"]
    if checkpoint is not None and checkpoint.labels:
        files.append("file with the labels")
    listed = files[0] if len(files) == 1 else f"{', '.join(files[:-1])} and the {files[-1]}"
    yield f"# The {listed} must lie beside this script."
    if sample:
        yield "# The samples are in the folder assets/samples of NormGrad Studio."
    yield statement("image", call("sc.open_image", text(photo)))
    if checkpoint is not None:
        labels = text(checkpoint.labels) if checkpoint.labels else None
        loaded = call(
            "sc.load_checkpoint", text(checkpoint.file), text(checkpoint.architecture), labels=labels
        )
    elif not name:
        yield "# network: your own torch.nn.Module"
        loaded = call("sc.Classifier", "network")
    else:
        parsed = parse_name(name)
        random = None
        if parsed.prefix in LIBRARIES and parsed.seed is not None:
            name, random = parsed.trained, str(parsed.seed)
        elif parsed.prefix == "own":
            raise ArgumentError(
                "the network is an uploaded one; pass its file and architecture as checkpoint"
            )
        elif parsed.prefix == "folder":
            yield "# The variable SALIENCY_MODELS of the environment must name the folder of the networks."
        loaded = call("sc.load_classifier", text(name), random=random)
    yield statement("classifier", loaded)


@dataclass(frozen=True)
class _Shown:
    """What is shown, with the defaults of the browser for what the view leaves out."""

    explanation: Explanation
    view: schema.View
    other: Explanation | None
    ascend: bool

    def field(self, name: str) -> schema.Value:
        given = self.view.get(name)
        return schema.VIEW[name].default if given is None else given

    @property
    def layers(self) -> list[str]:
        return [layer.name for layer in self.explanation.layers]

    @property
    def layer(self) -> str:
        given, stages = self.field("layer"), self.explanation.subject.default_layers
        if isinstance(given, str) and given in self.layers:
            return given
        return default_layer([name for name in self.layers if name in stages] or self.layers)

    def method(self, side: str) -> str:
        return str(self.field(side))

    @property
    def weights(self) -> dict[str, float]:
        """Layer -> weight, without those that are zero."""
        given = self.field("weights")
        weights = [1.0] * len(self.layers)
        if isinstance(given, tuple) and len(given) == len(self.layers):
            weights = [float(each) for each in given]
        return {name: weight for name, weight in zip(self.layers, weights, strict=True) if weight > 0}

    @property
    def uniform(self) -> bool:
        """Whether all layers have the same weight."""
        return len(self.weights) == len(self.layers) and len(set(self.weights.values())) == 1

    @property
    def mixture(self) -> dict[str, str]:
        """What a figure of mixed maps is called with."""
        return {"mixed": "True"} | ({} if self.uniform else {"weights": "weights"})

    def has(self, method: str, layer: str) -> bool:
        """Whether a method has a map at a layer; one that was not computed counts as defined there."""
        e = self.explanation
        return METHODS[method].domain is Domain.INPUT or method not in e.methods or e.has(method, layer)

    # -- explaining ------------------------------------------------------------------------------------------

    def explained(self, methods: Iterable[str], *, all_others: bool = False) -> Iterator[str]:
        """``explanation`` with these methods, and `all_others` that come with the shared pass."""
        yield statement("explanation", self.question(self.explanation, methods, all_others=all_others))

    def question(self, e: Explanation, methods: Iterable[str], *, all_others: bool = False) -> Group:
        """The call that gives an explanation with these methods."""
        return call(
            "sc.explain",
            "classifier",
            "image",
            _target(e),
            layers=self._layers(),
            methods=_methods(methods, all_others=all_others),
            fit=self._fit(),
            meta=_step(e.meta),
        )

    def explained_for_both(self, names: str, methods: Iterable[str], step: MetaStep | None) -> Iterator[str]:
        """An explanation for each of two classes."""
        if self.other is None:
            raise ArgumentError("the mode 'classes' shows two classes; pass the second one as other")
        both = call(
            "sc.explain_classes",
            "classifier",
            "image",
            sequence([_target(self.explanation), _target(self.other)]),
            layers=self._layers(),
            methods=_methods(methods),
            fit=self._fit(),
            meta=_step(step),
        )
        yield statement(names, both)

    def _layers(self) -> Expression | None:
        usual = tuple(self.layers) == tuple(self.explanation.subject.default_layers)
        return None if usual else sequence([text(name) for name in self.layers])

    def _fit(self) -> str | None:
        fit = self.explanation.subject.fit
        return None if fit == next(iter(FITS)) else text(fit)

    # -- maps ------------------------------------------------------------------------------------------------

    def map(self, name: str, method: str) -> Iterator[str]:
        """The map of a method at the layer shown, or why there is none."""
        if METHODS[method].domain is Domain.INPUT:
            yield statement(name, call("explanation.map", text(method)))
        elif self.has(method, self.layer):
            yield statement(name, call("explanation.map", text(method), "layer"))
        else:
            yield f"# {METHODS[method].title} has no map at this layer."

    def mixing(self, methods: Iterable[str]) -> Iterator[str]:
        """A function that mixes the layers of one of these methods."""
        how = None if self.field("how") == "product" else text(str(self.field("how")))
        if self.uniform:
            layers, weights = "explanation.layers_of(method)", None
        else:
            yield statement("weights", mapping({text(k): number(each) for k, each in self.weights.items()}))
            # Methods of the shared pass have a map at every layer.
            if set(methods) <= set(SINGLE_PASS):
                layers, weights = "weights", "list(weights.values())"
            else:
                layers, weights = "layers", "[weights[layer] for layer in layers]"
        yield from ("", "", "def mixed(method):")
        if layers == "layers":
            yield "    layers = [layer for layer in weights if explanation.has(method, layer)]"
        yield f"    maps = [explanation.map(method, layer) for layer in {layers}]"
        mixture = call("sc.combine", "maps", *([] if weights is None else [weights]), how=how, size=PANEL)
        yield statement("return", mixture, indent=INDENT, sign=" ")
        yield from ("", "")

    def mixed(self, name: str, method: str) -> Iterator[str]:
        """The mixed map of a method; that of the input where there is nothing to mix."""
        if METHODS[method].domain is Domain.INPUT:
            yield from self.map(name, method)
        else:
            yield statement(name, call("mixed", text(method)))

    # -- the figure ------------------------------------------------------------------------------------------

    def figure(
        self,
        mode: str,
        fields: Iterable[str] = (),
        *,
        kind: str | None = None,
        of: str = "explanation",
        **given: str,
    ) -> Iterator[str]:
        """The figure of what is shown, with these fields of the view where they are not the defaults."""
        view: dict[str, str] = {}
        for name in (*fields, "opacity", "fade", "colormap"):
            value = self.field(name)
            if value is not None and value != schema.VIEW[name].default:
                view[name] = text(value) if isinstance(value, str) else repr(value)
        arguments = [of] if kind is None else [of, text(kind)]
        yield ""
        yield statement("picture", call("sc.figure", *arguments, **{**given, **view}))
        yield f'picture.save("{mode}.png")'


def _target(explanation: Explanation) -> str:
    """The class: by its label where no other class has the same."""
    label, target = explanation.label, explanation.target
    unique = explanation.subject.labels.count(label) == 1
    return text(label) if unique else str(target)


def _methods(needed: Iterable[str], *, all_others: bool = False) -> Expression | None:
    """None where those of the shared pass do, which are computed anyway."""
    names = list(dict.fromkeys(needed))
    if set(names) <= set(SINGLE_PASS):
        return None
    return sequence([*(["*SINGLE_PASS"] if all_others else []), *map(text, names)])


def _step(step: MetaStep | None) -> Expression | None:
    if step is None or step.lr == 0:
        return None
    size = None if step.lr == LEARNING_RATE else number(step.lr)
    return call("sc.MetaStep", lr=size, ascend="True" if step.ascend else None)


# -- the modes -----------------------------------------------------------------------------------------------


def _compare(shown: _Shown) -> Iterator[str]:
    left, right = shown.method("left"), shown.method("right")
    yield from shown.explained((left, right))
    yield ""
    if not _at_the_input(left, right):
        yield statement("layer", text(shown.layer))
    yield from shown.map("left", left)
    yield from shown.map("right", right)
    at = {} if _at_the_input(left, right) else {"layer": "layer"}
    yield from shown.figure("compare", ("left", "right", "scale"), **at)


def _mix(shown: _Shown) -> Iterator[str]:
    left, right = shown.method("left"), shown.method("right")
    yield from shown.explained((left, right))
    yield ""
    if not shown.weights:
        yield "# All weights are zero, so there is nothing to mix."
        return
    if not _at_the_input(left, right):
        yield from shown.mixing((left, right))
    yield from shown.mixed("left", left)
    yield from shown.mixed("right", right)
    if _at_the_input(left, right):
        yield from shown.figure("mix", ("left", "right", "scale"))
    else:
        yield from shown.figure("mix", ("left", "right", "how", "scale"), **shown.mixture)


def _framework(shown: _Shown) -> Iterator[str]:
    if shown.field("tab") == "layers":
        extra = [name for name in shown.explanation.methods if name not in SINGLE_PASS]
        yield from shown.explained(extra, all_others=True)
        yield from ("", *_every_map("explanation.methods"))
        yield from shown.figure("framework", kind="layers")
        return
    yield from shown.explained(())
    yield ""
    if not shown.field("mixed"):
        yield statement("layer", text(shown.layer))
        cell, given = "explanation.map(name, layer)", {"layer": "layer"}
    elif shown.weights:
        yield from shown.mixing(())
        cell, given = "mixed(name)", shown.mixture
    else:
        yield "# All weights are zero, so there is nothing to mix."
        return
    yield "cells = {}"
    yield "for name, method in sc.METHODS.items():"
    yield "    if method.cell:  # (extract, aggregate)"
    yield f"        cells[method.cell] = {cell}"
    fields = ("how",) if shown.field("mixed") else ()
    yield from shown.figure("framework", fields, kind="framework", **given)


def _classes(shown: _Shown) -> Iterator[str]:
    method, size = shown.method("left"), shown.field("epsilon")
    step = MetaStep(size, ascend=shown.ascend) if isinstance(size, float) and size else shown.explanation.meta
    yield from shown.explained_for_both("first, second", (method,), step)
    before = {"first": shown.explanation, "second": shown.other}.get(str(shown.field("difference")))
    if step is None:
        before = None
    if before is not None:
        yield statement("before", shown.question(before, (method,)))
    yield from ("", statement("layer", text(shown.layer)))
    if not shown.has(method, shown.layer):
        yield f"# {METHODS[method].title} has no map at this layer."
        return
    compared = call("sc.compare_classes", *(f"{each}.only({text(method)})" for each in ("first", "second")))
    yield statement("table", compared)
    yield statement("rho", call("table.correlation", text(method), "layer"))
    if METHODS[method].signed:
        yield from ("", "", "def scaled(explanation):")
        yield f"    values = resize(explanation.map({text(method)}, layer), {PANEL})"
        yield "    # As the colours have it: 1% of the values reach beyond their ends."
        yield '    return values / np.quantile(abs(values), 0.99, method="inverted_cdf")'
        yield from ("", "")
        maps = {each: f"scaled({each})" for each in ("first", "second", "before")}
    else:
        maps = {
            each: f"{each}.resized({text(method)}, layer, {PANEL})" for each in ("first", "second", "before")
        }
    yield statement("a", maps["first"])
    yield statement("b", maps["second"])
    if before is None:
        yield statement("difference", "a - b")
        both = {"of": "first", "other": "second", "layer": "layer"}
        yield from shown.figure("classes", ("left",), kind="classes", **both)
    else:
        after = "a" if before is shown.explanation else "b"
        yield statement("difference", f"{after} - {maps['before']}")


def _why(shown: _Shown) -> Iterator[str]:
    yield from shown.explained(AVERAGING_METHODS)
    yield ""
    yield statement("methods", sequence([text(name) for name in AVERAGING_METHODS]))
    yield from _every_map("methods")
    yield "# The share of the gradient's energy that averaging over all locations keeps."
    yield "kept = {layer.name: explanation.energy(layer) for layer in explanation.layers}"
    yield from shown.figure("why", kind="strip", methods="methods")


def _point(shown: _Shown) -> Iterator[str]:
    method, mixed = shown.method("left"), bool(shown.field("mixed")) and bool(shown.weights)
    yield from shown.explained((method,))
    yield ""
    if mixed and not _at_the_input(method):
        yield from shown.mixing((method,))
        yield from shown.mixed("values", method)
        given = shown.mixture
    else:
        if not _at_the_input(method):
            yield statement("layer", text(shown.layer))
        yield from shown.map("values", method)
        given = {} if _at_the_input(method) else {"layer": "layer"}
    boxes = schema.boxes_of(shown.field("boxes"))
    if boxes:
        listed = [f"({', '.join(number(edge) for edge in box)})" for box in boxes]
        yield "# Left, top, right and bottom in the pixels of the photo."
        yield statement("boxes", sequence(listed))
    yield from shown.figure("point", ("left", "how") if mixed else ("left",), kind="panel", **given)


def _every_map(methods: str) -> Iterator[str]:
    yield "maps = {}"
    yield f"for method in {methods}:"
    yield "    for layer in explanation.layers_of(method):"
    yield "        maps[method, layer.name] = explanation.map(method, layer)"


def _at_the_input(*methods: str) -> bool:
    return all(METHODS[name].domain is Domain.INPUT for name in methods)


_MODES: Mapping[str, Callable[[_Shown], Iterator[str]]] = {
    "compare": _compare,
    "mix": _mix,
    "framework": _framework,
    "classes": _classes,
    "why": _why,
    "point": _point,
}
