"""What the tests of the action and of the template share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.once import made_once
from tests.support.workflows import Runner


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runner's temporary folder in which the action has installed the lab."""
    folder = made_once(tmp_path_factory, "action", _install)
    return Path(Runner(folder).env["RUNNER_TEMP"])


def _install(folder: Path) -> None:
    done = Runner(folder).step("Install the lab")
    assert done.returncode == 0, done.stderr
