"""The client of one engine. Only ``client`` imports this module, where the SDK is installed."""

from __future__ import annotations

import threading
import warnings
from logging import NullHandler, getLogger
from typing import Any

from docker.tls import TLSConfig
from urllib3.exceptions import InsecureRequestWarning

from docker import APIClient, DockerClient
from lab.containers.address import Address
from lab.errors import EngineError

# What breaks over ssh is raised too. Without a handler, Python prints what paramiko logs, with tracebacks.
getLogger("paramiko").addHandler(NullHandler())

#: How long the engine may take to answer a request, in seconds. An answer usually takes some milliseconds.
_API_SECONDS = 30

#: How long a host may take to be connected to again over ssh, in seconds. One thread does it, and others wait.
_AGAIN_SECONDS = 5
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

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except BaseException:  # raised again: nothing of the connection is to stay open
            self.close()
            raise

    def send(self, request: Any, **options: Any) -> Any:
        _mend(getattr(self, "_custom_adapter", None))
        return super().send(request, **options)

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
            adapter.pools.clear()
            ssh.close()
            ssh.connect(**adapter.ssh_params, timeout=_AGAIN_SECONDS)


class _Client(DockerClient):
    def __init__(self, host: str, **options: Any) -> None:
        self.host = host
        self.api = _Api(**options)
