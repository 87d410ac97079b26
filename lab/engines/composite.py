"""One engine for cells of several builds, made of one engine for each build."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Mapping
from dataclasses import replace

from lab.engines import Engine, Sink, nothing
from lab.errors import CellError, EngineError, ImageError
from lab.interrupts import in_threads
from lab.model import build as builds
from lab.model.build import Build
from lab.model.cell import Job, Outcome
from lab.model.machine import BuildFacts, Machine

#: How many Pythons are probed at a time. A probe takes half a second, and nothing is measured during the probes.
ASKED_AT_A_TIME = 4


class CompositeEngine:
    """One engine for cells of several builds: each cell goes to the engine of its build.

    A build that does not answer, or whose interpreter crashes, costs its own cells. The builds in ``spare`` were added
    by ``--python all``: if one of them fails, or if another build answers, the run continues without it. ``note`` then
    takes a line for the user.
    """

    def __init__(
        self, parts: Mapping[str, Engine], spare: Container[str] = (), note: Callable[[str], None] = lambda line: None
    ) -> None:
        self.parts = dict(parts)
        self._spare, self._note = spare, note
        self._failed: dict[str, EngineError] = {}

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        """The machine, with the facts of every build in ``named_builds``. A build that failed has a label only.

        Raises the first error if every build fails. Raises ImageError if another build answers than the named one.
        """
        tasks = [meanwhile] + [nothing] * (len(self.parts) - 1)
        pairs = list(zip(self.parts.values(), tasks, strict=True))
        answers = dict(zip(self.parts, in_threads(lambda pair: _asked(*pair), pairs, ASKED_AT_A_TIME), strict=True))
        checked = {label: self._checked(label, answer) for label, answer in answers.items()}
        self._failed = {label: answer for label, answer in checked.items() if isinstance(answer, EngineError)}
        machines = [answer for answer in checked.values() if isinstance(answer, Machine)]
        if not machines:
            raise next(iter(self._failed.values()))
        for label, error in self._failed.items():
            self._note(f"without {label}: {error}" if label in self._spare else f"{label} will not run: {error}")
        kept = [label for label in checked if label not in self._failed or label not in self._spare]
        return machines[0].with_builds(_facts(label, checked[label]) for label in kept)

    def run(self, job: Job, sink: Sink) -> Outcome:
        if job.cell.build in self._failed:
            raise CellError(str(self._failed[job.cell.build]))
        return self.parts[job.cell.build].run(job, sink)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # if one engine cannot be closed, the others still are
            for part in self.parts.values():
                stack.callback(part.close)

    def _checked(self, label: str, answer: Machine | EngineError) -> Machine | EngineError:
        """The answer of a build, or the error that another build answered. Raises that error if the user named it."""
        if isinstance(answer, EngineError):
            return answer
        try:
            _check(builds.parse_build(label), _facts(label, answer))
        except ImageError as error:
            if label not in self._spare:
                raise
            return error
        return answer


class BrokenEngine:
    """The engine of a build whose interpreter exists but cannot run a cell. Every method raises the reason."""

    def __init__(self, error: EngineError) -> None:
        self._error = error

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        meanwhile()
        raise self._error

    def run(self, job: Job, sink: Sink) -> Outcome:
        raise self._error

    def close(self) -> None:
        """Do nothing: there is nothing to remove."""


def _asked(engine: Engine, meanwhile: Callable[[], object]) -> Machine | EngineError:
    try:
        return engine.probe(meanwhile)
    except EngineError as error:
        return error


def _facts(label: str, answer: Machine | EngineError) -> BuildFacts:
    """What a build has proven to be. If the build failed, only its label is known."""
    return BuildFacts(label=label) if isinstance(answer, EngineError) else answer.own_build(label)


def _check(build: Build, facts: BuildFacts) -> None:
    """Raise ImageError if the Python that answered is not the build that the user named."""
    python = facts.python
    where = f"the image {facts.image}" if facts.image else str(python["executable"])
    answered = replace(builds.build_from_python(python), gil=None, cpu_count=None)
    if build.version and answered != replace(build, gil=None, cpu_count=None):
        remedy = f"build it again: lab images build {build.name}" if facts.image else "name the path of another Python"
        raise ImageError(f"{where} should be Python {build.name}, but is {answered.name}", remedy)
    if build.gil is not None and python["gil_enabled"] is not build.gil:
        state = "on" if python["gil_enabled"] else "off"
        option = "+gil" if build.gil else "+nogil"
        raise ImageError(f"--python {build.label}: {where} ignored the option: its GIL is {state}", f"remove {option}")
