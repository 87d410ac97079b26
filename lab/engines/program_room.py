"""Programs of the user's as their image runs them: after its entry point, and in its folder. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from lab.cell.programs.program import SHELL
from lab.containers.image_config import ImageSettings
from lab.model.room import Room


def placed(cases: Mapping[str, Mapping[str, Any]], settings: ImageSettings, room: Room) -> dict[str, Any]:
    """The cases of a job, each program or list of programs as this image runs it."""
    return {
        name: {**case, "programs": [_in_image(program, settings, room) for program in case["programs"]]}
        if "programs" in case
        else _in_image(case, settings, room)
        for name, case in cases.items()
    }


def _in_image(program: Mapping[str, Any], settings: ImageSettings, room: Room) -> dict[str, Any]:
    own = settings.entrypoint if room.entrypoint is None else (room.entrypoint,) * bool(room.entrypoint)
    words, by_shell = list(program["words"]), program["by_shell"]
    if own and by_shell:
        words, by_shell = [SHELL, "-c", *words], False
    folder = posixpath.join(settings.folder, program["folder"])
    return {**program, "words": [*own, *words], "by_shell": by_shell, "folder": folder}
