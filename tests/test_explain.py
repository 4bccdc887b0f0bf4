import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import saliency_core as sc
from saliency_core.methods.registry import SINGLE_PASS
from tests.networks import batch, classifier, seeded, without_weights


def test_every_method_at_every_default_layer_has_its_layers_shape() -> None:
    explanation = sc.explain(classifier(), batch())
    assert explanation.methods == SINGLE_PASS
    assert [layer.name for layer in explanation.layers] == ["branch", "act"]
    for layer in explanation.layers:
        for method in explanation.methods:
            values = explanation.map(method, layer.name)
            assert values.shape == (layer.height, layer.width)
            assert values.dtype == np.float32
            assert not values.flags.writeable


def test_without_a_target_the_most_likely_class_is_explained() -> None:
    clf = classifier(labels=["ant", "bee", "cat", "dog", "eel"])
    free = sc.explain(clf, batch())
    assert free.target == free.probabilities.argmax()
    assert free.label == clf.labels[free.target]
    assert free.probabilities.sum() == pytest.approx(1)
    named = sc.explain(clf, batch(), free.label)
    np.testing.assert_array_equal(free.map("normgrad", "act"), named.map("normgrad", "act"))


def test_methods_and_layers_can_be_chosen() -> None:
    explanation = sc.explain(classifier(), batch(), 1, layers=["bn", "down"], methods=["grad_cam"])
    assert explanation.methods == ("grad_cam",)
    assert [layer.name for layer in explanation.layers] == ["bn", "down"]


