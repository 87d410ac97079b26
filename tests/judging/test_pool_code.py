"""The code that advice ends with: it runs as it is pasted, and does what was measured, in every form of a target."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cell.targets import scale
from lab.cell.targets.case import FILE, MODULE, STATEMENT, Case
from lab.judging.advice import Advice, all_advice
from lab.judging.statement_code import _symbols
from tests.support import own_code, scripts

#: The functions that were measured, and what they are given. Each call tells how many have had the same argument.
SOURCE = """
import asyncio
def plain(item): return item + 1
def alone(): return "alone"
async def coroutine(item):
    await asyncio.sleep(0)
    return item + 1
def generator(item): yield from range(item)
async def asynchronous(item):
    for n in range(item): yield n
def make(): return [5]
def argument(made):
    made.append(len(made))
    return made[1] >= 1
def argument_and_item(made, item): return made[0] + item
def one(one): return one
def parameter(n): return n
def parameter_and_item(item, n): return item + n
def by_its_name(*, n): return n
def run(item): return -item
async def everything(made, item, n, word): return made[0] + item + n, word
class Parts:
    static = staticmethod(lambda item: item * 10)
def setup(*values): LOG.append("module")
LOG = []
def files(): return [1, 2]
items = [1, 2]
class Suite:
    params = [[3, 4], ["a", "b"]]
    def setup_cache(self): return "cache"
    def setup(self, cache, number, text): self.seen = [LOG[-1], cache, number, text]
    def time_it(self, cache, number, text):
        self.seen.append(0)
        return self.seen[:4], (cache, number, text), len(self.seen) > 4
class Plain:
    def time_it(self): return LOG[-1]
