"""``lab cpus`` as one file, which a Python without the lab runs: PEP 441's form of an application.

It is not compressed, because a small Python may lack zlib. Beside each module stands its compiled form, which the
release of Python that wrote the file loads in half the time; another release compiles the source. The same source and
release give the same bytes.
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
    "commands/_cpus_view.py",
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
    import zipfile

    memory = io.BytesIO()
    memory.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(memory, "a") as archive:
        for name, content in [("__main__.py", _MAIN.encode()), *_sources()]:
            for form, data in ((name, content), (name + "c", _compiled(name, content))):
                archive.writestr(zipfile.ZipInfo(form, (1980, 1, 1, 0, 0, 0)), data)
    return memory.getvalue()


def _compiled(name: str, content: bytes) -> bytes:
    """A module's compiled form, which is not compared with a source (PEP 552)."""
    import importlib.util
    import marshal

    code = compile(content, name, "exec", dont_inherit=True, optimize=0)
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(content)
    return head + marshal.dumps(code, 2)  # later versions are smaller, but do not always give the same bytes


def _sources() -> Iterator[Tuple[str, bytes]]:
    yield from map(_source, _MODULES)
    for name in sorted(os.listdir(os.path.join(PACKAGE, _FOLDER))):
        if name.endswith(".py"):
            yield _source(_FOLDER + "/" + name)


def _source(name: str) -> Tuple[str, bytes]:
    with open(os.path.join(PACKAGE, name), "rb") as file:
        return "lab/" + name, file.read()
