"""A release: what is built says its commit, has the same bytes each time, and agrees with the changelog."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lab as package
from lab import release
from tests.conftest import skip_or_fail
from tests.support.paths import ROOT
from tests.support.programs import PATH
from tests.support.terminal import Lab

SCRIPT = ROOT / ".ci" / "release"
#: The environment of the script: with the programs beside this interpreter, and without a registry of the developer's.
ENVIRONMENT = {**{name: value for name, value in os.environ.items() if not name.startswith("LAB_")}, "PATH": PATH}


@pytest.fixture
def head() -> str:
    """The commit of this checkout, as git says it."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        skip_or_fail("this is no checkout of git")
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run(*words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *words], env={**ENVIRONMENT, **settings}, capture_output=True, text=True, check=False, timeout=280
    )


def test_the_version_in_a_checkout_has_the_commit_of_git(
    head: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = f"multicore-lab {package.__version__} (commit {head})\n"
    assert Lab(monkeypatch, capsys, tmp_path)("--version") == (0, shown, "")


@pytest.mark.parametrize("files", [(), (".git",), ("hatch_build.py",)], ids=["empty", "another checkout", "no git"])
def test_no_commit_is_made_up(files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in files:
        (tmp_path / name).touch()
    (tmp_path / "lab").mkdir()
    monkeypatch.setattr(release, "_PACKAGE", str(tmp_path / "lab"))
    assert (release.commit(), release.registry()) == ("", "")


def test_a_release_carries_its_commit_and_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / release.FILE).write_text('{"commit": "abc", "registry": "ghcr.io/someone"}')
    monkeypatch.setattr(release, "_PACKAGE", str(tmp_path))
    assert (release.commit(), release.registry()) == ("abc", "ghcr.io/someone")


def test_the_changelog_and_the_citation_are_of_this_version() -> None:
    dated = re.search(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert dated
    assert dated[1] == package.__version__
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {dated[1]}\ndate-released: {dated[2]}\n" in citation


def test_a_tag_of_another_version_is_refused(tmp_path: Path) -> None:
    done = run("build", tmp_path / "dist", "v0.0.9")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the tag is v0.0.9, but lab/__init__.py says {package.__version__}" in done.stderr


@pytest.mark.slow
def test_two_builds_have_the_same_bytes_and_say_their_commit(head: str, tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, bytes]:
        done = run("build", folder, LAB_REGISTRY="registry.example/lab")
        assert done.returncode == 0, done.stderr
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(build, [tmp_path / "first", tmp_path / "second"])
    assert first == second
    version = package.__version__
    wheel, source, materials = (
        f"multicore_lab-{version}{ending}" for ending in ("-py3-none-any.whl", ".tar.gz", ".cdx.json")
    )
    assert sorted(first) == sorted([wheel, source, materials.replace("_", "-")])
    components = json.loads(first[materials.replace("_", "-")])["components"]
    assert {"docker", "scipy"} <= {component["name"] for component in components}
    # The wheel was made from the source distribution, where there is no git.
    with zipfile.ZipFile(tmp_path / "first" / wheel) as files:
        facts = json.loads(files.read("lab/release.json"))
        names = set(files.namelist())
    assert facts == {"commit": head, "registry": "registry.example/lab"}
    here = (path.relative_to(ROOT).as_posix() for path in (ROOT / "lab").rglob("*") if path.is_file())
    assert {name for name in here if "__pycache__" not in name} <= names
    assert {f"lab/recipes/{name}" for name in ("debian-base", "free-threaded.Dockerfile")} <= names
