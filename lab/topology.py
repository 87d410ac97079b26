"""The CPUs of this machine as the kernel describes them. Reads files under a root that is given.

Source: the kernel's Documentation/ABI/testing/sysfs-devices-system-cpu and admin-guide/cputopology.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import cpuset


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What matters for measuring: CPUs on line, those set apart from the scheduler (``isolcpus``), those that share a
    physical core (SMT siblings, one tuple a core), how many NUMA nodes, and kinds of core by the capacity or the type
    that the kernel gives them (empty: it names none). All are CPU ids."""

    online: tuple[int, ...]
    isolated: tuple[int, ...]
    cores: tuple[tuple[int, ...], ...]
    nodes: int
    kinds: tuple[tuple[int, ...], ...]
    model: str

    @property
    def smt(self) -> bool:
        """Whether any physical core shows as more than one CPU."""
        return any(len(core) > 1 for core in self.cores)


def read(root: Path = Path("/")) -> Topology:
    """Read the machine under ``root``; what a tree does not have is empty."""
    cpus = root / "sys/devices/system/cpu"
    online = _list(cpus / "online")
    cores = {siblings for cpu in online if (siblings := _list(cpus / f"cpu{cpu}/topology/thread_siblings_list"))}
    capacities: dict[str, list[int]] = {}
    for cpu in online:
        capacities.setdefault(_text(cpus / f"cpu{cpu}/cpu_capacity"), []).append(cpu)
    hybrid = [_list(root / f"sys/devices/{name}/cpus") for name in ("cpu_core", "cpu_atom")]
    kinds = [tuple(group) for group in capacities.values()] if len(capacities) > 1 else [one for one in hybrid if one]
    return Topology(
        online=online,
        isolated=_list(cpus / "isolated"),
        cores=tuple(sorted(cores)),
        nodes=len(_list(root / "sys/devices/system/node/online")) or 1,
        kinds=tuple(kinds),
        model=_model(root),
    )


def _model(root: Path) -> str:
    for line in _text(root / "proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return ""


def _list(path: Path) -> tuple[int, ...]:
    try:
        return cpuset.parse(_text(path))
    except ValueError:
        return ()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
