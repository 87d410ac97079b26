"""``lab bundle``: save the images and the packages that a run needs into one file, for a room without a network."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from lab.messages import show, tell

HELP = "save the images and the packages that a run needs into one file, for a room without a network"
EXAMPLE = """\
examples:
  lab bundle room.tar                      the default image, the lab's wheels
  lab bundle room.tar --python 3.9,3.13t   the images of these builds
  lab bundle room.tar --python all         every build that has an image here
  lab bundle room.tar --image myapp:1      an image of your own
  lab bundle room.tar --no-images          for a room without an engine
  lab bundle room.tar --extras report,ssh  the wheels of these optional parts

The command ends with what to type in the room, and with the fingerprint of the
bundle: lab load --fingerprint compares it. The wheels are for the Python that
runs this command, and for this kind of machine.

exit codes: 0 saved; 2 wrong usage, or the file is there already; 3 no engine
  answers, an image or a wheel could not be had, or the disk is full"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from lab.commands._options import located

    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write, such as room.tar")
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--python",
        action="append",
        type=located,
        metavar="BUILD",
        help="builds whose images are saved, such as 3.9,3.13t or all; repeat it for several",
    )
    images.add_argument("--image", help="an image to save instead")
    images.add_argument("--no-images", action="store_true", help="save wheels only, for a room without an engine")
    parser.add_argument(
        "--extras",
        default="report",
        metavar="LIST",
        help="the optional parts whose wheels are saved: kubernetes, report, ssh, or none (default: report)",
    )


def run(options: argparse.Namespace) -> int:
    """Save everything, say what to do with it, and return the exit code. Raises LabError."""
    from lab.containers.client import client_for_this_environment
    from lab.engines.selection import Wanted
    from lab.pythons.wheelhouse import parse_extras
    from lab.running import bundles
    from lab.text import units

    extras = parse_extras(options.extras)
    wanted = Wanted(engine="docker", image=options.image, pythons=tuple(options.python or ()))
    wanted.check()
    with contextlib.nullcontext() if options.no_images else contextlib.closing(client_for_this_environment()) as client:
        images = bundles.needed_images(client, wanted, tell) if client else ()
        about, fingerprint = bundles.write(client, options.file, images, extras, tell)
    size = units.size(options.file.stat().st_size)
    counts = (units.counted(len(images), "image"), units.counted(about["wheels"]["count"], "wheel"))
    show(f"{options.file}: {' and '.join(counts)}, {size}")
    show(f"fingerprint: {fingerprint}")
    show(f"\nIn the room, with {bundles.wheels_label(about)}:")
    for line in bundles.room_commands(about, Path(options.file.name), wanted):
        show(f"  {line}")
    return 0
