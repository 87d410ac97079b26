"""What an interpreter said to :mod:`lab.worker.question`: which build it is, and whether it can run a cell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.builds import OLDEST, Build
from lab.worker.question import MARK

#: How other implementations write their own names.
_CALLED = {"pypy": "PyPy", "graalpy": "GraalPy"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One Python, in its own words. ``executable`` is where it really is; ``jit`` is ``None`` before 3.14; ``lacks``
    are the functions that a cell needs and it has not; ``debug``: it was compiled to find faults (Py_DEBUG)."""

    build: Build
    release: str
    executable: str
    gil_enabled: bool
    jit: Mapping[str, bool] | None
    lacks: tuple[str, ...]
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


def read(output: bytes) -> Answer | None:
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
