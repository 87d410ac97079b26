"""A fake API server of Kubernetes: enough of it for the official client to list Jobs and pods, and to read logs.

It answers as kubernetes.io documents the API: "batch/v1 Job", "core/v1 Pod", "Retrieving large results sets in chunks"
and "Response: Status". No cluster was at hand to compare it with.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

NOW = "2026-11-29T09:00:00Z"


def running() -> dict[str, Any]:
    """The state of a container that runs."""
    return {"running": {"startedAt": NOW}}


def terminated(exit_code: int, reason: str = "", message: str = "") -> dict[str, Any]:
    """The state of a container that has ended."""
    reason = reason or ("Error" if exit_code else "Completed")
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": message, "finishedAt": NOW}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """The state of a container that has not begun."""
    return {"waiting": {"reason": reason, "message": message}}


class Cluster:
    """The API server of a cluster with one namespace; use as a context manager."""

    def __init__(self, folder: Path, namespace: str = "default") -> None:
        self._namespace = namespace
        self._jobs: list[dict[str, Any]] = []
        self._pods: list[dict[str, Any]] = []
        self._logs: dict[str, bytes] = {}
        #: What every request is answered instead: (status, body); ``None``: as usual.
        self.answer: tuple[int, bytes] | None = None
        #: How many objects a list has at most; it then says that there are more.
        self.page = 500
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.settings = folder / "kubeconfig"
        self.settings.write_text(json.dumps(self._kubeconfig()), encoding="utf-8")

    def _kubeconfig(self) -> dict[str, Any]:
        context = {"cluster": "fake", "user": "nobody", "namespace": self._namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
            "users": [{"name": "nobody", "user": {"token": "none"}}],
            "contexts": [{"name": "lab", "context": context}],
            "current-context": "lab",
        }

    def __enter__(self) -> Cluster:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nothing any more."""
        self._server.shutdown()
        self._server.server_close()

    # ---- what is on the cluster

    def create(self, objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Take the objects that ``kubectl create`` would send. Returns the Jobs, which have no pod yet."""
        jobs = [dict(each, status={}) for each in objects if each["kind"] == "Job"]
        for job in jobs:
            job["metadata"] = {**job["metadata"], "namespace": self._namespace, "creationTimestamp": NOW}
        self._jobs += jobs
        return jobs

    def run(
        self,
        job: Mapping[str, Any],
        phase: str,
        state: Mapping[str, Any] | None,
        log: bytes | None = b"",
        *,
        node: str | None = "node-1",
        **status: Any,
    ) -> None:
        """Give a Job a pod in this phase, whose container is in this state and has printed ``log``.

        Where ``log`` is ``None``, nobody has it any more.
        """
        template, name = job["spec"]["template"], f"{job['metadata']['name']}-{len(self._pods)}"
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job["metadata"]["name"],
            "uid": "1",
            "controller": True,
        }
        container = template["spec"]["containers"][0]
        seen = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
        }
        metadata = {
            **template["metadata"],
            "name": name,
            "namespace": self._namespace,
            "creationTimestamp": NOW,
            "ownerReferences": [owner],
        }
        statuses = [{**seen, "state": dict(state)}] if state else []
        self._pods.append(
            {
                "metadata": metadata,
                "spec": {**template["spec"], **({"nodeName": node} if node else {})},
                "status": {"phase": phase, "qosClass": "Guaranteed", "containerStatuses": statuses, **status},
            }
        )
        if log is not None:
            self._logs[name] = log

    # ---- what it answers

    def _respond(self, path: str, query: Mapping[str, list[str]]) -> tuple[int, bytes]:
        if self.answer:
            return self.answer
        words = path.strip("/").split("/")
        kinds = {"jobs": ("JobList", "batch/v1", self._jobs), "pods": ("PodList", "v1", self._pods)}
        if self._namespace in words and words[-1] in kinds:
            kind, version, objects = kinds[words[-1]]
            selected = [each for each in objects if _matches(each, query.get("labelSelector", [""])[0])]
            start = int(query.get("continue", ["0"])[0])
            page = selected[start : start + self.page]
            more = str(start + self.page) if start + self.page < len(selected) else ""
            metadata = {"resourceVersion": "1", "continue": more}
            return 200, json.dumps({"kind": kind, "apiVersion": version, "metadata": metadata, "items": page}).encode()
        if words[-1] == "log" and words[-2] in self._logs:
            return 200, self._logs[words[-2]]
        if words[-1] in kinds:
            return 200, json.dumps({"kind": kinds[words[-1]][0], "metadata": {}, "items": []}).encode()
        return status(404, "the server could not find the requested resource")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                code, body = cluster._respond(parts.path, urllib.parse.parse_qs(parts.query))
                self.send_response(code)
                self.send_header("Content-Type", "application/json" if body[:1] == b"{" else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        return Handler


def status(code: int, message: str) -> tuple[int, bytes]:
    """An answer that refuses."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return code, json.dumps(body).encode()


def _matches(each: Mapping[str, Any], selector: str) -> bool:
    """Whether an object has the labels of a selector: ``a=b``, or ``a`` for any value."""
    labels = each["metadata"].get("labels", {})
    pairs = [part.partition("=") for part in selector.split(",") if part]
    return all(name in labels and (not sign or labels[name] == value) for name, sign, value in pairs)
