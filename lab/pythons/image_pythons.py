"""The Pythons of an image. They are found through the engine, also in an image without a shell, and each is asked."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import interrupts
from lab.containers import streams
from lab.containers.cleanup import remove_container
from lab.containers.client import SESSION_LABEL, image_attributes, translated
from lab.containers.container import create_container, isolated_host_config
from lab.containers.endings import how_it_ended
from lab.containers.exception_words import short
from lab.containers.image_config import ImageSettings
from lab.model.cell import Outcome
from lab.pythons import identity
from lab.pythons.identity import ARGUMENTS, Answer
from lab.pythons.listening import MEBIBYTE, STDERR_KEPT

if TYPE_CHECKING:
    from docker import DockerClient

_FREE_THREADED = (13, 14, 15)
#: The names of the programs that may be a Python, in the order in which they are looked for.
NAMES = (
    *("python3", "python", "pypy3", "graalpy"),
    *(
        f"python3.{minor}{end}"
        for minor in range(15, 8, -1)
        for end in ("", "t", "-nogil")
        if not end or minor in _FREE_THREADED
    ),
)
#: These names as a message lists them.
NAMES_SHORT = "python3, python, pypy3, graalpy, python3.15 to python3.9"

_IS_PYTHON = re.compile(r"/(.*/)?python(3(\.\d+(t|-nogil)?)?)?")
_ANSWER_SECONDS = 30
_POLL_SECONDS = 0.05
#: How often is looked how much a program has printed, in seconds.
_LOOK_SECONDS = 2.0
#: How much of each output of a program is read, in bytes. An answer usually has some hundred bytes.
_MOST_BYTES = MEBIBYTE
#: What is said of a program that prints more.
_TOO_MUCH = f"it printed more than {_MOST_BYTES // MEBIBYTE} MiB"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A program of an image that has the name of a Python."""

    #: The path of the program in the image.
    program: str
    #: The user that the program was asked as.
    user: str
    #: What the program said it is; ``None`` where it did not answer.
    answer: Answer | None
    #: How the program ended.
    outcome: Outcome

    @property
    def problem(self) -> str | None:
        """Why it cannot run a cell; ``None`` when it can."""
        return self.answer.problem if self.answer else f"no answer: {self.outcome.ending}"


def look(client: DockerClient, image: str, session: str) -> Generator[Candidate, None, None]:
    """Each Python of an image, the usual names first, asked as the first user that may start it.

    The caller closes the generator. The containers carry the session's label. Raises EngineError if the engine refuses
    a request.
    """
    settings = ImageSettings.of(image_attributes(client, image) or {})
    with contextlib.closing(_programs(client, image, settings, session)) as programs:
        for program in programs:
            yield _asked_by_any(client, image, program, settings, session)


def _programs(client: DockerClient, image: str, settings: ImageSettings, session: str) -> Generator[str, None, None]:
    """The paths of the programs that may be a Python, each file once.

    They are on the PATH of the image, or they are what the image itself runs.
    """
    own = [words[0] for words in (settings.entrypoint, settings.command) if words and _IS_PYTHON.fullmatch(words[0])]
    with translated(f"looking into the image {image}"):
        container = create_container(client, image, ["true"], isolated_host_config(1), labels={SESSION_LABEL: session})[
            "Id"
        ]  # the container is never started
    try:
        targets = (_file(client, container, folder) for folder in settings.folders)
        folders = list(dict.fromkeys(folder for folder in targets if folder))
        paths = [f"{folder.rstrip('/')}/{name}" for name in NAMES for folder in folders]
        first = len(folders)  # these are python3 in each folder
        files = set()
        for path in (*paths[:first], *own, *paths[first:]):
            file = _file(client, container, path)
            if file and file not in files:
                files.add(file)
                yield path
    finally:
        remove_container(client, container)


def _file(client: DockerClient, container: str, path: str) -> str | None:
    """The file or the folder that a path in a container leads to; ``None`` if there is none.

    Source: the engine's API, ``HEAD /containers/{id}/archive``. The SDK has only the request for the whole file.
    """
    api = client.api
    with translated("looking into a container"):
        answer = api.head(
            f"{api.base_url}/v{api.api_version}/containers/{container}/archive",
            params={"path": path},
            timeout=api.timeout,
        )
        if answer.status_code != 200:  # 404; 500 where a part of the path is no folder
            return None
        attributes: dict[str, Any] = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        return attributes.get("linkTarget") or path


def _asked_by_any(client: DockerClient, image: str, program: str, settings: ImageSettings, session: str) -> Candidate:
    """A program, asked as the first user that may start it. If it never answers, the first try counts."""
    tries = []
    for user in settings.users:
        with translated(f"asking {program} in the image {image}"):
            answer, outcome = _asked(client, image, program, user, session)
        tries.append(Candidate(program=program, user=user, answer=answer, outcome=outcome))
        if answer:
            return tries[-1]
        if not _kept_out(outcome):
            break
    return tries[0]


def _kept_out(outcome: Outcome) -> bool:
    """Whether another user might be able to start a program that did not answer.

    Three messages say so. An init says that the program may not be executed, a Python that its library is missing, the
    engine that the image has no such user.
    """
    text = f"{outcome.reason} {outcome.stderr_tail}"
    return outcome.exit_code == 126 or any(
        words in text for words in ("ermission denied", "Fatal Python error", "unable to find user")
    )


def _asked(client: DockerClient, image: str, program: str, user: str, session: str) -> tuple[Answer | None, Outcome]:
    from docker.errors import APIError

    api = client.api
    container = create_container(
        client, image, [program, *ARGUMENTS], isolated_host_config(1), labels={SESSION_LABEL: session}, user=user
    )["Id"]
    try:
        try:
            api.start(container)
        except APIError as error:
            return None, Outcome(exit_code=None, reason=short(error))
        trouble = _trouble(api, container)
        if trouble:
            with contextlib.suppress(APIError):  # it has just ended
                api.kill(container)
        state = api.inspect_container(container)["State"]
        if trouble == _TOO_MUCH:  # to look for the few words of one output in it would take minutes
            return None, Outcome(exit_code=state.get("ExitCode"), reason=how_it_ended(state, trouble))
        errors = streams.log(api, container, error=True, most=_MOST_BYTES) or b""
        outcome = Outcome(
            exit_code=state.get("ExitCode"),
            reason=how_it_ended(state, trouble),  # what a program that hangs has printed before counts
            stderr_tail=errors[-STDERR_KEPT:].decode(errors="replace"),
        )
        return identity.read_answer(streams.log(api, container, most=_MOST_BYTES) or b""), outcome
    finally:
        remove_container(client, container)


def _trouble(api: Any, container: str) -> str | None:
    """Wait until a container ends. Returns why it is not waited for any longer, or ``None``.

    Nothing is measured now, so the engine may be asked often.
    """
    began = looked = time.monotonic()
    while api.inspect_container(container)["State"]["Running"]:
        interrupts.check()
        now = time.monotonic()
        if now - began > _ANSWER_SECONDS:
            return f"it did not end within {_ANSWER_SECONDS} s"
        if now - looked > _LOOK_SECONDS:
            if len(streams.log(api, container, error=None, most=_MOST_BYTES) or b"") >= _MOST_BYTES:
                return _TOO_MUCH
            looked = time.monotonic()
        time.sleep(_POLL_SECONDS)
    return None
