"""``lab selftest``: controls whose truth is known, how their verdicts are counted, and a real run of them."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab import engines
from lab.cell.cpus import cpulist
from lab.cell.experiments import load
from lab.cell.experiments._internal.control import CONTROLS, NEIGHBOURS, arms_for
from lab.commands.selftest import report, report_of_functions
from lab.engines import Sink
from lab.engines.fake import Fake
from lab.errors import CellError, LabError
from lab.judging.known_answers import KnownFunction, Mark
from lab.model.cell import CellResult, Job, Outcome
from lab.model.session import Judgement, Verdict
from lab.running import known_functions
from lab.running.known_functions import Marked
from lab.running.selftest import Score, judge_controls, score
from lab.sessions import folder as store
from lab.sessions import loading
from tests.support import cells, scripts
from tests.support.scripts import Said
from tests.support.terminal import Lab

needs_two_cpus = pytest.mark.skipif(len(cells.CPUS) < 2, reason="the parallel controls take two CPUs")

#: What each arm of a round reaches on two cores of its own, where one process is 1.
TRUE_SPEED = {"one process": 1.0, "probe": 2.0, "parallel": 2.0, "serial": 0.9, "same": 1.0, "slower": 1 / 1.1}

#: The controls that compare several CPUs, and those that do not.
PARALLEL = [name for name, (*_, least) in CONTROLS.items() if least > 1]
SINGLE = [name for name, (*_, least) in CONTROLS.items() if least == 1]


def controls(neighbour: str, cpus: int = 2, **speed: float) -> dict[str, list[Said]]:
    """What the controls beside this neighbour say where all is as it is known to be; ``speed`` is what differs."""
    reached = {**TRUE_SPEED, **speed}
    blocks = {
        arm.name: {"rate": 1e4 * reached[arm.name], "cores": 1.0, "delay": 0.0, "lost": 0.0, "disturbed": None}
        for arm in arms_for(cpus)
    }
    return {f"_control-{neighbour}": [("sample", {"name": "round", "values": blocks})] * 10}


def ran(neighbour: str, size: int = 2, **differs: float) -> CellResult:
    """A cell in which the controls beside this neighbour were run."""
    return scripts.ran(size, controls(neighbour, size, **differs))


def judgement(verdict: Verdict, expected: Verdict | None = Verdict.CONFIRMED, name: str = "same-is-same") -> Judgement:
    return Judgement(
        claim=f"_control-idle.{name}", statement="", cell="idle0", verdict=verdict, expected=expected, reason="it did"
    )


# Counting.


@pytest.mark.parametrize(
    ("verdict", "expected", "counted"),
    [
        pytest.param(Verdict.CONFIRMED, Verdict.CONFIRMED, Score(right=1), id="rightly confirmed"),
        pytest.param(Verdict.REFUTED, Verdict.REFUTED, Score(right=1), id="rightly refuted"),
        pytest.param(Verdict.CONFIRMED, Verdict.REFUTED, Score(wrong=1), id="wrongly confirmed"),
        pytest.param(Verdict.REFUTED, Verdict.CONFIRMED, Score(wrong=1), id="wrongly refuted"),
        pytest.param(Verdict.INCONCLUSIVE, Verdict.REFUTED, Score(inconclusive=1), id="inconclusive"),
        pytest.param(Verdict.UNTESTABLE, Verdict.UNTESTABLE, Score(other=1), id="untestable"),
        pytest.param(Verdict.ERROR, Verdict.CONFIRMED, Score(other=1), id="an error"),
    ],
)
def test_a_verdict_counts_once(verdict: Verdict, expected: Verdict, counted: Score) -> None:
    assert score([judgement(verdict, expected)]) == counted


def test_verdicts_are_counted_together() -> None:
    several = [
        *[judgement(Verdict.CONFIRMED)] * 4,
        *[judgement(Verdict.REFUTED)] * 3,
        *[judgement(Verdict.INCONCLUSIVE)] * 2,
        judgement(Verdict.UNTESTABLE),
    ]
    assert score(several) == Score(right=4, wrong=3, inconclusive=2, other=1)
    assert score([]) == Score()


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_on_cores_of_its_own_every_control_is_judged_right(neighbour: str) -> None:
    judgements = judge_controls(neighbour, [ran(neighbour), ran(neighbour)])
    assert score(judgements) == Score(right=2 * len(CONTROLS))
    assert {judgement.claim for judgement in judgements} == {claim.id for claim in load(f"_control-{neighbour}").claims}
    assert all(judgement.expected == CONTROLS[judgement.claim.partition(".")[2]][3] for judgement in judgements)


def test_on_one_cpu_the_parallel_controls_are_untestable() -> None:
    judgements = judge_controls("idle", [ran("idle", 1)])
    assert score(judgements) == Score(right=len(SINGLE), other=len(PARALLEL))
    untestable = [
        judgement.claim.partition(".")[2] for judgement in judgements if judgement.verdict is Verdict.UNTESTABLE
    ]
    assert untestable == PARALLEL


# The report.


def test_the_report_counts_by_neighbour_and_claim_and_together() -> None:
    verdicts = {name: judge_controls(name, [ran(name), ran(name)]) for name in NEIGHBOURS}
    text = report(verdicts, scripts.TWO_CPUS, scripts.cell(2))
    lines = text.splitlines()
    assert lines[0] == "Selftest: claims whose truth is known, engine docker, 2 CPUs"
    assert lines[-1] == "No verdict was wrong."
    assert "Wrong:" not in text
    for neighbour in NEIGHBOURS:
        first = next(number for number, line in enumerate(lines) if line.startswith(neighbour))
        rows = [line.split() for line in lines[first : first + len(CONTROLS) + 1]]
        assert rows[0].pop(0) == neighbour  # named once
        assert rows == [
            *([name, truth, "2", "0", "0", "0"] for name, (*_, truth, _) in CONTROLS.items()),
            ["together", str(2 * len(CONTROLS)), "0", "0", "0"],
        ]


def test_the_report_lists_each_wrong_verdict_with_its_reason() -> None:
    verdicts = {
        "idle": judge_controls("idle", [ran("idle"), ran("idle", same=1.2)]),
        "half": judge_controls("half", [ran("half")]),
    }
    text = report(verdicts, scripts.TWO_CPUS, scripts.cell(2))
    assert "No verdict was wrong." not in text
    table, _, wrong = text.partition("\nWrong:\n")
    text = " ".join(wrong.split())
    assert text == "- _control-idle.same-is-same: refuted, but confirmed is true: it reached 1.200 of the first"
    assert re.search(r"same-is-same +confirmed +1 +1 +0 +0\n", table)
    assert re.search(r"together +13 +1 +0 +0\n", table)


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.UNTESTABLE], ids=str)
def test_what_was_not_decided_is_not_wrong(verdict: Verdict) -> None:
    text = report({"idle": [judgement(verdict)]}, scripts.TWO_CPUS, scripts.cell(1))
    assert text.endswith("\nNo verdict was wrong.")


def test_a_claim_of_which_nothing_is_known_has_no_truth() -> None:
    text = report({"idle": [judgement(Verdict.CONFIRMED, None)]}, scripts.TWO_CPUS, scripts.cell(1))
    assert re.search(r"idle +same-is-same +- +1 +0 +0 +0\n", text)


# The command, with the fake engine.

Play = Callable[[Job, Sink], Outcome]


def plays(monkeypatch: pytest.MonkeyPatch, script: Play | LabError, cpus: int = 2) -> Fake:
    """The docker engine plays this script in every cell."""
    ids = [f"{neighbour}{number}" for neighbour in NEIGHBOURS for number in range(9)]
    fake = Fake(machine=scripts.machine(cpus), cells=dict.fromkeys(ids, script))
    monkeypatch.setattr(engines, "make", lambda name, **_: fake)
    return fake


def playing(**differs: float) -> Play:
    """A cell in which the controls come out as they are known to, but for this."""

    def play(job: Job, sink: Sink) -> Outcome:
        (name,) = job.experiments
        script = controls(name.removeprefix("_control-"), job.cell.size, **differs)
        sink(scripts.stream(job.cell.id, job.cell.cpus, script))
        return Outcome(exit_code=0, outside={"cpuset": cpulist.render(job.cell.cpus), "warnings": []})

    return play


@pytest.fixture
def selftest(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """``lab selftest`` with these arguments; its sessions are kept in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return lambda *arguments: lab("selftest", *arguments)


