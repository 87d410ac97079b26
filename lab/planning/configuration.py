"""The configuration of ``lab check``: checked against its schema, and read as targets with gates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError
from lab.model.gates import Gate, Goal, Kind
from lab.planning.expected import nearest
from lab.planning.toml_lines import line_of
from lab.text import units

if TYPE_CHECKING:
    from jsonschema import ValidationError

#: The commands that measure a target, by the key that names it.
COMMANDS = ("scale", "exec", "run")

#: The settings for all targets; each counts where the command has it.
_FOR_ALL = ("engine", "image", "python", "level", "seed")

#: What else may be written in the place of a value, by the keyword of the schema that refused it.
_EXAMPLES = {"percent": 'give a share with its unit, such as "5%"'}


@dataclass(frozen=True, kw_only=True)
class Document:
    """A configuration as it was written."""

    #: The name of the file.
    file: str
    #: Its text.
    text: str
    #: The keys above it in the file: ``tool`` and ``multicore-lab`` in a pyproject.toml.
    above: Sequence[str]
    #: What it says.
    content: Mapping[str, Any]
    #: The folder that its relative paths begin at.
    folder: str

    def line(self, *path: str) -> int:
        """The line in which a key is set."""
        return line_of(self.text, (*self.above, *path))

    def error(self, path: Sequence[object], what: str, fix: str = "") -> UsageError:
        """An error at a key, which names the file, the line and the key."""
        keys = [str(key) for key in path if isinstance(key, str)]
        where = ".".join((*self.above, *keys))
        return UsageError(f"{self.file}:{self.line(*keys)}: {where or 'the configuration'}: {what}", fix)


def goals_of(document: Document, schema: Mapping[str, Any]) -> tuple[Goal, ...]:
    """The targets of a configuration with their gates, in the order of the file.

    Raises UsageError for what the schema does not allow, with file, line and the nearest valid key. It is also raised
    for a gate on a limit that the target does not have, and for gates that contradict each other.
    """
    _check(document, schema)
    content = document.content
    return tuple(
        _goal(document, name, settings, {key: content[key] for key in _FOR_ALL if key in content}, schema)
        for name, settings in content["targets"].items()
    )


def _check(document: Document, schema: Mapping[str, Any]) -> None:
    from jsonschema import Draft202012Validator

    faults = sorted(Draft202012Validator(schema).iter_errors(document.content), key=_rank)
    if faults:
        raise _refusal(document, faults[0], schema)


#: What is told first where several rules are broken at once: the rest often follows from it.
_ORDER = ("additionalProperties", "enum", "const", "type", "pattern")


def _rank(fault: ValidationError) -> tuple[int, int]:
    place = _ORDER.index(str(fault.validator)) if fault.validator in _ORDER else len(_ORDER)
    return place, -len(fault.absolute_path)


def _refusal(document: Document, fault: ValidationError, schema: Mapping[str, Any]) -> UsageError:
    path, value, rule = list(fault.absolute_path), fault.instance, str(fault.validator)
    allowed: Any = fault.validator_value
    if rule == "additionalProperties":
        own: Mapping[str, Any] = fault.schema["properties"]  # type: ignore[index] # only an object has this rule
        known = list(own)
        if len(path) == 2:  # a target: what it may have depends on the command
            known += [key for command in COMMANDS for key in schema["$defs"][command]["properties"]]
        unknown = next(key for key in dict(value) if key not in own)  # type: ignore[arg-type] # an object, as above
        if len(path) == 2 and unknown in COMMANDS:
            return document.error([*path, unknown], f"a target has one of {', '.join(COMMANDS)}", "keep one of them")
        fix = nearest(unknown, known) or f"there are: {', '.join(dict.fromkeys(known))}"
        return document.error([*path, unknown], "there is no such key", fix)
    if rule == "enum":
        choices = [str(choice) for choice in allowed]
        return document.error(
            path, f"{value!r} is none of {', '.join(choices)}", nearest(str(value), choices) or "take one of these"
        )
    if rule == "required":
        return document.error(path, fault.message.replace("is a required property", "is missing"), "add it")
    if rule in ("oneOf", "anyOf"):
        return document.error(path, *_alternatives(fault))
    if rule == "pattern":
        return document.error(path, f"{value!r} cannot be used", _EXAMPLES["percent"])
    return document.error(path, fault.message)


def _alternatives(fault: ValidationError) -> tuple[str, str]:
    """What is wrong, and what to do, where none of several forms fits."""
    forms: Any = fault.validator_value
    wanted = [part["required"][0] for part in forms if "required" in part]
    if wanted:
        return f"it needs one of {', '.join(wanted)}", "add one"
    kinds = [str(part.get("type") or part.get("const") or part.get("$ref", "")) for part in forms]
    return f"{fault.instance!r} cannot be used", f"give a value of one of these forms: {', '.join(map(_form, kinds))}"


def _form(kind: str) -> str:
    return {"#/$defs/text": "a string", "array": "a list", "integer": "a whole number", "number": "a number"}.get(
        kind, kind.rpartition("/")[2]
    )


def _goal(
    document: Document, name: str, settings: Mapping[str, Any], usual: Mapping[str, Any], schema: Mapping[str, Any]
) -> Goal:
    command = next(command for command in COMMANDS if command in settings)
    own = {key: value for key, value in usual.items() if key in schema["$defs"][command]["properties"]}
    settings = {**own, **settings}
    gates = tuple(_gates(document, name, settings))
    _check_limits(document, name, settings, gates)
    _check_contradictions(document, name, gates)
    return Goal(
        name=name,
        line=document.line("targets", name),
        command=command,
        words=tuple(_words(command, settings, gates, document.folder)),
        gates=gates,
        settings=settings,
    )


def _gates(document: Document, name: str, settings: Mapping[str, Any]) -> Iterator[Gate]:
    """The gates of a target."""
    for claim, verdict in settings.get("expect", {}).items():
        line = document.line("targets", name, "expect", claim)
        yield Gate(kind=Kind.VERDICT, line=line, claim=claim, verdict=verdict)
    for kind, entries in settings.get("gates", {}).items():
        path = ("targets", name, "gates", kind)
        for entry in entries if isinstance(entries, list) else [entries]:
            yield _gate(document, path, Kind(kind), {} if entry is False else entry)


def _gate(document: Document, path: Sequence[str], kind: Kind, entry: Mapping[str, Any]) -> Gate:
    most = entry.get("max")
    if kind is Kind.REGRESSION:
        most = float(str(most).rstrip("% ")) / 100
    elif kind in (Kind.MEMORY, Kind.TIME):
        most = _measure(document, [*path, "max"], str(most), units.BYTES if kind is Kind.MEMORY else units.SECONDS)
    if entry.get("against") and entry.get("base"):
        raise document.error(path, "it has against and base", "keep one: against is measured, base is a session")
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
        most=most,
        against=entry.get("against", ""),
        base=entry.get("base", ""),
    )


def _measure(document: Document, path: Sequence[str], text: str, allowed: Mapping[str, float]) -> float:
    """A number with its unit, in bytes or in seconds."""
    number = units.parsed(text, allowed)
    if number is None:
        raise document.error(
            path, f"{text!r} is no number above 0 with a unit", f"give one of the units {', '.join(allowed)}"
        )
    return number


def _listed(value: object) -> list[str]:
    """The values of a setting that is one value, several in a string, or a list."""
    if isinstance(value, list):
        return [str(each) for each in value]
    return [part.strip() for part in str(value).split(",")]


def _check_limits(document: Document, name: str, settings: Mapping[str, Any], gates: Iterable[Gate]) -> None:
    """Raise UsageError for a gate on a limit or a build that the target does not have."""
    for gate in gates:
        for key, of_gate, setting in (
            ("at", gate.at, "cpus"),
            ("quota", gate.quota, "quota"),
            ("build", gate.build or None, "python"),
        ):
            if of_gate is None or (key == "at" and setting not in settings):
                continue
            there = _listed(settings[setting]) if setting in settings else []
            if f"{of_gate:g}" not in there if isinstance(of_gate, float) else str(of_gate) not in there:
                raise document.error(
                    ("targets", name, "gates", gate.kind.value, key),
                    f"the target has no cell with {key} = {of_gate}; its {setting}: {', '.join(there) or 'not given'}",
                    f"add it to {setting}, or change the gate",
                )


def _check_contradictions(document: Document, name: str, gates: Sequence[Gate]) -> None:
    """Raise UsageError for two gates that no measurement can meet."""
    bounds: dict[tuple[object, ...], list[Gate]] = {}
    for gate in gates:
        key = (gate.kind, gate.at, gate.quota, gate.build, gate.executor, gate.workers, gate.own)
        bounds.setdefault(key, []).append(gate)
    for same in bounds.values():
        least = max(same, key=lambda gate: gate.least or 0.0)
        most = min(same, key=lambda gate: gate.most if isinstance(gate.most, (int, float)) else float("inf"))
        if least.least is not None and isinstance(most.most, (int, float)) and least.least > most.most:
            bounds_words = f"at least {least.least:g} (line {least.line}) and at most {most.most:g} (line {most.line})"
            raise document.error(
                ("targets", name, "gates", least.kind.value),
                f"it asks for {bounds_words}",
                "no measurement can meet both; change one of them",
            )


def _words(command: str, settings: Mapping[str, Any], gates: Sequence[Gate], folder: str) -> Iterator[str]:
    """The command line that measures a target."""
    for key, value in settings.items():
        if key not in (*COMMANDS, "gates", "expect", "params", "env", "level", "project", "cpus"):
            yield from _option(f"--{key}", value)
    yield from _option("--cpus", settings.get("cpus", _sizes(command, gates, quota="quota" in settings)))
    if settings.get("level") in ("quick", "thorough"):
        yield f"--{settings['level']}"
    if command == "scale":
        yield from ("--project", settings.get("project") or folder)
    for name, values in settings.get("params", {}).items():
        yield from ("--param", f"{name}={','.join(map(repr, values))}")
    for name, value in settings.get("env", {}).items():
        yield from ("--env", f"{name}={value}")
    yield from _target(command, settings[command])


def _target(command: str, target: str | Sequence[str]) -> Iterator[str]:
    if command == "exec" and isinstance(target, str):
        yield "--shell"
    yield "--"
    yield from [target] if isinstance(target, str) else target


def _option(flag: str, value: object) -> Iterator[str]:
    if value is None or value is False:
        return
    if value is True:
        yield flag
    elif flag in ("--python", "--mount"):
        yield from (word for each in ([value] if isinstance(value, str) else value) for word in (flag, each))  # type: ignore[attr-defined] # a list, by the schema
    else:
        yield f"{flag}={','.join(map(str, value)) if isinstance(value, list) else value}"


def _sizes(command: str, gates: Sequence[Gate], *, quota: bool) -> str | None:
    """The sizes of the cells that gates need, where the configuration does not give them; ``None``: the quota alone."""
    named = list(dict.fromkeys(str(gate.at) for gate in gates if gate.at is not None))
    if not gates or command == "run":
        return None
    if not named and quota:
        return None
    sizes = named or ["all"]
    smaller = ["1"] if command == "exec" and "1" not in sizes else []  # a speed-up is against the smallest limit
    return ",".join((*smaller, *sizes))
