"""The commands: one module each with HELP, EXAMPLE, ``configure(parser)`` and ``run(options) -> exit code``.

``lab --help`` imports none of them: it reads HELP from the file, where it is one line. What is heavy is imported inside
the functions, so that a command's own help comes at once as well.
"""

from __future__ import annotations

#: What runs on Python 3.9 and with the standard library alone, as in a container; all else orchestrates cells and needs
#: Python 3.11 and the packages that the lab is installed with.
ANYWHERE = ("cpus",)
