"""What a session holds: its choice and address, uploads, the switch of models, tasks; and call sequences."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import timm
from PIL import Image
from streamlit.runtime.uploaded_file_manager import DeletedFile

import saliency_core as sc
from pages.shared import address, class_search, formats, own_models, photos, scene, sidebar, tasks
from pages.shared.address import UNLEARN, Choice
from pages.shared.engine import shared_engine
from pages.shared.photos import PhotoFile
from pages.shared.registry import HOME, PAGES, entry_of
from pages.shared.selection import Selection
from pages.shared.session import (
    GONE,
    NO_MODEL,
    NO_PHOTO,
    NOT_YOURS,
    TOO_MANY_LAYERS,
    UNUSABLE,
    Session,
    model_task,
)
from pages.shared.tasks import MAX_LONG, Tasks, progress_text
from pages.shared.uploads import MAX_NAME, MAX_UPLOADS, Uploads, listed, remembered
from saliency_core.engine.queue import TaskQueue
from saliency_core.engine.request import ModelInfo
from saliency_core.engine.tasks import Task, TaskState
from saliency_core.errors import BusyError
from saliency_core.progress import Cancelled, ProgressCallback
from saliency_core.viewer import schema

SECONDS = 30.0
"""Seconds after which a wait has failed; nothing here takes a tenth of it."""


def viewed(**fields: schema.Value) -> dict[str, schema.Value]:
    return {**schema.DEFAULTS, **fields}


# -- the address ---------------------------------------------------------------------------------------------

CHOICES = [
    Choice(),
    Choice(model="vgg16", photo="coffee", target=967, fit="pad"),
    Choice(view=viewed(left="gradient", layer="layer1.0.conv2", weights=(0.0, 0.25, 1.0), how="sum")),
    Choice(view=viewed(layers=("input", "conv_head", "blocks.4.0.conv-pw"))),
    Choice(view=viewed(opacity=0.35, colormap="jet", scale="shared", mixed=True)),
    Choice(view=viewed(tab="layers", difference="second", cells=True, modified=True)),
    Choice(target=967, other=285, step=0.0025),
    Choice(step=0.006, direction=UNLEARN),
    Choice(step=0.0),
    Choice(step=0.0, direction=UNLEARN),
    Choice(target=123_456),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_an_address_reopens_the_choice_it_was_written_for(choice: Choice) -> None:
    assert address.read(address.write(choice)) == choice


def test_an_address_has_no_defaults_but_the_photo() -> None:
    assert address.write(Choice()) == {"photo": photos.default_sample()}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "gpt"),
        ("photo", "../../etc/passwd"),
        ("photo", "upload-xyz"),
        ("class", "1" * 10),
        ("class", "-1"),
        ("class", "٣"),
        ("fit", "fill"),
        ("left", "<script>"),
        ("layer", "a b"),
        ("layers", "a b~c"),
        ("layers", "a~~b"),
        ("weights", "1_x"),
        ("weights", "nan_1"),
        ("weights", "-1_1"),
        ("weights", "_".join("1" * 1000)),
        ("how", "mean"),
        ("opacity", "1.5"),
        ("opacity", "inf"),
        ("colormap", "rainbow"),
        ("scale", "both"),
        ("mixed", "yes"),
        ("tab", "both"),
        ("difference", "third"),
        ("b", "cat"),
        ("meta", "0.2"),
        ("meta", "-0.01"),
        ("meta", "nan"),
        ("direction", "sideways"),
        ("direction", "unlearn"),  # of no step
    ],
)
def test_an_unusable_value_in_an_address_counts_as_its_default(key: str, value: str) -> None:
    assert address.read({key: value}) == Choice()
    assert address.unusable({key: value}) == (() if (key, value) == ("direction", "unlearn") else (key,))


def opened(**query: str) -> Session:
    """A session that has opened a link with the model in memory."""
    session = Session(Choice())
    session.open(query)
    session.restrict(NETWORK)
    return session


def test_what_of_a_link_cannot_be_used_is_named_once_without_its_text() -> None:
    session = opened(model="zzz", fit="q", a="<b>", meta="abc", left="foo", layers="a~<b>", right="gradient")
    assert session.remarks == [NO_MODEL, UNUSABLE.format(names="class, fit, meta, left, layers")]
    assert session.methods == ("normgrad", "gradient")
    session.restrict(NETWORK)
    assert len(session.remarks) == 2
    assert opened(photo="coffee", left="gradient", layer="d", direction="learn").remarks == []


def test_a_link_to_a_model_that_does_not_exist_shows_the_default_one_and_names_like_it() -> None:
    session = opened(model="resnett50")
    assert session.selection.latest.model == Choice().model
    (remark,) = session.remarks
    assert remark.startswith(NO_MODEL)
    assert "“resnet50”" in remark
    for name in ("resnet50.IMAGENET1K_V2", "timm:vit_tiny_patch16_224.random-7", "alexnet"):
        assert opened(model=name).selection.latest.model == name


def test_a_link_to_a_network_that_another_session_has_uploaded_shows_the_default_one_and_says_so(
    own_network: Path,
) -> None:
    mine = Session(Choice())
    name = upload_to(mine, own_network)
    link = {"photo": "coffee", "model": name}
    mine.open(link)
    assert mine.selection.latest.model == name
    stranger = opened(**link)
    assert stranger.selection.latest.model == Choice().model
    assert stranger.remarks == [NOT_YOURS]
    stranger.choose_model(name)
    assert stranger.selection.latest.model == Choice().model


def test_what_of_a_link_does_not_fit_the_model_is_named_and_leaves_the_address() -> None:
    session = opened(**{"class": "2", "b": "1", "layer": "nope"})
    assert session.remarks == [UNUSABLE.format(names="class, layer")]
    assert session.address() == {"photo": photos.default_sample(), "b": "1"}
    assert "b" not in opened(**{"class": "1", "b": "1"}).address()
    assert opened(layer="e", layers="e").address()["layer"] == "e"


def test_the_first_layers_of_a_link_with_too_many_are_kept_and_the_others_counted() -> None:
    names = [f"layer{index}" for index in range(schema.MAX_EXTRA_LAYERS + 2)]
    assert address.read({"layers": "~".join(names)}).extra_layers == tuple(names[:-2])
    (counted, unknown) = opened(layers="~".join(names)).remarks
    assert "“layer7”" in unknown
    assert counted == TOO_MANY_LAYERS.format(rest=2)
    assert schema.from_browser({"layers": names}, ()) == {}


@pytest.mark.parametrize(
    ("photo", "sentence"),
    [("upload-deadbeef", GONE), ("upload-" + "0" * 32, GONE), ("../../x", NO_PHOTO), ("cat", NO_PHOTO)],
)
def test_a_link_to_a_photo_that_is_not_there_shows_the_first_sample_and_says_so(
    photo: str, sentence: str
) -> None:
    session = opened(photo=photo)
    session.photo_file()
    assert session.choice.photo == photos.default_sample()
    assert session.notices == [sentence]
    assert session.remarks == []
    session.open({"photo": "coffee"})
    assert session.notices == []


def test_a_negative_zero_in_an_address_is_zero() -> None:
    choice = address.read({"meta": "-0", "opacity": "-0", "weights": "-0_1"})
    written = address.write(choice)
    assert (written["meta"], written["opacity"], written["weights"]) == ("0", "0", "0_1")
    assert choice.variant is None


def test_classes_are_limited_by_the_number_of_labels_alone() -> None:
    choice = address.read({"class": "21840", "b": "7"})
    assert choice.within(21_841) is not None
    assert choice.within(21_841) == choice
    assert choice.within(1000) == replace(choice, target=None)
    assert choice.within(5) == replace(choice, target=None, other=None)


def test_a_step_of_size_zero_is_none_whatever_its_direction() -> None:
    for direction in ("learn", UNLEARN):
        choice = Choice(step=0.0, direction=direction)
        assert choice.variant is None
        assert "-" not in address.write(choice)["meta"]
        assert formats.after_step(choice.variant) == ""
    assert Choice(step=0.006, direction=UNLEARN).variant == sc.MetaStep(0.006, ascend=True)


# -- the switch of models ------------------------------------------------------------------------------------


def test_another_model_is_shown_once_it_has_arrived_with_its_own_layers_and_the_same_class() -> None:
    view = viewed(layer="blocks.3", layers=("input",), weights=(1.0, 0.5), left="gradient")
    selection = Selection(Choice(target=285, view=view))
    selection.choose_model("vgg16")
    assert (selection.shown.model, selection.shown.view) == (Choice().model, view)
    selection.change(fit="pad")
    assert selection.arrive()
    assert (selection.shown.model, selection.shown.target, selection.shown.fit) == ("vgg16", 285, "pad")
    assert selection.shown.view == {**view, "layer": None, "layers": (), "weights": None}
    assert not selection.arrive()


def test_a_model_that_fails_to_load_leaves_everything_as_it_was() -> None:
    choice = Choice(target=3, view=viewed(layer="blocks.3"))
    selection = Selection(choice)
    selection.choose_model("vgg16")
    selection.give_up()
    assert not selection.arrive()
    assert selection.shown == choice


def test_a_model_that_could_not_be_loaded_is_neither_named_nor_written_until_it_is_tried_again(
    queue: TaskQueue,
) -> None:
    gate = Gate(queue)
    gate.error = sc.WeightsError("The host is away.")
    session = Session(Choice())
    session.open({"photo": "coffee", "model": "vgg16", "fit": "q"})
    key = model_task("vgg16")

    def ask() -> None:
        session.tasks.begin()
        session.tasks.result(key, gate.start("vgg16"), title="VGG-16", long=True)
        session.restrict(NETWORK)

    ask()
    assert session.address()["model"] == "vgg16"
    assert session.remarks == []
    gate.opened.set()
    (entry,) = session.tasks
    assert entry.task.wait(SECONDS)
    session.note_frame()
    ask()
    assert session.latest == session.choice
    assert "model" not in session.address()
    assert session.remarks == [UNUSABLE.format(names="fit")]
    gate.opened.clear()
    session.choose_model("vgg16")
    assert session.tasks.running(key)
    assert session.address()["model"] == "vgg16"
    gate.opened.set()


def test_an_address_with_another_model_keeps_its_layer_until_that_model_is_there() -> None:
    selection = Selection(Choice())
    link = Choice(model="vgg16", view=viewed(layer="features.28"))
    selection.open(link)
    assert selection.shown.view["layer"] is None
    selection.change_view({"layer": "blocks.2", "how": "sum"})
    selection.arrive()
    assert selection.shown == replace(link, view={**link.view, "how": "sum"})


def test_a_method_of_the_coming_model_alone_is_kept_for_it_while_the_browser_reports_another_one() -> None:
    session = Session(Choice())
    session.open({"photo": "coffee", "model": "vgg16", "left": "attention_rollout", "layers": "conv1~conv2"})
    session.replace_method("attention_rollout", "It has no attention.", of_model=True)
    assert (session.methods[0], session.remarks) == ("normgrad", [])
    session.see_view({**session.view, "opacity": 0.5, "layers": (), "layer": "blocks.2"})
    assert session.address()["left"] == "attention_rollout"
    session.arrive()
    view = session.view
    assert (view["left"], view["layers"], view["layer"]) == ("attention_rollout", ("conv1", "conv2"), None)
    assert view["opacity"] == 0.5, "what was changed meanwhile counts for both"
    session.replace_method("attention_rollout", "It has no attention.", of_model=True)
    assert (session.methods[0], session.remarks) == ("normgrad", ["It has no attention."])


def test_the_browser_takes_over_a_step_from_the_sidebar_but_not_its_own() -> None:
    session = Session(Choice())
    revision = session.viewer.revision
    session.choose_step(0.0025)
    assert session.viewer.revision == revision + 1
    session.choose_step(0.04, from_browser=True)
    assert (session.viewer.revision, session.choice.step) == (revision + 1, 0.04)


def test_another_photo_starts_with_its_own_classes_and_keeps_the_step() -> None:
    session = Session(Choice(target=3, other=285, step=0.006))
    session.choose_photo("coffee")
    choice = session.choice
    assert (choice.target, choice.other, choice.step) == (None, None, 0.006)


NETWORK = ModelInfo(
    "tiny", "Tiny", ("a", "b"), tuple(sc.Layer(name, 4, 8, 8) for name in ("c", "d", "e")), ("d",), {}, {}
)


def test_layers_that_the_network_does_not_have_are_left_out_with_a_remark() -> None:
    session = Session(Choice(view=viewed(layers=("e", "nowhere", "d", "input"))))
    session.note_frame()
    session.restrict(NETWORK)
    assert session.choice.extra_layers == ("input", "e"), "input to output, and no stage twice"
    assert NETWORK.chosen(session.choice.extra_layers) == ("input", "d", "e")
    (remark,) = session.remarks
    assert "Tiny has no layer “nowhere”" in remark
    assert not session.frame_outdated, "the sidebar does not show them"
    session.restrict(NETWORK)
    assert len(session.remarks) == 1


def test_a_method_that_is_dropped_is_replaced_by_the_previous_one_or_the_default() -> None:
    session = Session(Choice(view=viewed(left="rise", right="rise")))
    session.viewer.settled = ("gradient", "rise")
    revision = session.viewer.revision
    session.replace_method("rise", "RISE is not shown.")
    assert session.methods == ("gradient", "grad_cam")
    assert session.viewer.revision > revision
    assert session.remarks == ["RISE is not shown."]
    session.see_view(session.view)
    assert session.remarks == ["RISE is not shown."]
    session.see_view({"left": "eigen_cam"})
    assert session.remarks == []


@pytest.mark.parametrize(
    "choose",
    [
        lambda session: session.choose_photo("coffee"),
        lambda session: session.choose_class(5),
        lambda session: session.choose_fit("pad"),
        lambda session: session.choose_step(0.006),
        lambda session: session.choose_model("vgg16"),
        lambda session: session.see_view({"layers": ("input",)}),
        lambda session: session.add_upload(PhotoFile("a.png", "1" * 64, b"x", "")),
    ],
)
def test_a_choice_of_the_sidebar_waits_for_a_run_of_the_whole_script(
    choose: Callable[[Session], None],
) -> None:
    session = Session(Choice())
    assert session.frame_outdated
    session.note_frame()
    assert not session.frame_outdated
    choose(session)
    assert session.frame_outdated
    session.note_frame()
    assert not session.frame_outdated


# -- networks of one's own -----------------------------------------------------------------------------------


@pytest.fixture
def own_network(tmp_path: Path) -> Path:
    """A checkpoint of a small network with three classes."""
    network = timm.create_model("test_resnet", num_classes=3)
    file = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(network.state_dict(), file)
    return file


def send(session: Session, file: Path) -> own_models.Upload:
    upload = session.own.receive(file.name)
    upload.write(file.read_bytes())
    upload.end()
    session.own.keep(upload)
    return upload


def upload_to(session: Session, file: Path, labels: tuple[str, bytes] | None = None) -> str:
    return session.own.add(send(session, file).id, "timm:test_resnet", labels)


def test_an_uploaded_network_is_known_to_the_engine_until_it_is_removed_or_the_session_ends(
    own_network: Path,
) -> None:
    session, taken = Session(Choice()), own_models.room.taken
    first = upload_to(session, own_network, ("names.txt", b"a\nb\nc"))
    second = upload_to(session, own_network)
    assert own_models.room.taken == taken + 2 * own_network.stat().st_size
    assert shared_engine().model_info(first).labels == ("a", "b", "c")
    assert [each.title for each in session.own] == ["mine.safetensors"] * 2
    session.choose_model(first)
    session.arrive()
    assert session.choice.model == first
    session.remove_model(first)
    assert session.choice.model == Choice().model
    session.own.close()
    for name in (first, second):
        with pytest.raises(sc.UnknownNameError):
            shared_engine().listing(name)
    assert own_models.room.taken == taken


def test_a_checkpoint_that_does_not_fit_waits_for_another_architecture_and_a_new_one_takes_its_place(
    own_network: Path,
) -> None:
    session, taken = Session(Choice()), own_models.room.taken
    waiting = send(session, own_network)
    with pytest.raises(sc.WeightsError, match=r"mine\.safetensors"):
        session.own.add(waiting.id, "resnet18", None)
    with pytest.raises(sc.ArgumentError, match=r"two\.txt has 2 names"):
        session.own.add(waiting.id, "timm:test_resnet", ("two.txt", b"a\nb"))
    newer = send(session, own_network)
    assert not waiting.path.exists()
    with pytest.raises(sc.WeightsError, match="no longer on the server"):
        session.own.add(waiting.id, "timm:test_resnet", None)
    assert session.own.add(newer.id, "timm:test_resnet", None) in session.own
    session.own.close()
    assert own_models.room.taken == taken


def test_a_checkpoint_becomes_one_network_however_many_requests_come_at_once(own_network: Path) -> None:
    session = Session(Choice())
    waiting = send(session, own_network)

    def add(_: int) -> str | None:
        try:
            return session.own.add(waiting.id, "timm:test_resnet", None)
        except sc.WeightsError:
            return None

    with ThreadPoolExecutor(4) as pool:
        added = [name for name in pool.map(add, range(4)) if name]
    assert added == [each.name for each in session.own]
    assert len(added) == 1
    session.own.close()


def test_the_room_for_checkpoints_is_bounded_for_each_file_each_session_and_all_together(
    own_network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(Choice())
    upload = session.own.receive("x.pth")
    monkeypatch.setattr(own_models, "MAX_FILE_BYTES", 10)
    upload.write(b"1" * 10)
    with pytest.raises(sc.WeightsError, match="too large"):
        upload.write(b"2")
    monkeypatch.setattr(own_models.room, "most", own_models.room.taken + 5)
    other = Session(Choice()).own.receive("y.pth")
    with pytest.raises(sc.WeightsError, match="no room"):
        other.write(b"1" * 6)
    more = session.own.receive("z.pth")
    with pytest.raises(sc.WeightsError, match="on their way"):
        session.own.receive("w.pth")
    for each in (upload, other, more):
        each.discard()
    with pytest.raises(sc.WeightsError, match="ends in .safetensors"):
        session.own.receive("network.exe")
    with pytest.raises(sc.WeightsError, match="The file is no checkpoint"):
        session.own.receive("")
    monkeypatch.undo()
    for _ in range(own_models.MAX_MODELS):
        upload_to(session, own_network)
    with pytest.raises(sc.WeightsError, match=f"You have {own_models.MAX_MODELS} networks"):
        session.own.receive("z.pth")
    session.own.close()


def test_a_session_that_ends_takes_the_checkpoint_with_it_that_is_just_arriving(own_network: Path) -> None:
    session = Session(Choice())
    session.own.close()
    waiting = send(session, own_network)
    assert not waiting.path.exists()


# -- the search of classes -----------------------------------------------------------------------------------


def test_classes_are_found_by_the_parts_of_their_names_the_best_first_and_by_their_number() -> None:
    labels = ("tiger shark", "Bengal tiger", "coffee mug", "tigers eye", "cat")
    class_search.offer("tiny", labels)
    assert [index for index, _ in class_search.search("tiny", "tiger")] == [0, 3, 1]
    assert class_search.search("tiny", "MUG coff") == [(2, "coffee mug")]
    assert class_search.search("tiny", "4") == [(4, "cat")]
    assert class_search.search("tiny", "zebra") == []
    assert class_search.search("other", "cat") is None
    class_search.offer("large", tuple(f"class {index}" for index in range(21_841)))
    assert len(class_search.search("large", "class")) == class_search.MAX_HITS


# -- photos --------------------------------------------------------------------------------------------------


def stored(seed: int) -> PhotoFile:
    """An upload that is in the shared store."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (seed % 256, seed // 256, 7)).save(file, "PNG")
    received, _ = photos.receive(f"{seed}.png", file.getvalue())
    return photos.open_upload(received).file


