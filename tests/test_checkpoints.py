"""One's own checkpoints: hostile files are refused, the others fit with their names, heads and labels."""

import argparse
import io
import json
import os
import re
import struct
import subprocess
import tracemalloc
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

import saliency_core as sc
from saliency_core.models.catalogue.checkpoint_model import checkpoint_spec
from saliency_core.models.catalogue.label_files import MAX_BYTES, read_labels
from saliency_core.models.catalogue.loading import build_classifier
from saliency_core.models.weights import checkpoint, inspection
from saliency_core.models.weights.checkpoint import checkpoint_shapes, read_checkpoint
from saliency_core.models.weights.fitting import fit, fit_state

NET = "timm:test_resnet"
STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}


def small(classes: int = 7, name: str = "test_resnet") -> nn.Module:
    """A small network of timm with seeded weights."""
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(name, num_classes=classes)
    return network.eval()


def scores(network: nn.Module) -> Tensor:
    with torch.no_grad():
        result: Tensor = network(torch.linspace(-1, 1, 3 * 160 * 160).reshape(1, 3, 160, 160))
    return result


def saved(content: object, *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def written(folder: Path, content: bytes, name: str = "net.pth") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def assert_same(read: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    assert set(read) == set(state)
    for name, tensor in state.items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors", "net", "net.txt"])
def test_the_content_and_not_the_name_says_what_a_file_is(tmp_path: Path, name: str) -> None:
    for content in (saved(STATE), saved(STATE, legacy=True), safetensors.torch.save(STATE)):
        assert_same(read_checkpoint(written(tmp_path, content, name)), dict(STATE))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
        lambda state: {"model": state, "args": argparse.Namespace(lr=0.1, out=Path("out"))},
        lambda state: {"model": {"state_dict": state}, "best": np.float64(0.5), "scores": np.ones(3)},
        lambda state: {"net": OrderedDict(state), "acc": torch.tensor(0.9), "steps": Counter([1, 1])},
        lambda state: {"model_ema": state, "model": {"weight": torch.zeros(2, 3)}},
        lambda state: {"my_network": state, "names": {"a", "b"}, "shape": torch.Size([1, 2])},
        lambda state: {
            "pytorch-lightning_version": "2",
            "state_dict": state,
            "optimizer_states": [],
            "loops": {},
        },
        lambda state: {name: nn.Parameter(tensor) for name, tensor in state.items()},
    ],
)
def test_state_dicts_are_found_among_what_training_scripts_save(
    tmp_path: Path, wrap: Callable[[dict[str, Tensor]], object], legacy: bool
) -> None:
    file = written(tmp_path, saved(wrap(STATE), legacy=legacy))
    assert_same(read_checkpoint(file), STATE)
    assert {name: tensor.shape for name, tensor in checkpoint_shapes(file).items()} == {
        name: tensor.shape for name, tensor in STATE.items()
    }
    allowed = torch.serialization.get_safe_globals()
    assert not any("Namespace" in str(each) or "numpy" in str(each) for each in allowed)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {**{name: tensor.to(dtype) for name, tensor in STATE.items()}, "count": torch.tensor(3)}
    for content in (saved(state), safetensors.torch.save(state)):
        assert_same(read_checkpoint(written(tmp_path, content)), {**STATE, "count": torch.tensor(3)})


def test_tensors_do_not_keep_the_file_or_a_larger_tensor_in_memory(tmp_path: Path) -> None:
    whole = torch.arange(1000.0)
    for content in (saved({"a": whole[:10]}), safetensors.torch.save({"a": whole[:10].clone(), "b": whole})):
        file = written(tmp_path, content)
        part = read_checkpoint(file)["a"]
        file.unlink()
        assert part.untyped_storage().nbytes() == 40
        assert part.tolist() == list(range(10))


class Runs:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("function", "shown"),
    [(partial(open), "functools.partial"), (os.mkdir, "posix.mkdir"), (subprocess.call, "subprocess.call")],
)
def test_a_pickle_that_would_write_a_file_is_refused_with_what_it_would_call(
    tmp_path: Path, function: Callable[..., object], shown: str, legacy: bool
) -> None:
    mark = tmp_path / "mark"
    arguments: tuple[object, ...] = (["touch", str(mark)],) if function is subprocess.call else (str(mark),)
    if isinstance(function, partial):
        arguments = (str(mark), "w")
    for content in ({"weight": Runs(function, *arguments)}, {**STATE, "x": Runs(function, *arguments)}):
        file = written(tmp_path, saved(content, legacy=legacy))
        with pytest.raises(sc.WeightsError, match=f"^net.pth is not a .* safely: it holds {shown}, which"):
            read_checkpoint(file)
        assert not mark.exists()


