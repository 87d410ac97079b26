"""Which engine runs the cells, and which image or interpreter each build has. The engine is chosen, made and probed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lab import engines, system
from lab.engines import Engine, nothing
from lab.engines.composite import ASKED_AT_A_TIME, BrokenEngine, CompositeEngine
from lab.errors import CellError, EngineError, ImageError, NamedEngineError, UsageError
from lab.interrupts import in_threads
from lab.model import build as builds
from lab.model.allocation import Allocation
from lab.model.build import Build
from lab.model.machine import Machine, choice_of

if TYPE_CHECKING:
    from docker import DockerClient
    from lab.pythons.discovery import Discovery, Interpreter

#: Takes a line that the user should know.
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The engine, the image and the builds that the user asked for."""

    #: auto, docker, local or slurm.
    engine: str
    #: The image of the cells (docker).
    image: str | None = None
    #: The builds of Python, as the user wrote them.
    pythons: tuple[str, ...] = ()
    #: The label of a build -> the image that the build must have, if a session has recorded it (docker).
    images: Mapping[str, str] = field(default_factory=dict)
    #: Whether the cells run programs of the user's, for which the image needs no Python.
    own_programs: bool = False
    #: What is asked of the site (slurm).
    allocation: Allocation = field(default_factory=Allocation)
    #: The host whose engine runs the cells: a context or an address; empty: that of the environment (docker).
    host: str = ""
    #: Whether the host gets its images from the engine of the environment.
    send_image: bool = False

    def check(self) -> None:
        """Raise UsageError for options that contradict each other, before any engine is asked."""
        if self.engine == "local" and self.image:
            raise UsageError("--image needs an engine", "leave it out, or use --engine docker")
        if self.image and self.pythons:
            raise UsageError("--image and --python both name a Python", "leave out either --image or --python")
        builds.parse_builds(self.pythons)

    def spare(self, chosen: Iterable[Build]) -> set[str]:
        """The labels of the builds that ``all`` has added and that the user has not named."""
        requested = builds.parse_builds(self.pythons, everything=())
        return {build.label for build in chosen if build not in requested}

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
    """The engine that the user asked for, and the machine that it has probed.

    ``auto`` takes docker if an engine answers and has an image, else local, and notes its choice. It takes no other
    engine than the one that the user has named by an address or a context: that one answers, or NamedEngineError.
    ``note`` takes a line that the user should know. ``before_slow_step`` takes a line before an image is pulled, which
    may take long. ``meanwhile`` is called while the engine is waited for. Raises EngineError, ImageError or UsageError.
    """
    wanted.check()
    try:
        engine, machine = _chosen(wanted, session, note, before_slow_step, meanwhile)
    except (EngineError, UsageError) as error:
        if not wanted.host:
            raise
        raise type(error)(error.what, system.not_local(error.fix)) from error
    for line in _on_debug_builds(machine):
        note(line)
    return engine, machine


def _chosen(
    wanted: Wanted, session: str, note: Note, before_slow_step: Note, meanwhile: Callable[[], object]
) -> tuple[Engine, Machine]:
    if wanted.engine == "slurm":
        return _slurm(wanted, session, note, meanwhile)
    if wanted.engine == "local" or (wanted.engine == "auto" and wanted.paths):
        return _local(wanted, note, meanwhile)
    try:
        engine, machine = _docker(wanted, session, note, before_slow_step, meanwhile)
    except NamedEngineError:
        raise  # who names an engine gets that engine or an error
    except EngineError as error:
        if wanted.engine == "docker" or wanted.image or wanted.host or not system.HAS_AFFINITY:
            raise
        note(f"engine: local (docker: {error})")
        return _local(wanted, note, meanwhile)
    if wanted.engine == "auto":
        images = [str(facts.image) for facts in machine.builds if facts.image]
        note(f"engine: docker, image{'s' * (len(images) > 1)} {', '.join(images)}")
    return engine, machine


def _on_debug_builds(machine: Machine) -> Iterable[str]:
    """A line for each Python that is a debug build, because a debug build is slow."""
    for facts in machine.named_builds or (machine.own_build("this Python"),):
        if facts.is_debug:
            yield f"{facts.label} is a debug build (Py_DEBUG): its times do not compare with those of other builds"