def test_a_removed_photo_is_forgotten_and_its_neighbour_shown() -> None:
    session = Session(Choice())
    files = [stored(seed) for seed in range(3)]
    for file in files:
        session.add_upload(file)
    session.remove_upload(files[0].key)
    assert session.choice.photo == files[2].key
    session.remove_upload(files[2].key)
    assert session.choice.photo == files[1].key
    session.remove_upload(files[1].key)
    assert session.choice.photo == photos.default_sample()
    assert len(session.uploads) == 0
    assert all(photos.find_upload(file.key) is None for file in files)
    session.remove_upload("chelsea")
    assert session.choice.photo == photos.default_sample()


def test_uploads_beyond_the_limits_drop_the_oldest_and_say_which() -> None:
    uploads = Uploads()
    files = [PhotoFile(f"{i}.png", f"{i:064}", 1) for i in range(MAX_UPLOADS + 2)]
    gone = [uploads.add(file) for file in files]
    assert gone[MAX_UPLOADS:] == [[files[0]], [files[1]]]
    assert uploads.add(PhotoFile("again.png", f"{MAX_UPLOADS:064}", 1)) == []
    assert len(uploads) == MAX_UPLOADS
    huge = PhotoFile("huge.png", "f" * 64, 170 << 20)
    assert len(uploads.add(huge)) == MAX_UPLOADS
    assert [file.name for file in uploads] == ["huge.png"]


