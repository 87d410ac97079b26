"""Session folders: one folder for each session, written while the records arrive.

In the folder of a session:

- ``session.json``: the manifest (machine, software, arguments, plan); at the end also the report
- ``cell.zip``: the code that ran in the cells
- ``CELL.jsonl``: the records of one cell, byte for byte as the worker wrote them
- ``cells.log``: how each cell ended, one line of JSON for each, written at its end
- ``CELL.1.jsonl.torn``: the records of an attempt that was cut short, if the cell was measured again
- ``seal.json``: hashes of all these files (:mod:`lab.sessions.seal`), written at the end

Everything that is appended is handed to the system at once, so it survives if this process is killed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab import system
from lab.errors import StoreError
from lab.sessions import files
from lab.sessions import seal as sealing

#: The files that a run writes. ``lab report`` may add its page.
_PATTERNS = ("session.json", "cell.zip", "cells.log", "*.jsonl", "*.torn")

#: The file that says how each cell ended.
CELLS_LOG = "cells.log"


def default_folder() -> Path:
    """The folder of sessions on this system, if the user names no folder."""
    from platformdirs import user_state_path

    return user_state_path("multicore-lab") / "sessions"


def resume_command(folder: Path, name: str = "run") -> str:
    """The command that measures the missing cells of the newest session in the folder that this session is in.

    ``name`` is the command that made the session.
    """
    from shlex import quote

    is_default = folder.parent.absolute() == default_folder().absolute()
    command = f"lab {name} --resume"
    option = "--session" if name == "exec" else "--output"  # there, --output is what the command prints
    return command if is_default else f"{command} {option} {quote(str(folder.parent))}"


def resume_hosts_command(folder: Path, name: str = "run") -> str:
    """The commands that measure the missing cells of the sessions of hosts in this folder, and join them again."""
    from shlex import quote

    return f"{resume_command(folder / 'host', name)}; then join all hosts with: lab merge {quote(str(folder))}"


def is_written(folder: Path) -> bool:
    """Whether a process is writing this session."""
    with contextlib.suppress(OSError):
        descriptor = system.open_folder(folder)
        try:
            return not system.lock(descriptor, shared=True)
        finally:
            os.close(descriptor)
    return False


def read_files(folder: Path) -> dict[str, bytes]:
    """The contents of the files that a run wrote, by their names. The seal itself is left out."""
    paths = sorted(path for pattern in _PATTERNS for path in folder.glob(pattern))
    return {path.name: files.read_file(path) for path in paths if path.name != sealing.NAME}


class SessionFolder:
    """The folder of one session; a context manager. Raises StoreError when it cannot be made or written.

    The folder is locked while it is open, but no longer than this process lives (man 2 flock). ``again`` opens a
    folder that exists.

    A full disk does not end the run. The first failure is kept in ``failure``, and nothing more is written. The results
    are still judged and printed.
    """

    def __init__(self, parent: Path, session: str, *, again: bool = False) -> None:
        self.path = parent / session
        self.failure: str | None = None
        self._cells: list[CellFile] = []
        self._lock: int | None = None
        try:
            if not again:
                self.path.mkdir(parents=True)
            self._lock = system.open_folder(self.path, make=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the session's folder {self.path}: {error.strerror}; name a folder that is writable with"
                " --output DIR"
            ) from error
        try:
            is_locked = system.lock(self._lock)
        except OSError:  # a file system that has no locks
            is_locked = True
        if not is_locked:
            self._unlock()
            raise StoreError(f"{self.path} is being written by another lab; wait until that run ends, or stop it")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._cells:
            file.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_code(self, code: bytes) -> None:
        """Store the code of the cells. Raises StoreError, because nothing has been measured yet."""
        path = self.path / "cell.zip"
        try:
            files.replace_file(path, code)
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror}; free some space or name another --output"
            ) from error

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write session.json, whole or not at all."""

        def replace() -> None:
            files.replace_file(self.path / "session.json", json.dumps(manifest, indent=2).encode() + b"\n")

        self.attempt(replace)

    def ended(self, cell: Mapping[str, Any]) -> None:
        """Append how a cell ended. The records of the cell do not say it."""

        def append() -> None:
            with files.open_to_write(self.path / CELLS_LOG, append=True) as stream:
                stream.write(json.dumps(cell, separators=(",", ":")).encode() + b"\n")

        self.attempt(append)

    def set_aside(self, keep: Collection[str]) -> None:
        """Rename the records of every cell except these, which is measured again. No file is overwritten."""

        def rename() -> None:
            for path in sorted(self.path.glob("*.jsonl")):
                if path.stem not in keep:
                    path.rename(next(name for name in _torn(path) if not name.exists()))
            (self.path / sealing.NAME).unlink(missing_ok=True)  # the old seal; the end of the run makes a new one

        self.attempt(rename)

    def seal(self) -> None:
        """Write the seal: the hashes of all files that exist now."""

        def write() -> None:
            contents = read_files(self.path)
            files.replace_file(self.path / sealing.NAME, json.dumps(sealing.seal(contents)).encode() + b"\n")

        self.attempt(write)

    def cell(self, cell: str) -> CellFile:
        """The file of one cell's records. Several files may be open at once."""
        file = CellFile(self, self.path / f"{cell}.jsonl")
        self._cells.append(file)
        return file

    def note(self, error: OSError) -> None:
        """Remember the first failure to write."""
        self.failure = self.failure or f"the session in {self.path} is incomplete: {error.strerror}"

    def attempt(self, act: Callable[[], object]) -> None:
        """Call ``act``, unless an earlier write has failed."""
        if self.failure:
            return
        try:
            act()
        except OSError as error:
            self.note(error)


def _torn(path: Path) -> Iterator[Path]:
    """Names for the records of attempts that were cut short."""
    return (path.with_name(f"{path.stem}.{number}.jsonl.torn") for number in itertools.count(1))


class CellFile:
    """One cell's records on disk, byte for byte as they come; a context manager."""

    def __init__(self, folder: SessionFolder, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._open: FileIO | None = None

        def start() -> None:
            self._open = files.open_to_write(path)  # unbuffered: the system has each piece at once

        folder.attempt(start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, piece: bytes) -> None:
        """Store a piece of the cell's stream at once."""

        if self._open is None or self._folder.failure:
            return
        try:
            left = piece
            while left:
                left = left[self._open.write(left) :]
        except OSError as error:
            self._folder.note(error)

    def replace(self, stream: bytes) -> None:
        """Replace the live stream by the complete stream, whole or not at all."""
        self.close()

        def replace() -> None:
            files.replace_file(self._path, stream)

        self._folder.attempt(replace)

    def close(self) -> None:
        """Close the file, even if a write has failed. The cell has no more records."""
        if self._open:
            file, self._open = self._open, None
            try:
                file.close()
            except OSError as error:
                self._folder.note(error)


def new_session_id(began: float) -> str:
    """A unique name for a session that began then (seconds since the epoch). The names sort by time."""
    import secrets  # slow to load, and not needed for --help

    return time.strftime("%Y%m%d-%H%M%S-", time.localtime(began)) + secrets.token_hex(2)
