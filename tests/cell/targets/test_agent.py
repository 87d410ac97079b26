"""A worker in another environment that cannot be started."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cell.targets.agent import Agent, Task
from lab.cell.targets.importing import TargetError


@pytest.mark.parametrize(("file", "reason"), [("work.py", "PermissionError"), ("gone", "FileNotFoundError")])
def test_what_is_no_program_is_told_as_a_fault_of_the_other_environment(tmp_path: Path, file: str, reason: str) -> None:
    (tmp_path / "work.py").write_text("def busy(): pass\n")
    with pytest.raises(TargetError, match=f"the other environment cannot be started: {reason}") as caught:
        Agent(str(tmp_path / file), Task("look_up"))
    assert caught.value.elsewhere
