"""What the experiments of a cell have in common, kept as it was before the first of them.

Each experiment is a process of its own: its folder, umask, signals, priority and limits end with it. What outlives it
is what it does to others: files, shared memory, the code, and the settings of the worker. The next experiment is forked
from the worker, and a process may change the settings of any process of its user. All of that is put back. What cannot
be put back, and limits that have changed meanwhile, are said: such a cell proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from lab.cell.cpus import cgroups, cpulist
from lab.cell.cpus.kernel_files import read_text

#: The folders where a cell that is alone in its container can leave something.
_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue")  # noqa: S108 - only what is new is removed

#: What System V calls its objects (man 7 sysvipc), and the function that removes one: command 0, ``IPC_RMID``.
_OBJECTS = {"shm": "shmctl", "sem": "semctl", "msg": "msgctl"}


class _Setting(NamedTuple):
    """A setting of this process that another process of the same user can change."""

    #: What it is called in a sentence.
    name: str
    #: Returns its value.
    get: Callable[[], Any]
    #: Sets its value again.
    put_back: Callable[[Any], object]
    #: Whether it limits the cell: then nobody may change it, even if it can be put back.
    is_limit: bool = False


class _Limits(NamedTuple):
    """The limits that somebody outside of the cell may change."""

    #: The quotas of all visible levels, in CPUs.
    quotas: Tuple[float, ...]
    #: The CPU set of the control group, as the kernel's list.
    cpuset: Optional[str]
    #: Level without a quota -> how many periods of a quota it has had so far.
    periods: Dict[str, int]


class Surroundings:
    """The surroundings of a cell's experiments, as they are now.

    ``alone`` says whether the folders for temporary files are the cell's own, as in a container. ``code`` is the zip
    file from which the cell's code is loaded; ``None``: it is loaded from where nobody can write. ``strays`` finds
    processes of the cell that the worker could not adopt.
    """

    def __init__(self, alone: bool, code: Optional[str], strays: Callable[[], Iterable[int]] = tuple) -> None:
        self.strays = strays
        self._settings = [(setting, setting.get()) for setting in _settings()]
        self._names = {folder: _entries(folder) for folder in _FOLDERS} if alone else {}
        self._objects = {kind: _numbers(kind) for kind in _OBJECTS} if alone else {}
        self._code = code
        self._source = _read(code) if code else b""
        self._limits = _limits()

    def put_back(self) -> List[str]:
        """Put everything back after an experiment. Returns a sentence for each thing that makes this cell doubtful."""
        doubts = [doubt for setting, value in self._settings for doubt in _restored(setting, value)]
        self._settings = [(setting, setting.get()) for setting, _ in self._settings]  # each doubt is told once
        for folder, names in self._names.items():
            for name in _entries(folder) - names:
                if not remove(os.path.join(folder, name)):
                    doubts.append("%s in %s cannot be removed" % (ascii(name[:40]), folder))
        for kind, numbers in self._objects.items():
            doubts += _removed(kind, numbers)
        if self._code and _read(self._code) != self._source:
            doubts += _rewritten(self._code, self._source)
        now = _limits()
        doubts += _changes(self._limits, now)
        self._limits = now
        return doubts


def remove(path: str) -> bool:
    """Remove a file, or a folder with all that is in it, however deep it is and whatever may be done with it.

    Nobody else may be at work in it. Returns whether nothing is left.
    """
    with contextlib.suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            _empty(path)
            os.rmdir(path)
        else:
            os.unlink(path)
    return not os.path.lexists(path)


def _empty(path: str) -> None:
    """Remove what is in a folder. One folder is open at a time, so that depth costs neither descriptors nor frames."""
    os.chmod(path, stat.S_IRWXU)
    here = _opened(path)
    above: List[Tuple[str, List[str]]] = []  # the name of each folder that was entered, and what is left above it
    try:
        folders = _without_files(here)
        while folders or above:
            if folders:
                name = folders.pop()
                os.chmod(name, stat.S_IRWXU, dir_fd=here)
                above.append((name, folders))
                here = _replaced(here, name)
                folders = _without_files(here)
            else:
                here = _replaced(here, "..")
                name, folders = above.pop()
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)


def _opened(path: str, inside: Optional[int] = None) -> int:
    """A folder, which is not reached by a link; ``inside`` is the folder that a relative path begins at."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=inside)


def _replaced(folder: int, name: str) -> int:
    """The folder of that name in this one, which is closed."""
    try:
        return _opened(name, folder)
    finally:
        os.close(folder)


def _without_files(folder: int) -> List[str]:
    """Remove all but the folders in a folder. Returns their names."""
    names = []
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            names.append(entry.name)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.name, dir_fd=folder)
    return names


