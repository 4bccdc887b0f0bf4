"""Copies of module trees: functions and programs that a module keeps beside its layers belong to the copy."""

import functools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import saliency_core as sc
from tests.networks import InPlaceNet, batch, classifier, seeded


def around_forward(network: InPlaceNet) -> None:
    """As libraries that add an adapter to a layer do."""
    original, adapter = network.branch.forward, nn.Conv2d(8, 8, 1, dtype=torch.float64)
    network.branch.adapter = adapter
    network.branch.forward = lambda x: original(x) + adapter(x)


def partial_forward(network: InPlaceNet) -> None:
    def forward(module: nn.Module, *args: Tensor) -> Tensor:
        return 2 * original(*args) + module.bias.mean()

    original = network.branch.forward
    network.branch.forward = functools.partial(forward, network.branch)


def dropout_in_a_function(network: InPlaceNet) -> None:
    """In training mode this draws random numbers, and the BatchNorm changes its statistics."""
    norm, statistics = network.bn.forward, network.bn
    network.bn.forward = lambda x: F.dropout(norm(x), 0.5, statistics.training)


def default_argument(network: InPlaceNet) -> None:
    def forward(x: Tensor, *, layer: Callable[[Tensor], Tensor] = network.branch.forward) -> Tensor:
        return layer(x) * forward.scale

    forward.scale = 3
    network.branch.forward = forward


@pytest.mark.parametrize("change", [around_forward, partial_forward, dropout_in_a_function, default_argument])
def test_a_forward_put_around_a_layers_own_runs_the_copys_layer_and_not_the_original(
    change: Callable[[InPlaceNet], None],
) -> None:
    network, x = seeded(), batch()
    change(network)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    clf = classifier(network)
    explained = sc.explain(clf, x, 0, methods=["normgrad", "guided_backprop"])
    sc.explain(clf, x, 0, meta=sc.MetaStep())
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert all(module.training for module in network.modules())
    expected = network.eval()(x).softmax(dim=1)[0].detach()
    torch.testing.assert_close(torch.tensor(explained.probabilities), expected.float())
    assert {"conv", "bn", "branch", "down"} <= {layer.name for layer in clf.layers}


def test_a_function_without_modules_is_shared_with_the_copy() -> None:
    network = seeded()
    calls: list[int] = []
    network.note = lambda: calls.append(1)
    assert classifier(network).module.note is network.note


def test_a_layer_that_was_compiled_in_place_is_recorded_in_the_copy() -> None:
    network = seeded()
    network.branch.compile(backend="eager")
    assert "branch" in {layer.name for layer in classifier(network).layers}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_a_network_with_a_scripted_part_is_explained_around_it() -> None:
    network, x = seeded(), batch()
    expected = sc.explain(classifier(network), x, 1, methods=["normgrad"], meta=sc.MetaStep(0.01))
    network.branch = torch.jit.script(network.branch)
    clf = classifier(network)
    found = sc.explain(clf, x, 1, methods=["normgrad"], meta=sc.MetaStep(0.01))
    torch.testing.assert_close(
        torch.tensor(found.map("normgrad", "act")), torch.tensor(expected.map("normgrad", "act"))
    )
    assert next(clf.module.branch.parameters()).data_ptr() == network.branch.weight.data_ptr()
    with pytest.raises(sc.LayerError, match="'branch': it is a compiled program"):
        sc.explain(clf, x, 1, layers=["branch"])
