r"""The self-attention of a vision transformer: one matrix per block, and how a class score depends on it.

The functions in which attention is computed are replaced during one forward pass, on this thread alone (see
:mod:`saliency_core.backprop.function_modes`):

``scaled_dot_product_attention``
    computed as :math:`A V` with :math:`A = \mathrm{softmax}(Q K^\top s + M)`
``multi_head_attention_forward``
    asked for the weights of every head; the fused path for inference is not taken
``softmax`` over the last axis
    its result is :math:`A` once it is a factor of a matrix product

The class scores stay what they are, up to rounding. Of a matrix (heads, T, T) only its mean over the heads is
kept, and of its gradient only :math:`\mathrm{mean}_h (\nabla A \odot A)^+`, which is taken when the backward
pass arrives there, so that the gradients of all matrices are never held at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn import functional as F

from saliency_core.backprop.backward_rules import check_scores
from saliency_core.backprop.function_modes import Function, ReplacedFunctions, tensors_in
from saliency_core.errors import NetworkError, UnavailableError
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.models.layouts import Grid, grid_of
from saliency_core.models.running import network_errors
from saliency_core.models.targets import Goal, goal_scores


@dataclass(frozen=True)
class Patches:
    """The tokens that are patches of an image."""

    first: int
    """The index of the first one."""
    grid: Grid
    """Their rows and columns, (h, w)."""

    @property
    def indices(self) -> range:
        """Those of all patches, row by row."""
        return range(self.first, self.first + self.grid[0] * self.grid[1])


@dataclass(frozen=True)
class Attention:
    """The self-attention among the tokens of one image, block by block in the order of execution.

    The T tokens are the patches of a grid, row by row, and others: class and distillation token, registers.
    """

    weights: tuple[Tensor, ...]
    """Per block the mean of A over the heads, (T, T); row i says what token i reads, and adds up to 1."""
    relevances: tuple[Tensor, ...]
    """Per block the mean over the heads of (∇A ⊙ A)⁺, (T, T), with ∇A = dy/dA; none without a class."""
    readers: tuple[int, ...]
    """The tokens whose rows explain the class score: class and distillation token where the score reads
    them, else all patches."""
    patches: Patches
    """Where the patches are among the tokens."""


def attention(
    classifier: Classifier,
    image: Tensor,
    target: Goal | None = None,
    *,
    plain_logits: Tensor | None = None,
    network: nn.Module | None = None,
) -> Attention:
    """The attention of one image, from a forward pass; with a class also a backward pass.

    The network is left as it was, and other threads may use it meanwhile. Without a class the memory, beside
    that of a pass, is one matrix (T, T) per block and one of all heads; with a class there is one of all
    heads per block until the backward pass has gone by.

    Args:
        image: (1, C, H, W), prepared.
        target: class index whose logit y is differentiated, or a function of the logits; None: no
            ``relevances``.
        plain_logits: the logits (1, classes) of the image, if known; those found here must equal them.
        network: a variant of ``classifier.module`` to run instead.

    Raises:
        UnavailableError: the attention is not between all tokens of one grid, with the reason.
        NetworkError: the network fails for this image.
    """
    facts = _facts(classifier)
    obstacle, run = facts.obstacle, None
    if obstacle is None:
        run = _Run(classifier, image, network, gradients=target is not None)
        obstacle = run.obstacle()
    if run is None or obstacle is not None:
        raise UnavailableError(f"the attention of this network has no map. {obstacle}")
    if plain_logits is not None:
        check_scores(run.logits, plain_logits, "while its attention is recorded")
    if target is not None:
        run.back(lambda logits: goal_scores(logits, [target]).sum())
    return Attention(
        weights=tuple(run.weights),
        relevances=tuple(run.relevances[block] for block in sorted(run.relevances)),
        readers=facts.readers or tuple(run.patches.indices),
        patches=run.patches,
    )


def attention_obstacle(classifier: Classifier) -> str | None:
    """Why a network has no attention between all tokens of one grid in every block: a sentence, or None.

    Found in one pass of ``classifier.example``, and kept in ``classifier.cache``.
    """
    return _facts(classifier).obstacle


@dataclass(frozen=True)
class _Facts:
    """What a pass on noise shows about a network."""

    obstacle: str | None
    readers: tuple[int, ...] = ()
    """The tokens beside the patches that the class scores read behind the last block."""


def _facts(classifier: Classifier) -> _Facts:
    found: _Facts | None = classifier.cache.get("attention")
    if found is None:
        found = classifier.cache["attention"] = _examined(classifier)
    return found


def _examined(classifier: Classifier) -> _Facts:
    try:
        run = _Run(classifier, classifier.example, None, gradients=True)
        if (obstacle := run.obstacle()) is not None:
            return _Facts(obstacle)
        # Different factors, so that the gradients of the classes do not cancel.
        factors = torch.linspace(1, 2, run.logits.shape[1], device="cpu").to(run.logits)
        run.back(lambda logits: (logits * factors).sum())
    except NetworkError as error:
        return _Facts(f"While its attention is recorded {error}.")
    if len(run.relevances) < len(run.weights):
        return _Facts("The class scores of this network do not depend on all of its attention.")
    others = [token for token in range(len(run.last_read)) if token not in run.patches.indices]
    read = run.last_read.tolist()
    # A head of zeros reads nothing: with trained weights it would read the class token, the first of them.
    return _Facts(None, tuple(token for token in others if read[token]) if any(read) else tuple(others[:1]))


class _Run:
    """A forward pass of one image that recorded the attention, and its backward pass."""

    def __init__(
        self, classifier: Classifier, image: Tensor, network: nn.Module | None, *, gradients: bool
    ) -> None:
        self._layouts = classifier.survey.layouts.values()
        self.weights: list[Tensor] = []
        self.relevances: dict[int, Tensor] = {}
        """By block."""
        self.last_read = torch.zeros(0, dtype=torch.bool, device="cpu")
        """Whether a row of the last block's matrix has a gradient, (T,): behind it that token is read."""
        self._shapes: list[tuple[int, ...]] = []
        self._undone: dict[int, Tensor] = {}
        self._recorder = _Recorder(self._visit)
        device = classifier.device
        with torch.inference_mode(False), torch.set_grad_enabled(gradients), without_autocast(device):
            self._inputs = classifier.to_device(image).clone().requires_grad_(gradients)
            with self._recorder.recording():
                self.logits: Tensor = classifier.scores(self._inputs.clone(), network)

    @property
    def patches(self) -> Patches:
        """Where the patches are, once :meth:`obstacle` found none."""
        found = self._patches(len(self.weights[0]))
        assert found is not None
        return found

    def _patches(self, tokens: int) -> Patches | None:
        """Where the patches are among so many tokens, or None: as in a layer that returns as many."""
        size = self._inputs.shape[2], self._inputs.shape[3]
        for layout in dict.fromkeys(self._layouts):
            if "T" in layout.axes and layout.window is None:
                grid = grid_of(tokens - layout.extra, layout.grid, layout.size, size)
                if grid is not None:
                    return Patches(0 if layout.at_end else layout.extra, grid)
        return None

    def obstacle(self) -> str | None:
        """Why what was recorded is not the attention among all tokens of one grid: a sentence, or None."""
        if not self._shapes:
            return "No attention among the tokens of an image was found in this network."
        if self._recorder.waiting:
            return "Its attention weights do not multiply the values as they come from the softmax."
        first = self._shapes[0][-1]
        for shape in self._shapes:
            *outer, rows, columns = shape
            if len(outer) != 2 or outer[0] != 1:
                return f"Its attention is within parts of the image: matrices {_sides(shape)} for one image."
            if rows != columns:
                return (
                    "Not all of its attention is among the tokens of one grid: there is a matrix of "
                    f"{rows} × {columns}."
                )
            if rows != first:
                return f"The number of its tokens changes between blocks, from {first} to {rows}."
        if self._patches(first) is None:
            return f"Which places of the image the {first} rows of its attention stand for is not known."
        return None

    def back(self, score: Callable[[Tensor], Tensor]) -> None:
        """The backward pass of a function of the logits: fills ``relevances``."""
        with torch.inference_mode(False), torch.enable_grad(), without_autocast(self.logits.device):
            value = score(self.logits)
            if value.requires_grad:
                with network_errors(self._inputs.shape, "backward"):
                    torch.autograd.grad(value, self._inputs, allow_unused=True)

    def _visit(self, weights: Tensor, node: Node | None) -> None:
        weights = weights if weights.ndim > 3 else weights[None]  # of one image: the heads are the first axis
        block = len(self._shapes)
        self._shapes.append(tuple(weights.shape))
        if weights.ndim != 4 or len(weights) != 1:
            return
        # Detached: what a hook of the graph keeps alive must not keep the graph alive.
        known = weights.detach()[0]
        self.weights.append(_wide(known).mean(dim=0))
        if node is None:
            return
        self._undone[block] = known

        def arrived(gradients: tuple[Tensor, ...]) -> None:
            known = self._undone.pop(block)
            gradient = gradients[0].reshape(known.shape)
            self.relevances[block] = (_wide(gradient) * _wide(known)).relu().mean(dim=0)
            if block == len(self._shapes) - 1:
                self.last_read = gradient.ne(0).any(dim=2).any(dim=0)

        node.register_prehook(arrived)


