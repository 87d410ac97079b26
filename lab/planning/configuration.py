"""The configuration of ``lab check``: read as targets with gates, and checked for what cannot be meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lab.model.gates import Gate, Goal, Kind
from lab.planning import contradictions, schema_faults
from lab.planning.document import Document
from lab.planning.schema_faults import COMMANDS
from lab.planning.target_words import listed, words_of, written
from lab.planning.toml_lines import Step
from lab.text import units

#: The settings for all targets; each counts where the command has it.
_FOR_ALL = ("cpus", "quota", "engine", "image", "python", "level", "seed")
#: The file of the results stands beside the folders of the targets.
RESULTS = "check.json"
#: What ``throttled = false`` stands for.
_NEVER: Mapping[str, Any] = {"max": "0%"}
#: The largest number that a bound may be.
_MOST = 1e15


def goals_of(document: Document, schema: Mapping[str, Any]) -> tuple[Goal, ...]:
    """The targets of a configuration with their gates, in the order of the file.

    Raises UsageError for what the schema does not allow, with file, line and the nearest valid key. It is also raised
    for a gate on a limit that the target does not have, and for gates that contradict each other.
    """
    schema_faults.check(document, schema)
    content = document.content
    usual = {key: content[key] for key in _FOR_ALL if key in content}
    return tuple(_goal(document, name, settings, usual, schema) for name, settings in content["targets"].items())


def _goal(
    document: Document, name: str, settings: Mapping[str, Any], usual: Mapping[str, Any], schema: Mapping[str, Any]
) -> Goal:
    if name == RESULTS:
        raise document.error(("targets", name), f"{RESULTS} is the name of the file of results", "take another name")
    command = next(command for command in COMMANDS if command in settings)
    own = {key: value for key, value in usual.items() if key in schema["$defs"][command]["properties"]}
    settings = {**own, **settings}
    gates = tuple(_gates(document, name, settings))
    _check_limits(document, name, settings, gates)
    _check_smallest(document, name, command, settings, gates)
    contradictions.check(document, name, command, settings, gates)
    return Goal(
        name=name,
        line=document.line("targets", name),
        command=command,
        words=tuple(words_of(command, settings, gates, document.folder)),
        gates=gates,
        settings=settings,
    )


def _gates(document: Document, name: str, settings: Mapping[str, Any]) -> Iterator[Gate]:
    """The gates of a target."""
    for claim, verdict in settings.get("expect", {}).items():
        line = document.line("targets", name, "expect", claim)
        yield Gate(kind=Kind.VERDICT, line=line, claim=claim, verdict=verdict)
    for kind, entries in settings.get("gates", {}).items():
        path: tuple[Step, ...] = ("targets", name, "gates", kind)
        if isinstance(entries, list):
            yield from (_gate(document, (*path, number), Kind(kind), each) for number, each in enumerate(entries))
        else:
            yield _gate(document, path, Kind(kind), _NEVER if entries is False else entries)


def _gate(document: Document, path: Sequence[Step], kind: Kind, entry: Mapping[str, Any]) -> Gate:
    if entry.get("against") and entry.get("base"):
        raise document.error(path, "it has against and base", "keep one: against is measured, base is a session")
    for key in ("min", "max", "quota"):
        value = entry.get(key)
        if isinstance(value, (int, float)) and not value < _MOST:  # which not-a-number is not either
            raise document.error([*path, key], "the number is too large, or is none", "give a number that can be met")
    return Gate(
        kind=kind,
        line=document.line(*path),
        at=entry.get("at"),
        quota=entry.get("quota"),
        build=entry.get("build", ""),
        executor=entry.get("executor", ""),
        workers=1 if entry.get("executor") == "one" else entry.get("workers"),
        own=entry.get("state") == "own",
        least=entry.get("min"),
        most=_most(document, [*path, "max"], kind, entry.get("max")),
        against=entry.get("against", ""),
        base=entry.get("base", ""),
    )


def _most(document: Document, path: Sequence[Step], kind: Kind, value: Any) -> float | str | None:
    """The most that is allowed: a share, bytes, seconds, or a number as it is."""
    if kind in (Kind.REGRESSION, Kind.THROTTLED):
        return float(value.removesuffix("%").strip()) / 100
    if kind not in (Kind.MEMORY, Kind.TIME):
        return value  # type: ignore[no-any-return] # a number or R, by the schema
    allowed = units.BYTES if kind is Kind.MEMORY else units.SECONDS
    number = units.parsed(value, allowed)
    if number is None:
        fix = f"give one of the units {', '.join(allowed)}"
        raise document.error(path, f"{value[:40]!r} is no number above 0 with a unit", fix)
    return number


def _names_ids(sizes: Iterable[str]) -> bool:
    """Whether sizes are CPU ids, whose number nobody knows from here."""
    return any(not re.fullmatch("[0-9]+|all", size) for size in sizes)


def _check_limits(document: Document, name: str, settings: Mapping[str, Any], gates: Iterable[Gate]) -> None:
    """Raise UsageError for a gate on a limit or a build that the target does not have."""
    for gate in gates:
        for key, of_gate, setting in (
            ("at", gate.at, "cpus"),
            ("quota", gate.quota, "quota"),
            ("build", gate.build or None, "python"),
        ):
            there = listed(settings[setting]) if setting in settings else []
            if of_gate is None or _is_there(key, of_gate, there):
                continue
            raise document.error(
                ("targets", name, "gates", gate.kind.value, key),
                f"the target has no cell with {key} = {written(of_gate)}; its {setting}:"
                f" {', '.join(there) or 'not given'}",
                f"add it to {setting}, or change the gate",
            )


def _is_there(key: str, wanted: object, there: Sequence[str]) -> bool:
    if key == "at":
        return not there or _names_ids(there) or written(wanted) in there
    if key == "quota":
        return any(re.fullmatch(r"[0-9.]+", each) and float(each) == wanted for each in there)
    return str(wanted) in there or any("/" in each for each in there)  # a path may be any build


def _check_smallest(
    document: Document, name: str, command: str, settings: Mapping[str, Any], gates: Iterable[Gate]
) -> None:
    """Raise UsageError for gates on a command that no measurement can answer: at its only limit, or without a quota."""
    sizes = listed(settings["cpus"]) if "cpus" in settings else []
    numbers = [int(size) for size in sizes if size.isdecimal()]
    for gate in gates:
        path = ("targets", name, "gates", gate.kind.value)
        if gate.kind is Kind.THROTTLED and "quota" not in settings:
            raise document.error(path, "there is no quota that could stop the command", "give one: quota = 1.5")
        if command != "exec" or gate.kind not in (Kind.SPEED_UP, Kind.EFFICIENCY) or "quota" in settings:
            continue
        is_only = len(sizes) == 1 and not _names_ids(sizes)
        is_smallest = gate.at == 1 or (gate.at is not None and numbers and gate.at == min(numbers) and len(sizes) > 1)
        if is_only or is_smallest:
            raise document.error(
                path,
                "a speed-up of a command is over its smallest limit, and the gate is about that one",
                "give a smaller size too, such as cpus = [1, 2], and at = 2",
            )
