"""What ``lab gather --kubernetes`` makes of Jobs, pods and logs. The API server is a fake; the client is real."""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab.containers.cleanup import remove_container
from lab.containers.client import CELL_LABEL, SESSION_LABEL
from lab.containers.container import create_container
from tests.support import scripts
from tests.support.fake_kubernetes import Cluster, running, status, terminated, waiting
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

ENDED = ("Succeeded", terminated(0))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with Cluster(tmp_path, namespace="class-1") as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.settings))
        yield cluster


@pytest.fixture
def create(cluster: Cluster, lab: Lab) -> Callable[..., list[dict[str, Any]]]:
    """Writes the objects of a session, and creates them on the cluster; returns the Jobs."""

    def act(*arguments: str) -> list[dict[str, Any]]:
        code, out, err = lab("export", "kubernetes", *arguments)
        assert code == 0, err
        return cluster.create(list(yaml.safe_load_all(out)))

    return act


def log(cell: str, cpus: tuple[int, ...], host_cpus: int = 2, *, quota: float | None = None) -> bytes:
    """What a cell prints that runs the pipe experiment; between its records stands what experiments say."""
    seen = scripts.proof(cpus, host_cpus, quota)
    records = scripts.stream(cell, cpus, {"pipe": scripts.pipe()}, host_cpus=host_cpus, seen=seen, end=seen)
    return records.replace(b"\n", b"\nsaid by an experiment\n", 3)