def _entries(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _read(path: str) -> bytes:
    """The bytes of a plain file; empty where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def _rewritten(path: str, source: bytes) -> List[str]:
    remove(path)
    try:
        with open(path, "xb") as stream:
            stream.write(source)
    except OSError as error:
        return ["the code of the cell was changed and cannot be put back: %s" % error.strerror]
    return []


def _settings() -> List[_Setting]:
    """What a process of the same user can change of this one: man 2 setpriority, sched_setaffinity,
    sched_setscheduler, prlimit; man 5 proc, ``oom_score_adj``. A standard stream is shared with the experiments, and so
    is whether it blocks (man 2 fcntl, O_NONBLOCK)."""
    settings = [
        _Setting(
            "affinity",
            lambda: cpulist.render(os.sched_getaffinity(0)),
            lambda cpus: os.sched_setaffinity(0, cpulist.parse(cpus)),
            is_limit=True,
        ),
        _Setting(
            "niceness",
            lambda: os.getpriority(os.PRIO_PROCESS, 0),
            lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
        ),
        _Setting("oom_score_adj", lambda: read_text(_OOM), _set_oom),
    ]
    with contextlib.suppress(AttributeError, OSError):  # a C library or a sandbox without it
        _scheduler()
        settings.append(_Setting("scheduling policy", _scheduler, _set_scheduler))
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.get_blocking(number)
            settings.append(_blocking(number))
    return settings + _resource_limits()


_OOM = "/proc/self/oom_score_adj"


def _set_oom(value: Optional[str]) -> None:
    with open(_OOM, "w") as stream:
        stream.write(value or "0")


def _scheduler() -> Tuple[int, int]:
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def _set_scheduler(value: Tuple[int, int]) -> None:
    os.sched_setscheduler(0, value[0], os.sched_param(value[1]))


def _blocking(number: int) -> _Setting:
    return _Setting(
        "blocking of descriptor %d" % number,
        lambda: os.get_blocking(number),
        lambda value: os.set_blocking(number, value),
    )


def _resource_limits() -> List[_Setting]:
    try:
        import resource
    except ImportError:
        return []
    names = sorted((name for name in dir(resource) if name.startswith("RLIMIT_")), reverse=True)
    numbers = {getattr(resource, name): name for name in names}  # RLIMIT_OFILE is RLIMIT_NOFILE
    return [_resource_limit(resource, number, name) for number, name in numbers.items()]


def _resource_limit(resource: Any, number: int, name: str) -> _Setting:
    return _Setting(
        "limit %s" % name, lambda: resource.getrlimit(number), lambda value: resource.setrlimit(number, value)
    )


def _restored(setting: _Setting, value: Any) -> List[str]:
    """Put a setting back. Returns a sentence where that does not work, and where it is a limit."""
    changed = setting.get()
    if changed == value:
        return []
    with contextlib.suppress(OSError, ValueError):
        setting.put_back(value)
    end = "" if setting.get() == value else " and cannot be put back"
    return (
        ["the %s was changed from %s to %s%s" % (setting.name, value, changed, end)] if end or setting.is_limit else []
    )


def _removed(kind: str, known: set[int]) -> List[str]:
    """Remove the System V objects of a kind that were not known before: they outlive all processes."""
    for number in _numbers(kind) - known:
        _control(_OBJECTS[kind], number)
    left = len(_numbers(kind) - known)
    return ["%d System V objects (%s) cannot be removed" % (left, kind)] if left else []


def _numbers(kind: str) -> set[int]:
    """The ids of these objects: the second column of /proc/sysvipc (man 5 proc), which has a line of titles."""
    lines = (read_text("/proc/sysvipc/%s" % kind) or "").splitlines()[1:]
    return {int(line.split()[1]) for line in lines}


def _control(function: str, number: int) -> None:
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        control = getattr(ctypes.CDLL(None), function)
        control(number, 0, 0, 0) if function == "semctl" else control(number, 0, 0)


def _limits() -> _Limits:
    groups = cgroups.look()
    limited = {level.folder for level in groups.levels}
    free = [folder for folder in groups.folders if folder not in limited]
    periods = {
        folder: int(cgroups.statistics(os.path.join(folder, "cpu.stat")).get("nr_periods", 0)) for folder in free
    }
    return _Limits(tuple(level.quota_cpus for level in groups.levels), groups.cpuset, periods)


def _changes(before: _Limits, after: _Limits) -> List[str]:
    """What somebody outside has changed meanwhile. A quota counts its periods as long as it is there, so that one which
    came and went has left its trace."""
    doubts = []
    if before.quotas != after.quotas:
        doubts.append("the quota changed from %s to %s" % (_cpus(before.quotas), _cpus(after.quotas)))
    if before.cpuset != after.cpuset:
        doubts.append("the CPU set changed from %s to %s" % (before.cpuset, after.cpuset))
    for folder, periods in after.periods.items():
        if folder in before.periods and periods > before.periods[folder]:
            doubts.append("a quota came and went: it lasted for %d of its periods" % (periods - before.periods[folder]))
    return doubts


def _cpus(quotas: Tuple[float, ...]) -> str:
    return ", ".join("%g" % quota for quota in quotas) or "none"
