import re
import threading
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

import saliency_core as sc
from saliency_core.models.catalogue import libraries, timm_models
from saliency_core.models.catalogue.labels import DATASETS, class_labels
from saliency_core.models.catalogue.loading import build_classifier
from saliency_core.models.catalogue.names import parse_name
from saliency_core.models.initialisation import seeded_network, skeleton
from saliency_core.models.weights.hub import HubFile

CURATED = list(sc.MODELS)
SMALL = ["squeezenet1_1", "shufflenet_v2_x1_0", "timm:test_vit", "timm:test_resnet", "timm:regnetz_005"]


def library_entry(name: str) -> sc.ModelSpec:
    """What the library's own metadata says of a curated model."""
    spec = sc.MODELS[name]
    parsed = parse_name(name)
    return libraries.LIBRARIES[parsed.prefix].model_spec(parsed.architecture, spec.tag)


# -- the curated list ----------------------------------------------------------------------------------------


WANTED = """
alexnet vgg11 vgg16 vgg16_bn vgg19 resnet18 resnet34 resnet50 resnet101 resnext50_32x4d wide_resnet50_2
densenet121 googlenet inception_v3 squeezenet1_1 mobilenet_v2 mobilenet_v3_large shufflenet_v2_x1_0
mnasnet1_0 regnet_y_800mf efficientnet_b0 efficientnet_v2_s convnext_tiny swin_t vit_b_16
timm:vit_small_patch16_224 timm:deit_small_patch16_224 timm:vit_small_patch14_reg4_dinov2 timm:mixer_b16_224
"""


def test_the_curated_list_has_every_architecture_that_users_ask_for_first() -> None:
    assert set(CURATED) == {sc.DEFAULT_MODEL, *WANTED.split()}
    assert CURATED[0] == sc.DEFAULT_MODEL


@pytest.mark.parametrize("name", CURATED)
def test_a_curated_entry_agrees_with_its_network(name: str) -> None:
    spec = sc.MODELS[name]
    network = skeleton(spec.build).eval().to("meta")
    with torch.no_grad(), torch.device("meta"):
        scores = network(torch.empty(1, spec.preprocess.channels, *spec.preprocess.input_size))
    assert scores.shape == (1, len(spec.labels()))
    assert set(spec.default_layers or ()) <= {layer for layer, _ in network.named_modules()}
    assert all(set(weights) <= dict(network.named_modules()).keys() for weights in spec.presets.values())
    details = spec.details()
    assert details.classes == len(spec.labels())
    assert details.input_size == (3, *spec.preprocess.input_size)
    assert spec.summary.endswith(".")
    assert len(spec.summary) < 100
    assert re.search(r"\b(19|20)\d\d$", spec.reference)


@pytest.mark.parametrize("name", CURATED[1:])
def test_a_curated_entry_says_what_its_library_says(name: str) -> None:
    ours, theirs = sc.MODELS[name], library_entry(name)
    assert ours.preprocess == theirs.preprocess
    assert ours.details() == theirs.details()
    assert ours.labels() == theirs.labels()
    if isinstance(theirs.source, HubFile):
        assert isinstance(ours.source, HubFile)
        assert (ours.source.repo, ours.source.filename) == (theirs.source.repo, theirs.source.filename)
        assert ours.download_bytes == ours.details().download_bytes
    else:
        assert ours.source == theirs.source


def test_the_papers_networks_keep_its_weights_layers_and_presets() -> None:
    assert sc.MODELS["resnet50"].tag == sc.MODELS["vgg16"].tag == "IMAGENET1K_V1"
    assert len(sc.MODELS["vgg16"].default_layers or ()) == 5
    assert list(sc.MODELS["resnet50"].presets) == ["By classification accuracy", "By feature spread"]
    assert not sc.MODELS["resnet50.IMAGENET1K_V2"].presets  # which are of other weights


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "resnet50.IMAGENET1K_V2",
        "timm:resnet18.a1_in1k",
        "timm:resnet18.a1_in1k.random-7",
        "resnet50.random",
        "resnet50.random-12",
        "folder:my.model",
        "own:" + "0123456789abcdef" * 2,
    ],
)
def test_a_name_and_its_parts_stand_for_each_other(name: str) -> None:
    assert str(parse_name(name)) == name


