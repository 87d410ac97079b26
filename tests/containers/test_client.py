"""The client of the engine: it is the engine that the user named, or an error that names it."""

from __future__ import annotations

import gc
import json
import socket
from hashlib import sha256
from pathlib import Path

import pytest

from lab.containers.client import client_for_this_environment
from lab.errors import EngineError
from tests.support.fake_api import Server
from tests.support.terminal import Lab

pytestmark = pytest.mark.slow  # each test starts the command line


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The settings of a Docker client that has no context but the default one."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config.json"


def refusal() -> EngineError:
    with pytest.raises(EngineError) as caught:
        client_for_this_environment()
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_context_that_the_environment_names_and_that_does_not_exist_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far-away")
    error = refusal()
    assert error.what == "the Docker context far-away (DOCKER_CONTEXT) does not exist"
    assert "docker context ls" in error.fix


def test_a_context_that_the_settings_name_and_that_does_not_exist_is_refused(config: Path) -> None:
    config.write_text(json.dumps({"currentContext": "far-away"}))
    assert refusal().what == f"the Docker context far-away (currentContext in {config}) does not exist"


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_settings_that_cannot_be_read_are_refused(config: Path, text: str) -> None:
    config.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert refusal().what.startswith(f"the settings of the Docker client in {config} cannot be read: ")


def test_a_context_whose_description_is_broken_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "broken")
    folder = config.parent / "contexts" / "meta" / sha256(b"broken").hexdigest()
    folder.mkdir(parents=True)
    config.write_text("{}")  # the SDK looks for contexts beside this file
    (folder / "meta.json").write_text("{")
    assert refusal().what.startswith("the Docker context broken (DOCKER_CONTEXT) cannot be read: ")


def test_an_address_counts_more_than_a_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far-away")
    monkeypatch.setenv("DOCKER_HOST", "what://is.this")
    assert refusal().what == "DOCKER_HOST='what://is.this' has the protocol 'what', which no engine speaks"


#: Every command that asks an engine, as far as it needs arguments.
COMMANDS = ("run pipe", "plan", "selftest --cells 1", "clean", "gather", "images list", "compose-env")


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("words", [*COMMANDS, pytest.param("doctor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("state", ["stopped", "missing", "broken"])
def test_no_command_takes_another_engine_than_the_context_that_is_named(
    lab: Lab, config: Path, monkeypatch: pytest.MonkeyPatch, words: str, state: str
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    path = config.parent / "contexts" / "meta" / sha256(b"far").hexdigest() / "meta.json"
    path.parent.mkdir(parents=True)
    if state == "stopped":
        refusing = config.parent / "stopped.sock"
        with socket.socket(socket.AF_UNIX) as engine:
            engine.bind(str(refusing))  # nobody listens
        path.write_text(json.dumps({"Endpoints": {"docker": {"Host": f"unix://{refusing}"}}}))
    elif state == "broken":
        path.write_text("{}")
    monkeypatch.chdir(config.parent)
    code, out, err = lab(*words.split())
    gc.collect()
    assert code == 3
    assert "the Docker context far (DOCKER_CONTEXT)" in " ".join((out if words == "doctor" else err).split())
    assert "local processes" not in err


def test_an_engine_with_containers_of_windows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(tmp_path / "engine.sock") as server:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{server.server_address!s}")
        server.engine.system = "windows"
        error = refusal()
    assert error.what.endswith(", which DOCKER_HOST names, runs containers of Windows")
    assert "desktop-linux" in error.fix
