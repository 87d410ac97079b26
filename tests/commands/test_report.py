"""``lab report``: what it writes where, and what it says to bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.reports.charts import needs
from lab.sessions import folder as store
from tests.sessions.test_loading import stored
from tests.support import scripts
from tests.support.paths import ROOT
from tests.support.terminal import Lab


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stored session that has something for every chart."""
    return stored(scripts.drawn(), tmp_path / "sessions")


@pytest.mark.slow
def test_the_page_goes_into_the_sessions_folder_and_its_path_is_printed(lab: Lab, folder: Path) -> None:
    code, out, err = lab("report", str(folder))
    assert (code, out, err) == (0, f"{folder / 'report.html'}\n", "")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_without_a_name_it_takes_the_newest_session(lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "default_folder", lambda: folder.parent)
    assert lab("report", "--terminal")[1].startswith("CPython 3.13.5")


@pytest.mark.slow
def test_a_dash_is_standard_output(folder: Path) -> None:
    done = run("report", str(folder), "--output", "-")
    assert done.returncode == 0
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.endswith("</html>\n")


@pytest.mark.slow
def test_a_run_can_print_the_page(tmp_path: Path) -> None:
    done = run("run", "pipe", "--engine", "local", "--cpus", "1", "--format", "html", "--output", str(tmp_path))
    assert done.stdout.startswith("<!doctype html>")


@pytest.mark.slow
def test_charts_are_written_as_files_and_nothing_else_is(lab: Lab, folder: Path, tmp_path: Path) -> None:
    code, out, _ = lab("report", str(folder), "--png", str(tmp_path / "p"), "--svg", str(tmp_path / "s" / "deep"))
    assert code == 0
    assert len(out.splitlines()) == 14
    assert (tmp_path / "p" / "speed-up.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "s" / "deep" / "speed-up.svg").read_text().startswith("<svg")
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("columns", ["20", "40", "80"])
def test_in_a_terminal_nothing_is_wider_than_it_or_than_forty_columns(
    columns: str, lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = lab("report", str(folder), "--terminal")
    assert code == 0
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= max(int(columns), 40)


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(folder: Path) -> None:
    for option in (("--terminal",), ("--output", "-")):
        command = [sys.executable, "-m", "lab", "report", str(folder), *option]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.read(10)
            process.stdout.close()
            assert process.wait(60) == 0
            assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["{tmp}/nothing"], 2, "does not exist", id="no such folder"),
        pytest.param(["{tmp}"], 2, "there is no session in", id="a folder without sessions"),
        pytest.param(["{tmp}/file"], 2, "is not a folder", id="a file"),
        pytest.param(["{session}", "--output", "{tmp}"], 2, "is a folder; name a file", id="the output is a folder"),
        pytest.param(["{session}", "--output", "{tmp}/no/page"], 2, "there is no folder", id="no folder for it"),
        pytest.param(["{session}", "--output", ""], 2, "--output is empty", id="an empty name"),
        pytest.param(["{session}", "--output", "/proc/page"], 3, "cannot write /proc/page", id="cannot be written"),
        pytest.param(["{session}", "--output", "/dev/full"], 3, "it is not a regular file", id="a device"),
        pytest.param(["{session}", "--png", "{tmp}/file"], 3, "cannot make the folder", id="charts into a file"),
    ],
)
@pytest.mark.slow
def test_bad_input_is_answered_in_one_line(
    arguments: list[str], code: int, message: str, lab: Lab, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    names = {"tmp": tmp_path / "empty" if arguments == ["{tmp}"] else tmp_path, "session": folder}
    ended, out, err = lab("report", *(argument.format(**names) for argument in arguments))
    assert (ended, out) == (code, "")
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("surprise", [], 0),
        ("surprise", ["--fail-on", "surprise"], 1),
        ("surprise", ["--fail-on", "never"], 0),
        ("surprise", ["--strict"], 1),
        ("expected", ["--fail-on", "surprise"], 0),
        ("expected", ["--fail-on", "refuted"], 1),
        ("noisy", ["--fail-on", "surprise"], 0),
        ("noisy", ["--fail-on", "inconclusive"], 1),
        ("noisy", ["--strict"], 1),
        ("error", [], 0),
        ("error", ["--fail-on", "never"], 3),
        ("interrupted", [], 0),
        ("interrupted", ["--fail-on", "surprise"], 130),
        ("surprise", ["--strict", "--fail-on", "never"], 2),
    ],
    ids=lambda value: (" ".join(value) or "no gate") if isinstance(value, list) else str(value),
)
def test_a_stored_session_is_gated_as_a_run_is_where_that_is_asked_for(
    kind: str, options: list[str], code: int, lab: Lab, tmp_path: Path
) -> None:
    folder = stored(scripts.every_kind()[kind], tmp_path)
    ended, out, _ = lab("report", str(folder), *options)
    assert ended == code
    assert (folder / "report.html").exists() == bool(out) == (code != 2), "what is gated is reported all the same"


@pytest.mark.parametrize(
    ("options", "code"), [([], 1), (["--fail-on", "never"], 0), (["--strict"], 1)], ids=["default", "never", "strict"]
)
def test_a_joined_session_is_gated_as_a_run_is(options: list[str], code: int, lab: Lab, tmp_path: Path) -> None:
    stored(scripts.every_kind()["surprise"], tmp_path)
    assert lab("merge", str(tmp_path), *options)[0] == code


def test_a_session_with_nothing_to_draw_has_a_page_but_no_charts(lab: Lab, tmp_path: Path) -> None:
    folder = stored(scripts.every_kind()["local"], tmp_path)
    assert lab("report", str(folder))[0] == 0
    code, _, err = lab("report", str(folder), "--svg", str(tmp_path / "charts"))
    assert (code, "nothing to draw" in err) == (2, True)
    assert all(name in err for name in needs())


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("matplotlib", ["report", "{session}"]),
        ("jinja2", ["report", "{session}", "--output", "-"]),
        ("matplotlib", ["report", "{session}", "--png", "{session}/charts"]),
        ("jinja2", ["run", "pipe", "--engine", "local", "--format", "html"]),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_installs_it(
    missing: str, arguments: list[str], lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    code, out, err = lab(*(argument.format(session=folder) for argument in arguments))
    assert (code, out) == (3, "")
    assert missing in err
    assert f"pip install '{ROOT}[report]'" in err


def test_in_a_terminal_everything_but_the_charts_is_there_without_the_library_of_charts(
    lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotext", None)
    code, out, err = lab("report", str(folder), "--terminal")
    assert (code, err) == (0, "")
    assert "Numbers that claims rest on" in out
    assert f"pip install '{ROOT}[report]'" in " ".join(out.split())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "NO_COLOR": "1"},
    )
