"""Which engine runs the cells, and for each build which image or interpreter: chosen, made, and asked what it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import engines
from lab.engines import Engine, nothing
from lab.engines.composite import ASKED_AT_A_TIME, BrokenEngine, CompositeEngine
from lab.errors import CellError, EngineError, ImageError, UsageError
from lab.model import build as builds
from lab.model.build import Build
from lab.model.machine import Machine

if TYPE_CHECKING:
    from docker import DockerClient
    from lab.pythons.discovery import Discovery, Interpreter

#: Takes a line that the user should know.
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The engine, the image and the builds that the user asked for."""

    #: auto, docker or local.
    engine: str
    #: The image of the cells (docker).
    image: str | None = None
    #: The builds of Python, as the user wrote them.
    pythons: tuple[str, ...] = ()
    #: The label of a build -> the image that it has to have, where that is known (docker).
    images: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError for options that contradict each other, before any engine is asked."""
        if self.engine == "local" and self.image:
            raise UsageError("--image needs an engine; leave it out, or use --engine docker")
        if self.image and self.pythons:
            raise UsageError("--image and --python both name a Python; leave one of them out")
        builds.parse_builds(self.pythons)

    def spare(self, chosen: Iterable[Build]) -> set[str]:
        """The labels of the builds that ``all`` has added and that nobody has named."""
        named = builds.parse_builds(self.pythons, everything=())
        return {build.label for build in chosen if build not in named}

    @property
    def everything(self) -> bool:
        """Whether ``all`` is among the builds."""
        return any("all" in builds.split_names(text) for text in self.pythons)

    @property
    def paths(self) -> bool:
        """Whether a Python of this machine is named by its path, which no container has."""
        return any(build.path for build in builds.parse_builds(self.pythons))


def choose(
    wanted: Wanted, session: str, *, note: Note, before_slow_step: Note, meanwhile: Callable[[], object] = nothing
) -> tuple[Engine, Machine]:
    """The engine asked for, probed; ``auto`` takes docker where it answers and has an image, else local, and says so.

    ``note`` takes a line that the user should know. ``before_slow_step`` takes a line before an image is pulled, which
    may take long. ``meanwhile`` is called while the engine is waited for. Raises EngineError, ImageError or UsageError.
    """
    wanted.check()
    engine, machine = _chosen(wanted, session, note, before_slow_step, meanwhile)
    for line in _on_debug_builds(machine):
        note(line)
    return engine, machine


def _chosen(
    wanted: Wanted, session: str, note: Note, before_slow_step: Note, meanwhile: Callable[[], object]
) -> tuple[Engine, Machine]:
    if wanted.engine == "local" or (wanted.engine == "auto" and wanted.paths):
        return _local(wanted, note, meanwhile)
    try:
        engine, machine = _docker(wanted, session, note, before_slow_step, meanwhile)
    except EngineError as error:
        if wanted.engine == "docker" or wanted.image:
            raise
        note(f"engine: local (docker: {error})")
        return _local(wanted, note, meanwhile)
    if wanted.engine == "auto":
        images = [str(facts.image) for facts in machine.builds if facts.image]
        note(f"engine: docker, image{'s' * (len(images) > 1)} {', '.join(images)}")
    return engine, machine


def _on_debug_builds(machine: Machine) -> Iterable[str]:
    """A line on each Python that was compiled to find faults, which it pays for with its speed."""
    for facts in machine.named_builds or (machine.own_build("this Python"),):
        if facts.is_debug:
            yield f"{facts.label} is a debug build (Py_DEBUG): its times do not compare with those of other builds"


def _local(wanted: Wanted, note: Note, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    if not wanted.pythons:
        return _probed(engines.make("local"), meanwhile)
    from lab.pythons import discovery

    there = discovery.find_interpreters()
    chosen = builds.parse_builds(wanted.pythons, everything=there.usable_builds)
    if not chosen:
        raise EngineError("there is no Python on this machine that can run a cell; name the path of one with --python")
    if wanted.everything and there.left_out:
        note(f"all leaves out {'; '.join(there.left_out)}")
    with ThreadPoolExecutor(ASKED_AT_A_TIME) as pool:  # one that hangs makes itself waited for
        found = dict(zip(chosen, pool.map(lambda build: _interpreter(build, there), chosen), strict=True))
    parts = _made((build.label, _local_engine(build, one)) for build, one in found.items())
    return _probed(CompositeEngine(parts, wanted.spare(chosen), note), meanwhile)


def _interpreter(build: Build, there: Discovery) -> Interpreter | CellError:
    """The interpreter of a build, or why the one that is there cannot run its cells. Raises EngineError or UsageError
    where there is none."""
    from lab.pythons import discovery

    try:
        return discovery.interpreter_of(build, there)
    except CellError as error:
        return error


def _local_engine(build: Build, found: Interpreter | CellError) -> Engine:
    if isinstance(found, CellError):
        return BrokenEngine(found)
    return engines.make("local", interpreter=found.path, arguments=build.arguments)


def _docker(
    wanted: Wanted, session: str, note: Note, before_slow_step: Note, meanwhile: Callable[[], object]
) -> tuple[Engine, Machine]:
    if not wanted.pythons:
        options = {"image": wanted.image, "session": session, "note": note, "before_slow_step": before_slow_step}
        return _probed(engines.make("docker", **options), meanwhile)
    from lab.containers.client import client_for_this_environment
    from lab.pythons import images

    with contextlib.closing(client_for_this_environment()) as client:
        others = (str(build) for _, build, _ in images.tagged(client)) if wanted.everything else ()
        chosen = builds.parse_builds(wanted.pythons, everything={*builds.ALL, *others})
        spare = wanted.spare(chosen)
        found = _images(client, chosen, wanted.images, spare, note, before_slow_step)
    options = {"session": session, "note": note}
    parts = _made(
        (build.label, engines.make("docker", image=image, arguments=build.arguments, key=build.key, **options))
        for build, image in found.items()
    )
    return _probed(CompositeEngine(parts, spare, note), meanwhile)


def _made(made: Iterable[tuple[str, Engine]]) -> dict[str, Engine]:
    """All of these engines, made one after the other; where one cannot be made, none stays open."""
    parts = {}
    with contextlib.ExitStack() as stack:
        for label, engine in made:
            stack.callback(engine.close)
            parts[label] = engine
        stack.pop_all()
    return parts


def _images(
    client: DockerClient,
    chosen: Sequence[Build],
    known: Mapping[str, str],
    spare: Container[str],
    note: Note,
    before_slow_step: Note,
) -> dict[Build, str]:
    """The image of each build, the known one or one of its name; of the spare ones those that are there.

    Raises ImageError when one asked for is not.
    """
    from lab.pythons.images import image_of

    found, missing = {}, []
    for build in chosen:
        try:
            found[build] = known.get(build.label) or image_of(client, build, before_slow_step)
        except ImageError:
            if build.label not in spare:
                raise
            missing.append(build.name)
    if not found:
        raise ImageError("this engine has no image of any Python; make them with: lab images build all")
    if missing:
        note(f"without {', '.join(missing)}: this engine has no image of it; lab images build {' '.join(missing)}")
    return found


def _probed(engine: Engine, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    """The engine and what it says of itself; closed again where it cannot run a cell."""
    with contextlib.ExitStack() as stack:
        stack.callback(engine.close)
        machine = engine.probe(meanwhile)
        stack.pop_all()
    return engine, machine
