"""Fitting a state dict to a network: names, the number of classes, and what is wrong, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor, nn

from saliency_core.models.initialisation import Seeded, skeleton
from saliency_core.models.weights.checkpoint import assign
from saliency_core.models.weights.misfit import MisfitError

PREFIXES: Final = frozenset(
    {"module", "model", "backbone", "net", "network", "encoder", "_orig_mod", "ema", "ema_model", "model_ema"}
)
"""Parts of names that training code puts before a network's own."""
COMPUTED: Final = frozenset(
    {"num_batches_tracked", "relative_position_index", "relative_coords_table", "attn_mask", "position_ids"}
)
"""Last parts of the names of buffers that a network computes when it is built, or does not read."""
COUNTERS: Final = frozenset({"total_ops", "total_params", "n_averaged", "num_updates", "queue", "queue_ptr"})
"""Last parts of the names of what training tools keep among the weights."""
AUXILIARY: Final = frozenset({"aux1", "aux2", "AuxLogits", "aux_head", "aux_classifier"})
"""First parts of the names of heads that only run in training."""
EXTRA_HEADS: Final = AUXILIARY | {
    *("projector", "projection", "projection_head", "proj_head", "predictor", "contrastive_head"),
    *("decoder", "mask_token", "criterion", "loss", "loss_fn", "rotation_head"),
}
"""First parts of the names of what some training adds beside the network."""
METRICS: Final = re.compile(r"(train|val|valid|validation|test)_.*|metrics?|.*_metrics?")
"""First parts of the names of scores that training code keeps as modules."""
COLOURS: Final = 3
SHOWN: Final = 3


@dataclass(frozen=True)
class FitReport:
    """How a state dict fits a network.

    Attributes:
        classes: the number of classes of its head.
        channels: the number of channels of its input, None if that of the architecture.
        names: the network's names -> those of the state dict.
        copies: tensors of the state dict that are second copies under another prefix.
        ignored: tensors of heads or tools that the network does not have.
        absent: buffers and training-only heads that the state dict lacks.
        not_finite: tensors that contain NaN or infinity.
    """

    classes: int
    names: Mapping[str, str]
    channels: int | None = None
    copies: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    not_finite: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in sentences."""
        notes = []
        if self.ignored:
            notes.append(f"Not used, because the network has no place for them: {shortened(self.ignored)}.")
        if self.copies:
            notes.append(f"A second copy of the weights is not used: {shortened(self.copies)}.")
        if self.not_finite:
            notes.append(f"The weights contain NaN or infinity: {shortened(self.not_finite)}.")
        return tuple(notes)


def fit_state(
    build: Callable[[], nn.Module],
    state: Mapping[str, Tensor],
    *,
    what: str = "The checkpoint",
    title: str = "the network",
) -> tuple[nn.Module, FitReport]:
    """The network that ``build`` makes, with the weights of a state dict and as many classes as it has.

    Names fit with or without any of :data:`PREFIXES`, several of them nested. The rules:

    - Every parameter and buffer of the network must be in the state dict, with its shape: never a network
      that is random in part. Exceptions: buffers that it computes itself (:data:`COMPUTED`) and heads that
      only run in training (:data:`AUXILIARY`).
    - The head may have another number of classes: linear layers and convolutions of which the first dimension
      alone differs are made anew, provided that all of them agree. So is the convolution that reads the three
      colours, where the state dict's reads another number of channels.
    - Tensors that the network does not have are an error, since it would compute something else without
      them. Exceptions: second copies under another prefix, further heads (:data:`EXTRA_HEADS`), and what
      tools keep (:data:`METRICS`, :data:`COUNTERS`, :data:`COMPUTED`).

    Raises:
        MisfitError: what is missing, misshapen or too much.
    """
    network = skeleton(build)
    report = fit(network, state, what=what, title=title)
    put(network, state, report, build)
    return network, report


def fit(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    what: str = "The checkpoint",
    title: str = "the network",
) -> FitReport:
    """How the state dict fits; the network's head gets its number of classes.

    Only names, shapes and types are needed: the tensors may be on the device ``"meta"``.

    Raises:
        MisfitError: as :func:`fit_state`.
    """
    wanted = network.state_dict()
    names, copies = _named(state, wanted)
    shapes = {name: state[of].shape for name, of in names.items()}
    channels = _set_channels(network, shapes)
    if _set_classes(network, shapes) or _add_head(network, state):
        names, copies = _named(state, network.state_dict())
    wanted = network.state_dict()
    used = set(names.values())
    missing = [name for name in wanted if name not in names]
    absent = [name for name in missing if _last(name) in COMPUTED or _first(name) in AUXILIARY]
    lacking = [name for name in missing if name not in absent]
    misshapen = [name for name, of in names.items() if state[of].shape != wanted[name].shape]
    kinds = [
        name
        for name, of in names.items()
        if name not in misshapen and state[of].is_floating_point() != wanted[name].is_floating_point()
    ]
    left = [name for name in state if name not in used and name not in copies]
    ignored = [name for name in left if _is_extra(name, network)]
    unknown = [name for name in left if name not in ignored]
    if lacking or misshapen or kinds or unknown:
        raise _misfit(
            f"{what} does not fit {title}",
            state,
            wanted,
            names,
            lacking=lacking,
            misshapen=misshapen,
            kinds=kinds,
            unknown=unknown,
        )
    return FitReport(
        classes=class_count(network),
        names=names,
        channels=channels,
        copies=tuple(copies),
        ignored=tuple(ignored),
        absent=tuple(absent),
        not_finite=tuple(
            of
            for of in names.values()
            if state[of].is_floating_point() and not state[of].is_meta and not torch.isfinite(state[of]).all()
        ),
    )


def put(
    network: nn.Module, state: Mapping[str, Tensor], report: FitReport, build: Callable[[], nn.Module]
) -> None:
    """Give a fitted network its tensors; what the state dict does not have is taken from one built anew."""
    assign(network, {name: state[of] for name, of in report.names.items()}, strict=False)
    empty = [
        name for name, tensor in (*network.named_parameters(), *network.named_buffers()) if tensor.is_meta
    ]
    if empty:
        with Seeded(0), torch.device("cpu"):
            whole = build()
        tensors = dict((*whole.named_parameters(), *whole.named_buffers()))
        for name in empty:
            module_name, _, own = name.rpartition(".")
            module = network.get_submodule(module_name)
            kind = module._parameters if own in module._parameters else module._buffers
            kind[own] = tensors[name]  # type: ignore[assignment]


def class_count(network: nn.Module) -> int:
    """The number of classes: what timm's networks say, else the width of the last layer with weights."""
    stated = getattr(network, "num_classes", None)
    if type(stated) is int and stated > 0:
        return stated
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return len(weights[-1]) if weights else 0


