"""Which Python an interpreter is: the question that it is asked before it may run a cell, and its answer.

``python -E -s -S -c SOURCE`` prints one line of JSON. The program may be any Python, also an old one, or something else
of that name. SOURCE is therefore valid in Python 2 too, imports little, and itself names what a cell would miss. The
option ``-I`` is not used, because it came with Python 3.4; SOURCE keeps the current folder off the path instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.model.build import OLDEST, Build

#: Starts the line of the answer, since what else a program prints is no answer.
MARK = "multicore-lab-python:"


#: Of the functions that a cell needs, ``waitid`` is only for where no ``pidfd_open`` works; see
#: lab/cell/worker/experiment_process.py.
SOURCE = r"""
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import json, os
needed = ["sched_getaffinity", "sched_setaffinity", "fork"]
try:
    os.close(os.pidfd_open(os.getpid()))
except (AttributeError, OSError):
    needed.append("waitid")
kind = "pypy" if "PyPy" in sys.version else "cpython"
gil, jit = getattr(sys, "_is_gil_enabled", None), getattr(sys, "_jit", None)
found = {
    "version": list(sys.version_info[:3]),
    "release": sys.version.split()[0],
    "implementation": sys.implementation.name if hasattr(sys, "implementation") else kind,
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": "t" in getattr(sys, "abiflags", ""),
    "gil_enabled": True if gil is None else bool(gil()),
    "jit": None if jit is None else {"available": jit.is_available(), "enabled": jit.is_enabled()},
    "executable": os.path.realpath(sys.executable),
    "lacks": ["os." + name for name in needed if not hasattr(os, name)],
}
sys.stdout.write("MARK" + json.dumps(found) + "\n")
""".replace("MARK", MARK)


#: What comes after the interpreter to ask it.
ARGUMENTS = ("-E", "-s", "-S", "-c", SOURCE)

#: How other implementations write their own names.
_CALLED = {"pypy": "PyPy", "graalpy": "GraalPy"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a Python says of itself."""

    #: The build that it is.
    build: Build
    #: The whole version, such as ``3.13.5`` or ``3.15.0rc1``.
    release: str
    #: The real path of the program.
    executable: str
    #: Whether the GIL is on.
    gil_enabled: bool
    #: Whether a JIT compiler is available and enabled; ``None`` before Python 3.14.
    jit: Mapping[str, bool] | None
    #: The functions that a cell needs and that this Python does not have.
    lacks: tuple[str, ...]
    #: Whether it was compiled to find faults (Py_DEBUG).
    debug: bool = False

    @property
    def problem(self) -> str | None:
        """Why it cannot run a cell; ``None`` when it can."""
        assert self.build.version
        if self.build.version < OLDEST:
            return f"Python {self.release} is too old (a cell needs 3.9 or later)"
        if self.lacks:
            kind = _CALLED.get(self.build.implementation, "Python")
            unproven = any(name.endswith("affinity") for name in self.lacks)
            why = "no limit can be set or proven from inside" if unproven else "no experiment can be run in a child"
            return f"{kind} {self.release} has no {', '.join(self.lacks)}: {why}"
        return None

    @property
    def newest_first(self) -> tuple[Any, ...]:
        """Sorts later releases first, and a final one before the candidates of the same number."""
        numbers = [int(digits) for digits in re.findall(r"\d+", self.release)[:3]]
        final = re.fullmatch(r"[\d.]+\+?", self.release) is not None
        return (*(-number for number in numbers), not final, self.release)


def read_answer(output: bytes) -> Answer | None:
    """The answer in what a program printed; ``None`` when there is none, or none that a Python gives."""
    for line in output.decode(errors="replace").splitlines():
        if line.startswith(MARK):
            try:
                return _answer(json.loads(line.removeprefix(MARK)))
            except (ValueError, TypeError, KeyError, IndexError):
                return None
    return None


def _answer(said: Mapping[str, Any]) -> Answer | None:
    if not said["executable"]:
        return None
    major, minor = said["version"][:2]
    return Answer(
        build=Build(
            version=(int(major), int(minor)),
            free_threaded=bool(said["free_threaded"]),
            implementation=str(said["implementation"]),
        ),
        release=str(said["release"]),
        executable=str(said["executable"]),
        gil_enabled=bool(said["gil_enabled"]),
        jit=said["jit"],
        lacks=tuple(said["lacks"]),
        debug=bool(said.get("debug")),
    )
