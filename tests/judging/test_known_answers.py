"""The corpus: its documents, and how what the lab says is marked."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab.cell.claims.estimates import Estimate
from lab.cell.targets.case import Case
from lab.cell.targets.causes import all_causes
from lab.cell.targets.choice import Option
from lab.errors import UsageError
from lab.judging.advice import Advice
from lab.judging.known_answers import BUILDS, SIZES, Answer, KnownFunction, Mark, corpus_of, count, mark
from lab.model.session import Judgement, Verdict
from lab.running.known_functions import STANDARD, load

FOLDERS = (STANDARD, Path(__file__).resolve().parents[2] / "benchmarks" / "corpus")


def functions() -> list[Any]:
    return [
        pytest.param(folder, each, id=f"{folder.parent.name}-{each.name}")
        for folder in FOLDERS
        for each in load(folder).functions
    ]


def test_the_corpus_has_functions_of_every_kind() -> None:
    every = [function for folder in FOLDERS for function in load(folder).functions]
    assert len({function.name for function in every}) == len(every) >= 24
    causes = {cause for function in every for answer in function.answers for cause in answer.found}
    assert causes >= {
        "contention",
        "gil-switched-on",
        "holds-gil",
        "own-threads",
        "pickling",
        "short",
        "varies",
        "waits",
    }


@pytest.mark.parametrize(("folder", "function"), functions())
def test_a_function_of_the_corpus_is_there_and_has_an_answer_for_every_cell(
    folder: Path, function: KnownFunction
) -> None:
    file, _, name = function.target.partition(":")
    assert function.source
    assert all(function.answer(build, cpus) for build in BUILDS for cpus in SIZES)
    if file == "ftscalingbench.py":  # fetched
        return
    names = {node.name for node in ast.parse((folder / file).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert {name, function.setup or name} <= names


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "KeyError: 'function'"),
        ('[[function]]\ntarget="a.py:f"\nsource="s"\nkind="k"', "'k'"),
        ('[[function]]\ntarget="a.py:f"\nsource="s"\nanswers=[{executors=["rocket"], workers=1}]', "executors rocket"),
        (
            '[[function]]\ntarget="a.py:f"\nsource="s"\nanswers=[{executors=["none"], workers=1, found=["x"]}]',
            "causes x",
        ),
        ('[[function]]\ntarget="a.py:f"\nsource="s"\nanswers=[{executors=["none"], worker=1}]', "worker"),
    ],
)
def test_a_document_without_valid_form_is_refused(document: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        corpus_of("folder", tomllib.loads(document))


def said(executor: str | None, workers: int = 2) -> Advice:
    option = None if executor is None else Option(name="x", executor=executor, workers=workers, own=False)
    case = Case(label="work.py:f", source="file", where="work.py", name="f")
    gain = Estimate(2.0, 1.9, 2.1, 9)
    return Advice(case=case, cell="cpu2", option=option, speed_up=gain, sentence="Advice: so and so.")


def judged(**verdicts: Verdict) -> list[Judgement]:
    return [
        Judgement(
            claim=f"scale:work.py:f.{name.replace('_', '-')}",
            statement="",
            cell="cpu2",
            verdict=verdict,
            expected=None,
            reason="it did",
        )
        for name, verdict in verdicts.items()
    ]


@pytest.mark.parametrize(
    ("executor", "workers", "right"),
    [
        ("fork", 2, True),
        ("spawn", 2, True),  # which start method is open
        ("interpreter", 2, True),
        ("thread", 2, False),
        ("fork", 4, False),
        ("", 1, False),
        (None, 0, None),
    ],
)
def test_advice_is_right_where_executor_and_number_are(executor: str | None, workers: int, right: bool | None) -> None:
    answer = Answer(executors=("process", "interpreter"), workers=2)
    marked = mark(answer, said(executor, workers), [], 2)
    assert marked.right is right
    assert len(marked.faults) == (right is False)


def test_a_plain_loop_may_be_one_of_several_right_answers() -> None:
    answer = Answer(executors=("thread", "none"), workers=2)
    assert mark(answer, said("", 1), [], 2).right
    assert mark(answer, said("thread", 2), [], 2).right
    assert mark(answer, said("thread", 1), [], 2).right is False


def test_causes_are_found_missed_unsure_or_invented() -> None:
    answer = Answer(executors=("none",), workers=1, found=("waits", "short", "varies"), possible=("memory",))
    verdicts = judged(
        waits=Verdict.CONFIRMED,
        short=Verdict.REFUTED,
        varies=Verdict.INCONCLUSIVE,
        memory=Verdict.CONFIRMED,
        quota=Verdict.CONFIRMED,
        holds_gil=Verdict.INCONCLUSIVE,
    )
    marked = mark(answer, said("", 1), verdicts, 2)
    assert marked == Mark(
        right=True,
        found=("waits",),
        missed=("short",),
        unsure=("varies",),
        invented=("quota",),
        faults=("quota is not there: it did", "short is there, but was excluded: it did"),
    )
    assert marked.wrong == 2
    assert count([marked, Mark(right=None), Mark(right=False)]).columns == (1, 1, 1, 1, 1, 1, 1)


def test_a_cause_that_takes_more_cpus_is_not_due_on_one() -> None:
    assert all_causes()["holds-gil"].least_cpus == 2
    answer = Answer(executors=("none",), workers=1, found=("holds-gil",))
    assert mark(answer, said("", 1), judged(holds_gil=Verdict.UNTESTABLE), 1) == Mark(right=True)
