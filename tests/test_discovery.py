"""What is found in third-party networks: their stages, and only layers with maps."""

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


def torchvision_swin(width: int) -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], width, [2, 2, 2], [2, 2, 4], [7, 7])


def timm_vit(size: int, depth: int = 2) -> nn.Module:
    return timm.models.VisionTransformer(size, 16, embed_dim=32, depth=depth, num_heads=2)


def timm_swin(size: int, width: int) -> nn.Module:
    return timm.models.SwinTransformer(size, 4, embed_dim=width, depths=(2, 2, 2), num_heads=(2, 2, 2))


def explicit_attention(network: nn.Module) -> nn.Module:
    """The attention matrix computed as a tensor, as timm does without the fused kernel."""
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return network


@pytest.mark.parametrize(("size", "tokens"), [(64, 16), (128, 64)])
def test_of_a_network_with_a_class_token_the_blocks_are_taken_but_the_last(size: int, tokens: int) -> None:
    found = classifier(explicit_attention(timm_vit(size, depth=16)), size)
    assert list(found.default_layers) == [
        f"blocks.{each}" for each in (1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14)
    ]
    assert f"gradient at the {tokens} tokens of the image is zero" in found.survey.refused["blocks.15"]
    assert found.notice is None


def test_of_two_blocks_the_one_that_is_read_is_taken() -> None:
    assert classifier(timm_vit(64), 64).default_layers == ("blocks.0",)


@pytest.mark.parametrize("width", [24, 28])  # 28 channels at 28 × 28 locations: a tensor of equal sides
def test_of_swin_the_blocks_are_taken_for_one_input_size_and_for_any(width: int) -> None:
    found = classifier(torchvision_swin(width), 112)
    kinds = {name: layout.name for name, layout in found.survey.layouts.items()}
    assert (kinds["features.0.0"], kinds["features.1.0"], kinds["permute"]) == (
        "channels_first",
        "channels_last",
        "channels_first",
    )
    blocks = [f"features.{stage}.{each}" for stage in (1, 3, 5) for each in range(2)]
    assert list(found.default_layers) == blocks
    found = classifier(timm_swin(112, width), 112)
    kinds = {name: layout.name for name, layout in found.survey.layouts.items()}
    assert (kinds["patch_embed.proj"], kinds["patch_embed"], kinds["layers.0.blocks.0.attn"]) == (
        "channels_first",
        "channels_last",
        "windows_of_tokens",
    )
    blocks = [f"layers.{stage}.blocks.{each}" for stage in range(3) for each in range(2)]
    assert list(found.default_layers) == blocks


def test_attention_at_which_no_fused_kernel_is_used_is_named_as_such() -> None:
    found = classifier(explicit_attention(timm_vit(64)), 64)
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