def _sides(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _wide(values: Tensor) -> Tensor:
    """At least float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _Recorder:
    """Calls ``visit`` with every matrix of attention weights, (N, heads, T, T), and its autograd node."""

    def __init__(self, visit: Callable[[Tensor, Node | None], None]) -> None:
        self._visit = visit
        # By id; the tensors are kept so that no other one takes their id.
        self.waiting: dict[int, tuple[Tensor, Tensor]] = {}
        """Results of softmax that no matrix product has taken yet, as they are now and as they were."""

    def recording(self) -> ReplacedFunctions:
        """The context in which a forward pass is recorded."""
        products = dict.fromkeys(("matmul", "__matmul__", "bmm", "einsum"), self._product)
        same = dict.fromkeys(("dropout", "to", "type_as", "contiguous"), self._same_values)
        return ReplacedFunctions(
            {
                "scaled_dot_product_attention": self._fused,
                "multi_head_attention_forward": self._multi_head,
                "softmax": self._softmax,
                **products,
                **same,
            }
        )

    def _fused(self, _func: Function, *args: Any, **kwargs: Any) -> Tensor:
        weights, value = _attention_weights(*args, **kwargs)
        self._visit(weights, weights.grad_fn)
        return weights @ value

    def _multi_head(self, func: Function, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        wanted = kwargs.get("need_weights", True), kwargs.get("average_attn_weights", True)
        kwargs |= {"need_weights": True, "average_attn_weights": False}
        output, weights = func(*args, **kwargs)
        node = weights.grad_fn
        while node is not None and not node.name().startswith("Softmax"):
            node = node.next_functions[0][
                0
            ]  # what is returned is a view of what the values are multiplied by
        self._visit(weights, node)
        if not wanted[0]:
            return output, None
        return output, weights.mean(dim=-3) if wanted[1] else weights

    def _softmax(self, func: Function, *args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if result.ndim > 2 and axis in (-1, result.ndim - 1):
            self.waiting[id(result)] = (result, result)
        return result

    def _same_values(self, func: Function, *args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if args and id(args[0]) in self.waiting:
            _, softmax = self.waiting.pop(id(args[0]))
            self.waiting[id(result)] = (result, softmax)
        return result

    def _product(self, func: Function, *args: Any, **kwargs: Any) -> Any:
        for factor in tensors_in((args, kwargs)):
            if id(factor) in self.waiting:
                _, softmax = self.waiting.pop(id(factor))
                self._visit(softmax, softmax.grad_fn)
        return func(*args, **kwargs)


def _attention_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """The weights by which ``scaled_dot_product_attention`` multiplies the values, and the values."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (each.repeat_interleave(groups, dim=-3) for each in (key, value))
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones_like(scores[(0,) * (scores.ndim - 2)], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = scores.softmax(dim=-1)
    return F.dropout(weights, dropout_p) if dropout_p else weights, value
