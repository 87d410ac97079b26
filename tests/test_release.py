"""A release: what is built says its commit, has the same bytes each time, and agrees with the changelog."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lab as package
from lab import release
from lab.containers.client import SESSION_LABEL, image_names
from lab.pythons import image_build
from lab.pythons.image_build import DEBIAN_VERSIONS
from tests.conftest import skip_or_fail
from tests.support.daemons import Daemon, impossible
from tests.support.indexes import free_port, image_registry, package_index
from tests.support.once import made_once
from tests.support.paths import ROOT
from tests.support.programs import PATH
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

SCRIPT = ROOT / ".ci" / "release"
#: A recipe without a command, so that it works for every platform.
EMPTY = b"FROM scratch\nWORKDIR /empty\n"
#: The builds that a release compiles, because there is no official image of them.
COMPILED = ("3.13t", "3.14t", "3.15t")
#: The address of the site, for a link on the index.
SITE = "https://example.com/site/"
#: The environment of the script: with the programs beside this interpreter, and without a registry of the developer's.
ENVIRONMENT = {**{name: value for name, value in os.environ.items() if not name.startswith("LAB_")}, "PATH": PATH}


@pytest.fixture
def head() -> str:
    """The commit of this checkout, as git says it."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        skip_or_fail("this is no checkout of git")
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release: wheel, source distribution, and what the image of the lab installs."""
    return made_once(tmp_path_factory, "dist", build)


def build(folder: Path) -> None:
    """Build a release of this checkout, whose lab knows a registry."""
    settings = {"LAB_REGISTRY": "registry.example/lab", "LAB_HOME": "https://example.com/lab", "LAB_SITE": SITE}
    done = run("build", folder, **settings)
    assert done.returncode == 0, done.stderr


def run(*words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *words], env={**ENVIRONMENT, **settings}, capture_output=True, text=True, check=False, timeout=280
    )


def test_the_version_in_a_checkout_has_the_commit_of_git(
    head: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = f"multicore-lab {package.__version__} (commit {head})\n"
    assert Lab(monkeypatch, capsys, tmp_path)("--version") == (0, shown, "")


@pytest.mark.parametrize("files", [(), (".git",), ("hatch_build.py",)], ids=["empty", "another checkout", "no git"])
def test_no_commit_is_made_up(files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in files:
        (tmp_path / name).touch()
    (tmp_path / "lab").mkdir()
    monkeypatch.setattr(release, "_PACKAGE", str(tmp_path / "lab"))
    assert (release.commit(), release.registry()) == ("", "")


def test_a_release_carries_its_commit_and_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / release.FILE).write_text('{"commit": "abc", "registry": "ghcr.io/someone"}')
    monkeypatch.setattr(release, "_PACKAGE", str(tmp_path))
    assert (release.commit(), release.registry()) == ("abc", "ghcr.io/someone")


def test_the_changelog_and_the_citation_are_of_this_version() -> None:
    dated = re.search(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert dated
    assert dated[1] == package.__version__
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {dated[1]}\ndate-released: {dated[2]}\n" in citation


def test_a_tag_of_another_version_is_refused(tmp_path: Path) -> None:
    done = run("build", tmp_path / "dist", "v0.0.9")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the tag is v0.0.9, but lab/__init__.py says {package.__version__}" in done.stderr


#: The steps that take a release, with what they need besides its folder.
STEPS = [("publish",), ("images", "localhost:1"), ("join", "localhost:1", "amd64"), ("latest", "localhost:1")]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_without_a_release_is_refused_and_makes_no_folder(step: tuple[str, ...], tmp_path: Path) -> None:
    done = run(step[0], tmp_path / "dist", *step[1:])
    assert (done.returncode, done.stdout) == (1, "")
    assert "must have exactly one source distribution; make it with .ci/release build" in done.stderr
    assert not (tmp_path / "dist").exists()


@pytest.mark.slow
def test_two_builds_have_the_same_bytes_and_say_their_commit(head: str, dist: Path, tmp_path: Path) -> None:
    build(tmp_path)
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in (dist, tmp_path))
    assert first == second
    version = package.__version__
    wheel, materials = f"multicore_lab-{version}-py3-none-any.whl", "multicore-lab.cdx.json"
    assert first.keys() == {wheel, f"multicore_lab-{version}.tar.gz", materials}
    components = json.loads(first[materials])["components"]
    assert {"docker", "scipy"} <= {component["name"] for component in components}
    # The wheel was made from the source distribution, where there is no git.
    with zipfile.ZipFile(dist / wheel) as files:
        facts = json.loads(files.read("lab/release.json"))
        metadata = files.read(f"multicore_lab-{version}.dist-info/METADATA").decode()
        names = set(files.namelist())
    assert facts == {
        "commit": head,
        "home": "https://example.com/lab",
        "registry": "registry.example/lab",
        "site": SITE,
    }
    assert f"\nProject-URL: Documentation, {SITE}\n" in metadata
    # An index shows the README alone: each link leads to the repository, or to a heading.
    links = re.findall(r"\]\(([^)\s]*)", metadata)
    assert f"https://example.com/lab/blob/v{version}/docs/builds.md" in links
    assert f"https://example.com/lab/raw/v{version}/docs/page.png" in links
    assert all(re.match("https?:|#", link) for link in links)
    here = (path.relative_to(ROOT).as_posix() for path in (ROOT / "lab").rglob("*") if path.is_file())
    assert {name for name in here if "__pycache__" not in name} <= names
    assert {f"lab/recipes/{name}" for name in ("debian-base", "free-threaded.Dockerfile")} <= names


#: Stands for the command docker: it notes its words and what it reads, and says that its builder is in a container.
NOTING = """#!/bin/sh
echo "$*" >> "$NOTES"
case "$*" in
    *inspect*) echo "Driver: docker-container" ;;
    *" -") sed "s/^/< /" >> "$NOTES" ;;
