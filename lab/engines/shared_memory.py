"""Shared memory that is left when all its processes have ended: it stays until somebody removes it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

#: The folder where named shared memory and named semaphores are files (man 7 shm_overview, sem_overview).
FOLDER = Path("/dev/shm")  # noqa: S108 - names in it are looked for


class _File(NamedTuple):
    """What tells a file apart from every other one."""

    #: The number of its device.
    device: int
    #: Its number on that device.
    inode: int


def names() -> frozenset[str]:
    """The names of all shared memory that there is."""
    with contextlib.suppress(OSError):
        return frozenset(os.listdir(FOLDER))
    return frozenset()


def orphans(known: Collection[str]) -> list[Path]:
    """The shared memory of this user that has come since these names were known and that no process uses."""
    new: dict[_File, Path] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(FOLDER):
            if entry.name not in known and entry.is_file(follow_symlinks=False):
                state = entry.stat(follow_symlinks=False)
                if state.st_uid == os.geteuid():
                    new[_File(state.st_dev, state.st_ino)] = Path(entry.path)
    used = set(_used()) if new else set()
    return sorted(path for file, path in new.items() if file not in used)


def _used() -> Iterator[_File]:
    """The files that a process of this user has open or mapped (man 5 proc, /proc/pid/fd and /proc/pid/maps)."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):  # it is another user's, or has ended
                for descriptor in os.listdir(process / "fd"):
                    with contextlib.suppress(OSError):
                        state = os.stat(process / "fd" / descriptor)
                        yield _File(state.st_dev, state.st_ino)
                for line in (process / "maps").read_bytes().splitlines():
                    device, inode = line.split(maxsplit=5)[3:5]
                    major, minor = (int(number, 16) for number in device.split(b":"))
                    yield _File(os.makedev(major, minor), int(inode))
