"""``lab compose-env``: print the environment that pins Compose's services to this engine's CPUs."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.messages import printable, show_document, tell

if TYPE_CHECKING:
    from lab.model.topology import Topology

HELP = "print the settings that docker compose up needs on this engine"
EXAMPLE = """\
example:
  lab compose-env > .env   write the settings; then run docker compose up

With these settings the engine pins each service to CPUs that really exist.
Without such a file the worker in each container narrows its own affinity."""

#: The sizes of the services in compose.yaml.
SIZES: tuple[int | str, ...] = (1, 2, 4, "all")

#: The versions of our own base images, the best first: the official image's Python, then others that the lab runs on.
_BASES = ("3.13", "3.14", "3.12", "3.11", "3.15")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--image", help="the image in which the CPUs are counted, with Python 3.9 or later")


def run(options: argparse.Namespace) -> int:
    """Ask the engine, print the settings, and return the exit code. Raises EngineError when no engine answers."""
    from lab.containers import client as containers
    from lab.engines import make

    session = f"compose-env-{os.getpid()}"
    engine = make("docker", image=options.image, session=session, note=tell, before_slow_step=tell)
    with contextlib.closing(engine):
        machine = engine.probe()
    with contextlib.closing(containers.client_for_this_environment()) as client:
        images = [name for name, _ in containers.image_names(client)]
    lines = [*cpuset_lines(machine.cpu_topology), *base_lines(images), *certificate_lines(os.environ)]
    show_document("".join(f"{printable(line)}\n" for line in lines))
    return 0


def cpuset_lines(machine: Topology | Sequence[int]) -> list[str]:
    """The CPU set of each service, from the engine's CPUs. The set is empty if the engine has too few CPUs."""
    from lab.cell.cpus import cpulist
    from lab.model.topology import Topology
    from lab.planning import cells

    cpus = machine.allowed if isinstance(machine, Topology) else machine
    lines = [f"# This engine's CPUs: {cpulist.render(cpus)}. Made by lab compose-env."]
    for size in SIZES:
        (cell,) = cells.plan([size], machine)
        if not cell.available:
            lines.append(f"# {cell.reason}")
        lines.append(f"LAB_CPUSET_{str(size).upper()}={cpulist.render(cell.cpus)}")
    return lines


def base_lines(images: Sequence[str]) -> list[str]:
    """The base image to use: one of ours, if the engine has it and does not have the official image."""
    from lab.containers.image_config import BASE_REPOSITORY, OFFICIAL_IMAGE

    ours = [name for version in _BASES if (name := f"{BASE_REPOSITORY}:{version}") in images]
    if OFFICIAL_IMAGE in images or not ours:
        return []
    return [f"# {OFFICIAL_IMAGE} is not on this engine, but this image is:", f"LAB_BASE={ours[0]}"]


def certificate_lines(environment: Mapping[str, str]) -> list[str]:
    """The certificates that programs here are told to trust. pip needs them in a build, too."""
    for name in ("PIP_CERT", "SSL_CERT_FILE"):
        path = environment.get(name, "")
        if path and Path(path).is_file():
            if "'" in path or not path.isprintable():
                return [f"# {name} is set here, but its path cannot be written into this file: {printable(path)}"]
            return [f"# {name} is set here, so pip in the build needs it too:", f"LAB_CA_BUNDLE='{path}'"]
    return []
