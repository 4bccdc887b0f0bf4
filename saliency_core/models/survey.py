"""What a network consists of, found by dry passes: its layers with maps, and why the others have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from saliency_core.errors import NetworkError, first_line
from saliency_core.models.hooks import LayerHooks, Visit, can_be_recorded
from saliency_core.models.layers import Layer, Survey
from saliency_core.models.layouts import (
    Grid,
    Layout,
    Observation,
    Shape,
    describe,
    find_layouts,
    no_certain_layout,
    no_layout,
)
from saliency_core.models.places import Differences, changed_in_parts, differences, find_places
from saliency_core.models.running import logits_of
from saliency_core.models.stages import default_layers

MIN_LAYERS = 2
"""With fewer layers there is no depth to compare."""

STEP = 32
"""The sides of a second input differ by multiples of it, so that layers with a stride up to it follow."""

AT_ONCE = 32
"""Layers whose gradients are taken together: about those of two blocks of a transformer."""

REENTRANT = "CheckpointFunctionBackward"
"""The node of ``torch.utils.checkpoint`` that works with ``.backward()`` only."""

PHOTO_CHANNELS = (1, 3)
"""Those of grey images and of colour images."""

COMMON_SIZES = (28, 32, 48, 64, 84, 96, 112, 128, 160, 192, 224, 227, 240, 256, 288, 299, 320, 384, 448, 518)


def survey(
    network: nn.Module, modules: Mapping[str, nn.Module], hooks: LayerHooks, example: Tensor
) -> Survey:
    """Find the layers with maps by a few passes on noise.

    1. A pass with another height than width, without gradients. A network that takes square inputs
       only raises; the layers up to there have been seen. Of one that resizes its inputs itself, this pass
       shows nothing and is left out.
    2. A pass with a batch of two square inputs, without gradients. The axes of a map follow the inputs
       of both passes; those of attention matrices, windows and class scores do not. The two differ in a few
       parts only. Where shapes leave a doubt, as those of tokens do, the layer's outputs must differ most at
       these parts (see :mod:`saliency_core.models.places`).
    3. The pass of step 2 with gradients and recordings as :func:`~saliency_core.backprop.capture.capture`
       makes them. A layer stays if the class scores depend on its recording, at other tokens than class
       tokens too, and recording it does not change them.

    Raises ``NetworkError`` when the network cannot process the example, does not return class scores or has
    no layer with maps.
    """
    wide = _wide_pass(network, hooks, example)
    square = _square_pass(network, modules, hooks, example, wide)
    once = {name: seen for name, seen in wide.items() if square.calls[name] == 1}
    if once and all(seen.shape[1:] == square.shape(name)[1:] for name, seen in once.items()):
        # The network brings its inputs to one size itself: another size shows nothing.
        wide = {}
        square = _square_pass(network, modules, hooks, example, {})
    logits = square.logits
    if not isinstance(logits, Tensor) or logits.ndim not in (1, 2) or len(logits) != square.batch:
        given = describe(square.observe(logits)) if isinstance(logits, Tensor) else type(logits).__name__
        raise NetworkError(f"the network returned {given}; expected class scores of shape (N, classes)")
    if not logits.is_floating_point() or not logits.numel():
        kind = str(logits.dtype).removeprefix("torch.")
        given = (
            f"{kind} numbers" if logits.numel() else f"{describe(square.observe(logits))}, no class at all"
        )
        raise NetworkError(f"the network returned {given}; expected class scores, which are real numbers")

    refused = {
        name: "it does not run in a forward pass" if can_be_recorded(module) else "it is a compiled program"
        for name, module in modules.items()
        if name not in square.outputs
    }
    candidates: dict[str, tuple[Layout, ...]] = {}
    grids = _grids(square, wide)
    for name, output in square.outputs.items():
        found = _candidates(output, wide.get(name), square.calls[name], grids)
        if isinstance(found, str):
            refused[name] = found
        else:
            candidates[name] = found
    layouts = _chosen(candidates, square)
    refused |= {
        name: no_certain_layout(output.observation, candidates[name][0])
        for name, output in square.outputs.items()
        if name in candidates and name not in layouts and output.observation is not None
    }
    layers = {
        name: Layer(name, output.shape[layouts[name].axes.index("C")], *layouts[name].grid)
        for name, output in square.outputs.items()
        if name in layouts
    }
    refused |= _unrecordable(network, hooks, square, layouts)
    unread = {name for name in layouts if name in refused}
    # In the order in which they finish; layouts only of those that stay.
    layers = {name: layer for name, layer in layers.items() if name not in refused}
    layouts = {name: layouts[name] for name in layers}
    if not layers:
        raise NetworkError(_nothing_to_explain(square, refused))
    return Survey(
        layers=tuple(layers.values()),
        stages=default_layers(
            layers,
            {name: output.shape for name, output in square.outputs.items()},
            {name for name, output in square.outputs.items() if output.unchanged},
            {name: type(module) for name, module in modules.items() if any(module.children())},
            tokens={name for name in layers if "T" in layouts[name].axes},
            unread=unread,
        ),
        layouts=layouts,
        refused=refused,
        classes=logits.shape[1] if logits.ndim == 2 else 1,
        notice=_notice(layers, square, refused),
    )


@dataclass(frozen=True)
class _Output:
    """What a layer returned in the square pass."""

    observation: Observation | None
    """None when it is not a tensor."""
    kind: str
    tensor: Tensor | None = field(repr=False)
    version: int
    """The number of changes in place so far."""
    unchanged: bool
    """Whether the layer returned what it was given, as an ``Identity`` does."""
    differences: Differences | None = field(default=None, repr=False)
    """Of the outputs for the two images, where the shape does not tell what its axes are."""

    @property
    def shape(self) -> Shape:
        return self.observation.shape if self.observation else ()


@dataclass
class _Square:
    """The pass on a batch of square inputs."""

    inputs: Tensor
    logits: object = None
    outputs: dict[str, _Output] = field(default_factory=dict)
    """By layer, in the order in which they finish."""
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def batch(self) -> int:
        return len(self.inputs)

    def shape(self, name: str) -> Shape:
        """The shape that a layer returned; empty if it did not run or returned no tensor."""
        return self.outputs[name].shape if name in self.outputs else ()

    def observe(self, output: Tensor, rows_sum_to_one: bool = False) -> Observation:
        return _observe(output, self.inputs, rows_sum_to_one)

    @property
    def changed_in_place(self) -> dict[str, None]:
        """Layers whose output an operation that follows them changes."""
        return {
            name: None
            for name, output in self.outputs.items()
            if output.tensor is not None and _version(output.tensor) != output.version
        }


def _observe(output: Tensor, inputs: Tensor, rows_sum_to_one: bool = False) -> Observation:
    batch, _, height, width = inputs.shape
    return Observation(tuple(output.shape), batch, height, width, rows_sum_to_one)


def _version(tensor: Tensor) -> int:
    """The number of changes in place; PyTorch does not count those of tensors made in inference mode."""
    return 0 if tensor.is_inference() else tensor._version


def _noise(example: Tensor, *shape: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(shape, generator=generator, device="cpu").to(example.device, example.dtype)
    return noise.contiguous(memory_format=_format(example))


def _format(example: Tensor) -> torch.memory_format:
    ordinary = example.is_contiguous()
    return torch.contiguous_format if ordinary else torch.channels_last


def _run(network: nn.Module, hooks: LayerHooks, inputs: Tensor, visit: Visit) -> object:
    """The network's class scores, with the same random numbers every time should it draw any."""
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(devices), hooks.recording(visit):
        # Not torch.manual_seed: it would seed all devices, also those whose state is not kept here.
        torch.default_generator.manual_seed(0)
        for device in devices:
            torch.cuda.default_generators[device.index].manual_seed(0)
        return logits_of(network(inputs.clone()))


