"""The worker's promise: what an experiment does costs that experiment, never a record, the next one or the proof."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest

from lab import engines
from lab.engines.cell_code import cell_code
from lab.engines.worker_command import worker_arguments
from lab.judging import proofs
from lab.judging.records import read_records
from lab.model.cell import Cell, Limit
from tests.support import cells

#: An experiment that is run after a hostile one: what it says shows that nothing of the other is left.
AFTER = """
recorder.observe("fine", True)
recorder.observe("open", sorted(int(name) for name in os.listdir("/proc/self/fd")))
"""

EARLY = "called os._exit(0), or closed file descriptors that are not its own"


class Hostile(NamedTuple):
    """What an experiment does, and what is to be said of it; ``reason`` is ``None`` where all is well. ``deadline``
    (seconds) is also that of the experiment which comes after it, on a machine that may be busy."""

    name: str
    body: str
    outcome: str = "ok"
    reason: str | None = None
    deadline: float = 20


def saying(line: str) -> str:
    """Send this, the source of bytes, as it is through the recorder's descriptor."""
    return f"os.write(recorder._descriptor, {line})"


HOSTILE = [
    Hostile("prints a megabyte without a newline", "print('x' * 2**20, end='')\nsys.stdout.flush()"),
    Hostile("writes invalid UTF-8 to descriptor 1", "os.write(1, b'\\xff\\xfe{\\n' * 1000)"),
    Hostile("closes standard input, output and error", "for number in (0, 1, 2): os.close(number)"),
    Hostile("closes every descriptor", "os.closerange(0, 65)", "failed", EARLY),
    Hostile("replaces sys.stdout and sys.stderr", "sys.stdout = sys.stderr = None"),
    Hostile(
        "raises where standard error is closed",
        "os.close(2)\n1 / 0",
        "failed",
        "raised ZeroDivisionError: division by zero",
    ),
    Hostile("leaves by os._exit(3)", "os._exit(3)", "failed", "exited with status 3"),
    Hostile("leaves by os._exit(0) half-way", "recorder.observe('half', 1)\nos._exit(0)", "failed", EARLY),
    Hostile("leaves by sys.exit()", "sys.exit()", "failed", "raised SystemExit"),
    Hostile("leaves by sys.exit with a text", "sys.exit('enough')", "failed", "raised SystemExit: enough"),
    Hostile("raises", "1 / 0", "failed", "raised ZeroDivisionError: division by zero"),
    Hostile(
        "raises with a text that is hard to show",
        "raise ValueError('two\\nlines, \\x1b[2J and \\udcff' + 'x' * 10000)",
        "failed",
        "raised ValueError: two lines, \\x1b[2J and \\udcffxxxxx",
    ),
    Hostile(
        "raises an error that has no text",
        "class Mute(Exception):\n    def __str__(self): raise self\nraise Mute",
        "failed",
        "raised Mute: its own text raises Mute",
    ),
    Hostile(
        "kills itself with SIGKILL", "os.kill(0, signal.SIGKILL)", "failed", "was killed by SIGKILL (out of memory?)"
    ),
    Hostile(
        "dies of a segmentation fault",
        "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nos.kill(os.getpid(), signal.SIGSEGV)",
        "failed",
        "was killed by SIGSEGV",
    ),
    Hostile("dies of a real-time signal", "os.kill(os.getpid(), 40)", "failed", "was killed by signal 40"),
    Hostile(
        "leaves a child that holds every descriptor and prints",
        """
        if os.fork() == 0:
            while True:
                print('still here', flush=True)
                time.sleep(0.01)
        """,
    ),
    Hostile(
        "leaves a daemon in a session of its own",
        """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        os.wait()
        """,
    ),
    Hostile("leaves 50 children", "for _ in range(50):\n    if os.fork() == 0:\n        time.sleep(600)"),
    Hostile(
        "leaves daemons that go on forking",
        """
        if os.fork() == 0:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                os.setsid() if os.getsid(0) != os.getpid() else None
                if os.fork():
                    os._exit(0)
                time.sleep(0.002)
        """,
    ),
    Hostile("leaves a child that returns from run() too", "os.fork()\ntime.sleep(0.05)"),
    Hostile("leaves threads", "threading.Thread(target=time.sleep, args=(600,)).start()"),
    Hostile("leaves files", "import tempfile\nopen(tempfile.mkdtemp() + '/file', 'w').close()"),
    Hostile(
        "leaves a Manager's socket",
        "import multiprocessing\nmultiprocessing.Manager()\nos._exit(4)",
        "failed",
        "status 4",
    ),
    Hostile("hangs", "time.sleep(600)", "timeout", "did not end within 2 s", 2),
    Hostile(
        "hangs and ignores SIGTERM",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
        "timeout",
        "did not end within 2 s",
        2,
    ),
    Hostile(
        "hangs when it has closed its recorder", "os.closerange(3, 65)\ntime.sleep(600)", "timeout", "within 2 s", 2
    ),
    Hostile("stops itself", "os.kill(os.getpid(), signal.SIGSTOP)", "timeout", "did not end within 2 s", 2),
    Hostile(
        "talks until its deadline",
        "while True:\n    recorder.observe('again', 1)\n    time.sleep(0.001)",
        "timeout",
        "did not end within 2 s",
        2,
    ),
    Hostile(
        "talks without a pause",
        "while True:\n    recorder.observe('again', 'x' * 6000)",
        "failed",
        "sent more than 4128 KiB",
    ),
    Hostile(
        "sends a line without an end",
        "while True:\n    " + saying("b'x' * 65536"),
        "failed",
        "sent more than 4128 KiB",
    ),
    Hostile("sends noise", saying("b'\\xff\\x00noise\\n'"), "failed", "sent something that is not a message: b'\\xff"),
    Hostile("sends an oversized message", saying("b'x' * 100000 + b'\\n'"), "failed", "not a message: b'xxx"),
    Hostile("sends half a message", saying("b'{\"kind\"'"), "failed", 'not a message: b\'{"kind"{'),
    Hostile(
        "leaves within a message",
        saying("b'{\"kind\"'") + "\nos._exit(0)",
        "failed",
        "was cut off in the middle of a message",
    ),
    Hostile(
        "sends a message nested too deeply to parse", saying("b'[' * 7000 + b'\\n'"), "failed", "not a message: b'[["
    ),
    Hostile(
        "sends a message nested too deeply to read",
        "recorder.observe('deep', eval('[' * 50 + ']' * 50))",
        "failed",
        "not a message",
    ),
    Hostile(
        "sends a number of thousands of digits",
        saying('b\'{"kind":"observation","name":"n","unit":"","value":1%s}\\n\' % (b\'0\' * 4000)'),
        "failed",
        "not a message",
    ),
    Hostile("sends a text that no encoding has", "recorder.observe('lone', '\\ud800')", "failed", "not a message"),
    Hostile(
        "sends what is not a number",
        saying('b\'{"kind":"observation","name":"n","unit":"","value":NaN}\\n\''),
        "failed",
        "not a message",
    ),
    Hostile("states what is not a number", "recorder.observe('nan', float('nan'))", "failed", "raised ValueError"),
    Hostile("sends an event without a time", saying('b\'{"kind":"event","text":""}\\n\''), "failed", "not a message"),
    Hostile("sends a record of its own end", saying('b\'{"kind":"end","records":3}\\n\''), "failed", "not a message"),
    Hostile("sends a kind that is a list", saying("b'{\"kind\":[]}\\n'"), "failed", "not a message"),
    Hostile(
        "writes records to every descriptor",
        """
        for kind in ('start', 'finish', 'end'):
            for number in range(3, 65):
                try:
                    os.write(number, b'{"schema":1,"session":"test","cell":"cell","seq":2,"kind":"%s",'
                                     b'"time":1,"data":{"experiment":"after"}}\\n' % kind.encode())
                except OSError:
                    pass
        """,
        "failed",
        "sent something that is not a message",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_an_experiment_that(hostile: Hostile, tmp_path: Path) -> None:
    code = cells.code_with({"hostile": hostile.body, "after": AFTER})
    ran = cells.run(cells.job(["hostile", "after"], deadline_seconds=hostile.deadline), tmp_path, code)

    assert ran.reader.faults == []
    assert [ran.records[0].kind, ran.records[-1].kind] == ["start", "end"]
    assert proofs.taints(ran.result(cells.CPUS)) == ()
    finish = ran.data("finish", "hostile")
    assert finish["outcome"] == hostile.outcome
    assert (hostile.reason or "") in (finish["reason"] or "")
    assert bool(finish["reason"]) is bool(hostile.reason)
    assert len(finish["reason"] or "") < 300
    assert ran.data("finish", "after")["outcome"] == "ok"
    seen = {record.data["name"]: record.data["value"] for record in ran.records if record.kind == "observation"}
    assert seen["fine"] is True
    assert len(seen["open"]) == 5  # standard input, output, error, its recorder, and the folder that it lists
    assert ran.exit_code == (0 if hostile.outcome == "ok" else 1)


def test_an_experiment_that_cannot_be_loaded_fails_with_the_reason(tmp_path: Path) -> None:
    code = cells.code_with({"broken": "return (", "after": AFTER})
    ran = cells.run(cells.job(["broken", "missing", "after"]), tmp_path, code)
    assert ran.reader.faults == []
    assert ran.data("finish", "broken")["reason"].startswith("raised SyntaxError")
    assert ran.data("finish", "missing")["reason"].startswith("raised ModuleNotFoundError: No module named")
    assert ran.data("finish", "after")["outcome"] == "ok"


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        pytest.param("import os; del os.pidfd_open", id="pidfd_open (Linux before 5.3)"),
        pytest.param("import os\ndef no(pid): raise PermissionError\nos.pidfd_open = no", id="leave for pidfd_open"),
        pytest.param("import sys; sys.modules['ctypes'] = None", id="ctypes"),
    ],
)
def test_the_worker_can_do_without(before: str, tmp_path: Path) -> None:
    bodies = {
        "leaver": "if os.fork() == 0: time.sleep(600)",
        "hanger": "os.closerange(3, 65)\ntime.sleep(600)",
        "killed": "os.kill(os.getpid(), signal.SIGKILL)",
        "after": AFTER,
    }
    ran = cells.run(cells.job(list(bodies), deadline_seconds=2), tmp_path, cells.code_with(bodies), before=before)
    assert ran.reader.faults == []
    outcomes = [record.data["outcome"] for record in ran.records if record.kind == "finish"]
    assert outcomes == ["ok", "timeout", "failed", "ok"]


