"""Line numbers of a traceback, which pytest takes for granted."""

from __future__ import annotations

from types import TracebackType


def with_lines(error: BaseException) -> None:
    """Give each frame of a traceback a line, also in the errors that this one came of or is a group of.

    What a signal raises may come at an instruction that belongs to no line. Then ``tb_lineno`` is None, and pytest
    fails instead of the test (pytest-dev/pytest-xdist, issue 1196): nobody learns which test did not end in time.
    """
    error.__traceback__ = _with_lines(error.__traceback__)
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        if isinstance(other, BaseException):
            with_lines(other)


def _with_lines(traceback: TracebackType | None) -> TracebackType | None:
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(entries):
        line: int | None = entry.tb_lineno
        first = entry.tb_frame.f_code.co_firstlineno
        traceback = TracebackType(traceback, entry.tb_frame, entry.tb_lasti, first if line is None else line)
    return traceback