def _local(wanted: Wanted, note: Note, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    if why := system.why_not_local():  # before any interpreter is asked
        raise UsageError(why, "run the cells in containers: --engine docker")
    from lab.pythons import discovery

    note = functools.cache(note)  # the engines of several builds see the same shared memory
    if not wanted.pythons:
        engine, machine = _probed(engines.make("local", note=note), meanwhile)
        choice = choice_of(machine, "the Python that runs the lab", discovery.likely_builds())
        return engine, machine.with_choice(choice)

    pythons = discovery.find_interpreters()
    chosen = builds.parse_builds(wanted.pythons, everything=pythons.usable_builds)
    if not chosen:
        raise EngineError(
            "there is no Python on this machine that can run a cell", "name the path of an interpreter with --python"
        )
    if wanted.everything and pythons.left_out:
        note(f"all leaves out {'; '.join(pythons.left_out)}")
    # An interpreter that hangs costs its timeout.
    interpreters = in_threads(lambda build: _interpreter(build, pythons), chosen, ASKED_AT_A_TIME)
    parts = _made(
        (build.label, _local_engine(build, interpreter, note))
        for build, interpreter in zip(chosen, interpreters, strict=True)
    )
    return _probed(CompositeEngine(parts, wanted.spare(chosen), note), meanwhile)


def _interpreter(build: Build, pythons: Discovery) -> Interpreter | CellError:
    """The interpreter of a build, or why its interpreter cannot run its cells.

    Raises EngineError or UsageError if there is no such interpreter.
    """
    from lab.pythons import discovery

    try:
        return discovery.interpreter_of(build, pythons)
    except CellError as error:
        return error


def _local_engine(build: Build, interpreter: Interpreter | CellError, note: Note) -> Engine:
    if isinstance(interpreter, CellError):
        return BrokenEngine(interpreter)
    return engines.make("local", interpreter=interpreter.path, arguments=build.arguments, note=note)


def _slurm(wanted: Wanted, session: str, note: Note, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    from lab.engines import slurm

    allocation = replace(wanted.allocation, nodelist=wanted.host or wanted.allocation.nodelist)
    node = slurm.connect(allocation=allocation, session=session, image=wanted.image, note=note)
    if not wanted.pythons:
        engine, machine = _probed(node, meanwhile)
        if wanted.image:
            return engine, machine
        return engine, machine.with_choice(choice_of(machine, "the first python3 on the PATH of the node", ()))
    if wanted.everything:
        raise UsageError(
            "--python all: the lab does not look for the Pythons of a node", "name them: --python 3.11,3.13"
        )
    chosen = builds.parse_builds(wanted.pythons)
    parts: dict[str, Engine] = {build.label: node.beside(_program(build), build.arguments) for build in chosen}
    return _probed(CompositeEngine(parts, note=note), meanwhile)


def _program(build: Build) -> str:
    """The program of a build on a node, which is found on its PATH unless it is a path: ``python3.13t``."""
    return build.path or (build.name if build.name.startswith("pypy") else f"python{build.name}")


def _docker(
    wanted: Wanted, session: str, note: Note, before_slow_step: Note, meanwhile: Callable[[], object]
) -> tuple[Engine, Machine]:
    from lab.containers import address

    if line := address.warning(address.host_address(wanted.host) if wanted.host else address.user_address()):
        note(line)
    if not wanted.pythons:
        named = {"image": wanted.image, "host": wanted.host, "send_image": wanted.send_image}
        options = {"session": session, "note": note, "before_slow_step": before_slow_step, **named}
        return _probed(engines.make("docker", own_programs=wanted.own_programs, **options), meanwhile)
    from lab.containers.client import client_for_this_environment

    with contextlib.closing(client_for_this_environment("" if wanted.send_image else wanted.host)) as client:
        image_of_build, spare = images_by_build(client, wanted, note, before_slow_step)
        if wanted.send_image:
            image_of_build = _sent(client, wanted.host, image_of_build, before_slow_step)
    options = {"session": session, "note": note, "host": wanted.host}
    parts = _made(
        (
            build.label,
            # One guard is enough, that of the first engine, which is closed last.
            engines.make(
                "docker", image=image, arguments=build.arguments, key=build.key, guarded=not number, **options
            ),
        )
        for number, (build, image) in enumerate(image_of_build.items())
    )
    return _probed(CompositeEngine(parts, spare, note), meanwhile)


def images_by_build(
    client: DockerClient, wanted: Wanted, note: Note, before_slow_step: Note
) -> tuple[dict[Build, str], set[str]]:
    """The image of each build that the user named, and the labels of the builds that only ``all`` has added.

    Raises ImageError if a build that the user named has no image.
    """
    from lab.pythons import images

    names = (str(build) for _, build, _ in images.tagged(client)) if wanted.everything else ()
    chosen = builds.parse_builds(wanted.pythons, everything={*builds.ALL, *names})
    spare = wanted.spare(chosen)
    return _images(client, chosen, wanted.images, spare, note, before_slow_step), spare


def _sent(source: DockerClient, host: str, images: Mapping[Build, str], note: Note) -> dict[Build, str]:
    """The images of builds as a host has them, to which they are sent. Raises EngineError and ImageError."""
    from lab.containers.client import client_for_this_environment
    from lab.containers.image_transfer import send_image

    with contextlib.closing(client_for_this_environment(host)) as target:
        return {build: send_image(source, target, image, note) for build, image in images.items()}


def _made(pairs: Iterable[tuple[str, Engine]]) -> dict[str, Engine]:
    """All of these engines by their labels, made one after the other. If making one fails, none stays open."""
    parts = {}
    with contextlib.ExitStack() as stack:
        for label, engine in pairs:
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
    """The image of each build: the known image, or the image with the name of the build.

    A spare build without an image is left out. Raises ImageError if a build that the user named has no image.
    """
    from lab.pythons.images import image_of

    image_of_build, missing = {}, []
    for build in chosen:
        try:
            image_of_build[build] = known.get(build.label) or image_of(client, build, before_slow_step)
        except ImageError:
            if build.label not in spare:
                raise
            missing.append(build.name)
    if not image_of_build:
        raise ImageError("this engine has no image of any Python", "make them with: lab images build all")
    if missing:
        note(
            f"without {', '.join(missing)}: this engine has no image of {'them' if len(missing) > 1 else 'it'}; make"
            f" {'them' if len(missing) > 1 else 'it'} with: lab images build {' '.join(missing)}"
        )
    return image_of_build


def _probed(engine: Engine, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    """The engine and the machine that it has probed. An engine that cannot run a cell is closed."""
    with contextlib.ExitStack() as stack:
        stack.callback(engine.close)
        machine = engine.probe(meanwhile)
        stack.pop_all()
    return engine, machine
