"""What every experiment has to be, whichever there are: one file, the standard library only, Python 3.9's syntax."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from lab.cell import experiments
from lab.model.session import Verdict
from tests.support import cells
from tests.support.paths import TESTS

PACKAGE = Path(lab.__file__).parent

#: What the textbook's page of claims lists; an experiment may judge more.
TEXTBOOK = {
    "process": ("concurrent", "own-pid", "join-waits"),
    "pool": ("default-size", "explicit-size", "waves", "close-refuses", "join-waits", "errors-surface"),
    "queue": ("delivers", "lock-excludes", "reader-needs-terminate"),
    "pipe": ("duplex",),
    "manager": ("plain-queue-fails", "queue-works", "needed"),
    "threads": ("current", "main", "low-level"),
    "race": ("unlocked-loses", "lock-keeps"),
    "gil": ("one-core", "no-speedup", "processes-scale", "always-one-core", "waiting-overlaps"),
    "switching": ("hundred-bytecodes", "interval"),
}

#: Everything that is shipped into a cell.
SHIPPED = sorted((PACKAGE / "cell").rglob("*.py"))

every_experiment = pytest.mark.parametrize("name", experiments.names())


def test_shipped_code_is_python_3_9_and_imports_the_standard_library_and_its_own_kind_only() -> None:
    assert SHIPPED
    for path in SHIPPED:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=9)
        for module in imported(tree):
            top = module.partition(".")[0]
            assert top in sys.stdlib_module_names or f"{module}.".startswith("lab.cell."), f"{path}: {module}"
        # The 3.9 grammar takes "int | None" for an expression, so annotations must never be evaluated.
        if any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) for node in inside_annotations(tree)):
            assert "annotations" in {name for _, name in imported_names(tree)}, path


def test_the_image_of_the_cells_has_all_of_it() -> None:
    lines = (PACKAGE.parent / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert "COPY lab/cell lab/cell" in lines


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, at any place in it."""
    for module, name in imported_names(tree):
        yield f"{module}.{name}" if module == "lab" else module or name