def test_photos_removed_to_make_room_for_several_are_named_in_one_sentence() -> None:
    session = Session(Choice())
    for seed in range(200, 200 + MAX_UPLOADS + 3):
        session.add_upload(stored(seed))
    (sentence,) = session.notices
    assert "To make room, “200.png”, “201.png” and “202.png” were removed." in sentence
    session.clear_notices()
    session.add_upload(stored(220))
    (sentence,) = session.notices
    assert sentence.endswith("To make room, “203.png” was removed.")
    assert listed("abc" * MAX_UPLOADS).endswith(f"“c” and {2 * MAX_UPLOADS} more")


def test_a_photo_that_is_there_under_another_name_is_replaced_with_a_sentence() -> None:
    session = Session(Choice())
    file = stored(71)
    session.add_upload(file)
    session.add_upload(file)
    assert session.notices == []
    session.add_upload(replace(file, name="copy.png"))
    assert session.notices == ["“copy.png” is the same photo as “71.png” and replaces it."]
    assert [each.name for each in session.uploads] == ["copy.png"]


def test_a_photo_that_two_sessions_have_stays_until_both_have_removed_it() -> None:
    mine, yours = Session(Choice()), Session(Choice())
    file = stored(70)
    mine.add_upload(file)
    yours.add_upload(replace(file, name="yours.png"))
    mine.remove_upload(file.key)
    assert photos.find_upload(file.key) is not None
    yours.remove_upload(file.key)
    assert photos.find_upload(file.key) is None


