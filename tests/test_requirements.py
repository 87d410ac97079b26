"""What the checks and the image install: versions and hashes for all that pyproject.toml asks for, and no registry."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEV = [line for extra in PROJECT["optional-dependencies"].items() for line in extra[1] if extra[0] != "corpus"]


def names(lines: list[str]) -> set[str]:
    """The names of packages, without extras, versions and conditions."""
    found = {re.split(r"[\[<>=;! ]", line)[0].lower() for line in lines}
    return {re.sub(r"[-_.]+", "-", name) for name in found} - {"multicore-lab"}


def requirements(file: str) -> list[str]:
    text = (ROOT / "requirements" / file).read_text("utf-8").replace("\\\n", "")
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("lab.txt", [*PROJECT["dependencies"], "hatchling"]),
        ("release.txt", PROJECT["optional-dependencies"]["release"]),
        ("dev.txt", [*PROJECT["dependencies"], *DEV]),
    ],
)
def test_all_that_is_asked_for_has_a_version_and_a_hash(file: str, wanted: list[str]) -> None:
    lines = requirements(file)
    assert names(wanted) <= names(lines)
    for line in lines:
        assert re.match(r"[a-z0-9-]+==\S+ ", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.parametrize("file", ["lab.txt", "release.txt", "dev.txt"])
def test_no_registry_is_named(file: str) -> None:
    assert not re.search(
        r"https?:|--(extra-)?index|--find-links|trusted-host", (ROOT / "requirements" / file).read_text()
    )
