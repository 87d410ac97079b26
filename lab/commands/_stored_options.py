"""A stored session, to be gone on with or repeated: its arguments, its builds, and the very images that it had."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping
from typing import Any

from lab.messages import tell
from lab.model import build
from lab.model import machine as likeness
from lab.model.machine import Machine


def take_over(options: argparse.Namespace, arguments: Mapping[str, Any]) -> None:
    """Let the stored arguments of a session be those of this run. A version that stored fewer had the defaults."""
    options.experiments = list(arguments["experiments"])
    options.time_limit, options.width = arguments.get("seconds"), arguments.get("width")
    for name in ("cpus", "quota", "level", "smt", "jobs", "engine", "image", "python", "seed", "images"):
        if name in arguments:
            setattr(options, name, arguments[name])


def arguments_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A session's arguments as its manifest has them, with ``all`` builds spelled out: those that there were.

    Of a version that stored fewer, the machine says the engine and the image.
    """
    machine = manifest.get("machine") or {}
    arguments = {"engine": manifest["engine"], "image": machine.get("image"), "seed": 1, **manifest["arguments"]}
    there = [one["build"] for one in (machine.get("details") or {}).get("builds") or ()]
    named = [part for value in arguments.get("python") or () for part in build.parts(value)]
    if there and ("all" in named or "merged" in arguments):
        arguments |= {"python": there, "image": None}
    return arguments


def on_the_same_images(arguments: Mapping[str, Any], machine: Machine) -> dict[str, Any]:
    """The arguments with the images that the session's machine had, each by its digest where its name means another
    one by now; where the engine has that image no longer, it stays to be found anew. Raises EngineError."""
    had = {label: (one["image"], one.get("image_id")) for label, one in likeness.builds_of(machine).items()}
    if arguments["engine"] != "docker" or not any(digest for _, digest in had.values()):
        return dict(arguments)
    from lab.containers import client as containers
    from lab.pythons import images

    with contextlib.closing(containers.client_for_this_environment()) as client:
        same = {label: images.same(client, name, digest) for label, (name, digest) in had.items() if name and digest}
    for label, image in same.items():
        if image and image != had[label][0]:
            tell(f"{had[label][0]} is another image by now; taking the one that it was, {image}")
    if machine.details.get("builds"):
        return {**arguments, "images": {label: image for label, image in same.items() if image}}
    return {**arguments, "image": next(iter(same.values()), None) or arguments["image"]}
