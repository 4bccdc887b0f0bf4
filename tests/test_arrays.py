"""Explanations as NPZ files: what is written is read again, and files from anywhere do no harm."""

import io
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import saliency_core as sc
from saliency_core.version import VERSION
from tests.networks import batch, classifier

LABELS = ["ant", "bee, wasp", "größe <b>", "=1+1", "猫"]


@pytest.fixture(scope="module")
def pair() -> tuple[sc.Explanation, sc.Explanation]:
    clf = classifier(labels=LABELS, title="A title", presets={"Mine": {"act": 0.5}})
    return sc.explain_classes(clf, batch(), [2, 4])


def saved(*explanations: sc.Explanation, **options: str) -> io.BytesIO:
    file = io.BytesIO()
    sc.save_maps(file, *explanations, **options)
    file.seek(0)
    return file


def assert_equal(found: sc.Explanation, given: sc.Explanation) -> None:
    for name in ("target", "label", "layers", "methods", "box", "size", "channels", "seconds", "meta"):
        assert getattr(found, name) == getattr(given, name), name
    assert found.random_weights == given.random_weights
    np.testing.assert_array_equal(found.probabilities, given.probabilities)
    assert found.probability_after == given.probability_after
    for layer in given.layers:
        assert found.energy(layer) == given.energy(layer)
    for method in given.methods:
        assert found.layers_of(method) == given.layers_of(method)
        for layer in given.layers_of(method):
            values = found.map(method, layer)
            np.testing.assert_array_equal(values, given.map(method, layer))
            assert values.dtype == np.float32
            assert not values.flags.writeable
    for name in ("fit", "name", "title", "labels", "default_layers", "presets"):
        assert getattr(found.subject, name) == getattr(given.subject, name), name
    assert found.subject.image is None


def test_what_is_saved_is_loaded_again(pair: tuple[sc.Explanation, sc.Explanation], tmp_path: Path) -> None:
    path = tmp_path / "Größe & <b>.npz"
    sc.save_maps(path, *pair)
    assert_equal(sc.load_maps(path), pair[0])
    assert_equal(sc.load_maps(str(path), other=True), pair[1])


def test_a_photo_a_meta_step_and_maps_at_the_input_are_loaded_again() -> None:
    photo = Image.effect_noise((40, 30), 80).convert("RGB")
    clf = classifier()
    layers, methods = ["input", "bn", "act"], ["gradient", "normgrad_proper", "guided_backprop"]
    with_step = sc.explain(clf, photo, 1, ["down"], methods[:2], meta=sc.MetaStep(0.01, ascend=True))
    without = sc.explain(clf, photo, 1, layers, [methods[0], "occlusion"], fit="stretch")
    for each in (with_step, without):
        assert_equal(sc.load_maps(saved(each)), each)


def test_a_class_without_gradient_and_a_function_are_loaded_again() -> None:
    def bee_or_cat(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, 1] + logits[:, 2]

    found = sc.load_maps(saved(sc.explain(classifier(), batch(), bee_or_cat)))
    assert (found.target, found.label, found.probability) == (None, "bee or cat", None)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    dead = nn.Sequential(network, nn.Linear(4, 2))
    nn.init.zeros_(dead[1].weight)
    explanation = sc.explain(classifier(dead), batch(dtype=torch.float32), 0, ["0.1"])
    assert explanation.energy("0.1") is None
    assert sc.load_maps(saved(explanation)).energy("0.1") is None


def test_the_keys_of_the_file_are_readable_with_numpy_alone(
    pair: tuple[sc.Explanation, sc.Explanation],
) -> None:
    file = saved(*pair, photo="cat <1>.jpg")
    with np.load(file, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["maps/normgrad/act"], pair[0].map("normgrad", "act"))
        np.testing.assert_array_equal(arrays["other/maps/grad_cam/act"], pair[1].map("grad_cam", "act"))
        assert arrays["labels"].tolist() == LABELS
        assert arrays["photo"] == "cat <1>.jpg"
        assert arrays["software"] == f"NormGrad Studio {VERSION}"


def test_the_version_in_files_is_that_of_the_package() -> None:
    assert tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"] == VERSION


def test_the_same_explanation_gives_the_same_bytes(pair: tuple[sc.Explanation, sc.Explanation]) -> None:
    assert saved(*pair).getvalue() == saved(*pair).getvalue()


def test_a_name_with_another_ending_and_a_folder_that_is_not_there_are_refused(
    pair: tuple[sc.Explanation, sc.Explanation], tmp_path: Path
) -> None:
    with pytest.raises(sc.ArgumentError, match=r"'maps.npy'; the name must end in .npz"):
        sc.save_maps(tmp_path / "maps.npy", pair[0])
    with pytest.raises(sc.ArgumentError, match="'maps.npz' could not be written: No such file"):
        sc.save_maps(tmp_path / "none" / "maps.npz", pair[0])
    with pytest.raises(sc.ArgumentTypeError, match="expected an Explanation"):
        sc.save_maps(tmp_path / "maps.npz", None)


def test_a_file_that_is_missing_or_has_one_explanation_alone_is_said(
    pair: tuple[sc.Explanation, sc.Explanation], tmp_path: Path
) -> None:
    with pytest.raises(sc.ArgumentError, match=r"there is no file 'none.npz'"):
        sc.load_maps(tmp_path / "none.npz")
    with pytest.raises(sc.ArgumentError, match="maps of one explanation, and the other one was asked for"):
        sc.load_maps(saved(pair[0]), other=True)


