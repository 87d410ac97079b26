"""The experiment that runs a program again and again in a cell."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Optional

from lab.cell.claims.claim import Experiment
from lab.cell.claims.recorder import NotMeasuredError, Recorder
from lab.cell.measuring.offspring import adopt_orphans
from lab.cell.programs import look_up
from lab.cell.programs.group_counters import OwnGroup
from lab.cell.programs.program import NULL, PREFIX, Program, from_stored
from lab.cell.programs.run import run_once
from lab.cell.programs.speed import speed

#: The arm of one process alone, as the rounds of all other experiments call it.
ALONE = "one process"
#: How soon a thread hands the GIL over, in seconds: the end of a program is to be noticed at once.
_SWITCH_SECONDS = 1e-4


def run(recorder: Recorder) -> None:
    """Run the program of the recorder. A run that fails ends them, and is recorded as every other run."""
    program = from_stored(recorder.case or {})
    adopt_orphans()
    sys.setswitchinterval(_SWITCH_SECONDS)
    group = OwnGroup() if program.alone else None
    _hook(program, "setup", program.setup)
    try:
        _runs(recorder, program, group)
    except NotMeasuredError:  # what the setup has made is there all the same
        with contextlib.suppress(NotMeasuredError):  # of two failures the first one is told
            _hook(program, "cleanup", program.cleanup)
        raise
    _hook(program, "cleanup", program.cleanup)


def _runs(recorder: Recorder, program: Program, group: Optional[OwnGroup]) -> None:
    """Run the program as often as it is asked for, until a run fails."""
    for _ in range(program.warmup):
        if not _whole_run(recorder, program, group, counts=False):
            return
    begun, made = time.monotonic(), 0
    while _goes_on(program, made, time.monotonic() - begun):
        if not _whole_run(recorder, program, group, counts=True):
            return
        made += 1


def _goes_on(program: Program, made: int, seconds: float) -> bool:
    """Whether there is another run after so many runs and seconds."""
    if program.most_runs is not None and made >= program.most_runs:
        return False
    return made < program.least_runs or seconds < program.seconds


def _whole_run(recorder: Recorder, program: Program, group: Optional[OwnGroup], *, counts: bool) -> bool:
    """A run with what comes before and after it. Returns whether it ended well."""
    _hook(program, "prepare", program.prepare)
    alone = {ALONE: speed()} if counts else {}
    run = run_once(program, group)
    failed = run.failed(program)
    if counts or failed:
        if alone:
            recorder.sample("round", alone)
        recorder.sample("run", {"program": dict(run._asdict(), failed=failed, ending=run.ending if failed else "")})
    with contextlib.suppress(*([NotMeasuredError] if failed else [])):
        _hook(program, "conclude", program.conclude)
    return not failed


def _hook(program: Program, name: str, text: str) -> None:
    """Run a command of the user's for the shell. Raises NotMeasuredError where it fails."""
    if not text:
        return
    hook = program._replace(words=(text,), by_shell=True, output=NULL, inherited=(), ignored_codes=())
    ending = run_once(hook)
    if ending.failed(hook):
        said = ": %s" % ending.words.splitlines()[-1] if ending.words else ""
        raise NotMeasuredError("cannot be measured: its --%s %s%s" % (name, ending.ending, said))


def experiment(name: str) -> Experiment:
    """The experiment that runs the program with that name."""
    label = name[len(PREFIX) :]
    if not label:
        return Experiment(name, "whether programs can be started", "Looks for each.", "", look_up.run, (), extra=True)
    return Experiment(
        name=name,
        summary="%s: wall time, CPU time and memory" % label,
        method="Starts the program again and again in a session of its own. Waits for it and for all that it starts.",
        watch="Compare the wall time under each limit with that under the smallest.",
        run=run,
        claims=(),
        extra=True,
    )