def gathered(lab: Lab, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the document and the messages of ``lab gather --kubernetes``."""
    code, out, err = lab("gather", "--kubernetes", "--format", "json", *arguments)
    return code, json.loads(out) if out else {}, err


def cells(document: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {cell["id"]: (cell["status"], cell["reason"]) for cell in document["cells"]}


def test_cells_that_have_cpus_of_their_own_are_judged_as_everywhere(
    cluster: Cluster, create: Callable[..., list[dict[str, Any]]], lab: Lab
) -> None:
    cluster.page = 1  # the lists come in several answers
    one, two = create("pipe", "--cpus", "1,2", "--image", "myapp:1")
    cluster.run(one, *ENDED, log("cpu1", (3,), 8, quota=1))
    cluster.run(two, *ENDED, log("cpu2", (4, 5), 8, quota=2))
    code, document, err = gathered(lab)
    assert (code, err) == (0, "")
    assert cells(document) == {"cpu1": ("measured", None), "cpu2": ("measured", None)}
    assert {each["verdict"] for each in document["verdicts"]} == {"confirmed"}
    assert (document["session"]["engine"], document["session"]["image"]) == ("kubernetes", "myapp:1")
    limits = [(cell["limit"]["label"], cell["rate_cpus"], cell["proof"]["engine"]["qos"]) for cell in document["cells"]]
    assert limits == [("1", 1, "Guaranteed"), ("2", 2, "Guaranteed")]
    assert "Kubernetes on a machine with 8 CPUs. Each cell is a pod limited to 1 or 2 CPUs" in " ".join(
        lab("gather", "--kubernetes")[1].split()
    )


def test_without_the_static_policy_the_limit_is_a_quota_and_anything_else_is_no_limit(
    cluster: Cluster, create: Callable[..., list[dict[str, Any]]], lab: Lab
) -> None:
    one, two = create("pipe", "--cpus", "1,2")
    cluster.run(one, *ENDED, log("cpu1", (0, 1, 2, 3), 4))
    cluster.run(two, *ENDED, log("cpu2", (0, 1, 2, 3), 4, quota=2), qosClass="Burstable")
    code, document, _ = gathered(lab)
    assert code == 3
    assert document["session"]["notes"] == [
        "note: the pod of cpu2 was Burstable, not Guaranteed: the cluster has changed it"
    ]
    assert cells(document) == {
        "cpu1": ("tainted", "told to take 1 CPU, it had 4 (0-3)"),
        "cpu2": ("measured", None),
    }
    seen = [(cell["limit"]["label"], cell["pinned_by"]) for cell in document["cells"]]
    assert seen == [("1", "engine"), ("quota 2", "none")]


#: What can become of a pod: (phase, state, log, more of its status) -> the status and the reason of the cell.
FATES: dict[str, tuple[str, dict[str, Any] | None, bytes | None, dict[str, Any], str, str]] = {
    "no room": (
        "Pending",
        None,
        b"",
        {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: 3 Insufficient cpu."}]},
        "planned",
        "no node takes it: 0/3 nodes: 3 Insufficient cpu.",
    ),
    "no image": (
        "Pending",
        waiting("ImagePullBackOff", "Back-off pulling image x"),
        b"",
        {},
        "planned",
        "ImagePullBackOff: Back-off pulling image x",
    ),
    "running": ("Running", running(), b"", {}, "planned", "it is still running"),
    "out of memory": (
        "Failed",
        terminated(137, "OOMKilled"),
        log("cpu2", (0, 1))[:3000].rpartition(b"\n")[0] + b"\n",
        {},
        "error",
        "killed: out of memory (OOM)",
    ),
    "evicted": (
        "Failed",
        None,
        b"",
        {"reason": "Evicted", "message": "The node was low on resource: memory."},
        "error",
        "the node ended it: Evicted: The node was low on resource: memory. and left no records; see kubectl logs -l ",
    ),
    "no whole cores": (
        "Failed",
        None,
        b"",
        {"reason": "SMTAlignmentError", "message": "Pod was rejected"},
        "error",
        "the node ended it: SMTAlignmentError: Pod was rejected and left no records",
    ),
    "no program": (
        "Failed",
        terminated(128, "StartError", 'exec: "python3": executable file not found in $PATH'),
        b"",
        {},
        "error",
        'exec: "python3": executable file not found in $PATH and left no records',
    ),
    "an old Python": (
        "Failed",
        terminated(64),
        b'{"kind": "refused", "reason": "Python 3.8"}\n',
        {},
        "error",
        "the worker exited with status 64",
    ),
    "a log that is gone with its node": (
        "Succeeded",
        terminated(0),
        None,
        {},
        "error",
        "its log cannot be read: the server could not find the requested resource and left no records",
    ),
    "a log that was cut by rotation": (
        "Succeeded",
        terminated(0),
        log("cpu2", (0, 1)).split(b"\n", 1)[1],
        {},
        "error",
        "records 0 to 0 are missing",
    ),
}


@pytest.mark.parametrize("name", FATES)
def test_what_becomes_of_a_pod_is_told(
    name: str, cluster: Cluster, create: Callable[..., list[dict[str, Any]]], lab: Lab
) -> None:
    phase, state, text, more, expected, words = FATES[name]
    well, job = create("pipe", "--cpus", "1,2")
    cluster.run(well, *ENDED, log("cpu1", (0,)))
    cluster.run(job, phase, state, text, **more)
    code, document, _ = gathered(lab)
    assert code == 3
    found, reason = cells(document)["cpu2"]
    assert found == expected
    assert reason
    assert words in reason
    assert cells(document)["cpu1"] == ("measured", None)


def test_cells_on_different_nodes_and_cells_without_a_pod_are_told(
    cluster: Cluster, create: Callable[..., list[dict[str, Any]]], lab: Lab
) -> None:
    one, two, _, *others = create("pipe", "--cpus", "1,2,3,4,5,6")
    cluster.run(one, *ENDED, log("cpu1", (0,)))
    cluster.run(two, *ENDED, log("cpu2", (0, 1)), node="node-2")
    conditions = [("Failed", "Forbidden", "exceeded quota: compute"), ("Complete", "", ""), ("Suspended", "", "")]
    for job, (kind, reason, message) in zip(others, conditions, strict=True):
        job["status"] = {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": message}]}
    code, document, _ = gathered(lab)
    assert code == 3
    found = cells(document)
    assert found["cpu3"] == ("planned", "it has no pod yet")
    assert found["cpu6"] == ("planned", "the Job is suspended")
    assert str(found["cpu4"][1]).startswith("Forbidden: exceeded quota: compute and left no records; see kubectl logs")
    assert str(found["cpu5"][1]).startswith("it has ended, its pod was deleted and left no records")
    assert document["session"]["notes"] == [
        "note: the cells ran on different nodes, which may differ in speed: cpu1 on node-1, cpu2 on node-2"
    ]


def test_of_several_sessions_one_is_chosen(
    cluster: Cluster, create: Callable[..., list[dict[str, Any]]], lab: Lab
) -> None:
    jobs = [create("pipe", "--cpus", "1")[0] for _ in range(2)]
    names = sorted(job["metadata"]["labels"][SESSION_LABEL] for job in jobs)
    for job in jobs:
        cluster.run(job, *ENDED, log("cpu1", (0,)))
    code, _, err = gathered(lab)
    assert code == 2
    assert f"2 sessions have cells there: {', '.join(names)}; choose one of them with --session" in err
    code, document, _ = gathered(lab, "--session", names[1])
    assert code == 0
    assert document["session"]["id"].startswith(names[1])


def test_what_no_cluster_answers_is_one_line(
    cluster: Cluster, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(words: str, expected: int, *arguments: str) -> None:
        code, out, err = lab("gather", *arguments)
        assert (code, out, err.count("\n")) == (expected, "", 1), err
        assert words in err

    refused("the namespace has no cells (any more); make them with lab export kubernetes", 2, "--kubernetes")
    refused("--namespace goes with --kubernetes", 2, "--namespace", "x")
    refused("the settings of kubectl name no cluster", 2, "--kubernetes", "--context", "nosuch")
    cluster.answer = status(403, 'jobs.batch is forbidden: User "nobody" cannot list')
    refused("answered 403: jobs.batch is forbidden", 3, "--kubernetes")
    cluster.answer = (200, b"<html>a proxy</html>")
    refused("does not answer as Kubernetes does", 3, "--kubernetes")
    cluster.stop()
    refused(f"no API server answers at {cluster.address}: Connection refused", 3, "--kubernetes")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    refused("the settings of kubectl name no cluster", 2, "--kubernetes")
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    refused("the cells of Kubernetes need a library that is not installed", 3, "--kubernetes")


@pytest.mark.engine
def test_the_pods_that_are_written_run_with_a_cpu_set_and_with_a_quota(
    cluster: Cluster, create: Callable[..., list[dict[str, Any]]], lab: Lab, engine: DockerClient, image: str
) -> None:
    """A container stands for the pod. With the static policy the kubelet sets both limits, else the quota alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        options = ("gil", "--cpus", "1,2", "--time-limit", "1", "--image", image)
        out = lab("export", "kubernetes", *options)[1]
        codes, _, *objects = yaml.safe_load_all(out)
        (Path(folder) / "cell.zip").write_bytes(base64.b64decode(codes["binaryData"]["cell.zip"]))
        one, two = cluster.create(objects)
        cluster.run(two, *ENDED, as_container(engine, two, folder, cpuset_cpus="0-1", cpu_quota=200_000))
        cluster.run(one, *ENDED, as_container(engine, one, folder, cpu_quota=100_000))
    code, document, err = gathered(lab, "--fail-on", "never")
    assert code == 0, err
    assert [(cell["id"], cell["limit"]["label"], cell["status"]) for cell in document["cells"]] == [
        ("cpu1", "quota 1", "measured"),
        ("cpu2", "2", "measured"),
    ]
    reasons = {each["cell"]: each["reason"] for each in document["verdicts"] if each["claim"] == "gil.no-speedup"}
    assert "a quota stops and goes" in reasons["cpu1"]
    assert "a quota stops and goes" not in reasons["cpu2"]


def as_container(engine: DockerClient, job: Mapping[str, Any], code: str, **limit: Any) -> bytes:
    """What the container of a pod prints, run by Docker as the pod says, with this limit."""
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    secure, (tmp,) = container["securityContext"], [each for each in pod["volumes"] if "emptyDir" in each]
    host = {
        "read_only": secure["readOnlyRootFilesystem"],
        "cap_drop": secure["capabilities"]["drop"],
        "security_opt": [] if secure["allowPrivilegeEscalation"] else ["no-new-privileges:true"],
        "network_mode": "none",
        "mem_limit": container["resources"]["limits"]["memory"].removesuffix("i").lower(),
        "tmpfs": {"/tmp": f"size={tmp['emptyDir']['sizeLimit'].removesuffix('i').lower()},mode=1777"},
        "binds": [f"{code}:/lab:ro"],
        "cpu_period": 100_000,
        **limit,
    }
    words = [*container["command"], *(word.replace("$$", "$") for word in container["args"])]
    labels = {name: job["metadata"]["labels"][name] for name in (SESSION_LABEL, CELL_LABEL)}
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    made = create_container(engine, container["image"], words, host, labels=labels, user=user)["Id"]
    try:
        engine.api.start(made)
        assert engine.api.wait(made, timeout=100)["StatusCode"] == 0, engine.api.logs(made)[-2000:]
        output: bytes = engine.api.logs(made)
    finally:
        remove_container(engine, made)
    return output
