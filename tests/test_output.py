"""Standard output that cannot be written, in any encoding: one line, exit code 3, and the session is kept."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab import cli
from tests.sessions.test_loading import stored
from tests.support import scripts
from tests.support.paths import ROOT

LAB = (sys.executable, "-m", "lab")
SESSION = dataclasses.replace(scripts.every_kind()["expected"], notes=("note: “a café”",))

#: Commands that print, each in a few words; ``{session}`` is a stored session.
PRINTING = (
    "--help",
    "run --help",
    "--version",
    "list",
    "explain pool",
    "export kubernetes pool",
    "explain --all",
    "explain glossary --markdown",
    "cpus --no-measure",
    "cpus --no-measure --format json",
    "plan pool --engine local",
    "sessions --output {session}/..",
    "sessions --output {session}/.. --format json",
    "verify {session}",
    "report {session}",
    "report {session} --output -",
    "report {session} --terminal",
    "merge {session}",
    "merge {session} --format html",
    "class {session}",
    "class {session} --format csv",
    f"grade {{session}} --key {ROOT}/docs/examples/class/key.toml",
    "compare {session} {session} --all",
    "compare {session} {session} --format json",
    f"check --plan --config {ROOT}/docs/examples/gates/pyproject.toml",
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(SESSION, tmp_path_factory.mktemp("sessions"))


def words(command: str, session: Path) -> list[str]:
    return [*LAB, *command.format(session=session).split()]


def check_refusal(code: int, err: str) -> None:
    assert code == 3, err
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("lab: ")
    assert "standard output" in last


@pytest.mark.slow
@pytest.mark.parametrize("command", PRINTING)
def test_a_full_device_is_one_line(session: Path, command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words(command, session), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    check_refusal(done.returncode, done.stderr)
    assert "No space left on device" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["--help", "list", "report {session} --output -"])
def test_a_pipe_that_has_ended_is_one_line(session: Path, command: str, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    world = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        words(command, session), stdout=writer, stderr=subprocess.PIPE, text=True, env=world, check=False
    )
    os.close(writer)
    check_refusal(done.returncode, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["--help", "list", "cpus --no-measure", "report {session} --output -"])
def test_a_closed_standard_output_is_one_line(session: Path, command: str) -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *words(command, session)]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, check=False)
    check_refusal(done.returncode, done.stderr)


@pytest.mark.slow
def test_without_standard_error_the_results_and_the_exit_code_are_the_same(session: Path) -> None:
    for command, code in (("list", 0), ("bogus", 2), ("verify /nowhere", 2)):
        shell = ["sh", "-c", 'exec "$@" 2>&- <&-', "sh", *words(command, session)]
        done = subprocess.run(shell, stdout=subprocess.PIPE, text=True, check=False)
        assert done.returncode == code
        assert bool(done.stdout) is (code == 0)


@pytest.mark.slow
def test_a_run_whose_output_cannot_be_written_is_kept_and_says_where(tmp_path: Path) -> None:
    command = [*LAB, *["run", "pipe", "--engine", "local", "--cpus", "1", "--quick", "--output"], str(tmp_path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    check_refusal(done.returncode, done.stderr)
    (folder,) = tmp_path.iterdir()
    assert done.stderr.splitlines()[-1].endswith(f"; session kept in {folder}")
    assert subprocess.run([*LAB, "verify", str(folder)], capture_output=True, check=False).returncode == 0


# ---- encodings

#: Worlds in which standard output is not UTF-8.
WORLDS: Mapping[str, Mapping[str, str]] = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


def outputs(session: Path, command: str) -> Iterator[tuple[str, bytes]]:
    """What a command prints, in each of the worlds."""
    for name, world in WORLDS.items():
        done = subprocess.run(words(command, session), capture_output=True, env={**os.environ, **world}, check=False)
        assert done.returncode == 0, done.stderr
        yield name, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "html", "json", "junit", "markdown", "summary"])
def test_a_document_is_utf_8_in_every_locale(session: Path, form: str) -> None:
    for name, content in outputs(session, f"merge {{session}} --format {form}"):
        text = content.decode("utf-8")
        assert form == "csv" or not text.isascii(), name
        if form == "junit":
            assert ElementTree.fromstring(content).tag == "testsuites"
        if form == "json":
            json.loads(content)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["explain --all", "explain glossary --markdown", "report {session} --output -"])
def test_a_page_is_utf_8_in_every_locale(session: Path, command: str) -> None:
    pages = {content.decode("utf-8") for _, content in outputs(session, command)}
    assert len(pages) == 1


@pytest.mark.slow
def test_a_terminal_that_cannot_show_a_letter_shows_the_rest(session: Path) -> None:
    for name, content in outputs(session, "report {session} --terminal"):
        text = content.decode("latin-1" if name == "latin-1" else "ascii")
        assert "confirmed" in text, name


def test_every_command_that_prints_without_an_engine_is_tried() -> None:
    tried = {command.split()[0] for command in PRINTING}
    # These need an engine or measure; they print through the same functions.
    others = {"bundle", "clean", "compose-env", "doctor", "exec", "gather", "images", "load", "new", "replay"}
    others |= {"scale", "selftest"}
    assert set(cli._names()) - tried == others
