"""``lab images``: the builds as images on the engine: make them, list them, remove them."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.errors import EngineError, ImageError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient
    from lab.pythons.images import Image

HELP = "make, list and remove the images of builds, a Python each"
EXAMPLE = """\
examples:
  lab images build 3.9 3.13t      those two; what is there and current is kept
  lab images build all            the usual ones of lab run --python all
  lab images list                 what there is; what each Python says of itself
  lab images remove 3.13t         one; or --all of ours, never anybody else's

Official images are pulled where a registry answers. Elsewhere they are made
from Debian's packages, which takes root on Debian. Free-threaded builds are
compiled, which takes some minutes.

exit codes: 0 done; 2 wrong usage; 3 one could not be made or removed (the
  others were)"""

#: As lab.pythons.image_build.SOURCES, which a test compares; that module is not loaded for --help.
_SOURCES = ("auto", "official", "debian", "upstream")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own commands."""
    chosen = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build = chosen.add_parser("build", help="make the images of these builds; keep those that are current")
    build.add_argument("builds", nargs="+", metavar="BUILD", help="such as 3.9 or 3.13t, or all")
    build.add_argument(
        "--from",
        dest="source",
        choices=_SOURCES,
        default="auto",
        help="official: pulled; debian: its packages, or its source for 3.13t; upstream: python.org's source"
        " (default: auto, whichever can be had)",
    )
    build.add_argument("--force", action="store_true", help="make them anew even if they are current")
    build.set_defaults(act=_build)
    listing = chosen.add_parser("list", help="list the images of builds, with what each Python says of itself")
    listing.set_defaults(act=_list)
    remove = chosen.add_parser("remove", help="remove images of the lab")
    remove.add_argument("names", nargs="*", metavar="NAME", help="a build such as 3.13t, or an image's whole name")
    remove.add_argument("--all", action="store_true", help="every image that the lab made or named")
    remove.set_defaults(act=_remove)


def run(options: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code. Raises EngineError, ImageError or UsageError."""
    from lab.containers import client as containers

    if options.act is _remove and bool(options.names) == options.all:
        raise UsageError("lab images remove: name images, or give --all; lab images list shows them")
    with contextlib.closing(containers.client_for_this_environment()) as client:
        code: int = options.act(client, options)
    return code


def _build(client: DockerClient, options: argparse.Namespace) -> int:
    from lab.messages import tell
    from lab.model import build as builds
    from lab.pythons import image_build

    wanted = builds.parse_many(options.builds)
    for one in wanted:
        image_build.check_buildable(one, options.source)
    failures = []
    for one in wanted:
        try:
            name, made = image_build.make(client, one, options.source, force=options.force, note=tell)
        except EngineError as error:
            tell(f"{one}: {error}")
            failures.append(one)
        else:
            print(f"{name} {'made' if made else 'is current'}")
    if failures:
        raise ImageError(
            f"{len(failures)} of {len(wanted)} images could not be made: {', '.join(map(str, failures))}; the reasons"
            " are above"
        )
    return 0


def _list(client: DockerClient, options: argparse.Namespace) -> int:
    from lab.model import build as builds
    from lab.pythons import images

    there = images.listed(client)
    sys.stdout.write(table(there))
    missing = [name for name in builds.ALL if not any(str(one.build) == name for one in there)]
    if missing:
        print(f"Of all builds not there: {', '.join(missing)}. Make them with: lab images build {' '.join(missing)}")
    return 0


def table(there: Sequence[Image]) -> str:
    """The images as a table, in plain text."""
    from tabulate import tabulate

    rows = [
        (
            str(one.build),
            one.name,
            one.problem or (one.answer.release if one.answer else ""),
            ("on" if one.answer.gil_enabled else "off") if one.answer else "",
            _jit(one),
            f"{one.size / 1e6:.0f} MB",
            one.created[:10],
            one.origin,
        )
        for one in there
    ]
    header = ("build", "image", "says it is", "GIL", "JIT", "size", "created", "origin")
    return tabulate(rows, header, tablefmt="plain", disable_numparse=True) + "\n" if rows else "no images of builds\n"


def _jit(one: Image) -> str:
    jit = one.answer.jit if one.answer else None
    return "" if jit is None else "on" if jit["enabled"] else "off" if jit["available"] else "none"


def _remove(client: DockerClient, options: argparse.Namespace) -> int:
    from lab.pythons import images

    removed, kept = images.remove_images(client, None if options.all else options.names)
    for name in removed:
        print(f"removed {name}")
    if options.all and not removed and not kept:
        print("there was nothing to remove")
    if kept:
        raise EngineError(f"could not remove {'; '.join(kept)}; remove the containers that use it first: lab clean")
    return 0
