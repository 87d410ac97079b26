"""A neighbour that comes and goes takes CPUs from threads too, and may not make them look worse than processes."""

from __future__ import annotations

from pathlib import Path

import pytest

import lab
from lab.running.known_functions import beside

SOURCE = """
import hashlib
PART = bytes(2**18)

def checksum():
    return hashlib.sha256(PART).hexdigest()
"""


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.parametrize("neighbour", ["half", "full"])
def test_threads_that_give_up_the_gil_are_as_good_as_processes_or_not_decided(neighbour: str, tmp_path: Path) -> None:
    (tmp_path / "work_of_a_neighbour.py").write_text(SOURCE)
    with beside(neighbour):
        found = lab.scale(f"{tmp_path}/work_of_a_neighbour.py:checksum", cpus="2", level="default", project=tmp_path)
    (threads,) = [row for row in found.rows if row.workers == "2 threads"]
    assert found.executor in ("thread", None), found.advice
    assert threads.speed_up is None or threads.speed_up.high > 1.7, threads
