"""Programs that tests run: those beside this interpreter first, then those on the PATH."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

#: The PATH with the folder of this interpreter in front: the environment's own programs need no activation.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def program(name: str) -> str | None:
    """The path of a program; ``None`` where it is neither beside this interpreter nor on the PATH."""
    return shutil.which(name, path=PATH)
