"""The Docker engine as a whole: its client, and all that carries the lab's labels on it, to collect or to remove."""

from __future__ import annotations

import contextlib
import functools
import io
import signal
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lab.errors import CellError, EngineError
from lab.image_settings import NOBODY
from lab.model.cell import PERIOD_US, Outcome

if TYPE_CHECKING:
    from docker import DockerClient

#: Every container, volume and network of the lab carries this label, with the session as its value.
SESSION_LABEL = "org.multicore-lab.session"
CELL_LABEL = "org.multicore-lab.cell"
#: Where in a container that Compose started the records are.
RECORDS_LABEL = "org.multicore-lab.records"
COMPOSE_LABEL = "com.docker.compose"

#: Compose puts its labels on the images that it builds, and a container inherits them: `docker compose up` would then
#: follow our cells, and `docker compose down` remove them.
_NOT_OF_COMPOSE = {f"{COMPOSE_LABEL}.{name}": "" for name in ("project", "service", "version")}

_MEBIBYTE = 2**20
_API_SECONDS = 60
_MOST_RECORDS = 64 * 2**20


def client_for_this_environment() -> DockerClient:
    """A client of the engine that ``DOCKER_HOST`` or the current context names. Raises EngineError."""
    try:
        # Missing too where a folder named docker/ in the current directory imports as an empty namespace package.
        from docker import DockerClient
    except ImportError as error:
        raise EngineError(
            "the Docker SDK is not installed (a folder named docker/ can hide that); pip install docker, or use"
            " --engine local"
        ) from error
    import requests
    from docker.errors import DockerException

    try:
        client = DockerClient.from_env(timeout=_API_SECONDS)
    except DockerException as error:
        raise EngineError(f"no Docker engine can be reached: {short(error)}; {_START_ONE}") from error
    try:
        client.ping()
    except (DockerException, requests.RequestException) as error:
        where = client.api.base_url.replace("http+docker://localhost", "the local socket")
        client.close()
        raise EngineError(f"no Docker engine answers at {where}: {short(error)}; {_START_ONE}") from error
    return client


_START_ONE = "start one, point DOCKER_HOST at one, or use --engine local"


def found(client: DockerClient, image: str) -> dict[str, Any] | None:
    """What the engine says of an image; ``None`` when it has none of that name."""
    from docker.errors import ImageNotFound

    with translated(f"looking for the image {image}"):
        try:
            details: dict[str, Any] = client.images.get(image).attrs
        except ImageNotFound:
            return None
    return details


def pulled(client: DockerClient, image: str, note: Callable[[str], None]) -> str | None:
    """Pull an image. Returns ``None``, or why it could not be."""
    from docker.errors import DockerException

    note(f"pulling the image {image} …")
    try:
        with translated(f"pulling {image}"):
            client.images.pull(image)
    except (EngineError, DockerException) as error:
        return str((error.__cause__ and short(error.__cause__)) or error)
    return None


def kept_apart(cpus: int) -> dict[str, Any]:
    """The host configuration of a container in which code for that many CPUs runs: nothing that it does not need.

    pids count threads, so there is room for the hundred of them and a pool for each CPU; memory for a small Python
    each. Its log is where the records are read again, so it does not depend on the engine's default.
    """
    return {
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=64m,mode=1777"},  # noqa: S108 - inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 512 + 32 * cpus,
        "mem_limit": (512 + 64 * cpus) * _MEBIBYTE,
        "memswap_limit": (512 + 64 * cpus) * _MEBIBYTE,
        "init": True,
        "log_config": {"Type": "json-file", "Config": {}},
    }


def create(
    client: DockerClient,
    image: str,
    command: Sequence[str],
    host: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    name: str | None = None,
    user: str = NOBODY,
) -> dict[str, Any]:
    """Make a container that runs ``command`` in the place of the image's own entry point, as nobody unless another
    ``user`` is given; what the engine answers. ``host`` is its host configuration. What the SDK raises passes
    through."""
    api = client.api
    made: dict[str, Any] = api.create_container(
        image,
        entrypoint=list(command[:1]),
        command=list(command[1:]),
        user=user,
        working_dir="/",  # nobody may not enter the image's own
        healthcheck={"test": ["NONE"]},  # it would run beside what is measured, on the same CPUs
        name=name,
        labels={**_NOT_OF_COMPOSE, **labels},
        host_config=api.create_host_config(**host),
    )
    return made


def quota_of(host_config: Mapping[str, Any]) -> float | None:
    """The quota that the engine says it set, in CPUs; ``None`` for none."""
    if host_config.get("NanoCpus"):
        return float(host_config["NanoCpus"] / 1e9)
    quota, period = host_config.get("CpuQuota") or 0, host_config.get("CpuPeriod") or PERIOD_US
    return float(quota / period) if quota > 0 else None


def how_it_ended(state: dict[str, Any], ended: str | None = None) -> str | None:
    """What ended a container, where it did not end by itself; ``ended`` is why we did, where we did."""
    number = (state.get("ExitCode") or 0) - 128  # as an init and a shell pass a signal on
    if ended:
        return ended
    if state.get("OOMKilled"):
        return "it was killed for want of memory (OOM)"
    if state.get("Error"):
        return str(state["Error"])
    if number not in signal.valid_signals():
        return None
    return f"the worker was killed by signal {number} ({signal.strsignal(number)})"


