"""Benchmarks of asv, unchanged: what is inherited, what runs before and after, and where parameters come from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cell.targets.calling import Caller
from lab.cell.targets.case import FILE, Case
from lab.cell.targets.discovery import cases
from lab.cell.targets.importing import TargetError
from lab.cell.targets.look_up import found

SOURCE = """
import abc
from textwrap import dedent as setup  # what is imported is no setup of the module's own

order = []

class _Base:
    def setup(self, cache, size):
        order.append(("setup", cache, size))

    def time_inherited(self, cache, size):
        return cache, size

class Suite(_Base):
    params = range(2)
    param_names = ["size"]

    def setup_cache(self):
        return "cached"

    def time_own(self, cache, size):
        return "own", cache, size
    time_own.params = [7]

class Abstract(abc.ABC):
    @abc.abstractmethod
    def time_nothing(self): ...

def prepare(kind):
    order.append(("before", kind))

def time_with_its_own(kind):
    return kind
time_with_its_own.params = ["1", 1]
time_with_its_own.setup = prepare
"""

ENDS = """
order = []

def setup():
    order.append("module")

class Suite:
    def setup(self):
        order.append("class")

    def teardown(self):
        print("torn down after", *order, flush=True)

    def time_it(self):
        pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Case]:
    """The file of benchmarks, as a target."""
    path = tmp_path / "suite_of_a_test.py"
    path.write_text(SOURCE)
    before = list(sys.path)
    yield Case(label="suite.py", source=FILE, where=str(path))
    sys.path[:] = before
    sys.modules.pop("suite_of_a_test", None)


def test_inherited_benchmarks_and_parameters_of_a_function_are_found(suite: Case) -> None:
    assert [case.label.partition(":")[2] for case in cases(suite, {})] == [
        "Suite.time_inherited, size=0",
        "Suite.time_inherited, size=1",
        "Suite.time_own, size=7",
        "time_with_its_own, param1=1",
        "time_with_its_own, param1=1 (2)",
    ]


def test_a_benchmark_whose_parameter_has_no_value_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "no_values.py").write_text("def time_it(n): pass\ntime_it.params = [[]]\n")
    wanted = Case(label="no_values.py:time_it", source=FILE, where=str(tmp_path / "no_values.py"), name="time_it")
    with pytest.raises(TargetError, match=r"no_values\.py:time_it has params without a value"):
        cases(wanted, {})


def test_the_cache_is_the_first_argument_of_setup_and_benchmark(suite: Case) -> None:
    inherited, own = (cases(suite, {})[place] for place in (1, 2))
    assert Caller(inherited).call(0, own=False)() == ("cached", 1)
    assert Caller(own).call(0, own=False)() == ("own", "cached", 7)
    assert sys.modules["suite_of_a_test"].order == [("setup", "cached", 1), ("setup", "cached", 7)]


def test_a_function_has_a_setup_of_its_own_with_its_parameters(suite: Case) -> None:
    text, number = cases(suite, {})[3:]
    assert (Caller(text).call(0, own=False)(), Caller(number).call(0, own=False)()) == ("1", 1)
    assert sys.modules["suite_of_a_test"].order == [("before", "1"), ("before", 1)]


@pytest.mark.slow
def test_setups_run_from_the_module_inwards_and_teardown_when_the_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "ends_of_a_test.py"
    path.write_text(ENDS)
    program = (
        "from lab.cell.targets.calling import Caller; from lab.cell.targets.case import Case\n"
        f"case = Case(label='x', source='file', where={str(path)!r}, name='Suite.time_it', is_method=True)\n"
        "print(Caller(case).call(0, own=False)(), flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["None", "torn down after module class"]


def test_a_function_that_cannot_be_measured_is_named_beside_the_others() -> None:
    good = Case(label="work.py:good", source=FILE, where="work.py", name="good")
    said: list[dict[str, object]] = [
        {"name": "left out", "value": ["work.py:bad", "it raised"]},
        {"name": "case", "value": good.to_stored()},
        {"outcome": "ok", "reason": ""},
    ]
    assert found(Case(label="work.py", source=FILE, where="work.py"), lambda passed: (said, "")) == (
        [good],
        [("work.py:bad", "it raised")],
    )