STEADY = {
    f"steady{number}": "for step in range(10):\n    recorder.tell('step %d' % step)\n    time.sleep(0.005)"
    for number in range(3)
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(20))
def test_a_request_to_stop_at_any_moment_leaves_a_whole_stream(moment: int, tmp_path: Path) -> None:
    choice = random.Random(moment)
    number = choice.choice([signal.SIGTERM, signal.SIGINT])
    with cells.worker(cells.job(list(STEADY)), tmp_path, cells.code_with(STEADY)) as started:
        time.sleep(choice.uniform(0, 0.5))
        started.process.send_signal(number)
        stream, _ = started.process.communicate(timeout=60)
        assert started.vanished()
    if not stream:
        assert started.process.returncode in (-number, 1)  # it had not yet taken its handlers
        return
    reader = read_records(stream)
    assert reader.faults == []
    outcomes = [record.data["outcome"] for record in reader.records if record.kind == "finish"]
    if reader.records[-1].data["stopped"]:
        assert outcomes[-1] == "stopped"
        assert started.process.returncode == 3
    else:
        assert outcomes == ["ok"] * 3  # it came too late to cut anything short
        assert started.process.returncode == 0


@pytest.mark.parametrize(
    ("then", "outcomes"),
    [("time.sleep(600)", ["stopped"]), ("os.kill(os.getpid(), signal.SIGTERM)", ["stopped", "failed"])],
    ids=["it goes on", "it is asked to stop as well"],
)
def test_an_experiment_can_stop_the_cell_but_not_tear_its_stream(
    then: str, outcomes: list[str], tmp_path: Path
) -> None:
    code = cells.code_with({"stopper": f"os.kill(os.getppid(), signal.SIGTERM)\n{then}", "after": AFTER})
    ran = cells.run(cells.job(["stopper", "after"]), tmp_path, code)
    assert ran.reader.faults == []
    assert ran.data("finish")["outcome"] in outcomes
    assert ran.data("end")["stopped"] is True


