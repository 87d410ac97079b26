"""The code that advice ends with: it runs as it is pasted below a function, in every form that a function has."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.cell.targets.form import form_of
from lab.judging.advice import all_advice
from tests.support import own_code, scripts

#: What a function is measured with, what it is, and what comes of the items 1 and 2.
FORMS: dict[str, tuple[dict[str, Any], str, list[Any]]] = {
    "plain": ({}, "def function(item):\n    return item + 1", [2, 3]),
    "coroutine": ({}, "async def function(item):\n    await asyncio.sleep(0)\n    return item + 1", [2, 3]),
    "generator": ({}, "def function(item):\n    yield from range(item)", [[0], [0, 1]]),
    "asynchronous generator": ({}, "async def function(item):\n    for n in range(item): yield n", [[0], [0, 1]]),
    "argument": ({"setup": "make"}, "def function(made):\n    return list(made)", [[5], [5]]),
    "argument and item": ({"setup": "make"}, "def function(made, item):\n    return made[0] + item", [6, 7]),
    "factory of a module": ({"setup": "parts/made.py:Parts.make"}, "def function(one):\n    return one", ["part"] * 2),
    "parameter": ({"arguments": {"n": 3}}, "def function(n):\n    return n", [1, 2]),
    "parameter and item": ({"arguments": {"n": 3}}, "def function(item, n):\n    return item + n", [4, 5]),
    "parameter by its name": ({"arguments": {"n": 3}}, "def function(*, n):\n    return n", [3, 3]),
    "all of it": (
        {"setup": "make", "arguments": {"n": 3, "word": "a'b"}},
        "async def function(made, item, n, word):\n    return made[0] + item + n, word",
        [(9, "a'b"), (10, "a'b")],
    ),
}  # fmt: skip


def advised(form: str, gains: own_code.Gains, own: bool = False) -> str:
    """The code of the advice for a function of that form."""
    measured_with, source, _ = FORMS[form]
    case = own_code.BUSY._replace(**measured_with)
    names: dict[str, Any] = {}
    exec(source, names)
    messages = [scripts.observe("form", form_of(case, names["function"])._asdict()), *own_code.said(gains)]
    if own:
        text = "2 threads, own state"
        messages = [_renamed(kind, data, text) for kind, data in messages]
    (advice,) = all_advice(own_code.session(own_code.ran(2, (case, messages)), cases=[case]))
    return advice.code


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
@pytest.mark.parametrize("ways", [["loop", "threads", "threads, own", "fork"], ["spawn"]], ids=["here", "spawn"])
@pytest.mark.parametrize("form", FORMS)
def test_the_code_runs_below_a_function_of_every_form(form: str, ways: list[str], tmp_path: Path) -> None:
    """A spawned process imports the program, and must not find pools without a guard there."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "made.py").write_text("class Parts:\n    make = staticmethod(lambda: 'part')\n")
    lines = ["import asyncio", FORMS[form][1], "def make():", "    return [5]", "items = [1, 2]"]
    for way in ways:
        code = advised(form, *WAYS[way])
        assert ("Executor(2" in code) == (way != "loop")
        lines += [code, "if __name__ == '__main__':", "    print(results)"]
    (tmp_path / "program.py").write_text("\n".join(lines))
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [ast.literal_eval(line) for line in done.stdout.splitlines()] == [FORMS[form][2]] * len(ways)


def test_threads_of_which_each_has_its_argument_make_it_themselves() -> None:
    assert "own = threading.local()" in advised("argument", {("thread", 2): 1.95}, own=True)
    assert "\nargument = make()\n" in advised("argument", {("thread", 2): 1.95})
    assert "functools.partial(function, n=3)" in advised("parameter and item", {("thread", 2): 1.95})
