from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import saliency_core as sc
from saliency_core.backprop.capture import _Forward
from tests.networks import InPlaceNet, batch, classifier, seeded


def state_of(module: nn.Module) -> dict[str, object]:
    """Everything that a call could leave behind."""
    return {
        "weights": {name: tensor.clone() for name, tensor in module.state_dict().items()},
        "modes": {name: part.training for name, part in module.named_modules()},
        "requires_grad": {name: p.requires_grad for name, p in module.named_parameters()},
        "grads": {name: p.grad is None for name, p in module.named_parameters()},
        "hooks": {name: len(part._forward_hooks) for name, part in module.named_modules()},
    }


def assert_same_state(before: dict[str, object], after: dict[str, object]) -> None:
    torch.testing.assert_close(after.pop("weights"), before.pop("weights"), rtol=0, atol=0)
    assert after == before


def test_a_batchnorm_before_an_in_place_relu_is_recorded_before_the_relu() -> None:
    network = seeded().eval()
    x = batch()
    truth = network.bn(network.conv(x))
    assert (truth < 0).any()
    activation = sc.capture(classifier(network), x, 0, ["bn"]).layers["bn"].activation
    torch.testing.assert_close(activation, truth.detach(), rtol=0, atol=0)


def test_an_in_place_sum_does_not_change_the_summand_recorded_before_it() -> None:
    network = seeded().eval()
    x = batch()
    truth = network.branch(torch.relu(network.bn(network.conv(x))))
    activation = sc.capture(classifier(network), x, 0, ["branch"]).layers["branch"].activation
    torch.testing.assert_close(activation, truth.detach(), rtol=0, atol=0)


def test_the_gradient_is_the_derivative_of_the_logit_at_the_recorded_output() -> None:
    """Central differences of the network's remainder, at every entry of the layer."""
    network = seeded().eval()
    x = batch()
    pair = sc.capture(classifier(network), x, 3, ["branch"]).layers["branch"]
    relu = torch.relu(network.bn(network.conv(x))).detach()

    def rest(branch: torch.Tensor) -> torch.Tensor:
        y = torch.relu(network.down(branch + relu.expand_as(branch)))
        return network.head(network.pool(y).flatten(1))[:, 3]

    step = 1e-5
    count = pair.activation.numel()
    moves = torch.eye(count, dtype=torch.float64).reshape(count, *pair.activation.shape[1:]) * step
    with torch.no_grad():
        slope = (rest(pair.activation + moves) - rest(pair.activation - moves)) / (2 * step)
    torch.testing.assert_close(slope.reshape(pair.gradient.shape), pair.gradient, rtol=1e-6, atol=1e-8)


def test_nothing_is_left_on_the_network_after_success() -> None:
    network = seeded().train()
    clf = classifier(network)
    own, shared = state_of(network), state_of(clf.module)
    sc.capture(clf, batch(2))
    assert_same_state(own, state_of(network))
    assert_same_state(shared, state_of(clf.module))


