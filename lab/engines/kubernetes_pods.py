"""The cells that Kubernetes has run, read from their Jobs, their pods and the logs of these.

A log has standard output and standard error, line by line. The records are on standard output, and each is one line
that begins as no other line does. What else there is counts as standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.containers.client import CELL_LABEL, SESSION_LABEL
from lab.containers.endings import how_it_ended
from lab.containers.exception_words import NONSENSE, short
from lab.containers.streams import bounded
from lab.engines.kubernetes_jobs import CONTAINER
from lab.errors import EngineError, MissingExtraError, UsageError
from lab.model.cell import Outcome

if TYPE_CHECKING:
    from types import ModuleType

#: How long the API server may take to answer a request, in seconds.
_SECONDS = 30
#: The largest log that is read, in bytes.
_MOST_LOG = 64 * 2**20
#: How a line begins that is a record, or the refusal of a Python that is too old.
_RECORDS = (b'{"schema":', b'{"kind": "refused"')
#: How much of standard error is kept, in bytes.
_TAIL = 2000
#: How many Jobs or pods are listed in one answer.
_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class PodCell:
    """A cell that Kubernetes has run, or is to run."""

    #: The id of the session that the Job was written for.
    session: str
    #: The id of the cell.
    cell: str
    #: The image of the cell.
    image: str
    #: The node that it ran on; empty: none yet.
    node: str = ""
    #: The class of quality of service that the cluster gave it; empty: none yet.
    qos: str = ""
    #: Whether its container still runs.
    running: bool = False
    #: Why it has not begun; empty: it has, or it never will.
    waiting: str = ""
    #: The records that it has written; ``None``: it has written none.
    stream: bytes | None = None
    #: How it ended, as far as it has.
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster, as the settings of kubectl name it: those that KUBECONFIG names, or the usual ones."""

    #: The context among the settings; empty: the current one.
    context: str = ""
    #: The namespace; empty: that of the context.
    namespace: str = ""


def collect(cluster: Cluster, session: str = "") -> tuple[PodCell, ...]:
    """The cells of all sessions, or of one, that a namespace of a cluster has, running or ended.

    Raises MissingExtraError without the official client, UsageError for settings that name no cluster, and EngineError
    if the API server does not answer or refuses.
    """
    try:
        import kubernetes.client  # here: it takes a second to load, and only this needs it
        import kubernetes.config
    except ModuleNotFoundError as error:
        raise MissingExtraError("the cells of Kubernetes", "kubernetes", error) from error
    client, namespace = _connected(kubernetes, cluster)
    selector = f"{SESSION_LABEL}={session},{CELL_LABEL}" if session else f"{SESSION_LABEL},{CELL_LABEL}"
    with client, _translated(client.configuration.host):
        batch, core = kubernetes.client.BatchV1Api(client), kubernetes.client.CoreV1Api(client)
        jobs = list(_listed(batch.list_namespaced_job, namespace, selector))
        pods: dict[str, list[Any]] = {}
        for pod in _listed(core.list_namespaced_pod, namespace, selector):
            owners = [owner.name for owner in pod.metadata.owner_references or () if owner.kind == "Job"]
            pods.setdefault(owners[0] if owners else "", []).append(pod)
        return tuple(_cell(core, job, pods.get(job.metadata.name, ())) for job in jobs)


def log_command(cell: PodCell) -> str:
    """The command that shows what a cell printed."""
    return f"kubectl logs -l {SESSION_LABEL}={cell.session},{CELL_LABEL}={cell.cell}"


def _connected(kubernetes: ModuleType, cluster: Cluster) -> tuple[Any, str]:
    """A client of the cluster, and the namespace to look in. Raises UsageError."""
    configuration = kubernetes.client.Configuration()
    file, context = os.environ.get("KUBECONFIG"), cluster.context or None
    try:
        kubernetes.config.load_kube_config(file, context, client_configuration=configuration)
        contexts, current = kubernetes.config.list_kube_config_contexts(file)
        chosen = next((each for each in contexts if each["name"] == cluster.context), current)
        namespace = str((chosen.get("context") or {}).get("namespace") or "default")
    except (kubernetes.config.ConfigException, OSError, *NONSENSE) as error:
        raise UsageError(
            f"the settings of kubectl name no cluster: {short(error)}",
            "see kubectl config get-contexts, and name one with --context, or a file with KUBECONFIG",
        ) from error
    return kubernetes.client.ApiClient(configuration), cluster.namespace or namespace