def test_every_neighbour_gets_so_many_cells_in_turn(
    selftest: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = plays(monkeypatch, playing(), cpus=4)
    code, out, err = selftest("--cells", "2", "--cpus", "3", "--time-limit", "4")
    assert code == 0
    assert out.endswith("\nNo verdict was wrong.\n")
    assert "6 of 6: neighbour full" in err
    assert [job.cell.id for job in fake.jobs] == ["idle0", "half0", "full0", "idle1", "half1", "full1"]
    assert {(job.cell.cpus, job.seconds) for job in fake.jobs} == {((0, 1, 2), 4.0)}
    (folder,) = (tmp_path / "multicore-lab" / "selftests").iterdir()
    assert not loading.folders(store.default_folder()), "it is no session to report or to resume"
    assert sorted(path.name for path in folder.iterdir()) == [
        "cell.zip",
        "cells.log",
        *sorted(f"{job.cell.id}.jsonl" for job in fake.jobs),
        "session.json",
    ]
    assert fake.closed


def test_a_wrong_verdict_exits_with_1(
    selftest: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plays(monkeypatch, playing(serial=1.8))
    code, out, _ = selftest("--cells", "1")
    assert code == 1
    assert out.count("- _control-") == 2 * len(NEIGHBOURS)
    text = " ".join(out.split())
    assert "- _control-half.serial-stays: refuted, but confirmed is true: processes that take turns reached" in text


def test_a_cell_that_breaks_is_told_and_exits_with_3(
    selftest: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = plays(monkeypatch, playing())
    fake.cells = {**fake.cells, "half0": CellError("no room for it")}
    code, out, err = selftest("--cells", "1")
    assert code == 3
    assert "cell 2: error: no room for it" in err
    assert re.search(r"full +parallel-delivers +confirmed +1 +0 +0 +0\n", out)


def test_an_interruption_counts_what_was_measured_and_exits_with_130(
    selftest: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = plays(monkeypatch, playing())
    fake.cells = {**fake.cells, "half0": scripts.ctrl_c}
    code, out, err = selftest("--cells", "2")
    assert code == 130
    assert [job.cell.id for job in fake.jobs] == ["idle0", "half0"]
    assert re.search(r"idle +parallel-delivers +confirmed +1 +0 +0 +0\n", out)
    assert "error" not in err
    assert fake.closed


def test_on_a_machine_with_one_cpu_its_cells_have_one(
    selftest: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = plays(monkeypatch, playing(), cpus=1)
    assert selftest("--cells", "1")[0] == 0
    assert {job.cell.cpus for job in fake.jobs} == {(0,)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--cells", "0"), ("--cells 0", "above 0"), id="no cell"),
        pytest.param(("--cells=-1",), ("--cells -1", "above 0"), id="less than no cell"),
        pytest.param(("--cpus", "0"), ("--cpus 0", "2 CPUs", "from 1 to 2"), id="no CPU"),
        pytest.param(("--cpus=-1",), ("--cpus -1", "from 1 to 2"), id="less than no CPU"),
        pytest.param(("--cpus", "3"), ("--cpus 3", "2 CPUs", "from 1 to 2"), id="more CPUs than there are"),
        pytest.param(("--time-limit", "0"), ("--time-limit 0", "above 0"), id="no time"),
        pytest.param(("--time-limit", "nan"), ("--time-limit nan", "above 0"), id="not a number"),
        pytest.param(("--engine", "local", "--image", "x"), ("--image",), id="an image without an engine"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2_before_anything_is_run(
    selftest: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: Sequence[str],
) -> None:
    fake = plays(monkeypatch, playing())
    code, out, err = selftest(*arguments)
    *progress, complaint = err.splitlines()
    assert (code, out) == (2, "")
    assert complaint.startswith("lab: ")
    assert all(word in complaint for word in words)
    assert all(line.startswith("engine: docker") for line in progress)
    assert fake.jobs == []


# For real.


def really(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``lab selftest`` on the local engine with little time; checks that it leaves no process and no file behind."""
    mark = f"MULTICORE_LAB_TEST_{uuid.uuid4().hex}"
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "lab", "selftest", "--engine", "local", "--cells", "1", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "XDG_STATE_HOME": str(folder), "TMPDIR": str(temporary), mark: "1"},
    )
    assert cells.still_living(mark) == []
    assert list(temporary.iterdir()) == []
    return done


def rows(text: str) -> list[list[str]]:
    """The cells of the table's body, the neighbour in every row."""
    table: list[list[str]] = []
    for line in text.partition("\n---")[2].partition("\n\n")[0].splitlines()[1:]:
        words = line.split()
        table.append(words if words[0] in NEIGHBOURS else [table[-1][0], *words])
    return table


@pytest.mark.measures
@needs_two_cpus
def test_beside_real_neighbours_no_verdict_is_wrong(tmp_path: Path) -> None:
    done = really(tmp_path / "once", "--time-limit", "1.5")
    if done.returncode == 1:  # one interval of twenty misses the truth: it may happen once, but not twice
        done = really(tmp_path / "twice", "--time-limit", "1.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nNo verdict was wrong.\n")
    assert [row[:2] for row in rows(done.stdout)] == [
        [neighbour, name] for neighbour in NEIGHBOURS for name in (*CONTROLS, "together")
    ]
    for neighbour, name, *_, right, wrong, inconclusive, rest in rows(done.stdout):
        expected = len(CONTROLS) if name == "together" else 1
        assert int(right) + int(inconclusive) == expected, f"{name} beside {neighbour}"
        assert (wrong, rest) == ("0", "0")


@pytest.mark.measures
def test_on_one_real_cpu_the_parallel_controls_are_untestable(tmp_path: Path) -> None:
    done = really(tmp_path, "--cpus", "1", "--time-limit", "0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "Selftest: claims whose truth is known, engine local, 1 CPU"
    assert done.stdout.endswith("\nNo verdict was wrong.\n")
    for neighbour in NEIGHBOURS:
        untestable = {name: row[-1] for beside, name, *row in rows(done.stdout) if beside == neighbour}
        assert untestable == {
            **dict.fromkeys(PARALLEL, "1"),
            **dict.fromkeys(SINGLE, "0"),
            "together": str(len(PARALLEL)),
        }


@pytest.mark.parametrize("cpus", ["0", "3"])
def test_bad_input_makes_no_session(
    selftest: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpus: str
) -> None:
    plays(monkeypatch, playing())
    assert selftest("--cpus", cpus)[0] == 2
    assert not (tmp_path / "multicore-lab").exists()


def test_where_nothing_was_measured_it_does_not_say_that_no_verdict_was_wrong(
    selftest: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plays(monkeypatch, CellError("no room"))
    code, out, _ = selftest("--cells", "1")
    assert code == 3
    assert "Nothing was measured." in out


def test_the_report_stays_within_80_columns() -> None:
    verdicts = {name: judge_controls(name, [ran(name)]) for name in NEIGHBOURS}
    text = report(verdicts, scripts.TWO_CPUS, scripts.cell(2))
    assert max(map(len, text.splitlines())) <= 80


# Functions with known answers.


def marks(*several: Mark) -> list[Marked]:
    (function,) = known_functions.chosen([known_functions.load(known_functions.STANDARD)], ["hash_kib"])
    return [Marked(function=function[1], marks=several)]


def test_functions_are_counted_with_what_was_wrong_and_what_was_skipped() -> None:
    (_, skipped), *_ = known_functions.chosen([known_functions.load(known_functions.STANDARD)], ["sleep"])
    right = Mark(right=True, found=("short",))
    wrong = Mark(right=False, unsure=("short",), invented=("memory",), faults=("Advice: so.", "memory is not there: x"))
    several = [*marks(right), *marks(wrong), *marks(Mark(right=None)), Marked(function=skipped, skipped="no numpy")]
    text = report_of_functions(several)
    assert re.search(r"hash_kibibyte +1 +1 +1 +1 +0 +1 +1\n", text)
    assert re.search(r"together +1 +1 +1 +1 +0 +1 +1\n", text)
    assert "\nWrong:\n- hash_kibibyte: Advice: so.\n- hash_kibibyte: memory is not there: x\n" in text
    assert text.endswith("\nSkipped:\n- sleep: no numpy")
    longest = max((function for function in known_functions.load(known_functions.STANDARD).functions), key=_length)
    text = report_of_functions([*several, Marked(function=longest, marks=(Mark(right=True),))])
    assert max(map(len, text.splitlines())) <= 80


def _length(function: KnownFunction) -> int:
    return len(function.name)


def test_where_no_function_was_measured_nothing_is_called_right() -> None:
    assert "Nothing was measured." in report_of_functions([])
    assert "Nothing was wrong." in report_of_functions(marks(Mark(right=None)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--python", "3.13"), ("--python goes with --scale",), id="a build without functions"),
        pytest.param(("--scale", "--cpus", "3"), ("--cpus 3", "1 and 2"), id="no answer is known"),
        pytest.param(("--scale", "--cells", "0"), ("--cells 0",), id="no cell"),
        pytest.param(("--scale", "--time-limit", "0"), ("--time-limit 0",), id="no time"),
        pytest.param(("--scale", "--width", "2"), ("--width 2",), id="no width"),
        pytest.param(("--scale", "--corpus", "nowhere"), ("nowhere/corpus.toml cannot be read",), id="no corpus"),
        pytest.param(("--scale", "--python", "nonsense"), ("nonsense",), id="no build"),
        pytest.param(("--scale", "--image", "x", "--python", "3.13"), ("--image and --python",), id="two Pythons"),
        pytest.param(("--scale", "--function", "rocket"), ("no function is called rocket", "loop"), id="no function"),
    ],
)
def test_wrong_words_about_functions_are_refused(lab: Lab, arguments: tuple[str, ...], words: Sequence[str]) -> None:
    code, out, err = lab("selftest", *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words)


CORPUS = """
[[function]]
target = "work.py:waits"
source = "by construction"
answers = [{ executors = ["thread"], workers = 2, found = ["waits"] }]

[[function]]
target = "work.py:needs"
needs = ["no_such_library"]
source = "by construction"
answers = [{ executors = ["none"], workers = 1 }]
"""


@pytest.mark.measures
def test_functions_are_really_measured_and_what_lacks_a_library_is_skipped(
    selftest: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "corpus.toml").write_text(CORPUS)
    (folder / "work.py").write_text(
        "import time\ndef waits():\n    time.sleep(0.005)\ndef needs():\n    import no_such_library\n"
    )
    words = ("--scale", "--engine", "local", "--cpus", "1", "--time-limit", "2", "--corpus", str(folder))
    for _ in range(3):  # on a busy machine it may not be decided at first
        code, out, err = selftest(*words, "--function", "waits", "--function", "needs")
        assert code == 0, out + err
        if re.search(r"waits +1 +0 +0 +1 +0 +0 +0\n", out):
            break
    else:
        pytest.fail(out)
    assert "- needs: work.py:needs raised at its first calls: ModuleNotFoundError" in " ".join(out.split())
    assert list((tmp_path / "multicore-lab" / "selftests").glob("*/session.json"))


@pytest.mark.slow
def test_a_neighbour_works_on_the_last_cpu_as_long_as_it_is_wanted() -> None:
    with known_functions.beside("full"):
        (process,) = multiprocessing.active_children()
        assert process.pid
        while os.sched_getaffinity(process.pid) != {max(cells.CPUS)} or cpu_seconds(process.pid) < 0.2:
            assert process.is_alive()
    assert not multiprocessing.active_children()
    with known_functions.beside("idle"):
        assert not multiprocessing.active_children()


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process so far (man 5 proc, ``stat``: utime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")
