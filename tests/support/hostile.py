"""What is hostile to the lab: experiments and images that do their worst, and sessions with anything in them."""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.cells import experiment
from tests.support.daemons import IMAGE, Daemon
from tests.support.hostile_sessions import ENTRIES, STORED, WRONG, with_entry
from tests.support.paths import ROOT

#: The bodies of experiments, by what they do. Those that never end are ended by Ctrl-C.
EXPERIMENTS = {
    "ends its process": "os._exit(7)",
    "raises SystemExit": "raise SystemExit(0)",
    "raises KeyboardInterrupt": "raise KeyboardInterrupt",
    "kills itself": "os.kill(os.getpid(), 9)",
    "reads address 0": "import ctypes\nctypes.string_at(0)",
    "kills the worker": "os.kill(os.getppid(), 9)",
    "ends the worker": "os.kill(os.getppid(), 15)",
    "signals the worker's group": "os.killpg(os.getpgid(os.getppid()), 15)",
    "stops the worker": "os.kill(os.getppid(), 19)",
    "hangs": "while True:\n    time.sleep(60)",
    "hangs and ignores signals": """
        for number in (1, 2, 3, 15):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(60)
        """,
    "prints for ever": "while True:\n    os.write(1, b'y' * 65536)",
    "prints errors for ever": "while True:\n    os.write(2, b'y' * 65535 + b'\\n')",
    "prints control characters": "print('\\x1b[2J\\x1b]0;t\\x07\\u202e', flush=True)\nos.write(2, b'\\x1b[31m\\xff')",
    "tells an enormous record": "recorder.observe('enormous', 'y' * 50_000_000)",
    "tells records for ever": "while True:\n    recorder.observe('again', 'y' * 1000)",
    "tells control characters": "recorder.tell('\\x1b[2J\\u202e<script>\\ud800')",
    "tells what JSON cannot hold": "recorder.observe('odd', [float('nan'), float('inf'), {1, 2}, object()])",
    "closes every file": "os.closerange(0, 1024)",
    "leaves orphans": """
        for _ in range(20):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(600)
                os._exit(0)
            os.wait()
        """,
    "leaves semaphores and shared memory": """
        from multiprocessing import resource_tracker as tracker, shared_memory
        import multiprocessing
        tracker.register = lambda *_: None
        context = multiprocessing.get_context('spawn')
        recorder.observe('kept', [str(context.Semaphore()), shared_memory.SharedMemory('x', True, 9).name])
        os._exit(0)
        """,
    "leaves files": "import tempfile\nfor _ in range(100):\n    tempfile.mkstemp()\nos._exit(0)",
    "recurses for ever": "import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()",
}

#: Those that end only at their deadline.
ENDLESS = {"stops the worker", "hangs", "hangs and ignores signals", "prints errors for ever"}


