"""Files that may lie in folders of others: only regular files are read, and no symbolic link is followed in writing."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from io import FileIO
from pathlib import Path

from lab.system import open_file

#: The most that is read from one file. The records of a day of measuring in one cell are a tenth of that.
MOST_BYTES = 1 << 30


def open_to_read(path: Path) -> FileIO:
    """A file to read. Raises OSError, also for what is not a regular file, such as a FIFO or a device, or is huge."""
    file = _regular(path, open_file(path, os.O_RDONLY), "rb")
    if os.fstat(file.fileno()).st_size > MOST_BYTES:
        file.close()
        raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES >> 20} MiB", str(path))
    return file


def read_file(path: Path) -> bytes:
    """What a regular file holds. Raises OSError."""
    with open_to_read(path) as stream:
        return stream.readall()


def open_to_write(path: Path, *, append: bool = False) -> FileIO:
    """A file to write, empty unless ``append``. Raises OSError, also where a symbolic link or a FIFO stands."""
    flags = os.O_APPEND if append else 0
    descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | flags, follow=False)
    file = _regular(path, descriptor, "ab" if append else "wb")
    if not append:
        file.truncate(0)
    return file


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. A symbolic link in its place is replaced, not followed. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, follow=False)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _regular(path: Path, descriptor: int, mode: str) -> FileIO:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return FileIO(descriptor, mode)
