"""One engine for cells of several builds, made of an engine for each; and what is proven of every build."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lab.engines import Engine, Sink, nothing
from lab.errors import CellError, EngineError, ImageError
from lab.model import build as builds
from lab.model.build import Build
from lab.model.cell import Job, Outcome
from lab.model.machine import BuildFacts, Machine

#: Asking a Python what it is takes half a second, and nothing is measured meanwhile.
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
        """The machine, with every build's own facts in ``named_builds``, nothing known of one that failed. Raises
        as the first of them does where all do; ImageError where what answers is not the build that was named."""
        with ThreadPoolExecutor(ASKED_AT_A_TIME) as pool:
            tasks = [meanwhile] + [nothing] * (len(self.parts) - 1)
            answers = dict(zip(self.parts, pool.map(_asked, self.parts.values(), tasks), strict=True))
        said = {label: self._checked(label, one) for label, one in answers.items()}
        self._failed = {label: one for label, one in said.items() if isinstance(one, EngineError)}
        machines = [one for one in said.values() if isinstance(one, Machine)]
        if not machines:
            raise next(iter(self._failed.values()))
        for label, error in self._failed.items():
            self._note(f"without {label}: {error}" if label in self._spare else f"{label} will not run: {error}")
        there = {label: one for label, one in said.items() if label not in self._failed or label not in self._spare}
        return machines[0].with_builds(_facts(label, one) for label, one in there.items())

    def run(self, job: Job, sink: Sink) -> Outcome:
        if job.cell.build in self._failed:
            raise CellError(str(self._failed[job.cell.build]))
        return self.parts[job.cell.build].run(job, sink)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # one that cannot be closed leaves none of the others open
            for one in self.parts.values():
                stack.callback(one.close)

    def _checked(self, label: str, said: Machine | EngineError) -> Machine | EngineError:
        """What a build has said, or that it is another one, where nobody has named it. Raises ImageError."""
        if isinstance(said, EngineError):
            return said
        try:
            _check(builds.parse_build(label), _facts(label, said))
        except ImageError as error:
            if label not in self._spare:
                raise
            return error
        return said


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
    """What a build has proven to be; of a build that failed nothing is known."""
    return BuildFacts(label=label) if isinstance(answer, EngineError) else answer.own_build(label)


def _check(build: Build, facts: BuildFacts) -> None:
    """Whether the Python that answered is the build asked for. Raises ImageError."""
    python = facts.python
    where = f"the image {facts.image}" if facts.image else str(python["executable"])
    found = replace(builds.build_from_python(python), gil=None, cpu_count=None)
    if build.version and found != replace(build, gil=None, cpu_count=None):
        remedy = f"make it anew: lab images build {build.name}" if facts.image else "name the path of another one"
        raise ImageError(f"{where} was to be Python {build.name}, and is {found.name}; {remedy}")
    if build.gil is not None and python["gil_enabled"] is not build.gil:
        state = "on" if python["gil_enabled"] else "off"
        raise ImageError(f"--python {build.label}: {where} has its GIL {state} all the same; leave the option out")
