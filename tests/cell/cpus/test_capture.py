"""Captures: what is packed, what is left out, and that what comes out is what went in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.cell.cpus import capture
from lab.cell.cpus.effective import effective_cpus
from lab.cell.cpus.topology import read_topology


def test_what_comes_out_is_what_went_in() -> None:
    files = capture.unpacked(capture.capture("A note."))
    assert effective_cpus(files) == effective_cpus()
    assert read_topology(files) == read_topology()


def test_a_capture_has_no_name_of_this_user_or_host_and_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "a value that is nobody's business")
    text = capture.capture("A note.").decode()
    assert text.startswith("A note.\n@@ ")
    paths = [line[3:] for line in text.splitlines() if line.startswith("@@ ")]
    assert all(path.startswith(("proc/", "sys/")) for path in paths)
    assert "environ" not in text
    assert "a value" not in text
    assert os.uname().nodename not in text
    status = text.partition("@@ proc/self/status\n")[2].partition("@@ ")[0]
    assert {line.partition(":")[0] for line in status.splitlines()} <= {"Pid", "Cpus_allowed_list", "Mems_allowed_list"}


@pytest.mark.parametrize(
    ("path", "content", "kept"),
    [
        pytest.param(
            "/proc/self/cgroup",
            "3:cpu,cpuacct:/ada/box7.example/a\n2:memory:/ada\n1:name=systemd:/ada\n0::/ada's\n",
            "3:cpu,cpuacct:/user/host/a\n0::/user's",
            id="the groups that count",
        ),
        pytest.param(
            "/proc/self/mountinfo",
            "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/disk/by-label/ADA rw\n"
            "21 20 0:5 / /home/ada rw - nfs server:/ada rw,addr=10.0.0.1\n"
            "22 20 0:6 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,size=4k\n"
            "23 22 0:7 /docker/ada /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
            "20 1 8:1 / / rw - ext4 none rw\n"
            "22 20 0:6 / /sys/fs/cgroup rw - tmpfs none rw\n"
            "23 22 0:7 /docker/user /sys/fs/cgroup/cpu rw - cgroup none rw,cpu",
            id="the mounts that count",
        ),
        pytest.param(
            "/proc/mounts",
            "server:/ada /home/ada nfs rw 0 0\ncgroup /cg/ada cgroup rw,cpu 0 0\n",
            "none /cg/user cgroup rw,cpu 0 0",
            id="the mounts of an old kernel that count",
        ),
        pytest.param(
            "/proc/cpuinfo",
            "model\t: X\nSerial\t: 12\nflags\t: fpu vme\nvmx flags\t: vnmi\n",
            "model\t: X\nflags\t: -\n",
            id="cpuinfo",
        ),
        pytest.param(
            "/proc/cpuinfo", "flags\t: fpu hypervisor\n", "flags\t: hypervisor\n", id="cpuinfo of a virtual machine"
        ),
        pytest.param("/proc/stat", "cpu 1\ncpu0 1\nbtime 12\n", "cpu 1\ncpu0 1", id="stat"),
        pytest.param("/sys/fs/cgroup/a/cgroup.procs", f"1\n{os.getpid()}\n77\n", f"{os.getpid()}\n", id="own id"),
        pytest.param("/sys/fs/cgroup/a/tasks", "1\n77\n", None, id="ids of others"),
    ],
)
def test_only_what_counts_is_kept(path: str, content: str, kept: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_names", lambda: {b"user": {b"ada"}, b"host": {b"box7.example", b"box7"}})
    needed = capture.needed(path, content.encode())
    assert (needed.decode() if needed is not None else None) == kept


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        pytest.param("/sys/fs/cgroup/ada.slice/cpu.max", "/sys/fs/cgroup/user.slice/cpu.max", id="a group"),
        pytest.param("/sys/fs/cgroup/docker/0123456789abcdef/x", "/sys/fs/cgroup/docker/hostcdef/x", id="a container"),
        pytest.param("/sys/fs/cgroup/adamant/cpu.max", "/sys/fs/cgroup/adamant/cpu.max", id="another word"),
        pytest.param("/sys/devices/ada/cpus", "/sys/devices/ada/cpus", id="the kernel's own"),
        pytest.param("/sys/fs/cgroup/a/ada", "/sys/fs/cgroup/a/ada", id="a file"),
    ],
)
def test_a_groups_folder_has_no_name_either(path: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_names", lambda: {b"user": {b"ada"}, b"host": {b"0123456789ab"}})
    assert capture.without_names(path) == kept


def test_odd_names_line_ends_and_empty_folders_survive() -> None:
    files = capture.unpacked(b"A note.\n@@ a/b \xff/c\nx\n\ny\n@@ empty\n\n@@ d/e/\n")
    assert files.read("/a/b \udcff/c") == b"x\n\ny\n"
    assert files.text("/empty") == ""
    assert files.read("/d/e") is None
    assert (files.names("/"), files.names("/d"), files.names("/d/e")) == (["a", "d", "empty"], ["e"], [])
    assert files.is_folder("/d/e/")
    assert not files.is_folder("/empty")
    assert capture.unpacked(b"@@ a\r\nx\r\n@@ b\r\ny\r\n").read("/a") == b"x\n"


def test_a_folder_is_a_root_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    assert capture.root_at(str(tmp_path)) == str(tmp_path)
