"""What takes long to make is made once, also for the workers of pytest-xdist."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, which the first worker makes while the others wait.

    Raises what ``make`` raises. Then the next worker tries again, in a new folder.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        made = lock.read()
        if made:
            return Path(made)
        folder = factory.mktemp(name)
        make(folder)
        lock.write(str(folder))
        return folder
