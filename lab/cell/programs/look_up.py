"""Whether programs can be started in a cell, found out before anything is run."""

from __future__ import annotations

import difflib
import os
import struct
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional

from lab.cell.claims.recorder import Recorder
from lab.cell.programs.program import SHELL, Program, from_stored

#: How long the look-up may take, in seconds.
SECONDS = 20.0

#: Where the system looks for a program if there is no PATH (man 3 exec, as glibc has it).
_PATH = "/bin:/usr/bin"

#: What e_machine of an ELF header says (man 5 elf), for the machines that may be named.
_MACHINES = {3: "i386", 8: "mips", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}

_MOST_FILES = 20000


class Fault(NamedTuple):
    """Why a program cannot be started."""

    #: What is wrong.
    what: str
    #: What to do.
    fix: str


def fault_in(said: Iterable[Mapping[str, Any]]) -> Optional[Fault]:
    """The fault that a look-up has found, from the data of its records."""
    faults = (data["value"] for data in said if data.get("name") == "fault")
    return next((Fault(*value) for value in faults), None)


def run(recorder: Recorder) -> None:
    """Observe the first fault of the programs, if there is one."""
    for stored in (recorder.case or {}).get("programs", ()):
        fault = fault_of(from_stored(stored))
        if fault:
            recorder.observe("fault", list(fault))
            return


def fault_of(program: Program) -> Optional[Fault]:
    """Why a program cannot be started; ``None`` where nothing is known against it."""
    folder = program.folder or os.getcwd()
    if not os.path.isdir(folder):
        return Fault("--workdir %s is no folder in the cell" % folder, "name a folder that is there")
    search = program.environment.get("PATH", os.environ.get("PATH", _PATH))
    if program.needs_shell and not os.access(SHELL, os.X_OK):
        return Fault("there is no %s in the cell" % SHELL, "leave out --shell and the commands around the runs")
    return None if program.by_shell else _fault_of_file(program.words[0], folder, search)


def _fault_of_file(name: str, folder: str, search: str) -> Optional[Fault]:
    path = os.path.join(folder, name) if "/" in name else _found(name, folder, search)
    if path is None or not os.path.exists(path):
        return Fault("there is no program %s" % name, _nearest(name, folder, search))
    if os.path.isdir(path):
        return Fault("%s is a folder, and no program" % name, "name the program in it")
    if not os.access(path, os.X_OK):
        return Fault("%s may not be executed" % path, "make it executable with chmod +x, or name its interpreter first")
    try:
        with open(path, "rb") as stream:
            head = stream.read(256)
    except OSError:
        return None  # what may only be executed cannot be looked into
    return _fault_of_form(path, head)


def _fault_of_form(path: str, head: bytes) -> Optional[Fault]:
    """What is wrong with a file that begins like this."""
    if head.startswith(b"#!"):
        interpreter = os.fsdecode(head[2:].split(b"\n")[0].strip().split(b" ")[0].rstrip(b"\r"))
        if not os.path.exists(interpreter):
            return Fault(
                "%s is to be run by %s, which is not there" % (path, interpreter or "nothing"), "correct its first line"
            )
        return None
    if not head.startswith(b"\x7fELF"):
        return Fault("%s is neither a binary nor a script with a first line #!" % path, "run it with --shell")
    with open("/proc/self/exe", "rb") as stream:
        here = _machine(stream.read(20))
    built = _machine(head)
    if built != here and (here, built) not in ((62, 3), (183, 40)):
        return Fault(
            "%s is built for %s, and this machine is %s" % (path, _named(built), _named(here)),
            "take a build for %s" % _named(here),
        )
    return None


def _machine(head: bytes) -> int:
    order = ">" if head[5:6] == b"\x02" else "<"
    return int(struct.unpack(order + "H", head[18:20])[0]) if len(head) >= 20 else 0


def _named(machine: int) -> str:
    return _MACHINES.get(machine, "machine %d" % machine)


def _folders(folder: str, search: str) -> List[str]:
    return [os.path.join(folder, entry) for entry in search.split(":")]


def _found(name: str, folder: str, search: str) -> Optional[str]:
    """The file that a name leads to: the first that may be executed, else the first that is there."""
    paths = [path for path in (os.path.join(each, name) for each in _folders(folder, search)) if os.path.isfile(path)]
    return next((path for path in paths if os.access(path, os.X_OK)), paths[0] if paths else None)


def _nearest(name: str, folder: str, search: str) -> str:
    """What to do: the names that are nearest to a missing one."""
    if "/" in name:
        folders, stem = [os.path.join(folder, os.path.dirname(name))], os.path.basename(name)
    else:
        folders, stem = _folders(folder, search), name
    names: List[str] = []
    for each in folders:
        try:
            names += os.listdir(each)[:_MOST_FILES]
        except OSError:
            continue
    near = list(dict.fromkeys(difflib.get_close_matches(stem, sorted(set(names)), 3, 0.6)))
    if not near and " " in name:
        return "to run a line for the shell, give --shell"
    return "there is: %s" % ", ".join(near) if near else "give the path of a program, or a name on PATH"
