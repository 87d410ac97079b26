"""Temporary files, and a folder for them that is removed even if the lab was killed: then the next lab removes it.

A file in the folder is locked as long as its lab lives. The kernel lets go of the lock whatever ends the process. So a
folder with a file that nobody has locked was left by a killed lab. A folder without the file belongs to somebody else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lab import system
from lab.cell.worker import surroundings
from lab.errors import CellError, EngineError

#: The folders that replace a temporary folder whose name is too long. Newer Pythons do the same in multiprocessing.
SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - tempfile makes a private folder there


class TemporaryFolder:
    """A new folder for temporary files, which this process owns; may be used as a context manager.

    Raises EngineError where it cannot be made.
    """

    def __init__(self, parent: str | None = None) -> None:
        with writing(parent, EngineError):
            #: The path of the folder.
            self.name, lock = system.make_owned_folder(parent)
        self._lock: int | None = lock

    def cleanup(self) -> None:
        """Remove the folder and all that is in it."""
        lock, self._lock = self._lock, None
        _remove(self.name, lock)

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *exception: object) -> None:
        self.cleanup()


@contextlib.contextmanager
def writing(folder: str | None = None, kind: type[EngineError] = CellError) -> Iterator[None]:
    """Within the context, what cannot be written is an error of this kind, which says what to do.

    ``folder`` is where it is written to; without it, the folder for temporary files. Raises ``kind``.
    """
    try:
        yield
    except OSError as error:
        where = folder or tempfile.tempdir or "the folder for temporary files"
        raise kind(
            f"cannot write to {where}: {error.strerror}", "make room there, or let TMPDIR name another folder"
        ) from error


def temporary_file(content: bytes = b"") -> IO[bytes]:
    """A new file that has no name, at the start of this content. Raises CellError where it cannot be written."""
    with writing(), contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        file.write(content)
        file.seek(0)
        stack.pop_all()
        return file


def remove_abandoned() -> list[str]:
    """Remove the folders of this user that killed labs have left. Returns their paths."""
    parents = dict.fromkeys((tempfile.gettempdir(), *SHORT_FOLDERS))
    folders = [folder for parent in parents for folder in sorted(Path(parent).glob(f"{system.PREFIX}*"))]
    return [str(folder) for folder in folders if _removed(folder)]


def _removed(folder: Path) -> bool:
    """Remove a folder if nobody owns it. Returns whether it was removed."""
    lock = system.lock_of_abandoned(folder)
    return lock is not None and _remove(str(folder), lock)


def _remove(folder: str, lock: int | None) -> bool:
    """Remove a folder and let go of its lock. Returns whether nothing is left."""
    if not system.IS_UNIX:  # Windows removes no file that is open
        _close(lock)
        shutil.rmtree(folder, ignore_errors=True)
        return not os.path.lexists(folder)
    try:
        return surroundings.remove(folder)
    finally:
        _close(lock)


def _close(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
