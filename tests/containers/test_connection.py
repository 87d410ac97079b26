"""Connections by TLS and by ssh, with real certificates and a real sshd, and what is said when they fail."""

from __future__ import annotations

import contextlib
import gc
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lab.containers import connection, waiting
from lab.containers.client import broken_connections, client_for_this_environment
from lab.errors import NamedEngineError
from tests.conftest import skip_or_fail
from tests.support import secure_api
from tests.support.engine_hosts import Relay
from tests.support.fake_api import Engine, Server
from tests.support.secure_api import Sshd, TlsServer
from tests.support.terminal import Lab

#: The SDK forgets a socket that did not connect.
FORGOTTEN = "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
pytestmark = [pytest.mark.filterwarnings(FORGOTTEN), pytest.mark.filterwarnings("ignore::ResourceWarning")]


def refusal() -> NamedEngineError:
    with pytest.raises(NamedEngineError) as caught:
        client_for_this_environment()
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith("or use --engine local")
    gc.collect()
    return caught.value


def answers() -> bool:
    with contextlib.closing(client_for_this_environment()) as client:
        return bool(client.ping())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("own", "other"):
        secure_api.make_certificates(folder / name)
    return folder


@pytest.fixture
def tls(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsServer]:
    """An engine behind TLS that the environment names, with the right certificates."""
    with TlsServer(certificates / "own") as server:
        monkeypatch.setenv("DOCKER_HOST", server.url)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates / "own"))
        yield server
        server.shutdown()


@pytest.mark.usefixtures("tls")
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("verify", ["1", ""])
def test_the_certificates_of_the_web_do_not_replace_those_of_the_engine(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, name: str, verify: str
) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
    for bundle in (certificates / "other" / "ca.pem", certificates / "there-is-none.pem"):
        monkeypatch.setenv(name, str(bundle))
        assert answers()


@pytest.mark.usefixtures("tls")
def test_a_certificate_of_another_authority_is_refused_with_the_whole_reason(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates / "other"))
    error = refusal()
    assert error.what.endswith("its certificate is refused: self-signed certificate in certificate chain")
    assert f"compare ca.pem, cert.pem and key.pem in {certificates / 'other'}" in error.fix


@pytest.mark.usefixtures("tls")
def test_a_client_without_a_certificate_is_refused(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes((certificates / "own" / "ca.pem").read_bytes())
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    assert "DOCKER_HOST names: " in refusal().what


@pytest.mark.parametrize(
    ("host", "days", "reason", "remedy"),
    [
        ("127.0.0.1", -1, "its certificate is refused: certificate has expired", "renew the engine's certificate"),
        ("127.0.0.2", 2, "127.0.0.1", "name the host as its certificate does"),
    ],
    ids=["expired", "of another host"],
)
def test_a_certificate_that_is_not_valid_here_is_refused_with_what_to_do(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, days: int, reason: str, remedy: str
) -> None:
    secure_api.make_certificates(tmp_path / "wrong", host, days=days, authority=certificates / "own")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates / "own"))
    with TlsServer(tmp_path / "wrong") as server:
        with pytest.raises(NamedEngineError) as caught:
            client_for_this_environment(server.url)
        server.shutdown()
    gc.collect()
    assert reason in caught.value.what
    assert remedy in caught.value.fix


@pytest.mark.usefixtures("tls")
def test_who_is_refused_with_an_own_certificate_that_has_expired_is_sent_to_its_dates(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secure_api.make_certificates(tmp_path / "old", days=-1, authority=certificates / "own")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "old"))
    assert "look at the dates of your own" in refusal().fix


def test_an_engine_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Server(tmp_path / "engine.sock") as server:
        server.engine.altered["version"] = lambda body: {"Version": "1.6", "ApiVersion": "1.18"}
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        error = refusal()
    assert "it is too old: API versions below " in error.what
    assert "install a newer Docker there" in error.fix


@pytest.mark.usefixtures("tls")
def test_a_certificate_that_is_no_certificate_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").write_text("this is no certificate\n")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    assert "DOCKER_HOST names: " in refusal().what