@contextlib.contextmanager
def _translated(host: str) -> Iterator[None]:
    """Turn what the client raises into EngineError."""
    import urllib3
    from kubernetes.client import ApiException

    try:
        yield
    except ApiException as error:
        raise EngineError(
            f"the API server {host} answered {error.status}: {_message(error)}",
            "may you list jobs and pods there, and read logs? kubectl auth can-i list pods",
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise EngineError(
            f"no API server answers at {host}: {short(error)}", "is it the right one? kubectl version"
        ) from error
    except NONSENSE as error:
        raise EngineError(f"{host} does not answer as Kubernetes does: {short(error)}", "kubectl version") from error


def _message(error: Any) -> str:
    """What the API server says in an answer that refuses: the message of a Status, or the reason of the protocol."""
    with contextlib.suppress(*NONSENSE):
        return " ".join(str(json.loads(error.body)["message"]).split())[:200]
    return str(error.reason)


def _listed(ask: Any, namespace: str, selector: str) -> Iterator[Any]:
    """All objects of a list, which may come in several answers."""
    further = None
    while True:
        answer = ask(namespace, label_selector=selector, limit=_PAGE, _continue=further, _request_timeout=_SECONDS)
        yield from answer.items
        further = answer.metadata._continue if answer.metadata else None
        if not further:
            return


def _cell(core: Any, job: Any, pods: Sequence[Any]) -> PodCell:
    """What became of a Job. If it has several pods, the newest counts."""
    labels, template = job.metadata.labels, job.spec.template.spec
    named = {"session": labels[SESSION_LABEL], "cell": labels[CELL_LABEL], "image": template.containers[0].image}
    if not pods:
        waiting, reason = _without_pod(job.status.conditions or ())
        return PodCell(**named, waiting=waiting, outcome=Outcome(exit_code=None, reason=reason))
    pod = max(pods, key=lambda each: each.metadata.creation_timestamp)
    state = next((each.state for each in pod.status.container_statuses or () if each.name == CONTAINER), None)
    terminated, running = (state.terminated, state.running) if state else (None, None)
    stream, tail, failure = _log(core, pod) if terminated or running else (None, b"", None)
    return PodCell(
        **named,
        node=pod.spec.node_name or "",
        qos=pod.status.qos_class or "",
        running=bool(running),
        waiting=_waiting(pod, state) if pod.status.phase == "Pending" else "",
        stream=stream,
        outcome=Outcome(
            exit_code=terminated.exit_code if terminated else None,
            reason=failure or _ending(pod, terminated),
            outside={**_limit(template.containers[0]), "node": pod.spec.node_name, "qos": pod.status.qos_class},
            stderr_tail=tail.decode(errors="replace"),
        ),
    )


def _without_pod(conditions: Sequence[Any]) -> tuple[str, str | None]:
    """Why a Job has no pod: why it has not begun, or else how it ended."""
    hold = {each.type: each for each in conditions if each.status == "True"}
    if "Failed" in hold:
        return "", _joined(hold["Failed"].reason or "it failed", hold["Failed"].message)
    if "Complete" in hold:
        return "", "it has ended, its pod was deleted"
    return "the Job is suspended" if "Suspended" in hold else "it has no pod yet", None


def _log(core: Any, pod: Any) -> tuple[bytes | None, bytes, str | None]:
    """The records in the log of a pod, the end of what else it has, and why it cannot be read.

    The records are ``None`` if there are none. A log that cannot be read costs its cell alone: its node may be gone.
    """
    import urllib3
    from kubernetes.client import ApiException

    name, namespace = pod.metadata.name, pod.metadata.namespace
    options = {"container": CONTAINER, "_preload_content": False, "_request_timeout": _SECONDS}
    try:
        answer = core.read_namespaced_pod_log(name, namespace, **options)
        try:
            lines = bounded(answer.stream(2**16), _MOST_LOG).splitlines(keepends=True)
        finally:
            answer.release_conn()
    except ApiException as error:
        return None, b"", f"its log cannot be read: {_message(error)}"
    except urllib3.exceptions.HTTPError as error:
        return None, b"", f"its log cannot be read: {short(error)}"
    records = b"".join(line for line in lines if line.startswith(_RECORDS))
    return records or None, b"".join(line for line in lines if not line.startswith(_RECORDS))[-_TAIL:], None


def _waiting(pod: Any, state: Any) -> str:
    """Why a pod does not run yet: its image cannot be pulled, or no node has room."""
    if state and state.waiting and state.waiting.reason:
        return _joined(state.waiting.reason, state.waiting.message)
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return _joined("no node takes it", condition.message)
    return "it waits for its node"


def _ending(pod: Any, terminated: Any) -> str | None:
    """Why a pod ended; ``None`` if its worker ended by itself, or has not ended."""
    if pod.status.phase not in ("Succeeded", "Failed"):
        return None
    if pod.status.reason:  # Evicted, DeadlineExceeded, UnexpectedAdmissionError: the node ended it
        return _joined(f"the node ended it: {pod.status.reason}", pod.status.message)
    if not terminated:
        return "it ended, and nobody knows how"
    error = terminated.message if terminated.reason in ("ContainerCannotRun", "StartError") else ""
    return how_it_ended(
        {"ExitCode": terminated.exit_code, "OOMKilled": terminated.reason == "OOMKilled", "Error": error}
    )


def _joined(reason: str, message: str | None) -> str:
    words = " ".join((message or "").split())
    return f"{reason}: {words}"[:300] if words else reason


def _limit(container: Any) -> Mapping[str, Any]:
    """The limit that the cluster was asked to set, in the words of the engines. It reports no CPU set."""
    limits = container.resources.limits or {}
    cpus = str(limits.get("cpu") or "")
    return {"cpuset": None, "quota_cpus": float(cpus) if cpus.isdecimal() else None, "warnings": []}
