"""What a cell is handed: no more than it needs, and nothing less."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import lab
from lab.cell import experiments
from lab.engines.cell_code import cell_code

PACKAGE = Path(lab.__file__).parent


def files(code: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def imported(source: str) -> set[str]:
    """The modules of ours that a source imports while it runs, as files of the archive."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    files = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            path = name.replace(".", "/")
            files |= {file for file in (f"{path}.py", f"{path}/__init__.py") if (PACKAGE.parent / file).is_file()}
    return {file for file in files if file.startswith("lab/")}


@pytest.mark.parametrize("name", experiments.names())
@pytest.mark.slow
def test_an_experiment_is_shipped_with_all_that_it_imports(name: str) -> None:
    shipped = files(cell_code([name]))
    assert f"lab/cell/experiments/{name.replace('-', '_')}.py" in shipped
    for file, source in shipped.items():
        assert imported(source) <= shipped.keys(), file


@pytest.mark.parametrize("name", experiments.names())
def test_an_experiment_loads_from_what_is_shipped(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "cell.zip"
    archive.write_bytes(cell_code([name]))
    source = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); from lab.cell.worker import experiment_process;"
        f" experiment_process.load({name!r})"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_other_experiments_are_not_shipped() -> None:
    shipped = files(cell_code(["pool"]))
    assert "lab/cell/experiments/gil.py" not in shipped
    assert "lab/commands/run.py" not in shipped
    assert shipped.keys() < files(cell_code()).keys()


def test_the_same_source_gives_the_same_bytes() -> None:
    assert cell_code(["gil", "pool"]) == cell_code(["pool", "gil"])
