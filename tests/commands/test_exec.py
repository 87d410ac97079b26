"""``lab exec`` as a user meets it: what is refused before anything runs, whole runs, and what failed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import reports
from lab.sessions import loading
from tests.support.paths import ROOT
from tests.support.programs import PATH
from tests.support.terminal import Lab


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """The folder of the sessions."""
    return tmp_path / "sessions"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is no command"),
        (["--"], "there is no command"),
        (["--runs", "0", "--", "true"], "--runs 0"),
        (["--env", "NO_SUCH_VARIABLE_1", "--", "true"], "there is no variable of that name here"),
        (["--cpus", "0", "--", "true"], "needs at least 1 CPU"),
        (["--parameter-list", "n", "1", "--", "true"], "the command has no {n}"),
        (
            ["--against", "/no/such/folder", "--", "true"],
            "--against /no/such/folder: there is no such folder, and no such revision",
        ),
        (["--against", "/", "--image", "x", "--", "true"], "--against needs --workdir in a container"),
        (["--memory", "1", "--image", "x", "--", "true"], "--memory 1: give at least 6 MiB"),
        (["--memory", "1GB", "--engine", "local", "--", "true"], "--memory and --entrypoint need a container"),
    ],
)
def test_wrong_options_are_refused(lab: Lab, words: list[str], message: str) -> None:
    code, _, err = lab("exec", *words)
    assert code == 2
    assert message in " ".join(err.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pyton3", "--version"], "there is no program pyton3; there is: "),
        (["--workdir", "/no/such/folder", "--", "true"], "--workdir /no/such/folder is no folder"),
    ],
)
def test_a_wrong_command_is_wrong_usage_before_anything_runs(
    lab: Lab, sessions: Path, words: list[str], message: str
) -> None:
    code, out, err = lab("exec", "--cpus", "1", "--session", str(sessions), *words)
    assert code == 2
    assert message in " ".join(err.split())
    assert (out, sessions.exists()) == ("", False)


@pytest.mark.slow
def test_a_command_is_measured_and_kept_like_any_session(lab: Lab, sessions: Path) -> None:
    code, out, err = lab("exec", "--cpus", "1,2,64", "--runs", "5", "--session", str(sessions), "--", "sleep", "0.01")
    assert code == 0, err
    assert "sleep 0.01: what a run took" in out
    assert out.index("1 CPU ") < out.index("2 CPUs ") < out.index("untestable: needs 64 CPUs")
    assert "Sensible limit: " in out
    assert max(map(len, out.splitlines())) <= 80
    (folder,) = sessions.iterdir()
    assert lab("verify", str(folder))[0] == 0
    assert lab("report", str(folder), "--terminal")[0] == 0
    cells = [cell["id"] for cell in json.loads((folder / "session.json").read_text())["cells"]]
    assert sorted(cells) == sorted([*(f"cpu{size}.{turn}" for size in (1, 2) for turn in range(1, 6)), "cpu64"])


@pytest.mark.slow
def test_a_failing_command_shows_its_exit_code_and_its_last_words(lab: Lab, sessions: Path) -> None:
    words = ("--cpus", "1", "--runs", "1", "--session", str(sessions), "--shell", "echo no luck >&2; exit 7")
    code, out, err = lab("exec", *words)
    assert code == 1
    assert "it ended with exit code 7" in out
    assert "no luck" in out
    assert "--ignore-failure" in err
    assert lab("exec", "--ignore-failure=7", *words)[0] == 0


@pytest.mark.slow
def test_a_run_that_is_too_long_is_ended_at_its_deadline_with_its_children(
    lab: Lab, sessions: Path, tmp_path: Path
) -> None:
    options = ("--engine", "local", "--cpus", "1", "--runs", "1", "--deadline", "0.5", "--session", str(sessions))
    code, out, err = lab("exec", *options, "--shell", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    assert code == 1
    assert "it did not end before its deadline" in out
    assert err.splitlines()[-1].endswith("(--deadline gives it more seconds)")
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


@pytest.mark.slow
def test_what_comes_before_and_after_the_runs_comes_then(lab: Lab, sessions: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hooks = [
        word for name in ("setup", "prepare", "conclude", "cleanup") for word in (f"--{name}", f"echo {name} >> {log}")
    ]
    code, _, err = lab(
        *("exec", "--cpus", "1", "--runs", "1", "--warmup", "1", "--session", str(sessions), *hooks),
        *("--shell", f"echo run >> {log}"),
    )
    assert code == 0, err
    assert log.read_text().split() == ["setup", *["prepare", "run", "conclude"] * 2, "cleanup"]


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [(), ("--prepare", "false")])
def test_what_the_setup_made_is_cleaned_up_after_a_run_that_failed(
    lab: Lab, sessions: Path, tmp_path: Path, hooks: tuple[str, ...]
) -> None:
    log = tmp_path / "log"
    around = [word for name in ("setup", "conclude", "cleanup") for word in (f"--{name}", f"echo {name} >> {log}")]
    options = ("--engine", "local", "--cpus", "1", "--runs", "3", "--session", str(sessions))
    code, _, _ = lab("exec", *options, *around, *hooks, "--", "false")
    assert code == (3 if hooks else 1)
    turn = ["setup", *([] if hooks else ["conclude"]), "cleanup"]
    words = log.read_text().split()
    assert words == turn * (len(words) // len(turn))
    assert words


@pytest.mark.slow
def test_of_two_hooks_that_fail_the_first_one_is_told(lab: Lab, sessions: Path) -> None:
    options = ("--engine", "local", "--cpus", "1", "--runs", "1", "--session", str(sessions))
    code, out, err = lab("exec", *options, "--prepare", "exit 5", "--cleanup", "exit 6", "--", "true")
    assert code == 3
    assert "its --prepare ended with exit code 5" in out + err
    assert "--cleanup" not in out


@pytest.mark.slow
def test_a_hook_that_fails_is_told(lab: Lab, sessions: Path) -> None:
    words = (
        "--cpus",
        "1",
        "--runs",
        "1",
        "--session",
        str(sessions),
        "--prepare",
        "echo gone >&2; false",
        "--",
        "true",
    )
    code, out, _ = lab("exec", *words)
    assert code == 3
    assert "its --prepare ended with exit code 1: gone" in " ".join(out.split())


@pytest.mark.slow
def test_each_value_of_a_parameter_has_a_row(lab: Lab, sessions: Path) -> None:
    code, out, err = lab(
        *("exec", "--cpus", "1", "--runs", "1", "--session", str(sessions)),
        *("--parameter-list", "t", "0.01,0.02", "--", "sleep", "{t}"),
    )
    assert code == 0, err
    assert "t=0.01" in out
    assert "t=0.02" in out


@pytest.mark.slow
def test_a_stored_command_is_run_again_only_if_the_user_says_so(lab: Lab, sessions: Path) -> None:
    lab("exec", "--cpus", "1", "--runs", "1", "--session", str(sessions), "--", "true")
    (folder,) = sessions.iterdir()
    code, _, err = lab("replay", str(folder), "--output", str(sessions))
    assert code == 2
    assert "the session runs the command 'true'" in " ".join(err.split())
    assert lab("replay", str(folder), "--yes", "--output", str(sessions))[0] == 0


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(
    lab: Lab, sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "exec.md").read_text(encoding="utf-8")
    folder, command = re.findall(r"^cd (\S+)\nlab (exec .*)$", text, re.MULTILINE)[0]
    for file in (ROOT / folder).glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text("utf-8").replace("600_000", "6_000"), "utf-8")  # it takes long
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", PATH)
    options, separator, words = command.replace("--runs 5", "--runs 2").partition(" -- ")  # this too
    code, out, err = lab(*options.split(), "--session", str(sessions), separator.strip(), *words.split())
    assert code == 0, out + err
    assert f"{words}: what a run took" in " ".join(out.split())
    assert re.search(r"1 CPU: at most \d+ processes", out)


@pytest.mark.slow
def test_a_killed_run_is_resumed(lab: Lab, sessions: Path) -> None:
    lab("exec", "--cpus", "1", "--runs", "2", "--session", str(sessions), "--", "true")
    (folder,) = sessions.iterdir()
    (folder / "cpu1.2.jsonl").unlink()
    manifest = json.loads((folder / "session.json").read_text())
    del manifest["report"]
    (folder / "session.json").write_text(json.dumps(manifest))
    code, out, err = lab("exec", "--resume", str(folder), "--yes")
    assert code == 0, err
    assert "1 of 2 cells are there already" in err
    assert "true: what a run took" in out


@pytest.mark.slow
def test_the_user_can_see_what_the_command_prints(sessions: Path) -> None:
    words = [sys.executable, "-m", "lab", "exec", "--cpus", "1", "--runs", "2", "--session", str(sessions)]
    done = subprocess.run(
        [*words, "--output", "inherit", "--shell", "echo seen; echo wrong >&2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[:2] == ["seen", "seen"]
    assert done.stderr.splitlines().count("wrong") == 2


def test_hyperfines_form_is_for_commands(lab: Lab) -> None:
    code, _, err = lab("run", "pipe", "--format", "hyperfine")
    assert code == 2
    assert "run it with lab exec" in " ".join(err.split())


@pytest.mark.slow
def test_another_version_takes_turns_and_the_report_says_how_much_longer_it_takes(
    lab: Lab, sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("now", 0.06), ("before", 0.03)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nap").write_text(f"sleep {seconds}\n")
    monkeypatch.chdir(tmp_path / "now")
    code, out, err = lab(
        *("exec", "--cpus", "1", "--runs", "10", "--against", "../before", "--session", str(sessions)),
        *("--", "sh", "nap"),
    )
    assert code == 0, err
    [line] = re.findall(r"Against \.\./before, 1 CPU: it took ([0-9.]+) times as long", " ".join(out.split()))
    assert 1.3 < float(line) < 2.5
    suite = json.loads(reports.render(loading.load_session(loading.find_session(sessions)), "pyperf"))
    names = {benchmark["metadata"]["name"] for benchmark in suite["benchmarks"]}
    assert names == {"sh nap/1 CPU", "sh nap, against=../before/1 CPU"}


@pytest.mark.slow
def test_ctrl_c_ends_a_command_and_keeps_what_was_measured(sessions: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    command = f"echo $$ >> {begun}; exec sleep 600"
    words = [sys.executable, "-m", "lab", "exec", "--cpus", "1", "--session", str(sessions), "--shell", command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}) as lab:
        while not (begun.exists() and begun.read_text().endswith("\n")):
            assert lab.poll() is None
            time.sleep(0.01)
        asked = time.monotonic()
        lab.send_signal(signal.SIGINT)
        _, err = lab.communicate(timeout=30)
    assert time.monotonic() - asked < 10
    assert (lab.returncode, "interrupted" in err) == (130, True), err
    assert not Path(f"/proc/{int(begun.read_text())}").exists()
