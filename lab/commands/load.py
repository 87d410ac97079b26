"""``lab load``: check a bundle, load its images, and say how to install the lab from it."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from lab.messages import show, tell

HELP = "check a file that lab bundle has written, load its images, and say how to install the lab from it"
EXAMPLE = """\
examples:
  lab load room.tar                      load the images
  lab load room.tar --check              check the file, and load nothing
  lab load room.tar --fingerprint SHA256 only if it is the file that was made

Every member is checked against its hash before anything is loaded. A person who
edits a bundle can also write new hashes: only the fingerprint, which lab bundle
has printed, shows that.

exit codes: 0 loaded; 2 the file is refused (cut short, edited, no bundle), and
  nothing was loaded; 3 no engine answers, the images are for other machines, or
  the engine could not load them"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the file that lab bundle has written")
    parser.add_argument("--check", action="store_true", help="check the file, and load nothing")
    parser.add_argument("--fingerprint", default="", metavar="SHA256", help="refuse a bundle with another fingerprint")


def run(options: argparse.Namespace) -> int:
    """Check, load, and print how to install the lab; return the exit code. Raises UsageError and EngineError."""
    from lab.containers.client import client_for_this_environment
    from lab.pythons.wheelhouse import this_python
    from lab.running import bundles

    with bundles.opened(options.file, options.fingerprint) as bundle:
        about = bundle.about
        show(f"{options.file} is whole, as lab {about.get('lab')} wrote it; fingerprint {bundle.fingerprint}")
        if bundles.images_of(bundle) and not options.check:
            with contextlib.closing(client_for_this_environment()) as client:
                for image in bundles.load_images(client, bundle, tell):
                    show(f"on the engine: {image.label}")
    here = this_python()
    wrong = [name for name, value in here.items() if about["wheels"].get(name) != value]
    if wrong:
        show(f"The wheels in it are for {bundles.wheels_label(about)}, not for the Python that runs this command.")
    show("Install the lab from it with:")
    program = sys.executable if not wrong else f"python{about['wheels'].get('python')}"
    for line in bundles.install_commands(options.file, program):
        show(f"  {line}")
    return 0
