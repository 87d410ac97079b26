"""Sessions on disk: a folder each, written as the records come.

<session>/session.json   the manifest: host, engine, arguments; written at the start and again at the end
<session>/cell.zip       the code that ran in the cells
<session>/<cell>.jsonl   the records of one cell, byte for byte as they came
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from lab.errors import StoreError


def default_folder() -> Path:
    """Where sessions are kept on this system when the user names no folder."""
    from platformdirs import user_state_path

    return user_state_path("multicore-lab") / "sessions"


class SessionFolder:
    """One session's folder; a context manager. Raises StoreError when it cannot be made or written.

    A disk that fills up during the run does not end the run: the first failure is kept in ``failure``, what was
    measured is still judged and printed, and nothing more is written.
    """

    def __init__(self, parent: Path, session: str) -> None:
        self.path = parent / session
        self.failure: str | None = None
        self._cells: list[CellFile] = []
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the session's folder {self.path}: {error.strerror}; name a folder that is writable with"
                " --output DIR"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._cells:
            file.close()

    def write_code(self, code: bytes) -> Path:
        """Keep the code of the cells beside their records. Raises StoreError: nothing has been measured yet."""
        path = self.path / "cell.zip"
        try:
            path.write_bytes(code)
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror}; free some space or name another --output"
            ) from error
        return path

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write session.json, whole or not at all."""

        def replace() -> None:
            draft = self.path / "session.json.new"
            draft.write_text(json.dumps(manifest, indent=2) + "\n")
            draft.replace(self.path / "session.json")

        self.attempt(replace)

    def cell(self, cell: str) -> CellFile:
        """The file of one cell's records; several may be open at once."""
        file = CellFile(self, self.path / f"{cell}.jsonl")
        self._cells.append(file)
        return file

    def note(self, error: OSError) -> None:
        """Take note of the first thing that could not be written."""
        self.failure = self.failure or f"the session in {self.path} is incomplete: {error.strerror}"

    def attempt(self, act: Callable[[], object]) -> None:
        """Do this, unless something could not be written before."""
        if self.failure:
            return
        try:
            act()
        except OSError as error:
            self.note(error)


class CellFile:
    """One cell's records on disk, byte for byte as they come; a context manager."""

    def __init__(self, folder: SessionFolder, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._open: BinaryIO | None = None

        def start() -> None:
            self._open = path.open("wb")

        folder.attempt(start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, piece: bytes) -> None:
        """Store a piece of the cell's stream at once."""

        def write() -> None:
            if self._open:
                self._open.write(piece)
                self._open.flush()

        self._folder.attempt(write)

    def replace(self, stream: bytes) -> None:
        """Put the authoritative stream in the place of what came live."""
        self.close()
        self._folder.attempt(lambda: self._path.write_bytes(stream))

    def close(self) -> None:
        """No more records of this cell will come. The file is closed also where it could not be written."""
        if self._open:
            file, self._open = self._open, None
            try:
                file.close()
            except OSError as error:
                self._folder.note(error)
