"""The lab's exceptions: one tree, an exit code per branch.

    LabError                 3  the lab could not run
    ├── UsageError           2  wrong usage or bad input
    │   ├── NotResumableError 2 a stored run that cannot go on here
    │   └── OtherEnvironmentError 2 the function does not work in what it is compared with
    ├── EngineError          3  no engine answers, or it refused
    │   ├── NamedEngineError 3  the engine that the user named does not answer
    │   ├── ImageError       3  no image, or an image that cannot run a cell
    │   └── CellError        3  one cell could not be run; the other cells go on
    ├── StoreError           3  a session could not be written or read
    ├── OutputError          3  standard output could not be written
    ├── MissingExtraError    3  an optional part of the lab is not installed
    └── Interrupted        130  Ctrl-C or SIGTERM

Every message says what happened, the value seen, what is allowed and what to do next. Only ``lab.__main__`` exits, and
after Ctrl-C the guard of ``lab.interrupts``.
"""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what was asked. The message is one line for the user.

    ``fix`` is what to do next. It ends the message, and can also be read alone.
    """

    exit_code = 3

    def __init__(self, message: str = "", fix: str = "") -> None:
        super().__init__(f"{message}; {fix}" if fix else message)
        self.what = message
        self.fix = fix


class UsageError(LabError):
    """Wrong usage or bad input."""

    exit_code = 2


class NotResumableError(UsageError):
    """A stored run cannot go on here. Where the user named none, the next older run is tried."""


class OtherEnvironmentError(UsageError):
    """A function cannot be called in the environment that it is compared with."""


class EngineError(LabError):
    """No engine answers, or the engine refused a request."""


class NamedEngineError(EngineError):
    """The engine that the user named is missing, broken or stopped. No other engine is taken instead."""


class ImageError(EngineError):
    """The image is missing and cannot be provided, or it cannot run a cell."""


class CellError(EngineError):
    """One cell could not be run; the other cells of the session are not touched by it."""


class StoreError(LabError):
    """A session could not be written or read."""


class OutputError(LabError):
    """Standard output is full or closed, or whoever read it has ended."""


class MissingExtraError(LabError):
    """A library that only some reports need is not installed. ``what`` needs the extra with the name ``extra``."""

    def __init__(self, what: str, extra: str, missing: ModuleNotFoundError) -> None:
        from pathlib import Path  # here, and not for every command

        folder = Path(__file__).resolve().parents[1]
        source = folder if (folder / "pyproject.toml").is_file() else "multicore-lab"
        super().__init__(
            f"{what} need a library that is not installed ({missing.name})",
            f"install it: pip install '{source}[{extra}]'",
        )


class Interrupted(LabError):
    """The user, or the system, asked the lab to stop."""

    exit_code = 130
