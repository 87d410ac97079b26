"""What ``lab export kubernetes`` writes: valid by the published schemas, hardened, and with the worker's code in it."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from lab.cell.worker.bootstrap import SOURCE
from lab.cell.worker.job import from_json
from lab.containers.client import CELL_LABEL, SESSION_LABEL
from lab.containers.container import isolated_host_config
from lab.engines import kubernetes_jobs
from lab.engines.cell_code import cell_code
from lab.errors import UsageError
from tests.support.terminal import Lab


def exported(lab: Lab, *arguments: str) -> list[dict[str, Any]]:
    """The objects that the command writes with these arguments."""
    code, out, err = lab("export", "kubernetes", *arguments)
    assert code == 0, err
    return list(yaml.safe_load_all(out))


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def test_the_objects_are_valid_by_the_published_schemas(lab: Lab) -> None:
    objects = exported(lab, "--namespace", "class-1", "--node", "node-7")
    assert [each["kind"] for each in objects] == ["ConfigMap", "NetworkPolicy", "Job", "Job", "Job"]
    for each in objects:
        assert each["metadata"]["namespace"] == "class-1"
        assert known(each) == each  # a field that no schema has would be lost
    job = objects[-1]
    assert known({**job, "spec": {**job["spec"], "backofLimit": 0}}) == job
    with pytest.raises(ValueError, match="template"):
        known({**job, "spec": {"backoffLimit": 0}})


class Answer(NamedTuple):
    """What the client reads as an answer of the API server."""

    data: str


def known(each: dict[str, Any]) -> dict[str, Any]:
    """What the official client knows of an object. Its models are generated from the published schemas of the API.

    Raises ValueError where a field is missing.
    """
    import kubernetes.client  # here: it takes a second to load, and every worker of pytest-xdist loads this file

    client = kubernetes.client.ApiClient()
    model = client.deserialize(Answer(json.dumps(each)), f"V1{each['kind']}")
    read: dict[str, Any] = client.sanitize_for_serialization(model)
    return read


def test_a_cell_is_a_guaranteed_pod_of_whole_cpus_that_is_hardened_as_a_container_of_the_lab_is(lab: Lab) -> None:
    objects = exported(lab, "pool", "--cpus", "8,2", "--image", "myapp:1")
    jobs = of_kind(objects, "Job")
    (session,) = {each["metadata"]["labels"][SESSION_LABEL] for each in objects}
    assert [job["metadata"]["name"] for job in jobs] == [f"multicore-lab-{session}-cpu{size}" for size in (2, 8)]
    for size, job in zip((2, 8), jobs, strict=True):
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        limits = container["resources"]["limits"]
        docker = isolated_host_config(size)
        assert container["resources"]["requests"] == limits == {"cpu": str(size), "memory": f"{512 + 64 * size}Mi"}
        assert docker["mem_limit"] == (512 + 64 * size) << 20
        assert container["image"] == "myapp:1"
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": docker["cap_drop"]},
            "privileged": False,
            "readOnlyRootFilesystem": docker["read_only"],
        }
        assert pod["securityContext"]["runAsUser"] == 65534
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert (pod["restartPolicy"], job["spec"]["backoffLimit"]) == ("Never", 0)
        assert {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {
            *docker["tmpfs"]
        }
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert labels == job["metadata"]["labels"]
        assert labels[CELL_LABEL] == f"cpu{size}"
        (policy,) = of_kind(objects, "NetworkPolicy")  # no network: nothing is allowed either way
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert "ingress" not in policy["spec"]
        assert "egress" not in policy["spec"]


def test_the_worker_in_a_pod_gets_its_code_and_its_job(lab: Lab) -> None:
    objects = exported(lab, "pool", "pipe", "--cpus", "2", "--quick", "--seed", "7")
    (codes,), (job,) = of_kind(objects, "ConfigMap"), of_kind(objects, "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words: list[str] = container["command"] + container["args"]
    *options, source, place, text = words
    assert (options, source, place) == (["python3", "-B", "-I", "-S", "-c"], SOURCE, "/lab/cell.zip")
    assert "$" not in source  # Kubernetes replaces variables
    payload = from_json(text)
    assert (payload.session, payload.cell) == (job["metadata"]["labels"][SESSION_LABEL], "cpu2")
    assert payload.experiments == ["pool", "pipe"]
    assert (payload.cpus, payload.asked, payload.pin, payload.seed, payload.seconds) == (2, "", None, 7, 4.0)
    code = base64.b64decode(codes["binaryData"]["cell.zip"])
    assert code == cell_code(["pool", "pipe"])
    names = zipfile.ZipFile(io.BytesIO(code)).namelist()
    assert "lab/cell/experiments/pool.py" in names
    assert len(json.dumps(codes)) < 2**18  # kubectl apply keeps a copy in an annotation, which holds no more


def test_every_experiment_fits_into_a_config_map_and_more_is_refused(lab: Lab) -> None:
    (codes,) = of_kind(exported(lab, "all", "--cpus", "1"), "ConfigMap")
    assert len(base64.b64decode(codes["binaryData"]["cell.zip"])) < 2**20
    with pytest.raises(UsageError, match="the code of the cells has 1048577 bytes, and a ConfigMap holds 1048576"):
        kubernetes_jobs.manifests([object()], bytes(2**20 + 1), kubernetes_jobs.Site(image="x"))  # type: ignore[list-item]


def test_an_experiment_of_ones_own_is_refused_because_nobody_could_judge_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lab("new", "waiting")[0] == 0
    code, out, err = lab("export", "kubernetes", "./waiting.py")
    assert (code, out) == (2, "")
    assert "waiting is an experiment of your own, which lab gather does not know" in err


def test_a_folder_gets_a_file_for_each_object(lab: Lab, tmp_path: Path) -> None:
    words = ("pipe", "--cpus", "1,2", "--namespace", "class", "--output", str(tmp_path / "jobs"))
    code, out, err = lab("export", "kubernetes", *words)
    assert (code, out) == (0, "")
    files = sorted((tmp_path / "jobs").iterdir())
    kinds = [yaml.safe_load(file.read_text(encoding="utf-8"))["kind"] for file in files]
    assert sorted(kinds) == ["ConfigMap", "Job", "Job", "NetworkPolicy"]
    assert f"kubectl create -f {tmp_path / 'jobs'}" in err
    assert f"{tmp_path / 'jobs'} is not empty" in lab("export", "kubernetes", "--output", str(tmp_path / "jobs"))[2]
    assert "lab gather --kubernetes --namespace class --session " in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cpus", "1,all"), "a pod asks for a number of CPUs, and not for all or for certain ones"),
        (("--cpus", "0-3"), "a pod asks for a number of CPUs"),
        (("--cpus", "1.5"), "'1.5' is not a number of CPUs"),
        (("poool",), "there is no experiment 'poool'"),
    ],
)
def test_what_no_pod_can_be_is_refused(lab: Lab, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = lab("export", "kubernetes", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
