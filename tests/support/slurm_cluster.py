"""A Slurm of one's own, with two nodes on this machine, in a folder of its own. It takes root.

Both nodes are this machine, so measure on one of them at a time. Nothing uses control groups, because their folders
would be left behind: a step is limited by the affinity that Slurm sets.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from lab.cell.measuring import offspring
from tests.support import cells

#: The programs that it takes.
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "salloc", "scancel", "squeue")
#: The names of the nodes.
NODES = ("n1", "n2")

_START_SECONDS = 60.0

_CONFIGURATION = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin={task_plugin}
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
ReturnToService=2
SlurmdTimeout={silent_seconds}
MpiDefault=none
KillWait=1
SchedulerParameters=batch_sched_delay=0,sched_min_interval=10000
{nodes}
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 MaxTime=60
PartitionName=urgent Nodes=ALL PriorityTier=2
"""

_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 SocketsPerBoard=1"
    " CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory=500"
)


def impossible() -> str | None:
    """Why no Slurm can be started here; ``None`` where it can."""
    if os.geteuid() != 0:
        return "a Slurm of one's own takes root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    return f"there is no {missing[0]} on the PATH; .ci/setup-slurm installs Slurm" if missing else None


def parent_of(process: int) -> int:
    """The parent of a process (man 5 proc, ``/proc/PID/stat``); 0 for a process that has ended."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class Cluster:
    """A controller and two nodes; use as a context manager. Without ``pins`` no step has an affinity.

    A node that says nothing for ``silent_seconds`` is down.
    """

    def __init__(self, *, pins: bool = True, silent_seconds: int = 300) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lab-slurm-"))
        self._pins = pins
        self._silent_seconds = silent_seconds
        self._mark = f"MULTICORE_LAB_{self.folder.name}"
        own = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SALLOC"))}
        self._environment = {**own, **self.settings, "PATH": f"{own.get('PATH', '')}:/usr/sbin:/sbin"}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment in which Slurm's programs mean this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Cluster:
        try:
            self._write_configuration()
            self._start_munge()
            self.start_controller()
            for node in NODES:
                self.start_node(node)
            self.await_state(NODES, "idle")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in reversed(list(self._daemons)):
            self.stop(name)
        for line in cells.living(self._mark):  # the nodes' step daemons, and what those have started
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.partition(":")[0]), signal.SIGKILL)
        cells.still_living(self._mark)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_configuration(self) -> None:
        host, cpus = socket.gethostname(), os.cpu_count()
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(len(NODES) + 1)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            controller_port, *ports = [each.getsockname()[1] for each in sockets]
        nodes = [
            _NODE.format(name=name, host=host, port=port, cpus=cpus) for name, port in zip(NODES, ports, strict=True)
        ]
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        text = _CONFIGURATION.format(
            host=host,
            folder=self.folder,
            controller_port=controller_port,
            silent_seconds=self._silent_seconds,
            task_plugin="task/affinity" if self._pins else "task/none",
            nodes="\n".join(nodes),
        )
        (self.folder / "slurm.conf").write_text(text)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        options = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        self._start("munged", "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *options)
        self._await(lambda: (self.folder / "munge.socket").exists(), "munged does not start")

    def _start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=offspring.die_with_parent,  # also if the tests are killed
                env={**self._environment, self._mark: "1"},
            )

    def start_controller(self) -> None:
        """Start the daemon that has the queue."""
        self._start("slurmctld", "slurmctld", "-D")

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        self._start(name, "slurmd", "-D", "-N", name)

    def stop(self, name: str) -> None:
        """End a daemon: a node, ``slurmctld`` or ``munged``."""
        daemon = self._daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def kill(self, name: str) -> None:
        """Kill a daemon: a node, ``slurmctld`` or ``munged``."""
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def pid(self, name: str) -> int:
        """The process of a daemon: a node, ``slurmctld`` or ``munged``."""
        return self._daemons[name].pid

    def processes(self, program: str) -> list[int]:
        """The processes of this cluster and of its clients that run a program, such as ``slurmstepd`` or ``srun``."""
        lines = [line.split(": ") for line in cells.living(self.folder.name)]
        return [int(pid) for pid, name in lines if name == program]

    def clients(self) -> list[int]:
        """The processes of ``srun``, without the helper of each: it kills the step of an ``srun`` that has died."""
        processes = self.processes("srun")
        return [process for process in processes if parent_of(process) not in processes]

    def ask(self, *words: str) -> str:
        """What one of Slurm's programs prints. Raises CalledProcessError where it fails."""
        options = {"capture_output": True, "text": True, "timeout": 60, "check": True}
        done: subprocess.CompletedProcess[str] = subprocess.run(words, env=self._environment, **options)  # type: ignore[call-overload]
        return done.stdout

    @contextlib.contextmanager
    def full_spool(self, node: str) -> Iterator[None]:
        """Within this context the spool folder of a node is on a disk on which no file can be made."""
        folder = self.folder / f"spool-{node}"
        self.ask("mount", "-t", "tmpfs", "-o", "nr_inodes=1", "none", str(folder))
        try:
            yield
        finally:
            self.ask("umount", "--lazy", str(folder))

    def queue(self) -> list[str]:
        """The jobs that are in the queue and do not just end."""
        states = "--states=PENDING,RUNNING,SUSPENDED,CONFIGURING"
        return self.ask("squeue", "--noheader", states, "--format=%i %j %T").splitlines()

    def await_state(self, nodes: Sequence[str], state: str) -> None:
        """Wait until these nodes are in a state, such as ``idle``."""

        def are() -> bool:
            with contextlib.suppress(subprocess.SubprocessError):
                states = self.ask("sinfo", "--noheader", "--Node", f"--nodes={','.join(nodes)}", "--format=%N %t")
                return {line.split()[1] for line in states.splitlines()} == {state}
            return False

        self._await(are, f"not all of {', '.join(nodes)} become {state}")

    def _await(self, condition: object, failure: str) -> None:
        assert callable(condition)
        until = time.monotonic() + _START_SECONDS
        while not condition():
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > until:
                logs = "\n".join(file.read_text()[-1000:] for file in sorted(self.folder.glob("*.[lo]*")))
                raise RuntimeError(f"{failure}; ended: {ended}; their logs: {logs}")
            time.sleep(0.05)