def test_a_photo_that_one_session_cannot_read_now_stays_for_the_session_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(*_: object, **__: object) -> Task[object]:
        return Task.refused("key", BusyError("The server is busy for about 5 seconds."))

    mine, yours = Session(Choice()), Session(Choice())
    file = stored(72)
    mine.add_upload(file)
    photos.photo_store().drop(file.digest)
    yours.arriving = [replace(file, name="yours.png")]
    monkeypatch.setattr(shared_engine(), "run", busy)
    scene.take_uploads(yours)
    assert yours.refusals == ["yours.png: The server is busy for about 5 seconds."]
    assert photos.find_upload(file.key) is not None
    mine.remove_upload(file.key)
    assert photos.find_upload(file.key) is None


def told(*files: PhotoFile) -> list[object]:
    """What a tab says about photos that it had before."""
    return [{"key": file.key, "name": f"my {file.name}"} for file in files]


def test_a_new_session_takes_back_the_photos_of_the_tab_in_their_order_with_their_names() -> None:
    files = [stored(seed) for seed in (80, 81, 82)]
    session = Session(Choice(photo=files[1].key))
    assert session.photo_file() == files[1]  # from the address, before the tab has said anything
    session.restore_uploads(told(*files))
    assert [file.name for file in session.uploads] == ["my 80.png", "my 81.png", "my 82.png"]
    assert session.choice.photo == files[1].key
    assert session.notices == []
    session.remove_upload(files[0].key)
    session.restore_uploads(told(*files))  # said twice: what was removed meanwhile stays away
    assert [file.digest for file in session.uploads] == [file.digest for file in files[1:]]


