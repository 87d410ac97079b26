"""Sessions on disk, on disks that are full, read-only or something else entirely."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engines.cell_code import cell_code
from lab.errors import StoreError
from lab.sessions.folder import SessionFolder, default_folder, resume_command

DISK_BYTES = 512 * 1024


def test_a_session_is_a_folder_with_a_manifest_the_code_and_a_file_for_each_cell(tmp_path: Path) -> None:
    with SessionFolder(tmp_path / "not" / "yet", "s") as folder:
        folder.write_code(b"code")
        folder.write_manifest({"schema": 1})
        with folder.cell("cpu1") as first_cell, folder.cell("cpu2") as two:
            first_cell.append(b"one\n")
            two.append(b"three\n")
            first_cell.append(b"two\n")
        folder.write_manifest({"schema": 1, "done": True})
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == {
        "cell.zip": b"code",
        "session.json": b'{\n  "schema": 1,\n  "done": true\n}\n',
        "cpu1.jsonl": b"one\ntwo\n",
        "cpu2.jsonl": b"three\n",
    }
    assert folder.failure is None


def test_a_piece_is_on_the_disk_as_soon_as_it_came(tmp_path: Path) -> None:
    with SessionFolder(tmp_path, "s") as folder:
        folder.cell("cpu1").append(b"half a li")
        assert (folder.path / "cpu1.jsonl").read_bytes() == b"half a li"


def test_the_authoritative_stream_replaces_what_came_live(tmp_path: Path) -> None:
    with SessionFolder(tmp_path, "s") as folder, folder.cell("cpu1") as file:
        file.append(b"torn")
        file.replace(b"whole\n")
    assert (folder.path / "cpu1.jsonl").read_bytes() == b"whole\n"


def test_sessions_are_kept_where_this_system_keeps_such_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "multicore-lab" / "sessions"


def refused(parent: Path) -> str:
    with pytest.raises(StoreError) as caught:
        SessionFolder(parent, "s")
    message = str(caught.value)
    assert "\n" not in message
    assert "--output" in message
    assert caught.value.exit_code == 3
    return message


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refused(tmp_path / "file")


def test_an_output_that_cannot_be_written_is_refused() -> None:
    # Not a mode that forbids writing: root may write there all the same.
    assert str(Path("/proc/s")) in refused(Path("/proc"))


def test_a_session_that_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert "File exists" in refused(tmp_path)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system with little room; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room on the disk of this folder."""
    with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


def test_code_that_cannot_be_kept_ends_the_run_before_anything_is_measured(tiny_disk: Path) -> None:
    with SessionFolder(tiny_disk, "s") as folder:
        fill(tiny_disk)
        with pytest.raises(StoreError, match="No space left on device"):
            folder.write_code(b"code")


@pytest.fixture
def full_folder(tiny_disk: Path) -> Iterator[SessionFolder]:
    """A session on a full disk."""
    with SessionFolder(tiny_disk, "s") as folder:
        fill(tiny_disk)
        yield folder


def test_a_disk_that_fills_up_does_not_end_the_run(full_folder: SessionFolder) -> None:
    with full_folder.cell("cpu1") as cell:
        cell.append(b"a record\n")
        cell.append(b"another one\n")
    with full_folder.cell("cpu2") as two:
        two.append(b"a record\n")
    full_folder.write_manifest({"schema": 1})
    assert full_folder.failure == f"the session in {full_folder.path} is incomplete: No space left on device"


def open_files() -> set[Path]:
    return {link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


def test_after_a_failure_no_file_stays_open(full_folder: SessionFolder) -> None:
    before = open_files()
    with full_folder.cell("cpu1") as file:
        file.append(b"a record\n")
    assert full_folder.failure
    assert open_files() == before


@pytest.mark.slow
def test_a_run_on_a_disk_that_fills_up_prints_its_tables_and_says_that_the_session_is_incomplete(
    tiny_disk: Path,
) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    code = -(-len(cell_code()) // page) * page
    (tiny_disk / "filler").write_bytes(bytes(DISK_BYTES - code - page))  # leaves one page, for the first manifest
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", "pipe", "--engine", "local", "--cpus", "1", "--output", tiny_disk],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr  # a session that is lost in part is no success
    assert done.stderr.splitlines()[-1].startswith("exit code 3: the session in ")
    assert "pipe" in done.stdout
    assert "confirmed" in done.stdout
    assert "incomplete: No space left on device" in " ".join(done.stdout.split()), "in lines of 80 columns"
    assert "incomplete: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_whose_output_is_no_folder_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", "pipe", "--engine", "local", "--output", tmp_path / "file"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("lab: cannot make the session's folder ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_manifest_is_replaced_whole_or_not_at_all(tiny_disk: Path) -> None:
    with SessionFolder(tiny_disk, "s") as folder:
        folder.write_manifest({"schema": 1})
        fill(tiny_disk)
        folder.write_manifest({"schema": 1, "text": "x" * 100000})
    assert json.loads((folder.path / "session.json").read_text()) == {"schema": 1}
    assert folder.failure


def test_a_session_of_own_code_goes_on_by_the_command_that_began_it() -> None:
    folder = default_folder() / "20260101-000000-aa"
    assert [resume_command(folder, name) for name in ("run", "scale")] == [
        "lab run --resume",
        "lab scale --resume",
    ]