def shortened(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(list(names)[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _named(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The network's names -> the state dict's, and further tensors of the same names under other prefixes.

    The prefix under which most names fit comes first, of several that of averaged weights.
    """
    prefixes = {""}.union(*(_prefixes(name) for name in state))
    fitting = {prefix: [name for name in wanted if prefix + name in state] for prefix in prefixes}
    names: dict[str, str] = {}
    copies: list[str] = []
    order = {prefix: (-len(fitting[prefix]), "ema" not in prefix, len(prefix), prefix) for prefix in prefixes}
    for prefix in sorted(prefixes, key=order.__getitem__):
        for name in fitting[prefix]:
            if names.setdefault(name, prefix + name) != prefix + name:
                copies.append(prefix + name)
    return names, tuple(copies)


def _prefixes(name: str) -> Iterable[str]:
    """``"module."`` and ``"module.model."`` of ``"module.model.conv.weight"``."""
    words = []
    for word in name.split(".")[:4]:
        if word not in PREFIXES:
            break
        words.append(f"{word}.")
    return accumulate(words)


def _set_channels(network: nn.Module, shapes: Mapping[str, torch.Size]) -> int | None:
    """Give the convolution that reads the colours the state dict's number of channels, if that differs."""
    found = []
    for name, module in network.named_modules():
        shape = shapes.get(f"{name}.weight")
        if isinstance(module, nn.Conv2d) and shape is not None and len(shape) == 4:
            own = module.weight.shape
            if own[1] == COLOURS and 0 != shape[1] != own[1] and (shape[0], *shape[2:]) == (own[0], *own[2:]):
                found.append((module, shape))
    if len(found) != 1:
        return None
    module, shape = found[0]
    module.weight = nn.Parameter(module.weight.new_zeros(shape))
    module.in_channels = shape[1]
    return shape[1]


def _set_classes(network: nn.Module, shapes: Mapping[str, torch.Size]) -> bool:
    """Give the heads the state dict's number of classes; whether they have changed.

    Heads are the layers whose first dimension alone differs, where they agree on one number of classes.
    """
    heads = []
    for name, module in network.named_modules():
        shape = shapes.get(f"{name}.weight" if name else "weight")
        if not isinstance(module, nn.Linear | nn.Conv2d) or shape is None:
            continue
        own = module.weight.shape
        if len(shape) == len(own) and shape[1:] == own[1:] and shape[0] != own[0] and shape[0]:
            heads.append((module, shape[0]))
    if len({(len(module.weight), classes) for module, classes in heads}) != 1:
        return False
    for module, classes in heads:
        weight = module.weight
        module.weight = nn.Parameter(weight.new_zeros((classes, *weight.shape[1:])))
        if module.bias is not None:
            module.bias = nn.Parameter(weight.new_zeros(classes))
        if isinstance(module, nn.Linear):
            module.out_features = classes
        else:
            module.out_channels = classes
    for each in network.modules():
        if type(getattr(each, "num_classes", None)) is int:
            each.num_classes = heads[0][1]  # type: ignore[assignment]
    return True


def _add_head(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Give a network of timm without a head the one that the state dict has; whether it has changed."""
    reset = getattr(network, "reset_classifier", None)
    name = getattr(network, "pretrained_cfg", {}).get("classifier")
    if getattr(network, "num_classes", None) != 0 or reset is None or not isinstance(name, str):
        return False
    classes = {
        len(tensor)
        for key, tensor in state.items()
        if tensor.ndim > 1 and f".{key}".endswith(f".{name}.weight")
    }
    if len(classes) != 1:
        return False
    parameter = next(network.parameters(), torch.empty(0))
    with parameter.device:
        reset(classes.pop())
    return True


def _is_extra(name: str, network: nn.Module) -> bool:
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in PREFIXES:
        parts.pop(0)
    if parts[-1] in COUNTERS | COMPUTED:
        return True
    extra = parts[0] in EXTRA_HEADS or METRICS.fullmatch(parts[0]) is not None
    return extra and not isinstance(getattr(network, parts[0], None), nn.Module | torch.Tensor)


def _misfit(
    start: str,
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    names: Mapping[str, str],
    *,
    lacking: list[str],
    misshapen: list[str],
    kinds: list[str],
    unknown: list[str],
) -> MisfitError:
    fits = len(names) - len(misshapen) - len(kinds)
    few = fits < len(wanted) / 2
    said = []
    if lacking:
        said.append(f"{_tensors(lacking)} missing ({shortened(lacking)})")
    if misshapen:
        shown = [
            f"{name} is {_sides(state[names[name]])} in the file and {_sides(wanted[name])} in the network"
            for name in misshapen
        ]
        said.append(f"{_tensors(misshapen)} of another shape ({shortened(shown)})")
    if kinds:
        said.append(f"{_tensors(kinds)} of another type ({shortened(kinds)})")
    if unknown:
        said.append(f"{_tensors(unknown)} not part of the network ({shortened(unknown)})")
    first = f"{fits} of the network's {len(wanted)} tensors fit" if few else ""
    text = f"{start}: {'; '.join(filter(None, (first, *said)))}."
    if not few and any(_last(name) in ("pos_embed", "pos_embedding") for name in misshapen):
        text += " The position embedding belongs to another input size: choose the architecture of that size."
    if not few and not misshapen and not unknown and _only_heads(lacking, wanted):
        text += " It has no classifier, which a network needs to be explained: save the whole network."
    return MisfitError(text, few=few)


def _only_heads(lacking: list[str], wanted: Mapping[str, Tensor]) -> bool:
    """Whether the last weight and bias are all that is missing."""
    tail = list(wanted)[-len(lacking) :]
    return 0 < len(lacking) <= 4 and lacking == tail


def _tensors(names: Collection[str]) -> str:
    return "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def _sides(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a number"


def _first(name: str) -> str:
    return name.split(".", 1)[0]


def _last(name: str) -> str:
    return name.rpartition(".")[2]
