"""``lab check`` as a user meets it: what is refused before anything runs, whole checks, and what fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.terminal import Lab

EXAMPLE = ROOT / "docs" / "examples" / "gates"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, as a repository with one commit on main; the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    git("init", "--quiet", "--initial-branch=main")
    commit("as it was")
    return folder


def git(*words: str) -> None:
    settings = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *words], check=True)


def commit(message: str) -> None:
    git("add", ".")
    git("commit", "--quiet", "--message", message)


def configure(folder: Path, text: str) -> None:
    """Write a configuration instead of the example's."""
    (folder / "multicore-lab.toml").write_text(text)


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("", ["nothing"], "pyproject.toml has no target 'nothing'; its targets: checksum"),
        ("", ["checksums"], "did you mean checksum?"),
        ("", ["--against", "main", "--base", "x"], "--against and --base contradict each other"),
        ("", ["--base", "nowhere"], "nowhere/checksum does not exist"),
        ("", ["--config", "missing.toml"], "there is no configuration: missing.toml"),
        ("", ["--expect", "gil.no-speedup=refuted"], "no target runs this experiment"),
        ("[targets", [], "multicore-lab.toml cannot be read as TOML"),
        ("[targets.a]\nscal = 'x'", [], "toml:2: targets.a.scal: there is no such key; did you mean scale?"),
        ("[targets.a]\nscale = 'x.py:f'\ngates.regression = {max = '5%'}", [], "has nothing to compare with"),
        ("[targets.a]\nrun = ['gill']", [], "there is no experiment 'gill'"),
        ("[targets.a]\nexec = 'true'\nruns = 0", [], "targets.a.runs: 0 cannot be used; give at least 1"),
        ("[targets.a]\nexec = 'true'\nenv = {A = 'b'}\nmount = ['-x']", [], "targets.a: --mount -x: there"),
        ("[targets.a]\nrun = ['pool']\nexpect = {'gil.no-speedup' = 'refuted'}", [], "this run has no experiment gil"),
        ("[targets.a]\nexec = 'true'\ngates.time = {max = '1 s'}", ["--against", "main"], "no gate is one; add a gate"),
        ("[targets.a]\nexec = 'true'\ngates.regression = {max = '5%', against = 'mian'}", [], "no such revision"),
        ("[targets.a]\nexec = 'true'\ngates.regression = {max = '5%', against = 'venv'}", [], "a virtual environment"),
        ("[targets.a]\nrun = ['gil']\nexpect = {'gil.nothing' = 'refuted'}", [], "there is no claim 'gil.nothing'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_measured(
    lab: Lab, project: Path, text: str, words: list[str], message: str
) -> None:
    if text:
        configure(project, text)
    (project / "venv").mkdir()
    (project / "venv" / "pyvenv.cfg").touch()
    code, out, err = lab("check", *words)
    assert code == 2
    assert message in " ".join(err.split())
    assert out == ""
    assert "target 1" not in err


