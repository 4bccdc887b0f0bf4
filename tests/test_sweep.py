"""A slim version of the sweep over the architectures; `python -m benchmarks --sweep` is the whole one."""

from __future__ import annotations

import pytest

import saliency_core as sc
from benchmarks.sweep import examine, sampled

SHALLOW = ("alexnet", "squeezenet1_1")
"""Networks of AlexNet's size, in which two layers are enough."""

KINDS = (
    *SHALLOW,
    "resnet18",
    "densenet121",
    "googlenet",
    "mobilenet_v3_large",
    "shufflenet_v2_x1_0",
    "mnasnet1_0",
    "regnet_y_400mf",
    "timm:vit_tiny_patch16_224",
    "timm:deit_tiny_distilled_patch16_224",
    "timm:convnext_atto",
    "timm:mixer_s32_224",
    "timm:edgenext_xx_small",
)
"""One of every kind of the curated list, a small one, and some more of timm's."""


@pytest.mark.parametrize("name", KINDS)
def test_a_network_with_random_weights_has_finite_maps_at_four_layers_or_more(name: str) -> None:
    found = examine(name)
    assert (found.sentence, found.defect) == ("", "")
    assert found.layers >= (2 if name in SHALLOW else 4)
    assert found.maps > 20 * found.layers
    assert found.constant <= 8  # behind global average pooling the gradient is the same everywhere


def test_the_sample_of_timm_is_the_same_every_time_and_all_its_names_can_be_had() -> None:
    names = sampled()
    assert names == sampled()
    assert len(set(names)) == 60
    assert all(sc.MODELS[f"{name}.random"].random for name in names)
