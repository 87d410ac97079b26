"""What a release says of itself: the commit that it was made from, and the registry that has its images.

The build writes both into ``release.json`` beside this file (``hatch_build.py``). A checkout has no such file, and asks
git. Where there is neither, nothing is said. This file imports nothing of the lab, because the build runs it too.
"""

from __future__ import annotations

import os
from typing import Dict, List

#: The name of the file in which a release carries its facts.
FILE = "release.json"
#: Only the source has this file beside the package ``lab``.
_BUILD_HOOK = "hatch_build.py"
#: How long git may take, in seconds.
_GIT_SECONDS = 10

_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def commit() -> str:
    """The commit in 40 hexadecimal digits, with ``-dirty`` where files were changed; empty where nobody knows it."""
    return _facts().get("commit", "") or commit_of(os.path.dirname(_PACKAGE))


def registry() -> str:
    """Where the images of this release are, such as ``ghcr.io/someone``; empty where nobody said it."""
    return _facts().get("registry", "")


def namesakes() -> List[str]:
    """Other installed distributions with the import name ``lab``, such as ``lab 8.10``. Python 3.9 names none.

    Whichever is installed later overwrites files of the other, and uninstalling one removes files of both.
    """
    import importlib.metadata as metadata

    if not hasattr(metadata, "packages_distributions"):
        return []
    names = sorted({*metadata.packages_distributions().get("lab", ())} - {"multicore-lab"})
    return [f"{name} {metadata.version(name)}" for name in names]


def commit_of(folder: str) -> str:
    """The commit of a checkout of the lab, as :func:`commit` writes it; empty for every other folder."""
    if not all(os.path.exists(os.path.join(folder, name)) for name in (".git", _BUILD_HOOK)):
        return ""
    import subprocess  # here, because most commands need neither of the two

    command = ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # In a hook of git these variables name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", check=False, timeout=_GIT_SECONDS, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if done.returncode else done.stdout.strip()


def _facts() -> Dict[str, str]:
    import json

    try:
        with open(os.path.join(_PACKAGE, FILE), encoding="utf-8") as file:
            facts: Dict[str, str] = json.load(file)
    except OSError:
        return {}
    return facts
