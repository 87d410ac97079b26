"""``lab images``: make, list and remove the images of builds on the engine."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.errors import EngineError, ImageError, UsageError
from lab.messages import show

if TYPE_CHECKING:
    from docker import DockerClient
    from lab.pythons.images import Image

HELP = "make, list and remove the images of builds; each image has one Python"
EXAMPLE = """\
examples:
  lab images build 3.9 3.13t      make two images; keep those that are current
  lab images build all            make the usual images of lab run --python all
  lab images list                 list the images, and what each Python says
  lab images remove 3.13t         remove one image of the lab, or --all images
                                  of the lab, but no other image

Official images are pulled where a registry answers. Elsewhere the lab makes
images from Debian's packages, which takes root on Debian. It compiles
free-threaded builds, which takes some minutes.

exit codes: 0 done; 2 wrong usage; 3 an image could not be made or removed (the
  others were)"""

#: The same as lab.pythons.image_build.SOURCES, which a test compares: --help does not load that module.
_SOURCES = ("auto", "official", "debian", "upstream")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own commands."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build = commands.add_parser("build", help="make the images of these builds; keep images that are current")
    build.add_argument("builds", nargs="+", metavar="BUILD", help="such as 3.9 or 3.13t, or all")
    build.add_argument(
        "--from",
        dest="source",
        choices=_SOURCES,
        default="auto",
        help="official: pull the image; debian: use Debian's packages, or its source for 3.13t; upstream: compile"
        " python.org's source; auto: the first of these that works (default)",
    )
    build.add_argument("--force", action="store_true", help="make the images again even if they are current")
    build.set_defaults(act=_build)
    listing = commands.add_parser("list", help="list the images of builds, with what each Python says of itself")
    listing.set_defaults(act=_list)
    remove = commands.add_parser("remove", help="remove images that the lab made or named")
    remove.add_argument("names", nargs="*", metavar="NAME", help="a build such as 3.13t, or an image's whole name")
    remove.add_argument("--all", action="store_true", help="every image that the lab made or named")
    remove.set_defaults(act=_remove)


def run(options: argparse.Namespace) -> int:
    """Run the chosen command, and return the exit code. Raises EngineError, ImageError or UsageError."""
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

    chosen = builds.parse_builds(options.builds)
    for build in chosen:
        image_build.check_buildable(build, options.source)
    failures = []
    for build in chosen:
        try:
            name, made = image_build.make(client, build, options.source, force=options.force, note=tell)
        except EngineError as error:
            tell(f"{build}: {error}")
            failures.append(build)
        else:
            show(f"{name} {'made' if made else 'is current'}")
    if failures:
        raise ImageError(
            f"{len(failures)} of {len(chosen)} images could not be made: {', '.join(map(str, failures))}; the reasons"
            " are above"
        )
    return 0


def _list(client: DockerClient, options: argparse.Namespace) -> int:
    from lab.model import build as builds
    from lab.pythons import images

    present = images.listed(client)
    show(table(present), end="")
    missing = [name for name in builds.ALL if not any(str(image.build) == name for image in present)]
    if missing:
        show(f"Missing from --python all: {', '.join(missing)}. Make them with: lab images build {' '.join(missing)}")
    return 0


def table(present: Sequence[Image]) -> str:
    """The images as a table, in plain text."""
    from tabulate import tabulate

    rows = [
        (
            str(image.build),
            image.name,
            image.problem or (image.answer.release if image.answer else ""),
            ("on" if image.answer.gil_enabled else "off") if image.answer else "",
            _jit(image),
            f"{image.size / 1e6:.0f} MB",
            image.created[:10],
            image.origin,
        )
        for image in present
    ]
    header = ("build", "image", "says it is", "GIL", "JIT", "size", "created", "origin")
    return tabulate(rows, header, tablefmt="plain", disable_numparse=True) + "\n" if rows else "no images of builds\n"


def _jit(image: Image) -> str:
    jit = image.answer.jit if image.answer else None
    return "" if jit is None else "on" if jit["enabled"] else "off" if jit["available"] else "none"


def _remove(client: DockerClient, options: argparse.Namespace) -> int:
    from lab.pythons import images

    removed, kept = images.remove_images(client, None if options.all else options.names)
    for name in removed:
        show(f"removed {name}")
    if options.all and not removed and not kept:
        show("there was nothing to remove")
    if kept:
        raise EngineError(f"could not remove {'; '.join(kept)}; remove the containers that use it first: lab clean")
    return 0