def test_photos_that_are_gone_are_named_in_one_sentence_each_time() -> None:
    gone = [PhotoFile(f"{letter}.png", letter * 64, 1) for letter in "abc"]
    session = Session(Choice(photo=gone[0].key))
    session.photo_file()
    session.restore_uploads(told(*gone))
    sentence = "“my a.png”, “my b.png” and “my c.png” are no longer on the server. Upload them again."
    assert session.notices == [sentence]
    kept = stored(83)
    session.add_upload(kept)
    photos.forget(kept)  # the store is full
    session.check_uploads()
    assert session.choice.photo == photos.default_sample()
    assert session.notices == ["“83.png” is no longer on the server. Upload it again."]
    assert len(session.uploads) == 0


@pytest.mark.parametrize(
    "sent",
    [
        None,
        7,
        "upload-" + "0" * 32,
        {"key": "upload-" + "0" * 32, "name": "a"},
        [None, 3, "x", [], {}],
        [{"key": 5, "name": "a"}, {"key": "upload-../../etc/passwd", "name": "a"}],
        [{"key": "upload-" + "0" * 32, "name": ["a"]}],
        [{"key": "upload-" + "F" * 32, "name": "upper case"}],
        [{"key": "upload-" + "0" * 32 + "\n", "name": "a"}],
    ],
)
def test_nonsense_instead_of_the_tabs_photos_is_ignored(sent: object) -> None:
    session = Session(Choice())
    session.restore_uploads(sent)
    assert len(session.uploads) == 0
    assert session.notices == []


