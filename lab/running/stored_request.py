"""What a stored session asked for, so that its run can be resumed or repeated: its arguments, builds and images."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.cell.programs.program import AGAINST
from lab.cell.targets.case import FILE, STATEMENT, Case, from_stored
from lab.errors import NotResumableError
from lab.messages import tell
from lab.model import build as builds
from lab.model.machine import Machine, stored_builds
from lab.planning.programs import workload_from_stored
from lab.planning.request import Request
from lab.planning.targets import target_from_stored


def stored_arguments(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a session, from its manifest. ``all`` builds are replaced by the builds that the session had.

    For a version of the lab that kept fewer arguments, the machine tells the engine and the image.
    """
    machine = manifest.get("machine") or {}
    arguments = {"engine": manifest["engine"], "image": machine.get("image"), "seed": 1, **manifest["arguments"]}
    labels = [facts.label for facts in stored_builds(machine)]
    named = [part for text in arguments.get("python") or () for part in builds.split_names(text)]
    if labels and ("all" in named or "merged" in arguments):
        arguments |= {"python": labels, "image": None}
    return arguments


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
    """The code that a stored session is about to run on this machine, and that the user has not named now.

    It is each statement, and each function that is not in the current folder, or that gets values from the session.
    With such values a session decides what even a harmless function does. A container shuts all of them in. It is also
    each command of ``lab exec``, and the folder that goes to an engine of the session's. What lies in the folder of the
    ``session`` or beside it may have come with it.
    """

    def is_here(path: Path) -> bool:
        """Whether it lies in the current folder or below it, also where its links lead to."""
        places = {Path(os.path.abspath(path)), path.resolve()}
        here, brought = Path.cwd().resolve(), session.resolve()
        if not here.is_relative_to(brought.parent):
            brought = brought.parent
        return all(place.is_relative_to(here) and not place.is_relative_to(brought) for place in places)

    own = (arguments.get("own") or {}).values()  # its claims are judged here, with the user's rights
    found = [f"the experiment {path}" for path in own if not is_here(Path(path))]
    if arguments.get("workload"):
        found += [f"the command {text!r}" for text in _commands(arguments)]
    cases = [*_cases(arguments)]
    if arguments["engine"] != "docker":
        found += [text for case in cases for text in _foreign(case, is_here)]
    elif cases and arguments.get("host"):
        found += [f"the engine {arguments['host']}, to which {case.project} is sent" for case in cases]
    return tuple(dict.fromkeys(found))


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
    if case.source == STATEMENT:
        yield from (f"the statement {text!r}" for text in (case.setup, case.where) if text)
    else:
        parts = [] if all(map(is_here, _files(case))) else [f"code of {case.project or 'this Python'}"]
        parts += [f"{name}={value!r}" for name, value in case.arguments.items()]
        parts += [f"what {case.setup} makes"] * bool(case.setup) + [f"the items of {case.items}"] * bool(case.items)
        if parts:
            yield f"the function {case.where}{case.name and ':'}{case.name} ({'; '.join(parts)})"
    folder = case.against.get("project")
    if folder and not is_here(Path(folder)):
        yield f"code of {folder}"


def _files(case: Case) -> tuple[Path, ...]:
    """The file of a function, and the folder that it imports from. That of Python's library, where no file has it."""
    project = Path(case.project)
    if case.source == FILE:
        return project, project / case.where
    inner = case.where.replace(".", "/")
    places = [place / file for place in (project, project / "src") for file in (f"{inner}.py", f"{inner}/__init__.py")]
    return project, next((file for file in places if file.exists()), Path(os.__file__))


def _commands(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The commands of a stored session that run here with the user's rights, or on folders of the user's."""
    workload = workload_from_stored(arguments["workload"])
    if arguments["engine"] == "docker" and not workload.room.mounts:
        return ()
    lines = (
        line
        for program in workload.programs
        for line in (program.command, program.setup, program.prepare, program.conclude, program.cleanup)
    )
    return tuple(dict.fromkeys(filter(None, lines)))


def _is_known(path: Path, known: Collection[Path]) -> bool:
    """Whether it is a known program, or another name of it beside one. A link elsewhere may be a virtual environment,
    whose files run first.
    """
    return path in known or (path.parent in {each.parent for each in known} and path.resolve() in known)


def with_same_images(arguments: Mapping[str, Any], machine: Machine) -> dict[str, Any]:
    """The arguments with the images that the session's machine had.

    An image whose name means another image by now is named by its digest. An image that the engine no longer has is
    looked up again by its name. Raises EngineError.
    """
    images_then = {facts.label: (facts.image, facts.image_id) for facts in machine.builds}
    if arguments["engine"] != "docker" or not any(digest for _, digest in images_then.values()):
        return dict(arguments)
    from lab.containers.client import client_for_this_environment
    from lab.pythons import images

    with contextlib.closing(client_for_this_environment(arguments.get("host") or "")) as client:
        images_now = {
            label: images.same(client, name, digest) for label, (name, digest) in images_then.items() if name and digest
        }
    for label, image in images_now.items():
        name = images_then[label][0]
        if image and image != name:
            tell(f"the name {name} means another image by now; the session's own image is taken: {image}")
    if machine.named_builds:
        return {**arguments, "images": {label: image for label, image in images_now.items() if image}}
    return {**arguments, "image": next(iter(images_now.values()), None) or arguments["image"]}


def check_other_version(request: Request) -> None:
    """Raise NotResumableError where the folder of the other version is gone, as that of a revision of git is."""
    others = [request.target.other] if request.target else []
    programs = request.workload.programs if request.workload else ()
    others += [program.folder for program in programs if AGAINST in program.parameters]
    gone = [other for other in others if other and not Path(other).is_dir()]
    if gone:
        raise NotResumableError(f"the other version was in {gone[0]}, which is gone", "measure both versions again")