def package_with_experiments(parent: Path) -> dict[str, str]:
    """A copy of the lab below a folder with these experiments in it. Returns their names, by what they do."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lab", parent / "lab", ignore=ignored)
    shutil.copytree(ROOT / "docker", parent / "docker", ignore=ignored)
    names = {words: "hostile-" + re.sub(r"\W", "-", words.lower()) for words in EXPERIMENTS}
    for words, name in names.items():
        path = parent / "lab" / "cell" / "experiments" / f"{name.replace('-', '_')}.py"
        path.write_text(experiment(name, EXPERIMENTS[words]), "utf-8")
    return names


_SHELL = "#!/bin/sh\n"
#: The python3 of an image, and further lines of its recipe, by what is hostile.
IMAGES = {
    "has no Python": (None, ""),
    "Python prints for ever": (_SHELL + "exec yes\n", ""),
    "Python prints errors for ever": (_SHELL + "exec yes >&2\n", ""),
    "Python prints a line without end": (_SHELL + "exec cat /dev/zero\n", ""),
    "Python exits": (_SHELL + "exit 7\n", ""),
    "Python exits well": (_SHELL + "exit 0\n", ""),
    "Python kills itself": (_SHELL + "kill -9 $$\n", ""),
    "Python hangs": (_SHELL + "exec sleep 600\n", ""),
    "Python ignores signals": (_SHELL + "trap '' TERM INT HUP\nwhile :; do sleep 1; done\n", ""),
    "Python prints 100 MB": (_SHELL + "head -c 100000000 /dev/zero\n", ""),
    "Python prints nonsense": (_SHELL + 'echo \'{"version": [9999999999999999999999], "a": NaN}\'\n', ""),
    "Python prints control characters": (_SHELL + "printf '\\033[2J\\033]0;t\\007'; exit 3\n", ""),
    "Python is no program": ("\0\1\2", ""),
    "entrypoint hangs": ("", 'ENTRYPOINT ["sleep", "600"]\n'),
    "entrypoint is not there": ("", 'ENTRYPOINT ["/no/such/program"]\n'),
    "entrypoint prints for ever": ("", 'ENTRYPOINT ["yes"]\n'),
    "user is not there": ("", "USER nobody-of-that-name\n"),
    "folder is a file": ("", "WORKDIR /file\nRUN cd / && rmdir /file && : > /file\n"),
    "health check hangs": ("", "HEALTHCHECK --interval=1s CMD sleep 600\n"),
    "environment breaks Python": ("", "ENV PYTHONHOME=/nowhere PYTHONSTARTUP=/dev/zero PYTHONINSPECT=1\n"),
}


def image(engine: Daemon, words: str) -> str:
    """Build the image with what is hostile in it. Returns its name."""
    python, more = IMAGES[words]
    name = f"hostile:{list(IMAGES).index(words)}"
    with tempfile.TemporaryDirectory() as folder:
        recipe = f"FROM {IMAGE}\n"
        if python is None:
            (Path(folder) / "only").write_text("a file\n")
            recipe = "FROM scratch\nCOPY only /only\n"
        elif python:
            path = Path(folder) / "python"
            path.write_text(python)
            path.chmod(0o755)
            recipe += "".join(f"COPY python /hostile/{name}\n" for name in ("python3", "python", "python3.13"))
            recipe += "ENV PATH=/hostile:/bin:/usr/bin\n"
        (Path(folder) / "Dockerfile").write_text(recipe + more)
        engine.docker("build", "--quiet", "--tag", name, folder, settings={"DOCKER_BUILDKIT": "0"})
    return name


#: What a session may be made of.
Change = Callable[[Path, random.Random], None]


def _entry(folder: Path, draw: random.Random) -> None:
    path = folder / "session.json"
    path.write_text(
        with_entry(draw.choice(ENTRIES), draw.choice(list(WRONG.values())))(path.read_text("utf-8")), "utf-8"
    )


def _any_entry(folder: Path, draw: random.Random) -> None:
    """An entry anywhere in the manifest."""
    path = folder / "session.json"
    manifest = json.loads(path.read_text("utf-8"))
    place = manifest
    while True:
        key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
        if not isinstance(place[key], dict | list) or not place[key] or draw.random() < 0.2:
            break
        place = place[key]
    place[key] = draw.choice(list(WRONG.values()))
    path.write_text(json.dumps(manifest), "utf-8")


def _file(folder: Path, draw: random.Random) -> Path:
    return draw.choice(sorted(path for path in folder.iterdir() if path.is_file()))


def _bytes(folder: Path, draw: random.Random) -> None:
    path = _file(folder, draw)
    content = bytearray(path.read_bytes())
    for _ in range(draw.randrange(1, 20)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content)


def _shorter(folder: Path, draw: random.Random) -> None:
    path = _file(folder, draw)
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def _lines(folder: Path, draw: random.Random) -> None:
    """Lines of the records in another order, some twice, some not at all."""
    path = draw.choice(sorted(folder.glob("*.jsonl")))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(draw.choices(lines, k=len(lines))))


def _no_file(folder: Path, draw: random.Random) -> None:
    """A link to itself, a link to a device, a folder or nothing in the place of a file."""
    path = _file(folder, draw)
    path.unlink()
    kind = draw.choice(("loop", "device", "folder", "nothing"))
    if kind == "folder":
        path.mkdir()
    elif kind != "nothing":
        path.symlink_to({"loop": path.name, "device": "/dev/zero"}[kind])


def _record(folder: Path, draw: random.Random) -> None:
    """A value anywhere in a record."""
    path = draw.choice(sorted(folder.glob("*.jsonl")))
    lines = path.read_text("utf-8").splitlines(keepends=True)
    number = draw.randrange(len(lines))
    record = json.loads(lines[number])
    table = next((value for value in record.values() if isinstance(value, dict) and value), record)
    table[draw.choice(list(table))] = draw.choice(list(WRONG.values()))
    lines[number] = json.dumps(record) + "\n"
    path.write_text("".join(lines), "utf-8")


#: What is changed in a stored session, by its words.
CHANGES: dict[str, Change] = {
    "an entry that every command reads": _entry,
    "any entry": _any_entry,
    "bytes": _bytes,
    "a shorter file": _shorter,
    "lines": _lines,
    "no file": _no_file,
    "a record": _record,
}


def session(parent: Path, words: str, draw: random.Random) -> Path:
    """A stored session with that change, below a folder. Returns its folder."""
    folder = parent / STORED.name
    shutil.copytree(STORED, folder)
    CHANGES[words](folder, draw)
    return folder
