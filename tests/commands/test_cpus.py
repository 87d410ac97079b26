"""``lab cpus``: what it prints, on which Pythons it runs, and what D tells of a limit that no file shows."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import cli, commands
from lab.cell.cpus import delivered
from lab.cell.cpus.delivered import Delivered, Explanation, explain
from lab.cell.cpus.effective import EffectiveCpus, Quota
from lab.commands import cpus
from lab.commands._cpus_view import View
from tests.cell.cpus.test_field_cases import FIELD, unpacked
from tests.cell.experiments.test_contract import PACKAGE, imported, inside_annotations, pythons
from tests.support.terminal import Lab

#: Everything that runs on Python 3.9 outside of a cell: the door of the house, and ``lab cpus``.
ON_OLD_PYTHONS = [
    *sorted(PACKAGE.glob("*.py")),
    PACKAGE / "commands" / "__init__.py",
    *(PACKAGE / "commands" / f"{name}.py" for name in (*commands.ANYWHERE, "_cpus_report", "_cpus_view")),
]


# What it prints.


@pytest.mark.measures
def test_it_prints_every_number_within_eighty_columns(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = lab("cpus", "--seconds", "0.1")
    assert (code, err) == (0, "")
    for words in ("parallelism", "rate", "delivered", "for throughput", "for tail latency", "Pool()", "Go 1.25"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("columns", [32, 40, 60, 80])
def test_it_fits_a_narrow_terminal(lab: Lab, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = lab("cpus", "--no-measure")
    assert max(map(len, out.splitlines())) <= columns


def test_its_json_says_the_same(lab: Lab) -> None:
    code, out, _ = lab("cpus", "--format", "json", "--no-measure")
    document = json.loads(out)
    assert code == 0
    assert document["parallelism_cpus"] == len(os.sched_getaffinity(0))
    assert document["delivered_cpus"] is None
    assert document["advice"]["basis"] == "R"
    assert document["python_believes"]["len(os.sched_getaffinity(0))"] == document["parallelism_cpus"]
    assert document["python_believes"]["Pool()"] >= 1
    assert document["python_believes"]["ThreadPoolExecutor()"] == min(32, (os.cpu_count() or 1) + 4)


def test_it_reads_the_files_of_another_root_and_measures_nothing_there(lab: Lab, tmp_path: Path) -> None:
    field = FIELD / "06-two-mounts-one-unreachable.txt"
    for root in (field, Path(unpacked("06", tmp_path))):
        code, out, _ = lab("cpus", "--root", str(root), "--format", "json")
        document = json.loads(out)
        names = ("parallelism_cpus", "rate_cpus", "delivered_cpus", "python_believes")
        assert (code, [document[name] for name in names]) == (0, [8, 2.0, None, None])
    _, out, _ = lab("cpus", "--root", str(field))
    assert "not measured" in out
    assert "What Python believes" not in out


@pytest.mark.parametrize(
    ("name", "what"),
    [
        pytest.param("missing", "does not exist", id="missing"),
        pytest.param("text", "no line that begins with '@@ '", id="another file"),
        pytest.param("empty", "has neither sys nor proc in it", id="an empty folder"),
        pytest.param("fifo", "is neither a folder nor a file", id="a FIFO"),
    ],
)
def test_what_is_no_root_is_refused(lab: Lab, tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "text").write_text("a text\n")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo")
    code, out, err = lab("cpus", "--root", str(tmp_path / name))
    assert (code, out) == (2, "")
    assert what in err
    assert "a file that lab doctor --capture wrote" in err


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan"])
def test_a_time_that_cannot_be_measured_is_refused(lab: Lab, seconds: str) -> None:
    code, out, err = lab("cpus", "--seconds", seconds)
    assert (code, out) == (2, "")
    assert "give more than 0, and at most 60" in err


QUOTA = EffectiveCpus(parallelism=4, rate=1.5, cpus=(0, 1, 2, 3), limits=(Quota("/g", 150000, 100000),), cgroup=2)


@pytest.mark.parametrize(
    ("delivered_cpus", "explanation", "advice"),
    [
        pytest.param(None, Explanation(), ("R", 2, 1), id="not measured"),
        pytest.param(0.6, Explanation("busy"), ("R", 2, 1), id="a busy machine changes nothing"),
        pytest.param(0.6, Explanation("limit", hidden_limit=True), ("D", 1, 1), id="a hidden limit below one"),
        pytest.param(1.02, Explanation("limit", hidden_limit=True), ("D", 1, 1), id="one, measured a little above"),
        pytest.param(0.97, Explanation("limit", hidden_limit=True), ("D", 1, 1), id="one, measured a little below"),
        pytest.param(1.25, Explanation("limit", hidden_limit=True), ("D", 2, 1), id="one and a quarter"),
        pytest.param(1.96, Explanation("limit", hidden_limit=True), ("D", 2, 2), id="two, measured a little below"),
    ],
)
def test_the_advice_rests_on(
    delivered_cpus: float | None, explanation: Explanation, advice: tuple[str, int, int]
) -> None:
    measured = None if delivered_cpus is None else Delivered(cpus=delivered_cpus, processes=4, seconds=0.5, watched=4)
    assert View(QUOTA, measured, explanation).advice == advice


# What D tells.

HALF = Delivered(cpus=1.0, processes=2, seconds=0.5, watched=2)


@pytest.mark.parametrize(
    ("measured", "rate", "sentence", "hidden"),
    [
        pytest.param(HALF._replace(cpus=1.99), 2.0, "", False, id="all of it"),
        pytest.param(HALF._replace(cpus=1.81), 2.0, "", False, id="nearly all"),
        pytest.param(HALF._replace(cpus=0.5, idle=1.5, waited=1.5), 0.5, "", False, id="all of a quota"),
        pytest.param(HALF._replace(stopped=0.4, idle=1.0), 2.0, "hidden outside", True, id="stopped unseen"),
        pytest.param(HALF._replace(stopped=0.4, idle=0.1), 2.0, "may be above D", True, id="stopped, beside others"),
        pytest.param(
            HALF._replace(cpus=0.4, stopped=0.5, stopped_visibly=0.5, waited=1.6, idle=1.5),
            0.5,
            "a busy machine",
            False,
            id="stopped by what is visible",
        ),
        pytest.param(HALF._replace(idle=0.95, waited=1.0), 2.0, "hidden outside", True, id="idle CPUs, an old kernel"),
        pytest.param(
            HALF._replace(idle=0.95, waited=1.0, stopped=0.0), 2.0, "does not spread", True, id="idle, never stopped"
        ),
        pytest.param(HALF._replace(stolen=0.9, waited=0.9), 2.0, "hypervisor", False, id="stolen"),
        pytest.param(HALF._replace(idle=0.0, waited=1.0), 2.0, "a busy machine", False, id="neighbours"),
        pytest.param(HALF, 2.0, "or a busy machine", False, id="a system that tells nothing"),
        pytest.param(HALF._replace(cpus=0.9), 0.5, "more than R", False, id="more than the quota"),
    ],
)
def test_the_reason_of_d_is(measured: Delivered, rate: float, sentence: str, hidden: bool) -> None:
    explanation = explain(measured, rate)
    assert (sentence in explanation.sentence) if sentence else (explanation.sentence == "")
    assert explanation.hidden_limit is hidden
    outermost = explain(measured, rate, sees_all_groups=True)
    assert outermost.hidden_limit is measured.stopped_unseen
    assert ("hidden outside" in outermost.sentence) is measured.stopped_unseen


def children() -> set[str]:
    """The processes that this one has started and not yet waited for."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.mark.measures
