"""What is found in third-party networks: their stages, and only layers with maps."""

import warnings
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import nn

import saliency_core as sc
from tests.networks import without_weights

STAGES = {
    "resnet18": "relu layer1 layer2 layer3 layer4",
    "resnet50": "relu layer1 layer2 layer3 layer4",
    "resnext50_32x4d": "relu layer1 layer2 layer3 layer4",
    "wide_resnet50_2": "relu layer1 layer2 layer3 layer4",
    "vgg16": "features.3 features.8 features.15 features.22 features.29 features.30",
    "vgg16_bn": "features.5 features.12 features.22 features.32 features.42 features.43",
    "alexnet": "features.1 features.4 features.11 features.12",
    "densenet121": "features.relu0 features.denseblock1 features.denseblock2 features.denseblock3 "
    "features.norm5",
    "googlenet": "conv1 conv3 inception3b inception4e inception5b",
    "inception_v3": "Conv2d_2b_3x3 Conv2d_4a_3x3 Mixed_5d Mixed_6e Mixed_7c",
    "squeezenet1_1": "features.1 features.4 features.7 features.12",
    "mobilenet_v2": "features.1 features.3 features.6 features.13 features.18",
    "mobilenet_v3_large": "features.1 features.3 features.6 features.12 features.16",
    "shufflenet_v2_x1_0": "conv1 maxpool stage2 stage3 conv5",
    "mnasnet1_0": "layers.7 layers.8 layers.9 layers.11 layers.16",
    "regnet_y_400mf": "stem trunk_output.block1 trunk_output.block2 trunk_output.block3 trunk_output.block4",
    "efficientnet_b0": "features.1 features.2 features.3 features.5 features.8",
    "convnext_tiny": "features.1 features.3 features.5 features.7",
    "timm/tf_efficientnet_lite0": "blocks.0 blocks.1 blocks.2 blocks.4 bn2",
    "timm/resnet26d": "act1 layer1 layer2 layer3 layer4",
    "timm/convnext_atto": "stages.0 stages.1 stages.2 stages.3",
    "timm/ghostnet_100": "blocks.0 blocks.2 blocks.4 blocks.6 blocks.9",
}
"""The default layers by model; those of timm are marked."""

SIZES = {"inception_v3": 192, "alexnet": 128}


def named(name: str) -> nn.Module:
    if name.startswith("timm/"):
        return without_weights(lambda: timm.create_model(name.removeprefix("timm/"), pretrained=False))
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return without_weights(lambda: torchvision.models.get_model(name, weights=None, **options))


def classifier(network: nn.Module, size: int = 64) -> sc.Classifier:
    return sc.Classifier(network, preprocess=sc.Preprocess(size=size))


@pytest.mark.parametrize("name", STAGES)
def test_the_default_layers_are_the_stages_a_person_would_name(name: str) -> None:
    found = classifier(named(name), SIZES.get(name, 64))
    assert " ".join(found.default_layers) == STAGES[name]
    assert found.notice is None


def quietly(build: Callable[[], sc.Classifier]) -> sc.Classifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return build()


def torchvision_vit(size: int) -> nn.Module:
    return torchvision.models.VisionTransformer(size, 16, 2, 2, 32, 64)


def torchvision_swin(width: int) -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], width, [2, 2, 2], [2, 2, 4], [7, 7])


def timm_vit(size: int) -> nn.Module:
    return timm.models.VisionTransformer(size, 16, embed_dim=32, depth=2, num_heads=2)


def timm_swin(size: int, width: int) -> nn.Module:
    return timm.models.SwinTransformer(size, 4, embed_dim=width, depths=(2, 2, 2), num_heads=(2, 2, 2))


def explicit_attention(network: nn.Module) -> nn.Module:
    """The attention matrix computed as a tensor, as timm does without the fused kernel."""
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return network


@pytest.mark.parametrize(
    ("network", "size", "layers"),
    [
        (torchvision_vit(64), 64, ["conv_proj"]),
        (explicit_attention(timm_vit(64)), 64, ["patch_embed.proj"]),
        (explicit_attention(timm_vit(128)), 128, ["patch_embed.proj"]),  # 65 tokens: a square matrix of them
        (explicit_attention(timm_swin(112, 24)), 112, ["patch_embed.proj"]),
    ],
)
def test_of_a_transformer_only_the_patch_embedding_is_taken_and_a_notice_says_so(
    network: nn.Module, size: int, layers: list[str]
) -> None:
    with pytest.warns(UserWarning, match=f"only one layer of this network has maps .* '{layers[0]}'"):
        found = classifier(network, size)
    assert [layer.name for layer in found.layers] == layers == list(found.default_layers)
    assert found.notice is not None
    assert "because its output has shape" in found.notice or "attention matrix" in found.notice


@pytest.mark.parametrize("width", [24, 28])  # 28 channels at 28 × 28 locations: a tensor of equal sides
def test_of_torchvisions_swin_only_channels_first_layers_are_taken(width: int) -> None:
    found = classifier(torchvision_swin(width), 112)
    sizes = [(layer.name, layer.channels, layer.height) for layer in found.layers]
    assert sizes == [("features.0.0", width, 28), ("permute", 4 * width, 7)]
    assert "(N, 28, 28" in found.survey.refused["features.1.0"]


def test_a_layer_with_equal_axes_in_a_network_of_one_input_size_is_refused() -> None:
    """Of a Swin Transformer for 112 × 112 pixels with 28 channels both are (N, 28, 28, 28): the patch
    embedding, which has its channels first, and the blocks, which have them last.
    """
    found = quietly(lambda: classifier(timm_swin(112, 27), 112))
    assert [layer.name for layer in found.layers] == ["patch_embed.proj"]
    with pytest.raises(sc.NetworkError, match="no layer of the network has maps"):
        classifier(timm_swin(112, 28), 112)


def test_attention_at_which_no_fused_kernel_is_used_is_named_as_such() -> None:
    found = quietly(lambda: classifier(explicit_attention(timm_vit(64)), 64))
    with pytest.raises(sc.LayerError, match="is an attention matrix"):
        sc.capture(found, torch.randn(1, 3, 64, 64), 0, ["blocks.0.attn.attn_drop"])


def test_discovery_is_a_few_passes_long() -> None:
    """Counted, not timed: two more forward passes than the one with gradients, on at most twice the area."""
    passes: list[int] = []
    network = named("resnet18")
    network.conv1.register_forward_hook(lambda module, inputs, _: passes.append(inputs[0][:, 0].numel()))
    classifier(network, 224)
    assert len(passes) == 3
    assert sum(passes) <= 6.1 * 224**2
