"""The folder for what sessions bring: who may use it, what survives, what is removed, what is refused."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pages.shared import state_folder
from pages.shared.state_folder import StateFolder, private_folder
from pages.shared.upload_files import UploadFacts, UploadFiles
from saliency_core.errors import ArgumentError

ROOT = Path(__file__).parents[1]
HOUR = 3600.0


def facts_of(data: bytes, name: str = "a.png") -> UploadFacts:
    return UploadFacts(name, hashlib.sha256(data).hexdigest(), len(data))


def store(state: StateFolder | None, max_bytes: int = 1000, memory: int = 1000) -> UploadFiles:
    return UploadFiles(state, max_bytes, HOUR, memory)


def age(state: StateFolder, facts: UploadFacts, seconds: float) -> None:
    """Set the last use of a file to so long ago."""
    path = state.uploads / f"{facts.digest[:32]}.photo"
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def other_process(folder: Path) -> subprocess.Popen[str]:
    """A process that uses the folder, holds the photo b"shared" and waits."""
    code = (
        "import sys; from pathlib import Path; from pages.shared.state_folder import StateFolder\n"
        "from tests.test_uploads_on_disk import store, facts_of\n"
        "state = StateFolder(Path(sys.argv[1])); (state.part('checkpoints') / 'x').write_bytes(b'1')\n"
        "files = store(state); files.put(facts_of(b'shared', 'theirs.png'), b'shared')\n"
        "files.hold([facts_of(b'shared').digest]); print(state.own, flush=True); sys.stdin.read()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_photo_that_a_killed_process_has_kept_is_found_by_the_next_one_and_its_other_files_are_removed(
    tmp_path: Path,
) -> None:
    with other_process(tmp_path / "state") as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        mine = StateFolder(tmp_path / "state")
        files = store(mine)
        digest = facts_of(b"shared").digest
        assert files.read(digest) == b"shared"  # while both run
        files.drop(digest)
        assert files.read(digest) == b"shared"  # a session over there still has it
        mine.remove_leftovers()
        assert (theirs / "checkpoints" / "x").is_file()  # the process lives
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    later = StateFolder(tmp_path / "state")
    assert not theirs.exists()
    assert later.own.is_dir()
    assert mine.own.is_dir()
    found = store(later).find(digest)
    assert found == facts_of(b"shared", "theirs.png")
    store(later).drop(digest)
    assert store(later).find(digest) is None
    for each in (mine, later):
        each.close()
    assert list((tmp_path / "state" / "processes").iterdir()) == []
    assert list((tmp_path / "state" / "uploads").iterdir()) == []


def test_nobody_else_can_read_what_is_kept(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state = StateFolder(tmp_path / "deep" / "state")
        store(state).put(facts_of(b"secret"), b"secret")
        store(state).hold([facts_of(b"secret").digest])
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in [state.path, *state.path.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_a_folder_that_others_could_read_or_change_is_refused_with_what_to_do(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(ArgumentError, match="is a symbolic link, so .* Set SALIENCY_STATE to"):
        private_folder(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match="is not a folder"):
        private_folder(tmp_path / "file")
    real.chmod(0o777)
    with pytest.raises(ArgumentError, match="can be written by other users"):
        private_folder(real)
    if os.getuid() == 0:
        real.chmod(0o700)
        os.chown(real, 12345, 12345)
        with pytest.raises(ArgumentError, match="belongs to another user"):
            private_folder(real)
    else:
        with pytest.raises(ArgumentError, match="belongs to another user"):
            private_folder(Path("/"))


def test_the_app_does_not_start_with_a_folder_that_it_must_not_use_but_without_one_that_it_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("SALIENCY_STATE", str(tmp_path / "link"))
    with pytest.raises(ArgumentError, match="is a symbolic link"):
        state_folder.shared.__wrapped__()
    (tmp_path / "file").touch()
    monkeypatch.setenv("SALIENCY_STATE", str(tmp_path / "file" / "below"))
    assert state_folder.shared.__wrapped__() is None
    assert "photos are kept in memory only, until the server ends" in caplog.text


def test_a_folder_that_is_removed_while_the_server_runs_is_made_again(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    files = store(state)
    first, second = facts_of(b"first"), facts_of(b"second")
    assert files.put(first, b"first")
    files.hold([first.digest])
    shutil.rmtree(state.path)
    assert files.put(second, b"second")
    files.hold([first.digest, second.digest])
    assert (files.find(first.digest), files.read(second.digest)) == (None, b"second")
    assert state.path.stat().st_mode & 0o777 == 0o700
    other = StateFolder(state.path)  # it leaves alone what belongs to a process that lives
    assert state.own.is_dir()
    assert len(list(other.others("held")[0].iterdir())) == 2
    other.close()
    state.close()


def test_the_photos_used_longest_ago_make_room_for_a_new_one_and_old_ones_go(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    files = store(state, max_bytes=30)
    photos = [bytes([index]) * 10 for index in range(4)]
    for index, data in enumerate(photos[:3]):
        assert files.put(facts_of(data), data)
        age(state, facts_of(data), 100 - index)
    assert files.use(facts_of(photos[0]).digest)
    assert files.put(facts_of(photos[3]), photos[3])
    assert [files.read(facts_of(data).digest) for data in photos] == [photos[0], None, photos[2], photos[3]]
    assert files.usage() == (3, 30)
    age(state, facts_of(photos[2]), HOUR + 1)
    files.sweep()
    assert [files.use(facts_of(data).digest) for data in photos] == [True, False, False, True]


def test_what_the_disk_does_not_take_is_kept_in_memory_and_said_so(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    files = store(state, max_bytes=30, memory=100)
    large = b"x" * 50
    assert not files.put(facts_of(large), large)
    (state.own / "drafts").touch()  # nothing can be written there
    assert not files.put(facts_of(b"y"), b"y")
    assert store(None).put(facts_of(b"y"), b"y") is False
    for data in (large, b"y"):
        digest = facts_of(data).digest
        assert files.use(digest)
        assert files.read(digest) == data
        files.note_thumb(replace(facts_of(data), thumb="data:,"))
        assert files.find(digest[:32]) == replace(facts_of(data), thumb="data:,")
        files.drop(digest)
        assert files.find(digest) is None


def test_files_that_are_not_what_was_kept_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    files = store(state)
    facts = facts_of(b"photo")
    for known in (b"", b"[]", b'{"name": 1}', b"[" * 100_000):
        files.put(facts, b"photo")
        (state.uploads / f"{facts.digest[:32]}.json").write_bytes(known)
        assert files.find(facts.digest) is None
    (state.uploads / f"{facts.digest[:32]}.photo").write_bytes(b"another")
    assert files.read(facts.digest) is None