def test_an_experiment_that_kills_the_worker_is_found_out_and_ends_with_it(tmp_path: Path) -> None:
    code = cells.code_with({"killer": "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)"})
    with cells.worker(cells.job(["killer"]), tmp_path, code) as started:
        stream, _ = started.process.communicate(timeout=60)
        assert started.vanished()
    assert started.process.returncode == -signal.SIGKILL
    assert read_records(stream).faults == ["the end record is missing"]


def test_when_the_reader_goes_the_worker_and_its_experiment_end(tmp_path: Path) -> None:
    code = cells.code_with({"talker": "while True:\n    recorder.tell('still here')\n    time.sleep(0.001)"})
    with cells.worker(cells.job(["talker"]), tmp_path, code) as started:
        assert started.process.stdout
        assert started.process.stdout.read(5000)
        started.process.stdout.close()
        started.process.stdout = None
        assert started.process.wait(30) == 1
        assert started.vanished()


FORGERY = """
line = (b'{"schema":1,"session":"test","cell":"cell","seq":%d,"kind":"observation","time":1,'
        b'"data":{"experiment":"forger","name":"fine","value":true,"unit":""}}\\n')
written = []
for folder in FOLDERS:
    for number in os.listdir(folder):
        try:
            path = os.path.join(folder, number)
            if not os.readlink(path).startswith('pipe:'):
                continue
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            os.write(descriptor, line % SEQUENCE)
            written.append(path)
        except OSError:
            pass
time.sleep(0.05)
recorder.observe('written', written)
"""


