"""Runs the lab as on macOS or Windows: what these systems lack is hidden from it, and the engine stays.

``python -m tests.support.other_system macos run pool`` is ``lab run pool`` without ``/proc``, ``/sys`` and CPU
affinity; ``windows`` also lacks ``fcntl``, ``fork``, users and most signals. The paths stay those of Linux, and the
standard library keeps what it needs itself: this shows what the lab asks for, not how Windows answers.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing.connection
import multiprocessing.popen_spawn_posix
import multiprocessing.resource_tracker
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import types
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import docker.transport
import numpy
import platformdirs.unix

#: What only Linux has, of the system calls that Python knows.
ONLY_LINUX = (
    *("sched_getaffinity", "sched_setaffinity", "sched_getscheduler", "sched_setscheduler", "sched_getparam"),
    *("sched_param", "pidfd_open", "memfd_create", "eventfd", "pipe2", "setns", "unshare"),
)
#: What Windows lacks besides (the pages of os and signal in Python's library reference say "Availability: Unix").
ONLY_UNIX = (
    *("fork", "forkpty", "wait", "wait3", "wait4", "waitid", "killpg", "setsid", "getsid", "setpgid", "getpgid"),
    *("getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid", "setuid", "setgid", "chown", "lchown"),
    *("uname", "getloadavg", "sysconf", "statvfs", "fstatvfs", "mkfifo", "mknod", "openpty", "nice", "getpriority"),
    *("setpriority", "register_at_fork", "posix_spawn", "fchmod", "fchown", "lockf", "sync", "major", "minor"),
    *("makedev", "ctermid", "ttyname", "confstr", "pread", "pwrite", "sendfile", "sched_yield", "PRIO_PROCESS"),
    *("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "O_SYNC", "O_DSYNC", "O_NOCTTY", "WNOHANG"),
)
UNIX_SIGNALS = (
    *("SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGSTOP", "SIGCONT"),
    *("SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGWINCH", "SIGRTMIN", "SIGRTMAX", "pthread_sigmask", "sigwait", "setitimer"),
    *("alarm", "pause", "siginterrupt", "pthread_kill"),
)
UNIX_MODULES = ("fcntl", "resource", "termios", "tty", "pty", "grp", "pwd", "syslog", "readline", "posix_ipc")

#: The folders of Linux's kernel. Neither of the two systems has them.
_KERNEL_FOLDERS = ("/proc", "/sys")


def hide(system: str) -> None:
    """Hide what ``macos`` or ``windows`` lacks from what is imported and called from now on."""
    # What other packages do by themselves on this system, they have loaded by now.
    assert all((ctypes, multiprocessing, tempfile, urllib.request, docker.transport, numpy, platformdirs.unix))
    sysconfig.get_config_vars()
    _hide_kernel_folders()
    _forget(os, ONLY_LINUX)
    if system == "macos":
        sys.platform = "darwin"
        return
    for module in (subprocess, multiprocessing.popen_spawn_posix, multiprocessing.resource_tracker):
        vars(module).update(signal=_copy(signal), os=_copy(os))
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    select.select = _select_of_sockets
    os.kill = _no_signal_zero(os.kill)
    os.supports_dir_fd.clear()
    os.supports_follow_symlinks.discard(os.chmod)
    _forget(os, ONLY_UNIX)
    _forget(signal, UNIX_SIGNALS)
    sys.modules["msvcrt"] = _windows_locks()
    sys.modules.update(dict.fromkeys(UNIX_MODULES))  # type: ignore[arg-type]


def _windows_locks() -> types.ModuleType:
    """What ``msvcrt`` has for locks: a file that another process has locked is refused with EACCES."""
    import fcntl

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (module.LK_NBLCK, 1)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None

    module: Any = types.ModuleType("msvcrt")
    module.LK_NBLCK, module.locking = 2, locking
    return module  # type: ignore[no-any-return]


def _forget(module: types.ModuleType, names: Sequence[str]) -> None:
    for name in names:
        vars(module).pop(name, None)


def _copy(module: types.ModuleType) -> types.SimpleNamespace:
    return types.SimpleNamespace(**vars(module))


def _hide_kernel_folders() -> None:
    def refuse(path: object) -> None:
        if isinstance(path, bytes | str | os.PathLike):
            text = os.fsdecode(path)
            if any(text == folder or text.startswith(folder + "/") for folder in _KERNEL_FOLDERS):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir", "os.chdir"):
            refuse(arguments[0])

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(path: Any, *arguments: Any, **options: Any) -> Any:
            refuse(path)
            return call(path, *arguments, **options)

        return guarded

    sys.addaudithook(audit)  # sees builtins.open, io.open and os.open alike
    for name in ("stat", "lstat", "readlink"):
        setattr(os, name, refusing(getattr(os, name)))
    os.access = lambda path, *arguments, **options: _allowed(refuse, path) and _ACCESS(path, *arguments, **options)


_ACCESS = os.access


def _allowed(refuse: Callable[[object], None], path: object) -> bool:
    try:
        refuse(path)
    except FileNotFoundError:
        return False
    return True


_SELECT = select.select


def _select_of_sockets(reading: Any, writing: Any, exceptional: Any, timeout: Any = None) -> Any:
    """On Windows select() takes sockets only (Python's library reference, select)."""
    for item in (*reading, *writing, *exceptional):
        number = item if isinstance(item, int) else item.fileno()
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            raise OSError(errno.ENOTSOCK, "An operation was attempted on something that is not a socket")
    return _SELECT(reading, writing, exceptional, timeout)


def _no_signal_zero(kill: Callable[[int, int], None]) -> Callable[[int, int], None]:
    def guarded(pid: int, number: int) -> None:
        # There it would end the process, or send Ctrl-C to it (Python's library reference, os.kill).
        assert number in (signal.SIGTERM, signal.SIGINT), "on Windows os.kill cannot ask whether a process lives"
        kill(pid, number)

    return guarded


def main() -> None:
    """Run the lab's command line on a system that the first argument names, or the code that follows ``-c``."""
    hide(sys.argv.pop(1))
    if sys.argv[1:2] == ["-c"]:
        exec(sys.argv[2], {"__name__": "__main__"})
        return
    from lab.__main__ import run

    run()


if __name__ == "__main__":
    main()
