"""The command line that measures a target of a configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.model.gates import Gate
from lab.planning.schema_faults import COMMANDS

#: What is no option of the command, or is written in another way.
_APART = (*COMMANDS, "gates", "expect", "params", "env", "level", "project", "cpus")
#: The options that are repeated for several values. Of the others the values have commas between them.
_REPEATED = ("python", "mount")


def words_of(command: str, settings: Mapping[str, Any], gates: Sequence[Gate], folder: str) -> Iterator[str]:
    """The words after ``lab scale``, ``lab exec`` or ``lab run``. ``folder`` is that of the project."""
    for key, value in settings.items():
        if key not in _APART:
            yield from _option(key, value)
    yield from _option("cpus", ",".join(sizes_of(command, settings, gates)) or None)
    if settings.get("level") in ("quick", "thorough"):
        yield f"--{settings['level']}"
    if command == "scale":
        yield f"--project={settings.get('project') or folder}"
    for name, values in settings.get("params", {}).items():
        yield f"--param={name}={','.join(map(repr, values))}"
    for name, value in settings.get("env", {}).items():
        yield f"--env={name}={value}"
    target = settings[command]
    if command == "exec" and isinstance(target, str):
        yield "--shell"
    yield "--"
    yield from [target] if isinstance(target, str) else target


def _option(key: str, value: object) -> Iterator[str]:
    if value is None or value is False:
        return
    if value is True:
        yield f"--{key}"
        return
    values = [written(each) for each in (value if isinstance(value, list) else [value])]
    yield from (f"--{key}={each}" for each in (values if key in _REPEATED else [",".join(values)]))


def written(value: object) -> str:
    """A value as an option has it: ``2.0`` is the whole number 2."""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def listed(value: object) -> list[str]:
    """The values of a setting that is one value, several in a string, or a list."""
    if isinstance(value, list):
        return [written(each) for each in value]
    return [part.strip() for part in written(value).split(",")]


def sizes_of(command: str, settings: Mapping[str, Any], gates: Sequence[Gate]) -> list[str]:
    """The sizes of the cells: those of the configuration, else those that the gates need; none: the usual ones."""
    if "cpus" in settings:
        return listed(settings["cpus"])
    named = list(dict.fromkeys(written(gate.at) for gate in gates if gate.at is not None))
    if not gates or command == "run" or (not named and "quota" in settings):
        return []
    sizes = named or ["all"]
    smaller = ["1"] if command == "exec" and "1" not in sizes else []  # a speed-up is against the smallest limit
    return [*smaller, *sizes]
