"""Looks up the cases of the user's own code on the engine, before anything is planned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.cell.targets.case import FILE, MODULE, NOT_THERE, PREFIX, Case
from lab.cell.targets.importing import TargetError
from lab.cell.targets.look_up import SECONDS, Found, found, told
from lab.engines import Engine
from lab.errors import CellError, NotResumableError, OtherEnvironmentError, UsageError
from lab.messages import tell
from lab.model.machine import Machine
from lab.planning.request import Request
from lab.planning.targets import Target
from lab.running.looking_up import Answer, look_up
from lab.running.revision import unpacked
from lab.system import or_local
from lab.text import units

#: Well-known packages that pip installs by another name than they are imported by.
_DISTRIBUTIONS = {
    "PIL": "Pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}

#: Nobody has to be told how long a function takes in a cell if it is less than twice these seconds.
_SHORT_SECONDS = 4.0

#: What an engine says where its machine does not have the folder of the project.
_NO_FOLDER = "bind source path does not exist"


def located(case: Case, folder: str | Path | None) -> tuple[Case, Path]:
    """The case with its file as a path below the project, and the folder of the project.

    The project is the current folder, or the folder of the file where that lies elsewhere. Raises UsageError for a
    folder or a file that is not there.
    """
    project = Path(folder or ".").resolve()
    if not project.is_dir():
        raise UsageError(f"--project {folder} is not a folder", "name the folder that your code is imported from")
    if case.source != FILE:
        return case, project
    file = Path(case.where).resolve()
    if not file.is_file():
        raise UsageError(f"there is no file {case.where}", "name a file of Python code: file.py:function")
    if not file.is_relative_to(project):
        if folder:
            raise UsageError(f"{case.where} is not below --project {folder}", "name a folder above the file")
        project = file.parent
    return case._replace(where=file.relative_to(project).as_posix()), project


def code_of(case: Case, project: Path) -> str:
    """The SHA-256 of the file that a target is in; empty where no file of the project has it."""
    places = [case.where] if case.source == FILE else []
    if case.source == MODULE:
        path = case.where.replace(".", "/")
        places = [f"{path}.py", f"{path}/__init__.py"]
    file = next((project / place for place in places if (project / place).is_file()), None)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""


def check_unchanged(target: Target, run: str) -> None:
    """Raise NotResumableError where the file of a target is another one than when this run began."""
    now = code_of(target.case, Path(target.project))
    if target.code and now != target.code:
        raise NotResumableError(
            f"the file of {target.case.label} has changed since {run} began: its cells would not be comparable",
            f"measure it anew, or resume it in spite of this with --force; lab replay {run} runs all cells again",
        )


def compared(case: Case, other: str, engine: str, project: Path) -> tuple[Case, str]:
    """The case with the environment that it is compared with, and the folder of that, if it is one.

    ``other`` is a folder with another version of the project, the path of another Python, a revision of git in the
    folder ``project``, or, with an engine, an image. Raises UsageError for anything else.
    """
    path = Path(other)
    if case.items:
        raise UsageError("--against and --items cannot be combined", "compare the calls per second, without --items")
    if path.is_dir():
        inner = path / "bin" / "python"
        if inner.is_file() and (path / "pyvenv.cfg").is_file():
            return compared(case, str(inner), engine, project)
        return case._replace(against={"label": other, "project": str(path.resolve())}), str(path.resolve())
    if path.is_file():
        if engine == "docker":
            raise UsageError(
                f"--against {other} is a Python of this machine, which no container has",
                or_local("name a folder with another version of the code"),
            )
        return case._replace(against={"label": other, "python": str(path.absolute())}), ""
    revision = unpacked(other, project)
    if revision:
        return case._replace(against={"label": other, "project": str(revision)}), str(revision)
    if engine in ("auto", "docker") and not other.startswith(("/", ".", "~")):
        return case._replace(against={"label": other, "image": other}), ""
    raise UsageError(
        f"--against {other} is neither a folder, nor a Python, nor a revision of git here, nor an image",
        "name a folder with another version of the code, a virtual environment, the path of another Python, a revision,"
        " or, with --engine docker, an image",
    )


def distribution_of(module: str) -> str:
    """The name by which pip installs the package of a module."""
    package = module.partition(".")[0]
    return _DISTRIBUTIONS.get(package, package)


def with_cases(request: Request, engine: Engine, machine: Machine, session: str) -> Request:
    """The request with the cases of its target. Each is called once, on every build.

    Raises UsageError where the target cannot be called, before anything is measured.
    """
    assert request.target
    cells = [cell for cell in request.cells(machine) if cell.available]
    on_builds: dict[str, Found] = {}
    for build in [facts.label for facts in machine.named_builds] or [""]:
        sizes = sorted({cell.size for cell in cells if cell.build == build})
        on_builds[build] = _look_up(request.target, engine, machine, session, build, sizes)
    cases, excluded = joined(on_builds)
    left_out = dict(excluded)
    if not cases:
        reasons = "; ".join(told(label, reason) for label, reason in left_out.items())
        raise UsageError(reasons or f"{request.target.case.label} has nothing to call: a parameter has no values")
    line = duration_line(cases, max((cell.size for cell in cells), default=1), request.seconds)
    if line:
        tell(line)
    return request.with_cases(cases, left_out)


def joined(on_builds: Mapping[str, Found]) -> Found:
    """The cases that can be measured on every build, each with its longest times, and what cannot be measured."""
    left_out: dict[str, str] = {}
    each: dict[str, list[Case]] = {}
    for found_there in on_builds.values():
        for case in found_there.cases:
            each.setdefault(case.label, []).append(case)
    for build, found_there in on_builds.items():
        reasons = dict(found_there.left_out)
        missing = each.keys() - {case.label for case in found_there.cases}
        reasons.update({label: NOT_THERE for label in sorted(missing) if label not in reasons})
        left_out.update({label: f"{f'on {build}: ' if build else ''}{reason}" for label, reason in reasons.items()})
    cases = [_slowest(several) for label, several in each.items() if label not in left_out]
    return Found(cases, list(left_out.items()))


def _slowest(cases: Sequence[Case]) -> Case:
    """The same case of several builds, with the longest of its times."""
    times = {
        size: tuple(map(max, *[case.times.get(size, (0.0, 0.0)) for case in cases], (0.0, 0.0)))
        for size in sorted({size for case in cases for size in case.times})
    }
    return cases[0]._replace(call_seconds=max(case.call_seconds or 0.0 for case in cases), times=times)


def duration_line(cases: Sequence[Case], cpus: int, seconds: float) -> str:
    """How long the slowest case takes in a cell with so many CPUs; empty where that is about what was asked for.

    ``seconds`` is the time to measure that was asked for.
    """
    costs = [case.usual_seconds(cpus, seconds) for case in cases]
    longest = max(costs)
    if longest <= 2 * max(seconds, _SHORT_SECONDS):
        return ""
    slowest = cases[costs.index(longest)]
    call = "a plain loop over the items" if slowest.items else "a call"
    line = (
        f"{slowest.label}: {call} takes {units.seconds(slowest.call_seconds or 0.0)}, so a cell of {units.cpus(cpus)}"
        f" takes about {units.seconds(longest)} for it"
    )
    if not slowest.against:
        line += ", and up to three times as long where noise leaves open what to take"
    return line + (f"; all {len(cases)} functions take about {units.seconds(sum(costs))}" if len(cases) > 1 else "")


def left_out_lines(arguments: Mapping[str, Any]) -> list[str]:
    """A line for each function that could not be measured, and why; from the arguments of a manifest."""
    return [f"not measured: {told(label, reason)}" for label, reason in arguments.get("left_out", {}).items()]


def _look_up(target: Target, engine: Engine, machine: Machine, session: str, build: str, sizes: Sequence[int]) -> Found:
    """The cases of a target on one build, each with its times in cells of these sizes, and what cannot be measured."""
    where = f"on {build}: " if build else ""

    def ask(passed: int) -> Answer:
        if passed:
            tell(f"{where}{target.case.label}: {units.counted(passed, 'case')} looked up; the next ones follow")
        case = {**target.case.to_stored(), "params": target.params, "passed": passed, "sizes": list(sizes)}
        what = (engine, machine, session, PREFIX, case, SECONDS)
        return look_up(*what, build=build, number=passed, project=target.project, other=target.other)

    try:
        return found(target.case, ask)
    except CellError as error:
        if _NO_FOLDER in str(error):
            raise UsageError(
                f"the engine's machine has no folder {target.project}, so it cannot mount your code",
                or_local("use an engine of this machine"),
            ) from error
        raise UsageError(f"{where}{target.case.label} could not be looked up: {error}") from error
    except TargetError as error:
        if error.elsewhere:
            raise _wrong_elsewhere(target.case, f"{where}{error}", error.missing) from error
        is_docker = machine.engine == "docker"
        package = distribution_of(error.missing)
        fix = f"install it for the Python of the cells: PYTHON -m pip install {package}, or name another: --python"
        if is_docker:
            fix = f"name an image that has it: FROM python:3.13-slim, RUN pip install {package}, then --image NAME"
        raise UsageError(f"{where}{error}", fix if error.missing else "") from error


def _wrong_elsewhere(case: Case, message: str, missing: str) -> OtherEnvironmentError:
    """What is said of a case that cannot be called in the environment that it is compared with."""
    other, package = case.against, distribution_of(missing)
    fix = "compare with an environment in which it works, or name a function that works in both"
    if package and other.get("image"):
        fix = f"add it to that image: RUN pip install {package}"
    elif package:
        fix = f"install it there: {other.get('python', 'PYTHON')} -m pip install {package}"
    return OtherEnvironmentError(message, fix)
