"""A wheelhouse: the lab's wheel and those of all that it needs, for the Python that runs the lab."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import sysconfig
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import __version__
from lab.cell.claims.wording import shortened
from lab.errors import LabError, UsageError

#: The optional parts of the lab that can be asked for; a test compares them with pyproject.toml.
EXTRAS = ("kubernetes", "report", "ssh")
#: The name of the file with the version and the hash of each wheel, as ``pip install --require-hashes`` reads it.
REQUIREMENTS = "requirements.txt"
#: How long pip may take, in seconds.
_PIP_SECONDS = 1800
#: How many characters of pip's error a message quotes.
_MOST_QUOTED = 200


def parse_extras(text: str) -> tuple[str, ...]:
    """The optional parts that a text names, such as ``report,ssh``; ``none`` is none of them. Raises UsageError."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if names == ("none",):
        return ()
    for name in names:
        if name not in EXTRAS:
            raise UsageError(f"--extras {text!r}: there is no {name!r}", f"name {', '.join(EXTRAS)}, or none")
    return names


def this_python() -> dict[str, str]:
    """What the wheels are for: the version and the implementation of this Python, its system and its machine."""
    is_free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")  # Windows has no sys.abiflags
    return {
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}{'t' if is_free_threaded else ''}",
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
    }


def make(folder: Path, extras: Sequence[str]) -> tuple[Path, ...]:
    """Put all wheels into an empty folder. Returns their paths. Raises LabError."""
    wanted = requirement(extras, _direct_url(), Path(__file__).resolve().parents[2])
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        done = subprocess.run(
            [*command, "--wheel-dir", str(folder), wanted],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_PIP_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(
            f"pip did not end in {_PIP_SECONDS} s", "is the package index reachable? pip download pip"
        ) from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = (
            [line for line in lines if "ERROR" in line or "No module named" in line] or lines or ["it said nothing"]
        )
        raise LabError(
            f"pip could not get the wheels of {wanted}: {shortened(errors[-1], _MOST_QUOTED)}",
            "is there an index? pip download pip tries it; python -m ensurepip installs pip",
        )
    return tuple(sorted(folder.glob("*.whl")))


def requirement(extras: Sequence[str], direct_url: Mapping[str, object], tree: Path) -> str:
    """What pip makes the lab's wheel from: where it was installed from, else ``tree`` if that is its source, else the
    index.
    """
    url = str(direct_url.get("url") or "")
    wanted = f"[{','.join(extras)}]" if extras else ""
    if url.startswith("file://"):
        path = urllib.request.url2pathname(urllib.parse.urlsplit(url).path)
        if Path(path).exists():
            return path + wanted
    elif url:
        return f"multicore-lab{wanted} @ {_with_tool(url, direct_url)}"
    if (tree / "pyproject.toml").is_file():
        return f"{tree}{wanted}"
    return f"multicore-lab{wanted}=={__version__}"


def _with_tool(url: str, direct_url: Mapping[str, object]) -> str:
    """The address as pip reads it: PEP 610 keeps the tool of a repository, and the commit, apart."""
    tool = direct_url.get("vcs_info")
    return f"{tool['vcs']}+{url}@{tool['commit_id']}" if isinstance(tool, dict) else url


def _direct_url() -> Mapping[str, object]:
    """Where the lab was installed from, as PEP 610 keeps it; empty: from an index, or not installed."""
    try:
        text = importlib.metadata.distribution("multicore-lab").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def pinned(wheels: Sequence[Path], extras: Sequence[str]) -> str:
    """A line for each wheel with its version and its hash, that of the lab with its ``extras``."""
    lines = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        wanted = f"[{','.join(extras)}]" if extras and name == "multicore_lab" else ""
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{name.replace('_', '-')}{wanted}=={version} --hash=sha256:{digest}\n")
    return "".join(lines)
