"""What operating systems differ in, so that the orchestrator runs on macOS and Windows too. Cells always run on Linux.

No other module of the orchestrator asks what the system has. Each function says what is lost where something is
missing: docs/platforms.md has the same as a table.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Optional, Tuple, Union

if TYPE_CHECKING:
    from pathlib import Path

#: Whether this is a Unix: Linux or macOS, but not Windows.
IS_UNIX = hasattr(os, "geteuid")
#: Whether a process can be pinned to CPUs, as the local engine pins its cells. Only Linux can.
HAS_AFFINITY = hasattr(os, "sched_setaffinity")

#: How advice about an engine ends where local processes can take its place. No other module suggests them.
_OR_LOCAL = " or use --engine local"

#: What the user calls this system.
NAME = {"darwin": "macOS", "win32": "Windows", "linux": "Linux"}.get(sys.platform, sys.platform)

#: The signal of a terminal that was closed; ``None``: there is none. Windows sends it for Ctrl-Break too.
TERMINAL_CLOSED: Optional[int] = getattr(signal, "SIGHUP", None) or getattr(signal, "SIGBREAK", None)
#: The signals that ask the lab to end.
ENDING_SIGNALS: Tuple[int, ...] = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, TERMINAL_CLOSED)))

#: The options of a process that Ctrl-C in the terminal reaches through its parent alone.
APART: Dict[str, Any] = {"start_new_session": True} if IS_UNIX else {"creationflags": 0x200}  # a process group
#: The signal by which its parent asks such a process to end.
ASK_TO_END: int = signal.SIGTERM if IS_UNIX else getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)

#: The names of all folders for temporary files begin with this.
PREFIX = "multicore-lab-"
#: The file in such a folder that its lab has locked.
_OWNER = ".owner"
#: The file that stands for a folder's lock where folders cannot be locked.
_LOCK = ".lock"

#: A device or a FIFO without a partner is refused at once, where opening it would wait (man 2 open). Windows would
#: change the ends of lines in files that are not binary.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)

_Path = Union[str, "os.PathLike[str]"]


def usable_cpus() -> FrozenSet[int]:
    """The CPUs that this process may use. Where there is no affinity, they are all CPUs of the machine."""
    return frozenset(os.sched_getaffinity(0) if HAS_AFFINITY else range(os.cpu_count() or 1))


def load() -> Optional[float]:
    """How many processes wanted a CPU on average in the last minute; ``None`` on Windows, which does not count them."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def processor() -> str:
    """The name of the processor, as far as the system tells it without the files of Linux's kernel."""
    import platform  # here, and not for every command

    return platform.processor() or platform.machine()


def or_local(fix: str, *, comma: str = ",") -> str:
    """A fix with the local engine as another way, where there is a local engine."""
    return f"{fix}{comma}{_OR_LOCAL}" if HAS_AFFINITY else fix


def not_local(fix: str) -> str:
    """A fix for a host that the user has named, which local processes cannot replace."""
    return fix.removesuffix(_OR_LOCAL).rstrip(",;")


def why_not_local() -> str:
    """Why the local engine cannot be had on this system; empty where it can be had."""
    return "" if HAS_AFFINITY else f"the local engine pins its processes to CPUs, and {NAME} has no CPU affinity"


def this_lab(*words: str) -> Tuple[List[str], Dict[str, str]]:
    """(command line, environment) of another process of this lab. It imports nothing from the current folder."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH", ""))))
    return [sys.executable, "-P", "-m", "lab", *words], {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}


def in_container(folder: str) -> str:
    """The path under which a container sees a folder of the user's: its own; ``/c/code`` for ``C:\\code``."""
    from pathlib import PureWindowsPath  # as above

    path = PureWindowsPath(folder)
    if IS_UNIX or path.drive[1:] != ":":
        return folder
    return f"/{path.drive[0].lower()}{path.as_posix()[2:]}"


def open_file(path: _Path, flags: int, mode: int = 0o666, *, follow: bool = True) -> int:
    """The descriptor of a file, without waiting for a device or a FIFO. Raises OSError.

    Without ``follow`` a symbolic link is refused. On Windows it is looked for before the file is opened, so one that is
    made in between is followed.
    """
    if not follow and not _NO_LINK and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    return os.open(path, flags | _AT_ONCE | (0 if follow else _NO_LINK), mode)


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, or this process ends. Returns whether no other process has locked it.

    Raises OSError where the file system has no locks. On Windows no lock is ``shared``.
    """
    if IS_UNIX:
        import fcntl

        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    windows: Any = importlib.import_module("msvcrt")
    try:
        windows.locking(descriptor, windows.LK_NBLCK, 1)
    except PermissionError:
        return False
    return True


def open_folder(folder: Path, *, make: bool = False) -> int:
    """A descriptor to lock a folder with. Raises OSError.

    Windows opens no folders: there it is a file in the folder, which is made if it is to be.
    """
    if IS_UNIX:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    return open_file(folder / _LOCK, os.O_RDWR | (os.O_CREAT if make else 0), follow=False)


def make_owned_folder(parent: Optional[str] = None) -> Tuple[str, int]:
    """(path, lock) of a new folder for temporary files, which this process owns until it closes the lock."""
    import tempfile  # as above

    while True:
        path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        descriptor = open_file(os.path.join(path, _OWNER), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            is_locked = lock(descriptor)
        except OSError:  # a file system without locks: the folder is not removed by others either
            is_locked = True
        if is_locked and os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another lab found it before it was locked, and removed it


def remove_owned_folder(path: str, descriptor: int) -> None:
    """Remove a folder for temporary files that has nothing in it but its lock, unless it is gone already."""
    if not os.path.isdir(path):
        return
    os.close(descriptor)  # first: Windows removes no file that is open
    with contextlib.suppress(OSError):  # a lab that looks for abandoned folders was faster
        os.unlink(os.path.join(path, _OWNER))
        os.rmdir(path)


def lock_of_abandoned(folder: Path) -> Optional[int]:
    """The lock of a folder for temporary files whose lab has ended, now taken; ``None``: it lives, or it is none."""
    try:
        if folder.is_symlink() or (IS_UNIX and folder.stat().st_uid != os.geteuid()):
            return None
        descriptor = open_file(folder / _OWNER, os.O_RDWR, follow=False)
    except OSError:
        return None  # it is none of ours
    try:
        if (folder / _OWNER).is_file() and lock(descriptor):
            return descriptor
    except OSError:  # a file system without locks
        pass
    os.close(descriptor)
    return None
