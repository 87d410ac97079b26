"""The files of a revision of git, in a folder for temporary files that is removed when the lab ends."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab import interrupts
from lab.engines.temporary import TemporaryFolder
from lab.errors import UsageError


@functools.cache
def unpacked(name: str, folder: Path) -> Path | None:
    """The folder with the files that ``folder`` had in a revision; ``None``: the name is no revision there.

    Every file of the repository is in it, also those that its archives leave out. What is built from them is not, and
    neither are submodules. Raises UsageError where the revision has no such folder.
    """
    if not name or name.startswith("-") or "\0" in name:
        return None
    commit = _git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    top, below = _git(folder, "rev-parse", "--show-toplevel"), _git(folder, "rev-parse", "--show-prefix")
    if not commit or not top or below is None:
        return None
    temporary = TemporaryFolder()
    interrupts.leave(temporary, temporary.cleanup)
    atexit.register(temporary.cleanup)
    os.chmod(temporary.name, 0o755)  # noqa: S103 - a container reads it as nobody
    place = Path(temporary.name) / "revision"
    index = {"GIT_INDEX_FILE": str(Path(temporary.name) / "index")}
    read = _git(Path(top), "read-tree", commit, settings=index)
    if read is None or _git(Path(top), "checkout-index", "--all", f"--prefix={place}/", settings=index) is None:
        raise UsageError(f"git cannot read the files of {name}", "name a folder with the other version")
    own = place / below
    if not own.is_dir():
        raise UsageError(f"the revision {name} has no folder {below or '.'}", "name another revision, or a folder")
    return own


def _git(folder: Path, *words: str, settings: Mapping[str, str] | None = None) -> str | None:
    """The line that git prints in a folder; ``None`` where there is no git, or where it fails."""
    command, world = ["git", "-C", str(folder), *words], {**os.environ, **(settings or {})}
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", env=world, check=False)
    except (OSError, UnicodeDecodeError):
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
