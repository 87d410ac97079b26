"""The images of builds: which is taken, what is kept, what is removed, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import release
from lab.commands import images as command
from lab.containers import client as containers
from lab.containers.client import image_names
from lab.containers.image_config import BASE_REPOSITORY
from lab.errors import ImageError, UsageError
from lab.model import build as builds
from lab.pythons import image_build, images, recipes
from tests.conftest import skip_or_fail
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

#: A version that no Python has, for names that are nobody's.
NOBODYS = "3.99"


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Lab:
    return Lab(monkeypatch, capsys, tmp_path)


@pytest.fixture
def spare(engine: DockerClient, image: str) -> Iterator[str]:
    """A name of ours for an image that is there anyway."""
    name = f"{BASE_REPOSITORY}:{NOBODYS}"
    engine.images.get(image).tag(BASE_REPOSITORY, NOBODYS)
    yield name
    if name in tags(engine):
        engine.images.remove(name)


@pytest.fixture
def free_threaded(engine: DockerClient) -> str:
    """The image of 3.13t. It takes minutes to compile, so .ci/run does it, and no test."""
    name = f"{BASE_REPOSITORY}:3.13t"
    if name not in tags(engine):
        skip_or_fail(f"there is no {name}; make it with: lab images build 3.13t")
    return name


def tags(engine: DockerClient) -> set[str]:
    """The names of images that no test makes for itself alone: such a one may come and go at any time."""
    return {name for name, _ in image_names(engine) if not name.startswith("multicore-lab-test:")}


@pytest.mark.parametrize(
    ("text", "ours", "official"),
    [
        ("3.13", "multicore-lab-base:3.13", "python:3.13-slim"),
        ("3.14+cpu_count=3", "multicore-lab-base:3.14", "python:3.14-slim"),
        ("3.13t+gil", "multicore-lab-base:3.13t", None),
        ("pypy3.10", "multicore-lab-base:pypy3.10", "pypy:3.10-slim"),
    ],
)
def test_an_image_is_named_for_its_python_and_not_for_options(text: str, ours: str, official: str | None) -> None:
    assert images.name_of(builds.parse_build(text)) == ours
    assert images.official_name_of(builds.parse_build(text)) == official


def test_a_registry_has_the_images_that_no_other_registry_has(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, free_threaded = builds.parse_builds(["3.13", "3.13t"])
    monkeypatch.setattr(release, "registry", lambda: "ghcr.io/someone")
    assert images.official_name_of(plain) == "python:3.13-slim"
    assert images.official_name_of(free_threaded) == "ghcr.io/someone/multicore-lab-base:3.13t"
    monkeypatch.setenv("LAB_REGISTRY", "localhost:5000/lab/")
    assert images.official_name_of(plain) == "localhost:5000/lab/multicore-lab-base:3.13"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "3.8"), ("3.8", "too old")),
        (("build", "/usr/bin/python3"), ("is a path", "3.13t")),
        (("build", "3.13t+gil"), ("options", "build the image of 3.13t")),
        (("build", "3.13t", "--from", "official"), ("no registry is known", "3.13t", "LAB_REGISTRY")),
        (("build", "3.13", "--from", "upstream"), ("only free-threaded", "official")),
        (("build", "3.12", "--from", "debian"), ("Debian has no package of 3.12", "3.13")),
        (("build", "3.20t"), ("no recipe for 3.20t", "3.13t")),
        (("build", "3.13", "3.13"), ("named twice",)),
        (("remove",), ("--all",)),
        (("remove", "3.13", "--all"), ("--all",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.engine
def test_bad_input_gets_one_line_and_exit_code_2(
    lab: Lab, engine: DockerClient, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before = tags(engine)
    code, out, err = lab("images", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert tags(engine) >= before


@pytest.mark.parametrize("arguments", [(), ("build",), ("build", "3.13", "--from", "moon")], ids=["", "none", "moon"])
def test_what_the_parser_refuses_exits_with_2(lab: Lab, arguments: tuple[str, ...]) -> None:
    assert lab("images", *arguments)[0] == 2


@pytest.mark.parametrize("arguments", [("build", "3.13"), ("list",), ("remove", "--all")], ids=lambda value: value[0])
def test_without_an_engine_it_says_so_and_exits_with_3(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(  # a process of its own, because the SDK forgets the socket that did not connect
        [sys.executable, "-m", "lab", "images", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "no Docker engine" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_sources_on_the_command_line_are_those_of_the_builder() -> None:
    assert command._SOURCES == image_build.SOURCES


def test_every_build_of_all_has_a_recipe() -> None:
    for build in builds.parse_builds(["all"]):
        image_build.check_buildable(build, "auto")
        image_build.check_buildable(build, "debian")


def test_the_default_of_the_recipe_by_hand_is_the_release_that_the_lab_compiles() -> None:
    text = recipes.find_recipe(recipes.FREE_THREADED).read_text(encoding="utf-8")
    release, sha256, suite = image_build.RELEASES["3.13"]
    assert f"ARG VERSION={release}\n" in text
    assert f"ARG SHA256={sha256}\n" in text
    assert f"ARG BASE=debian:{suite}-slim\n" in text


def test_a_fingerprint_changes_with_the_recipe_and_its_arguments_and_is_that_of_sha256sum_without() -> None:
    assert recipes.fingerprint(b"text", {}) == hashlib.sha256(b"text").hexdigest()[:12]
    variants = [(b"text", {}), (b"text", {"a": "1"}), (b"text", {"a": "2"}), (b"text", {"b": "1"}), (b"more", {})]
    assert len({recipes.fingerprint(text, arguments) for text, arguments in variants}) == len(variants)


def test_recipes_are_found_in_an_installed_package_and_in_a_checkout(tmp_path: Path) -> None:
    for folder in ("site/lab/recipes", "checkout/docker", "site/docker"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "site/docker/__init__.py").touch()  # the SDK's package, which is no folder of recipes
    inside, beside = tmp_path / "site/lab/recipes/debian-base", tmp_path / "checkout/docker/debian-base"
    with pytest.raises(ImageError, match="debian-base"):
        recipes.find_recipe(recipes.DEBIAN_BASE, tmp_path / "site/lab")
    for file in (inside, beside):
        file.touch()
    assert recipes.find_recipe(recipes.DEBIAN_BASE, tmp_path / "site/lab") == inside
    assert recipes.find_recipe(recipes.DEBIAN_BASE, tmp_path / "checkout/lab") == beside


def test_debian_base_says_which_versions_there_are() -> None:
    done = subprocess.run(
        ["bash", str(recipes.find_recipe(recipes.DEBIAN_BASE)), "3.10"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "3.10" in done.stderr
    assert all(version in done.stderr for version in image_build.DEBIAN_VERSIONS)


@pytest.mark.engine
def test_what_is_there_is_listed_with_what_its_python_says(lab: Lab, image: str, spare: str) -> None:
    code, out, _ = lab("images", "list")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith(f"{NOBODYS} ")]
    assert spare in line
    assert "its Python is 3.1" in line  # and not the one that it is named for
    plain = [line for line in out.splitlines() if f"{BASE_REPOSITORY}:3." in line and NOBODYS not in line]
    for line in plain:
        build, name, release, gil = line.split()[:4]
        assert name == f"{BASE_REPOSITORY}:{build}"
        assert release.startswith(build.removesuffix("t") + ".")
        assert gil == ("off" if build.endswith("t") else "on")


@pytest.mark.engine
def test_an_image_without_python_is_listed_as_such(lab: Lab, engine: DockerClient) -> None:
    name = f"{BASE_REPOSITORY}:{NOBODYS}"
    engine.api.import_image_from_data(b"\0" * 10240, repository=BASE_REPOSITORY, tag=NOBODYS)
    try:
        out = lab("images", "list")[1]
    finally:
        engine.images.remove(name)
    assert "no Python in it answers" in out


@pytest.mark.engine
def test_a_build_that_is_there_and_current_is_kept_at_once(
    lab: Lab, engine: DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base_image = next(
        (base for base in images.listed(engine) if base.name.startswith(BASE_REPOSITORY) and not base.problem), None
    )
    if base_image is None:
        skip_or_fail("no image of a build is on the engine; make one with: lab images build 3.13")
    before = engine.images.get(base_image.name).id
    monkeypatch.setattr(image_build, "_fingerprint_now", lambda build, origin: _label(engine, base_image.name))
    code, out, _ = lab("images", "build", str(base_image.build))
    assert (code, out) == (0, f"{base_image.name} is current\n")
    assert engine.images.get(base_image.name).id == before


def _label(engine: DockerClient, name: str) -> str:
    return str(engine.images.get(name).labels.get(images.RECIPE_LABEL, ""))


@pytest.mark.engine
def test_an_image_whose_python_is_another_is_not_kept(engine: DockerClient, spare: str) -> None:
    assert not image_build._is_current(engine, builds.parse_build(NOBODYS), "auto")


@pytest.mark.engine
def test_an_image_of_another_recipe_is_not_kept(
    engine: DockerClient, free_threaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = builds.parse_build("3.13t")
    monkeypatch.setattr(image_build, "_fingerprint_now", lambda build, origin: _label(engine, free_threaded))
    assert image_build._is_current(engine, build, "auto")
    monkeypatch.setattr(image_build, "_fingerprint_now", lambda build, origin: "of today")
    labelled = _label(engine, free_threaded) != "by-hand"
    assert image_build._is_current(engine, build, "auto") is not labelled


@pytest.mark.engine
def test_what_cannot_be_made_is_said_with_the_next_step_and_the_others_are_made(
    lab: Lab, engine: DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "pull_image", lambda client, name, note: "no such host")
    monkeypatch.setattr(image_build, "_is_current", lambda client, build, source: build.name == "3.13")
    before = tags(engine)
    code, out, err = lab("images", "build", "3.12", "3.13")
    assert code == 3
    assert out == f"{BASE_REPOSITORY}:3.13 is current\n"
    assert "3.12: python:3.12-slim cannot be pulled: no such host" in err
    assert "1 of 2 images could not be made: 3.12" in err
    assert tags(engine) >= before


@pytest.mark.engine
def test_an_official_image_that_is_there_is_taken_without_asking_a_registry(
    engine: DockerClient, spare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = builds.parse_build(NOBODYS)
    official = str(images.official_name_of(build))
    monkeypatch.setattr(containers, "pull_image", lambda client, name, note: "no such host")
    engine.images.get(spare).tag(*official.split(":"))
    try:
        # It comes so far as to ask it what it is, although a name of ours is there, and not current.
        with pytest.raises(ImageError, match=r"was made, but its Python says that it is 3\."):
            image_build.make(engine, build)
        with pytest.raises(ImageError, match="no such host"):
            image_build.make(engine, build, force=True)
    finally:
        engine.images.remove(official)


@pytest.mark.engine
def test_a_recipe_that_fails_shows_the_end_of_its_output(engine: DockerClient, image: str) -> None:
    text = f"FROM {image}\nRUN echo all is lost && exit 3\n".encode()
    lines: list[str] = []
    with pytest.raises(ImageError, match=r"could not be built.*3"):
        image_build._build_image(engine, text, {}, f"{BASE_REPOSITORY}:{NOBODYS}", False, lines.append)
    assert any("all is lost" in line for line in lines)
    assert f"{BASE_REPOSITORY}:{NOBODYS}" not in tags(engine)


@pytest.mark.engine
def test_removing_takes_our_name_away_and_nothing_else(lab: Lab, engine: DockerClient, image: str, spare: str) -> None:
    before = tags(engine)
    assert lab("images", "remove", NOBODYS) == (0, f"removed {spare}\n", "")
    assert tags(engine) >= before - {spare}
    assert spare not in tags(engine)


@pytest.mark.engine
def test_removing_takes_a_whole_name_too(lab: Lab, spare: str) -> None:
    assert lab("images", "remove", spare)[0] == 0


@pytest.mark.engine
@pytest.mark.parametrize("name", ["multicore-lab-users:1", "python:3.13-slim", NOBODYS], ids=["a user's", "", "none"])
def test_what_is_not_ours_or_not_there_is_not_removed(lab: Lab, engine: DockerClient, image: str, name: str) -> None:
    engine.images.get(image).tag("multicore-lab-users", "1")
    before = tags(engine)
    try:
        code, out, err = lab("images", "remove", name)
        assert tags(engine) >= before
    finally:
        engine.images.remove("multicore-lab-users:1")
    assert (code, out) == (2, "")
    assert name in err


@pytest.mark.engine
def test_an_image_that_a_container_runs_from_is_kept_and_said(lab: Lab, engine: DockerClient) -> None:
    engine.api.import_image_from_data(b"\0" * 10240, repository=BASE_REPOSITORY, tag=NOBODYS)
    name = f"{BASE_REPOSITORY}:{NOBODYS}"
    container = engine.api.create_container(name, "nothing")
    try:
        code, _, err = lab("images", "remove", NOBODYS)
        assert code == 3
        assert name in err
        assert name in tags(engine)
    finally:
        engine.api.remove_container(container["Id"])
        engine.images.remove(name)


@pytest.mark.engine
def test_the_image_of_a_build_is_ours_or_an_error_that_says_what_there_is(engine: DockerClient, spare: str) -> None:
    assert images.image_of(engine, builds.parse_build(NOBODYS)) == spare
    with pytest.raises(ImageError) as missing:
        images.image_of(engine, builds.parse_build("3.98t"))
    assert "there are: " in str(missing.value)
    assert NOBODYS in str(missing.value)
    assert "lab images build 3.98t" in str(missing.value)


@pytest.mark.engine
def test_an_image_that_cannot_be_pulled_says_why(engine: DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "pull_image", lambda client, name, note: "no such host")
    with pytest.raises(ImageError, match=r"python:3\.98-slim cannot be pulled: no such host; make it with: lab images"):
        images.image_of(engine, builds.parse_build("3.98"), lambda line: None)


@pytest.mark.engine
def test_a_path_has_no_image(engine: DockerClient) -> None:
    with pytest.raises(UsageError, match="--engine local"):
        images.image_of(engine, builds.parse_build("/usr/bin/python3"))


@pytest.mark.engine
def test_the_free_threaded_image_has_no_gil_no_root_and_is_labelled(engine: DockerClient, free_threaded: str) -> None:
    answer = images.asked(engine, free_threaded)
    assert answer
    assert answer.build == builds.parse_build("3.13t")
    assert not answer.gil_enabled
    assert answer.problem is None
    details = engine.images.get(free_threaded)
    assert details.attrs["Config"]["User"] == "65534:65534"
    assert details.labels["org.multicore-lab.build"] == "3.13t"
    assert details.labels[images.SOURCE_LABEL] in ("upstream", "debian")
    assert details.labels["org.opencontainers.image.version"].startswith("3.13")
