"""Which engine the user has named, as the ``docker`` command understands it; every other engine is another one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.containers.address import Address, host_address, user_address, warning
from lab.errors import NamedEngineError

USUAL = "unix:///var/run/docker.sock"


def settings(folder: Path, **contexts: object) -> dict[str, str]:
    """An environment whose Docker client has these contexts: name -> the content of meta.json."""
    for name, content in contexts.items():
        path = meta(folder, name)
        path.parent.mkdir(parents=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {"DOCKER_CONFIG": str(folder)}


def meta(folder: Path, name: str) -> Path:
    return folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"


def context(host: object, **fields: object) -> dict[str, object]:
    return {"Name": "any", "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False, **fields}}}


def refusal(environment: dict[str, str]) -> NamedEngineError:
    with pytest.raises(NamedEngineError) as caught:
        user_address(environment)
    assert str(caught.value).endswith("or use --engine local")
    assert str(caught.value).isprintable()
    return caught.value


def test_who_names_no_engine_gets_the_usual_one(tmp_path: Path) -> None:
    assert user_address(settings(tmp_path)) == Address(url=USUAL)
    assert user_address({**settings(tmp_path), "DOCKER_CONTEXT": "default", "DOCKER_HOST": ""}) == Address(url=USUAL)


def test_a_context_is_read_also_where_the_client_has_no_settings(tmp_path: Path) -> None:
    environment = {**settings(tmp_path, far=context("ssh://me@far")), "DOCKER_CONTEXT": "far"}
    address = user_address(environment)
    assert address.url == "ssh://me@far"
    assert str(address) == "ssh://me@far, which the Docker context far (DOCKER_CONTEXT) names"


def test_an_address_counts_more_than_a_context_and_the_environment_more_than_the_settings(tmp_path: Path) -> None:
    environment = settings(tmp_path, one=context("unix:///one"), two=context("unix:///two"))
    (tmp_path / "config.json").write_text('{"currentContext": "one"}')
    assert user_address(environment).url == "unix:///one"
    assert user_address({**environment, "DOCKER_CONTEXT": "two"}).url == "unix:///two"
    assert user_address({**environment, "DOCKER_CONTEXT": "default"}).url == USUAL
    assert user_address({**environment, "DOCKER_HOST": "tcp://far:2375", "DOCKER_CONTEXT": "two"}).url == (
        "tcp://far:2375"
    )


def test_a_host_is_a_context_or_an_address_whatever_the_environment_names(tmp_path: Path) -> None:
    environment = {**settings(tmp_path, far=context("ssh://me@far")), "DOCKER_HOST": "tcp://other:2375"}
    assert str(host_address("far", environment)) == "ssh://me@far, which the Docker context far (--host) names"
    assert host_address("default", environment).url == USUAL
    assert host_address("tcp://far:2375", environment).url == "tcp://far:2375"
    certificates = host_address("tcp://far:2376", {**environment, "DOCKER_CERT_PATH": str(tmp_path)}).certificates
    assert certificates is not None


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("tcp://far:2375", True),
        ("tcp://[fd00::1]:2375", True),
        ("http://far:2375", True),
        ("tcp://127.0.0.1:2375", False),
        ("tcp://[::1]:2375", False),
        ("tcp://localhost:2375", False),
        ("ssh://me@far", False),
        ("unix:///run/docker.sock", False),
    ],
)
def test_a_connection_to_another_machine_that_is_not_encrypted_has_a_warning(
    tmp_path: Path, url: str, warns: bool
) -> None:
    assert bool(warning(host_address(url, settings(tmp_path)))) is warns
    assert warning(host_address(url, {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)})) == ""


def test_an_ipv6_address_takes_brackets(tmp_path: Path) -> None:
    for host in ("tcp://::1:2375", "ssh://me@fe80::1"):
        with pytest.raises(NamedEngineError, match="has an IPv6 address without brackets"):
            host_address(host, settings(tmp_path))
    assert host_address("ssh://me@[fe80::1]", settings(tmp_path)).url == "ssh://me@[fe80::1]"


@pytest.mark.parametrize("host", ["gone", "tcp://far", "what://far:1", "ssh://me:secret@far", "ssh://far/x"])
def test_a_host_that_can_be_none_is_refused_with_what_can_be_named(tmp_path: Path, host: str) -> None:
    with pytest.raises(NamedEngineError) as caught:
        host_address(host, settings(tmp_path))
    assert "--host" in caught.value.what
    assert caught.value.fix == "name a Docker context (docker context ls), ssh://USER@HOST or tcp://HOST:PORT"


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "gone"}')
    source = f"currentContext in {tmp_path / 'config.json'}"
    assert refusal(settings(tmp_path)).what == f"the Docker context gone ({source}) does not exist"
    other = {**settings(tmp_path), "DOCKER_CONTEXT": "lost"}
    assert refusal(other).what == "the Docker context lost (DOCKER_CONTEXT) does not exist"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "null",
        '{"Endpoints": null}',
        '{"Endpoints": []}',
        '{"Endpoints": {}}',
        '{"Endpoints": {"kubernetes": {}}}',
        '{"Endpoints": {"docker": null}}',
        '{"Endpoints": {"docker": {}}}',
        context(""),
        context(7),
        context("tcp://"),
        context("unix://"),
        context("tcp://far:port"),
        context("what://far"),
    ],
    ids=lambda content: str(content)[:60],
)
def test_a_context_that_is_broken_is_named(tmp_path: Path, content: object) -> None:
    error = refusal({**settings(tmp_path, broken=content), "DOCKER_CONTEXT": "broken"})
    assert error.what.startswith("the Docker context broken (DOCKER_CONTEXT) ")
    assert "docker context ls" in error.fix


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_a_context_whose_description_is_no_file_is_broken(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = meta(tmp_path, "odd")
    path.parent.mkdir(parents=True)
    make(path)
    assert "cannot be read" in refusal({**settings(tmp_path), "DOCKER_CONTEXT": "odd"}).what


ODD = [
    " ",
    "\n",
    "tcp://",
    "tcp://:2375",
    "tcp://far",
    "tcp://far:port",
    "tcp://far:99999",
    "tcp://[::1",
    "tcp://far:1?x",
    "tcp://me:secret@far:1",
    "tcp://fa r:1",
    "tcp://far\n:1",
    "http://",
    "https://",
    "unix://",
    "unix:///",
    "npipe://",
    "npipe:////./pipe/docker_engine",
    "fd://",
    "fd://3",
    "ssh://",
    "ssh://me@",
    "ssh://far/socket",
    "what://far",
    "far",
    "/var/run/docker.sock",
    ":2375",
]


@pytest.mark.parametrize("host", ODD, ids=repr)
def test_an_address_that_no_client_can_use_is_a_sentence(host: str) -> None:
    error = refusal({"DOCKER_HOST": host})
    assert error.what.startswith("DOCKER_HOST=")
    assert "unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST" in error.fix


@pytest.mark.parametrize(
    "host",
    [
        "unix:///a b.sock",
        "unix://var/run/docker.sock",
        "tcp://far:1",
        "http://far:1",
        "far:1",
        "ssh://far",
        "tcp://[::1]:1",
    ],
)
def test_an_address_that_the_sdk_understands_is_taken_as_it_is(host: str) -> None:
    assert user_address({"DOCKER_HOST": host}).url == host


def test_certificates_are_those_of_the_folder_that_is_named(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://far:2376", "DOCKER_CERT_PATH": str(tmp_path), "DOCKER_TLS_VERIFY": "1"}
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").touch()
    certificates = user_address(environment).certificates
    assert certificates
    assert certificates.authority == tmp_path / "ca.pem"
    assert certificates.own == (tmp_path / "cert.pem", tmp_path / "key.pem")
    assert certificates.verify
    unverified = user_address({**environment, "DOCKER_TLS_VERIFY": ""}).certificates
    assert unverified
    assert not unverified.verify
    assert user_address({**environment, "DOCKER_HOST": "unix:///x"}).certificates is None
    assert user_address({"DOCKER_HOST": "tcp://far:2376"}).certificates is None


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://far:2376", "DOCKER_CERT_PATH": str(tmp_path / "no"), "DOCKER_TLS_VERIFY": "1"}
    with pytest.raises(NamedEngineError, match=f"there is no folder {tmp_path}/no; put ca.pem"):
        user_address(environment)
    (tmp_path / "cert.pem").touch()
    with pytest.raises(NamedEngineError, match=r"a certificate needs its key, and .*/key.pem is not there"):
        user_address({**environment, "DOCKER_CERT_PATH": str(tmp_path)})


def test_a_context_has_certificates_of_its_own_and_not_those_of_the_environment(tmp_path: Path) -> None:
    secure, plain = context("tcp://far:2376"), context("tcp://far:2375")
    open_ = context("tcp://far:2376", SkipTLSVerify=True)
    environment = settings(tmp_path, secure=secure, plain=plain, open=open_)
    folder = tmp_path / "contexts" / "tls" / hashlib.sha256(b"secure").hexdigest() / "docker"
    folder.mkdir(parents=True)
    for name in ("ca", "cert", "key"):
        (folder / f"{name}.pem").touch()
    environment["DOCKER_CERT_PATH"] = str(tmp_path / "another")
    certificates = user_address({**environment, "DOCKER_CONTEXT": "secure"}).certificates
    assert certificates
    assert (certificates.authority, certificates.verify) == (folder / "ca.pem", True)
    assert user_address({**environment, "DOCKER_CONTEXT": "plain"}).certificates is None
    unverified = user_address({**environment, "DOCKER_CONTEXT": "open"}).certificates
    assert unverified
    assert (unverified.own, unverified.verify) == (None, False)