def test_every_name_of_the_libraries_has_an_entry() -> None:
    names = [*found("torchvision", 10_000), *found("timm", 10_000)]
    assert len(names) > 1900
    assert len(set(names)) == len(names)
    for name in names:
        spec = sc.MODELS[name]
        assert spec.name == name
        assert spec.random or spec.tag is not None or spec.embedded
        assert spec.preprocess.channels == 3
    assert all(
        f"timm:{each}" in sc.MODELS or f"timm:{each}.random" in sc.MODELS for each in timm.list_models()
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected an architecture such as 'resnet50'"),
        ("nonsense", "unknown model 'nonsense'; search the catalogue"),
        ("timm:vit_smal_patch16_224", "did you mean 'timm:vit_small_patch16_224'"),
        ("vit_small_patch16_224", "did you mean 'timm:vit_small_patch16_224'"),
        ("timm:vgg16x", "did you mean 'timm:vgg16'"),
        ("resnet50.IMAGENET1K_V3", "did you mean 'resnet50.IMAGENET1K_V"),
        ("resnet50.random-x", "choices: resnet50.IMAGENET1K_V2, resnet50.IMAGENET1K_V1"),
        ("resnet50.random-99999999999", "unknown model"),
        ("timm:resnet18.", "expected an architecture"),
        ("hub:resnet18", "expected an architecture"),
        ("own:12", "expected an architecture"),
        ("own:" + "0" * 32, "not part of this catalogue"),
        ("fcn_resnet50", "unknown model"),  # segmentation
        ("quantized_resnet50", "unknown model"),
        ("vgg16.IMAGENET1K_FEATURES", "choices: vgg16.IMAGENET1K_V1"),  # has no classifier
        ("timm:convnext_atto_rms", "choose 'timm:convnext_atto_rms.random' for random ones"),
        ("../../etc/passwd", "expected an architecture"),
        ("resnet50\n", "expected an architecture"),
    ],
)
def test_a_name_that_is_none_is_answered_in_a_sentence(name: str, message: str) -> None:
    assert name not in sc.MODELS
    with pytest.raises(sc.UnknownNameError, match=re.escape(message)):
        sc.MODELS[name]


# -- search --------------------------------------------------------------------------------------------------


def found(query: str, limit: int = 50) -> list[str]:
    return [hit.name for hit in sc.MODELS.search(query, limit)]


def test_an_empty_search_gives_the_curated_models() -> None:
    assert found("  ") == CURATED
    assert found("", 3) == CURATED[:3]


def test_the_exact_name_comes_first_then_those_that_begin_with_it() -> None:
    assert found("resnet50")[:3] == ["resnet50", "resnet50.IMAGENET1K_V2", "timm:resnet50"]
    assert found("timm:resnet18.tv_in1k")[0] == "timm:resnet18.tv_in1k"
    names = found("resnet", 500)
    assert names[:4] == [name for name in CURATED if name.startswith("resnet")]
    begins = [name.rpartition(":")[2].startswith("resnet") for name in names]
    assert begins == sorted(begins, reverse=True)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("ViT-B/16", "vit_b_16"),
        ("vits16", "timm:vit_small_patch16_224"),
        ("wide resnet", "wide_resnet50_2"),
        ("DINO small", "timm:vit_small_patch14_dinov2"),
        ("in12k convnext tiny", "timm:convnext_tiny.in12k"),
        ("224 patch16 OPENAI clip", "timm:vit_base_patch16_clip_224.openai"),
        ("convnext_atto_rms", "timm:convnext_atto_rms.random"),
    ],
)
def test_every_word_must_occur_in_any_order_and_spelling(query: str, name: str) -> None:
    assert name in found(query)


def test_a_search_for_nothing_that_exists_finds_nothing() -> None:
    assert found("resnet qqq") == []
    assert found("***") == []


# -- details, labels and preprocessing -----------------------------------------------------------------------


def test_details_of_torchvision_are_its_metadata() -> None:
    details = sc.MODELS["vit_b_16.IMAGENET1K_SWAG_E2E_V1"].details()
    assert (details.parameters, details.top1, details.input_size) == (86_859_496, 85.304, (3, 384, 384))
    assert details.licence == "https://github.com/facebookresearch/SWAG/blob/main/LICENSE"
    assert details.download_bytes == pytest.approx(331.398 * 2**20, abs=1)
    assert details.tags == (
        "IMAGENET1K_V1",
        "IMAGENET1K_SWAG_E2E_V1",
        "IMAGENET1K_SWAG_LINEAR_V1",
    )
    assert sc.MODELS["resnet50"].details().licence is None