def test_a_folder_without_a_configuration(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = lab("check")
    assert (code, "write one: [tool.multicore-lab.targets.NAME]" in " ".join(err.split())) == (2, True)


def test_the_plan_has_each_command_and_each_gate(lab: Lab, project: Path) -> None:
    code, out, _ = lab("check", "--plan", "--against", "HEAD")
    assert code == 0
    assert out.splitlines() == [
        f"checksum: lab scale --engine=local --cpus=2 --project={project} -- checksums.py:checksum",
        "  speedup threads: at least 1.5 (line 12)",
        "  efficiency threads: at least 0.8 (line 13)",
        "  workers: at most R, the CPUs that the limit allows (line 14)",
        "  regression: at most 5 % slower, against HEAD (line 15)",
    ]


CODE = (EXAMPLE / "checksums.py").read_text()
LOCKED = CODE.replace("import hashlib\n", "import hashlib\nimport threading\n\nLOCK = threading.Lock()\n").replace(
    "    return hashlib.sha256(PART).hexdigest()", "    with LOCK:\n        return hashlib.sha256(PART).hexdigest()"
)
SLOWER = CODE.replace("PART = bytes(range(256)) * 1024", "PART = bytes(range(256)) * 1136")


@pytest.mark.measures
@pytest.mark.parametrize(
    ("code", "level", "failing", "may_fail"),
    [
        pytest.param(CODE, "quick", "", set(), id="as it was"),
        pytest.param(LOCKED, "quick", "speedup", {"speedup", "efficiency", "regression"}, id="a lock around the work"),
        pytest.param(SLOWER, "default", "regression", {"regression"}, id="a tenth more work"),
    ],
)
def test_what_gets_slower_or_takes_a_lock_is_found_and_nothing_else(
    lab: Lab, project: Path, code: str, level: str, failing: str, may_fail: set[str]
) -> None:
    """The example beside main. Where noise decides nothing, it is measured again."""
    (project / "checksums.py").write_text(code)
    configuration = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(configuration.replace('"local"\n', f'"local"\nlevel = "{level}"\n'))
    commit("the level")
    git("branch", "--force", "before", "HEAD~1")
    for number in range(5):
        ended, out, err = lab(
            *("check", "--against", "before", "--format", "json", "--output", str(lab.sessions / str(number)))
        )
        [target] = json.loads(out)["targets"]
        assert len(target["sessions"]) == 2, err
        outcomes = {(gate["kind"], gate["outcome"]) for gate in target["gates"]}
        failed = {kind for kind, outcome in outcomes if outcome == "failed"}
        assert failed <= may_fail, out
        assert (failing, "met") not in outcomes, out
        if not failing or failing in failed:
            break
    assert ended == int(bool(failing)), out
    status = subprocess.run(["git", "status", "--short"], capture_output=True, text=True, check=True).stdout
    assert status == "", "nothing is changed in the repository"


@pytest.mark.measures
def test_a_stored_base_is_compared_with_and_an_edited_one_is_refused(lab: Lab, project: Path) -> None:
    configure(
        project,
        "[targets.sum]\nscale = 'checksums.py:checksum'\nengine = 'local'\nlevel = 'quick'\n"
        "gates.regression = {max = '30%', executor = 'one'}\n",
    )
    base = lab.sessions / "base"
    assert "nothing to compare with" in " ".join(lab("check")[2].split())
    code, out, _ = lab("check", "--output", str(base))
    assert (code, "– untestable" in out) == (0, True), "the sessions are kept as a base"
    code, out, err = lab("check", "--base", str(base))
    assert code == 0, out + err
    assert "since 20" in " ".join(out.split())
    records = min(base.glob("sum/*/cpu*.jsonl"))
    records.write_bytes(records.read_bytes() + b"\n")
    code, _, err = lab("check", "--base", str(base))
    assert (code, "cannot be a base" in " ".join(err.split())) == (2, True)


def test_a_new_target_has_no_base_yet_and_leaves_those_of_others_alone(lab: Lab, project: Path) -> None:
    gate = "gates.regression = {max = '30%', base = 'base'}"
    targets = "".join(f"[targets.{name}]\nscale = 'checksums.py:checksum'\n{gate}\n" for name in ("old", "new"))
    configure(project, targets)
    kept = project / "base" / "old" / "20260101-000000-abcd"
    kept.mkdir(parents=True)
    (kept / "session.json").write_text("{}")
    code, out, _ = lab("check", "--plan", "--output", "base")
    assert code == 0
    old, new = (line for line in out.splitlines() if "regression" in line)
    assert f"against {kept.parent}" in old
    assert "against" not in new


@pytest.mark.measures
def test_a_base_is_a_session_of_the_code_alone(lab: Lab, project: Path) -> None:
    """The newest session may be one that compared two versions."""
    configure(
        project,
        "[targets.sum]\nscale = 'checksums.py:checksum'\nengine = 'local'\nlevel = 'quick'\n[targets.sum.gates]\n"
        "workers = {at = 1, max = 4}\nregression = {at = 1, max = '30%', executor = 'one', against = 'main'}\n",
    )
    base = lab.sessions / "base"
    code, _, err = lab("check", "--output", str(base))
    assert code == 0, err
    code, out, err = lab("check", "--base", str(base))
    assert code == 0, out + err  # noise may leave open how they differ
    since = re.search(r"calls/s since (\S+)", " ".join(out.split()))
    assert since, out
    (manifest_file,) = base.rglob(f"*{since[1]}/session.json")
    manifest = json.loads(manifest_file.read_text())
    assert not any(case.get("against") for case in manifest["arguments"]["cases"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "gates"),
    [
        ("scale = 'naps.py:nap'\nlevel = 'thorough'", "speedup = {max = 9, executor = 'threads'}"),
        ("exec = ['sleep', '0.5']\nruns = 100", "time = {max = '5 s'}"),
    ],
)
def test_ctrl_c_reports_what_there_is_and_leaves_no_revision_behind(
    lab: Lab, project: Path, tmp_path: Path, target: str, gates: str
) -> None:
    (project / "naps.py").write_text("import time\n\ndef nap():\n    time.sleep(0.01)\n")
    commit("naps")
    configure(
        project,
        "engine = 'local'\n[targets.first]\nexec = ['true']\nruns = 5\ngates.time = {max = '5 s'}\n"
        f"[targets.second]\n{target}\n[targets.second.gates]\n"
        f"regression = {{max = '5%', against = 'main'}}\n{gates}\n",
    )
    words = [sys.executable, "-m", "lab", "check", "--output", str(lab.sessions)]
    world = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(
        words, cwd=project, env=world, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        has_begun = False
        for line in process.stderr:
            has_begun = has_begun or line.startswith("target 2 of 2")
            if has_begun and "about" in line:  # a cell has begun
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "● met           wall time of true" in out
    assert "◐ inconclusive" in out
    assert "Traceback" not in err
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_what_fails_later_leaves_the_results_that_there_are(lab: Lab, project: Path) -> None:
    configure(
        project,
        "engine = 'local'\n[targets.first]\nexec = ['true']\nruns = 5\ngates.time = {max = '5 s'}\n"
        "[targets.second]\nexec = ['no-such-program']\ngates.time = {max = '5 s'}\n",
    )
    code, out, err = lab("check", "--output", str(lab.sessions))
    assert code == 2
    assert "● met" in out
    assert "second: lab exec no-such-program\n  it was not measured" in out
    assert "session kept in" in err
    assert json.loads((lab.sessions / "check.json").read_text())["outcomes"]["met"] == 1


@pytest.mark.slow
def test_commands_and_experiments_have_gates_too(lab: Lab, project: Path) -> None:
    configure(
        project,
        "engine = 'local'\n"
        "[targets.nap]\nexec = ['sleep', '0.01']\nruns = 5\ncpus = [1, 64]\n"
        "gates.time = {at = 1, max = '5 s'}\ngates.memory = {at = 64, max = '1 GB'}\n"
        "gates.processes = {at = 1, max = 'R'}\n"
        "[targets.claims]\nrun = ['pipe']\ncpus = 1\nlevel = 'quick'\nexpect = {'pipe.duplex' = 'confirmed'}\n",
    )
    code, out, err = lab("check", "--output", str(lab.sessions), "--format", "json")
    assert code == 0, out + err
    nap, claims = json.loads(out)["targets"]
    assert [(gate["kind"], gate["outcome"]) for gate in nap["gates"]] == [
        ("time", "met"),
        ("memory", "untestable"),
        ("processes", "met"),
    ]
    assert [(gate["subject"], gate["outcome"]) for gate in claims["gates"]] == [("pipe.duplex", "met")]
    assert sorted(path.name for path in lab.sessions.iterdir()) == ["check.json", "claims", "nap"]


@pytest.mark.slow
def test_a_verdict_that_is_not_the_expected_one_fails(lab: Lab, project: Path) -> None:
    configure(project, "engine = 'local'\n[targets.claims]\nrun = 'pipe'\ncpus = 1\nlevel = 'quick'\n")
    code, out, err = lab("check", "--output", str(lab.sessions), "--expect", "pipe.duplex=refuted")
    assert (code, err.splitlines()[-1]) == (1, "exit code 1: 1 gate failed")
    assert "✖ failed" in out


@pytest.mark.slow
def test_a_command_that_fails_is_a_failure_without_any_gate(lab: Lab, project: Path) -> None:
    configure(project, "engine = 'local'\n[targets.wrong]\nexec = ['false']\nruns = 1\ncpus = 1\n")
    code, _, err = lab("check", "--output", str(lab.sessions))
    assert code == 1
    assert err.splitlines()[-1].startswith("exit code 1: wrong: a command failed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gate", "code", "reason"),
    [("", 2, "1 function cannot be measured"), ("gates.workers = {max = 64}", 1, "1 gate failed")],
)
def test_a_function_of_a_file_that_is_broken_is_not_passed_over(
    lab: Lab, project: Path, gate: str, code: int, reason: str
) -> None:
    (project / "bench.py").write_text(
        "def bench_good():\n    return sum(range(999))\n\ndef bench_bad():\n    raise ValueError('oh')\n"
    )
    configure(project, f"engine = 'local'\n[targets.all]\nscale = 'bench.py'\ncpus = 1\nlevel = 'quick'\n{gate}\n")
    ended, out, err = lab("check", "--output", str(lab.sessions))
    assert ended == code
    assert err.splitlines()[-1].endswith(reason)
    assert ("bench.py:bench_bad" in out) is bool(gate)


@pytest.mark.slow
def test_the_gates_of_this_project_can_be_checked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside itself, as the workflow checks them beside the base of a pull request."""
    monkeypatch.chdir(ROOT)
    code, out, _ = lab("check", "--plan", "--against", str(ROOT))
    assert (code, out.count(" (line ")) == (0, 4)
    code, out, err = lab("check", "list", "--against", str(ROOT), "--format", "json", "--output", str(lab.sessions))
    assert code in (0, 1), err  # how long it takes is for the workflow to judge
    outcomes = [gate["outcome"] for target in json.loads(out)["targets"] for gate in target["gates"]]
    assert len(outcomes) == 2
    assert "untestable" not in outcomes
