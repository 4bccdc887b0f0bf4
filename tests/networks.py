"""Small seeded networks for the tests, with the in-place operations that real ones have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import saliency_core as sc
from saliency_core.models.weights.sources import Embedded

SIDE = 24


class InPlaceNet(nn.Module):
    """Convolution, BatchNorm, an in-place ReLU, then a block with an in-place sum, then the scores."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, classes)

    def forward(self, batch: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(batch)))
        y = self.branch(x)
        y += x
        y = self.act(self.down(y))
        return self.head(self.pool(y).flatten(1))


def seeded(seed: int = 0, classes: int = 5, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The network above with seeded weights and BatchNorm statistics that do something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = InPlaceNet(classes)
        network.bn.running_mean.uniform_(-0.5, 0.5)
        network.bn.running_var.uniform_(0.5, 2)
    return network.to(dtype)


def classifier(network: nn.Module | None = None, **options: object) -> sc.Classifier:
    """A classifier for inputs of 24 × 24."""
    preprocess = sc.Preprocess(size=SIDE, resize=SIDE)
    return sc.Classifier(seeded() if network is None else network, preprocess=preprocess, **options)


def tiny_spec(folder: Path, build: Callable[[], nn.Module] = InPlaceNet) -> sc.ModelSpec:
    """A small model of a catalogue whose weights lie in a file of the folder."""
    file = folder / "tiny.pth"
    torch.save(seeded(dtype=torch.float32).state_dict(), file)
    return replace(
        sc.MODELS["resnet18"],
        name="tiny",
        title="Tiny",
        build=build,
        source=Embedded(lambda: str(file)),
        labels=lambda: list("abcde"),
        preprocess=sc.Preprocess(size=SIDE, resize=SIDE),
        default_layers=("branch", "act"),
        presets={"Even": {"branch": 0.5, "act": 0.5}},
    )


def batch(count: int = 1, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Seeded inputs."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, SIDE, SIDE, generator=generator, dtype=dtype)


def without_weights(build: Callable[[], nn.Module]) -> nn.Module:
    """A network with all weights zero, which costs no initialisation and has the same layers."""
    try:
        with torch.device("meta"):
            network = build()
    except NotImplementedError:  # computes its widths with tensors
        network = build()
    network.to_empty(device="cpu")
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.detach().zero_()
    return network