@pytest.mark.parametrize("sequence", [0, 1, 2, 3, 10], ids=lambda sequence: f"with number {sequence}")
def test_a_record_forged_through_the_workers_own_descriptors_is_found_out(sequence: int, tmp_path: Path) -> None:
    body = FORGERY.replace("FOLDERS", "['/proc/%d/fd' % os.getppid()]").replace("SEQUENCE", str(sequence))
    code = cells.code_with({"forger": body, "after": AFTER})
    ran = cells.run(cells.job(["forger", "after"]), tmp_path, code)
    written = [record.data["value"] for record in ran.records if record.data.get("name") == "written"]
    assert written != [[]], "the forgery was not tried; this test shows nothing"
    assert ran.reader.faults
    assert ran.result(cells.CPUS).status == "error"


@pytest.mark.engine
def test_a_record_forged_through_the_containers_first_process_is_found_out(
    image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Descriptor 1 of PID 1 is the container's standard output, and an experiment has the same user."""
    body = FORGERY.replace("FOLDERS", "['/proc/1/fd', '/proc/%d/fd' % os.getppid()]").replace("SEQUENCE", "2")
    code = cells.code_with({"forger": body, "after": AFTER})
    monkeypatch.setattr("lab.engines.docker.cell_code", lambda *_, **__: code)
    docker = engines.make("docker", image=image, session=f"test-{uuid.uuid4().hex[:8]}")
    try:
        cell = Cell(id="cell", limit=Limit(cpus=1), size=1, cpus=docker.probe().cpus[:1])
        result = cells.run_on(docker, cells.order(cell, "forger", "after"))
    finally:
        docker.close()
    written = [record.data["value"] for record in result.records if record.data.get("name") == "written"]
    assert written != [[]], "the forgery was not tried; this test shows nothing"
    assert result.faults
    assert result.status == "error"


@pytest.mark.skipif(len(cells.CPUS) < 2, reason="needs 2 CPUs")
def test_an_experiment_that_widens_the_workers_affinity_taints_the_cell(tmp_path: Path) -> None:
    code = cells.code_with({"widener": f"os.sched_setaffinity(os.getppid(), {set(cells.CPUS)})"})
    ran = cells.run(cells.job(["widener"], pin=cells.CPUS[:1]), tmp_path, code)
    assert ran.reader.faults == []
    (reason, *_) = proofs.taints(ran.result(cells.CPUS[:1]))
    assert reason.startswith("the affinity was changed from")


def test_a_cell_with_fewer_cpus_than_it_is_to_have_runs_nothing(tmp_path: Path) -> None:
    ran = cells.run(cells.job(["pipe"], cpus=len(cells.CPUS) + 1), tmp_path)
    assert [record.kind for record in ran.records] == ["start", "end"]
    assert ran.exit_code == 0


def test_the_start_record_says_what_the_cell_is(tmp_path: Path) -> None:
    ran = cells.run(cells.job([], pin=cells.CPUS[:1], cpus=1), tmp_path)
    start, end = ran.data("start"), ran.data("end")
    assert start["proof"]["affinity"] == end["proof"]["affinity"] == list(cells.CPUS[:1])
    assert start["proof"]["pool_size"] in (1, os.cpu_count())
    assert start["pinned_by"] == "worker"
    assert start["wanted_cpus"] == 1
    assert start["python"]["implementation"] == "CPython"


def test_code_that_is_carried_in_the_command_line_fits_into_it() -> None:
    words = worker_arguments(cell_code(), cells.job(["pipe"] * 100))
    assert max(map(len, words)) < 2**17  # MAX_ARG_STRLEN (man 2 execve)
    assert (
        sum(map(len, words)) < 0.5 * 2**20
    )  # a quarter of an 8 MiB stack is all there is, and the environment is in it


def test_code_that_is_carried_in_the_command_line_runs() -> None:
    words = [sys.executable, *worker_arguments(cell_code(), cells.job(["pipe"]))]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        reader = read_records(worker.stdout.read())
    Path(f"/tmp/multicore-lab-{worker.pid}.zip").unlink()  # in a container it goes with the container
    assert (worker.returncode, reader.faults) == (0, [])
    assert [record.data["outcome"] for record in reader.records if record.kind == "finish"] == ["ok"]


@pytest.mark.parametrize("version", ["3.6", "3.8"])
def test_a_python_that_is_too_old_says_so_in_a_line_that_the_reader_knows(version: str, tmp_path: Path) -> None:
    old = cells.interpreter(version)
    if old is None:
        pytest.skip(f"there is no Python {version} here")
    with cells.worker(cells.job(["pipe"]), tmp_path, interpreter=old) as started:
        stream, _ = started.process.communicate(timeout=60)
    assert started.process.returncode == 64
    reader = read_records(stream)
    assert (reader.refusal, reader.faults) == (f"Python {version}", [])
    assert json.loads(stream)["kind"] == "refused"
