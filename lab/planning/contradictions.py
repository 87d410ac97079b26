"""Gates of a target that no measurement can meet together, also where they name the same thing differently. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.model.gates import Gate, Kind
from lab.planning.document import Document
from lab.planning.target_words import listed, sizes_of

#: Bounds that differ by less than this share are equal: one may have been multiplied.
_ROUNDING = 1e-9


def check(document: Document, name: str, command: str, settings: Mapping[str, Any], gates: Sequence[Gate]) -> None:
    """Raise UsageError, with file and lines, for two gates that no measurement can meet.

    Gates are about the same thing also where one leaves out what the other one names: the largest size, the only
    quota, as many workers as CPUs. A gate on every build is also about each of them.
    """
    pairs = [(gate, _in_full(gate, command, settings, sizes_of(command, settings, gates))) for gate in gates]
    for (floor, first), (ceiling, second) in itertools.product(pairs, pairs):
        if first.least is None or not isinstance(second.most, (int, float)) or not _are_alike(first, second):
            continue
        if first.least > second.most * (1 + _ROUNDING):
            of_floor, of_ceiling = ("", "") if floor.kind is ceiling.kind else (floor.kind.value, ceiling.kind.value)
            asked = f"{of_floor} at least {floor.least:g} (line {floor.line})".strip()
            allowed = f"{of_ceiling} at most {ceiling.most:g} (line {ceiling.line})".strip()
            raise document.error(
                ("targets", name, "gates", floor.kind.value),
                f"it asks for {asked} and {allowed}",
                "no measurement can meet both; change one of them",
            )


def _are_alike(first: Gate, second: Gate) -> bool:
    """Whether two gates that are written in full are about the same number in some cell."""
    same = ("kind", "at", "quota", "executor", "workers", "own")
    return all(getattr(first, key) == getattr(second, key) for key in same) and (
        first.build == second.build or not (first.build and second.build)
    )


def _in_full(gate: Gate, command: str, settings: Mapping[str, Any], sizes: Sequence[str]) -> Gate:
    """A gate with what it leaves out, as far as that is known before anything is measured."""
    quotas, builds = (listed(settings[key]) if key in settings else [] for key in ("quota", "python"))
    at = gate.at
    if at is None and (not quotas or len(sizes) == 1):  # under quotas the largest cell need not be the largest size
        at = _largest(sizes)
    quota = float(quotas[0]) if gate.quota is None and len(quotas) == 1 and _is_number(quotas[0]) else gate.quota
    executor = gate.executor
    version = re.match(r"3\.([0-9]+)", gate.build or (builds[0] if len(builds) == 1 else ""))
    if executor == "processes" and version:
        executor = "fork" if int(version[1]) < 14 else "forkserver"
    workers = at if gate.workers is None and executor and isinstance(at, int) else gate.workers
    full = replace(gate, at=at, quota=quota, executor=executor, workers=workers)
    return _as_speed_up(full, sizes) if command == "exec" and not quotas else full


def _largest(sizes: Sequence[str]) -> int | str | None:
    """The size that is meant where none is named; ``None``: not known here."""
    if "all" in sizes:
        return "all"
    return max(map(int, sizes)) if sizes and all(map(str.isdecimal, sizes)) else None


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text))


def _as_speed_up(gate: Gate, sizes: Sequence[str]) -> Gate:
    """The efficiency of a command as the speed-up that it stands for, where the sizes are known."""
    if gate.kind is not Kind.EFFICIENCY or not isinstance(gate.at, int) or not all(map(str.isdecimal, sizes)):
        return gate
    more = gate.at / min(map(int, sizes))
    least, most = (None if bound is None else float(bound) * more for bound in (gate.least, gate.most))
    return replace(gate, kind=Kind.SPEED_UP, least=least, most=most)