esac
"""


@pytest.mark.slow
def test_without_images_here_official_ones_are_taken_and_free_threaded_builds_are_compiled(
    dist: Path, tmp_path: Path
) -> None:
    (tmp_path / "docker").write_text(NOTING)
    (tmp_path / "docker").chmod(0o755)
    notes = tmp_path / "notes"
    path = f"{tmp_path}:{ENVIRONMENT['PATH']}"
    done = run("images", dist, "registry/me", "arm64", PATH=path, NOTES=str(notes), LAB_BUILDS="3.14 3.13t 3.14t 3.15t")
    assert done.returncode == 0, done.stderr
    parts = re.split("^buildx build ", notes.read_text(), flags=re.M)[1:]
    built = {words.split("--tag ")[1].split()[0]: words for words in parts}
    version = package.__version__
    names = ["multicore-lab-cell", "multicore-lab", *[f"multicore-lab-base:{b}" for b in ("3.14", *COMPILED)]]
    assert list(built) == [f"registry/me/{n}{'-' if ':' in n else ':'}{version}-arm64" for n in names]
    assert all("--push --provenance mode=max --sbom true" in words for words in built.values())
    assert "\n< FROM python:3.14-slim\n" in built[f"registry/me/multicore-lab-base:3.14-{version}-arm64"]
    recipe = (ROOT / "docker" / "free-threaded.Dockerfile").read_text("utf-8")
    known = set(re.findall(r"^ARG (\w+)", recipe, re.M))
    for build in COMPILED:
        words = built[f"registry/me/multicore-lab-base:{build}-{version}-arm64"]
        given = dict(re.findall(r"--build-arg=(\w+)=(\S+)", words))
        release_number, checksum, _ = image_build.RELEASES[build.removesuffix("t")]
        assert (given["BUILD"], given["VERSION"], given["SHA256"]) == (build, release_number, checksum)
        assert given["SOURCE"] == "upstream"
        assert given.keys() <= known
        assert "\n< FROM " in words


#: What a stranger types in a clean container, as nobody: there is no checkout and no compiler.
IN_A_CONTAINER = """
set -eu
cd /tmp
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --only-binary :all: multicore-lab
venv/bin/lab --version
venv/bin/lab cpus --no-measure --format value
venv/bin/lab run pool --engine local --quick --cpus 1 2>&1 || echo "exit code $?"
venv/bin/python -c 'import lab; lab.scale; print("lab.scale is there")' 2>&1 | tail -n 1
"""
#: What they type then, to install from the source distribution, on the oldest and on the newest Python.
FROM_SOURCE = """
venv/bin/pip install --quiet --no-compile --no-deps --force-reinstall --no-binary multicore-lab multicore-lab
echo "from the source distribution: $(venv/bin/lab --version)"
"""
BOTH_ENDS = (DEBIAN_VERSIONS[0], DEBIAN_VERSIONS[-1])


def need_images(engine: DockerClient, builds: Iterable[str]) -> None:
    """Skip the test, or fail it under CI=true, unless the engine has an image of each of these builds."""
    have = {name for name, _ in image_names(engine)}
    if missing := [build for build in builds if f"multicore-lab-base:{build}" not in have]:
        skip_or_fail(f"there is no image of {missing[0]}")


def certificates() -> dict[str, str]:
    """The setting with the certificates that programs here are told to trust; empty: those that they bring along."""
    path = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    return {"LAB_CA_BUNDLE": path} if path else {}


def in_a_container(build: str, index: str) -> str:
    """What the commands of a stranger print in a clean container of this build."""
    trusted = [
        word
        for path in certificates().values()
        for word in ("--volume", f"{path}:/certificates:ro", "--env", "PIP_CERT=/certificates")
    ]
    options = ["--rm", "--init", "--network=host", "--user=65534:65534", "--workdir=/tmp", "--env=HOME=/tmp"]
    options += [f"--label={SESSION_LABEL}=release", f"--env=PIP_INDEX_URL={index}", *trusted]
    commands = IN_A_CONTAINER + FROM_SOURCE * (build in BOTH_ENDS)
    done = subprocess.run(
        ["docker", "run", *options, f"multicore-lab-base:{build}", "timeout", "240", "sh", "-c", commands],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, f"{build}: {done.stderr}"
    return done.stdout


def on_this_machine(folder: Path, index: str) -> tuple[float, str, str]:
    """How many seconds a stranger needs from nothing to a report, and what a lab with a namesake says.

    First that is a lab whose files the namesake overwrote, and then one that overwrote those of the namesake.
    """
    lab, pip = (str(folder / "venv" / "bin" / name) for name in ("lab", "pip"))
    settings = {**ENVIRONMENT, "PIP_INDEX_URL": index, "XDG_STATE_HOME": str(folder / "state")}
    settings.pop("PYTHONPATH", None)  # else the lab of this checkout would run instead of the one that was installed

    def ask(*words: str, code: int = 0) -> str:
        done = subprocess.run(words, cwd=folder, env=settings, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    started = time.monotonic()
    ask(sys.executable, "-m", "venv", str(folder / "venv"))
    ask(pip, "install", "--quiet", "multicore-lab[report]")
    ask(lab, "run", "--engine", "docker", "--quick")
    page = ask(lab, "report")
    seconds = time.monotonic() - started
    assert "report.html" in page
    ask(pip, "install", "--quiet", "--no-deps", "lab")
    overwritten = ask(lab, "doctor", code=3).splitlines()[-1]
    ask(pip, "install", "--quiet", "--no-deps", "--force-reinstall", "multicore-lab")
    return seconds, overwritten, ask(lab, "doctor")


@pytest.mark.engine
def test_strangers_install_the_release_from_an_index(engine: DockerClient, dist: Path, tmp_path: Path) -> None:
    need_images(engine, DEBIAN_VERSIONS)  # which have pip in them
    with package_index(tmp_path / "index") as address, ThreadPoolExecutor() as threads:
        uploaded = run("publish", dist, address, TWINE_USERNAME="anyone", TWINE_PASSWORD="anything")
        assert uploaded.returncode == 0, uploaded.stdout + uploaded.stderr
        index = f"{address}simple/"
        outputs = [threads.submit(in_a_container, build, index) for build in DEBIAN_VERSIONS]
        seconds, overwritten, advice = on_this_machine(tmp_path, index)
        for build, output in zip(DEBIAN_VERSIONS, outputs, strict=True):
            text = output.result()
            assert re.match(rf"multicore-lab {package.__version__} \(commit \w{{40}}\S*\)\n\d+\n", text), text
            if build == "3.9":
                assert "lab: the orchestrator needs Python 3.11 or later, this is 3.9; lab cpus" in text
                assert "exit code 2\nImportError: lab.scale needs Python 3.11 or later, this is 3.9" in text
            else:
                assert "verdicts on " in text
                assert "lab.scale is there" in text
            first, *_, last = text.splitlines()
            assert (last == f"from the source distribution: {first}") is (build in BOTH_ENDS)
    print(f"from nothing to a report: {seconds:.0f} s")
    assert seconds < 120
    assert re.match(r"lab: lab \S+ in this environment has the same import name", overwritten)
    assert re.search(r"lab \S+ has the import name of multicore-lab: each", " ".join(advice.split()))


def push_empty(name: str, platform: str) -> None:
    """Push an image for a platform that this machine need not have, with one file in it."""
    words = ["docker", "buildx", "build", "--quiet", "--push", "--platform", platform, "--tag", name, "-"]
    subprocess.run(words, input=EMPTY, check=True, capture_output=True, timeout=100)


def platforms_of(name: str) -> set[str]:
    """The platforms of an image in a registry."""
    words = ["docker", "buildx", "imagetools", "inspect", "--raw", name]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, timeout=100).stdout)
    platforms = [each["platform"] for each in told["manifests"]]  # that of a builder's notes on an image is unknown
    return {f"{each['os']}/{each['architecture']}" for each in platforms if each["os"] != "unknown"}


@pytest.fixture
def room() -> Iterator[Daemon]:
    """The engine of a stranger, in a network where only a registry answers."""
    if os.geteuid():
        pytest.skip("it takes root")  # also under CI=true: .ci/run has root, and the workflow's Docker job has not
    if why := impossible("docker"):
        skip_or_fail(why)
    if not shutil.which("docker-registry"):
        skip_or_fail("docker-registry is not here")
    with Daemon("docker") as daemon:
        yield daemon


@pytest.mark.engine
def test_strangers_pull_the_images_of_a_release(engine: DockerClient, room: Daemon, dist: Path, tmp_path: Path) -> None:
    port = free_port()
    registry = f"localhost:{port}/someone"
    builds, version = ("3.13", "3.13t"), package.__version__
    own, other = ("arm64", "amd64") if platform.machine() == "aarch64" else ("amd64", "arm64")
    names = {f"multicore-lab:{version}", f"multicore-lab-cell:{version}"}
    names |= {f"multicore-lab-base:{build}-{version}" for build in builds}
    need_images(engine, builds)
    dist = Path(shutil.copytree(dist, tmp_path / "dist"))
    settings = {"LAB_BASES": "multicore-lab-base", "LAB_BUILDS": " ".join(builds)}
    try:
        with image_registry(tmp_path / "registry", port):
            for step in (("images", own), ("join", own, other), ("latest",)):
                done = run(step[0], dist, registry, *step[1:], **settings, **certificates())
                assert done.returncode == 0, done.stderr
                if step[0] == "images":
                    for name in names:
                        push_empty(f"{registry}/{name}-{other}", f"linux/{other}")
            platforms = {name: platforms_of(f"{registry}/{name}") for name in names}
    finally:
        for name in {name for name, _ in image_names(engine) if name.startswith(registry)}:
            engine.images.remove(name, noprune=True)
    assert platforms == {name: {"linux/amd64", "linux/arm64"} for name in names}
    lines = [line.split() for line in (dist / "images.txt").read_text().splitlines()]
    digests = {name: digest for digest, name in lines}
    assert {name.rpartition("/")[2] for name in digests} == names
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests.values())

    enter = ["nsenter", "--target", str(room.process_id), "--net"]
    subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
    with image_registry(tmp_path / "registry", port, enter):
        here = {**ENVIRONMENT, "DOCKER_HOST": room.address, "LAB_REGISTRY": registry, "COMPOSE_ANSI": "never"}

        def ask(*words: str) -> str:
            done = subprocess.run(
                words, cwd=tmp_path, env=here, capture_output=True, text=True, check=False, timeout=200
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        made = ask(sys.executable, "-m", "lab", "images", "build", *builds, "--from", "official")
        assert made.splitlines() == [f"multicore-lab-base:{build} made" for build in builds]
        # Two files and their settings are all that Compose needs; nothing is built.
        for name in ("compose.yaml", "compose.cells.yaml"):
            shutil.copy(ROOT / name, tmp_path)
        del here["LAB_REGISTRY"]
        shorter = "LAB_EXPERIMENTS=pool\nLAB_SECONDS=0.5\n"
        (tmp_path / ".env").write_text(f"LAB_REGISTRY={registry}\nLAB_PULL=missing\n{shorter}")
        try:
            assert "Pool()  " in ask("docker", "compose", "up", "--no-color")
        finally:
            ask("docker", "compose", "down", "--volumes", "--timeout", "2")
        # The images of the same version are the same ones, and say their commit.
        for name, words in (("multicore-lab", ()), ("multicore-lab-cell", ("-m", "lab"))):
            start = [f"--entrypoint={'python3' if words else 'lab'}", f"{registry}/{name}:{version}", *words]
            said = ask("docker", "run", "--rm", "--network=none", *start, "--version")
            assert re.fullmatch(rf"multicore-lab {version} \(commit \w{{40}}\S*\)\n", said), said
