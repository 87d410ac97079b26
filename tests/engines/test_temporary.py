"""Folders for temporary files: those of killed labs are removed by the next lab, and no others."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import engines
from lab.engines import temporary
from lab.engines.slurm_allocation import OpenAllocation
from lab.engines.slurm_records import _Look
from lab.engines.temporary import TemporaryFolder, remove_abandoned, temporary_file
from lab.errors import CellError, EngineError
from lab.model.allocation import Allocation
from lab.model.cell import Cell, Limit
from lab.planning import jobs
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


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """No file of this process can grow, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_folder_costs_the_cells_that_need_it_and_is_named(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = r"cannot write to /.*: File too large; make room there, or let TMPDIR name another folder"
    with pytest.raises(CellError, match=full), no_room():
        temporary_file(b"code")
    job = jobs.job_of("s", Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,)), ("pipe",), 1.0, 0.1)
    local = engines.make("local")
    with contextlib.closing(local), pytest.raises(CellError, match=full), no_room():
        local.run(job, lambda piece: None)

    monkeypatch.setattr(tempfile, "tempdir", str(parent / "gone"))
    with pytest.raises(EngineError, match=r"cannot write to .*/gone: No such file or directory"):
        TemporaryFolder()
    look = _Look(OpenAllocation(Allocation(), "s", print), 0, ())
    assert (look.has_ended, look.close()) == (True, b"")
