"""The names of a network's classes, found by their number."""

from __future__ import annotations

from collections.abc import Sequence

DATASETS = {
    1000: "ImageNet-1k",
    11_221: "ImageNet-21k-P",
    11_821: "ImageNet-12k",
    19_168: "ImageNet-21k (winter 2021)",
    21_841: "ImageNet-22k",
    21_842: "ImageNet-22k",
    21_843: "ImageNet-21k",
    115_217: "Bamboo",
}
"""What a published classifier with so many classes was trained on."""


def imagenet_labels() -> list[str]:
    """The thousand classes of ImageNet-1k as torchvision names them."""
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def class_labels(classes: int) -> list[str]:
    """The labels of a classifier with so many classes: ImageNet's where the number tells, else numbers.

    ImageNet-1k as torchvision names it; its larger sets (-12k, -21k in three orders, -21k-P) as timm's
    ``ImageNetInfo`` does, by the words of WordNet.
    """
    if classes == 1000:
        return imagenet_labels()
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    if subset is None:
        return [f"class {index}" for index in range(classes)]
    return list(ImageNetInfo(subset).label_descriptions())


def feature_labels(features: int) -> list[str]:
    """The labels of a network without classes, whose features take their place."""
    return [f"feature {index}" for index in range(features)]


def are_features(labels: Sequence[str]) -> bool:
    """Whether labels are those of a network without classes."""
    return list(labels) == feature_labels(len(labels))