def remove_container(client: DockerClient, container: str) -> None:
    """Remove one container, dead or alive. What cannot be removed is left to :func:`remove` and ``lab clean``."""
    from docker.errors import APIError, NotFound

    with contextlib.suppress(NotFound, EngineError), translated("removing the container"):
        try:
            client.api.remove_container(container, force=True, v=True)
        except APIError as error:
            if error.status_code != 409:  # 409: its removal is under way already
                raise


def remove(client: DockerClient, session: str | None = None) -> tuple[list[str], list[str]]:
    """Remove every container, volume and network with our label, of one session or of all. By label only.

    Returns (what was removed, what could not be, each with the engine's reason). Raises EngineError when the engine
    cannot even list them.
    """
    label = SESSION_LABEL if session is None else f"{SESSION_LABEL}={session}"
    removed, kept = [], []
    delete = client.api.remove_container
    with translated("listing what the lab left"):
        # In this order: a network or a volume that a container still uses cannot be removed.
        found: list[tuple[str, str, Callable[[], object]]] = [
            ("container", one["Names"][0].lstrip("/"), functools.partial(delete, one["Id"], force=True, v=True))
            for one in client.api.containers(all=True, filters={"label": label})
        ]
        found += [("network", str(one.name), one.remove) for one in client.networks.list(filters={"label": label})]
        found += [("volume", str(one.name), one.remove) for one in client.volumes.list(filters={"label": label})]
    import requests
    from docker.errors import NotFound

    for kind, name, act in found:
        try:
            act()
        except NotFound:
            continue
        except requests.RequestException as error:  # APIError is one too
            if kind == "container" and getattr(error, "status_code", None) == 409:
                continue  # its removal is under way already
            kept.append(f"{kind} {name}: {short(error)}")
        else:
            removed.append(f"{kind} {name}")
    return removed, kept


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A cell's container that Compose started. ``stream`` is ``None`` when it has left no records (yet)."""

    project: str
    cell: str
    image: str
    running: bool
    stream: bytes | None
    outcome: Outcome


def collect(client: DockerClient, project: str | None = None) -> Iterator[Collected]:
    """The cells that Compose started for us, running or ended, of one Compose project or of all; by label only.

    Raises EngineError when the engine cannot list them; what cannot be read of one container is the reason in its
    outcome.
    """
    filters = [SESSION_LABEL, CELL_LABEL, RECORDS_LABEL, f"{COMPOSE_LABEL}.oneoff=False"]
    if project:
        filters.append(f"{COMPOSE_LABEL}.project={project}")
    with translated("listing the containers"):
        found = client.api.containers(all=True, filters={"label": filters})
    for one in found:
        labels, stream, failure = one["Labels"], None, None
        with translated("looking at a container"):
            details = client.api.inspect_container(one["Id"])
        state = details["State"]
        running, started = bool(state["Running"]), state["Status"] != "created"
        ended = started and not running
        if started:  # else the file there is of an earlier container
            try:
                stream = _records(client, one["Id"], labels[RECORDS_LABEL], state["StartedAt"])
            except CellError as error:
                failure = str(error)
        yield Collected(
            project=labels[f"{COMPOSE_LABEL}.project"],
            cell=labels[CELL_LABEL],
            image=details["Config"]["Image"],
            running=running,
            stream=stream,
            outcome=Outcome(
                exit_code=state["ExitCode"] if ended else None,
                # An experiment may have run out of memory in a cell that went on: its records say so.
                reason=failure or (how_it_ended(state) if ended and state["ExitCode"] else None),
                outside={
                    "cpuset": details["HostConfig"].get("CpusetCpus"),
                    "quota_cpus": quota_of(details["HostConfig"]),
                    "warnings": [],
                    "oom_killed": bool(state.get("OOMKilled")),
                },
            ),
        )


def _records(client: DockerClient, container: str, path: str, started: str) -> bytes | None:
    """The file that a container writes its records to; ``None`` when it has not written any since it started.

    Works for an ended container too, and for a volume. Raises CellError.
    """
    from docker.errors import NotFound

    with translated("reading its records"):
        try:
            pieces, about = client.api.get_archive(container, path)
        except NotFound:
            return None
        if about["size"] > _MOST_RECORDS:
            raise CellError(f"its records take {about['size'] // 2**20} MiB; that is no cell of ours")
        archive = b"".join(pieces)
    # The engine's clock made both times, that of the file system in ticks of a few milliseconds.
    if datetime.fromisoformat(about["mtime"]) < datetime.fromisoformat(started) - timedelta(seconds=0.1):
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            first = members.next()
            file = members.extractfile(first) if first and first.isreg() else None
            return file.read() if file else None
    except tarfile.TarError as error:  # it was being written to
        raise CellError(f"its records could not be read whole ({error}); gather again") from error


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the SDK raises into our errors, with what was being done."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise CellError(f"{doing}: the engine answered {error.status_code}: {short(error)}") from error
    except (DockerException, requests.RequestException, ConnectionError) as error:
        raise EngineError(f"{doing}: {short(error)}; is the engine still running? (docker info)") from error


def short(error: BaseException) -> str:
    """What an engine or the SDK says of an error, in one line."""
    text = getattr(error, "explanation", None) or str(error)
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return " ".join(str(text).split())[:200]
