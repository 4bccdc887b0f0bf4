import pytest

import saliency_core as sc
from saliency_core.registry import Registry


def test_a_name_is_registered_only_once() -> None:
    registry: Registry[int] = Registry("thing")
    registry.add("one", 1)
    with pytest.raises(ValueError, match="thing 'one' is registered already"):
        registry.add("one", 2)
    assert registry["one"] == 1


def test_an_unknown_name_lists_the_choices_and_the_nearest_one() -> None:
    with pytest.raises(
        sc.UnknownNameError, match=r"unknown method 'norm_grad'; did you mean 'normgrad'.*grad_cam"
    ):
        sc.METHODS["norm_grad"]


def test_a_registry_is_an_ordered_mapping() -> None:
    assert next(iter(sc.MODELS)) == sc.DEFAULT_MODEL
    assert "nothing" not in sc.METHODS
    assert sc.METHODS.get("nothing") is None
    assert {} not in sc.METHODS  # an unhashable name is unknown, too
