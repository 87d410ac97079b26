"""Engines of one's own, to break: a second dockerd and a second Podman, each with a folder and a socket of its own.

Both take root. The base image is copied from the engine that the environment names. What a killed engine has left
running is killed at the end, and its mounts are removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from lab.containers.client import SESSION_LABEL
from tests.support import cells

#: The image that is copied.
IMAGE = "multicore-lab-base:3.13"
#: The size of the disk of a dockerd, in bytes. It is a memory file system, so that it can be filled.
DISK_BYTES = 700 * 2**20
#: The settings that ``.ci/setup-podman`` found right for this machine.
PODMAN_SETTINGS = Path("/run/multicore-lab/containers.conf")

_START_SECONDS = 60.0
#: How much of the disk is left when it is full, in bytes: not enough for a container.
_LEFT_BYTES = 16 * 2**10


def impossible(kind: str) -> str | None:
    """Why an engine of this kind, docker or podman, cannot be started here; ``None`` where it can."""
    if os.geteuid() != 0:
        return "it takes root"
    program = {"docker": "dockerd", "podman": "podman"}[kind]
    if not shutil.which(program):
        return f"there is no {program}"
    if kind == "podman" and not PODMAN_SETTINGS.exists():
        return "there are no settings for it (.ci/setup-podman writes them)"
    looked = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    return None if looked.returncode == 0 else f"the engine of this environment has no {IMAGE}"


class Daemon:
    """An engine of one's own, with the base image; use as a context manager."""

    def __init__(self, kind: str, *more: str) -> None:
        self.kind = kind
        #: Further arguments of dockerd.
        self._more = more
        self.folder = Path(tempfile.mkdtemp(prefix=f"lab-{kind}-"))
        self.socket = self.folder / "engine.sock"
        self._mark = f"MULTICORE_LAB_DAEMON_{self.folder.name}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The value of ``DOCKER_HOST``."""
        return f"unix://{self.socket}"

    @property
    def process_id(self) -> int:
        """The id of its process."""
        assert self._process
        return self._process.pid

    def __enter__(self) -> Daemon:
        try:
            self._data.mkdir()
            if self.kind == "docker":
                disk = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", self.folder.name, str(self._data)]
                subprocess.run(disk, check=True)
            self.start()
            with subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as saving:
                self.docker("load", "--quiet", stdin=saving.stdout)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.thaw()
        if self._process and self._process.poll() is None:
            with contextlib.suppress(subprocess.SubprocessError):
                self.remove_all()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        for line in cells.living(self._mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.partition(":")[0]), signal.SIGKILL)
        cells.still_living(self._mark)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((path for path in mounts if path.startswith(str(self.folder))), reverse=True):
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _command(self) -> Sequence[str]:
        data, state = str(self._data), str(self.folder / "state")
        if self.kind == "podman":
            return ["podman", "--root", data, "--runroot", state, "system", "service", "--time=0", self.address]
        # In a network namespace of its own: a second daemon without a bridge removes the bridge of the first one.
        command = [
            "unshare",
            "--net",
            "dockerd",
            "--data-root",
            data,
            "--exec-root",
            state,
            "--pidfile",
            str(self.folder / "pid"),
        ]
        command += ["--host", self.address, "--bridge", "none", "--iptables=false", "--ip-masq=false"]
        return [*command, "--ip-forward=false", *self._more]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"CONTAINERS_CONF": str(PODMAN_SETTINGS)} if self.kind == "podman" else {}
        for name in ("pid", "engine.sock", "state/containerd/containerd.pid"):
            (self.folder / name).unlink(missing_ok=True)  # a killed daemon leaves them
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**_plain(), **settings, self._mark: "1"},
            )
        until = time.monotonic() + _START_SECONDS
        while not self.answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError(f"{self.kind} does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Whether it answers within some seconds."""
        try:
            self.docker("version", seconds=5)
        except subprocess.SubprocessError:
            return False
        return True

    def docker(
        self, *words: str, stdin: object = None, seconds: float = 120, settings: Mapping[str, str] | None = None
    ) -> str:
        """What ``docker`` prints with these arguments, about this engine."""
        command = ["docker", "--host", self.address, *words]
        options = {"stdin": stdin or subprocess.DEVNULL, "capture_output": True, "text": True}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, check=True, timeout=seconds, env={**_plain(), **(settings or {})}, **options
        )  # type: ignore[call-overload]
        return done.stdout

    def left(self) -> list[str]:
        """The containers, networks and volumes that carry the lab's label."""
        kinds = {"container": ["ps", "--all"], "network": ["network", "ls"], "volume": ["volume", "ls"]}
        options = ["--quiet", "--filter", f"label={SESSION_LABEL}"]
        return [f"{kind} {name}" for kind, words in kinds.items() for name in self.docker(*words, *options).split()]

    def remove_all(self) -> None:
        """Remove every container."""
        names = self.docker("ps", "--all", "--quiet").split()
        if names:
            self.docker("rm", "--force", "--volumes", *names)

    # ---- faults

    def kill(self) -> None:
        """End it at once, with what it has started for itself; the containers stay as they are."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def fill(self) -> None:
        """Fill its disk."""
        disk = os.statvfs(self._data)
        with (self._data / "filler").open("ab") as filler:
            size = max(filler.tell() + disk.f_bavail * disk.f_frsize - _LEFT_BYTES, 0)
            with contextlib.suppress(OSError):
                os.posix_fallocate(filler.fileno(), 0, size)

    def empty(self) -> None:
        """Give its disk the room back."""
        (self._data / "filler").unlink(missing_ok=True)


def _plain() -> Mapping[str, str]:
    """The environment without a choice of another engine."""
    return {name: value for name, value in os.environ.items() if name not in ("DOCKER_HOST", "DOCKER_CONTEXT")}
