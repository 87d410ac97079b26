"""What a stored session would run, read or reach with the user's rights, and that the user has not named.

Anybody may have written a session. SECURITY.md and docs/sessions.md say what is asked before one is repeated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.cell.programs.program import INHERIT, NULL, PIPE
from lab.cell.targets.case import FILE, STATEMENT, Case, from_stored
from lab.model import build as builds
from lab.planning.programs import workload_from_stored
from lab.planning.targets import target_from_stored


def unknown_programs(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The programs that a stored session names by their paths, and that are no Pythons that this machine finds itself.

    Whoever wrote the session decides what such a path leads to, and a local cell starts it with the user's rights.
    """
    if arguments["engine"] == "docker":
        return ()
    named = [part for text in arguments.get("python") or () for part in builds.split_names(text) if "/" in part]
    others = [str(case.against["python"]) for case in _cases(arguments) if case.against.get("python")]
    if not (named or others):
        return ()
    from lab.pythons import discovery

    known = {Path(python.path) for python in discovery.find_interpreters().interpreters}
    paths = [Path(path) for path in (*(builds.parse_build(part).path or part for part in named), *others)]
    return tuple(dict.fromkeys(str(path) for path in paths if not _is_known(path, known)))


def foreign_code(arguments: Mapping[str, Any], session: Path) -> tuple[str, ...]:
    """What a stored session is about to run, read or reach with the user's rights, and that the user has not named now.

    Nothing is asked of the lab's own experiments on an engine of this machine, and of functions in the current folder
    that get no values from the session. With such values a session decides what even a harmless function does. What
    lies beside the folder of the ``session`` may have come with it, so it is not the user's.
    """
    is_here = _in_current_folder(session)
    engine, cases = arguments["engine"], [*_cases(arguments)]
    own = (arguments.get("own") or {}).values()  # its claims are judged here, with the user's rights
    found = [f"the experiment {path}" for path in own if not is_here(Path(path))]
    if arguments.get("host") and "://" in arguments["host"]:  # else it is the name of a context of the user's
        found.append(f"cells on the engine {arguments['host']}, which gets the code")
    if arguments.get("image") and engine == "slurm":
        found.append(f"the image {arguments['image']}, which is no isolation there")
    if arguments.get("workload"):
        found += _commands(arguments)
    for case in cases:
        found += _mounted(case, is_here) if engine == "docker" else _foreign(case, is_here)
    return tuple(dict.fromkeys(found))


def _in_current_folder(session: Path) -> Callable[[Path], bool]:
    """Whether a path lies in the current folder, also where its links lead to, and has not come with the session."""
    here = Path.cwd().resolve()
    brought = []
    for place in (Path(os.path.abspath(session)), session.resolve()):
        if here.is_relative_to(place.parent):
            brought.append(here)
        elif place.is_relative_to(here):
            brought.append(here / place.relative_to(here).parts[0])

    def is_here(path: Path) -> bool:
        places = {Path(os.path.abspath(path)), path.resolve()}
        return all(place.is_relative_to(here) and not any(map(place.is_relative_to, brought)) for place in places)

    return is_here


def _cases(arguments: Mapping[str, Any]) -> Iterator[Case]:
    """The cases of a stored session, and its target as one of them, each with the folder that its code comes from."""
    stored = arguments.get("target")
    if not stored:
        return
    target = target_from_stored(stored)
    others = {"project": target.other} if target.other else {}
    yield target.case._replace(
        arguments={**target.case.arguments, **target.params},
        project=target.project,
        against={**target.case.against, **others},
    )
    for each in arguments.get("cases") or ():
        case = from_stored(each)
        # A cell takes the folder of the target.
        yield case._replace(project=target.project, against={**case.against, **others})


def _foreign(case: Case, is_here: Callable[[Path], bool]) -> Iterator[str]:
    """What a case runs that is not just a function of the current folder, in words."""
    parts = [] if all(map(is_here, _files(case))) else [f"code of {case.project or 'this Python'}"]
    if case.source == STATEMENT:
        yield f"the statement {case.where!r}"
        yield from [f"the statement {case.setup!r}"] * bool(case.setup)
        yield from parts
    else:
        parts += [f"{name}={value!r}" for name, value in case.arguments.items()]
        parts += [f"what {case.setup} makes"] * bool(case.setup) + [f"the items of {case.items}"] * bool(case.items)
        if parts:
            yield f"the function {case.where}{case.name and ':'}{case.name} ({'; '.join(parts)})"
    folder = case.against.get("project")
    if folder and not is_here(Path(folder)):
        yield f"code of {folder}"


def _mounted(case: Case, is_here: Callable[[Path], bool]) -> Iterator[str]:
    """The folders of a case that a container gets to read, and that are not the user's current one, in words."""
    for folder in (case.project, case.against.get("project")):
        if folder and not is_here(Path(folder)):
            yield f"code in a container that can read {folder}"


def _files(case: Case) -> tuple[Path, ...]:
    """The file of a function, and the folder that it imports from. That of Python's library, where no file has it."""
    project = Path(case.project)
    if case.source == STATEMENT:
        return (project,)
    if case.source == FILE:
        return project, project / case.where
    inner = case.where.replace(".", "/")
    places = [place / file for place in (project, project / "src") for file in (f"{inner}.py", f"{inner}/__init__.py")]
    return project, next((file for file in places if file.exists()), Path(os.__file__))


def _commands(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The commands of a stored session that run with the user's rights, or reach a network or folders, in words."""
    workload = workload_from_stored(arguments["workload"])
    room = workload.room
    if arguments["engine"] == "docker" and not (room.mounts or room.network):
        return
    reached = [f"network {room.network}"] * bool(room.network) + [f"mount {mount[0]}" for mount in room.mounts]
    for program in workload.programs:
        parts = [f"{name}={value}" for name, value in program.environment.items()]
        parts += [f"in {program.folder}"] * bool(program.folder)
        parts += [f"output to {program.output}"] * (program.output not in (NULL, PIPE, INHERIT)) + reached
        yield f"the command {program.command!r}" + (f" ({'; '.join(parts)})" if parts else "")
        hooks = (program.setup, program.prepare, program.conclude, program.cleanup)
        yield from (f"the command {line!r}" for line in hooks if line)


def _is_known(path: Path, known: Collection[Path]) -> bool:
    """Whether it is a known program, or another name of it beside one. A link elsewhere may be a virtual environment,
    whose files run first.
    """
    return path in known or (path.parent in {each.parent for each in known} and path.resolve() in known)