def changed(
    pair: tuple[sc.Explanation, ...], change: Callable[[dict[str, np.ndarray]], object]
) -> io.BytesIO:
    """The file of an explanation with other entries."""
    with np.load(saved(pair[0])) as file:
        arrays = dict(file)
    change(arrays)
    found = io.BytesIO()
    np.savez(found, **arrays)
    return found


HOSTILE = {
    "no labels": (lambda a: a.pop("labels"), "it has no 'labels'"),
    "a pickle": (lambda a: a.update(label=np.array([{}], object)), "entries of the type object"),
    "another format": (lambda a: a.update(format=np.array("explanation 9")), "format is not known here"),
    "a class that does not exist": (
        lambda a: a.update(target=np.array(5)),
        "'target' is 5, and there are 5 classes",
    ),
    "a negative class": (lambda a: a.update(target=np.array(-1)), "'target' has a number outside"),
    "probabilities of other classes": (
        lambda a: a.update(probabilities=np.ones(3, np.float32)),
        "'probabilities' is of",
    ),
    "a map of another size": (
        lambda a: a.update({"maps/normgrad/act": np.ones((3, 9), np.float32)}),
        "'maps/normgrad/act' is of",
    ),
    "a map that is not finite": (
        lambda a: a["maps/normgrad/act"].__setitem__((0, 0), np.nan),
        "NaN or infinity",
    ),
    "a map of texts": (lambda a: a.update({"maps/normgrad/act": np.full((6, 6), "1")}), "of the type <U1"),
    "a map of an unknown layer": (
        lambda a: a.update({"maps/normgrad/none": np.ones((6, 6))}),
        "a layer that 'layers' does not name",
    ),
    "a map of an unknown method": (
        lambda a: a.update({"maps/none/act": np.ones((6, 6))}),
        "a method that 'methods' does not name",
    ),
    "an unknown method": (lambda a: a.update(methods=np.array(["none"])), "unknown method 'none'"),
    "a method without maps": (
        lambda a: a.update(methods=np.append(a["methods"], "rise")),
        "no map of 'rise'",
    ),
    "no layers": (
        lambda a: a.update(layers=np.array([], str), layer_sizes=np.ones((0, 3), int)),
        "'layers' names no layer",
    ),
    "the same layer twice": (lambda a: a.update(layers=np.array(["act", "act"])), "or one of them twice"),
    "a layer of size 0": (
        lambda a: a["layer_sizes"].__setitem__((0, 1), 0),
        "'layer_sizes' has a number outside",
    ),
    "a huge input": (lambda a: a.update(input_size=np.array([3, 1 << 30, 1 << 30])), "at most 32768 pixels"),
    "a box without area": (lambda a: a.update(box=np.zeros(4)), "which has no area"),
    "an unknown fit": (lambda a: a.update(fit=np.array("none")), "unknown fit"),
    "a negative step": (lambda a: a.update(meta_step=np.array([-1.0, 0.0])), "lr is -1.0"),
    "presets that are no JSON": (lambda a: a.update(presets=np.array("{")), "is damaged"),
    "presets of another shape": (lambda a: a.update(presets=np.array("[1]")), "is damaged"),
    "an infinite energy": (lambda a: a["energy"].__setitem__(0, -np.inf), "shares outside 0 to 1"),
    "many dimensions": (lambda a: a.update(label=np.zeros((1,) * 40, "U1")), "'label' is of"),
}


@pytest.mark.parametrize(("change", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_whose_parts_do_not_fit_is_refused_in_a_sentence(
    pair: tuple[sc.Explanation, ...], change: Callable[[dict[str, np.ndarray]], object], reason: str
) -> None:
    with pytest.raises(sc.ArgumentError, match=f"^the file .*{reason}"):
        sc.load_maps(changed(pair, change))


def entry(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", method) as archive:
        archive.writestr("format.npy", data)
    return found


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    found = io.BytesIO()
    np.lib.format.write_array_header_1_0(found, {"descr": dtype, "fortran_order": False, "shape": shape})
    return found.getvalue()


def test_a_small_file_that_unpacks_to_very_much_is_refused_before_it_is_unpacked() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("format.npy", b"")
    with zipfile.ZipFile(bomb, "a") as archive:
        archive.infolist()[0].file_size = 1 << 40
        archive.writestr("more.npy", b"")
    with pytest.raises(sc.ArgumentError, match="more than 512 MiB"):
        sc.load_maps(bomb)


@pytest.mark.parametrize(
    "file",
    [
        io.BytesIO(b""),
        io.BytesIO(b"no zip at all"),
        entry(b"no array"),
        entry(header((1 << 40,))),
        entry(header((1 << 40, 0))),
        entry(header((1 << 62,), "<U0")),
        entry(header((2,), "|O") + b"12345678"),
        entry(header((2,)) + bytes(8), zipfile.ZIP_LZMA),
    ],
    ids=["empty", "text", "no array", "huge", "huge and empty", "no width", "objects", "LZMA"],
)
def test_a_file_that_is_no_file_of_maps_is_refused_in_a_sentence(file: io.BytesIO) -> None:
    with pytest.raises(sc.ArgumentError, match=r"^the file (cannot be used: |is damaged)"):
        sc.load_maps(file)


def test_a_file_cut_short_is_refused_in_a_sentence(pair: tuple[sc.Explanation, ...], tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    path.write_bytes(saved(pair[0]).getvalue()[:-200])
    with pytest.raises(sc.ArgumentError, match=r"^cut.npz is damaged or not a file of maps"):
        sc.load_maps(path)
