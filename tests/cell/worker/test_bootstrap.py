"""The first lines of a cell: they import its code from a zip file."""

from __future__ import annotations

import collections
import json
import subprocess
from pathlib import Path

import pytest

from lab.cell.worker.bootstrap import SOURCE
from lab.engines.cell_code import cell_code
from tests.cell.experiments.test_contract import pythons

#: Tells what is compiled, from the first line on (docs.python.org, "Audit events table": compile).
WATCHED = """
import sys
compiled = []
sys.addaudithook(lambda event, arguments: compiled.append(str(arguments[1])) if event == "compile" else None)
"""


@pytest.mark.parametrize("version", sorted(pythons()))
def test_each_module_is_compiled_once(version: str, tmp_path: Path) -> None:
    code = tmp_path / "code.zip"
    code.write_bytes(cell_code(packed=False))
    first, _, _ = SOURCE.partition("os._exit(")
    source = f"{WATCHED}{first}import json\nprint(json.dumps(compiled))"
    words = [pythons()[version], "-I", "-S", "-c", source, str(code), "{}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    counts = collections.Counter(name for name in json.loads(done.stdout) if name.startswith(str(code)))
    assert f"{code}/lab/cell/worker/supervisor.py" in counts
    assert set(counts.values()) == {1}
