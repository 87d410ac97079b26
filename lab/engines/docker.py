"""The docker engine: cells as containers with a real CPU set, through the Docker SDK.

A container is created, attached to, started, waited for, and removed. The attached stream gives live progress. If
frames were lost with the connection, the numbers and the hash of the records show it. The engine's log is then read
after the end. Everything carries the lab's labels. At the end everything with the label of this session is removed,
also after an exception.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab import interrupts
from lab.cell.worker.job import WorkerJob
from lab.containers.cleanup import remove_all, remove_container
from lab.containers.client import answers, clean_command, client_for_this_environment, image_attributes, translated
from lab.containers.container import OTHER_PROJECT, PROJECT, own_code_config, room_config
from lab.containers.engine_faults import forbidden, refusal
from lab.containers.guard import Guard
from lab.containers.image_config import NOBODY, OFFICIAL_IMAGE, ROOT, ImageSettings, refuse_emulation
from lab.containers.limits import Trial
from lab.engines import Sink, nothing
from lab.engines.cell_code import cell_code
from lab.engines.cell_containers import AGAIN, CellContainers, NoInterpreterError
from lab.engines.image_choice import choice, find_image, send_from_here
from lab.engines.probing import PROBE_BYTES, PROBE_SECONDS, alongside, beside, machine_from
from lab.engines.program_room import placed
from lab.engines.sent_code import SentCode
from lab.engines.worker_command import hosting, image_beside, probe_job, worker_arguments, worker_job
from lab.errors import CellError, EngineError, ImageError
from lab.judging.records import read_records
from lab.model.cell import Cell, Job, Outcome
from lab.model.machine import Machine
from lab.pythons import image_pythons
from lab.pythons.lent import LentPython, lend, lent_mount
from lab.pythons.listening import Patience

if TYPE_CHECKING:
    from docker import DockerClient

#: The arguments of a Python that does nothing.
_NOTHING = ("-I", "-S", "-c", "pass")
#: The CPU set with which the limits are tried before it is known which CPUs there are.
_FIRST_CPU = (0,)
#: How much of what a failed probe printed may be quoted, in bytes.
_WORDS_BYTES = 500


def connect(
    image: str | None = None,
    session: str = "probe",
    note: Callable[[str], None] = lambda line: None,
    before_slow_step: Callable[[str], None] = lambda line: None,
    arguments: Sequence[str] = (),
    key: str = "",
    own_programs: bool = False,
    host: str = "",
    send_image: bool = False,
    guarded: bool = True,
    **_: object,
) -> Docker:
    """A docker engine with an image that is on it.

    ``note`` takes lines that the user should know, ``before_slow_step`` a line before an image is pulled. ``arguments``
    come before all other arguments of the interpreter. ``key`` keeps the names of several engines apart. With
    ``own_programs`` cells run programs of the user's, and the image needs no Python. ``host`` names another engine than
    that of the environment. With ``send_image`` that engine gets the image which the engine of the environment has.
    ``guarded`` says whether what the session has on the engine is removed where this process is killed.
    Raises EngineError when no engine answers, ImageError when no image can be had.
    """
    client = client_for_this_environment(host)

    def find(wanted: str | None) -> str:
        if send_image:
            return send_from_here(client, wanted, before_slow_step)
        return find_image(client, wanted, before_slow_step, is_host=bool(host))

    try:
        lender = (lambda: find(None)) if own_programs else None
        usual = (client, find(image), session, note, arguments, key)
        guard = Guard(session, host) if guarded else None
        return Docker(*usual, named=image is not None, find_lender=lender, is_host=bool(host), guard=guard)
    except BaseException:  # not swallowed: the connection must not stay open, whatever the reason
        client.close()
        raise


class Docker:
    """Runs cells as containers of one session, from one image."""

    def __init__(
        self,
        client: DockerClient,
        image: str,
        session: str,
        note: Callable[[str], None] = lambda line: None,
        arguments: Sequence[str] = (),
        key: str = "",
        *,
        named: bool = True,
        find_lender: Callable[[], str] | None = None,
        is_host: bool = False,
        guard: Guard | None = None,
    ) -> None:
        self._guard = guard
        self._note = note
        self._arguments = list(arguments)
        self._probe = f"probe-{key}" if key else "probe"
        self._client = client
        self._image = image
        self._named = named
        self._session = session
        #: The words that start the Python of a cell.
        self._words: tuple[str, ...] = ("python3",)
        self._user = NOBODY
        #: Finds the image whose Python is lent. With it, cells run programs of the user's, as the image's own user.
        self._find_lender = find_lender
        self._lent: LentPython | None = None
        self._settings = ImageSettings(environment={})
        #: The images that functions are compared with -> the engine that runs cells in them.
        self._others: dict[str, Docker] = {}
        #: Whether the Python of the image can read a compressed zip file.
        self._packed = True
        self._containers = CellContainers(client, image, session)
        #: Sends the user's code; ``None``: the engine sees the folders of this machine.
        self._code = SentCode(client, image, session, key, note) if is_host else None
        #: Whether the engine has let a request fail, and has not answered since.
        self._unanswered = False
        self._usual_seconds = client.api.timeout

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        with translated("asking the engine what it is"):
            asked_at = time.time()
            info, version = dict(self._client.info()), dict(self._client.version())
            answered_at = time.time()
        image = image_attributes(self._client, self._image)
        if image is None:
            raise ImageError(f"the image {self._image} is no longer on this engine", "name another one with --image")
        settings, machine = ImageSettings.of(image), str(info.get("Architecture") or "")
        self._settings = settings if self._named else ImageSettings(environment={})  # those of the lab are for the lab
        if self._find_lender:
            self._user = settings.user or ROOT
        refuse_emulation(self._image, settings.architecture, machine)
        with beside(functools.partial(self._trial().no_quota, _FIRST_CPU, info)) as tried:
            description = machine_from("docker", self._ask(meanwhile, info), self._image, {})
        # The engine says of an imported image that it is for this machine, whatever the image contains.
        refuse_emulation(self._image, str(description.python.get("machine") or ""), machine)
        line = settings.note(self._image, self._words[0], self._user)
        if line and not self._find_lender:
            self._note(line)
        details = {
            "engine_version": version.get("Version"),
            "engine_product": _product(version),
            "api_version": version.get("ApiVersion"),
            "cgroup_version": info.get("CgroupVersion", "1"),
            "engine_cpus": _count(info.get("NCPU")),
            "engine_name": info.get("Name"),
            "engine_id": info.get("ID"),
            "clock_seconds": _ahead(info.get("SystemTime"), asked_at, answered_at),
            "engine_warnings": list(map(str, info.get("Warnings") or ())),
            "image_id": image.get("Id"),
            "image_settings": settings.details(self._words[0], self._user),
        }
        # What failed is tried again, now that the CPUs and a Python are known.
        no_quota = tried[0] if tried else self._trial().no_quota(description.cpus, info)
        probed = replace(description, details={**details, **description.details}, no_quota=no_quota)
        return probed if self._named else probed.with_choice(choice(self._client, self._image, probed))

    def _trial(self) -> Trial:
        """What tries the limits of the engine, with the current program and user."""
        command, lent = [*self._words, *_NOTHING], lent_mount(self._lent)
        return Trial(self._client, self._image, self._session, command, self._user, lent)

    def _ask(self, meanwhile: Callable[[], object], info: Mapping[str, Any]) -> bytes:
        """The records of a probe, from ``python3`` as nobody, or else from the first Python that can run a cell.

        The path and the user of that Python are kept, and whether it has zlib. Raises EngineError if the engine starts
        no container at all, or ImageError with every Python that was tried.
        """
        try:
            stream, outcome = self._probed(meanwhile)
        except CellError as error:
            raise refusal(error.what, info) or error from error
        if _began(stream):
            return stream
        words = stream[-_WORDS_BYTES:].decode(errors="replace")  # the runtime may write to either output
        engine_error = forbidden(f"{outcome.stderr_tail} {words}") if outcome.exit_code else None
        if engine_error:
            raise engine_error
        problems = []
        with contextlib.closing(image_pythons.look(self._client, self._image, self._session)) as pythons:
            for candidate in pythons:
                problem = candidate.problem
                if candidate.answer and problem is None:
                    self._words = (candidate.program,)
                    self._user = self._user if self._find_lender else candidate.user
                    self._packed = candidate.answer.zlib
                    stream, outcome = self._probed()
                    if _began(stream):
                        return stream
                    problem = f"no probe: {outcome.ending}"
                problems.append(f"{candidate.program}: {problem}")
        if self._find_lender:
            return self._borrowed(self._find_lender())
        message = f"the image {self._image} has none of {image_pythons.NAMES_SHORT} on its PATH"
        if problems:
            message = f"the image {self._image} cannot run a cell: {'; '.join(problems)}"
        raise ImageError(message, f"name an image with Python 3.9 or later, such as --image {OFFICIAL_IMAGE}")

    def _borrowed(self, lender: str) -> bytes:
        """The records of a probe by the Python of another image. Raises EngineError and ImageError."""
        self._note(f"the image {self._image} has no Python that can run a cell: it is lent that of {lender}")
        self._lent = lend(self._client, lender, self._session)
        self._words = self._lent.words
        stream, outcome = self._probed()
        if not _began(stream):
            raise ImageError(
                f"the Python of {lender} does not run in the image {self._image}: {outcome.ending}",
                f"name an image with Python 3.9 or later, such as --image {OFFICIAL_IMAGE}",
            )
        return stream

    def _probed(self, meanwhile: Callable[[], object] = nothing) -> tuple[bytes, Outcome]:
        """The records of a probe with the current program and user, and how the probe ended."""
        self._containers.await_removals()  # the container of an earlier try has the same name
        pieces: list[bytes] = []
        try:
            with alongside(meanwhile, pieces.append) as sink:
                patience = Patience(PROBE_SECONDS, most=PROBE_BYTES)
                host = lent_mount(self._lent)
                outcome = self._cell(None, self._probe, probe_job(self._session), sink, patience, host)
        except NoInterpreterError as error:
            return b"", Outcome(exit_code=None, reason=str(error))
        return outcome.stream if outcome.stream is not None else b"".join(pieces), outcome

    def run(self, job: Job, sink: Sink) -> Outcome:
        """Run one cell; see :class:`lab.engines.Engine`.

        If the connection breaks before the cell has sent anything, the cell is run again, once. Nothing was measured.
        """
        if self._unanswered and not self._answers():
            raise EngineError(*_NO_ANSWER)
        first = _Heard(sink)
        try:
            return self._job(job, job.cell.id, first)
        except CellError:  # the engine has answered: it refuses the cell
            raise
        except EngineError:
            if not self._answers() or first.anything:
                raise
        self._containers.await_removals()
        return self._job(job, job.cell.id + AGAIN, sink)

    def _job(self, job: Job, name: str, sink: Sink) -> Outcome:
        try:
            with self._beside(job, name, sink) as begin:
                return self._cell(job.cell, name, self._payload(job), begin, _patience(job), self._host(job))
        except NoInterpreterError as error:
            raise CellError(f"the container did not start: {error}") from error

    @contextlib.contextmanager
    def _beside(self, job: Job, name: str, sink: Sink) -> Iterator[Sink]:
        """A sink for a cell. If another image is compared, its container is started as soon as the cell runs.

        That container has the cell's limit and is in its network. It ends with the cell.
        """
        image = image_beside(job)
        if not image:
            yield sink
            return
        if image not in self._others:
            self._others[image] = _compared(self._client, image, self._session, self._note)
        other, other_name = self._others[image], f"{name}-other"
        network = f"container:{self._containers.name(name)}"

        def serve() -> None:
            with contextlib.suppress(EngineError):  # the cell says that nobody came
                payload, host = self._payload(hosting(job)), self._host(job) | {"network_mode": network}
                other._cell(job.cell, other_name, payload, lambda piece: None, _patience(job), host)

        with alongside(serve, sink) as begin:
            try:
                yield begin
            finally:
                with contextlib.suppress(EngineError):
                    remove_container(self._client, self._containers.name(other_name))

    def _payload(self, job: Job) -> WorkerJob:
        """A job as the worker in a container of this image reads it."""
        payload = worker_job(job, None, PROJECT if job.project else "", OTHER_PROJECT)
        return payload._replace(cases=placed(payload.cases or {}, self._settings, job.room)) if job.room else payload

    def _host(self, job: Job) -> dict[str, Any]:
        """What the host configuration of a job's container has besides its limit and its isolation."""
        if not job.room:
            config = own_code_config(job.project, job.other) if job.project else {}
            return config | {"mounts": self._code.mounts(job.project, job.other)} if config and self._code else config
        config, lent = room_config(job.room), lent_mount(self._lent)
        return config | {"mounts": [*config["mounts"], *lent.get("mounts", ())]}

    def _cell(
        self,
        cell: Cell | None,
        name: str,
        payload: WorkerJob,
        sink: Sink,
        patience: Patience,
        host: Mapping[str, Any],
    ) -> Outcome:
        """Run a job in a container of the image, with the Python that was found there."""
        code = cell_code(payload.experiments, packed=self._packed)
        command = [*self._words, *self._arguments, *worker_arguments(code, payload)]
        return self._containers.run(cell, name, command, self._user, sink, patience, host)

    def _answers(self) -> bool:
        """Whether the engine answers. While it does not, each request has little time."""
        self._unanswered = not answers(self._client)
        self._client.api.timeout = _SHORT_SECONDS if self._unanswered else self._usual_seconds
        return not self._unanswered

    def close(self) -> None:
        try:
            interrupts.finish(self._remove_all)  # what does not end in time is named at the end of the process
        finally:
            self._client.close()
            if self._guard:
                self._guard.release()

    def _remove_all(self) -> None:
        if not self._answers():
            return
        with contextlib.suppress(EngineError):
            self._containers.await_removals()
            _, kept = remove_all(self._client, self._session)
            for line in kept:
                self._note(f"left behind: {line}; remove it with: {clean_command(self._client)}")


