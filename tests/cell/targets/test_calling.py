"""From a target to a function without arguments: what is found, what is called, and what is said where it fails."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cell.targets import elapsed, environment, look_up
from lab.cell.targets.calling import Caller, SkippedError
from lab.cell.targets.case import FILE, MODULE, STATEMENT, Case, from_stored
from lab.cell.targets.discovery import cases
from lab.cell.targets.importing import TargetError

SOURCE = """
from time import time_ns

made = []

def make():
    made.append(1)
    return [len(made)]

def see(thing, more=0):
    return thing, more

def bench_add():
    return 1 + 1

async def later():
    return 5

def several():
    for number in range(3):
        made.append(number)
        yield number

async def stream(item):
    yield item

class Later:
    async def __call__(self, item):
        return item

a_later = Later()

def leave_out():
    raise NotImplementedError

class _Held:
    @staticmethod
    def time_skipped(item):
        return item

_Held.time_skipped.setup = leave_out

number = 7

once = iter([1, 2])

def logged(item=0):
    return later()

def lazy(item=0):
    return (each for each in (1, 2))

class TimeSuite:
    params = [[10, 20], ["a", "b"]]
    param_names = ["size", "kind"]

    def setup(self, size, kind):
        self.data = [kind] * size

    def time_join(self, size, kind):
        return "".join(self.data)

def time_plain():
    return None

def raises():
    raise ValueError("no luck")
"""


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A file with targets of every form."""
    path = tmp_path / "work_of_a_test.py"
    path.write_text(SOURCE)
    before = list(sys.path)
    yield path
    sys.path[:] = before
    sys.modules.pop("work_of_a_test", None)


def case_of(path: Path, name: str, **fields: Any) -> Case:
    return Case(label=f"work.py:{name}", source=FILE, where=str(path), name=name)._replace(**fields)


def call_of(case: Case) -> object:
    """What is called of a case: with one item after the other, if it has items."""
    return elapsed.function_of(case) if case.items else Caller(case).call(0, own=False)


def test_a_function_is_called_itself_where_it_takes_nothing(work: Path) -> None:
    caller = Caller(case_of(work, "bench_add"))
    assert caller.call(0, own=False) is sys.modules["work_of_a_test"].bench_add


def test_state_is_shared_by_all_or_made_for_each(work: Path) -> None:
    caller = Caller(case_of(work, "see", setup="make", arguments={"more": 3}))
    shared = [caller.call(number, own=False)() for number in (0, 1)]
    own = [caller.call(number, own=True)() for number in (0, 1, 0)]
    assert shared == [([1], 3), ([1], 3)]
    assert own == [([2], 3), ([3], 3), ([2], 3)]


def test_a_coroutine_is_run_and_a_generator_is_read_to_its_end(work: Path) -> None:
    assert Caller(case_of(work, "later")).call(0, own=False)() == 5
    Caller(case_of(work, "several")).call(0, own=False)()
    assert sys.modules["work_of_a_test"].made == [0, 1, 2]


def test_every_benchmark_of_a_file_is_found_with_the_parameters_of_asv(work: Path) -> None:
    found = cases(Case(label="work.py", source=FILE, where=str(work)), {})
    assert [case.label for case in found] == [
        "work.py:bench_add",
        "work.py:TimeSuite.time_join, size=10, kind=a",
        "work.py:TimeSuite.time_join, size=10, kind=b",
        "work.py:TimeSuite.time_join, size=20, kind=a",
        "work.py:TimeSuite.time_join, size=20, kind=b",
        "work.py:time_plain",
    ]
    assert Caller(from_stored(found[4].to_stored())).call(0, own=False)() == "b" * 20


def test_each_value_of_a_parameter_is_a_case(work: Path) -> None:
    found = cases(case_of(work, "see", setup="make"), {"more": [1, 2]})
    assert [case.label for case in found] == ["work.py:see, more=1", "work.py:see, more=2"]
    assert Caller(found[1]).call(0, own=False)() == ([1], 2)


def test_a_statement_has_the_namespace_of_its_setup() -> None:
    case = Case(label="x", source=STATEMENT, where="seen.append(1)\nlast = seen[-1]", setup="seen = []; whole = seen")
    call = Caller(case).call(0, own=False)
    assert call() is None


def test_a_statement_changes_what_its_setup_has_made_as_in_timeit() -> None:
    case = Case(label="x", source=STATEMENT, where="x += 1\nlast = x\nassert last < 3", setup="x = 0")
    call = Caller(case).call(0, own=False)
    assert (call(), call()) == (None, None)
    with pytest.raises(AssertionError):
        call()
    Caller(case).call(0, own=False)()  # which has a setup of its own


