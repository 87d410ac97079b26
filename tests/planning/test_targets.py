"""Targets as the command line names them."""

from __future__ import annotations

import pytest

from lab.cell.targets.case import FILE, MODULE, STATEMENT
from lab.errors import UsageError
from lab.planning.request import SCALE_LEVELS, Request, from_arguments
from lab.planning.targets import Target, parse_params, parse_target
from tests.support.scripts import machine


@pytest.mark.parametrize(
    ("text", "source", "where", "name"),
    [
        ("package.module:function", MODULE, "package.module", "function"),
        ("module", MODULE, "module", ""),
        ("folder/file.py:function", FILE, "folder/file.py", "function"),
        ("file.py", FILE, "file.py", ""),
        ("file.py:Class.time_it", FILE, "file.py", "Class.time_it"),
    ],
)
def test_every_form_of_a_target(text: str, source: str, where: str, name: str) -> None:
    case = parse_target([text], "", "both", is_statement=False)
    assert (case.source, case.where, case.name, case.label) == (source, where, name, text)


def test_a_statement_is_named_by_its_first_line() -> None:
    case = parse_target(["a = 1", "b = 2"], "import x", "both", is_statement=True)
    assert (case.source, case.where, case.setup, case.label) == (STATEMENT, "a = 1\nb = 2", "import x", "a = 1 …")


@pytest.mark.parametrize("words", [[], ["a:b", "c:d"], ["1+1"], ["a:b c"], ["a..b:c"], [":f"]])
def test_what_is_no_target_is_refused_with_the_forms(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"package\.module:function"):
        parse_target(words, "", "both", is_statement=False)


def test_values_of_parameters_are_literals() -> None:
    assert parse_params(["n=1,10", "kind='a','b'", "pair=[1,2],[3]", "more=None,True,{'a':[0.5]}"]) == {
        "n": [1, 10],
        "kind": ["a", "b"],
        "pair": [[1, 2], [3]],
        "more": [None, True, {"a": [0.5]}],
    }


@pytest.mark.parametrize("texts", [["n"], ["=1"], ["n=abc"], ["n=1", "n=2"], ["n=f(1)"], ["n=1;2"]])
def test_what_is_no_literal_is_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="--param"):
        parse_params(texts)


@pytest.mark.parametrize("value", ["b'abc'", "{1,2}", "1j", "(2,3)", "[(2,3)]", "{1:2}", "1e999", "..."])
def test_a_literal_that_would_change_on_its_way_to_a_cell_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=r"--param n: a value of type \w+ changes on its way to a cell; take finite"):
        parse_params([f"n=1,{value}"])


def test_a_session_keeps_the_target_and_its_cases() -> None:
    case = parse_target(["file.py:function"], "", "both", is_statement=False)
    width = SCALE_LEVELS["default"][1]
    target = Target(case=case, params={"n": [1]}, project="/project")
    request = Request(experiments=(), seconds=7.0, width=width, target=target).with_cases([case], {})
    assert request.experiments == ("scale:file.py:function",)
    again = from_arguments(request.arguments(machine()))
    assert (again.target, again.cases, again.experiments, again.seconds) == (target, (case,), request.experiments, 7.0)
