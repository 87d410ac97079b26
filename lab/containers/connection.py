"""The client of one engine. Only ``client`` imports this module, where the SDK is installed."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from logging import NullHandler, getLogger
from typing import Any

import docker.api.client
from docker.tls import TLSConfig
from urllib3.exceptions import InsecureRequestWarning

from docker import APIClient, DockerClient
from lab.containers import waiting
from lab.containers.address import Address
from lab.errors import EngineError

# What breaks over ssh is raised too. Without a handler, Python prints what paramiko logs, with tracebacks.
getLogger("paramiko").addHandler(NullHandler())

#: How long the engine may take to answer a request, in seconds. An answer usually takes some milliseconds.
_API_SECONDS = 30

#: How slow a connection may be that nothing is known of, in bytes a second.
_SLOWEST = 1000
#: The size from which on a request shows how slow its connection is, in bytes, and by what factor others may be slower.
_LARGE, _VARIATION = 2**14, 4.0

#: How long a host may take to be connected to, in seconds.
_CONNECT_SECONDS = 10
#: Held while a connection over ssh is made again. One thread does it, and others wait.
_mending = threading.Lock()

_LINUX_CONTAINERS = "a cell is a container of Linux: docker context use desktop-linux, or point DOCKER_HOST at one"


def connected(address: Address, host: str = "") -> DockerClient:
    """A client that the engine at this address has answered. Raises what the SDK, TLS and ssh raise.

    ``host`` is what ``--host`` names, which advice has to name too.
    Raises EngineError for an engine that runs containers of Windows, as Docker Desktop there can.
    """
    client = _Client(host, base_url=address.url, tls=_tls(address), timeout=_API_SECONDS)
    api: Any = client.api
    try:
        with api.get(f"{api.base_url}/_ping", timeout=_API_SECONDS) as answer:
            api._raise_for_status(answer)
            if answer.headers.get("OSType") == "windows":
                raise EngineError(
                    f"the engine at {address}{',' * bool(address.named_by)} runs containers of Windows",
                    _LINUX_CONTAINERS,
                )
    except BaseException:  # raised again: nothing of the connection is to stay open
        client.close()
        raise
    return client


def _tls(address: Address) -> TLSConfig | bool:
    wanted = address.certificates
    if wanted is None:
        return False
    if not wanted.verify:  # the user has decided so, and every request would warn of it
        warnings.simplefilter("ignore", InsecureRequestWarning)
    return TLSConfig(
        client_cert=(str(wanted.own[0]), str(wanted.own[1])) if wanted.own else None,
        ca_cert=str(wanted.authority) if wanted.authority else None,
        verify=wanted.verify,
    )


class _Api(APIClient):
    """The SDK's client, in which the certificates of the engine count more than those of the environment.

    Over ssh it connects again where the connection has broken.

    ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` are about the web. requests lets them replace a session's own
    certificates, and an engine that has a certificate of its own authority would be refused.
    """

    #: How long a byte of a request may take, in seconds.
    _seconds_a_byte = 1 / _SLOWEST

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except BaseException:  # raised again: nothing of the connection is to stay open
            self.close()
            raise

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request. It has more time the larger it is, and the slower earlier ones were.

        Each piece of a request that is sent in pieces has the time of an answer.
        """
        _mend(getattr(self, "_custom_adapter", None))
        has_no_size = request.body is not None and not isinstance(request.body, str | bytes)
        size = len(request.body) if request.body and not has_no_size else 0
        seconds = options.get("timeout")
        if seconds and not has_no_size:
            # What is sent has the time of the connection, as urllib3 has it, and not that of the answer.
            options["timeout"] = seconds + size * self._seconds_a_byte if size else (_CONNECT_SECONDS, seconds)
        began = time.monotonic()
        with waiting.told():
            answer = super().send(request, **options)
        if size >= _LARGE:
            self._seconds_a_byte = _VARIATION * (time.monotonic() - began) / size
        return answer

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        own = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, own, cert)


def _mend(adapter: Any) -> None:
    """Connect again where a connection over ssh has broken, which the SDK never does. Raises what ssh raises."""
    ssh = getattr(adapter, "ssh_client", None)
    if ssh is None:
        return
    with _mending:
        transport = ssh.get_transport()
        if transport is None or not transport.is_active():
            adapter.close()
            adapter._connect()


with contextlib.suppress(AttributeError):  # without paramiko there is no such adapter

    class _SshAdapter(docker.api.client.SSHHTTPAdapter):  # type: ignore[name-defined, misc] # only with paramiko
        """The SDK's connection over ssh, which would wait for minutes until it is made, or for a new channel of it."""

        def _connect(self) -> None:
            self.ssh_client.connect(**self.ssh_params, timeout=_CONNECT_SECONDS)
            self.ssh_client.get_transport().channel_timeout = _API_SECONDS

        def close(self) -> None:
            """Close the connection. Where it has broken, nobody is there to be told, which is no error."""
            with contextlib.suppress(EOFError, OSError):
                self.pools.clear()
            super().close()

    docker.api.client.SSHHTTPAdapter = _SshAdapter  # type: ignore[attr-defined] # the SDK has no other way to name it


class _Client(DockerClient):
    def __init__(self, host: str, **options: Any) -> None:
        self.host = host
        self.api = _Api(**options)