def test_a_file_that_is_named_from_the_current_folder_is_executed_once(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work.parent)
    case = case_of(Path(work.name), "see", setup="make", arguments={"more": 3})
    Caller(case)
    first = sys.modules["work_of_a_test"]
    Caller(case).call(0, own=False)()
    assert sys.modules["work_of_a_test"] is first
    call = Caller(case).call(0, own=False)
    assert isinstance(call, functools.partial)
    assert call.func is first.see


def test_a_file_is_found_again_after_a_function_has_removed_the_current_folder(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "beside")
    monkeypatch.chdir(work.parent)  # where it ends
    case = case_of(Path(work.name), "see", setup="make", project=str(work.parent))
    environment.enter(case.project)
    Caller(case).call(0, own=False)()
    moved = tmp_path / "moved"
    moved.mkdir()
    os.chdir(moved)
    moved.rmdir()
    assert str(work.parent / "beside") in sys.path
    assert Caller(case).call(0, own=False)() == ([2], 0)
    beside = case._replace(setup=f"{work.name}:make")
    assert Caller(beside).call(0, own=False)() == ([3], 0)
    with pytest.raises(TargetError, match=r"work_of_a_test\.py, line [0-9]+\)"):
        Caller(case._replace(setup="raises")).call(0, own=False)
    environment.go_home(case.project)
    assert Path.cwd() == work.parent


@pytest.mark.parametrize("change", [{"setup": "make"}, {"arguments": {"size": 3}}, {"items": "made"}])
def test_a_method_takes_no_setup_no_parameter_and_no_items(work: Path, change: dict[str, Any]) -> None:
    case = case_of(work, "TimeSuite.time_join", is_method=True, places=(0, 0), **change)
    with pytest.raises(TargetError, match="is a method, which takes no --"):
        call_of(case)


def test_an_object_with_an_asynchronous_call_is_run_to_its_end(work: Path) -> None:
    assert Caller(case_of(work, "a_later", arguments={"item": 4})).call(0, own=False)() == 4


@pytest.mark.parametrize("items", ["", "made"])
def test_a_setup_that_fails_is_said_by_its_own_name_and_a_benchmark_can_leave_itself_out(
    work: Path, items: str
) -> None:
    with pytest.raises(TargetError, match=r"^--setup raises raised ValueError: no luck.*; repair it"):
        call_of(case_of(work, "see", setup="raises", items=items))
    with pytest.raises(SkippedError, match=r"the setup of work\.py:_Held.time_skipped raised NotImplementedError"):
        call_of(case_of(work, "_Held.time_skipped", items=items))


@pytest.mark.parametrize("name", ["later", "several", "stream", "a_later"])
def test_a_pool_is_given_no_function_that_only_makes_a_coroutine_or_a_generator(work: Path, name: str) -> None:
    with pytest.raises(TargetError, match=r"asyncio\.run"):
        elapsed.function_of(case_of(work, name, items="made"))


@pytest.mark.parametrize("items", ["", "made"])
@pytest.mark.parametrize(("name", "kind"), [("logged", "coroutine"), ("lazy", "generator")])
def test_a_plain_function_that_only_makes_a_coroutine_or_a_generator_is_refused(
    work: Path, name: str, kind: str, items: str
) -> None:
    if items:
        sys.modules.pop("work_of_a_test", None)
        work.write_text(SOURCE.replace("made = []", "made = [1]"))
    with pytest.raises(
        TargetError, match=rf"work\.py:{name} only makes a {kind}.*, and nobody runs it; name a function"
    ):
        look_up._seen(case_of(work, name, items=items))


def test_an_iterator_is_no_list_of_items_because_it_can_be_read_once(work: Path) -> None:
    with pytest.raises(TargetError, match="--items once can be read only once"):
        elapsed.items_of(case_of(work, "see", items="once"))


def test_packages_of_pip_install_user_are_importable_outside_of_a_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("site.getusersitepackages", lambda: str(tmp_path))
    monkeypatch.setattr("site.getsitepackages", lambda: ["everybodys"])
    monkeypatch.setattr(sys, "path", [*sys.path, "everybodys"])
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    environment._add_own_packages()
    assert str(tmp_path) not in sys.path
    monkeypatch.delenv("PYTHONNOUSERSITE")
    before = list(sys.path)
    environment._add_own_packages()
    assert sys.path == [*before[:-1], str(tmp_path), before[-1]]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "has no nothing"), ("bench_ad", "there is bench_add"), ("number", "cannot be called")],
)
@pytest.mark.parametrize("items", ["", "made"])
def test_what_is_no_function_is_said(work: Path, name: str, message: str, items: str) -> None:
    with pytest.raises(TargetError, match=message):
        call_of(case_of(work, name, items=items))


