"""Cells as Jobs of Kubernetes: what ``lab export kubernetes`` writes. It asks nobody and runs nothing.

A pod is Guaranteed if it limits what it requests. With a whole number of CPUs it is then what the static CPU manager
gives CPUs of its own. Sources: kubernetes.io, "Control CPU Management Policies on the Node", "Pod Quality of Service
Classes", "Pod Security Standards", and the reference of the API.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cell.worker.job import WorkerJob
from lab.containers.client import CELL_LABEL, SESSION_LABEL
from lab.containers.container import isolated_host_config
from lab.containers.image_config import NOBODY
from lab.engines.worker_command import worker_arguments, worker_job
from lab.errors import UsageError
from lab.model.cell import Job

#: The name of the only container of a pod.
CONTAINER = "cell"
#: Where the code of the cells is in a container.
_CODE = Path("/lab/cell.zip")
#: The most that a ConfigMap holds, in bytes (kubernetes.io, "ConfigMaps").
_MOST_CODE = 2**20
#: How long a pod may take besides its worker, in seconds: its image is pulled in this time.
_STARTING_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the Jobs are to run, as the user says it."""

    #: The image of the cells, as the nodes of the cluster pull it.
    image: str
    #: The program in the image that is its Python.
    program: str = "python3"
    #: The namespace; empty: the current one of whoever creates the Jobs.
    namespace: str = ""
    #: The name of the node that all cells run on; empty: any node.
    node: str = ""


def manifests(jobs: Sequence[Job], code: bytes, site: Site) -> list[dict[str, Any]]:
    """The objects of a session: its code, a policy that keeps its pods off the network, and a Job for each cell.

    Raises UsageError if the code does not fit into a ConfigMap.
    """
    if len(code) > _MOST_CODE:
        raise UsageError(
            f"the code of the cells has {len(code)} bytes, and a ConfigMap holds {_MOST_CODE}", "name fewer experiments"
        )
    name = _name(jobs[0].session)
    labels = {"app.kubernetes.io/name": "multicore-lab", SESSION_LABEL: jobs[0].session}
    codes = {
        **_head("v1", "ConfigMap", name, site, labels),
        "immutable": True,
        "binaryData": {_CODE.name: base64.b64encode(code).decode()},
    }
    policy = {
        **_head("networking.k8s.io/v1", "NetworkPolicy", name, site, labels),
        "spec": {"podSelector": {"matchLabels": dict(labels)}, "policyTypes": ["Ingress", "Egress"]},
    }
    return [codes, policy, *(_job(job, name, site, {**labels, CELL_LABEL: job.cell.id}) for job in jobs)]


def _name(session: str) -> str:
    return f"multicore-lab-{session}"


def _head(version: str, kind: str, name: str, site: Site, labels: dict[str, str]) -> dict[str, Any]:
    place = {"namespace": site.namespace} if site.namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place, "labels": dict(labels)}}


def _job(job: Job, code: str, site: Site, labels: dict[str, str]) -> dict[str, Any]:
    """The Job of a cell. It runs once, whatever becomes of it: a second try would hide the first."""
    return {
        **_head("batch/v1", "Job", f"{code}-{job.cell.id}", site, labels),
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": dict(labels)}, "spec": _pod(job, code, site)},
        },
    }


def _pod(job: Job, code: str, site: Site) -> dict[str, Any]:
    user, group = map(int, NOBODY.split(":"))
    not_beside = {
        "labelSelector": {"matchLabels": {SESSION_LABEL: job.session}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": round(job.cell_deadline) + _STARTING_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"nodeSelector": {"kubernetes.io/hostname": site.node}} if site.node else {}),
        # Two cells on one node would disturb each other. The second one waits until the first one has ended.
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [not_beside]}},
        "containers": [_container(job, site)],
        "volumes": [
            {"name": "code", "configMap": {"name": code}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        ],
    }


def _container(job: Job, site: Site) -> dict[str, Any]:
    memory = int(isolated_host_config(job.cell.size)["mem_limit"])
    limits = {"cpu": str(job.cell.size), "memory": f"{memory >> 20}Mi"}
    return {
        "name": CONTAINER,
        "image": site.image,
        "command": [site.program],
        # Kubernetes would replace $(NAME) by a variable of the environment.
        "args": [word.replace("$", "$$") for word in worker_arguments(_CODE, payload(job))],
        "workingDir": "/",
        "resources": {"requests": dict(limits), "limits": dict(limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "code", "mountPath": str(_CODE.parent), "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - inside the container
        ],
    }


def payload(job: Job) -> WorkerJob:
    """The job of a cell as the worker in a pod reads it. Nobody knows yet which CPUs it will get."""
    return worker_job(job, None)
