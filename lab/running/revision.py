"""The files of a revision of git, in a folder for temporary files that is removed when the lab ends."""

from __future__ import annotations

import atexit
import os
import subprocess
from pathlib import Path

from lab.engines.temporary import TemporaryFolder


def unpacked(name: str, folder: Path) -> Path | None:
    """The folder with the files that ``folder`` had in a revision; ``None``: the name is no revision there.

    Only files of the repository are in it: what is built from them is not.
    """
    if name.startswith("-"):
        return None
    commit = _git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    archive = _git(folder, "archive", "--format=tar", commit.decode().strip()) if commit else None
    if not archive:
        return None
    temporary = TemporaryFolder()
    atexit.register(temporary.cleanup)
    os.chmod(temporary.name, 0o755)  # noqa: S103 - a container reads it as nobody
    place = Path(temporary.name) / name.replace("/", "-")
    place.mkdir()
    subprocess.run(["tar", "-x", "-C", str(place)], input=archive, check=True)  # noqa: S607 - the system's own
    return place


def _git(folder: Path, *words: str) -> bytes | None:
    """What git prints in a folder; ``None`` where there is no git, or where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)  # noqa: S607
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
