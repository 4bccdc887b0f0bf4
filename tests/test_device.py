"""Explanations on ``SALIENCY_DEVICE``, in the memory layout that networks have there.

Without another device this compares the channels-last layout with the plain one, both on the CPU.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import saliency_core as sc
from saliency_core.methods.method import MultiPass
from tests.networks import batch, classifier, seeded, tiny_spec

DEVICE = torch.device(os.environ.get("SALIENCY_DEVICE", "").strip() or "cpu")
FEW_PASSES = {"rise": {"masks": 9}, "smoothgrad": {"samples": 5}, "integrated_gradients": {"steps": 4}}


def on_device() -> sc.Classifier:
    network = seeded().to(DEVICE, memory_format=torch.channels_last)
    return classifier(network)


def available(names: list[str]) -> list[str]:
    return [name for name in names if sc.unavailable(classifier(), name) is None]


@pytest.mark.parametrize("meta", [None, sc.MetaStep(0.05)], ids=["the network itself", "after a meta step"])
def test_every_single_pass_method_gives_the_maps_of_the_cpu(meta: sc.MetaStep | None) -> None:
    names = available([name for name, method in sc.METHODS.items() if not isinstance(method.kind, MultiPass)])
    inputs = batch(3)
    targets = [1, 4, 2]
    expected = sc.explain_many(classifier(), inputs, targets, methods=names, meta=meta)
    found = sc.explain_many(on_device(), inputs, targets, methods=names, meta=meta)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=1e-6)
        for name in names:
            for layer in other.layers_of(name):
                assert one.has(name, layer) == other.has(name, layer)
                if other.has(name, layer):
                    np.testing.assert_allclose(one.map(name, layer), other.map(name, layer), rtol=1e-6)


@pytest.mark.parametrize("name", [each for each, method in sc.METHODS.items() if method.passes])
def test_every_many_pass_method_gives_the_map_of_the_cpu(name: str) -> None:
    options = {name: FEW_PASSES[name]} if name in FEW_PASSES else None
    expected, found = (
        sc.explain(each, batch(), 1, methods=[name], options=options) for each in (classifier(), on_device())
    )
    np.testing.assert_allclose(found.map(name), expected.map(name), rtol=1e-6, atol=1e-9)


def test_a_model_loaded_by_name_is_on_the_device_in_the_layout_of_its_convolutions(tmp_path: Path) -> None:
    engine = sc.Engine(DEVICE, models={"tiny": tiny_spec(tmp_path)})
    loaded = engine.classifier("tiny")
    assert loaded.device.type == DEVICE.type
    expected = torch.channels_last if DEVICE.type in ("cpu", "cuda") else torch.contiguous_format
    weights = [each for each in loaded.module.parameters() if each.ndim == 4]
    assert weights
    assert all(each.is_contiguous(memory_format=expected) for each in weights)