def imported_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (("", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield from ((node.module or "", alias.name) for alias in node.names)


def inside_annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if annotation is not None:
                yield from ast.walk(annotation)


def test_the_oldest_python_that_a_cell_may_have_loads_every_experiment() -> None:
    if "Python 3.9" not in pythons():
        pytest.skip("there is no Python 3.9 here")
    source = "from lab.cell.experiments import load, names\nprint(*(load(name).name for name in names()))"
    words = [pythons()["Python 3.9"], "-B", "-c", source]
    done = subprocess.run(words, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == experiments.names()


@every_experiment
def test_an_experiment_says_what_it_is(name: str) -> None:
    experiment = experiments.load(name)
    assert experiment.name == name
    assert experiment.claims
    for text in (experiment.summary, experiment.method, experiment.watch):
        assert text == text.strip() != ""
    assert "\n" not in experiment.summary
    assert len(experiment.summary) <= 100
    assert experiment.method.endswith(".")
    assert experiment.watch.endswith(".")
    assert experiment.typical_seconds is None or 0 < experiment.typical_seconds < 60


@every_experiment
def test_claims_are_named_for_their_experiment_and_stated(name: str) -> None:
    for claim in experiments.load(name).claims:
        assert claim.id.startswith(name + ".")
        assert claim.statement.strip()
        assert claim.least_cpus >= 1


@every_experiment
def test_every_claim_says_how_its_expectation_is_known(name: str) -> None:
    """A measurement, or a document: an address, a PEP, a file of CPython's, a manual page."""
    known = re.compile(r"measured on 3\.|https://|PEP \d+|Lib/|Python/|man \d ")
    for claim in experiments.load(name).claims:
        assert known.search(claim.source), claim.id
        assert len(claim.source) <= 160, "it travels into every cell"


def test_no_two_claims_share_a_name() -> None:
    ids = [claim.id for name in experiments.names() for claim in experiments.load(name).claims]
    assert len(ids) == len(set(ids))


def test_every_claim_of_the_textbook_is_judged() -> None:
    ids = {claim.id for name in experiments.names() for claim in experiments.load(name).claims}
    assert {f"{name}.{claim}" for name, claims in TEXTBOOK.items() for claim in claims} <= ids


def pythons() -> dict[str, str]:
    """The interpreters to try: this one, and the oldest that a cell may have, where it is at hand."""
    oldest = cells.interpreter("3.9")
    return {"this Python": sys.executable} | ({"Python 3.9": oldest} if oldest else {})


def run_there(python: str) -> list[str]:
    """What to run on it: everything, but on the second Python nothing that takes as long as it is given."""
    named = experiments.in_order()
    return [name for name in named if python == "this Python" or experiments.load(name).typical_seconds is not None]


#: Of a machine with one CPU these are the same.
SIZES = {"1 CPU": cells.CPUS[:1]} | ({"all CPUs": cells.CPUS} if len(cells.CPUS) > 1 else {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("python", "size"),
    [
        pytest.param(python, size, id=f"on {python} with {size}")
        for python in pythons()
        for size in (SIZES if python == "this Python" else ["1 CPU"])
    ],
)
def test_every_experiment_runs_and_every_claim_is_judged(python: str, size: str, tmp_path: Path) -> None:
    """In one cell. Noise may leave claims undecided, so that other tests may run beside it."""
    names, cpus = run_there(python), SIZES[size]
    work = cells.job(names, pin=list(cpus), cpus=len(cpus), deadline_seconds=60)
    cell = cells.run(work, tmp_path, interpreter=pythons()[python])
    assert cell.reader.faults == []
    for name in names:
        assert cell.data("finish", name)["outcome"] == "ok", f"{name}: {cell.data('finish', name)['reason']}"
        lacking = {claim.id for claim in experiments.load(name).claims if claim.least_cpus > len(cpus)}
        judgements = cell.judgements(name, cpus)
        assert len(judgements) == len(experiments.load(name).claims), name
        for judgement in judgements:
            assert judgement.verdict is not Verdict.ERROR, f"{judgement.claim}: {judgement.reason}"
            assert judgement.reason, judgement.claim
            if judgement.claim in lacking:
                assert judgement.verdict is Verdict.UNTESTABLE, judgement.claim
        events = [record for record in cell.records if record.kind == "event" and record.data["experiment"] == name]
        assert events, name


NEW = '''\
"""An experiment that a newcomer has dropped into the folder."""

from lab.cell.claims.claim import CONFIRMED, Claim, Experiment, always, holds


def run(recorder):
    recorder.observe("sum", 1 + 1 == 2)
    recorder.tell("one and one were added")


EXPERIMENT = Experiment(
    name="addition",
    summary="Addition: one and one",
    method="Adds them.",
    watch="The sum.",
    run=run,
    claims=(Claim("addition.two", "one and one is two", holds("sum", "it is", "it is not"), always(CONFIRMED)),),
)
'''

TRY_IT = """\
import sys
from pathlib import Path
from tests.support import cells
from lab.cell import experiments

assert "addition" in experiments.names()
ran = cells.run(cells.job(["addition"]), Path(sys.argv[1]))
(judgement,) = ran.judgements("addition", cells.CPUS)
print(ran.reader.faults, judgement.claim, judgement.verdict, judgement.expected, judgement.reason)
"""


def test_a_new_experiment_is_one_file(tmp_path: Path) -> None:
    for package in (PACKAGE, TESTS):
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lab" / "cell" / "experiments" / "addition.py").write_text(NEW, encoding="utf-8")

    def python(*words: str) -> str:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    listed = python("-m", "lab", "list")
    assert "addition: Addition: one and one" in listed
    assert "addition.two: one and one is two" in listed
    assert python("-c", TRY_IT, str(tmp_path)) == "[] addition.two confirmed confirmed it is\n"