def test_thousands_of_photos_with_odd_names_are_cut_to_the_limits() -> None:
    sent = [{"key": f"upload-{i:032x}", "name": "\u202e\x00\n" + "x" * 10_000} for i in range(5000)]
    found = remembered(sent)
    assert len(found) == MAX_UPLOADS
    assert set(found.values()) == {"x" * (MAX_NAME - 3)}
    assert remembered([{"key": f"upload-{0:032}", "name": "\x07"}]) == {f"upload-{0:032}": "Photo"}


def test_an_uploader_that_names_files_taken_before_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Choice())
    session.notices = ["a note"]
    monkeypatch.setitem(sidebar.st.session_state, "upload-0", [DeletedFile("taken before")])
    sidebar._take_files(session, "upload-0")
    assert (session.notices, session.arriving, session.uploads.round) == (["a note"], [], 0)


def test_another_persons_photo_cannot_be_found_by_a_part_of_its_key() -> None:
    file = stored(84)
    for key in (file.key[:-1], "upload-", file.digest, file.key + "0"):
        session = Session(Choice())
        session.restore_uploads([{"key": key, "name": "mine"}])
        assert len(session.uploads) == 0
    assert photos.find_upload("upload-") is None


def test_a_photo_that_is_gone_is_replaced_by_a_sample_with_a_sentence() -> None:
    session = Session(Choice(photo=photos.upload_key("0" * 64), target=3))
    assert session.photo_file() is None
    assert (session.choice.photo, session.choice.target) == (photos.default_sample(), None)
    assert session.notices == [GONE]


# -- tasks ---------------------------------------------------------------------------------------------------


@pytest.fixture
def queue() -> Iterator[TaskQueue]:
    queue = TaskQueue(workers=4)
    yield queue
    queue.close(SECONDS)


class Gate:
    """Tasks that stay under way until the gate is opened, then end as it says."""

    def __init__(self, queue: TaskQueue) -> None:
        self.queue = queue
        self.opened = threading.Event()
        self.error: Exception | None = None
        self.started: list[str] = []

    def start(self, key: str) -> Callable[[], Task[str]]:
        def run(progress: ProgressCallback) -> str:
            while not self.opened.wait(0.01):
                progress(0, 0)  # raises once it is cancelled
            if self.error is not None:
                raise self.error
            return f"result of {key}"

        def begin() -> Task[str]:
            self.started.append(key)
            return self.queue.submit(key, run)

        return begin


def ask(found: Tasks, gate: Gate, key: str, **options: object) -> str | None:
    return found.result(key, gate.start(key), title=key, **options)


def test_a_page_waits_for_no_longer_than_its_patience_and_gets_the_result_in_a_later_run(
    queue: TaskQueue,
) -> None:
    gate, found = Gate(queue), Tasks(patience=0.0)
    found.begin()
    assert ask(found, gate, "a") is None
    assert found.running("a")
    (entry,) = found
    gate.opened.set()
    assert entry.task.wait(SECONDS)
    found.begin()
    assert ask(found, gate, "a") == "result of a"
    assert len(found) == 0
    assert gate.started == ["a"]


def test_a_result_that_is_ready_within_the_patience_is_there_in_the_same_run(queue: TaskQueue) -> None:
    gate, found = Gate(queue), Tasks(patience=SECONDS)
    gate.opened.set()
    found.begin()
    assert ask(found, gate, "a") == "result of a"


def test_a_failed_task_is_not_started_again_until_it_is_asked_to(queue: TaskQueue) -> None:
    gate, found = Gate(queue), Tasks(patience=SECONDS)
    gate.error = sc.NonFiniteError("It overflows.")
    gate.opened.set()
    for _ in range(2):
        found.begin()
        assert ask(found, gate, "a") is None
    assert (found.error("a"), gate.started) == ("It overflows.", ["a"])
    gate.error = None
    found.retry("a")
    assert ask(found, gate, "a") == "result of a"
    assert found.error("a") is None


def test_a_failure_that_no_run_has_asked_for_is_still_to_be_collected(queue: TaskQueue) -> None:
    def fail(progress: ProgressCallback) -> None:
        raise sc.ImageError("A sentence.")

    tasks = Tasks(patience=0.0)
    tasks.begin()
    task = queue.submit("key", fail, title="A title")
    tasks.result("key", lambda: task, title="A title", inline=True)
    with pytest.raises(sc.ImageError):
        task.value()
    (entry,) = tasks
    assert entry.ended
    assert tasks.error("key") == "A sentence."
    assert not entry.ended


def test_a_task_that_another_session_has_cancelled_starts_again(queue: TaskQueue) -> None:
    gate = Gate(queue)
    first, second = Tasks(patience=0.0), Tasks(patience=0.0)
    assert ask(first, gate, "a", long=True) is None
    assert ask(second, gate, "a", long=True) is None
    (mine,), (yours,) = first, second
    assert mine.task is yours.task
    first.drop(mine)
    assert mine.task.wait(SECONDS)
    assert ask(second, gate, "a", long=True) is None
    (again,) = second
    assert again.running


