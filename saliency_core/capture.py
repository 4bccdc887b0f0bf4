"""One forward and one backward pass give the activation and the gradient at every layer asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_core.classifier import Classifier
from saliency_core.errors import LayerError, NonFiniteError, TargetError
from saliency_core.layers import choose_layers


@dataclass(frozen=True)
class LayerCapture:
    """A layer's output ``x`` and ``g = dy_c/dx`` for the class logit ``y_c``, both (N, C, H, W)."""

    activation: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Capture:
    """What one pass gives: the logits (N, classes), the class explained per image, x and g per layer."""

    logits: Tensor
    targets: Tensor
    layers: Mapping[str, LayerCapture]


def capture(
    classifier: Classifier,
    batch: Tensor,
    target: int | str | Sequence[int | str] | None = None,
    layers: Iterable[str] | None = None,
) -> Capture:
    """Activation and gradient of a class logit at several layers, from one forward and one backward pass.

    The tensors recorded are the layers' true outputs: the network goes on with a copy, so an in-place
    operation that follows (a ReLU after a BatchNorm, a sum) cannot change them. The network is left as
    it was: no ``.grad``, no mode, no ``requires_grad`` changes, also when the call raises. Safe to call
    from many threads with one classifier.

    Args:
        batch: (N, 3, H, W), prepared inputs.
        target: a class index or label for all images, one per image, or None for each one's most likely.
        layers: names; the classifier's default stages if None.

    Raises:
        LayerError: an unknown layer, or one that the class score does not depend on.
        TargetError: a class that does not exist, or not one per image.
        NonFiniteError: the network's scores contain NaN or infinity.
    """
    names = classifier.default_layers if layers is None else choose_layers(classifier.survey, layers)
    wanted = frozenset(names)
    recorded: dict[str, Tensor] = {}

    def visit(name: str, output: object) -> Tensor | None:
        if name not in wanted:
            return None
        if name in recorded or not isinstance(output, Tensor) or output.ndim != 4:
            raise LayerError(f"no map at layer {name!r} for this input: it needs one (N, C, H, W) output")
        # Where no gradient is tracked yet the graph starts here: nothing before it is stored.
        kept = output if output.requires_grad else output.detach().requires_grad_()
        recorded[name] = kept
        return kept.clone()

    with torch.inference_mode(False), torch.enable_grad():
        inputs = classifier.to_device(batch).clone()
        with classifier.taps.recording(visit):
            logits = classifier.module(inputs)
        if not torch.isfinite(logits).all():
            raise NonFiniteError(
                "the network's class scores contain NaN or infinity for this image, so nothing can be "
                "explained; check its weights and the input"
            )
        targets = _targets(classifier, logits, target)
        score = logits.gather(1, targets[:, None]).sum()
        if not score.requires_grad:
            raise LayerError(f"the class score does not depend on {', '.join(names)}; choose other layers")
        outputs = [recorded[name] for name in names]
        gradients = torch.autograd.grad(score, outputs, allow_unused=True)
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            raise LayerError(f"the class score does not depend on layer {name!r}; choose another one")
    pairs = zip(names, outputs, gradients, strict=True)
    return Capture(logits.detach(), targets, {name: LayerCapture(x.detach(), g) for name, x, g in pairs})


def _targets(
    classifier: Classifier, logits: Tensor, target: int | str | Sequence[int | str] | None
) -> Tensor:
    """Class indices, (N,), on the device of the logits."""
    if target is None:
        return logits.argmax(dim=1).detach()
    if isinstance(target, Tensor):
        target = target.tolist()
    if isinstance(target, Sequence) and not isinstance(target, str):
        indices = [classifier.class_index(one) for one in target]
        if len(indices) != len(logits):
            raise TargetError(
                f"{len(indices)} targets were given for {len(logits)} images; expected one each"
            )
    else:
        indices = [classifier.class_index(target)] * len(logits)
    return torch.tensor(indices, device=logits.device)