def test_details_of_timm_are_its_configuration_with_the_parameters_counted() -> None:
    details = sc.MODELS["timm:mobilenetv3_small_050"].details()
    assert details.parameters == sum(
        each.numel() for each in timm.create_model("mobilenetv3_small_050").parameters()
    )
    assert details.download_bytes == 4 * details.parameters
    assert (details.licence, details.dataset, details.top1) == ("apache-2.0", "ImageNet-1k", None)
    assert details.url == "https://huggingface.co/timm/mobilenetv3_small_050.lamb_in1k"


def test_a_model_that_no_library_describes_is_counted() -> None:
    spec = sc.ModelSpec(
        name="mine",
        title="Mine",
        summary="Mine.",
        build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(2 * 6, 5)),
        source=sc.MODELS["resnet18"].source,
        labels=lambda: list("abcde"),
        preprocess=sc.Preprocess((2, 3), mean=(0, 0), std=(1, 1)),
        reference="",
    )
    details = spec.details()
    assert (details.parameters, details.classes, details.input_size) == (65, 5, (2, 2, 3))
    assert spec.details() is details


@pytest.mark.parametrize("classes", [1000, 11_221, 11_821, 21_841, 21_842, 21_843])
def test_the_classes_of_imagenet_have_their_words(classes: int) -> None:
    labels = class_labels(classes)
    assert len(labels) == classes
    assert classes in DATASETS
    assert any("tabby" in label for label in labels)


def test_unknown_classes_are_numbered_and_outputs_without_classes_are_called_features() -> None:
    assert class_labels(3) == ["class 0", "class 1", "class 2"]
    spec = sc.MODELS["timm:vit_base_patch32_clip_224.openai"]
    assert spec.labels() == [f"feature {index}" for index in range(512)]
    assert "no classes" in spec.summary
    assert spec.details().dataset is None


def test_every_configuration_of_timm_gives_a_preprocessing() -> None:
    for architecture, tags in timm_models.tags().items():
        for tag in tags:
            config = timm_models.config(architecture, tag)
            assert timm_models.preprocess(config).input_size == tuple(config.input_size[1:])


# -- random weights ------------------------------------------------------------------------------------------


def states(name: str) -> dict[str, torch.Tensor]:
    spec = sc.MODELS[name]
    return seeded_network(spec.build, spec.seed or 0, (3, *spec.preprocess.input_size)).state_dict()