def test_a_busy_process_gets_no_more_than_a_cpu_and_is_gone_afterwards() -> None:
    before = children()
    measured = delivered.measure(sorted(os.sched_getaffinity(0)), 1, 0.1)
    assert measured.processes == 1
    assert measured.seconds == pytest.approx(0.1)
    assert 0 < measured.cpus < 1.05
    assert children() <= before


@pytest.mark.measures
@pytest.mark.parametrize(
    ("seconds", "period", "window"),
    [(0.5, 0.0, 0.5), (0.01, 0.0, 0.1), (0.15, 0.0, 0.2), (0.1, 0.15, 0.15)],
)
def test_it_is_measured_for_whole_periods(seconds: float, period: float, window: float) -> None:
    assert delivered.measure([0], 1, seconds, period).seconds == pytest.approx(window)


@pytest.mark.parametrize(
    ("each", "settled"),
    [
        pytest.param([1.07, 0.74], 0.74, id="late processes met another part of the period"),
        pytest.param([1.2, 1.1, 1.15, 1.3, 1.2], 1.1, id="a quota with a burst"),
        pytest.param([0.4, 0.6, 0.5, 0.3, 0.4], 0.6, id="busy neighbours"),
        pytest.param([0.4, 0.72], 0.72, id="a neighbour that has ended"),
        pytest.param([0.75], 0.75, id="what is allowed"),
    ],
)
def test_d_is_measured_again_while_it_is_not_what_the_quota_allows(
    each: list[float], settled: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = iter(each)
    monkeypatch.setattr(delivered, "measure", lambda *_: Delivered(next(rest), processes=2, seconds=0.5, watched=2))
    assert delivered.settle([0, 1], 2, 0.75, 0.5, 1.0).cpus == settled
    assert not list(rest)


# On which Pythons it runs.


#: What ``lab`` loads only for a program that asks for ``lab.scale()``, which needs Python 3.11.
HANDED_ON = {"lab.running", "lab.running.scaling"}


@pytest.mark.parametrize("path", ON_OLD_PYTHONS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_runs_on_old_pythons_is_in_their_syntax_with_the_standard_library_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=9)
    doors = {f"lab.{path.stem}" for path in PACKAGE.glob("*.py")} | {"lab.__version__", "lab.commands", *HANDED_ON}
    doors |= {"lab.commands._cpus_report", "lab.commands._cpus_view"}
    for module in imported(tree):
        assert (
            module.partition(".")[0] in sys.stdlib_module_names
            or f"{module}.".startswith("lab.cell.")
            or module in doors
        ), f"it imports {module}"
    if any(isinstance(node, ast.BinOp) for node in inside_annotations(tree)):
        assert "from __future__ import annotations" in path.read_text(encoding="utf-8")


def old_python(*words: str) -> subprocess.CompletedProcess[str]:
    if "Python 3.9" not in pythons():
        pytest.skip("there is no Python 3.9 here")
    command = [pythons()["Python 3.9"], "-B", "-S", *words]  # -S: without any package
    return subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)


