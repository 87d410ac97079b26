"""One run of a program: its times, its end, and what is left of its tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.cell.programs import look_after
from lab.cell.programs.program import PIPE, Program
from lab.cell.programs.run import Run
from tests.support.one_run import line, one_run


def test_a_run_has_its_exit_code_and_times() -> None:
    run = one_run(line("exit 3"))
    assert (run.code, run.signal, run.late, run.left) == (3, None, False, 0)
    assert 0 < run.wall < 10
    assert 0 <= run.cpu <= run.wall + 0.1
    assert run.counted_by == "tree"
    assert run.ending == "ended with exit code 3"


def test_a_signal_is_told_by_its_name() -> None:
    run = one_run(line("kill -SEGV $$"))
    assert (run.code, run.signal) == (None, "SIGSEGV")
    assert run.ending == "was killed by SIGSEGV"


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ({"code": None, "signal": "SIGKILL"}, "was killed by SIGKILL: memory ran out"),
        ({"code": 2}, "ended with exit code 2, after memory had run out and a process of it was killed"),
        (
            {"code": 2, "late": True},
            "did not end before its deadline, after memory had run out and a process of it was killed",
        ),
    ],
)
def test_a_process_that_was_killed_because_memory_ran_out_is_told_however_the_run_ended(
    ended: dict[str, Any], words: str
) -> None:
    run = Run(wall=1.0, cpu=1.0, user=1.0, system=0.0, counted_by="group", **ended)
    assert run._replace(oom_kills=1).ending == words
    assert "memory" not in run._replace(oom_kills=0).ending


def test_what_nobody_counts_is_missing() -> None:
    run = one_run(line("true"))
    counted = (run.periods, run.throttled_seconds, run.pressure, run.oom_kills, run.group_memory, run.each_cpu)
    assert counted == (None,) * len(counted)


def test_a_daemon_is_found_and_ended(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    run = one_run(line(f"setsid sh -c 'sleep 1000 & echo $! > {file}; exit' & wait; exit 0"))
    assert run.left == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


def test_what_ends_by_itself_right_after_the_program_was_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_after, "_LEAVING_SECONDS", 4.0)
    run = one_run(line("setsid sh -c 'sleep 0.02' & exit 0"))
    assert (run.code, run.left) == (0, 0)


@pytest.mark.slow
def test_what_ignores_a_polite_request_is_killed() -> None:
    run = one_run(line("(trap '' TERM; while :; do sleep 1; done) & sleep 0.1; exit 0"))
    assert (run.code, run.left >= 1) == (0, True)


def test_a_run_ends_at_its_deadline_with_all_its_children() -> None:
    run = one_run(line("sleep 1000 & sleep 1000", deadline_seconds=0.1))
    assert run.late
    assert run.ending == "did not end before its deadline"


@pytest.mark.parametrize("output", [PIPE, "null"])
def test_megabytes_of_output_stop_nothing(output: str) -> None:
    run = one_run(
        line("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; echo the end >&2; exit 1", output=output)
    )
    assert run.code == 1
    assert run.words.endswith("the end")
    assert len(run.words) <= 600


def test_output_goes_to_a_file(tmp_path: Path) -> None:
    one_run(line("echo hello", output=str(tmp_path / "out")))
    assert (tmp_path / "out").read_text() == "hello\n"


def test_a_program_has_its_variables_and_its_folder(tmp_path: Path) -> None:
    one_run(line('echo "$ONE" > here', environment={"ONE": "1"}, folder=str(tmp_path)))
    assert (tmp_path / "here").read_text() == "1\n"


def test_what_cannot_be_started_says_why() -> None:
    with pytest.raises(LookupError, match="no-such-program cannot be started: No such file or directory"):
        one_run(Program(label="none", words=["no-such-program"]))


def test_a_run_has_the_memory_of_its_tree() -> None:
    size = 150_000_000
    run = one_run(Program(label="large", words=[sys.executable, "-c", f"import time; b = bytearray({size})"]))
    assert run.tree_memory is not None
    assert size < run.tree_memory < 1.3 * size


def test_a_small_program_does_not_have_the_memory_of_its_parent() -> None:
    run = one_run(line("sleep 0.1"))
    assert run.tree_memory is None or run.tree_memory < 5_000_000


def test_the_cpu_time_is_that_of_the_whole_tree() -> None:
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    run = one_run(line(f"{sys.executable} -S -c '{busy}' & {sys.executable} -S -c '{busy}' & wait"))
    assert 0.4 <= run.cpu < 0.8
    assert run.processes is None or run.processes >= 2
