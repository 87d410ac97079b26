"""The kernel's files that tell how many CPUs there are, packed into one text that a person can read and pass on.

A line ``@@ PATH`` begins the file of that path; a path that ends in ``/`` is a folder. What stands before the first of
these lines is a note for readers. The text has what the lab read, less what is nobody else's business. Of the process's
status and mounts it has only the lines that count, and it has no name of this user or this host.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from typing import Dict, List, Set

from lab.cell.cpus.cpulist import render
from lab.cell.cpus.kernel_files import KernelFiles, Root

_MARK = b"@@ "

#: Where the names of folders and files are the kernel's own.
_NAMED_BY_THE_KERNEL = ("/proc/", "/sys/devices/", "/sys/bus/")

#: The folders that count by being there.
_COUNTED = re.compile("(cpu|node|index)[0-9]{1,6}")

#: The lines of /proc/cpuinfo that are long and not read, or that identify one machine.
_NOT_CAPTURED = re.compile(rb"(?i).*(serial|uuid|\S+ +flags|features|bugs)")

#: The line with what a processor can do, of which one word counts: whether it is virtual.
_FLAGS = re.compile(rb"^(flags\s*:).*")

#: A file with more bytes than this is no capture.
_MOST_BYTES = 256 * 2**20


class CapturedFiles(KernelFiles):
    """The files of a capture."""

    def __init__(self, files: Dict[str, bytes], folders: Set[str]) -> None:
        super().__init__("/")
        self._files = files
        self._inner: Dict[str, Set[str]] = {}
        for folder in folders:
            self._inner[folder] = set()
        for path in {*files, *folders}:
            while path != "/":
                path, name = posixpath.split(path)
                self._inner.setdefault(path, set()).add(name)

    @property
    def are_of_this_process(self) -> bool:
        """They are of the process that made the capture."""
        return False

    def read(self, path: str) -> bytes | None:
        """What stands in a file; ``None`` where the capture does not have it."""
        return self._files.get(posixpath.normpath(path))

    def names(self, folder: str) -> List[str]:
        """The names in a folder, sorted."""
        return sorted(self._inner.get(posixpath.normpath(folder), ()))

    def is_folder(self, path: str, *, or_a_link: bool = True) -> bool:
        """Whether a folder is there; a capture has no links."""
        return posixpath.normpath(path) in self._inner


class _Recorder(KernelFiles):
    """The files of this machine, which remembers what was read."""

    def __init__(self) -> None:
        super().__init__("/")
        self.files: Dict[str, bytes] = {}
        self.folders: Set[str] = set()

    def read(self, path: str) -> bytes | None:
        content = super().read(path)
        if content is not None:
            self.files[path] = content
        return content

    def names(self, folder: str) -> List[str]:
        names = super().names(folder)
        if folder.startswith(_NAMED_BY_THE_KERNEL):
            self.folders.update(posixpath.join(folder, name) for name in names if _COUNTED.fullmatch(name))
        return names

    def is_folder(self, path: str, *, or_a_link: bool = True) -> bool:
        is_there = super().is_folder(path, or_a_link=or_a_link)
        if is_there and or_a_link:  # without links, a folder is only searched
            self.folders.add(path)
        return is_there


def capture(note: str) -> bytes:
    """A capture of this machine and process, which begins with a note in a line."""
    from lab.cell.cpus import effective, topology

    recorder = _Recorder()
    effective.effective_cpus(recorder)
    topology.read_topology(recorder)
    files = {path: needed(path, content) for path, content in recorder.files.items()}
    files["/proc/self/status"] = _status(recorder)
    folders = {posixpath.join(_folder_without_names(folder), "") for folder in recorder.folders}
    blocks = {without_names(path): content for path, content in files.items() if content is not None}
    filled = {posixpath.dirname(path) + "/" for path in blocks}
    blocks.update((folder, b"") for folder in folders if folder not in filled)
    return note.encode() + b"\n" + b"".join(_block(path, blocks[path]) for path in sorted(blocks))


def _flags(line: re.Match[bytes]) -> bytes:
    return line[1] + (b" hypervisor" if b"hypervisor" in line[0].split() else b" -")


def _block(path: str, content: bytes) -> bytes:
    end = b"" if content.endswith(b"\n") or path.endswith("/") else b"\n"
    return _MARK + os.fsencode(path.lstrip("/")) + b"\n" + content + end


def _status(files: KernelFiles) -> bytes:
    """What is needed of the process's status. The mask is the scheduler's, which leaves out what is off line."""
    from lab.cell.cpus.affinity import affinity, status

    values = {
        "Pid": str(os.getpid()),
        "Cpus_allowed_list": render(affinity(files) or ()),
        "Mems_allowed_list": status(files, "Mems_allowed_list"),
    }
    return "".join("%s:\t%s\n" % (name, value) for name, value in values.items() if value).encode()


def needed(path: str, content: bytes) -> bytes | None:
    """What a capture has of a file; ``None`` where it has none of it."""
    lines = content.split(b"\n")
    if path == "/proc/self/mountinfo":
        return b"\n".join(_mounts(lines))
    if path == "/proc/mounts":
        kept = [line.split(b" ") for line in lines]
        kept = [fields for fields in kept if len(fields) >= 4 and fields[2] in (b"cgroup", b"cgroup2", b"cpuset")]
        return b"\n".join(b" ".join([b"none", _nameless(fields[1]), *fields[2:]]) for fields in kept)
    if path == "/proc/self/cpuset":
        return _nameless(content)
    if path == "/proc/self/cgroup":
        groups = [line.split(b":", 2) for line in lines]
        counted = [group for group in groups if len(group) == 3 and {b"", b"cpu", b"cpuset"} & {*group[1].split(b",")}]
        return b"\n".join(b":".join([*group[:2], _nameless(group[2])]) for group in counted)
    if path == "/proc/cpuinfo":
        short = [_FLAGS.sub(_flags, line) for line in lines]
        return b"\n".join(line for line in short if not _NOT_CAPTURED.match(line.partition(b":")[0]))
    if path == "/proc/stat":
        return b"\n".join(line for line in lines if line.startswith(b"cpu"))
    if posixpath.basename(path) in ("cgroup.procs", "cgroup.threads", "tasks"):
        own = str(os.getpid()).encode()
        return own + b"\n" if own in lines else None
    return content


def _mounts(lines: List[bytes]) -> List[bytes]:
    """The lines of mountinfo that show control groups, or that may hide such a mount; of the latter only the place."""
    entries = [(line, line.split(b" "), line.partition(b" - ")[2].split(b" ")) for line in lines]
    entries = [entry for entry in entries if len(entry[1]) >= 5 and len(entry[2]) >= 3]
    points = [fields[4] for _, fields, kind in entries if kind[0] in (b"cgroup", b"cgroup2")]
    kept = []
    for _, fields, kind in entries:
        is_group = kind[0] in (b"cgroup", b"cgroup2")
        if is_group or any(_is_within(fields[4], point) or _is_within(point, fields[4]) for point in points):
            top, options = (fields[3], kind[2]) if is_group else (b"/", b"rw")
            start = b" ".join([*fields[:3], _nameless(top), _nameless(fields[4])])
            kept.append(b"%s rw - %s none %s" % (start, kind[0], options))
    return kept


def _is_within(path: bytes, folder: bytes) -> bool:
    return (path + b"/").startswith(folder.rstrip(b"/") + b"/")


def without_names(path: str) -> str:
    """The path of a file without names of users and hosts; the kernel's own names stay."""
    folder, name = posixpath.split(path)
    return posixpath.join(_folder_without_names(folder), name)


