"""Which engine the user has named: by an address, or by a context of the Docker client.

The order is that of the ``docker`` command: ``DOCKER_HOST``, ``DOCKER_CONTEXT``, the current context of the settings,
the usual socket. The SDK takes the usual socket without a word where a context cannot be read, so contexts are read
here. Source: docs.docker.com, "Docker contexts"; a context's folder has the SHA-256 of its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import re
import sys
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cell.claims.wording import shortened
from lab.errors import NamedEngineError
from lab.system import or_local

_WINDOWS = sys.platform == "win32"
_USUAL = "npipe:////./pipe/docker_engine" if _WINDOWS else "unix:///var/run/docker.sock"
_FORMS = or_local("write it as unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST, or unset it", comma=";")
_OTHER_CONTEXT = or_local("see docker context ls, and name one of them or unset it", comma=";")
_IPV6 = re.compile(r"[0-9a-f:]+", re.IGNORECASE)
_HOST_FORMS = "name a Docker context (docker context ls), ssh://USER@HOST or tcp://HOST:PORT"


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """How a connection is encrypted, and what proves who is at its ends."""

    #: The certificate of the authority that the engine's certificate is checked against; ``None``: the usual ones.
    authority: Path | None
    #: The client's certificate and its key; ``None``: the client has none.
    own: tuple[Path, Path] | None
    #: Whether the engine's certificate is checked.
    verify: bool


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an engine is, and who says so."""

    #: The address, such as ``unix:///var/run/docker.sock``.
    url: str
    #: What names it, such as ``DOCKER_HOST``; empty: nobody, it is the usual address.
    named_by: str = ""
    #: How the connection is encrypted; ``None``: it is not.
    certificates: Certificates | None = None

    def __str__(self) -> str:
        return f"{self.url}, which {self.named_by} names" if self.named_by else self.url


def user_address(environment: Mapping[str, str] = os.environ) -> Address:
    """The address of the engine that the user has named, or the usual one.

    Raises NamedEngineError for an address that makes no sense, and for a context that is missing or broken.
    """
    host = environment.get("DOCKER_HOST")
    if host:
        url = _checked_url(host.strip(), f"DOCKER_HOST={host!r}", _FORMS)
        return Address(url=url, named_by="DOCKER_HOST", certificates=_of_the_environment(url, environment))
    folder = Path(environment.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))
    name, source = environment.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
    if not name:
        config = folder / "config.json"
        name, source = _current_context(config), f"currentContext in {config}"
    return Address(url=_USUAL) if name in ("", "default") else _of_context(name, source, folder / "contexts")


def host_address(host: str, environment: Mapping[str, str] = os.environ) -> Address:
    """The address of the engine that ``--host`` names: a context's name, or an address.

    An address has the certificates that the environment names, a context has those of its own. Raises NamedEngineError
    for an address that makes no sense, and for a context that is missing or broken.
    """
    if "://" in host:
        url = _checked_url(host, f"--host {host!r}", _HOST_FORMS)
        return Address(url=url, named_by="--host", certificates=_of_the_environment(url, environment))
    if host == "default":
        return Address(url=_USUAL, named_by="--host default")
    folder = Path(environment.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))
    return _of_context(host, "--host", folder / "contexts", _HOST_FORMS)


def _current_context(config: Path) -> str:
    """The context that the settings of the Docker client name; empty: none. Raises NamedEngineError."""
    try:
        return str(_read_object(config).get("currentContext") or "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RecursionError) as error:
        raise NamedEngineError(
            f"the settings of the Docker client in {config} cannot be read: {_reason(error)}",
            or_local("repair or remove the file, set DOCKER_HOST"),
        ) from error


def _of_context(name: str, source: str, folder: Path, fix: str = _OTHER_CONTEXT) -> Address:
    """The address that a context has in the folder of all contexts. Raises NamedEngineError with this ``fix``."""
    label = f"the Docker context {shortened(name, 80)} ({source})"
    number = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    path = folder / "meta" / number / "meta.json"
    try:
        endpoints = _read_object(path).get("Endpoints")
        endpoint = endpoints.get("docker") if isinstance(endpoints, dict) else None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NamedEngineError(f"{label} does not exist", fix) from error
    except (OSError, ValueError, RecursionError) as error:
        raise NamedEngineError(f"{label} cannot be read: {path}: {_reason(error)}", fix) from error
    host = endpoint.get("Host") if isinstance(endpoint, dict) else None
    if not isinstance(endpoint, dict) or not isinstance(host, str) or not host:
        raise NamedEngineError(f"{label} is broken: {path} has no address of an engine", fix)
    url = _checked_url(host.strip(), f"{label} has the address {host!r}, which", fix)
    verify = not endpoint.get("SkipTLSVerify")
    return Address(
        url=url, named_by=label, certificates=_in_folder(url, folder / "tls" / number / "docker", label, verify=verify)
    )


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises OSError or ValueError."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it has no JSON object")  # noqa: TRY004 - the same kind as text that is no JSON
    return value


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return shortened(" ".join((text or type(error).__name__).split()), 200)


