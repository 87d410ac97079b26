"""Shared memory that nobody uses any more is told with the command that removes it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from lab.engines import local, shared_memory


@pytest.fixture
def name() -> Iterator[str]:
    """A name for shared memory, which is removed afterwards."""
    name = f"lab-test-{uuid.uuid4().hex}"
    yield name
    (shared_memory.FOLDER / name).unlink(missing_ok=True)


def leave(name: str) -> None:
    """Let a process leave shared memory of that name, as one does whose resource tracker was killed."""
    code = f"import _posixshmem, os; _posixshmem.shm_open({'/' + name!r}, os.O_CREAT | os.O_RDWR, 0o600)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_is_an_orphan_if_it_is_new_and_no_process_uses_it(name: str) -> None:
    known = shared_memory.names()
    assert name not in {path.name for path in shared_memory.orphans(known)}
    leave(name)
    assert shared_memory.FOLDER / name in shared_memory.orphans(known)
    assert shared_memory.FOLDER / name not in shared_memory.orphans({*known, name}), "it was there before"


@pytest.mark.parametrize("kept", ["open", "mapped"])
def test_memory_that_a_process_uses_is_no_orphan(name: str, kept: str) -> None:
    known = shared_memory.names()
    memory = SharedMemory(name, create=True, size=9)
    try:
        if kept == "mapped":
            os.close(memory._fd)  # type: ignore[attr-defined] # not in the stubs
            memory._fd = -1  # type: ignore[attr-defined] # not in the stubs
        assert shared_memory.FOLDER / name not in shared_memory.orphans(known)
    finally:
        memory.close()
        memory.unlink()


def test_the_local_engine_names_the_memory_that_its_cells_left_and_the_command_that_removes_it(name: str) -> None:
    notes: list[str] = []
    engine = local.connect(note=notes.append)
    leave(name)
    engine.close()
    [note] = [note for note in notes if name in note]
    command = shlex.split(note.partition("remove it with: ")[2])
    assert command == ["rm", str(shared_memory.FOLDER / name)]
    subprocess.run(command, check=True)
    assert not Path(shared_memory.FOLDER / name).exists()
