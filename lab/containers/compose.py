"""The cells that Compose started, read from their containers."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lab.containers import streams
from lab.containers.client import CELL_LABEL, SESSION_LABEL, translated
from lab.containers.container import COMPOSE_LABEL, quota_of
from lab.containers.endings import how_it_ended
from lab.containers.image_config import familiar_name
from lab.errors import CellError
from lab.model.cell import Outcome

if TYPE_CHECKING:
    from docker import DockerClient


#: The label with the path of the records in a container that Compose started.
RECORDS_LABEL = "org.multicore-lab.records"

#: The year in which a container that never started has started. Its status is "created", or "initialized" with podman.
_NEVER = "0001-"

#: The largest file of records that is read, in bytes.
_MOST_RECORDS = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The container of a cell that Compose started."""

    #: The Compose project that the container belongs to.
    project: str
    #: The id of the cell.
    cell: str
    #: The image of the container, as Compose names it.
    image: str
    #: Whether the container still runs.
    running: bool
    #: The records that the cell has written; ``None`` where it has written none yet.
    stream: bytes | None
    #: How the container ended, as far as it has.
    outcome: Outcome


def collect(client: DockerClient, project: str | None = None) -> Iterator[Collected]:
    """The cells that Compose has started, running or ended, of one Compose project or of all projects.

    They are found by their labels. Raises EngineError when the engine cannot list them. If the records of a container
    cannot be read, its outcome says why.
    """
    filters = [SESSION_LABEL, CELL_LABEL, RECORDS_LABEL, f"{COMPOSE_LABEL}.oneoff=False"]
    if project:
        filters.append(f"{COMPOSE_LABEL}.project={project}")
    with translated("listing the containers"):
        containers = client.api.containers(all=True, filters={"label": filters}) or ()
    for container in containers:
        with translated("looking at a container"):
            collected = _collected(client, container)
        yield collected


def _collected(client: DockerClient, container: Mapping[str, Any]) -> Collected:
    labels, stream, failure = container["Labels"], None, None
    details = client.api.inspect_container(container["Id"])
    state, host = details["State"], details.get("HostConfig") or {}
    running, started = bool(state["Running"]), _started(state)
    ended = started is not None and not running
    if started:  # before its start, the file is of an earlier container
        try:
            stream = _records(client, container["Id"], labels[RECORDS_LABEL], started)
        except CellError as error:
            failure = str(error)
    return Collected(
        project=labels[f"{COMPOSE_LABEL}.project"],
        cell=labels[CELL_LABEL],
        image=familiar_name(details["Config"]["Image"]),
        running=running,
        stream=stream,
        outcome=Outcome(
            exit_code=state.get("ExitCode") if ended else None,
            reason=failure or (how_it_ended(state) if ended else None),
            outside={
                "cpuset": host.get("CpusetCpus"),
                "quota_cpus": quota_of(host),
                "warnings": [],
                "oom_killed": bool(state.get("OOMKilled")),
            },
        ),
    )


def _started(state: Mapping[str, Any]) -> datetime | None:
    """When a container was started; ``None``: never. A time that cannot be read counts as long ago."""
    text = str(state.get("StartedAt") or "")
    if text.startswith(_NEVER) or (not text and not state["Running"]):
        return None
    try:
        started = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return started if started.tzinfo else started.replace(tzinfo=UTC)


def _records(client: DockerClient, container: str, path: str, started: datetime) -> bytes | None:
    """The content of the file of records of a container; ``None`` when nothing was written since its start.

    This also works for a container that has ended, and for a file in a volume. Raises CellError.
    """
    from docker.errors import NotFound

    with translated("reading its records"):
        try:
            with streams.asked(client.api, f"containers/{container}/archive", {"path": path}) as answer:
                about = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
                archive = streams.bounded(answer.iter_content(2**16), _MOST_RECORDS + 1)
        except NotFound:
            return None
    if len(archive) > _MOST_RECORDS:  # a folder is of any size, whatever the engine says of its name
        raise CellError(f"its records take more than {_MOST_RECORDS // 2**20} MiB; that is not a cell of the lab")
    # The engine's clock made both times, that of the file system in ticks of a few milliseconds.
    if datetime.fromisoformat(about["mtime"]) < started - timedelta(seconds=0.1):
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            first = members.next()
            file = members.extractfile(first) if first and first.isreg() else None
            return file.read() if file else None
    except tarfile.TarError as error:  # the container was writing to the file
        raise CellError(f"its records could not be read whole ({error}); gather again") from error