@pytest.mark.parametrize("layers", [["bn"], ["unused"]])
def test_nothing_is_left_on_the_network_after_an_exception(layers: list[str]) -> None:
    class Failing(InPlaceNet):
        fail = False

        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Conv2d(3, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.unused(x)
            scores = super().forward(x)
            if self.fail:
                raise RuntimeError("failed half-way")
            return scores

    network = Failing().double()
    clf = classifier(network)
    before = state_of(clf.module)
    Failing.fail = layers == ["bn"]
    with pytest.raises(
        (sc.NetworkError, sc.LayerError),
        match="failed half-way|at layer 'unused': the class scores do not depend on it",
    ):
        sc.capture(clf, batch(), 0, layers)
    Failing.fail = False
    assert_same_state(before, state_of(clf.module))
    with torch.no_grad():
        assert not clf.module(batch()).requires_grad
    assert sc.capture(clf, batch(), 0, ["bn"]).layers["bn"].activation.shape == (1, 8, 12, 12)


def test_the_callers_module_keeps_its_mode_and_its_hooks_and_lends_only_its_tensors() -> None:
    network = seeded().train()
    calls: list[str] = []
    network.conv.register_forward_hook(lambda *_: calls.append("conv"))
    clf = classifier(network)
    assert network.training
    assert not clf.module.training
    assert all(a is b for a, b in zip(network.parameters(), clf.module.parameters(), strict=True))
    network(batch(2))
    assert not any(
        name for name, part in network.named_modules() if len(part._forward_hooks) > (name == "conv")
    )


def test_weights_changed_in_place_later_are_seen() -> None:
    network = seeded()
    clf = classifier(network)
    before = sc.capture(clf, batch(), 0).logits
    network.load_state_dict(seeded(seed=9).state_dict())
    assert not torch.allclose(before, sc.capture(clf, batch(), 0).logits)


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_are_found_whatever_the_callers_gradient_mode(mode: type, requires_grad: bool) -> None:
    network = seeded().requires_grad_(requires_grad)
    clf = classifier(network)
    with mode():
        x = batch() + 0  # made inside: an inference tensor under inference_mode
        pair = sc.capture(clf, x, 1, ["bn"]).layers["bn"]
    expected = sc.capture(classifier(), batch(), 1, ["bn"]).layers["bn"]
    torch.testing.assert_close(pair.gradient, expected.gradient, rtol=0, atol=0)
    assert pair.gradient.abs().sum() > 0
    assert not pair.activation.requires_grad


def test_a_batch_with_a_target_per_image_equals_single_calls() -> None:
    clf = classifier()
    x = batch(3)
    together = sc.capture(clf, x, [4, 0, 2], ["bn", "act"])
    for index, target in enumerate([4, 0, 2]):
        alone = sc.capture(clf, x[index : index + 1], target, ["bn", "act"])
        for layer, pair in alone.layers.items():
            torch.testing.assert_close(together.layers[layer].gradient[index], pair.gradient[0])
            torch.testing.assert_close(together.layers[layer].activation[index], pair.activation[0])


def test_without_a_target_each_image_gets_its_most_likely_class() -> None:
    captured = sc.capture(classifier(), batch(4))
    assert list(captured.targets) == captured.logits.argmax(dim=1).tolist()


def test_eight_threads_get_exactly_the_single_thread_maps() -> None:
    clf = sc.load_classifier(random=0)
    inputs = [torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    alone = [sc.explain(clf, x, target=seed) for seed, x in enumerate(inputs)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda seed: sc.explain(clf, inputs[seed], target=seed), range(8)))
    for one, other in zip(alone, together, strict=True):
        for method in one.methods:
            for layer in one.layers:
                assert (one.map(method, layer.name) == other.map(method, layer.name)).all(), (
                    method,
                    layer.name,
                )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": 5}, sc.TargetError, "target is 5; expected an index from 0 to 4"),
        ({"target": -1}, sc.TargetError, "target is -1"),
        ({"target": True}, sc.TargetError, "target is True"),
        ({"target": 1.5}, sc.TargetError, "target is 1.5; expected a class index, a label or None"),
        ({"target": "class 9"}, sc.TargetError, "unknown label 'class 9'; did you mean"),
        ({"target": [0, 1]}, sc.TargetError, "2 targets were given for 1 images"),
        ({"layers": ["con"]}, sc.LayerError, "unknown layer 'con'; did you mean 'conv'"),
        ({"layers": ["pool"]}, sc.LayerError, "single location"),
        ({"layers": ["head"]}, sc.LayerError, r"a map needs \(N, C, H, W\)"),
        ({"layers": []}, sc.LayerError, "no layer was asked for"),
    ],
)
def test_a_wrong_question_is_answered_with_the_choices(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sc.capture(classifier(), batch(), **arguments)


@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 4, 24, 24), (0, 3, 24, 24)])
def test_a_batch_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"batch has shape .* expected \(N, 3, H, W\)"):
        sc.capture(classifier(), torch.zeros(shape), 0)


def test_nan_weights_are_reported() -> None:
    network = seeded()
    clf = classifier(network)
    with torch.no_grad():
        network.head.weight[0, 0] = float("nan")
    with pytest.raises(sc.NonFiniteError, match="scores contain NaN or infinity"):
        sc.capture(clf, batch(), 1)


def test_a_label_that_names_two_classes_asks_for_an_index() -> None:
    clf = classifier(labels=["crane", "cat", "crane", "dog", "tit"])
    assert clf.class_index("dog") == 3
    with pytest.raises(sc.TargetError, match=r"names classes \[0, 2\]"):
        clf.class_index("crane")


@pytest.mark.filterwarnings("ignore:only one layer")
def test_a_module_that_runs_twice_is_refused_with_the_reason() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.LazyLinear(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.relu(self.relu(self.conv(x))).mean(dim=(2, 3)))

    network = Twice()
    network(torch.zeros(1, 3, 24, 24))
    with pytest.raises(sc.LayerError, match="'relu': it runs 2 times in one pass"):
        sc.capture(classifier(network), batch(dtype=torch.float32), 0, ["relu"])


def test_the_layers_are_listed_from_input_to_output_with_the_last_of_each_resolution_as_default() -> None:
    clf = classifier()
    assert [(layer.name, layer.channels, layer.height, layer.width) for layer in clf.layers] == [
        ("conv", 8, 12, 12),
        ("bn", 8, 12, 12),
        ("relu", 8, 12, 12),
        ("branch", 8, 12, 12),
        ("down", 12, 6, 6),
        ("act", 12, 6, 6),
    ]
    assert clf.default_layers == ("branch", "act")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(3, 4, 3), r"returned \(N, 4, 22, 22\); expected class scores"),
        (nn.Flatten(0), "expected class scores"),
    ],
)
def test_a_network_without_class_scores_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(module)


def test_labels_must_fit_the_classes() -> None:
    with pytest.raises(ValueError, match="2 labels were given for a network with 5 classes"):
        classifier(labels=["a", "b"])
    with pytest.raises(TypeError, match="expected a torch.nn.Module"):
        sc.Classifier("resnet18")


def test_the_last_backward_pass_frees_the_graph_and_those_before_it_do_not() -> None:
    run = _Forward(classifier(), batch(), None)
    first, second = run.back(0, last=False), run.back(1, last=True)
    assert not torch.equal(first.layers["act"].gradient, second.layers["act"].gradient)
    with pytest.raises(sc.NetworkError, match="backward through the graph a second time"):
        run.back(2, last=True)
