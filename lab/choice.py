"""Which engine runs the cells, and for each build which image or interpreter: chosen, made, and asked what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lab import builds, engines
from lab.builds import Build
from lab.engines import Engine, Sink, nothing
from lab.errors import EngineError, ImageError, UsageError
from lab.model import Job, Machine, Outcome

if TYPE_CHECKING:
    from docker import DockerClient

#: Takes a line that the user should know.
Note = Callable[[str], None]

#: Asking a Python what it is takes half a second, and nothing is measured meanwhile.
_ASKED_AT_A_TIME = 4


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user asked for: ``engine`` is auto, docker or local; ``pythons`` are builds as they were written;
    ``images`` those of some builds, by their labels, where it is known which it has to be (docker)."""

    engine: str
    image: str | None = None
    pythons: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises UsageError for what cannot be, before any engine is asked."""
        if self.engine == "local" and self.image:
            raise UsageError("--image needs an engine; leave it out, or use --engine docker")
        if self.image and self.pythons:
            raise UsageError("--image and --python both name a Python; leave one of them out")
        builds.parse_many(self.pythons)

    @property
    def paths(self) -> bool:
        """Whether a Python of this machine is named by its path, which no container has."""
        return any(build.path for build in builds.parse_many(self.pythons))


class Several:
    """One engine for cells of several builds: each cell goes to the engine of its build."""

    def __init__(self, parts: Mapping[str, Engine]) -> None:
        self.parts = dict(parts)

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        """The machine, with every build's own proof in ``details["builds"]``. Raises as each of them does."""
        with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
            tasks = [meanwhile] + [nothing] * (len(self.parts) - 1)
            found = pool.map(lambda one, task: one.probe(task), self.parts.values(), tasks)
            machines: dict[str, Machine] = dict(zip(self.parts, found, strict=True))
        first: Machine = next(iter(machines.values()))
        proofs = [
            {
                "build": label,
                "image": one.image,
                "image_id": one.details.get("image_id"),
                "python": dict(one.python),
                "proof": one.details.get("build"),
            }
            for label, one in machines.items()
        ]
        return replace(first, details={**first.details, "builds": proofs})

    def run(self, job: Job, sink: Sink) -> Outcome:
        return self.parts[job.cell.build].run(job, sink)

    def close(self) -> None:
        for one in self.parts.values():
            one.close()


def choose(
    wanted: Wanted, session: str, note: Note, pulling: Note, meanwhile: Callable[[], object] = nothing
) -> tuple[Engine, Machine]:
    """The engine asked for, probed; ``auto`` takes docker where it answers and has an image, else local, and says so.

    ``pulling`` takes a line before something that may take long; ``meanwhile`` is called while the engine is waited
    for. Raises EngineError, ImageError or UsageError.
    """
    wanted.check()
    if wanted.engine == "local" or (wanted.engine == "auto" and wanted.paths):
        return _local(wanted, meanwhile)
    try:
        engine, machine = _docker(wanted, session, pulling, meanwhile)
    except EngineError as error:
        if wanted.engine == "docker" or wanted.image:
            raise
        note(f"engine: local (docker: {error})")
        return _local(wanted, meanwhile)
    if wanted.engine == "auto":
        images = [one["image"] for one in machine.details.get("builds", ())] or [machine.image]
        note(f"engine: docker, image{'s' * (len(images) > 1)} {', '.join(map(str, images))}")
    return engine, machine


def _local(wanted: Wanted, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    if not wanted.pythons:
        return _probed(engines.make("local"), (), meanwhile)
    from lab import interpreters

    there = interpreters.find()
    chosen = builds.parse_many(wanted.pythons, everything=interpreters.usable_builds(there))
    parts: dict[str, Engine] = {}
    for build in chosen:
        found = interpreters.interpreter_of(build, there)
        short = builds.proven(build, found.build).label  # a path says less than what it leads to, and is longer
        label = build.label if short in parts else short
        parts[label] = engines.make("local", interpreter=found.path, arguments=build.arguments)
    return _probed(Several(parts), chosen, meanwhile)


def _docker(wanted: Wanted, session: str, pulling: Note, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    if not wanted.pythons:
        return _probed(engines.make("docker", image=wanted.image, session=session, note=pulling), (), meanwhile)
    from lab.containers import client_for_this_environment

    client = client_for_this_environment()
    try:
        chosen = builds.parse_many(wanted.pythons)
        images = _images(client, chosen, wanted.images, everything="all" in wanted.pythons, pulling=pulling)
    finally:
        client.close()
    parts: dict[str, Engine] = {}
    for build, image in images.items():
        parts[build.label] = engines.make(
            "docker", image=image, session=session, note=pulling, arguments=build.arguments, key=build.key
        )
    return _probed(Several(parts), tuple(images), meanwhile)


def _images(
    client: DockerClient, chosen: Sequence[Build], known: Mapping[str, str], *, everything: bool, pulling: Note
) -> dict[Build, str]:
    """The image of each build, the known one or one of its name; of ``all`` those that are there.

    Raises ImageError when one asked for is not.
    """
    from lab.images import image_of

    found, missing = {}, []
    for build in chosen:
        try:
            found[build] = known.get(build.label) or image_of(client, build, pulling)
        except ImageError:
            if not everything:
                raise
            missing.append(build.name)
    if not found:
        raise ImageError("this engine has no image of any Python; make them with: lab images build all")
    if missing:
        pulling(f"without {', '.join(missing)}: this engine has no image of it; lab images build {' '.join(missing)}")
    return found


def _probed(engine: Engine, chosen: Sequence[Build], meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    """The engine and what it says of itself; closed again where that is not what was asked for."""
    try:
        machine = engine.probe(meanwhile)
        for build, said in zip(chosen, machine.details.get("builds", ()), strict=True):
            _check(build, said)
    except BaseException:  # not swallowed: whatever it is, the engine is not to stay open
        engine.close()
        raise
    return engine, machine


def _check(build: Build, said: Mapping[str, Any]) -> None:
    """Whether the Python that answered is the build asked for. Raises ImageError."""
    python = said["python"]
    where = f"the image {said['image']}" if said["image"] else str(python["executable"])
    version = tuple(python["version"][:2])
    free = bool(python["free_threaded"])
    if build.version and (version, free) != (build.version, build.free_threaded):
        is_what = f"{version[0]}.{version[1]}{'t' if free else ''}"
        raise ImageError(f"{where} was to be Python {build.name}, and is {is_what}; make it anew: lab images build")
    if build.gil is not None and python["gil_enabled"] is not build.gil:
        state = "on" if python["gil_enabled"] else "off"
        raise ImageError(f"--python {build.label}: {where} has its GIL {state} all the same; leave the option out")