def test_resized_is_bilinear_then_min_max() -> None:
    explanation = sc.explain(classifier(), batch(), 1)
    raw = torch.from_numpy(explanation.map("linear_approx", "act").copy())[None, None]
    large = nn.functional.interpolate(raw, size=(30, 20), mode="bilinear", align_corners=False)[0, 0]
    expected = (large - large.min()) / (large.max() - large.min())
    np.testing.assert_allclose(explanation.resized("linear_approx", "act", (30, 20)), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:only one layer")
def test_a_constant_map_is_marked_and_resized_to_zeros() -> None:
    """Behind a global average pooling without a ReLU the gradient is the same everywhere."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    explanation = sc.explain(classifier(network), batch(dtype=torch.float32), 0)
    assert explanation.constant("gradient", "0")
    assert (explanation.resized("gradient", "0") == 0).all()
    assert not explanation.constant("normgrad", "0")
    assert explanation.energy("0") == pytest.approx(1)


def test_a_class_that_depends_on_nothing_has_no_energy_and_constant_maps() -> None:
    network = seeded()
    with torch.no_grad():
        network.head.weight[4] = 0
    explanation = sc.explain(classifier(network), batch(), 4)
    assert explanation.energy("act") is None
    alive = [method for method in explanation.methods if not explanation.constant(method, "act")]
    assert alive == [method for method in explanation.methods if not sc.METHODS[method].class_specific]
    assert alive == ["eigen_cam"]


def test_the_input_can_be_requested_like_a_layer() -> None:
    clf, x = classifier(), batch()
    explanation = sc.explain(clf, x, 1, ["input", "bn"], ["gradient", "linear_approx"])
    inputs = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(clf.module(inputs)[0, 1], inputs)
    np.testing.assert_allclose(explanation.map("gradient", "input"), slope[0].abs().amax(0), rtol=1e-5)
    assert explanation.layers[0] == sc.Layer("input", 3, 24, 24)
    np.testing.assert_array_equal(
        explanation.map("gradient", "bn"), sc.explain(clf, x, 1, ["bn"]).map("gradient", "bn")
    )


def test_methods_of_several_kinds_can_be_requested_together_and_joined() -> None:
    clf, x = classifier(), batch()
    one = sc.explain(clf, x, 1)
    other = sc.explain(clf, x, 1, methods=["guided_backprop", "occlusion"])
    joined = one.joined(other)
    assert joined.methods == (*one.methods, "guided_backprop", "occlusion")
    assert joined.has("guided_backprop", "act")
    assert not joined.has("occlusion", "act")
    assert joined.layers_of("occlusion") == (sc.Layer("input", 3, 24, 24),)
    assert joined.layers_of("normgrad") == one.layers
    np.testing.assert_array_equal(joined.map("occlusion", "input"), other.map("occlusion", "input"))
    assert joined.nbytes > one.nbytes
    with pytest.raises(ValueError, match="different photos, classes, layers or meta steps"):
        one.joined(sc.explain(clf, x, 2))
    with pytest.raises(ValueError, match="unknown layer 'act'; .*choices: input"):
        joined.map("occlusion", "act")


@pytest.mark.parametrize("names", [None, ["normgrad_proper", "normgrad", "guided_backprop", "rise"]])
def test_several_images_are_explained_as_each_alone(names: list[str] | None) -> None:
    clf, x, targets = classifier(default_layers=["conv", "bn", "down", "act"]), batch(3), [0, 3, 1]
    options = None if names is None else {"rise": {"masks": 9}}
    together = sc.explain_many(clf, x, targets, methods=names, options=options)
    assert [each.target for each in together] == targets
    for index, found in enumerate(together):
        alone = sc.explain(clf, x[index : index + 1], targets[index], methods=names, options=options)
        assert (found.label, found.layers, found.methods) == (alone.label, alone.layers, alone.methods)
        assert (found.box, found.size, found.nbytes) == (alone.box, alone.size, alone.nbytes)
        np.testing.assert_allclose(found.probabilities, alone.probabilities, rtol=1e-6)
        for method in found.methods:
            for layer in found.layers_of(method):
                ours, theirs = found.map(method, layer), alone.map(method, layer)
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
                assert not ours.flags.writeable
        for layer in found.layers:
            assert found.energy(layer) == pytest.approx(alone.energy(layer), rel=1e-6)


def test_several_images_take_one_forward_and_one_backward_pass() -> None:
    clf = classifier()
    forward: list[int] = []
    backward: list[int] = []

    def watch(_module: object, _inputs: object, output: torch.Tensor) -> None:
        forward.append(len(output))
        output.register_hook(lambda gradient: backward.append(len(gradient)))

    handle = clf.module.down.register_forward_hook(watch)
    found = sc.explain_many(clf, [batch(), batch(seed=2), batch(seed=3)])
    handle.remove()
    assert (forward, backward) == ([3], [3])
    assert [each.target for each in found] == [int(each.probabilities.argmax()) for each in found]


def test_after_a_meta_step_each_image_has_its_own_stepped_network() -> None:
    clf, x, meta = classifier(), batch(2), sc.MetaStep(0.1)
    together = sc.explain_many(clf, x, 2, methods=["normgrad"], meta=meta)
    for index, found in enumerate(together):
        alone = sc.explain(clf, x[index : index + 1], 2, methods=["normgrad"], meta=meta)
        np.testing.assert_array_equal(found.map("normgrad", "act"), alone.map("normgrad", "act"))
        assert found.meta == meta


def test_photos_of_different_sizes_are_explained_together() -> None:
    random = np.random.default_rng(0)
    photos = [
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
        for shape in ((60, 90, 3), (40, 30, 3))
    ]
    clf = classifier(seeded(dtype=torch.float32))
    found = sc.explain_many(clf, photos, "class 1", methods=["normgrad"], fit="stretch")
    assert [each.box for each in found] == [(0, 0, 90, 60), (0, 0, 30, 40)]
    alone = sc.explain(clf, photos[1], 1, methods=["normgrad"], fit="stretch").map("normgrad", "act")
    np.testing.assert_allclose(found[1].map("normgrad", "act"), alone, rtol=0, atol=1e-5 * alone.max())


@pytest.mark.parametrize("meta", [None, sc.MetaStep(0.1)])
def test_the_classes_of_a_photo_are_explained_where_it_was_fitted(meta: sc.MetaStep | None) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    clf = classifier(seeded(dtype=torch.float32))
    for fit, box in (("stretch", (0, 0, 90, 60)), ("crop", (15, 0, 75, 60))):
        for found in sc.explain_classes(clf, image, [0, 3], methods=["normgrad"], fit=fit, meta=meta):
            assert found.box == box
            alone = sc.explain(clf, image, found.target, methods=["normgrad"], fit=fit, meta=meta)
            np.testing.assert_allclose(
                found.map("normgrad", "act"), alone.map("normgrad", "act"), rtol=1e-4, atol=1e-9
            )


def test_explanations_before_and_after_a_meta_step_are_not_joined() -> None:
    clf, x = classifier(), batch()
    before = sc.explain(clf, x, 1, methods=["normgrad"])
    after = sc.explain(clf, x, 1, methods=["grad_cam"], meta=sc.MetaStep(1e-9))
    with pytest.raises(sc.ArgumentError, match="different photos, classes, layers or meta steps"):
        before.joined(after)
    same = sc.explain(clf, x, 1, methods=["normgrad"], meta=sc.MetaStep(1e-9))
    assert same.joined(after).methods == ("normgrad", "grad_cam")


def test_an_explanation_of_another_network_is_not_joined() -> None:
    with pytest.raises(sc.ArgumentError, match="cannot be joined"):
        sc.explain(classifier(seeded(classes=4)), batch(), 1).joined(sc.explain(classifier(), batch(), 1))


def test_some_methods_of_an_explanation_hold_their_own_maps_alone() -> None:
    found = sc.explain(classifier(), batch(), 1)
    some = found.only(["grad_cam", "normgrad"])
    assert some.methods == ("grad_cam", "normgrad")
    np.testing.assert_array_equal(some.map("normgrad", "act"), found.map("normgrad", "act"))
    assert not some.has("gradient", "act")
    assert some.map("normgrad", "act").base is None  # a view would keep the memory of all
    assert some.nbytes < found.nbytes / 5
    assert found.only("grad_cam").methods == ("grad_cam",)
    with pytest.raises(sc.UnknownNameError, match="'gradient' was not computed; name it"):
        some.map("gradient", "act")


def test_explanations_are_compared_by_identity_and_can_be_keys() -> None:
    one, other = (sc.explain(classifier(), batch(), 1, methods=["normgrad"]) for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_a_layer_stands_for_its_name() -> None:
    clf = classifier()
    layer = clf.layers[-1]
    found = sc.explain(clf, batch(), 1, [layer])
    np.testing.assert_array_equal(found.map("normgrad", layer), found.map("normgrad", layer.name))
    np.testing.assert_array_equal(found.resized("normgrad", layer), found.resized("normgrad", layer.name))
    assert found.constant("normgrad", layer) == found.constant("normgrad", layer.name)
    assert found.energy(layer) == found.energy(layer.name)
    assert found.has("normgrad", layer)


def test_a_single_name_stands_for_itself() -> None:
    found = sc.explain(classifier(), batch(), 1, "act", "normgrad")
    assert (found.methods, [layer.name for layer in found.layers]) == (("normgrad",), ["act"])


def test_the_memory_counted_is_the_memory_of_the_maps() -> None:
    explanation = sc.explain(classifier(), batch())
    cells = sum(layer.height * layer.width for layer in explanation.layers)
    assert explanation.nbytes == 4 * (cells * len(SINGLE_PASS) + 5)


def test_an_overflowing_network_is_reported_with_method_and_layer() -> None:
    network = seeded(dtype=torch.float32)
    with torch.no_grad():
        network.down.weight[0] *= 1e30  # activations of a channel that no score depends on
        network.head.weight *= 1e15
        network.head.weight[:, 0] = 0
    with pytest.raises(sc.NonFiniteError, match="at layer '.*' contains NaN or infinity"):
        sc.explain(classifier(network), batch(dtype=torch.float32), 0)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda clf: sc.explain(clf, batch(2)), r"expected one prepared image \(1, 3, H, W\)"),
        (lambda clf: sc.explain(clf, batch(), methods=["gradcam"]), "did you mean 'grad_cam'"),
        (lambda clf: sc.explain(clf, batch(), methods=[]), "no method was asked for"),
        (lambda clf: sc.explain(clf, batch()).map("normgrad", "conv"), "unknown layer 'conv'; .*branch, act"),
        (lambda clf: sc.explain(clf, batch()).map("saliency", "act"), "unknown method 'saliency'"),
        (lambda clf: sc.explain(clf, batch()).energy("conv"), "unknown layer 'conv'"),
        (lambda clf: sc.explain(clf, Image.new("RGB", (9, 9)), fit="fill"), "unknown fit 'fill'"),
        (lambda clf: sc.explain(clf, batch(), layers=7), "layers is 7; expected layers or their names"),
        (lambda clf: sc.explain(clf, batch(), methods=7), "methods is 7; expected names of methods"),
        (lambda clf: sc.explain(clf, batch()).only("rise"), "unknown method 'rise'"),
        (lambda clf: sc.explain(clf, batch()).only([]), "no method was asked for"),
        (lambda clf: sc.explain_many(clf, []), "no images were given"),
        (lambda clf: sc.explain_many(clf, Image.new("RGB", (9, 9))), "images is a single image"),
        (lambda clf: sc.explain_many(clf, batch(2), [1]), "1 targets were given for 2 images"),
        (lambda clf: sc.explain_many(clf, batch(2)[0]), r"image has shape \(24, 24\); expected one"),
        (
            lambda clf: sc.explain_many(clf, [batch(), batch()[..., :20]]),
            r"different shapes, \(1, 3, 24, 24\), \(1, 3, 24, 20\)",
        ),
        (lambda clf: sc.explain_classes(clf, batch(), "cat"), "classes is 'cat'; expected a sequence"),
        (lambda clf: sc.explain_classes(clf, batch(), 3), "classes is 3; expected a sequence"),
        (lambda clf: sc.explain_classes(clf, batch(), []), "no class was asked for"),
    ],
)
def test_a_wrong_question_is_answered_with_the_choices(question, message: str) -> None:
    with pytest.raises(sc.SaliencyError, match=message):
        question(classifier())


def test_a_photo_is_explained_where_the_network_looked() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    clf = classifier(seeded(dtype=torch.float32))
    explanation = sc.explain(clf, image, 0, fit="stretch")
    assert (explanation.box, explanation.size) == ((0, 0, 90, 60), (24, 24))
    x, _ = clf.prepare(image, "stretch")
    np.testing.assert_array_equal(
        explanation.map("normgrad", "act"), sc.explain(clf, x, 0).map("normgrad", "act")
    )


@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_the_layers_of_published_weights_are_default_layers(name: str) -> None:
    spec = sc.MODELS[name]
    small = sc.Preprocess(size=64)
    clf = sc.Classifier(without_weights(spec.build), preprocess=small, default_layers=spec.default_layers)
    assert spec.presets
    for weights in spec.presets.values():
        assert set(weights) <= set(clf.default_layers)
        assert sum(weights.values()) == pytest.approx(1, abs=2e-4)


def test_resnet18_keeps_its_true_stages_through_in_place_operations() -> None:
    clf = sc.load_classifier("resnet18", "cpu", random=1)
    assert [(layer.name, layer.height) for layer in sc.explain(clf, torch.zeros(1, 3, 224, 224)).layers] == [
        ("relu", 112),
        ("layer1", 56),
        ("layer2", 28),
        ("layer3", 14),
        ("layer4", 7),
    ]


def test_a_deep_copy_of_a_classifier_is_explained_alike_and_shares_no_weights() -> None:
    image = torch.rand((1, 3, 24, 24), generator=torch.Generator().manual_seed(0))
    clf = classifier(seeded(dtype=torch.float32))
    before = sc.explain(clf, image, 0)
    own = copy.deepcopy(clf)
    assert (own.labels, own.default_layers) == (clf.labels, clf.default_layers)
    np.testing.assert_array_equal(
        sc.explain(own, image, 0).map("normgrad", "act"), before.map("normgrad", "act")
    )
    with torch.no_grad():
        for parameter in own.module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(
        sc.explain(clf, image, 0).map("normgrad", "act"), before.map("normgrad", "act")
    )