def time_function(n): return n, LOG[-1]
time_function.params = [7, 8]
time_function.setup = lambda n: LOG.append("own %d" % n)
"""
#: A factory in another file.
MADE = "import beside\nclass Parts:\n    make = staticmethod(lambda: beside.PART)\ndef make(): return beside.PART\n"

#: What a function is measured with, and what comes of the items 1 and 2.
FORMS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "plain": ({}, [2, 3]),
    "alone": ({}, ["alone"] * 2),
    "coroutine": ({}, [2, 3]),
    "generator": ({}, [[0], [0, 1]]),
    "asynchronous": ({}, [[0], [0, 1]]),
    "argument": ({"setup": "make"}, [True, True]),
    "argument_and_item": ({"setup": "make"}, [6, 7]),
    "one": ({"setup": "./parts/made.py:Parts.make"}, ["part"] * 2),
    "one, absolute": ({"setup": "{outside}/made.py:make"}, ["part"] * 2),
    "one, outside": ({"setup": "../outside/made.py:make"}, ["part"] * 2),
    "parameter": ({"arguments": {"n": 3}}, [1, 2]),
    "parameter_and_item": ({"arguments": {"n": 3}}, [4, 5]),
    "by_its_name": ({"arguments": {"n": 3}}, [3, 3]),
    "make, in a folder": ({"where": "parts/made.py"}, ["part"] * 2),
    "run": ({}, [-1, -2]),
    "Parts.static": ({}, [10, 20]),
    "everything": ({"setup": "make", "arguments": {"n": 3, "word": "a'b"}}, [(9, "a'b"), (10, "a'b")]),
    "plain, listed": ({"items": "items"}, [2, 3]),
    "plain, made": ({"items": "work.py:files"}, [2, 3]),
    "argument_and_item, listed": ({"setup": "make", "items": "files"}, [6, 7]),
    "parameter_and_item, listed": ({"arguments": {"n": 3}, "items": "items"}, [4, 5]),
    "Suite.time_it": (
        {"is_method": True, "places": [1, 0]},
        [(["module", "cache", 4, "a"], ("cache", 4, "a"), True)] * 2,
    ),
    "Plain.time_it": ({"is_method": True}, ["module"] * 2),
    "time_function": ({"places": [1]}, [(8, "own 8")] * 2),
    "statement": ({"setup": "from math import *\nn = 0", "source": STATEMENT, "where": "n += 1\nfloor(n)"}, [None] * 2),
    "statement, names": ({"setup": "items, pool = 0, 1", "source": STATEMENT, "where": "items += pool"}, [None] * 2),
    "statement, item": ({"setup": "item = [2, 1]", "source": STATEMENT, "where": "item.sort()"}, [None] * 2),
    "made, below src": ({"source": MODULE, "where": "inside.part"}, ["part"] * 2),
    "statement, plain": ({"setup": "import json", "source": STATEMENT, "where": "json.loads('1')"}, [None] * 2),
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with the functions, and a folder outside of it."""
    for folder in ("project/parts", "outside"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "made.py").write_text(MADE)
        (tmp_path / folder / "beside.py").write_text("PART = 'part'\n")
    inside = tmp_path / "project" / "src" / "inside"
    inside.mkdir(parents=True)
    (inside / "part.py").write_text("def made(): return 'part'\n")
    (tmp_path / "project" / "work.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path / "project")
    known, path = set(sys.modules), sys.path[:]
    sys.path.append(str(inside.parent))
    yield tmp_path / "project"
    sys.path[:] = path
    for name in {"work", "made", "beside", "inside", "inside.part"} - known:
        sys.modules.pop(name, None)


def case_of(form: str, project: Path) -> Case:
    measured_with = dict(FORMS[form][0])
    if "setup" in measured_with:
        measured_with["setup"] = measured_with["setup"].format(outside=project.parent / "outside")
    case = Case(label=form, source=FILE, where="work.py", name=form.partition(",")[0], project=str(project))
    return case._replace(**measured_with)


def advised(case: Case, gains: own_code.Gains, own: bool = False) -> Advice:
    """The advice for a case."""
    messages = [scripts.observe("form", scale._form_of(case)._asdict()), *own_code.said(gains)]
    if own:
        messages = [_renamed(kind, data, "2 threads, own state") for kind, data in messages]
    (advice,) = all_advice(own_code.session(own_code.ran(2, (case, messages)), cases=[case]))
    return advice


def _renamed(kind: str, data: dict[str, Any], name: str) -> scripts.Said:
    """The same message, where threads have an argument of their own."""
    if data.get("name") == "arms":
        data = {**data, "value": [[name, "thread", 2, True]]}
    if kind == "sample":
        data = {**data, "values": {name if arm == "2 threads" else arm: each for arm, each in data["values"].items()}}
    return kind, data


#: How the code is advised to run the function: what was measured best, and whether each worker has its own argument.
WAYS: dict[str, tuple[own_code.Gains, bool]] = {
    "loop": ({("thread", 2): 1.0}, False),
    "threads": ({("thread", 2): 1.95}, False),
    "threads, own": ({("thread", 2): 1.95}, True),
    "fork": ({("fork", 2): 1.95}, False),
    "spawn": ({("spawn", 2): 1.95}, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_the_code_runs_as_it_is_pasted_for_every_form_of_a_target(form: str, project: Path) -> None:
    """A spawned process imports the program, and must not find pools without a guard there."""
    case = case_of(form, project)
    code = {way: advised(case, *WAYS[way]).code for way in WAYS}
    assert [way for way in WAYS if "Executor(2" in code[way]] == [way for way in WAYS if way != "loop"]
    for ways in (["loop", "threads", "threads, own", "fork"], ["spawn"]):
        lines = [] if case.items else ["items = [1, 2]"]
        for way in ways:
            lines += [code[way], "if __name__ == '__main__':", "    print(results)"]
        (project / "program.py").write_text("\n".join(lines))
        done = subprocess.run([sys.executable, "program.py"], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + "\n".join(lines)
        assert [ast.literal_eval(line) for line in done.stdout.splitlines()] == [FORMS[form][1]] * len(ways)


THREADS: own_code.Gains = {("thread", 2): 1.95}


def test_threads_of_which_each_has_its_argument_make_it_themselves(project: Path) -> None:
    argument = case_of("argument", project)
    assert "own = threading.local()" in advised(argument, THREADS, own=True).code
    assert "\nargument = make()\n" in advised(argument, THREADS).code
    assert "functools.partial(function, n=3)" in advised(case_of("parameter_and_item", project), THREADS).code
    for form, what in {"argument": "an argument", "Plain.time_it": "an object", "statement": "a setup"}.items():
        advice = advised(case_of(form, project), THREADS, own=True)
        assert f"take 2 threads, each with {what} of its own:" in advice.sentence
        assert "own = threading.local()" in advice.code
        assert "own = threading.local()" not in advised(case_of(form, project), THREADS).code


def test_an_argument_that_travels_with_each_item_is_made_once(project: Path) -> None:
    case = case_of("argument_and_item, listed", project)
    for gains in (THREADS, {("fork", 2): 1.95}):
        code = advised(case, gains).code
        assert "pool.map(functools.partial(function, make()), items)" in code
        assert "\nitems = files()\n" in code


def test_the_names_of_a_statement_are_known_on_every_python() -> None:
    names = {symbol.get_name() for symbol in _symbols("def statement():\n    n += 1\n")}
    assert names == {"n"}
