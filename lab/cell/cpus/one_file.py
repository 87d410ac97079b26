"""``lab cpus`` as one file, which a Python without the lab runs: PEP 441's form of an application.

It is not compressed, because a small Python may lack zlib. The same source gives the same bytes.
"""

from __future__ import annotations

import io
import os
from typing import Iterator, Tuple

#: The folder of the package ``lab``. It is no folder where the lab itself runs from one file.
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: The modules outside of the folder that the command needs. All modules of the folder go along.
_MODULES = (
    *(f"{name}.py" for name in ("__init__", "__main__", "cli", "errors", "interrupts", "messages", "system")),
    "commands/__init__.py",
    "commands/_cpus_report.py",
    "commands/cpus.py",
    "cell/__init__.py",
)
_FOLDER = "cell/cpus"

_MAIN = """\
\"\"\"``lab cpus`` in one file.\"\"\"

import sys

from lab.__main__ import run

sys.argv.insert(1, "cpus")
run()
"""


def one_file() -> bytes:
    """The file."""
    import zipfile  # here: this module goes along too

    memory = io.BytesIO()
    memory.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(memory, "a") as archive:
        for name, content in [("__main__.py", _MAIN.encode()), *_sources()]:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return memory.getvalue()


def _sources() -> Iterator[Tuple[str, bytes]]:
    yield from map(_source, _MODULES)
    for name in sorted(os.listdir(os.path.join(PACKAGE, _FOLDER))):
        if name.endswith(".py"):
            yield _source(_FOLDER + "/" + name)


def _source(name: str) -> Tuple[str, bytes]:
    with open(os.path.join(PACKAGE, name), "rb") as file:
        return "lab/" + name, file.read()