def _folder_without_names(folder: str) -> str:
    is_ours = not (folder + "/").startswith(_NAMED_BY_THE_KERNEL)
    return os.fsdecode(_nameless(os.fsencode(folder))) if is_ours else folder


def _nameless(text: bytes) -> bytes:
    """The text with ``user`` and ``host`` in place of the names of this user and this host.

    The same name becomes the same word everywhere, so that groups and their folders still belong together.
    """
    for word, names in _names().items():
        for name in sorted(names, key=len, reverse=True):
            after = rb"" if len(name) > 5 else rb"(?![A-Za-z0-9])"  # a container's host name begins its group's name
            text = re.sub(rb"(?<![A-Za-z0-9])" + re.escape(name) + after, word, text)
    return text


def _names() -> Dict[bytes, Set[bytes]]:
    import pwd

    host = os.uname().nodename
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")}
    for number in {os.getuid(), os.geteuid()}:
        try:
            entry = pwd.getpwuid(number)
            users |= {entry.pw_name, posixpath.basename(entry.pw_dir)}
        except KeyError:
            continue
    hosts = {host, host.partition(".")[0]}
    named = ((b"user", users - {"root"}), (b"host", hosts))
    return {word: {os.fsencode(name) for name in names if name} for word, names in named}


def unpacked(text: bytes) -> CapturedFiles:
    """The files of a capture. Raises ValueError where the text is none."""
    if b"\r\n" in text and text.count(b"\r\n") == text.count(b"\n"):
        text = text.replace(b"\r\n", b"\n")  # it went through an editor of another system
    files: Dict[str, bytes] = {}
    folders: Set[str] = set()
    _, *blocks = (b"\n" + text).split(b"\n" + _MARK)
    for block in blocks:
        name, _, content = block.partition(b"\n")
        path = posixpath.normpath("/" + os.fsdecode(name).lstrip("/"))
        if name.endswith(b"/"):
            folders.add(path)
        else:
            files[path] = content + b"\n"
    if not blocks:
        raise ValueError("has no line that begins with '@@ ', so it is no capture")
    return CapturedFiles(files, folders)


def root_at(path: str) -> Root:
    """The root that a folder is or a capture holds. Raises ValueError, which says what is wrong with the path."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            if not {"proc", "sys"} & set(os.listdir(path)):
                raise ValueError("has neither sys nor proc in it")
            return path
        if not stat.S_ISREG(mode):
            raise ValueError("is neither a folder nor a file")
        with open(path, "rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ValueError("does not exist") from None
    except OSError as error:
        raise ValueError("cannot be read (%s)" % error.strerror) from None
    if len(text) > _MOST_BYTES:
        raise ValueError("has more than %d bytes, so it is no capture" % _MOST_BYTES)
    return unpacked(text)