@pytest.mark.parametrize("name", SMALL)
def test_random_weights_follow_the_seed_and_nothing_else(name: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = states(f"{name}.random-3"), states(f"{name}.random-3"), states(f"{name}.random-4")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_random_weights_are_those_that_a_global_seed_gives() -> None:
    """Only the classifier and the statistics of normalisation may differ."""
    ours = states("squeezenet1_1.random-5")
    torch.manual_seed(5)
    theirs = torchvision.models.squeezenet1_1().state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_networks_drawn_at_once_in_two_threads_do_not_mix() -> None:
    alone = states("timm:test_vit.random-1")
    results: list[dict[str, torch.Tensor]] = []
    threads = [
        threading.Thread(target=lambda: results.append(states("timm:test_vit.random-1"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(torch.equal(alone[key], each[key]) for each in results for key in alone)


@pytest.mark.parametrize("name", ["timm:gmixer_12_224", "timm:efficientnet_b0", "timm:test_vit", "googlenet"])
def test_scores_of_random_weights_differ_and_depend_on_the_input(name: str) -> None:
    """The classifier of gMixer starts at zero; the others' activations vanish without normalisation."""
    spec = sc.MODELS[f"{name}.random"]
    shape = (3, *spec.preprocess.input_size)
    network = seeded_network(spec.build, 0, shape)
    assert network.training  # as its library builds it
    inputs = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scores = network.eval()(inputs).double()
    assert scores.std(dim=1).min() > 1e-3
    assert (scores[0] - scores[1]).std() > 1e-3


def test_the_embedded_network_can_have_random_weights_and_says_so() -> None:
    spec = sc.MODELS[f"{sc.DEFAULT_MODEL}.random-2"]
    assert spec.title == "EfficientNet-Lite0, random weights"
    assert (spec.random, spec.seed, spec.download_bytes) == (True, 2, None)
    assert spec.details().top1 is None
    trained, random = (sc.load_classifier(name).module for name in (sc.DEFAULT_MODEL, spec.name))
    assert not torch.equal(trained.conv_stem.weight, random.conv_stem.weight)


# -- files of the libraries ----------------------------------------------------------------------------------


def loaded(name: str, state: dict[str, torch.Tensor], path: Path) -> nn.Module:
    """The network that a file with these tensors gives."""
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    spec = sc.MODELS[name]
    network = spec.build()
    assert spec.load is not None
    spec.load(network, path)
    return network


def other_weights(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape))
    return network


@pytest.mark.parametrize(
    "architecture", ["densenet121", "googlenet", "inception_v3", "mnasnet1_0", "shufflenet_v2_x1_0"]
)
def test_files_of_torchvision_load_as_torchvision_loads_them(architecture: str, tmp_path: Path) -> None:
    """With the names of old releases, heads for training, and without the counters of batches."""
    torch.manual_seed(0)
    has_heads = architecture in ("googlenet", "inception_v3")
    options = {"aux_logits": True, "init_weights": False} if has_heads else {}
    with torch.device("meta"):
        whole = torchvision.models.get_model(architecture, weights=None, **options)
    saved = other_weights(whole.to_empty(device="cpu")).state_dict()
    file = {}
    for key, value in saved.items():
        if not key.endswith("num_batches_tracked"):
            file[re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", key)] = value
    network = loaded(architecture, file, tmp_path / "weights.pth")
    state = network.state_dict()
    assert not any(value.is_meta for value in state.values())
    assert all(
        torch.equal(value, saved[key])
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    )
    if has_heads:
        assert network.transform_input
        assert len(state) < len(saved)


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet", "mobilenetv3_small_050"])
def test_files_of_timm_load_as_timm_loads_them(architecture: str, tmp_path: Path) -> None:
    saved = other_weights(timm.create_model(architecture)).state_dict()
    state = loaded(f"timm:{architecture}", saved, tmp_path / "model.safetensors").state_dict()
    assert all(torch.equal(state[key], saved[key]) for key in saved)


def test_a_file_of_timm_goes_through_the_networks_own_filter(tmp_path: Path) -> None:
    """ConvNeXt's authors named its parts otherwise than timm does."""
    saved = other_weights(timm.create_model("test_convnext")).state_dict()
    names = {
        r"^stem\.": "downsample_layers.0.",
        r"^stages\.(\d+)\.downsample\.": r"downsample_layers.\1.",
        r"^stages\.(\d+)\.blocks\.": r"stages.\1.",
        r"conv_dw\.": "dwconv.",
        r"mlp\.fc(\d)\.": r"pwconv\1.",
        r"^head\.norm\.": "norm.",
        r"^head\.fc\.": "head.",
    }
    file = {}
    for key, value in saved.items():
        for pattern, authors in names.items():
            key = re.sub(pattern, authors, key)
        file[key] = value
    assert "norm.weight" in file
    state = loaded("timm:test_convnext", file, tmp_path / "model.safetensors").state_dict()
    assert all(torch.equal(state[key], saved[key]) for key in saved)


@pytest.mark.parametrize("name", ["timm:test_resnet", "shufflenet_v2_x1_0"])
def test_a_file_of_another_network_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(sc.WeightsError, match="fit"):
        loaded(name, {"weight": torch.zeros(3)}, tmp_path / "model.safetensors")


def test_a_trained_network_is_built_without_drawing_and_without_the_global_generator(tmp_path: Path) -> None:
    saved = other_weights(timm.create_model("test_resnet")).state_dict()
    safetensors.torch.save_file(saved, tmp_path / "timm--test_resnet.r160_in1k.safetensors")
    before = torch.random.get_rng_state()
    clf = build_classifier(sc.MODELS["timm:test_resnet"], "cpu", weights_dir=tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    state = clf.module.state_dict()
    assert all(torch.equal(state[key], saved[key]) for key in saved)


def test_a_network_with_weights_of_five_dimensions_is_built() -> None:
    classifier = sc.load_classifier("timm:lambda_resnet26t.random", device="cpu")
    assert any(parameter.ndim == 5 for parameter in classifier.module.parameters())
