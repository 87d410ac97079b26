"""What a stored session asked for, so that its run can be resumed or repeated: its arguments, builds and images."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lab.cell.programs.program import AGAINST
from lab.cell.targets.case import STATEMENT
from lab.errors import NotResumableError
from lab.messages import tell
from lab.model import build as builds
from lab.model.machine import Machine, stored_builds
from lab.planning.programs import workload_from_stored
from lab.planning.request import Request


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
    named = [part for text in arguments.get("python") or () for part in builds.split_names(text) if "/" in part]
    if not named or arguments["engine"] == "docker":
        return ()
    from lab.pythons import discovery

    known = {Path(python.path) for python in discovery.find_interpreters().interpreters}
    paths = [Path(builds.parse_build(part).path or part) for part in named]
    return tuple(dict.fromkeys(str(path) for path in paths if not _is_known(path, known)))


def foreign_code(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The code that a stored session is about to run on this machine, and that the user has not named now.

    It is the statement of the session with the code before it, and a folder of code that is not the current one. A
    container shuts both in. It is also each command of ``lab exec``.
    """
    target = arguments.get("target")
    if arguments.get("own"):  # its claims are judged here, with the user's rights
        here = Path.cwd()
        return tuple(f"the experiment {path}" for path in arguments["own"].values() if here not in Path(path).parents)
    if arguments.get("workload"):
        return tuple(f"the command {text!r}" for text in _commands(arguments))
    if not target or arguments["engine"] == "docker":
        return ()
    case, here = target["case"], Path.cwd()
    statements = [case["setup"], case["where"]] if case["source"] == STATEMENT else []
    folders = [Path(folder) for folder in (target.get("project"), target.get("other")) if folder]
    foreign = [str(folder) for folder in folders if not (folder.is_relative_to(here) or here.is_relative_to(folder))]
    return (*(f"the statement {text!r}" for text in statements if text), *(f"code of {text}" for text in foreign))


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