def _wide_pass(network: nn.Module, hooks: LayerHooks, example: Tensor) -> dict[str, Observation]:
    """The shapes for an input that is wider than high, of all layers that take it."""
    channels, height, width = example.shape[1:]
    step = STEP * -(-min(height, width) // (4 * STEP))
    inputs = _noise(example, 1, channels, height + step, width + 2 * step)
    seen: dict[str, Observation] = {}

    def visit(name: str, _inputs: tuple[object, ...], output: object) -> None:
        if isinstance(output, Tensor):
            seen.setdefault(name, _observe(output, inputs))

    try:
        with torch.no_grad():
            _run(network, hooks, inputs, visit)
    except Exception:  # whatever the network raises: it takes no such input
        return seen
    return seen


def _square_pass(
    network: nn.Module,
    modules: Mapping[str, nn.Module],
    hooks: LayerHooks,
    example: Tensor,
    wide: Mapping[str, Observation],
) -> _Square:
    """A batch of two, or of one for a network that takes no more."""
    observe = partial(_observed, network, modules, hooks, wide)
    try:
        first, second = _noise(example, 2, *example.shape[1:]).chunk(2)
        return observe(changed_in_parts(first, second).contiguous(memory_format=_format(example)))
    except Exception as error:
        try:
            return observe(example)
        except Exception:
            raise NetworkError(_cannot_run(network, example, error)) from error


def _observed(
    network: nn.Module,
    modules: Mapping[str, nn.Module],
    hooks: LayerHooks,
    wide: Mapping[str, Observation],
    inputs: Tensor,
) -> _Square:
    square = _Square(inputs)
    versions: dict[nn.Module, tuple[Tensor, int]] = {}

    def note(module: nn.Module, args: tuple[object, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            versions[module] = (args[0], _version(args[0]))

    def visit(name: str, _args: tuple[object, ...], output: object) -> None:
        square.calls[name] += 1
        if not isinstance(output, Tensor):
            square.outputs[name] = _Output(None, type(output).__name__, None, 0, False)
            return
        given, version = versions.pop(modules[name], (None, 0))
        # Where there are two sizes, they distinguish maps from attention.
        observation = square.observe(output, name not in wide and _rows_sum_to_one(output))
        found = find_layouts([observation, *([wide[name]] if name in wide else [])])
        doubtful = output.is_floating_point() and output.ndim > 2 and not (found and found[0].certain)
        square.outputs[name] = _Output(
            observation,
            type(output).__name__,
            output,
            _version(output),
            unchanged=output is given and _version(output) == version,
            differences=differences(output)
            if doubtful and len(output) % 2 == 0 == square.batch % 2
            else None,
        )

    with torch.no_grad(), _noting(modules.values(), note):
        square.logits = _run(network, hooks, inputs, visit)
    return square


@contextmanager
def _noting(
    modules: Iterable[nn.Module], note: Callable[[nn.Module, tuple[object, ...]], None]
) -> Iterator[None]:
    """Call ``note`` with each module and its inputs before it runs."""
    handles = [module.register_forward_pre_hook(note) for module in modules if can_be_recorded(module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rows_sum_to_one(output: Tensor) -> bool:
    if output.ndim != 4 or output.shape[2] != output.shape[3] or not output.is_floating_point():
        return False
    return bool((output >= 0).all()) and bool(((output.float().sum(dim=-1) - 1).abs() < 0.01).all())


def _grids(square: _Square, wide: Mapping[str, Observation]) -> frozenset[Grid]:
    """Rows and columns of the outputs that are maps by their shapes, or may be with the channels last."""
    seen = (
        [output.observation, *([wide[name]] if name in wide else [])]
        for name, output in square.outputs.items()
        if output.observation is not None
    )
    return frozenset(
        layout.grid
        for each in seen
        for layout in find_layouts(each)
        if layout.certain or layout.name == "channels_last"
    )


def _candidates(
    output: _Output, wide: Observation | None, calls: int, grids: Collection[Grid]
) -> tuple[Layout, ...] | str:
    """The layouts that a layer may have, or why it has no maps."""
    if calls > 1:
        return f"it runs {calls} times in one pass, so its map is not defined"
    if output.observation is None or output.tensor is None:
        return f"its output is a {output.kind}, not a tensor"
    observations = [output.observation, *([wide] if wide else [])]
    shape = output.observation.shape
    if not output.tensor.is_floating_point():
        kind = str(output.tensor.dtype).removeprefix("torch.")
        return f"its output consists of {kind} numbers; a map needs real ones that have gradients"
    if len(shape) == 4 and shape[2:] == (1, 1):
        return "its output has a single location (1 × 1), so there is no map to see"
    return find_layouts(observations, grids) or no_layout(observations)


def _chosen(candidates: Mapping[str, Sequence[Layout]], square: _Square) -> dict[str, Layout]:
    """The layout of every layer for which there is a certain one."""
    certain = {name: found[0] for name, found in candidates.items() if found[0].certain}
    doubtful = {name: found for name, found in candidates.items() if name not in certain}
    seen = {name: each.differences for name, each in square.outputs.items() if each.differences is not None}
    height, width = square.inputs.shape[2:]
    return certain | find_places(doubtful, seen, (height, width))


def _unrecordable(
    network: nn.Module, hooks: LayerHooks, square: _Square, layouts: Mapping[str, Layout]
) -> dict[str, str]:
    """Layers that the scores do not depend on, or whose recording would change the scores: name -> reason."""
    names = layouts.keys()
    changed = square.changed_in_place
    recorded: dict[str, object] = {}
    tokens: dict[str, Tensor] = {}

    def visit(name: str, _inputs: tuple[object, ...], output: object) -> Tensor | None:
        if name not in names or not isinstance(output, Tensor):
            return None
        copied_anyway = name in changed or square.outputs[name].unchanged or layouts[name].extra > 0
        if output.grad_fn is not None and not copied_anyway:
            recorded[name] = output.grad_fn  # a copy of it would make no difference
            return None
        kept = output if output.requires_grad else output.detach().requires_grad_()
        copied = kept.clone()
        recorded[name] = copied.grad_fn
        if layouts[name].extra > 0:
            tokens[name] = kept
        return copied

    try:
        with torch.enable_grad():
            logits = _run(network, hooks, square.inputs, visit)
    except Exception as error:
        raise NetworkError(
            f"the network runs, but not while gradients are recorded: {first_line(error)}; "
            "remove what forbids gradients from its forward method"
        ) from error
    root = logits.grad_fn if isinstance(logits, Tensor) else None
    everything, reached = _graph(root), _graph(root, REENTRANT)
    refused = {}
    for name in names:
        if recorded.get(name) is None:
            refused[name] = (
                "it runs with gradients switched off (torch.no_grad or reentrant checkpointing in the "
                "network's forward method); to freeze weights use requires_grad_(False), to checkpoint "
                "use_reentrant=False"
            )
        elif recorded[name] not in reached and recorded[name] in everything:
            refused[name] = (
                "reentrant checkpointing in the network's forward method lies behind it, which lets no "
                "gradient through to a layer; pass use_reentrant=False there"
            )
        elif recorded[name] not in reached:
            refused[name] = "the class scores do not depend on it: nothing comes back to it"
    refused |= _unread(logits, {name: kept for name, kept in tokens.items() if name not in refused}, layouts)
    if not _same(logits, square.logits):
        candidates = [name for name in changed if name in names]
        for name in _altering(network, hooks, square, candidates):
            refused[name] = (
                "the network changes this output in place and reads it elsewhere too, so that recording it "
                "would change the class scores; choose the layer before or after it"
            )
    return refused


def _unread(logits: object, outputs: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> dict[str, str]:
    """Layers of whose tokens the scores read only those without a place in the image: name -> reason.

    There the gradient is zero at all others, as behind the last attention of a network with a class token.
    """
    if not outputs or not isinstance(logits, Tensor) or not logits.requires_grad:
        return {}
    generator = torch.Generator("cpu").manual_seed(0)
    weights = torch.randn(logits.shape, generator=generator, device="cpu").to(logits)
    refused: dict[str, str] = {}
    # From the last layers on, until the scores read all of some: what is in front of these they read too.
    names = list(outputs)[::-1]
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        gradients = torch.autograd.grad(
            logits, [outputs[name] for name in some], weights, retain_graph=True, allow_unused=True
        )
        before = len(refused)
        for name, gradient in zip(some, gradients, strict=True):
            layout = layouts[name]
            if gradient is None or not layout.extra_tokens(gradient).any():
                continue
            if int(gradient.count_nonzero()) > int(layout.extra_tokens(gradient).count_nonzero()):
                continue
            count, number = gradient.shape[layout.axes.index("T")] - layout.extra, layout.extra
            which = "its class token" if number == 1 else f"{number} tokens that belong to no patch"
            refused[name] = (
                f"of this output the class scores read {which} alone: the gradient at the {count} tokens of "
                "the image is zero, so there is no map to see; choose a layer before the last attention"
            )
        if len(refused) == before:
            break
    return refused


def _graph(root: object, barrier: str | None = None) -> set[object]:
    """The nodes of the autograd graph that gradients from ``root`` reach without passing a ``barrier``."""
    reached, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in reached:
            reached.add(node)
            if type(node).__name__ != barrier:
                waiting += [each for each, _ in node.next_functions]  # type: ignore[attr-defined]
    return reached


def _altering(network: nn.Module, hooks: LayerHooks, square: _Square, candidates: list[str]) -> list[str]:
    """Those layers for which it changes the scores that the network goes on with a copy of their output."""

    def same(names: Sequence[str]) -> bool:
        def visit(name: str, _inputs: tuple[object, ...], output: object) -> Tensor | None:
            return output.clone() if name in names and isinstance(output, Tensor) else None

        with torch.no_grad():
            return _same(_run(network, hooks, square.inputs, visit), square.logits)

    def found(names: list[str]) -> list[str]:
        if not names or same(names):
            return []
        middle = len(names) // 2
        return names if len(names) == 1 else found(names[:middle]) + found(names[middle:])

    if not same(()):  # where scores change by themselves, a difference shows nothing
        return []
    each = found(candidates)
    return each if same([name for name in candidates if name not in each]) else candidates


def _same(logits: object, others: object) -> bool:
    """Whether scores agree up to rounding."""
    if not isinstance(logits, Tensor) or not isinstance(others, Tensor) or logits.shape != others.shape:
        return False
    if not others.is_floating_point():
        return torch.equal(logits, others)
    error = 64 * torch.finfo(others.dtype).eps
    scale = float(others.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(logits.detach(), others, rtol=error, atol=scale * error, equal_nan=True)


def _notice(layers: Mapping[str, Layer], square: _Square, refused: Mapping[str, str]) -> str | None:
    if len(layers) >= MIN_LAYERS:
        return None
    example = _example(square, refused)
    other = f"; of the others, {example[0]!r} is left out because {example[1]}" if example else ""
    return f"only one layer of this network has maps that can be shown, {next(iter(layers))!r}{other}"


def _nothing_to_explain(square: _Square, refused: Mapping[str, str]) -> str:
    if not square.calls:
        return (
            "no module inside the network runs when it is called, as in exported, traced or scripted "
            "programs, so no layer can be recorded; pass the nn.Module that the program was made from"
        )
    name, reason = _example(square, refused) or ("", "it has no modules")
    return f"no layer of the network has maps that can be explained; for example {name!r}: {reason}"


def _example(square: _Square, refused: Mapping[str, str]) -> tuple[str, str] | None:
    """The most informative refused layer: the largest output with four axes, else the largest."""

    def size(name: str) -> tuple[bool, int]:
        shape = square.outputs[name].shape
        return len(shape) == 4, torch.Size(shape).numel()

    names = [name for name in square.outputs if name in refused]
    return max(((name, refused[name]) for name in names), key=lambda item: size(item[0]), default=None)


def _cannot_run(network: nn.Module, example: Tensor, error: Exception) -> str:
    """Why the network rejected its example, and which input it accepts if that is easy to find."""
    channels, height, width = example.shape[1:]
    wanted = _input_channels(network) or channels
    given = f"the network cannot process an input of shape (N, {channels}, {height}, {width})"
    number = f"its first convolution takes {wanted} channel{'s' * (wanted > 1)}; "
    number, colour = (
        (number, f", mean={_halves(wanted)}, std={_halves(wanted)}") if wanted != channels else ("", "")
    )
    photos = "" if wanted in PHOTO_CHANNELS else " and explain prepared tensors instead of photos"
    if _runs(network, example):
        return f"{given} while its layers are observed: {first_line(error)}"
    own = (height, width)
    for size in (own, *((side, side) for side in COMMON_SIZES)):
        if _runs(network, _noise(example, 1, wanted, *size)):
            works = "" if size == own else f"it takes {size[0]} × {size[1]} pixels; "
            sides = size[0] if size[0] == size[1] else size
            return f"{given}: {number}{works}pass preprocess=sc.Preprocess(size={sides}{colour}){photos}"
    return (
        f"{given}: {number}{first_line(error)}; if it expects another size or other channels, pass "
        f"preprocess=sc.Preprocess(size=..., mean=..., std=...), with one mean for each channel{photos}"
    )


def _halves(count: int) -> str:
    """One 0.5 for each channel, as Python writes it."""
    return repr((0.5,) * count) if count in PHOTO_CHANNELS else f"(0.5,) * {count}"


def _input_channels(network: nn.Module) -> int | None:
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return first.in_channels if first else None


def _runs(network: nn.Module, inputs: Tensor) -> bool:
    try:
        with torch.no_grad():
            network(inputs)
    except Exception:  # whatever the network raises
        return False
    return True
