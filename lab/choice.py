"""Which engine runs the cells, and for each build which image or interpreter: chosen, made, and asked what it is."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lab import builds, engines
from lab.builds import Build
from lab.engines import Engine, Sink, nothing
from lab.errors import CellError, EngineError, ImageError, UsageError
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

    def spare(self, chosen: Iterable[Build]) -> set[str]:
        """The labels of those of these builds that ``all`` has added, and nobody has named."""
        named = builds.parse_many(self.pythons, everything=())
        return {build.label for build in chosen if build not in named}

    @property
    def paths(self) -> bool:
        """Whether a Python of this machine is named by its path, which no container has."""
        return any(build.path for build in builds.parse_many(self.pythons))


class Several:
    """One engine for cells of several builds: each cell goes to the engine of its build.

    A build that does not answer, or whose interpreter crashes, costs its own cells; without the ``spare`` ones, which
    nobody has named, the run goes on, and ``note`` takes a line on each.
    """

    def __init__(self, parts: Mapping[str, Engine], spare: Container[str] = (), note: Note = lambda line: None) -> None:
        self.parts = dict(parts)
        self._spare, self._note = spare, note
        self._failed: dict[str, EngineError] = {}

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        """The machine, with every build's own proof in ``details["builds"]``, nothing known of one that failed. Raises
        as the first of them does where all do."""
        with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
            tasks = [meanwhile] + [nothing] * (len(self.parts) - 1)
            said = dict(zip(self.parts, pool.map(_asked, self.parts.values(), tasks), strict=True))
        self._failed = {label: one for label, one in said.items() if isinstance(one, EngineError)}
        machines = [one for one in said.values() if isinstance(one, Machine)]
        if not machines:
            raise next(iter(self._failed.values()))
        for label, error in self._failed.items():
            self._note(f"without {label}: {error}" if label in self._spare else f"{label} will not run: {error}")
        there = {label: one for label, one in said.items() if label not in self._failed or label not in self._spare}
        proofs = [_proof(label, one) for label, one in there.items()]
        return replace(machines[0], details={**machines[0].details, "builds": proofs})

    def run(self, job: Job, sink: Sink) -> Outcome:
        if job.cell.build in self._failed:
            raise CellError(str(self._failed[job.cell.build]))
        return self.parts[job.cell.build].run(job, sink)

    def close(self) -> None:
        for one in self.parts.values():
            one.close()


def _asked(engine: Engine, meanwhile: Callable[[], object]) -> Machine | EngineError:
    try:
        return engine.probe(meanwhile)
    except EngineError as error:
        return error


def _proof(label: str, said: Machine | EngineError) -> dict[str, Any]:
    """What a build has proven to be; of one that failed nothing is known."""
    if isinstance(said, EngineError):
        return {"build": label, "image": None, "image_id": None, "python": {}, "proof": None}
    return {
        "build": label,
        "image": said.image,
        "image_id": said.details.get("image_id"),
        "python": dict(said.python),
        "proof": said.details.get("build"),
    }


def choose(
    wanted: Wanted, session: str, note: Note, pulling: Note, meanwhile: Callable[[], object] = nothing
) -> tuple[Engine, Machine]:
    """The engine asked for, probed; ``auto`` takes docker where it answers and has an image, else local, and says so.

    ``pulling`` takes a line before something that may take long; ``meanwhile`` is called while the engine is waited
    for. Raises EngineError, ImageError or UsageError.
    """
    wanted.check()
    if wanted.engine == "local" or (wanted.engine == "auto" and wanted.paths):
        return _local(wanted, note, meanwhile)
    try:
        engine, machine = _docker(wanted, session, pulling, meanwhile)
    except EngineError as error:
        if wanted.engine == "docker" or wanted.image:
            raise
        note(f"engine: local (docker: {error})")
        return _local(wanted, note, meanwhile)
    if wanted.engine == "auto":
        images = [one["image"] for one in machine.details.get("builds", ()) if one["image"]] or [machine.image]
        note(f"engine: docker, image{'s' * (len(images) > 1)} {', '.join(map(str, images))}")
    return engine, machine


def _local(wanted: Wanted, note: Note, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    if not wanted.pythons:
        return _probed(engines.make("local"), (), meanwhile)
    from lab import interpreters

    there = interpreters.find()
    chosen = builds.parse_many(wanted.pythons, everything=interpreters.usable_builds(there))
    if not chosen:
        raise EngineError("there is no Python on this machine that can run a cell; name the path of one with --python")
    parts: dict[str, Engine] = {}
    for build in chosen:
        found = interpreters.interpreter_of(build, there)
        parts[build.label] = engines.make("local", interpreter=found.path, arguments=build.arguments)
    return _probed(Several(parts, wanted.spare(chosen), note), chosen, meanwhile)


def _docker(wanted: Wanted, session: str, pulling: Note, meanwhile: Callable[[], object]) -> tuple[Engine, Machine]:
    if not wanted.pythons:
        return _probed(engines.make("docker", image=wanted.image, session=session, note=pulling), (), meanwhile)
    from lab.containers import client_for_this_environment

    client = client_for_this_environment()
    try:
        chosen = builds.parse_many(wanted.pythons)
        spare = wanted.spare(chosen)
        images = _images(client, chosen, wanted.images, spare, pulling)
    finally:
        client.close()
    parts: dict[str, Engine] = {}
    for build, image in images.items():
        parts[build.label] = engines.make(
            "docker", image=image, session=session, note=pulling, arguments=build.arguments, key=build.key
        )
    return _probed(Several(parts, spare, pulling), tuple(images), meanwhile)


def _images(
    client: DockerClient, chosen: Sequence[Build], known: Mapping[str, str], spare: Container[str], pulling: Note
) -> dict[Build, str]:
    """The image of each build, the known one or one of its name; of the spare ones those that are there.

    Raises ImageError when one asked for is not.
    """
    from lab.images import image_of

    found, missing = {}, []
    for build in chosen:
        try:
            found[build] = known.get(build.label) or image_of(client, build, pulling)
        except ImageError:
            if build.label not in spare:
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
        asked = {build.label: build for build in chosen}
        for said in machine.details.get("builds", ()):
            if said["python"]:
                _check(asked[said["build"]], said)
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
