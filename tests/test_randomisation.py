"""Weights drawn anew from the scores down: what is drawn, what stays, and how maps are compared."""

from __future__ import annotations

import copy
import zlib

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn

import saliency_core as sc
from saliency_core.combine import resize
from tests import networks
from tests.networks import batch
from tests.test_capture import assert_same_state, state_of

METHODS = ["normgrad", "gradient", "guided_backprop", "smoothgrad"]


def classifier(network: nn.Module | None = None) -> sc.Classifier:
    return networks.classifier(network, default_layers=["relu", "act"] if network is None else None)


def tensors(network: nn.Module) -> dict[str, Tensor]:
    return dict([*network.named_parameters(), *network.named_buffers()])


def test_stages_go_from_the_scores_to_the_input_and_hold_every_weight_once() -> None:
    clf = classifier()
    stages = sc.randomisation_stages(clf)
    assert [(stage.name, stage.modules) for stage in stages] == [
        ("head", ("head",)),
        ("act", ("branch", "down")),
        ("relu", ("conv", "bn")),
    ]
    assert sum(stage.weights for stage in stages) == sum(each.numel() for each in clf.module.parameters())


def test_a_stage_draws_its_own_weights_and_those_above_it_and_shares_all_others() -> None:
    clf = classifier()
    old, above = tensors(clf.module), set()
    for stage in sc.randomisation_stages(clf):
        above |= {name for name in old if name.rpartition(".")[0] in stage.modules}
        new = tensors(sc.randomised(clf, stage.name).module)
        for name, tensor in new.items():
            assert (tensor is old[name]) == (name not in above), name
            if name.endswith("weight") and "bn" not in name and name in above:
                assert (tensor != old[name]).float().mean() > 0.9, name


def test_the_weights_are_those_of_pytorchs_own_initialisation_from_the_seed_and_the_modules_path() -> None:
    clf = classifier()
    expected = copy.deepcopy(clf.module)
    for stage in sc.randomisation_stages(clf):
        for path in stage.modules:
            with torch.random.fork_rng():
                torch.manual_seed(zlib.crc32(f"7 {path}".encode()))
                expected.get_submodule(path).reset_parameters()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        noise = torch.randn(2, 3, 24, 24).double()
    expected.bn.train().momentum = 1.0
    with torch.no_grad():
        expected(noise)
    found = tensors(sc.randomised(clf, "relu", seed=7).module)
    for name, tensor in tensors(expected.eval()).items():
        torch.testing.assert_close(found[name], tensor, msg=name)
    assert found["bn.running_var"].ne(1).all()


def test_new_weights_depend_on_the_seed_alone_not_on_how_far_down_others_are_drawn() -> None:
    clf = classifier()
    far, near, other = (
        sc.randomised(clf, stage, seed).module.head.weight
        for stage, seed in (("relu", 1), ("head", 1), ("head", 2))
    )
    assert torch.equal(far, near)
    assert not torch.equal(near, other)


def test_pytorchs_global_generator_is_neither_read_nor_changed() -> None:
    clf, before = classifier(), torch.random.get_rng_state()
    first = sc.randomised(clf, "relu").module.conv.weight
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(sc.randomised(clf, "relu").module.conv.weight, first)


class WithOwnWeights(nn.Module):
    """A network with a weight of its own, a weight in a module without rule, and one that is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.arange(3.0)[:, None, None])
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.scale = nn.ParameterList([torch.arange(1.0, 7.0)[:, None, None]])
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x + self.offset) * self.scale[0])
        return nn.functional.linear(x.mean((2, 3)), self.last.weight, self.last.bias)


def test_weights_without_a_rule_keep_their_values_in_another_order() -> None:
    clf = classifier(WithOwnWeights())
    stages = {stage.name: stage.modules for stage in sc.randomisation_stages(clf)}
    assert set().union(*stages.values()) == {"", "first.0", "scale", "second.0", "last"}
    last = sc.randomisation_stages(clf)[-1].name
    for seed in range(4):
        found = sc.randomised(clf, last, seed).module
        for new, old in ((found.offset, clf.module.offset), (found.scale[0], clf.module.scale[0])):
            assert new.shape == old.shape
            assert sorted(new.flatten().tolist()) == sorted(old.flatten().tolist())
    assert not torch.equal(found.scale[0], clf.module.scale[0])


def test_the_shared_network_stays_what_it_is_to_the_last_bit() -> None:
    clf = classifier()
    before, values = state_of(clf.module), {name: each.clone() for name, each in tensors(clf.module).items()}
    versions = {name: each._version for name, each in tensors(clf.module).items()}
    sc.randomisation_test(clf, batch(), 2, METHODS[:3])
    assert_same_state(before, state_of(clf.module))
    for name, tensor in tensors(clf.module).items():
        assert torch.equal(tensor, values[name]), name
        assert tensor._version == versions[name], name


def test_each_stage_is_the_explanation_of_its_network_compared_map_by_map() -> None:
    clf, x = classifier(), batch()
    result = sc.randomisation_test(clf, x, 2, METHODS, seed=3)
    assert [stage.name for stage in result.stages] == ["head", "act", "relu"]
    assert set(result.correlations) == {
        *((method, layer) for method in METHODS[:3] for layer in ("relu", "act")),
        ("smoothgrad", "input"),
    }
    for index, (stage, after) in enumerate(zip(result.stages, result.explanations, strict=True)):
        own = copy.deepcopy(sc.randomised(clf, stage.name, 3))
        expected = sc.explain(own, x, 2, methods=METHODS)
        assert after.target == 2
        assert after.random_weights
        for key, correlations in result.correlations.items():
            np.testing.assert_allclose(after.map(*key), expected.map(*key), rtol=1e-6, atol=1e-9)
            maps = [resize(each.map(*key), (24, 24)) for each in (result.trained, expected)]
            rho, alike = correlations[index], result.similarities[key][index]
            if any(each.constant(*key) for each in (result.trained, expected)):
                assert (rho, alike) == (None, None)
                continue
            assert rho == pytest.approx(sc.rank_correlation(*maps), abs=1e-6)
            scaled = [(each.astype(float) - each.min()) / np.ptp(each.astype(float)) for each in maps]
            assert alike == pytest.approx(structural_similarity(*scaled, data_range=1.0), abs=1e-5)
    assert result.correlations["gradient", "act"] == (None, None, None)
    assert not result.trained.random_weights


def test_results_come_stage_by_stage_and_some_stages_can_be_asked_for() -> None:
    seen, done = [], []
    result = sc.randomisation_test(
        classifier(),
        batch(),
        methods="normgrad",
        stages=["relu", "head"],
        partial=lambda each: seen.append([stage.name for stage in each.stages]),
        progress=lambda *each: done.append(each),
    )
    assert seen == [["head"], ["head", "relu"]]
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert len(result.correlations["normgrad", "act"]) == 2


def test_what_cannot_be_randomised_is_refused_in_a_sentence() -> None:
    clf = classifier()
    with pytest.raises(sc.UnknownNameError, match="unknown stage 'conv'; .*choices: head, act, relu"):
        sc.randomised(clf, "conv")
    with pytest.raises(sc.UnknownNameError, match="unknown stage 'top'"):
        sc.randomisation_test(clf, batch(), stages=["top"])
    with pytest.raises(sc.ArgumentTypeError, match="seed is 'a'"):
        sc.randomised(clf, "head", seed="a")
