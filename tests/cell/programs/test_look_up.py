"""What is wrong with a program, before it is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cell.programs.look_up import fault_of
from lab.cell.programs.program import Program


def wrong(name: str, folder: Path, **settings: object) -> str:
    fault = fault_of(Program(label="it", words=[name], folder=str(folder), **settings))  # type: ignore[arg-type] # settings of any field
    assert fault
    return f"{fault.what}; {fault.fix}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files that cannot be run, and one that can."""
    files = {
        "plain": b"echo hello\n",
        "script": b"#!/no/such/interpreter\n",
        "foreign": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x02\x00" + bytes(40),
        "good": b"#!/bin/sh\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "closed").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "sub").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./goood", "there is no program ./goood; there is: good"),
        ("./plain", "is neither a binary nor a script with a first line #!; run it with --shell"),
        ("./script", "is to be run by /no/such/interpreter, which is not there"),
        ("./foreign", "is built for machine 2, and this machine is"),
        ("./closed", "may not be executed; make it executable with chmod +x"),
        ("./sub", "is a folder, and no program"),
        ("pyton3", "there is: python3"),
        ("sort x | uniq", "give --shell"),
    ],
)
def test_a_fault_is_told_with_the_next_step(folder: Path, name: str, message: str) -> None:
    assert message in wrong(name, folder)


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    assert "is no folder in the cell" in wrong("true", tmp_path / "nowhere")


def test_a_program_that_can_be_started_has_no_fault(folder: Path) -> None:
    assert fault_of(Program(label="it", words=["./good"], folder=str(folder))) is None
    assert fault_of(Program(label="it", words=["true"])) is None


def test_the_path_of_its_own_environment_counts(folder: Path) -> None:
    assert fault_of(Program(label="it", words=["good"], environment={"PATH": str(folder)})) is None
