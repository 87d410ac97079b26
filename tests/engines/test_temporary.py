"""Folders for temporary files: those of killed labs are removed by the next lab, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lab.engines import temporary
from lab.engines.temporary import TemporaryFolder, remove_abandoned
from lab.system import PREFIX

KILLED = """
import os
from lab.engines.temporary import TemporaryFolder
folder = TemporaryFolder()
os.mkdir(folder.name + "/locked")
os.chmod(folder.name + "/locked", 0)
print(folder.name, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder for temporary files."""
    monkeypatch.setattr(temporary, "SHORT_FOLDERS", ())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def left_by_a_killed_lab() -> Path:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip())
    assert folder.is_dir(), done.stderr
    return folder


def test_the_folder_of_a_killed_lab_is_removed_and_no_other(parent: Path) -> None:
    left = left_by_a_killed_lab()
    somebodys = parent / f"{PREFIX}checkout"
    (somebodys / "work").mkdir(parents=True)
    link = parent / f"{PREFIX}link"
    link.symlink_to(left)
    with TemporaryFolder() as own:
        assert remove_abandoned() == [str(left)]
        assert sorted(map(str, parent.iterdir())) == sorted([str(somebodys), str(link), own])
    assert not Path(own).exists()


def test_a_file_that_is_no_file_owns_nothing(parent: Path) -> None:
    folders = [parent / f"{PREFIX}{number}" for number in range(3)]
    for folder in folders:
        folder.mkdir()
    os.mkfifo(folders[0] / ".owner")
    (folders[1] / ".owner").mkdir()
    (folders[2] / ".owner").symlink_to("/dev/zero")
    assert remove_abandoned() == []


def test_lab_clean_removes_it_without_an_engine(parent: Path) -> None:
    left = left_by_a_killed_lab()
    command = [sys.executable, "-m", "lab", "clean"]
    environment = {**os.environ, "DOCKER_HOST": f"unix://{parent}/none.sock"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (3, f"removed folder {left}\n")
    assert "none.sock" in done.stderr
    assert not left.exists()