def _patience(job: Job) -> Patience:
    return Patience(job.cell_deadline, job.longest_silence, job.most_bytes)


def _compared(client: DockerClient, image: str, session: str, note: Callable[[str], None]) -> Docker:
    """The engine with an image that the cells' image is compared with. Raises CellError if it cannot run a cell."""
    try:
        engine = Docker(client, find_image(client, image, note), session, note, key="other")
        engine.probe()
    except ImageError as error:
        raise CellError(f"--against {image} is no folder here, and no image for cells: {error}") from error
    return engine


def _began(stream: bytes) -> bool:
    """Whether a worker has recorded what it runs on."""
    return any(record.kind == "start" for record in read_records(stream).records)


def _ahead(text: object, asked_at: float, answered_at: float) -> float | None:
    """By how much the engine's clock is ahead of this machine's, in seconds; ``None`` where it did not say.

    The engine looked at its clock at some time between the two times. Within these the clocks count as equal.
    """
    try:
        engine_time = datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
    return min(engine_time - asked_at, 0.0) or max(engine_time - answered_at, 0.0)


def _count(value: object) -> int | None:
    """A number of CPUs, if it is one."""
    return value if isinstance(value, int) and value > 0 else None


def _product(version: Mapping[str, Any]) -> str:
    """Which engine has answered: Podman has the same interface as Docker, and names itself among its components."""
    names = [str(component.get("Name")) for component in version.get("Components") or ()]
    return "podman" if any(name.startswith("Podman") for name in names) else "docker"


#: What is said of each further cell of an engine that does not answer, and what to do.
_NO_ANSWER = ("the engine does not answer any more", "is the engine still running? (docker info)")


#: How long a request to an engine may take that has just let one fail, in seconds.
_SHORT_SECONDS = 5


class _Heard:
    """A sink that knows whether anything came."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.anything = False

    def __call__(self, piece: bytes) -> None:
        self.anything = self.anything or bool(piece)
        self._sink(piece)