def test_dropping_a_task_cancels_it_and_says_so_once(queue: TaskQueue) -> None:
    gate, found, said = Gate(queue), Tasks(patience=0.0), []
    ask(found, gate, "a", long=True, on_drop=lambda: said.append("dropped"))
    (entry,) = found
    found.drop(entry)
    found.drop(entry)
    assert said == ["dropped"]
    assert entry.task.wait(SECONDS)
    with pytest.raises(Cancelled):
        entry.task.value()


def test_a_task_is_cancelled_when_the_last_session_stops_asking_for_it(queue: TaskQueue) -> None:
    gate = Gate(queue)
    first, second = Tasks(patience=0.0), Tasks(patience=0.0)
    for found in (first, second):
        found.begin()
        assert ask(found, gate, "a") is None
    (entry,) = second
    first.begin()
    first.end()  # a run that asks for nothing
    assert entry.running
    assert entry.task.state is not TaskState.CANCELLED
    second.begin()
    second.end()
    assert entry.task.wait(SECONDS)
    assert entry.task.state is TaskState.CANCELLED


def test_a_run_forgets_what_it_did_not_ask_for_but_for_long_tasks_up_to_their_number(
    queue: TaskQueue,
) -> None:
    gate, found = Gate(queue), Tasks(patience=0.0)
    for key in "abcde":
        found.begin()
        ask(found, gate, f"short {key}")
        ask(found, gate, f"long {key}", long=True)
        found.end()
    assert [entry.key for entry in found] == ["long c", "long d", "short e", "long e"]
    assert len([entry for entry in found if entry.long]) == MAX_LONG


def test_a_run_of_the_page_alone_keeps_what_the_frame_waits_for(queue: TaskQueue) -> None:
    gate, found = Gate(queue), Tasks(patience=0.0)
    found.begin()
    ask(found, gate, "explanation")
    found.enter_page()
    ask(found, gate, "page")
    found.end()
    found.begin(page=True)
    found.end()
    assert [entry.key for entry in found] == ["explanation"]


def test_a_computed_result_is_shared_by_all_sessions() -> None:
    calls: list[int] = []

    def compute(progress: ProgressCallback) -> str:
        calls.append(1)
        return "found"

    for _ in range(2):
        found = Tasks(patience=SECONDS)
        found.begin()
        key = ("shared by all sessions",)
        assert found.computed(key, compute, title="", total=1) == "found"
    assert calls == [1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "estimating the time left"),
        (0.2, "nearly done"),
        (3.2, "4 s left"),
        (61, "about 65 s left"),
        (150, "about 3 min left"),
    ],
)
def test_the_time_left_is_rounded_more_the_longer_it_is(seconds: float | None, words: str) -> None:
    assert formats.time_left(seconds) == words


def test_a_waiting_task_and_a_download_say_how_far_they_are(queue: TaskQueue) -> None:
    assert progress_text(Task("a")) == "waiting for its turn"
    reached = threading.Event()
    go_on = threading.Event()

    def download(progress: ProgressCallback) -> None:
        progress(12_000_000, 98_000_000)
        reached.set()
        go_on.wait(SECONDS)

    task = queue.submit("download", download, total=98_000_000, unit="bytes")
    assert reached.wait(SECONDS)
    assert progress_text(task) == "12 of 98 MB"
    go_on.set()


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.0, "100%"),
        (0.9997, "100%"),
        (0.344, "34%"),
        (0.0997, "10%"),
        (0.0256, "2.6%"),
        (0.0003, "0.03%"),
        (0.00003, "<0.01%"),
        (0, "0%"),
    ],
)
def test_shares_keep_enough_digits_to_distinguish_little_from_nothing(share: float, words: str) -> None:
    assert formats.percent(share) == words


def test_correlations_are_written_without_a_negative_zero() -> None:
    assert [formats.rho(value) for value in (0.214, -0.003, -0.5, 1.0)] == ["0.21", "0.00", "−0.50", "1.00"]


def test_a_step_of_size_zero_is_no_step_in_words() -> None:
    assert formats.after_step(sc.MetaStep(0.0, ascend=True)) == ""
    assert [formats.epsilon_title(size) for size in (0.0, 0.0025)] == ["without a step", "0.0025 (paper)"]


def test_a_page_that_starts_with_its_own_method_and_layer_leaves_those_of_the_others() -> None:
    session = Session(Choice(photo="cat-above-coffee"))
    session.start_with("photo", "grad_cam", "bn2")
    assert (session.view["left"], session.view["layer"]) == ("grad_cam", "bn2")
    assert session.address() == {"photo": "cat-above-coffee"}
    session.see_view({"left": "grad_cam", "layer": "blocks.4"})
    assert session.address() == {"photo": "cat-above-coffee", "left": "grad_cam", "layer": "blocks.4"}
    session.end_start()
    assert (session.view["left"], session.view["layer"]) == ("normgrad", None)


# -- call sequences ------------------------------------------------------------------------------------------


