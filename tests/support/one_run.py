"""One run of a program in a process of its own: it adopts orphans, which no test's process may do."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from lab.cell.programs.program import Program
from lab.cell.programs.run import Run

_SOURCE = """
import json, sys
from lab.cell.measuring.offspring import adopt_orphans
from lab.cell.claims.recorder import NotMeasuredError
from lab.cell.programs.program import from_stored
from lab.cell.programs.run import run_once
adopt_orphans()
try:
    print(json.dumps(run_once(from_stored(json.loads(sys.argv[1])))._asdict()))
except NotMeasuredError as error:
    print(json.dumps({"error": str(error)}))
"""


def one_run(program: Program) -> Run:
    """The run. Raises LookupError, with the reason, where the program cannot be started."""
    values = _said(program)
    if "error" in values:
        raise LookupError(values["error"])
    return Run(**values)


def _said(program: Program) -> dict[str, Any]:
    words = [sys.executable, "-c", _SOURCE, json.dumps(program.to_stored())]
    said: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return said


def line(text: str, **settings: Any) -> Program:
    """A program that is a line for the shell."""
    return Program(label="line", words=[text], by_shell=True, **settings)