def test_a_whole_saved_module_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    with pytest.raises(
        sc.WeightsError, match=r"it holds torch.nn.modules.linear.Linear, .* state_dict\(\) al"
    ):
        read_checkpoint(written(tmp_path, saved(nn.Linear(2, 2))))


def test_a_scripted_program_is_refused(tmp_path: Path) -> None:
    script = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), script)
    with pytest.raises(sc.WeightsError, match="it is a TorchScript program; save the state_dict"):
        read_checkpoint(written(tmp_path, script.getvalue()))


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of quantised and sparse tensors
@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "it holds quantised tensors"),
        (lambda: torch.eye(3).to_sparse(), "it holds sparse tensors"),
        (lambda: torch.ones(3, device="meta"), "it holds tensors without values"),
        (lambda: torch.ones(3, dtype=torch.complex64), "weight holds complex64 numbers"),
        (lambda: torch.ones(3).to(torch.float8_e4m3fn), "numbers of a rare type"),
    ],
)
def test_tensors_that_no_network_has_here_are_refused_in_words(
    tmp_path: Path, tensor: Callable[[], Tensor], message: str
) -> None:
    with pytest.raises(sc.WeightsError, match=message):
        read_checkpoint(written(tmp_path, saved({"weight": tensor()})))


@pytest.mark.parametrize("read", [read_checkpoint, checkpoint_shapes])
def test_a_tensor_that_repeats_a_few_numbers_without_end_is_refused(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    for legacy in (False, True):
        giant = torch.ones(1).expand(10**6, 10**6)
        file = written(tmp_path, saved({"weight": giant}, legacy=legacy))
        with pytest.raises(
            sc.WeightsError, match=r"its tensors would take 4,000.0 GB, far more than the file"
        ):
            read(file)


def rewritten(
    content: bytes, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED
) -> bytes:
    """An archive whose entries are changed."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return result.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = rewritten(
        saved(STATE),
        lambda name, data: bytes(50_000_000) if name.endswith("data/0") else data,
        zipfile.ZIP_DEFLATED,
    )
    monkeypatch.setattr(zipfile.ZipFile, "read", None)  # nothing may be expanded
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(sc.WeightsError, match=r"its archive of \d\d.\d kB would expand to 50.0 MB"):
        read_checkpoint(written(tmp_path, bomb))


def test_an_archive_that_hides_how_far_it_expands_is_not_expanded(tmp_path: Path) -> None:
    size = 100_000_000
    bomb = bytearray(
        rewritten(
            saved(STATE),
            lambda name, data: data + bytes(size) if name.endswith("data.pkl") else data,
            zipfile.ZIP_DEFLATED,
        )
    )
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        entry = next(each for each in archive.infolist() if each.filename.endswith("data.pkl"))
    told = struct.pack("<L", entry.file_size)
    while told in bomb:  # in the entry, and in the directory
        at = bomb.index(told)
        bomb[at : at + 4] = struct.pack("<L", 100)
    file = written(tmp_path, bytes(bomb))
    tracemalloc.start()
    try:
        with pytest.raises(sc.WeightsError, match="^net.pth is not a checkpoint that can be read safely"):
            checkpoint_shapes(file)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_packed_as_torch_never_does_is_not_unpacked(tmp_path: Path, method: int) -> None:
    packed = rewritten(saved(STATE), lambda name, data: data, method)
    with pytest.raises(
        sc.WeightsError, match=r"its archive is compressed in a way that torch\.save does not"
    ):
        read_checkpoint(written(tmp_path, packed))


@pytest.mark.parametrize("name", ["builtins\nset", "collections\nCounter", "collections\nOrderedDict"])
def test_a_list_that_is_copied_again_and_again_is_refused(tmp_path: Path, name: str) -> None:
    pair = b"X\1\0\0\0aX\1\0\0\0b\x86" if "Ordered" in name else b"X\1\0\0\0a"
    program = b"\x80\2]q\1(" + pair * 1000 + f"ec{name}\n".encode() + b"q\2" + b"h\2h\1\x85R" * 10_000 + b"}."
    content = rewritten(saved(STATE), lambda each, data: program if each.endswith("data.pkl") else data)
    with pytest.raises(sc.WeightsError, match="its description of the tensors is too long"):
        read_checkpoint(written(tmp_path, content))


def test_an_archive_with_too_many_or_repeated_entries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO(saved(STATE))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", b"twice")
    with pytest.raises(sc.WeightsError, match="too many or some of them twice"):
        read_checkpoint(written(tmp_path, file.getvalue()))
    monkeypatch.setattr(inspection, "MAX_DIRECTORY_BYTES", 100)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # the directory is not even read
    with pytest.raises(sc.WeightsError, match=r"its archive lists too many files"):
        read_checkpoint(written(tmp_path, saved(STATE)))


def test_a_tensor_that_is_larger_than_its_entry_is_refused(tmp_path: Path) -> None:
    cut = rewritten(saved(STATE), lambda name, data: data[:8] if name.endswith("data/0") else data)
    with pytest.raises(sc.WeightsError, match="it is incomplete"):
        checkpoint_shapes(written(tmp_path, cut))


HEADER = b"\x80\x02}q\x00"


@pytest.mark.parametrize(
    "program",
    [
        HEADER + b"(X\x01\x00\x00\x00aJ\x00\x00\x00\x7fu.",  # a number for a tensor
        b"\x80\x02" + b")" + b"\x86" * 1 + b".",  # a stack that is too short
        b"\x80\x02}))\x86" + b"q\x01h\x01\x86" * 60 + b"K\x01s.",  # a key that takes for ever
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x02X\xff\xff\xff\x7fab.",
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R.",
        b"\x80\x02ctorch\nFloatTensor\n\x8a\x05\x00\x00\x00\x00\x10\x85R.",
        b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
        b"",
    ],
)
def test_instructions_that_torch_save_does_not_write_are_a_sentence(tmp_path: Path, program: bytes) -> None:
    content = rewritten(saved(STATE), lambda name, data: program if name.endswith("data.pkl") else data)
    for read in (read_checkpoint, checkpoint_shapes):
        with pytest.raises(
            sc.WeightsError, match="^net.pth (is not a checkpoint that can be|holds no state)"
        ):
            read(written(tmp_path, content))


def test_too_many_instructions_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, saved(STATE))
    monkeypatch.setattr(inspection, "MAX_INSTRUCTIONS", 10)
    with pytest.raises(sc.WeightsError, match="its description of the tensors is too long"):
        read_checkpoint(file)
    monkeypatch.setattr(inspection, "MAX_PICKLE_BYTES", 10)
    with pytest.raises(sc.WeightsError, match="its description of the tensors is too long"):
        read_checkpoint(file)


def test_another_pickle_protocol_is_told(tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save(STATE, file, pickle_protocol=4)
    with pytest.raises(sc.WeightsError, match="it was saved with pickle protocol 4; save it without"):
        read_checkpoint(written(tmp_path, file.getvalue()))


def test_a_huge_header_of_safetensors_is_not_read(tmp_path: Path) -> None:
    start = struct.pack("<Q", 1 << 30) + b"{"
    with pytest.raises(sc.WeightsError, match="it is incomplete"):
        read_checkpoint(written(tmp_path, start))
    file = tmp_path / "net.safetensors"
    with file.open("wb") as sparse:
        sparse.write(start)
        sparse.truncate(2 << 30)
    with pytest.raises(sc.WeightsError, match=r"its header takes 1.1 GB; at most 8.4 MB are read"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]},
        {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": 1},
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        [],
    ],
)
def test_a_header_that_lies_is_a_sentence(tmp_path: Path, entry: object) -> None:
    header = json.dumps({"weight": entry}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(4)
    for read in (read_checkpoint, checkpoint_shapes):
        with pytest.raises(sc.WeightsError, match="^net.pth is not a checkpoint that can be read safely"):
            read(written(tmp_path, content))


def test_files_that_are_too_large_missing_or_folders_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(sc.WeightsError, match="^net.pth can't be read: No such file or directory.$"):
        read_checkpoint(tmp_path / "net.pth")
    with pytest.raises(sc.WeightsError, match="can't be read: Is a directory.$"):
        read_checkpoint(tmp_path)
    with pytest.raises(sc.WeightsError, match="safely: it is empty.$"):
        read_checkpoint(written(tmp_path, b""))
    file = written(tmp_path, saved(STATE))
    with pytest.raises(sc.WeightsError, match=r"safely: it has 0.0 GB; at most 0.0 GB are read"):
        read_checkpoint(file, max_bytes=100)
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 1)
    assert_same(read_checkpoint(file, max_bytes=None), STATE)


# -- fitting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "module.model.", "_orig_mod.net.", "model.encoder."]
)
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_renamed_prefixes_and_another_class_count_give_the_same_scores(name: str, prefix: str) -> None:
    network = small(7, name)
    state = {prefix + key: tensor for key, tensor in network.state_dict().items()}
    loaded, report = fit_state(partial(timm.create_model, name), state)
    assert report.classes == 7
    assert not report.notes
    torch.testing.assert_close(scores(loaded.eval()), scores(network), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "classes"), [("deit_tiny_distilled_patch16_224", 5), ("vit_small_patch14_reg4_dinov2", 5)]
)
def test_two_heads_and_a_network_without_one_get_the_class_count_of_the_file(name: str, classes: int) -> None:
    with torch.device("meta"):
        state = timm.create_model(name, num_classes=classes).state_dict()
        network = timm.create_model(name)
    report = fit(network, state)
    assert report.classes == classes
    assert {key: tensor.shape for key, tensor in network.state_dict().items()} == {
        key: tensor.shape for key, tensor in state.items()
    }


def test_heads_for_training_and_counters_may_be_there_or_not() -> None:
    import torchvision

    build = partial(torchvision.models.get_model, "googlenet", weights=None, init_weights=False)
    with torch.device("meta"):
        state = build(num_classes=3).state_dict()
        without = {name: tensor for name, tensor in state.items() if not name.startswith("aux")}
        without = {name: tensor for name, tensor in without.items() if "num_batches_tracked" not in name}
        assert len(fit(build(), without).absent) > 20
        report = fit(build(aux_logits=False), state)
    assert report.classes == 3
    assert all(name.startswith("aux") for name in report.ignored)
    assert report.notes[0].startswith("Not used, because the network has no place for them: aux1.")


def test_batch_counters_that_are_missing_do_not_matter_and_buffers_are_computed() -> None:
    network = small()
    state = {key: tensor for key, tensor in network.state_dict().items() if "num_batches" not in key}
    loaded, report = fit_state(partial(timm.create_model, "test_resnet"), state)
    assert report.absent
    assert not any(tensor.is_meta for tensor in loaded.state_dict().values())
    torch.testing.assert_close(scores(loaded.eval()), scores(network), rtol=0, atol=0)


def test_a_second_copy_and_what_tools_add_are_named_but_not_used() -> None:
    network = small()
    state = {f"model.{key}": tensor for key, tensor in network.state_dict().items()}
    extra = {f"ema.{key}": tensor + 1 for key, tensor in network.state_dict().items()}
    tools = {
        "model.conv1.total_ops": torch.ones(1),
        "criterion.weight": torch.ones(7),
        "n_averaged": torch.ones(1),
        "val_acc.total": torch.tensor(3),
    }
    loaded, report = fit_state(partial(timm.create_model, "test_resnet"), {**state, **extra, **tools})
    torch.testing.assert_close(loaded.state_dict()["fc.bias"], state["model.fc.bias"] + 1, rtol=0, atol=0)
    assert set(report.ignored) == set(tools)
    assert set(report.copies) == set(state)
    assert len(report.notes) == 2


def test_nan_in_the_weights_is_said() -> None:
    state = small().state_dict()
    state["fc.bias"][0] = torch.nan
    _, report = fit_state(partial(timm.create_model, "test_resnet"), state)
    assert report.notes == ("The weights contain NaN or infinity: fc.bias.",)


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    """The state dict of the small network with tensors replaced, added, or left out (None)."""
    state = {**small().state_dict(), **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn1__bias": None}, "NET: 1 tensor is missing (bn1.bias)."),
        (
            {"bn1__bias": torch.ones(3), "bn1__weight": None},
            "NET: 1 tensor is missing (bn1.weight); 1 tensor is of another shape (bn1.bias is 3 in the file "
            "and WIDTH in the network).",
        ),
        ({"extra__weight": torch.ones(1)}, "NET: 1 tensor is not part of the network (extra.weight)."),
        ({"fc_norm__weight": torch.ones(1)}, "NET: 1 tensor is not part of the network (fc_norm.weight)."),
        (
            {"bn1__bias": torch.ones(32, dtype=torch.int64)},
            "NET: 1 tensor is of another type (bn1.bias).",
        ),
        (
            {"fc__weight": None, "fc__bias": None},
            "NET: 2 tensors are missing (fc.weight, fc.bias). It has no classifier, which a network needs to "
            "be explained: save the whole network.",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_words(changes: dict[str, Any], message: str) -> None:
    width = len(small().state_dict()["bn1.bias"])
    if "type" in message:
        changes = {"bn1__bias": torch.ones(width, dtype=torch.int64)}
    with pytest.raises(sc.WeightsError) as raised:
        fit_state(partial(timm.create_model, "test_resnet"), changed(**changes), title="NET")
    assert str(raised.value) == f"The checkpoint does not fit {message.replace('WIDTH', str(width))}"


def test_a_long_list_of_misfits_is_cut() -> None:
    state = {name: tensor for name, tensor in small().state_dict().items() if "layer4" not in name}
    with pytest.raises(
        sc.WeightsError, match=r"tensors are missing \(layer4[^,]*, [^,]*, [^,]* and \d+ more\).$"
    ):
        fit_state(partial(timm.create_model, "test_resnet"), state)


def test_another_architecture_is_recognised_and_the_right_one_named(tmp_path: Path) -> None:
    import torchvision

    state = {f"module.{k}": v for k, v in torchvision.models.resnet18(num_classes=4).state_dict().items()}
    file = written(tmp_path, saved({"state_dict": state}))
    with pytest.raises(sc.WeightsError, match=r"^net.pth does not fit .*tensors fit; .* It fits resnet18"):
        checkpoint_spec(file, NET)
    with pytest.raises(sc.WeightsError, match=r"80 tensors are missing .* It fits resnet18"):
        checkpoint_spec(file, "resnet34")


# -- models --------------------------------------------------------------------------------------------------


def test_a_checkpoint_becomes_a_classifier_with_its_labels(tmp_path: Path) -> None:
    network = small(3)
    file = written(tmp_path, saved({"state_dict": network.half().state_dict()}))
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    classifier = sc.load_checkpoint(file, NET, tmp_path / "labels.txt", device="cpu")
    assert classifier.labels == ("cat", "dog", "bird")
    assert classifier.dtype == torch.float32
    torch.testing.assert_close(scores(classifier.module), scores(network.float()))
    image = sc.open_image("assets/samples/chelsea.png")
    explained = sc.explain(classifier, image, target="dog", methods=["normgrad"])
    assert np.isfinite(explained.map("normgrad", classifier.default_layers[-1])).all()


def test_the_entry_of_a_checkpoint_says_what_it_is_and_loads_it(tmp_path: Path) -> None:
    network = small(3)
    file = written(tmp_path, saved(network.state_dict()), "my net.pth")
    spec = checkpoint_spec(file, NET, ["a", "b", "c"])
    assert (spec.title, spec.library, spec.download_bytes, spec.embedded) == ("my net.pth", "", None, False)
    assert spec.summary.endswith(" with 3 classes, from my net.pth.")
    assert re.fullmatch("own:[0-9a-f]{32}", spec.name)
    assert spec.labels() == ["a", "b", "c"]
    assert (spec.details().classes, spec.details().input_size) == (3, (3, 160, 160))
    engine = sc.Engine("cpu")
    engine.add_model(spec)
    assert engine.listing(spec.name).state == "local"
    assert engine.classifier(spec.name).labels == ("a", "b", "c")
    file.unlink()
    with pytest.raises(sc.WeightsError, match="^my net.pth is no longer there: it was removed or renamed.$"):
        build_classifier(spec, "cpu")


def test_nan_is_said_in_the_summary(tmp_path: Path) -> None:
    state = small(3).state_dict()
    state["fc.bias"][0] = torch.nan
    spec = checkpoint_spec(written(tmp_path, saved(state)), NET)
    assert spec.summary.endswith("from net.pth. The weights contain NaN or infinity: fc.bias.")


def test_a_network_of_grey_images_gets_grey_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=3, in_chans=1).eval()
    file = written(tmp_path, saved(network.state_dict()))
    classifier = sc.load_checkpoint(file, "timm:test_vit", device="cpu")
    assert classifier.preprocess.mean == pytest.approx((0.5,), abs=0.06)
    inputs = classifier.prepare(sc.open_image("assets/samples/chelsea.png"))[0]
    assert inputs.shape[1] == 1
    torch.testing.assert_close(classifier.scores(inputs), network(inputs).detach())


def test_the_labels_of_the_architecture_are_taken_where_there_are_as_many(tmp_path: Path) -> None:
    file = written(tmp_path, saved(small(1000).state_dict()))
    assert checkpoint_spec(file, NET).labels()[0] == "tench"
    file = written(tmp_path, saved(small(2).state_dict()))
    assert checkpoint_spec(file, NET).labels() == ["class 0", "class 1"]


def test_a_wrong_number_of_labels_is_told_with_both_numbers(tmp_path: Path) -> None:
    file = written(tmp_path, saved(small(3).state_dict()))
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for load in (checkpoint_spec, sc.load_checkpoint):
        with pytest.raises(
            sc.ArgumentError, match="^names.txt has 2 names, and the network in net.pth 3 classes"
        ):
            load(file, NET, tmp_path / "names.txt")


@pytest.mark.parametrize("name", ["resnet999", "timm:none", "own:" + "0" * 32, "folder:x", "a:b"])
def test_an_unknown_architecture_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(sc.UnknownNameError):
        checkpoint_spec(written(tmp_path, saved(STATE)), name)


# -- labels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"cat\ndog\n",
        b"cat\r\ndog\r\n\r\n",
        b"\xef\xbb\xbfcat\ndog",
        "cat\ndog\n".encode("utf-16"),
        "cat\ndog\n".encode("utf-32"),
        b"0\tcat\n1\tdog\n",
        b"1,dog\n0,cat\n",
        b"0: cat\n1: dog\n",
        b"0 cat\n1 dog\n",
        b'["cat", "dog"]',
        b'{"0": "cat", "1": "dog"}',
        b'{"cat": 0, "dog": 1}',
        b'{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"]}',
        b'{"model_type": "vit", "id2label": {"1": "dog", "0": "cat"}, "label2id": {"x": 0}}',
        b'{"label2id": {"dog": 1, "cat": 0}}',
        b'{"architecture": "resnet18", "label_names": ["cat", "dog"]}',
        b" \x07cat\x1b\n\xe2\x80\xaedog ",
    ],
)
def test_labels_of_every_kind_are_read(content: bytes) -> None:
    assert read_labels(content) == ("cat", "dog")


def test_odd_labels_are_cleaned_and_kept_in_place() -> None:
    assert read_labels(b'["", "  a \\u0000  b ", "same", "same", 7]') == (
        "class 0",
        "a b",
        "same",
        "same",
        "7",
    )
    assert read_labels(b"3 pin plug\n2 pin plug") == ("3 pin plug", "2 pin plug")
    assert read_labels("café".encode("cp1252")) == ("café",)
    assert read_labels(b"<b>bold</b>") == ("<b>bold</b>",)
    assert len(read_labels(b"x" * 5000)[0]) == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no names"),
        (b"\n \n", "holds no names"),
        (b"[]", "holds no names"),
        (b"{}", "holds no names"),
        (b'{"a": "b"}', "holds no names of classes"),
        (
            b'{"1": "a", "2": "b"}',
            "names 2 classes with numbers from 1 to 2; expected each number from 0 to 1",
        ),
        (b'[["a", {}]]', "holds no names of classes"),
        (b"[" * 100_000, "begins like JSON, but is not valid JSON"),
        (b"{nonsense", "begins like JSON, but is not valid JSON"),
        (b"\x00\x01\x02", "is not a text file"),
        (b"a" * (MAX_BYTES + 1), "is larger than 4 MB"),
    ],
)
def test_files_without_labels_are_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(sc.ArgumentError, match=f"^names.txt {message}"):
        read_labels(content, "names.txt")


def test_a_file_of_labels_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(sc.ArgumentError, match="^none.txt can't be read: No such file or directory.$"):
        read_labels(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["\ud800", "line\nbreak", "x" * 1000])
def test_names_of_tensors_that_no_sentence_can_show_are_refused(tmp_path: Path, name: str) -> None:
    header = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(4)
    with pytest.raises(sc.WeightsError, match="names that are too long") as caught:
        sc.load_checkpoint(written(tmp_path, content), NET)
    assert str(caught.value).isprintable()


def test_an_archive_that_was_cut_off_is_called_incomplete(tmp_path: Path) -> None:
    with pytest.raises(sc.WeightsError, match="incomplete"):
        read_checkpoint(written(tmp_path, saved(STATE)[:-200]))


@pytest.mark.parametrize("labels", [5, [1, 2], [None], {0: "cat"}])
def test_labels_that_are_no_names_are_refused(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(sc.ArgumentTypeError, match="labels must be a sequence of strings"):
        sc.load_checkpoint(written(tmp_path, saved(STATE)), NET, labels)