@pytest.mark.usefixtures("tls")
def test_an_engine_that_wants_tls_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name)
    assert "set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH" in refusal().fix


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder with an empty folder for ssh, and no agent."""
    pytest.importorskip("paramiko")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".ssh").mkdir()
    return tmp_path / ".ssh"


@pytest.fixture
def engine_behind(tmp_path: Path) -> Iterator[Engine]:
    """The fake engine that the sshd passes connections on to."""
    with Server(tmp_path / "engine.sock") as server:
        yield server.engine


@pytest.fixture
def sshd(home: Path, engine_behind: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sshd]:
    """An engine behind a real sshd that the environment names. The client knows neither the host nor a key."""
    if why := secure_api.no_sshd():
        skip_or_fail(why)
    with secure_api.sshd(tmp_path / "sshd", str(tmp_path / "engine.sock")) as server:
        monkeypatch.setenv("DOCKER_HOST", f"ssh://root@127.0.0.1:{server.port}")
        yield server


def trust(home: Path, server: Sshd) -> None:
    (home / "known_hosts").write_text(server.known_host)


def have_key(home: Path, server: Sshd, name: str = "user") -> None:
    (home / "id_ed25519").write_bytes((server.folder / name).read_bytes())


def test_an_engine_behind_ssh_answers(home: Path, sshd: Sshd) -> None:
    trust(home, sshd)
    have_key(home, sshd)
    assert answers()


def test_a_connection_over_ssh_that_breaks_is_made_again(
    home: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(lambda: socket.create_connection(("127.0.0.1", sshd.port)))
    (home / "known_hosts").write_text(sshd.known_host.replace(str(sshd.port), str(relay.port)))
    have_key(home, sshd)
    monkeypatch.setenv("DOCKER_HOST", f"ssh://root@127.0.0.1:{relay.port}")
    with contextlib.closing(relay.socket), contextlib.closing(client_for_this_environment()) as client:
        relay.cut()
        with pytest.raises(broken_connections()):
            client.ping()
        relay.mend()
        assert client.ping()
        relay.cut()
        relay.shutdown()


# urllib3 tries again to close what could not be closed, when it is collected.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <finalize:pytest.PytestUnraisableExceptionWarning")
def test_a_connection_over_ssh_that_breaks_while_it_is_closed_is_closed(
    home: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(home, sshd)
    have_key(home, sshd)
    client = client_for_this_environment()
    assert client.ping()
    adapter: Any = client.api.get_adapter(client.api.base_url)
    transport = adapter.ssh_client.get_transport()
    with monkeypatch.context() as patch:
        patch.setattr(transport.packetizer, "write_all", _is_gone)  # and no thread has noticed that yet
        client.close()
        assert not transport.is_active()
        gc.collect()


def _is_gone(out: bytes) -> NoReturn:
    raise EOFError


def test_a_host_that_is_not_known_is_refused(home: Path, sshd: Sshd) -> None:
    have_key(home, sshd)
    error = refusal()
    assert "not found in known_hosts" in error.what
    assert f"connect once with ssh -p {sshd.port} root@127.0.0.1" in error.fix


def test_a_host_with_another_key_is_refused(home: Path, sshd: Sshd) -> None:
    other = (sshd.folder / "user.pub").read_text().split()[1]
    (home / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} ssh-ed25519 {other}\n")
    have_key(home, sshd)
    error = refusal()
    assert error.what.endswith("its host key is not the one that known_hosts has")
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in error.fix


@pytest.mark.parametrize("key", [None, "host", "text"])
def test_a_client_without_the_right_key_is_refused(home: Path, sshd: Sshd, key: str | None) -> None:
    trust(home, sshd)
    if key == "text":
        (home / "id_ed25519").write_text("this is no key\n")
    elif key:
        have_key(home, sshd, key)
    assert "work without a password (ssh-copy-id, ssh-add)" in refusal().fix


def test_a_user_that_is_not_there_is_refused(home: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(home, sshd)
    have_key(home, sshd)
    monkeypatch.setenv("DOCKER_HOST", f"ssh://nobody-of-that-name@127.0.0.1:{sshd.port}")
    assert "make ssh -p" in refusal().fix


def test_a_host_without_docker_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if why := secure_api.no_sshd():
        skip_or_fail(why)
    with secure_api.sshd(tmp_path / "sshd", None) as server:
        monkeypatch.setenv("DOCKER_HOST", f"ssh://root@127.0.0.1:{server.port}")
        trust(home, server)
        have_key(home, server)
        assert "docker version work" in refusal().fix


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("host", ["ssh://root@127.0.0.1:1", "ssh://root@nowhere.invalid"])
def test_nobody_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert f"no Docker engine answers at {host}, which DOCKER_HOST names: " in refusal().what


@pytest.mark.slow
def test_cells_run_on_an_engine_behind_ssh(home: Path, sshd: Sshd, lab: Lab) -> None:
    trust(home, sshd)
    have_key(home, sshd)
    code, out, err = lab.run("pipe", "--engine", "docker", "--cpus", "1")
    assert code == 0, err
    assert "confirmed" in out


@pytest.mark.usefixtures("home")
def test_what_the_library_for_ssh_logs_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(3):
                server.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"ssh://root@127.0.0.1:{server.getsockname()[1]}")
        words = [sys.executable, "-m", "lab", "clean"]
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert line.startswith("lab: no Docker engine answers at ssh://root@127.0.0.1:")


@pytest.fixture
def unreachable() -> Iterator[str]:
    """The host and port of a machine that answers no attempt to connect: nobody takes those that wait already."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting_client = stack.enter_context(socket.socket())
            waiting_client.setblocking(False)
            waiting_client.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("protocol", ["tcp", "ssh"])
def test_a_machine_that_nobody_can_reach_is_not_waited_for_longer_than_others(
    unreachable: str, protocol: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(waiting, "TOLD_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(NamedEngineError, match="it did not answer in time"):
        client_for_this_environment(f"{protocol}://{unreachable}")
    assert time.monotonic() - began < connection._API_SECONDS
    if protocol == "tcp":
        assert f"waiting for the engine for 0.2 s: connecting to tcp://{unreachable}" in capsys.readouterr().err
    gc.collect()


def test_a_host_has_the_time_of_an_answer_for_each_piece_that_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.1)
    has_given_up = threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "engine.sock"))
        server.listen()

        def read_late() -> None:
            engine, _ = server.accept()
            with engine:
                has_given_up.wait(3 * connection._CONNECT_SECONDS)
                end, piece = b"", b"\0"
                while piece and not end.endswith(b"\r\n0\r\n\r\n"):
                    piece = engine.recv(2**20)
                    end = (end + piece)[-7:]
                engine.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        reader = threading.Thread(target=read_late)
        reader.start()
        with contextlib.closing(connection._Api(base_url=f"unix://{tmp_path}/engine.sock", version="1.41")) as api:
            pieces = iter([bytes(2**16)] * 64)
            try:
                assert api.post(f"{api.base_url}/images/load", data=pieces, timeout=30).status_code == 200
            finally:
                has_given_up.set()
        reader.join()
