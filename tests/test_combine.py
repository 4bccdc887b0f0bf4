import numpy as np
import pytest

import saliency_core as sc
from saliency_core.combine import is_constant, normalise, resize


def bilinear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Half-pixel-centre bilinear interpolation, one pixel at a time."""
    height, width = values.shape
    result = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = min(max((row + 0.5) * height / size[0] - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / size[1] - 0.5, 0), width - 1)
            top, left = int(y), int(x)
            low, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = values[top, left] * (1 - x + left) + values[top, right] * (x - left)
            lower = values[low, left] * (1 - x + left) + values[low, right] * (x - left)
            result[row, column] = upper * (1 - y + top) + lower * (y - top)
    return result


@pytest.fixture
def maps() -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.random(shape).astype(np.float32) for shape in ((4, 4), (7, 5), (2, 3))]


@pytest.mark.parametrize("how", ["product", "sum"])
@pytest.mark.parametrize("weights", [[1, 1, 1], [0, 2, 5], [0.3, 0, 0]])
def test_the_mix_equals_its_definition(maps: list[np.ndarray], weights: list[float], how: str) -> None:
    planes = [bilinear(values, (12, 10)) for values in maps]
    planes = [(plane - plane.min()) / (plane.max() - plane.min()) for plane in planes]
    gamma = np.array(weights) / sum(weights)
    terms = [m**g if how == "product" else g * m for m, g in zip(planes, gamma, strict=True)]
    slow = np.prod(terms, axis=0) if how == "product" else np.sum(terms, axis=0)
    mixed = sc.combine(maps, weights, how, size=(12, 10))
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, slow, atol=2e-6)


def test_weights_matter_only_in_proportion(maps: list[np.ndarray]) -> None:
    np.testing.assert_allclose(sc.combine(maps, [1, 2, 3]), sc.combine(maps, [100, 200, 300]), rtol=1e-6)


def test_a_layer_of_weight_zero_has_no_say_even_where_it_is_zero(maps: list[np.ndarray]) -> None:
    np.testing.assert_array_equal(sc.combine([np.eye(3), maps[0]], [0, 1]), sc.combine([maps[0]]))


def test_a_constant_map_is_left_out_with_its_weight(maps: list[np.ndarray]) -> None:
    flat = np.full((3, 3), 7.0, np.float32)
    for how in ("product", "sum"):
        mixed = sc.combine([flat, *maps], [9, 1, 2, 3], how)
        np.testing.assert_array_equal(mixed, sc.combine(maps, [1, 2, 3], how))
    assert (sc.combine([flat, flat]) == 0).all()


def test_rounding_noise_on_a_constant_map_is_still_constant() -> None:
    values = np.full((4, 4), 0.1, np.float32)
    values[0, 0] = np.nextafter(values[0, 0], np.float32(1))
    assert is_constant(values)
    assert (normalise(values) == 0).all()
    assert not is_constant(np.array([[1.0, 1.001]]))


@pytest.mark.parametrize("middle", [1.0, -1.0, 1e-20])
def test_a_map_is_constant_up_to_a_ten_thousandth_of_its_largest_value(middle: float) -> None:
    """Where channels cancel float32 leaves a few 1e-5; what varies by three times the limit is a map."""
    assert is_constant(np.array([[middle, middle * (1 - 0.9e-4)]]))
    assert not is_constant(np.array([[middle, middle * (1 - 3e-4)]]))


def test_between_equal_values_a_resized_map_has_just_this_value() -> None:
    # Mixed as a product with a small weight, the least rounding beside a minimum would be seen.
    values = np.random.default_rng(0).random((7, 7), np.float32)
    values[2:4, 2:4] = values.min() / 3
    large = resize(values, (448, 448))
    inside = slice(64 * 5 // 2, 64 * 7 // 2)  # between the centres of the four
    assert np.array_equal(large[inside, inside], np.full((64, 64), values[2, 2]))
    corner = slice(0, 32)  # before the first centre
    assert np.array_equal(large[corner, corner], np.full((32, 32), values[0, 0]))


def test_resizing_a_read_only_map_leaves_it_alone() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    values.flags.writeable = False
    np.testing.assert_allclose(resize(values, (5, 7)), bilinear(values, (5, 7)), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "no maps were given"),
        (([np.ones(3)],), r"map 0 has shape \(3,\); expected \(height, width\)"),
        (([np.array([[0, np.nan]])],), "map 0 contains NaN or infinity"),
        (([np.eye(2)], [1, 2]), "2 weights were given for 1 maps"),
        (([np.eye(2)], [0]), "at least one above 0"),
        (([np.eye(2)], [-1]), "finite numbers >= 0"),
        (([np.eye(2)], [float("inf")]), "finite numbers"),
        (([np.eye(2)], [1], "mean"), "unknown how 'mean'; .*choices: product, sum"),
    ],
)
def test_a_mix_that_makes_no_sense_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.combine(*arguments)


def test_presets_sum_to_one() -> None:
    layers = ["layer1", "layer2", "layer3", "layer4"]
    assert sc.layer_weights(layers) == (0.25, 0.25, 0.25, 0.25)
    assert sc.layer_weights(layers, "linear") == pytest.approx((0.1, 0.2, 0.3, 0.4))
    published = sc.MODELS["resnet50"].presets["By classification accuracy"]
    with_stem = sc.layer_weights(["relu", *layers], published)
    assert with_stem == pytest.approx((0, 0.0778, 0.1120, 0.1960, 0.6142))


@pytest.mark.parametrize(
    ("layers", "preset", "message"),
    [
        ([], "uniform", "no layers were given"),
        (["a"], "lineer", "unknown preset 'lineer'; did you mean 'linear'"),
        (["a"], {"b": 1.0}, "the preset is for b; the layers are a"),
    ],
)
def test_an_unknown_preset_is_refused(layers: list[str], preset: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.layer_weights(layers, preset)
