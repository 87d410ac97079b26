"""What an exception of the SDK, of TLS or of ssh says, in one sentence, and what to do about it."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.parse
from typing import TYPE_CHECKING

from lab.cell.claims.wording import shortened
from lab.system import or_local

if TYPE_CHECKING:
    from lab.containers.address import Address

_START_ONE = or_local("start one, point DOCKER_HOST at one")
_START_THERE = or_local("start it there, and let it listen at that address", comma=";")


def short(error: BaseException) -> str:
    """What an exception says, in one line: the answer of the engine, or the reason at the root of the exception."""
    return shortened(" ".join(_text(error).split()), 200)


def _text(error: BaseException) -> str:
    explanation = getattr(error, "explanation", None)  # what the engine has answered
    if explanation:
        return explanation.decode(errors="replace") if isinstance(explanation, bytes) else str(explanation)
    root = _root(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {root.verify_message}"
    if isinstance(root, ssl.SSLError):
        return f"TLS failed: {root.reason or root}"
    if type(root).__name__ == "BadHostKeyException":
        return "its host key is not the one that known_hosts has"
    if isinstance(root, FileNotFoundError) and root.filename is None:
        return "there is no such socket"
    if type(root).__name__ == "InvalidVersion":
        return f"it is too old: {root}"
    if isinstance(root, TimeoutError):
        return "it did not answer in time"
    if "SSH protocol banner" in str(root):
        return "no ssh server answers there"
    if isinstance(root, EOFError) or type(root).__name__ == "RemoteDisconnected":
        return "it closed the connection without an answer"
    if isinstance(root, OSError) and root.strerror:
        return f"{root.strerror}: {root.filename}" if root.filename else root.strerror
    if isinstance(root, NONSENSE):
        return f"the engine's answer makes no sense ({type(root).__name__}: {root})"
    return str(root).rstrip(".") or type(root).__name__


#: What reading an answer raises that lacks something, or that is no answer of an engine at all.
NONSENSE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def _root(error: BaseException) -> BaseException:
    """The exception that an exception was made of. The SDK, requests and urllib3 each wrap it in another way."""
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        inner = (getattr(error, "reason", None), *error.args[:2], error.__cause__)
        error = next((part for part in inner if isinstance(part, BaseException)), error)
    return error


def is_silence(error: BaseException) -> bool:
    """Whether an answer did not come in time."""
    return isinstance(_root(error), TimeoutError)


def fix_for(error: BaseException, address: Address) -> str:
    """What to do where no engine answers at this address."""
    root, url = _root(error), address.url
    if isinstance(root, PermissionError) and url.startswith("unix://"):
        return or_local("join the group that owns the socket (sudo usermod -aG docker $USER)")
    if isinstance(root, socket.gaierror):
        return or_local("name a host that the name service knows")
    if isinstance(root, ssl.SSLError):
        return _fix_for_tls(root, address)
    if url.startswith("ssh://"):
        return _fix_for_ssh(root, urllib.parse.urlsplit(url))
    if isinstance(root, ConnectionResetError) or type(root).__name__ in ("BadStatusLine", "RemoteDisconnected"):
        return or_local("set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH if it wants TLS", comma=";")
    if "HTTP request to an HTTPS server" in _text(error):
        return or_local("set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, because it wants TLS", comma=";")
    if type(root).__name__ == "InvalidVersion":
        return or_local("install a newer Docker there", comma=";")
    return _START_ONE if url.startswith("unix://") and "--host" not in address.named_by else _START_THERE


def _fix_for_tls(root: ssl.SSLError, address: Address) -> str:
    if root.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return or_local("unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH if it speaks no TLS", comma=";")
    refused, known = str(root), address.certificates
    if "certificate has expired" in refused or "not yet valid" in refused:
        return or_local("renew the engine's certificate, or set the clocks right", comma=";")
    if "mismatch" in refused:
        return or_local("name the host as its certificate does, or make one that has this name", comma=";")
    folder = known.authority.parent if known and known.authority else os.environ.get("DOCKER_CERT_PATH") or "~/.docker"
    dates = "" if isinstance(root, ssl.SSLCertVerificationError) else ", and look at the dates of your own"
    return or_local(f"compare ca.pem, cert.pem and key.pem in {folder} with those of the engine{dates}", comma=";")


def _fix_for_ssh(root: BaseException, parts: urllib.parse.SplitResult) -> str:
    host = parts.hostname or ""
    port = f"-p {parts.port} " if parts.port and parts.port != 22 else ""
    login = f"ssh {port}{parts.username + '@' if parts.username else ''}{host}"
    kind, text = type(root).__name__, str(root)
    if "paramiko" in text:
        return or_local("pip install 'multicore-lab[ssh]'")
    if "known_hosts" in text:
        return or_local(f"connect once with {login}, which asks whether to trust the host", comma=";")
    if kind == "BadHostKeyException":
        name = f"'[{host}]:{parts.port}'" if port else host
        return or_local(f"find out why it changed; if that is right, ssh-keygen -R {name} and then {login}", comma=";")
    if any(words in kind + text for words in ("uthenticat", "PasswordRequired", "private key")):
        return or_local(f"make {login} work without a password (ssh-copy-id, ssh-add)", comma=";")
    if isinstance(root, (EOFError, ConnectionResetError)) or kind in ("RemoteDisconnected", "BadStatusLine"):
        return or_local(f"make {login} docker version work there", comma=";")
    return or_local(f"make {login} work", comma=";")
