"""What a stored session asked for, so that its run can be resumed or repeated: its arguments, builds and images."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.cell.programs.program import AGAINST
from lab.errors import NotResumableError
from lab.messages import tell
from lab.model import build as builds
from lab.model.machine import Machine, stored_builds
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