class Walk:
    """A random sequence of what a visitor and the browser can do to a session, checked after every step."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.session = Session(Choice())
        self.session.open({})
        self.session.enter(HOME)
        self.links: list[dict[str, str]] = []
        self.files = [stored(1000 + index) for index in range(4)]
        self.other_session = Uploads()  # has them too, so that none is forgotten
        self.other_session.add(*self.files)
        self.refused: set[str] = set()

    def step(self) -> str:
        action = self.random.choice([name for name in dir(self) if name.startswith("do_")])
        getattr(self, action)()
        return action

    def method(self) -> str:
        return self.random.choice(list(sc.METHODS))

    def do_choose_photo(self) -> None:
        self.session.choose_photo(self.random.choice(list(photos.sample_files())))

    def do_choose_class(self) -> None:
        self.session.choose_class(self.random.choice([None, 0, 285, 999]))

    def do_choose_classes(self) -> None:
        self.session.choose_classes(self.random.randrange(1000), self.random.randrange(1000))

    def do_choose_fit(self) -> None:
        self.session.choose_fit(self.random.choice(list(sc.FITS)))

    def do_choose_step(self) -> None:
        size = self.random.choice([None, 0.0, 0.0025, 0.1])
        direction = self.random.choice(["learn", UNLEARN])
        self.session.choose_step(size, direction, from_browser=self.random.random() < 0.5)

    def do_choose_model(self) -> None:
        self.session.choose_model(self.random.choice(list(sc.MODELS)))

    def do_model_arrives(self) -> None:
        self.session.arrive()
        self.session.restrict(replace(NETWORK, labels=("class",) * 1000))

    def do_model_fails(self) -> None:
        self.session.selection.give_up()

    def do_report_view(self) -> None:
        reported = {
            "left": self.method(),
            "right": self.method(),
            "layer": self.random.choice(["a", "b"]),
            "layers": self.random.choice([[], ["input"], ["e", "nowhere"], ["a b"]]),
            "weights": self.random.choice([None, {"a": 0, "b": 1}]),
            "opacity": self.random.choice([0.2, 2.0]),
            "mixed": True,
            "tab": "layers",
        }
        found = schema.from_browser(reported, ("a", "b"))
        self.session.see_view(found)

    def do_switch(self) -> None:
        self.session.see_view({"cells": self.random.random() < 0.5})

    def do_method_is_refused(self) -> None:
        name = self.random.choice(self.session.methods)
        if name in schema.DEFAULT_METHODS:
            return
        self.session.replace_method(name, f"{name} is not shown.")
        assert name not in self.session.methods or name in self.session.viewer.settled
        assert f"{name} is not shown." in self.session.remarks

    def do_methods_are_there(self) -> None:
        self.session.settle({*schema.DEFAULT_METHODS, "gradient"})

    def do_upload(self) -> None:
        file = self.random.choice(self.files)
        self.session.add_upload(file)

    def do_remove(self) -> None:
        kept = list(self.session.uploads)
        self.session.remove_upload(self.random.choice([*(file.key for file in kept), "coffee"]))

    def do_see_photo(self) -> None:
        file = self.session.photo_file()
        assert (file.key if file else self.session.choice.photo) == self.session.choice.photo

    def do_change_page(self) -> None:
        self.session.enter(self.random.choice(PAGES))

    def do_fail(self) -> None:
        self.session.fail("A sentence.")
        self.session.enter(self.random.choice(PAGES))

    def do_keep_link(self) -> None:
        self.links.append(self.session.address())

    def do_open_link(self) -> None:
        if self.links:
            page = self.random.choice(PAGES)
            self.session.open(self.random.choice(self.links))
            self.session.enter(page)


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_of_calls_keeps_the_invariants_of_a_session(seed: int) -> None:
    walk = Walk(seed)
    revision = walk.session.viewer.revision
    for _ in range(150):
        action = walk.step()
        session = walk.session
        # The revision never falls, or the browser would keep an old view.
        assert session.viewer.revision >= revision, action
        revision = session.viewer.revision
        if action == "do_model_arrives":
            extra = session.choice.extra_layers
            assert NETWORK.chosen(extra) == tuple(
                name for name in ("input", "d", "e") if name in (*extra, "d")
            )
        # Both methods exist, and the view is complete.
        assert set(session.methods) <= set(sc.METHODS)
        assert set(session.view) == set(schema.DEFAULTS)
        # What is coming has another model than what is shown, and differs in nothing that is chosen for both.
        coming = session.selection.coming
        assert coming is None or coming.model != session.choice.model
        assert len(session.uploads) <= MAX_UPLOADS
        assert len({file.digest for file in session.uploads}) == len(session.uploads)
        # The address opens the same in a new session, on the same page.
        link = session.address()
        copy = Session(Choice())
        copy.open(link)
        copy.enter(entry_of(session.viewer.page or ""))
        copy.arrive()
        assert copy.address() == link, action
        assert copy.selection.latest.model == session.selection.latest.model
        assert copy.choice.variant == session.selection.latest.variant


def test_the_store_of_results_is_bounded() -> None:
    assert tasks.results().max_size == tasks.MAX_RESULT_BYTES
    assert photos.photo_store().max_size == photos.STORE_BYTES
    assert photos.upload_files().max_bytes <= photos.FILE_BYTES
