"""What the lab's wheel is made from, and how the wheels are listed."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab import __version__
from lab.errors import LabError, UsageError
from lab.pythons import wheelhouse
from tests.support.paths import ROOT

REPOSITORY = {"url": "https://example.org/lab.git", "vcs_info": {"vcs": "git", "commit_id": "a1b2"}}


@pytest.mark.parametrize(
    ("direct_url", "tree", "wanted"),
    [
        pytest.param({"url": f"{ROOT.as_uri()}/doc%73", "dir_info": {}}, ROOT, f"{ROOT}/docs[report]", id="a folder"),
        pytest.param({"url": "file:///gone/lab", "dir_info": {}}, ROOT, f"{ROOT}[report]", id="a folder that is gone"),
        pytest.param(
            REPOSITORY, ROOT, "multicore-lab[report] @ git+https://example.org/lab.git@a1b2", id="a repository"
        ),
        pytest.param({}, ROOT, f"{ROOT}[report]", id="not installed"),
        pytest.param({}, ROOT / "docs", f"multicore-lab[report]=={__version__}", id="an index"),
        pytest.param(
            {"url": "file:///x.whl", "archive_info": {}}, ROOT / "docs", f"multicore-lab[report]=={__version__}"
        ),
    ],
)
def test_the_lab_is_built_from_where_it_was_installed_from(direct_url: dict[str, Any], tree: Path, wanted: str) -> None:
    assert wheelhouse.requirement(["report"], direct_url, tree) == wanted


def test_every_wheel_is_listed_with_its_version_and_its_hash(tmp_path: Path) -> None:
    wheels = [tmp_path / "multicore_lab-1.2-py3-none-any.whl", tmp_path / "orjson-3.1-cp313-cp313-linux_x86_64.whl"]
    for wheel in wheels:
        wheel.write_bytes(wheel.name.encode())
    hashes = [hashlib.sha256(wheel.name.encode()).hexdigest() for wheel in wheels]
    assert wheelhouse.pinned(wheels, ["report", "ssh"]).splitlines() == [
        f"multicore-lab[report,ssh]==1.2 --hash=sha256:{hashes[0]}",
        f"orjson==3.1 --hash=sha256:{hashes[1]}",
    ]


def test_the_optional_parts_are_those_of_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    developers = {"corpus", "dev", "release", "site", "test"}
    assert sorted(extras.keys() - developers) == sorted(wheelhouse.EXTRAS)
    assert wheelhouse.parse_extras("ssh, report,ssh") == ("ssh", "report")
    assert wheelhouse.parse_extras("none") == ()
    with pytest.raises(UsageError, match=r"there is no 'reports'; name .*report, ssh, or none"):
        wheelhouse.parse_extras("reports")


@pytest.mark.slow
def test_without_an_index_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(LabError, match=r"pip could not get the wheels of .*: ERROR: .*; is there an index\?"):
        wheelhouse.make(tmp_path, ())
