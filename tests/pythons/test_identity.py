"""What an interpreter is asked, and what is made of its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.pythons import identity
from lab.pythons.identity import ARGUMENTS, MARK, SOURCE

SAID = {
    "version": [3, 11, 7],
    "release": "3.11.7",
    "implementation": "cpython",
    "free_threaded": False,
    "gil_enabled": True,
    "jit": None,
    "executable": "/opt/python",
    "lacks": [],
}


def problem(**fields: object) -> str | None:
    answer = identity.read_answer(f"{MARK}{json.dumps({**SAID, **fields})}\n".encode())
    assert answer
    return answer.problem


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, None),
        ({"version": [2, 7, 18], "release": "2.7.18"}, "Python 2.7.18 is too old (a cell needs 3.9 or later)"),
        (
            {"implementation": "graalpy", "lacks": ["os.sched_setaffinity", "os.fork"]},
            "GraalPy 3.11.7 has no os.sched_setaffinity, os.fork: no limit can be set or proven from inside",
        ),
        (
            {"implementation": "pypy", "lacks": ["os.fork"]},
            "PyPy 3.11.7 has no os.fork: no experiment can be run in a child",
        ),
    ],
    ids=["nothing", "too old", "no limits", "no children"],
)
def test_a_python_that_cannot_run_a_cell_says_why(fields: dict[str, object], words: str | None) -> None:
    assert problem(**fields) == words


@pytest.mark.parametrize(
    ("missing", "lacks"),
    [
        ("waitid", ()),
        ("pidfd_open", ()),
        ("pidfd_open waitid", ("os.waitid",)),
        ("sched_getaffinity", ("os.sched_getaffinity",)),
    ],
)
def test_waitid_is_needed_only_where_the_system_does_not_tell_the_end_of_a_child(
    missing: str, lacks: tuple[str, ...]
) -> None:
    less = f"import os\nfor name in {missing!r}.split():\n    delattr(os, name)\n"
    done = subprocess.run([sys.executable, "-c", less + SOURCE], capture_output=True, check=True)
    answer = identity.read_answer(done.stdout)
    assert answer
    assert answer.lacks == lacks


@pytest.mark.parametrize("there", [True, False])
def test_it_says_whether_it_can_read_a_compressed_zip_file(there: bool) -> None:
    less = "" if there else "import sys\nsys.modules['zlib'] = None\n"
    done = subprocess.run([sys.executable, "-c", less + SOURCE], capture_output=True, check=True)
    answer = identity.read_answer(done.stdout)
    assert answer
    assert answer.zlib is there


def test_what_lies_in_the_current_folder_is_not_imported_to_answer(tmp_path: Path) -> None:
    for name in ("json.py", "os.py"):
        (tmp_path / name).write_text("raise SystemExit(3)\n", encoding="utf-8")
    done = subprocess.run([sys.executable, *ARGUMENTS], cwd=tmp_path, capture_output=True, check=True)
    assert identity.read_answer(done.stdout)
