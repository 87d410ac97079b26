"""A whole list of items: what fails in one kind of worker costs that kind alone, and an error names its item."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cell.claims.recorder import NotMeasuredError, Recorder
from lab.cell.targets import elapsed, pools, trial
from lab.cell.targets.case import FILE, Case
from lab.cell.targets.figures import BASE, LATER
from lab.cell.targets.importing import TargetError

SOURCE = """
import multiprocessing, os, threading

calls = []
items = list(range(40))

def picky(item):
    if item == 33:
        raise ValueError("no luck")

def frail(item):
    calls.append(item)
    if len(calls) == LIMIT:
        raise ValueError("no luck")

def choosy(item):
    worker = multiprocessing.current_process().name
    if worker.startswith("ForkProcess"):
        threading.Event().wait()
    is_spawned = worker.startswith("SpawnProcess")
    if is_spawned or threading.current_thread() is not threading.main_thread():
        calls.append(item)
        if len(calls) > 170:  # until the rounds begin there are 160 at most
            os._exit(7) if is_spawned else picky(33)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file with functions that take an item."""
    path = tmp_path / "work_of_items.py"
    path.write_text(SOURCE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield path
    sys.modules.pop("work_of_items", None)


def case_of(path: Path, name: str) -> Case:
    return Case(
        label=f"work.py:{name}", source=FILE, where=str(path), name=name, items="items", project=str(path.parent)
    )


def measured(case: Case, cpus: int, seconds: float) -> tuple[list[Any], list[dict[str, Any]]]:
    """What was observed as out, and the rounds, of a measurement on so many CPUs."""
    seen = trial.look(lambda: None, 1)._replace(ready_seconds=1.0)
    with (Path(case.project) / "records").open("w+") as file:
        recorder = Recorder(file.fileno(), seconds, width=0.05)
        recorder.cpus = (recorder.cpus * cpus)[:cpus]
        try:
            elapsed.measure(recorder, case, seen)
        finally:
            said = [json.loads(line) for line in Path(file.name).read_text().splitlines()]
    return (
        [message["value"] for message in said if message.get("name") == "out"],
        [message["values"] for message in said if message.get("name") == "round"],
    )


@pytest.mark.slow
def test_pools_that_hang_break_or_raise_cost_themselves_alone(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "PATIENCE_SECONDS", 1.0)
    out, rounds = measured(case_of(work, "choosy"), cpus=2, seconds=1)
    reasons = {(kind, name): text for name, kind, text in out}
    assert [text[:21] for (kind, _), text in reasons.items() if kind == "fork"] == ["did not return within"]
    assert [text for (kind, _), text in reasons.items() if kind == "thread"] == ["ValueError: no luck"]
    broken = [text for (kind, _), text in reasons.items() if kind == "spawn"]
    assert len(broken) == 2
    assert all(text.startswith("BrokenProcessPool") for text in broken)
    assert rounds
    for blocks in rounds:
        assert {BASE, "2 processes (forkserver)", "2 processes (forkserver), chunks of 5"} <= set(blocks)
        assert all("rate" in block for block in blocks.values())
    assert not {name for _, name in reasons} & set(rounds[-1])


def test_an_error_late_in_the_list_names_its_item_before_any_pool_starts(work: Path) -> None:
    case = case_of(work, "picky")
    with pytest.raises(TargetError, match=r"^raised at item 34 of 40 of --items items: ValueError: no luck"):
        measured(case, cpus=2, seconds=1)


def test_a_loop_that_raises_later_keeps_the_rounds_before(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elapsed, "SHORTEST_BLOCK", 0.0)
    work.write_text(SOURCE.replace("LIMIT", str(3 * 40 + 8)))  # the first pass, two rounds, and eight items
    out, rounds = measured(case_of(work, "frail"), cpus=1, seconds=1)
    assert out == [["workers", LATER, "raised at item 8 of 40: ValueError: no luck, after 2 rounds"]]
    assert len(rounds) == 2


def test_a_loop_that_raises_before_the_first_round_is_not_measured(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elapsed, "SHORTEST_BLOCK", 0.0)
    work.write_text(SOURCE.replace("LIMIT", "41"))
    with pytest.raises(NotMeasuredError, match=r"^raised at item 1 of 40: ValueError: no luck"):
        measured(case_of(work, "frail"), cpus=1, seconds=1)


def test_only_the_workers_that_are_named_are_measured() -> None:
    case = Case(label="f", source=FILE, where="f.py", items="items", chunks=[1, 8, 8])
    names = [pool.name for pool in pools.pools_for(case, 2, False, 40)]
    assert len(names) == len(set(names))
    assert "2 processes (fork), chunks of 8" in names
    for name in names:
        assert [pool.name for pool in pools.pools_for(case._replace(only=name), 2, False, 40)] == [name]
