"""``lab cpus --for NAME``, ``--format env|value`` and ``--require``, and the one file of ``--zipapp``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cell.cpus.delivered import Delivered, Explanation
from lab.cell.cpus.worker_rules import RUNTIMES, TOOLS, Rule, workers
from lab.commands import cpus
from lab.commands._cpus_view import View
from tests.cell.experiments.test_contract import PACKAGE, pythons
from tests.commands.test_cpus import QUOTA
from tests.support.terminal import Lab

# How others round.

RULES = {rule.name: rule for rule in (*RUNTIMES, *TOOLS)}


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("JVM", (1, 2, 3, 4)),
        (".NET", (1, 2, 3, 4)),
        ("loky, joblib", (1, 2, 3, 4)),
        ("Go 1.25", (2, 2, 3, 4)),
        ("Rust", (1, 1, 2, 4)),
        ("Node.js", (1, 1, 2, 4)),
        ("automaxprocs", (1, 1, 2, 4)),
        ("nproc 9.8", (1, 2, 2, 4)),
        ("gunicorn", (3, 5, 7, 9)),
        ("uvicorn", (1, 2, 3, 4)),
        ("celery", (1, 2, 3, 4)),
        ("pytest-xdist", (1, 2, 3, 4)),
        ("OMP_NUM_THREADS", (1, 2, 3, 4)),
    ],
)
def test_with_half_of_one_of_one_and_of_two_and_four_cpus_others_start(runtime: str, expected: tuple[int, ...]) -> None:
    assert tuple(workers(RULES[runtime], 4, rate) for rate in (0.5, 1.5, 2.4, 4.0)) == expected


def test_no_other_goes_beyond_the_mask() -> None:
    assert {workers(rule, 1, 0.5) for rule in RUNTIMES} == {1}


# What a program is to be given.

#: A machine with two CPUs and a quota of 1.5.
QUOTA_FILES = {
    "proc/self/status": "Cpus_allowed_list:\t0-1\n",
    "sys/devices/system/cpu/online": "0-1\n",
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
    "sys/fs/cgroup/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu\n",
}


@pytest.fixture
def quota(tmp_path: Path) -> tuple[str, str]:
    """The options that make ``lab cpus`` read the files of a container with a quota of 1.5."""
    for name, text in QUOTA_FILES.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    return "--root", str(tmp_path / "root")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--format", "value"], "2\n", id="a number for a pool"),
        pytest.param(["--format", "value", "--for", "Gunicorn"], "5\n", id="gunicorn"),
        pytest.param(["--format", "value", "--for", "rust"], "1\n", id="a runtime, without its version"),
        pytest.param(["--format", "env", "--for", "joblib"], "LOKY_MAX_CPU_COUNT=2\n", id="one of two names"),
        pytest.param(
            ["--format", "env", "--for", "gunicorn", "--for", "OMP_NUM_THREADS"],
            "WEB_CONCURRENCY=5\nOMP_NUM_THREADS=2\n",
            id="two variables",
        ),
    ],
)
def test_a_shell_gets(lab: Lab, quota: tuple[str, str], words: list[str], expected: str) -> None:
    assert lab("cpus", *quota, *words) == (0, expected, "")


def test_all_variables_but_one_that_tools_disagree_on(lab: Lab, quota: tuple[str, str]) -> None:
    code, out, err = lab("cpus", *quota, "--format", "env")
    assert code == 0
    assert {line.partition("=")[0] for line in out.splitlines()} == {
        "CELERY_WORKER_CONCURRENCY",
        "PYTEST_XDIST_AUTO_NUM_WORKERS",
        "OMP_NUM_THREADS",
        "LOKY_MAX_CPU_COUNT",
    }
    assert "WEB_CONCURRENCY is left out, since tools want different numbers: 5 for gunicorn, 2 for uvicorn" in err
    assert "GOMAXPROCS is left out" in err


def test_a_shell_evaluates_the_lines(quota: tuple[str, str]) -> None:
    script = f'eval "$({sys.executable} -m lab cpus {" ".join(quota)} --format env)"; echo "$OMP_NUM_THREADS"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


@pytest.mark.parametrize("rule", [*TOOLS, *RUNTIMES], ids=lambda rule: rule.name)
def test_every_tool_is_answered_with_its_rule_and_its_source(lab: Lab, quota: tuple[str, str], rule: Rule) -> None:
    for name in rule.names:
        code, out, err = lab("cpus", *quota, "--for", name)
        assert (code, err) == (0, "")
        assert out.startswith("R is 1.5\n")
        for text in (rule.words, rule.source, rule.variable):
            assert text.replace(" ", "") in "".join(out.split())


def test_a_wide_table_has_the_source_of_every_rule_in_its_row(lab: Lab, quota: tuple[str, str]) -> None:
    code, out, _ = lab("cpus", *quota, "--format", "wide")
    assert code == 0
    for rule in (*TOOLS, *RUNTIMES):
        assert rule.source.startswith("https://")
        [row] = [line for line in out.splitlines() if line.startswith(f"{rule.name} ") and line.endswith(rule.source)]
        assert rule.words in row


def test_the_document_has_the_tools(lab: Lab, quota: tuple[str, str]) -> None:
    _, out, _ = lab("cpus", *quota, "--format", "json")
    assert {tool["name"]: tool["workers"] for tool in json.loads(out)["tools"]} == {
        "gunicorn": 5,
        "uvicorn": 2,
        "celery": 2,
        "pytest-xdist": 2,
        "OMP_NUM_THREADS": 2,
    }
    runtimes = {rule["name"]: rule for rule in json.loads(out)["runtimes"]}
    assert {name: rule["workers"] for name, rule in runtimes.items()} == json.loads(out)["others_round"]
    assert {name: rule["source"] for name, rule in runtimes.items()} == {rule.name: rule.source for rule in RUNTIMES}
    _, out, _ = lab("cpus", *quota, "--format", "json", "--for", "celery")
    assert [tool["variable"] for tool in json.loads(out)["tools"]] == ["CELERY_WORKER_CONCURRENCY"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        pytest.param(["--for", "gunnicorn"], "did you mean gunicorn?", id="a misspelt tool"),
        pytest.param(["--for", "nothing-like-it"], "Known are gunicorn, ", id="an unknown tool"),
        pytest.param(["--for", "rust", "--format", "env"], "Rust reads no environment variable", id="no variable"),
        pytest.param(["--for", "jvm", "--format", "env"], "-XX:ActiveProcessorCount", id="an option instead"),
        pytest.param(["--for", "go", "--for", "celery", "--format", "value"], "names 2", id="one number of two"),
        pytest.param(["--require", "0"], "give one above 0", id="nothing required"),
        pytest.param(["--require", "nan"], "give one above 0", id="no number required"),
    ],
)
def test_what_has_no_answer_is_refused(lab: Lab, words: list[str], what: str) -> None:
    code, out, err = lab("cpus", "--no-measure", *words)
    assert (code, out) == (2, "")
    assert what in err


@pytest.mark.parametrize(
    ("wanted", "code", "why"),
    [
        ("1.5", 0, ""),
        ("0.1", 0, ""),
        (
            "2",
            1,
            "exit code 1: R is 1.5, and --require asks for 2: a quota of 150000 of 100000 µs at ROOT/sys/fs/cgroup\n",
        ),
    ],
)
def test_a_container_with_less_than_is_required_fails(
    lab: Lab, quota: tuple[str, str], wanted: str, code: int, why: str
) -> None:
    assert lab("cpus", *quota, "--format", "value", "--require", wanted) == (code, "2\n", why.replace("ROOT", quota[1]))


def test_fewer_cpus_in_the_mask_are_the_reason(lab: Lab) -> None:
    code, _, err = lab("cpus", "--no-measure", "--require", "5000", "--format", "value")
    assert code == 1
    assert "and --require asks for 5000: CPU" in err


@pytest.mark.parametrize(("delivered_cpus", "number"), [(1.02, 3), (0.6, 3), (1.4, 5), (1.96, 5)])
def test_a_proven_hidden_limit_counts_instead_of_the_quota(delivered_cpus: float, number: int) -> None:
    measured = Delivered(cpus=delivered_cpus, processes=4, seconds=0.5, watched=4)
    view = View(QUOTA._replace(rate=4.0, limits=()), measured, Explanation("hidden", hidden_limit=True))
    assert view.number(RULES["gunicorn"]) == number
    code, why = cpus._missing(view, 2.0)
    assert (code, why[:5]) == ((1, "D is ") if number == 3 or delivered_cpus == 1.4 else (0, ""))


# In one file.


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "cpus.pyz"
    words = [sys.executable, "-m", "lab", "cpus", "--zipapp", str(path)]
    done = subprocess.run(words, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}: run it with python3 {path}, on Python 3.9 or later\n"
    return path


@pytest.mark.parametrize("version", sorted(pythons()))
def test_one_file_runs_without_the_lab(one_file: Path, version: str, tmp_path: Path) -> None:
    words = [pythons()[version], "-I", "-S", str(one_file), "--no-measure"]
    done = subprocess.run([*words, "--for", "gunicorn"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "WEB_CONCURRENCY" in done.stdout
    done = subprocess.run([*words, "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["python_believes"]["Pool()"] >= 1


def test_one_file_can_be_executed_and_is_always_the_same(one_file: Path, tmp_path: Path, lab: Lab) -> None:
    assert one_file.stat().st_mode & 0o111
    assert lab("cpus", "--zipapp", str(tmp_path / "again"))[0] == 0
    assert (tmp_path / "again").read_bytes() == one_file.read_bytes()
    done = subprocess.run([sys.executable, one_file, "--zipapp", "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "lab: --zipapp x was asked of the one file itself; copy that file\n")


def test_one_file_is_not_written_through_a_link(tmp_path: Path, lab: Lab) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("link", "missing/file", "."):
        code, out, err = lab("cpus", "--zipapp", str(tmp_path / name))
        assert (code, out) == (3, "")
        assert "could not be written" in err
    assert not (tmp_path / "target").exists()


#: A small Python, which lacks what the standard library makes optional.
SMALL = "import sys; [sys.modules.__setitem__(name, None) for name in ('select', 'zlib', 'ctypes', '_multiprocessing')]"


def small_python(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a path with these arguments."""
    source = f"{SMALL}; import runpy; sys.argv[:] = {words!r}; runpy.run_path({words[0]!r}, None, '__main__')"
    command = [sys.executable, "-I", "-S", "-c", source]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_small_python_runs_one_file(one_file: Path) -> None:
    done = small_python(str(one_file), "--no-measure")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Pool()                        -  cannot be started here: this Python has" in done.stdout


@pytest.mark.measures
def test_a_small_python_measures_d(one_file: Path) -> None:
    done = small_python(str(one_file), "--seconds", "0.1", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["delivered_cpus"] > 0
