"""Which Python an interpreter is: the question that it is asked before it may run a cell, and its answer.

``python -E -s -S -c SOURCE`` prints one line of JSON. The program may be any Python, also an old version, or something
else of that name. SOURCE is therefore valid in Python 2 too. It imports little, and names the functions that a cell
would miss. The option ``-I`` is not used, because it came with Python 3.4. SOURCE removes the current folder from the
path instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.cell.worker.implementations import IMPLEMENTATIONS
from lab.model.build import OLDEST, Build

#: Begins the line of the answer. A program may print other lines too.
MARK = "multicore-lab-python:"


#: The question. A cell needs ``waitid`` only if ``pidfd_open`` does not work; see
#: :mod:`lab.cell.worker.experiment_process`.
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
try:
    import zlib
except ImportError:
    zlib = None
answer = {
    "version": list(sys.version_info[:3]),
    "release": sys.version.split()[0],
    "implementation": sys.implementation.name if hasattr(sys, "implementation") else kind,
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": "t" in getattr(sys, "abiflags", ""),
    "gil_enabled": True if gil is None else bool(gil()),
    "jit": None if jit is None else {"available": jit.is_available(), "enabled": jit.is_enabled()},
    "executable": os.path.realpath(sys.executable),
    "zlib": zlib is not None,
    "lacks": ["os." + name for name in needed if not hasattr(os, name)],
}
sys.stdout.write("MARK" + json.dumps(answer) + "\n")
""".replace("MARK", MARK)


#: The arguments with which an interpreter is asked.
ARGUMENTS = ("-E", "-s", "-S", "-c", SOURCE)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a Python to the question which Python it is."""

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
    #: Whether it is a debug build (Py_DEBUG).
    debug: bool = False
    #: Whether it can import zlib, and so read the code of a cell from a compressed zip file.
    zlib: bool = True

    @property
    def problem(self) -> str | None:
        """Why it cannot run a cell; ``None`` when it can."""
        assert self.build.version
        if self.build.version < OLDEST:
            return f"Python {self.release} is too old (a cell needs 3.9 or later)"
        if self.lacks:
            kind = IMPLEMENTATIONS.get(self.build.implementation, "Python")
            unproven = any(name.endswith("affinity") for name in self.lacks)
            why = "no limit can be set or proven from inside" if unproven else "no experiment can be run in a child"
            return f"{kind} {self.release} has no {', '.join(self.lacks)}: {why}"
        return None

    @property
    def best_first(self) -> tuple[Any, ...]:
        """A sort key: a debug build, which is slow, comes last; else later releases come first, and a final release
        comes before its release candidates."""
        numbers = [int(digits) for digits in re.findall(r"\d+", self.release)[:3]]
        final = re.fullmatch(r"[\d.]+\+?", self.release) is not None
        return (self.debug, *(-number for number in numbers), not final, self.release)


def read_answer(output: bytes) -> Answer | None:
    """The answer in the output of a program; ``None`` if it has no line that a Python would print."""
    for line in output.decode(errors="replace").splitlines():
        if line.startswith(MARK):
            try:
                return _answer(json.loads(line.removeprefix(MARK)))
            except (ValueError, TypeError, KeyError, IndexError):
                return None
    return None


def _answer(fields: Mapping[str, Any]) -> Answer | None:
    if not fields["executable"]:
        return None
    major, minor = fields["version"][:2]
    return Answer(
        build=Build(
            version=(int(major), int(minor)),
            free_threaded=bool(fields["free_threaded"]),
            implementation=str(fields["implementation"]),
        ),
        release=str(fields["release"]),
        executable=str(fields["executable"]),
        gil_enabled=bool(fields["gil_enabled"]),
        jit=fields["jit"],
        lacks=tuple(fields["lacks"]),
        debug=bool(fields.get("debug")),
        zlib=bool(fields.get("zlib", True)),
    )
