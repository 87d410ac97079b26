"""A session of a class as the documentation has it: handouts, predictions at a terminal, runs, class and grades."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.screen import Screen

CLASS = ROOT / "docs" / "examples" / "class"


@pytest.mark.slow
def test_the_lesson_of_the_documentation_ends_with_grades(tmp_path: Path, screens: list[Screen]) -> None:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    words = ["sh", str(CLASS / "lesson.sh"), "--engine", "local", "--cpus", "1"]
    screens.append(screen := Screen(words, tmp_path, {**os.environ, "PATH": programs, "COLUMNS": "100"}))
    for student, predicted in (("anna", "1"), ("ben", "77")):
        screen.wait_for(f"It is the turn of {student}.")
        screen.wait_for("How many workers does Pool() start?")
        screen.type(f"{predicted}\n")
    code, out = screen.end()
    text = " ".join(out.split())
    assert code == 0, out + screen.seen
    assert "2 participants, 2 sessions." in text
    assert re.search(r"anna: [\d.]+ of 7 points 2 of 2 for sessions: \d{8}-\d{6}-\w{4} is as measured", text)
    assert "1 predicted; not right: Pool(): workers at 1 CPU (77, measured " in text
    assert text.count("1 of 1 for answer pool-1") == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        *("course.md", "pool.html", "teacher.txt", "handed-in", "class.html")
    }
    page = (tmp_path / "class.html").read_text("utf-8")
    assert "anna" in page
    assert "ben" in page