def test_python_3_9_runs_it() -> None:
    done = old_python("-m", "lab", "cpus", "--no-measure", "--format", "json")
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["python"].startswith("3.9.")
    assert document["python_believes"]["os.process_cpu_count()"] is None


def test_python_3_9_has_the_library() -> None:
    done = old_python("-c", "import lab; print(lab.effective_cpus().parallelism)")
    assert (done.stderr, int(done.stdout)) == ("", len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("command", ["run", "list", "compose-env"])
def test_python_3_9_says_what_the_rest_needs(command: str) -> None:
    done = old_python("-m", "lab", command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "lab: the orchestrator needs Python 3.11 or later, this is 3.9; lab cpus and lab.effective_cpus() work here\n"
    )


def test_python_3_9_lists_every_command_and_what_it_needs() -> None:
    done = old_python("-m", "lab", "--help")
    assert done.returncode == 0
    assert "say how many CPUs there really are here" in done.stdout
    assert done.stdout.count("(needs Python 3.11 or later)") == len(cli._names()) - 1


def test_without_the_packages_the_orchestrator_says_which_and_cpus_runs() -> None:
    bare = [sys.executable, "-S", "-m", "lab"]
    done = subprocess.run([*bare, "run"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "needs the package" in done.stderr
    words = [*bare, "cpus", "--no-measure"]
    done = subprocess.run(words, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


#: What every command loads.
DOOR = {
    "lab",
    *(f"lab.{name}" for name in ("__main__", "cli", "commands", "errors", "interrupts", "messages", "system")),
}
#: What ``lab cpus`` needs to answer a program that asks for a number.
READING = {
    "lab.commands.cpus",
    "lab.commands._cpus_view",
    "lab.cell",
    "lab.cell.cpus",
    *(f"lab.cell.cpus.{name}" for name in ("affinity", "cgroups", "cpulist", "effective", "group_folders")),
    *(f"lab.cell.cpus.{name}" for name in ("kernel_files", "mounts", "rate", "worker_rules")),
}
#: The standard library that these may load, and what a parser and a formatter of help load by themselves.
LIGHT = "import __future__, argparse, contextlib, errno, gc, importlib, math, posixpath, signal, threading, typing"
PRINTING = "import textwrap; argparse.ArgumentParser(add_help=False).add_subparsers()"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--help"], DOOR, id="help"),
        pytest.param(["cpus", "--no-measure", "--for", "go", "--format", "value"], DOOR | READING, id="a number"),
    ],
)
def test_what_answers_at_once_loads_no_more_than_it_needs(words: list[str], expected: set[str]) -> None:
    source = "import sys, atexit; atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr)); {}"
    command = f"sys.argv[1:] = {words!r}; from lab.__main__ import run; run()"
    loaded = [
        subprocess.run([sys.executable, "-c", source.format(more)], capture_output=True, text=True, check=True)
        for more in (command, f"{LIGHT}; {PRINTING}")
    ]
    modules, usual = (set(done.stderr.split()) for done in loaded)
    assert modules - usual == expected


def test_the_help_line_of_every_command_is_read_as_it_is_written() -> None:
    for name, module in cli._names().items():
        assert cli._help_line(module) == importlib.import_module(f"lab.commands.{module}").HELP, name


# What does not wait for D.


def view(quota_cpus: float, *, sees_all_groups: bool = False) -> View:
    """What is read with two CPUs and a quota."""
    limits = (Quota("/g", quota_cpus * 100000, 100000),)
    return View(EffectiveCpus(2, min(2, quota_cpus), (0, 1), limits=limits, sees_all_groups=sees_all_groups))


@pytest.mark.parametrize(
    ("seen", "names", "required", "depends"),
    [
        pytest.param(view(2), ["gunicorn"], None, True, id="two CPUs could be one"),
        pytest.param(view(1), ["gunicorn", "celery"], None, False, id="one CPU cannot be less"),
        pytest.param(view(1.5), ["rust"], None, False, id="a rule that rounds down to one"),
        pytest.param(view(1.5), ["go"], None, False, id="a rule with a least number"),
        pytest.param(view(2), [], None, True, id="workers for throughput"),
        pytest.param(view(0.5), [], None, False, id="a single worker"),
        pytest.param(view(1), [], 0.5, True, id="what is required may not be delivered"),
        pytest.param(view(1), [], 1.5, False, id="what is required is not allowed"),
        pytest.param(view(2, sees_all_groups=True), ["gunicorn"], 2.0, False, id="nothing can be hidden"),
    ],
)
def test_a_number_waits_for_d_only_where_a_hidden_limit_could_change_it(
    seen: View, names: list[str], required: float | None, depends: bool
) -> None:
    assert cpus._depends_on_d(seen, cpus._chosen(names), required) is depends
