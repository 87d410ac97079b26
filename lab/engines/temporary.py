"""A folder for temporary files that is removed even if the lab was killed: then the next lab removes it.

A file in the folder is locked as long as its lab lives. The kernel lets go of the lock whatever ends the process. So a
folder with a file that nobody has locked was left by a killed lab. A folder without the file belongs to somebody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from pathlib import Path

from lab.cell.worker.surroundings import remove

#: The names of all folders begin with this.
PREFIX = "multicore-lab-"
#: The name of the file that is locked.
_LOCK = ".owner"
#: The folders that replace a temporary folder whose name is too long. Newer Pythons do the same in multiprocessing.
SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - tempfile makes a private folder there


class TemporaryFolder:
    """A new folder for temporary files, which this process owns; may be used as a context manager."""

    def __init__(self, parent: str | None = None) -> None:
        while True:
            #: The path of the folder.
            self.name = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
            lock = os.open(Path(self.name) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with contextlib.suppress(
                OSError
            ):  # a file system without locks: the folder is not removed by others either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink:
                break
            os.close(lock)  # another lab found it before it was locked, and removed it
        self._lock: int | None = lock

    def cleanup(self) -> None:
        """Remove the folder and all that is in it."""
        remove(self.name)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *exception: object) -> None:
        self.cleanup()


def remove_abandoned() -> list[str]:
    """Remove the folders of this user that killed labs have left. Returns their paths."""
    parents = dict.fromkeys((tempfile.gettempdir(), *SHORT_FOLDERS))
    folders = [folder for parent in parents for folder in sorted(Path(parent).glob(f"{PREFIX}*"))]
    return [str(folder) for folder in folders if _removed(folder)]


def _removed(folder: Path) -> bool:
    """Remove a folder if nobody owns it. Returns whether it was removed."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return False
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # it is none of ours
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            return False
        return remove(str(folder))
    except OSError:
        return False  # its lab lives
    finally:
        os.close(lock)
