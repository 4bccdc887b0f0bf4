"""From photos, a network and classes to every method's map at every layer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from saliency_core.backprop.attention import attention
from saliency_core.backprop.backward_rules import class_needed, obstacle
from saliency_core.backprop.capture import Capture, capture, capture_classes
from saliency_core.backprop.meta_step import MetaStep
from saliency_core.combine import FloatMap
from saliency_core.errors import ArgumentTypeError, TargetError, UnavailableError
from saliency_core.explain.arguments import (
    Options,
    chosen_goals,
    goal_per_image,
    option_values,
    prepared_batch,
)
from saliency_core.explain.maps import MapStack, check_finite, map_stacks, to_host
from saliency_core.explanation import Explanation
from saliency_core.explanation.subject import Subject
from saliency_core.inputs.preprocess import InputRegion
from saliency_core.methods.availability import unavailable
from saliency_core.methods.method import AttentionPass, Domain, MultiPass, SharedPass
from saliency_core.methods.registry import METHODS, SINGLE_PASS
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.models.layers import INPUT, Layer, choose_layers, layer_name
from saliency_core.models.targets import Goal, Target
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import chosen_names, listed

__all__ = ["SINGLE_PASS", "Explanation", "Subject", "explain", "explain_classes", "explain_many"]


def explain(
    classifier: Classifier,
    image: Image.Image | Tensor,
    target: Target | None = None,
    layers: Iterable[str | Layer] | None = None,
    methods: Iterable[str] | None = None,
    *,
    fit: str = "crop",
    meta: MetaStep | None = None,
    options: Options | None = None,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
) -> Explanation:
    """Explain one photo: one forward and one backward pass, every single-pass method at every layer.

    Methods with their own backward rule take one more pass each, for all layers together; those of a
    transformer's attention one for both. Many-pass methods run the network on many changed copies. The maps
    of the last two families are at the layer ``"input"``.

    Args:
        image: a PIL image, or a prepared tensor (1, C, H, W).
        target: class index or label; the most likely class if None. Or a function that is called with the
            class scores of one image, the logits (1, classes), and returns one number that has a gradient,
            such as ``lambda logits: logits[:, 3] - logits[:, 5]``: its value takes the place of the class's
            logit (in RISE, of its probability), and minus its value that of the loss in a meta step.
            Excitation backprop needs a class.
        layers: layers or their names, ``"input"`` too; the classifier's default stages if None.
        methods: names; every method of the shared pass if None.
        fit: how a PIL image is fitted to the input: ``"crop"``, ``"stretch"`` or ``"pad"``.
        meta: one gradient step before the explanation; ``probabilities`` are those before it,
            ``probabilities_after`` those after it.
        options: values for options of many-pass methods, ``{"rise": {"masks": 500}}``.
        progress: called with (passes done, passes in all) by many-pass methods; what it raises stops them.
        lock: entered for every batch of passes.

    Raises:
        UnknownNameError, LayerError, TargetError: an unknown name, with the choices.
        TargetError: a function that fails, or returns something else than one number with a gradient.
        UnavailableError: a method that is defined at none of the layers, with the reason. Where it is defined
            at some, it has no map at the others (see :meth:`Explanation.has`).
        ArgumentError, ArgumentTypeError: an image, option or list of names that cannot be used.
        NonFiniteError: NaN or infinity in the network.

    >>> e = explain(load_classifier("tf_efficientnet_lite0"), open_image("cat.jpg"))  # doctest: +SKIP
    >>> e.map("normgrad", "blocks.4").shape  # doctest: +SKIP
    (14, 14)
    """
    (found,) = explain_many(
        classifier,
        [image],
        None if target is None else [target],
        layers,
        methods,
        fit=fit,
        meta=meta,
        options=options,
        progress=progress,
        lock=lock,
    )
    return found


def explain_many(
    classifier: Classifier,
    images: Sequence[Image.Image | Tensor] | Tensor,
    targets: Target | Sequence[Target] | None = None,
    layers: Iterable[str | Layer] | None = None,
    methods: Iterable[str] | None = None,
    *,
    fit: str = "crop",
    meta: MetaStep | None = None,
    options: Options | None = None,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
) -> tuple[Explanation, ...]:
    """Explain several photos together: one forward and one backward pass for the batch.

    The maps are those of each photo alone, up to rounding. With a meta step, which changes the network for
    each photo, and for many-pass methods and those of attention the photos take their passes one after the
    other.

    Args:
        images: PIL images and prepared tensors (1, C, H, W), or one tensor (N, C, H, W), all of one size
            once prepared. Memory grows with their number.
        targets: one class or function for all, one per image, or None for each image's most likely class.
        layers, methods, fit, meta, options, progress, lock: as for :func:`explain`, which also lists the
            errors.
    """
    request = _checked_request(classifier, layers, methods, meta, options, progress, lock)
    start = time.perf_counter()
    batch, regions = prepared_batch(classifier, images, fit)
    photos = [
        _Photo(_subject(classifier, each, fit), region) for each, region in zip(images, regions, strict=True)
    ]
    goals = goal_per_image(classifier, targets, len(batch))
    request.check_goals(goals)
    if meta is None:
        with lock:
            first = capture(classifier, batch, goals, request.layers, convolutions=request.needs_convolutions)
        return request.answers(batch, photos, first, first.logits, start)
    found: list[Explanation] = []
    for index, photo in enumerate(photos):
        single, goal = batch[index : index + 1], None if goals is None else goals[index]
        found += request.answers_after_step(single, photo, goal, meta)
    return tuple(found)


def explain_classes(
    classifier: Classifier,
    image: Image.Image | Tensor,
    classes: Sequence[Target] | None = None,
    layers: Iterable[str | Layer] | None = None,
    methods: Iterable[str] | None = None,
    *,
    fit: str = "crop",
    meta: MetaStep | None = None,
    lock: Lock = NO_LOCK,
) -> tuple[Explanation, ...]:
    """Explain one photo for several classes: one forward pass, and one backward pass per class.

    With a meta step, which changes the network for each class, every class takes its own passes.

    Args:
        classes: indices, labels or functions of the class scores; the most and the least likely class if
            None.
        image, layers, methods, fit, meta, lock: as for :func:`explain`, which also lists the errors.

    Raises:
        TargetError: no class; or none given, where all classes are equally likely or there is one only.
    """
    request = _checked_request(classifier, layers, methods, meta, None, no_progress, lock)
    start = time.perf_counter()
    batch, (region,) = prepared_batch(classifier, [image], fit)
    photo = _Photo(_subject(classifier, image, fit), region)
    chosen = None if classes is None else chosen_goals(classifier, classes)
    request.check_goals(chosen)
    if meta is None and not request.needs_convolutions:
        with lock:
            captures = capture_classes(
                classifier, batch, lambda logits: chosen or _extremes(logits), request.layers
            )
        return tuple(
            request.answers(batch, [photo], captured, captured.logits, start)[0] for captured in captures
        )
    if chosen is None:
        with lock, torch.no_grad():
            chosen = _extremes(classifier.scores(classifier.to_device(batch).clone())[0])
    found: list[Explanation] = []
    for goal in chosen:
        if meta is not None:
            found += request.answers_after_step(batch, photo, goal, meta)
            continue
        with lock:
            captured = capture(classifier, batch, goal, request.layers, convolutions=True)
        found += request.answers(batch, [photo], captured, captured.logits, start)
    return tuple(found)


def _extremes(logits: Tensor) -> list[Goal]:
    """The most and the least likely class."""
    if len(logits) == 1:
        raise TargetError("the network has a single class, so there is no other one to compare it with")
    most, least = int(logits.argmax()), int(logits.argmin())
    if most == least:
        raise TargetError(
            "all classes are equally likely, so none is the most and another the least likely; name the "
            "classes"
        )
    return [most, least]


@dataclass(frozen=True)
class _Photo:
    """One image of a batch: what its explanation is of, and what part of it the network sees."""

    subject: Subject
    region: InputRegion | None


def _subject(classifier: Classifier, image: Image.Image | Tensor, fit: str) -> Subject:
    return Subject.of(classifier, image if isinstance(image, Image.Image) else None, fit)


@dataclass(frozen=True)
class _Request:
    """What is computed for every image: layers and methods, checked, with the options of each method."""

    classifier: Classifier
    layers: tuple[str, ...]
    names: tuple[str, ...]
    meta: MetaStep | None
    options: Mapping[str, Mapping[str, float]]
    progress: ProgressCallback
    lock: Lock

    @property
    def needs_convolutions(self) -> bool:
        return any(METHODS[name].domain is Domain.CONVOLUTIONS for name in self.names)

    def check_goals(self, goals: Sequence[Goal] | None) -> None:
        """Refuse functions of the class scores for methods that need a class."""
        for name in self.names:
            if (reason := class_needed(METHODS[name].rule, goals or ())) is not None:
                raise UnavailableError(f"{METHODS[name].title} is not available: {reason}")

    def answers_after_step(
        self, image: Tensor, photo: _Photo, goal: Goal | None, meta: MetaStep
    ) -> tuple[Explanation, ...]:
        """The explanation of one image (1, C, H, W) by the network after its meta step."""
        start = time.perf_counter()
        with contextlib.ExitStack() as stack:
            with self.lock:
                after = stack.enter_context(meta.modified(self.classifier, image, goal))
            with self.lock:
                first = capture(
                    self.classifier,
                    image,
                    after.targets[0],
                    self.layers,
                    convolutions=self.needs_convolutions,
                    network=after.network,
                )
            return self.answers(image, [photo], first, after.logits, start, after.network)

    def answers(
        self,
        batch: Tensor,
        photos: Sequence[_Photo],
        first: Capture,
        logits: Tensor,
        start: float,
        network: nn.Module | None = None,
    ) -> tuple[Explanation, ...]:
        """The explanations of a batch (N, C, H, W) whose shared pass is done."""
        with self.lock:
            shared = [name for name in self.names if isinstance(METHODS[name].kind, SharedPass)]
            stacks = map_stacks(first, shared, with_energy=True)
            energies = torch.stack([each.energy for each in stacks if each.energy is not None], dim=1)
        for rule in dict.fromkeys(rule for name in self.names if (rule := METHODS[name].rule)):
            with self.lock:
                second = capture(
                    self.classifier,
                    batch,
                    first.targets,
                    [layer for layer in self.layers if obstacle(self.classifier, rule, layer) is None],
                    rule=rule,
                    plain_logits=first.logits,
                    network=network,
                )
                stacks += map_stacks(second, [name for name in self.names if METHODS[name].rule is rule])
        stacks += self._of_attention(batch, first.targets, first.logits, network)
        stacks += self._at_the_input(batch, first.targets)
        # The same without a meta step.
        before, after = (self.classifier.probabilities(each.detach()) for each in (logits, first.logits))
        rows = to_host([before, after, energies, *(stack.maps for stack in stacks)])
        layers = tuple(Layer(name, *pair.activation.shape[1:]) for name, pair in first.layers.items())
        explanations = []
        for goal, photo, (probability, stepped, shares, *arrays) in zip(
            first.targets, photos, rows, strict=True
        ):
            maps: dict[tuple[str, str], FloatMap] = {}
            for stack, array in zip(stacks, arrays, strict=True):
                check_finite(stack, array)
                maps |= {(name, stack.layer): array[row] for row, name in enumerate(stack.names)}
            explanations.append(
                Explanation(
                    target=None if callable(goal) else goal,
                    function=goal if callable(goal) else None,
                    label=self.classifier.goal_label(goal),
                    probabilities=probability,
                    layers=layers,
                    methods=self.names,
                    box=photo.region,
                    size=(int(batch.shape[2]), int(batch.shape[3])),
                    channels=int(batch.shape[1]),
                    seconds=(time.perf_counter() - start) / len(batch),
                    meta=self.meta,
                    probabilities_after=None if self.meta is None else stepped,
                    random_weights=self.classifier.random_weights,
                    subject=photo.subject,
                    _maps=maps,
                    _energy=dict(zip(first.layers, shares.tolist(), strict=True)),
                )
            )
        return tuple(explanations)

    def _of_attention(
        self, batch: Tensor, goals: Sequence[Goal], logits: Tensor, network: nn.Module | None
    ) -> list[MapStack]:
        """The maps of the methods made for transformers, one value per patch, from one pass per image."""
        kinds = {name: kind for name in self.names if isinstance(kind := METHODS[name].kind, AttentionPass)}
        if not kinds:
            return []
        gradients = any(kind.gradients for kind in kinds.values())
        maps = []
        for index, goal in enumerate(goals):
            with self.lock:
                found = attention(
                    self.classifier,
                    batch[index : index + 1],
                    goal if gradients else None,
                    plain_logits=logits[index : index + 1],
                    network=network,
                )
                with torch.inference_mode(), without_autocast(logits.device):
                    maps.append(torch.stack([kind.compute(found) for kind in kinds.values()]))
        return [MapStack(INPUT, list(kinds), torch.stack(maps))]

    def _at_the_input(self, batch: Tensor, goals: Sequence[Goal]) -> list[MapStack]:
        """The maps of the many-pass methods, image by image, with one count of passes for all."""
        kinds = {name: kind for name in self.names if isinstance(kind := METHODS[name].kind, MultiPass)}
        size = (int(batch.shape[2]), int(batch.shape[3]))
        passes = {name: kind.passes(self.options[name], size) for name, kind in kinds.items()}
        total, before = len(batch) * sum(passes.values()), 0
        stacks = []
        for name, kind in kinds.items():
            maps = []
            for index, goal in enumerate(goals):

                def report(done: int, _: int, before: int = before) -> None:
                    self.progress(before + done, total)

                image = batch[index : index + 1]
                maps.append(
                    kind.run(
                        self.classifier, image, goal, self.options[name], progress=report, lock=self.lock
                    )
                )
                before += passes[name]
            stacks.append(MapStack(INPUT, [name], torch.stack(maps)[:, None]))
        return stacks


def _checked_request(
    classifier: Classifier,
    layers: Iterable[str | Layer] | None,
    methods: Iterable[str] | None,
    meta: MetaStep | None,
    options: Options | None,
    progress: ProgressCallback,
    lock: Lock,
) -> _Request:
    """Layers, methods, meta step and options, checked."""
    if not isinstance(classifier, Classifier):
        raise ArgumentTypeError(
            f"classifier is a {type(classifier).__name__}; expected a Classifier (see Classifier(module) and "
            "load_classifier)"
        )
    if meta is not None and not isinstance(meta, MetaStep):
        raise ArgumentTypeError(f"meta is {meta!r}; expected a MetaStep, or None")
    names = SINGLE_PASS if methods is None else chosen_names(methods, "method")
    for name in names:
        METHODS[name]
    chosen = classifier.default_layers
    if layers is not None:
        expected = "layers or their names, or None"
        given = (layers,) if isinstance(layers, str | Layer) else listed(layers, "layers", expected)
        chosen = choose_layers(classifier.survey, [layer_name(layer) for layer in given])
    # A method takes the layers at which it is defined; there must be one.
    for name in names:
        places = (None,) if layers is None else chosen
        reasons = [unavailable(classifier, name, layer) for layer in places]
        if None not in reasons:
            raise UnavailableError(f"{METHODS[name].title} is not available: {reasons[0]}")
    if meta is not None and (slow := [name for name in names if isinstance(METHODS[name].kind, MultiPass)]):
        raise UnavailableError(
            f"{METHODS[slow[0]].title} is not available after a meta step; leave it out, or take no step"
        )
    return _Request(classifier, chosen, names, meta, option_values(names, options), progress, lock)
