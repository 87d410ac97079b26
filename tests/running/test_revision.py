"""The files of a revision of git, for a comparison with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.running.revision import unpacked
from tests.support.paths import ROOT


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, of which the first is tagged."""
    folder = tmp_path / "repository"
    (folder / "package").mkdir(parents=True)
    settings = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")
    for text, words in (("1", ["tag", "v/1"]), ("2", ["status"])):
        (folder / "package" / "code.py").write_text(f"VALUE = {text}\n")
        (folder / "top").write_text(text)
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", text], words):
            subprocess.run(["git", *settings, *command], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_revision_has_its_own_files(repository: Path) -> None:
    place = unpacked("v/1", repository)
    assert place
    assert (place / "package" / "code.py").read_text() == "VALUE = 1\n"
    assert (repository / "package" / "code.py").read_text() == "VALUE = 2\n"


def test_of_a_folder_in_the_repository_it_has_that_folder(repository: Path) -> None:
    place = unpacked("HEAD~1", repository / "package")
    assert place
    assert [path.name for path in place.iterdir()] == ["code.py"]


def test_files_that_archives_leave_out_are_there(repository: Path) -> None:
    (repository / ".gitattributes").write_text("package/ export-ignore\n")
    settings = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")
    for words in (["add", "."], ["commit", "-qm", "3"]):
        subprocess.run(["git", *settings, *words], cwd=repository, check=True)
    place = unpacked("HEAD", repository)
    assert place
    assert (place / "package" / "code.py").exists()


def test_a_folder_that_the_revision_has_not_is_told(repository: Path) -> None:
    (repository / "new").mkdir()
    with pytest.raises(UsageError, match="the revision v/1 has no folder new/"):
        unpacked("v/1", repository / "new")


@pytest.mark.parametrize("name", ["nothing", "--help", "v/1:package", "python:3.13", "a\0b", "x" * 300])
def test_what_is_no_revision_is_none(repository: Path, name: str) -> None:
    assert unpacked(name, repository) is None


def test_a_folder_without_git_has_none(tmp_path: Path) -> None:
    assert unpacked("HEAD", tmp_path) is None


def test_the_files_are_removed_when_the_process_ends(repository: Path) -> None:
    code = (
        "import pathlib, sys; from lab.running.revision import unpacked;"
        " place = unpacked('v/1', pathlib.Path(sys.argv[1]));"
        " print(place, place.parent.stat().st_mode & 0o777 == 0o755)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(repository)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    place, is_readable = done.stdout.split()
    assert (Path(place).exists(), is_readable) == (False, "True")
