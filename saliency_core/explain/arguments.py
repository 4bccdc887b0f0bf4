"""The arguments of an explanation, checked: names, options, images, classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from saliency_core.errors import ArgumentError, ArgumentTypeError, TargetError
from saliency_core.inputs.preprocess import InputRegion
from saliency_core.methods.method import MultiPass
from saliency_core.methods.registry import METHODS
from saliency_core.models.classifier import Classifier
from saliency_core.models.targets import Goal, Target
from saliency_core.registry import listed

Options = Mapping[str, Mapping[str, float]]
"""Method -> option -> value, see :attr:`saliency_core.methods.method.Method.options`."""


def option_values(names: Sequence[str], options: Options | None) -> dict[str, dict[str, float]]:
    """For every many-pass method asked for, a value for each of its options."""
    if options is not None and not isinstance(options, Mapping):
        raise ArgumentTypeError(f"options is {options!r}; expected {{method: {{option: value}}}}")
    for name, given in (options or {}).items():
        title = METHODS[name].title
        if name not in names:
            raise ArgumentError(f"options are given for {title}, which is not among the methods asked for")
        if not METHODS[name].options:
            having = ", ".join(each for each, method in METHODS.items() if method.options)
            raise ArgumentError(f"{title} takes no options; those that do: {having}")
        if not isinstance(given, Mapping):
            raise ArgumentTypeError(f"the options of {title} are {given!r}; expected {{option: value}}")
    return {
        name: kind.values((options or {}).get(name))
        for name in names
        if isinstance(kind := METHODS[name].kind, MultiPass)
    }


def prepared_batch(
    classifier: Classifier, images: Sequence[Image.Image | Tensor] | Tensor, fit: str
) -> tuple[Tensor, list[InputRegion | None]]:
    """The inputs (N, C, H, W), and what each of them shows."""
    if isinstance(images, Image.Image):
        raise ArgumentTypeError("images is a single image; expected a sequence of images (explain takes one)")
    prepared: list[Tensor] = []
    regions: list[InputRegion | None] = []
    if isinstance(images, Tensor) and images.ndim == 4:
        images = images[:, None]
    for image in listed(images, "images", "a sequence of images"):
        if isinstance(image, Tensor):
            if image.ndim != 4 or len(image) != 1:
                several = "; explain_many takes several" if image.ndim == 4 and len(image) > 1 else ""
                raise ArgumentError(
                    f"image has shape {tuple(image.shape)}; expected one prepared image "
                    f"(1, {classifier.preprocess.channels}, H, W){several}"
                )
            prepared.append(image)
            regions.append((0.0, 0.0, float(image.shape[3]), float(image.shape[2])))
        else:
            x, region = classifier.prepare(image, fit)
            prepared.append(x)
            regions.append(region)
    if not prepared:
        raise ArgumentError("no images were given; expected at least one")
    shapes = dict.fromkeys(tuple(x.shape) for x in prepared)
    if len(shapes) > 1:
        raise ArgumentError(
            f"the prepared images have different shapes, {', '.join(map(str, shapes))}; explain them one "
            "by one"
        )
    if len(prepared) == 1:
        return prepared[0], regions
    return torch.cat([classifier.to_device(x) for x in prepared]), regions


def goal_per_image(
    classifier: Classifier, targets: Target | Sequence[Target] | None, count: int
) -> list[Goal] | None:
    """A class index or a function per image; None for the most likely classes."""
    if targets is None:
        return None
    if callable(targets):
        return [targets] * count
    if isinstance(targets, str) or not isinstance(targets, Iterable) or getattr(targets, "ndim", 1) == 0:
        return [classifier.class_index(targets)] * count  # type: ignore[arg-type]
    goals = [classifier.goal(target) for target in targets]
    if len(goals) != count:
        raise TargetError(f"{len(goals)} targets were given for {count} images; expected one each")
    return goals


def chosen_goals(classifier: Classifier, classes: Sequence[Target]) -> list[Goal]:
    """The indices of classes given by index or label, and the functions among them.

    Raises:
        ArgumentTypeError: a single class instead of a sequence.
        TargetError: no class, or one that does not exist.
    """
    expected = "a sequence of class indices, labels or functions of the class scores"
    if isinstance(classes, str):
        raise ArgumentTypeError(f"classes is {classes!r}; expected {expected}")
    chosen = [classifier.goal(target) for target in listed(classes, "classes", expected)]
    if not chosen:
        raise TargetError("no class was asked for; name at least one, or pass None for the extremes")
    return chosen