def _checked_url(url: str, label: str, fix: str) -> str:
    """The address, if a client can use it. ``label`` begins the message. Raises NamedEngineError."""
    problem = _problem(url)
    if problem:
        raise NamedEngineError(f"{shortened(label, 400)} {problem}", fix)
    return url


def warning(address: Address) -> str:
    """What the user should know of the connection to an address; empty: nothing."""
    parts = _parts(address.url)
    host = parts.hostname or ""
    if parts.scheme not in ("tcp", "http") or address.certificates or host == "localhost":
        return ""
    with contextlib.suppress(ValueError):  # a name
        if ipaddress.ip_address(host).is_loopback:
            return ""
    return (
        f"the connection to {address.url} is not encrypted, and whoever reaches that port has all rights on that"
        " machine; use ssh://USER@HOST, or certificates (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH)"
    )


def _parts(url: str) -> urllib.parse.SplitResult:
    """The parts of an address, which needs no protocol. Raises ValueError."""
    return urllib.parse.urlsplit(url if "://" in url else f"tcp://{url}")


def _problem(url: str) -> str | None:
    """Why no client can use an address; ``None`` when one can."""
    try:
        parts = _parts(url)
        if parts.netloc.count(":") > 1 and _IPV6.fullmatch(parts.netloc.rpartition("@")[2]):
            return "has an IPv6 address without brackets, as in tcp://[::1]:2375"
        port = parts.port
    except ValueError as error:
        return f"is no address: {error}"
    scheme = parts.scheme.lower()
    if not url:
        return "has nothing but blanks"
    if not url.isprintable() or (" " in url and scheme != "unix"):
        return "has a blank or a control character"
    if scheme == "fd":
        return "is an address for an engine to listen at, not for a client"
    if scheme == "npipe":
        return None if _WINDOWS else "is a pipe of Windows, which this system does not have"
    if scheme == "unix":
        return None if parts.netloc or parts.path.strip("/") else "names no socket"
    if scheme not in ("tcp", "http", "https", "ssh"):
        return f"has the protocol {scheme!r}, which no engine speaks"
    if not parts.hostname:
        return "names no host"
    if scheme != "ssh" and not port:
        return "names no port"
    if parts.password or parts.query or parts.fragment or (scheme == "ssh" and parts.path.strip("/")):
        return "has more than a user, a host and a port"
    return None


def _of_the_environment(url: str, environment: Mapping[str, str]) -> Certificates | None:
    """The certificates that ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` name. Raises NamedEngineError."""
    named, verify = environment.get("DOCKER_CERT_PATH"), bool(environment.get("DOCKER_TLS_VERIFY"))
    if not named and not verify:
        return None
    folder = Path(named or environment.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))
    label = f"DOCKER_CERT_PATH={named}" if named else "DOCKER_TLS_VERIFY"
    if _is_encrypted(url) and not folder.is_dir():
        raise NamedEngineError(f"{label}: there is no folder {folder}", _CERTIFICATES)
    return _in_folder(url, folder, label, verify=verify, asked_for=True)


_CERTIFICATES = "put ca.pem, cert.pem and key.pem there, or name their folder in DOCKER_CERT_PATH"


def _in_folder(url: str, folder: Path, label: str, *, verify: bool, asked_for: bool = False) -> Certificates | None:
    """The certificates in a folder; ``None`` where nothing asks for an encrypted connection."""
    if not _is_encrypted(url):
        return None
    authority, certificate, key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
    if certificate.is_file() != key.is_file():
        missing = key if certificate.is_file() else certificate
        raise NamedEngineError(f"{label}: a certificate needs its key, and {missing} is not there", _CERTIFICATES)
    if not (asked_for or authority.is_file() or certificate.is_file() or not verify):
        return None
    return Certificates(
        authority=authority if authority.is_file() else None,
        own=(certificate, key) if certificate.is_file() else None,
        verify=verify,
    )


def _is_encrypted(url: str) -> bool:
    """Whether a connection to this address can be encrypted by certificates."""
    return not url.startswith(("unix://", "ssh://"))
