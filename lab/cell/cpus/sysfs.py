"""The files below a root in which a kernel describes its CPUs. None is trusted to be there, or whole."""

from __future__ import annotations

import posixpath
import re
from typing import Dict, Iterator, List, Optional, Set, Tuple

from lab.cell.cpus import cpulist
from lab.cell.cpus.kernel_files import Root, files_below


class Tree:
    """``sys`` and ``proc`` below a root; ``cpus`` is the folder of the CPUs, as a path below that root."""

    def __init__(self, root: Root = "/") -> None:
        self._files = files_below(root)
        # Newer kernels link the first folder at the second path. A captured tree may have only one of the two.
        folders = ("sys/devices/system/cpu", "sys/bus/cpu/devices")
        self.cpus = next((folder for folder in folders if self.names(folder)), folders[0])
        self._texts: Dict[str, str] = {}
        self._cpuinfo: Optional[Dict[int, Dict[str, str]]] = None
        self._common: Dict[str, str] = {}

    def text(self, *parts: str) -> str:
        """What stands in a file, without blanks around it; empty when it cannot be read."""
        content = self._files.read(self._files.path(*parts)) or b""
        return content.replace(b"\0", b"").decode("ascii", "replace").strip()

    @property
    def are_of_this_process(self) -> bool:
        """Whether this is the machine that asks, so that its system can be asked as well."""
        return self._files.are_of_this_process

    def names(self, folder: str) -> List[str]:
        """The names in a folder, sorted; none when it cannot be read."""
        return self._files.names(self._files.path(folder))

    def cpu_folder(self, cpu: int, inner: str = "") -> str:
        """The folder of a CPU, or one in it."""
        return posixpath.join(self.cpus, "cpu%d" % cpu, inner)

    def cpu(self, cpu: int, name: str) -> str:
        """What stands in a file of a CPU."""
        path = "%s/cpu%d/%s" % (self.cpus, cpu, name)
        if path not in self._texts:
            self._texts[path] = self.text(path)
        return self._texts[path]

    def number(self, cpu: int, name: str, otherwise: Optional[str] = None) -> Optional[int]:
        """The number in a file of a CPU, else in the text ``otherwise``; ``None`` where neither holds a number.

        A number below 0 does not count: with it the kernel says that it does not know.
        """
        for text in (self.cpu(cpu, name), otherwise):
            if text and re.fullmatch("[0-9]{1,18}", text):
                return int(text)
        return None

    def cpus_in(self, cpu: int, *names: str) -> Set[int]:
        """The CPUs in the first of these files that names this CPU among them.

        A file whose name ends in ``_list`` holds a list; any other file holds a mask. A CPU shares everything with
        itself, so that a file without it is about something else, and counts as missing.
        """
        for name in names:
            text = self.cpu(cpu, name)
            cpus = listed(text) if name.endswith("_list") else masked(text)
            if cpu in cpus:
                return cpus
        return set()

    def masked(self, *parts: str) -> Set[int]:
        """The CPUs in a file that holds a mask."""
        return masked(self.text(*parts))

    def cpu_folders(self) -> Set[int]:
        """The CPUs that have a folder, on line or not."""
        return {int(name[3:]) for name in self.names(self.cpus) if re.fullmatch("cpu[0-9]{1,6}", name)}

    def node_folders(self) -> Iterator[Tuple[int, str]]:
        """(number, folder) of each NUMA node, ascending."""
        for parent in ("sys/devices/system/node", "sys/bus/node/devices"):
            nodes = sorted(int(name[4:]) for name in self.names(parent) if re.fullmatch("node[0-9]{1,6}", name))
            if nodes:
                for node in nodes:
                    yield node, posixpath.join(parent, "node%d" % node)
                return

    @property
    def cpuinfo(self) -> Dict[int, Dict[str, str]]:
        """CPU -> what /proc/cpuinfo says of it. Slow on a large machine: each CPU is asked for its frequency."""
        if self._cpuinfo is None:
            self._cpuinfo = self._read_cpuinfo()
        return self._cpuinfo

    @property
    def knows_cpuinfo(self) -> bool:
        """Whether /proc/cpuinfo has been read already."""
        return self._cpuinfo is not None

    def cpuinfo_line(self, name: str) -> str:
        """The first value of that name in /proc/cpuinfo, of whichever CPU; empty when there is none."""
        first = next((fields[name] for fields in self.cpuinfo.values() if fields.get(name)), "")
        return " ".join((first or self._common.get(name, "")).split())

    def _read_cpuinfo(self) -> Dict[int, Dict[str, str]]:
        cpus: Dict[int, Dict[str, str]] = {}
        fields = self._common
        for line in self.text("proc/cpuinfo").splitlines():
            # "processor : 0" on most; "processor 0: version = FF" on s390; "CPU0: online" on SPARC.
            start = re.match(r"(?:processor\s*:?\s*|CPU)(\d{1,6})\s*(?::|$)", line)
            if start:
                fields = cpus.setdefault(int(start.group(1)), {})
                continue
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip(), value.strip())
            elif not line.strip():
                fields = self._common  # lines after the last CPU describe the whole machine
        return cpus


def listed(text: str) -> Set[int]:
    """The ids in a kernel list such as ``0-3,8``; none where it is no list, such as ``(null)``."""
    return cpulist.members(text) or set()


def masked(text: str) -> Set[int]:
    """The ids in a kernel mask such as ``00000001,0000000f``: 32 bits in each group of hexadecimal digits, the highest
    first. None where it is no mask."""
    ids: Set[int] = set()
    if not re.fullmatch("[0-9a-fA-F]{1,8}(,[0-9a-fA-F]{1,8})*", text):
        return ids
    for position, group in enumerate(reversed(text.split(","))):
        bits = int(group, 16)
        ids.update(32 * position + bit for bit in range(bits.bit_length()) if bits >> bit & 1)
    return ids