def test_a_module_that_is_missing_is_said_with_the_folders_that_were_searched() -> None:
    with pytest.raises(TargetError, match=r"No module named 'nowhere_at_all'.*was looked for in"):
        Caller(Case(label="x", source=MODULE, where="nowhere_at_all", name="f"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ndef f(:", r"SyntaxError: .*, line 2\); repair it, or take a Python that knows its syntax: --python"),
        (
            "import argparse\nraise SystemExit(2)",
            r"SystemExit: 2 \(.*bad_of_a_test.py, line 2\); put what it does as a",
        ),
        (
            "raise KeyboardInterrupt",
            r"KeyboardInterrupt \(.*, line 1\); put what it does as a program below if __name__",
        ),
        ("import json.nothing", r"No module named 'json.nothing' .*\. The package json is in .*json; name what it has"),
        ("\nfrom json import nothing", r"ImportError: cannot import name 'nothing' .*, line 2\); repair it, or name"),
        ("import lab.nothing", r"a cell has only a part of the lab: call lab.scale\(\) below if __name__"),
        ("1 / 0", r"ZeroDivisionError: division by zero \(.*bad_of_a_test.py, line 1\); repair it, or name another"),
    ],
)
def test_a_module_that_cannot_be_imported_says_where_and_what_to_do(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "bad_of_a_test.py"
    path.write_text(source)
    for _ in range(2):  # nobody finds half of it the second time
        with pytest.raises(TargetError, match=message) as caught:
            Caller(Case(label="x", source=FILE, where=str(path), name="f"))
        assert caught.value.missing == ""


def test_a_file_without_benchmarks_says_how_to_name_a_function(tmp_path: Path) -> None:
    path = tmp_path / "empty_of_a_test.py"
    path.write_text("x = 1\n")
    with pytest.raises(TargetError, match=r"name a function: empty\.py:FUNCTION"):
        cases(Case(label="empty.py", source=FILE, where=str(path)), {})
    sys.modules.pop("empty_of_a_test", None)


def test_a_statement_that_is_no_python_is_said() -> None:
    with pytest.raises(TargetError, match="no valid syntax"):
        Caller(Case(label="x", source=STATEMENT, where="1 +"))


def test_a_method_that_is_named_has_the_setup_and_the_parameters_of_asv(work: Path) -> None:
    found = cases(case_of(work, "TimeSuite.time_join"), {})
    assert [case.label for case in found][:2] == [
        "work.py:TimeSuite.time_join, size=10, kind=a",
        "work.py:TimeSuite.time_join, size=10, kind=b",
    ]
    assert Caller(found[1]).call(0, own=False)() == "b" * 10


def test_an_asynchronous_generator_is_read_to_its_end(work: Path) -> None:
    work.write_text(SOURCE + "\nasync def many():\n    for n in 1, 2:\n        made.append(n)\n        yield n\n")
    Caller(case_of(work, "many")).call(0, own=False)()
    assert sys.modules["work_of_a_test"].made == [1, 2]


def test_a_file_in_a_package_can_import_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    package = tmp_path / "package_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("from .near import five\n")
    (package / "near.py").write_text("def five(): return 5\n")
    (package / "far.py").write_text("from .near import five\n")
    for file in ("far.py", "__init__.py"):
        assert Caller(case_of(package / file, "five")).call(0, own=False)() == 5
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["random", "lab"])
def test_a_name_that_workers_import_something_else_by_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("def five(): return 5\n")
    with pytest.raises(TargetError, match=f"has the name {name}, by which workers import a module of"):
        Caller(case_of(tmp_path / f"{name}.py", "five"))
    with pytest.raises(TargetError, match="rename it"):
        Caller(Case(label="x", source=MODULE, where=name, name="five", project=str(tmp_path)))


def test_what_a_setup_raises_is_said_of_the_setup(work: Path) -> None:
    work.write_text(SOURCE + "\ndef broken(): raise OSError('no database')\n")
    with pytest.raises(TargetError, match="--setup broken raised OSError: no database"):
        Caller(case_of(work, "see", setup="broken")).call(0, own=False)
